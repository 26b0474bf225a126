"""Any parameters and any data: a valid model or a clear error, and nothing else.

By default each test draws few cases; `--hypothesis-profile=deep` draws thousands
(docs/reliability/properties.py). What is drawn and what is promised: tests/inputs.py.
"""

from itertools import pairwise

import inputs
import numpy as np
import pytest
from hypothesis import event, example, given, note
from hypothesis import strategies as st
from inputs import Broken, Case, Documented, Labels, Table, Weights, must, promises
from sklearn.utils._param_validation import make_constraint

from skreg import (
    RegularizedMLPClassifier,
    RegularizedMLPClassifierCV,
    RegularizedMLPEnsemble,
    functional,
)

CLASSES = [
    RegularizedMLPClassifier,
    RegularizedMLPEnsemble,
    RegularizedMLPClassifierCV,
]


def as_promised(check, *args):
    """Run the check; a clear error is as good as a model."""
    try:
        check(*args)
        event("a valid model")
    except Documented as error:
        note(f"a clear error: {error}")
        event("a clear error")


def fitted(model, case, where="fit", method="fit", **more):
    """The model, fitted to the case."""
    X, y, extra = case.arguments()
    with promises(where, X=X, y=y, **extra):
        must(getattr(model, method)(X, y, **extra, **more) is model, where, "not self")
    return model


def check_all_predictions(model, case, *, own=True):
    """All methods that predict, on the rows of the fit and on others."""
    for X in (case.X, case.X_new):
        if X is not None:
            built = X.build()
            inputs.check_predictions(model, case, X, built)
            if own:
                inputs.check_more_predictions(model, case, X, built)


def check_score(model, case):
    X, y, extra = case.arguments()
    extra = {"sample_weight": extra.get("sample_weight")}
    with promises("score", X=X, y=y, **extra):
        score = model.score(X, y, **extra)
    must(0 <= score <= 1 + 1e-9, "score", f"it is {score}")


# The parameters -----------------------------------------------------------------------


@pytest.mark.parametrize("cls", CLASSES)
@inputs.a_part_of_the_examples(6)
@given(data=st.data())
def test_what_is_drawn_is_what_is_declared(cls, data):
    for name, constraints in cls._parameter_constraints.items():
        value = data.draw(inputs.parameter(cls, name), label=name)
        assert any(make_constraint(c).is_satisfied_by(value) for c in constraints)


# The classifier -----------------------------------------------------------------------


def check_fit(case, cls=RegularizedMLPClassifier):
    model = fitted(cls(**case.parameters), case)
    inputs.check_attributes(model, case)
    inputs.check_own_attributes(model, case)
    check_all_predictions(model, case)
    check_score(model, case)


COLUMN = ((0.0, 1.0, 2.0),)
LARGE = ((3.4e38, 3.4e38, -3.4e38, -3.4e38),)
Y = Labels("ints", (0, 1), 3)
Y_1 = Labels("ints", (0,), 3)
Y_3 = Labels("ints", (0, 1, 2), 3)
Y_OF_8 = Labels("ints", (0, 1), 8)


def found(X=COLUMN, y=Y, dtype="float64", container="C", **more):
    """A case by which a fault was found; parameters are of the fit."""
    of_case = {"sample_weight", "X_new", "validation"}
    case = {name: more.pop(name) for name in of_case & more.keys()}
    parameters = {**inputs.BASE, "random_state": 0, **more}
    return Case(Table(X, y.n_rows, dtype, container), y, parameters, **case)


TINY = Weights((1e-310,), 3)
SPARSE_BOOLS = Table(COLUMN, 3, "bool", "sparse frame")
TOO_LARGE_32 = Table(((3.4e38,),), 1, "float32")
FAST = {"learning_rate_init": 10.0, "solver": "sgd"}


# lambd over the total weight of the rows overflows.
@example(case=found(sample_weight=TINY))
@example(case=found(dtype="float32", lambd=1e100))
# scikit-learn leaves a pandas table of sparse bools as it is.
@example(case=found(X_new=SPARSE_BOOLS))
@example(case=found(dtype="bool", container="sparse frame"))
# Its check of finite values sums them, and casts rows for validation to float32.
@example(case=found(LARGE, Y_OF_8, dtype="float32"))
@example(
    case=found(
        dtype="float32",
        validation=(Table(((1e155,),), 3), Y, None),
        early_stopping=True,
    )
)
# A tol of float16 beside a loss above 65504.
@example(case=found(tol=np.float16(0.5), sample_weight=Weights((1e-36,), 3)))
# Learning rates.
@example(case=found(learning_rate_init=np.finfo(float).max))
@example(case=found(epsilon=np.finfo(float).max))
@example(case=found(solver="sgd", learning_rate="invscaling", power_t=1e300))
# 1 - beta_2 is no number of float32, or none at all.
@example(case=found(beta_1=np.float16(0.5), beta_2=1 - 2**-53))
# Rows held out that weigh so little beside the others that these, over them, overflow.
@example(
    case=found(
        y=Labels("floats", (0, 1, 1, 1), 11),
        sample_weight=Weights((1e-300, 1e10, 2.0), 11),
        early_stopping=True,
        random_state=2,
    )
)
# Logits overflow.
@example(case=found(((1e38,),), Y_1, dtype="float32", input_keep_prob=0.25))
@example(case=found(X_new=TOO_LARGE_32, **FAST))
@example(case=found(y=Y_3, X_new=TOO_LARGE_32, **FAST))
@given(case=inputs.cases())
def test_fit(case):
    as_promised(check_fit, case)


def check_partial_fit(case, n_calls):
    model = RegularizedMLPClassifier(**case.parameters)
    classes = None
    if case.y.kind != "multilabel":
        classes = case.y.array()
        # Mixed and missing labels have no order, as the call is to say.
        in_order = case.y.classes not in ("mixed", "missing")
        classes = (
            np.unique(classes) if in_order else np.array(list(set(classes)), object)
        )
    for call in range(1, n_calls + 1):
        fitted(model, case, "partial_fit", "partial_fit", classes=classes)
        must(model.n_iter_ in (0, call), "partial_fit", f"n_iter_ {model.n_iter_}")
        must(len(model.loss_curve_) <= model.max_iter, "partial_fit", "loss_curve_")
    inputs.must_be_finite(model.coefs_ + model.intercepts_, "partial_fit", "a weight")
    inputs.must_be_finite([model.loss_curve_, model.loss_], "partial_fit", "a loss")
    if classes is not None:
        must(np.array_equal(model.classes_, classes), "partial_fit", "classes_")
    check_all_predictions(model, case)


@example(case=found(y=Labels("mixed", (0, 1), 3)), n_calls=1)
@example(case=found(y=Labels("missing", (0, 1), 3)), n_calls=1)
@inputs.a_part_of_the_examples(2)
@given(case=inputs.cases(validation=False), n_calls=st.integers(1, 3))
def test_partial_fit(case, n_calls):
    as_promised(check_partial_fit, case, n_calls)


# The ensemble and the search ----------------------------------------------------------


def check_ensemble(case, n_estimators):
    network = RegularizedMLPClassifier(**case.parameters)
    model = fitted(RegularizedMLPEnsemble(network, n_estimators), case)
    must(len(model.estimators_) == n_estimators, "attributes", "estimators_")
    for each in model.estimators_:
        inputs.check_attributes(each, case)
        inputs.check_own_attributes(each, case)
    check_all_predictions(_WithOutputs(model), case, own=False)
    check_score(model, case)


class _WithOutputs:
    """The ensemble, as a network of its own kind."""

    def __init__(self, model):
        self._model = model
        self.n_outputs_ = model.estimators_[0].n_outputs_

    def __getattr__(self, name):
        return getattr(self._model, name)


@inputs.a_part_of_the_examples(2)
@example(case=found(y=Labels("mixed", (0, 1), 3, "list")), n_estimators=1)
@example(case=found(y=Labels("mixed", (0, 1, 0), 2, "polars")), n_estimators=1)
# Networks that train together have no product with sparse rows for validation.
@example(
    case=found(validation=(Table(COLUMN, 3, "float64", "csr_array"), Y, None)),
    n_estimators=2,
)
@given(case=inputs.cases(), n_estimators=st.integers(1, 3))
def test_ensemble(case, n_estimators):
    as_promised(check_ensemble, case, n_estimators)


def check_search(case):
    search = RegularizedMLPClassifierCV(**case.parameters)
    model = fitted(search, case)
    n = len(search.lambds) * len(search.keep_probs)
    must(len(model.cv_results_["params"]) == n, "cv_results_", "params")
    ranks = [k for k in model.cv_results_ if k.startswith("rank_test_")]
    must(ranks, "cv_results_", "no ranks")
    must(model.n_splits_ >= 1, "attributes", f"n_splits_ {model.n_splits_}")
    if not search.refit:
        return
    must(model.lambd_ == model.best_params_["lambd"], "attributes", "lambd_")
    must(0 <= model.best_index_ < n, "attributes", f"best_index_ {model.best_index_}")
    check_all_predictions(model, case, own=False)


@inputs.a_part_of_the_examples(5)
# All rows of a fold weigh nothing.
@example(
    case=found(
        y=Labels("ints", (0,), 2),
        sample_weight=Weights((0.0, 1.0), 2),
        **inputs.BASE_OF_SEARCH,
    )
)
@given(
    case=inputs.cases(
        inputs.parameters(RegularizedMLPClassifierCV, inputs.BASE_OF_SEARCH)
    )
)
def test_search(case):
    as_promised(check_search, case)


# To scikit-learn and back -------------------------------------------------------------


def check_exchange(case):
    model = fitted(RegularizedMLPClassifier(**case.parameters), case)
    with promises("to_sklearn"):
        theirs = model.to_sklearn()
    with promises("from_sklearn"):
        back = RegularizedMLPClassifier.from_sklearn(theirs)
    for ours, copied in zip(model.coefs_, back.coefs_, strict=True):
        must(np.array_equal(ours, copied), "from_sklearn", "other weights")
    must(np.array_equal(model.classes_, back.classes_), "from_sklearn", "classes_")
    inputs.check_attributes(back, case)
    P, y = inputs.check_predictions(model, case, case.X, case.X.build())
    Q, z = inputs.check_predictions(back, case, case.X, case.X.build())
    must(np.array_equal(P, Q), "from_sklearn", "other probabilities")
    must(np.array_equal(y, z), "from_sklearn", "other predictions")


@inputs.a_part_of_the_examples(3)
@given(case=inputs.cases())
def test_exchange_with_scikit_learn(case):
    as_promised(check_exchange, case)


# The documents' functions -------------------------------------------------------------


@st.composite
def networks(draw):
    """X, Y and parameters of the documents' functions."""
    values = draw(st.sampled_from([inputs.ordinary, inputs.ordinary | inputs.extreme]))
    m = draw(st.integers(1, 4))
    units = [draw(st.integers(1, 3)) for _ in range(draw(st.integers(2, 4)))]

    def matrix(n, k):
        cells = draw(st.lists(values, min_size=1, max_size=5))
        return np.resize(np.array(cells, dtype=float), (n, k))

    parameters = {}
    for i, (n_in, n_out) in enumerate(pairwise(units), start=1):
        parameters |= {f"W{i}": matrix(n_out, n_in), f"b{i}": matrix(n_out, 1)}
    codes = np.resize(draw(st.lists(st.integers(0, 2), min_size=1, max_size=4)), m)
    Y = (codes[np.newaxis] % 2).astype(float)
    if units[-1] > 1:
        Y = np.eye(units[-1])[:, codes % units[-1]]
    return matrix(units[0], m), Y, parameters


def check_functions(X, Y, parameters, lambd, keep_prob):
    arrays = {"X": X, "Y": Y, **parameters}
    with promises("forward_propagation", **arrays):
        A3, cache = functional.forward_propagation(X, parameters)
    with promises("compute_cost_with_regularization", A3=A3, **arrays):
        plain = functional.compute_cost(A3, Y)
        cost = functional.compute_cost_with_regularization(A3, Y, parameters, lambd)
    with promises("backward_propagation_with_regularization", **arrays):
        gradients = functional.backward_propagation_with_regularization(
            X, Y, cache, lambd
        )
    _check_pass("forward_propagation", A3, gradients, parameters)
    # Infinite is documented; NaN would fail.
    must(0 <= plain <= cost, "compute_cost", f"{plain}, {cost}")
    with promises("forward_propagation_with_dropout", **arrays):
        A3, cache = functional.forward_propagation_with_dropout(
            X, parameters, keep_prob, random_state=0
        )
    with promises("backward_propagation_with_dropout", **arrays):
        gradients = functional.backward_propagation_with_dropout(X, Y, cache, keep_prob)
    _check_pass("forward_propagation_with_dropout", A3, gradients, parameters)


def _check_pass(where, A3, gradients, parameters):
    inputs.must_be_finite([A3], where, "a probability")
    must(((A3 >= 0) & (A3 <= 1)).all(), where, "no probability")
    if len(A3) > 1:
        must(np.allclose(A3.sum(axis=0), 1), where, "the sum is not one")
    inputs.must_be_finite(gradients.values(), where, "a gradient")
    for name, value in parameters.items():
        must(gradients[f"d{name}"].shape == value.shape, where, f"d{name}")


def of_one_column(X, W, b=0.0):
    """A network of one layer, for which numbers overflow."""
    return (
        np.array([[X]]),
        np.ones((1, 1)),
        {"W1": np.array([[W]]), "b1": np.array([[b]])},
    )


@example(network=of_one_column(1e200, 1e200), lambd=0, keep_prob=1)
@example(network=of_one_column(1.0, -1e200), lambd=0.7, keep_prob=1)
@example(network=of_one_column(1.0, -1e200), lambd=0, keep_prob=1)
@example(network=of_one_column(1.0, 1e300), lambd=1e12, keep_prob=1)
@given(
    network=networks(),
    lambd=st.sampled_from([0, 0.7, 1e-300, 1e12]),
    keep_prob=st.sampled_from([1, 0.5, 0.9, 1e-3]),
)
def test_the_documents_functions(network, lambd, keep_prob):
    as_promised(check_functions, *network, lambd, keep_prob)


# What the errors say, and what the mends give ----------------------------------------


def small(X, y, **arguments):
    names = {"lambd", "early_stopping"} & arguments.keys()
    parameters = {name: arguments.pop(name) for name in names}
    network = RegularizedMLPClassifier(3, max_iter=100, random_state=0, **parameters)
    return network.fit(X, y, **arguments)


@pytest.fixture(scope="module")
def rows():
    X = np.random.default_rng(0).integers(-1, 2, size=(20, 3)).astype(float)
    return X, np.arange(20) % 3


@pytest.mark.parametrize(
    "method",
    [
        "predict",
        "predict_proba",
        "predict_log_proba",
        "decision_function",
        "sample_proba",
        "input_gradients",
    ],
)
@pytest.mark.parametrize("container", [np.array, inputs.SPARSE["csr_array"]])
def test_logits_that_overflow_are_refused(rows, method, container):
    X, y = rows
    large = container(np.array([[1.0, 2.0, 3.0], [0.0, -3.4e38, 3.4e38]], np.float32))
    model = RegularizedMLPClassifier(
        3, activation="identity", keep_prob=0.9, random_state=0
    )
    model.fit(X, y).coefs_[0] *= 100
    with pytest.raises(ValueError, match=r"row 1 of X, .* float32: .* is 3\.4e\+38"):
        getattr(model, method)(large)


def test_lambd_over_tiny_weights_is_refused(rows):
    with pytest.raises(
        ValueError, match=r"lambd=2\.0 over .*, 2e-309, overflows float64"
    ):
        small(*rows, lambd=2.0, sample_weight=np.full(20, 1e-310))


@pytest.mark.parametrize("method", ["fit", "partial_fit", "predict", "score"])
def test_an_integer_that_is_too_large_for_a_float_is_refused(rows, method):
    X, y = rows
    model = RegularizedMLPClassifier(3, max_iter=5, early_stopping=False).fit(X, y)
    large = X.astype(object)
    large[2, 1] = 10**400
    arguments = (large,) if method == "predict" else (large, y)
    with pytest.raises(ValueError, match="X has an integer that is too large"):
        getattr(model, method)(*arguments)


def test_a_column_that_is_too_large_for_the_functions_is_named():
    X, _, parameters = of_one_column(1e200, 1e180)
    with pytest.raises(ValueError, match=r"Z1 overflows: .* is 1e\+200, in X"):
        functional.forward_propagation(X, parameters)


def test_sparse_rows_for_validation_are_as_dense_ones(rows):
    X, y = rows
    network = RegularizedMLPClassifier(
        3, max_iter=3, early_stopping=True, learning_rate="cosine", random_state=0
    )
    dense, sparse = (
        RegularizedMLPEnsemble(network, 2).fit(X, y, X_val=make(X), y_val=y)
        for make in (np.array, inputs.SPARSE["csr_array"])
    )
    np.testing.assert_array_equal(dense.predict_proba(X), sparse.predict_proba(X))


def test_a_frame_of_sparse_bools_is_as_its_numbers(rows):
    X, y = rows
    frame = inputs.FRAMES["sparse frame"](X > 0)
    plain, framed = small(1.0 * (X > 0), y), small(frame, y)
    expected = plain.predict_proba(1.0 * (X > 0))
    assert expected.dtype == float
    np.testing.assert_allclose(framed.predict_proba(frame), expected, rtol=1e-9)


def test_a_frame_of_sparse_bools_for_validation_has_the_dtype_of_the_rows(rows):
    X, y = rows
    X = inputs.FRAMES["frame"]((X > 0).astype(np.float32))
    found, expected = (
        small(X, y, early_stopping=True, X_val=frame, y_val=y)
        for frame in (inputs.FRAMES["sparse frame"](X.to_numpy() > 0), X)
    )
    assert found.validation_scores_ == expected.validation_scores_


# What these tests stand on ------------------------------------------------------------


@pytest.mark.parametrize("name", inputs.CONTAINERS)
def test_each_container_holds_the_numbers(name):
    table = Table(((0.0, 1.0, 2.0), (3.0, 0.0), (-1.0,)), 5, container=name)
    built = table.build()
    values = built.toarray() if hasattr(built, "toarray") else np.asarray(built)
    kinds = (
        ["float64", "int64", "float32"] if name == "mixed frame" else ["float64"] * 3
    )
    expected = [
        inputs.as_dtype(c, k) for c, k in zip(table.array().T, kinds, strict=True)
    ]
    np.testing.assert_array_equal(values.astype(float), np.transpose(expected))
    assert inputs.fingerprint(built) == inputs.fingerprint(table.build())


@pytest.mark.parametrize("name", sorted(set(inputs.CONTAINERS) - {"list"}))
def test_a_change_of_a_container_shows(name):
    table = Table(((0.0, 1.0, 2.0), (3.0, 0.0), (-1.0,)), 5, container=name)
    other = Table(((0.0, 1.0, 2.0), (3.0, 0.0), (-2.0,)), 5, container=name)
    assert inputs.fingerprint(table.build()) != inputs.fingerprint(other.build())


class Faulty(RegularizedMLPClassifier):
    """A classifier with a fault, which is a function of the method's name."""

    fault = staticmethod(lambda name, model, result, X: result)

    def fit(self, X, y, sample_weight=None, **more):
        super().fit(X, y, sample_weight, **more)
        return type(self).fault("fit", self, self, X)


def _method(name):
    def method(self, X, *args, **kwargs):
        result = getattr(RegularizedMLPClassifier, name)(self, X, *args, **kwargs)
        return type(self).fault(name, self, result, X)

    return method


for _name in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
    setattr(Faulty, _name, _method(_name))


def _fails(error):
    def fail(result, model, X):
        raise error

    return fail


def _sets(name, value):
    def set_(result, model, X):
        setattr(model, name, value(getattr(model, name)))
        return result

    return set_


def _hangs(result, model, X):
    while True:
        pass


def _writes(result, model, X):
    X[0, 0] += 1
    return result


def _warns(result, model, X):
    np.log(np.zeros(1))
    return result


FAULTS = [
    ("wrong error", "fit", _fails(IndexError("list index out of range"))),
    ("wrong error", "fit", _fails(OverflowError("math range error"))),
    ("wrong error", "fit", _fails(np.linalg.LinAlgError("did not converge"))),
    ("wrong error", "fit", lambda *_: np.ones(2) + np.ones(3)),
    ("wrong error", "predict", _fails(AttributeError("no attribute"))),
    ("hang", "predict", _hangs),
    ("changed input", "fit", _writes),
    ("changed input", "predict_proba", _writes),
    ("numpy warning", "fit", _warns),
    ("numpy warning", "predict_log_proba", _warns),
    ("NaN", "predict_proba", lambda P, *_: P * np.nan),
    ("NaN", "predict_log_proba", lambda P, *_: P - np.inf),
    ("NaN", "decision_function", lambda Z, *_: Z + np.inf),
    ("NaN", "fit", _sets("coefs_", lambda W: [W[0] * np.nan, *W[1:]])),
    ("NaN", "fit", _sets("loss_", lambda loss: np.inf)),
    ("wrong model", "predict_proba", lambda P, *_: P * 0.9),
    ("wrong model", "predict_proba", lambda P, *_: P - 0.9),
    ("wrong model", "predict_proba", lambda P, *_: P[:, :1]),
    ("wrong model", "predict", lambda y, *_: 1 - y),
    ("wrong model", "predict", lambda y, *_: y + 2),
    ("wrong model", "predict_log_proba", lambda P, *_: P - 0.1),
    ("wrong model", "decision_function", lambda Z, *_: Z[:, np.newaxis]),
    ("wrong model", "fit", _sets("classes_", lambda classes: classes + 1)),
    ("wrong model", "fit", _sets("n_iter_", lambda n_iter: n_iter + 9)),
    ("wrong model", "fit", _sets("loss_curve_", lambda curve: curve[1:])),
    ("wrong model", "fit", _sets("n_features_in_", lambda n: n + 1)),
]


@pytest.mark.parametrize(("promise", "method", "fault"), FAULTS)
def test_a_broken_promise_shows(promise, method, fault, monkeypatch):
    if promise == "hang":
        monkeypatch.setattr(inputs, "SECONDS", 0.3)

    def of_method(name, model, result, X):
        return fault(result, model, X) if name == method else result

    monkeypatch.setattr(Faulty, "fault", staticmethod(of_method))
    with pytest.raises(Broken) as broken:
        check_fit(found(), Faulty)
    assert broken.value.promise == promise


@pytest.mark.parametrize("fails", [{0.1}, {0.1, 2.0}])
def test_a_fault_in_a_fit_of_a_search_shows(fails):
    """One fit fails, which is a warning and a score of NaN, or all of them do."""

    def broken(model, X, y):
        if model.lambd in fails:
            raise IndexError("list index out of range")
        return 0.5

    case = found(**inputs.BASE_OF_SEARCH, scoring=broken, y=Y_OF_8)
    with pytest.raises(Broken, match=r"(?s)wrong error in fit: .*IndexError"):
        check_search(case)


def test_nothing_is_broken_where_there_is_no_fault():
    check_fit(found(), Faulty)
