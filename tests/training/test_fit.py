"""Training: of several networks against each alone, in pieces against in one."""

import copy
import gc
import math
import re
import tracemalloc
from dataclasses import fields
from functools import partial
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from helpers import network, noisy_rows
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from tables import split

from skreg._training.descent import Result
from skreg._training.fit import train
from skreg._training.problem import Before, Problem, stack_size
from skreg._training.rows import given_rows
from skreg._training.settings import random_streams

GRID = [(0.1, 0.5), (5.0, 0.5), (0.1, 1.0), (30.0, (0.9, 0.7)), ((0, 1, 9), 0.5)]
# What is folded and unfolded again is the same but for rounding, and a split that is
# fitted alone has its own scale.
plain = partial(network, standardize=False)

NUMBERS = {field.name for field in fields(Result)} - {
    "attributes",
    "interrupt",
    "diverged",
    "failure",
    "message",
    "state",
}


def rows_of(kind="binary", n_rows=40, *, weighted=False, dtype=np.float64, seed=0):
    X, y, weight = noisy_rows(kind, n_rows, seed)
    weight = weight if weighted else None
    return given_rows(network(), X.astype(dtype), y, weight).training


def several(grid=GRID, **parameters):
    """A network for each ``lambd`` and ``keep_prob``."""
    defaults = {
        "hidden_layer_sizes": (5, 4),
        "learning_rate": "constant",
        "learning_rate_init": 0.03,
        "batch_size": 11,
        "max_iter": 8,
        "tol": 1e-3,
        "n_iter_no_change": 2,
    }
    return [
        network(lambd=lambd, keep_prob=keep_prob, **defaults | parameters)
        for lambd, keep_prob in grid
    ]


def alone(one, *arguments, **keywords):
    (result,) = train([one], *arguments, **keywords)
    return result


def assert_same(found, expected):
    """All of two results is the same."""
    assert found.message == expected.message
    for name in NUMBERS:
        a, b = getattr(found, name), getattr(expected, name)
        assert_allclose(a, b, rtol=1e-11, atol=1e-13, err_msg=name)
    assert found.interrupt is found.diverged is found.failure is None
    assert found.theta.dtype == expected.theta.dtype
    for name in ("coefs_", "intercepts_"):
        both = found.attributes[name], expected.attributes[name]
        for a, b in zip(*both, strict=True):
            assert_allclose(a, b, rtol=1e-11, atol=1e-13)


def assert_each_as_alone(networks, *arguments, starts=None):
    """What their training together finds is what the training of each does."""
    together = train(networks, *arguments, starts=starts)
    assert len(together) == len(networks)
    for number, (found, one) in enumerate(zip(together, networks, strict=True)):
        start = None if starts is None else [starts[number]]
        assert_same(found, alone(one, *arguments, starts=start))
    return together


# Each as alone -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "weighted", "parameters"),
    [
        ("binary", True, {}),
        ("multiclass", False, {"learning_rate": "adaptive", "max_iter": 30}),
        ("multilabel", True, {"learning_rate": "invscaling", "max_norm": 0.8}),
        ("multiclass", True, {"learning_rate": "cosine", "averaging": 0.9}),
        ("multiclass", False, {"solver": "sgd", "input_keep_prob": 0.8}),
        (
            "binary",
            False,
            {
                "solver": "sgd",
                "learning_rate": "adaptive",
                "nesterovs_momentum": False,
                "max_iter": 30,
            },
        ),
        (
            "binary",
            True,
            {"solver": "sgd", "learning_rate": "invscaling", "batch_size": "full"},
        ),
        (
            "multilabel",
            False,
            {
                "solver": "sgd",
                "learning_rate": "cosine",
                "momentum": 0.0,
                "activation": "tanh",
                "shuffle": False,
            },
        ),
    ],
    ids=str,
)
def test_each_of_several_is_as_alone(kind, weighted, parameters):
    rows = rows_of(kind, weighted=weighted)
    together = assert_each_as_alone(several(**parameters), rows)
    assert len({found.loss for found in together}) == len(GRID)


def scaled_by_lambd(model, X, y, sample_weight=None):
    """A score that needs the settings of the network."""
    p = model.predict_proba(X)[:, 1]
    return -model.lambd * np.average((p - y) ** 2, weights=sample_weight)


@pytest.mark.parametrize(
    ("own_rows", "seed", "parameters"),
    [
        (False, 0, {}),
        (True, 0, {"solver": "sgd", "learning_rate": "adaptive", "averaging": 0.5}),
        (True, 2, {"scoring": "accuracy", "train_scores": True, "averaging": 0.9}),
        (False, 0, {"scoring": "neg_log_loss", "learning_rate": "cosine"}),
        (
            False,
            0,
            {
                "scoring": scaled_by_lambd,
                "solver": "sgd",
                "tol": 3e-3,
                "standardize": False,
            },
        ),
    ],
    ids=str,
)
def test_each_of_several_stops_early_as_alone(own_rows, seed, parameters):
    """They leave at different epochs, and the others go on as if alone."""
    rows, validation = rows_of(n_rows=60, weighted=True, seed=seed), None
    if own_rows:
        validation = rows_of(n_rows=30, weighted=True, seed=5)
    grid = [setting for setting in GRID if np.isscalar(setting[0])]
    networks = several(grid, early_stopping=True, max_iter=40, **parameters)
    together = assert_each_as_alone(networks, rows, validation)
    assert len({found.n_epochs for found in together}) > 1
    assert len({found.best_epoch for found in together}) > 1


@pytest.mark.parametrize(
    ("n_splits", "parameters"),
    [
        (1, {"averaging": 0.7, "train_scores": True}),
        (3, {"n_iter_no_change": 3, "train_scores": True}),
        (2, {"scoring": scaled_by_lambd, "averaging": 0.9}),
        ("auto", {"averaging": 0.9, "learning_rate": "cosine", "max_iter": 12}),
    ],
)
def test_each_of_several_is_trained_again_as_alone(n_splits, parameters):
    """For as many epochs as are its own."""
    networks = several(
        [(0.01, 0.5), (3.0, 1.0), (50.0, 0.5)],
        **{
            "early_stopping": True,
            "early_stopping_refit": True,
            "n_validation_splits": n_splits,
            "max_iter": 20,
            "n_iter_no_change": 4,
        }
        | parameters,
    )
    rows = rows_of(n_rows=80, weighted=True)
    together = assert_each_as_alone(networks, rows)
    assert len({found.n_epochs for found in together}) > 1
    assert all(found.refit for found in together)


def test_each_of_several_has_its_own_start():
    """The first draw of the initial weights, the second, and so on."""
    networks = several([(0.1, 0.5)] * 4, learning_rate="cosine")
    together = assert_each_as_alone(networks, rows_of(), starts=[2, 0, 1, 0])
    losses = [found.loss for found in together]
    assert len(set(losses)) == 3
    assert losses[1] == losses[3]
    # The first is what there is without a choice.
    assert_same(together[1], alone(networks[0], rows_of()))


def test_a_network_that_has_stopped_leaves_the_stack():
    sizes = []

    class Spied(Problem):
        def stack(self, theta):
            sizes.append(len(theta))
            return super().stack(theta)

    networks = several(early_stopping=True, max_iter=40)
    together = train(networks, rows_of(n_rows=60), problem_type=Spied)
    stopped = sorted(found.n_epochs for found in together)
    expected = [sum(n > epoch for n in stopped) for epoch in range(stopped[-1])]
    assert sizes == sorted(set(expected), reverse=True)
    assert len(sizes) > 1


def test_float32_stays_float32():
    rows = rows_of(dtype=np.float32)
    for found, one in zip(train(several(), rows), several(), strict=True):
        assert found.theta.dtype == np.float32
        expected = alone(one, rows).theta
        assert_allclose(found.theta, expected, rtol=0, atol=1e-5)


def test_one_class_is_a_constant_model_for_each():
    X, y, _ = noisy_rows(n_rows=40)
    rows = given_rows(network(), X, np.zeros_like(y)).training
    for found in assert_each_as_alone(several(), rows):
        assert not found.theta.any()
        assert found.converged
        assert found.loss == found.n_epochs == 0
        assert not found.watched
    (found,) = train(several(GRID[:1], early_stopping=True), rows)
    assert found.watched
    assert math.isnan(found.best_score)
    before = Before([], [], 80, None)
    assert alone(network(), rows, None, before).samples_seen == 80


def test_networks_own_no_arrays_together():
    """Nor are they views of one array, which one network alone would keep whole."""
    first, second, *_ = train(several(n_iter_no_change=np.inf), rows_of())
    W, others = first.attributes["coefs_"][0], second.attributes["coefs_"]
    before = [other.copy() for other in others]
    for each in first.attributes["coefs_"] + first.attributes["intercepts_"]:
        each += 1
    for other, expected in zip(others, before, strict=True):
        assert_array_equal(other, expected)
    assert not np.shares_memory(W, others[0])
    assert W.base.size == first.theta.size


def test_the_estimators_are_not_written():
    networks = several(random_state=np.random.RandomState(0))
    before = [dict(vars(one)) for one in networks]
    state = networks[0].random_state.get_state()[1].copy()
    train(networks, rows_of())
    assert [dict(vars(one)) for one in networks] == before
    assert_array_equal(networks[0].random_state.get_state()[1], state)


def test_epochs_may_be_printed(capsys):
    """Those of one and those of the next take turns."""
    train(several(GRID[:2], verbose=True, max_iter=3), rows_of())
    *lines, one, other = capsys.readouterr().out.splitlines()
    assert one == other == "Training stopped after epoch 3"
    numbers = [line.split(",")[0] for line in lines]
    assert numbers == [f"Iteration {epoch}" for epoch in (1, 1, 2, 2, 3, 3)]


@pytest.mark.parametrize("kind", ["dense", "float32", "sparse", "named"])
def test_rows_are_those_that_fit_takes(kind):
    """Their columns are noted in the estimator, and class weights are in theirs."""
    X, y, weight = noisy_rows("multiclass")
    given = {
        "dense": X,
        "float32": X.astype(np.float32),
        "sparse": sparse.csr_array(X),
        "named": pd.DataFrame(X, columns=list("abcd")),
    }[kind]
    one = network(class_weight="balanced")
    rows = given_rows(one, given, y, weight).training
    assert rows.n_rows == 52
    assert rows.X.dtype == (np.float32 if kind == "float32" else np.float64)
    assert rows.target.classes.tolist() == [0, 1, 2]
    assert_array_equal(rows.sample_weight, weight)
    factors = [rows.weight[y == code][0] / weight[y == code][0] for code in range(3)]
    assert_allclose(rows.weight, weight * np.take(factors, y))
    assert len(set(factors)) == 3
    assert one.n_features_in_ == 4
    assert hasattr(one, "feature_names_in_") == (kind == "named")


# Failures ----------------------------------------------------------------------------


def failures_of(networks, rows, starts=None):
    """Which networks fail; each as alone, and the others are as alone too."""
    starts = [0] * len(networks) if starts is None else starts
    together = train(networks, rows, starts=starts)
    for one, found, start in zip(networks, together, starts, strict=True):
        if found.failure is not None:
            with pytest.raises(ValueError, match=f"^{re.escape(str(found.failure))}$"):
                train([one], rows, starts=[start])
        else:
            assert_same(found, alone(one, rows, starts=[start]))
    return [found.failure is not None for found in together]


def test_two_leave_and_the_settings_of_the_others_stay_theirs():
    """The first and the third diverge in the first epoch."""
    grid = [(1e9, 1.0), (0.1, 0.5), (2e9, 0.9), (3.0, 0.9), (40.0, 1.0)]
    networks = several(grid, solver="sgd", n_iter_no_change=np.inf)
    assert failures_of(networks, rows_of()) == [True, False, True, False, False]


def test_a_network_that_has_diverged_is_not_scored():
    seen = []

    def scoring(model, X, y):
        seen.append(model.lambd)
        return 1.0

    grid = [(1e9, 1.0), (0.1, 0.5)]
    networks = several(grid, solver="sgd", early_stopping=True, scoring=scoring)
    first, second = train(networks, rows_of())
    assert first.diverged.epoch == 1
    assert seen == [0.1] * second.n_epochs


def test_all_may_diverge():
    networks = several([(1e9, 1.0), (2e9, 0.5)], solver="sgd")
    first, second = train(networks, rows_of())
    assert "lambd=1000000000.0" in str(first.failure)
    assert "lambd=2000000000.0" in str(second.failure)
    assert failures_of(networks, rows_of()) == [True, True]


def split_and_trained_again(lambds, n_splits=2, **parameters):
    return several(
        [(lambd, 1.0) for lambd in lambds],
        early_stopping=True,
        early_stopping_refit=True,
        n_validation_splits=n_splits,
        max_iter=6,
        n_iter_no_change=4,
        **parameters,
    )


def test_the_epochs_of_the_first_split_are_printed_and_those_of_all_rows(capsys):
    """Those of splits alone have a score."""
    found = train(split_and_trained_again((0.1, 30.0), verbose=True), rows_of())
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Validation split 1 of 2"
    printed = [line for line in lines if line.startswith("Iteration ")]
    expected = [
        (epoch, of_split)
        for of_split in (True, False)
        for epoch in range(1, 7)
        for one in found
        if epoch <= (len(one.validation_scores) if of_split else one.n_epochs)
    ]
    assert [
        (int(line.split(",")[0].removeprefix("Iteration ")), "validation" in line)
        for line in printed
    ] == expected


@pytest.mark.parametrize(
    ("lambds", "expected"), [((1e9, 1.0), [True, False]), ((1e9, 2e9), [True, True])]
)
def test_with_splits_those_that_diverge_fail(lambds, expected):
    networks = split_and_trained_again(lambds, solver="sgd")
    assert failures_of(networks, rows_of("multiclass")) == expected


@pytest.mark.parametrize(("n_splits", "number"), [(1, 0), (2, 0), (2, 1)])
def test_with_splits_one_training_that_diverges_is_enough(n_splits, number):
    """A huge row is held out by one of two splits, or by the one before the refit."""
    X, y, _ = noisy_rows("multiclass")

    def scoring(model, X, y):
        # The last epoch is the best, so that the refit has time to diverge.
        return abs(model.coefs_[0]).sum()

    # No unit is ever off for good, which would keep the row out.
    networks = split_and_trained_again(
        (0.1, 1.0),
        n_splits,
        solver="sgd",
        activation="identity",
        scoring=scoring,
        standardize=False,
    )
    rows = given_rows(network(), X, y).training
    _, held_out = split(rows, 0.1, random_streams(3).split_seed, number, n_splits)
    X[held_out.rows[0]] = 1e9
    rows = given_rows(network(), X, y).training
    assert failures_of(networks, rows) == [True, True]


def test_with_splits_those_without_a_score_fail():
    calls = []

    def scorer(model, X, y):
        if model.lambd != 2.0:
            return 1.0
        calls.append(X.tobytes())
        number = list(dict.fromkeys(calls)).index(X.tobytes())
        return [1.0, np.nan][(calls.count(X.tobytes()) + number) % 2]

    networks = split_and_trained_again((1.0, 2.0, 3.0), scoring=scorer)
    rows = rows_of("multiclass")
    assert failures_of(networks, rows, [1, 0, 2]) == [False, True, False]


def test_a_score_that_is_never_a_number_is_a_failure():
    def scoring(model, X, y):
        return np.nan if model.lambd == 5.0 else model.score(X, y)

    networks = several(early_stopping=True, scoring=scoring, max_iter=5)
    assert failures_of(networks, rows_of()) == [False, True, False, False, False]
    with pytest.raises(ValueError, match="gave NaN on the validation rows in each of"):
        alone(networks[1], rows_of())


def test_what_is_wrong_with_all_is_raised():
    with pytest.raises(ValueError, match="validation_fraction=0"):
        train(several(early_stopping=True, validation_fraction=0.0), rows_of())
    with pytest.raises(ValueError, match=r"keep_prob=0\.5 does not go with"):
        train(several(solver="lbfgs"), rows_of())


# Interrupts --------------------------------------------------------------------------


class Interrupts:
    """Batches in the place of which an interrupt comes."""

    n_rows = 40

    def __init__(self, stop):
        self.stop = stop

    def epoch(self):
        raise self.stop


@pytest.mark.parametrize("last", ["split", "all rows"])
def test_an_interrupt_of_several_is_raised(last):
    stop = KeyboardInterrupt()
    rows = rows_of()

    class Interrupted(Problem):
        def batches(self):
            now = last == "split" or self.training is rows
            return Interrupts(stop) if now else super().batches()

    networks = several(early_stopping=True, early_stopping_refit=True)
    with pytest.raises(KeyboardInterrupt) as caught:
        train(networks, rows, problem_type=Interrupted)
    assert caught.value is stop


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("last", ["second split", "all rows"])
def test_an_interrupt_leaves_the_network_of_the_first_split(last, solver):
    """In the last epoch of the second split, or while all rows are trained on."""
    rows = rows_of("multiclass", 60, weighted=True)
    stop = KeyboardInterrupt()
    one = plain(
        solver=solver,
        early_stopping=True,
        early_stopping_refit=True,
        n_validation_splits=2,
        n_iter_no_change=np.inf,
        max_iter=6,
        random_state=1,
    )
    seed = random_streams(1).split_seed
    first, second = (split(rows, 0.1, seed, part, 2) for part in range(2))
    expected = alone(one, *first)

    class Interrupted(Problem):
        def batches(self):
            of_all = last == "all rows" and self.training is rows
            return Interrupts(stop) if of_all else super().batches()

        def score(self, objective, held_out):
            score = super().score(objective, held_out)
            of_second = held_out and np.array_equal(held_out.rows, second[1].rows)
            if last == "second split" and of_second:
                return in_the_last_epoch(score)
            return score

    def in_the_last_epoch(score):
        calls = iter(range(1, 7))

        def scored(places):
            if next(calls) == 6:
                raise stop
            return score(places)

        return scored

    found = alone(one, rows, problem_type=Interrupted)
    assert found.interrupt is stop
    assert not found.refit
    assert_array_equal(found.theta, expected.theta)
    assert_array_equal(found.attributes["coefs_"][0], expected.attributes["coefs_"][0])
    assert found.validation_scores == expected.validation_scores
    assert found.loss_curve == expected.loss_curve
    # That of the split was complete, if the rows were all that were left.
    assert found.converged == (expected.converged and last == "all rows")


def test_a_callback_that_ends_the_training_of_the_first_split_ends_all():
    seen = []

    class Stops:
        """A task whose parts end, the third with the end of the training."""

        is_followed = True
        hook_data: ClassVar = {}
        n_epochs = 0

        def part(self, name, hook_data, **about):
            phase = {"validation splits": {"max_subtasks": None}, "epoch": {}}
            assert about == phase[name]
            if name == "epoch":
                # Whoever follows it can make a model, and keep it.
                seen.append(hook_data["reconstruction_attributes"]()["coefs_"][0])
            return self

        def begin_fit(self, n_parts):
            assert n_parts == 2
            return self

        def begin(self):
            return self

        def end(self):
            self.n_epochs += 1
            return self.n_epochs == 3

    one = network(early_stopping=True, early_stopping_refit=True, n_validation_splits=2)
    found = alone(one, rows_of(), task=Stops())
    assert found.stopped
    assert found.converged
    assert not found.refit
    assert found.n_epochs == len(found.validation_scores) == 3
    assert [W.shape for W in seen] == [(4, 6)] * 3
    assert np.abs(seen[0] - seen[1]).max() > 1e-4


def test_each_split_of_lbfgs_ends_at_its_own_plateau():
    """Iterations cannot wait for each other; the scores are of those of all."""
    rows = rows_of("multiclass", 60)
    parameters = {"solver": "lbfgs", "early_stopping": True, "n_iter_no_change": 2}
    one = plain(
        **parameters, early_stopping_refit=True, n_validation_splits=2, max_iter=50
    )
    seed = random_streams(3).split_seed
    scores = [
        alone(
            plain(**parameters, max_iter=50), *split(rows, 0.1, seed, part, 2)
        ).validation_scores
        for part in range(2)
    ]
    first, second = map(len, scores)
    assert first != second
    found = alone(one, rows)
    expected = [sum(of_epoch) / 2 for of_epoch in zip(*scores, strict=False)]
    assert_allclose(found.validation_scores, expected)


# Settings that reach the training -----------------------------------------------------


def test_the_norms_of_hidden_units_are_limited_and_those_of_outputs_are_not():
    found = alone(network(max_norm=0.1), rows_of()).attributes
    first, *others, last = found["coefs_"]
    for W in (first * found["scale_"][:, np.newaxis], *others):
        assert np.linalg.norm(W, axis=0).max() < 0.1 + 1e-12
    assert np.linalg.norm(last) > 0.2


@pytest.mark.parametrize(
    "parameters",
    [
        {"keep_prob": 0.5},
        {"input_keep_prob": 0.5},
        {"beta_1": 0.5},
        {"beta_2": 0.9},
        {"epsilon": 0.1},
        {"solver": "sgd", "momentum": 0.5},
        {"solver": "sgd", "nesterovs_momentum": False},
        {"power_t": 0.7},
        {"learning_rate_init": 0.03},
        {"learning_rate": "constant"},
        {"averaging": 0.5},
        {"shuffle": False},
        {"batch_size": 10},
        {"random_state": 0},
        {"activation": "tanh"},
        {"lambd": 2.0},
    ],
    ids=str,
)
def test_a_setting_makes_a_difference(parameters):
    rows = rows_of()
    plain = {"learning_rate": "invscaling", "max_iter": 3, "n_iter_no_change": np.inf}
    if "solver" in parameters:
        plain["solver"] = parameters["solver"]
    found = alone(network(**plain | parameters), rows).theta
    assert np.abs(found - alone(network(**plain), rows).theta).max() > 1e-4


def test_a_penalty_that_overflows_is_an_error():
    rows = rows_of(dtype=np.float32)
    with pytest.raises(ValueError, match=r"lambd=1e\+300 over the total weight .* 40"):
        alone(network(lambd=1e300), rows)


def test_of_several_the_penalty_that_overflows_is_named():
    rows = rows_of(dtype=np.float32)
    networks = [network(lambd=lambd) for lambd in (0.1, (0.2, 1e300, 0.3), 1e30)]
    with pytest.raises(ValueError, match=re.escape("lambd=(0.2, 1e+300, 0.3) over")):
        train(networks, rows)


def test_a_stack_is_for_small_networks_and_rows_that_are_not_sparse():
    X, y, _ = noisy_rows()
    rows = rows_of(n_rows=52)
    assert stack_size(network(), rows) > 10
    assert stack_size(network(solver="lbfgs"), rows) == 1
    assert stack_size(network(hidden_layer_sizes=(5000, 5000)), rows) == 1
    sparse_rows = given_rows(network(), sparse.csr_array(X), y).training
    assert stack_size(network(), sparse_rows) == 1


# On from before ----------------------------------------------------------------------


def start_of(one, rows, samples_seen=0):
    """Weights, as if they were those of a model from before."""
    problem = Problem.of([one], rows)
    attributes = problem.attributes(problem.start())
    return before_of(attributes, samples_seen, None)


def before_of(attributes, samples_seen, state):
    coefs, intercepts = attributes["coefs_"], attributes["intercepts_"]
    return Before(coefs, intercepts, samples_seen, state)


@pytest.mark.parametrize(
    "parameters",
    [
        {"keep_prob": 0.7, "input_keep_prob": 0.8},
        {"solver": "sgd", "learning_rate": "invscaling", "keep_prob": 0.7},
        # Each epoch is a plateau, or every second.
        {"learning_rate": "adaptive", "tol": 9.0, "n_iter_no_change": 1},
        {"solver": "sgd", "learning_rate": "adaptive", "tol": 9.0, "max_iter": 7},
        {"shuffle": True, "batch_size": "full"},
    ],
    ids=str,
)
def test_epochs_one_by_one_are_those_of_a_whole_training(parameters):
    """The optimiser, the rate, the plateau and the random streams go on."""
    rows = rows_of(weighted=True)
    one = plain(
        # The order of an epoch is that of the one before, shuffled.
        **{"learning_rate": "constant", "max_iter": 6, "n_iter_no_change": 2}
        | {"shuffle": False}
        | parameters
    )
    whole = alone(one, rows, None, start_of(one, rows))
    assert whole.n_epochs > 3
    before, losses = start_of(one, rows), []
    for _ in range(whole.n_epochs):
        found = alone(one, rows, None, before, incremental=True)
        assert found.n_epochs == 1
        losses.append(found.loss)
        before = before_of(found.attributes, found.samples_seen, found.state)
    assert_allclose(losses, whole.loss_curve, rtol=1e-12)
    assert_array_equal(found.theta, whole.theta)
    assert found.samples_seen == whole.samples_seen
    assert found.learning_rate == whole.learning_rate


def test_without_a_model_from_before_it_starts_at_the_frequencies_of_the_classes():
    """But where rows come bit by bit: the first may not have all classes."""
    rows = rows_of("multiclass", weighted=True)
    one = plain(learning_rate="constant", max_iter=1, n_iter_no_change=np.inf)
    found = alone(one, rows)
    assert_same(found, alone(one, rows, None, start_of(one, rows)))
    bit = alone(one, rows, incremental=True)
    zero = start_of(one, rows)
    zero.intercepts[-1][...] = 0
    assert_same(bit, alone(one, rows, None, zero, incremental=True))
    assert abs(bit.loss - found.loss) > 1e-3


def test_an_incremental_training_is_one_epoch_of_no_course():
    """No cosine, no mean of epochs, no rows set aside."""
    rows = rows_of(n_rows=60)
    one = plain(averaging=0.9, early_stopping=True, verbose=True)
    other = plain(learning_rate="constant", max_iter=1)
    before = start_of(one, rows)
    for _ in range(2):
        found = alone(one, rows, None, before, incremental=True)
        expected = alone(other, rows, None, before)
        assert_array_equal(found.theta, expected.theta)
        assert not found.watched
        before = before_of(found.attributes, found.samples_seen, found.state)
        # It has no end, of which it could be told.
        assert not found.converged
    assert found.samples_seen == 120


@pytest.mark.parametrize("learning_rate", ["constant", "cosine"])
def test_incremental_epochs_come_to_a_plateau(learning_rate):
    """With any course, since they have none."""
    rows = rows_of()
    one = plain(learning_rate=learning_rate, tol=9.0, n_iter_no_change=2)
    before, converged = None, []
    for _ in range(3):
        found = alone(one, rows, None, before, incremental=True)
        converged.append(found.converged)
        before = before_of(found.attributes, found.samples_seen, found.state)
    assert converged == [False, False, True]


def test_a_model_from_before_without_a_state_has_other_streams():
    """As many rows as it has seen, so that no call repeats another."""
    rows = rows_of()
    one = plain(keep_prob=0.5)
    found = [
        alone(one, rows, None, start_of(one, rows, seen)).loss for seen in (0, 40, 40)
    ]
    assert found[0] != found[1]
    assert found[1] == found[2]


def test_a_training_goes_on_from_another():
    """With the moments and the steps of its optimiser, and in its random streams."""
    rows = rows_of(weighted=True)
    parameters = {"learning_rate": "constant", "keep_prob": 0.7, "shuffle": False}
    one = plain(**parameters, n_iter_no_change=np.inf, max_iter=3)
    start = start_of(one, rows, 7)
    whole = alone(copy.copy(one).set_params(max_iter=6), rows, None, start)
    half = alone(one, rows, None, start)
    before = before_of(half.attributes, half.samples_seen, half.state)
    found = alone(one, rows, None, before)
    assert_array_equal(found.theta, whole.theta)
    assert found.samples_seen == whole.samples_seen == 7 + 6 * 40
    assert found.state["n_steps"] == whole.state["n_steps"]
    np.testing.assert_equal(found.state["streams"], whole.state["streams"])
    # Of another solver the moments are of no use, and the streams are.
    other = plain(**parameters, solver="sgd", max_iter=3)
    found = alone(other, rows, None, before)
    assert found.state["n_steps"] == 3 * 2
    rest = {"solver": "sgd", "n_steps": 0, "moments": [0], "betas": (0.9, 0.999)}
    anew = before._replace(state=before.state | rest)
    assert_array_equal(found.theta, alone(other, rows, None, anew).theta)


def test_the_moments_of_adam_are_those_of_other_betas():
    """They are kept without the factor 1 - beta."""
    rows = rows_of()
    half = alone(plain(max_iter=2), rows)
    before = before_of(half.attributes, half.samples_seen, half.state)
    found = alone(plain(max_iter=1, beta_1=0.8, beta_2=0.99), rows, None, before)
    first, second = half.state["moments"]
    state = before.state | {
        "betas": (0.8, 0.99),
        "moments": [first * 0.1 / 0.2, second * 0.001 / 0.01],
    }
    before = before._replace(state=state)
    expected = alone(plain(max_iter=1, beta_1=0.8, beta_2=0.99), rows, None, before)
    assert_allclose(found.theta, expected.theta, rtol=1e-12)


def test_a_lowered_rate_goes_on_and_a_plateau_does_not():
    rows = rows_of()
    one = plain(learning_rate="adaptive", tol=9.0, n_iter_no_change=2, max_iter=4)
    first = alone(one, rows)
    # Once after the third epoch.
    assert first.learning_rate == pytest.approx(0.02 / 5)
    before = before_of(first.attributes, first.samples_seen, first.state)
    again = alone(one.set_params(learning_rate_init=1.0), rows, None, before)
    assert again.learning_rate == pytest.approx(1 / 5 / 5)
    # The rate is the setting's own where it does not adapt.
    one.set_params(learning_rate="constant")
    assert alone(one, rows, None, before).learning_rate == 1.0


def test_layers_that_a_model_from_before_does_not_have_are_refused():
    rows = rows_of()
    one = network(hidden_layer_sizes=(6, 4))
    before = start_of(network(), rows)
    with pytest.raises(
        ValueError, match=r"=\(6, 4\), but .* hidden_layer_sizes=\(6, 5\)"
    ):
        train([one], rows, None, before)


def test_lbfgs_leaves_no_state():
    assert alone(network(solver="lbfgs", max_iter=3), rows_of()).state is None


# Memory ------------------------------------------------------------------------------


def peak_of(networks, rows):
    # Nothing is left to the garbage collector, which comes when it likes.
    gc.disable()
    tracemalloc.start()
    try:
        found = train(networks, rows)
        return found, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        gc.enable()


SPLITS = {"early_stopping": True, "early_stopping_refit": True}


@pytest.mark.parametrize("verbose", [False, True])
@pytest.mark.parametrize(("n_splits", "most"), [(1, 1.6), (3, 3.05)])
def test_the_memory_of_the_splits_is_given_back_before_the_training_on_all_rows(
    n_splits, most, verbose
):
    """It has the vectors of a network, and the splits had theirs at the same time."""
    rows = rows_of(n_rows=60)
    settings = {"hidden_layer_sizes": (200, 300), "max_iter": 2, "keep_prob": 0.5}
    settings |= {"verbose": verbose, "n_validation_splits": n_splits}
    _, of_one = peak_of([network(**settings, early_stopping=False)], rows)
    _, of_all = peak_of([network(**settings, **SPLITS)], rows)
    assert of_all < most * of_one


@pytest.mark.parametrize(("hidden", "n_columns"), [((200, 300), 4), ((2,), 500)])
def test_one_split_of_l_bfgs_has_a_workspace_at_a_time(hidden, n_columns):
    """And its rows at a time: those of the others are not gathered yet, or no more."""
    X, y, _ = noisy_rows(n_rows=2000)
    X = np.tile(X, n_columns // 4)
    rows = given_rows(network(), X, y).training
    settings = {"hidden_layer_sizes": hidden, "solver": "lbfgs", "max_iter": 2}
    settings |= SPLITS | {"n_validation_splits": 1}
    _, of_one = peak_of([network(**settings)], rows)
    _, of_five = peak_of([network(**settings | {"n_validation_splits": 5})], rows)
    assert of_five < 1.7 * of_one


def test_the_memory_of_a_stack_is_given_back_when_networks_leave():
    """There are never two stacks of workspaces, and not the first until the end."""
    rows = rows_of(n_rows=3000)
    grid = [(float(lambd), 0.9) for lambd in np.geomspace(1, 1e4, 6)]
    settings = {"hidden_layer_sizes": (40, 20), "batch_size": "full", "max_iter": 12}
    _, stays = peak_of(
        several(grid, **settings | {"max_iter": 2}, n_iter_no_change=np.inf), rows
    )
    calls = dict.fromkeys([lambd for lambd, _ in grid], 0)

    def scoring(model, X, y):
        # They leave one after the other.
        calls[model.lambd] += 1
        return min(calls[model.lambd], 2 * grid.index((model.lambd, 0.9)))

    leaving, moves = peak_of(
        several(
            grid,
            **settings,
            early_stopping=True,
            scoring=scoring,
            validation_fraction=0.001,
        ),
        rows,
    )
    assert len({found.n_epochs for found in leaving}) > 4
    assert moves < 1.1 * stays
