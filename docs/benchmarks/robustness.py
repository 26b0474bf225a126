"""Where a default may fail: noise, wide tables and text, small curved tables, classes.

Each seed has its own data. A fit has one thread of BLAS and OpenMP. The columns of
``LogisticRegression`` and of the long ``MLPClassifier``, which are always there, are
standardised; the others have them as they come.

hard
    Few rows, more columns than rows, a rare class, constant and unscaled columns.
classes
    26 of them.
noisy
    As of customers who leave, 25 % of them: eight numbers and one column of 5 or 50
    categories, one-hot encoded. The logit is linear in both but for a small product of
    numbers; ``none``, ``weak``, ``medium`` and ``strong`` are its scale. 50,000 test
    rows.
text
    TF-IDF of the paragraphs of scikit-learn's own docstrings, sparse, float32: do they
    come from clustering or linear models, or from which one of eight modules?
curved
    Two columns and two classes, in three units: standardised, from 0 to 1, and odd: one
    column times 1000, the other divided by 50. Then ten columns of mean 19 and standard
    deviation 0.1. 2,000 test rows.

``over logistic`` is the log-loss over that of ``LogisticRegression`` on the same test
rows, ``±`` its standard error. ``missed`` says where one of ours is worse than that by
more than 0.005 in log-loss or 0.01 in accuracy; on the curved tables, where it is more
than 0.015 below the long ``MLPClassifier`` in accuracy; and where it gives all rows to
one class (``majority`` is the part in the most frequent one) and is less accurate.

    python docs/benchmarks/robustness.py [--seeds 3] [--families noisy curved]
        [--cases "moons, 100"] [--models ours "ours, CV"] [--results folder]

prints the table, with the means over each family, and, of all cases and models or where
``--results`` is given, writes robustness.csv at the end. ``--cases`` takes the
beginnings of names.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from common import RESULTS, report
from quality import Model, Split, mean, measured, models, rounded
from scipy.optimize import brentq
from scipy.sparse import issparse
from scipy.special import expit
from sklearn.compose import ColumnTransformer
from sklearn.datasets import (
    load_breast_cancer,
    load_wine,
    make_circles,
    make_classification,
    make_moons,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import MinMaxScaler, StandardScaler

LINEAR, LONG = "LogisticRegression", "MLPClassifier, long"
MODELS = models(("ours", "ours, ensemble", "ours, CV", LINEAR, "MLPClassifier")) | {
    LONG: Model(lambda seed: MLPClassifier((100, 50), max_iter=1000, random_state=seed))
}


class Case(NamedTuple):
    """Something difficult: how it is made, from a seed."""

    family: str
    name: str
    load: Callable[[int], Split]


def split_of(X: np.ndarray, y: np.ndarray, n_train: int, seed: int) -> Split:
    X, X_test, y, y_test = train_test_split(
        X, y, train_size=n_train, stratify=y, random_state=seed
    )
    return Split(X, y, X_test, y_test)


def scaled(split: Split, scaler: Any) -> Split:
    """By what the scaler learns of the training rows."""
    X = scaler.fit_transform(split.X)
    return split._replace(X=X, X_test=scaler.transform(split.X_test))


def standardised(split: Split) -> Split:
    """Dense numbers; columns of two values stay as they are."""
    if issparse(split.X):
        return split
    numbers = [len(np.unique(column)) != 2 for column in split.X.T]
    step = ("numbers", StandardScaler(), numbers)
    return scaled(split, ColumnTransformer([step], remainder="passthrough"))


def synthetic(n_train: int, n_columns: int, seed: int, **settings: Any) -> Split:
    """Standardised, with 2000 rows for the test."""
    X, y = make_classification(n_train + 2000, n_columns, random_state=seed, **settings)
    return scaled(split_of(X.astype(np.float32), y, n_train, seed), StandardScaler())


def with_constants(seed: int) -> Split:
    """As many constant columns again, of 0, 1, 10 and 100."""
    split = synthetic(500, 12, seed, n_informative=6)

    def wider(X: np.ndarray) -> np.ndarray:
        constants = np.tile(np.array([0, 1, 10, 100], X.dtype), (len(X), 3))
        return np.hstack([X, constants])

    return split._replace(X=wider(split.X), X_test=wider(split.X_test))


def unscaled(load: Callable[..., Any], seed: int) -> Split:
    X, y = load(return_X_y=True)
    return split_of(X.astype(np.float32), y, len(y) // 2, seed)


def far_from_zero(seed: int) -> Split:
    split = synthetic(500, 10, seed, n_informative=6, class_sep=1.5, flip_y=0)
    return split._replace(X=19 + split.X / 10, X_test=19 + split.X_test / 10)


def noisy(n_train: int, n_categories: int, scale: float, seed: int) -> Split:
    """P(y = 1) = σ(scale (w·x + u_category + 0.15 x₁x₂) + b), in the mean 0.25."""
    random = np.random.default_rng(seed)
    numbers = random.standard_normal((n_train + 50_000, 8)).astype(np.float32)
    category = random.integers(n_categories, size=len(numbers))
    logit = numbers @ random.standard_normal(8) / np.sqrt(8)
    logit += 0.4 * random.standard_normal(n_categories)[category]
    logit += 0.15 * numbers[:, 0] * numbers[:, 1]
    b = brentq(lambda b: expit(scale * logit + b).mean() - 0.25, -50, 50)
    y = random.random(len(numbers)) < expit(scale * logit + b)
    one_hot = np.eye(n_categories, dtype=np.float32)[category]
    return split_of(np.hstack([numbers, one_hot]), y.astype(int), n_train, seed)


def text(n_train: int, n_words: int, modules: Sequence[str], seed: int) -> Split:
    """Which module of scikit-learn a paragraph of its docstrings is from."""
    topics = {
        paragraph: name
        for name in modules
        for public in import_module(f"sklearn.{name}").__all__
        for paragraph in str(
            getattr(vars(import_module(f"sklearn.{name}")).get(public), "__doc__", "")
        ).split("\n\n")
        if len(paragraph) > 60
    }
    split = split_of(
        np.array(list(topics)), np.array(list(topics.values())), n_train, seed
    )
    words = TfidfVectorizer(sublinear_tf=True, max_features=n_words, dtype=np.float32)
    return scaled(split, words)


def moons(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    return make_moons(n, noise=0.2, random_state=seed)


def circles(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    return make_circles(n, noise=0.1, factor=0.5, random_state=seed)


def xor(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The signs of two numbers, from -1 to 1, differ."""
    X = np.random.default_rng(seed).uniform(-1, 1, (n, 2))
    return X, (X.prod(axis=1) < 0).astype(int)


def spirals(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two arms of one turn and a half."""
    random = np.random.default_rng(seed)
    y = np.arange(n) % 2
    turn = np.sqrt(random.uniform(0.02, 1, n))
    angle = 3 * np.pi * turn + np.pi * y
    X = turn[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    return X + random.normal(scale=0.03, size=X.shape), y


def curved(shape: Callable[..., Any], n_train: int, units: str, seed: int) -> Split:
    X, y = shape(n_train + 2000, seed)
    split = split_of(X.astype(np.float32), y, n_train, seed)
    if units == "odd units":
        factors = np.array([1000, 1 / 50], np.float32)
        return split._replace(X=split.X * factors, X_test=split.X_test * factors)
    return scaled(split, MinMaxScaler() if units == "0 to 1" else StandardScaler())


LETTERS = {
    "n_informative": 12,
    "n_redundant": 4,
    "n_classes": 26,
    "n_clusters_per_class": 1,
}
RARE = {"n_informative": 6, "weights": [0.99], "flip_y": 0, "class_sep": 1.5}
WIDE = {"n_informative": 20, "n_redundant": 100}
TWO = ("cluster", "linear_model")
EIGHT = (
    *TWO,
    "datasets",
    "decomposition",
    "ensemble",
    "metrics",
    "model_selection",
    "preprocessing",
)
SCALES = {"none": 0.0, "weak": 0.7, "medium": 1.5, "strong": 4.0}
CASES = [
    Case("hard", "100 rows", partial(synthetic, 100, 20, n_informative=8)),
    Case("hard", "80 rows × 500 columns", partial(synthetic, 80, 500, **WIDE)),
    Case("hard", "1 % in one class, 2000 rows", partial(synthetic, 2000, 10, **RARE)),
    Case("hard", "constant columns", with_constants),
    Case("hard", "unscaled: breast cancer", partial(unscaled, load_breast_cancer)),
    Case("hard", "unscaled: wine", partial(unscaled, load_wine)),
    Case("classes", "26 classes", partial(synthetic, 2600, 16, **LETTERS)),
    Case("classes", "26 classes, 10 rows each", partial(synthetic, 260, 16, **LETTERS)),
    *(
        Case(
            "noisy",
            f"{signal}, {n_train} rows, {n_categories} categories",
            partial(noisy, n_train, n_categories, scale),
        )
        for (signal, scale), n_train, n_categories in product(
            SCALES.items(), (500, 2000, 5000, 20_000), (5, 50)
        )
    ),
    Case("text", "484 rows × 1611 words", partial(text, 484, 1611, TWO)),
    Case("text", "3000 rows × 5422 words", partial(text, 3000, 5422, EIGHT)),
    *(
        Case(
            "curved",
            f"{shape.__name__}, {n_train} rows, {units}",
            partial(curved, shape, n_train, units),
        )
        for shape, n_train, units in product(
            (moons, circles, xor, spirals),
            (60, 100, 200, 400),
            ("standardised", "0 to 1", "odd units"),
        )
    ),
    Case("curved", "ten columns of 19 ± 0.1", far_from_zero),
]


def fits_of(case: Case, names: Sequence[str], seeds: int) -> dict[str, list[Any]]:
    """The measures of each fit of each model."""
    fits: dict[str, list[Any]] = {name: [] for name in names}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for seed in range(seeds):
            as_it_comes = case.load(seed)
            for name in names:
                peer = name in (LINEAR, LONG)
                split = standardised(as_it_comes) if peer else as_it_comes
                fits[name].append(measured(MODELS[name].make(seed), split))
    return fits


def lines_of(case: Case, fits: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """A line for each model, with where it is behind."""

    def means(measure: str) -> dict[str, float]:
        return {name: mean(of_model, measure) for name, of_model in fits.items()}

    def losses(name: str) -> np.ndarray:
        return np.concatenate([fit["losses"] for fit in fits[name]])

    accuracy, majority, seconds = map(means, ("accuracy", "majority", "CPU seconds"))
    lines = []
    for name in fits:
        over = losses(name) - losses(LINEAR)
        missed = {
            "log-loss": over.mean() > 0.005,
            "accuracy": accuracy[LINEAR] - accuracy[name] > 0.01,
            "curved": LONG in fits and accuracy[LONG] - accuracy[name] > 0.015,
            "collapsed": majority[name] == 1 and accuracy[name] < accuracy[LINEAR],
        }
        ours = name.startswith("ours")
        lines.append(
            {
                "family": case.family,
                "case": case.name,
                "model": name,
                "accuracy": accuracy[name],
                "log-loss": losses(name).mean(),
                "over logistic": over.mean(),
                "±": over.std() / np.sqrt(len(over)),
                "majority": majority[name],
                "CPU seconds": seconds[name],
                "missed": ", ".join(k for k, it_is in missed.items() if ours and it_is),
            }
        )
    return lines


def robustness(
    cases: Sequence[Case], names: Sequence[str], seeds: int
) -> list[dict[str, str]]:
    """The lines of all cases, and the means over each family."""
    lines = []
    # What costs time at first use is used before.
    fits_of(CASES[0], names, 1)
    for case in cases:
        # Only the curved tables are so small that a thousand epochs are soon over.
        chosen = [k for k in MODELS if k in names or k == LINEAR]
        chosen += [LONG] if case.family == "curved" else []
        print(case.name, file=sys.stderr, flush=True)
        lines += lines_of(case, fits_of(case, chosen, seeds))
    frame = pd.DataFrame(lines)
    for (family, name), group in frame.groupby(["family", "model"], sort=False):
        means = group.drop(columns="±").mean(numeric_only=True)
        missed = f"{(group['missed'] != '').sum()} of {len(group)}"
        line = {"family": family, "case": "mean", "model": name, **means}
        lines.append(line | {"missed": missed if name.startswith("ours") else ""})
    return rounded(lines)


def main() -> None:
    families = tuple(dict.fromkeys(case.family for case in CASES))
    names = [name for name in MODELS if name != LONG]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--families", nargs="+", choices=families, default=families)
    parser.add_argument("--cases", nargs="+", default=("",), metavar="NAME")
    parser.add_argument("--models", nargs="+", choices=names, default=names)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--results", type=Path)
    options = parser.parse_args()
    cases = [
        case
        for case in CASES
        if case.family in options.families
        and case.name.startswith(tuple(options.cases))
    ]
    if not cases:
        parser.error("No case of these families has a name that begins so.")
    whole = cases == CASES and options.models == names
    lines = robustness(cases, options.models, options.seeds)
    report("robustness", lines, options.results or (RESULTS if whole else None))


if __name__ == "__main__":
    main()
