"""The statistics of dropout in training, over many seeds.

    python docs/reliability/dropout.py [--seeds 300] [--steps 100000]

prints a table, with a p-value for each test, and writes it to results/dropout.csv. It
takes a minute. The masks and the activations are those that training itself draws and
computes: they are copied on their way. MLPClassifier has no dropout.

- mean: A after dropout minus A before it, over its standard deviation, summed over
  seeds, steps, units and rows, and for each unit and row by itself;
- fraction: how many units of a mask are kept is binomial, with the fraction
  round(65536 keep_prob) / 65536;
- independence: the correlations of all pairs of units, of rows, of steps, of seeds, of
  calls of partial_fit, and of masks of inputs with those of units;
- repeats: how many masks come a second time.

The tests of a table are too many for one threshold of each: all of them hold if no
p-value is below ``LEVEL`` over their number (Bonferroni), so that correct masks fail
with a probability of at most ``LEVEL``. The seeds are fixed: a result comes again.
"""

from __future__ import annotations

import argparse
import csv
import pickle
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
from scipy.sparse import csr_matrix
from scipy.stats import binom, chi2, chisquare, norm
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning

from skreg import (
    RegularizedMLPClassifier,
    RegularizedMLPClassifierCV,
    RegularizedMLPEnsemble,
)
from skreg._network import objective
from skreg._network.dropout import InputMasks, Masks

# The probability that correct masks fail one of all the tests of a table.
LEVEL = 1e-3
UNITS = (6, 4)
KEEP_PROB, INPUT_KEEP_PROB = (0.5, 0.8), 0.7

# keep_prob of the networks of a stack.
SETTINGS = KEEP_PROB, (0.3, 0.9)

P = dict[str, float]


def fraction_of(keep_prob: float) -> float:
    """The part of the 65536 integers that keep a unit."""
    return max(1, round(65536 * keep_prob)) / 65536


def rejected(p_values: P) -> list[str]:
    """The tests that fail."""
    return [name for name, p in p_values.items() if not p >= LEVEL / len(p_values)]


# What training draws -----------------------------------------------------------------


class Recorded(NamedTuple):
    """Copies of what training drew, step after step.

    ``masks`` are D (..., n_units, n_rows) of all hidden layers; ``inputs`` X before and
    after dropout, each (n_x, n_rows); ``layers`` for each step (A before, A after) of
    each hidden layer.
    """

    masks: list[np.ndarray]
    inputs: list[tuple[np.ndarray, np.ndarray]]
    layers: list[list[tuple[np.ndarray, np.ndarray]]]


@contextmanager
def recording(*, activations: bool = False) -> Iterator[Recorded]:
    """Copy what is drawn in the meantime."""
    seen = Recorded([], [], [])
    draw, drop, forward = (
        Masks.__call__,
        InputMasks.__call__,
        objective.forward_to_logits,
    )

    def drawn(self: Masks, D: np.ndarray) -> None:
        draw(self, D)
        seen.masks.append(D.copy())

    def dropped(self: InputMasks, X: Any) -> Any:
        found = drop(self, X)
        pair = [
            np.array(each.toarray() if hasattr(each, "toarray") else each)
            for each in (X, found)
        ]
        seen.inputs.append((pair[0], pair[1]))
        return found

    def note(X: Any, layers: Sequence[Any], workspace: Any) -> None:
        A = X.toarray() if hasattr(X, "toarray") else X
        pairs = []
        for (W, b), hidden in zip(layers, workspace.hidden, strict=False):
            before = np.maximum(W.astype(float) @ A.astype(float) + b, 0)
            pairs.append((before, hidden.A.copy()))
            A = hidden.A
        seen.layers.append(pairs)

    def forward_noted(X: Any, layers: Any, activation: Any, workspace: Any) -> Any:
        yield from forward(X, layers, activation, workspace)
        if workspace.hidden[0].D is not None:
            yield note, X, layers, workspace

    with (
        patch.object(Masks, "__call__", drawn),
        patch.object(InputMasks, "__call__", dropped),
        patch.object(
            objective, "forward_to_logits", forward_noted if activations else forward
        ),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield seen


def table(n_rows: int = 40, dtype: Any = float) -> tuple[np.ndarray, np.ndarray]:
    X, y = make_classification(n_rows, 8, n_informative=5, random_state=0)
    return X.astype(dtype), y


def network(**parameters: Any) -> RegularizedMLPClassifier:
    settings = {
        "hidden_layer_sizes": UNITS,
        "keep_prob": KEEP_PROB,
        "input_keep_prob": INPUT_KEEP_PROB,
        "early_stopping": False,
        "averaging": 0.0,
        "batch_size": 10,
        "max_iter": 2,
        "random_state": 0,
    }
    return RegularizedMLPClassifier(**{**settings, **parameters})


def _fits(X: Any, y: np.ndarray, seeds: Sequence[int], **parameters: Any) -> None:
    for seed in seeds:
        network(random_state=seed, **parameters).fit(X, y)


def dense(seeds: Sequence[int], dtype: Any = float) -> None:
    _fits(*table(dtype=dtype), seeds)


def sparse(seeds: Sequence[int]) -> None:
    X, y = table()
    _fits(csr_matrix(np.where(np.abs(X) > 0.5, X, 0)), y, seeds)


def calls(seeds: Sequence[int], n_calls: int = 2) -> None:
    """partial_fit, pickled between the calls."""
    X, y = table()
    for seed in seeds:
        model = network(random_state=seed)
        for _ in range(n_calls):
            model.partial_fit(X, y, classes=[0, 1])
            model = pickle.loads(pickle.dumps(model))


def stack(seeds: Sequence[int]) -> None:
    """A search over keep_prob, whose networks train as a stack: one split, no refits.

    (The splits of one search share their masks, as fits with one seed do.)
    """
    X, y = table()
    rows = np.arange(len(y))
    for seed in seeds:
        search = RegularizedMLPClassifierCV(
            (1.0,), SETTINGS, cv=[(rows, rows)], refit=False, random_state=seed
        )
        ours = network().get_params()
        names = set(search.get_params()) & set(ours) - {"random_state", "scoring"}
        search.set_params(**{name: ours[name] for name in names}).fit(X, y)


def ensemble(seeds: Sequence[int]) -> None:
    X, y = table()
    for seed in seeds:
        RegularizedMLPEnsemble(network(random_state=seed), 2).fit(X, y)


PATHS: dict[str, Callable[[Sequence[int]], None]] = {
    "dense": dense,
    "float32": lambda seeds: dense(seeds, np.float32),
    "sparse": sparse,
    "partial_fit": calls,
    "stack": stack,
    "ensemble": ensemble,
}


# Tests -------------------------------------------------------------------------------


def of_normals(Z: np.ndarray) -> tuple[float, float]:
    """p-values of Σ Z², and of the largest |Z|, for independent standard normals."""
    Z = Z.ravel()
    largest = 2 * norm.sf(np.abs(Z).max())
    return float(chi2.sf(np.square(Z).sum(), Z.size)), min(1.0, largest * Z.size)


def mean_p(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]], fraction: float
) -> tuple[float, ...]:
    """p-values that the mean of A after dropout is A before it: over all; and of each
    unit and row: all of them, and the worst.

    The variance of D is 1 / fraction - 1.
    """
    before, after = (np.array(each, float) for each in zip(*pairs, strict=True))
    variance = np.square(before) * (1 / fraction - 1)
    total = (after - before).sum() / np.sqrt(variance.sum())
    places = variance.sum(axis=0) > 0
    Z = (after - before).sum(axis=0)[places] / np.sqrt(variance.sum(axis=0)[places])
    return float(2 * norm.sf(abs(total))), *of_normals(Z)


def fraction_p(kept: np.ndarray, fraction: float) -> tuple[float, float]:
    """p-values that kept units are binomial: their number over all masks; and the
    distribution of their number in a mask. kept is (n_masks, ...).
    """
    counts = kept.reshape(len(kept), -1).sum(axis=1)
    size = kept[0].size
    n_kept, n = int(counts.sum()), kept.size
    tail = min(binom.cdf(n_kept, n, fraction), binom.sf(n_kept - 1, n, fraction))
    # At most ten bins of about the same probability.
    edges = np.unique(binom.ppf(np.linspace(0.1, 0.9, 9), size, fraction))
    cumulative = np.concatenate([[0], binom.cdf(edges, size, fraction), [1]])
    probability = np.diff(cumulative)
    observed = np.bincount(np.searchsorted(edges, counts), minlength=len(probability))
    enough = probability * len(counts) >= 5
    observed = np.append(observed[enough], observed[~enough].sum())
    expected = np.append(probability[enough], probability[~enough].sum()) * len(counts)
    some = expected > 0
    spread = chisquare(observed[some], expected[some]).pvalue if some.sum() > 1 else 1.0
    return min(1.0, 2 * float(tail)), float(spread)


def independence_p(samples: np.ndarray) -> tuple[float, float]:
    """p-values that the columns are independent, by the correlations of all pairs.

    samples (n_samples, n_variables) have a mean of 0 and a variance of 1.
    """
    correlations = samples.T @ samples / np.sqrt(len(samples))
    return of_normals(correlations[np.triu_indices(samples.shape[1], 1)])


def standardised(D: np.ndarray, keep_probs: Sequence[float]) -> np.ndarray:
    """Kept or not as numbers of mean 0 and variance 1, for D (..., n_units, n_rows)."""
    fractions = np.repeat([fraction_of(p) for p in keep_probs], UNITS)[:, np.newaxis]
    return ((D > 0) - fractions) / np.sqrt(fractions * (1 - fractions))


def of_means(seen: Recorded, names: str, keep_probs: Sequence[float]) -> P:
    """Mean tests of one network; ``names`` says which."""
    found: P = {}
    for layer, keep_prob in enumerate(keep_probs):
        pairs = [step[layer] for step in seen.layers]
        for what, p in zip(
            ("all", "each", "worst"), mean_p(pairs, fraction_of(keep_prob)), strict=True
        ):
            found[f"mean of A{layer + 1}, {names}, {what}"] = p
    fraction = fraction_of(INPUT_KEEP_PROB)
    for what, p in zip(
        ("all", "each", "worst"), mean_p(seen.inputs, fraction), strict=True
    ):
        found[f"mean of X, {names}, {what}"] = p
    return found


def means(path: str, seeds: Sequence[int]) -> P:
    """Tests of the means on one path of training."""
    with recording(activations=True) as seen:
        PATHS[path](seeds)
    if seen.masks[0].ndim == 2:
        return of_means(seen, path, KEEP_PROB)
    settings = SETTINGS if path == "stack" else (KEEP_PROB,) * 2
    found: P = {}
    for number, keep_probs in enumerate(settings):
        layers = [
            [(before[number], after[number]) for before, after in step]
            for step in seen.layers
        ]
        one = seen._replace(layers=layers)
        found |= of_means(one, f"{path} {number + 1}", keep_probs)
    return found


def fractions(seeds: Sequence[int]) -> P:
    """Tests of the fractions that are kept, by layer and of the inputs."""
    with recording() as seen:
        dense(seeds)
    D = np.array(seen.masks)
    found: P = {}
    parts = {
        "D1": (D[:, : UNITS[0]] > 0, KEEP_PROB[0]),
        "D2": (D[:, UNITS[0] :] > 0, KEEP_PROB[1]),
        "X": (np.array([after != 0 for _, after in seen.inputs]), INPUT_KEEP_PROB),
    }
    for name, (kept, keep_prob) in parts.items():
        number, spread = fraction_p(kept, fraction_of(keep_prob))
        found |= {f"fraction of {name}": number, f"counts of {name}": spread}
    return found


def large(keep_probs: Sequence[float], n_steps: int) -> P:
    """Means and fractions of 40,000 units and rows a step, for each keep_prob.

    At keep_prob 0.8, 40 steps tell a fraction or a scale that is wrong by 0.5 %.
    """
    X, y = table(200, np.float32)
    found: P = {}
    for keep_prob in keep_probs:
        model = network(
            hidden_layer_sizes=(200,),
            keep_prob=keep_prob,
            input_keep_prob=1.0,
            batch_size=200,
            max_iter=n_steps,
        )
        with recording(activations=True) as seen:
            model.fit(X, y)
        fraction = fraction_of(keep_prob)
        kept = (np.array(seen.masks) > 0).reshape(-1, 200)
        number, spread = fraction_p(kept, fraction)
        mean, _, _ = mean_p([step[0] for step in seen.layers], fraction)
        found |= {
            f"mean of {kept.size} units at {keep_prob:g}": mean,
            f"fraction of {kept.size} units at {keep_prob:g}": number,
            f"counts of {kept.size} units at {keep_prob:g}": spread,
        }
    return found


def independence(seeds: Sequence[int]) -> P:
    """Tests of independence: units, rows, steps, seeds, calls, inputs."""
    tests: dict[str, np.ndarray] = {}
    with recording() as seen:
        dense(seeds)
    n = len(seeds)
    # (seeds, steps, units, rows)
    S = standardised(np.array(seen.masks), KEEP_PROB)
    S = S.reshape(n, -1, *S.shape[1:])
    steps, units, rows = S.shape[1:]
    tests["units and layers"] = S.swapaxes(2, 3).reshape(-1, units)
    tests["rows"] = S.reshape(-1, rows)
    # Four batches an epoch: pairs of all steps are those of batches and of epochs.
    tests["batches and epochs"] = S.swapaxes(1, 3).reshape(-1, steps)
    tests["seeds"] = S.reshape(n, -1)[:40].T
    fraction = fraction_of(INPUT_KEEP_PROB)
    kept = np.array([(after != 0).T.ravel() for _, after in seen.inputs])
    inputs = (kept - fraction) / np.sqrt(fraction * (1 - fraction))
    # In the order in which they are drawn: rows of the table, and units.
    size = min(inputs.shape[1], units * rows)
    hidden = S.reshape(-1, units * rows)
    tests["inputs and units"] = np.stack(
        [inputs[:, :size].ravel(), hidden[:, :size].ravel()], axis=1
    )
    tests["columns of X"] = inputs.reshape(-1, seen.inputs[0][0].shape[0])
    with recording() as seen:
        calls(seeds[: -(-n // 4)], n_calls=8)
    S = standardised(np.array(seen.masks), KEEP_PROB)
    S = S.reshape(-1, 32, units * rows).swapaxes(1, 2)
    tests["calls of partial_fit, pickled between"] = S.reshape(-1, 32)
    return {
        f"independence of {name}, {what}": p
        for name, samples in tests.items()
        for what, p in zip(("all", "worst"), independence_p(samples), strict=True)
    }


def repeats(n_steps: int, n_seeds: int = 20) -> dict[str, int]:
    """How many masks, and how many of them had come before, in one set for all:

    training of so many steps; the same anew with warm_start; other seeds; calls of
    partial_fit with pickling between them; and two copies of a pickle are alike.
    """
    X, y = table()
    settings = {"hidden_layer_sizes": (64,), "keep_prob": 0.5, "input_keep_prob": 1.0}
    known: set[bytes] = set()
    drawn = 0

    def note(D: np.ndarray) -> None:
        nonlocal drawn
        drawn += 1
        known.add(np.packbits(D > 0).tobytes())

    draw = Masks.__call__

    def noted(self: Masks, D: np.ndarray) -> None:
        draw(self, D)
        note(D)

    with patch.object(Masks, "__call__", noted), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        # Batches of two rows: 128 bits a mask, 20 steps an epoch.
        model = network(**settings, batch_size=2, max_iter=max(1, n_steps // 40))
        model.set_params(warm_start=True, tol=0, n_iter_no_change=10**6)
        model.fit(X, y).fit(X, y)
        for seed in range(1, n_seeds + 1):
            other = network(**settings, batch_size=2, random_state=seed).fit(X, y)
            other.partial_fit(X, y)
        model = network(**settings, batch_size=2, random_state=n_seeds + 1)
        for _ in range(n_seeds):
            model.partial_fit(X, y, classes=[0, 1])
            model = pickle.loads(pickle.dumps(model))
    return {"masks": drawn, "repeats": drawn - len(known)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=300)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument(
        "--results", type=Path, default=Path(__file__).parent / "results"
    )
    arguments = parser.parse_args()
    seeds = range(arguments.seeds)
    p_values: P = {}
    for number, path in enumerate(PATHS):
        p_values |= means(path, range(number * len(seeds), (number + 1) * len(seeds)))
    p_values |= fractions(seeds)
    p_values |= large((1e-3, 0.1, 0.5, 0.8, 0.999), n_steps=200)
    p_values |= independence(seeds)
    found = repeats(arguments.steps)
    arguments.results.mkdir(parents=True, exist_ok=True)
    with (arguments.results / "dropout.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["test", "p"])
        for name, p in p_values.items():
            print(f"{name:<60} p = {p:.3g}")
            writer.writerow([name, f"{p:.3g}"])
    print(
        f"{len(p_values)} tests, smallest p {min(p_values.values()):.2g}, threshold "
        f"{LEVEL / len(p_values):.2g}: rejected {rejected(p_values) or 'none'}"
    )
    print(f"{found['masks']} masks, {found['repeats']} of them repeats")


if __name__ == "__main__":
    main()
