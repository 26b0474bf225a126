"""The picture of a training: its losses, its scores and the best epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike

from skreg._models.versions import public
from skreg._network import Array
from skreg._plots.common import given_axes, keywords, networks_of, pyplot, score_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

Curves = list[Array]

# By this label a display knows the axes of scores that another one has made.
_OF_SCORES = "scores of LossCurveDisplay"


@public
@dataclass(kw_only=True, eq=False, repr=False)
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
    <skreg.LossCurveDisplay object at ...>
    >>> display.validation_lines_[0].get_label()
    'lambd=0: validation loss (best epoch 3)'
    >>> display.validation_lines_[0].get_ydata()
    array([0.8, 0.6, 0.5, 0.7])
    >>> plt.close(display.figure_)
    """

    loss_curves: Sequence[ArrayLike] = field(kw_only=False)
    validation_scores: Sequence[ArrayLike | None] | None = None
    train_scores: Sequence[ArrayLike | None] | None = None
    best_n_iters: Sequence[int] | None = None
    n_iters: Sequence[int] | None = None
    score_name: str = "loss"
    iteration_name: str = "epoch"
    refit: bool = False
    name: str | None = None

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
        <skreg.LossCurveDisplay object at ...>
        >>> display.validation_lines_[0].get_ydata()
        array([0.7, 0.9, 0.8])
        >>> display.score_ax_.get_ylabel()
        'accuracy'
        >>> plt.close(display.figure_)
        """
        plt = pyplot()
        from matplotlib.lines import Line2D
        from matplotlib.ticker import MaxNLocator

        losses, train, validation, lasts, best = self._checked()
        if ax is None:
            _, ax = plt.subplots(layout="tight")
        (ax,) = given_axes(ax, 1, "since all lines are drawn on the same")
        self.ax_ = on = ax
        self.score_ax_: Axes | None = None
        if self.score_name != "loss" and any(map(len, train + validation)):
            on = self.score_ax_ = _axes_of_scores(ax, self.score_name)
        # Any, since axes of a SubFigure have that, which plt.close() does not take.
        self.figure_: Any = ax.figure

        labels = self._labels(self.name if name is None else name, best)
        # No colour is the next of the axes; the first line has it, then all others.
        style: dict[str, Any] = {"alpha": 0.5 if losses[1:] else None, "color": None}
        of_loss = style | {"linestyle": "-", "label": labels[0]}
        self.lines_ = _draw_lines(ax, losses, lasts, of_loss, line_kw)
        style["color"] = color = self.lines_[0].get_color()
        of_train = style | {"linestyle": ":", "label": labels[1]}
        self.train_score_lines_ = _draw_lines(on, train, lasts, of_train, line_kw)
        lasts = list(map(len, validation))
        of_valid = style | {"linestyle": "--", "label": labels[2]}
        self.validation_lines_ = _draw_lines(on, validation, lasts, of_valid, line_kw)
        point = keywords(Line2D, best_kw, color=color, marker="o", linestyle="none")
        self.best_markers_ = [
            on.plot([epoch], [curve[epoch - 1]], **point)[0]
            for curve, epoch in zip(validation, best, strict=True)
            if epoch
        ]
        ax.set(xlabel=self.iteration_name, ylabel="loss")
        locator = ax.xaxis.get_major_locator()
        if isinstance(locator, MaxNLocator):
            # No epoch 2.5 on the axis, nor 0.98 where there is one alone.
            locator.set_params(integer=True, min_n_ticks=1)
        _legend(ax)
        return self

    def _checked(self) -> tuple[Curves, Curves, Curves, list[int], list[int]]:
        """Losses, both scores as they are drawn, last epochs and best epochs."""
        losses = [_curve(curve, "loss_curves") for curve in self.loss_curves]
        if not any(map(len, losses)):
            raise ValueError("loss_curves is empty: there is nothing to draw")
        sign = -1 if self.score_name == "loss" else 1
        validation, train = (
            [
                sign * _curve([] if curve is None else curve, name)
                for curve in self._one_each(name, [[]] * len(losses))
            ]
            for name in ("validation_scores", "train_scores")
        )
        lasts = list(map(int, self._one_each("n_iters", list(map(len, losses)))))
        best = list(map(int, self._one_each("best_n_iters", [0] * len(losses))))
        for curve, epoch in zip(validation, best, strict=True):
            if not 0 <= epoch <= len(curve):
                raise ValueError(
                    f"best_n_iters={self.best_n_iters!r}: there is no validation score "
                    f"of epoch {epoch}; 0 is for no mark"
                )
        return losses, train, validation, lasts, best

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
        notes = ["before the refit"] if self.refit else []
        marked = sorted({*best} - {0})
        if marked:
            numbers = f"{marked[0]} to {marked[-1]}" if marked[1:] else f"{marked[0]}"
            notes.append(f"best {self.iteration_name} {numbers}")
        note = f" ({'; '.join(notes)})" if notes else ""
        return (
            f"{prefix}training loss{' (refit on all rows)' if self.refit else ''}",
            f"{prefix}training {self.score_name}{what}",
            f"{prefix}validation {self.score_name}{note}",
        )

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        ax: Axes | None = None,
        name: str | None = None,
        **plot_kw: Any,
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
            As in :meth:`plot`.

        name : str or None, default=None
            What the legend calls the networks; None is for no name.

        **plot_kw : dict
            The other keywords of :meth:`plot`.

        Returns
        -------
        display : LossCurveDisplay
            The display with the picture.

        Raises
        ------
        ImportError
            Without matplotlib, which the extra ``plot`` brings.

        TypeError
            If the estimator, or one in the ensemble, has no ``loss_curve_``; if
            ``ax`` is no Axes; or if :meth:`plot` does not know a keyword.

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
        networks = networks_of(estimator, cls, "loss_curve_")
        for network in networks:
            if not len(network.loss_curve_):
                raise ValueError(
                    f"{type(network).__name__} has an empty loss_curve_: its training "
                    "ended before its first iteration did, with 'lbfgs' at the minimum"
                )
        validation, train = (
            [getattr(network, scores, None) for network in networks]
            for scores in ("validation_scores_", "train_scores_")
        )
        kinds = {
            _score_name(network): None
            for network, *scores in zip(networks, validation, train, strict=True)
            if scores != [None, None]
        }
        if len(kinds) > 1:
            raise ValueError(
                f"the networks have scores of several kinds, {list(kinds)}: draw them "
                "one by one, on the same ax"
            )
        has_lbfgs = any(getattr(each, "solver", None) == "lbfgs" for each in networks)
        return cls(
            [list(network.loss_curve_) for network in networks],
            validation_scores=validation,
            train_scores=train,
            best_n_iters=list(map(_best_epoch, networks, validation)),
            n_iters=[network.n_iter_ for network in networks],
            score_name=next(iter(kinds), "loss"),
            iteration_name="iteration" if has_lbfgs else "epoch",
            refit=any(getattr(each, "refit_", False) for each in networks),
            name=name,
        ).plot(ax, **plot_kw)


def _draw_lines(
    ax: Axes,
    curves: Curves,
    lasts: list[int],
    style: dict[str, Any],
    line_kw: dict[str, Any] | None,
) -> list[Line2D]:
    """A line for each curve, up to its last epoch; the first has the label."""
    from matplotlib.lines import Line2D

    lines: list[Line2D] = []
    for curve, last in zip(curves, lasts, strict=True):
        if len(curve):
            epochs = max(last - len(curve), 0) + 1 + np.arange(len(curve))
            given = keywords(Line2D, line_kw, **style)
            alone = _alone(curve)
            if alone and "marker" not in given:
                given = {"marker": "_", "markersize": 12, "markevery": alone} | given
            lines += ax.plot(epochs, curve, **given)
            style = style | {"color": lines[0].get_color(), "label": None}
    return lines


def _alone(curve: Array) -> list[int]:
    """The points that no line goes through, since they have none beside them."""
    known = np.pad(np.isfinite(curve), 1)
    alone: list[int] = np.flatnonzero(known[1:-1] & ~known[:-2] & ~known[2:]).tolist()
    return alone


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
        if other.get_label() == _OF_SCORES and other.bbox.bounds == ax.bbox.bounds:
            return other
    return None


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


def _score_name(network: Any) -> str:
    """The name of the scores of a network."""
    scoring = getattr(network, "scoring", None)
    name = score_name(scoring, network)
    # A function has its own sign, whatever it is called.
    return "score" if name == "loss" and callable(scoring) else name


def _best_epoch(network: Any, scores: Sequence[float] | None) -> int:
    """The best epoch by the validation scores, 0 without them."""
    if scores is None:
        return 0
    if hasattr(network, "best_n_iter_"):
        return int(network.best_n_iter_)
    return int(np.argmax(scores)) + 1
