"""A problem → a run of a solver, or of a stack of them, epoch by epoch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from skreg._advice import check_result
from skreg._batches import Batches
from skreg._observers import EndAfter, FitTask, PrintedEpochs
from skreg._parameters import Layer, Layout, theta_of
from skreg._problem import (
    Problem,
    batches_of,
    model_attributes,
    objective_of,
    scores_of,
    stack_of,
    starts_of,
)
from skreg._solvers import InEpochs, Observer, Result, Stack, descending, lbfgs
from skreg._stopping import Plateau, plateaus_in_step
from skreg._threads import one_thread_in_scipy

Array = NDArray[Any]


class Before(NamedTuple):
    """The model that a run goes on from: its weights, and what a solver left.

    ``state`` is a dict of arrays, numbers and strings, or None.
    """

    coefs: Sequence[Array]
    intercepts: Sequence[Array]
    samples_seen: int
    state: dict[str, Any] | None


class Trained(NamedTuple):
    """What a run found, and the state with which a later one goes on."""

    result: Result
    layers: tuple[Layer, ...]
    state: dict[str, Any] | None


def running(
    problem: Problem,
    before: Before | None,
    task: FitTask | None = None,
    *,
    plateau: Plateau | None = None,
    incremental: bool = False,
    n_epochs: int | None = None,
    verbose: bool = False,
) -> InEpochs[Trained]:
    """A run on the rows of the problem, for ``n_epochs`` of its course if given.

    Without a ``plateau`` it has one of its own.
    """
    if plateau is None:
        plateau = _plateau(problem, n_epochs, incremental=incremental)
    settings, training, site = problem.settings, problem.training, problem.site
    if before is None:
        (theta,) = starts_of(problem, from_frequencies=not incremental)
    else:
        theta = _theta_of_before(settings, problem.layout, before, training.X.dtype)
    batches = batches_of(problem)
    watched: dict[str, Any] = {
        "observers": _observers(problem, task, theta, n_epochs, verbose=verbose),
        "samples_seen": 0 if before is None else before.samples_seen,
    }
    state = None
    if settings.solver == "lbfgs":
        result = _run_lbfgs(problem, theta, batches, plateau, watched)
    else:
        state = None if before is None else before.state
        result, state = yield from _epochs(
            problem, theta, batches, plateau, watched, state, incremental=incremental
        )
        state["streams"] = problem.streams.state()
    check_result(result, settings, lambda: site.magnitudes(training))
    return Trained(result, problem.layout.layers(result.theta), state)


def running_together(
    problem: Problem,
    *,
    plateaus: Sequence[Plateau] | None = None,
    n_epochs: Sequence[int] | None = None,
    verbose: bool = False,
) -> InEpochs[list[Trained | ValueError]]:
    """A run of each network of a stack, for ``n_epochs`` of its course if given.

    Without ``plateaus`` they have some of their own.
    """
    theta = np.array(starts_of(problem, from_frequencies=True))

    def smaller(numbers: Sequence[int]) -> Stack:
        left = some_of(problem, numbers)
        return stack_of(left, np.empty_like(theta[: len(numbers)]))

    ends: Sequence[int | None] = n_epochs or [None] * len(problem.members)
    if plateaus is None:
        plateaus = [_plateau(problem, end) for end in ends]
    results = yield from descending(
        stack_of(problem, theta),
        batches_of(problem),
        plateaus,
        learning_rate=problem.settings.learning_rate_init,
        observers=[
            _observers(problem, None, theta, end, verbose=verbose) for end in ends
        ],
        smaller=smaller,
        **_course(problem.settings),
    )
    found: list[Trained | ValueError] = []
    for each, result in zip(problem.members, results, strict=True):
        try:
            check_result(
                result, each, lambda: problem.site.magnitudes(problem.training)
            )
            # A copy: a view would keep the whole stack with each of its networks.
            layers = problem.layout.layers(result.theta.copy())
            found.append(Trained(result, layers, None))
        except ValueError as error:
            found.append(error)
    return found


def some_of(problem: Problem, numbers: Sequence[int]) -> Problem:
    """The networks of a stack with these numbers."""
    some = list(numbers)
    return problem._replace(
        lambds=problem.lambds[some],
        keep_probs=problem.keep_probs[some],
        members=[problem.members[number] for number in some],
        starts=[problem.starts[number] for number in some],
    )


def _observers(
    problem: Problem,
    task: FitTask | None,
    theta: Array,
    n_epochs: int | None,
    *,
    verbose: bool = False,
) -> list[Observer]:
    observers: list[Observer] = [PrintedEpochs()] if verbose else []
    if n_epochs is not None:
        observers.append(EndAfter(n_epochs))
    if task is not None:

        def attributes() -> dict[str, Any]:
            layers = problem.layout.layers(theta.copy())
            return model_attributes(layers, problem.training.target)

        observers += task.observers(attributes)
    return observers


def _run_lbfgs(
    problem: Problem,
    theta: Array,
    batches: Batches,
    plateau: Plateau,
    watched: dict[str, Any],
) -> Result:
    settings, objective = problem.settings, objective_of(problem, theta)
    with one_thread_in_scipy():
        return lbfgs(
            objective,
            batches,
            plateau,
            max_iter=settings.max_iter,
            max_fun=settings.max_fun,
            tol=settings.tol,
            **scores_of(problem, objective),
            **watched,
        )


def _epochs(
    problem: Problem,
    theta: Array,
    batches: Batches,
    plateau: Plateau,
    watched: dict[str, Any],
    state: dict[str, Any] | None,
    *,
    incremental: bool,
) -> InEpochs[tuple[Result, dict[str, Any]]]:
    settings, stack = problem.settings, stack_of(problem, theta)
    optimizer = stack.optimizer
    course = _course(settings, incremental=incremental)
    rate_fraction = 1.0
    if state is not None:
        if course["schedule"] == "adaptive":
            rate_fraction = state["rate_fraction"]
        if incremental:
            plateau.best, plateau.count = state["plateau"]
        if state["solver"] == settings.solver:
            optimizer.resume(state["n_steps"], state["moments"], state["betas"])
    (result,) = yield from descending(
        stack,
        batches,
        [plateau],
        learning_rate=settings.learning_rate_init * rate_fraction,
        samples_seen=watched["samples_seen"],
        observers=[watched["observers"]],
        **course,
    )
    return result, {
        "solver": settings.solver,
        "n_steps": optimizer.n_steps,
        "moments": list(optimizer.moments),
        "betas": (settings.beta_1, settings.beta_2),
        "rate_fraction": result.learning_rate / settings.learning_rate_init,
        "plateau": (plateau.best, plateau.count),
        "n_rows": batches.n_rows,
    }


def _course(settings: Any, *, incremental: bool = False) -> dict[str, Any]:
    """How the learning rate goes, and for how long."""
    schedule = settings.learning_rate
    if schedule == "cosine" and incremental:
        # There is no last epoch for the rate to come down to.
        schedule = "constant"
    return {
        "schedule": schedule,
        "power_t": settings.power_t,
        "max_iter": 1 if incremental else settings.max_iter,
        # A call of partial_fit is one epoch of a longer course.
        "averaging": 0.0 if incremental else settings.averaging,
    }


def _plateau(
    problem: Problem, n_epochs: int | None = None, *, incremental: bool = False
) -> Plateau:
    settings = problem.settings
    patience = settings.n_iter_no_change
    schedule = _course(settings, incremental=incremental)["schedule"]
    ends_with_course = schedule == "cosine" and problem.validation is None
    if ends_with_course or n_epochs is not None:
        # A plateau on the way is not where the end is.
        patience = math.inf
    return Plateau(settings.tol, patience)


def plateaus_of(rounds: Sequence[Problem]) -> Sequence[Plateau]:
    """A plateau for each of them, in step if there are several.

    Iterations of L-BFGS cannot wait for each other: each has a plateau of its own.
    """
    settings = rounds[0].settings
    if len(rounds) == 1 or settings.solver == "lbfgs":
        return [_plateau(of_round) for of_round in rounds]
    return plateaus_in_step(settings.tol, settings.n_iter_no_change, len(rounds))


def _theta_of_before(
    settings: Any, layout: Layout, before: Before, dtype: DTypeLike
) -> Array:
    hidden_units = tuple(len(b) for b in before.intercepts[:-1])
    if hidden_units != layout.hidden_units:
        raise ValueError(
            f"hidden_layer_sizes={settings.hidden_layer_sizes!r}, but the model that "
            f"is to be trained further has hidden layers of {hidden_units} units. Set "
            f"hidden_layer_sizes={hidden_units}, or begin anew: fit with "
            "warm_start=False, or partial_fit of a clone."
        )
    return theta_of(before.coefs, before.intercepts, dtype)
