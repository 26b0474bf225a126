"""Unknown names: the error says what they are called here."""

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
from skreg._training.hints import _TABLE

ESTIMATORS = [
    RegularizedMLPClassifier,
    RegularizedMLPClassifierCV,
    RegularizedMLPEnsemble,
]
every_estimator = pytest.mark.parametrize("estimator", ESTIMATORS)

# Ours → what it is called elsewhere.
ELSEWHERE = {
    "hidden_layer_sizes": "hidden_layers hidden_units layers units",
    "lambd": "C alpha l2 optimizer__weight_decay reg_lambda regularisation WeightDecay",
    "keep_prob": "dropout dropout_rate module__dropout p p_dropout",
    "max_iter": "epochs max_epochs n_epochs n_iter num_epochs",
    "learning_rate_init": "eta lr lr_init optimizer__lr",
    "learning_rate": "learning_rate_schedule lr_schedule",
    "solver": "optimizer",
    "n_iter_no_change": "early_stopping_rounds patience",
    "tol": "min_delta",
    "batch_size": "bs",
    "random_state": "random_seed seed",
    "activation": "activation_fn activation_function",
    "class_weight": "scale_pos_weight",
    "scoring": "eval_metric metrics",
    "validation_fraction": "validation_split",
    "epsilon": "eps",
    "nesterovs_momentum": "nesterov",
}
NAMES = [(ours, name) for ours, names in ELSEWHERE.items() for name in names.split()]
OF_SEARCH = {
    "lambd": "lambds",
    "keep_prob": "keep_probs",
    "scoring": "early_stopping_scoring",
}


def refused(call, error=TypeError, **arguments):
    with pytest.raises(error) as caught:
        call(**arguments)
    return str(caught.value)


# Parameters --------------------------------------------------------------------------


@pytest.mark.parametrize(("ours", "name"), NAMES)
def test_a_name_from_elsewhere(ours, name):
    text = refused(RegularizedMLPClassifier, **{name: 1})
    start = "RegularizedMLPClassifier.__init__() got an unexpected keyword argument "
    assert re.match(rf"{re.escape(start)}'{name}'\. Use {ours}[:.]", text)
    text = refused(RegularizedMLPClassifierCV, **{name: 1})
    assert re.search(rf"'{name}'\. Use {OF_SEARCH.get(ours, ours)}[:.]", text)
    text = refused(RegularizedMLPEnsemble, **{name: 1})
    where = f"estimator=RegularizedMLPClassifier({ours}=...)"
    assert f"Use {'random_state' if ours == 'random_state' else where}" in text


@pytest.mark.parametrize(
    ("estimator", "name", "hint"),
    [
        (RegularizedMLPClassifierCV, "alphas", "Use lambds:"),
        (RegularizedMLPClassifierCV, "n_estimators", "Use n_refits."),
        (RegularizedMLPClassifierCV, "n_folds", "Use cv."),
        (RegularizedMLPEnsemble, "base_estimator", "Use estimator."),
        (RegularizedMLPEnsemble, "n_models", "Use n_estimators."),
        (RegularizedMLPClassifier, "eval_set", "Use fit(X, y, X_val=...)"),
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


@pytest.mark.parametrize("name", ["callbacks", "device", "loss"])
@every_estimator
def test_what_there_is_not(estimator, name):
    text = refused(estimator, **{name: 1})
    assert re.search(rf"'{name}'\. \w.+\.$", text)
    assert "Use " not in text


@pytest.mark.parametrize(
    ("estimator", "name", "closest"),
    [
        (RegularizedMLPClassifier, "early_stoping", "early_stopping"),
        (RegularizedMLPClassifier, "hidden_layer_sizess", "hidden_layer_sizes"),
        (RegularizedMLPClassifier, "batchSize", "batch_size"),
        (RegularizedMLPClassifier, "class_weights", "class_weight"),
        (RegularizedMLPClassifier, "lambds", "lambd"),
        (RegularizedMLPClassifier, "sample_weights", "fit(X, y, sample_weight=...)"),
        (RegularizedMLPClassifierCV, "keep_prob", "keep_probs"),
        (
            RegularizedMLPEnsemble,
            "verbos",
            "estimator=RegularizedMLPClassifier(verbose=...)",
        ),
    ],
)
def test_a_slip(estimator, name, closest):
    text = refused(estimator, **{name: 1})
    assert text.endswith(f"'{name}'. Did you mean {closest}?")


@pytest.mark.parametrize(
    "name",
    [
        *("x", "_", "max_depth", "decay", "train_size", "grow_policy", "workers"),
        *("quiet", "gradient_clip", "max_grad_norm", "ema_decay", "loss_weights"),
    ],
)
@every_estimator
def test_a_name_that_means_nothing_here_has_the_plain_error(estimator, name):
    text = refused(estimator, **{name: 1})
    start = f"{estimator.__name__}.__init__() got an unexpected keyword argument"
    assert text == f"{start} '{name}'."


def test_the_table_has_names_that_there_are():
    known = {name for each in ESTIMATORS for name in signature(each).parameters}
    for estimator in ESTIMATORS:
        arguments = set(list(signature(estimator.fit).parameters)[3:]) - {"params"}
        hinted = {f"fit(X, y, {name}=...)" for name in arguments}
        assert hinted <= set(estimator._elsewhere.values())
        known |= arguments
    names = []
    for ours, theirs, note in _TABLE:
        assert set(ours.split()) <= known
        assert ours or note
        names += theirs.split()
    assert len(names) == len(set(names))
    assert set(names) & known == {"n_estimators"}


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
    X = np.arange(20.0).reshape(-1, 1)
    pipe = make_pipeline(RegularizedMLPClassifier())
    nested = "regularizedmlpclassifier__dropout"
    hint = "Use keep_prob: keep_prob is 1 - dropout."
    assert hint in refused(pipe.set_params, ValueError, **{nested: 1})
    for model, name in ((pipe, nested), (pipe[-1], "dropout")):
        search = GridSearchCV(model, {name: [0.1, 0.2]})
        assert hint in refused(partial(search.fit, X, X[:, 0] > 9), ValueError)


def test_the_network_of_an_ensemble():
    model = RegularizedMLPEnsemble()
    hint = "Did you mean estimator=RegularizedMLPClassifier(lambd=...)?"
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


# fit ---------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [1, 0.01, np.float32(0.01)], ids=repr)
@pytest.mark.parametrize("estimator", ESTIMATORS[:2])
def test_a_number_as_the_schedule(estimator, rate):
    text = refused(estimator(learning_rate=rate).fit, ValueError, X=1, y=1)
    assert text.startswith(f"learning_rate={rate!r}: ")
    assert text.endswith("The number is learning_rate_init.")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("epochs", "Use RegularizedMLPClassifierCV(max_iter=...): the largest"),
        ("max_iter", "Did you mean RegularizedMLPClassifierCV(max_iter=...)?"),
        ("validation_data", "Use fit(X, y, X_val=...): X_val, y_val and"),
        ("sample_weights", "Did you mean fit(X, y, sample_weight=...)?"),
        ("foo", "Besides its own it takes groups;"),
    ],
)
def test_an_argument_of_the_fit_of_a_search(name, hint):
    X = np.arange(20.0).reshape(-1, 1)
    fit = partial(RegularizedMLPClassifierCV().fit, X, X[:, 0] > 9)
    text = refused(fit, **{name: 1})
    assert text.startswith(f"fit() got unexpected arguments ['{name}']. {hint}")
