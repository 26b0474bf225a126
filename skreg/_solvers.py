"""The epoch loop and L-BFGS: they take an objective and return a result."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult, minimize

from skreg._objective import Batch, Objective
from skreg._optimizers import SGD, Adam, flush_subnormals, learning_rate_at
from skreg._stopping import Plateau

Array = NDArray[Any]

# A plateau at this 'adaptive' learning rate or below ends the training.
SMALLEST_RATE = 1e-6

# A loss this many times larger than at the start does not come back.
_EXPLOSION = 1e4

# Subnormal numbers are flushed after an epoch, once there were so many steps since.
FLUSH_STEPS = 16


class Batches(Protocol):
    """The training rows, batch by batch."""

    @property
    def n_rows(self) -> int: ...

    def epoch(self) -> Iterable[tuple[int, Iterable[Batch]]]:
        """The batches of one epoch: how many rows each has, and its chunks."""
        ...


@dataclass
class Result:
    """What a solver found.

    ``theta`` is the best epoch's where a validation score was watched, otherwise
    the last. ``best_epoch`` counts from 1. ``interrupt`` is a KeyboardInterrupt
    that ended the training: the weights are those that it had reached.
    """

    theta: Array
    loss_curve: list[float] = field(default_factory=list)
    validation_scores: list[float] = field(default_factory=list)
    train_scores: list[float] = field(default_factory=list)
    best_epoch: int = 0
    best_score: float = math.nan
    n_epochs: int = 0
    samples_seen: int = 0
    converged: bool = False
    message: str = ""
    learning_rate: float = math.nan
    loss: float = math.nan
    interrupt: KeyboardInterrupt | None = None


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


Validate = Callable[[], float]


class DivergedError(ArithmeticError):
    """The loss has exploded, or a weight is no longer finite."""

    def __init__(self, epoch: int, learning_rate: float | None) -> None:
        super().__init__(epoch, learning_rate)
        self.epoch = epoch
        self.learning_rate = learning_rate


class _Watch:
    """Writes down each epoch's loss and score, and keeps the best weights."""

    def __init__(
        self,
        theta: Array,
        plateau: Plateau,
        validate: Validate | None,
        train_score: Validate | None,
        observers: Sequence[Observer],
    ) -> None:
        self.result = Result(theta)
        self.plateau = plateau
        self.stop = False
        self._validate = validate
        self._train_score = train_score
        self._observers = observers
        self._best_theta = None if validate is None else theta.copy()

    def epoch_begins(self) -> None:
        for observer in self._observers:
            observer.begins()

    def epoch_ended(self, loss: float) -> None:
        result = self.result
        result.n_epochs += 1
        result.loss = loss
        result.loss_curve.append(loss)
        if self._train_score is not None:
            result.train_scores.append(self._train_score())
        score = None
        if self._validate is not None:
            score = self._validate()
            result.validation_scores.append(score)
        if self.plateau.update(-loss if score is None else score):
            result.best_epoch = result.n_epochs
            if self._best_theta is not None:
                self._best_theta[...] = result.theta
        report = EpochReport(result.n_epochs, loss, score)
        for observer in self._observers:
            self.stop |= bool(observer.ends(report))

    def finished(self) -> Result:
        for observer in self._observers:
            observer.finished()
        self.result.best_score = self.plateau.best
        if self._validate is not None and not self.result.n_epochs:
            # L-BFGS may have nothing to do: the score is that of the start.
            self.result.best_score = self._validate()
        if self._best_theta is not None and self.result.best_epoch:
            self.result.theta = self._best_theta
        return self.result


def descend(
    objective: Objective,
    batches: Batches,
    optimizer: SGD | Adam,
    plateau: Plateau,
    *,
    schedule: str,
    learning_rate: float,
    power_t: float,
    max_iter: int,
    samples_seen: int = 0,
    constrain: Callable[[], None] | None = None,
    validate: Validate | None = None,
    train_score: Validate | None = None,
    observers: Sequence[Observer] = (),
) -> Result:
    """Epochs of gradient steps until ``max_iter`` or a plateau.

    At a plateau the 'adaptive' schedule divides the learning rate by five, and goes
    on until it is at most 1e-6. The 'cosine' schedule ends with its last epoch, and
    has then converged by definition. ``constrain()`` is called after each step.
    """
    watch = _Watch(objective.theta, plateau, validate, train_score, observers)
    result = watch.result
    result.samples_seen, result.learning_rate = samples_seen, learning_rate
    steps = _Steps(objective, optimizer, constrain)
    try:
        for epoch in range(max_iter):
            rate = learning_rate_at(
                schedule,
                result.learning_rate,
                samples_seen=result.samples_seen,
                power_t=power_t,
                progress=epoch / max_iter,
            )
            watch.epoch_begins()
            loss = steps.epoch(batches, rate)
            if not math.isfinite(loss):
                raise DivergedError(epoch + 1, rate)
            result.samples_seen += batches.n_rows
            watch.epoch_ended(loss)
            if plateau.exhausted:
                if schedule != "adaptive" or result.learning_rate <= SMALLEST_RATE:
                    result.converged = True
                    break
                result.learning_rate /= 5
                plateau.restart()
            if watch.stop:
                result.converged = True
                break
        else:
            result.converged = schedule == "cosine"
    except KeyboardInterrupt as interrupt:
        if not np.isfinite(objective.theta).all():
            # It was about to diverge: what there was before is worth more.
            raise
        result.interrupt = interrupt
    flush_subnormals(objective.theta, optimizer.moments)
    return watch.finished()


class _Steps:
    """Gradient steps, epoch after epoch, and what tells that they go astray."""

    def __init__(
        self,
        objective: Objective,
        optimizer: SGD | Adam,
        constrain: Callable[[], None] | None,
    ) -> None:
        self._objective = objective
        self._optimizer = optimizer
        self._constrain = constrain
        self._ceiling = math.nan
        self._flushed_at = optimizer.n_steps

    def epoch(self, batches: Batches, rate: float) -> float:
        """One step for each batch; the mean of their losses, by rows.

        It is not finite where a loss is above the ceiling, which the first batch of
        all sets, or where a weight or a moment is not finite at the end.
        """
        objective, optimizer = self._objective, self._optimizer
        constrain, total = self._constrain, 0.0
        with np.errstate(all="ignore"):
            for n_rows, chunks in batches.epoch():
                loss = float(objective(chunks))
                if loss > self._ceiling or not math.isfinite(loss):
                    return math.nan
                if math.isnan(self._ceiling):
                    self._ceiling = _EXPLOSION * (1 + abs(loss))
                optimizer.step(rate)
                if constrain is not None:
                    constrain()
                total += n_rows * loss
            vectors = objective.theta, optimizer.moments
            if optimizer.n_steps - self._flushed_at >= FLUSH_STEPS:
                flush_subnormals(*vectors)
                self._flushed_at = optimizer.n_steps
            # A number that is not finite shows in the sum, which is quicker to get. A
            # moment of Adam that is infinite freezes its weight.
            if not all(math.isfinite(vector.sum()) for vector in vectors):
                return math.nan
        return total / batches.n_rows


def lbfgs(
    objective: Objective,
    batches: Batches,
    plateau: Plateau,
    *,
    max_iter: int,
    max_fun: int,
    tol: float,
    samples_seen: int = 0,
    validate: Validate | None = None,
    train_score: Validate | None = None,
    observers: Sequence[Observer] = (),
) -> Result:
    """L-BFGS of scipy on the one full batch of ``batches``.

    It ends when no component of the gradient is larger than ``tol``, when the loss
    no longer changes, or at a plateau of the validation score.
    """
    theta = objective.theta
    watch = _Watch(theta, plateau, validate, train_score, observers)
    result = watch.result
    result.samples_seen = samples_seen
    reached = theta.copy()

    begun = False

    def cost_and_gradient(x: Array) -> tuple[float, Array]:
        nonlocal begun
        if not begun:
            watch.epoch_begins()
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
        reached[...] = theta[...] = intermediate_result.x
        watch.epoch_ended(float(intermediate_result.fun))
        begun = False
        if watch.stop or (validate is not None and plateau.exhausted):
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
        stopped_early = watch.stop or (validate is not None and plateau.exhausted)
        result.converged = bool(found.success) or stopped_early
        result.message = str(found.message)
        result.loss = float(found.fun)
    except KeyboardInterrupt as interrupt:
        theta[...] = reached
        result.interrupt = interrupt
    return watch.finished()
