"""The number of the format that a saved estimator bears, and who may load it."""

from __future__ import annotations

import sys
from typing import Any

# How the state of an estimator is to be read. It goes up by one when a parameter or a
# fitted attribute comes, goes or changes its meaning, so that an older skreg would go
# wrong with it. `__setstate__` below then brings states of lower numbers up to date.
FORMAT = 1


class Persistent:
    """Pickles of an estimator say in which format they are, and by which version.

    A state of a format that is not known yet raises ValueError; one without a number is
    as old as can be, format 0, which has the attributes of format 1.

    The state is what ``BaseEstimator`` gives: parameters and fitted attributes. The
    fitted ones are numbers, strings, arrays, lists and dicts of them, and estimators of
    skreg, so that a file needs nothing else to be loaded. It names its class by module
    and name, ``skreg._classifier.RegularizedMLPClassifier``: if that moves, the old
    name must still lead to it. ``tests/data/models`` has files of the versions so far.
    """

    def __getstate__(self) -> dict[str, Any]:
        # The package stands above its files: it is looked up, and not imported.
        version = sys.modules["skreg"].__version__
        state: Any = super().__getstate__()
        return {**state, "_skreg_format": FORMAT, "_skreg_version": version}

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        number = state.pop("_skreg_format", 0)
        version = state.pop("_skreg_version", "an unknown version")
        if number > FORMAT:
            raise ValueError(
                f"This {type(self).__name__} was saved by skreg {version}, in format "
                f"{number}; skreg {sys.modules['skreg'].__version__} knows the formats "
                f"up to {FORMAT}. Upgrade skreg to {version} or newer, or save the "
                "model with the version that is here."
            )
        # Here the state comes up to date, step by step: with a new attribute,
        # if number < 2: state.setdefault("new_", what it was before there was a choice)
        super().__setstate__(state)  # type: ignore[misc]
