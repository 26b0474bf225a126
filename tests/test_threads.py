"""How many threads BLAS has within the contexts, and after them."""

import threading

import numpy as np
import pytest
import scipy.linalg
from sklearn.datasets import make_classification
from threadpoolctl import threadpool_info, threadpool_limits

from skreg import RegularizedMLPClassifier
from skreg._threads import SMALL_PRODUCT, one_thread_in_scipy, threads_for


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
        assert set(n_threads().values()) == {3}
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
        with threads_for(1):
            seen.append(set(n_threads().values()))
            is_in.set()
            may_leave.wait(10)

    thread = threading.Thread(target=other)
    thread.start()
    assert is_in.wait(10)
    assert seen == [{3}]
    with threads_for(1):
        may_leave.set()
        thread.join()
        assert set(n_threads().values()) == {1}
    assert set(n_threads().values()) == {3}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize(("hidden", "expected"), [((4,), 1), ((2000,), 3)])
def test_fit_has_one_thread_for_a_small_network(hidden, expected, solver):
    """As many rows as a product of the larger network needs to be large."""
    X, y = make_classification(300, 20, random_state=0)
    seen = set()

    def scoring(estimator, X, y):
        numpy_files = [file for file in n_threads() if "scipy.libs" not in file]
        seen.update(n_threads()[file] for file in numpy_files)
        return 0.0

    RegularizedMLPClassifier(
        hidden,
        solver=solver,
        batch_size="full",
        max_iter=3,
        n_iter_no_change=3,
        early_stopping=True,
        scoring=scoring,
    ).fit(X.astype(np.float32), y)
    assert seen == {expected}
