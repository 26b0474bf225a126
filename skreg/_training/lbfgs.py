"""L-BFGS of scipy, as a descent whose one epoch is all of its iterations."""

import math
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass

import numpy as np
from scipy.optimize import OptimizeResult, minimize

from skreg._network import Array
from skreg._network.objective import Objective
from skreg._training.descent import (
    BatchSource,
    DivergedError,
    Result,
    Run,
    Score,
    end_epoch,
)
from skreg._training.early_stopping import Plateau
from skreg._training.threads import one_thread_in_scipy


@dataclass(eq=False)
class LBFGS:
    """L-BFGS on the one full batch of ``batches``.

    It ends when no component of the gradient is larger than ``tol``, when the loss no
    longer changes, or at a plateau of the validation score, which it asks itself, since
    scipy has the loop.
    """

    objective: Objective
    batches: BatchSource
    plateau: Plateau
    _: KW_ONLY
    max_iter: int
    max_fun: int
    tol: float
    samples_seen: int = 0
    validate: Score | None = None
    train_score: Score | None = None
    n_epochs: Sequence[int] | None = None

    def __post_init__(self) -> None:
        self._run = Run(
            self.objective.theta,
            watched=self.validate is not None,
            samples_seen=self.samples_seen,
            n_epochs=math.inf if self.n_epochs is None else self.n_epochs[0],
        )
        self.runs = [self._run]
        self.done = False
        self._begun = False

    def epoch(self) -> None:
        """All iterations."""
        theta, run = self.objective.theta, self._run
        self.done = True
        precision = np.finfo(theta.dtype).eps
        options = {
            "maxiter": self.max_iter,
            "maxfun": self.max_fun,
            "gtol": self.tol,
            # scipy's own, or what the rounding of a float32 loss can resolve
            "ftol": max(1e7 * np.finfo(np.float64).eps, 10 * precision),
        }
        try:
            with one_thread_in_scipy():
                found = minimize(
                    self._cost_and_gradient,
                    theta.astype(np.float64),
                    method="L-BFGS-B",
                    jac=True,
                    callback=self._iteration_ended,
                    options=options,
                )
        except DivergedError:
            run.diverges(None)
            return
        finally:
            # Other splits are next, with workspaces of all rows too.
            self.objective.release()
            del self.batches
        theta[...] = found.x
        run.result.converged = bool(found.success) or not run.going
        run.result.message = str(found.message)
        run.result.loss = float(found.fun)
        run.going = False

    def lower_rate(self, run: Run) -> bool:
        """It has no learning rate."""
        return False

    def finish(self) -> list[Result]:
        result = self._run.finished()
        if self.validate is not None and not result.n_epochs:
            # There may be nothing to do: the score is that of the start.
            result.best_score = float(self.validate([()])[()])
        return [result]

    def interrupted(self, interrupt: KeyboardInterrupt) -> list[Result]:
        return [self._run.interrupted(interrupt)]

    def state(self) -> None:
        """None: an approximation of the Hessian is not kept."""

    def _cost_and_gradient(self, x: Array) -> tuple[float, Array]:
        objective, run = self.objective, self._run
        if not self._begun:
            run.epoch_begins()
            self._begun = True
        with np.errstate(all="ignore"):
            objective.theta[...] = x
            ((_, chunks),) = self.batches.epoch()
            loss = float(objective(chunks))
        run.result.samples_seen += self.batches.n_rows
        if not math.isfinite(loss):
            raise DivergedError(run.result.n_epochs + 1, None)
        return loss, objective.gradient.astype(np.float64)

    def _iteration_ended(self, intermediate_result: OptimizeResult) -> None:
        run = self._run
        self.objective.theta[...] = intermediate_result.x
        loss = float(intermediate_result.fun)
        end_epoch([run], [loss], self.validate, self.train_score)
        self._begun = False
        self.plateau.update(run.latest)
        if self.validate is not None and self.plateau.exhausted:
            run.leave()
        if not run.going:
            raise StopIteration
