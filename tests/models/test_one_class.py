"""Labels of one class, in all rows or in those of a fold, inside other estimators.

scikit-learn refuses what is not here, of its own classifiers too: decisions of folds
with other classes, calibration of the decisions of one class without folds, and chains
of probabilities of one class, which its trees give as (n, 1) too.
"""

from functools import partial

import numpy as np
import pytest
import sklearn
from helpers import small
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier

from skreg import RegularizedMLPClassifierCV, RegularizedMLPEnsemble

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
    "ignore:Label .* is present in all training examples",
    "ignore:Number of classes in training fold",
)

X = np.random.default_rng(0).normal(size=(60, 3))
TWO = (X[:, 0] > 0).astype(int)
THREE = np.digitize(X[:, 0], [-0.5, 0.5])
# The training rows of one of the two folds, which FOLDS has, are of one class.
FIRST = np.arange(60) % 2 == 0
TWO_BY_FOLD, THREE_BY_FOLD = np.where(FIRST, 0, TWO), np.where(FIRST, 0, THREE)
FOLDS = PredefinedSplit(FIRST.astype(int))
of_labels = pytest.mark.parametrize("label", [0, 1])
network = partial(small, hidden_layer_sizes=(4,), max_iter=5)
SEARCH = RegularizedMLPClassifierCV(
    (1.0,), (1.0,), cv=2, hidden_layer_sizes=(4,), max_iter=5, random_state=0
)
MODELS = {
    "network": network(),
    "ensemble": RegularizedMLPEnsemble(network(), 2),
    "search": SEARCH,
}


@pytest.fixture(params=MODELS)
def model(request):
    return clone(MODELS[request.param])


def labels_of(label):
    """Three labels, of which the second is the same in all rows."""
    return np.column_stack([TWO, np.full(60, label), X[:, 1] > 0]).astype(int)


@pytest.mark.parametrize("label", [0, 1, "only"])
def test_the_shapes_are_those_of_one_class(model, label):
    model.fit(X, np.full(60, label))
    assert_array_equal(model.classes_, [label])
    assert_array_equal(model.predict(X), np.full(60, label))
    assert_array_equal(model.predict_proba(X), np.ones((60, 1)))
    assert_array_equal(model.predict_log_proba(X), np.zeros((60, 1)))
    assert_array_equal(model.decision_function(X), np.zeros(60))


@of_labels
@pytest.mark.parametrize("chain_method", ["predict", "decision_function"])
def test_chains(model, chain_method, label):
    chain = ClassifierChain(model, chain_method=chain_method).fit(X, labels_of(label))
    assert_array_equal(chain.predict(X)[:, 1], np.full(60, label))
    assert chain.decision_function(X).shape == (60, 3)
    # The constant column says nothing, and so changes nothing before it.
    first = clone(model).fit(X, TWO)
    assert_array_equal(chain.predict(X)[:, 0], first.predict(X))


@pytest.mark.parametrize("chain_method", ["predict", "predict_proba"])
def test_chains_whose_folds_have_one_class(model, chain_method):
    Y = np.column_stack([TWO, TWO_BY_FOLD, X[:, 1] > 0]).astype(int)
    chain = ClassifierChain(model, cv=FOLDS, chain_method=chain_method).fit(X, Y)
    assert chain.predict(X).shape == (60, 3)
    assert ((chain.predict_proba(X) >= 0) & (chain.predict_proba(X) <= 1)).all()


@of_labels
def test_one_against_the_rest(model, label):
    several = OneVsRestClassifier(model).fit(X, labels_of(label))
    assert_array_equal(several.predict(X)[:, 1], np.full(60, label))
    assert_array_equal(several.predict_proba(X)[:, 1], np.full(60, float(label)))
    assert several.decision_function(X).shape == (60, 3)
    alone = OneVsRestClassifier(model).fit(X, np.full(60, label))
    assert_array_equal(alone.predict(X), np.full(60, label))


@of_labels
def test_several_outputs(model, label):
    outputs = MultiOutputClassifier(model).fit(X, labels_of(label))
    assert_array_equal(outputs.predict(X)[:, 1], np.full(60, label))
    shapes = [proba.shape for proba in outputs.predict_proba(X)]
    assert shapes == [(60, 2), (60, 1), (60, 2)]


METHODS = ["sigmoid", "isotonic"]
if tuple(map(int, sklearn.__version__.split(".")[:2])) >= (1, 8):
    METHODS.append("temperature")


def assert_probabilities(proba, n_classes):
    assert proba.shape == (60, n_classes)
    assert_allclose(proba.sum(axis=1), 1)


@of_labels
@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_calibration_of_one_class(model, method, label):
    calibrated = CalibratedClassifierCV(model, method=method, cv=2)
    calibrated.fit(X, np.full(60, label))
    assert_array_equal(calibrated.predict(X), np.full(60, label))
    assert_array_equal(calibrated.predict_proba(X), np.ones((60, 1)))


@pytest.mark.parametrize("method", METHODS)
def test_calibration_where_a_fold_has_one_class(model, method):
    calibrated = CalibratedClassifierCV(model, method=method, cv=FOLDS)
    assert_probabilities(calibrated.fit(X, TWO_BY_FOLD).predict_proba(X), 2)
    if method != "temperature":
        assert_probabilities(calibrated.fit(X, THREE_BY_FOLD).predict_proba(X), 3)


@pytest.mark.parametrize("method", METHODS)
def test_calibration_of_a_model_that_is_fitted(model, method):
    for y, n_classes in ((TWO, 2), (THREE, 3)):
        frozen = FrozenEstimator(clone(model).fit(X, y))
        calibrated = CalibratedClassifierCV(frozen, method=method).fit(X, y)
        assert_probabilities(calibrated.predict_proba(X), n_classes)


@of_labels
@pytest.mark.parametrize("stack_method", ["auto", "decision_function", "predict"])
def test_stacks_of_one_class(model, stack_method, label):
    stack = StackingClassifier(
        [("a", model), ("b", clone(model))],
        final_estimator=DummyClassifier(),
        stack_method=stack_method,
        cv=2,
    ).fit(X, np.full(60, label))
    assert_array_equal(stack.predict(X), np.full(60, label))


@pytest.mark.parametrize("y", [TWO_BY_FOLD, THREE_BY_FOLD], ids=["two", "three"])
@pytest.mark.parametrize("stack_method", ["predict_proba", "predict"])
def test_stacks_whose_folds_have_one_class(model, stack_method, y):
    stack = StackingClassifier([("a", model)], stack_method=stack_method, cv=FOLDS)
    assert stack.fit(X, y).score(X, y) > 0.6


@of_labels
@pytest.mark.parametrize("voting", ["hard", "soft"])
def test_votes(model, voting, label):
    votes = VotingClassifier([("a", model), ("b", clone(model))], voting=voting)
    votes.fit(X, np.full(60, label))
    assert_array_equal(votes.predict(X), np.full(60, label))
    assert votes.transform(X).shape == (60, 2)


@of_labels
@pytest.mark.parametrize(
    ("method", "value", "shape"),
    [
        ("predict", None, (60,)),
        ("predict_proba", 1, (60, 1)),
        ("predict_log_proba", 0, (60, 1)),
        ("decision_function", 0, (60,)),
    ],
)
def test_predictions_of_folds_of_one_class(model, method, value, shape, label):
    found = cross_val_predict(model, X, np.full(60, label), cv=2, method=method)
    assert_array_equal(found, np.full(shape, label if value is None else value))


@pytest.mark.parametrize("y", [TWO_BY_FOLD, THREE_BY_FOLD], ids=["two", "three"])
def test_predictions_where_a_fold_has_one_class(model, y):
    # The rows of the second fold, ~FIRST, are predicted by the rows of the first.
    predict = partial(cross_val_predict, model, X, y, cv=FOLDS)
    assert_array_equal(predict(method="predict")[~FIRST], 0)
    certain = np.eye(y.max() + 1)[np.zeros(30, dtype=int)]
    proba, log_proba = (
        predict(method="predict_proba"),
        predict(method="predict_log_proba"),
    )
    assert_probabilities(proba, y.max() + 1)
    assert_array_equal(proba[~FIRST], certain)
    assert_array_equal(np.exp(log_proba[~FIRST]), certain)
    with pytest.raises(ValueError, match="Only 1 class/es in training fold"):
        predict(method="decision_function")
