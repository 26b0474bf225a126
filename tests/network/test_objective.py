"""J(θ) and its gradient: against differences of itself, and against the oracle."""

import sys
import tracemalloc

import numpy as np
import pytest
import reference
from gradcheck import (
    STEP,
    batch_of,
    cost_of,
    directional_derivative,
    frozen,
    gradient_by_differences,
    objective_of,
    relative_error,
)
from helpers import using
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from strategies import (
    ACTIVATIONS,
    KINDS,
    MARGIN,
    flat,
    problems,
    random_problem,
    scaled_masks,
)

from skreg._network.activations import ACTIVATIONS as ENGINE_ACTIVATIONS
from skreg._network.dropout import Masks
from skreg._network.loss import OUTPUTS
from skreg._network.objective import Batch, Objective
from skreg._network.theta import Layout


def reference_gradient(problem, **changes):
    gradients = reference.gradients(
        problem.X,
        problem.Y,
        problem.parameters,
        problem.lambd,
        sample_weight=problem.sample_weight,
        **problem.settings | changes,
    )
    return flat(gradients, prefix="d")


def reference_cost(problem, **changes):
    return reference.objective(
        problem.X,
        problem.Y,
        problem.parameters,
        problem.lambd,
        sample_weight=problem.sample_weight,
        **problem.settings | changes,
    )


# Gradient checks ---------------------------------------------------------------------


@settings(max_examples=50)
@given(problems(["relu"]))
def test_no_drawn_relu_is_near_its_kink(problem):
    """What the gradient check stands on: its steps change the side of no ReLU."""

    def hidden_Z(parameters):
        cache = reference.forward(problem.X, parameters, **problem.settings)
        return np.vstack([cache[f"Z{i}"] for i in range(1, problem.n_layers)])

    theta = reference.flatten(problem.parameters)
    Z = hidden_Z(problem.parameters)
    assert np.abs(Z).min() > MARGIN
    for j in range(theta.size):
        for step in (-2 * STEP, 2 * STEP):
            moved = theta.copy()
            moved[j] += step
            there = hidden_Z(reference.unflatten(moved, problem.parameters))
            assert_array_equal(there > 0, Z > 0)


@given(problems())
def test_the_gradient_is_that_of_the_cost(problem):
    objective, batch = objective_of(problem), batch_of(problem)
    objective([batch])
    gradient = objective.gradient.copy()
    differences = gradient_by_differences(cost_of(objective, batch), objective.theta)
    assert relative_error(gradient, differences) < 1e-6


@given(problems())
def test_cost_and_gradient_are_those_of_the_formulas(problem):
    objective = objective_of(problem)
    J = objective([batch_of(problem)])
    assert pytest.approx(reference_cost(problem), rel=1e-10) == J
    assert relative_error(objective.gradient, reference_gradient(problem)) < 1e-10


@given(problems())
def test_float32_agrees_with_float64_at_the_same_point(problem):
    problem = problem.rounded(np.float32)
    objective = objective_of(problem, np.float32)
    J = objective([batch_of(problem, np.float32)])
    exact = objective_of(problem)
    expected = exact([batch_of(problem)])
    assert objective.gradient.dtype == np.float32
    assert pytest.approx(expected, rel=2e-6) == J
    # No part of the gradient can cancel below 0.05 in its norm (see `construct`).
    assert relative_error(objective.gradient, exact.gradient) < 2e-5


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("lambd", [0.0, 0.1, 10.0])
@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_directional_derivatives(n_classes, lambd, weighted, dtype):
    """Along the gradient, and along random directions."""
    problem = random_problem(
        seed=n_classes,
        kind="binary" if n_classes == 2 else "multiclass",
        n_outputs=n_classes,
        lambd=lambd,
        weighted=weighted,
    ).rounded(dtype)
    objective = objective_of(problem, dtype)
    objective([batch_of(problem, dtype)])
    gradient = objective.gradient.astype(float)
    in_float64 = objective_of(problem)
    cost, theta = cost_of(in_float64, batch_of(problem)), in_float64.theta
    rng = np.random.default_rng(0)
    directions = [gradient, *rng.normal(size=(4, theta.size))]
    tolerance = 1e-6 if dtype is np.float64 else 2e-5
    for direction in directions:
        direction = direction / np.linalg.norm(direction)
        derivative = directional_derivative(cost, theta, direction)
        error = abs(gradient @ direction - derivative)
        assert error < tolerance * np.linalg.norm(gradient)


# Batches, chunks and stacks ----------------------------------------------------------


@given(problems(), st.data())
def test_minibatch(problem, data):
    """A batch is the plain mean of weighted rows; lambd is over the whole weight."""
    n = problem.n_samples
    rows = data.draw(st.lists(st.integers(0, n - 1), min_size=1, unique=True))
    masks = fill_masks = None
    if problem.masks is not None:
        masks = [D[:, rows] for D in problem.masks]
        fill_masks = frozen(scaled_masks(problem)[:, rows])
    objective = objective_of(problem, fill_masks=fill_masks)
    objective([batch_of(problem, rows=rows)])
    expected = reference.minibatch_gradients(
        problem.X,
        problem.Y,
        problem.parameters,
        problem.lambd,
        rows,
        sample_weight=problem.sample_weight,
        **problem.settings | {"masks": masks},
    )
    assert_allclose(objective.gradient, flat(expected, prefix="d"), rtol=0, atol=1e-10)


@pytest.mark.parametrize("dropout", [False, True])
@pytest.mark.parametrize("sizes", [(9,), (4, 5), (5, 4), (3, 3, 3), (1, 7, 1)])
def test_chunks_add_up_to_the_whole(sizes, dropout):
    problem = random_problem(dropout=dropout)
    stops = np.cumsum(sizes)
    slices = [slice(stop - size, stop) for size, stop in zip(sizes, stops, strict=True)]
    fill_masks = None
    if dropout:
        D = scaled_masks(problem)
        fill_masks = frozen(*(D[:, rows] for rows in slices))
    objective = objective_of(problem, fill_masks=fill_masks)
    for _ in range(2):
        chunks = (batch_of(problem, rows=rows, n_rows=9) for rows in slices)
        J = objective(chunks)
        assert pytest.approx(reference_cost(problem), rel=1e-12) == J
        assert_allclose(objective.gradient, reference_gradient(problem), rtol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("own_rows", [False, True])
def test_a_stack_of_networks_equals_single_ones(kind, activation, own_rows):
    """With other weights, decays and masks, on the same rows or each on its own."""
    singles = [random_problem(seed, kind, activation) for seed in range(3)]
    lambdas = np.array([0.0, 0.7, 30.0])
    batches = [batch_of(singles[seed if own_rows else 0]) for seed in range(3)]
    batch = Batch(*(np.stack([b[i] for b in batches]) for i in range(3)))
    if not own_rows:
        batch = batches[0]
    stack = Objective(
        Layout(singles[0].units),
        ENGINE_ACTIVATIONS[activation],
        OUTPUTS[kind],
        np.stack([flat(single.parameters) for single in singles]),
        decay=lambdas[:, np.newaxis] / 9,
        fill_masks=frozen(np.stack([scaled_masks(single) for single in singles])),
    )
    J = stack([batch])
    data_loss = stack.data_loss([batch])
    assert J.shape == data_loss.shape == (3,)
    # Planned, as for a batch that comes again.
    assert_array_equal(stack([batch._replace(steady=True)]), J)
    for s, single in enumerate(singles):
        objective = objective_of(single, decay=lambdas[s] / 9)
        assert pytest.approx(J[s], rel=1e-13) == objective([batches[s]])
        assert_allclose(
            stack.gradient[s], objective.gradient, rtol=1e-11, atol=1e-15, err_msg=s
        )
        assert pytest.approx(data_loss[s], rel=1e-13) == objective.data_loss(
            [batches[s]]
        )


def test_a_stack_in_chunks_equals_a_stack_in_one():
    singles = [random_problem(seed) for seed in range(2)]
    theta = np.stack([flat(single.parameters) for single in singles])
    D = np.stack([scaled_masks(single) for single in singles])
    problem = singles[0]
    results = []
    for slices in ([slice(0, 9)], [slice(0, 4), slice(4, 9)]):
        stack = Objective(
            Layout(problem.units),
            ENGINE_ACTIVATIONS["relu"],
            OUTPUTS["binary"],
            theta,
            decay=0.1,
            fill_masks=frozen(*(D[..., rows] for rows in slices)),
        )
        J = stack([batch_of(problem, rows=rows, n_rows=9) for rows in slices])
        results.append((J, stack.gradient))
    assert_allclose(*(J for J, _ in results), rtol=1e-13)
    assert_allclose(*(gradient for _, gradient in results), rtol=1e-11, atol=1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("by_layer", [False, True])
@pytest.mark.parametrize("hidden", [(4, 3), (300, 200)])
def test_the_decay_of_a_stack_is_that_of_each_network(hidden, by_layer, dtype):
    """Over several blocks too; biases have none."""
    problem = random_problem(hidden=hidden, dropout=False)
    layout = Layout(problem.units)
    rng = np.random.default_rng(0)
    theta = rng.normal(size=(3, layout.n_parameters)).astype(dtype)
    lambds = np.array([[0.0], [0.7], [30.0]])
    lambds = lambds * ([1.0, 0.0, 2.0] if by_layer else [1.0, 1.0, 1.0])
    batch = batch_of(problem, dtype)

    def of(theta, decay):
        objective = Objective(
            layout,
            ENGINE_ACTIVATIONS["relu"],
            OUTPUTS["binary"],
            theta,
            decay=decay,
        )
        return objective([batch]), objective.gradient

    J, gradient = of(theta, lambds * np.ones(3) / 9)
    J0, gradient0 = of(theta, 0.0)
    rtol = 1e-4 if dtype == np.float32 else 1e-9
    n_weights = layout.n_weights
    assert_array_equal(gradient[:, n_weights:], gradient0[:, n_weights:])
    for s in range(3):
        W = theta[s, :n_weights].astype(float)
        decay = np.empty(n_weights)
        start = 0
        for lambd, (n_out, n_in) in zip(
            lambds[s], (W.shape for W, _ in layout.layers(theta[s])), strict=True
        ):
            decay[start : start + n_out * n_in] = lambd / 9
            start += n_out * n_in
        assert_allclose(J[s] - J0[s], 0.5 * np.sum(decay * W**2), rtol=rtol, atol=1e-5)
        assert_allclose(
            gradient[s, :n_weights],
            gradient0[s, :n_weights] + decay * W,
            rtol=rtol,
            atol=1e-5 if dtype == np.float32 else 1e-12,
        )


def test_a_stack_without_decay_has_no_penalty():
    problem = random_problem(dropout=False)
    layout = Layout(problem.units)
    theta = np.random.default_rng(0).normal(size=(2, layout.n_parameters))
    stack = Objective(
        layout,
        ENGINE_ACTIVATIONS["relu"],
        OUTPUTS["binary"],
        theta,
        decay=layout.for_each_weight(np.zeros((2, 3))),
    )
    batch = batch_of(problem)
    assert_allclose(stack([batch]), stack.data_loss([batch]), rtol=1e-14)


@pytest.mark.parametrize("lead", [(), (3,), (2, 3)])
@using("numpy")
def test_the_decay_of_one_network_has_no_biases_and_that_of_a_stack_no_gaps(lead):
    """The same numbers either way: it is what makes each of them quick."""
    problem = random_problem(dropout=False)
    layout = Layout(problem.units)
    theta = np.ones((*lead, layout.n_parameters))
    objective = Objective(
        layout,
        ENGINE_ACTIVATIONS["relu"],
        OUTPUTS["binary"],
        theta,
        decay=np.ones((*lead, 1)) * [0.1, 0.2, 0.3],
    )
    vectors = [a for call in objective._penalty_plan for a in call.args]
    vectors = [a for a in vectors if a.shape != lead]
    assert len(vectors) == 8
    n_decayed = layout.n_parameters if lead else layout.n_weights
    assert {a.shape for a in vectors} == {(*lead, n_decayed)}
    assert all(a.flags.c_contiguous for a in vectors)


def test_decay_may_differ_from_layer_to_layer():
    problem = random_problem()
    lambdas = np.array([0.0, 2.0, 5.0])
    objective = objective_of(problem, decay=lambdas / problem.total_weight)
    J = objective([batch_of(problem)])
    arguments = problem.X, problem.Y, problem.parameters, lambdas
    options = problem.settings | {"sample_weight": problem.sample_weight}
    assert pytest.approx(reference.objective(*arguments, **options), rel=1e-12) == J
    expected = flat(reference.gradients(*arguments, **options), prefix="d")
    assert_allclose(objective.gradient, expected, rtol=1e-10)


# What a call does --------------------------------------------------------------------


@given(problems())
def test_data_loss_has_neither_dropout_nor_penalty(problem):
    def never(D):
        raise AssertionError("no masks may be drawn")

    objective = objective_of(problem, fill_masks=never)
    objective.gradient.fill(7)
    arguments = problem.X, problem.Y, problem.parameters, 0.0
    options = problem.settings | {"masks": None}
    expected = reference.objective(
        *arguments, sample_weight=problem.sample_weight, **options
    )
    whole = objective.data_loss([batch_of(problem)])
    assert pytest.approx(expected, rel=1e-10) == whole
    half = problem.n_samples // 2
    parts = [
        batch_of(problem, rows=rows, n_rows=problem.n_samples)
        for rows in (slice(0, half), slice(half, None))
    ]
    assert pytest.approx(expected, rel=1e-10) == objective.data_loss(parts)
    assert_array_equal(objective.gradient, 7)


def test_each_call_draws_new_masks_and_uses_them():
    problem = random_problem(n_samples=9)
    drawn = []
    keep_probs = (0.5, 0.25)
    masks = Masks(keep_probs, (4, 3), np.random.SFC64(3), np.float64)

    def fill(D):
        masks(D)
        drawn.append(D.copy())

    objective = objective_of(problem, fill_masks=fill)
    for call in range(3):
        J = objective([batch_of(problem)])
        changes = {
            "masks": [drawn[call][:4] > 0, drawn[call][4:] > 0],
            "keep_prob": keep_probs,
        }
        assert pytest.approx(reference_cost(problem, **changes), rel=1e-12) == J
        expected = reference_gradient(problem, **changes)
        assert_allclose(objective.gradient, expected, rtol=1e-10, atol=1e-15)
    assert len(drawn) == 3
    assert not np.array_equal(drawn[0], drawn[1])


def test_training_and_validation_take_turns():
    """Neither spoils the buffers of the other, of as many rows or of fewer."""
    problem = random_problem()
    batch, few = batch_of(problem), batch_of(problem, rows=slice(2, 5))
    J, loss, loss_of_few = (
        objective_of(problem)([batch]),
        objective_of(problem).data_loss([batch]),
        objective_of(problem).data_loss([few]),
    )
    for validation_first in (False, True):
        objective = objective_of(problem)
        for turn in range(4):
            if turn % 2 == validation_first:
                objective.gradient.fill(np.nan)
                assert pytest.approx(J, rel=1e-13) == objective([batch])
                expected = reference_gradient(problem)
                assert_allclose(objective.gradient, expected, rtol=1e-10, atol=1e-15)
            else:
                for rows, exact in ((batch, loss), (few, loss_of_few)):
                    found = objective.data_loss([rows])
                    assert pytest.approx(exact, rel=1e-13) == found


def test_theta_is_read_at_each_call():
    problem, other = random_problem(0), random_problem(1)
    objective = objective_of(problem)
    gradient = objective.gradient
    objective([batch_of(problem)])
    objective.theta[...] = flat(other.parameters)
    J = objective([batch_of(problem)])
    fresh = objective_of(problem)
    fresh.theta[...] = flat(other.parameters)
    assert pytest.approx(J, rel=1e-13) == fresh([batch_of(problem)])
    assert objective.gradient is gradient
    assert_allclose(gradient, fresh.gradient, rtol=1e-12, atol=1e-15)


@given(problems())
def test_a_batch_that_comes_again_gives_the_same_as_one_that_does_not(problem):
    """Its calls are kept: θ, the rows in its arrays and the masks may change."""
    once, again = objective_of(problem), objective_of(problem)
    batch = batch_of(problem)
    steady = Batch(batch.X.copy(), batch.Y.copy(), batch.share.copy(), steady=True)
    for turn in range(3):
        J, found = once([batch]), again([steady])
        assert found == J
        assert_array_equal(again.gradient, once.gradient)
        for objective in (once, again):
            objective.theta *= 0.9
        batch = batch._replace(X=batch.X[:, ::-1] + turn, Y=batch.Y[:, ::-1])
        steady.X[...], steady.Y[...] = batch.X, batch.Y


def test_a_kept_batch_draws_new_masks():
    problem = random_problem()
    drawn = []

    def fill_masks(D):
        D[...] = np.random.default_rng(len(drawn)).integers(2, size=D.shape) * 2.0
        drawn.append(D.copy())

    objective = objective_of(problem)
    objective.fill_masks = fill_masks
    batch = batch_of(problem)._replace(steady=True)
    costs = [objective([batch]) for _ in range(3)]
    assert len(drawn) == 3
    assert len(set(map(float, costs))) == 3


def test_the_cost_of_a_kept_batch_is_not_written_over_by_the_next():
    problem = random_problem()
    objective = objective_of(problem, decay=0.0)
    batch = batch_of(problem)._replace(steady=True)
    first = objective([batch])
    value = float(first)
    objective.theta *= 0.5
    assert objective([batch]) != value
    assert first == value


def test_inputs_are_dropped_anew_at_each_call_also_those_of_a_kept_batch():
    problem, seen = random_problem(dropout=False), []

    def halve_or_double(X):
        seen.append(X.copy())
        return X * (0.5, 2.0)[len(seen) % 2]

    objective = objective_of(problem)
    objective.drop_inputs = halve_or_double
    batch = batch_of(problem)._replace(steady=True)
    for factor in (2.0, 0.5, 2.0):
        J = objective([batch])
        expected = reference.objective(
            problem.X * factor,
            problem.Y,
            problem.parameters,
            problem.lambd,
            sample_weight=problem.sample_weight,
            **problem.settings,
        )
        assert pytest.approx(expected, rel=1e-12) == J
        assert_array_equal(seen[-1], problem.X)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_masks_are_drawn_in_the_dtype_of_the_parameters(dtype):
    problem, dtypes = random_problem(), []

    def fill_masks(D):
        dtypes.append(D.dtype)
        D.fill(1)

    objective_of(problem, dtype, fill_masks)([batch_of(problem, dtype)])
    assert dtypes == [dtype]


def test_a_kept_batch_is_held():
    """Another could otherwise get its id."""
    problem = random_problem()
    objective, batch = objective_of(problem), batch_of(problem)._replace(steady=True)
    before = sys.getrefcount(batch)
    objective([batch])
    assert sys.getrefcount(batch) > before
    assert len(objective._plans) == 1
    # One that does not come again is not.
    objective([batch_of(problem)])
    assert len(objective._plans) == 1


def test_nothing_given_is_changed():
    problem = random_problem()
    objective, batch = objective_of(problem), batch_of(problem)
    for array in (batch.X, batch.Y, batch.share, objective.theta):
        array.flags.writeable = False
    objective([batch])
    objective.data_loss([batch])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_extreme_weights_give_a_finite_cost(kind, dtype):
    """Logits of ±1000 and beyond."""
    problem = random_problem(kind=kind, dropout=False)
    objective = objective_of(problem, dtype)
    objective.theta *= 100
    batch = batch_of(problem, dtype)
    J = objective([batch])
    assert 100 < J < np.inf
    assert np.isfinite(objective.gradient).all()
    assert 10 < objective.data_loss([batch]) < J


def test_float32_costs_are_summed_without_losing_the_small_part():
    """The penalty and the loss of each chunk are added in float64."""
    problem = random_problem(dropout=False)
    objective = objective_of(problem, np.float32, decay=0.0)
    objective.theta.fill(0)
    n_chunks = 20_000
    chunk = Batch(
        np.zeros((3, 1), np.float32),
        np.zeros((1, 1), np.float32),
        np.full(1, 1 / n_chunks, np.float32),
    )
    loss = objective.data_loss([chunk] * n_chunks)
    assert pytest.approx(np.log(2), rel=2e-7) == loss


def test_a_step_allocates_nothing_that_grows_with_the_batch():
    rng = np.random.default_rng(0)
    units, n_samples = (10, 40, 30, 3), 20_000
    layout = Layout(units)
    codes = rng.integers(3, size=n_samples)
    batch = Batch(
        rng.normal(size=(10, n_samples)),
        np.eye(3)[:, codes],
        np.full(n_samples, 1 / n_samples),
    )
    theta = rng.normal(size=layout.n_parameters)
    masks = Masks((0.5, 0.5), (40, 30), np.random.SFC64(0), np.float64)
    objective = Objective(
        layout,
        ENGINE_ACTIVATIONS["relu"],
        OUTPUTS["multiclass"],
        theta,
        decay=0.1,
        fill_masks=masks,
    )
    objective([batch])
    one_row = n_samples * theta.itemsize
    tracemalloc.start()
    try:
        objective([batch])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < one_row


def test_workspaces_that_were_given_back_are_made_anew():
    problem = random_problem()
    objective = objective_of(problem, fill_masks=frozen(*[scaled_masks(problem)] * 3))
    batch = batch_of(problem)._replace(steady=True)
    J, gradient = objective([batch]), objective.gradient.copy()
    loss = objective.data_loss([batch])
    objective.release()
    for _ in range(2):
        assert objective([batch]) == J
        assert_array_equal(objective.gradient, gradient)
        assert objective.data_loss([batch]) == loss


def test_workspaces_can_be_given_back():
    problem = random_problem(n_samples=5000, dropout=False)
    objective = objective_of(problem)
    batch = batch_of(problem)._replace(steady=True)
    tracemalloc.start()
    try:
        objective([batch])
        held, _ = tracemalloc.get_traced_memory()
        objective.release()
        left, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    one_row = 5000 * 8
    assert held > 10 * one_row
    assert left < one_row
