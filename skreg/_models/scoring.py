"""How a search splits the rows, measures its settings and, by default, chooses one."""

import copy
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv
from sklearn.utils.metadata_routing import MetadataRequest

from skreg._network import Array
from skreg._training.advice import warn
from skreg._training.labels import plain_labels
from skreg._training.rows import TrainingSet
from skreg._training.settings import random_streams

# How many times the least loss the loss of a setting may be, for its accuracy to count.
LIKELY_LOSS_RATIO = 1.05


def splits_of(
    cv: Any,
    X: Any,
    y: Any,
    training: TrainingSet,
    random_state: int | np.random.RandomState | None,
    split_params: dict[str, Any],
) -> list[tuple[Array, Array]]:
    """The rows to train on and those to test on, of each split."""
    splitter = check_cv(cv, y, classifier=True)
    if cv is None:
        n_splits = _default_n_splits(training, splitter.n_splits)
        # A copy, since the networks have the stream as it is.
        seed = random_streams(copy.deepcopy(random_state)).split_seed
        splitter = type(splitter)(n_splits, shuffle=True, random_state=seed)
    n_splits = splitter.get_n_splits(X, y, **split_params)
    with warnings.catch_warnings():
        if cv is None:
            # It speaks of n_splits, which nobody set.
            warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        splits = list(splitter.split(X, y, **split_params))
    if not splits:
        raise ValueError(
            f"cv={cv!r} gave no splits of the rows. Give a number of folds, a splitter "
            "or pairs of (train, test) indices."
        )
    if len(splits) != n_splits:
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


def scorable(y: Any) -> Any:
    """y as it is, or an array of the numbers or bools that are objects there."""
    if y is None:
        return None
    labels = plain_labels(y)
    return y if labels.dtype.kind == np.asarray(y).dtype.kind else labels


def _default_n_splits(training: TrainingSet, at_most: int) -> int:
    """As many as the largest class has rows, with a warning of a class with fewer."""
    counts = training.strata()
    n_splits, rarest = min(at_most, int(counts.max())), int(np.argmin(counts))
    if n_splits < 2:
        raise ValueError(
            f"No class of y has more than {n_splits} row; cv=None needs 2 of some "
            "class, to train on one and test on the other. Give more rows, or your own "
            "(train, test) indices as cv."
        )
    if counts[rarest] < n_splits:
        warn(
            f"The class {training.target.classes[rarest]} of y has fewer rows, "
            f"{counts[rarest]}, than cv=None makes folds, {n_splits}: some folds have "
            "none of it to score. Give more rows of it, leave it out, or set cv to "
            "fewer folds.",
            UserWarning,
        )
    return n_splits


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


def scorer_that_chooses(scoring: Any, refit: Any, estimator: Any) -> Any:
    """The one that says which setting is best, of several that ``refit`` names."""
    scorers = scorer_or_scorers(scoring, estimator)
    one = scorers[refit] if isinstance(scorers, dict) else scorers
    # It takes of the metadata what it takes as one of several.
    return partial(_chosen, check_scoring(estimator, {"one": one}), refit)


def _chosen(scorer: Any, refit: Any, *rows: Any, **params: Any) -> Any:
    found = scorer(*rows, **params)["one"]
    return found[refit] if isinstance(found, dict) else found


@contextmanager
def error_without_weights(scoring: Any) -> Iterator[None]:
    """An error names a ``scoring`` that takes no weights."""
    try:
        yield
    except TypeError as error:
        if "unexpected keyword argument 'sample_weight'" not in str(error):
            raise
        raise TypeError(
            f"scoring={scoring!r} takes no sample_weight. Call score without it, or "
            "set scoring to a scorer that takes it."
        ) from error


def check_any_score(results: dict[str, Any], metric: str, n_splits: int) -> None:
    """At least one setting has a mean score, so that one may be the best."""
    if not np.isnan(results[f"mean_test_{metric}"]).all():
        return
    of_splits = [results[f"split{k}_test_{metric}"] for k in range(n_splits)]
    failed = [k for k, scores in enumerate(of_splits) if np.isnan(scores).any()]
    raise ValueError(
        f"No setting is the best: mean_test_{metric} is NaN for each of the "
        f"{len(results['params'])} settings, since scores are NaN in the splits "
        f"{failed}. A scorer that fails gives NaN and warns why; it may where all test "
        "rows have sample_weight 0. Give another scoring or cv; or an error_score, "
        "'raise' to see the first error or a number that stands for failures."
    )


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
        return float(LIKELY_LOSS_RATIO * np.nanmin(_losses(results)))


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
