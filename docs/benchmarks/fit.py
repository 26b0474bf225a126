"""The time of ``fit``, beside its peers and the bare matrix products.

All have the same data, layers, batch size and number of epochs, Adam at 1e-3, float32
and an L2 penalty; nothing stops early. Their peers are

- ``MLPClassifier``;
- PyTorch: a plain loop over tensors in memory, without a DataLoader, fused Adam;
- skorch, without callbacks and logging;
- the floor: the matrix products of the same run, and nothing else.

"Fast" is ours with the compiled kernels of the extra ``fast``, loaded before. Then
L-BFGS, for each evaluation of the loss, and sparse text, beside ``MLPClassifier``.

PyTorch, skorch and numba come with the extra ``bench``; without them the rest is
measured. All run in this process, in turns, a first turn left out; what counts is the
median over ``--repeats`` turns, of the ratios within each turn. Ours has the number of
threads that it sets, a peer one thread or as many as there are cores, whichever takes
less time.

    python docs/benchmarks/fit.py [--repeats 7] [--case 3] [--threads]

prints the tables; writes results/fit.csv, results/fit_others.csv and the plot
results/fit.png. With ``--threads`` it writes results/fit_threads.csv instead: the
seconds of each run with each number of threads, on the clock and of the cores.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from common import (
    AS_MLP_CLASSIFIER,
    by_threads,
    command_line,
    in_both,
    report,
    turns,
)
from matplotlib.figure import Figure
from scipy.sparse import csr_array, random_array
from sklearn.datasets import (
    load_breast_cancer,
    load_digits,
    make_classification,
    make_moons,
)
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import minmax_scale

from skreg import RegularizedMLPClassifier

KEEP_PROB = 0.8
OURS = "ours", "ours, fast"
HAS_TORCH = importlib.util.find_spec("torch") is not None
HAS_SKORCH = HAS_TORCH and importlib.util.find_spec("skorch") is not None

Table = tuple[np.ndarray, np.ndarray]


def bundled(load: Callable[..., Table]) -> Table:
    X, y = load(return_X_y=True)
    return minmax_scale(X), y


def made(n_samples: int, n_features: int, n_classes: int) -> Table:
    return make_classification(
        n_samples,
        n_features,
        n_informative=min(n_features, 30),
        n_classes=n_classes,
        random_state=0,
    )


class Case(NamedTuple):
    """A line of the table; the targets are times as fast: at least so many."""

    name: str
    load: Callable[[], Table]
    layers: tuple[int, ...]
    batch_size: int
    epochs: int
    targets: dict[tuple[str, str], float]


def targets(
    mlp: float, torch: float, mlp_fast: float, torch_fast: float, floor_fast: float
) -> dict[tuple[str, str], float]:
    return {
        ("MLPClassifier", "ours"): mlp,
        ("MLPClassifier", "ours, fast"): mlp_fast,
        ("torch", "ours"): torch,
        ("torch", "ours, fast"): torch_fast,
        ("floor", "ours, fast"): floor_fast,
    }


CASES = [
    Case(
        "300 × 2",
        partial(make_moons, 300, noise=0.2, random_state=0),
        (20, 3),
        300,
        1000,
        targets(5.0, 6.5, 6.5, 8.0, 0.24),
    ),
    Case(
        "569 × 30",
        partial(bundled, load_breast_cancer),
        (20, 3),
        32,
        100,
        targets(5.4, 8.5, 8.0, 12.0, 0.36),
    ),
    Case(
        "1797 × 64, 10 classes",
        partial(bundled, load_digits),
        (100, 50),
        64,
        40,
        targets(3.3, 4.2, 4.5, 5.0, 0.5),
    ),
    Case(
        "20000 × 50",
        partial(made, 20_000, 50, 2),
        (100, 50),
        200,
        10,
        targets(2.8, 3.7, 3.4, 4.3, 0.6),
    ),
    Case(
        "20000 × 784, 10 classes",
        partial(made, 20_000, 784, 10),
        (512, 256),
        128,
        2,
        targets(1.8, 0.95, 2.25, 1.25, 0.5),
    ),
]
# At most this many times as slow.
DROPOUT = 1.2
# Who is compared with whom, in the order of the columns.
RATIOS = [
    *((peer, ours) for peer in ("MLPClassifier", "torch") for ours in OURS),
    *(("torch, dropout", f"ours, dropout{fast}") for fast in ("", ", fast")),
    ("skorch", "ours"),
    *(("floor", ours) for ours in OURS),
]


def table_of(case: Case) -> Table:
    X, y = case.load()
    return np.ascontiguousarray(X, dtype=np.float32), y


def ours(case: Case, keep_prob: float) -> RegularizedMLPClassifier:
    return RegularizedMLPClassifier(
        hidden_layer_sizes=case.layers,
        lambd=1.0,
        keep_prob=keep_prob,
        batch_size=case.batch_size,
        max_iter=case.epochs,
        n_iter_no_change=np.inf,
        random_state=0,
        **AS_MLP_CLASSIFIER,
    )


def run_ours(
    case: Case, X: np.ndarray, y: np.ndarray, keep_prob: float
) -> RegularizedMLPClassifier:
    return ours(case, keep_prob).fit(X, y)


def run_peer(case: Case, X: np.ndarray, y: np.ndarray) -> None:
    # Its penalty is divided by the batch; the time does not depend on it.
    MLPClassifier(
        hidden_layer_sizes=case.layers,
        alpha=case.batch_size / len(X),
        batch_size=case.batch_size,
        max_iter=case.epochs,
        n_iter_no_change=case.epochs + 1,
        random_state=0,
    ).fit(X, y)


def torch_network(case: Case, n_inputs: int, n_outputs: int, keep_prob: float):
    from torch import nn

    modules: list[nn.Module] = []
    for n_in, n_out in pairwise((n_inputs, *case.layers)):
        modules += [nn.Linear(n_in, n_out), nn.ReLU()]
        if keep_prob < 1:
            modules.append(nn.Dropout(1 - keep_prob))
    return nn.Sequential(*modules, nn.Linear(case.layers[-1], n_outputs))


def run_torch(case: Case, X: np.ndarray, y: np.ndarray, keep_prob: float) -> None:
    import torch
    from torch import nn

    torch.manual_seed(0)
    n_classes = int(y.max()) + 1
    n_outputs = 1 if n_classes == 2 else n_classes
    network = torch_network(case, X.shape[1], n_outputs, keep_prob)
    rows = torch.from_numpy(X)
    if n_outputs == 1:
        targets, loss_of = torch.from_numpy(y[:, None]).float(), nn.BCEWithLogitsLoss()
    else:
        targets, loss_of = torch.from_numpy(y).long(), nn.CrossEntropyLoss()
    weights = [p for p in network.parameters() if p.ndim == 2]
    biases = [p for p in network.parameters() if p.ndim == 1]
    groups = [
        {"params": weights, "weight_decay": 1 / len(X)},
        {"params": biases, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.Adam(groups, lr=1e-3, fused=True)
    loss_curve = []
    for _ in range(case.epochs):
        total = torch.zeros(())
        for batch in torch.randperm(len(X)).split(case.batch_size):
            optimizer.zero_grad()
            loss = loss_of(network(rows[batch]), targets[batch])
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(batch)
        loss_curve.append(float(total) / len(X))


def run_skorch(case: Case, X: np.ndarray, y: np.ndarray) -> None:
    import torch
    from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier

    torch.manual_seed(0)
    n_classes = int(y.max()) + 1
    kind, criterion, n_outputs = (
        NeuralNetClassifier,
        torch.nn.CrossEntropyLoss,
        n_classes,
    )
    if n_classes == 2:
        kind, criterion, n_outputs = (
            NeuralNetBinaryClassifier,
            torch.nn.BCEWithLogitsLoss,
            1,
        )
    kind(
        torch_network(case, X.shape[1], n_outputs, 1.0),
        criterion=criterion,
        optimizer=torch.optim.Adam,
        optimizer__fused=True,
        optimizer__weight_decay=1 / len(X),
        optimizer__param_groups=[("*.bias", {"weight_decay": 0.0})],
        lr=1e-3,
        max_epochs=case.epochs,
        batch_size=case.batch_size,
        iterator_train__shuffle=True,
        train_split=None,
        callbacks="disable",
        verbose=0,
    ).fit(X, y.astype(np.float32 if n_classes == 2 else np.int64))


def run_floor(case: Case, X: np.ndarray, y: np.ndarray) -> None:
    """W A, dZ Aᵀ and Wᵀ dZ of each layer, into the same arrays for each batch."""
    n_classes = int(y.max()) + 1
    units = (X.shape[1], *case.layers, 1 if n_classes == 2 else n_classes)
    n_batches = -(-len(X) // case.batch_size)
    m = len(X) // n_batches
    ones = partial(np.ones, dtype=np.float32)
    weights = [ones((n_out, n_in)) for n_in, n_out in pairwise(units)]
    gradients = [np.empty_like(W) for W in weights]
    activations = [X[:m].T, *(ones((n, m)) for n in units[1:])]
    errors = [np.empty_like(A) for A in activations[1:]]
    for error in errors:
        error.fill(1)
    for _ in range(case.epochs * n_batches):
        for layer, W in enumerate(weights):
            np.matmul(W, activations[layer], out=activations[layer + 1])
        for layer in reversed(range(len(weights))):
            np.matmul(errors[layer], activations[layer].T, out=gradients[layer])
            if layer:
                np.matmul(weights[layer].T, errors[layer], out=errors[layer - 1])


def runs_of(case: Case) -> dict[str, Callable[[], object]]:
    X, y = table_of(case)
    runs: dict[str, Callable[[], object]] = {
        **in_both("ours", partial(run_ours, case, X, y, 1.0)),
        **in_both("ours, dropout", partial(run_ours, case, X, y, KEEP_PROB)),
        "MLPClassifier": partial(run_peer, case, X, y),
        "floor": partial(run_floor, case, X, y),
    }
    if HAS_TORCH:
        runs["torch"] = partial(run_torch, case, X, y, 1.0)
        runs["torch, dropout"] = partial(run_torch, case, X, y, KEEP_PROB)
    if HAS_SKORCH and len(X) < 2000:
        runs["skorch"] = partial(run_skorch, case, X, y)
    return runs


def measure(case: Case, repeats: int) -> dict[str, object]:
    """A line of the table."""
    seconds = turns(runs_of(case), repeats)
    n_steps = case.epochs * -(-len(table_of(case)[0]) // case.batch_size)
    missed = []

    def ratio(of: str, to: str, *, at_least: float = 0, at_most: float = np.inf) -> str:
        if of not in seconds or to not in seconds:
            return ""
        found = float(np.median(seconds[of] / seconds[to]))
        if not at_least <= found <= at_most:
            missed.append(f"{of} / {to}")
        bound = f" (≥ {at_least})" if at_least else ""
        return f"{found:.2f}" + (bound or f" (≤ {at_most})" * (at_most < np.inf))

    entry: dict[str, object] = {
        "case": case.name,
        "layers, batch": f"{case.layers}, {case.batch_size}",
    }
    for ours in OURS:
        if ours in seconds:
            median = float(np.median(seconds[ours]))
            entry[f"{ours} µs/step"] = 1e6 * median / n_steps
    for pair in RATIOS:
        target = case.targets.get(pair, 0)
        entry[" / ".join(pair)] = ratio(*pair, at_least=target)
    for fast in ("", ", fast"):
        pair = f"ours, dropout{fast}", f"ours{fast}"
        entry[f"dropout / ours{fast}"] = ratio(*pair, at_most=DROPOUT)
    return {**entry, "missed": "; ".join(missed)}


class CountedMLPClassifier(MLPClassifier):
    """It tells how many times L-BFGS evaluated the loss."""

    evaluations = 0

    def _loss_grad_lbfgs(self, *args):
        self.evaluations += 1
        return super()._loss_grad_lbfgs(*args)


def lbfgs_settings(case: Case) -> dict[str, Any]:
    return {
        "hidden_layer_sizes": case.layers,
        "solver": "lbfgs",
        "tol": 1e-12,
        "max_iter": 40,
        "random_state": 0,
    }


def measure_lbfgs(case: Case, dtype: type, repeats: int) -> dict[str, object]:
    X, y = case.load()
    X = X.astype(dtype)
    settings = lbfgs_settings(case)
    evaluations = {}

    def ours() -> None:
        model = RegularizedMLPClassifier(lambd=1.0, **settings).fit(X, y)
        evaluations["ours"] = model.t_ // len(X)

    def peer() -> None:
        model = CountedMLPClassifier(alpha=1.0, **settings).fit(X, y)
        evaluations["MLPClassifier"] = model.evaluations

    seconds = turns({**in_both("ours", ours), "MLPClassifier": peer}, repeats)
    counts = {name: evaluations[name.removesuffix(", fast")] for name in seconds}
    each = {name: seconds[name] / counts[name] for name in seconds}
    entry = line_of_two(f"L-BFGS, {case.name}, {np.dtype(dtype)}", each, 1.5)
    return {**entry, "evaluations": str(evaluations)}


def sparse_table() -> tuple[csr_array, np.ndarray]:
    """5000 texts as 100,000 columns, of which each has a hundred words."""
    generator = np.random.default_rng(0)
    X = csr_array(
        random_array(
            (5000, 100_000), density=1e-3, random_state=generator, dtype=np.float32
        )
    )
    return X, (X @ generator.standard_normal(100_000) > 0).astype(int)


SPARSE_SETTINGS = {
    "hidden_layer_sizes": (100, 50),
    "batch_size": 200,
    "max_iter": 2,
    "random_state": 0,
}


def run_sparse(X: csr_array, y: np.ndarray) -> RegularizedMLPClassifier:
    return RegularizedMLPClassifier(**SPARSE_SETTINGS, **AS_MLP_CLASSIFIER).fit(X, y)


def measure_sparse(repeats: int) -> dict[str, object]:
    X, y = sparse_table()
    runs = {
        **in_both("ours", lambda: run_sparse(X, y)),
        "MLPClassifier": lambda: MLPClassifier(**SPARSE_SETTINGS).fit(X, y),
    }
    return line_of_two("sparse, 5000 × 100000, adam", turns(runs, repeats), 1.0)


def line_of_two(name: str, seconds: dict[str, np.ndarray], target: float) -> dict:
    entry: dict[str, object] = {"case": name}
    missed = []
    for ours in OURS:
        if ours in seconds:
            found = float(np.median(seconds["MLPClassifier"] / seconds[ours]))
            entry[f"{ours} ms"] = 1e3 * float(np.median(seconds[ours]))
            entry[f"MLPClassifier / {ours}"] = f"{found:.2f} (≥ {target})"
            missed += [ours] * (found < target)
    return {**entry, "missed": "; ".join(missed)}


def plot(lines: list[dict[str, object]], path: Path) -> None:
    figure = Figure(figsize=(9, 4), layout="tight")
    axes = figure.subplots()
    peers = [f"{p} / {o}" for p in ("MLPClassifier", "torch") for o in OURS]
    peers = [peer for peer in peers if lines[0][peer]]
    for index, peer in enumerate(peers):
        heights = [float(str(entry[peer]).split()[0]) for entry in lines]
        places = np.arange(len(lines)) + 0.2 * (index - 1.5)
        axes.bar(places, heights, width=0.18, label=peer)
    axes.axhline(1, color="black", linewidth=1)
    axes.set_xticks(range(len(lines)), [str(entry["case"]) for entry in lines])
    axes.tick_params(axis="x", labelsize="small")
    axes.set(ylabel="times as fast", title="fit: the peer's time over ours")
    axes.legend()
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = command_line(__doc__.splitlines()[0], repeats=7, case=-1)
    parser.add_argument("--threads", action="store_true")
    options = parser.parse_args()
    if options.threads:
        lines = [
            {"case": case.name} | each
            for case in CASES
            for each in by_threads(runs_of(case), options.repeats)
        ]
        report("fit_threads", lines, options.results)
        return
    if options.case >= 0:
        line = measure(CASES[options.case], options.repeats)
        report(f"fit_{options.case}", [line], options.results)
        return
    lines = [measure(case, options.repeats) for case in CASES]
    report("fit", lines, options.results)
    plot(lines, options.results / "fit.png")
    others = [
        measure_lbfgs(case, dtype, options.repeats)
        for case in CASES[2:4]
        for dtype in (np.float32, np.float64)
    ]
    others.append(measure_sparse(options.repeats))
    report("fit_others", others, options.results)


if __name__ == "__main__":
    main()
