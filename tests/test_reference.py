"""The oracle itself, against what does not depend on it.

The golden data of the documents, central differences, exact decimal arithmetic, and
scikit-learn.
"""

import ast
import json
import math
from decimal import Decimal, localcontext
from pathlib import Path

import numpy as np
import pytest
import reference
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.metrics import log_loss
from sklearn.neural_network import MLPClassifier
from sklearn.neural_network._stochastic_optimizers import AdamOptimizer, SGDOptimizer

HERE = Path(__file__).parent
GOLDEN = json.loads((HERE / "data" / "documents.json").read_text(encoding="utf-8"))
ACTIVATIONS = ["identity", "logistic", "tanh", "relu"]
OUTPUTS = ["binary", "multilabel", "softmax"]


def test_the_oracle_is_independent():
    tree = ast.parse((HERE / "reference.py").read_text(encoding="utf-8"))
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module)
    assert imported == {"math", "numpy"}


# Problems ----------------------------------------------------------------------------


def make_problem(
    kind="binary", activation="relu", hidden=(5, 4), n=12, keep_prob=None, seed=0
):
    """A network and data of which no ReLU is near its kink.

    Each hidden unit's bias puts 0 in the middle of the widest gap between that unit's
    values over the samples, so that a small step in any parameter moves no value
    across 0.
    """
    rng = np.random.default_rng(seed)
    n_x, n_out = 3, 1 if kind == "binary" else 3
    X = rng.normal(size=(n_x, n))
    if kind == "softmax":
        classes = np.arange(n) % n_out
        Y = np.eye(n_out)[:, classes]
    else:
        Y = (rng.random((n_out, n)) < 0.5).astype(float)
        Y[:, :2] = [0, 1]

    masks = None
    if keep_prob is not None:
        masks = [
            (rng.random((n_h, n)) < keep).astype(float)
            for n_h, keep in zip(
                hidden, np.broadcast_to(keep_prob, len(hidden)), strict=True
            )
        ]
    parameters, sizes = {}, (n_x, *hidden, n_out)
    for layer in range(1, len(sizes)):
        shape = sizes[layer], sizes[layer - 1]
        parameters[f"W{layer}"] = rng.normal(size=shape) / math.sqrt(shape[1])
        parameters[f"b{layer}"] = rng.normal(size=(shape[0], 1))
    options = {
        "activation": activation,
        "output": "softmax" if kind == "softmax" else "logistic",
        "masks": masks,
        "keep_prob": 1.0 if keep_prob is None else keep_prob,
    }
    for layer in range(1, len(hidden) + 1):
        for unit in range(hidden[layer - 1]):
            Z = reference.forward(X, parameters, **options)[f"Z{layer}"][unit]
            ordered = np.sort(Z)
            widest = np.argmax(np.diff(ordered))
            middle = (ordered[widest] + ordered[widest + 1]) / 2
            parameters[f"b{layer}"][unit] -= middle
        Z = reference.forward(X, parameters, **options)[f"Z{layer}"]
        assert np.abs(Z).min() > 1e-3
    return X, Y, parameters, options


# The golden data ---------------------------------------------------------------------


def assert_same_entries(actual, expected):
    for name, value in expected.items():
        assert_allclose(actual[name], value, rtol=1e-12, atol=1e-12, err_msg=name)


def golden_inputs(case):
    inputs = case["inputs"]
    parameters = {name: np.array(v) for name, v in inputs["parameters"].items()}
    return np.array(inputs["X"]), np.array(inputs["Y"]), parameters


golden = pytest.mark.parametrize("case", GOLDEN, ids=lambda case: f"seed{case['seed']}")


@golden
def test_golden_l2(case):
    X, Y, parameters = golden_inputs(case)
    lambd, expected = case["inputs"]["lambd"], case["regularization"]
    cache = reference.forward(X, parameters)
    assert_same_entries(cache | parameters, expected["cache"])
    for J in (
        reference.cost(cache["A3"], Y, parameters, lambd),
        reference.cost_from_logits(cache["Z3"], Y, parameters, lambd),
        reference.objective(X, Y, parameters, lambd),
    ):
        assert pytest.approx(expected["cost"], rel=1e-12, abs=1e-12) == J
    gradients = reference.gradients(X, Y, parameters, lambd)
    assert set(gradients) == set(expected["gradients"])
    assert_same_entries(gradients, expected["gradients"])


@golden
def test_golden_dropout(case):
    X, Y, parameters = golden_inputs(case)
    keep_prob, expected = case["inputs"]["keep_prob"], case["dropout"]
    stream = np.random.RandomState(expected["numpy_seed"])
    D1, D2 = (
        (stream.rand(parameters[b].shape[0], X.shape[1]) < keep_prob).astype(int)
        for b in ("b1", "b2")
    )
    assert_array_equal(D1, expected["cache"]["D1"])
    assert_array_equal(D2, expected["cache"]["D2"])
    options = {"masks": [D1, D2], "keep_prob": keep_prob}
    cache = reference.forward(X, parameters, **options)
    assert_same_entries(cache | {"D1": D1, "D2": D2} | parameters, expected["cache"])
    gradients = reference.gradients(X, Y, parameters, 0.0, **options)
    assert set(gradients) == set(expected["gradients"])
    assert_same_entries(gradients, expected["gradients"])


# Loss --------------------------------------------------------------------------------


def exact_softplus(z):
    """log(1 + exp(z)) with 500 digits, then rounded."""
    with localcontext() as context:
        context.prec = 500
        return float((1 + Decimal(z).exp()).ln())


@pytest.mark.parametrize("z", [0.0, 1e-9, 0.5, 3.0, 20.0, 37.0, 40.0, 700.0, 1000.0])
def test_log_loss_from_logit_is_exact(z):
    for logit in (z, -z):
        zero = reference.log_loss_from_logit(logit, 0)
        one = reference.log_loss_from_logit(logit, 1)
        half = reference.log_loss_from_logit(logit, 0.5)
        assert_allclose(zero, exact_softplus(logit), rtol=1e-15)
        assert_allclose(one, exact_softplus(-logit), rtol=1e-15)
        assert_allclose(half, (zero + one) / 2, rtol=1e-15)


@pytest.mark.parametrize(
    "zs",
    [
        [0.0, 0.0, 0.0],
        [1.0, -2.0, 0.5],
        [30.0, -8.0, 1.5, 29.0],
        [1000.0, -1000.0, 0.0],
        [1000.0, 1000.0],
        [-1000.0, -999.0, -1040.0],
    ],
)
def test_softmax_log_loss_is_exact(zs):
    for k in range(len(zs)):
        with localcontext() as context:
            context.prec = 500
            exact = sum((Decimal(z) - Decimal(zs[k])).exp() for z in zs).ln()
        assert_allclose(reference.softmax_log_loss(zs, k), float(exact), rtol=1e-14)


def test_probabilities_at_extreme_logits():
    Z = np.array([[1000.0, -1000.0, 0.0, -40.0]])
    assert_array_equal(reference.sigmoid(Z)[0, :3], [1.0, 0.0, 0.5])
    assert_allclose(reference.sigmoid(Z)[0, 3], math.exp(-40), rtol=1e-15)
    A = reference.softmax(np.array([[1000.0, 0.0], [-1000.0, 0.0]]))
    assert_array_equal(A, [[1.0, 0.5], [0.0, 0.5]])


def test_cost_of_an_impossible_class_is_infinite_from_probabilities_only():
    parameters = {"W1": np.zeros((1, 1)), "b1": np.zeros((1, 1))}
    Z, Y = np.array([[-1000.0]]), np.ones((1, 1))
    assert reference.cost(reference.sigmoid(Z), Y, parameters, 0.0) == math.inf
    assert reference.cost_from_logits(Z, Y, parameters, 0.0) == 1000.0
    # A sample without weight does not count, not even with an infinite loss.
    A = np.array([[0.0, 0.5]])
    J = reference.cost(A, np.ones((1, 2)), parameters, 0.0, sample_weight=[0, 3])
    assert pytest.approx(math.log(2)) == J


def test_the_derivative_of_relu_at_its_kink_is_zero():
    Z = np.array([[-1.0, -0.0, 0.0, 1.0]])
    assert_array_equal(reference.activation_derivative(Z, "relu"), [[0, 0, 0, 1]])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", OUTPUTS)
def test_cost_agrees_with_scikit_learn_and_the_penalty_with_its_sum(kind, weighted):
    X, Y, parameters, options = make_problem(kind)
    weights = np.random.default_rng(1).uniform(0.1, 3, Y.shape[1]) if weighted else None
    total_weight = weights.sum() if weighted else Y.shape[1]
    A = reference.forward(X, parameters, **options)["A3"]
    if kind == "softmax":
        data = log_loss(Y.argmax(axis=0), A.T, sample_weight=weights)
    else:
        data = sum(
            log_loss(y, np.column_stack([1 - a, a]), sample_weight=weights)
            for y, a in zip(Y, A, strict=True)
        )
    lambds = [0.3, 0.7, 1.1]
    squares = [np.sum(parameters[f"W{layer}"] ** 2) for layer in (1, 2, 3)]
    expected = data + np.dot(lambds, squares) / (2 * total_weight)
    J = reference.cost(A, Y, parameters, lambds, weights, options["output"])
    assert_allclose(J, expected, rtol=1e-13)
    same = reference.objective(
        X, Y, parameters, lambds, sample_weight=weights, **options
    )
    assert_allclose(same, expected, rtol=1e-13)


# Gradients ---------------------------------------------------------------------------


def check_gradients(problem, lambd, sample_weight=None):
    X, Y, parameters, options = problem

    def J(theta):
        at_theta = reference.unflatten(theta, parameters)
        return reference.objective(
            X, Y, at_theta, lambd, sample_weight=sample_weight, **options
        )

    gradients = reference.gradients(
        X, Y, parameters, lambd, sample_weight=sample_weight, **options
    )
    actual = reference.flatten_gradients(gradients)
    expected = reference.central_difference(J, reference.flatten(parameters))
    error = np.linalg.norm(actual - expected)
    assert error < 1e-8 * np.linalg.norm(expected)


@pytest.mark.parametrize("keep_prob", [None, (0.6, 0.8)])
@pytest.mark.parametrize("kind", OUTPUTS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_agree_with_central_differences(activation, kind, keep_prob):
    problem = make_problem(kind, activation, keep_prob=keep_prob)
    n_samples = problem[0].shape[1]
    weights = np.random.default_rng(2).uniform(0.1, 3, n_samples)
    check_gradients(problem, 0.7, weights)


@pytest.mark.parametrize("keep_prob", [None, 0.7])
@pytest.mark.parametrize("hidden", [(4,), (5, 4), (4, 3, 3)])
def test_gradients_of_any_depth(hidden, keep_prob):
    problem = make_problem(hidden=hidden, keep_prob=keep_prob, seed=3)
    check_gradients(problem, [0.1 * (i + 1) for i in range(len(hidden) + 1)])


def test_a_layer_without_a_mask_has_no_dropout():
    X, Y, parameters, options = make_problem(keep_prob=(0.6, 0.8))
    D1, _ = options["masks"]
    ones = np.ones((4, X.shape[1]))
    some = options | {"masks": [D1, None]}
    same = options | {"masks": [D1, ones], "keep_prob": (0.6, 1.0)}
    without = options | {"masks": None}
    for function in (reference.forward, reference.gradients):
        inputs = (X, parameters)
        if function is reference.gradients:
            inputs = (X, Y, parameters, 0.5)
        assert_same_entries(function(*inputs, **some), function(*inputs, **same))
        none = {"activation": "relu", "output": "logistic"}
        assert_same_entries(function(*inputs, **without), function(*inputs, **none))


def test_a_weight_of_k_is_k_repetitions():
    X, Y, parameters, options = make_problem("softmax", keep_prob=(0.6, 0.8))
    counts = np.arange(X.shape[1]) % 4
    repeated = options | {"masks": [D.repeat(counts, 1) for D in options["masks"]]}
    X_rep, Y_rep = X.repeat(counts, 1), Y.repeat(counts, 1)
    weighted = reference.objective(
        X, Y, parameters, 0.7, sample_weight=counts, **options
    )
    expected = reference.objective(X_rep, Y_rep, parameters, 0.7, **repeated)
    assert_allclose(weighted, expected, rtol=1e-13)
    actual = reference.gradients(X, Y, parameters, 0.7, sample_weight=counts, **options)
    expected = reference.gradients(X_rep, Y_rep, parameters, 0.7, **repeated)
    assert_allclose(
        reference.flatten_gradients(actual),
        reference.flatten_gradients(expected),
        rtol=1e-12,
        atol=1e-15,
    )


@pytest.mark.parametrize("weighted", [False, True])
def test_minibatches_of_an_epoch_sum_to_the_gradient_of_the_whole(weighted):
    X, Y, parameters, options = make_problem("multilabel", keep_prob=(0.6, 0.8))
    n = X.shape[1]
    rng = np.random.default_rng(4)
    weights = rng.uniform(0.1, 3, n) if weighted else None
    order, total, start = rng.permutation(n), 0.0, 0
    for size in reference.near_equal_sizes(n, 5):
        rows = order[start : start + size]
        start += size
        batch = options | {"masks": [D[:, rows] for D in options["masks"]]}
        g = reference.minibatch_gradients(
            X, Y, parameters, 0.7, rows, sample_weight=weights, **batch
        )
        total = total + size / n * reference.flatten_gradients(g)
    whole = reference.gradients(X, Y, parameters, 0.7, sample_weight=weights, **options)
    assert_allclose(total, reference.flatten_gradients(whole), rtol=1e-12, atol=1e-15)


def test_minibatch_gradients_without_weights_are_those_of_the_batch_and_its_total():
    X, Y, parameters, options = make_problem(keep_prob=(0.6, 0.8))
    rows = [7, 2, 5]
    batch = options | {"masks": [D[:, rows] for D in options["masks"]]}
    actual = reference.minibatch_gradients(X, Y, parameters, 0.7, rows, **batch)
    expected = reference.gradients(
        X[:, rows], Y[:, rows], parameters, 0.7, total_weight=X.shape[1], **batch
    )
    assert set(actual) == set(expected)
    assert_same_entries(actual, expected)


def test_minibatch_gradients_by_hand():
    # One hidden unit with z = a = x, and a zero output weight: A = 1/2 everywhere.
    X, Y = np.array([[1.0, 2.0, 4.0]]), np.array([[1.0, 0.0, 1.0]])
    one, zero = np.ones((1, 1)), np.zeros((1, 1))
    parameters = {"W1": one, "b1": zero, "W2": zero, "b2": zero}
    g = reference.minibatch_gradients(
        X, Y, parameters, 0.8, [0, 1], sample_weight=[1.0, 2.0, 5.0]
    )
    # n = 3 and M = 8, so that v = 3/8, 6/8; dZ2 = -v/2, +v/2; dW1 = 0.8/8 only.
    assert_allclose(g["dZ2"], [[-3 / 16, 6 / 16]])
    assert_allclose(g["dW2"], [[(-3 / 16 + 2 * 6 / 16) / 2]])
    assert_allclose(g["db2"], [[(-3 / 16 + 6 / 16) / 2]])
    assert_allclose(g["dW1"], [[0.1]])
    assert_allclose(g["db1"], [[0.0]])


@pytest.mark.parametrize("kind", OUTPUTS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_step_agrees_with_scikit_learn(activation, kind):
    X, Y, parameters, options = make_problem(kind, activation)
    y = Y.argmax(axis=0) if kind == "softmax" else Y.T.astype(int)
    y = y.ravel() if kind == "binary" else y
    model = MLPClassifier(
        hidden_layer_sizes=(5, 4),
        activation=activation,
        solver="sgd",
        alpha=0.7,
        batch_size=X.shape[1],
        learning_rate_init=1.0,
        momentum=0.0,
        nesterovs_momentum=False,
        random_state=0,
    )
    model.partial_fit(X.T, y, classes=np.unique(y) if y.ndim == 1 else np.arange(3))
    for layer in range(1, 4):
        model.coefs_[layer - 1][:] = parameters[f"W{layer}"].T
        model.intercepts_[layer - 1][:] = parameters[f"b{layer}"].ravel()
    model.partial_fit(X.T, y)
    J = reference.objective(X, Y, parameters, 0.7, **options)
    assert_allclose(model.loss_, J, rtol=1e-10)
    gradients = reference.gradients(X, Y, parameters, 0.7, **options)
    for layer in range(1, 4):
        W = parameters[f"W{layer}"] - gradients[f"dW{layer}"]
        b = parameters[f"b{layer}"] - gradients[f"db{layer}"]
        assert_allclose(model.coefs_[layer - 1].T, W, rtol=1e-10, atol=1e-12)
        assert_allclose(model.intercepts_[layer - 1], b.ravel(), rtol=1e-10, atol=1e-12)


def test_central_difference_of_known_functions():
    theta = np.array([0.5, -1.5, 2.0])
    gradient = reference.central_difference(lambda t: float(np.sum(t**3)), theta)
    assert_allclose(gradient, 3 * theta**2, rtol=1e-8)
    assert_array_equal(theta, [0.5, -1.5, 2.0])


def test_flatten_and_back():
    _, _, parameters, _ = make_problem()
    theta = reference.flatten(parameters)
    assert theta.shape == (5 * 3 + 5 + 4 * 5 + 4 + 1 * 4 + 1,)
    back = reference.unflatten(theta, parameters)
    assert list(back) == list(parameters)
    for name, value in parameters.items():
        assert_array_equal(back[name], value)
        assert not np.shares_memory(back[name], theta)


@pytest.mark.parametrize(
    ("message", "change"),
    [
        ("activation", {"activation": "swish"}),
        ("output", {"output": "sigmoid"}),
        ("2 masks, got 1", {"masks": [None]}),
        ("2 values, got 3", {"keep_prob": (0.5, 0.5, 0.5)}),
        ("12 weights", {"sample_weight": np.ones(3)}),
        ("3 values, got 2", {"lambd": (0.1, 0.2)}),
    ],
)
def test_bad_arguments_raise(message, change):
    X, Y, parameters, options = make_problem()
    options = {"lambd": 0.5} | options | change
    for function in (reference.objective, reference.gradients):
        with pytest.raises(ValueError, match=message):
            function(X, Y, parameters, **options)


# Training ----------------------------------------------------------------------------


def test_gradient_descent_is_momentum_free_sgd_on_the_objective():
    X, Y, parameters, options = make_problem("softmax", "tanh", keep_prob=(0.6, 0.8))
    rng = np.random.default_rng(5)
    masks = [
        [(rng.random(D.shape) < 0.7).astype(int) for D in options["masks"]]
        for _ in range(6)
    ]
    before = {name: value.copy() for name, value in parameters.items()}
    weights = rng.uniform(0.1, 3, X.shape[1])
    new = reference.gradient_descent(
        X,
        Y,
        parameters,
        0.7,
        0.3,
        6,
        **options | {"masks": masks},
        sample_weight=weights,
    )

    def gradient(theta, step):
        def J(at):
            return reference.objective(
                X,
                Y,
                reference.unflatten(at, parameters),
                0.7,
                **options | {"masks": masks[step]},
                sample_weight=weights,
            )

        return reference.central_difference(J, theta, step=1e-5)

    start = reference.flatten(parameters)
    trajectory = reference.sgd_momentum(start, gradient, 0.3, momentum=0, n_steps=6)
    assert trajectory.shape == (7, start.size)
    assert_array_equal(trajectory[0], start)
    assert_allclose(reference.flatten(new), trajectory[-1], rtol=1e-7, atol=1e-9)
    for name, value in before.items():
        assert_array_equal(parameters[name], value)


def test_gradient_descent_lowers_the_cost():
    X, Y, parameters, _ = make_problem()
    costs = [
        reference.objective(
            X, Y, reference.gradient_descent(X, Y, parameters, 0.1, 0.1, n), 0.1
        )
        for n in (0, 10, 20, 40)
    ]
    assert costs[0] > costs[1] > costs[2] > costs[3]


def scikit_learn_trajectory(optimizer_class, theta, gradients, **options):
    params = [theta[:2].copy(), theta[2:].copy()]
    optimizer = optimizer_class(params, **options)
    trajectory = [theta]
    for g in gradients:
        optimizer.update_params(params, [g[:2], g[2:]])
        trajectory.append(np.concatenate(params))
    return np.array(trajectory)


@pytest.fixture
def descent():
    rng = np.random.default_rng(6)
    scales = np.array([1e-4, 1.0, 1e3, 1e-9, 0.0])
    return rng.normal(size=5), list(rng.normal(size=(50, 5)) * scales)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_agrees_with_scikit_learn(descent, momentum, nesterov):
    theta, gradients = descent
    expected = scikit_learn_trajectory(
        SGDOptimizer,
        theta,
        gradients,
        learning_rate_init=0.02,
        momentum=momentum,
        nesterov=nesterov,
    )
    rule = reference.nesterov if nesterov else reference.sgd_momentum
    actual = rule(theta, gradients, 0.02, momentum)
    assert_allclose(actual, expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(
    ("beta_1", "beta_2", "epsilon"), [(0.9, 0.999, 1e-8), (0.0, 0.5, 0.1)]
)
def test_adam_agrees_with_scikit_learn(descent, beta_1, beta_2, epsilon):
    theta, gradients = descent
    options = {"beta_1": beta_1, "beta_2": beta_2, "epsilon": epsilon}
    expected = scikit_learn_trajectory(
        AdamOptimizer, theta, gradients, learning_rate_init=0.02, **options
    )
    actual = reference.adam(theta, gradients, 0.02, **options)
    assert_allclose(actual, expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(
    "rule", [reference.sgd_momentum, reference.nesterov, reference.adam]
)
def test_a_gradient_function_is_the_list_of_its_values(rule):
    theta = np.array([1.0, -2.0])
    seen = []

    def gradient(at, step):
        assert step == len(seen)
        seen.append(2 * at + step)
        return seen[-1]

    rates = [0.1, 0.05, 0.02, 0.01]
    trajectory = rule(theta, gradient, rates, n_steps=4)
    assert_array_equal(trajectory, rule(theta, seen, rates))
    assert_array_equal(theta, [1.0, -2.0])
    with pytest.raises(ValueError, match="n_steps"):
        rule(theta, gradient, 0.1)


@pytest.mark.parametrize("schedule", ["constant", "invscaling"])
def test_learning_rates_agree_with_scikit_learn(schedule):
    optimizer = SGDOptimizer([], 0.5, schedule, power_t=0.3)
    expected = []
    for epoch in range(5):
        expected.append(optimizer.learning_rate)
        optimizer.iteration_ends(time_step=37 * (epoch + 1))
    rates = reference.learning_rates(schedule, 0.5, 5, 37, power_t=0.3)
    assert_allclose(rates, expected, rtol=1e-15)


def test_cosine_learning_rates():
    rates = reference.learning_rates("cosine", 0.2, 4, max_iter=4)
    root = math.sqrt(0.5)
    assert_allclose(rates, [0.2, 0.1 * (1 + root), 0.1, 0.1 * (1 - root)], rtol=1e-15)
    with pytest.raises(ValueError, match="linear"):
        reference.learning_rates("linear", 0.2, 4)


def test_near_equal_sizes():
    assert reference.near_equal_sizes(1001, 200) == [167] * 5 + [166]
    assert reference.near_equal_sizes(10, 20) == [10]
    for n in range(1, 40):
        for batch_size in range(1, 45):
            sizes = reference.near_equal_sizes(n, batch_size)
            assert sum(sizes) == n
            assert len(sizes) == math.ceil(n / batch_size)
            assert max(sizes) - min(sizes) <= 1
            assert 1 <= min(sizes) <= max(sizes) <= batch_size
