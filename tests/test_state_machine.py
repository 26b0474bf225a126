"""Calls of one estimator in any order, beside a model of what must hold.

The model says of each call whether it must succeed, from the documented rules alone. A
call that fails must leave the estimator as it was, byte for byte. Whatever was called,
a twin that repeats only what counts has the same weights, bit for bit.
"""

import copy
import math
import pickle

import numpy as np
import pytest
from helpers import weights_of
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
)
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from skreg import RegularizedMLPClassifier

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
    "ignore:.*columns of X have magnitudes far from 1",
)

X = np.random.default_rng(0).normal(size=(9, 4))
PATTERNS = np.array([[0, 1], [1, 0], [1, 1], [0, 0], [1, 0], [0, 1]])

# X and y; each class has two rows or more, so that early stopping can split them.
GOOD = {
    "two": (X[:8, :3], np.arange(8) % 2),
    "again": (X[1:8, :3], np.arange(7) % 2),
    "one": (X[:4, :3], np.zeros(4, dtype=int)),
    "three": (X[:, :3], np.arange(9) % 3),
    "labels": (X[:6, :3], PATTERNS),
    "sparse": (sparse.csr_array(X[:8, :3]), np.arange(8) % 2),
    "float32": (X[:8, :3].astype(np.float32), np.arange(8) % 2),
    "wide": (X[:8], np.arange(8) % 2),
}
MISSING = X[:8, :3].copy()
MISSING[3, 1] = math.nan
BAD = {
    "missing": (MISSING, np.arange(8) % 2),
    "short": (X[:8, :3], np.arange(7) % 2),
    "continuous": (X[:8, :3], np.linspace(0, 1, 8)),
}
HUGE = (1e300 * X[:8, :3], np.arange(8) % 2)
DATA = GOOD | BAD

# Without a plateau each run has all its epochs, so that they can be counted.
BASE = {
    "hidden_layer_sizes": (3,),
    "max_iter": 2,
    "tol": 0.0,
    "n_iter_no_change": np.inf,
    "early_stopping": False,
    "random_state": 0,
}
VALUES = {
    "activation": ["relu", "tanh", "identity"],
    "averaging": [0.0, 0.9],
    "batch_size": ["auto", "full", 3],
    "class_weight": [None, "balanced"],
    "early_stopping": [False, False, "auto", True],
    "hidden_layer_sizes": [(3,), 3, (2, 2)],
    "input_keep_prob": [1.0, 0.7],
    "keep_prob": [1.0, 0.5],
    "lambd": [0.0, 1.0, 30],
    "learning_rate": ["constant", "cosine", "invscaling", "adaptive"],
    "max_iter": [1, 2, 3],
    "max_norm": [None, 1.0],
    "random_state": [0, 1],
    "shuffle": [True, False],
    "solver": ["adam", "adam", "sgd", "lbfgs"],
    "train_scores": [False, True],
    "warm_start": [True, False],
}
WRONG = {"lambd": -1.0, "max_iter": 0, "solver": "newton", "keep_prob": (0.5,) * 3}
PREDICTIONS = ["predict", "predict_proba", "predict_log_proba", "decision_function"]


def weight_of(y):
    return np.arange(len(y)) % 3 + 1.0


def state_of(estimator):
    """All that the estimator has, as bytes."""
    return pickle.dumps(vars(estimator))


class Calls(RuleBasedStateMachine):
    """An estimator, and what is known of it from the calls that succeeded."""

    def __init__(self):
        super().__init__()
        self.estimator = RegularizedMLPClassifier(**BASE)
        self.parameters = dict(BASE)
        # What a twin has to repeat: parameters, and the calls that count.
        self.history = []
        self.forget()

    def forget(self):
        self.classes = None
        self.multilabel = False
        self.hidden = None
        self.width = None
        self.n_iter = self.t = 0
        self.predicted = None

    @property
    def fitted(self):
        return self.classes is not None

    def value(self, name):
        default = RegularizedMLPClassifier().get_params()[name]
        return self.parameters.get(name, default)

    # What must happen

    def parameters_are_wrong(self):
        if any(self.value(name) == value for name, value in WRONG.items()):
            return True
        drops = self.value("keep_prob") != 1 or self.value("input_keep_prob") != 1
        limits = self.value("max_norm") is not None
        return self.value("solver") == "lbfgs" and (drops or limits)

    def layers(self):
        sizes = self.value("hidden_layer_sizes")
        return (sizes,) if isinstance(sizes, int) else sizes

    def does_not_go_on(self, name):
        """Whether the rows are not such as the model that there is can be trained on"""
        rows, y = DATA[name]
        if rows.shape[1] != self.width or (y.ndim == 2) != self.multilabel:
            return True
        if not self.multilabel and not set(y.tolist()) <= set(self.classes.tolist()):
            return True
        # The model of one class has no weights to keep.
        return len(self.classes) > 1 and self.layers() != self.hidden

    def fit_must_fail(self, name):
        if name in BAD or self.parameters_are_wrong():
            return True
        return self.value("warm_start") and self.fitted and self.does_not_go_on(name)

    def partial_fit_must_fail(self, name, classes):
        if name in BAD or self.parameters_are_wrong():
            return True
        if self.value("solver") == "lbfgs" or self.value("early_stopping") is True:
            return True
        if self.value("class_weight") == "balanced":
            return True
        _, y = DATA[name]
        if self.fitted:
            given = classes is not None and not self.multilabel
            if given and list(self.classes) != list(classes):
                return True
            return self.does_not_go_on(name)
        if y.ndim == 2:
            return False
        return classes is None or not set(y.tolist()) <= set(classes)

    # Calls

    def call(self, method, name, must_fail, **arguments):
        """Make a call on one of the data; whether it succeeded, as it must or not."""
        rows, y = DATA[name]
        before = state_of(self.estimator)
        if must_fail:
            with pytest.raises((ValueError, TypeError)):
                getattr(self.estimator, method)(rows, y, **arguments)
            assert state_of(self.estimator) == before
            return False
        assert getattr(self.estimator, method)(rows, y, **arguments) is self.estimator
        return True

    def note(self, name, classes):
        rows, y = DATA[name]
        if not self.fitted:
            self.multilabel = y.ndim == 2
            self.classes = np.unique(y) if classes is None else np.array(classes)
            if self.multilabel:
                self.classes = np.arange(y.shape[1])
        self.width, self.hidden = rows.shape[1], self.layers()
        self.n_iter, self.t = self.estimator.n_iter_, self.estimator.t_
        self.predicted = self.predictions()

    @rule(name=st.sampled_from(sorted(GOOD) * 2 + sorted(BAD)), weighted=st.booleans())
    def fit(self, name, weighted):
        _, y = DATA[name]
        extra = {"sample_weight": weight_of(y)} if weighted else {}
        if not self.call("fit", name, self.fit_must_fail(name), **extra):
            return
        if not self.value("warm_start"):
            # It begins anew, whatever was before.
            self.history = []
            self.forget()
        n_rows, constant = len(y), len(np.unique(y)) == 1
        if self.fitted:
            constant = len(self.classes) == 1
        found, n_epochs = self.estimator, self.value("max_iter")
        if constant:
            assert (found.n_iter_, found.t_) == (0, self.t)
        elif self.value("solver") == "lbfgs" or self.value("early_stopping") is True:
            assert found.n_iter_ <= n_epochs
            assert found.t_ >= self.t
        else:
            assert found.n_iter_ == n_epochs
            assert found.t_ == self.t + n_epochs * n_rows
        assert len(found.loss_curve_) == found.n_iter_
        if not self.history or self.history[-1][0] != "set_params":
            self.history.append(("set_params", dict(self.parameters)))
        self.history.append(("fit", name, extra))
        self.note(name, None)

    @rule(
        name=st.sampled_from(sorted(GOOD) * 2 + sorted(BAD)),
        weighted=st.booleans(),
        classes=st.sampled_from([None, [0, 1], [0, 1], [0, 1, 2], [0]]),
    )
    def partial_fit(self, name, weighted, classes):
        _, y = DATA[name]
        extra = {"sample_weight": weight_of(y)} if weighted else {}
        extra["classes"] = classes
        fails = self.partial_fit_must_fail(name, classes)
        if not self.call("partial_fit", name, fails, **extra):
            return
        found = self.estimator
        constant = len(found.classes_) == 1
        n_rows = 0 if constant else len(y)
        assert found.n_iter_ == self.n_iter + (not constant)
        assert found.t_ == self.t + n_rows
        assert len(found.loss_curve_) <= self.value("max_iter")
        assert not found.converged_
        self.history.append(("set_params", dict(self.parameters)))
        self.history.append(("partial_fit", name, extra))
        self.note(name, classes)

    @precondition(
        lambda self: (
            self.value("solver") == "adam"
            and self.value("activation") == "identity"
            and not self.parameters_are_wrong()
        )
    )
    @rule(method=st.sampled_from(["fit", "partial_fit"]))
    def diverge(self, method):
        """The rows are good, and the training fails in its first epoch."""
        before = state_of(self.estimator)
        extra = {"classes": [0, 1]} if method == "partial_fit" else {}
        # Where the model is of another kind of rows, that is said first.
        with pytest.raises(ValueError, match=r"diverged|class|features|shape|partial"):
            getattr(self.estimator, method)(*HUGE, **extra)
        assert state_of(self.estimator) == before

    # Parameters

    @rule(data=st.data())
    def set_params(self, data):
        name = data.draw(st.sampled_from(sorted(VALUES)))
        self.set(name, data.draw(st.sampled_from(VALUES[name])))

    def set(self, name, value):
        assert self.estimator.set_params(**{name: value}) is self.estimator
        self.parameters[name] = value
        if name == "activation" and self.fitted:
            # It is read at each prediction.
            self.predicted = self.predictions()

    @rule(name=st.sampled_from(sorted(WRONG)))
    def set_a_wrong_value_for_a_while(self, name):
        right = self.value(name)
        self.set(name, WRONG[name])
        self.call("fit", "two", must_fail=True)
        self.set(name, right)

    @rule()
    def set_an_unknown_parameter(self):
        before = state_of(self.estimator)
        with pytest.raises(ValueError, match="dropout"):
            self.estimator.set_params(dropout=0.5)
        assert state_of(self.estimator) == before

    # Copies

    @rule()
    def clone(self):
        before = state_of(self.estimator)
        copied = clone(self.estimator)
        assert state_of(self.estimator) == before
        assert not hasattr(copied, "coefs_")
        assert copied.get_params() == self.estimator.get_params()
        self.estimator = copied
        self.history = []
        self.forget()

    @rule(how=st.sampled_from(["pickle", "deepcopy"]))
    def copy(self, how):
        if how == "pickle":
            self.estimator = pickle.loads(pickle.dumps(self.estimator))
        else:
            self.estimator = copy.deepcopy(self.estimator)

    # Predictions

    def predictions(self):
        rows = X[:, : self.width]
        return [getattr(self.estimator, method)(rows) for method in PREDICTIONS]

    @rule(method=st.sampled_from([*PREDICTIONS, "score"]))
    def predict(self, method):
        before = state_of(self.estimator)
        width = self.width or 3
        arguments = [X[:, :width]]
        if method == "score":
            y = PATTERNS[np.arange(9) % 6] if self.multilabel else np.zeros(9, int)
            arguments.append(y)
        if self.fitted:
            getattr(self.estimator, method)(*arguments)
            with pytest.raises(ValueError, match="features"):
                getattr(self.estimator, method)(np.zeros((9, 7)), *arguments[1:])
        else:
            with pytest.raises(NotFittedError):
                getattr(self.estimator, method)(*arguments)
        assert state_of(self.estimator) == before

    # What holds at any time

    @invariant()
    def parameters_are_those_that_were_set(self):
        found = self.estimator.get_params()
        assert {name: found[name] for name in self.parameters} == self.parameters

    @invariant()
    def the_state_is_that_of_the_last_success(self):
        found = self.estimator
        assert hasattr(found, "coefs_") == self.fitted
        if not self.fitted:
            return
        np.testing.assert_array_equal(found.classes_, self.classes)
        assert (found.n_iter_, found.t_) == (self.n_iter, self.t)
        assert found.n_features_in_ == self.width
        hidden = tuple(len(b) for b in found.intercepts_[:-1])
        assert hidden == self.hidden
        for now, before in zip(self.predictions(), self.predicted, strict=True):
            np.testing.assert_array_equal(now, before)

    @precondition(lambda self: self.fitted)
    @rule()
    def twin(self):
        twin = RegularizedMLPClassifier()
        for method, what, *extra in self.history:
            if method == "set_params":
                twin.set_params(**what)
            else:
                getattr(twin, method)(*DATA[what], **extra[0])
        for found, expected in zip(
            weights_of(self.estimator), weights_of(twin), strict=True
        ):
            assert found.dtype == expected.dtype
            np.testing.assert_array_equal(found, expected)
        assert self.estimator.loss_curve_ == twin.loss_curve_
        assert (self.estimator.n_iter_, self.estimator.t_) == (twin.n_iter_, twin.t_)

    def teardown(self):
        if self.fitted:
            self.twin()


TestCalls = Calls.TestCase
