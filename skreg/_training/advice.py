"""What the rows and the parameters say of a fit, whatever comes of it."""

import inspect
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import sklearn

from skreg._network import Array
from skreg._training.early_stopping import sets_rows_aside, wants_refit
from skreg._training.rows import Rows
from skreg._training.settings import Settings, Shared

# The root mean square of a column above which its scale is called too large. Those of
# standardised columns are 1.
_LARGE = 20.0

# How many times its standard deviation the mean of a column may be, if it is larger
# than this root mean square: a column of the constant 1, or nearly, does no harm.
_FAR = 10.0
_NOT_SMALL = 3.0

# If no column has a larger root mean square, nor X a larger magnitude, all of X is too
# small. One small column among others may be numerical dust, or a rare word.
_SMALL = 0.05
_SMALL_MAGNITUDE = 0.1

# How many times larger or smaller than 1 a mean weight may be.
_FAR_WEIGHT = 10.0

_DEFAULTS = {each.name: each.default for each in fields(Settings)}

# Where code lies that a user does not call in his own lines.
_LIBRARIES = tuple(
    str(folder) + os.sep
    for folder in (Path(__file__).parents[1], Path(sklearn.__file__).parent)
)


class RowsWarning(UserWarning):
    """What is wrong with the rows, their weights or the parameters."""


class PenaltyWarning(UserWarning):
    """The penalty has left nothing of a network."""


def warn(text: str, category: type[Warning]) -> None:
    """A warning of the line outside of skreg and scikit-learn that led here."""
    level, frame = 1, inspect.currentframe()
    while frame is not None and frame.f_code.co_filename.startswith(_LIBRARIES):
        level, frame = level + 1, frame.f_back
    # This function is the first of the frames, and the first level.
    warnings.warn(text, category, stacklevel=level - 1 + (frame is not None))


@contextmanager
def silent(*categories: type[Warning]) -> Iterator[None]:
    """Fits do not give these warnings: who makes many of them gives one for all."""
    with warnings.catch_warnings():
        for category in categories:
            warnings.simplefilter("ignore", category)
        yield


def warn_of_fit(settings: Settings, training: Rows, validation: Rows | None) -> None:
    """One warning of all that may spoil a fit of a network, if there is anything."""
    warn_of_rows(
        columns_text(settings, training),
        weights_text(training, "lambd", [settings.lambd]),
        idle_text(settings, training, validation),
    )


def warn_of_rows(*texts: str | None) -> None:
    """One warning of all that the texts say, if there are any."""
    found = [text for text in texts if text is not None]
    if found:
        warn(" ".join(found), RowsWarning)


# Columns ------------------------------------------------------------------------------


def columns_text(settings: Shared, data: Rows) -> str | None:
    """What to say of columns that are not scaled; None if there are none."""
    sums, squares, n_rows = data.moments()
    with np.errstate(all="ignore"):
        roots, means = np.sqrt(squares / n_rows), sums / n_rows
        deviations = np.sqrt(np.maximum(squares / n_rows - means**2, 0))
        # A constant column says nothing, wherever it is.
        is_constant = deviations <= 1e-6 * roots
        is_far = (abs(means) > _FAR * deviations) & ~is_constant & (roots > _NOT_SMALL)
    wrong = ~(roots <= _LARGE) | is_far
    if not wrong.any() and 0 < roots.max() < _SMALL:
        largest = data.magnitudes()
        wrong = (largest > 0) & (largest.max() < _SMALL_MAGNITUDE)
    if not wrong.any():
        return None
    largest = data.magnitudes().astype(float)
    column = int(np.where(wrong, abs(np.log(np.maximum(largest, 1e-300))), 0).argmax())
    return (
        f"{wrong.sum()} of the {len(wrong)} columns of X have magnitudes far from 1 or "
        f"means far from 0: the largest magnitude in {named(settings, column)} is "
        f"{largest[column]:.3g}. That slows or spoils the training. Scale the columns "
        "first, as make_pipeline(StandardScaler(), ...) does; for sparse X take "
        "sklearn.preprocessing.MaxAbsScaler."
    )


def named(settings: Shared, column: int) -> str:
    """The number of a column, and its name if it has one."""
    names = getattr(settings, "feature_names_in_", None)
    name = "" if names is None else f" ({names[column]!r})"
    return f"column {column}{name}"


# Weights ------------------------------------------------------------------------------


def weights_text(rows: Rows, name: str, tried: Sequence[Any] | Array) -> str | None:
    """What to say of weights that make the penalty much stronger or weaker.

    None if there are none such, or if the values ``tried`` for the parameter ``name``
    have been chosen for them.
    """
    lambds = [lambd for lambd in (float(np.max(each)) for each in tried) if lambd > 0]
    mean = rows.total_weight / rows.n_rows
    if not lambds:
        return None
    if mean <= 1 / _FAR_WEIGHT and min(lambds) >= _FAR_WEIGHT * mean:
        times, unless = f"{1 / mean:.4g} times as strong as", ""
    elif mean >= _FAR_WEIGHT and max(lambds) <= mean / _FAR_WEIGHT:
        times = f"{mean:.4g} times weaker than"
        unless = ", unless each says how often its row occurs"
    else:
        return None
    value = tuple(tried) if name == "lambds" else tried[0]
    return (
        f"The weights of the rows have a mean of {mean:.3g}, and lambd is divided by "
        f"their sum: {name}={value!r} is {times} with weights of mean 1. Divide "
        f"sample_weight (or class_weight) by {mean:.3g}, or multiply {name} by "
        f"it{unless}."
    )


# Parameters that do nothing -----------------------------------------------------------


def idle_text(
    settings: Settings, rows: Rows, validation: Rows | None, scoring: str = "scoring"
) -> str | None:
    """What to say of parameters of early stopping that were set and do nothing.

    Those of another solver are passed over. ``scoring`` is the name that the parameter
    has in what the user has made.
    """
    if len(rows.target.classes) == 1:
        return None
    names = ["validation_fraction", "n_validation_splits", "early_stopping_refit"]
    if validation is not None:
        reason = "X_val takes the place of rows that are set aside"
        remedy = "Leave them out, or leave X_val out"
    elif sets_rows_aside(settings, rows):
        names = [] if wants_refit(settings, rows) else names[-1:]
        reason = "no training on all rows goes with "
        reason += "warm_start=True" if settings.warm_start else "'adaptive'"
        remedy = "Leave it out, or set warm_start=False and another learning_rate"
    elif settings.early_stopping == "auto" and settings.solver == "lbfgs":
        return None
    else:
        names += [] if settings.train_scores else ["scoring"]
        reason = f"early_stopping={settings.early_stopping!r} sets no rows aside here"
        remedy = "Leave them out, or set early_stopping=True"
    idle = [name for name in names if _asks(settings, name)]
    if not idle:
        return None
    shown = [
        f"{scoring if name == 'scoring' else name}={getattr(settings, name)!r}"
        for name in idle
    ]
    verb = "does" if len(shown) == 1 else "do"
    return f"{' and '.join(shown)} {verb} nothing, since {reason}. {remedy}."


def _asks(settings: Settings, name: str) -> bool:
    """Whether a parameter was set to what takes rows that are set aside."""
    value = getattr(settings, name)
    if name == "validation_fraction":
        # 0 turns 'auto' off.
        return bool(value not in (0, _DEFAULTS[name]))
    if name == "scoring":
        return bool(value != "loss")
    # One split is none but for the refit, and False no refit.
    return value != "auto" and int(value) > (name == "n_validation_splits")
