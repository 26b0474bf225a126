"""Logits → loss, dZ and probabilities, against tables of exact values.

The tables were computed by mpmath with 80 digits from the float64 logits and rounded
to float64; an exact value below the smallest float64 stands as 0.
"""

import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal

from skreg._network.calls import run
from skreg._network.kernels import compiled as compiled_for
from skreg._network.loss import OUTPUTS, cross_entropy_of_probabilities

# (z, log1p(exp(z)), 1 / (1 + exp(-z)))
SIGMOID_TABLE = [
    (-1000.0, 0.0, 0.0),
    (-100.0, 3.720075976020836e-44, 3.720075976020836e-44),
    (-80.0, 1.8048513878454153e-35, 1.8048513878454153e-35),
    (-37.0, 8.533047625744066e-17, 8.533047625744065e-17),
    (-1.0, 0.3132616875182228, 0.2689414213699951),
    (-1e-08, 0.6931471755599453, 0.4999999975),
    (0.0, 0.6931471805599453, 0.5),
    (1e-08, 0.6931471855599454, 0.5000000025),
    (1.0, 1.3132616875182228, 0.7310585786300049),
    (37.0, 37.0, 0.9999999999999999),
    (80.0, 80.0, 1.0),
    (100.0, 100.0, 1.0),
    (1000.0, 1000.0, 1.0),
]
LOGITS, SOFTPLUS, SIGMOID = np.array(SIGMOID_TABLE).T

# (logits, -log p_k = log1p(Σ_(j ≠ k) exp(z_j - z_k)), p_k), k = 0, 1, 2
SOFTMAX_TABLE = [
    ((0.0, 0.0, 0.0), (1.0986122886681098,) * 3, (0.3333333333333333,) * 3),
    (
        (1.0, 0.0, -1.0),
        (0.4076059644443803, 1.4076059644443804, 2.40760596444438),
        (0.6652409557748219, 0.24472847105479764, 0.09003057317038046),
    ),
    (
        (1e-08, 0.0, -1e-08),
        (1.0986122786681096, 1.0986122886681098, 1.0986122986681097),
        (0.33333333666666665, 0.3333333333333333, 0.33333333),
    ),
    (
        (-1e-08, 0.0, 0.0),
        (1.0986122953347763, 1.0986122853347764, 1.0986122853347764),
        (0.33333333111111113, 0.33333333444444446, 0.33333333444444446),
    ),
    (
        (37.0, 0.0, -37.0),
        (8.533047625744066e-17, 37.0, 74.0),
        (0.9999999999999999, 8.533047625744065e-17, 7.281290178321643e-33),
    ),
    (
        (-37.0, 1.0, 1.0),
        (38.69314718055995, 0.6931471805599453, 0.6931471805599453),
        (1.5695663960240148e-17, 0.5, 0.5),
    ),
    (
        (100.0, -100.0, 0.0),
        (3.720075976020836e-44, 200.0, 100.0),
        (1.0, 1.3838965267367376e-87, 3.720075976020836e-44),
    ),
    (
        (80.0, 0.0, 79.0),
        (0.3132616875182228, 80.31326168751822, 1.3132616875182228),
        (0.7310585786300049, 1.3194520902366609e-35, 0.2689414213699951),
    ),
    ((1000.0, 0.0, -1000.0), (0.0, 1000.0, 2000.0), (1.0, 0.0, 0.0)),
    ((1000.0,) * 3, (1.0986122886681098,) * 3, (0.3333333333333333,) * 3),
    (
        (-1000.0, -1000.0, -1001.0),
        (0.8619948040582511, 0.8619948040582511, 1.861994804058251),
        (0.4223187982515182, 0.4223187982515182, 0.15536240349696362),
    ),
    (
        (1000.0, 963.0, 900.0),
        (8.533047625744066e-17, 37.0, 100.0),
        (0.9999999999999999, 8.533047625744065e-17, 3.7200759760208356e-44),
    ),
]
CLASS_LOGITS, MINUS_LOG_P, P = (
    np.array(column).T for column in zip(*SOFTMAX_TABLE, strict=True)
)

both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def tolerances(dtype, ulps=8):
    """A relative one, and an absolute one for what has no normal number in dtype."""
    return {"rtol": ulps * np.finfo(dtype).eps, "atol": 2 * np.finfo(dtype).tiny}


either = pytest.mark.parametrize("compiled", [False, True])


def evaluate(kind, Z, Y, *, compiled=False):
    """The losses and dZ. All else that `losses` writes starts as NaN."""
    if compiled:
        return by_kernel(OUTPUTS[kind].kernel, Z, Y)
    Z = Z.copy()
    dZ, scratch = np.full_like(Z, np.nan), np.full_like(Z, np.nan)
    out = np.full((*Z.shape[:-2], Z.shape[-1]), np.nan, dtype=Z.dtype)
    targets = np.array(Y, dtype=Z.dtype)
    targets.flags.writeable = False
    run(OUTPUTS[kind].losses(Z, targets, dZ, scratch, out))
    assert np.isfinite(out).all()
    assert np.isfinite(dZ).all()
    assert out.dtype == dZ.dtype == targets.dtype
    return out, dZ


def by_kernel(kernel, Z, Y):
    """What the kernel that stands for the lines writes; each sample is a network."""
    logits = Z.T[..., np.newaxis].copy()
    b, share = np.zeros_like(logits), np.ones((1, 1), Z.dtype)
    dZ, db = np.full_like(logits, np.nan), np.full_like(logits, np.nan)
    out = np.full(len(logits), np.nan, Z.dtype)
    targets = np.array(Y.T[..., np.newaxis], Z.dtype)
    compiled_for(Z.dtype.name)[kernel](logits, b, targets, share, dZ, db, out)
    assert_array_equal(db, dZ)
    return out, dZ[..., 0].T


def test_the_activation_of_the_last_layer():
    names = {kind: output.activation for kind, output in OUTPUTS.items()}
    assert names == {
        "binary": "logistic",
        "multilabel": "logistic",
        "multiclass": "softmax",
    }


# Sigmoid -----------------------------------------------------------------------------


@both_dtypes
@either
@pytest.mark.parametrize("kind", ["binary", "multilabel"])
@pytest.mark.parametrize("y", [0, 1])
def test_sigmoid_losses_at_extreme_logits(kind, y, compiled, dtype):
    """To a relative precision, however small: -log sigmoid(z) = softplus(-z)."""
    Z = LOGITS[np.newaxis].astype(dtype)
    losses, dZ = evaluate(kind, Z, np.full(Z.shape, y), compiled=compiled)
    assert_allclose(losses, SOFTPLUS[::-1] if y else SOFTPLUS, **tolerances(dtype))
    # A - Y has the precision of A, whose nearest neighbours are eps apart at 1.
    expected = -SIGMOID[::-1] if y else SIGMOID
    assert_allclose(dZ[0], expected, rtol=0, atol=2 * np.finfo(dtype).eps)


@both_dtypes
def test_binary_probabilities_at_extreme_logits(dtype):
    """Two rows: "not the class" and "the class"."""
    Z = LOGITS[np.newaxis].astype(dtype)
    output = OUTPUTS["binary"]
    probabilities, logs = output.probabilities(Z), output.log_probabilities(Z)
    assert probabilities.dtype == logs.dtype == dtype
    expected = np.stack([SIGMOID[::-1], SIGMOID])
    assert_allclose(probabilities, expected, **tolerances(dtype))
    expected = -np.stack([SOFTPLUS, SOFTPLUS[::-1]])
    assert_allclose(logs, expected, **tolerances(dtype))
    assert np.isfinite(logs).all()


@both_dtypes
@either
def test_multilabel_losses_and_probabilities_at_extreme_logits(compiled, dtype):
    """The loss of a sample is the sum over its labels."""
    Z = np.stack([LOGITS, np.roll(LOGITS, 3), LOGITS[::-1]]).astype(dtype)
    softplus = np.stack([SOFTPLUS, np.roll(SOFTPLUS, 3), SOFTPLUS[::-1]])
    minus = np.stack([SOFTPLUS[::-1], np.roll(SOFTPLUS[::-1], 3), SOFTPLUS])
    sigmoid = np.stack([SIGMOID, np.roll(SIGMOID, 3), SIGMOID[::-1]])
    Y = np.random.default_rng(0).integers(2, size=Z.shape)
    losses, dZ = evaluate("multilabel", Z, Y, compiled=compiled)
    expected = np.where(Y, minus, softplus).sum(axis=0)
    assert_allclose(losses, expected, **tolerances(dtype))
    assert_allclose(dZ, sigmoid - Y, rtol=0, atol=2 * np.finfo(dtype).eps)

    output = OUTPUTS["multilabel"]
    probabilities, logs = output.probabilities(Z), output.log_probabilities(Z)
    assert probabilities.dtype == logs.dtype == dtype
    assert_allclose(probabilities, sigmoid, **tolerances(dtype))
    assert_allclose(logs, -minus, **tolerances(dtype))
    assert np.isfinite(logs).all()


@pytest.mark.parametrize("shape", [(2, 4), (3, 1), (1, 1), (1, 2)], ids=str)
def test_every_label_of_every_sample_counts(shape):
    """However few of either there are: -log sigmoid(±z), summed over the labels."""
    rng = np.random.default_rng(0)
    Z, Y = rng.normal(size=shape), rng.integers(2, size=shape)
    losses, _ = evaluate("multilabel", Z, Y)
    of_labels = np.where(Y, np.log1p(np.exp(-Z)), np.log1p(np.exp(Z)))
    assert_allclose(losses, of_labels.sum(axis=0), rtol=1e-14)


# Softmax -----------------------------------------------------------------------------


@both_dtypes
@either
@pytest.mark.parametrize("k", [0, 1, 2])
def test_softmax_losses_at_extreme_logits(k, compiled, dtype):
    Z = CLASS_LOGITS.astype(dtype)
    Y = np.zeros(Z.shape)
    Y[k] = 1
    eps = np.finfo(dtype).eps
    losses, dZ = evaluate("multiclass", Z, Y, compiled=compiled)
    assert_allclose(losses, MINUS_LOG_P[k], rtol=8 * eps, atol=2 * eps)
    assert_allclose(dZ, P - Y, rtol=0, atol=2 * eps)


@both_dtypes
def test_softmax_probabilities_at_extreme_logits(dtype):
    Z = CLASS_LOGITS.astype(dtype)
    output = OUTPUTS["multiclass"]
    probabilities, logs = output.probabilities(Z), output.log_probabilities(Z)
    assert probabilities.dtype == logs.dtype == dtype
    eps = np.finfo(dtype).eps
    # A relative error ε of z is one of |z| ε of exp(z).
    assert_allclose(probabilities, P, rtol=128 * eps, atol=2 * np.finfo(dtype).tiny)
    assert_allclose(probabilities.sum(axis=0), 1, rtol=4 * eps)
    assert_allclose(logs, -MINUS_LOG_P, rtol=8 * eps, atol=2 * eps)
    assert np.isfinite(logs).all()


# All of them -------------------------------------------------------------------------


def random_targets(kind, shape, rng):
    if kind != "multiclass":
        return rng.integers(2, size=shape).astype(float)
    *lead, n_classes, n_samples = shape
    codes = rng.integers(n_classes, size=(*lead, 1, n_samples))
    return (codes == np.arange(n_classes)[:, np.newaxis]).astype(float)


KINDS = [("binary", 1), ("multilabel", 3), ("multiclass", 2), ("multiclass", 4)]
every_kind = pytest.mark.parametrize(("kind", "n_outputs"), KINDS)


@every_kind
@given(data=st.data())
def test_losses_and_gradients_are_those_of_the_oracle(kind, n_outputs, data):
    finite = st.floats(-1000, 1000)
    Z = data.draw(hnp.arrays(float, (n_outputs, 3), elements=finite))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**16)))
    Y = random_targets(kind, Z.shape, rng)
    losses, dZ = evaluate(kind, Z, Y)
    name = "softmax" if kind == "multiclass" else "logistic"
    expected = [
        reference.cross_entropy_from_logits(z, y, name)
        for z, y in zip(Z.T, Y.T, strict=True)
    ]
    assert_allclose(losses, expected, rtol=1e-14, atol=1e-15)
    A = reference.softmax(Z) if kind == "multiclass" else reference.sigmoid(Z)
    assert_allclose(dZ, A - Y, rtol=0, atol=1e-15)


@every_kind
def test_dZ_is_the_derivative_of_the_loss(kind, n_outputs):
    rng = np.random.default_rng(0)
    Z = rng.normal(scale=3, size=(n_outputs, 6))
    Y = random_targets(kind, Z.shape, rng)
    _, dZ = evaluate(kind, Z, Y)
    step = 1e-5
    for output in range(n_outputs):
        move = np.zeros_like(Z)
        move[output] = step
        above, _ = evaluate(kind, Z + move, Y)
        below, _ = evaluate(kind, Z - move, Y)
        assert_allclose(dZ[output], (above - below) / (2 * step), atol=1e-9)


@both_dtypes
@every_kind
def test_leading_axes_are_a_stack_of_networks(kind, n_outputs, dtype):
    """Each network has its logits; all of them may have the same targets."""
    rng = np.random.default_rng(1)
    Z = rng.normal(scale=5, size=(2, 3, n_outputs, 7)).astype(dtype)
    own = random_targets(kind, Z.shape, rng)
    eps = np.finfo(dtype).eps
    output = OUTPUTS[kind]
    for Y in (own, own[0, 0]):
        losses, dZ = evaluate(kind, Z, Y)
        for index in np.ndindex(2, 3):
            single = evaluate(kind, Z[index], np.broadcast_to(Y, Z.shape)[index])
            assert_allclose(losses[index], single[0], rtol=8 * eps, atol=4 * eps)
            assert_allclose(dZ[index], single[1], rtol=0, atol=4 * eps)
    for function in (output.probabilities, output.log_probabilities, output.decisions):
        stack = function(Z)
        for index in np.ndindex(2, 3):
            assert_allclose(stack[index], function(Z[index]), rtol=1e-6)


@every_kind
def test_prediction_leaves_the_logits_as_they_are(kind, n_outputs):
    Z = np.random.default_rng(0).normal(size=(n_outputs, 4))
    Z.flags.writeable = False
    output = OUTPUTS[kind]
    logs = output.log_probabilities(Z)
    assert_allclose(np.exp(logs), output.probabilities(Z), rtol=1e-13)
    output.decisions(Z)


def test_decisions():
    """The likelier class, the first where they are equal."""
    Z = np.array([[-2.0, 0.0, 1e-300, 3.0]])
    assert_array_equal(OUTPUTS["binary"].decisions(Z), [0, 0, 1, 1])
    labels = np.array([[-1.0, 0.0, 1.0], [2.0, -0.5, 0.5]])
    assert_array_equal(OUTPUTS["multilabel"].decisions(labels), [[0, 0, 1], [1, 0, 1]])
    classes = np.array([[1.0, 0.0, 5.0], [2.0, 0.0, 5.0], [0.0, -1.0, 7.0]])
    assert_array_equal(OUTPUTS["multiclass"].decisions(classes), [1, 0, 2])


# From probabilities ------------------------------------------------------------------


@pytest.mark.parametrize("n_outputs", [1, 2, 4])
def test_cross_entropy_of_probabilities(n_outputs):
    rng = np.random.default_rng(0)
    A = rng.dirichlet(np.ones(n_outputs + 1), size=8).T[:n_outputs]
    if n_outputs > 1:
        A /= A.sum(axis=0)
    kind, name = ("binary", "logistic") if n_outputs == 1 else ("multiclass", "softmax")
    Y = random_targets(kind, A.shape, rng)
    losses = cross_entropy_of_probabilities(A, Y)
    expected = [
        reference.cross_entropy(a, y, name) for a, y in zip(A.T, Y.T, strict=True)
    ]
    assert_allclose(losses, expected, rtol=1e-14)


def test_cross_entropy_of_certain_probabilities():
    """0 log 0 is 0; a wrong certainty costs infinity, without a warning."""
    A, Y = np.array([[0.0, 1.0, 0.0, 1.0]]), np.array([[0.0, 1.0, 1.0, 0.0]])
    assert_array_equal(cross_entropy_of_probabilities(A, Y), [0, 0, np.inf, np.inf])
    A, Y = np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([[0.0, 0.0], [1.0, 1.0]])
    assert_array_equal(cross_entropy_of_probabilities(A, Y), [0, np.inf])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_logarithms_are_finite_where_differences_of_logits_overflow(dtype):
    largest = np.finfo(dtype).max
    Z = np.array([[largest, 0], [-largest, 1], [0, largest]], dtype)
    with np.errstate(all="raise"):
        found = OUTPUTS["multiclass"].log_probabilities(Z)
    expected = [[0, -largest], [-largest, -largest], [-largest, 0]]
    np.testing.assert_array_equal(found, np.array(expected, dtype))
    assert found.dtype == dtype
