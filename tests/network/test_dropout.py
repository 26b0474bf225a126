"""Masks: exactly what fraction is kept, from which random integers.

What tests the statistics of training itself is the script docs/reliability/dropout.py.
Its level is 0.001 for all tests of a call together, its seeds are fixed; and here are
planted defects that it must find.
"""

import copy
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import reliability
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_matrix
from scipy.stats import binom, chisquare

import skreg._network.dropout
import skreg._training.problem
from skreg._network.dropout import (
    BlockInputMasks,
    BlockMasks,
    InputMasks,
    Masks,
    documents_masks,
)
from skreg._training.settings import Streams, random_streams

KEEP_PROBS = [1e-6, 1e-5, 0.1, 0.25, 1 / 3, 0.5, 0.8, 0.99, 0.99999, 0.99999999, 1.0]
# n_units, n_samples: multiples of 4 and others, below one block of 4096 words of four
# integers, exactly one, a little above, and several.
SHAPES = [
    (1, 1),
    (3, 1),
    (4, 2),
    (5, 7),
    (3, 5),
    (128, 128),
    (127, 129),
    (5, 3277),
    (131, 251),
    (160, 512),
]


class EveryInteger:
    """A bit generator whose first words hold each 16-bit integer once."""

    def __init__(self):
        self.words = np.arange(65536, dtype=np.uint16).view(np.uint64)
        self.position = 0

    def random_raw(self, size):
        start, self.position = self.position, self.position + size
        assert self.position <= self.words.size
        return self.words[start : self.position]


def n_kept_of(keep_prob):
    """round(65536 keep_prob), but never zero."""
    return max(1, round(65536 * keep_prob))


def draw(keep_probs, units, n_samples, bit_generator, dtype=float):
    lead = np.shape(keep_probs)[:-1]
    D = np.full((*lead, sum(units), n_samples), np.nan, dtype=dtype)
    Masks(keep_probs, units, bit_generator, dtype)(D)
    return D


def integers_of(bit_generator, n_units, n_samples):
    """The integers that a mask of this shape compares: 4 in each word of 64 bits."""
    n_words = -(-n_units * n_samples // 4)
    integers = bit_generator.random_raw(n_words).view(np.uint16)
    return integers[: n_units * n_samples].reshape(n_units, n_samples)


# The fraction and the scale ----------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("keep_prob", KEEP_PROBS)
def test_over_all_integers_the_mean_of_a_mask_is_exactly_one(keep_prob, dtype):
    D = draw([keep_prob], [64], 1024, EveryInteger(), dtype)
    n_kept = n_kept_of(keep_prob)
    assert np.count_nonzero(D) == n_kept
    assert D.dtype == dtype
    # One value, the nearest to 65536 / n_kept; the mean is exact but for its rounding.
    assert set(np.unique(D[D > 0])) == {dtype(65536 / n_kept)}
    mean = n_kept * Fraction(float(D.max())) / 65536
    assert abs(mean - 1) <= Fraction(float(np.finfo(dtype).eps)) / 2


def test_the_integers_below_the_threshold_are_kept():
    integers = integers_of(EveryInteger(), 64, 1024)
    for keep_prob in KEEP_PROBS:
        D = draw([keep_prob], [64], 1024, EveryInteger())
        assert_array_equal(D > 0, integers < n_kept_of(keep_prob))


def test_the_limits():
    assert n_kept_of(1e-6) == 1
    smallest = draw([1e-6], [64], 1024, EveryInteger())
    assert smallest.max() == 65536
    for keep_prob in (0.99999999, 1.0):
        assert_array_equal(draw([keep_prob], [64], 1024, EveryInteger()), 1)


def test_the_fraction_is_rounded_to_the_nearest():
    for n_kept in (1.4, 1.6, 32768.4, 32768.6, 65535.4, 65535.6):
        D = draw([n_kept / 65536], [64], 1024, EveryInteger())
        assert np.count_nonzero(D) == round(n_kept)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_each_layer_has_its_keep_prob(dtype):
    keep_probs, units, n_samples = (0.2, 1.0, 0.7), (3, 1, 5), 11
    D = draw(keep_probs, units, n_samples, np.random.SFC64(0), dtype)
    integers = integers_of(np.random.SFC64(0), 9, n_samples)
    start = 0
    for keep_prob, n_units in zip(keep_probs, units, strict=True):
        rows = slice(start, start + n_units)
        n_kept = n_kept_of(keep_prob)
        expected = np.where(integers[rows] < n_kept, dtype(65536 / n_kept), 0)
        assert_array_equal(D[rows], expected)
        start += n_units


# The stream --------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_masks_of_any_size(shape):
    """Also where a word is not used up, and over the size of a block."""
    used, twin = np.random.SFC64(5), np.random.SFC64(5)
    masks = Masks([0.3], [shape[0]], used, float)
    D = np.empty(shape)
    for _ in range(3):
        masks(D)
        assert_array_equal(D > 0, integers_of(twin, *shape) < n_kept_of(0.3))
    assert repr(used.state) == repr(twin.state)


def test_batches_of_different_sizes_in_turn():
    used, twin = np.random.SFC64(5), np.random.SFC64(5)
    masks = Masks([0.3, 0.6], [2, 3], used, float)
    kept = np.repeat([n_kept_of(0.3), n_kept_of(0.6)], [2, 3])[:, np.newaxis]
    for n_samples in (7, 8, 7, 1, 8, 7):
        D = np.empty((5, n_samples))
        masks(D)
        assert_array_equal(D > 0, integers_of(twin, 5, n_samples) < kept)


@pytest.mark.parametrize("shape", [(3, 5), (131, 251)], ids=str)
def test_settings_share_their_masks(shape):
    """The same integers for any keep_prob: what a small one keeps, a larger one keeps.

    And the stream stands at the same place afterwards.
    """
    states, previous = [], np.zeros(shape, dtype=bool)
    for keep_prob in KEEP_PROBS:
        bit_generator = np.random.SFC64(1)
        kept = draw([keep_prob], [shape[0]], shape[1], bit_generator) > 0
        assert (kept >= previous).all()
        previous = kept
        states.append(repr(bit_generator.state))
    assert len(set(states)) == 1


def test_leading_axes_share_their_integers():
    keep_probs = np.array([[[0.2, 0.9], [0.5, 0.5]], [[1.0, 0.1], [0.7, 1e-6]]])
    stack = draw(keep_probs, [3, 4], 9, np.random.SFC64(2))
    assert stack.shape == (2, 2, 7, 9)
    for index in np.ndindex(2, 2):
        single = draw(keep_probs[index], [3, 4], 9, np.random.SFC64(2))
        assert_array_equal(stack[index], single)


def test_one_keep_prob_may_serve_a_stack():
    masks = Masks([0.5], [4], np.random.SFC64(2), float)
    D = np.empty((3, 4, 6))
    masks(D)
    single = draw([0.5], [4], 6, np.random.SFC64(2))
    assert_array_equal(D, np.broadcast_to(single, D.shape))


def test_a_part_of_a_larger_array_can_be_filled():
    whole = np.full((5, 8), 7.0)
    Masks([0.5], [3], np.random.SFC64(2), float)(whole[1:4, ::2])
    assert_array_equal(whole[1:4, ::2], draw([0.5], [3], 4, np.random.SFC64(2)))
    assert np.count_nonzero(whole == 7) == 40 - 12


def test_masks_repeat_by_seed_and_by_state():
    def three(masks):
        return [masks_of(masks) for _ in range(3)]

    def masks_of(masks):
        D = np.empty((6, 9))
        masks(D)
        return D

    bit_generator = np.random.SFC64(4)
    masks = Masks([0.5], [6], bit_generator, float)
    first = three(masks)
    state = bit_generator.state
    second = three(masks)
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first[0], second[0])

    again = Masks([0.5], [6], np.random.SFC64(4), float)
    assert_array_equal(three(again), first)
    bit_generator.state = state
    assert_array_equal(three(masks), second)
    other = Masks([0.5], [6], np.random.SFC64(5), float)
    assert not np.array_equal(three(other), first)


def test_numpys_global_stream_is_not_touched():
    def global_state():
        return repr(np.random.mtrand._rand.get_state())

    before = global_state()
    draw([0.5], [6], 9, np.random.SFC64(4))
    documents_masks(np.random.RandomState(0), [(3, 4)], 0.5)
    assert global_state() == before


# Chance ------------------------------------------------------------------------------


@pytest.mark.parametrize("keep_prob", [0.1, 0.5, 0.8])
def test_each_unit_and_each_sample_is_kept_as_often_as_it_should(keep_prob):
    """The counts are binomial: neither too far from their mean nor too near to it."""
    n_units, n_samples = 40, 50
    masks = Masks([keep_prob], [n_units], np.random.SFC64(6), float)
    n_draws, counts = 400, np.zeros((n_units, n_samples))
    D = np.empty((n_units, n_samples))
    for _ in range(n_draws):
        masks(D)
        counts += D > 0
    edges = binom.ppf(np.linspace(0.1, 0.9, 9), n_draws, keep_prob)
    bins = np.searchsorted(edges, counts.ravel())
    cumulative = np.concatenate([[0], binom.cdf(edges, n_draws, keep_prob), [1]])
    expected = counts.size * np.diff(cumulative)
    observed = np.bincount(bins, minlength=10)
    assert chisquare(observed, expected).pvalue > 0.01


@pytest.mark.parametrize("lag", [(0, 1), (0, 2), (0, 3), (0, 4), (1, 0), (1, 1)])
def test_neighbours_are_independent(lag):
    """The four kinds of pairs are as frequent as independence wants them."""
    keep_prob = 0.6
    kept = draw([keep_prob], [300], 301, np.random.SFC64(7)) > 0
    rows, columns = lag
    one = kept[: 300 - rows, : 301 - columns]
    other = kept[rows:, columns:]
    counts = np.bincount((2 * one + other).ravel(), minlength=4)
    p, q = keep_prob, 1 - keep_prob
    expected = one.size * np.array([q * q, q * p, p * q, p * p])
    assert chisquare(counts, expected).pvalue > 0.01


def test_calls_are_independent():
    masks = Masks([0.5], [100], np.random.SFC64(8), float)
    one, other = np.empty((100, 200)), np.empty((100, 200))
    masks(one)
    masks(other)
    counts = np.bincount((2 * (one > 0) + (other > 0)).ravel(), minlength=4)
    assert chisquare(counts).pvalue > 0.01


def test_the_mean_of_a_layer_is_kept():
    """What inverted dropout is for: the expected A after the mask is A before it."""
    A = np.random.default_rng(0).random((50, 40))
    masks = Masks([0.3], [50], np.random.SFC64(9), float)
    D, total, n_draws = np.empty((50, 40)), 0.0, 2000
    for _ in range(n_draws):
        masks(D)
        total += (A * D).mean()
    # The variance of D is 1 / keep_prob - 1.
    error = np.sqrt((1 / 0.3 - 1) * np.square(A).mean() / A.size / n_draws)
    assert_allclose(total / n_draws, A.mean(), rtol=0, atol=3 * error)


# The documents' masks ----------------------------------------------------------------


def test_the_documents_masks_are_unscaled_and_in_order():
    shapes = [(4, 5), (3, 5), (2, 5)]
    masks = documents_masks(np.random.RandomState(3), shapes, 0.4)
    stream = np.random.RandomState(3)
    assert len(masks) == 3
    for D, shape in zip(masks, shapes, strict=True):
        assert_array_equal(D, stream.rand(*shape) < 0.4)
        assert D.dtype == int
    # Below keep_prob, and not at it.
    (at,) = documents_masks(
        np.random.RandomState(3), [(1, 1)], np.random.RandomState(3).rand()
    )
    assert at == 0


# Masks of the inputs -----------------------------------------------------------------


@pytest.mark.parametrize("keep_prob", [1e-6, 0.3, 1.0])
def test_inputs_are_kept_by_the_integers_of_their_rows(keep_prob):
    """One integer for each value, row by row; what is kept is divided."""
    used, twin = np.random.SFC64(5), np.random.SFC64(5)
    drop = InputMasks(keep_prob, used)
    n_kept = n_kept_of(keep_prob)
    for n_rows in (7, 3, 7):
        X = np.random.default_rng(n_rows).normal(size=(4, n_rows)).astype(np.float32)
        before = X.copy()
        integers = integers_of(twin, n_rows, 4).T
        kept = np.less(integers, n_kept)
        dropped = drop(X)
        assert dropped.dtype == np.float32
        assert_allclose(dropped, np.where(kept, X * 65536 / n_kept, 0), rtol=1e-6)
        assert_array_equal(X, before)
    assert repr(used.state) == repr(twin.state)


def test_of_sparse_inputs_the_stored_values_are_dropped():
    X = csr_matrix([[1.0, 0, 2, 0], [0, 3, 0, 0], [4, 5, 0, 0], [0, 0, 6, 0]]).T
    drop = InputMasks(0.5, np.random.SFC64(5))
    twin = np.random.SFC64(5)
    for _ in range(3):
        kept = integers_of(twin, 1, 6)[0] < n_kept_of(0.5)
        dropped = drop(X)
        assert dropped.format == X.format
        assert dropped.shape == X.shape
        assert_array_equal(dropped.data, np.where(kept, 2 * X.data, 0))
        assert_array_equal(dropped.toarray(), 2 * (dropped.toarray() > 0) * X.toarray())
        assert_array_equal(X.data, [1, 2, 3, 4, 5, 6])


# Masks of numbered rows --------------------------------------------------------------

PIECES = [[50], [1] * 50, [16, 16, 18], [7, 0, 33, 10]]


def block_masks(first, pieces, *, seed=(3, 1), size=16):
    masks = Masks([0.5, 0.8], (2, 3), np.random.SFC64(0), np.float64)
    fill = BlockMasks(masks, seed, first, size)
    drawn = [np.empty((5, n)) for n in pieces]
    for D in drawn:
        fill(D)
    return np.concatenate(drawn, axis=1)


def block_inputs(X, first, pieces, *, seed=(3, 1), size=16):
    drop = BlockInputMasks(InputMasks(0.5, np.random.SFC64(0)), seed, first, size)
    edges = np.cumsum([0, *pieces])
    dropped = [drop(X[:, a:b]) for a, b in pairwise(edges)]
    return np.concatenate(
        [part if isinstance(part, np.ndarray) else part.toarray() for part in dropped],
        axis=1,
    )


@pytest.mark.parametrize("pieces", PIECES)
def test_masks_of_numbered_rows_do_not_depend_on_the_pieces(pieces):
    whole = block_masks(0, [50])
    assert_array_equal(block_masks(0, pieces), whole)
    # Nor on where one begins.
    assert_array_equal(block_masks(20, [25]), whole[:, 20:45])
    X = np.random.default_rng(0).normal(size=(50, 4)).T
    whole = block_inputs(X, 0, [50])
    assert_array_equal(block_inputs(X, 0, pieces), whole)
    assert_array_equal(block_inputs(X[:, 20:45], 20, [25]), whole[:, 20:45])


def test_masks_of_numbered_rows_are_masks():
    # 1 / kept fraction or 0, at the right rates, and not alike from block to block.
    drawn = block_masks(0, [16_000])
    for units, keep_prob in ((slice(0, 2), 0.5), (slice(2, 5), 0.8)):
        values = np.unique(drawn[units])
        assert_allclose(values, [0, 1 / keep_prob], rtol=1e-4)
        assert np.mean(drawn[units] > 0) == pytest.approx(keep_prob, abs=0.02)
    blocks = drawn.reshape(5, -1, 16).swapaxes(0, 1).reshape(-1, 80)
    assert len(np.unique(blocks, axis=0)) > 0.99 * len(blocks)
    assert (block_masks(0, [50], seed=(3, 2)) != drawn[:, :50]).any()


def test_inputs_of_numbered_rows_are_kept_and_scaled_or_dropped():
    X = np.random.default_rng(0).normal(size=(100, 40)).T
    dropped = block_inputs(X, 0, [100])
    kept = dropped != 0
    assert_allclose(dropped[kept], 2 * X[kept])
    assert 0.4 < kept.mean() < 0.6
    assert block_inputs(X.astype(np.float32), 0, [100]).dtype == np.float32


def test_sparse_inputs_of_numbered_rows_have_a_stream_for_each_piece_of_a_block():
    """Its seed is the number of the first row; here 16, 32 and 48 begin a block."""
    X = csr_matrix(np.random.default_rng(0).poisson(1.0, (40, 6)).astype(float)).T
    drop = BlockInputMasks(InputMasks(0.5, np.random.SFC64(0)), (3, 1), 21, 16)
    found = [drop(X[:, a:b]).toarray() for a, b in pairwise([0, 3, 23, 40])]
    expected = []
    for first, stop in pairwise([21, 24, 32, 44, 48, 61]):
        stream = np.random.SFC64(np.random.SeedSequence([3, 1, first]))
        piece = InputMasks(0.5, stream)(X[:, first - 21 : stop - 21])
        expected.append(piece.toarray())
    assert_array_equal(np.hstack(found), np.hstack(expected))


def test_masks_of_numbered_rows_of_a_stack():
    keep_probs = np.array([[0.5, 0.8], [0.9, 0.3], [0.5, 0.8]])

    def drawn(keep_probs, shape):
        masks = Masks(keep_probs, (2, 3), np.random.SFC64(0), np.float64)
        D, blocks = np.empty(shape), BlockMasks(masks, (3, 1), 5, 16)
        blocks(D)
        return D, blocks.which

    stack, which = drawn(keep_probs, (2, 5, 40))
    for keep_prob, number in zip(keep_probs, which, strict=True):
        alone, of_one = drawn(keep_prob, (5, 40))
        assert_array_equal(stack[number], alone)
        assert of_one is None


def test_stored_values_of_numbered_rows():
    X = np.random.default_rng(0).normal(size=(64, 4))
    X[X < 0] = 0
    sparse = csr_matrix(X).T
    dropped = block_inputs(sparse, 0, [64])
    kept = dropped != 0
    assert_allclose(dropped[kept], 2 * X.T[kept])
    assert 0.3 < kept.sum() / (X > 0).sum() < 0.7
    # Wherever one begins.
    assert_array_equal(block_inputs(sparse[:, 16:], 16, [48]), dropped[:, 16:])
    # Pieces that end where blocks do.
    assert_array_equal(block_inputs(sparse, 0, [32, 16, 16]), dropped)


# Stacks ------------------------------------------------------------------------------

STACKS = {
    "one for all": [[0.7], [0.7], [0.7]],
    "two, one twice": [[0.5], [0.8], [0.5]],
    "in falling order": [[1.0], [0.8], [0.3], [0.8]],
    "all different": [[0.9], [0.2], [0.5]],
    "by layer": [[0.5, 0.9], [0.9, 0.5], [0.5, 0.9], [0.5, 0.5]],
    "two layers alike": [[0.5, 0.5], [0.8, 0.8], [0.5, 0.5]],
    "by layer, all alike": [[0.5, 0.9]] * 3,
    "the same where rounded": [[0.5], [0.5 + 1e-9], [0.6]],
    "one network": [[0.5, 0.9]],
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", STACKS)
def test_each_network_of_a_stack_has_the_masks_that_it_has_alone(name, dtype):
    keep_probs = np.array(STACKS[name])
    units = (6, 4)[: keep_probs.shape[1]]
    stack = Masks(keep_probs, units, np.random.SFC64(3), dtype)
    alone = [Masks(row, units, np.random.SFC64(3), dtype) for row in keep_probs]
    # Sizes of batches in turn; each draws new ones.
    for n_samples in (7, 5, 7, 1):
        which = range(len(keep_probs)) if stack.which is None else stack.which
        D = np.full((max(which) + 1, sum(units), n_samples), np.nan, dtype)
        stack(D)
        for masks, number in zip(alone, which, strict=True):
            expected = np.empty_like(D[number])
            masks(expected)
            assert_array_equal(D[number], expected)


@pytest.mark.parametrize(
    ("name", "n_made"),
    [
        ("two, one twice", 2),
        ("in falling order", 3),
        ("all different", 3),
        ("by layer", 3),
        ("by layer, all alike", 1),
        ("the same where rounded", 2),
    ],
)
def test_a_mask_that_networks_share_is_made_once(name, n_made):
    keep_probs = np.array(STACKS[name])
    units = (6, 4)[: keep_probs.shape[1]]
    masks = Masks(keep_probs, units, np.random.SFC64(3), float)
    if n_made == len(keep_probs):
        assert masks.which is None
        return
    assert set(masks.which) == set(range(n_made))
    kept = (65536 * keep_probs).round()
    for one, other in np.ndindex(len(kept), len(kept)):
        alike = (kept[one] == kept[other]).all()
        assert (masks.which[one] == masks.which[other]) == alike


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("one for all", ()),
        ("two, one twice", (2, 1, 1)),
        ("two layers alike", (2, 1, 1)),
        ("by layer", (3, 10, 1)),
    ],
)
def test_numbers_that_are_alike_are_kept_once(name, shape):
    """Numpy is quicker with one for all, or one for each network."""
    keep_probs = np.array(STACKS[name])
    units = (6, 4)[: keep_probs.shape[1]]
    masks = Masks(keep_probs, units, np.random.SFC64(3), np.float32)
    assert masks._scale.shape == masks._last_kept.shape == shape
    assert (masks._scale.dtype, masks._last_kept.dtype) == (np.float32, np.uint16)


def test_a_stack_draws_as_many_integers_as_one_network():
    used, twin = np.random.SFC64(5), np.random.SFC64(5)
    masks = Masks([[0.5], [0.5], [0.9]], [6], used, float)
    masks(np.empty((2, 6, 8)))
    masks(np.empty((2, 6, 8)))
    twin.random_raw(2 * 12)
    assert used.random_raw() == twin.random_raw()


def test_masks_of_a_stack_fill_what_is_not_contiguous():
    whole = np.full((2, 10, 8), np.nan)
    Masks([[0.5], [0.9], [0.5]], [6], np.random.SFC64(5), float)(whole[:, 2:8, 1:])
    assert not np.isnan(whole[:, 2:8, 1:]).any()
    assert np.isnan(whole[:, :2]).all()
    assert np.isnan(whole[:, 8:]).all()
    assert np.isnan(whole[:, :, 0]).all()
    assert (whole[0, 2:8, 1:] != whole[1, 2:8, 1:]).any()


# Training ----------------------------------------------------------------------------


statistics = reliability.load("dropout")


def of_paths(n_seeds):
    """The means on each path of training, with other seeds for each."""
    found = {}
    for number, path in enumerate(statistics.PATHS):
        seeds = range(number * n_seeds, (number + 1) * n_seeds)
        found |= statistics.means(path, seeds)
    return found


def test_the_means_of_dropped_activations_and_inputs_are_the_plain_ones():
    p_values = of_paths(4)
    assert len(p_values) == 6 * 3 * 3 + 2 * 9
    assert statistics.rejected(p_values) == []


def test_the_kept_are_binomial():
    p_values = statistics.fractions(range(20)) | statistics.large((0.8,), 40)
    assert statistics.rejected(p_values) == []


def test_all_masks_are_independent():
    """Of units, layers, rows, batches, epochs, seeds, calls and inputs."""
    assert statistics.rejected(statistics.independence(range(12))) == []


def test_no_mask_repeats():
    """In epochs, with warm_start, other seeds, partial_fit, and after pickling."""
    found = statistics.repeats(1000, n_seeds=6)
    assert found["masks"] > 1000
    assert found["repeats"] == 0


@pytest.mark.slow
def test_over_many_seeds():
    p_values = of_paths(25) | statistics.fractions(range(100))
    p_values |= statistics.large((1e-3, 0.5, 0.999), 60)
    p_values |= statistics.independence(range(100))
    assert statistics.rejected(p_values) == []
    assert statistics.repeats(10_000)["repeats"] == 0


def changed(monkeypatch, change):
    """Masks are changed after they are drawn."""
    call = Masks.__call__

    def changed(self, D):
        call(self, D)
        change(D)

    monkeypatch.setattr(Masks, "__call__", changed)


def keep_too_many(monkeypatch):
    kept = skreg._network.dropout._kept
    monkeypatch.setattr(
        skreg._network.dropout, "_kept", lambda p: np.rint(1.005 * kept(p))
    )


def scale_too_much(monkeypatch):
    changed(monkeypatch, lambda D: np.multiply(D, 1.005, out=D))


def keep_too_evenly(monkeypatch):
    """The right number in each two rows, and no other."""
    changed(monkeypatch, lambda D: np.subtract(D.max(), D[:, ::2], out=D[:, 1::2]))


def reuse_each(monkeypatch):
    """Each second mask is the one before it."""
    integers, calls = skreg._network.dropout._Integers, []
    draw = integers.draw

    def reused(self, bit_generator, last_kept):
        calls.append(1)
        return draw(self, bit_generator, last_kept) if len(calls) % 2 else self.kept

    monkeypatch.setattr(integers, "draw", reused)


def one_for_two_units(monkeypatch):
    changed(monkeypatch, lambda D: np.copyto(D[1], D[0]))


def one_for_two_rows(monkeypatch):
    changed(monkeypatch, lambda D: np.copyto(D[:, 1], D[:, 0]))


def one_stream(monkeypatch):
    """Inputs have the integers of the units."""

    def streams(*args):
        found = random_streams(*args)
        return found._replace(input_masks=copy.deepcopy(found.masks))

    monkeypatch.setattr(skreg._training.problem, "random_streams", streams)


def one_seed(monkeypatch):
    monkeypatch.setattr(
        skreg._training.problem, "random_streams", lambda *_: random_streams(0)
    )


def begin_anew(monkeypatch):
    """Each call of partial_fit has the stream of the first."""

    def anew(seed, _=0):
        return random_streams(seed)

    monkeypatch.setattr(skreg._training.problem, "random_streams", anew)
    monkeypatch.setattr(Streams, "restored", lambda self, state: self)


DEFECTS = {
    keep_too_many: "fraction",
    scale_too_much: "mean of 1600000 units",
    keep_too_evenly: "counts",
    reuse_each: "batches and epochs",
    one_for_two_units: "units and layers",
    one_for_two_rows: "rows",
    one_stream: "inputs and units",
    one_seed: "seeds",
    begin_anew: "calls of partial_fit",
}


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.__name__)
def test_a_planted_defect_is_found(defect, monkeypatch):
    defect(monkeypatch)
    if defect in (keep_too_many, scale_too_much, keep_too_evenly):
        p_values = statistics.large((0.8,), 40)
    else:
        p_values = statistics.independence(range(8))
    found = statistics.rejected(p_values)
    assert any(DEFECTS[defect] in name for name in found), p_values
    if defect in (reuse_each, one_seed, begin_anew):
        assert statistics.repeats(80, n_seeds=2)["repeats"] > 0
