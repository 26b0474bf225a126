"""Parameters and a training set → one run of a solver, or a stack of runs."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from skreg._batches import Batches
from skreg._data import TrainingSet
from skreg._observers import FitTask, PrintedEpochs
from skreg._parameters import Layer, Layout, theta_of
from skreg._problem import (
    HERE,
    Problem,
    Site,
    batches_of,
    model_attributes,
    network_of,
    objective_of,
    scores_of,
    split,
    stack_of,
    start_of,
    threads_of,
)
from skreg._settings import (
    random_streams,
)
from skreg._solvers import (
    DivergedError,
    Observer,
    Result,
    Stack,
    descend,
    lbfgs,
)
from skreg._stopping import Plateau
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


def train(
    settings: Any,
    data: Any,
    before: Before | None = None,
    *,
    validation: Any = None,
    task: FitTask | None = None,
    incremental: bool = False,
    site: Site = HERE,
) -> Trained:
    """One run of ``settings.solver``, or one epoch if ``incremental``.

    ``settings`` is the estimator, whose parameters are read and not written. With
    ``early_stopping`` and without ``validation``, ``data`` is split. It is a
    :class:`TrainingSet`, or rows that lie elsewhere and come with their ``site``.
    """
    layout, lambds, keep_probs = network_of(settings, data)
    if len(data.target.classes) == 1:
        return _constant(layout, data, before)

    samples_seen = 0 if before is None else before.samples_seen
    streams = random_streams(settings.random_state, samples_seen)
    state = None if before is None else before.state
    if state is not None:
        streams = streams.restored(state["streams"])
    training, validation = split(settings, data, validation, streams)
    problem = Problem(
        [settings], layout, lambds, keep_probs, streams, training, validation, site
    )
    if before is None:
        theta = start_of(problem, from_frequencies=not incremental)
    else:
        theta = _theta_of_before(settings, layout, before, data.X.dtype)
    batches = batches_of(problem)
    watched: dict[str, Any] = {
        "observers": _observers(problem, task, theta),
        "samples_seen": samples_seen,
    }
    with threads_of(problem, batches):
        if settings.solver == "lbfgs":
            result, state = _run_lbfgs(problem, theta, batches, watched), None
        else:
            result, state = _run_epochs(
                problem, theta, batches, watched, state, incremental=incremental
            )
    _check(result, settings, lambda: site.magnitudes(data))
    if state is not None:
        state["streams"] = streams.state()
    return Trained(result, layout.layers(result.theta), state)


def train_together(
    settings: Sequence[Any],
    data: TrainingSet,
    *,
    validation: TrainingSet | None = None,
) -> list[Trained | ValueError]:
    """A run for each estimator, all as one stack: the same as ``train`` of each.

    They differ in ``lambd`` and ``keep_prob`` alone, and their solver is not 'lbfgs'.
    A run that fails gives its error; what is wrong with all of them is raised.
    """
    networks = [network_of(each, data) for each in settings]
    first, layout = settings[0], networks[0][0]
    if len(data.target.classes) == 1:
        return [_constant(layout, data, None) for _ in settings]

    # Separate fits with the same seed would have the same streams, each its own. It is
    # a copy, so that a RandomState is as it was for fits that follow a failure.
    streams = random_streams(copy.deepcopy(first.random_state))
    training, validation = split(first, data, validation, streams)
    lambds, keep_probs = (np.array([of[i] for of in networks]) for i in (1, 2))
    problem = Problem(
        settings, layout, lambds, keep_probs, streams, training, validation, HERE
    )
    start = start_of(problem, from_frequencies=True)

    def smaller(numbers: Sequence[int]) -> Stack:
        some = list(numbers)
        left = problem._replace(
            lambds=lambds[some],
            keep_probs=keep_probs[some],
            members=[settings[number] for number in some],
        )
        return stack_of(left, np.empty((len(some), len(start)), start.dtype))

    batches = batches_of(problem)
    with threads_of(problem, batches):
        results = descend(
            stack_of(problem, np.tile(start, (len(settings), 1))),
            batches,
            [_plateau(first) for _ in settings],
            learning_rate=first.learning_rate_init,
            observers=[_observers(problem, None, start) for _ in settings],
            smaller=smaller,
            **_course(first),
        )
    found: list[Trained | ValueError] = []
    for each, result in zip(settings, results, strict=True):
        if result.interrupt is not None:
            raise result.interrupt
        try:
            _check(result, each, lambda: problem.site.magnitudes(data))
            # A copy: a view would keep the whole stack with each of its networks.
            found.append(Trained(result, layout.layers(result.theta.copy()), None))
        except ValueError as error:
            found.append(error)
    return found


def _constant(layout: Layout, data: TrainingSet, before: Before | None) -> Trained:
    """The model of one class: it is certain with any weights, and zero costs least."""
    theta = np.zeros(layout.n_parameters, data.X.dtype)
    seen = 0 if before is None else before.samples_seen
    result = Result(theta, loss=0.0, samples_seen=seen, converged=True)
    return Trained(result, layout.layers(theta), None)


def _observers(problem: Problem, task: FitTask | None, theta: Array) -> list[Observer]:
    observers: list[Observer] = [PrintedEpochs()] if problem.settings.verbose else []
    if task is not None:

        def attributes() -> dict[str, Any]:
            layers = problem.layout.layers(theta.copy())
            return model_attributes(layers, problem.training.target)

        observers += task.observers(attributes)
    return observers


def _run_lbfgs(
    problem: Problem, theta: Array, batches: Batches, watched: dict[str, Any]
) -> Result:
    settings, objective = problem.settings, objective_of(problem, theta)
    with one_thread_in_scipy():
        return lbfgs(
            objective,
            batches,
            Plateau(settings.tol, settings.n_iter_no_change),
            max_iter=settings.max_iter,
            max_fun=settings.max_fun,
            tol=settings.tol,
            **scores_of(problem, objective),
            **watched,
        )


def _run_epochs(
    problem: Problem,
    theta: Array,
    batches: Batches,
    watched: dict[str, Any],
    state: dict[str, Any] | None,
    *,
    incremental: bool,
) -> tuple[Result, dict[str, Any]]:
    settings, stack = problem.settings, stack_of(problem, theta)
    optimizer, plateau = stack.optimizer, _plateau(settings, incremental=incremental)
    course = _course(settings, incremental=incremental)
    rate_fraction = 1.0
    if state is not None:
        if course["schedule"] == "adaptive":
            rate_fraction = state["rate_fraction"]
        if incremental:
            plateau.best, plateau.count = state["plateau"]
        if state["solver"] == settings.solver:
            optimizer.resume(state["n_steps"], state["moments"], state["betas"])
    (result,) = descend(
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
    }


def _plateau(settings: Any, *, incremental: bool = False) -> Plateau:
    patience = settings.n_iter_no_change
    schedule = _course(settings, incremental=incremental)["schedule"]
    if schedule == "cosine" and not settings.early_stopping:
        # The schedule, not a plateau on its way, says where the end is.
        patience = math.inf
    return Plateau(settings.tol, patience)


def _check(result: Result, settings: Any, magnitudes: Callable[[], Array]) -> None:
    """Raise ValueError if the run led nowhere.

    ``magnitudes()`` is the largest magnitude in each column of X.
    """
    if result.diverged is not None:
        text = _divergence_text(result.diverged, settings, magnitudes())
        raise ValueError(text)
    if result.validation_scores and not result.best_epoch:
        raise ValueError(
            f"scoring={settings.scoring!r} gave NaN on the validation rows in each of "
            f"{result.n_epochs} epochs. Give another scoring, or other rows by X_val "
            "and y_val."
        )


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


def _divergence_text(error: DivergedError, settings: Any, magnitudes: Array) -> str:
    column = int(magnitudes.argmax())
    names = getattr(settings, "feature_names_in_", None)
    name = "" if names is None else f" ({names[column]!r})"
    rate, lower = "", f"lambd={settings.lambd!r}"
    if error.learning_rate is not None:
        rate = f" at a learning rate of {error.learning_rate:.3g}"
        lower = f"learning_rate_init={settings.learning_rate_init!r} or {lower}"
    return (
        f"Training diverged: the loss exploded or a weight was not finite in epoch "
        f"{error.epoch}{rate}. The largest magnitude in X is "
        f"{magnitudes[column]:.3g}, in column {column}{name}. Scale the features, for "
        f"example with sklearn.preprocessing.StandardScaler, or lower {lower}."
    )
