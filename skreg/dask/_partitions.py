"""The partitions of Dask collections → training sets, each where its rows lie.

The functions that run on the workers depend on their arguments alone, so that Dask may
run them again, and anywhere.
"""

import contextlib
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from typing import Any, NamedTuple, Self

import numpy as np
from scipy.sparse import csr_array, issparse
from sklearn.exceptions import DataConversionWarning
from sklearn.utils.validation import validate_data

from skreg._models.classifier import RegularizedMLPClassifier
from skreg._network import Array
from skreg._training.class_weights import class_counts, class_factors
from skreg._training.labels import Target, infer_target
from skreg._training.rows import (
    TrainingSet,
    check_class_weighted,
    check_total,
    checked_rows,
    encoded_set,
    prior_logits,
    row_weights,
    total_of,
    with_weight,
)

# The collections, partition by partition -------------------------------------------


class Collections(NamedTuple):
    """X, y and the weights with the same partitions, and what names the columns."""

    partitions: list[tuple[Any, ...]]
    columns: Any


def collections(X: Any, y: Any, sample_weight: Any) -> Collections:
    X = _collection(X, "X", (2,))
    y = _collection(y, "y", (1, 2))
    if y.ndim == 2 and y.shape[1] == 1:
        warnings.warn(
            "A column-vector y was passed when a 1d array was expected. Please change "
            "the shape of y to (n_samples,), for example y[:, 0].",
            DataConversionWarning,
            stacklevel=5,
        )
        y = y.iloc[:, 0] if hasattr(y, "iloc") else y[:, 0]
    others = [_aligned(X, y, "y")]
    if sample_weight is not None:
        weight = _collection(sample_weight, "sample_weight", (1,))
        others.append(_aligned(X, weight, "sample_weight"))
    columns = X._meta if hasattr(X, "divisions") else None
    # Optimised each by itself, they would no longer share what they are made of, and it
    # would be computed for each.
    blocks = [
        np.ravel(c.to_delayed(optimize_graph=False)).tolist() for c in (X, *others)
    ]
    return Collections(list(zip(*blocks, strict=True)), columns)


def _collection(value: Any, name: str, dimensions: tuple[int, ...]) -> Any:
    """A Dask array whose chunks are whole rows, or a dataframe or series."""
    import dask.array

    is_array = isinstance(value, dask.array.Array)
    if not is_array and not (hasattr(value, "divisions") and hasattr(value, "_meta")):
        raise TypeError(
            f"{name} is of the type {type(value).__name__}, but skreg.dask.fit takes "
            "Dask arrays and dataframes. For data in memory use estimator.fit, or "
            f"make a collection of it: dask.array.from_array({name}, chunks=...)."
        )
    if value.ndim not in dimensions:
        expected = " or ".join(map(str, dimensions))
        advice = "a column for each feature, as in X.reshape(-1, 1) or table[['a']]"
        if name != "X":
            advice = f"one value for each row, as in {name}[:, 0] or table['a']"
        raise ValueError(
            f"{name} has {value.ndim} dimensions; expected {expected}: give {advice}."
        )
    if is_array and value.ndim == 2 and value.numblocks[1] > 1:
        value = value.rechunk({1: -1})
    return value


def _aligned(X: Any, other: Any, name: str) -> Any:
    """The other collection with the partitions of X, as far as they are known."""
    lengths, of_other = _lengths(X), _lengths(other)
    if lengths is not None and of_other is not None:
        if sum(lengths) != sum(of_other):
            raise ValueError(
                f"X has {sum(lengths)} rows, but {name} has {sum(of_other)}."
            )
        return other if lengths == of_other else other.rechunk({0: lengths})
    divisions = [c.divisions for c in (X, other) if getattr(c, "known_divisions", 0)]
    differ = len(divisions) == 2 and divisions[0] != divisions[1]
    if X.npartitions != other.npartitions or differ:
        raise ValueError(
            f"X has {X.npartitions} partitions and {name} has {other.npartitions}"
            f"{', with other divisions' if differ else ''}, and they cannot be matched "
            "without the lengths of them all. Take both from one dataframe, or make "
            "arrays of known lengths: to_dask_array(lengths=True) of a dataframe, "
            "compute_chunk_sizes() of an array."
        )
    return other


def _lengths(collection: Any) -> tuple[int, ...] | None:
    """The rows of each partition of an array, if they are known."""
    if hasattr(collection, "divisions") or np.isnan(collection.chunks[0]).any():
        return None
    return tuple(collection.chunks[0])


# On the workers: from a partition to a training set ---------------------------------


def _size(*arrays: Any) -> int:
    total = 0
    for array in arrays:
        if issparse(array):
            total += _size(array.data, array.indices, array.indptr)
        elif array is not None:
            total += array.nbytes
    return total


@dataclass(frozen=True, eq=False)
class _Checked:
    """The validated rows of a partition; X is None where there are none."""

    index: int
    X: Any = None
    y: Any = None
    weight: Array | None = None
    names: list[str] | None = None

    def __sizeof__(self) -> int:
        # Dask places and spills by it.
        return _size(self.X, self.y, self.weight)


@dataclass(frozen=True, eq=False)
class Held:
    """The training rows of a partition, and after a split those for validation."""

    index: int
    sets: tuple[TrainingSet, ...]

    def __sizeof__(self) -> int:
        whole = self.sets[0]
        return _size(whole.X, whole.y, whole.weight, *(s.rows for s in self.sets))


@contextlib.contextmanager
def _in_partition(index: int) -> Iterator[None]:
    """An error names the partition, counted from 0 as Dask counts."""
    try:
        yield
    except (ValueError, TypeError) as error:
        kind = ValueError if isinstance(error, ValueError) else TypeError
        raise kind(f"In partition {index}: {error}") from None


# Filters are the process's: blocks of several threads could put back each other's.
_one_at_a_time = threading.Lock()


def _checked(index: int, X: Any, y: Any, sample_weight: Any = None) -> _Checked:
    with _one_at_a_time, _in_partition(index), warnings.catch_warnings():
        # A small partition may have a class a row.
        warnings.filterwarnings("ignore", "The number of unique classes")
        for name, other in (("y", y), ("sample_weight", sample_weight)):
            if other is not None and other.shape[0] != X.shape[0]:
                raise ValueError(
                    f"X has {X.shape[0]} rows, but {name} has {other.shape[0]}. Give "
                    "collections whose partitions have the same rows."
                )
        if not X.shape[0]:
            return _Checked(index)
        model = RegularizedMLPClassifier()
        rows, labels = checked_rows(model, X, y, reset=True)
        weight = None
        if sample_weight is not None:
            weight = row_weights(np.asarray(sample_weight), rows)
        names = getattr(model, "feature_names_in_", None)
        names = None if names is None else list(names)
        return _Checked(index, rows, labels, weight, names)


class _Summary(NamedTuple):
    """What the target and the dtype of all rows are made of."""

    partition: int
    n_features: int
    names: list[str] | None
    dtype: Any
    is_sparse: bool
    target: Target
    weight: float


def _summary(part: _Checked, every_row: bool) -> _Summary | None:
    if part.X is None:
        return None
    labels = part.y if every_row else with_weight(part.y, part.weight)
    total = float(len(labels) if part.weight is None else total_of(part.weight))
    X, target = part.X, infer_target(labels)
    return _Summary(
        part.index, X.shape[1], part.names, X.dtype, issparse(X), target, total
    )


def _encoded(part: _Checked, target: Target, dtype: Any, every_row: bool) -> Held:
    with _in_partition(part.index):
        X = part.X.astype(dtype, copy=False)
        rows = encoded_set(X, part.y, part.weight, target, every_row=every_row)
        return Held(part.index, (rows,))


def _counts(part: Held) -> Array:
    (rows,) = part.sets
    return class_counts(rows.y, rows.sample_weight, len(rows.target.classes))


def _weighted(part: Held, factors: tuple[Array, ...]) -> Held:
    (rows,) = part.sets
    return Held(part.index, (rows.with_factors(factors),))


def _split(
    part: Held, n_validation: Array, seed: int, of_splits: tuple[int, int]
) -> Held:
    (rows,) = part.sets
    return Held(part.index, rows.split(n_validation, seed, *of_splits))


def _of_training_rows(part: Held, what: Callable[[TrainingSet], Any]) -> Any:
    return what(part.sets[0])


class _Totals(NamedTuple):
    n_rows: int
    weight: float
    of_classes: Array
    strata: Array


def _totals(part: Held, which: int) -> _Totals:
    rows = part.sets[which]
    return _Totals(rows.n_rows, rows.total_weight, rows.class_totals(), rows.strata())


# The rows of all workers, as a run of training takes them ---------------------------


class WorkerRows:
    """The rows that lie in the sets ``which`` of the partitions.

    ``X`` has none of them: it tells the number of columns and the dtype.
    """

    def __init__(
        self, client: Any, parts: list[Any], which: int, target: Target, X: Array
    ) -> None:
        totals = client.gather(tasks(client, _totals, parts, which=which))
        some = [(p, t) for p, t in zip(parts, totals, strict=True) if t.n_rows]
        self.client = client
        self.which = which
        self.target = target
        self.X = X
        self.parts = [part for part, _ in some]
        self.totals = [of_part for _, of_part in some]
        self.rows_of_parts = np.array([t.n_rows for t in self.totals], dtype=int)
        self.n_rows = int(self.rows_of_parts.sum())
        with np.errstate(over="ignore"):
            self.total_weight = float(sum(t.weight for t in self.totals))

    def prior_logits(self) -> Array:
        """The logits (n_outputs,) that predict the frequency of each class."""
        totals = np.sum([t.of_classes for t in self.totals], axis=0)
        return prior_logits(self.target, totals, self.total_weight)

    def magnitudes(self) -> Array:
        """The largest magnitude in each column of X."""
        magnitudes: Array = reduce(np.maximum, self._gathered(TrainingSet.magnitudes))
        return magnitudes

    def moments(self, about: Array | None = None) -> Array:
        """The means of x - about, its square and x ≠ 0, by weight: (3, n_features)."""
        found = self._gathered(partial(TrainingSet.moments, about=about))
        shares = [of_part.weight / self.total_weight for of_part in self.totals]
        moments: Array = np.average(found, axis=0, weights=shares)
        return moments

    def _gathered(self, function: Callable[[TrainingSet], Any]) -> list[Any]:
        """What a function gives for the training rows of each partition."""
        parts = tasks(self.client, _of_training_rows, self.parts, what=function)
        found: list[Any] = self.client.gather(parts)
        return found

    def split(
        self, n_validation: Array, seed: int, part: int = 0, n_parts: int = 1
    ) -> tuple[Self, Self]:
        """Training rows, and so many rows of each stratum for validation.

        Each partition gives its part of them.
        """
        of_parts = [of_part.strata for of_part in self.totals]
        before = np.cumsum([np.zeros_like(of_parts[0]), *of_parts], 0)
        n_rows = before[-1]
        # Their product may be beyond int64.
        edges = before.astype(object) * n_validation // np.maximum(n_rows, 1)
        edges = edges.astype(np.int64)
        firsts = np.cumsum(self.rows_of_parts) - self.rows_of_parts
        seeds = [seed_of(seed, first) for first in firsts.tolist()]
        counts = list(np.diff(edges, axis=0))
        parts = tasks(
            self.client, _split, self.parts, counts, seeds, of_splits=(part, n_parts)
        )
        of_set = partial(type(self), self.client, parts, target=self.target, X=self.X)
        return of_set(which=0), of_set(which=1)

    def strata(self) -> Array:
        """How many rows each class has; in multilabel problems, one stratum of all."""
        strata: Array = np.sum([of_part.strata for of_part in self.totals], axis=0)
        return strata


def seed_of(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def rows_on_workers(
    client: Any, estimator: RegularizedMLPClassifier, given: Collections, goes_on: bool
) -> WorkerRows:
    """Validate the partitions where they lie, learn the classes, and encode them."""
    from dask.delayed import delayed

    check = delayed(_checked, pure=False)
    checked = client.compute(
        [check(index, *blocks) for index, blocks in enumerate(given.partitions)]
    )
    class_weight = estimator.class_weight
    every_row = class_weight is not None and not goes_on
    summaries = tasks(client, _summary, checked, every_row=every_row)
    _raise_first(summaries)
    summaries = client.gather(summaries)
    some = [summary for summary in summaries if summary is not None]
    if not some:
        raise ValueError(
            f"Found no rows in the {len(summaries)} partitions of X; at least one is "
            "needed."
        )
    check_total(sum(summary.weight for summary in some), "sample_weight")
    n_features = _same_columns(some)
    dtype = np.result_type(*(summary.dtype for summary in some))
    of_kind = csr_array if any(summary.is_sparse for summary in some) else np.empty
    X = of_kind((0, n_features), dtype=dtype)
    columns = X if given.columns is None else given.columns
    validate_data(estimator, columns, skip_check_array=True, reset=not goes_on)
    target = estimator._target if goes_on else _union(some)
    parts = [checked[summary.partition] for summary in some]
    parts = tasks(
        client, _encoded, parts, target=target, dtype=dtype, every_row=every_row
    )
    if goes_on:
        # A class may be unknown.
        _raise_first(parts)
    if class_weight is not None:
        counts = sum(client.gather(tasks(client, _counts, parts)))
        factors = class_factors(class_weight, counts, target.kind, target.classes)
        parts = tasks(client, _weighted, parts, factors=factors)
    rows = WorkerRows(client, parts, 0, target, X)
    check_class_weighted(rows.total_weight)
    return rows


def tasks(
    client: Any, function: Callable[..., Any], *lists: Sequence[Any], **same: Any
) -> list[Any]:
    """The futures of a task for each entry of the lists."""
    # Not as keywords of map: a large one would have its own name for a key, and so be
    # taken for that of another call.
    futures: list[Any] = client.map(partial(function, **same), *lists, pure=False)
    return futures


def _raise_first(futures: list[Any]) -> None:
    """Of the errors of several partitions, raise that of the first."""
    for future in futures:
        if future.exception() is not None:
            future.result()


def _same_columns(summaries: Sequence[_Summary]) -> int:
    first = summaries[0]
    for other in summaries[1:]:
        where = f"Partition {other.partition} of X has", f"partition {first.partition}"
        if other.n_features != first.n_features:
            raise ValueError(
                f"{where[0]} {other.n_features} columns, but {where[1]} has "
                f"{first.n_features}."
            )
        if other.names != first.names:
            raise ValueError(
                f"{where[0]} the columns {other.names}, but {where[1]} has "
                f"{first.names}: name and order them alike."
            )
    return first.n_features


def _union(summaries: Sequence[_Summary]) -> Target:
    """The target of all partitions, each of which may lack some of the classes."""
    targets = [summary.target for summary in summaries]
    n_classes = {len(target.classes) for target in targets}
    if targets[0].kind == "multilabel":
        if len(n_classes) > 1:
            raise ValueError(
                f"The partitions of y have different numbers of labels: {n_classes}."
            )
        return targets[0]
    some = [summary for summary in summaries if len(summary.target.classes)]
    first = some[0].target.classes
    for summary in some[1:]:
        classes = summary.target.classes
        if _kind_of(classes) != _kind_of(first):
            raise ValueError(
                f"Partition {summary.partition} of y has classes such as "
                f"{classes.tolist()[0]!r}, but partition {some[0].partition} such as "
                f"{first.tolist()[0]!r}. Make all labels strings, or all of them "
                "numbers."
            )
    return infer_target(np.concatenate([each.target.classes for each in some]))


def _kind_of(classes: Array) -> str:
    """The kinds of dtypes that have an order with this one."""
    kind = classes.dtype.kind
    return next(kinds for kinds in ("biuf", "UO", kind) if kind in kinds)
