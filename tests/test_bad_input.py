"""Bad input gets an error that names it, and a fitted estimator keeps what it had."""

import copy
import re

import numpy as np
import pytest
from sklearn.datasets import load_iris

from skreg import RegularizedMLPClassifier

X, Y = load_iris(return_X_y=True)

# A parameter, a bad value, and what else the error must say.
BAD = [
    ("hidden_layer_sizes", (), "at least one"),
    ("hidden_layer_sizes", 0, r"\[1, inf\)"),
    ("hidden_layer_sizes", (5, 0), "positive integer"),
    ("hidden_layer_sizes", (5, -3), "positive integer"),
    ("hidden_layer_sizes", (3.5,), "positive integer"),
    ("hidden_layer_sizes", "100", "int"),
    ("activation", "swish", "relu"),
    ("lambd", -1, r"\[0, inf\)|\[0.0, inf\)"),
    ("lambd", np.nan, r"\[0, inf\)|\[0.0, inf\)"),
    ("lambd", np.inf, r"\[0, inf\)|\[0.0, inf\)"),
    ("lambd", "1", "float"),
    ("lambd", (1.0, 2.0), "3 weight matrices"),
    ("keep_prob", 0, r"\(0, 1\]|\(0.0, 1.0\]"),
    ("keep_prob", 1.5, r"\(0, 1\]|\(0.0, 1.0\]"),
    ("keep_prob", -0.5, r"\(0, 1\]|\(0.0, 1.0\]"),
    ("keep_prob", np.nan, r"\(0, 1\]|\(0.0, 1.0\]"),
    ("keep_prob", None, "float"),
    ("keep_prob", (0.5,), "2 hidden layers"),
    ("keep_prob", (0.5, 0.5, 0.5), "2 hidden layers"),
    ("keep_prob", (0.5, 0.0), "at most 1"),
    ("keep_prob", (0.5, 1.5), "at most 1"),
    ("keep_prob", (0.5, np.nan), "at most 1"),
    ("input_keep_prob", 0, r"\(0, 1\]|\(0.0, 1.0\]"),
    ("input_keep_prob", (0.5, 0.5), "float"),
    ("max_norm", -1.0, "float"),
    ("max_norm", np.inf, "float"),
    ("class_weight", "heavy", "balanced"),
    ("class_weight", 3, "dict"),
    ("solver", "newton", "adam"),
    ("batch_size", 0, "auto"),
    ("batch_size", -5, "auto"),
    ("batch_size", 2.5, "auto"),
    ("batch_size", "all", "auto"),
    ("learning_rate", "linear", "cosine"),
    ("learning_rate_init", 0, "float"),
    ("learning_rate_init", -1e-3, "float"),
    ("learning_rate_init", np.inf, "float"),
    ("power_t", -1, "float"),
    ("max_iter", 0, r"\[1, inf\)"),
    ("max_iter", 10.5, "int"),
    ("shuffle", "yes", "bool"),
    ("random_state", -1, "random_state"),
    ("random_state", "seed", "random_state"),
    ("tol", -1e-3, "float"),
    ("tol", np.nan, "float"),
    ("verbose", "loud", "verbose"),
    ("warm_start", "yes", "bool"),
    ("momentum", 1.5, r"\[0, 1\]|\[0.0, 1.0\]"),
    ("nesterovs_momentum", None, "bool"),
    ("early_stopping", "auto", "bool"),
    ("scoring", "guess", "loss"),
    ("train_scores", 1.5, "bool"),
    ("validation_fraction", 1.0, r"\[0, 1\)|\[0.0, 1.0\)"),
    ("validation_fraction", -0.1, r"\[0, 1\)|\[0.0, 1.0\)"),
    ("beta_1", 1.0, r"\[0, 1\)|\[0.0, 1.0\)"),
    ("beta_2", -0.1, r"\[0, 1\)|\[0.0, 1.0\)"),
    ("epsilon", 0, "float"),
    ("n_iter_no_change", 0, "int"),
    ("n_iter_no_change", 1.5, "int"),
    ("max_fun", 0, "int"),
]


def classifier(**parameters):
    defaults = {
        "hidden_layer_sizes": (5, 4),
        "learning_rate": "cosine",
        "max_iter": 5,
        "random_state": 0,
    }
    return RegularizedMLPClassifier(**{**defaults, **parameters})


def state(estimator):
    return copy.deepcopy(
        {k: v for k, v in vars(estimator).items() if k not in estimator.get_params()}
    )


def assert_same_state(estimator, expected):
    found = state(estimator)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_equal(found[name], value)


def test_every_parameter_is_tried():
    assert {name for name, _, _ in BAD} == set(classifier().get_params())


@pytest.mark.parametrize(("name", "value", "remedy"), BAD)
def test_a_bad_parameter(name, value, remedy):
    with pytest.raises((ValueError, TypeError), match=name) as caught:
        classifier(**{name: value}).fit(X, Y)
    message = str(caught.value)
    assert repr(value) in message or str(value) in message
    assert re.search(remedy, message), message


@pytest.mark.parametrize(("name", "value", "remedy"), BAD)
def test_a_bad_parameter_leaves_a_fitted_estimator_as_it_was(name, value, remedy):
    estimator = classifier().fit(X, Y)
    before, predicted = state(estimator), estimator.predict_proba(X)
    old = estimator.get_params()[name]
    with pytest.raises((ValueError, TypeError)):
        estimator.set_params(**{name: value}).fit(X, Y)
    assert_same_state(estimator, before)
    estimator.set_params(**{name: old})
    np.testing.assert_array_equal(estimator.predict_proba(X), predicted)


NAN, INFINITE = X.copy(), X.copy()
NAN[3, 1], INFINITE[3, 1] = np.nan, -np.inf
Y_NAN = Y.astype(float)
Y_NAN[4] = np.nan


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((NAN, Y), "Input X contains NaN"),
        ((INFINITE, Y), "Input X contains infinity"),
        ((X, Y_NAN), "Input y contains NaN"),
        ((X[:, 0], Y), "Expected 2D array"),
        ((X[:0], Y[:0]), "0 sample"),
        ((X[:, :0], Y), "0 feature"),
        ((X * 1j, Y), "Complex data"),
        ((np.full((150, 4), "a"), Y), "could not convert string"),
        ((X, Y[:100]), "inconsistent numbers of samples"),
        ((X, np.linspace(0, 1, 150)), "Unknown label type"),
        ((X, np.c_[Y, Y]), "y has the shape"),
        ((X, None), "requires y"),
        ((X, Y, np.ones(100)), "sample_weight"),
        ((X, Y, -np.ones(150)), "sample_weight"),
        ((X, Y, np.zeros(150)), "sample_weight"),
        ((X, Y, np.full(150, np.nan)), "sample_weight"),
        ((X, Y, np.full(150, 1e308)), "sample_weight"),
    ],
)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_bad_data(method, arguments, message):
    estimator = classifier()
    classes = {"classes": [0, 1, 2]} if method == "partial_fit" else {}
    with pytest.raises((ValueError, TypeError), match=message):
        getattr(estimator, method)(*arguments, **classes)
    assert_same_state(estimator, {})

    fitted = classifier().fit(X, Y)
    before = state(fitted)
    with pytest.raises((ValueError, TypeError), match=message):
        getattr(fitted, method)(*arguments)
    assert_same_state(fitted, before)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (NAN, "Input X contains NaN"),
        (X[:, :3], "X has 3 features, but .* is expecting 4"),
        (X[0], "Expected 2D array"),
    ],
)
@pytest.mark.parametrize(
    "method", ["predict", "predict_proba", "decision_function", "input_gradients"]
)
def test_bad_rows_to_predict(method, rows, message):
    estimator = classifier().fit(X, Y)
    with pytest.raises(ValueError, match=message):
        getattr(estimator, method)(rows)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"solver": "lbfgs", "keep_prob": 0.5}, r"keep_prob=0.5 .*Set keep_prob=1.0"),
        ({"solver": "lbfgs", "keep_prob": (1.0, 0.9)}, r"keep_prob=.*lbfgs"),
        ({"early_stopping": True, "validation_fraction": 0.0}, "validation_fraction=0"),
    ],
)
def test_parameters_that_do_not_go_together(parameters, message):
    with pytest.raises(ValueError, match=message):
        classifier(**parameters).fit(X, Y)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"solver": "lbfgs"}, r"partial_fit .*solver='lbfgs'.*Set solver='adam'"),
        ({"early_stopping": True}, r"partial_fit .*early_stopping=True.*Set"),
    ],
)
def test_partial_fit_is_not_there_for_all(parameters, message):
    estimator = classifier(**parameters)
    assert not hasattr(estimator, "partial_fit")
    with pytest.raises(ValueError, match=message):
        estimator.partial_fit(X, Y, classes=[0, 1, 2])


def test_partial_fit_with_wrong_classes():
    with pytest.raises(ValueError, match="classes must be passed"):
        classifier().partial_fit(X, Y)
    with pytest.raises(ValueError, match=r"y has the classes \[2\]"):
        classifier().partial_fit(X, Y, classes=[0, 1])
    estimator = classifier().partial_fit(X, Y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="classes="):
        estimator.partial_fit(X, Y, classes=[0, 1, 2, 3])


def test_warm_start_with_what_does_not_fit():
    estimator = classifier(warm_start=True).fit(X, Y)
    before = state(estimator)
    with pytest.raises(ValueError, match=r"y has the classes \[3\]"):
        estimator.fit(X, Y + 1)
    with pytest.raises(ValueError, match="X has 3 features"):
        estimator.fit(X[:, :3], Y)
    with pytest.raises(ValueError, match=r"hidden_layer_sizes=\(6, 4\).*Set"):
        estimator.set_params(hidden_layer_sizes=(6, 4)).fit(X, Y)
    assert_same_state(estimator, before)
