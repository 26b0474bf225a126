"""Each kernel beside the lines of numpy that it stands for."""

import builtins
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from helpers import constants, using
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import coo_array, csc_array, csr_array
from strategies import ACTIVATIONS as NAMES

from skreg import RegularizedMLPClassifier, compile_kernels
from skreg._network import kernels
from skreg._network.activations import ACTIVATIONS
from skreg._network.calls import either, run
from skreg._network.dropout import Masks
from skreg._network.kernels import KERNELS
from skreg._network.loss import OUTPUTS
from skreg._network.objective import Batch, Objective
from skreg._network.optimizers import OPTIMIZERS
from skreg._network.propagation import (
    _sparse_matmul,
    _sparse_matmul_transposed,
    backward,
    forward,
    training_workspace,
)
from skreg._network.theta import Layout
from skreg._training import compiling
from skreg._training.batches import Batches
from skreg._training.compiling import kernels_for, kernels_in_use
from skreg._training.problem import Problem
from skreg._training.rows import given_rows


@pytest.fixture
def anew():
    """Nothing is known of numba before and after."""
    known = kernels.compiled, kernels.compiled_or_not, kernels.setting
    before = os.environ.get(kernels.VARIABLE)
    for function in known:
        function.cache_clear()
    yield
    os.environ.pop(kernels.VARIABLE, None)
    if before is not None:
        os.environ[kernels.VARIABLE] = before
    for function in known:
        function.cache_clear()


def names_of(planned):
    return {getattr(call.func, "__name__", "") for call in planned}


# Against the lines -------------------------------------------------------------------


class Case:
    """A step of a network or a stack of random settings."""

    def __init__(self, data):
        draw = data.draw
        self.dtype = draw(st.sampled_from([np.float32, np.float64]))
        self.activation = draw(st.sampled_from(NAMES))
        self.kind = draw(st.sampled_from(sorted(OUTPUTS)))
        self.axes = draw(st.sampled_from([(), (1,), (4,)]))
        n_outputs = 1 if self.kind == "binary" else draw(st.integers(2, 4))
        hidden = draw(st.lists(st.integers(1, 9), min_size=1, max_size=3))
        self.layout = Layout((draw(st.integers(1, 7)), *hidden, n_outputs))
        self.m = draw(st.integers(1, 40))
        self.rng = np.random.default_rng(draw(st.integers(0, 2**32)))
        keep = st.sampled_from([0.3, 0.5, 0.8, 1.0])
        shape = (*self.axes, len(hidden))
        self.keep_probs = np.reshape(
            draw(st.lists(keep, min_size=int(np.prod(shape)), max_size=64))[
                : int(np.prod(shape))
            ],
            shape,
        )
        self.drops = draw(st.booleans())
        self.decay = self.rng.uniform(0, 2, (*self.axes, len(hidden) + 1))
        self.decay *= draw(st.sampled_from([0, 1]))
        self.solver = draw(st.sampled_from(["adam", "sgd"]))
        self.momentum = draw(st.sampled_from([0.0, 0.9]))
        self.nesterov = draw(st.booleans())
        self.theta = self.rng.normal(size=(*self.axes, self.layout.n_parameters))
        self.X = self.rng.normal(size=(self.layout.units[0], self.m))
        own = self.axes if draw(st.booleans()) else ()
        self.Y = self.rng.integers(2, size=(*own, n_outputs, self.m))
        if self.kind == "multiclass":
            codes = self.rng.integers(n_outputs, size=(*own, self.m))
            self.Y = np.eye(n_outputs)[codes].swapaxes(-1, -2)
        # Weights of each network are its own, or those of all.
        own = self.axes if draw(st.booleans()) else ()
        self.share = self.rng.uniform(0, 2, (*own, self.m)) / self.m
        # The rows of one batch among those gathered for several.
        self.has_gaps = draw(st.booleans())

    def __repr__(self):
        return str(vars(self))

    def steps(self, n_steps=3):
        """J, the gradient, θ and the moments after some steps, and what was called."""
        theta, masks = self.theta.astype(self.dtype), None
        if self.drops:
            bits = np.random.SFC64(0)
            units = self.layout.hidden_units
            masks = Masks(self.keep_probs, units, bits, self.dtype)
        objective = Objective(
            self.layout,
            ACTIVATIONS[self.activation],
            OUTPUTS[self.kind],
            theta,
            decay=self.decay,
            fill_masks=masks,
        )
        settings = constants(
            momentum=self.momentum,
            nesterovs_momentum=self.nesterov,
            beta_1=0.9,
            beta_2=0.999,
            # Where it is small, a gradient of rounding errors makes a whole step.
            epsilon=0.1,
        )
        optimizer = OPTIMIZERS[self.solver](settings, theta, objective.gradient)
        Y = self.Y.astype(self.dtype)
        if self.has_gaps:
            Y = np.concatenate([Y, Y], axis=-1)[..., : self.m]
        X, share = self.X.astype(self.dtype), self.share.astype(self.dtype)
        batch = Batch(X, Y, share, steady=True)
        J = []
        for _ in range(n_steps):
            J.append(objective([batch]))
            optimizer.step(0.01)
        optimizer.flush()
        ((_, planned, _),) = objective._plans.values()
        calls = names_of(
            [
                *planned,
                *objective._penalty_plan,
                *optimizer._plan,
                *optimizer._flush_plan,
            ]
        )
        return np.array(J), objective.gradient, theta, optimizer.moments, calls


@given(st.data())
def test_some_steps_are_those_of_the_lines(data):
    case = Case(data)
    with using("numpy"):
        *expected, lines = case.steps()
    with using("numba"):
        *found, calls = case.steps()
    wanted = {
        "softmax_loss" if case.kind == "multiclass" else "sigmoid_loss",
        "go_back",
        "flush",
        case.solver,
    }
    if case.activation in ("relu", "identity"):
        wanted.add("activate")
    if case.decay.any():
        wanted.add("penalise")
    assert wanted <= calls
    assert not {kernel.__name__ for kernel in KERNELS} & lines
    tolerance = 1e3 * np.finfo(case.dtype).eps
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        atol = tolerance * max(1, np.abs(other).max())
        assert_allclose(one, other, rtol=tolerance, atol=atol)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("masked", [False, True])
def test_activations_of_numbers_are_those_of_the_lines_to_the_bit(masked, dtype):
    """A sum, a choice and a product are rounded alike: predictions do not change."""
    rng = np.random.default_rng(0)
    Z, b = rng.normal(size=(2, 5, 33)).astype(dtype), rng.normal(size=(2, 5, 1))
    D = np.empty((0, 0, 0), dtype)
    if masked:
        D = (rng.random((5, 2, 33)) < 0.5).astype(dtype) / dtype(0.3)
    b, which = b.astype(dtype), np.array([1, 0])
    for name in ("relu", "identity"):
        activation, A = ACTIVATIONS[name], Z + b
        run(activation.apply(A, A, np.zeros_like(A)))
        if masked:
            A *= D.swapaxes(0, 1)[which]
        found = Z.copy()
        compiled_of(dtype)[kernels.activate](found, b, D, which, activation.number)
        assert_array_equal(found, A)


def test_networks_of_a_stack_may_share_a_mask_that_has_no_axis_of_theirs():
    rng, relu = np.random.default_rng(0), ACTIVATIONS["relu"]
    layout, X, found = Layout((3, 4, 2)), rng.normal(size=(3, 6)), []
    layers = layout.layers(rng.normal(size=(3, layout.n_parameters)))
    gradient = np.empty((3, layout.n_parameters))
    D, dZ = rng.integers(2, size=(4, 6)) * 2.0, rng.normal(size=(3, 2, 6))
    for setting in ("numpy", "numba"):
        work = training_workspace(layout, relu, 6, float, axes=(3,), masks=D)
        with using(setting):
            calls = list(forward(X, layers, relu, work))
            gradients = layout.layers(gradient)
            calls += [(np.copyto, work.dZ, dZ)]
            calls += backward(X, layers, gradients, relu, work)
        for _, *arguments in calls:
            for array in arguments:
                # No kernel looks beside the numbers that it is given.
                if getattr(array, "dtype", None) == np.intp:
                    assert array.shape == (3,)
        run(calls)
        found.append(
            (work.Z.copy(), gradient[:, :20].copy(), gradient[:, 20:24].copy())
        )
    for mine, theirs in zip(*found, strict=True):
        assert_allclose(mine, theirs, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_kernel_is_for_one_kind_of_arguments(dtype):
    """Others are to be refused, not compiled for in the middle of a fit."""
    adam = compiled_of(dtype)[kernels.adam]
    with pytest.raises(TypeError, match="No matching definition"):
        adam(*(np.ones((1, 4), np.float16) for _ in range(5)), np.ones(3, dtype))


def compiled_of(dtype):
    return kernels.compiled(np.dtype(dtype).name)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_no_number_is_not_hidden(dtype):
    """A network that diverged must show it in its loss."""
    compiled, none = compiled_of(dtype), np.empty((0, 0, 0), dtype)
    which, b = np.zeros(1, int), np.zeros((1, 1, 1), dtype)
    for number in range(4):
        A = np.array([[[np.nan, 1.0]]], dtype)
        if number in (kernels.IDENTITY, kernels.RELU):
            compiled[kernels.activate](A, b, none, which, number)
            assert np.isnan(A[0, 0]).tolist() == [True, False]
        dA, db = np.array([[[1.0, np.nan]]], dtype), b.copy()
        compiled[kernels.go_back](dA, np.ones_like(A), none, which, db, number)
        assert np.isnan(db).all()
        # Where RELU is off as well: zero times NaN.
        dA = np.array([[[1.0, np.nan]]], dtype)
        compiled[kernels.go_back](dA, np.zeros_like(A), none, which, db, number)
        assert np.isnan(db).all()
    for Z in ([[np.nan], [1.0]], [[np.inf], [1.0]]):
        Z = np.array([Z], dtype)
        Y, share = np.array([[[0.0], [1.0]]], dtype), np.ones((1, 1), dtype)
        b2, dZ, loss = np.zeros((1, 2, 1), dtype), np.empty_like(Z), np.zeros(1, dtype)
        with np.errstate(all="ignore"):
            for kernel in (kernels.softmax_loss, kernels.sigmoid_loss):
                compiled[kernel](Z.copy(), b2, Y, share, dZ, b2.copy(), loss)
                assert not np.isfinite(loss).all()


@given(st.data())
def test_products_with_a_sparse_table_are_those_of_scipy(data):
    """Rows and columns without a value, values that come twice, any index type."""
    n_rows, n_columns, n_units = (data.draw(st.integers(1, 12)) for _ in range(3))
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    n_values = data.draw(st.integers(0, 30))
    places = rng.integers(n_rows, size=n_values), rng.integers(n_columns, size=n_values)
    table = coo_array(
        (rng.normal(size=n_values).astype(dtype), places), shape=(n_rows, n_columns)
    )
    dense, order = table.toarray(), np.argsort(places[0], kind="stable")
    starts = np.searchsorted(places[0][order], range(n_rows + 1))
    index = data.draw(st.sampled_from([np.int32, np.int64]))
    arrays = table.data[order], places[1][order].astype(index), starts.astype(index)
    X = csc_array(arrays, shape=(n_columns, n_rows))
    X.indices, X.indptr = arrays[1:]
    W = rng.normal(size=(n_columns, n_units)).astype(dtype).T
    dZT = rng.normal(size=(n_units, n_rows)).astype(dtype).T
    Z, dWT = (
        np.full((n_units, n_rows), np.nan, dtype),
        np.full(W.T.shape, np.nan, dtype),
    )
    with using("numba"):
        _sparse_matmul(W, X, Z)
        _sparse_matmul_transposed(X, dZT, dWT)
    tolerance = {"rtol": 0, "atol": 100 * np.finfo(dtype).eps}
    assert_allclose(Z, W @ dense.T, **tolerance)
    assert_allclose(dWT, dense.T @ dZT, **tolerance)


def test_a_fit_of_sparse_rows_has_the_kernels():
    rng = np.random.default_rng(0)
    X, y = csr_array(rng.normal(size=(60, 9)) * (rng.random((60, 9)) < 0.3)), None
    y = rng.integers(2, size=60)
    called = []

    def noted(kernel, arguments):
        found = taken(kernel, arguments)
        called.append(found and kernel.__name__)
        return found

    taken, fitted = kernels.compiled_call, []
    for setting in ("numpy", "numba"):
        network = RegularizedMLPClassifier((5,), max_iter=9, random_state=0)
        with using(setting), patch.object(kernels, "compiled_call", noted):
            fitted.append(network.fit(X, y).coefs_)
    assert {"sparse_product", "sparse_gradient"} <= set(called)
    for mine, theirs in zip(*fitted, strict=True):
        assert_allclose(mine, theirs, rtol=1e-6, atol=1e-9)


# What is not covered -----------------------------------------------------------------


def step_of(theta, gradient, first, second, rate, numbers):
    """What is called for a step of Adam with these vectors."""

    def lines():
        yield ("lines",)

    vectors = theta, gradient, first, second, rate, numbers
    ((function, *_),) = either(kernels.adam, lines(), *vectors)
    return function


def vectors_of(dtype=np.float32, shape=(6,)):
    return [*(np.ones(shape, dtype) for _ in range(4)), np.ones(1, dtype)]


def test_what_a_kernel_does_not_take_falls_back_to_the_lines():
    numbers = np.ones(3, np.float32)
    with using("numba"):
        assert step_of(*vectors_of(), numbers).__name__ == "adam"
        assert step_of(*vectors_of(np.float64), np.ones(3)).__name__ == "adam"
        gaps, locked, mixed, deep, half = (vectors_of() for _ in range(5))
        gaps[1] = np.ones(12, np.float32)[::2]
        locked[0].flags.writeable = False
        mixed[2] = np.ones(6)
        deep = vectors_of(shape=(2, 3, 6))
        half = vectors_of(np.float16)
        for vectors in (gaps, locked, mixed, deep, half):
            assert step_of(*vectors, numbers.astype(vectors[0].dtype)) == "lines"
    with using("numpy"):
        assert step_of(*vectors_of(), numbers) == "lines"


def test_kernels_are_for_fits_that_are_long_enough():
    numbers = np.ones(3, np.float32)

    def name():
        function = step_of(*vectors_of(), numbers)
        return function if function == "lines" else function.__name__

    with using("auto"):
        assert name() == "lines"
        with kernels_for(compiling.LONG_ENOUGH):
            assert name() == "adam"
            with kernels_for(compiling.LONG_ENOUGH - 1e-9):
                assert name() == "lines"
            assert name() == "adam"
        assert name() == "lines"
    with using("numpy"), kernels_for(1e9):
        assert name() == "lines"
    with using("numba"), kernels_for(0):
        assert name() == "adam"


def test_a_fit_is_the_same_after_one_that_was_long_enough(iris, monkeypatch):
    """It does not depend on whether the kernels have been loaded in between."""
    network = RegularizedMLPClassifier((10, 5), max_iter=20, random_state=0)
    with using("auto"):
        before = network.fit(*iris).coefs_
        with monkeypatch.context() as patched:
            patched.setattr(compiling, "LONG_ENOUGH", 0)
            with_kernels = network.fit(*iris).coefs_
        after = network.fit(*iris).coefs_
    for first, second, third in zip(before, with_kernels, after, strict=True):
        assert_array_equal(first, third)
        assert_allclose(first, second, rtol=1e-6, atol=1e-9)
    assert any((a != b).any() for a, b in zip(before, with_kernels, strict=True))


def test_the_length_of_a_fit_is_about_what_it_takes():
    """Its steps, its weights in each, and its products; for all networks of a stack."""

    def seconds(n_rows=1000, hidden=(10,), n_networks=1, incremental=False, **more):
        X = np.zeros((n_rows, 4))
        network = RegularizedMLPClassifier(hidden, batch_size=100, **more)
        rows = given_rows(network, X, np.arange(n_rows) % 2, None).training
        networks = [network] * n_networks
        return Problem.of(networks, rows, incremental=incremental).seconds

    # 10 steps of 40 µs, 50 weights of 3 ns in each, 1000 rows of 50 products of 0.1 ns.
    epoch = 10 * (4e-5 + 50 * 3e-9) + 1000 * 50 * 1e-10
    assert seconds(max_iter=1) == pytest.approx(epoch)
    assert seconds(max_iter=7) == pytest.approx(7 * epoch)
    assert seconds(max_iter=7, incremental=True) == pytest.approx(epoch)
    assert seconds(max_iter=1, n_networks=5) == pytest.approx(5 * epoch - 4 * 10 * 4e-5)
    assert seconds(hidden=(500, 500)) > 20 * seconds()


def test_what_failed_before_may_work_when_it_is_asked_for(anew, monkeypatch):
    import numba

    def njit(**options):
        raise RuntimeError("not yet")

    os.environ[kernels.VARIABLE] = "auto"
    with monkeypatch.context() as patched:
        patched.setattr(numba, "njit", njit)
        assert "not yet" in kernels_in_use()
    compile_kernels()
    assert kernels_in_use().startswith("numba 0.")


def test_the_off_switch_stays_off(anew):
    os.environ[kernels.VARIABLE] = "numpy"
    compile_kernels()
    assert os.environ[kernels.VARIABLE] == "numpy"
    assert kernels_in_use() == "numpy (SKREG_KERNELS)"


def test_the_rows_of_sparse_batches_are_one_batch_with_a_plan():
    rng = np.random.default_rng(0)
    X = csr_array(rng.normal(size=(40, 6)) * (rng.random((40, 6)) < 0.3))
    network = RegularizedMLPClassifier((5,), batch_size=10)
    rows = given_rows(network, X, rng.integers(2, size=40), None).training
    batches = Batches(rows, 10, np.random.default_rng(1), chunk_rows=100)
    seen = [
        (batch, batch.X.toarray().T.copy())
        for _, chunks in batches.epoch()
        for batch in chunks
    ]
    assert len(seen) == 4
    assert all(batch is seen[0][0] and batch.steady for batch, _ in seen)
    found = np.concatenate([X_of_batch for _, X_of_batch in seen])
    order = np.lexsort(found.T), np.lexsort(X.toarray().T)
    assert_array_equal(found[order[0]], X.toarray()[order[1]])


# Where there are none ----------------------------------------------------------------


@pytest.fixture
def without_numba(anew, monkeypatch):
    real = builtins.__import__

    def fake(name, *args, **kwargs):
        if name == "numba":
            raise ImportError("Numba needs NumPy 1.0 or less")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", fake)


def test_without_numba_the_lines_are_used(without_numba, iris):
    """A setting that does nothing says so, once."""
    X, y = iris[0].astype(np.float32), iris[1]
    os.environ[kernels.VARIABLE] = "numba"
    network = RegularizedMLPClassifier((5,), max_iter=20, random_state=0)
    with pytest.warns(RuntimeWarning, match="SKREG_KERNELS=numba does nothing here"):
        network.fit(X, y)
    network.fit(X, y)
    says = kernels_in_use()
    assert says.startswith("numpy (the kernels need numba (Numba needs NumPy 1.0")
    with pytest.raises(ImportError, match=r'pip install "skreg\[fast\]"'):
        compile_kernels()


def test_what_numba_cannot_compile_the_lines_do(anew, monkeypatch, iris):
    """A processor that it does not know, a folder that it cannot write to."""
    import numba

    def njit(**options):
        raise RuntimeError("cannot cache function 'adam':\nno locator available")

    monkeypatch.setattr(numba, "njit", njit)
    monkeypatch.setattr(compiling, "LONG_ENOUGH", 0)
    os.environ[kernels.VARIABLE] = "auto"
    RegularizedMLPClassifier((5,), max_iter=20, random_state=0).fit(*iris)
    cannot = (
        "numba cannot compile the kernels, or keep them on disk: "
        "cannot cache function 'adam':"
    )
    assert kernels_in_use() == f"numpy ({cannot})"
    with pytest.raises(RuntimeError, match="no locator"):
        compile_kernels()
    assert os.environ[kernels.VARIABLE] == "auto"


@pytest.mark.slow
def test_a_cache_that_cannot_be_written(tmp_path):
    """Neither beside the package nor in the home."""
    folder = tmp_path / "site"
    shutil.copytree(Path(kernels.__file__).parents[1], folder / "skreg")
    (tmp_path / "file").touch()
    code = """
import numba.core.caching as caching, skreg
# As root every folder can be written to.
caching._CacheLocator.ensure_cache_path = lambda self: (_ for _ in ()).throw(OSError)
skreg.show_versions()
"""
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env=os.environ | {"PYTHONPATH": str(folder), "SKREG_KERNELS": "auto"},
    ).stdout  # fmt: skip
    (line,) = [line for line in printed.splitlines() if "kernels:" in line]
    assert re.search(r"kernels: numpy \(numba cannot compile .*: cannot cache", line)


@pytest.mark.parametrize("setting", ["auto", ""])
def test_what_is_in_use(anew, setting):
    os.environ[kernels.VARIABLE] = setting
    assert kernels_in_use().startswith("numba 0.")
    # As it says, from then on.
    compile_kernels()
    assert os.environ[kernels.VARIABLE] == "numba"
    assert kernels_in_use().startswith("numba 0.")
    assert step_of(*vectors_of(), np.ones(3, np.float32)).__name__ == "adam"


def test_another_setting_is_an_error(anew, iris):
    os.environ[kernels.VARIABLE] = "cuda"
    with pytest.raises(ValueError, match=r"SKREG_KERNELS is 'cuda'\. Set it to one of"):
        RegularizedMLPClassifier((5,), max_iter=2).fit(*iris)
