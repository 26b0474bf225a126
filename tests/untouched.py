"""What a call of the package must leave as it was: the state of the whole process."""

import gc
import locale
import logging
import os
import random
import signal
import sys
import threading
import warnings
from contextlib import contextmanager
from functools import cache

import numpy as np
import sklearn
from threadpoolctl import ThreadpoolController


@cache
def thread_pools():
    """Those of numpy, scipy and scikit-learn, which takes long to find out."""
    return ThreadpoolController()


def state_of_process():
    """Name → value, of all that one call could spoil for others."""
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002 - that is what we watch
    state = {
        "numpy's random state": (kind, keys.tobytes(), *rest),
        "random's state": random.getstate(),
        "warnings.filters": list(warnings.filters),
        "warnings.onceregistry": dict(warnings.onceregistry),
        "warnings.showwarning": warnings.showwarning,
        "numpy.geterr": np.geterr(),
        "numpy.geterrcall": np.geterrcall(),
        "numpy.getbufsize": np.getbufsize(),
        "numpy's print options": np.get_printoptions(),
        "environment": dict(os.environ),
        "working directory": os.getcwd(),
        "scikit-learn's configuration": sklearn.get_config(),
        "signal handlers": {s: signal.getsignal(s) for s in signal.valid_signals()},
        "threads of BLAS and OpenMP": [
            (library.filepath, library.num_threads)
            for library in thread_pools().lib_controllers
        ],
        "threads": threading.active_count(),
        "trace function": sys.gettrace(),
        "sys.path": list(sys.path),
        "standard streams": (sys.stdin, sys.stdout, sys.stderr),
        "recursion limit": sys.getrecursionlimit(),
        "garbage collection": (gc.isenabled(), gc.get_threshold()),
        "logging": (logging.root.level, list(logging.root.handlers)),
        "locale": locale.setlocale(locale.LC_ALL),
    }
    if os.path.isdir("/proc/self/fd"):
        state["open files"] = sorted(os.listdir("/proc/self/fd"))
    if "matplotlib" in sys.modules:
        state["matplotlib's settings"] = dict(sys.modules["matplotlib"].rcParams)
    return state


@contextmanager
def untouched():
    """What is called within leaves the process as it was, also if it fails."""
    before = state_of_process()
    try:
        yield
    finally:
        after = state_of_process()
    changed = [name for name in before if before[name] != after[name]]
    assert not changed, {name: (before[name], after[name]) for name in changed}
