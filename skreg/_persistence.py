"""The number of the format that a saved estimator bears, and who may load it."""

from __future__ import annotations

from typing import Any

from skreg._version import __version__

# How the state of an estimator is to be read. It goes up by one when a parameter or a
# fitted attribute comes, goes or changes its meaning, so that an older skreg would go
# wrong with it.
FORMAT = 1


class Persistent:
    """Pickles of an estimator say in which format they are, and by which version.

    A state of a format that is not known yet raises ValueError. Formats begin at 1,
    that of the first release; a state without a number is one of a subclass that writes
    its own, and is taken as it is. When ``FORMAT`` goes up, what is new is added here
    to states of lower numbers, by ``state.setdefault``.

    The state is what ``BaseEstimator`` gives: parameters and fitted attributes. The
    fitted ones are numbers, strings, arrays, lists and dicts of them, and estimators of
    skreg, so that a file needs nothing else to be loaded. It names its class by module
    and name, ``skreg._classifier.RegularizedMLPClassifier``: if that moves, the old
    name must still lead to it. ``tests/data/models`` has files of the versions so far.
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
