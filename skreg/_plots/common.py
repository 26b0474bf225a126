"""What the displays share: matplotlib, imported late, and the networks they draw."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skreg._models.classifier import RegularizedMLPClassifier

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
    artist: type[Artist], given: dict[str, Any] | None, **default: Any
) -> dict[str, Any]:
    """The keywords for an artist: those given, also by their short names, go first."""
    from matplotlib import cbook

    full_names: dict[str, Any] = cbook.normalize_kwargs(given or {}, artist)
    return default | full_names


def score_name(scoring: Any, estimator: Any) -> str:
    """What the ``scoring`` of an estimator, or of a search of it, is called."""
    if scoring is None and is_classifier(estimator):
        return "accuracy"
    if isinstance(scoring, str):
        return scoring
    return str(getattr(scoring, "__name__", "score"))


def last_step(estimator: Any) -> Any:
    """What a pipeline ends with, also one in another; else the estimator itself."""
    while isinstance(estimator, Pipeline):
        estimator = estimator[-1]
    return estimator


def networks_of(estimator: Any, display: type, attribute: str) -> list[Any]:
    """The fitted networks that an estimator is or has; each has the attribute."""
    estimator = last_step(estimator)
    check_is_fitted(estimator)
    if hasattr(estimator, "best_estimator_"):
        return networks_of(estimator.best_estimator_, display, attribute)
    if hasattr(estimator, "cv_results_"):
        raise ValueError("the search has no best_estimator_: fit it with refit=True")
    if hasattr(estimator, "estimators_"):
        found = (networks_of(e, display, attribute) for e in estimator.estimators_)
        return list(chain.from_iterable(found))
    if not hasattr(estimator, attribute):
        raise TypeError(
            f"{display.__name__} is for fitted networks, such as "
            f"RegularizedMLPClassifier, alone or in a pipeline, a search or an "
            f"ensemble; {type(estimator).__name__} has no {attribute}"
        )
    if isinstance(estimator, RegularizedMLPClassifier) and len(estimator.classes_) == 1:
        raise ValueError(
            f"the model is constant, since y had one class, {estimator.classes_}: it "
            "has no loss curve, and all its weights are zero"
        )
    return [estimator]
