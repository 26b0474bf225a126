"""What the benchmarks share: interleaved timing, tables, and what they ran on."""

from __future__ import annotations

import argparse
import csv
import os
import platform
import statistics
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_info

RESULTS = Path(__file__).parent / "results"

# Parameters of ours with which it does what MLPClassifier does by default.
AS_MLP_CLASSIFIER = {
    "learning_rate": "constant",
    "learning_rate_init": 0.001,
    "early_stopping": False,
    "averaging": 0.0,
}


def command_line(description: str, **defaults: int) -> argparse.ArgumentParser:
    """``--name`` for each of the integers, and ``--results``."""
    parser = argparse.ArgumentParser(description=description)
    for name, default in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--results", type=Path, default=RESULTS)
    return parser


def arguments(description: str, **defaults: int) -> argparse.Namespace:
    """What the command line says, of a script that needs no more than this."""
    return command_line(description, **defaults).parse_args()


def interleaved(
    runs: Mapping[str, Callable[[], object]], repeats: int
) -> dict[str, list[float]]:
    """Seconds of each run, in turns, so that a busy moment meets all of them.

    A first turn, which pays for imports and first use, is not counted.
    """
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(repeats + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if repeat:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def turns(
    runs: Mapping[str, Callable[[], object]], repeats: int
) -> dict[str, np.ndarray]:
    """:func:`interleaved` as arrays, for ratios; no fit needs to converge."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return {k: np.array(v) for k, v in interleaved(runs, repeats).items()}


class Clock:
    """Standard output that writes down when an epoch was printed."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def write(self, text: str) -> None:
        if text.startswith("Iteration"):
            self.seconds.append(time.perf_counter())

    def flush(self) -> None:
        """Nothing is kept back."""


def medians(seconds: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {name: statistics.median(times) for name, times in seconds.items()}


def machine() -> str:
    """Versions, cores and BLAS, in one line."""
    packages = []
    for name in ("numpy", "scipy", "scikit-learn", "torch", "skorch", "skreg"):
        try:
            packages.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            packages.append(f"{name} not there")
    blas = ", ".join(
        f"{pool['internal_api']} {pool['version']} ({pool['num_threads']} threads)"
        for pool in threadpool_info()
    )
    return (
        f"{', '.join(packages)}; Python {platform.python_version()}; "
        f"{os.cpu_count()} cores ({platform.machine()}); {blas}"
    )


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """The rows as a Markdown table; floats have three digits."""

    def cell(value: object) -> str:
        if not isinstance(value, float):
            return str(value)
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"

    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = [columns, ["---"] * len(columns)]
    lines += [[cell(row.get(name, "")) for name in columns] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def report(name: str, rows: Sequence[Mapping[str, object]], results: Path) -> None:
    """Print the rows as a table and write them to ``results/name.csv``."""
    print(machine(), end="\n\n")
    print(table(rows))
    results.mkdir(parents=True, exist_ok=True)
    columns = list(dict.fromkeys(column for row in rows for column in row))
    with open(results / f"{name}.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
