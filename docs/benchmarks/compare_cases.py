"""The cases of ``compare.py``, which starts this script once for each checkout.

Each line of the standard input asks something, as JSON, and gets a line of JSON:
``{"names": true}`` what cases there are, ``{"case": name, "traits": true}`` the seconds
of a run and the traits of what it made. A trait is a hash: of an attribute whose name
says that it is public and fitted, of what a method gives, of the warnings, of what was
printed. ``cv_results_`` is without its times.

``TIMED`` are the cases whose time counts, ``SETTINGS`` those that are only compared:
small networks, with as many ways through the code as there are.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from types import FunctionType
from typing import Any, NamedTuple

import fit
import numpy as np
import search
from predict import N_COLUMNS
from predict import fitted as fitted_for_prediction
from scipy.sparse import csc_array, csr_array, csr_matrix, issparse
from sklearn.base import BaseEstimator
from sklearn.datasets import (
    load_breast_cancer,
    load_digits,
    load_wine,
    make_classification,
    make_multilabel_classification,
)
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import scale

import skreg
from skreg import (
    RegularizedMLPClassifier,
    RegularizedMLPClassifierCV,
    RegularizedMLPEnsemble,
)


class Case(NamedTuple):
    """What is run, which gives a model or an array, and rows for its methods."""

    run: Callable[[], Any]
    rows: Any = None


# What makes each case: its data are there before the time begins.
Cases = dict[str, Callable[[], Case]]


# The cases whose time counts.


def scaled(load: Callable[..., Any]) -> tuple[np.ndarray, np.ndarray]:
    X, y = load(return_X_y=True)
    return scale(X), y


def of_fit(case: fit.Case, keep_prob: float) -> Case:
    X, y = fit.table_of(case)
    return Case(partial(fit.run_ours, case, X, y, keep_prob), X[:1000])


def of_lbfgs(case: fit.Case, dtype: type) -> Case:
    X, y = case.load()
    X = X.astype(dtype)
    settings = fit.lbfgs_settings(case)
    return Case(
        lambda: RegularizedMLPClassifier(lambd=1.0, **settings).fit(X, y), X[:1000]
    )


def of_sparse() -> Case:
    X, y = fit.sparse_table()
    return Case(partial(fit.run_sparse, X, y), X[:1000])


def of_search(case: search.Case) -> Case:
    X, y = case.load()
    X = np.ascontiguousarray(X, dtype=case.dtype)
    ours = search.searches(case, 1)["ours"]
    return Case(lambda: ours().fit(X, y), X)


def of_defaults(kind: type, load: Callable[..., Any]) -> Case:
    X, y = scaled(load)
    return Case(lambda: kind(random_state=0).fit(X, y), X)


def of_predict_proba(n_rows: int, calls: int) -> Case:
    model = fitted_for_prediction()["skreg"]
    shape = (n_rows, N_COLUMNS)
    X = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)

    def run() -> np.ndarray:
        for _ in range(calls):
            found = model.predict_proba(X)
        return found

    return Case(run)


def of_partial_fit(calls: int) -> Case:
    X, y = scaled(load_breast_cancer)

    def run() -> RegularizedMLPClassifier:
        model = RegularizedMLPClassifier(hidden_layer_sizes=(20, 3), random_state=0)
        for call in range(calls):
            rows = slice(100 * (call % 5), 100 * (call % 5) + 100)
            model.partial_fit(X[rows], y[rows], classes=[0, 1])
        return model

    return Case(run, X)


TIMED: Cases = {
    **{
        f"fit, {case.name}" + ", dropout" * (keep_prob < 1): partial(
            of_fit, case, keep_prob
        )
        for case in fit.CASES
        for keep_prob in (1.0, fit.KEEP_PROB)
    },
    **{
        f"L-BFGS, {case.name}, {np.dtype(dtype)}": partial(of_lbfgs, case, dtype)
        for case in fit.CASES[2:4]
        for dtype in (np.float32, np.float64)
    },
    "sparse, 5000 × 100000": of_sparse,
    "defaults, breast cancer": partial(
        of_defaults, RegularizedMLPClassifier, load_breast_cancer
    ),
    "defaults, digits": partial(of_defaults, RegularizedMLPClassifier, load_digits),
    "defaults of an ensemble, wine": partial(
        of_defaults, RegularizedMLPEnsemble, load_wine
    ),
    f"search, {search.CASES[0].name}": partial(of_search, search.CASES[0]),
    "predict_proba, 300 × 1 row": partial(of_predict_proba, 1, 300),
    "predict_proba, 10000 rows": partial(of_predict_proba, 10_000, 10),
    "partial_fit, 200 × 100 rows": partial(of_partial_fit, 200),
}


# The settings. BASE is a fit of a few milliseconds.

BASE = {"hidden_layer_sizes": (12, 7), "max_iter": 12, "random_state": 0}


@cache
def table(name: str) -> tuple[np.ndarray, np.ndarray]:
    if name == "multilabel":
        return make_multilabel_classification(160, 12, n_classes=4, random_state=0)
    if name == "large":
        return make_classification(40_000, 40, n_informative=9, random_state=0)
    if name == "few":
        X, y = table("binary")
        return X[:40], y[:40]
    load, step = {"binary": (load_breast_cancer, 3), "multiclass": (load_digits, 9)}[
        name
    ]
    X, y = scaled(load)
    return X[::step], y[::step]


def weights_of(y: np.ndarray) -> np.ndarray:
    """Of the rows; some are zero."""
    return np.random.default_rng(1).integers(0, 4, len(y)).astype(float)


def plain(model: Any, X: Any, y: np.ndarray) -> None:
    model.fit(X, y)


def weighted(model: Any, X: Any, y: np.ndarray) -> None:
    model.fit(X, y, sample_weight=weights_of(y))


def held_out(model: Any, X: Any, y: np.ndarray) -> None:
    n = len(y) * 3 // 4
    model.fit(X[:n], y[:n], X_val=X[n:], y_val=y[n:])


def held_out_weighted(model: Any, X: Any, y: np.ndarray) -> None:
    n, weights = len(y) * 3 // 4, weights_of(y)
    model.fit(
        X[:n],
        y[:n],
        weights[:n],
        X_val=X[n:],
        y_val=y[n:],
        sample_weight_val=weights[n:],
    )


def twice(model: Any, X: Any, y: np.ndarray, **changes: Any) -> None:
    """With ``warm_start`` the second fit goes on, with other parameters."""
    model.set_params(warm_start=True).fit(X, y)
    model.set_params(**changes).fit(X, y)


def in_parts(model: Any, X: Any, y: np.ndarray, **weights: Any) -> None:
    """Three calls of ``partial_fit``, of other rows each."""
    third = len(y) // 3
    for start in (0, third, 2 * third):
        rows = slice(start, start + third)
        classes = None if y.ndim == 2 else np.unique(y)
        some = {name: each[rows] for name, each in weights.items()}
        model.partial_fit(X[rows], y[rows], classes=classes, **some)


def in_weighted_parts(model: Any, X: Any, y: np.ndarray) -> None:
    in_parts(model, X, y, sample_weight=weights_of(y))


def in_parts_after_fit(model: Any, X: Any, y: np.ndarray) -> None:
    model.fit(X, y).partial_fit(X, y)


def fit_after_parts(model: Any, X: Any, y: np.ndarray) -> None:
    in_parts(model, X, y)
    model.set_params(warm_start=True, max_iter=4).fit(X, y)


def with_random_state(model: Any, X: Any, y: np.ndarray) -> None:
    """The same RandomState goes on from fit to fit."""
    state = np.random.RandomState(5)
    model.set_params(random_state=state).fit(X, y)
    model.fit(X, y)
    model.state_after_ = state.randint(2**31)


def interrupted(model: Any, X: Any, y: np.ndarray, *, after: int, more: bool) -> None:
    """A scorer that interrupts; the fit after it goes on if ``more``."""
    calls = 0

    def scorer(network: Any, X: Any, y: np.ndarray) -> float:
        nonlocal calls
        calls += 1
        if calls == after:
            raise KeyboardInterrupt
        return network.score(X, y)

    model.set_params(scoring=scorer, warm_start=more)
    with contextlib.suppress(KeyboardInterrupt):
        model.fit(X, y)
    if more:
        model.fit(X, y)
    model.set_params(scoring=None)


def failed_after_fit(model: Any, X: Any, y: np.ndarray) -> None:
    """It keeps the model that it had."""
    model.fit(X, y)
    with contextlib.suppress(ValueError):
        model.set_params(learning_rate_init=1e30).fit(X, y)


def network(
    name: str = "binary",
    fitting: Callable[[Any, Any, np.ndarray], None] = plain,
    of_X: Callable[[Any], Any] = np.asarray,
    of_y: Callable[[Any], Any] = np.asarray,
    kind: type = RegularizedMLPClassifier,
    **settings: Any,
) -> Callable[[], Case]:
    """A case: an estimator with these settings on the table of this name."""

    def case() -> Case:
        X, y = table(name)
        X, y = of_X(X), of_y(y)

        def run() -> Any:
            model = kind(**{**BASE, **settings})
            fitting(model, X, y)
            return model

        return Case(run, X)

    return case


def single(dtype: str) -> Callable[[Any], Any]:
    return partial(np.asarray, dtype=dtype)


def with_zeros(to: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Sparse, with about half of the values."""
    return lambda X: to(np.where(np.greater(X, np.median(X)), X, 0))


def letters(y: np.ndarray) -> np.ndarray:
    return np.array(["no", "yes", *"abcdefgh"])[y]


def ensemble(
    n_estimators: int = 3, random_state: Any = 0, **settings: Any
) -> RegularizedMLPEnsemble:
    return RegularizedMLPEnsemble(
        RegularizedMLPClassifier(**settings), n_estimators, random_state=random_state
    )


def grid(**settings: Any) -> RegularizedMLPClassifierCV:
    return RegularizedMLPClassifierCV(
        **{
            "lambds": (0.1, 5.0),
            "keep_probs": (0.6, 1.0),
            "cv": 3,
            "n_refits": 2,
            **settings,
        }
    )


def from_sklearn(warm_start: bool) -> Case:
    X, y = table("binary")

    def run() -> RegularizedMLPClassifier:
        mlp = MLPClassifier((12, 7), max_iter=5, random_state=0).fit(X, y)
        model = RegularizedMLPClassifier.from_sklearn(mlp, keep_prob=0.8, max_iter=5)
        if warm_start:
            return model.set_params(warm_start=True).fit(X, y)
        return model.partial_fit(X, y)

    return Case(run, X)


def to_sklearn() -> Case:
    X, y = table("binary")

    def run() -> MLPClassifier:
        model = RegularizedMLPClassifier(**BASE)
        in_parts(model, X, y)
        return model.to_sklearn().partial_fit(X, y)

    return Case(run, X)


def one_class(y: np.ndarray) -> np.ndarray:
    return np.zeros(len(y), int)


# Pairs of a name and what makes the case; a number in front makes names unique.
def settings() -> Iterator[tuple[str, Callable[[], Case]]]:
    tables = "binary", "multiclass", "multilabel"
    for solver in ("adam", "sgd", "lbfgs"):
        for name in tables:
            for dtype in ("float32", "float64"):
                for stopping in (False, True):
                    yield (
                        f"{solver}, {name}, {dtype}, early_stopping={stopping}",
                        network(
                            name,
                            of_X=single(dtype),
                            solver=solver,
                            early_stopping=stopping,
                        ),
                    )
        for activation in ("relu", "tanh", "logistic", "identity"):
            yield (
                f"{solver}, {activation}",
                network("multiclass", solver=solver, activation=activation),
            )
            if solver != "lbfgs":
                yield (
                    f"{solver}, {activation}, dropout",
                    network(
                        "multiclass",
                        solver=solver,
                        activation=activation,
                        keep_prob=0.7,
                        of_X=single("float32"),
                    ),
                )
        for fitting in (
            weighted,
            held_out,
            held_out_weighted,
            twice,
            partial(twice, lambd=3.0),
            partial(twice, solver="adam", max_iter=5),
            partial(twice, solver="lbfgs"),
            with_random_state,
            failed_after_fit,
            partial(interrupted, after=4, more=False),
            partial(interrupted, after=4, more=True),
            partial(interrupted, after=1, more=False),
        ):
            for stopping in ("auto", False):
                yield (
                    f"{solver}, early_stopping={stopping!r}, {name_of(fitting)}",
                    network(
                        fitting=fitting,
                        solver=solver,
                        early_stopping=stopping,
                        n_validation_splits=1,
                    ),
                )
        for to in (csr_array, csc_array, csr_matrix):
            yield (
                f"{solver}, {to.__name__}",
                network("multiclass", of_X=with_zeros(to), solver=solver),
            )
        yield (
            f"{solver}, one class",
            network(of_y=one_class, solver=solver, early_stopping=False),
        )
        yield (
            f"{solver}, one class, stopping",
            network(of_y=one_class, solver=solver, early_stopping=True),
        )
        for scores in (False, True):
            yield (
                f"{solver}, train_scores, early_stopping={scores}",
                network(solver=solver, train_scores=True, early_stopping=scores),
            )
        yield (
            f"{solver}, 40000 rows, full batch",
            network(
                "large",
                of_X=single("float32"),
                solver=solver,
                batch_size="full",
                max_iter=3,
            ),
        )

    for solver in ("adam", "sgd"):
        for fitting in (
            in_parts,
            in_weighted_parts,
            in_parts_after_fit,
            fit_after_parts,
        ):
            for name in tables:
                yield (
                    f"{solver}, {name}, {fitting.__name__}",
                    network(name, fitting, solver=solver, early_stopping=False),
                )
        yield (
            f"{solver}, partial_fit, dropout, max_norm",
            network(
                "multiclass",
                in_parts,
                solver=solver,
                early_stopping=False,
                keep_prob=0.8,
                input_keep_prob=0.9,
                max_norm=1.0,
            ),
        )
        yield (
            f"{solver}, partial_fit, sparse",
            network(
                "multiclass",
                in_parts,
                with_zeros(csr_array),
                solver=solver,
                early_stopping=False,
            ),
        )
        for rate in ("constant", "invscaling", "adaptive", "cosine"):
            for stopping in (False, True):
                of_rate = {
                    "solver": solver,
                    "learning_rate": rate,
                    "early_stopping": stopping,
                }
                yield (
                    f"{solver}, {rate}, early_stopping={stopping}",
                    network(**of_rate),
                )
                yield (
                    f"{solver}, {rate}, early_stopping={stopping}, plateaus",
                    network(**of_rate, n_iter_no_change=2, tol=0.01, max_iter=60),
                )
            yield (
                f"{solver}, {rate}, partial_fit",
                network(
                    fitting=in_parts,
                    solver=solver,
                    learning_rate=rate,
                    early_stopping=False,
                ),
            )
        for batch_size in ("full", 7, 1000):
            for name in tables:
                yield (
                    f"{solver}, {name}, batch_size={batch_size}",
                    network(name, solver=solver, batch_size=batch_size),
                )

    for splits in (1, 3, "auto"):
        for stopping in (True, "auto"):
            for refit in (True, False, "auto"):
                for keep_prob in (1.0, 0.7):
                    if splits == 3 and refit is False:
                        continue
                    yield (
                        f"splits={splits}, early_stopping={stopping}, refit={refit}, "
                        f"keep_prob={keep_prob}",
                        network(
                            early_stopping=stopping,
                            n_validation_splits=splits,
                            early_stopping_refit=refit,
                            keep_prob=keep_prob,
                            n_iter_no_change=3,
                            max_iter=30,
                        ),
                    )
    for name in tables:
        for scoring in ("accuracy", "neg_log_loss", None):
            if name == "multilabel" and scoring == "neg_log_loss":
                continue
            for splits in (1, 3):
                yield (
                    f"{name}, scoring={scoring}, splits={splits}",
                    network(
                        name,
                        scoring=scoring,
                        n_validation_splits=splits,
                        early_stopping=True,
                        train_scores=True,
                    ),
                )
        for weight in ("balanced", {0: 2.0, 1: 0.5}):
            each = [weight] * 4 if name == "multilabel" and weight != "balanced" else 0
            for fitting in (plain, weighted, held_out_weighted):
                yield (
                    f"{name}, class_weight={weight}, {name_of(fitting)}",
                    network(name, fitting, class_weight=each or weight),
                )
    yield (
        "interrupted at a lower rate",
        network(
            fitting=partial(interrupted, after=4, more=True),
            solver="sgd",
            learning_rate="adaptive",
            n_iter_no_change=1,
            tol=10.0,
            early_stopping=True,
            n_validation_splits=1,
        ),
    )
    for fitting in (plain, partial(interrupted, after=9, more=False)):
        yield (
            f"3 splits and a refit, {name_of(fitting)}",
            network(
                fitting=fitting,
                early_stopping=True,
                n_validation_splits=3,
                verbose=True,
            ),
        )

    many: dict[str, dict[str, Any]] = {
        "lambd=0": {"lambd": 0},
        "lambd by layer": {"lambd": [0.5, 2.0, 0.0]},
        "lambd by layer, L-BFGS": {"lambd": [0.5, 2.0, 0.0], "solver": "lbfgs"},
        "keep_prob": {"keep_prob": 0.8},
        "keep_prob by layer": {"keep_prob": [0.6, 0.9]},
        "keep_prob of one layer": {"keep_prob": [1.0, 0.5]},
        "input_keep_prob": {"input_keep_prob": 0.8},
        "both": {"keep_prob": 0.7, "input_keep_prob": 0.8},
        "max_norm": {"max_norm": 0.8},
        "max_norm, sgd": {"max_norm": 0.8, "solver": "sgd"},
        "averaging=0": {"averaging": 0},
        "averaging=0.5": {"averaging": 0.5},
        "averaging=0, early_stopping=False": {"averaging": 0, "early_stopping": False},
        "shuffle=False": {"shuffle": False},
        "without Nesterov": {"solver": "sgd", "nesterovs_momentum": False},
        "without momentum": {"solver": "sgd", "momentum": 0.0},
        "betas": {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-4},
        "one hidden layer": {"hidden_layer_sizes": 9},
        "four hidden layers": {"hidden_layer_sizes": [9, 8, 7, 6], "keep_prob": 0.9},
        "verbose": {"verbose": True, "early_stopping": False},
        "verbose, early stopping": {"verbose": True, "n_validation_splits": 1},
        "verbose, L-BFGS": {"verbose": True, "solver": "lbfgs"},
        "max_fun": {"solver": "lbfgs", "max_fun": 5},
        "converged L-BFGS": {"solver": "lbfgs", "max_iter": 500, "lambd": 10},
        "L-BFGS to a plateau": {
            "solver": "lbfgs",
            "early_stopping": True,
            "n_iter_no_change": 2,
            "max_iter": 200,
        },
        "n_iter_no_change=inf": {"n_iter_no_change": np.inf, "early_stopping": True},
        "validation_fraction": {"validation_fraction": 0.4, "early_stopping": True},
        "random_state=3": {"random_state": 3, "keep_prob": 0.8},
        "a rate so high that it diverges": {"learning_rate_init": 1e30},
        "divergence of L-BFGS": {"solver": "lbfgs", "lambd": 1e300},
        "error: keep_prob": {"keep_prob": 2.0},
        "error: keep_prob by layer": {"keep_prob": [0.5]},
        "error: L-BFGS with dropout": {"solver": "lbfgs", "keep_prob": 0.5},
        "error: splits without refit": {
            "n_validation_splits": 3,
            "early_stopping_refit": False,
            "early_stopping": True,
        },
    }
    for label, some in many.items():
        yield label, network("multiclass", **some)

    def in_nan(X: np.ndarray) -> np.ndarray:
        return np.where(np.equal(X, X.max()), np.nan, X)

    def unscaled(X: np.ndarray) -> np.ndarray:
        return X * 1e4 + 1e6

    for label, of_X in {
        "Fortran order": np.asfortranarray,
        "lists": np.ndarray.tolist,
        "integers": single("int64"),
        "every other column": lambda X: X[:, ::2],
        "unscaled": unscaled,
        "error: NaN": in_nan,
    }.items():
        yield label, network(of_X=of_X)
    for label, of_y in {
        "strings": letters,
        "booleans": single("bool"),
        "floats": single("float64"),
        "lists of y": np.ndarray.tolist,
    }.items():
        yield label, network(of_y=of_y)
    for stopping in ("auto", True):
        yield f"40 rows, {stopping}", network("few", early_stopping=stopping)
    yield (
        "sparse, dropout of inputs",
        network("multiclass", of_X=with_zeros(csr_array), input_keep_prob=0.8),
    )
    yield (
        "strings, partial_fit",
        network(fitting=in_parts, of_y=letters, early_stopping=False),
    )
    for warm in (False, True):
        yield f"from_sklearn, warm_start={warm}", partial(from_sklearn, warm)
    yield "to_sklearn", to_sklearn

    for name in tables:
        yield f"ensemble, {name}", network(name, kind=ensemble)
        yield f"search, {name}", network(name, kind=grid)
    for label, some in {
        "no early stopping": {"early_stopping": False},
        "float32, dropout": {"keep_prob": [0.7, 0.9], "input_keep_prob": 0.9},
        "3 splits": {"early_stopping": True, "n_validation_splits": 3},
        "3 splits, plateaus": {
            "early_stopping": True,
            "n_validation_splits": 3,
            "n_iter_no_change": 2,
            "tol": 0.01,
            "max_iter": 60,
        },
        "1 split, no refit": {
            "early_stopping": True,
            "n_validation_splits": 1,
            "early_stopping_refit": False,
            "scoring": "accuracy",
        },
        "sgd, adaptive": {
            "solver": "sgd",
            "learning_rate": "adaptive",
            "n_iter_no_change": 2,
            "tol": 0.01,
        },
        "max_norm, train_scores": {"max_norm": 1.0, "train_scores": True},
        "L-BFGS": {"solver": "lbfgs"},
        "verbose": {"verbose": True},
        "full batch": {"batch_size": "full"},
        "divergence": {"learning_rate_init": 1e30},
    }.items():
        yield (
            f"ensemble, {label}",
            network("multiclass", of_X=single("float32"), kind=ensemble, **some),
        )
        of_search = {
            {"scoring": "early_stopping_scoring"}.get(k, k): v
            for k, v in some.items()
            if k not in ("keep_prob", "verbose")
        }
        if label == "L-BFGS":
            of_search["keep_probs"] = (1.0,)
        yield (
            f"search, {label}",
            network("binary", of_X=single("float32"), kind=grid, **of_search),
        )
    for kind in (ensemble, grid):
        yield f"{kind.__name__}, weights", network(fitting=weighted, kind=kind)
        yield (
            f"{kind.__name__}, sparse",
            network("multiclass", of_X=with_zeros(csr_array), kind=kind),
        )
        yield f"{kind.__name__}, balanced", network(kind=kind, class_weight="balanced")
    yield "ensemble, held out", network(fitting=held_out_weighted, kind=ensemble)
    for label, some in {
        "accuracy, of both": {"scoring": "accuracy", "return_train_score": True},
        "several scores": {"scoring": ["accuracy", "roc_auc"], "refit": "roc_auc"},
        "without refit": {"refit": False},
        "one network": {"n_refits": 1},
        "by layer": {"keep_probs": [[0.5, 1.0], [1.0, 0.5]], "lambds": [[1, 2, 3]]},
        "a candidate that fails": {
            "lambds": (1.0, 1e300),
            "error_score": -5.0,
            "solver": "sgd",
        },
        "a random state": {"random_state": 7, "cv": 4},
    }.items():
        yield f"search, {label}", network(kind=grid, **some)


def name_of(fitting: Callable[..., None]) -> str:
    if isinstance(fitting, partial):
        return f"{fitting.func.__name__} {fitting.keywords}"
    return fitting.__name__


def unique(pairs: Iterator[tuple[str, Callable[[], Case]]]) -> Cases:
    cases: Cases = {}
    for name, case in pairs:
        assert name not in cases, name
        cases[name] = case
    return cases


SETTINGS: Cases = unique(settings())


# Traits.


def parts_of(value: Any) -> Iterator[bytes]:
    """The bytes that a value is made of, with its types; equal ones are equal in all.

    Addresses in memory, times and the memory order of arrays do not count.
    """
    yield type(value).__name__.encode()
    if isinstance(value, np.ma.MaskedArray):
        yield from parts_of([np.ma.getmaskarray(value), value.filled().tolist()])
    elif issparse(value):
        yield from parts_of(value.toarray())
    elif isinstance(value, np.ndarray | np.generic):
        yield f"{value.dtype.str}{np.shape(value)}".encode()
        if value.dtype.hasobject:
            yield from parts_of(value.tolist())
        else:
            yield np.ascontiguousarray(value).tobytes()
    elif isinstance(value, dict):
        for key in sorted(value, key=repr):
            if not str(key).endswith("_time"):
                yield from parts_of(key)
                yield from parts_of(value[key])
    elif isinstance(value, list | tuple):
        yield str(len(value)).encode()
        for item in value:
            yield from parts_of(item)
    elif isinstance(value, BaseEstimator):
        yield from parts_of(value.get_params(deep=False))
        yield from parts_of(attributes_of(value))
    elif isinstance(value, np.random.RandomState):
        yield from parts_of(value.get_state(legacy=False))
    elif isinstance(value, FunctionType | type):
        yield value.__qualname__.encode()
    elif value is None or isinstance(value, bool | int | float | str):
        yield repr(value).encode()


def digest(value: Any) -> str:
    """The hash of a value; each part is as long as it says, so none run together."""
    found = hashlib.sha256()
    for part in parts_of(value):
        found.update(f"{len(part)}:".encode() + part)
    return found.hexdigest()[:16]


def attributes_of(model: Any) -> dict[str, Any]:
    """What is public and fitted, properties included; without times."""
    found = {}
    for name in dir(model):
        if name.startswith("_") or not name.endswith("_") or name.endswith("_time_"):
            continue
        with contextlib.suppress(AttributeError):
            found[name] = getattr(model, name)
    return found


def answers_of(model: Any, rows: Any) -> dict[str, Any]:
    """What the methods give for the rows, or the error that they raise."""
    few = rows[:20]
    calls = {
        "predict": lambda: model.predict(rows),
        "predict_proba": lambda: model.predict_proba(rows),
        "predict_log_proba": lambda: model.predict_log_proba(rows),
        "decision_function": lambda: model.decision_function(rows),
        "input_gradients": lambda: model.input_gradients(few),
        "sample_proba": lambda: model.sample_proba(few, 3, random_state=1),
    }
    found = {}
    for name, call in calls.items():
        try:
            found[name] = call()
        except (AttributeError, TypeError, ValueError) as error:
            found[name] = f"{type(error).__name__}: {error}"
    return found


def numbers_of(model: Any, answers: dict[str, Any]) -> list[float]:
    """The scores of a search, otherwise probabilities: for the largest difference."""
    if hasattr(model, "cv_results_"):
        means = [v for k, v in model.cv_results_.items() if k.startswith("mean_t")]
        return np.concatenate(means).tolist()
    proba = answers.get("predict_proba")
    return proba.ravel().tolist() if isinstance(proba, np.ndarray) else []


def without_traceback(text: str) -> str:
    """Without the lines of code, which scikit-learn has in its messages."""
    return "\n".join(line for line in text.split("\n") if not line.startswith("  "))


def told(caught: list[warnings.WarningMessage]) -> list[tuple[str, str, bool]]:
    """The warnings, and whether each points at the line that called the package."""
    return [
        (
            w.category.__name__,
            without_traceback(str(w.message)),
            w.filename == __file__,
        )
        for w in caught
    ]


def measured(case: Case, *, with_traits: bool) -> dict[str, Any]:
    """The seconds of a run, of the clock and of the processor, and its traits."""
    printed = io.StringIO()
    found: Any = None
    raised = None
    with (
        warnings.catch_warnings(record=True) as caught,
        contextlib.redirect_stdout(printed),
    ):
        warnings.simplefilter("always")
        start = time.perf_counter(), time.process_time()
        try:
            found = case.run()
        except (ArithmeticError, TypeError, ValueError) as error:
            raised = f"{type(error).__name__}: {without_traceback(str(error))}"
        end = time.perf_counter(), time.process_time()
    answer: dict[str, Any] = {"wall": end[0] - start[0], "CPU": end[1] - start[1]}
    if not with_traits:
        return answer
    traits = {"printed": printed.getvalue(), "raised": raised, "warnings": told(caught)}
    numbers: list[float] = []
    if isinstance(found, np.ndarray):
        traits["what it gives"], numbers = found, found.ravel().tolist()
    elif found is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answers = answers_of(found, case.rows)
        traits |= {**attributes_of(found), **answers}
        numbers = numbers_of(found, answers)
    answer["traits"] = {name: digest(value) for name, value in traits.items()}
    return {**answer, "raised": raised, "numbers": numbers}


def main() -> None:
    # What a fit prints must not come between the answers.
    answers, sys.stdout = sys.stdout, sys.stderr
    name, case = None, None
    for line in sys.stdin:
        request = json.loads(line)
        if "case" in request:
            if request["case"] != name:
                name = request["case"]
                case = (TIMED | SETTINGS)[name]()
            answer = measured(case, with_traits=request["traits"])
        else:
            answer = {
                "package": str(Path(skreg.__file__).resolve().parent),
                "timed": list(TIMED),
                "settings": list(SETTINGS),
            }
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
