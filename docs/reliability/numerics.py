"""How exact the numbers are, for skreg and on the same tests for MLPClassifier.

    python docs/reliability/numerics.py [--rows 1000000] [--results docs/reliability]

prints a table, with a line for each test and estimator, and writes it to
results/numerics.csv. It takes a minute, and needs mpmath, as the tests do
(``pip install "skreg[test]"``).

- logits: loss, gradient, probabilities and their logarithms at logits from -1000 to
  1000 that a fitted network is made to have, against mpmath. An ulp is the distance
  between neighbouring numbers of the type at the exact value. Below the smallest normal
  number, where scipy's expit may give 0, the error counts in that number.
- strongest: by what factor lambd (alpha) of up to 1e12 makes the largest weight
  smaller.
- keep_prob: training with 1e-3 of the units, or of the input values.
- rows: J and its gradient over many rows, against ``math.fsum`` of the terms of single
  rows, in units of eps times the mean magnitude of the terms.
- rates: what becomes of training whose learning rate is too large.
- precision: how far float32 and float64 are apart.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import math
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from skreg import RegularizedMLPClassifier, functional

KINDS = ("binary", "multilabel", "multiclass")
DTYPES = (np.float32, np.float64)
SOLVERS = ("sgd", "adam", "lbfgs")
SCHEDULES = ("constant", "invscaling", "adaptive", "cosine")
# With and without what only one of the two has: no plateau ends a training.
OURS = {"early_stopping": False, "averaging": 0.0, "n_iter_no_change": 10**6}
THEIRS = {"n_iter_no_change": 10**6}
ESTIMATORS = {"skreg": RegularizedMLPClassifier, "MLPClassifier": MLPClassifier}

# Tiny, ordinary, where exp leaves float32 and float64, and where the issue asks.
MAGNITUDES = (0.0, 1e-30, 1e-8, 0.5, 1.0, 5.0, 17.0, 30.0, 37.5, 88.0, 89.0, 103.0)
LOGITS = sorted({s * z for z in (*MAGNITUDES, 710.0, 745.0, 1000.0) for s in (-1, 1)})


def model(name: str, *, lambd: float = 0.0, **parameters: Any) -> Any:
    """One of the two, with the same L2 penalty."""
    if name == "skreg":
        parameters = {**OURS, "lambd": lambd, **parameters}
    else:
        parameters = {**THEIRS, "alpha": lambd, **parameters}
    return ESTIMATORS[name](**{"random_state": 0, **parameters})


def told(run: Callable[[], Any]) -> tuple[Any, list[str]]:
    """What it returns, or its ValueError; and numpy's warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = run()
        except ValueError as error:
            found = error
    return found, [str(w.message) for w in caught if w.category is RuntimeWarning]


# Logits ------------------------------------------------------------------------------


def with_logits(name: str, kind: str, dtype: Any) -> Any:
    """A fitted network whose logits are the values of X itself."""
    n = 1 if kind == "binary" else 3
    fitted = model(
        name,
        hidden_layer_sizes=(n,),
        activation="identity",
        solver="sgd",
        learning_rate="constant",
        learning_rate_init=1.0,
        momentum=0.0,
        nesterovs_momentum=False,
        max_iter=1,
        batch_size=1,
        # partial_fit of MLPClassifier knows no labels.
        warm_start=kind == "multilabel",
    )
    one_step(fitted, np.zeros(n, dtype), np.zeros(n, int) if n > 1 else 0, kind)
    reset(fitted, n, dtype)
    return fitted


def reset(fitted: Any, n: int, dtype: Any) -> None:
    fitted.coefs_ = [np.eye(n, dtype=dtype) for _ in range(2)]
    fitted.intercepts_ = [np.zeros(n, dtype) for _ in range(2)]


def one_step(fitted: Any, row: np.ndarray, y: Any, kind: str) -> None:
    """A step of gradient descent with a learning rate of 1 on one row."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kind == "multilabel":
            fitted.fit(row[np.newaxis], np.array([y]))
        else:
            code = y if kind == "binary" else int(np.argmax(y))
            classes = np.arange(2 if kind == "binary" else len(row))
            fitted.partial_fit(row[np.newaxis], [code], classes=classes)


def rows_of_logits(kind: str, dtype: Any) -> np.ndarray:
    """Logits (n_rows, n_outputs): each of LOGITS among others."""
    values = np.array(LOGITS, dtype)
    if kind == "binary":
        return values[:, np.newaxis]
    mixed = np.stack([values, np.roll(values, 7), values[::-1]], axis=1)
    near = np.stack([values, values - 1, values], axis=1)[::3]
    return np.concatenate([mixed, near])


def targets_of(kind: str, n_rows: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    if kind == "binary":
        return np.arange(n_rows) % 2
    if kind == "multilabel":
        return rng.integers(2, size=(n_rows, 3))
    return np.eye(3, dtype=int)[rng.integers(3, size=n_rows)]


def exact_row(kind: str, z: np.ndarray, y: Any) -> tuple[Any, list[Any], list[Any]]:
    """The loss, P and log P of one row by mpmath, for P as predict_proba has it."""
    from mpmath import mp

    mp.dps = 50
    logits = [mp.mpf(float(value)) for value in z]
    if kind == "multiclass":
        total = mp.fsum(mp.exp(value) for value in logits)
        P = [mp.exp(value) / total for value in logits]
        # Without cancellation: log p_k = -log1p(Σ_(j ≠ k) exp(z_j - z_k)).
        logs = [
            -mp.log1p(mp.fsum(mp.exp(b - a) for j, b in enumerate(logits) if j != k))
            for k, a in enumerate(logits)
        ]
        return -logs[int(np.argmax(y))], P, logs
    both = [(1 / (1 + mp.exp(value)), 1 / (1 + mp.exp(-value))) for value in logits]
    log_both = [
        (-mp.log1p(mp.exp(value)), -mp.log1p(mp.exp(-value))) for value in logits
    ]
    ys = np.atleast_1d(y)
    loss = -mp.fsum(pair[int(of)] for pair, of in zip(log_both, ys, strict=True))
    if kind == "binary":
        return loss, list(both[0]), list(log_both[0])
    return loss, [pair[1] for pair in both], [pair[1] for pair in log_both]


def ulps(found: Any, exact: Any, dtype: Any, least: float | None = None) -> float:
    """|found - exact| in ulps of the exact value, or of ``least`` if that is more."""
    from mpmath import mp

    if not np.isfinite(found):
        return math.inf
    size = abs(float(exact))
    unit: Any = np.finfo(dtype).tiny
    if least is not None or size >= unit:
        unit = np.spacing(dtype(max(size, least or 0.0)))
    return float(abs(mp.mpf(float(found)) - exact) / mp.mpf(float(unit)))


def at_logits(name: str, kind: str, dtype: Any) -> dict[str, float]:
    """The largest errors at extreme logits, through the methods of the estimator.

    Losses and logarithms of a softmax are measured in ulps of 1 where they are below
    it: they are differences of numbers of that size. So is A - Y. A softmax's
    probabilities inherit the rounding of the differences of logits: their error counts
    in units of max(1, |z - max z|).
    """
    Z = rows_of_logits(kind, dtype)
    Y = targets_of(kind, len(Z))
    fitted = with_logits(name, kind, dtype)
    with np.errstate(all="ignore"):
        P, logs = fitted.predict_proba(Z), fitted.predict_log_proba(Z)
    assert P.dtype == logs.dtype == dtype
    worst = dict.fromkeys(("loss", "gradient", "proba", "log_proba"), 0.0)
    one = 1.0 if kind == "multiclass" else None

    def note(what: str, error: float) -> None:
        worst[what] = max(worst[what], error)

    for z, y, row_P, row_logs in zip(Z, Y, P, logs, strict=True):
        loss, exact_P, exact_logs = exact_row(kind, z, y)
        for found, exact in zip(row_logs, exact_logs, strict=True):
            note("log_proba", ulps(found, exact, dtype, one))
        slack = np.maximum(1, z.max() - z) if one else np.ones(len(row_P))
        for found, exact, unit in zip(row_P, exact_P, slack, strict=True):
            note("proba", ulps(found, exact, dtype) / unit)
        reset(fitted, Z.shape[1], dtype)
        one_step(fitted, z, y, kind)
        note("loss", ulps(fitted.loss_, loss, dtype, one))
        A = exact_P[1:] if kind == "binary" else exact_P
        for found, a, target in zip(
            fitted.intercepts_[-1], A, np.atleast_1d(y), strict=True
        ):
            note("gradient", ulps(-found, a - int(target), dtype, 1.0))
    return worst


# The strongest penalty ---------------------------------------------------------------


def table(dtype: Any = float, n_rows: int = 90) -> tuple[np.ndarray, np.ndarray]:
    X, y = make_classification(
        n_rows, 6, n_informative=4, weights=[0.7], random_state=0
    )
    return StandardScaler().fit_transform(X).astype(dtype), y


def strongest(
    name: str, lambd: Any, *, dtype: Any = float, max_iter: int = 200, **parameters: Any
) -> tuple[float | str, float, list[str]]:
    """max|W| after training over that before, or the error; the largest difference of a
    probability from the frequency of its class; numpy's warnings.
    """
    X, y = table(dtype)
    settings = {"hidden_layer_sizes": (6, 4), "max_iter": max_iter, **parameters}
    start = model(name, **{**settings, "solver": "sgd", "learning_rate_init": 1e-300})
    start, _ = told(lambda: start.set_params(max_iter=1).fit(X, y))
    found, numpy_warnings = told(lambda: model(name, lambd=lambd, **settings).fit(X, y))
    if isinstance(found, ValueError):
        return type(found).__name__, math.nan, numpy_warnings
    largest = [max(np.abs(W).max() for W in fit.coefs_) for fit in (found, start)]
    away = np.abs(found.predict_proba(X)[:, 1] - y.mean()).max()
    return float(largest[0] / largest[1]), float(away), numpy_warnings


def safe_rate(lambd: float, n_rows: int = 90) -> float:
    """A learning rate at which a step of SGD takes half of each weight away."""
    return 0.5 * n_rows / lambd


# Few units ---------------------------------------------------------------------------


def few_units(*, max_iter: int = 60, **keep: float) -> tuple[bool, float, float]:
    """Whether all is finite after training with 1000 hidden units; the accuracy on the
    training rows; that of the more frequent class.
    """
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X).astype(np.float32)
    settings = {"hidden_layer_sizes": (1000,), "max_iter": max_iter, **keep}
    fitted = model("skreg", lambd=1.0, learning_rate="cosine", **settings).fit(X, y)
    values = [*fitted.coefs_, *fitted.intercepts_, fitted.loss_curve_]
    finite = all(bool(np.isfinite(value).all()) for value in values)
    return finite, fitted.score(X, y), float(y.mean())


# Many rows ---------------------------------------------------------------------------


def many_rows(
    n_rows: int, dtype: Any
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """X, y and the parameters of a network of (5, 3, 2, 1) units."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, 5)).astype(dtype)
    y = (X[:, 0] + rng.normal(size=n_rows) > 0).astype(int)
    units = (5, 3, 2, 1)
    shapes = list(itertools.pairwise(units))
    coefs = [rng.normal(size=shape).astype(dtype) for shape in shapes]
    intercepts = [rng.normal(size=n).astype(dtype) for n in units[1:]]
    return X, y, [*coefs, *intercepts]


def terms(
    X: np.ndarray, y: np.ndarray, parameters: list[np.ndarray]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The loss of each row, then each component of its gradient: weights, then biases.

    By plain formulas in float64: yields the place in the flat gradient and the terms.
    """
    X = X.astype(float)
    W1, W2, W3, b1, b2, b3 = (p.astype(float) for p in parameters)
    A1 = np.tanh(X @ W1 + b1)
    A2 = np.tanh(A1 @ W2 + b2)
    Z3 = (A2 @ W3 + b3)[:, 0]
    yield np.logaddexp(0, (1 - 2 * y) * Z3)
    d3 = (1 / (1 + np.exp(-Z3)) - y)[:, np.newaxis]
    d2 = (d3 @ W3.T) * (1 - A2**2)
    d1 = (d2 @ W2.T) * (1 - A1**2)
    for inputs, delta in ((X, d1), (A1, d2), (A2, d3)):
        for i in range(inputs.shape[1]):
            for j in range(delta.shape[1]):
                yield inputs[:, i] * delta[:, j]
    for delta in (d1, d2, d3):
        yield from delta.T


def exact_means(
    X: np.ndarray, y: np.ndarray, parameters: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """The means of the terms by ``math.fsum``, and the means of their magnitudes."""
    found = [
        (math.fsum(each) / len(y), float(np.abs(each).mean()))
        for each in terms(X, y, parameters)
    ]
    means, sizes = np.array(found).T
    return means, sizes


def means_by(
    name: str,
    X: np.ndarray,
    y: np.ndarray,
    parameters: list[np.ndarray],
    rate: float = 2.0**40,
    batch_size: int | None = None,
) -> np.ndarray:
    """The loss and the gradient of one step of SGD on the full batch.

    The step is so long that the weights before it hardly change its rounding. With a
    ``batch_size`` the loss is the mean over the batches, and the rate should be small.
    """
    coefs, intercepts = parameters[:3], parameters[3:]
    fitted = model(
        name,
        hidden_layer_sizes=(3, 2),
        activation="tanh",
        solver="sgd",
        learning_rate="constant",
        learning_rate_init=rate,
        momentum=0.0,
        nesterovs_momentum=False,
        batch_size=batch_size or len(X),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted.partial_fit(X[:2] * 0, [0, 1], classes=[0, 1])
        fitted.coefs_ = [coef.copy() for coef in coefs]
        fitted.intercepts_ = [intercept.copy() for intercept in intercepts]
        fitted.partial_fit(X, y)
    after = [*fitted.coefs_, *fitted.intercepts_]
    gradient = [
        (before.astype(float) - now).ravel() / rate
        for before, now in zip(parameters, after, strict=True)
    ]
    return np.concatenate([[fitted.loss_], *gradient])


def errors_in_eps(
    found: np.ndarray, exact: np.ndarray, sizes: np.ndarray, dtype: Any
) -> tuple[float, float]:
    """The error of the loss, and the largest of the gradient."""
    errors = np.abs(found - exact) / (sizes * np.finfo(dtype).eps)
    return float(errors[0]), float(errors[1:].max())


def functional_errors(n_rows: int) -> dict[str, float]:
    """Errors of ``skreg.functional`` over many samples, as :func:`errors_in_eps`."""
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(3, n_rows)), rng.integers(2, size=(1, n_rows))
    parameters = {}
    for number, (n_in, n_out) in enumerate(itertools.pairwise((3, 3, 2, 1)), start=1):
        parameters[f"W{number}"] = rng.normal(size=(n_out, n_in))
        parameters[f"b{number}"] = rng.normal(size=(n_out, 1))
    # So that no unit is dead.
    parameters["W2"] = np.abs(parameters["W2"])
    A3, cache = functional.forward_propagation(X, parameters)
    losses = -np.log(np.where(Y == 1, A3, 1 - A3))[0]
    found = [functional.compute_cost(A3, Y)]
    gradients = functional.backward_propagation_with_regularization(X, Y, cache, 0.0)
    A2 = cache[5]
    of_terms = [losses, *((A3 - Y)[0] * row for row in A2), (A3 - Y)[0]]
    found += [*gradients["dW3"][0], *gradients["db3"][0]]
    exact = np.array([math.fsum(each) / n_rows for each in of_terms])
    sizes = np.array([np.abs(each).mean() for each in of_terms])
    loss, gradient = errors_in_eps(np.array(found), exact, sizes, np.float64)
    return {"loss": loss, "gradient": gradient}


# Rates -------------------------------------------------------------------------------


def diverging(name: str, **parameters: Any) -> tuple[str, list[str]]:
    """How a training ends whose steps are too long."""
    X, y = table(parameters.pop("dtype", float))
    X = X * parameters.pop("scale", 1)
    found, numpy_warnings = told(
        lambda: model(name, hidden_layer_sizes=(6, 4), max_iter=100, **parameters).fit(
            X, y
        )
    )
    if isinstance(found, ValueError):
        return "ValueError", numpy_warnings
    largest = max(np.abs(W).max() for W in found.coefs_)
    return f"a model, loss {found.loss_:.3g}, weights to {largest:.3g}", numpy_warnings


DIVERGING: dict[str, dict[str, Any]] = {
    "sgd, rate 1e6": {"solver": "sgd", "learning_rate_init": 1e6},
    "sgd, rate 1e300": {"solver": "sgd", "learning_rate_init": 1e300},
    "sgd, rate 1e30, float32": {
        "solver": "sgd",
        "learning_rate_init": 1e30,
        "dtype": np.float32,
    },
    "adam, rate 1e300": {"solver": "adam", "learning_rate_init": 1e300},
    "adam, rate 1e30, float32": {
        "solver": "adam",
        "learning_rate_init": 1e30,
        "dtype": np.float32,
    },
    "lbfgs, X of 1e200": {"solver": "lbfgs", "scale": 1e200},
    "adam, X of 1e200": {"solver": "adam", "scale": 1e200},
}


# Precision ---------------------------------------------------------------------------


def apart(name: str, solver: str, epochs: int, **parameters: Any) -> dict[str, float]:
    """The largest differences of float32 from float64 after so many epochs."""
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X).astype(np.float32)
    fits = []
    for dtype in (np.float64, np.float32):
        fitted = model(
            name,
            lambd=1.0,
            hidden_layer_sizes=(30, 10),
            solver=solver,
            max_iter=epochs,
            tol=0.0,
            **parameters,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            fits.append(fitted.fit(X.astype(dtype), y))
    double, single = fits
    pairs = list(zip(double.coefs_, single.coefs_, strict=True))
    return {
        "weights": max(float(np.abs(a - b).max()) for a, b in pairs),
        "loss": abs(double.loss_ - single.loss_) / double.loss_,
        "proba": float(np.abs(double.predict_proba(X) - single.predict_proba(X)).max()),
        "classes": int((double.predict(X) != single.predict(X)).sum()),
    }


# All of them -------------------------------------------------------------------------

Line = dict[str, Any]


def of_logits() -> Iterator[Line]:
    for kind in KINDS:
        for dtype in DTYPES:
            for name in ESTIMATORS:
                for what, error in at_logits(name, kind, dtype).items():
                    yield {
                        "test": f"logits to ±1000, {kind}, {dtype.__name__}: {what}",
                        "estimator": name,
                        "figure": f"{error:.3g} ulp",
                    }


def of_strongest() -> Iterator[Line]:
    of_sgd = [("sgd", schedule) for schedule in SCHEDULES]
    for lambd, (solver, schedule), dtype in itertools.product(
        (1e4, 1e8, 1e12), (*of_sgd, ("adam", "constant"), ("lbfgs", "constant")), DTYPES
    ):
        for name in ESTIMATORS:
            if name != "skreg" and schedule == "cosine":
                continue
            for rate in (safe_rate(lambd), 0.01) if solver == "sgd" else (0.01,):
                ratio, away, numpy_warnings = strongest(
                    name,
                    lambd,
                    dtype=dtype,
                    solver=solver,
                    learning_rate=schedule,
                    learning_rate_init=rate,
                )
                shown = ratio if isinstance(ratio, str) else f"{ratio:.2g}"
                yield {
                    "test": f"lambd {lambd:g}, {solver}, {schedule}, rate {rate:.2g}, "
                    f"{dtype.__name__}",
                    "estimator": name,
                    "figure": f"{shown}; P - frequency {away:.2g}; "
                    f"{len(numpy_warnings)} numpy warnings",
                }


def of_keep_prob() -> Iterator[Line]:
    for keep in (
        {"keep_prob": 1e-3, "learning_rate_init": 1e-3},
        {"keep_prob": 1e-2, "learning_rate_init": 1e-3},
        {"input_keep_prob": 1e-3, "learning_rate_init": 1e-2},
        {"keep_prob": 1e-3, "input_keep_prob": 0.5, "learning_rate_init": 1e-2},
    ):
        finite, accuracy, frequency = few_units(**keep)
        yield {
            "test": ", ".join(f"{k} {v}" for k, v in keep.items()),
            "estimator": "skreg",
            "figure": f"finite: {finite}; accuracy {accuracy:.3f}, "
            f"of the more frequent class {frequency:.3f}",
        }


def of_rows(n_rows: int) -> Iterator[Line]:
    for dtype in DTYPES:
        X, y, parameters = many_rows(n_rows, dtype)
        exact, sizes = exact_means(X, y, parameters)
        for name in ESTIMATORS:
            found = means_by(name, X, y, parameters)
            loss, gradient = errors_in_eps(found, exact, sizes, dtype)
            found = means_by(name, X, y, parameters, rate=1e-30, batch_size=200)
            of_batches, _ = errors_in_eps(found, exact, sizes, dtype)
            yield {
                "test": f"{n_rows} rows, {dtype.__name__}",
                "estimator": name,
                "figure": f"loss {loss:.2g} eps, of batches of 200 {of_batches:.2g} "
                f"eps, gradient {gradient:.2g} eps",
            }


def of_functional(n_rows: int) -> Iterator[Line]:
    found = functional_errors(n_rows)
    yield {
        "test": f"{n_rows} rows, skreg.functional",
        "estimator": "skreg",
        "figure": ", ".join(f"{k} {v:.2g} eps" for k, v in found.items()),
    }


def of_rates() -> Iterator[Line]:
    for test, parameters in DIVERGING.items():
        for name in ESTIMATORS:
            found, numpy_warnings = diverging(name, **parameters)
            yield {
                "test": test,
                "estimator": name,
                "figure": f"{found}; {len(numpy_warnings)} numpy warnings",
            }


def of_precision() -> Iterator[Line]:
    for solver in SOLVERS:
        for epochs in (1, 50):
            for name in ESTIMATORS:
                found = apart(name, solver, epochs)
                yield {
                    "test": f"float32 from float64, {solver}, {epochs} epochs",
                    "estimator": name,
                    "figure": ", ".join(f"{k} {v:.2g}" for k, v in found.items()),
                }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument(
        "--results", type=Path, default=Path(__file__).parent / "results"
    )
    arguments = parser.parse_args()
    parts: list[Callable[[], Iterator[Line]]] = [
        of_logits,
        of_strongest,
        of_keep_prob,
        partial(of_rows, arguments.rows),
        partial(of_functional, arguments.rows),
        of_rates,
        of_precision,
    ]
    arguments.results.mkdir(parents=True, exist_ok=True)
    path = arguments.results / "numerics.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["test", "estimator", "figure"])
        writer.writeheader()
        for part in parts:
            for line in part():
                print(f"{line['test']:<52} {line['estimator']:<14} {line['figure']}")
                writer.writerow(line)


if __name__ == "__main__":
    main()
