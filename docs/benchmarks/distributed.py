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

import warnings
from contextlib import redirect_stdout

import dask
import dask.array as da
import numpy as np
from common import AS_MLP_CLASSIFIER, Clock, arguments, report, table
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
        **AS_MLP_CLASSIFIER,
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


def slope_and_start(
    lines: list[dict], column: str, time: str = "ms a step"
) -> tuple[float, float]:
    """Least squares: seconds of a step by what stands in the column."""
    slope, start = np.polyfit(
        [line[column] for line in lines],
        [line[time] / 1000 for line in lines],
        1,
    )
    return float(slope), float(start)


def costs_of(lines: list[dict], workers: int) -> dict[str, float]:
    """The seconds that the model of docs/distributed.md is made of."""
    mine = [line for line in lines if line["workers"] == workers]
    by = {
        what: [line for line in mine if line["by"] == what]
        for what in ("rows", "partitions", "parameters")
    }
    row, _ = slope_and_start(by["rows"], "rows")
    partition, step = slope_and_start(by["partitions"], "partitions")
    local, _ = slope_and_start(by["rows"], "rows", "local ms a step")
    kilobyte, _ = slope_and_start(by["parameters"], "kB sent a step")
    # The slope by rows is that of all workers together.
    return {
        "row": row * workers,
        "local row": local,
        "partition": partition,
        "step": step,
        "byte": kilobyte / 1000,
    }


def step_time(
    costs: dict[str, float],
    n_rows: float,
    workers: int,
    partitions: int,
    n_bytes: int,
) -> float:
    """The model: what is shared out, and what is not."""
    return (
        costs["row"] * n_rows / workers
        + costs["step"]
        + costs["partition"] * partitions
        + costs["byte"] * bytes_of_step(n_bytes, workers, partitions)
    )


def predictions(costs: dict[str, float], n_bytes: int) -> list[dict]:
    """A step with two partitions for each worker, and where it stops paying.

    With a partition for each worker, the time c n / w + s + (t + 2 b β) w is least at
    w = sqrt(c n / (t + 2 b β)).
    """
    lines = []
    for n_rows in (10**6, 10**7, 10**8, 10**9):
        local = costs["local row"] * n_rows
        line = {"rows": f"{n_rows:.0e}", "local fit, s": local}
        for workers in (1, 10, 100):
            seconds = step_time(costs, n_rows, workers, 2 * workers, n_bytes)
            line[f"{workers} workers, s"] = seconds
            line[f"{workers} workers, efficiency"] = local / seconds / workers
        each = costs["partition"] + 2 * costs["byte"] * n_bytes
        line["most useful workers"] = round((costs["row"] * n_rows / each) ** 0.5)
        lines.append(line)
    return lines


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
    for workers in WORKERS:
        costs = costs_of(lines, workers)
        theta = int(1000 * lines[0]["kB of θ"])
        print(
            f"\nFrom {workers} workers: a row {1e6 * costs['row']:.3g} µs "
            f"(local {1e6 * costs['local row']:.3g}), a step "
            f"{1e3 * costs['step']:.3g} ms and {1e3 * costs['partition']:.3g} ms for "
            f"each partition, a MB sent {1e9 * costs['byte']:.3g} ms; θ has "
            f"{theta / 1000:.3g} kB.\n"
        )
        print(table(predictions(costs, theta)))


if __name__ == "__main__":
    main()
