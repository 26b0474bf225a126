"""Candidates of a search: their results, times and warnings; where they fail."""

import inspect
from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from helpers import network, noisy_rows
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import get_scorer
from sklearn.model_selection import ParameterGrid
from sklearn.model_selection._validation import _fit_and_score

from skreg import RegularizedMLPClassifier, RegularizedMLPClassifierCV
from skreg._models import candidates as _candidates
from skreg._models.candidates import compared, fit_and_score
from skreg._training.fit import train
from skreg._training.rows import given_rows

SETTINGS = list(ParameterGrid({"keep_prob": [0.5, 1.0], "lambd": [0.1, 2.0, 9.0]}))
TRAIN, TEST = np.arange(3, 40), np.r_[40:52, 0:3]
# What scikit-learn's function is to return; it has the models in its results as well.
SCORING = {
    "scorer": get_scorer("neg_log_loss"),
    "score_params": {},
    "return_train_score": True,
    "return_estimator": True,
    "error_score": np.nan,
    "verbose": 0,
}

model = partial(network, hidden_layer_sizes=(5, 4), max_iter=8, n_validation_splits=1)


def stack(one, X, y, found=SETTINGS, *, validation=None, fit_params=None, **arguments):
    """The results of these candidates."""
    return fit_and_score(
        one,
        X,
        y,
        split=(TRAIN, TEST),
        arguments=[{"parameters": parameters} for parameters in found],
        validation=validation or {},
        fit_params=fit_params or {},
        **SCORING | arguments,
    )


def alone(one, X, y, parameters, **fit_params):
    """What scikit-learn's function makes of one of them."""
    return _fit_and_score(
        clone(one),
        X,
        y,
        train=TRAIN,
        test=TEST,
        parameters=parameters,
        fit_params=fit_params,
        return_n_test_samples=True,
        return_times=True,
        **SCORING,
    )


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
    """What each training of several returned, or None where it raised."""
    calls = []

    def spied(*arguments, **keywords):
        calls.append(None)
        calls[-1] = train(*arguments, **keywords)
        return calls[-1]

    monkeypatch.setattr(_candidates, "train", spied)
    return calls


# The results -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parameters",
    [
        {"solver": "sgd", "class_weight": "balanced"},
        {
            "early_stopping": True,
            "early_stopping_refit": True,
            "n_validation_splits": 2,
            "train_scores": True,
            "averaging": 0.9,
        },
    ],
    ids=str,
)
@pytest.mark.parametrize("weighted", [False, True])
def test_results_and_models_are_those_of_scikit_learns_function(
    parameters, weighted, trained
):
    X, y, weight = noisy_rows()
    fit_params = {"sample_weight": weight} if weighted else {}
    one = model(**parameters)
    results = stack(one, X, y, fit_params=fit_params)
    assert [len(found) for found in trained] == [6]
    for result, candidate in zip(results, SETTINGS, strict=True):
        expected = alone(one, X, y, candidate, **fit_params)
        assert_same_model(result["estimator"], expected["estimator"])
        assert result["estimator"].get_params() == expected["estimator"].get_params()
        assert result.keys() == expected.keys()
        assert result["fit_error"] is None
        assert result["n_test_samples"] == 15
        for name in ("test_scores", "train_scores"):
            assert result[name] == pytest.approx(expected[name], abs=1e-9)
    # One is not like another, and nothing was fitted that was given.
    assert len({result["test_scores"] for result in results}) == 6
    assert not hasattr(one, "coefs_")


def test_tables_keep_their_names(trained):
    X, y, _ = noisy_rows()
    for result in stack(model(), pd.DataFrame(X, columns=list("abcd")), y):
        assert result["estimator"].feature_names_in_.tolist() == list("abcd")
        assert result["estimator"].n_features_in_ == 4
    assert len(trained) == 1


def test_the_fit_can_be_called_again():
    X, y, _ = noisy_rows()
    found = stack(model(), X, y)[2]["estimator"]
    expected = clone(found).fit(X, y)
    assert "fit" not in vars(found)
    assert_same_model(found.fit(X, y), expected)


def test_one_candidate_is_fitted_as_it_is(trained):
    X, y, _ = noisy_rows()
    (result,) = stack(model(), X, y, SETTINGS[:1])
    assert trained == []
    expected = alone(model(), X, y, SETTINGS[0])
    assert_same_model(result["estimator"], expected["estimator"])
    assert result["test_scores"] == expected["test_scores"]


def test_a_splitter_may_give_lists():
    X, y, weight = noisy_rows()
    arrays, lists = (
        fit_and_score(
            model(),
            X,
            y,
            split=(kind(TRAIN), kind(TEST)),
            arguments=[{"parameters": parameters} for parameters in SETTINGS[:2]],
            validation={},
            fit_params={"sample_weight": weight},
            **SCORING,
        )
        for kind in (np.asarray, np.ndarray.tolist)
    )
    for found, expected in zip(lists, arrays, strict=True):
        assert found["test_scores"] == expected["test_scores"]


def test_each_candidate_without_convergence_warns():
    """But not of columns, of which the search tells once."""
    X, y, _ = noisy_rows()
    with pytest.warns(ConvergenceWarning) as caught:
        stack(model(learning_rate="constant", max_iter=3), 100 * X, y)
    texts = [str(w.message) for w in caught]
    assert len(texts) == 6
    assert "max_iter=3" in texts[0]
    assert not any("columns of X" in text for text in texts)
    stack(model(), 100 * X, y)
    stack(model(), 100 * X, y, SETTINGS[:1])


# Times -------------------------------------------------------------------------------


def test_the_time_of_the_training_is_shared_out_evenly(monkeypatch):
    X, y, _ = noisy_rows()
    clock = SimpleNamespace(time=iter([100.0, 106.0]).__next__)
    monkeypatch.setattr(_candidates, "time", clock)
    results = stack(model(), X, y)
    assert [result["fit_time"] for result in results] == [1.0] * 6
    assert all(0 <= result["score_time"] < 5 for result in results)


def test_the_time_of_one_alone_is_its_own(monkeypatch):
    X, y, _ = noisy_rows()
    monkeypatch.setattr(_candidates, "time", None)
    (result,) = stack(model(), X, y, SETTINGS[:1])
    assert 0 < result["fit_time"] < 5


# Rows for validation -----------------------------------------------------------------


@pytest.mark.parametrize("n_settings", [1, 6])
def test_own_rows_for_validation_are_not_cut(n_settings, trained):
    """As many as X has."""
    X, y, weight = noisy_rows()
    validation = {"X_val": X[::-1] * 0.9, "y_val": y[::-1], "sample_weight_val": weight}
    one = model(early_stopping=True, n_iter_no_change=2, max_iter=20)
    results = stack(
        one,
        X,
        y,
        SETTINGS[:n_settings],
        validation=validation,
        fit_params={"sample_weight": weight},
    )
    assert len(trained) == (n_settings > 1)
    for result, parameters in zip(results, SETTINGS, strict=False):
        expected = clone(one).set_params(**parameters)
        expected.fit(X[TRAIN], y[TRAIN], weight[TRAIN], **validation)
        assert_same_model(result["estimator"], expected)


def test_with_own_rows_for_validation_no_model_is_trained_twice(monkeypatch):
    X, y, _ = noisy_rows()

    def never(*arguments, **keywords):
        raise AssertionError("a fit beside the stack")

    monkeypatch.setattr(RegularizedMLPClassifier, "fit", never)
    one = model(early_stopping=True)
    results = stack(one, X, y, validation={"X_val": X, "y_val": y})
    assert [result["fit_error"] for result in results] == [None] * 6


# Failures ----------------------------------------------------------------------------

HUGE = [{"lambd": 1e9}, {"lambd": 1.0}, {"lambd": 2e9, "keep_prob": 0.5}]


def last_line(result):
    return result["fit_error"].strip().splitlines()[-1]


@pytest.mark.parametrize("named", [False, True])
def test_a_candidate_that_diverges_fails_alone(named, trained):
    X, y, _ = noisy_rows()
    if named:
        X = pd.DataFrame(X, columns=list("abcd"))
    one = model(solver="sgd")
    results = stack(one, X, y, HUGE)
    assert len(trained) == 1
    for result, parameters in zip(results, HUGE, strict=True):
        expected = alone(one, X, y, parameters)
        np.testing.assert_allclose(result["test_scores"], expected["test_scores"])
        if parameters["lambd"] == 1.0:
            assert result["fit_error"] is None
            assert hasattr(result["estimator"], "coefs_")
            continue
        # The same text, with the names of columns.
        assert last_line(result) == last_line(expected)
        assert f"lambd={parameters['lambd']}" in last_line(result)
        assert np.isnan(result["train_scores"])
        assert not hasattr(result["estimator"], "coefs_")


def test_the_error_may_be_raised():
    X, y, _ = noisy_rows()
    with pytest.raises(ValueError, match=r"diverged.*lambd=1000000000.0"):
        stack(model(solver="sgd"), X, y, HUGE, error_score="raise")
    with pytest.raises(ValueError, match=r"diverged.*lambd=2000000000.0"):
        stack(model(solver="sgd"), X, y, HUGE[1:], error_score="raise")


def test_a_score_that_is_never_a_number_fails_alone(trained):
    X, y, _ = noisy_rows()

    def scoring(found, X, y):
        return np.nan if found.lambd == 2.0 else 0.5

    results = stack(model(early_stopping=True, scoring=scoring), X, y)
    assert [len(found) for found in trained] == [6]
    failed = [result["fit_error"] is not None for result in results]
    assert failed == [False, True, False] * 2
    assert (
        "gave NaN on the validation rows in each of 4 epochs" in results[1]["fit_error"]
    )


def test_the_scorer_of_early_stopping_sees_the_settings_of_each_candidate(trained):
    X, y, _ = noisy_rows()
    seen = []

    def scoring(found, X, y):
        seen.append((found.lambd, found.keep_prob))
        return 0.0

    stack(model(early_stopping=True, scoring=scoring, max_iter=1), X, y)
    assert len(trained) == 1
    assert seen == [(each["lambd"], each["keep_prob"]) for each in SETTINGS]


def fails_at_two(found, X, y):
    if found.lambd == 2.0:
        raise TypeError("not of this one")
    return found.score(X, y)


@pytest.mark.parametrize("seed", [0, "RandomState"])
def test_where_a_scorer_fails_each_candidate_has_its_own_error_or_none(seed, trained):
    """And it starts where a fit of its own starts."""
    X, y, _ = noisy_rows()
    if seed == "RandomState":
        seed = np.random.RandomState(0)
    one = model(early_stopping=True, scoring=fails_at_two, random_state=seed)
    results = stack(one, X, y, SETTINGS[:3])
    assert trained == [None]
    for result, parameters in zip(results, SETTINGS, strict=False):
        expected = alone(one, X, y, parameters)
        if parameters["lambd"] == 2.0:
            assert "TypeError: not of this one" in result["fit_error"]
            assert last_line(result) == last_line(expected)
        else:
            assert result["test_scores"] == expected["test_scores"]
            assert_same_model(result["estimator"], expected["estimator"])
            assert "fit" not in vars(result["estimator"])


@pytest.mark.parametrize("n_val", [5, 52])
def test_where_a_scorer_fails_the_rows_for_validation_stay(n_val, trained):
    X, y, _ = noisy_rows()
    validation = {"X_val": X[:n_val] * 0.5, "y_val": y[:n_val]}
    one = model(early_stopping=True, scoring=fails_at_two)
    results = stack(one, X, y, SETTINGS[:2], validation=validation)
    assert trained == [None]
    expected = clone(one).set_params(**SETTINGS[0])
    expected.fit(X[TRAIN], y[TRAIN], **validation)
    assert_same_model(results[0]["estimator"], expected)
    assert "not of this one" in results[1]["fit_error"]


def test_what_is_wrong_with_all_is_the_error_of_each():
    X, y, _ = noisy_rows()
    validation = {"X_val": X[:, :2], "y_val": y}
    results = stack(model(early_stopping=True), X, y, validation=validation)
    assert all("In X_val and y_val" in last_line(result) for result in results)


@pytest.mark.parametrize("wrong", ["X", "y", "sample_weight"])
def test_bad_rows_are_told_of_as_by_fit(wrong):
    X, y, weight = noisy_rows()
    rows = {"X": X, "y": y, "sample_weight": weight}
    rows[wrong] = -weight if wrong == "sample_weight" else rows[wrong] * np.nan
    with pytest.raises(ValueError, match=r"NaN|Negative") as expected:
        model().fit(**{name: values[TRAIN] for name, values in rows.items()})
    fit_params = {"sample_weight": rows["sample_weight"]}
    for result in stack(model(), rows["X"], rows["y"], fit_params=fit_params):
        assert str(expected.value) in result["fit_error"]


def test_an_interrupt_is_raised():
    X, y, _ = noisy_rows()

    def scoring(found, X, y):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stack(model(early_stopping=True, scoring=scoring), X, y)


def test_scikit_learns_private_function_has_the_arguments_that_are_used():
    """A version without them would fail each fit, and the search would say so late."""
    names = set(inspect.signature(_fit_and_score).parameters)
    assert {"parameters", "fit_params", "score_params", "return_times"} <= names


# float32 -----------------------------------------------------------------------------

LONG = 10**6


def search_of(lambds, scoring="auto"):
    return SimpleNamespace(lambds=lambds, scoring=scoring)


def dtype_of(
    X, *, n_fits=LONG, lambds=(0.1, 1.0), weight=None, scoring="auto", **parameters
):
    """That in which a search compares its settings."""
    one = model(**parameters)
    rows = given_rows(one, X, np.arange(X.shape[0]) % 2, weight).training
    found = compared(X, rows, one, search_of(lambds, scoring), n_fits)
    assert found.shape == X.shape
    return getattr(found, "dtype", None)


def columns(**changes):
    """Twenty rows of two columns, and what differs in the second."""
    X = np.random.default_rng(0).normal(size=(20, 2))
    for name, value in changes.items():
        X[:, 1] = getattr(np, name)(X[:, 1], value)
    return X


@pytest.mark.parametrize(
    ("X", "expected"),
    [
        (columns(), "float32"),
        (columns().astype(int), "float32"),
        (columns().astype(np.float32), "float32"),
        (columns(multiply=1e-12), "float32"),
        (columns(multiply=1e12), "float32"),
        # One that does not vary has nothing to lose.
        (columns(multiply=0), "float32"),
        (columns(multiply=0, add=1e6), "float32"),
        (columns(add=100), "float32"),
        # Its rounding would show beside its deviation.
        (columns(add=1e4), "float64"),
        (columns(add=-1e4), "float64"),
        (columns(multiply=1e-20), "float64"),
        (columns(multiply=1e20), "float64"),
        (csr_array(columns()), "float32"),
        (csr_array(columns(multiply=1e20)), "float64"),
        (csr_array(columns(multiply=1e-20)), "float64"),
        (csr_array(columns(multiply=0)), "float32"),
    ],
)
def test_settings_are_compared_in_float32_where_that_loses_nothing(X, expected):
    assert dtype_of(X) == expected


@pytest.mark.parametrize(
    "given",
    [
        {"solver": "lbfgs"},
        {"n_fits": 1},
        {"scoring": lambda model, X, y: 0.0},
        {"scoring": ["accuracy"]},
        {"lambds": [1.0, 1e20]},
        {"lambds": [[0.0, 1e20, 0.0]]},
        {"weight": np.full(20, 1e-20)},
        {"weight": np.full(20, 1e20)},
    ],
)
def test_settings_are_compared_in_float64_where_float32_is_not_enough(given):
    assert dtype_of(columns(), **given) == "float64"
    assert dtype_of(columns()) == "float32"


def test_a_frame_keeps_its_names():
    frame = pd.DataFrame(columns(), columns=["a", "b"])
    one = model()
    rows = given_rows(one, frame, np.arange(20) % 2, None).training
    found = compared(frame, rows, one, search_of([1.0]), LONG)
    assert found.columns.tolist() == ["a", "b"]
    assert set(found.dtypes) == {np.dtype(np.float32)}
    rows_of_list = [[1.0], [2.0]]
    assert compared(rows_of_list, rows, one, search_of([1.0]), LONG) is rows_of_list


def test_a_search_in_float32_ends_with_a_network_for_x_as_it_is(monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 4))
    y = (X[:, 0] + rng.normal(size=80) > 0).astype(int)
    one = RegularizedMLPClassifierCV(
        (0.1, 3.0), (0.5, 1.0), hidden_layer_sizes=(5,), max_iter=20, cv=2,
        batch_size=8, n_refits=1, random_state=0,
    )  # fmt: skip
    in_float64 = clone(one).fit(X, y)
    monkeypatch.setattr(_candidates, "_LONG_SEARCH", 0)
    found, of_float32 = clone(one).fit(X, y), clone(one).fit(X.astype(np.float32), y)
    for name, scores in found.cv_results_.items():
        if "_test_" in name:
            np.testing.assert_array_equal(scores, of_float32.cv_results_[name])
            np.testing.assert_allclose(scores, in_float64.cv_results_[name], atol=1e-4)
    assert (
        found.cv_results_["mean_test_loss"] != in_float64.cv_results_["mean_test_loss"]
    ).any()
    assert found.best_params_ == in_float64.best_params_
    coefs = zip(
        found.best_estimator_.coefs_, in_float64.best_estimator_.coefs_, strict=True
    )
    for mine, theirs in coefs:
        assert mine.dtype == np.float64
        np.testing.assert_array_equal(mine, theirs)
