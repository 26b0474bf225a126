"""Networks and rows → what their training found: the one path, for one or for many."""

import copy
import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, Self

import numpy as np

from skreg._training import early_stopping
from skreg._training.callbacks import Epochs, Progress, Task
from skreg._training.compiling import kernels_for
from skreg._training.descent import Descent, Result, Run, Solver, Stack
from skreg._training.diagnosis import failure_of, mark_outweighed
from skreg._training.early_stopping import Agreed, Plateau
from skreg._training.lbfgs import LBFGS
from skreg._training.problem import Before, Problem
from skreg._training.rows import Rows
from skreg._training.settings import Settings, lambd_of
from skreg._training.threads import threads_for


class Course(NamedTuple):
    """How long networks train, and at which rates; ``n_epochs`` may end each sooner."""

    schedule: str
    max_iter: int
    averaging: float
    n_epochs: Sequence[int] | None = None

    @classmethod
    def of(cls, settings: Settings, *, incremental: bool) -> Self:
        """That of a whole fit, or one epoch of a longer course."""
        schedule = settings.learning_rate
        if not incremental:
            return cls(schedule, settings.max_iter, settings.averaging)
        # It knows no last epoch.
        return cls("constant" if schedule == "cosine" else schedule, 1, 0.0)


def train(
    networks: Sequence[Settings],
    training: Rows,
    validation: Rows | None = None,
    before: Before | None = None,
    *,
    task: Task | None = None,
    incremental: bool = False,
    starts: Sequence[int] | None = None,
    problem_type: type[Problem] = Problem,
) -> list[Result]:
    """Train each network, or make one epoch of it if ``incremental``.

    ``networks`` are estimators, whose parameters are read and not written. Several are
    one stack: they differ in ``lambd`` and ``keep_prob`` alone, and their solver is not
    'lbfgs'. With ``early_stopping`` and without ``validation`` each is trained on every
    split, perhaps with more than one ``lambd``, and with ``early_stopping_refit`` again
    on all rows. ``training`` is a
    :class:`TrainingSet`, or rows that the ``problem_type`` reaches. ``starts`` says
    which draw of the initial weights each begins with. The ``task`` is begun here.

    The error of a single network is raised; of several each result has its own. After a
    KeyboardInterrupt a single network has what its first split has come to; it is
    raised where several ``lambd`` train at a time.
    """
    course = Course.of(networks[0], incremental=incremental)
    problem = problem_type.of(networks, training, before, starts, incremental)
    progress = Progress(problem.settings, task or Task(), ensemble=starts is not None)
    if len(training.target.classes) == 1:
        progress.task.begin_fit()
        return [_constant(problem, each, before) for each in networks]
    problems = [problem]
    if not incremental:
        problem = early_stopping.with_choice(problem, validation)
        problems = early_stopping.rounds_of(problem, validation)
    again = early_stopping.trains_again(problems, problem)
    plateaus = early_stopping.plateaus_of(problems[0], course.schedule)
    length = early_stopping.length_of(problem.settings, plateaus[0])
    with threads_for(problem.largest_product), kernels_for(problem.seconds):
        splits = [
            _start(each, course, plateaus, before, incremental=incremental)
            for each in problems
        ]
        progress.task.begin_fit(2 if again else length)
        phase = progress.on_splits(len(problems), length) if again else progress
        if phase.is_followed:
            splits[0].report_to(phase)
        first: list[Result] = []
        try:
            early_stopping.descend([split.solver for split in splits], plateaus)
            first = splits[0].results()
            if again and not (phase.task.end() or first[0].stopped):
                of_splits = [first, *(split.results() for split in splits[1:])]
                # Their memory is for the training on all rows.
                splits.clear()
                return _trained_on_all_rows(problem, of_splits, course, progress)
            numbers, found = _best_of_each(problem, first)
            if not incremental:
                _end(progress, problems[0].chosen(numbers), found)
            return found
        except KeyboardInterrupt as interrupt:
            if problem.is_stack:
                raise
            found = first or splits[0].interrupted(interrupt)
            return [replace(result, interrupt=interrupt) for result in found]


def _with_trials(
    problem: Problem,
    of_splits: Sequence[list[Result]],
    agreed: dict[int, Agreed],
    course: Course,
) -> list[list[Result]]:
    """The results of the splits, and of the variants that they do not have yet."""
    numbers = range(len(of_splits[0]), len(problem.members))
    # Networks of which there is one more had one variant: it has their number.
    networks = [problem.networks[number] for number in numbers]
    # As long, converged or not: more would cost more than it gains.
    ends = [len(agreed[network].scores) for network in networks]
    problems = early_stopping.rounds_of(problem.chosen(numbers), None)
    plateaus = early_stopping.plateaus_of(problems[0], course.schedule, ends)
    as_long = course._replace(n_epochs=ends)
    splits = [_start(each, as_long, plateaus) for each in problems]
    early_stopping.descend([split.solver for split in splits], plateaus)
    tried = [split.results() for split in splits]
    for split, results in zip(of_splits, tried, strict=True):
        for network, result in zip(networks, results, strict=True):
            result.converged = split[network].converged
            result.message = split[network].message
    return [[*a, *b] for a, b in zip(of_splits, tried, strict=True)]


def _trained_on_all_rows(
    problem: Problem,
    of_splits: Sequence[list[Result]],
    course: Course,
    progress: Progress,
) -> list[Result]:
    """Train again, for as many epochs as were best in the splits, or half as many more.

    Of the variants of a network the one that is taken is, and there may be one more.
    """
    agreed = early_stopping.agreed(problem, of_splits)
    more = early_stopping.with_more_of_noisy(problem, agreed)
    if more is not problem:
        problem, of_splits = more, _with_trials(more, of_splits, agreed, course)
        agreed = early_stopping.agreed(problem, of_splits)
    found = list(of_splits[0])
    if not agreed:
        return _best_of_each(problem, found)[1]
    for number, each in agreed.items():
        n_epochs, start = found[number].n_epochs, problem.starts[number]
        if list(problem.networks).count(problem.networks[number]) > 1:
            progress.print_choice(lambd_of(problem.members[number]), start)
        progress.print_end(n_epochs, each.best_epoch, start)
        progress.print_refit(each.n_epochs, each.reason, start)
    chosen = problem.chosen(list(agreed))
    ends = [each.n_epochs for each in agreed.values()]
    phase = progress.phase("all rows", ends[0])
    plateaus = early_stopping.plateaus_of(chosen, course.schedule, ends)
    last = _start(chosen, course._replace(n_epochs=ends), plateaus)
    if phase.is_followed:
        last.report_to(phase)
    early_stopping.descend([last.solver], plateaus)
    results = last.results()
    phase.task.end()
    _end(progress, chosen, results)
    for number, result in zip(agreed, results, strict=True):
        of_network = [split[number] for split in of_splits]
        found[number] = early_stopping.joined(result, of_network, agreed[number])
    return _best_of_each(problem, found)[1]


def _best_of_each(
    problem: Problem, results: Sequence[Result]
) -> tuple[list[int], list[Result]]:
    """Of each network the variant that went furthest, and its number.

    The error of a network alone is raised.
    """
    merits = [(r.refit, r.failure is None, r.best_score) for r in results]
    numbers = early_stopping.best_of_each(problem, merits)
    found = [results[number] for number in numbers]
    if len(found) == 1 and found[0].failure is not None:
        raise found[0].failure
    return numbers, found


def _end(progress: Progress, problem: Problem, results: Sequence[Result]) -> None:
    """Print the last results of all, and mark those that came to nothing."""
    for result, start in zip(results, problem.starts, strict=True):
        if result.failure is None:
            best = result.best_epoch if result.watched else 0
            progress.print_end(result.n_epochs, best, start)
    mark_outweighed(problem, results)


class _Split(NamedTuple):
    """A problem, which has the rows of a split or all, and what solves it."""

    problem: Problem
    solver: Solver
    plateaus: Sequence[Plateau]

    def report_to(self, progress: Progress) -> None:
        """Print the epochs, as ``verbose`` says, and let them be tasks.

        Of the variants of a network they are those of the first.
        """
        equal = [0] * len(self.problem.networks)
        for number in early_stopping.best_of_each(self.problem, equal):
            run, start = self.solver.runs[number], self.problem.starts[number]
            run.progress = Epochs(progress, partial(self._attributes, run), start)

    def _attributes(self, run: Run) -> dict[str, Any]:
        """The fitted attributes of a network as it is."""
        return self.problem.attributes(run.result.theta)

    def results(self) -> list[Result]:
        return self._checked(self.solver.finish())

    def interrupted(self, interrupt: KeyboardInterrupt) -> list[Result]:
        return self._checked(self.solver.interrupted(interrupt))

    def _checked(self, results: list[Result]) -> list[Result]:
        """With the error of those that led nowhere, the attributes and the state."""
        problem = self.problem
        for result, settings in zip(results, problem.members, strict=True):
            result.failure = failure_of(result, settings, problem.training)
            result.attributes = problem.attributes(result.theta)
            result.lambd = lambd_of(settings)
        if not problem.is_stack:
            results[0].state = self._state(results[0])
        return results

    def _state(self, result: Result) -> dict[str, Any] | None:
        """What a later training of the network goes on from."""
        settings, state = self.problem.settings, self.solver.state()
        return state and {
            **state,
            "solver": settings.solver,
            "betas": (settings.beta_1, settings.beta_2),
            "rate_fraction": result.learning_rate / settings.learning_rate_init,
            "plateau": (self.plateaus[0].best, self.plateaus[0].count),
            "streams": self.problem.streams.state(),
        }


def _start(
    problem: Problem,
    course: Course,
    plateaus: Sequence[Plateau],
    before: Before | None = None,
    *,
    incremental: bool = False,
) -> _Split:
    """A training whose first epoch is next; it goes on from ``before``."""
    if problem.settings.solver == "lbfgs":
        return _Split(problem, _lbfgs(problem, course, plateaus[0], before), plateaus)
    solver = _descent(problem, course, before, incremental=incremental)
    state = None if before is None else before.state
    if state is not None and incremental:
        plateaus[0].best, plateaus[0].count = state["plateau"]
    return _Split(problem, solver, plateaus)


def _lbfgs(
    problem: Problem, course: Course, plateau: Plateau, before: Before | None
) -> LBFGS:
    settings = problem.settings
    objective = problem.objective(problem.start(before))
    return LBFGS(
        objective,
        problem.batches(),
        # Its iterations cannot wait for those of other splits.
        copy.copy(plateau),
        max_iter=settings.max_iter,
        max_fun=settings.max_fun,
        tol=settings.tol,
        samples_seen=0 if before is None else before.samples_seen,
        n_epochs=course.n_epochs,
        **problem.scores(objective),
    )


def _descent(
    problem: Problem, course: Course, before: Before | None, *, incremental: bool
) -> Descent:
    """Gradient steps, with the optimiser as the model of before has left it."""
    # The first rows of partial_fit may not have all classes.
    theta = problem.start(before, from_frequencies=not incremental)
    settings, stack = problem.settings, problem.stack(theta)
    state = None if before is None else before.state
    rate = settings.learning_rate_init
    if state is not None and course.schedule == "adaptive":
        rate *= state["rate_fraction"]
    if state is not None and state["solver"] == settings.solver:
        stack.optimizer.resume(state["n_steps"], state["moments"], state["betas"])

    def smaller(numbers: Sequence[int]) -> Stack:
        return problem.some(numbers).stack(np.empty_like(theta[: len(numbers)]))

    return Descent(
        stack,
        problem.batches(),
        learning_rate=rate,
        power_t=settings.power_t,
        samples_seen=0 if before is None else before.samples_seen,
        smaller=smaller,
        **course._asdict(),
    )


def _constant(problem: Problem, settings: Settings, before: Before | None) -> Result:
    """The model of one class: it is certain with any weights, and zero costs least."""
    theta = np.zeros(problem.layout.n_parameters, problem.training.X.dtype)
    return Result(
        theta,
        watched=early_stopping.stops_early_for_sure(settings),
        best_score=math.nan,
        samples_seen=0 if before is None else before.samples_seen,
        converged=True,
        loss=0.0,
        lambd=lambd_of(settings),
        attributes=problem.attributes(theta),
    )
