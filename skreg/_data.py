"""X, y and weights → one frozen, validated training set; its split and its batches."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import LabelEncoder
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import _check_sample_weight

from skreg._objective import Batch

Array = NDArray[Any]


class Target(NamedTuple):
    """What y means: ``kind`` is 'binary', 'multiclass' or 'multilabel'.

    One class only is 'multiclass' with one output, whose softmax is one everywhere.
    """

    kind: str
    classes: Array

    @property
    def n_outputs(self) -> int:
        return 1 if self.kind == "binary" else len(self.classes)

    def encode(self, y: Array) -> Array:
        """Class codes (n_samples,), or label indicators (n_samples, n_labels)."""
        if self.kind == "multilabel":
            if y.ndim != 2 or y.shape[1] != len(self.classes):
                raise ValueError(
                    f"y has the shape {y.shape}, but the model has "
                    f"{len(self.classes)} labels: give y of shape "
                    f"(n_samples, {len(self.classes)})."
                )
            return y.astype(np.uint8)
        if y.ndim != 1:
            raise ValueError(
                f"y has the shape {y.shape}, but the model was fitted to the classes "
                f"{self.classes}: give y of shape (n_samples,)."
            )
        encoder = LabelEncoder()
        encoder.classes_ = self.classes
        try:
            codes: Array = encoder.transform(y)
        except (ValueError, TypeError):
            unseen = sorted(set(y.tolist()) - set(self.classes.tolist()), key=str)
            raise ValueError(
                f"y has the classes {unseen[:10]}, which are not among the classes "
                f"{self.classes} that the model knows. Name all classes in the first "
                "call of partial_fit, or fit anew with warm_start=False."
            ) from None
        return codes

    def decode(self, decisions: Array) -> Array:
        """Class codes (n_samples,) → classes; indicators stay what they are."""
        if self.kind == "multilabel":
            return decisions.astype(np.int64)
        decoded: Array = self.classes[decisions.astype(np.intp)]
        return decoded


def target_of_classes(classes: Array) -> Target:
    """The target for y of one column with these classes."""
    return Target("binary" if len(classes) == 2 else "multiclass", classes)


def check_y(y: Any) -> Array:
    """y as a dense array of one column, or of label indicators."""
    if issparse(y):
        y = y.toarray()
    check_classification_targets(y)
    if type_of_target(y) == "multiclass-multioutput":
        raise ValueError(
            f"y has the shape {y.shape} and more than two values in a column: several "
            "outputs of several classes are not supported. Fit one classifier for "
            "each column, for example with sklearn.multioutput.MultiOutputClassifier."
        )
    if y.ndim == 2 and y.shape[1] == 1:
        y = column_or_1d(y, warn=True)
    checked: Array = y
    return checked


def infer_target(y: Array) -> Target:
    """What a checked y means, where nothing is known before."""
    if y.ndim == 2:
        return Target("multilabel", np.arange(y.shape[1]))
    return target_of_classes(LabelEncoder().fit(y).classes_)


def check_weight(sample_weight: ArrayLike | None, X: Array) -> Array | None:
    """Finite, non-negative weights with a positive and finite sum, or None."""
    if sample_weight is None:
        return None
    weight: Array = _check_sample_weight(sample_weight, X, dtype=np.float64)
    if (weight < 0).any():
        row = int(np.argmax(weight < 0))
        raise ValueError(
            "Negative values in sample_weight: row "
            f"{row} has {weight[row]}. Weights must be at least 0."
        )
    with np.errstate(over="ignore"):
        total = weight.sum()
    if not 0 < total < math.inf:
        raise ValueError(
            f"The values in sample_weight add up to {total}; at least one must be "
            "positive, and their sum must be finite."
        )
    return weight


@dataclass(frozen=True)
class TrainingSet:
    """Validated rows of X with their targets and weights.

    ``rows`` are the rows of X that take part: rows of weight 0 do not, and a split
    names its own. ``y`` and ``weight`` (None for equal weights) run along all of X.
    """

    X: Array
    y: Array
    weight: Array | None
    rows: NDArray[np.intp] | None
    target: Target

    @property
    def n_rows(self) -> int:
        return self.X.shape[0] if self.rows is None else len(self.rows)

    @property
    def total_weight(self) -> float:
        """The m that divides ``lambd``."""
        if self.weight is None:
            return float(self.n_rows)
        weight = self.weight if self.rows is None else self.weight[self.rows]
        return float(weight.sum())

    def split(
        self, fraction: float, random_state: int
    ) -> tuple[TrainingSet, TrainingSet]:
        """Training and validation rows, stratified unless multilabel.

        A class with a single row stays in training; validation has at least as many
        rows as there are other classes.
        """
        rows = np.arange(self.n_rows) if self.rows is None else self.rows
        n_validation = math.ceil(fraction * len(rows))
        alone = np.zeros(len(rows), dtype=bool)
        stratify, n_strata = None, 1
        if self.target.kind != "multilabel":
            codes = self.y[rows]
            counts = np.bincount(codes)
            alone = counts[codes] < 2
            stratify = codes[~alone]
            n_strata = int((counts >= 2).sum())
        most = int((~alone).sum()) - n_strata
        if most < 1 or n_strata < 1 or fraction == 0:
            raise ValueError(
                f"early_stopping=True with validation_fraction={fraction} leaves no "
                f"rows for validation: there are {len(rows)} rows, and a class needs "
                "two to be split. Give more rows, or set early_stopping=False."
            )
        train, validation = train_test_split(
            rows[~alone],
            test_size=min(max(n_validation, n_strata), most),
            random_state=random_state,
            stratify=stratify,
        )
        train = np.sort(np.concatenate([train, rows[alone]]))
        return replace(self, rows=train), replace(self, rows=np.sort(validation))


def training_set(
    X: Array, y: Array, sample_weight: ArrayLike | None, target: Target | None
) -> TrainingSet:
    """Encode y and drop the rows of weight 0.

    X and y are validated already; without ``target``, the classes are learnt from
    the rows that are left.
    """
    weight = check_weight(sample_weight, X)
    rows = None
    if weight is not None and not weight.all():
        rows = np.flatnonzero(weight)
    if target is None:
        target = infer_target(y if rows is None else y[rows])
    if rows is None:
        return TrainingSet(X, target.encode(y), weight, None, target)
    kept = target.encode(y[rows])
    codes = np.zeros((len(y), *kept.shape[1:]), dtype=kept.dtype)
    codes[rows] = kept
    return TrainingSet(X, codes, weight, rows, target)


class _Buffers(NamedTuple):
    """Where the rows of a chunk are gathered."""

    X: Array
    y: Array
    Y: Array
    share: Array


class Batches:
    """The rows of a training set in near-equal batches, cut into chunks.

    There are ⌈n / batch_size⌉ batches, whose sizes differ by one at most. Each epoch
    shuffles the rows if a ``generator`` is given and there is more than one batch.
    """

    def __init__(
        self,
        data: TrainingSet,
        batch_size: int,
        *,
        chunk_rows: int,
        generator: np.random.Generator | None = None,
    ) -> None:
        self.n_rows = data.n_rows
        n_batches = -(-self.n_rows // batch_size)
        self._edges = [i * self.n_rows // n_batches for i in range(n_batches + 1)]
        self._chunk_rows = chunk_rows
        self._data = data
        self._generator = generator if n_batches > 1 else None
        # Without it, chunks are slices of X, and nothing is gathered.
        self._order: Array | None = None
        if data.rows is not None:
            self._order = data.rows.copy()
        elif self._generator is not None:
            self._order = np.arange(self.n_rows)
        dtype = data.X.dtype
        self._weight = None
        if data.weight is not None:
            mean = data.total_weight / data.n_rows
            self._weight = (data.weight / mean).astype(dtype)
        # What a class code is compared with to make Y: 1 for binary, 0, 1, … otherwise.
        first = 1 if data.target.kind == "binary" else 0
        self._codes = np.arange(first, first + data.target.n_outputs)[:, np.newaxis]
        self._buffers: dict[int, _Buffers] = {}

    def epoch(self) -> Iterator[tuple[int, Iterator[Batch]]]:
        """Each batch's number of rows and its chunks, which share buffers."""
        if self._generator is not None and self._order is not None:
            self._generator.shuffle(self._order)
        for start, stop in zip(self._edges, self._edges[1:], strict=False):
            yield stop - start, self._chunks(start, stop)

    def _chunks(self, start: int, stop: int) -> Iterator[Batch]:
        for first in range(start, stop, self._chunk_rows):
            yield self._chunk(
                first, min(first + self._chunk_rows, stop), 1 / (stop - start)
            )

    def _chunk(self, first: int, last: int, equal_share: float) -> Batch:
        data, size = self._data, last - first
        buffers = self._buffers.get(size) or self._new_buffers(size)
        X, y, Y, share = buffers
        if self._order is None:
            X, y = data.X[first:last], data.y[first:last]
            if self._weight is not None:
                np.multiply(self._weight[first:last], equal_share, out=share)
        else:
            rows = self._order[first:last]
            # mode="clip" spares numpy a buffer; the rows are in range anyway.
            np.take(data.X, rows, axis=0, out=X, mode="clip")
            np.take(data.y, rows, axis=0, out=y, mode="clip")
            if self._weight is not None:
                np.take(self._weight, rows, out=share, mode="clip")
                share *= equal_share
        if self._weight is None:
            share.fill(equal_share)
        if data.target.kind == "multilabel":
            np.copyto(Y, y.T)
        else:
            np.equal(self._codes, y, out=Y)
        return Batch(X.T, Y, share)

    def _new_buffers(self, size: int) -> _Buffers:
        X, y = self._data.X, self._data.y
        gathered = 0 if self._order is None else size
        buffers = _Buffers(
            X=np.empty((gathered, X.shape[1]), dtype=X.dtype),
            y=np.empty((gathered, *y.shape[1:]), dtype=y.dtype),
            Y=np.empty((self._data.target.n_outputs, size), dtype=X.dtype),
            share=np.empty(size, dtype=X.dtype),
        )
        self._buffers[size] = buffers
        return buffers
