"""Labels: what is taken as y, the classes, and their codes."""

import re
import warnings

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.exceptions import DataConversionWarning
from tables import make_batches, make_data, one_epoch

from skreg._training import labels
from skreg._training.labels import Target, check_y, infer_target, target_of_classes

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


def test_labels_without_an_order_are_refused_by_their_types():
    with pytest.raises(ValueError, match=r"labels of the types int, str, which"):
        check_y(np.array(["a", 1, "b", 2], dtype=object))
