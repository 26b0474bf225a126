"""The error of a training that diverged, the warning of one that came to nothing."""

import warnings

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_iris, load_wine, make_moons
from sklearn.preprocessing import StandardScaler

from skreg import (
    RegularizedMLPClassifier,
    RegularizedMLPClassifierCV,
    RegularizedMLPEnsemble,
)
from skreg._training.advice import RegularizationWarning

XOR = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=float), np.array([0, 1, 1, 0])


def kinds_of(fit, *arguments):
    """The categories of the warnings of a call."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(*arguments)
    assert {warning.filename for warning in caught} <= {__file__}
    return [warning.category for warning in caught]


# Penalties that are too strong -------------------------------------------------------


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_four_rows_of_xor_are_warned_of_and_learnt_without_a_penalty(solver):
    X, y = XOR
    model = RegularizedMLPClassifier(solver=solver, random_state=0)
    why = r"so few rows: lambd=1\.0 over their total weight, 4, .* Lower lambd \(0"
    with pytest.warns(RegularizationWarning, match=why) as caught:
        model.fit(X, y)
    (warning,) = caught
    assert warning.filename == __file__
    # Without it the error is small, if the rate is not: 'sgd' is slow on four rows.
    model.set_params(lambd=0.0, learning_rate_init=0.1 if solver == "sgd" else 0.01)
    assert kinds_of(model.fit, X, y) == []
    assert model.score(X, y) == 1


SLOW = pytest.mark.slow


@pytest.mark.parametrize("keep_prob", [1.0, 0.5])
@pytest.mark.parametrize(
    "n_rows",
    [4, 5, 6, 10, 20, *(pytest.param(n, marks=SLOW) for n in (8, 15, 30, 40, 49))],
)
def test_small_tables_are_learnt_or_warned_of(n_rows, keep_prob):
    """Where a model has nearly the same probabilities for all rows, it says so."""
    tables = {
        "moons": make_moons(200, noise=0.15, random_state=0),
        "iris": load_iris(return_X_y=True),
        "wine": load_wine(return_X_y=True),
        "cancer": load_breast_cancer(return_X_y=True),
    }
    for name, (X, y) in tables.items():
        order = np.random.default_rng(1).permutation(len(y))[:n_rows]
        X, y = StandardScaler().fit_transform(X)[order], y[order]
        if len(np.unique(y)) < 2:
            continue
        model = RegularizedMLPClassifier(keep_prob=keep_prob, random_state=0)
        told = RegularizationWarning in kinds_of(model.fit, X, y)
        spread = np.ptp(model.predict_proba(X), axis=0).max()
        assert told == (spread < 0.05), (name, spread)


@pytest.mark.parametrize(
    ("lambd", "n_rows", "weight"), [(1.0, 52, 0.15), (100.0, 99, 1.0), (1e3, 500, 1.0)]
)
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_lambd_that_leaves_nothing_of_more_rows(lambd, n_rows, weight, solver):
    X, y = np.tile(XOR[0], (n_rows // 4, 1)), np.tile(XOR[1], n_rows // 4)
    X = StandardScaler().fit_transform(X)
    model = RegularizedMLPClassifier(
        lambd=lambd, solver=solver, early_stopping=False, random_state=0
    )
    total = f"{len(y) * weight:.3g}"
    why = rf"lambd={lambd} over their total weight, {total}, .* or larger weights"
    with pytest.warns(RegularizationWarning, match=why):
        model.fit(X, y, sample_weight=np.full(len(y), weight))
    assert np.ptp(model.predict_proba(X), axis=0).max() < 0.05


def test_a_small_network_for_another_reason_is_not_the_penaltys():
    X, y = XOR
    for lambd in (0.0, 1e-6):
        model = RegularizedMLPClassifier(lambd=lambd, max_norm=0.01, random_state=0)
        assert kinds_of(model.fit, X, y) == []


def test_few_epochs_are_no_penalty():
    X, y = XOR
    assert kinds_of(RegularizedMLPClassifier(max_iter=3).fit, X, y) == []


def test_an_ensemble_and_a_search_say_it_once():
    X, y = np.repeat(XOR[0], 3, axis=0), np.repeat(XOR[1], 3)
    ensemble = RegularizedMLPEnsemble(random_state=0, n_estimators=3)
    assert kinds_of(ensemble.fit, X, y) == [RegularizationWarning]
    # Of the candidates it is not said; the last is the best of them, or all are.
    for lambds, expected in (((3.0, 5.0), [RegularizationWarning]), ((0.001, 5.0), [])):
        search = RegularizedMLPClassifierCV(
            lambds, (1.0,), cv=3, max_iter=200, random_state=0
        )
        assert kinds_of(search.fit, X, y) == expected


def test_weights_that_are_the_cause_are_named_alone():
    X, y = XOR
    with pytest.warns(UserWarning, match="The weights of the rows") as caught:
        RegularizedMLPClassifier(random_state=0).fit(X, y, sample_weight=[0.01] * 4)
    assert len(caught) == 1


# Divergence --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rows():
    X, y = make_moons(60, random_state=0)
    return StandardScaler().fit_transform(X), y


@pytest.mark.parametrize(
    ("solver", "total"),
    [
        ("sgd", 1e-4),
        ("sgd", 1e-30),
        ("sgd", 1e-300),
        ("adam", 1e-300),
        ("lbfgs", 1e-300),
    ],
)
def test_a_divergence_by_weights_names_the_weights(rows, solver, total):
    model = RegularizedMLPClassifier(
        solver=solver, early_stopping=False, random_state=0
    )
    with pytest.raises(ValueError, match=r"^Training diverged: .* in epoch") as caught:
        model.fit(*rows, sample_weight=np.full(60, total / 60))
    text = str(caught.value)
    assert f"total weight of the rows, {total:.3g}, is {1 / total:.3g}" in text
    assert f"have a mean of {total / 60:.3g}" in text
    assert "Divide sample_weight" in text
    assert "StandardScaler" not in text


def test_a_divergence_by_lambd_names_lambd(rows):
    model = RegularizedMLPClassifier(
        solver="sgd", lambd=1e6, early_stopping=False, random_state=0
    )
    why = r"lambd over the total weight .* 60, is 1\.67e\+04.* Lower .*lambd=1000000\.0"
    with pytest.raises(ValueError, match=why) as caught:
        model.fit(*rows)
    assert "StandardScaler" not in str(caught.value)


def test_a_divergence_by_columns_names_the_column(rows):
    X, y = rows
    model = RegularizedMLPClassifier(solver="sgd", standardize=False, random_state=0)
    with pytest.raises(ValueError, match=r"diverged.* in column 1\. Scale the"):
        model.fit(X * [1, 1e9], y)
