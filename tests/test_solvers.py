"""The epoch loop and L-BFGS, against naive loops and a second minimiser."""

import math
from dataclasses import dataclass, replace
from itertools import chain, pairwise

import numpy as np
import pytest
import reference
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize

from skreg import _solvers
from skreg._activations import ACTIVATIONS
from skreg._batches import Batches
from skreg._data import check_y, infer_target, training_set
from skreg._dropout import Masks
from skreg._loss import OUTPUTS
from skreg._objective import Objective
from skreg._optimizers import SGD, Adam
from skreg._parameters import Layout, initial_theta
from skreg._solvers import (
    FLUSH_STEPS,
    DivergedError,
    Stack,
    descending,
    lbfgs,
    to_the_end,
)
from skreg._stopping import Plateau


def descend(*args, **kwargs):
    return to_the_end(descending(*args, **kwargs))


KINDS = ["binary", "multiclass", "multilabel"]
kinds = pytest.mark.parametrize("kind", KINDS)
KEEP_PROBS = (0.75, 0.6)

# Set-up: a network, its data and what the oracle needs of both ------------------------


@dataclass
class Problem:
    """A training set, an objective with weights to start from, and the oracle's view.

    ``X`` is (n_x, n), ``Y`` (n_y, n). ``settings`` are the arguments that the
    functions of `reference` share.
    """

    X: np.ndarray
    Y: np.ndarray
    data: object
    objective: Objective
    start: dict
    lambd: float
    weight: np.ndarray | None
    settings: dict

    @property
    def n_rows(self):
        return self.X.shape[1]

    def parameters(self):
        """W1, b1, W2, … as they are now, copied."""
        return parameters_of(self.objective, self.objective.theta)

    def vector(self, theta=None):
        """θ in the oracle's order."""
        theta = self.objective.theta if theta is None else theta
        return reference.flatten(parameters_of(self.objective, theta))

    def batches(self, batch_size=None, *, seed=None, chunk_rows=10**6):
        generator = None if seed is None else np.random.default_rng(seed)
        return Batches(
            self.data,
            self.n_rows if batch_size is None else batch_size,
            chunk_rows=chunk_rows,
            generator=generator,
        )

    def cost(self, parameters, masks=None):
        """J over all rows."""
        return reference.objective(
            self.X,
            self.Y,
            parameters,
            self.lambd,
            masks=masks,
            sample_weight=self.weight,
            **self.settings,
        )

    def batch_gradient(self, vector, rows, masks=None):
        found = reference.minibatch_gradients(
            self.X,
            self.Y,
            reference.unflatten(vector, self.start),
            self.lambd,
            rows,
            masks=masks,
            sample_weight=self.weight,
            **self.settings,
        )
        return reference.flatten_gradients(found)

    def batch_cost(self, vector, rows, masks=None):
        """1/|B| sum of v_i CE_i over the batch, and the whole penalty over M."""
        parameters = reference.unflatten(vector, self.start)
        weight = np.ones(self.n_rows) if self.weight is None else self.weight
        total = 0.0
        for position, row in enumerate(rows):
            of_row = None
            if masks is not None:
                of_row = [mask[:, [position]] for mask in masks]
            loss = reference.objective(
                self.X[:, [row]],
                self.Y[:, [row]],
                parameters,
                0.0,
                masks=of_row,
                **self.settings,
            )
            total += weight[row] / weight.mean() * loss
        penalty = reference.penalty(parameters, self.lambd) / weight.sum()
        return total / len(rows) + penalty


def parameters_of(objective, theta):
    parameters = {}
    for number, (W, b) in enumerate(objective.layout.layers(theta), start=1):
        parameters[f"W{number}"] = np.array(W, dtype=float)
        parameters[f"b{number}"] = np.array(b, dtype=float)
    return parameters


def make_problem(
    kind="binary",
    *,
    n=23,
    lambd=0.7,
    weighted=False,
    masks=None,
    activation="relu",
    hidden=(6, 5),
    dtype=np.float64,
    seed=0,
):
    """``masks`` holds a list of D1, D2, … for each call, handed out in this order.

    They may have more columns than the batch.
    """
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, 4))
    if kind == "multilabel":
        y = np.vstack([np.eye(3), rng.integers(0, 2, size=(n - 3, 3))]).astype(int)
        Y = y.T
    else:
        n_classes = 2 if kind == "binary" else 3
        y = np.arange(n) % n_classes
        Y = np.eye(n_classes)[y].T
        if kind == "binary":
            Y = Y[1:]
        rows[:, 0] += y
    weight = rng.uniform(0.5, 3, size=n) if weighted else None

    y = check_y(y)
    data = training_set(rows.astype(dtype), y, weight, infer_target(y))
    layout = Layout((4, *hidden, data.target.n_outputs))
    theta = initial_theta(layout, activation, rng, dtype)
    theta += rng.normal(scale=0.1, size=theta.shape)
    fill_masks = None
    if masks is not None:
        handed_out = iter(masks)

        def fill_masks(D):
            scaled = [m / p for m, p in zip(next(handed_out), KEEP_PROBS, strict=True)]
            D[...] = np.concatenate(scaled)[:, : D.shape[1]]

    objective = Objective(
        layout,
        ACTIVATIONS[activation],
        OUTPUTS[data.target.kind],
        theta,
        decay=lambd / data.total_weight,
        fill_masks=fill_masks,
    )
    return Problem(
        X=rows.astype(dtype).T.astype(float),
        Y=Y.astype(float),
        data=data,
        objective=objective,
        start=parameters_of(objective, theta),
        lambd=lambd,
        weight=weight,
        settings={
            "activation": activation,
            "output": "softmax" if kind == "multiclass" else "logistic",
            "keep_prob": KEEP_PROBS,
        },
    )


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


OPTIMIZERS = {
    "sgd": (SGD, {"momentum": 0.0, "nesterov": False}),
    "momentum": (SGD, {"momentum": 0.9, "nesterov": False}),
    "nesterov": (SGD, {"momentum": 0.9, "nesterov": True}),
    "adam": (Adam, {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8}),
}


def make_optimizer(name, objective):
    kind, constants = OPTIMIZERS[name]
    return kind(objective.theta, objective.gradient, **constants)


class Told:
    """An observer that passes each report on."""

    def __init__(self, report):
        self.report = report

    def begins(self):
        pass

    def ends(self, report):
        self.report(report)
        return False

    def finished(self):
        pass


def observers_of(report):
    return [] if report is None else [Told(report)]


def train(
    objective, batches, optimizer="sgd", plateau=None, *, report=None, **arguments
):
    """`descend` with the arguments that most tests have in common."""
    if isinstance(optimizer, str):
        optimizer = make_optimizer(optimizer, objective)
    defaults = {
        "schedule": "constant",
        "learning_rate": 0.1,
        "power_t": 0.5,
        "max_iter": 5,
        "observers": observers_of(report),
    }
    plateau = Plateau(0.0, math.inf) if plateau is None else plateau
    arguments = defaults | arguments
    stack = Stack(
        objective,
        optimizer,
        arguments.pop("constrain", None),
        scored(arguments.pop("validate", None)),
        scored(arguments.pop("train_score", None)),
    )
    observers = [arguments.pop("observers")]
    (result,) = descend(stack, batches, [plateau], observers=observers, **arguments)
    return unless_diverged(result)


def scored(score):
    """The score of one network, as a solver asks for it."""
    return None if score is None else lambda places: np.asarray(score())


def unless_diverged(result):
    if result.diverged is not None:
        raise result.diverged
    return result


def train_lbfgs(objective, batches, plateau=None, *, report=None, **arguments):
    defaults = {
        "max_iter": 500,
        "max_fun": 10_000,
        "tol": 1e-7,
        "observers": observers_of(report),
    }
    plateau = Plateau(0.0, math.inf) if plateau is None else plateau
    arguments = defaults | arguments
    for name in ("validate", "train_score"):
        arguments[name] = scored(arguments.pop(name, None))
    return unless_diverged(lbfgs(objective, batches, plateau, **arguments))


# Stand-ins that follow a script -------------------------------------------------------


class ScriptedBatches:
    """Batches of these sizes; a chunk is the size."""

    def __init__(self, *sizes):
        self.sizes = sizes or (10,)
        self.n_rows = sum(self.sizes)

    def epoch(self):
        return [(size, [size]) for size in self.sizes]


class ScriptedObjective:
    """Returns these losses, then the last one for ever; each may be an exception.

    The gradient is ``gradient(theta)``, by default -1 everywhere: with a learning rate
    of 1 the weights count the steps.
    """

    def __init__(self, losses, theta=(0.0, 0.0), gradient=lambda theta: -1.0):
        self.theta = np.array(theta)
        self.gradient = np.zeros_like(self.theta)
        self.losses = list(losses)
        self.n_calls = 0
        self._gradient = gradient

    def __call__(self, chunks):
        assert len(list(chunks)) == 1
        loss = self.losses[min(self.n_calls, len(self.losses) - 1)]
        self.n_calls += 1
        if isinstance(loss, BaseException):
            raise loss
        self.gradient[...] = self._gradient(self.theta)
        return np.float64(loss)


class RecordingOptimizer(SGD):
    """Plain gradient descent that notes its learning rates."""

    def __init__(self, objective):
        super().__init__(
            objective.theta, objective.gradient, momentum=0.0, nesterov=False
        )
        self.rates = []

    def step(self, learning_rate):
        self.rates.append(float(learning_rate))
        super().step(learning_rate)


class RecordedBatches:
    """Notes which rows each batch had, known by their features."""

    def __init__(self, batches, problem):
        self._batches = batches
        self._row = {x.tobytes(): i for i, x in enumerate(problem.data.X)}
        self.n_rows = batches.n_rows
        self.epochs = []

    def epoch(self):
        self.epochs.append([])
        for n_rows, chunks in self._batches.epoch():
            rows = []
            self.epochs[-1].append(rows)
            yield n_rows, self._noted(chunks, rows)

    def _noted(self, chunks, rows):
        for chunk in chunks:
            rows.extend(self._row[x.tobytes()] for x in chunk.X.T)
            yield chunk


def scripted(values):
    """A function that returns these values, one a call, or raises them."""
    values = iter(values)

    def following():
        value = next(values)
        if isinstance(value, BaseException):
            raise value
        return value

    return following


# Gradient descent on the full batch ---------------------------------------------------


@kinds
@pytest.mark.parametrize("lambd", [0.0, 0.7])
@pytest.mark.parametrize("dropout", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_full_batch_descent_is_the_naive_loop(kind, lambd, dropout, weighted):
    n_steps, n = 200, 23
    masks = draw_masks([n] * n_steps) if dropout else None
    problem = make_problem(kind, n=n, lambd=lambd, weighted=weighted, masks=masks)
    first_cost = problem.cost(problem.start, masks[0] if dropout else None)
    result = train(problem.objective, problem.batches(), max_iter=n_steps)
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


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh"])
def test_the_naive_loop_with_other_activations(activation):
    problem = make_problem("multiclass", activation=activation)
    train(problem.objective, problem.batches(), max_iter=200)
    expected = reference.gradient_descent(
        problem.X, problem.Y, problem.start, 0.7, 0.1, 200, **problem.settings
    )
    assert_allclose(problem.vector(), reference.flatten(expected), rtol=0, atol=1e-10)


def test_each_reported_loss_is_the_one_whose_gradient_is_used():
    """The loss of epoch k is J at the weights before its step."""
    problem = make_problem(weighted=True)
    before = [problem.start]
    result = train(
        problem.objective,
        problem.batches(),
        max_iter=6,
        report=lambda _: before.append(problem.parameters()),
    )
    expected = [problem.cost(parameters) for parameters in before[:-1]]
    assert_allclose(result.loss_curve, expected, rtol=1e-12)


# Mini-batches ------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(
    ("kind", "weighted", "dropout", "chunk_rows", "schedule"),
    [
        ("binary", False, False, 100, "constant"),
        ("binary", True, True, 100, "cosine"),
        ("multiclass", True, False, 3, "invscaling"),
        ("multiclass", False, True, 100, "invscaling"),
        ("multilabel", True, False, 100, "cosine"),
        ("multilabel", False, False, 2, "constant"),
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
        lambda vector, step: problem.batch_gradient(vector, *of_step(step)),
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
    losses = [problem.batch_cost(trajectory[k], *of_step(k)) for k in range(len(steps))]
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
    train(objective, ScriptedBatches(3, 3, 4), optimizer, max_iter=4)
    assert optimizer.rates == [0.1] * 12
    assert_allclose(objective.theta, 1.2)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_float32_stays_float32(optimizer):
    problem = make_problem(dtype=np.float32)
    twin = make_problem()
    twin.objective.theta[...] = problem.objective.theta
    result = train(problem.objective, problem.batches(8, seed=1), optimizer)
    train(twin.objective, twin.batches(8, seed=1), optimizer)
    assert result.theta.dtype == np.float32
    assert all(isinstance(loss, float) for loss in result.loss_curve)
    assert_allclose(problem.vector(), twin.vector(), atol=1e-4)


# The end of the training -------------------------------------------------------------


def test_max_iter_ends_the_training_without_convergence():
    objective = ScriptedObjective([1.0])
    result = train(objective, ScriptedBatches(), max_iter=7)
    assert result.n_epochs == objective.n_calls == 7
    assert not result.converged
    assert result.interrupt is None


def test_a_plateau_of_the_loss_ends_the_training():
    """Improvements of less than tol do not count, and the count begins anew."""
    losses = [4.0, 3.9, 3.0, 2.9, 2.8, 2.75, 2.0, 2.0]
    objective = ScriptedObjective(losses)
    result = train(objective, ScriptedBatches(), plateau=Plateau(0.5, 3), max_iter=50)
    assert result.converged
    assert result.loss_curve == losses[:6]
    assert result.n_epochs == 6
    assert result.best_epoch == 6


def test_without_validation_the_last_weights_are_the_result():
    objective = ScriptedObjective([3.0, 1.0, 2.0])
    result = train(objective, ScriptedBatches(), learning_rate=1.0, max_iter=3)
    assert result.best_epoch == 2
    assert result.loss == 2.0
    assert result.validation_scores == []
    assert_array_equal(result.theta, 3.0)


def test_the_best_weights_are_restored_with_validation():
    objective = ScriptedObjective([5.0, 4.0, 3.0, 2.0, 1.0])
    scores = [-3.0, -1.0, -2.0, -1.0, -4.0]
    reports = []
    result = train(
        objective,
        ScriptedBatches(4, 6),
        learning_rate=1.0,
        validate=scripted(scores),
        report=reports.append,
    )
    assert result.validation_scores == scores
    assert result.best_epoch == 2
    # Two steps an epoch.
    assert_array_equal(result.theta, 4.0)
    assert_array_equal(objective.theta, 10.0)
    assert [(r.epoch, r.validation_score) for r in reports] == [*enumerate(scores, 1)]
    assert [r.loss for r in reports] == result.loss_curve
    assert result.loss == result.loss_curve[-1]


def test_without_validation_the_report_has_no_score():
    reports = []
    train(
        ScriptedObjective([2.0, 1.0]),
        ScriptedBatches(),
        max_iter=2,
        report=reports.append,
    )
    assert [(r.epoch, r.loss, r.validation_score) for r in reports] == [
        (1, 2.0, None),
        (2, 1.0, None),
    ]


def test_validation_sees_the_weights_of_its_epoch():
    objective = ScriptedObjective([1.0])
    seen = []

    def validate():
        seen.append(objective.theta[0])
        return 0.0

    train(
        objective,
        ScriptedBatches(),
        learning_rate=1.0,
        max_iter=4,
        validate=validate,
    )
    assert seen == [1.0, 2.0, 3.0, 4.0]


def test_a_plateau_is_one_of_the_score_where_there_is_one():
    """The loss goes on to fall, the score does not rise."""
    objective = ScriptedObjective([float(-k) for k in range(50)])
    result = train(
        objective,
        ScriptedBatches(),
        plateau=Plateau(0.1, 3),
        learning_rate=1.0,
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
        ScriptedBatches(),
        plateau=Plateau(0.0, 3),
        max_iter=6,
        validate=scripted([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]),
    )
    assert result.n_epochs == 6
    assert not result.converged


def test_a_score_that_is_never_a_number_leaves_the_last_weights():
    objective = ScriptedObjective([1.0])
    result = train(
        objective,
        ScriptedBatches(),
        plateau=Plateau(0.0, 3),
        learning_rate=1.0,
        max_iter=50,
        validate=lambda: math.nan,
    )
    assert result.n_epochs == 3
    assert result.best_epoch == 0
    assert_array_equal(result.theta, 3.0)


@pytest.mark.parametrize("validated", [False, True])
def test_the_best_score_is_kept(validated):
    result = train(
        ScriptedObjective([3.0, 1.0, 2.0]),
        ScriptedBatches(),
        max_iter=3,
        validate=scripted([0.2, 0.7, 0.5]) if validated else None,
    )
    assert result.best_epoch == 2
    assert result.best_score == (0.7 if validated else -1.0)


def test_scores_of_the_training_rows_are_taken_each_epoch():
    objective = ScriptedObjective([1.0])
    result = train(
        objective,
        ScriptedBatches(),
        learning_rate=1.0,
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

    result = train(
        objective,
        ScriptedBatches(5, 5),
        learning_rate=1.0,
        max_iter=2,
        constrain=constrain,
    )
    assert seen == [1.0, 2.0, 3.0, 3.5]
    assert_array_equal(result.theta, 2.5)


# Observers ---------------------------------------------------------------------------


class Diary:
    """An observer that writes down what it is told, and stops after an epoch."""

    def __init__(self, stop_after=None):
        self.told = []
        self.stop_after = stop_after

    def begins(self):
        self.told.append("begins")

    def ends(self, report):
        self.told.append(report.epoch)
        return report.epoch == self.stop_after

    def finished(self):
        self.told.append("finished")


def run_with(observers, solver):
    if solver == "descend":
        return train(ScriptedObjective([1.0]), ScriptedBatches(), observers=observers)
    problem = make_problem()
    return train_lbfgs(
        problem.objective, problem.batches(), max_iter=5, observers=observers
    )


@pytest.mark.parametrize("solver", ["descend", "lbfgs"])
def test_observers_are_told_of_each_epoch_and_of_the_end(solver):
    diaries = [Diary(), Diary()]
    result = run_with(diaries, solver)
    assert result.n_epochs == 5
    assert not result.converged
    epochs = chain.from_iterable(["begins", epoch] for epoch in range(1, 6))
    assert diaries[0].told == [*epochs, "finished"]
    assert diaries[1].told == diaries[0].told


@pytest.mark.parametrize("solver", ["descend", "lbfgs"])
@pytest.mark.parametrize("which", [0, 1])
def test_any_observer_may_stop_the_training(solver, which):
    diaries = [Diary(), Diary()]
    diaries[which].stop_after = 3
    result = run_with(diaries, solver)
    assert result.n_epochs == 3
    assert result.converged
    for diary in diaries:
        assert diary.told == ["begins", 1, "begins", 2, "begins", 3, "finished"]


# Learning rates ----------------------------------------------------------------------


def rates_of(losses, plateau, **arguments):
    objective = ScriptedObjective(losses)
    optimizer = RecordingOptimizer(objective)
    result = train(objective, ScriptedBatches(), optimizer, plateau, **arguments)
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
    assert result.learning_rate == 0.1


def test_cosine_runs_to_its_end_and_has_then_converged():
    rates, result = rates_of(
        [1.0],
        Plateau(0.1, math.inf),
        schedule="cosine",
        learning_rate=0.3,
        max_iter=12,
    )
    expected = reference.learning_rates("cosine", 0.3, 12, max_iter=12)
    assert_allclose(rates, expected, rtol=1e-14)
    assert result.converged
    assert result.n_epochs == 12
    assert result.learning_rate == 0.3


@pytest.mark.parametrize("power_t", [0.5, 1.0])
def test_invscaling_goes_on_from_the_samples_seen(power_t):
    expected = reference.learning_rates("invscaling", 0.3, 9, 10, power_t)
    rates, result = rates_of(
        [1.0],
        Plateau(0.1, math.inf),
        schedule="invscaling",
        learning_rate=0.3,
        power_t=power_t,
        samples_seen=40,
        max_iter=5,
    )
    assert_allclose(rates, expected[4:], rtol=1e-14)
    assert result.samples_seen == 90
    first, _ = rates_of(
        [1.0],
        Plateau(0.1, math.inf),
        schedule="invscaling",
        learning_rate=0.3,
        power_t=power_t,
        max_iter=4,
    )
    assert_allclose(first, expected[:4], rtol=1e-14)


# Divergence --------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_the_first_loss_that_is_not_finite_ends_the_training(loss):
    objective = ScriptedObjective([3.0, 2.0, 1.0, 2.0, 3.0, loss, 1.0, 1.0])
    optimizer = RecordingOptimizer(objective)
    reports = []
    with pytest.raises(DivergedError) as caught:
        train(
            objective,
            ScriptedBatches(5, 5),
            optimizer,
            schedule="invscaling",
            learning_rate=0.4,
            report=reports.append,
        )
    assert caught.value.epoch == 3
    rates = reference.learning_rates("invscaling", 0.4, 3, 10)
    assert caught.value.learning_rate == pytest.approx(rates[2], rel=1e-14)
    # Nothing was done with it: no step, no report, no further batch.
    assert objective.n_calls == 6
    assert_allclose(optimizer.rates, [rates[0], rates[0], rates[1], rates[1], rates[2]])
    assert [r.epoch for r in reports] == [1, 2]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_weights_that_are_not_finite_end_the_training(bad):
    objective = ScriptedObjective(
        [1.0],
        theta=[0.0, 0.0, 0.0],
        gradient=lambda theta: np.where(theta > 1.5, [0.0, bad, 0.0], -1.0),
    )
    optimizer = RecordingOptimizer(objective)
    validated = []
    with pytest.raises(DivergedError) as caught:
        train(
            objective,
            ScriptedBatches(),
            optimizer,
            learning_rate=1.0,
            validate=lambda: validated.append(1) or 0.0,
        )
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
        result = train(ScriptedObjective([start, ceiling]), ScriptedBatches())
        assert result.loss_curve == [start] + [ceiling] * 4
        optimizer = RecordingOptimizer(
            objective := ScriptedObjective([start, 1.0, ceiling * 1.001])
        )
        with pytest.raises(DivergedError) as caught:
            train(objective, ScriptedBatches(), optimizer)
        assert caught.value.epoch == 3
        assert len(optimizer.rates) == 2


def test_a_moment_that_is_not_finite_ends_the_training():
    """With an infinite second moment a weight would never move again."""
    objective = ScriptedObjective([1.0], gradient=lambda theta: np.array([1.0, 1e200]))
    with pytest.raises(DivergedError) as caught:
        train(objective, ScriptedBatches(), "adam")
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
        result = train(objective, ScriptedBatches(2, 2), optimizer)
    assert result.interrupt is stop
    assert result.n_epochs == 1
    assert not np.isfinite(objective.theta).all()
    assert np.isfinite(result.theta).all()
    assert optimizer.n_steps == 0
    assert_array_equal(optimizer.moments, 0)


@pytest.mark.parametrize("n_steps", [0, 2])
def test_an_interrupt_in_the_first_epoch_is_not_held_back(n_steps):
    objective = ScriptedObjective([1.0] * n_steps + [KeyboardInterrupt()])
    with pytest.raises(KeyboardInterrupt):
        train(objective, ScriptedBatches(2, 2, 2))


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
    result = train(problem.objective, batches, max_iter=20)
    assert result.interrupt is stop
    assert not result.converged
    assert result.n_epochs == len(result.loss_curve) == n_steps // 3
    assert result.samples_seen == 23 * (n_steps // 3)

    expected = reference.flatten(problem.start)
    for rows in list(chain.from_iterable(batches.epochs))[: n_steps // 3 * 3]:
        expected = expected - 0.1 * problem.batch_gradient(expected, rows)
    assert_allclose(problem.vector(result.theta), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("validated", [False, True])
@pytest.mark.parametrize("epoch", [1, 4])
def test_an_interrupt_in_a_report_keeps_the_epochs_so_far(epoch, validated):
    stop = KeyboardInterrupt()

    def report(of_epoch):
        if of_epoch.epoch == epoch:
            raise stop

    objective = ScriptedObjective([1.0])
    result = train(
        objective,
        ScriptedBatches(),
        learning_rate=1.0,
        max_iter=9,
        validate=scripted([0.1, 0.3, 0.2, 0.2]) if validated else None,
        report=report,
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
    objective = ScriptedObjective([3.0, 2.0, 1.0])
    result = train(
        objective,
        ScriptedBatches(),
        learning_rate=1.0,
        max_iter=9,
        validate=scripted([*scores, stop]),
    )
    assert result.interrupt is stop
    assert result.validation_scores == scores
    assert not result.converged
    assert_array_equal(result.theta, best)


def test_an_interrupt_at_the_last_epoch_of_cosine_is_no_convergence():
    def report(of_epoch):
        if of_epoch.epoch == 5:
            raise KeyboardInterrupt

    result = train(
        ScriptedObjective([1.0]), ScriptedBatches(), schedule="cosine", report=report
    )
    assert isinstance(result.interrupt, KeyboardInterrupt)
    assert not result.converged


def test_other_exceptions_are_not_held_back():
    def report(_):
        raise RuntimeError("not an interrupt")

    with pytest.raises(RuntimeError, match="not an interrupt"):
        train(ScriptedObjective([1.0]), ScriptedBatches(), report=report)
    problem = make_problem()
    with pytest.raises(RuntimeError, match="not an interrupt"):
        train_lbfgs(problem.objective, problem.batches(), report=report)


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
    optimizer = RecordingOptimizer(objective := ScriptedObjective([1.0]))
    optimizer.n_steps = before
    steps = []
    monkeypatch.setattr(
        _solvers,
        "flush_subnormals",
        lambda *_: steps.append(optimizer.n_steps - before),
    )
    batches = ScriptedBatches(*[1] * n_batches)
    train(objective, batches, optimizer, max_iter=max_iter)
    assert steps == flushed


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_epoch_leaves_subnormal_weights_or_moments(optimizer, dtype):
    tiny = np.finfo(dtype).tiny
    start = np.array([1.01, -1.5, 40, 2**60], dtype=dtype) * tiny

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
        alone.step(1.0 if optimizer == "sgd" else 0.001)
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
        learning_rate=1.0 if optimizer == "sgd" else 0.001,
        max_iter=30,
        report=report,
    )
    assert len(seen) >= 60
    assert not any(seen)
    assert not subnormal(result.theta).any()


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


# L-BFGS ------------------------------------------------------------------------------


def cost_and_gradient(problem):
    """The oracle's J and its gradient, as functions of its flat vector."""

    def cost(vector):
        return problem.cost(reference.unflatten(vector, problem.start))

    def gradient(vector):
        return reference.flatten_gradients(
            reference.gradients(
                problem.X,
                problem.Y,
                reference.unflatten(vector, problem.start),
                problem.lambd,
                sample_weight=problem.weight,
                **problem.settings,
            )
        )

    return cost, gradient


def minimum(problem):
    """scipy's own minimiser on the oracle's J and gradient, from the same start."""
    cost, gradient = cost_and_gradient(problem)
    return minimize(
        cost,
        reference.flatten(problem.start),
        jac=gradient,
        method="BFGS",
        options={"gtol": 1e-8, "maxiter": 1000},
    ).fun


@kinds
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("chunk_rows", [5, 100])
def test_lbfgs_finds_the_minimum(kind, weighted, chunk_rows):
    """Where there is one minimum for all starts: no activation, and enough L2."""
    problem = make_problem(kind, lambd=1.5, weighted=weighted, activation="identity")
    expected = minimum(problem)
    cost, gradient = cost_and_gradient(problem)
    result = train_lbfgs(problem.objective, problem.batches(chunk_rows=chunk_rows))
    assert result.converged
    assert result.interrupt is None
    assert result.loss == pytest.approx(expected, abs=1e-8)
    vector = problem.vector(result.theta)
    assert cost(vector) == pytest.approx(result.loss, rel=1e-12)
    assert np.abs(gradient(vector)).max() < 1e-4
    # It is not the minimum of a network that says nothing.
    assert np.abs(problem.parameters()["W1"]).max() > 0.1
    assert result.message
    assert math.isnan(result.learning_rate)


@kinds
@pytest.mark.parametrize(("activation", "lambd"), [("tanh", 0.3), ("logistic", 0.05)])
def test_lbfgs_leaves_nothing_for_another_minimiser(kind, activation, lambd):
    """Where there are several minima: the peer starts from the one that was found."""
    problem = make_problem(kind, activation=activation, lambd=lambd)
    cost, gradient = cost_and_gradient(problem)
    before = cost(reference.flatten(problem.start))
    result = train_lbfgs(problem.objective, problem.batches(), max_iter=5000)
    assert result.converged
    vector = problem.vector(result.theta)
    peer = minimize(cost, vector, jac=gradient, method="L-BFGS-B").fun
    assert before - 0.1 > result.loss
    assert result.loss - peer < 1e-7
    assert np.abs(gradient(vector)).max() < 1e-3


def test_lbfgs_follows_scipy_on_the_naive_objective():
    problem = make_problem("multiclass", activation="tanh", weighted=True)
    cost, gradient = cost_and_gradient(problem)
    expected, found = [], []
    minimize(
        cost,
        reference.flatten(problem.start),
        jac=gradient,
        method="L-BFGS-B",
        callback=lambda x: expected.append(x.copy()),
        options={"maxiter": 12},
    )
    train_lbfgs(
        problem.objective,
        problem.batches(),
        max_iter=12,
        report=lambda _: found.append(problem.vector()),
    )
    assert len(expected) == 12
    assert_allclose(found, expected, rtol=0, atol=1e-10)


def test_a_line_search_of_lbfgs_that_fails_leaves_the_iterate_before_it():
    """The gradient says that the loss falls, and it rises wherever one looks."""

    class Lying(ScriptedObjective):
        def __call__(self, chunks):
            super().__call__(chunks)
            return float(10 - self.theta @ self.theta)

    objective = Lying([1.0], theta=[1.0, 2.0], gradient=lambda theta: theta)
    result = train_lbfgs(objective, ScriptedBatches())
    assert objective.n_calls > 2
    assert_array_equal(result.theta, [1.0, 2.0])
    assert result.loss == 5
    assert result.n_epochs == 0
    assert not result.converged


def test_lbfgs_reports_each_iteration():
    problem = make_problem(activation="tanh", weighted=True)
    reports, iterates = [], []

    def report(of_iteration):
        reports.append(of_iteration)
        iterates.append(problem.parameters())

    result = train_lbfgs(
        problem.objective, problem.batches(), samples_seen=100, report=report
    )
    assert result.n_epochs > 5
    assert [r.epoch for r in reports] == list(range(1, result.n_epochs + 1))
    assert [r.loss for r in reports] == result.loss_curve
    assert {r.validation_score for r in reports} == {None}
    assert_allclose(result.loss_curve, list(map(problem.cost, iterates)), rtol=1e-12)
    assert all(a >= b for a, b in pairwise(result.loss_curve))
    assert result.loss == result.loss_curve[-1]
    assert result.best_epoch == result.n_epochs
    assert_array_equal(
        problem.vector(result.theta), reference.flatten(iterates[-1]), strict=True
    )


def test_lbfgs_stops_at_max_iter():
    problem = make_problem()
    batches = RecordedBatches(problem.batches(), problem)
    result = train_lbfgs(problem.objective, batches, max_iter=4, samples_seen=7)
    assert result.n_epochs == len(result.loss_curve) == 4
    assert not result.converged
    assert result.loss == result.loss_curve[-1]
    assert result.loss < problem.cost(problem.start)
    assert problem.cost(problem.parameters()) == pytest.approx(result.loss, rel=1e-12)
    assert result.samples_seen == 7 + 23 * len(batches.epochs)


def test_lbfgs_stops_at_max_fun():
    problem = make_problem()
    unlimited = RecordedBatches(problem.batches(), problem)
    train_lbfgs(problem.objective, unlimited)
    assert len(unlimited.epochs) > 40

    problem = make_problem()
    batches = RecordedBatches(problem.batches(), problem)
    result = train_lbfgs(problem.objective, batches, max_fun=6)
    # scipy looks at the count between iterations.
    assert 6 <= len(batches.epochs) < 30
    assert not result.converged


def test_lbfgs_stops_where_the_gradient_is_below_tol():
    """And not before; the start is one such place, if tol says so."""
    n_epochs = []
    for tol in (1e3, 1e-1, 1e-2, 1e-3):
        problem = make_problem(activation="tanh")
        iterates = []
        result = train_lbfgs(
            problem.objective,
            problem.batches(),
            tol=tol,
            report=lambda _, vector=problem.vector, all=iterates: all.append(vector()),
        )
        _, gradient = cost_and_gradient(problem)
        assert result.converged
        assert np.abs(gradient(problem.vector(result.theta))).max() <= tol
        for vector in iterates[:-1]:
            assert np.abs(gradient(vector)).max() > tol
        n_epochs.append(result.n_epochs)
        if tol == 1e3:
            assert result.loss_curve == []
            assert result.loss == pytest.approx(problem.cost(problem.start))
            assert_array_equal(
                problem.vector(result.theta), reference.flatten(problem.start)
            )
    assert n_epochs[0] == 0
    assert n_epochs == sorted(set(n_epochs))


def test_lbfgs_stops_early_by_validation_and_restores_the_best():
    problem = make_problem()
    iterates = []
    scores = iter([0.1, 0.5, 0.9, 0.8, 0.85, 0.9, 0.7])

    def validate():
        iterates.append(problem.vector())
        return next(scores)

    reports = []
    result = train_lbfgs(
        problem.objective,
        problem.batches(),
        Plateau(0.01, 3),
        validate=validate,
        report=reports.append,
    )
    assert result.validation_scores == [0.1, 0.5, 0.9, 0.8, 0.85, 0.9]
    assert [r.validation_score for r in reports] == result.validation_scores
    assert result.converged
    assert result.n_epochs == 6
    assert result.best_epoch == 3
    assert_array_equal(problem.vector(result.theta), iterates[2])
    assert np.abs(iterates[2] - iterates[5]).max() > 1e-3


def test_lbfgs_without_validation_does_not_stop_at_a_plateau_of_the_loss():
    problem = make_problem(activation="tanh")
    result = train_lbfgs(problem.objective, problem.batches(), Plateau(10.0, 2))
    assert result.n_epochs > 5
    assert result.converged


def test_lbfgs_cut_short_by_max_iter_restores_the_best_too():
    problem = make_problem()
    iterates = []
    scores = iter([0.1, 0.9, 0.3, 0.2])

    def validate():
        iterates.append(problem.vector())
        return next(scores)

    result = train_lbfgs(
        problem.objective, problem.batches(), max_iter=4, validate=validate
    )
    assert not result.converged
    assert result.best_epoch == 2
    assert_array_equal(problem.vector(result.theta), iterates[1])


class InterruptedBatches:
    """The batches, until the evaluation with this number, counted from 0."""

    def __init__(self, batches, n, stop):
        self.n_rows = batches.n_rows
        self._batches, self._left, self._stop = batches, n, stop

    def epoch(self):
        if self._left == 0:
            raise self._stop
        self._left -= 1
        return self._batches.epoch()


def test_an_interrupt_in_the_first_iteration_of_lbfgs_is_not_held_back():
    problem = make_problem()
    batches = InterruptedBatches(problem.batches(), 1, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        train_lbfgs(problem.objective, batches)


@pytest.mark.parametrize("n_evaluations", [3, 9, 14])
def test_an_interrupt_of_lbfgs_keeps_the_last_accepted_iterate(n_evaluations):
    problem = make_problem()
    stop = KeyboardInterrupt()
    iterates = []
    result = train_lbfgs(
        problem.objective,
        InterruptedBatches(problem.batches(), n_evaluations, stop),
        report=lambda _: iterates.append(problem.vector()),
    )
    assert result.interrupt is stop
    assert not result.converged
    assert result.n_epochs == len(result.loss_curve) == len(iterates)
    assert 0 < result.samples_seen <= 23 * n_evaluations
    assert (result.n_epochs > 2) == (n_evaluations > 5)
    assert_array_equal(problem.vector(result.theta), iterates[-1])


def test_an_interrupt_in_the_report_of_lbfgs_keeps_that_iterate():
    problem = make_problem()
    stop = KeyboardInterrupt()
    iterates = []

    def report(of_iteration):
        iterates.append(problem.vector())
        if of_iteration.epoch == 3:
            raise stop

    result = train_lbfgs(problem.objective, problem.batches(), report=report)
    assert result.interrupt is stop
    assert result.n_epochs == len(iterates) == 3
    assert result.loss == result.loss_curve[-1]
    assert_array_equal(problem.vector(result.theta), iterates[-1])


def test_an_interrupt_in_the_validation_of_lbfgs_keeps_the_best_iterate():
    problem = make_problem()
    stop = KeyboardInterrupt()
    iterates = []
    scores = scripted([0.1, 0.9, 0.3, stop])

    def validate():
        iterates.append(problem.vector())
        return scores()

    result = train_lbfgs(problem.objective, problem.batches(), validate=validate)
    assert result.interrupt is stop
    assert result.validation_scores == [0.1, 0.9, 0.3]
    assert result.best_epoch == 2
    assert_array_equal(problem.vector(result.theta), iterates[1])


@pytest.mark.parametrize("validated", [False, True])
def test_lbfgs_in_float32_stays_in_float32(validated):
    """One minimum for all starts, so that rounding cannot lead to another."""
    problem = make_problem(dtype=np.float32, activation="identity", lambd=1.5)
    expected = minimum(problem)
    result = train_lbfgs(
        problem.objective,
        problem.batches(),
        tol=1e-4,
        validate=(lambda: -problem.cost(problem.parameters())) if validated else None,
    )
    assert result.theta.dtype == np.float32
    assert problem.objective.theta.dtype == np.float32
    assert problem.objective.gradient.dtype == np.float32
    assert result.loss == pytest.approx(expected, abs=1e-5)
    assert isinstance(result.loss, float)
    assert result.converged


def test_lbfgs_in_float32_reaches_a_minimum_where_there_are_several():
    """Whichever it is, the gradient of the oracle is small there."""
    problem = make_problem(dtype=np.float32, activation="tanh", lambd=1.5)
    cost, gradient = cost_and_gradient(problem)
    result = train_lbfgs(problem.objective, problem.batches(), tol=1e-4)
    assert result.converged
    assert result.theta.dtype == np.float32
    vector = problem.vector(result.theta)
    assert cost(vector) < cost(reference.flatten(problem.start)) - 0.05
    assert cost(vector) == pytest.approx(result.loss, rel=1e-5)
    assert np.abs(gradient(vector)).max() < 2e-3


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_lbfgs_diverges_at_the_first_loss_that_is_not_finite(loss):
    objective = ScriptedObjective(
        [3.0, loss], theta=[1.0, 2.0], gradient=lambda theta: theta
    )
    with pytest.raises(DivergedError) as caught:
        train_lbfgs(objective, ScriptedBatches())
    assert caught.value.epoch == 1
    assert caught.value.learning_rate is None
    assert objective.n_calls == 2


def test_lbfgs_names_the_iteration_in_which_it_diverges():
    problem = make_problem()
    reports = []

    class Poisoned:
        """Once two iterations have ended, the rows are not numbers."""

        n_rows = problem.n_rows

        def epoch(self):
            for n_rows, chunks in problem.batches().epoch():
                bad = math.nan if len(reports) == 2 else 1.0
                yield n_rows, [c._replace(X=c.X * bad) for c in chunks]

    with np.errstate(all="ignore"), pytest.raises(DivergedError) as caught:
        train_lbfgs(problem.objective, Poisoned(), report=reports.append)
    assert caught.value.epoch == 3


# Random numbers ----------------------------------------------------------------------


def test_no_solver_touches_the_global_random_stream():
    before = np.random.get_state()  # noqa: NPY002
    problem = make_problem()
    problem.objective.fill_masks = Masks(
        KEEP_PROBS, (6, 5), np.random.SFC64(0), np.float64
    )
    train(problem.objective, problem.batches(8, seed=0), "adam")
    problem = make_problem()
    train_lbfgs(problem.objective, problem.batches(), max_iter=3)
    after = np.random.get_state()  # noqa: NPY002
    assert before[0] == after[0]
    assert_array_equal(before[1], after[1])
    assert before[2:] == after[2:]


# Stacks ------------------------------------------------------------------------------

RNG_LAMBDS = (0.0, 0.7, 30.0, 4.0)


@dataclass
class Several:
    """A stack of networks on the rows of one problem, each with its own start.

    ``masks`` has for each network and step D1, D2, … of zeros and ones, or is None.
    """

    problem: Problem
    lambds: tuple
    theta: np.ndarray
    masks: list | None
    constants: str

    def stack(self, numbers=None, *, validate=None, used=0):
        """The stack of some of the networks; ``used`` masks of each are used up."""
        numbers = range(len(self.lambds)) if numbers is None else numbers
        problem, objective = self.problem, self.problem.objective
        handed_out = iter(range(used, 10**6))

        def fill_masks(D):
            step = next(handed_out)
            for place, number in enumerate(numbers):
                scaled = [
                    m / p
                    for m, p in zip(self.masks[number][step], KEEP_PROBS, strict=True)
                ]
                D[place] = np.concatenate(scaled)[:, : D.shape[-1]]

        lambds = np.array([self.lambds[number] for number in numbers])
        theta = self.theta[list(numbers)].copy()
        together = Objective(
            objective.layout,
            objective.activation,
            objective.output,
            theta,
            decay=lambds[:, np.newaxis] / problem.data.total_weight,
            fill_masks=None if self.masks is None else fill_masks,
        )
        optimizer = make_optimizer(self.constants, together)
        score = None
        if validate is not None:

            def score(places):
                scores = np.full(len(numbers), np.nan)
                for (place,) in places:
                    scores[place] = validate(numbers[place], together.theta[place])
                return scores

        return Stack(together, optimizer, None, score, None)

    def alone(self, number):
        """The problem of one of them."""
        single = replace_objective(self.problem, self.theta[number])
        single.lambd = self.lambds[number]
        return single


def replace_objective(problem, theta):
    objective = problem.objective
    start = parameters_of(objective, theta)
    return replace(problem, start=start)


def several(kind="binary", *, constants="sgd", n_steps=None, n=23, weighted=False):
    """Four networks; with ``n_steps`` each has masks of its own for so many steps."""
    problem = make_problem(kind, n=n, weighted=weighted)
    theta = np.tile(problem.objective.theta, (4, 1))
    theta += np.random.default_rng(8).normal(scale=0.2, size=theta.shape)
    masks = None
    if n_steps is not None:
        masks = [draw_masks([n] * n_steps, seed=seed) for seed in range(4)]
    return Several(problem, RNG_LAMBDS, theta, masks, constants)


def descend_together(stack, batches, plateaus=None, **arguments):
    n = len(stack.objective.theta)
    defaults = {
        "schedule": "constant",
        "learning_rate": 0.05,
        "power_t": 0.5,
        "max_iter": 6,
        "observers": [()] * n,
    }
    plateaus = plateaus or [Plateau(0.0, math.inf) for _ in range(n)]
    return descend(stack, batches, plateaus, **defaults | arguments)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(
    ("kind", "weighted", "dropout", "schedule"),
    [
        ("binary", True, True, "constant"),
        ("multiclass", False, True, "cosine"),
        ("multilabel", False, False, "invscaling"),
    ],
)
def test_each_network_of_a_stack_is_the_naive_loop(
    optimizer, kind, weighted, dropout, schedule
):
    """With its own start, decay and masks, in the same mini-batches."""
    n, n_epochs = 23, 5
    networks = several(
        kind,
        constants=optimizer,
        n_steps=3 * n_epochs if dropout else None,
        weighted=weighted,
    )
    problem = networks.problem
    batches = RecordedBatches(problem.batches(8, seed=4), problem)
    rate = 0.01 if optimizer == "adam" else 0.03
    results = descend_together(
        networks.stack(),
        batches,
        schedule=schedule,
        learning_rate=rate,
        max_iter=n_epochs,
    )
    steps = list(chain.from_iterable(batches.epochs))
    rates = reference.learning_rates(schedule, rate, n_epochs, n, 0.5, n_epochs)
    rule = {"adam": reference.adam, "nesterov": reference.nesterov}
    constants = {"sgd": {"momentum": 0.0}}.get(optimizer, {})
    for number, result in enumerate(results):
        single = networks.alone(number)

        def of_step(step, number=number):
            rows, masks = steps[step], None
            if dropout:
                masks = [D[:, : len(rows)] for D in networks.masks[number][step]]
            return rows, masks

        trajectory = rule.get(optimizer, reference.sgd_momentum)(
            reference.flatten(single.start),
            lambda vector, step: single.batch_gradient(vector, *of_step(step)),  # noqa: B023
            np.repeat(rates, 3),
            n_steps=len(steps),
            **constants,
        )
        found = single.vector(result.theta)
        assert_allclose(found, trajectory[-1], rtol=0, atol=1e-10)
        assert np.abs(trajectory[-1] - trajectory[0]).max() > 0.01
        losses = [
            single.batch_cost(trajectory[k], *of_step(k)) for k in range(len(steps))
        ]
        n_rows = list(map(len, steps))
        expected = [
            np.dot(losses[k : k + 3], n_rows[k : k + 3]) / n
            for k in range(0, len(steps), 3)
        ]
        assert_allclose(result.loss_curve, expected, rtol=1e-9)
        assert result.samples_seen == n * n_epochs


@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
@pytest.mark.parametrize("schedule", ["constant", "adaptive", "invscaling", "cosine"])
def test_networks_that_leave_do_not_change_the_others(optimizer, schedule):
    """Each is as it is alone, with what its optimiser remembers, to its own end."""
    networks = several(constants=optimizer, n_steps=200)
    problem = networks.problem
    arguments = {"schedule": schedule, "learning_rate": 0.05, "max_iter": 40}
    if schedule == "adaptive":
        arguments["learning_rate"] = 1e-4
    patience = (3, 1, 6, 2)

    def validate(number, theta):
        """It rises for a while, for each network another."""
        place = theta[: 3 + number].sum()
        return math.sin(40 * place)

    n_calls, made = [], []

    def smaller(numbers):
        made.append(list(numbers))
        return networks.stack(made[-1], validate=validate, used=n_calls[-1])

    class Counted:
        n_rows = problem.n_rows

        def __init__(self):
            self._batches = problem.batches(8, seed=2)
            self._n = 0

        def epoch(self):
            for batch in self._batches.epoch():
                self._n += 1
                n_calls.append(self._n)
                yield batch

    plateaus = [Plateau(1e-3, patience[number]) for number in range(4)]
    together = descend_together(
        networks.stack(validate=validate),
        Counted(),
        plateaus,
        smaller=smaller,
        **arguments,
    )
    for number, found in enumerate(together):
        (expected,) = descend_together(
            networks.stack([number], validate=validate),
            problem.batches(8, seed=2),
            [Plateau(1e-3, patience[number])],
            **arguments,
        )
        for name in ["theta", "loss_curve", "validation_scores", "best_epoch"]:
            a, b = getattr(found, name), getattr(expected, name)
            assert_allclose(a, b, rtol=1e-10, atol=1e-13, err_msg=f"{name} {number}")
        for name in ["n_epochs", "samples_seen", "converged", "learning_rate"]:
            assert getattr(found, name) == getattr(expected, name)
    assert len({result.n_epochs for result in together}) > 1
    assert [len(numbers) for numbers in made] == sorted(
        {len(numbers) for numbers in made}, reverse=True
    )


class ScriptedStack(ScriptedObjective):
    """Networks that each return their losses, call by call, then the last for ever."""

    def __init__(self, losses, gradient=-1.0):
        super().__init__(losses, np.zeros((len(losses), 2)), lambda theta: gradient)

    def release(self):
        pass

    def __call__(self, chunks):
        list(chunks)
        loss = [one[min(self.n_calls, len(one) - 1)] for one in self.losses]
        self.n_calls += 1
        for one in loss:
            if isinstance(one, BaseException):
                raise one
        self.gradient[...] = self._gradient(self.theta)
        return np.array(loss)


class RatesOfStack(SGD):
    """Plain gradient descent that notes the learning rates of all networks."""

    def __init__(self, objective, rates):
        super().__init__(
            objective.theta, objective.gradient, momentum=0.0, nesterov=False
        )
        self.rates = rates

    def step(self, learning_rate):
        self.rates.append(np.ravel(learning_rate).tolist())
        super().step(learning_rate)


def run_script(losses, plateaus, **arguments):
    """Results, the rates of each step, and which networks each smaller stack had."""
    rates, made, objectives = [], [], []

    def stack_of(numbers):
        objective = ScriptedStack([losses[number] for number in numbers])
        if objectives:
            objective.n_calls = objectives[-1].n_calls
        objectives.append(objective)
        return Stack(objective, RatesOfStack(objective, rates))

    def smaller(numbers):
        made.append(list(numbers))
        return stack_of(numbers)

    first = stack_of(range(len(losses)))
    results = descend_together(
        first, ScriptedBatches(), plateaus, smaller=smaller, **arguments
    )
    return results, rates, made


FALLING = [1.0 / (1 + epoch) for epoch in range(9)]
FLAT = [1.0] * 9


def test_adaptive_rates_of_a_stack_are_each_its_own():
    """The second comes to a plateau each other epoch, the first never."""
    plateaus = [Plateau(1e-3, 2) for _ in range(2)]
    results, rates, made = run_script(
        [FALLING, FLAT], plateaus, schedule="adaptive", learning_rate=1.0, max_iter=8
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
    plateaus = [Plateau(1e-3, 2) for _ in range(4)]
    results, rates, made = run_script(stops, plateaus, learning_rate=1.0, max_iter=8)
    assert made == [[1, 2, 3], [1, 3]]
    assert [result.n_epochs for result in results] == [3, 8, 5, 8]
    assert [result.converged for result in results] == [True, False, True, False]
    assert [len(step) for step in rates] == [4] * 3 + [3] * 2 + [2] * 3
    for losses, result in zip(stops, results, strict=True):
        assert result.loss_curve == losses[: result.n_epochs]
        assert_array_equal(result.theta, [result.n_epochs] * 2)
        assert result.samples_seen == 10 * result.n_epochs
        assert result.best_score == -min(result.loss_curve)


def test_no_stack_is_made_for_no_epoch():
    """The first leaves with the last epoch."""
    plateaus = [Plateau(1e-3, 2) for _ in range(2)]
    results, _, made = run_script([FLAT, FALLING], plateaus, max_iter=3)
    assert made == []
    assert [result.converged for result in results] == [True, False]


def test_without_smaller_those_left_stay_where_they_are():
    objective = ScriptedStack([FLAT, FALLING])
    stack = Stack(objective, RatesOfStack(objective, rates := []))
    plateaus = [Plateau(1e-3, 2) for _ in range(2)]
    results = descend_together(stack, ScriptedBatches(), plateaus, learning_rate=1.0)
    assert [result.n_epochs for result in results] == [3, 6]
    assert {len(step) for step in rates} == {2}


def test_the_weights_of_those_that_left_stay():
    """The weights are their own, not a view of the others' memory."""
    plateaus = [Plateau(1e-3, 2) for _ in range(2)]
    results, *_ = run_script([FLAT, FALLING], plateaus, learning_rate=1.0)
    left, stayed = results
    assert left.theta.base is None
    assert not np.shares_memory(left.theta, stayed.theta)
    assert_array_equal(left.theta, [3, 3])
    assert_array_equal(stayed.theta, [6, 6])


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e6])
def test_a_network_that_diverges_leaves_the_others_alone(bad):
    """In the second epoch, at its own rate; the ceiling is its own too."""
    losses = [FALLING, [1.0, bad, 1.0, 1.0], [1e5] * 9]
    results, _, made = run_script(losses, None, learning_rate=0.5, max_iter=4)
    assert made == [[0, 2]]
    assert [result.diverged is None for result in results] == [True, False, True]
    assert results[1].diverged.epoch == 2
    assert results[1].diverged.learning_rate == 0.5
    assert results[1].loss_curve == [1.0]
    assert results[1].samples_seen == 10
    assert [result.n_epochs for result in results] == [4, 1, 4]
    assert results[0].loss_curve == FALLING[:4]
    assert_array_equal(results[0].theta, [2, 2])


def test_a_network_diverges_at_its_own_rate():
    """That of the first has been divided by five."""
    losses = [FLAT, [*FALLING[:4], math.nan]]
    plateaus = [Plateau(1e-3, 2) for _ in range(2)]
    results, rates, _ = run_script(
        losses, plateaus, schedule="adaptive", learning_rate=1.0, max_iter=6
    )
    assert rates[3] == [0.2, 1.0]
    assert results[1].diverged.learning_rate == 1.0
    assert results[1].diverged.epoch == 5


def test_the_ceiling_moves_with_its_network():
    """1e7 is not much for the second, and would be for the first, which has left."""
    losses = [[math.nan] * 5, [1e5, 1e5, 1e7, 1e7], [1.0, 1.0, 1.0, 1e7]]
    results, _, made = run_script(losses, None, max_iter=4)
    # There is no epoch for a third stack, without the network that has diverged.
    assert made == [[1, 2]]
    assert results[1].diverged is None
    assert results[2].diverged.epoch == 4
    assert results[0].diverged.epoch == 1


def test_a_loss_that_explodes_within_an_epoch_is_not_forgotten():
    """Its mean over the epoch would be a number again."""
    objective = ScriptedStack([[1.0, 1.0, 1.0], [1.0, 1e5, 1.0]])
    stack = Stack(objective, RatesOfStack(objective, rates := []))
    results = descend_together(stack, ScriptedBatches(3, 3, 4), max_iter=1)
    assert results[0].diverged is None
    assert results[1].diverged.epoch == 1
    assert len(rates) == 3


def test_an_epoch_ends_where_all_are_lost():
    """Each at its own batch; there is no step after the last."""
    objective = ScriptedStack([[1.0, math.nan, 1.0, 1.0], [1.0, 1.0, math.nan, 1.0]])
    stack = Stack(objective, RatesOfStack(objective, rates := []))
    results = descend_together(stack, ScriptedBatches(3, 3, 4, 2))
    assert [result.diverged.epoch for result in results] == [1, 1]
    assert len(rates) == 2
    assert [result.n_epochs for result in results] == [0, 0]


@pytest.mark.parametrize("what", ["weight", "moment"])
def test_what_is_not_finite_is_so_for_its_network_alone(what):
    objective = ScriptedStack([FLAT, FLAT])
    gradient = {
        "weight": [[1.0, math.inf], [1.0, 1.0]],
        "moment": [[1.0, 1e200], [1, 1]],
    }
    objective._gradient = lambda theta: np.array(gradient[what])
    kind = "sgd" if what == "weight" else "adam"
    stack = Stack(objective, make_optimizer(kind, objective))
    results = descend_together(stack, ScriptedBatches(), max_iter=3)
    assert results[0].diverged.epoch == 1
    assert results[1].diverged is None
    assert results[1].n_epochs == 3


def test_an_interrupt_of_a_stack_is_not_held_back():
    stop = KeyboardInterrupt()
    losses = [FLAT[:6], FALLING[:6], [*FALLING[:4], stop, 1.0]]
    plateaus = [Plateau(1e-3, 2) for _ in range(3)]
    with pytest.raises(KeyboardInterrupt) as caught:
        run_script(losses, plateaus, learning_rate=1.0)
    assert caught.value is stop


def test_observers_of_a_stack_are_each_told_of_their_network():
    diaries = [[], []]
    observers = [[Told(diary.append)] for diary in diaries]
    plateaus = [Plateau(1e-3, 2) for _ in range(2)]
    run_script([FLAT, FALLING], plateaus, observers=observers, max_iter=4)
    assert [report.loss for report in diaries[0]] == FLAT[:3]
    assert [report.loss for report in diaries[1]] == FALLING[:4]
    assert [report.epoch for report in diaries[1]] == [1, 2, 3, 4]


def test_an_observer_stops_its_own_network():
    class Stops(Told):
        def ends(self, report):
            return report.epoch == 2

    observers = [[], [Stops(None)], []]
    results, _, made = run_script([FALLING] * 3, None, observers=observers, max_iter=4)
    assert [result.n_epochs for result in results] == [4, 2, 4]
    assert [result.converged for result in results] == [False, True, False]
    assert made == [[0, 2]]


def test_scores_are_asked_for_those_that_are_there():
    """And each network gets its own: of the validation, and of the training rows."""
    asked = []

    def stack_of(numbers, objective):
        def score(sign):
            def scored(places):
                asked.append((sign, [numbers[place] for (place,) in places]))
                return sign * (10.0 * np.array(numbers) + objective.theta[:, 0])

            return scored

        return Stack(objective, RatesOfStack(objective, []), None, score(1), score(-1))

    losses = [[math.nan] * 5, FALLING, FALLING]
    first = stack_of([0, 1, 2], ScriptedStack(losses))
    results = descend_together(
        first,
        ScriptedBatches(),
        learning_rate=1.0,
        max_iter=2,
        smaller=lambda numbers: stack_of(numbers, ScriptedStack([FALLING, FALLING])),
    )
    assert asked == [(1, [1, 2]), (-1, [1, 2])] * 2
    assert results[0].validation_scores == []
    for number in (1, 2):
        expected = [10 * number + 1, 10 * number + 2]
        assert results[number].validation_scores == expected
        assert results[number].train_scores == [-score for score in expected]
        assert results[number].best_epoch == 2


def test_subnormal_numbers_of_those_that_leave_are_flushed():
    tiny = np.finfo(float).tiny / 4
    objective = ScriptedStack([FLAT, FALLING], gradient=0.0)
    objective.theta[...] = [[tiny, 1.0], [tiny, 2.0]]
    after = ScriptedStack([FALLING], gradient=0.0)
    plateaus = [Plateau(1e-3, 2) for _ in range(2)]
    results = descend_together(
        Stack(objective, RatesOfStack(objective, [])),
        ScriptedBatches(),
        plateaus,
        smaller=lambda numbers: Stack(after, RatesOfStack(after, [])),
    )
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
    monkeypatch.setattr(
        _solvers,
        "flush_subnormals",
        lambda *vectors: flushed.append((len(rates), vectors[0].ndim)),
    )
    first, second = ScriptedStack(losses), ScriptedStack(losses[1:])
    second.n_calls = leaves_at
    descend_together(
        Stack(first, RatesOfStack(first, rates)),
        ScriptedBatches(),
        [Plateau(1e-9, 2) for _ in range(2)],
        smaller=lambda numbers: Stack(second, RatesOfStack(second, rates)),
        max_iter=35,
    )
    # A vector of one dimension is that of the network that leaves.
    assert [n for n, ndim in flushed if ndim == 2] == [16, 32, 35]
    assert [n for n, ndim in flushed if ndim == 1] == [leaves_at]


# Epoch by epoch ----------------------------------------------------------------------


def begun(objective, plateau=None, *, validate=None, batches=None, **arguments):
    """`descending` of one network at a rate of 1, before its first epoch."""
    defaults = {
        "schedule": "constant",
        "learning_rate": 1.0,
        "power_t": 0.5,
        "max_iter": 5,
    }
    stack = Stack(objective, RecordingOptimizer(objective), None, scored(validate))
    return descending(
        stack,
        ScriptedBatches() if batches is None else batches,
        [Plateau(0.0, math.inf) if plateau is None else plateau],
        **defaults | arguments,
    )


def ended(run, how=next):
    """The one result of a run that goes no further."""
    with pytest.raises(StopIteration) as end:
        how(run)
    (result,) = end.value.value
    return result


class Asked(Plateau):
    """Notes how many scores it had each time that it was asked whether to stop."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.n_scores, self.asked = 0, []

    def update(self, score):
        self.n_scores += 1
        return super().update(score)

    @property
    def exhausted(self):
        self.asked.append(self.n_scores)
        return super().exhausted


def test_it_yields_after_each_epoch_and_then_asks_the_plateau():
    objective = ScriptedObjective([1.0])
    plateau = Asked(0.5, 2)
    run = begun(objective, plateau, batches=ScriptedBatches(3, 4))
    assert objective.n_calls == 0
    for epoch in (1, 2, 3):
        assert next(run) is None
        assert objective.n_calls == 2 * epoch
        assert_array_equal(objective.theta, 2 * epoch)
        assert plateau.n_scores == epoch
        # Others may still have to come with the scores of this epoch.
        assert plateau.asked == list(range(1, epoch))
    result = ended(run)
    assert plateau.asked == [1, 2, 3]
    assert result.n_epochs == 3
    assert result.converged
    assert objective.n_calls == 6


def test_it_yields_after_the_last_epoch_too():
    run = begun(ScriptedObjective([1.0]), max_iter=4)
    assert [next(run) for _ in range(4)] == [None] * 4
    assert ended(run).n_epochs == 4


def test_two_in_turns_are_as_each_alone():
    problems = [make_problem(seed=seed) for seed in (0, 1)]
    alone = [make_problem(seed=seed) for seed in (0, 1)]
    runs = [
        begun(p.objective, batches=p.batches(8, seed=4), averaging=0.5)
        for p in problems
    ]
    for _ in range(5):
        for run in runs:
            next(run)
    for run, other in zip(runs, alone, strict=True):
        expected = train(
            other.objective,
            other.batches(8, seed=4),
            learning_rate=1.0,
            averaging=0.5,
        )
        found = ended(run)
        assert_array_equal(found.theta, expected.theta)
        assert found.loss_curve == expected.loss_curve


@pytest.mark.parametrize("n_epochs", [1, 3])
def test_an_interrupt_thrown_between_epochs_keeps_the_weights(n_epochs):
    stop = KeyboardInterrupt()
    objective = ScriptedObjective([1.0])
    run = begun(objective)
    for _ in range(n_epochs):
        next(run)
    result = ended(run, lambda run: run.throw(stop))
    assert result.interrupt is stop
    assert not result.converged
    assert result.n_epochs == len(result.loss_curve) == n_epochs
    assert result.samples_seen == 10 * n_epochs
    assert_array_equal(result.theta, n_epochs)


def test_an_interrupt_thrown_between_epochs_keeps_the_best_weights_or_the_mean():
    for averaging, expected in ((0.0, 2), (0.5, (2 + 0.5) / 1.5)):
        run = begun(
            ScriptedObjective([1.0]),
            validate=scripted([0.1, 0.3, 0.2]),
            averaging=averaging,
        )
        for _ in range(3):
            next(run)
        result = ended(run, lambda run: run.throw(KeyboardInterrupt()))
        assert result.best_epoch == 2
        assert_allclose(result.theta, expected, rtol=1e-14)
    # Nothing is best where nothing is scored: the mean so far.
    run = begun(ScriptedObjective([1.0]), averaging=0.5)
    for _ in range(3):
        next(run)
    result = ended(run, lambda run: run.throw(KeyboardInterrupt()))
    assert_allclose(result.theta, naive_mean([1, 2, 3], 0.5), rtol=1e-14)


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

    run = begun(
        objective,
        validate=score if validated else None,
        batches=ScriptedBatches(*sizes),
        learning_rate=rate,
        schedule="invscaling",
        averaging=averaging,
        max_iter=n_epochs,
        observers=[observers_of(lambda _: told.append(objective.theta.copy()))],
    )
    for _ in range(n_epochs):
        next(run)
        # The steps go on from the newest weights, not from the mean.
        trained.append(objective.theta.copy())
    result = ended(run)
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
    run = begun(
        ScriptedObjective([1.0]), validate=scripted([1, 2, 4, 3, 2]), averaging=0.8
    )
    for _ in range(5):
        next(run)
    assert_allclose(ended(run).theta, naive_mean([1, 2, 3], 0.8), rtol=1e-14)


def test_a_network_that_leaves_keeps_its_own_mean():
    """The others go on with theirs, in the smaller stack."""
    stops = [FLAT, FALLING, FALLING[:3] + [FALLING[2]] * 6, FALLING]
    plateaus = [Plateau(1e-3, 2) for _ in range(4)]
    results, _, made = run_script(
        stops, plateaus, learning_rate=1.0, max_iter=8, averaging=0.7
    )
    assert made == [[1, 2, 3], [1, 3]]
    assert [result.n_epochs for result in results] == [3, 8, 5, 8]
    for result in results:
        epochs = range(1, result.n_epochs + 1)
        assert_allclose(result.theta, naive_mean(epochs, 0.7), rtol=1e-14)
    for one, other in pairwise(results):
        assert not np.shares_memory(one.theta, other.theta)


def test_without_smaller_the_mean_is_that_of_its_own_epochs():
    objective = ScriptedStack([FLAT, FALLING])
    results = descend_together(
        Stack(objective, RatesOfStack(objective, [])),
        ScriptedBatches(),
        [Plateau(1e-3, 2) for _ in range(2)],
        learning_rate=1.0,
        averaging=0.7,
    )
    assert [result.n_epochs for result in results] == [3, 6]
    assert_allclose(results[0].theta, naive_mean([1, 2, 3], 0.7), rtol=1e-14)
    assert_allclose(results[1].theta, naive_mean(range(1, 7), 0.7), rtol=1e-14)


@pytest.mark.parametrize(("n_epochs", "left"), [(1000, 2.0**-1000), (1060, 0.0)])
def test_subnormal_numbers_of_the_mean_are_flushed(n_epochs, left):
    """A weight of 1 after the first epoch and of 0 from then on: 2^-n is left of it."""
    calls = []

    def gradient(theta):
        calls.append(None)
        return theta * [len(calls) > 1, 0]

    objective = ScriptedObjective([1.0], theta=(1.0, 3.0), gradient=gradient)
    run = begun(objective, max_iter=n_epochs, averaging=0.5)
    for _ in range(n_epochs):
        next(run)
    result = ended(run)
    assert_array_equal(objective.theta, result.theta)
    assert_array_equal(result.theta, [left, 3.0])
