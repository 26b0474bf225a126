"""L-BFGS against scipy on the naive objective, and a second minimiser."""

import math
from itertools import pairwise

import numpy as np
import pytest
import reference
from numpy.testing import assert_allclose, assert_array_equal
from problems import (
    KINDS,
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
from scipy.optimize import minimize

from skreg._training.descent import DivergedError
from skreg._training.early_stopping import Plateau, descend
from skreg._training.lbfgs import LBFGS

kinds = pytest.mark.parametrize("kind", KINDS)


def begun(objective, batches, plateau=None, *, progress=None, **arguments):
    """L-BFGS before its first iteration."""
    defaults = {"max_iter": 500, "max_fun": 10_000, "tol": 1e-7}
    for name in ("validate", "train_score"):
        arguments[name] = scored(arguments.pop(name, None))
    plateau = Plateau(0.0, math.inf) if plateau is None else plateau
    lbfgs = LBFGS(objective, batches, plateau, **defaults | arguments)
    lbfgs.runs[0].progress = progress
    return lbfgs


def train(*args, **kwargs):
    """The result of L-BFGS, which asks its plateau itself."""
    (result,) = results_of(begun(*args, **kwargs), [Plateau(0.0, math.inf)])
    return unless_diverged(result)


# The minimum -------------------------------------------------------------------------


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
@pytest.mark.parametrize(("weighted", "chunk_rows"), [(False, 100), (True, 5)])
def test_lbfgs_finds_the_minimum(kind, weighted, chunk_rows):
    """Where there is one minimum for all starts: no activation, and enough L2."""
    problem = make_problem(kind, lambd=1.5, weighted=weighted, activation="identity")
    expected = minimum(problem)
    cost, gradient = cost_and_gradient(problem)
    result = train(problem.objective, problem.batches(chunk_rows=chunk_rows))
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
    result = train(problem.objective, problem.batches(), max_iter=5000)
    assert result.converged
    vector = problem.vector(result.theta)
    peer = minimize(cost, vector, jac=gradient, method="L-BFGS-B").fun
    assert result.loss < before - 0.1
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
    train(
        problem.objective,
        problem.batches(),
        max_iter=12,
        progress=Told(lambda _: found.append(problem.vector())),
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
    result = train(objective, ScriptedBatches())
    assert objective.n_calls > 2
    assert_array_equal(result.theta, [1.0, 2.0])
    assert result.loss == 5
    assert result.n_epochs == 0
    assert not result.converged


# Its iterations, and the end ----------------------------------------------------------


def test_lbfgs_reports_each_iteration():
    problem = make_problem(activation="tanh", weighted=True)
    iterates = []
    told = Told(lambda _: iterates.append(problem.parameters()))
    result = train(
        problem.objective, problem.batches(), samples_seen=100, progress=told
    )
    assert result.n_epochs > 5
    assert told.reports == [(n, x, None) for n, x in enumerate(result.loss_curve, 1)]
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
    result = train(problem.objective, batches, max_iter=4, samples_seen=7)
    assert result.n_epochs == len(result.loss_curve) == 4
    assert not result.converged
    assert result.loss == result.loss_curve[-1]
    assert result.loss < problem.cost(problem.start)
    assert problem.cost(problem.parameters()) == pytest.approx(result.loss, rel=1e-12)
    assert result.samples_seen == 7 + 23 * len(batches.epochs)


def test_lbfgs_stops_at_max_fun():
    problem = make_problem()
    unlimited = RecordedBatches(problem.batches(), problem)
    train(problem.objective, unlimited)
    assert len(unlimited.epochs) > 40

    problem = make_problem()
    batches = RecordedBatches(problem.batches(), problem)
    result = train(problem.objective, batches, max_fun=6)
    # scipy looks at the count between iterations.
    assert 6 <= len(batches.epochs) < 30
    assert not result.converged


def test_lbfgs_stops_where_the_gradient_is_below_tol():
    """And not before; the start is one such place, if tol says so."""
    n_epochs = []
    for tol in (1e3, 1e-1, 1e-2, 1e-3):
        problem = make_problem(activation="tanh")
        iterates = []
        result = train(
            problem.objective,
            problem.batches(),
            tol=tol,
            progress=Told(lambda _, p=problem, all=iterates: all.append(p.vector())),
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

    told = Told()
    result = train(
        problem.objective,
        problem.batches(),
        Plateau(0.01, 3),
        validate=validate,
        progress=told,
    )
    assert result.validation_scores == [0.1, 0.5, 0.9, 0.8, 0.85, 0.9]
    assert [score for _, _, score in told.reports] == result.validation_scores
    assert result.converged
    assert result.n_epochs == 6
    assert result.best_epoch == 3
    assert_array_equal(problem.vector(result.theta), iterates[2])
    assert np.abs(iterates[2] - iterates[5]).max() > 1e-3


def test_lbfgs_without_validation_does_not_stop_at_a_plateau_of_the_loss():
    problem = make_problem(activation="tanh")
    result = train(problem.objective, problem.batches(), Plateau(10.0, 2))
    assert result.n_epochs > 5
    assert result.converged


def test_lbfgs_cut_short_by_max_iter_restores_the_best_too():
    problem = make_problem()
    iterates = []
    scores = iter([0.1, 0.9, 0.3, 0.2])

    def validate():
        iterates.append(problem.vector())
        return next(scores)

    result = train(problem.objective, problem.batches(), max_iter=4, validate=validate)
    assert not result.converged
    assert result.best_epoch == 2
    assert_array_equal(problem.vector(result.theta), iterates[1])


@pytest.mark.parametrize("tol", [1e3, 1e-7])
def test_the_score_of_lbfgs_without_an_iteration_is_that_of_the_start(tol):
    problem = make_problem()
    scores = []

    def validate():
        scores.append(-problem.cost(problem.parameters()))
        return scores[-1]

    result = train(
        problem.objective, problem.batches(), tol=tol, max_iter=3, validate=validate
    )
    assert result.watched
    assert result.n_epochs == len(result.validation_scores) == (0 if tol > 1 else 3)
    assert result.best_epoch == result.n_epochs
    assert result.best_score == max(scores)
    assert len(scores) == max(1, result.n_epochs)


def test_scores_of_the_training_rows_are_taken_each_iteration():
    problem = make_problem()
    result = train(
        problem.objective,
        problem.batches(),
        max_iter=3,
        train_score=lambda: -problem.cost(problem.parameters()),
    )
    assert_allclose(result.train_scores, -np.array(result.loss_curve), rtol=1e-12)
    assert not result.watched


def test_a_number_of_iterations_ends_lbfgs():
    problem = make_problem()
    result = train(problem.objective, problem.batches(), n_epochs=[4])
    other = make_problem()
    expected = train(other.objective, other.batches(), max_iter=4)
    assert result.n_epochs == 4
    assert result.converged
    assert not result.stopped
    assert_array_equal(result.theta, expected.theta)
    assert result.samples_seen == expected.samples_seen


def test_one_epoch_of_lbfgs_is_all_of_its_iterations():
    """In turns with others it is done after the first."""
    problems = [make_problem(seed=seed) for seed in (0, 1)]
    several = [begun(p.objective, p.batches()) for p in problems]
    first = several[0]
    assert not first.done
    assert not first.lower_rate(first.runs[0])
    descend(several, [Plateau(0.0, math.inf)])
    assert first.done
    assert not first.runs[0].going
    assert first.state() is None
    for lbfgs, seed in zip(several, (0, 1), strict=True):
        (result,) = lbfgs.finish()
        alone = make_problem(seed=seed)
        expected = train(alone.objective, alone.batches())
        assert result.converged
        assert result.n_epochs == expected.n_epochs
        assert_array_equal(result.theta, expected.theta)


def test_progress_is_told_of_each_iteration_and_of_the_end():
    problem, told = make_problem(), Told()
    result = train(problem.objective, problem.batches(), max_iter=3, progress=told)
    assert not result.converged
    assert not result.stopped
    assert told.events == ["begins", 1, "begins", 2, "begins", 3, "finished"]


def test_progress_may_stop_lbfgs():
    problem, told = make_problem(), Told(stop_after=3)
    result = train(problem.objective, problem.batches(), progress=told)
    assert result.n_epochs == 3
    assert result.stopped
    assert result.converged
    assert told.events == ["begins", 1, "begins", 2, "begins", 3, "finished"]


# Interrupts --------------------------------------------------------------------------


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
        train(problem.objective, batches)


@pytest.mark.parametrize("n_evaluations", [3, 9, 14])
def test_an_interrupt_of_lbfgs_keeps_the_last_accepted_iterate(n_evaluations):
    problem = make_problem()
    stop = KeyboardInterrupt()
    iterates = []
    result = train(
        problem.objective,
        InterruptedBatches(problem.batches(), n_evaluations, stop),
        progress=Told(lambda _: iterates.append(problem.vector())),
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

    def report(iteration):
        iterates.append(problem.vector())
        if iteration == 3:
            raise stop

    result = train(problem.objective, problem.batches(), progress=Told(report))
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

    result = train(problem.objective, problem.batches(), validate=validate)
    assert result.interrupt is stop
    assert result.validation_scores == [0.1, 0.9, 0.3]
    assert result.best_epoch == 2
    assert_array_equal(problem.vector(result.theta), iterates[1])


@pytest.mark.parametrize("validated", [False, True])
def test_lbfgs_in_float32_stays_in_float32(validated):
    """One minimum for all starts, so that rounding cannot lead to another."""
    problem = make_problem(dtype=np.float32, activation="identity", lambd=1.5)
    expected = minimum(problem)
    result = train(
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
    result = train(problem.objective, problem.batches(), tol=1e-4)
    assert result.converged
    assert result.theta.dtype == np.float32
    vector = problem.vector(result.theta)
    assert cost(vector) < cost(reference.flatten(problem.start)) - 0.05
    assert cost(vector) == pytest.approx(result.loss, rel=1e-5)
    assert np.abs(gradient(vector)).max() < 2e-3


def test_lbfgs_in_float32_ends_where_its_loss_is_only_rounded():
    """An iteration changes it by ten units in the last place at most."""
    problem = make_problem(dtype=np.float32, activation="tanh")
    result = train(problem.objective, problem.batches(), tol=0.0)
    assert result.converged
    curve = np.array(result.loss_curve)
    assert curve.max() < 1
    falls = -np.diff(curve) > 10 * np.finfo(np.float32).eps
    assert falls[:-1].all()
    assert not falls[-1]


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_lbfgs_diverges_at_the_first_loss_that_is_not_finite(loss):
    objective = ScriptedObjective(
        [3.0, loss], theta=[1.0, 2.0], gradient=lambda theta: theta
    )
    with pytest.raises(DivergedError) as caught:
        train(objective, ScriptedBatches())
    assert caught.value.epoch == 1
    assert caught.value.learning_rate is None
    assert objective.n_calls == 2


def test_lbfgs_names_the_iteration_in_which_it_diverges():
    problem = make_problem()
    told = Told()

    class Poisoned:
        """Once two iterations have ended, the rows are not numbers."""

        n_rows = problem.n_rows

        def epoch(self):
            for n_rows, chunks in problem.batches().epoch():
                bad = math.nan if len(told.reports) == 2 else 1.0
                yield n_rows, [c._replace(X=c.X * bad) for c in chunks]

    with np.errstate(all="ignore"), pytest.raises(DivergedError) as caught:
        train(problem.objective, Poisoned(), progress=told)
    assert caught.value.epoch == 3


def test_other_exceptions_are_not_held_back():
    def report(_):
        raise RuntimeError("not an interrupt")

    problem = make_problem()
    with pytest.raises(RuntimeError, match="not an interrupt"):
        train(problem.objective, problem.batches(), progress=Told(report))


def test_lbfgs_does_not_touch_the_global_random_stream():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    problem = make_problem()
    train(problem.objective, problem.batches(), max_iter=3)
    assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
