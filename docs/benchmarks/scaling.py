"""The time of an epoch of ``fit``: by rows, by width, and from the first to the last.

Both classifiers print a line after each epoch (``verbose``); the time between two lines
is the time of an epoch of ``fit``, with nothing added. Adam, float32, features in
[0, 1]. Each fit runs ``--repeats`` times, in turns with MLPClassifier's; the medians
count.

- rows: 50 columns, layers (100, 50), batches of 200;
- width: 10,000 rows, two hidden layers of that width;
- epochs: the same fit from beginning to end: the mean of each ten epochs over that of
  the first ten (the very first, which includes the set-up, left out), of which the
  worst and the last count. Of each epoch it is the shortest of the repeats, since what
  grows does so in all of them, and other work on the machine does not. None should cost
  more than 1.15 times as much. MLPClassifier's ``alpha`` is the ``lambd`` of ours,
  although it divides the penalty by the rows of a batch and so decays the weights
  faster. "By default" ours has its own learning rate and batches, and pixels in [0, 1],
  some of which are constant: the weights of those decay.

    python docs/benchmarks/scaling.py [--repeats 3]

prints the table; writes results/scaling.csv and the plot results/scaling.png.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from common import AS_MLP_CLASSIFIER, Clock, arguments, in_both, report
from matplotlib.figure import Figure
from sklearn.datasets import load_breast_cancer, load_digits, make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import minmax_scale

from skreg import RegularizedMLPClassifier

CLASSIFIERS = "skreg", "MLPClassifier"
ROWS = (1_000, 5_000, 20_000, 50_000, 200_000)
WIDTHS = (16, 64, 256, 1024)
# Data, epochs, and the settings of ours.
LONG: dict[str, tuple[Callable[..., Any], int, dict[str, Any]]] = {
    "digits": (
        load_digits,
        300,
        AS_MLP_CLASSIFIER
        | {"lambd": 1.0, "batch_size": 64, "hidden_layer_sizes": (100, 50)},
    ),
    "breast cancer": (
        load_breast_cancer,
        1000,
        AS_MLP_CLASSIFIER
        | {"lambd": 10.0, "batch_size": 32, "hidden_layer_sizes": (20, 3)},
    ),
    "digits, by default": (
        load_digits,
        300,
        {"early_stopping": False, "standardize": False},
    ),
}
AT_MOST = 1.15

Times = dict[str, list[np.ndarray]]


def epoch_times(
    X: np.ndarray,
    y: np.ndarray,
    repeats: int,
    epochs: int,
    ours: dict[str, Any],
) -> Times:
    """Seconds of each epoch but the first, of each fit of all, in turns."""
    times: Times = {}
    peers = {
        name: ours[name]
        for name in ("batch_size", "hidden_layer_sizes")
        if name in ours
    }
    classifiers = in_both("skreg", partial(RegularizedMLPClassifier, **ours))
    alpha = {"alpha": ours["lambd"]} if "lambd" in ours else {}
    classifiers["MLPClassifier"] = partial(MLPClassifier, **alpha, **peers)
    for repeat in range(repeats):
        for name, classifier in classifiers.items():
            model = classifier().set_params(
                max_iter=epochs,
                n_iter_no_change=epochs + 1,
                random_state=repeat,
                verbose=True,
            )
            clock = Clock()
            with redirect_stdout(clock), warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.fit(X, y)
            assert len(clock.seconds) == epochs
            times.setdefault(name, []).append(np.diff(clock.seconds))
    return times


def scaled(X: np.ndarray) -> np.ndarray:
    return minmax_scale(X).astype(np.float32)


def one_size(
    what: str,
    size: int,
    X: np.ndarray,
    y: np.ndarray,
    repeats: int,
    epochs: int,
    layers: tuple[int, int],
) -> dict:
    """A line of the table: the median epoch of all."""
    ours = {**AS_MLP_CLASSIFIER, "lambd": 1.0, "hidden_layer_sizes": layers}
    times = epoch_times(X, y, repeats, epochs, ours)
    ms = {name: 1e3 * float(np.median(times[name])) for name in times}
    return {"by": what, "size": size, **columns(ms)}


def columns(ms: dict[str, float]) -> dict[str, float]:
    return {f"{name} ms an epoch": time for name, time in ms.items()} | {
        f"MLPClassifier / {name}": ms["MLPClassifier"] / ms[name]
        for name in ms
        if name != "MLPClassifier"
    }


def growth(times: list[np.ndarray]) -> tuple[float, float]:
    """The worst and the last ten epochs over the first, by the shortest of repeats."""
    of_epochs = np.min(times, axis=0)
    means = of_epochs[: len(of_epochs) // 10 * 10].reshape(-1, 10).mean(axis=1)
    return float(means.max() / means[0]), float(means[-1] / means[0])


def long_fit(name: str, times: Times) -> dict:
    """A line of the table: how an epoch grows."""
    ms = {each: 1e3 * float(np.median(times[each])) for each in times}
    n_epochs = len(times["skreg"][0]) + 1
    entry: dict[str, Any] = {"by": "epochs", "size": f"{name}, {n_epochs} epochs"}
    entry |= columns(ms)
    holds = True
    for classifier, repeats in times.items():
        worst, last = growth(repeats)
        entry[f"{classifier} worst ten"] = worst
        entry[f"{classifier} last ten"] = last
        holds &= worst <= AT_MOST or classifier == "MLPClassifier"
    return {**entry, "holds": "yes" if holds else "NO"}


def plot(lines: list[dict], long: dict[str, Times], path: Path) -> None:
    figure = Figure(figsize=(13, 3.8), layout="tight")
    rows, width, epochs = figure.subplots(1, 3)
    for name, colour in zip(CLASSIFIERS, ("C0", "C1"), strict=True):
        for axes, by in ((rows, "rows"), (width, "width")):
            points = [entry for entry in lines if entry["by"] == by]
            x = [entry["size"] for entry in points]
            y = [entry[f"{name} ms an epoch"] for entry in points]
            axes.loglog(x, y, "o-", color=colour, label=name)
            axes.set(xlabel=by, ylabel="ms an epoch")
        for (data, times), style in zip(long.items(), ("-", ":", "--"), strict=True):
            typical = 1e3 * np.median(times[name], axis=0)
            smooth = [np.median(part) for part in np.array_split(typical, 50)]
            x = np.linspace(0, 1, len(smooth))
            epochs.plot(x, smooth, style, color=colour, label=f"{name}, {data}")
    rows.set_title("rows (50 columns, layers 100 and 50)")
    width.set_title("width of both hidden layers (10,000 rows)")
    epochs.set_title("from the first epoch to the last")
    epochs.set(xlabel="part of the epochs", ylabel="ms an epoch", ylim=(0, None))
    rows.legend()
    epochs.legend(fontsize="small")
    figure.savefig(path, dpi=120)


def main() -> None:
    options = arguments(__doc__.splitlines()[0], repeats=3)
    repeats = options.repeats
    X, y = make_classification(max(ROWS), 50, n_informative=20, random_state=0)
    X = scaled(X)
    lines = []
    for n in ROWS:
        epochs = max(4, 40_000 // n)
        lines.append(one_size("rows", n, X[:n], y[:n], repeats, epochs, (100, 50)))
    n = 10_000
    for units in WIDTHS:
        epochs, layers = max(5, 2_000 // units), (units, units)
        lines.append(one_size("width", units, X[:n], y[:n], repeats, epochs, layers))
    long = {}
    for name, (load, epochs, ours) in LONG.items():
        X, y = load(return_X_y=True)
        long[name] = epoch_times(scaled(X), y, repeats, epochs, ours)
        lines.append(long_fit(name, long[name]))
    report("scaling", lines, options.results)
    plot(lines, long, options.results / "scaling.png")


if __name__ == "__main__":
    main()
