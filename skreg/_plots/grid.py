"""The picture of a search, in the style of scikit-learn's displays."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from skreg._models.scoring import LIKELY_LOSS_RATIO, largest_likely_loss
from skreg._models.versions import public
from skreg._network import Array
from skreg._plots.common import keywords, last_step, pyplot, score_name

Value = float | tuple[float, ...] | Literal["auto"]


@public
@dataclass(kw_only=True, eq=False, repr=False)
class RegularizationGridDisplay:
    """mean_scores[i, j] = mean of the folds' scores at (lambds[i], keep_probs[j]).

    A heat map of what a search found: one row for each ``lambd``, one column for each
    ``keep_prob``, the best cell in a frame. :meth:`from_estimator` makes it of a fitted
    search. The parameters are kept as attributes.

    Parameters
    ----------
    mean_scores : array-like of shape (n_lambds, n_keep_probs)
        The scores, as they are drawn: the sign of 'neg_log_loss' stays. A cell that
        is NaN is left blank.

    lambds : sequence of float, tuple or 'auto', of length n_lambds
        The values of ``lambd``, from the top row down; a tuple is one for each layer.

    keep_probs : sequence of float or tuple, of length n_keep_probs
        The values of ``keep_prob``, from the left column to the right.

    best : (int, int) or None, default=None
        The row and the column of the best cell. None frames no cell, since it cannot
        be known whether a greater score is a better one.

    score_name : str or None, default=None
        The label of the colour bar; None is for "mean score".

    note : str or None, default=None
        What stands above the picture and its title, such as why the best cell is not
        that of the greatest score; None is for nothing.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes with the heat map.

    figure_ : matplotlib Figure
        The figure that they are in.

    im_ : matplotlib AxesImage
        The heat map. ``im_.colorbar`` is its colour bar, or None.

    text_ : ndarray of shape (n_lambds, n_keep_probs) of matplotlib Text, or None
        The numbers in the cells, empty where the cell is blank; None without them.

    best_marker_ : matplotlib Rectangle or None
        The frame of the best cell; None where ``best`` is None.

    note_ : matplotlib Annotation or None
        The note; None where ``note`` is None.

    See Also
    --------
    LossCurveDisplay : The losses of a training.
    WeightDistributionDisplay : What the penalty does to the weights.
    sklearn.model_selection.ValidationCurveDisplay : The scores over one parameter.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from skreg import RegularizationGridDisplay
    >>> display = RegularizationGridDisplay(
    ...     [[0.91, 0.94], [0.93, 0.97], [0.92, 0.90]],
    ...     lambds=[0.1, 1, 10],
    ...     keep_probs=[0.5, 1],
    ...     best=(1, 1),
    ...     score_name="accuracy",
    ... )
    >>> display.plot(cmap="Blues")
    <skreg.RegularizationGridDisplay object at ...>
    >>> display.text_[1, 1].get_text()
    '0.970'
    >>> plt.close(display.figure_)
    """

    mean_scores: ArrayLike = field(kw_only=False)
    lambds: Sequence[Value] = field(kw_only=False)
    keep_probs: Sequence[Value] = field(kw_only=False)
    best: tuple[int, int] | None = None
    score_name: str | None = None
    note: str | None = None

    def plot(
        self,
        ax: Any = None,
        *,
        include_values: bool = True,
        values_format: str | None = None,
        cmap: Any = "viridis",
        xticks_rotation: str | float | None = None,
        colorbar: bool = True,
        im_kw: dict[str, Any] | None = None,
        text_kw: dict[str, Any] | None = None,
        best_kw: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the heat map.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            The axes to draw on; None makes a new figure.

        include_values : bool, default=True
            Whether to write the scores into the cells. Large grids have no room.

        values_format : str or None, default=None
            The format of the scores; None is for '#.3g', three digits, since the scores
            of a search often differ in the third only.

        cmap : str or matplotlib Colormap, default='viridis'
            The colours.

        xticks_rotation : {'vertical', 'horizontal'}, float or None, default=None
            The rotation of the labels of ``keep_prob``; None is 'horizontal', or
            'vertical' where they have no room.

        colorbar : bool, default=True
            Whether to add a colour bar.

        im_kw : dict or None, default=None
            Keywords for ``Axes.imshow``. ``{"vmin": 0.9}`` keeps one bad cell from
            taking up the colours, ``{"origin": "lower"}`` turns ``lambd`` upwards.

        text_kw : dict or None, default=None
            Keywords for ``Axes.text``, for the scores in the cells.

        best_kw : dict or None, default=None
            Keywords for ``matplotlib.patches.Rectangle``, for the frame.

        Returns
        -------
        display : RegularizationGridDisplay
            The display itself.

        Raises
        ------
        ImportError
            Without matplotlib, which the extra ``plot`` brings.

        ValueError
            If ``mean_scores`` has another shape than the values ask for.
        """
        plt = pyplot()
        scores = np.asarray(self.mean_scores, dtype=float)
        shape = len(self.lambds), len(self.keep_probs)
        if scores.shape != shape:
            raise ValueError(
                f"mean_scores has the shape {scores.shape}; {shape[0]} values of lambd "
                f"and {shape[1]} of keep_prob ask for {shape}"
            )
        if ax is None:
            # Else labels that are long or turned would be cut off.
            _, ax = plt.subplots(layout="tight")
        self.ax_, self.figure_ = ax, ax.figure
        # Square cells would make a thin strip of a grid with one row or column.
        image = {"interpolation": "nearest", "aspect": "auto", "cmap": cmap}
        self.im_ = ax.imshow(scores, **image | (im_kw or {}))
        if colorbar:
            label = self.score_name or "mean score"
            self.figure_.colorbar(self.im_, ax=ax, label=label)
        ax.set(xlabel="keep_prob", ylabel="lambd")
        ax.set_xticks(range(shape[1]), map(_label, self.keep_probs))
        if xticks_rotation is None:
            xticks_rotation = "horizontal" if _have_room(ax) else "vertical"
        plt.setp(ax.get_xticklabels(), rotation=xticks_rotation)
        ax.set_yticks(range(shape[0]), map(_label, self.lambds))
        self.text_ = self.best_marker_ = self.note_ = None
        if include_values:
            self.text_ = self._write(scores, values_format or "#.3g", text_kw)
        if self.best is not None:
            self.best_marker_ = self._frame(*self.best, best_kw)
        if self.note is not None:
            self.note_ = self._annotate(self.note)
        return self

    def _write(self, scores: Array, form: str, text_kw: dict[str, Any] | None) -> Array:
        """Write each score into its cell, in black or white."""
        from matplotlib.colors import to_rgb
        from matplotlib.text import Text

        rgba = self.im_.to_rgba(np.ma.masked_invalid(scores), self.im_.get_alpha())
        ground = np.array(to_rgb(self.ax_.get_facecolor()))
        dark = _is_dark(rgba[..., :3] * rgba[..., 3:] + ground * (1 - rgba[..., 3:]))
        middle = {"horizontalalignment": "center", "verticalalignment": "center"}
        texts = np.empty(scores.shape, dtype=object)
        for (i, j), score in np.ndenumerate(scores):
            color = "white" if dark[i, j] else "black"
            style = keywords(Text, text_kw, color=color, **middle)
            # '#' keeps zeros at the end, and a point with nothing behind it.
            string = "" if np.isnan(score) else format(score, form).removesuffix(".")
            texts[i, j] = self.ax_.text(j, i, string, **style)
        return texts

    def _frame(self, i: int, j: int, best_kw: dict[str, Any] | None) -> Any:
        """Put a frame around the cell in row i and column j."""
        from matplotlib.patches import Rectangle

        frame = {"fill": False, "edgecolor": "red", "linewidth": 3, "zorder": 3}
        # At the border of the picture half of the line stands outside of the axes.
        style = keywords(Rectangle, best_kw, clip_on=False, **frame)
        return self.ax_.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, **style))

    def _annotate(self, note: str) -> Any:
        """Write above the axes, their labels and titles, wherever these come to be."""
        # Without the artists in the axes: the note is one of them.
        box = partial(self.ax_.get_tightbbox, bbox_extra_artists=[])
        return self.ax_.annotate(
            note,
            (0, 1),
            (0, 3),
            xycoords=("axes fraction", box),
            textcoords="offset points",
            verticalalignment="bottom",
            fontsize="small",
            wrap=True,
        )

    @classmethod
    def from_estimator(
        cls,
        search: Any,
        *,
        metric: str | None = None,
        score_type: str = "test",
        ax: Any = None,
        **plot_kw: Any,
    ) -> Self:
        """Draw the mean scores of a search over its ``lambd`` and ``keep_prob``.

        Parameters
        ----------
        search : estimator
            A fitted search, such as ``GridSearchCV``, of a
            :class:`RegularizedMLPClassifier` or of a pipeline or another estimator
            that has one inside; or a pipeline that ends with the search.

        metric : str or None, default=None
            Which score to draw, where the search has several. None is for the one
            that ``refit`` names; of a search with ``scoring='auto'`` for the accuracy,
            'score', beside which there is 'loss'.

        score_type : {'test', 'train'}, default='test'
            Whether to draw the scores of the folds' test rows or of their training
            rows, which the search has with ``return_train_score=True``.

        ax : matplotlib Axes, default=None
            As in :meth:`plot`.

        **plot_kw : dict
            The other keywords of :meth:`plot`.

        Returns
        -------
        display : RegularizationGridDisplay
            The display with the picture.

        Raises
        ------
        ImportError
            Without matplotlib, which the extra ``plot`` brings.

        TypeError
            If ``search`` is no search, or :meth:`plot` does not know a keyword.

        sklearn.exceptions.NotFittedError
            If the search is not fitted.

        ValueError
            If the search varied neither ``lambd`` nor ``keep_prob``, or those of
            several networks; if it does not have the metric or the training scores, or
            has several metrics and neither ``metric`` nor ``refit`` names one.

        Notes
        -----
        The frame is around the setting that the search chose, its ``best_index_``,
        whatever score is drawn. Where ``scoring='auto'`` has chosen another than the
        greatest in the picture, a note above says by which loss. A search of several
        metrics with ``refit=False`` has chosen none; then the frame is around the
        highest mean test score.

        Where the search varied other parameters too, a cell stands for the best over
        them by the mean test score of the metric (in a halving search, among those that
        got furthest). Where it did not vary ``lambd`` or ``keep_prob``, that is the
        value of the search's own estimator. Cells that the search did not visit, and
        those whose score is NaN, are blank.

        Values are in ascending order, after 'auto'. Where some are given by layer, they
        are in the order in which the search tried them.

        Examples
        --------
        >>> import matplotlib.pyplot as plt
        >>> from sklearn.datasets import load_iris
        >>> from sklearn.model_selection import GridSearchCV
        >>> from skreg import RegularizationGridDisplay, RegularizedMLPClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> model = RegularizedMLPClassifier(
        ...     (10,), learning_rate="cosine", max_iter=30, random_state=0
        ... )
        >>> grid = {"lambd": [10, 1, 0.1], "keep_prob": [0.8, 1]}
        >>> search = GridSearchCV(model, grid, cv=3).fit(X, y)
        >>> display = RegularizationGridDisplay.from_estimator(search)
        >>> display.lambds, display.keep_probs
        ([0.1, 1.0, 10.0], [0.8, 1.0])
        >>> display.mean_scores.shape
        (3, 2)
        >>> plt.close(display.figure_)
        """
        search = last_step(search)
        # A search that is not fitted is known by the parameter that only searches have.
        if not any(hasattr(search, a) for a in ("cv_results_", "return_train_score")):
            raise TypeError(
                "search must be a search over lambd and keep_prob, such as "
                f"GridSearchCV, not {type(search).__name__}"
            )
        check_is_fitted(search, "cv_results_")
        test, drawn, name = _scores(search, metric, score_type)
        values = _values(search)
        lambds = _axis(lambd for lambd, _ in values.values())
        keep_probs = _axis(keep_prob for _, keep_prob in values.values())
        places = {
            k: (lambds.index(a), keep_probs.index(b)) for k, (a, b) in values.items()
        }
        merits = np.where(np.isnan(test), -np.inf, test)
        rounds = search.cv_results_.get("iter", np.zeros(len(test)))
        # From the worst to the best, which is the first of those that are equally good.
        order = sorted(places, key=lambda k: (rounds[k], merits[k], -k))
        mean_scores = np.full((len(lambds), len(keep_probs)), np.nan)
        for k in order:
            mean_scores[places[k]] = drawn[k]
        chosen = getattr(search, "best_index_", None)
        if chosen is None and not np.isnan(test[order]).all():
            chosen = order[-1]
        # The search may have chosen a model that has no lambd.
        best = None if chosen is None else places.get(int(chosen))
        note = _reason(search) if _is_passed_over(mean_scores, best) else None
        display = cls(
            mean_scores, lambds, keep_probs, best=best, score_name=name, note=note
        )
        return display.plot(ax, **plot_kw)


def _scores(search: Any, metric: str | None, kind: str) -> tuple[Array, Array, str]:
    """Mean test scores, mean scores to draw, and what these are called."""
    if kind not in ("test", "train"):
        raise ValueError(f"score_type={kind!r}: it is 'test' or 'train'")
    results, start = search.cv_results_, "mean_test_"
    # The ends of the keys by the names of the scores: that of a single one is "score".
    names = [key.removeprefix(start) for key in results if key.startswith(start)]
    ends = dict(zip(names, names, strict=True))
    scoring, refit = getattr(search, "scoring", None), getattr(search, "refit", None)
    if list(ends) == ["score"] and isinstance(scoring, str):
        ends = {scoring: "score"}
    if metric is None and len(ends) == 1:
        (metric,) = ends
    elif metric is None and _is_automatic(search):
        metric = "score"
    elif metric is None and isinstance(refit, str):
        metric = refit
    if metric is None or metric not in ends:
        raise ValueError(f"metric={metric!r}: choose one of {sorted(ends)}")
    key = f"mean_{kind}_{ends[metric]}"
    if key not in results:
        raise ValueError(
            "the search has no training scores: fit it with return_train_score=True"
        )
    name = f"mean {kind} {metric}"
    if _is_automatic(search):
        of_both = {"score": "mean {} accuracy", "loss": "minus mean {} log-loss"}
        name = of_both[metric].format(kind)
    elif ends[metric] == "score":
        name = f"mean {kind} {score_name(scoring, search.estimator)}"
    return results[start + ends[metric]], results[key], name


def _is_automatic(search: Any) -> bool:
    scoring = getattr(search, "scoring", None)
    return isinstance(scoring, str) and scoring == "auto"


def _is_passed_over(scores: Array, best: tuple[int, int] | None) -> bool:
    """Whether the picture has a greater score than that in the frame."""
    return best is not None and bool((scores > scores[best]).any())


def _reason(search: Any) -> str | None:
    """By which loss ``scoring='auto'`` has chosen; None if a user's rule has."""
    if not _is_automatic(search) or callable(search.refit):
        return None
    largest = largest_likely_loss(search.cv_results_)
    return (
        "Frame: the best test accuracy of the cells whose test\n"
        f"log-loss is up to {largest:#.3g}, {LIKELY_LOSS_RATIO:g} times the least"
    )


def _values(search: Any) -> dict[int, tuple[Value, Value]]:
    """(lambd, keep_prob) of each candidate whose model has them."""
    candidates = search.cv_results_["params"]
    searched = sorted(set().union(*candidates))
    found = [re.fullmatch("(.*__)?(lambd|keep_prob)", name) for name in searched]
    prefixes = {match[1] or "" for match in found if match}
    if len(prefixes) != 1:
        what = "those of several networks" if prefixes else "neither"
        raise ValueError(
            "the picture is over lambd and keep_prob of one network; the search varied "
            f"{what}: {searched}"
        )
    (prefix,) = prefixes
    names = {f"{prefix}lambd", f"{prefix}keep_prob"}
    values = {}
    for k, params in enumerate(candidates):
        if not names <= set(params):
            # The rest is the estimator's own, or that of a step which stands in for it.
            model = clone(search.estimator).set_params(**clone(params, safe=False))
            params = model.get_params()
        if names <= set(params):
            lambd, keep_prob = params[f"{prefix}lambd"], params[f"{prefix}keep_prob"]
            values[k] = _value(lambd), _value(keep_prob)
    return values


def _value(value: ArrayLike) -> Value:
    """A parameter's value, the same for all equal ones."""
    if isinstance(value, str) and value == "auto":
        return "auto"
    array = np.asarray(value, dtype=float)
    return tuple(array.tolist()) if array.ndim else float(array)


def _axis(values: Iterable[Value]) -> list[Value]:
    """Each value once: 'auto', then ascending, or as they came if some are tuples."""
    distinct = list(dict.fromkeys(values))
    by_layer = any(isinstance(v, tuple) for v in distinct)
    return sorted(distinct, key=lambda v: (v != "auto", 0 if by_layer else v))


def _label(value: Any) -> str:
    """A value as text: 0.5, (0.5, 1) for one by layer, or auto."""
    if np.ndim(value):
        return f"({', '.join(map(_label, value))})"
    return value if isinstance(value, str) else format(value, "g")


def _have_room(ax: Any) -> bool:
    """Whether the labels below the columns can stand side by side."""
    labels = ax.get_xticklabels()
    widest = max(label.get_window_extent().width for label in labels)
    # The layout may narrow the axes yet, for the labels of the rows.
    return bool(widest * len(labels) < ax.get_window_extent().width * 2 / 3)


def _is_dark(rgb: Array) -> Array:
    """Whether white has more contrast with a colour than black (WCAG 2, sRGB)."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722] < 0.179
