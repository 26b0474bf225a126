"""The time of a step of ``skreg.dask.fit``: by workers, and by rows.

Worker processes on this machine, one BLAS thread each, full-batch Adam in float32, 50
columns, layers (100, 50), a partition of ``--rows`` / ``--partitions`` rows. Each fit
prints a line after each step (``verbose``); the time between two lines is the time of a
step, with nothing added. The median counts, the first step left out.

- rows: from nearly none, where a step costs what Dask takes, up to ``--rows``; a local
  ``fit`` of the same rows beside it, with one BLAS thread;
- partitions: nearly no rows in 2 to 64 partitions: what a task costs;
- parameters: nearly no rows and wide layers: what a byte of θ costs.

The bytes of a step are counted, not measured: θ goes out once for each partition, or if
it has more than 100 kB once for each worker; a vector of its size comes back from each
partition to where it is added up, unless it is there already; one goes to the client.

    python docs/benchmarks/distributed.py [--rows 400000] [--steps 15]

prints the tables and the figures that docs/distributed.md is made of; writes
results/distributed.csv.
"""

from __future__ import annotations

import os
import sys

# This file has the name of the library, which is to be found first, here and by the
# workers.
sys.path.append(sys.path.pop(0))

# Before numpy is imported, here and in the workers.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import time
import warnings
from contextlib import redirect_stdout

import dask
import dask.array as da
import numpy as np
from common import arguments, report
from distributed import Client, LocalCluster
from sklearn.exceptions import ConvergenceWarning

import skreg.dask
from skreg import RegularizedMLPClassifier

WORKERS = (1, 2)
N_FEATURES = 50
LAYERS = (100, 50)
# Units of two equal hidden layers, and nearly no rows.
WIDTHS = (100, 400, 1200)
PARTITIONS = (2, 8, 32, 64)
FEW_ROWS = 640
# θ goes to each partition up to this size, and to each worker above.
LARGE = 100_000


class Clock:
    """Standard output that writes down when a step was printed."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def write(self, text: str) -> None:
        if text.startswith("Iteration"):
            self.seconds.append(time.perf_counter())

    def flush(self) -> None:
        """Nothing is kept back."""


def rows_of(block: np.ndarray) -> np.ndarray:
    """Rows for a partition, made where it lies; ``block`` has its seed and length."""
    seed, n_rows = block.ravel().astype(int)
    return np.random.default_rng(seed).random((n_rows, N_FEATURES), dtype=np.float32)


def collections(n_rows: int, n_partitions: int) -> tuple[da.Array, da.Array]:
    lengths = [
        n_rows * (i + 1) // n_partitions - n_rows * i // n_partitions
        for i in range(n_partitions)
    ]
    make = dask.delayed(rows_of)
    X = da.concatenate(
        [
            da.from_delayed(
                make(np.array([seed, n])), shape=(n, N_FEATURES), dtype=np.float32
            )
            for seed, n in enumerate(lengths)
        ]
    )
    return X, (X[:, 0] + X[:, 1] > 1).astype(np.int8)


def model(layers: tuple[int, ...], steps: int) -> RegularizedMLPClassifier:
    return RegularizedMLPClassifier(
        layers,
        batch_size="full",
        max_iter=steps,
        n_iter_no_change=steps + 1,
        random_state=0,
        verbose=True,
    )


def timed(fit) -> tuple[float, RegularizedMLPClassifier]:
    """Seconds of the median step, and the fitted model."""
    clock = Clock()
    with redirect_stdout(clock), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = fit()
    return float(np.median(np.diff(clock.seconds))), fitted


def bytes_of_step(n_bytes: int, workers: int, partitions: int) -> int:
    """Out to partitions or workers, back between workers, and to the client."""
    out = n_bytes * (workers if n_bytes > LARGE else partitions)
    between = n_bytes * partitions * (workers - 1) // workers
    return out + between + n_bytes


def one_case(
    what: str,
    client: Client,
    workers: int,
    n_rows: int,
    partitions: int,
    steps: int,
    layers: tuple[int, ...] = LAYERS,
    local: float | None = None,
) -> dict:
    X, y = client.persist(collections(n_rows, partitions))
    seconds, fitted = timed(
        lambda: skreg.dask.fit(model(layers, steps), X, y, client=client)
    )
    theta = sum(a.nbytes for a in (*fitted.coefs_, *fitted.intercepts_))
    line = {
        "by": what,
        "workers": workers,
        "rows": n_rows,
        "features": N_FEATURES,
        "partitions": partitions,
        "kB of θ": theta / 1000,
        "ms a step": 1e3 * seconds,
        "kB sent a step": bytes_of_step(theta, workers, partitions) / 1000,
    }
    if local is not None:
        line |= {
            "local ms a step": 1e3 * local,
            "times as fast": local / seconds,
            "local µs a row": 1e6 * local / n_rows,
        }
    return line


def fitted_line(lines: list[dict], x: str, scale: float = 1) -> tuple[float, float]:
    """Slope and value at 0 of the time of a step (in ms), by least squares."""
    slope, start = np.polyfit(
        [scale * line[x] for line in lines], [line["ms a step"] for line in lines], 1
    )
    return float(slope), float(start)


def main() -> None:
    options = arguments(__doc__.splitlines()[0], rows=400_000, partitions=8, steps=15)
    lines = []
    sizes = [FEW_ROWS, *(options.rows // 2**i for i in (3, 2, 1, 0))]
    local = {}
    for n_rows in sizes:
        X, y = dask.compute(*collections(n_rows, options.partitions))
        local[n_rows], _ = timed(lambda: model(LAYERS, options.steps).fit(X, y))  # noqa: B023
    for workers in WORKERS:
        with (
            LocalCluster(
                n_workers=workers, threads_per_worker=1, dashboard_address=":0"
            ) as cluster,
            Client(cluster) as client,
        ):
            # Imports and first use are paid here.
            one_case("", client, workers, FEW_ROWS, workers, 3)
            case = client, workers
            for n_rows in sizes:
                line = one_case(
                    "rows",
                    *case,
                    n_rows,
                    options.partitions,
                    options.steps,
                    local=local[n_rows],
                )
                lines.append(line)
            for partitions in PARTITIONS:
                lines.append(
                    one_case("partitions", *case, FEW_ROWS, partitions, options.steps)
                )
            for width in WIDTHS:
                lines.append(
                    one_case(
                        "parameters",
                        *case,
                        FEW_ROWS,
                        workers,
                        options.steps,
                        layers=(width, width),
                    )
                )
    report("distributed", lines, options.results)
    print()
    for workers in WORKERS:
        mine = [line for line in lines if line["workers"] == workers]
        by = {
            what: [x for x in mine if x["by"] == what]
            for what in ("rows", "partitions", "parameters")
        }
        row, _ = fitted_line(by["rows"], "rows", 1e-6)
        task, step = fitted_line(by["partitions"], "partitions")
        byte, _ = fitted_line(by["parameters"], "kB sent a step", 1e-3)
        print(
            f"{workers} workers: {row:.4g} ns·10³ (ms per 10⁶ rows), {step:.3g} ms a "
            f"step and {task:.3g} ms a partition, {byte:.3g} ms a MB sent"
        )


if __name__ == "__main__":
    main()
