"""What the networks of a search say of the rows that they were not trained on.

The results of a search have 'held_out' of each setting and, within it, each split: the
probabilities of the rows that the split leaves out, or None where there are none.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

from skreg._models import team
from skreg._network import Array
from skreg._network.propagation import LogitsError
from skreg._training.labels import Target
from skreg._training.rows import TrainingSet


class Probabilities(ClassifierMixin, BaseEstimator):
    """A classifier that has nothing but the probabilities of some rows."""

    def __init__(self, target: Target, proba: Array) -> None:
        if target.kind != "multilabel":
            # Those of float32 add up to one in float32 alone.
            proba = proba / proba.sum(axis=1, keepdims=True)
        self.classes_ = target.classes
        self._proba = proba

    def predict_proba(self, _: Any) -> Array:
        """What there is."""
        return self._proba


@dataclass(frozen=True, eq=False)
class Keep:
    """What is kept of a fitted network: the ``whole`` of its probabilities, or less.

    Less is the likelihood of what occurred, one float32 for each row, or for each label
    of a row. ``codes`` has the classes or labels of all rows.
    """

    target: Target
    codes: Array
    whole: bool

    def __call__(self, model: Any, X: Any, rows: Array) -> Array | None:
        if len(rows) == 0:
            return None
        try:
            proba: Array = model.predict_proba(X)
        except LogitsError:
            return None
        if self.target.kind != "multilabel":
            # A class that training had no row of has the probability 0.
            of_classes, shape = proba, (len(rows), len(self.target.classes))
            proba = np.zeros(shape, of_classes.dtype)
            proba[:, self.target.encode(model.classes_)] = of_classes
        return proba if self.whole else self.likelihoods(proba, rows)

    def likelihoods(self, proba: Array, rows: Array) -> Array:
        """How likely what occurred in these rows was."""
        codes = self.codes[rows]
        if self.target.kind == "multilabel":
            likely = np.where(codes, proba, 1 - proba)
        else:
            likely = proba[np.arange(len(rows)), codes]
        return likely.astype(np.float32)


class HeldOut:
    """What becomes of the probabilities on the rows left out, ``tests`` by split.

    The team has ``at_most`` so many settings; one is the best. With a ``scorer`` that
    asks for nothing but probabilities it is chosen by its mean over the splits, else by
    the log-loss. ``rows_for_scorer(rows)`` gives X, y and metadata. With ``oof_proba``
    they are kept whole, else no more than the choice needs; ``keep`` may be None.
    """

    def __init__(
        self,
        rows: TrainingSet,
        tests: Sequence[Array],
        rows_for_scorer: Callable[[Array], tuple[Any, ...]],
        scorer: Any,
        error_score: Any,
        *,
        at_most: int,
        oof_proba: bool,
    ) -> None:
        self._target, self._sample_weight = rows.target, rows.sample_weight
        self._n_rows, self._tests = len(rows.y), tests
        self._rows_for_scorer, self._error_score = rows_for_scorer, error_score
        self._at_most = at_most
        self._scorer = None
        if scorer is not None and self._asks_for_probabilities(scorer):
            self._scorer = scorer
        self.keep = None
        if oof_proba or at_most > 1:
            whole = oof_proba or self._scorer is not None
            self.keep = Keep(rows.target, rows.y, whole)

    def weights(self, results: Sequence[dict[str, Any]], best: int) -> Array:
        """How much each setting counts in the final model; the sum is 1.

        Those of which a training failed do not.
        """
        found = self._by_setting(results)
        weights = np.zeros(len(found))
        if self._at_most > 1:
            in_question = [
                number
                for number, of_splits in enumerate(found)
                if not any(each is None for each in of_splits)
            ]
            probabilities = [np.concatenate(found[number]) for number in in_question]
            first = in_question.index(best) if best in in_question else None
            weights[in_question] = self._picked(probabilities, first)
        if not weights.any():
            weights[best] = 1
        weights /= weights.sum()
        return weights

    def mean_proba(self, results: Sequence[dict[str, Any]], weights: Array) -> Array:
        """The weighted mean of the settings, (n_rows, n_classes), and over the splits.

        NaN where a row is in none of them, or a training failed.
        """
        found = self._by_setting(results)
        members = np.flatnonzero(weights).tolist()
        total = np.zeros((self._n_rows, len(self._target.classes)))
        n_splits = np.zeros((self._n_rows, 1))
        for split, rows in enumerate(self._tests):
            of_members = [found[number][split] for number in members]
            if not any(each is None for each in of_members):
                np.add.at(total, rows, np.average(of_members, 0, weights[members]))
                np.add.at(n_splits, rows, 1)
        if self._target.kind != "multilabel":
            # As in Probabilities.
            n_splits = total.sum(axis=1, keepdims=True)
        with np.errstate(invalid="ignore"):
            mean: Array = total / n_splits
        return mean

    def _by_setting(self, results: Sequence[dict[str, Any]]) -> list[list[Any]]:
        kept, n = [each.get("held_out") for each in results], len(self._tests)
        return [kept[start : start + n] for start in range(0, len(kept), n)]

    def _picked(self, probabilities: Sequence[Array], best: int | None) -> Array:
        """How often each of these is picked."""
        if self._scorer is not None:
            tests = [self._rows_for_scorer(rows) for rows in self._tests]
            minus_score = partial(self._minus_score, tests)
            return team.picked(probabilities, minus_score, self._at_most, best=best)
        assert self.keep is not None
        rows, weights = np.concatenate(self._tests), self._sample_weight
        if self.keep.whole:
            probabilities = [self.keep.likelihoods(p, rows) for p in probabilities]
        if weights is not None:
            # Sums of large ones would overflow.
            weights = weights[rows] / weights.max()
        loss = partial(team.log_loss, weights=weights)
        return team.picked(probabilities, loss, self._at_most, best=best)

    def _minus_score(self, tests: Sequence[tuple[Any, ...]], proba: Array) -> float:
        """Minus the mean over the splits of the scores of probabilities."""
        scores, ends = [], np.cumsum([len(rows) for rows in self._tests])
        for test, of_rows in zip(tests, np.split(proba, ends[:-1]), strict=True):
            try:
                scores.append(self._score(self._scorer, of_rows, *test))
            except Exception:
                if self._error_score == "raise":
                    raise
                scores.append(self._error_score)
        return -float(np.mean(scores))

    def _score(
        self, scorer: Any, proba: Array, X: Any, y: Any, params: dict[str, Any]
    ) -> float:
        with warnings.catch_warnings():
            # They were given for each setting.
            warnings.simplefilter("ignore")
            return float(scorer(Probabilities(self._target, proba), X, y, **params))

    def _asks_for_probabilities(self, scorer: Any) -> bool:
        """Whether the scorer works with nothing but probabilities."""
        n_classes = len(self._target.classes)
        proba = np.full((self._n_rows, n_classes), 1 / n_classes)
        try:
            self._score(scorer, proba, *self._rows_for_scorer(np.arange(self._n_rows)))
        except Exception:
            return False
        return True
