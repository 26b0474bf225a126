"""The estimator: fit, predict, and what it has after them."""

import builtins
import copy
import itertools
import math
import pickle
import re
import sys
import tracemalloc
import warnings
from contextlib import contextmanager
from functools import partial

import helpers
import numpy as np
import pytest
import reference
import scipy.optimize
from helpers import (
    assert_same,
    assert_same_weights,
    flat,
    indicators,
    make_data,
    no_convergence_warning,
    parameters_of,
    weights_of,
)
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.exceptions import (
    ConvergenceWarning,
    DataConversionWarning,
    NotFittedError,
)
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skreg import RegularizedMLPClassifier

KINDS = ["binary", "multiclass", "multilabel"]
METHODS = ["predict", "predict_proba", "predict_log_proba", "decision_function"]


# The documents' network: what it does with standardised columns is in test_standardize.
small = partial(
    helpers.small, batch_size=200, early_stopping_refit=False, standardize=False
)


def endless(**parameters):
    """As `small`, at a constant rate and for exactly max_iter epochs: it warns."""
    constant = {
        "learning_rate": "constant",
        "tol": 0.0,
        "n_iter_no_change": np.inf,
    }
    return small(**{**constant, **parameters})


def fit(estimator, *args, **keywords):
    """Fit what may stop at max_iter, and say nothing about it."""
    with no_convergence_warning():
        return estimator.fit(*args, **keywords)


def output_of(estimator):
    return estimator.out_activation_


def losses_of_rows(estimator, X, y):
    """The cross-entropy of each row, from `reference`."""
    output = output_of(estimator)
    cache = reference.forward(
        X.T, parameters_of(estimator), estimator.activation, output
    )
    Z, Y = cache[f"Z{estimator.n_layers_ - 1}"], indicators(y, estimator.classes_)
    return np.array(
        [
            reference.cross_entropy_from_logits(Z[:, i], Y[:, i], output)
            for i in range(len(X))
        ]
    )


def initial(estimator, X, y, sample_weight=None):
    """The model before its first step: a rate too small to change a weight."""
    start = clone(estimator).set_params(learning_rate_init=1e-300, max_iter=1)
    return fit(start, X, y, sample_weight)


# What it is for ----------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("data", ["breast cancer", "digits"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_defaults_reach_an_accuracy_of_0_965(data):
    model = RegularizedMLPClassifier(random_state=0)
    if data == "digits":
        X, y = load_digits(return_X_y=True)
        X = X / 16
    else:
        X, y = load_breast_cancer(return_X_y=True)
        model = make_pipeline(StandardScaler(), model)
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    assert cross_val_score(model, X, y, cv=folds).mean() >= 0.965


# Prediction --------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("keep_prob", [1.0, 0.6])
@pytest.mark.parametrize("kind", KINDS)
def test_predictions_are_those_of_the_naive_network(kind, keep_prob, activation):
    X, y = make_data(kind)
    estimator = small(
        activation=activation,
        keep_prob=keep_prob,
        max_iter=40,
        learning_rate_init=0.1,
        lambd=0.1,
    ).fit(X, y)
    output = "softmax" if kind == "multiclass" else "logistic"
    cache = reference.forward(X.T, parameters_of(estimator), activation, output)
    Z3, A3 = cache["Z3"].T, cache["A3"].T

    logits, proba = estimator.decision_function(X), estimator.predict_proba(X)
    log_proba, predicted = estimator.predict_log_proba(X), estimator.predict(X)
    if kind == "binary":
        assert logits.shape == (40,)
        Z3, A3 = Z3[:, 0], np.hstack([1 - A3, A3])
        np.testing.assert_array_equal(predicted, logits > 0)
    elif kind == "multiclass":
        np.testing.assert_array_equal(predicted, logits.argmax(axis=1))
    else:
        np.testing.assert_array_equal(predicted, logits > 0)
        np.testing.assert_array_equal(predicted, proba > 0.5)
        assert predicted.dtype.kind == "i"
    np.testing.assert_allclose(logits, Z3, rtol=0, atol=1e-12)
    np.testing.assert_allclose(proba, A3, rtol=0, atol=1e-13)
    np.testing.assert_allclose(np.exp(log_proba), proba, rtol=1e-12)
    assert proba.shape == log_proba.shape == (40, 2 if kind == "binary" else 3)
    if kind != "multilabel":
        np.testing.assert_array_equal(predicted, proba.argmax(axis=1))
        np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=0, atol=1e-14)
    # There is no chance in it, dropout or not.
    np.testing.assert_array_equal(estimator.predict_proba(X), proba)
    assert len(np.unique(predicted, axis=0)) > 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_far_out_logits_have_finite_log_probabilities(kind, dtype):
    X, y = make_data(kind)
    X = X.astype(dtype)
    estimator = small().fit(X, y)
    estimator.coefs_[-1] = estimator.coefs_[-1] * dtype(1e5)
    logits = estimator.decision_function(X)
    assert np.abs(logits).max() > 1000
    log_proba, proba = estimator.predict_log_proba(X), estimator.predict_proba(X)
    assert np.isfinite(log_proba).all()
    assert np.isfinite(proba).all()
    assert (log_proba <= 0).all()
    assert log_proba.min() < -1000
    if kind == "binary":
        expected = np.column_stack([-logits, logits])
        np.testing.assert_allclose(
            log_proba[np.abs(logits) > 100],
            np.minimum(0, expected)[np.abs(logits) > 100],
            rtol=1e-6,
            atol=1e-30,
        )
    if kind != "multilabel":
        np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize("odd", ["coefs_", "intercepts_"])
def test_weights_of_another_precision_predict_in_that_of_X(odd):
    """As when someone has put some of them there by hand."""
    X = np.random.default_rng(0).normal(size=(50, 4))
    y = (X[:, 0] > 0).astype(int)
    X = X.astype(np.float32)
    model = RegularizedMLPClassifier(
        (5, 3), max_iter=2, learning_rate="cosine", random_state=0
    ).fit(X, y)
    expected = model.predict_proba(X)
    arrays = list(getattr(model, odd))
    arrays[1] = arrays[1].astype(np.float64)
    setattr(model, odd, arrays)
    found = model.predict_proba(X)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_float32_stays_float32_and_float64_stays_float64(solver, kind):
    X, y = make_data(kind)
    estimators = {}
    for dtype in (np.float32, np.float64):
        estimator = fit(small(solver=solver), X.astype(dtype), y)
        estimators[dtype] = estimator
        assert {a.dtype for a in weights_of(estimator)} == {np.dtype(dtype)}
        for method in METHODS[1:]:
            # In the type of the rows, whatever the model was fitted to.
            for other in (np.float32, np.float64):
                found = getattr(estimator, method)(X.astype(other))
                assert found.dtype == other, method
    np.testing.assert_allclose(
        estimators[np.float32].predict_proba(X),
        estimators[np.float64].predict_proba(X),
        atol=1e-3,
    )


@pytest.mark.parametrize(
    "dtype", [int, np.int8, np.uint16, bool, np.float16, object, ">f8", ">i4"]
)
def test_other_types_are_computed_in_float64(dtype):
    X, y = make_data()
    X = np.round(np.abs(X) * 3).astype(dtype)
    estimator = small().fit(X, y)
    assert {a.dtype for a in weights_of(estimator)} == {np.dtype(float)}
    assert_same_weights(estimator, small().fit(X.astype(float), y))
    for method in METHODS[1:]:
        assert getattr(estimator, method)(X).dtype == float


def test_a_list_of_lists():
    X, y = make_data()
    a, b = small().fit(X, y), small().fit(X.tolist(), y.tolist())
    assert_same_weights(a, b)
    np.testing.assert_array_equal(a.predict_proba(X), b.predict_proba(X.tolist()))


def test_weights_that_have_no_room_in_float32_ask_for_float64():
    X = np.array([[0.0], [1e-160]] * 30)
    model = RegularizedMLPClassifier((3,), random_state=0).fit(X, [0, 1] * 30)
    assert model.score(X, [0, 1] * 30) == 1
    X = X.astype(np.float32)
    ask = pytest.raises(ValueError, match=r"overflow float32, .* Give X as float64")
    for call in (model.predict, partial(model.partial_fit, y=[0, 1] * 30)):
        with ask:
            call(X)
    with ask:
        model.set_params(warm_start=True).fit(X, [0, 1] * 30)
    model.coefs_[0][:] = 1
    model.intercepts_[1][:] = 1e39
    with pytest.raises(ValueError, match=r"the largest is 1e\+39"):
        model.predict(X)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_million_rows(dtype):
    """Chunk by chunk, in bounded memory, what row by row gives."""
    X, y = make_data("multiclass")
    estimator = small(hidden_layer_sizes=(16, 8), max_iter=30).fit(X, y)
    n = 1_000_000
    rows = np.random.default_rng(1).normal(size=(n, 4)).astype(dtype)
    tracemalloc.start()
    try:
        logits = estimator.decision_function(rows)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # The hidden layers of all rows would take five times as much.
    assert peak < logits.nbytes + 60e6
    assert logits.shape == (n, 3)
    # With rows from both ends, where the last, shorter chunk is.
    sample = np.r_[0:20, 50_000 : n - 20 : 10_007, n - 20 : n]
    one_by_one = np.vstack([estimator.decision_function(rows[[i]]) for i in sample])
    tolerance = 1e-4 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(logits[sample], one_by_one, atol=tolerance)
    predicted = estimator.predict(rows)
    np.testing.assert_array_equal(predicted, logits.argmax(axis=1))
    expected = reference.forward(rows[sample].T, parameters_of(estimator))["Z3"].T
    np.testing.assert_allclose(logits[sample], expected, atol=tolerance)


@pytest.mark.parametrize("method", METHODS)
def test_it_says_that_it_is_not_fitted(method):
    X, _ = make_data()
    with pytest.raises(NotFittedError, match="RegularizedMLPClassifier"):
        getattr(small(), method)(X)


def test_score_is_the_accuracy():
    for kind in KINDS:
        X, y = make_data(kind)
        estimator = small(max_iter=3).fit(X, y)
        right = estimator.predict(X) == y
        if kind == "multilabel":
            right = right.all(axis=1)
        assert estimator.score(X, y) == right.mean()
        assert 0 < right.mean() < 1


# Targets -----------------------------------------------------------------------------


@pytest.mark.parametrize("label", [7, "only", True])
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"solver": "lbfgs"},
        {"early_stopping": True},
        {"keep_prob": 0.5, "learning_rate": "constant"},
    ],
    ids=str,
)
def test_one_class_is_a_constant_model(parameters, label):
    X, _ = make_data()
    estimator = small(**parameters).fit(X, [label] * len(X))
    assert estimator.classes_.tolist() == [label]
    np.testing.assert_array_equal(estimator.predict_proba(X), np.ones((40, 1)))
    np.testing.assert_array_equal(estimator.predict_log_proba(X), np.zeros((40, 1)))
    assert estimator.decision_function(X).shape == (40,)
    assert estimator.predict(X).tolist() == [label] * 40
    assert estimator.score(X, [label] * 40) == 1
    assert estimator.converged_
    assert estimator.loss_ == 0
    assert [W.shape for W in estimator.coefs_] == [(4, 6), (6, 5), (5, 1)]
    assert estimator.n_outputs_ == 1


def test_one_class_after_two_and_two_after_one():
    X, y = make_data()
    estimator = small().fit(X, np.zeros(40)).fit(X, y)
    assert_same_weights(estimator, small().fit(X, y))
    assert estimator.fit(X, np.zeros(40)).predict_proba(X).shape == (40, 1)


def test_multilabel_is_one_sigmoid_for_each_label():
    X, y = make_data("multilabel")
    y[:, 1] = 0  # a label that never occurs
    estimator = small(max_iter=60).fit(X, y)
    assert estimator.out_activation_ == "logistic"
    assert estimator.n_outputs_ == 3
    np.testing.assert_array_equal(estimator.classes_, [0, 1, 2])
    proba = estimator.predict_proba(X)
    assert proba.shape == (40, 3)
    assert proba[:, 1].max() < 0.2
    assert np.abs(proba.sum(axis=1) - 1).max() > 0.2
    assert set(np.unique(estimator.predict(X))) == {0, 1}
    assert_same_weights(estimator, small(max_iter=60).fit(X, y.astype(bool)))
    assert_same_weights(estimator, small(max_iter=60).fit(X, y.astype(float)))
    assert_same_weights(estimator, small(max_iter=60).fit(X, sparse.csr_array(y)))
    assert_same_weights(estimator, small(max_iter=60).fit(X, y.tolist()))


def test_multilabel_of_two_labels_is_not_two_classes():
    X, y = make_data("multilabel")
    estimator = small().fit(X, y[:, :2])
    assert estimator.predict_proba(X).shape == (40, 2)
    assert estimator.decision_function(X).shape == (40, 2)
    assert estimator.predict(X).shape == (40, 2)


@pytest.mark.parametrize("names", [[0, 1], ["no", "yes"]])
def test_a_column_of_y_is_taken_as_one_dimensional(names):
    X, y = make_data()
    y = np.array(names)[y]
    with pytest.warns(DataConversionWarning, match="column-vector"):
        estimator = small().fit(X, y[:, np.newaxis])
    assert_same_weights(estimator, small().fit(X, y))
    assert estimator.predict(X).shape == (40,)
    np.testing.assert_array_equal(estimator.classes_, names)


# The start, the objective and the batches --------------------------------------------


@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic"])
def test_the_initial_weights(activation):
    X, y = make_data("multiclass", n_features=30)
    start = initial(small(hidden_layer_sizes=(40, 20), activation=activation), X, y)
    for W in start.coefs_:
        bound = math.sqrt((2 if activation == "logistic" else 6) / sum(W.shape))
        assert np.abs(W).max() <= bound
        assert np.abs(W).max() > 0.9 * bound
        # A uniform variable has the standard deviation bound / sqrt(3).
        assert abs(W.mean()) < 5 * bound / math.sqrt(3 * W.size)
        # The spread of W.std() is 0.45 / sqrt(n) of it.
        error = 2.25 / math.sqrt(W.size)
        assert W.std() == pytest.approx(bound / math.sqrt(3), rel=error)
    for b in start.intercepts_[:-1]:
        np.testing.assert_allclose(b, 0, atol=1e-290)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_without_features_the_start_predicts_the_frequencies(kind, weighted):
    """The output biases are the log-odds of the classes, but for a thousandth."""
    _, y = make_data(kind)
    y[:15] = 0
    X = np.zeros((40, 4))
    weight = np.random.default_rng(0).uniform(0.1, 3, 40) if weighted else None
    Y = indicators(y).T
    if kind == "binary":
        Y = np.hstack([1 - Y, Y])
    start = initial(small(), X, y, weight)
    frequencies = np.average(Y, axis=0, weights=weight)
    assert np.ptp(frequencies) > 0.01
    assert np.abs(frequencies - 0.5).max() > 0.1
    np.testing.assert_allclose(start.predict_proba(X[:1])[0], frequencies, atol=2e-3)


@pytest.mark.parametrize("batch_size", [10, 17, 40, 41, "full", "auto"])
def test_the_penalty_is_the_same_at_every_batch_size(batch_size):
    """One epoch at a rate near zero moves W by -rate * n_batches * lambd / m * W."""
    X, y = make_data(n=41)
    weight = np.random.default_rng(0).uniform(0.5, 2, 41)
    rate, lambd = 1e-4, 5.0
    moved = {}
    for value in (0.0, lambd):
        estimator = small(
            solver="sgd",
            momentum=0.0,
            learning_rate_init=rate,
            learning_rate="constant",
            lambd=value,
            batch_size=batch_size,
            max_iter=1,
        )
        moved[value] = fit(estimator, X, y, weight)
    start = initial(estimator, X, y)
    n_batches = 1 if isinstance(batch_size, str) else math.ceil(41 / batch_size)
    for W, W_0, W_start in zip(
        moved[lambd].coefs_, moved[0.0].coefs_, start.coefs_, strict=True
    ):
        expected = -rate * n_batches * lambd / weight.sum() * W_start
        np.testing.assert_allclose(W - W_0, expected, rtol=2e-3, atol=1e-9)
    for b, b_0 in zip(moved[lambd].intercepts_, moved[0.0].intercepts_, strict=True):
        np.testing.assert_allclose(b, b_0, rtol=0, atol=1e-7)


def test_the_batches_are_the_near_equal_ones_in_order():
    """Without shuffling, an epoch of batches is known: follow it naively."""
    X, y = make_data("multiclass", n=23)
    weight = np.random.default_rng(2).uniform(0.5, 2, 23)
    estimator = endless(
        solver="sgd", momentum=0.0, batch_size=5, shuffle=False, max_iter=3, lambd=2.0
    )
    theta = parameters_of(initial(estimator, X, y, weight))
    fit(estimator, X, y, weight)
    candidates = []
    sizes = reference.near_equal_sizes(23, 5)
    # The larger batches may come anywhere.
    for order in set(itertools.permutations(sizes)):
        parameters = dict(theta)
        for _ in range(3):
            start = 0
            for size in order:
                g = reference.minibatch_gradients(
                    X.T,
                    indicators(y),
                    parameters,
                    2.0,
                    range(start, start + size),
                    output="softmax",
                    sample_weight=weight,
                )
                parameters = {
                    name: value - 0.03 * g[f"d{name}"]
                    for name, value in parameters.items()
                }
                start += size
        candidates.append(reference.flatten(parameters))
    found = reference.flatten(parameters_of(estimator))
    assert min(np.abs(found - c).max() for c in candidates) < 1e-12


@pytest.mark.parametrize("batch_size", [41, 1000, "full", 40])
def test_a_batch_as_large_as_the_data_is_all_of_it(batch_size):
    X, y = make_data()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        estimator = small(batch_size=batch_size).fit(X, y)
    assert_same_weights(estimator, small(batch_size="auto").fit(X, y))
    assert not np.array_equal(flat(estimator), flat(small(batch_size=39).fit(X, y)))


@pytest.mark.parametrize(
    ("n", "size"), [(450, 64), (3249, 64), (3250, 65), (7000, 140), (12_000, 200)]
)
def test_auto_is_a_fiftieth_of_the_rows_from_64_to_200(n, size):
    X, y = make_data(n=n)
    auto = small(max_iter=1, batch_size="auto").fit(X, y)
    assert_same_weights(auto, small(max_iter=1, batch_size=size).fit(X, y))
    # The nearest sizes that make more batches, or fewer.
    n_batches = -(-n // size)
    for other in (-(-n // (n_batches + 1)), -(-n // (n_batches - 1))):
        one = small(max_iter=1, batch_size=other).fit(X, y)
        assert not np.array_equal(flat(auto), flat(one))


def test_a_full_batch_larger_than_a_chunk_is_still_one_step():
    """Rows that do not fit the workspace are taken piece by piece."""
    X, y = make_data("multiclass", n=9000, n_features=2)
    estimator = endless(
        hidden_layer_sizes=(400,),
        solver="sgd",
        momentum=0.0,
        batch_size="full",
        max_iter=1,
        lambd=3.0,
    )
    start = parameters_of(initial(estimator, X, y))
    fit(estimator, X, y)
    g = reference.gradients(X.T, indicators(y), start, 3.0, output="softmax")
    for name, value in parameters_of(estimator).items():
        np.testing.assert_allclose(
            value, start[name] - 0.03 * g[f"d{name}"], rtol=0, atol=1e-13
        )
    J = reference.objective(X.T, indicators(y), start, 3.0, output="softmax")
    assert estimator.loss_ == pytest.approx(J, rel=1e-12)


@pytest.mark.parametrize("hidden", [3, (3,), [3], np.array([3]), np.int64(3)])
def test_the_ways_to_write_one_hidden_layer(hidden):
    X, y = make_data()
    estimator = small(hidden_layer_sizes=hidden).fit(X, y)
    assert [W.shape for W in estimator.coefs_] == [(4, 3), (3, 1)]
    assert [b.shape for b in estimator.intercepts_] == [(3,), (1,)]
    assert estimator.n_layers_ == 3
    assert_same_weights(estimator, small(hidden_layer_sizes=(3,)).fit(X, y))


def test_four_hidden_layers():
    X, y = make_data()
    estimator = small(hidden_layer_sizes=(5, 4, 3, 2), keep_prob=0.9).fit(X, y)
    assert [len(b) for b in estimator.intercepts_] == [5, 4, 3, 2, 1]
    assert estimator.n_layers_ == 6


# Dropout -----------------------------------------------------------------------------


def test_keep_prob_for_each_layer():
    X, y = make_data()
    one = small(keep_prob=0.8).fit(X, y)
    for each in [(0.8, 0.8), [0.8, 0.8], np.array([0.8, 0.8])]:
        assert_same_weights(one, small(keep_prob=each).fit(X, y))
    models = [small(keep_prob=p).fit(X, y) for p in [(0.8, 1), (1, 0.8), 1.0]]
    for a, b in itertools.combinations([one, *models], 2):
        assert not np.array_equal(flat(a), flat(b))


def test_what_is_dropped_learns_nothing():
    """A layer that is (all but) always dropped cuts the gradients below it."""
    X, _ = make_data()
    y = (X[:, 0] > 1).astype(int)
    settings = {"lambd": 0.0, "max_iter": 3, "activation": "tanh"}
    start = initial(small(**settings), X, y)
    first = small(keep_prob=(1e-9, 1.0), **settings).fit(X, y)
    second = small(keep_prob=(1.0, 1e-9), **settings).fit(X, y)
    for estimator in (first, second):
        for W, W_start in zip(estimator.coefs_[:2], start.coefs_[:2], strict=True):
            np.testing.assert_array_equal(W, W_start)
        moved = estimator.intercepts_[2] - start.intercepts_[2]
        assert np.abs(moved).max() > 1e-6
        np.testing.assert_allclose(estimator.intercepts_[0], 0, atol=1e-290)
    # The second layer's bias is above the first mask and below the second.
    assert np.abs(first.intercepts_[1]).max() > 1e-3
    np.testing.assert_allclose(second.intercepts_[1], 0, atol=1e-290)


@pytest.mark.slow
@pytest.mark.parametrize("keep_prob", [0.5, (0.4, 0.6)])
def test_dropout_does_not_change_the_mean_gradient(keep_prob):
    """It is inverted: where the loss is all but linear in the hidden units, the mean
    of many masked gradients is the gradient without masks."""
    X, y = make_data("binary", n=30)
    estimator = endless(
        activation="identity",
        solver="sgd",
        momentum=0.0,
        lambd=0.0,
        learning_rate_init=1.0,
        max_iter=1,
        warm_start=True,
    )
    fit(estimator, X, y)
    rng = np.random.default_rng(4)
    coefs = [rng.normal(size=W.shape) for W in estimator.coefs_]
    intercepts = [rng.normal(size=b.shape) for b in estimator.intercepts_]
    # Logits near zero, where A - Y hardly depends on what is dropped.
    coefs[-1] *= 1e-4
    intercepts[-1] *= 1e-4
    names = [("W", i) for i in range(3)] + [("b", i) for i in range(3)]

    def step(keep_prob, seed):
        estimator.set_params(keep_prob=keep_prob, random_state=seed)
        estimator.coefs_, estimator.intercepts_ = list(coefs), list(intercepts)
        del estimator._training_state
        fit(estimator, X, y)
        before = coefs + intercepts
        return [a - b for a, b in zip(weights_of(estimator), before, strict=True)]

    plain = step(1.0, 0)
    masked = [step(keep_prob, seed) for seed in range(300)]
    for i, name in enumerate(names):
        steps = np.array([each[i] for each in masked])
        error = steps.std(axis=0, ddof=1) / math.sqrt(300)
        # 5 standard errors, and the curvature of the loss over logits near 1e-3.
        bound = 5 * error + 2e-3 * np.abs(plain[i]).max()
        assert (np.abs(steps.mean(axis=0) - plain[i]) <= bound).all(), name
        if name[0] == "W":
            # Without the division by keep_prob it would be wrong by half and more.
            assert (error > 0).all()
            assert (bound < 0.4 * np.abs(plain[i])).any(), name


# Stopping ----------------------------------------------------------------------------


def naive_end(scores, tol, patience):
    """The epoch, from 1, after which training stops; None if it goes on."""
    best, count = -math.inf, 0
    for epoch, score in enumerate(scores, start=1):
        count = 0 if score >= best + tol else count + 1
        best = max(best, score)
        if count == patience:
            return epoch
    return None


@pytest.mark.parametrize("patience", [1, 3, 10])
@pytest.mark.parametrize("tol", [1e-3, 1e-2])
def test_training_stops_at_a_plateau_of_the_loss(tol, patience):
    X, y = make_data("multiclass")
    estimator = small(
        learning_rate="constant", tol=tol, n_iter_no_change=patience, max_iter=1000
    ).fit(X, y)
    assert estimator.converged_
    minus = [-loss for loss in estimator.loss_curve_]
    assert naive_end(minus, tol, patience) == estimator.n_iter_ < 1000
    assert len(estimator.loss_curve_) == estimator.n_iter_
    assert estimator.loss_ == estimator.loss_curve_[-1]
    assert estimator.best_loss_ == min(estimator.loss_curve_)
    assert estimator.best_n_iter_ == estimator.n_iter_
    assert estimator.t_ == 40 * estimator.n_iter_
    assert estimator.validation_scores_ is None
    assert estimator.best_validation_score_ is None


def test_cosine_goes_to_the_end_and_has_converged():
    X, y = make_data()
    estimator = small(tol=10.0, n_iter_no_change=1, max_iter=25).fit(X, y)
    assert estimator.n_iter_ == 25
    assert estimator.converged_


def stopping(**parameters):
    """Overfits, so that the best epoch is not the last one."""
    return small(
        early_stopping=True,
        learning_rate="constant",
        learning_rate_init=0.02,
        hidden_layer_sizes=(20,),
        lambd=0.0,
        **{"max_iter": 300, "n_iter_no_change": 8, **parameters},
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_early_stopping_restores_the_best_epoch(solver, kind):
    X, y = make_data(kind, n=80, noise=1, seed=2)
    estimator = stopping(solver=solver, batch_size=16, validation_fraction=0.25)
    estimator.fit(X, y)
    scores = estimator.validation_scores_
    assert len(scores) == estimator.n_iter_ == len(estimator.loss_curve_)
    assert estimator.best_validation_score_ == max(scores)
    assert estimator.best_n_iter_ == 1 + scores.index(max(scores))
    assert 1 < estimator.best_n_iter_ < estimator.n_iter_
    assert estimator.n_iter_ == naive_end(scores, 1e-4, 8)
    assert estimator.converged_
    assert estimator.best_loss_ is None
    # The weights are those of a training that ended with the best epoch.
    shorter = clone(estimator).set_params(max_iter=estimator.best_n_iter_)
    fit(shorter, X, y)
    assert shorter.validation_scores_ == scores[: shorter.n_iter_]
    assert_same_weights(estimator, shorter)
    # A quarter of the rows, of each class, is not trained on.
    counts = [80] if kind == "multilabel" else np.bincount(y)
    n_train = sum(n - round(0.25 * n) for n in counts)
    if solver != "lbfgs":
        assert estimator.t_ == n_train * estimator.n_iter_


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize(("kind", "n_out"), [("binary", 2), ("multiclass", 3)])
def test_the_score_is_minus_the_loss_on_held_out_rows(kind, n_out, solver, weighted):
    """Which rows those are is found by trying all sets of them."""
    X, _ = make_data(kind, n=18)
    y = np.arange(18) % n_out
    w = np.random.default_rng(3).uniform(0.5, 2, 18) if weighted else np.ones(18)
    sets = np.array(list(itertools.combinations(range(18), n_out)))
    alike = np.ones(len(sets), dtype=bool)
    for max_iter in (1, 2, 3, 5, 9):
        estimator = stopping(solver=solver, max_iter=max_iter, n_iter_no_change=100)
        fit(estimator, X, y, w if weighted else None)
        losses = losses_of_rows(estimator, X, y)
        means = (w * losses)[sets].sum(axis=1) / w[sets].sum(axis=1)
        alike &= np.isclose(
            means, -estimator.best_validation_score_, rtol=1e-9, atol=1e-12
        )
    assert alike.sum() == 1
    held_out = sets[np.argmax(alike)]
    # Each class is there.
    assert sorted(y[held_out]) == list(range(n_out))

    # The other rows are what is trained on: J at the start is theirs.
    estimator = stopping(solver=solver, max_iter=1).set_params(lambd=2.0)
    start = fit(clone(estimator).set_params(solver="sgd", learning_rate_init=1e-300),
                X, y, w if weighted else None)  # fmt: skip
    rest = np.setdiff1d(np.arange(18), held_out)
    J = reference.objective(
        X[rest].T,
        indicators(y[rest]),
        parameters_of(start),
        2.0,
        output=output_of(start),
        sample_weight=w[rest],
    )
    assert start.loss_ == pytest.approx(J, rel=1e-12)


def test_early_stopping_stratifies_more_than_two_classes():
    """With one row for each class, over and over, the score tells how many of each
    class are held out."""
    X = np.repeat([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]], [120, 76, 4], axis=0)
    y = np.repeat(["a", "b", "rare"], [120, 76, 4])
    shuffled = np.random.default_rng(0).permutation(200)
    X, y = X[shuffled], y[shuffled]
    for seed in range(15):
        estimator = small(
            early_stopping=True,
            validation_fraction=0.25,
            learning_rate_init=1e-300,
            max_iter=1,
            random_state=seed,
        ).fit(X, y)
        losses = losses_of_rows(estimator, X, y)
        loss = [losses[y == name][0] for name in estimator.classes_]
        counts = [
            (a, b, 50 - a - b)
            for a in range(51)
            for b in range(51 - a)
            if math.isclose(
                np.dot([a, b, 50 - a - b], loss) / 50,
                -estimator.best_validation_score_,
                rel_tol=1e-12,
            )
        ]
        assert counts == [(30, 19, 1)]


@pytest.mark.parametrize("names", [[0, 1, 2], ["a", "b", "c"]])
def test_a_class_of_one_row_stays_in_training(names):
    X, _ = make_data(n=21)
    y = np.array(names)[np.r_[np.zeros(10, int), np.ones(10, int), 2]]
    estimator = small(early_stopping=True, max_iter=5).fit(X, y)
    assert estimator.classes_.tolist() == names
    # One row of each of the other two classes is held out.
    assert estimator.t_ == 5 * 19


def test_early_stopping_holds_out_the_fraction():
    X, _ = make_data(n=100)
    y = np.arange(100) % 2
    for fraction, n_train in [(0.1, 90), (0.2, 80), (0.5, 50), (0.001, 98)]:
        estimator = small(
            early_stopping=True, validation_fraction=fraction, max_iter=2
        ).fit(X, y)
        assert estimator.t_ == 2 * n_train


def test_the_best_validation_score_is_one_of_the_validation_loss():
    """Even where L-BFGS has nothing to do, and the weights are those of the start."""
    X, y = make_data(n=18, noise=2)
    estimator = small(solver="lbfgs", early_stopping=True, tol=1e3, lambd=9.0)
    estimator.fit(X, y)
    losses = losses_of_rows(estimator, X, y)
    pairs = [
        (losses[i] + losses[j]) / 2 for i, j in itertools.combinations(range(18), 2)
    ]
    assert np.isclose(pairs, -estimator.best_validation_score_, rtol=1e-9).any()


# Going on ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parameters",
    [
        {"solver": "adam"},
        {"solver": "adam", "keep_prob": 0.7},
        {"solver": "sgd"},
        {"solver": "sgd", "nesterovs_momentum": False},
        {"solver": "sgd", "learning_rate": "invscaling", "power_t": 0.3},
        {"solver": "adam", "dtype": np.float32},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", KINDS)
def test_twice_k_epochs_are_2k_epochs(kind, parameters):
    """The weights go on, and so do the optimiser, the masks and the counters."""
    parameters = dict(parameters)
    X, y = make_data(kind)
    X = X.astype(parameters.pop("dtype", np.float64))
    estimator = endless(batch_size=7, shuffle=False, max_iter=10, **parameters)
    at_once = fit(clone(estimator).set_params(max_iter=20), X, y)
    estimator.set_params(warm_start=True)
    fit(estimator, X, y)
    curve = estimator.loss_curve_
    fit(estimator, X, y)
    assert_same_weights(estimator, at_once)
    assert curve + estimator.loss_curve_ == at_once.loss_curve_
    assert estimator.n_iter_ == 10
    assert estimator.t_ == at_once.t_ == 20 * 40
    # The state is only kept where it can be used again.
    assert len(pickle.dumps(at_once)) < len(pickle.dumps(estimator))


def test_warm_start_of_adaptive_keeps_the_lowered_rate():
    X, y = make_data()
    estimator = endless(
        solver="sgd",
        momentum=0.0,
        learning_rate="adaptive",
        batch_size="full",
        # Each epoch but the first, which improves on nothing, is a plateau: 0.03, 0.03,
        # 0.006, and then 0.0012.
        tol=10.0,
        n_iter_no_change=1,
        max_iter=3,
        lambd=0.0,
        warm_start=True,
    )
    fit(estimator, X, y)
    start = parameters_of(estimator)
    fit(estimator.set_params(max_iter=1), X, y)
    g = reference.gradients(X.T, indicators(y), start, 0.0)
    for name, value in parameters_of(estimator).items():
        expected = start[name] - 0.03 / 25 * g[f"d{name}"]
        np.testing.assert_allclose(value, expected, rtol=0, atol=1e-13)


def test_adaptive_ends_after_the_smallest_rate():
    X, y = make_data()
    estimator = small(
        solver="sgd", learning_rate="adaptive", tol=10.0, n_iter_no_change=2,
        learning_rate_init=0.01, max_iter=100,
    ).fit(X, y)  # fmt: skip
    assert estimator.converged_
    # One that improves, then two at each of 0.01, …, 0.01 / 5**6 < 1e-6.
    assert estimator.n_iter_ == 1 + 2 * 7


def test_warm_start_with_lbfgs_goes_on():
    X, y = make_data(noise=2)
    estimator = small(solver="lbfgs", warm_start=True, max_iter=5, tol=1e-8)
    losses = [fit(estimator, X, y).loss_ for _ in range(4)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0]


def test_warm_start_keeps_to_the_classes_that_it_knows():
    X, y = make_data("multiclass")
    estimator = small(warm_start=True).fit(X, y)
    some = y < 2
    estimator.fit(X[some], y[some])
    assert estimator.classes_.tolist() == [0, 1, 2]
    assert estimator.predict_proba(X).shape == (40, 3)
    before = copy.deepcopy(vars(estimator))
    with pytest.raises(ValueError, match=r"\[7\].*fit anew"):
        estimator.fit(X, np.where(y == 0, 7, y))
    with pytest.raises(ValueError, match=r"y has the shape \(40, 2\)"):
        estimator.fit(X, np.column_stack([y > 0, y > 1]).astype(int))
    assert_same(before, vars(estimator))
    # One class alone: two are known to a model of two.
    two = small(warm_start=True).fit(X[some], y[some])
    two.fit(X[y == 1], y[y == 1])
    assert two.predict_proba(X).shape == (40, 2)
    # Without warm_start it learns them anew.
    estimator.set_params(warm_start=False).fit(X, np.where(y == 0, 7, y))
    assert estimator.classes_.tolist() == [1, 2, 7]


def test_warm_start_takes_a_subset_at_its_word():
    """A batch of two of the three classes trains all three outputs."""
    X, y = make_data("multiclass")
    estimator = endless(
        solver="sgd", momentum=0.0, batch_size="full", warm_start=True, max_iter=1
    )
    fit(estimator, X, y)
    start = parameters_of(estimator)
    some = y != 1
    fit(estimator, X[some], y[some])
    Y = indicators(y[some], [0, 1, 2])
    g = reference.gradients(X[some].T, Y, start, 0.5, output="softmax")
    for name, value in parameters_of(estimator).items():
        expected = start[name] - 0.03 * g[f"d{name}"]
        np.testing.assert_allclose(value, expected, rtol=0, atol=1e-13)


def test_warm_start_refuses_other_layers_and_other_columns():
    X, y = make_data()
    estimator = small(warm_start=True).fit(X, y)
    before = copy.deepcopy(vars(estimator))
    with pytest.raises(ValueError, match=r"hidden_layer_sizes=\(9, 5\).*\(6, 5\)"):
        estimator.set_params(hidden_layer_sizes=(9, 5)).fit(X, y)
    with pytest.raises(ValueError, match=r"hidden_layer_sizes=3.*\(6, 5\)"):
        estimator.set_params(hidden_layer_sizes=3).fit(X, y)
    estimator.set_params(hidden_layer_sizes=(6, 5))
    with pytest.raises(ValueError, match="X has 3 features"):
        estimator.fit(X[:, :3], y)
    assert_same(before, vars(estimator))


def test_without_warm_start_each_fit_begins_anew():
    X, y = make_data()
    once = small(keep_prob=0.8, batch_size=7).fit(X, y)
    twice = small(keep_prob=0.8, batch_size=7).fit(X, y).fit(X, y)
    assert_same_weights(once, twice)
    assert once.loss_curve_ == twice.loss_curve_
    assert once.t_ == twice.t_ == 12 * 40


def test_warm_start_may_change_the_solver():
    X, y = make_data()
    estimator = small(warm_start=True).fit(X, y)
    loss = estimator.loss_
    for solver in ("sgd", "lbfgs", "adam"):
        fit(estimator.set_params(solver=solver), X, y)
        assert estimator.loss_ < loss + 0.05
        assert np.isfinite(flat(estimator)).all()


# partial_fit -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parameters",
    [{"solver": "sgd"}, {"solver": "adam"}, {"solver": "adam", "keep_prob": 0.6}],
    ids=str,
)
@pytest.mark.parametrize("kind", KINDS)
def test_n_calls_of_partial_fit_are_n_epochs_of_a_full_batch(kind, parameters):
    X, y = make_data(kind)
    weight = np.random.default_rng(1).uniform(0.5, 2, 40)
    estimator = endless(batch_size="full", **parameters)
    by_fit = fit(clone(estimator), X, y, weight)
    # The first epoch by fit, which starts from the frequencies of the classes, and
    # keeps the state of the optimiser and of the masks.
    fit(estimator.set_params(max_iter=1, warm_start=True), X, y, weight)
    estimator.set_params(max_iter=12)
    for i in range(1, 12):
        assert estimator.partial_fit(X, y, weight) is estimator
        assert estimator.n_iter_ == i + 1
        assert estimator.t_ == 40 * (i + 1)
    assert_same_weights(estimator, by_fit)
    assert estimator.loss_curve_ == by_fit.loss_curve_
    assert estimator.loss_ == by_fit.loss_
    assert estimator.best_loss_ == by_fit.best_loss_
    np.testing.assert_array_equal(estimator.predict(X), by_fit.predict(X))
    # fit after partial_fit begins anew.
    estimator.set_params(warm_start=False)
    assert_same_weights(fit(estimator, X, y, weight), by_fit)


@pytest.mark.parametrize("parameters", [{}, {"keep_prob": 0.6}], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_from_even_classes_partial_fit_alone_is_fit(kind, parameters):
    X, _ = make_data(kind, n=42)
    y = np.arange(42) % (2 if kind == "binary" else 3)
    if kind == "multilabel":
        y = np.column_stack([np.arange(42) % 2, np.arange(42) // 21])
    estimator = endless(batch_size="full", **parameters)
    by_fit = fit(clone(estimator), X, y)
    classes = [0, 1, 2] if kind == "multiclass" else [0, 1]
    for i in range(12):
        estimator.partial_fit(X, y, classes=classes if i == 0 else None)
    assert_same_weights(estimator, by_fit, 1e-12)
    np.testing.assert_allclose(estimator.loss_curve_, by_fit.loss_curve_, rtol=1e-12)
    np.testing.assert_array_equal(estimator.classes_, by_fit.classes_)
    assert estimator.out_activation_ == by_fit.out_activation_


def test_the_m_of_partial_fit_is_the_weight_of_the_call():
    X, y = make_data()
    estimator = endless(solver="sgd", momentum=0.0, batch_size="full", lambd=4.0)
    estimator.partial_fit(X, y, classes=[0, 1])
    start = parameters_of(estimator)
    weight = np.linspace(0.5, 2, 10)
    estimator.partial_fit(X[:10], y[:10], weight)
    g = reference.gradients(
        X[:10].T, indicators(y[:10], [0, 1]), start, 4.0, sample_weight=weight
    )
    for name, value in parameters_of(estimator).items():
        expected = start[name] - 0.03 * g[f"d{name}"]
        np.testing.assert_allclose(value, expected, rtol=0, atol=1e-13)


def test_the_loss_curve_of_partial_fit_is_bounded():
    X, y = make_data(n=10)
    estimator = endless(max_iter=7).partial_fit(X, y, classes=[0, 1])
    losses, sizes = [estimator.loss_], []
    for _ in range(60):
        estimator.partial_fit(X, y)
        losses.append(estimator.loss_)
        sizes.append(len(pickle.dumps(estimator)))
    assert estimator.loss_curve_ == losses[-7:]
    assert estimator.best_loss_ == min(losses)
    assert estimator.n_iter_ == 61
    assert estimator.t_ == 610
    # A few bytes for larger counters.
    assert sizes[-1] - sizes[10] < 50


@pytest.mark.parametrize("keep_prob", [1.0, 0.7])
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_a_pickle_half_way_goes_on_as_the_estimator_does(solver, keep_prob):
    X, y = make_data("multiclass")
    estimator = small(solver=solver, keep_prob=keep_prob, batch_size=7)
    for _ in range(3):
        estimator.partial_fit(X, y, classes=[0, 1, 2])
    twin, copied = pickle.loads(pickle.dumps(estimator)), copy.deepcopy(estimator)
    for each in (estimator, twin, copied):
        for _ in range(3):
            each.partial_fit(X, y)
    for each in (twin, copied):
        assert_same_weights(estimator, each)
        assert estimator.loss_curve_ == each.loss_curve_
        assert estimator.n_iter_ == each.n_iter_ == 6
        assert estimator.t_ == each.t_


def test_a_pickle_after_fit_is_small():
    X, y = make_data()
    estimator = small(hidden_layer_sizes=(300, 200), max_iter=2).fit(X, y)
    n_bytes = sum(a.nbytes for a in weights_of(estimator))
    assert len(pickle.dumps(estimator)) < 1.1 * n_bytes + 10_000
    # What partial_fit needs is dropped by a fit that follows it.
    estimator.partial_fit(X, y)
    estimator.fit(X, y)
    assert len(pickle.dumps(estimator)) < 1.1 * n_bytes + 10_000


def test_the_first_call_of_partial_fit_names_all_classes():
    X, y = make_data()
    estimator = small()
    with pytest.raises(ValueError, match="classes must be passed"):
        estimator.partial_fit(X, y)
    assert not hasattr(estimator, "classes_")
    with pytest.raises(ValueError, match=r"classes \[1\].*\[0 5\]"):
        estimator.partial_fit(X, y, classes=[0, 5])
    assert not hasattr(estimator, "classes_")
    assert not hasattr(estimator, "coefs_")

    # Not all of them have to come; the order does not matter.
    estimator.partial_fit(X, y, classes=[5, 1, 0])
    assert estimator.classes_.tolist() == [0, 1, 5]
    assert estimator.predict_proba(X).shape == (40, 3)
    estimator.partial_fit(X[:3], np.full(3, 5))
    estimator.partial_fit(X, y, classes=[0, 1, 5])
    with pytest.raises(ValueError, match="not the same as on last call"):
        estimator.partial_fit(X, y, classes=[0, 1])
    with pytest.raises(ValueError, match=r"classes \[9\]"):
        estimator.partial_fit(X, np.full(40, 9))
    assert estimator.n_iter_ == 3


def test_successive_calls_have_different_permutations():
    """Also with an integer seed: from the same weights they lead elsewhere."""
    X, y = make_data()

    def from_the_same_start(shuffle):
        estimator = endless(
            solver="sgd", momentum=0.0, batch_size=7, shuffle=shuffle, random_state=3
        )
        estimator.partial_fit(X, y, classes=[0, 1])
        coefs, intercepts = estimator.coefs_, estimator.intercepts_
        ends = []
        for _ in range(4):
            estimator.coefs_ = [W.copy() for W in coefs]
            estimator.intercepts_ = [b.copy() for b in intercepts]
            ends.append(flat(estimator.partial_fit(X, y)))
        return ends

    for a, b in itertools.combinations(from_the_same_start(True), 2):
        assert np.abs(a - b).max() > 1e-6
    for a, b in itertools.combinations(from_the_same_start(False), 2):
        np.testing.assert_array_equal(a, b)


def test_without_its_state_a_model_goes_on_in_another_order():
    """The seed is the same, but not the number of rows seen."""
    X, y = make_data()
    ends, start = [], None
    for max_iter in (1, 2, 3):
        estimator = endless(solver="sgd", momentum=0.0, batch_size=7, max_iter=max_iter)
        fit(estimator, X, y)
        start = start or (estimator.coefs_, estimator.intercepts_)
        estimator.coefs_, estimator.intercepts_ = start
        ends.append(flat(estimator.partial_fit(X, y)))
    for a, b in itertools.combinations(ends, 2):
        assert np.abs(a - b).max() > 1e-6


def test_the_epochs_of_a_fit_have_different_permutations():
    """The mean loss of an epoch at a rate near zero does not depend on the order, the
    losses of its batches do: momentum remembers the last of them."""
    X, y = make_data()

    def last_step(max_iter):
        estimator = endless(
            solver="sgd", momentum=1e-6, nesterovs_momentum=False, batch_size=20,
            learning_rate_init=1e-9, max_iter=max_iter, warm_start=True,
        )  # fmt: skip
        return fit(estimator, X, y)._training_state["moments"][0]

    steps = [last_step(max_iter) for max_iter in (1, 2, 3)]
    for a, b in itertools.combinations(steps, 2):
        assert np.abs(a - b).max() > 1e-3 * np.abs(a).max()


@pytest.mark.parametrize(
    ("parameters", "why"),
    [({"solver": "lbfgs"}, "lbfgs"), ({"early_stopping": True}, "early_stopping")],
)
def test_what_partial_fit_refuses(parameters, why):
    X, y = make_data()
    estimator = small(**parameters)
    assert not hasattr(estimator, "partial_fit")
    with pytest.raises(AttributeError, match=f"partial_fit .*{why}.* Set "):
        estimator.partial_fit(X, y, classes=[0, 1])
    assert hasattr(small(), "partial_fit")
    assert hasattr(small(solver="sgd"), "partial_fit")
    assert small().partial_fit.__doc__


def test_partial_fit_goes_on_from_fit():
    X, y = make_data()
    estimator = small().fit(X, y)
    before = flat(estimator)
    estimator.set_params(learning_rate_init=1e-9).partial_fit(X, y)
    np.testing.assert_allclose(flat(estimator), before, atol=1e-7)
    assert not np.array_equal(flat(estimator), before)
    assert estimator.n_iter_ == 13
    assert estimator.t_ == 13 * 40


def test_multilabel_partial_fit_keeps_to_its_labels():
    X, y = make_data("multilabel")
    estimator = small().partial_fit(X, y, classes=[0, 1, 2])
    # Rows without any label, and all labels: nothing is inferred from them.
    estimator.partial_fit(X[:2], np.zeros((2, 3), dtype=int))
    estimator.partial_fit(X[:2], np.ones((2, 3), dtype=int))
    assert estimator.predict(X).shape == (40, 3)
    for wrong in (y[:, :2], y[:, 0]):
        with pytest.raises(ValueError, match="3 labels"):
            estimator.partial_fit(X, wrong)
    assert estimator.n_iter_ == 3


def test_partial_fit_never_warns_of_max_iter():
    X, y = make_data()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        estimator = endless(max_iter=1).partial_fit(X, y, classes=[0, 1])
        estimator.partial_fit(X, y)


# Chance ------------------------------------------------------------------------------

RANDOM = [
    {},
    {"keep_prob": 0.7, "batch_size": 7},
    {"early_stopping": True, "batch_size": 7, "solver": "sgd"},
    {"solver": "lbfgs"},
]


@pytest.mark.parametrize("parameters", RANDOM, ids=str)
def test_an_int_repeats_each_fit_bit_for_bit(parameters):
    X, y = make_data("multiclass")
    a, b = (fit(small(random_state=5, **parameters), X, y) for _ in range(2))
    assert_same(vars(a), vars(b))
    assert_same_weights(fit(a, X, y), b)
    numpy_int = fit(small(random_state=np.int64(5), **parameters), X, y)
    assert_same_weights(numpy_int, b)
    other = fit(small(random_state=6, **parameters), X, y)
    assert not np.array_equal(flat(other), flat(a))


@pytest.mark.parametrize("parameters", RANDOM, ids=str)
def test_a_random_state_is_used_up(parameters):
    X, y = make_data("multiclass")

    def both():
        estimator = small(random_state=np.random.RandomState(5), **parameters)
        return flat(fit(estimator, X, y)), flat(fit(estimator, X, y))

    (first, second), (again, second_again) = both(), both()
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(second, second_again)
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("parameters", RANDOM, ids=str)
def test_none_differs_each_time_and_leaves_numpys_stream_alone(parameters):
    X, y = make_data("multiclass")
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()  # noqa: NPY002
    models = [fit(small(random_state=None, **parameters), X, y) for _ in range(2)]
    fit(small(random_state=3, **parameters), X, y)
    if hasattr(models[0], "partial_fit"):
        models[0].partial_fit(X, y)
    models[0].predict_proba(X)
    after = np.random.get_state()  # noqa: NPY002
    assert_same(before, after)
    # It does not come from that stream either.
    np.random.seed(0)  # noqa: NPY002
    models.append(fit(small(random_state=None, **parameters), X, y))
    for a, b in itertools.combinations(models, 2):
        assert not np.array_equal(flat(a), flat(b))


def test_keep_prob_changes_neither_the_start_nor_the_order():
    X, y = make_data()
    start = initial(small(batch_size=7), X, y)
    for keep_prob in (0.5, (0.9, 0.1)):
        dropped = initial(small(batch_size=7, keep_prob=keep_prob), X, y)
        for W, W_dropped in zip(start.coefs_, dropped.coefs_, strict=True):
            np.testing.assert_array_equal(W, W_dropped)
    # Masks are drawn here, and all are ones: the weights and the order are the same.
    plain = small(batch_size=7).fit(X, y)
    drawn = small(batch_size=7, keep_prob=1 - 1e-9).fit(X, y)
    assert_same_weights(plain, drawn, 1e-12)


def test_shuffle_makes_a_difference():
    X, y = make_data()
    order = np.random.default_rng(0).permutation(40)
    unshuffled = small(batch_size=7, shuffle=False).fit(X, y)
    assert not np.array_equal(flat(unshuffled), flat(small(batch_size=7).fit(X, y)))
    # In the given order, so that another order is another model.
    other = small(batch_size=7, shuffle=False).fit(X[order], y[order])
    assert not np.allclose(flat(unshuffled), flat(other))


# Words -------------------------------------------------------------------------------


def test_it_is_silent_by_default(capsys):
    X, y = make_data()
    small().fit(X, y).partial_fit(X, y)
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""


@pytest.mark.parametrize(
    ("parameters", "names"),
    [
        ({"solver": "adam"}, ["max_iter=3", "tol", "cosine"]),
        ({"solver": "sgd"}, ["max_iter=3", "tol", "cosine"]),
        ({"solver": "adam", "learning_rate": "adaptive"}, ["max_iter=3"]),
        ({"solver": "lbfgs"}, ["max_iter=3"]),
        ({"solver": "lbfgs", "max_iter": 50, "max_fun": 2}, ["max_fun=2"]),
        ({"early_stopping": True}, ["max_iter=3"]),
        ({"early_stopping": True, "learning_rate": "invscaling"}, ["max_iter=3"]),
    ],
    ids=str,
)
def test_one_warning_a_fit_says_what_to_change(parameters, names):
    X, y = make_data(noise=2)
    settings = {"learning_rate": "constant", "max_iter": 3, "tol": 1e-9, **parameters}
    estimator = small(**settings)
    for _ in range(2):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            estimator.fit(X, y)
        assert [w.category for w in caught] == [ConvergenceWarning]
        for name in names:
            assert name in str(caught[0].message)
        # It points at the line that calls fit.
        assert caught[0].filename == __file__
        assert estimator.converged_ is False
        assert np.isfinite(flat(estimator)).all()


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"learning_rate": "constant", "tol": 0.1},
        {"solver": "lbfgs", "max_iter": 500},
        {"early_stopping": True, "n_iter_no_change": 2, "tol": 0.1},
    ],
    ids=str,
)
def test_no_warning_where_it_has_converged(parameters):
    X, y = make_data()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        estimator = small(**{"max_iter": 100, **parameters}).fit(X, y)
    assert estimator.converged_ is True


# Interruption ------------------------------------------------------------------------


@contextmanager
def interrupted_at_line(n):
    """Ctrl-C while the n-th line is printed."""
    original, lines = builtins.print, itertools.count(1)

    def printing(*args, **keywords):
        if next(lines) == n:
            raise KeyboardInterrupt

    builtins.print = printing
    try:
        with pytest.raises(KeyboardInterrupt):
            yield
    finally:
        builtins.print = original


@pytest.mark.parametrize("fitted_before", [False, True])
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_ctrl_c_keeps_the_epochs_so_far_and_is_raised_again(solver, fitted_before):
    X, y = make_data("multiclass", noise=2)
    estimator = endless(solver=solver, verbose=True)
    if fitted_before:
        fit(estimator, X[:, ::-1], (y + 1) % 3)
    with interrupted_at_line(4):
        estimator.fit(X, y)
    so_far = fit(clone(estimator).set_params(max_iter=4, verbose=False), X, y)
    assert_same_weights(estimator, so_far)
    assert estimator.n_iter_ == 4
    assert estimator.loss_curve_ == so_far.loss_curve_
    assert estimator.converged_ is False
    np.testing.assert_array_equal(estimator.predict_proba(X), so_far.predict_proba(X))
    # It can be fitted again.
    estimator.set_params(verbose=False)
    assert_same_weights(fit(estimator, X, y), fit(clone(estimator), X, y))


@pytest.mark.parametrize("n_evaluations", [3, 6, 9])
def test_ctrl_c_within_a_line_search_keeps_the_last_iteration(
    n_evaluations, monkeypatch
):
    """L-BFGS was looking at weights that it had not accepted."""
    X, y = make_data("multiclass", noise=2)
    # Where skreg has its `minimize`, whichever module that is.
    (owner,) = [
        module
        for name, module in list(sys.modules.items())
        if name.startswith("skreg.")
        and getattr(module, "minimize", None) is scipy.optimize.minimize
    ]

    def minimize(function, *args, **keywords):
        calls = itertools.count(1)

        def interrupted(x):
            found = function(x)
            if next(calls) == n_evaluations:
                raise KeyboardInterrupt
            return found

        return scipy.optimize.minimize(interrupted, *args, **keywords)

    estimator = small(solver="lbfgs", max_iter=100)
    with monkeypatch.context() as patch:
        patch.setattr(owner, "minimize", minimize)
        with pytest.raises(KeyboardInterrupt):
            estimator.fit(X, y)
    assert 0 < estimator.n_iter_ < n_evaluations
    so_far = fit(clone(estimator).set_params(max_iter=estimator.n_iter_), X, y)
    assert_same_weights(estimator, so_far)
    assert estimator.loss_ == so_far.loss_


def test_ctrl_c_with_early_stopping_keeps_the_best_epoch():
    X, y = make_data("binary", n=80, noise=1, seed=2)
    estimator = stopping(n_iter_no_change=np.inf, verbose=True, batch_size=16)
    # Well after the best epoch, whether an epoch prints one line or two.
    with interrupted_at_line(121):
        estimator.fit(X, y)
    scores = estimator.validation_scores_
    assert len(scores) == estimator.n_iter_ < 300
    assert estimator.best_n_iter_ == 1 + scores.index(max(scores)) < len(scores)
    losses = clone(estimator).set_params(max_iter=estimator.best_n_iter_, verbose=False)
    assert_same_weights(estimator, fit(losses, X, y))


def test_ctrl_c_in_partial_fit_keeps_the_epoch():
    X, y = make_data()
    estimator = small(verbose=True)
    with interrupted_at_line(2):
        for _ in range(5):
            estimator.partial_fit(X, y, classes=[0, 1])
    assert estimator.n_iter_ == 2
    assert estimator.t_ == 80


def test_a_search_does_not_go_on_after_ctrl_c():
    X, y = make_data()
    search = GridSearchCV(small(verbose=True), {"lambd": [0.1, 1.0]}, cv=2)
    with interrupted_at_line(15):
        search.fit(X, y)
    assert not hasattr(search, "cv_results_")


# Calls that fail ---------------------------------------------------------------------


def bad_calls(X, y):
    """Name → (parameters to set, arguments of fit)."""
    nan, longer = X.copy(), np.column_stack([X, X])
    nan[3, 1] = np.nan
    negative = np.ones(len(X))
    negative[2] = -1
    return {
        "bad X": ({}, (nan, y)),
        "bad y": ({}, (X, y[:-1])),
        "continuous y": ({}, (X, X[:, 0])),
        "bad weights": ({}, (X, y, negative)),
        "bad parameter": ({"lambd": -1.0}, (X, y)),
        "bad layers": ({"hidden_layer_sizes": (0,)}, (longer, y)),
        "bad keep_prob": ({"keep_prob": (0.5,)}, (longer, y)),
        "divergence": (
            {"learning_rate_init": 1e200, "solver": "sgd", "n_iter_no_change": 50},
            (X, y),
        ),
        "divergence of other columns": (
            {"learning_rate_init": 1e200, "solver": "sgd", "n_iter_no_change": 50},
            (longer, np.where(y == 1, "one", "other")),
        ),
    }


@pytest.mark.parametrize("how", ["fit", "partial_fit", "warm_start"])
@pytest.mark.parametrize("name", bad_calls(*make_data()))
def test_a_call_that_fails_leaves_the_estimator_as_it_was(name, how):
    X, y = make_data()
    estimator = small(batch_size=7, keep_prob=0.8)
    if how == "warm_start":
        estimator.set_params(warm_start=True)
    call = estimator.partial_fit if how == "partial_fit" else estimator.fit
    call(X, y, **({"classes": [0, 1]} if how == "partial_fit" else {}))
    proba = estimator.predict_proba(X)
    parameters, arguments = bad_calls(X, y)[name]
    if how == "partial_fit" and name.startswith("divergence"):
        # One epoch is too short for it; the weights are too large after a few.
        arguments = (X * 1e200, y)
    estimator.set_params(**parameters)
    before = copy.deepcopy(vars(estimator))
    with pytest.raises((ValueError, TypeError)):
        call(*arguments)
    assert_same(before, vars(estimator))
    np.testing.assert_array_equal(estimator.predict_proba(X), proba)


@pytest.mark.parametrize("name", bad_calls(*make_data()))
def test_a_first_call_that_fails_leaves_it_unfitted(name):
    X, y = make_data()
    parameters, arguments = bad_calls(X, y)[name]
    estimator = small(**parameters)
    with pytest.raises((ValueError, TypeError)):
        estimator.fit(*arguments)
    assert vars(estimator) == vars(small(**parameters))


@pytest.mark.parametrize("name", ["order", "names"])
def test_a_failing_call_after_a_good_one_goes_on_as_if_it_had_not_been(name):
    """The random stream and the optimiser too are what they were."""
    X, y = make_data()
    settings = {"batch_size": 7, "keep_prob": 0.8}
    disturbed, quiet = small(**settings), small(**settings)
    for estimator in (disturbed, quiet):
        estimator.partial_fit(X, y, classes=[0, 1])
    with pytest.raises(ValueError, match="diverged"):
        disturbed.set_params(learning_rate_init=1e308).partial_fit(X * 1e100, y)
    disturbed.set_params(learning_rate_init=0.03)
    for estimator in (disturbed, quiet):
        estimator.partial_fit(X, y)
    assert_same_weights(disturbed, quiet)


@pytest.mark.parametrize("solver", ["sgd", "adam"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_huge_learning_rate_diverges_with_an_error(solver, dtype):
    X, y = make_data()
    rate = 1e30 if dtype == np.float32 else 1e250
    estimator = endless(solver=solver, learning_rate_init=rate, max_iter=50)
    with pytest.raises(ValueError, match="diverged") as caught:
        estimator.fit(X.astype(dtype), y)
    text = str(caught.value)
    assert re.search(r"epoch \d+", text)
    assert re.search(r"learning rate of 1e\+(30|250)", text)
    largest = np.abs(X).max()
    assert f"{largest:.3g}" in text
    column = np.abs(X).max(axis=0).argmax()
    assert f"column {column}" in text
    assert f"learning_rate_init={rate!r}" in text
    assert "StandardScaler" in text


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_features_of_1e200_diverge_with_an_error(solver):
    pandas = pytest.importorskip("pandas")
    X, y = make_data()
    X[:, 2] = -1e200 * np.abs(X[:, 2])
    frame = pandas.DataFrame(X, columns=["a", "b", "salary", "d"])
    estimator = endless(solver=solver)
    with pytest.raises(ValueError, match="diverged") as caught:
        estimator.fit(frame, y)
    text = str(caught.value)
    assert re.search(r"epoch \d+", text)
    assert f"{-X[:, 2].min():.3g}" in text
    assert "column 2" in text
    assert "salary" in text
    if solver != "lbfgs":
        assert "learning rate of 0.03" in text
    assert not hasattr(estimator, "coefs_")
    assert not hasattr(estimator, "feature_names_in_")


# Sample weights ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"batch_size": 7},
        {"batch_size": 7, "keep_prob": 0.7, "shuffle": False},
        {"batch_size": 7, "early_stopping": True, "solver": "sgd"},
        {"early_stopping": True, "validation_fraction": 0.3},
        {"solver": "lbfgs"},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", KINDS)
def test_a_weight_of_zero_is_no_row_bit_for_bit(kind, parameters):
    X, y = make_data(kind, n=60)
    weight = np.random.default_rng(0).integers(0, 4, 60) / 2
    kept = weight > 0
    assert 0 < kept.sum() < 60
    with_zeros = fit(small(**parameters), X, y, weight)
    without = fit(small(**parameters), X[kept], y[kept], weight[kept])
    assert_same_weights(with_zeros, without)
    for name in ("loss_curve_", "validation_scores_", "n_iter_", "t_", "best_n_iter_"):
        assert getattr(with_zeros, name) == getattr(without, name)
    # In partial_fit alike.
    if hasattr(with_zeros, "partial_fit"):
        with_zeros.partial_fit(X, y, weight)
        without.partial_fit(X[kept], y[kept], weight[kept])
        assert_same_weights(with_zeros, without)


def test_a_class_whose_rows_all_weigh_zero_is_no_class():
    X, y = make_data("multiclass")
    weight = (y != 1).astype(float)
    estimator = small().fit(X, y, weight)
    assert estimator.classes_.tolist() == [0, 2]
    assert_same_weights(estimator, small().fit(X[y != 1], y[y != 1]))
    one = small().fit(X, y, y == 1)
    assert one.classes_.tolist() == [1]
    assert one.predict_proba(X).shape == (40, 1)


@pytest.mark.parametrize("parameters", RANDOM[:1] + RANDOM[2:], ids=str)
def test_weights_of_one_are_no_weights(parameters):
    X, y = make_data()
    a = fit(small(**parameters), X, y)
    b = fit(small(**parameters), X, y, np.ones(40))
    assert_same_weights(a, b, 1e-13)
    # A number is a weight for all rows.
    c = fit(small(**parameters), X, y, 1)
    assert_same_weights(b, c)


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_weight_of_k_is_k_copies_in_full_batch(kind, solver):
    X, y = make_data(kind)
    k = np.random.default_rng(0).integers(0, 5, 40)
    settings = {"solver": solver, "batch_size": "full", "lambd": 2.0}
    weighted = fit(small(**settings), X, y, k)
    copied = fit(small(**settings), np.repeat(X, k, axis=0), np.repeat(y, k, axis=0))
    assert_same_weights(weighted, copied, 1e-9)
    np.testing.assert_allclose(weighted.loss_curve_, copied.loss_curve_, rtol=1e-9)
    unweighted = fit(small(**settings), X, y)
    assert np.abs(flat(unweighted) - flat(copied)).max() > 1e-3


@pytest.mark.parametrize("batch_size", [7, "full"])
def test_the_scale_of_the_weights_matters_to_the_penalty_alone(batch_size):
    X, y = make_data()
    weight = np.random.default_rng(0).uniform(0.1, 3, 40)

    def model(lambd, weight):
        return small(lambd=lambd, batch_size=batch_size).fit(X, y, weight)

    assert_same_weights(model(0.0, weight), model(0.0, 4096 * weight))
    assert_same_weights(model(0.0, weight), model(0.0, 1e-3 * weight), 1e-9)
    assert_same_weights(model(0.0, weight), model(0.0, 1e200 * weight), 1e-9)
    # Twice the weight is twice the rows, so that half the penalty is left of a lambd.
    assert_same_weights(model(3.0, weight), model(6.0, 2 * weight), 1e-12)
    difference = flat(model(3.0, weight)) - flat(model(3.0, 2 * weight))
    assert np.abs(difference).max() > 1e-4


def test_the_loss_is_the_weighted_mean():
    X, y = make_data("multiclass")
    weight = np.random.default_rng(0).uniform(0.1, 3, 40)
    estimator = small(lambd=2.0, solver="sgd", batch_size="full")
    start = initial(estimator, X, y, weight)
    J = reference.objective(
        X.T,
        indicators(y),
        parameters_of(start),
        2.0,
        output="softmax",
        sample_weight=weight,
    )
    assert start.loss_ == pytest.approx(J, rel=1e-12)
    # Over batches: the mean of theirs by rows, at weights that have not moved.
    for batch_size in (7, 13):
        start = initial(
            clone(estimator).set_params(batch_size=batch_size), X, y, weight
        )
        assert start.loss_ == pytest.approx(J, rel=1e-12)


def test_the_order_in_which_weights_are_checked():
    """X and y come first, then the sign of the weights, then their sum."""
    X, y = make_data()
    negative = np.zeros(40)
    negative[5] = -2.5
    nan = X.copy()
    nan[0, 0] = np.nan
    with pytest.raises(ValueError, match="X contains NaN"):
        small().fit(nan, y, negative)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        small().fit(X, y[:-1], negative)
    with pytest.raises(ValueError, match="Unknown label type"):
        small().fit(X, X[:, 0], negative)
    with pytest.raises(ValueError, match=r"Negative.*sample_weight.*row 5.*-2\.5"):
        small().fit(X, y, negative)
    with pytest.raises(ValueError, match=r"(?i)sample.weight.*(non-zero|add up to)"):
        small().fit(X, y, np.zeros(40))


# Forms of the input ------------------------------------------------------------------


def read_only(a, _):
    a = a.copy()
    a.flags.writeable = False
    return a


def memory_mapped(a, directory):
    path = directory / "array.npy"
    np.save(path, a)
    return np.load(path, mmap_mode="r")


def every_second(a, _):
    wide = np.full((2 * len(a), *(2 * n for n in a.shape[1:])), 99, dtype=a.dtype)
    view = wide[::2, ::2] if a.ndim == 2 else wide[::2]
    view[...] = a
    return view


FORMS = {
    "Fortran order": lambda a, _: np.asfortranarray(a),
    "read-only": read_only,
    "not contiguous": every_second,
    "reversed view": lambda a, _: a[::-1].copy()[::-1],
    "memory map": memory_mapped,
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "parameters",
    [
        {"batch_size": "full"},
        {"batch_size": 7, "keep_prob": 0.8},
        {"solver": "lbfgs"},
        {"early_stopping": True},
    ],
    ids=str,
)
def test_the_form_of_the_input_does_not_matter(parameters, dtype, form, tmp_path):
    X, y = make_data("multiclass")
    X = X.astype(dtype)
    weight = np.random.default_rng(0).uniform(0.1, 3, 40)
    model = fit(small(**parameters), X, y, weight)
    for i in range(3):
        (tmp_path / str(i)).mkdir()
    formed = [FORMS[form](a, tmp_path / str(i)) for i, a in enumerate([X, y, weight])]
    copies = [np.array(a) for a in formed]
    other = fit(small(**parameters), *formed)
    assert_same_weights(model, other)
    # Not bit for bit: BLAS may take other paths through another form.
    np.testing.assert_allclose(
        model.predict_proba(X),
        other.predict_proba(formed[0]),
        rtol=0,
        atol=10 * np.finfo(dtype).eps,
    )
    np.testing.assert_array_equal(model.predict(X), other.predict(formed[0]))
    for a, before in zip(formed, copies, strict=True):
        np.testing.assert_array_equal(a, before)


@pytest.mark.parametrize("parameters", RANDOM, ids=str)
def test_fit_and_predict_change_nothing_that_they_are_given(parameters):
    X, y = make_data("multiclass")
    weight = np.random.default_rng(0).uniform(0, 3, 40)
    weight[:4] = 0
    before = [a.copy() for a in (X, y, weight)]
    estimator = fit(small(**parameters), X, y, weight)
    if hasattr(estimator, "partial_fit"):
        estimator.partial_fit(X, y, weight)
    for method in METHODS:
        getattr(estimator, method)(X)
    for a, b in zip((X, y, weight), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_predict_returns_is_the_callers():
    X, y = make_data("multiclass")
    estimator = small().fit(X, y)
    before = copy.deepcopy(vars(estimator))
    for method in METHODS:
        first = getattr(estimator, method)(X)
        kept = first.copy()
        first[...] = 0
        np.testing.assert_array_equal(getattr(estimator, method)(X), kept)
    assert_same(before, vars(estimator))
