"""What many files of tests share: networks, tables, programs, comparisons."""

import os
import subprocess
import sys
import warnings
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import numpy as np
from sklearn.exceptions import ConvergenceWarning

import skreg
from skreg import RegularizedMLPClassifier
from skreg._network import kernels
from skreg._network.optimizers import Constants
from skreg._training import compiling

ROOT = Path(__file__).resolve().parents[1]


def small(**parameters):
    """A network that is trained in some milliseconds and warns of nothing.

    ``partial(small, max_iter=5)`` is one with other defaults.
    """
    defaults = {
        "hidden_layer_sizes": (6, 5),
        "learning_rate": "cosine",
        "learning_rate_init": 0.03,
        "max_iter": 12,
        "lambd": 0.5,
        "early_stopping": False,
        "averaging": 0.0,
        "random_state": 0,
    }
    return RegularizedMLPClassifier(**{**defaults, **parameters})


@contextmanager
def no_convergence_warning():
    """For networks that have to stop at ``max_iter``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def make_data(kind="binary", n=40, n_features=4, seed=0, noise=0.5):
    """Rows that are not quite separable, and their classes or labels."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, n_features))
    scores = X @ rng.normal(size=(n_features, 3)) + noise * rng.normal(size=(n, 3))
    if kind == "binary":
        return X, (scores[:, 0] > 0).astype(int)
    if kind == "multiclass":
        return X, scores.argmax(axis=1)
    return X, (scores > 0).astype(int)


def constants(**given):
    """Those of an optimiser that takes no others: any other is None."""
    return Constants(**{**dict.fromkeys(Constants._fields), **given})


@contextmanager
def using(setting):
    """A context with this setting of the compiled kernels."""
    with (
        patch.object(kernels, "setting", lambda: setting),
        patch.object(compiling, "setting", lambda: setting),
    ):
        yield


def run_python(*args, folder=ROOT):
    """Run Python with the package, which may not be installed but in a checkout."""
    paths = [str(Path(skreg.__file__).parents[1]), os.environ.get("PYTHONPATH")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    return subprocess.run(
        [sys.executable, *args],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


# In the conventions of `reference` ----------------------------------------------------


def parameters_of(estimator):
    """The dict of weights and biases."""
    parameters = {}
    layers = zip(estimator.coefs_, estimator.intercepts_, strict=True)
    for i, (W, b) in enumerate(layers, start=1):
        parameters[f"W{i}"] = np.array(W.T, dtype=float)
        parameters[f"b{i}"] = np.array(b[:, np.newaxis], dtype=float)
    return parameters


def indicators(y, classes=None):
    """Y: a column for each sample."""
    y = np.asarray(y)
    if y.ndim == 2:
        return y.T.astype(float)
    classes = np.unique(y) if classes is None else np.asarray(classes)
    if len(classes) == 2:
        return (y == classes[1])[np.newaxis].astype(float)
    return (classes[:, np.newaxis] == y).astype(float)


# Comparisons --------------------------------------------------------------------------


def weights_of(estimator):
    return estimator.coefs_ + estimator.intercepts_


def flat(estimator):
    return np.concatenate([a.ravel() for a in weights_of(estimator)])


def assert_same_weights(found, expected, rtol=0.0, atol=None):
    """Bit for bit, or to tolerances, of which the absolute one is rtol unless given."""
    atol = rtol if atol is None else atol
    for a, b in zip(weights_of(found), weights_of(expected), strict=True):
        assert a.dtype == b.dtype
        if rtol == atol == 0:
            np.testing.assert_array_equal(a, b)
        else:
            np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)


def assert_same_model(found, expected, X):
    """Bit for bit: weights, and what is predicted."""
    assert_same_weights(found, expected)
    np.testing.assert_array_equal(found.classes_, expected.classes_)
    np.testing.assert_array_equal(found.predict_proba(X), expected.predict_proba(X))
    np.testing.assert_array_equal(found.predict(X), expected.predict(X))


def assert_same(found, expected, where="it"):
    """Bit for bit, in the same order and of the same types, whatever it is made of."""
    assert type(found) is type(expected), where
    if hasattr(expected, "get_params"):
        assert_same(vars(found), vars(expected), where)
    elif isinstance(expected, dict):
        assert list(found) == list(expected), where
        for key in expected:
            assert_same(found[key], expected[key], f"{where}[{key!r}]")
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected), where
        for i, (a, b) in enumerate(zip(found, expected, strict=True)):
            assert_same(a, b, f"{where}[{i}]")
    elif isinstance(expected, np.ndarray):
        assert found.dtype == expected.dtype, where
        np.testing.assert_array_equal(found, expected, err_msg=where)
    elif isinstance(expected, np.random.RandomState):
        assert_same(found.get_state(), expected.get_state(), where)
    elif isinstance(expected, float) and np.isnan(expected):
        assert np.isnan(found), where
    else:
        assert found == expected, where


def network(**parameters):
    """An estimator that trains once, on all rows, and ends with the cosine."""
    defaults = {
        "hidden_layer_sizes": (6, 5),
        "learning_rate": "cosine",
        "learning_rate_init": 0.02,
        "batch_size": 20,
        "lambd": 1.0,
        "max_iter": 25,
        "n_iter_no_change": 4,
        "early_stopping": False,
        "early_stopping_refit": False,
        "averaging": 0.0,
        "random_state": 3,
    }
    return RegularizedMLPClassifier(**defaults | parameters)


def noisy_rows(kind="binary", n_rows=52, seed=4):
    """Four columns, classes that are not quite separable, and weights."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, 4))
    scores = X[:, :3] + 0.7 * rng.normal(size=(n_rows, 3))
    y = {
        "binary": scores[:, :2].argmax(axis=1),
        "multiclass": scores.argmax(axis=1),
        "multilabel": (scores > 0).astype(int),
    }[kind]
    return X, y, rng.uniform(0.5, 3, size=n_rows)
