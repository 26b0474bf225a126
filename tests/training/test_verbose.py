"""What ``verbose`` prints: each epoch, the end of each phase, and of which network."""

import re
from functools import partial

import numpy as np
import pytest
from helpers import no_convergence_warning, small
from sklearn.datasets import load_iris

from skreg import RegularizedMLPEnsemble

X, y = load_iris(return_X_y=True)

classifier = partial(small, hidden_layer_sizes=(5,), max_iter=4, verbose=True)
ON_SPLITS = {
    "learning_rate": "constant",
    "early_stopping": True,
    "early_stopping_refit": True,
    "n_validation_splits": 2,
    "n_iter_no_change": 3,
    "tol": 0.01,
    "max_iter": 60,
}
LOSS = r"\d+\.\d{8}"
SECONDS = r"\d+\.\d{2} s"


@pytest.fixture
def lines_of(capsys):
    """The lines that a fit prints; the seconds of the epochs never decrease."""

    def lines_of(model, method="fit", **parameters):
        with no_convergence_warning():
            getattr(model, method)(X, y, **parameters)
        lines = capsys.readouterr().out.splitlines()
        seconds = re.findall(r" (\d+\.\d{2}) s$", "\n".join(lines), re.M)
        assert len(seconds) == sum("loss = " in line for line in lines) > 0
        assert seconds == sorted(seconds, key=float)
        return lines

    return lines_of


def epochs(numbers, score="", prefix="Iteration"):
    return [rf"{prefix} {n}, loss = {LOSS}{score}, {SECONDS}" for n in numbers]


def assert_match(lines, *patterns):
    assert len(lines) == len(patterns)
    for line, pattern in zip(lines, patterns, strict=True):
        assert re.fullmatch(pattern, line), (line, pattern)


@pytest.mark.parametrize("verbose", [True, 1, 10])
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_each_epoch_has_its_seconds_and_the_last_is_named(lines_of, solver, verbose):
    model = classifier(solver=solver, verbose=verbose)
    unit = "iteration" if solver == "lbfgs" else "epoch"
    lines = lines_of(model)
    assert_match(lines, *epochs([1, 2, 3, 4]), f"Training stopped after {unit} 4")
    losses = [float(re.search(LOSS, line)[0]) for line in lines[:-1]]
    np.testing.assert_allclose(losses, model.loss_curve_, atol=1e-8)


@pytest.mark.parametrize(
    ("scoring", "name", "sign"),
    [("loss", "loss", -1), ("neg_log_loss", "score", 1), ("accuracy", "score", 1)],
)
def test_a_loss_on_validation_rows_is_positive(lines_of, scoring, name, sign):
    model = classifier(early_stopping=True, early_stopping_refit=False, scoring=scoring)
    *lines, end = lines_of(model)
    assert_match(lines, *epochs([1, 2, 3, 4], rf", validation {name} = -?\d\.\d{{6}}"))
    found = [float(line.split(" = ")[2].split(",")[0]) for line in lines]
    expected = [sign * score for score in model.validation_scores_]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert end == f"Training stopped after epoch 4, best epoch {model.best_n_iter_}"


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_the_splits_and_all_rows_each_have_an_end(lines_of, solver):
    model = classifier(**ON_SPLITS, solver=solver, learning_rate_init=0.05)
    unit = "iteration" if solver == "lbfgs" else "epoch"
    lines = lines_of(model)
    best = model.best_n_iter_
    more, why = (
        (round(1.5 * best), r"1\.5 times the best") if best > 6 else (best, "the best")
    )
    n_epochs = sum(", validation loss = " in line for line in lines)
    # L-BFGS ends each split by itself; the scores are of the epochs that all have made.
    assert n_epochs == len(model.validation_scores_) or solver == "lbfgs"
    assert_match(
        lines,
        "Validation split 1 of 2",
        *epochs(range(1, n_epochs + 1), r", validation loss = \d\.\d{6}"),
        f"Training stopped after {unit} {n_epochs}, best {unit} {best}",
        # L-BFGS has few iterations: 6 are among the first.
        rf"All rows, up to {unit} {more}: {why}",
        *epochs(range(1, model.n_iter_ + 1)),
        f"Training stopped after {unit} {model.n_iter_}",
    )
    assert best <= n_epochs < 60


def test_max_iter_may_cut_the_training_on_all_rows(lines_of):
    lines = lines_of(
        classifier(**ON_SPLITS | {"max_iter": 7, "learning_rate_init": 0.01})
    )
    assert "Training stopped after epoch 7, best epoch 7" in lines
    cut = "All rows, up to epoch 7: 1.5 times the best, but at most max_iter"
    assert cut in lines


def test_an_ensemble_says_which_network_it_is(lines_of):
    """Counted over all of it, however many are trained at a time."""
    model = RegularizedMLPEnsemble(classifier(**ON_SPLITS), 3)
    lines = lines_of(model)
    assert lines[0] == "Validation split 1 of 2"
    for number, network in enumerate(model.estimators_, start=1):
        name, best = f"Network {number}: ", network.best_n_iter_
        mine = [line.removeprefix(name) for line in lines if line.startswith(name)]
        n_epochs = len(network.validation_scores_)
        why = "1.5 times the best" if best > 6 else "the best"
        assert_match(
            mine,
            *epochs(range(1, n_epochs + 1), r", validation .*", "iteration"),
            f"training stopped after epoch {n_epochs}, best epoch {best}",
            f"all rows, up to epoch {network.n_iter_}: {why}",
            *epochs(range(1, network.n_iter_ + 1), prefix="iteration"),
            f"training stopped after epoch {network.n_iter_}",
        )


def test_partial_fit_has_no_last_epoch(lines_of):
    model = classifier()
    for _ in range(2):
        lines = lines_of(model, "partial_fit", classes=[0, 1, 2])
        assert_match(lines, *epochs([1]))
