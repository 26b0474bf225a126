"""A stack of runs against one run for each."""

import tracemalloc
from dataclasses import fields

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skreg import RegularizedMLPClassifier, _runs
from skreg._data import check_y, infer_target, training_set, validation_set
from skreg._problem import stack_of
from skreg._solvers import Result
from skreg._training import train, train_together

KINDS = ["binary", "multiclass", "multilabel"]
GRID = [(0.1, 0.5), (5.0, 0.5), (0.1, 1.0), (30.0, (0.9, 0.7)), ((0, 1, 9), 0.5)]
NUMBERS = [
    field.name
    for field in fields(Result)
    if field.name not in ("interrupt", "diverged", "message")
]


def data_of(kind="binary", n=40, *, weighted=False, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4))
    y = np.arange(n) % (3 if kind == "multiclass" else 2)
    if kind == "multilabel":
        y = (X[:, :3] + rng.normal(size=(n, 3)) > 0).astype(int)
    else:
        X[:, 0] += y
    weight = rng.uniform(0.5, 3, n) if weighted else None
    return training_set(X.astype(dtype), check_y(y), weight, infer_target(y))


def models(grid=GRID, **parameters):
    defaults = {
        "hidden_layer_sizes": (5, 4),
        "learning_rate": "constant",
        "learning_rate_init": 0.03,
        "batch_size": 11,
        "max_iter": 8,
        "tol": 1e-3,
        "n_iter_no_change": 2,
        "early_stopping": False,
        "early_stopping_refit": False,
        "averaging": 0.0,
        "random_state": 1,
    }
    return [
        RegularizedMLPClassifier(
            lambd=lambd, keep_prob=keep_prob, **{**defaults, **parameters}
        )
        for lambd, keep_prob in grid
    ]


def assert_same(found, expected):
    """Both are runs; all of the result is the same."""
    assert found.result.message == expected.result.message
    for name in NUMBERS:
        a, b = (getattr(run.result, name) for run in (found, expected))
        assert_allclose(a, b, rtol=1e-11, atol=1e-13, err_msg=name)
    assert found.result.interrupt is None
    assert found.result.diverged is None
    assert found.result.theta.dtype == expected.result.theta.dtype
    for a, b in zip(found.layers, expected.layers, strict=True):
        assert_allclose(a.W, b.W, rtol=1e-11, atol=1e-13)
        assert_allclose(a.b, b.b, rtol=1e-11, atol=1e-13)


# Each as alone -----------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("learning_rate", ["constant", "adaptive", "invscaling"])
@pytest.mark.parametrize("kind", KINDS)
def test_each_of_a_stack_is_as_alone(kind, learning_rate, solver):
    data = data_of(kind, weighted=kind == "binary")
    several = models(solver=solver, learning_rate=learning_rate, max_iter=30)
    together = train_together(several, data)
    for found, one in zip(together, several, strict=True):
        assert_same(found, train(one, data))
    assert len({found.result.loss for found in together}) == len(GRID)


@pytest.mark.parametrize("own_rows", [False, True])
@pytest.mark.parametrize("scoring", ["loss", "accuracy", "neg_log_loss"])
def test_each_of_a_stack_stops_early_as_alone(scoring, own_rows):
    data = data_of(n=60)
    validation = None
    if own_rows:
        other = data_of(n=30, seed=5)
        y = data.target.decode(other.y)
        validation = validation_set(other.X, y, None, data)
    several = models(
        early_stopping=True, scoring=scoring, train_scores=True, max_iter=40
    )
    together = train_together(several, data, validation=validation)
    for found, one in zip(together, several, strict=True):
        assert_same(found, train(one, data, validation=validation))
    assert len({found.result.n_epochs for found in together}) > 1
    assert len({found.result.best_epoch for found in together}) > 1


def test_a_network_that_has_stopped_leaves_the_stack(monkeypatch):
    sizes = []

    def spied(problem, theta):
        sizes.append(len(theta))
        return stack_of(problem, theta)

    monkeypatch.setattr(_runs, "stack_of", spied)
    together = train_together(models(early_stopping=True, max_iter=40), data_of(n=60))
    stopped = sorted(found.result.n_epochs for found in together)
    expected = [sum(n > epoch for n in stopped) for epoch in range(stopped[-1])]
    assert sizes == sorted(set(expected), reverse=True)
    assert len(sizes) > 1


def test_float32_stays_float32():
    data = data_of(dtype=np.float32)
    for found, one in zip(train_together(models(), data), models(), strict=True):
        assert found.result.theta.dtype == np.float32
        expected = train(one, data).result.theta
        assert_allclose(found.result.theta, expected, rtol=0, atol=1e-5)


def test_two_leave_and_the_settings_of_the_others_stay_theirs():
    """The first and the third diverge in the first epoch."""
    data = data_of()
    grid = [(1e9, 1.0), (0.1, 0.5), (2e9, 0.9), (3.0, 0.9), (40.0, 1.0)]
    several = models(grid, solver="sgd", n_iter_no_change=np.inf)
    together = train_together(several, data)
    for number in (0, 2):
        with pytest.raises(ValueError, match="diverged") as expected:
            train(several[number], data)
        assert isinstance(together[number], ValueError)
        assert str(together[number]) == str(expected.value)
    for number in (1, 3, 4):
        assert_same(together[number], train(several[number], data))


def test_all_may_diverge():
    grid = [(1e9, 1.0), (2e9, 0.5)]
    together = train_together(models(grid, solver="sgd"), data_of())
    assert [type(found) for found in together] == [ValueError] * 2
    assert "lambd=1000000000.0" in str(together[0])
    assert "lambd=2000000000.0" in str(together[1])


def test_one_class_is_a_constant_model_for_each():
    data = data_of()
    y = np.zeros(40, int)
    data = training_set(data.X, y, None, infer_target(y))
    together = train_together(models(), data)
    assert len(together) == len(GRID)
    for found, one in zip(together, models(), strict=True):
        assert_same(found, train(one, data))
        assert not found.result.theta.any()


def test_the_estimators_are_not_written():
    several = models(random_state=np.random.RandomState(0))
    before = [dict(vars(one)) for one in several]
    state = several[0].random_state.get_state()[1].copy()
    train_together(several, data_of())
    assert [dict(vars(one)) for one in several] == before
    assert_array_equal(several[0].random_state.get_state()[1], state)


def test_epochs_may_be_printed(capsys):
    """Those of one and those of the next take turns."""
    train_together(models(GRID[:2], verbose=True, max_iter=3), data_of())
    lines = capsys.readouterr().out.splitlines()
    numbers = [line.split(",")[0] for line in lines]
    assert numbers == [f"Iteration {epoch}" for epoch in (1, 1, 2, 2, 3, 3)]


# Failures ----------------------------------------------------------------------------


def test_what_is_wrong_with_all_is_raised():
    with pytest.raises(ValueError, match="validation_fraction=0"):
        train_together(models(early_stopping=True, validation_fraction=0.0), data_of())
    with pytest.raises(ValueError, match=r"keep_prob=0\.5 does not go with"):
        train_together(models(solver="lbfgs"), data_of())


def test_an_interrupt_is_raised():
    stop = KeyboardInterrupt()

    def scoring(model, X, y):
        raise stop

    with pytest.raises(KeyboardInterrupt) as caught:
        train_together(models(early_stopping=True, scoring=scoring), data_of())
    assert caught.value is stop


# Memory ------------------------------------------------------------------------------


def peak_of(several, data):
    tracemalloc.start()
    try:
        found = train_together(several, data)
        return found, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_the_memory_of_a_stack_is_given_back_when_networks_leave():
    """There are never two stacks of workspaces, and not the first until the end."""
    data = data_of(n=4000)
    grid = [(float(lambd), 0.9) for lambd in np.geomspace(1, 1e4, 6)]
    settings = {"hidden_layer_sizes": (40, 20), "batch_size": "full", "max_iter": 12}
    _, stays = peak_of(models(grid, **settings, n_iter_no_change=np.inf), data)
    calls = dict.fromkeys([lambd for lambd, _ in grid], 0)

    def scoring(model, X, y):
        # They leave one after the other.
        calls[model.lambd] += 1
        return min(calls[model.lambd], 2 * grid.index((model.lambd, 0.9)))

    leaving, moves = peak_of(
        models(
            grid,
            **settings,
            early_stopping=True,
            scoring=scoring,
            validation_fraction=0.001,
        ),
        data,
    )
    assert len({found.result.n_epochs for found in leaving}) > 4
    assert moves < 1.1 * stays
