"""Where the time of a training step goes, for each case of ``fit.py``.

A step is a plan of calls (``skreg/_calls.py``); each is timed by itself, again and
again in the order of the plan, and the medians are added up by kind. What the step as a
whole takes beyond that is overhead: Python's own work, and the caches' between steps.

    python docs/benchmarks/parts.py [--repeats 200]

prints the table and writes results/parts.csv.
"""

from __future__ import annotations

import time
import warnings
from collections import defaultdict
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import numpy as np
from common import arguments, report
from fit import CASES, KEEP_PROB, Case, run_floor, run_ours, table_of
from sklearn.exceptions import ConvergenceWarning

from skreg import _runs
from skreg._threads import threads_for

PRODUCTS = {"dot", "matmul"}


def kept_by_fit(case: Case, X: np.ndarray, y: np.ndarray, keep_prob: float) -> dict:
    """The objective, batches and optimiser of a short fit."""
    kept: dict[str, Any] = {}
    descending = _runs.descending

    def keeping(stack: Any, batches: Any, *rest: Any, **more: Any) -> Any:
        kept.update(
            objective=stack.objective, batches=batches, optimizer=stack.optimizer
        )
        return descending(stack, batches, *rest, **more)

    with patch.object(_runs, "descending", keeping):
        run_ours(case._replace(epochs=2), X, y, keep_prob)
    return kept


def name_of(call: Callable) -> str:
    """The name of the function of a planned call, which may be a partial itself."""
    while hasattr(call, "func"):
        call = call.func
    return getattr(call, "__name__", type(call).__name__)


def median_us(run: Callable[[], object], repeats: int) -> float:
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return 1e6 * float(np.median(seconds))


def measure(case: Case, keep_prob: float, repeats: int) -> dict[str, object]:
    """A line of the table, on as many threads as ``fit`` has."""
    X, y = table_of(case)
    kept = kept_by_fit(case, X, y, keep_prob)
    with threads_for(
        kept["batches"].most_rows * kept["objective"].layout.largest_weight
    ):
        return measure_kept(case, X, y, keep_prob, repeats, *kept.values())


def measure_kept(
    case: Case,
    X: np.ndarray,
    y: np.ndarray,
    keep_prob: float,
    repeats: int,
    objective: Any,
    batches: Any,
    optimizer: Any,
) -> dict[str, object]:
    ((_, step, _), *_) = objective._plans.values()
    kinds = [
        (call, "products" if name_of(call) in PRODUCTS else "elementwise")
        for call in step
    ]
    if keep_prob < 1:
        kinds[0] = kinds[0][0], "masks"
    kinds += [(call, "penalty") for call in objective._penalty_plan]
    kinds += [(call, "optimiser") for call in optimizer._plan]
    seconds: list[list[float]] = [[] for _ in kinds]
    for _ in range(repeats):
        for (call, _), times in zip(kinds, seconds, strict=True):
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
    parts: dict[str, float] = defaultdict(float)
    for (_, kind), times in zip(kinds, seconds, strict=True):
        parts[kind] += 1e6 * float(np.median(times))

    n_batches = sum(1 for _ in batches.epoch())

    def gather() -> None:
        for _, chunks in batches.epoch():
            for _ in chunks:
                pass

    def epoch() -> None:
        for _, chunks in batches.epoch():
            objective(chunks)
            optimizer.step(1e-9)

    few = max(5, repeats // n_batches)
    parts["gather"] = median_us(gather, few) / n_batches
    whole = median_us(epoch, few) / n_batches
    parts["overhead"] = whole - sum(parts.values())
    epochs = max(1, 200 // n_batches)
    some = case._replace(epochs=epochs)
    floor = median_us(lambda: run_floor(some, X, y), few) / (epochs * n_batches)
    return {
        "case": case.name,
        "keep_prob": keep_prob,
        "step µs": round(whole, 1),
        **{name: round(part, 1) for name, part in parts.items()},
        "floor": round(floor, 1),
    }


def main() -> None:
    options = arguments(__doc__.splitlines()[0], repeats=200)
    warnings.simplefilter("ignore", ConvergenceWarning)
    lines = [
        measure(case, keep_prob, options.repeats)
        for case in CASES
        for keep_prob in (1.0, KEEP_PROB)
    ]
    report("parts", lines, options.results)


if __name__ == "__main__":
    main()
