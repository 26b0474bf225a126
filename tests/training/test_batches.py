"""The batches of an epoch, their chunks, Y and shares."""

import math
import tracemalloc
from collections import Counter
from itertools import chain

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from tables import (
    KINDS,
    make_batches,
    make_data,
    numbered_rows,
    one_epoch,
    order_of,
    rows_by_batch,
    some_y,
    split,
)

from skreg._training.batches import Batches
from skreg._training.labels import check_y
from skreg._training.rows import training_set


@given(
    n=st.integers(1, 60),
    batch_size=st.integers(1, 70),
    chunk_rows=st.integers(1, 70),
    seed=st.one_of(st.none(), st.integers(0, 100)),
    without_some=st.booleans(),
)
def test_every_row_is_in_one_of_the_near_equal_batches(
    n, batch_size, chunk_rows, seed, without_some
):
    weight, kept = None, np.arange(n)
    if without_some:
        weight = (np.arange(n) % 3 != 1).astype(float)
        kept = np.flatnonzero(weight)
    data = make_data(np.arange(n) % 2, weight)
    batches = make_batches(data, batch_size, chunk_rows=chunk_rows, seed=seed)
    assert batches.n_rows == data.n_rows == len(kept)
    expected = sorted(reference.near_equal_sizes(len(kept), batch_size))
    for _ in range(2):
        found = rows_by_batch(batches)
        sizes = [len(rows) for rows in found]
        assert sorted(sizes) == expected
        assert len(sizes) == math.ceil(len(kept) / batch_size)
        assert max(sizes) - min(sizes) <= 1
        assert max(sizes) <= batch_size
        assert sorted(chain.from_iterable(found)) == kept.tolist()


def test_no_tiny_last_batch():
    sizes = [len(rows) for rows in rows_by_batch(make_batches(make_data([0] * 7), 6))]
    assert sorted(sizes) == [3, 4]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("chunk_rows", [1, 3, 4, 7])
def test_chunks_add_up_to_their_batch(kind, chunk_rows, weighted):
    y = some_y(kind, 23)
    weight = np.random.default_rng(1).uniform(0.1, 4, 23) if weighted else None
    data = make_data(y, weight)
    for seed in (None, 5):
        whole = one_epoch(make_batches(data, 8, seed=seed))
        cut = make_batches(data, 8, chunk_rows=chunk_rows, seed=seed)
        for n_rows, chunks in cut.epoch():
            sizes = [chunk.X.shape[1] for chunk in chunks]
            assert sum(sizes) == n_rows
            assert max(sizes) <= chunk_rows
        cut = make_batches(data, 8, chunk_rows=chunk_rows, seed=seed)
        for a, b in zip(whole, one_epoch(cut), strict=True):
            for found, expected in zip(a, b, strict=True):
                assert_array_equal(found, expected)


@pytest.mark.parametrize("weight", [None, np.r_[0.0, np.ones(29)]])
def test_shuffling_differs_between_epochs_and_comes_from_the_generator_alone(weight):
    data = make_data(np.arange(30) % 2, weight)
    batches, twin = make_batches(data, 7, seed=3), make_batches(data, 7, seed=3)
    other = make_batches(data, 7, seed=4)
    np.random.seed(1)  # noqa: NPY002
    epochs = [rows_by_batch(batches) for _ in range(3)]
    np.random.seed(2)  # noqa: NPY002
    assert [rows_by_batch(twin) for _ in range(3)] == epochs
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]
    assert rows_by_batch(other) != epochs[0]
    # Not the same batches in another order.
    assert {frozenset(b) for b in epochs[0]}.isdisjoint(map(frozenset, epochs[1]))


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=5)
def test_shuffling_leaves_the_global_stream_alone(seed):
    np.random.seed(seed)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    batches = make_batches(make_data([0, 1] * 9), 5, seed=0)
    one_epoch(batches)
    one_epoch(batches)
    split(make_data([0, 1] * 9), 0.3, 0)
    assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_every_order_of_rows_is_about_equally_frequent():
    batches = make_batches(make_data([0, 1, 0]), 1, seed=0)
    orders = Counter(tuple(order_of(batches)) for _ in range(1200))
    assert len(orders) == 6
    # Each is expected 200 times, with a standard deviation of 13.
    assert min(orders.values()) > 130
    assert max(orders.values()) < 270


def test_two_sets_of_batches_do_not_disturb_each_other():
    data = make_data([0, 1] * 10)
    first, second = make_batches(data, 6, seed=1), make_batches(data, 6)
    rows_by_batch(first)
    assert order_of(second) == list(range(20))
    assert_array_equal(data.X, numbered_rows(20))


def test_one_batch_is_never_shuffled():
    """Its order would change the result by rounding alone."""
    generator = np.random.default_rng(0)
    before = generator.bit_generator.state
    data = make_data([0, 1, 0, 1, 1])
    batches = Batches(data, 5, chunk_rows=10, generator=generator)
    for _ in range(2):
        assert rows_by_batch(batches) == [[0, 1, 2, 3, 4]]
    assert generator.bit_generator.state == before
    rows_by_batch(Batches(data, 4, chunk_rows=10, generator=generator))
    assert generator.bit_generator.state != before


@pytest.mark.parametrize("chunk_rows", [2, 100])
@pytest.mark.parametrize("batch_size", [4, 11])
def test_without_shuffling_the_chunks_are_slices_of_X(chunk_rows, batch_size):
    weight = np.linspace(1, 2, 11)
    data = make_data([0, 1] * 5 + [0], weight)
    batches = make_batches(data, batch_size, chunk_rows=chunk_rows)
    start = 0
    for _, chunks in batches.epoch():
        for chunk in chunks:
            stop = start + chunk.X.shape[1]
            assert np.shares_memory(chunk.X, data.X)
            assert_array_equal(chunk.X, numbered_rows(11)[start:stop].T)
            start = stop
    assert start == 11


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("seed", [None, 0])
def test_without_weights_the_shares_of_each_batch_sum_to_one(dtype, seed):
    data = make_data([0, 1] * 15, dtype=dtype)
    for rows, _, share in one_epoch(make_batches(data, 7, chunk_rows=4, seed=seed)):
        assert share.dtype == dtype
        assert_allclose(share, 1 / len(rows), rtol=np.finfo(dtype).eps)
        assert_allclose(share.sum(dtype=float), 1, rtol=8 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1.0, 1e-200, 1e200])
@pytest.mark.parametrize("seed", [None, 0])
def test_weights_are_normalised_once_to_a_mean_of_one_over_the_rows(dtype, scale, seed):
    weight = np.random.default_rng(0).uniform(0.5, 3, 20)
    weight[[2, 5, 11]] = 0
    kept = np.flatnonzero(weight)
    data = make_data([0, 1] * 10, scale * weight, dtype)
    batches = make_batches(data, 6, chunk_rows=4, seed=seed)
    rtol = 4 * np.finfo(dtype).eps
    total = 0.0
    for rows, _, share in one_epoch(batches):
        assert share.dtype == dtype
        normalised = weight[rows] * len(kept) / weight.sum()
        assert_allclose(share, normalised / len(rows), rtol=rtol)
        total += len(rows) * share.sum(dtype=float)
    assert_allclose(total, len(kept), rtol=rtol)


def test_a_split_normalises_the_weights_of_each_part_over_its_own_rows():
    weight = np.random.default_rng(0).uniform(0.5, 3, 40)
    for part in split(make_data([0, 1] * 20, weight), 0.3, 0):
        ((rows, _, share),) = one_epoch(make_batches(part, 40))
        assert_allclose(share, weight[rows] / weight[rows].sum(), rtol=1e-14)
        assert part.total_weight == pytest.approx(weight[rows].sum(), rel=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("seed", [None, 0])
@pytest.mark.parametrize("kind", KINDS)
def test_Y_is_made_from_the_codes(kind, seed, dtype):
    y = some_y(kind, 23)
    data = make_data(y, dtype=dtype)
    assert data.target.kind == kind
    for rows, Y, _ in one_epoch(make_batches(data, 8, chunk_rows=5, seed=seed)):
        assert Y.dtype == dtype
        if kind == "binary":
            expected = y[np.newaxis, rows]
        elif kind == "multiclass":
            expected = [[int(y[row] == k) for row in rows] for k in range(3)]
        else:
            expected = y[rows].T
        assert_array_equal(Y, expected)


def test_Y_of_one_class_is_one_row_of_ones():
    ((_, Y, _),) = one_epoch(make_batches(make_data(["a"] * 4), 4))
    assert_array_equal(Y, np.ones((1, 4)))


# Batches that come again -------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_batches_of_the_buffers_come_again_with_other_rows(kind, weighted):
    """Many more batches than are gathered together, of two sizes."""
    n = 700
    weight = np.random.default_rng(1).uniform(0.1, 4, n) if weighted else None
    batches = make_batches(make_data(some_y(kind, n), weight), 7, seed=0)
    seen, rows, y = {}, [], some_y(kind, n)
    for _ in range(2):
        for n_rows, (batch,) in batches.epoch():
            assert batch.steady
            assert batch.X.shape[1] == batch.share.shape[0] == n_rows
            assert seen.setdefault(id(batch), batch) is batch
            index = batch.X[0].astype(int)
            expected = 1.0 if weight is None else weight[index] / weight.mean()
            assert_allclose(batch.share * n_rows, expected, rtol=1e-12)
            labels = (y[index] if kind == "multilabel" else np.eye(3)[y[index]]).T
            assert_array_equal(batch.Y, labels[1:2] if kind == "binary" else labels)
            rows.append(tuple(index))
    assert len(seen) < 100 < len(set(rows)) == len(rows) == 200


def test_one_batch_of_all_rows_comes_again():
    batches = make_batches(make_data([0, 1, 1]), 3)
    first, second = ([*chunks] for _ in range(2) for _, chunks in batches.epoch())
    assert first[0] is second[0]
    assert first[0].steady


@pytest.mark.parametrize("chunk_rows", [2, 100])
def test_slices_of_X_do_not_come_again(chunk_rows):
    """There may be as many of them as X has rows."""
    batches = make_batches(make_data([0, 1] * 10), 5, chunk_rows=chunk_rows)
    assert not any(chunk.steady for _, chunks in batches.epoch() for chunk in chunks)


@pytest.mark.parametrize("n_columns", [3, 200_000])
def test_what_is_gathered_is_bounded(n_columns):
    """32 batches, or a megabyte; one batch may be larger."""
    n, batch_size = 300, 4
    X = np.zeros((n, n_columns), dtype=np.float32)
    data = training_set(X, check_y(np.arange(n) % 2), None, None)
    batches = make_batches(data, batch_size, seed=0)
    one_batch = batch_size * X[0].nbytes
    tracemalloc.start()
    sizes = {id(b): b.X.base.nbytes for _, (b,) in batches.epoch()}
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert max(sizes.values()) == (32 * one_batch if n_columns == 3 else one_batch)
    assert peak < max(sizes.values()) + 200_000


@pytest.mark.parametrize(
    ("batch_size", "chunk_rows", "expected"), [(7, 100, 7), (7, 4, 4), (20, 100, 20)]
)
def test_the_rows_of_the_largest_chunk(batch_size, chunk_rows, expected):
    batches = make_batches(make_data([0, 1] * 10), batch_size, chunk_rows=chunk_rows)
    assert batches.most_rows == expected
    sizes = [c.X.shape[1] for _, chunks in batches.epoch() for c in chunks]
    assert max(sizes) <= batches.most_rows


def test_a_sparse_table_gives_its_own_rows():
    y = np.arange(40) % 3
    rng = np.random.default_rng(0)
    X = sparse.csr_array(rng.normal(size=(40, 9)) * (rng.uniform(size=(40, 9)) < 0.3))
    for seed in (None, 3):
        data = training_set(X, check_y(y), None, None)
        dense = training_set(X.toarray(), check_y(y), None, None)
        pairs = zip(
            make_batches(data, 7, seed=seed).epoch(),
            make_batches(dense, 7, seed=seed).epoch(),
            strict=True,
        )
        for (_, chunks), (_, expected) in pairs:
            for a, b in zip(chunks, expected, strict=True):
                assert_array_equal(a.X.toarray(), b.X)
                assert_array_equal(a.Y, b.Y)
