"""Beside `MLPClassifier`: the models that `to_sklearn` and `from_sklearn` make."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
from helpers import assert_same_weights, no_convergence_warning
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.ensemble import VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline

from skreg import (
    RegularizedMLPClassifier,
    RegularizedMLPClassifierCV,
    RegularizedMLPEnsemble,
)
from skreg._models.exchange import _THEIR_ACTIVATIONS, _THEIR_SOLVERS

RNG = np.random.default_rng(0)
N = 40
X = RNG.normal(size=(N, 4))
SCORES = X @ RNG.normal(size=(4, 3)) + RNG.normal(size=(N, 3))
TARGETS = {
    "binary": (SCORES[:, 0] > 0).astype(int),
    "multiclass": SCORES.argmax(axis=1),
    "multilabel": (SCORES > 0).astype(int),
    "words": np.array(["no", "yes"])[(SCORES[:, 0] > 0).astype(int)],
    "objects": np.array(["a", "bb", "ccc"], dtype=object)[SCORES.argmax(axis=1)],
    "bools": SCORES[:, 0] > 0,
}
every_target = pytest.mark.parametrize("kind", TARGETS)

# The solvers of both that keep a state.
STEPS = [
    {"solver": "adam", "beta_1": 0.8, "beta_2": 0.95},
    {"solver": "sgd", "nesterovs_momentum": False, "momentum": 0.7},
    {"solver": "sgd", "learning_rate": "invscaling", "power_t": 0.2},
    # Divides the rate by five where calls in a row do not gain `tol`.
    {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.05, "n_iter_no_change": 1},
]
every_optimiser = pytest.mark.parametrize("steps", STEPS, ids=str)


def ours(kind="multiclass", **parameters):
    parameters = {
        "hidden_layer_sizes": (6, 5),
        "max_iter": 5,
        "early_stopping": False,
        "random_state": 0,
        **parameters,
    }
    with no_convergence_warning():
        return RegularizedMLPClassifier(**parameters).fit(X, TARGETS[kind])


def theirs(kind="multiclass", **parameters):
    parameters = {
        "hidden_layer_sizes": (6, 5),
        "max_iter": 5,
        "random_state": 0,
        **parameters,
    }
    with no_convergence_warning():
        return MLPClassifier(**parameters).fit(X, TARGETS[kind])


def classes_of(kind):
    y = TARGETS[kind]
    return np.arange(y.shape[1]) if y.ndim == 2 else np.unique(y)


def assert_predict_the_same(a, b, rows=X, tolerance=1e-12):
    probabilities = a.predict_proba(rows)
    assert np.ptp(probabilities, axis=0).max() > 0.1
    np.testing.assert_allclose(
        probabilities, b.predict_proba(rows), rtol=0, atol=tolerance
    )
    np.testing.assert_array_equal(a.predict(rows), b.predict(rows))


# To MLPClassifier --------------------------------------------------------------------


@every_target
@pytest.mark.parametrize("activation", sorted(_THEIR_ACTIVATIONS))
def test_to_sklearn_predicts_the_same(kind, activation):
    longer = {"lambd": 0.01, "max_iter": 30, "learning_rate_init": 0.1}
    model = ours(kind, activation=activation, keep_prob=0.8, **longer)
    mlp = model.to_sklearn()
    assert type(mlp) is MLPClassifier
    assert_predict_the_same(mlp, model)
    assert mlp.predict(X).dtype == model.predict(X).dtype
    assert mlp.score(X, TARGETS[kind]) == model.score(X, TARGETS[kind])
    np.testing.assert_array_equal(mlp.classes_, model.classes_)
    assert_predict_the_same(mlp, model, csr_array(X))
    assert_predict_the_same(pickle.loads(pickle.dumps(mlp)), model)
    # Nothing is shared.
    weights = copy.deepcopy(model.coefs_)
    mlp.coefs_[0][...] = 0
    np.testing.assert_array_equal(model.coefs_[0], weights[0])


@every_target
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_to_sklearn_has_the_attributes_of_a_fitted_mlp_classifier(kind, solver):
    model = ours(kind, solver=solver)
    mlp, fitted = model.to_sklearn(), theirs(kind, solver=solver)
    wanted = {name for name in vars(fitted) if name.endswith("_")}
    wanted |= {"_label_binarizer", "_random_state"}
    assert wanted <= vars(mlp).keys()
    for name in ("n_layers_", "n_outputs_", "out_activation_", "n_features_in_"):
        assert getattr(mlp, name) == getattr(fitted, name), name
    assert mlp._label_binarizer.y_type_ == fitted._label_binarizer.y_type_
    for name in ("loss_", "best_loss_", "n_iter_", "t_", "loss_curve_"):
        assert getattr(mlp, name) == getattr(model, name), name


def test_to_sklearn_keeps_single_precision():
    X32, y = X.astype(np.float32), TARGETS["multiclass"]
    with no_convergence_warning():
        model = RegularizedMLPClassifier((6, 5), max_iter=5, random_state=0).fit(X32, y)
    mlp = model.to_sklearn()
    assert mlp.coefs_[0].dtype == np.float32
    assert mlp.predict_proba(X32).dtype == model.predict_proba(X32).dtype == np.float32
    # The order of the sums differs.
    assert_predict_the_same(mlp, model, X32, tolerance=1e-6)
    # float64 rows take both to float64.
    assert_predict_the_same(mlp, model, X)


def test_the_names_of_columns_go_there_and_back():
    frame = pd.DataFrame(X, columns=["a", "b", "c", "d"])
    with no_convergence_warning():
        model = RegularizedMLPClassifier((6, 5), max_iter=5, random_state=0)
        model.fit(frame, TARGETS["binary"])
    mlp = model.to_sklearn()
    back = RegularizedMLPClassifier.from_sklearn(mlp)
    for twin in (mlp, back):
        assert twin.feature_names_in_.tolist() == ["a", "b", "c", "d"]
        assert_predict_the_same(twin, model, frame)
        with pytest.raises(ValueError, match="names"):
            twin.predict(frame[["b", "a", "c", "d"]])


def test_to_sklearn_has_the_parameters_that_both_have():
    own = {
        "activation": "tanh",
        "solver": "sgd",
        "learning_rate": "invscaling",
        "learning_rate_init": 0.02,
        "power_t": 0.3,
        "max_iter": 7,
        "shuffle": False,
        "tol": 1e-3,
        "momentum": 0.8,
        "nesterovs_momentum": False,
        "early_stopping": True,
        "validation_fraction": 0.2,
        "n_iter_no_change": 4,
    }
    model = ours(early_stopping_refit=False, keep_prob=0.9, lambd=2.0, **own)
    mlp = clone(model.to_sklearn())
    assert {name: getattr(mlp, name) for name in own} == own
    # All training rows in one batch: the penalty is that of alpha.
    assert (mlp.batch_size, mlp.alpha) == (32, 2.0)
    assert ours(learning_rate="cosine").to_sklearn().learning_rate == "constant"
    assert ours(early_stopping="auto").to_sklearn().early_stopping is False
    assert ours(hidden_layer_sizes=7).to_sklearn().hidden_layer_sizes == (7,)


@pytest.mark.parametrize(
    ("parameters", "batch_size", "alpha"),
    [
        ({"batch_size": "full"}, 40, 3.0),
        ({"batch_size": "auto"}, 40, 3.0),
        ({"batch_size": 10}, 10, 0.75),
        ({"batch_size": 13}, 13, 0.75),
        ({"batch_size": 10, "warm_start": True}, 10, 0.75),
        ({"solver": "lbfgs"}, "auto", 3.0),
        ({"solver": "lbfgs", "batch_size": 10}, 10, 3.0),
    ],
    ids=str,
)
def test_alpha_is_lambd_by_the_number_of_batches(parameters, batch_size, alpha):
    model = ours(lambd=3.0, **parameters)
    if model.warm_start:
        with no_convergence_warning():
            model.fit(X, TARGETS["multiclass"])
    mlp = model.to_sklearn()
    assert (mlp.batch_size, mlp.alpha) == (batch_size, alpha)


@pytest.mark.parametrize("batch_size", [10, "auto"])
@pytest.mark.parametrize("max_iter", [1, 20])
def test_lambd_of_lbfgs_goes_there_and_back(batch_size, max_iter):
    """It has no batches, and rows are seen as often as the loss is evaluated."""
    X200, y = np.tile(X, (5, 1)), np.tile(TARGETS["binary"], 5)
    model = RegularizedMLPClassifier(
        (6, 5),
        solver="lbfgs",
        lambd=3.0,
        batch_size=batch_size,
        max_iter=max_iter,
        random_state=0,
    )
    with no_convergence_warning():
        model.fit(X200, y)
    assert model.t_ >= len(X200)
    mlp = model.to_sklearn()
    assert mlp.alpha == 3.0
    assert RegularizedMLPClassifier.from_sklearn(mlp).lambd == 3.0


@pytest.mark.parametrize("batch_size", [10, "auto", "full"])
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_lambd_goes_there_and_back_after_many_calls(solver, batch_size):
    """The rows seen are those of all calls, the losses those of the last ones."""
    more = {"solver": solver, "batch_size": batch_size, "lambd": 3.0}
    model = RegularizedMLPClassifier((6, 5), max_iter=5, random_state=0, **more)
    y = TARGETS["binary"]
    for n_rows in [40] * 12 + [20] * 2:
        model.partial_fit(X[:n_rows], y[:n_rows], classes=[0, 1])
    mlp = model.to_sklearn()
    for twin in (mlp, copy.deepcopy(mlp), pickle.loads(pickle.dumps(mlp))):
        back = RegularizedMLPClassifier.from_sklearn(twin)
        assert (back.lambd, back._training_state["n_rows"]) == (3.0, 20)
        # A call more, there.
        twin.partial_fit(X[:20], y[:20])
        assert RegularizedMLPClassifier.from_sklearn(twin).lambd == 3.0


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_lambd_stays_from_one_warm_start_to_the_next(solver):
    model = ours("binary", solver=solver, batch_size=10, lambd=3.0, warm_start=True)
    for _ in range(3):
        model = RegularizedMLPClassifier.from_sklearn(model.to_sklearn())
        assert model.lambd == 3.0
        with no_convergence_warning():
            model.fit(X, TARGETS["binary"])


@pytest.mark.parametrize("warm_start", [False, True])
@pytest.mark.parametrize(
    ("dtype", "extreme"),
    [
        (np.float32, {"epsilon": 1e300}),
        (np.float64, {"epsilon": 1e300}),
        (
            np.float32,
            {"solver": "sgd", "learning_rate": "invscaling", "power_t": 1e300},
        ),
        (np.float64, {"solver": "sgd", "learning_rate_init": 1.7e308, "lambd": 0.0}),
        (np.float32, {"solver": "sgd", "learning_rate_init": 1e-300}),
    ],
    ids=str,
)
def test_extreme_rates_go_there_and_back(dtype, extreme, warm_start):
    """Where one step of theirs, on any row, would overflow."""
    rows = np.zeros((20, 2), dtype)
    more = {"early_stopping": False, "random_state": 0, "warm_start": warm_start}
    model = RegularizedMLPClassifier(3, max_iter=1, **more, **extreme)
    with no_convergence_warning():
        model.fit(rows, np.arange(20) % 2)
    mlp = model.to_sklearn()
    for name in extreme.keys() - {"lambd"}:
        assert getattr(mlp, name) == extreme[name]
    assert_same_weights(RegularizedMLPClassifier.from_sklearn(mlp), model)
    if warm_start and "learning_rate_init" in extreme:
        assert mlp._optimizer.learning_rate == extreme["learning_rate_init"]
    if warm_start and "epsilon" in extreme:
        assert mlp._optimizer.epsilon == extreme["epsilon"]
    if warm_start and "power_t" in extreme:
        assert (mlp._optimizer.power_t, mlp._optimizer.learning_rate) == (1e300, 0)


def test_a_fit_anew_there_counts_its_own_rows():
    mlp = ours("binary", batch_size=10).to_sklearn().set_params(max_iter=9)
    with no_convergence_warning():
        mlp.fit(X[:20], TARGETS["binary"][:20])
    assert RegularizedMLPClassifier.from_sklearn(mlp).lambd == 2 * mlp.alpha


def test_lbfgs_that_is_given_another_solver_goes_there_and_back():
    for tol in (1e-4, 1e6):
        with no_convergence_warning():
            model = ours(solver="lbfgs", tol=tol, lambd=3.0, batch_size=10)
        mlp = model.to_sklearn().set_params(solver="adam")
        assert RegularizedMLPClassifier.from_sklearn(mlp).lambd == 3.0


def test_lbfgs_that_stood_at_its_minimum_goes_there_and_back():
    """No iteration, so no loss in the curve, but the rows were seen once."""
    with no_convergence_warning():
        model = ours(solver="lbfgs", tol=1e6)
    assert (model.n_iter_, model.t_, model.loss_curve_) == (0, len(X), [])
    back = RegularizedMLPClassifier.from_sklearn(model.to_sklearn())
    assert back.lambd == back.lambd_ == model.lambd_ == 1.0
    assert_same_weights(back, model)


def test_alpha_of_lambd_by_layer_costs_the_same():
    model = ours(lambd=[3.0, 0.5, 1.0], batch_size="full")
    squares = [np.square(W).sum() for W in model.coefs_]
    penalty = np.dot([3.0, 0.5, 1.0], squares)
    np.testing.assert_allclose(model.to_sklearn().alpha * sum(squares), penalty)
    # Nor do the squares overflow, or vanish.
    expected = model.to_sklearn().alpha
    for scale in (1e200, 1e-200, 1e-200):
        for W in model.coefs_:
            W *= scale
        np.testing.assert_allclose(model.to_sklearn().alpha, expected)
    for W in model.coefs_:
        W[...] = 0
    np.testing.assert_allclose(model.to_sklearn().alpha, 1.5)


@pytest.mark.parametrize("early_stopping", [False, True, "auto"])
def test_to_sklearn_has_the_scores_that_its_parameters_speak_of(early_stopping):
    model = RegularizedMLPClassifier(
        (6,),
        early_stopping=early_stopping,
        scoring="accuracy" if early_stopping else "loss",
        max_iter=5,
        random_state=0,
    )
    with no_convergence_warning():
        model.fit(np.tile(X, (3, 1)), np.tile(TARGETS["binary"], 3))
    mlp = model.to_sklearn()
    if early_stopping is True:
        assert mlp.best_loss_ is None
        assert mlp.validation_scores_ == model.validation_scores_
        assert mlp.best_validation_score_ == model.best_validation_score_
    else:
        # With 'auto' ours has scores, but their partial_fit must work.
        assert mlp.best_loss_ == min(model.loss_curve_)
        assert mlp.validation_scores_ is mlp.best_validation_score_ is None
    # Where no epoch is better, theirs goes back to the best weights.
    mlp.best_validation_score_ = 2.0
    with no_convergence_warning():
        mlp.set_params(warm_start=True)
        mlp.fit(np.tile(X, (3, 1)), np.tile(TARGETS["binary"], 3))
    changed = not np.array_equal(mlp.coefs_[0], model.coefs_[0])
    assert changed is (early_stopping is not True)


def test_to_sklearn_is_quiet_and_draws_nothing(capsys):
    model = ours(random_state=None).set_params(verbose=True, batch_size=10)
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    assert model.to_sklearn().verbose is True
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002
    assert capsys.readouterr().out == ""


def test_early_stopping_that_was_not_done_leaves_no_scores():
    model = RegularizedMLPClassifier((6,)).partial_fit(
        X, TARGETS["binary"], None, [0, 1]
    )
    mlp = model.set_params(early_stopping=True).to_sklearn()
    assert (mlp.validation_scores_, mlp.best_validation_score_) == ([], -np.inf)


def test_a_model_that_has_seen_no_epoch_converts():
    model = ours(solver="lbfgs", batch_size="full", lambd=3.0)
    model.solver, model.n_iter_ = "adam", 0
    mlp = model.to_sklearn()
    assert (mlp.batch_size, mlp.alpha) == ("auto", 3.0)


def test_an_activation_that_mlp_classifier_lacks():
    model = ours()
    model.activation = "gelu"
    with pytest.raises(ValueError, match=r"activation='gelu'.*relu.*ONNX"):
        model.to_sklearn()
    options = MLPClassifier._parameter_constraints["activation"][0].options
    assert set(options) == _THEIR_ACTIVATIONS


def test_scores_that_are_no_accuracies_stay_here():
    model = ours(early_stopping=True, max_iter=3)
    assert model.scoring == "loss"
    assert len(model.validation_scores_) == 3
    mlp = model.to_sklearn()
    assert (mlp.validation_scores_, mlp.best_validation_score_) == ([], -np.inf)
    with no_convergence_warning():
        watched = MLPClassifier((3,), max_iter=2, early_stopping=True)
        watched.fit(X, TARGETS["binary"])
    model = RegularizedMLPClassifier.from_sklearn(watched, scoring="loss")
    assert model.validation_scores_ is model.best_validation_score_ is None
    assert model.best_n_iter_ == model.n_iter_ == 2


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"activation": "tanh"}, "activation='tanh'.*activation='relu'"),
        ({"hidden_layer_sizes": (7, 7)}, r"\(7, 7\): .* Leave hidden_layer_sizes out"),
        ({"lambd": -1.0}, "'lambd' parameter"),
        ({"lambd": [1.0, 2.0, 3.0]}, "lambd"),
        ({"keep_prob": (0.5, 0.5)}, "keep_prob"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_parameters_must_fit_the_network(parameters, match):
    mlp = theirs("binary", hidden_layer_sizes=(6,))
    with pytest.raises(ValueError, match=match):
        RegularizedMLPClassifier.from_sklearn(mlp, **parameters)


def test_parameters_of_the_same_network_are_taken():
    mlp = theirs(hidden_layer_sizes=(6,))
    model = RegularizedMLPClassifier.from_sklearn(
        mlp, activation="relu", hidden_layer_sizes=[6], lambd=[1.0, 2.0]
    )
    assert (model.hidden_layer_sizes, model.lambd) == ([6], [1.0, 2.0])
    np.testing.assert_allclose(model.predict_proba(X), mlp.predict_proba(X))


@pytest.mark.parametrize("warm_start", [False, True])
def test_a_solver_that_mlp_classifier_lacks(warm_start):
    model = ours(warm_start=warm_start)
    model.solver = "rmsprop"
    with pytest.raises(ValueError, match=r"solver='rmsprop'.*'sgd'.*set_params"):
        model.to_sklearn()
    assert_predict_the_same(model.set_params(solver="sgd").to_sklearn(), model)
    options = MLPClassifier._parameter_constraints["solver"][0].options
    assert set(options) == _THEIR_SOLVERS


def test_an_mlp_classifier_that_was_interrupted_in_its_first_epoch():
    mlp = theirs("binary")
    del mlp.loss_
    with pytest.raises(NotFittedError, match="has no weights to take over"):
        RegularizedMLPClassifier.from_sklearn(mlp)


def test_one_class_is_no_mlp_classifier():
    model = RegularizedMLPClassifier().fit(X, np.full(N, "only"))
    with pytest.raises(ValueError, match="one class, 'only'"):
        model.to_sklearn()
    with no_convergence_warning():
        mlp = MLPClassifier((3,), max_iter=1).fit(X, np.full(N, "only"))
    with pytest.raises(ValueError, match="one class, 'only'"):
        RegularizedMLPClassifier.from_sklearn(mlp)


def test_to_sklearn_wants_a_fitted_model():
    with pytest.raises(NotFittedError):
        RegularizedMLPClassifier().to_sklearn()


def test_networks_of_a_search_and_of_an_ensemble():
    y = TARGETS["multiclass"]
    of = {"hidden_layer_sizes": (6,), "max_iter": 5, "random_state": 0}
    with no_convergence_warning():
        search = RegularizedMLPClassifierCV(
            lambds=[1.0], keep_probs=[1.0], cv=2, n_refits=1, **of
        ).fit(X, y)
        ensemble = RegularizedMLPEnsemble(RegularizedMLPClassifier(**of), 2).fit(X, y)
    assert_predict_the_same(search.best_estimator_.to_sklearn(), search)
    networks = [
        (str(i), FrozenEstimator(network.to_sklearn()))
        for i, network in enumerate(ensemble.estimators_)
    ]
    voting = VotingClassifier(networks, voting="soft").fit(X, y)
    assert_predict_the_same(voting, ensemble)


# From MLPClassifier ------------------------------------------------------------------


@every_target
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_from_sklearn_is_the_same_model(kind, solver):
    mlp = theirs(kind, solver=solver)
    before = pickle.dumps(mlp)
    model = RegularizedMLPClassifier.from_sklearn(mlp)
    assert type(model) is RegularizedMLPClassifier
    assert_predict_the_same(model, mlp)
    fitted = ours(kind, solver=solver)
    assert {n for n in vars(model) if n.endswith("_")} == {
        n for n in vars(fitted) if n.endswith("_")
    }
    for name in ("n_layers_", "n_outputs_", "out_activation_", "n_features_in_"):
        assert getattr(model, name) == getattr(fitted, name), name
    for name in ("loss_", "n_iter_", "t_"):
        assert getattr(model, name) == getattr(mlp, name), name
    assert model.loss_curve_ == getattr(mlp, "loss_curve_", [])
    assert model.best_loss_ == getattr(mlp, "best_loss_", mlp.loss_)
    assert model.best_n_iter_ == mlp.n_iter_
    assert model.converged_ is False
    # It goes on without touching the other.
    with no_convergence_warning():
        model.set_params(warm_start=True).fit(X, TARGETS[kind])
    assert not np.array_equal(model.coefs_[0], mlp.coefs_[0])
    assert pickle.dumps(mlp) == before


def test_from_sklearn_goes_on_with_what_ours_has():
    mlp = theirs(max_iter=20)
    y = TARGETS["multiclass"]
    model = RegularizedMLPClassifier.from_sklearn(
        mlp, keep_prob=0.8, warm_start=True, max_iter=3, learning_rate="cosine"
    )
    assert (model.keep_prob, model.max_iter, model.learning_rate) == (0.8, 3, "cosine")
    with no_convergence_warning():
        model.fit(X, y)
    assert (model.n_iter_, model.t_) == (3, mlp.t_ + 3 * N)
    # Twenty epochs came before these three: it has not begun anew.
    anew = clone(model)
    with no_convergence_warning():
        anew.fit(X, y)
    assert model.loss_ < mlp.loss_ < anew.loss_


@every_optimiser
@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
@pytest.mark.parametrize("batch_size", [N, N // 4])
def test_from_sklearn_goes_on_as_theirs_does(kind, steps, batch_size):
    """Batches of the same rows in both, so that the penalties are the same too."""
    y = TARGETS[kind]
    mlp = MLPClassifier(
        (6, 5),
        alpha=0.7,
        batch_size=batch_size,
        shuffle=False,
        learning_rate_init=0.02,
        random_state=0,
        **steps,
    )
    for _ in range(6):
        mlp.partial_fit(X, y, classes=classes_of(kind))
    model = RegularizedMLPClassifier.from_sklearn(mlp)
    np.testing.assert_allclose(model.lambd, 0.7 * N / batch_size)
    if steps.get("learning_rate") == "adaptive":
        # They differ by one in what they wait for.
        model.set_params(n_iter_no_change=2)
    assert (model.n_iter_, model.t_) == (6, 6 * N)
    for _ in range(4):
        mlp.partial_fit(X, y)
        model.partial_fit(X, y)
    assert_same_weights(model, mlp, rtol=0, atol=1e-10)
    np.testing.assert_allclose(model.loss_curve_, mlp.loss_curve_, rtol=1e-9)
    assert (model.n_iter_, model.t_) == (10, 10 * N)
    if steps.get("learning_rate") == "adaptive":
        assert mlp._optimizer.learning_rate < 0.02


@every_optimiser
def test_to_sklearn_goes_on_as_ours_does(steps):
    y = TARGETS["multiclass"]
    model = RegularizedMLPClassifier(
        (6, 5),
        lambd=2.8,
        batch_size=N // 4,
        shuffle=False,
        learning_rate_init=0.02,
        random_state=0,
        **{"learning_rate": "constant", **steps},
    )
    for _ in range(6):
        model.partial_fit(X, y, classes=[0, 1, 2])
    mlp = model.to_sklearn()
    np.testing.assert_allclose(mlp.alpha, 0.7)
    if steps.get("learning_rate") == "adaptive":
        # A single call with the rate that it has come to.
        assert model._training_state["rate_fraction"] < 1
        mlp.partial_fit(X, y)
        model.partial_fit(X, y)
    else:
        for _ in range(4):
            mlp.partial_fit(X, y)
            model.partial_fit(X, y)
    assert_same_weights(model, mlp, rtol=0, atol=1e-10)
    np.testing.assert_allclose(model.loss_curve_, mlp.loss_curve_, rtol=1e-9)
    assert mlp.t_ == model.t_


@pytest.mark.parametrize("state", ["none", "of another solver"])
def test_without_the_state_of_its_optimiser_mlp_classifier_makes_one(state):
    model = ours(warm_start=state != "none")
    if state != "none":
        model.set_params(solver="sgd")
    mlp = model.to_sklearn()
    assert not hasattr(mlp, "_optimizer")
    before = copy.deepcopy(mlp.coefs_)
    mlp.partial_fit(X, TARGETS["multiclass"])
    assert not np.array_equal(mlp.coefs_[0], before[0])


def test_from_sklearn_has_the_parameters_with_their_meaning():
    rare = {
        "activation": "tanh",
        "learning_rate_init": 0.02,
        "power_t": 0.3,
        "max_iter": 4,
        "shuffle": False,
        "tol": 1e-3,
        "warm_start": True,
        "momentum": 0.8,
        "nesterovs_momentum": False,
        "validation_fraction": 0.2,
        "beta_1": 0.8,
        "beta_2": 0.9,
        "epsilon": 1e-7,
        "n_iter_no_change": 4,
        "max_fun": 999,
    }
    mlp = theirs(**rare)
    model = RegularizedMLPClassifier.from_sklearn(mlp)
    # All of theirs have the name and the value that they had, but for those that
    # mean something else.
    same = set(mlp.get_params()) - {"alpha", "batch_size"}
    assert same >= rare.keys()
    assert {k: getattr(model, k) for k in same} == {k: getattr(mlp, k) for k in same}
    assert model.batch_size == 200
    assert (model.early_stopping, model.averaging, model.keep_prob) == (False, 0.0, 1.0)

    def schedule(theirs_is, **parameters):
        mlp = theirs(solver=theirs_is, learning_rate="invscaling")
        return RegularizedMLPClassifier.from_sklearn(mlp, **parameters).learning_rate

    assert [schedule(s) for s in ("sgd", "adam", "lbfgs")] == [
        "invscaling",
        "constant",
        "constant",
    ]
    assert schedule("adam", solver="sgd") == "invscaling"
    assert schedule("sgd", solver="adam") == "constant"


def test_from_sklearn_after_early_stopping():
    mlp = theirs("binary", early_stopping=True, max_iter=8, n_iter_no_change=2)
    model = RegularizedMLPClassifier.from_sklearn(mlp)
    assert model.early_stopping is True
    assert model.early_stopping_refit is False
    assert (model.n_validation_splits, model.scoring) == (1, "accuracy")
    assert model.best_loss_ is None
    assert model.validation_scores_ == mlp.validation_scores_
    assert model.best_validation_score_ == mlp.best_validation_score_
    best = model.validation_scores_[model.best_n_iter_ - 1]
    assert best == mlp.best_validation_score_
    assert best not in model.validation_scores_[: model.best_n_iter_ - 1]
    # Of those 40 rows 36 were trained on.
    assert model._training_state["n_rows"] == 36
    ignored = theirs(solver="lbfgs", early_stopping=True)
    assert RegularizedMLPClassifier.from_sklearn(ignored).early_stopping is False


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_from_sklearn_knows_whether_the_training_had_ended(solver):
    mlp = theirs("binary", solver=solver, max_iter=300, tol=1e-1)
    assert mlp.n_iter_ < 300
    assert RegularizedMLPClassifier.from_sklearn(mlp).converged_ is True


@pytest.mark.parametrize(
    ("parameters", "n_batches"),
    [
        ({}, 1),
        ({"batch_size": 10}, 4),
        ({"batch_size": 39}, 2),
        ({"solver": "lbfgs"}, 1),
    ],
    ids=str,
)
def test_lambd_is_alpha_times_the_number_of_batches(parameters, n_batches):
    mlp = theirs(alpha=0.3, **parameters)
    model = RegularizedMLPClassifier.from_sklearn(mlp)
    np.testing.assert_allclose(model.lambd, 0.3 * n_batches)
    model = RegularizedMLPClassifier.from_sklearn(mlp, lambd=5.0)
    assert model.lambd == 5.0


def test_lambd_has_the_penalty_that_their_loss_counts():
    """With a last batch of one row, and a rate that changes nothing."""
    still = {"batch_size": 39, "learning_rate_init": 1e-300, "solver": "sgd"}
    mlp = theirs(alpha=0.3, max_iter=1, **still)
    squares = sum(np.square(W).sum() for W in mlp.coefs_)
    model = RegularizedMLPClassifier.from_sklearn(mlp)
    penalty = model.lambd / (2 * N) * squares
    Y = np.eye(3)[TARGETS["multiclass"]]
    cross_entropy = -np.log((model.predict_proba(X) * Y).sum(axis=1)).mean()
    np.testing.assert_allclose(cross_entropy + penalty, mlp.loss_, rtol=1e-10)


def test_a_random_state_is_copied():
    state = np.random.RandomState(0)
    mlp = theirs(random_state=state)
    before = state.get_state()[1].copy()
    model = RegularizedMLPClassifier.from_sklearn(mlp)
    assert model.random_state is not state
    own = np.random.RandomState(1)
    RegularizedMLPClassifier.from_sklearn(mlp, random_state=own)
    np.testing.assert_array_equal(state.get_state()[1], before)
    np.testing.assert_array_equal(
        own.get_state()[1], np.random.RandomState(1).get_state()[1]
    )


def test_from_sklearn_of_a_subclass():
    class Own(RegularizedMLPClassifier):
        def __init__(self, lambd=1.0, keep_prob=0.9):
            super().__init__(lambd=lambd, keep_prob=keep_prob)

    mlp = theirs(alpha=0.25)
    model = Own.from_sklearn(mlp)
    assert type(model) is Own
    assert (model.lambd, model.keep_prob) == (0.25, 0.9)
    assert_predict_the_same(model, mlp)


def test_there_and_back_is_the_same_model():
    model = ours(
        warm_start=True,
        solver="sgd",
        learning_rate="constant",
        averaging=0.0,
        standardize=False,
    )
    back = RegularizedMLPClassifier.from_sklearn(model.to_sklearn())
    assert_same_weights(back, model)
    assert back.get_params() == {
        **model.get_params(),
        "batch_size": 40,
        "early_stopping_refit": False,
        "n_validation_splits": 1,
        "lambd": 1.0,
        "n_iter_no_change": 10,
    }
    for name in ("moments", "rate_fraction", "n_rows"):
        np.testing.assert_array_equal(
            back._training_state[name], model._training_state[name]
        )


@pytest.mark.parametrize(
    ("mlp", "error", "says"),
    [
        (MLPRegressor(), TypeError, "type MLPRegressor: give a fitted"),
        (make_pipeline(MLPClassifier()), TypeError, "type Pipeline.*Of a pipeline"),
        (LogisticRegression(), TypeError, "type LogisticRegression"),
        (MLPClassifier(), NotFittedError, "has no weights.*Fit it first"),
    ],
    ids=str,
)
def test_what_from_sklearn_does_not_take(mlp, error, says):
    with pytest.raises(error, match=says):
        RegularizedMLPClassifier.from_sklearn(mlp)


def test_from_sklearn_wants_a_hidden_layer_and_known_parameters():
    with pytest.raises(
        ValueError, match=r"hidden_layer_sizes=\(\).*LogisticRegression"
    ):
        RegularizedMLPClassifier.from_sklearn(theirs(hidden_layer_sizes=()))
    with pytest.raises(ValueError, match=r"(?s)Invalid parameter 'alpha'.*lambd"):
        RegularizedMLPClassifier.from_sklearn(theirs(), alpha=1.0)
