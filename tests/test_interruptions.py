"""What is left of a call that is interrupted or fails, wherever it had come to.

The exception comes at a line of the package, as that of Ctrl-C does: in the middle of
an update of the weights too. ``docs/reliability/faults.py`` does so at every line.
"""

import copy
import os
import pickle
import resource
import signal
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest
from joblib.externals.loky.process_executor import TerminatedWorkerError
from lines import raised_at_line
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from threadpoolctl import threadpool_info, threadpool_limits
from untouched import untouched

from skreg import (
    RegularizedMLPClassifier,
    RegularizedMLPClassifierCV,
    RegularizedMLPEnsemble,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning", "ignore:.*fork.*:DeprecationWarning"
)


@pytest.fixture(autouse=True, scope="module")
def two_threads():
    """So that it shows if a call does not give them back."""
    with threadpool_limits(2, user_api="blas"):
        yield


X = np.random.default_rng(0).normal(size=(14, 2))
Y = (X[:, 0] > 0).astype(int)
EPOCHS = 3


def network(**parameters):
    """So small that the lines around the mathematics are few as well."""
    defaults = {
        "hidden_layer_sizes": (2,),
        "learning_rate": "constant",
        "max_iter": EPOCHS,
        "batch_size": 7,
        "n_iter_no_change": np.inf,
        "early_stopping": False,
        "random_state": 0,
    }
    return RegularizedMLPClassifier(**{**defaults, **parameters})


NETWORKS = {
    "adam": network(),
    "sgd": network(solver="sgd", averaging=0.0, keep_prob=0.8, max_norm=0.5),
    "lbfgs": network(solver="lbfgs", tol=0.0),
    "best epoch": network(
        early_stopping=True,
        early_stopping_refit=False,
        n_validation_splits=1,
        validation_fraction=0.3,
        train_scores=True,
    ),
    "splits and all rows": network(
        early_stopping=True,
        early_stopping_refit=True,
        n_validation_splits=2,
        validation_fraction=0.3,
    ),
}
every_network = pytest.mark.parametrize("name", NETWORKS)


def after_epochs(model, n_epochs):
    """What an interrupt after so many epochs is to leave of a fit of the model."""
    model = clone(model)
    rows, validation = np.ones(len(X), dtype=bool), {}
    if model.n_validation_splits == 2:
        # Of several splits it is the network of the first, whose rows a scorer sees.
        seen = []

        def see(_, X, y):
            seen.append((X, y))
            return 0.0

        clone(model).set_params(scoring=see, max_iter=1).fit(X, Y)
        validation = dict(zip(("X_val", "y_val"), seen[0], strict=True))
        rows = ~np.isin(X[:, 0], validation["X_val"][:, 0])
        model.set_params(n_validation_splits=1)
    model.set_params(max_iter=n_epochs, early_stopping_refit=False)
    return model.fit(X[rows], Y[rows], **validation)


def assert_same(found, expected, path="model"):
    """Bit for bit, whatever it is made of."""
    if hasattr(expected, "get_params"):
        found, expected = vars(found), vars(expected)
    assert type(found) is type(expected), path
    if isinstance(expected, dict):
        assert found.keys() == expected.keys(), path
        for key, value in expected.items():
            assert_same(found[key], value, f"{path}.{key}")
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected), path
        for i, value in enumerate(expected):
            assert_same(found[i], value, f"{path}[{i}]")
    else:
        np.testing.assert_array_equal(found, expected, err_msg=path)


def fit(model):
    model.fit(X, Y)


def fitted_attributes(model):
    return {
        name: value
        for name, value in vars(model).items()
        if name.endswith("_") and name != "converged_"
    }


def some_lines(call, model, n):
    """The numbers of n lines, about, that the call of a model runs: first to last."""
    call(copy.deepcopy(model))
    again = copy.deepcopy(model)
    with raised_at_line(0) as of_call:
        call(again)
    assert of_call.n_lines > n
    return np.unique(np.linspace(1, of_call.n_lines, n).astype(int)).tolist()


def fail(call, model, line, error=KeyboardInterrupt):
    """Call it, with the error at that line, and see to it that nothing else changes."""
    with untouched(), raised_at_line(line, error) as raised:
        call(model)
    assert raised.place is not None


# Ctrl-C ------------------------------------------------------------------------------


def check_interrupts(model, n_lines):
    """Interrupt ``fit`` at so many lines; how many epochs were left in each."""
    expected = {n: after_epochs(model, n) for n in range(1, EPOCHS + 1)}
    complete = clone(model).fit(X, Y)
    counts = []
    for line in some_lines(fit, model, n_lines):
        found = clone(model)
        fail(fit, found, line)
        if hasattr(found, "coefs_"):
            counts.append(found.n_iter_)
            same = complete if found.refit_ else expected[found.n_iter_]
            assert_same(fitted_attributes(found), fitted_attributes(same))
            assert np.isfinite(found.predict_proba(X)).all()
        else:
            counts.append(0)
            assert vars(found).keys() == found.get_params().keys()
            with pytest.raises(NotFittedError):
                found.predict(X)
        assert_same(pickle.loads(pickle.dumps(found)), found)
        if line % 5 == 0:
            assert_same(found.fit(X, Y), complete)
    return counts


@every_network
def test_an_interrupt_leaves_the_last_complete_epoch(name):
    counts = check_interrupts(NETWORKS[name], 12)
    assert len(set(counts)) > 2


@pytest.mark.slow
@every_network
def test_an_interrupt_at_many_lines_leaves_the_last_complete_epoch(name):
    assert set(check_interrupts(NETWORKS[name], 40)) == set(range(EPOCHS + 1))


def test_an_interrupt_of_a_warm_start_leaves_its_last_complete_epoch():
    """The epochs are those of this call; before the first the model is as it was."""
    model = network(warm_start=True, solver="sgd").fit(X, Y)
    before = fitted_attributes(model)
    expected = []
    for n_epochs in range(1, EPOCHS + 1):
        one = copy.deepcopy(model).set_params(max_iter=n_epochs)
        fit(one)
        expected.append(one)
    counts = []
    for line in some_lines(fit, model, 12):
        found = copy.deepcopy(model)
        fail(fit, found, line)
        if found.t_ == model.t_:
            counts.append(0)
            assert_same(vars(found), vars(model))
        else:
            counts.append(found.n_iter_)
            same = expected[found.n_iter_ - 1]
            assert_same(fitted_attributes(found), fitted_attributes(same))
        n_rows = found.t_
        fit(found)
        assert found.t_ == n_rows + EPOCHS * len(X)
        assert np.isfinite(found.loss_curve_).all()
    assert len(set(counts)) > 2


@pytest.mark.parametrize("fitted", [False, True])
def test_an_interrupted_partial_fit_can_be_made_again(fitted):
    """All of its pass counts or nothing of it: as if nobody had interrupted."""
    model = network(keep_prob=0.8)

    def call(model):
        model.partial_fit(X, Y, classes=[0, 1])

    if fitted:
        call(model)
    expected = copy.deepcopy(model)
    call(expected)
    n_again = 0
    lines = some_lines(call, model, 12)
    for line in lines:
        found = copy.deepcopy(model)
        fail(call, found, line)
        if found.__dict__.get("n_iter_", 0) == fitted:
            assert_same(found, model)
            n_again += 1
            call(found)
        assert_same(found, expected)
    assert 0 < n_again < len(lines)


# Other errors ------------------------------------------------------------------------


def search(**parameters):
    defaults = {"lambds": (0.1, 1.0), "keep_probs": (1.0,), "cv": 2, "n_refits": 2}
    return RegularizedMLPClassifierCV(
        **{**defaults, **parameters},
        hidden_layer_sizes=(2,),
        max_iter=EPOCHS,
        random_state=0,
    )


OTHERS = {
    "ensemble": (RegularizedMLPEnsemble(network(), 2), KeyboardInterrupt),
    "search": (search(), KeyboardInterrupt),
    **{name: (model, MemoryError) for name, model in NETWORKS.items()},
}


@pytest.mark.parametrize("name", OTHERS)
def test_an_error_leaves_what_there_was(name):
    """Or the new model, whole, where it came after that was written."""
    model, error = OTHERS[name]
    fitted = clone(model).fit(X[::-1], Y)
    complete = clone(model).fit(X, Y)
    before = dict(vars(fitted))
    n_kept = 0
    lines = some_lines(fit, fitted, 8)
    for line in lines:
        found = copy.copy(fitted)
        fail(fit, found, line, error)
        if all(found.__dict__.get(key) is value for key, value in before.items()):
            n_kept += 1
            assert vars(found).keys() == before.keys()
        else:
            np.testing.assert_array_equal(
                found.predict_proba(X), complete.predict_proba(X)
            )
    assert n_kept >= len(lines) - 2
    # The last line returns the model.
    assert n_kept < len(lines)
    fit(found)
    np.testing.assert_array_equal(found.predict_proba(X), complete.predict_proba(X))
