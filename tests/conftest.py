"""Settings for all tests: hypothesis profiles and pictures without a screen."""

import gc
import os

from hypothesis import HealthCheck, settings

# For the tests and for the commands that they start. Matplotlib reads it when imported.
os.environ.setdefault("MPLBACKEND", "Agg")

# Networks as small as those of the tests lose time on several threads, above all where
# the machine has other work. It counts if numpy has not been imported yet.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# No deadline: the first call of a function is often the slow one. No more cases than
# some seconds are enough for.
settings.register_profile("dev", deadline=None, max_examples=30, stateful_step_count=20)
settings.register_profile("ci", settings.get_profile("dev"), derandomize=True)
# Thousands of cases, for docs/reliability/properties.py.
settings.register_profile(
    "deep",
    deadline=None,
    max_examples=2000,
    stateful_step_count=30,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("ci" if os.environ.get("CI") else "dev")

# What is imported while tests are collected stays to the end: no search for garbage
# goes through it, then or later.
gc.disable()


def pytest_collection_finish():
    gc.freeze()
    gc.enable()
