"""The time of ``predict`` and ``predict_proba``, beside MLPClassifier's.

Both have the same layers and are fitted on the same few rows. One row, a thousand rows
and a million rows are predicted in turns; the medians of ``--repeats`` turns count, and
their ratio. Then a pool of threads predicts blocks of rows with one shared model: each
answer must be that of one thread, bit by bit, and the time gives the throughput. All
that with BLAS's own threads and with one.

    python docs/benchmarks/predict.py [--repeats 7] [--rows 1000000]

prints the table and writes results/predict.csv. Targets: one row no slower than
MLPClassifier, a million rows at least 1.5 times as fast, eight threads at least 0.85
times.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from common import AS_MLP_CLASSIFIER, arguments, interleaved, medians, report
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

from skreg import RegularizedMLPClassifier

METHODS = ("predict", "predict_proba")
N_COLUMNS, LAYERS = 50, (100, 50)
THREADS, BLOCKS = 8, 64
SAME = "the serial answer"

Models = dict[str, RegularizedMLPClassifier | MLPClassifier]
Predict = Callable[[np.ndarray], np.ndarray]


def fitted() -> Models:
    """Both classifiers, fitted in float32 on the same 4000 rows."""
    X, y = make_classification(4000, N_COLUMNS, n_informative=20, random_state=0)
    settings = {"hidden_layer_sizes": LAYERS, "max_iter": 5, "random_state": 0}
    models: Models = {
        "skreg": RegularizedMLPClassifier(**settings, **AS_MLP_CLASSIFIER),
        "MLPClassifier": MLPClassifier(**settings),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for model in models.values():
            model.fit(X.astype(np.float32), y)
    return models


def line(
    n_rows: int,
    method: str,
    seconds: dict[str, float],
    target: str | float = "",
    *,
    holds: bool | None = None,
    **columns: object,
) -> dict[str, object]:
    """A line of the table; a number as target is how many times as fast it must be."""
    faster = seconds["MLPClassifier"] / seconds["skreg"]
    if isinstance(target, float):
        target, holds = f"{target} times", faster >= target
    return {
        "rows": n_rows,
        "method": method,
        **columns,
        **{f"{name} ms": 1e3 * time for name, time in seconds.items()},
        "times as fast": faster,
        "skreg rows/s": n_rows / seconds["skreg"],
        "target": target,
        "holds": "" if holds is None else ("yes" if holds else "NO"),
    }


def one_thread(
    models: Models,
    X: np.ndarray,
    calls: int,
    repeats: int,
    blas: int | None,
    target: str | float = "",
) -> list[dict[str, object]]:
    """The time of one call, of each method."""

    def call(predict: Predict) -> None:
        for _ in range(calls):
            predict(X)

    lines = []
    for method in METHODS:
        runs = {name: partial(call, getattr(models[name], method)) for name in models}
        with threadpool_limits(blas):
            times = medians(interleaved(runs, repeats))
        seconds = {name: time / calls for name, time in times.items()}
        columns = {"threads": 1, "blocks": 1, "BLAS threads": blas or "its own"}
        lines.append(line(len(X), method, seconds, target, **columns))
    return lines


def many_threads(
    models: Models, blocks: Sequence[np.ndarray], repeats: int, blas: int | None
) -> list[dict[str, object]]:
    """The time of all blocks, one after the other and by a pool; are they equal?"""
    lines = []
    answers: list[list[bytes]] = []

    def call(mapped: Callable, predict: Predict, *, keep: bool) -> None:
        found = list(mapped(predict, blocks))
        if keep:
            answers.append([block.tobytes() for block in found])

    with ThreadPoolExecutor(THREADS) as pool, threadpool_limits(blas):
        for method in METHODS:
            answers.clear()
            for threads, mapped in ((1, map), (THREADS, pool.map)):
                runs = {
                    name: partial(
                        call,
                        mapped,
                        getattr(models[name], method),
                        keep=name == "skreg",
                    )
                    for name in models
                }
                entry = line(
                    sum(len(block) for block in blocks),
                    method,
                    medians(interleaved(runs, repeats)),
                    0.85 if threads > 1 else "",
                    threads=threads,
                    blocks=len(blocks),
                    **{"BLAS threads": blas or "its own"},
                )
                is_serial = all(found == answers[0] for found in answers)
                lines.append(entry | {SAME: "yes" if is_serial else "NO"})
    return lines


def main() -> None:
    options = arguments(__doc__.splitlines()[0], repeats=7, rows=1_000_000)
    models = fitted()
    shape = (options.rows, N_COLUMNS)
    X = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    lines = []
    for blas in (None, 1):
        lines += one_thread(models, X[:1], 300, options.repeats, blas, 1.0)
        lines += one_thread(models, X[:1000], 30, options.repeats, blas)
        lines += one_thread(models, X, 1, options.repeats, blas, 1.5)
    # Blocks of many sizes, so that the threads are not at the same place, and each of
    # its own rows, so that what one thread writes over another's work shows.
    edges = np.cumsum(np.linspace(1, options.rows // 128, BLOCKS, dtype=int))
    blocks = np.split(X[: edges[-1]], edges[:-1])
    for blas in (None, 1):
        lines += many_threads(models, blocks, options.repeats, blas)
    report("predict", lines, options.results)


if __name__ == "__main__":
    main()
