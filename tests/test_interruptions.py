"""What is left of a call that is interrupted or fails, wherever it had come to.

The exception comes at a line of the package, as that of Ctrl-C does: in the middle of
an update of the weights too. ``docs/reliability/faults.py`` does so at every line.
"""

import contextlib
import copy
import io
import math
import multiprocessing
import os
import pickle
import select
import signal
import subprocess
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import reliability
from helpers import assert_same, using
from joblib.externals.loky.process_executor import TerminatedWorkerError
from lines import raised_at_line
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.exceptions import NotFittedError
from threadpoolctl import threadpool_info, threadpool_limits
from untouched import untouched

from skreg import (
    RegularizedMLPClassifier,
    RegularizedMLPClassifierCV,
    RegularizedMLPEnsemble,
)
from skreg._training.threads import threads_for

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
    "ignore:.*fork.*:DeprecationWarning",
)


@pytest.fixture(autouse=True, scope="module")
def two_threads():
    """So that it shows if a call does not give them back."""
    with threadpool_limits(2, user_api="blas"):
        yield


linux = pytest.mark.skipif(sys.platform != "linux", reason="needs fork and /proc")

X = np.random.default_rng(0).normal(size=(14, 2))
Y = (X[:, 0] > 0).astype(int)
EPOCHS = 3
# So small that the lines around the mathematics are few as well.
network = partial(
    RegularizedMLPClassifier,
    hidden_layer_sizes=(2,),
    learning_rate="constant",
    max_iter=EPOCHS,
    batch_size=7,
    n_iter_no_change=np.inf,
    lambd=1.0,
    early_stopping=False,
    random_state=0,
)


NETWORKS = {
    "adam": network(),
    "sgd": network(solver="sgd", averaging=0.0, keep_prob=0.8, max_norm=0.5),
    "lbfgs": network(solver="lbfgs", tol=0.0),
    "best epoch": network(
        early_stopping=True,
        early_stopping_refit=False,
        n_validation_splits=1,
        validation_fraction=0.3,
        train_scores=True,
    ),
    "splits and all rows": network(
        early_stopping=True,
        early_stopping_refit=True,
        n_validation_splits=2,
        validation_fraction=0.3,
        # With the scale of all rows a split is not as if it were alone.
        standardize=False,
    ),
}
every_network = pytest.mark.parametrize("name", NETWORKS)


def after_epochs(model, n_epochs):
    """What an interrupt after so many epochs is to leave of a fit of the model."""
    model = clone(model)
    rows, validation = np.ones(len(X), dtype=bool), {}
    if model.n_validation_splits == 2:
        # Of several splits it is the network of the first, whose rows a scorer sees.
        seen = []

        def see(_, X, y):
            seen.append((X, y))
            return 0.0

        clone(model).set_params(scoring=see, max_iter=1).fit(X, Y)
        validation = dict(zip(("X_val", "y_val"), seen[0], strict=True))
        rows = ~np.isin(X[:, 0], validation["X_val"][:, 0])
        model.set_params(n_validation_splits=1, validation_fraction=0.1)
    model.set_params(max_iter=n_epochs, early_stopping_refit=False)
    return model.fit(X[rows], Y[rows], **validation)


def blas_threads():
    found = {of["num_threads"] for of in threadpool_info() if of["user_api"] == "blas"}
    if not found:
        pytest.skip("threadpoolctl does not know the BLAS libraries here")
    return found


def fit(model):
    model.fit(X, Y)


def fitted_attributes(model):
    return {
        name: value
        for name, value in vars(model).items()
        if name.endswith("_") and name != "converged_"
    }


def some_lines(call, model, n):
    """The numbers of n lines, about, that the call of a model runs: first to last."""
    call(copy.deepcopy(model))
    again = copy.deepcopy(model)
    with raised_at_line(0) as of_call:
        call(again)
    assert of_call.n_lines > n
    return np.unique(np.linspace(1, of_call.n_lines, n).astype(int)).tolist()


def fail(call, model, line, error=KeyboardInterrupt):
    """Call it, with the error at that line, and see to it that nothing else changes."""
    with untouched(), raised_at_line(line, error) as raised:
        call(model)
    assert raised.place is not None


# Ctrl-C ------------------------------------------------------------------------------


def check_interrupts(model, n_lines):
    """Interrupt ``fit`` at so many lines; how many epochs were left in each."""
    expected = {n: after_epochs(model, n) for n in range(1, EPOCHS + 1)}
    complete = clone(model).fit(X, Y)
    counts = []
    for line in some_lines(fit, model, n_lines):
        found = clone(model)
        fail(fit, found, line)
        if hasattr(found, "coefs_"):
            counts.append(found.n_iter_)
            same = complete if found.refit_ else expected[found.n_iter_]
            assert_same(fitted_attributes(found), fitted_attributes(same))
            assert np.isfinite(found.predict_proba(X)).all()
        else:
            counts.append(0)
            assert vars(found).keys() == found.get_params().keys()
            with pytest.raises(NotFittedError):
                found.predict(X)
        assert_same(pickle.loads(pickle.dumps(found)), found)
        if line % 5 == 0:
            assert_same(found.fit(X, Y), complete)
    return counts


@every_network
def test_an_interrupt_leaves_the_last_complete_epoch(name):
    counts = check_interrupts(NETWORKS[name], 12)
    assert len(set(counts)) > 2


@every_network
def test_the_traceback_of_an_interrupt_has_the_calls_alone(name):
    """No weights and no other exceptions, wherever it came."""
    shown = []

    def noted(model):
        try:
            fit(model)
        except KeyboardInterrupt as error:
            shown.append("".join(traceback.format_exception(error)))
            raise

    for line in some_lines(fit, NETWORKS[name], 12):
        fail(noted, clone(NETWORKS[name]), line)
    assert len(shown) >= 10
    for text in shown:
        assert text.startswith("Traceback (most recent call last):\n")
        assert text.count("Traceback") == 1
        assert text.endswith("\nKeyboardInterrupt\n")
        assert len(text.splitlines()) < 90


def test_an_interrupt_of_a_warm_start_leaves_its_last_complete_epoch():
    """The epochs are those of this call; before the first the model is as it was."""
    model = network(warm_start=True, solver="sgd").fit(X, Y)
    expected = []
    for n_epochs in range(1, EPOCHS + 1):
        one = copy.deepcopy(model).set_params(max_iter=n_epochs)
        fit(one)
        expected.append(one)
    counts = []
    for line in some_lines(fit, model, 12):
        found = copy.deepcopy(model)
        fail(fit, found, line)
        if found.t_ == model.t_:
            counts.append(0)
            assert_same(vars(found), vars(model))
        else:
            counts.append(found.n_iter_)
            same = expected[found.n_iter_ - 1]
            assert_same(fitted_attributes(found), fitted_attributes(same))
        n_rows = found.t_
        fit(found)
        assert found.t_ == n_rows + EPOCHS * len(X)
        assert np.isfinite(found.loss_curve_).all()
    assert len(set(counts)) > 2


@pytest.mark.parametrize("fitted", [False, True])
def test_an_interrupted_partial_fit_can_be_made_again(fitted):
    """All of its pass counts or nothing of it: as if nobody had interrupted."""
    model = network(keep_prob=0.8)

    def call(model):
        model.partial_fit(X, Y, classes=[0, 1])

    if fitted:
        call(model)
    expected = copy.deepcopy(model)
    call(expected)
    n_again = 0
    lines = some_lines(call, model, 12)
    for line in lines:
        found = copy.deepcopy(model)
        fail(call, found, line)
        if found.__dict__.get("n_iter_", 0) == fitted:
            assert_same(found, model)
            n_again += 1
            call(found)
        assert_same(found, expected)
    assert 0 < n_again < len(lines)


# Other errors ------------------------------------------------------------------------


def search(**parameters):
    defaults = {"lambds": (0.1, 1.0), "keep_probs": (1.0,), "cv": 2, "n_refits": 2}
    return RegularizedMLPClassifierCV(
        **{**defaults, **parameters},
        hidden_layer_sizes=(2,),
        max_iter=EPOCHS,
        random_state=0,
    )


OTHERS = {
    "ensemble": (RegularizedMLPEnsemble(network(), 2), KeyboardInterrupt),
    "search": (search(), KeyboardInterrupt),
    **{name: (model, MemoryError) for name, model in NETWORKS.items()},
}


@pytest.mark.parametrize("name", OTHERS)
def test_an_error_leaves_what_there_was(name):
    """Or the new model, whole, where it came after that was written."""
    model, error = OTHERS[name]
    fitted = clone(model).fit(X[::-1], Y)
    complete = clone(model).fit(X, Y)
    before = dict(vars(fitted))
    n_kept = 0
    lines = some_lines(fit, fitted, 8)
    for line in lines:
        found = copy.copy(fitted)
        fail(fit, found, line, error)
        if all(found.__dict__.get(key) is value for key, value in before.items()):
            n_kept += 1
            assert vars(found).keys() == before.keys()
        else:
            np.testing.assert_array_equal(
                found.predict_proba(X), complete.predict_proba(X)
            )
    assert n_kept >= len(lines) - 2
    # The last line returns the model.
    assert n_kept < len(lines)
    fit(found)
    np.testing.assert_array_equal(found.predict_proba(X), complete.predict_proba(X))


def test_an_interrupt_gives_the_threads_of_blas_back():
    def call(_):
        with threads_for(1):
            assert 1 in blas_threads()

    call(None)
    with raised_at_line(0) as of_call:
        call(None)
    assert of_call.n_lines > 3
    for line in range(1, of_call.n_lines + 1):
        fail(call, None, line)
    assert blas_threads() == {2}


def test_an_interrupt_is_not_taken_for_scores_of_nan():
    """A search would go on if the fit raised ValueError in its place."""
    scores = [np.nan, np.nan, KeyboardInterrupt()]

    def scorer(model, X, y):
        score = scores.pop(0)
        if isinstance(score, KeyboardInterrupt):
            raise score
        return score

    model = clone(NETWORKS["best epoch"]).set_params(
        scoring=scorer, train_scores=False, max_iter=9
    )
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y)
    assert not hasattr(model, "coefs_")


# The process -------------------------------------------------------------------------


def in_child(function, signalled=None, seconds=60):
    """What the function returns in a forked process, which must end in time.

    ``function(tell)`` may tell that it has begun; then it gets the signal.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        status = 1
        # A shell starts what is in the background without Ctrl-C.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            with os.fdopen(writing, "wb", buffering=0) as pipe:
                result = function(lambda: pipe.write(b"!"))
                pipe.write(pickle.dumps(result))
                status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(writing)
    found = b""
    ends = time.monotonic() + seconds
    try:
        while select.select([reading], [], [], max(0, ends - time.monotonic()))[0]:
            part = os.read(reading, 2**16)
            if not part:
                break
            if signalled is not None and not found:
                os.kill(child, signalled)
            found += part
        else:
            os.kill(child, signal.SIGKILL)
            pytest.fail(f"the process has not ended in {seconds} seconds")
    finally:
        os.close(reading)
        _, status = os.waitpid(child, 0)
    assert status == 0, "it failed, or was killed"
    return pickle.loads(found.lstrip(b"!"))


class Tells(io.StringIO):
    """Standard output that tells when the third epoch is printed.

    ``used`` is the processor's time by then, which other work does not change.
    """

    def __init__(self, tell, wait):
        self.tell, self.wait, self.used = tell, wait, math.inf

    def write(self, text):
        if text.startswith("Iteration 3,"):
            self.used, ends = time.process_time(), time.monotonic() + self.wait
            self.tell()
            # A signal just before a sleep is seen after it, so no sleep is long.
            while time.monotonic() < ends:
                time.sleep(0.01)


# Kernels would be for a fit of so many epochs, and not for as many as it comes to.
@using("numpy")
@linux
@pytest.mark.parametrize(
    ("solver", "wait"),
    [("adam", 0), ("lbfgs", 30)],  # which may come to its end first
)
def test_the_signal_of_ctrl_c_ends_a_fit_at_once(solver, wait):
    X, y = large()
    model = network(
        hidden_layer_sizes=(50,), solver=solver, max_iter=10**9, max_fun=10**9,
        tol=0.0, lambd=1e-6, activation="tanh", verbose=True,
    )  # fmt: skip

    def call(tell):
        with contextlib.redirect_stdout(Tells(tell, wait)) as out:
            try:
                model.fit(X, y)
            except KeyboardInterrupt:
                return model.n_iter_, model.coefs_, time.process_time() - out.used

    n_epochs, coefs, seconds = in_child(call, signal.SIGINT)
    assert n_epochs >= 3
    assert seconds < 10
    model.set_params(max_iter=n_epochs, verbose=False)
    if n_epochs < 2000:
        assert_same(coefs, model.fit(X, y).coefs_)


def large():
    return make_classification(160, 40, n_informative=5, random_state=0)


def large_network():
    """One whose products BLAS shares out to threads, at one step."""
    return RegularizedMLPClassifier(
        (700,), max_iter=1, batch_size="full", early_stopping=False, random_state=0
    )


@linux
def test_a_fork_after_a_fit_fits_and_predicts_the_same():
    """With threads of BLAS alive, which the child has not got."""
    X, y = large()
    assert blas_threads() == {2}
    model = large_network().fit(X, y)
    expected = model.predict_proba(X)

    def call(_):
        again = clone(model).fit(X, y)
        return model.predict_proba(X), again.predict_proba(X), again.coefs_

    old, new, coefs = in_child(call)
    np.testing.assert_array_equal(old, expected)
    np.testing.assert_array_equal(new, expected)
    assert_same(coefs, model.coefs_)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        for found in pool.map_async(predict_anew, range(2)).get(60):
            np.testing.assert_array_equal(found, expected)


def predict_anew(_):
    X, y = large()
    return large_network().fit(X, y).predict_proba(X)


@linux
@pytest.mark.parametrize("megabytes", [50, 400])
def test_a_lack_of_memory_is_an_error_and_no_end(megabytes):
    """The arrays of the network, or those of the rows, are too large for what is left.

    The process goes on, with the model that there was.
    """
    X, y = large()
    model = large_network().fit(X, y)
    expected = model.predict_proba(X)

    def call(_):
        import resource

        used = int(Path("/proc/self/statm").read_text().split()[0])
        limit = used * resource.getpagesize() + megabytes * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        for layers, rows in (((6000, 6000), X), ((700,), Endless())):
            kept = copy.copy(model).set_params(hidden_layer_sizes=layers)
            for each in (kept, clone(kept)):
                before = dict(vars(each))
                with pytest.raises(MemoryError):
                    each.fit(rows, y)
                assert vars(each) == before
        return kept.predict_proba(X), clone(model).fit(X, y).predict_proba(X)

    for found in in_child(call):
        np.testing.assert_array_equal(found, expected)


class Endless:
    """Rows that become an array of more than there is room for."""

    shape, dtype = (2**20, 2**8), np.dtype(float)

    def __len__(self):
        return self.shape[0]

    def __array__(self, dtype=None, copy=None):
        return np.ones(self.shape)


def test_fits_in_threads_are_those_of_one_after_the_other():
    """While other threads predict with a model that was there before."""
    X, y = large()
    rows = [(X[i:], y[i:]) for i in range(6)]
    models = [network(random_state=i, keep_prob=0.8) for i in range(6)]
    old = network().fit(*rows[0])
    with untouched(), threadpool_limits(1, user_api="blas"):
        expected = [
            clone(m).fit(*of).coefs_ for m, of in zip(models, rows, strict=True)
        ]
        proba = old.predict_proba(rows[0][0])
        with ThreadPoolExecutor(6) as pool:
            fits = [pool.submit(m.fit, *of) for m, of in zip(models, rows, strict=True)]
            predictions = [
                pool.submit(old.predict_proba, rows[0][0]) for _ in range(20)
            ]
            assert_same([each.result(60).coefs_ for each in fits], expected)
            for each in predictions:
                np.testing.assert_array_equal(each.result(60), proba)


# Processes of a search ---------------------------------------------------------------


class Dies:
    """A scorer whose process ends, as if it was killed for want of memory."""

    def __init__(self, parent):
        self.parent = parent

    def __call__(self, model, X, y, sample_weight=None):
        if os.getpid() != self.parent:
            os.kill(os.getpid(), signal.SIGKILL)
        return 0.5


@linux
@pytest.mark.slow
def test_a_worker_that_dies_ends_a_search_with_an_error():
    dies = Dies(os.getpid())
    model = search(scoring=dies, n_jobs=2)
    with pytest.raises(TerminatedWorkerError):
        model.fit(X, Y)
    assert vars(model).keys() == model.get_params().keys()
    model.set_params(scoring="accuracy").fit(X, Y)
    alone = clone(model).set_params(n_jobs=1).fit(X, Y)
    np.testing.assert_array_equal(model.predict_proba(X), alone.predict_proba(X))


SEARCH = """
import signal
import time
import numpy as np
from skreg import RegularizedMLPClassifierCV

# A shell starts what is in the background without Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
X = np.random.default_rng(0).normal(size=(300, 5))
y = (X[:, 0] > 0).astype(int)

def scorer(model, X, y, **_):
    print("ready", flush=True)
    time.sleep(0.01)
    return 0.5

RegularizedMLPClassifierCV(
    (0.1, 1.0),
    (0.5, 1.0),
    n_jobs=2,
    cv=2,
    hidden_layer_sizes=(5,),
    max_iter=10**6,
    n_iter_no_change=np.inf,
    early_stopping=True,
    early_stopping_scoring=scorer,
).fit(X, y)
"""


@linux
@pytest.mark.slow
def test_ctrl_c_ends_a_search_and_its_workers():
    """As from a terminal: all processes of the group get the signal."""
    of_group = reliability.load("faults").of_group
    process = subprocess.Popen(
        [sys.executable, "-c", SEARCH],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        # Both workers may say so at once.
        assert process.stdout.readline().startswith("ready")
        start = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == -signal.SIGINT, errors
        assert "KeyboardInterrupt" in errors
        while time.monotonic() < start + 30 and of_group(process.pid):
            time.sleep(0.05)
        assert not of_group(process.pid)
    finally:
        if of_group(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
