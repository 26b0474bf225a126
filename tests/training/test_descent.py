"""The epochs of a network or a stack of them, against naive loops and by scripts."""

import math
import weakref
from itertools import chain, pairwise

import numpy as np
import pytest
import reference
from helpers import constants
from numpy.testing import assert_allclose, assert_array_equal
from problems import (
    KEEP_PROBS,
    RecordedBatches,
    ScriptedBatches,
    ScriptedObjective,
    Told,
    make_problem,
    results_of,
    scored,
    scripted,
    unless_diverged,
)
from sklearn.datasets import load_digits

from skreg import RegularizedMLPClassifier
from skreg._network import optimizers
from skreg._network.dropout import Masks
from skreg._network.optimizers import SGD, Adam
from skreg._training import descent as _descent
from skreg._training.descent import FLUSH_STEPS, Descent, DivergedError, Run, Stack
from skreg._training.early_stopping import Plateau, descend

OPTIMIZERS = {
    "sgd": (SGD, constants(momentum=0.0, nesterovs_momentum=False)),
    "momentum": (SGD, constants(momentum=0.9, nesterovs_momentum=False)),
    "nesterov": (SGD, constants(momentum=0.9, nesterovs_momentum=True)),
    "adam": (Adam, constants(beta_1=0.9, beta_2=0.999, epsilon=1e-8)),
}


def make_optimizer(name, objective):
    kind, numbers = OPTIMIZERS[name]
    return kind(numbers, objective.theta, objective.gradient)


class RecordingOptimizer(SGD):
    """Plain gradient descent that notes its learning rates: of a stack, a list."""

    def __init__(self, objective, rates=None):
        _, plain = OPTIMIZERS["sgd"]
        super().__init__(plain, objective.theta, objective.gradient)
        self.rates = [] if rates is None else rates

    def step(self, learning_rate):
        self.rates.append(np.ravel(learning_rate).tolist())
        if self.moments.ndim == 2:
            (self.rates[-1],) = self.rates[-1]
        super().step(learning_rate)


def begun(
    objective,
    batches=None,
    optimizer=None,
    *,
    progress=None,
    constrain=None,
    validate=None,
    train_score=None,
    **arguments,
):
    """The descent of one network at a rate of 1, before its first epoch."""
    if isinstance(optimizer, str):
        optimizer = make_optimizer(optimizer, objective)
    stack = Stack(
        objective,
        RecordingOptimizer(objective) if optimizer is None else optimizer,
        constrain,
        scored(validate),
        scored(train_score),
    )
    defaults = {
        "schedule": "constant",
        "learning_rate": 1.0,
        "power_t": 0.5,
        "max_iter": 5,
    }
    batches = ScriptedBatches() if batches is None else batches
    descent = Descent(stack, batches, **defaults | arguments)
    descent.runs[0].progress = progress
    return descent


def never():
    return Plateau(0.0, math.inf)


def train(objective, batches=None, optimizer=None, plateau=None, **arguments):
    """The result of a descent of one network, to its end."""
    descent = begun(objective, batches, optimizer, **arguments)
    (result,) = results_of(descent, [never() if plateau is None else plateau])
    return unless_diverged(result)


# The naive loop on the full batch -----------------------------------------------------


def draw_masks(sizes, hidden=(6, 5), seed=0):
    """For each size of a batch, D1 and D2 of zeros and ones."""
    rng = np.random.default_rng(seed)
    return [
        [
            (rng.random((units, size)) < p).astype(float)
            for units, p in zip(hidden, KEEP_PROBS, strict=True)
        ]
        for size in sizes
    ]


@pytest.mark.parametrize(
    ("kind", "lambd", "dropout", "weighted", "activation"),
    [
        ("binary", 0.0, False, False, "relu"),
        ("binary", 0.7, True, True, "relu"),
        ("multiclass", 0.0, True, False, "relu"),
        ("multiclass", 0.7, False, True, "relu"),
        ("multilabel", 0.0, False, True, "relu"),
        ("multilabel", 0.7, True, False, "relu"),
        ("multiclass", 0.7, False, False, "identity"),
        ("binary", 0.7, True, False, "logistic"),
        ("multilabel", 0.7, False, True, "tanh"),
    ],
)
def test_full_batch_descent_is_the_naive_loop(
    kind, lambd, dropout, weighted, activation
):
    n_steps, n = 200 if activation == "relu" else 60, 23
    masks = draw_masks([n] * n_steps) if dropout else None
    problem = make_problem(
        kind, n=n, lambd=lambd, weighted=weighted, masks=masks, activation=activation
    )
    first_cost = problem.cost(problem.start, masks[0] if dropout else None)
    result = train(
        problem.objective, problem.batches(), learning_rate=0.1, max_iter=n_steps
    )
    expected = reference.gradient_descent(
        problem.X,
        problem.Y,
        problem.start,
        lambd,
        0.1,
        n_steps,
        masks,
        sample_weight=problem.weight,
        **problem.settings,
    )
    found = problem.parameters()
    assert list(found) == list(expected)
    for name in expected:
        assert_allclose(found[name], expected[name], rtol=0, atol=1e-10)
        assert np.abs(found[name] - problem.start[name]).max() > 1e-3
    assert_allclose(result.loss_curve[0], first_cost, rtol=1e-12)
    assert_array_equal(result.theta, problem.objective.theta)
    assert result.n_epochs == len(result.loss_curve) == n_steps
    assert result.loss == result.loss_curve[-1]
    assert result.samples_seen == n_steps * n


def test_each_reported_loss_is_the_one_whose_gradient_is_used():
    """The loss of epoch k is J at the weights before its step."""
    problem = make_problem(weighted=True)
    before = [problem.start]
    result = train(
        problem.objective,
        problem.batches(),
        learning_rate=0.1,
        max_iter=6,
        progress=Told(lambda _: before.append(problem.parameters())),
    )
    expected = [problem.cost(parameters) for parameters in before[:-1]]
    assert_allclose(result.loss_curve, expected, rtol=1e-12)


# The naive loop with mini-batches -----------------------------------------------------


def batch_gradient(problem, vector, rows, masks=None):
    found = reference.minibatch_gradients(
        problem.X,
        problem.Y,
        reference.unflatten(vector, problem.start),
        problem.lambd,
        rows,
        masks=masks,
        sample_weight=problem.weight,
        **problem.settings,
    )
    return reference.flatten_gradients(found)


def batch_cost(problem, vector, rows, masks=None):
    """1/|B| sum of v_i CE_i over the batch, and the whole penalty over M."""
    parameters = reference.unflatten(vector, problem.start)
    weight = np.ones(problem.n_rows) if problem.weight is None else problem.weight
    total = 0.0
    for position, row in enumerate(rows):
        of_row = None
        if masks is not None:
            of_row = [mask[:, [position]] for mask in masks]
        loss = reference.objective(
            problem.X[:, [row]],
            problem.Y[:, [row]],
            parameters,
            0.0,
            masks=of_row,
            **problem.settings,
        )
        total += weight[row] / weight.mean() * loss
    penalty = reference.penalty(parameters, problem.lambd) / weight.sum()
    return total / len(rows) + penalty


@pytest.mark.parametrize(
    ("optimizer", "kind", "weighted", "dropout", "chunk_rows", "schedule"),
    [
        ("sgd", "binary", False, False, 100, "constant"),
        ("adam", "binary", False, False, 100, "constant"),
        ("momentum", "binary", True, True, 100, "cosine"),
        ("adam", "binary", True, True, 100, "cosine"),
        ("nesterov", "multiclass", True, False, 3, "invscaling"),
        ("adam", "multiclass", True, False, 3, "invscaling"),
        ("sgd", "multiclass", False, True, 100, "invscaling"),
        ("nesterov", "multiclass", False, True, 100, "invscaling"),
        ("momentum", "multilabel", True, False, 100, "cosine"),
        ("sgd", "multilabel", True, False, 100, "cosine"),
        ("nesterov", "multilabel", False, False, 2, "constant"),
        ("momentum", "multilabel", False, False, 2, "constant"),
    ],
)
def test_mini_batches_are_the_naive_loop(
    optimizer, kind, weighted, dropout, chunk_rows, schedule
):
    n, n_epochs, seed = 23, 6, 4
    sizes = [len(part) for part in np.array_split(range(n), 3)]
    masks = draw_masks([max(sizes)] * 3 * n_epochs) if dropout else None
    problem = make_problem(kind, n=n, weighted=weighted, masks=masks)
    batches = RecordedBatches(
        problem.batches(8, seed=seed, chunk_rows=chunk_rows), problem
    )
    rate = 0.01 if optimizer == "adam" else 0.05
    result = train(
        problem.objective,
        batches,
        optimizer,
        schedule=schedule,
        learning_rate=rate,
        max_iter=n_epochs,
    )

    assert len(batches.epochs) == n_epochs
    # The order of the rows, from the seed alone.
    generator, order = np.random.default_rng(seed), np.arange(n)
    for epoch in batches.epochs:
        generator.shuffle(order)
        assert list(chain.from_iterable(epoch)) == order.tolist()
        assert sorted(map(len, epoch)) == sorted(sizes)

    steps = list(chain.from_iterable(batches.epochs))
    if dropout:
        masks = [
            [D[:, : len(rows)] for D in step]
            for step, rows in zip(masks, steps, strict=True)
        ]

    def of_step(step):
        return steps[step], masks[step] if dropout else None

    rates = reference.learning_rates(schedule, rate, n_epochs, n, 0.5, n_epochs)
    arguments = (
        reference.flatten(problem.start),
        lambda vector, step: batch_gradient(problem, vector, *of_step(step)),
        np.repeat(rates, 3),
    )
    rule = {"adam": reference.adam, "nesterov": reference.nesterov}
    constants = {"sgd": {"momentum": 0.0}}.get(optimizer, {})
    trajectory = rule.get(optimizer, reference.sgd_momentum)(
        *arguments, n_steps=len(steps), **constants
    )
    assert_allclose(problem.vector(), trajectory[-1], rtol=0, atol=1e-10)
    assert np.abs(trajectory[-1] - trajectory[0]).max() > 0.01

    # The loss of an epoch is the mean of its batches' losses, weighted by rows.
    losses = [
        batch_cost(problem, trajectory[k], *of_step(k)) for k in range(len(steps))
    ]
    n_rows = list(map(len, steps))
    expected = [
        np.dot(losses[k : k + 3], n_rows[k : k + 3]) / n
        for k in range(0, len(steps), 3)
    ]
    assert_allclose(result.loss_curve, expected, rtol=1e-9)


def test_the_loss_of_an_epoch_is_weighted_by_rows():
    objective = ScriptedObjective([1.0, 2.0, 4.0, 8.0, 16.0, 32.0])
    result = train(objective, ScriptedBatches(3, 2, 5), max_iter=2)
    assert result.loss_curve == [
        (3 * 1 + 2 * 2 + 5 * 4) / 10,
        (3 * 8 + 2 * 16 + 5 * 32) / 10,
    ]
    assert result.loss == result.loss_curve[-1]
    assert result.samples_seen == 20


def test_a_constant_learning_rate_and_one_step_for_each_batch():
    objective = ScriptedObjective([1.0])
    optimizer = RecordingOptimizer(objective)
    train(objective, ScriptedBatches(3, 3, 4), optimizer, learning_rate=0.1, max_iter=4)
    assert optimizer.rates == [0.1] * 12
    assert_allclose(objective.theta, 1.2)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_float32_stays_float32(optimizer):
    problem = make_problem(dtype=np.float32)
    twin = make_problem()
    twin.objective.theta[...] = problem.objective.theta
    result = train(
        problem.objective, problem.batches(8, seed=1), optimizer, learning_rate=0.1
    )
    train(twin.objective, twin.batches(8, seed=1), optimizer, learning_rate=0.1)
    assert result.theta.dtype == np.float32
    assert all(isinstance(loss, float) for loss in result.loss_curve)
    assert_allclose(problem.vector(), twin.vector(), atol=1e-4)


def test_the_global_random_stream_is_not_touched():
    before = np.random.get_state()  # noqa: NPY002
    problem = make_problem()
    problem.objective.fill_masks = Masks(
        KEEP_PROBS, (6, 5), np.random.SFC64(0), np.float64
    )
    train(problem.objective, problem.batches(8, seed=0), "adam", learning_rate=0.1)
    after = np.random.get_state()  # noqa: NPY002
    assert before[0] == after[0]
    assert_array_equal(before[1], after[1])
    assert before[2:] == after[2:]


# Epoch by epoch, and the end ----------------------------------------------------------


def test_an_epoch_makes_a_step_for_each_batch_and_then_waits():
    objective = ScriptedObjective([3.0, 5.0])
    descent = begun(
        objective, ScriptedBatches(3, 4), max_iter=3, validate=scripted([0.1, 0.3, 0.2])
    )
    (run,) = descent.runs
    assert objective.n_calls == 0
    assert run.place == ()
    for epoch, score in enumerate([0.1, 0.3, 0.2], start=1):
        assert not descent.done
        descent.epoch()
        assert objective.n_calls == 2 * epoch
        assert run.result.n_epochs == epoch
        assert_array_equal(objective.theta, 2 * epoch)
        # What the plateau will be told.
        assert run.latest == score
    assert descent.done
    # Nothing has ended it but max_iter.
    assert run.going
    assert not run.result.converged
    (result,) = descent.finish()
    assert result is run.result
    assert result.best_epoch == 2
    assert objective.n_calls == 6


@pytest.mark.parametrize("n_epochs", [0, 2])
def test_a_run_that_is_told_to_leave_has_converged_and_ends_the_descent(n_epochs):
    descent = begun(ScriptedObjective([1.0]))
    for _ in range(n_epochs):
        descent.epoch()
    assert not descent.done
    descent.runs[0].leave()
    assert descent.done
    (result,) = descent.finish()
    assert result.converged
    assert not result.stopped
    assert result.n_epochs == n_epochs
    assert_array_equal(result.theta, n_epochs)


def test_several_in_turns_are_each_as_alone():
    """Nothing that they use is shared."""
    seeds = (0, 1)
    several = [make_problem(seed=seed) for seed in seeds]
    arguments = {"learning_rate": 0.3, "averaging": 0.5, "max_iter": 6}
    descents = [
        begun(p.objective, p.batches(8, seed=4), "adam", **arguments) for p in several
    ]
    descend(descents, [never()])
    for descent, seed in zip(descents, seeds, strict=True):
        alone = make_problem(seed=seed)
        expected = train(alone.objective, alone.batches(8, seed=4), "adam", **arguments)
        (found,) = descent.finish()
        assert_array_equal(found.theta, expected.theta)
        assert found.loss_curve == expected.loss_curve


def test_it_leaves_what_a_later_training_goes_on_from():
    """The same steps as without a pause."""

    def after_epochs(objective, max_iter, before=None):
        optimizer = make_optimizer("adam", objective)
        if before is not None:
            optimizer.resume(before["n_steps"], before["moments"])
        descent = begun(
            objective,
            ScriptedBatches(3, 4),
            optimizer,
            learning_rate=0.1,
            max_iter=max_iter,
        )
        descend([descent], [never()])
        return descent.state()

    whole, objective = (
        ScriptedObjective([1.0], gradient=lambda theta: theta - 3) for _ in range(2)
    )
    expected = after_epochs(whole, 5)
    found = after_epochs(objective, 2, after_epochs(objective, 3))
    assert found["n_steps"] == expected["n_steps"] == 10
    assert found["n_rows"] == 7
    assert_array_equal(found["moments"], expected["moments"])
    assert_array_equal(objective.theta, whole.theta)


def test_max_iter_ends_the_training_without_convergence():
    objective = ScriptedObjective([1.0])
    result = train(objective, max_iter=7)
    assert result.n_epochs == objective.n_calls == 7
    assert not result.converged
    assert result.interrupt is None


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_a_number_of_epochs_ends_the_training_wherever_its_course_has_come_to(schedule):
    objective = ScriptedObjective([1.0])
    optimizer = RecordingOptimizer(objective)
    result = train(
        objective, None, optimizer, schedule=schedule, max_iter=9, n_epochs=[4]
    )
    assert result.n_epochs == objective.n_calls == 4
    assert result.converged
    assert not result.stopped
    expected = reference.learning_rates(schedule, 1.0, 9, max_iter=9)
    assert_allclose(optimizer.rates, expected[:4], rtol=1e-14)


def test_a_plateau_of_the_loss_ends_the_training():
    """Improvements of less than tol do not count, and the count begins anew."""
    losses = [4.0, 3.9, 3.0, 2.9, 2.8, 2.75, 2.0, 2.0]
    result = train(ScriptedObjective(losses), plateau=Plateau(0.5, 3), max_iter=50)
    assert result.converged
    assert result.loss_curve == losses[:6]
    assert result.n_epochs == 6
    assert result.best_epoch == 6


def test_without_validation_the_last_weights_are_the_result():
    result = train(ScriptedObjective([3.0, 1.0, 2.0]), max_iter=3)
    assert not result.watched
    assert result.best_epoch == 2
    assert result.loss == 2.0
    assert result.validation_scores == []
    assert_array_equal(result.theta, 3.0)


def test_the_best_weights_are_restored_with_validation():
    objective = ScriptedObjective([5.0, 4.0, 3.0, 2.0, 1.0])
    scores = [-3.0, -1.0, -2.0, -1.0, -4.0]
    told = Told()
    result = train(
        objective, ScriptedBatches(4, 6), validate=scripted(scores), progress=told
    )
    assert result.watched
    assert result.validation_scores == scores
    # The first of two that are equal.
    assert result.best_epoch == 2
    # Two steps an epoch.
    assert_array_equal(result.theta, 4.0)
    assert_array_equal(objective.theta, 10.0)
    expected = zip(range(1, 6), result.loss_curve, scores, strict=True)
    assert told.reports == list(expected)
    assert result.loss == result.loss_curve[-1]


def test_validation_sees_the_weights_of_its_epoch():
    objective = ScriptedObjective([1.0])
    seen = []

    def validate():
        seen.append(objective.theta[0])
        return 0.0

    train(objective, max_iter=4, validate=validate)
    assert seen == [1.0, 2.0, 3.0, 4.0]


def test_a_plateau_is_one_of_the_score_where_there_is_one():
    """The loss goes on to fall, the score does not rise."""
    result = train(
        ScriptedObjective([float(-k) for k in range(50)]),
        plateau=Plateau(0.1, 3),
        max_iter=50,
        validate=scripted([0.0, 0.5, 0.55, 0.4, 0.58, 0.9]),
    )
    assert result.converged
    assert result.n_epochs == 5
    assert result.best_epoch == 5
    assert_array_equal(result.theta, 5.0)


def test_a_score_that_rises_goes_on_although_the_loss_does_not_fall():
    result = train(
        ScriptedObjective([1.0]),
        plateau=Plateau(0.0, 3),
        max_iter=6,
        validate=scripted([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]),
    )
    assert result.n_epochs == 6
    assert not result.converged


@pytest.mark.parametrize("averaging", [0.0, 0.5])
def test_a_score_that_is_never_a_number_leaves_the_last_weights_or_their_mean(
    averaging,
):
    result = train(
        ScriptedObjective([1.0]),
        plateau=Plateau(0.0, 3),
        max_iter=50,
        averaging=averaging,
        validate=lambda: math.nan,
    )
    assert result.n_epochs == 3
    assert result.best_epoch == 0
    assert_allclose(result.theta, naive_mean([1, 2, 3], averaging), rtol=1e-14)


@pytest.mark.parametrize("validated", [False, True])
def test_the_best_score_is_kept(validated):
    result = train(
        ScriptedObjective([3.0, 1.0, 2.0]),
        max_iter=3,
        validate=scripted([0.2, 0.7, 0.5]) if validated else None,
    )
    assert result.best_epoch == 2
    assert result.best_score == (0.7 if validated else -1.0)


def test_scores_of_the_training_rows_are_taken_each_epoch():
    objective = ScriptedObjective([1.0])
    result = train(
        objective,
        max_iter=3,
        train_score=lambda: 10 * objective.theta[0],
        validate=lambda: -objective.theta[0],
    )
    assert result.train_scores == [10.0, 20.0, 30.0]
    assert result.validation_scores == [-1.0, -2.0, -3.0]
    # They stop nothing and choose nothing.
    assert result.best_epoch == 1


def test_the_constraint_is_applied_after_each_step():
    objective = ScriptedObjective([1.0])
    seen = []

    def constrain():
        seen.append(objective.theta[0])
        np.minimum(objective.theta, 2.5, out=objective.theta)

    result = train(objective, ScriptedBatches(5, 5), max_iter=2, constrain=constrain)
    assert seen == [1.0, 2.0, 3.0, 3.5]
    assert_array_equal(result.theta, 2.5)


# Progress ----------------------------------------------------------------------------


def test_progress_is_told_of_each_epoch_and_of_the_end():
    told = Told()
    result = train(ScriptedObjective([2.0, 1.0]), max_iter=3, progress=told)
    assert not result.stopped
    assert not result.converged
    assert told.events == ["begins", 1, "begins", 2, "begins", 3, "finished"]
    # Without validation there is no score.
    assert told.reports == [(1, 2.0, None), (2, 1.0, None), (3, 1.0, None)]


def test_progress_may_stop_the_training():
    told = Told(stop_after=3)
    result = train(ScriptedObjective([1.0]), progress=told)
    assert result.n_epochs == 3
    assert result.stopped
    assert result.converged
    assert told.events == ["begins", 1, "begins", 2, "begins", 3, "finished"]


# Learning rates ----------------------------------------------------------------------


def rates_of(losses, plateau, **arguments):
    objective = ScriptedObjective(losses)
    optimizer = RecordingOptimizer(objective)
    result = train(objective, None, optimizer, plateau, **arguments)
    return optimizer.rates, result


def test_adaptive_divides_by_five_at_each_plateau_and_ends_at_the_smallest_rate():
    rates, result = rates_of(
        [1.0],
        Plateau(1e-4, 3),
        schedule="adaptive",
        learning_rate=1e-3,
        max_iter=1000,
    )
    # The first epoch improves on nothing; then each plateau takes three epochs.
    expected = [1e-3] * 4
    for power in range(1, 6):
        expected += [1e-3 / 5**power] * 3
    assert_allclose(rates, expected, rtol=1e-14)
    assert result.converged
    assert result.learning_rate == pytest.approx(3.2e-7, rel=1e-14)
    assert result.n_epochs == len(expected)


@pytest.mark.parametrize(("rate", "n_plateaus"), [(1e-6, 1), (1.01e-6, 2), (5e-7, 1)])
def test_adaptive_ends_at_a_plateau_at_1e_6_or_below(rate, n_plateaus):
    rates, result = rates_of(
        [1.0], Plateau(0.1, 2), schedule="adaptive", learning_rate=rate, max_iter=99
    )
    assert len(set(rates)) == n_plateaus
    assert len(rates) == 1 + 2 * n_plateaus
    assert result.converged


def test_adaptive_keeps_its_rate_while_the_loss_falls():
    losses = [float(-k) for k in range(10)]
    rates, result = rates_of(
        losses, Plateau(0.5, 2), schedule="adaptive", max_iter=10, learning_rate=0.3
    )
    assert rates == [0.3] * 10
    assert result.learning_rate == 0.3
    assert not result.converged


def test_adaptive_that_max_iter_cuts_short_has_not_converged():
    rates, result = rates_of(
        [1.0], Plateau(0.1, 2), schedule="adaptive", learning_rate=0.5, max_iter=4
    )
    assert rates == [0.5, 0.5, 0.5, 0.1]
    assert result.learning_rate == 0.1
    assert not result.converged


@pytest.mark.parametrize("schedule", ["constant", "invscaling", "cosine"])
def test_other_schedules_end_at_their_first_plateau(schedule):
    rates, result = rates_of([1.0], Plateau(0.1, 3), schedule=schedule, max_iter=50)
    assert len(rates) == 4
    assert result.converged
    assert result.learning_rate == 1.0


def test_cosine_runs_to_its_end_and_has_then_converged():
    rates, result = rates_of(
        [1.0], never(), schedule="cosine", learning_rate=0.3, max_iter=12
    )
    expected = reference.learning_rates("cosine", 0.3, 12, max_iter=12)
    assert_allclose(rates, expected, rtol=1e-14)
    assert result.converged
    assert result.n_epochs == 12
    assert result.learning_rate == 0.3


@pytest.mark.parametrize("power_t", [0.5, 1.0])
def test_invscaling_goes_on_from_the_samples_seen(power_t):
    expected = reference.learning_rates("invscaling", 0.3, 9, 10, power_t)
    arguments = {"schedule": "invscaling", "learning_rate": 0.3, "power_t": power_t}
    first, _ = rates_of([1.0], never(), max_iter=4, **arguments)
    assert_allclose(first, expected[:4], rtol=1e-14)
    rates, result = rates_of([1.0], never(), samples_seen=40, max_iter=5, **arguments)
    assert_allclose(rates, expected[4:], rtol=1e-14)
    assert result.samples_seen == 90


# Divergence --------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_the_first_loss_that_is_not_finite_ends_the_training(loss):
    objective = ScriptedObjective([3.0, 2.0, 1.0, 2.0, 3.0, loss, 1.0, 1.0])
    optimizer = RecordingOptimizer(objective)
    told = Told()
    descent = begun(
        objective,
        ScriptedBatches(5, 5),
        optimizer,
        schedule="invscaling",
        learning_rate=0.4,
        progress=told,
    )
    (result,) = results_of(descent, [never()])
    assert descent.done
    assert result.diverged.epoch == 3
    rates = reference.learning_rates("invscaling", 0.4, 3, 10)
    assert result.diverged.learning_rate == pytest.approx(rates[2], rel=1e-14)
    assert not result.converged
    # Nothing was done with it: no step, no report, no further batch.
    assert objective.n_calls == 6
    assert_allclose(optimizer.rates, [rates[0], rates[0], rates[1], rates[1], rates[2]])
    assert told.events == ["begins", 1, "begins", 2, "begins", "finished"]
    assert result.samples_seen == 20


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_weights_that_are_not_finite_end_the_training(bad):
    objective = ScriptedObjective(
        [1.0],
        theta=[0.0, 0.0, 0.0],
        gradient=lambda theta: np.where(theta > 1.5, [0.0, bad, 0.0], -1.0),
    )
    validated = []
    with pytest.raises(DivergedError) as caught:
        train(objective, validate=lambda: validated.append(1) or 0.0)
    assert caught.value.epoch == 3
    assert caught.value.learning_rate == 1.0
    assert len(validated) == 2


def test_a_network_with_too_large_a_rate_diverges():
    problem = make_problem("multiclass", activation="identity")
    with np.errstate(all="ignore"), pytest.raises(DivergedError) as caught:
        train(problem.objective, problem.batches(), learning_rate=1e80, max_iter=50)
    assert 1 <= caught.value.epoch <= 10
    assert caught.value.learning_rate == 1e80


def test_a_loss_ten_thousand_times_that_of_the_start_has_diverged():
    """1 more than the loss, so that a start near zero has room as well."""
    for start, ceiling in [(0.5, 15_000.0), (0.0, 10_000.0), (-3.0, 40_000.0)]:
        result = train(ScriptedObjective([start, ceiling]))
        assert result.loss_curve == [start] + [ceiling] * 4
        objective = ScriptedObjective([start, 1.0, ceiling * 1.001])
        optimizer = RecordingOptimizer(objective)
        with pytest.raises(DivergedError) as caught:
            train(objective, None, optimizer)
        assert caught.value.epoch == 3
        assert len(optimizer.rates) == 2


def test_no_start_is_so_high_that_an_infinite_loss_is_fine():
    """Ten thousand times as much would be infinite. There is no step after it."""
    result = train(ScriptedObjective([1e307]), max_iter=2)
    assert result.loss_curve == [1e307] * 2
    optimizer = RecordingOptimizer(objective := ScriptedObjective([1e307, math.inf]))
    with pytest.raises(DivergedError):
        train(objective, None, optimizer)
    assert len(optimizer.rates) == 1


def test_a_moment_that_is_not_finite_ends_the_training():
    """With an infinite second moment a weight would never move again."""
    objective = ScriptedObjective([1.0], gradient=lambda theta: np.array([1.0, 1e200]))
    with pytest.raises(DivergedError) as caught:
        train(objective, None, "adam")
    assert caught.value.epoch == 1


# Interrupts --------------------------------------------------------------------------


def test_an_interrupt_when_weights_are_not_finite_keeps_none_of_them():
    """An optimiser that goes on from there begins anew."""
    stop = KeyboardInterrupt()
    gradients = iter([-1.0, -1.0, np.array([math.inf, 0.0])])
    objective = ScriptedObjective(
        [1.0, 1.0, 1.0, stop], gradient=lambda theta: next(gradients)
    )
    optimizer = make_optimizer("adam", objective)
    with np.errstate(invalid="ignore"):
        result = train(objective, ScriptedBatches(2, 2), optimizer, learning_rate=0.1)
    assert result.interrupt is stop
    assert result.n_epochs == 1
    assert not np.isfinite(objective.theta).all()
    assert np.isfinite(result.theta).all()
    assert optimizer.n_steps == 0
    assert_array_equal(optimizer.moments, 0)


@pytest.mark.parametrize("n_steps", [0, 2])
def test_an_interrupt_in_the_first_epoch_is_not_held_back(n_steps):
    stop = KeyboardInterrupt()
    objective = ScriptedObjective([1.0] * n_steps + [stop])
    with pytest.raises(KeyboardInterrupt) as caught:
        train(objective, ScriptedBatches(2, 2, 2))
    assert caught.value is stop


def test_an_interrupt_before_there_is_a_best_epoch_is_not_held_back():
    objective = ScriptedObjective([1.0, 1.0, KeyboardInterrupt()])
    with pytest.raises(KeyboardInterrupt):
        train(objective, validate=lambda: math.nan)


@pytest.mark.parametrize("n_steps", [3, 4, 7, 8])
def test_an_interrupt_in_an_epoch_keeps_the_one_before(n_steps):
    """Three steps an epoch; the masks of one more are never drawn."""
    problem = make_problem()
    stop = KeyboardInterrupt()
    calls = iter(range(100))

    def fill_masks(D):
        if next(calls) == n_steps:
            raise stop
        D.fill(1)

    problem.objective.fill_masks = fill_masks
    batches = RecordedBatches(problem.batches(8, seed=0), problem)
    optimizer = make_optimizer("momentum", problem.objective)
    told = Told()
    result = train(
        problem.objective,
        batches,
        optimizer,
        learning_rate=0.1,
        max_iter=20,
        progress=told,
    )
    n_epochs = n_steps // 3
    assert result.interrupt is stop
    assert not result.converged
    assert result.n_epochs == len(result.loss_curve) == n_epochs
    assert result.samples_seen == 23 * n_epochs
    # Nobody waits for the end of an epoch that is never told of.
    assert told.events[-3:] == [n_epochs, "begins", "finished"]
    # What is finite may be gone on from.
    assert optimizer.n_steps == n_steps
    assert optimizer.moments.any()

    steps = list(chain.from_iterable(batches.epochs))[: 3 * n_epochs]
    expected = reference.sgd_momentum(
        reference.flatten(problem.start),
        lambda vector, step: batch_gradient(problem, vector, steps[step]),
        0.1,
        n_steps=len(steps),
    )
    assert_allclose(problem.vector(result.theta), expected[-1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("validated", [False, True])
@pytest.mark.parametrize("epoch", [1, 4])
def test_an_interrupt_in_a_report_keeps_the_epochs_so_far(epoch, validated):
    stop = KeyboardInterrupt()

    def report(of_epoch):
        if of_epoch == epoch:
            raise stop

    objective = ScriptedObjective([1.0])
    result = train(
        objective,
        max_iter=9,
        validate=scripted([0.1, 0.3, 0.2, 0.2]) if validated else None,
        progress=Told(report),
    )
    assert result.interrupt is stop
    assert result.n_epochs == len(result.loss_curve) == epoch
    assert len(result.validation_scores) == (epoch if validated else 0)
    assert not result.converged
    assert_array_equal(objective.theta, epoch)
    assert_array_equal(result.theta, min(epoch, 2) if validated else epoch)


@pytest.mark.parametrize(("epoch", "best"), [(2, 1), (4, 2)])
def test_an_interrupt_in_the_validation_keeps_the_best_weights_so_far(epoch, best):
    stop = KeyboardInterrupt()
    scores = [0.1, 0.3, 0.2][: epoch - 1]
    result = train(
        ScriptedObjective([3.0, 2.0, 1.0]),
        max_iter=9,
        validate=scripted([*scores, stop]),
    )
    assert result.interrupt is stop
    assert result.validation_scores == scores
    assert not result.converged
    assert_array_equal(result.theta, best)


def test_an_interrupt_while_an_epoch_is_noted_keeps_the_one_before():
    """Its loss and its scores are in the lists already."""

    class Interrupts(float):
        def __gt__(self, other):
            raise KeyboardInterrupt

    run = Run(np.zeros(2), watched=True)
    run.epoch_ended(2.0, 0.5, 0.6)
    with pytest.raises(KeyboardInterrupt):
        run.epoch_ended(1.0, Interrupts(0.7), 0.8)
    assert run.result.validation_scores == [0.5, 0.7]
    result = run.interrupted(KeyboardInterrupt())
    assert result.n_epochs == 1
    assert result.loss_curve == [2.0]
    assert result.validation_scores == [0.5]
    assert result.train_scores == [0.6]


def test_an_interrupt_at_the_last_epoch_of_cosine_is_no_convergence():
    def report(epoch):
        if epoch == 5:
            raise KeyboardInterrupt

    result = train(ScriptedObjective([1.0]), schedule="cosine", progress=Told(report))
    assert isinstance(result.interrupt, KeyboardInterrupt)
    assert not result.converged


def test_an_interrupt_after_a_plateau_of_adaptive_keeps_the_lower_rate():
    objective = ScriptedObjective([1.0] * 3 + [KeyboardInterrupt()])
    result = train(objective, plateau=Plateau(0.1, 2), schedule="adaptive")
    assert result.n_epochs == 3
    assert result.learning_rate == 0.2


@pytest.mark.parametrize(
    ("scores", "averaging", "expected"),
    [
        (None, 0.0, 3),
        (None, 0.5, (3 + 2 * 0.5 + 0.25) / 1.75),
        ([0.1, 0.3, 0.2], 0.0, 2),
        ([0.1, 0.3, 0.2], 0.5, (2 + 0.5) / 1.5),
    ],
)
def test_an_interrupt_between_epochs_keeps_the_last_the_best_or_the_mean(
    scores, averaging, expected
):
    """As one does that reaches another split in its turn."""
    stop = KeyboardInterrupt()
    descent = begun(
        ScriptedObjective([1.0]),
        validate=None if scores is None else scripted(scores),
        averaging=averaging,
    )
    other = begun(ScriptedObjective([1.0, 1.0, 1.0, stop]))
    with pytest.raises(KeyboardInterrupt) as caught:
        descend([other, descent], [never()])
    (result,) = descent.interrupted(caught.value)
    assert result.interrupt is stop
    assert not result.converged
    assert result.n_epochs == len(result.loss_curve) == 3
    assert result.samples_seen == 30
    assert result.best_epoch == (1 if scores is None else 2)
    assert_allclose(result.theta, expected, rtol=1e-14)


@pytest.mark.parametrize("how", ["diverged", "stopped"])
def test_an_interrupt_after_the_end_of_a_split_is_all_that_is_told_of(how):
    """Another split was in its turn, and so the epoch was not at its end."""
    losses = [1.0, 1.0, math.nan] if how == "diverged" else [1.0]
    told = Told(stop_after=3 if how == "stopped" else None)
    descent = begun(ScriptedObjective(losses), progress=told)
    for _ in range(3):
        descent.epoch()
    assert descent.done
    (result,) = descent.interrupted(KeyboardInterrupt())
    assert result.n_epochs == (2 if how == "diverged" else 3)
    assert_array_equal(result.theta, result.n_epochs)
    assert result.diverged is None
    assert not result.stopped
    assert not result.converged


def test_other_exceptions_are_not_held_back():
    def report(_):
        raise RuntimeError("not an interrupt")

    with pytest.raises(RuntimeError, match="not an interrupt"):
        train(ScriptedObjective([1.0]), progress=Told(report))


# Subnormal numbers -------------------------------------------------------------------


def subnormal(vector):
    return (vector != 0) & (np.abs(vector) < np.finfo(vector.dtype).tiny)


@pytest.mark.parametrize(
    ("n_batches", "max_iter", "flushed"),
    [
        (1, 40, [16, 32, 40]),
        (5, 8, [20, 40, 40]),
        (20, 3, [20, 40, 60, 60]),
        (1, 3, [3]),
    ],
)
@pytest.mark.parametrize("before", [0, 100])
def test_subnormal_numbers_are_flushed_after_sixteen_steps_and_at_the_end(
    n_batches, max_iter, flushed, before, monkeypatch
):
    """After the epoch that makes them sixteen: short epochs cannot decay far."""
    objective = ScriptedObjective([1.0])
    optimizer = RecordingOptimizer(objective)
    optimizer.n_steps = before
    steps = []

    def note(*_):
        steps.append(optimizer.n_steps - before)

    monkeypatch.setattr(_descent, "flush_subnormals", note)
    monkeypatch.setattr(optimizer, "flush", note)
    train(objective, ScriptedBatches(*[1] * n_batches), optimizer, max_iter=max_iter)
    assert steps == flushed


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_epoch_leaves_subnormal_weights_or_moments(optimizer, dtype):
    tiny = np.finfo(dtype).tiny
    start = np.array([1.01, -1.5, 40, 2**60], dtype=dtype) * tiny
    rate = 1.0 if optimizer == "sgd" else 0.001

    def make():
        """Weights that decay, as those of dead units do with L2; or moments that do."""
        decay = 0.0 if optimizer == "adam" else 0.9
        objective = ScriptedObjective([1.0], start, lambda theta: decay * theta)
        made = make_optimizer(optimizer, objective)
        made.resume(9, [np.abs(start) for _ in made.moments])
        return objective, made

    # With steps alone there are some.
    objective, alone = make()
    met = 0
    for _ in range(30):
        objective([1])
        alone.step(rate)
        met += subnormal(objective.theta).sum()
        met += sum(subnormal(moment).sum() for moment in alone.moments)
    assert met > 0

    objective, flushed = make()
    seen = []

    def report(_):
        seen.append(subnormal(objective.theta).sum())
        seen.extend(subnormal(moment).sum() for moment in flushed.moments)

    result = train(
        objective,
        ScriptedBatches(*[1] * FLUSH_STEPS),
        flushed,
        learning_rate=rate,
        max_iter=30,
        progress=Told(report),
    )
    assert len(seen) >= 60
    assert not any(seen)
    assert not subnormal(result.theta).any()


@pytest.mark.parametrize("lambd", [1.0, 10.0])
def test_steps_of_dead_weights_meet_hardly_any_subnormal_numbers(lambd, monkeypatch):
    """The digits have pixels that are always blank, whose weights only decay."""
    X, y = load_digits(return_X_y=True)
    met = []

    class Counted(optimizers.Adam):
        def step(self, learning_rate):
            super().step(learning_rate)
            with np.errstate(all="ignore"):
                squares = np.square(self.gradient)
            numbers = self.theta, self.gradient, squares, *self.moments
            met.append(sum(int(subnormal(each).sum()) for each in numbers))

        def __init__(self, constants, theta, gradient):
            super().__init__(constants, theta, gradient)
            self.theta, self.gradient = theta, gradient

    monkeypatch.setitem(optimizers.OPTIMIZERS, "adam", Counted)
    RegularizedMLPClassifier(
        (30,),
        lambd=lambd,
        standardize=False,
        early_stopping=False,
        batch_size=128,
        max_iter=100,
        random_state=0,
    ).fit((X / 16).astype(np.float32), y)
    assert len(met) > 1000
    # Flushed when they are subnormal, some hundreds of ten thousand a step are.
    assert max(np.mean(tenth) for tenth in np.array_split(met, 10)) < 24


@pytest.mark.parametrize("interrupted", [False, True])
def test_what_is_left_has_no_subnormal_numbers_after_few_steps_either(interrupted):
    tiny = np.finfo(float).tiny / 4
    losses = [1.0, KeyboardInterrupt()] if interrupted else [1.0]
    objective = ScriptedObjective(losses, [tiny, 1.0], lambda theta: 0.0)
    optimizer = make_optimizer("momentum", objective)
    optimizer.resume(3, [np.array([tiny, 2.0])])
    result = train(objective, None, optimizer, learning_rate=0.0, max_iter=2)
    assert_array_equal(result.theta, [0.0, 1.0 + 2 * 0.9 + (not interrupted) * 1.62])
    if not interrupted:
        assert_allclose(optimizer.moments, [[0.0, 1.62]])


def test_the_weights_of_a_dead_input_decay_to_zero():
    """An input that is always zero: its weights know nothing but L2."""
    problem = make_problem(dtype=np.float32, lambd=23.0)
    problem.data.X[:, 1] = 0
    W1 = problem.objective.layers[0].W
    result = train(
        problem.objective, problem.batches(), learning_rate=0.5, max_iter=200
    )
    assert_array_equal(W1[:, 1], 0)
    assert not subnormal(result.theta).any()


# Stacks ------------------------------------------------------------------------------


class ScriptedStack(ScriptedObjective):
    """Networks that each return their losses, call by call, then the last for ever."""

    def __init__(self, losses, gradient=-1.0):
        super().__init__(losses, np.zeros((len(losses), 2)), lambda theta: gradient)

    def __call__(self, chunks):
        list(chunks)
        loss = [one[min(self.n_calls, len(one) - 1)] for one in self.losses]
        self.n_calls += 1
        for one in loss:
            if isinstance(one, BaseException):
                raise one
        self.gradient[...] = self._gradient(self.theta)
        return np.array(loss)


def plateaus_of(n):
    """Each ends its network after two epochs without an improvement."""
    return [Plateau(1e-3, 2) for _ in range(n)]


def begun_together(stack, batches=None, *, smaller=None, **arguments):
    defaults = {
        "schedule": "constant",
        "learning_rate": 1.0,
        "power_t": 0.5,
        "max_iter": 6,
        "smaller": smaller,
    }
    batches = ScriptedBatches() if batches is None else batches
    return Descent(stack, batches, **defaults | arguments)


def run_script(losses, plateaus=None, *, progress=None, **arguments):
    """Results, the rates of each step, and which networks each smaller stack had."""
    rates, made, objectives = [], [], []

    def stack_of(numbers):
        objective = ScriptedStack([losses[number] for number in numbers])
        if objectives:
            objective.n_calls = objectives[-1]().n_calls
        objectives.append(weakref.ref(objective))
        return Stack(objective, RecordingOptimizer(objective, rates))

    def smaller(numbers):
        made.append(list(numbers))
        return stack_of(numbers)

    descent = begun_together(stack_of(range(len(losses))), smaller=smaller, **arguments)
    told = [None] * len(losses) if progress is None else progress
    for run, of_run in zip(descent.runs, told, strict=True):
        run.progress = of_run
    results = results_of(descent, plateaus or [never() for _ in losses])
    # Nothing is kept of the stacks that there were.
    is_kept = [objective() is not None for objective in objectives]
    assert is_kept == [False] * len(made) + [True]
    return results, rates, made


FALLING = [1.0 / (1 + epoch) for epoch in range(9)]
FLAT = [1.0] * 9


def test_adaptive_rates_of_a_stack_are_each_its_own():
    """The second comes to a plateau each other epoch, the first never."""
    results, rates, made = run_script(
        [FALLING, FLAT], plateaus_of(2), schedule="adaptive", max_iter=8
    )
    expected = [1.0, 1.0, 1.0, 0.2, 0.2, 0.04, 0.04, 0.008]
    assert_allclose(rates, [[1.0, rate] for rate in expected], rtol=1e-12)
    assert made == []
    assert [result.learning_rate for result in results] == [
        1.0,
        pytest.approx(0.008),
    ]
    assert [result.converged for result in results] == [False, False]
    # A step adds its rate, so that θ is the sum of the rates.
    assert_allclose(results[0].theta, 8)
    assert_allclose(results[1].theta, sum(expected))


def test_those_left_move_to_their_new_places():
    """The first leaves, then the third of the two that were its neighbours."""
    stops = [FLAT, FALLING, FALLING[:3] + [FALLING[2]] * 6, FALLING]
    results, rates, made = run_script(stops, plateaus_of(4), max_iter=8)
    assert made == [[1, 2, 3], [1, 3]]
    assert [result.n_epochs for result in results] == [3, 8, 5, 8]
    assert [result.converged for result in results] == [True, False, True, False]
    assert [len(step) for step in rates] == [4] * 3 + [3] * 2 + [2] * 3
    for losses, result in zip(stops, results, strict=True):
        assert result.loss_curve == losses[: result.n_epochs]
        assert_array_equal(result.theta, [result.n_epochs] * 2)
        assert result.samples_seen == 10 * result.n_epochs
        assert result.best_score == -min(result.loss_curve)


def test_networks_of_a_stack_end_after_their_own_numbers_of_epochs():
    results, rates, made = run_script(
        [FALLING] * 3, schedule="cosine", n_epochs=[4, 1, 4], max_iter=8
    )
    assert made == [[0, 2]]
    assert [result.n_epochs for result in results] == [4, 1, 4]
    assert all(result.converged for result in results)
    expected = reference.learning_rates("cosine", 1.0, 8, max_iter=8)[:4]
    assert_allclose([step[0] for step in rates], expected)


def test_what_an_optimizer_remembers_moves_with_its_network():
    """Velocities that differ, and the number of steps, by which Adam corrects."""
    first, second = ScriptedStack([FLAT] * 3, 0.0), ScriptedStack([FLAT], 0.0)
    optimizers = [make_optimizer("adam", objective) for objective in (first, second)]
    moments = np.arange(12.0).reshape(2, 3, 2)
    optimizers[0].resume(7, moments)
    stacks = [
        Stack(objective, optimizer)
        for objective, optimizer in zip((first, second), optimizers, strict=True)
    ]
    descent = begun_together(
        stacks[0], smaller=lambda numbers: stacks[1], learning_rate=0.0, max_iter=2
    )
    descent.epoch()
    descent.runs[0].leave()
    descent.runs[1].leave()
    descent.epoch()
    betas = np.array([0.9, 0.999])[:, np.newaxis, np.newaxis]
    assert_allclose(optimizers[1].moments, betas**2 * moments[:, 2:], rtol=1e-12)
    assert optimizers[1].n_steps == 9
    descent.finish()
    assert descent.state()["n_steps"] == 9


def test_no_stack_is_made_for_no_epoch():
    """The first leaves with the last epoch."""
    results, _, made = run_script([FLAT, FALLING], plateaus_of(2), max_iter=3)
    assert made == []
    assert [result.converged for result in results] == [True, False]


def test_the_weights_of_those_that_left_stay():
    """The weights are their own, not a view of the others' memory."""
    results, *_ = run_script([FLAT, FALLING], plateaus_of(2))
    left, stayed = results
    assert left.theta.base is None
    assert not np.shares_memory(left.theta, stayed.theta)
    assert_array_equal(left.theta, [3, 3])
    assert_array_equal(stayed.theta, [6, 6])


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e6])
def test_a_network_that_diverges_leaves_the_others_alone(bad):
    """In the second epoch, at its own rate; the ceiling is its own too."""
    losses = [FALLING, [1.0, bad, 1.0, 1.0], [1e5] * 9]
    results, _, made = run_script(losses, learning_rate=0.5, max_iter=4)
    assert made == [[0, 2]]
    assert [result.diverged is None for result in results] == [True, False, True]
    assert results[1].diverged.epoch == 2
    assert results[1].diverged.learning_rate == 0.5
    assert results[1].loss_curve == [1.0]
    assert results[1].samples_seen == 10
    assert not results[1].converged
    assert [result.n_epochs for result in results] == [4, 1, 4]
    assert results[0].loss_curve == FALLING[:4]
    assert_array_equal(results[0].theta, [2, 2])


def test_a_network_diverges_at_its_own_rate():
    """That of the first has been divided by five."""
    losses = [FLAT, [*FALLING[:4], math.nan]]
    results, rates, _ = run_script(
        losses, plateaus_of(2), schedule="adaptive", max_iter=6
    )
    assert rates[3] == [0.2, 1.0]
    assert results[1].diverged.learning_rate == 1.0
    assert results[1].diverged.epoch == 5


def test_the_ceiling_moves_with_its_network():
    """1e7 is not much for the second, and would be for the first, which has left.

    It is that of the first epoch: a later one of the third would have room for 1e7.
    """
    losses = [[math.nan] * 5, [1e5, 1e5, 1e7, 1e7], [1.0, 9e3, 9e3, 1e7]]
    results, _, made = run_script(losses, max_iter=4)
    # There is no epoch for a third stack, without the network that has diverged.
    assert made == [[1, 2]]
    assert results[1].diverged is None
    assert results[2].diverged.epoch == 4
    assert results[0].diverged.epoch == 1


def test_a_loss_that_explodes_within_an_epoch_is_not_forgotten():
    """Its mean over the epoch would be a number again."""
    objective = ScriptedStack([[1.0, 1.0, 1.0], [1.0, 1e5, 1.0]])
    optimizer = RecordingOptimizer(objective)
    descent = begun_together(
        Stack(objective, optimizer), ScriptedBatches(3, 3, 4), max_iter=1
    )
    first, second = results_of(descent, [never(), never()])
    assert first.diverged is None
    assert second.diverged.epoch == 1
    assert len(optimizer.rates) == 3


def test_an_epoch_ends_where_all_are_lost():
    """Each at its own batch; there is no step after the last, and no score."""
    objective = ScriptedStack([[1.0, math.nan, 1.0, 1.0], [1.0, 1.0, math.nan, 1.0]])
    optimizer = RecordingOptimizer(objective)
    stack = Stack(objective, optimizer, None, pytest.fail, pytest.fail)
    descent = begun_together(stack, ScriptedBatches(3, 3, 4, 2))
    results = results_of(descent, [never(), never()])
    assert descent.done
    assert [result.diverged.epoch for result in results] == [1, 1]
    assert len(optimizer.rates) == 2
    assert [result.n_epochs for result in results] == [0, 0]


@pytest.mark.parametrize("what", ["weight", "moment"])
def test_what_is_not_finite_is_so_for_its_network_alone(what):
    gradient = {
        "weight": [[1.0, math.inf], [1.0, 1.0]],
        "moment": [[1.0, 1e200], [1, 1]],
    }
    objective = ScriptedStack([FLAT, FLAT], np.array(gradient[what]))
    kind = "sgd" if what == "weight" else "adam"
    stack = Stack(objective, make_optimizer(kind, objective))
    descent = begun_together(stack, max_iter=1)
    first, second = results_of(descent, [never(), never()])
    assert first.diverged.epoch == 1
    assert second.diverged is None
    assert second.n_epochs == 1


@pytest.mark.parametrize("at", ["objective", "report"])
def test_an_interrupt_of_a_stack_is_not_held_back(at):
    stop = KeyboardInterrupt()

    def report(epoch):
        if at == "report" and epoch == 5:
            raise stop

    losses = [FLAT, FALLING, FALLING]
    if at == "objective":
        losses[2] = [*FALLING[:4], stop, 1.0]
    progress = [Told(), Told(), Told(report)]
    with pytest.raises(KeyboardInterrupt) as caught:
        run_script(losses, plateaus_of(3), progress=progress)
    assert caught.value is stop


def test_each_network_of_a_stack_has_its_own_progress():
    progress = [Told(), Told()]
    run_script([FLAT, FALLING], plateaus_of(2), progress=progress, max_iter=4)
    first, second = progress
    assert first.reports == [(epoch, 1.0, None) for epoch in (1, 2, 3)]
    assert second.reports == [(n, FALLING[n - 1], None) for n in (1, 2, 3, 4)]
    assert first.events == ["begins", 1, "begins", 2, "begins", 3, "finished"]


def test_progress_stops_all_networks():
    """It follows one of those that are tried."""
    progress = [Told(), Told(stop_after=2), Told()]
    results, _, made = run_script([FALLING] * 3, progress=progress, max_iter=4)
    assert [result.n_epochs for result in results] == [2, 2, 2]
    assert [result.stopped for result in results] == [False, True, False]
    assert [result.converged for result in results] == [True, True, True]
    assert made == []


def test_scores_are_asked_for_those_that_are_there():
    """And each network gets its own: of the validation, and of the training rows."""
    asked = []

    def stack_of(numbers, objective):
        def score(sign):
            def scored(places):
                asked.append((sign, [numbers[place] for (place,) in places]))
                return sign * (10.0 * np.array(numbers) + objective.theta[:, 0])

            return scored

        return Stack(
            objective, RecordingOptimizer(objective), None, score(1), score(-1)
        )

    losses = [[math.nan] * 5, FALLING, FALLING]
    descent = begun_together(
        stack_of([0, 1, 2], ScriptedStack(losses)),
        max_iter=2,
        smaller=lambda numbers: stack_of(numbers, ScriptedStack([FALLING, FALLING])),
    )
    results = results_of(descent, [never()] * 3)
    assert asked == [(1, [1, 2]), (-1, [1, 2])] * 2
    assert results[0].validation_scores == []
    for number in (1, 2):
        expected = [10 * number + 1, 10 * number + 2]
        assert results[number].validation_scores == expected
        assert results[number].train_scores == [-score for score in expected]
        assert results[number].best_epoch == 2
        # The best weights of one are no view of all.
        assert_array_equal(results[number].theta, 2)


def test_subnormal_numbers_of_those_that_leave_are_flushed():
    tiny = np.finfo(float).tiny / 4
    objective = ScriptedStack([FLAT, FALLING], gradient=0.0)
    objective.theta[...] = [[tiny, 1.0], [tiny, 2.0]]
    after = ScriptedStack([FALLING], gradient=0.0)
    descent = begun_together(
        Stack(objective, RecordingOptimizer(objective)),
        smaller=lambda numbers: Stack(after, RecordingOptimizer(after)),
    )
    results = results_of(descent, plateaus_of(2))
    assert_array_equal(results[0].theta, [0, 1])
    assert_array_equal(results[1].theta, [0, 2])


@pytest.mark.parametrize("leaves_at", [3, 20])
def test_the_count_to_the_next_flushing_goes_on_in_a_smaller_stack(
    leaves_at, monkeypatch
):
    flushed = []
    falling = [float(50 - k) for k in range(40)]
    losses = [[max(loss, 53.0 - leaves_at) for loss in falling], falling]
    rates = []

    def note(theta, *_):
        flushed.append((len(rates), theta.ndim))

    monkeypatch.setattr(_descent, "flush_subnormals", note)
    monkeypatch.setattr(RecordingOptimizer, "flush", lambda self: note(self._theta))
    first, second = ScriptedStack(losses), ScriptedStack(losses[1:])
    second.n_calls = leaves_at
    descent = begun_together(
        Stack(first, RecordingOptimizer(first, rates)),
        smaller=lambda numbers: Stack(second, RecordingOptimizer(second, rates)),
        max_iter=35,
    )
    results_of(descent, [Plateau(1e-9, 2) for _ in range(2)])
    # A vector of one dimension is that of the network that leaves.
    assert [n for n, ndim in flushed if ndim == 2] == [16, 32, 35]
    assert [n for n, ndim in flushed if ndim == 1] == [leaves_at]


# The mean of the epochs' weights -----------------------------------------------------


def naive_mean(weights, averaging):
    """Σ averaging^age weights / Σ averaging^age."""
    shares = [averaging**age for age in reversed(range(len(weights)))]
    return np.average(np.asarray(weights, float), axis=0, weights=shares)


@pytest.mark.parametrize("averaging", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("sizes", [(10,), (3, 4)])
@pytest.mark.parametrize("validated", [False, True])
def test_what_is_scored_told_and_left_is_the_mean(validated, sizes, averaging):
    """Each step adds its rate to the weights, so that the epochs' are known."""
    n_epochs, rate = 6, 0.5
    objective = ScriptedObjective([float(9 - k) for k in range(12)])
    seen, told, trained = [], [], []

    def score():
        seen.append(objective.theta.copy())
        return float(len(seen))

    descent = begun(
        objective,
        ScriptedBatches(*sizes),
        validate=score if validated else None,
        learning_rate=rate,
        schedule="invscaling",
        averaging=averaging,
        max_iter=n_epochs,
        progress=Told(lambda _: told.append(objective.theta.copy())),
    )
    while not descent.done:
        descent.epoch()
        # The steps go on from the newest weights, not from the mean.
        trained.append(objective.theta.copy())
    (result,) = descent.finish()
    n_rows = sum(sizes)
    rates = [rate / math.sqrt(n_rows * epoch + 1) for epoch in range(n_epochs)]
    weights = np.repeat(np.cumsum(rates)[:, np.newaxis] * len(sizes), 2, axis=1)
    means = [naive_mean(weights[: n + 1], averaging) for n in range(n_epochs)]
    assert_allclose(trained, weights, rtol=1e-13)
    assert_allclose(told, means, rtol=1e-13)
    assert_allclose(result.theta, means[-1], rtol=1e-13)
    if validated:
        assert_allclose(seen, means, rtol=1e-13)
    if averaging == 0:
        assert_array_equal(result.theta, trained[-1])


def test_the_best_epoch_is_that_of_the_mean():
    result = train(
        ScriptedObjective([1.0]), validate=scripted([1, 2, 4, 3, 2]), averaging=0.8
    )
    assert_allclose(result.theta, naive_mean([1, 2, 3], 0.8), rtol=1e-14)


def test_a_network_that_leaves_keeps_its_own_mean():
    """The others go on with theirs, in the smaller stack."""
    stops = [FLAT, FALLING, FALLING[:3] + [FALLING[2]] * 6, FALLING]
    results, _, made = run_script(stops, plateaus_of(4), max_iter=8, averaging=0.7)
    assert made == [[1, 2, 3], [1, 3]]
    assert [result.n_epochs for result in results] == [3, 8, 5, 8]
    for result in results:
        epochs = range(1, result.n_epochs + 1)
        assert_allclose(result.theta, naive_mean(epochs, 0.7), rtol=1e-14)
    for one, other in pairwise(results):
        assert not np.shares_memory(one.theta, other.theta)


@pytest.mark.parametrize(("n_epochs", "left"), [(1000, 2.0**-1000), (1060, 0.0)])
def test_subnormal_numbers_of_the_mean_are_flushed(n_epochs, left):
    """A weight of 1 after the first epoch and of 0 from then on: 2^-n is left of it."""
    calls = []

    def gradient(theta):
        calls.append(None)
        return theta * [len(calls) > 1, 0]

    objective = ScriptedObjective([1.0], theta=(1.0, 3.0), gradient=gradient)
    result = train(objective, max_iter=n_epochs, averaging=0.5)
    assert_array_equal(objective.theta, result.theta)
    assert_array_equal(result.theta, [left, 3.0])
