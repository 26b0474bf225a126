"""Labels that are objects, missing or of several kinds, wherever a model takes them."""

import pickle

import numpy as np
import pandas as pd
import pytest
from helpers import assert_same, no_convergence_warning, small
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import (
    KFold,
    StratifiedKFold,
    check_cv,
    cross_val_score,
)

from skreg import (
    RegularizedMLPClassifierCV,
    RegularizedMLPEnsemble,
)
from skreg._models.scoring import MinusLoss

rng = np.random.default_rng(0)
X = rng.normal(size=(40, 3))
CODES = (X[:, 0] > 0) + (X[:, 1] > 1).astype(int)
WORDS = np.array(["low", "mid", "high"])[CODES].astype(object)


def network(**parameters):
    return small(max_iter=3, **parameters)


def ensemble():
    return RegularizedMLPEnsemble(network(), 2)


def search(**parameters):
    defaults = {"hidden_layer_sizes": (4,), "max_iter": 2, "cv": 2, "random_state": 0}
    return RegularizedMLPClassifierCV((1.0,), (1.0,), **{**defaults, **parameters})


MODELS = {"network": network, "ensemble": ensemble, "search": search}
every_model = pytest.mark.parametrize("make", MODELS.values(), ids=list(MODELS))

# Objects, and the array that they are taken as.
OBJECTS = {
    "ints": (CODES.astype(object), CODES),
    "bools": ((CODES > 0).astype(object), CODES > 0),
    "whole floats": (CODES.astype(float).astype(object), CODES.astype(float)),
    "Int64": (pd.Series(CODES, dtype="Int64"), CODES),
    "boolean": (pd.Series(CODES > 0, dtype="boolean"), CODES > 0),
    "string": (pd.Series(WORDS, dtype="string"), WORDS),
    "labels": (np.eye(3)[CODES].astype(object), np.eye(3)[CODES]),
    "labels in a table": (
        pd.DataFrame(np.eye(3)[CODES].astype(int), dtype="Int64"),
        np.eye(3)[CODES].astype(int),
    ),
}


@every_model
@pytest.mark.parametrize("name", OBJECTS)
def test_a_model_of_objects_is_that_of_the_plain_array(make, name):
    given, plain = OBJECTS[name]
    with no_convergence_warning():
        model, expected = make().fit(X, given), make().fit(X, plain)
    assert model.classes_.dtype == expected.classes_.dtype
    assert_array_equal(model.classes_, expected.classes_)
    predicted = pickle.loads(pickle.dumps(model)).predict(X)
    assert predicted.dtype == expected.predict(X).dtype
    assert_array_equal(predicted, expected.predict(X))
    assert model.score(X, given) == expected.score(X, plain)
    assert MinusLoss()(model, X, given) == MinusLoss()(expected, X, plain)


@pytest.mark.parametrize("scoring", ["accuracy", "auto", ["accuracy", "neg_log_loss"]])
@pytest.mark.parametrize("name", ["ints", "bools", "Int64", "labels in a table"])
def test_a_search_scores_objects_as_what_they_are(name, scoring):
    if name == "labels in a table" and scoring != "accuracy":
        scoring = "auto"
    given, plain = OBJECTS[name]
    refit = "accuracy" if isinstance(scoring, list) else True
    found = []
    for y in (given, plain):
        with no_convergence_warning():
            model = search(scoring=scoring, refit=refit).fit(X, y)
        found.append((model.best_score_, model.score(X, y)))
    assert found[0] == found[1]
    assert np.isfinite(found[0]).all()


def test_a_search_gives_the_scorers_a_series_as_it_is():
    given = []

    def scorer(model, X, y):
        given.append(y)
        return 0.0

    for y in (pd.Series(WORDS), pd.Series(CODES, dtype="Int64")):
        with no_convergence_warning():
            search(scoring=scorer).fit(X, y)
        assert all(isinstance(part, pd.Series) for part in given)


@every_model
def test_cross_validation_takes_objects(make):
    objects = CODES.astype(object)
    with no_convergence_warning():
        scores = [
            cross_val_score(make(), X, y, cv=list(SPLITS)) for y in (objects, CODES)
        ]
    assert_array_equal(*scores)


def test_scikit_learns_splitters_do_not_stratify_objects():
    """As the documentation says: they are to be given integers."""
    y = np.sort(CODES.clip(max=1))
    kinds = [type(check_cv(3, each, classifier=True)) for each in (y.astype(object), y)]
    assert kinds == [KFold, StratifiedKFold]
    # Those of the search are its own.
    of = search(cv=None, max_iter=2)
    with no_convergence_warning():
        found = [clone(of).fit(X, each).best_score_ for each in (y.astype(object), y)]
    assert found[0] == found[1]


HALF = np.arange(40) % 2 == 0
SPLITS = [(np.flatnonzero(HALF), np.flatnonzero(~HALF))]


def test_partial_fit_takes_objects():
    ints = CODES.astype(object)
    models = [
        network().partial_fit(X, y, classes=classes).partial_fit(X, y)
        for y in (CODES, ints)
        for classes in (np.arange(3), np.arange(3).astype(object), [0, 1, 2])
    ]
    for model in models:
        assert model.classes_.dtype == np.int64
        assert_array_equal(model.predict(X), models[0].predict(X))
    models[0].partial_fit(X, ints, classes=np.arange(3).astype(object))


def test_validation_rows_may_be_objects():
    found = [
        network(early_stopping=True).fit(X, CODES, X_val=X, y_val=y_val)
        for y_val in (CODES, CODES.astype(object))
    ]
    assert found[0].validation_scores_ == found[1].validation_scores_


WRONG = [(None, "None"), (np.nan, "NaN"), (pd.NA, "<NA>"), (3, "3"), (b"low", "b'low'")]


@pytest.mark.parametrize(("value", "shown"), WRONG, ids=str)
@pytest.mark.parametrize("row", [0, 5])
def test_a_wrong_label_is_named_wherever_labels_are_given(value, shown, row):
    y = WORDS.copy()
    y[row] = value
    with no_convergence_warning():
        fitted = {name: make().fit(X, WORDS) for name, make in MODELS.items()}
    part = network().partial_fit(X, WORDS, classes=["low", "mid", "high"])
    stopping = network(early_stopping=True)
    searching = search(early_stopping=True)
    calls = {
        **{f"fit of the {name}": (model.fit, X, y) for name, model in fitted.items()},
        **{
            f"score of the {name}": (model.score, X, y)
            for name, model in fitted.items()
        },
        "partial_fit": (part.partial_fit, X, y),
        "MinusLoss": (MinusLoss(), fitted["network"], X, y),
    }
    found = {}
    for name, (call, *arguments) in calls.items():
        with pytest.raises(ValueError, match=f"^y .*{shown} in row {row}\\b") as caught:
            call(*arguments)
        found[name] = str(caught.value)
    # The text is one, wherever the labels are given.
    assert len(set(found.values())) == 1, found
    for model in (stopping, searching):
        with pytest.raises(
            ValueError, match=f"y_val (has|contains) .*{shown} in row {row}"
        ):
            model.fit(X, WORDS, X_val=X, y_val=y)
    classes = objects = np.array(["low", "mid", "high"], dtype=object)
    objects[row % 3] = value
    with pytest.raises(ValueError, match=f"^classes (has|contains) .*{shown} in row"):
        network().partial_fit(X, WORDS, classes=classes)


def test_a_model_keeps_what_it_had():
    model = network().fit(X, WORDS)
    before = vars(model).copy()
    y = WORDS.copy()
    y[5] = None
    for call in (model.fit, model.partial_fit):
        with pytest.raises(ValueError, match="None in row 5"):
            call(X, y)
    assert_same(vars(model), before)
