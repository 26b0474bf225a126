"""One warning of columns, of weights and of parameters that do nothing."""

from functools import partial

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_digits, load_wine
from sklearn.decomposition import PCA
from sklearn.ensemble import AdaBoostClassifier, BaggingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skreg import (
    RegularizedMLPClassifier,
    RegularizedMLPClassifierCV,
    RegularizedMLPEnsemble,
)
from skreg._training.advice import FitAdviceWarning

classifier = partial(
    RegularizedMLPClassifier,
    hidden_layer_sizes=(4,),
    learning_rate="cosine",
    max_iter=3,
    standardize=False,
    random_state=0,
)


def table(n_rows=60, n_columns=5):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, n_columns))
    return X, (X[:, 0] > 0).astype(int)


# Columns -----------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [30.0, 1e5, 1e8])
@pytest.mark.parametrize("make", [np.asarray, sparse.csr_matrix, np.float32])
def test_a_column_far_from_1_is_named(factor, make):
    X, y = table()
    X[:, 3] *= factor
    largest = f"{np.abs(X[:, 3]).max():.3g}"
    with pytest.warns(UserWarning, match="StandardScaler") as caught:
        classifier().fit(make(X), y)
    (warning,) = caught
    text = str(warning.message)
    assert text.startswith("1 of the 5 columns of X ")
    assert f"in column 3 is {largest}. " in text
    assert warning.filename == __file__


def test_the_name_of_the_column_is_told():
    X, y = load_wine(return_X_y=True, as_frame=True)
    with pytest.warns(UserWarning, match=r"column 12 \('proline'\) is 1\.68e\+03"):
        classifier().fit(X, y)


@pytest.mark.parametrize(
    "call",
    [
        lambda model, X, y: cross_val_score(model, X, y, cv=2),
        lambda model, X, y: GridSearchCV(model, {"lambd": [1.0]}, cv=2).fit(X, y),
        lambda model, X, y: make_pipeline(StandardScaler(with_std=False), model).fit(
            X, y
        ),
    ],
)
def test_the_line_of_the_user_is_named(call):
    X, y = table()
    with pytest.warns(FitAdviceWarning, match="column 2 is") as caught:
        call(classifier(), X * [1, 1, 1000, 1, 1], y)
    assert {warning.filename for warning in caught} == {__file__}


@pytest.mark.parametrize(
    "model", [classifier(), RegularizedMLPEnsemble(classifier(), 2), "search"]
)
def test_who_standardises_does_not_warn(model):
    X, y = table()
    model = search(**NETWORK) if model == "search" else clone(model)
    deep = "estimator__standardize" in model.get_params()
    model.set_params(**{"estimator__" * deep + "standardize": True})
    model.fit(X * [1e-9, 1e9, 1, 1, 1] + [0, 0, 1e4, 0, 0], y)


def test_a_warm_start_does_not_warn_again():
    X, y = table()
    X[:, 2] *= 1000
    model = classifier(warm_start=True)
    with pytest.warns(UserWarning, match="column 2 is"):
        model.fit(X, y)
    model.fit(X, y)


def test_one_warning_of_the_training_and_one_of_the_rows():
    X, y = table()
    X[:, 1] *= 100
    with pytest.warns((ConvergenceWarning, FitAdviceWarning)) as caught:
        classifier(learning_rate="constant").fit(X, y)
    of_training, of_rows = caught
    assert of_training.category is ConvergenceWarning
    assert of_training.filename == of_rows.filename == __file__
    assert "StandardScaler" in str(of_rows.message)


@pytest.mark.parametrize("factor", [1e-6, 0.004, 0.02])
def test_all_columns_may_be_too_small(factor):
    X, y = table()
    X = np.clip(X, -2, 2) * factor
    with pytest.warns(UserWarning, match="^5 of the 5 columns of X"):
        classifier().fit(X, y)


@pytest.mark.parametrize("offset", [5.0, 19.0])
def test_columns_far_from_zero_for_their_spread(offset):
    X, y = table()
    X[:, 2] = 0.1 * X[:, 2] + offset
    with pytest.warns(UserWarning, match="^1 of the 5 columns .* in column 2 is"):
        classifier().fit(X, y)


@pytest.mark.parametrize(
    ("root", "mean", "warns"),
    [(19.9, 0, False), (20.1, 0, True), (4, 0.97, False), (4, 0.999, True)],
)
def test_the_limits_of_a_column(root, mean, warns):
    """Its root mean square, and the part of it that the mean is."""
    X, y = table()
    column = X[:, 1] - X[:, 1].mean()
    column *= root * np.sqrt(1 - mean**2) / column.std()
    X[:, 1] = column + root * mean
    model = classifier()
    if not warns:
        model.fit(X, y)
        return
    with pytest.warns(UserWarning, match="in column 1 is"):
        model.fit(X, y)


def test_the_worst_of_the_wrong_columns_is_named():
    X, y = table()
    X[:, 0] *= 1e-5
    X[:, 1] *= 100
    X[:, 4] *= 50
    with pytest.warns(UserWarning, match="^2 of the 5 columns .* in column 1 is"):
        classifier().fit(X, y)


def test_rows_of_weight_zero_are_not_looked_at():
    X, y = table()
    weight = np.ones(60)
    weight[::7] = 0
    good = X.copy()
    X[::7] *= 1e6
    classifier().fit(X, y, weight)
    good[1] *= 1e6
    with pytest.warns(UserWarning, match="^5 of the 5 columns"):
        classifier().fit(good, y, weight)


def test_what_learns_well_is_not_warned_of():
    X, y = table()
    X[:, 0] = np.where(np.arange(60) < 59, 0, 60**0.5)  # the most that a z-score is
    X[:, 1] = 0
    X[:, 2] = 1
    classifier().fit(X, y)
    # What is left of constant columns is numerical dust.
    X[:, 1], X[:, 2] = 0.1, 0.7
    classifier().fit(StandardScaler().fit_transform(X * 1e6), y)
    classifier().fit(PCA().fit_transform(np.c_[X, X[:, 3] + X[:, 4]]), y)
    words = np.random.default_rng(0).zipf(1.5, size=(60, 200)).clip(max=3000)
    texts = [" ".join(f"word{word}" for word in row) for row in words]
    classifier().fit(TfidfVectorizer().fit_transform(texts), y)
    rare = sparse.csr_matrix((np.ones(60), (np.arange(60), np.arange(60))))
    classifier().fit(rare, y)
    images = np.random.default_rng(0).integers(0, 256, size=(60, 20)) / 255
    images[:, 0] = 0
    images[7, 0] = 1 / 255
    classifier().fit(images, y)
    often = (np.random.default_rng(0).random((60, 4)) < 0.995).astype(float)
    classifier().fit(np.c_[X, often], y)


def test_partial_fit_warns_in_the_first_call():
    X, y = table()
    X[:, 2] *= 1000
    model = classifier()
    with pytest.warns(UserWarning, match="column 2 is") as caught:
        model.partial_fit(X, y, classes=[0, 1])
    (warning,) = caught
    assert warning.filename == __file__
    model.partial_fit(X, y)


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("refit", [True, False])
@pytest.mark.parametrize("lambds", [(0.1, 1.0), (1.0,)])
def test_a_search_warns_once(make, refit, lambds):
    X, y = table()
    X[:, 2] *= 1000
    search = RegularizedMLPClassifierCV(
        lambds,
        (1.0,),
        hidden_layer_sizes=(4,),
        max_iter=3,
        refit=refit,
        n_refits=2,
        standardize=False,
    )
    with pytest.warns(UserWarning, match="column 2 is") as caught:
        search.fit(make(X), y)
    (warning,) = caught
    assert warning.filename == __file__


def test_a_column_of_zeros_among_small_ones_in_float32():
    X = np.zeros((60, 2), dtype=np.float32)
    X[0, 0] = 0.05
    with pytest.warns(UserWarning, match="^1 of the 2 columns .* in column 0 is 0.05"):
        classifier().fit(X, np.arange(60) % 2)


# Weights -----------------------------------------------------------------------------


def search(**parameters):
    return RegularizedMLPClassifierCV(
        (0.2, 1.0), (1.0,), cv=2, n_refits=2, **parameters
    )


NETWORK = {"hidden_layer_sizes": (4,), "max_iter": 3, "random_state": 0}
ESTIMATORS = {
    "network": classifier(),
    "sgd": classifier(solver="sgd", learning_rate_init=1e-5),
    "ensemble": RegularizedMLPEnsemble(classifier(), 2),
    "search": search(**NETWORK),
    "no refit": search(refit=False, **NETWORK),
}


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize(
    ("mean", "times"), [(1 / 60, "60 times as strong"), (250.0, "250 times weaker")]
)
def test_weights_far_from_1_are_told_with_lambd_and_the_factor(name, mean, times):
    X, y = table()
    given, value = "lambd", r"1\.0"
    if isinstance(ESTIMATORS[name], RegularizedMLPClassifierCV):
        given, value = "lambds", r"\(0\.2, 1\.0\)"
    why = f"have a mean of {mean:.3g}, .*: {given}={value} is {times} .* Divide sample"
    with pytest.warns(FitAdviceWarning, match=why) as caught:
        ESTIMATORS[name].fit(X, y, sample_weight=np.full(60, mean))
    (warning,) = caught
    assert warning.filename == __file__


def test_later_calls_may_have_other_weights():
    X, y = table()
    warm = classifier(warm_start=True).fit(X, y)
    part = classifier().partial_fit(X, y, classes=[0, 1])
    for call in (warm.fit, part.partial_fit):
        with pytest.warns(FitAdviceWarning, match="is 60 times as strong"):
            call(X, y, sample_weight=np.full(60, 1 / 60))


def test_an_array_of_strengths_is_shown_as_numbers():
    X, y = table()
    of = search(**NETWORK).set_params(lambds=np.array([0.2, 1.0]))
    with pytest.warns(FitAdviceWarning, match=r"lambds=\[0\.2, 1\.0\] is 60 times"):
        of.fit(X, y, sample_weight=np.full(60, 1 / 60))


def test_class_weights_are_weights():
    X, y = table()
    model = classifier(class_weight={0: 1 / 30, 1: 1 / 30})
    with pytest.warns(FitAdviceWarning, match=r"mean of 0\.03.*\(or class_weight\)"):
        model.fit(X, y)
    with pytest.warns(FitAdviceWarning, match=r"mean of 0\.03"):
        clone(model).partial_fit(X, y, classes=[0, 1])
    classifier(class_weight="balanced").fit(X, y)


@pytest.mark.parametrize(
    ("lambd", "mean", "warns"),
    [
        (1.0, 0.099, True),
        (1.0, 0.101, False),
        (1.0, 9.9, False),
        (1.0, 10.1, True),
        (0.0, 1e-6, False),
        (0.0, 1e6, False),
        # Chosen for these weights.
        (1e-6, 1e-6, False),
        (9e-6, 1e-6, False),
        (11e-6, 1e-6, True),
        (1e6, 1e6, False),
        ((0.0, 1.0), 0.01, True),
        ((0.0, 0.01), 0.01, False),
    ],
)
def test_which_weights_are_far_from_1(lambd, mean, warns):
    X, y = table()
    # Rows of weight 0 are no rows.
    weight = np.r_[np.full(30, mean), np.zeros(30)]
    model = classifier(lambd=lambd)
    if not warns:
        model.fit(X, y, sample_weight=weight)
        return
    with pytest.warns(FitAdviceWarning, match="The weights of the rows have a mean of"):
        model.fit(X, y, sample_weight=weight)


def test_a_search_that_tries_a_lambd_for_such_weights_is_silent():
    X, y = table()
    parameters = {"cv": 2, "n_refits": 1, **NETWORK}
    tried = RegularizedMLPClassifierCV((0.001, 1.0), (1.0,), **parameters)
    tried.fit(X, y, sample_weight=np.full(60, 0.001))
    tried = RegularizedMLPClassifierCV((1.0, 1000.0), (1.0,), **parameters)
    tried.fit(X, y, sample_weight=np.full(60, 1000.0))
    layers = [(0.001, 0.0), (1.0, 1.0)]
    tried = RegularizedMLPClassifierCV(layers, (1.0,), **parameters)
    tried.fit(X, y, sample_weight=np.full(60, 0.001))


def test_adaboost_is_warned_of_and_works_as_documented():
    """Its weights add up to one: at first they are all 1 / n."""
    X, y = load_digits(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    rows, others = slice(0, 300), slice(300, 800)
    network = RegularizedMLPClassifier((20,), max_iter=60, random_state=0)
    boosted = AdaBoostClassifier(network, n_estimators=2, random_state=0)
    with pytest.warns(FitAdviceWarning, match="lambd=1.0 is 300 times as strong"):
        boosted.fit(X[rows], y[rows])
    assert boosted.score(X[others], y[others]) < 0.5
    boosted.set_params(estimator__lambd=1 / 300).fit(X[rows], y[rows])
    assert boosted.score(X[others], y[others]) > 0.75


# Parameters that do nothing ----------------------------------------------------------

SET = {
    "validation_fraction": 0.3,
    "n_validation_splits": 3,
    "early_stopping_refit": True,
    "scoring": "accuracy",
}


@pytest.mark.parametrize("name", SET)
@pytest.mark.parametrize("early_stopping", [False, "auto"])
def test_what_is_for_early_stopping_does_nothing_without_it(name, early_stopping):
    X, y = table(30)
    why = f"^{name}={SET[name]!r} does nothing, since early_stopping={early_stopping!r}"
    model = classifier(early_stopping=early_stopping, **{name: SET[name]})
    with pytest.warns(FitAdviceWarning, match=why) as caught:
        model.fit(X, y)
    (warning,) = caught
    assert warning.filename == __file__
    with pytest.warns(FitAdviceWarning, match=why):
        RegularizedMLPEnsemble(model, 2).fit(X, y)
    # Rows are set aside of these.
    X, y = table(120)
    model.set_params(early_stopping=early_stopping or True).fit(X, y)


def test_lbfgs_without_early_stopping_says_so_too():
    X, y = table()
    model = classifier(solver="lbfgs", max_iter=200, early_stopping=False, **SET)
    with pytest.warns(FitAdviceWarning, match="do nothing, since early_stopping=False"):
        model.fit(X, y)


def test_one_warning_of_all_that_does_nothing():
    X, y = table()
    why = "^validation_fraction=0.3 and n_validation_splits=3 and .* do nothing"
    with pytest.warns(FitAdviceWarning, match=why):
        classifier(early_stopping=False, **SET).fit(X, y)
    X[:, 0] *= 100
    with pytest.warns(FitAdviceWarning, match="column 0 .* do nothing") as caught:
        classifier(early_stopping=False, **SET).fit(X, y)
    assert len(caught) == 1


@pytest.mark.parametrize("refit", [True, False])
def test_a_search_says_once_what_does_nothing_by_its_own_name(refit):
    X, y = table()
    of = search(early_stopping_scoring="accuracy", refit=refit, **NETWORK)
    why = "^early_stopping_scoring='accuracy' does nothing, since early_stopping=False"
    with pytest.warns(FitAdviceWarning, match=why) as caught:
        of.fit(X, y)
    (warning,) = caught
    assert warning.filename == __file__
    of.set_params(early_stopping=True).fit(X, y)


@pytest.mark.parametrize(
    ("parameters", "names"),
    [
        ({"validation_fraction": 0.3}, "validation_fraction=0.3 does"),
        ({"n_validation_splits": 2}, "n_validation_splits=2 does"),
        ({"early_stopping_refit": True}, "early_stopping_refit=True does"),
    ],
)
def test_given_rows_take_the_place_of_those_set_aside(parameters, names):
    X, y = table(120)
    validation = {"X_val": X[:20], "y_val": y[:20]}
    with pytest.warns(FitAdviceWarning, match=f"^{names} nothing, since X_val takes"):
        classifier(**parameters).fit(X, y, **validation)
    classifier(scoring="accuracy", n_validation_splits=1).fit(X, y, **validation)


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"warm_start": True}, "warm_start=True"),
        ({"learning_rate": "adaptive"}, "learning_rate='adaptive'"),
    ],
)
def test_a_refit_that_there_cannot_be(parameters, reason):
    X, y = table(120)
    model = classifier(early_stopping_refit=True, max_iter=60, tol=0.5, **parameters)
    model.set_params(n_iter_no_change=1)
    with pytest.warns(
        FitAdviceWarning, match=f"^early_stopping_refit=True .* {reason}"
    ):
        model.fit(X, y)
    assert not model.refit_


def test_what_is_as_it_was_set_or_of_another_solver_is_not_told():
    X, y = table()
    silent = [
        {"early_stopping_refit": False, "n_validation_splits": 1},
        {"validation_fraction": 0.0},
        {"scoring": "accuracy", "train_scores": True},
        # 'auto' is for the other solvers, and a search over solvers has all of these.
        {"solver": "lbfgs", "max_iter": 200, **SET},
        {"momentum": 0.5, "power_t": 0.3, "nesterovs_momentum": False},
        {"solver": "sgd", "beta_1": 0.5, "epsilon": 1e-6, "max_fun": 7},
    ]
    for parameters in silent:
        classifier(**parameters).fit(X, y)
    # A constant model has no training.
    classifier(early_stopping=False, **SET).fit(X, np.zeros(60))
    grid = {"solver": ["sgd", "adam"], "momentum": [0.5, 0.9], "beta_1": [0.5]}
    GridSearchCV(
        make_pipeline(classifier()),
        {f"regularizedmlpclassifier__{name}": values for name, values in grid.items()},
        cv=2,
    ).fit(X, y)


# Many fits ---------------------------------------------------------------------------


@pytest.mark.parametrize("model", [classifier(), search(**NETWORK)])
def test_all_fits_of_a_loop_warn_once(model):
    """scikit-learn sets the filters anew for each, so that all would be shown."""
    X, y = table(120)
    given = {"scoring": "accuracy", "early_stopping": False}
    if isinstance(model, RegularizedMLPClassifierCV):
        given = {"early_stopping_scoring": "accuracy"}
    model = clone(model).set_params(**given)
    # A second loop says it again.
    for _ in range(2):
        with pytest.warns(FitAdviceWarning, match="does nothing") as caught:
            cross_val_score(model, X, y, cv=5)
        (warning,) = caught
        assert warning.filename == __file__


def test_loops_within_loops_warn_once():
    X, y = table(120)
    model = classifier(scoring="accuracy", early_stopping=False)
    inner = GridSearchCV(model, {"lambd": [0.1, 1.0]}, cv=2)
    with pytest.warns(FitAdviceWarning, match="does nothing") as caught:
        cross_val_score(inner, X, y, cv=3)
    assert len(caught) == 1


def test_a_bagging_warns_once():
    X, y = table(120)
    model = classifier(scoring="accuracy", early_stopping=False)
    with pytest.warns(FitAdviceWarning, match="does nothing") as caught:
        BaggingClassifier(model, 5, random_state=0).fit(X, y)
    assert len(caught) == 1
