"""``class_weight`` → the weight of each class or label, and of each row by them."""

import reprlib
from numbers import Real
from typing import Any

import numpy as np

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
        if not _is_for_one_output(class_weight):
            raise ValueError(
                f"class_weight={_shown(class_weight)}: give 'balanced' or a dict with "
                f"the classes, such as class_weight={_example(class_weight, classes)}."
            )
        (of_classes,) = counts
        return (_class_factors(class_weight, of_classes, classes),)
    n_labels = len(counts)
    of_labels = _values(class_weight)
    if isinstance(class_weight, str):
        of_labels = [class_weight] * n_labels
    if (
        isinstance(class_weight, dict)
        or len(of_labels) != n_labels
        or not all(each is None or _is_for_one_output(each) for each in of_labels)
    ):
        raise ValueError(
            f"class_weight={_shown(class_weight)}: for {n_labels} labels, give "
            f"'balanced' or a list of {n_labels} dicts, each with the weights of 0 and "
            "of 1, such as {0: 1.0, 1: 3.0}."
        )
    return tuple(
        _class_factors(of_label, of_counts, np.array([0, 1]))
        for of_label, of_counts in zip(of_labels, counts, strict=True)
    )


def _is_for_one_output(class_weight: Any) -> bool:
    if isinstance(class_weight, str):
        return class_weight == "balanced"
    return isinstance(class_weight, dict)


def _values(class_weight: Any) -> list[Any]:
    return list(class_weight) if np.iterable(class_weight) else []


def _shown(class_weight: Any) -> str:
    """The parameter as one line; of an array or a series its values."""
    if not isinstance(class_weight, str | dict | list | tuple):
        class_weight = np.asarray(class_weight).tolist()
    return reprlib.repr(class_weight)


def _example(given: Any, classes: Array) -> str:
    """A dict of these classes, with the numbers given if there is one for each."""
    weights, values = [1.0] * len(classes), _values(given)
    if hasattr(given, "keys") and set(given.keys()) >= set(classes.tolist()):
        # A series by class, or the like.
        values = [given[each] for each in classes.tolist()]
    if len(values) == len(classes) and all(isinstance(each, Real) for each in values):
        weights = [float(each) for each in values]
    pairs = [f"{c!r}: {w!r}" for c, w in zip(classes.tolist(), weights, strict=True)]
    return f"{{{', '.join(pairs[:5] + ['...'] * (len(pairs) > 5))}}}"


def _class_factors(class_weight: Any, counts: Array, classes: Array) -> Array:
    n_rows, totals = counts
    if class_weight == "balanced":
        # compute_class_weight takes no sample weights in scikit-learn 1.6.
        with np.errstate(divide="ignore", over="ignore"):
            factors = totals.sum() / np.count_nonzero(n_rows) / totals
        weights = factors.tolist()
    else:
        of_class, known = class_weight or {}, classes.tolist()
        unknown = [each for each in of_class if each not in known]
        # Other rows of y, those of another fold, may have classes beside these.
        if unknown and not of_class.keys() >= set(known):
            raise ValueError(
                f"class_weight={_shown(class_weight)}: {_shown(unknown)} are not among "
                f"the classes. Give {_example((), classes)}, with your weights."
            )
        weights = [of_class.get(each, 1.0) for each in known]
        factors = np.array(
            [w if isinstance(w, Real) else np.nan for w in weights], np.float64
        )
    wrong = (n_rows > 0) & ~((totals > 0) & (factors > 0) & np.isfinite(factors))
    if wrong.any():
        index = int(np.argmax(wrong))
        raise ValueError(
            f"class_weight={class_weight!r}: the class {classes.tolist()[index]!r} has "
            f"the weight {weights[index]!r}, and its rows a total weight of "
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
