"""The picture of the weights: each bar is of what the network has."""

import math
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgba
from pictures import X, legend, shown_ticks, small, y
from sklearn.ensemble import VotingClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skreg import RegularizedMLPEnsemble, WeightDistributionDisplay

draw = WeightDistributionDisplay.from_estimator


def shares(values, edges):
    """The part of the values in each bin: the last has its right edge too."""
    found = []
    for number, (low, high) in enumerate(pairwise(edges)):
        is_last = number == len(edges) - 2
        inside = [low <= v < high or (is_last and v == high) for v in values]
        found.append(sum(inside) / len(values))
    return found


def trained(model):
    """The weights of standardised columns, which were trained and penalised."""
    first, *rest = model.coefs_
    rows = zip(first.tolist(), model.scale_.tolist(), strict=True)
    return [np.array([[w * scale for w in row] for row, scale in rows]), *rest]


@pytest.mark.parametrize("hidden", [(8,), (6, 5, 4)])
def test_each_layer_has_the_density_of_its_weights(hidden):
    model = small(hidden_layer_sizes=hidden).fit(X, y)
    display = draw(model)
    n_layers = len(hidden) + 1
    assert display.axes_.shape == (n_layers,)
    assert [ax.get_title() for ax in display.axes_] == ["W1", "W2", "W3", "W4"][
        :n_layers
    ]
    edges = display.bins_
    largest = max(abs(W).max() for W in trained(model))
    np.testing.assert_allclose(edges, np.linspace(-largest, largest, 32))
    drawn = zip(display.axes_, display.stairs_, trained(model), strict=True)
    for ax, stairs, W in drawn:
        assert stairs in ax.patches
        density, drawn_edges, _ = stairs.get_data()
        np.testing.assert_array_equal(drawn_edges, edges)
        expected = shares(W.ravel().tolist(), edges.tolist())
        np.testing.assert_allclose(density * np.diff(edges), expected, atol=1e-12)
        assert sum(expected) == pytest.approx(1)
        assert ax.get_yscale() == "log"
        assert ax.get_xlabel() == "weight"
        assert ax.get_ylabel() == "density"
        assert ax.figure is display.figure_
    assert len(plt.get_fignums()) == 1


def test_the_sizes_of_the_weights(network):
    display = draw(network, near_zero=0.1, name="mine")
    for number, W in enumerate(trained(network)):
        flat = W.ravel().tolist()
        rms = math.sqrt(sum(w * w for w in flat) / len(flat))
        assert display.root_mean_squares[number] == pytest.approx(rms)
        near = sum(-0.1 < w < 0.1 for w in flat) / len(flat)
        assert display.near_zero_shares[number] == pytest.approx(near)
        text = f"mine\nRMS {rms:.2g}, {100 * near:.0f}% near 0"
        assert legend(display.axes_[number]) == [text]
    assert 0 < display.near_zero_shares[0] < 1
    # Without a name, and with a hundredth.
    display = WeightDistributionDisplay([[0.01, 0.009, -1.0]]).plot()
    assert display.near_zero_shares == pytest.approx([1 / 3])
    assert legend(display.axes_[0]) == ["RMS 0.58, 33% near 0"]


def test_the_units_of_the_columns_do_not_matter():
    alone = small(standardize=False).fit(StandardScaler().fit_transform(X), y)
    pictures = [draw(small().fit(X * factor, y)) for factor in (1, 1e4, 1e-4)]
    for display in pictures:
        for shown, W in zip(display.weights, alone.coefs_, strict=True):
            np.testing.assert_allclose(shown, W.ravel(), rtol=1e-6, atol=1e-9)
        np.testing.assert_array_equal(
            display.near_zero_shares, pictures[0].near_zero_shares
        )
        for one, other in zip(display.stairs_, pictures[0].stairs_, strict=True):
            np.testing.assert_allclose(one.get_data().values, other.get_data().values)


def test_decay_makes_the_weights_small():
    free, decayed = (small(lambd=lambd).fit(X, y) for lambd in (0, 30))
    first = draw(free, name="lambd=0")
    second = draw(decayed, name="lambd=30", ax=first.axes_)
    assert (second.root_mean_squares < 0.8 * first.root_mean_squares).all()
    assert second.near_zero_shares[0] > first.near_zero_shares[0]
    # The same axes, the same bins, another colour.
    np.testing.assert_array_equal(second.bins_, first.bins_)
    assert list(second.axes_) == list(first.axes_)
    for ax, one, other in zip(first.axes_, first.stairs_, second.stairs_, strict=True):
        assert list(ax.patches) == [one, other]
        assert one.get_edgecolor() != other.get_edgecolor()
        names = [text.splitlines()[0] for text in legend(ax)]
        assert names == ["lambd=0", "lambd=30"]
    for of_layers in first.stairs_, second.stairs_:
        assert len({patch.get_edgecolor() for patch in of_layers}) == 1
    assert second.figure_ is first.figure_
    # Bins of the smaller weights do not hold the larger: they get their own.
    third = draw(decayed)
    fourth = draw(free, ax=third.axes_)
    np.testing.assert_array_equal(fourth.bins_, first.bins_)
    assert fourth.bins_[-1] > third.bins_[-1]


@pytest.mark.parametrize("weights", [[-3.0, 1.0], [-1.0, 3.0]])
def test_bins_that_do_not_hold_all_weights_are_not_taken(weights):
    first = WeightDistributionDisplay([[-2.0, 2.0]]).plot()
    second = WeightDistributionDisplay([weights]).plot(first.axes_)
    assert (second.bins_[0], second.bins_[-1]) == (-3, 3)


def test_only_a_histogram_on_the_axes_gives_its_bins():
    first = WeightDistributionDisplay([[-2.0, 2.0]]).plot()
    (ax,) = first.axes_
    ax.axvspan(-1, 1)
    np.testing.assert_array_equal(
        WeightDistributionDisplay([[-1.0, 1.0]]).plot(ax).bins_, first.bins_
    )
    shaded = plt.figure().subplots()
    shaded.axvspan(-2, 2)
    own = WeightDistributionDisplay([[-1.0, 1.0]]).plot(shaded).bins_
    assert (len(own), own[0], own[-1]) == (32, -1, 1)


def test_bins_of_ones_own():
    display = WeightDistributionDisplay([[0.0, 1.0, 2.0, 3.0, 9.0]])
    # The density is of all weights, also of those outside.
    values = display.plot(bins=[0, 2, 4]).stairs_[0].get_data().values
    np.testing.assert_allclose(values, [0.2, 0.2])
    axes = display.axes_
    assert len(display.plot(bins=10).bins_) == 11
    assert (display.bins_[0], display.bins_[-1]) == (-9, 9)
    # Those given are taken even if the axes have others.
    assert len(display.plot(axes, bins=4).bins_) == 5
    # There is no logarithm where no bin has a weight.
    assert display.plot(bins=[4, 5, 6]).axes_[0].get_yscale() == "linear"
    assert display.plot(axes, bins=[4, 5, 6]).axes_[0].get_yscale() == "log"
    plt.close("all")
    with pytest.raises(ValueError, match="bins"):
        display.plot(bins=[3, 2, 1])
    assert plt.get_fignums() == []


def test_an_ensemble_has_the_weights_of_all_its_networks():
    ensemble = RegularizedMLPEnsemble(small(), 3).fit(X, y)
    display = draw(ensemble)
    networks = [trained(network) for network in ensemble.estimators_]
    for layer in range(3):
        every = np.concatenate([weights[layer].ravel() for weights in networks])
        assert display.weights[layer].size == every.size
        np.testing.assert_array_equal(np.sort(display.weights[layer]), np.sort(every))
    assert len(display.stairs_) == 3


def test_a_search_shows_what_it_found():
    pipeline = make_pipeline(StandardScaler(), small(max_iter=4))
    grid = {"regularizedmlpclassifier__lambd": [0.1, 1.0]}
    nested = make_pipeline(StandardScaler(), GridSearchCV(pipeline, grid, cv=2))
    model = nested.fit(X, y)[-1].best_estimator_[-1]
    np.testing.assert_array_equal(
        draw(nested).stairs_[0].get_data().values,
        draw(model).stairs_[0].get_data().values,
    )


def test_weights_of_a_network_of_scikit_learn():
    model = MLPClassifier((5,), solver="lbfgs", max_iter=500, random_state=0).fit(X, y)
    display = draw(model)
    expected = [np.sqrt(np.mean(W**2)) for W in model.coefs_]
    np.testing.assert_allclose(display.root_mean_squares, expected)


def test_weights_that_are_all_zero():
    display = WeightDistributionDisplay([np.zeros((2, 3)), np.zeros(3)]).plot()
    display.figure_.canvas.draw()
    assert display.near_zero_shares.tolist() == [1, 1]
    values, edges, _ = display.stairs_[0].get_data()
    assert (values > 0).sum() == 1
    assert (values * np.diff(edges)).sum() == pytest.approx(1)


@pytest.mark.parametrize(
    "weights",
    [
        [0.5],
        [0.1, 0.2, 0.3, 0.4],
        [-1.0, -1.0, 0.0, 1.0],
        np.linspace(-1, 1, 100),
        np.linspace(-1e-9, 1e-9, 31),
        np.zeros(8),
        np.random.default_rng(0).normal(size=10_000),
    ],
)
def test_the_density_can_be_read(weights):
    """Two ticks at least have a label, and each bar stands out above the border."""
    display = WeightDistributionDisplay([weights]).plot()
    (ax,), (stairs,) = display.axes_, display.stairs_
    assert len(shown_ticks(ax.yaxis)) >= 2
    values = stairs.get_data().values
    bottom, top = ax.transAxes.inverted().transform(
        ax.transData.transform([(0, values[values > 0].min()), (0, values.max())])
    )[:, 1]
    assert 0.01 < bottom <= top < 0.99


def test_the_density_of_a_second_network_can_be_read():
    """The axes hold both, whichever reaches further, and keep limits set later."""
    wide, flat = np.random.default_rng(0).normal(size=10_000), np.linspace(-1, 1, 100)
    first = WeightDistributionDisplay([wide]).plot()
    (ax,) = first.axes_
    limits = ax.get_ylim()
    WeightDistributionDisplay([flat]).plot(ax)
    assert ax.get_ylim() == limits
    second = WeightDistributionDisplay([flat]).plot(bins=first.bins_)
    WeightDistributionDisplay([wide]).plot(second.axes_)
    assert second.axes_[0].get_ylim() == limits


def test_weights_of_single_precision():
    model = small().fit(X.astype(np.float32), y)
    display = draw(model)
    assert display.root_mean_squares.dtype == np.float64
    values, edges, _ = display.stairs_[0].get_data()
    assert (values * np.diff(edges)).sum() == pytest.approx(1)


def test_the_axes_are_in_rows():
    display = WeightDistributionDisplay([[1.0, -1.0]] * 5)

    def rows():
        bottoms = [round(ax.get_position().y0, 2) for ax in display.axes_]
        return [bottoms.count(bottom) for bottom in dict.fromkeys(bottoms)]

    display.plot()
    assert rows() == [3, 2]
    display.plot(n_cols=2)
    assert rows() == [2, 2, 1]
    display.plot(n_cols=9)
    assert rows() == [5]
    with pytest.raises(ValueError, match="n_cols=0: give at least 1"):
        display.plot(n_cols=0)


def test_style_of_the_weights(network):
    display = draw(
        network, log=False, bins=5, n_cols=1, stairs_kw={"ec": "red", "lw": 3}
    )
    assert {ax.get_yscale() for ax in display.axes_} == {"linear"}
    assert len(display.bins_) == 6
    assert len({ax.get_position().y0 for ax in display.axes_}) == 3
    assert display.stairs_[0].get_edgecolor() == to_rgba("red")
    assert display.stairs_[0].get_linewidth() == 3
    labelled = display.plot(name="b", stairs_kw={"fill": True})
    assert labelled.stairs_[2].get_fill()
    assert legend(labelled.axes_[0])[0].startswith("b\nRMS ")
    named = WeightDistributionDisplay([[1.0]], name="c").plot()
    assert legend(named.axes_[0]) == ["c\nRMS 1, 0% near 0"]


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([], "weights is empty: give an array for each layer"),
        ([[1.0], []], r"weights\[1\] has no weight in it: leave this layer out"),
        ([[1.0], [[2.0, np.nan]]], r"weights\[1\] has nan in it \(1 of 2 values"),
        ([[1.0, -np.inf, np.nan]], r"weights\[0\] has -inf in it \(2 of 3 values"),
    ],
)
def test_weights_that_cannot_be_drawn(weights, message):
    display = WeightDistributionDisplay(weights)
    with pytest.raises(ValueError, match=message):
        display.plot()
    assert plt.get_fignums() == []


def test_networks_of_several_depths():
    voting = VotingClassifier(
        [("one", small()), ("other", small(hidden_layer_sizes=(4,)))]
    ).fit(X, y)
    with pytest.raises(ValueError, match=r"\[2, 3\] layers of weights"):
        draw(voting)
