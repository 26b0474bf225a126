"""Small tables whose rows tell which they are, and their batches."""

from itertools import chain

import numpy as np
from numpy.testing import assert_array_equal

from skreg._training.batches import Batches
from skreg._training.early_stopping import validation_rows
from skreg._training.labels import check_y
from skreg._training.rows import training_set

KINDS = ["binary", "multiclass", "multilabel"]


def numbered_rows(n, dtype=np.float64):
    """X of which the first column tells which row it is."""
    return np.column_stack([np.arange(n), -np.arange(n), np.ones(n)]).astype(dtype)


def make_data(y, sample_weight=None, dtype=np.float64, target=None):
    y = check_y(np.asarray(y))
    return training_set(numbered_rows(len(y), dtype), y, sample_weight, target)


def make_batches(data, batch_size, *, chunk_rows=10**6, seed=None):
    generator = None if seed is None else np.random.default_rng(seed)
    return Batches(data, batch_size, chunk_rows=chunk_rows, generator=generator)


def split(data, fraction, seed, part=0, n_parts=1):
    """As early stopping splits the rows."""
    n_validation = validation_rows(data.strata(), fraction)
    return data.split(n_validation, seed, part, n_parts)


def one_epoch(batches):
    """For each batch of an epoch: which rows it has, Y and share, chunks joined."""
    epoch = []
    for n_rows, chunks in batches.epoch():
        parts = [(b.X.copy(), b.Y.copy(), b.share.copy()) for b in chunks]
        X, Y, share = (
            np.concatenate(part, axis=-1) for part in zip(*parts, strict=True)
        )
        rows = X[0].astype(int)
        assert_array_equal(X.T, numbered_rows(rows.max() + 1)[rows])
        assert X.shape[1] == Y.shape[1] == share.shape[0] == n_rows
        epoch.append((rows, Y, share))
    return epoch


def rows_of(part):
    """Which rows of X a part of a split has, as its batches give them."""
    ((rows, _, _),) = one_epoch(make_batches(part, part.n_rows))
    return rows


def rows_by_batch(batches):
    return [rows.tolist() for rows, _, _ in one_epoch(batches)]


def order_of(batches):
    """The rows of an epoch, in their order."""
    return list(chain.from_iterable(rows_by_batch(batches)))


def some_y(kind, n, seed=0):
    rng = np.random.default_rng(seed)
    if kind == "multilabel":
        return np.vstack([np.eye(3), rng.integers(0, 2, size=(n - 3, 3))]).astype(int)
    n_classes = 2 if kind == "binary" else 3
    return np.concatenate(
        [np.arange(n_classes), rng.integers(0, n_classes, n - n_classes)]
    )
