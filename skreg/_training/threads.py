"""How many threads BLAS may use, where more of them lose time."""

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any

import scipy
from threadpoolctl import ThreadpoolController

# Two threads gain less than a quarter on products of fewer multiplications, and lose
# two thirds of the speed where the other cores are busy (docs/benchmarks.md).
SMALL_PRODUCT = 2**22


def threads_for(n_multiplications: int) -> AbstractContextManager[Any]:
    """A context in which BLAS runs on one thread if its largest product is small."""
    if n_multiplications < SMALL_PRODUCT:
        return _one_thread(_blas())
    return nullcontext()


def one_thread_in_scipy() -> AbstractContextManager[Any]:
    """A context in which scipy's BLAS runs on one thread, where it is one of its own.

    After each product of vectors in L-BFGS its threads wait busily for the next, and
    keep numpy's from the cores.
    """
    return _one_thread(_blas_of_scipy())


def _one_thread(libraries: ThreadpoolController) -> AbstractContextManager[Any]:
    # The number is the process's. Contexts of several threads could overlap, and the
    # last to leave would put back the number that it met, so only one thread sets it.
    if threading.current_thread() is not threading.main_thread():
        return nullcontext()
    return _limited(libraries)


@contextmanager
def _limited(libraries: ThreadpoolController) -> Iterator[None]:
    # It holds from the call on: an interrupt on the way to `with` would leave it so.
    with libraries.limit(limits=1):
        yield


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")


@cache
def _blas_of_scipy() -> ThreadpoolController:
    package = Path(scipy.__file__).parent
    folders = package, package.with_name("scipy.libs")
    files = [Path(library["filepath"]) for library in _blas().info()]
    of_scipy = [f for f in files if any(map(f.is_relative_to, folders))]
    return _blas().select(filepath=list(map(str, of_scipy)))
