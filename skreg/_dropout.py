"""Masks of inverted dropout: D is 1 / keep_prob where a unit is kept, 0 elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

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
        kept = np.maximum(1, np.rint(65536 * np.asarray(keep_probs, dtype=float)))
        kept = np.repeat(kept, units, axis=-1)[..., np.newaxis]
        self.bit_generator = bit_generator
        self._last_kept = (kept - 1).astype(np.uint16)
        self._scale = (65536 / kept).astype(dtype)
        self._words: dict[int, NDArray[np.uint64]] = {}

    def __call__(self, D: Array) -> None:
        """Fill D of shape (..., n_units, n_samples) with new masks."""
        n_units, n_samples = D.shape[-2:]
        words = self._words.get(n_samples)
        if words is None:
            words = np.empty(-(-n_units * n_samples // 4), dtype=np.uint64)
            self._words[n_samples] = words
        for start in range(0, words.size, _BLOCK):
            block = words[start : start + _BLOCK]
            block[...] = self.bit_generator.random_raw(block.size)
        integers = words.view(np.uint16)[: n_units * n_samples]
        np.less_equal(integers.reshape(n_units, n_samples), self._last_kept, out=D)
        D *= self._scale


def documents_masks(
    random_state: np.random.RandomState,
    shapes: Sequence[tuple[int, int]],
    keep_prob: float,
) -> tuple[Array, ...]:
    """D = (uniform < keep_prob), unscaled: the documents' own masks, D1 first."""
    return tuple(
        (random_state.uniform(size=shape) < keep_prob).astype(int) for shape in shapes
    )
