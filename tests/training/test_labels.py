"""Labels: what is taken as y, the classes, and their codes."""

import enum
import re
import warnings
from datetime import date
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.exceptions import DataConversionWarning
from tables import make_batches, make_data, one_epoch

from skreg._training import labels
from skreg._training.labels import (
    Target,
    check_y,
    infer_target,
    target_of_classes,
)

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
    "one class": (np.array(["only", "only"]), "multiclass"),
    "one row": (np.array([3]), "multiclass"),
    "not ASCII": (np.array(["ä", "ß", "ä"]), "binary"),
}


@pytest.mark.parametrize("name", LABELS)
def test_labels_come_back_as_they_were(name):
    y, kind = LABELS[name]
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


@pytest.mark.parametrize("classes", [["a", "b"], [3, 5, 9], list(range(300))])
def test_labels_are_encoded_some_at_a_time(classes, monkeypatch):
    monkeypatch.setattr(labels, "_ROWS_AT_A_TIME", 3)
    target = target_of_classes(np.array(classes))
    expected = np.random.default_rng(0).integers(0, len(classes), size=20)
    expected[7] = len(classes) - 1
    y = target.classes[expected]
    codes = target.encode(y)
    assert_array_equal(codes, expected)
    assert codes.itemsize == (1 if len(classes) < 256 else 2)
    # One that the model does not know may come late, and another after it.
    strange = y.astype(object)
    strange[[4, 19]] = "x", "y"
    with pytest.raises(ValueError, match=re.escape("['x', 'y']")):
        target.encode(strange)


def test_label_indicators_stand_row_by_row():
    """Otherwise numpy copies all of them to gather a few."""
    y = np.asfortranarray(np.eye(3, dtype=int))
    assert infer_target(y).encode(y).flags.c_contiguous


def test_a_long_list_of_unknown_labels_is_cut():
    target = target_of_classes(np.array([0, 1]))
    with pytest.raises(ValueError, match="classes") as caught:
        target.encode(np.arange(1000))
    assert len(str(caught.value)) < 500
    assert len(re.search(r"classes \[(.*?)\]", str(caught.value))[1].split()) == 10


def test_unknown_labels_need_no_order_among_them():
    target = target_of_classes(np.array(["a", "b"], dtype=object))
    with pytest.raises(ValueError, match=r"y has the classes \[3, None, 'c'\]"):
        target.encode(np.array(["a", "c", None, 3], dtype=object))


def test_the_shape_of_y_has_to_go_with_the_model():
    of_labels = Target("multilabel", np.arange(3))
    column = target_of_classes(np.array([0, 1]))
    for y in (np.array([0, 1]), np.array([[0, 1]]), np.zeros((1, 4))):
        with pytest.raises(ValueError, match=re.escape(f"y has the shape {y.shape}")):
            of_labels.encode(y)
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


# Objects as labels -------------------------------------------------------------------


def objects(*values):
    """An object array, also of sequences."""
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found


# What y may be, and the dtype that its classes have.
TAKEN = {
    "ints": (objects(2, 1, 2), np.int64),
    "numpy's ints": (objects(np.int8(2), np.int64(1), 2), np.int64),
    "large ints": (objects(2**62 + 1, 2**62, 2**62 + 1), np.int64),
    "bools": (objects(True, np.False_, True), bool),
    "ints that are bools": (objects(2, True, 2), np.int64),
    "whole floats": (objects(2.0, np.float32(1), 2), np.float64),
    "strings": (objects("b", np.str_("a"), "b"), object),
    "a list of ints": ([2, 1, 2], np.int64),
    "a list of strings": (["b", "a", "b"], np.dtype("U1")),
    "numpy's strings": (np.array(["b", "a", "b"], np.dtypes.StringDType()), object),
    "Int64": (pd.Series([2, 1, 2], dtype="Int64"), np.int64),
    "Int64 as objects": (pd.Series([2, 1, 2], dtype="Int64").astype(object), np.int64),
    "boolean": (pd.Series([True, False, True], dtype="boolean"), bool),
    "Float64": (pd.Series([2, 1, 2], dtype="Float64"), np.float64),
    "string": (pd.Series(["b", "a", "b"], dtype="string"), object),
    "categories": (pd.Series(["b", "a", "b"], dtype="category"), object),
    "categories of ints": (pd.Series([2, 1, 2], dtype="category"), np.int64),
    "dates": (np.array(["2020", "2019", "2020"], "M8[Y]"), np.dtype("M8[Y]")),
}


@pytest.mark.parametrize("name", TAKEN)
def test_objects_are_taken_as_what_they_are(name):
    y, dtype = TAKEN[name]
    labels = check_y(y)
    target = infer_target(labels)
    assert target.classes.dtype == dtype
    values = np.asarray(y).tolist()
    assert target.classes.tolist() == sorted(set(values))
    assert target.decode(target.encode(labels)).tolist() == values


@pytest.mark.parametrize("library", ["pyarrow", "polars"])
def test_columns_of_other_libraries_are_taken(library):
    pytest.importorskip(library)
    for values in (["b", "a", "b"], [2, 1, 2], [True, False, True]):
        if library == "polars":
            column = pytest.importorskip("polars").Series(values)
        else:
            types = {str: "string", int: "int64", bool: "bool"}
            column = pd.Series(values, dtype=f"{types[type(values[0])]}[pyarrow]")
        labels = check_y(column)
        assert labels.tolist() == values
        kinds = {str: "OU", int: "i", bool: "b"}
        assert infer_target(labels).classes.dtype.kind in kinds[type(values[0])]
        missing = type(column)([values[0], None, values[2]], dtype=column.dtype)
        with pytest.raises(ValueError, match=r"^y contains .* in row 1: a lab"):
            check_y(missing)


STRINGS, INTS, BOOLS = ["low", "high"] * 4, [0, 1] * 4, [False, True] * 4
# A value among others, and what is said of it.
REFUSED = [
    (STRINGS, None, "y contains None in row {}: a label is missing"),
    (STRINGS, np.nan, "y contains NaN in row {}: a label is missing"),
    (STRINGS, np.float32("nan"), "y contains NaN in row {}: a label is missing"),
    (STRINGS, pd.NA, "y contains <NA> in row {}: a label is missing"),
    (STRINGS, pd.NaT, "y contains NaT in row {}: a label is missing"),
    (STRINGS, np.datetime64("NaT"), "y contains NaT in row {}: a label is missing"),
    (INTS, None, "y contains None in row {}: a label is missing"),
    (INTS, np.nan, "y contains NaN in row {}: a label is missing"),
    (INTS, pd.NA, "y contains <NA> in row {}: a label is missing"),
    (BOOLS, None, "y contains None in row {}: a label is missing"),
    (STRINGS, 3, "y has 3 in row {}, among strings"),
    (STRINGS, 3.5, "y has 3.5 in row {}, among strings"),
    (STRINGS, np.inf, "y has inf in row {}, among strings"),
    (STRINGS, True, "y has True in row {}, among strings"),
    (INTS, "3", "y has '3' in row {}, among numbers"),
    (BOOLS, "no", "y has 'no' in row {}, among numbers"),
    (INTS, 2.5, "Unknown label type: continuous. y has 2.5 in row {}, but"),
    (INTS, np.inf, "y contains infinity or a value too large for 64 bits in row {}: "),
    (INTS, 2**64, "y contains infinity or a value too large for 64 bits in row {}: 18"),
    (INTS, -(2**70), "y contains infinity or a value too large for 64 bits in row {}"),
    (STRINGS, b"low", "y has the bytes b'low' in row {}, and scikit-learn takes no"),
    (STRINGS, {"a": 1}, "y has {{'a': 1}} of the type dict in row {}, but labels are"),
    (STRINGS, (1, 2), "y has (1, 2) of the type tuple in row {}, but labels are"),
    (STRINGS, [1, 2], "y has [1, 2] of the type list in row {}, but labels are"),
    (STRINGS, np.arange(2), "y has array([0, 1]) of the type ndarray in row {}, but"),
    (INTS, 1j, "y has 1j of the type complex in row {}, but labels are"),
    (INTS, Decimal(1), "y has Decimal('1') of the type Decimal in row {}, but labels"),
    (INTS, date(2020, 1, 1), "y has datetime.date(2020, 1, 1) of the type date in row"),
]


@pytest.mark.parametrize("row", [0, 3, 7])
@pytest.mark.parametrize(("others", "value", "text"), REFUSED, ids=str)
def test_the_first_label_that_does_not_fit_is_named(others, value, text, row):
    """Wherever it stands, the text is the same but for the row."""
    y = objects(*others)
    y[row] = value
    assert y[row] is value
    # pandas 3 would make a series of strings of it, and NaN of what is missing.
    for given in (y, pd.Series(y, index=np.arange(8) + 100, dtype=object)):
        with pytest.raises(ValueError, match=f"^{re.escape(text.format(row))}"):
            check_y(given)
    with pytest.raises(ValueError, match=r"classes (has|contains) "):
        check_y(y, "classes")


@pytest.mark.parametrize("row", [0, 5])
@pytest.mark.parametrize("value", [None, np.nan, 3, True, b"low", ()], ids=str)
def test_a_list_is_looked_at_as_an_array_is(value, row):
    """numpy would make strings of what is beside strings."""
    y = list(STRINGS)
    y[row] = value
    with pytest.raises(ValueError, match=f"^y (has|contains) .* in row {row}"):
        check_y(y)


def test_all_labels_may_be_of_a_kind_that_is_refused():
    for y in (
        objects(None, None),
        np.array([b"low", b"high"]),
        objects({}, {}),
        [[1], [1, 2]],
        np.array([1j, 2]),
        np.zeros(2, [("a", int)]),
        pd.Series(pd.to_datetime(["2020", "2021"], utc=True)),
        pd.Series(pd.period_range("2020", periods=2, freq="D")),
        pd.Series([0, None], dtype="boolean")[[1, 0]],
        np.array(["NaT", "2020"], "M8[D]"),
        sparse.csr_array([[np.nan, 1], [0, 1]]),
    ):
        with pytest.raises(ValueError, match=r"^y (has|contains) .* in row 0\b"):
            check_y(y)


def test_strings_fit_where_half_of_the_labels_are_numbers():
    for y in (objects("a", 1, "b", 2), objects(1, "a", 2, "b")):
        row = 0 if y[0] == 1 else 1
        with pytest.raises(ValueError, match=f"y has 1 in row {row}, among strings"):
            check_y(y)


def test_integers_that_no_float_holds_are_not_rounded():
    y = objects(2**53 + 1, 0.0, 2**53)
    with pytest.raises(ValueError, match="row 0: 9007199254740993"):
        check_y(y)
    assert check_y(y[1:]).dtype == float


LABELS_OF_OBJECTS = {
    "ints": lambda Y: Y.astype(object),
    "bools": lambda Y: Y.astype(bool).astype(object),
    "floats": lambda Y: Y.astype(float).astype(object),
    "Int64": lambda Y: pd.DataFrame(Y, dtype="Int64"),
    "boolean": lambda Y: pd.DataFrame(Y.astype(bool), dtype="boolean"),
    "columns of two dtypes": lambda Y: pd.DataFrame({"a": Y[:, 0], "b": Y[:, 1] > 0}),
}


@pytest.mark.parametrize("name", LABELS_OF_OBJECTS)
def test_label_indicators_may_be_objects(name):
    Y = np.array([[0, 1], [1, 1], [1, 0]])
    labels = check_y(LABELS_OF_OBJECTS[name](Y))
    target = infer_target(labels)
    assert target.kind == "multilabel"
    assert_array_equal(target.encode(labels), Y)
    wrong = pd.DataFrame(LABELS_OF_OBJECTS[name](Y)).astype(object)
    for value, text in ((None, "y contains None"), ("a", "y has 'a'")):
        wrong.iloc[1, 0] = value
        with pytest.raises(ValueError, match=f"^{text} in row 1, column 0"):
            check_y(wrong)


def test_what_has_no_rows_is_left_to_scikit_learn():
    for y in (0, "abc", {0, 1}, np.zeros((2, 2, 2)), []):
        with pytest.raises((ValueError, TypeError)):
            check_y(y)
    with pytest.raises(TypeError, match=r"np\.matrix"):
        check_y(np.array([[0], [1]]).view(np.matrix))


@pytest.mark.parametrize(
    ("y", "shown"),
    [
        ([1.0, 2.0, 1e300], r"1e\+300"),
        ([-(2.0**64), 1.0, 2.0], r"-1\.844"),
        ([np.inf, 1.0, 0.0], "inf"),
    ],
)
def test_a_float_that_is_too_large_for_a_class_is_named(y, shown):
    row = int(np.argmax(np.abs(y)))
    why = rf"^y contains infinity or a value too large .* in row {row}: .*{shown}"
    with pytest.raises(ValueError, match=why):
        check_y(np.array(y))


class Colour(str, enum.Enum):  # noqa: UP042
    RED = "red"
    GREEN = "green"


def test_a_list_of_strings_of_an_own_class_keeps_them():
    y = check_y([Colour.RED, Colour.GREEN, Colour.RED])
    assert infer_target(y).classes.tolist() == [Colour.GREEN, Colour.RED]


def test_where_numbers_are_too_large():
    # The largest float below, and the smallest that is not.
    for large, good in ((2.0**62, True), (2.0**63, False), (2.0**64, False)):
        if good:
            assert_array_equal(check_y([large, 1.0]), [large, 1.0])
            continue
        with pytest.raises(ValueError, match="too large for 64 bits in row 1"):
            check_y([1.0, large])
    for first, row in ((2**62, 1), (2**63, 0)):
        with pytest.raises(ValueError, match=f"too large for 64 bits in row {row}"):
            check_y(objects(first, 2**70))


def test_a_list_of_dates_is_an_array_of_dates():
    dates = np.array(["2020-01-01", "2021-01-01"], dtype="datetime64[D]")
    assert_array_equal(check_y(list(dates)), dates)
