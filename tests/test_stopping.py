"""Plateaus: what counts as an improvement, what ends the training, what is best."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skreg._stopping import Plateau

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
