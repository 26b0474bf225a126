"""When early stopping sets rows aside, on which splits, and what it trains at last."""

import math
import pickle
from functools import partial

import numpy as np
import pandas as pd
import pytest
from helpers import network
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import make_classification, make_multilabel_classification
from sklearn.metrics import log_loss

from skreg._training.descent import Result
from skreg._training.early_stopping import (
    Agreed,
    agreed,
    joined,
    rounds_of,
    trains_again,
    validation_rows,
)
from skreg._training.problem import Problem
from skreg._training.rows import given_rows

SLOW = pytest.mark.slow

classifier = partial(network, early_stopping=True)
# With the scale of all rows a split is not as if it were alone.
plain = partial(classifier, standardize=False)


def table(n_rows=120, n_classes=3, seed=0):
    return make_classification(
        n_rows,
        6,
        n_informative=4,
        n_classes=n_classes,
        flip_y=0.2,
        random_state=seed,
    )


def problem_of(rows_of_classes, n_networks=1, **parameters):
    """Networks and rows to train on, of which no training follows."""
    y = np.repeat(np.arange(len(rows_of_classes)), rows_of_classes)
    rows = given_rows(network(), np.ones((len(y), 1)), y).training
    return Problem.of([classifier(**parameters)] * n_networks, rows)


def assert_same_weights(found, expected):
    for a, b in zip(
        found.coefs_ + found.intercepts_,
        expected.coefs_ + expected.intercepts_,
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


class Rows:
    """A scorer like 'loss', which notes the rows that it sees."""

    def __init__(self):
        self.seen = []

    def __call__(self, model, X, y):
        X = X.toarray() if sparse.issparse(X) else X
        if not any(np.array_equal(X, other) for other, _ in self.seen):
            self.seen.append((X.copy(), y.copy()))
        return -log_loss(y, model.predict_proba(X), labels=model.classes_)


def without(X, y, rows):
    """The rows of X and y that are not among these."""
    left = ~(X[:, np.newaxis] == rows).all(axis=2).any(axis=1)
    return X[left], y[left]


def epochs_until_the_plateau(scores, patience, tol):
    """After how many epochs ``patience`` in a row have not improved by ``tol``."""
    for end in range(patience, len(scores) + 1):
        best_before = [max(scores[: end - i], default=-np.inf) for i in range(1, 5)]
        late = scores[end - patience : end][::-1]
        if all(s < b + tol for s, b in zip(late, best_before, strict=True)):
            return end
    return len(scores)


def epochs_on_all_rows(best, max_iter):
    """Half as many again as were best, but of up to 6 these."""
    return min(round(1.5 * best), max_iter) if best > 6 else best


# When --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n_rows", "parameters", "stops"),
    [
        (39, {}, False),
        (40, {}, True),
        (100, {"solver": "sgd"}, True),
        (100, {"solver": "lbfgs", "max_iter": 2000}, False),
        (100, {"validation_fraction": 0}, False),
        (40, {"early_stopping": True}, True),
        (100, {"early_stopping": False}, False),
    ],
)
def test_auto_sets_rows_aside_from_40_rows(n_rows, parameters, stops):
    X, y = table(n_rows)
    model = classifier(**{"early_stopping": "auto", **parameters}).fit(X, y)
    assert (model.validation_scores_ is not None) == stops
    assert (model.best_validation_score_ is not None) == stops
    assert (model.best_loss_ is None) == stops


@pytest.mark.parametrize(
    ("rows_of_classes", "stops"),
    [
        ([20, 19], False),
        ([20, 20], True),
        ([300, 300], True),
        # One class with two rows is enough.
        ([2] + [1] * 38, True),
        ([2] * 20, True),
    ],
)
@pytest.mark.filterwarnings("ignore:The number of unique classes")
def test_auto_counts_rows_and_those_of_the_classes(rows_of_classes, stops):
    problem = problem_of(rows_of_classes, early_stopping="auto")
    assert [each.validation is not None for each in rounds_of(problem, None)] == [stops]


def test_auto_counts_the_rows_that_have_a_weight():
    X, y = table(120)
    weight = np.ones(120)
    weight[:81] = 0
    model = classifier(early_stopping="auto")
    assert model.fit(X, y, weight).validation_scores_ is None
    weight[0] = 1
    assert model.fit(X, y, weight).validation_scores_ is not None


@pytest.mark.filterwarnings("ignore:The number of unique classes")
def test_auto_does_not_split_classes_of_one_row_each():
    X, _ = table(100)
    model = classifier(early_stopping="auto", max_iter=2).fit(X, np.arange(100))
    assert model.validation_scores_ is None


def test_auto_takes_given_validation_rows_however_few_rows_there_are():
    X, y = table(30)
    model = classifier(
        early_stopping="auto", early_stopping_refit=True, n_validation_splits=3
    )
    with pytest.warns(UserWarning, match="X_val takes the place of rows"):
        model.fit(X[:20], y[:20], X_val=X[20:], y_val=y[20:])
    expected = classifier().fit(X[:20], y[:20], X_val=X[20:], y_val=y[20:])
    # Nothing was set aside, so that there is nothing to go back to.
    assert_same_weights(model, expected)
    assert model.validation_scores_ == expected.validation_scores_


def test_auto_works_for_multilabel_targets():
    X, Y = make_multilabel_classification(110, 6, n_classes=3, random_state=0)
    model = classifier(early_stopping="auto", early_stopping_refit="auto").fit(X, Y)
    assert len(model.validation_scores_) >= model.best_n_iter_


def test_auto_leaves_partial_fit_to_be_called():
    X, y = table(150)
    automatic = classifier(early_stopping="auto", averaging=0.9)
    automatic.partial_fit(X, y, classes=[0, 1, 2]).partial_fit(X, y)
    plain = classifier(early_stopping=False)
    plain.partial_fit(X, y, classes=[0, 1, 2]).partial_fit(X, y)
    assert_same_weights(automatic, plain)
    assert automatic.validation_scores_ is None


@pytest.mark.parametrize(
    ("n_rows", "fraction", "expected"),
    [
        ([10, 24], 0.1, [1, 2]),
        ([16, 25, 35], 0.1, [2, 2, 4]),
        # One at least, and one at least is left.
        ([3, 2, 1], 0.1, [1, 1, 0]),
        ([3, 2, 1, 0], 0.99, [2, 1, 0, 0]),
    ],
)
def test_each_class_has_its_fraction_of_validation_rows(n_rows, fraction, expected):
    found = validation_rows(np.array(n_rows), fraction)
    assert found.tolist() == expected


@pytest.mark.parametrize(("n_rows", "fraction"), [([9, 9], 0.0), ([1, 1, 1], 0.5)])
def test_no_rows_for_validation_are_an_error(n_rows, fraction):
    with pytest.raises(ValueError, match=f"={fraction} leaves no rows for validation"):
        validation_rows(np.array(n_rows), fraction)


# On which rows, and what follows -----------------------------------------------------


@pytest.mark.parametrize(
    ("n_rows", "n_splits"), [(100, 10), (520, 6), (1600, 2), (3100, 1)]
)
def test_auto_has_300_validation_rows_in_at_most_ten_splits(n_rows, n_splits):
    X, y = table(n_rows)
    scorer = Rows()
    classifier(early_stopping_refit=True, scoring=scorer, max_iter=2).fit(X, y)
    assert len(scorer.seen) == n_splits
    # No row is in two of them before all rows of its class are in one.
    held_out = [{row.tobytes() for row in rows} for rows, _ in scorer.seen]
    times = np.array([sum(row.tobytes() in of for of in held_out) for row in X])
    for label in np.unique(y):
        assert np.ptp(times[y == label]) <= 1


@pytest.mark.parametrize(("n_validation", "n_splits"), [(299, 2), (300, 1)])
def test_300_validation_rows_are_enough(n_validation, n_splits):
    problem = problem_of([1500, 10 * n_validation - 1500], early_stopping_refit=True)
    rounds = rounds_of(problem, None)
    assert [each.validation.n_rows for each in rounds] == [n_validation] * n_splits


@pytest.mark.parametrize(
    "kind",
    ["dense", *(pytest.param(kind, marks=SLOW) for kind in ("sparse", "weighted"))],
)
def test_the_best_epoch_is_that_of_the_mean_score_of_the_splits(kind):
    X, y = table()
    weight = None
    if kind == "weighted":
        weight = np.random.default_rng(0).integers(1, 4, len(y)).astype(float)
    scorer = Rows()
    of_scorer = plain(n_validation_splits=3, early_stopping_refit=True, scoring=scorer)
    if kind == "weighted":
        of_scorer.set_params(scoring="loss")
        plain(n_validation_splits=3, early_stopping_refit=True, scoring=scorer).fit(
            X, y
        )
    found = of_scorer.fit(sparse.csr_matrix(X) if kind == "sparse" else X, y, weight)
    assert len(scorer.seen) == 3

    curves = []
    for X_val, y_val in scorer.seen:
        X_train, y_train = without(X, y, X_val)
        assert len(X_train) + len(X_val) == len(X)
        arguments = {}
        if weight is not None:
            of_row = {row.tobytes(): w for row, w in zip(X, weight, strict=True)}
            arguments = {
                "sample_weight": [of_row[row.tobytes()] for row in X_train],
                "sample_weight_val": [of_row[row.tobytes()] for row in X_val],
            }
        one = plain(n_iter_no_change=np.inf)
        one.fit(X_train, y_train, X_val=X_val, y_val=y_val, **arguments)
        curves.append(one.validation_scores_)
    expected = np.mean(curves, axis=0)
    end = epochs_until_the_plateau(expected, patience=4, tol=1e-4)
    assert end < 25
    np.testing.assert_allclose(found.validation_scores_, expected[:end], rtol=1e-9)
    assert found.best_n_iter_ == expected[:end].argmax() + 1
    assert found.best_validation_score_ == pytest.approx(expected[:end].max())


@pytest.mark.parametrize("n_splits", [1, 2])
@pytest.mark.parametrize(
    "parameters",
    [
        {"learning_rate": "constant"},
        {"learning_rate": "invscaling", "solver": "sgd", "tol": 0.01},
        {"learning_rate": "constant", "keep_prob": 0.8, "averaging": 0.5},
        {"learning_rate": "constant", "n_iter_no_change": 1, "tol": 1.0},
    ],
)
def test_the_refit_is_a_fit_of_all_rows_for_half_as_many_epochs_again(
    n_splits, parameters
):
    X, y = table()
    found = classifier(
        early_stopping_refit=True, n_validation_splits=n_splits, **parameters
    ).fit(X, y)
    n_epochs = epochs_on_all_rows(found.best_n_iter_, 25)
    assert found.n_iter_ == n_epochs
    expected = classifier(
        **{
            **parameters,
            "early_stopping": False,
            "max_iter": n_epochs,
            "n_iter_no_change": np.inf,
        }
    )
    with pytest.warns(UserWarning, match="before it had converged"):
        expected.fit(X, y)
    assert_same_weights(found, expected)
    np.testing.assert_allclose(found.loss_curve_, expected.loss_curve_)
    assert found.loss_ == found.loss_curve_[-1]


def test_the_refit_has_the_same_course_of_the_cosine():
    X, y = table()
    found = classifier(early_stopping_refit=True).fit(X, y)
    assert found.n_iter_ < 25
    # Whole, the course is the same; the loss of an epoch does not know of later ones.
    whole = classifier(early_stopping=False).fit(X, y)
    np.testing.assert_allclose(found.loss_curve_, whole.loss_curve_[: found.n_iter_])
    assert found.converged_


def test_the_refit_of_lbfgs_makes_as_many_iterations():
    X, y = table()
    found = classifier(
        solver="lbfgs", early_stopping_refit=True, max_iter=200, n_validation_splits=1
    ).fit(X, y)
    n_epochs = epochs_on_all_rows(found.best_n_iter_, 200)
    assert found.n_iter_ == n_epochs
    expected = classifier(solver="lbfgs", early_stopping=False, max_iter=n_epochs)
    with pytest.warns(UserWarning, match="TOTAL NO. (OF|of) ITERATIONS REACHED LIMIT"):
        expected.fit(X, y)
    assert_same_weights(found, expected)


def test_without_refit_the_best_weights_are_those_of_the_split():
    X, y = table()
    scorer = Rows()
    found = plain(scoring=scorer).fit(X, y)
    ((X_val, y_val),) = scorer.seen
    X_train, y_train = without(X, y, X_val)
    expected = plain().fit(X_train, y_train, X_val=X_val, y_val=y_val)
    assert_same_weights(found, expected)
    assert found.best_n_iter_ == expected.best_n_iter_


@pytest.mark.parametrize(("n_rows", "refits"), [(10_000, True), (10_001, False)])
def test_auto_refits_up_to_10_000_rows(n_rows, refits):
    X, y = table(n_rows)
    model = classifier(early_stopping_refit="auto", max_iter=2, batch_size=5000)
    seen = model.fit(X, y).t_
    n_training = n_rows if refits else n_rows - round(0.1 * n_rows)
    assert seen == pytest.approx(2 * n_training, abs=10)


def test_auto_refits_after_several_splits_of_however_many_rows():
    X, y = table(10_001)
    model = classifier(
        early_stopping_refit="auto", n_validation_splits=2, max_iter=1, batch_size=5000
    )
    assert model.fit(X, y).t_ == 10_001


def test_the_rows_seen_are_those_of_the_refit():
    X, y = table(100, n_classes=2)
    model = classifier(early_stopping_refit=True, n_validation_splits=2).fit(X, y)
    assert model.t_ == model.n_iter_ * 100


def test_the_model_says_whether_there_was_a_refit():
    X, y = table(100)
    model = classifier(early_stopping_refit=True, n_validation_splits=1)
    assert model.fit(X, y).refit_ is True
    with pytest.warns(UserWarning, match="^early_stopping_refit=True does nothing"):
        model.fit(X[:80], y[:80], X_val=X[80:], y_val=y[80:])
    assert model.refit_ is False
    assert model.set_params(early_stopping_refit=False).fit(X, y).refit_ is False
    model.set_params(early_stopping=False)
    assert model.partial_fit(X, y, classes=[0, 1, 2]).refit_ is False


def test_no_more_epochs_than_max_iter():
    X, y = table()
    parameters = {"max_iter": 10, "learning_rate_init": 0.001}
    model = classifier(early_stopping_refit=True, **parameters).fit(X, y)
    assert model.best_n_iter_ == model.n_iter_ == 10


def test_wide_networks_have_fewer_splits():
    """Of no more than 2**18 weights in all."""
    rows = given_rows(network(), *table(100)).training
    n_splits = {}
    for n_units in (100, 5000, 200_000):
        wide = classifier(hidden_layer_sizes=(n_units,), early_stopping_refit=True)
        n_splits[n_units] = len(rounds_of(Problem.of([wide], rows), None))
    # (6 + 3 + 1) * n_units weights, and three biases.
    assert n_splits == {100: 10, 5000: 2**18 // 50_003, 200_000: 1}


def test_the_adaptive_rate_is_not_followed_by_a_refit():
    X, y = table()
    parameters = {"learning_rate": "adaptive", "max_iter": 200}
    found = classifier(early_stopping_refit=True, **parameters)
    with pytest.warns(UserWarning, match="no training on all rows .*='adaptive'"):
        found.fit(X, y)
    assert_same_weights(found, classifier(**parameters).fit(X, y))
    # L-BFGS has no rate.
    lbfgs = classifier(early_stopping_refit=True, solver="lbfgs", **parameters)
    assert lbfgs.set_params(n_validation_splits=1).fit(X, y).refit_


@pytest.mark.parametrize(
    ("best", "expected"), [(1, 1), (6, 6), (7, 10), (8, 12), (10, 12)]
)
def test_half_as_many_epochs_again_are_at_most_max_iter(best, expected):
    rows = given_rows(network(), *table(20)).training
    scores = [*range(best), 0]
    results = [Result(np.zeros(1), validation_scores=scores)]
    found = agreed(Problem.of([network(max_iter=12)], rows), [results])
    assert found == {0: (scores, best, expected)}


@pytest.mark.parametrize(
    ("n_rows", "parameters", "expected"),
    [
        (200, {}, True),
        (10_000, {}, True),
        (10_001, {}, False),
        (10_001, {"n_validation_splits": 1}, False),
        (10_001, {"n_validation_splits": 2}, True),
        (10_001, {"early_stopping_refit": True}, True),
        (200, {"early_stopping_refit": False}, False),
        (200, {"early_stopping": False}, False),
        (200, {"warm_start": True}, False),
        (200, {"early_stopping_refit": True, "warm_start": True}, False),
        (200, {"learning_rate": "adaptive"}, False),
        (200, {"learning_rate": "adaptive", "solver": "sgd"}, False),
        (200, {"learning_rate": "adaptive", "solver": "lbfgs"}, True),
        (200, {"learning_rate": "constant"}, True),
        (200, {"learning_rate": "invscaling"}, True),
    ],
)
def test_what_is_trained_again_on_all_rows(n_rows, parameters, expected):
    parameters = {"early_stopping_refit": "auto", **parameters}
    problem = problem_of([n_rows // 2, n_rows - n_rows // 2], **parameters)
    assert trains_again(rounds_of(problem, None), problem) == expected
    # Where rows are given for it, none was set aside.
    assert not trains_again(rounds_of(problem, problem.training), problem)


def scored(*scores, **told):
    return Result(np.zeros(1), validation_scores=list(scores), **told)


@pytest.mark.parametrize(
    ("splits", "scores", "best"),
    [
        ([[1, 3, 2]], [1, 3, 2], 2),
        ([[1, 3, 2], [3, 2, 5]], [2, 2.5, 3.5], 3),
        # The first of those that are equal; the epochs that all splits have made.
        ([[4, 2, 4, 9], [2, 4, 2]], [3, 3, 3], 1),
        ([[math.nan, 1, 2, 9], [7, 1, 4, math.nan]], [math.nan, 1, 3, math.nan], 3),
    ],
)
@pytest.mark.parametrize("n_networks", [1, 3])
def test_the_mean_of_the_splits_is_agreed_on(n_networks, splits, scores, best):
    problem = problem_of([10, 10], n_networks, max_iter=4)
    of_splits = [[scored(*split) for _ in range(n_networks)] for split in splits]
    found = agreed(problem, of_splits)
    assert list(found) == list(range(n_networks))
    for each in found.values():
        np.testing.assert_array_equal(each.scores, scores)
        assert (each.best_epoch, each.n_epochs) == (best, epochs_on_all_rows(best, 4))


def test_what_fails_in_a_split_is_not_trained_again():
    first, second = ValueError("first"), ValueError("second")
    failed = [
        (scored(1.0), scored(1.0, failure=first)),
        (scored(1.0, failure=first), scored(1.0, failure=second)),
        (scored(math.nan, math.nan), scored(1.0, 1.0)),
    ]
    whole = (scored(1.0), scored(2.0))
    # No epoch, and so nothing to agree on, is no failure.
    empty = (scored(), scored())
    networks = [*failed, whole, empty]
    found = agreed(problem_of([10, 10], 5), list(zip(*networks, strict=True)))
    assert found == {3: ([1.5], 1, 1)}
    assert [of[0].failure for of in networks[:2]] == [first, first]
    assert "NaN on the validation rows" in str(networks[2][0].failure)
    assert "each of 2 epochs" in str(networks[2][0].failure)
    assert whole[0].failure is empty[0].failure is None


@pytest.mark.parametrize("n_unfinished", [0, 1, 2])
def test_the_scores_and_the_end_are_those_of_the_splits(n_unfinished):
    last = Result(np.ones(1), loss_curve=[2.0, 1.0], n_epochs=2, message="all rows")
    splits = [
        scored(converged=number >= n_unfinished, message=f"split {number}")
        for number in range(3)
    ]
    found = joined(last, splits[::-1], Agreed([4.0, 9.0, 7.0], 2, 3))
    assert (found.refit, found.watched) == (True, True)
    assert found.validation_scores == [4.0, 9.0, 7.0]
    assert (found.best_epoch, found.best_score) == (2, 9.0)
    assert found.converged == (n_unfinished == 0)
    expected = f"split {n_unfinished - 1}" if n_unfinished else "all rows"
    assert found.message == expected
    assert (found.theta, found.loss_curve, found.n_epochs) == (last.theta, [2, 1], 2)


@pytest.mark.parametrize(
    "parameters",
    [
        {"early_stopping_refit": False},
        {"early_stopping_refit": True, "learning_rate": "adaptive"},
    ],
)
def test_splits_without_a_refit_are_refused(parameters):
    X, y = table()
    model = classifier(n_validation_splits=2, **parameters)
    with pytest.raises(ValueError, match=r"n_validation_splits=2 .*Set early_stopping"):
        model.fit(X, y)


def test_a_warm_start_does_not_judge_by_rows_that_it_has_seen():
    X, y = table(300)
    y = np.random.default_rng(0).permutation(y)
    model = classifier(early_stopping_refit="auto", warm_start=True, lambd=0.0)
    model.set_params(n_iter_no_change=np.inf)
    scores = [model.fit(X, y).validation_scores_[-1] for _ in range(3)]
    assert model.t_ == 3 * 25 * 270
    # There is nothing to learn, and nothing that looks as if: log 3 is 1.099.
    assert max(scores) < -1.05


def test_scores_that_are_nan_in_one_split_do_not_choose():
    X, y = table()
    seen = []

    def scorer(model, X, y):
        if not any(np.array_equal(X, other) for other in seen):
            seen.append(X.copy())
        first = np.array_equal(X, seen[0])
        scorer.n_calls = 1 if not first else getattr(scorer, "n_calls", 0) + 1
        return np.nan if first and scorer.n_calls == 2 else 1.0

    model = classifier(
        early_stopping_refit=True, n_validation_splits=2, scoring=scorer, max_iter=4
    ).fit(X, y)
    assert model.best_n_iter_ == 1
    assert np.isnan(model.validation_scores_[1])


def test_scores_that_are_nan_in_all_epochs_raise():
    X, y = table()
    calls = []

    def scorer(model, X, y):
        calls.append(X.tobytes())
        number = list(dict.fromkeys(calls)).index(X.tobytes())
        return [1.0, np.nan][(calls.count(X.tobytes()) + number) % 2]

    model = classifier(
        early_stopping_refit=True, n_validation_splits=2, scoring=scorer, max_iter=2
    )
    with pytest.raises(ValueError, match=r"gave NaN .* of a split in each of 2 epochs"):
        model.fit(X, y)


def test_without_an_iteration_there_is_nothing_to_train_again():
    """L-BFGS that begins where the gradient is small enough has no best iteration."""
    X, y = table()
    model = classifier(
        solver="lbfgs", tol=1e3, early_stopping_refit=True, n_validation_splits=2
    ).fit(X, y)
    assert model.n_iter_ == 0
    assert not model.refit_
    assert model.validation_scores_ == []
    once = classifier(solver="lbfgs", tol=1e3).fit(X, y)
    assert_same_weights(model, once)


def test_the_warning_of_convergence_is_of_the_splits():
    X, y = table()
    model = classifier(
        early_stopping_refit=True,
        n_validation_splits=2,
        learning_rate="constant",
        learning_rate_init=0.002,
        max_iter=12,
        n_iter_no_change=np.inf,
        lambd=30.0,
    )
    with pytest.warns(UserWarning, match=r"stopped after 12 iterations"):
        model.fit(X, y)
    assert not model.converged_
    lbfgs = classifier(
        solver="lbfgs",
        early_stopping_refit=True,
        n_validation_splits=2,
        n_iter_no_change=np.inf,
        max_iter=12,
    )
    with pytest.warns(UserWarning, match=r"after 12 .* REACHED LIMIT.*max_iter=12"):
        lbfgs.fit(X, y)


@pytest.mark.parametrize("split", [0, 1])
@pytest.mark.parametrize("averaging", [0.0, 0.5])
def test_ctrl_c_in_an_epoch_of_a_split_ends_all(split, averaging):
    X, y = table()
    calls = []

    def scorer(model, X, y):
        calls.append(X.tobytes())
        of_split = list(dict.fromkeys(calls))
        is_split = len(of_split) > split and X.tobytes() == of_split[split]
        if is_split and calls.count(X.tobytes()) == 4:
            raise KeyboardInterrupt
        return -log_loss(y, model.predict_proba(X), labels=model.classes_)

    parameters = {"averaging": averaging, "n_iter_no_change": np.inf}
    model = classifier(
        early_stopping_refit=True, n_validation_splits=3, scoring=scorer, **parameters
    )
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    # The first split had come to its fourth epoch, or was in it.
    assert len(model.validation_scores_) == 3 + split
    assert model.n_iter_ == 3 + split
    assert len(calls) == 3 * 3 + split + 1
    assert model.predict(X).shape == y.shape


def test_seeds_and_pickles_give_the_same_model():
    X, y = table()
    model = classifier(early_stopping_refit=True, n_validation_splits=2).fit(X, y)
    assert_same_weights(clone(model).fit(X, y), model)
    assert_same_weights(pickle.loads(pickle.dumps(model)), model)
    state = np.random.RandomState(1)
    one = clone(model).set_params(random_state=state).fit(X, y)
    other = clone(one).set_params(random_state=np.random.RandomState(1)).fit(X, y)
    assert_same_weights(one, other)


# The mean of the weights -------------------------------------------------------------


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_averaging_is_the_mean_of_the_weights_after_each_epoch(solver):
    X, y = table()
    parameters = {
        "solver": solver,
        "early_stopping": False,
        "learning_rate": "constant",
        "keep_prob": 0.8,
        "n_iter_no_change": np.inf,
    }

    def fitted(n_epochs, **more):
        model = classifier(max_iter=n_epochs, **parameters, **more)
        with pytest.warns(UserWarning, match="before it had converged"):
            return model.fit(X, y)

    iterates = [fitted(n_epochs) for n_epochs in range(1, 6)]
    found = fitted(5, averaging=0.7)
    shares = 0.7 ** np.arange(4, -1, -1)
    for layer, coef in enumerate(found.coefs_):
        expected = np.average(
            [one.coefs_[layer] for one in iterates], axis=0, weights=shares
        )
        np.testing.assert_allclose(coef, expected, rtol=1e-9, atol=1e-12)
    for layer, intercept in enumerate(found.intercepts_):
        expected = np.average(
            [one.intercepts_[layer] for one in iterates], axis=0, weights=shares
        )
        np.testing.assert_allclose(intercept, expected, rtol=1e-9, atol=1e-12)
    # Training itself does not change.
    np.testing.assert_allclose(found.loss_curve_, iterates[-1].loss_curve_)


def test_the_mean_is_what_is_scored_and_kept():
    X, y = table()
    parameters = {"averaging": 0.6, "learning_rate": "constant"}
    model = classifier(n_iter_no_change=np.inf, max_iter=8, **parameters)
    with pytest.warns(UserWarning, match="before it had converged"):
        model.fit(X[:90], y[:90], X_val=X[90:], y_val=y[90:])
    for n_epochs in (1, 4, 8):
        one = classifier(early_stopping=False, max_iter=n_epochs, **parameters)
        with pytest.warns(UserWarning, match="before it had converged"):
            one.set_params(n_iter_no_change=np.inf).fit(X[:90], y[:90])
        expected = -log_loss(y[90:], one.predict_proba(X[90:]))
        assert model.validation_scores_[n_epochs - 1] == pytest.approx(expected)
    expected = -log_loss(y[90:], model.predict_proba(X[90:]))
    assert model.best_validation_score_ == pytest.approx(expected)


def test_lbfgs_does_not_average():
    X, y = table()
    parameters = {"solver": "lbfgs", "early_stopping": False, "tol": 0.05}
    parameters |= {"max_iter": 1000}
    found = classifier(averaging=0.9, **parameters).fit(X, y)
    assert_same_weights(found, classifier(**parameters).fit(X, y))


# Scorers that meet a fault ------------------------------------------------------------


@pytest.mark.parametrize("scoring", ["loss", "accuracy", "neg_log_loss"])
def test_divergence_is_told_as_such_with_any_scoring(scoring):
    """The validation rows overflow an epoch before the loss of the training rows."""
    X, y = table()
    model = classifier(
        solver="sgd", batch_size="full", scoring=scoring, lambd=1e200, train_scores=True
    )
    with pytest.raises(ValueError, match=r"Training diverged: .* in epoch 2 at"):
        model.fit(X, y)


@pytest.mark.parametrize("scoring", ["loss", "accuracy"])
def test_rows_whose_logits_overflow_have_no_score(scoring):
    X, y = table()
    X_val = np.array([[1.7e308] * 6, [-1.7e308] * 6, [1.0] * 6])
    model = classifier(activation="identity", scoring=scoring, max_iter=2)
    with pytest.raises(ValueError, match=f"{scoring}' gave NaN on the validation rows"):
        model.fit(X, y, X_val=X_val, y_val=[0, 1, 2])


def test_the_rows_that_a_scorer_sees_have_no_names():
    """They are arrays, and so the model must not ask for names."""
    X, y = table()
    named = pd.DataFrame(X, columns=list("abcdef"))
    found = classifier(scoring="accuracy", max_iter=3).fit(named, y)
    assert found.feature_names_in_.tolist() == list("abcdef")
    expected = classifier(scoring="accuracy", max_iter=3).fit(X, y)
    assert found.validation_scores_ == expected.validation_scores_


def test_a_lack_of_memory_in_a_scorer_is_no_fault_of_the_scoring():
    """A search would go on if it were a ValueError."""

    def scorer(model, X, y):
        raise MemoryError("no room")

    with pytest.raises(MemoryError, match=r"^no room$"):
        classifier(scoring=scorer).fit(*table())
