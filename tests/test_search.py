"""``RegularizedMLPClassifierCV`` against ``GridSearchCV`` over separate fits."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, get_scorer, make_scorer
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    StratifiedKFold,
)

from skreg import RegularizedMLPClassifier, RegularizedMLPClassifierCV, _stacks
from skreg._stacks import train_together

KINDS = ["binary", "multiclass", "multilabel"]
LAMBDS = (0.1, 5.0)
KEEP_PROBS = (0.6, 1.0)
SEARCH = [
    "cv",
    "scoring",
    "refit",
    "n_jobs",
    "return_train_score",
    "error_score",
    "verbose",
]

# Set-up ------------------------------------------------------------------------------


def table(kind="binary", n=47):
    """Rows that are not quite separable, their classes and weights."""
    rng = np.random.default_rng(1)
    X, weight = rng.normal(size=(n, 4)), rng.uniform(0.5, 3, size=n)
    score = X + rng.normal(size=X.shape)
    if kind == "binary":
        return X, (score[:, 0] > 0).astype(int), weight
    if kind == "multiclass":
        return X, score[:, :3].argmax(axis=1), weight
    return X, (score[:, :3] > 0).astype(int), weight


def search(lambds=LAMBDS, keep_probs=KEEP_PROBS, **parameters):
    """A search that is quick and warns of nothing."""
    defaults = {
        "cv": 3,
        "scoring": "neg_log_loss",
        "hidden_layer_sizes": (5, 4),
        "learning_rate": "cosine",
        "learning_rate_init": 0.03,
        "batch_size": 16,
        "max_iter": 6,
        "random_state": 3,
    }
    return RegularizedMLPClassifierCV(lambds, keep_probs, **{**defaults, **parameters})


def separate(of):
    """The search that is to find the same: one fit for each setting and split."""
    parameters = of.get_params()
    grid = {
        "lambd": list(parameters.pop("lambds")),
        "keep_prob": list(parameters.pop("keep_probs")),
    }
    outer = {name: parameters.pop(name) for name in SEARCH}
    scoring = parameters.pop("early_stopping_scoring")
    model = RegularizedMLPClassifier(scoring=scoring, **parameters)
    return GridSearchCV(model, grid, **outer)


def probability(y, p, sample_weight=None):
    """The mean probability of what occurred, for all kinds of y."""
    y, p = np.asarray(y), np.asarray(p)
    if p.ndim == 2 and y.ndim == 1:
        p = p[np.arange(len(y)), y]
    else:
        p = np.where(y == 1, p, 1 - p).reshape(len(y), -1).mean(axis=1)
    return np.average(p, weights=sample_weight)


likelihood = make_scorer(probability, response_method="predict_proba")


def fit_both(of, X, y, **arguments):
    """The search and the separate one, fitted, and their warnings compared."""
    searches, texts = [clone(of), separate(of)], []
    for one in searches:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            one.fit(X, y, **arguments)
        texts.append([(w.category, str(w.message)) for w in caught])
    kinds = [[category for category, _ in texts_of] for texts_of in texts]
    assert kinds[0] == kinds[1]
    return *searches, texts[0]


def assert_same(mine, theirs, X, atol=1e-9):
    """All results are the same, but for the times."""
    assert mine.cv_results_["params"] == theirs.cv_results_["params"]
    assert list(mine.cv_results_) == list(theirs.cv_results_)
    for key, expected in theirs.cv_results_.items():
        found = mine.cv_results_[key]
        if key.endswith("_time"):
            assert found.shape == expected.shape
            assert (found >= 0).all()
        elif key.startswith("param_"):
            assert found.dtype == expected.dtype
            np.testing.assert_array_equal(found, expected)
        elif "score" in key or "_test_" in key or "_train_" in key:
            np.testing.assert_allclose(found, expected, rtol=0, atol=atol, err_msg=key)
    for name in ["best_index_", "best_params_", "n_splits_", "multimetric_"]:
        assert hasattr(mine, name) == hasattr(theirs, name)
        if hasattr(theirs, name):
            assert getattr(mine, name) == getattr(theirs, name)
    assert hasattr(mine, "best_score_") == hasattr(theirs, "best_score_")
    if hasattr(theirs, "best_score_"):
        assert mine.best_score_ == pytest.approx(theirs.best_score_, abs=atol)
    assert hasattr(mine, "best_estimator_") == hasattr(theirs, "best_estimator_")
    if hasattr(theirs, "best_estimator_"):
        assert mine.lambd_ == mine.best_params_["lambd"]
        assert mine.keep_prob_ == mine.best_params_["keep_prob"]
        assert mine.n_iter_ == theirs.best_estimator_.n_iter_
        np.testing.assert_array_equal(mine.classes_, theirs.classes_)
        np.testing.assert_array_equal(mine.predict(X), theirs.predict(X))
        np.testing.assert_array_equal(mine.predict_proba(X), theirs.predict_proba(X))


@pytest.fixture
def stacks(monkeypatch):
    """The results of each stack that was trained."""
    found = []

    def spied(models, *arguments, **keywords):
        found.append(train_together(models, *arguments, **keywords))
        return found[-1]

    monkeypatch.setattr(_stacks, "train_together", spied)
    return found


def epochs_of(stack):
    return [trained.result.n_epochs for trained in stack]


# The same answer ---------------------------------------------------------------------

STOPPING = {
    "no": {},
    "loss": {"early_stopping": True},
    "scorer": {"early_stopping": True, "early_stopping_scoring": likelihood},
}


@pytest.mark.parametrize("stopping", STOPPING)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_answer_as_separate_fits(kind, weighted, stopping, stacks):
    """The folds have 16, 16 and 15 rows."""
    X, y, weight = table(kind)
    of = search(
        (0.1, 2.0, 50.0),
        cv=KFold(3, shuffle=True, random_state=0),
        scoring={"likelihood": likelihood, "accuracy": make_scorer(accuracy_score)},
        refit="likelihood",
        return_train_score=True,
        learning_rate="constant",
        max_iter=25,
        n_iter_no_change=3,
        **STOPPING[stopping],
    )
    fit_params = {"sample_weight": weight} if weighted else {}
    mine, theirs, _ = fit_both(of, X, y, **fit_params)
    assert_same(mine, theirs, X)
    assert np.ptp(mine.cv_results_["mean_test_likelihood"]) > 1e-3
    # All six settings of a split were one stack.
    assert [len(stack) for stack in stacks] == [6, 6, 6]
    if stopping != "no":
        # Networks have left it, some before others.
        assert max(len(set(epochs_of(stack))) for stack in stacks) > 2


OTHER_SETTINGS = {
    "sgd, adaptive": {
        "solver": "sgd",
        "learning_rate": "adaptive",
        "learning_rate_init": 0.2,
        "n_iter_no_change": 1,
        "tol": 0.01,
        "max_iter": 12,
    },
    "sgd, invscaling": {"solver": "sgd", "learning_rate": "invscaling"},
    "sgd without momentum": {"solver": "sgd", "momentum": 0.0},
    "sgd, not Nesterov": {"solver": "sgd", "nesterovs_momentum": False},
    "adam, adaptive": {
        "learning_rate": "adaptive",
        "n_iter_no_change": 1,
        "tol": 0.02,
        "max_iter": 20,
    },
    "adam, other constants": {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3},
    "tanh": {"activation": "tanh"},
    "max_norm": {"max_norm": 0.8},
    "input_keep_prob": {"input_keep_prob": 0.7},
    "class_weight": {"class_weight": "balanced"},
    "no shuffle": {"shuffle": False},
    "full batch": {"batch_size": "full"},
    "auto batch": {"batch_size": "auto"},
    "batches of 7": {"batch_size": 7},
    "train_scores": {
        "train_scores": True,
        "early_stopping": True,
        "early_stopping_scoring": "accuracy",
    },
    "a RandomState": {"random_state": np.random.RandomState(5)},
    "one hidden layer": {"hidden_layer_sizes": 6},
    "by layer": {
        "lambds": [(0.0, 1.0, 9.0), 2.0, (2, 2, 2)],
        "keep_probs": [(0.5, 0.9), (1.0, 0.7), 0.5, (0.5, 0.5)],
    },
    "all with dropout": {"keep_probs": (0.9, 0.5)},
    "none with dropout": {"keep_probs": [1]},
    "no penalty": {"lambds": [0], "keep_probs": (0.3, 0.5, 0.7)},
    "twice the same": {"lambds": (1.0, 1.0)},
    "arrays": {"lambds": np.geomspace(0.1, 10, 3), "keep_probs": np.array([0.5, 1])},
}


@pytest.mark.parametrize("name", OTHER_SETTINGS)
def test_the_same_answer_with_other_settings(name, stacks):
    X, y, _ = table()
    of = search(**{"cv": 2, **OTHER_SETTINGS[name]})
    mine, theirs, _ = fit_both(of, X, y)
    assert_same(mine, theirs, X)
    n_settings = len(of.lambds) * len(of.keep_probs)
    assert [len(stack) for stack in stacks] == [n_settings] * 2


def test_the_same_answer_in_float32(stacks):
    X, y, _ = table("multiclass")
    mine, theirs, _ = fit_both(search(), X.astype(np.float32), y)
    assert_same(mine, theirs, X.astype(np.float32), atol=1e-5)
    assert len(stacks) == 3
    assert mine.best_estimator_.coefs_[0].dtype == np.float32


def test_adaptive_rates_differ_within_a_stack(stacks):
    """Or the test above would say little."""
    X, y, _ = table()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        search(cv=2, **OTHER_SETTINGS["sgd, adaptive"]).fit(X, y)
    rates = [{trained.result.learning_rate for trained in stack} for stack in stacks]
    assert max(map(len, rates)) > 1


@settings(max_examples=8)
@given(
    kind=st.sampled_from(KINDS),
    weighted=st.booleans(),
    parameters=st.fixed_dictionaries(
        {
            "lambds": st.lists(
                st.sampled_from([0, 0.3, 2, (0.0, 1.0, 5.0)]), min_size=1, max_size=3
            ),
            "keep_probs": st.lists(
                st.sampled_from([0.4, 0.8, 1, (0.5, 1.0)]), min_size=1, max_size=3
            ),
            "cv": st.sampled_from([2, KFold(3), [(range(11), range(20, 40))]]),
            "activation": st.sampled_from(["relu", "tanh", "logistic", "identity"]),
            "solver": st.sampled_from(["adam", "sgd"]),
            "learning_rate": st.sampled_from(
                ["constant", "adaptive", "invscaling", "cosine"]
            ),
            "batch_size": st.sampled_from([3, 10, "full"]),
            "shuffle": st.booleans(),
            "max_norm": st.sampled_from([None, 1.0]),
            "input_keep_prob": st.sampled_from([1.0, 0.8]),
            "early_stopping": st.booleans(),
            "early_stopping_scoring": st.sampled_from(["loss", likelihood]),
            "n_iter_no_change": st.integers(1, 4),
            "random_state": st.integers(0, 9),
        }
    ),
)
def test_the_same_answer_with_any_settings(kind, weighted, parameters):
    X, y, weight = table(kind, n=41)
    of = search(scoring=likelihood, **{**parameters, "max_iter": 8})
    fit_params = {"sample_weight": weight} if weighted else {}
    mine, theirs, _ = fit_both(of, X, y, **fit_params)
    assert_same(mine, theirs, X)


@pytest.mark.slow
@settings(max_examples=150)
@given(data=st.data())
def test_the_same_answer_with_any_settings_at_length(data):
    test = test_the_same_answer_with_any_settings.hypothesis
    given_arguments = test._given_kwargs
    test.inner_test(**{k: data.draw(v) for k, v in given_arguments.items()})


def test_no_seed_is_fresh_entropy():
    X, y, _ = table()
    scores = [
        search(cv=2, random_state=None).fit(X, y).cv_results_["mean_test_score"]
        for _ in range(2)
    ]
    assert not np.array_equal(*scores)


def test_numpys_global_stream_is_not_touched():
    X, y, _ = table()
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    search(cv=2, random_state=None).fit(X, y)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


# The splits and the rows -------------------------------------------------------------


def test_groups_reach_the_splitter(stacks):
    X, y, weight = table()
    of = search(cv=GroupKFold(3))
    groups = np.arange(47) % 5
    mine, theirs, _ = fit_both(of, X, y, groups=groups, sample_weight=weight)
    assert_same(mine, theirs, X)
    other = clone(of).fit(X, y, groups=np.arange(47) % 3, sample_weight=weight)
    assert not np.allclose(
        other.cv_results_["mean_test_score"], mine.cv_results_["mean_test_score"]
    )


def test_an_iterable_of_splits():
    """Also one that can be gone through once only; the indices may be any sequence."""
    X, y, _ = table()
    splits = [(range(30), list(range(30, 47))), (range(10, 40), range(10))]
    expected = search(cv=splits).fit(X, y)
    assert expected.n_splits_ == 2
    assert_same(search(cv=iter(splits)).fit(X, y), expected, X)
    assert_same(expected, separate(search(cv=splits)).fit(X, y), X)


def test_none_and_an_int_are_stratified_folds():
    X, y, _ = table("multiclass")
    y = np.sort(y)
    by_default = search(cv=None).fit(X, y)
    assert by_default.n_splits_ == 5
    assert_same(by_default, search(cv=StratifiedKFold(5)).fit(X, y), X)


def test_folds_with_one_class_and_without_a_class():
    """Those with one class have a constant model; a missing one is not predicted."""
    X, y, _ = table("multiclass")
    of_class = [np.flatnonzero(y == code) for code in range(3)]
    splits = [
        (of_class[0], np.arange(47)),
        (np.concatenate(of_class[:2]), of_class[2]),
        (np.arange(40), np.arange(40, 47)),
    ]
    mine, theirs, _ = fit_both(search(cv=splits, scoring="accuracy"), X, y)
    assert_same(mine, theirs, X)
    np.testing.assert_array_equal(mine.cv_results_["split1_test_score"], 0)
    np.testing.assert_allclose(mine.cv_results_["split0_test_score"], np.mean(y == 0))


def test_one_class_in_all_rows():
    X, _, _ = table()
    of = search(cv=KFold(2), scoring="accuracy")
    mine, theirs, _ = fit_both(of, X, np.full(47, "a"))
    assert_same(mine, theirs, X)
    assert mine.best_score_ == 1


def test_rows_of_weight_zero_are_no_rows():
    X, y, weight = table()
    weight[::4] = 0
    mine, theirs, _ = fit_both(search(), X, y, sample_weight=weight)
    assert_same(mine, theirs, X)


def test_string_labels():
    X, y, _ = table("multiclass")
    names = np.array(["one", "two", "three"])
    mine, theirs, _ = fit_both(search(), X, names[y])
    assert_same(mine, theirs, X)
    assert mine.classes_.tolist() == ["one", "three", "two"]
    assert set(mine.predict(X)) <= set(names)


def test_lists_are_rows_too():
    X, y, weight = table()
    mine = search(cv=2).fit(X.tolist(), y.tolist(), weight.tolist())
    assert_same(mine, search(cv=2).fit(X, y, weight), X)


class Seen:
    """A scorer that notes what it is given."""

    def __init__(self):
        self.models, self.rows, self.classes = [], [], []

    def __call__(self, model, X, y, sample_weight=None):
        self.models.append(model)
        self.rows.append(X)
        self.classes.append(y)
        return likelihood(model, X, y, sample_weight=sample_weight)


def test_tables_with_names(stacks):
    X, y, weight = table()
    X = pd.DataFrame(X, columns=list("abcd"), index=range(100, 147))
    y, weight = pd.Series(y, index=X.index), pd.Series(weight, index=X.index)
    seen = Seen()
    mine = search(scoring=seen).fit(X, y, weight)
    assert len(stacks) == 3
    assert mine.feature_names_in_.tolist() == list("abcd")
    assert mine.best_estimator_.feature_names_in_.tolist() == list("abcd")
    assert mine.n_features_in_ == 4
    assert len(seen.rows) == 12
    splits = list(StratifiedKFold(3).split(X, y))
    for number, rows in enumerate(seen.rows):
        _, test = splits[number // 4]
        pd.testing.assert_frame_equal(rows, X.iloc[test])
        pd.testing.assert_series_equal(seen.classes[number], y.iloc[test])
    expected = separate(search(scoring=likelihood)).fit(X, y, sample_weight=weight)
    assert_same(mine, expected, X)


def test_a_scorer_sees_the_model_that_a_fit_would_leave(stacks):
    X, y, _ = table()
    seen = Seen()
    mine = search(scoring=seen, cv=2).fit(X, y)
    splits = list(StratifiedKFold(2).split(X, y))
    assert [len(stack) for stack in stacks] == [4, 4]
    for number, model in enumerate(seen.models):
        train, _ = splits[number // 4]
        expected = RegularizedMLPClassifier(**model.get_params()).fit(
            X[train], y[train]
        )
        assert type(model) is RegularizedMLPClassifier
        assert model.get_params() | mine.cv_results_["params"][number % 4] == (
            model.get_params()
        )
        assert sorted(vars(model)) == sorted(vars(expected))
        for a, b in zip(model.coefs_, expected.coefs_, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)


def test_own_rows_for_early_stopping_are_not_cut(stacks):
    """As many rows as X has are what GridSearchCV would cut up with it."""
    X, y, weight = table("multiclass")
    rng = np.random.default_rng(2)
    X_val, y_val = rng.normal(size=X.shape), rng.permutation(y)
    validation = {"X_val": X_val, "y_val": y_val, "sample_weight_val": weight[::-1]}
    of = search(
        cv=2, early_stopping=True, max_iter=20, n_iter_no_change=3, refit=False
    ).fit(X, y, weight, **validation)
    assert [len(stack) for stack in stacks] == [4, 4]
    scores = []
    for train, test in StratifiedKFold(2).split(X, y):
        for parameters in of.cv_results_["params"]:
            model = clone(of.estimator).set_params(**parameters)
            model.fit(X[train], y[train], weight[train], **validation)
            accepted = get_scorer("neg_log_loss")
            scores.append(accepted(model, X[test], y[test]))
    found = [of.cv_results_[f"split{split}_test_score"] for split in range(2)]
    if not _scorers_get_weights():
        np.testing.assert_allclose(np.ravel(found), scores, rtol=0, atol=1e-9)
    assert len(set(np.ravel(found))) == 8
    # The refit has them too.
    refitted = clone(of).set_params(refit=True).fit(X, y, weight, **validation)
    model = clone(of.estimator).set_params(**refitted.best_params_)
    model.fit(X, y, weight, **validation)
    assert refitted.best_estimator_.validation_scores_ == model.validation_scores_


def _scorers_get_weights():
    """Whether GridSearchCV hands weights on to scorers: it does from version 1.7 on."""
    got = []

    def scorer(model, X, y, sample_weight=None):
        got.append(sample_weight is not None)
        return 0.0

    X, y, weight = table()
    one_by_one = separate(search((1.0,), (1.0,), scoring=scorer, refit=False))
    one_by_one.fit(X, y, sample_weight=weight)
    return any(got)
