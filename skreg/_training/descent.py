"""The epochs of a network or of a stack of them: an objective in, results out."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any, NamedTuple, Protocol

import numpy as np

from skreg._network import Array
from skreg._network.objective import Batch, Objective
from skreg._network.optimizers import (
    Mean,
    Optimizer,
    flush_subnormals,
    learning_rate_at,
)
from skreg._training.callbacks import Epochs

# A plateau at this 'adaptive' learning rate or below ends the training.
SMALLEST_RATE = 1e-6

# A loss this many times larger than at the start does not come back.
_EXPLOSION = 1e4
_LARGEST = np.finfo(np.float64).max

# Subnormal numbers are flushed after an epoch, once there were so many steps since.
FLUSH_STEPS = 16

# The index of a network in a stack: () of one alone, which has no leading axis.
Place = tuple[int, ...]

# The score of each network at these places, in an array with the leading axes.
Score = Callable[[Sequence[Place]], Any]


class BatchSource(Protocol):
    """The training rows, batch by batch."""

    @property
    def n_rows(self) -> int: ...

    def epoch(self) -> Iterable[tuple[int, Iterable[Batch]]]:
        """The batches of one epoch: how many rows each has, and its chunks."""
        ...


class DivergedError(ArithmeticError):
    """The loss has exploded, or a weight is no longer finite."""

    def __init__(self, epoch: int, learning_rate: float | None) -> None:
        super().__init__(epoch, learning_rate)
        self.epoch = epoch
        self.learning_rate = learning_rate


@dataclass
class Result:
    """What the training of a network found.

    ``theta`` is the best epoch's where a validation score was ``watched``, otherwise
    the last. ``best_epoch`` counts from 1. ``stopped`` says that a callback ended the
    training. ``interrupt`` is a KeyboardInterrupt that did: all else is as it was after
    the last complete epoch. ``diverged`` says that it led nowhere, and ``failure`` has
    the error to raise. ``outweighed`` says that the penalty has left nothing of the
    network. ``refit`` says that the validation scores are those of trainings
    before this one, which is on all rows. ``lambd`` is what it was trained with.
    ``attributes`` are the fitted ones of the network, and ``state`` is what a later
    training goes on from.
    """

    theta: Array
    loss_curve: list[float] = field(default_factory=list)
    validation_scores: list[float] = field(default_factory=list)
    train_scores: list[float] = field(default_factory=list)
    watched: bool = False
    best_epoch: int = 0
    best_score: float = -math.inf
    n_epochs: int = 0
    samples_seen: int = 0
    converged: bool = False
    message: str = ""
    learning_rate: float = math.nan
    loss: float = math.nan
    stopped: bool = False
    interrupt: KeyboardInterrupt | None = None
    diverged: DivergedError | None = None
    failure: ValueError | None = None
    outweighed: bool = False
    refit: bool = False
    lambd: Any = None
    attributes: dict[str, Any] = field(default_factory=dict)
    state: dict[str, Any] | None = None


class Stack(NamedTuple):
    """Networks that train together, along the leading axis of ``objective.theta``.

    One network alone has no leading axis. ``constrain()`` is called after each step.
    ``validate(places)`` and ``train_score(places)`` return an array with the scores of
    the networks at these places; what it has at others does not count.
    """

    objective: Objective
    optimizer: Optimizer
    constrain: Callable[[], None] | None = None
    validate: Score | None = None
    train_score: Score | None = None

    @property
    def places(self) -> list[Place]:
        """The index of each network in θ."""
        return list(np.ndindex(self.objective.theta.shape[:-1]))


class Run:
    """The training of one network: its epochs, its best weights, its end.

    The solver changes ``theta`` in place. ``watched`` says whether scores of validation
    rows come in. In a stack, ``place`` is the index of the network, and ``number`` says
    which it was at the start. It ends after ``n_epochs``. A plateau looks at the
    ``latest`` score, or minus the loss of the last epoch.
    """

    def __init__(
        self,
        theta: Array,
        *,
        watched: bool,
        samples_seen: int = 0,
        learning_rate: float = math.nan,
        averaging: float = 0.0,
        n_epochs: float = math.inf,
        place: Place = (),
        number: int = 0,
    ) -> None:
        self.result = Result(theta, watched=watched, samples_seen=samples_seen)
        self.result.learning_rate = learning_rate
        self.mean = Mean(theta, averaging) if averaging else None
        self.place = place
        self.number = number
        self.going = True
        self.latest = math.nan
        self.progress: Epochs | None = None
        self._n_epochs = n_epochs
        self._best_theta = theta
        self._complete: dict[str, Any] | None = None

    def epoch_begins(self) -> None:
        if self.progress is not None:
            self.progress.begins()

    def epoch_ended(
        self, loss: float, score: float | None, train_score: float | None
    ) -> None:
        result = self.result
        result.n_epochs += 1
        result.loss = loss
        result.loss_curve.append(loss)
        if train_score is not None:
            result.train_scores.append(train_score)
        self.latest = -loss
        if score is not None:
            result.validation_scores.append(score)
            self.latest = score
        if self.latest > result.best_score:
            result.best_score, result.best_epoch = self.latest, result.n_epochs
            if result.watched:
                self._best_theta = result.theta.copy()
        # Whole before it takes the place of the last; of a stack nothing is kept.
        if not self.place and (result.best_epoch or not result.watched):
            theta = self._best_theta if result.watched else result.theta.copy()
            self._complete = {
                "theta": theta,
                "loss": loss,
                "n_epochs": result.n_epochs,
                "samples_seen": result.samples_seen,
                "best_epoch": result.best_epoch,
                "best_score": result.best_score,
            }
        if self.progress is not None:
            result.stopped = self.progress.ends(result.n_epochs, loss, score)
        if result.stopped or result.n_epochs == self._n_epochs:
            self.leave()

    def diverges(self, learning_rate: float | None) -> None:
        self.result.diverged = DivergedError(self.result.n_epochs + 1, learning_rate)
        self.going = False

    def leave(self) -> None:
        """End it, whatever there would be left of its course."""
        self.result.converged, self.going = True, False

    def finished(self) -> Result:
        result = self.result
        if self.progress is not None:
            self.progress.finished()
            # It holds this run, in a circle.
            self.progress = None
        if result.watched and result.best_epoch:
            result.theta = self._best_theta
        elif self.mean is not None:
            self.mean.show(result.theta)
            flush_subnormals(result.theta)
        return result

    def interrupted(self, interrupt: KeyboardInterrupt) -> Result:
        """What there was after the last complete epoch; without one it is raised."""
        if self.progress is not None:
            self.progress.finished()
        if self._complete is None:
            raise interrupt
        result, n_epochs = self.result, self._complete["n_epochs"]
        flush_subnormals(self._complete["theta"])
        return replace(
            result,
            **self._complete,
            # The lists go on in the epoch that was interrupted.
            loss_curve=result.loss_curve[:n_epochs],
            validation_scores=result.validation_scores[:n_epochs],
            train_scores=result.train_scores[:n_epochs],
            interrupt=interrupt,
            diverged=None,
            stopped=False,
            converged=False,
        )


class Solver(Protocol):
    """What trains networks epoch by epoch: a ``Descent``, or ``LBFGS``."""

    @property
    def runs(self) -> Sequence[Run]: ...

    @property
    def done(self) -> bool: ...

    def epoch(self) -> None:
        """One epoch of each network that is still going."""

    def lower_rate(self, run: Run) -> bool:
        """Train on at a lower rate after a plateau; False where there is none."""

    def finish(self) -> list[Result]:
        """The results, where ``done``."""

    def interrupted(self, interrupt: KeyboardInterrupt) -> list[Result]:
        """The results up to the last complete epoch, of a network alone.

        Without one the interrupt is raised again.
        """

    def state(self) -> dict[str, Any] | None:
        """What a later training of the same network goes on from, if it can."""


@dataclass(eq=False)
class Descent:
    """Epochs of gradient steps, for one network or for a stack of them.

    ``epoch()`` makes one for each network that is still going, and ``finish()`` gives
    their results; between two epochs who judges them may let a run ``leave()``, or
    ``lower_rate`` of it. A network that diverges leaves by itself. It is ``done`` when
    none is left, or after ``max_iter`` epochs; 'cosine' ends with the last of them, and
    has then converged by definition.

    With ``averaging`` each result, and what is scored and told on the way, is the mean
    of the weights after each epoch so far, the one before the last counting
    ``averaging`` times as much as the last, and so on.

    ``n_epochs`` says after how many epochs each network ends, wherever its course has
    come to. When some have left, the others go on in ``smaller(numbers)``, a stack for
    those with these numbers.
    """

    stack: Stack
    batches: BatchSource
    _: KW_ONLY
    schedule: str
    learning_rate: float
    power_t: float
    max_iter: int
    averaging: float = 0.0
    samples_seen: int = 0
    n_epochs: Sequence[int] | None = None
    smaller: Callable[[Sequence[int]], Stack] | None = None

    def __post_init__(self) -> None:
        places = self.stack.places
        ends: Sequence[float] = self.n_epochs or [math.inf] * len(places)
        self.runs = self._stacked = [
            Run(
                self.stack.objective.theta[place],
                watched=self.stack.validate is not None,
                samples_seen=self.samples_seen,
                learning_rate=self.learning_rate,
                averaging=self.averaging,
                n_epochs=end,
                place=place,
                number=number,
            )
            for number, (place, end) in enumerate(zip(places, ends, strict=True))
        ]
        self._epoch = 0
        self._ceiling: Any = None
        self._flushed_at = self.stack.optimizer.n_steps

    @property
    def done(self) -> bool:
        is_left = any(run.going for run in self.runs)
        return self._epoch == self.max_iter or not is_left

    def epoch(self) -> None:
        """One epoch of the networks that are going: their steps, and their scores."""
        self._close_ranks()
        for run in self._stacked:
            run.epoch_begins()
        losses = self._steps()
        samples_seen = self.samples_seen + self.batches.n_rows
        for run, loss in zip(self._stacked, losses, strict=True):
            if math.isfinite(loss):
                run.result.samples_seen = samples_seen
            else:
                run.diverges(self._rate_of(run))
        self._epoch += 1
        self.samples_seen = samples_seen
        end_epoch(self._stacked, losses, self.stack.validate, self.stack.train_score)

    def _steps(self) -> list[float]:
        """One step for each batch; for each network the mean of their losses, by rows.

        It is not finite where a loss is above the ceiling, which the first batch of
        all sets, or where a weight or a moment is not finite at the end.
        """
        objective, optimizer, constrain, *_ = self.stack
        axes = objective.theta.shape[:-1]
        rates: Any = [self._rate_of(run) for run in self._stacked]
        rates = np.reshape(rates, (*axes, 1)) if axes else rates[0]
        all_of: Any = np.all if axes else bool
        number: Any = np.asarray if axes else float
        total: Any = 0.0
        lost: Any = None
        with np.errstate(all="ignore"):
            for n_rows, chunks in self.batches.epoch():
                loss = objective(chunks)
                if self._ceiling is None:
                    ceiling = np.minimum(_EXPLOSION * (1 + abs(loss)), _LARGEST)
                    self._ceiling = number(ceiling)
                fine = abs(loss) <= self._ceiling
                if not all_of(fine):
                    lost = np.logical_not(fine) if lost is None else lost | ~fine
                    if all_of(lost):
                        return [math.nan] * len(self._stacked)
                optimizer.step(rates)
                if constrain is not None:
                    constrain()
                total = total + n_rows * loss
            if optimizer.n_steps - self._flushed_at >= FLUSH_STEPS:
                optimizer.flush()
                self._flushed_at = optimizer.n_steps
            # A number that is not finite shows in the sum, which is quicker to get. A
            # moment of Adam that is infinite freezes its weight.
            sums = objective.theta.sum(axis=-1) + optimizer.moments.sum(axis=(0, -1))
            losses = total / self.batches.n_rows + 0 * number(sums)
            if lost is not None:
                losses[lost] = np.nan
        found: list[float] = losses.tolist() if axes else [losses]
        return found

    def _rate_of(self, run: Run) -> float:
        """The learning rate of a network in the epoch that begins."""
        return learning_rate_at(
            self.schedule,
            run.result.learning_rate,
            samples_seen=self.samples_seen,
            power_t=self.power_t,
            progress=self._epoch / self.max_iter,
        )

    def lower_rate(self, run: Run) -> bool:
        """Divide the rate of the run by five; only 'adaptive' has one to lower."""
        if self.schedule != "adaptive" or run.result.learning_rate <= SMALLEST_RATE:
            return False
        run.result.learning_rate /= 5
        return True

    def finish(self) -> list[Result]:
        for run in self.runs:
            if run.going:
                run.result.converged = self.schedule == "cosine"
        flush_subnormals(self.stack.objective.theta, self.stack.optimizer.moments)
        return [run.finished() for run in self.runs]

    def interrupted(self, interrupt: KeyboardInterrupt) -> list[Result]:
        """The result up to the last complete epoch. Without one, it is raised again."""
        results = [run.interrupted(interrupt) for run in self.runs]
        optimizer = self.stack.optimizer
        if not np.isfinite(optimizer.moments).all():
            # It was about to diverge.
            optimizer.resume(0, list(np.zeros_like(optimizer.moments)))
        return results

    def state(self) -> dict[str, Any]:
        """What a later training of the same network goes on from."""
        optimizer = self.stack.optimizer
        return {
            "n_steps": optimizer.n_steps,
            "moments": list(optimizer.moments),
            "n_rows": self.batches.n_rows,
        }

    def _close_ranks(self) -> None:
        """Go on in a smaller stack if some have left."""
        remaining, old = [run for run in self._stacked if run.going], self.stack
        if len(remaining) == len(self._stacked) or self.smaller is None:
            return
        for run in self._stacked:
            if not run.going:
                # A copy of its own: a view would keep all of the old stack.
                run.result.theta = run.result.theta.copy()
                flush_subnormals(run.result.theta)
        stack = self.stack = self.smaller([run.number for run in remaining])
        index = tuple(np.transpose([run.place for run in remaining]))
        stack.objective.theta[...] = old.objective.theta[index]
        moments = [moment[index] for moment in old.optimizer.moments]
        stack.optimizer.resume(old.optimizer.n_steps, moments)
        self._ceiling = self._ceiling[index]
        for run, place in zip(remaining, stack.places, strict=True):
            run.place, run.result.theta = place, stack.objective.theta[place]
        self._stacked = remaining


def end_epoch(
    runs: Sequence[Run],
    losses: Sequence[float],
    validate: Score | None,
    train_score: Score | None,
) -> None:
    """Score each network that is going, and tell its run how the epoch ended."""
    ended = [(r, loss) for r, loss in zip(runs, losses, strict=True) if r.going]
    if not ended:
        return
    places = [run.place for run, _ in ended]
    shown = [(run.mean, run.result.theta) for run, _ in ended if run.mean is not None]
    for mean, theta in shown:
        mean.add(theta)
        mean.show(theta)
    scores = None if validate is None else validate(places)
    train_scores = None if train_score is None else train_score(places)
    for run, loss in ended:
        run.epoch_ended(
            loss,
            None if scores is None else float(scores[run.place]),
            None if train_scores is None else float(train_scores[run.place]),
        )
    for mean, theta in shown:
        mean.hide(theta)
