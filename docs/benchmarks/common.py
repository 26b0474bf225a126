"""What the benchmarks share: interleaved timing, tables, and what they ran on."""

from __future__ import annotations

import argparse
import csv
import importlib.util
import os
import platform
import statistics
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_info, threadpool_limits

from skreg._network import kernels

RESULTS = Path(__file__).parent / "results"

# The numbers of threads that a library is tried with: more than one may be slower,
# where work is too short to share out, and is where others keep the cores busy.
THREADS = tuple(sorted({1, os.cpu_count() or 1}))

# Parameters of ours with which it does what MLPClassifier does by default.
AS_MLP_CLASSIFIER = {
    "learning_rate": "constant",
    "learning_rate_init": 0.001,
    "early_stopping": False,
    "averaging": 0.0,
}


HAS_NUMBA = importlib.util.find_spec("numba") is not None


def with_kernels(setting: str, run: Callable[[], Any]) -> Callable[[], Any]:
    """The run with this value of ``SKREG_KERNELS``, as in a process of its own."""

    def with_setting() -> Any:
        os.environ[kernels.VARIABLE] = setting
        kernels.setting.cache_clear()
        return run()

    return with_setting


def in_both(name: str, run: Callable[[], Any]) -> dict[str, Callable[[], Any]]:
    """A run of ours in numpy and, where numba is there, with its kernels."""
    runs = {name: with_kernels("numpy", run)}
    if HAS_NUMBA:
        runs[f"{name}, fast"] = with_kernels("numba", run)
    return runs


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


def with_each_threads(
    runs: Mapping[str, Callable[[], object]], repeats: int
) -> dict[str, dict[int | None, np.ndarray]]:
    """Times of each run by the number of threads, of BLAS and OpenMP alike, in turns.

    Ours set it themselves, None. For each turn but a first one, the seconds on the
    clock and those that the cores of this process worked, which other work on the
    machine hardly changes. No fit needs to converge.
    """
    found: dict[str, dict[int | None, Any]] = {
        name: {n: [] for n in ((None,) if name.startswith("ours") else THREADS)}
        for name in runs
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for repeat in range(repeats + 1):
            for name, of_run in found.items():
                for n_threads, times in of_run.items():
                    with threadpool_limits(n_threads):
                        start = time.perf_counter(), time.process_time()
                        runs[name]()
                        end = time.perf_counter(), time.process_time()
                    if repeat:
                        times.append(np.subtract(end, start))
    return {k: {n: np.array(v) for n, v in each.items()} for k, each in found.items()}


def best(of_run: Mapping[int | None, np.ndarray]) -> int | None:
    """The number of threads with which a run takes the least time on the clock."""
    return min(of_run, key=lambda n_threads: np.median(of_run[n_threads][:, 0]))


def turns(
    runs: Mapping[str, Callable[[], object]], repeats: int
) -> dict[str, np.ndarray]:
    """The seconds on the clock of each turn, for ratios; peers with the best number."""
    found = with_each_threads(runs, repeats)
    return {name: of_run[best(of_run)][:, 0] for name, of_run in found.items()}


def by_threads(
    runs: Mapping[str, Callable[[], object]], repeats: int
) -> list[dict[str, Any]]:
    """A line for each run and number of threads, with the medians."""
    lines = []
    for name, of_run in with_each_threads(runs, repeats).items():
        for n_threads, times in of_run.items():
            clock, cpu = np.median(times, axis=0).tolist()
            line = {
                "run": name,
                "threads": "its own" if n_threads is None else n_threads,
                "seconds": clock,
                "CPU seconds": cpu,
                "best": "yes" if n_threads == best(of_run) else "",
            }
            lines.append(line)
    return lines


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
    for name in ("numpy", "scipy", "scikit-learn", "numba", "torch", "skorch", "skreg"):
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


def report(
    name: str, rows: Sequence[Mapping[str, object]], results: Path | None
) -> None:
    """Print the rows as a table and write them to ``results/name.csv``, if not None."""
    print(machine(), end="\n\n")
    print(table(rows))
    if results is None:
        return
    results.mkdir(parents=True, exist_ok=True)
    columns = list(dict.fromkeys(column for row in rows for column in row))
    with open(results / f"{name}.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
