"""What the pictures have in common: matplotlib, imported late; what a pipeline fits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.pipeline import Pipeline

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes


def pyplot() -> Any:
    """``matplotlib.pyplot``, or an error that says how to get it."""
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError(
            'no picture without matplotlib: pip install "skreg[plot]"'
        ) from error
    return pyplot


def last_step(estimator: Any) -> Any:
    """What a pipeline ends with, also one in another; else the estimator itself."""
    while isinstance(estimator, Pipeline):
        estimator = estimator[-1]
    return estimator


def given_axes(ax: Any, number: int, what_for: str) -> list[Axes]:
    """The axes in ``ax``: one, or an array of them. There must be ``number``."""
    from matplotlib.axes import Axes

    axes: list[Axes] = list(np.ravel(np.asarray(ax, dtype=object)))
    for each in axes:
        if not isinstance(each, Axes):
            raise TypeError(f"ax has a {type(each).__name__} in it: give Axes")
    if len(axes) != number:
        raise ValueError(f"ax has {len(axes)} Axes: give {number}, {what_for}")
    return axes


def keywords(
    default: dict[str, Any], given: dict[str, Any] | None, artist: type[Artist]
) -> dict[str, Any]:
    """The keywords for an artist: those given, also by their short names, go first."""
    from matplotlib import cbook

    full_names: dict[str, Any] = cbook.normalize_kwargs(given or {}, artist)
    return default | full_names
