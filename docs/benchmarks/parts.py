"""Where the time of a training step goes, for each case of ``fit.py``.

A step is a plan of calls (``skreg/_network/calls.py``); each is timed by itself, again
and again in the order of the plan, and the medians are added up by kind. What the step
as a whole takes beyond that is overhead: Python's own work, and the caches' between
steps.

    python docs/benchmarks/parts.py [--repeats 200]

prints the table and writes results/parts.csv.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable

import numpy as np
from common import arguments, report
from fit import CASES, KEEP_PROB, Case, ours, run_floor, table_of

from skreg._network.objective import Objective
from skreg._network.optimizers import Optimizer
from skreg._training.batches import Batches
from skreg._training.problem import Problem
from skreg._training.rows import given_rows
from skreg._training.threads import threads_for

PRODUCTS = {"dot", "matmul"}


def problem_of(case: Case, X: np.ndarray, y: np.ndarray, keep_prob: float) -> Problem:
    """What ``fit`` makes of the parameters and the rows."""
    model = ours(case, keep_prob)
    return Problem.of([model], given_rows(model, X, y).training)


def train(
    objective: Objective, batches: Batches, optimizer: Optimizer, rate: float
) -> None:
    """The steps of an epoch."""
    for _, chunks in batches.epoch():
        objective(chunks)
        optimizer.step(rate)


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
    problem = problem_of(case, X, y, keep_prob)
    with threads_for(problem.largest_product):
        return measure_steps(case, X, y, keep_prob, repeats, problem)


def measure_steps(
    case: Case,
    X: np.ndarray,
    y: np.ndarray,
    keep_prob: float,
    repeats: int,
    problem: Problem,
) -> dict[str, object]:
    objective, optimizer, *_ = problem.stack(problem.start())
    batches = problem.batches()
    for _ in range(2):
        train(objective, batches, optimizer, problem.settings.learning_rate_init)
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

    few = max(5, repeats // n_batches)
    parts["gather"] = median_us(gather, few) / n_batches
    whole = median_us(lambda: train(objective, batches, optimizer, 1e-9), few)
    whole /= n_batches
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
    lines = [
        measure(case, keep_prob, options.repeats)
        for case in CASES
        for keep_prob in (1.0, KEEP_PROB)
    ]
    report("parts", lines, options.results)


if __name__ == "__main__":
    main()
