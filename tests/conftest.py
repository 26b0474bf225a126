"""Settings for all tests: hypothesis profiles, pictures without a screen, workers."""

import gc
import os
import re
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies

# So that what is compared there shows, too.
pytest.register_assert_rewrite("helpers")

# For the tests and for the commands that they start. Matplotlib reads it when imported.
os.environ.setdefault("MPLBACKEND", "Agg")

# Networks as small as those of the tests lose time on several threads, above all where
# the machine has other work. It counts if numpy has not been imported yet.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# ONNX Runtime from 1.29 would report to its makers, in a thread that opens files while
# other tests look whether a call leaves some open.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

# Nothing depends on how fast the machine is, nor on its other work. No more cases than
# some seconds are enough for.
settings.register_profile(
    "dev",
    deadline=None,
    max_examples=30,
    stateful_step_count=20,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("ci", settings.get_profile("dev"), derandomize=True)
# Thousands of cases, for docs/reliability/properties.py.
settings.register_profile(
    "deep",
    settings.get_profile("dev"),
    max_examples=2000,
    stateful_step_count=30,
)
settings.load_profile("ci" if os.environ.get("CI") else "dev")

# What is imported while tests are collected stays to the end: no search for garbage
# goes through it, then or later.
gc.disable()


@settings(max_examples=1, database=None)
@given(strategies.none())
def first_example(nothing):
    """At its first example hypothesis looks, by gc, for who holds an object of it."""


def pytest_collection_finish():
    first_example()
    gc.freeze()
    gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config):
    """One on each core that this process may use; none for files or tests by name."""
    named = config.args if config.args_source is config.ArgsSource.ARGS else []
    if not all(Path(name).is_dir() for name in named):
        return 0
    # Imports numpy, which has read the number of threads from above by then.
    from joblib import cpu_count

    return min(cpu_count(), 8)


@pytest.fixture(scope="module")
def iris():
    """X, scaled, and y."""
    from sklearn.datasets import load_iris
    from sklearn.preprocessing import scale

    X, y = load_iris(return_X_y=True)
    return scale(X), y


def without_addresses(name_of, value):
    name = name_of(value)
    return re.sub(" at 0x[0-9a-fA-F]*", "", name) if isinstance(name, str) else name


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc):
    """Each worker is to find the same tests: no address of an object in their names."""
    for mark in metafunc.definition.iter_markers("parametrize"):
        name_of = mark.kwargs.get("ids")
        if callable(name_of) and not isinstance(name_of, partial):
            mark.kwargs["ids"] = partial(without_addresses, name_of)
