"""Which fits the compiled kernels are for."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from skreg._network.kernels import (
    FLOATS,
    VARIABLE,
    compiled,
    compiled_or_not,
    pays,
    setting,
)

# numba and the kernels take half a second to load, and win about a third of the time.
LONG_ENOUGH = 3.0


@contextmanager
def kernels_for(seconds: float) -> Iterator[None]:
    """A context in which a fit of about so many seconds has the kernels, if it pays.

    It depends on nothing that happened before, so that equal fits are equal.
    """
    token = pays.set(setting() == "auto" and seconds >= LONG_ENOUGH)
    try:
        yield
    finally:
        pays.reset(token)


def compile_kernels() -> None:
    """Compile the kernels now, and use them from now on, in fits of any length.

    They need numba: ``pip install "skreg[fast]"``. Without this call only fits that are
    long enough to earn it have them: those that would take about three seconds if they
    made all of their epochs. Compiling takes some seconds the first time, and half a
    second after that, since numba keeps the result on disk.

    The call sets the environment variable ``SKREG_KERNELS`` to 'numba', so that the
    processes which this one starts use the kernels too. Where it is 'numpy' already,
    the kernels stay off and the call does nothing. 'auto' is the default.

    A kernel makes one pass over its arrays where numpy makes several. Its results
    differ by rounding, and so does the network that a ``random_state`` gives.

    Raises
    ------
    ImportError
        If numba is not installed, or cannot be imported.
    RuntimeError
        If the kernels cannot be compiled, or not be kept on disk.

    Examples
    --------
    >>> import skreg
    >>> skreg.compile_kernels()  # doctest: +SKIP
    """
    if setting() == "numpy":
        return
    for name in FLOATS.values():
        compiled(name)
    # What failed before may work now.
    compiled_or_not.cache_clear()
    os.environ[VARIABLE] = "numba"
    setting.cache_clear()


def kernels_in_use() -> str:
    """What computes long fits: 'numba' and its version, or 'numpy' and perhaps why."""
    if setting() == "numpy":
        return f"numpy ({VARIABLE})"
    try:
        from numba import __version__ as version
    except ModuleNotFoundError:
        return "numpy"
    except ImportError:
        version = "that cannot be imported"
    _, problem = compiled_or_not("float32")
    return f"numpy ({problem})" if problem else f"numba {version}"
