"""A user's program with every public name, for a type checker; it runs, too.

``test_typing.py`` has mypy check it: ``assert_type`` says what each call returns. What
comes from libraries without type hints, such as scikit-learn, is Any.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, assert_type

import dask.array as da
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from distributed import Client
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csc_matrix, csr_array
from sklearn.datasets import make_classification
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skreg
import skreg.dask
import skreg.io
from skreg import (
    LossCurveDisplay,
    RegularizationGridDisplay,
    RegularizedMLPClassifier,
    RegularizedMLPClassifierCV,
    RegularizedMLPEnsemble,
    WeightDistributionDisplay,
    functional,
)
from skreg.functional import compute_cost_with_regularization, forward_propagation

Array = NDArray[Any]

# Dask has type hints for some of its names.
connect: Any = Client
from_array: Any = da.from_array


class Small(RegularizedMLPClassifier):
    """A classifier of the user's own."""


def small(**parameters: Any) -> RegularizedMLPClassifier:
    return RegularizedMLPClassifier((4,), max_iter=2, random_state=0, **parameters)


def classifier(X: Array, y: Array) -> None:
    model = RegularizedMLPClassifier(
        hidden_layer_sizes=[4, 3],
        activation="tanh",
        lambd=[0.1, 0.2, 0.3],
        keep_prob=np.array([0.8, 1.0]),
        class_weight={0: 1.0, 1: 2.0},
        batch_size="full",
        max_iter=2,
        early_stopping=True,
        random_state=np.random.RandomState(0),
    )
    validation = np.ones(10)
    fitted = model.fit(
        X,
        y,
        np.ones(len(y)),
        X_val=X[:10],
        y_val=y[:10],
        sample_weight_val=validation,
    )
    assert_type(fitted, RegularizedMLPClassifier)
    assert_type(Small((4,), max_iter=2).fit(X, y), Small)
    assert_type(model.predict(X), Array)
    assert_type(model.predict_proba(X), Array)
    assert_type(model.predict_log_proba(X), Array)
    assert_type(model.decision_function(X), Array)
    assert_type(model.score(X, y), float)
    assert_type(model.sample_proba(X, n_samples=2, random_state=0), Array)
    assert_type(model.input_gradients(X, target=1), Array)
    assert_type(model.n_iter_, int)
    assert_type(model.loss_curve_, list[float])
    assert_type(model.converged_, bool)
    streamed = small().partial_fit(X, y, classes=[0, 1]).partial_fit(X, y)
    assert_type(streamed, RegularizedMLPClassifier)
    assert_type(Small.from_sklearn(streamed.to_sklearn(), lambd=0.5), Small)


def kinds_of_rows(X: Array, y: Array) -> None:
    """Lists, tables and sparse matrices are rows as well."""
    labels = ["yes" if k else "no" for k in y]
    assert_type(small().fit(X.tolist(), labels).predict(X), Array)
    table, column = pd.DataFrame(X), pd.Series(labels)
    model = small().fit(table, column, sample_weight=pd.Series(np.ones(len(y))))
    assert_type(model.predict(table), Array)
    rows = csr_array(X)
    model = small(early_stopping=True).fit(rows, y, X_val=csc_matrix(X), y_val=y)
    assert_type(model.predict_proba(rows), Array)
    ensemble = RegularizedMLPEnsemble(small(), n_estimators=2).fit(rows, y)
    assert_type(ensemble.predict(rows), Array)


def searches(X: Array, y: Array) -> None:
    pipeline = make_pipeline(StandardScaler(), small())
    grid = {"regularizedmlpclassifier__lambd": [0.1, 1.0]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(X, y)
    cross_val_score(search.best_estimator_, X, y, cv=2)
    display = RegularizationGridDisplay.from_estimator(search, cmap="Blues")
    assert_type(display, RegularizationGridDisplay)
    again = RegularizationGridDisplay(
        [[0.9, 0.8]], lambds=[0.1], keep_probs=[0.5, (0.5, 0.9)], best=(0, 1)
    )
    assert_type(again.plot(colorbar=False), RegularizationGridDisplay)
    assert_type(again.best, tuple[int, int] | None)
    assert_type(again.score_name, str | None)
    assert_type(again.note, str | None)
    fast = RegularizedMLPClassifierCV(
        lambds=np.logspace(-1, 1, 2),
        keep_probs=(0.5, [0.9]),
        cv=2,
        hidden_layer_sizes=(4,),
        max_iter=2,
        n_refits=2,
        random_state=0,
    )
    assert_type(fast.fit(X, y), RegularizedMLPClassifierCV)
    assert_type(fast.score(X, y, sample_weight=np.ones(len(y))), float)
    assert_type(fast.estimator, RegularizedMLPClassifier)
    assert_type(fast.param_grid, dict[str, list[Any]])
    plt.close("all")


def pictures(X: Array, y: Array) -> None:
    model = small().fit(X, y)
    losses = LossCurveDisplay.from_estimator(model, line_kw={"linewidth": 2})
    assert_type(losses, LossCurveDisplay)
    scores = [[0.5, 0.6], [0.4, 0.7]]
    again = LossCurveDisplay(
        scores, validation_scores=scores, best_n_iters=[1, 2], score_name="accuracy"
    )
    assert_type(again.plot(name="two networks"), LossCurveDisplay)
    for given in (again.validation_scores, again.train_scores):
        assert_type(given, Sequence[ArrayLike | None] | None)
    for numbers in (again.best_n_iters, again.n_iters):
        assert_type(numbers, Sequence[int] | None)
    for text in (again.score_name, again.iteration_name):
        assert_type(text, str)
    assert_type(again.refit, bool)
    assert_type(again.name, str | None)
    weights = WeightDistributionDisplay.from_estimator(model, near_zero=0.1)
    assert_type(weights, WeightDistributionDisplay)
    assert_type(weights.near_zero, float)
    assert_type(weights.root_mean_squares, Array)
    assert_type(weights.near_zero_shares, Array)
    assert_type(
        WeightDistributionDisplay(model.coefs_).plot(n_cols=1, bins=5),
        WeightDistributionDisplay,
    )
    plt.close("all")


def ensemble(X: Array, y: Array) -> None:
    model = RegularizedMLPEnsemble(small(), n_estimators=2, random_state=0)
    assert_type(model.fit(X, y, sample_weight=np.ones(len(y))), RegularizedMLPEnsemble)
    assert_type(model.predict(X), Array)
    assert_type(model.predict_proba(X), Array)
    assert_type(model.predict_log_proba(X), Array)
    assert_type(model.decision_function(X), Array)


def formulas(X: Array, Y: Array) -> None:
    parameters: dict[str, Array] = {
        "W1": np.ones((3, len(X))),
        "b1": np.zeros((3, 1)),
        "W2": np.ones((1, 3)),
        "b2": np.zeros((1, 1)),
    }
    A3, cache = forward_propagation(X, parameters)
    assert_type(A3, Array)
    assert_type(cache, tuple[Array, ...])
    assert_type(functional.compute_cost(A3, Y), float)
    assert_type(compute_cost_with_regularization(A3, Y, parameters, 0.7), float)
    gradients = functional.backward_propagation_with_regularization(X, Y, cache, 0.7)
    assert_type(gradients, dict[str, Array])
    _, dropped = functional.forward_propagation_with_dropout(
        X, parameters, keep_prob=0.8, random_state=1
    )
    assert_type(
        functional.backward_propagation_with_dropout(X, Y, dropped, keep_prob=0.8),
        dict[str, Array],
    )


def cluster(X: Array, y: Array) -> None:
    with connect(processes=False, n_workers=1, dashboard_address=":0") as client:
        rows, labels = from_array(X, chunks=(20, 4)), from_array(y, chunks=20)
        model = Small((4,), batch_size="full", early_stopping=False, max_iter=2)
        assert_type(skreg.dask.fit(model, rows, labels, client=client), Small)


def files(X: Array, y: Array) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.skops"
        assert_type(skreg.io.dump(small().fit(X, y), path), None)
        skreg.io.load(path).predict(X)
        skreg.io.load(str(path), trusted=["builtins.str", Small])


def data_frame(X: Array, y: Array) -> None:
    model = skreg.tabular_pipeline(small(), cardinality_threshold=20, datetime="drop")
    model.fit(pd.DataFrame(X), y)


def warned(X: Array, y: Array) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", skreg.FitAdviceWarning)
        warnings.simplefilter("ignore", skreg.RegularizationWarning)
        small().fit(1000 * X, y)


def report() -> None:
    print(f"skreg {skreg.__version__}")
    skreg.show_versions()
    skreg.compile_kernels()


def main() -> None:
    X, y = make_classification(n_samples=40, n_features=4, random_state=0)
    classifier(X, y)
    kinds_of_rows(X, y)
    searches(X, y)
    pictures(X, y)
    ensemble(X, y)
    formulas(X.T, y[np.newaxis])
    cluster(X, y)
    files(X, y)
    data_frame(X, y)
    warned(X, y)
    report()
