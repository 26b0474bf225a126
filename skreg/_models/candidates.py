"""Candidates of a search, on one split: fitted as one stack, scored one by one.

scikit-learn's function that fits and scores a candidate, and what goes with it, has no
public form. If ``sklearn.model_selection._validation`` changes, this file has all that
is used of it: what ``GridSearchCV`` calls with the results of its fits.
"""

import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.base import clone
from sklearn.model_selection._validation import (
    _fit_and_score,
    _insert_error_scores,
    _warn_or_raise_about_fit_failures,
)
from sklearn.utils.metaestimators import _safe_split
from sklearn.utils.validation import _check_method_params

from skreg._models.classifier import RegularizedMLPClassifier
from skreg._network import Array
from skreg._training.advice import FitAdviceWarning, RegularizationWarning, silent
from skreg._training.descent import Result
from skreg._training.diagnosis import warn_of_result
from skreg._training.fit import train
from skreg._training.rows import TrainingSet, given_rows

insert_error_scores = _insert_error_scores
warn_or_raise_about_fit_failures = _warn_or_raise_about_fit_failures


# The rows of a batch by default, and how many full batches a course has at least: up to
# so many rows, and of more. However few its rows are, a curve takes steps to learn.
_FEW_ROWS, _OF_FEW, _OF_MANY = 400, (32, 640), (128, 480)


def course_for(n_rows: float) -> dict[str, int]:
    """The batch size and the epochs by default."""
    batch_size, n_steps = _OF_FEW if n_rows <= _FEW_ROWS else _OF_MANY
    n_epochs = math.ceil(n_steps * batch_size / n_rows)
    return {"batch_size": batch_size, "max_iter": min(max(n_epochs, 60), 240)}


# A search of fewer fits times epochs times rows takes about a second in float64.
_LONG_SEARCH = 1e6

# Numbers that float32 takes with room to spare, and how much of a column's deviation
# its rounding may be.
_RANGE, _ROUNDING = 1e15, 1e-4


def compared(X: Any, rows: TrainingSet, network: Any, search: Any, n_fits: int) -> Any:
    """X as float32 where the settings compare alike in it, otherwise as it is.

    It takes half the memory and about two thirds of the time. Rounding must be small
    beside the deviation of each column, and no number near one that has no place in
    float32. L-BFGS goes on to the last digits, and keeps float64; so does a short
    search, and one whose scorer is a function, which may look at X.
    """
    is_long = n_fits * network.max_iter * rows.n_rows >= _LONG_SEARCH
    names = search.scoring is None or isinstance(search.scoring, str)
    takes = rows.X.dtype == np.float64 and hasattr(X, "astype")
    if not (is_long and names and takes) or network.solver == "lbfgs":
        return X
    values = rows.X.data if issparse(rows.X) else rows.X
    largest = np.maximum(values.max(axis=0, initial=0), -values.min(axis=0, initial=0))
    total, strongest = rows.total_weight, max(map(np.max, search.lambds))
    if max(largest.max(), strongest / total, total, 1 / total) > _RANGE:
        return X
    mean, *_ = rows.moments()
    # Those of sparse rows are about zero.
    _, variance, _ = rows.moments(about=mean)
    rounding = np.finfo(np.float32).eps * np.maximum(largest, 1 / _RANGE)
    if (variance * _ROUNDING**2 < rounding**2)[variance > 0].any():
        return X
    return X.astype(np.float32)


@silent(FitAdviceWarning, RegularizationWarning)
def fit_and_score(
    estimator: RegularizedMLPClassifier,
    X: Any,
    y: Any,
    *,
    split: tuple[Array, Array],
    arguments: Sequence[dict[str, Any]],
    validation: dict[str, Any],
    fit_params: dict[str, Any],
    keep: Callable[[Any, Any, Array], Array | None] | None = None,
    **scoring: Any,
) -> list[dict[str, Any]]:
    """Results of scikit-learn's function for each of the ``arguments``.

    Each is for a clone of the estimator; they are fitted as one stack. What is to
    ``keep`` of one that is fitted, on the rows left out, is 'held_out' of its results.
    """
    models = [clone(estimator) for _ in arguments]
    # A splitter may give any sequences.
    train, test = map(np.asarray, split)
    seconds = None
    if len(models) > 1:
        for model, of_model in zip(models, arguments, strict=True):
            model.set_params(**clone(of_model["parameters"], safe=False))
        of_split = of_rows(X, y, fit_params, train)
        seconds = _train_for_next_fit(models, *of_split, validation)
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
    if keep is not None:
        rows = row_numbers(test, len(y))
        X_test, _, _ = of_rows(X, y, {}, rows)
        for model, result in zip(models, results, strict=True):
            has_failed = result["fit_error"] is not None
            result["held_out"] = None if has_failed else keep(model, X_test, rows)
    return results


def row_numbers(rows: Any, n_rows: int) -> Array:
    """Those of a mask, or of numbers that may count from the end."""
    rows = np.asarray(rows)
    return np.arange(n_rows)[rows if rows.size else []]


def of_rows(
    X: Any, y: Any, params: dict[str, Any], rows: Array
) -> tuple[Any, Any, dict[str, Any]]:
    """X, y and the metadata of some rows, as scikit-learn's function takes them."""
    X_of_rows, y_of_rows = _safe_split(RegularizedMLPClassifier(), X, y, rows)
    return X_of_rows, y_of_rows, _check_method_params(X, params, indices=rows)


def _train_for_next_fit(
    models: Sequence[RegularizedMLPClassifier],
    X: Any,
    y: Any,
    fit_params: dict[str, Any],
    validation: dict[str, Any],
) -> float | None:
    """Train the models as one stack; the seconds for each, or None if that fails."""
    start = time.time()
    try:
        fits = _fit_together(models, X, y, **fit_params, **validation)
    except Exception:
        # One by one each has its own error, or none.
        return None
    seconds = (time.time() - start) / len(models)
    for model, fit in zip(models, fits, strict=True):
        _fit_once(model, fit)
    return seconds


def _fit_once(model: RegularizedMLPClassifier, fit: Callable[..., Any]) -> None:
    """Put ``fit`` in the place of the model's own for the next call."""

    def next_fit(*args: Any, **kwargs: Any) -> Any:
        del model.__dict__["fit"]
        return fit(*args, **kwargs)

    model.__dict__["fit"] = next_fit


def _fit_together(
    models: Sequence[RegularizedMLPClassifier], X: Any, y: Any, **given: Any
) -> list[Callable[..., RegularizedMLPClassifier]]:
    """Train the models as one stack; what is left of ``fit`` of each, to be called.

    The models differ in ``lambd`` and ``keep_prob`` alone.
    """
    first = models[0]
    rows = given_rows(first, X, y, **given)
    features = {k: v for k, v in vars(first).items() if k.endswith("_in_")}
    for model in models:
        # Before the training, whose errors have the names of columns.
        model.__dict__.update(features)
    found = train(models, rows.training, rows.validation)
    return [
        partial(_end_fit, model, result, rows.training)
        for model, result in zip(models, found, strict=True)
    ]


def _end_fit(
    model: RegularizedMLPClassifier,
    result: Result,
    rows: TrainingSet,
    *_: Any,
    **__: Any,
) -> RegularizedMLPClassifier:
    """What ``fit`` does after training; it needs none of scikit-learn's arguments."""
    if result.failure is not None:
        raise result.failure
    model._keep_fit(result)
    warn_of_result(model, result, rows)
    return model
