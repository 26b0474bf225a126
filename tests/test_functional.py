"""The documents' functions: their golden data, and everything the data leave open."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import reference
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.utils import check_random_state
from strategies import random_problem

from skreg import functional
from skreg.functional import (
    backward_propagation_with_dropout,
    backward_propagation_with_regularization,
    compute_cost,
    compute_cost_with_regularization,
    forward_propagation,
    forward_propagation_with_dropout,
)

DATA = Path(__file__).parent / "data" / "documents.json"
GOLDEN = json.loads(DATA.read_text(encoding="utf-8"))
CACHE = ["Z1", "A1", "W1", "b1", "Z2", "A2", "W2", "b2", "Z3", "A3", "W3", "b3"]
DROPOUT_CACHE = [*CACHE[:1], "D1", *CACHE[1:5], "D2", *CACHE[5:]]
GRADIENTS = [
    *("dZ3", "dW3", "db3"),
    *("dA2", "dZ2", "dW2", "db2"),
    *("dA1", "dZ1", "dW1", "db1"),
]
HIDDEN = [(), (4,), (4, 3), (2, 5, 3), (3, 2, 3, 2)]

golden = pytest.mark.parametrize("case", GOLDEN, ids=lambda case: f"seed{case['seed']}")
every_depth = pytest.mark.parametrize("hidden", HIDDEN, ids=str)
both_outputs = pytest.mark.parametrize("kind", ["binary", "multiclass"])


def read_only(array):
    array = np.array(array, dtype=float)
    array.flags.writeable = False
    return array


def golden_inputs(case):
    """Read-only: a function that writes into what it is given fails."""
    inputs = case["inputs"]
    parameters = {name: read_only(v) for name, v in inputs["parameters"].items()}
    return read_only(inputs["X"]), read_only(inputs["Y"]), parameters


def locked(cache):
    for entry in cache:
        entry.flags.writeable = False
    return cache


def assert_golden(actual, expected):
    assert set(actual) == set(expected)
    for name, value in expected.items():
        assert np.shape(actual[name]) == np.shape(value)
        assert_allclose(actual[name], value, rtol=1e-12, atol=1e-12, err_msg=name)


def network(kind="binary", hidden=(4, 3)):
    """A problem whose X, Y and parameters are read-only."""
    problem = random_problem(
        kind=kind, hidden=hidden, dropout=False, weighted=False, n_samples=9
    )
    for array in (problem.X, problem.Y, *problem.parameters.values()):
        array.flags.writeable = False
    return problem


def names_of_cache(n_layers, dropout):
    names = []
    for i in range(1, n_layers + 1):
        D = [f"D{i}"] if dropout and i < n_layers else []
        names += [f"Z{i}", *D, f"A{i}", f"W{i}", f"b{i}"]
    return names


# The golden data ---------------------------------------------------------------------


def test_there_are_eight_golden_cases():
    assert len(GOLDEN) == 8


@golden
def test_golden_l2(case):
    X, Y, parameters = golden_inputs(case)
    lambd, expected = case["inputs"]["lambd"], case["regularization"]
    A3, cache = forward_propagation(X, parameters)
    assert isinstance(cache, tuple)
    assert len(cache) == 12
    assert_golden(dict(zip(CACHE, cache, strict=True)), expected["cache"])
    assert_array_equal(A3, cache[9])
    cost = compute_cost_with_regularization(A3, Y, parameters, lambd)
    assert pytest.approx(expected["cost"], rel=1e-12, abs=1e-12) == cost
    gradients = backward_propagation_with_regularization(X, Y, locked(cache), lambd)
    assert list(gradients) == GRADIENTS
    assert_golden(gradients, expected["gradients"])


@golden
def test_golden_dropout(case):
    """An integer random_state gives the documents' own masks."""
    X, Y, parameters = golden_inputs(case)
    keep_prob, expected = case["inputs"]["keep_prob"], case["dropout"]
    A3, cache = forward_propagation_with_dropout(
        X, parameters, keep_prob=keep_prob, random_state=expected["numpy_seed"]
    )
    assert isinstance(cache, tuple)
    assert len(cache) == 14
    entries = dict(zip(DROPOUT_CACHE, cache, strict=True))
    assert_golden(entries, expected["cache"])
    for name in ("D1", "D2"):
        assert_array_equal(entries[name], expected["cache"][name])
        assert entries[name].dtype == int
    assert_array_equal(A3, entries["A3"])
    gradients = backward_propagation_with_dropout(X, Y, locked(cache), keep_prob)
    assert list(gradients) == GRADIENTS
    assert_golden(gradients, expected["gradients"])


@golden
def test_the_documents_backward_takes_the_documents_cache(case):
    """A cache need not come from here."""
    X, Y, _ = golden_inputs(case)
    for part, names, backward, setting in (
        ("regularization", CACHE, backward_propagation_with_regularization, "lambd"),
        ("dropout", DROPOUT_CACHE, backward_propagation_with_dropout, "keep_prob"),
    ):
        cache = tuple(np.array(case[part]["cache"][name]) for name in names)
        gradients = backward(X, Y, locked(cache), case["inputs"][setting])
        assert_golden(gradients, case[part]["gradients"])


# Other networks ----------------------------------------------------------------------


@every_depth
@both_outputs
def test_l2_with_any_number_of_layers(kind, hidden):
    """One row ends in a sigmoid, several in a softmax."""
    problem = network(kind, hidden)
    X, Y, parameters = problem.X, problem.Y, problem.parameters
    output = problem.settings["output"]
    AL, cache = forward_propagation(X, parameters)
    expected = reference.forward(X, parameters, output=output) | parameters
    names = names_of_cache(problem.n_layers, dropout=False)
    for name, entry in zip(names, cache, strict=True):
        assert_allclose(entry, expected[name], rtol=1e-12, atol=1e-14, err_msg=name)
    assert_array_equal(AL, cache[-3])
    if kind == "multiclass":
        assert_allclose(AL.sum(axis=0), 1)

    cost = compute_cost(AL, Y)
    assert isinstance(cost, float)
    exact = reference.cost(AL, Y, parameters, 0.0, output=output)
    assert pytest.approx(exact, rel=1e-13) == cost
    cost = compute_cost_with_regularization(AL, Y, parameters, 0.7)
    assert isinstance(cost, float)
    exact = reference.cost(AL, Y, parameters, 0.7, output=output)
    assert pytest.approx(exact, rel=1e-13) == cost

    gradients = backward_propagation_with_regularization(X, Y, locked(cache), 0.7)
    exact = reference.gradients(X, Y, parameters, 0.7, output=output)
    assert_same_gradients(gradients, exact, problem.n_layers)


@every_depth
@both_outputs
@pytest.mark.parametrize("keep_prob", [0.3, 0.5, 0.9, 1.0])
def test_dropout_with_any_number_of_layers(kind, hidden, keep_prob):
    problem = network(kind, hidden)
    X, Y, parameters = problem.X, problem.Y, problem.parameters
    stream = np.random.RandomState(7)
    masks = [stream.rand(n_units, 9) < keep_prob for n_units in hidden]
    settings = {
        "output": problem.settings["output"],
        "masks": masks,
        "keep_prob": keep_prob,
    }
    AL, cache = forward_propagation_with_dropout(X, parameters, keep_prob, 7)
    expected = reference.forward(X, parameters, **settings) | parameters
    expected |= {f"D{i}": D for i, D in enumerate(masks, start=1)}
    names = names_of_cache(problem.n_layers, dropout=True)
    for name, entry in zip(names, cache, strict=True):
        assert_allclose(entry, expected[name], rtol=1e-12, atol=1e-14, err_msg=name)
    assert_array_equal(AL, cache[-3])

    gradients = backward_propagation_with_dropout(X, Y, locked(cache), keep_prob)
    exact = reference.gradients(X, Y, parameters, 0.0, **settings)
    assert_same_gradients(gradients, exact, problem.n_layers)


def assert_same_gradients(gradients, exact, n_layers):
    names = []
    for i in range(n_layers, 0, -1):
        names += [f"dZ{i}", f"dW{i}", f"db{i}"] + ([f"dA{i - 1}"] if i > 1 else [])
    assert list(gradients) == names
    assert set(exact) == set(names)
    for name, value in gradients.items():
        assert_allclose(value, exact[name], rtol=1e-11, atol=1e-13, err_msg=name)


@both_outputs
def test_extreme_logits_give_probabilities_and_no_warning(kind):
    problem = network(kind)
    parameters = {name: 1e3 * value for name, value in problem.parameters.items()}
    A3, _ = forward_propagation(problem.X, parameters)
    assert ((A3 >= 0) & (A3 <= 1)).all()
    assert compute_cost(A3, problem.Y) > 0


# Costs -------------------------------------------------------------------------------


def test_costs_of_certain_probabilities():
    """0 log 0 is 0; a wrong certainty costs infinity, without a warning."""
    assert compute_cost([[0.0, 1.0]], [[0, 1]]) == 0
    assert compute_cost([[0.0, 1.0]], [[1, 1]]) == np.inf
    assert compute_cost([[0.0, 1.0]], [[0, 0]]) == np.inf
    certain = [[0.0, 1.0], [1.0, 0.0]]
    assert compute_cost(certain, [[0, 1], [1, 0]]) == 0
    assert compute_cost(certain, [[0, 0], [1, 1]]) == np.inf
    # Beside a certainty, the other samples count as ever.
    cost = compute_cost([[1.0, 0.5, 0.0, 0.25]], [[1, 1, 0, 0]])
    assert pytest.approx((np.log(2) - np.log(0.75)) / 4) == cost


def test_the_penalty_is_on_weights_alone():
    A, Y = [[0.5, 0.5, 0.5, 0.5]], [[0, 1, 1, 0]]
    parameters = {
        "W1": [[1.0], [2.0]],
        "b1": [[9.0], [9.0]],
        "W2": [[3, 4]],
        "b2": [[9]],
    }
    cost = compute_cost_with_regularization(A, Y, parameters, 0.8)
    assert pytest.approx(np.log(2) + 0.8 / (2 * 4) * (1 + 4 + 9 + 16)) == cost
    cost = compute_cost_with_regularization(A, Y, parameters, 0)
    assert pytest.approx(np.log(2)) == cost


# What goes in and what comes out -----------------------------------------------------


def all_results():
    """The caches and gradients of one network, without and with dropout."""
    problem = network("multiclass")
    X, Y, parameters = problem.X, problem.Y, problem.parameters
    A3, cache = forward_propagation(X, parameters)
    gradients = backward_propagation_with_regularization(X, Y, cache, 0.7)
    yield problem, (A3, *cache), gradients
    A3, cache = forward_propagation_with_dropout(X, parameters, 0.5, 0)
    yield problem, (A3, *cache), backward_propagation_with_dropout(X, Y, cache, 0.5)


def test_no_two_results_share_memory():
    """A user may change one in place. (A3 is in the cache, once.)"""
    for problem, (_, *cache), gradients in all_results():
        given = [problem.X, problem.Y]
        arrays = [*cache, *gradients.values(), *given]
        for i, one in enumerate(arrays):
            for other in arrays[:i]:
                assert not np.shares_memory(one, other)


def test_the_cache_is_left_as_it_was_by_backward():
    problem = network()
    X, Y = problem.X, problem.Y
    _, cache = forward_propagation(X, problem.parameters)
    copies = [entry.copy() for entry in cache]
    first = backward_propagation_with_regularization(X, Y, cache, 0.7)
    for entry, copy in zip(cache, copies, strict=True):
        assert_array_equal(entry, copy)
    again = backward_propagation_with_regularization(X, Y, cache, 0.7)
    for name, value in first.items():
        assert_array_equal(again[name], value)


def test_lists_integers_and_float32_will_do():
    """All is computed in float64."""
    X, Y = [[1, -2, 3], [0, 1, 1]], [[0, 1, 1]]
    lists = {"W1": [[1, -1], [2, 1]], "b1": [[1], [0]], "W2": [[1, -2]], "b2": [[0]]}
    exact = reference.forward(X, lists)["A2"]
    single = {name: np.array(value, dtype=np.float32) for name, value in lists.items()}
    for parameters in (lists, single):
        A2, cache = forward_propagation(X, parameters)
        assert_allclose(A2, exact, rtol=1e-14)
        assert {entry.dtype for entry in cache} == {np.dtype(float)}
        gradients = backward_propagation_with_regularization(X, Y, cache, 1)
        expected = reference.gradients(X, Y, lists, 1)
        for name, value in expected.items():
            assert gradients[name].dtype == float
            assert_allclose(gradients[name], value, rtol=1e-13, atol=1e-15)
        assert isinstance(compute_cost_with_regularization(A2, Y, parameters, 1), float)


def test_the_order_of_the_parameters_does_not_matter():
    problem = network()
    backwards = dict(reversed(problem.parameters.items()))
    A3, cache = forward_propagation(problem.X, problem.parameters)
    same_A3, same_cache = forward_propagation(problem.X, backwards)
    assert_array_equal(same_A3, A3)
    for entry, same in zip(cache, same_cache, strict=True):
        assert_array_equal(same, entry)
    cost = compute_cost_with_regularization(A3, problem.Y, problem.parameters, 2)
    assert cost == compute_cost_with_regularization(A3, problem.Y, backwards, 2)


def test_without_dropout_both_networks_are_the_same():
    problem = network()
    A3, cache = forward_propagation(problem.X, problem.parameters)
    kept, with_masks = forward_propagation_with_dropout(
        problem.X, problem.parameters, 1
    )
    assert_array_equal(kept, A3)
    entries = dict(zip(DROPOUT_CACHE, with_masks, strict=True))
    for name, entry in zip(CACHE, cache, strict=True):
        assert_array_equal(entries[name], entry)
    for name in ("D1", "D2"):
        assert_array_equal(entries[name], 1)


def test_the_default_keep_prob_is_the_documents():
    problem = network()
    half = forward_propagation_with_dropout(problem.X, problem.parameters, 0.5, 3)
    default = forward_propagation_with_dropout(
        problem.X, problem.parameters, random_state=3
    )
    for entry, same in zip(half[1], default[1], strict=True):
        assert_array_equal(same, entry)


def test_where_the_masks_come_from():
    """An integer, a RandomState that goes on, or numpy's global stream."""
    problem = network()

    def masks(random_state=None):
        _, cache = forward_propagation_with_dropout(
            problem.X, problem.parameters, 0.5, random_state
        )
        return np.vstack([cache[1], cache[6]])

    global_stream = check_random_state(None)
    before = global_stream.get_state()
    try:
        assert_array_equal(masks(5), masks(5))
        assert not np.array_equal(masks(5), masks(6))
        stream = np.random.RandomState(5)
        assert_array_equal(masks(stream), masks(5))
        assert not np.array_equal(masks(stream), masks(5))
        forward_propagation(problem.X, problem.parameters)
        assert repr(global_stream.get_state()) == repr(before)
        global_stream.set_state(np.random.RandomState(5).get_state())
        assert_array_equal(masks(), masks(5))
    finally:
        global_stream.set_state(before)


def test_the_public_names():
    assert set(functional.__all__) == {
        "backward_propagation_with_dropout",
        "backward_propagation_with_regularization",
        "compute_cost",
        "compute_cost_with_regularization",
        "forward_propagation",
        "forward_propagation_with_dropout",
    }


# Refusals ----------------------------------------------------------------------------


@pytest.mark.parametrize("keep_prob", [0, -0.1, 1.5, np.nan, np.inf])
def test_a_keep_prob_out_of_range_is_refused(keep_prob):
    problem = network()
    message = (
        rf"keep_prob={keep_prob!r}: it is the probability of keeping a unit, above"
    )
    with pytest.raises(ValueError, match=message):
        forward_propagation_with_dropout(problem.X, problem.parameters, keep_prob)
    _, cache = forward_propagation_with_dropout(problem.X, problem.parameters, 0.5, 0)
    with pytest.raises(ValueError, match=message):
        backward_propagation_with_dropout(problem.X, problem.Y, cache, keep_prob)


@pytest.mark.parametrize("value", [np.nan, -np.inf])
@pytest.mark.parametrize("name", ["X", "W2", "b1"])
def test_a_number_that_is_not_finite_is_named(name, value):
    shapes = {"W1": (2, 2), "b1": (2, 1), "W2": (1, 2), "b2": (1, 1)}
    arrays = {"X": np.ones((2, 3))} | {key: np.ones(of) for key, of in shapes.items()}
    arrays[name][0, 0] = value
    X = arrays.pop("X")
    with pytest.raises(ValueError, match=f"{name} has NaN or infinity"):
        forward_propagation(X, arrays)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_labels_that_are_not_finite_are_named(value):
    X, Y = np.ones((2, 3)), np.array([[0.0, 1.0, value]])
    A3, cache = forward_propagation(X, {"W1": np.ones((1, 2)), "b1": np.ones((1, 1))})
    with pytest.raises(ValueError, match="Y has NaN or infinity"):
        compute_cost(A3, Y)
    with pytest.raises(ValueError, match="Y has NaN or infinity"):
        backward_propagation_with_regularization(X, Y, cache, 0.1)


@pytest.mark.parametrize("lambd", [-1, -1e-300, np.nan, np.inf])
def test_a_lambd_out_of_range_is_refused(lambd):
    problem = network()
    message = rf"lambd={lambd!r}: it must be finite and at least 0"
    A3, cache = forward_propagation(problem.X, problem.parameters)
    with pytest.raises(ValueError, match=message):
        compute_cost_with_regularization(A3, problem.Y, problem.parameters, lambd)
    with pytest.raises(ValueError, match=message):
        backward_propagation_with_regularization(problem.X, problem.Y, cache, lambd)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("X", (9,), r"X has the shape \(9,\): give \(n_x, m\), samples in columns"),
        ("X", (1, 3, 9), r"X has the shape \(1, 3, 9\): give \(n_x, m\)"),
        ("X", (2, 9), r"W1 has the shape \(4, 3\) and b1 \(4, 1\): with 2 rows coming"),
        (
            "W1",
            (4, 2),
            r"W1 has the shape \(4, 2\) and b1 \(4, 1\): with 3 rows coming",
        ),
        ("W2", (3, 5), r"W2 .* \(3, 5\) .* with 4 rows coming in, give \(n, 4\)"),
        ("W2", (12,), r"W2 has the shape \(12,\)"),
        ("b2", (3,), r"W2 has the shape \(3, 4\) and b2 \(3,\): .* and \(n, 1\)"),
        ("b2", (4, 1), r"W2 has the shape \(3, 4\) and b2 \(4, 1\)"),
        ("b3", (1, 9), r"W3 has the shape \(1, 3\) and b3 \(1, 9\)"),
    ],
)
def test_shapes_that_do_not_fit_forward(name, shape, message):
    problem = network()
    given = {"X": problem.X, **problem.parameters, name: np.ones(shape)}
    X = given.pop("X")
    with pytest.raises(ValueError, match=message):
        forward_propagation(X, given)
    with pytest.raises(ValueError, match=message):
        forward_propagation_with_dropout(X, given, 0.5, 0)


def test_shapes_that_do_not_fit_a_cost():
    for A3, Y in (
        ([[0.5, 0.5]], [[1]]),
        ([[0.5, 0.5]], [1, 0]),
        ([0.5, 0.5], [1, 0]),
        ([[0.5, 0.5]], [[1], [0]]),
    ):
        shapes = f"{np.shape(A3)} and Y {np.shape(Y)}"
        message = f"A3 has the shape {shapes}: both must have the same"
        message = message.replace("(", r"\(").replace(")", r"\)")
        with pytest.raises(ValueError, match=message):
            compute_cost(A3, Y)
        with pytest.raises(ValueError, match=message):
            compute_cost_with_regularization(A3, Y, {"W1": [[1.0]], "b1": [[0.0]]}, 0.1)


def test_shapes_that_do_not_fit_backward():
    problem = network()
    X, Y = problem.X, problem.Y
    _, cache = forward_propagation(X, problem.parameters)
    _, with_masks = forward_propagation_with_dropout(X, problem.parameters, 0.5, 0)

    def refused(X, Y, message):
        with pytest.raises(ValueError, match=message):
            backward_propagation_with_regularization(X, Y, cache, 0.7)
        with pytest.raises(ValueError, match=message):
            backward_propagation_with_dropout(X, Y, with_masks, 0.5)

    refused(X, Y[:, :8], r"Y has the shape \(1, 8\), but A3 \(1, 9\): give the same")
    refused(X, Y[0], r"Y has the shape \(9,\), but A3 \(1, 9\)")
    refused(X, np.vstack([Y, Y]), r"Y has the shape \(2, 9\), but A3 \(1, 9\)")
    refused(X[:, :8], Y, r"X has the shape \(3, 8\), but W1 \(4, 3\) and A3 \(1, 9\)")
    refused(
        X[:2], Y, r"X has the shape \(2, 9\), but .* give the X of the forward pass"
    )


def test_the_cache_of_the_other_network_is_refused():
    problem = network()
    X, Y = problem.X, problem.Y
    _, cache = forward_propagation(X, problem.parameters)
    _, with_masks = forward_propagation_with_dropout(X, problem.parameters, 0.5, 0)
    message = "The cache has 14 entries: give that of forward_propagation, with 4"
    with pytest.raises(ValueError, match=message):
        backward_propagation_with_regularization(X, Y, with_masks, 0.7)
    message = "The cache has 12 entries: give that of forward_propagation_with_dropout"
    with pytest.raises(ValueError, match=message):
        backward_propagation_with_dropout(X, Y, cache, 0.5)


@pytest.mark.parametrize(
    ("left_out", "added"),
    [({"b2"}, {}), ({"W2"}, {}), ({"W1", "b1"}, {}), (set(), {"W4": 1, "a4": 1})],
)
def test_parameters_by_other_names_are_refused(left_out, added):
    problem = network()
    given = {k: v for k, v in problem.parameters.items() if k not in left_out} | added
    message = re.escape(f"parameters has the keys {sorted(given)}: give W1, b1, W2, b2")
    with pytest.raises(ValueError, match=message):
        forward_propagation(problem.X, given)
    with pytest.raises(ValueError, match=message):
        compute_cost_with_regularization([[0.5]], [[1]], given, 0.1)


def test_no_parameters_are_refused():
    with pytest.raises(ValueError, match=r"parameters has the keys \[\]: give W1, b1"):
        forward_propagation([[1.0]], {})


def test_a_cache_whose_entries_do_not_fit_is_refused():
    problem = network()
    X, Y = problem.X, problem.Y
    _, cache = forward_propagation(X, problem.parameters)
    _, with_masks = forward_propagation_with_dropout(X, problem.parameters, 0.5, 0)

    def with_entry(entries, index, entry):
        return (*entries[:index], entry, *entries[index + 1 :])

    def refused(entries, message):
        with pytest.raises(ValueError, match=message):
            backward_propagation_with_regularization(X, Y, entries, 0.7)

    refused((), "The cache is empty or has other entries than arrays")
    refused(with_entry(cache, 0, None), "The cache is empty or has other entries")
    # The weights of the second layer: too many units, then too many inputs.
    fit = "which does not fit the entries beside it"
    refused(
        with_entry(cache, 6, np.ones((5, 4))),
        rf"Entry 6 of the cache, W2, has the shape \(5, 4\), {fit}",
    )
    refused(
        with_entry(cache, 6, np.ones((3, 7))),
        rf"Entry 6 of the cache, W2, has the shape \(3, 7\), {fit}",
    )
    refused(
        with_entry(cache, 7, np.ones((1, 3))),
        r"b2 in the cache has the shape \(1, 3\)",
    )
    with pytest.raises(ValueError, match=r"b2 in the cache has the shape \(1, 3\)"):
        backward_propagation_with_dropout(
            X, Y, with_entry(with_masks, 9, np.ones((1, 3))), 0.5
        )
