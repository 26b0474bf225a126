"""Inside scikit-learn's searches, ensembles and pipelines, and beside pandas."""

import copy
import io
import pickle
from functools import partial

import helpers
import joblib
import numpy as np
import pandas as pd
import polars
import pytest
from helpers import assert_same_model
from sklearn import config_context
from sklearn.base import clone, is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_selection import SelectFromModel
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    RandomizedSearchCV,
    StratifiedKFold,
    cross_val_predict,
    cross_validate,
    learning_curve,
)
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from skreg import RegularizedMLPClassifier

small = partial(helpers.small, hidden_layer_sizes=(8,), max_iter=15)

try:
    import cloudpickle
except ImportError:  # older versions of joblib have it inside
    from joblib.externals import cloudpickle

GRID = {
    "regularizedmlpclassifier__lambd": [0.01, 10.0],
    "regularizedmlpclassifier__keep_prob": [0.7, 1.0],
}


@pytest.fixture(scope="module")
def cancer():
    X, y = load_breast_cancer(return_X_y=True)
    return StandardScaler().fit_transform(X)[:120], y[:120]


@pytest.fixture(scope="module")
def iris_frame():
    frame = load_iris(as_frame=True)
    return frame.data, frame.target


# Searches ----------------------------------------------------------------------------


def scores_of(search):
    names = [k for k in search.cv_results_ if "score" in k and "time" not in k]
    assert len(names) > 5
    return {name: np.asarray(search.cv_results_[name], dtype=float) for name in names}


def searched(cancer, n_jobs, n_threads):
    """A grid search; ``n_threads`` of BLAS, or None for as many as there are."""
    X, y = cancer
    pipeline = make_pipeline(StandardScaler(), small(hidden_layer_sizes=(16, 8)))
    search = GridSearchCV(pipeline, GRID, scoring="neg_log_loss", cv=3, n_jobs=n_jobs)
    with (
        threadpool_limits(n_threads, "blas"),
        joblib.parallel_config("loky", inner_max_num_threads=n_threads),
    ):
        return search.fit(X, y)


@pytest.fixture(scope="module")
def searched_by_one(cancer):
    return searched(cancer, n_jobs=1, n_threads=1)


@pytest.fixture(scope="module")
def searched_by_two(cancer):
    return searched(cancer, n_jobs=2, n_threads=1)


@pytest.mark.slow
def test_a_grid_search_gives_the_same_scores_with_two_jobs(cancer, searched_by_two):
    """Two jobs with a thread each, and one job with all threads."""
    alone = scores_of(searched(cancer, n_jobs=1, n_threads=None))
    shared = scores_of(searched_by_two)
    for name in alone:
        np.testing.assert_allclose(alone[name], shared[name], rtol=0, atol=1e-9)


@pytest.mark.slow
def test_with_one_blas_thread_the_scores_are_the_same_bit_for_bit(
    searched_by_one, searched_by_two
):
    alone, shared = scores_of(searched_by_one), scores_of(searched_by_two)
    for name in alone:
        np.testing.assert_array_equal(alone[name], shared[name])


def test_the_search_scores_what_its_settings_predict(searched_by_one, cancer):
    """Every cell of the grid, fold by fold, from an estimator fitted by hand."""
    X, y = cancer
    search = searched_by_one
    folds = list(StratifiedKFold(3).split(X, y))
    assert len(search.cv_results_["params"]) == 4
    for i, parameters in enumerate(search.cv_results_["params"]):
        for j, (train, test) in enumerate(folds):
            scaler = StandardScaler().fit(X[train])
            estimator = small(
                hidden_layer_sizes=(16, 8),
                lambd=parameters["regularizedmlpclassifier__lambd"],
                keep_prob=parameters["regularizedmlpclassifier__keep_prob"],
            ).fit(scaler.transform(X[train]), y[train])
            proba = estimator.predict_proba(scaler.transform(X[test]))
            np.testing.assert_allclose(
                search.cv_results_[f"split{j}_test_score"][i],
                -log_loss(y[test], proba),
                atol=1e-9,
            )
    # Each of the two parameters has an effect.
    means = search.cv_results_["mean_test_score"]
    assert len(np.unique(means)) == 4
    assert search.best_score_ == means.max()


@pytest.mark.parametrize(
    "make",
    [
        lambda e: RandomizedSearchCV(
            e, {"lambd": [0.1, 1.0, 5.0], "keep_prob": [0.7, 1.0]}, n_iter=3, cv=2,
            random_state=0,
        ),
        lambda e: HalvingGridSearchCV(
            e, {"lambd": [0.1, 1.0, 5.0], "keep_prob": [0.7, 1.0]}, cv=2,
            random_state=0,
        ),
        lambda e: HalvingGridSearchCV(
            e, {"lambd": [0.1, 5.0]}, cv=2, resource="max_iter", max_resources=12,
            min_resources=4, factor=2,
        ),
    ],
    ids=["randomized", "halving", "halving over max_iter"],
)  # fmt: skip
def test_other_searches_refit_what_they_chose(make, iris):
    X, y = iris
    search = make(small()).fit(X, y)
    assert not np.isnan(search.cv_results_["mean_test_score"]).any()
    by_hand = clone(small()).set_params(**search.best_estimator_.get_params())
    assert_same_model(search.best_estimator_, by_hand.fit(X, y), X)
    assert search.score(X, y) > 0.65


def test_a_search_over_tuples(iris):
    X, y = iris
    grid = {"hidden_layer_sizes": [(4,), (4, 3), 5], "keep_prob": [0.9]}
    search = GridSearchCV(small(), grid, cv=2).fit(X, y)
    assert not np.isnan(search.cv_results_["mean_test_score"]).any()
    # keep_prob for each layer, beside a layer.
    grid = {"hidden_layer_sizes": [(4, 3)], "keep_prob": [(0.9, 0.5), 0.9]}
    search = GridSearchCV(small(), grid, cv=2).fit(X, y)
    assert not np.isnan(search.cv_results_["mean_test_score"]).any()


# Model evaluation --------------------------------------------------------------------


def test_cross_validate_is_a_fit_for_each_fold(iris):
    X, y = iris
    cv = StratifiedKFold(3, shuffle=True, random_state=0)
    model = small(early_stopping="auto")
    found = cross_validate(
        model,
        X,
        y,
        cv=cv,
        scoring=["accuracy", "neg_log_loss"],
        return_estimator=True,
    )
    for i, (train, test) in enumerate(cv.split(X, y)):
        by_hand = clone(model).fit(X[train], y[train])
        assert by_hand.validation_scores_ is not None
        assert_same_model(found["estimator"][i], by_hand, X)
        accuracy = np.mean(by_hand.predict(X[test]) == y[test])
        assert found["test_accuracy"][i] == pytest.approx(accuracy, abs=1e-12)
        np.testing.assert_allclose(
            found["test_neg_log_loss"][i],
            -log_loss(y[test], by_hand.predict_proba(X[test])),
            rtol=1e-12,
        )
    assert found["test_accuracy"].mean() > 0.8


@pytest.mark.parametrize("method", ["predict_proba", "decision_function"])
def test_cross_val_predict(method, iris):
    X, y = iris
    cv = StratifiedKFold(3)
    found = cross_val_predict(small(), X, y, cv=cv, method=method)
    for train, test in cv.split(X, y):
        by_hand = getattr(small().fit(X[train], y[train]), method)(X[test])
        np.testing.assert_array_equal(found[test], by_hand)


@pytest.mark.parametrize("incremental", [False, True])
def test_learning_curve(incremental, iris):
    X, y = iris
    sizes, train, test = learning_curve(
        small(),
        X,
        y,
        train_sizes=[20, 60, 100],
        cv=3,
        shuffle=True,
        random_state=0,
        exploit_incremental_learning=incremental,
        error_score="raise",
    )
    assert list(sizes) == [20, 60, 100]
    assert train.shape == test.shape == (3, 3)
    assert np.isfinite(train).all()
    assert np.isfinite(test).all()
    if not incremental:
        assert test[-1].mean() > 0.75


def test_permutation_importance(iris):
    X, y = iris
    rng = np.random.default_rng(0)
    noisy = np.column_stack([X, rng.normal(size=len(X))])
    estimator = small(max_iter=60).fit(noisy, y)
    found = permutation_importance(estimator, noisy, y, n_repeats=3, random_state=0)
    assert found.importances_mean.shape == (5,)
    assert found.importances_mean[2:4].sum() > found.importances_mean[4] + 0.1


# Ensembles ---------------------------------------------------------------------------


@pytest.mark.parametrize("ensemble", [True, False])
@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_calibration(method, ensemble, cancer):
    X, y = cancer
    model = CalibratedClassifierCV(small(), method=method, cv=3, ensemble=ensemble)
    proba = model.fit(X, y).predict_proba(X)
    np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-12)
    assert model.score(X, y) > 0.9
    assert len(model.calibrated_classifiers_) == (3 if ensemble else 1)


@pytest.mark.parametrize("bootstrap", [True, False])
def test_bagging(bootstrap, cancer):
    """It hands the drawn rows on, as weights in some versions."""
    X, y = cancer
    model = BaggingClassifier(
        small(), n_estimators=3, bootstrap=bootstrap, random_state=0
    ).fit(X, y)
    mean = np.mean([e.predict_proba(X) for e in model.estimators_], axis=0)
    np.testing.assert_allclose(model.predict_proba(X), mean, atol=1e-12)
    assert model.score(X, y) > 0.9
    seeds = [e.random_state for e in model.estimators_]
    assert len(set(seeds)) == 3


def test_voting_and_stacking(cancer):
    X, y = cancer
    members = [("net", small()), ("line", LogisticRegression())]
    soft = VotingClassifier(members, voting="soft").fit(X, y)
    mean = (small().fit(X, y).predict_proba(X) + LogisticRegression().fit(
        X, y
    ).predict_proba(X)) / 2  # fmt: skip
    np.testing.assert_allclose(soft.predict_proba(X), mean, atol=1e-12)
    assert VotingClassifier(members).fit(X, y).score(X, y) > 0.9
    assert StackingClassifier(members, cv=3).fit(X, y).score(X, y) > 0.9


def test_one_vs_rest_and_one_vs_one(iris):
    X, y = iris
    rest = OneVsRestClassifier(small()).fit(X, y)
    for k, estimator in enumerate(rest.estimators_):
        assert_same_model(estimator, small().fit(X, (y == k).astype(int)), X)
    assert rest.score(X, y) > 0.8
    assert OneVsOneClassifier(small()).fit(X, y).score(X, y) > 0.8


def test_multi_output(iris):
    X, y = iris
    Y = np.column_stack([np.array(["a", "b", "c"])[y], np.where(y == 1, "yes", "no")])
    model = MultiOutputClassifier(small()).fit(X, Y)
    for column, estimator in enumerate(model.estimators_):
        assert_same_model(estimator, small().fit(X, Y[:, column]), X)
        np.testing.assert_array_equal(model.predict(X)[:, column], estimator.predict(X))
    chain = ClassifierChain(small(), order=[0, 1]).fit(
        X, np.eye(3, dtype=int)[y][:, :2]
    )
    assert chain.predict(X).shape == (150, 2)


def test_select_from_model_with_a_getter(iris):
    X, y = iris
    selector = SelectFromModel(
        small(),
        importance_getter=lambda e: np.abs(e.coefs_[0]).sum(axis=1),
        max_features=2,
        threshold=-np.inf,
    ).fit(X, y)
    assert selector.transform(X).shape == (150, 2)


# Frames and names --------------------------------------------------------------------


def test_a_frame_gives_the_model_of_its_values(iris_frame):
    X, y = iris_frame
    framed, plain = small().fit(X, y), small().fit(X.to_numpy(), y.to_numpy())
    assert list(framed.feature_names_in_) == list(X.columns)
    assert framed.feature_names_in_.dtype == object
    assert framed.n_features_in_ == 4
    assert not hasattr(plain, "feature_names_in_")
    np.testing.assert_array_equal(
        framed.predict_proba(X), plain.predict_proba(X.to_numpy())
    )


def test_a_polars_frame_gives_the_model_of_its_values(iris_frame):
    X, y = iris_frame
    frame = polars.DataFrame({name: X[name].to_numpy() for name in X.columns})
    species = np.array(["setosa", "versicolor", "virginica"])[y]
    framed = small().fit(frame, polars.Series(species))
    plain = small().fit(X.to_numpy(), species)
    assert list(framed.feature_names_in_) == list(X.columns)
    np.testing.assert_array_equal(framed.classes_, plain.classes_)
    np.testing.assert_array_equal(framed.predict(frame), plain.predict(X.to_numpy()))
    np.testing.assert_array_equal(
        framed.predict_proba(frame), plain.predict_proba(X.to_numpy())
    )
    with pytest.raises(ValueError, match="same order"):
        framed.predict(frame.select(X.columns[::-1].tolist()))


METHODS = ["predict", "predict_proba", "predict_log_proba", "decision_function"]


@pytest.mark.parametrize("method", METHODS)
def test_wrong_names_and_a_wrong_order_are_errors(method, iris_frame):
    X, y = iris_frame
    estimator = small().fit(X, y)
    with pytest.raises(ValueError, match="feature names should match"):
        getattr(estimator, method)(X.rename(columns={X.columns[0]: "other"}))
    with pytest.raises(ValueError, match="same order"):
        getattr(estimator, method)(X[X.columns[::-1]])
    with pytest.raises(ValueError, match="feature names should match"):
        getattr(estimator, method)(X[X.columns[:3]])
    unnamed = small().fit(X.to_numpy(), y)
    with pytest.raises(ValueError, match="X has 3 features"):
        getattr(unnamed, method)(X.to_numpy()[:, :3])
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        getattr(estimator, method)(X.to_numpy())


def test_partial_fit_and_warm_start_hold_on_to_the_names(iris_frame):
    X, y = iris_frame
    renamed = X.rename(columns={X.columns[0]: "other"})
    estimator = small().partial_fit(X, y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="feature names should match"):
        estimator.partial_fit(renamed, y)
    estimator = small(warm_start=True).fit(X, y)
    with pytest.raises(ValueError, match="feature names should match"):
        estimator.fit(renamed, y)
    # Without warm_start a new fit learns new names.
    estimator.set_params(warm_start=False).fit(renamed, y)
    assert estimator.feature_names_in_[0] == "other"
    estimator.fit(X.to_numpy(), y)
    assert not hasattr(estimator, "feature_names_in_")


def test_frames_come_out_of_a_scaler_with_set_output(iris_frame):
    X, y = iris_frame
    framed = make_pipeline(StandardScaler().set_output(transform="pandas"), small())
    plain = make_pipeline(StandardScaler(), small())
    framed.fit(X, y)
    plain.fit(X, y)
    assert list(framed[-1].feature_names_in_) == list(X.columns)
    assert not hasattr(plain[-1], "feature_names_in_")
    np.testing.assert_array_equal(framed.predict_proba(X), plain.predict_proba(X))
    assert isinstance(framed.predict_proba(X), np.ndarray)


def test_columns_of_several_types(iris_frame):
    X, y = iris_frame
    mixed = X.copy()
    mixed.columns = ["a", "b", "c", "d"]
    mixed["a"] = mixed["a"].astype(np.float32).astype("float64")
    mixed["b"] = (mixed["b"] > 3).astype(bool)
    mixed["c"] = mixed["c"].round().astype(np.int16)
    mixed["d"] = mixed["d"].astype("Float64")
    by_hand = np.column_stack([mixed[name].to_numpy(float) for name in mixed])
    np.testing.assert_array_equal(
        small().fit(mixed, y).predict_proba(mixed),
        small().fit(by_hand, y).predict_proba(by_hand),
    )


# Labels ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        np.array(["ant", "bee"]),
        np.array(["ant", "bee"], dtype=object),
        np.array([False, True]),
        np.array([-1, 1]),
        np.array([3, 700], dtype=np.int16),
        np.array([0.0, 1.0]),
        np.array([2.0, 5.0], dtype=np.float32),
        np.array([0, 1], dtype=np.uint8),
        np.array(["long names are not cut", "x"]),
    ],
    ids=lambda names: f"{names.dtype}-{names[0]}",
)
def test_labels_of_all_types_give_the_same_model(names, cancer):
    X, y = cancer
    numbers = small().fit(X, y)
    named = small().fit(X, names[y])
    np.testing.assert_array_equal(named.classes_, names)
    assert named.classes_.dtype == names.dtype
    np.testing.assert_array_equal(named.predict_proba(X), numbers.predict_proba(X))
    predicted = named.predict(X)
    assert predicted.dtype == names.dtype
    np.testing.assert_array_equal(predicted, names[numbers.predict(X)])
    assert named.score(X, names[y]) == numbers.score(X, y) > 0.9
    # The same by partial_fit, the classes in whatever order.
    part = small().partial_fit(X, names[y], classes=names[::-1])
    np.testing.assert_array_equal(part.classes_, names)
    assert set(part.predict(X)) <= set(names)


def test_three_string_labels_in_a_list(iris):
    X, y = iris
    names = ["setosa", "versicolor", "virginica"]
    listed = [names[k] for k in y]
    estimator = small().fit(X.tolist(), listed)
    assert estimator.classes_.tolist() == names
    np.testing.assert_array_equal(
        estimator.predict_proba(X), small().fit(X, y).predict_proba(X)
    )
    assert set(estimator.predict(X)) == set(names)


@pytest.mark.parametrize("dtype", ["category", "string", object, None])
def test_labels_in_a_series(dtype, iris_frame):
    X, y = iris_frame
    names = np.array(["setosa", "versicolor", "virginica"])
    series = pd.Series(names[y], index=X.index)
    if dtype is not None:
        series = series.astype(dtype)
    estimator = small().fit(X, series)
    assert estimator.classes_.tolist() == names.tolist()
    np.testing.assert_array_equal(
        estimator.predict_proba(X), small().fit(X, y).predict_proba(X)
    )
    assert estimator.score(X, series) == small().fit(X, y).score(X, y) > 0.5
    # With a shuffled index: the position counts, not the index.
    shuffled = series.set_axis(np.arange(len(series))[::-1])
    np.testing.assert_array_equal(
        small().fit(X, shuffled).predict_proba(X), estimator.predict_proba(X)
    )


def test_a_frame_of_labels(iris_frame):
    X, y = iris_frame
    Y = pd.DataFrame(np.eye(3, dtype=int)[y], columns=["a", "b", "c"])
    framed, plain = small().fit(X, Y), small().fit(X, Y.to_numpy())
    np.testing.assert_array_equal(framed.predict_proba(X), plain.predict_proba(X))
    np.testing.assert_array_equal(framed.classes_, [0, 1, 2])


# Copies ------------------------------------------------------------------------------


def through_joblib(estimator):
    file = io.BytesIO()
    joblib.dump(estimator, file)
    file.seek(0)
    return joblib.load(file)


COPIES = {
    "pickle": lambda e: pickle.loads(pickle.dumps(e)),
    "oldest pickle": lambda e: pickle.loads(pickle.dumps(e, protocol=0)),
    "joblib": through_joblib,
    "cloudpickle": lambda e: cloudpickle.loads(cloudpickle.dumps(e)),
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
}


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize(
    "parameters",
    [{}, {"keep_prob": 0.7}, {"solver": "lbfgs", "tol": 1e-2, "max_iter": 200},
     {"early_stopping": True, "n_validation_splits": 2}],
    ids=str,
)  # fmt: skip
def test_a_copy_is_the_same_model(how, parameters, iris_frame):
    X, y = iris_frame
    estimator = small(**parameters).fit(X, y)
    twin = COPIES[how](estimator)
    assert_same_model(estimator, twin, X)
    assert set(vars(twin)) - {"_sklearn_version"} == set(vars(estimator))
    assert twin.get_params() == estimator.get_params()
    assert twin.loss_curve_ == estimator.loss_curve_
    assert twin.validation_scores_ == estimator.validation_scores_
    before = twin.predict_proba(X)
    # It trains to the same model again, and the first is not touched by it.
    estimator_before = [W.copy() for W in estimator.coefs_]
    twin.set_params(random_state=1).fit(X, y)
    assert not np.array_equal(twin.predict_proba(X), before)
    for W, W_before in zip(estimator.coefs_, estimator_before, strict=True):
        np.testing.assert_array_equal(W, W_before)
    twin.set_params(random_state=0).fit(X, y)
    assert_same_model(estimator, twin, X)


def test_a_clone_has_the_parameters_and_nothing_fitted(iris):
    X, y = iris
    estimator = small(keep_prob=(0.5, 0.6), hidden_layer_sizes=[4, 3]).fit(X, y)
    twin = clone(estimator)
    assert twin.get_params() == estimator.get_params()
    assert not [name for name in vars(twin) if name.endswith("_")]
    with pytest.raises(NotFittedError):
        twin.predict(X)
    assert_same_model(twin.fit(X, y), estimator, X)


def test_set_params_and_get_params_round_trip():
    estimator = small()
    changed = {"lambd": 3.0, "keep_prob": 0.25, "solver": "sgd", "max_iter": 7}
    parameters = {**estimator.get_params(), **changed}
    assert RegularizedMLPClassifier(**parameters).get_params() == parameters
    assert estimator.set_params(**changed).get_params() == parameters
    with pytest.raises(ValueError, match="alpha"):
        estimator.set_params(alpha=1.0)


def test_the_parameters_are_not_touched_by_fit(iris):
    X, y = iris
    layers, keep_prob = [4, 3], np.array([0.5, 0.75])
    estimator = small(hidden_layer_sizes=layers, keep_prob=keep_prob)
    estimator.fit(X, y)
    assert estimator.hidden_layer_sizes is layers
    assert layers == [4, 3]
    assert estimator.keep_prob is keep_prob
    np.testing.assert_array_equal(keep_prob, [0.5, 0.75])


def test_it_is_a_classifier_and_shows_itself(iris):
    estimator = small()
    assert is_classifier(estimator)
    assert repr(estimator).startswith("RegularizedMLPClassifier(")
    assert "RegularizedMLPClassifier" in estimator._repr_html_()
    tags = estimator.__sklearn_tags__()
    assert tags.classifier_tags.multi_label
    assert tags.classifier_tags.multi_class
    assert tags.target_tags.required
    assert not tags.input_tags.allow_nan


# Metadata routing --------------------------------------------------------------------


def test_sample_weight_is_routed_to_fit(iris):
    X, y = iris
    weight = np.where(y == 0, 5.0, 0.5)
    grid = {"lambd": [0.1, 1.0]}
    with config_context(enable_metadata_routing=True):
        wanted = small().set_fit_request(sample_weight=True)
        wanted.set_score_request(sample_weight=False)
        search = GridSearchCV(wanted, grid, cv=3).fit(X, y, sample_weight=weight)
        by_hand = small(**search.best_params_).fit(X, y, weight)
        assert_same_model(search.best_estimator_, by_hand, X)

        declined = small().set_fit_request(sample_weight=False)
        declined.set_score_request(sample_weight=True)
        search = GridSearchCV(declined, grid, cv=3).fit(X, y, sample_weight=weight)
        unweighted = small(**search.best_params_).fit(X, y)
        assert_same_model(search.best_estimator_, unweighted, X)
        assert not np.array_equal(unweighted.coefs_[0], by_hand.coefs_[0])

        with pytest.raises(ValueError, match="sample_weight"):
            GridSearchCV(small(), grid, cv=3).fit(X, y, sample_weight=weight)

        pipeline = make_pipeline(
            StandardScaler().set_fit_request(sample_weight=False), wanted
        )
        pipeline.fit(X, y, sample_weight=weight)
        by_hand = small().fit(pipeline[0].transform(X), y, weight)
        assert_same_model(pipeline[-1], by_hand, pipeline[0].transform(X))


def test_sample_weight_is_routed_to_partial_fit(iris):
    X, y = iris
    weight = np.where(y == 0, 5.0, 0.5)
    Y = np.column_stack([y, y > 0]).astype(int)
    classes = [np.array([0, 1, 2]), np.array([0, 1])]
    with config_context(enable_metadata_routing=True):
        wanted = small().set_partial_fit_request(sample_weight=True)
        model = MultiOutputClassifier(wanted)
        for _ in range(2):
            model.partial_fit(X, Y, classes=classes, sample_weight=weight)
        with pytest.raises(ValueError, match="sample_weight"):
            MultiOutputClassifier(small()).partial_fit(
                X, Y, classes=classes, sample_weight=weight
            )
    by_hand = small()
    for _ in range(2):
        by_hand.partial_fit(X, y, weight, classes=[0, 1, 2])
    assert_same_model(model.estimators_[0], by_hand, X)


def test_sample_weight_without_routing(iris):
    X, y = iris
    weight = np.where(y == 0, 5.0, 0.5)
    pipeline = make_pipeline(StandardScaler(), small())
    pipeline.fit(X, y, regularizedmlpclassifier__sample_weight=weight)
    scaled = pipeline[0].transform(X)
    assert_same_model(pipeline[-1], small().fit(scaled, y, weight), scaled)
    estimator = pipeline[-1]
    right = estimator.predict(scaled) == y
    assert estimator.score(scaled, y, weight) == pytest.approx(
        np.average(right, weights=weight)
    )
