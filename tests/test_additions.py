"""What other networks lack: class weights, validation rows, sparse X and more."""

import pickle
import tracemalloc
from functools import partial

import numpy as np
import pandas as pd
import pytest
import reference
import sklearn
from helpers import assert_same_weights, small
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_digits, make_multilabel_classification
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight

from skreg import RegularizedMLPClassifierCV, RegularizedMLPEnsemble

classifier = partial(
    small,
    hidden_layer_sizes=(8, 5),
    learning_rate_init=0.001,
    batch_size=200,
    max_iter=20,
    lambd=1.0,
    early_stopping_refit=False,
)


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X / 16, y


# class_weight


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("class_weight", ["balanced", {0: 1.0, 1: 3.0, 2: 0.5}])
def test_class_weight_multiplies_the_sample_weights(iris, class_weight, weighted):
    X, y = iris[0][:120], iris[1][:120]
    sample_weight = np.linspace(0.5, 2, 120) if weighted else np.ones(120)
    if class_weight == "balanced":
        # As if each class had the same total weight.
        totals = np.array([sample_weight[y == c].sum() for c in range(3)])
        of_class = sample_weight.sum() / (3 * totals)
    else:
        of_class = np.array([1.0, 3.0, 0.5])
    found = classifier(class_weight=class_weight).fit(
        X, y, sample_weight=sample_weight if weighted else None
    )
    expected = classifier().fit(X, y, sample_weight=sample_weight * of_class[y])
    assert_same_weights(found, expected, 1e-9, 1e-12)


def test_class_weight_with_string_classes_helps_the_rare_one():
    rng = np.random.default_rng(0)
    X = np.r_[rng.normal(size=(400, 2)), rng.normal(1.0, size=(20, 2))]
    y = np.array(["common"] * 400 + ["rare"] * 20)
    plain = classifier().fit(X, y)
    balanced = classifier(class_weight="balanced").fit(X, y)
    assert (balanced.predict(X) == "rare").sum() > (plain.predict(X) == "rare").sum()


def test_class_weight_of_labels():
    X, Y = make_multilabel_classification(random_state=0, n_classes=3)
    of_labels = [{0: 1.0, 1: 2.0}, {0: 1.0, 1: 1.0}, {0: 3.0, 1: 1.0}]
    found = classifier(class_weight=of_labels).fit(X, Y)
    weight = compute_sample_weight(of_labels, Y)
    expected = classifier().fit(X, Y, sample_weight=weight)
    assert_same_weights(found, expected, 1e-9, 1e-12)
    balanced = classifier(class_weight="balanced").fit(X, Y)
    weight = compute_sample_weight("balanced", Y)
    expected = classifier().fit(X, Y, sample_weight=weight)
    assert_same_weights(balanced, expected, 1e-9, 1e-12)
    with pytest.raises(ValueError, match="class_weight"):
        classifier(class_weight={0: 1, 1: 2}).fit(X, Y)


def test_a_class_whose_weight_sums_to_zero_raises(iris):
    X, y = iris
    with pytest.raises(ValueError, match=r"class_weight.*the class 1 "):
        classifier(class_weight={0: 1, 1: 0, 2: 1}).fit(X, y)
    with pytest.raises(ValueError, match=r"class_weight.*the class 2 "):
        classifier(class_weight="balanced").fit(X, y, sample_weight=(y != 2) * 1.0)
    with pytest.raises(ValueError, match="class_weight"):
        classifier(class_weight={0: 1, 1: -2, 2: 1}).fit(X, y)


NO_DICTS = [[1.0, 3.0], (1.0, 3.0), np.array([1.0, 3.0]), [], pd.Series([1.0, 3.0])]


@pytest.mark.parametrize("class_weight", NO_DICTS, ids=repr)
def test_class_weight_without_classes_is_refused_by_all(class_weight):
    """The error shows a dict of these classes."""
    X = np.random.default_rng(0).normal(size=(20, 3))
    y = np.where(np.arange(20) % 2, "yes", "no")
    model = classifier(class_weight=class_weight)
    search = RegularizedMLPClassifierCV((1.0,), (1.0,), class_weight=class_weight)
    yes = 3.0 if len(class_weight) else 1.0
    text = f"^class_weight=.*class_weight={{'no': 1.0, 'yes': {yes}}}"
    for each in (model, search, RegularizedMLPEnsemble(model, 2)):
        with pytest.raises(ValueError, match=text):
            each.fit(X, y)
    with pytest.raises(ValueError, match=text):
        model.partial_fit(X, y, classes=["no", "yes"])


def test_class_weights_times_sample_weights_must_be_finite(iris):
    X, y = iris
    model = classifier(class_weight={0: 1e200, 1: 1.0, 2: 1.0})
    with pytest.raises(ValueError, match="sample_weight times class_weight"):
        model.fit(X, y, sample_weight=np.full(150, 1e200))


def test_class_weights_count_in_the_loss_of_validation_rows(iris):
    X, X_val, y, y_val = train_test_split(*iris, random_state=0)
    of_class = np.array([1.0, 5.0, 0.2])
    model = classifier(
        class_weight=dict(enumerate(of_class)), early_stopping=True, train_scores=True
    ).fit(X, y, X_val=X_val, y_val=y_val)
    expected = -log_loss(
        y_val, model.predict_proba(X_val), sample_weight=of_class[y_val]
    )
    assert model.best_validation_score_ == pytest.approx(expected)


def test_a_scorer_gets_the_weights_that_were_given_and_no_others(iris):
    X, X_val, y, y_val = train_test_split(*iris, random_state=0)

    def plain(model, X, y):
        return accuracy_score(y, model.predict(X))

    model = classifier(
        class_weight="balanced", early_stopping=True, scoring=plain, train_scores=True
    )
    model.fit(X, y, X_val=X_val, y_val=y_val)
    expected = accuracy_score(y_val, model.predict(X_val))
    assert model.best_validation_score_ == pytest.approx(expected)
    model.fit(X, y)
    assert model.best_validation_score_ == max(model.validation_scores_)


def test_class_weight_of_a_class_that_a_call_of_partial_fit_lacks(iris):
    X, y = iris
    weights = {0: 1.0, 1: 2.0}
    model = classifier(class_weight=weights)
    model.partial_fit(X[y != 1], y[y != 1], classes=[0, 1, 2])
    assert model.classes_.tolist() == [0, 1, 2]


def test_class_weight_in_partial_fit(iris):
    X, y = iris
    weights = {0: 1.0, 1: 2.0, 2: 3.0}
    found = classifier(class_weight=weights).partial_fit(X, y, classes=[0, 1, 2])
    expected = classifier().partial_fit(
        X, y, sample_weight=np.array([1.0, 2.0, 3.0])[y], classes=[0, 1, 2]
    )
    assert_same_weights(found, expected, 1e-9, 1e-12)
    with pytest.raises(ValueError, match=r"class_weight='balanced'.*partial_fit"):
        classifier(class_weight="balanced").partial_fit(X, y, classes=[0, 1, 2])


# Validation rows and scoring


def test_given_validation_rows_replace_the_split(iris):
    X, X_val, y, y_val = train_test_split(*iris, random_state=0)
    weight_val = np.linspace(1, 2, len(y_val))
    model = classifier(early_stopping=True, n_iter_no_change=100).fit(
        X, y, X_val=X_val, y_val=y_val, sample_weight_val=weight_val
    )
    expected = -log_loss(y_val, model.predict_proba(X_val), sample_weight=weight_val)
    assert model.best_validation_score_ == pytest.approx(expected, rel=1e-9)
    assert model.best_validation_score_ == max(model.validation_scores_)
    assert model.validation_scores_[model.best_n_iter_ - 1] == max(
        model.validation_scores_
    )
    # All rows of X train: the loss curve is that of a fit without early stopping.
    plain = classifier().fit(X, y)
    np.testing.assert_allclose(model.loss_curve_, plain.loss_curve_)


@pytest.mark.parametrize(
    ("scoring", "expected"),
    [
        ("accuracy", accuracy_score),
        (None, accuracy_score),
        (
            lambda model, X, y: -log_loss(y, model.predict_proba(X)) * 2,
            lambda y, predicted: None,
        ),
    ],
)
def test_scoring(iris, scoring, expected):
    X, X_val, y, y_val = train_test_split(*iris, random_state=0)
    names = np.array(["setosa", "versicolor", "virginica"])
    y, y_val = names[y], names[y_val]
    model = classifier(early_stopping=True, scoring=scoring, train_scores=True).fit(
        X, y, X_val=X_val, y_val=y_val
    )
    score = expected(y_val, model.predict(X_val))
    if score is None:
        score = -log_loss(y_val, model.predict_proba(X_val)) * 2
    assert model.best_validation_score_ == pytest.approx(score)
    assert len(model.train_scores_) == len(model.validation_scores_) == model.n_iter_


def test_scoring_passes_the_validation_weights(iris):
    X, X_val, y, y_val = train_test_split(*iris, random_state=0)
    weight = np.random.default_rng(0).uniform(0.1, 5, len(y_val))
    model = classifier(early_stopping=True, scoring="accuracy").fit(
        X, y, X_val=X_val, y_val=y_val, sample_weight_val=weight
    )
    expected = accuracy_score(y_val, model.predict(X_val), sample_weight=weight)
    assert model.best_validation_score_ == pytest.approx(expected)


def test_a_pandas_table_scores_without_a_warning_of_names(iris):
    pd = pytest.importorskip("pandas")
    X = pd.DataFrame(iris[0], columns=["a", "b", "c", "d"])
    model = classifier(early_stopping=True, scoring="accuracy").fit(X, iris[1])
    assert list(model.feature_names_in_) == ["a", "b", "c", "d"]


def test_a_score_that_is_nan_is_not_the_best(iris):
    def broken_at_first(model, X, y):
        broken_at_first.calls += 1
        return np.nan if broken_at_first.calls == 1 else 1 / broken_at_first.calls

    broken_at_first.calls = 0
    model = classifier(early_stopping=True, scoring=broken_at_first).fit(*iris)
    assert model.best_n_iter_ == 2
    assert model.best_validation_score_ == 0.5


def test_a_scorer_may_warn(iris):
    def warns(model, X, y):
        np.log(np.zeros(1))
        return 1.0

    with pytest.warns(RuntimeWarning, match="divide by zero"):
        classifier(early_stopping=True, scoring=warns, max_iter=2).fit(*iris)


def test_train_scores_are_without_dropout_and_penalty(iris):
    X, y = iris
    model = classifier(keep_prob=0.6, lambd=5.0, train_scores=True).fit(X, y)
    assert model.train_scores_[-1] == pytest.approx(
        -log_loss(y, model.predict_proba(X))
    )
    silent = classifier(keep_prob=0.6, lambd=5.0).fit(X, y)
    assert silent.train_scores_ is None
    assert_same_weights(model, silent)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"X_val": 1}, "X_val and y_val go together"),
        ({"y_val": 1}, "X_val and y_val go together"),
        ({"sample_weight_val": 1}, "X_val and y_val go together"),
        ({"X_val": 1, "y_val": 2}, "y_val has the classes"),
        ({"X_val": 1, "y_val": 1, "sample_weight_val": -1}, "sample_weight_val"),
        ({"X_val": 2, "y_val": 1}, "features"),
    ],
)
def test_bad_validation_rows(iris, arguments, message):
    X, y = iris
    values = {
        "X_val": {1: X, 2: X[:, :2]},
        "y_val": {1: y, 2: y + 5},
        "sample_weight_val": {1: np.ones(150), -1: -np.ones(150)},
    }
    arguments = {name: values[name][choice] for name, choice in arguments.items()}
    with pytest.raises(ValueError, match=message):
        classifier(early_stopping=True).fit(X, y, **arguments)


def test_validation_rows_without_early_stopping_raise(iris):
    X, y = iris
    with pytest.raises(ValueError, match="early_stopping=True"):
        classifier().fit(X, y, X_val=X, y_val=y)


def test_validation_rows_go_through_the_pipeline(iris):
    X, X_val, y, y_val = train_test_split(*iris, random_state=0)
    shift = 100.0
    with sklearn.config_context(enable_metadata_routing=True):
        last = classifier(early_stopping=True).set_fit_request(
            X_val=True, y_val=True, sample_weight=True
        )
        pipeline = Pipeline(
            [
                ("scale", StandardScaler().set_fit_request(sample_weight=False)),
                ("net", last),
            ],
            transform_input=["X_val"],
        )
        weight = np.linspace(1, 2, len(y))
        pipeline.fit(
            X + shift, y, sample_weight=weight, X_val=X_val + shift, y_val=y_val
        )
    found = pipeline[-1].best_validation_score_
    expected = -log_loss(y_val, pipeline.predict_proba(X_val + shift))
    assert found == pytest.approx(expected)


# lambd by layer, input_keep_prob, max_norm


def test_lambd_of_each_layer(iris):
    X, y = iris
    one = classifier(lambd=2.0, keep_prob=0.9).fit(X, y)
    same = classifier(lambd=[2.0, 2.0, 2.0], keep_prob=(0.9, 0.9)).fit(X, y)
    assert_same_weights(one, same)
    fast = {"learning_rate_init": 0.05, "max_iter": 100}
    first = classifier(lambd=(500.0, 0.0, 0.0), **fast).fit(X, y)
    last = classifier(lambd=np.array([0.0, 0.0, 500.0]), **fast).fit(X, y)
    assert np.linalg.norm(first.coefs_[0]) < 0.1 * np.linalg.norm(last.coefs_[0])
    assert np.linalg.norm(last.coefs_[2]) < 0.1 * np.linalg.norm(first.coefs_[2])


def test_one_step_with_lambd_of_each_layer_follows_the_formula(iris):
    X, y = iris
    lambds = [3.0, 0.5, 7.0]
    model = classifier(
        solver="sgd",
        momentum=0.0,
        batch_size="full",
        learning_rate="constant",
        learning_rate_init=1e-3,
        max_iter=1,
        warm_start=True,
        lambd=lambds,
    )
    with pytest.warns(UserWarning, match="max_iter"):
        model.fit(X, y)
    parameters = {}
    for i, (W, b) in enumerate(zip(model.coefs_, model.intercepts_, strict=True), 1):
        parameters[f"W{i}"], parameters[f"b{i}"] = W.T.copy(), b[:, np.newaxis].copy()
    Y = (y[:, np.newaxis] == np.arange(3)).T.astype(float)
    expected = reference.gradient_descent(
        X.T, Y, parameters, lambds, 1e-3, 1, output="softmax"
    )
    with pytest.warns(UserWarning, match="max_iter"):
        model.fit(X, y)
    for i, W in enumerate(model.coefs_, 1):
        np.testing.assert_allclose(W.T, expected[f"W{i}"], rtol=1e-12)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"lambd": [1.0, 2.0]}, r"lambd=\[1.0, 2.0\] has 2 values.*3 weight matrices"),
        ({"lambd": [1.0, -2.0, 1.0]}, r"lambd=.*at least 0"),
        ({"lambd": [1.0, np.nan, 1.0]}, r"lambd=.*finite"),
        ({"input_keep_prob": 0.0}, "'input_keep_prob'"),
        ({"input_keep_prob": 1.1}, "'input_keep_prob'"),
        ({"max_norm": 0.0}, "'max_norm'"),
        ({"class_weight": "heavy"}, "'class_weight'"),
        ({"scoring": "guess"}, "'scoring'"),
        ({"train_scores": "yes"}, "'train_scores'"),
        ({"solver": "lbfgs", "input_keep_prob": 0.9}, "input_keep_prob=0.9 .*lbfgs"),
        ({"solver": "lbfgs", "max_norm": 3.0}, r"max_norm=3.0 .*Set max_norm=None"),
    ],
)
def test_bad_parameters(iris, parameters, message):
    with pytest.raises(ValueError, match=message):
        classifier(**parameters).fit(*iris)


def test_input_dropout_regularises_and_predicts_without_it(digits):
    X, y = digits[0][:300], digits[1][:300]
    settings = {"lambd": 0.0, "max_iter": 50, "learning_rate_init": 0.02}
    dropped = classifier(input_keep_prob=0.5, **settings).fit(X, y)
    plain = classifier(**settings).fit(X, y)
    assert dropped.loss_ > 1.5 * plain.loss_
    np.testing.assert_array_equal(dropped.predict_proba(X), dropped.predict_proba(X))
    again = classifier(input_keep_prob=0.5, **settings).fit(X, y)
    assert_same_weights(dropped, again)


def test_max_norm_bounds_the_weights_that_come_into_each_hidden_unit(iris):
    X, y = iris
    free = classifier(lambd=0.0, max_iter=200).fit(X, y)
    bound = classifier(lambd=0.0, max_iter=200, max_norm=0.7).fit(X, y)
    for coef in bound.coefs_[:-1]:
        norms = np.linalg.norm(coef, axis=0)
        assert norms.max() <= 0.7 * (1 + 1e-12)
        assert np.isclose(norms, 0.7).any()
    assert np.linalg.norm(free.coefs_[0], axis=0).max() > 1.0
    # The output layer is not bounded, nor is anything by a bound out of reach.
    assert np.linalg.norm(bound.coefs_[-1], axis=0).max() > 0.7
    loose = classifier(lambd=0.0, max_iter=200, max_norm=1e6).fit(X, y)
    assert_same_weights(loose, free)


# sample_proba


def test_sample_proba(iris):
    X, y = iris
    model = classifier(keep_prob=0.7, input_keep_prob=0.9).fit(X, y)
    samples = model.sample_proba(X[:20], n_samples=40, random_state=3)
    assert samples.shape == (40, 20, 3)
    np.testing.assert_allclose(samples.sum(axis=2), 1)
    np.testing.assert_array_equal(
        samples, model.sample_proba(X[:20], n_samples=40, random_state=3)
    )
    assert not np.array_equal(
        samples, model.sample_proba(X[:20], n_samples=40, random_state=4)
    )
    assert (samples.std(axis=0) > 0).all()
    assert model.sample_proba(X, random_state=0).shape == (100, 150, 3)


def test_sample_proba_is_the_dropped_network(iris):
    # One hidden unit, kept or dropped: only two values are possible.
    X, y = iris[0][:100], iris[1][:100]
    model = classifier(hidden_layer_sizes=(1,), activation="tanh", keep_prob=0.25)
    model.fit(X, y)
    samples = model.sample_proba(X, n_samples=400, random_state=0)[..., 1]
    hidden = np.tanh(X @ model.coefs_[0] + model.intercepts_[0])
    kept = hidden @ model.coefs_[1] / 0.25 + model.intercepts_[1]
    possible = 1 / (1 + np.exp(-np.c_[kept, np.full_like(kept, model.intercepts_[1])]))
    nearest = np.abs(samples[..., np.newaxis] - possible).min(axis=-1)
    assert nearest.max() < 1e-12
    kept_fraction = np.isclose(samples, possible[:, 0]).mean()
    assert abs(kept_fraction - 0.25) < 4 * np.sqrt(0.25 * 0.75 / samples.size)


def test_sample_proba_goes_by_chunks(iris):
    X, y = iris
    model = classifier(hidden_layer_sizes=(100, 100), keep_prob=0.5).fit(X, y)
    rows = np.tile(X, (1000, 1))
    tracemalloc.start()
    try:
        samples = model.sample_proba(rows, n_samples=2, random_state=0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # All rows at once would take 150,000 rows x 200 units x 8 bytes for each buffer.
    assert peak - samples.nbytes < 64e6


# The last is rounded to 1, as all are to multiples of 1/65536.
@pytest.mark.parametrize("keep_prob", [1.0, (1.0, 1.0), 1 - 1e-6])
def test_sample_proba_where_nothing_drops_out_is_refused(iris, keep_prob):
    X, y = iris
    model = classifier(keep_prob=keep_prob).fit(X, y)
    why = r"keep_prob=.* and input_keep_prob=1\.0 drop nothing.*use predict_proba"
    with pytest.raises(ValueError, match=why):
        model.sample_proba(X)
    assert model.set_params(input_keep_prob=0.9).sample_proba(X).std(axis=0).max() > 0


def test_sample_proba_leaves_the_global_stream_alone(iris):
    X, y = iris
    model = classifier(keep_prob=0.5).fit(X, y)
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - it is what is watched
    model.sample_proba(X[:5])
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@pytest.mark.parametrize("n_samples", [0, 2.5, "many"])
def test_sample_proba_with_a_bad_number(iris, n_samples):
    model = classifier().fit(*iris)
    with pytest.raises((ValueError, TypeError), match="n_samples"):
        model.sample_proba(iris[0], n_samples=n_samples)


# Sparse X


@pytest.mark.parametrize(
    "container", ["csr_matrix", "csc_matrix", "csr_array", "csc_array"]
)
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"solver": "lbfgs", "max_iter": 8},
        {"batch_size": 50, "keep_prob": 0.7, "early_stopping": True},
        {"solver": "sgd", "shuffle": False, "batch_size": "full"},
    ],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_sparse_is_the_same_model(digits, container, parameters):
    X, y = digits[0][:400], digits[1][:400]
    X_sparse = getattr(sparse, container)(X)
    weight = np.random.default_rng(0).integers(0, 3, 400)
    model = classifier(**parameters, standardize=False)
    dense = clone(model).fit(X, y, sample_weight=weight)
    found = clone(model).fit(X_sparse, y, sample_weight=weight)
    assert_same_weights(found, dense, rtol=0, atol=1e-10)
    for method in ("predict", "predict_proba", "decision_function", "input_gradients"):
        np.testing.assert_allclose(
            getattr(dense, method)(X_sparse), getattr(dense, method)(X), atol=1e-12
        )


# A column with one value, as here, may have a small one.
@pytest.mark.filterwarnings("ignore:.*columns of X have magnitudes far from 1")
def test_sparse_is_never_made_dense(monkeypatch):
    rng = np.random.default_rng(0)
    X = sparse.random(60, 10**6, density=1e-5, format="csr", random_state=rng)
    y = np.arange(60) % 2

    def refuse(*_, **__):
        raise AssertionError("made dense")

    # 60 rows of a million columns would be 480 MB.
    for container in (sparse.csr_matrix, sparse.csc_matrix):
        monkeypatch.setattr(container, "toarray", refuse)
        monkeypatch.setattr(container, "todense", refuse)
    model = classifier(hidden_layer_sizes=(2,), max_iter=1).fit(X, y)
    assert model.predict(X).shape == (60,)


def test_sparse_inputs_are_not_changed_by_input_dropout(digits):
    X = sparse.csr_array(digits[0][:100])
    copy = X.copy()
    model = classifier(input_keep_prob=0.5).fit(X, digits[1][:100])
    np.testing.assert_array_equal(X.toarray(), copy.toarray())
    assert model.sample_proba(X, 2, random_state=0).shape == (2, 100, 10)


def test_text_pipeline():
    # The documentation of scikit-learn's own functions: real text, there for all.
    import sklearn.cluster
    import sklearn.linear_model
    import sklearn.metrics

    texts, modules = [], []
    for module in (sklearn.cluster, sklearn.linear_model, sklearn.metrics):
        for name in module.__all__:
            text = getattr(module, name).__doc__ or ""
            for paragraph in text.split("\n\n"):
                if len(paragraph) > 60:
                    texts.append(paragraph)
                    modules.append(module.__name__)
    assert len(texts) > 1500
    train, test, y, y_test = train_test_split(
        texts, modules, stratify=modules, random_state=0
    )
    model = make_pipeline(
        TfidfVectorizer(sublinear_tf=True),
        classifier(hidden_layer_sizes=(32,), lambd=0.1, keep_prob=0.8, max_iter=15),
    ).fit(train, y)
    majority = max(y_test.count(name) for name in set(y_test)) / len(y_test)
    assert model.score(test, y_test) > majority + 0.2


# input_gradients


@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic", "identity"])
@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
def test_input_gradients_are_central_differences(iris, activation, kind):
    X, y = iris
    if kind == "binary":
        y = (y > 0).astype(int)
    elif kind == "multilabel":
        y = np.c_[y > 0, y > 1].astype(int)
    model = classifier(activation=activation).fit(X, y)
    gradients = model.input_gradients(X)
    step = 1e-6
    for column in range(4):
        shift = step * (np.arange(4) == column)
        ahead, behind = (model.decision_function(X + s) for s in (shift, -shift))
        # A kink within a step would show as a difference that the step halves.
        near = model.decision_function(X + shift / 2) - model.decision_function(X)
        straight = np.isclose(near, (ahead - behind) / 4, rtol=1e-3, atol=1e-9)
        assert straight.mean() > 0.95
        found = gradients[..., column]
        expected = (ahead - behind) / (2 * step)
        np.testing.assert_allclose(
            found[straight], expected[straight], rtol=1e-5, atol=1e-8
        )


def test_input_gradients_of_a_target(iris):
    X, y = iris
    names = np.array(["setosa", "versicolor", "virginica"])
    model = classifier().fit(X, names[y])
    every = model.input_gradients(X)
    assert every.shape == (150, 3, 4)
    np.testing.assert_array_equal(
        model.input_gradients(X, target="versicolor"), every[:, 1]
    )
    two = classifier().fit(X[:100], names[y[:100]])
    assert two.input_gradients(X).shape == (150, 4)
    np.testing.assert_array_equal(
        two.input_gradients(X, target="versicolor"), two.input_gradients(X)
    )
    np.testing.assert_array_equal(
        two.input_gradients(X, target="setosa"), -two.input_gradients(X)
    )
    with pytest.raises(ValueError, match="target='tulip' is not one of the classes"):
        model.input_gradients(X, target="tulip")


@pytest.mark.parametrize("target", [None, 2])
def test_input_gradients_that_overflow_are_an_error(iris, target):
    X, y = iris
    model = classifier(activation="identity").fit(X, y)
    for W, b in zip(model.coefs_, model.intercepts_, strict=True):
        W[...], b[...] = 1e155, 0
    tiny = np.full((1, 4), 1e-200)
    assert np.isfinite(model.decision_function(tiny)).all()
    with pytest.raises(ValueError, match=r"gradients overflow float64: .* is 1e\+155"):
        model.input_gradients(tiny, target=target)


# The fitted state


def test_the_pickle_is_small(digits):
    X, y = digits
    for parameters in ({}, {"early_stopping": True}, {"solver": "lbfgs", "tol": 0.1}):
        model = classifier(hidden_layer_sizes=(200, 100), **parameters).fit(X, y)
        n_bytes = sum(a.nbytes for a in model.coefs_ + model.intercepts_)
        assert len(pickle.dumps(model)) <= 1.1 * n_bytes + 10_000


def test_the_fitted_state_is_plain(digits):
    X, y = digits
    model = classifier(warm_start=True, keep_prob=0.8, early_stopping=True).fit(X, y)

    def check(value):
        if isinstance(value, dict):
            value = [*value.keys(), *value.values()]
        if isinstance(value, (list, tuple)):
            for item in value:
                check(item)
        else:
            plain = (np.ndarray, int, float, str, bool, type(None), np.generic)
            assert isinstance(value, plain), type(value)

    check({k: v for k, v in vars(model).items() if k not in model.get_params()})


def test_the_optimiser_is_kept_only_where_it_can_be_used_again(iris):
    X, y = iris
    assert not hasattr(classifier().fit(X, y), "_training_state")
    assert hasattr(classifier(warm_start=True).fit(X, y), "_training_state")
    model = classifier().partial_fit(X, y, classes=[0, 1, 2])
    assert hasattr(model, "_training_state")
    assert not hasattr(model.fit(X, y), "_training_state")


def test_tags_tell_the_truth():
    tags = sklearn.utils.get_tags(classifier())
    assert tags.estimator_type == "classifier"
    assert tags.input_tags.sparse
    assert not tags.input_tags.allow_nan
    assert tags.classifier_tags.multi_label
    assert tags.classifier_tags.multi_class
    assert tags.target_tags.required


def test_html_and_parameters_round_trip():
    model = classifier(lambd=[1.0, 2.0, 3.0], class_weight="balanced")
    assert "RegularizedMLPClassifier" in model._repr_html_()
    copy = clone(model)
    assert copy.get_params() == model.get_params()
    assert copy.set_params(lambd=4.0).lambd == 4.0


def test_the_rate_of_adaptive_does_not_reach_other_schedules(iris):
    X, y = iris
    model = classifier(
        solver="sgd", learning_rate="adaptive", tol=10.0, n_iter_no_change=1
    )
    model.set_params(warm_start=True, max_iter=100).fit(X, y)
    assert model.converged_
    before = model.coefs_[0].copy()
    model.set_params(learning_rate="cosine", max_iter=3, learning_rate_init=0.1)
    model.fit(X, y)
    assert np.abs(model.coefs_[0] - before).max() > 1e-3


def test_partial_fit_checks_parameters_that_were_changed(iris):
    X, y = iris
    model = classifier().partial_fit(X, y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="'learning_rate_init'"):
        model.set_params(learning_rate_init=-1).partial_fit(X, y)


def test_counters_after_partial_fit(iris):
    X, y = iris
    model = classifier()
    for _ in range(3):
        model.partial_fit(X, y, classes=[0, 1, 2])
    assert model.n_iter_ == model.best_n_iter_ == 3
    assert not model.converged_
    assert model.best_loss_ == min(model.loss_curve_)
    one = classifier().partial_fit(X, ["a"] * 150, classes=["a"])
    assert one.best_loss_ == 0.0


def test_partial_fit_starts_with_no_opinion_on_the_classes(iris):
    # Its first rows may have one class only.
    X, y = iris
    model = classifier(learning_rate_init=1e-9)
    model.partial_fit(X[:50], y[:50], classes=[0, 1, 2])
    np.testing.assert_allclose(model.intercepts_[-1], 0, atol=1e-8)


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
def test_fit_starts_from_the_frequencies_of_the_classes(iris, kind):
    X, y = iris[0], np.repeat([0, 1, 2], [15, 45, 90])
    weight = np.linspace(1, 3, 150)
    if kind == "binary":
        y = (y > 0) * 1
    elif kind == "multilabel":
        y = np.c_[y > 0, y > 1] * 1
    model = classifier(learning_rate_init=1e-12, lambd=0.0, max_iter=1)
    model.fit(X, y, sample_weight=weight)
    # With no weight on the inputs, the start predicts the frequencies.
    logits = model.intercepts_[-1]
    if kind == "multiclass":
        found = np.exp(logits) / np.exp(logits).sum()
        expected = [weight[y == c].sum() for c in range(3)] / weight.sum()
    else:
        found = 1 / (1 + np.exp(-logits))
        expected = np.atleast_1d(weight @ y / weight.sum())
    np.testing.assert_allclose(found, expected, atol=2e-3)


@pytest.mark.parametrize("random_state", [-1, 1.5, "a"])
def test_sample_proba_with_a_bad_random_state(iris, random_state):
    model = classifier(keep_prob=0.5).fit(*iris)
    with pytest.raises(ValueError, match="random_state="):
        model.sample_proba(iris[0], random_state=random_state)


def test_keep_prob_of_each_layer(iris):
    # A layer that keeps all, and one that keeps next to nothing.
    X, y = iris
    model = classifier(keep_prob=(1.0, 0.3)).fit(X, y)
    hidden = np.maximum(X[0] @ model.coefs_[0] + model.intercepts_[0], 0)
    second = np.maximum(hidden @ model.coefs_[1] + model.intercepts_[1], 0)
    logits = np.log(model.sample_proba(X[:1], n_samples=2000, random_state=0)[:, 0])
    contrasts = logits[:, 0] - logits[:, 1]
    W = model.coefs_[2][:, 0] - model.coefs_[2][:, 1]
    mean = second @ W + model.intercepts_[2][0] - model.intercepts_[2][1]
    spread = np.sqrt(np.sum((second * W) ** 2) * 0.7 / 0.3)
    assert contrasts.mean() == pytest.approx(mean, abs=5 * spread / np.sqrt(2000))
    assert contrasts.std() == pytest.approx(spread, rel=0.1)


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_dropped_inputs_have_the_mean_of_the_inputs(container):
    # With one input and no bias, a logit is dropped or divided by input_keep_prob.
    X = np.full((4000, 1), 2.0)
    y = np.arange(4000) % 2
    model = classifier(hidden_layer_sizes=(1,), activation="identity", max_iter=1)
    model.set_params(input_keep_prob=0.25, standardize=False).fit(X, y)
    model.coefs_ = [np.ones((1, 1)), np.ones((1, 1))]
    model.intercepts_ = [np.zeros(1), np.zeros(1)]
    proba = model.sample_proba(container(X), n_samples=1, random_state=0)[0, :, 1]
    logits = np.log(proba / (1 - proba))
    np.testing.assert_allclose(logits[logits > 1e-9], 2.0 / 0.25)
    assert (logits > 1e-9).mean() == pytest.approx(0.25, abs=0.03)


def test_duplicates_of_a_sparse_table_are_one_value(iris):
    twice = sparse.coo_array(
        (np.ones(20), (np.repeat(np.arange(10), 2), np.zeros(20, int))), shape=(10, 2)
    )
    X = sparse.csr_array((twice.data, twice.col, np.arange(0, 21, 2)), shape=(10, 2))
    assert X.nnz == 20
    model = classifier(input_keep_prob=0.5).fit(X, np.arange(10) % 2)
    assert X.nnz == 20
    plain = classifier(input_keep_prob=0.5).fit(
        sparse.csr_array(X.toarray()), np.arange(10) % 2
    )
    assert_same_weights(model, plain)


def test_a_scorer_that_fails_is_named(iris):
    X, y = iris
    y = np.r_[y[:-1], 3]
    with pytest.raises(ValueError, match=r"scoring='neg_log_loss' failed"):
        classifier(early_stopping=True, scoring="neg_log_loss").fit(X, y)
    for solver in ("adam", "lbfgs"):
        model = classifier(solver=solver, early_stopping=True)
        model.set_params(scoring=lambda m, X, y: np.nan)
        with pytest.raises(ValueError, match=r"scoring=.* gave NaN"):
            model.fit(X, y)


@pytest.mark.parametrize("name", ["X_val", "y_val", "sample_weight_val"])
def test_nan_in_validation_rows_names_them(iris, name):
    X, y = iris
    arguments = {
        "X_val": X.copy(),
        "y_val": y.astype(float),
        "sample_weight_val": np.ones(150),
    }
    arguments[name].flat[3] = np.nan
    with pytest.raises(ValueError, match=name):
        classifier(early_stopping=True).fit(X, y, **arguments)


def test_the_validation_rows_stay_the_same_over_warm_starts(iris):
    X, y = iris
    rows = []

    def scorer(model, X, y):
        rows.append(X.sum())
        return 0.0

    model = classifier(
        early_stopping=True, scoring=scorer, warm_start=True, random_state=None
    )
    model.set_params(max_iter=1).fit(X, y).fit(X, y)
    assert len(set(rows)) == 1
