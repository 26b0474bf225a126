"""Networks and data for hypothesis, with ReLU's kink out of reach by construction."""

from dataclasses import dataclass, replace

import numpy as np
import reference
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

KINDS = ["binary", "multilabel", "multiclass"]
ACTIVATIONS = list(reference.ACTIVATIONS)

# No |Z| of a hidden ReLU layer is below it, whatever is drawn.
MARGIN = 0.02
SMALLEST_KEEP_PROB = 0.40625


@dataclass(frozen=True)
class Problem:
    """A network, its batch and its settings, in the conventions of `reference`."""

    kind: str
    activation: str
    X: np.ndarray
    Y: np.ndarray
    parameters: dict
    lambd: float
    sample_weight: np.ndarray
    keep_probs: tuple | None
    masks: list | None

    @property
    def units(self):
        sizes = [len(self.X)]
        sizes += [len(self.parameters[f"W{i + 1}"]) for i in range(self.n_layers)]
        return tuple(sizes)

    @property
    def n_layers(self):
        return reference.count_layers(self.parameters)

    @property
    def n_samples(self):
        return self.X.shape[1]

    @property
    def total_weight(self):
        return self.sample_weight.sum()

    @property
    def settings(self):
        """Keyword arguments of the functions of `reference`, but the weights."""
        return {
            "activation": self.activation,
            "output": "softmax" if self.kind == "multiclass" else "logistic",
            "masks": self.masks,
            "keep_prob": 1.0 if self.keep_probs is None else self.keep_probs,
        }

    def rounded(self, dtype):
        """The same problem, with every number rounded to dtype."""

        def round_(values):
            return values.astype(dtype).astype(float)

        parameters = {name: round_(value) for name, value in self.parameters.items()}
        return replace(self, X=round_(self.X), parameters=parameters)


def flat(parameters, prefix=""):
    """θ: W1ᵀ, W2ᵀ, … and then b1, b2, …, each row by row."""
    n_layers = sum(name.startswith(f"{prefix}W") for name in parameters)
    names = [f"{prefix}{letter}{i + 1}" for letter in "Wb" for i in range(n_layers)]
    return np.concatenate([np.ravel(np.transpose(parameters[name])) for name in names])


def scaled_masks(problem, dtype=np.float64):
    """D / keep_prob of all hidden layers, one below the other."""
    return np.concatenate(
        [
            np.asarray(D) / keep_prob
            for D, keep_prob in zip(problem.masks, problem.keep_probs, strict=True)
        ]
    ).astype(dtype)


def targets(kind, codes):
    """Y from integers: (n,) of classes, or (n_labels, n) of which the parity counts."""
    if kind == "multiclass":
        return np.eye(codes.max(initial=1) + 1)[:, codes]
    return np.atleast_2d(codes % 2).astype(float)


def shift_off_the_kink(Z, choice):
    """What to subtract from one unit's values, so that none is nearer to 0 than MARGIN.

    0 comes into the middle of a gap between the values, the widest for ``choice`` 0; or
    below or above them all.
    """
    ordered = np.sort(Z)
    widths = np.diff(ordered)
    gaps = [i for i in np.argsort(-widths) if widths[i] >= 3 * MARGIN]
    places = [(ordered[i] + ordered[i + 1]) / 2 for i in gaps]
    places += [ordered[0] - 2 * MARGIN, ordered[-1] + 2 * MARGIN]
    return places[choice % len(places)]


def construct(
    *,
    kind,
    activation,
    X,
    Y,
    weights,
    biases,
    choices,
    lambd,
    sample_weight,
    keep_probs=None,
    masks=None,
):
    """A problem at which central differences are exact to many digits.

    - The absolute values of each row of W sum to 1 at most, so that a change of A by ε
      changes no Z of the next layer by more than ε.
    - With ReLU, the bias of each hidden unit is chosen, with the masks applied, so that
      no |Z| of it is below MARGIN. With |X| at most 2, three hidden layers and
      1 / keep_prob at most 2.5, no |A2| is above 53, and a step h in one parameter
      moves no Z by more than 53 h.
    - The last layer's logits are between -1.5 and 1.5, and then the first of them is
      raised or lowered by 2, whichever takes its mean probability further away from
      its mean target. So the gradient never vanishes: with up to three classes, its
      part in the last bias is at least 0.05.
    """
    parameters = {}
    A = X
    for layer, (W, b) in enumerate(zip(weights, biases, strict=True), start=1):
        W = W / np.maximum(1, np.abs(W).sum(axis=1, keepdims=True))
        b = b.reshape(-1, 1).copy()
        Z = W @ A
        if layer < len(weights):
            if activation == "relu":
                for unit, choice in enumerate(choices[layer - 1]):
                    b[unit] = -shift_off_the_kink(Z[unit], choice)
            A = reference.activate(Z + b, activation)
            if masks is not None:
                A = A * masks[layer - 1] / keep_probs[layer - 1]
        else:
            W /= max(1, np.abs(Z).max())
            b /= 2
            Z = W @ A + b
            p = reference.softmax if kind == "multiclass" else reference.sigmoid
            raised, lowered = Z.copy(), Z.copy()
            raised[0] += 2
            lowered[0] -= 2
            target = np.average(Y[0], weights=sample_weight)
            above = np.average(p(raised)[0], weights=sample_weight) - target
            below = target - np.average(p(lowered)[0], weights=sample_weight)
            b[0] += 2 if above > below else -2
        parameters[f"W{layer}"], parameters[f"b{layer}"] = W, b
    return Problem(
        kind, activation, X, Y, parameters, lambd, sample_weight, keep_probs, masks
    )


def shapes_of(units):
    """The shape of each W, from the first layer to the last."""
    return list(zip(units[1:], units, strict=False))


def random_problem(
    seed=0,
    kind="binary",
    activation="relu",
    hidden=(4, 3),
    n_outputs=3,
    n_samples=9,
    lambd=0.7,
    dropout=True,
    weighted=True,
):
    """A problem from a seed, for the tests that hypothesis does not drive."""
    rng = np.random.default_rng(seed)
    n_x, n_outputs = 3, 1 if kind == "binary" else n_outputs
    if kind == "multiclass":
        codes = rng.permutation(np.arange(n_samples) % n_outputs)
    else:
        codes = rng.integers(2, size=(n_outputs, n_samples))
    keep_probs = masks = None
    if dropout:
        keep_probs = tuple(rng.uniform(SMALLEST_KEEP_PROB, 1, size=len(hidden)))
        masks = [
            (rng.random((n_h, n_samples)) < keep_prob).astype(float)
            for n_h, keep_prob in zip(hidden, keep_probs, strict=True)
        ]
    shapes = shapes_of((n_x, *hidden, n_outputs))
    return construct(
        kind=kind,
        activation=activation,
        X=rng.uniform(-2, 2, size=(n_x, n_samples)),
        Y=targets(kind, codes),
        weights=[rng.uniform(-1, 1, size=shape) for shape in shapes],
        biases=[rng.uniform(-1, 1, size=n_out) for n_out, _ in shapes],
        choices=[rng.integers(3, size=n_h) for n_h in hidden],
        lambd=lambd,
        sample_weight=rng.uniform(0.25, 4, n_samples)
        if weighted
        else np.ones(n_samples),
        keep_probs=keep_probs,
        masks=masks,
    )


def _floats(low, high):
    return st.floats(low, high, width=32, allow_subnormal=False)


def _arrays(shape, low, high):
    return hnp.arrays(float, shape, elements=_floats(low, high), fill=st.nothing())


@st.composite
def problems(draw, activations=ACTIVATIONS):
    """Sizes, weights, batch, lambd, keep_prob, activation, kind and sample weights."""
    kind = draw(st.sampled_from(KINDS))
    activation = draw(st.sampled_from(activations))
    n_x = draw(st.integers(1, 3))
    hidden = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    n_samples = draw(st.integers(1, 6))
    n_outputs = {"binary": 1, "multilabel": 2, "multiclass": 3}[kind]
    if kind == "multiclass":
        codes = draw(
            st.lists(st.integers(0, 2), min_size=n_samples, max_size=n_samples)
        )
        Y = np.eye(3)[:, codes]
    else:
        Y = draw(hnp.arrays(int, (n_outputs, n_samples), elements=st.integers(0, 1)))
    keep_probs = masks = None
    if draw(st.booleans()):
        keep_probs = tuple(
            draw(_floats(SMALLEST_KEEP_PROB, 1)) for _ in range(len(hidden))
        )
        masks = [
            draw(hnp.arrays(int, (n_h, n_samples), elements=st.integers(0, 1)))
            for n_h in hidden
        ]
    sample_weight = np.ones(n_samples)
    if draw(st.booleans()):
        sample_weight = draw(_arrays(n_samples, 0.25, 4))
    shapes = shapes_of((n_x, *hidden, n_outputs))
    return construct(
        kind=kind,
        activation=activation,
        X=draw(_arrays((n_x, n_samples), -2, 2)),
        Y=Y.astype(float),
        weights=[draw(_arrays(shape, -1, 1)) for shape in shapes],
        biases=[draw(_arrays(n_out, -1, 1)) for n_out, _ in shapes],
        choices=[
            draw(hnp.arrays(int, n_h, elements=st.integers(0, 3))) for n_h in hidden
        ],
        lambd=draw(_floats(0, 5)),
        sample_weight=sample_weight,
        keep_probs=keep_probs,
        masks=masks,
    )
