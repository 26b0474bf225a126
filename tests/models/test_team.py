"""The team of a search, against a loop over separate fits and scikit-learn's scores."""

import copy
import pickle
from functools import partial

import numpy as np
import pandas as pd
import pytest
from helpers import no_convergence_warning
from hypothesis import assume, given
from hypothesis import strategies as st
from joblib import parallel_config
from sklearn import config_context
from sklearn.base import clone
from sklearn.metrics import get_scorer, log_loss, make_scorer
from sklearn.model_selection import (
    KFold,
    ParameterGrid,
    RepeatedKFold,
    ShuffleSplit,
    StratifiedKFold,
    cross_val_predict,
)

from skreg import RegularizedMLPClassifier, RegularizedMLPClassifierCV
from skreg._models import ensemble as _ensemble
from skreg._models import team
from skreg._models.held_out import HeldOut

KINDS = ["binary", "multiclass", "multilabel"]
GRID = {"lambd": [0.1, 3.0, 30.0], "keep_prob": [0.6, 1.0]}
EPS = np.finfo(float).eps

# A choice among made-up likelihoods ---------------------------------------------------


def naive(proba, y, weight, at_most, n_rounds, first):
    """The counts, and by how much each round was decided."""
    picks, margins = [] if first is None else [first] * 5, []
    counts = [picks.count(number) for number in range(len(proba))]
    for _ in range(n_rounds):
        losses = {}
        for number, one in enumerate(proba):
            if counts[number] or sum(map(bool, counts)) < at_most:
                mean = np.mean([*(proba[pick] for pick in picks), one], axis=0)
                losses[number] = log_loss(y, mean, sample_weight=weight, labels=[0, 1])
        best, *others = sorted(losses, key=losses.get)
        margins += [losses[other] - losses[best] for other in others[:1]]
        picks.append(best)
        counts[best] += 1
    return counts, min(margins, default=1.0)


@given(
    seed=st.integers(0, 2**32 - 1),
    n_settings=st.integers(1, 6),
    n_rows=st.integers(1, 30),
    at_most=st.integers(1, 7),
    n_rounds=st.integers(1, 20),
    weighted=st.booleans(),
    first=st.none() | st.integers(0, 5),
)
def test_the_picks_are_those_of_a_loop(
    seed, n_settings, n_rows, at_most, n_rounds, weighted, first
):
    assume(first is None or first < n_settings)
    rng = np.random.default_rng(seed)
    y = rng.integers(2, size=n_rows)
    positive = rng.beta(0.7, 0.7, size=(n_settings, n_rows)).astype(np.float32)
    proba = np.stack([1 - positive.astype(float), positive], axis=2)
    weight = rng.choice([0.0, 0.5, 2.0], size=n_rows) if weighted else None
    assume(weight is None or weight.any())
    expected, margin = naive(proba, y, weight, at_most, n_rounds, first)
    assume(margin > 1e-9)
    likelihoods = proba[:, np.arange(n_rows), y]
    loss = partial(team.log_loss, weights=weight)
    found = team.picked(likelihoods, loss, at_most, n_rounds, first)
    assert found.tolist() == expected


def test_of_equal_ones_the_earlier_is_picked():
    one = np.array([0.9, 0.2, 0.6], dtype=np.float32)
    assert team.picked([one * 0.9, one, one], team.log_loss, 5).tolist() == [0, 20, 0]


def test_two_that_err_elsewhere_share_the_weight():
    likelihoods = np.array([[0.9, 0.1], [0.1, 0.9], [0.45, 0.45]])
    found = team.picked(likelihoods, team.log_loss, 5)
    assert found.sum() == team.ROUNDS
    # The first pick is the safest alone; the others outweigh it together.
    assert found[0] + found[1] > found[2] > 0
    assert team.picked(likelihoods, team.log_loss, 1).tolist() == [0, 0, 20]


def test_what_has_no_loss_is_not_picked():
    values = [np.array([1.0]), np.array([2.0]), np.array([3.0])]

    def loss(mean):
        return np.nan if mean[0] > 2.5 else -mean[0]

    # Of the third alone, but its mean with others has one.
    assert team.picked(values, loss, 1, 4).tolist() == [0, 4, 0]
    assert team.picked(values, loss, 3, 4).tolist() == [0, 2, 2]
    assert team.picked(values, lambda _: np.nan, 3).tolist() == [0, 0, 0]
    assert team.picked([], loss, 3).tolist() == []


def test_the_loss_is_that_of_scikit_learn_also_of_what_never_happens():
    proba = np.array([[0.0, 1.0], [0.3, 0.7], [1.0, 0.0]])
    y, weight = np.array([0, 1, 0]), np.array([0.5, 2.0, 1.0])
    likelihoods = proba[np.arange(3), y]
    expected = log_loss(y, proba, sample_weight=weight, normalize=False)
    assert team.log_loss(likelihoods, weight) == pytest.approx(expected, rel=1e-12)
    labels = np.array([[0.5, 0.0], [0.25, 1.0]])
    by_hand = -2 * (np.log(0.5) + np.log(EPS)) - 3 * np.log(0.25)
    assert team.log_loss(labels, np.array([2, 3])) == pytest.approx(by_hand, rel=1e-12)


# A search -----------------------------------------------------------------------------


def table(kind="binary", n=60):
    """Rows that are not quite separable, their classes and weights."""
    rng = np.random.default_rng(7)
    X, weight = rng.normal(size=(n, 4)), rng.uniform(0.5, 3, size=n)
    score = X + 1.3 * rng.normal(size=X.shape)
    if kind == "binary":
        return X, (score[:, 0] > 0).astype(int), weight
    if kind == "multiclass":
        return X, score[:, :3].argmax(axis=1), weight
    return X, (score[:, :3] > 0).astype(int), weight


def search(**parameters):
    defaults = {
        "lambds": GRID["lambd"],
        "keep_probs": GRID["keep_prob"],
        "cv": KFold(3),
        "n_refits": 4,
        "averaging": 0.0,
        "hidden_layer_sizes": (5, 4),
        "learning_rate_init": 0.03,
        "batch_size": 16,
        "max_iter": 20,
        "standardize": False,
        "random_state": 3,
    }
    return RegularizedMLPClassifierCV(**{**defaults, **parameters})


def of_rows_left_out(of, X, y, splits, classes=None, **fit_params):
    """The probabilities of each setting and split, by separate fits."""
    found = []
    for setting in ParameterGrid(GRID):
        found.append([])
        for train, test in splits:
            model = of.estimator.set_params(**setting)
            model.fit(
                X[train], y[train], **{k: v[train] for k, v in fit_params.items()}
            )
            proba = model.predict_proba(X[test])
            if classes is not None:
                whole = np.zeros((len(test), len(classes)))
                whole[:, np.searchsorted(classes, model.classes_)] = proba
                proba = whole
            found[-1].append(proba)
    return found


def loss_of(y, proba, weight=None):
    """For labels the sum of the losses of each label."""
    if y.ndim == 1:
        with np.errstate(divide="ignore"):
            p = proba[np.arange(len(y)), y]
        return np.average(-np.log(np.maximum(p, EPS)), weights=weight)
    return sum(
        log_loss(y[:, k], proba[:, k], sample_weight=weight, labels=[0, 1])
        for k in range(y.shape[1])
    )


def naive_team(found, loss, best, at_most=4, n_rounds=20):
    """The weight of each setting; a loss is of probabilities by split."""
    picks = [best] * 5
    for _ in range(n_rounds):
        losses = [
            np.inf
            if len({*picks, number}) > at_most
            else loss(
                [
                    np.mean([*(found[k][s] for k in picks), found[number][s]], axis=0)
                    for s in range(len(found[0]))
                ]
            )
            for number in range(len(found))
        ]
        picks.append(int(np.argmin(losses)))
    return np.bincount(picks, minlength=len(found)) / len(picks)


def pooled(y, splits, weight=None):
    """The loss of all rows left out together."""
    rows = np.concatenate([test for _, test in splits])
    of_rows = None if weight is None else weight[rows]
    return lambda of_splits: loss_of(y[rows], np.concatenate(of_splits), of_rows)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_the_team_is_that_of_separate_fits(kind, weighted):
    X, y, weight = table(kind)
    given = {"sample_weight": weight} if weighted else {}
    of = search().fit(X, y, **given)
    splits = list(KFold(3).split(X))
    found = of_rows_left_out(of, X, y, splits, **given)
    expected = naive_team(
        found, pooled(y, splits, weight if weighted else None), of.best_index_
    )
    np.testing.assert_allclose(of.team_weights_, expected, atol=1e-12)
    assert np.count_nonzero(expected) > 1
    # It is fitted to all rows, as an ensemble of its own would be.
    members = np.flatnonzero(expected)
    settings = [of.cv_results_["params"][number] for number in members]
    ensemble = _ensemble.RegularizedMLPEnsemble(
        [of.estimator.set_params(**setting) for setting in settings],
        4,
        weights=expected[members],
    ).fit(X, y, **given)
    np.testing.assert_array_equal(of.predict_proba(X), ensemble.predict_proba(X))
    np.testing.assert_array_equal(of.best_estimator_.weights_, ensemble.weights_)
    assert len(of.best_estimator_.estimators_) == 4
    assert of.n_iter_ == ensemble.n_iter_ == 20


@pytest.mark.parametrize("scoring", ["auto", "neg_log_loss", "accuracy"])
def test_what_grid_search_says_is_the_same_with_and_without_a_team(scoring):
    X, y, _ = table("multiclass")
    best, of_team, kept = (
        search(scoring=scoring, **parameters).fit(X, y)
        for parameters in ({"final_model": "best"}, {}, {"oof_proba": True})
    )
    for other in (of_team, kept):
        assert list(other.cv_results_) == list(best.cv_results_)
        for key, expected in best.cv_results_.items():
            if not key.endswith("_time"):
                np.testing.assert_array_equal(other.cv_results_[key], expected)
        for name in ("best_index_", "best_params_", "best_score_"):
            assert getattr(other, name) == getattr(best, name)
    np.testing.assert_array_equal(kept.team_weights_, of_team.team_weights_)
    expected = np.arange(6) == best.best_index_
    np.testing.assert_array_equal(best.team_weights_, expected)
    for network in best.best_estimator_.estimators_:
        assert network.lambd == best.lambd_
    assert len(best.best_estimator_.estimators_) == 4


def test_there_are_no_more_settings_than_networks():
    X, y, _ = table()
    for n_refits in (2, 3):
        of = search(n_refits=n_refits).fit(X, y)
        splits = list(KFold(3).split(X))
        found = of_rows_left_out(of, X, y, splits)
        expected = naive_team(found, pooled(y, splits), of.best_index_, n_refits)
        np.testing.assert_allclose(of.team_weights_, expected, atol=1e-12)
        assert np.count_nonzero(of.team_weights_) <= n_refits
        assert len(of.best_estimator_.estimators_) == n_refits


def second(results):
    return 1


@pytest.mark.parametrize(
    "parameters",
    [
        {"n_refits": 1},
        {"refit": second},
        {"lambds": [3.0], "keep_probs": [0.6]},
    ],
)
def test_where_there_is_no_team_it_is_the_setting_alone(parameters):
    X, y, _ = table()
    of = search(**parameters).fit(X, y)
    expected = search(**parameters, final_model="best").fit(X, y)
    np.testing.assert_array_equal(of.predict_proba(X), expected.predict_proba(X))
    assert of.team_weights_.tolist() == expected.team_weights_.tolist()
    assert of.team_weights_[of.best_index_] == 1
    if of.n_refits == 1:
        assert type(of.best_estimator_) is RegularizedMLPClassifier
    else:
        assert of.best_estimator_.estimator.lambd == of.lambd_


def test_without_a_refit_there_is_no_team():
    X, y, _ = table()
    of = search().fit(X, y)
    assert hasattr(of, "team_weights_")
    of.set_params(refit=False).fit(X, y)
    for name in ("team_weights_", "oof_proba_", "best_estimator_"):
        assert not hasattr(of, name)
    of = search(refit=False, scoring=["accuracy", "roc_auc"], oof_proba=True).fit(X, y)
    assert not hasattr(of, "oof_proba_")


# Rows, classes and trainings ----------------------------------------------------------


def test_rows_of_weight_zero_do_not_count():
    X, y, weight = table()
    weight = weight * (np.arange(60) % 4 > 0)
    of = search().fit(X, y, weight)
    # Their classes may be any, also one that no other row has.
    other = np.where(weight > 0, y, 7)
    with_others = search().fit(X, other, weight)
    np.testing.assert_array_equal(of.team_weights_, with_others.team_weights_)
    splits = list(KFold(3).split(X))
    found = of_rows_left_out(of, X, y, splits, sample_weight=weight)
    expected = naive_team(found, pooled(y, splits, weight), of.best_index_)
    np.testing.assert_allclose(of.team_weights_, expected, atol=1e-12)
    huge = search(lambds=[0.0]).fit(X, y, weight * 2.0**1010)
    small = search(lambds=[0.0]).fit(X, y, weight)
    np.testing.assert_array_equal(huge.team_weights_, small.team_weights_)


@pytest.mark.filterwarnings("ignore:The least populated class")
@pytest.mark.filterwarnings("ignore:The number of unique classes")
def test_a_class_that_a_fold_lacks_has_the_probability_zero():
    X, y, _ = table("multiclass")
    words = np.array(["a", "bb", "c", "new"])[y]
    words[:20] = "new"
    words[20:23] = "bb"
    of = search(oof_proba=True).fit(X, words)
    classes = ["a", "bb", "c", "new"]
    assert of.classes_.tolist() == classes
    splits = list(KFold(3).split(X))
    found = of_rows_left_out(of, X, words, splits, classes)
    codes = np.searchsorted(classes, words)
    expected = naive_team(found, pooled(codes, splits), of.best_index_)
    np.testing.assert_allclose(of.team_weights_, expected, atol=1e-12)
    assert (of.oof_proba_[:20, 3] == 0).all()
    np.testing.assert_allclose(of.oof_proba_.sum(axis=1), 1)


def test_a_fold_with_one_class_alone():
    X, y, _ = table()
    y[20:] = 1
    y[:20] = np.arange(20) % 2
    of = search(oof_proba=True).fit(X, y)
    np.testing.assert_allclose(of.oof_proba_[:20], [[0, 1]] * 20)
    assert of.team_weights_.sum() == pytest.approx(1)


failures_are_known = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.FitFailedWarning",
    "ignore:One or more of the test scores:UserWarning",
)


@failures_are_known
def test_a_setting_that_failed_is_not_in_the_team():
    X, y, _ = table()
    of = search(lambds=[0.1, 1e9, 3.0], solver="sgd", error_score=-99.0)
    of.fit(X, y)
    failed = np.array([p["lambd"] == 1e9 for p in of.cv_results_["params"]])
    assert (of.team_weights_[failed] == 0).all()
    others = search(lambds=[0.1, 3.0], solver="sgd").fit(X, y)
    np.testing.assert_array_equal(of.team_weights_[~failed], others.team_weights_)
    np.testing.assert_array_equal(of.predict_proba(X), others.predict_proba(X))


@failures_are_known
def test_if_each_failed_somewhere_the_best_is_alone(monkeypatch):
    X, y, _ = table()
    of = search(oof_proba=True)
    fit = RegularizedMLPClassifier.fit

    def at_times(self, X, y, **params):
        # In the first split the ten rows of the test are no rows of the training.
        if len(X) == 50:
            raise ValueError("not today")
        return fit(self, X, y, **params)

    monkeypatch.setattr(RegularizedMLPClassifier, "fit", at_times)
    monkeypatch.setattr("skreg._models.candidates._fit_together", at_times)
    splits = [(np.arange(10, 60), np.arange(10)), (np.arange(40), np.arange(40, 60))]
    of.set_params(cv=splits, error_score=0.0)
    of.fit(X, y)
    assert of.team_weights_[of.best_index_] == 1
    assert np.isnan(of.oof_proba_[:40]).all()
    assert np.isfinite(of.oof_proba_[40:]).all()


@pytest.mark.parametrize(
    "cv",
    [
        RepeatedKFold(n_splits=2, n_repeats=2, random_state=0),
        ShuffleSplit(3, test_size=0.3, random_state=0),
        [(np.arange(30), np.arange(30, 50)), (np.arange(10, 60), np.arange(10))],
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_each_row_counts_as_often_as_it_is_left_out(cv, kind):
    X, y, weight = table(kind)
    of = search(cv=cv, oof_proba=True).fit(X, y, weight)
    splits = cv if isinstance(cv, list) else list(cv.split(X))
    found = of_rows_left_out(of, X, y, splits, sample_weight=weight)
    expected = naive_team(found, pooled(y, splits, weight), of.best_index_)
    np.testing.assert_allclose(of.team_weights_, expected, atol=1e-12)
    rows = [[] for _ in X]
    for s, (_, test) in enumerate(splits):
        mean = np.average([of_splits[s] for of_splits in found], 0, expected)
        for row, proba in zip(test, mean, strict=True):
            rows[row].append(proba)
    for row, proba in zip(rows, of.oof_proba_, strict=True):
        if row:
            np.testing.assert_allclose(proba, np.mean(row, axis=0), rtol=1e-7)
        else:
            assert np.isnan(proba).all()


def test_masks_and_negative_numbers_are_rows_too():
    X, y, _ = table()
    first = np.arange(60) < 30
    numbers = [(np.arange(30), np.arange(30, 60)), (np.arange(30, 60), np.arange(30))]
    others = [(first, ~first), (np.arange(-30, 0), np.arange(-60, -30))]
    expected = search(cv=numbers, oof_proba=True).fit(X, y)
    found = search(cv=others, oof_proba=True).fit(X, y)
    np.testing.assert_array_equal(found.team_weights_, expected.team_weights_)
    np.testing.assert_array_equal(found.oof_proba_, expected.oof_proba_)


# A score of one's own -----------------------------------------------------------------


def doubt(model, X, y):
    """A score of probabilities that is no loss, and best where nothing is sure."""
    return -float(np.mean(model.predict_proba(X).max(axis=1)))


def by_mean_of_splits(score, y, splits):
    return lambda of_splits: (
        -np.mean(
            [
                score(y[test], proba)
                for (_, test), proba in zip(splits, of_splits, strict=True)
            ]
        )
    )


def auc(y, proba):
    """The share of the pairs of a positive and a negative that are in order."""
    positive = proba[y == 1, 1][:, np.newaxis]
    negative = proba[y == 0, 1]
    return np.mean((positive > negative) + 0.5 * (positive == negative))


def brier(y, proba):
    return -np.mean((y - proba[:, 1]) ** 2)


SCORES = {
    "neg_log_loss": lambda y, proba: -loss_of(y, proba),
    "neg_brier_score": brier,
    "roc_auc": auc,
    "own": lambda y, proba: -np.mean(proba.max(axis=1)),
}


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("refit", ["one", "several", "function"])
def test_a_score_of_probabilities_chooses_by_its_mean(name, refit):
    X, y, _ = table()
    cv = StratifiedKFold(3)
    splits = list(cv.split(X, y))
    scorer = doubt if name == "own" else name
    parameters = {"scoring": scorer}
    if refit == "several":
        parameters = {"scoring": {"a": "accuracy", "b": scorer}, "refit": "b"}
    if refit == "function":
        scorer = get_scorer(name) if name != "own" else doubt
        parameters = {"refit": "b"}
        parameters["scoring"] = lambda *rows: {"a": 1.0, "b": scorer(*rows)}
    of = search(cv=cv, **parameters).fit(X, y)
    found = of_rows_left_out(of, X, y, splits)
    expected = naive_team(
        found, by_mean_of_splits(SCORES[name], y, splits), of.best_index_
    )
    np.testing.assert_allclose(of.team_weights_, expected, atol=1e-12)
    if name in ("own", "roc_auc"):
        by_loss = naive_team(found, pooled(y, splits), of.best_index_)
        assert np.abs(expected - by_loss).max() > 0.1


def asks_for_weights(model, X, y):
    return -float(np.square(model.coefs_[0]).sum())


@pytest.mark.parametrize(
    ("scoring", "refit"),
    [
        ("accuracy", True),
        ("f1", True),
        (None, True),
        (asks_for_weights, True),
        (["roc_auc", "accuracy"], "accuracy"),
        (make_scorer(lambda y, found: np.mean(y == found)), True),
    ],
)
def test_any_other_score_leaves_it_to_the_loss(scoring, refit):
    X, y, _ = table()
    of = search(scoring=scoring, refit=refit).fit(X, y)
    splits = list(KFold(3).split(X))
    found = of_rows_left_out(of, X, y, splits)
    expected = naive_team(found, pooled(y, splits), of.best_index_)
    np.testing.assert_allclose(of.team_weights_, expected, atol=1e-12)


@pytest.mark.slow
def test_a_score_of_labels_and_of_float32():
    X, y, _ = table("multilabel")
    splits = list(KFold(3).split(X))

    def mean_auc(y, proba):
        return np.mean(
            [auc(y[:, k], np.stack([1 - p, p], 1)) for k, p in enumerate(proba.T)]
        )

    of = search(scoring="roc_auc").fit(X, y)
    found = of_rows_left_out(of, X, y, splits)
    expected = naive_team(found, by_mean_of_splits(mean_auc, y, splits), of.best_index_)
    np.testing.assert_allclose(of.team_weights_, expected, atol=1e-12)
    X, y, _ = table("multiclass")
    of = search(scoring="neg_log_loss", oof_proba=True).fit(X.astype(np.float32), y)
    assert of.oof_proba_.dtype == np.float64
    # Without the warning that they do not add up to one.
    assert log_loss(y, of.oof_proba_) == pytest.approx(loss_of(y, of.oof_proba_))


def test_a_score_that_fails_has_the_error_score():
    X, y, _ = table()

    def fails_later(model, X, y):
        if len(y) < 60 and type(model) is not RegularizedMLPClassifier:
            raise RuntimeError("not of a team")
        return log_loss(y, model.predict_proba(X), labels=[0, 1])

    of = search(scoring=fails_later).fit(X, y)
    assert of.team_weights_[of.best_index_] == 1
    with pytest.raises(RuntimeError, match="not of a team"):
        search(scoring=fails_later, error_score="raise").fit(X, y)


def test_weights_reach_the_score_as_its_request_says():
    X, y, weight = table()
    splits = list(KFold(3).split(X))
    with config_context(enable_metadata_routing=True):
        scorer = get_scorer("neg_log_loss").set_score_request(sample_weight=True)
        other = get_scorer("accuracy").set_score_request(sample_weight=False)
        of = search(scoring={"a": other, "b": scorer}, refit="b")
        of.fit(X, y, sample_weight=weight)
        found = of_rows_left_out(of, X, y, splits, sample_weight=weight)

    def loss(of_splits):
        return np.mean(
            [
                loss_of(y[test], proba, weight[test])
                for (_, test), proba in zip(splits, of_splits, strict=True)
            ]
        )

    expected = naive_team(found, loss, of.best_index_)
    np.testing.assert_allclose(of.team_weights_, expected, atol=1e-12)


# Probabilities of rows left out -------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_those_of_the_best_setting_are_those_of_cross_val_predict(kind):
    X, y, _ = table(kind)
    for parameters in ({"final_model": "best"}, {"refit": False}, {"n_refits": 1}):
        of = search(oof_proba=True, **parameters).fit(X, y)
        model = of.estimator.set_params(**of.best_params_)
        expected = cross_val_predict(model, X, y, cv=KFold(3), method="predict_proba")
        np.testing.assert_allclose(of.oof_proba_, expected, rtol=1e-9)
    assert not hasattr(search().fit(X, y), "oof_proba_")


def test_nothing_is_left_of_them_after_another_fit():
    X, y, _ = table()
    of = search(oof_proba=True).fit(X, y)
    assert of.oof_proba_.shape == (60, 2)
    assert not hasattr(of.set_params(oof_proba=False).fit(X, y), "oof_proba_")


def kept_of(of, X, y, monkeypatch):
    """The arrays that are kept while a search fits."""
    found = []

    def spied(self, results, best):
        found.extend(each.get("held_out") for each in results)
        return weights(self, results, best)

    weights = HeldOut.weights
    monkeypatch.setattr(HeldOut, "weights", spied)
    of.fit(X, y)
    monkeypatch.undo()
    return found


def test_no_more_is_kept_than_the_choice_needs(monkeypatch):
    for kind, shape in zip(KINDS, [(20,), (20,), (20, 3)], strict=True):
        X, y, _ = table(kind)
        for scoring in ("auto", "accuracy"):
            kept = kept_of(search(scoring=scoring), X, y, monkeypatch)
            assert len(kept) == 18
            assert {(each.shape, each.dtype.name) for each in kept} == {
                (shape, "float32")
            }
    X, y, _ = table("multiclass")
    for parameters in ({"oof_proba": True}, {"scoring": "neg_log_loss"}):
        kept = kept_of(search(**parameters), X, y, monkeypatch)
        assert {each.shape for each in kept} == {(20, 3)}
    for parameters in ({"final_model": "best"}, {"n_refits": 1}, {"refit": second}):
        assert kept_of(search(**parameters), X, y, monkeypatch) == [None] * 18


# What goes with a search --------------------------------------------------------------


@pytest.mark.slow
def test_processes_change_nothing():
    X, y, _ = table("multiclass")
    of = search(oof_proba=True, scoring="neg_log_loss")
    expected = clone(of).fit(X, y)
    with parallel_config("loky", n_jobs=2):
        of.fit(X, y)
    np.testing.assert_array_equal(of.team_weights_, expected.team_weights_)
    np.testing.assert_allclose(of.oof_proba_, expected.oof_proba_, rtol=1e-9)


def test_copies_names_and_files(tmp_path):
    io = pytest.importorskip("skreg.io")
    X, y, _ = table()
    named = pd.DataFrame(X, columns=list("abcd"))
    of = search(oof_proba=True, cv=3).fit(named, y)
    assert of.feature_names_in_.tolist() == list("abcd")
    io.dump(of, tmp_path / "search.skops")
    copies = [copy.deepcopy(of), pickle.loads(pickle.dumps(of))]
    for other in [*copies, io.load(tmp_path / "search.skops")]:
        np.testing.assert_array_equal(other.team_weights_, of.team_weights_)
        np.testing.assert_array_equal(other.oof_proba_, of.oof_proba_)
        np.testing.assert_array_equal(
            other.predict_proba(named), of.predict_proba(named)
        )


def test_a_random_state_is_one_for_the_team():
    X, y, _ = table()
    of = search(random_state=np.random.RandomState(5))
    found = [clone(of).fit(X, y).predict_proba(X) for _ in range(2)]
    np.testing.assert_array_equal(*found)


@pytest.mark.slow
def test_a_team_with_early_stopping_and_a_scorer():
    X, y, _ = table("multilabel")
    scorer = make_scorer(lambda y, found: np.mean(y == found))
    of = search(early_stopping=True, early_stopping_scoring=scorer, max_iter=20)
    with no_convergence_warning():
        of.fit(X, y)
    assert np.count_nonzero(of.team_weights_) > 1
    with no_convergence_warning():
        assert len(clone(of.best_estimator_).fit(X, y).estimators_) == 4


@pytest.mark.parametrize("verbose", [0, 1])
def test_the_team_is_printed(verbose, capsys):
    X, y, _ = table()
    of = search(verbose=verbose).fit(X, y)
    lines = [line for line in capsys.readouterr().out.splitlines() if "Team" in line]
    members = [
        f"{weight:.2f} of {of.cv_results_['params'][number]}"
        for number, weight in enumerate(of.team_weights_)
        if weight
    ]
    assert lines == ["Team: " + ", ".join(members)] * verbose


def test_a_bad_final_model_is_named():
    with pytest.raises(ValueError, match="'final_model' parameter"):
        search(final_model="all").fit(*table()[:2])
    with pytest.raises(ValueError, match="'oof_proba' parameter"):
        search(oof_proba="yes").fit(*table()[:2])
