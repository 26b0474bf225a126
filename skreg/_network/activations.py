"""Each activation beside its derivative.

``apply(Z, out, zeros)`` writes G = g(Z); ``derivative(G, out, zeros)`` writes g'(Z),
from G alone. ``out`` may be the input itself; ``zeros`` is an array of zeros that
broadcasts to its shape: numpy compares with it several times as fast as with a number.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
from scipy.special import expit

from skreg._network import Array
from skreg._network.calls import Calls
from skreg._network.kernels import IDENTITY, LOGISTIC, RELU, TANH


class Activation(NamedTuple):
    """``scale_free``: g'(Z) is the same from G times any number above zero, as from A.

    Dropout may then write A over G. ``onnx_operator`` is the ONNX operator that is g,
    for ``skreg.onnx``, and ``number`` what the kernels call it; None if there is none.
    """

    apply: Callable[[Array, Array, Array], Calls]
    derivative: Callable[[Array, Array, Array], Calls]
    scale_free: bool
    onnx_operator: str | None
    number: int | None = None


def _identity(Z: Array, out: Array, zeros: Array) -> Calls:
    if out is not Z:
        yield np.positive, Z, out


def _identity_derivative(G: Array, out: Array, zeros: Array) -> Calls:
    yield out.fill, 1


def _logistic(Z: Array, out: Array, zeros: Array) -> Calls:
    yield expit, Z, out


def _logistic_derivative(G: Array, out: Array, zeros: Array) -> Calls:
    """g' = g (1 - g), as 1/4 - (g - 1/2)² to need no buffer."""
    yield np.subtract, G, 0.5, out
    yield np.square, out, out
    yield np.subtract, 0.25, out, out


def _tanh(Z: Array, out: Array, zeros: Array) -> Calls:
    yield np.tanh, Z, out


def _tanh_derivative(G: Array, out: Array, zeros: Array) -> Calls:
    """g' = 1 - g²."""
    yield np.square, G, out
    yield np.subtract, 1, out, out


def _relu(Z: Array, out: Array, zeros: Array) -> Calls:
    """g = max(z, 0)."""
    # numpy deprecates an output of maximum that is not named.
    yield partial(np.maximum, out=out), Z, zeros


def _relu_derivative(G: Array, out: Array, zeros: Array) -> Calls:
    """g' = (g > 0): zero at the kink."""
    yield np.greater, G, zeros, out


ActivationName = Literal["identity", "logistic", "tanh", "relu"]
ACTIVATIONS: dict[ActivationName, Activation] = {
    "identity": Activation(_identity, _identity_derivative, True, "Identity", IDENTITY),
    "logistic": Activation(_logistic, _logistic_derivative, False, "Sigmoid", LOGISTIC),
    "tanh": Activation(_tanh, _tanh_derivative, False, "Tanh", TANH),
    "relu": Activation(_relu, _relu_derivative, True, "Relu", RELU),
}
