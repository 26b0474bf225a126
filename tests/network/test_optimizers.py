"""Optimisers, schedules and the flushing, against the naive formulas."""

import math

import numpy as np
import pytest
import reference
from helpers import constants, using
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from skreg._network.calls import BLOCK
from skreg._network.optimizers import (
    OPTIMIZERS,
    SGD,
    Adam,
    Constants,
    Mean,
    flush_subnormals,
    learning_rate_at,
    limit_incoming_norms,
)
from skreg._network.theta import Layer

N_STEPS = 12
# Three blocks, the last of them not full.
LONG = 2 * BLOCK + 37
ADAM = {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8}

# How each is built, the oracle's function, and the constants that both take.
RULES = {
    "sgd": (SGD, reference.sgd_momentum, {"momentum": 0.0}),
    "sgd, Nesterov without momentum": (SGD, reference.nesterov, {"momentum": 0.0}),
    "momentum": (SGD, reference.sgd_momentum, {"momentum": 0.9}),
    "momentum 0.3": (SGD, reference.sgd_momentum, {"momentum": 0.3}),
    "Nesterov": (SGD, reference.nesterov, {"momentum": 0.9}),
    "Nesterov 0.3": (SGD, reference.nesterov, {"momentum": 0.3}),
    "Adam": (Adam, reference.adam, ADAM),
    "Adam, other constants": (
        Adam,
        reference.adam,
        {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 0.1},
    ),
    "Adam without memory": (
        Adam,
        reference.adam,
        {"beta_1": 0.0, "beta_2": 0.0, "epsilon": 1e-3},
    ),
}
rules = pytest.mark.parametrize("rule", RULES)


def bowl(shape, dtype=np.float64, seed=0):
    """A start, and the gradient of a function with its minimum away from zero.

    Some components have a gradient of exactly zero, as those of dead units do.
    """
    rng = np.random.default_rng(seed)
    theta, centre = rng.normal(size=shape), rng.normal(size=shape)
    steepness = rng.uniform(0.1, 2, size=shape) * (rng.random(shape) > 0.2)

    def gradient(theta, step):
        return steepness * np.sin(theta - centre) + 0.1 * steepness * math.cos(step)

    rates = 0.02 + 0.01 * np.sin(np.arange(N_STEPS))
    return theta.astype(dtype), gradient, rates


def build(rule, theta, g):
    """The optimiser of a rule, which moves ``theta`` along ``g``."""
    kind, oracle, values = RULES[rule]
    if kind is SGD:
        values = {**values, "nesterovs_momentum": oracle is reference.nesterov}
    return kind(constants(**values), theta, g)


def expected_trajectory(rule, theta, gradient, rates):
    _, oracle, values = RULES[rule]
    return oracle(theta, gradient, rates, n_steps=len(rates), **values)


def trajectory(rule, theta, gradient, rates):
    """θ after each step; the gradient's vector is one and the same all along."""
    theta, g = theta.copy(), np.full_like(theta, np.nan)
    optimizer = build(rule, theta, g)
    followed = [theta.copy()]
    for step, rate in enumerate(rates):
        g[...] = gradient(theta, step)
        optimizer.step(float(rate))
        followed.append(theta.copy())
    assert optimizer.n_steps == len(rates)
    return np.array(followed)


# Steps -------------------------------------------------------------------------------


@rules
@pytest.mark.parametrize("size", [2, 50, LONG])
def test_each_step_is_the_formula(rule, size):
    theta, gradient, rates = bowl(size)
    expected = expected_trajectory(rule, theta, gradient, rates)
    found = trajectory(rule, theta, gradient, rates)
    assert_allclose(found, expected, rtol=1e-12, atol=1e-14)
    assert np.abs(expected[-1] - expected[0]).max() > 0.01


@rules
def test_float32_is_the_formula_to_its_own_accuracy(rule):
    theta, gradient, rates = bowl(300, np.float32)
    found = trajectory(rule, theta, gradient, rates)
    assert found.dtype == np.float32
    expected = expected_trajectory(rule, theta, gradient, rates)
    assert_allclose(found, expected, rtol=0, atol=2e-5)


@rules
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_vector_changes_its_dtype_or_its_place(rule, dtype):
    theta, gradient, rates = bowl(20, dtype)
    g = gradient(theta, 0).astype(dtype)
    before = g.copy()
    optimizer = build(rule, theta, g)
    moments = optimizer.moments
    start = theta.copy()
    optimizer.step(float(rates[0]))
    assert_array_equal(g, before)
    assert (theta != start).any()
    for vector, moment in zip(optimizer.moments, moments, strict=True):
        assert np.shares_memory(vector, moment)
        assert vector.dtype == dtype


@rules
def test_what_the_gradient_does_not_move_stays(rule):
    theta, gradient, rates = bowl(200)
    still = gradient(theta, 0) == 0
    assert still.any()
    found = trajectory(rule, theta, gradient, rates)
    assert_array_equal(found[-1][still], theta[still])


@rules
def test_a_stack_moves_as_each_vector_alone(rule):
    theta, gradient, rates = bowl((3, BLOCK + 5))
    rates = rates[:4]
    found = trajectory(rule, theta, gradient, rates)
    for k in range(len(theta)):

        def of_one(one, step, k=k):
            everything = np.zeros_like(theta)
            everything[k] = one
            return gradient(everything, step)[k]

        alone = trajectory(rule, theta[k], of_one, rates)
        assert_array_equal(found[:, k], alone)
        assert_allclose(
            alone,
            expected_trajectory(rule, theta[k], of_one, rates),
            rtol=1e-12,
            atol=1e-14,
        )


@rules
def test_each_vector_of_a_stack_has_its_own_rate(rule):
    """Over several blocks; the oracle takes one vector after the other."""
    theta, gradient, rates = bowl((3, BLOCK + 5))
    rates = rates[:4]
    factors = np.array([[1.0], [0.3], [0.0]])
    moved, g = theta.copy(), np.empty_like(theta)
    optimizer = build(rule, moved, g)
    for step, rate in enumerate(rates):
        g[...] = gradient(moved, step)
        optimizer.step(rate * factors)
    for k in range(3):

        def of_one(one, step, k=k):
            everything = np.zeros_like(theta)
            everything[k] = one
            return gradient(everything, step)[k]

        expected = expected_trajectory(rule, theta[k], of_one, rates * factors[k, 0])
        assert_allclose(moved[k], expected[-1], rtol=1e-12, atol=1e-14)
    assert_array_equal(moved[2], theta[2])
    assert (moved[1] != theta[1]).any()


@rules
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equal_rates_are_one_rate(rule, dtype):
    theta, gradient, rates = bowl((2, 40), dtype)
    found = []
    for shape in [(), (2, 1)]:
        moved, g = theta.copy(), np.empty_like(theta)
        optimizer = build(rule, moved, g)
        for step, rate in enumerate(rates):
            g[...] = gradient(moved, step)
            optimizer.step(np.full(shape, rate))
        assert moved.dtype == dtype
        found.append(moved)
    assert_array_equal(*found)


@rules
@pytest.mark.parametrize("half", [0, 1, 4])
def test_moments_put_back_give_the_same_trajectory(rule, half):
    theta, gradient, rates = bowl(LONG)
    rates = rates[: half + 2]
    whole = trajectory(rule, theta, gradient, rates)

    theta, g = theta.copy(), np.empty_like(theta)
    first = build(rule, theta, g)
    for step in range(half):
        g[...] = gradient(theta, step)
        first.step(float(rates[step]))
    n_steps, moments = first.n_steps, [moment.copy() for moment in first.moments]
    assert n_steps == half

    theta, g = theta.copy(), np.empty_like(theta)
    second = build(rule, theta, g)
    second.resume(n_steps, moments)
    for step in range(half, len(rates)):
        g[...] = gradient(theta, step)
        second.step(float(rates[step]))
        assert_array_equal(theta, whole[step + 1])
    assert second.n_steps == len(rates)


@rules
def test_moments_are_copied_when_they_are_put_back(rule):
    theta, gradient, rates = bowl(10)
    g = gradient(theta, 0)
    optimizer = build(rule, theta, g)
    moments = [np.ones(10) for _ in optimizer.moments]
    optimizer.resume(3, moments)
    optimizer.step(float(rates[0]))
    for moment in moments:
        assert_array_equal(moment, 1)


@pytest.mark.parametrize("kind", [Adam, SGD])
def test_numbers_too_large_for_float32_give_no_warning(kind):
    """They stand for infinity, and an epsilon of that stops all steps."""
    theta, gradient = np.ones(3, np.float32), np.ones(3, np.float32)
    settings = {"momentum": 1e50, "nesterovs_momentum": False}
    if kind is Adam:
        settings = {**ADAM, "epsilon": 1e50}
    optimizer = kind(constants(**settings), theta, gradient)
    if kind is Adam:
        optimizer.step(0.1)
        assert_array_equal(theta, 1)


def test_two_leading_axes_have_a_rate_for_each_network():
    theta, gradient = np.zeros((2, 3, 4)), np.ones((2, 3, 4))
    rates = np.arange(6.0).reshape(2, 3, 1)
    plain = constants(momentum=0.0, nesterovs_momentum=False)
    SGD(plain, theta, gradient).step(rates)
    assert_array_equal(theta, np.broadcast_to(-rates, theta.shape))


def test_a_wrong_number_of_moments_is_refused():
    theta, g = np.zeros(3), np.zeros(3)
    with pytest.raises(ValueError, match="zip"):
        Adam(constants(**ADAM), theta, g).resume(1, [np.zeros(3)])


@pytest.mark.parametrize(("nesterovs", "moved"), [(False, 6.0), (True, 9.0)])
def test_a_momentum_of_one_forgets_nothing(nesterovs, moved):
    """v = -η g, -2 η g, -3 η g: θ moves by their sum, with Nesterov's by one more each.

    Numbers that are exact in binary.
    """
    theta, gradient = np.zeros(3), np.array([1.0, -2.0, 0.0])
    all_of_it = constants(momentum=1.0, nesterovs_momentum=nesterovs)
    optimizer = SGD(all_of_it, theta, gradient)
    for _ in range(3):
        optimizer.step(0.5)
    assert_array_equal(theta, -0.5 * moved * gradient)


def test_optimizers_are_made_as_the_parameters_say():
    theta, gradient = np.zeros(2), np.array([1.0, -2.0])
    settings = Constants(
        momentum=0.5, nesterovs_momentum=False, beta_1=0.5, beta_2=0.75, epsilon=1.0
    )
    sgd = OPTIMIZERS["sgd"](settings, theta, gradient)
    for _ in range(2):
        sgd.step(0.5)
    assert_array_equal(theta, -0.5 * (1 + 1.5) * gradient)
    theta[...] = 0
    OPTIMIZERS["adam"](settings, theta, gradient).step(1.0)
    # m = g / 2, v = g² / 4, η = √(1/4) / (1/2) = 1.
    assert_allclose(theta, -gradient / 2 / (np.abs(gradient) / 2 + 1), rtol=1e-15)


def test_adam_makes_its_first_step_as_long_as_the_rate():
    """m / √v is the sign of the gradient after one step, whatever its size."""
    g = np.array([0.1, -2.0, 5e4, 0.0])
    theta = np.zeros(4)
    Adam(constants(**ADAM), theta, g).step(0.01)
    assert_allclose(theta, -0.01 * np.sign(g), rtol=2e-5)


# Schedules ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "power_t"),
    [("constant", 0.5), ("cosine", 0.5), ("invscaling", 0.5), ("invscaling", 1.25)],
)
@pytest.mark.parametrize("n", [1, 7, 1000])
def test_schedules_are_those_of_the_oracle(schedule, power_t, n):
    max_iter = 25
    expected = reference.learning_rates(schedule, 0.3, max_iter, n, power_t, max_iter)
    found = [
        learning_rate_at(
            schedule,
            0.3,
            samples_seen=epoch * n,
            power_t=power_t,
            progress=epoch / max_iter,
        )
        for epoch in range(max_iter)
    ]
    assert_allclose(found, expected, rtol=1e-14)
    assert found[0] == 0.3
    assert (len(set(found)) == 1) == (schedule == "constant")


def test_the_plateaus_of_adaptive_are_not_divided_out_here():
    for samples_seen, progress in [(0, 0.0), (500, 0.5)]:
        rate = learning_rate_at(
            "adaptive", 0.3, samples_seen=samples_seen, power_t=0.5, progress=progress
        )
        assert rate == 0.3


# Subnormal numbers -------------------------------------------------------------------


def with_all_kinds_of_numbers(dtype):
    """Numbers, and whether each is subnormal, by its bits: no exponent, a mantissa."""
    info = np.finfo(dtype)
    tiny = info.tiny
    edges = [
        tiny,
        np.nextafter(tiny, dtype(0)),
        np.nextafter(tiny, dtype(1)),
        info.smallest_subnormal,
        tiny / dtype(2),
        dtype(0),
        info.eps,
        dtype(1),
        info.max,
        dtype(np.inf),
    ]
    numbers = np.array([*edges, *(-edge for edge in edges), np.nan], dtype=dtype)
    unsigned = np.uint32 if dtype is np.float32 else np.uint64
    bits = numbers.view(unsigned)
    mantissa = (bits & unsigned(2**info.nmant - 1)) != 0
    exponent = (bits >> unsigned(info.nmant)) & unsigned(2**info.nexp - 1)
    return numbers, mantissa & (exponent == 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("lead", [(), (3,)])
def test_subnormals_become_zero_and_nothing_else_changes(dtype, lead):
    numbers, subnormal = with_all_kinds_of_numbers(dtype)
    assert subnormal.sum() == 6
    vector = np.tile(numbers, (*lead, 1)) if lead else numbers.copy()
    other = vector[..., ::-1].copy()
    flush_subnormals(vector, other)
    expected = np.broadcast_to(np.where(subnormal, dtype(0), numbers), vector.shape)
    assert_array_equal(vector, expected)
    assert_array_equal(other, expected[..., ::-1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_subnormals_are_found_in_every_block(dtype):
    vector = np.full(LONG, np.finfo(dtype).tiny, dtype=dtype)
    small = np.arange(0, LONG, 97)
    vector[small] = np.finfo(dtype).smallest_subnormal
    vector[-1] = -np.finfo(dtype).smallest_subnormal
    flush_subnormals(vector)
    expected = np.full(LONG, np.finfo(dtype).tiny, dtype=dtype)
    expected[small] = expected[-1] = 0
    assert_array_equal(vector, expected)


@given(st.lists(st.floats(width=64), min_size=1, max_size=20))
def test_flushing_takes_any_numbers(numbers):
    vector = np.array(numbers)
    flush_subnormals(vector)
    expected = [0.0 if abs(x) < 2.0**-1022 else x for x in numbers]
    assert_array_equal(vector, expected)


@pytest.mark.parametrize("setting", ["numpy", "numba"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("lead", [(), (3,)])
def test_what_decays_goes_before_it_is_subnormal(dtype, lead, setting):
    tiny = float(np.finfo(dtype).tiny)
    small, smaller = tiny**0.4, tiny**0.5
    # Weight and first moment, and whether each is left.
    cases = [
        (0.9 * small, 0.9 * small, False, False),
        (1.1 * small, 0.9 * small, True, True),
        (0.9 * small, 1.1 * small, True, True),
        (-0.9 * small, -1.1 * small, True, True),
        (1.0, 1.1 * smaller, True, True),
        (-1.0, 0.9 * smaller, True, False),
        (0.0, 1.0, True, True),
        (np.nan, np.nan, True, True),
        (np.inf, -np.inf, True, True),
    ]
    theta, first, theta_is_left, first_is_left = np.array(cases, dtype=object).T
    shape = (*lead, LONG)
    theta = np.resize(theta.astype(dtype), shape)
    moments = np.array(
        [np.resize(first.astype(dtype), shape), np.full(shape, tiny / 4)]
    )
    moments = moments.astype(dtype)
    expected = (
        np.where(np.resize(theta_is_left.astype(bool), shape), theta, 0),
        np.where(np.resize(first_is_left.astype(bool), shape), moments[0], 0),
    )
    optimizer = build("Adam", theta, np.zeros_like(theta))
    optimizer.resume(0, moments)
    with np.errstate(all="ignore"), using(setting):
        optimizer.flush()
    assert_array_equal(theta, expected[0])
    assert_array_equal(optimizer.moments[0], expected[1])
    assert_array_equal(optimizer.moments[1], 0)


@pytest.mark.parametrize("setting", ["numpy", "numba"])
def test_the_velocity_is_flushed_as_a_first_moment(setting):
    theta, tiny = np.ones(3, np.float32), float(np.finfo(np.float32).tiny)
    optimizer = build("momentum", theta, np.zeros_like(theta))
    optimizer.resume(0, [np.array([tiny**0.4, 0.9 * tiny**0.5, -tiny / 2], "f4")])
    with using(setting):
        optimizer.flush()
    assert_allclose(optimizer.moments, [[tiny**0.4, 0, 0]], rtol=1e-6)
    assert_array_equal(theta, 1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_mean_of_epochs_does_not_stay_subnormal(dtype):
    """What a weight was before it became zero decays, and would end as subnormal."""
    tiny = np.finfo(dtype).tiny
    theta = np.array([1.0, 40 * tiny], dtype)
    mean, n_subnormal = Mean(theta, 0.9), 0
    for _ in range(300):
        mean.add(theta)
        theta[1] = 0
        mean.show(theta)
        n_subnormal += 0 < theta[1] < tiny
        mean.hide(theta)
        assert theta.tolist() == [1, 0]
    assert 0 < n_subnormal <= 64


def test_nothing_to_flush_is_no_error():
    flush_subnormals()
    flush_subnormals(np.empty(0))


@pytest.mark.parametrize(("beta_1", "beta_2"), [(0.5, 0.8), (0.95, 0.9999)])
def test_moments_put_back_with_other_betas_are_the_same_moments(beta_1, beta_2):
    rng = np.random.default_rng(0)
    gradients = rng.normal(size=(4, 5))
    theta, gradient = np.zeros(5), np.zeros(5)
    first = Adam(constants(**ADAM), theta, gradient)
    m, v = np.zeros(5), np.zeros(5)
    for g in gradients[:3]:
        gradient[...] = g
        first.step(0.1)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
    others = {**ADAM, "beta_1": beta_1, "beta_2": beta_2}
    second = Adam(constants(**others), theta, gradient)
    second.resume(first.n_steps, first.moments, (0.9, 0.999))
    before = theta.copy()
    gradient[...] = gradients[3]
    second.step(0.1)
    m = beta_1 * m + (1 - beta_1) * gradients[3]
    v = beta_2 * v + (1 - beta_2) * gradients[3] ** 2
    rate = 0.1 * math.sqrt(1 - beta_2**4) / (1 - beta_1**4)
    assert_allclose(theta - before, -rate * m / (np.sqrt(v) + 1e-8), rtol=1e-11)


# The limit of the norms ---------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("lead", [(), (2,)])
def test_weights_longer_than_the_limit_are_scaled_and_no_others(dtype, lead):
    rng = np.random.default_rng(0)
    layers = [
        Layer(
            rng.normal(size=(*lead, n_out, n_in)).astype(dtype),
            rng.normal(size=(*lead, n_out, 1)).astype(dtype) + 10,
        )
        for n_in, n_out in [(4, 5), (5, 3)]
    ]
    layers[0].W[..., 1, :] = 0
    layers[0].W[..., 2, :] *= 1e-3
    before = [(W.copy(), b.copy()) for W, b in layers]
    # The epoch loop, which calls it, has the warnings off: a length may be zero.
    with np.errstate(divide="ignore"):
        limit_incoming_norms(layers, 1.5)
    n_scaled = 0
    for (W, b), (old_W, old_b) in zip(layers, before, strict=True):
        assert_array_equal(b, old_b)
        for index in np.ndindex(W.shape[:-1]):
            w, old = W[index], old_W[index]
            length = math.sqrt(sum(float(x) ** 2 for x in old))
            if length <= 1.5:
                assert_array_equal(w, old)
            else:
                n_scaled += 1
                rtol = 8 * np.finfo(dtype).eps
                assert_allclose(w, old.astype(float) * 1.5 / length, rtol=rtol)
    assert 0 < n_scaled < 8 * max(1, math.prod(lead))
