"""Estimators that are fitted as one stack, and scored one by one."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.model_selection._validation import _fit_and_score
from sklearn.utils.metaestimators import _safe_split
from sklearn.utils.validation import _check_method_params

from skreg._advice import unscaled_text, warn_of, without_advice
from skreg._classifier import RegularizedMLPClassifier
from skreg._data import (
    Target,
    TrainingSet,
    checked_rows,
    held_out_rows,
    training_set,
)
from skreg._problem import HERE, stack_size
from skreg._runs import Trained
from skreg._training import train, train_together

Array = NDArray[Any]


def validated(
    model: RegularizedMLPClassifier,
    X: Any,
    y: Any,
    sample_weight: ArrayLike | None = None,
) -> TrainingSet:
    """The rows as ``fit`` of the model takes them; their columns are noted in it."""
    rows, labels = checked_rows(model, X, y, reset=True)
    return training_set(rows, labels, sample_weight, None, model.class_weight)


def _fit_together(
    models: Sequence[RegularizedMLPClassifier],
    X: Any,
    y: Any,
    sample_weight: ArrayLike | None = None,
    **validation: Any,
) -> list[Callable[..., RegularizedMLPClassifier]]:
    """Train the models as one stack; what is left of ``fit`` of each, to be called.

    The models differ in ``lambd`` and ``keep_prob`` alone.
    """
    first = models[0]
    data = validated(first, X, y, sample_weight)
    features = {k: v for k, v in vars(first).items() if k.endswith("_in_")}
    for model in models:
        # Before the training, whose errors have the names of columns.
        model.__dict__.update(features)
    held_out = held_out_rows(first, data, **validation)
    found = train_together(models, data, validation=held_out)
    return [
        partial(_end_fit, model, trained, data.target)
        for model, trained in zip(models, found, strict=True)
    ]


def fit_networks(
    models: Sequence[RegularizedMLPClassifier],
    X: Any,
    y: Any,
    sample_weight: ArrayLike | None = None,
    *,
    begins: Callable[[], None] = lambda: None,
    **validation: Any,
) -> None:
    """Fit models that differ in their initial weights, as stacks where that pays.

    The first has the weights that ``fit`` of it draws, the next those that are drawn
    then, and so on. With the same ``random_state`` all share the rest. ``begins`` is
    called where the rows are found good.
    """
    first = models[0]
    data = validated(first, X, y, sample_weight)
    features = {k: v for k, v in vars(first).items() if k.endswith("_in_")}
    held_out = held_out_rows(first, data, **validation)
    unscaled = unscaled_text(first, data, HERE)
    n_stacks = math.ceil(len(models) / stack_size(first, data))
    begins()
    found: list[Trained | ValueError] = []
    for numbers in np.array_split(np.arange(len(models)), n_stacks):
        starts = numbers.tolist()
        stack = [models[start] for start in starts]
        if len(stack) > 1:
            found += train_together(stack, data, validation=held_out, starts=starts)
        else:
            (start,) = starts
            alone = train(stack[0], data, validation=held_out, start=start)
            if alone.result.interrupt is not None:
                raise alone.result.interrupt
            found.append(alone)
    results = []
    for model, trained in zip(models, found, strict=True):
        if isinstance(trained, ValueError):
            raise trained
        model.__dict__.update(features)
        model._keep_fit(trained, data.target)
        results.append(trained.result)
    # One warning for all: of a network that has not converged, if there is one.
    told = min(results, key=lambda result: result.converged)
    warn_of(first, told, unscaled, stacklevel=4)


@without_advice()
def fit_and_score_stack(
    models: Sequence[RegularizedMLPClassifier],
    X: Any,
    y: Any,
    split: tuple[Array, Array],
    arguments: Sequence[dict[str, Any]],
    validation: dict[str, Any],
    *,
    fit_params: dict[str, Any],
    **scoring: Any,
) -> list[dict[str, Any]]:
    """Results of scikit-learn's function for each model, all fitted as one stack."""
    # A splitter may give any sequences.
    train, test = map(np.asarray, split)
    seconds = None
    if len(models) > 1:
        for model, of_model in zip(models, arguments, strict=True):
            model.set_params(**clone(of_model["parameters"], safe=False))
        X_train, y_train = _safe_split(models[0], X, y, train)
        weights = _check_method_params(X, fit_params, indices=train)
        start = time.time()
        try:
            fits = _fit_together(models, X_train, y_train, **weights, **validation)
        except Exception:
            # One by one each has its own error, or none.
            pass
        else:
            seconds = (time.time() - start) / len(models)
            for model, fit in zip(models, fits, strict=True):
                _fit_once(model, fit)
    if seconds is None and validation:
        # As fit parameters they would be cut up with the rows.
        for model in models:
            _fit_once(model, partial(type(model).fit, model, **validation))
    results = []
    for model, of_model in zip(models, arguments, strict=True):
        result = _fit_and_score(
            model,
            X,
            y,
            train=train,
            test=test,
            fit_params=fit_params,
            return_n_test_samples=True,
            return_times=True,
            **of_model,
            **scoring,
        )
        if seconds is not None:
            result["fit_time"] = seconds
        results.append(result)
    return results


def _fit_once(model: RegularizedMLPClassifier, fit: Callable[..., Any]) -> None:
    """Put ``fit`` in the place of the model's own for the next call."""

    def next_fit(*args: Any, **kwargs: Any) -> Any:
        del model.__dict__["fit"]
        return fit(*args, **kwargs)

    model.__dict__["fit"] = next_fit


def _end_fit(
    model: RegularizedMLPClassifier,
    trained: Trained | ValueError,
    target: Target,
    *_: Any,
    **__: Any,
) -> RegularizedMLPClassifier:
    """What ``fit`` does after training; it needs none of scikit-learn's arguments."""
    if isinstance(trained, ValueError):
        raise trained
    model._keep_fit(trained, target)
    # Of the columns the refit tells.
    warn_of(model, trained.result, None, stacklevel=3)
    return model
