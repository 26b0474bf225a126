"""Logits → cross-entropy, dZ = A - Y, probabilities and decisions.

Z and Y have the shape (..., n_outputs, n_samples). Everything starts from the
logits, never from clipped probabilities, so that it is finite at a logit of ±1000.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.special import expit, log_expit, log_softmax, softmax, xlog1py, xlogy

from skreg._network import Array
from skreg._network.calls import Calls, numbers
from skreg._network.kernels import Kernel, sigmoid_loss, softmax_loss


class Output(NamedTuple):
    """What follows the logits, for one kind of target.

    The calls of ``losses(Z, Y, dZ, scratch, out)`` write A - Y into dZ and the
    cross-entropy of each sample into ``out`` of shape (..., n_samples). ``scratch`` has
    Z's shape, and Z is overwritten. ``probabilities`` and ``log_probabilities`` have
    one row for each class or label, ``decisions`` the class codes (n_samples,) or the
    label indicators (n_labels, n_samples). The ``kernel`` stands for the bias, the
    losses, and their way to db.
    """

    activation: str
    losses: Callable[[Array, Array, Array, Array, Array], Calls]
    probabilities: Callable[[Array], Array]
    log_probabilities: Callable[[Array], Array]
    decisions: Callable[[Array], Array]
    kernel: Kernel | None = None


def _sigmoid_losses(Z: Array, Y: Array, dZ: Array, scratch: Array, out: Array) -> Calls:
    """CE = Σ_outputs log(1 + exp((1 - 2Y) Z)), dZ = sigmoid(Z) - Y, for Y of 0 and 1.

    A small loss keeps its relative precision, which log(1 + exp(Z)) - Y Z would lose.
    """
    zero, one = numbers(Z, 0, 1)
    yield expit, Z, dZ
    yield np.subtract, dZ, Y, dZ
    yield np.add, Y, Y, scratch
    yield np.subtract, one, scratch, scratch
    yield np.multiply, scratch, Z, Z
    if Z.shape[-2] == 1:
        yield np.logaddexp, Z[..., 0, :], zero, out
    else:
        yield np.logaddexp, Z, zero, Z
        yield np.add.reduce, Z, -2, None, out


def _softmax_losses(Z: Array, Y: Array, dZ: Array, scratch: Array, out: Array) -> Calls:
    """CE = log Σ exp(Z - max Z) - Σ Y (Z - max Z), dZ = softmax(Z) - Y.

    Exact to some units of the last place of 1, however small the loss is.
    """
    over_outputs = out[..., np.newaxis, :]
    target_logit = Z[..., 0, :]
    yield np.maximum.reduce, Z, -2, None, out
    yield np.subtract, Z, over_outputs, Z
    yield np.multiply, Y, Z, scratch
    yield np.exp, Z, dZ
    yield np.add.reduce, dZ, -2, None, out
    yield np.divide, dZ, over_outputs, dZ
    yield np.subtract, dZ, Y, dZ
    yield np.log, out, out
    yield np.add.reduce, scratch, -2, None, target_logit
    yield np.subtract, out, target_logit, out


def _both_signs(Z: Array) -> Array:
    """The logits of "not the class" and "the class": (2, n_samples)."""
    return np.concatenate([-Z, Z], axis=-2)


def _finite_log_softmax(Z: Array) -> Array:
    """log softmax(Z), which is not below the least float where differences overflow."""
    with np.errstate(over="ignore", under="ignore"):
        found: Array = log_softmax(Z, axis=-2)
    np.maximum(found, np.finfo(found.dtype).min, out=found)
    return found


OUTPUTS = {
    "binary": Output(
        activation="logistic",
        kernel=sigmoid_loss,
        losses=_sigmoid_losses,
        probabilities=lambda Z: expit(both := _both_signs(Z), out=both),
        log_probabilities=lambda Z: log_expit(_both_signs(Z)),
        decisions=lambda Z: Z[..., 0, :] > 0,
    ),
    "multilabel": Output(
        activation="logistic",
        kernel=sigmoid_loss,
        losses=_sigmoid_losses,
        probabilities=expit,
        log_probabilities=log_expit,
        decisions=lambda Z: Z > 0,
    ),
    "multiclass": Output(
        activation="softmax",
        kernel=softmax_loss,
        losses=_softmax_losses,
        probabilities=lambda Z: softmax(Z, axis=-2),
        log_probabilities=_finite_log_softmax,
        decisions=lambda Z: Z.argmax(axis=-2),
    ),
}


def cross_entropy_of_probabilities(A: Array, Y: Array) -> Array:
    """CE of each sample from probabilities, for those who have no logits.

    -Σ Y log A for several rows (softmax); for one row (sigmoid), the term
    -(1 - Y) log(1 - A) is added. 0 log 0 is 0.
    """
    losses = -xlogy(Y, A)
    if A.shape[-2] == 1:
        losses = losses - xlog1py(1 - Y, -A)
    total: Array = losses.sum(axis=-2)
    return total
