"""Several lines of the formulas as one pass over their arrays, compiled by numba.

A kernel stands for the calls that ``either`` gets with it: it writes the same, but for
rounding. Arrays of a network have the leading axis of a stack; a D without values drops
none.
"""

import math
import os
import warnings
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from functools import cache
from typing import Any

import numpy as np

from skreg._network import Array

Kernel = Callable[..., None]

# The dtypes of θ that they are compiled for.
FLOATS = {np.dtype(name): name for name in ("float32", "float64")}

# The numbers of the activations, in the order of ``ACTIVATIONS``.
IDENTITY, LOGISTIC, TANH, RELU = range(4)

# Rows of θ whose squares are added up in its own dtype.
_BLOCK = 2**12


def activate(Z: Array, b: Array, D: Array, which: Array, activation: int) -> None:
    """A = g(Z + b) * D over Z, where g is RELU or the identity.

    D is (n_h, n_masks, m); ``which`` has the number of each network's mask.
    """
    zero, is_masked = Z.dtype.type(0), D.size > 0
    for s in range(Z.shape[0]):
        for i in range(Z.shape[1]):
            bias, A = b[s, i, 0], Z[s, i]
            mask = D[i, which[s]] if is_masked else A
            for j in range(Z.shape[2]):
                z = A[j] + bias
                if activation == RELU:
                    # NaN is not below zero, and stays.
                    z = zero if z <= zero else z
                A[j] = z * mask[j] if is_masked else z


def go_back(
    dA: Array, G: Array, D: Array, which: Array, db: Array, activation: int
) -> None:
    """dZ = dA * D * g'(Z) over dA, and db = Σ dZ."""
    number = G.dtype.type
    zero, half, one, is_masked = number(0), number(0.5), number(1), D.size > 0
    for s in range(G.shape[0]):
        for i in range(G.shape[1]):
            A, dZ = G[s, i], dA[s, i]
            mask = D[i, which[s]] if is_masked else A
            total = zero
            for j in range(G.shape[2]):
                g, d = A[j], dZ[j]
                if is_masked:
                    d *= mask[j]
                if activation == RELU:
                    # A product, so that NaN stays.
                    d *= one if g > zero else zero
                elif activation == TANH:
                    d *= one - g * g
                elif activation == LOGISTIC:
                    d *= half * half - (g - half) * (g - half)
                dZ[j] = d
                total += d
            db[s, i, 0] = total


def sigmoid_loss(
    Z: Array, b: Array, Y: Array, share: Array, dZ: Array, db: Array, loss: Array
) -> None:
    """Σ share · CE of Z + b, dZ = share (sigmoid - Y), db = Σ dZ, for Y of 0 and 1."""
    zero, one = Z.dtype.type(0), Z.dtype.type(1)
    for s in range(Z.shape[0]):
        # That of the stack, or the one that all networks have.
        y_of, share_of = Y[s % len(Y)], share[s % len(share)]
        cost = 0.0
        for i in range(Z.shape[1]):
            total = 0.0
            for j in range(Z.shape[2]):
                z, y = Z[s, i, j] + b[s, i, 0], y_of[i, j]
                e = math.exp(-abs(z))
                a = one / (one + e)
                d = ((a if z >= zero else e * a) - y) * share_of[j]
                dZ[s, i, j] = d
                total += d
                cost += (max((one - y - y) * z, zero) + math.log1p(e)) * share_of[j]
            db[s, i, 0] = total
        loss[s] = cost


def softmax_loss(
    Z: Array, b: Array, Y: Array, share: Array, dZ: Array, db: Array, loss: Array
) -> None:
    """Σ share · CE of Z + b over Z, dZ = share (softmax - Y), db = Σ dZ."""
    number = Z.dtype.type
    for s in range(Z.shape[0]):
        y_of, share_of = Y[s % len(Y)], share[s % len(share)]
        cost = 0.0
        for j in range(Z.shape[2]):
            top = number(-np.inf)
            for i in range(Z.shape[1]):
                Z[s, i, j] += b[s, i, 0]
                top = max(top, Z[s, i, j])
            mass = target_logit = number(0)
            for i in range(Z.shape[1]):
                z = Z[s, i, j] - top
                dZ[s, i, j] = math.exp(z)
                mass += dZ[s, i, j]
                target_logit += y_of[i, j] * z
            for i in range(Z.shape[1]):
                dZ[s, i, j] = (dZ[s, i, j] / mass - y_of[i, j]) * share_of[j]
            cost += (math.log(mass) - target_logit) * share_of[j]
        for i in range(Z.shape[1]):
            total = number(0)
            for j in range(Z.shape[2]):
                total += dZ[s, i, j]
            db[s, i, 0] = total
        loss[s] = cost


def penalise(theta: Array, g: Array, decay: Array, ends: Array, out: Array) -> None:
    """dW += decay W of each layer; the sum of W · decay W goes to ``out``."""
    for s in range(theta.shape[0]):
        whole, start = 0.0, 0
        for layer in range(len(ends)):
            factor = decay[s, layer]
            while start < ends[layer]:
                stop = min(start + _BLOCK, ends[layer])
                W, dW = theta[s, start:stop], g[s, start:stop]
                total = theta.dtype.type(0)
                for i in range(len(W)):
                    decayed = factor * W[i]
                    dW[i] += decayed
                    total += decayed * W[i]
                whole += total
                start = stop
        out[s] = whole


def sgd(theta: Array, g: Array, v: Array, rate: Array, numbers: Array) -> None:
    """A step of :class:`SGD`; the numbers are its momentum, and 1 for Nesterov's."""
    momentum, nesterov = numbers[0], numbers[1] != 0
    for s in range(theta.shape[0]):
        eta = rate[s, 0]
        for i in range(theta.shape[1]):
            step = eta * g[s, i]
            if momentum == 0:
                theta[s, i] -= step
            else:
                v[s, i] = momentum * v[s, i] - step
                theta[s, i] += momentum * v[s, i] - step if nesterov else v[s, i]


def adam(
    theta: Array, g: Array, m: Array, v: Array, rate: Array, numbers: Array
) -> None:
    """A step of :class:`Adam`; the numbers are β1, β2 and ε."""
    beta_1, beta_2, epsilon = numbers[0], numbers[1], numbers[2]
    for s in range(theta.shape[0]):
        eta = rate[s, 0]
        for i in range(theta.shape[1]):
            gradient = g[s, i]
            first = beta_1 * m[s, i] + gradient
            second = beta_2 * v[s, i] + gradient * gradient
            m[s, i], v[s, i] = first, second
            theta[s, i] -= eta * first / (math.sqrt(second) + epsilon)


def flush(theta: Array, first: Array, last: Array, limits: Array) -> None:
    """That of :class:`Optimizer`; NaN stays."""
    of_weights, of_gradients, tiny = limits[0], limits[1], limits[2]
    zero = theta.dtype.type(0)
    for s in range(theta.shape[0]):
        for i in range(theta.shape[1]):
            W, m = abs(theta[s, i]), abs(first[s, i])
            goes = of_weights > W and m < of_weights
            if goes or tiny > W:
                theta[s, i] = zero
            if goes or m < of_gradients:
                first[s, i] = zero
            if abs(last[s, i]) < tiny:
                last[s, i] = zero


def sparse_product(
    WT: Array, starts: Array, columns: Array, values: Array, Z: Array
) -> None:
    """Z = W X, for the rows of a sparse table."""
    row = np.empty(WT.shape[1], WT.dtype)
    for i in range(Z.shape[1]):
        row[:] = 0
        for k in range(starts[i], starts[i + 1]):
            w, x = WT[columns[k]], values[k]
            for j in range(len(row)):
                row[j] += x * w[j]
        for j in range(len(row)):
            Z[j, i] = row[j]


def sparse_gradient(
    dZ: Array, starts: Array, columns: Array, values: Array, dWT: Array
) -> None:
    """dW = dZ Xᵀ, for the rows of a sparse table."""
    row = np.empty(dWT.shape[1], dWT.dtype)
    dWT[:] = 0
    for i in range(dZ.shape[1]):
        for j in range(len(row)):
            row[j] = dZ[j, i]
        for k in range(starts[i], starts[i + 1]):
            w, x = dWT[columns[k]], values[k]
            for j in range(len(row)):
                w[j] += x * row[j]


# What each takes: T is the dtype of θ; ::1 says that the last axis has no gaps.
_STACK, _COLUMN, _VECTORS = "T[:,:,::1]", "T[:,:,:]", "T[:,::1]"
_TABLE = "i4[::1]", "i4[::1]", "T[::1]"
_LOSS = _STACK, _COLUMN, "T[:,:,:]", _VECTORS, _STACK, _COLUMN, "T[::1]"
KERNELS: dict[Kernel, tuple[str, ...]] = {
    activate: (_STACK, _COLUMN, _STACK, "i8[::1]", "i8"),
    go_back: (_STACK, _STACK, _STACK, "i8[::1]", _COLUMN, "i8"),
    sigmoid_loss: _LOSS,
    softmax_loss: _LOSS,
    penalise: (_VECTORS, _VECTORS, _VECTORS, "i8[::1]", "T[::1]"),
    sgd: (*[_VECTORS] * 4, "T[::1]"),
    adam: (*[_VECTORS] * 5, "T[::1]"),
    flush: (*[_VECTORS] * 3, "T[::1]"),
    sparse_product: (_VECTORS, *_TABLE, _VECTORS),
    sparse_gradient: (_VECTORS, *_TABLE, _VECTORS),
}

# 'auto' is for fits that are long enough, 'numba' for all, 'numpy' for none. The
# processes that this one starts read it too.
VARIABLE = "SKREG_KERNELS"
_SETTINGS = "auto", "numba", "numpy"

# Sums in another order, products added in one step, divisions by a number as products
# with its inverse, and the sign of zero; but NaN and infinity stay.
_OPTIONS: dict[str, Any] = {
    "cache": True,
    "nogil": True,
    "error_model": "numpy",
    "fastmath": {"contract", "reassoc", "nsz", "arcp"},
}

# Whether 'auto' means numba, in this context.
pays: ContextVar[bool] = ContextVar("pays", default=False)


@cache
def setting() -> str:
    """What the environment variable says, read once."""
    found = os.environ.get(VARIABLE) or "auto"
    if found not in _SETTINGS:
        raise ValueError(
            f"The environment variable {VARIABLE} is {found!r}. Set it to one of "
            f"{_SETTINGS}, or unset it."
        )
    return found


@cache
def compiled(dtype: str) -> dict[Kernel, Kernel]:
    """Each kernel, compiled for this dtype of θ."""
    found = {}
    try:
        from numba import njit

        for kernel, signature in KERNELS.items():
            of_dtype = [each.replace("T", dtype) for each in signature]
            found[kernel] = njit(**_OPTIONS)(kernel)
            found[kernel].compile(f"void({', '.join(of_dtype)})")
            # What comes later is to fit, not to be compiled for.
            found[kernel].disable_compile()
    except ImportError as error:
        raise ImportError(
            f'the kernels need numba ({error}): pip install "skreg[fast]"'
        ) from error
    except Exception as error:
        text = f"numba cannot compile the kernels, or keep them on disk: {error}"
        raise RuntimeError(text) from error
    return found


@cache
def compiled_or_not(dtype: str) -> tuple[dict[Kernel, Kernel], str]:
    """Nothing where they cannot be compiled, and the first line that says why."""
    try:
        return compiled(dtype), ""
    except (ImportError, RuntimeError) as error:
        problem = str(error).partition("\n")[0]
    if setting() == "numba":
        text = f"{VARIABLE}=numba does nothing here: {problem}"
        warnings.warn(text, RuntimeWarning, stacklevel=2)
    return {}, problem


def compiled_call(kernel: Kernel, arguments: Sequence[Any]) -> tuple[Any, ...] | None:
    """The kernel and its arguments, or None where it does not take these."""
    name = FLOATS.get(arguments[0].dtype)
    found = compiled_or_not(name)[0] if name else {}
    ready = []
    for argument, (dtype, n_axes, has_gaps) in zip(
        arguments, _kinds(kernel, name), strict=True
    ):
        if n_axes and argument.ndim == n_axes - 1:
            # One network is a stack of one.
            argument = argument[np.newaxis]
        ready.append(argument)
        if argument is None or not found:
            return None
        if n_axes and not (
            argument.ndim == n_axes
            and argument.dtype == dtype
            and argument.flags.writeable
            and (has_gaps or argument.flags.c_contiguous)
        ):
            return None
    return found[kernel], *ready


@cache
def _kinds(kernel: Kernel, name: str | None) -> list[tuple[str, int, bool]]:
    """Of each argument the dtype, the axes (0 of a number), and whether it has gaps."""
    return [
        (
            kind.partition("[")[0].replace("T", name or ""),
            (kind.count(",") + 1) * ("[" in kind),
            "::1" not in kind,
        )
        for kind in KERNELS[kernel]
    ]
