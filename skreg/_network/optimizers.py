"""SGD, Adam, the learning-rate schedules and the mean of epochs, on one vector θ.

An optimiser changes θ in place, block by block, so that each block stays in the
cache through all the lines of the formula. ``OPTIMIZERS`` has them by the names that
the parameter ``solver`` takes.
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np

from skreg._network import Array, kernels
from skreg._network.calls import (
    Calls,
    Plan,
    blocks_with_scratch,
    either,
    numbers,
    plan,
    run,
    run_plan,
)
from skreg._network.kernels import Kernel
from skreg._network.theta import Layer


class Constants(NamedTuple):
    """What the optimisers take, by the names of the estimator's parameters."""

    momentum: float
    nesterovs_momentum: bool
    beta_1: float
    beta_2: float
    epsilon: float


class Optimizer:
    """What the optimisers share: their state, their steps, and their blocks.

    A subclass takes :class:`Constants`, θ and its gradient, and hands on those of its
    formula: they become the ``numbers`` of ``_update``, which yields the calls of one
    block of θ, the gradient, the moments and scratch.
    """

    def __init__(
        self, theta: Array, gradient: Array, n_moments: int, *constants: float
    ) -> None:
        self.n_steps = 0
        self._theta = theta
        self._flush_plan: Plan | None = None
        self.moments = np.zeros((n_moments, *theta.shape), theta.dtype)
        self._rate = _rate_of_each(theta)
        self.numbers = numbers(theta, *constants)
        lines = (
            call
            for block in blocks_with_scratch(theta, gradient, *self.moments)
            for call in self._update(*block)
        )
        vectors = theta, gradient, *self.moments, self._rate
        self._plan = plan(either(self._kernel, lines, *vectors, np.array(self.numbers)))

    _update: Callable[..., Calls]
    # What stands for the calls of all blocks, if anything does.
    _kernel: Kernel | None = None

    def step(self, learning_rate: float | Array) -> None:
        """Move θ once along the gradient that is in its vector now.

        The learning rate is one number, or an array (..., 1) for a stack.
        """
        self.n_steps += 1
        self._rate[...] = self._rate_of_step(learning_rate)
        run_plan(self._plan)

    def flush(self) -> None:
        """Set to zero, in place, what is on its way to the subnormal numbers.

        With L2, the weights of dead units decay without end. Adam sums the squares of
        their gradients λ/m W, and those are subnormal long before W is. A weight goes
        together with its first moment if both are below tiny^0.4 (2⁻⁵⁰ in float32), so
        that small weights for columns of huge numbers stay; a first moment alone below
        tiny^0.5.
        """
        if self._flush_plan is None:
            theta, first, last = self._theta, self.moments[0], self.moments[-1]
            tiny = float(np.finfo(theta.dtype).tiny)
            limits = tiny**0.4, tiny**0.5, tiny
            lines = _without_decayed(theta, first, last, limits)
            vectors = theta, first, last, np.array(limits, theta.dtype)
            self._flush_plan = plan(either(kernels.flush, lines, *vectors))
        run_plan(self._flush_plan)

    def _rate_of_step(self, learning_rate: float | Array) -> float | Array:
        return learning_rate

    def resume(
        self,
        n_steps: int,
        moments: Sequence[Array],
        betas: tuple[float, float] | None = None,
    ) -> None:
        """Go on from what ``n_steps`` and ``moments`` were, with those ``betas``."""
        self.n_steps = n_steps
        for moment, saved in zip(self.moments, moments, strict=True):
            moment[...] = saved


class SGD(Optimizer):
    """v = momentum v - η g; θ += v, or θ += momentum v - η g with Nesterov's.

    The rules of ``MLPClassifier``. With ``momentum=0`` it is θ -= η g.
    """

    _kernel = staticmethod(kernels.sgd)

    def __init__(self, constants: Constants, theta: Array, gradient: Array) -> None:
        self.momentum = constants.momentum
        self.nesterov = constants.nesterovs_momentum
        super().__init__(theta, gradient, 1, self.momentum, self.nesterov)

    def _update(
        self, theta: Array, gradient: Array, velocity: Array, scaled: Array
    ) -> Calls:
        momentum, _ = self.numbers
        yield np.multiply, gradient, self._rate, scaled
        if self.momentum == 0:
            yield np.subtract, theta, scaled, theta
            return
        yield np.multiply, velocity, momentum, velocity
        yield np.subtract, velocity, scaled, velocity
        if self.nesterov:
            yield np.subtract, theta, scaled, theta
            yield np.multiply, velocity, momentum, scaled
            yield np.add, theta, scaled, theta
        else:
            yield np.add, theta, velocity, theta


class Adam(Optimizer):
    """m = β1 m + (1 - β1) g, v = β2 v + (1 - β2) g², θ -= η_t m / (√v + ε).

    η_t = η √(1 - β2ᵗ) / (1 - β1ᵗ) (Kingma and Ba 2015, end of section 2), as in
    ``MLPClassifier``. The moments are kept without their factors 1 - β, which the
    step puts back: two passes fewer over θ.
    """

    _kernel = staticmethod(kernels.adam)

    def __init__(self, constants: Constants, theta: Array, gradient: Array) -> None:
        self.beta_1, self.beta_2 = constants.beta_1, constants.beta_2
        root = math.sqrt(1 - self.beta_2)
        self._factor = (1 - float(self.beta_1)) / root
        epsilon = float(constants.epsilon) / root
        super().__init__(theta, gradient, 2, self.beta_1, self.beta_2, epsilon)

    def resume(
        self,
        n_steps: int,
        moments: Sequence[Array],
        betas: tuple[float, float] | None = None,
    ) -> None:
        """Go on from what ``n_steps`` and ``moments`` were, with those ``betas``."""
        super().resume(n_steps, moments)
        if betas is None:
            return
        for moment, now, then in zip(
            self.moments, (self.beta_1, self.beta_2), betas, strict=True
        ):
            if now != then:
                # The factor that the moments are kept without has changed.
                moment *= (1 - then) / (1 - now)

    def _rate_of_step(self, learning_rate: float | Array) -> float | Array:
        t = self.n_steps
        corrected = math.sqrt(1 - self.beta_2**t) / (1 - self.beta_1**t)
        return learning_rate * corrected * self._factor

    def _update(
        self, theta: Array, gradient: Array, first: Array, second: Array, scratch: Array
    ) -> Calls:
        beta_1, beta_2, epsilon = self.numbers
        yield np.multiply, first, beta_1, first
        yield np.add, first, gradient, first
        yield np.square, gradient, scratch
        yield np.multiply, second, beta_2, second
        yield np.add, second, scratch, second
        yield np.sqrt, second, scratch
        yield np.add, scratch, epsilon, scratch
        yield np.divide, first, scratch, scratch
        yield np.multiply, scratch, self._rate, scratch
        yield np.subtract, theta, scratch, theta


# Each is called with the constants, θ and its gradient.
OptimizerName = Literal["sgd", "adam"]
OPTIMIZERS: dict[OptimizerName, Callable[[Constants, Array, Array], Optimizer]] = {
    "sgd": SGD,
    "adam": Adam,
}


def _rate_of_each(theta: Array) -> Array:
    """Room for the learning rate of each network of a stack, or of one alone."""
    return np.zeros((*theta.shape[:-1], 1), theta.dtype)


def learning_rate_at(
    schedule: str,
    learning_rate: float,
    *,
    samples_seen: int,
    power_t: float,
    progress: float,
) -> float:
    """The learning rate of an epoch.

    - 'invscaling': ``learning_rate / (samples_seen + 1) ** power_t``;
    - 'cosine': ``learning_rate * (1 + cos(pi * progress)) / 2``, where ``progress``
      is the part of the epochs that is over (Loshchilov and Hutter 2017, equation 5);
    - 'constant' and 'adaptive': ``learning_rate`` (the plateaus of 'adaptive' have
      been divided out by the epoch loop).
    """
    if schedule == "invscaling":
        return learning_rate * math.pow(samples_seen + 1, -power_t)
    if schedule == "cosine":
        return learning_rate * ((1 + math.cos(math.pi * progress)) / 2)
    return learning_rate


def flush_subnormals(*vectors: Array) -> None:
    """Set to zero, in place, what has decayed below the smallest normal number.

    With L2, the weights and moments of dead units decay into the subnormal numbers,
    where arithmetic is many times slower.
    """
    for vector in vectors:
        run(_without_subnormals(vector))


def _without_subnormals(vector: Array) -> Calls:
    (tiny,) = numbers(vector, np.finfo(vector.dtype).tiny)
    for block, scratch in blocks_with_scratch(vector):
        yield np.abs, block, scratch
        yield np.greater_equal, scratch, tiny, scratch
        yield np.multiply, block, scratch, block


def _without_decayed(
    theta: Array, first: Array, last: Array, limits: tuple[float, ...]
) -> Calls:
    """What is on its way to the subnormal numbers, and those of θ and ``last``."""
    of_weights, of_gradients, _ = numbers(theta, *limits)
    of_blocks = blocks_with_scratch(theta, first)
    spare = np.empty((2, *of_blocks[0][0].shape), theta.dtype)
    for weights, moment, alive in of_blocks:
        sizes, larger = spare[..., : weights.shape[-1]]
        yield np.abs, moment, sizes
        yield np.greater_equal, sizes, of_weights, alive
        yield np.abs, weights, larger
        yield np.greater_equal, larger, of_weights, larger
        yield np.logical_or, alive, larger, alive
        yield np.multiply, weights, alive, weights
        yield np.greater_equal, sizes, of_gradients, sizes
        yield np.multiply, alive, sizes, alive
        yield np.multiply, moment, alive, moment
    yield from _without_subnormals(theta)
    yield from _without_subnormals(last)


# After so many epochs little of the mean can have become subnormal.
_FLUSH_EPOCHS = 32


class Mean:
    """Σ decay^age θ / Σ decay^age of the weights after each epoch.

    The newest has age 0.
    """

    def __init__(self, theta: Array, decay: float) -> None:
        self.decay = decay
        self._sum = np.zeros_like(theta)
        self._mass = 0.0
        self._age = 0
        self._newest = np.empty_like(theta)

    def add(self, theta: Array) -> None:
        """Take the weights after an epoch."""
        self._sum *= self.decay
        self._sum += theta
        self._mass = 1 + self.decay * self._mass
        self._age += 1
        if self._age % _FLUSH_EPOCHS == 0:
            # Of a weight that is zero by now it goes on to decay.
            flush_subnormals(self._sum)

    def show(self, theta: Array) -> None:
        """Put the mean in the place of the newest weights."""
        self._newest[...] = theta
        if self._mass:
            np.divide(self._sum, self._mass, out=theta)

    def hide(self, theta: Array) -> None:
        """Put the newest weights back."""
        theta[...] = self._newest


def limit_incoming_norms(layers: Sequence[Layer], max_norm: float) -> None:
    """W *= min(1, max_norm / ‖w‖) for the weights w that come into each unit.

    The max-norm constraint of Srivastava et al. (2014), section 5.1, in place.
    """
    for W, _ in layers:
        norms = np.sqrt(np.vecdot(W, W))
        if (norms > max_norm).any():
            W *= np.minimum(1, max_norm / norms)[..., np.newaxis]
