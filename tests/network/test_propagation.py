"""Forward and backward, line by line against the oracle."""

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
import reference
from hypothesis import given
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from strategies import ACTIVATIONS as NAMES
from strategies import flat, problems, random_problem, scaled_masks

from skreg._network import propagation as _network
from skreg._network.activations import ACTIVATIONS
from skreg._network.calls import run as run_calls
from skreg._network.propagation import (
    Hidden,
    LogitsError,
    Workspace,
    backward,
    bias_gradient,
    by_chunks,
    chunk_rows,
    forward,
    input_gradients,
    networks_at_once,
    of_all_rows,
    training_workspace,
)
from skreg._network.theta import Layout

HIDDEN = [(4,), (4, 3), (1, 2), (2, 5, 3), (3, 3, 3, 3)]
every_depth = pytest.mark.parametrize("hidden", HIDDEN, ids=str)
every_activation = pytest.mark.parametrize("activation", NAMES)
dropout_or_not = pytest.mark.parametrize("dropout", [False, True])


def open_workspace(units, n_samples, masks=None, axes=()):
    """One in which no two arrays share memory."""

    def empty(n_units):
        return np.full((*axes, n_units, n_samples), np.nan)

    hidden, start = [], 0
    for n_units in units[1:-1]:
        G, D = empty(n_units), None
        A = G
        if masks is not None:
            A, D = empty(n_units), masks[..., start : start + n_units, :]
        Z, dA, slope, dZ = (empty(n_units) for _ in range(4))
        zeros = np.zeros((n_units, n_samples))
        hidden.append(
            Hidden(Z=Z, G=G, D=D, A=A, dA=dA, slope=slope, dZ=dZ, zeros=zeros)
        )
        start += n_units
    Z, dZ = empty(units[-1]), empty(units[-1])
    ones = np.ones((n_samples, 1))
    return Workspace(tuple(hidden), Z=Z, dZ=dZ, ones=ones, matmul=np.matmul)


def dZ_of_the_logits(problem):
    """The oracle's last dZ, which a loss would write: weights × (A - Y)."""
    return reference_gradients(problem)[f"dZ{problem.n_layers}"]


def reference_gradients(problem):
    return reference.gradients(
        problem.X,
        problem.Y,
        problem.parameters,
        0.0,
        sample_weight=problem.sample_weight,
        **problem.settings,
    )


def run(problem, workspace):
    """The logits and the gradient θ of a pass forward and back."""
    layout = Layout(problem.units)
    layers = layout.layers(flat(problem.parameters))
    gradient = np.full(layout.n_parameters, np.nan)
    activation = ACTIVATIONS[problem.activation]
    run_calls(forward(problem.X, layers, activation, workspace))
    Z = workspace.Z.copy()
    workspace.dZ[...] = dZ_of_the_logits(problem) / problem.total_weight
    gradients = layout.layers(gradient)
    go_back(problem.X, layers, gradients, activation, workspace)
    return Z, gradient


def go_back(X, layers, gradients, activation, workspace):
    """From ``workspace.dZ``, which a loss would write with its db."""
    run_calls(bias_gradient(workspace.dZ, gradients[-1].b, workspace))
    run_calls(backward(X, layers, gradients, activation, workspace))


def workspaces_for(problem):
    masks = None if problem.masks is None else scaled_masks(problem)
    layout = Layout(problem.units)
    return (
        open_workspace(problem.units, problem.n_samples, masks),
        training_workspace(
            layout,
            ACTIVATIONS[problem.activation],
            problem.n_samples,
            float,
            masks=masks,
        ),
    )


# Against the oracle ------------------------------------------------------------------


@every_depth
@every_activation
@dropout_or_not
def test_every_array_of_a_pass(hidden, activation, dropout):
    """In a workspace that keeps them all."""
    problem = random_problem(hidden=hidden, activation=activation, dropout=dropout)
    workspace, _ = workspaces_for(problem)
    Z, gradient = run(problem, workspace)
    cache = reference.forward(problem.X, problem.parameters, **problem.settings)
    expected = reference_gradients(problem)
    tolerance = {"rtol": 1e-11, "atol": 1e-14}
    assert_allclose(Z, cache[f"Z{problem.n_layers}"], **tolerance)
    total = problem.total_weight
    for i, layer in enumerate(workspace.hidden, start=1):
        assert_allclose(layer.Z, cache[f"Z{i}"], **tolerance)
        g = reference.activate(cache[f"Z{i}"], activation)
        assert_allclose(layer.G, g, **tolerance)
        assert_allclose(layer.A, cache[f"A{i}"], **tolerance)
        assert_allclose(layer.dA, expected[f"dA{i}"] / total, **tolerance)
        slope = reference.activation_derivative(cache[f"Z{i}"], activation)
        assert_allclose(layer.slope, slope, **tolerance)
        assert_allclose(layer.dZ, expected[f"dZ{i}"] / total, **tolerance)
    assert_allclose(gradient, flat(expected, prefix="d"), **tolerance)


@given(problems())
def test_both_workspaces_give_the_same(problem):
    """Sharing memory changes no result."""
    (Z, gradient), (lean_Z, lean_gradient) = (
        run(problem, workspace) for workspace in workspaces_for(problem)
    )
    assert_allclose(lean_Z, Z, rtol=0, atol=1e-14)
    assert_allclose(lean_gradient, gradient, rtol=0, atol=1e-13)
    cache = reference.forward(problem.X, problem.parameters, **problem.settings)
    assert_allclose(Z, cache[f"Z{problem.n_layers}"], rtol=0, atol=1e-13)
    expected = flat(reference_gradients(problem), prefix="d")
    assert_allclose(gradient, expected, rtol=0, atol=1e-12)


@every_activation
@dropout_or_not
@pytest.mark.parametrize("lean", [False, True])
@pytest.mark.parametrize("own_rows", [False, True])
def test_a_stack_of_networks_equals_single_ones(activation, dropout, lean, own_rows):
    singles = [
        random_problem(seed, activation=activation, dropout=dropout)
        for seed in range(3)
    ]
    layout = Layout(singles[0].units)
    masks = None
    if dropout:
        masks = np.stack([scaled_masks(single) for single in singles])
    X = np.stack([single.X for single in singles]) if own_rows else singles[0].X
    g = ACTIVATIONS[activation]
    if lean:
        workspace = training_workspace(layout, g, 9, float, axes=(3,), masks=masks)
    else:
        workspace = open_workspace(layout.units, 9, masks, axes=(3,))
    theta = np.stack([flat(single.parameters) for single in singles])
    gradient = np.full_like(theta, np.nan)
    layers, gradients = layout.layers(theta), layout.layers(gradient)
    run_calls(forward(X, layers, g, workspace))
    logits = workspace.Z.copy()
    dZ = np.random.default_rng(0).normal(size=logits.shape)
    workspace.dZ[...] = dZ
    go_back(X, layers, gradients, g, workspace)
    assert logits.shape == (3, 1, 9)
    for s, single in enumerate(singles):
        own_X = X[s] if own_rows else X
        alone, _ = workspaces_for(single)
        own_layers, own_gradient = layout.layers(theta[s]), np.empty_like(theta[s])
        run_calls(forward(own_X, own_layers, g, alone))
        assert_allclose(logits[s], alone.Z, rtol=1e-12, atol=1e-15)
        alone.dZ[...] = dZ[s]
        own_gradients = layout.layers(own_gradient)
        go_back(own_X, own_layers, own_gradients, g, alone)
        assert_allclose(gradient[s], own_gradient, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("n_columns", [5, 500])
@every_activation
def test_a_sparse_table_gives_what_the_dense_one_does(n_columns, activation):
    """With more values than columns, and with fewer."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(12, n_columns))
    X[rng.uniform(size=X.shape) > 0.05 + 0.2 * (n_columns == 5)] = 0
    X = sparse.csr_array(X)
    assert (X.nnz >= n_columns) == (n_columns == 5)
    layout, g = Layout((n_columns, 4, 3, 2)), ACTIVATIONS[activation]
    layers = layout.layers(rng.normal(size=layout.n_parameters))
    dZ = rng.normal(size=(2, 12))
    found = []
    for table in (X.T, X.toarray().T):
        workspace = training_workspace(layout, g, 12, float)
        gradient = np.full(layout.n_parameters, np.nan)
        run_calls(forward(table, layers, g, workspace))
        Z = workspace.Z.copy()
        workspace.dZ[...] = dZ
        go_back(table, layers, layout.layers(gradient), g, workspace)
        found.append((Z, gradient))
    for sparse_result, dense_result in zip(*found, strict=True):
        assert_allclose(sparse_result, dense_result, rtol=1e-12, atol=1e-14)


@dropout_or_not
def test_two_leading_axes(dropout):
    layout = Layout((3, 4, 2))
    rng = np.random.default_rng(0)
    theta, X = rng.normal(size=(2, 5, layout.n_parameters)), rng.normal(size=(3, 6))
    masks = rng.integers(2, size=(2, 5, 4, 6)) * 2.0 if dropout else None
    tanh = ACTIVATIONS["tanh"]
    workspace = training_workspace(layout, tanh, 6, float, axes=(2, 5), masks=masks)
    run_calls(forward(X, layout.layers(theta), tanh, workspace))
    logits = workspace.Z
    for index in np.ndindex(2, 5):
        (W1, b1), (W2, b2) = layout.layers(theta[index])
        A1 = np.tanh(W1 @ X + b1)
        if dropout:
            A1 = A1 * masks[index]
        assert_allclose(logits[index], W2 @ A1 + b2, rtol=1e-12, atol=1e-14)


def test_a_workspace_is_overwritten_by_the_next_batch():
    """Nothing of a pass is left in the results of the next."""
    problem = random_problem()
    _, workspace = workspaces_for(problem)
    expected = run(problem, workspace)
    for layer in workspace.hidden:
        for array in (layer.Z, layer.A, layer.dA, layer.slope):
            array.fill(np.nan)
    again = run(problem, workspace)
    for first, second in zip(expected, again, strict=True):
        assert_allclose(first, second, rtol=1e-12, atol=1e-15)


@dropout_or_not
@every_activation
def test_the_training_workspace_is_the_smallest(activation, dropout):
    """Two arrays a hidden layer; with dropout the mask and, for some, A as well."""
    layout = Layout((3, 4, 5, 2))
    masks = np.empty((9, 7)) if dropout else None
    g = ACTIVATIONS[activation]
    workspace = training_workspace(layout, g, 7, np.float32, masks=masks)
    own_A = dropout and not g.scale_free
    for layer, n_units in zip(workspace.hidden, (4, 5), strict=True):
        assert layer.Z is layer.G is layer.slope
        assert layer.dA is layer.dZ
        assert (layer.A is layer.G) is not own_A
        assert np.shares_memory(layer.A, layer.G) is not own_A
        assert layer.G.shape == layer.A.shape == layer.dA.shape == (n_units, 7)
        assert not np.shares_memory(layer.G, layer.dA)
        assert layer.G.dtype == layer.A.dtype == layer.dA.dtype == np.float32
        if dropout:
            assert np.shares_memory(layer.D, masks)
            assert layer.D.shape == (n_units, 7)
        else:
            assert layer.D is None
    assert not np.shares_memory(workspace.Z, workspace.dZ)
    assert_array_equal(workspace.ones, np.ones((7, 1)))


# Prediction, a chunk at a time -------------------------------------------------------


def one_pass(X, problem):
    settings = problem.settings | {"masks": None}
    cache = reference.forward(X, problem.parameters, **settings)
    return cache[f"Z{problem.n_layers}"]


@every_activation
@pytest.mark.parametrize(
    ("n_rows", "sizes"),
    [
        (1, [1]),
        (255, [255]),
        (256, [256]),
        (257, [256, 1]),
        # As many rows as there are outputs.
        (259, [256, 3]),
        (900, [256, 256, 256, 132]),
    ],
)
def test_chunks_of_logits_are_those_of_one_pass(activation, n_rows, sizes, monkeypatch):
    """However little memory there is, a chunk has up to 256 rows."""
    monkeypatch.setattr(_network, "WORKSPACE_BYTES", 1)
    problem = random_problem(kind="multiclass", activation=activation)
    layers = Layout(problem.units).layers(flat(problem.parameters))
    X = np.random.default_rng(0).normal(size=(n_rows, 3))
    expected = one_pass(X.T, problem)
    stop, found = 0, []
    for rows, work in by_chunks(X, layers, ACTIVATIONS[activation]):
        logits = work.Z
        assert rows.start == stop
        stop = rows.stop
        found.append(stop - rows.start)
        assert logits.shape == (3, found[-1])
        assert_allclose(logits, expected[:, rows], rtol=1e-11, atol=1e-14)
    assert found == sizes


def test_a_chunk_of_a_sparse_table_does_not_count_its_columns():
    layout = Layout((100_000, 10, 2))
    dense = np.empty((0, 100_000))
    assert chunk_rows(layout, dense) == 256
    assert chunk_rows(layout, sparse.csr_array((0, 100_000))) > 10_000


@pytest.mark.parametrize(
    ("units", "itemsize", "is_sparse", "n_networks", "expected"),
    [
        # 2²⁴ / (itemsize (6 · units · networks + inputs)), rounded down.
        ((30, 100, 50, 1), 8, False, 1, 2240),
        ((30, 100, 50, 1), 4, False, 1, 4481),
        ((30, 100, 50, 1), 8, True, 1, 2314),
        ((30, 100, 50, 1), 8, False, 2, 1138),
    ],
)
def test_how_many_rows_a_chunk_has(units, itemsize, is_sparse, n_networks, expected):
    X = np.empty((0, units[0]), dtype=f"f{itemsize}")
    X = sparse.csr_array(X) if is_sparse else X
    n_inputs = 0 if is_sparse else units[0]
    row = itemsize * (6 * sum(units[1:]) * n_networks + n_inputs)
    assert expected == 2**24 // row
    assert chunk_rows(Layout(units), X, n_networks) == expected


def test_chunks_are_cut_and_masked_as_the_network_asks(monkeypatch):
    layouts, dtypes = [], []

    def chunk_rows(layout, X):
        layouts.append(layout)
        return 300

    def fill_masks(D):
        dtypes.append(D.dtype)
        D.fill(1)

    monkeypatch.setattr(_network, "chunk_rows", chunk_rows)
    layout = Layout((3, 4, 5, 2))
    layers = layout.layers(np.zeros(layout.n_parameters, np.float32))
    X = np.zeros((700, 3), np.float32)
    chunks = by_chunks(X, layers, ACTIVATIONS["relu"], fill_masks=fill_masks)
    assert [rows.stop - rows.start for rows, _ in chunks] == [300, 300, 100]
    assert layouts == [layout]
    assert set(dtypes) == {np.dtype(np.float32)}


@pytest.mark.parametrize("n_outputs", [1, 2, 3])
def test_below_one_unit_the_outer_product_is_made_elementwise(n_outputs):
    layout, relu = Layout((3, 4, n_outputs)), ACTIVATIONS["relu"]
    layers = layout.layers(np.ones(layout.n_parameters))
    gradients = layout.layers(np.ones(layout.n_parameters))
    work = training_workspace(layout, relu, 5, float)
    calls = backward(np.ones((3, 5)), layers, gradients, relu, work)
    functions = [function for function, *_ in calls]
    assert functions[1] is (np.multiply if n_outputs == 1 else np.dot)


@pytest.mark.parametrize(
    ("n_values", "few"), [(999, True), (1000, False), (1001, False)]
)
def test_of_a_sparse_batch_with_few_values_few_columns_are_multiplied(n_values, few):
    """A product of the size of all columns is made only where they may have values."""
    n_columns, n_rows, n_units = 1000, 20, 50
    rng = np.random.default_rng(0)
    places = rng.choice(n_columns * n_rows, n_values, replace=False)
    places[:] = places // n_columns * n_columns + places % 40 if few else places
    rows, columns = np.divmod(np.unique(places), n_columns)
    values = np.resize(np.arange(1.0, 9.0), len(rows))
    table = sparse.csr_array((values, (rows, columns)), shape=(n_rows, n_columns))
    dZT, out = rng.normal(size=(n_rows, n_units)), np.full((n_columns, n_units), np.nan)
    tracemalloc.start()
    _network._sparse_matmul_transposed(table.T, dZT, out)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert_allclose(out, table.toarray().T @ dZT, rtol=1e-12, atol=1e-12)
    assert (peak < out.nbytes / 2) == few


@pytest.mark.parametrize("m", [1, 7, 8, 9, 16, 29])
@pytest.mark.parametrize("whole", [np.array, np.asfortranarray])
def test_a_product_of_few_rows_is_made_of_ones_that_stay_on_a_thread(
    m, whole, monkeypatch
):
    monkeypatch.setattr(_network, "_ON_THIS_THREAD", 8 * 15)
    monkeypatch.setattr(_network, "_FEWEST_COLUMNS", 8)
    rng, sizes = np.random.default_rng(0), []
    for name in ("dot", "matmul"):
        product = getattr(np, name)

        def noted(W, A, out, product=product):
            sizes.append(W.size * A.shape[-1])
            return product(W, A, out)

        monkeypatch.setattr(np, name, noted)
    W, A, out = rng.normal(size=(5, 3)), rng.normal(size=(3, m)), np.empty((5, m))
    _network._matmul_on_this_thread(W, whole(A), out)
    assert_allclose(out, (W[..., np.newaxis] * A).sum(axis=1), rtol=1e-13, atol=1e-14)
    assert max(sizes) <= 8 * 15
    # Parts of fewer columns would take longer than the whole.
    monkeypatch.setattr(_network, "_FEWEST_COLUMNS", 9)
    sizes.clear()
    _network._matmul_on_this_thread(W, whole(A), out)
    assert sizes == [15 * m]


@pytest.mark.parametrize(
    ("n_rows", "by_parts"), [(1, False), (4, False), (5, True), (20, True), (21, False)]
)
def test_many_rows_are_worth_all_threads(n_rows, by_parts, monkeypatch):
    """And products that are small anyway need no parts."""
    monkeypatch.setattr(_network, "_ON_THIS_THREAD", 4 * 15)
    monkeypatch.setattr(_network, "_FEW_ROWS", 20)
    layout = Layout((3, 5, 2))
    layers = layout.layers(np.ones(layout.n_parameters))
    ((_, work),) = by_chunks(np.ones((n_rows, 3)), layers, ACTIVATIONS["relu"])
    assert (work.matmul is _network._matmul_on_this_thread) == by_parts
    assert_allclose(work.Z, 21)


def test_the_rows_of_a_small_network_are_one_chunk():
    problem = random_problem()
    layers = Layout(problem.units).layers(flat(problem.parameters))
    ((rows, _),) = by_chunks(np.zeros((900, 3)), layers, ACTIVATIONS["relu"])
    assert rows == slice(0, 900)


def test_logits_keep_the_dtype_of_the_weights():
    problem = random_problem()
    layers = Layout(problem.units).layers(flat(problem.parameters).astype(np.float32))
    X = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    ((rows, work),) = by_chunks(X, layers, ACTIVATIONS["relu"])
    logits = work.Z
    assert rows == slice(0, 5)
    assert logits.dtype == np.float32
    assert_allclose(logits, one_pass(X.T, problem), rtol=1e-4, atol=1e-5)


def test_chunks_are_passed_with_the_masks_and_the_inputs_that_they_are_given(
    monkeypatch,
):
    """A mask of 0.5 everywhere halves the weights above; inputs can be doubled."""
    monkeypatch.setattr(_network, "WORKSPACE_BYTES", 1)
    problem = random_problem(kind="multiclass", hidden=(4, 2))
    layers = Layout(problem.units).layers(flat(problem.parameters))
    X, shapes = np.random.default_rng(0).normal(size=(600, 3)), []

    def fill_masks(D):
        shapes.append(D.shape)
        D.fill(0.5)

    expected = X.T * 2
    for index, (W, b) in enumerate(layers):
        expected = (W if index == 0 else 0.5 * W) @ expected + b
        if index < len(layers) - 1:
            expected = np.tanh(expected)
    found = [
        work.Z.copy()
        for _, work in by_chunks(
            X,
            layers,
            ACTIVATIONS["tanh"],
            fill_masks=fill_masks,
            drop_inputs=lambda chunk: 2 * chunk,
        )
    ]
    assert shapes == [(6, 256), (6, 256), (6, 88)]
    assert_allclose(np.concatenate(found, axis=1), expected, rtol=1e-12)


@pytest.mark.parametrize("n_rows", [1, 256, 600])
def test_what_is_made_of_the_chunks_comes_as_one_array(n_rows, monkeypatch):
    monkeypatch.setattr(_network, "WORKSPACE_BYTES", 1)
    problem = random_problem(kind="multiclass")
    layers = Layout(problem.units).layers(flat(problem.parameters))
    X = np.random.default_rng(0).normal(size=(n_rows, 3))

    def finish(workspace):
        return workspace.Z.T.astype(np.float32)

    found = of_all_rows(X, layers, ACTIVATIONS["relu"], finish)
    assert found.dtype == np.float32
    assert_allclose(found, one_pass(X.T, problem).T, rtol=1e-5)
    # Numbers that overflow are no news to whoever predicts.
    huge = np.where(X > 0, 1e308, -1e308)
    assert len(of_all_rows(huge, layers, ACTIVATIONS["relu"], finish)) == n_rows


@pytest.mark.parametrize("container", [np.array, sparse.csr_array])
def test_the_first_row_whose_logits_are_not_finite_is_named(container, monkeypatch):
    monkeypatch.setattr(_network, "WORKSPACE_BYTES", 1)
    layout = Layout((3, 2, 2))
    (W1, _), (W2, _) = layers = layout.layers(np.zeros(layout.n_parameters))
    W1[...], W2[...] = np.eye(2, 3), np.diag([1e10, 1])
    X = np.random.default_rng(0).normal(size=(900, 3))
    # Of the two logits one overflows; a row that is larger does not make one.
    X[500, 1], X[700, 0], X[700, 2], X[701, 0] = 1e305, 1e300, -2e300, 1e303
    chunks = by_chunks(container(X), layers, ACTIVATIONS["identity"])
    with np.errstate(all="ignore"), pytest.raises(LogitsError) as caught:
        list(chunks)
    assert str(caught.value) == (
        "The logits of row 700 of X, counted from 0, overflow float64: its largest "
        "magnitude is 2e+300. Scale X as the rows of fit were scaled, or leave the row "
        "out."
    )


def test_a_first_chunk_of_as_many_rows_as_columns_is_not_all(monkeypatch):
    monkeypatch.setattr(_network, "WORKSPACE_BYTES", 1)
    layout = Layout((256, 2, 1))
    theta, X = np.random.default_rng(0).normal(size=(2, 300, 256))
    layers = layout.layers(np.resize(theta, layout.n_parameters))
    found = of_all_rows(X, layers, ACTIVATIONS["tanh"], lambda work: work.Z.T.copy())
    (W1, b1), (W2, b2) = layers
    assert_allclose(found, (W2 @ np.tanh(W1 @ X.T + b1) + b2).T, rtol=1e-10)


@pytest.mark.parametrize("hidden", [(4,), (4, 3), (2, 5, 3)], ids=str)
def test_the_gradient_by_the_inputs_is_that_of_finite_differences(hidden):
    problem = random_problem(kind="multiclass", hidden=hidden, activation="tanh")
    layout = Layout(problem.units)
    layers = layout.layers(flat(problem.parameters))
    X, tanh = np.random.default_rng(0).normal(size=(3, 5)), ACTIVATIONS["tanh"]

    def logits(X):
        work = training_workspace(layout, tanh, 5, float)
        run_calls(forward(X, layers, tanh, work))
        return work

    found = input_gradients(layers, tanh, logits(X), [2, 0])
    assert found.shape == (2, 3, 5)
    for column in range(3):
        step = np.zeros_like(X)
        step[column] = 1e-6
        by_column = (logits(X + step).Z - logits(X - step).Z) / 2e-6
        assert_allclose(found[:, column], by_column[[2, 0]], atol=1e-8)

    layers = layout.layers(flat(problem.parameters).astype(np.float32))
    work = training_workspace(layout, tanh, 5, np.float32)
    run_calls(forward(X.astype(np.float32), layers, tanh, work))
    single = input_gradients(layers, tanh, work, [2, 0])
    assert single.dtype == np.float32
    assert_allclose(single, found, rtol=1e-4, atol=1e-5)


def test_any_order_of_memory_will_do():
    """X in C order, in Fortran order or a part of a table."""
    problem = random_problem()
    layers = Layout(problem.units).layers(flat(problem.parameters))
    table = np.random.default_rng(0).normal(size=(20, 6))
    for X in (
        table[:10, :3].copy(),
        np.asfortranarray(table[:10, :3]),
        table[::2, ::2],
    ):
        ((_, work),) = by_chunks(X, layers, ACTIVATIONS["relu"])
        logits = work.Z
        assert_allclose(logits, one_pass(X.T, problem), rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "units", [(1, 1, 1), (30, 100, 50, 1), (784, 500, 500, 10), (20_000, 100, 2)]
)
def test_the_memory_of_a_chunk_is_bounded(units, dtype):
    """Its rows, its workspace and its masks: below WORKSPACE_BYTES, or of 256 rows."""
    layout = Layout(units)
    X = np.empty((0, units[0]), dtype=dtype)
    n_rows = chunk_rows(layout, X)
    assert n_rows >= 256
    if n_rows > 256:
        n_rows = min(n_rows, 10_000)
        masks = np.zeros((sum(layout.hidden_units), n_rows), dtype=dtype)
        tanh = ACTIVATIONS["tanh"]
        workspace = training_workspace(layout, tanh, n_rows, dtype, masks=masks)
        arrays = [masks, workspace.Z, workspace.dZ]
        for layer in workspace.hidden:
            arrays += [layer.G, layer.A, layer.dA]
        arrays.append(max((layer.zeros for layer in workspace.hidden), key=len).base)
        # The integers that masks are drawn from, and which of them keep a unit.
        arrays += [masks.astype(np.uint16), masks.astype(bool)]
        used = sum(array.nbytes for array in arrays)
        used += n_rows * units[0] * np.dtype(dtype).itemsize
        assert used * chunk_rows(layout, X) / n_rows <= _network.WORKSPACE_BYTES


def test_a_chunk_uses_the_memory_that_it_may():
    """Not a tenth of it, which would make prediction slow."""
    layout = Layout((30, 100, 50, 1))
    n_rows = chunk_rows(layout, np.empty((0, 1)))
    assert n_rows * 8 * 30 < _network.WORKSPACE_BYTES
    assert n_rows * 8 * (30 + 4 * 151) > _network.WORKSPACE_BYTES / 2
    assert chunk_rows(layout, np.empty((0, 1), np.float32)) == pytest.approx(
        2 * n_rows, rel=1e-3
    )


# Stacks ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("units", "n_networks"),
    [((30, 100, 50, 1), 6), ((4, 10, 1), 450), ((3, 2, 2), 5000), ((50, 300, 9), 20)],
)
def test_a_chunk_of_a_stack_stays_in_the_memory_of_one(units, n_networks, dtype):
    layout, X = Layout(units), np.empty((0, units[0]), dtype=dtype)
    n_rows = chunk_rows(layout, X, n_networks)
    assert 1 <= n_rows <= chunk_rows(layout, X)
    axes = (n_networks,)
    tanh = ACTIVATIONS["tanh"]
    workspace = training_workspace(layout, tanh, n_rows, dtype, axes=axes)
    used = 3 * workspace.Z.nbytes
    used += sum(layer.G.nbytes + layer.dA.nbytes for layer in workspace.hidden)
    used += n_rows * sum(units) * np.dtype(dtype).itemsize
    assert used <= _network.WORKSPACE_BYTES
    # It is not so small either that Python's work comes to count.
    assert n_rows == 1 or used > _network.WORKSPACE_BYTES / 4


def test_a_stack_has_at_least_the_rows_of_one_in_all():
    """However large its networks are."""
    X = np.empty((0, 10))
    layout = Layout((10, 10_000, 1))
    assert chunk_rows(layout, X) == 256
    assert chunk_rows(layout, X, 1) == 256
    assert chunk_rows(layout, X, 4) == 64
    assert chunk_rows(layout, X, 300) == 1


@pytest.mark.parametrize(
    ("units", "n_samples", "dtype", "expected"),
    [
        # 5 · 2¹⁹ / (8 (4 · 151 · 200 + 6 · 8201)), rounded down, and so on.
        ((30, 100, 50, 1), 200, np.float64, 1),
        ((30, 100, 50, 1), 32, np.float64, 4),
        ((30, 100, 50, 1), 32, np.float32, 9),
        ((4, 10, 3), 16, np.float64, 246),
        ((4, 10, 3), 1, np.float32, 1191),
        ((784, 500, 10), 200, np.float32, 1),
        ((20_000, 100, 2), 1, np.float64, 1),
    ],
)
def test_how_many_networks_a_stack_may_have(units, n_samples, dtype, expected):
    layout = Layout(units)
    found = networks_at_once(layout, n_samples, dtype)
    n_parameters = sum(a * b + b for a, b in pairwise(units))
    n_numbers = 4 * sum(units[1:]) * n_samples + 6 * n_parameters
    size = np.dtype(dtype).itemsize * n_numbers
    assert found == max(1, 5 * 2**19 // size)
    assert found == expected
    assert _network.STACK_BYTES == 5 * 2**19


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_the_steps_of_a_stack_write_stays_below_the_stated_size(dtype):
    layout, n_samples = Layout((10, 30, 20, 2)), 50
    n_networks = networks_at_once(layout, n_samples, dtype)
    assert n_networks > 3
    axes = (n_networks,)
    masks = np.zeros((*axes, 50, n_samples), dtype)
    relu = ACTIVATIONS["relu"]
    workspace = training_workspace(
        layout, relu, n_samples, dtype, axes=axes, masks=masks
    )
    used = masks.nbytes + 3 * workspace.Z.nbytes
    used += sum(layer.G.nbytes + layer.dA.nbytes for layer in workspace.hidden)
    used += 6 * n_networks * layout.n_parameters * np.dtype(dtype).itemsize
    assert _network.STACK_BYTES / 3 < used <= _network.STACK_BYTES
