"""Plateaus, and the epochs in turns that they end: what counts, what is best."""

import math
from dataclasses import replace

import numpy as np
import pytest
from helpers import network, noisy_rows
from hypothesis import given
from hypothesis import strategies as st

from skreg._training.descent import Run
from skreg._training.early_stopping import Plateau, descend, plateaus_of
from skreg._training.problem import Problem
from skreg._training.rows import given_rows

SCORES = st.one_of(
    st.floats(-2, 2),
    st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, math.nan, math.inf, -math.inf]),
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
    plateau.update(-1e6)
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
    for score, best in [(0.0, 0.0), (0.25, 0.25), (0.125, 0.25), (0.375, 0.375)]:
        plateau.update(score)
        assert plateau.best == best
    assert plateau.count == 3


def test_nan_never_improves():
    plateau = Plateau(0.0, 3)
    plateau.update(math.nan)
    assert (plateau.best, plateau.count) == (-math.inf, 1)
    plateau.update(0.5)
    plateau.update(math.nan)
    assert (plateau.best, plateau.count) == (0.5, 1)
    plateau.update(math.nan)
    assert not plateau.exhausted
    plateau.update(math.nan)
    assert plateau.exhausted


def test_an_infinite_patience_is_never_exhausted():
    plateau = Plateau(0.1, math.inf)
    plateau.update(1.0)
    for _ in range(1000):
        plateau.update(0.0)
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
    plateau.update(0.75)
    assert not plateau.exhausted
    plateau.update(0.75)
    assert plateau.exhausted


def test_it_goes_on_from_a_best_and_a_count_of_before():
    plateau = Plateau(0.5, 3, best=1.0, count=2)
    assert not plateau.exhausted
    plateau.update(0.875)
    assert plateau.exhausted
    assert plateau.best == 1.0


@given(
    st.lists(SCORES, max_size=20), st.sampled_from([0.0, 0.125, 0.5]), st.integers(1, 4)
)
def test_it_follows_the_definition_on_any_scores(scores, tol, patience):
    """From the whole history, not step by step."""
    plateau = Plateau(tol, patience)
    for n, score in enumerate(scores):
        before = [s for s in scores[:n] if not math.isnan(s)]
        plateau.update(score)
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


# Epochs in turns ----------------------------------------------------------------------


class Scripted:
    """Networks whose scores are known, one list for each; None where one diverges.

    ``events`` gets ``name`` for each epoch. Where a plateau ``slows`` it down, it notes
    so, and is not ended.
    """

    def __init__(self, *scores, name="", events=None, slows=False):
        self.runs = [Run(np.zeros(1), watched=True) for _ in scores]
        self.n_slowed = 0
        self._scores = scores
        self._name, self._slows = name, slows
        self._events = [] if events is None else events
        self._n_epochs = 0

    @property
    def done(self):
        of_length = self._n_epochs == len(self._scores[0])
        return of_length or not any(run.going for run in self.runs)

    def epoch(self):
        assert not self.done
        self._events.append(self._name)
        for run, scores in zip(self.runs, self._scores, strict=True):
            score = scores[self._n_epochs]
            if run.going and score is None:
                run.diverges(0.1)
            elif run.going:
                run.epoch_ended(0.0, score, None)
        self._n_epochs += 1

    def lower_rate(self, run):
        self.n_slowed += self._slows
        return self._slows

    @property
    def n_epochs(self):
        """How many each network has made."""
        return [run.result.n_epochs for run in self.runs]


def epochs_until_the_end(splits, *plateaus):
    """The numbers of epochs of each split's networks."""
    descents = [Scripted(*of_split) for of_split in splits]
    descend(descents, plateaus)
    for descent in descents:
        for run in descent.runs:
            # An end that is not that of the lists is one by the plateau.
            assert run.result.converged == (not run.going)
    return [descent.n_epochs for descent in descents]


def naive_end(scores, tol, patience):
    """The epoch, from 1, after which training stops; the last if it goes on."""
    best, count = -math.inf, 0
    for epoch, score in enumerate(scores, start=1):
        count = 0 if score >= best + tol else count + 1
        best = score if score > best else best
        if count >= patience:
            return epoch
    return len(scores)


@given(
    st.tuples(st.integers(1, 4), st.integers(1, 3)).flatmap(
        lambda sizes: st.lists(
            st.lists(
                st.lists(SCORES, min_size=sizes[1], max_size=sizes[1]),
                min_size=sizes[0],
                max_size=sizes[0],
            ),
            min_size=1,
            max_size=20,
        )
    ),
    st.sampled_from([0.0, 0.125, 0.5]),
    st.sampled_from([1, 2, 4, math.inf]),
)
def test_splits_end_with_the_plateau_of_their_mean(epochs, tol, patience):
    """Each network with that of its own: scores are by epoch, split and network."""
    n_splits, n_networks = len(epochs[0]), len(epochs[0][0])
    splits = [
        [[epoch[split][number] for epoch in epochs] for number in range(n_networks)]
        for split in range(n_splits)
    ]
    plateaus = [Plateau(tol, patience) for _ in range(n_networks)]
    found = epochs_until_the_end(splits, *plateaus)
    for number, plateau in enumerate(plateaus):
        means = [sum(split[number] for split in each) / n_splits for each in epochs]
        end = naive_end(means, tol, patience)
        assert [of_split[number] for of_split in found] == [end] * n_splits
        # It hears nothing of epochs that the network has not made.
        scores = [mean for mean in means[:end] if not math.isnan(mean)]
        assert plateau.best == max(scores, default=-math.inf)


def test_tol_is_for_the_mean_of_the_scores_and_not_for_their_sum():
    """The mean rises by 0.25 an epoch: too little, though the sum rises by 0.75."""
    rising = [0.25 * n for n in range(9)]
    assert epochs_until_the_end([[rising]] * 3, Plateau(0.5, 2)) == [[3]] * 3


def test_a_split_that_gets_better_carries_the_other():
    """The second has not improved for long, and the mean has."""
    rising, flat = [0.0, 1.0, 2.0, 3.0, 3.0, 3.0, 3.0], [0.0] * 7
    assert epochs_until_the_end([[flat]], Plateau(0.25, 2)) == [[3]]
    assert epochs_until_the_end([[rising], [flat]], Plateau(0.25, 2)) == [[6], [6]]


def test_splits_take_turns_and_then_the_plateau_is_asked():
    events = []

    class Noting(Plateau):
        def update(self, score):
            events.append(score)
            super().update(score)

    first = Scripted([1.0, 2.0, 3.0], name="a", events=events)
    second = Scripted([3.0, 4.0, 4.0], name="b", events=events)
    descend([first, second], [Noting(0.0, math.inf)])
    assert events == ["a", "b", 2.0, "a", "b", 3.0, "a", "b", 3.5]
    assert first.runs[0].going


def test_a_network_that_diverges_in_one_split_leaves_in_all():
    """In the epoch in which it does; the other goes on in all."""
    bad, good = [1.0, 1.0, None, 1.0], [1.0] * 4
    splits = [Scripted(good, good), Scripted(bad, good), Scripted(good, good)]
    plateaus = [Plateau(0.0, math.inf) for _ in range(2)]
    descend(splits, plateaus)
    assert [split.n_epochs for split in splits] == [[3, 4], [2, 4], [3, 4]]
    assert [split.runs[0].going for split in splits] == [False] * 3
    assert [split.runs[1].going for split in splits] == [True] * 3
    # It did not leave because it was told to.
    assert splits[1].runs[0].result.diverged.epoch == 3
    assert not splits[1].runs[0].result.converged


def test_the_epoch_in_which_one_diverges_has_no_score():
    plateau = Plateau(0.0, math.inf)
    descend([Scripted([1.0, 2.0]), Scripted([1.0, None])], [plateau])
    assert plateau.best == 1.0


def test_a_callback_that_has_seen_enough_ends_all_networks_in_all_splits():
    """It follows one of them in the first split."""
    splits = [Scripted([1.0] * 5, [1.0] * 5) for _ in range(2)]

    class Stops:
        def ends(self, epoch, loss, score):
            return epoch == 2

    splits[0].runs[1].progress = Stops()
    descend(splits, [Plateau(0.0, math.inf) for _ in range(2)])
    assert [split.n_epochs for split in splits] == [[2, 2], [2, 2]]
    assert [run.result.stopped for run in splits[0].runs] == [False, True]
    assert [run.result.stopped for run in splits[1].runs] == [False, False]


def test_a_plateau_hears_no_more_of_a_network_that_is_done():
    """The other one goes on alone, with epochs of its own."""
    first, second = Plateau(0.0, 1), Plateau(0.0, math.inf)
    descend([Scripted([2.0, 1.0, 3.0, 4.0], [1.0] * 4)], [first, second])
    assert (first.best, first.count) == (2.0, 1)
    assert second.count == 0


def test_a_plateau_of_all_splits_slows_them_down_and_begins_to_count_again():
    flat = [1.0] * 6
    splits = [Scripted(flat, slows=True) for _ in range(2)]
    plateau = Plateau(0.5, 2)
    descend(splits, [plateau])
    assert [split.n_epochs for split in splits] == [[6], [6]]
    # After the third epoch, and after two more.
    assert [split.n_slowed for split in splits] == [2, 2]
    assert plateau.count == 1


def test_where_a_split_cannot_slow_down_all_end():
    splits = [Scripted([1.0] * 6, slows=True), Scripted([1.0] * 6)]
    descend(splits, [Plateau(0.5, 2)])
    assert [split.n_epochs for split in splits] == [[3], [3]]


def test_nothing_is_asked_of_descents_that_are_done():
    done = Scripted([])
    descend([done, done], [Plateau(0.0, 1)])
    assert done.n_epochs == [0]
    assert done.runs[0].going


# Which plateau -----------------------------------------------------------------------


@pytest.mark.parametrize("n_epochs", [None, [5, 6, 7]])
@pytest.mark.parametrize("validated", [False, True])
@pytest.mark.parametrize("schedule", ["adaptive", "constant", "cosine", "invscaling"])
def test_where_the_end_is_known_there_is_no_plateau(schedule, validated, n_epochs):
    """The cosine comes to its end, unless rows for validation end it before."""
    one = network(learning_rate="adaptive", tol=0.125, n_iter_no_change=7)
    rows = given_rows(one, *noisy_rows()).training
    problem = Problem.of([one, one, one], rows)
    if validated:
        problem = replace(problem, validation=rows)
    found = plateaus_of(problem, schedule, n_epochs)
    known = n_epochs is not None or (schedule == "cosine" and not validated)
    assert [each.patience for each in found] == 3 * [math.inf if known else 7]
    assert [each.tol for each in found] == [0.125] * 3
    assert len({id(each) for each in found}) == 3
