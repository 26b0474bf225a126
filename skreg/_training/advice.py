"""What the rows and the parameters say of a fit, whatever comes of it."""

import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import joblib
import numpy as np
import sklearn
from scipy.sparse import issparse

from skreg._network import Array
from skreg._training.early_stopping import sets_rows_aside, wants_refit
from skreg._training.rows import Rows
from skreg._training.settings import Settings, Shared, lambd_of

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

_FRACTION = next(f.default for f in fields(Shared) if f.name == "validation_fraction")

# Where code lies that is not the user's own: this package, and what calls it for him.
_PACKAGE, _SKLEARN, _JOBLIB = _LIBRARIES = tuple(
    str(Path(file).parent) + os.sep
    for file in (Path(__file__).parent, sklearn.__file__, joblib.__file__)
)

# What was said in a loop of joblib, and in a process that it has started.
_told: WeakKeyDictionary[joblib.Parallel, set[str]] = WeakKeyDictionary()
_told_by_worker: set[str] = set()


class FitAdviceWarning(UserWarning):
    """Columns, weights or parameters with which a fit goes badly, or not as meant.

    The text names them, their values and what to do.

    Examples
    --------
    >>> import warnings
    >>> from skreg import FitAdviceWarning, RegularizedMLPClassifier
    >>> X, y = [[0.0], [1000.0]], [0, 1]
    >>> with warnings.catch_warnings(record=True, action="always") as caught:
    ...     model = RegularizedMLPClassifier(
    ...         lambd=0.1, max_iter=3, standardize=False
    ...     ).fit(X, y)
    >>> caught[0].category is FitAdviceWarning
    True
    """

    __module__ = "skreg"


class RegularizationWarning(UserWarning):
    """``lambd`` is so large for the rows that the penalty left nothing of a network.

    It predicts nearly the same for every row.

    Examples
    --------
    >>> import warnings
    >>> from skreg import RegularizationWarning, RegularizedMLPClassifier
    >>> X, y = [[0.0], [1.0]], [0, 1]
    >>> with warnings.catch_warnings(record=True, action="always") as caught:
    ...     model = RegularizedMLPClassifier(random_state=0).fit(X, y)
    >>> caught[0].category is RegularizationWarning
    True
    """

    __module__ = "skreg"


# Their examples are tested with this file, whatever module they name.
__test__ = {each.__name__: each for each in (FitAdviceWarning, RegularizationWarning)}


def warn(text: str, category: type[Warning]) -> None:
    """A warning of the user's line that led here."""
    warnings.warn(text, category, stacklevel=_caller().level)


def advise(text: str, category: type[Warning]) -> None:
    """A warning that all fits of one search give once.

    scikit-learn makes each fit with the filters set anew, which would show it again.
    """
    caller = _caller()
    if caller.is_job:
        # The outermost loop lives as long as the search; a worker's process has none.
        told = _told_by_worker
        if caller.loops:
            told = _told.setdefault(caller.loops[-1], set())
        if text in told:
            return
        told.add(text)
    warnings.warn(text, category, stacklevel=caller.level)


class _Caller(NamedTuple):
    """Who called this package: how many frames up, and by which loops of joblib."""

    level: int
    is_job: bool
    loops: list[joblib.Parallel]


def _caller() -> _Caller:
    level, is_job, loops = 1, False, []
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_LIBRARIES):
        is_job |= frame.f_code.co_filename.startswith(_JOBLIB)
        own = frame.f_locals.get("self")
        if isinstance(own, joblib.Parallel):
            loops.append(own)
        level, frame = level + 1, frame.f_back
    return _Caller(level, is_job, loops)


@contextmanager
def silent(*categories: type[Warning]) -> Iterator[None]:
    """Fits do not give these warnings: who makes many of them gives one for all."""
    with warnings.catch_warnings():
        for category in categories:
            warnings.simplefilter("ignore", category)
        yield


def warn_of_fit(
    settings: Settings, training: Rows, validation: Rows | None, *, is_new: bool = True
) -> None:
    """One warning of all that may spoil a fit of a network, if there is anything.

    Of columns only where the rows are the first, ``is_new``, and are not standardised.
    """
    warn_of_rows(
        columns_text(settings, training, settings.standardize) if is_new else None,
        network_weights_text(settings, training),
        idle_text(settings, training, validation),
    )


def warn_of_rows(*texts: str | None) -> None:
    """One warning of all that the texts say, if there are any."""
    found = [text for text in texts if text is not None]
    if found:
        advise(" ".join(found), FitAdviceWarning)


# Columns ------------------------------------------------------------------------------


def columns_text(
    settings: Shared, data: Rows, standardized: bool = False
) -> str | None:
    """What to say of columns that are not scaled; None if there are none.

    Where they were ``standardized``, sparse ones may still be far from 0.
    """
    if standardized and not issparse(data.X):
        return None
    with np.errstate(all="ignore"):
        means, squares, _ = data.moments()
        roots = np.sqrt(squares)
        deviations = np.sqrt(np.maximum(squares - means**2, 0))
        # A constant column says nothing, wherever it is.
        is_constant = deviations <= 1e-6 * roots
        is_far = (abs(means) > _FAR * deviations) & ~is_constant & (roots > _NOT_SMALL)
    wrong = is_far if standardized else ~(roots <= _LARGE) | is_far
    if not (standardized or wrong.any()) and 0 < roots.max() < _SMALL:
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


def weights_text(
    rows: Rows, name: str, value: Any, tried: Sequence[Any] | Array
) -> str | None:
    """What to say of weights that make the penalty much stronger or weaker.

    None if there are none such, or if the strengths ``tried``, which the ``value`` of
    the parameter ``name`` has, were chosen for them.
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
    shown = value.tolist() if isinstance(value, np.ndarray) else value
    return (
        f"The weights of the rows have a mean of {mean:.3g}, and lambd is divided by "
        f"their sum: {name}={shown!r} is {times} with weights of mean 1. Divide "
        f"sample_weight (or class_weight) by {mean:.3g}, or multiply {name} by "
        f"it{unless}."
    )


def network_weights_text(settings: Settings, rows: Rows) -> str | None:
    """:func:`weights_text` of one network."""
    lambd = lambd_of(settings)
    return weights_text(rows, "lambd", lambd, [lambd])


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
        remedy = "leave X_val out"
    elif sets_rows_aside(settings, rows):
        names = [] if wants_refit(settings, rows) else names[-1:]
        blocker = "learning_rate='adaptive'"
        if settings.warm_start:
            blocker = "warm_start=True"
        reason = f"no training on all rows goes with {blocker}"
        remedy = f"change {blocker}"
    elif settings.early_stopping == "auto" and settings.solver == "lbfgs":
        return None
    else:
        names += [] if settings.train_scores else ["scoring"]
        reason = f"early_stopping={settings.early_stopping!r} sets no rows aside here"
        remedy = "set early_stopping=True"
    idle = [name for name in names if _asks(settings, name)]
    if not idle:
        return None
    shown = [
        f"{scoring if name == 'scoring' else name}={getattr(settings, name)!r}"
        for name in idle
    ]
    does, it = ("does", "it") if len(shown) == 1 else ("do", "them")
    return (
        f"{' and '.join(shown)} {does} nothing, since {reason}. Leave {it} out, or "
        f"{remedy}."
    )


def _asks(settings: Settings, name: str) -> bool:
    """Whether a parameter was set to what takes rows that are set aside."""
    value = getattr(settings, name)
    if name == "validation_fraction":
        # 0 turns 'auto' off.
        return bool(value not in (0, _FRACTION))
    if name == "scoring":
        return bool(value != "loss")
    # One split is none but for the refit, and False no refit.
    return value != "auto" and int(value) > (name == "n_validation_splits")
