"""``RegularizedMLPClassifierCV`` against ``GridSearchCV`` over separate fits."""

import copy
import pickle
import re
import threading
import tracemalloc
import warnings
from itertools import combinations, product

import numpy as np
import pandas as pd
import pytest
from helpers import assert_same_weights, no_convergence_warning
from hypothesis import given, settings
from hypothesis import strategies as st
from joblib import parallel_config
from scipy import sparse
from scipy.stats import rankdata
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import make_moons
from sklearn.exceptions import ConvergenceWarning, FitFailedWarning, NotFittedError
from sklearn.metrics import accuracy_score, get_scorer, log_loss, make_scorer
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    PredefinedSplit,
    StratifiedKFold,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skreg import (
    RegularizedMLPClassifier,
    RegularizedMLPClassifierCV,
    RegularizedMLPEnsemble,
)
from skreg._models import candidates as _candidates
from skreg._models import ensemble as _ensemble
from skreg._models.scoring import MinusLoss, most_accurate_of_the_likely, splits_of
from skreg._network.propagation import STACK_BYTES, WORKSPACE_BYTES
from skreg._training.advice import FitAdviceWarning, RegularizationWarning
from skreg._training.fit import train
from skreg._training.rows import given_rows

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
    """A search that is quick and warns of nothing.

    What is the default of the search alone, and not of GridSearchCV, is left out.
    """
    defaults = {
        "cv": 2,
        # Checks less than scikit-learn's own metrics, so that scoring costs less.
        "scoring": likelihood,
        "final_model": "best",
        "n_refits": 1,
        "averaging": 0.0,
        "early_stopping_refit": False,
        "n_validation_splits": 1,
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
    assert parameters.pop("n_refits") == 1
    for name in ("final_model", "oof_proba"):
        del parameters[name]
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


def as_dict(model, X, y, sample_weight=None):
    return {"a": likelihood(model, X, y), "b": model.score(X, y)}


def fit_both(of, X, y, **arguments):
    """The search and the separate one, fitted, and their warnings compared."""
    searches, texts = [clone(of), separate(of)], []
    for one in searches:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            one.fit(X, y, **arguments)
        # Of the rows a search says it once, of strong penalties for the refit alone.
        told = [
            w
            for w in caught
            if w.category not in (RegularizationWarning, FitAdviceWarning)
        ]
        texts.append([(w.category, str(w.message)) for w in told])
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
        np.testing.assert_allclose(
            mine.predict_proba(X), theirs.predict_proba(X), rtol=0, atol=1e-12
        )


@pytest.fixture
def stacks(monkeypatch):
    """The results of each stack that was trained."""
    found, lock = [], threading.Lock()

    def spied(models, *arguments, **keywords):
        if len(models) == 1:
            return train(models, *arguments, **keywords)
        # None stays where it fails, so that nobody takes separate fits for a stack.
        with lock:
            number = len(found)
            found.append(None)
        found[number] = train(models, *arguments, **keywords)
        return found[number]

    monkeypatch.setattr(_candidates, "train", spied)
    monkeypatch.setattr(_ensemble, "train", spied)
    return found


def epochs_of(stack):
    return [trained.n_epochs for trained in stack]


# Without weights they are also equal, which the slow tests show.
SLOW = pytest.mark.slow

# The same answer ---------------------------------------------------------------------

STOPPING = {
    "no": {},
    "loss": {"early_stopping": True},
    "scorer": {"early_stopping": True, "early_stopping_scoring": likelihood},
    "loss, refit": {
        "early_stopping": True,
        "early_stopping_refit": True,
        "n_validation_splits": 2,
        "averaging": 0.9,
    },
}


# With all the rest that can differ, for each kind of classes; and what is left of it
# when networks do not stop, or are not trained again, for one.
FIRST = [(kind, stopping) for kind in KINDS for stopping in ("scorer", "loss, refit")]
FIRST += [("multiclass", "no"), ("multiclass", "loss")]


@pytest.mark.parametrize(
    ("kind", "weighted", "stopping"),
    [
        pytest.param(*case, marks=[] if case[1] and case[::2] in FIRST else SLOW)
        for case in product(KINDS, [False, True], STOPPING)
    ],
)
def test_the_same_answer_as_separate_fits(kind, weighted, stopping, stacks):
    """The folds have 24 and 23 rows."""
    X, y, weight = table(kind)
    of = search(
        (0.1, 2.0, 50.0),
        cv=KFold(2, shuffle=True, random_state=7),
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
    assert [len(stack) for stack in stacks] == [6, 6]
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
    "sgd without momentum, tanh": {
        "solver": "sgd",
        "momentum": 0.0,
        "activation": "tanh",
    },
    "sgd, not Nesterov, no shuffle": {
        "solver": "sgd",
        "nesterovs_momentum": False,
        "shuffle": False,
    },
    "adam, adaptive": {
        "learning_rate": "adaptive",
        "n_iter_no_change": 1,
        "tol": 0.02,
        "max_iter": 20,
    },
    "adam, other constants, batches of 7": {
        "beta_1": 0.5,
        "beta_2": 0.9,
        "epsilon": 1e-3,
        "batch_size": 7,
    },
    "max_norm, class_weight": {"max_norm": 0.8, "class_weight": "balanced"},
    "input_keep_prob, full batch": {"input_keep_prob": 0.7, "batch_size": "full"},
    "averaging, auto batch": {"averaging": 0.9, "batch_size": "auto"},
    "averaging, sgd": {"averaging": 0.9, "solver": "sgd", "learning_rate": "constant"},
    "trained again on all rows": {
        "early_stopping": True,
        "early_stopping_refit": True,
        "n_validation_splits": 2,
        "n_iter_no_change": 2,
        "max_iter": 20,
    },
    "trained again, by a scorer, with averaging": {
        "early_stopping": True,
        "early_stopping_refit": True,
        "n_validation_splits": 2,
        "early_stopping_scoring": likelihood,
        "averaging": 0.9,
    },
    "defaults of the classifier": {
        "early_stopping": "auto",
        "early_stopping_refit": "auto",
        "n_validation_splits": "auto",
        "averaging": 0.9,
    },
    "train_scores": {
        "train_scores": True,
        "early_stopping": True,
        "early_stopping_scoring": "accuracy",
    },
    "a RandomState, one hidden layer": {
        "random_state": np.random.RandomState(5),
        "hidden_layer_sizes": 6,
    },
    "by layer": {
        "lambds": [(0.0, 1.0, 9.0), 2.0, (2, 2, 2)],
        "keep_probs": [(0.5, 0.9), (1.0, 0.7), 0.5, (0.5, 0.5)],
    },
    "all with dropout": {"keep_probs": (0.9, 0.5)},
    "none with dropout": {"keep_probs": [1]},
    "no penalty": {"lambds": [0], "keep_probs": (0.3, 0.5, 0.7)},
    "arrays, twice the same": {
        "lambds": np.array([0.1, 0.1, 10]),
        "keep_probs": np.array([0.5, 1]),
    },
}


@pytest.mark.parametrize("name", OTHER_SETTINGS)
def test_the_same_answer_with_other_settings(name, stacks):
    X, y, _ = table()
    of = search(**OTHER_SETTINGS[name])
    mine, theirs, _ = fit_both(of, X, y)
    assert_same(mine, theirs, X)
    n_settings = len(of.lambds) * len(of.keep_probs)
    assert [len(stack) for stack in stacks] == [n_settings] * 2


def test_the_same_answer_in_float32(stacks):
    X, y, _ = table("multiclass")
    mine, theirs, _ = fit_both(search(), X.astype(np.float32), y)
    assert_same(mine, theirs, X.astype(np.float32), atol=1e-5)
    assert len(stacks) == 2
    assert mine.best_estimator_.coefs_[0].dtype == np.float32


def test_adaptive_rates_differ_within_a_stack(stacks):
    """Or the test above would say little."""
    X, y, _ = table()
    with no_convergence_warning():
        search(**OTHER_SETTINGS["sgd, adaptive"]).fit(X, y)
    rates = [{trained.learning_rate for trained in stack} for stack in stacks]
    assert max(map(len, rates)) > 1


ANY = {
    "kind": st.sampled_from(KINDS),
    "weighted": st.booleans(),
    "parameters": st.fixed_dictionaries(
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
            "early_stopping_refit": st.sampled_from([False, "auto"]),
            "n_validation_splits": st.just("auto"),
            "averaging": st.sampled_from([0.0, 0.9]),
            "early_stopping_scoring": st.sampled_from(["loss", likelihood]),
            "n_iter_no_change": st.integers(1, 4),
            "random_state": st.integers(0, 9),
        }
    ),
}


@settings(max_examples=6)
@given(**ANY)
def test_the_same_answer_with_any_settings(kind, weighted, parameters):
    X, y, weight = table(kind, n=41)
    of = search(scoring=likelihood, **{**parameters, "max_iter": 8})
    fit_params = {"sample_weight": weight} if weighted else {}
    try:
        mine, theirs, _ = fit_both(of, X, y, **fit_params)
    except ValueError:
        # All diverge: for the one that fits first as for the other.
        with pytest.raises(ValueError, match=r"No setting is the best|diverged"):
            of.fit(X, y, **fit_params)
        with pytest.raises(ValueError, match=r"diverged|All the .* fits failed"):
            separate(of).fit(X, y, **fit_params)
    else:
        assert_same(mine, theirs, X)


@pytest.mark.slow
@settings(max_examples=60)
@given(**ANY)
def test_the_same_answer_with_any_settings_at_length(kind, weighted, parameters):
    test_the_same_answer_with_any_settings.hypothesis.inner_test(
        kind, weighted, parameters
    )


def test_no_seed_is_fresh_entropy():
    X, y, _ = table()
    scores = [
        search(random_state=None).fit(X, y).cv_results_["mean_test_score"]
        for _ in range(2)
    ]
    assert not np.array_equal(*scores)


def test_numpys_global_stream_is_not_touched():
    X, y, _ = table()
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    search(random_state=None).fit(X, y)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


# The accuracy and the loss -----------------------------------------------------------


def log_likelihood(y, p, sample_weight=None):
    """The mean log-probability of what occurred; of labels, the sum of theirs."""
    y, p = np.asarray(y), np.asarray(p)
    if y.ndim == 2:
        log_p = np.log(np.where(y == 1, p, 1 - p)).sum(axis=1)
    else:
        codes = np.unique(y, return_inverse=True)[1]
        p = np.column_stack([1 - p, p]) if p.ndim == 1 else p
        log_p = np.log(p[np.arange(len(y)), codes])
    return np.average(log_p, weights=sample_weight)


def naive_choice(results):
    """Setting by setting: the most accurate whose loss is near the least."""
    tried = [
        (score, -minus_loss)
        for score, minus_loss in zip(
            results["mean_test_score"].tolist(),
            results["mean_test_loss"].tolist(),
            strict=True,
        )
    ]
    losses = [loss for score, loss in tried if score == score and loss == loss]
    best = None
    for number, (score, loss) in enumerate(tried):
        if score != score or (losses and not loss <= 1.05 * min(losses)):
            continue
        if best is None or score > tried[best][0]:
            best = number
        elif losses and score == tried[best][0]:
            best = min(best, number, key=lambda k: tried[k][1])
    return 0 if best is None else best


def separate_auto(of, **requests):
    """GridSearchCV with both scorers and the rule."""
    scorers = {
        "score": get_scorer("accuracy"),
        "loss": make_scorer(log_likelihood, response_method="predict_proba"),
    }
    if requests:
        scorers = {k: each.set_score_request(**requests) for k, each in scorers.items()}
    theirs = separate(of)
    return theirs.set_params(scoring=scorers, refit=naive_choice if of.refit else False)


def assert_same_auto(mine, theirs, X):
    """All but what a search with one scorer has and one with several has not."""
    chosen = naive_choice(theirs.cv_results_)
    assert mine.multimetric_ is False
    assert mine.best_score_ == mine.cv_results_["mean_test_score"][chosen]
    assert mine.best_index_ == chosen
    theirs.multimetric_, theirs.best_index_ = False, chosen
    theirs.best_score_ = theirs.cv_results_["mean_test_score"][chosen]
    theirs.best_params_ = theirs.cv_results_["params"][chosen]
    assert_same(mine, theirs, X)


@pytest.mark.parametrize(
    ("stopping", "kind", "weighted"),
    [
        # How the networks were trained matters little for how they are scored.
        pytest.param(
            *case, marks=[] if case[2] and {"no", "strings"} & {*case} else SLOW
        )
        for case in product(
            ["no", "refit"], [*KINDS, "strings", "two strings"], [False, True]
        )
    ],
)
def test_the_accuracy_and_the_loss_are_those_of_two_scorers(stopping, kind, weighted):
    stopping = {
        "no": {},
        "refit": {**STOPPING["loss, refit"], "max_iter": 15},
    }[stopping]
    of_numbers = {"strings": "multiclass", "two strings": "binary"}
    X, y, weight = table(of_numbers.get(kind, kind))
    if "strings" in kind:
        y = np.array(["one", "two", "three"])[y]
    of = search((0.1, 2.0, 50.0), scoring="auto", return_train_score=True, **stopping)
    fit_params = {"sample_weight": weight} if weighted else {}
    mine = clone(of).fit(X, y, **fit_params)
    theirs = separate_auto(of).fit(X, y, **fit_params)
    assert_same_auto(mine, theirs, X)
    for key in ("mean_test_loss", "std_train_loss", "split1_test_loss"):
        assert key in mine.cv_results_
    assert mine.score(X, y) == accuracy_score(y, mine.predict(X))


@pytest.mark.parametrize("kind", KINDS)
def test_routing_of_weights_to_both_scorers(kind):
    X, y, weight = table(kind)
    with config_context(enable_metadata_routing=True):
        mine = search(scoring="auto").fit(X, y, sample_weight=weight)
        theirs = separate_auto(search(scoring="auto"), sample_weight=True)
        theirs.estimator.set_fit_request(sample_weight=True)
        theirs.fit(X, y, sample_weight=weight)
        assert_same_auto(mine, theirs, X)
        assert mine.score(X, y, sample_weight=weight) == pytest.approx(
            accuracy_score(y, mine.predict(X), sample_weight=weight)
        )
        # Weights count in both.
        unweighted = separate_auto(search(scoring="auto"), sample_weight=False)
        unweighted.estimator.set_fit_request(sample_weight=True)
        unweighted.fit(X, y, sample_weight=weight)
    for name in ("score", "loss"):
        key = f"mean_test_{name}"
        assert not np.allclose(mine.cv_results_[key], unweighted.cv_results_[key])


SOME = [0.5, 0.8, 0.9, np.nan]
LOSSES = [0.4, 0.41, 0.4 * 1.05, np.nextafter(0.42, 1), 0.43, 3.0, np.inf, np.nan]


@settings(max_examples=300)
@given(
    st.lists(
        st.tuples(st.sampled_from(SOME), st.sampled_from(LOSSES)),
        min_size=1,
        max_size=8,
    )
)
def test_the_choice_is_that_of_a_loop(tried):
    scores, losses = np.array(tried).T
    worst = np.nan_to_num(scores, nan=-1.0)
    results = {
        "mean_test_score": scores,
        "mean_test_loss": -losses,
        "rank_test_score": rankdata(-worst, method="min").astype(np.int32),
    }
    assert most_accurate_of_the_likely(results) == naive_choice(results)


@pytest.mark.parametrize(
    ("scores", "losses", "expected"),
    [
        ([0.8, 0.9, 0.95], [1.0, 1.04, 1.06], 1),
        ([0.9, 0.9, 0.9], [1.02, 1.0, 1.01], 1),
        ([0.9, 0.9, 0.8], [1.0, 1.0, 1.0], 0),
        ([0.8, 0.9, 0.7], [np.nan, np.nan, 1.0], 2),
        ([np.nan, 0.9, 0.7], [np.nan, 1.0, 1.0], 1),
        ([0.8, 0.9, 0.7], [np.nan] * 3, 1),
        ([np.nan] * 3, [np.nan] * 3, 0),
        ([0.9, 0.8], [1.75e308, 1.74e308], 0),
        ([0.9, 0.8], [np.inf, 1.0], 1),
    ],
)
def test_the_choice_of_made_up_results(scores, losses, expected):
    results = {
        "mean_test_score": np.array(scores),
        "mean_test_loss": -np.array(losses),
        "rank_test_score": rankdata(-np.nan_to_num(scores, nan=-1.0), method="min"),
    }
    assert most_accurate_of_the_likely(results) == expected
    assert naive_choice(results) == expected


def test_the_loss_of_a_class_that_training_had_no_row_of_is_finite():
    X, y, _ = table("multiclass")
    of_class = [np.flatnonzero(y == code) for code in range(3)]
    splits = [
        (of_class[0], np.arange(47)),
        (np.concatenate(of_class[:2]), of_class[2]),
        (np.concatenate(of_class[::2]), np.arange(47)),
    ]
    names = np.array(["one", "two", "three"])[y]
    for labels in (y, names):
        mine = search(cv=splits, scoring="auto").fit(X, labels)
        never = np.log(np.finfo(float).eps)
        found = [mine.cv_results_[f"split{split}_test_loss"] for split in range(3)]
        np.testing.assert_allclose(found[0], never * np.mean(y != 0))
        np.testing.assert_allclose(found[1], never)
        for number, parameters in enumerate(mine.cv_results_["params"]):
            train, _ = splits[2]
            model = mine.estimator.set_params(**parameters).fit(X[train], labels[train])
            p = dict(zip(model.classes_, model.predict_proba(X).T, strict=True))
            assert len(p) == 2
            logs = [np.log(p[k][i]) if k in p else never for i, k in enumerate(labels)]
            assert found[2][number] == pytest.approx(np.mean(logs), abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_that_of_early_stopping(kind):
    X, y, weight = table(kind)
    model = RegularizedMLPClassifier(
        (5, 4), early_stopping=True, averaging=0.9, max_iter=10, random_state=0
    ).fit(X, y, X_val=X[::2], y_val=y[::2], sample_weight_val=weight[::2])
    assert MinusLoss()(model, X[::2], y[::2], weight[::2]) == pytest.approx(
        model.best_validation_score_
    )


def test_the_loss_of_rows_that_are_surely_wrong_is_finite():
    """Where the probabilities are 0 and 1."""
    X, y, _ = table()
    model = RegularizedMLPClassifier(
        (5,), early_stopping=False, max_iter=5, random_state=0
    ).fit(X, y)
    model.coefs_[-1] *= 1e6
    assert set(np.ravel(model.predict_proba(X))) >= {0.0, 1.0}
    logits = model.decision_function(X)
    expected = np.mean(np.minimum(np.where(y == 1, logits, -logits), 0))
    assert expected < -1000
    assert MinusLoss()(model, X, y) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_mean_of_huge_losses_does_not_overflow(kind):
    """By their weights, or by their number."""
    X, y, _ = table(kind)
    model = RegularizedMLPClassifier(
        (5,), early_stopping=False, max_iter=5, random_state=0
    ).fit(X, y)
    model.coefs_[-1] *= 1e300
    expected = MinusLoss()(model, X, y)
    assert -1e302 < expected < -1e298
    for weight in (1e10, 1e308, 1e-310):
        weights = np.full(len(X), weight)
        assert MinusLoss()(model, X, y, weights) == pytest.approx(expected, rel=1e-12)
    X, y = np.tile(X, (10, 1)), np.concatenate([y] * 10)
    model.coefs_[-1] *= 2e307 / abs(model.decision_function(X)).max()
    model.intercepts_[-1] *= 0
    parts = [
        MinusLoss()(model, *of)
        for of in zip(np.split(X, 47), np.split(y, 47), strict=True)
    ]
    # Of ten rows each.
    assert 10 * sum(parts) == -np.inf
    expected = np.sum(np.divide(parts, 47))
    for weights in (None, np.ones(470)):
        assert MinusLoss()(model, X, y, weights) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("kind", [np.float32, np.int8, list, pd.Series])
def test_weights_of_the_loss_may_be_of_any_kind(kind):
    X, y, _ = table()
    model = RegularizedMLPClassifier((5,), early_stopping=False, max_iter=5).fit(X, y)
    weights = np.arange(47) % 4 * 30
    expected = MinusLoss()(model, X, y, weights.astype(float))
    assert expected != MinusLoss()(model, X, y)
    assert MinusLoss()(model, X, y, kind(weights)) == pytest.approx(expected)


@pytest.mark.filterwarnings("ignore:.*columns of X have magnitudes far from 1")
def test_a_search_of_huge_losses_has_their_mean():
    """Their standard deviation overflows; that is no warning."""
    X, y, _ = table()
    X[-1] = 1e299
    splits = [(np.arange(40), np.arange(40, 47)), (np.arange(40), np.arange(30))]
    result = search(scoring="auto", cv=splits, refit=False).fit(X, y)
    losses = result.cv_results_["mean_test_loss"]
    assert np.isfinite(losses).all()
    assert losses.min() < -1e295


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.DataConversionWarning")
def test_a_column_of_classes_and_sparse_labels():
    X, y, _ = table("multiclass")
    for classes in (y, y > 0):
        expected = search(scoring="auto").fit(X, classes)
        assert_same(search(scoring="auto").fit(X, classes[:, None]), expected, X)
    X, y, _ = table("multilabel")
    expected = search(scoring="auto").fit(X, y)
    assert_same(search(scoring="auto").fit(X, sparse.csr_matrix(y)), expected, X)
    assert_same(search(scoring="auto").fit(X, pd.DataFrame(y)), expected, X)


def test_the_choice_without_a_refit_and_by_a_function():
    X, y, _ = table()
    of = search((0.1, 2.0, 50.0), scoring="auto")
    expected = clone(of).fit(X, y)
    without = clone(of).set_params(refit=False).fit(X, y)
    assert without.best_index_ == expected.best_index_
    assert without.best_score_ == expected.best_score_
    assert without.lambd_ == expected.lambd_
    assert not hasattr(without, "best_estimator_")
    seen = []

    def third(results):
        seen.append(results)
        return 2

    by_function = clone(of).set_params(refit=third).fit(X, y)
    assert by_function.best_index_ == 2
    assert by_function.best_params_ == expected.cv_results_["params"][2]
    assert not hasattr(by_function, "best_score_")
    assert seen[0] is by_function.cv_results_
    assert {"mean_test_score", "mean_test_loss"} <= seen[0].keys()
    assert by_function.score(X, y) == np.mean(by_function.predict(X) == y)


@pytest.mark.parametrize("refit", ["loss", "score", "accuracy"])
def test_a_name_for_refit_is_refused(refit, stacks):
    X, y, _ = table()
    with pytest.raises(ValueError, match=rf"refit='{refit}'.*'auto' has a rule"):
        search(scoring="auto", refit=refit).fit(X, y)
    assert stacks == []


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.FitFailedWarning")
@pytest.mark.filterwarnings("ignore:One or more of the t:UserWarning")
def test_failed_trainings_have_no_loss_and_are_not_chosen():
    X, y, _ = table()
    of = search((1e9, 1.0), scoring="auto", solver="sgd", return_train_score=True)
    mine, theirs = clone(of).fit(X, y), separate_auto(of).fit(X, y)
    assert_same_auto(mine, theirs, X)
    assert np.isnan(mine.cv_results_["mean_test_loss"]).sum() == 2
    for error_score in (0.0, 1.0):
        found = clone(of).set_params(error_score=error_score).fit(X, y)
        huge = np.array([each["lambd"] == 1e9 for each in found.cv_results_["params"]])
        for which in ("test", "train"):
            losses = found.cv_results_[f"mean_{which}_loss"]
            np.testing.assert_array_equal(np.isnan(losses), huge)
            scores = found.cv_results_[f"mean_{which}_score"]
            np.testing.assert_array_equal(scores[huge], error_score)
        assert found.lambd_ == 1.0
    with pytest.raises(ValueError, match="diverged"):
        of.set_params(error_score="raise").fit(X, y)


@pytest.mark.filterwarnings("ignore:Scoring failed:UserWarning")
@pytest.mark.filterwarnings("ignore:One or more of the t:UserWarning")
def test_scorers_that_fail_have_the_error_score():
    """Those of a split whose rows all weigh nothing."""
    X, y, weight = table()
    weight[:16] = 0
    of = search(scoring="auto", cv=KFold(3), error_score=-3.0)
    mine = clone(of).fit(X, y, weight)
    theirs = separate_auto(of).fit(X, y, sample_weight=weight)
    assert_same_auto(mine, theirs, X)
    if _scorers_get_weights():
        np.testing.assert_array_equal(mine.cv_results_["split0_test_loss"], -3)
        for one in (mine, theirs):
            with pytest.raises((ValueError, ZeroDivisionError)):
                one.set_params(error_score="raise").fit(X, y, sample_weight=weight)


def without_progress(printed):
    return [line for line in printed.splitlines() if not line.startswith("Done ")]


@pytest.mark.parametrize("verbose", [0, 2, 3, 10])
def test_what_is_printed_of_both_scores(verbose, capsys):
    X, y, _ = table()
    of = search((1.0,), verbose=verbose, scoring="auto", return_train_score=True)
    lines = []
    for one in (of, separate_auto(of)):
        one.fit(X, y)
        printed = without_progress(capsys.readouterr().out)
        # The dots fill up the line, and times have not all the same length.
        lines.append(
            sorted(line.split("total time=")[0].replace(".", "") for line in printed)
        )
    assert lines[0] == lines[1]
    assert ("loss: (train=" in "".join(lines[0])) == (verbose > 2)


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


def folds_of(of, X, y):
    """The numbers of the rows left out, split by split."""
    seen = Seen()
    clone(of).set_params(scoring=seen, refit=False, max_iter=1).fit(X, y)
    number_of = {tuple(row): number for number, row in enumerate(X.tolist())}
    n_settings = len(of.lambds) * len(of.keep_probs)
    return [
        [number_of[tuple(row)] for row in rows.tolist()]
        for rows in seen.rows[::n_settings]
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_by_default_five_folds_are_shuffled(kind):
    X, y, _ = table(kind)
    if kind != "multilabel":
        y = np.sort(y)
    # Two settings are the fewest of a stack.
    settings = {"keep_probs": (0.8,)}
    of = search(cv=None, **settings)
    folds = folds_of(of, X, y)
    assert len(folds) == 5
    assert sorted(np.concatenate(folds)) == list(range(47))
    assert {len(fold) for fold in folds} == {9, 10}
    if kind != "multilabel":
        counts = np.array([np.bincount(y[fold]) for fold in folds])
        assert (np.ptp(counts, axis=0) <= 1).all()
    # Rows that follow each other are apart.
    unshuffled = folds_of(search(cv=5, **settings), X, y)
    assert folds != unshuffled
    assert max(np.ptp(np.diff(fold)) for fold in folds) > 3
    # An int makes them, and another int makes others.
    assert folds_of(of, X, y) == folds
    assert folds_of(search(cv=None, random_state=4, **settings), X, y) != folds
    # The same folds as a splitter.
    splits = [(np.setdiff1d(range(47), fold), fold) for fold in folds]
    of.set_params(scoring=likelihood)
    assert_same(of.fit(X, y), clone(of).set_params(cv=splits).fit(X, y), X)


def test_without_a_seed_the_folds_are_others_each_time():
    X, y, _ = table()
    of = search(cv=None, random_state=None, keep_probs=(0.8,))
    assert folds_of(of, X, y) != folds_of(of, X, y)


@pytest.mark.parametrize(
    ("kind", "n_refits"), [("binary", 1), ("multiclass", 2), ("multilabel", 2)]
)
def test_a_random_state_is_left_as_it_was(kind, n_refits):
    X, y, _ = table(kind)
    state = np.random.RandomState(5)
    of = search((1.0,), cv=None, random_state=state, n_refits=n_refits, scoring="auto")
    before = state.get_state()[1].copy()
    first = of.fit(X, y)
    np.testing.assert_array_equal(state.get_state()[1], before)
    assert state.get_state()[2] == np.random.RandomState(5).get_state()[2]
    again = clone(of).set_params(random_state=np.random.RandomState(5))
    scores = [one.cv_results_["mean_test_score"] for one in (first, again.fit(X, y))]
    np.testing.assert_array_equal(*scores)
    np.testing.assert_array_equal(first.predict_proba(X), again.predict_proba(X))


@pytest.mark.parametrize("random_state", [0, np.random.RandomState(0), None])
def test_shuffled_folds_do_not_touch_numpys_global_stream(random_state):
    X, y, _ = table()
    before = np.random.get_state()  # noqa: NPY002
    search((1.0,), cv=None, random_state=random_state, n_refits=2).fit(X, y)
    after = np.random.get_state()  # noqa: NPY002
    np.testing.assert_array_equal(after[1], before[1])
    assert after[2] == before[2]


def test_an_int_is_stratified_folds_in_the_order_of_the_rows():
    X, y, _ = table("multiclass")
    y = np.sort(y)
    by_number = search(cv=5).fit(X, y)
    assert by_number.n_splits_ == 5
    assert_same(by_number, search(cv=StratifiedKFold(5)).fit(X, y), X)


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
    mine, theirs, _ = fit_both(search(scoring="neg_log_loss"), X, names[y])
    assert_same(mine, theirs, X)
    assert mine.classes_.tolist() == ["one", "three", "two"]
    assert set(mine.predict(X)) <= set(names)


def test_lists_are_rows_too():
    X, y, weight = table()
    mine = search().fit(X.tolist(), y.tolist(), weight.tolist())
    assert_same(mine, search().fit(X, y, weight), X)


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
    assert len(stacks) == 2
    assert mine.feature_names_in_.tolist() == list("abcd")
    assert mine.best_estimator_.feature_names_in_.tolist() == list("abcd")
    assert mine.n_features_in_ == 4
    assert len(seen.rows) == 8
    splits = list(StratifiedKFold(2).split(X, y))
    for number, rows in enumerate(seen.rows):
        _, test = splits[number // 4]
        pd.testing.assert_frame_equal(rows, X.iloc[test])
        pd.testing.assert_series_equal(seen.classes[number], y.iloc[test])
    expected = separate(search(scoring=likelihood)).fit(X, y, sample_weight=weight)
    assert_same(mine, expected, X)


def test_a_scorer_sees_the_model_that_a_fit_would_leave(stacks):
    X, y, _ = table()
    seen = Seen()
    mine = search(scoring=seen).fit(X, y)
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
    of = search(early_stopping=True, max_iter=20, n_iter_no_change=3, refit=False).fit(
        X, y, weight, **validation
    )
    assert [len(stack) for stack in stacks] == [4, 4]
    scores = []
    for rows, test in StratifiedKFold(2).split(X, y):
        for parameters in of.cv_results_["params"]:
            model = clone(of.estimator).set_params(**parameters)
            model.fit(X[rows], y[rows], weight[rows], **validation)
            scores.append(likelihood(model, X[test], y[test]))
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


# One by one --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        ("sparse", {}),
        ("sparse", {"input_keep_prob": 0.8, "early_stopping": True}),
        ("dense", {"solver": "lbfgs", "keep_probs": [1.0], "max_iter": 500}),
        ("dense", {"hidden_layer_sizes": (300, 300), "max_iter": 2, "cv": 2}),
    ],
    ids=str,
)
def test_where_a_stack_does_not_pay_fits_are_separate(kind, parameters, stacks):
    X, y, weight = table()
    if kind == "sparse":
        X = sparse.csr_array(np.where(np.abs(X) > 0.5, X, 0))
    mine, theirs, _ = fit_both(search(**parameters), X, y, sample_weight=weight)
    assert_same(mine, theirs, X, atol=0)
    assert stacks == []


def test_one_setting_is_no_stack(stacks):
    X, y, _ = table()
    mine, theirs, _ = fit_both(search([2.0], [0.5]), X, y)
    assert_same(mine, theirs, X, atol=0)
    assert stacks == []


def test_own_rows_for_early_stopping_of_separate_fits_are_not_cut(stacks):
    """As many rows as X has, sparse as they are."""
    X, y, _ = table()
    validation = {"X_val": sparse.csr_array(X[::-1]), "y_val": y[::-1]}
    # A sparse X would keep its means.
    of = search(early_stopping=True, max_iter=20, n_iter_no_change=3, standardize=False)
    of.fit(sparse.csr_array(X), y, **validation)
    assert stacks == []
    dense = clone(of).fit(X, y, X_val=X[::-1], y_val=y[::-1])
    assert len(stacks) == 2
    assert_same(of, dense, X)


# Networks that fail ------------------------------------------------------------------


def text_of(warnings_of, category):
    return next(text for kind, text in warnings_of if kind is category)


def test_a_network_that_diverges_fails_alone(stacks):
    X, y, _ = table()
    of = search((1.0, 1e9, 3.0), solver="sgd", return_train_score=True, error_score=-7)
    mine, theirs, told = fit_both(of, X, y)
    assert_same(mine, theirs, X)
    assert [len(stack) for stack in stacks] == [6] * 2
    huge = np.array([each["lambd"] == 1e9 for each in mine.cv_results_["params"]])
    assert huge.sum() == 2
    np.testing.assert_array_equal(mine.cv_results_["split1_test_score"] == -7, huge)
    np.testing.assert_array_equal(mine.cv_results_["split1_train_score"] == -7, huge)
    assert mine.lambd_ != 1e9
    text = text_of(told, FitFailedWarning)
    assert "4 fits failed out of a total of 12" in text
    assert "lambd=1000000000.0" in text


def test_the_error_score_may_be_nan():
    X, y, _ = table()
    of = search((1.0, 1e9), solver="sgd", scoring=["accuracy", "neg_log_loss"])
    mine, theirs, told = fit_both(of.set_params(refit="accuracy"), X, y)
    assert_same(mine, theirs, X)
    assert np.isnan(mine.cv_results_["mean_test_accuracy"]).sum() == 2
    assert "4 fits failed out of a total of 8" in text_of(told, FitFailedWarning)


@pytest.mark.parametrize("scoring", [likelihood, as_dict])
def test_the_error_score_of_a_function_has_its_names(scoring):
    X, y, _ = table()
    refit = "a" if scoring is as_dict else True
    of = search((1.0, 1e9), solver="sgd", scoring=scoring, refit=refit, error_score=-5)
    of.set_params(return_train_score=True)
    mine, theirs, _ = fit_both(of, X, y)
    assert_same(mine, theirs, X)
    name = "mean_test_b" if scoring is as_dict else "mean_test_score"
    assert np.count_nonzero(mine.cv_results_[name] == -5) == 2


def test_the_error_may_be_raised():
    X, y, _ = table()
    of = search((1.0, 1e9), solver="sgd", error_score="raise")
    for one in (of, separate(of)):
        with pytest.raises(ValueError, match=r"diverged.*or lambd=1000000000.0\.$"):
            one.fit(X, y)
    assert not hasattr(of, "cv_results_")


def test_all_may_fail():
    X, y, _ = table()
    of = search((1e9, 2e9), solver="sgd")
    for one in (of, separate(of)):
        with pytest.raises(ValueError, match="All the 8 fits failed"):
            one.fit(X, y)
    assert not hasattr(of, "n_splits_")


def test_lbfgs_with_dropout_in_the_grid_raises():
    X, y, _ = table()
    with pytest.raises(ValueError, match=r"keep_probs=.*solver='lbfgs'.*\(1\.0,\)"):
        search(solver="lbfgs").fit(X, y)


def test_warnings_that_are_errors_are_those_of_the_networks(stacks):
    X, y, _ = table()
    of = search(learning_rate="constant", refit=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        with pytest.raises(ValueError, match="All the 8 fits failed"):
            of.fit(X, y)
    assert None not in stacks


def test_a_stack_that_fails_is_made_one_by_one(monkeypatch):
    X, y, _ = table()
    of = search()
    expected = clone(of).fit(X, y)

    def fails(*arguments, **keywords):
        raise MemoryError("no room for so many")

    monkeypatch.setattr(_candidates, "train", fails)
    assert_same(of.fit(X, y), expected, X)


def test_nothing_is_left_of_an_earlier_search():
    X, y, _ = table()
    of = search().fit(pd.DataFrame(X, columns=list("abcd"[: X.shape[1]])), y)
    assert hasattr(of, "feature_names_in_")
    of.set_params(refit=False).fit(X, y)
    for name in ("feature_names_in_", "best_estimator_", "refit_time_", "n_iter_"):
        assert not hasattr(of, name), name
    of.set_params(refit=lambda results: 2).fit(X, y)
    assert not hasattr(of, "best_score_")


def fails_with_strong_decay(model, X, y, sample_weight=None):
    if model.lambd == 5.0:
        raise RuntimeError("too strong for me")
    return likelihood(model, X, y)


def test_the_scorer_of_early_stopping_may_fail(stacks):
    """Of the networks of a stack only those that it fails on have no score."""
    X, y, _ = table()
    of = search(early_stopping=True, early_stopping_scoring=fails_with_strong_decay)
    mine, theirs, told = fit_both(of, X, y)
    assert_same(mine, theirs, X)
    text = text_of(told, FitFailedWarning)
    assert "4 fits failed out of a total of 8" in text
    assert "too strong for me" in text
    assert mine.lambd_ == 0.1


def test_the_scorer_of_the_search_may_fail():
    X, y, _ = table()
    of = search(scoring=fails_with_strong_decay)
    mine, theirs, told = fit_both(of, X, y)
    assert_same(mine, theirs, X)
    assert any("too strong for me" in text for _, text in told)


def test_a_fold_that_is_too_small_for_early_stopping():
    """Nobody can be held out of one row of each class; the other fold is good."""
    X, y, _ = table()
    few = [np.flatnonzero(y == code)[0] for code in (0, 1)]
    splits = [(few, np.arange(30)), (np.arange(30), np.arange(30, 47))]
    of = search(cv=splits, early_stopping=True, error_score=-9.0)
    mine, theirs, told = fit_both(of, X, y)
    assert_same(mine, theirs, X)
    np.testing.assert_array_equal(mine.cv_results_["split0_test_score"], -9)
    assert "4 fits failed out of a total of 8" in text_of(told, FitFailedWarning)


def test_networks_without_convergence_warn():
    X, y, _ = table()
    of = search(learning_rate="constant")
    _, _, told = fit_both(of, X, y)
    assert [kind for kind, _ in told] == [ConvergenceWarning] * 9


def interrupt(model, X, y, sample_weight=None):
    raise KeyboardInterrupt


def test_an_interrupt_is_raised(stacks):
    X, y, _ = table()
    of = search(early_stopping=True, early_stopping_scoring=interrupt)
    with pytest.raises(KeyboardInterrupt):
        of.fit(X, y)
    assert stacks == [None]
    assert not hasattr(of, "cv_results_")


@pytest.mark.parametrize(
    "wrong",
    [
        {"solver": "sgd", "lambds": (1e9,)},
        {"lambds": ()},
        {"max_iter": 0},
        {"early_stopping": True, "early_stopping_scoring": interrupt},
        {"refit": lambda results: 99},
    ],
    ids=str,
)
def test_a_fit_that_fails_leaves_the_search_as_it_was(wrong):
    X, y, _ = table()
    of = search().fit(X, y)
    names = of.get_params()
    before = {name: v for name, v in vars(of).items() if name not in names}
    held = copy.deepcopy(before["cv_results_"])
    of.set_params(**wrong)
    with pytest.raises((ValueError, KeyboardInterrupt, IndexError)):
        of.fit(X[:40], y[:40])
    after = {name: v for name, v in vars(of).items() if name not in names}
    assert after.keys() == before.keys()
    assert all(after[name] is before[name] for name in before)
    for key, values in held.items():
        np.testing.assert_array_equal(of.cv_results_[key], values)
    assert of.predict(X).shape == y.shape


# Several networks of the best setting ------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_several_refits_are_an_ensemble(kind, weighted):
    X, y, weight = table(kind)
    fit_params = {"sample_weight": weight} if weighted else {}
    one = search(scoring=likelihood).fit(X, y, **fit_params)
    several = search(scoring=likelihood, n_refits=3).fit(X, y, **fit_params)
    for key, expected in one.cv_results_.items():
        if not key.endswith("_time"):
            np.testing.assert_array_equal(several.cv_results_[key], expected)
    assert several.best_params_ == one.best_params_
    best = several.best_estimator_
    assert type(best) is RegularizedMLPEnsemble
    assert [type(each) for each in best.estimators_] == [RegularizedMLPClassifier] * 3
    for each in best.estimators_:
        assert each.get_params() == one.best_estimator_.get_params()
    assert_same_weights(best.estimators_[0], one.best_estimator_, rtol=0, atol=1e-12)
    starts = [each.coefs_[0] for each in best.estimators_]
    assert min(np.abs(a - b).max() for a, b in combinations(starts, 2)) > 0.1
    expected = RegularizedMLPEnsemble(
        several.estimator.set_params(**several.best_params_), 3
    ).fit(X, y, **fit_params)
    for name in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
        np.testing.assert_array_equal(
            getattr(several, name)(X), getattr(expected, name)(X)
        )
    np.testing.assert_allclose(
        several.predict_proba(X),
        np.mean([each.predict_proba(X) for each in best.estimators_], axis=0),
    )
    np.testing.assert_array_equal(several.classes_, one.classes_)
    assert several.refit_time_ > 0
    assert several.n_iter_ == max(each.n_iter_ for each in best.estimators_)


def test_seeds_of_several_refits():
    X, y, _ = table()
    found = [
        search(n_refits=2, random_state=seed).fit(X, y).predict_proba(X)
        for seed in (0, 0, 1, None, None)
    ]
    np.testing.assert_array_equal(found[0], found[1])
    for a, b in combinations(found[1:], 2):
        assert np.abs(a - b).max() > 1e-3


def test_own_rows_for_early_stopping_reach_all_refits():
    X, y, weight = table()
    validation = {"X_val": X[::-1] * 0.9, "y_val": y[::-1], "sample_weight_val": weight}
    of = search(n_refits=3, early_stopping=True, max_iter=20, n_iter_no_change=3)
    mine = of.fit(X, y, weight, **validation)
    expected = RegularizedMLPEnsemble(
        of.estimator.set_params(**mine.best_params_), 3
    ).fit(X, y, weight, **validation)
    alone = of.estimator.set_params(**mine.best_params_).fit(X, y, weight, **validation)
    scores = [each.validation_scores_ for each in mine.best_estimator_.estimators_]
    assert scores == [each.validation_scores_ for each in expected.estimators_]
    np.testing.assert_allclose(scores[0], alone.validation_scores_)
    assert len({tuple(each) for each in scores}) == 3


def test_several_refits_with_metadata_routing():
    X, y, weight = table()
    of = search(n_refits=2, scoring="auto")
    expected = clone(of).fit(X, y, weight)
    unweighted = clone(of).fit(X, y)
    with config_context(enable_metadata_routing=True):
        mine = clone(of).fit(X, y, sample_weight=weight)
        assert mine.score(X, y, sample_weight=weight) == pytest.approx(
            accuracy_score(y, mine.predict(X), sample_weight=weight)
        )
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        routed = clone(of).set_fit_request(sample_weight=True)
        model = make_pipeline(scaler, routed).fit(X, y, sample_weight=weight)
        scaled = StandardScaler().fit_transform(X)
        alone = clone(of).fit(scaled, y, weight)
        np.testing.assert_array_equal(
            model.predict_proba(X), alone.predict_proba(scaled)
        )
    if mine.best_params_ == expected.best_params_:
        np.testing.assert_array_equal(mine.predict_proba(X), expected.predict_proba(X))
    refitted = RegularizedMLPEnsemble(
        of.estimator.set_params(**mine.best_params_), 2
    ).fit(X, y, weight)
    np.testing.assert_array_equal(mine.predict_proba(X), refitted.predict_proba(X))
    assert np.abs(mine.predict_proba(X) - unweighted.predict_proba(X)).max() > 1e-3


def test_names_copies_and_pickles_of_several_refits():
    X, y, _ = table("multiclass")
    named = pd.DataFrame(X, columns=list("abcd"))
    of = search(n_refits=2, scoring="auto").fit(named, y)
    assert of.feature_names_in_.tolist() == list("abcd")
    for each in of.best_estimator_.estimators_:
        assert each.feature_names_in_.tolist() == list("abcd")
    assert of.n_features_in_ == 4
    with pytest.raises(ValueError, match="feature names"):
        of.predict(named[["b", "a", "c", "d"]])
    for other in (copy.deepcopy(of), pickle.loads(pickle.dumps(of))):
        assert_same(other, of, named)
        assert other.score(named, y) == of.score(named, y)
    of.fit(X, y)
    assert not hasattr(of, "feature_names_in_")


def test_without_a_refit_there_is_no_ensemble():
    X, y, _ = table()
    of = search(n_refits=3, refit=False).fit(X, y)
    assert not hasattr(of, "best_estimator_")
    by_function = search(n_refits=3, refit=second).fit(X, y)
    assert len(by_function.best_estimator_.estimators_) == 3


def test_several_refits_where_they_are_made_one_by_one():
    X, y, _ = table()
    dense = search(n_refits=2, standardize=False).fit(X, y)
    one_by_one = clone(dense).fit(sparse.csr_array(X), y)
    np.testing.assert_allclose(
        one_by_one.predict_proba(sparse.csr_array(X)), dense.predict_proba(X), rtol=1e-7
    )


def test_one_warning_of_all_refits():
    X, y, _ = table()
    of = search(n_refits=3, learning_rate="constant")
    with pytest.warns(ConvergenceWarning) as caught:
        of.fit(X, y)
    # Of each network of the search, and of the refit.
    n_told = sum(warning.category is ConvergenceWarning for warning in caught)
    assert n_told == 4 * 2 + 1


def test_columns_that_are_not_scaled_are_told_of_once():
    X, y, _ = table()
    for n_refits in (1, 3):
        of = search(n_refits=n_refits, standardize=False)
        with pytest.warns(UserWarning, match="1 of the 4 columns of X") as caught:
            of.fit(X * [1, 1, 100, 1], y)
        assert len(caught) == 1


def test_all_defaults():
    X, y, _ = table("multiclass")
    of = RegularizedMLPClassifierCV(random_state=0).fit(X, y)
    assert of.n_splits_ == 5
    assert of.param_grid == {"lambd": [0.2, 1.0, 5.0, 20.0], "keep_prob": [0.5, 0.9]}
    assert len(of.cv_results_["params"]) == 8
    assert len(of.best_estimator_.estimators_) == 5
    assert of.best_index_ == naive_choice(of.cv_results_)
    n_epochs = min(-(-640 * 32 // len(X)), 240)
    assert of.n_iter_ == n_epochs
    for each in of.best_estimator_.estimators_:
        assert (each.batch_size, each.max_iter) == (32, n_epochs)
        assert each.validation_scores_ is None
    # The members of the team, in the order of the grid.
    networks = [
        {"lambd": each.lambd, "keep_prob": each.keep_prob}
        for each in of.best_estimator_.estimators_
    ]
    in_team = [of.cv_results_["params"][i] for i in np.flatnonzero(of.team_weights_)]
    assert [p for p in of.cv_results_["params"] if p in networks] == in_team
    assert len(in_team) > 1


class Sizes(Seen):
    """It notes the size of the batches of each network."""

    def __call__(self, model, X, y, sample_weight=None):
        self.models.append(model.batch_size)
        return 0.5


@pytest.mark.parametrize(
    ("n", "n_weighted", "size", "n_epochs"),
    [
        (10, 10, 32, 240),
        (64, 64, 32, 240),
        (100, 100, 32, 205),
        (256, 256, 32, 80),
        (400, 400, 32, 60),
        (401, 401, 128, 154),
        (512, 512, 128, 120),
        (1024, 1024, 128, 60),
        (1024, 100, 32, 205),
    ],
)
def test_few_rows_have_steps_enough(n, n_weighted, size, n_epochs):
    """By the rows that count."""
    X, y, _ = table(n=n)
    weight = (np.arange(n) < n_weighted).astype(float) if n_weighted < n else None
    seen = Sizes()
    of = search((1.0,), (0.9, 1.0), cv=KFold(2, shuffle=True, random_state=0))
    of.set_params(scoring=seen, batch_size=None, max_iter=None, final_model="best")
    of.fit(X, y, weight)
    assert set(seen.models) == {size}
    best = of.best_estimator_
    assert (best.batch_size, best.max_iter) == (size, n_epochs)
    assert of.n_iter_ == n_epochs
    assert of.set_params(max_iter=7).fit(X, y, weight).n_iter_ == 7


def test_no_number_of_rows_has_far_fewer_steps_than_fewer_rows():
    n_rows = np.arange(20, 5000)
    courses = [_candidates.course_for(n) for n in n_rows]
    steps = [
        -(-n // c["batch_size"]) * c["max_iter"]
        for n, c in zip(n_rows, courses, strict=True)
    ]
    # Up to 32 rows are one batch, 240 times.
    assert min(steps) == 240
    assert min(steps[13:]) >= 480
    most_so_far = np.maximum.accumulate(steps)[:-1]
    assert (np.array(steps[1:]) > 0.3 * most_so_far).all()


@pytest.mark.parametrize("batch_size", [128, 300, 5, "auto", "full"])
def test_a_batch_size_that_is_set_is_taken(batch_size):
    X, y, _ = table()
    of = search(batch_size=batch_size).fit(X, y)
    assert of.best_estimator_.batch_size == batch_size
    assert_same(of, separate(search(batch_size=batch_size)).fit(X, y), X)


@pytest.mark.parametrize("n", [60, 200])
def test_by_default_it_finds_what_separate_fits_with_its_batches_find(n):
    X, y, _ = table(n=n)
    mine = search(batch_size=None).fit(X, y)
    theirs = separate(search(batch_size=32)).fit(X, y)
    assert_same(mine, theirs, X)


@pytest.mark.slow
@pytest.mark.parametrize("n", [80, 125])
def test_on_few_rows_it_is_no_worse_than_a_network(n):
    """Where an epoch was one batch of all rows it was: 60 steps were too few."""
    loss, accuracy = np.zeros((2, 2, 2))
    for seed in range(2):
        X, y = make_moons(n + 400, noise=0.15, random_state=seed)
        X = StandardScaler().fit_transform(X)
        # A network that is given its lambd, and has all rows.
        network = RegularizedMLPClassifier(
            lambd=1.0, early_stopping=False, random_state=0
        )
        for k, model in enumerate(
            (network, RegularizedMLPClassifierCV(random_state=0))
        ):
            model.fit(X[:n], y[:n])
            loss[k, seed] = log_loss(y[n:], model.predict_proba(X[n:]))
            accuracy[k, seed] = model.score(X[n:], y[n:])
    assert loss[1].mean() <= loss[0].mean()
    assert accuracy[1].mean() >= accuracy[0].mean()


# What GridSearchCV can do ------------------------------------------------------------


def second(results):
    return 1


@pytest.mark.parametrize(
    ("scoring", "refit"),
    [
        (None, True),
        ("neg_log_loss", False),
        ("neg_log_loss", second),
        (likelihood, True),
        (["neg_log_loss", "accuracy"], "accuracy"),
        (("accuracy", "neg_log_loss"), False),
        ({"one": "accuracy", "two": likelihood}, "two"),
        (["neg_log_loss", "accuracy"], second),
        (as_dict, "a"),
        (as_dict, False),
        (as_dict, second),
    ],
    ids=str,
)
def test_scorers_and_refit_mean_what_they_mean(scoring, refit):
    X, y, _ = table()
    of = search((1.0,), scoring=scoring, refit=refit, return_train_score=True)
    mine, theirs, _ = fit_both(of, X, y)
    assert_same(mine, theirs, X)
    assert type(mine.scorer_) is type(theirs.scorer_)
    if isinstance(mine.scorer_, dict):
        assert list(mine.scorer_) == list(theirs.scorer_)
    if refit:
        assert mine.refit_time_ > 0
        if not (mine.multimetric_ and refit is second) and scoring is not as_dict:
            assert mine.score(X, y) == theirs.score(X, y)
    else:
        assert not hasattr(mine, "refit_time_")
        assert not hasattr(mine, "predict")
        with pytest.raises(AttributeError, match="has no attribute 'predict'"):
            mine.predict(X)


def test_there_is_no_scorer_before_fit():
    model = RegularizedMLPClassifierCV()
    assert not hasattr(model, "scorer_")
    with pytest.raises(NotFittedError):
        _ = model.scorer_


def test_several_scores_without_a_choice_are_refused():
    X, y, _ = table()
    for scoring in (["accuracy", "neg_log_loss"], as_dict):
        with pytest.raises(ValueError, match="refit must be set to a scorer key"):
            search(scoring=scoring).fit(X, y)


@pytest.mark.parametrize("verbose", [0, 1, 3, 10])
def test_what_is_printed(verbose, capsys):
    X, y, _ = table()
    of = search((1.0,), verbose=verbose).fit(X, y)
    printed = capsys.readouterr().out
    done = re.findall(r"^Done (\d) of (\d) fits, about \d+ s left$", printed, re.M)
    # A stack of all settings for each of the two splits.
    assert done == ([("2", "4"), ("4", "4")] if verbose else [])
    mine = without_progress(printed)
    separate(of).fit(X, y)
    theirs = capsys.readouterr().out.splitlines()
    if verbose > 1:
        # Split by split, not setting by setting; and times differ.
        mine, theirs = (
            sorted(line.split("score=")[0] for line in lines)
            for lines in (mine, theirs)
        )
    assert mine == theirs
    assert (mine == []) == (verbose == 0)


def test_the_times_are_of_the_fits():
    X, y, _ = table()
    of = search().fit(X, y)
    times = of.cv_results_["mean_fit_time"]
    # Those of a stack have the same.
    assert len(set(times)) == 1
    assert 0 < times[0] < 5
    assert len(set(of.cv_results_["mean_score_time"])) > 1


def test_a_pipeline_ends_with_it():
    X, y, _ = table("multiclass")
    model = make_pipeline(StandardScaler(), search()).fit(X, y)
    alone = search().fit(StandardScaler().fit_transform(X), y)
    np.testing.assert_array_equal(
        model.predict_proba(X), alone.predict_proba(StandardScaler().fit_transform(X))
    )
    assert model[-1].lambd_ == alone.lambd_
    np.testing.assert_array_equal(model.classes_, [0, 1, 2])


def test_cross_validation_around_it():
    X, y, _ = table()
    scores = cross_val_score(search(), X, y, cv=3)
    expected = cross_val_score(separate(search()), X, y, cv=3)
    np.testing.assert_array_equal(scores, expected)


def test_a_clone_a_copy_and_a_pickle():
    X, y, _ = table()
    of = search().fit(X, y)
    cloned = clone(of)
    assert not hasattr(cloned, "cv_results_")
    assert_same(cloned.fit(X, y), of, X)
    for other in (copy.deepcopy(of), pickle.loads(pickle.dumps(of))):
        assert_same(other, of, X)


def test_parameters():
    of = search()
    names = set(of.get_params())
    network = set(RegularizedMLPClassifier().get_params())
    shared = network - {"lambd", "keep_prob", "warm_start", "scoring", "verbose"}
    own = {"lambds", "keep_probs", "n_refits", "early_stopping_scoring", *SEARCH}
    assert names == shared | own | {"final_model", "oof_proba"}
    defaults = RegularizedMLPClassifierCV().get_params()
    of_network = RegularizedMLPClassifier().get_params()
    others = {"batch_size": None, "max_iter": None, "early_stopping": False}
    assert {name: defaults[name] for name in shared} == {
        name: of_network[name] for name in shared
    } | others
    of_search = GridSearchCV(RegularizedMLPClassifier(), {}).get_params()
    np.testing.assert_equal(
        {name: defaults[name] for name in SEARCH},
        {name: of_search[name] for name in SEARCH} | {"scoring": "auto"},
    )
    assert defaults["n_refits"] == 5
    of.set_params(lambds=[3.0], max_iter=2, early_stopping_scoring="accuracy")
    assert of.param_grid == {"lambd": [3.0], "keep_prob": [0.6, 1.0]}
    assert of.estimator.max_iter == 2
    assert of.estimator.scoring == "accuracy"
    with pytest.raises(ValueError, match="Invalid parameter 'lambd'"):
        of.set_params(lambd=1.0)
    with pytest.raises(TypeError, match="warm_start"):
        RegularizedMLPClassifierCV(warm_start=True)


def test_it_can_be_shown():
    X, y, _ = table()
    of = search()
    assert repr(of).startswith("RegularizedMLPClassifierCV(")
    for one in (of, of.fit(X, y)):
        html = one._repr_html_()
        assert "RegularizedMLPClassifierCV" in html
        assert "lambds" in html


# Metadata routing --------------------------------------------------------------------


def test_routing_of_weights_and_groups():
    X, y, weight = table()
    groups = np.arange(47) % 6
    scorer = get_scorer("neg_log_loss")
    with config_context(enable_metadata_routing=True):
        scorer = scorer.set_score_request(sample_weight=True)
        of = search(cv=GroupKFold(2), scoring=scorer)
        theirs = separate(of)
        theirs.estimator.set_fit_request(sample_weight=True)
        arguments = {"sample_weight": weight, "groups": groups}
        of.fit(X, y, **arguments)
        theirs.fit(X, y, **arguments)
        assert_same(of, theirs, X)
        unweighted = scorer.set_score_request(sample_weight=False)
        other = clone(of).set_params(scoring=unweighted).fit(X, y, **arguments)
    scores = [one.cv_results_["mean_test_score"] for one in (of, other)]
    assert np.abs(scores[0] - scores[1]).max() > 1e-4


def test_routing_of_weights_to_the_score_of_the_classifier():
    X, y, weight = table()
    with config_context(enable_metadata_routing=True):
        mine = search().set_params(scoring=None).fit(X, y, sample_weight=weight)
        theirs = separate(search()).set_params(scoring=None)
        theirs.estimator.set_fit_request(sample_weight=True)
        theirs.estimator.set_score_request(sample_weight=True)
        theirs.fit(X, y, sample_weight=weight)
        assert_same(mine, theirs, X)
        assert mine.score(X, y, sample_weight=weight) == pytest.approx(
            accuracy_score(y, mine.predict(X), sample_weight=weight)
        )


def test_routing_of_weights_to_several_scorers():
    X, y, weight = table()
    with config_context(enable_metadata_routing=True):
        asks = get_scorer("neg_log_loss").set_score_request(sample_weight=True)
        ignores = get_scorer("accuracy").set_score_request(sample_weight=False)
        of = search(scoring={"one": asks, "two": ignores}, refit="one")
        of.fit(X, y, sample_weight=weight)
        score = of.score(X, y, sample_weight=weight)
        assert score == asks(of.best_estimator_, X, y, sample_weight=weight)
        assert score != of.score(X, y)
        # A function asks for nothing.
        of = search().set_params(scoring=as_dict, refit="a").fit(X, y)
        with pytest.raises(TypeError, match="sample_weight"):
            of.score(X, y, sample_weight=weight)


def test_routing_through_a_pipeline():
    X, y, weight = table()
    with config_context(enable_metadata_routing=True):
        scorer = get_scorer("neg_log_loss").set_score_request(sample_weight=True)
        of = search(scoring=scorer).set_fit_request(sample_weight=True)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        model = make_pipeline(scaler, of).fit(X, y, sample_weight=weight)
        scaled = StandardScaler().fit_transform(X)
        alone = clone(of).fit(scaled, y, weight)
        assert_same(model[-1], alone, scaled)
        score = model.score(X, y, sample_weight=weight)
        assert score == alone.score(scaled, y, sample_weight=weight)


def test_routing_refuses_what_nobody_asked_for():
    X, y, weight = table()
    with config_context(enable_metadata_routing=True):
        with pytest.raises(TypeError, match=r"unexpected argument.*colour"):
            search().fit(X, y, colour=weight)
        theirs = separate(search())
        theirs.estimator.set_fit_request(sample_weight=True)
        try:
            theirs.fit(X, y, sample_weight=weight)
        except ValueError:
            with pytest.raises(ValueError, match=r"sample_weight.*not explicitly set"):
                search().fit(X, y, weight)
        else:
            # Older versions leave the scorer without weights, and say nothing.
            assert_same(search().fit(X, y, weight), theirs, X)


# Few rows of a class -----------------------------------------------------------------


def few(counts):
    """So many rows of each class, far from each other."""
    y = np.repeat(np.array(["a", "b", "c"])[: len(counts)], counts)
    X = np.random.default_rng(0).normal(size=(len(y), 4))
    return X + 3 * (np.unique(y, return_inverse=True)[1])[:, None], y


@pytest.mark.parametrize(
    ("counts", "n_splits"),
    [((k, k, k), min(k, 5)) for k in (2, 3, 4, 5, 6, 20)] + [((2, 2), 2)],
    ids=str,
)
def test_with_few_rows_a_class_there_are_fewer_folds(counts, n_splits):
    X, y = few(counts)
    of = search(cv=None, scoring="accuracy")
    assert clone(of).fit(X, y).n_splits_ == n_splits
    codes = np.unique(y, return_inverse=True)[1]
    folds = folds_of(of, X, codes)
    assert sorted(np.concatenate(folds)) == list(range(len(y)))
    assert all(set(y[fold]) == set(y) for fold in folds)


@pytest.mark.parametrize(("n", "n_splits"), [(2, 2), (3, 3), (4, 4), (5, 5), (6, 5)])
def test_with_few_rows_of_labels_there_are_fewer_folds(n, n_splits):
    X, y, _ = table("multilabel", n)
    for labels in (y, sparse.csr_array(y)):
        assert search(cv=None, scoring="auto").fit(X, labels).n_splits_ == n_splits


@pytest.mark.parametrize(
    ("counts", "n_splits", "rarest"),
    [((4, 2), 4, "b"), ((40, 40, 1), 5, "c"), ((1, 2), 2, "a"), ((9, 4, 9), 5, "b")],
    ids=str,
)
def test_a_class_with_fewer_rows_than_folds_is_named(counts, n_splits, rarest):
    X, y = few(counts)
    text = (
        rf"^The class {rarest} of y has fewer rows, {min(counts)}, than .* {n_splits}:"
    )
    of = search(cv=None, scoring="auto")
    with pytest.warns(UserWarning, match=text) as told:
        of.fit(X, y)
    assert len(told) == 1
    assert told[0].filename == __file__
    assert of.n_splits_ == n_splits
    assert np.isfinite(of.best_score_)


def test_rows_of_weight_zero_make_no_folds():
    X, y = few((9, 9))
    weight = np.tile([1, 1, 1, 0, 0, 0, 0, 0, 0], 2)
    assert search(cv=None, scoring="auto").fit(X, y, weight).n_splits_ == 3


@pytest.mark.parametrize("kind", ["classes", "labels"])
def test_one_row_a_class_is_too_few_for_folds(kind):
    X, y = few((1, 1, 1))
    if kind == "labels":
        X, y = X[:1], [[0, 1, 1]]
    of = search(cv=None)
    with pytest.raises(
        ValueError, match=r"^No class of y has more than 1 row; cv=None needs 2"
    ) as told:
        of.fit(X, y)
    assert "n_splits" not in str(told.value)
    assert vars(of).keys() == of.get_params().keys()


def test_a_number_of_folds_that_is_set_is_scikit_learns():
    X, y = few((4, 4, 2))
    for n_splits, text in ((10, "n_splits=10 cannot be greater"), (3, "n_splits=3")):
        told, mine = [], search(cv=n_splits, scoring="accuracy")
        for of in (mine, separate(mine)):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                try:
                    of.fit(X, y)
                except ValueError as error:
                    told.append(str(error))
                else:
                    told += {str(each.message) for each in caught}
        assert text in told[0]
        assert told[0] == told[1]


# Weights ---------------------------------------------------------------------------


def weighted_dict(model, X, y, sample_weight=None):
    return {
        "a": model.score(X, y),
        "b": likelihood(model, X, y, sample_weight=sample_weight),
    }


WEIGHTED = [
    ("auto", True),
    (None, True),
    ("accuracy", True),
    ("neg_log_loss", True),
    (likelihood, True),
    (Seen(), True),
    (["accuracy", "neg_log_loss"], "neg_log_loss"),
    ({"one": "accuracy", "two": likelihood}, "two"),
    (weighted_dict, "b"),
]


@pytest.mark.parametrize("n_refits", [1, 2])
@pytest.mark.parametrize(("scoring", "refit"), WEIGHTED, ids=str)
def test_a_weight_in_score_is_so_many_rows(scoring, refit, n_refits):
    X, y, _ = table()
    weight = np.random.default_rng(0).integers(0, 5, size=47)
    repeated = np.repeat(X, weight, axis=0), np.repeat(y, weight)
    of = search(scoring=scoring, refit=refit, n_refits=n_refits).fit(X, y)
    expected = of.score(*repeated)
    assert expected != of.score(X, y)
    for weights in (weight, weight.tolist(), pd.Series(weight)):
        assert of.score(X, y, weights) == pytest.approx(expected, rel=1e-12)
    assert of.score(X, y, sample_weight=None) == of.score(X, y)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_in_the_score_of_all_kinds_of_y(kind):
    X, y, weight = table(kind)
    of = search(scoring="auto", n_refits=2).fit(X, y)
    right = (of.predict(X) == y).reshape(47, -1).all(axis=1)
    expected = np.average(right, weights=weight)
    assert of.score(X, y, sample_weight=weight) == pytest.approx(expected, rel=1e-12)


def test_weights_in_the_score_of_a_pipeline():
    X, y, weight = table()
    model = make_pipeline(StandardScaler(), search(scoring="auto")).fit(X, y)
    expected = accuracy_score(y, model.predict(X), sample_weight=weight)
    assert model.score(X, y, sample_weight=weight) == pytest.approx(expected, rel=1e-12)


def without_weights(model, X, y):
    return likelihood(model, X, y)


def metric_without_weights(y, p):
    return probability(y, p)


@pytest.mark.parametrize(
    "scoring",
    [
        without_weights,
        make_scorer(metric_without_weights, response_method="predict_proba"),
        {"one": "accuracy", "two": without_weights},
    ],
    ids=["function", "scorer", "dict"],
)
def test_a_scorer_that_takes_no_weights_is_named(scoring):
    X, y, weight = table()
    refit = "two" if isinstance(scoring, dict) else True
    of = search(scoring=scoring, refit=refit).fit(X, y)
    text = (
        r"^scoring=.*without_weights.* takes no sample_weight\. Call score without it"
    )
    with pytest.raises(TypeError, match=text):
        of.score(X, y, sample_weight=weight)
    assert of.score(X, y) == likelihood(of.best_estimator_, X, y)


def wrong_type(model, X, y, sample_weight=None):
    if sample_weight is not None:
        raise TypeError("weights that I do not like")
    return 0.5


def test_other_errors_of_scores_with_weights_are_their_own():
    X, y, weight = table()
    of = search(scoring=wrong_type)
    with pytest.raises(NotFittedError):
        of.score(X, y, sample_weight=weight)
    of.fit(X, y)
    with pytest.raises(TypeError, match="weights that I do not like"):
        of.score(X, y, sample_weight=weight)
    with pytest.raises(ValueError, match="enable_metadata_routing"):
        of.score(X, y, sample_weight=weight, colour=weight)
    of.set_params(refit=False).fit(X, y)
    with pytest.raises(AttributeError, match="refit=False"):
        of.score(X, y, sample_weight=weight)


@pytest.mark.parametrize("scoring", ["auto", likelihood], ids=str)
@pytest.mark.parametrize("one", [2.0, 3, np.float32(0.5)], ids=repr)
def test_one_number_is_the_weight_of_each_row(one, scoring):
    X, y, _ = table()
    of = search(scoring=scoring)
    found = clone(of).fit(X, y, sample_weight=one)
    assert_same(found, of.fit(X, y, np.full(47, float(one))), X)
    assert np.isfinite(found.best_score_)


def test_one_number_reaches_the_scorers_as_weights():
    """Where scikit-learn gives them weights at all."""
    X, y, _ = table()
    told = []

    def scorer(model, X, y, sample_weight=None):
        told.append(None if sample_weight is None else sample_weight.tolist())
        return 0.5

    search(scoring=scorer).fit(X, y, sample_weight=2)
    alone, told = told, []
    search(scoring=scorer).fit(X, y, sample_weight=np.full(47, 2.0))
    assert alone
    assert alone == told


@pytest.mark.parametrize("one", [0.0, -1.0, np.nan, np.inf])
def test_one_number_that_is_no_weight_is_refused(one, stacks):
    X, y, _ = table()
    with pytest.raises(ValueError, match="sample_weight"):
        search().fit(X, y, sample_weight=one)
    assert stacks == []


# No score at all ---------------------------------------------------------------------


def never(model, X, y, sample_weight=None):
    return np.nan


def never_b(model, X, y, sample_weight=None):
    return {"a": 1.0, "b": np.nan}


def fails(model, X, y, sample_weight=None):
    raise ArithmeticError("no score of mine")


@pytest.mark.filterwarnings("ignore:One or more of the t:UserWarning")
def test_settings_may_lack_their_scores_in_different_splits():
    X, y, _ = table()

    def scorer(model, X, y):
        return np.nan if (len(y) == 24) == (model.lambd == LAMBDS[0]) else 1.0

    with pytest.raises(ValueError, match=r"No setting .* in the splits \[0, 1\]\."):
        search(scoring=scorer).fit(X, y)


@pytest.mark.filterwarnings("ignore:Scoring failed:UserWarning")
@pytest.mark.filterwarnings("ignore:One or more of the t:UserWarning")
@pytest.mark.parametrize(
    ("scoring", "refit", "name"),
    [
        (never, True, "score"),
        (never, False, "score"),
        (fails, True, "score"),
        ({"one": "accuracy", "two": never}, "two", "two"),
        ({"one": "accuracy", "two": fails}, "two", "two"),
        (never_b, "b", "b"),
    ],
)
def test_without_any_score_no_setting_is_the_best(scoring, refit, name):
    X, y, _ = table()
    of = search().fit(X, y)
    before = vars(of).copy()
    of.set_params(scoring=scoring, refit=refit)
    text = rf"^No setting is the best: mean_test_{name} is NaN for each of the 4 "
    with pytest.raises(ValueError, match=text + r"settings, .* splits \[0, 1\]\. A"):
        of.fit(X, y)
    # What was there stays.
    changed = {"scoring": scoring, "refit": refit}
    assert vars(of) == before | changed


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.FitFailedWarning")
@pytest.mark.filterwarnings("ignore:One or more of the t:UserWarning")
@pytest.mark.parametrize("scoring", ["auto", likelihood], ids=str)
def test_a_split_that_no_setting_has_a_score_of_is_named(scoring):
    """Its training rows all weigh nothing."""
    X, y, weight = table()
    weight[:20] = 0
    splits = [
        (np.arange(20, 40), np.arange(40, 47)),
        (np.arange(20), np.arange(20, 47)),
    ]
    of = search(cv=splits, scoring=scoring)
    with pytest.raises(ValueError, match=r"NaN for each of the 4 .* splits \[1\]"):
        of.fit(X, y, weight)
    # A number stands for it.
    assert np.isfinite(of.set_params(error_score=0.0).fit(X, y, weight).best_score_)
    assert (of.cv_results_["split1_test_score"] == 0).all()


def never_with_strong_decay(model, X, y, sample_weight=None):
    return np.nan if model.lambd > 1 else model.score(X, y)


@pytest.mark.filterwarnings("ignore:One or more of the t:UserWarning")
def test_settings_without_a_score_are_not_the_best():
    X, y, _ = table()
    found = search((5.0, 0.1), scoring=never_with_strong_decay).fit(X, y)
    assert found.lambd_ == 0.1
    # Who chooses himself, may; and of several scores without a choice none is needed.
    for scoring, refit in ((never, second), ({"one": never, "two": "accuracy"}, False)):
        found = search(scoring=scoring, refit=refit).fit(X, y)
        assert np.isnan(
            found.cv_results_["mean_test_" + ("score", "one")[not refit]]
        ).all()
        assert getattr(found, "best_index_", None) == (1 if refit else None)


# What cannot be used -----------------------------------------------------------------

BAD = {
    "lambds": [
        ((), r"lambds=\(\): give a sequence of at least one"),
        ([], r"lambds=\[\]: give a sequence of at least one"),
        (np.array(1.0), "lambds=array.* give a sequence"),
        (np.empty(0), "lambds=array.* give a sequence"),
        (1.0, "'lambds' parameter .* must be an array-like"),
        ("1", "'lambds' parameter .* must be an array-like"),
        (None, "'lambds' parameter .* must be an array-like"),
        ((1.0, -1.0), r"In lambds: lambd=-1.0: .* at least 0"),
        ((1.0, np.nan), r"In lambds: lambd=nan: .* finite"),
        ((1.0, np.inf), r"In lambds: lambd=inf: .* finite"),
        ((1.0, "2"), r"In lambds: lambd='2': each value is the strength"),
        ((1.0, "auto"), r"In lambds: lambd='auto': each value is the strength"),
        (
            (1.0, (1.0, 2.0)),
            r"In lambds: lambd=\(1.0, 2.0\) has 2 values, .* 3 weight matrices",
        ),
        (((1.0, 2.0, -3.0),), r"In lambds: lambd=\(1.0, 2.0, -3.0\): .* at least 0"),
    ],
    "keep_probs": [
        ((), r"keep_probs=\(\): give a sequence of at least one"),
        (0.5, "'keep_probs' parameter .* must be an array-like"),
        ((0.5, 0.0), r"In keep_probs: keep_prob=0.0: .* above 0 and at most 1"),
        ((0.5, 1.5), r"In keep_probs: keep_prob=1.5: .* above 0 and at most 1"),
        ((0.5, np.nan), r"In keep_probs: keep_prob=nan"),
        (
            (0.5, (0.5,)),
            r"In keep_probs: keep_prob=\(0.5,\) has 1 values, .* 2 hidden layers",
        ),
        ((0.5, (0.5, 2)), r"In keep_probs: keep_prob=\(0.5, 2\)"),
    ],
    "cv": [
        (1.5, "'cv' parameter"),
        (1, "'cv' parameter"),
        ([], r"cv=\[\] gave no splits"),
    ],
    "scoring": [("no such score", "'scoring' parameter"), (3, "'scoring' parameter")],
    "refit": [(3, "'refit' parameter"), (None, "'refit' parameter")],
    "error_score": [("nan", "'error_score' parameter")],
    "n_refits": [
        (0, "'n_refits' parameter .* must be an int in the range"),
        (-2, "'n_refits' parameter"),
        (1.5, "'n_refits' parameter .* Got 1.5"),
        ("auto", "'n_refits' parameter"),
        (None, "'n_refits' parameter"),
    ],
    "n_jobs": [(1.5, "'n_jobs' parameter")],
    "verbose": [(-1, "'verbose' parameter")],
    "early_stopping_scoring": [("no such score", "'early_stopping_scoring' parameter")],
    "hidden_layer_sizes": [((5, 0), r"hidden_layer_sizes=\(5, 0\)")],
    "max_iter": [(0, "'max_iter' parameter")],
    "solver": [("newton", "'solver' parameter")],
    "class_weight": [({7: 2.0}, r"class_weight=.*\[7\] are not among the classes")],
}


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [(name, value, text) for name, cases in BAD.items() for value, text in cases],
    ids=lambda value: repr(value)[:40],
)
def test_a_bad_parameter_is_named_before_a_network_is_trained(
    name, value, text, stacks
):
    X, y, _ = table()
    of = search(**{name: value})
    with pytest.raises((ValueError, TypeError), match=text):
        of.fit(X, y)
    assert stacks == []
    assert vars(of).keys() == of.get_params().keys()


class Unsure(KFold):
    """It announces one split more than it gives."""

    def get_n_splits(self, X=None, y=None, groups=None):
        return super().get_n_splits() + 1


@pytest.mark.parametrize("cv", [(), iter([]), PredefinedSplit([-1] * 47)], ids=type)
def test_no_splits_at_all(cv):
    X, y, _ = table()
    with pytest.raises(ValueError, match=r"(?s)^cv=.* gave no splits of the rows"):
        search(cv=cv).fit(X, y)


def test_a_splitter_that_contradicts_itself():
    X, y, _ = table()
    with pytest.raises(ValueError, match=r"gave 3 splits of the rows.* announced 4"):
        search(cv=Unsure(3)).fit(X, y)


@pytest.mark.parametrize(
    ("train", "test", "text"),
    [
        ([0, 1], [2, 47], "test on in split 1 .* 47 rows: index 47 is out of bounds"),
        ([-48], [1], "train on in split 1 .* index -48 is out of bounds"),
        ([0.0, 1.0], [2], "train on in split 1 .* integer"),
        (np.ones(46, bool), [1], "train on in split 1 .* boolean"),
    ],
    ids=["above", "below", "floats", "mask"],
)
def test_rows_of_a_split_that_there_are_not(train, test, text):
    X, y, _ = table()
    of = search(cv=[(np.arange(40), np.arange(40, 47)), (train, test)])
    with pytest.raises(ValueError, match=f"^cv: the rows to {text}"):
        of.fit(X, y)


def test_no_rows_are_left_to_the_fit_to_tell_of():
    X, y, _ = table()
    rows = given_rows(RegularizedMLPClassifier(), X, y).training
    ((train, test),) = splits_of([([0, 1], [])], X, y, rows, 0, {})
    assert (train, test) == ([0, 1], [])


def test_masks_and_negative_numbers_are_rows_too():
    X, y, _ = table()
    first = np.arange(47) < 40
    plain, other = (
        search(cv=cv, random_state=0).fit(X, y).cv_results_["mean_test_score"]
        for cv in ([(np.arange(40), np.arange(40, 47))], [(first, np.arange(-7, 0))])
    )
    np.testing.assert_array_equal(plain, other)


def with_nan():
    X, _, _ = table()
    X[46, 2] = np.nan
    return X


BAD_ROWS = {
    "NaN in X": ({"X": with_nan()}, "X contains NaN"),
    "y too short": ({"y": np.arange(46) % 2}, "inconsistent numbers of samples"),
    "NaN in y": ({"y": np.full(47, np.nan)}, "y.* contains NaN"),
    "no y": ({"y": None}, "y"),
    "y of numbers": ({"y": np.linspace(0, 1, 47)}, "[Uu]nknown label type"),
    "too few weights": ({"sample_weight": np.ones(46)}, r"sample_weight.*46"),
    "a negative weight": ({"sample_weight": -np.ones(47)}, "sample_weight"),
    "no weight at all": ({"sample_weight": np.zeros(47)}, "sample_weight"),
    "weights of NaN": ({"sample_weight": np.full(47, np.nan)}, "sample_weight"),
}


@pytest.mark.parametrize("case", BAD_ROWS)
def test_bad_rows_are_told_before_a_network_is_trained(case, stacks):
    X, y, _ = table()
    arguments, text = BAD_ROWS[case]
    of = search()
    with pytest.raises(ValueError, match=text) as caught:
        of.fit(**{"X": X, "y": y, **arguments})
    assert "fits failed" not in str(caught.value)
    assert stacks == []
    assert vars(of).keys() == of.get_params().keys()


@pytest.mark.parametrize(
    ("parameters", "arguments", "text"),
    [
        ({}, {"X_val": np.ones((3, 4)), "y_val": [0, 1, 0]}, "early_stopping=False"),
        ({"early_stopping": True}, {"X_val": np.ones((3, 4))}, "go together"),
        (
            {"early_stopping": True},
            {"X_val": np.ones((3, 2)), "y_val": [0, 1, 0]},
            "In X_val and y_val: X has 2 features",
        ),
    ],
    ids=str,
)
def test_bad_rows_for_early_stopping(parameters, arguments, text):
    X, y, _ = table()
    with pytest.raises(ValueError, match=text):
        search(**parameters).fit(X, y, **arguments)


def test_unknown_arguments_of_fit():
    X, y, weight = table()
    text = r"unexpected arguments \['colour', 'sample_weights'\].*takes groups"
    with pytest.raises(TypeError, match=text):
        search().fit(X, y, sample_weights=weight, groups=weight, colour=3)


# Processes ---------------------------------------------------------------------------


@pytest.mark.slow
def test_processes_change_nothing():
    X, y, weight = table()
    of = search(early_stopping=True, max_iter=20, n_iter_no_change=2)
    alone = clone(of).fit(X, y, weight)
    shared = clone(of).set_params(n_jobs=2).fit(X, y, weight)
    assert_same(shared, alone, X, atol=1e-12)


@pytest.mark.parametrize(
    ("n_jobs", "sizes"), [(1, [4]), (2, [4]), (3, [2, 1, 1]), (7, [1, 1, 1, 1])]
)
def test_more_processes_than_splits_share_out_the_stacks(n_jobs, sizes, stacks):
    X, y, _ = table()
    of = search()
    with parallel_config("threading"):
        found = clone(of).set_params(n_jobs=n_jobs).fit(X, y)
    assert_same(found, of.fit(X, y), X)
    trained = [len(stack) for stack in stacks][:-2]
    assert trained == [size for size in sizes if size > 1 for _ in range(2)]


# Memory ------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [16, "full"])
def test_a_stack_has_as_many_networks_as_fit_into_the_stated_size(batch_size, stacks):
    """A unit has four numbers for each row of a batch, a parameter six in all."""
    X, y, _ = table()
    hidden = (30, 20)
    n_rows = 47 if batch_size == "full" else batch_size
    n_parameters = 4 * 30 + 30 * 20 + 20 * 1 + 30 + 20 + 1
    network = 8 * (4 * (30 + 20 + 1) * n_rows + 6 * n_parameters)
    at_once = STACK_BYTES // network
    n_settings = 2 * at_once + 1
    search(
        np.geomspace(0.1, 10, n_settings),
        [1.0],
        cv=KFold(2),
        hidden_layer_sizes=hidden,
        batch_size=batch_size,
        max_iter=1,
        refit=False,
    ).fit(X, y)
    # Of like size, split by split.
    sizes = [len(stack) for stack in stacks]
    assert sorted(sizes) == sorted(
        2 * [len(part) for part in np.array_split(range(n_settings), 3)]
    )
    assert max(sizes) <= at_once


def peak_of(of, X, y, **arguments):
    tracemalloc.start()
    try:
        of.fit(X, y, **arguments)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_is_bounded_for_any_number_of_settings():
    """By what a step writes; the rest are the models of one stack and the results."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(300, 5)), np.arange(300) % 2
    settings = {
        "cv": [(np.arange(290), np.arange(290, 300))],
        "hidden_layer_sizes": (40, 20),
        "batch_size": "full",
        "max_iter": 2,
        "refit": False,
    }
    one, many = (
        peak_of(search(np.geomspace(0.1, 9, n), [0.9], **settings), X, y)
        for n in (1, 24)
    )
    network = 8 * (4 * 61 * 290 + 6 * (5 * 40 + 40 * 20 + 20 + 61))
    assert 24 * network > 5 * STACK_BYTES
    assert many - one < 1.5 * STACK_BYTES


def test_memory_for_validation_rows_is_bounded():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(50, 3)), np.arange(50) % 2
    X_val, y_val = rng.normal(size=(1200, 3)), np.arange(1200) % 2
    of = search(
        np.geomspace(0.1, 9, 80),
        [1.0],
        cv=[(np.arange(40), np.arange(40, 50))],
        hidden_layer_sizes=(60,),
        batch_size=8,
        max_iter=1,
        early_stopping=True,
        refit=False,
    )
    peak = peak_of(of, X, y, X_val=X_val, y_val=y_val)
    # In one piece it would be five times as much.
    assert 5 * WORKSPACE_BYTES < 80 * 8 * (2 * 60 + 3) * 1200
    assert peak < WORKSPACE_BYTES + 1.5 * STACK_BYTES


@pytest.mark.parametrize("verbose", [0, 1])
def test_backends_that_give_results_at_the_end(verbose):
    X, y, _ = table()
    expected = search().fit(X, y).cv_results_["mean_test_score"]
    with parallel_config("multiprocessing", n_jobs=2):
        found = search(verbose=verbose).fit(X, y).cv_results_["mean_test_score"]
    np.testing.assert_array_equal(found, expected)
