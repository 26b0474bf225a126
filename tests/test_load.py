"""Nothing grows with the calls, the fits or the length of a life."""

import gc
import os
import pickle
import sys
import threading
import tracemalloc
import weakref
from functools import partial

import numpy as np
import pytest
from helpers import no_convergence_warning, small
from scipy.sparse import csr_array, issparse
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.utils.fixes import parse_version, sp_version

from skreg import (
    RegularizedMLPClassifierCV,
    RegularizedMLPEnsemble,
)

network = partial(small, hidden_layer_sizes=3, batch_size="full", max_iter=2)


X, y = make_classification(24, 4, n_redundant=0, random_state=0)


MODELS = {
    "dropout": network(keep_prob=0.5, input_keep_prob=0.8, max_norm=2.0),
    "L-BFGS": network(solver="lbfgs"),
    "early stopping": network(early_stopping=True, n_validation_splits=2),
    "warm start": network(warm_start=True, solver="sgd", train_scores=True),
    "ensemble": RegularizedMLPEnsemble(network(), n_estimators=2, random_state=0),
    "search": RegularizedMLPClassifierCV(
        [1.0, 2.0],
        [0.5, 1.0],
        cv=2,
        hidden_layer_sizes=3,
        max_iter=2,
        n_refits=1,
        random_state=0,
    ),
}


@pytest.fixture(autouse=True)
def short_runs():
    with no_convergence_warning():
        yield


@pytest.fixture(scope="module")
def quick_collections():
    """What is there already is left out of the searches for garbage."""
    gc.collect()
    gc.freeze()


def blocks():
    """Blocks of Python's allocator in use, those of its own caches left out."""
    gc.collect()
    getattr(sys, "_clear_internal_caches", getattr(sys, "_clear_type_cache", int))()
    return sys.getallocatedblocks()


def of_process():
    """Open files and threads, those of BLAS included, where /proc tells them."""
    found = [threading.active_count()]
    if os.path.isdir("/proc/self/task"):
        found += [len(os.listdir(f"/proc/self/{name}")) for name in ("fd", "task")]
    return found


@pytest.mark.skipif(
    sys.implementation.name != "cpython", reason="counts CPython's blocks"
)
@pytest.mark.usefixtures("quick_collections")
@pytest.mark.parametrize("name", MODELS)
def test_a_fit_leaves_nothing_behind(name):
    rows = csr_array(X) if name == "dropout" else X

    def life():
        model = clone(MODELS[name]).fit(rows, y)
        model.fit(rows, y)
        model.predict_proba(rows)
        model.score(rows, y)

    life()
    # An array, since a list would hold a new number each time.
    there, seen = of_process(), np.zeros(4, int)
    for number in range(4):
        life()
        seen[number] = blocks()
    # One object that stays each time would make each number larger than the last.
    assert np.diff(seen).min() <= 0
    assert of_process() == there


@pytest.mark.parametrize("name", MODELS)
def test_what_is_let_go_is_freed_at_once(name):
    """Not when the garbage collector next runs, which knows no sizes of arrays."""
    rows = csr_array(X) if name == "dropout" else X.copy()
    labels = y.copy()
    model = clone(MODELS[name])
    held = [weakref.ref(a) for a in (rows.data if issparse(rows) else rows, labels)]
    gc.disable()
    try:
        model.fit(rows, labels)
        del rows, labels
        if name == "L-BFGS" and sp_version < parse_version("1.14"):
            # That scipy leaves a cycle, which holds the objective.
            gc.collect()
        assert [ref() is None for ref in held] == [True, True]
        ref = weakref.ref(model)
        del model
        assert ref() is None
    finally:
        gc.enable()


@pytest.mark.usefixtures("quick_collections")
@pytest.mark.parametrize("sparse", [False, True])
def test_partial_fit_does_not_grow(sparse):
    """After 110 calls the model, and the peak within a call, are as after 10."""
    rows = csr_array(X) if sparse else X.astype(np.float32)
    model = network(keep_prob=0.5, averaging=0.9, max_norm=2.0, max_iter=5)

    def peak():
        tracemalloc.start()
        try:
            model.partial_fit(rows, y, classes=[0, 1])
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    def measured():
        return len(pickle.dumps(model)), blocks(), len(vars(model)), peak()

    sizes = []
    for n_calls in (9, 97):
        for _ in range(n_calls):
            model.partial_fit(rows, y, classes=[0, 1])
        # The least of three, since a thread of the tests' own may add to one.
        sizes.append(np.min([measured() for _ in range(3)], axis=0))
    grown = np.subtract(sizes[1], sizes[0])
    # A number for each call would be 800 bytes or 100 blocks; counters get digits.
    assert (grown <= [16, 10, 0, 500]).all()


def test_a_search_holds_no_network_for_each_setting():
    """What a search of more settings keeps is its table, not their weights."""

    def held(n):
        search = RegularizedMLPClassifierCV(
            np.geomspace(0.1, 10, n),
            [1.0],
            cv=2,
            hidden_layer_sizes=300,
            max_iter=1,
            n_refits=1,
            random_state=0,
        ).fit(X, y)
        return len(pickle.dumps(search))

    # A network is 300 × (4 + 1) + 300 + 1 numbers of 8 bytes: 14 kB.
    assert held(12) - held(2) < 10 * 500
