"""What comes of a training that went badly: an error, or a warning."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from skreg._network import Array
from skreg._network.theta import initial_theta
from skreg._training.advice import (
    RegularizationWarning,
    advise,
    named,
    network_weights_text,
    warn,
)
from skreg._training.descent import DivergedError, Result
from skreg._training.problem import Problem
from skreg._training.rows import Rows
from skreg._training.settings import Settings, lambd_of

# lambd over the total weight from which the penalty may outweigh the loss. It has where
# most is left of a constant model's loss, and little of the squares of the weights at
# the start. In trainings on 4 to 49 rows of nine tables, those with one class for all
# had 0.92 of that loss and more, and those that had learnt something less.
_STRONG = 0.02
_LOSS_LEFT = 0.9
_SQUARES_LEFT = 0.5

# A decay above 1 that is larger than the inverse learning rate makes steps overshoot.
# L-BFGS has no rate, and diverges by overflow alone.
_RATE_OF_LBFGS = 1e-6


def failure_of(result: Result, settings: Settings, rows: Rows) -> ValueError | None:
    """The error to raise if the training led nowhere."""
    if result.diverged is not None:
        return ValueError(_divergence(result.diverged, settings, rows))
    if result.validation_scores and not result.best_epoch:
        return ValueError(
            f"scoring={settings.scoring!r} gave NaN on the validation rows in each of "
            f"{result.n_epochs} epochs. Give another scoring, or other rows by X_val "
            "and y_val."
        )
    return None


def _divergence(error: DivergedError, settings: Settings, rows: Rows) -> str:
    rate, at_rate, lower = _RATE_OF_LBFGS, "", f"lambd={lambd_of(settings)!r}"
    if error.learning_rate is not None:
        rate = error.learning_rate
        at_rate = f" at a learning rate of {rate:.3g}"
        lower = f"learning_rate_init={settings.learning_rate_init!r} or {lower}"
    exploded = (
        "Training diverged: the loss exploded or a weight was not finite in epoch "
        f"{error.epoch}{at_rate}."
    )
    decay = float(np.max(lambd_of(settings))) / rows.total_weight
    if decay >= 1 and rate * decay >= 1:
        of_weights = network_weights_text(settings, rows) or f"Lower {lower}."
        return (
            f"{exploded} lambd over the total weight of the rows, "
            f"{rows.total_weight:.3g}, is {decay:.3g}, which is too much. {of_weights}"
        )
    magnitudes = rows.magnitudes()
    column = int(magnitudes.argmax())
    return (
        f"{exploded} The largest magnitude in X is "
        f"{magnitudes[column]:.3g}, in {named(settings, column)}. Scale the features, "
        f"for example with sklearn.preprocessing.StandardScaler, or lower {lower}."
    )


def mark_outweighed(problem: Problem, results: Sequence[Result]) -> None:
    """Write into each result whether the penalty has ``outweighed`` the loss.

    Then the weights have shrunk, and it predicts as a constant model does.
    """
    rows, layout = problem.training, problem.layout
    is_strong = problem.lambds.max(axis=-1) / rows.total_weight >= _STRONG
    if not is_strong.any():
        return
    thetas = [result.theta for result in results]
    theta = np.array(thetas) if problem.is_stack else thetas[0]
    constant = np.zeros_like(theta)
    layout.layers(constant)[-1].b[..., 0] = rows.prior_logits()
    start = initial_theta(
        layout, problem.settings.activation, np.random.default_rng(0), theta.dtype
    )

    def squares(theta: Array) -> Any:
        return np.square(theta[..., : layout.n_weights]).sum(axis=-1)

    def loss(theta: Array) -> Any:
        return -problem.minus_loss(problem.objective(theta), rows)([])

    with np.errstate(all="ignore"):
        # Of a network that diverged.
        is_small = squares(theta) <= _SQUARES_LEFT * squares(start)
        outweighed = is_strong & is_small & (loss(theta) >= _LOSS_LEFT * loss(constant))
    for result, found in zip(results, np.ravel(outweighed), strict=True):
        result.outweighed = bool(found) and result.failure is None


def warn_of_result(settings: Settings, result: Result, rows: Rows) -> None:
    """A warning of a training that was cut short, and of one that came to nothing."""
    if not result.converged:
        warn(_no_convergence_text(settings, result), ConvergenceWarning)
    # The rows themselves have chosen it: with less it was no better.
    was_tried = isinstance(settings.lambd, str) and result.lambd != lambd_of(settings)
    # Weights that are the cause have a warning of their own.
    has_other_cause = was_tried or network_weights_text(settings, rows) is not None
    if result.outweighed and not has_other_cause:
        advise(_outweighed_text(result, rows), RegularizationWarning)


def _outweighed_text(result: Result, rows: Rows) -> str:
    return (
        f"The regularisation outweighs so few rows: lambd={result.lambd!r} over "
        f"their total weight, {rows.total_weight:.3g}, has driven the weights of the "
        "network towards 0, and it predicts nearly the same for every row. Lower lambd "
        "(0 turns it off), or give more rows or larger weights."
    )


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
