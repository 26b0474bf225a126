"""Wrong calls, for a type checker: it must report those with `# E:` and no others.

``test_typing.py`` compares the lines, and looks for the words after the sign in what
mypy says there, its code included. Nothing here is ever called.
"""

from __future__ import annotations

from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray

import skreg
import skreg.dask
from skreg import (
    LossCurveDisplay,
    RegularizationGridDisplay,
    RegularizedMLPClassifier,
    RegularizedMLPClassifierCV,
    RegularizedMLPEnsemble,
    WeightDistributionDisplay,
)
from skreg.functional import (
    backward_propagation_with_dropout,
    compute_cost,
    forward_propagation,
)

X: NDArray[np.float64] = np.ones((4, 2))
y: NDArray[np.int64] = np.array([0, 1, 0, 1])


def parameters() -> None:
    RegularizedMLPClassifier(lambd="a")  # E: arg-type
    RegularizedMLPClassifier(keep_prob="0.5")  # E: arg-type
    RegularizedMLPClassifier(keep_prob=["0.5"])  # E: list-item
    RegularizedMLPClassifier((100.5,))  # E: arg-type
    RegularizedMLPClassifier((100,), "relu", 0.1)  # E: Too many positional
    RegularizedMLPClassifier(alpha=0.1)  # E: call-arg
    RegularizedMLPClassifier(max_iter=1.5)  # E: arg-type
    RegularizedMLPClassifier(solver=None)  # E: arg-type
    RegularizedMLPClassifier(random_state=np.random.default_rng(0))  # E: arg-type
    RegularizedMLPClassifierCV(lambds=0.1)  # E: arg-type
    RegularizedMLPClassifierCV(lambds="0.1")  # E: arg-type
    RegularizedMLPClassifierCV(alphas=[0.1])  # E: call-arg
    RegularizedMLPEnsemble(n_estimators="5")  # E: arg-type
    RegularizedMLPEnsemble(RegularizedMLPClassifier)  # E: arg-type
    RegularizedMLPClassifier(lambd=1, keep_prob=1)


def methods(model: RegularizedMLPClassifier) -> None:
    model.fit(X)  # E: call-arg
    model.fit(None, y)  # E: arg-type
    model.fit(X, y, weights=y)  # E: call-arg
    model.fit(X, y, None, X)  # E: Too many positional
    model.partial_fit(X, y, X_val=X)  # E: call-arg
    model.predict()  # E: call-arg
    model.predict({"a": 1})  # E: arg-type
    model.sample_proba(X, n_samples=0.5)  # E: arg-type
    assert_type(model.fit(X, y), Any)  # E: assert-type
    assert_type(model.predict(X), Any)  # E: assert-type
    RegularizedMLPEnsemble().fit(X)  # E: call-arg
    RegularizedMLPEnsemble().predict(object())  # E: arg-type
    RegularizedMLPClassifierCV().fit(X)  # E: call-arg
    model.fit(X, y).predict_proba(X).reshape(-1)


def functions() -> None:
    weights = {"W1": X, "b1": X}
    forward_propagation(X, [X, X])  # E: arg-type
    forward_propagation(weights, weights)  # E: arg-type
    compute_cost(X)  # E: call-arg
    compute_cost(X, None)  # E: arg-type
    backward_propagation_with_dropout(X, y, [X], "0.5")  # E: arg-type
    backward_propagation_with_dropout(X, y, X, 0.5)  # E: arg-type
    skreg.dask.fit("model", X, y)  # E: type-var
    skreg.show_versions("skops")  # E: call-arg
    skreg.show_version()  # E: attr-defined
    RegularizationGridDisplay([[0.9]], [0.1])  # E: call-arg
    RegularizationGridDisplay([[0.9]], [0.1], [0.5], (0, 0))  # E: Too many positional
    RegularizationGridDisplay([[0.9]], ["0.1"], [0.5])  # E: list-item
    LossCurveDisplay([[0.5]], [[0.5]])  # E: Too many positional
    LossCurveDisplay([[0.5]], best_n_iters=1)  # E: arg-type
    WeightDistributionDisplay([X], near_zero="0.1")  # E: arg-type
    compute_cost([[0.5]], [[1]])
