"""Scores in; "improved", "stop" and "best so far" out."""

from __future__ import annotations

import math


class Plateau:
    """Counts the epochs in a row that do not improve on the best by at least ``tol``.

    A score is better when it is greater; a loss comes in with its sign changed. NaN
    is never an improvement.
    """

    def __init__(
        self, tol: float, patience: float, *, best: float = -math.inf, count: int = 0
    ) -> None:
        self.tol = tol
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
