"""``class_weight`` → the weight of each class or label, and of each row by them."""

from typing import Any

import numpy as np
from sklearn.utils.class_weight import compute_class_weight

from skreg._network import Array


def class_counts(codes: Array, sample_weight: Array | None, n_classes: int) -> Array:
    """The rows and the weight of each class, of shape (1, 2, n_classes).

    In multilabel problems those of 0 and of 1 for each label, (n_labels, 2, 2). Counts
    of parts of the rows add up.
    """
    columns = codes[:, np.newaxis]
    if codes.ndim == 2:
        columns, n_classes = codes, 2
    return np.array(
        [
            [np.bincount(column, of_row, n_classes) for of_row in (None, sample_weight)]
            for column in columns.T
        ],
        dtype=np.float64,
    )


def class_factors(
    class_weight: Any, counts: Array, kind: str, classes: Array
) -> tuple[Array, ...]:
    """The weight of each class; in multilabel problems of 0 and 1, for each label.

    'balanced' is total weight / (number of classes * weight of the class). ``counts``
    are those of :func:`class_counts`.
    """
    if kind != "multilabel":
        (of_classes,) = counts
        return (_class_factors(class_weight, of_classes, classes),)
    n_labels = len(counts)
    of_labels = class_weight
    if isinstance(class_weight, str):
        of_labels = [class_weight] * n_labels
    if isinstance(of_labels, dict) or len(of_labels) != n_labels:
        raise ValueError(
            f"class_weight={class_weight!r}: for {n_labels} labels, give 'balanced' or "
            "a list of as many dicts, {0: ..., 1: ...}."
        )
    return tuple(
        _class_factors(of_label, of_counts, np.array([0, 1]))
        for of_label, of_counts in zip(of_labels, counts, strict=True)
    )


def _class_factors(class_weight: Any, counts: Array, classes: Array) -> Array:
    n_rows, totals = counts
    if isinstance(class_weight, str):
        # compute_class_weight takes no sample weights in scikit-learn 1.6.
        with np.errstate(divide="ignore", over="ignore"):
            factors = totals.sum() / np.count_nonzero(n_rows) / totals
    else:
        factors = compute_class_weight(class_weight, classes=classes, y=classes)
    wrong = (n_rows > 0) & ~((totals > 0) & (factors > 0) & np.isfinite(factors))
    if wrong.any():
        index = int(np.argmax(wrong))
        raise ValueError(
            f"class_weight={class_weight!r}: the class {classes.tolist()[index]!r} has "
            f"the weight {factors[index]}, and its rows a total weight of "
            f"{totals[index]}. Each class needs positive, finite weights; leave out "
            "the rows of a class that should not count."
        )
    return np.where(n_rows > 0, factors, 1.0)


def times_factors(
    sample_weight: Array | None, codes: Array, factors: tuple[Array, ...]
) -> Array:
    """Each row's weight times the weights of its class or labels."""
    weight = np.ones(len(codes)) if sample_weight is None else sample_weight
    columns = [codes] if codes.ndim == 1 else codes.T
    with np.errstate(over="ignore", under="ignore"):
        for factor, column in zip(factors, columns, strict=True):
            weight = weight * factor[column]
    return weight
