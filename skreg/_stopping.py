"""Scores in; "improved", "stop" and "best so far" out."""

from __future__ import annotations

import math
from collections.abc import Sequence


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

    def update(self, score: float) -> bool:
        """Take the score of an epoch; return whether it is the best so far."""
        self.count = 0 if score >= self.best + self.tol else self.count + 1
        improved = score > self.best
        if improved:
            self.best = score
        return improved

    @property
    def exhausted(self) -> bool:
        """Whether ``patience`` epochs in a row have not improved enough."""
        return self.count >= self.patience

    def restart(self) -> None:
        """Begin to count again, as after a change of the learning rate."""
        self.count = 0


def plateaus_in_step(tol: float, patience: float, n_runs: int) -> Sequence[Plateau]:
    """Plateaus of runs in step, each exhausted when their mean score is.

    All of them take the score of an epoch before the first is asked whether it is
    exhausted.
    """
    if n_runs == 1:
        return [Plateau(tol, patience)]
    shared = _Shared(Plateau(tol, patience), n_runs)
    return [_OfRun(tol, patience, shared, number) for number in range(n_runs)]


class _Shared:
    """The scores of all runs, and the plateau of their mean."""

    def __init__(self, mean: Plateau, n_runs: int) -> None:
        self.mean = mean
        self.scores: list[list[float]] = [[] for _ in range(n_runs)]
        self._n_taken = 0

    def exhausted(self) -> bool:
        while min(map(len, self.scores)) > self._n_taken:
            of_epoch = [own[self._n_taken] for own in self.scores]
            self.mean.update(sum(of_epoch) / len(of_epoch))
            self._n_taken += 1
        return self.mean.exhausted


class _OfRun(Plateau):
    """That of one run: its own best, the end of all."""

    def __init__(
        self, tol: float, patience: float, shared: _Shared, number: int
    ) -> None:
        super().__init__(tol, patience)
        self._shared = shared
        self._scores = shared.scores[number]

    def update(self, score: float) -> bool:
        self._scores.append(score)
        return super().update(score)

    @property
    def exhausted(self) -> bool:
        return self._shared.exhausted()
