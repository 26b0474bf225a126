"""What a report of a bug needs: the versions of all that takes part."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

import sklearn

from skreg._version import __version__

# The libraries of the extras that users install, and skops, which saves models.
OPTIONAL = (
    "dask",
    "distributed",
    "matplotlib",
    "onnx",
    "onnxruntime",
    "skl2onnx",
    "skops",
)


def show_versions() -> None:
    """Print the versions of skreg and its libraries, for a report of a bug.

    The optional libraries come first, with None for those that are not installed;
    they are not imported. What follows is ``sklearn.show_versions``: Python, the
    platform, the libraries that are always needed, and the thread pools of BLAS and
    OpenMP.

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
    # The package that runs, which need not be the one that is installed.
    versions: dict[str, str | None] = {"skreg": __version__}
    for name in OPTIONAL:
        versions[name] = _installed(name)
    print("\nskreg and its optional libraries:")
    for name, found in versions.items():
        print(f"{name:>13}: {found}")
    sklearn.show_versions()


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
