"""Masks of inverted dropout: D is 1 / keep_prob where a unit is kept, 0 elsewhere."""

import copy
import math
from collections.abc import Iterator, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from scipy.sparse import hstack, issparse

from skreg._network import Array

# Raw words drawn at a time: what a draw allocates does not grow with the batch.
_BLOCK = 4096


class _Integers:
    """Random 16-bit integers for masks of a shape, whose leading axes share them."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        n_integers = math.prod(shape[-2:])
        words = np.empty(-(-n_integers // 4), dtype=np.uint64)
        self._words = np.split(words, range(_BLOCK, words.size, _BLOCK))
        self._integers = words.view(np.uint16)[:n_integers].reshape(shape[-2:])
        self.kept = by_units(shape, bool)

    def draw(self, bit_generator: np.random.BitGenerator, last_kept: Array) -> Array:
        """New integers: which are at most ``last_kept``."""
        for words in self._words:
            words[...] = bit_generator.random_raw(words.size)
        return np.less_equal(self._integers, last_kept, out=self.kept)


def by_units(shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """Room for masks (..., units, m): those of a layer are one piece of memory."""
    if len(shape) < 3:
        return np.empty(shape, dtype)
    *axes, units, m = shape
    return np.moveaxis(np.empty((units, *axes, m), dtype), 0, -2)


class Masks:
    """Draws the masks of all hidden layers of a batch, one below the other.

    A unit is kept where its random 16-bit integer is below ``round(65536 keep_prob)``
    (never zero), and D is the inverse of that exact keep fraction, so that its
    expected value is exactly one. One integer is drawn for each unit and sample,
    whatever ``keep_prob`` is, and shared by the leading axes of D. Networks of a stack
    with the same ``keep_prob`` share a mask.

    Parameters
    ----------
    keep_probs : array-like of shape (..., n_layers)
        ``keep_prob`` of each hidden layer.
    units : sequence of int
        The units of each hidden layer.

    Attributes
    ----------
    which : ndarray of shape (n_networks,) or None
        Where some rows of ``keep_probs`` are equal, the number of the mask of each
        network: D has one for each distinct row. None if D has one for each network.
    """

    def __init__(
        self,
        keep_probs: ArrayLike,
        units: Sequence[int],
        bit_generator: np.random.BitGenerator,
        dtype: DTypeLike,
    ) -> None:
        kept = np.atleast_1d(_kept(keep_probs))
        self.which: Array | None = None
        if kept.ndim == 2:
            distinct, which = np.unique(kept, axis=0, return_inverse=True)
            if len(distinct) < len(kept):
                kept, self.which = distinct, which.ravel()
        if (kept == kept.flat[0]).all():
            # One number for all: numpy goes through D in one piece, not row by row.
            kept = kept.flat[0]
        elif (kept == kept[..., :1]).all():
            # One for each network.
            kept = kept[..., :1, np.newaxis]
        else:
            kept = np.repeat(kept, units, axis=-1)[..., np.newaxis]
        self.bit_generator = bit_generator
        self._last_kept = np.asarray(kept - 1, dtype=np.uint16)
        self._scale = np.asarray(65536 / kept, dtype=dtype)
        self._buffers: dict[tuple[int, ...], _Integers] = {}

    def __call__(self, D: Array) -> None:
        """Fill D of shape (..., n_units, n_samples) with new masks."""
        if D.shape not in self._buffers:
            self._buffers[D.shape] = _Integers(D.shape)
        kept = self._buffers[D.shape].draw(self.bit_generator, self._last_kept)
        np.multiply(kept, self._scale, out=D)


class InputMasks:
    """Drops input values, and divides those kept by the exact keep fraction.

    Of a sparse X only the stored values are masked, since a dropped zero is a zero.
    """

    def __init__(self, keep_prob: float, bit_generator: np.random.BitGenerator) -> None:
        kept = _kept(keep_prob)
        self.bit_generator = bit_generator
        self._last_kept = np.asarray(kept - 1, dtype=np.uint16)
        self._scale = float(65536 / kept)
        self._buffers: dict[tuple[int, ...], tuple[Array, _Integers]] = {}

    def __call__(self, X: Any) -> Any:
        """X of shape (n_x, n_samples) with new masks applied; X is not changed."""
        if issparse(X):
            D = np.empty_like(X.data)
            self._fill(D, _Integers(D.shape))
            D *= X.data
            return type(X)((D, X.indices, X.indptr), shape=X.shape)
        if X.shape not in self._buffers:
            # Rows of the table are contiguous, and so are those of the buffer.
            D = np.empty(X.T.shape, dtype=X.dtype)
            self._buffers[X.shape] = D, _Integers(D.shape)
        D, integers = self._buffers[X.shape]
        self._fill(D, integers)
        D *= X.T
        return D.T

    def _fill(self, D: Array, integers: _Integers) -> None:
        kept = integers.draw(self.bit_generator, self._last_kept)
        np.multiply(kept, self._scale, out=D)


def drops_nothing(keep_probs: ArrayLike) -> bool:
    """Whether every value is kept, those of ``keep_prob`` being rounded."""
    return bool((_kept(keep_probs) == 65536).all())


def _kept(keep_prob: ArrayLike) -> Array:
    """How many of the 65536 integers keep a unit: at least one."""
    kept: Array = np.maximum(1, np.rint(65536 * np.asarray(keep_prob, dtype=float)))
    return kept


_Drawn = TypeVar("_Drawn", Masks, InputMasks)


class _ByBlocks(Generic[_Drawn]):
    """Masks of rows that have numbers, the same in whatever pieces they come.

    Each block of ``size`` rows has a stream of its own, whose seed is ``seed`` and the
    number of the block's first row. A call is for the rows that follow those of the
    call before; the first begins with the row ``first``.
    """

    def __init__(
        self, masks: _Drawn, seed: Sequence[int], first: int, size: int
    ) -> None:
        self._masks: _Drawn = copy.deepcopy(masks)
        self._seed = seed
        self._next = first
        self._size = size
        # Of as many rows as a block: what the masks are drawn into, or applied to.
        self._whole: Array | None = None

    def _pieces(self, n_rows: int) -> Iterator[tuple[int, slice, slice]]:
        """The next rows, block by block: the number of the block's first row; which
        rows they are of those that come, and which of the block.
        """
        first, stop = self._next, self._next + n_rows
        self._next = stop
        for start in range(first - first % self._size, stop, self._size):
            low, high = max(first, start), min(stop, start + self._size)
            rows = slice(low - first, high - first)
            yield start, rows, slice(low - start, high - start)

    def _begin_stream(self, row: int) -> None:
        seed = np.random.SeedSequence([*self._seed, row])
        self._masks.bit_generator = np.random.SFC64(seed)


class BlockMasks(_ByBlocks[Masks]):
    """The masks of hidden units, block by block."""

    @property
    def which(self) -> Array | None:
        return self._masks.which

    def __call__(self, D: Array) -> None:
        """Fill D of shape (..., n_units, n_samples)."""
        if self._whole is None:
            self._whole = np.empty((*D.shape[:-1], self._size), dtype=D.dtype)
        for start, rows, of_block in self._pieces(D.shape[-1]):
            self._begin_stream(start)
            self._masks(self._whole)
            D[..., rows] = self._whole[..., of_block]


class BlockInputMasks(_ByBlocks[InputMasks]):
    """Drops input values, alike for the same row in whatever pieces the rows come.

    The stored values of a sparse X have a stream for each piece of a block that comes,
    seeded by its first row.
    """

    def __call__(self, X: Any) -> Any:
        """X of shape (n_x, n_samples) with masks applied; X is not changed."""
        if issparse(X):
            pieces = []
            for start, rows, of_block in self._pieces(X.shape[1]):
                self._begin_stream(start + of_block.start)
                pieces.append(self._masks(X[:, rows]))
            return hstack(pieces, format=X.format)
        if self._whole is None:
            self._whole = np.ones((self._size, X.shape[0]), dtype=X.dtype).T
        dropped = np.empty(X.T.shape, dtype=X.dtype).T
        for start, rows, of_block in self._pieces(X.shape[1]):
            self._begin_stream(start)
            D = self._masks(self._whole)
            np.multiply(X[:, rows], D[:, of_block], out=dropped[:, rows])
        return dropped


def documents_masks(
    random_state: np.random.RandomState,
    shapes: Sequence[tuple[int, int]],
    keep_prob: float,
) -> tuple[Array, ...]:
    """D = (uniform < keep_prob), unscaled: the documents' own masks, D1 first."""
    return tuple(
        (random_state.uniform(size=shape) < keep_prob).astype(int) for shape in shapes
    )
