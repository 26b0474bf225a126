"""X, y and weights → one frozen, validated training set, and its split."""

import math
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import issparse
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils.random import sample_without_replacement
from sklearn.utils.validation import validate_data

from skreg._network import Array
from skreg._network.theta import Layer
from skreg._training.class_weights import class_counts, class_factors, times_factors
from skreg._training.labels import Target, check_y, infer_target
from skreg._training.settings import Shared

# The types that are computed in as they are; others become the first.
FLOATS = (np.float64, np.float32)

# Values of X that are taken at a time for its moments.
_VALUES_AT_ONCE = 2**18

# A deviation of so many units of rounding of the mean is none.
_ROUNDINGS = 10

# Values of sparse columns with such a root mean square stay: those of words say how
# much each counts.
_SPARSE_VALUES = 0.01, 1.0

# A column with a smaller share of values that are not 0 is scaled by those alone: by
# its deviation they would become the larger the rarer they are.
_FILLED = 0.45


class Sparse(Protocol):
    """A matrix or an array of ``scipy.sparse``, for the type hints."""

    def tocsr(self) -> Any:
        """Such as it is in compressed rows."""


def checked_rows(
    estimator: Any,
    X: ArrayLike | Sparse,
    y: ArrayLike,
    *,
    reset: bool,
    dtype: Any = FLOATS,
    name: str = "y",
) -> tuple[Any, Array]:
    """X and y as arrays that an estimator can be fitted to.

    The columns of X are noted in the estimator (``reset``), or are as they were.
    """
    rows = validated_as_floats(estimator, X, dtype=dtype, order="C", reset=reset)
    if issparse(rows) and not rows.has_canonical_format:
        # Dropout of the inputs takes each stored value for one of X.
        rows = rows.copy()
        rows.sum_duplicates()
    labels = check_y(as_numpy(name, y), name)
    check_consistent_length(rows, labels)
    return rows, labels


def validated_as_floats(
    estimator: Any, X: Any, dtype: Any = FLOATS, **check: Any
) -> Any:
    """``validate_data``, without warnings of overflow, and always in a ``dtype`` given.

    It sums X to look for NaN, which may overflow, leaves a pandas table of sparse bools
    in bool, and makes float64 of float32 of polars and pyarrow. ``dtype`` is one of
    ``FLOATS``, or these.
    """
    X = as_numpy("X", X)
    if dtype is FLOATS and hasattr(X, "__arrow_c_stream__"):
        # A table: numpy says what its columns have in common.
        dtype = np.float32 if np.asarray(X[:0]).dtype == np.float32 else FLOATS
    check |= {"accept_sparse": "csr", "dtype": dtype}
    with np.errstate(over="ignore", invalid="ignore"):
        try:
            rows = validate_data(estimator, X, **check)
        except OverflowError:
            raise ValueError(
                "X has an integer that is too large for a float. Scale its column."
            ) from None
    if rows.dtype not in FLOATS:
        rows = rows.astype(FLOATS[0] if dtype is FLOATS else dtype)
    return rows


def as_numpy(name: str, array: Any) -> Any:
    """A tensor of torch or the like as a numpy array; all else as it is."""
    dtype = getattr(array, "dtype", None)
    # Those of numpy and pandas have a kind; a table may have a column called dtype.
    if dtype is None or hasattr(dtype, "kind") or hasattr(array, "columns"):
        return array
    try:
        return np.asarray(array)
    except (TypeError, RuntimeError) as error:
        raise ValueError(
            f"{name} is a {type(array).__name__} of {dtype} that numpy cannot read "
            f"({error}). With torch, give {name}.detach().cpu().float()."
        ) from error


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
    n_rows = X.shape[0]
    sample_weight = as_numpy(name, sample_weight)
    if isinstance(sample_weight, Real):
        sample_weight = np.full(n_rows, sample_weight, dtype=np.float64)
    try:
        # It sums them to see whether they are finite.
        with np.errstate(over="ignore", invalid="ignore"):
            weight: Array = check_array(
                sample_weight, ensure_2d=False, dtype=np.float64, input_name=name
            )
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    if weight.shape != (n_rows,):
        raise ValueError(
            f"{name} has the shape {weight.shape}, but there are {n_rows} rows: give "
            "a 1D array with one weight for each."
        )
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
            f"The values in {name} add up to {total}; at least one must be non-zero, "
            "and their sum must be finite."
        )


class Scaling(NamedTuple):
    """x → (x - mean) / scale of each column; both are of shape (n_features,)."""

    mean: Array
    scale: Array

    def apply(self, X: Any) -> None:
        """Scale rows in place; the mean of sparse ones is 0."""
        if issparse(X):
            X.data /= self.scale[X.indices]
            return
        X -= self.mean
        X /= self.scale

    def fold(self, first: Layer) -> None:
        """W1 / scale and b1 - W1 / scale · mean: the same for rows as they are."""
        W, b = first
        with np.errstate(all="ignore"):
            W /= self.scale
            b -= (W @ self.mean)[:, np.newaxis]

    def unfold(self, first: Layer) -> None:
        """Undo :meth:`fold`."""
        W, b = first
        with np.errstate(all="ignore"):
            b += (W @ self.mean)[:, np.newaxis]
            W *= self.scale


class Rows(Protocol):
    """What training asks of its rows, wherever they lie."""

    @property
    def X(self) -> Any: ...
    @property
    def target(self) -> Target: ...
    @property
    def n_rows(self) -> int: ...
    @property
    def total_weight(self) -> float: ...
    def strata(self) -> Array: ...
    def prior_logits(self) -> Array: ...
    def magnitudes(self) -> Array: ...
    def moments(self, about: Array | None = None) -> Array: ...
    def split(
        self, n_validation: Array, random_state: int, part: int = 0, n_parts: int = 1
    ) -> "tuple[Rows, Rows]": ...


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Validated rows of X with their targets and weights.

    ``rows`` are the rows of X that take part: rows of weight 0 do not, and a split
    names its own. ``y``, ``sample_weight`` as it was given and ``weight``, which has
    the class weights in it, run along all of X; None is for equal weights. The loss
    counts by ``weight``, a scorer by ``sample_weight``. ``total_weight`` is the m that
    divides ``lambd``.
    """

    X: Any
    y: Array
    sample_weight: Array | None
    weight: Array | None
    rows: Array | None
    target: Target
    factors: tuple[Array, ...] | None = None
    n_rows: int = field(init=False)
    total_weight: float = field(init=False)

    def __post_init__(self) -> None:
        n_rows = self.X.shape[0] if self.rows is None else len(self.rows)
        total = float(n_rows)
        if self.weight is not None:
            total = total_of(self.weight[self._selected])
        vars(self).update(n_rows=n_rows, total_weight=total)

    @property
    def _selected(self) -> Any:
        return slice(None) if self.rows is None else self.rows

    def row_numbers(self) -> Array:
        """The rows of X that take part, also if they are all."""
        if self.rows is not None:
            return self.rows
        return np.arange(self.n_rows, dtype=row_type(self.n_rows))

    def gathered(self) -> tuple[Any, Array, Array | None]:
        """X, y and the sample weights as given, of the rows that take part."""
        rows, weight = self._selected, self.sample_weight
        weight = None if weight is None else weight[rows]
        return self.X[rows], self.target.decode(self.y[rows]), weight

    def with_factors(self, factors: tuple[Array, ...]) -> Self:
        """With the weights of the classes or labels, :func:`class_factors`."""
        weight = times_factors(self.sample_weight, self.y, factors)
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

    def strata(self) -> Array:
        """How many rows each class has; in multilabel problems, one stratum of all."""
        if self.target.kind == "multilabel":
            return np.array([self.n_rows])
        return np.bincount(self.y[self._selected], minlength=len(self.target.classes))

    def split(
        self, n_validation: Array, random_state: int, part: int = 0, n_parts: int = 1
    ) -> tuple[Self, Self]:
        """Training rows, and so many rows of each stratum for validation.

        The ``n_parts`` splits with the same seed have different validation rows as
        long as there are enough.
        """
        rows = self.row_numbers()
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

    def magnitudes(self) -> Array:
        """The largest magnitude in each column of X."""
        largest = abs(self.X.max(axis=0)), abs(self.X.min(axis=0))
        if issparse(self.X):
            largest = tuple(row.toarray().ravel() for row in largest)
        magnitudes: Array = np.maximum(*largest)
        return magnitudes

    def moments(self, about: Array | None = None) -> Array:
        """The means of x - about, its square and x ≠ 0, by weight: (3, n_features).

        Those of a column of 0 and 1 about 0 are exactly the same. Of sparse X they are
        about 0 always.
        """
        X, weight = self.X, self.weight
        weight = np.broadcast_to(1.0, X.shape[:1]) if weight is None else weight
        about = np.zeros(X.shape[1]) if about is None else about
        step = 1 + _VALUES_AT_ONCE * X.shape[0] // (1 + X.size)
        total = np.zeros((3, X.shape[1]))
        with np.errstate(all="ignore"):
            for start in range(0, self.n_rows, step):
                some: Any = slice(start, start + step)
                some = some if self.rows is None else self.rows[some]
                total += _moments(X[some], weight[some] / self.total_weight, about)
        return total


def _moments(X: Any, shares: Array, about: Array) -> Array:
    """Σ share (x - about), Σ share (x - about)², Σ share (x ≠ 0); about 0 if sparse."""
    if issparse(X):
        of_rows = shares.repeat(np.diff(X.indptr))
        of_values, n = of_rows * X.data, X.shape[1]
        each = of_values, of_values * X.data, of_rows * (X.data != 0)
        return np.array([np.bincount(X.indices, sums, minlength=n) for sums in each])
    values = X - about
    of_values = values * shares[:, np.newaxis]
    sums = of_values.sum(axis=0), (of_values * values).sum(axis=0), shares @ (X != 0)
    return np.array(sums)


def scaling_of(rows: Rows) -> Scaling | None:
    """What gives each column the mean 0 and the deviation 1, by weight.

    A column that is mostly 0 is divided by the root mean square of its other values,
    a constant column by its magnitude. Columns of 0 and 1 stay as they are, and so do
    those that overflow; None if all do. Sparse X, which would not stay sparse, keeps
    its means.
    """
    dtype = rows.X.dtype
    with np.errstate(all="ignore"):
        means, squares, filled = rows.moments()
        values = np.sqrt(squares / filled)
        if issparse(rows.X):
            least, most = _SPARSE_VALUES
            stays = (least <= values) & (values <= most)
            mean, scale = np.zeros_like(means), np.where(stays, 1, values)
        else:
            # Σ x² - (Σ x)² would cancel where a mean is far from 0.
            rest, variance, _ = rows.moments(means)
            mean = means + rest
            scale = np.sqrt(np.maximum(variance - rest**2, 0))
            least = _ROUNDINGS * np.finfo(dtype).eps * abs(means)
            scale = np.where((scale <= least) | (filled < _FILLED), values, scale)
        mean, scale = mean.astype(dtype), scale.astype(dtype)
        is_finite = np.isfinite([scale, 1 / scale, mean / scale]).all(axis=0)
    is_scaled = is_finite & (means != squares)
    if not is_scaled.any():
        return None
    return Scaling(np.where(is_scaled, mean, 0), np.where(is_scaled, scale, 1))


class Given(NamedTuple):
    """What ``fit`` is given, checked: rows for training, and those for validation."""

    X: Any
    y: Array
    training: TrainingSet
    validation: TrainingSet | None


def given_rows(
    estimator: Shared,
    X: ArrayLike | Sparse,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    X_val: ArrayLike | Sparse | None = None,
    y_val: ArrayLike | None = None,
    sample_weight_val: ArrayLike | None = None,
    *,
    target: Target | None = None,
) -> Given:
    """The rows as ``fit`` of the estimator takes them.

    The columns of X are noted in the estimator, and the classes learnt, unless there is
    a ``target`` from before.
    """
    rows, labels = checked_rows(estimator, X, y, reset=target is None)
    data = training_set(rows, labels, sample_weight, target, estimator.class_weight)
    held_out, validation = None, (X_val, y_val, sample_weight_val)
    if any(each is not None for each in validation):
        held_out = held_out_rows(estimator, data, *validation)
    return Given(rows, labels, data, held_out)


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
    data = encoded_set(X, y, given, target, every_row=every)
    if class_weight is not None:
        target = data.target
        counts = class_counts(data.y, given, len(target.classes))
        factors = class_factors(class_weight, counts, target.kind, target.classes)
        data = data.with_factors(factors)
        check_class_weighted(data.total_weight)
    return data


def with_weight(y: Array, weight: Array | None) -> Array:
    """The y of the rows whose weight is not 0."""
    rows = _positive_rows(weight)
    return y if rows is None else y[rows]


def encoded_set(
    X: Any, y: Array, weight: Array | None, target: Target | None, *, every_row: bool
) -> TrainingSet:
    """The training set without class weights; the weights are checked already.

    ``every_row`` says that rows of weight 0, too, are of the classes of the target.
    """
    rows = _positive_rows(weight)
    labels = y if every_row else with_weight(y, weight)
    if target is None:
        target = infer_target(labels)
    codes = target.encode(labels)
    if len(labels) < len(y):
        # The others have zeros.
        of_rows, codes = codes, np.zeros((len(y), *codes.shape[1:]), codes.dtype)
        codes[rows] = of_rows
    return TrainingSet(X, codes, weight, weight, rows, target)


def check_class_weighted(total: float) -> None:
    """The total weight is positive and finite, class weights included."""
    check_total(total, "sample_weight times class_weight")


def held_out_rows(
    estimator: Shared,
    training: TrainingSet,
    X_val: ArrayLike | Sparse | None = None,
    y_val: ArrayLike | None = None,
    sample_weight_val: ArrayLike | None = None,
) -> TrainingSet:
    """The rows for validation as ``fit`` of the estimator takes them."""
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
            estimator, X_val, y_val, reset=False, dtype=training.X.dtype, name="y_val"
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
