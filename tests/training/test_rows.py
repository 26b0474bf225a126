"""The training set: labels, weights and the validation split."""

import math
import re
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import BaseEstimator
from tables import (
    KINDS,
    make_batches,
    make_data,
    numbered_rows,
    one_epoch,
    rows_of,
    some_y,
    split,
)

from skreg import RegularizedMLPClassifier
from skreg._training import rows as _data
from skreg._training.class_weights import class_counts, class_factors, times_factors
from skreg._training.labels import Target, target_of_classes
from skreg._training.rows import (
    check_total,
    check_weight,
    checked_rows,
    given_rows,
    held_out_rows,
    row_type,
    row_weights,
    training_set,
    validated_as_floats,
    validation_set,
    with_weight,
)

# Rows ---------------------------------------------------------------------------------


def test_rows_whose_sum_overflows_are_rows():
    """Each half of them to infinity, and both together to NaN."""
    X = np.repeat([1e308, -1e308], 300)[:, np.newaxis]
    for rows in (X, X[:4]):
        assert_array_equal(validated_as_floats(BaseEstimator(), rows), rows)


def test_rows_that_are_too_large_for_their_type_are_refused():
    with pytest.raises(ValueError, match="infinity or a value too large for dtype"):
        validated_as_floats(BaseEstimator(), np.array([[1e155]]), dtype=np.float32)
    with pytest.raises(ValueError, match="X has an integer that is too large"):
        validated_as_floats(BaseEstimator(), np.array([[10**400]], dtype=object))


def test_a_table_of_sparse_bools_is_of_floats():
    frame = pd.DataFrame({"a": [True, False, True]}).astype(pd.SparseDtype(bool))
    for dtype, expected in [(_data.FLOATS, np.float64), (np.float32, np.float32)]:
        rows = validated_as_floats(BaseEstimator(), frame, dtype=dtype)
        assert rows.dtype == expected
        assert_array_equal(sparse.csr_array(rows).toarray(), [[1], [0], [1]])
        X, y = checked_rows(BaseEstimator(), frame, [0, 1, 1], reset=True, dtype=dtype)
        assert X.dtype == expected
        assert_array_equal(y, [0, 1, 1])


@pytest.mark.parametrize("sparse_training", [False, True])
def test_sparse_rows_for_validation_are_dense_where_those_of_training_are(
    sparse_training,
):
    X, y = np.eye(4), np.array([0, 1, 0, 1])
    model = RegularizedMLPClassifier(early_stopping=True)
    rows = sparse.csr_array(X) if sparse_training else X
    training = training_set(*checked_rows(model, rows, y, reset=True), None, None)
    found = held_out_rows(model, training, sparse.csr_array(X), y)
    assert sparse.issparse(found.X) == sparse_training
    assert_array_equal(found.X.toarray() if sparse_training else found.X, X)


# Weights -----------------------------------------------------------------------------


def test_weights_whose_sum_overflows_on_the_way_are_refused_by_name():
    weights = np.repeat([1e308, -1e308], 300)
    with pytest.raises(ValueError, match="sample_weight: row 300 has -1e"):
        row_weights(weights, np.zeros((600, 1)))
    with pytest.raises(ValueError, match=r"^sample_weight: .* infinity"):
        row_weights(np.array([1, np.longdouble("1e400")]), np.zeros((2, 1)))


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


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_weight_that_is_not_finite_is_named_as_the_input(value):
    with pytest.raises(ValueError, match=r"^weights: Input weights contains "):
        row_weights([1, value], numbered_rows(2), "weights")


def test_a_negative_weight_is_shown_with_its_row():
    with pytest.raises(ValueError, match=r"row 2 has -0\.5"):
        check_weight([0.5, 0, -0.5, 1], numbered_rows(4))


@pytest.mark.parametrize("total", [0.0, np.inf, np.nan])
def test_a_total_weight_that_is_no_divisor_is_refused(total):
    with pytest.raises(ValueError, match=f"^The values in w add up to {total};"):
        check_total(total, "w")


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
    assert_array_equal(data.y, [0, 0, 2])
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


def test_a_training_set_is_frozen_and_equal_to_itself_alone():
    one, other = make_data([0, 1, 0]), make_data([0, 1, 0])
    with pytest.raises(AttributeError, match="cannot assign"):
        one.rows = None
    assert len({one, other, one}) == 2


@pytest.mark.parametrize("weight", [None, [2, 2, 2], [0.5, 1.5, 2]])
def test_the_total_weight_is_that_of_the_rows(weight):
    data = make_data([0, 1, 0], weight)
    assert data.n_rows == 3
    assert data.total_weight == (3 if weight is None else sum(weight))


# Class weights -----------------------------------------------------------------------

THREE = target_of_classes(np.array(["a", "b", "c"]))
LABELS_OF_TWO = Target("multilabel", np.arange(2))


def factors_of(class_weight, counts, target):
    return class_factors(class_weight, counts, target.kind, target.classes)


def test_the_rows_and_the_weight_of_each_class_are_counted():
    codes, weight = np.array([0, 2, 2, 0, 2]), np.array([1, 2, 0.5, 0, 4])
    counts = class_counts(codes, weight, 3)
    assert counts.dtype == np.float64
    assert_array_equal(counts, [[[2, 0, 3], [1, 0, 6.5]]])
    counts = class_counts(codes, None, 3)
    assert counts.dtype == np.float64
    assert_array_equal(counts, [[[2, 0, 3]] * 2])
    indicators = np.array([[1, 0], [1, 0], [0, 0]])
    counts = class_counts(indicators, np.array([1.0, 2.0, 4.0]), 2)
    # Of each label: the rows without and with it, and their weights.
    assert_array_equal(counts, [[[1, 2], [4, 3]], [[3, 0], [7, 0]]])


def test_balanced_classes_have_the_same_weight_and_the_sum_stays():
    """Total / (number of classes * weight of the class); 1 for one that is absent."""
    (factors,) = factors_of("balanced", np.array([[[2, 0, 3], [1, 0, 9.0]]]), THREE)
    assert_allclose(factors, [10 / 2 / 1, 1, 10 / 2 / 9])
    counts = np.array([[[1, 2], [4, 3.0]], [[3, 0], [7, 0.0]]])
    first, second = factors_of("balanced", counts, LABELS_OF_TWO)
    assert_allclose(first, [7 / 2 / 4, 7 / 2 / 3])
    assert_allclose(second, [1, 1])


def test_classes_have_the_weights_that_they_are_given():
    counts = np.array([[[2, 1, 3], [1, 2, 9.0]]])
    (factors,) = factors_of({"a": 2, "c": 0.5}, counts, THREE)
    assert_array_equal(factors, [2, 1, 0.5])
    counts = np.array([[[1, 2], [4, 3.0]], [[3, 1], [7, 1.0]]])
    given = [{0: 2, 1: 3}, {0: 1, 1: 5}]
    assert_array_equal(
        factors_of(given, counts, LABELS_OF_TWO),
        [[2, 3], [1, 5]],
    )


@pytest.mark.parametrize(
    ("given", "counts", "message"),
    [
        ({"a": 0}, [[2, 1, 1]] * 2, "class 'a' has the weight 0"),
        ({"b": -1}, [[2, 1, 1]] * 2, "class 'b' has the weight -1"),
        ({"c": np.inf}, [[2, 1, 1]] * 2, "class 'c' has the weight inf"),
        ({"c": "3"}, [[2, 1, 1]] * 2, "class 'c' has the weight '3'"),
        ({"b": None}, [[2, 1, 1]] * 2, "class 'b' has the weight None"),
        ({"c": 1}, [[2, 1, 1], [2, 0, 1]], r"class 'b' .* total weight of 0\.0\."),
        ("balanced", [[2, 1, 1], [2, 1, 0]], r"class 'c' .* total weight of 0\.0\."),
        ("balanced", [[2, 1, 1], [2, 1, 1e-310]], "class .c. .* weight of 1e-310"),
    ],
)
def test_a_class_without_a_weight_is_refused(given, counts, message):
    with pytest.raises(ValueError, match=f"^class_weight=.*{message}"):
        factors_of(given, np.array([counts], dtype=float), THREE)


@pytest.mark.parametrize(
    "given",
    [
        {0: 1, 1: 2},
        [{0: 1}],
        [{0: 1}] * 3,
        [],
        [1.0, 3.0],
        np.array([1.0, 3.0]),
        [{0: 1}, 3.0],
        ["heavy", {0: 1}],
        ["a word before 'balanced'", {0: 1}],
        "heavy",
        2.0,
    ],
    ids=str,
)
def test_labels_want_a_dict_each(given):
    counts = np.array([[[1, 2], [4, 3.0]], [[3, 1], [7, 1.0]]])
    with pytest.raises(ValueError, match=r"for 2 labels, give 'balanced' or a list of"):
        factors_of(given, counts, LABELS_OF_TWO)


def test_labels_take_any_sequence_of_dicts_none_and_balanced():
    counts = np.array([[[1, 2], [4, 3.0]], [[3, 1], [7, 1.0]]])
    found = factors_of(("balanced", None), counts, LABELS_OF_TWO)
    assert_allclose(found, [[7 / 2 / 4, 7 / 2 / 3], [1, 1]])
    assert_array_equal(
        factors_of(({0: 2}, {}), counts, LABELS_OF_TWO), [[2, 1], [1, 1]]
    )


@pytest.mark.parametrize(
    ("given", "shown", "example"),
    [
        ([2, 3.5, 1], "[2, 3.5, 1]", "{'a': 2.0, 'b': 3.5, 'c': 1.0}"),
        ((2, 3, 1), "(2, 3, 1)", "{'a': 2.0, 'b': 3.0, 'c': 1.0}"),
        (np.array([2, 3, 1]), "[2, 3, 1]", "{'a': 2.0, 'b': 3.0, 'c': 1.0}"),
        (
            pd.Series({"c": 3.0, "a": 1.0, "b": 2.0}),
            "[3.0, 1.0, 2.0]",
            "{'a': 1.0, 'b': 2.0, 'c': 3.0}",
        ),
        (
            pd.Series({"a": 1.0, "b": 2.0, "c": 3.0, "d": 9.0}),
            "[1.0, 2.0, 3.0, 9.0]",
            "{'a': 1.0, 'b': 2.0, 'c': 3.0}",
        ),
        (pd.Series({"a": 5.0}), "[5.0]", "{'a': 1.0, 'b': 1.0, 'c': 1.0}"),
        ([2, "3", 1], "[2, '3', 1]", "{'a': 1.0, 'b': 1.0, 'c': 1.0}"),
        ([2, 3, 1, 4], "[2, 3, 1, 4]", "{'a': 1.0, 'b': 1.0, 'c': 1.0}"),
        (pd.Series([2, 3, 1]), "[2, 3, 1]", "{'a': 2.0, 'b': 3.0, 'c': 1.0}"),
        ([2, 3], "[2, 3]", "{'a': 1.0, 'b': 1.0, 'c': 1.0}"),
        ([], "[]", "{'a': 1.0, 'b': 1.0, 'c': 1.0}"),
        (["2", "3", "1"], "['2', '3', '1']", "{'a': 1.0, 'b': 1.0, 'c': 1.0}"),
        ([{"a": 2}], "[{'a': 2}]", "{'a': 1.0, 'b': 1.0, 'c': 1.0}"),
        ("heavy", "'heavy'", "{'a': 1.0, 'b': 1.0, 'c': 1.0}"),
        (np.array(3.0), "3.0", "{'a': 1.0, 'b': 1.0, 'c': 1.0}"),
    ],
    ids=str,
)
def test_one_output_wants_a_dict_and_sees_how_it_looks(given, shown, example):
    counts = np.array([[[2, 1, 1]] * 2], dtype=float)
    text = (
        f"class_weight={shown}: give 'balanced' or a dict with the classes, such as "
        f"class_weight={example}."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        factors_of(given, counts, THREE)


def test_of_many_classes_the_first_are_shown():
    target = target_of_classes(np.arange(100))
    text = r"=\[1, 1, 1, 1, 1, 1, \.\.\.\]: .*=\{0: 1\.0, .*4: 1\.0, \.\.\.\}\.$"
    with pytest.raises(ValueError, match=text):
        factors_of([1] * 100, np.ones((1, 2, 100)), target)


@pytest.mark.parametrize(
    ("given", "unknown"),
    [({"d": 2, "a": 1}, "['d']"), ({0: 1, 1: 2, 2: 3}, "[0, 1, 2]")],
)
def test_classes_that_there_are_not_are_named(given, unknown):
    text = (
        f"{unknown} are not among the classes. Give {{'a': 1.0, 'b': 1.0, 'c': 1.0}}, "
        "with your weights."
    )
    with pytest.raises(ValueError, match=f"^class_weight={{.*}}: {re.escape(text)}$"):
        factors_of(given, np.ones((1, 2, 3)), THREE)


def test_classes_of_other_rows_may_have_weights_where_all_of_these_do():
    """A fold may lack a class."""
    given = {"a": 2, "b": 3, "c": 4, "d": 5}
    assert_array_equal(factors_of(given, np.ones((1, 2, 3)), THREE), [[2, 3, 4]])


def test_a_row_counts_by_its_weight_times_that_of_its_class():
    X, y = numbered_rows(4), np.array(["b", "a", "b", "a"])
    data = training_set(X, y, [1, 2, 0, 4], None, {"a": 3, "b": 5})
    assert_array_equal(data.weight, [5, 6, 0, 12])
    assert data.total_weight == 23
    assert_array_equal(data.class_totals(), [18, 5])
    # The scorer's weights stay those of the caller.
    rows, labels, weight = data.gathered()
    assert_array_equal(rows, X[[0, 1, 3]])
    assert_array_equal(labels, ["b", "a", "a"])
    assert_array_equal(weight, [1, 2, 4])
    labels = np.array([[1, 0], [1, 1], [0, 0]])
    data = training_set(
        numbered_rows(3), labels, None, None, [{0: 2, 1: 3}, {0: 5, 1: 7}]
    )
    assert_array_equal(data.weight, [3 * 5, 3 * 7, 2 * 5])
    assert_array_equal(data.class_totals(), [36, 21])
    assert data.gathered()[2] is None


@pytest.mark.parametrize("n_factors", [1, 3])
def test_each_label_has_its_factors(n_factors):
    with pytest.raises(ValueError, match="zip"):
        times_factors(None, np.eye(2, dtype=int), (np.ones(2),) * n_factors)


def test_with_class_weights_a_class_of_weight_zero_is_refused():
    X, y = numbered_rows(4), np.array(["a", "b", "a", "c"])
    assert list(training_set(X, y, [1, 1, 1, 0], None).target.classes) == ["a", "b"]
    with pytest.raises(ValueError, match=r"class 'c' .* total weight of 0\.0"):
        training_set(X, y, [1, 1, 1, 0], None, "balanced")


def test_weights_that_overflow_with_those_of_the_classes_are_refused():
    with pytest.raises(ValueError, match=r"^The values in sample_weight times class_w"):
        training_set(
            numbered_rows(4), np.array([0, 1] * 2), None, None, {0: 1e308, 1: 1e308}
        )


def test_weights_that_underflow_with_those_of_the_classes_are_no_error():
    """Whatever the caller has set numpy to do."""
    y = np.array([0, 1, 0, 1])
    with np.errstate(all="raise"):
        data = training_set(
            numbered_rows(4), y, [1e-200, 1, 1, 1], None, {0: 1e-200, 1: 1}
        )
    assert_array_equal(data.weight, [0, 1, 1e-200, 1])


# Rows and held-out rows --------------------------------------------------------------


class Stopping(BaseEstimator):
    def __init__(self, early_stopping=True):
        self.early_stopping = early_stopping


def test_rows_come_as_the_network_takes_them():
    estimator = Stopping()
    X = np.asfortranarray(numbered_rows(4).astype(int))
    rows, y = checked_rows(estimator, X, [1, 0, 1, 0], reset=True)
    assert (rows.dtype, rows.flags.c_contiguous) == (np.float64, True)
    assert_array_equal(y, [1, 0, 1, 0])
    assert estimator.n_features_in_ == 3
    rows, _ = checked_rows(estimator, X.astype(np.float32), y, reset=False)
    assert rows.dtype == np.float32
    with pytest.raises(ValueError, match="2 features"):
        checked_rows(estimator, X[:, :2], y, reset=False)
    assert checked_rows(Stopping(), X, np.eye(4, dtype=int), reset=True)[1].ndim == 2


def test_columns_and_classes_are_learnt_or_those_from_before():
    estimator = RegularizedMLPClassifier()
    first = given_rows(estimator, numbered_rows(4), [1, 0, 2, 0]).training
    assert estimator.n_features_in_ == 3
    assert first.target.classes.tolist() == [0, 1, 2]
    X, y = numbered_rows(3), [2, 0, 2]
    second = given_rows(estimator, X, y, target=first.target).training
    assert second.target is first.target
    with pytest.raises(ValueError, match="2 features"):
        given_rows(estimator, X[:, :2], y, target=first.target)
    assert given_rows(estimator, X[:, :2], y).training.target.classes.tolist() == [0, 2]
    assert estimator.n_features_in_ == 2


def test_values_that_a_sparse_table_stores_twice_are_added_in_a_copy():
    X = sparse.csr_array(([1.0, 2.0, 4.0], ([0, 0, 1], [1, 1, 0])), shape=(2, 2))
    twice = sparse.csr_array(
        (np.array([1.0, 2, 4]), [1, 1, 0], [0, 2, 3]), shape=(2, 2)
    )
    rows, _ = checked_rows(Stopping(), twice, [0, 1], reset=True)
    assert rows.nnz == 2
    assert_array_equal(rows.toarray(), [[0, 3], [4, 0]])
    assert_array_equal(twice.data, [1, 2, 4])
    # One that has none is no copy.
    clean = X.copy()
    clean.sum_duplicates()
    assert checked_rows(Stopping(), clean, [0, 1], reset=True)[0].data is clean.data
    columns = sparse.csc_array(clean)
    assert checked_rows(Stopping(), columns, [0, 1], reset=True)[0].format == "csr"


def test_nan_among_labels_is_said_to_be_in_y():
    y = np.array(["a", np.nan, "b"], dtype=object)
    with pytest.raises(ValueError, match=r"^y contains NaN in row 1: "):
        checked_rows(Stopping(), numbered_rows(3), y, reset=True)
    X = numbered_rows(3)
    X[0, 0] = np.nan
    with pytest.raises(ValueError, match=r"^Input X contains NaN"):
        checked_rows(Stopping(), X, [0, 1, 0], reset=True)


def test_y_has_to_be_there_and_as_long_as_x():
    with pytest.raises(ValueError, match="requires y to be passed"):
        checked_rows(Stopping(), numbered_rows(3), None, reset=True)
    with pytest.raises(ValueError, match=r"numbers of samples: \[3, 2\]"):
        checked_rows(Stopping(), numbered_rows(3), [0, 1], reset=True)


def fitted_to(data, **settings):
    estimator = Stopping(**settings)
    checked_rows(estimator, data.X, np.arange(data.n_rows) % 2, reset=True)
    return estimator


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"X_val": [[1, 2, 3]]}, "go together"),
        ({"y_val": [1]}, "go together"),
        ({"sample_weight_val": [1]}, "go together"),
        ({"X_val": [[1, 2, 3]], "sample_weight_val": [1]}, "go together"),
        ({"X_val": [[1, 2, np.nan]], "y_val": [1]}, "^In X_val and y_val: .*NaN"),
        ({"X_val": [[1, 2]], "y_val": [1]}, "^In X_val and y_val: .*2 features"),
        ({"X_val": [[1, 2, 3]], "y_val": [None]}, ": y_val contains None in row 0"),
        ({"X_val": [[1, 2, 3]], "y_val": [0.5]}, r"y_val has 0\.5 in row 0"),
        ({"X_val": [[1, 2, 3]], "y_val": [7]}, r"^y_val has the classes \[7\]"),
        (
            {"X_val": [[1, 2, 3]], "y_val": [1], "sample_weight_val": [-1]},
            "in sample_weight_val: row 0",
        ),
        (
            {"X_val": [[1, 2, 3]], "y_val": [1], "sample_weight_val": [0]},
            "sample_weight_val",
        ),
    ],
)
def test_held_out_rows_are_refused_by_name(given, message):
    data = make_data([0, 1, 0, 1])
    with pytest.raises(ValueError, match=message):
        held_out_rows(fitted_to(data), data, **given)


def test_held_out_rows_are_for_early_stopping():
    data = make_data([0, 1, 0, 1])
    estimator = RegularizedMLPClassifier(early_stopping=False)
    assert given_rows(estimator, data.X, data.y).validation is None
    with pytest.raises(ValueError, match="early_stopping=False"):
        held_out_rows(estimator, data, [[1, 2, 3]], [1])


def test_held_out_rows_are_encoded_and_weighted_like_those_of_training():
    y = np.array(["b", "a", "b", "a"])
    X = numbered_rows(4, np.float32)
    data = training_set(X, y, None, None, {"a": 3, "b": 5})
    held_out = held_out_rows(
        fitted_to(data), data, [[7, 8, 9]] * 3, ["b", "a", "b"], [2, 1, 0]
    )
    assert held_out.X.dtype == np.float32
    assert held_out.target is data.target
    assert_array_equal(held_out.y, [1, 0, 1])
    assert_array_equal(held_out.rows, [0, 1])
    assert_array_equal(held_out.sample_weight, [2, 1, 0])
    assert held_out.total_weight == 2 * 5 + 3
    plain = validation_set(X, y, None, make_data(y))
    assert (plain.rows, plain.weight) == (None, None)
    with pytest.raises(ValueError, match=r"^The values in sample_weight times class_w"):
        validation_set(X, y, [1e308, 0, 0, 0], data)


# Columns -----------------------------------------------------------------------------


def set_of(X, sample_weight=None):
    """A training set with these rows, and any labels."""
    return training_set(X, np.arange(X.shape[0]) % 2, sample_weight, None)


@pytest.mark.parametrize("form", [np.array, sparse.csr_array, sparse.csr_matrix])
def test_magnitudes_are_those_of_the_largest_and_the_smallest(form):
    """Such as are above zero, below it, on both sides, and of zeros."""
    X = form([[1.0, -1, 5, 0, -7], [3, -9, -2, 0, 3], [2, -4, 0, 0, 4]])
    assert_array_equal(set_of(X).magnitudes(), [3, 9, 5, 0, 7])


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_rows", [5, 90_001])
def test_moments_are_the_weighted_means_over_the_rows_that_take_part(
    n_rows, weighted, dtype, form
):
    """In float64, in which no float32 overflows when squared; the last are zeros."""
    rng = np.random.default_rng(0)
    X = rng.poisson(0.7, (n_rows, 5)) * rng.normal(size=(n_rows, 5))
    X *= [1, 1e3, 1e30, 1e-3, 0]
    X = X.astype(dtype)
    weight = (np.arange(n_rows) % 3).astype(float) if weighted else None
    about = np.zeros(5) if form is sparse.csr_array else np.array([1, 2, 3, 0, 5.0])
    with np.errstate(all="raise"):
        means, squares, filled = set_of(form(X), weight).moments(about)
    shares = np.ones(n_rows) if weight is None else weight
    columns = (X.astype(float) - about).T
    total = math.fsum(shares)
    expected = np.array(list(map(math.fsum, columns * shares))) / total
    most = abs(columns).max(axis=1)
    assert (abs(means - expected) <= 1e-12 * most).all()
    expected = np.array(list(map(math.fsum, columns**2 * shares))) / total
    assert_allclose(squares, expected, rtol=1e-12)
    expected = np.array(list(map(math.fsum, (X != 0).T * shares))) / total
    assert_allclose(filled, expected, rtol=1e-12)


@pytest.mark.parametrize("form", [np.asfortranarray, sparse.csr_array])
def test_moments_may_overflow_and_underflow(form):
    """To infinity, NaN and zero, and no warning."""
    X = np.repeat([[1e308, 1e-200], [1e308, 1e-200]], 300, axis=0)
    with np.errstate(all="raise"):
        means, squares, _ = set_of(form(X)).moments()
    assert means[1] == pytest.approx(1e-200)
    assert_array_equal(squares, [np.inf, 0])


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("weighted", [False, True])
def test_both_moments_of_columns_of_0_and_1_are_the_same(weighted, form):
    """Bit for bit, by which they are known."""
    rng = np.random.default_rng(0)
    X = (rng.random((90_001, 6)) < [0.5, 0.1, 0.9, 1e-4, 0, 1]).astype(float)
    weight = rng.uniform(size=len(X)) if weighted else None
    means, squares, _ = set_of(form(X), weight).moments()
    assert_array_equal(means, squares)
    assert means[3] > 0


# Classes of the rows -----------------------------------------------------------------


@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e150])
@pytest.mark.parametrize("kind", KINDS)
def test_prior_logits_are_those_of_the_weighted_frequencies(kind, scale):
    """With a thousandth for each, so that no class is impossible."""
    y, weight = some_y(kind, 30), np.random.default_rng(0).uniform(0.2, 5, size=30)
    weight[4] = 0
    found = make_data(y, scale * weight).prior_logits()
    indicators = y if kind == "multilabel" else np.eye(len(np.unique(y)))[y]
    present = weight @ indicators / weight.sum() + 1e-3
    if kind == "multilabel":
        expected = np.log(present / (1.002 - present))
    elif kind == "binary":
        expected = [np.log(present[1] / present[0])]
    else:
        expected = np.log(present) - np.log(present).mean()
    assert_allclose(found, expected, rtol=1e-12)


def test_the_rows_of_each_label_are_counted():
    data = make_data([[1, 0], [1, 1], [1, 0], [0, 0]])
    assert_array_equal(data.class_totals(), [3, 1])
    assert_array_equal(make_data([2, 0, 2, 1, 2]).class_totals(), [1, 1, 3])


def test_classes_without_a_row_are_strata_too():
    """The strata of parts of the rows add up."""
    data = make_data([0, 1, 1], target=Target(THREE.kind, np.arange(3)))
    assert_array_equal(data.strata(), [1, 2, 0])


@pytest.mark.parametrize("n_rows", [10, 2**31 - 1, 2**31, 2**31 + 1])
def test_the_type_of_row_numbers_holds_them(n_rows):
    assert np.iinfo(row_type(n_rows)).max >= n_rows - 1
    assert np.dtype(row_type(10**6)).itemsize == 4


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
    training, validation = split(make_data(y), fraction, seed)
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
    rows = [rows_of(split(data, 0.2, seed)[1]).tolist() for seed in (0, 0, 1)]
    assert rows[0] == rows[1] != rows[2]


def test_a_split_is_one_part_of_one_unless_said_otherwise():
    data, n_validation = make_data([0, 1] * 25), np.array([3, 4])
    for found, expected in zip(
        data.split(n_validation, 5), data.split(n_validation, 5, 0, 1), strict=True
    ):
        assert_array_equal(found.rows, expected.rows)


def test_which_rows_are_chosen_of_one_class_says_nothing_of_another():
    """Rows in pairs, one of each class: seldom are both rows of a pair chosen."""
    n_pairs, both = 0, 0
    for seed in range(20):
        _, validation = split(make_data([0, 1] * 50), 0.1, seed)
        pairs = Counter((rows_of(validation) // 2).tolist())
        n_pairs += len(pairs)
        both += sum(count == 2 for count in pairs.values())
    # Of 5 rows in 50 of each class, 0.5 pairs a seed have both.
    assert both < 30
    assert n_pairs > 150


def test_the_parts_have_the_weights_and_classes_of_their_rows():
    y = np.array(["x", "y", "z"] * 12)
    weight = np.random.default_rng(0).uniform(0.5, 2, 36)
    for part in split(make_data(y, weight), 0.25, 3):
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
    training, validation = split(make_data(y, weight), 0.2, 0)
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
        training, validation = split(make_data(y, weight), 0.5, seed)
        assert 11 in rows_of(training)
        assert 11 not in rows_of(validation)


def test_a_multilabel_split_is_not_stratified():
    """Combinations of labels with one row are no hindrance."""
    y = np.array([[(i >> k) & 1 for k in range(5)] for i in range(30)])
    data = make_data(y)
    seen = set()
    for seed in range(30):
        training, validation = split(data, 0.1, seed)
        train, test = rows_of(training), rows_of(validation)
        assert sorted([*train, *test]) == list(range(30))
        assert len(test) == 3
        seen.update(test.tolist())
        ((rows, Y, _),) = one_epoch(make_batches(validation, 3))
        assert_array_equal(Y, y[rows].T)
    assert len(seen) > 20


@pytest.mark.parametrize("y", [[0] * 12 + [1] * 8, [[0, 1], [1, 0]] * 10])
def test_parts_of_one_split_have_other_rows_while_there_are_any(y):
    data = make_data(y)
    parts = [rows_of(split(data, 0.25, 3, part, 4)[1]) for part in range(4)]
    assert [len(part) for part in parts] == [5] * 4
    assert sorted(np.concatenate(parts)) == list(range(20))
    assert_array_equal(rows_of(split(data, 0.25, 3, 2, 4)[1]), parts[2])
    assert [split(data, 0.25, 3, part, 2)[1].n_rows for part in range(2)] == [5, 5]
    # More than there are: all are in one of the parts, and none twice in one.
    parts = [rows_of(split(data, 0.5, 3, part, 3)[1]) for part in range(3)]
    assert [len(set(part)) for part in parts] == [10] * 3
    assert set(np.concatenate(parts)) == set(range(20))


def test_no_fraction_is_an_error():
    with pytest.raises(ValueError, match=r"validation_fraction=0\b.*early_stopping"):
        split(make_data([0, 1] * 10), 0, 0)


@pytest.mark.parametrize(
    "y", [[0], [0, 1], [0, 1, 2, 3], ["a", "b", "c"], [[0, 1]]], ids=str
)
def test_without_two_rows_of_a_class_there_is_nothing_to_split(y):
    with pytest.raises(ValueError, match="early_stopping=False"):
        split(make_data(y), 0.1, 0)


def test_rows_of_weight_zero_do_not_make_a_class_of_two():
    with pytest.raises(ValueError, match="early_stopping=False"):
        split(make_data([0, 0, 1, 1], [1, 0, 0, 1]), 0.5, 0)


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
        training, validation = split(make_data(y), fraction, seed)
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
            split(data, fraction, seed)
        return
    training, validation = split(data, fraction, seed)
    train, test = rows_of(training), rows_of(validation)
    assert sorted([*train, *test]) == list(range(len(y)))
    assert len(train) >= 1
    assert len(test) >= 1
    for row in test:
        assert counts[y[row]] >= 2


@pytest.mark.parametrize("n_classes", [5, 6])
def test_a_dict_of_many_classes_is_cut_short(n_classes):
    names = list("abcdefgh")[:n_classes]
    target = target_of_classes(np.array(names))
    pairs = ", ".join(f"'{name}': 1.0" for name in names[:5])
    shown = f"{{{pairs}{', ...' if n_classes > 5 else ''}}}"
    with pytest.raises(ValueError, match=f"{re.escape(shown)}\\.$"):
        factors_of([], np.ones((1, 2, n_classes)), target)


def test_the_labels_of_rows_that_count():
    y = np.array([3, 4, 5])
    assert_array_equal(with_weight(y, np.array([1.0, 0.0, 2.0])), [3, 5])
    assert with_weight(y, None) is y
