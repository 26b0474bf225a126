"""Forward and backward, line for line the formulas of the documents.

Columns are samples: X is (..., n_x, m), W1 is (..., n_h1, n_x), b1 (..., n_h1, 1).
Leading axes are a stack of networks that go through the same lines together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from skreg._activations import Activation
from skreg._parameters import Layer, Layout

Array = NDArray[Any]

# A batch is cut into chunks of rows whose buffers stay under this size.
WORKSPACE_BYTES = 2**24


@dataclass(frozen=True, slots=True)
class Hidden:
    """The arrays of one hidden layer for a batch, each (..., n_h, m).

    G is g(Z); A is G after dropout, and G itself where there is none (``D`` is
    None). ``slope`` is g'(Z). Arrays may share memory where the formula that reads
    the one comes after the last use of the other.
    """

    Z: Array
    G: Array
    D: Array | None
    A: Array
    dA: Array
    slope: Array
    dZ: Array


@dataclass(frozen=True, slots=True)
class Workspace:
    """Every array that a forward and a backward pass over a batch write.

    Z and dZ are those of the last layer; ``ones`` (m, 1) sums over the samples.
    """

    hidden: tuple[Hidden, ...]
    Z: Array
    dZ: Array
    ones: Array


def training_workspace(
    layout: Layout,
    n_samples: int,
    dtype: DTypeLike,
    *,
    lead: tuple[int, ...] = (),
    masks: Array | None = None,
) -> Workspace:
    """The smallest workspace: Z, G and slope share memory, and so do dA and dZ.

    ``masks`` of shape (..., n_hidden_units, m) holds D1, D2, … one below the other;
    None is for no dropout.
    """

    def empty(n_units: int) -> Array:
        return np.empty((*lead, n_units, n_samples), dtype=dtype)

    hidden, start = [], 0
    for n_units in layout.hidden_units:
        G, dA = empty(n_units), empty(n_units)
        A, D = G, None
        if masks is not None:
            A, D = empty(n_units), masks[..., start : start + n_units, :]
        hidden.append(Hidden(Z=G, G=G, D=D, A=A, dA=dA, slope=G, dZ=dA))
        start += n_units
    n_outputs = layout.units[-1]
    ones = np.ones((n_samples, 1), dtype=dtype)
    return Workspace(tuple(hidden), Z=empty(n_outputs), dZ=empty(n_outputs), ones=ones)


def forward(
    X: Array,
    layers: Sequence[Layer],
    activation: Activation,
    workspace: Workspace,
) -> Array:
    """Z1 = W1 X + b1, A1 = g(Z1) * D1, …; returns the logits, the last Z."""
    A = X
    for (W, b), layer in zip(layers, workspace.hidden, strict=False):
        np.matmul(W, A, out=layer.Z)
        np.add(layer.Z, b, out=layer.Z)
        activation.apply(layer.Z, layer.G)
        if layer.D is not None:
            np.multiply(layer.G, layer.D, out=layer.A)
        A = layer.A
    W, b = layers[-1]
    np.matmul(W, A, out=workspace.Z)
    return np.add(workspace.Z, b, out=workspace.Z)


def backward(
    X: Array,
    layers: Sequence[Layer],
    gradients: Sequence[Layer],
    activation: Activation,
    workspace: Workspace,
) -> None:
    """dW = dZ Aᵀ, db = Σ dZ, dA = Wᵀ dZ * D, dZ = dA * g'(Z), from the last layer down.

    Starts from ``workspace.dZ`` and writes ``gradients``. The share of each sample
    in the mean (1/m) comes in with that first dZ.
    """
    dZ = workspace.dZ
    for (W, _), (dW, db), layer in zip(
        layers[:0:-1], gradients[:0:-1], workspace.hidden[::-1], strict=True
    ):
        np.matmul(dZ, layer.A.mT, out=dW)
        np.matmul(dZ, workspace.ones, out=db)
        np.matmul(W.mT, dZ, out=layer.dA)
        if layer.D is not None:
            np.multiply(layer.dA, layer.D, out=layer.dA)
        activation.derivative(layer.G, layer.slope)
        dZ = np.multiply(layer.dA, layer.slope, out=layer.dZ)
    dW, db = gradients[0]
    np.matmul(dZ, X.mT, out=dW)
    np.matmul(dZ, workspace.ones, out=db)


def chunk_rows(layout: Layout, dtype: DTypeLike) -> int:
    """How many rows a chunk may have, at least 256, to stay in WORKSPACE_BYTES."""
    row = np.dtype(dtype).itemsize * (4 * sum(layout.units[1:]) + layout.units[0])
    return max(256, WORKSPACE_BYTES // row)


def logits_by_chunks(
    X: Array, layers: Sequence[Layer], activation: Activation
) -> Iterator[tuple[slice, Array]]:
    """The rows of X (n_samples, n_features), a chunk at a time, and their logits.

    The logits (n_outputs, n_rows) are overwritten by the next chunk. There is no
    dropout here: prediction never has it.
    """
    units = (layers[0].W.shape[-1], *(layer.b.shape[-2] for layer in layers))
    layout = Layout(units)
    dtype = layers[0].W.dtype
    n_samples, size = X.shape[0], min(X.shape[0], chunk_rows(layout, dtype))
    workspace = None
    for start in range(0, n_samples, size):
        rows = slice(start, min(start + size, n_samples))
        n_rows = rows.stop - rows.start
        if workspace is None or workspace.Z.shape[-1] != n_rows:
            workspace = training_workspace(layout, n_rows, dtype)
        yield rows, forward(X[rows].T, layers, activation, workspace)
