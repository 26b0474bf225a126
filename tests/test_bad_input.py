"""What cannot be used is refused, with a name, a value and a remedy, and no harm."""

import copy
import math
import re
from functools import partial

import numpy as np
import pytest
from helpers import assert_same
from scipy import sparse

from skreg import RegularizedMLPClassifier

small = partial(
    RegularizedMLPClassifier,
    hidden_layer_sizes=(4, 3),
    learning_rate="cosine",
    max_iter=3,
    random_state=0,
)


# Parameter → values out of its range or of the wrong type.
BAD_PARAMETERS = {
    "hidden_layer_sizes": [
        (),
        [],
        (0,),
        (-3,),
        (5, 0),
        (3.5,),
        (5, 3.0),
        (5, None),
        ("5",),
        ((5, 3),),
        (5, (3, 2)),
        0,
        -1,
        2.5,
        math.nan,
        "100",
        None,
        {},
    ],
    "activation": ["RELU", "sigmoid", "", None, 1, ["relu"]],
    "lambd": [
        -1,
        -1e-9,
        math.nan,
        math.inf,
        "1",
        None,
        1j,
        (1.0,),
        (1.0, 1.0),
        (1.0, 1.0, 1.0, 1.0),
        (1.0, 1.0, -1.0),
        (1.0, math.nan, 1.0),
        (1.0, math.inf, 1.0),
        (1.0, "1", 1.0),
        (1.0, (1.0, 1.0), 1.0),
    ],
    "keep_prob": [
        0,
        0.0,
        -0.1,
        1.5,
        1 + 1e-9,
        math.nan,
        math.inf,
        "0.8",
        None,
        (),
        (0.5,),
        (0.5, 0.5, 0.5),
        (0.5, 0),
        (0.5, 1.5),
        (math.nan, 0.5),
        (0.5, "0.5"),
        (0.5, None),
        (0.5, (0.5, 0.5)),
    ],
    "input_keep_prob": [0, -0.5, 1.5, math.nan, "0.8", None, (0.5, 0.5)],
    "max_norm": [0, -1, math.nan, math.inf, "3", (1, 1)],
    "class_weight": [
        "even",
        3,
        {0: -1.0, 1: 1.0},
        {0: 0.0, 1: 1.0},
        {0: math.nan, 1: 1.0},
        {0: math.inf, 1: 1.0},
        {"no such class": 2.0},
    ],
    "solver": ["SGD", "newton", "", None, 1],
    "batch_size": [0, -5, 1.5, 32.0, "half", "Auto", "", None, (5,)],
    "learning_rate": ["fast", "Constant", "", None, 0.1],
    "learning_rate_init": [0, -0.1, math.nan, math.inf, "0.1", None],
    "power_t": [-0.5, math.nan, math.inf, "0.5", None],
    "max_iter": [0, -1, 10.5, math.inf, "10", None],
    "standardize": ["yes", None, 2, 0.5],
    "shuffle": ["yes", None, 2, 0.5],
    "random_state": [-1, 1.5, "0", 2**40, np.random.default_rng(0), (1, 2)],
    "tol": [-1e-3, math.nan, math.inf, "0.1", None],
    "verbose": [-1, 1.5, "yes", None],
    "warm_start": ["yes", None, 2, 0.5],
    "momentum": [-0.1, 1.1, math.nan, "0.9", None],
    "nesterovs_momentum": ["yes", None, 2],
    "early_stopping": ["yes", "Auto", None, 2],
    "early_stopping_refit": ["yes", "Auto", None, 2],
    "n_validation_splits": [0, -1, 1.5, math.nan, math.inf, "all", None],
    "scoring": ["no such score", 3, ("accuracy",)],
    "train_scores": ["yes", None, 2],
    "validation_fraction": [-0.1, 1.0, 1.5, math.nan, "0.1", None],
    "beta_1": [-0.1, 1.0, math.nan, "0.9", None],
    "beta_2": [-0.1, 1.0, math.nan, "0.9", None],
    "epsilon": [0, -1e-8, math.nan, math.inf, "0", None],
    "n_iter_no_change": [0, -1, 2.5, math.nan, -math.inf, "10", None],
    "averaging": [1, 1.0, -0.1, math.nan, math.inf, "0.9", None],
    "max_fun": [0, -1, 10.5, "10", None],
}
CASES = [(name, value) for name, values in BAD_PARAMETERS.items() for value in values]


def make_data(kind="binary", n=20):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 3))
    if kind == "multilabel":
        return X, (X[:, :2] > 0).astype(int)
    return X, np.arange(n) % (3 if kind == "multiclass" else 2)


@pytest.fixture(scope="module", params=["fit", "partial_fit", "warm_start"])
def fitted(request):
    """An estimator that is fitted, its method to go on, and X and y."""
    X, y = make_data()
    estimator = small(warm_start=request.param == "warm_start")
    if request.param == "partial_fit":
        estimator.partial_fit(X, y, classes=[0, 1])
        return estimator, "partial_fit", X, y
    return estimator.fit(X, y), "fit", X, y


class Unchanged:
    """A context in which a call fails; what was fitted is there after it, unchanged."""

    def __init__(self, estimator, X):
        self.estimator, self.X = estimator, X

    def __enter__(self):
        names = self.estimator.get_params()
        self.state = {k: v for k, v in vars(self.estimator).items() if k not in names}
        self.before = copy.deepcopy(self.state)
        self.proba = self.estimator.predict_proba(self.X)
        return self

    def __exit__(self, *_):
        names = self.estimator.get_params()
        after = {k: v for k, v in vars(self.estimator).items() if k not in names}
        assert list(after) == list(self.before)
        assert_same(after, self.before)
        np.testing.assert_array_equal(self.estimator.predict_proba(self.X), self.proba)


# Parameters --------------------------------------------------------------------------


def test_no_parameter_is_left_out():
    assert set(BAD_PARAMETERS) == set(small().get_params())


# What the error says would be right. For all that is not here: the type and the range.
REMEDIES = {
    "hidden_layer_sizes": "positive integer|an int in the range",
    "activation": "'relu'",
    "lambd": "a float in the range|weight matrices|float of at least 0|[Gg]ive",
    "keep_prob": "a float in the range|hidden layers|at most 1|[Gg]ive",
    "class_weight": "'balanced'|positive|not in class_weight|[Gg]ive",
    "solver": "'adam'",
    "batch_size": "'full'.* int in the range|int in the range.*'full'",
    "learning_rate": "'cosine'",
    "random_state": "an int in the range.*RandomState",
    "early_stopping": "'bool'.*'auto'|'auto'.*'bool'",
    "early_stopping_refit": "'bool'.*'auto'|'auto'.*'bool'",
    "n_validation_splits": "'auto'.* int in the range|int in the range.*'auto'",
    "scoring": "'accuracy'",
}
IN_RANGE = "an? (float|int) in the range|instance of 'bool'"


@pytest.mark.parametrize(("name", "value"), CASES, ids=lambda v: repr(v)[:40])
def test_a_bad_parameter_is_named_with_its_value_and_a_remedy(name, value):
    X, y = make_data()
    estimator = small(**{name: value})
    # early_stopping, so that what concerns it alone is looked at too.
    if name in ("scoring", "validation_fraction"):
        estimator.set_params(early_stopping=True)
    with pytest.raises((ValueError, TypeError)) as caught:
        estimator.fit(X, y)
    text = str(caught.value)
    assert name in text
    # Some versions of numpy write their floats in full.
    if not isinstance(value, np.random.Generator) and name != "class_weight":
        assert repr(value) in text
    assert re.search(REMEDIES.get(name, IN_RANGE), text)
    assert vars(estimator).keys() == estimator.get_params().keys()


@pytest.mark.parametrize("value", BAD_PARAMETERS["validation_fraction"])
@pytest.mark.parametrize("n", [20, 120])
def test_a_bad_fraction_is_named_whether_or_not_auto_stops_early(n, value):
    X, y = make_data(n=n)
    estimator = small(early_stopping="auto", validation_fraction=value)
    with pytest.raises(ValueError, match="'validation_fraction'") as caught:
        estimator.fit(X, y)
    assert repr(value) in str(caught.value)
    assert re.search(IN_RANGE, str(caught.value))


@pytest.mark.parametrize(("name", "value"), CASES, ids=lambda v: repr(v)[:40])
def test_a_fitted_estimator_keeps_what_it_had(name, value, fitted):
    estimator, method, X, y = fitted
    good = estimator.get_params()[name]
    call = getattr(estimator, method)
    with Unchanged(estimator, X):
        try:
            estimator.set_params(**{name: value})
            with pytest.raises((ValueError, TypeError)):
                call(X, y)
        finally:
            estimator.set_params(**{name: good})


@pytest.mark.parametrize(
    ("parameters", "names"),
    [
        ({"keep_prob": 0.5}, ["keep_prob=0.5", "lbfgs", "Set keep_prob=1"]),
        ({"keep_prob": (1.0, 0.9)}, [r"keep_prob=\(1.0, 0.9\)", "lbfgs", "adam"]),
        ({"input_keep_prob": 0.5}, ["input_keep_prob=0.5", "lbfgs", "adam"]),
        ({"max_norm": 2.0}, ["max_norm=2.0", "lbfgs", "adam"]),
    ],
    ids=str,
)
def test_lbfgs_does_not_go_with_chance(parameters, names):
    X, y = make_data()
    with pytest.raises(ValueError, match=names[0]) as caught:
        small(solver="lbfgs", **parameters).fit(X, y)
    for name in names:
        assert re.search(name, str(caught.value))


def test_lbfgs_goes_with_keep_prob_of_one():
    X, y = make_data()
    for keep_prob in (1, 1.0, (1.0, 1.0), np.float32(1)):
        small(solver="lbfgs", keep_prob=keep_prob, max_iter=500).fit(X, y)


@pytest.mark.parametrize(
    ("parameters", "why"),
    [
        ({"keep_prob": (0.5, 0.5, 0.5)}, "3 values.* 2 hidden layers"),
        ({"keep_prob": (0.5,)}, "1 values.* 2 hidden layers"),
        ({"lambd": (1.0, 2.0)}, "2 values.* 3 weight matrices"),
        ({"early_stopping": True, "validation_fraction": 0}, "validation_fraction=0"),
        ({"early_stopping": True, "validation_fraction": 0.0}, "early_stopping=False"),
    ],
    ids=str,
)
def test_what_does_not_fit_together(parameters, why):
    X, y = make_data()
    with pytest.raises(ValueError, match=why):
        small(**parameters).fit(X, y)


# Newer versions of scikit-learn say so of 120 classes in 120 rows.
@pytest.mark.filterwarnings("ignore:The number of unique classes")
@pytest.mark.filterwarnings("ignore:validation_fraction=.* does nothing")
@pytest.mark.parametrize("fraction", [0, 0.0, 1e-9, 0.999])
@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
def test_auto_never_wants_rows_that_are_not_there(kind, fraction):
    """A fraction that leaves no rows, or few for training, is no error of 'auto'."""
    X, y = make_data(kind, n=120)
    estimator = small(early_stopping="auto", validation_fraction=fraction).fit(X, y)
    assert (estimator.validation_scores_ is None) == (fraction == 0)
    estimator.fit(X, np.arange(120))
    assert estimator.validation_scores_ is None


@pytest.mark.parametrize(
    ("parameters", "names"),
    [
        (
            {"early_stopping_refit": False},
            ["early_stopping_refit=False", "Set early_stopping_refit=True"],
        ),
        (
            {"learning_rate": "adaptive"},
            ["learning_rate='adaptive'", "without warm_start"],
        ),
    ],
    ids=str,
)
@pytest.mark.parametrize("early_stopping", [True, "auto"])
def test_several_splits_without_a_refit(early_stopping, parameters, names):
    X, y = make_data(n=120)
    estimator = small(early_stopping=early_stopping, n_validation_splits=3)
    with pytest.raises(ValueError, match="n_validation_splits=3") as caught:
        estimator.set_params(**parameters).fit(X, y)
    for name in [*names, "n_validation_splits=1", "120 rows"]:
        assert name in str(caught.value)
    assert vars(estimator).keys() == estimator.get_params().keys()


@pytest.mark.parametrize("y", [[0, 1], ["a", "b"], [1, 2]])
def test_too_few_rows_for_early_stopping(y):
    with pytest.raises(ValueError, match=r"early_stopping.*2 rows.*Give more rows"):
        small(early_stopping=True).fit([[0.0], [1.0]], y)


def test_an_unknown_parameter():
    with pytest.raises(TypeError, match="alpha"):
        RegularizedMLPClassifier(alpha=1.0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("keep_prob", np.float32(0.5)),
        ("keep_prob", np.array([0.5, 1.0], dtype=np.float32)),
        ("keep_prob", [1, 0.5]),
        ("keep_prob", 1e-300),
        ("lambd", 0),
        ("lambd", np.int8(3)),
        ("hidden_layer_sizes", np.array([4, 3], dtype=np.uint8)),
        ("hidden_layer_sizes", [np.int32(4), 3]),
        ("batch_size", np.int64(5)),
        ("n_iter_no_change", np.inf),
        ("momentum", 1),
        ("momentum", 0),
        ("beta_1", 0),
        ("power_t", 0),
        ("tol", 0),
        ("shuffle", np.True_),
        ("verbose", 0),
        ("max_iter", np.int64(2)),
        ("validation_fraction", 0),
        ("averaging", 0),
        ("averaging", np.float32(0.99)),
        ("n_validation_splits", np.int64(3)),
        ("early_stopping", np.True_),
        ("early_stopping", np.False_),
        ("early_stopping_refit", np.False_),
        ("random_state", 2**32 - 1),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:n_validation_splits=.* does nothing")
def test_the_ends_of_the_ranges_are_good(name, value):
    X, y = make_data()
    estimator = small(solver="sgd", **{name: value}).fit(X, y)
    assert np.isfinite(estimator.loss_)


# Data --------------------------------------------------------------------------------


def broken(how):
    X, _ = make_data()
    if how in ("nan", "inf", "-inf"):
        X[7, 1] = float(how)
    return X


BAD_X = {
    "NaN": (lambda X: broken("nan"), "X contains NaN"),
    "infinity": (lambda X: broken("inf"), "X contains infinity"),
    "minus infinity": (lambda X: broken("-inf"), "X contains infinity"),
    "None in objects": (lambda X: np.where(X > 1, None, X), "X contains NaN"),
    "sparse NaN": (lambda X: sparse.csr_array(broken("nan")), "X contains NaN"),
    "one dimension": (lambda X: X[:, 0], "Expected 2D array"),
    "three dimensions": (lambda X: X[..., np.newaxis], "dim 3"),
    "no rows": (lambda X: X[:0], r"0 sample\(s\)"),
    "no columns": (lambda X: X[:, :0], r"0 feature\(s\)"),
    "complex": (lambda X: X + 1j, "Complex data not supported"),
    "strings": (lambda X: np.full(X.shape, "a"), "could not convert string to float"),
    "objects": (lambda X: np.full(X.shape, "a", dtype=object), "string to float"),
    "a scalar": (lambda X: 3.0, "Expected 2D array"),
    "None": (lambda X: None, "Expected 2D array"),
    "one row too few": (lambda X: X[:-1], r"numbers of samples.*\[19, 20\]"),
}
PREDICTIONS = [
    "predict",
    "predict_proba",
    "predict_log_proba",
    "decision_function",
    "input_gradients",
    "sample_proba",
]


@pytest.mark.parametrize("name", BAD_X)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_bad_x(name, fitted):
    estimator, method, X, y = fitted
    make, why = BAD_X[name]
    with Unchanged(estimator, X), pytest.raises((ValueError, TypeError), match=why):
        getattr(estimator, method)(make(X), y)
    first = small()
    with pytest.raises((ValueError, TypeError), match=why):
        first.fit(make(X), y)
    assert vars(first) == vars(small())


@pytest.mark.parametrize("method", PREDICTIONS)
@pytest.mark.parametrize("name", [n for n in BAD_X if n != "one row too few"])
def test_bad_x_in_prediction(name, method):
    X, y = make_data()
    estimator = small().fit(X, y)
    make, why = BAD_X[name]
    with (
        Unchanged(estimator, X),
        pytest.raises((ValueError, TypeError), match=why),
    ):
        getattr(estimator, method)(make(X))


@pytest.mark.parametrize("n_columns", [1, 2, 4])
@pytest.mark.parametrize("method", [*PREDICTIONS, "partial_fit", "score"])
def test_another_number_of_columns(method, n_columns):
    X, y = make_data()
    estimator = small().fit(X, y)
    wrong = np.ones((20, n_columns))
    arguments = (wrong, y) if method in ("partial_fit", "score") else (wrong,)
    why = f"X has {n_columns} features.* expecting 3 features"
    with Unchanged(estimator, X), pytest.raises(ValueError, match=why):
        getattr(estimator, method)(*arguments)


def objects(*values):
    return np.array(list(values) * (20 // len(values)), dtype=object)


BAD_Y = {
    "NaN": (lambda y: np.where(y == 0, np.nan, y), "y contains NaN"),
    "infinity": (lambda y: np.where(y == 0, np.inf, y), "y contains infinity"),
    "NaN among objects": (lambda y: objects("a", np.nan), r"\by\b"),
    "None among objects": (lambda y: objects("a", None), r"\by\b"),
    "strings and numbers": (lambda y: objects("a", 1), r"\by\b"),
    "measurements": (lambda y: y + 0.5, "Unknown label type: continuous"),
    "one too few": (lambda y: y[:-1], r"numbers of samples.*\[20, 19\]"),
    "none at all": (lambda y: y[:0], "sample"),
    "None": (lambda y: None, "y"),
    "a scalar": (lambda y: 1, "1 dim"),
    "three dimensions": (lambda y: np.ones((20, 2, 2)), "dim 3"),
    "several outputs": (
        lambda y: np.column_stack([y, y + 1, y]),
        r"y has the shape \(20, 3\).*MultiOutputClassifier",
    ),
    "strings of several outputs": (
        lambda y: np.full((20, 2), "a"),
        r"y has the shape \(20, 2\).*MultiOutputClassifier",
    ),
    "labels of -1 and 1": (lambda y: np.column_stack([2 * y - 1, 1 - 2 * y]), "y has"),
    "labels of 1 and 2": (lambda y: np.column_stack([y + 1, 2 - y]), "y has"),
    "labels of 0 and 2": (lambda y: np.column_stack([2 * y, 2 - 2 * y]), "y has"),
}


@pytest.mark.parametrize("name", BAD_Y)
def test_bad_y(name, fitted):
    estimator, method, X, y = fitted
    make, why = BAD_Y[name]
    with Unchanged(estimator, X), pytest.raises((ValueError, TypeError), match=why):
        getattr(estimator, method)(X, make(y))
    first = small()
    with pytest.raises((ValueError, TypeError), match=why):
        first.fit(X, make(y))
    assert vars(first) == vars(small())


@pytest.mark.parametrize(
    ("kind", "wrong", "why"),
    [
        ("binary", [0, 2], r"classes \[2\].*\[0 1\]"),
        ("binary", ["0", "1"], r"classes \['0', '1'\]"),
        ("multiclass", [0, 7], r"classes \[7\].*\[0 1 2\]"),
        ("multiclass", "multilabel", r"shape \(20, 2\)"),
        ("multilabel", "binary", r"shape \(20,\).* 2 labels"),
        ("multilabel", "three labels", r"shape \(20, 3\).* 2 labels"),
    ],
)
def test_other_classes_than_before(kind, wrong, why):
    X, y = make_data(kind)
    if wrong == "three labels":
        other = np.ones((20, 3), dtype=int)
    elif isinstance(wrong, str):
        _, other = make_data(wrong)
    else:
        other = np.array(wrong)[np.arange(20) % 2]
    going_on = small(warm_start=True).fit(X, y)
    part = small().fit(X, y)
    for estimator, method in ((going_on, "fit"), (part, "partial_fit")):
        with Unchanged(estimator, X), pytest.raises(ValueError, match=why):
            getattr(estimator, method)(X, other)


BAD_WEIGHTS = {
    "negative": (lambda w: np.where(np.arange(20) == 3, -0.5, w), r"row 3.*-0\.5"),
    "all negative": (lambda w: -w, "Negative"),
    "NaN": (lambda w: np.where(np.arange(20) == 3, np.nan, w), "NaN"),
    "infinity": (lambda w: np.where(np.arange(20) == 3, np.inf, w), "infinity"),
    "all zero": (lambda w: 0 * w, "non-zero|positive"),
    "too large a sum": (lambda w: 1e308 * w, "sum must be finite"),
    "one too few": (lambda w: w[:-1], r"\(19,\)"),
    "none": (lambda w: w[:0], ""),
    "two dimensions": (lambda w: w[:, np.newaxis], "1D"),
    "strings": (lambda w: ["a"] * 20, "string"),
    "a negative number": (lambda w: -2, "Negative"),
    "zero": (lambda w: 0, "non-zero|positive"),
    "a NaN": (lambda w: np.nan, ""),
}


@pytest.mark.parametrize("name", BAD_WEIGHTS)
def test_bad_sample_weight(name, fitted):
    estimator, method, X, y = fitted
    make, why = BAD_WEIGHTS[name]
    with (
        Unchanged(estimator, X),
        pytest.raises((ValueError, TypeError), match="sample_weight") as caught,
    ):
        getattr(estimator, method)(X, y, make(np.ones(20)))
    assert re.search(why, str(caught.value))
    first = small()
    with pytest.raises((ValueError, TypeError), match="sample_weight"):
        first.fit(X, y, make(np.ones(20)))
    assert vars(first) == vars(small())


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_bad_weights_are_refused_by_every_solver(solver):
    X, y = make_data()
    weight = np.ones(20)
    weight[-1] = -1e-12
    with pytest.raises(ValueError, match="sample_weight"):
        small(solver=solver).fit(X, y, weight)


@pytest.mark.parametrize(
    ("classes", "why"),
    [
        (None, "classes must be passed"),
        ([0], r"classes \[1\]"),
        ([], r"classes \[0, 1\]"),
        ([1, 2], r"classes \[0\]"),
        (["a", "b"], r"classes \[0, 1\]"),
        ([0, np.nan], "NaN"),
        ("ab", "array"),
        (2, "array"),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_bad_classes_of_partial_fit(classes, why):
    X, y = make_data()
    estimator = small()
    with pytest.raises((ValueError, TypeError), match=why):
        estimator.partial_fit(X, y, classes=classes)
    assert vars(estimator) == vars(small())
    estimator.partial_fit(X, y, classes=[0, 1])
    with Unchanged(estimator, X), pytest.raises(ValueError, match="last call"):
        estimator.partial_fit(X, y, classes=[0, 1, 2])


@pytest.mark.parametrize(
    ("parameters", "why"),
    [
        ({"solver": "lbfgs"}, "solver='lbfgs'.* Set solver='adam'"),
        ({"early_stopping": True}, "early_stopping=True.* Set early_stopping=False"),
    ],
)
def test_partial_fit_is_not_there_for_all(parameters, why):
    X, y = make_data()
    estimator = small(**parameters)
    assert not hasattr(estimator, "partial_fit")
    with pytest.raises((AttributeError, ValueError), match=why):
        estimator.partial_fit(X, y, classes=[0, 1])


def test_balanced_class_weights_are_not_for_partial_fit():
    X, y = make_data()
    estimator = small().fit(X, y)
    estimator.set_params(class_weight="balanced")
    with Unchanged(estimator, X), pytest.raises(ValueError, match="class_weight"):
        estimator.partial_fit(X, y)
    with pytest.raises(ValueError, match="class_weight"):
        small(class_weight="balanced").partial_fit(X, y, classes=[0, 1])


def test_validation_rows_that_are_wrong():
    X, y = make_data()
    estimator = small(early_stopping=True).fit(X, y)
    bad = {
        "X_val": [
            {"X_val": X[:5]},
            {"y_val": y[:5]},
            {"X_val": broken("nan"), "y_val": y},
            {"X_val": X[:5, :2], "y_val": y[:5]},
        ],
        "samples": [{"X_val": X[:5], "y_val": y[:4]}],
        "y_val": [{"X_val": X[:5], "y_val": y[:5] + 5}],
        "sample_weight_val": [
            {"X_val": X[:5], "y_val": y[:5], "sample_weight_val": -np.ones(5)},
            {"X_val": X[:5], "y_val": y[:5], "sample_weight_val": np.ones(4)},
            {"X_val": X[:5], "y_val": y[:5], "sample_weight_val": np.zeros(5)},
        ],
    }
    for name, calls in bad.items():
        for arguments in calls:
            why = "X_val|X " if name == "X_val" else name
            with Unchanged(estimator, X), pytest.raises(ValueError, match=why):
                estimator.fit(X, y, **arguments)
    estimator.set_params(early_stopping=False)
    with Unchanged(estimator, X), pytest.raises(ValueError, match="early_stopping"):
        estimator.fit(X, y, X_val=X, y_val=y)
