"""Each activation and its derivative, which is computed from g(Z) alone."""

import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal
from strategies import ACTIVATIONS as NAMES

from skreg._network.activations import ACTIVATIONS
from skreg._network.calls import run

Z = np.concatenate(
    [np.linspace(-6, 6, 49), [-1e3, -50, -1e-9, 1e-9, 50, 1e3, np.nextafter(0, 1)]]
)
every_activation = pytest.mark.parametrize("name", NAMES)
both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def test_the_names():
    assert set(ACTIVATIONS) == set(NAMES)


@both_dtypes
@every_activation
def test_value_and_derivative_are_those_of_the_formulas(name, dtype):
    values = Z.astype(dtype)
    exact = values.astype(float)
    tolerance = 4 * np.finfo(dtype).eps
    G, slope = np.full_like(values, np.nan), np.full_like(values, np.nan)
    run(ACTIVATIONS[name].apply(values, G, np.zeros_like(G)))
    run(ACTIVATIONS[name].derivative(G, slope, np.zeros_like(G)))
    assert_array_equal(values, Z.astype(dtype))
    assert G.dtype == slope.dtype == dtype
    # Where float32 has no normal number, only the absolute error counts.
    smallest = np.finfo(dtype).tiny
    expected = reference.activate(exact, name)
    assert_allclose(G, expected, rtol=tolerance, atol=smallest)
    expected = reference.activation_derivative(exact, name)
    assert_allclose(slope, expected, rtol=0, atol=tolerance)


@every_activation
@given(
    Z=hnp.arrays(float, (3, 2), elements=st.floats(0.01, 8)),
    signs=hnp.arrays(int, (3, 2), elements=st.sampled_from([-1, 1])),
)
def test_the_derivative_is_that_of_the_value(name, Z, signs):
    """Off ReLU's kink: no |Z| is below 0.01."""
    Z = signs * Z
    apply, derivative, *_ = ACTIVATIONS[name]
    G, slope, above, below = (np.empty_like(Z) for _ in range(4))
    run(apply(Z, G, np.zeros_like(G)))
    run(derivative(G, slope, np.zeros_like(G)))
    step = 1e-5
    run(apply(Z + step, above, np.zeros_like(above)))
    run(apply(Z - step, below, np.zeros_like(below)))
    assert_allclose(slope, (above - below) / (2 * step), rtol=0, atol=1e-9)


@both_dtypes
@every_activation
def test_input_and_output_may_be_one_array(name, dtype):
    apply, derivative, *_ = ACTIVATIONS[name]
    values = Z.astype(dtype).reshape(2, 2, 14)
    G, slope, in_place = np.empty_like(values), np.empty_like(values), values.copy()
    run(apply(values, G, np.zeros_like(G)))
    run(derivative(G, slope, np.zeros_like(G)))
    run(apply(in_place, in_place, np.zeros_like(in_place)))
    assert_array_equal(in_place, G)
    run(derivative(in_place, in_place, np.zeros_like(in_place)))
    assert_array_equal(in_place, slope)


@both_dtypes
def test_relu_at_zero(dtype):
    """Both zeros give 0, with the slope 0."""
    values = np.array([0.0, -0.0], dtype=dtype)
    apply, derivative, *_ = ACTIVATIONS["relu"]
    G, slope = np.empty_like(values), np.empty_like(values)
    run(apply(values, G, np.zeros_like(G)))
    run(derivative(G, slope, np.zeros_like(G)))
    assert_array_equal(G, 0)
    assert_array_equal(slope, 0)


@every_activation
def test_a_value_that_is_not_a_number_is_not_hidden(name):
    """A network that diverged must show it in its loss."""
    G = np.empty(1)
    run(ACTIVATIONS[name].apply(np.array([np.nan]), G, np.zeros(1)))
    assert np.isnan(G).all()


@every_activation
@pytest.mark.parametrize("scale", [1.25, 1000.0])
def test_what_scale_free_says(name, scale):
    """Whether the derivative can be told from A, which is G times the mask."""
    apply, derivative, scale_free, *_ = ACTIVATIONS[name]
    values = np.linspace(-3, 3, 13)
    G, slope, from_A = (np.empty_like(values) for _ in range(3))
    run(apply(values, G, np.zeros_like(G)))
    run(derivative(G, slope, np.zeros_like(G)))
    run(derivative(scale * G, from_A, np.zeros_like(G)))
    assert (from_A == slope).all() == scale_free
