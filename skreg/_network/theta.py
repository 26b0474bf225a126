"""One flat vector θ of parameters, and W1, b1, W2, … as views of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import mul
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from skreg._network import Array


class Layer(NamedTuple):
    """W of shape (..., n_out, n_in) and b of shape (..., n_out, 1)."""

    W: Array
    b: Array


@dataclass
class Layout:
    """Where W1, W2, …, b1, b2, … lie in θ: the weights first, then the biases.

    L2 weight decay acts on ``θ[..., :n_weights]`` alone, since biases are never
    penalised. A weight matrix lies there as W1ᵀ (n_in, n_out) does in ``coefs_``: row
    by row, the weights of each input, as products with sparse X want it.

    Parameters
    ----------
    units : tuple of int
        n_x, n_h1, …, n_y: the units of each layer, inputs and outputs included.

    Attributes
    ----------
    sizes : tuple of int
        The number of weights of W1, W2, …
    """

    units: tuple[int, ...]

    def __post_init__(self) -> None:
        self.hidden_units = self.units[1:-1]
        self.sizes: tuple[int, ...] = tuple(map(mul, self.units, self.units[1:]))
        self.n_weights = sum(self.sizes)
        self.n_parameters = self.n_weights + sum(self.units[1:])

    def for_each_weight(self, of_layers: ArrayLike) -> Array:
        """The value of its layer for each weight, from values (..., n_layers).

        Where all layers have the same it stands for all weights, as a single number
        does: a number, or (..., 1) with leading axes.
        """
        values = np.asarray(of_layers)
        if values.ndim == 0:
            return values
        if (values == values[..., :1]).all():
            return values[..., :1] if values.ndim > 1 else values[0]
        return np.repeat(values, self.sizes, axis=-1)

    def layers(self, theta: Array) -> tuple[Layer, ...]:
        """W and b of every layer as views of θ of shape (..., n_parameters)."""
        axes = theta.shape[:-1]
        weight_start, bias_start = 0, self.n_weights
        layers = []
        for n_in, n_out in pairwise(self.units):
            weight_stop, bias_stop = weight_start + n_in * n_out, bias_start + n_out
            W = theta[..., weight_start:weight_stop].reshape(*axes, n_in, n_out).mT
            b = theta[..., bias_start:bias_stop].reshape(*axes, n_out, 1)
            layers.append(Layer(W, b))
            weight_start, bias_start = weight_stop, bias_stop
        return tuple(layers)


def initial_theta(
    layout: Layout, activation: str, generator: np.random.Generator, dtype: DTypeLike
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


def layers_of(
    coefs: Sequence[Array], intercepts: Sequence[Array], dtype: DTypeLike
) -> list[Layer]:
    """W and b of every layer, cast to the dtype; views where they have it already."""
    with np.errstate(over="ignore"):
        return [
            Layer(_cast(coef, dtype).T, _cast(intercept, dtype)[:, None])
            for coef, intercept in zip(coefs, intercepts, strict=True)
        ]


def _cast(given: Array, dtype: DTypeLike) -> Array:
    array = np.asarray(given)
    cast = array.astype(dtype, copy=False)
    # Weights for columns of tiny numbers are huge.
    if cast is not array and not np.isfinite(cast).all():
        raise ValueError(
            f"The weights of the model overflow {cast.dtype}, which X has: the largest "
            f"is {np.abs(array).max():.3g}. Give X as {array.dtype}."
        )
    return cast


def theta_of(
    coefs: Sequence[Array], intercepts: Sequence[Array], dtype: DTypeLike
) -> Array:
    """A new θ from ``coefs_`` (n_in, n_out) and ``intercepts_`` (n_out,)."""
    layout = Layout((coefs[0].shape[0], *(coef.shape[1] for coef in coefs)))
    theta = np.empty(layout.n_parameters, dtype=dtype)
    given = layers_of(coefs, intercepts, dtype)
    for place, layer in zip(layout.layers(theta), given, strict=True):
        place.W[...], place.b[...] = layer
    return theta
