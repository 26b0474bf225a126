"""One flat θ, W and b as views of it, and where training starts."""

import math
from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.stats import kstest
from strategies import flat, random_problem

from skreg._network.calls import BLOCK, blocks
from skreg._network.theta import Layout, initial_theta, theta_of

UNITS = [(3, 1), (4, 2, 1), (2, 5, 3, 1), (1, 1, 1, 1), (3, 2, 4, 2, 5, 2)]
every_layout = pytest.mark.parametrize("units", UNITS, ids=str)


@every_layout
def test_weights_come_first_and_then_biases(units):
    layout = Layout(units)
    shapes = list(zip(units[1:], units[:-1], strict=True))
    n_weights = sum(math.prod(shape) for shape in shapes)
    n_parameters = n_weights + sum(units[1:])
    assert layout.n_weights == n_weights
    assert layout.n_parameters == n_parameters
    assert layout.hidden_units == units[1:-1]

    theta = np.arange(n_parameters)
    layers = layout.layers(theta)
    assert [layer.W.shape for layer in layers] == shapes
    assert [layer.b.shape for layer in layers] == [(n_out, 1) for n_out, _ in shapes]
    parts = [layer.W.T.ravel() for layer in layers] + [
        layer.b.ravel() for layer in layers
    ]
    assert_array_equal(np.concatenate(parts), theta)


def test_the_weights_of_each_input_stand_together():
    (W1, b1), (W2, b2) = Layout((2, 3, 1)).layers(np.arange(13.0))
    assert_array_equal(W1, [[0, 3], [1, 4], [2, 5]])
    assert_array_equal(W2, [[6, 7, 8]])
    assert_array_equal(b1, [[9], [10], [11]])
    assert_array_equal(b2, [[12]])


@pytest.mark.parametrize("lead", [(), (1,), (4,), (2, 3)], ids=str)
@every_layout
def test_the_layers_are_views(units, lead):
    """What is written into W or b stands in θ, and the other way round."""
    layout = Layout(units)
    theta = np.zeros((*lead, layout.n_parameters))
    for number, layer in enumerate(layout.layers(theta), start=1):
        for array in layer:
            assert array.shape[:-2] == lead
            assert np.shares_memory(array, theta)
            array += number
    counts = [n_in * n_out for n_in, n_out in pairwise(units)]
    numbers = np.arange(1, len(units))
    expected = np.concatenate(
        [np.repeat(numbers, counts), np.repeat(numbers, units[1:])]
    )
    assert_array_equal(theta, np.broadcast_to(expected, theta.shape))
    theta += 1
    for number, (W, b) in enumerate(layout.layers(theta), start=1):
        assert_array_equal(W, number + 1)
        assert_array_equal(b, number + 1)


def test_leading_axes_are_a_stack_of_networks():
    layout = Layout((3, 4, 2))
    theta = np.random.default_rng(0).normal(size=(2, 3, layout.n_parameters))
    stack = layout.layers(theta)
    for index in np.ndindex(2, 3):
        for layer, single in zip(stack, layout.layers(theta[index]), strict=True):
            assert_array_equal(layer.W[index], single.W)
            assert_array_equal(layer.b[index], single.b)


def test_the_layers_of_a_part_of_theta_are_views_too():
    """As for one network of a stack whose θ is not contiguous."""
    layout = Layout((3, 4, 2))
    stack = np.zeros((layout.n_parameters + 5, 3)).T
    for W, b in layout.layers(stack[1:, : layout.n_parameters]):
        W += 1
        b += 1
    assert stack.sum() == 2 * layout.n_parameters


# From and to coefs_ and intercepts_ --------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("hidden", [(3,), (4, 2), (2, 3, 4)], ids=str)
def test_coefs_and_intercepts_make_the_round_trip(hidden, dtype):
    problem = random_problem(kind="multiclass", hidden=hidden)
    numbers = range(1, problem.n_layers + 1)
    coefs = [problem.parameters[f"W{i}"].T for i in numbers]
    intercepts = [problem.parameters[f"b{i}"][:, 0] for i in numbers]
    theta = theta_of(coefs, intercepts, dtype)
    assert theta.dtype == dtype
    assert_array_equal(theta, flat(problem.parameters).astype(dtype))

    layers = Layout(problem.units).layers(theta)
    again = theta_of(
        [layer.W.T for layer in layers], [layer.b[:, 0] for layer in layers], dtype
    )
    assert_array_equal(again, theta)
    assert not np.shares_memory(again, theta)


def test_coefs_without_their_intercepts_are_refused():
    with pytest.raises(ValueError, match="shorter"):
        theta_of([np.ones((2, 3)), np.ones((3, 1))], [np.ones(3)], float)


# The start ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("activation", "gain"), [("relu", 6), ("tanh", 6), ("identity", 6), ("logistic", 2)]
)
def test_weights_start_uniform_within_glorots_bounds(activation, gain):
    units = (60, 90, 40, 10)
    layout = Layout(units)
    theta = initial_theta(layout, activation, np.random.default_rng(0), float)
    for (W, b), n_in, n_out in zip(
        layout.layers(theta), units, units[1:], strict=False
    ):
        radius = math.sqrt(gain / (n_in + n_out))
        assert np.abs(W).max() < radius
        assert kstest(W.ravel(), "uniform", args=(-radius, 2 * radius)).pvalue > 0.01
        assert_array_equal(b, 0)


def test_the_start_repeats_with_its_seed():
    layout = Layout((5, 4, 3, 1))

    def start(seed, dtype=float):
        return initial_theta(layout, "relu", np.random.default_rng(seed), dtype)

    assert_array_equal(start(1), start(1))
    assert not np.array_equal(start(1), start(2))
    assert start(1).dtype == np.float64
    # Every weight has its own number.
    assert len(set(start(1)[: layout.n_weights])) == layout.n_weights


def test_float32_starts_from_the_rounded_weights_of_float64():
    layout = Layout((5, 4, 3, 1))
    generators = [np.random.default_rng(1) for _ in range(2)]
    single = initial_theta(layout, "relu", generators[0], np.float32)
    double = initial_theta(layout, "relu", generators[1], np.float64)
    assert single.dtype == np.float32
    assert_array_equal(single, double.astype(np.float32))
    assert generators[0].bit_generator.state == generators[1].bit_generator.state


# A value for each weight -------------------------------------------------------------


def test_the_value_of_its_layer_for_each_weight():
    layout = Layout((2, 3, 1))
    assert_array_equal(layout.for_each_weight([5.0, 7.0]), [5] * 6 + [7] * 3)
    values = layout.for_each_weight([[5, 7], [0, 1]])
    assert_array_equal(values, [[5] * 6 + [7] * 3, [0] * 6 + [1] * 3])


@pytest.mark.parametrize(
    ("values", "shape"),
    [
        ([4.0, 4.0], ()),
        ([[4.0, 4.0]], (1, 1)),
        ([[4.0, 4.0], [0.0, 0.0], [1.0, 1.0]], (3, 1)),
        ([[4.0, 4.0], [0.0, 1.0]], (2, 9)),
        ([[[4.0, 4.0], [0.0, 0.0]]] * 3, (3, 2, 1)),
        ([[[4.0, 4.0], [0.0, 1.0]]] * 3, (3, 2, 9)),
    ],
    ids=str,
)
def test_what_all_layers_share_stands_for_all_weights(values, shape):
    found = Layout((2, 3, 1)).for_each_weight(values)
    assert found.shape == shape
    assert found.dtype == float
    expected = np.repeat(np.asarray(values), [6, 3], axis=-1)
    assert_array_equal(np.broadcast_to(found, expected.shape), expected)


@pytest.mark.parametrize("size", [10, BLOCK, BLOCK + 1, 3 * BLOCK - 5])
def test_blocks_of_a_stack_and_of_what_goes_with_it(size):
    """Numbers and columns of one number go with each block, uncut."""
    theta = np.arange(2.0 * size).reshape(2, size)
    rates, number = np.array([[3.0], [4.0]]), np.array(5.0)
    parts = list(blocks(theta, rates, theta + 1, number))
    assert len(parts) == -(-size // BLOCK)
    for part in parts:
        assert part[0].shape == part[2].shape
        assert np.shares_memory(part[0], theta)
        assert part[1] is rates
        assert part[3] is number
    for k in (0, 2):
        joined = np.concatenate([part[k] for part in parts], axis=-1)
        assert_array_equal(joined, theta + k // 2)


def test_a_vector_of_one_parameter_is_a_block():
    (part,) = blocks(np.ones((3, 1)), np.ones(()))
    assert part[0].shape == (3, 1)
