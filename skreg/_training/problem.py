"""What is trained, and on which rows: the start, the objective, batches and scores."""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from scipy.sparse import issparse
from sklearn.metrics import check_scoring

from skreg._network import Array
from skreg._network.activations import ACTIVATIONS
from skreg._network.dropout import InputMasks, Masks
from skreg._network.loss import OUTPUTS
from skreg._network.objective import Objective
from skreg._network.optimizers import OPTIMIZERS, Constants, limit_incoming_norms
from skreg._network.propagation import LogitsError, chunk_rows, networks_at_once
from skreg._network.theta import Layout, initial_theta, theta_of
from skreg._training.batches import Batches
from skreg._training.descent import BatchSource, Place, Score, Stack
from skreg._training.rows import Rows, Scaling, TrainingSet, scaling_of
from skreg._training.settings import (
    Settings,
    Streams,
    checked_by_layer,
    lambd_of,
    random_streams,
    rows_of_batch,
)

# The weights that the splits may have in all. More splits gain little where a network
# has many columns, and each costs as much as the first.
_SPLIT_WEIGHTS = 2**18

# About what a step takes for its calls, for each weight in L2 and Adam, and for each
# weight and row in the products.
_SECONDS_OF_STEP, _SECONDS_OF_WEIGHT, _SECONDS_OF_PRODUCT = 4e-5, 3e-9, 1e-10


class Before(NamedTuple):
    """The model that a training goes on from: its weights, and what a solver left.

    ``state`` is a dict of arrays, numbers and strings, or None. ``scaling`` is how the
    columns were scaled in the training so far: the weights are for X as it is, and the
    state is of the network for scaled rows. ``lambd`` takes the place of 'auto'.
    """

    coefs: Sequence[Array]
    intercepts: Sequence[Array]
    samples_seen: int
    state: dict[str, Any] | None
    scaling: Scaling | None = None
    lambd: Any = None


@dataclass(frozen=True, eq=False)
class Problem:
    """What is trained, and on which rows.

    ``members`` has the estimator of each network, whose parameters are read and not
    written; ``starts`` says which draw of the initial weights is whose, and
    ``networks`` of which network each is a variant, of which one goes on. ``lambds``
    (..., n_layers) and ``keep_probs`` (..., n_hidden_layers) have a leading axis for
    the networks of a stack, which share all the rest. θ and J are for rows of X to
    which the ``scaling`` is applied. The rows are of the type :class:`TrainingSet`;
    where they lie elsewhere, a subclass reaches them.
    """

    members: Sequence[Settings]
    starts: Sequence[int]
    layout: Layout
    lambds: Array
    keep_probs: Array
    streams: Streams
    training: Rows
    networks: Sequence[int]
    max_iter: int
    scaling: Scaling | None = None
    validation: Rows | None = None
    # The estimator whose parameters are those of all, but for lambd and keep_prob.
    settings: Settings = field(init=False)
    is_stack: bool = field(init=False)
    # The rows of a batch, and those of it that are computed at a time.
    batch_rows: int = field(init=False)
    chunk_rows: int = field(init=False)
    # The multiplications of the largest product that this process makes.
    largest_product: int = field(init=False)
    # About how long all epochs take.
    seconds: float = field(init=False)

    @classmethod
    def of(
        cls,
        members: Sequence[Settings],
        training: Rows,
        before: Before | None = None,
        starts: Sequence[int] | None = None,
        incremental: bool = False,
    ) -> Self:
        """The problem of one estimator, or of several as a stack, checked.

        What goes on keeps its scaling and its ``lambd``. The first of ``incremental``
        calls knows too few rows for a scaling. That of all training rows is that of
        all splits of them.
        """
        scaling = None if before is None else before.scaling
        if before is not None and isinstance(members[0].lambd, str):
            members = [_with_lambd(member, before.lambd) for member in members]
        if before is None and members[0].standardize and not incremental:
            scaling = scaling_of(training)
        of_layers = [checked_by_layer(each) for each in members]
        hidden_units, lambds, keep_probs = of_layers[0]
        random_state, samples_seen = members[0].random_state, 0
        if len(members) > 1:
            lambds, keep_probs = (np.array([of[i] for of in of_layers]) for i in (1, 2))
            # Separate fits with the same seed would have the same streams, each its
            # own. A copy, so that a RandomState is as it was for fits after a failure.
            random_state = copy.deepcopy(random_state)
        if before is not None:
            samples_seen = before.samples_seen
        streams = random_streams(random_state, samples_seen)
        if before is not None and before.state is not None:
            streams = streams.restored(before.state["streams"])
        starts = [0] * len(members) if starts is None else starts
        layout = Layout((training.X.shape[1], *hidden_units, training.target.n_outputs))
        numbers = range(len(members))
        return cls(
            members,
            starts,
            layout,
            lambds,
            keep_probs,
            streams,
            training,
            numbers,
            1 if incremental else members[0].max_iter,
            scaling,
        )

    def __post_init__(self) -> None:
        settings, rows, layout = self.members[0], self.training, self.layout
        batch, chunk = rows_of_batch(settings, rows.n_rows), chunk_rows(layout, rows.X)
        # The products with a sparse X are scipy's, which has no threads for them.
        largest = max(layout.sizes[int(issparse(rows.X)) :])
        weights = len(self.members) * layout.n_weights
        step = _SECONDS_OF_STEP + _SECONDS_OF_WEIGHT * weights
        epoch = step * math.ceil(rows.n_rows / batch)
        epoch += _SECONDS_OF_PRODUCT * rows.n_rows * weights
        vars(self).update(
            settings=settings,
            is_stack=self.lambds.ndim > 1,
            batch_rows=batch,
            chunk_rows=chunk,
            largest_product=min(batch, chunk) * largest,
            seconds=self.max_iter * epoch,
        )

    def some(self, numbers: Sequence[int]) -> Self:
        """The networks of a stack with these numbers."""
        if not self.is_stack:
            return self
        some = list(numbers)
        return replace(
            self,
            lambds=self.lambds[some],
            keep_probs=self.keep_probs[some],
            members=[self.members[number] for number in some],
            starts=[self.starts[number] for number in some],
            networks=[self.networks[number] for number in some],
        )

    def with_variants(self, chosen: Sequence[tuple[int, Any]]) -> Self:
        """Of each pair the network with this number, with this ``lambd``."""
        if len(chosen) == len(self.members):
            return self
        numbers = [number for number, _ in chosen]
        members = [_with_lambd(self.members[number], value) for number, value in chosen]
        of_layers = [checked_by_layer(member) for member in members]
        return replace(
            self,
            members=members,
            lambds=np.array([lambds for _, lambds, _ in of_layers]),
            keep_probs=np.array([keep_probs for *_, keep_probs in of_layers]),
            starts=[self.starts[number] for number in numbers],
            networks=[self.networks[number] for number in numbers],
        )

    def chosen(self, numbers: Sequence[int]) -> Self:
        """The variants with these numbers; that of a network alone is no stack."""
        some = self.some(numbers)
        if len(set(self.networks)) > 1 or not self.is_stack:
            return some
        return replace(some, lambds=some.lambds[0], keep_probs=some.keep_probs[0])

    def start(
        self, before: Before | None = None, *, from_frequencies: bool = True
    ) -> Array:
        """The θ with which the networks start, at the frequencies of the classes."""
        layout, training = self.layout, self.training
        dtype = training.X.dtype
        if before is not None:
            _check_layers(self.settings, layout, before)
            theta = theta_of(before.coefs, before.intercepts, dtype)
            if self.scaling is not None:
                self.scaling.unfold(layout.layers(theta)[0])
            return theta
        # Rare classes and extreme weights need not be learnt step by step.
        prior = training.prior_logits() if from_frequencies else 0.0
        generator, activation = self.streams.weights, self.settings.activation
        draws = [
            initial_theta(layout, activation, generator, dtype)
            for _ in range(max(self.starts) + 1)
        ]
        for theta in draws:
            layout.layers(theta)[-1].b[:, 0] = prior
        if self.is_stack:
            return np.array([draws[start] for start in self.starts])
        return draws[self.starts[0]]

    def stack(self, theta: Array) -> Stack:
        """All that a step and the end of an epoch need, for one network or a stack."""
        settings, objective = self.settings, self.objective(theta)
        constants = Constants(
            settings.momentum,
            settings.nesterovs_momentum,
            settings.beta_1,
            settings.beta_2,
            settings.epsilon,
        )
        constrain = None
        if settings.max_norm is not None:
            hidden = objective.layers[:-1]
            constrain = partial(limit_incoming_norms, hidden, settings.max_norm)
        # 'lbfgs' has no steps, and is no optimiser.
        make = OPTIMIZERS[settings.solver]  # type: ignore[index]
        optimizer = make(constants, objective.theta, objective.gradient)
        return Stack(objective, optimizer, constrain, **self.scores(objective))

    def scores(self, objective: Objective) -> dict[str, Any]:
        """What scores the rows for validation, and those of training, by epoch."""
        training = self.training if self.settings.train_scores else None
        return {
            "validate": self.score(objective, self.validation),
            "train_score": self.score(objective, training),
        }

    def decay(self, dtype: DTypeLike) -> Array:
        """``lambd`` over the total training weight, of each layer."""
        total = self.training.total_weight
        with np.errstate(over="ignore"):
            decay: Array = (self.lambds / total).astype(dtype)
        if not np.isfinite(decay).all():
            finite = np.isfinite(decay).reshape(len(self.members), -1).all(axis=1)
            lambd = lambd_of(self.members[int(np.argmin(finite))])
            raise ValueError(
                f"lambd={lambd!r} over the total weight of the training "
                f"rows, {total:.3g}, overflows {decay.dtype}. Lower lambd, or multiply "
                "sample_weight by a number that brings it near 1."
            )
        return decay

    def dropout(self, dtype: DTypeLike) -> dict[str, Any]:
        """``fill_masks`` and ``drop_inputs`` of an objective, None if nothing drops."""
        units = self.layout.hidden_units
        return dropout(self.settings, self.keep_probs, units, self.streams, dtype)

    def attributes(self, theta: Array) -> dict[str, Any]:
        """The fitted attributes with which a network predicts, for X as it is."""
        layers, target = self.layout.layers(theta.copy()), self.training.target
        mean, scale = self.scaling or (None, None)
        if self.scaling is not None:
            self.scaling.fold(layers[0])
        return {
            "coefs_": [W.T for W, _ in layers],
            "intercepts_": [b[:, 0] for _, b in layers],
            "mean_": mean,
            "scale_": scale,
            "classes_": target.classes,
            "n_layers_": len(layers) + 1,
            "n_outputs_": target.n_outputs,
            "out_activation_": OUTPUTS[target.kind].activation,
        }

    # What reaches the rows.

    def objective(self, theta: Array) -> Objective:
        """J at θ, and its gradient."""
        return Objective(
            self.layout,
            ACTIVATIONS[self.settings.activation],
            OUTPUTS[self.training.target.kind],
            theta,
            **self.dropout(theta.dtype),
            decay=self.decay(theta.dtype),
        )

    def batches(self) -> BatchSource:
        """The rows for training, batch by batch."""
        assert isinstance(self.training, TrainingSet)
        order = self.streams.order if self.settings.shuffle else None
        chunk, scaling = self.chunk_rows, self.scaling
        return Batches(
            self.training, self.batch_rows, order, chunk_rows=chunk, scaling=scaling
        )

    def minus_loss(self, objective: Objective, rows: Rows) -> Score:
        """Minus the loss of the rows at the objective's θ, without penalty and dropout.

        It has all networks of a stack, whatever the places are.
        """
        assert isinstance(rows, TrainingSet)
        n_networks = math.prod(objective.theta.shape[:-1])
        chunk = chunk_rows(objective.layout, rows.X, n_networks)
        batches = Batches(rows, rows.n_rows, chunk_rows=chunk, scaling=self.scaling)
        return partial(_minus_loss, objective, batches)

    def score(self, objective: Objective, rows: Rows | None) -> Score | None:
        """The score of the rows at the objective's θ: minus the loss, or a scorer's."""
        if rows is None:
            return None
        if self.settings.scoring == "loss":
            return self.minus_loss(objective, rows)
        assert isinstance(rows, TrainingSet)
        theta, axes = objective.theta, objective.theta.shape[:-1]
        scorers = {
            place: _scorer(settings, partial(self.attributes, theta[place]), rows)
            for settings, place in zip(self.members, np.ndindex(axes), strict=True)
        }

        def scored(places: Sequence[Place]) -> Array:
            scores = np.full(axes, np.nan)
            for place in places:
                scores[place] = scorers[place]()
            return scores

        return scored

    def most_splits(self) -> int:
        """How many splits of the rows can train at the same time."""
        return max(1, _SPLIT_WEIGHTS // self.layout.n_parameters)


def _with_lambd(settings: Settings, lambd: Any) -> Settings:
    variant = copy.copy(settings)
    vars(variant).update(lambd=lambd)
    return variant


def _check_layers(settings: Settings, layout: Layout, before: Before) -> None:
    hidden_units = tuple(len(b) for b in before.intercepts[:-1])
    if hidden_units != layout.hidden_units:
        raise ValueError(
            f"hidden_layer_sizes={settings.hidden_layer_sizes!r}, but the model that "
            f"is to be trained further has hidden layers of {hidden_units} units. Set "
            f"hidden_layer_sizes={hidden_units}, or begin anew: fit with "
            "warm_start=False, or partial_fit of a clone."
        )


def dropout(
    settings: Settings,
    keep_probs: ArrayLike,
    hidden_units: Sequence[int],
    streams: Streams,
    dtype: DTypeLike,
) -> dict[str, Any]:
    """What draws the masks of hidden units and of inputs, None if nothing drops."""
    fill_masks, drop_inputs = None, None
    if np.min(keep_probs) < 1:
        fill_masks = Masks(keep_probs, hidden_units, streams.masks, dtype)
    if settings.input_keep_prob < 1:
        drop_inputs = InputMasks(settings.input_keep_prob, streams.input_masks)
    return {"fill_masks": fill_masks, "drop_inputs": drop_inputs}


def _minus_loss(objective: Objective, rows: Batches, places: Sequence[Place]) -> Array:
    ((_, chunks),) = rows.epoch()
    with np.errstate(all="ignore"):
        return np.asarray(-objective.data_loss(chunks))


def _scorer(
    settings: Settings, attributes: Callable[[], dict[str, Any]], rows: TrainingSet
) -> Callable[[], float]:
    """The scorer's score of one network, with its attributes at the time."""
    model = copy.copy(settings)
    vars(model).pop("feature_names_in_", None)
    scorer = check_scoring(model, scoring=settings.scoring)
    X, y, sample_weight = rows.gathered()
    extra = {} if sample_weight is None else {"sample_weight": sample_weight}

    def scored() -> float:
        vars(model).update(attributes())
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


def stack_size(settings: Settings, data: TrainingSet) -> int:
    """How many networks like this one may train as a stack; 1 where it does not pay."""
    if settings.solver == "lbfgs" or issparse(data.X):
        return 1
    hidden_units, _, _ = checked_by_layer(settings)
    layout = Layout((data.X.shape[1], *hidden_units, data.target.n_outputs))
    batch_rows = rows_of_batch(settings, data.n_rows)
    most_rows = min(batch_rows, chunk_rows(layout, data.X))
    return networks_at_once(layout, most_rows, data.X.dtype)
