"""The documents' functions, by name and signature, on the engine that ``fit`` runs.

Columns are samples: X is (n_x, m), Y is (1, m), or one-hot (n_classes, m). With one
output row the network ends in a sigmoid, with several in a softmax. ``parameters``
and the gradients are dicts; a cache is the tuple (Z1, A1, W1, b1, Z2, A2, W2, b2, Z3,
A3, W3, b3), to which dropout adds D1 after Z1 and D2 after Z2. Networks with another
number of layers work alike.

Examples
--------
One step of gradient descent with L2 regularisation:

>>> import numpy as np
>>> from skreg.functional import (
...     backward_propagation_with_regularization,
...     compute_cost_with_regularization,
...     forward_propagation,
... )
>>> rng = np.random.default_rng(0)
>>> X, Y = rng.normal(size=(2, 8)), rng.integers(2, size=(1, 8))
>>> parameters = {
...     "W1": rng.normal(size=(4, 2)), "b1": np.zeros((4, 1)),
...     "W2": rng.normal(size=(3, 4)), "b2": np.zeros((3, 1)),
...     "W3": rng.normal(size=(1, 3)), "b3": np.zeros((1, 1)),
... }
>>> A3, cache = forward_propagation(X, parameters)
>>> before = compute_cost_with_regularization(A3, Y, parameters, lambd=0.7)
>>> gradients = backward_propagation_with_regularization(X, Y, cache, lambd=0.7)
>>> for name in parameters:
...     parameters[name] = parameters[name] - 0.1 * gradients["d" + name]
>>> A3, _ = forward_propagation(X, parameters)
>>> bool(compute_cost_with_regularization(A3, Y, parameters, lambd=0.7) < before)
True
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, softmax
from sklearn.utils import check_random_state

from skreg._network import Array
from skreg._network.activations import ACTIVATIONS
from skreg._network.calls import run
from skreg._network.dropout import documents_masks
from skreg._network.loss import cross_entropy_of_probabilities
from skreg._network.propagation import (
    Hidden,
    Workspace,
    backward,
    bias_gradient,
    forward,
)
from skreg._network.theta import Layer

__all__ = [
    "backward_propagation_with_dropout",
    "backward_propagation_with_regularization",
    "compute_cost",
    "compute_cost_with_regularization",
    "forward_propagation",
    "forward_propagation_with_dropout",
]

_RELU = ACTIVATIONS["relu"]


def forward_propagation(
    X: ArrayLike, parameters: Mapping[str, ArrayLike]
) -> tuple[Array, tuple[Array, ...]]:
    """Z1 = W1 X + b1, A1 = relu(Z1), …, Z3 = W3 A2 + b3, A3 = sigmoid(Z3).

    Parameters
    ----------
    X : array-like of shape (n_x, m)
        The inputs; columns are samples.
    parameters : dict
        W1 (n_h1, n_x), b1 (n_h1, 1), W2, b2, W3, b3.

    Returns
    -------
    A3 : ndarray of shape (1, m) or (n_classes, m)
        The probabilities: of the softmax where W3 has several rows.
    cache : tuple
        (Z1, A1, W1, b1, Z2, A2, W2, b2, Z3, A3, W3, b3).

    Raises
    ------
    ValueError
        If the shapes of X and the parameters do not fit together, a number is not
        finite or Z3 overflows.

    Examples
    --------
    >>> import numpy as np
    >>> from skreg.functional import forward_propagation
    >>> parameters = {
    ...     "W1": np.ones((4, 2)), "b1": np.zeros((4, 1)),
    ...     "W2": np.ones((3, 4)), "b2": np.zeros((3, 1)),
    ...     "W3": np.ones((1, 3)), "b3": np.zeros((1, 1)),
    ... }
    >>> A3, cache = forward_propagation(np.zeros((2, 3)), parameters)
    >>> A3
    array([[0.5, 0.5, 0.5]])
    >>> len(cache)
    12
    """
    return _forward(*_checked(X, parameters))


def forward_propagation_with_dropout(
    X: ArrayLike,
    parameters: Mapping[str, ArrayLike],
    keep_prob: float = 0.5,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[Array, tuple[Array, ...]]:
    """A1 = relu(Z1) * D1 / keep_prob, A2 = relu(Z2) * D2 / keep_prob, A3 as ever.

    D = (uniform < keep_prob), one uniform for each unit and sample, D1 first, then
    D2: an integer ``random_state`` gives the documents' own masks. Division by
    ``keep_prob`` keeps the expected activation what it is without dropout
    (Srivastava et al. 2014, section 10).

    Parameters
    ----------
    X : array-like of shape (n_x, m)
        The inputs; columns are samples.
    parameters : dict
        W1 (n_h1, n_x), b1 (n_h1, 1), W2, b2, W3, b3.
    keep_prob : float, default=0.5
        The probability of keeping a hidden unit, in (0, 1]; the documents' default.
    random_state : int, RandomState instance or None, default=None
        For the masks; None draws them from numpy's global stream.

    Returns
    -------
    A3 : ndarray of shape (1, m) or (n_classes, m)
        The probabilities.
    cache : tuple
        (Z1, D1, A1, W1, b1, Z2, D2, A2, W2, b2, Z3, A3, W3, b3).

    Raises
    ------
    ValueError
        If ``keep_prob`` is not in (0, 1], the shapes do not fit together, a number is
        not finite or Z3 overflows.

    Examples
    --------
    >>> import numpy as np
    >>> from skreg.functional import forward_propagation_with_dropout
    >>> parameters = {
    ...     "W1": np.ones((4, 2)), "b1": np.zeros((4, 1)),
    ...     "W2": np.ones((3, 4)), "b2": np.zeros((3, 1)),
    ...     "W3": np.ones((1, 3)), "b3": np.zeros((1, 1)),
    ... }
    >>> A3, cache = forward_propagation_with_dropout(
    ...     np.ones((2, 1)), parameters, keep_prob=0.5, random_state=1
    ... )
    >>> cache[1].ravel()  # D1
    array([1, 0, 1, 1])
    """
    _check_keep_prob(keep_prob)
    inputs, layers = _checked(X, parameters)
    shapes = [(len(layer.W), inputs.shape[1]) for layer in layers[:-1]]
    masks = documents_masks(check_random_state(random_state), shapes, keep_prob)
    A3, cache = _forward(inputs, layers, [D / keep_prob for D in masks])
    entries = list(cache)
    for index, D in enumerate(masks):
        entries.insert(5 * index + 1, D)
    return A3, tuple(entries)


def compute_cost(A3: ArrayLike, Y: ArrayLike) -> float:
    """J = 1/m Σ CE(A3, Y), with CE = -Y log A3 - (1 - Y) log(1 - A3) for one output.

    With several rows (softmax), CE = -Σ_classes Y log A3.

    Parameters
    ----------
    A3 : array-like of shape (1, m) or (n_classes, m)
        The probabilities.
    Y : array-like of the same shape
        0 or 1, or one-hot.

    Returns
    -------
    cost : float
        In nats per sample; infinite where a certain prediction is wrong.

    Raises
    ------
    ValueError
        If the shapes differ, or a number is not finite.

    Examples
    --------
    >>> from skreg.functional import compute_cost
    >>> round(compute_cost([[0.5, 0.5]], [[0, 1]]), 6)
    0.693147
    """
    probabilities, targets = _as_float(A3, "A3"), _as_float(Y, "Y")
    if probabilities.ndim != 2 or probabilities.shape != targets.shape:
        raise ValueError(
            f"A3 has the shape {probabilities.shape} and Y {targets.shape}: both must "
            "have the same, (1, m) or (n_classes, m)."
        )
    return float(cross_entropy_of_probabilities(probabilities, targets).mean())


def compute_cost_with_regularization(
    A3: ArrayLike, Y: ArrayLike, parameters: Mapping[str, ArrayLike], lambd: float
) -> float:
    """J = 1/m Σ CE(A3, Y) + lambd/(2m) (ΣW1² + ΣW2² + ΣW3²).

    Biases are never penalised.

    Parameters
    ----------
    A3 : array-like of shape (1, m) or (n_classes, m)
        The probabilities.
    Y : array-like of the same shape
        0 or 1, or one-hot.
    parameters : dict
        W1, b1, W2, b2, W3, b3.
    lambd : float
        The strength of the L2 penalty, at least 0.

    Returns
    -------
    cost : float
        In nats per sample; infinite where a certain prediction is wrong or the squares
        overflow.

    Raises
    ------
    ValueError
        If the shapes differ, a number is not finite or ``lambd`` is negative.

    Examples
    --------
    >>> from skreg.functional import compute_cost_with_regularization
    >>> cost = compute_cost_with_regularization(
    ...     [[0.5, 0.5]], [[0, 1]], {"W1": [[2.0]], "b1": [[9.0]]}, lambd=0.1
    ... )
    >>> round(cost, 6)
    0.793147
    """
    _check_lambd(lambd)
    cost = compute_cost(A3, Y)
    m = int(np.shape(Y)[1])
    with np.errstate(over="ignore"):
        squares = sum(float(np.sum(np.square(W))) for W in _weights(parameters))
    # 0 times infinity is not a number.
    return cost + float(lambd) / (2 * m) * squares if lambd else cost


def backward_propagation_with_regularization(
    X: ArrayLike, Y: ArrayLike, cache: Sequence[Array], lambd: float
) -> dict[str, Array]:
    """dZ3 = A3 - Y, dW3 = 1/m dZ3 A2ᵀ + lambd/m W3, db3 = 1/m Σ dZ3, …

    dA2 = W3ᵀ dZ3, dZ2 = dA2 * (A2 > 0), and so on down to dW1, db1.

    Parameters
    ----------
    X : array-like of shape (n_x, m)
        The inputs.
    Y : array-like of shape (1, m) or (n_classes, m)
        0 or 1, or one-hot.
    cache : tuple
        What :func:`forward_propagation` returned.
    lambd : float
        The strength of the L2 penalty, at least 0.

    Returns
    -------
    gradients : dict
        dZ3, dW3, db3, dA2, dZ2, dW2, db2, dA1, dZ1, dW1, db1. The dZ and dA are not
        divided by m, as in the documents.

    Raises
    ------
    ValueError
        If ``lambd`` is negative, the shapes do not fit together, a number is not
        finite or a gradient overflows.

    Examples
    --------
    >>> import numpy as np
    >>> from skreg.functional import (
    ...     backward_propagation_with_regularization,
    ...     forward_propagation,
    ... )
    >>> parameters = {
    ...     "W1": np.ones((4, 2)), "b1": np.zeros((4, 1)),
    ...     "W2": np.ones((3, 4)), "b2": np.zeros((3, 1)),
    ...     "W3": np.ones((1, 3)), "b3": np.zeros((1, 1)),
    ... }
    >>> X, Y = np.zeros((2, 1)), np.ones((1, 1))
    >>> A3, cache = forward_propagation(X, parameters)
    >>> gradients = backward_propagation_with_regularization(X, Y, cache, lambd=0.7)
    >>> gradients["dW3"]  # A2 is zero: the penalty alone
    array([[0.7, 0.7, 0.7]])
    """
    _check_lambd(lambd)
    if len(cache) % 4:
        raise ValueError(
            f"The cache has {len(cache)} entries: give that of forward_propagation, "
            "with 4 for each layer."
        )
    return _backward(X, Y, cache, lambd)


def backward_propagation_with_dropout(
    X: ArrayLike, Y: ArrayLike, cache: Sequence[Array], keep_prob: float
) -> dict[str, Array]:
    """dA2 = W3ᵀ dZ3 * D2 / keep_prob, dZ2 = dA2 * (A2 > 0), …

    The rest is that of the network without dropout: dZ3 = A3 - Y, dW3 = 1/m dZ3 A2ᵀ.

    Parameters
    ----------
    X : array-like of shape (n_x, m)
        The inputs.
    Y : array-like of shape (1, m) or (n_classes, m)
        0 or 1, or one-hot.
    cache : tuple
        What :func:`forward_propagation_with_dropout` returned.
    keep_prob : float
        That of the forward pass, in (0, 1].

    Returns
    -------
    gradients : dict
        dZ3, dW3, db3, dA2, dZ2, dW2, db2, dA1, dZ1, dW1, db1. The dZ and dA are not
        divided by m, as in the documents.

    Raises
    ------
    ValueError
        If ``keep_prob`` is not in (0, 1], the shapes do not fit together, a number is
        not finite or a gradient overflows.

    Examples
    --------
    >>> import numpy as np
    >>> from skreg.functional import (
    ...     backward_propagation_with_dropout,
    ...     forward_propagation_with_dropout,
    ... )
    >>> parameters = {
    ...     "W1": np.ones((4, 2)), "b1": np.zeros((4, 1)),
    ...     "W2": np.ones((3, 4)), "b2": np.zeros((3, 1)),
    ...     "W3": np.ones((1, 3)), "b3": np.zeros((1, 1)),
    ... }
    >>> X, Y = np.ones((2, 1)), np.zeros((1, 1))
    >>> A3, cache = forward_propagation_with_dropout(
    ...     X, parameters, keep_prob=0.5, random_state=1
    ... )
    >>> gradients = backward_propagation_with_dropout(X, Y, cache, keep_prob=0.5)
    >>> gradients["dW1"].shape
    (4, 2)
    """
    _check_keep_prob(keep_prob)
    n_hidden, rest = divmod(len(cache) - 4, 5)
    if rest:
        raise ValueError(
            f"The cache has {len(cache)} entries: give that of "
            "forward_propagation_with_dropout, with 5 for each hidden layer and 4 for "
            "the last."
        )
    of_masks, without_masks = slice(1, 5 * n_hidden, 5), list(cache)
    del without_masks[of_masks]
    return _backward(X, Y, without_masks, 0.0, [D / keep_prob for D in cache[of_masks]])


def _as_float(values: ArrayLike, name: str) -> Array:
    array = np.asarray(values, dtype=np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} has NaN or infinity: give finite numbers.")
    return array


def _check_keep_prob(keep_prob: float) -> None:
    if not (isinstance(keep_prob, Real) and 0 < keep_prob <= 1):
        raise ValueError(
            f"keep_prob={keep_prob!r}: it is the probability of keeping a unit, above "
            "0 and at most 1."
        )


def _check_lambd(lambd: float) -> None:
    if not (isinstance(lambd, Real) and 0 <= lambd < np.inf):
        raise ValueError(f"lambd={lambd!r}: it must be finite and at least 0.")


def _weights(parameters: Mapping[str, ArrayLike]) -> list[Array]:
    n_layers = sum(name.startswith("W") for name in parameters)
    weights = [f"W{i + 1}" for i in range(n_layers)]
    biases = [f"b{i + 1}" for i in range(n_layers)]
    if set(parameters) != {*weights, *biases} or not weights:
        raise ValueError(
            f"parameters has the keys {sorted(parameters)}: give W1, b1, W2, b2, … for "
            "each layer, and nothing else."
        )
    return [_as_float(parameters[name], name) for name in weights]


def _checked(
    X: ArrayLike, parameters: Mapping[str, ArrayLike]
) -> tuple[Array, tuple[Layer, ...]]:
    """X and the parameters as arrays whose shapes fit together."""
    inputs = _as_float(X, "X")
    if inputs.ndim != 2:
        raise ValueError(
            f"X has the shape {inputs.shape}: give (n_x, m), samples in columns."
        )
    layers, n_in = [], len(inputs)
    for index, W in enumerate(_weights(parameters), start=1):
        b = _as_float(parameters[f"b{index}"], f"b{index}")
        if W.ndim != 2 or W.shape[1] != n_in or b.shape != (W.shape[0], 1):
            raise ValueError(
                f"W{index} has the shape {W.shape} and b{index} {b.shape}: with {n_in} "
                f"rows coming in, give (n, {n_in}) and (n, 1)."
            )
        layers.append(Layer(W, b))
        n_in = W.shape[0]
    return inputs, tuple(layers)


def _workspace(layers: Sequence[Layer], m: int, masks: Sequence[Array]) -> Workspace:
    """No two of its arrays share memory, but for G and A without masks."""
    hidden = []
    for index, (W, _) in enumerate(layers[:-1]):
        Z, G, A, dA, slope, dZ, zeros = (np.zeros((len(W), m)) for _ in range(7))
        D = masks[index] if masks else None
        hidden.append(Hidden(Z, G, D, G if D is None else A, dA, slope, dZ, zeros))
    Z, dZ = (np.empty((len(layers[-1].W), m)) for _ in range(2))
    return Workspace(tuple(hidden), Z, dZ, ones=np.ones((m, 1)), matmul=np.matmul)


def _forward(
    X: Array, layers: Sequence[Layer], masks: Sequence[Array] = ()
) -> tuple[Array, tuple[Array, ...]]:
    """A3 and the cache; no two of its arrays share memory."""
    workspace = _workspace(layers, X.shape[1], masks)
    with np.errstate(over="ignore", invalid="ignore"):
        run(forward(X, layers, _RELU, workspace))
    Z = workspace.Z
    _check_finite(Z, f"Z{len(layers)}", X, layers)
    A3 = expit(Z) if len(Z) == 1 else softmax(Z, axis=0)
    cache = [
        entry
        for buffers, layer in zip(workspace.hidden, layers, strict=False)
        for entry in (buffers.Z, buffers.A, *layer)
    ]
    return A3, (*cache, Z, A3, *layers[-1])


def _backward(
    X: ArrayLike,
    Y: ArrayLike,
    cache: Sequence[Array],
    lambd: float,
    masks: Sequence[Array] = (),
) -> dict[str, Array]:
    """The gradients, from a cache without its masks."""
    inputs, targets = _as_float(X, "X"), _as_float(Y, "Y")
    layers, activations, A3 = _of_cache(cache, inputs, targets)
    n_layers, m = len(layers), inputs.shape[1]
    workspace = _workspace(layers, m, masks)
    # Where a unit is kept, A > 0 says the same as relu(Z) > 0.
    hidden = [
        buffers._replace(G=A, A=A)
        for buffers, A in zip(workspace.hidden, activations, strict=True)
    ]
    workspace = workspace._replace(hidden=tuple(hidden))
    np.subtract(A3, targets, out=workspace.dZ)
    sums = [Layer(np.empty_like(W), np.empty_like(b)) for W, b in layers]
    gradients = {f"dZ{n_layers}": workspace.dZ}
    with np.errstate(over="ignore", invalid="ignore"):
        run(bias_gradient(workspace.dZ, sums[-1].b, workspace))
        run(backward(inputs, layers, sums, _RELU, workspace))
        for i in range(n_layers, 0, -1):
            gradients[f"dW{i}"] = (sums[i - 1].W + lambd * layers[i - 1].W) / m
            gradients[f"db{i}"] = sums[i - 1].b / m
            if i > 1:
                gradients[f"dA{i - 1}"] = hidden[i - 2].dA
                gradients[f"dZ{i - 1}"] = hidden[i - 2].dZ
    for name, gradient in gradients.items():
        _check_finite(gradient, name, inputs, layers)
    return gradients


def _of_cache(
    cache: Sequence[Array], inputs: Array, targets: Array
) -> tuple[list[Layer], list[Array], Array]:
    """W and b of each layer, A of the hidden ones and of the last: all fit X and Y."""
    n_layers = len(cache) // 4
    if n_layers == 0 or any(np.ndim(entry) != 2 for entry in cache):
        raise ValueError("The cache is empty or has other entries than arrays.")
    layers = [Layer(*cache[4 * i + 2 : 4 * i + 4]) for i in range(n_layers)]
    for i, (W, b) in enumerate(layers):
        if W.shape != (len(cache[4 * i]), len(cache[4 * i - 3]) if i else W.shape[1]):
            raise ValueError(
                f"Entry {4 * i + 2} of the cache, W{i + 1}, has the shape {W.shape}, "
                "which does not fit the entries beside it: give what the forward pass "
                "of the same kind, with dropout or without, returned."
            )
        if b.shape != (len(W), 1):
            raise ValueError(f"b{i + 1} in the cache has the shape {b.shape}.")
    *activations, A3 = cache[1::4]
    if targets.shape != A3.shape:
        raise ValueError(
            f"Y has the shape {targets.shape}, but A3 {A3.shape}: give the same."
        )
    if inputs.shape != (layers[0].W.shape[1], A3.shape[1]):
        raise ValueError(
            f"X has the shape {inputs.shape}, but W1 {layers[0].W.shape} and A3 "
            f"{A3.shape}: give the X of the forward pass."
        )
    return layers, activations, A3


def _check_finite(values: Array, name: str, X: Array, layers: Sequence[Layer]) -> None:
    """What overflows names the largest number that led to it."""
    if np.isfinite(values).all():
        return
    arrays = {"X": X}
    for index, (W, b) in enumerate(layers, start=1):
        arrays |= {f"W{index}": W, f"b{index}": b}
    largest = {key: float(np.max(np.abs(array))) for key, array in arrays.items()}
    of = max(largest, key=lambda key: largest[key])
    raise ValueError(
        f"{name} overflows: the largest magnitude of the inputs and parameters is "
        f"{largest[of]:.3g}, in {of}. Scale X and start from smaller parameters."
    )
