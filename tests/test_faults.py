"""The faults of other networks that must not be here, one regression test or more each.

Each test fails on the behaviour it rejects.
"""

import pickle
import warnings
from functools import partial

import numpy as np
import pytest
from helpers import assert_same_weights, no_convergence_warning, small
from scipy.stats import norm
from sklearn.datasets import load_breast_cancer, load_digits, make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import StandardScaler

from skreg import RegularizedMLPClassifier

classifier = partial(
    small,
    hidden_layer_sizes=(8,),
    learning_rate_init=0.001,
    batch_size=200,
    max_iter=20,
    lambd=1.0,
    early_stopping_refit=False,
)


@pytest.fixture(scope="module")
def table():
    X, y = make_classification(
        6000, n_informative=10, n_redundant=2, flip_y=0.02, random_state=0
    )
    return X, y


# 1. L2 that depends on the batches


def test_one_row_more_does_not_change_the_accuracy(table):
    X, y = table

    def accuracy(n):
        scores = [
            classifier(
                hidden_layer_sizes=(30,),
                lambd=1.0,
                learning_rate_init=0.01,
                max_iter=30,
                random_state=seed,
            )
            .fit(X[:n], y[:n])
            .score(X[2000:], y[2000:])
            for seed in range(2)
        ]
        return np.mean(scores)

    # 1001 rows in batches of 200 would leave a last batch of one row: with it,
    # MLPClassifier of the same settings (alpha=0.2) falls from 0.92 to 0.88.
    assert abs(accuracy(1000) - accuracy(1001)) < 0.01


@pytest.mark.slow
def test_the_penalty_is_the_same_at_every_batch_size(table):
    X, y = table[0][:1000], table[1][:1000]
    squares = [
        sum(
            np.square(coef).sum()
            for coef in classifier(
                lambd=30.0, batch_size=batch_size, max_iter=400, learning_rate_init=0.01
            )
            .fit(X, y)
            .coefs_
        )
        for batch_size in (10, 50, 200, "full")
    ]
    assert np.ptp(squares) < 0.15 * np.mean(squares)


# 2. Sample weights


@pytest.mark.parametrize("parameters", [{"batch_size": 16}, {"keep_prob": 0.7}, {}])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_row_of_weight_zero_is_no_row(table, parameters, early_stopping):
    X, y = table[0][:200], table[1][:200]
    weight = np.random.default_rng(0).integers(0, 3, size=200).astype(float)
    kept = weight > 0
    parameters = {**parameters, "early_stopping": early_stopping}
    with_zeros = classifier(**parameters).fit(X, y, sample_weight=weight)
    without = classifier(**parameters).fit(X[kept], y[kept], sample_weight=weight[kept])
    assert_same_weights(with_zeros, without)


def test_a_batch_of_weight_zero_does_no_harm(table):
    X, y = table[0][:100], table[1][:100]
    weight = np.ones(100)
    weight[:50] = 0
    model = classifier(batch_size=10, shuffle=False).fit(X, y, sample_weight=weight)
    assert np.isfinite(model.loss_curve_).all()


@pytest.mark.slow
def test_weights_are_copies_in_expectation_over_batches(table):
    # The step of one epoch of many small batches, over many orders of the rows.
    X, y = table[0][:30], table[1][:30]
    weight = np.random.default_rng(1).integers(1, 4, size=30)
    X_copies, y_copies = np.repeat(X, weight, axis=0), np.repeat(y, weight)

    start = classifier().fit(X, y)

    def steps(X, y, weight, batch_size):
        found = []
        for seed in range(300):
            model = classifier(
                solver="sgd",
                standardize=False,
                momentum=0.0,
                learning_rate="constant",
                learning_rate_init=1e-3,
                batch_size=batch_size,
                warm_start=True,
                max_iter=1,
            )
            with no_convergence_warning():
                model.fit(X[:2], [0, 1])
                model.coefs_, model.intercepts_ = start.coefs_, start.intercepts_
                model.__dict__.pop("_training_state")
                model.set_params(random_state=seed).fit(X, y, sample_weight=weight)
            step = np.concatenate(
                [
                    (new - old).ravel()
                    for new, old in zip(model.coefs_, start.coefs_, strict=True)
                ]
            )
            found.append(step * 1e3 / np.ceil(len(y) / batch_size))
        return np.array(found)

    # One batch size for each, so that both make as many steps.
    weighted = steps(X, y, weight, 5)
    unweighted = steps(X, y, None, 5)
    copied = steps(X_copies, y_copies, None, 10)
    projection = np.random.default_rng(2).normal(size=(weighted.shape[1], 5))
    for direction in projection.T:
        a, b, c = (found @ direction for found in (weighted, copied, unweighted))
        error = np.sqrt(a.var() / len(a) + b.var() / len(b)) + 1e-12
        bound = norm.isf(1e-4) * error + 0.02 * abs(b.mean())
        assert abs(a.mean() - b.mean()) < bound
        if abs(c.mean() - b.mean()) > 4 * bound:
            break
    else:
        pytest.fail("no direction tells weighted rows from unweighted ones")


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_a_bad_weight_raises(table, bad):
    X, y = table[0][:20], table[1][:20]
    weight = np.ones(20)
    weight[3] = bad
    with pytest.raises(ValueError, match=r"(?i)sample_weight"):
        classifier().fit(X, y, sample_weight=weight)


def test_weights_of_both_infinities_raise_without_a_warning_of_numpy(table):
    X, y = table[0][:20], table[1][:20]
    weight = np.r_[np.inf, -np.inf, np.ones(18)]
    with pytest.raises(ValueError, match=r"sample_weight.*infinity"):
        classifier().fit(X, y, sample_weight=weight)


# 3. Early stopping


@pytest.mark.parametrize("counts", [(290, 200, 10), (110, 86, 4), (60, 38, 2)])
@pytest.mark.parametrize("as_strings", [False, True])
def test_a_rare_class_is_always_in_the_validation_rows(as_strings, counts):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(sum(counts), 3))
    y = np.repeat([0, 1, 2], counts)
    if as_strings:
        y = np.array(["a", "b", "rare"])[y]
    seen = []

    def scorer(model, X, y):
        seen.append(len(np.unique(y)))
        return 0.0

    for seed in range(5):
        classifier(
            early_stopping=True, scoring=scorer, max_iter=1, random_state=seed
        ).fit(X, y)
    assert set(seen) == {3}


def test_a_class_of_one_row_stays_in_training():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 3))
    y = np.array(["a"] * 60 + ["b"] * 39 + ["alone"])
    seen = []

    def scorer(model, X, y):
        seen.extend(y)
        return model.score(X, y)

    model = classifier(early_stopping=True, scoring=scorer).fit(X, y)
    assert list(model.classes_) == ["a", "alone", "b"]
    assert set(seen) == {"a", "b"}


# 4. Divergence


def test_training_ends_at_the_first_loss_that_is_not_finite(table):
    X, y = table[0][:100] * 1e200, table[1][:100]
    with pytest.raises(ValueError, match=r"epoch 2 .*rate of 10.*magnitude"):
        classifier(solver="sgd", learning_rate="constant", learning_rate_init=10.0).fit(
            X, y
        )


@pytest.mark.parametrize(
    ("parameters", "weight"),
    [
        ({"learning_rate_init": 10.0}, None),
        ({"learning_rate_init": 3.0}, None),
        ({"learning_rate_init": 0.1, "lambd": 1.0}, 1e-6),
    ],
)
def test_a_finite_explosion_is_no_model(parameters, weight):
    # The loss rises to 1e25 or so and stays there, which is no convergence.
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    weight = None if weight is None else np.full(len(y), weight)
    model = RegularizedMLPClassifier(
        (20, 20),
        solver="sgd",
        batch_size=200,
        learning_rate="constant",
        early_stopping=False,
        averaging=0.0,
        random_state=0,
        **parameters,
    )
    with pytest.raises(ValueError, match="exploded"):
        model.fit(X, y, sample_weight=weight)


def test_the_error_names_the_largest_column(table):
    X, y = table[0][:100].copy(), table[1][:100]
    X[:, 3] *= 1e250
    with pytest.raises(ValueError, match="in column 3"):
        classifier(solver="sgd", learning_rate_init=10.0).fit(X, y)
    with pytest.raises(ValueError, match=r"lower lambd"):
        classifier(solver="lbfgs").fit(X, y)


def test_a_diverged_call_keeps_the_last_finite_weights(table):
    X, y = table[0][:100], table[1][:100]
    model = classifier(solver="sgd", warm_start=True).fit(X, y)
    before = [coef.copy() for coef in model.coefs_]
    model.set_params(learning_rate_init=1e300)
    with pytest.raises(ValueError, match="diverged"):
        model.fit(X, y)
    for found, expected in zip(model.coefs_, before, strict=True):
        np.testing.assert_array_equal(found, expected)


# 5. partial_fit


def test_successive_calls_of_partial_fit_see_other_orders(table):
    X, y = table[0][:40], table[1][:40]

    def steps():
        model = classifier(
            solver="sgd", momentum=0.0, batch_size=4, learning_rate="constant"
        ).partial_fit(X, y, classes=[0, 1])
        start = [coef.copy() for coef in model.coefs_]
        found = []
        for _ in range(3):
            model.coefs_ = [coef.copy() for coef in start]
            model.partial_fit(X, y)
            found.append(model.coefs_[0].copy())
        return found

    first, second, third = steps()
    assert not np.array_equal(first, second)
    assert not np.array_equal(second, third)


@pytest.mark.slow
def test_partial_fit_counts_and_does_not_grow(table):
    X, y = table[0][:20], table[1][:20]
    model = classifier(max_iter=50)
    sizes = {}
    for call in range(1, 2002):
        model.partial_fit(X, y, classes=[0, 1])
        if call in (1000, 2000):
            sizes[call] = len(pickle.dumps(model))
    assert model.n_iter_ == 2001
    assert model.t_ == 2001 * 20
    assert len(model.loss_curve_) == 50
    assert abs(sizes[2000] - sizes[1000]) < 50


# 6. Probabilities and loss


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_log_probabilities_and_losses_are_finite(dtype):
    X, y = load_digits(return_X_y=True)
    model = classifier(lambd=0.0, max_iter=60).fit(X.astype(dtype), y)
    far = (X * 100).astype(dtype)
    log_proba = model.predict_log_proba(far)
    assert (model.predict_proba(far) == 0).any()
    assert np.isfinite(log_proba).all()
    assert log_proba.dtype == dtype


@pytest.mark.filterwarnings("ignore:.*columns of X have magnitudes far from 1")
def test_log_probabilities_of_two_classes_are_finite():
    X, y = load_breast_cancer(return_X_y=True)
    model = classifier(max_iter=60).fit(X, y)
    assert (model.predict_proba(X * 1e3) == 0).any()
    assert np.isfinite(model.predict_log_proba(X * 1e3)).all()


def test_the_loss_is_not_clipped():
    # A wrong answer with a logit of 40 costs 40, in float32 as well.
    X = np.array([[1.0], [1.0]], dtype=np.float32)
    model = classifier(
        solver="sgd", hidden_layer_sizes=(1,), activation="identity", lambd=0.0
    )
    model.set_params(max_iter=1, warm_start=True, learning_rate_init=1e-12)
    model.fit(X, [0, 1])
    model.coefs_ = [np.ones((1, 1), np.float32), np.full((1, 1), 40, np.float32)]
    model.intercepts_ = [np.zeros(1, np.float32), np.zeros(1, np.float32)]
    model.fit(X, [0, 0])
    assert model.loss_ == pytest.approx(40.0, rel=1e-6)


# 7. One class, warm start, Ctrl-C, L-BFGS


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_one_class_is_one_column(solver):
    X = np.arange(10.0)[:, np.newaxis]
    model = classifier(solver=solver).fit(X, ["only"] * 10)
    assert model.classes_.tolist() == ["only"]
    np.testing.assert_array_equal(model.predict_proba(X), np.ones((10, 1)))
    assert model.predict(X).tolist() == ["only"] * 10


def test_warm_start_takes_a_subset_of_the_classes(table):
    X = table[0][:90]
    y = np.repeat([0, 1, 2], 30)
    model = classifier(warm_start=True).fit(X, y)
    model.fit(X[:60], y[:60])
    assert model.classes_.tolist() == [0, 1, 2]
    assert model.predict_proba(X).shape == (90, 3)


def test_ctrl_c_is_not_swallowed(table):
    X, y = table[0][:100], table[1][:100]

    def interrupt(model, X, y):
        interrupt.calls += 1
        if interrupt.calls == 3:
            raise KeyboardInterrupt
        return -interrupt.calls

    interrupt.calls = 0
    model = classifier(early_stopping=True, scoring=interrupt)
    with pytest.raises(KeyboardInterrupt):
        GridSearchCV(model, {"lambd": [1.0]}, cv=2).fit(X, y)

    for solver in ("adam", "sgd", "lbfgs"):
        interrupt.calls = 0
        model.set_params(solver=solver, max_iter=20)
        with pytest.raises(KeyboardInterrupt):
            model.fit(X, y)
        assert model.predict(X).shape == (100,)
        assert not model.converged_


def test_ctrl_c_is_not_swallowed_by_partial_fit(table, monkeypatch, capsys):
    X, y = table[0][:100], table[1][:100]

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    model = classifier(verbose=True).partial_fit(X, y, classes=[0, 1])
    before = model.coefs_[0].copy()
    monkeypatch.setattr("builtins.print", interrupt)
    with pytest.raises(KeyboardInterrupt):
        model.partial_fit(X, y)
    assert not np.array_equal(model.coefs_[0], before)


def test_lbfgs_computes_in_float32_and_stops_early(table):
    X, y = table[0][:300].astype(np.float32), table[1][:300]
    model = classifier(
        solver="lbfgs", lambd=0.0, max_iter=500, early_stopping=True, n_iter_no_change=5
    ).fit(X, y)
    assert {coef.dtype for coef in model.coefs_} == {np.dtype(np.float32)}
    assert model.predict_proba(X).dtype == np.float32
    assert len(model.validation_scores_) == model.n_iter_ < 500
    assert model.best_n_iter_ < model.n_iter_


# 8. Warnings


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_one_convergence_warning_a_fit_says_what_to_change(solver):
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    model = RegularizedMLPClassifier(
        solver=solver,
        batch_size=200,
        learning_rate="constant",
        learning_rate_init=0.001,
        max_iter=3,
        early_stopping=False,
        averaging=0.0,
        random_state=0,
    )
    with pytest.warns(ConvergenceWarning, match="max_iter=3") as caught:
        model.fit(X, y)
    assert len(caught) == 1
    assert not model.converged_
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.set_params(max_iter=2000, tol=1e-3).fit(X, y)
    assert model.converged_
