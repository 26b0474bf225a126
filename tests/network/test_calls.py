"""Calls, run at once or planned."""

import numpy as np
import pytest

from skreg._network.calls import plan, run, run_plan


def calls(x, out):
    yield np.add, x, 1, out
    yield np.multiply, out, 10, out


def test_calls_are_run_in_their_order():
    x, out = np.array([1.0, 2.0]), np.empty(2)
    run(calls(x, out))
    assert out.tolist() == [20, 30]


def test_a_plan_reads_its_arrays_each_time():
    x, out = np.array([1.0, 2.0]), np.full(2, np.nan)
    planned = plan(calls(x, out))
    assert np.isnan(out).all()
    for start in (1.0, 5.0):
        x[0] = start
        run_plan(planned)
        assert out.tolist() == [10 * (start + 1), 30]


def test_an_error_ends_it():
    def broken(out):
        yield out.fill, 1
        yield int, "no number"
        yield out.fill, 2

    out = np.zeros(1)
    for begin in (run, lambda made: run_plan(plan(made))):
        with pytest.raises(ValueError, match="no number"):
            begin(broken(out))
        assert out == 1
