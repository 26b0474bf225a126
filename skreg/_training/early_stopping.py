"""When to stop: the plateau, the splits for validation, the training on all rows."""

import copy
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Self

import numpy as np

from skreg._network import Array
from skreg._training.descent import Result, Run, Solver
from skreg._training.problem import Problem, stack_size
from skreg._training.rows import Rows, TrainingSet
from skreg._training.settings import Settings, Shared

# The rows from which early_stopping='auto' sets some aside: of fewer, a tenth tells
# little and is missed in training.
_LEAST_TO_SPLIT = 40

# lambd='auto' is one of these for fewer rows: so few need little penalty where classes
# are curved, and much where they are noisy.
_FEW_ROWS = 150
_LAMBDS_OF_FEW = 0.3, 3.0

# Where more rows are noisy, this is tried beside its usual value: a twentieth of the
# rows, up to what suits 200 and more.
_ROWS_OF_NOISY, _LAMBD_OF_NOISY = 20, 10.0

# The larger lambd is taken unless its loss is worse by more than this part: a smaller
# difference is mostly chance.
_CLEARLY = 0.02

# n_iter_no_change='auto' is so many epochs, or more where they have few steps; few rows
# for training want more of them.
_PATIENCE, _PATIENCE_STEPS, _PATIENCE_STEPS_OF_FEW = 10, 50, 100

# The rows up to which early_stopping_refit='auto' trains again: of more, those set
# aside add little.
_MOST_TO_REFIT = 10_000

# n_validation_splits='auto' has so many rows for validation over all splits, in few
# splits: the best epoch by fewer rows is mostly chance.
_ROWS_TO_JUDGE_BY = 300
_MOST_SPLITS = 10

# How many times as many epochs the training on all rows has. The log-loss on rows for
# validation rises from overconfidence while fewer and fewer of them are wrong. Where
# the best epoch is among the first, the rows are noisy, and more epochs learn that.
_MORE_EPOCHS = 1.5
_FIRST_EPOCHS = 6


class Plateau:
    """Counts the epochs in a row that do not improve on the best by at least ``tol``.

    A score is better when it is greater; a loss comes in with its sign changed. NaN
    is never an improvement.
    """

    def __init__(
        self, tol: float, patience: float, *, best: float = -math.inf, count: int = 0
    ) -> None:
        # Numbers of numpy would overflow with a warning, those of float16 soon.
        self.tol = float(tol)
        self.patience = patience
        self.best = best
        self.count = count

    def update(self, score: float) -> None:
        """Take the score of an epoch."""
        self.count = 0 if score >= self.best + self.tol else self.count + 1
        if score > self.best:
            self.best = score

    @property
    def exhausted(self) -> bool:
        """Whether ``patience`` epochs in a row have not improved enough."""
        return self.count >= self.patience

    def restart(self) -> None:
        """Begin to count again, as after a change of the learning rate."""
        self.count = 0


# Epochs in turns ----------------------------------------------------------------------


def descend(solvers: Sequence[Solver], plateaus: Sequence[Plateau]) -> None:
    """Make the epochs of all solvers, in turns, until all networks are done.

    There is a solver for each split, all with as many epochs, and a plateau for each
    network, which looks at the mean of its scores over the splits.
    """
    runs_of_networks = zip(*(solver.runs for solver in solvers), strict=True)
    going = list(zip(plateaus, runs_of_networks, strict=True))
    while going and not solvers[0].done:
        for solver in solvers:
            solver.epoch()
        for plateau, runs in going:
            _judge(plateau, runs, solvers)
        going = [(plateau, runs) for plateau, runs in going if runs[0].going]


def _judge(plateau: Plateau, runs: Sequence[Run], solvers: Sequence[Solver]) -> None:
    """End a network in all splits: at its plateau, or since it has ended in one.

    A callback, which follows one of them, ends all.
    """
    if all(run.result.diverged is None for run in runs):
        plateau.update(sum(run.latest for run in runs) / len(runs))
    ends = not all(run.going for run in runs)
    ends |= any(run.result.stopped for run in solvers[0].runs)
    if plateau.exhausted:
        pairs = zip(solvers, runs, strict=True)
        if all(solver.lower_rate(run) for solver, run in pairs):
            plateau.restart()
        else:
            ends = True
    for run in runs:
        if ends and run.going:
            run.leave()


def plateaus_of(
    problem: Problem, schedule: str, n_epochs: Sequence[int] | None = None
) -> list[Plateau]:
    """A plateau for each network, which never comes if the end is known before."""
    settings, patience = problem.settings, epochs_without_change(problem.settings)
    if settings.n_iter_no_change == "auto" and problem.validation is not None:
        n_rows = problem.training.n_rows
        n_steps = _PATIENCE_STEPS_OF_FEW if n_rows < _FEW_ROWS else _PATIENCE_STEPS
        of_epoch = math.ceil(n_rows / problem.batch_rows)
        patience = max(patience, math.ceil(n_steps / of_epoch))
    if n_epochs or (schedule == "cosine" and problem.validation is None):
        patience = math.inf
    return [Plateau(settings.tol, patience) for _ in problem.members]


def epochs_without_change(settings: Shared) -> float:
    """``n_iter_no_change`` as a number, for many rows."""
    patience = settings.n_iter_no_change
    return _PATIENCE if isinstance(patience, str) else patience


def length_of(settings: Settings, plateau: Plateau) -> int | None:
    """How many epochs there are, None if the training may end itself before."""
    ends_itself = settings.solver == "lbfgs" or plateau.patience < settings.max_iter
    return None if ends_itself else settings.max_iter


# The rows for validation --------------------------------------------------------------


def rounds_of(problem: Problem, validation: Rows | None) -> list[Problem]:
    """The problem with rows for validation: those given, or some of its own.

    There is one for each split; without early stopping it is the problem itself.
    """
    settings, data = problem.settings, problem.training
    if validation is not None:
        return [replace(problem, validation=validation)]
    if not sets_rows_aside(settings, data):
        return [problem]
    n_validation = validation_rows(data.strata(), settings.validation_fraction)
    n_splits = _n_splits(problem, n_validation)
    rounds, seed = [], problem.streams.split_seed
    for number in range(n_splits):
        training, held_out = data.split(n_validation, seed, number, n_splits)
        # Each begins with the same weights, as the training on all rows will.
        streams = copy.deepcopy(problem.streams)
        rounds.append(
            replace(problem, training=training, validation=held_out, streams=streams)
        )
    return rounds


def with_choice(problem: Problem, validation: Rows | None) -> Problem:
    """The problem, in which each network has a variant for each ``lambd`` to try."""
    settings, data = problem.settings, problem.training
    tries = (
        validation is None
        and sets_rows_aside(settings, data)
        and wants_refit(settings, data)
        and data.n_rows < _FEW_ROWS
        and isinstance(data, TrainingSet)
        and stack_size(settings, data) > 1
    )
    if not tries:
        return problem
    return problem.with_variants(
        [
            (number, lambd)
            for number, member in enumerate(problem.members)
            for lambd in (
                _LAMBDS_OF_FEW if isinstance(member.lambd, str) else [member.lambd]
            )
        ]
    )


def with_more_of_noisy(problem: Problem, found: dict[int, "Agreed"]) -> Problem:
    """The problem with variants of more ``lambd`` at its end, of noisy networks."""
    value = min(problem.training.n_rows / _ROWS_OF_NOISY, _LAMBD_OF_NOISY)
    noisy = [
        (number, value)
        for number, each in found.items()
        # The last epoch might not have been the best if there had been more.
        if each.is_early
        and each.best_epoch < len(each.scores)
        and isinstance(problem.members[number].lambd, str)
    ]
    lambds = [member.lambd for member in problem.members]
    return problem.with_variants([*enumerate(lambds), *noisy])


def best_of_each(problem: Problem, merits: Sequence[Any]) -> list[int]:
    """Of each network the number of the variant with most merit, or of the first."""
    best: dict[int, int] = {}
    for number, network in enumerate(problem.networks):
        if network not in best or merits[number] > merits[best[network]]:
            best[network] = number
    return list(best.values())


def stops_early_for_sure(settings: Shared) -> bool:
    """Whether ``early_stopping`` is true, whatever the rows are."""
    return settings.early_stopping != "auto" and bool(settings.early_stopping)


def sets_rows_aside(settings: Settings, data: Rows) -> bool:
    """Whether ``early_stopping`` takes rows of these for validation."""
    if settings.early_stopping != "auto":
        return stops_early_for_sure(settings)
    return bool(
        settings.solver != "lbfgs"
        and data.n_rows >= _LEAST_TO_SPLIT
        and settings.validation_fraction > 0
        and data.strata().max() > 1
    )


def validation_rows(n_rows: Array, fraction: float) -> Array:
    """How many of the rows of each stratum are for validation."""
    n_validation: Array = np.maximum(1, np.rint(fraction * n_rows).astype(int))
    n_validation = np.minimum(n_validation, n_rows - 1)
    n_validation[(n_rows < 2) | (fraction == 0)] = 0
    if not n_validation.any():
        raise ValueError(
            f"early_stopping=True with validation_fraction={fraction} leaves no "
            f"rows for validation: there are {n_rows.sum()} rows, and a class needs "
            "two to be split. Give more rows, or set early_stopping=False."
        )
    return n_validation


def _n_splits(problem: Problem, n_validation: Array) -> int:
    """``n_validation_splits`` as a number; 'auto' is enough for rows to judge by."""
    settings, data = problem.settings, problem.training
    n_splits = settings.n_validation_splits
    if wants_refit(settings, data):
        if n_splits != "auto":
            return int(n_splits)
        enough = math.ceil(_ROWS_TO_JUDGE_BY / int(n_validation.sum()))
        return min(_MOST_SPLITS, problem.most_splits(), enough)
    if n_splits not in ("auto", 1):
        raise ValueError(
            f"n_validation_splits={n_splits} goes with a training on all rows that "
            "follows, but there is none with early_stopping_refit="
            f"{settings.early_stopping_refit!r}, {data.n_rows} rows, warm_start="
            f"{settings.warm_start} and learning_rate={settings.learning_rate!r}. Set "
            "early_stopping_refit=True, without warm_start and 'adaptive', or "
            "n_validation_splits=1."
        )
    return 1


# The training on all rows -------------------------------------------------------------


def trains_again(rounds: Sequence[Problem], whole: Problem) -> bool:
    """Whether a training on all rows is to follow those of the rounds."""
    is_part = rounds[0].training is not whole.training
    return is_part and wants_refit(whole.settings, whole.training)


def wants_refit(settings: Settings, data: Rows) -> bool:
    """Whether ``early_stopping_refit`` wants a training on all rows of ``data``."""
    if settings.warm_start:
        # The next call would judge by rows that this one has trained on.
        return False
    if settings.learning_rate == "adaptive" and settings.solver != "lbfgs":
        # Its rate follows the validation score, of which there is none then.
        return False
    if settings.early_stopping_refit == "auto":
        has_several = settings.n_validation_splits not in ("auto", 1)
        return bool(has_several or data.n_rows <= _MOST_TO_REFIT)
    return bool(settings.early_stopping_refit)


class Agreed(NamedTuple):
    """What the splits say of a network.

    ``scores`` is the mean score after each epoch that all of them made, ``best_epoch``
    the best of these, and ``n_epochs`` for how many to train on all rows: some more
    than were best by the loss, which rises before the errors do.
    """

    scores: list[float]
    best_epoch: int
    n_epochs: int

    @classmethod
    def of(cls, scores: list[float], max_iter: int) -> Self:
        found = cls(scores, int(np.nanargmax(scores)) + 1, 0)
        more = 1 if found.is_early else _MORE_EPOCHS
        return found._replace(n_epochs=min(round(more * found.best_epoch), max_iter))

    @property
    def is_early(self) -> bool:
        """Whether the best epoch is so early that more would learn noise."""
        return self.best_epoch <= _FIRST_EPOCHS

    @property
    def score(self) -> float:
        """That of the best epoch."""
        return self.scores[self.best_epoch - 1]

    def suffices(self, other: Self, slack: float) -> bool:
        """Whether it is better than the other, or worse by less than that part."""
        return self.score > other.score - slack * abs(other.score)

    @property
    def reason(self) -> str:
        """Why it is trained for so many epochs."""
        if self.is_early:
            return "the best"
        is_cut = self.n_epochs < round(_MORE_EPOCHS * self.best_epoch)
        cut = ", but at most max_iter" if is_cut else ""
        return f"{_MORE_EPOCHS:g} times the best{cut}"


def agreed(problem: Problem, splits: Sequence[Sequence[Result]]) -> dict[int, Agreed]:
    """By number, what is to be trained again: of each network the best variant.

    Those that have an error in a split, or scores of NaN alone, get that ``failure`` in
    the first.
    """
    found = {}
    for number, results in enumerate(zip(*splits, strict=True)):
        of_epochs = zip(*(result.validation_scores for result in results), strict=False)
        scores = [sum(of_epoch) / len(results) for of_epoch in of_epochs]
        failures = [result.failure for result in results if result.failure is not None]
        if scores and all(map(math.isnan, scores)):
            failures.append(_nan_in_each_epoch(problem.settings, len(scores)))
        if failures:
            results[0].failure = failures[0]
        elif scores:
            found[number] = Agreed.of(scores, problem.settings.max_iter)
    # Of other scores nothing is known: two per cent of an accuracy are many errors.
    slack = _CLEARLY if problem.settings.scoring == "loss" else 0.0
    best: dict[int, int] = {}
    for number, network in enumerate(problem.networks):
        if number in found and (
            network not in best or found[number].suffices(found[best[network]], slack)
        ):
            best[network] = number
    return {number: found[number] for number in best.values()}


def _nan_in_each_epoch(settings: Settings, n_epochs: int) -> ValueError:
    return ValueError(
        f"scoring={settings.scoring!r} gave NaN on the validation rows of a split in "
        f"each of {n_epochs} epochs. Give another scoring, or set "
        "n_validation_splits=1."
    )


def joined(last: Result, splits: Sequence[Result], of_splits: Agreed) -> Result:
    """The training on all rows, with the validation scores of the splits before."""
    unfinished = [result for result in splits if not result.converged]
    return replace(
        last,
        refit=True,
        watched=True,
        validation_scores=of_splits.scores,
        best_epoch=of_splits.best_epoch,
        best_score=of_splits.score,
        converged=not unfinished,
        message=unfinished[0].message if unfinished else last.message,
    )
