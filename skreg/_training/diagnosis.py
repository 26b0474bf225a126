"""What a fit says when it went badly, or is likely to have."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from skreg._network import Array
from skreg._training.descent import DivergedError, Result
from skreg._training.rows import Rows
from skreg._training.settings import Settings

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


def failure_of(result: Result, settings: Settings, rows: Rows) -> ValueError | None:
    """The error to raise if the training led nowhere."""
    if result.diverged is not None:
        return ValueError(_divergence(result.diverged, settings, rows.magnitudes()))
    if result.validation_scores and not result.best_epoch:
        return ValueError(
            f"scoring={settings.scoring!r} gave NaN on the validation rows in each of "
            f"{result.n_epochs} epochs. Give another scoring, or other rows by X_val "
            "and y_val."
        )
    return None


def _divergence(error: DivergedError, settings: Settings, magnitudes: Array) -> str:
    column = int(magnitudes.argmax())
    rate, lower = "", f"lambd={settings.lambd!r}"
    if error.learning_rate is not None:
        rate = f" at a learning rate of {error.learning_rate:.3g}"
        lower = f"learning_rate_init={settings.learning_rate_init!r} or {lower}"
    return (
        f"Training diverged: the loss exploded or a weight was not finite in epoch "
        f"{error.epoch}{rate}. The largest magnitude in X is "
        f"{magnitudes[column]:.3g}, in {_named(settings, column)}. Scale the features, "
        f"for example with sklearn.preprocessing.StandardScaler, or lower {lower}."
    )


def _unscaled_text(settings: Settings, data: Rows) -> str | None:
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
        f"means far from 0: the largest magnitude in {_named(settings, column)} is "
        f"{largest[column]:.3g}. That slows or spoils the training. Scale the columns "
        "first, as make_pipeline(StandardScaler(), ...) does; for sparse X take "
        "sklearn.preprocessing.MaxAbsScaler."
    )


def warn_of(
    settings: Settings, result: Result, new: Rows | None, stacklevel: int
) -> None:
    """One warning of all that went badly, if anything did.

    ``new`` are rows whose columns have not been looked at yet, or None.
    """
    unscaled = None if new is None else _unscaled_text(settings, new)
    texts = [] if result.converged else [_no_convergence_text(settings, result)]
    if unscaled is not None:
        texts.append(unscaled)
    if texts:
        category = UserWarning if result.converged else ConvergenceWarning
        warnings.warn(" ".join(texts), category, stacklevel=stacklevel + 1)


def warn_of_columns(settings: Settings, rows: Rows, stacklevel: int) -> None:
    """A warning of columns that are not scaled, if there are any."""
    unscaled = _unscaled_text(settings, rows)
    if unscaled is not None:
        warnings.warn(unscaled, stacklevel=stacklevel + 1)


@contextmanager
def without_advice() -> Iterator[None]:
    """Fits do not warn of columns: who makes many of them does it once."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"\d+ of the \d+ columns of X", UserWarning)
        yield


def _no_convergence_text(settings: Settings, result: Result) -> str:
    # After a refit, the splits before it made other numbers of epochs.
    n_epochs = len(result.validation_scores) or result.n_epochs
    remedy = f"Raise max_iter={settings.max_iter} or tol={settings.tol}, or set "
    remedy += "learning_rate='cosine', which is done at max_iter."
    if settings.solver == "lbfgs":
        remedy = f"Raise max_iter={settings.max_iter}."
        if n_epochs < settings.max_iter:
            remedy = f"Raise max_fun={settings.max_fun}, or scale the features."
        remedy = f"scipy says {result.message!r}. {remedy}"
    return (
        f"solver={settings.solver!r} stopped after {n_epochs} iterations "
        f"before it had converged. {remedy}"
    )


def _named(settings: Settings, column: int) -> str:
    names = getattr(settings, "feature_names_in_", None)
    name = "" if names is None else f" ({names[column]!r})"
    return f"column {column}{name}"
