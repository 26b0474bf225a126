"""The time of a search: ``RegularizedMLPClassifierCV`` beside ``GridSearchCV``.

The breast-cancer data, five ``lambd`` × six ``keep_prob`` × five folds, all with the
same number of epochs and of processes (``--jobs``); Adam at 1e-3, accuracy, and the fit
of the best to all rows. "Fast" is ours with the compiled kernels of the extra ``fast``;
of float64 rows the search compares its settings in float32. The peers are
``GridSearchCV`` over ``RegularizedMLPClassifier``, which must give the same scores but
for rounding, and over
``MLPClassifier``: as it has no dropout, six seeds stand for the six ``keep_prob``, and
its ``alpha`` is ``lambd``. The last line is a network so large that a stack does not
pay, with a grid of 2 × 2 × 2.

All run in turns, a first turn left out; what counts is the median over ``--repeats``
turns of the ratios within each turn.

    python docs/benchmarks/search.py [--repeats 3] [--jobs 1]

prints the table, with the targets in brackets, and writes results/search.csv
(search_jobs_2.csv with two processes).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from common import AS_MLP_CLASSIFIER, arguments, in_both, report, turns
from sklearn.datasets import load_breast_cancer, make_classification
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import minmax_scale

from skreg import RegularizedMLPClassifier, RegularizedMLPClassifierCV

Table = tuple[np.ndarray, np.ndarray]

LAMBDS = (0.01, 0.1, 1.0, 10.0, 100.0)
KEEP_PROBS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


class Case(NamedTuple):
    """A line of the table; the targets are times as fast."""

    name: str
    load: Callable[[], Table]
    dtype: str
    layers: tuple[int, ...]
    batch_size: int
    epochs: int
    targets: Targets
    lambds: tuple[float, ...] = LAMBDS
    keep_probs: tuple[float, ...] = KEEP_PROBS
    folds: int = 5


def breast_cancer() -> Table:
    X, y = load_breast_cancer(return_X_y=True)
    return minmax_scale(X), y


def large() -> Table:
    return make_classification(4000, 200, n_informative=30, n_classes=5, random_state=0)


Targets = dict[tuple[str, str], float]
RATIOS = [
    (f"{peer}{fast}", f"ours{also}")
    for peer, fast, also in (
        ("ours, GridSearchCV", "", ""),
        ("ours, GridSearchCV", ", fast", ", fast"),
        ("MLPClassifier", "", ""),
        ("MLPClassifier", "", ", fast"),
        ("ours", "", ", fast"),
    )
]


def targets(separate: float, mlp: float, mlp_fast: float) -> Targets:
    return {
        ("ours, GridSearchCV", "ours"): separate,
        ("MLPClassifier", "ours"): mlp,
        ("MLPClassifier", "ours, fast"): mlp_fast,
    }


SMALL, MIDDLE = targets(4.0, 15.0, 17.0), targets(1.3, 4.0, 4.7)
# One by one there is nothing to gain, and nothing must be lost.
LARGE: Targets = {("ours, GridSearchCV", "ours"): 1.0}
CASES = [
    Case("569 × 30", breast_cancer, "float32", (20, 3), 32, 50, SMALL),
    Case("569 × 30", breast_cancer, "float64", (20, 3), 32, 50, SMALL),
    Case("569 × 30", breast_cancer, "float32", (100, 50), 32, 20, MIDDLE),
    Case("569 × 30", breast_cancer, "float64", (100, 50), 32, 20, MIDDLE),
    Case(
        "4000 × 200, 5 classes",
        large,
        "float32",
        (512, 256),
        128,
        5,
        LARGE,
        lambds=(1.0, 10.0),
        keep_probs=(0.8, 1.0),
        folds=2,
    ),
]


def searches(case: Case, n_jobs: int) -> dict[str, Callable[[], GridSearchCV]]:
    """A search of each kind, ready to be fitted."""
    shared = {
        "hidden_layer_sizes": case.layers,
        "batch_size": case.batch_size,
        "max_iter": case.epochs,
    }
    ours = {
        **shared,
        **AS_MLP_CLASSIFIER,
        "n_iter_no_change": np.inf,
        "random_state": 0,
    }
    search = {"cv": case.folds, "n_jobs": n_jobs}
    return {
        "ours": partial(
            RegularizedMLPClassifierCV,
            case.lambds,
            case.keep_probs,
            scoring=None,
            n_refits=1,
            **ours,
            **search,
        ),
        "ours, GridSearchCV": partial(
            GridSearchCV,
            RegularizedMLPClassifier(**ours),
            {"lambd": case.lambds, "keep_prob": case.keep_probs},
            **search,
        ),
        "MLPClassifier": partial(
            GridSearchCV,
            MLPClassifier(**shared, n_iter_no_change=case.epochs + 1),
            {"alpha": case.lambds, "random_state": range(len(case.keep_probs))},
            **search,
        ),
    }


def measure(case: Case, repeats: int, n_jobs: int) -> dict[str, object]:
    """A line of the table."""
    X, y = case.load()
    X = np.ascontiguousarray(X, dtype=case.dtype)
    kinds = searches(case, n_jobs)
    scores: dict[str, np.ndarray] = {}

    def run(kind: str) -> None:
        found = kinds[kind]().fit(X, y)
        scores[kind] = found.cv_results_["mean_test_score"]

    runs: dict[str, Callable[[], None]] = {}
    for kind in kinds:
        ours, run_kind = kind.startswith("ours"), partial(run, kind)
        runs |= in_both(kind, run_kind) if ours else {kind: run_kind}
    seconds = turns(runs, repeats)
    entry: dict[str, object] = {
        "case": f"{case.name}, {case.dtype}",
        "layers, batch": f"{case.layers}, {case.batch_size}",
        "epochs": case.epochs,
    }
    for name in seconds:
        if name.startswith("ours") and "Grid" not in name:
            entry[f"{name} s"] = float(np.median(seconds[name]))
    missed = []
    for of, to in RATIOS:
        if of not in seconds or to not in seconds:
            continue
        found = float(np.median(seconds[of] / seconds[to]))
        target = case.targets.get((of, to))
        bound = "" if target is None else f" (≥ {target})"
        entry[f"{of} / {to}"] = f"{found:.2f}{bound}"
        if target is not None and found < target:
            missed.append(f"{of} / {to}")
    difference = np.abs(scores["ours"] - scores["ours, GridSearchCV"]).max()
    return {
        **entry,
        "largest difference of scores": float(difference),
        "missed": "; ".join(missed),
    }


def main() -> None:
    options = arguments(__doc__.splitlines()[0], repeats=3, jobs=1, case=-1)
    cases = CASES if options.case < 0 else [CASES[options.case]]
    name = "search" if options.jobs == 1 else f"search_jobs_{options.jobs}"
    lines = [measure(case, options.repeats, options.jobs) for case in cases]
    report(
        name if options.case < 0 else f"{name}_{options.case}", lines, options.results
    )


if __name__ == "__main__":
    main()
