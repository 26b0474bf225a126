"""X, y and weights → one frozen, validated training set, and its split."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse
from sklearn.preprocessing import LabelEncoder
from sklearn.utils import column_or_1d
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.random import sample_without_replacement
from sklearn.utils.validation import _check_sample_weight, validate_data

Array = NDArray[Any]

# The types that are computed in as they are; others become the first.
FLOATS = (np.float64, np.float32)

# Labels are encoded so many at a time, since scikit-learn's encoder makes copies.
_ROWS_AT_A_TIME = 2**16


class Sparse(Protocol):
    """A matrix or an array of ``scipy.sparse``, for the type hints."""

    def tocsr(self) -> Any:
        """Such as it is in compressed rows."""


class Target(NamedTuple):
    """What y means: ``kind`` is 'binary', 'multiclass' or 'multilabel'.

    One class only is 'multiclass' with one output, whose softmax is one everywhere.
    """

    kind: str
    classes: Array

    @property
    def n_outputs(self) -> int:
        return 1 if self.kind == "binary" else len(self.classes)

    def encode(self, y: Array, name: str = "y") -> Array:
        """Class codes (n_samples,), or label indicators (n_samples, n_labels)."""
        if self.kind == "multilabel":
            if y.ndim != 2 or y.shape[1] != len(self.classes):
                raise ValueError(
                    f"{name} has the shape {y.shape}, but the model has "
                    f"{len(self.classes)} labels: give the shape "
                    f"(n_samples, {len(self.classes)})."
                )
            return y.astype(np.uint8, order="C")
        if y.ndim != 1:
            raise ValueError(
                f"{name} has the shape {y.shape}, but the model has the classes "
                f"{self.classes}: give the shape (n_samples,)."
            )
        # LabelEncoder would cast y to the dtype of the classes, "yesterday" to "yes".
        known, unseen = set(self.classes.tolist()), set()
        encoder = LabelEncoder()
        encoder.classes_ = self.classes
        codes: Array = np.empty(len(y), np.min_scalar_type(len(self.classes)))
        for start in range(0, len(y), _ROWS_AT_A_TIME):
            rows = slice(start, start + _ROWS_AT_A_TIME)
            unseen |= set(y[rows].tolist()) - known
            if not unseen:
                codes[rows] = encoder.transform(y[rows])
        if unseen:
            raise ValueError(
                f"{name} has the classes {sorted(unseen, key=str)[:10]}, which are not "
                f"among the classes {self.classes} that the model knows. Leave those "
                "rows out, or fit anew to rows of all classes (for partial_fit, name "
                "them in its first call)."
            )
        return codes

    def decode(self, decisions: Array) -> Array:
        """Class codes (n_samples,) → classes; indicators stay what they are."""
        if self.kind == "multilabel":
            return decisions.astype(np.int64)
        decoded: Array = self.classes[decisions.astype(np.intp)]
        return decoded


def checked_rows(
    estimator: Any,
    X: ArrayLike | Sparse,
    y: ArrayLike,
    *,
    reset: bool,
    dtype: Any = FLOATS,
) -> tuple[Any, Array]:
    """X and y as arrays that an estimator can be fitted to.

    The columns of X are noted in the estimator (``reset``), or are as they were.
    """
    try:
        rows, labels = validated_as_floats(
            estimator, X, y, dtype=dtype, order="C", multi_output=True, reset=reset
        )
    except ValueError as error:
        if str(error).startswith("Input contains NaN"):
            # scikit-learn leaves the name out where y is an object array.
            raise ValueError(f"In y: {error}") from error
        raise
    if issparse(rows) and not rows.has_canonical_format:
        # Dropout of the inputs takes each stored value for one of X.
        rows = rows.copy()
        rows.sum_duplicates()
    return rows, check_y(labels)


def validated_as_floats(
    estimator: Any, X: Any, *y: Any, dtype: Any = FLOATS, **check: Any
) -> Any:
    """``validate_data``, without warnings of overflow, and always in a ``dtype`` given.

    It sums X to look for NaN, which may overflow, and leaves a pandas table of sparse
    bools in bool. ``dtype`` is one of ``FLOATS``, or these.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        try:
            found = validate_data(
                estimator, X, *y, accept_sparse="csr", dtype=dtype, **check
            )
        except OverflowError:
            raise ValueError(
                "X has an integer that is too large for a float. Scale its column."
            ) from None
    rows, *labels = found if y else (found,)
    if rows.dtype not in FLOATS:
        rows = rows.astype(FLOATS[0] if dtype is FLOATS else dtype)
    return (rows, *labels) if y else rows


def target_of_classes(classes: Array) -> Target:
    """The target for y of one column with these classes."""
    return Target("binary" if len(classes) == 2 else "multiclass", classes)


def check_y(y: Any) -> Array:
    """y as a dense array of one column, or of label indicators."""
    if issparse(y):
        y = y.toarray()
    try:
        check_classification_targets(y)
    except TypeError as error:
        raise mixed_labels(y) from error
    if type_of_target(y) == "multiclass-multioutput":
        raise ValueError(
            f"y has the shape {y.shape} and more than two values in a column: several "
            "outputs of several classes are not supported. Fit one classifier for "
            "each column, for example with sklearn.multioutput.MultiOutputClassifier."
        )
    if y.ndim == 2 and y.shape[1] == 1:
        y = column_or_1d(y, warn=True)
    if y.ndim == 2 and not ((y == 0) | (y == 1)).all():
        raise ValueError(
            "y has two values in its columns other than 0 and 1. In a multilabel "
            "problem, give 1 where a row has a label and 0 where it has not."
        )
    checked: Array = y
    return checked


def mixed_labels(y: Any) -> ValueError:
    """What to say of labels that cannot be put in order."""
    kinds = sorted({type(label).__name__ for label in np.ravel(y).tolist()})
    return ValueError(
        f"y has labels of the types {', '.join(kinds)}, which have no order among "
        "them: give all strings, or all numbers."
    )


def infer_target(y: Array) -> Target:
    """What a checked y means, where nothing is known before."""
    if y.ndim == 2:
        return Target("multilabel", np.arange(y.shape[1]))
    return target_of_classes(LabelEncoder().fit(y).classes_)


def check_weight(
    sample_weight: ArrayLike | None, X: Any, name: str = "sample_weight"
) -> Array | None:
    """Finite, non-negative weights with a positive and finite sum, or None."""
    if sample_weight is None:
        return None
    weight = row_weights(sample_weight, X, name)
    check_total(total_of(weight), name)
    return weight


def row_weights(sample_weight: ArrayLike, X: Any, name: str = "sample_weight") -> Array:
    """Finite, non-negative weights, one for each row of X."""
    try:
        # It sums them to see whether they are finite.
        with np.errstate(over="ignore", invalid="ignore"):
            weight: Array = _check_sample_weight(sample_weight, X, dtype=np.float64)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    if (weight < 0).any():
        row = int(np.argmax(weight < 0))
        raise ValueError(
            f"Negative values in {name}: row {row} has {weight[row]}. Weights must be "
            "at least 0."
        )
    return weight


def total_of(weight: Array) -> float:
    """The sum, perhaps infinite."""
    with np.errstate(over="ignore"):
        return float(weight.sum())


def check_total(total: float, name: str) -> None:
    """The total weight is positive and finite."""
    if not 0 < total < math.inf:
        raise ValueError(
            f"The values in {name} add up to {total}; at least one must be positive, "
            "and their sum must be finite."
        )


def class_counts(codes: Array, sample_weight: Array | None, target: Target) -> Array:
    """The rows and the weight of each class, of shape (1, 2, n_classes).

    In multilabel problems those of 0 and of 1 for each label, (n_labels, 2, 2). Counts
    of parts of the rows add up.
    """
    columns, n_classes = codes[:, np.newaxis], len(target.classes)
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
    class_weight: Any, counts: Array, target: Target
) -> tuple[Array, ...]:
    """The weight of each class; in multilabel problems of 0 and 1, for each label.

    'balanced' is total weight / (number of classes * weight of the class). ``counts``
    are those of :func:`class_counts`.
    """
    if target.kind != "multilabel":
        (of_classes,) = counts
        return (_class_factors(class_weight, of_classes, target.classes),)
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


def _times_factors(
    sample_weight: Array | None, codes: Array, factors: tuple[Array, ...]
) -> Array:
    """Each row's weight times the weights of its class or labels."""
    weight = np.ones(len(codes)) if sample_weight is None else sample_weight
    columns = [codes] if codes.ndim == 1 else codes.T
    with np.errstate(over="ignore", under="ignore"):
        for factor, column in zip(factors, columns, strict=True):
            weight = weight * factor[column]
    return weight


def prior_logits(target: Target, class_totals: Array, total_weight: float) -> Array:
    """The logits (n_outputs,) that predict the frequency of each class.

    Frequencies are by weight, and a thousandth is added to each, for a class that has
    no row here.
    """
    frequencies = class_totals / total_weight + 1e-3
    logits: Array = np.log(frequencies)
    if target.kind == "multilabel":
        return logits - np.log(1 + 2e-3 - frequencies)
    logits -= logits[0] if target.kind == "binary" else logits.mean()
    return logits[-target.n_outputs :]


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Validated rows of X with their targets and weights.

    ``rows`` are the rows of X that take part: rows of weight 0 do not, and a split
    names its own. ``y``, ``sample_weight`` as it was given and ``weight``, which has
    the class weights in it, run along all of X; None is for equal weights. The loss
    counts by ``weight``, a scorer by ``sample_weight``.
    """

    X: Any
    y: Array
    sample_weight: Array | None
    weight: Array | None
    rows: Array | None
    target: Target
    factors: tuple[Array, ...] | None = None

    @property
    def _selected(self) -> Any:
        return slice(None) if self.rows is None else self.rows

    def gathered(self) -> tuple[Any, Array, Array | None]:
        """X, y and the sample weights as given, of the rows that take part."""
        rows, weight = self._selected, self.sample_weight
        weight = None if weight is None else weight[rows]
        return self.X[rows], self.target.decode(self.y[rows]), weight

    @property
    def n_rows(self) -> int:
        return self.X.shape[0] if self.rows is None else len(self.rows)

    @property
    def total_weight(self) -> float:
        """The m that divides ``lambd``."""
        if self.weight is None:
            return float(self.n_rows)
        return total_of(self.weight[self._selected])

    def with_factors(self, factors: tuple[Array, ...]) -> TrainingSet:
        """With the weights of the classes or labels, :func:`class_factors`."""
        weight = _times_factors(self.sample_weight, self.y, factors)
        return replace(self, weight=weight, factors=factors)

    def class_totals(self) -> Array:
        """The weight of the rows of each class, or of each label."""
        rows = self._selected
        y = self.y[rows]
        weight = None if self.weight is None else self.weight[rows]
        if self.target.kind != "multilabel":
            return np.bincount(y, weight, len(self.target.classes))
        present: Array = y.sum(axis=0) if weight is None else weight @ y
        return present

    def prior_logits(self) -> Array:
        """The logits (n_outputs,) that predict the frequency of each class."""
        return prior_logits(self.target, self.class_totals(), self.total_weight)

    def split(
        self, fraction: float, random_state: int, part: int = 0, n_parts: int = 1
    ) -> tuple[TrainingSet, TrainingSet]:
        """Training and validation rows, class by class unless multilabel.

        Each class with two rows or more has at least one in validation and one in
        training. A class with a single row stays in training. The validation rows of
        the ``n_parts`` splits with the same seed are others as long as there are any.
        """
        n_validation = validation_rows(self.strata(), fraction)
        return self.split_off(n_validation, random_state, part, n_parts)

    def strata(self) -> Array:
        """How many rows each class has; in multilabel problems, one stratum of all."""
        if self.target.kind == "multilabel":
            return np.array([self.n_rows])
        return np.bincount(self.y[self._selected], minlength=len(self.target.classes))

    def split_off(
        self, n_validation: Array, random_state: int, part: int, n_parts: int
    ) -> tuple[TrainingSet, TrainingSet]:
        """Training rows, and so many rows of each stratum for validation."""
        rows = self.rows
        if rows is None:
            rows = np.arange(self.n_rows, dtype=row_type(self.n_rows))
        codes = np.zeros(len(rows), dtype=np.uint8)
        if self.target.kind != "multilabel":
            codes = self.y[self._selected]
        # One stream for all classes, so that each has its own choice of rows.
        stream = np.random.RandomState(random_state)
        is_validation = np.zeros(len(rows), dtype=bool)
        for code in np.flatnonzero(n_validation):
            members = np.flatnonzero(codes == code)
            n_rows, n_chosen = len(members), n_validation[code]
            chosen = sample_without_replacement(
                n_rows, min(n_parts * n_chosen, n_rows), random_state=stream
            )
            if n_parts > 1:
                # The order of a sample is not always random.
                of_part = np.arange(part * n_chosen, (part + 1) * n_chosen)
                chosen = stream.permutation(chosen).take(of_part, mode="wrap")
            is_validation[members[chosen]] = True
        return (
            replace(self, rows=rows[~is_validation]),
            replace(self, rows=rows[is_validation]),
        )


def validation_rows(n_rows: Array, fraction: float) -> Array:
    """How many of the rows of each stratum are for validation."""
    n_validation: Array = np.maximum(1, np.rint(fraction * n_rows).astype(int))
    n_validation = np.minimum(n_validation, n_rows - 1)
    n_validation[(n_rows < 2) | (fraction == 0)] = 0
    if not n_validation.any():
        raise ValueError(
            f"early_stopping=True with validation_fraction={fraction} leaves no "
            f"rows for validation: there are {n_rows.sum()} rows, and a class needs "
            "two to be split. Give more rows, or set early_stopping=False."
        )
    return n_validation


def training_set(
    X: Any,
    y: Array,
    sample_weight: ArrayLike | None,
    target: Target | None,
    class_weight: Any = None,
) -> TrainingSet:
    """Encode y, apply the class weights and drop the rows of weight 0.

    X and y are validated already; without ``target``, the classes are learnt from
    the rows that are left.
    """
    given = check_weight(sample_weight, X)
    # With class weights, a class that has no weight left is an error.
    every = target is None and class_weight is not None
    if target is None:
        target = infer_target(y if every else with_weight(y, given))
    data = encoded_set(X, y, given, target, every_row=every)
    if class_weight is not None:
        counts = class_counts(data.y, given, target)
        data = data.with_factors(class_factors(class_weight, counts, target))
        check_class_weighted(data.total_weight)
    return data


def with_weight(y: Array, weight: Array | None) -> Array:
    """The y of the rows whose weight is not 0."""
    rows = _positive_rows(weight)
    return y if rows is None else y[rows]


def encoded_set(
    X: Any, y: Array, weight: Array | None, target: Target, *, every_row: bool
) -> TrainingSet:
    """The training set without class weights; the weights are checked already.

    ``every_row`` says that rows of weight 0, too, are of the classes of the target.
    """
    rows = _positive_rows(weight)
    codes = _codes(target, y, None if every_row else rows)
    return TrainingSet(X, codes, weight, weight, rows, target)


def check_class_weighted(total: float) -> None:
    """The total weight is positive and finite, class weights included."""
    check_total(total, "sample_weight times class_weight")


def _codes(target: Target, y: Array, rows: Array | None) -> Array:
    """The codes of the rows that take part, and zeros."""
    if rows is None:
        return target.encode(y)
    kept = target.encode(y[rows])
    codes = np.zeros((len(y), *kept.shape[1:]), dtype=kept.dtype)
    codes[rows] = kept
    return codes


def held_out_rows(
    estimator: Any,
    training: TrainingSet,
    X_val: ArrayLike | Sparse | None = None,
    y_val: ArrayLike | None = None,
    sample_weight_val: ArrayLike | None = None,
) -> TrainingSet | None:
    """The rows for validation as ``fit`` of the estimator takes them."""
    if X_val is None and y_val is None and sample_weight_val is None:
        return None
    if X_val is None or y_val is None:
        raise ValueError(
            "X_val and y_val go together, and sample_weight_val with them: give both, "
            "or none."
        )
    if not estimator.early_stopping:
        raise ValueError(
            "X_val and y_val are for early stopping, but early_stopping=False. Set "
            "early_stopping=True, or leave them out."
        )
    try:
        rows, labels = checked_rows(
            estimator, X_val, y_val, reset=False, dtype=training.X.dtype
        )
    except ValueError as error:
        raise ValueError(f"In X_val and y_val: {error}") from None
    if issparse(rows) and not issparse(training.X):
        # Networks that train together do not take sparse rows.
        rows = rows.toarray()
    return validation_set(rows, labels, sample_weight_val, training)


def validation_set(
    X: Any, y: Array, sample_weight: ArrayLike | None, training: TrainingSet
) -> TrainingSet:
    """The rows ``X_val``, with the classes and class weights of the training set."""
    codes = training.target.encode(y, "y_val")
    given = check_weight(sample_weight, X, "sample_weight_val")
    data = TrainingSet(X, codes, given, given, _positive_rows(given), training.target)
    if training.factors is not None:
        data = data.with_factors(training.factors)
        check_class_weighted(data.total_weight)
    return data


def _positive_rows(weight: Array | None) -> Array | None:
    if weight is None or weight.all():
        return None
    return np.flatnonzero(weight).astype(row_type(len(weight)))


def row_type(n_rows: int) -> type[np.signedinteger[Any]]:
    """Half the size of numpy's own index, for all but giant tables."""
    return np.int32 if n_rows < 2**31 else np.int64
