"""What the pictures have in common: matplotlib, imported late, and its keywords."""

from __future__ import annotations

from typing import Any

import numpy as np


def pyplot() -> Any:
    """``matplotlib.pyplot``, or an error that says how to get it."""
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError(
            'no picture without matplotlib: pip install "skreg[plot]"'
        ) from error
    return pyplot


def given_axes(ax: Any, number: int, what_for: str) -> list[Any]:
    """The axes in ``ax``: one, or an array of them. There must be ``number``."""
    from matplotlib.axes import Axes

    axes = list(np.ravel(np.asarray(ax, dtype=object)))
    for each in axes:
        if not isinstance(each, Axes):
            raise TypeError(f"ax has a {type(each).__name__} in it: give Axes")
    if len(axes) != number:
        raise ValueError(f"ax has {len(axes)} Axes: give {number}, {what_for}")
    return axes


def keywords(
    default: dict[str, Any], given: dict[str, Any] | None, artist: type
) -> dict[str, Any]:
    """The keywords for an artist: those given, also by their short names, go first."""
    from matplotlib import cbook

    return default | cbook.normalize_kwargs(given or {}, artist)
