"""Load: does memory or time grow with the calls, the fits, the candidates?

``RegularizedMLPClassifier`` and ``MLPClassifier`` on the same test, each in a process
of its own with one BLAS thread. Linux only: the resident memory is /proc's.

    python docs/reliability/load.py soak [--seconds 600]
    python docs/reliability/load.py state [--calls 100000]
    python docs/reliability/load.py fits [--fits 10000]
    python docs/reliability/load.py search [--candidates 1000]

- soak: ``partial_fit`` on ever new rows for so many seconds, several configurations in
  turn; beside them, since it is not for ``partial_fit``, a ``fit`` with ``warm_start``,
  early stopping and the mean of the weights. Both processes run at the same time. After
  the first tenth (a minute of ten), the slopes over the calls of the resident memory,
  the blocks that Python's allocator has given out, the objects that the garbage
  collector knows and, for each configuration, the seconds of a call: Theil-Sen, with
  the 95% interval. That of the seconds is given as their change over the run in per
  cent.
- state: the bytes of the pickle after 10, 100, 1000 and ``--calls`` calls of
  ``partial_fit``.
- fits: so many fits in one process, each of a new clone that then predicts, scores and
  is let go: several configurations in turn, among them early stopping, 'lbfgs', an
  ensemble and a search. After the first tenth, what grows for each fit, by the same
  slopes, and how many file descriptors and threads there are at the end.
- search: ``RegularizedMLPClassifierCV`` over so many candidates and over a tenth of
  them: seconds, and the resident peak above what there was before. ``GridSearchCV``
  must find the same losses for ten of the candidates. For ``MLPClassifier`` it searches
  as many values of ``alpha``.

"constant" is "yes" where the whole interval is below a small bound, "NO" where it is
above, and "open" where the bound is within: the run was too short, or the machine busy.
Each prints a table and writes results/load_<test>.csv.
"""

from __future__ import annotations

import os

# Before numpy is imported, for the processes that measure.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import csv
import gc
import json
import pickle
import platform
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
from joblib import parallel_config
from scipy.stats import theilslopes
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import minmax_scale

from skreg import (
    RegularizedMLPClassifier,
    RegularizedMLPClassifierCV,
    RegularizedMLPEnsemble,
)

WHO = {"skreg": RegularizedMLPClassifier, "MLPClassifier": MLPClassifier}
# The bounds of what is called constant: a megabyte of resident memory over the run, an
# object or a block of Python's allocator in a hundred calls, a twentieth of the time of
# a call over the run.
MOST_MB, MOST_OBJECTS, MOST_PER_CENT = 1.0, 0.01, 5.0
# How often the counts are taken in a test.
N_WINDOWS = 100


def status(field: str) -> int:
    """A number of this process, from /proc/self/status; sizes are in kB."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return int(text.partition(f"\n{field}:")[2].split()[0])


def settle() -> None:
    """Let go of what Python itself keeps for speed, as the last names looked up."""
    gc.collect()
    # The second is its name before Python 3.13.
    getattr(sys, "_clear_internal_caches", getattr(sys, "_clear_type_cache", int))()


class Windows:
    """What may grow, noted from time to time into arrays made beforehand."""

    names = ("done", "resident MB", "blocks", "objects", "descriptors", "threads")

    def __init__(self) -> None:
        self.start, self.n = 0, 0
        self.table = np.zeros((N_WINDOWS, len(self.names)))

    def full(self) -> bool:
        return self.n == len(self.table)

    def note(self, done: int) -> None:
        settle()
        self.table[self.n] = (
            done,
            status("VmRSS") / 1024,
            sys.getallocatedblocks(),
            len(gc.get_objects()),
            len(os.listdir("/proc/self/fd")),
            status("Threads"),
        )
        self.n += 1

    def kept(self) -> Windows:
        """Without the first tenth."""
        self.start = self.n // 10
        return self

    def __getitem__(self, name: str) -> np.ndarray:
        return self.table[self.start : self.n, self.names.index(name)]

    def growth(self, unit: str) -> dict[str, str]:
        """The columns of the table."""
        done, resident = self["done"], self["resident MB"]
        entry = {
            "resident MB": f"{resident[0]:.1f}",
            "MB, first to last": f"{resident[-1] - resident[0]:+.2f}",
        }
        n, found = done[-1] - done[0], slope(done, resident)
        entry[f"bytes a {unit}"] = interval(found, 2**20)
        verdicts = {verdict(found, MOST_MB / n)}
        for name in ("blocks", "objects"):
            found = slope(done, self[name])
            entry[f"{name} a {unit}"] = interval(found)
            verdicts.add(verdict(found, MOST_OBJECTS))
        for name in ("descriptors", "threads"):
            entry[name] = f"{self[name][0]:.0f} → {self[name][-1]:.0f}"
            verdicts.add("NO" if self[name][-1] > self[name][0] else "yes")
        return {**entry, "constant": min(verdicts, key=("NO", "open", "yes").index)}


def slope(x: Sequence[float], y: Sequence[float]) -> tuple[float, float, float]:
    """The slope of y over x, and its 95% interval."""
    found = theilslopes(y, x, 0.95)
    return float(found[0]), float(found[2]), float(found[3])


def verdict(found: Sequence[float], bound: float) -> str:
    """Whether an interval lies below the bound; "open" if the bound is within."""
    _, low, high = found
    return "NO" if low > bound else "yes" if high <= bound else "open"


def interval(found: Sequence[float], factor: float = 1.0) -> str:
    middle, low, high = (factor * number for number in found)
    return f"{middle:.3g} [{low:.3g}, {high:.3g}]"


def of_both(ours: dict[str, Any], theirs: dict[str, Any], who: str) -> dict[str, Any]:
    return ours if who == "skreg" else theirs


# soak --------------------------------------------------------------------------------


class Stream:
    """Ever new rows with the same boundary, in one of the forms that fit takes."""

    def __init__(self, form: str, n_rows: int = 200, n_columns: int = 20) -> None:
        self.generator = np.random.default_rng(0)
        self.form, self.shape = form, (n_rows, n_columns)
        self.boundary = self.generator.normal(size=(n_columns, 3))

    def rows(self) -> tuple[Any, np.ndarray]:
        X = self.generator.normal(size=self.shape)
        if self.form == "sparse":
            X *= self.generator.random(self.shape) < 0.1
        scores = X @ self.boundary
        y = (scores > 0).astype(int) if self.form == "labels" else scores.argmax(axis=1)
        if self.form == "sparse":
            return scipy.sparse.csr_array(X), y
        return X.astype(np.float32 if self.form == "float32" else float), y


def soak_models(who: str) -> dict[str, tuple[Stream, Any]]:
    """By name; each has its stream of rows."""
    make = WHO[who]
    shared = {"random_state": 0, "max_iter": 50}
    dropout = of_both({"keep_prob": 0.5, "input_keep_prob": 0.8}, {}, who)
    norm = of_both({"max_norm": 3.0}, {}, who)
    mean = of_both({"averaging": 0.9}, {}, who)
    # Units that die, whose weights the penalty then shrinks below what is normal.
    decay = of_both({"lambd": 2000.0}, {"alpha": 2000.0}, who)
    return {
        "dense": (Stream("dense"), make(**shared)),
        "float32, dropout": (Stream("float32"), make(**shared, **dropout)),
        "sparse, dropout": (Stream("sparse"), make(**shared, **dropout)),
        "SGD, max_norm": (
            Stream("dense"),
            make(**shared, **norm, solver="sgd", learning_rate="adaptive"),
        ),
        "labels": (Stream("labels"), make(**shared)),
        "strong penalty": (
            Stream("float32"),
            make(**shared, **decay, solver="sgd", learning_rate_init=0.01),
        ),
        "warm start, early stopping": (
            Stream("dense"),
            make(
                **{**shared, "max_iter": 2},
                **mean,
                warm_start=True,
                early_stopping=True,
            ),
        ),
    }


def soak(who: str, seconds: float) -> list[dict[str, Any]]:
    models = soak_models(who)
    # Made beforehand, so that what the test notes does not grow with it.
    windows, times = Windows(), np.full((N_WINDOWS, len(models)), np.nan)
    n_calls, start = 0, time.perf_counter()
    while not windows.full() and time.perf_counter() - start < seconds:
        ends = start + (windows.n + 1) * seconds / N_WINDOWS
        of_window: list[list[float]] = [[] for _ in models]
        while time.perf_counter() < ends:
            for seen, (stream, model) in zip(of_window, models.values(), strict=True):
                X, y = stream.rows()
                begin = time.perf_counter()
                if model.warm_start:
                    model.fit(X, y)
                else:
                    model.partial_fit(X, y, classes=range(3))
                seen.append(time.perf_counter() - begin)
                model.predict_proba(X[:50])
            n_calls += len(models)
        if of_window[0]:
            times[windows.n] = [np.median(seen) for seen in of_window]
        del of_window
        windows.note(n_calls)
    kept = windows.kept()
    entry = {"calls": n_calls, "seconds": round(seconds)}
    lines = [{"test": "all in turn", **entry, **kept.growth("call")}]
    entry["calls"] = n_calls // len(models)
    for name, of_model in zip(models, times[kept.start : windows.n].T, strict=True):
        there = np.isfinite(of_model)
        calls, of_model = kept["done"][there], of_model[there]
        share = (calls[-1] - calls[0]) / np.median(of_model) * 100
        change = [share * number for number in slope(calls, of_model)]
        lines.append(
            {
                "test": name,
                **entry,
                "ms a call": f"{1e3 * np.median(of_model):.3g}",
                "change of time %": interval(change),
                "constant": verdict(change, MOST_PER_CENT),
            }
        )
    return lines


# state -------------------------------------------------------------------------------


def state(who: str, n_calls: int) -> list[dict[str, Any]]:
    X, y = make_classification(10, 5, random_state=0)
    shared = {"hidden_layer_sizes": (4,), "max_iter": 50, "random_state": 0}
    dropout = of_both({"keep_prob": 0.5}, {}, who)
    lines = []
    for name, extra in {
        "Adam": {},
        "Adam, dropout": dropout,
        "SGD": {"solver": "sgd"},
    }.items():
        model = WHO[who](**shared, **extra)
        entry: dict[str, Any] = {"test": name}
        for call in range(1, n_calls + 1):
            model.partial_fit(X, y, classes=[0, 1])
            if call in (10, 100, 1000, n_calls):
                entry[f"bytes after {call}"] = len(pickle.dumps(model))
        entry["length of loss_curve_"] = len(model.loss_curve_)
        # What a counter of more digits takes is no growth.
        grown = entry[f"bytes after {n_calls}"] - entry["bytes after 100"]
        entry["constant"] = "yes" if grown < 50 else "NO"
        lines.append(entry)
    return lines


# fits --------------------------------------------------------------------------------


def fit_models(who: str) -> dict[str, tuple[Any, Any]]:
    """By name: the rows and the estimator."""
    X = make_classification(120, 5, random_state=0)[0]
    make = WHO[who]
    small = {"hidden_layer_sizes": (4,), "max_iter": 3}
    plain = {**small, **of_both({"early_stopping": False}, {}, who)}
    dropout = of_both({"keep_prob": 0.5}, {}, who)
    grid = {"cv": 2, "scoring": "accuracy", "n_jobs": 2}
    models = {
        "defaults": (X, make(**small)),
        "dropout": (X, make(**plain, **dropout)),
        "float32": (X.astype(np.float32), make(**plain)),
        "sparse": (scipy.sparse.csr_array(X), make(**plain, **dropout)),
        "L-BFGS": (X, make(**plain, solver="lbfgs")),
        "early stopping": (X, make(**small, early_stopping=True)),
        "GridSearchCV": (
            X,
            GridSearchCV(
                make(**plain),
                of_both({"lambd": [1, 2]}, {"alpha": [1, 2]}, who),
                **grid,
            ),
        ),
    }
    if who == "skreg":
        ensemble = RegularizedMLPEnsemble(make(**plain), n_estimators=3)
        search = RegularizedMLPClassifierCV([1, 2], [0.5, 1], **plain, **grid)
        models |= {"ensemble": (X, ensemble), "search": (X, search)}
    return models


def fits(who: str, n_fits: int) -> list[dict[str, Any]]:
    models = fit_models(who)
    y = make_classification(120, 5, random_state=0)[1]
    windows, done, start = Windows(), 0, time.perf_counter()
    while done < n_fits:
        for X, model in models.values():
            # Threads and not processes: what would stay is then in this process.
            with parallel_config("threading"):
                fitted = clone(model).fit(X, y)
            fitted.predict_proba(X)
            fitted.score(X, y)
            del fitted
            done += 1
        if done >= (windows.n + 1) * n_fits / N_WINDOWS and not windows.full():
            windows.note(done)
    entry = {
        "test": f"{len(models)} configurations in turn",
        "fits": done,
        "seconds": round(time.perf_counter() - start),
    }
    return [{**entry, **windows.kept().growth("fit")}]


# search ------------------------------------------------------------------------------


def search(who: str, n_candidates: int) -> list[dict[str, Any]]:
    X, y = load_breast_cancer(return_X_y=True)
    X = minmax_scale(X)
    shared = {"hidden_layer_sizes": (20,), "max_iter": 10, "random_state": 0}
    shared["batch_size"] = 128
    grid = {"cv": 3, "scoring": "neg_log_loss"}
    values = np.geomspace(1e-3, 1e3, n_candidates // of_both(10, 1, who))
    keep_probs = np.linspace(0.55, 1.0, 10)
    if who == "skreg":
        model = RegularizedMLPClassifierCV(
            values, keep_probs, **shared, **grid, n_refits=1
        )
    else:
        model = GridSearchCV(MLPClassifier(**shared), {"alpha": values}, **grid)
    clone(model).set_params(
        **of_both({"lambds": [1.0]}, {"param_grid": {"alpha": [1.0]}}, who)
    ).fit(X, y)
    gc.collect()
    # The peak from here on.
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before, start = status("VmRSS"), time.perf_counter()
    model.fit(X, y)
    seconds = time.perf_counter() - start
    peak = (status("VmHWM") - before) / 1024
    results = model.cv_results_
    entry = {
        "candidates": len(results["params"]),
        "fits": len(results["params"]) * 3 + 1,
        "seconds": f"{seconds:.1f}",
        "ms a fit": f"{1e3 * seconds / (len(results['params']) * 3 + 1):.2f}",
        "peak MB above": f"{peak:.1f}",
        "cv_results_ MB": f"{len(pickle.dumps(results)) / 2**20:.2f}",
    }
    if who == "skreg":
        drawn = np.random.default_rng(0).choice(len(results["params"]), 10, False)
        plain = GridSearchCV(
            model.estimator,
            [{k: [v] for k, v in results["params"][i].items()} for i in drawn],
            **grid,
            refit=False,
        ).fit(X, y)
        difference = np.abs(
            plain.cv_results_["mean_test_score"] - results["mean_test_score"][drawn]
        ).max()
        entry["largest difference of the loss"] = f"{difference:.2g}"
    return [entry]


# The command -------------------------------------------------------------------------


def in_processes(
    test: str, cases: Sequence[tuple[str, float]], *, at_once: bool
) -> list:
    """The lines of each case, measured in a process of its own."""
    lines, running = [], []

    def collect() -> None:
        for who, process in running:
            output, _ = process.communicate()
            if process.returncode:
                raise RuntimeError(f"{test} of {who} ended with {process.returncode}")
            lines.extend({"estimator": who, **line} for line in json.loads(output))
        running.clear()

    for who, size in cases:
        command = [sys.executable, __file__, test, "--who", who, "--size", str(size)]
        running.append((who, subprocess.Popen(command, stdout=subprocess.PIPE)))
        if not at_once:
            collect()
    collect()
    return lines


def report(name: str, lines: Sequence[Mapping[str, Any]], results: Path) -> None:
    """Print the table and write it down."""
    packages = [
        f"{p} {version(p)}" for p in ("numpy", "scipy", "scikit-learn", "skreg")
    ]
    print(f"{', '.join(packages)}; Python {platform.python_version()}", end="\n\n")
    columns = list(dict.fromkeys(column for line in lines for column in line))
    for row in (columns, ["---"] * len(columns)):
        print(f"| {' | '.join(row)} |")
    for line in lines:
        print(f"| {' | '.join(str(line.get(column, '')) for column in columns)} |")
    results.mkdir(parents=True, exist_ok=True)
    with open(results / f"{name}.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)


TESTS: dict[str, Callable[[str, Any], list[dict[str, Any]]]] = {
    "soak": soak,
    "state": state,
    "fits": fits,
    "search": search,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("test", choices=TESTS)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--fits", type=int, default=10_000)
    parser.add_argument("--candidates", type=int, default=1000)
    parser.add_argument(
        "--results", type=Path, default=Path(__file__).parent / "results"
    )
    # How the command calls itself, for one estimator.
    parser.add_argument("--who", choices=WHO, help=argparse.SUPPRESS)
    parser.add_argument("--size", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    test = options.test
    if options.who is not None:
        warnings.simplefilter("ignore", ConvergenceWarning)
        # In the threads of a search the filters are others.
        warnings.showwarning = lambda *_, **__: None
        size = options.size if test == "soak" else int(options.size)
        print(json.dumps(TESTS[test](options.who, size)))
        return
    sizes = {
        "soak": [options.seconds],
        "state": [options.calls],
        "fits": [options.fits],
        "search": [options.candidates // 10, options.candidates],
    }[test]
    cases = [(who, size) for who in WHO for size in sizes]
    lines = in_processes(test, cases, at_once=test == "soak")
    report(f"load_{test}", lines, options.results)


if __name__ == "__main__":
    main()
