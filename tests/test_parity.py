"""Beside `MLPClassifier`, and beside the naive gradient descent of `reference`."""

import inspect
import sys
from functools import partial

import numpy as np
import pytest
import reference
import scipy.optimize
from helpers import indicators, make_data, no_convergence_warning, parameters_of
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from skreg import RegularizedMLPClassifier

KINDS = ["binary", "multiclass", "multilabel"]
ACTIVATIONS = ["identity", "logistic", "tanh", "relu"]
# What both have, with MLPClassifier's defaults.
AS_THEIRS = {
    "learning_rate": "constant",
    "learning_rate_init": 0.001,
    "early_stopping": False,
}
noisy = partial(make_data, n=37, noise=1.0)

# MLPClassifier takes columns as they are.
plain = partial(RegularizedMLPClassifier, standardize=False)


def output_of(kind):
    return "softmax" if kind == "multiclass" else "logistic"


def random_weights(estimator, seed=11):
    """New weights and biases of a fitted estimator's shapes."""
    rng = np.random.default_rng(seed)
    coefs = [rng.uniform(-0.8, 0.8, size=W.shape) for W in estimator.coefs_]
    intercepts = [rng.uniform(-0.3, 0.3, size=b.shape) for b in estimator.intercepts_]
    return coefs, intercepts


def started(estimator, X, y, coefs=None, intercepts=None):
    """A clone that `fit` trains further from the weights given."""
    estimator = clone(estimator)
    max_iter = estimator.max_iter
    with no_convergence_warning():
        estimator.set_params(max_iter=1).fit(X, y)
    if coefs is None:
        coefs, intercepts = random_weights(estimator)
    estimator.coefs_ = [W.copy() for W in coefs]
    estimator.intercepts_ = [b.copy() for b in intercepts]
    return estimator.set_params(warm_start=True, max_iter=max_iter)


def beside(kind, activation="relu", penalty=0.7, solver="sgd", **parameters):
    """Ours and MLPClassifier's, both about to start from the same weights."""
    X, y = noisy(kind)
    shared = {
        "hidden_layer_sizes": (6, 5),
        "activation": activation,
        "solver": solver,
        "batch_size": len(X),
        "shuffle": False,
        "random_state": 0,
        **AS_THEIRS,
        **parameters,
    }
    ours = started(plain(lambd=penalty, averaging=0.0, **shared), X, y)
    # A new optimiser for each: ours had no warm_start before, theirs is new.
    theirs = clone(MLPClassifier(alpha=penalty, **shared)).set_params(max_iter=1)
    with no_convergence_warning():
        theirs.fit(X, y)
    theirs.coefs_ = [W.copy() for W in ours.coefs_]
    theirs.intercepts_ = [b.copy() for b in ours.intercepts_]
    theirs.set_params(warm_start=True, max_iter=ours.max_iter)
    return X, y, ours, theirs


# Parameters and attributes -----------------------------------------------------------


def signature_of(cls):
    signature = dict(inspect.signature(cls.__init__).parameters)
    signature.pop("self")
    return signature


def test_all_parameters_of_mlp_classifier_but_alpha_are_there():
    theirs, ours = signature_of(MLPClassifier), signature_of(RegularizedMLPClassifier)
    assert set(theirs) - set(ours) == {"alpha"}
    assert {"lambd", "keep_prob"} <= set(ours) - set(theirs)


def test_the_defaults_are_those_of_mlp_classifier_but_for_the_named_ones():
    theirs, ours = signature_of(MLPClassifier), signature_of(RegularizedMLPClassifier)
    different = {
        name
        for name in set(theirs) & set(ours)
        if theirs[name].default != ours[name].default
        or type(theirs[name].default) is not type(ours[name].default)
    }
    # The defaults in the README's table.
    assert {name: ours[name].default for name in different} == {
        "hidden_layer_sizes": (100, 50),
        "learning_rate": "cosine",
        "learning_rate_init": 0.01,
        "early_stopping": "auto",
        "n_iter_no_change": "auto",
    }
    expected = {
        "lambd": "auto",
        "keep_prob": 1.0,
        "early_stopping_refit": "auto",
        "n_validation_splits": "auto",
        "averaging": 0.9,
    }
    assert {name: ours[name].default for name in expected} == expected


def test_only_the_layers_and_the_activation_are_positional():
    kinds = {name: p.kind for name, p in signature_of(RegularizedMLPClassifier).items()}
    positional = [
        k for k, v in kinds.items() if v is not inspect.Parameter.KEYWORD_ONLY
    ]
    assert positional == ["hidden_layer_sizes", "activation"]
    with pytest.raises(TypeError, match="positional"):
        RegularizedMLPClassifier((3,), "relu", 1.0)


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("early_stopping", [False, True])
def test_the_fitted_attributes_have_the_same_names_shapes_and_types(
    kind, solver, early_stopping
):
    X, y = noisy(kind, n=60)
    shared = {
        "hidden_layer_sizes": (6, 5),
        "solver": solver,
        "max_iter": 3,
        "random_state": 0,
        **AS_THEIRS,
        "early_stopping": early_stopping and solver != "lbfgs",
    }
    ours = plain(early_stopping_refit=False, **shared)
    theirs = MLPClassifier(**shared)
    with no_convergence_warning():
        ours.fit(X, y)
        theirs.fit(X, y)
    public = [k for k in vars(theirs) if k.endswith("_") and not k.startswith("_")]
    assert {"coefs_", "intercepts_", "loss_", "n_iter_", "t_"} <= set(public)
    for name in public:
        a, b = getattr(ours, name), getattr(theirs, name)
        if isinstance(b, list):
            assert type(a) is list, name
            assert len(a) == len(b), name
            for a_i, b_i in zip(a, b, strict=True):
                assert np.shape(a_i) == np.shape(b_i), name
                assert np.asarray(a_i).dtype == np.asarray(b_i).dtype, name
                assert isinstance(a_i, np.ndarray if np.ndim(b_i) else float), name
        elif isinstance(b, np.ndarray) and b.ndim:
            assert a.shape == b.shape, name
            assert a.dtype == b.dtype, name
        elif b is None:
            assert a is None, name
        else:
            kinds = [kind for kind in (float, int, str) if isinstance(b, kind)]
            assert isinstance(a, kinds[0]), name
    for name in ("n_layers_", "n_outputs_", "out_activation_", "n_features_in_"):
        assert getattr(ours, name) == getattr(theirs, name)
    np.testing.assert_array_equal(ours.classes_, theirs.classes_)
    if solver != "lbfgs":
        assert ours.n_iter_ == theirs.n_iter_ == 3
        assert ours.t_ == theirs.t_


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_mlp_classifier_predicts_the_same_with_our_weights(kind, activation, dtype):
    X, y = noisy(kind, n=60)
    X = X.astype(dtype)
    shared = {
        "hidden_layer_sizes": (6, 5),
        "activation": activation,
        "learning_rate_init": 0.1,
        "random_state": 0,
    }
    ours = plain(learning_rate="cosine", lambd=0.1, max_iter=30, **shared).fit(X, y)
    theirs = MLPClassifier(max_iter=1, **shared)
    with no_convergence_warning():
        theirs.fit(X, y)
    theirs.coefs_, theirs.intercepts_ = ours.coefs_, ours.intercepts_
    tolerance = 1e-12 if dtype == np.float64 else 1e-5
    np.testing.assert_allclose(
        ours.predict_proba(X), theirs.predict_proba(X), rtol=0, atol=tolerance
    )
    # Theirs takes the logarithm of 1 - p, which has lost digits.
    np.testing.assert_allclose(
        ours.predict_log_proba(X),
        theirs.predict_log_proba(X),
        rtol=1e3 * tolerance,
        atol=1e3 * tolerance,
    )
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    assert ours.predict(X).dtype == theirs.predict(X).dtype
    assert len(np.unique(ours.predict(X), axis=0)) > 1
    assert ours.score(X, y) == theirs.score(X, y)


# The loss and its gradient -----------------------------------------------------------


@pytest.mark.parametrize("penalty", [0.0, 0.7])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_one_full_batch_step_has_the_loss_and_gradient_of_mlp_classifier(
    kind, activation, penalty
):
    rate = 0.5
    X, y, ours, theirs = beside(
        kind, activation, penalty, momentum=0.0, learning_rate_init=rate, max_iter=1
    )
    start = ours.coefs_ + ours.intercepts_
    with no_convergence_warning():
        ours.fit(X, y)
        theirs.partial_fit(X, y)
    np.testing.assert_allclose(ours.loss_, theirs.loss_, rtol=1e-10)
    for before, a, b in zip(
        start,
        ours.coefs_ + ours.intercepts_,
        theirs.coefs_ + theirs.intercepts_,
        strict=True,
    ):
        gradient = (before - b) / rate
        assert np.abs(gradient).max() > 1e-4
        np.testing.assert_allclose((before - a) / rate, gradient, atol=1e-10)


class Minimised:
    """Stands for scipy's `minimize`: runs it, and keeps the function and its points."""

    def __init__(self):
        self.minimize = scipy.optimize.minimize
        self.points = []

    def __call__(self, function, start, args=(), **keywords):
        self.start, self.options = np.array(start), keywords["options"]
        self.value_and_gradient = lambda x: function(np.array(x), *args)

        def kept(x, *args):
            value, gradient = function(x, *args)
            self.points.append((np.array(x), float(value), np.array(gradient)))
            return value, gradient

        return self.minimize(kept, start, args=args, **keywords)


def minimised(monkeypatch, owner, estimator, X, y):
    """What the estimator gives to the `minimize` that the module `owner` uses."""
    recorder = Minimised()
    with monkeypatch.context() as patch, no_convergence_warning():
        patch.setattr(owner, "minimize", recorder)
        estimator.fit(X, y)
    return recorder


def owner_of_minimize():
    """Where skreg has its `minimize`, whichever module that is."""
    owners = [
        module
        for name, module in list(sys.modules.items())
        if name.split(".")[0] == "skreg"
        and getattr(module, "minimize", None) is scipy.optimize.minimize
    ]
    assert len(owners) == 1
    return owners[0]


@pytest.mark.parametrize("penalty", [0.0, 0.7])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_lbfgs_has_the_loss_and_gradient_of_mlp_classifier(
    kind, activation, penalty, monkeypatch
):
    X, y, ours, theirs = beside(kind, activation, penalty, "lbfgs", max_iter=15)
    a = minimised(monkeypatch, owner_of_minimize(), ours, X, y)
    b = minimised(monkeypatch, scipy.optimize, theirs, X, y)
    # Each has its own order of the parameters. No two are alike at the start, so that
    # sorting the start tells which is which.
    order_a, order_b = np.argsort(a.start), np.argsort(b.start)
    np.testing.assert_array_equal(a.start[order_a], b.start[order_b])
    assert (np.diff(a.start[order_a]) > 0).all()

    assert len(a.points) > 5
    for x, value, gradient in a.points:
        theirs_at = np.empty_like(x)
        theirs_at[order_b] = x[order_a]
        their_value, their_gradient = b.value_and_gradient(theirs_at)
        np.testing.assert_allclose(value, their_value, rtol=1e-10)
        np.testing.assert_allclose(
            gradient[order_a], their_gradient[order_b], rtol=0, atol=1e-10
        )
    # The first two points depend on the start alone: the same path.
    for i in range(2):
        np.testing.assert_allclose(
            a.points[i][0][order_a], b.points[i][0][order_b], rtol=1e-10, atol=1e-12
        )
    for name in ("maxiter", "maxfun", "gtol"):
        assert a.options[name] == b.options[name]


@pytest.mark.parametrize("kind", KINDS)
def test_lbfgs_reports_the_objective_of_its_weights(kind):
    X, y = noisy(kind)
    estimator = plain(
        (6, 5), "tanh", solver="lbfgs", lambd=0.7, max_iter=500, random_state=0
    ).fit(X, y)
    parameters = parameters_of(estimator)
    settings = {"activation": "tanh", "output": output_of(kind)}
    Y = indicators(y)
    J = reference.objective(X.T, Y, parameters, 0.7, **settings)
    np.testing.assert_allclose(estimator.loss_, J, rtol=1e-12)
    np.testing.assert_allclose(estimator.best_loss_, J, rtol=1e-12)
    # It stops where the gradient is small, or where the loss stands still.
    gradient = reference.flatten_gradients(
        reference.gradients(X.T, Y, parameters, 0.7, **settings)
    )
    assert np.abs(gradient).max() < 2e-3
    assert len(estimator.loss_curve_) == estimator.n_iter_
    assert (np.diff(estimator.loss_curve_) <= 0).all()


# Whole training runs -----------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lambd", [0.0, 1.5])
@pytest.mark.parametrize("weighted", [False, True])
def test_full_batch_sgd_follows_gradient_descent_for_200_steps(kind, lambd, weighted):
    X, y = noisy(kind)
    weight = np.random.default_rng(1).uniform(0.2, 3, len(y)) if weighted else None
    estimator = started(
        plain(
            (6, 5),
            "relu",
            lambd=lambd,
            solver="sgd",
            momentum=0.0,
            batch_size="full",
            learning_rate="constant",
            learning_rate_init=0.3,
            max_iter=200,
            tol=0.0,
            n_iter_no_change=np.inf,
            early_stopping=False,
            averaging=0.0,
            random_state=0,
        ),
        X,
        y,
    )
    start = parameters_of(estimator)
    with pytest.warns(ConvergenceWarning):
        estimator.fit(X, y, weight)
    settings = {"sample_weight": weight, "output": output_of(kind)}
    expected = reference.gradient_descent(
        X.T, indicators(y), start, lambd, 0.3, 200, **settings
    )
    found = parameters_of(estimator)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=0, atol=1e-10)
    assert np.abs(found["W1"] - start["W1"]).max() > 0.05

    # Losses are those before each step, penalty included.
    assert len(estimator.loss_curve_) == estimator.n_iter_ == 200
    J = reference.objective(X.T, indicators(y), start, lambd, **settings)
    np.testing.assert_allclose(estimator.loss_curve_[0], J, rtol=1e-12)
    one_less = reference.gradient_descent(
        X.T, indicators(y), start, lambd, 0.3, 199, **settings
    )
    J = reference.objective(X.T, indicators(y), one_less, lambd, **settings)
    np.testing.assert_allclose(estimator.loss_, J, rtol=1e-10)


@pytest.mark.parametrize("schedule", ["constant", "invscaling", "cosine"])
@pytest.mark.parametrize(
    "optimiser",
    [
        {"solver": "sgd", "momentum": 0.8, "nesterovs_momentum": False},
        {"solver": "sgd", "momentum": 0.7, "nesterovs_momentum": True},
        {"solver": "adam", "beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-3},
    ],
    ids=["momentum", "nesterov", "adam"],
)
def test_the_optimisers_and_schedules_follow_their_formulas(optimiser, schedule):
    X, y = noisy("multiclass")
    n_epochs = 30
    estimator = started(
        plain(
            (6,),
            "tanh",
            lambd=0.5,
            batch_size="full",
            learning_rate=schedule,
            learning_rate_init=0.05,
            power_t=0.3,
            max_iter=n_epochs,
            tol=0.0,
            n_iter_no_change=np.inf,
            early_stopping=False,
            averaging=0.0,
            **optimiser,
        ),
        X,
        y,
    )
    estimator.t_ = 0
    start = parameters_of(estimator)
    with no_convergence_warning():
        estimator.fit(X, y)

    def gradient(theta, step):
        parameters = reference.unflatten(theta, start)
        return reference.flatten_gradients(
            reference.gradients(X.T, indicators(y), parameters, 0.5, "tanh", "softmax")
        )

    keywords = {
        k: v for k, v in optimiser.items() if k in ("momentum", "beta_1", "beta_2")
    }
    rule = reference.sgd_momentum
    if optimiser["solver"] == "adam":
        rule, keywords["epsilon"] = reference.adam, optimiser["epsilon"]
    elif optimiser["nesterovs_momentum"]:
        rule = reference.nesterov
    rates = reference.learning_rates(
        schedule, 0.05, n_epochs, len(X), power_t=0.3, max_iter=n_epochs
    )
    path = rule(reference.flatten(start), gradient, rates, n_steps=n_epochs, **keywords)
    found = reference.flatten(parameters_of(estimator))
    np.testing.assert_allclose(found, path[-1], rtol=0, atol=1e-10)
    assert np.abs(found - path[0]).max() > 0.02


@pytest.mark.parametrize(
    "parameters",
    [
        {"solver": "adam"},
        {"solver": "sgd"},
        {"solver": "sgd", "nesterovs_momentum": False},
        {"solver": "sgd", "learning_rate": "invscaling", "power_t": 0.2},
        # Divides the rate by five again and again.
        {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.05},
        {"solver": "sgd", "tol": 0.02},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", KINDS)
def test_training_goes_as_that_of_mlp_classifier(kind, parameters):
    """Full batch, where both divide the penalty by the number of rows."""
    parameters = {"solver": "adam", "n_iter_no_change": 3, **parameters}
    X, y, ours, theirs = beside(
        kind, learning_rate_init=0.05, max_iter=60, **parameters
    )
    # As documented: "n_iter_no_change consecutive epochs". Theirs waits for one more.
    theirs.set_params(n_iter_no_change=2)
    # Theirs counts on from the fit that made its arrays.
    theirs.t_, theirs.best_loss_, theirs.loss_curve_ = 0, np.inf, []
    theirs._no_improvement_count = 0
    ours.t_ = 0
    with no_convergence_warning():
        ours.fit(X, y)
        theirs.fit(X, y)
    assert ours.n_iter_ == theirs.n_iter_
    assert ours.t_ == theirs.t_ == ours.n_iter_ * len(X)
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-9)
    np.testing.assert_allclose(ours.best_loss_, theirs.best_loss_, rtol=1e-9)
    for a, b in zip(
        ours.coefs_ + ours.intercepts_, theirs.coefs_ + theirs.intercepts_, strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-9)
    assert ours.converged_ == (ours.n_iter_ < 60)
    if parameters.get("learning_rate") == "adaptive":
        assert theirs._optimizer.learning_rate < 0.05 / 5
    elif "tol" in parameters:
        assert ours.converged_
