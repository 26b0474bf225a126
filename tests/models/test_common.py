"""scikit-learn's own checks, and what weights mean where chance comes in."""

import numpy as np
import pytest
from helpers import assert_same_weights, flat, no_convergence_warning
from sklearn.base import clone
from sklearn.utils.estimator_checks import (
    estimator_checks_generator,
    parametrize_with_checks,
)

from skreg import RegularizedMLPClassifier, RegularizedMLPClassifierCV

# Random masks, small batches and random splits rule out that a row of weight k and the
# row repeated k times give the same model; see the statistical tests below.
BY_CHANCE = [{"keep_prob": 0.8, "batch_size": 16}, {"early_stopping": True}]
EXACT_WEIGHTS = [
    "check_sample_weight_equivalence_on_dense_data",
    "check_sample_weight_equivalence_on_sparse_data",
]
EXACT = [{}, {"solver": "sgd"}, {"solver": "lbfgs"}, {"activation": "tanh"}]
# The others are checked with the slow tests, but for what a solver might get wrong.
SMALL = {"hidden_layer_sizes": (10,)}
QUICK = [{**SMALL, "n_validation_splits": 1}]
OF_THE_SOLVER = [
    *EXACT_WEIGHTS,
    "check_class_weight_classifiers",
    "check_classifiers_classes",
    "check_classifiers_one_label",
    "check_estimators_dtypes",
    "check_estimators_nan_inf",
    "check_estimators_pickle",
    "check_fit2d_1sample",
    "check_fit_idempotent",
    "check_sample_weights_not_overwritten",
]


# Each fit of these networks has exact weights, so the search has them too.
SEARCH = {
    "lambds": (0.1, 1.0),
    "keep_probs": (1.0,),
    "cv": 3,
    "hidden_layer_sizes": (10,),
    "learning_rate_init": 0.05,
    "batch_size": "full",
    "max_iter": 60,
}


def expected_failed_checks(estimator):
    for parameters in BY_CHANCE:
        if parameters.items() <= estimator.get_params().items():
            reason = f"only in expectation with {parameters}"
            return dict.fromkeys(EXACT_WEIGHTS, reason)
    return {}


@parametrize_with_checks(
    [RegularizedMLPClassifier(**parameters) for parameters in QUICK],
    expected_failed_checks=expected_failed_checks,
)
# The checks set max_iter to a few epochs; scikit-learn's own tests ignore this too.
# Their data are not always scaled, nor their weights.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:.*columns of X have magnitudes far from 1")
@pytest.mark.filterwarnings("ignore:The weights of the rows have a mean of")
def test_scikit_learns_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("name", OF_THE_SOLVER)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:.*columns of X have magnitudes far from 1")
@pytest.mark.filterwarnings("ignore:The weights of the rows have a mean of")
def test_scikit_learns_checks_of_the_other_solver(name):
    # Of few units, L-BFGS stops at points whose probabilities differ by more than 1e-7,
    # and so it does from columns that are the same but for rounding.
    units = {"standardize": False} if name in EXACT_WEIGHTS else SMALL
    estimator = RegularizedMLPClassifier(solver="lbfgs", **units)
    checks = [
        check
        for _, check in estimator_checks_generator(estimator)
        if check.func.__name__ == name
    ]
    assert checks
    for check in checks:
        check(estimator)


@pytest.mark.slow
@parametrize_with_checks(
    [
        # A default network, and small ones of the others; but for L-BFGS, see above.
        RegularizedMLPClassifier(
            **{} if parameters in EXACT[::2] else SMALL, **parameters
        )
        for parameters in EXACT + BY_CHANCE
    ],
    expected_failed_checks=expected_failed_checks,
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:.*columns of X have magnitudes far from 1")
@pytest.mark.filterwarnings("ignore:The weights of the rows have a mean of")
def test_scikit_learns_checks_of_other_settings(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks(
    [
        RegularizedMLPClassifierCV(**SEARCH),
        RegularizedMLPClassifierCV(**SEARCH, solver="sgd", scoring="accuracy"),
        RegularizedMLPClassifierCV(**SEARCH | {"lambds": (1.0,)}, error_score="raise"),
        RegularizedMLPClassifierCV(**SEARCH | {"n_refits": 3}, oof_proba=True),
    ]
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:.*columns of X have magnitudes far from 1")
@pytest.mark.filterwarnings("ignore:The weights of the rows have a mean of")
def test_scikit_learns_checks_of_searches(estimator, check):
    check(estimator)


def test_the_exact_settings_have_no_expected_failure():
    # The defaults, and others where nothing is left to chance either.
    assert EXACT == [{}, {"solver": "sgd"}, {"solver": "lbfgs"}, {"activation": "tanh"}]
    for parameters in EXACT:
        assert expected_failed_checks(RegularizedMLPClassifier(**parameters)) == {}
    for parameters in BY_CHANCE:
        expected = expected_failed_checks(RegularizedMLPClassifier(**parameters))
        assert set(expected) == set(EXACT_WEIGHTS)


# Weights in expectation --------------------------------------------------------------

N_SEEDS = 120


@pytest.fixture(scope="module")
def weighted_data():
    """X, y and whole weights: the same within a class, so that a stratified split
    always leaves the same weight for training."""
    rng = np.random.default_rng(7)
    X = rng.normal(size=(40, 3))
    y = np.repeat([0, 1], 20)
    X[y == 1] += 0.7
    order = rng.permutation(40)
    X, y = X[order], y[order]
    return X, y, np.where(y == 1, 3, 1)


def started(parameters, X, y, sample_weight):
    """An estimator that has weights, the same for all, from which `fit` goes on."""
    estimator = RegularizedMLPClassifier(
        hidden_layer_sizes=(5,),
        solver="sgd",
        momentum=0.0,
        # So small that the sum of an epoch's steps is the sum of the gradients at the
        # start, and so large that 10 digits of it survive.
        learning_rate="constant",
        learning_rate_init=1e-5,
        batch_size=200,
        lambd=0.3,
        max_iter=1,
        early_stopping=False,
        early_stopping_refit=False,
        averaging=0.0,
        random_state=0,
    )
    with no_convergence_warning():
        # With the weights, for the scale of the columns is that of the first fit.
        estimator.fit(X, y, sample_weight)
    rng = np.random.default_rng(3)
    estimator.coefs_ = [rng.normal(size=W.shape) for W in estimator.coefs_]
    estimator.intercepts_ = [rng.normal(size=b.shape) for b in estimator.intercepts_]
    return estimator.set_params(warm_start=True, **parameters)


def mean_steps(parameters, X, y, sample_weight, n_seeds=N_SEEDS):
    """Mean and standard error, over seeds, of an epoch's step, divided by its batches.

    The last number is the first validation score, or 0.
    """
    start = started(parameters, X, y, sample_weight)
    steps = []
    for seed in range(n_seeds):
        estimator = clone(start)
        # clone forgets what is fitted: hand it the same start.
        vars(estimator).update(
            {k: v for k, v in vars(start).items() if k.endswith("_")}
        )
        estimator.set_params(random_state=seed)
        with no_convergence_warning():
            estimator.fit(X, y, sample_weight)
        n_batches = 1
        if "batch_size" in parameters:
            n_batches = -(-len(X) // parameters["batch_size"])
        step = (flat(estimator) - flat(start)) / (-1e-5 * n_batches)
        score = (estimator.validation_scores_ or [0.0])[0]
        steps.append(np.append(step, score))
    return np.mean(steps, axis=0), np.std(steps, axis=0, ddof=1) / np.sqrt(n_seeds)


@pytest.mark.slow
@pytest.mark.parametrize(
    "parameters",
    [
        {"keep_prob": 0.8},
        {"batch_size": 16},
        {"early_stopping": True, "validation_fraction": 0.25},
        {"keep_prob": 0.6, "batch_size": 7},
    ],
    ids=str,
)
def test_a_weight_of_k_is_k_copies_in_expectation(parameters, weighted_data):
    X, y, k = weighted_data
    if "early_stopping" not in parameters:
        # Rows are not held out, so the weights may differ within a class.
        k = np.where(X[:, 0] > 0.5, 5, np.where(X[:, 1] > 0, 2, 1))
    weighted, error = mean_steps(parameters, X, y, k)
    X_copies, y_copies = np.repeat(X, k, axis=0), np.repeat(y, k)
    copied, error_of_copies = mean_steps(parameters, X_copies, y_copies, None)
    ignored, _ = mean_steps(parameters, X, y, None)

    # A normal variable is beyond 4.5 standard errors once in 150 000 times; there are
    # 27 numbers. The rest of the bound is for the rounding of so small a step.
    bound = 4.5 * np.hypot(error, error_of_copies) + 1e-4 * np.abs(copied).max()
    difference = np.abs(weighted - copied)
    assert (difference <= bound).all(), difference / bound
    # The bound tells apart what it should: without the weights it is missed by far.
    assert (np.abs(ignored - copied) / bound).max() > 3


def test_batches_take_part_by_chance():
    """The statistical tests would be empty if the seed changed nothing."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 3)), np.repeat([0, 1], 20)
    for parameters in [{"keep_prob": 0.8}, {"early_stopping": True}]:
        _, error = mean_steps(parameters, X, y, None, n_seeds=5)
        assert error[:-1].max() > 1e-3


@pytest.mark.parametrize(
    "parameters",
    [
        {"keep_prob": 0.8},
        {"batch_size": 16},
        {"early_stopping": True},
        {"early_stopping": True, "early_stopping_refit": False},
    ],
    ids=str,
)
def test_a_weight_of_zero_is_no_row_even_by_chance(parameters, weighted_data):
    X, y, _ = weighted_data
    weight = np.where(np.arange(len(y)) % 3 == 0, 0.0, 1.0)
    estimator = RegularizedMLPClassifier(
        hidden_layer_sizes=(6,),
        learning_rate="cosine",
        max_iter=15,
        n_iter_no_change=15,
        random_state=4,
        **parameters,
    )
    with_zeros = clone(estimator).fit(X, y, weight)
    without = clone(estimator).fit(X[weight > 0], y[weight > 0])
    assert_same_weights(with_zeros, without)
    assert not np.array_equal(flat(with_zeros), flat(clone(estimator).fit(X, y)))
