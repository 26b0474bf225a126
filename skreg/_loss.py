"""Logits → cross-entropy, dZ = A - Y, probabilities and decisions.

Z and Y have the shape (..., n_outputs, n_samples). Everything starts from the
logits, never from clipped probabilities, so that it is finite at a logit of ±1000.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_expit, log_softmax, softmax, xlog1py, xlogy

Array = NDArray[Any]


class Output(NamedTuple):
    """What follows the logits, for one kind of target.

    ``losses(Z, Y, dZ, scratch, out)`` writes A - Y into dZ and the cross-entropy of
    each sample into ``out`` of shape (..., n_samples). ``scratch`` has Z's shape, and
    Z is overwritten. ``probabilities`` and ``log_probabilities`` have one row for
    each class or label, ``decisions`` the class codes (n_samples,) or the label
    indicators (n_labels, n_samples).
    """

    activation: str
    losses: Callable[[Array, Array, Array, Array, Array], None]
    probabilities: Callable[[Array], Array]
    log_probabilities: Callable[[Array], Array]
    decisions: Callable[[Array], Array]


def _sigmoid_losses(Z: Array, Y: Array, dZ: Array, scratch: Array, out: Array) -> None:
    """CE = Σ_outputs (1/2 - Y) Z + |Z|/2 + log(1 + exp(-|Z|)), dZ = sigmoid(Z) - Y.

    The first two terms cancel exactly for a right answer, so that a small loss keeps
    its relative precision, which log(1 + exp(Z)) - Y Z would lose.
    """
    expit(Z, out=dZ)
    np.subtract(dZ, Y, out=dZ)
    np.subtract(0.5, Y, out=scratch)
    np.multiply(scratch, Z, out=scratch)
    np.abs(Z, out=Z)
    np.multiply(Z, -0.5, out=Z)
    np.subtract(scratch, Z, out=scratch)
    np.add(Z, Z, out=Z)
    np.exp(Z, out=Z)
    np.log1p(Z, out=Z)
    np.add(scratch, Z, out=scratch)
    np.add.reduce(scratch, axis=-2, out=out)


def _softmax_losses(Z: Array, Y: Array, dZ: Array, scratch: Array, out: Array) -> None:
    """CE = log Σ exp(Z - max Z) - Σ Y (Z - max Z), dZ = softmax(Z) - Y.

    Exact to some units of the last place of 1, however small the loss is.
    """
    over_outputs = out[..., np.newaxis, :]
    np.maximum.reduce(Z, axis=-2, out=out)
    Z -= over_outputs
    np.multiply(Y, Z, out=scratch)
    np.exp(Z, out=dZ)
    np.add.reduce(dZ, axis=-2, out=out)
    dZ /= over_outputs
    dZ -= Y
    np.log(out, out=out)
    target_logit = Z[..., 0, :]
    np.add.reduce(scratch, axis=-2, out=target_logit)
    out -= target_logit


def _positive(Z: Array) -> Array:
    return Z > 0


def _both_signs(Z: Array) -> Array:
    """The logits of "not the class" and "the class": (2, n_samples)."""
    return np.concatenate([-Z, Z], axis=-2)


OUTPUTS = {
    "binary": Output(
        activation="logistic",
        losses=_sigmoid_losses,
        probabilities=lambda Z: expit(_both_signs(Z)),
        log_probabilities=lambda Z: log_expit(_both_signs(Z)),
        decisions=lambda Z: _positive(Z)[..., 0, :],
    ),
    "multilabel": Output(
        activation="logistic",
        losses=_sigmoid_losses,
        probabilities=expit,
        log_probabilities=log_expit,
        decisions=_positive,
    ),
    "multiclass": Output(
        activation="softmax",
        losses=_softmax_losses,
        probabilities=lambda Z: softmax(Z, axis=-2),
        log_probabilities=lambda Z: log_softmax(Z, axis=-2),
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
