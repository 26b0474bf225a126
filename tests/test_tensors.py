"""Tensors, and frames that are not of pandas: computed in their own precision."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_iris

from skreg import (
    RegularizedMLPClassifier,
    RegularizedMLPClassifierCV,
    RegularizedMLPEnsemble,
)

X, Y = load_iris(return_X_y=True)
X = ((X - X.mean(axis=0)) / X.std(axis=0))[::2]
Y = Y[::2]
WEIGHT = np.arange(1.0, 1 + len(X)) % 3

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


class DType:
    """A type of numbers that numpy does not know."""

    def __init__(self, name):
        self._name = name

    def __repr__(self):
        return f"tensors.{self._name}"


class Tensor:
    """As those of torch: an array with a dtype of its own, which numpy can read."""

    def __init__(self, values, error=None):
        self._values = np.asarray(values)
        self._error = error
        self.dtype = DType(self._values.dtype.name)
        self.shape, self.ndim = self._values.shape, self._values.ndim

    def __len__(self):
        return len(self._values)

    def __getitem__(self, key):
        return Tensor(self._values[key], self._error)

    def __array__(self, dtype=None, copy=None):
        if self._error is not None:
            raise self._error
        return self._values.astype(self._values.dtype if dtype is None else dtype)


def network(**parameters):
    defaults = {"early_stopping": False, "max_iter": 3, "random_state": 0}
    return RegularizedMLPClassifier((5,), **{**defaults, **parameters})


def fitted(model, X, y, *, part=False, **arguments):
    if part:
        return model.partial_fit(X, y, classes=[0, 1, 2])
    return model.fit(X, y, **arguments)


def same(one, other):
    """Two fitted networks are the same to the last bit, and its type."""
    pairs = zip(
        one.coefs_ + one.intercepts_, other.coefs_ + other.intercepts_, strict=True
    )
    return all(a.dtype == b.dtype and (a == b).all() for a, b in pairs)


@pytest.mark.parametrize(
    ("given", "computed"),
    [
        *(("float32", "float32"), ("float64", "float64"), ("float16", "float64")),
        *(("int32", "float64"), ("bool", "float64")),
    ],
)
@pytest.mark.parametrize("part", [False, True])
def test_a_tensor_is_its_numpy_array(given, computed, part):
    rows = (3 * X).astype(given)
    expected = fitted(network(), rows, Y, part=part)
    found = fitted(network(), Tensor(rows), Tensor(Y), part=part)
    assert found.coefs_[0].dtype == computed
    assert same(found, expected)
    for method in ("predict", "predict_proba", "decision_function", "input_gradients"):
        outputs = getattr(found, method)(Tensor(rows))
        np.testing.assert_array_equal(outputs, getattr(expected, method)(rows))
        assert method == "predict" or outputs.dtype == computed
    found.set_params(keep_prob=0.5)
    assert found.sample_proba(Tensor(rows), 2).dtype == computed
    assert found.score(Tensor(rows), Y) == expected.score(rows, Y)


@pytest.mark.parametrize("kind", ["weights", "validation", "multilabel", "column"])
def test_what_goes_with_the_rows(kind):
    rows, y, arguments = X.astype(np.float32), Y, {}
    model = network()
    if kind == "weights":
        arguments = {"sample_weight": WEIGHT.astype(np.float32)}
    if kind == "validation":
        model = network(early_stopping=True)
        validation = "X_val", "y_val", "sample_weight_val"
        values = X[::3], Y[::3], WEIGHT[::3]
        arguments = dict(zip(validation, values, strict=True))
    if kind == "multilabel":
        y = np.eye(3, dtype=int)[Y]
    if kind == "column":
        y = Y.astype(np.uint8)
    expected = fitted(model, rows, y, **arguments)
    coefs = expected.coefs_
    tensors = {name: Tensor(each) for name, each in arguments.items()}
    found = fitted(model, Tensor(rows), Tensor(y), **tensors)
    assert found.coefs_[0].dtype == np.float32
    np.testing.assert_array_equal(found.coefs_[0], coefs[0])


def test_a_search_and_an_ensemble():
    rows = X.astype(np.float32)
    for make in (
        lambda: RegularizedMLPEnsemble(network(), 2),
        lambda: RegularizedMLPClassifierCV(
            (0.1, 1.0), (0.9,), max_iter=2, cv=2, n_refits=1, random_state=0
        ),
    ):
        expected = make().fit(rows, Y, WEIGHT)
        found = make().fit(Tensor(rows), Tensor(Y), Tensor(WEIGHT))
        proba = found.predict_proba(Tensor(rows))
        assert proba.dtype == np.float32
        np.testing.assert_array_equal(proba, expected.predict_proba(rows))


@pytest.mark.parametrize("error", [RuntimeError, TypeError])
@pytest.mark.parametrize(
    "name", ["X", "y", "sample_weight", "X_val", "y_val", "sample_weight_val"]
)
def test_a_tensor_that_numpy_cannot_read(name, error):
    """It needs a gradient, or lies on a graphics card, or has a type of its own."""
    arguments = {"X": X, "y": Y, "sample_weight": WEIGHT}
    arguments |= {f"{n}_val": each for n, each in arguments.items()}
    model = network(early_stopping=True).fit(**arguments)
    before = dict(vars(model))
    text = "Call detach() first."
    arguments[name] = Tensor(arguments[name], error(text))
    with pytest.raises(ValueError, match=name) as caught:
        model.fit(**arguments)
    assert "Tensor of tensors." in str(caught.value)
    assert text in str(caught.value)
    assert vars(model) == before
    if name == "X":
        for method in ("predict", "sample_proba", "partial_fit"):
            y = (Y,) if method == "partial_fit" else ()
            model.set_params(early_stopping=False)
            with pytest.raises(ValueError, match=r"X is a Tensor.*detach\(\) first"):
                getattr(model, method)(arguments[name], *y)


def test_torch():
    torch = pytest.importorskip("torch")
    rows = X.astype(np.float32)
    expected = network().fit(rows, Y, WEIGHT)
    tensor, labels = torch.from_numpy(rows), torch.from_numpy(Y)
    found = network().fit(tensor, labels, torch.from_numpy(WEIGHT))
    assert same(found, expected)
    assert found.predict_proba(tensor).dtype == np.float32
    found = network().partial_fit(tensor, labels, classes=torch.tensor([0, 1, 2]))
    assert found.coefs_[0].dtype == np.float32
    assert network().fit(tensor.double(), labels).coefs_[0].dtype == np.float64
    assert network().fit(tensor.half(), labels).coefs_[0].dtype == np.float64
    assert network().fit(tensor.int(), labels).coefs_[0].dtype == np.float64
    for unreadable in (tensor.clone().requires_grad_(), tensor.bfloat16()):
        with pytest.raises(ValueError, match=r"X is a Tensor of torch\.") as caught:
            network().fit(unreadable, labels)
        assert "X.detach().cpu().float()" in str(caught.value)
        network().fit(unreadable.detach().cpu().float(), labels)


# Frames ------------------------------------------------------------------------------


def frame_of(library, columns):
    if library == "pandas":
        return pytest.importorskip("pandas").DataFrame(columns)
    if library == "polars":
        return pytest.importorskip("polars").DataFrame(columns)
    table = pytest.importorskip("pyarrow").table(columns)
    return table if library == "pyarrow" else table.to_batches()[0]


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow", "record batch"])
@pytest.mark.parametrize(
    ("other", "computed"),
    [
        (None, "float32"),
        ("int8", "float32"),
        ("bool", "float32"),
        ("int64", "float64"),
        ("float64", "float64"),
    ],
)
def test_a_frame_is_computed_in_what_its_columns_have_in_common(
    library, other, computed
):
    columns = {f"x{i}": X[:, i].astype(np.float32) for i in range(3)}
    columns["dtype"] = X[:, 3].astype(np.float32)
    if other is not None:
        columns["other"] = (3 * X[:, 0]).astype(other)
    frame = frame_of(library, columns)
    model = network().fit(frame, Y)
    assert model.coefs_[0].dtype == computed
    assert model.predict_proba(frame).dtype == computed
    if library != "record batch":  # scikit-learn takes no names of these
        assert list(model.feature_names_in_) == list(columns)
    table = np.column_stack(list(columns.values())).astype(computed)
    assert same(model, network().fit(table, Y))


def test_a_frame_of_sparse_columns():
    pandas = pytest.importorskip("pandas")
    rows = pandas.DataFrame(X.astype(np.float32))
    rows = rows.astype(pandas.SparseDtype("float32", 0))
    assert network().fit(rows, Y).coefs_[0].dtype == np.float32


@pytest.mark.parametrize("form", ["csr_array", "csc_matrix", "coo_array", "lil_matrix"])
def test_sparse_float32_stays(form):
    rows = getattr(sparse, form)(X.astype(np.float32))
    assert network().fit(rows, Y).coefs_[0].dtype == np.float32


def test_labels_of_other_frames():
    polars = pytest.importorskip("polars")
    names = np.array(["a", "b", "c"])[Y]
    for labels in (Y, names):
        expected = network().fit(X, labels)
        found = network().fit(X, polars.Series(labels))
        assert same(found, expected)
        np.testing.assert_array_equal(found.classes_, expected.classes_)
