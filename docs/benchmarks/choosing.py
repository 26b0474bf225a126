"""Where the best lambd and keep_prob lie: by rows, layers, epochs and classes.

The tables behind docs/choosing.md, on scikit-learn's own data. Where rows are held out,
they are 400, or all that are left; the figures are means over ``--splits`` of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
from common import arguments, report
from sklearn.datasets import (
    load_breast_cancer,
    load_digits,
    make_classification,
    make_gaussian_quantiles,
    make_moons,
)
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedShuffleSplit, train_test_split
from sklearn.preprocessing import StandardScaler

from skreg import RegularizedMLPClassifier, RegularizedMLPClassifierCV

SETTINGS = {
    "hidden_layer_sizes": (100, 50),
    "batch_size": 32,
    "solver": "adam",
    "learning_rate": "cosine",
    "learning_rate_init": 0.01,
    "max_iter": 50,
    "early_stopping": False,
    "averaging": 0.0,
    "random_state": 0,
}
LAMBDS = (0, 0.01, 0.03, 0.1, 0.3, 1, 3, 10)
DATA = {"breast cancer": load_breast_cancer, "digits": load_digits}


def losses(
    load: Callable[..., tuple[np.ndarray, np.ndarray]],
    rows: int,
    lambds: Sequence[float],
    keep_probs: Sequence[float],
    splits: int,
    **settings: object,
) -> dict[tuple[float, float], dict[str, np.ndarray]]:
    """Train and test log-loss and accuracy of each (lambd, keep_prob), by split."""
    X, y = load(return_X_y=True)
    X = StandardScaler().fit_transform(X).astype(np.float32)
    held_out = min(400, len(y) - rows)
    search = RegularizedMLPClassifierCV(
        lambds,
        keep_probs,
        cv=StratifiedShuffleSplit(
            splits, train_size=rows, test_size=held_out, random_state=0
        ),
        scoring=("neg_log_loss", "accuracy"),
        refit=False,
        return_train_score=True,
        **(SETTINGS | settings),
    ).fit(X, y)
    found = search.cv_results_

    def of(k: int, name: str) -> np.ndarray:
        return np.array([found[f"split{i}_{name}"][k] for i in range(splits)])

    return {
        (params["lambd"], params["keep_prob"]): {
            "train": -of(k, "train_neg_log_loss"),
            "test": -of(k, "test_neg_log_loss"),
            "accuracy": of(k, "test_accuracy"),
        }
        for k, params in enumerate(found["params"])
    }


def by_rows(splits: int) -> list[dict[str, object]]:
    """Test log-loss by lambd, for growing training parts."""
    table = []
    for data, sizes in (
        ("breast cancer", (50, 100, 200, 400)),
        ("digits", (50, 100, 200, 400, 800, 1397)),
    ):
        for rows in sizes:
            found = losses(DATA[data], rows, LAMBDS, (1.0,), splits)
            test = {lambd: cell["test"].mean() for (lambd, _), cell in found.items()}
            table.append(
                {"data": data, "rows": rows}
                | {f"lambd={lambd:g}": float(loss) for lambd, loss in test.items()}
                | {"best lambd": str(min(test, key=test.__getitem__))}
            )
    return table


def by_size(splits: int) -> list[dict[str, object]]:
    """Test log-loss by "lambd, keep_prob", layers and epochs, on 200 rows of digits."""
    table = []
    for layers in ((20, 10), (50, 25), (100, 50)):
        for epochs in (25, 50, 100):
            found = losses(
                load_digits,
                200,
                (0, 1),
                (0.5, 0.8, 1.0),
                splits,
                hidden_layer_sizes=layers,
                max_iter=epochs,
            )
            table.append(
                {"layers": str(layers), "epochs": epochs}
                | {
                    f"{lambd:g}, {keep_prob:g}": float(cell["test"].mean())
                    for (lambd, keep_prob), cell in sorted(found.items())
                }
            )
    return table


def by_stopping(splits: int) -> list[dict[str, object]]:
    """Test log-loss by "lambd, keep_prob", with early stopping and without."""
    stopping = {
        "early_stopping": True,
        "early_stopping_refit": False,
        "validation_fraction": 0.2,
        "n_iter_no_change": 10,
    }
    table = []
    for data, rows in (("breast cancer", 200), ("digits", 400)):
        for name, settings in (("off", {}), ("on", stopping)):
            found = losses(
                DATA[data], rows, (0, 0.1, 1), (0.8, 1.0), splits, **settings
            )
            row: dict[str, object] = {"data": data, "rows": rows, "stopping": name}
            for (lambd, keep_prob), cell in found.items():
                row[f"{lambd:g}, {keep_prob:g}"] = float(cell["test"].mean())
            table.append(row)
    return table


def rings(return_X_y: bool, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Each class a ring around the one before: sharp borders, nothing that overlaps."""
    return make_gaussian_quantiles(
        n_samples=1400, n_features=2, n_classes=classes, random_state=0
    )


def clusters(return_X_y: bool, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Each class a cluster in 15 columns, and 5 columns of noise."""
    return make_classification(
        1400,
        20,
        n_informative=15,
        n_redundant=0,
        n_classes=classes,
        n_clusters_per_class=1,
        flip_y=0,
        class_sep=2,
        random_state=0,
    )


def by_classes(splits: int) -> list[dict[str, object]]:
    """Test log-loss by "lambd, keep_prob" on 1000 rows of few and of many classes."""
    table = []
    for made, classes in ((rings, 2), (rings, 15), (clusters, 10), (clusters, 50)):
        found = losses(
            partial(made, classes=classes),
            1000,
            (0, 0.1, 1, 10),
            (0.8, 1.0),
            splits,
            max_iter=100,
        )
        table.append(
            {"data": made.__name__, "classes": classes}
            | {
                f"{lambd:g}, {keep_prob:g}": float(cell["test"].mean())
                for (lambd, keep_prob), cell in found.items()
            }
        )
    return table


def by_border(splits: int) -> list[dict[str, object]]:
    """The four networks of the last picture, on two draws of the moons a split."""
    table, draws = [], 2 * splits
    for lambd, keep_prob in ((0, 1.0), (1, 1.0), (0, 0.5), (1, 0.5)):
        model = RegularizedMLPClassifier(
            lambd=lambd,
            keep_prob=keep_prob,
            **(SETTINGS | {"batch_size": 25, "max_iter": 200}),
        )
        scores = []
        for seed in range(draws):
            X, y = make_moons(2150, noise=0.35, random_state=seed)
            X_train, X_test, y_train, y_test = train_test_split(
                X, y, train_size=150, stratify=y, random_state=0
            )
            model.fit(X_train, y_train)
            loss = log_loss(y_test, model.predict_proba(X_test))
            scores.append(
                (model.score(X_train, y_train), model.score(X_test, y_test), loss)
            )
        train, test, loss = np.mean(scores, axis=0).tolist()
        table.append(
            {"lambd": lambd, "keep_prob": keep_prob, "draws": draws}
            | {"train accuracy": train, "test accuracy": test, "test log-loss": loss}
        )
    return table


TABLES: Mapping[str, Callable[[int], list[dict[str, object]]]] = {
    "choosing_rows": by_rows,
    "choosing_size": by_size,
    "choosing_stopping": by_stopping,
    "choosing_classes": by_classes,
    "choosing_border": by_border,
}


if __name__ == "__main__":
    options = arguments(__doc__, splits=5)
    for name, measure in TABLES.items():
        report(name, measure(options.splits), options.results)
        print()
