"""The version, the format of saved models, and what a report of a bug needs."""

import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeVar

import sklearn

from skreg._training.compiling import kernels_in_use

__version__ = "0.1.0.dev0"

Class = TypeVar("Class", bound=type)

# How the state of an estimator is to be read. It goes up by one when a parameter or a
# fitted attribute comes, goes or changes its meaning, so that an older skreg would go
# wrong with it. Of a development version nobody has files.
FORMAT = 1


class Persistent:
    """Pickles of an estimator say in which format they are, and by which version.

    A state of a format that is not known yet raises ValueError. Formats begin at 1,
    that of the first release; a state without a number is one of a subclass that writes
    its own, and is taken as it is. When ``FORMAT`` goes up, what is new is added here
    to states of lower numbers, by ``state.setdefault``.

    The state is what ``BaseEstimator`` gives: parameters and fitted attributes. The
    fitted ones are numbers, strings, arrays, lists and dicts of them, and estimators of
    skreg, so that a file needs nothing else to be loaded. It names its class as
    ``skreg.RegularizedMLPClassifier``, wherever that lies (:func:`public`).
    ``tests/data/models`` has files of the versions so far.
    """

    def __getstate__(self) -> dict[str, Any]:
        state: Any = super().__getstate__()
        return {**state, "_skreg_format": FORMAT, "_skreg_version": __version__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        number = state.pop("_skreg_format", FORMAT)
        version = state.pop("_skreg_version", "an unknown version")
        if not isinstance(number, int) or number > FORMAT:
            raise ValueError(
                f"This {type(self).__name__} was saved by skreg {version}, in format "
                f"{number}; skreg {__version__} knows the formats up to {FORMAT}. "
                f"Upgrade skreg to {version} or newer, or save the model with the "
                "version that is here."
            )
        super().__setstate__(state)  # type: ignore[misc]


def public(cls: Class) -> Class:
    """Let a class bear the name of the package, in files of models and in pages.

    Its private file may then move. The examples in its docstrings stay those of the
    file, which ``__test__`` tells doctest.
    """
    vars(sys.modules[cls.__module__]).setdefault("__test__", {})[cls.__name__] = cls
    cls.__module__ = "skreg"
    return cls


# The libraries of the extras that users install.
OPTIONAL = [
    "dask",
    "distributed",
    "matplotlib",
    "numba",
    "onnx",
    "onnxruntime",
    "pandas",
    "pyarrow",
    "skl2onnx",
    "skops",
    "skrub",
]


def show_versions() -> None:
    """Print the versions of skreg and its libraries, for a report of a bug.

    The optional libraries come first, with None for those that are not installed;
    they are not imported, but for numba. The line ``kernels`` says what computes long
    fits, numba or numpy, and perhaps why. What follows is ``sklearn.show_versions``:
    Python, the platform, the libraries that are always needed, and the thread pools of
    BLAS and OpenMP.

    Examples
    --------
    >>> import skreg
    >>> skreg.show_versions()
    <BLANKLINE>
    skreg and its optional libraries:
            skreg: ...
             dask: ...
    <BLANKLINE>
    System:
           python: ...
    """
    print("\nskreg and its optional libraries:")
    # The package that runs, which need not be the one that is installed.
    print(f"{'skreg':>13}: {__version__}")
    for name in OPTIONAL:
        print(f"{name:>13}: {_installed(name)}")
    print(f"{'kernels':>13}: {kernels_in_use()}")
    sklearn.show_versions()


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
