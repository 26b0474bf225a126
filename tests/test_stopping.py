"""Plateaus: what counts as an improvement, what ends the training, what is best."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skreg._stopping import Plateau, plateaus_in_step

SCORES = st.lists(
    st.one_of(
        st.floats(-2, 2),
        st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, math.nan, math.inf, -math.inf]),
    ),
    max_size=20,
)


def counts(plateau, scores):
    """The count after each score."""
    found = []
    for score in scores:
        plateau.update(score)
        found.append(plateau.count)
    return found


def test_the_first_finite_score_is_an_improvement():
    plateau = Plateau(0.1, 3)
    assert plateau.update(-1e6)
    assert plateau.best == -1e6
    assert plateau.count == 0
    assert not plateau.exhausted


@pytest.mark.parametrize(
    ("score", "count"),
    [(0.75, 0), (0.5, 0), (0.4999, 1), (0.25, 1), (0.2, 1), (-1.0, 1)],
)
def test_only_an_improvement_of_at_least_tol_begins_a_new_count(score, count):
    """Numbers that are exact in binary: 0.25 + 0.25 is 0.5, and 0.5 is enough."""
    assert counts(Plateau(0.25, 10), [0.25, score]) == [0, count]


def test_with_a_tol_of_zero_an_equal_score_begins_a_new_count():
    plateau = Plateau(0.0, 2)
    assert counts(plateau, [1.0, 1.0, 0.5, 1.0]) == [0, 0, 1, 0]
    assert not plateau.update(1.0)


@pytest.mark.parametrize("patience", [1, 2, 5])
def test_patience_is_the_number_of_epochs_without_enough_improvement(patience):
    plateau = Plateau(0.5, patience)
    plateau.update(0.0)
    for epoch in range(1, patience + 1):
        assert not plateau.exhausted
        plateau.update(0.25)
        assert plateau.count == epoch
    assert plateau.exhausted
    plateau.update(0.25)
    assert plateau.exhausted


def test_an_improvement_in_between_begins_the_count_anew():
    plateau = Plateau(0.5, 3)
    assert counts(plateau, [0, 0, 0, 1, 1, 1, 1]) == [0, 1, 2, 0, 1, 2, 3]
    assert plateau.exhausted


def test_small_improvements_move_the_best_and_so_the_bar():
    """Each step is too small, and the next one is measured from where it led."""
    plateau = Plateau(0.5, 4)
    assert counts(plateau, [0.0, 0.25, 0.5, 0.75, 1.0]) == [0, 1, 2, 3, 4]
    assert plateau.best == 1.0
    assert plateau.exhausted


def test_the_best_is_the_best_even_if_not_by_tol():
    plateau = Plateau(0.5, 10)
    assert [plateau.update(s) for s in (0.0, 0.25, 0.25, 0.125, 0.375)] == [
        True,
        True,
        False,
        False,
        True,
    ]
    assert plateau.best == 0.375
    assert plateau.count == 4


def test_nan_never_improves():
    plateau = Plateau(0.0, 3)
    assert not plateau.update(math.nan)
    assert (plateau.best, plateau.count) == (-math.inf, 1)
    assert plateau.update(0.5)
    assert not plateau.update(math.nan)
    assert (plateau.best, plateau.count) == (0.5, 1)
    plateau.update(math.nan)
    assert not plateau.exhausted
    plateau.update(math.nan)
    assert plateau.exhausted


def test_an_infinite_patience_is_never_exhausted():
    plateau = Plateau(0.1, math.inf)
    plateau.update(1.0)
    for _ in range(1000):
        assert not plateau.update(0.0)
        assert not plateau.exhausted
    assert plateau.count == 1000
    assert plateau.best == 1.0


def test_restart_begins_to_count_again_and_keeps_the_best():
    plateau = Plateau(0.5, 2)
    counts(plateau, [1.0, 1.0, 1.0])
    assert plateau.exhausted
    plateau.restart()
    assert not plateau.exhausted
    assert plateau.best == 1.0
    assert not plateau.update(0.75)
    assert not plateau.exhausted
    plateau.update(0.75)
    assert plateau.exhausted


def test_it_goes_on_from_a_best_and_a_count_of_before():
    plateau = Plateau(0.5, 3, best=1.0, count=2)
    assert not plateau.exhausted
    assert not plateau.update(0.875)
    assert plateau.exhausted
    assert plateau.best == 1.0


@given(SCORES, st.sampled_from([0.0, 0.125, 0.5]), st.integers(1, 4))
def test_it_follows_the_definition_on_any_scores(scores, tol, patience):
    """From the whole history, not step by step."""
    plateau = Plateau(tol, patience)
    for n, score in enumerate(scores):
        before = [s for s in scores[:n] if not math.isnan(s)]
        best = max(before, default=-math.inf)
        assert plateau.update(score) == (score > best)
        assert plateau.best == max([*before, score], default=-math.inf) or math.isnan(
            score
        )
        enough = [
            s >= max((t for t in scores[:k] if t == t), default=-math.inf) + tol
            for k, s in enumerate(scores[: n + 1])
        ]
        since = next((k for k, e in enumerate(reversed(enough)) if e), n + 1)
        assert plateau.count == since
        assert plateau.exhausted == (since >= patience)


# Runs in step -------------------------------------------------------------------------


def naive_end(scores, tol, patience):
    """The epoch, from 1, after which training stops; None if it goes on."""
    best, count = -math.inf, 0
    for epoch, score in enumerate(scores, start=1):
        count = 0 if score >= best + tol else count + 1
        best = score if score > best else best
        if count >= patience:
            return epoch
    return None


VALUES = st.one_of(
    st.floats(-2, 2),
    st.sampled_from([0.0, 0.25, 0.5, 1.0, math.nan, math.inf, -math.inf]),
)


@given(
    st.integers(1, 4).flatmap(
        lambda n_runs: st.lists(
            st.lists(VALUES, min_size=n_runs, max_size=n_runs), min_size=1, max_size=20
        )
    ),
    st.sampled_from([0.0, 0.125, 0.5]),
    st.sampled_from([1, 2, 4, math.inf]),
    st.data(),
)
def test_runs_in_step_end_with_the_plateau_of_their_mean(epochs, tol, patience, drawn):
    n_runs = len(epochs[0])
    plateaus = plateaus_in_step(tol, patience, n_runs)
    assert len(plateaus) == n_runs
    means = [sum(scores) / n_runs for scores in epochs]
    expected = naive_end(means, tol, patience)
    best = [-math.inf] * n_runs
    for epoch, scores in enumerate(epochs, start=1):
        for number, (plateau, score) in enumerate(zip(plateaus, scores, strict=True)):
            # Each reports its own best, whatever the others have.
            assert plateau.update(score) == (score > best[number])
            best[number] = score if score > best[number] else best[number]
            assert plateau.best == best[number]
        # In any order, and more than once.
        asked = drawn.draw(st.permutations(range(n_runs))) * 2
        ended = epoch == expected
        assert [plateaus[number].exhausted for number in asked] == [ended] * 2 * n_runs
        if ended:
            break


def test_one_run_in_step_is_a_run_alone():
    (plateau,) = plateaus_in_step(0.5, 3, 1)
    assert counts(plateau, [0, 0, 0, 1, 1, 1, 1]) == [0, 1, 2, 0, 1, 2, 3]
    assert plateau.exhausted


def test_one_run_in_step_can_begin_to_count_again():
    """As it does after a change of the learning rate."""
    (plateau,) = plateaus_in_step(0.5, 2, 1)
    counts(plateau, [1.0, 1.0, 1.0])
    assert plateau.exhausted
    plateau.restart()
    assert not plateau.exhausted


def test_tol_is_for_the_mean_of_the_scores_and_not_for_their_sum():
    """The mean rises by 0.25 an epoch: too little, though the sum rises by 0.75."""
    plateaus = plateaus_in_step(0.5, 2, 3)
    ended = []
    for score in (0.0, 0.25, 0.5):
        for plateau in plateaus:
            plateau.update(score)
        ended.append(plateaus[0].exhausted)
    assert ended == [False, False, True]


def test_one_that_gets_better_carries_the_other():
    """The second has not improved for long, and the mean has."""
    first, second = plateaus_in_step(0.25, 2, 2)
    for score in (0.0, 1.0, 2.0, 3.0):
        first.update(score)
        second.update(0.0)
        assert not first.exhausted
        assert not second.exhausted
    assert (first.best, second.best) == (3.0, 0.0)
    for _ in range(2):
        first.update(3.0)
        second.update(0.0)
    assert first.exhausted
    assert second.exhausted


def test_there_is_no_plateau_of_epochs_that_a_run_has_not_made():
    """It may have diverged; the scores that are there count as before."""
    first, second = plateaus_in_step(0.5, 2, 2)
    for plateau in (first, second):
        counts(plateau, [1.0, 1.0])
    counts(first, [1.0, 1.0, 1.0])
    assert not first.exhausted
    second.update(1.0)
    assert first.exhausted
    assert second.exhausted
