"""What must hold for any data: drawn by hypothesis, with small networks."""

import pickle

import numpy as np
import pytest
from helpers import assert_same_weights, weights_of
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.base import clone

from skreg import RegularizedMLPClassifier

SOME = settings(max_examples=15)
KINDS = ["binary", "multiclass", "multilabel"]
VALUES = st.floats(-2, 2, width=16)

# All values of a column may be tiny.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*columns of X have magnitudes far from 1"
)


@st.composite
def data(draw, kinds=KINDS, n_max=16):
    """X, y of a kind, every class in it."""
    kind = draw(st.sampled_from(kinds))
    n, n_features = draw(st.integers(6, n_max)), draw(st.integers(1, 4))
    X = draw(hnp.arrays(float, (n, n_features), elements=VALUES))
    if kind == "multilabel":
        y = draw(hnp.arrays(int, (n, 2), elements=st.integers(0, 1)))
        assume(y.any())
        return X, y
    n_classes = 2 if kind == "binary" else draw(st.integers(3, 4))
    y = draw(hnp.arrays(int, n, elements=st.integers(0, n_classes - 1)))
    y[:n_classes] = np.arange(n_classes)
    return X, y


@st.composite
def estimators(draw, **fixed):
    """An estimator that trains for a few epochs and warns of nothing."""
    parameters = {
        "hidden_layer_sizes": tuple(
            draw(st.lists(st.integers(1, 5), min_size=1, max_size=2))
        ),
        "activation": draw(st.sampled_from(["identity", "logistic", "tanh", "relu"])),
        "lambd": draw(st.sampled_from([0.0, 0.3, 5.0])),
        "solver": draw(st.sampled_from(["adam", "sgd"])),
        "batch_size": draw(st.sampled_from([3, 5, "full"])),
        "keep_prob": draw(st.sampled_from([0.5, 0.9, 1.0])),
        "shuffle": draw(st.booleans()),
        "learning_rate_init": draw(st.sampled_from([0.003, 0.03])),
        "averaging": draw(st.sampled_from([0.0, 0.9])),
        "random_state": draw(st.integers(0, 2**32 - 1)),
    }
    parameters.update(fixed)
    return RegularizedMLPClassifier(learning_rate="cosine", max_iter=4, **parameters)


def started(estimator, X, y, coefs, intercepts):
    """A clone that `fit` trains further from the weights given."""
    estimator = clone(estimator).fit(X, y)
    estimator.coefs_, estimator.intercepts_ = list(coefs), list(intercepts)
    estimator.t_ = 0
    return estimator.set_params(warm_start=True)


def assert_predictions(a, b):
    """To rounding, which a few epochs may have magnified."""
    np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-7)


# The same problem, written otherwise -------------------------------------------------


@SOME
@given(data(["binary", "multiclass"]), estimators(), st.booleans(), st.data())
def test_renamed_labels_give_the_same_model(problem, estimator, strings, drawn):
    X, y = problem
    n_classes = int(y.max()) + 1
    names = st.text(max_size=5) if strings else st.integers(-1000, 1000)
    # In order, so that each class keeps its place.
    renamed = np.array(
        sorted(drawn.draw(st.sets(names, min_size=n_classes, max_size=n_classes)))
    )
    # Arrays of text drop null characters at the end.
    assume(len(set(renamed.tolist())) == n_classes)
    assume(renamed.tolist() == sorted(renamed.tolist()))
    a, b = clone(estimator).fit(X, y), clone(estimator).fit(X, renamed[y])
    assert_same_weights(a, b)
    np.testing.assert_array_equal(b.classes_, renamed)
    np.testing.assert_array_equal(b.predict(X), renamed[a.predict(X)])
    np.testing.assert_array_equal(a.predict_proba(X), b.predict_proba(X))


@SOME
@given(
    data(["binary", "multiclass"]),
    estimators(keep_prob=1.0, shuffle=False, solver="sgd"),
    st.randoms(use_true_random=False),
)
def test_permuted_classes_permute_the_probabilities(problem, estimator, random):
    """With the outputs of the start permuted alike."""
    X, y = problem
    n_classes = int(y.max()) + 1
    order = np.array(random.sample(range(n_classes), n_classes))
    start = clone(estimator).fit(X, y)
    coefs, intercepts = list(start.coefs_), list(start.intercepts_)
    a = started(estimator, X, y, coefs, intercepts).fit(X, y)
    # Class k becomes order[k].
    if n_classes == 2:
        sign = -1 if order[0] == 1 else 1
        coefs[-1], intercepts[-1] = sign * coefs[-1], sign * intercepts[-1]
    else:
        back = np.argsort(order)
        coefs[-1], intercepts[-1] = coefs[-1][:, back], intercepts[-1][back]
    b = started(estimator, X, order[y], coefs, intercepts).fit(X, order[y])
    assert_predictions(b.predict_proba(X)[:, order], a.predict_proba(X))


@SOME
@given(
    data(),
    # Of constant columns nothing is left but the kink of RELU, where rounding decides.
    estimators(keep_prob=1.0, shuffle=False, solver="sgd", standardize=False),
    st.randoms(use_true_random=False),
)
def test_permuted_columns_give_the_same_model(problem, estimator, random):
    """With the weights of the start permuted alike."""
    X, y = problem
    order = np.array(random.sample(range(X.shape[1]), X.shape[1]))
    start = clone(estimator).fit(X, y)
    coefs, intercepts = list(start.coefs_), list(start.intercepts_)
    a = started(estimator, X, y, coefs, intercepts).fit(X, y)
    permuted = [coefs[0][order], *coefs[1:]]
    b = started(estimator, X[:, order], y, permuted, intercepts).fit(X[:, order], y)
    assert_predictions(a.predict_proba(X), b.predict_proba(X[:, order]))
    assert_predictions(a.coefs_[0][order], b.coefs_[0])
    assert_predictions(a.loss_curve_, b.loss_curve_)


@SOME
@given(
    data(),
    estimators(keep_prob=1.0, batch_size="full", solver="sgd"),
    st.randoms(use_true_random=False),
)
def test_permuted_rows_give_the_same_model_in_full_batch(problem, estimator, random):
    X, y = problem
    order = np.array(random.sample(range(len(X)), len(X)))
    weight = np.linspace(0.5, 2, len(X))
    a = clone(estimator).fit(X, y, weight)
    b = clone(estimator).fit(X[order], y[order], weight[order])
    assert_predictions(a.predict_proba(X), b.predict_proba(X))
    assert_predictions(a.loss_, b.loss_)


@SOME
@given(
    data(),
    estimators(keep_prob=1.0, shuffle=False, solver="sgd", standardize=False),
)
def test_a_column_of_zeros_and_a_hidden_unit_of_zeros_add_nothing(problem, estimator):
    X, y = problem
    start = clone(estimator).fit(X, y)
    a = started(estimator, X, y, start.coefs_, start.intercepts_).fit(X, y)
    wider = np.column_stack([X, np.zeros(len(X))])
    coefs = [np.vstack([start.coefs_[0], np.ones(start.coefs_[0].shape[1])])]
    coefs += start.coefs_[1:]
    b = started(estimator, wider, y, coefs, start.intercepts_).fit(wider, y)
    assert_predictions(a.predict_proba(X), b.predict_proba(wider))


# Weights -----------------------------------------------------------------------------


@SOME
@given(
    data(),
    estimators(keep_prob=1.0, batch_size="full", epsilon=1e-3, early_stopping=False),
    st.data(),
)
def test_a_weight_of_k_is_k_copies_in_full_batch(problem, estimator, drawn):
    """With a large epsilon: Adam would magnify the rounding of a gradient of zero."""
    X, y = problem
    k = drawn.draw(hnp.arrays(int, len(X), elements=st.integers(0, 4)))
    # All classes stay.
    k[: y.max() + 1] += 1
    weighted = clone(estimator).fit(X, y, k)
    copied = clone(estimator).fit(np.repeat(X, k, axis=0), np.repeat(y, k, axis=0))
    for p, q in zip(weights_of(weighted), weights_of(copied), strict=True):
        np.testing.assert_allclose(p, q, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(weighted.loss_, copied.loss_, rtol=1e-7)


@SOME
@given(
    data(n_max=12),
    estimators(
        keep_prob=1.0,
        batch_size="full",
        epsilon=1e-3,
        averaging=0.9,
        early_stopping="auto",
        early_stopping_refit="auto",
    ),
    st.data(),
)
def test_a_weight_of_k_is_k_copies_for_the_mean_of_epochs_and_below_40_rows(
    problem, estimator, drawn
):
    X, y = problem
    k = drawn.draw(hnp.arrays(int, len(X), elements=st.integers(0, 2)))
    k[: y.max() + 1] += 1
    assert k.sum() < 40
    weighted = clone(estimator).fit(X, y, k)
    copied = clone(estimator).fit(np.repeat(X, k, axis=0), np.repeat(y, k, axis=0))
    for model in (weighted, copied):
        # No row has been set aside.
        assert model.validation_scores_ is None
        assert model.n_iter_ == 4
    for p, q in zip(weights_of(weighted), weights_of(copied), strict=True):
        np.testing.assert_allclose(p, q, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(weighted.loss_curve_, copied.loss_curve_, rtol=1e-7)


@SOME
@given(data(), estimators(), st.data())
def test_a_weight_of_zero_is_no_row(problem, estimator, drawn):
    X, y = problem
    weight = drawn.draw(
        hnp.arrays(float, len(X), elements=st.sampled_from([0.0, 0.5, 1.0, 3.0]))
    )
    assume(weight.any())
    kept = weight > 0
    a = clone(estimator).fit(X, y, weight)
    b = clone(estimator).fit(X[kept], y[kept], weight[kept])
    assert_same_weights(a, b)
    np.testing.assert_array_equal(a.classes_, b.classes_)


@SOME
@given(data(), estimators(lambd=0.0), st.integers(-100, 100))
def test_the_scale_of_weights_does_not_matter_without_a_penalty(
    problem, estimator, power
):
    X, y = problem
    weight = np.linspace(0.5, 2, len(X))
    a = clone(estimator).fit(X, y, weight)
    # A power of two: no digit is lost.
    b = clone(estimator).fit(X, y, weight * 2.0**power)
    assert_same_weights(a, b)


# Copies ------------------------------------------------------------------------------


@SOME
@given(data(), estimators())
def test_copies_are_the_same_model(problem, estimator):
    X, y = problem
    estimator.fit(X, y)
    pickled = pickle.loads(pickle.dumps(estimator))
    assert_same_weights(estimator, pickled)
    np.testing.assert_array_equal(estimator.predict(X), pickled.predict(X))
    refitted = clone(estimator).fit(X, y)
    assert_same_weights(estimator, refitted)
    # They go on alike.
    estimator.partial_fit(X, y)
    assert_same_weights(estimator, pickled.partial_fit(X, y))
    assert_same_weights(estimator, refitted.partial_fit(X, y))


# Outputs -----------------------------------------------------------------------------


@SOME
@given(
    data(),
    estimators(),
    st.floats(-300, 300),
    st.sampled_from([np.float32, np.float64]),
)
def test_probabilities_are_probabilities(problem, estimator, scale, dtype):
    X, y = problem
    estimator.fit(X.astype(dtype), y)
    # Rows like those of training, and some far out.
    rows = np.vstack([X, scale * X]).astype(dtype)
    proba, log_proba = estimator.predict_proba(rows), estimator.predict_log_proba(rows)
    assert proba.dtype == log_proba.dtype == dtype
    assert (proba >= 0).all()
    assert (proba <= 1).all()
    assert (log_proba <= 0).all()
    assert np.isfinite(log_proba).all()
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(np.exp(log_proba), proba, rtol=0, atol=4 * eps)
    logits, predicted = estimator.decision_function(rows), estimator.predict(rows)
    if y.ndim == 2:
        np.testing.assert_array_equal(predicted, logits > 0)
        return
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=0, atol=8 * eps)
    if logits.ndim == 1:
        np.testing.assert_array_equal(predicted, logits > 0)
    else:
        np.testing.assert_array_equal(predicted, logits.argmax(axis=1))
    # No other class is more probable.
    best = np.take_along_axis(proba, predicted[:, np.newaxis], axis=1)
    assert (proba <= best).all()


@SOME
@given(data(), estimators(), st.sampled_from([0, 1, 2]))
def test_the_input_is_not_changed(problem, estimator, how):
    X, y = problem
    weight = np.linspace(0, 2, len(X))
    arrays = [X, y, weight]
    copies = [a.copy() for a in arrays]
    for a in arrays:
        a.flags.writeable = False
    if how == 0:
        estimator.fit(X, y, weight)
    elif how == 1:
        estimator.fit(X, y)
    else:
        n_classes = y.shape[1] if y.ndim == 2 else y.max() + 1
        estimator.partial_fit(X, y, weight, classes=np.arange(n_classes))
    estimator.predict_proba(X)
    estimator.predict(X)
    for a, b in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(a, b)


@SOME
@given(data(), estimators(solver="sgd", activation="tanh"))
def test_float32_and_float64_agree(problem, estimator):
    """The same initial weights, order and masks, rounded."""
    X, y = problem
    double = clone(estimator).fit(X, y)
    single = clone(estimator).fit(X.astype(np.float32), y)
    for p, q in zip(weights_of(double), weights_of(single), strict=True):
        assert q.dtype == np.float32
        np.testing.assert_allclose(p, q, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(
        double.predict_proba(X), single.predict_proba(X.astype(np.float32)), atol=1e-3
    )
    np.testing.assert_allclose(double.loss_curve_, single.loss_curve_, rtol=1e-3)


@SOME
@given(data(n_max=30), estimators(), st.integers(1, 31))
def test_rows_are_predicted_one_by_one(problem, estimator, n_rows):
    """What stands beside a row does not matter."""
    X, y = problem
    estimator.fit(X, y)
    together = estimator.predict_proba(X)
    for start in range(0, len(X), n_rows):
        part = estimator.predict_proba(X[start : start + n_rows])
        np.testing.assert_allclose(
            part, together[start : start + n_rows], rtol=0, atol=1e-13
        )


@SOME
@given(data(), estimators(batch_size="full", keep_prob=1.0, lambd=0.3))
def test_short_steps_of_gradient_descent_lower_the_objective(problem, estimator):
    X, y = problem
    estimator.set_params(
        solver="sgd", momentum=0.0, learning_rate_init=1e-5, activation="tanh"
    ).fit(X, y)
    assert (np.diff(estimator.loss_curve_) <= 1e-12).all()
