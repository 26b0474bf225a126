"""Unknown names and values: the error says what they are called here."""

import re
from functools import partial
from inspect import signature

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skreg import (
    RegularizedMLPClassifier,
    RegularizedMLPClassifierCV,
    RegularizedMLPEnsemble,
)
from skreg._training.constraints import StrOptions
from skreg._training.hints import _TABLE, _plain

ESTIMATORS = [
    RegularizedMLPClassifier,
    RegularizedMLPClassifierCV,
    RegularizedMLPEnsemble,
]
every_estimator = pytest.mark.parametrize("estimator", ESTIMATORS)

# Ours → what it is called elsewhere.
ELSEWHERE = {
    "hidden_layer_sizes": "hidden_layer_size hidden_layers hidden_units layers units",
    "lambd": "C alpha l2 optimizer__weight_decay penalty reg_lambda weight_decay",
    "keep_prob": "dropout dropout_rate module__dropout p p_dropout",
    "max_iter": "epochs max_epochs n_epochs n_iter num_epochs",
    "learning_rate_init": "eta lr lr_init optimizer__lr",
    "learning_rate": "learning_rate_schedule lr_schedule",
    "solver": "optimizer",
    "n_iter_no_change": "early_stopping_rounds patience",
    "tol": "min_delta",
    "batch_size": "batchSize batchsize bs",
    "random_state": "random_seed seed",
    "activation": "activation_fn activation_function",
    "class_weight": "class_weights scale_pos_weight",
    "scoring": "eval_metric metrics",
    "validation_fraction": "validation_split",
    "epsilon": "eps",
    "nesterovs_momentum": "nesterov",
}
NAMES = [(ours, name) for ours, names in ELSEWHERE.items() for name in names.split()]


def data():
    X = np.random.default_rng(0).normal(size=(20, 3))
    return X, (X[:, 0] > 0).astype(int)


def refused(call, error=TypeError, **arguments):
    with pytest.raises(error) as caught:
        call(**arguments)
    return str(caught.value)


# Names of parameters -----------------------------------------------------------------


@pytest.mark.parametrize(("ours", "name"), NAMES)
def test_a_name_from_elsewhere(ours, name):
    text = refused(RegularizedMLPClassifier, **{name: 1})
    start = "RegularizedMLPClassifier.__init__() got an unexpected keyword argument "
    assert text.startswith(f"{start}'{name}'. Use {ours}")


@pytest.mark.parametrize(("ours", "name"), NAMES)
def test_the_search_has_names_of_its_own(ours, name):
    own = {
        "lambd": "lambds",
        "keep_prob": "keep_probs",
        "scoring": "early_stopping_scoring",
    }
    text = refused(RegularizedMLPClassifierCV, **{name: 1})
    assert re.search(rf"'{name}'. Use {own.get(ours, ours)}\b", text)


@pytest.mark.parametrize(("ours", "name"), NAMES)
def test_the_parameters_of_an_ensemble_are_those_of_its_network(ours, name):
    text = refused(RegularizedMLPEnsemble, **{name: 1})
    where = f"estimator=RegularizedMLPClassifier({ours}=...)"
    assert f"Use {'random_state' if ours == 'random_state' else where}" in text


@pytest.mark.parametrize(
    ("estimator", "name", "hint"),
    [
        (RegularizedMLPClassifierCV, "lambd", "Use lambds."),
        (RegularizedMLPClassifierCV, "keep_prob", "Use keep_probs."),
        (RegularizedMLPClassifierCV, "alphas", "Use lambds:"),
        (RegularizedMLPClassifierCV, "n_estimators", "Use n_refits."),
        (RegularizedMLPClassifierCV, "param_grid", "Use lambds: lambds and keep_probs"),
        (RegularizedMLPClassifierCV, "estimator", "Use lambds: lambds and keep_probs"),
        (RegularizedMLPClassifierCV, "n_folds", "Use cv."),
        (RegularizedMLPEnsemble, "base_estimator", "Use estimator."),
        (RegularizedMLPEnsemble, "n_models", "Use n_estimators."),
        (RegularizedMLPClassifier, "lambds", "Use lambd."),
        (RegularizedMLPClassifier, "n_estimators", "RegularizedMLPEnsemble(n_estimat"),
        (RegularizedMLPClassifier, "cv", "Use RegularizedMLPClassifierCV(cv=...)."),
        (RegularizedMLPClassifier, "validation_data", "Use fit(X, y, X_val=...)"),
        (RegularizedMLPClassifier, "eval_set", "Use fit(X, y, X_val=...)"),
        (RegularizedMLPClassifier, "sample_weights", "fit(X, y, sample_weight=...)"),
    ],
)
def test_a_parameter_of_another_place(estimator, name, hint):
    assert hint in refused(estimator, **{name: 1})


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("dropout", "keep_prob is 1 - dropout."),
        ("alpha", "alpha * the number of batches in an epoch, alpha itself in full"),
        ("weight_decay", "lambd is weight_decay * the number of training rows."),
        ("C", "lambd is 1 / C."),
        ("input_dropout", "input_keep_prob is 1 - input_dropout."),
    ],
)
@every_estimator
def test_the_value_is_converted(estimator, name, how):
    assert how in refused(estimator, **{name: 0.5})


@pytest.mark.parametrize("name", ["callbacks", "device", "loss", "n_inputs", "l1"])
@every_estimator
def test_what_there_is_not(estimator, name):
    text = refused(estimator, **{name: 1})
    assert re.search(rf"'{name}'\. \w.+\.$", text)
    assert "Use " not in text


@pytest.mark.parametrize(
    ("name", "closest"),
    [
        ("early_stoping", "early_stopping"),
        ("hidden_layer_sizess", "hidden_layer_sizes"),
        ("verbos", "verbose"),
        ("lamda", "lambd"),
        ("regularisation", "lambd"),
    ],
)
def test_a_slip(name, closest):
    text = refused(RegularizedMLPClassifier, **{name: 1})
    assert text.endswith(f"'{name}'. Did you mean {closest}?")


@pytest.mark.parametrize("name", ["foo", "max_depth", "tree_method", "x", "_"])
@every_estimator
def test_a_name_like_no_other_has_the_plain_error(estimator, name):
    text = refused(estimator, **{name: 1})
    start = f"{estimator.__name__}.__init__() got an unexpected keyword argument"
    assert text == f"{start} '{name}'."


def test_the_table_has_names_that_there_are():
    known = {"X_val", "y_val", "sample_weight", "sample_weight_val"}
    for estimator in ESTIMATORS:
        for name, constraints in estimator._parameter_constraints.items():
            known.add(name)
            for each in constraints:
                known |= each.options if isinstance(each, StrOptions) else set()
    for ours, theirs, note in _TABLE:
        assert set(ours.split()) <= known
        assert ours or note
        assert not set(map(_plain, theirs.split())) & set(map(_plain, ours.split()))


def test_a_name_from_elsewhere_stands_for_one_thing():
    """But for parameters and values, which never meet, and the estimator's own."""
    parameters = {name for e in ESTIMATORS for name in signature(e).parameters}
    found = {}
    for ours, theirs, _ in _TABLE:
        of_values = bool(ours) and not set(ours.split()) & parameters
        for name in theirs.split():
            found.setdefault((_plain(name), of_values), []).append(ours)
    assert [name for name, rows in found.items() if len(rows) > 1] == []


# set_params --------------------------------------------------------------------------


@every_estimator
def test_set_params_sets_nothing_if_a_name_is_unknown(estimator):
    model = estimator()
    before = model.get_params()
    text = refused(model.set_params, ValueError, random_state=1, alpha=0.5)
    assert text.startswith(f"Invalid parameter 'alpha' for estimator {model}. Valid")
    assert f"{sorted(model.get_params(deep=False))}. Use " in text
    assert "alpha * the number of batches" in text
    assert model.get_params() == before


def test_a_name_in_a_pipeline_or_a_search():
    X, y = data()
    pipe = make_pipeline(RegularizedMLPClassifier())
    nested = "regularizedmlpclassifier__dropout"
    hint = "Use keep_prob: keep_prob is 1 - dropout."
    assert hint in refused(pipe.set_params, ValueError, **{nested: 1})
    for model, name in ((pipe, nested), (pipe[-1], "dropout")):
        search = GridSearchCV(model, {name: [0.1, 0.2]})
        assert hint in refused(partial(search.fit, X, y), ValueError)


def test_the_network_of_an_ensemble():
    model = RegularizedMLPEnsemble()
    hint = "Use estimator=RegularizedMLPClassifier(lambd=...)."
    assert hint in refused(model.set_params, ValueError, estimator__lambd=2.0)
    network = RegularizedMLPClassifier()
    model.set_params(estimator=network, estimator__lambd=2.0)
    assert model.estimator.lambd == 2.0
    text = refused(model.set_params, ValueError, estimator__alpha=2.0)
    assert "for estimator RegularizedMLPClassifier(lambd=2.0)" in text
    assert clone(model).estimator.lambd == 2.0


def test_a_number_has_no_parameters():
    text = refused(RegularizedMLPClassifier().set_params, ValueError, lambd__x=1)
    assert text.startswith("Invalid parameter 'lambd__x' for estimator")


# Values ------------------------------------------------------------------------------


class ReLU:
    """As torch.nn has it."""


@pytest.mark.parametrize(
    ("parameters", "hint"),
    [
        ({"learning_rate": 0.01}, "The number is learning_rate_init, this its schedul"),
        ({"learning_rate": "CosineAnnealingLR"}, "Use 'cosine'."),
        ({"solver": "SGD"}, "Use 'sgd'."),
        ({"solver": "adamw"}, "Use 'adam': lambd is in the gradient"),
        ({"activation": "ReLU"}, "Use 'relu'."),
        ({"activation": ReLU}, "Use 'relu'."),
        ({"activation": "sigmoid"}, "Use 'logistic'."),
        ({"activation": "linear"}, "Use 'identity'."),
        ({"activation": "gelu"}, "Use 'relu': the nearest"),
        ({"activation": "logistics"}, "Did you mean 'logistic'?"),
        ({"batch_size": "Full"}, "Use 'full'."),
        ({"class_weight": "balance"}, "Did you mean 'balanced'?"),
        ({"scoring": "acuracy"}, "Did you mean 'accuracy'?"),
        ({"early_stopping": 5}, "The epochs without an improvement are n_iter_no_chan"),
        ({"keep_prob": 0}, "It is 1 - dropout: 1 drops nothing"),
        ({"keep_prob": 50}, "It is 1 - dropout: 1 drops nothing"),
    ],
    ids=str,
)
def test_a_value_from_elsewhere(parameters, hint):
    (name,) = parameters
    text = refused(RegularizedMLPClassifier(**parameters).fit, ValueError, X=1, y=1)
    assert text.startswith(f"The '{name}' parameter of RegularizedMLPClassifier must")
    assert f" instead. {hint}" in text


@pytest.mark.parametrize(
    "parameters",
    [
        *({"solver": "foo"}, {"solver": None}, {"solver": "patience"}),
        *({"hidden_layer_sizes": 0}, {"max_iter": 0}, {"max_iter": 1.5}),
    ],
    ids=str,
)
def test_a_value_like_no_other_has_the_plain_error(parameters):
    text = refused(RegularizedMLPClassifier(**parameters).fit, ValueError, X=1, y=1)
    assert text.endswith(" instead.")


# Arguments of fit --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("epochs", "Use RegularizedMLPClassifierCV(max_iter=...)"),
        ("validation_data", "Use fit(X, y, X_val=...)"),
        ("eval_set", "Use fit(X, y, X_val=...)"),
        ("X_valid", "Use fit(X, y, X_val=...)"),
        ("sample_weights", "Use fit(X, y, sample_weight=...)."),
    ],
)
def test_an_argument_of_the_fit_of_a_search(name, hint):
    X, y = data()
    text = refused(RegularizedMLPClassifierCV().fit, X=X, y=y, **{name: 1})
    assert text.startswith(f"fit() got unexpected arguments ['{name}']. {hint}")
