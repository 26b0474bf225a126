"""Models that are fitted as one stack, against each fitted by itself."""

import inspect
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import get_scorer
from sklearn.model_selection import ParameterGrid
from sklearn.model_selection._validation import _fit_and_score

from skreg import RegularizedMLPClassifier, _stacks
from skreg._stacks import fit_and_score_stack, train_together, validated

SETTINGS = list(ParameterGrid({"keep_prob": [0.5, 1.0], "lambd": [0.1, 2.0, 9.0]}))
TRAIN, TEST = np.arange(3, 40), np.r_[40:52, 0:3]


def table(n_classes=2):
    rng = np.random.default_rng(4)
    X = rng.normal(size=(52, 4))
    scores = X[:, :n_classes] + 0.7 * rng.normal(size=(52, n_classes))
    return X, scores.argmax(axis=1), rng.uniform(0.5, 3, size=52)


def model(**parameters):
    defaults = {
        "hidden_layer_sizes": (5, 4),
        "learning_rate": "cosine",
        "learning_rate_init": 0.05,
        "batch_size": 10,
        "max_iter": 8,
        "random_state": 2,
        "early_stopping": False,
        "early_stopping_refit": False,
        "n_validation_splits": 1,
        "averaging": 0.0,
    }
    return RegularizedMLPClassifier(**{**defaults, **parameters})


def stack(one, X, y, found=SETTINGS, *, validation=None, **arguments):
    """The models after it, and the results."""
    models = [clone(one) for _ in found]
    defaults = {
        "fit_params": {},
        "scorer": get_scorer("neg_log_loss"),
        "score_params": {},
        "return_train_score": True,
        "error_score": np.nan,
        "verbose": 0,
    }
    results = fit_and_score_stack(
        models,
        X,
        y,
        (TRAIN, TEST),
        [{"parameters": parameters} for parameters in found],
        validation or {},
        **{**defaults, **arguments},
    )
    return models, results


def alone(one, X, y, parameters, **fit_params):
    """What scikit-learn's function makes of one of them, and its result."""
    single = clone(one)
    result = _fit_and_score(
        single,
        X,
        y,
        train=TRAIN,
        test=TEST,
        parameters=parameters,
        fit_params=fit_params,
        scorer=get_scorer("neg_log_loss"),
        score_params={},
        return_train_score=True,
        return_n_test_samples=True,
        return_times=True,
        error_score=np.nan,
        verbose=0,
    )
    return single, result


def assert_same_model(found, expected):
    """All that a fit leaves, in the same order."""
    assert list(vars(found)) == list(vars(expected))
    for name, value in vars(expected).items():
        if name in ("coefs_", "intercepts_"):
            for a, b in zip(getattr(found, name), value, strict=True):
                assert a.shape == b.shape
                np.testing.assert_allclose(a, b, rtol=0, atol=1e-12, err_msg=name)
        elif isinstance(value, list | float | np.ndarray) and name.endswith("_"):
            np.testing.assert_allclose(getattr(found, name), value, rtol=1e-10)
        elif name.endswith("_"):
            assert type(getattr(found, name)) is type(value), name
            assert getattr(found, name) == value, name


@pytest.fixture
def trained(monkeypatch):
    """What each call of train_together returned, or None where it raised."""
    calls = []

    def spied(*arguments, **keywords):
        calls.append(None)
        calls[-1] = train_together(*arguments, **keywords)
        return calls[-1]

    monkeypatch.setattr(_stacks, "train_together", spied)
    return calls


# The models --------------------------------------------------------------------------


def scaled_by_lambd(found, X, y, sample_weight=None):
    """A score that needs the settings of the network."""
    p = found.predict_proba(X)[:, 1]
    return -found.lambd * np.average((p - y) ** 2, weights=sample_weight)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"solver": "sgd", "class_weight": "balanced"},
        {"early_stopping": True, "n_iter_no_change": 2, "max_iter": 30},
        {"early_stopping": True, "scoring": "accuracy", "train_scores": True},
        {
            "early_stopping": True,
            "scoring": scaled_by_lambd,
            "n_iter_no_change": 2,
            "tol": 3e-3,
            "max_iter": 30,
        },
        {"train_scores": True, "scoring": "neg_brier_score"},
        {"averaging": 0.9},
        {"averaging": 0.9, "solver": "sgd", "early_stopping": True},
        {
            "early_stopping": True,
            "early_stopping_refit": True,
            "n_validation_splits": 2,
            "n_iter_no_change": 2,
            "max_iter": 30,
        },
        {
            "early_stopping": True,
            "early_stopping_refit": True,
            "n_validation_splits": 2,
            "scoring": scaled_by_lambd,
            "averaging": 0.9,
        },
        {
            "early_stopping": True,
            "early_stopping_refit": "auto",
            "n_validation_splits": "auto",
            "averaging": 0.9,
        },
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "weighted", [pytest.param(False, marks=pytest.mark.slow), True]
)
def test_each_model_is_as_its_own_fit_leaves_it(parameters, weighted, trained):
    X, y, weight = table()
    fit_params = {"sample_weight": weight} if weighted else {}
    one = model(**parameters)
    models, results = stack(one, X, y, fit_params=fit_params)
    assert [len(found) for found in trained] == [6]
    for found, result, candidate in zip(models, results, SETTINGS, strict=True):
        expected, of_one = alone(one, X, y, candidate, **fit_params)
        assert found.get_params() == expected.get_params()
        assert_same_model(found, expected)
        assert result.keys() == of_one.keys()
        assert result["fit_error"] is None
        assert result["n_test_samples"] == 15
        for name in ("test_scores", "train_scores"):
            assert result[name] == pytest.approx(of_one[name], abs=1e-9)
    # One is not like another.
    assert len({result["test_scores"] for result in results}) == 6


def test_the_models_own_no_arrays_together():
    X, y, _ = table()
    models, _ = stack(model(), X, y)
    before = models[1].predict_proba(X)
    for W in models[0].coefs_ + models[0].intercepts_:
        W += 1
    np.testing.assert_array_equal(models[1].predict_proba(X), before)
    # Nor are they views of one array, which one model alone would keep whole.
    owners = {id(owner_of(one.coefs_[0])) for one in models}
    assert len(owners) == len(models)


def owner_of(array):
    while array.base is not None:
        array = array.base
    return array


def test_tables_keep_their_names(trained):
    X, y, _ = table()
    X = pd.DataFrame(X, columns=list("abcd"))
    models, _ = stack(model(), X, y)
    assert len(trained) == 1
    for found in models:
        assert found.feature_names_in_.tolist() == list("abcd")
        assert found.n_features_in_ == 4


def test_the_fit_can_be_called_again():
    X, y, _ = table()
    models, _ = stack(model(), X, y)
    expected = clone(models[2]).fit(X, y)
    assert "fit" not in vars(models[2])
    assert_same_model(models[2].fit(X, y), expected)


def test_one_model_is_no_stack(trained):
    X, y, _ = table()
    (found,), (result,) = stack(model(), X, y, SETTINGS[:1])
    assert trained == []
    expected, of_one = alone(model(), X, y, SETTINGS[0])
    assert_same_model(found, expected)
    assert result["test_scores"] == of_one["test_scores"]


def test_each_model_without_convergence_warns():
    X, y, _ = table()
    with pytest.warns(ConvergenceWarning) as caught:
        stack(model(learning_rate="constant", max_iter=3), X, y)
    texts = [str(w.message) for w in caught]
    assert len(texts) == 6
    assert "max_iter=3" in texts[0]


# Times -------------------------------------------------------------------------------


def test_the_time_of_a_stack_is_shared_out_evenly(monkeypatch):
    X, y, _ = table()
    clock = SimpleNamespace(time=iter([100.0, 106.0]).__next__)
    monkeypatch.setattr(_stacks, "time", clock)
    _, results = stack(model(), X, y)
    assert [result["fit_time"] for result in results] == [1.0] * 6
    assert all(0 <= result["score_time"] < 5 for result in results)


def test_the_time_of_one_alone_is_its_own(monkeypatch):
    X, y, _ = table()
    monkeypatch.setattr(_stacks, "time", None)
    _, results = stack(model(), X, y, SETTINGS[:1])
    assert 0 < results[0]["fit_time"] < 5


# Rows for validation -----------------------------------------------------------------


@pytest.mark.parametrize("n_settings", [1, 6])
def test_own_rows_for_validation_are_not_cut(n_settings, trained):
    """As many as X has."""
    X, y, weight = table()
    validation = {"X_val": X[::-1] * 0.9, "y_val": y[::-1], "sample_weight_val": weight}
    one = model(early_stopping=True, n_iter_no_change=2, max_iter=30)
    models, _ = stack(
        one,
        X,
        y,
        SETTINGS[:n_settings],
        validation=validation,
        fit_params={"sample_weight": weight},
    )
    assert len(trained) == (n_settings > 1)
    for found, parameters in zip(models, SETTINGS, strict=False):
        expected = clone(one).set_params(**parameters)
        expected.fit(X[TRAIN], y[TRAIN], weight[TRAIN], **validation)
        assert_same_model(found, expected)


def test_with_own_rows_for_validation_no_model_is_trained_twice(monkeypatch):
    X, y, _ = table()

    def never(*arguments, **keywords):
        raise AssertionError("a fit beside the stack")

    monkeypatch.setattr(RegularizedMLPClassifier, "fit", never)
    one = model(early_stopping=True)
    _, results = stack(one, X, y, validation={"X_val": X, "y_val": y})
    assert [result["fit_error"] for result in results] == [None] * 6


# Failures ----------------------------------------------------------------------------

HUGE = [{"lambd": 1e9}, {"lambd": 1.0}, {"lambd": 2e9, "keep_prob": 0.5}]


def last_line(result):
    return result["fit_error"].strip().splitlines()[-1]


@pytest.mark.parametrize("named", [False, True])
def test_a_network_that_diverges_fails_alone(named, trained):
    X, y, _ = table()
    if named:
        X = pd.DataFrame(X, columns=list("abcd"))
    one = model(solver="sgd")
    models, results = stack(one, X, y, HUGE)
    assert len(trained) == 1
    for result, parameters in zip(results, HUGE, strict=True):
        _, of_one = alone(one, X, y, parameters)
        assert (result["fit_error"] is None) == (of_one["fit_error"] is None)
        np.testing.assert_allclose(result["test_scores"], of_one["test_scores"])
    for i in (0, 2):
        _, of_one = alone(one, X, y, HUGE[i])
        assert last_line(results[i]) == last_line(of_one)
        assert f"lambd={HUGE[i]['lambd']}" in last_line(results[i])
        assert np.isnan(results[i]["train_scores"])
        assert not hasattr(models[i], "coefs_")
    assert hasattr(models[1], "coefs_")


def test_the_error_may_be_raised():
    X, y, _ = table()
    with pytest.raises(ValueError, match=r"diverged.*lambd=1000000000.0"):
        stack(model(solver="sgd"), X, y, HUGE, error_score="raise")
    with pytest.raises(ValueError, match=r"diverged.*lambd=2000000000.0"):
        stack(model(solver="sgd"), X, y, HUGE[1:], error_score="raise")


def test_a_score_that_is_never_a_number_fails_alone(trained):
    X, y, _ = table()

    def scoring(found, X, y):
        return np.nan if found.lambd == 2.0 else 0.5

    one = model(early_stopping=True, scoring=scoring)
    _, results = stack(one, X, y)
    assert [len(found) for found in trained] == [6]
    failed = [result["fit_error"] is not None for result in results]
    assert failed == [False, True, False] * 2
    assert (
        "gave NaN on the validation rows in each of 8 epochs" in results[1]["fit_error"]
    )


def test_the_scorer_of_early_stopping_sees_the_settings_of_each_network(trained):
    X, y, _ = table()
    seen = []

    def scoring(found, X, y):
        seen.append((found.lambd, found.keep_prob))
        return 0.0

    stack(model(early_stopping=True, scoring=scoring, max_iter=1), X, y)
    assert len(trained) == 1
    assert seen == [(each["lambd"], each["keep_prob"]) for each in SETTINGS]


@pytest.mark.parametrize("seed", [0, "RandomState"])
def test_where_a_scorer_fails_each_network_has_its_own_error_or_none(seed, trained):
    """And it starts where a fit of its own starts."""
    X, y, _ = table()
    if seed == "RandomState":
        seed = np.random.RandomState(0)

    def scoring(found, X, y):
        if found.lambd == 2.0:
            raise TypeError("not of this one")
        return found.score(X, y)

    one = model(early_stopping=True, scoring=scoring, random_state=seed)
    models, results = stack(one, X, y)
    assert trained == [None]
    for found, result, parameters in zip(models, results, SETTINGS, strict=True):
        expected, of_one = alone(one, X, y, parameters)
        if parameters["lambd"] == 2.0:
            assert "TypeError: not of this one" in result["fit_error"]
            assert last_line(result) == last_line(of_one)
        else:
            assert result["test_scores"] == of_one["test_scores"]
            assert_same_model(found, expected)
            assert "fit" not in vars(found)


@pytest.mark.parametrize("n_val", [5, 52])
def test_where_a_scorer_fails_the_rows_for_validation_stay(n_val, trained):
    X, y, _ = table()

    def scoring(found, X, y):
        if found.lambd == 2.0:
            raise TypeError("not of this one")
        return found.score(X, y)

    validation = {"X_val": X[:n_val] * 0.5, "y_val": y[:n_val]}
    one = model(early_stopping=True, scoring=scoring)
    models, results = stack(one, X, y, validation=validation)
    assert trained == [None]
    expected = clone(models[0]).fit(X[TRAIN], y[TRAIN], **validation)
    assert_same_model(models[0], expected)
    assert "not of this one" in results[1]["fit_error"]


def test_what_is_wrong_with_all_is_the_error_of_each():
    X, y, _ = table()
    validation = {"X_val": X[:, :2], "y_val": y}
    one = model(early_stopping=True)
    _, results = stack(one, X, y, validation=validation)
    assert all("In X_val and y_val" in last_line(result) for result in results)


def test_an_interrupt_is_raised():
    X, y, _ = table()

    def scoring(found, X, y):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stack(model(early_stopping=True, scoring=scoring), X, y)


# The training set --------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["dense", "float32", "sparse", "named"])
def test_the_training_set_is_that_of_fit(kind):
    X, y, weight = table(3)
    rows = {
        "dense": X,
        "float32": X.astype(np.float32),
        "sparse": sparse.csr_array(X),
        "named": pd.DataFrame(X, columns=list("abcd")),
    }[kind]
    one = model(class_weight="balanced")
    data = validated(one, rows, y, weight)
    assert data.n_rows == 52
    assert data.X.dtype == (np.float32 if kind == "float32" else np.float64)
    assert data.target.classes.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(data.sample_weight, weight)
    factors = [data.weight[y == code][0] / weight[y == code][0] for code in range(3)]
    np.testing.assert_allclose(data.weight, weight * np.take(factors, y))
    assert len(set(factors)) == 3
    assert one.n_features_in_ == 4
    assert hasattr(one, "feature_names_in_") == (kind == "named")


def test_the_rows_are_validated_as_those_of_fit():
    X, y, weight = table()
    for bad in [(X * np.nan, y), (X, y[1:]), (X, y, -weight)]:
        with pytest.raises(ValueError) as expected:  # noqa: PT011
            model().fit(*bad)
        with pytest.raises(ValueError) as found:  # noqa: PT011
            validated(model(), *bad)
        assert str(found.value) == str(expected.value)


def test_scikit_learns_private_function_has_the_arguments_that_are_used():
    """A version without them would fail each fit, and the search would say so late."""
    names = set(inspect.signature(_fit_and_score).parameters)
    assert {"parameters", "fit_params", "score_params", "return_times"} <= names
