"""Models in onnxruntime beside our own predictions."""

import importlib
import sys
from functools import partial

import numpy as np
import onnx
import onnxruntime
import pytest
import skl2onnx
from helpers import small
from numpy.testing import assert_allclose, assert_array_equal
from onnx.reference import ReferenceEvaluator
from skl2onnx.common.data_types import FloatTensorType
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_iris
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale

import skreg.onnx  # noqa: F401
from skreg import (
    RegularizedMLPClassifierCV,
    RegularizedMLPEnsemble,
)
from skreg._network.activations import ACTIVATIONS

network = partial(small, hidden_layer_sizes=(5, 4), learning_rate_init=0.1, max_iter=5)


IRIS, CLASSES = load_iris(return_X_y=True)
X = scale(IRIS)[::3]
CLASSES = CLASSES[::3]
TARGETS = {
    "binary": (CLASSES > 0).astype(int),
    "multiclass": CLASSES,
    "multilabel": np.eye(3, dtype=int)[CLASSES] | (X[:, :3] > 0.5),
}
TOLERANCES = {np.float32: 1e-6, np.float64: 1e-12}

each_kind = pytest.mark.parametrize("kind", TARGETS)
each_dtype = pytest.mark.parametrize("dtype", TOLERANCES)


EXPORTED = [name for name, each in ACTIVATIONS.items() if each.onnx_operator]


def ensemble(**parameters):
    return RegularizedMLPEnsemble(network(**parameters), 3)


def scaled():
    return make_pipeline(StandardScaler(), network())


both_models = pytest.mark.parametrize("make", [network, ensemble])


def export(model, rows, options=None, *, full_check=True, **settings):
    """The checked ONNX model; arrays in place of dictionaries unless asked for."""
    if options is None:
        options = {"zipmap": False}
    exported = skl2onnx.to_onnx(model, rows[:1], options=options, **settings)
    onnx.checker.check_model(exported, full_check=full_check)
    return exported


def session_of(exported):
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        exported.SerializeToString(), settings, providers=["CPUExecutionProvider"]
    )


def run(model, rows, options=None, **settings):
    session = session_of(export(model, rows, options, **settings))
    return session.run(None, {"X": rows})


def assert_agree(outputs, model, rows, atol=None):
    labels, probabilities = outputs
    expected = model.predict_proba(rows)
    atol = atol or TOLERANCES[rows.dtype.type]
    assert_allclose(probabilities, expected, rtol=0, atol=atol)
    assert_array_equal(labels, model.predict(rows))


# Probabilities and labels ------------------------------------------------------------


@each_kind
@pytest.mark.parametrize("activation", EXPORTED)
@each_dtype
def test_network(kind, activation, dtype):
    rows = X.astype(dtype)
    model = network(activation=activation).fit(X, TARGETS[kind])
    session = session_of(export(model, rows))
    for n in (1, len(X), 2):
        outputs = session.run(None, {"X": rows[:n]})
        assert outputs[1].dtype == dtype
        assert_agree(outputs, model, rows[:n])


@each_kind
@each_dtype
def test_ensemble(kind, dtype):
    rows = X.astype(dtype)
    model = ensemble(activation="tanh").fit(X, TARGETS[kind])
    outputs = run(model, rows)
    assert outputs[1].dtype == dtype
    assert_agree(outputs, model, rows)


@each_kind
@each_dtype
def test_a_team_is_exported_with_its_weights(kind, dtype):
    rows = X.astype(dtype)
    members = [network(lambd=0.1), network(lambd=30.0)]
    model = RegularizedMLPEnsemble(members, 3, weights=[1, 9]).fit(X, TARGETS[kind])
    assert_agree(run(model, rows), model, rows)
    unweighted = RegularizedMLPEnsemble(members, 3).fit(X, TARGETS[kind])
    assert np.ptp(unweighted.predict_proba(X) - model.predict_proba(X)) > 0.01
    _, scores = run(model, rows, {"zipmap": False, "raw_scores": True})
    expected = model.decision_function(rows)
    if kind == "binary":
        expected = np.column_stack([-expected, expected])
    atol = 100 * TOLERANCES[rows.dtype.type]
    assert_allclose(scores, expected, rtol=0, atol=atol)


@each_kind
@both_models
def test_shapes_of_outputs(kind, make):
    model = make().fit(X, TARGETS[kind])
    session = session_of(export(model, X))
    names = [output.name for output in session.get_outputs()]
    assert names == ["label", "probabilities"]
    n_columns = len(model.classes_)
    columns = [n_columns] if kind == "multilabel" else []
    declared = [output.shape for output in session.get_outputs()]
    assert declared == [[None, *columns], [None, n_columns]]
    labels, probabilities = session.run(None, {"X": X[:0]})
    assert labels.shape == (0, *columns)
    assert probabilities.shape == (0, n_columns)


@pytest.mark.parametrize("opset", [9, 12, 13, 17, 18])
@each_kind
def test_opsets(opset, kind):
    model = ensemble().fit(X, TARGETS[kind])
    exported = export(model, X, target_opset=opset)
    (main,) = [each.version for each in exported.opset_import if not each.domain]
    assert main <= opset
    assert_agree(session_of(exported).run(None, {"X": X}), model, X)


@each_kind
@both_models
def test_the_interpreter_of_the_standard_agrees(kind, make):
    model = make().fit(X, TARGETS[kind])
    outputs = ReferenceEvaluator(export(model, X)).run(None, {"X": X})
    assert outputs[1].dtype == np.float64
    assert_agree(outputs, model, X)


@pytest.mark.parametrize(
    ("kind", "activation"),
    [
        ("binary", "logistic"),
        ("multiclass", "relu"),
        ("multiclass", "identity"),
        ("multilabel", "tanh"),
    ],
)
def test_the_converter_of_mlp_classifier_agrees(kind, activation):
    rows = X.astype(np.float32)
    model = network(activation=activation).fit(X, TARGETS[kind])
    # The huge tol ends their training without a warning.
    theirs = MLPClassifier(
        (5, 4), activation=activation, tol=100, n_iter_no_change=1, max_iter=5
    ).fit(X, TARGETS[kind])
    theirs.coefs_, theirs.intercepts_ = model.coefs_, model.intercepts_
    names, results = [], []
    for each in (model, theirs):
        # skl2onnx declares another shape for the labels of theirs than it gives them.
        session = session_of(export(each, rows, {}, full_check=each is model))
        names.append([(output.name, output.type) for output in session.get_outputs()])
        results.append(session.run(None, {"X": rows}))
    assert names[0] == names[1]
    assert [name for name, _ in names[0]] == ["output_label", "output_probability"]
    (labels, maps), (their_labels, their_maps) = results
    assert labels.dtype == their_labels.dtype
    assert_array_equal(labels, their_labels)
    for row, their_row in zip(maps, their_maps, strict=True):
        assert row == pytest.approx(their_row, abs=1e-6)


@each_kind
@both_models
@each_dtype
def test_large_logits(kind, make, dtype):
    rows = X.astype(dtype)
    model = make().fit(X, TARGETS[kind])
    for each in getattr(model, "estimators_", [model]):
        each.coefs_[-1] *= 1e4
    assert np.abs(model.decision_function(rows)).max() > 1000
    labels, probabilities = run(model, rows)
    assert_agree((labels, probabilities), model, rows)
    assert probabilities.min() >= 0
    assert probabilities.max() <= 1
    if kind != "multilabel":
        assert_allclose(probabilities.sum(axis=1), 1, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("make", "kind", "logits"),
    [
        (network, "binary", [0.0]),
        (network, "binary", [1e-9]),
        (network, "multiclass", [-1.0, 2.0, 2.0]),
        (network, "multilabel", [0.0, -1e-9, 1e-9]),
        (ensemble, "binary", [0.0]),
        (ensemble, "multiclass", [-1.0, 2.0, 2.0]),
        (ensemble, "multilabel", [0.0, -1e-3, 1e-3]),
    ],
)
def test_ties_and_what_rounds_to_a_half(make, kind, logits):
    rows = X.astype(np.float32)
    model = make().fit(X, TARGETS[kind])
    for each in getattr(model, "estimators_", [model]):
        each.coefs_[-1][:] = 0
        each.intercepts_[-1][:] = logits
    assert_agree(run(model, rows), model, rows)


@both_models
@each_dtype
def test_one_class(make, dtype):
    rows = X.astype(dtype)
    model = make().fit(X, np.full(len(X), "only"))
    labels, probabilities = run(model, rows)
    assert_array_equal(labels, ["only"] * len(X))
    assert_allclose(probabilities, np.ones((len(X), 1)), rtol=TOLERANCES[dtype])


def test_columns_that_are_not_counted():
    model, rows = network().fit(X, CLASSES), X.astype(np.float32)
    exported = skl2onnx.to_onnx(
        model,
        initial_types=[("X", FloatTensorType([None, None]))],
        options={"zipmap": False},
    )
    assert_agree(session_of(exported).run(None, {"X": rows}), model, rows)


@pytest.mark.parametrize("dtype", [np.int32, np.int64, bool])
def test_inputs_that_are_no_floats_are_computed_in_float64(dtype):
    whole = np.rint(2 * X).astype(np.int64)
    model = network().fit(X, CLASSES)
    rows = whole > 0
    if dtype is not bool:
        # float32 has every second number from here on.
        rows = (whole + 2**24 + 1).astype(dtype)
        expected = model.predict_proba(whole)
        model.intercepts_[0] -= (2**24 + 1) * model.coefs_[0].sum(axis=0)
        assert_allclose(model.predict_proba(rows), expected, atol=1e-6)
    outputs = run(model, rows)
    assert outputs[1].dtype == np.float32
    assert_agree(outputs, model, rows, atol=1e-6)


# Labels and options ------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        np.array(["é", "b", "naïve"]),
        np.array(["b", "a", "c"], dtype=object),
        np.array([-7, 2**40, 3]),
        np.array([-1, 0, 5], dtype=np.int32),
        np.array([200, 0, 7], dtype=np.uint8),
        np.array([2.0, -1.0, 4.0]),
        np.array([True, False, True]),
    ],
    ids=lambda names: names.dtype.name,
)
def test_kinds_of_labels(names):
    y, rows = names[CLASSES], X.astype(np.float32)
    model = network().fit(X, y)
    expected = model.classes_.tolist()
    labels, probabilities = run(model, rows)
    assert_agree((labels, probabilities), model, rows)
    assert labels.dtype == (object if names.dtype.kind in "OU" else np.int64)
    labels, maps = run(model, rows, {})
    assert_array_equal(labels, model.predict(rows))
    assert [list(row) for row in maps] == [expected] * len(X)


def test_labels_too_large_for_onnx():
    y = np.array([1, 2**63 + 1], dtype=np.uint64)[TARGETS["binary"]]
    model = network().fit(X, y)
    with pytest.raises(ValueError, match=r"9223372036854775809\] do not fit into"):
        export(model, X)


@each_dtype
def test_dictionaries_are_the_default(dtype):
    rows = X.astype(dtype)
    for model in (network(), GridSearchCV(scaled(), {}, cv=2)):
        model.fit(X, CLASSES)
        exported = export(model, rows, {})
        names = [output.name for output in exported.graph.output]
        assert names == ["output_label", "output_probability"]
        labels, maps = session_of(exported).run(None, {"X": rows})
        probabilities = np.array([[row[k] for k in (0, 1, 2)] for row in maps])
        assert_agree((labels, probabilities), model, rows, atol=1e-6)


def test_options_are_those_of_scikit_learns_classifiers():
    model = network().fit(X, np.array(["a", "b", "c"])[CLASSES])
    expected = model.predict_proba(X)
    _, *columns = run(model, X, {id(model): {"zipmap": "columns"}})
    assert_allclose(np.transpose(columns), expected, atol=1e-12)
    options = {type(model): {"zipmap": False, "output_class_labels": True}}
    *outputs, classes = run(model, X, options)
    assert_agree(outputs, model, X)
    assert_array_equal(classes, ["a", "b", "c"])
    codes, probabilities = run(model, X, {"zipmap": False, "nocl": True})
    assert_array_equal(codes, expected.argmax(axis=1))
    assert_allclose(probabilities, expected, atol=1e-12)


@each_kind
@both_models
def test_raw_scores_are_the_decision_function(kind, make):
    model = make().fit(X, TARGETS[kind])
    for each in getattr(model, "estimators_", [model]):
        each.coefs_[-1] *= 1e4
    labels, scores = run(model, X, {"zipmap": False, "raw_scores": True})
    expected = model.decision_function(X)
    assert np.abs(expected).max() > 1000
    if kind == "binary":
        expected = np.column_stack([-expected, expected])
    assert_allclose(scores, expected, rtol=1e-12, atol=1e-12)
    assert_array_equal(labels, model.predict(X))


# Models inside others ----------------------------------------------------------------


@pytest.mark.parametrize("n_refits", [1, 2])
def test_search(n_refits):
    settings = network().get_params() | {"n_refits": n_refits, "cv": 2}
    for name in ("lambd", "keep_prob", "warm_start", "scoring", "verbose"):
        del settings[name]
    settings["early_stopping"] = False
    model = RegularizedMLPClassifierCV((0.1, 1.0), (1.0,), **settings)
    model.fit(X, CLASSES)
    outputs = run(model, X)
    assert_agree(outputs, model, X)
    pipeline = make_pipeline(StandardScaler(), model).fit(X, CLASSES)
    assert_agree(run(pipeline, X), pipeline, X)


@pytest.mark.parametrize(
    ("kind", "model"),
    [
        (
            "multiclass",
            make_pipeline(
                make_column_transformer(
                    (StandardScaler(), [0, 1]), remainder="passthrough"
                ),
                network(),
            ),
        ),
        # skl2onnx 1.18 says that SelectKBest puts out all columns.
        ("multiclass", make_pipeline(SelectKBest(k=2), network())),
        (
            "multiclass",
            VotingClassifier(
                [("network", scaled()), ("linear", LogisticRegression())],
                voting="soft",
                flatten_transform=False,
            ),
        ),
        ("binary", CalibratedClassifierCV(network(), cv=2)),
        ("multiclass", CalibratedClassifierCV(ensemble(), cv=2)),
        ("binary", CalibratedClassifierCV(scaled(), cv=2)),
        (
            "multiclass",
            CalibratedClassifierCV(make_pipeline(StandardScaler(), scaled()), cv=2),
        ),
        ("multiclass", OneVsRestClassifier(network())),
        ("multilabel", OneVsRestClassifier(ensemble())),
        ("multiclass", GridSearchCV(scaled(), {}, cv=2)),
        ("binary", make_pipeline(StandardScaler(), GridSearchCV(network(), {}, cv=2))),
        ("multiclass", BaggingClassifier(network(), 2, max_features=3)),
        (
            "binary",
            StackingClassifier(
                [("a", network()), ("b", ensemble())], LogisticRegression(), cv=2
            ),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_inside_other_estimators(kind, model):
    model = clone(model).fit(X, TARGETS[kind])
    assert_agree(run(model, X), model, X)


def test_one_versus_one():
    model = OneVsOneClassifier(network()).fit(X, CLASSES)
    # skl2onnx declares another shape for its labels than it gives them.
    labels, _ = run(model, X, full_check=False)
    assert_array_equal(np.ravel(labels), model.predict(X))


def test_several_outputs():
    model = MultiOutputClassifier(network()).fit(X, TARGETS["multilabel"])
    labels, probabilities = run(model, X)
    assert_array_equal(labels, model.predict(X))
    assert_allclose(probabilities, model.predict_proba(X), atol=1e-12)


def test_text():
    texts = np.array(["a red cat", "the blue sea", "a grey cat", "the wide sea"] * 3)
    y = np.array(["cat", "sea", "cat", "sea"] * 3)
    model = make_pipeline(TfidfVectorizer(), network()).fit(texts, y)
    # Its default is en_US, which not every machine has.
    options = {TfidfVectorizer: {"locale": "C"}, id(model[-1]): {"zipmap": False}}
    exported = skl2onnx.to_onnx(model, texts[:1], options=options)
    outputs = session_of(exported).run(None, {"X": texts})
    assert_agree(outputs, model, texts, atol=1e-6)


# Errors ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model",
    [network(), ensemble(), RegularizedMLPClassifierCV(), scaled()],
    ids=lambda model: type(model).__name__,
)
def test_a_model_that_is_not_fitted(model):
    with pytest.raises(NotFittedError, match="not fitted yet"):
        export(model, X, {})


def test_a_search_without_a_model():
    model = RegularizedMLPClassifierCV(
        (1.0,), (1.0,), hidden_layer_sizes=2, max_iter=2, cv=2, refit=False
    ).fit(X, CLASSES)
    with pytest.raises(ValueError, match="refit=False: the search has no model"):
        export(model, X)


def test_an_activation_without_an_operator(monkeypatch):
    model = network(activation="tanh").fit(X, CLASSES)
    without = ACTIVATIONS["tanh"]._replace(onnx_operator=None)
    monkeypatch.setitem(ACTIVATIONS, "tanh", without)
    with pytest.raises(NotImplementedError, match="='tanh' is no ONNX operator"):
        export(model, X)


@pytest.mark.parametrize("make", [network, lambda: OneVsRestClassifier(network())])
def test_rows_of_another_width(make):
    model = make().fit(X, CLASSES)
    with pytest.raises(ValueError, match=r"3 columns, but Reg.* is fitted to 4\."):
        export(model, X[:, :3])


def test_inputs_that_are_texts():
    model = network().fit(X, CLASSES)
    with pytest.raises(RuntimeError, match="wrong type"):
        export(model, X.astype(str))


@pytest.mark.parametrize("library", ["onnx", "skl2onnx"])
def test_without_the_libraries(library, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.delitem(sys.modules, "skreg.onnx")
    with pytest.raises(ImportError, match=r'pip install "skreg\[onnx\]"'):
        importlib.import_module("skreg.onnx")


def test_the_activations_of_this_version_are_all_exported():
    assert {"identity", "logistic", "tanh", "relu"} <= set(EXPORTED)
