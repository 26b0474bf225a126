"""Work as calls: a function and its arguments, the array that it writes last.

The formulas yield their calls, so that each stands in one place: it is run at once, or
made a plan that a training step runs again and again on the same arrays. For small
networks Python's own work would otherwise take longer than numpy's.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np

from skreg._network import Array, kernels
from skreg._network.kernels import Kernel

Call = tuple[Any, ...]
Calls = Iterable[Call]
Plan = list[Callable[[], Any]]

# Elementwise work on θ goes by blocks of this many parameters: few enough for the
# cache, enough that the calls cost little beside the work.
BLOCK = 2**15


def either(kernel: Kernel | None, lines: Calls, *arguments: Any) -> Calls:
    """The kernel's one call where it is in use and takes these, otherwise the lines."""
    call = None
    if kernel is not None and (kernels.setting() == "numba" or kernels.pays.get()):
        call = kernels.compiled_call(kernel, arguments)
    return lines if call is None else [call]


def run(calls: Calls) -> None:
    """Make each call once, as it comes."""
    for function, *arguments in calls:
        function(*arguments)


def plan(calls: Calls) -> Plan:
    """The calls, to be made later and as often as wanted."""
    return [partial(function, *arguments) for function, *arguments in calls]


def run_plan(planned: Plan) -> None:
    """Make each call of a plan."""
    for call in planned:
        call()


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
