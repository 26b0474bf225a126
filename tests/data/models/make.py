"""Save small models by this version of skreg, for later versions to load.

Run it once for each release, in the environment of the newest versions, and commit the
folder that it makes, which has the name of the version:

    python tests/data/models/make.py

A folder that is there is not touched: its files are what that version wrote, and every
later version must load them (``tests/test_persistence.py``). A development version,
which nobody has, may write its files anew: remove its folder first.

Each model has a pickle, a file of skops, and rows with the probabilities and classes
that it predicts for them, as JSON, in which numbers keep all of their digits.
"""

from __future__ import annotations

import json
import pickle
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import skops.io
from sklearn.exceptions import ConvergenceWarning

import skreg
from skreg import (
    RegularizedMLPClassifier,
    RegularizedMLPClassifierCV,
    RegularizedMLPEnsemble,
)

HERE = Path(__file__).resolve().parent


def models():
    """Name → (fitted model, rows)."""
    rng = np.random.default_rng(0)
    X = np.round(rng.normal(size=(30, 3)), 3)
    y = (X[:, 0] + 0.5 * X[:, 1] ** 2 > 0.3).astype(int)
    three = y + (X[:, 2] > 0.5)
    words = np.array(["apple", "pear", "quince"])[three]
    frame = pd.DataFrame(X.astype(np.float32), columns=["length", "width", "weight"])
    small = {
        "hidden_layer_sizes": (4, 3),
        "learning_rate_init": 0.1,
        "max_iter": 20,
        "random_state": 0,
    }
    small_network = {"lambd": 0.01, **small}
    network = RegularizedMLPClassifier(**small_network)
    partial = RegularizedMLPClassifier(keep_prob=0.8, **small_network)
    for _ in range(20):
        partial.partial_fit(X, three, classes=[0, 1, 2])
    warm = RegularizedMLPClassifier(
        solver="sgd", warm_start=True, input_keep_prob=0.9, **small_network
    ).set_params(random_state=np.random.RandomState(0))
    search = RegularizedMLPClassifierCV(
        lambds=[0.01, 0.1], keep_probs=[1.0], cv=2, n_refits=2, **small
    )
    return {
        "binary": (network.fit(X, y), X),
        "words": (RegularizedMLPClassifier(**small_network).fit(frame, words), frame),
        "partial_fit": (partial, X),
        "warm_start": (warm.fit(X, y).fit(X, y), X),
        "ensemble": (RegularizedMLPEnsemble(network, 2).fit(X, three), X),
        "search": (search.fit(X, three), X),
    }


def save(folder, name, model, X):
    """Write the files of a model."""
    rows = X[:8]
    expected = {
        "columns": list(X.columns) if isinstance(X, pd.DataFrame) else None,
        "dtype": str(np.asarray(X).dtype),
        "X": np.asarray(rows).tolist(),
        "proba": model.predict_proba(rows).tolist(),
        "classes": model.predict(rows).tolist(),
    }
    with (folder / f"{name}.pickle").open("wb") as file:
        pickle.dump(model, file, protocol=5)
    skops.io.dump(model, folder / f"{name}.skops", compression=zipfile.ZIP_DEFLATED)
    (folder / f"{name}.json").write_text(json.dumps(expected) + "\n", encoding="utf-8")


def main(parent=HERE):
    """Make the folder of this version."""
    folder = parent / skreg.__version__
    try:
        folder.mkdir()
    except FileExistsError:
        raise SystemExit(
            f"{folder} is there: what a version wrote is not written anew. Set "
            "__version__ in skreg/__init__.py, or remove the folder of a development "
            "version."
        ) from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for name, (model, X) in models().items():
            save(folder, name, model, X)


if __name__ == "__main__":
    main()
