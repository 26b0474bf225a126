"""The engine's objective for a problem, and derivatives of a cost by differences."""

import numpy as np
from strategies import flat, scaled_masks

from skreg._network.activations import ACTIVATIONS
from skreg._network.loss import OUTPUTS
from skreg._network.objective import Batch, Objective
from skreg._network.theta import Layout

STEP = 1e-4


def batch_of(problem, dtype=np.float64, rows=slice(None), n_rows=None):
    """Some rows of a problem. ``n_rows`` says of how many the mean is, if not these."""
    X, Y = problem.X[:, rows], problem.Y[:, rows]
    normalised = problem.sample_weight * problem.n_samples / problem.total_weight
    share = normalised[rows] / (X.shape[1] if n_rows is None else n_rows)
    return Batch(X.astype(dtype), Y.astype(dtype), share.astype(dtype))


def frozen(*masks):
    """``fill_masks`` that copies the given masks, one a call, again and again."""
    calls = 0

    def fill(D):
        nonlocal calls
        D[...] = masks[calls % len(masks)]
        calls += 1

    return fill


def objective_of(problem, dtype=np.float64, fill_masks=None, decay=None):
    """The objective at the problem's parameters, its masks frozen if it has any."""
    if fill_masks is None and problem.masks is not None:
        fill_masks = frozen(scaled_masks(problem, dtype))
    return Objective(
        Layout(problem.units),
        ACTIVATIONS[problem.activation],
        OUTPUTS[problem.kind],
        flat(problem.parameters).astype(dtype),
        decay=problem.lambd / problem.total_weight if decay is None else decay,
        fill_masks=fill_masks,
    )


def directional_derivative(cost, theta, direction, step=STEP):
    """d/dt cost(theta + t direction) at t = 0, with an error of O(step⁴).

    (8 (c(h) - c(-h)) - (c(2h) - c(-2h))) / (12 h)
    """

    def at(t):
        return cost(theta + t * direction)

    near, far = at(step) - at(-step), at(2 * step) - at(-2 * step)
    return (8 * near - far) / (12 * step)


def gradient_by_differences(cost, theta, step=STEP):
    """The directional derivative along each axis."""
    axes = np.eye(len(theta))
    return np.array([directional_derivative(cost, theta, axis, step) for axis in axes])


def cost_of(objective, batch):
    """J as a function of θ. θ is back where it was after each call."""

    def cost(theta):
        before = objective.theta.copy()
        objective.theta[...] = theta
        J = objective([batch])
        objective.theta[...] = before
        return J

    return cost


def relative_error(actual, expected):
    """‖actual - expected‖ / ‖expected‖."""
    return np.linalg.norm(actual - expected) / np.linalg.norm(expected)
