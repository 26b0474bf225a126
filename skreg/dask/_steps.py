"""A step of training where the partitions lie: θ goes to them, one sum comes back.

    J = Σ_p (sum of the weighted losses of partition p) / m + penalty

is a sum over partitions, and so is its gradient. Each task is the objective of a local
fit on the rows of its partition, without the penalty. It depends on its arguments
alone: the order of rows and the masks of dropout come from seeds among them.
"""

import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from skreg._network import Array
from skreg._network.activations import ACTIVATIONS, ActivationName
from skreg._network.dropout import BlockInputMasks, BlockMasks, InputMasks, Masks
from skreg._network.loss import OUTPUTS
from skreg._network.objective import Objective
from skreg._network.propagation import chunk_rows
from skreg._network.theta import Layout
from skreg._training.batches import Batches
from skreg._training.descent import Place, Score
from skreg._training.problem import Problem
from skreg._training.rows import Rows, Scaling, TrainingSet
from skreg.dask._partitions import Held, WorkerRows, seed_of, tasks

# Rows that share a stream of masks: numbered over all partitions, so that the masks do
# not depend on where one partition ends.
MASK_ROWS = 1024

# A θ of more bytes is sent once, and from worker to worker.
_LARGE = 100_000

# So many sums are added up in one task.
_FAN_IN = 16


class _Formula(NamedTuple):
    """What an objective is made of, apart from θ; small enough to send each time."""

    layout: Layout
    activation: ActivationName
    kind: str
    fill_masks: Masks | None
    drop_inputs: InputMasks | None
    scaling: Scaling | None


class _Batch(NamedTuple):
    """A global batch: of each partition that has some of its rows, which these are.

    ``orders`` has the order of the rows of each partition, or None for its own.
    """

    rows: WorkerRows
    parts: Array
    orders: list[Any] | None
    starts: Array
    stops: Array

    @property
    def n_rows(self) -> int:
        return int((self.stops - self.starts).sum())


class _GlobalBatches:
    """The global batches of each epoch: ⌈n / batch_size⌉, of near-equal sizes.

    Every partition gives near-equal slices of its rows, in an order of its own, to all
    batches.
    """

    def __init__(
        self, rows: WorkerRows, batch_rows: int, order: np.random.Generator | None
    ) -> None:
        self.n_rows = rows.n_rows
        self._rows = rows
        self._n_batches = -(-self.n_rows // batch_rows)
        self._order = order if self._n_batches > 1 else None

    def epoch(self) -> Iterator[tuple[int, Iterable[Any]]]:
        rows, n_batches = self._rows, self._n_batches
        orders, first = None, 0
        if self._order is not None:
            seed = int(self._order.integers(2**63))
            first = int(self._order.integers(n_batches))
            seeds = [seed_of(seed, p) for p in range(len(rows.parts))]
            orders = tasks(rows.client, _shuffled, rows.parts, seeds, which=rows.which)
        starts = np.zeros_like(rows.rows_of_parts)
        for batch in range(n_batches):
            stops = _edges(rows.rows_of_parts, n_batches, first, batch + 1)
            some = np.flatnonzero(stops > starts)
            chosen = None if orders is None else [orders[p] for p in some]
            step = _Batch(rows, some, chosen, starts[some], stops[some])
            yield step.n_rows, (step,)
            starts = stops


def _edges(n_rows: Array, n_batches: int, first: int, batch: int) -> Array:
    """How many rows of each partition come before a batch.

    A partition of n rows gives ⌊n / n_batches⌋ to each. The rows that are left are
    dealt one to a batch, as cards to players, from the batch ``first`` on and from
    partition to partition, so that the sizes of batches differ by one at most.
    """
    each, left = np.divmod(n_rows, n_batches)
    start = (first + np.cumsum(left) - left) % n_batches
    beyond = start + left - n_batches
    dealt = np.clip(batch - start, 0, left)
    around = np.minimum(batch, np.maximum(beyond, 0))
    before: Array = batch * each + np.where(
        beyond > 0, np.maximum(batch - start, 0) + around, dealt
    )
    return before


def _shuffled(part: Held, seed: int, which: int) -> Array:
    """The rows of X of a partition in a new order."""
    return np.random.default_rng(seed).permutation(part.sets[which].row_numbers())


class _Sum(NamedTuple):
    loss: float
    gradient: Array


def _rows_of_step(data: TrainingSet, order: Array | None, start: int, stop: int) -> Any:
    """The rows from start to before stop, of the partition in this order."""
    if order is None and stop - start == data.n_rows:
        return data
    if order is None:
        order = data.rows
    rows: Any = slice(start, stop) if order is None else order[start:stop]
    weight = None if data.weight is None else data.weight[rows]
    return replace(data, X=data.X[rows], y=data.y[rows], weight=weight, rows=None)


def _part_sum(
    part: Held,
    theta: Array,
    order: Array | None,
    start: int,
    stop: int,
    first: int,
    *,
    which: int,
    formula: _Formula,
    scale: float,
    seeds: tuple[Sequence[int], Sequence[int]],
    mask_rows: int,
) -> _Sum:
    """Σ weight · CE of the rows and its gradient, times ``scale``.

    The rows have the numbers from ``first`` on among those of the whole batch, by which
    their masks are drawn.
    """
    data = _rows_of_step(part.sets[which], order, start, stop)
    fill_masks, drop_inputs = formula.fill_masks, formula.drop_inputs
    of_hidden, of_inputs = seeds
    objective = _objective(formula, theta, data.n_rows)
    objective.fill_masks = fill_masks and BlockMasks(
        fill_masks, of_hidden, first, mask_rows
    )
    objective.drop_inputs = drop_inputs and BlockInputMasks(
        drop_inputs, of_inputs, first, mask_rows
    )
    share = scale * data.total_weight
    with np.errstate(all="ignore"):
        mean = float(objective(_chunks(data, formula)))
        return _Sum(share * mean, share * objective.gradient)


def _part_loss(
    part: Held, theta: Array, *, which: int, formula: _Formula, scale: float
) -> _Sum:
    """Σ weight · CE without dropout, times ``scale``; no gradient."""
    data = part.sets[which]
    objective = _objective(formula, theta, data.n_rows)
    with np.errstate(all="ignore"):
        mean = float(objective.data_loss(_chunks(data, formula)))
    return _Sum(scale * data.total_weight * mean, np.empty(0))


# By thread of a worker, the objective of its last task and what it is for.
_kept: dict[int, tuple[Any, Objective]] = {}


def forget() -> None:
    """Give back the workspaces of all threads."""
    _kept.clear()


def _objective(formula: _Formula, theta: Array, n_rows: int) -> Objective:
    """The objective without penalty, at θ.

    Its workspace is that of the last task if it fits: memory that is fresh from the
    system takes up to a fifth of the time. No result depends on what is in it.
    """
    layout, activation, kind, *_ = formula
    thread, key = threading.get_ident(), (layout, activation, kind, theta.dtype, n_rows)
    kept_key, objective = _kept.get(thread, (None, None))
    if objective is None or kept_key != key:
        objective = Objective(
            layout, ACTIVATIONS[activation], OUTPUTS[kind], theta.copy(), decay=0.0
        )
        _kept[thread] = key, objective
    objective.theta[...] = theta
    return objective


def _chunks(data: TrainingSet, formula: _Formula) -> Any:
    """All rows as one batch."""
    rows = chunk_rows(formula.layout, data.X)
    batches = Batches(data, data.n_rows, chunk_rows=rows, scaling=formula.scaling)
    ((_, chunks),) = batches.epoch()
    # A steady batch would be kept, with its rows, by the objective.
    return (chunk._replace(steady=False) for chunk in chunks)


def _added(sums: Sequence[_Sum]) -> _Sum:
    gradient = sums[0].gradient.copy()
    for part in sums[1:]:
        gradient += part.gradient
    return _Sum(sum(part.loss for part in sums), gradient)


def _reduced(
    client: Any,
    function: Callable[..., _Sum],
    parts: Sequence[Any],
    theta: Any,
    *lists: Sequence[Any],
    **same: Any,
) -> _Sum:
    """The sum of what the tasks give, added up by a tree on the workers.

    θ goes with the tasks, not ahead of them (scatter), so that Dask can run them again:
    in each, or if it is large in one that the others ask for it.
    """
    with warnings.catch_warnings():
        # The part of a graph that is large is θ, and there it belongs.
        warnings.filterwarnings("ignore", "Sending large graph")
        if theta.nbytes > _LARGE:
            theta = client.submit(np.asarray, theta, pure=False)
        sums = tasks(client, function, parts, [theta] * len(parts), *lists, **same)
    while len(sums) > 1:
        groups = [sums[i : i + _FAN_IN] for i in range(0, len(sums), _FAN_IN)]
        sums = tasks(client, _added, groups)
    total: _Sum = sums[0].result()
    return total


class RemoteObjective(Objective):
    """J, whose data term the workers compute; the penalty is added here, once."""

    def __init__(
        self,
        client: Any,
        activation: ActivationName,
        kind: str,
        layout: Layout,
        theta: Array,
        *,
        decay: float | Array,
        fill_masks: Masks | None,
        drop_inputs: InputMasks | None,
        scaling: Scaling | None,
    ) -> None:
        super().__init__(
            layout, ACTIVATIONS[activation], OUTPUTS[kind], theta, decay=decay
        )
        self._client = client
        self._seeds = [
            None if masks is None else int(masks.bit_generator.random_raw())
            for masks in (fill_masks, drop_inputs)
        ]
        self._n_calls = 0
        self.formula = _Formula(
            layout, activation, kind, fill_masks, drop_inputs, scaling
        )

    def _data_term(self, batch: Any) -> float:
        rows, n_rows = batch.rows, batch.n_rows
        sizes = batch.stops - batch.starts
        total = _reduced(
            self._client,
            _part_sum,
            [rows.parts[p] for p in batch.parts],
            self.theta.copy(),
            [None] * len(batch.parts) if batch.orders is None else batch.orders,
            batch.starts.tolist(),
            batch.stops.tolist(),
            (np.cumsum(sizes) - sizes).tolist(),
            which=rows.which,
            formula=self.formula,
            scale=rows.n_rows / n_rows / rows.total_weight,
            seeds=[None if s is None else (s, self._n_calls) for s in self._seeds],
            mask_rows=min(MASK_ROWS, n_rows),
        )
        self._n_calls += 1
        self.gradient[...] = total.gradient
        return total.loss


class RemoteProblem(Problem):
    """A problem whose rows lie on the workers of a cluster."""

    def objective(self, theta: Array) -> RemoteObjective:
        """J at θ, and its gradient, which the workers compute."""
        assert isinstance(self.training, WorkerRows)
        return RemoteObjective(
            self.training.client,
            self.settings.activation,
            self.training.target.kind,
            self.layout,
            theta,
            **self.dropout(theta.dtype),
            decay=self.decay(theta.dtype),
            scaling=self.scaling,
        )

    def batches(self) -> _GlobalBatches:
        """The rows for training, batch by batch, each from all partitions."""
        assert isinstance(self.training, WorkerRows)
        order = self.streams.order if self.settings.shuffle else None
        return _GlobalBatches(self.training, self.batch_rows, order)

    def minus_loss(self, objective: Objective, rows: Rows) -> Score:
        """Minus the loss of the rows at the objective's θ."""
        assert isinstance(rows, WorkerRows)
        return partial(_minus_loss, objective, rows)

    def __post_init__(self) -> None:
        super().__post_init__()
        # The workers make the products.
        vars(self)["largest_product"] = 0

    def most_splits(self) -> int:
        """One, since each epoch of each split is round trips to the workers."""
        return 1


def _minus_loss(objective: Any, rows: WorkerRows, places: Sequence[Place]) -> Array:
    total = _reduced(
        rows.client,
        _part_loss,
        rows.parts,
        objective.theta.copy(),
        which=rows.which,
        formula=objective.formula,
        scale=1 / rows.total_weight,
    )
    return np.asarray(-total.loss)
