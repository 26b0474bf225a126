"""Pictures of a network: how it was trained, and its weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from skreg._classifier import RegularizedMLPClassifier
from skreg._drawing import given_axes, keywords, last_step, pyplot

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D
    from matplotlib.patches import StepPatch

Array = NDArray[Any]

# By this label a display knows the axes of scores that another one has made.
_OF_SCORES = "scores of LossCurveDisplay"


class LossCurveDisplay:
    """The loss J of each epoch, and the loss or the score on validation rows.

    A solid line is the loss of training, a dashed one the loss on validation rows, on
    which a point is the best epoch; a dotted one is the same on the training rows, of
    a network with ``train_scores=True``. Where early stopping watched another score
    than the loss, that is on an axis of its own, to the right. :meth:`from_estimator`
    makes it of a fitted network. The parameters are kept as attributes.

    Parameters
    ----------
    loss_curves : sequence of array-like of shape (n_epochs,)
        The ``loss_curve_`` of each network: one, or those of an ensemble. Each is a
        line. Here and in the scores, NaN and infinity leave a gap.

    validation_scores : sequence of array-like or None, default=None
        The ``validation_scores_`` of each network, from its first epoch on: minus the
        losses, unless ``score_name`` says otherwise. None, also in the sequence, is
        for a network without early stopping.

    train_scores : sequence of array-like or None, default=None
        The ``train_scores_`` of each network, up to its last epoch; minus the losses,
        as ``validation_scores`` are.

    best_n_iters : sequence of int or None, default=None
        The ``best_n_iter_`` of each network, counted from 1, to be marked on the
        validation scores; 0 marks none.

    n_iters : sequence of int or None, default=None
        The number of the last epoch of each loss curve; None is for their lengths. A
        curve that has lost its beginning ends there nevertheless.

    score_name : str, default='loss'
        What ``validation_scores`` and ``train_scores`` are, as the ``scoring`` of the
        estimator. 'loss', also its default, says that they are minus the loss, as the
        estimator has them; they are drawn with the sign turned, on the axes of the
        losses. Any other name, such as 'accuracy', says that they are scores; they are
        drawn as they are, on axes of their own.

    iteration_name : str, default='epoch'
        What an iteration of the solver is called.

    refit : bool, default=False
        Whether the loss curves are those of a later training on all rows, and the
        validation scores those before it.

    name : str or None, default=None
        What the legend calls the networks.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes with the losses.

    score_ax_ : matplotlib Axes or None
        The axes with the scores; None where they are losses, or there are none.

    figure_ : matplotlib Figure
        The figure that they are in.

    lines_ : list of matplotlib Line2D
        The losses of training, one line for each network.

    validation_lines_ : list of matplotlib Line2D
        The losses or scores on validation rows; empty without them.

    train_score_lines_ : list of matplotlib Line2D
        Those on training rows; empty without them.

    best_markers_ : list of matplotlib Line2D
        The points of the best epochs; empty without them.

    See Also
    --------
    WeightDistributionDisplay : What the penalty does to the weights.
    RegularizationGridDisplay : A picture of a search.
    sklearn.model_selection.LearningCurveDisplay : The score by the number of rows.

    Notes
    -----
    The two losses do not measure the same. That of training has the penalty
    lambd/(2m) Σ W² in it and is computed with dropout, batch by batch, before each
    step. That on validation rows has neither the penalty nor dropout, and is computed
    after the epoch, with 'sgd' and 'adam' of the mean of the weights
    (``averaging``). So the loss of training may well be the greater one. The dotted
    line, for which ``train_scores=True`` asks, can be compared with the validation
    loss.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from skreg import LossCurveDisplay
    >>> display = LossCurveDisplay(
    ...     [[0.9, 0.6, 0.4, 0.3]],
    ...     validation_scores=[[-0.8, -0.6, -0.5, -0.7]],
    ...     best_n_iters=[3],
    ... )
    >>> display.plot(name="lambd=0")
    <skreg._curves.LossCurveDisplay object at ...>
    >>> display.validation_lines_[0].get_label()
    'lambd=0: validation loss (best epoch 3)'
    >>> display.validation_lines_[0].get_ydata()
    array([0.8, 0.6, 0.5, 0.7])
    >>> plt.close(display.figure_)
    """

    def __init__(
        self,
        loss_curves: Sequence[ArrayLike],
        *,
        validation_scores: Sequence[ArrayLike | None] | None = None,
        train_scores: Sequence[ArrayLike | None] | None = None,
        best_n_iters: Sequence[int] | None = None,
        n_iters: Sequence[int] | None = None,
        score_name: str = "loss",
        iteration_name: str = "epoch",
        refit: bool = False,
        name: str | None = None,
    ) -> None:
        self.loss_curves = loss_curves
        self.validation_scores = validation_scores
        self.train_scores = train_scores
        self.best_n_iters = best_n_iters
        self.n_iters = n_iters
        self.score_name = score_name
        self.iteration_name = iteration_name
        self.refit = refit
        self.name = name

    def plot(
        self,
        ax: Axes | None = None,
        *,
        name: str | None = None,
        line_kw: dict[str, Any] | None = None,
        best_kw: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            The axes to draw on, such as ``ax_`` of another display; None makes a new
            figure. All lines of a display have one colour, the next of the axes.

        name : str or None, default=None
            What the legend calls the networks; None is for the display's own ``name``,
            and if that is None too for no name.

        line_kw : dict or None, default=None
            Keywords for ``Axes.plot``, for all lines.

        best_kw : dict or None, default=None
            Keywords for ``Axes.plot``, for the points of the best epochs.

        Returns
        -------
        display : LossCurveDisplay
            The display itself.

        Raises
        ------
        ImportError
            Without matplotlib, which the extra ``plot`` brings.

        TypeError
            If ``ax`` is no Axes.

        ValueError
            If ``ax`` has several Axes, if there is no loss, if a parameter is not one
            for each network, or if a best epoch has no validation score.

        Examples
        --------
        Scores that are not losses have a name, and axes of their own:

        >>> import matplotlib.pyplot as plt
        >>> from skreg import LossCurveDisplay
        >>> display = LossCurveDisplay(
        ...     [[0.9, 0.6, 0.4]],
        ...     validation_scores=[[0.7, 0.9, 0.8]],
        ...     score_name="accuracy",
        ... )
        >>> display.plot(line_kw={"color": "black"})
        <skreg._curves.LossCurveDisplay object at ...>
        >>> display.validation_lines_[0].get_ydata()
        array([0.7, 0.9, 0.8])
        >>> display.score_ax_.get_ylabel()
        'accuracy'
        >>> plt.close(display.figure_)
        """
        plt = pyplot()
        losses = [_curve(curve, "loss_curves") for curve in self.loss_curves]
        if not any(map(len, losses)):
            raise ValueError("loss_curves is empty: there is nothing to draw")
        validation = self._of_networks("validation_scores")
        train = self._of_networks("train_scores")
        lasts = self._numbers("n_iters", [len(curve) for curve in losses])
        best = self._numbers("best_n_iters", [0] * len(losses))
        for curve, epoch in zip(validation, best, strict=True):
            if not 0 <= epoch <= len(curve):
                raise ValueError(
                    f"best_n_iters={self.best_n_iters!r}: there is no validation score "
                    f"of epoch {epoch}; 0 is for no mark"
                )
        if ax is None:
            _, ax = plt.subplots(layout="tight")
        (ax,) = given_axes(ax, 1, "since all lines are drawn on the same")
        on = ax
        self.score_ax_: Axes | None = None
        if self.score_name != "loss" and any(map(len, validation + train)):
            on = self.score_ax_ = _axes_of_scores(ax, self.score_name)
        self.ax_ = ax
        # Any, since axes of a SubFigure have that, which plt.close() does not take.
        self.figure_: Any = ax.figure

        labels = self._labels(self.name if name is None else name, best)
        # No colour is the next of the axes; the first line has it, then all others.
        style = {"alpha": 0.5 if len(losses) > 1 else None, "color": None}
        losses_style = {**style, "linestyle": "-", "label": labels[0]}
        self.lines_ = _draw_lines(ax, losses, lasts, losses_style, line_kw)
        color = self.lines_[0].get_color()
        train_style = {**style, "color": color, "linestyle": ":", "label": labels[1]}
        self.train_score_lines_ = _draw_lines(on, train, lasts, train_style, line_kw)
        valid_style = {**style, "color": color, "linestyle": "--", "label": labels[2]}
        lengths = [len(curve) for curve in validation]
        self.validation_lines_ = _draw_lines(
            on, validation, lengths, valid_style, line_kw
        )
        best_style = {"color": color, "marker": "o", "linestyle": "none"}
        self.best_markers_ = _draw_points(on, validation, best, best_style, best_kw)
        ax.set(xlabel=self.iteration_name, ylabel="loss")
        _whole_numbers(ax)
        _legend(ax)
        return self

    def _of_networks(self, name: str) -> list[Array]:
        """The scores of each network as they are drawn; those not there are empty."""
        curves = self._one_each(name, [[]] * len(self.loss_curves))
        sign = -1 if self.score_name == "loss" else 1
        return [sign * _curve([] if curve is None else curve, name) for curve in curves]

    def _numbers(self, name: str, default: list[int]) -> list[int]:
        return [int(number) for number in self._one_each(name, default)]

    def _one_each(self, name: str, default: list[Any]) -> Sequence[Any]:
        values: Sequence[Any] | None = getattr(self, name)
        if values is None:
            return default
        if len(values) != len(default):
            raise ValueError(
                f"{name} has {len(values)} items: give one for each of the "
                f"{len(default)} loss_curves"
            )
        return values

    def _labels(self, name: str | None, best: list[int]) -> tuple[str, str, str]:
        """What the legend calls losses, scores in training, scores in validation."""
        prefix = "" if name is None else f"{name}: "
        what = " without penalty and dropout" if self.score_name == "loss" else ""
        notes = []
        if self.refit:
            notes.append("before the refit")
        marked = sorted({epoch for epoch in best if epoch})
        if marked:
            numbers = f"{marked[0]} to {marked[-1]}" if marked[1:] else f"{marked[0]}"
            notes.append(f"best {self.iteration_name} {numbers}")
        return (
            f"{prefix}training loss" + (" (refit on all rows)" if self.refit else ""),
            f"{prefix}training {self.score_name}{what}",
            f"{prefix}validation {self.score_name}"
            + (f" ({'; '.join(notes)})" if notes else ""),
        )

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        ax: Axes | None = None,
        name: str | None = None,
        line_kw: dict[str, Any] | None = None,
        best_kw: dict[str, Any] | None = None,
    ) -> Self:
        """Draw how a network was trained.

        Parameters
        ----------
        estimator : estimator
            A fitted :class:`RegularizedMLPClassifier`, or another network that has a
            ``loss_curve_``, such as ``MLPClassifier``; a pipeline that ends with one; a
            search that found one, whose ``best_estimator_`` is drawn; or an ensemble,
            each of whose ``estimators_`` is drawn.

        ax : matplotlib Axes, default=None
            The axes to draw on, such as ``ax_`` of another display; None makes a new
            figure. All lines of a display have one colour, the next of the axes.

        name : str or None, default=None
            What the legend calls the networks; None is for no name.

        line_kw : dict or None, default=None
            Keywords for ``Axes.plot``, for all lines.

        best_kw : dict or None, default=None
            Keywords for ``Axes.plot``, for the points of the best epochs.

        Returns
        -------
        display : LossCurveDisplay
            The display with the picture.

        Raises
        ------
        ImportError
            Without matplotlib, which the extra ``plot`` brings.

        TypeError
            If the estimator, or one in the ensemble, has no ``loss_curve_``; or if
            ``ax`` is no Axes.

        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.

        ValueError
            If the model is constant, or its training made no iteration; if the search
            has no ``best_estimator_``; if networks of an ensemble have several
            ``scoring``; or if ``ax`` has several Axes.

        Notes
        -----
        After early stopping the network may have been trained anew on all rows
        (``early_stopping_refit``). Then the losses, and the training scores, are those
        of that refit, whose last weights the network has. The validation scores, and
        the best epoch, are from before it: the mean over the splits, of networks that
        are gone. The legend says so. Without a refit, where ``refit_`` is False, the
        network has the weights of the best epoch.

        Without early stopping there are neither validation scores nor a best epoch.
        After ``partial_fit`` an epoch stands for a call, and the curve is that of the
        last ``max_iter`` of them. After ``fit`` with ``warm_start`` it is that of the
        last ``fit``. With 'lbfgs' there are iterations in the place of epochs.

        The score is named by the estimator's ``scoring``. 'loss', the default, is drawn
        as what it is, with its sign turned; another score keeps its sign, and has the
        axis to the right.

        Examples
        --------
        >>> import matplotlib.pyplot as plt
        >>> from sklearn.datasets import load_iris
        >>> from skreg import LossCurveDisplay, RegularizedMLPClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> model = RegularizedMLPClassifier((10,), random_state=0).fit(X, y)
        >>> display = LossCurveDisplay.from_estimator(model)
        >>> len(display.lines_[0].get_xdata()) == model.n_iter_
        True
        >>> display.best_markers_[0].get_xdata().item() == model.best_n_iter_
        True

        Another on the same axes:

        >>> decayed = RegularizedMLPClassifier((10,), lambd=20, random_state=0)
        >>> display = LossCurveDisplay.from_estimator(
        ...     decayed.fit(X, y), ax=display.ax_, name="lambd=20"
        ... )
        >>> len(display.ax_.get_legend().get_texts())
        4
        >>> plt.close(display.figure_)
        """
        networks = _networks(cls, estimator, "loss_curve_")
        for network in networks:
            if not len(network.loss_curve_):
                raise ValueError(
                    f"{type(network).__name__} has an empty loss_curve_: its training "
                    "ended before its first iteration did, with 'lbfgs' at the minimum"
                )
        validation = [getattr(each, "validation_scores_", None) for each in networks]
        train = [getattr(each, "train_scores_", None) for each in networks]
        scored = [
            network
            for network, *scores in zip(networks, validation, train, strict=True)
            if scores != [None, None]
        ]
        names = list(dict.fromkeys(map(_score_name, scored)))
        if len(names) > 1:
            raise ValueError(
                f"the networks have scores of several kinds, {names}: draw them one by "
                "one, on the same ax"
            )
        has_lbfgs = any(getattr(each, "solver", None) == "lbfgs" for each in networks)
        display = cls(
            [list(network.loss_curve_) for network in networks],
            validation_scores=validation,
            train_scores=train,
            best_n_iters=list(map(_best_epoch, networks, validation)),
            n_iters=[network.n_iter_ for network in networks],
            score_name=names[0] if names else "loss",
            iteration_name="iteration" if has_lbfgs else "epoch",
            refit=any(getattr(each, "refit_", False) for each in networks),
            name=name,
        )
        return display.plot(ax, line_kw=line_kw, best_kw=best_kw)


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
    <skreg._curves.WeightDistributionDisplay object at ...>
    >>> display.stairs_[0].get_data().values
    array([0.5, 0.5, 0.5])
    >>> plt.close(display.figure_)
    """

    def __init__(
        self,
        weights: Sequence[ArrayLike],
        *,
        near_zero: float = 0.01,
        name: str | None = None,
    ) -> None:
        self.weights = weights
        self.near_zero = near_zero
        self.name = name

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
        <skreg._curves.WeightDistributionDisplay object at ...>
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
        axes: list[Axes] = []
        if ax is not None:
            axes = given_axes(ax, len(layers), "one for each layer, as display.axes_")
        edges = _edges(np.concatenate(layers), bins, axes)
        if ax is None:
            n_rows, n_cols = -(-len(layers) // n_cols), min(n_cols, len(layers))
            figure = plt.figure(figsize=(4 * n_cols, 3.2 * n_rows), layout="tight")
            places = range(1, len(layers) + 1)
            axes = [figure.add_subplot(n_rows, n_cols, place) for place in places]
        name = self.name if name is None else name
        self.stairs_: list[StepPatch] = []
        sizes, shares = self.root_mean_squares, self.near_zero_shares
        for number, (each, layer, size, share) in enumerate(
            zip(axes, layers, sizes, shares, strict=True), start=1
        ):
            counts, _ = np.histogram(layer, edges)
            label = f"RMS {size:.2g}, {share:.0%} near 0"
            if name is not None:
                label = f"{name}\n{label}"
            style = keywords({"label": label}, stairs_kw, StepPatch)
            density = counts / (len(layer) * np.diff(edges))
            self.stairs_.append(each.stairs(density, edges, **style))
            each.set(title=f"W{number}", xlabel="weight", ylabel="density")
            if not log:
                each.set_yscale("linear")
            elif counts.any():
                each.set_yscale("log")
            each.legend(fontsize="small")
        self.axes_, self.figure_ = np.array(axes, dtype=object), axes[0].figure
        self.bins_ = edges
        return self

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        ax: Axes | Sequence[Axes] | Array | None = None,
        name: str | None = None,
        near_zero: float = 0.01,
        bins: ArrayLike | None = None,
        log: bool = True,
        n_cols: int = 3,
        stairs_kw: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the weights of a network.

        Parameters
        ----------
        estimator : estimator
            A fitted :class:`RegularizedMLPClassifier`, or another network that has
            ``coefs_``, such as ``MLPClassifier``; a pipeline that ends with one; a
            search that found one, whose ``best_estimator_`` is drawn; or an ensemble,
            the weights of whose ``estimators_`` are taken together, layer by layer.

        ax : array-like of matplotlib Axes, default=None
            The axes to draw on, one for each layer, such as ``axes_`` of another
            display; None makes a new figure.

        name : str or None, default=None
            What the legend calls the network; None is for no name.

        near_zero : float, default=0.01
            The magnitude below which a weight counts as near to zero, for the share in
            the legend.

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
            The display with the picture.

        Raises
        ------
        ImportError
            Without matplotlib, which the extra ``plot`` brings.

        TypeError
            If the estimator, or one in the ensemble, has no ``coefs_``; or if
            something in ``ax`` is no Axes.

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
        networks = _networks(cls, estimator, "coefs_")
        depths = sorted({len(network.coefs_) for network in networks})
        if len(depths) > 1:
            raise ValueError(
                f"the networks have {depths} layers of weights: draw them one by one"
            )
        of_layers = zip(*(network.coefs_ for network in networks), strict=True)
        display = cls(
            [np.concatenate([np.ravel(W) for W in layer]) for layer in of_layers],
            near_zero=near_zero,
            name=name,
        )
        return display.plot(ax, bins=bins, log=log, n_cols=n_cols, stairs_kw=stairs_kw)


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


def _draw_lines(
    ax: Axes,
    curves: list[Array],
    lasts: list[int],
    default: dict[str, Any],
    line_kw: dict[str, Any] | None,
) -> list[Line2D]:
    """A line for each curve, up to its last epoch; the first has the label."""
    from matplotlib.lines import Line2D

    lines: list[Line2D] = []
    for curve, last in zip(curves, lasts, strict=True):
        if len(curve):
            epochs = max(last - len(curve), 0) + 1 + np.arange(len(curve))
            lines += ax.plot(epochs, curve, **keywords(default, line_kw, Line2D))
            default = default | {"color": lines[0].get_color(), "label": None}
    return lines


def _draw_points(
    ax: Axes,
    curves: list[Array],
    epochs: list[int],
    default: dict[str, Any],
    best_kw: dict[str, Any] | None,
) -> list[Line2D]:
    """A point at an epoch of each curve; none for epoch 0."""
    from matplotlib.lines import Line2D

    style = keywords(default, best_kw, Line2D)
    points: list[Line2D] = []
    for curve, epoch in zip(curves, epochs, strict=True):
        if epoch:
            points += ax.plot([epoch], [curve[epoch - 1]], **style)
    return points


def _curve(values: ArrayLike, name: str) -> Array:
    curve = np.asarray(values, dtype=float)
    if curve.ndim != 1:
        raise ValueError(
            f"{name} must have a curve for each network, such as [[0.5, 0.4]]; an item "
            f"has the shape {curve.shape}"
        )
    return curve


def _axes_of_scores(ax: Axes, name: str) -> Axes:
    """The axes for scores over ``ax``: those of another display, or new ones."""
    found = _found_axes_of_scores(ax)
    if found is None:
        found = ax.twinx()
        found.set(label=_OF_SCORES, ylabel=name)
    elif found.get_ylabel() != name:
        found.set_ylabel("score")
    return found


def _found_axes_of_scores(ax: Axes) -> Axes | None:
    siblings: list[Axes] = ax.get_shared_x_axes().get_siblings(ax)
    for other in siblings:
        at_the_place = other.bbox.bounds == ax.bbox.bounds
        if at_the_place and other.get_label() == _OF_SCORES:
            return other
    return None


def _whole_numbers(ax: Axes) -> None:
    """No epoch 2.5 on the axis."""
    from matplotlib.ticker import MaxNLocator

    locator = ax.xaxis.get_major_locator()
    if isinstance(locator, MaxNLocator):
        locator.set_params(integer=True)


def _legend(ax: Axes) -> None:
    """One legend for the losses and the scores, on the axes on top."""
    handles, labels = ax.get_legend_handles_labels()
    top, scores_ax = ax, _found_axes_of_scores(ax)
    if scores_ax is not None:
        more, labels_of_more = scores_ax.get_legend_handles_labels()
        handles, labels, top = handles + more, labels + labels_of_more, scores_ax
        hidden = ax.get_legend()
        if hidden is not None:
            hidden.remove()
    top.legend(handles, labels)


def _networks(display: type, estimator: Any, attribute: str) -> list[Any]:
    """The fitted networks that an estimator is or has; each has the attribute."""
    estimator = last_step(estimator)
    check_is_fitted(estimator)
    if hasattr(estimator, "best_estimator_"):
        return _networks(display, estimator.best_estimator_, attribute)
    if hasattr(estimator, "cv_results_"):
        raise ValueError("the search has no best_estimator_: fit it with refit=True")
    if hasattr(estimator, "estimators_"):
        return [
            network
            for each in estimator.estimators_
            for network in _networks(display, each, attribute)
        ]
    if not hasattr(estimator, attribute):
        raise TypeError(
            f"{display.__name__} is for fitted networks, such as "
            f"RegularizedMLPClassifier, alone or in a pipeline, a search or an "
            f"ensemble; {type(estimator).__name__} has no {attribute}"
        )
    if isinstance(estimator, RegularizedMLPClassifier) and len(estimator.classes_) == 1:
        raise ValueError(
            f"the model is constant, since y had one class, {estimator.classes_}: it "
            "has no loss curve, and all its weights are zero"
        )
    return [estimator]


def _score_name(network: Any) -> str:
    """The name of the scores of a network."""
    scoring = getattr(network, "scoring", None)
    if isinstance(scoring, str):
        return scoring
    name: str = getattr(scoring, "__name__", "score")
    # A function has its own sign, whatever it is called.
    return "score" if name == "loss" else name


def _best_epoch(network: Any, scores: Sequence[float] | None) -> int:
    """The best epoch by the validation scores, 0 without them."""
    if scores is None:
        return 0
    if hasattr(network, "best_n_iter_"):
        return int(network.best_n_iter_)
    return int(np.argmax(scores)) + 1
