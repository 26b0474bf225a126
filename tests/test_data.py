"""The training set: labels, weights, the validation split, and the batches."""

import math
import re
import warnings
from collections import Counter
from itertools import chain

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.exceptions import DataConversionWarning

from skreg._data import (
    Batches,
    Target,
    check_weight,
    check_y,
    infer_target,
    target_of_classes,
    training_set,
)

# Set-up ------------------------------------------------------------------------------


def numbered_rows(n, dtype=np.float64):
    """X of which the first column tells which row it is."""
    return np.column_stack([np.arange(n), -np.arange(n), np.ones(n)]).astype(dtype)


def make_data(y, sample_weight=None, dtype=np.float64, target=None):
    y = check_y(np.asarray(y))
    return training_set(numbered_rows(len(y), dtype), y, sample_weight, target)


def make_batches(data, batch_size, *, chunk_rows=10**6, seed=None):
    generator = None if seed is None else np.random.default_rng(seed)
    return Batches(data, batch_size, chunk_rows=chunk_rows, generator=generator)


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


KINDS = ["binary", "multiclass", "multilabel"]

# Batches -----------------------------------------------------------------------------


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
    make_data([0, 1] * 9).split(0.3, 0)
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
    for part in make_data([0, 1] * 20, weight).split(0.3, 0):
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


# Weights -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "weight",
    [
        pytest.param([1, -1, 1, 1], id="negative"),
        pytest.param([1, -1e-300, 1, 1], id="barely negative"),
        pytest.param([1, np.nan, 1, 1], id="nan"),
        pytest.param([1, np.inf, 1, 1], id="inf"),
        pytest.param([1, -np.inf, 1, 1], id="minus inf"),
        pytest.param([0, 0, 0, 0], id="all zero"),
        pytest.param([1e308] * 4, id="sum overflows"),
        pytest.param([1, 1, 1], id="too short"),
        pytest.param([1, 1, 1, 1, 1], id="too long"),
    ],
)
def test_bad_weights_are_refused_by_name(weight):
    with pytest.raises(ValueError, match="sample_weight"):
        check_weight(weight, numbered_rows(4))
    with pytest.raises(ValueError, match="sample_weight"):
        make_data([0, 1, 0, 1], weight)


def test_a_negative_weight_is_shown_with_its_row():
    with pytest.raises(ValueError, match=r"row 2 has -0\.5"):
        check_weight([1, 1, -0.5, 1], numbered_rows(4))


def test_good_weights_come_back_in_float64():
    X = numbered_rows(3, np.float32)
    assert check_weight(None, X) is None
    for weight in ([0, 2, 1], np.array([0, 2, 1], dtype=np.float32), [0.0, 2.0, 1.0]):
        found = check_weight(weight, X)
        assert found.dtype == np.float64
        assert_array_equal(found, [0, 2, 1])
    assert_array_equal(check_weight([1e308, 1e307, 0], X), [1e308, 1e307, 0])


def test_rows_of_weight_zero_leave_the_set_and_their_classes_do_too():
    y = np.array(["a", "b", "c", "d", "a", "c"])
    data = make_data(y, [1, 0, 2, 0, 0.5, 1])
    assert_array_equal(data.target.classes, ["a", "c"])
    assert data.target.kind == "binary"
    assert data.n_rows == 4
    assert data.total_weight == 4.5
    ((rows, Y, _),) = one_epoch(make_batches(data, 10))
    assert_array_equal(rows, [0, 2, 4, 5])
    assert_array_equal(Y, [[0, 1, 0, 1]])


def test_rows_of_weight_zero_may_leave_one_class():
    data = make_data([3, 4, 3], [1, 0, 1])
    assert_array_equal(data.target.classes, [3])
    assert data.target.kind == "multiclass"


def test_rows_of_weight_zero_may_have_classes_that_the_model_does_not_know():
    known = target_of_classes(np.array(["a", "b", "e"]))
    data = make_data(["a", "z", "e"], [1, 0, 1], target=known)
    assert data.target is known
    ((rows, Y, _),) = one_epoch(make_batches(data, 10))
    assert_array_equal(rows, [0, 2])
    assert_array_equal(Y, [[1, 0], [0, 0], [0, 1]])


def test_labels_of_rows_of_weight_zero_remain():
    """A label without a positive row is a column all the same."""
    data = make_data([[1, 0], [0, 1], [1, 0]], [1, 0, 1])
    assert data.target.n_outputs == 2
    ((rows, Y, _),) = one_epoch(make_batches(data, 10))
    assert_array_equal(rows, [0, 2])
    assert_array_equal(Y, [[1, 1], [0, 0]])


@pytest.mark.parametrize("weight", [None, [2, 2, 2], [0.5, 1.5, 2]])
def test_the_total_weight_is_that_of_the_rows(weight):
    data = make_data([0, 1, 0], weight)
    assert data.n_rows == 3
    assert data.total_weight == (3 if weight is None else sum(weight))


# Labels ------------------------------------------------------------------------------

LABELS = {
    "strings": (np.array(["no", "yes", "maybe", "no"]), "multiclass"),
    "two strings": (np.array(["yes", "no", "no"]), "binary"),
    "ints": (np.array([7, -3, 7, 0]), "multiclass"),
    "two ints": (np.array([5, 3, 5]), "binary"),
    "unsigned": (np.array([5, 250, 5], dtype=np.uint8), "binary"),
    "whole floats": (np.array([2.0, 1.0, 4.0]), "multiclass"),
    "bools": (np.array([True, False, True]), "binary"),
    "one bool": (np.array([True, True]), "multiclass"),
    "objects": (np.array(["b", "a", "c", "a"], dtype=object), "multiclass"),
    "object ints": (np.array([2, 1, 2], dtype=object), "binary"),
    "one class": (np.array(["only", "only"]), "multiclass"),
    "one row": (np.array([3]), "multiclass"),
    "not ASCII": (np.array(["ä", "ß", "ä"]), "binary"),
}


@pytest.mark.parametrize("name", LABELS)
def test_labels_come_back_as_they_were(name):
    y, kind = LABELS[name]
    if y.dtype == object and not isinstance(y[0], str):
        # scikit-learn calls objects that are no strings an unknown kind of target.
        target = infer_target(y)
    else:
        target = infer_target(check_y(y))
    assert target.kind == kind
    assert target.classes.tolist() == sorted(set(y.tolist()))
    assert target.classes.dtype == y.dtype
    assert target.n_outputs == (1 if kind == "binary" else len(target.classes))
    codes = target.encode(y)
    expected = [sorted(set(y.tolist())).index(label) for label in y.tolist()]
    assert codes.tolist() == expected
    decoded = target.decode(codes)
    assert decoded.dtype == y.dtype
    assert decoded.tolist() == y.tolist()


def test_decisions_of_a_binary_model_are_decoded():
    target = target_of_classes(np.array(["no", "yes"]))
    assert_array_equal(
        target.decode(np.array([True, False, True])), ["yes", "no", "yes"]
    )


def test_a_model_may_know_more_classes_than_y_has():
    target = target_of_classes(np.array([1, 3, 5]))
    assert_array_equal(target.encode(np.array([5, 1])), [2, 0])


@pytest.mark.parametrize(
    ("classes", "y", "unseen"),
    [
        pytest.param([0, 1], [0, 2, 3], ["2", "3"], id="ints"),
        pytest.param([0, 1, 2], [0, -1], ["-1"], id="negative"),
        pytest.param(["a", "b"], ["a", "c"], ["'c'"], id="strings"),
        pytest.param([0, 1], ["a", "b"], ["'a'", "'b'"], id="strings for ints"),
        pytest.param(["a", "b"], [0, 1], ["0", "1"], id="ints for strings"),
        pytest.param(["no", "yes"], ["yesterday"], ["'yesterday'"], id="longer"),
        pytest.param([False, True], [0, 2], ["2"], id="ints for bools"),
        pytest.param([0, 2], [2**32, 2], ["4294967296"], id="large"),
    ],
)
def test_labels_that_the_model_does_not_know_are_refused(classes, y, unseen):
    target = target_of_classes(np.array(classes))
    with pytest.raises(ValueError, match="among the classes") as caught:
        target.encode(np.array(y))
    for label in unseen:
        assert label in str(caught.value)


def test_a_long_list_of_unknown_labels_is_cut():
    target = target_of_classes(np.array([0, 1]))
    with pytest.raises(ValueError, match="classes") as caught:
        target.encode(np.arange(1000))
    assert len(str(caught.value)) < 500


def test_the_shape_of_y_has_to_go_with_the_model():
    labels = Target("multilabel", np.arange(3))
    column = target_of_classes(np.array([0, 1]))
    for y in (np.array([0, 1]), np.array([[0, 1]])):
        with pytest.raises(ValueError, match=re.escape(f"y has the shape {y.shape}")):
            labels.encode(y)
    with pytest.raises(ValueError, match=re.escape("y has the shape (1, 3)")):
        column.encode(np.array([[0, 1, 1]]))


@pytest.mark.parametrize(
    "y",
    [
        pytest.param(np.array([0.5, 1.25, 3.0]), id="one column"),
        pytest.param(np.array([[0.5, 1.0], [1.5, 2.0]]), id="two columns"),
    ],
)
def test_a_regression_target_is_refused(y):
    with pytest.raises(ValueError, match=r"continuous"):
        check_y(y)


def test_several_outputs_of_several_classes_are_refused():
    with pytest.raises(ValueError, match="MultiOutputClassifier"):
        check_y(np.array([[0, 1], [2, 3], [1, 1]]))


def test_a_column_is_taken_as_y_with_a_warning():
    with pytest.warns(DataConversionWarning, match="column-vector"):
        y = check_y(np.array([["a"], ["b"]]))
    assert_array_equal(y, ["a", "b"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_array_equal(check_y(np.array(["a", "b"])), ["a", "b"])


@pytest.mark.parametrize("dtype", [int, float, bool, np.uint8])
@pytest.mark.parametrize("form", ["csr_matrix", "csc_array", "coo_array", "dense"])
def test_label_indicators(form, dtype):
    expected = np.array([[1, 0, 0], [0, 0, 1], [1, 1, 0], [0, 0, 0]])
    y = expected.astype(dtype)
    if form != "dense":
        y = getattr(sparse, form)(y)
    checked = check_y(y)
    assert isinstance(checked, np.ndarray)
    target = infer_target(checked)
    assert target.kind == "multilabel"
    assert_array_equal(target.classes, [0, 1, 2])
    assert target.n_outputs == 3
    codes = target.encode(checked)
    assert_array_equal(codes, expected)
    decoded = target.decode(codes.astype(bool))
    assert decoded.dtype.kind == "i"
    assert_array_equal(decoded, expected)


@pytest.mark.parametrize("y", [[[-1, 1], [1, -1]], [[1, 2], [2, 1]]])
def test_indicators_that_are_not_0_and_1_never_reach_the_network(y):
    """Refused or understood: Y must not hold what the cross-entropy cannot take."""
    try:
        data = make_data(y)
    except ValueError as error:
        assert "0 and 1" in str(error)  # noqa: PT017
        return
    ((_, Y, _),) = one_epoch(make_batches(data, 2))
    assert_array_equal(Y, np.array([[0, 1], [1, 0]]))


# The validation split ----------------------------------------------------------------

SPLITS = {
    "2 classes": ([0] * 30 + [1] * 20, 0.2),
    "2 uneven classes": ([0] * 95 + [1] * 5, 0.1),
    "3 classes": ([0] * 50 + [1] * 30 + [2] * 17, 0.25),
    "30 classes": (np.repeat(np.arange(30), np.arange(5, 35)), 0.2),
    "30 small classes": (np.repeat(np.arange(30), 2), 0.5),
    "more classes than a tenth of the rows": (np.repeat(np.arange(30), 3), 0.1),
    "one of a class": ([0] * 20 + [1] * 20 + [2], 0.2),
    "several classes of one": ([0] * 20 + [1] * 20 + [2, 3, 4], 0.3),
    "most rows": ([0] * 10 + [1] * 10, 0.9),
}


@pytest.mark.parametrize("name", SPLITS)
@pytest.mark.parametrize("seed", range(3))
def test_the_split_is_stratified(name, seed):
    y, fraction = SPLITS[name]
    y = np.random.default_rng(9).permutation(y)
    training, validation = make_data(y).split(fraction, seed)
    train, test = rows_of(training), rows_of(validation)
    assert sorted([*train, *test]) == list(range(len(y)))
    assert (training.n_rows, validation.n_rows) == (len(train), len(test))
    assert training.target.classes is validation.target.classes
    assert training.total_weight == len(train)
    assert validation.total_weight == len(test)
    # Each part keeps the order of X.
    assert train.tolist() == sorted(train)
    assert test.tolist() == sorted(test)

    counts = np.bincount(y)
    alone = counts[y] == 1
    assert set(np.flatnonzero(alone)) <= set(train.tolist())
    # Each class that has two rows is in both parts, with its share of validation.
    found = np.bincount(y[test], minlength=len(counts))
    assert (found[counts >= 2] >= 1).all()
    assert (found[counts >= 2] < counts[counts >= 2]).all()
    share = np.clip(fraction * counts, 1, counts - 1)
    assert np.abs(found - share)[counts >= 2].max() <= 0.5


def test_a_split_depends_on_its_seed_alone():
    data = make_data([0, 1] * 25)
    rows = [rows_of(data.split(0.2, seed)[1]).tolist() for seed in (0, 0, 1)]
    assert rows[0] == rows[1] != rows[2]


def test_which_rows_are_chosen_of_one_class_says_nothing_of_another():
    """Rows in pairs, one of each class: seldom are both rows of a pair chosen."""
    n_pairs, both = 0, 0
    for seed in range(20):
        _, validation = make_data([0, 1] * 50).split(0.1, seed)
        pairs = Counter((rows_of(validation) // 2).tolist())
        n_pairs += len(pairs)
        both += sum(count == 2 for count in pairs.values())
    # Of 5 rows in 50 of each class, 0.5 pairs a seed have both.
    assert both < 30
    assert n_pairs > 150


def test_the_parts_have_the_weights_and_classes_of_their_rows():
    y = np.array(["x", "y", "z"] * 12)
    weight = np.random.default_rng(0).uniform(0.5, 2, 36)
    for part in make_data(y, weight).split(0.25, 3):
        rows = rows_of(part)
        assert part.total_weight == pytest.approx(weight[rows].sum(), rel=1e-14)
        for batch_rows, Y, share in one_epoch(make_batches(part, 10, seed=1)):
            assert_array_equal(np.array(["x", "y", "z"])[Y.argmax(0)], y[batch_rows])
            mean = weight[rows].mean()
            expected = weight[batch_rows] / mean / len(batch_rows)
            assert_allclose(share, expected, rtol=1e-14)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_weight_zero_are_in_neither_part(kind):
    y = some_y(kind, 40)
    weight = np.random.default_rng(2).uniform(0.5, 2, 40)
    weight[5::4] = 0
    training, validation = make_data(y, weight).split(0.2, 0)
    train, test = rows_of(training), rows_of(validation)
    kept = np.flatnonzero(weight)
    assert sorted([*train, *test]) == kept.tolist()
    assert abs(len(test) - 0.2 * len(kept)) < 2
    total = training.total_weight + validation.total_weight
    assert total == pytest.approx(weight.sum(), rel=1e-14)


def test_a_class_with_one_row_left_stays_in_training():
    y = np.array([0, 1, 2] * 8)
    weight = np.ones(24)
    weight[(y == 2) & (np.arange(24) != 11)] = 0
    for seed in range(10):
        training, validation = make_data(y, weight).split(0.5, seed)
        assert 11 in rows_of(training)
        assert 11 not in rows_of(validation)


def test_a_multilabel_split_is_not_stratified():
    """Combinations of labels with one row are no hindrance."""
    y = np.array([[(i >> k) & 1 for k in range(5)] for i in range(30)])
    data = make_data(y)
    seen = set()
    for seed in range(30):
        training, validation = data.split(0.1, seed)
        train, test = rows_of(training), rows_of(validation)
        assert sorted([*train, *test]) == list(range(30))
        assert len(test) == 3
        seen.update(test.tolist())
        ((rows, Y, _),) = one_epoch(make_batches(validation, 3))
        assert_array_equal(Y, y[rows].T)
    assert len(seen) > 20


def test_no_fraction_is_an_error():
    with pytest.raises(ValueError, match=r"validation_fraction=0\b.*early_stopping"):
        make_data([0, 1] * 10).split(0, 0)


@pytest.mark.parametrize(
    "y", [[0], [0, 1], [0, 1, 2, 3], ["a", "b", "c"], [[0, 1]]], ids=str
)
def test_without_two_rows_of_a_class_there_is_nothing_to_split(y):
    with pytest.raises(ValueError, match="early_stopping=False"):
        make_data(y).split(0.1, 0)


def test_rows_of_weight_zero_do_not_make_a_class_of_two():
    with pytest.raises(ValueError, match="early_stopping=False"):
        make_data([0, 0, 1, 1], [1, 0, 0, 1]).split(0.5, 0)


@pytest.mark.parametrize(
    ("y", "fraction", "n_validation"),
    [
        ([0, 0], 0.001, 1),
        ([0, 0], 0.5, 1),
        ([0, 0], 0.9, 1),
        ([0, 0, 1], 0.001, 1),
        ([0, 0, 1], 0.9, 1),
        ([0, 0, 0], 0.001, 1),
        ([0, 0, 0], 0.5, 2),
        ([0, 0, 1, 1], 0.001, 2),
        ([0, 0, 1, 1], 0.9, 2),
        ([0, 0, 1, 1, 2, 2], 0.1, 3),
        ([[0, 1], [1, 0]], 0.1, 1),
        ([[0, 1], [1, 0]], 0.9, 1),
    ],
    ids=str,
)
def test_tiny_data_can_be_split(y, fraction, n_validation):
    for seed in range(5):
        training, validation = make_data(y).split(fraction, seed)
        assert validation.n_rows == n_validation
        assert training.n_rows == len(y) - n_validation
        # No class is in validation only.
        if np.ndim(y) == 1:
            train = {y[row] for row in rows_of(training)}
            assert train == set(y)


@given(
    counts=st.lists(st.integers(1, 12), min_size=1, max_size=6),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 1000),
)
def test_any_split_is_disjoint_complete_and_not_empty(counts, fraction, seed):
    y = np.repeat(np.arange(len(counts)), counts)
    data = make_data(y)
    if max(counts) < 2:
        with pytest.raises(ValueError, match="rows for validation"):
            data.split(fraction, seed)
        return
    training, validation = data.split(fraction, seed)
    train, test = rows_of(training), rows_of(validation)
    assert sorted([*train, *test]) == list(range(len(y)))
    assert len(train) >= 1
    assert len(test) >= 1
    for row in test:
        assert counts[y[row]] >= 2
