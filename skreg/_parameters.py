"""One flat vector θ of parameters, and W1, b1, W2, … as views of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

Array = NDArray[Any]

# Elementwise work on θ goes by blocks of this many parameters: few enough for the
# cache, enough that the calls cost little beside the work.
BLOCK = 2**15


class Layer(NamedTuple):
    """W of shape (..., n_out, n_in) and b of shape (..., n_out, 1)."""

    W: Array
    b: Array


@dataclass(frozen=True)
class Layout:
    """Where W1, W2, …, b1, b2, … lie in θ: the weights first, then the biases.

    L2 weight decay acts on ``θ[..., :n_weights]`` alone, since biases are never
    penalised. A weight matrix lies there as W1ᵀ (n_in, n_out) does in ``coefs_``: row
    by row, the weights of each input, as products with sparse X want it.

    Parameters
    ----------
    units : tuple of int
        n_x, n_h1, …, n_y: the units of each layer, inputs and outputs included.
    """

    units: tuple[int, ...]

    @property
    def n_weights(self) -> int:
        return sum(n_in * n_out for n_in, n_out in pairwise(self.units))

    @property
    def largest_weight(self) -> int:
        """The number of weights of the largest matrix."""
        return max(n_in * n_out for n_in, n_out in pairwise(self.units))

    @property
    def n_parameters(self) -> int:
        return self.n_weights + sum(self.units[1:])

    @property
    def hidden_units(self) -> tuple[int, ...]:
        return self.units[1:-1]

    def for_each_weight(self, of_layers: ArrayLike) -> Array:
        """The value of its layer for each weight, from values (..., n_layers).

        Where all layers have the same it stands for all weights: a single number, or
        (..., 1) with leading axes.
        """
        values = np.asarray(of_layers, dtype=float)
        if (values == values[..., :1]).all():
            return values[..., :1] if values.ndim > 1 else values[0]
        sizes = [n_in * n_out for n_in, n_out in pairwise(self.units)]
        return np.repeat(values, sizes, axis=-1)

    def layers(self, theta: Array) -> tuple[Layer, ...]:
        """W and b of every layer as views of θ of shape (..., n_parameters)."""
        lead = theta.shape[:-1]
        weight_start, bias_start = 0, self.n_weights
        layers = []
        for n_in, n_out in pairwise(self.units):
            weight_stop, bias_stop = weight_start + n_in * n_out, bias_start + n_out
            W = theta[..., weight_start:weight_stop].reshape(*lead, n_in, n_out).mT
            b = theta[..., bias_start:bias_stop].reshape(*lead, n_out, 1)
            layers.append(Layer(W, b))
            weight_start, bias_start = weight_stop, bias_stop
        return tuple(layers)


def blocks(*vectors: Array) -> Iterator[tuple[Array, ...]]:
    """The vectors, cut alike along the last axis; a single number goes with each."""
    for start in range(0, vectors[0].shape[-1], BLOCK):
        yield tuple(
            vector
            if vector.ndim == 0 or vector.shape[-1] == 1
            else vector[..., start : start + BLOCK]
            for vector in vectors
        )


def blocks_with_scratch(*vectors: Array) -> list[tuple[Array, ...]]:
    """The blocks, each with scratch of its size that they all share."""
    scratch = np.empty_like(vectors[0][..., :BLOCK])
    return [(*block, scratch[..., : block[0].shape[-1]]) for block in blocks(*vectors)]


def numbers(like: Array, *values: float) -> list[Array]:
    """Arrays of no dimension: a ufunc takes them in half the time of a number."""
    with np.errstate(over="ignore"):
        return [np.array(value, dtype=like.dtype) for value in values]


def initial_theta(
    layout: Layout,
    activation: str,
    generator: np.random.Generator,
    dtype: DTypeLike,
) -> Array:
    """W ~ U(-r, r), r = sqrt(c / (n_in + n_out)), b = 0.

    c is 2 for the logistic activation and 6 otherwise (Glorot and Bengio 2010,
    equation 16).
    """
    theta = np.zeros(layout.n_parameters)
    gain = 2.0 if activation == "logistic" else 6.0
    for W, _ in layout.layers(theta):
        n_out, n_in = W.shape
        radius = np.sqrt(gain / (n_in + n_out))
        W[...] = generator.uniform(-radius, radius, size=W.shape)
    # Drawn in float64, so that float32 starts from the same weights, rounded.
    return theta.astype(dtype, copy=False)


def theta_of(
    coefs: Sequence[Array], intercepts: Sequence[Array], dtype: DTypeLike
) -> Array:
    """A new θ from ``coefs_`` (n_in, n_out) and ``intercepts_`` (n_out,)."""
    layout = Layout((coefs[0].shape[0], *(coef.shape[1] for coef in coefs)))
    theta = np.empty(layout.n_parameters, dtype=dtype)
    for (W, b), coef, intercept in zip(
        layout.layers(theta), coefs, intercepts, strict=True
    ):
        W[...] = coef.T
        b[:, 0] = intercept
    return theta
