"""Parameters and a training set → one run of a solver."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy.sparse import issparse
from sklearn.metrics import check_scoring

from skreg._activations import ACTIVATIONS
from skreg._batches import Batches
from skreg._data import Target, TrainingSet
from skreg._dropout import InputMasks, Masks
from skreg._loss import OUTPUTS
from skreg._network import chunk_rows
from skreg._objective import Objective
from skreg._observers import FitTask, PrintedEpochs
from skreg._optimizers import SGD, Adam, limit_incoming_norms
from skreg._parameters import Layer, Layout, initial_theta, theta_of
from skreg._settings import (
    Streams,
    check_solver,
    hidden_layers,
    keep_prob_by_layer,
    lambd_by_layer,
    random_streams,
)
from skreg._solvers import (
    DivergedError,
    Observer,
    Result,
    Validate,
    descend,
    lbfgs,
)
from skreg._stopping import Plateau
from skreg._threads import one_thread_in_scipy, threads_for

Array = NDArray[Any]

_AUTO_BATCH_SIZE = 200


class Before(NamedTuple):
    """The model that a run goes on from: its weights, and what a solver left.

    ``state`` is a dict of arrays, numbers and strings, or None.
    """

    coefs: Sequence[Array]
    intercepts: Sequence[Array]
    samples_seen: int
    state: dict[str, Any] | None


class Trained(NamedTuple):
    """What a run found, and the state with which a later one goes on."""

    result: Result
    layers: tuple[Layer, ...]
    state: dict[str, Any] | None


def model_attributes(layers: Sequence[Layer], target: Target) -> dict[str, Any]:
    """The fitted attributes that make a model predict."""
    return {
        "coefs_": [W.T for W, _ in layers],
        "intercepts_": [b[:, 0] for _, b in layers],
        "classes_": target.classes,
        "n_layers_": len(layers) + 1,
        "n_outputs_": target.n_outputs,
        "out_activation_": OUTPUTS[target.kind].activation,
    }


def train(
    settings: Any,
    data: TrainingSet,
    before: Before | None = None,
    *,
    validation: TrainingSet | None = None,
    task: FitTask | None = None,
    incremental: bool = False,
) -> Trained:
    """One run of ``settings.solver``, or one epoch if ``incremental``.

    ``settings`` is the estimator, whose parameters are read and not written. With
    ``early_stopping`` and without ``validation``, ``data`` is split.
    """
    hidden_units = hidden_layers(settings.hidden_layer_sizes)
    lambds = lambd_by_layer(settings.lambd, len(hidden_units) + 1)
    keep_probs = keep_prob_by_layer(settings.keep_prob, hidden_units)
    check_solver(settings, keep_probs)
    layout = Layout((data.X.shape[1], *hidden_units, data.target.n_outputs))
    if len(data.target.classes) == 1:
        return _constant(layout, data, before)

    samples_seen = 0 if before is None else before.samples_seen
    streams = random_streams(settings.random_state, samples_seen)
    state = None if before is None else before.state
    if state is not None:
        streams = streams.restored(state["streams"])
    if settings.early_stopping and validation is None:
        data, validation = data.split(settings.validation_fraction, streams.split_seed)
    if before is None:
        theta = initial_theta(
            layout, settings.activation, streams.weights, data.X.dtype
        )
        if not incremental:
            # The network starts from the frequencies of the classes: rare classes
            # and extreme weights need not be learnt step by step. The first rows of
            # partial_fit may not have all classes.
            layout.layers(theta)[-1].b[:, 0] = data.prior_logits()
    else:
        theta = _theta_of_before(settings, layout, before, data.X.dtype)
    objective = Objective(
        layout,
        ACTIVATIONS[settings.activation],
        OUTPUTS[data.target.kind],
        theta,
        decay=layout.for_each_weight(lambds) / data.total_weight,
        **dropout(settings, keep_probs, hidden_units, streams, data.X.dtype),
    )
    watched: dict[str, Any] = {
        "validate": _score(settings, objective, validation),
        "train_score": _score(settings, objective, data)
        if settings.train_scores
        else None,
        "observers": _observers(settings, objective, data.target, task),
        "samples_seen": samples_seen,
    }
    batches = _batches(settings, data, layout, streams.order)
    # The products with a sparse X are scipy's, which has no threads for them.
    dense = Layout(layout.units[1:]) if issparse(data.X) else layout
    largest_product = batches.most_rows * dense.largest_weight
    try:
        with threads_for(largest_product):
            if settings.solver == "lbfgs":
                result, state = _run_lbfgs(settings, objective, batches, watched), None
            else:
                result, state = _run_epochs(
                    settings,
                    objective,
                    batches,
                    watched,
                    state,
                    incremental=incremental,
                )
    except DivergedError as error:
        raise ValueError(_divergence_text(error, settings, data.X)) from None
    if result.validation_scores and not result.best_epoch:
        raise ValueError(
            f"scoring={settings.scoring!r} gave NaN on the validation rows in each of "
            f"{result.n_epochs} epochs. Give another scoring, or other rows by X_val "
            "and y_val."
        )
    if state is not None:
        state["streams"] = streams.state()
    return Trained(result, layout.layers(result.theta), state)


def _constant(layout: Layout, data: TrainingSet, before: Before | None) -> Trained:
    """The model of one class: it is certain with any weights, and zero costs least."""
    theta = np.zeros(layout.n_parameters, data.X.dtype)
    seen = 0 if before is None else before.samples_seen
    result = Result(theta, loss=0.0, samples_seen=seen, converged=True)
    return Trained(result, layout.layers(theta), None)


def _observers(
    settings: Any, objective: Objective, target: Target, task: FitTask | None
) -> list[Observer]:
    observers: list[Observer] = [PrintedEpochs()] if settings.verbose else []
    if task is not None:

        def attributes() -> dict[str, Any]:
            layers = objective.layout.layers(objective.theta.copy())
            return model_attributes(layers, target)

        observers += task.observers(attributes)
    return observers


def dropout(
    settings: Any,
    keep_probs: Sequence[float],
    hidden_units: Sequence[int],
    streams: Streams,
    dtype: DTypeLike,
) -> dict[str, Any]:
    """``fill_masks`` and ``drop_inputs`` of an objective, None where nothing drops."""
    fill_masks, drop_inputs = None, None
    if min(keep_probs) < 1:
        fill_masks = Masks(keep_probs, hidden_units, streams.masks, dtype)
    if settings.input_keep_prob < 1:
        drop_inputs = InputMasks(settings.input_keep_prob, streams.input_masks)
    return {"fill_masks": fill_masks, "drop_inputs": drop_inputs}


def _run_lbfgs(
    settings: Any, objective: Objective, batches: Batches, watched: dict[str, Any]
) -> Result:
    with one_thread_in_scipy():
        return lbfgs(
            objective,
            batches,
            Plateau(settings.tol, settings.n_iter_no_change),
            max_iter=settings.max_iter,
            max_fun=settings.max_fun,
            tol=settings.tol,
            **watched,
        )


def _run_epochs(
    settings: Any,
    objective: Objective,
    batches: Batches,
    watched: dict[str, Any],
    state: dict[str, Any] | None,
    *,
    incremental: bool,
) -> tuple[Result, dict[str, Any]]:
    optimizer = _optimizer(settings, objective)
    schedule, patience = settings.learning_rate, settings.n_iter_no_change
    if schedule == "cosine" and incremental:
        # There is no last epoch for the rate to come down to.
        schedule = "constant"
    elif schedule == "cosine" and not settings.early_stopping:
        # The schedule, not a plateau on its way, says where the end is.
        patience = math.inf
    plateau = Plateau(settings.tol, patience)
    rate_fraction = 1.0
    if state is not None:
        if schedule == "adaptive":
            rate_fraction = state["rate_fraction"]
        if incremental:
            plateau.best, plateau.count = state["plateau"]
        if state["solver"] == settings.solver:
            optimizer.resume(state["n_steps"], state["moments"], state["betas"])
    result = descend(
        objective,
        batches,
        optimizer,
        plateau,
        schedule=schedule,
        learning_rate=settings.learning_rate_init * rate_fraction,
        power_t=settings.power_t,
        max_iter=1 if incremental else settings.max_iter,
        constrain=_max_norm(settings, objective),
        **watched,
    )
    return result, {
        "solver": settings.solver,
        "n_steps": optimizer.n_steps,
        "moments": list(optimizer.moments),
        "betas": (settings.beta_1, settings.beta_2),
        "rate_fraction": result.learning_rate / settings.learning_rate_init,
        "plateau": (plateau.best, plateau.count),
    }


def _optimizer(settings: Any, objective: Objective) -> SGD | Adam:
    if settings.solver == "sgd":
        return SGD(
            objective.theta,
            objective.gradient,
            momentum=settings.momentum,
            nesterov=settings.nesterovs_momentum,
        )
    return Adam(
        objective.theta,
        objective.gradient,
        beta_1=settings.beta_1,
        beta_2=settings.beta_2,
        epsilon=settings.epsilon,
    )


def _batches(
    settings: Any, training: TrainingSet, layout: Layout, order: np.random.Generator
) -> Batches:
    if settings.batch_size == "full" or settings.solver == "lbfgs":
        batch_size = training.n_rows
    elif settings.batch_size == "auto":
        batch_size = min(_AUTO_BATCH_SIZE, training.n_rows)
    else:
        batch_size = int(settings.batch_size)
    return Batches(
        training,
        batch_size,
        chunk_rows=chunk_rows(layout, training.X),
        generator=order if settings.shuffle else None,
    )


def _max_norm(settings: Any, objective: Objective) -> Callable[[], None] | None:
    if settings.max_norm is None:
        return None
    return partial(limit_incoming_norms, objective.layers[:-1], settings.max_norm)


def _score(
    settings: Any, objective: Objective, rows: TrainingSet | None
) -> Validate | None:
    """The score of the rows at the objective's θ: minus the loss, or a scorer's."""
    if rows is None:
        return None
    if settings.scoring != "loss":
        model = copy.copy(settings)
        # Views of θ: the model is always that of the last step.
        vars(model).update(model_attributes(objective.layers, rows.target))
        vars(model).pop("feature_names_in_", None)
        scorer = check_scoring(model, scoring=settings.scoring)
        X, y, sample_weight = rows.gathered()
        extra = {} if sample_weight is None else {"sample_weight": sample_weight}

        def scored() -> float:
            try:
                return float(scorer(model, X, y, **extra))
            except Exception as error:
                raise ValueError(
                    f"scoring={settings.scoring!r} failed on {len(y)} rows of the "
                    f"classes {np.unique(y)}: {error}. Give another scoring, or "
                    "validation rows of all classes by X_val and y_val."
                ) from error

        return scored
    batches = Batches(
        rows, rows.n_rows, chunk_rows=chunk_rows(objective.layout, rows.X)
    )

    def minus_loss() -> float:
        ((_, chunks),) = batches.epoch()
        with np.errstate(all="ignore"):
            return -float(objective.data_loss(chunks))

    return minus_loss


def _theta_of_before(
    settings: Any, layout: Layout, before: Before, dtype: DTypeLike
) -> Array:
    hidden_units = tuple(len(b) for b in before.intercepts[:-1])
    if hidden_units != layout.hidden_units:
        raise ValueError(
            f"hidden_layer_sizes={settings.hidden_layer_sizes!r}, but the model that "
            f"is to be trained further has hidden layers of {hidden_units} units. Set "
            f"hidden_layer_sizes={hidden_units}, or begin anew: fit with "
            "warm_start=False, or partial_fit of a clone."
        )
    return theta_of(before.coefs, before.intercepts, dtype)


def _divergence_text(error: DivergedError, settings: Any, X: Any) -> str:
    largest = abs(X.max(axis=0)), abs(X.min(axis=0))
    if issparse(X):
        largest = tuple(row.toarray().ravel() for row in largest)
    magnitudes = np.maximum(*largest)
    column = int(magnitudes.argmax())
    names = getattr(settings, "feature_names_in_", None)
    name = "" if names is None else f" ({names[column]!r})"
    rate, lower = "", f"lambd={settings.lambd!r}"
    if error.learning_rate is not None:
        rate = f" at a learning rate of {error.learning_rate:.3g}"
        lower = f"learning_rate_init={settings.learning_rate_init!r} or {lower}"
    return (
        f"Training diverged: the loss exploded or a weight was not finite in epoch "
        f"{error.epoch}{rate}. The largest magnitude in X is "
        f"{magnitudes[column]:.3g}, in column {column}{name}. Scale the features, for "
        f"example with sklearn.preprocessing.StandardScaler, or lower {lower}."
    )
