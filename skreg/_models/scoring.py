"""How a search splits the rows, measures its settings and, by default, chooses one."""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv
from sklearn.utils.metadata_routing import MetadataRequest

from skreg._network import Array
from skreg._training.labels import plain_labels
from skreg._training.settings import random_streams

# How many times the least loss the loss of a setting may be, for its accuracy to count.
NEAR = 1.05


def splits_of(
    cv: Any,
    X: Any,
    y: Any,
    random_state: int | np.random.RandomState | None,
    split_params: dict[str, Any],
) -> list[tuple[Array, Array]]:
    """The rows to train on and those to test on, of each split."""
    splitter = check_cv(cv, y, classifier=True)
    if cv is None:
        # A copy, since the networks have the stream as it is.
        seed = random_streams(copy.deepcopy(random_state)).split_seed
        splitter = type(splitter)(splitter.n_splits, shuffle=True, random_state=seed)
    n_splits = splitter.get_n_splits(X, y, **split_params)
    splits = list(splitter.split(X, y, **split_params))
    if not splits or len(splits) != n_splits:
        raise ValueError(
            f"cv={cv!r} gave {len(splits)} splits of the rows, but announced "
            f"{n_splits}. Give a splitter with the same number of splits each time."
        )
    every_row = np.empty(np.shape(X)[0], dtype=bool)
    for number, (train, test) in enumerate(splits):
        for use, rows in (("train", train), ("test", test)):
            rows = np.asarray(rows)
            try:
                every_row[rows if rows.size else []]
            except IndexError as error:
                raise ValueError(
                    f"cv: the rows to {use} on in split {number} are not all among the "
                    f"{len(every_row)} rows: {error}."
                ) from None
    return splits


def as_scorers_take_it(y: Any) -> Any:
    """y as it is, or an array of the numbers or bools that are objects there."""
    labels = plain_labels(y)
    return y if labels.dtype.kind == np.asarray(y).dtype.kind else labels


def automatic_scorers(estimator: Any, *, raises: bool) -> Any:
    """The estimator's own score, and minus the loss.

    Unless it ``raises``, what fails gives its text in place of a score.
    """
    scorers = {"score": check_scoring(estimator), "loss": MinusLoss()}
    return check_scoring(estimator, scorers, raise_exc=raises)


def scorer_or_scorers(scoring: Any, estimator: Any) -> Any:
    """What ``scorer_`` is: a function, or several by their names."""
    if callable(scoring):
        return scoring
    if isinstance(scoring, dict):
        return {name: check_scoring(estimator, each) for name, each in scoring.items()}
    if isinstance(scoring, list | tuple | set):
        return {name: check_scoring(estimator, name) for name in scoring}
    return check_scoring(estimator, None if scoring == "auto" else scoring)


def forget_losses_of_failures(results: Sequence[dict[str, Any]]) -> None:
    """A training that failed has no loss, whatever number stands for its score.

    As a loss that number might be the least of all.
    """
    for result in results:
        if result["fit_error"] is not None:
            for name in {"test_scores", "train_scores"} & result.keys():
                result[name]["loss"] = np.nan


def most_accurate_of_the_likely(results: dict[str, Any]) -> int:
    """The index of the best score among settings whose loss is near the least.

    The accuracy has few values, and settings with a bad loss may have a good one by
    chance; the loss alone punishes those that are right and too sure.
    """
    scores = results["mean_test_score"]
    losses = _losses(results)
    if np.isnan(losses).all():
        return int(np.argmin(results["rank_test_score"]))
    is_likely = losses <= largest_likely_loss(results)
    ranked = np.lexsort((losses, -scores, ~is_likely))
    return int(ranked[0])


def largest_likely_loss(results: dict[str, Any]) -> float:
    """The loss up to which the accuracy of a setting counts."""
    with np.errstate(over="ignore", invalid="ignore"):
        return float(NEAR * np.nanmin(_losses(results)))


def _losses(results: dict[str, Any]) -> Array:
    """The mean loss of each setting; NaN where it has no score."""
    losses: Array = -results["mean_test_loss"]
    return np.where(np.isnan(results["mean_test_score"]), np.nan, losses)


class MinusLoss:
    """A scorer: minus the mean loss -log P(y) of the rows, from the logits."""

    def __call__(
        self,
        estimator: Any,
        X: ArrayLike,
        y: Any,
        sample_weight: ArrayLike | None = None,
    ) -> float:
        weights = None
        if sample_weight is not None:
            weights = np.asarray(sample_weight, dtype=float)
        if weights is not None and not weights.any():
            raise ValueError(
                f"sample_weight is 0 in all of the {len(weights)} rows to be scored. "
                "Leave rows of weight 0 out, or give other folds by cv."
            )
        y = np.asarray(plain_labels(y))
        if y.ndim == 2 and y.shape[1] == 1:
            y = y[:, 0]
        log_proba_of = _log_proba_of_labels if y.ndim == 2 else _log_proba_of_classes
        with np.errstate(over="ignore"):
            log_proba = log_proba_of(y, estimator, X)
            # Huge weights and losses, or their sums, may overflow, the mean does not.
            unit = _power_of_two(log_proba)
            if weights is not None:
                weights = weights / _power_of_two(weights)
            return float(np.average(log_proba / unit, weights=weights) * unit)

    def _accept_sample_weight(self) -> bool:
        # Scorers ask each other by this private name. If it changes, take theirs.
        return True

    def get_metadata_routing(self) -> MetadataRequest:
        """It takes weights, as the estimator's own score does."""
        request = MetadataRequest(owner=type(self).__name__)
        request.score.add_request(param="sample_weight", alias=True)
        return request


def _power_of_two(values: Array) -> float:
    """One near the largest magnitude: to divide by it rounds nothing."""
    _, exponent = np.frexp(np.abs(values).max())
    return float(np.ldexp(1.0, exponent - 1))


def _log_proba_of_labels(y: Array, estimator: Any, X: ArrayLike) -> Array:
    """The logarithm of the probability that each row has of its labels."""
    logits = estimator.decision_function(X).astype(float)
    found: Array = -np.logaddexp(0, np.where(y, -logits, logits)).sum(axis=1)
    return found


def _log_proba_of_classes(y: Array, estimator: Any, X: ArrayLike) -> Array:
    """The logarithm of the probability that each row has of its class."""
    log_proba = estimator.predict_log_proba(X).astype(float)
    code_of = {label: code for code, label in enumerate(estimator.classes_.tolist())}
    # A class that training had no row of is as unlikely as scikit-learn's log_loss has
    # a class at least.
    never = np.full((len(y), 1), np.log(np.finfo(float).eps))
    codes = [code_of.get(label, len(code_of)) for label in y.tolist()]
    return np.hstack([log_proba, never])[np.arange(len(y)), codes]
