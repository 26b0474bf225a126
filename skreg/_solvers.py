"""The epoch loop and L-BFGS: they take an objective and return a result."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult, minimize

from skreg._objective import Batch, Objective
from skreg._optimizers import Mean, Optimizer, flush_subnormals, learning_rate_at
from skreg._stopping import Plateau

Array = NDArray[Any]
T = TypeVar("T")

# A plateau at this 'adaptive' learning rate or below ends the training.
SMALLEST_RATE = 1e-6

# A loss this many times larger than at the start does not come back.
_EXPLOSION = 1e4
_LARGEST = np.finfo(np.float64).max

# Subnormal numbers are flushed after an epoch, once there were so many steps since.
FLUSH_STEPS = 16


class Batches(Protocol):
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
    """What a solver found.

    ``theta`` is the best epoch's where a validation score was ``watched``, otherwise
    the last. ``best_epoch`` counts from 1. ``stopped`` says that an observer ended
    the training. ``interrupt`` is a KeyboardInterrupt that did: all else is as it was
    after the last complete epoch. ``diverged`` says that it led nowhere. ``refit`` says
    that the validation scores are those of runs before this one, which is on all rows.
    """

    theta: Array
    loss_curve: list[float] = field(default_factory=list)
    validation_scores: list[float] = field(default_factory=list)
    train_scores: list[float] = field(default_factory=list)
    watched: bool = False
    best_epoch: int = 0
    best_score: float = math.nan
    n_epochs: int = 0
    samples_seen: int = 0
    converged: bool = False
    message: str = ""
    learning_rate: float = math.nan
    loss: float = math.nan
    stopped: bool = False
    interrupt: KeyboardInterrupt | None = None
    diverged: DivergedError | None = None
    refit: bool = False


class EpochReport(NamedTuple):
    """What the loop tells after each epoch (for L-BFGS, each iteration)."""

    epoch: int
    loss: float
    validation_score: float | None


class Observer(Protocol):
    """Is told of each epoch, and may end the training."""

    def begins(self) -> None:
        """An epoch begins."""
        ...

    def ends(self, report: EpochReport) -> bool:
        """An epoch has ended; True stops the training."""
        ...

    def finished(self) -> None:
        """The training has ended, perhaps within an epoch."""
        ...


# A training that stops after each epoch for others in step with it, and its result.
InEpochs = Generator[None, None, T]


def to_the_end(run: InEpochs[T]) -> T:
    """All epochs of a training."""
    while True:
        try:
            next(run)
        except StopIteration as end:
            result: T = end.value
            return result


# The index of a network in a stack: () of one alone, which has no leading axis.
Place = tuple[int, ...]

# The score of each network at these places, in an array with the leading axes.
Score = Callable[[Sequence[Place]], Any]


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


class _Run:
    """The training of one network: its epochs, its best weights, its end.

    The solver changes ``theta`` in place. ``watched`` says whether scores of
    validation rows come in. In a stack, ``place`` is the index of the network, and
    ``number`` says which it was at the start.
    """

    def __init__(
        self,
        theta: Array,
        plateau: Plateau,
        observers: Sequence[Observer],
        *,
        watched: bool,
        samples_seen: int,
        learning_rate: float = math.nan,
        averaging: float = 0.0,
        place: Place = (),
        number: int = 0,
    ) -> None:
        self.result = Result(
            theta,
            samples_seen=samples_seen,
            learning_rate=learning_rate,
            watched=watched,
        )
        self.mean = Mean(theta, averaging) if averaging else None
        self.place = place
        self.number = number
        self.plateau = plateau
        self.stop = False
        self._observers = observers
        self._best_theta = theta
        self._complete: Result | None = None

    def epoch_begins(self) -> None:
        for observer in self._observers:
            observer.begins()

    def epoch_ended(
        self, loss: float, score: float | None, train_score: float | None
    ) -> None:
        result = self.result
        result.n_epochs += 1
        result.loss = loss
        result.loss_curve.append(loss)
        if train_score is not None:
            result.train_scores.append(train_score)
        if score is not None:
            result.validation_scores.append(score)
        if self.plateau.update(-loss if score is None else score):
            result.best_epoch = result.n_epochs
            if result.watched:
                self._best_theta = result.theta.copy()
        # Whole before it takes the place of the last; of a stack nothing is kept.
        if not self.place and (result.best_epoch or not result.watched):
            theta = self._best_theta if result.watched else result.theta.copy()
            self._complete = replace(result, theta=theta, best_score=self.plateau.best)
        report = EpochReport(result.n_epochs, loss, score)
        for observer in self._observers:
            self.stop |= bool(observer.ends(report))

    def goes_on(self, schedule: str) -> bool:
        """Whether there is to be another epoch, short of ``max_iter``."""
        result = self.result
        if self.plateau.exhausted:
            if schedule != "adaptive" or result.learning_rate <= SMALLEST_RATE:
                result.converged = True
                return False
            result.learning_rate /= 5
            self.plateau.restart()
        result.converged = self.stop
        return not self.stop

    def finished(self) -> Result:
        for observer in self._observers:
            observer.finished()
        result = self.result
        result.stopped = self.stop
        result.best_score = self.plateau.best
        if result.watched and result.best_epoch:
            result.theta = self._best_theta
        elif self.mean is not None:
            self.mean.show(result.theta)
            flush_subnormals(result.theta)
        return result

    def interrupted(self, interrupt: KeyboardInterrupt) -> Result:
        """What there was after the last complete epoch; without one it is raised."""
        complete = self._complete
        if complete is None:
            raise interrupt
        for observer in self._observers:
            observer.finished()
        flush_subnormals(complete.theta)
        # The lists go on in the epoch that was interrupted.
        n_epochs = complete.n_epochs
        return replace(
            complete,
            interrupt=interrupt,
            learning_rate=self.result.learning_rate,
            loss_curve=complete.loss_curve[:n_epochs],
            validation_scores=complete.validation_scores[:n_epochs],
            train_scores=complete.train_scores[:n_epochs],
        )


def descending(
    stack: Stack,
    batches: Batches,
    plateaus: Sequence[Plateau],
    *,
    schedule: str,
    learning_rate: float,
    power_t: float,
    max_iter: int,
    averaging: float = 0.0,
    samples_seen: int = 0,
    observers: Sequence[Sequence[Observer]] = ((),),
    smaller: Callable[[Sequence[int]], Stack] | None = None,
) -> InEpochs[list[Result]]:
    """Epochs of gradient steps of each network, until ``max_iter`` or its plateau.

    At a plateau the 'adaptive' schedule divides the learning rate by five, and goes
    on until it is at most 1e-6. The 'cosine' schedule ends with its last epoch, and
    has then converged by definition.

    With ``averaging`` each result, and what is scored and observed on the way, is the
    mean of the weights after each epoch so far, the one before the last counting
    ``averaging`` times as much as the last, and so on.

    ``plateaus`` and ``observers`` have one item for each network of the stack. One
    that stops or diverges leaves it: the others go on in ``smaller(numbers)``, a stack
    for the networks with these numbers. It yields after each epoch, before it asks the
    plateaus whether to go on.

    An interrupt ends the training of a network that is alone with what it had after the
    last complete epoch. Within the first, and in a stack, it is raised.
    """
    runs = going = [
        _Run(
            stack.objective.theta[place],
            plateaus[number],
            observers[number],
            watched=stack.validate is not None,
            samples_seen=samples_seen,
            learning_rate=learning_rate,
            averaging=averaging,
            place=place,
            number=number,
        )
        for number, place in enumerate(stack.places)
    ]
    steps = _Steps(stack)
    try:
        for epoch in range(max_iter):
            for run in going:
                steps.rates[run.place] = learning_rate_at(
                    schedule,
                    run.result.learning_rate,
                    samples_seen=samples_seen,
                    power_t=power_t,
                    progress=epoch / max_iter,
                )
                run.epoch_begins()
            losses = steps.epoch(batches)
            samples_seen += batches.n_rows
            finite = []
            for run in going:
                if math.isfinite(losses[run.place]):
                    run.result.samples_seen = samples_seen
                    finite.append(run)
                else:
                    rate = steps.rates[run.place].item()
                    run.result.diverged = DivergedError(epoch + 1, rate)
            if finite:
                stack = steps.stack
                _end_epoch(finite, losses, stack.validate, stack.train_score)
            yield
            left = [run for run in finite if run.goes_on(schedule)]
            is_last = epoch + 1 == max_iter
            if left and len(left) < len(going) and smaller and not is_last:
                steps = _moved(steps, going, left, smaller)
            going = left
            if not going:
                break
        for run in going:
            run.result.converged = schedule == "cosine"
        flush_subnormals(steps.stack.objective.theta, steps.stack.optimizer.moments)
        return [run.finished() for run in runs]
    except KeyboardInterrupt as interrupt:
        results = [run.interrupted(interrupt) for run in runs]
        optimizer = steps.stack.optimizer
        if not np.isfinite(optimizer.moments).all():
            # It was about to diverge.
            optimizer.resume(0, list(np.zeros_like(optimizer.moments)))
        return results


def _end_epoch(
    runs: Sequence[_Run],
    losses: dict[Place, float],
    validate: Score | None,
    train_score: Score | None,
) -> None:
    """Score each network, and tell its run how the epoch ended."""
    places = [run.place for run in runs]
    shown = [(run.mean, run.result.theta) for run in runs if run.mean is not None]
    for mean, theta in shown:
        mean.add(theta)
        mean.show(theta)
    scores = None if validate is None else validate(places)
    train_scores = None if train_score is None else train_score(places)
    for run in runs:
        run.epoch_ended(
            losses[run.place],
            None if scores is None else float(scores[run.place]),
            None if train_scores is None else float(train_scores[run.place]),
        )
    for mean, theta in shown:
        mean.hide(theta)


def _moved(
    steps: _Steps,
    going: Sequence[_Run],
    left: Sequence[_Run],
    smaller: Callable[[Sequence[int]], Stack],
) -> _Steps:
    """The steps of those left, in a smaller stack."""
    for run in going:
        if run not in left:
            # A copy of its own: a view would keep all of the old stack.
            run.result.theta = run.result.theta.copy()
            flush_subnormals(run.result.theta)
    stack = smaller([run.number for run in left])
    steps = steps.moved_to(stack, [run.place for run in left])
    for run, place in zip(left, stack.places, strict=True):
        run.place, run.result.theta = place, stack.objective.theta[place]
    return steps


class _Steps:
    """Gradient steps, epoch after epoch, and what tells that they go astray.

    ``rates`` has the learning rate of each network.
    """

    def __init__(self, stack: Stack) -> None:
        lead = stack.objective.theta.shape[:-1]
        self.stack = stack
        self._places = stack.places
        self.rates = np.zeros((*lead, 1) if lead else ())
        # numpy's functions of one number take as long as a product of small matrices.
        self._all: Any = np.all if lead else bool
        self._numbers: Any = np.asarray if lead else float
        self._ceiling: Any = None
        self._flushed_at = stack.optimizer.n_steps

    def moved_to(self, stack: Stack, places: Sequence[Place]) -> _Steps:
        """The same for the networks at these places, which are those of ``stack``."""
        index = tuple(np.transpose(places))
        old = self.stack
        stack.objective.theta[...] = old.objective.theta[index]
        moments = [moment[index] for moment in old.optimizer.moments]
        stack.optimizer.resume(old.optimizer.n_steps, moments)
        # Who called still has the old stack.
        old.objective.release()
        moved = _Steps(stack)
        moved._ceiling = self._ceiling[index]
        moved._flushed_at = self._flushed_at
        return moved

    def epoch(self, batches: Batches) -> dict[Place, float]:
        """One step for each batch; for each place the mean of their losses, by rows.

        It is not finite where a loss is above the ceiling, which the first batch of
        all sets, or where a weight or a moment is not finite at the end.
        """
        objective, optimizer = self.stack.objective, self.stack.optimizer
        constrain = self.stack.constrain
        rates = self.rates if self.rates.ndim else self.rates.item()
        total: Any = 0.0
        lost: Any = None
        with np.errstate(all="ignore"):
            for n_rows, chunks in batches.epoch():
                loss = self._numbers(objective(chunks))
                if self._ceiling is None:
                    ceiling = np.minimum(_EXPLOSION * (1 + abs(loss)), _LARGEST)
                    self._ceiling = self._numbers(ceiling)
                fine = abs(loss) <= self._ceiling
                if not self._all(fine):
                    lost = np.logical_not(fine) if lost is None else lost | ~fine
                    if self._all(lost):
                        return dict.fromkeys(self._places, math.nan)
                optimizer.step(rates)
                if constrain is not None:
                    constrain()
                total = total + n_rows * loss
            vectors = objective.theta, optimizer.moments
            if optimizer.n_steps - self._flushed_at >= FLUSH_STEPS:
                flush_subnormals(*vectors)
                self._flushed_at = optimizer.n_steps
            # A number that is not finite shows in the sum, which is quicker to get. A
            # moment of Adam that is infinite freezes its weight.
            sums = objective.theta.sum(axis=-1) + optimizer.moments.sum(axis=(0, -1))
            losses = total / batches.n_rows + 0 * self._numbers(sums)
            if lost is not None:
                losses[lost] = np.nan
        values = losses.tolist() if self.rates.ndim else [losses]
        return dict(zip(self._places, values, strict=True))


def lbfgs(
    objective: Objective,
    batches: Batches,
    plateau: Plateau,
    *,
    max_iter: int,
    max_fun: int,
    tol: float,
    samples_seen: int = 0,
    validate: Score | None = None,
    train_score: Score | None = None,
    observers: Sequence[Observer] = (),
) -> Result:
    """L-BFGS of scipy on the one full batch of ``batches``.

    It ends when no component of the gradient is larger than ``tol``, when the loss
    no longer changes, or at a plateau of the validation score.
    """
    theta = objective.theta
    run = _Run(
        theta,
        plateau,
        observers,
        watched=validate is not None,
        samples_seen=samples_seen,
    )
    result = run.result

    begun = False

    def cost_and_gradient(x: Array) -> tuple[float, Array]:
        nonlocal begun
        if not begun:
            run.epoch_begins()
            begun = True
        with np.errstate(all="ignore"):
            theta[...] = x
            ((_, chunks),) = batches.epoch()
            loss = float(objective(chunks))
        result.samples_seen += batches.n_rows
        if not math.isfinite(loss):
            raise DivergedError(result.n_epochs + 1, None)
        return loss, objective.gradient.astype(np.float64)

    def iteration_ended(intermediate_result: OptimizeResult) -> None:
        nonlocal begun
        theta[...] = intermediate_result.x
        loss = float(intermediate_result.fun)
        _end_epoch([run], {(): loss}, validate, train_score)
        begun = False
        if run.stop or (validate is not None and plateau.exhausted):
            raise StopIteration

    precision = np.finfo(theta.dtype).eps
    try:
        found = minimize(
            cost_and_gradient,
            theta.astype(np.float64),
            method="L-BFGS-B",
            jac=True,
            callback=iteration_ended,
            options={
                "maxiter": max_iter,
                "maxfun": max_fun,
                "gtol": tol,
                # scipy's own, or what the rounding of a float32 loss can resolve
                "ftol": max(1e7 * np.finfo(np.float64).eps, 10 * precision),
            },
        )
        theta[...] = found.x
        stopped_early = run.stop or (validate is not None and plateau.exhausted)
        result.converged = bool(found.success) or stopped_early
        result.message = str(found.message)
        result.loss = float(found.fun)
    except DivergedError as error:
        result.diverged = error
    except KeyboardInterrupt as interrupt:
        return run.interrupted(interrupt)
    result = run.finished()
    if validate is not None and not result.n_epochs:
        # There may be nothing to do: the score is that of the start.
        result.best_score = float(validate([()])[()])
    return result
