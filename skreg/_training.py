"""Parameters and a training set → one run of a solver, or a stack of runs."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from skreg._data import TrainingSet
from skreg._observers import FitTask
from skreg._parameters import Layout
from skreg._problem import (
    HERE,
    Problem,
    Site,
    network_of,
    rounds_of,
    stops_early_for_sure,
    threads_of,
    trains_again,
)
from skreg._runs import (
    Before,
    Trained,
    plateaus_of,
    running,
    running_together,
    some_of,
)
from skreg._settings import random_streams
from skreg._solvers import InEpochs, Result, to_the_end

Array = NDArray[Any]
T = TypeVar("T")

# How many times as many epochs the training on all rows has. The log-loss on rows for
# validation rises from overconfidence while fewer and fewer of them are wrong.
_MORE_EPOCHS = 1.5


def train(
    settings: Any,
    data: Any,
    before: Before | None = None,
    *,
    validation: Any = None,
    task: FitTask | None = None,
    incremental: bool = False,
    site: Site = HERE,
    start: int = 0,
) -> Trained:
    """One run of ``settings.solver``, or one epoch if ``incremental``.

    ``settings`` is the estimator, whose parameters are read and not written. With
    ``early_stopping`` and without ``validation``, there is a run for each split of
    ``data``, and with ``early_stopping_refit`` another on all of it. ``data`` is a
    :class:`TrainingSet`, or rows that lie elsewhere and come with their ``site``.
    ``start`` says which draw of the initial weights it begins with.
    """
    layout, lambds, keep_probs = network_of(settings, data)
    if len(data.target.classes) == 1:
        watched = stops_early_for_sure(settings)
        return _constant(layout, data, before, watched=watched)

    samples_seen = 0 if before is None else before.samples_seen
    streams = random_streams(settings.random_state, samples_seen)
    if before is not None and before.state is not None:
        streams = streams.restored(before.state["streams"])
    problem = Problem(
        [settings], [start], layout, lambds, keep_probs, streams, data, None, site
    )
    with threads_of(problem):
        if incremental:
            verbose = bool(settings.verbose)
            return to_the_end(
                running(problem, before, incremental=True, verbose=verbose)
            )
        return _train_in_rounds(problem, before, validation, task)


def _train_in_rounds(
    problem: Problem, before: Before | None, validation: Any, task: FitTask | None
) -> Trained:
    """A run for each split, in step with the others, and one on all rows.

    After an interrupt the network of the first split is what there is.
    """
    settings, data = problem.settings, problem.training
    rounds = rounds_of(problem, validation)
    again = data is not rounds[0].training and trains_again(settings, data)
    if settings.verbose and again:
        print(f"Validation split 1 of {len(rounds)}")
    plateaus = plateaus_of(rounds)
    runs = [
        running(
            of_round,
            before,
            task if number == 0 else None,
            plateau=plateaus[number],
            verbose=number == 0 and bool(settings.verbose),
        )
        for number, of_round in enumerate(rounds)
    ]
    found: dict[int, Trained] = {}
    try:
        _in_step(runs, found, _ends_all)
        first = found[0]
        if first.result.stopped or not again:
            return first
        return _trained_again(problem, before, [found[n] for n in range(len(runs))])
    except KeyboardInterrupt as interrupt:
        first = found[0] if 0 in found else _ended(runs[0])
        return first._replace(result=replace(first.result, interrupt=interrupt))


def _trained_again(
    problem: Problem, before: Before | None, of_splits: Sequence[Trained]
) -> Trained:
    """A run on all rows, for half as many epochs again as were best in the splits."""
    settings = problem.settings
    results = [trained.result for trained in of_splits]
    scores, best_epoch = _agreed(settings, results)
    if not best_epoch:
        return of_splits[0]
    n_epochs = _epochs_on_all_rows(best_epoch, settings)
    if settings.verbose:
        print(f"All rows, {n_epochs} iterations")
    last = to_the_end(
        running(problem, before, n_epochs=n_epochs, verbose=bool(settings.verbose))
    )
    if last.result.interrupt is not None:
        raise last.result.interrupt
    return _joined(last, of_splits, scores, best_epoch)


def _in_step(
    runs: Sequence[InEpochs[T]],
    found: dict[int, T],
    ends_all: Callable[[T], bool] = lambda _: False,
) -> None:
    """Find the results of the runs, epoch by epoch, until all or one that ends all."""
    while len(found) < len(runs):
        for number, run in enumerate(runs):
            if number in found:
                continue
            try:
                next(run)
            except StopIteration as end:
                found[number] = end.value
                if ends_all(end.value):
                    return


def _ends_all(trained: Trained) -> bool:
    """Whether an observer ended it; an interrupt that did is raised."""
    if trained.result.interrupt is not None:
        raise trained.result.interrupt
    return trained.result.stopped


def _ended(run: InEpochs[Trained]) -> Trained:
    """The result of a run that is to end now."""
    try:
        run.throw(KeyboardInterrupt())
    except StopIteration as end:
        trained: Trained = end.value
        return trained
    raise AssertionError("A run does not go on after an interrupt.")  # pragma: no cover


def _agreed(settings: Any, results: Sequence[Result]) -> tuple[list[float], int]:
    """The mean score after each epoch that all of them made, and the best epoch.

    It is 0 if there are no scores at all. NaN in each raises ValueError.
    """
    of_epochs = zip(*(result.validation_scores for result in results), strict=False)
    scores = [sum(of_epoch) / len(results) for of_epoch in of_epochs]
    if not scores:
        return scores, 0
    if all(map(math.isnan, scores)):
        raise ValueError(
            f"scoring={settings.scoring!r} gave NaN on the validation rows of a split "
            f"in each of {len(scores)} epochs. Give another scoring, or set "
            "n_validation_splits=1."
        )
    return scores, int(np.nanargmax(scores)) + 1


def _epochs_on_all_rows(best_epoch: int, settings: Any) -> int:
    """Some more than were best by the loss, which rises before the errors do."""
    n_epochs: int = min(round(_MORE_EPOCHS * best_epoch), settings.max_iter)
    return n_epochs


def _joined(
    last: Trained,
    runs: Sequence[Trained],
    scores: list[float],
    best_epoch: int,
) -> Trained:
    """The training on all rows, and the validation scores of the runs before."""
    unfinished = [run.result for run in runs if not run.result.converged]
    result = replace(
        last.result,
        refit=True,
        watched=True,
        validation_scores=scores,
        best_epoch=best_epoch,
        best_score=scores[best_epoch - 1],
        converged=not unfinished,
        message=unfinished[0].message if unfinished else last.result.message,
    )
    return last._replace(result=result)


def train_together(
    settings: Sequence[Any],
    data: TrainingSet,
    *,
    validation: TrainingSet | None = None,
    starts: Sequence[int] | None = None,
) -> list[Trained | ValueError]:
    """A run for each estimator, all as one stack: the same as ``train`` of each.

    They differ in ``lambd`` and ``keep_prob`` alone, and their solver is not 'lbfgs'.
    ``starts`` has the ``start`` of each, 0 if it is not given.
    A run that fails gives its error; what is wrong with all of them is raised.
    """
    networks = [network_of(each, data) for each in settings]
    first, layout = settings[0], networks[0][0]
    if len(data.target.classes) == 1:
        watched = stops_early_for_sure(first)
        return [_constant(layout, data, None, watched=watched) for _ in settings]

    # Separate fits with the same seed would have the same streams, each its own. It is
    # a copy, so that a RandomState is as it was for fits that follow a failure.
    streams = random_streams(copy.deepcopy(first.random_state))
    lambds, keep_probs = (np.array([of[i] for of in networks]) for i in (1, 2))
    if starts is None:
        starts = [0] * len(settings)
    problem = Problem(
        settings, starts, layout, lambds, keep_probs, streams, data, None, HERE
    )
    with threads_of(problem):
        return _train_stacks_in_rounds(problem, validation)


def _train_stacks_in_rounds(
    problem: Problem, validation: TrainingSet | None
) -> list[Trained | ValueError]:
    """A stack for each split, in step with the others, and one on all rows."""
    settings, data = problem.settings, problem.training
    rounds = rounds_of(problem, validation)
    of_networks = [plateaus_of(rounds) for _ in problem.members]
    verbose = bool(settings.verbose)
    in_step: dict[int, list[Trained | ValueError]] = {}
    _in_step(
        [
            running_together(
                of_round,
                plateaus=[of_network[number] for of_network in of_networks],
                verbose=verbose and number == 0,
            )
            for number, of_round in enumerate(rounds)
        ],
        in_step,
    )
    runs = [in_step[number] for number in range(len(rounds))]
    if data is rounds[0].training or not trains_again(settings, data):
        return runs[0]
    found: list[Trained | ValueError] = list(runs[0])
    agreed = {}
    for number, of_network in enumerate(zip(*runs, strict=True)):
        errors = [each for each in of_network if isinstance(each, ValueError)]
        if errors:
            found[number] = errors[0]
            continue
        try:
            agreed[number] = _agreed(settings, [each.result for each in of_network])
        except ValueError as error:
            found[number] = error
    if not agreed:
        return found
    n_epochs = [_epochs_on_all_rows(epoch, settings) for _, epoch in agreed.values()]
    lasts = to_the_end(
        running_together(
            some_of(problem, list(agreed)), n_epochs=n_epochs, verbose=verbose
        )
    )
    for (number, (scores, best_epoch)), last in zip(agreed.items(), lasts, strict=True):
        found[number] = last
        if isinstance(last, Trained):
            of_network = [of_round[number] for of_round in runs]
            found[number] = _joined(last, of_network, scores, best_epoch)
    return found


def _constant(
    layout: Layout, data: TrainingSet, before: Before | None, *, watched: bool
) -> Trained:
    """The model of one class: it is certain with any weights, and zero costs least."""
    theta = np.zeros(layout.n_parameters, data.X.dtype)
    seen = 0 if before is None else before.samples_seen
    result = Result(theta, loss=0.0, samples_seen=seen, converged=True, watched=watched)
    return Trained(result, layout.layers(theta), None)
