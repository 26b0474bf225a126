"""How exact the numbers are where they are extreme, against mpmath and math.fsum.

What measures is the script docs/reliability/numerics.py, which prints the same figures
for MLPClassifier: here are the bounds that hold, and that the measures can fail.
"""

import math
import warnings
from functools import partial

import numpy as np
import pytest
import reliability
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.exceptions import FitFailedWarning

from skreg import (
    RegularizedMLPClassifier,
    RegularizedMLPClassifierCV,
    RegularizedMLPEnsemble,
)
from skreg._network.objective import Objective

numerics = reliability.load("numerics")
network = partial(
    RegularizedMLPClassifier,
    **{"hidden_layer_sizes": (6, 4), "max_iter": 100, "random_state": 0},
    **numerics.OURS,
)
without_an_end = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning"
)
both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def largest(coefs):
    return max(float(np.abs(W).max()) for W in coefs)


# Logits ------------------------------------------------------------------------------


@both_dtypes
@pytest.mark.parametrize("kind", numerics.KINDS)
def test_a_network_is_exact_to_some_ulps_at_logits_of_a_thousand(kind, dtype):
    """Loss, gradient, probabilities and their logarithms, through the estimator."""
    worst = numerics.at_logits("skreg", kind, dtype)
    bounds = {"loss": 4, "gradient": 2, "proba": 4, "log_proba": 4}
    assert {what: error <= bounds[what] for what, error in worst.items()} == (
        dict.fromkeys(bounds, True)
    )


def test_the_measure_tells_clipped_probabilities():
    """Those of MLPClassifier, whose loss ends at a logit of 37."""
    worst = numerics.at_logits("MLPClassifier", "binary", np.float64)
    assert worst["loss"] > 1e6
    assert worst["log_proba"] == math.inf
    assert worst["gradient"] <= 2


# The strongest penalty ---------------------------------------------------------------

WAYS = [("adam", "cosine"), ("adam", "constant"), ("lbfgs", "constant")]
WAYS += [("sgd", schedule) for schedule in numerics.SCHEDULES]
QUICK = {("lbfgs", "constant"), *(("sgd", name) for name in numerics.SCHEDULES)}
QUICK -= {("sgd", "invscaling")}


@both_dtypes
@pytest.mark.parametrize(("solver", "schedule"), WAYS)
def test_the_strongest_penalty_takes_the_weights_to_zero(solver, schedule, dtype):
    """And the probabilities to the frequencies, without a warning from numpy."""
    rate = numerics.safe_rate(1e12) if solver == "sgd" else 0.03
    ratio, away, numpy_warnings = numerics.strongest(
        "skreg",
        1e12,
        dtype=dtype,
        max_iter=80 if (solver, schedule) in QUICK else 200,
        solver=solver,
        learning_rate=schedule,
        learning_rate_init=rate,
    )
    assert ratio < 1e-5
    assert away < 1e-3
    assert numpy_warnings == []


@without_an_end
def test_the_strongest_penalty_of_one_layer_leaves_the_others():
    X, y = numerics.table()
    start = network(max_iter=1, learning_rate_init=1e-300).fit(X, y)
    for solver in ("adam", "lbfgs"):
        model = network(lambd=(0.0, 1e12, 0.0), solver=solver, max_iter=200)
        model.set_params(learning_rate="constant").fit(X, y)
        ratios = [
            largest([W]) / largest([before])
            for W, before in zip(model.coefs_, start.coefs_, strict=True)
        ]
        assert ratios[1] < 1e-5
        assert min(ratios[0], ratios[2]) > 0.1
        np.testing.assert_allclose(
            model.predict_proba(X)[:, 1], y.mean(), rtol=0, atol=1e-2
        )


@without_an_end
def test_the_strongest_penalty_elsewhere():
    """With early stopping, sparse X, a search, an ensemble and in partial_fit."""
    X, y = numerics.table(np.float32)
    model = network(lambd=1e12, learning_rate="constant", learning_rate_init=0.05)
    for rows in (X, csr_matrix(X)):
        stopped = clone(model).set_params(early_stopping=True, n_validation_splits=1)
        assert largest(stopped.fit(rows, y).coefs_) < 0.1
    search = RegularizedMLPClassifierCV(
        (1.0, 1e12), (0.5, 1.0), hidden_layer_sizes=(6, 4), cv=2, random_state=0
    )
    search.set_params(early_stopping=False, n_refits=1, max_iter=20).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    for one in RegularizedMLPEnsemble(model, 2).fit(X, y).estimators_:
        assert largest(one.coefs_) < 0.05
    model.set_params(solver="sgd", momentum=0.0)
    model.set_params(learning_rate_init=numerics.safe_rate(1e12))
    for _ in range(20):
        model.partial_fit(X, y, classes=[0, 1])
    assert largest(model.coefs_) < 1e-5


@without_an_end
def test_steps_that_are_too_long_for_the_penalty_are_an_error():
    """W shrinks by 1 - rate · lambd / m a step of SGD: in magnitude, up to 2."""
    X, y = numerics.table()
    for lambd in (1e3, 1e12):
        model = network(
            lambd=lambd, solver="sgd", learning_rate="constant", momentum=0.0, tol=0.0
        )
        model.set_params(batch_size="full", learning_rate_init=1.9 * len(X) / lambd)
        assert largest(model.fit(X, y).coefs_) < 0.01
        rate = 2.1 * len(X) / lambd
        model.set_params(learning_rate_init=rate)
        with pytest.raises(ValueError, match="diverged") as caught:
            model.fit(X, y)
        assert f"learning_rate_init={rate!r} or lambd={lambd!r}" in str(caught.value)


@pytest.mark.parametrize("lambd", [1e300, (0.0, 1e300, 1.0)])
@pytest.mark.parametrize("solver", numerics.SOLVERS)
def test_a_penalty_beyond_float32_is_an_error_without_a_warning_of_numpy(solver, lambd):
    X, y = numerics.table(np.float32)
    with pytest.raises(ValueError, match=r"lambd=.* overflows float32"):
        network(lambd=lambd, solver=solver).fit(X, y)


# Few units ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "keep",
    [
        {"keep_prob": 1e-3, "learning_rate_init": 1e-2},
        {"input_keep_prob": 1e-3, "learning_rate_init": 1e-2},
    ],
    ids=lambda keep: next(iter(keep)),
)
def test_a_thousandth_of_the_units_is_enough_to_learn(keep):
    finite, accuracy, frequency = numerics.few_units(max_iter=12, **keep)
    assert finite
    assert accuracy > frequency + 0.1


# Many rows ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many_rows():
    """For each dtype: X, y, the parameters; the exact means, and the mean sizes."""
    return {dtype: many_rows_of(20_000, dtype) for dtype in numerics.DTYPES}


def many_rows_of(n_rows, dtype):
    problem = numerics.many_rows(n_rows, dtype)
    return problem, numerics.exact_means(*problem)


def check_many_rows(problem, exact, dtype):
    found = numerics.means_by("skreg", *problem)
    loss, gradient = numerics.errors_in_eps(found, *exact, dtype)
    assert loss <= 8
    assert gradient <= 8
    by_batches = numerics.means_by("skreg", *problem, rate=1e-30, batch_size=200)
    loss, _ = numerics.errors_in_eps(by_batches, *exact, dtype)
    assert loss <= 8


@both_dtypes
def test_many_rows_sum_without_loss(dtype, many_rows):
    check_many_rows(*many_rows[dtype], dtype)


def test_the_measure_tells_sums_that_lose(many_rows):
    """One term after the other in float32 breaks the bounds."""
    problem, exact = many_rows[np.float32]
    one_by_one = np.array(
        [
            np.cumsum(each.astype(np.float32), dtype=np.float32)[-1] / len(each)
            for each in numerics.terms(*problem)
        ]
    )
    loss, gradient = numerics.errors_in_eps(one_by_one, *exact, np.float32)
    assert loss > 8
    assert gradient > 8


def test_the_functions_sum_many_rows_without_loss():
    """The gradient is one product over all samples, not one for each chunk."""
    errors = numerics.functional_errors(20_000)
    assert errors["loss"] <= 8
    assert errors["gradient"] <= 100


@pytest.mark.slow
def test_a_million_rows_sum_without_loss():
    check_many_rows(*many_rows_of(1_000_000, np.float32), np.float32)


# Rates -------------------------------------------------------------------------------


@pytest.fixture
def losses(monkeypatch):
    """The loss of each step that is made, of each network of a stack."""
    seen = []
    call = Objective.__call__

    def told(self, chunks):
        loss = call(self, chunks)
        seen.append(np.array(loss, float))
        return loss

    monkeypatch.setattr(Objective, "__call__", told)
    return seen


def test_no_step_follows_the_first_loss_that_is_not_finite(losses):
    for test, parameters in numerics.DIVERGING.items():
        losses.clear()
        assert numerics.diverging("skreg", **parameters) == ("ValueError", []), test
        assert len(losses) >= 1
        assert np.isfinite(losses[:-1]).all(), test
        assert len(losses) < 20, test


def until_it_diverges(how, model, X, y):
    if how == "early stopping":
        model.set_params(early_stopping=True, n_validation_splits=1).fit(X, y)
    elif how == "splits":
        model.set_params(early_stopping=True, early_stopping_refit=True)
        model.set_params(n_validation_splits=3).fit(X, y)
    elif how == "ensemble":
        RegularizedMLPEnsemble(model, 2).fit(X, y)
    else:
        for _ in range(400):
            model.partial_fit(X, y, classes=[0, 1])


@pytest.mark.parametrize("how", ["early stopping", "splits", "ensemble", "partial_fit"])
def test_nor_does_one_elsewhere(how, losses):
    X, y = numerics.table()
    model = network(solver="sgd", learning_rate_init=1e6, batch_size="full")
    with pytest.raises(ValueError, match=r"diverged.*in epoch \d+ at a learning"):
        until_it_diverges(how, model, X, y)
    # A call of partial_fit knows nothing of those before: it ends at the first loss
    # that is not finite.
    assert np.isfinite(losses[:-1]).all()
    assert len(losses) < (400 if how == "partial_fit" else 20)


def test_a_network_of_a_search_that_diverges_makes_no_further_epoch(losses):
    X, y = numerics.table()
    search = RegularizedMLPClassifierCV(
        (1.0, 1e9), (1.0,), cv=2, hidden_layer_sizes=(6, 4), solver="sgd", n_refits=1
    )
    search.set_params(batch_size="full", early_stopping=False, max_iter=5)
    with (
        pytest.warns(FitFailedWarning, match="diverged"),
        pytest.warns(UserWarning, match="non-finite"),
    ):
        search.fit(X, y)
    # The loss explodes in the second epoch of each fold, and one network goes on.
    folds = [len(loss) for loss in losses if loss.ndim]
    assert folds == [2, 2, 1, 1, 1] * 2
    assert np.isfinite(search.cv_results_["mean_test_score"]).tolist() == [True, False]


# Precision ---------------------------------------------------------------------------

# What float32 may differ by after so many epochs: weights, probabilities, and the loss
# relatively.
PRECISION = {1: 1e-6, 50: 2e-5}


@pytest.mark.parametrize("epochs", PRECISION)
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_float32_and_float64_agree(solver, epochs):
    found = numerics.apart("skreg", solver, epochs)
    for what in ("weights", "proba", "loss"):
        assert 0 < found[what] < PRECISION[epochs], what
    assert found["classes"] == 0


def test_float32_and_float64_agree_about_the_minimum():
    """L-BFGS ends where a float32 loss no longer tells steps from rounding."""
    found = numerics.apart("skreg", "lbfgs", 50)
    assert found["loss"] < 0.01
    assert found["proba"] < 0.05


def test_warnings_of_numpy_would_be_seen():
    """By the function that the measures count them with."""
    _, numpy_warnings = numerics.told(lambda: np.float32(1e300))
    assert len(numpy_warnings) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert numerics.told(lambda: 1) == (1, [])
