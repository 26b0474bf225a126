"""How many threads BLAS has within the contexts, and after them."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import numpy as np
import pytest
import scipy.linalg
from scipy.sparse import csr_array
from sklearn.datasets import make_classification
from threadpoolctl import threadpool_info, threadpool_limits

from skreg import RegularizedMLPClassifier
from skreg._training.threads import (
    SMALL_PRODUCT,
    one_thread_in_scipy,
    threads_for,
)


def n_threads():
    """By file, for each BLAS library of the process."""
    return {
        library["filepath"]: library["num_threads"]
        for library in threadpool_info()
        if library["user_api"] == "blas"
    }


@pytest.fixture(autouse=True)
def three_threads():
    """More than one, whatever the machine and the settings of the tests."""
    scipy.linalg.blas.ddot([1.0], [1.0])
    with threadpool_limits(3, user_api="blas"):
        if set(n_threads().values()) != {3}:
            pytest.skip("threadpoolctl does not know the BLAS libraries here")
        yield
        assert set(n_threads().values()) == {3}


def test_small_products_have_one_thread_and_large_ones_what_there_is():
    with threads_for(SMALL_PRODUCT - 1):
        assert set(n_threads().values()) == {1}
    assert set(n_threads().values()) == {3}
    with threads_for(SMALL_PRODUCT):
        assert set(n_threads().values()) == {3}


def test_one_thread_in_scipy_is_for_the_library_of_its_own():
    own = {file for file in n_threads() if "scipy.libs" in file}
    if not own:
        pytest.skip("numpy and scipy share a library here")
    with one_thread_in_scipy():
        assert n_threads() == {f: 1 if f in own else 3 for f in n_threads()}


def test_contexts_within_each_other():
    with threads_for(1), one_thread_in_scipy():
        with threads_for(1):
            assert set(n_threads().values()) == {1}
        assert set(n_threads().values()) == {1}


def test_an_error_gives_the_threads_back():
    with pytest.raises(ZeroDivisionError), threads_for(1):
        raise ZeroDivisionError
    assert set(n_threads().values()) == {3}


def test_another_thread_leaves_the_number_alone():
    """It would put back what it met, when the main thread's context is over."""
    is_in, may_leave = threading.Event(), threading.Event()
    seen = []

    def other():
        assert isinstance(threads_for(1), nullcontext)
        with threads_for(1):
            seen.append(set(n_threads().values()))
            is_in.set()
            may_leave.wait(10)

    thread = threading.Thread(target=other)
    thread.start()
    assert is_in.wait(10), "an assertion failed in the other thread"
    assert seen == [{3}]
    with threads_for(1):
        may_leave.set()
        thread.join()
        assert set(n_threads().values()) == {1}
    assert set(n_threads().values()) == {3}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "solver", ["adam", pytest.param("lbfgs", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize(
    ("hidden", "batch_size", "n_columns", "as_sparse", "expected"),
    [
        ((4,), "full", 20, False, 1),
        ((720,), "full", 20, False, 3),
        pytest.param((40, 500), "full", 20, False, 3, marks=pytest.mark.slow),
        ((300, 2), "full", 20, False, 1),
        ((720,), 20, 20, False, 1),
        pytest.param((20,), "full", 3000, False, 3, marks=pytest.mark.slow),
        ((20,), "full", 3000, True, 1),
    ],
)
def test_fit_has_one_thread_for_a_small_network(
    hidden, batch_size, n_columns, as_sparse, expected, solver
):
    """The largest product of dense matrices, of a batch, counts."""
    if solver == "lbfgs":
        batch_size, expected = "full", 3 if hidden == (720,) else expected
    X, y = make_classification(300, n_columns, random_state=0)
    X = X.astype(np.float32)
    seen = []

    def scoring(estimator, X, y):
        seen.append(n_threads())
        return 0.0

    RegularizedMLPClassifier(
        hidden,
        solver=solver,
        batch_size=batch_size,
        max_iter=3,
        n_iter_no_change=3,
        early_stopping=True,
        early_stopping_refit=expected == 1,
        n_validation_splits=2 if expected == 1 else 1,
        averaging=0.0,
        scoring=scoring,
    ).fit(csr_array(X) if as_sparse else X, y)
    assert len(seen) >= 3
    for numbers in seen:
        for file, number in numbers.items():
            alone = solver == "lbfgs" and "scipy.libs" in file
            assert number == (1 if alone else expected)


# Prediction --------------------------------------------------------------------------


def test_threads_may_predict_with_one_model_at_the_same_time():
    """Each its own rows, so that what one writes over another's work shows."""
    X, y = make_classification(4000, 20, n_informative=5, random_state=0)
    model = RegularizedMLPClassifier(
        (30, 20), max_iter=2, learning_rate="cosine", random_state=0
    ).fit(X, y)
    parts = np.split(X, np.cumsum(np.arange(1, 88)))
    expected = [model.predict_proba(part) for part in parts]
    with ThreadPoolExecutor(8) as pool:
        for found, alone in zip(
            pool.map(model.predict_proba, parts), expected, strict=True
        ):
            np.testing.assert_allclose(found, alone, rtol=1e-12)
