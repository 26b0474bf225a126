"""What a fault leaves behind: RegularizedMLPClassifier and MLPClassifier.

    python docs/reliability/faults.py [--step 1]

It interrupts fits at each line of their package (with ``--step k`` at each k-th), as
Ctrl-C may, and looks at what is left; it does the same with MemoryError. Then come a
fork after a fit with threads of BLAS alive, fits and predictions in threads, a real
lack of memory, and searches of two jobs that get Ctrl-C or whose workers are killed.
Figures are counts, and seconds where it says so. It takes some ten minutes; with
``--step 25`` one or two. It needs Linux.
"""

from __future__ import annotations

import argparse
import copy
import csv
import multiprocessing
import os
import pickle
import resource
import signal
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import sklearn.neural_network
from joblib.externals.loky.process_executor import TerminatedWorkerError
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

import skreg
from skreg import RegularizedMLPClassifier, RegularizedMLPClassifierCV

RESULTS = Path(__file__).parent / "results"
EPOCHS = 3
X = np.random.default_rng(0).normal(size=(40, 2))
Y = (X[:, 0] > 0).astype(int)
FOLDERS = {
    "skreg": str(Path(skreg.__file__).parent),
    "MLPClassifier": str(Path(sklearn.neural_network.__file__).parent),
}


def models(**parameters: Any) -> dict[str, Any]:
    """Both, without early stopping unless asked for it."""
    common = {
        "hidden_layer_sizes": (4,),
        "max_iter": EPOCHS,
        "batch_size": 20,
        "n_iter_no_change": 10**6,
        "early_stopping": False,
        "random_state": 0,
        **parameters,
    }
    own = {"averaging": 0.9, "learning_rate": "constant", "keep_prob": 1.0}
    if common["early_stopping"]:
        own |= {"n_validation_splits": 1, "early_stopping_refit": False}
    return {
        "skreg": RegularizedMLPClassifier(**common, **own),
        "MLPClassifier": MLPClassifier(**common),
    }


def same_weights(a: Any, b: Any) -> bool:
    """Bit for bit."""
    pairs = zip(a.coefs_ + a.intercepts_, b.coefs_ + b.intercepts_, strict=True)
    return all(np.array_equal(p, q) for p, q in pairs)


# Errors at lines ----------------------------------------------------------------------


def at_lines(model: Any, folder: str, error: type[BaseException], step: int) -> Counter:
    """Raise the error at lines of a fit; count what was left."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))
    from lines import raised_at_line

    clone(model).fit(X, Y)
    complete = clone(model)
    with raised_at_line(0, error, folder) as of_fit:
        complete.fit(X, Y)
    by_epoch = {
        n: clone(model).set_params(max_iter=n).fit(X, Y) for n in range(1, EPOCHS + 1)
    }
    counts: Counter = Counter()
    for line in range(1, of_fit.n_lines + 1, step):
        found = clone(model)
        with raised_at_line(line, error, folder):
            found.fit(X, Y)
            counts["swallowed"] += 1
        counts["times"] += 1
        counts[what_is_left(found, by_epoch)] += 1
        found.fit(X, Y)
        counts["the next fit differs"] += not same_weights(found, complete)
    return counts


def what_is_left(found: Any, by_epoch: dict[int, Any]) -> str:
    """Nothing, the model of its epochs, or something between."""
    try:
        pickle.loads(pickle.dumps(found)).predict(X)
    except NotFittedError:
        fitted = [name for name in vars(found) if name.endswith("_")]
        return "unfitted, but with attributes" if fitted else "unfitted"
    except Exception as error:
        return f"predict raises {type(error).__name__}"
    n_epochs = getattr(found, "n_iter_", 0)
    if n_epochs not in by_epoch:
        return "weights of no complete epoch"
    expected = by_epoch[n_epochs]
    if not same_weights(found, expected):
        return "weights of a part of an epoch"
    for name in ("loss_", "t_", "loss_curve_", "best_loss_", "validation_scores_"):
        if getattr(found, name, None) != getattr(expected, name, None):
            return f"{name} of another epoch"
    return "the model of its last complete epoch"


# The process --------------------------------------------------------------------------


def in_child(function: Any, seconds: float = 120) -> str:
    """What a forked process says of a call, or that it hangs or dies."""
    context = multiprocessing.get_context("fork")
    receiving, sending = context.Pipe(duplex=False)
    child = context.Process(target=lambda: sending.send(function()))
    child.start()
    sending.close()
    try:
        if not receiving.poll(seconds):
            return "hangs"
        return str(receiving.recv())
    except EOFError:
        return "dies"
    finally:
        child.kill()
        child.join()


def wide() -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """Networks whose products are shared out to threads."""
    X, y = make_classification(300, 40, n_informative=5, random_state=0)
    return models(hidden_layer_sizes=(700,), batch_size=150), X, y


def after_fork(name: str) -> str:
    """Fit and predict in a child, with threads of BLAS alive in the parent."""
    both, X, y = wide()
    with threadpool_limits(2, user_api="blas"):
        model = both[name].fit(X, y)
        expected = model.predict_proba(X).tobytes()

        def call() -> str:
            again = clone(model).fit(X, y)
            found = [each.predict_proba(X).tobytes() for each in (model, again)]
            return f"{sum(each == expected for each in found)} of 2 the same"

        return in_child(call)


def in_threads(name: str) -> str:
    """Fits of clones in threads, while others predict with an older model."""
    with threadpool_limits(1, user_api="blas"):
        of = [models(random_state=seed, max_iter=20)[name] for seed in range(16)]
        expected = [clone(model).fit(X, Y) for model in of]
        proba = expected[0].predict_proba(X)
        with ThreadPoolExecutor(8) as pool:
            fits = [pool.submit(model.fit, X, Y) for model in of]
            predicted = [pool.submit(expected[0].predict_proba, X) for _ in range(200)]
            n_same = sum(
                same_weights(a.result(), b) for a, b in zip(fits, expected, strict=True)
            )
            n_right = sum(np.array_equal(each.result(), proba) for each in predicted)
    return f"{n_same} of 16 fits and {n_right} of 200 predictions the same"


def short_of_memory(name: str) -> str:
    """Fits with less and less room for the address space; what comes of each."""
    both, X, y = wide()
    small = both[name].fit(X, y)

    def call(megabytes: int) -> str:
        used = int(Path("/proc/self/statm").read_text().split()[0])
        limit = used * resource.getpagesize() + megabytes * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        large = copy.copy(small).set_params(hidden_layer_sizes=(2000, 2000))
        before = dict(vars(large))
        try:
            large.fit(X, y)
        except MemoryError:
            after = vars(large)
            same = after.keys() == before.keys()
            same = same and all(after[name] is before[name] for name in before)
            kept = "kept" if same else "changed"
            return f"MemoryError, the model before {kept}"
        return "fits"

    counts = Counter(in_child(lambda m=m: call(m)) for m in range(10, 310, 20))
    return as_text(counts)


# Searches of two jobs -----------------------------------------------------------------


class Dies:
    """A scorer whose worker is killed."""

    def __init__(self) -> None:
        self.parent = os.getpid()

    def __call__(self, model: Any, X: Any, y: Any, **_: Any) -> float:
        if os.getpid() != self.parent:
            os.kill(os.getpid(), signal.SIGKILL)
        return 0.5


def searches(scoring: Any = None, **parameters: Any) -> dict[str, Any]:
    """The search of the package, and GridSearchCV over each network."""
    both = models(**parameters)
    return {
        "RegularizedMLPClassifierCV": RegularizedMLPClassifierCV(
            (0.1, 1.0), (1.0,), cv=2, n_jobs=2, scoring=scoring or "auto", **parameters
        ),
        "GridSearchCV of skreg": GridSearchCV(
            both["skreg"], {"lambd": [0.1, 1.0]}, cv=2, n_jobs=2, scoring=scoring
        ),
        "GridSearchCV of MLPClassifier": GridSearchCV(
            both["MLPClassifier"], {"alpha": [0.1, 1]}, cv=2, n_jobs=2, scoring=scoring
        ),
    }


def killed_worker(search: Any) -> str:
    """What the search says; whether another fit works."""
    start = time.monotonic()
    try:
        search.fit(X, Y)
    except TerminatedWorkerError as error:
        seconds = time.monotonic() - start
        left = "as before" if not hasattr(search, "cv_results_") else "half fitted"
        search.set_params(scoring="accuracy").fit(X, Y)
        return f"{type(error).__name__} after {seconds:.1f} s, {left}, fits again"
    return "no error"


def endless(name: str) -> None:
    """A search that does not end, in a process of its own."""
    # A shell starts what is in the background without Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    parameters = {"max_iter": 10**9, "hidden_layer_sizes": (5,)}
    search = searches(**parameters)[name]
    print("begins", flush=True)
    search.fit(X, Y)


def ctrl_c(name: str) -> str:
    """Ctrl-C for the group of processes; the seconds until all of them are gone."""
    code = f"import faults; faults.endless({name!r})"
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=Path(__file__).parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(15)
    try:
        start = time.monotonic()
        for n_pressed in (1, 2, 3):
            os.killpg(process.pid, signal.SIGINT)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                continue
            while of_group(process.pid) and time.monotonic() - start < 90:
                time.sleep(0.05)
            seconds = time.monotonic() - start
            n_left = len(of_group(process.pid))
            return (
                f"gone after {seconds:.1f} s, pressed {n_pressed} times, exit status "
                f"{process.returncode}, {n_left} processes left"
            )
        return "goes on after Ctrl-C was pressed 3 times in a minute"
    finally:
        if of_group(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def of_group(group: int) -> list[int]:
    """The processes of the group that are left."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, of_process = status.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(of_process) == group and state != "Z":
            found.append(int(status.parent.name))
    return found


# The table ----------------------------------------------------------------------------


def as_text(counts: Counter) -> str:
    """How often each came."""
    return "; ".join(f"{name}: {n}" for name, n in sorted(counts.items()) if n)


KINDS: dict[str, dict[str, Any]] = {
    "adam": {},
    "sgd": {"solver": "sgd"},
    "lbfgs": {"solver": "lbfgs", "tol": 1e-12},
    "early stopping": {"early_stopping": True, "validation_fraction": 0.25},
}


def figures(step: int) -> Iterator[tuple[str, str, str]]:
    """Test, model, figure."""
    for kind, parameters in KINDS.items():
        for name, model in models(**parameters).items():
            for error in (KeyboardInterrupt, MemoryError):
                counts = at_lines(model, FOLDERS[name], error, step)
                yield f"{error.__name__}, {kind}", name, as_text(counts)
    for name in FOLDERS:
        yield "a fork after a fit", name, after_fork(name)
        yield "threads", name, in_threads(name)
        yield "a lack of memory", name, short_of_memory(name)
    for name, search in searches(Dies()).items():
        yield "a worker is killed", name, killed_worker(search)
    for name in searches():
        yield "Ctrl-C in a search of two jobs", name, ctrl_c(name)


def main() -> None:
    """Print the figures, and write them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--step", type=int, default=1)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    options.results.mkdir(exist_ok=True)
    with (options.results / "faults.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["test", "model", "figure"])
        for row in figures(options.step):
            print("{:34} {:30} {}".format(*row), flush=True)
            table.writerow(row)


if __name__ == "__main__":
    main()
