"""Saved models: what is in their files, who loads them, and how they go on."""

import copy
import importlib.util
import io
import json
import pickle
from functools import partial
from pathlib import Path

import cloudpickle
import joblib
import numpy as np
import pandas as pd
import pytest
import skops.io
from helpers import assert_same_weights, no_convergence_warning
from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skreg
from skreg import (
    RegularizedMLPClassifier,
    RegularizedMLPClassifierCV,
    RegularizedMLPEnsemble,
)
from skreg._models import versions as _persistence

MODELS = Path(__file__).parents[1] / "data" / "models"
FILES = sorted(MODELS.glob("*/*.json"))
NAMES = {"binary", "words", "partial_fit", "warm_start", "ensemble", "search"}

RNG = np.random.default_rng(0)
X = RNG.normal(size=(30, 3))
y = (X[:, 0] > 0) + (X[:, 1] > 0.5).astype(int)
SMALL = {"hidden_layer_sizes": (4, 3), "max_iter": 3, "learning_rate_init": 0.1}
network = partial(RegularizedMLPClassifier, **SMALL, random_state=0)

# All that a file of skops may ask to trust.
OURS = {
    "skreg.RegularizedMLPClassifier",
    "skreg.RegularizedMLPEnsemble",
    "skreg.RegularizedMLPClassifierCV",
}


def trained(name):
    """A fitted model with that in it which might not be saved."""
    model = {
        "default": network(),
        # Entropy of its own: only what is saved can go on alike.
        "warm_start": network(warm_start=True, keep_prob=0.8, random_state=None),
        "sgd": network(
            warm_start=True, solver="sgd", learning_rate="adaptive", input_keep_prob=0.9
        ),
        "partial_fit": network(keep_prob=0.8),
        "random_state": network(
            warm_start=True, random_state=np.random.RandomState(0), early_stopping=True
        ),
        "lbfgs": network(solver="lbfgs"),
        "ensemble": RegularizedMLPEnsemble(network(), 2),
        "search": RegularizedMLPClassifierCV([0.1, 1.0], [1.0], cv=2, **SMALL),
        "one network": RegularizedMLPClassifierCV(
            [1.0], [1.0], cv=2, n_refits=1, scoring="accuracy", **SMALL
        ),
        "pipeline": make_pipeline(StandardScaler(), network()),
    }[name]
    with no_convergence_warning():
        if name == "partial_fit":
            return model.partial_fit(X, y, classes=[0, 1, 2]).partial_fit(X, y)
        return model.fit(X, y)


EVERY = [
    "default", "warm_start", "sgd", "partial_fit", "random_state", "lbfgs", "ensemble",
    "search", "one network", "pipeline",
]  # fmt: skip


@pytest.fixture(scope="module")
def fitted():
    return {name: trained(name) for name in EVERY}


def to_joblib(model):
    file = io.BytesIO()
    joblib.dump(model, file)
    return file.getvalue()


# How a model becomes bytes, and they a model.
SAVED = {
    "pickle": (pickle.dumps, pickle.loads),
    "joblib": (to_joblib, lambda data: joblib.load(io.BytesIO(data))),
    "cloudpickle": (cloudpickle.dumps, cloudpickle.loads),
    "skops": (skops.io.dumps, lambda data: skops.io.loads(data, trusted=list(OURS))),
}


def through(way, model):
    dumps, loads = SAVED[way]
    return loads(dumps(model))


every_way = pytest.mark.parametrize("way", SAVED)


# What is in a file -------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY)
def test_skops_need_trust_our_classes_alone(name, fitted):
    model = fitted[name]
    untrusted = set(skops.io.get_untrusted_types(data=skops.io.dumps(model)))
    assert untrusted
    assert untrusted <= OURS
    loaded = through("skops", model)
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))


def own_scorer(estimator, X, y):
    return 0.5


@pytest.mark.parametrize(
    "model",
    [
        network(scoring=own_scorer, train_scores=True),
        RegularizedMLPClassifierCV([1.0], [1.0], cv=2, scoring=own_scorer, **SMALL),
    ],
    ids=["network", "search"],
)
def test_skops_ask_of_a_function_of_the_user_too(model):
    with no_convergence_warning():
        model.fit(X, y)
    untrusted = set(skops.io.get_untrusted_types(data=skops.io.dumps(model)))
    assert untrusted - OURS == {f"{__name__}.own_scorer"}


class Recorder(pickle.Unpickler):
    """Notes what a pickle imports."""

    def __init__(self, file):
        super().__init__(file)
        self.found = set()

    def find_class(self, module, name):
        self.found.add((module, name))
        return super().find_class(module, name)


@pytest.mark.parametrize("name", [name for name in EVERY if name != "pipeline"])
def test_a_pickle_imports_our_classes_and_numpy_alone(name, fitted):
    """Nothing of scikit-learn, whose private classes change."""
    recorder = Recorder(io.BytesIO(pickle.dumps(fitted[name])))
    recorder.load()
    others = {
        f"{module}.{name}"
        for module, name in recorder.found
        if module.split(".")[0] not in {"numpy", "builtins", "_codecs"}
    }
    assert others
    assert others <= OURS


@pytest.mark.parametrize(
    "scoring", ["auto", None, "accuracy", ["accuracy", "neg_log_loss"], own_scorer]
)
def test_a_loaded_search_scores_as_before(scoring):
    refit = "neg_log_loss" if isinstance(scoring, list) else True
    search = RegularizedMLPClassifierCV(
        [1.0], [1.0], cv=2, scoring=scoring, refit=refit, random_state=0, **SMALL
    )
    assert not hasattr(search, "scorer_")
    with no_convergence_warning():
        search.fit(X, y)
    score = search.score(X, y)
    loaded = pickle.loads(pickle.dumps(search))
    # What is set after a fit is for the next one.
    for each in (search, loaded):
        each.set_params(scoring="f1_macro")
        assert each.score(X, y) == score


# How it goes on ----------------------------------------------------------------------


@every_way
@pytest.mark.parametrize("name", ["warm_start", "sgd", "random_state"])
def test_a_loaded_model_goes_on_bit_for_bit(name, way):
    model = trained(name)
    loaded = through(way, model)
    with no_convergence_warning():
        for each in (model, loaded):
            each.fit(X, y).fit(X, y)
    assert_same(loaded, model)


@every_way
def test_a_loaded_model_takes_the_next_part_bit_for_bit(way):
    model = trained("partial_fit")
    loaded = through(way, model)
    for each in (model, loaded):
        each.partial_fit(X[:20], y[:20]).partial_fit(X[20:], y[20:])
    assert_same(loaded, model)
    assert loaded.n_iter_ == 4


def assert_same(a, b):
    np.testing.assert_array_equal(a.predict_proba(X), b.predict_proba(X))
    assert_same_weights(a, b)
    for name in ("loss_curve_", "validation_scores_", "t_", "n_iter_"):
        assert getattr(a, name) == getattr(b, name), name


# Its number --------------------------------------------------------------------------


@every_way
@pytest.mark.parametrize("name", ["default", "ensemble", "search"])
def test_a_newer_file_names_its_version(way, name, fitted, monkeypatch):
    dumps, loads = SAVED[way]
    with monkeypatch.context() as later:
        later.setattr(_persistence, "FORMAT", _persistence.FORMAT + 1)
        later.setattr(_persistence, "__version__", "99.1")
        saved = dumps(fitted[name])
        loads(saved)
    with pytest.raises(ValueError, match=r"Upgrade skreg to 99\.1 or newer") as error:
        loads(saved)
    assert "saved by skreg 99.1, in format 2" in str(error.value)
    assert f"skreg {skreg.__version__} knows the formats up to 1" in str(error.value)


@pytest.mark.parametrize("number", [None, "1"])
def test_a_number_that_is_none_is_refused(number, fitted):
    state = {**fitted["default"].__getstate__(), "_skreg_format": number}
    with pytest.raises(ValueError, match=f"in format {number}"):
        RegularizedMLPClassifier.__new__(RegularizedMLPClassifier).__setstate__(state)


def test_a_file_without_a_number_loads(fitted):
    model = fitted["warm_start"]
    state = BaseEstimator.__getstate__(model)
    assert "_skreg_format" not in state
    loaded = RegularizedMLPClassifier.__new__(RegularizedMLPClassifier)
    loaded.__setstate__(state)
    assert_same(loaded, model)
    assert vars(loaded) == vars(model)


@pytest.mark.parametrize("name", ["default", "ensemble", "search"])
def test_the_number_is_in_the_state_and_nowhere_else(name, fitted):
    model = fitted[name]
    before = set(vars(model))
    state = model.__getstate__()
    assert state.keys() - before == {"_skreg_format", "_skreg_version"}
    assert state["_skreg_version"] == skreg.__version__
    assert set(vars(model)) == before
    for twin in (copy.copy(model), copy.deepcopy(model), through("skops", model)):
        assert set(vars(twin)) == before
    kept = dict(state)
    twin = copy.copy(model)
    twin.__setstate__(state)
    assert state == kept
    assert "_skreg" not in repr(clone(model)) + "".join(model.get_params())


class Noted:
    """A mixin that adds to the state."""

    def __getstate__(self):
        return {**super().__getstate__(), "note": "kept"}


class Before(Noted, RegularizedMLPClassifier):
    pass


class WithItsOwn(RegularizedMLPClassifier):
    """Writes its state as people did who knew of no number."""

    def __getstate__(self):
        return self.__dict__.copy()


@pytest.mark.parametrize("cls", [Before, WithItsOwn])
def test_subclasses_with_a_state_of_their_own(cls):
    with no_convergence_warning():
        model = cls((3,), max_iter=3, random_state=0).fit(X, y)
    loaded = pickle.loads(pickle.dumps(model))
    assert type(loaded) is cls
    assert getattr(loaded, "note", None) == ("kept" if cls is Before else None)
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))


def test_the_state_is_that_of_scikit_learn():
    class Slotted(RegularizedMLPClassifier):
        __slots__ = ("more",)

    with pytest.raises(TypeError, match="You cannot use `__slots__`"):
        pickle.dumps(Slotted())


# Files of the versions so far --------------------------------------------------------


def test_there_are_files_of_each_kind():
    folders = [folder for folder in MODELS.iterdir() if folder.is_dir()]
    folders = [folder for folder in folders if folder.name != "__pycache__"]
    assert folders
    for folder in folders:
        for ending in ("json", "pickle", "skops"):
            assert {file.stem for file in folder.glob(f"*.{ending}")} >= NAMES
    assert max(file.stat().st_size for file in MODELS.glob("*/*")) < 20_000


def rows_and_expected(file):
    """X as it was, and what the model gave then."""
    expected = json.loads(file.read_text(encoding="utf-8"))
    rows = np.array(expected["X"], dtype=expected["dtype"])
    if expected["columns"] is not None:
        rows = pd.DataFrame(rows, columns=expected["columns"])
    return rows, expected


def assert_as_it_was(model, rows, expected):
    """The order of the sums is that of the BLAS that is here."""
    tolerance = 1e-6 if expected["dtype"] == "float32" else 1e-12
    proba = model.predict_proba(rows)
    assert str(proba.dtype) == expected["dtype"]
    np.testing.assert_allclose(proba, expected["proba"], rtol=0, atol=tolerance)
    assert np.ptp(proba, axis=0).max() > 0.3
    assert model.predict(rows).tolist() == expected["classes"]


@pytest.mark.parametrize("file", FILES, ids=lambda f: f"{f.parent.name}-{f.stem}")
@pytest.mark.parametrize("ending", ["pickle", "skops"])
def test_a_model_of_a_version_before_loads_and_goes_on(file, ending):
    """Any warning is an error."""
    saved = file.with_suffix(f".{ending}")
    if ending == "pickle":
        model = pickle.loads(saved.read_bytes())
    else:
        assert set(skops.io.get_untrusted_types(file=saved)) <= OURS
        model = skops.io.load(saved, trusted=list(OURS))
    rows, expected = rows_and_expected(file)
    assert_as_it_was(model, rows, expected)
    labels, t = expected["classes"], getattr(model, "t_", None)
    if file.stem == "partial_fit":
        assert model.partial_fit(rows, labels).t_ == t + len(rows)
    elif file.stem == "warm_start":
        with no_convergence_warning():
            assert model.fit(rows, labels).t_ == t + model.max_iter * len(rows)
    else:
        clone(model)
        assert repr(model).startswith(type(model).__name__)


def test_the_script_makes_files_and_does_not_touch_those_of_a_version(tmp_path):
    spec = importlib.util.spec_from_file_location("make", MODELS / "make.py")
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    make.main(tmp_path)
    folder = tmp_path / skreg.__version__
    assert {file.stem for file in folder.glob("*.pickle")} == NAMES
    for file in folder.glob("*.json"):
        model = pickle.loads(file.with_suffix(".pickle").read_bytes())
        assert_as_it_was(model, *rows_and_expected(file))
    before = {file: file.stat().st_mtime_ns for file in folder.iterdir()}
    with pytest.raises(SystemExit, match="is there"):
        make.main(tmp_path)
    assert {file: file.stat().st_mtime_ns for file in folder.iterdir()} == before
