"""The estimator's parameters, checked; the random streams that spring from one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from skreg._optimizers import OPTIMIZERS

SOLVERS = {"lbfgs", *OPTIMIZERS}


def hidden_layers(sizes: int | ArrayLike) -> tuple[int, ...]:
    """``hidden_layer_sizes`` as a tuple of at least one positive int."""
    layers = _values(sizes)
    if not layers or not all(isinstance(n, Integral) and int(n) > 0 for n in layers):
        raise ValueError(
            f"hidden_layer_sizes={sizes!r}: give one positive integer for each hidden "
            "layer, and at least one, as in (100, 50)."
        )
    return tuple(int(n) for n in layers)


def keep_prob_by_layer(
    keep_prob: float | ArrayLike, hidden_units: tuple[int, ...]
) -> tuple[float, ...]:
    """``keep_prob`` of each hidden layer, in (0, 1]."""
    keep_probs = _one_or_each(
        keep_prob, len(hidden_units), "keep_prob", "hidden layers"
    )
    if not all(isinstance(p, Real) and 0 < float(p) <= 1 for p in keep_probs):
        raise ValueError(
            f"keep_prob={keep_prob!r}: each value is the probability of keeping a "
            "unit, a float above 0 and at most 1."
        )
    return tuple(float(p) for p in keep_probs)


def lambd_by_layer(lambd: float | ArrayLike, n_layers: int) -> tuple[float, ...]:
    """``lambd`` of each weight matrix, finite and at least 0."""
    lambds = _one_or_each(lambd, n_layers, "lambd", "weight matrices")
    if not all(isinstance(x, Real) and 0 <= float(x) < math.inf for x in lambds):
        raise ValueError(
            f"lambd={lambd!r}: each value is the strength of an L2 penalty, a finite "
            "float of at least 0."
        )
    return tuple(float(x) for x in lambds)


def _one_or_each(value: Any, n: int, name: str, of_what: str) -> list[Any]:
    """The value n times, or the n values that it has."""
    if isinstance(value, Real):
        return [value] * n
    values = _values(value)
    if len(values) != n:
        raise ValueError(
            f"{name}={value!r} has {len(values)} values, but there are {n} {of_what}: "
            "give one float, or one for each."
        )
    return values


def _values(value: Any) -> list[Any]:
    """The values of a sequence or array; what is nested stays nested."""
    if isinstance(value, np.ndarray):
        return list(np.atleast_1d(value))
    return list(value) if isinstance(value, Iterable) else [value]


def check_solver(settings: Any, keep_probs: Sequence[float]) -> None:
    if settings.solver != "lbfgs":
        return
    for name, value, off in (
        ("keep_prob", min(keep_probs), 1.0),
        ("input_keep_prob", settings.input_keep_prob, 1.0),
        ("max_norm", settings.max_norm, None),
    ):
        if value != off:
            raise ValueError(
                f"{name}={getattr(settings, name)!r} does not go with solver='lbfgs', "
                "which needs an objective that is smooth and the same at each "
                f"evaluation. Set {name}={off}, or solver='adam' or 'sgd'."
            )


class Streams(NamedTuple):
    """Independent random streams, and a seed for the validation split.

    ``keep_prob`` changes neither the initial weights nor the order of the rows.
    """

    weights: np.random.Generator
    order: np.random.Generator
    masks: np.random.BitGenerator
    input_masks: np.random.BitGenerator
    split_seed: int

    def state(self) -> dict[str, Any]:
        """What :meth:`restore` needs to go on from here."""
        return {
            "order": self.order.bit_generator.state,
            "masks": self.masks.state,
            "input_masks": self.input_masks.state,
            "split_seed": self.split_seed,
        }

    def restored(self, state: dict[str, Any]) -> Streams:
        """The streams as they were when :meth:`state` was taken."""
        self.order.bit_generator.state = state["order"]
        self.masks.state = state["masks"]
        self.input_masks.state = state["input_masks"]
        return self._replace(split_seed=state["split_seed"])


def random_streams(
    random_state: int | np.random.RandomState | None, samples_seen: int = 0
) -> Streams:
    """Streams from ``random_state``, others for a model that has seen samples.

    None takes fresh entropy and leaves numpy's global stream alone.
    """
    entropy: Any = random_state
    if isinstance(random_state, np.random.RandomState):
        entropy = random_state.randint(0, 2**32, size=4, dtype=np.uint32)
    elif random_state is not None and not (
        isinstance(random_state, Integral) and random_state >= 0
    ):
        raise ValueError(
            f"random_state={random_state!r}: give an int of at least 0, a "
            "numpy.random.RandomState, or None."
        )
    root = np.random.SeedSequence(entropy)
    split_seed = int(root.generate_state(1)[0])
    if samples_seen:
        root = np.random.SeedSequence(root.entropy, spawn_key=(samples_seen,))
    weights, order, masks, inputs = (np.random.SFC64(child) for child in root.spawn(4))
    return Streams(
        np.random.Generator(weights),
        np.random.Generator(order),
        masks,
        inputs,
        split_seed,
    )
