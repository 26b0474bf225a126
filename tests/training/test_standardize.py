"""Columns standardised within ``fit``: against scaled rows, and in the user's units."""

import math
import warnings
from functools import partial

import numpy as np
import pytest
from helpers import assert_same_weights, network, noisy_rows
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.preprocessing import StandardScaler

from skreg import (
    FitAdviceWarning,
    RegularizedMLPClassifier,
    RegularizedMLPClassifierCV,
    RegularizedMLPEnsemble,
    io,
)
from skreg._training.callbacks import Task
from skreg._training.fit import train
from skreg._training.rows import given_rows, scaling_of, training_set

KINDS = ["binary", "multiclass", "multilabel"]
plain = partial(network, standardize=False)
# What two trainings differ by that are the same but for rounding.
close = partial(assert_allclose, rtol=1e-7, atol=1e-9)


def table(kind="binary", n_rows=52, dtype=np.float64):
    """Columns in odd units, the fourth of 0 and 1, and a fifth that is constant."""
    X, y, weight = noisy_rows(kind, n_rows)
    X = X * [1e-3, 1e4, 1, 1] + [0, 2e4, -3, 0]
    X = np.c_[X, np.full(n_rows, 7.25)]
    X[:, 3] = X[:, 3] > 0.4
    return X.astype(dtype), y, weight


def scaled(X, fitted_to=None, weight=None, **how):
    """By StandardScaler, but for the column of 0 and 1."""
    scaler = StandardScaler(**how)
    found = scaler.fit(X if fitted_to is None else fitted_to, None, weight)
    found = found.transform(X)
    found[:, [3]] = X[:, [3]]
    return found


# Training ----------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"solver": "lbfgs", "max_iter": 8},
        {"batch_size": "full", "shuffle": False, "max_norm": 0.7},
        {"keep_prob": 0.7, "input_keep_prob": 0.8, "averaging": 0.9},
        {
            "early_stopping": True,
            "early_stopping_refit": True,
            "n_validation_splits": 2,
            "train_scores": True,
        },
        {"early_stopping": True, "scoring": "accuracy", "class_weight": None},
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_it_is_the_network_of_standardised_rows(parameters, kind, weighted):
    X, y, weight = table(kind)
    weight = weight if weighted else None
    Z = scaled(X, weight=weight)
    found = network(**parameters).fit(X, y, weight)
    expected = plain(**parameters).fit(Z, y, weight)
    close(found.predict_proba(X), expected.predict_proba(Z))
    close(found.loss_curve_, expected.loss_curve_)
    for name in ("validation_scores_", "train_scores_"):
        one, other = getattr(found, name), getattr(expected, name)
        assert (one is None) == (other is None)
        if one is not None:
            close(one, other)
    close(found.coefs_[0] * found.scale_[:, np.newaxis], expected.coefs_[0])
    close(found.input_gradients(X) * found.scale_, expected.input_gradients(Z))


def test_class_weights_count_in_the_moments():
    X, y, weight = table()
    weights = {0: 1.0, 1: 4.0}
    found = network(class_weight=weights).fit(X, y, weight)
    expected = network().fit(X, y, weight * np.where(y == 1, 4.0, 1.0))
    close(found.mean_, expected.mean_)
    assert_same_weights(found, expected, rtol=1e-9)


def test_a_weight_of_k_is_k_rows_and_of_0_none():
    X, y, _ = table()
    times = np.arange(len(X)) % 3
    X[times == 0] *= 1e3
    full = network(batch_size="full", shuffle=False)
    found = clone(full).fit(X, y, times)
    expected = clone(full).fit(X.repeat(times, axis=0), y.repeat(times))
    close(found.predict_proba(X), expected.predict_proba(X))
    close(found.scale_, expected.scale_, rtol=1e-12)


def test_rows_for_validation_have_the_scale_of_the_training_rows():
    X, y, weight = table(n_rows=90)
    rows, others = slice(0, 60), slice(60, 90)
    own = {"X_val": X[others] * [2, 2, 2, 1, 1], "y_val": y[others]}
    found = network(early_stopping=True).fit(X[rows], y[rows], weight[rows], **own)
    Z = scaled(X[rows], weight=weight[rows])
    own["X_val"] = scaled(own["X_val"], X[rows], weight[rows])
    expected = plain(early_stopping=True).fit(Z, y[rows], weight[rows], **own)
    close(found.validation_scores_, expected.validation_scores_)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_scorer_sees_rows_as_they_are_and_a_network_for_them(dtype):
    X, y, _ = table(n_rows=60, dtype=dtype)
    of_rows = {row.tobytes() for row in X}
    losses = []

    def scorer(model, X, y):
        assert {row.tobytes() for row in X} < of_rows
        p = model.predict_proba(X)[np.arange(len(y)), y]
        losses.append(-np.log(p).mean())
        return -losses[-1]

    parameters = {"early_stopping": True, "n_iter_no_change": np.inf}
    network(scoring=scorer, **parameters).fit(X, y)
    by_loss = network(**parameters).fit(X, y)
    assert_allclose(
        losses,
        np.negative(by_loss.validation_scores_),
        rtol=1e-9 if dtype == np.float64 else 1e-3,
    )


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("form", [sparse.csr_array, sparse.csc_matrix])
def test_a_sparse_x_keeps_its_means(form, weighted):
    rng = np.random.default_rng(0)
    X = rng.poisson(0.5, (60, 6)) * rng.uniform(1, 3, (60, 6))
    X = X * [1, 1e3, 1e-3, 1, 1, 0]
    X[:, 3] = X[:, 3] > 0
    y, weight = (X[:, 0] > X[:, 2] * 1e3).astype(int), None
    if weighted:
        weight = rng.uniform(0.5, 2, 60)
    of_rows = np.ones(60) if weight is None else weight
    squares = np.average(X**2, axis=0, weights=of_rows)
    shares = np.average(X != 0, axis=0, weights=of_rows)
    values = np.sqrt(squares / np.where(shares, shares, 1))
    # From 0.01 to 1 they stay as they are.
    Z = X / np.where((values < 0.01) | (values > 1), values, 1).clip(1e-9)
    found = network().fit(form(X), y, weight)
    expected = plain().fit(form(Z), y, weight)
    assert_array_equal(found.mean_, 0)
    close(found.predict_proba(form(X)), expected.predict_proba(form(Z)))
    close(found.predict_proba(X), expected.predict_proba(form(Z)))


def test_sparse_columns_that_stay_far_from_0_are_warned_of():
    """Their mean is not taken off; counts are divided, and fine."""
    rng = np.random.default_rng(0)
    counts = rng.poisson(0.3, (300, 3)) * 1000.0
    year = 2000 + 5 * rng.normal(size=300)
    y = (year > 2000).astype(int)
    X = sparse.csr_array(np.c_[counts, year])
    for model in (network(), RegularizedMLPClassifierCV((1.0,), (1.0,), max_iter=2)):
        model.set_params(hidden_layer_sizes=(3,))
        with pytest.warns(FitAdviceWarning, match="1 of the 4 columns.*column 3"):
            model.fit(X, y)
    network().fit(sparse.csr_array(counts), y)
    network().fit(X.toarray(), y)


# Units -------------------------------------------------------------------------------


@given(
    a=st.floats(1e-6, 1e6),
    b=st.floats(-1e3, 1e3),
    sign=st.sampled_from([-1, 1]),
)
def test_units_make_no_difference(a, b, sign):
    """But for a sign, since that of the initial weights is not turned with it."""
    X, y, _ = noisy_rows()
    model = network(max_iter=6).fit(X, y)
    units = X * [a, 1, 1, 1] + [a * b, 0, b, 0]
    found = clone(model).fit(units, y)
    assert_allclose(
        found.predict_proba(units), model.predict_proba(X), rtol=1e-6, atol=1e-8
    )
    turned = clone(model).fit(units * sign, y)
    assert_allclose(turned.mean_, sign * found.mean_, rtol=1e-9, atol=1e-9 * a)
    assert_allclose(turned.scale_, found.scale_, rtol=1e-9)


@pytest.mark.parametrize(
    ("mean", "deviation", "dtype", "tolerance"),
    [(1e6, 1, np.float64, 1e-6), (19, 0.1, np.float32, 1e-2)],
)
def test_a_mean_far_from_0_does_not_cancel(mean, deviation, dtype, tolerance):
    X, y, _ = noisy_rows()
    far = (X * deviation + mean).astype(dtype)
    found = network().fit(far, y)
    exact = far.astype(float)
    means = [math.fsum(column) / len(column) for column in exact.T]
    assert_allclose(found.mean_, means, rtol=np.finfo(dtype).eps)
    assert_allclose(found.scale_, exact.std(axis=0), rtol=4 * np.finfo(dtype).eps)
    expected = network().fit((exact - mean) / deviation, y)
    assert_allclose(
        found.predict_proba(far),
        expected.predict_proba((exact - mean) / deviation),
        atol=tolerance,
    )


def scaling(X, weight=None):
    return scaling_of(training_set(X, np.arange(X.shape[0]) % 2, weight, None))


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("value", [0.3, -7e8, 1e-30, 1e100])
def test_a_constant_column_is_divided_by_its_magnitude(value, form):
    """But for small values of sparse X."""
    X = np.c_[np.full(9001, value), np.arange(9001.0)]
    mean, scale = scaling(form(X), np.linspace(0.1, 3, 9001))
    stays = form is sparse.csr_array and value == 0.3
    assert scale[0] == pytest.approx(1 if stays else abs(value), rel=1e-9)
    assert mean[0] == (pytest.approx(value, rel=1e-9) if form is np.asarray else 0)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_columns_of_0_and_1_are_left_alone(form):
    rng = np.random.default_rng(0)
    X = (rng.random((301, 5)) < [0.5, 0.02, 0.98, 0, 1]).astype(float)
    assert scaling(form(X), rng.uniform(0.1, 3, 301)) is None
    model = network().fit(form(X), np.arange(301) % 2)
    assert model.mean_ is model.scale_ is None
    assert_same_weights(model, plain().fit(form(X), np.arange(301) % 2))
    mean, scale = scaling(form(np.c_[X, X[:, 0] + 3]))
    assert_array_equal(mean[:5], 0)
    assert_array_equal(scale[:5], 1)
    assert scale[5] != 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_columns_that_would_overflow_are_left_alone(dtype):
    info = np.finfo(dtype)
    X = np.zeros((60, 3), dtype)
    X[::2] = [info.max, info.tiny / 2**10, 3]
    with np.errstate(all="raise"):
        mean, scale = scaling(X)
    # A float32 is squared in float64.
    n_left = 1 + (dtype == np.float64)
    assert (scale == 1).sum() == n_left
    assert (mean[scale == 1] == 0).all()
    assert_allclose(scale[2], 1.5, rtol=4 * info.eps)
    assert np.isfinite(mean).all()
    assert np.isfinite(1 / scale).all()


@pytest.mark.parametrize("weighted", [False, True])
def test_rare_values_are_divided_by_their_root_mean_square(weighted):
    """By the deviation they would become the larger the rarer they are."""
    rng = np.random.default_rng(0)
    X = rng.uniform(2, 4, (4001, 3)) * (rng.random((4001, 3)) < [0.01, 0.4, 0.5])
    weight = rng.uniform(0.5, 2, 4001) if weighted else np.ones(4001)
    mean, scale = scaling(X, weight)
    assert_allclose(mean, np.average(X, axis=0, weights=weight))
    for column in (0, 1):
        some = X[:, column] > 0
        squares = np.average(X[some, column] ** 2, weights=weight[some])
        assert_allclose(scale[column], np.sqrt(squares))
    variance = np.average((X[:, 2] - mean[2]) ** 2, weights=weight)
    assert_allclose(scale[2], np.sqrt(variance))


# What goes on ------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_a_warm_start_goes_on_as_one_training(solver):
    X, y, weight = table()
    parameters = {
        "solver": solver,
        "learning_rate": "constant",
        "n_iter_no_change": np.inf,
        "shuffle": False,
    }
    with warnings.catch_warnings(action="ignore"):
        whole = network(**parameters, max_iter=12).fit(X, y, weight)
        half = network(**parameters, max_iter=6, warm_start=True).fit(X, y, weight)
        half.fit(X, y, weight)
    close(half.predict_proba(X), whole.predict_proba(X))
    close(half.loss_, whole.loss_)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_warm_start_keeps_the_first_scale(solver):
    X, y, _ = table()
    with warnings.catch_warnings(action="ignore"):
        model = network(solver=solver, warm_start=True, max_iter=5).fit(X, y)
        Z = plain(solver=solver, warm_start=True, max_iter=5).fit(scaled(X), y)
        mean, scale = model.mean_, model.scale_
        others = X[:30] * [2, 2, 2, 1, 1]
        model.fit(others, y[:30])
        Z.fit(scaled(others, X), y[:30])
    assert_array_equal(model.mean_, mean)
    assert_array_equal(model.scale_, scale)
    close(model.predict_proba(X), Z.predict_proba(scaled(X)))


def test_partial_fit_takes_columns_as_they_are():
    X, y, _ = noisy_rows()
    found, expected = network(), plain()
    for model in (found, expected):
        for _ in range(3):
            model.partial_fit(X, y, classes=[0, 1])
    assert_same_weights(found, expected)
    assert found.mean_ is found.scale_ is None
    # A fit that goes on from there does so too, and one anew does not.
    found.set_params(warm_start=True).fit(X, y)
    assert found.mean_ is None
    assert clone(found).fit(X, y).mean_ is not None
    X = X * [1e3, 1, 1, 1]
    with pytest.warns(UserWarning, match="1 of the 4 columns of X"):
        network().partial_fit(X, y, classes=[0, 1])


def test_partial_fit_after_fit_goes_on_in_its_scale():
    X, y, _ = table()
    Z = scaled(X)
    found = network(warm_start=True).fit(X, y)
    expected = plain(warm_start=True).fit(Z, y)
    for _ in range(3):
        found.set_params(standardize=False).partial_fit(X[:40], y[:40])
        expected.partial_fit(Z[:40], y[:40])
    close(found.predict_proba(X), expected.predict_proba(Z))


# What is made of a network -----------------------------------------------------------


@pytest.mark.parametrize("keep_prob", [1.0, 0.7])
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_sampled_inputs_are_dropped_to_the_mean(keep_prob, form):
    X, y, _ = table()
    Z = scaled(X)
    parameters = {"keep_prob": keep_prob, "input_keep_prob": 0.6}
    found = network(**parameters).fit(X, y)
    expected = plain(**parameters).fit(Z, y)
    close(
        found.sample_proba(form(X), 5, random_state=0),
        expected.sample_proba(Z, 5, random_state=0),
        rtol=1e-6,
    )


def test_to_mlp_classifier_and_back():
    X, y, _ = table()
    model = network(warm_start=True, averaging=0.9).fit(X, y)
    mlp = model.to_sklearn()
    close(mlp.predict_proba(X), model.predict_proba(X))
    # The moments of the optimiser are in other units.
    assert not hasattr(mlp, "_optimizer")
    back = RegularizedMLPClassifier.from_sklearn(mlp, warm_start=True)
    assert back.get_params()["standardize"] is False
    assert back.mean_ is back.scale_ is None
    assert_same_weights(back, model)
    given = RegularizedMLPClassifier.from_sklearn(mlp, standardize=True)
    assert given.standardize is True


def test_files_keep_the_scale(tmp_path):
    X, y, _ = table()
    model = network(warm_start=True, learning_rate="constant", max_iter=4)
    with warnings.catch_warnings(action="ignore"):
        model.fit(X, y)
        io.dump(model, tmp_path / "model.skops")
        loaded = io.load(tmp_path / "model.skops")
        assert_same_weights(loaded.fit(X, y), model.fit(X, y))
    assert_array_equal(loaded.scale_, model.scale_)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_onnx_takes_rows_as_they_are(dtype):
    pytest.importorskip("skl2onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    import skl2onnx

    import skreg.onnx  # noqa: F401

    X, y, _ = table(dtype=dtype)
    X = X[:, [0, 2, 3]]
    model = network().fit(X, y)
    made = skl2onnx.to_onnx(model, X[:1], options={"zipmap": False})
    session = onnxruntime.InferenceSession(made.SerializeToString())
    (proba,) = session.run(["probabilities"], {"X": X})
    assert_allclose(proba, model.predict_proba(X), atol=1e-5)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_networks_of_an_ensemble_are_as_alone(form):
    X, y, weight = table("multiclass")
    X = form(X)
    model = RegularizedMLPEnsemble(network(), 3).fit(X, y, weight)
    first = model.estimators_[0]
    assert_same_weights(first, network().fit(X, y, weight), rtol=1e-8)
    assert len({id(each.coefs_[0].base) for each in model.estimators_}) == 3


def test_a_search_standardises_the_training_rows_of_each_split():
    """As each split's fit would alone."""
    X, y, _ = table("binary", 60)
    rows = [(np.arange(0, 40), np.arange(40, 60)), (np.arange(20, 60), np.arange(20))]
    found = RegularizedMLPClassifierCV(
        (0.1, 1.0),
        (1.0, 0.7),
        cv=rows,
        hidden_layer_sizes=(6, 5),
        batch_size=20,
        max_iter=10,
        n_refits=1,
        scoring="neg_log_loss",
        random_state=0,
    ).fit(X, y)
    best = found.best_estimator_
    assert_allclose(best.mean_[:3], X[:, :3].mean(axis=0), rtol=1e-9, atol=1e-12)
    for number, (some, test) in enumerate(rows):
        alone = clone(best).set_params(lambd=0.1, keep_prob=0.7).fit(X[some], y[some])
        p = alone.predict_proba(X[test])[np.arange(20), y[test]]
        candidates = found.cv_results_["params"]
        which = candidates.index({"lambd": 0.1, "keep_prob": 0.7})
        score = found.cv_results_[f"split{number}_test_score"][which]
        assert score == pytest.approx(np.log(p).mean(), rel=1e-8)


def test_one_class_has_a_scale_too():
    X, y, _ = table()
    model = network(warm_start=True).fit(X, np.zeros_like(y))
    assert model.scale_ is not None
    assert_array_equal(model.predict_proba(X), 1)
    assert_same_weights(model.fit(X * 9, np.zeros_like(y)), model)


def test_an_interrupt_leaves_a_network_for_rows_as_they_are():
    X, y, _ = table()
    seen = []

    def scorer(model, X, y):
        if len(seen) == 3:
            raise KeyboardInterrupt
        seen.append(clone(model))
        return float(len(seen))

    own = {"X_val": X[:20], "y_val": y[:20]}
    model = network(early_stopping=True, scoring=scorer, learning_rate="constant")
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y, **own)
    with warnings.catch_warnings(action="ignore"):
        expected = clone(model).set_params(max_iter=3, scoring="accuracy")
        expected.set_params(early_stopping=False).fit(X, y)
    assert model.n_iter_ == 3
    assert_same_weights(model, expected)
    assert_array_equal(model.scale_, expected.scale_)


def test_callbacks_get_a_network_for_rows_as_they_are():
    """What is told on the way makes the model of that epoch."""
    X, y, _ = table()
    seen = []

    class Follows(Task):
        is_followed = True

        def part(self, name, hook_data, **about):
            seen.append(hook_data.get("reconstruction_attributes"))
            return self

        def begin_fit(self, n_parts):
            return self

        def begin(self):
            return self

        def end(self):
            seen[-1] = seen[-1]()
            return False

    model = network(max_iter=4)
    train([model], given_rows(model, X, y).training, task=Follows())
    last = seen[-1]
    expected = clone(model).fit(X, y)
    for name in ("coefs_", "intercepts_"):
        for one, other in zip(last[name], getattr(expected, name), strict=True):
            assert_array_equal(one, other)
    assert_array_equal(last["mean_"], expected.mean_)
