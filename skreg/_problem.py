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
from skreg._data import Target, TrainingSet, validation_rows
from skreg._dropout import InputMasks, Masks
from skreg._loss import OUTPUTS
from skreg._network import LogitsError, chunk_rows, networks_at_once
from skreg._objective import Objective
from skreg._optimizers import OPTIMIZERS, limit_incoming_norms
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

# The batches that batch_size='auto' wants in an epoch, and their smallest and largest
# number of rows.
_AUTO_BATCHES = 50
_AUTO_BATCH_SIZES = 64, 200

# The rows from which early_stopping='auto' sets some aside: of fewer, a tenth tells
# little and is missed in training.
_LEAST_TO_SPLIT = 100

# The rows up to which early_stopping_refit='auto' trains again: of more, those set
# aside add little.
_MOST_TO_REFIT = 10_000

# Rows of X that are gathered for its moments.
_ROWS_AT_ONCE = 4096

# n_validation_splits='auto' has so many rows for validation over all splits, in few
# splits: the best epoch by fewer rows is mostly chance.
_ROWS_TO_JUDGE_BY = 300
_MOST_SPLITS = 10

# The memory that they may take: each has θ, its gradient, two moments, two vectors for
# the mean and the best of them.
_SPLIT_BYTES = 2**26
_VECTORS = 7


class Site(NamedTuple):
    """Where the rows lie, as the functions that reach them there.

    ``objective`` has the parameters of :class:`Objective`. ``batches(settings, rows,
    layout, generator)`` gives what a solver takes; ``score(problem, objective, rows)``
    the score at the objective's θ, or None without rows; ``magnitudes(rows)`` the
    largest magnitude in each column of X, ``moments(rows)`` Σ x, Σ x² of each and the
    number of rows.
    ``most_rows(settings, rows, layout)`` are the rows of the largest product that this
    process makes.
    """

    objective: Callable[..., Objective]
    batches: Callable[..., Any]
    score: Callable[..., Score | None]
    magnitudes: Callable[[Any], Array]
    moments: Callable[[Any], tuple[Array, Array, int]]
    most_rows: Callable[..., int]


class Problem(NamedTuple):
    """What is trained, and on which rows.

    The rows are of the type :class:`TrainingSet`, or lie elsewhere, at their ``site``.
    ``lambds`` (..., n_layers) and ``keep_probs`` (..., n_hidden_layers) have a leading
    axis for the networks of a stack, which share all the rest. ``members`` has the
    estimator of each network, for scorers to see; ``starts`` says which draw of the
    initial weights is whose.
    """

    members: Sequence[Any]
    starts: Sequence[int]
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


def rounds_of(problem: Problem, validation: Any) -> list[Problem]:
    """The problem with rows for validation: those given, or some of its own.

    There is one for each split; without early stopping it is the problem itself.
    """
    settings, data = problem.settings, problem.training
    if validation is not None:
        return [problem._replace(validation=validation)]
    if not _sets_rows_aside(settings, data):
        return [problem]
    n_splits = _n_splits(problem)
    rounds = []
    for number in range(n_splits):
        training, held_out = data.split(
            settings.validation_fraction, problem.streams.split_seed, number, n_splits
        )
        # Each begins with the same weights, as the training on all rows will.
        streams = copy.deepcopy(problem.streams)
        rounds.append(
            problem._replace(training=training, validation=held_out, streams=streams)
        )
    return rounds


def stops_early_for_sure(settings: Any) -> bool:
    """Whether ``early_stopping`` is true, whatever the rows are."""
    return settings.early_stopping != "auto" and bool(settings.early_stopping)


def _sets_rows_aside(settings: Any, data: Any) -> bool:
    """Whether ``early_stopping`` takes rows of these for validation."""
    if settings.early_stopping != "auto":
        return stops_early_for_sure(settings)
    return bool(
        settings.solver != "lbfgs"
        and data.n_rows >= _LEAST_TO_SPLIT
        and settings.validation_fraction > 0
        and data.strata().max() > 1
    )


def trains_again(settings: Any, data: Any) -> bool:
    """Whether ``early_stopping_refit`` wants a training on all rows of ``data``."""
    if settings.warm_start:
        # The next call would judge by rows that this one has trained on.
        return False
    if settings.learning_rate == "adaptive" and settings.solver != "lbfgs":
        # Its rate follows the validation score, of which there is none then.
        return False
    if settings.early_stopping_refit == "auto":
        has_several = settings.n_validation_splits not in ("auto", 1)
        return bool(has_several or data.n_rows <= _MOST_TO_REFIT)
    return bool(settings.early_stopping_refit)


def _n_splits(problem: Problem) -> int:
    """``n_validation_splits`` as a number."""
    settings, data = problem.settings, problem.training
    n_splits = settings.n_validation_splits
    if trains_again(settings, data):
        if n_splits == "auto":
            n_splits = _enough_splits(problem)
        return int(n_splits)
    if n_splits not in ("auto", 1):
        raise ValueError(
            f"n_validation_splits={n_splits} goes with a training on all rows that "
            "follows, but there is none with early_stopping_refit="
            f"{settings.early_stopping_refit!r}, {data.n_rows} rows, warm_start="
            f"{settings.warm_start} and learning_rate={settings.learning_rate!r}. Set "
            "early_stopping_refit=True, without warm_start and 'adaptive', or "
            "n_validation_splits=1."
        )
    return 1


def _enough_splits(problem: Problem) -> int:
    """So many splits that their rows judge well; they train at the same time."""
    settings, data = problem.settings, problem.training
    if problem.site is not HERE:
        # Each epoch of each split is round trips to the workers.
        return 1
    theta_bytes = problem.layout.n_parameters * data.X.dtype.itemsize
    most: int = max(1, min(_MOST_SPLITS, _SPLIT_BYTES // (_VECTORS * theta_bytes)))
    held_out = validation_rows(data.strata(), settings.validation_fraction)
    return min(most, math.ceil(_ROWS_TO_JUDGE_BY / int(held_out.sum())))


def starts_of(problem: Problem, *, from_frequencies: bool) -> list[Array]:
    """The θ with which each network starts."""
    layout, training = problem.layout, problem.training
    draws = [
        initial_theta(
            layout,
            problem.settings.activation,
            problem.streams.weights,
            training.X.dtype,
        )
        for _ in range(max(problem.starts) + 1)
    ]
    if from_frequencies:
        # Rare classes and extreme weights need not be learnt step by step. The first
        # rows of partial_fit may not have all classes.
        prior = training.prior_logits()
        for theta in draws:
            layout.layers(theta)[-1].b[:, 0] = prior
    return [draws[start] for start in problem.starts]


def objective_of(problem: Problem, theta: Array) -> Objective:
    settings, layout, training = problem.settings, problem.layout, problem.training
    return problem.site.objective(
        layout,
        ACTIVATIONS[settings.activation],
        OUTPUTS[training.target.kind],
        theta,
        decay=_decay(problem, theta.dtype),
        **dropout(
            settings,
            problem.keep_probs,
            layout.hidden_units,
            problem.streams,
            theta.dtype,
        ),
    )


def _decay(problem: Problem, dtype: DTypeLike) -> Array:
    """``lambd`` over the total training weight, for each weight."""
    total = problem.training.total_weight
    with np.errstate(over="ignore"):
        decay = np.asarray(problem.layout.for_each_weight(problem.lambds) / total)
        decay = decay.astype(dtype)
    if not np.isfinite(decay).all():
        raise ValueError(
            f"lambd={problem.settings.lambd!r} over the total weight of the training "
            f"rows, {total:.3g}, overflows {decay.dtype}. Lower lambd, or multiply "
            "sample_weight by a number that brings it near 1."
        )
    return decay


def stack_of(problem: Problem, theta: Array) -> Stack:
    """All that a step and the end of an epoch need, for one network or a stack."""
    settings, objective = problem.settings, objective_of(problem, theta)
    return Stack(
        objective,
        OPTIMIZERS[settings.solver](settings, objective.theta, objective.gradient),
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
        smallest, largest = _AUTO_BATCH_SIZES
        return min(max(smallest, min(n_rows // _AUTO_BATCHES, largest)), n_rows)
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
        except LogitsError:
            # As with 'loss'. If the training diverges, its loss will say so.
            return math.nan
        except MemoryError:
            raise
        except Exception as error:
            raise ValueError(
                f"scoring={settings.scoring!r} failed on {len(y)} rows of the "
                f"classes {np.unique(y)}: {str(error).rstrip('.')}. Give another "
                "scoring, or by X_val and y_val rows that it can score, of all classes."
            ) from error

    return scored


def threads_of(problem: Problem) -> AbstractContextManager[Any]:
    settings, rows, layout = problem.settings, problem.training, problem.layout
    most_rows = problem.site.most_rows(settings, rows, layout)
    if issparse(rows.X):
        # The products with a sparse X are scipy's, which has no threads for them.
        layout = Layout(layout.units[1:])
    return threads_for(most_rows * layout.largest_weight)


def _most_rows(settings: Any, rows: TrainingSet, layout: Layout) -> int:
    return min(rows_of_batch(settings, rows.n_rows), chunk_rows(layout, rows.X))


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
    most_rows = _most_rows(settings, data, layout)
    return networks_at_once(layout, most_rows, data.X.dtype)


def column_magnitudes(data: TrainingSet) -> Array:
    """The largest magnitude in each column of X."""
    X = data.X
    largest = abs(X.max(axis=0)), abs(X.min(axis=0))
    if issparse(X):
        largest = tuple(row.toarray().ravel() for row in largest)
    magnitudes: Array = np.maximum(*largest)
    return magnitudes


def column_moments(data: TrainingSet) -> tuple[Array, Array, int]:
    """Σ x and Σ x² of each column of X, and the number of rows that take part."""
    X, rows = data.X, data.rows
    if rows is None:
        return *_moments(X), X.shape[0]
    total = np.zeros((2, X.shape[1]))
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        total += _moments(X[rows[start : start + _ROWS_AT_ONCE]])
    return total[0], total[1], len(rows)


def _moments(X: Any) -> tuple[Array, Array]:
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        if issparse(X):
            values, n = X.data.astype(float), X.shape[1]
            return (
                np.bincount(X.indices, values, minlength=n),
                np.bincount(X.indices, np.square(values), minlength=n),
            )
        sums = X.sum(axis=0, dtype=float)
        return sums, np.einsum("ij,ij->j", X, X, dtype=float)


# Rows in the memory of this process.
HERE = Site(Objective, _batches, _score, column_magnitudes, column_moments, _most_rows)
