"""An estimator's parameters and the rows → what the solvers take."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray
from scipy.sparse import issparse
from sklearn.metrics import check_scoring

from skreg._activations import ACTIVATIONS
from skreg._batches import Batches
from skreg._data import Target, TrainingSet
from skreg._dropout import InputMasks, Masks
from skreg._loss import OUTPUTS
from skreg._network import chunk_rows, networks_at_once
from skreg._objective import Objective
from skreg._optimizers import SGD, Adam, limit_incoming_norms
from skreg._parameters import Layer, Layout, initial_theta
from skreg._settings import (
    Streams,
    check_solver,
    hidden_layers,
    keep_prob_by_layer,
    lambd_by_layer,
)
from skreg._solvers import Place, Score, Stack
from skreg._threads import threads_for

Array = NDArray[Any]

_AUTO_BATCH_SIZE = 200


class Site(NamedTuple):
    """Where the rows lie, as the functions that reach them there.

    ``objective`` has the parameters of :class:`Objective`. ``batches(settings, rows,
    layout, generator)`` gives what a solver takes; ``score(problem, objective, rows)``
    the score at the objective's θ, or None without rows; ``magnitudes(rows)`` the
    largest magnitude in each column of X.
    """

    objective: Callable[..., Objective]
    batches: Callable[..., Any]
    score: Callable[..., Score | None]
    magnitudes: Callable[[Any], Array]


class Problem(NamedTuple):
    """What is trained, and on which rows.

    The rows are of the type :class:`TrainingSet`, or lie elsewhere, at their ``site``.
    ``lambds`` (..., n_layers) and ``keep_probs`` (..., n_hidden_layers) have a leading
    axis for the networks of a stack, which share all the rest. ``members`` has the
    estimator of each network, for scorers to see.
    """

    members: Sequence[Any]
    layout: Layout
    lambds: Array
    keep_probs: Array
    streams: Streams
    training: Any
    validation: Any
    site: Site

    @property
    def settings(self) -> Any:
        """The estimator whose parameters are those of all, but for the two above."""
        return self.members[0]


def network_of(settings: Any, data: Any) -> tuple[Layout, Array, Array]:
    """The layout, and ``lambd`` and ``keep_prob`` of each layer, checked."""
    hidden_units = hidden_layers(settings.hidden_layer_sizes)
    lambds = lambd_by_layer(settings.lambd, len(hidden_units) + 1)
    keep_probs = keep_prob_by_layer(settings.keep_prob, hidden_units)
    check_solver(settings, keep_probs)
    layout = Layout((data.X.shape[1], *hidden_units, data.target.n_outputs))
    return layout, np.array(lambds), np.array(keep_probs)


def split(
    settings: Any, data: Any, validation: Any, streams: Streams
) -> tuple[Any, Any]:
    """The rows for training and for validation, those given or a part of ``data``."""
    if settings.early_stopping and validation is None:
        training, validation = data.split(
            settings.validation_fraction, streams.split_seed
        )
        return training, validation
    return data, validation


def start_of(problem: Problem, *, from_frequencies: bool) -> Array:
    """The θ with which a network starts."""
    layout, training = problem.layout, problem.training
    theta = initial_theta(
        layout, problem.settings.activation, problem.streams.weights, training.X.dtype
    )
    if from_frequencies:
        # Rare classes and extreme weights need not be learnt step by step. The first
        # rows of partial_fit may not have all classes.
        layout.layers(theta)[-1].b[:, 0] = training.prior_logits()
    return theta


def objective_of(problem: Problem, theta: Array) -> Objective:
    settings, layout, training = problem.settings, problem.layout, problem.training
    decay = layout.for_each_weight(problem.lambds) / training.total_weight
    return problem.site.objective(
        layout,
        ACTIVATIONS[settings.activation],
        OUTPUTS[training.target.kind],
        theta,
        decay=decay,
        **dropout(
            settings,
            problem.keep_probs,
            layout.hidden_units,
            problem.streams,
            theta.dtype,
        ),
    )


def stack_of(problem: Problem, theta: Array) -> Stack:
    """All that a step and the end of an epoch need, for one network or a stack."""
    settings, objective = problem.settings, objective_of(problem, theta)
    return Stack(
        objective,
        _optimizer(settings, objective),
        _max_norm(settings, objective),
        **scores_of(problem, objective),
    )


def scores_of(problem: Problem, objective: Objective) -> dict[str, Any]:
    """What scores the rows for validation, and those of training, after each epoch."""
    score = problem.site.score
    training = problem.training if problem.settings.train_scores else None
    return {
        "validate": score(problem, objective, problem.validation),
        "train_score": score(problem, objective, training),
    }


def dropout(
    settings: Any,
    keep_probs: ArrayLike,
    hidden_units: Sequence[int],
    streams: Streams,
    dtype: DTypeLike,
) -> dict[str, Any]:
    """``fill_masks`` and ``drop_inputs`` of an objective, None where nothing drops."""
    fill_masks, drop_inputs = None, None
    if np.min(keep_probs) < 1:
        fill_masks = Masks(keep_probs, hidden_units, streams.masks, dtype)
    if settings.input_keep_prob < 1:
        drop_inputs = InputMasks(settings.input_keep_prob, streams.input_masks)
    return {"fill_masks": fill_masks, "drop_inputs": drop_inputs}


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


def batches_of(problem: Problem) -> Any:
    """The rows for training, batch by batch."""
    return problem.site.batches(
        problem.settings, problem.training, problem.layout, problem.streams.order
    )


def rows_of_batch(settings: Any, n_rows: int) -> int:
    """``batch_size`` as a number of rows."""
    if settings.batch_size == "full" or settings.solver == "lbfgs":
        return n_rows
    if settings.batch_size == "auto":
        return min(_AUTO_BATCH_SIZE, n_rows)
    return min(int(settings.batch_size), n_rows)


def _batches(
    settings: Any, training: TrainingSet, layout: Layout, order: np.random.Generator
) -> Batches:
    return Batches(
        training,
        rows_of_batch(settings, training.n_rows),
        chunk_rows=chunk_rows(layout, training.X),
        generator=order if settings.shuffle else None,
    )


def _max_norm(settings: Any, objective: Objective) -> Callable[[], None] | None:
    if settings.max_norm is None:
        return None
    return partial(limit_incoming_norms, objective.layers[:-1], settings.max_norm)


def _score(
    problem: Problem, objective: Objective, rows: TrainingSet | None
) -> Score | None:
    """The score of the rows at the objective's θ: minus the loss, or a scorer's."""
    if rows is None:
        return None
    lead = objective.theta.shape[:-1]
    if problem.settings.scoring != "loss":
        scorers = {
            place: _scorer(settings, objective, rows, place)
            for settings, place in zip(problem.members, np.ndindex(lead), strict=True)
        }

        def scored(places: Sequence[Place]) -> Array:
            scores = np.full(lead, np.nan)
            for place in places:
                scores[place] = scorers[place]()
            return scores

        return scored
    chunk = chunk_rows(objective.layout, rows.X, math.prod(lead))
    batches = Batches(rows, rows.n_rows, chunk_rows=chunk)

    def minus_loss(places: Sequence[Place]) -> Array:
        ((_, chunks),) = batches.epoch()
        with np.errstate(all="ignore"):
            return np.asarray(-objective.data_loss(chunks))

    return minus_loss


def _scorer(
    settings: Any, objective: Objective, rows: TrainingSet, place: Place
) -> Callable[[], float]:
    """The scorer's score of one network, as it is at the time."""
    model = copy.copy(settings)
    # Views of θ: the model is always that of the last step.
    layers = [Layer(W[place], b[place]) for W, b in objective.layers]
    vars(model).update(model_attributes(layers, rows.target))
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


def threads_of(problem: Problem, batches: Batches) -> AbstractContextManager[Any]:
    layout = problem.layout
    if issparse(problem.training.X):
        # The products with a sparse X are scipy's, which has no threads for them.
        layout = Layout(layout.units[1:])
    return threads_for(batches.most_rows * layout.largest_weight)


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


def stack_size(settings: Any, data: TrainingSet) -> int:
    """How many networks like this one may train as a stack; 1 where it does not pay."""
    if settings.solver == "lbfgs" or issparse(data.X):
        return 1
    layout, _, _ = network_of(settings, data)
    most_rows = min(rows_of_batch(settings, data.n_rows), chunk_rows(layout, data.X))
    return networks_at_once(layout, most_rows, data.X.dtype)


def column_magnitudes(data: TrainingSet) -> Array:
    """The largest magnitude in each column of X."""
    X = data.X
    largest = abs(X.max(axis=0)), abs(X.min(axis=0))
    if issparse(X):
        largest = tuple(row.toarray().ravel() for row in largest)
    magnitudes: Array = np.maximum(*largest)
    return magnitudes


# Rows in the memory of this process.
HERE = Site(Objective, _batches, _score, column_magnitudes)
