"""Masks of inverted dropout: D is 1 / keep_prob where a unit is kept, 0 elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray
from scipy.sparse import issparse

Array = NDArray[Any]

# Raw words drawn at a time: what a draw allocates does not grow with the batch.
_BLOCK = 4096


class Masks:
    """Draws the masks of all hidden layers of a batch, one below the other.

    A unit is kept where its random 16-bit integer is below ``round(65536 keep_prob)``
    (never zero), and D is the inverse of that exact keep fraction, so that its
    expected value is exactly one. One integer is drawn for each unit and sample,
    whatever ``keep_prob`` is, and shared by the leading axes of D.

    Parameters
    ----------
    keep_probs : array-like of shape (..., n_layers)
        ``keep_prob`` of each hidden layer.
    units : sequence of int
        The units of each hidden layer.
    """

    def __init__(
        self,
        keep_probs: ArrayLike,
        units: Sequence[int],
        bit_generator: np.random.BitGenerator,
        dtype: DTypeLike,
    ) -> None:
        kept = np.repeat(_kept(keep_probs), units, axis=-1)[..., np.newaxis]
        self.bit_generator = bit_generator
        self._last_kept = (kept - 1).astype(np.uint16)
        self._scale = (65536 / kept).astype(dtype)
        self._words: dict[int, NDArray[np.uint64]] = {}

    def __call__(self, D: Array) -> None:
        """Fill D of shape (..., n_units, n_samples) with new masks."""
        n_units, n_samples = D.shape[-2:]
        words = self._words.get(n_samples)
        if words is None:
            words = self._words[n_samples] = _words(n_units * n_samples)
        integers = _draw(self.bit_generator, words, n_units * n_samples)
        np.less_equal(integers.reshape(n_units, n_samples), self._last_kept, out=D)
        D *= self._scale


class InputMasks:
    """Drops input values, and divides those kept by the exact keep fraction.

    Of a sparse X only the stored values are masked, since a dropped zero is a zero.
    """

    def __init__(self, keep_prob: float, bit_generator: np.random.BitGenerator) -> None:
        kept = _kept(keep_prob)
        self.bit_generator = bit_generator
        self._last_kept = np.uint16(kept - 1)
        self._scale = float(65536 / kept)
        self._buffers: dict[tuple[int, ...], tuple[Array, Array]] = {}

    def __call__(self, X: Any) -> Any:
        """X of shape (n_x, n_samples) with new masks applied; X is not changed."""
        if issparse(X):
            D = np.empty_like(X.data)
            self._fill(D, _words(D.size))
            D *= X.data
            return type(X)((D, X.indices, X.indptr), shape=X.shape)
        if X.shape not in self._buffers:
            # Rows of the table are contiguous, and so are those of the buffer.
            buffer = np.empty(X.T.shape, dtype=X.dtype), _words(X.size)
            self._buffers[X.shape] = buffer
        D, words = self._buffers[X.shape]
        self._fill(D, words)
        D *= X.T
        return D.T

    def _fill(self, D: Array, words: NDArray[np.uint64]) -> None:
        integers = _draw(self.bit_generator, words, D.size)
        np.less_equal(integers.reshape(D.shape), self._last_kept, out=D)
        D *= self._scale


def _kept(keep_prob: ArrayLike) -> Array:
    """How many of the 65536 integers keep a unit: at least one."""
    kept: Array = np.maximum(1, np.rint(65536 * np.asarray(keep_prob, dtype=float)))
    return kept


def _words(n_integers: int) -> NDArray[np.uint64]:
    return np.empty(-(-n_integers // 4), dtype=np.uint64)


def _draw(
    bit_generator: np.random.BitGenerator,
    words: NDArray[np.uint64],
    n_integers: int,
) -> NDArray[np.uint16]:
    """New 16-bit integers, four from each word."""
    for start in range(0, words.size, _BLOCK):
        block = words[start : start + _BLOCK]
        block[...] = bit_generator.random_raw(block.size)
    return words.view(np.uint16)[:n_integers]


def documents_masks(
    random_state: np.random.RandomState,
    shapes: Sequence[tuple[int, int]],
    keep_prob: float,
) -> tuple[Array, ...]:
    """D = (uniform < keep_prob), unscaled: the documents' own masks, D1 first."""
    return tuple(
        (random_state.uniform(size=shape) < keep_prob).astype(int) for shape in shapes
    )
