"""``lambd='auto'`` and ``n_iter_no_change='auto'``: what they come to."""

import math
import re
import warnings
from functools import partial

import numpy as np
import pytest
from helpers import no_convergence_warning, noisy_rows
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import make_classification, make_moons
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

from skreg import (
    RegularizationWarning,
    RegularizedMLPClassifier,
    RegularizedMLPEnsemble,
)
from skreg._training.descent import Result
from skreg._training.early_stopping import (
    agreed,
    plateaus_of,
    rounds_of,
    with_choice,
    with_more_of_noisy,
)
from skreg._training.problem import Problem
from skreg._training.rows import given_rows

TRIED = 0.3, 3.0

classifier = partial(
    RegularizedMLPClassifier, hidden_layer_sizes=(12, 6), max_iter=60, random_state=2
)


def curved(n_rows=60, seed=0):
    X, y = make_moons(n_rows, noise=0.2, random_state=seed)
    return StandardScaler().fit_transform(X), y


def noisy(n_rows=60, seed=0):
    X, y = make_classification(n_rows, 20, flip_y=0.3, random_state=seed)
    return StandardScaler().fit_transform(X), y


def fits_of_each(model, *rows):
    """A fit with each ``lambd`` that 'auto' tries."""
    return [clone(model).set_params(lambd=lambd).fit(*rows) for lambd in TRIED]


def chosen_of(fits):
    """By the loss the larger ``lambd`` unless it is worse by 2 %, else the better."""
    smaller, larger = (fit.best_validation_score_ for fit in fits)
    slack = 0.02 if fits[0].scoring == "loss" else 0
    return fits[0] if smaller >= larger + slack * abs(smaller) else fits[1]


def assert_same(found, expected):
    """All that a fit leaves is the same."""
    assert found.lambd_ == expected.lambd_ == expected.lambd
    for a, b in zip(
        found.coefs_ + found.intercepts_,
        expected.coefs_ + expected.intercepts_,
        strict=True,
    ):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-8)
    for name in ("loss_curve_", "validation_scores_", "best_validation_score_"):
        np.testing.assert_allclose(
            getattr(found, name), getattr(expected, name), rtol=1e-6
        )
    for name in ("best_n_iter_", "n_iter_", "t_", "refit_", "converged_"):
        assert getattr(found, name) == getattr(expected, name), name


# The choice --------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("rows", "lambd"), [(curved, 0.3), (noisy, 3.0)])
@pytest.mark.parametrize("keep_prob", [1.0, 0.8])
def test_the_larger_one_is_taken_unless_it_is_clearly_worse(
    rows, lambd, dtype, keep_prob
):
    X, y = rows()
    X = X.astype(dtype)
    model = classifier(keep_prob=keep_prob)
    found, expected = clone(model).fit(X, y), chosen_of(fits_of_each(model, X, y))
    assert expected.lambd == lambd
    assert_same(found, expected)
    assert found.lambd == "auto"


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"solver": "sgd", "scoring": "accuracy", "n_validation_splits": 2},
        {"learning_rate": "constant", "class_weight": "balanced", "averaging": 0.0},
        {"early_stopping": True, "early_stopping_refit": True, "n_iter_no_change": 3},
    ],
)
def test_so_it_is_with_weights_and_other_settings(kind, parameters):
    rows = noisy_rows(kind)
    model = classifier(max_iter=20).set_params(**parameters)
    with no_convergence_warning():
        assert_same(clone(model).fit(*rows), chosen_of(fits_of_each(model, *rows)))


@pytest.mark.parametrize(
    ("scoring", "better", "taken"),
    [
        ("loss", 0.0, 1),
        ("loss", 0.019, 1),
        ("loss", 0.021, 0),
        ("accuracy", 0.0, 0),
        ("accuracy", 0.001, 0),
        ("accuracy", -0.001, 1),
    ],
)
@pytest.mark.parametrize("score", [-50.0, 50.0])
def test_the_larger_one_may_be_worse_by_two_per_cent_of_the_loss(
    scoring, better, taken, score
):
    rows = given_rows(classifier(), *curved()).training
    problem = with_choice(Problem.of([classifier(scoring=scoring)], rows), None)
    scores = [score + better * abs(score), score]
    results = [Result(np.zeros(1), validation_scores=[s] * 3) for s in scores]
    assert list(agreed(problem, [results])) == [taken]


def test_the_last_epoch_is_not_among_the_first():
    """If ``max_iter`` ends the training there, nothing says that the rows are noisy."""
    problem = Problem.of(
        [classifier()], given_rows(classifier(), *curved(200)).training
    )
    for scores, n_members in (([1, 2, 3], 1), ([1, 2, 3, 0], 2)):
        found = agreed(problem, [[Result(np.zeros(1), validation_scores=scores)]])
        assert len(with_more_of_noisy(problem, found).members) == n_members


@pytest.mark.parametrize(("n_rows", "lambd"), [(150, 7.5), (199, 9.95), (200, 10.0)])
def test_noisy_rows_have_a_twentieth_of_their_number(n_rows, lambd):
    problem = Problem.of(
        [classifier()], given_rows(classifier(), *curved(n_rows)).training
    )
    results = [Result(np.zeros(1), validation_scores=[1, 0])]
    more = with_more_of_noisy(problem, agreed(problem, [results]))
    assert [member.lambd for member in more.members] == ["auto", lambd]


def test_each_network_of_an_ensemble_has_its_own():
    X, y = noisy(45, seed=1)
    model = classifier(keep_prob=0.9)
    found = RegularizedMLPEnsemble(model, 5, random_state=4).fit(X, y)
    tried = [
        RegularizedMLPEnsemble(
            clone(model).set_params(lambd=lambd), 5, random_state=4
        ).fit(X, y)
        for lambd in TRIED
    ]
    for network, *fits in zip(
        found.estimators_, *(each.estimators_ for each in tried), strict=True
    ):
        assert_same(network, chosen_of(fits))


def test_in_a_team_those_that_have_a_lambd_keep_it():
    X, y = noisy(45, seed=1)

    def team(lambd):
        members = [classifier(lambd=each) for each in (2.0, lambd, [0.1, 0.2, 0.3])]
        return RegularizedMLPEnsemble(members, 3, random_state=4).fit(X, y).estimators_

    found, first, second = map(team, ("auto", *TRIED))
    assert_same(found[1], chosen_of([first[1], second[1]]))
    for number in (0, 2):
        assert_same(found[number], first[number])


@pytest.mark.parametrize("make", [lambda: 5, lambda: np.random.RandomState(5)])
def test_both_have_the_same_streams(make):
    """And an instance has moved on as far as by one fit."""
    X, y = curved()
    state = make()
    found = classifier(random_state=state, keep_prob=0.8).fit(X, y)
    fits, states = [], [make() for _ in TRIED]
    for lambd, each in zip(TRIED, states, strict=True):
        one = classifier(random_state=each, keep_prob=0.8, lambd=lambd)
        fits.append(one.fit(X, y))
    assert_same(found, chosen_of(fits))
    if not isinstance(state, int):
        assert state.randint(2**31) == states[0].randint(2**31)


def n_of_variants(n_rows=60, validation=False, X=None, **parameters):
    X, y = curved(n_rows) if X is None else X
    rows = given_rows(classifier(), X, y).training
    problem = Problem.of([classifier(**parameters)], rows)
    return len(with_choice(problem, rows if validation else None).members)


@pytest.mark.parametrize(
    ("parameters", "n"),
    [
        ({"n_rows": 40}, 2),
        ({"n_rows": 149}, 2),
        ({"n_rows": 150}, 1),
        # No rows are set aside, or none that a training on all rows follows.
        ({"n_rows": 39}, 1),
        ({"n_rows": 39, "early_stopping": True}, 2),
        ({"early_stopping": False}, 1),
        ({"early_stopping_refit": False}, 1),
        ({"warm_start": True}, 1),
        ({"learning_rate": "adaptive"}, 1),
        ({"validation": True}, 1),
        # No stack.
        ({"solver": "lbfgs", "early_stopping": True}, 1),
        ({"hidden_layer_sizes": (2000,)}, 1),
        ({"lambd": 1.0}, 1),
        ({"lambd": [1.0, 0.5, 0.1]}, 1),
        ({"lambd": np.array([1.0, 0.5, 0.1])}, 1),
    ],
)
def test_where_there_is_a_choice(parameters, n):
    assert n_of_variants(**parameters) == n


def test_sparse_rows_have_none():
    X, y = curved()
    assert n_of_variants(X=(sparse.csr_matrix(X), y)) == 1


def test_without_a_choice_it_is_1():
    X, y = curved(150)
    for model in (classifier(), classifier(early_stopping=False)):
        found = clone(model).fit(X, y)
        assert found.lambd_ == 1.0
        expected = model.set_params(lambd=1.0).fit(X, y)
        assert_array_equal(found.coefs_[0], expected.coefs_[0])
    found = classifier().partial_fit(X, y, classes=[0, 1])
    assert found.lambd_ == 1.0
    assert classifier().fit(X, np.zeros(150)).lambd_ == 1.0


def test_only_rows_that_have_a_weight_count():
    X, y = curved(160)
    weight = np.repeat([1.0, 0.0], [149, 11])
    assert classifier().fit(X, y, weight).lambd_ in TRIED
    weight[149] = 1.0
    assert classifier().fit(X, y, weight).lambd_ == 1.0


# Noisy rows ---------------------------------------------------------------------------


LBFGS = {"solver": "lbfgs", "early_stopping": True, "early_stopping_refit": True}


def churn(n_rows=400, seed=1):
    """A weak linear signal in six columns, and thirty of nothing."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, 36))
    y = rng.random(n_rows) < 1 / (1 + np.exp(-X[:, :6].sum(axis=1) / 3))
    return X, y.astype(int)


# Its epochs are the same however many there are.
steady = partial(classifier, learning_rate="constant", learning_rate_init=0.03)


def by_hand(model, *rows):
    """What 'auto' comes to: the scores with 1 and as many with 10, and the last fit."""
    one = clone(model).set_params(lambd=1.0).fit(*rows)
    n_epochs = len(one.validation_scores_)
    ten = clone(model).set_params(lambd=10.0, n_iter_no_change=np.inf)
    with no_convergence_warning():
        ten.fit(*rows)
    scores = ten.validation_scores_[:n_epochs]
    ten.best_validation_score_ = max(scores)
    is_noisy = one.best_n_iter_ <= min(6, n_epochs - 1)
    if not is_noisy or chosen_of([one, ten]) is one:
        return one
    best = int(np.argmax(scores)) + 1
    n_last = best if best <= 6 else min(round(1.5 * best), model.max_iter)
    ten.set_params(early_stopping=False, n_validation_splits="auto", max_iter=n_last)
    with no_convergence_warning():
        ten.fit(*rows)
    ten.best_n_iter_, ten.validation_scores_ = best, scores
    return ten


def assert_is(found, expected):
    assert found.lambd_ == expected.lambd
    assert found.best_n_iter_ == expected.best_n_iter_
    assert found.n_iter_ == expected.n_iter_
    np.testing.assert_allclose(found.validation_scores_, expected.validation_scores_)
    for one, other in zip(found.coefs_, expected.coefs_, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("keep_prob", [1.0, 0.95])
@pytest.mark.parametrize("n_splits", ["auto", 2])
@pytest.mark.parametrize(
    ("rows", "lambd"), [(churn, 10.0), (partial(curved, 400), 1.0)]
)
def test_noisy_rows_are_tried_with_more(rows, lambd, n_splits, keep_prob):
    X, y = rows()
    model = steady(n_validation_splits=n_splits, keep_prob=keep_prob)
    with no_convergence_warning():
        expected = by_hand(model, X, y)
        found = model.fit(X, y)
    assert expected.lambd == lambd
    assert_is(found, expected)


def test_with_weights_and_several_classes_as_well():
    X, _ = churn()
    rng = np.random.default_rng(0)
    rows = X, rng.integers(3, size=len(X)), rng.uniform(0.5, 2, size=len(X))
    expected = by_hand(steady(), *rows)
    assert expected.lambd == 10.0
    assert_is(steady().fit(*rows), expected)


def test_what_was_chosen_is_not_warned_of():
    """With 1 it was no better, so that "lower lambd" is no advice."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(400, 20)), rng.integers(2, size=400)
    with warnings.catch_warnings():
        # Elsewhere the tests ignore it.
        warnings.simplefilter("error", RegularizationWarning)
        assert RegularizedMLPClassifier(random_state=0).fit(X, y).lambd_ == 10.0
    with pytest.warns(RegularizationWarning, match=r"lambd=10\.0"):
        RegularizedMLPClassifier(lambd=10.0, random_state=0).fit(X, y)


@pytest.mark.parametrize(
    ("parameters", "form"), [({}, sparse.csr_matrix), (LBFGS, np.asarray)]
)
def test_few_rows_that_train_one_by_one_are_tried_as_many_are(parameters, form):
    for (X, y), lambd in ((churn(100), 5.0), (curved(100), 1.0)):
        with no_convergence_warning():
            model = classifier(**parameters).fit(form(X), y)
        assert model.lambd_ == lambd


def test_more_is_left_where_it_is_worse():
    def less_is_better(model, X, y):
        return minus_loss(model, X, y) - (model.lambd == 10.0)

    X, y = churn()
    model = steady(scoring=less_is_better, n_validation_splits=2)
    expected = by_hand(model, X, y)
    assert (expected.lambd, expected.best_n_iter_ <= 6) == (1.0, True)
    assert_is(model.fit(X, y), expected)


@pytest.mark.parametrize(
    "parameters",
    [
        {"lambd": 1.0},
        {"early_stopping": False},
        {"early_stopping_refit": False},
        {"learning_rate": "adaptive"},
    ],
)
def test_where_more_is_not_tried(parameters):
    X, y = churn()
    with no_convergence_warning():
        assert steady(**{"max_iter": 20} | parameters).fit(X, y).lambd_ == 1.0
    X_val, y_val = churn(100, seed=2)
    assert steady().fit(X, y, X_val=X_val, y_val=y_val).lambd_ == 1.0


def test_sparse_rows_and_one_split_are_tried_as_well():
    X, y = churn()
    X[:, :6] *= X[:, :6] > 0
    model = steady(n_validation_splits=1)
    dense, found = (clone(model).fit(x, y) for x in (X, sparse.csr_matrix(X)))
    assert found.lambd_ == dense.lambd_ == 10.0


def test_of_a_team_each_noisy_network_is_tried(capsys):
    X, y = churn()

    def team(lambd, **parameters):
        members = [steady(lambd=each, **parameters) for each in (0.2, lambd, lambd)]
        return RegularizedMLPEnsemble(members, 3, random_state=4).fit(X, y).estimators_

    found = team("auto", verbose=True)
    lines = capsys.readouterr().out.splitlines()
    taken = [line for line in lines if "taken" in line]
    assert taken == [f"Network {number}: taken: lambd=10.0" for number in (2, 3)]
    less, more = team(1.0), team(10.0, n_iter_no_change=40)
    assert [network.lambd_ for network in found] == [0.2, 10.0, 10.0]
    assert_same(found[0], less[0])
    for number in (1, 2):
        one, scores = found[number], more[number].validation_scores_
        n_epochs = len(less[number].validation_scores_)
        np.testing.assert_allclose(one.validation_scores_, scores[:n_epochs], rtol=1e-6)
        best = int(np.argmax(scores[:n_epochs])) + 1
        n_last = best if best <= 6 else round(1.5 * best)
        assert (one.best_n_iter_, one.n_iter_) == (best, n_last)
        with no_convergence_warning():
            last = team(10.0, early_stopping=False, max_iter=n_last)[number]
        for a, b in zip(one.coefs_, last.coefs_, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9)


def test_of_a_team_some_are_tried_and_some_are_taken():
    """The networks of an ensemble differ by chance; each goes its own way."""
    X, y = churn(260, seed=0)
    found = RegularizedMLPEnsemble(steady(), 5, random_state=0).fit(X, y).estimators_
    assert {network.lambd_ for network in found} == {1.0, 10.0}
    for number, network in enumerate(found):
        model = steady(
            early_stopping=False, max_iter=network.n_iter_, lambd=network.lambd_
        )
        with no_convergence_warning():
            same = RegularizedMLPEnsemble(model, 5, random_state=0).fit(X, y)
        for a, b in zip(network.coefs_, same.estimators_[number].coefs_, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9)


def minus_loss(model, X, y):
    return -log_loss(y, model.predict_proba(X))


def fails_with(lambd, model, X, y):
    return math.nan if model.lambd == lambd else minus_loss(model, X, y)


def test_a_failure_with_more_leaves_the_network():
    X, y = churn()
    model = steady(scoring=partial(fails_with, 10.0))
    assert_is(clone(model).fit(X, y), model.set_params(lambd=1.0).fit(X, y))


@pytest.mark.parametrize(("max_iter", "converged"), [(8, False), (60, True)])
def test_the_trial_has_converged_if_the_first_has(max_iter, converged):
    with no_convergence_warning():
        found = steady(max_iter=max_iter).fit(*churn())
    assert (found.lambd_, found.converged_) == (10.0, converged)


def test_what_is_said_of_l_bfgs_is_what_ended_the_first():
    """The trial ends after as many iterations, whatever it has come to."""
    model = classifier(**LBFGS, max_fun=20, n_validation_splits=1, tol=0.0)
    with pytest.warns(ConvergenceWarning, match="EVALUATIONS EXCEEDS LIMIT"):
        assert model.fit(*churn(300, seed=0)).lambd_ == 10.0


@pytest.mark.parametrize("n_calls", [1, 5])
def test_ctrl_c_in_the_second_trial_keeps_the_first_split(n_calls):
    class Stops:
        calls = 0

        def __call__(self, model, X, y):
            self.calls += model.lambd == 10.0
            if self.calls == n_calls:
                raise KeyboardInterrupt
            return minus_loss(model, X, y)

    X, y = churn()
    model = steady(scoring=Stops())
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert (model.lambd_, model.refit_) == (1.0, False)
    assert len(model.validation_scores_) == model.n_iter_
    model.predict(X)


def test_the_trial_is_printed_by_its_choice(capsys):
    found = steady(verbose=True, n_validation_splits=1).fit(*churn())
    lines = capsys.readouterr().out.splitlines()
    ends = [line for line in lines if "loss" not in line]
    n_epochs, best = len(found.validation_scores_), found.best_n_iter_
    assert ends[:3] == [
        "Validation split 1 of 1",
        "Taken: lambd=10.0",
        f"Training stopped after epoch {n_epochs}, best epoch {best}",
    ]
    assert ends[3].startswith(f"All rows, up to epoch {found.n_iter_}: ")
    assert ends[4:] == [f"Training stopped after epoch {found.n_iter_}"]
    # The epochs are those with lambd=1 in the split, and the last ones.
    assert len(lines) - len(ends) == n_epochs + found.n_iter_


# What goes wrong, and who is told ----------------------------------------------------


def test_the_failure_of_one_leaves_the_other():
    X, y = curved()
    for failing, lambd in (TRIED, TRIED[::-1]):
        model = classifier(scoring=partial(fails_with, failing), max_iter=10)
        found = clone(model).fit(X, y)
        assert_same(found, clone(model).set_params(lambd=lambd).fit(X, y))
    with pytest.raises(ValueError, match="gave NaN on the validation rows in each"):
        classifier(scoring=lambda model, X, y: math.nan).fit(X, y)


def test_the_failure_of_both_is_raised_and_leaves_the_model_as_it_was():
    X, y = curved()
    model = classifier(solver="sgd", standardize=False).fit(X, y)
    before = dict(vars(model))
    with pytest.raises(ValueError, match=r"Training diverged.*lambd=0\.3\b"):
        model.fit(X * 1e9, y)
    assert vars(model) == before


@pytest.mark.parametrize(("n_rows", "n_calls"), [(6, 1), (6, 60), (60, 3)])
def test_ctrl_c_keeps_what_there_was(n_rows, n_calls):
    """Before an epoch is complete, in the splits, and on all rows."""

    class Stops:
        calls = 0

        def __call__(self, model, X, y):
            self.calls += len(X) == n_rows
            if self.calls == n_calls:
                raise KeyboardInterrupt
            return model.score(X, y)

    X, y = curved()
    model = classifier(max_iter=20).fit(X, y)
    model.set_params(scoring=Stops(), train_scores=True)
    before = dict(vars(model))
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert vars(model) == before


def test_the_epochs_that_are_printed_are_those_of_the_first(capsys):
    X, y = noisy()
    model = classifier(verbose=True)
    found = clone(model).fit(X, y)
    lines = capsys.readouterr().out.splitlines()
    first, second = fits_of_each(model, X, y)
    assert found.lambd_ == second.lambd
    losses = [
        float(re.search(r"loss = (\S+?),", line)[1])
        for line in lines
        if "loss =" in line
    ]
    n_epochs = len(first.validation_scores_)
    assert len(losses) == n_epochs + found.n_iter_
    np.testing.assert_allclose(losses[n_epochs:], second.loss_curve_, atol=1e-8)
    assert lines[n_epochs + 1] == "Taken: lambd=3.0"
    assert lines[-1] == f"Training stopped after epoch {found.n_iter_}"


def test_a_callback_follows_the_first_and_ends_both():
    pytest.importorskip("sklearn.callback")
    seen = []

    class Stops:
        def setup(self, estimator, context): ...
        def teardown(self, estimator, context): ...
        def on_fit_task_begin(self, estimator, context): ...
        def on_fit_task_end(self, estimator, context):
            seen.append(context.task_name)
            return context.task_name == "epoch" and len(seen) == 4

    model = classifier().set_callbacks(Stops()).fit(*noisy())
    assert seen == [*["epoch"] * 4, "validation splits", "fit"]
    assert not model.refit_
    assert model.converged_
    assert model.lambd_ in TRIED
    assert len(model.validation_scores_) == model.n_iter_ == 4


# The patience ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n_rows", "parameters", "patience"),
    [
        # 54 rows for training in one batch, 90 in two, 270 in five of 54.
        (60, {}, 100),
        (100, {}, 50),
        (150, {}, 34),
        # 149 rows for training, and 151.
        (165, {}, 34),
        (168, {}, 17),
        (200, {}, 17),
        (300, {}, 10),
        (1000, {}, 10),
        (300, {"batch_size": 135}, 25),
        (300, {"n_iter_no_change": 10}, 10),
        (300, {"n_iter_no_change": np.inf}, math.inf),
        # No rows for validation.
        (60, {"early_stopping": False, "learning_rate": "constant"}, 10),
        (60, {"early_stopping": False}, math.inf),
    ],
)
def test_the_patience_is_10_epochs_or_some_steps(n_rows, parameters, patience):
    rows = given_rows(classifier(), *curved(n_rows)).training
    model = classifier(**parameters)
    split = rounds_of(Problem.of([model], rows), None)[0]
    (plateau,) = plateaus_of(split, model.learning_rate)
    assert plateau.patience == patience


def test_given_rows_for_validation_count_the_steps_as_well():
    X, y = curved(300)
    rows = given_rows(classifier(), X[:64], y[:64]).training
    held_out = given_rows(classifier(), X[64:], y[64:]).training
    (split,) = rounds_of(Problem.of([classifier()], rows), held_out)
    (plateau,) = plateaus_of(split, "cosine")
    assert plateau.patience == 100


def test_what_goes_on_keeps_the_lambd_that_was_chosen():
    X, y = curved()
    model = classifier().fit(X, y)
    given = clone(model).set_params(lambd=model.lambd_).fit(X, y)
    assert model.lambd_ != 1
    for found in (model, given):
        found.partial_fit(X, y)
    assert model.lambd_ == given.lambd_
    np.testing.assert_allclose(model.predict_proba(X), given.predict_proba(X))
