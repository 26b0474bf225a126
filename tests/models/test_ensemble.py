"""The mean of networks: against the networks one by one, and BaggingClassifier."""

import pickle
import warnings
from functools import partial

import numpy as np
import pandas as pd
import pytest
from helpers import assert_same_weights, small
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import sparse
from scipy.special import expit
from sklearn.base import clone
from sklearn.datasets import make_classification, make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import fbeta_score, make_scorer, recall_score
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks

from skreg import (
    RegularizedMLPClassifier,
    RegularizedMLPClassifierCV,
    RegularizedMLPEnsemble,
)
from skreg._models import ensemble as _ensemble
from skreg._plots.common import networks_of
from skreg._training.advice import FitAdviceWarning, RegularizationWarning

network = partial(
    small,
    hidden_layer_sizes=(6, 4),
    learning_rate_init=0.02,
    max_iter=15,
    batch_size=50,
    lambd=1.0,
    random_state=1,
)


def table(kind):
    if kind == "labels":
        return make_multilabel_classification(130, 5, n_classes=3, random_state=0)
    X, y = make_classification(
        130,
        5,
        n_informative=4,
        n_redundant=0,
        n_classes=2 if kind == "two" else 3,
        random_state=0,
    )
    return X, np.array(["no", "yes", "perhaps"])[y]


KINDS = ["two", "three", "labels"]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_probabilities_are_the_mean_of_the_networks(kind, dtype):
    X, y = table(kind)
    X = X.astype(dtype)
    model = RegularizedMLPEnsemble(network(), 3).fit(X, y)
    of_networks = np.array([one.predict_proba(X) for one in model.estimators_])
    proba = model.predict_proba(X)
    tolerance = 1e-6 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(proba, of_networks.mean(axis=0), rtol=tolerance)
    np.testing.assert_allclose(
        np.exp(model.predict_log_proba(X)), proba, rtol=30 * tolerance
    )
    if kind == "labels":
        np.testing.assert_array_equal(model.predict(X), proba > 0.5)
        np.testing.assert_allclose(
            expit(model.decision_function(X)), proba, rtol=1e3 * tolerance
        )
    else:
        assert model.classes_.tolist() == np.unique(y).tolist()
        expected = model.classes_[proba.argmax(axis=1)]
        np.testing.assert_array_equal(model.predict(X), expected)
        assert model.score(X, y) == np.mean(expected == y)
    if kind == "two":
        np.testing.assert_allclose(
            expit(model.decision_function(X)), proba[:, 1], rtol=1e3 * tolerance
        )
    for found in (proba, model.predict_log_proba(X), model.decision_function(X)):
        assert found.dtype == dtype
    # They are not all the same network.
    assert np.ptp(of_networks, axis=0).max() > 0.01


def test_the_first_network_is_a_fit_of_the_estimator():
    X, y = table("three")
    model = RegularizedMLPEnsemble(network(keep_prob=0.8), 3).fit(X, y)
    alone = network(keep_prob=0.8).fit(X, y)
    assert_same_weights(model.estimators_[0], alone, rtol=1e-9, atol=1e-12)
    assert model.n_iter_ == max(one.n_iter_ for one in model.estimators_)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"keep_prob": 0.7},
        {"averaging": 0.9},
        {"early_stopping": True, "early_stopping_refit": True},
        {
            "early_stopping": True,
            "early_stopping_refit": True,
            "n_validation_splits": 2,
            "averaging": 0.9,
        },
        {"early_stopping": "auto", "averaging": 0.9, "solver": "sgd"},
        {"class_weight": "balanced", "averaging": 0.8},
    ],
)
def test_together_and_one_by_one_give_the_same_networks(parameters, monkeypatch):
    X, y = table("three")
    weight = np.linspace(0.5, 2, len(y))
    model = RegularizedMLPEnsemble(network(**parameters), 4)
    together = clone(model).fit(X, y, weight)
    for at_once in (1, 3):
        monkeypatch.setattr(_ensemble, "stack_size", lambda *_, n=at_once: n)
        found = clone(model).fit(X, y, weight)
        np.testing.assert_allclose(
            found.predict_proba(X), together.predict_proba(X), rtol=1e-7
        )


def test_sparse_rows_and_lbfgs_are_trained_one_by_one():
    X, y = table("two")
    # A sparse X keeps its means.
    plain = network(standardize=False)
    dense = RegularizedMLPEnsemble(plain, 3).fit(X, y)
    found = RegularizedMLPEnsemble(plain, 3).fit(sparse.csr_array(X), y)
    np.testing.assert_allclose(
        found.predict_proba(sparse.csr_array(X)), dense.predict_proba(X), rtol=1e-7
    )
    model = RegularizedMLPEnsemble(network(solver="lbfgs", max_iter=300, tol=0.01), 2)
    assert model.fit(X, y).score(X, y) > 0.9


def test_validation_rows_reach_the_networks():
    X, y = table("two")
    model = RegularizedMLPEnsemble(network(early_stopping=True), 2)
    model.fit(X[:100], y[:100], X_val=X[100:], y_val=y[100:])
    alone = network(early_stopping=True)
    alone.fit(X[:100], y[:100], X_val=X[100:], y_val=y[100:])
    np.testing.assert_allclose(
        model.estimators_[0].validation_scores_, alone.validation_scores_
    )


def test_random_state_replaces_that_of_the_network():
    X, y = table("two")
    model = RegularizedMLPEnsemble(network(random_state=None), 2, random_state=5)
    np.testing.assert_array_equal(
        clone(model).fit(X, y).predict_proba(X), model.fit(X, y).predict_proba(X)
    )
    expected = RegularizedMLPEnsemble(network(random_state=5), 2).fit(X, y)
    np.testing.assert_array_equal(model.predict_proba(X), expected.predict_proba(X))
    state = np.random.RandomState(3)
    one = RegularizedMLPEnsemble(network(), 2, random_state=state).fit(X, y)
    other = RegularizedMLPEnsemble(network(), 2, random_state=np.random.RandomState(3))
    np.testing.assert_array_equal(
        one.predict_proba(X), other.fit(X, y).predict_proba(X)
    )


def test_a_random_state_is_copied_however_the_networks_are_trained():
    X, y = table("two")
    found = []
    for rows in (X, sparse.csr_array(X)):
        for of_network in (True, False):
            state = np.random.RandomState(3)
            plain = network(standardize=False)
            model = RegularizedMLPEnsemble(plain, 3, random_state=state)
            if of_network:
                plain.set_params(random_state=state)
                model.set_params(random_state=None)
            found.append(model.fit(rows, y).predict_proba(rows))
            np.testing.assert_array_equal(
                state.get_state()[1], np.random.RandomState(3).get_state()[1]
            )
            assert state.get_state()[2] == np.random.RandomState(3).get_state()[2]
    for proba in found[1:]:
        np.testing.assert_allclose(proba, found[0], rtol=1e-7)


def test_names_pickles_and_one_class():
    X, y = table("two")
    named = pd.DataFrame(X, columns=list("abcde"))
    model = RegularizedMLPEnsemble(network(), 2).fit(named, y)
    assert model.feature_names_in_.tolist() == list("abcde")
    assert model.n_features_in_ == 5
    copied = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copied.predict(named), model.predict(named))
    model.fit(X, np.repeat("same", len(X)))
    assert not hasattr(model, "feature_names_in_")
    np.testing.assert_array_equal(model.predict_proba(X), np.ones((len(X), 1)))
    assert set(model.predict(X)) == {"same"}


EXACT = RegularizedMLPClassifier(hidden_layer_sizes=(10,), batch_size="full")


# The data of the checks are few rows, and not always scaled.
@pytest.mark.slow
@parametrize_with_checks([RegularizedMLPEnsemble(EXACT, n_estimators=2)])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:.*columns of X have magnitudes far from 1")
def test_scikit_learns_checks(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks(
    [RegularizedMLPEnsemble(RegularizedMLPClassifier((10,)), n_estimators=2)]
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:.*columns of X have magnitudes far from 1")
def test_scikit_learns_checks_with_defaults(estimator, check):
    check(estimator)


@pytest.mark.parametrize("n_estimators", [0, -1, 1.5, "3", None])
def test_a_wrong_number_is_refused(n_estimators):
    with pytest.raises(ValueError, match="'n_estimators' parameter"):
        RegularizedMLPEnsemble(network(), n_estimators).fit(*table("two"))


def test_other_estimators_are_refused():
    with pytest.raises(TypeError, match=r"LogisticRegression.*give a RegularizedMLP"):
        RegularizedMLPEnsemble(LogisticRegression()).fit(*table("two"))


def test_a_failed_fit_leaves_what_there_was():
    X, y = table("two")
    model = RegularizedMLPEnsemble(network(), 2)
    with pytest.raises(NotFittedError):
        model.predict(X)
    before = model.fit(X, y).predict_proba(X)
    model.set_params(estimator__learning_rate_init=1e9)
    with pytest.raises(ValueError, match="Training diverged"):
        model.fit(X, y)
    np.testing.assert_array_equal(model.predict_proba(X), before)


def test_one_warning_of_each_kind_for_all_networks():
    X, y = table("two")
    plain = network(learning_rate="constant", standardize=False)
    model = RegularizedMLPEnsemble(plain, 3)
    with pytest.warns((ConvergenceWarning, FitAdviceWarning)) as caught:
        model.fit(X * [100, 1, 1, 1, 1], y)
    of_training, of_rows = caught
    assert "column 0 is" in str(of_rows.message)
    assert of_training.category is ConvergenceWarning
    assert of_training.filename == of_rows.filename == __file__


def test_the_mean_predicts_better_than_its_networks():
    X, y = make_classification(600, 10, n_informative=5, flip_y=0.1, random_state=0)
    model = RegularizedMLPEnsemble(network(lambd=0.01, max_iter=60), 5)
    model.fit(X[:200], y[:200])

    def loss(one):
        return -np.mean(one.predict_log_proba(X[200:])[np.arange(400), y[200:]])

    losses = [loss(one) for one in model.estimators_]
    assert loss(model) < min(losses)


# A team of weighted members


def team(lambds=(0.1, 1.0, 10.0), keep_probs=(1.0, 0.8, 1.0), **parameters):
    """Three members, the last of which has no weight unless it is given one."""
    members = [
        network(lambd=lambd, keep_prob=keep_prob)
        for lambd, keep_prob in zip(lambds, keep_probs, strict=True)
    ]
    defaults = {"n_estimators": 5, "weights": [1.0, 4.0, 0.0]}
    return RegularizedMLPEnsemble(members, **defaults | parameters)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_a_team_predicts_the_weighted_mean(kind, dtype):
    X, y = table(kind)
    X = X.astype(dtype)
    model = team(weights=[3, 1, 2], n_estimators=4).fit(X, y)
    assert [each.lambd for each in model.estimators_] == [0.1, 0.1, 1.0, 10.0]
    assert [each.keep_prob for each in model.estimators_] == [1.0, 1.0, 0.8, 1.0]
    np.testing.assert_allclose(model.weights_, [1 / 4, 1 / 4, 1 / 6, 1 / 3], rtol=1e-15)
    of_networks = np.array([one.predict_proba(X) for one in model.estimators_])
    expected = np.average(of_networks, axis=0, weights=model.weights_)
    proba = model.predict_proba(X)
    tolerance = 1e-6 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(proba, expected, rtol=tolerance)
    log_proba = model.predict_log_proba(X)
    np.testing.assert_allclose(np.exp(log_proba), expected, rtol=30 * tolerance)
    logits = model.decision_function(X)
    if kind == "three":
        np.testing.assert_array_equal(logits, log_proba)
        assert model.predict(X).tolist() == model.classes_[expected.argmax(1)].tolist()
    else:
        positive = expected if kind == "labels" else expected[:, 1]
        np.testing.assert_allclose(expit(logits), positive, rtol=1e3 * tolerance)
    for found in (proba, log_proba, logits):
        assert found.dtype == dtype


@pytest.mark.parametrize("at_once", [1, 2, 9])
def test_members_are_trained_together_or_one_by_one(at_once, monkeypatch):
    X, y = table("three")
    monkeypatch.setattr(_ensemble, "stack_size", lambda *_: at_once)
    model = team().fit(X, y)
    # Another draw of weights for each network: that of an ensemble of one setting.
    lambds = [0.1, 1.0, 1.0, 1.0, 1.0]
    assert [each.lambd for each in model.estimators_] == lambds
    for number, found in enumerate(model.estimators_):
        alike = network(lambd=found.lambd, keep_prob=found.keep_prob)
        alone = RegularizedMLPEnsemble(alike, 5).fit(X, y).estimators_[number]
        assert_same_weights(found, alone, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_weights_are_the_plain_mean_to_the_bit(kind):
    X, y = table(kind)
    plain = RegularizedMLPEnsemble(network(), 3).fit(X, y)
    np.testing.assert_array_equal(plain.weights_, [1 / 3] * 3)
    total = sum(one.predict_proba(X) for one in plain.estimators_)
    np.testing.assert_array_equal(plain.predict_proba(X), total / 3)
    as_team = RegularizedMLPEnsemble([network()], 3, weights=[7.0]).fit(X, y)
    twice = RegularizedMLPEnsemble([network()] * 3, 3).fit(X, y)
    for method in ("predict_proba", "predict_log_proba", "decision_function"):
        expected = getattr(plain, method)(X)
        np.testing.assert_array_equal(getattr(as_team, method)(X), expected)
        np.testing.assert_array_equal(getattr(twice, method)(X), expected)


def by_largest_remainders(weights, n):
    """What everybody is due, rounded down, and the rest to the largest remainders."""
    due = np.array(weights) / np.sum(weights) * n
    counts = np.floor(due).astype(int)
    rest = np.argsort(-(due - counts), kind="stable")[: n - counts.sum()]
    counts[rest] += 1
    return counts.tolist()


@given(st.lists(st.integers(0, 20), min_size=1, max_size=8), st.integers(1, 40))
def test_networks_are_shared_out_by_the_largest_remainders(weights, n):
    assume(sum(weights))
    of_sum_1 = _ensemble._checked_weights(weights, len(weights))
    n_members = np.count_nonzero(weights)
    if n < n_members:
        with pytest.raises(ValueError, match=f"Set n_estimators to {n_members} or"):
            _ensemble._shared_out(of_sum_1, n)
        return
    counts = _ensemble._shared_out(of_sum_1, n)
    assert counts.sum() == n
    np.testing.assert_array_equal(counts > 0, np.array(weights) > 0)
    expected = by_largest_remainders(weights, n)
    due = np.array(weights) * n / sum(weights)
    remainders = (due - np.floor(due))[np.array(weights) > 0]
    # Ties of remainders may be rounded either way.
    is_tied = len(set(np.round(remainders, 9))) < len(remainders)
    if min(np.array(expected)[np.array(weights) > 0]) > 0 and not is_tied:
        assert counts.tolist() == expected


def test_weights_of_any_size_are_shares():
    X, y = table("two")
    large = team(weights=[1e308, 1e308, 0], n_estimators=2).fit(X, y)
    np.testing.assert_array_equal(large.weights_, [0.5, 0.5])
    small = team(weights=[1, 1, 1e-300], n_estimators=3).fit(X, y)
    assert [each.lambd for each in small.estimators_] == [0.1, 1.0, 10.0]
    np.testing.assert_array_equal(
        small.predict_log_proba(X), large.predict_log_proba(X)
    )


@pytest.mark.parametrize(
    ("weights", "text"),
    [
        ([1, 2], r"weights=\[1, 2\] has the shape \(2,\), but there are 3 networks"),
        ([[1, 2, 3]], r"has the shape \(1, 3\)"),
        ([1, -1, 2], r"weights=\[1, -1, 2\]: each must be finite and at least 0"),
        ([1, np.nan, 2], "each must be finite"),
        ([1, np.inf, 2], "each must be finite"),
        ([0, 0, 0], "and one above 0. Give 3 numbers"),
        (["a", 1, 1], "are no numbers. Give 3 numbers"),
        (2.0, "'weights' parameter"),
    ],
)
def test_wrong_weights_are_refused(weights, text):
    with pytest.raises(ValueError, match=text):
        team(weights=weights).fit(*table("two"))


def test_weights_of_one_network_are_refused():
    model = RegularizedMLPEnsemble(network(), 3, weights=[1, 1, 1])
    with pytest.raises(ValueError, match=r"weights=\[1, 1, 1\] are those of the mem"):
        model.fit(*table("two"))


def test_wrong_teams_are_refused():
    X, y = table("two")
    with pytest.raises(ValueError, match=r"estimator=\[\]: a team needs"):
        RegularizedMLPEnsemble([]).fit(X, y)
    with pytest.raises(TypeError, match="has a LogisticRegression, but Reg"):
        RegularizedMLPEnsemble([network(), LogisticRegression()]).fit(X, y)
    for name, value in [
        ("activation", "tanh"),
        ("hidden_layer_sizes", (6, 5)),
        ("early_stopping", True),
        ("random_state", None),
        ("class_weight", {"no": 2.0}),
    ]:
        members = [network(), network(), network(**{name: value})]
        with pytest.raises(ValueError, match=f"{name}=.* in network 2, and .* in net"):
            RegularizedMLPEnsemble(members).fit(X, y)
    with pytest.raises(ValueError, match=r"n_estimators=2 are .* 3 members"):
        team(n_estimators=2, weights=None).fit(X, y)
    scorers = make_scorer(recall_score), make_scorer(fbeta_score, beta=9)
    members = [network(early_stopping=True, scoring=scorer) for scorer in scorers]
    with pytest.raises(ValueError, match=r"scoring=.* in network 1, and .* in net"):
        RegularizedMLPEnsemble(members).fit(X, y)


def test_copies_of_what_has_no_equality_are_alike():
    """As a clone of a team has them."""
    X, y = table("two")
    scorer = make_scorer(lambda y, found: np.mean(y == found))
    common = {"scoring": scorer, "random_state": np.random.RandomState(0)}
    common |= {"hidden_layer_sizes": [6, 4], "class_weight": {"no": 2.0, "yes": 1.0}}
    common |= {"early_stopping": True}
    members = [network(lambd=[1, 2, 3], **common), network(lambd=0.5, **common)]
    members[1].set_params(hidden_layer_sizes=np.array([6, 4]))
    model = RegularizedMLPEnsemble(members, 3, weights=np.array([1, 1]))
    found = clone(model).fit(X, y)
    np.testing.assert_array_equal(
        found.predict_proba(X), model.fit(X, y).predict_proba(X)
    )


def test_copies_parameters_and_pictures_of_a_team():
    X, y = table("three")
    model = team(random_state=4).fit(X, y)
    assert model.get_params()["weights"] == [1.0, 4.0, 0.0]
    assert {each.random_state for each in model.estimators_} == {4}
    for other in (pickle.loads(pickle.dumps(model)), clone(model).fit(X, y)):
        np.testing.assert_array_equal(other.weights_, model.weights_)
        np.testing.assert_array_equal(other.predict_proba(X), model.predict_proba(X))
    assert "weights=[1.0, 4.0, 0.0]" in repr(model)
    assert "RegularizedMLPEnsemble" in model._repr_html_()
    assert len(networks_of(model, type(model), "coefs_")) == 5
    assert get_tags(model).input_tags.sparse
    assert get_tags(RegularizedMLPEnsemble([])).classifier_tags.multi_label


def test_the_warning_is_of_the_network_that_went_badly():
    X, y = table("two")
    with pytest.warns(RegularizationWarning, match="lambd=100000") as caught:
        team(lambds=(0.1, 1e5, 1.0), weights=None).fit(X, y)
    assert len(caught) == 1


# In the search


def test_a_search_averages_refits_of_the_best_setting():
    X, y = table("three")
    search = RegularizedMLPClassifierCV(
        (0.1, 10.0),
        (1.0,),
        cv=3,
        final_model="best",
        n_refits=3,
        hidden_layer_sizes=(6, 4),
        learning_rate="cosine",
        batch_size=128,
        max_iter=10,
        random_state=0,
    ).fit(X, y)
    best = search.best_estimator_
    assert len(best.estimators_) == 3
    expected = RegularizedMLPEnsemble(
        search.estimator.set_params(**search.best_params_), 3
    ).fit(X, y)
    np.testing.assert_array_equal(search.predict_proba(X), expected.predict_proba(X))
    np.testing.assert_array_equal(search.predict(X), expected.predict(X))
    assert search.n_iter_ == expected.n_iter_
    assert search.score(X, y) == expected.score(X, y)
    assert search.classes_.tolist() == expected.classes_.tolist()


def test_ctrl_c_in_one_of_several_ends_the_training(monkeypatch):
    X, y = table("two")
    calls = []

    def scorer(model, X, y):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return 1.0

    monkeypatch.setattr(_ensemble, "stack_size", lambda *_: 1)
    model = RegularizedMLPEnsemble(network(early_stopping=True, scoring=scorer), 4)
    model.estimator.set_params(early_stopping_refit=False)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert len(calls) == 2


def test_the_epochs_are_those_of_the_longest():
    X, y = table("two")
    model = RegularizedMLPEnsemble(
        network(early_stopping=True, max_iter=60, n_iter_no_change=3), 4
    ).fit(X, y)
    epochs = [one.n_iter_ for one in model.estimators_]
    assert len(set(epochs)) > 1
    assert model.n_iter_ == max(epochs)
    assert get_tags(model).input_tags.sparse


@pytest.mark.slow
def test_one_network_without_convergence_is_told_of():
    X, y = table("two")
    parameters = {"learning_rate": "constant", "tol": 1e-3, "n_iter_no_change": 3}

    def fitted(max_iter):
        one = network(**parameters, max_iter=max_iter, early_stopping=True)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model = RegularizedMLPEnsemble(one, 4).fit(X, y)
        converged = [found.converged_ for found in model.estimators_]
        assert bool(caught) == (not all(converged))
        return converged

    several = [fitted(max_iter) for max_iter in range(5, 60, 3)]
    assert any(0 < sum(converged) < 4 for converged in several)
