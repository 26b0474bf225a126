"""One seed, one result: the same test of RegularizedMLPClassifier and MLPClassifier.

    python docs/reliability/determinism.py

It fits both with one seed in ways that should not matter, and counts how many models
are the same bit for bit: other global random states, a pickle between two calls of
partial_fit, processes that are forked, spawned or of joblib, other hash seeds, more
jobs in a search. It tells which state of the process a call has changed, and by how
much the weights differ with two threads of BLAS. It takes a minute or two.
"""

from __future__ import annotations

import argparse
import csv
import json
import multiprocessing
import os
import pickle
import random
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.datasets import load_iris, make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import scale

from skreg import RegularizedMLPClassifier

ROOT = Path(__file__).resolve().parents[2]
RESULTS = Path(__file__).parent / "results"
SEEDS = 20
UNITS = (10, 30, 100, 300, 600, 1000, 2000)


def models(**parameters: Any) -> dict[str, Any]:
    """Both, small, with what they have in common."""
    common = {
        "hidden_layer_sizes": (20,),
        "max_iter": 5,
        "batch_size": 16,
        "random_state": 0,
        **parameters,
    }
    return {
        "skreg": RegularizedMLPClassifier(**common, keep_prob=0.8),
        "MLPClassifier": MLPClassifier(**common),
    }


def rows() -> tuple[np.ndarray, np.ndarray]:
    """150 rows of three classes."""
    X, y = load_iris(return_X_y=True)
    return scale(X), y


def numbers(model: Any) -> bytes:
    """The weights, as bytes."""
    return b"".join(array.tobytes() for array in model.coefs_ + model.intercepts_)


def fitted(model: Any) -> bytes:
    """The weights of a fit of a clone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return numbers(clone(model).fit(*rows()))


def fitted_of(name: str) -> bytes:
    """The same by the name of the model, for another process."""
    return fitted(models()[name])


def with_global_states(model: Any) -> list[bytes]:
    """Fits after other seeds of numpy's and Python's global generators."""
    found = []
    for seed in range(SEEDS):
        np.random.seed(seed)  # noqa: NPY002 - the global generator is meant
        random.seed(seed)
        found.append(fitted(model))
    return found


def half_way(model: Any, *, pickled: bool) -> bytes:
    """Twenty calls of partial_fit, with or without a pickle between two calls."""
    X, y = rows()
    model = clone(model)
    for part in range(SEEDS):
        model.partial_fit(X[part % 5 :: 5], y[part % 5 :: 5], classes=[0, 1, 2])
        if pickled:
            model = pickle.loads(pickle.dumps(model))
    return numbers(model)


def in_other_processes(name: str) -> list[bytes]:
    """Fits in processes: forked, spawned, joblib's, and with other hash seeds."""
    found = []
    for method in ("fork", "spawn"):
        with multiprocessing.get_context(method).Pool(1) as pool:
            found.append(pool.apply(fitted_of, (name,)))
    found += Parallel(n_jobs=2)(delayed(fitted)(models()[name]) for _ in range(2))
    for seed in ("0", "1", "31337"):
        code = f"import determinism; print(determinism.fitted_of({name!r}).hex())"
        found.append(bytes.fromhex(printed(code, PYTHONHASHSEED=seed)))
    return found


def printed(code: str, **environment: str) -> str:
    """What a process prints that runs the code in this folder."""
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=True,
    )
    return run.stdout


def searched(model: Any, n_jobs: int) -> bytes:
    """The scores of a search, and the weights of its best."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        grid = {"learning_rate_init": [0.003, 0.01, 0.03]}
        search = GridSearchCV(model, grid, cv=3, n_jobs=n_jobs).fit(*rows())
    scores = np.asarray(search.cv_results_["mean_test_score"])
    return scores.tobytes() + numbers(search.best_estimator_)


@contextmanager
def noted(changed: list[str]) -> Iterator[None]:
    """Write down what of the process is another after the call."""
    sys.path.insert(0, str(ROOT / "tests"))
    from untouched import state_of_process

    before = state_of_process()
    try:
        yield
    finally:
        after = state_of_process()
        changed += [name for name in before if before[name] != after[name]]


def changed_by_calls(model: Any) -> list[str]:
    """What fit, partial_fit, predict and a fit that fails change of the process."""
    X, y = rows()
    changed: list[str] = []
    calls: list[Callable[[Any], Any]] = [
        lambda of: of.fit(X, y),
        lambda of: of.predict_proba(X),
        lambda of: of.partial_fit(X, y),
        lambda of: of.set_params(max_iter=0).fit(X, y),
        lambda of: of.set_params(max_iter=5).fit(X * np.nan, y),
    ]
    # Without a seed: that of the process may be taken, but not moved.
    model = clone(model).set_params(random_state=None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for call in calls:
            with noted(changed):
                try:
                    call(model)
                except ValueError:
                    continue
    return sorted(set(changed))


def weights_by_threads(threads: str) -> dict[str, list[list[float]]]:
    """Weights of networks of several sizes, in a process with so many BLAS threads."""
    code = "import determinism, json; print(json.dumps(determinism.weights_by_size()))"
    text = printed(code, OPENBLAS_NUM_THREADS=threads)
    found: dict[str, list[list[float]]] = json.loads(text)
    return found


def weights_by_size() -> dict[str, list[list[float]]]:
    """Of each model and size, some hundred weights after five epochs."""
    X, y = make_classification(400, 40, n_informative=5, random_state=0)
    found: dict[str, list[list[float]]] = {}
    warnings.simplefilter("ignore", ConvergenceWarning)
    for units in UNITS:
        sizes = models(hidden_layer_sizes=(units, 20), batch_size=200)
        sizes["skreg"].set_params(early_stopping=False)
        for name, model in sizes.items():
            weights = np.concatenate([c.ravel() for c in model.fit(X, y).coefs_])
            found.setdefault(name, []).append(weights[:: len(weights) // 200].tolist())
    return found


def same(found: list[bytes], expected: bytes) -> str:
    """How many are the same."""
    return f"{sum(each == expected for each in found)} of {len(found)} the same"


def figures() -> Iterator[tuple[str, str, str]]:
    """Promise, model, figure."""
    for name, model in models().items():
        expected = fitted(model)
        yield "global random states", name, same(with_global_states(model), expected)
        alone = half_way(model, pickled=False)
        again = half_way(model, pickled=True)
        yield "pickles between calls of partial_fit", name, same([again], alone)
        yield "other processes", name, same(in_other_processes(name), expected)
        jobs = [searched(model, 2)]
        yield "jobs of a search", name, same(jobs, searched(model, 1))
        changed = ", ".join(changed_by_calls(model)) or "nothing"
        yield "changed of the process without a seed", name, changed
    one, two = weights_by_threads("1"), weights_by_threads("2")
    for name in one:
        for units, a, b in zip(UNITS, one[name], two[name], strict=True):
            difference = np.abs(np.subtract(a, b)).max() / np.abs(a).max()
            text = "bit for bit" if a == b else f"{difference:.1e}"
            yield f"two threads of BLAS, {units} units", name, text


def main() -> None:
    """Print the figures, and write them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    options.results.mkdir(exist_ok=True)
    with (options.results / "determinism.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["test", "model", "figure"])
        for row in figures():
            print("{:40} {:15} {}".format(*row), flush=True)
            table.writerow(row)


if __name__ == "__main__":
    main()
