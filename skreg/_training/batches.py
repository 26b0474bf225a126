"""The rows of a training set, batch by batch."""

from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from skreg._network import Array
from skreg._network.objective import Batch
from skreg._training.rows import Scaling, TrainingSet

# Small batches are gathered some at a time, up to this size and number.
_GATHERED_BYTES = 2**20
_GATHERED_BATCHES = 32

# Rows that one product sums over. Of more the gradient would lose digits, since some
# kernels of BLAS add them one after the other.
_SUMMED_ROWS = 4096


class _Buffers(NamedTuple):
    """Where rows are gathered: which, X, the codes y and their Y, and the weights."""

    rows: NDArray[np.intp]
    X: Array
    y: Array
    Y: Array
    weight: Array


class Batches:
    """The rows of a training set in near-equal batches, cut into chunks.

    There are ⌈n / batch_size⌉ batches, whose sizes differ by one at most. Each epoch
    shuffles the rows if a ``generator`` is given and there is more than one batch.
    Rows are scaled where they are gathered, if there is a ``scaling``.
    ``most_rows`` is the number of rows of the largest chunk.
    """

    def __init__(
        self,
        data: TrainingSet,
        batch_size: int,
        generator: np.random.Generator | None = None,
        *,
        chunk_rows: int,
        scaling: Scaling | None = None,
    ) -> None:
        chunk_rows = min(chunk_rows, _SUMMED_ROWS)
        n = self.n_rows = data.n_rows
        n_batches = -(-n // batch_size)
        largest = -(-n // n_batches)
        edges = [i * n // n_batches for i in range(n_batches + 1)]
        together = _batches_together(data, largest, chunk_rows)
        self._groups = [
            edges[i : i + together + 1] for i in range(0, n_batches, together)
        ]
        self._chunk_rows = chunk_rows
        self.most_rows = min(largest, chunk_rows)
        self._data = data
        self._generator = generator if n_batches > 1 else None
        self._scaling = scaling
        # Without it, chunks are slices of X, and nothing is gathered but to be scaled.
        self._order: Array | None = None
        if data.rows is not None or self._generator is not None:
            self._order = data.row_numbers().copy()
        dtype = data.X.dtype
        self._weight = None
        if data.weight is not None:
            # What overflows belongs to rows that are not among these.
            with np.errstate(over="ignore"):
                self._weight = (data.weight / (data.total_weight / n)).astype(dtype)
        self._codes = np.arange(data.target.n_outputs, dtype=data.y.dtype)[:, None]
        self._most_gathered = min(n, together * self.most_rows)
        # The share of each sample of a batch of this many, where weights are equal.
        self._equal_shares = {
            size: np.full(size, 1 / size, dtype) for size in {n // n_batches, largest}
        }
        # The batches made of the buffers, by first row, size and rows of the batch.
        self._steady: dict[tuple[int, int, int], Batch] = {}
        # The one chunk of every epoch, where all rows are taken in one, in one order.
        self._whole: Batch | None = None

    def epoch(self) -> Iterator[tuple[int, Iterable[Batch]]]:
        """Each batch's number of rows and its chunks, which share buffers."""
        if self._generator is not None and self._order is not None:
            self._generator.shuffle(self._order)
        for edges in self._groups:
            start, stop = edges[0], edges[-1]
            if len(edges) == 2:
                yield stop - start, self._chunks(start, stop)
                continue
            gathered = self._gathered(start, stop)
            for first, last in pairwise(edges):
                size = last - first
                yield size, (self._batch(gathered, first - start, size, size),)

    def _chunks(self, start: int, stop: int) -> Iterator[Batch]:
        if self._whole is not None:
            yield self._whole
            return
        for first in range(start, stop, self._chunk_rows):
            size = min(self._chunk_rows, stop - first)
            gathered = self._gathered(first, first + size)
            chunk = self._batch(gathered, 0, size, stop - start)
            if size == self.n_rows:
                chunk = self._whole = chunk._replace(steady=True)
            yield chunk

    def _batch(
        self, gathered: _Buffers, first: int, size: int, batch_rows: int
    ) -> Batch:
        """Some of the gathered rows, which are all or a part of ``batch_rows``."""
        key = first, size, batch_rows
        batch = self._steady.get(key)
        if batch is None:
            X, Y, weight = gathered.X, gathered.Y, gathered.weight
            rows = slice(first, first + size)
            share = self._equal_shares[batch_rows][:size]
            if self._weight is not None:
                share = weight[rows]
            # A slice of a sparse table is a copy, so all of it is taken as it is.
            X = X if size == X.shape[0] else X[rows]
            batch = Batch(X.T, Y[:, rows], share)
            if self._order is not None:
                batch = self._steady[key] = batch._replace(steady=True)
        elif issparse(gathered.X):
            # The batch stays the same object, for its plan.
            kept: Any = batch.X
            for name in ("data", "indices", "indptr"):
                setattr(kept, name, getattr(gathered.X, name))
        if self._weight is not None:
            np.divide(batch.share, batch_rows, out=batch.share)
        return batch

    def _gathered(self, first: int, last: int) -> _Buffers:
        """X, y, Y and weights of the rows from the first to before the last."""
        data, size = self._data, last - first
        rows, X, y, Y, weight = self._buffers
        rows, X, y = rows[:size], X[:size], y[:size]
        Y, weight = Y[:, :size], weight[:size]
        if self._order is None:
            X = data.X if size == data.X.shape[0] else data.X[first:last]
            y = data.y[first:last]
            if self._weight is not None:
                np.copyto(weight, self._weight[first:last])
        else:
            rows[...] = self._order[first:last]
            # mode="clip" spares numpy a buffer; the rows are in range anyway.
            if issparse(data.X):
                X = data.X[rows]
            else:
                np.take(data.X, rows, axis=0, out=X, mode="clip")
            np.take(data.y, rows, axis=0, out=y, mode="clip")
            if self._weight is not None:
                np.take(self._weight, rows, out=weight, mode="clip")
        if self._scaling is not None:
            X = X.copy() if self._order is None else X
            self._scaling.apply(X)
        if data.target.kind == "multiclass":
            np.equal(self._codes, y, out=Y)
        else:
            np.copyto(Y, y.T)
        return _Buffers(rows, X, y, Y, weight)

    @cached_property
    def _buffers(self) -> _Buffers:
        # Made at the first batch: splits that wait for their turn need none.
        X, y, size = self._data.X, self._data.y, self._most_gathered
        gathered = 0 if self._order is None else size
        n_columns = 0 if issparse(X) else X.shape[1]
        return _Buffers(
            rows=np.empty(gathered, dtype=np.intp),
            X=np.empty((gathered, n_columns), dtype=X.dtype),
            y=np.empty((gathered, *y.shape[1:]), dtype=y.dtype),
            Y=np.empty((self._data.target.n_outputs, size), dtype=X.dtype),
            weight=np.empty(size if self._weight is not None else 0, dtype=X.dtype),
        )


def _batches_together(data: TrainingSet, largest: int, chunk_rows: int) -> int:
    """How many batches of up to ``largest`` rows are gathered at a time."""
    if largest > chunk_rows or issparse(data.X):
        return 1
    row_bytes: int = data.X.itemsize * (data.X.shape[1] + data.target.n_outputs)
    return max(1, min(_GATHERED_BYTES // (largest * row_bytes), _GATHERED_BATCHES))
