"""The picture of a network's weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike

from skreg._models.versions import public
from skreg._network import Array
from skreg._plots.common import given_axes, keywords, networks_of, pyplot

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@public
@dataclass(kw_only=True, eq=False, repr=False)
class WeightDistributionDisplay:
    """density[l] = histogram of the weights of layer l, of which the area is 1.

    What the penalty does to W1, W2, …: one axes for each layer, all with the same
    bins. :meth:`from_estimator` makes it of a fitted network. The parameters are kept
    as attributes.

    Parameters
    ----------
    weights : sequence of array-like
        The weights of each layer, in any shape, such as ``coefs_``. They are finite.

    near_zero : float, default=0.01
        The magnitude below which a weight counts as near to zero, for the share in the
        legend. Where the columns are scaled, a weight of 0.01 moves a unit by a
        hundredth for each standard deviation.

    name : str or None, default=None
        What the legend calls the network.

    Attributes
    ----------
    root_mean_squares : ndarray of shape (n_layers,)
        sqrt(mean W²) of each layer, which the legend has as RMS.

    near_zero_shares : ndarray of shape (n_layers,)
        The share of the weights of each layer below ``near_zero`` in magnitude, which
        the legend has in per cent.

    axes_ : ndarray of shape (n_layers,) of matplotlib Axes
        The axes of each layer.

    figure_ : matplotlib Figure
        The figure that they are in.

    bins_ : ndarray of shape (n_bins + 1,)
        The edges of the bins.

    stairs_ : list of matplotlib StepPatch
        The histogram of each layer.

    See Also
    --------
    LossCurveDisplay : The losses of a training.
    RegularizationGridDisplay : A picture of a search.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from skreg import WeightDistributionDisplay
    >>> display = WeightDistributionDisplay(
    ...     [[[0.0, 0.001], [-0.7, 0.7]], [[0.3], [-0.4]]]
    ... )
    >>> display.root_mean_squares.round(2)
    array([0.49, 0.35])
    >>> display.near_zero_shares
    array([0.5, 0. ])
    >>> display.plot(bins=[-1, -0.5, 0.5, 1])
    <skreg.WeightDistributionDisplay object at ...>
    >>> display.stairs_[0].get_data().values
    array([0.5, 0.5, 0.5])
    >>> plt.close(display.figure_)
    """

    weights: Sequence[ArrayLike] = field(kw_only=False)
    near_zero: float = 0.01
    name: str | None = None

    @property
    def root_mean_squares(self) -> Array:
        """sqrt(mean W²) of each layer, which the legend has as RMS."""
        return np.array([np.sqrt(np.mean(w**2)) for w in self._layers])

    @property
    def near_zero_shares(self) -> Array:
        """The share of the weights of each layer below ``near_zero`` in magnitude.

        The legend has it in per cent.
        """
        return np.array([np.mean(abs(w) < self.near_zero) for w in self._layers])

    @property
    def _layers(self) -> list[Array]:
        layers = [np.ravel(np.asarray(layer, dtype=float)) for layer in self.weights]
        if not layers:
            raise ValueError(
                "weights is empty: give an array for each layer, such as coefs_"
            )
        for number, layer in enumerate(layers):
            if not len(layer):
                raise ValueError(
                    f"weights[{number}] has no weight in it: leave this layer out"
                )
            wrong = layer[~np.isfinite(layer)]
            if len(wrong):
                raise ValueError(
                    f"weights[{number}] has {wrong[0]} in it ({len(wrong)} of "
                    f"{len(layer)} values are not finite): train with a smaller "
                    "learning rate, or give the finite weights alone"
                )
        return layers

    def plot(
        self,
        ax: Axes | Sequence[Axes] | Array | None = None,
        *,
        name: str | None = None,
        bins: ArrayLike | None = None,
        log: bool = True,
        n_cols: int = 3,
        stairs_kw: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the histograms.

        Parameters
        ----------
        ax : array-like of matplotlib Axes, default=None
            The axes to draw on, one for each layer, such as ``axes_`` of another
            display; None makes a new figure.

        name : str or None, default=None
            What the legend calls the network; None is for the display's own ``name``,
            and if that is None too for no name.

        bins : int, sequence of float, str or None, default=None
            The number of bins, from minus the largest magnitude in all layers to plus
            the same; or the edges, outside of which nothing is drawn; or the name of a
            rule, as in :func:`numpy.histogram_bin_edges`. None is for the edges of a
            histogram that ``ax`` has, if all weights are within them; otherwise for
            31 bins. So draw the network with the largest weights first.

        log : bool, default=True
            Whether the densities are on a logarithmic axis, since the penalty leaves
            many weights near to zero and a few that are large.

        n_cols : int, default=3
            How many axes a new figure has in a row, at most.

        stairs_kw : dict or None, default=None
            Keywords for ``Axes.stairs``. ``{"fill": True, "alpha": 0.3}`` fills the
            histograms.

        Returns
        -------
        display : WeightDistributionDisplay
            The display itself.

        Raises
        ------
        ImportError
            Without matplotlib, which the extra ``plot`` brings.

        TypeError
            If something in ``ax`` is no Axes.

        ValueError
            If ``weights`` has no layer, or one without weights or with some that are
            not finite; if ``ax`` has not one Axes for each layer; or if ``bins`` or
            ``n_cols`` is not valid.

        Examples
        --------
        >>> import matplotlib.pyplot as plt
        >>> from skreg import WeightDistributionDisplay
        >>> display = WeightDistributionDisplay([[0.0, 0.004, -0.6, 0.8]])
        >>> display.plot(bins=4, log=False)
        <skreg.WeightDistributionDisplay object at ...>
        >>> display.bins_
        array([-0.8, -0.4,  0. ,  0.4,  0.8])
        >>> display.axes_[0].get_legend().get_texts()[0].get_text()
        'RMS 0.5, 50% near 0'
        >>> plt.close(display.figure_)
        """
        plt = pyplot()
        from matplotlib.patches import StepPatch

        layers = self._layers
        if n_cols < 1:
            raise ValueError(f"n_cols={n_cols}: give at least 1")
        axes = []
        if ax is not None:
            axes = given_axes(ax, len(layers), "one for each layer, as display.axes_")
        self.bins_ = edges = _edges(np.concatenate(layers), bins, axes)
        if ax is None:
            n_rows, n_cols = -(-len(layers) // n_cols), min(n_cols, len(layers))
            figure = plt.figure(figsize=(4 * n_cols, 3.2 * n_rows), layout="tight")
            places = range(1, len(layers) + 1)
            axes = [figure.add_subplot(n_rows, n_cols, place) for place in places]
        self.axes_, self.figure_ = np.array(axes, dtype=object), axes[0].figure
        self.stairs_: list[StepPatch] = []
        name = self.name if name is None else name
        title = "" if name is None else f"{name}\n"
        for each, layer, size, share in zip(
            axes, layers, self.root_mean_squares, self.near_zero_shares, strict=True
        ):
            counts, _ = np.histogram(layer, edges)
            label = f"{title}RMS {size:.2g}, {share:.0%} near 0"
            style = keywords(StepPatch, stairs_kw, label=label)
            density = counts / (len(layer) * np.diff(edges))
            self.stairs_.append(each.stairs(density, edges, **style))
            each.set(title=f"W{len(self.stairs_)}", xlabel="weight", ylabel="density")
            # There is no logarithm where no bin has a weight.
            if counts.any() or not log:
                each.set_yscale("log" if log else "linear")
            if counts.any() and log:
                _show_decades(each)
            each.legend(fontsize="small")
        return self

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        ax: Axes | Sequence[Axes] | Array | None = None,
        name: str | None = None,
        near_zero: float = 0.01,
        **plot_kw: Any,
    ) -> Self:
        """Draw the weights of a network.

        They are those that were trained and penalised, ``coefs_[0] * scale_[:, None]``
        in the first layer where ``scale_`` is not None, so that the picture does not
        depend on the units of X.

        Parameters
        ----------
        estimator : estimator
            A fitted :class:`RegularizedMLPClassifier`, or another network that has
            ``coefs_``, such as ``MLPClassifier``; a pipeline that ends with one; a
            search that found one, whose ``best_estimator_`` is drawn; or an ensemble,
            the weights of whose ``estimators_`` are taken together, layer by layer.

        ax : array-like of matplotlib Axes, default=None
            As in :meth:`plot`.

        name : str or None, default=None
            What the legend calls the network; None is for no name.

        near_zero : float, default=0.01
            The magnitude below which a weight counts as near to zero, for the share in
            the legend.

        **plot_kw : dict
            The other keywords of :meth:`plot`.

        Returns
        -------
        display : WeightDistributionDisplay
            The display with the picture.

        Raises
        ------
        ImportError
            Without matplotlib, which the extra ``plot`` brings.

        TypeError
            If the estimator, or one in the ensemble, has no ``coefs_``; if
            something in ``ax`` is no Axes; or if :meth:`plot` does not know a keyword.

        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.

        ValueError
            If the model is constant; if the search has no ``best_estimator_``; if
            networks of an ensemble have different numbers of layers; if weights are
            not finite; if ``ax`` has not one Axes for each layer; or if ``bins`` or
            ``n_cols`` is not valid.

        Examples
        --------
        >>> import matplotlib.pyplot as plt
        >>> from sklearn.datasets import load_iris
        >>> from skreg import RegularizedMLPClassifier, WeightDistributionDisplay
        >>> X, y = load_iris(return_X_y=True)
        >>> free, decayed = (
        ...     RegularizedMLPClassifier(
        ...         lambd=lambd, max_iter=50, early_stopping=False, random_state=0
        ...     ).fit(X, y)
        ...     for lambd in (0, 10)
        ... )
        >>> first = WeightDistributionDisplay.from_estimator(free, name="lambd=0")
        >>> second = WeightDistributionDisplay.from_estimator(
        ...     decayed, ax=first.axes_, name="lambd=10"
        ... )
        >>> second.root_mean_squares < first.root_mean_squares
        array([ True,  True,  True])
        >>> bool((second.bins_ == first.bins_).all())
        True
        >>> legend = first.axes_[0].get_legend()
        >>> [text.get_text().splitlines()[0] for text in legend.get_texts()]
        ['lambd=0', 'lambd=10']
        >>> plt.close(first.figure_)
        """
        networks = [_trained(n) for n in networks_of(estimator, cls, "coefs_")]
        depths = sorted({len(coefs) for coefs in networks})
        if len(depths) > 1:
            raise ValueError(
                f"the networks have {depths} layers of weights: draw them one by one"
            )
        of_layers = zip(*networks, strict=True)
        weights = [np.concatenate([np.ravel(W) for W in layer]) for layer in of_layers]
        return cls(weights, near_zero=near_zero, name=name).plot(ax, **plot_kw)


def _trained(network: Any) -> list[Array]:
    """The weights for the columns as they were in training."""
    # A network of scikit-learn has no scale_.
    scale = getattr(network, "scale_", None)
    if scale is None:
        return list(network.coefs_)
    return [network.coefs_[0] * scale[:, np.newaxis], *network.coefs_[1:]]


def _show_decades(ax: Axes) -> None:
    """From one power of ten to another: two ticks at least, no bin on the border."""
    drawn = ax.dataLim
    low, high = np.log10([drawn.minposy / 2, drawn.y1 * 1.1])
    ax.set_ylim(10 ** np.floor(low), 10 ** np.ceil(high), auto=None)


def _edges(weights: Array, bins: ArrayLike | None, axes: list[Axes]) -> Array:
    """The edges of the bins; with None those that the first axes have, if they do."""
    from matplotlib.patches import StepPatch

    if bins is None:
        # An odd number, so that zero is in the middle of a bin.
        bins = 31
        for patch in axes[0].patches if axes else []:
            if isinstance(patch, StepPatch):
                edges = np.asarray(patch.get_data()[1])
                if edges[0] <= weights.min() and weights.max() <= edges[-1]:
                    bins = edges
    largest = abs(weights).max()
    return np.histogram_bin_edges(weights, bins, range=(-largest, largest))
