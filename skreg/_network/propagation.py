"""Forward and backward, line for line the formulas of the documents, as calls.

Columns are samples: X is (..., n_x, m), W1 is (..., n_h1, n_x), b1 (..., n_h1, 1).
Leading axes are a stack of networks that go through ``forward`` and ``backward``
together; ``by_chunks`` and ``input_gradients`` are for one network.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike
from scipy.sparse import issparse

from skreg._network import Array
from skreg._network.activations import Activation
from skreg._network.calls import Calls, either, run
from skreg._network.kernels import (
    activate,
    go_back,
    sparse_gradient,
    sparse_product,
)
from skreg._network.theta import Layer, Layout

# A batch is cut into chunks of rows whose buffers stay under this size.
WORKSPACE_BYTES = 2**24
_FEWEST_ROWS = 256

# A product of so many multiplications stays on the thread that asks for it: OpenBLAS
# shares out larger ones, and threads that predict at the same time then wait for each
# other. Parts of fewer columns would take longer, and more rows are worth all threads
# (docs/benchmarks.md).
_ON_THIS_THREAD, _FEWEST_COLUMNS, _FEW_ROWS = 2**18, 32, 20_000

# A stack of networks is quickest while what its steps write stays about this size
# (docs/benchmarks.md).
STACK_BYTES = 5 * 2**19


class LogitsError(ValueError):
    """The logits of rows for prediction are not finite."""


class Hidden(NamedTuple):
    """The arrays of one hidden layer for a batch, each (..., n_h, m).

    G is g(Z); A is G after dropout. They are one array where there is none (``D`` is
    None), and may be where the activation is scale-free. ``slope`` is g'(Z). Z, G and
    slope may be one array, and so may dA and dZ: each is used for the last time in
    the line that writes the next. ``zeros`` (n_h, m) is for the activation and has no
    leading axes; to predict it is (1, m). Where networks of a stack share masks,
    ``which`` has the number of that of each in D; without it D broadcasts.
    """

    Z: Array
    G: Array
    D: Array | None
    A: Array
    dA: Array
    slope: Array
    dZ: Array
    zeros: Array
    which: Array | None = None

    def masked(self, A: Array, out: Array) -> Calls:
        """A * D, for each network with its mask."""
        if self.D is not None and self.which is None:
            yield np.multiply, A, self.D, out
        elif self.D is not None and self.which is not None:
            for mask, group in groupby(
                range(len(A)), key=self.which.tolist().__getitem__
            ):
                first, *rest = group
                of = slice(first, first + len(rest) + 1)
                yield np.multiply, A[of], self.D[mask], out[of]

    def masks(self) -> tuple[Array, Array]:
        """D and ``which`` as the kernels take them."""
        if self.D is None:
            return _no_masks(self.Z.dtype)
        if self.D.ndim == 2:
            n_networks = math.prod(self.Z.shape[:-2])
            return self.D[:, np.newaxis], np.zeros(n_networks, int)
        which = np.arange(len(self.D)) if self.which is None else self.which
        return self.D.swapaxes(0, 1), which


@cache
def _no_masks(dtype: np.dtype[Any]) -> tuple[Array, Array]:
    return np.empty((0, 0, 0), dtype), np.empty(0, int)


class Workspace(NamedTuple):
    """Every array that a forward and a backward pass over a batch write.

    Z and dZ are those of the last layer; ``ones`` (m, 1) sums over the samples.
    ``matmul`` is np.matmul, or for one network np.dot, which costs half to call.
    """

    hidden: tuple[Hidden, ...]
    Z: Array
    dZ: Array
    ones: Array
    matmul: Callable[..., Any]


def forward_workspace(
    layout: Layout,
    activation: Activation,
    n_samples: int,
    dtype: DTypeLike,
    *,
    axes: tuple[int, ...] = (),
    masks: Array | None = None,
    which: Array | None = None,
    matmul: Callable[..., Any] | None = None,
) -> Workspace:
    """The smallest workspace for a forward pass: there is no room to go back.

    ``masks`` of shape (..., n_hidden_units, m) holds D1, D2, … one below the other;
    None is for no dropout. ``which`` is that of :class:`Hidden`.
    """

    def empty(n_units: int) -> Array:
        return np.empty((*axes, n_units, n_samples), dtype=dtype)

    zeros = np.zeros((1, n_samples), dtype=dtype)
    hidden, start = [], 0
    for n_units in layout.hidden_units:
        G = A = empty(n_units)
        D = None
        if masks is not None:
            D = masks[..., start : start + n_units, :]
            A = G if activation.scale_free else empty(n_units)
        hidden.append(Hidden(G, G, D, A, G, G, G, zeros, which))
        start += n_units
    Z = empty(layout.units[-1])
    matmul = matmul or (np.matmul if axes else np.dot)
    return Workspace(tuple(hidden), Z, dZ=Z, ones=zeros, matmul=matmul)


def training_workspace(
    layout: Layout,
    activation: Activation,
    n_samples: int,
    dtype: DTypeLike,
    *,
    axes: tuple[int, ...] = (),
    masks: Array | None = None,
    which: Array | None = None,
) -> Workspace:
    """The smallest workspace to go forward and back.

    Z, G and slope share memory, and so do dA and dZ.
    """
    workspace = forward_workspace(
        layout, activation, n_samples, dtype, axes=axes, masks=masks, which=which
    )
    hidden = []
    zeros = np.zeros((max(layout.hidden_units), n_samples), dtype=dtype)
    for layer, n_units in zip(workspace.hidden, layout.hidden_units, strict=True):
        dA = np.empty_like(layer.G)
        hidden.append(layer._replace(dA=dA, dZ=dA, zeros=zeros[:n_units]))
    dZ = np.empty_like(workspace.Z)
    ones = np.ones((n_samples, 1), dtype=dtype)
    return workspace._replace(hidden=tuple(hidden), dZ=dZ, ones=ones)


def forward(
    X: Array, layers: Sequence[Layer], activation: Activation, workspace: Workspace
) -> Calls:
    """Z1 = W1 X + b1, A1 = g(Z1) * D1, …; the last is ``workspace.Z``, the logits."""
    yield from forward_to_logits(X, layers, activation, workspace)
    yield from add_bias(workspace.Z, layers[-1].b)


def add_bias(Z: Array, b: Array) -> Calls:
    """Z + b, over Z."""
    yield np.add, Z, b, Z


def forward_to_logits(
    X: Array, layers: Sequence[Layer], activation: Activation, workspace: Workspace
) -> Calls:
    """As ``forward``, but for the bias of the logits."""
    A, matmul = X, _sparse_matmul if issparse(X) else workspace.matmul
    for (W, b), layer in zip(layers, workspace.hidden, strict=False):
        yield matmul, W, A, layer.Z
        lines = _activation(b, layer, activation)
        if layer.A is layer.Z and activation.scale_free:
            arguments = layer.Z, b, *layer.masks(), activation.number
            lines = either(activate, lines, *arguments)
        yield from lines
        A, matmul = layer.A, workspace.matmul
    yield matmul, layers[-1].W, A, workspace.Z


def _activation(b: Array, layer: Hidden, activation: Activation) -> Calls:
    """A = g(Z + b) * D."""
    yield from add_bias(layer.Z, b)
    yield from activation.apply(layer.Z, layer.G, layer.zeros)
    yield from layer.masked(layer.G, layer.A)


def backward(
    X: Array,
    layers: Sequence[Layer],
    gradients: Sequence[Layer],
    activation: Activation,
    workspace: Workspace,
) -> Calls:
    """dW = dZ Aᵀ, dA = Wᵀ dZ * D, dZ = dA * g'(Z), db = Σ dZ, from the last layer down.

    Starts from ``workspace.dZ``, which comes with the db of the last layer, and writes
    the other ``gradients``. The share of each sample in the mean (1/m) comes in with
    that first dZ. dW is written as dWᵀ = A dZᵀ, as it lies in memory.
    """
    dZ, matmul = workspace.dZ, workspace.matmul
    for (W, _), (dW, _), (_, db), layer in zip(
        layers[:0:-1],
        gradients[:0:-1],
        gradients[-2::-1],
        workspace.hidden[::-1],
        strict=True,
    ):
        yield matmul, layer.A, dZ.mT, dW.mT
        # Below one unit it is an outer product, several times as fast elementwise.
        outer_or_matmul = np.multiply if W.shape[-2] == 1 else matmul
        yield outer_or_matmul, W.mT, dZ, layer.dA
        lines = _way_back(db, layer, activation, workspace)
        if layer.dZ is layer.dA and layer.slope is layer.G:
            arguments = layer.dA, layer.G, *layer.masks(), db, activation.number
            lines = either(go_back, lines, *arguments)
        yield from lines
        dZ = layer.dZ
    matmul_X = _sparse_matmul_transposed if issparse(X) else matmul
    yield matmul_X, X, dZ.mT, gradients[0].W.mT


def _way_back(
    db: Array, layer: Hidden, activation: Activation, workspace: Workspace
) -> Calls:
    """dZ = dA * D * g'(Z), db = Σ dZ."""
    yield from layer.masked(layer.dA, layer.dA)
    yield from activation.derivative(layer.G, layer.slope, layer.zeros)
    yield np.multiply, layer.dA, layer.slope, layer.dZ
    yield from bias_gradient(layer.dZ, db, workspace)


def bias_gradient(dZ: Array, db: Array, workspace: Workspace) -> Calls:
    """db = Σ dZ, over the samples."""
    yield workspace.matmul, dZ, workspace.ones, db


def input_gradients(
    layers: Sequence[Layer],
    activation: Activation,
    workspace: Workspace,
    outputs: Sequence[int],
) -> Array:
    """dX = W1ᵀ dZ1 for each of the outputs: the derivative of its logit by the inputs.

    Follows a forward pass without dropout. The shape is (len(outputs), n_x, m).
    """
    for layer in workspace.hidden:
        run(activation.derivative(layer.G, layer.slope, layer.zeros))
    n_inputs, m = layers[0].W.shape[1], workspace.Z.shape[1]
    dX = np.empty((len(outputs), n_inputs, m), dtype=workspace.Z.dtype)
    for index, output in enumerate(outputs):
        dA = layers[-1].W[output][:, np.newaxis]
        for (W, _), layer in zip(layers[-2::-1], workspace.hidden[::-1], strict=True):
            dA = np.matmul(W.mT, dA * layer.slope)
        dX[index] = dA
    return dX


def _matmul_on_this_thread(W: Array, A: Array, out: Array) -> None:
    """W A, some columns at a time where that is as quick."""
    m, size = A.shape[1], _ON_THIS_THREAD // W.size
    if m <= size or size < _FEWEST_COLUMNS:
        np.dot(W, A, out)
        return
    rest = m % size

    def cut(columns: Array) -> Array:
        return columns[:, rest:].reshape(len(columns), -1, size).swapaxes(0, 1)

    if rest:
        np.matmul(W, A[:, :rest], out[:, :rest])
    np.matmul(W, cut(A), cut(out))


def _sparse_matmul(W: Array, X: Any, out: Array) -> None:
    """W X, where X is the transpose of a sparse table."""

    def lines() -> Calls:
        yield np.copyto, out, (X.T @ W.T).T

    run(either(sparse_product, lines(), W.T, X.indptr, X.indices, X.data, out))


def _sparse_matmul_transposed(X: Any, dZT: Array, out: Array) -> None:
    """X dZᵀ, where X is the transpose of a sparse table."""
    lines = [(_by_columns_with_values, X, dZT, out)]
    table = X.indptr, X.indices, X.data
    run(either(sparse_gradient, lines, dZT.T, *table, out))


def _by_columns_with_values(X: Any, dZT: Array, out: Array) -> None:
    if X.nnz >= X.shape[0]:
        np.copyto(out, X @ dZT)
        return
    # Few columns of the table have a value in this batch.
    columns, codes = np.unique(X.indices, return_inverse=True)
    shape = len(columns), X.shape[1]
    out.fill(0)
    out[columns] = type(X)((X.data, codes, X.indptr), shape=shape) @ dZT


def chunk_rows(layout: Layout, X: Any, n_networks: int = 1) -> int:
    """How many rows a chunk may have to stay in WORKSPACE_BYTES.

    There are at least 256, which the networks of a stack share out.
    """
    n_inputs = 0 if issparse(X) else layout.units[0]
    # A unit has G, A, dA, D, its zeros, and the integers that D is drawn from.
    row = X.dtype.itemsize * (6 * sum(layout.units[1:]) * n_networks + n_inputs)
    return max(-(-_FEWEST_ROWS // n_networks), int(WORKSPACE_BYTES // row))


def networks_at_once(layout: Layout, n_samples: int, dtype: DTypeLike) -> int:
    """How many networks a stack may have to stay in STACK_BYTES, at least one.

    ``n_samples`` is the size of the largest chunk that a step takes.
    """
    # A unit has G, dA and D for each sample, and what passes between them; a parameter
    # its gradient, its decay, two moments and scratch.
    units, parameters = sum(layout.units[1:]), layout.n_parameters
    network = np.dtype(dtype).itemsize * (4 * units * n_samples + 6 * parameters)
    return max(1, STACK_BYTES // network)


def by_chunks(
    X: Any,
    layers: Sequence[Layer],
    activation: Activation,
    *,
    fill_masks: Callable[[Array], None] | None = None,
    drop_inputs: Callable[[Any], Any] | None = None,
) -> Iterator[tuple[slice, Workspace]]:
    """A chunk of the rows of X (n_samples, n_features) at a time, passed forward.

    Its workspace, with the logits Z (n_outputs, n_rows), is overwritten by the next
    chunk. Prediction gives no masks, so that it has no dropout. Logits that are not
    finite raise LogitsError.
    """
    layout = Layout((layers[0].W.shape[-1], *(len(b) for _, b in layers)))
    dtype, n_samples = layers[0].W.dtype, X.shape[0]
    size = _FEWEST_ROWS if n_samples <= _FEWEST_ROWS else chunk_rows(layout, X)
    workspace = masks = None
    matmul: Callable[..., Any] = np.dot
    if n_samples <= _FEW_ROWS and n_samples * max(layout.sizes) > _ON_THIS_THREAD:
        matmul = _matmul_on_this_thread
    for start in range(0, n_samples, size):
        rows = slice(start, min(start + size, n_samples))
        n_rows = rows.stop - rows.start
        if workspace is None or workspace.Z.shape[-1] != n_rows:
            masks = None
            if fill_masks is not None:
                masks = np.empty((sum(layout.hidden_units), n_rows), dtype=dtype)
            workspace = forward_workspace(
                layout, activation, n_rows, dtype, masks=masks, matmul=matmul
            )
        if fill_masks is not None and masks is not None:
            fill_masks(masks)
        inputs = X[rows].T
        if drop_inputs is not None:
            inputs = drop_inputs(inputs)
        run(forward(inputs, layers, activation, workspace))
        if not (finite := np.isfinite(workspace.Z)).all():
            row = rows.start + int(np.argmin(finite.all(axis=0)))
            raise LogitsError(
                f"The logits of row {row} of X, counted from 0, overflow {dtype}: its "
                f"largest magnitude is {abs(X[row : row + 1]).max():.3g}. Scale X as "
                "the rows of fit were scaled, or leave the row out."
            )
        yield rows, workspace


def of_all_rows(
    X: Any,
    layers: Sequence[Layer],
    activation: Activation,
    finish: Callable[[Workspace], Array],
) -> Array:
    """``finish(workspace)`` of each chunk, with a row for each of X, as one array."""
    chunks = by_chunks(X, layers, activation)
    with np.errstate(all="ignore"):
        rows, workspace = next(chunks)
        first = finish(workspace)
        if rows.stop == X.shape[0]:
            return first
        found: Array = np.empty((X.shape[0], *first.shape[1:]), first.dtype)
        found[rows] = first
        for rows, workspace in chunks:
            found[rows] = finish(workspace)
    return found
