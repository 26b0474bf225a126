"""The time of an epoch of ``fit``: by rows, by width, and from the first to the last.

Both classifiers print a line after each epoch (``verbose``); the time between two lines
is the time of an epoch of ``fit``, with nothing added. Adam, float32, features in
[0, 1]. Each fit runs ``--repeats`` times, in turns with MLPClassifier's; the medians
count.

- rows: 50 columns, layers (100, 50), batches of 200;
- width: 10,000 rows, two hidden layers of that width;
- epochs: the same fit from beginning to end, as the mean of its last ten epochs over
  that of its first ten (the first epoch, which includes the set-up, left out), and the
  same of the medians of fifty. An epoch should cost at most 1.1 times as much at the
  end. MLPClassifier's ``alpha`` is the ``lambd`` of ours, although it divides the
  penalty by the rows of a batch and so decays the weights faster.

    python docs/benchmarks/scaling.py [--repeats 3]

prints the table; writes results/scaling.csv and the plot results/scaling.png.
"""

from __future__ import annotations

import warnings
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path

import numpy as np
from common import AS_MLP_CLASSIFIER, Clock, arguments, report
from matplotlib.figure import Figure
from sklearn.datasets import load_breast_cancer, load_digits, make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import minmax_scale

from skreg import RegularizedMLPClassifier

CLASSIFIERS = {
    "skreg": (partial(RegularizedMLPClassifier, **AS_MLP_CLASSIFIER), "lambd"),
    "MLPClassifier": (MLPClassifier, "alpha"),
}
ROWS = (1_000, 5_000, 20_000, 50_000, 200_000)
WIDTHS = (16, 64, 256, 1024)
# Data, lambd, epochs, batch size, layers.
LONG = {
    "digits": (load_digits, 1.0, 300, 64, (100, 50)),
    "breast cancer": (load_breast_cancer, 10.0, 1000, 32, (20, 3)),
}
AT_MOST = 1.1

Times = dict[str, list[np.ndarray]]


def epoch_times(
    X: np.ndarray, y: np.ndarray, repeats: int, epochs: int, penalty: float, **settings
) -> Times:
    """Seconds of each epoch but the first, of each fit of both, in turns."""
    times: Times = {name: [] for name in CLASSIFIERS}
    for repeat in range(repeats):
        for name, (classifier, strength) in CLASSIFIERS.items():
            model = classifier(
                **{strength: penalty},
                **settings,
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
            times[name].append(np.diff(clock.seconds))
    return times


def scaled(X: np.ndarray) -> np.ndarray:
    return minmax_scale(X).astype(np.float32)


def one_size(what: str, size: int, X: np.ndarray, y: np.ndarray, **settings) -> dict:
    """A line of the table: the median epoch of both."""
    times = epoch_times(X, y, penalty=1.0, **settings)
    ms = {name: 1e3 * float(np.median(times[name])) for name in times}
    return {
        "by": what,
        "size": size,
        **{f"{name} ms an epoch": time for name, time in ms.items()},
        "times as fast": ms["MLPClassifier"] / ms["skreg"],
    }


def growth(times: np.ndarray) -> tuple[float, float]:
    """Last over first: of the means of ten epochs, of the medians of fifty."""
    mean = times[-10:].mean() / times[:10].mean()
    return float(mean), float(np.median(times[-50:]) / np.median(times[:50]))


def long_fit(name: str, times: Times) -> dict:
    """A line of the table: the median of the repeats, and all of them."""
    entry = {"by": "epochs", "size": f"{name}, {len(times['skreg'][0]) + 1} epochs"}
    for classifier, repeats in times.items():
        entry[f"{classifier} ms an epoch"] = 1e3 * float(np.median(repeats))
    middle = {}
    for classifier, repeats in times.items():
        means, medians = zip(*map(growth, repeats), strict=True)
        middle[classifier] = float(np.median(means))
        entry[f"{classifier} last/first ten"] = middle[classifier]
        entry[f"{classifier} each"] = " ".join(f"{ratio:.2f}" for ratio in means)
        entry[f"{classifier} last/first fifty"] = float(np.median(medians))
    entry["times as fast"] = (
        entry["MLPClassifier ms an epoch"] / entry["skreg ms an epoch"]
    )
    return {**entry, "holds": "yes" if middle["skreg"] <= AT_MOST else "NO"}


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
        for (data, times), style in zip(long.items(), ("-", ":"), strict=True):
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
    repeats = {"repeats": options.repeats}
    X, y = make_classification(max(ROWS), 50, n_informative=20, random_state=0)
    X = scaled(X)
    lines = []
    for n in ROWS:
        settings = {"hidden_layer_sizes": (100, 50), "epochs": max(4, 40_000 // n)}
        lines.append(one_size("rows", n, X[:n], y[:n], **settings, **repeats))
    n = 10_000
    for units in WIDTHS:
        settings = {
            "hidden_layer_sizes": (units, units),
            "epochs": max(5, 2_000 // units),
        }
        lines.append(one_size("width", units, X[:n], y[:n], **settings, **repeats))
    long = {}
    for name, (load, lambd, epochs, batch_size, layers) in LONG.items():
        X, y = load(return_X_y=True)
        settings = {"batch_size": batch_size, "hidden_layer_sizes": layers}
        long[name] = epoch_times(
            scaled(X), y, epochs=epochs, penalty=lambd, **settings, **repeats
        )
        lines.append(long_fit(name, long[name]))
    report("scaling", lines, options.results)
    plot(lines, long, options.results / "scaling.png")


if __name__ == "__main__":
    main()
