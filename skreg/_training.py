"""Parameters and a training set → one run of a solver."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from skreg._activations import ACTIVATIONS
from skreg._data import Batches, TrainingSet
from skreg._dropout import Masks
from skreg._loss import OUTPUTS
from skreg._network import chunk_rows
from skreg._objective import Objective
from skreg._optimizers import SGD, Adam
from skreg._parameters import Layer, Layout, initial_theta, theta_of
from skreg._solvers import (
    DivergedError,
    EpochReport,
    Result,
    Validate,
    descend,
    lbfgs,
)
from skreg._stopping import Plateau

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


class Streams(NamedTuple):
    """Three independent random streams, and a seed for the validation split.

    ``keep_prob`` changes neither the initial weights nor the order of the rows.
    """

    weights: np.random.Generator
    order: np.random.Generator
    masks: np.random.BitGenerator
    split_seed: int


def random_streams(
    random_state: int | np.random.RandomState | None, samples_seen: int = 0
) -> Streams:
    """Streams from ``random_state``, others for a model that has seen samples.

    None takes fresh entropy and leaves numpy's global stream alone.
    """
    entropy: Any = random_state
    if isinstance(random_state, np.random.RandomState):
        entropy = random_state.randint(0, 2**32, size=4, dtype=np.uint32)
    root = np.random.SeedSequence(entropy)
    split_seed = int(root.generate_state(1)[0])
    if samples_seen:
        root = np.random.SeedSequence(root.entropy, spawn_key=(samples_seen,))
    weights, order, masks = (np.random.SFC64(child) for child in root.spawn(3))
    return Streams(
        np.random.Generator(weights), np.random.Generator(order), masks, split_seed
    )


def hidden_layers(sizes: int | ArrayLike) -> tuple[int, ...]:
    """``hidden_layer_sizes`` as a tuple of at least one positive int."""
    layers: list[Any] = list(np.atleast_1d(np.asarray(sizes)))
    if not layers or not all(isinstance(n, Integral) and int(n) > 0 for n in layers):
        raise ValueError(
            f"hidden_layer_sizes={sizes!r}: give one positive integer for each hidden "
            "layer, and at least one, as in (100, 50)."
        )
    return tuple(int(n) for n in layers)


def keep_prob_by_layer(
    keep_prob: float | ArrayLike, hidden_units: tuple[int, ...], solver: str
) -> tuple[float, ...]:
    """``keep_prob`` of each hidden layer, in (0, 1]."""
    keep_probs: list[Any]
    if isinstance(keep_prob, Real):
        keep_probs = [keep_prob] * len(hidden_units)
    else:
        keep_probs = list(np.atleast_1d(np.asarray(keep_prob)))
        if len(keep_probs) != len(hidden_units):
            raise ValueError(
                f"keep_prob={keep_prob!r} has {len(keep_probs)} values, but there are "
                f"{len(hidden_units)} hidden layers: give one float, or one for each "
                "hidden layer."
            )
    if not all(isinstance(p, Real) and 0 < float(p) <= 1 for p in keep_probs):
        raise ValueError(
            f"keep_prob={keep_prob!r}: each value is the probability of keeping a "
            "unit, a float above 0 and at most 1."
        )
    if solver == "lbfgs" and min(keep_probs) < 1:
        raise ValueError(
            f"keep_prob={keep_prob!r} does not go with solver='lbfgs', which needs an "
            "objective that is the same at each evaluation. Set keep_prob=1.0, or "
            "solver='adam' or 'sgd'."
        )
    return tuple(float(p) for p in keep_probs)


def train(
    settings: Any,
    data: TrainingSet,
    before: Before | None = None,
    *,
    incremental: bool = False,
) -> Trained:
    """One run of ``settings.solver``, or one epoch if ``incremental``.

    ``settings`` is the estimator, whose parameters are read and not written.
    """
    hidden_units = hidden_layers(settings.hidden_layer_sizes)
    keep_probs = keep_prob_by_layer(settings.keep_prob, hidden_units, settings.solver)
    layout = Layout((data.X.shape[1], *hidden_units, data.target.n_outputs))
    samples_seen = 0 if before is None else before.samples_seen
    if len(data.target.classes) == 1:
        # The class is certain with any weights, and zero costs least.
        theta = np.zeros(layout.n_parameters, data.X.dtype)
        found = Result(theta, loss=0.0, samples_seen=samples_seen, converged=True)
        return Trained(found, layout.layers(theta), None)

    streams = random_streams(settings.random_state, samples_seen)
    state = None if before is None else before.state
    if state is not None:
        streams.order.bit_generator.state = state["order"]
        streams.masks.state = state["masks"]
    training, validation = data, None
    if settings.early_stopping:
        training, validation = data.split(
            settings.validation_fraction, streams.split_seed
        )
    dropout = min(keep_probs) < 1
    objective = Objective(
        layout,
        ACTIVATIONS[settings.activation],
        OUTPUTS[data.target.kind],
        _starting_theta(settings, layout, streams, before, data.X.dtype),
        decay=settings.lambd / training.total_weight,
        fill_masks=Masks(keep_probs, hidden_units, streams.masks, data.X.dtype)
        if dropout
        else None,
    )
    run = _run_lbfgs if settings.solver == "lbfgs" else _run_epochs
    try:
        with np.errstate(all="ignore"):
            result, state = run(
                settings,
                objective,
                _batches(settings, training, layout, streams.order),
                samples_seen=samples_seen,
                state=state,
                validate=None if validation is None else _score(objective, validation),
                incremental=incremental,
            )
    except DivergedError as error:
        raise ValueError(_divergence_text(error, settings, data.X)) from None
    if state is not None:
        state["order"] = streams.order.bit_generator.state
        state["masks"] = streams.masks.state
    return Trained(result, layout.layers(result.theta), state)


def _run_lbfgs(
    settings: Any,
    objective: Objective,
    batches: Batches,
    *,
    samples_seen: int,
    validate: Validate | None,
    **_: Any,
) -> tuple[Result, None]:
    result = lbfgs(
        objective,
        batches,
        Plateau(settings.tol, settings.n_iter_no_change),
        max_iter=settings.max_iter,
        max_fun=settings.max_fun,
        tol=settings.tol,
        samples_seen=samples_seen,
        validate=validate,
        report=_print_epoch if settings.verbose else None,
    )
    return result, None


def _run_epochs(
    settings: Any,
    objective: Objective,
    batches: Batches,
    *,
    samples_seen: int,
    state: dict[str, Any] | None,
    validate: Validate | None,
    incremental: bool,
) -> tuple[Result, dict[str, Any]]:
    optimizer = _optimizer(settings, objective)
    plateau = Plateau(settings.tol, settings.n_iter_no_change)
    if settings.learning_rate == "cosine" and not settings.early_stopping:
        # The schedule, not a plateau on its way, says where the end is.
        plateau.patience = math.inf
    rate_fraction = 1.0
    if state is not None:
        rate_fraction = state["rate_fraction"]
        if incremental:
            plateau.best, plateau.count = state["plateau"]
        if state["solver"] == settings.solver:
            optimizer.resume(state["n_steps"], state["moments"])
    result = descend(
        objective,
        batches,
        optimizer,
        plateau,
        schedule=settings.learning_rate,
        learning_rate=settings.learning_rate_init * rate_fraction,
        power_t=settings.power_t,
        max_iter=1 if incremental else settings.max_iter,
        samples_seen=samples_seen,
        validate=validate,
        report=_print_epoch if settings.verbose else None,
    )
    return result, {
        "solver": settings.solver,
        "n_steps": optimizer.n_steps,
        "moments": list(optimizer.moments),
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
        chunk_rows=chunk_rows(layout, training.X.dtype),
        generator=order if settings.shuffle else None,
    )


def _score(objective: Objective, validation: TrainingSet) -> Validate:
    """The score of early stopping: minus the loss on the validation rows."""
    batches = Batches(
        validation,
        validation.n_rows,
        chunk_rows=chunk_rows(objective.layout, validation.X.dtype),
    )

    def score() -> float:
        ((_, chunks),) = batches.epoch()
        return -float(objective.data_loss(chunks))

    return score


def _print_epoch(report: EpochReport) -> None:
    print(f"Iteration {report.epoch}, loss = {report.loss:.8f}")
    if report.validation_score is not None:
        print(f"Validation score: {report.validation_score:.6f}")


def _starting_theta(
    settings: Any,
    layout: Layout,
    streams: Streams,
    before: Before | None,
    dtype: DTypeLike,
) -> Array:
    if before is None:
        return initial_theta(layout, settings.activation, streams.weights, dtype)
    hidden_units = tuple(len(b) for b in before.intercepts[:-1])
    if hidden_units != layout.hidden_units:
        raise ValueError(
            f"hidden_layer_sizes={settings.hidden_layer_sizes!r}, but the model that "
            f"is to be trained further has hidden layers of {hidden_units} units. Set "
            f"hidden_layer_sizes={hidden_units}, or fit anew with warm_start=False."
        )
    return theta_of(before.coefs, before.intercepts, dtype)


def _divergence_text(error: DivergedError, settings: Any, X: Array) -> str:
    largest = np.maximum(X.max(axis=0), -X.min(axis=0))
    column = int(largest.argmax())
    names = getattr(settings, "feature_names_in_", None)
    name = "" if names is None else f" ({names[column]!r})"
    rate = ""
    if error.learning_rate is not None:
        rate = f" at a learning rate of {error.learning_rate:.3g}"
    return (
        f"Training diverged: the loss or a weight was not finite in epoch "
        f"{error.epoch}{rate}. The largest magnitude in X is {largest[column]:.3g}, in "
        f"column {column}{name}. Scale the features, for example with "
        "sklearn.preprocessing.StandardScaler, or lower "
        f"learning_rate_init={settings.learning_rate_init!r} or "
        f"lambd={settings.lambd!r}."
    )
