"""Searches whose fits run on a Dask cluster, by joblib."""

import warnings

import joblib
import numpy as np
import pytest
from distributed import Client, LocalCluster
from numpy.testing import assert_allclose
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

from skreg import RegularizedMLPClassifier, RegularizedMLPClassifierCV

LAMBDS = [0.1, 1.0, 10.0]
KEEP_PROBS = [0.7, 1.0]
SETTINGS = {
    "hidden_layer_sizes": (6, 4),
    "batch_size": 32,
    "learning_rate": "cosine",
    "max_iter": 8,
    "random_state": 0,
}
SEARCH = {"scoring": "neg_log_loss", "cv": 4}

# The processes of the cluster take seconds to start.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster():
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
    ) as cluster:
        yield cluster


@pytest.fixture
def client(cluster):
    with Client(cluster) as client:
        yield client


@pytest.fixture(scope="module")
def rows():
    return make_classification(200, 8, n_informative=5, n_classes=3, random_state=0)


def stacked(**settings):
    return RegularizedMLPClassifierCV(LAMBDS, KEEP_PROBS, **SEARCH, **settings)


def one_by_one(**settings):
    return GridSearchCV(
        RegularizedMLPClassifier(**settings),
        {"lambd": LAMBDS, "keep_prob": KEEP_PROBS},
        **SEARCH,
    )


def pid_of_fit(estimator, X, y):
    """A score that tells in which process it was computed."""
    import os

    return float(os.getpid())


@pytest.mark.parametrize("search", [stacked, one_by_one])
def test_a_search_on_a_cluster_finds_what_it_finds_here(search, rows, client):
    local = search(**SETTINGS).fit(*rows)
    with joblib.parallel_config(backend="dask"):
        remote = search(**SETTINGS).fit(*rows)
    assert remote.best_params_ == local.best_params_
    for split in range(4):
        name = f"split{split}_test_score"
        assert_allclose(
            remote.cv_results_[name], local.cv_results_[name], rtol=0, atol=1e-9
        )
    X, _ = rows
    assert_allclose(remote.predict_proba(X), local.predict_proba(X), rtol=0, atol=1e-9)


def test_both_workers_have_a_part(rows, client):
    pids = {
        float(pid) for pid in client.run(lambda: __import__("os").getpid()).values()
    }
    search = stacked(**SETTINGS).set_params(scoring=pid_of_fit, refit=False)
    with joblib.parallel_config(backend="dask"):
        search.fit(*rows)
    found = {
        pid for s in range(4) for pid in search.cv_results_[f"split{s}_test_score"]
    }
    assert found == pids


@pytest.mark.parametrize("search", [stacked, one_by_one])
def test_the_data_are_scattered_once(search, rows, client, monkeypatch):
    X, y = rows
    scattered = []
    scatter = Client.scatter

    def noted(self, data, *args, **kwargs):
        scattered.append(data)
        return scatter(self, data, *args, **kwargs)

    monkeypatch.setattr(Client, "scatter", noted)
    with joblib.parallel_config(backend="dask"):
        search(**SETTINGS).fit(X, y)
    assert sum(data is X for data in scattered) == 1
    assert sum(data is y for data in scattered) == 1
    # Nor does anything else of that size go there, such as the rows of each split.
    others = [data for data in scattered if data is not X and data is not y]
    assert all(np.asarray(data).nbytes < X.nbytes / 4 for data in others)


def test_a_failed_fit_is_told_from_afar(rows, client):
    X, y = rows
    search = stacked(**SETTINGS).set_params(
        solver="sgd", learning_rate_init=1e6, momentum=0.0, refit=False
    )
    with (
        joblib.parallel_config(backend="dask"),
        pytest.raises(ValueError, match="Training diverged"),
    ):
        search.fit(1e3 * X, y)


def test_the_refit_is_here_and_warns_here(rows, client):
    settings = {**SETTINGS, "learning_rate": "constant"}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with joblib.parallel_config(backend="dask"):
            stacked(**settings).fit(*rows)
    categories = {warning.category for warning in caught}
    assert categories == {ConvergenceWarning}
