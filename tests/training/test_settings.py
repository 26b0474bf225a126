"""The parameters: each declared once, with its type, its range and its default."""

import inspect
from collections.abc import Callable
from dataclasses import field
from numbers import Integral, Real
from typing import Annotated, Any, Literal, get_args, get_type_hints

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.neural_network import MLPClassifier
from sklearn.utils._param_validation import InvalidParameterError

from skreg import (
    RegularizedMLPClassifier,
    RegularizedMLPClassifierCV,
    RegularizedMLPEnsemble,
)
from skreg._network.activations import ACTIVATIONS, ActivationName
from skreg._network.optimizers import OPTIMIZERS, OptimizerName
from skreg._training.constraints import Interval, StrOptions
from skreg._training.settings import Settings, Shared, declared

ESTIMATORS = [
    RegularizedMLPClassifier,
    RegularizedMLPClassifierCV,
    RegularizedMLPEnsemble,
]
every_estimator = pytest.mark.parametrize("estimator", ESTIMATORS)

# Those of a search that differ from those of a network.
OF_SEARCH = {"batch_size": None, "max_iter": None, "early_stopping": False}


def parameters_of(function):
    found = dict(inspect.signature(function).parameters)
    found.pop("self", None)
    return found


def of_kind(function, kind):
    return [name for name, p in parameters_of(function).items() if p.kind is kind]


# The estimators ----------------------------------------------------------------------


def test_the_parameters_have_the_positions_that_they_had():
    positional = inspect.Parameter.POSITIONAL_OR_KEYWORD
    found = [of_kind(estimator, positional) for estimator in ESTIMATORS]
    assert found == [
        ["hidden_layer_sizes", "activation"],
        ["lambds", "keep_probs"],
        ["estimator", "n_estimators"],
    ]


@every_estimator
def test_a_signature_shows_plain_types_and_defaults(estimator):
    shown = str(inspect.signature(estimator))
    assert "Annotated" not in shown
    assert "Interval" not in shown
    for parameter in parameters_of(estimator.__init__).values():
        assert parameter.annotation is not inspect.Parameter.empty
        assert not isinstance(parameter.annotation, str)
        assert parameter.default is not inspect.Parameter.empty


@every_estimator
def test_the_types_can_be_read(estimator):
    """As tools do: each annotation is a type, whichever file declares it."""
    hints = get_type_hints(estimator)
    for name in parameters_of(estimator):
        assert not isinstance(hints[name], str), name


def test_choices_are_literals():
    hints = get_type_hints(RegularizedMLPClassifier.__init__)
    assert set(get_args(hints["activation"])) == set(ACTIVATIONS)
    assert set(get_args(hints["solver"])) == {"lbfgs", *OPTIMIZERS}
    schedules = {"constant", "invscaling", "adaptive", "cosine"}
    assert set(get_args(hints["learning_rate"])) == schedules


def test_the_tables_have_the_names_of_their_types():
    assert set(get_args(ActivationName)) == set(ACTIVATIONS)
    assert set(get_args(OptimizerName)) == set(OPTIMIZERS)


@every_estimator
def test_each_parameter_has_a_constraint_and_no_other_has(estimator):
    assert set(estimator._parameter_constraints) == set(parameters_of(estimator))


def test_what_both_have_is_declared_once():
    network, search = map(parameters_of, ESTIMATORS[:2])
    for name in parameters_of(Shared):
        expected = OF_SEARCH.get(name, network[name].default)
        assert search[name].default == expected, name
        allowed = RegularizedMLPClassifierCV._parameter_constraints[name]
        of_network = Settings._parameter_constraints[name]
        assert list(map(str, allowed)) == list(map(str, of_network)), name
    assert search.keys() - network.keys() == {
        *("lambds", "keep_probs", "cv", "refit", "final_model", "n_refits", "n_jobs"),
        *("return_train_score", "oof_proba", "error_score", "early_stopping_scoring"),
    }
    assert network.keys() - search.keys() == {"lambd", "keep_prob", "warm_start"}


def test_the_defaults_that_mlpclassifier_has_are_known():
    """So that a change of one is seen: all others are those of MLPClassifier."""
    ours, theirs = map(parameters_of, (RegularizedMLPClassifier, MLPClassifier))
    other = {
        name
        for name in ours.keys() & theirs.keys()
        if ours[name].default != theirs[name].default
    }
    assert other == {
        *("hidden_layer_sizes", "learning_rate", "learning_rate_init"),
        *("early_stopping", "n_iter_no_change"),
    }


@every_estimator
def test_an_unknown_parameter_names_the_class(estimator):
    with pytest.raises(TypeError, match=rf"{estimator.__name__}.*'alpha'"):
        estimator(alpha=1.0)


@every_estimator
def test_a_class_has_no_parameter_of_its_own(estimator):
    """Else an estimator that lacks one would have the default, and show it nowhere."""
    for name in parameters_of(estimator):
        assert not hasattr(estimator, name) or name == "estimator"


# The declaration ---------------------------------------------------------------------

COUNT = Interval(Integral, 1, 9, closed="both")
SHARE = Interval(Real, 0, 1, closed="both")


@declared
class First:
    one: Annotated[int, COUNT] | Literal["auto"] = "auto"
    two: bool = False


@declared
class Second(First, BaseEstimator):
    zero: Annotated[float, SHARE] = field(default=0.5, kw_only=False)
    two: bool | None = None
    three: dict[str, Any] | Callable[..., int] | None = None

    def check(self):
        self._validate_params()


def test_a_class_inherits_what_it_does_not_declare_anew():
    parameters = parameters_of(Second)
    defaults = {name: each.default for name, each in parameters.items()}
    assert defaults == {"zero": 0.5, "one": "auto", "two": None, "three": None}
    assert of_kind(Second, inspect.Parameter.KEYWORD_ONLY) == ["one", "two", "three"]
    assert Second(0.25).get_params() == defaults | {"zero": 0.25}
    assert vars(First(one=3)) == {"one": 3, "two": False}


def test_what_is_allowed_follows_from_the_type():
    allowed = Second._parameter_constraints
    assert allowed["zero"] == [SHARE]
    assert allowed["one"][0] is COUNT
    (options,) = allowed["one"][1:]
    assert isinstance(options, StrOptions)
    assert options.options == {"auto"}
    assert allowed["two"] == ["boolean", None]
    assert allowed["three"] == [dict, callable, None]
    assert First._parameter_constraints["two"] == ["boolean"]


def test_a_signature_has_the_types_without_what_is_allowed():
    hints = get_type_hints(Second.__init__)
    assert hints["one"] == int | Literal["auto"]
    assert hints["zero"] is float


@pytest.mark.parametrize(
    "parameters",
    [
        *({"one": 0}, {"one": 10}, {"one": 1.5}, {"one": "all"}, {"two": "yes"}),
        *({"two": 2}, {"three": 1}),
    ],
    ids=str,
)
def test_what_is_not_allowed_is_refused(parameters):
    (name,) = parameters
    with pytest.raises(InvalidParameterError, match=f"'{name}' parameter of Second"):
        Second(**parameters).check()


def test_what_is_allowed_is_taken():
    for parameters in ({"one": 9}, {"two": np.True_}, {"three": len}, {"three": {}}):
        Second(**parameters).check()
