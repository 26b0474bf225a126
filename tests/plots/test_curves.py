"""The picture of a training: each line is what the network has."""

import copy
import math
from types import FunctionType

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgba
from pictures import X, X_val, colours, legend, shown_ticks, small, y, y_val
from sklearn.ensemble import VotingClassifier
from sklearn.metrics import accuracy_score, log_loss, make_scorer
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skreg import (
    LossCurveDisplay,
    RegularizedMLPClassifierCV,
    RegularizedMLPEnsemble,
)

draw = LossCurveDisplay.from_estimator


def stopping(**parameters):
    """One that stops early, long before ``max_iter``."""
    defaults = {"early_stopping": True, "n_iter_no_change": 3, "max_iter": 60}
    return small(**{**defaults, "learning_rate_init": 0.2, **parameters})


def points(line):
    return list(zip(line.get_xdata(), line.get_ydata(), strict=True))


def counted(values, first=1):
    """[(1, value), (2, value), …]."""
    return list(enumerate(values, start=first))


def minus(scores):
    return [-score for score in scores]


# The losses --------------------------------------------------------------------------


def test_without_early_stopping_there_is_the_loss_alone(network):
    display = draw(network)
    (line,) = display.lines_
    assert line in display.ax_.lines
    assert points(line) == counted(network.loss_curve_)
    assert len(network.loss_curve_) == network.n_iter_ == 12
    assert display.validation_lines_ == display.train_score_lines_ == []
    assert display.best_markers_ == []
    assert display.score_ax_ is None
    assert legend(display.ax_) == ["training loss"]
    assert display.ax_.get_xlabel() == "epoch"
    assert display.ax_.get_ylabel() == "loss"


def test_the_validation_loss_and_its_best_epoch():
    model = stopping(early_stopping_refit=False, learning_rate_init=0.05)
    model.fit(X, y, X_val=X_val, y_val=y_val)
    display = draw(model)
    (validation,), (best,) = display.validation_lines_, display.best_markers_
    assert points(display.lines_[0]) == counted(model.loss_curve_)
    assert points(validation) == counted(minus(model.validation_scores_))
    # The network has the weights of that point.
    assert points(best) == [
        (
            model.best_n_iter_,
            pytest.approx(log_loss(y_val, model.predict_proba(X_val)), rel=1e-9),
        )
    ]
    assert best.get_ydata() == validation.get_ydata().min()
    assert 1 < model.best_n_iter_ < model.n_iter_
    assert (best.get_marker(), best.get_linestyle()) == ("o", "None")
    assert len(colours([*display.lines_, validation, best])) == 1
    assert display.lines_[0].get_linestyle() == "-"
    assert validation.get_linestyle() == "--"
    assert validation.axes is best.axes is display.ax_
    assert legend(display.ax_) == [
        "training loss",
        f"validation loss (best epoch {model.best_n_iter_})",
    ]


def test_a_refit_is_named():
    model = stopping().fit(X, y)
    assert len(model.validation_scores_) != model.n_iter_
    display = draw(model)
    assert points(display.lines_[0]) == counted(model.loss_curve_)
    (validation,) = display.validation_lines_
    assert points(validation) == counted(minus(model.validation_scores_))
    best = model.best_n_iter_
    assert points(display.best_markers_[0]) == [(best, -model.best_validation_score_)]
    assert legend(display.ax_) == [
        "training loss (refit on all rows)",
        f"validation loss (before the refit; best epoch {best})",
    ]


def test_a_refit_of_as_many_epochs_is_named_too():
    model = stopping(n_validation_splits=1, n_iter_no_change=7).fit(X, y)
    assert len(model.validation_scores_) == model.n_iter_
    training, validation = legend(draw(model).ax_)
    assert training == "training loss (refit on all rows)"
    assert "(before the refit; best epoch " in validation


def test_with_validation_rows_of_ones_own_there_is_no_refit():
    model = stopping().fit(X, y, X_val=X_val, y_val=y_val)
    assert len(model.validation_scores_) == model.n_iter_
    assert model.n_iter_ > round(1.5 * model.best_n_iter_)
    best = model.best_n_iter_
    assert legend(draw(model).ax_)[1] == f"validation loss (best epoch {best})"


def test_training_scores_are_the_loss_without_penalty_and_dropout():
    model = small(lambd=30, keep_prob=0.5, train_scores=True).fit(X, y)
    display = draw(model)
    (line,) = display.train_score_lines_
    assert points(line) == counted(minus(model.train_scores_))
    assert line.get_ydata()[-1] == pytest.approx(log_loss(y, model.predict_proba(X)))
    assert display.lines_[0].get_ydata()[-1] > line.get_ydata()[-1] + 0.1
    assert line.get_linestyle() == ":"
    assert colours([line]) == colours(display.lines_)
    assert legend(display.ax_) == [
        "training loss",
        "training loss without penalty and dropout",
    ]


def test_training_scores_of_a_refit_are_of_its_epochs():
    model = stopping(train_scores=True).fit(X, y)
    display = draw(model)
    assert points(display.train_score_lines_[0]) == counted(minus(model.train_scores_))
    assert len(model.train_scores_) == model.n_iter_ != len(model.validation_scores_)


def test_after_partial_fit_the_curve_is_of_the_last_calls():
    model = small(max_iter=3, train_scores=True)
    for _ in range(5):
        model.partial_fit(X, y, classes=[0, 1])
    display = draw(model)
    assert points(display.lines_[0]) == counted(model.loss_curve_, first=3)
    assert points(display.train_score_lines_[0]) == [(5, -model.train_scores_[0])]
    assert len(display.lines_[0].get_xdata()) == 3


def test_after_a_warm_start_the_curve_is_of_the_last_fit():
    model = small(warm_start=True).fit(X, y)
    model.set_params(max_iter=5).fit(X, y)
    assert points(draw(model).lines_[0]) == counted(model.loss_curve_)
    assert len(model.loss_curve_) == 5


def test_iterations_of_lbfgs():
    model = stopping(solver="lbfgs", early_stopping_refit=False).fit(X, y)
    display = draw(model)
    assert points(display.lines_[0]) == counted(model.loss_curve_)
    assert display.ax_.get_xlabel() == "iteration"
    best = model.best_n_iter_
    assert legend(display.ax_)[1] == f"validation loss (best iteration {best})"


# Other scores than the loss ----------------------------------------------------------


@pytest.fixture(scope="module")
def by_accuracy():
    return stopping(
        scoring="accuracy", train_scores=True, early_stopping_refit=False
    ).fit(X, y, X_val=X_val, y_val=y_val)


def test_another_score_has_an_axis_of_its_own(by_accuracy):
    display = draw(by_accuracy)
    (validation,), (best,) = display.validation_lines_, display.best_markers_
    (train,) = display.train_score_lines_
    assert points(validation) == counted(by_accuracy.validation_scores_)
    assert points(train) == counted(by_accuracy.train_scores_)
    accuracy = accuracy_score(y_val, by_accuracy.predict(X_val))
    assert points(best) == [(by_accuracy.best_n_iter_, accuracy)]
    scores_ax = display.score_ax_
    assert scores_ax is not display.ax_
    assert validation.axes is best.axes is train.axes is scores_ax
    assert display.lines_[0].axes is display.ax_
    assert scores_ax.get_ylabel() == "accuracy"
    assert scores_ax.yaxis.get_label_position() == "right"
    assert scores_ax.get_xlim() == display.ax_.get_xlim()
    assert display.figure_.axes == [display.ax_, scores_ax]
    assert len(colours([*display.lines_, train, validation, best])) == 1
    # One legend, which no line is drawn over.
    assert display.ax_.get_legend() is None
    assert legend(scores_ax) == [
        "training loss",
        "training accuracy",
        f"validation accuracy (best epoch {by_accuracy.best_n_iter_})",
    ]


def recall_of_all(estimator, X, y):
    return float((estimator.predict(X) == y).mean())


@pytest.mark.parametrize(
    ("scoring", "name"),
    [
        (None, "accuracy"),
        ("neg_log_loss", "neg_log_loss"),
        (recall_of_all, "recall_of_all"),
        (make_scorer(accuracy_score), "score"),
        # Whatever its name, a function is not minus the loss.
        (FunctionType(recall_of_all.__code__, {}, "loss"), "score"),
    ],
)
def test_names_of_scores(scoring, name):
    model = stopping(scoring=scoring, early_stopping_refit=False).fit(X, y)
    display = draw(model)
    assert points(display.validation_lines_[0]) == counted(model.validation_scores_)
    assert display.score_ax_.get_ylabel() == name
    assert f"validation {name} (" in legend(display.score_ax_)[1]


def test_a_score_that_is_not_a_number(by_accuracy):
    model = copy.copy(by_accuracy)
    model.validation_scores_ = [math.nan, *model.validation_scores_[1:]]
    assert model.best_n_iter_ > 1
    (best,) = draw(model).best_markers_
    assert points(best) == [(model.best_n_iter_, model.best_validation_score_)]


def test_without_scores_there_is_no_second_axis():
    display = draw(small().fit(X, y))
    assert display.score_ax_ is None
    assert display.figure_.axes == [display.ax_]


def test_scores_of_several_displays_share_an_axis(by_accuracy, network):
    first = draw(by_accuracy, name="a")
    assert legend(first.score_ax_)[0] == "a: training loss"
    second = draw(by_accuracy, ax=first.ax_, name="b")
    assert second.score_ax_ is first.score_ax_
    assert second.score_ax_.get_ylabel() == "accuracy"
    other = stopping(scoring="roc_auc", early_stopping_refit=False).fit(X, y)
    third = draw(other, ax=first.ax_, name="c")
    assert third.score_ax_ is first.score_ax_
    assert third.score_ax_.get_ylabel() == "score"
    # The legend stays on top, also if the newest lines are on the axes below.
    fourth = draw(network, ax=first.ax_, name="d")
    assert fourth.score_ax_ is None
    assert fourth.ax_.get_legend() is None
    texts = legend(first.score_ax_)
    assert {text[:3] for text in texts} == {"a: ", "b: ", "c: ", "d: "}
    assert len(texts) == 3 + 3 + 2 + 1
    assert first.figure_.axes == [first.ax_, first.score_ax_]


def test_scores_on_axes_that_had_losses(by_accuracy, network):
    first = draw(network, name="a")
    second = draw(by_accuracy, ax=first.ax_, name="b")
    assert first.ax_.get_legend() is None
    assert legend(second.score_ax_)[0] == "a: training loss"


def test_axes_that_share_x_have_each_their_scores(by_accuracy):
    figure, (left, right) = plt.subplots(1, 2, sharex=True)
    one, other = draw(by_accuracy, ax=left), draw(by_accuracy, ax=right)
    assert one.score_ax_ is not other.score_ax_
    assert len(figure.axes) == 4


# Several networks --------------------------------------------------------------------


def test_two_displays_on_the_same_axes():
    models = [stopping(lambd=lambd).fit(X, y) for lambd in (0, 20)]
    figure, ax = plt.subplots()
    displays = [draw(model, ax=ax, name=f"lambd={model.lambd}") for model in models]
    for model, display in zip(models, displays, strict=True):
        assert (display.ax_, display.figure_) == (ax, figure)
        assert points(display.lines_[0]) == counted(model.loss_curve_)
        assert len(colours([*display.lines_, *display.validation_lines_])) == 1
    first, second = displays
    assert colours(first.lines_) != colours(second.lines_)
    texts = legend(ax)
    assert [text.split(" (")[0] for text in texts] == [
        "lambd=0: training loss",
        "lambd=0: validation loss",
        "lambd=20: training loss",
        "lambd=20: validation loss",
    ]
    assert plt.get_fignums() == [figure.number]


def test_an_ensemble_has_a_line_for_each_network():
    ensemble = RegularizedMLPEnsemble(stopping(learning_rate_init=0.05), 3).fit(X, y)
    display = draw(ensemble, name="three")
    networks = ensemble.estimators_
    for network, line, validation, best in zip(
        networks,
        display.lines_,
        display.validation_lines_,
        display.best_markers_,
        strict=True,
    ):
        assert points(line) == counted(network.loss_curve_)
        assert points(validation) == counted(minus(network.validation_scores_))
        epoch = network.best_n_iter_
        assert points(best) == [(epoch, -network.validation_scores_[epoch - 1])]
    assert len(colours(display.lines_ + display.validation_lines_)) == 1
    assert {line.get_alpha() for line in display.lines_} == {0.5}
    best = [network.best_n_iter_ for network in networks]
    assert min(best) < max(best)
    assert legend(display.ax_) == [
        "three: training loss (refit on all rows)",
        "three: validation loss (before the refit; "
        f"best epoch {min(best)} to {max(best)})",
    ]


def test_a_search_shows_what_it_found():
    search = RegularizedMLPClassifierCV(
        (1.0,), (1.0,), cv=2, n_refits=2, hidden_layer_sizes=(5,), max_iter=4
    ).fit(X, y)
    display = draw(search)
    networks = search.best_estimator_.estimators_
    assert list(map(points, display.lines_)) == [
        counted(network.loss_curve_) for network in networks
    ]
    pipeline = make_pipeline(StandardScaler(), small(max_iter=4))
    grid = {"regularizedmlpclassifier__lambd": [0.1, 1.0]}
    nested = make_pipeline(StandardScaler(), GridSearchCV(pipeline, grid, cv=2))
    model = nested.fit(X, y)[-1].best_estimator_[-1]
    assert points(draw(nested).lines_[0]) == counted(model.loss_curve_)


def test_a_network_of_scikit_learn():
    model = MLPClassifier(
        (8,),
        early_stopping=True,
        learning_rate_init=0.1,
        max_iter=100,
        random_state=0,
        warm_start=True,
    )
    # Its n_iter_ starts again with each fit, and its curves do not.
    model.fit(X, y).fit(X, y)
    display = draw(model)
    assert len(model.loss_curve_) > model.n_iter_
    assert points(display.lines_[0]) == counted(model.loss_curve_)
    assert points(display.validation_lines_[0]) == counted(model.validation_scores_)
    best = int(np.argmax(model.validation_scores_)) + 1
    assert points(display.best_markers_[0]) == [(best, model.best_validation_score_)]
    assert legend(display.score_ax_) == [
        "training loss",
        f"validation accuracy (best epoch {best})",
    ]


def test_networks_some_of_which_stop_early():
    voting = VotingClassifier(
        [
            ("one", small()),
            ("other", stopping(solver="lbfgs", early_stopping_refit=False)),
        ]
    ).fit(X, y)
    display = draw(voting)
    assert len(display.lines_) == 2
    # Not all of them have epochs.
    assert display.ax_.get_xlabel() == "iteration"
    (validation,) = display.validation_lines_
    stopped = voting.estimators_[1]
    assert points(validation) == counted(minus(stopped.validation_scores_))
    assert display.best_markers_[0].get_xdata() == [stopped.best_n_iter_]


def test_networks_scored_in_several_ways(by_accuracy):
    voting = VotingClassifier([("one", by_accuracy), ("other", stopping())]).fit(X, y)
    with pytest.raises(ValueError, match=r"kinds, \['accuracy', 'loss'\]: draw"):
        draw(voting)


# The constructor and plot ------------------------------------------------------------


def test_the_constructor_keeps_its_parameters():
    parameters = {
        "loss_curves": [[3.0, 2.0]],
        "validation_scores": [[0.5, 0.7]],
        "train_scores": [[0.6, 0.8]],
        "best_n_iters": [2],
        "n_iters": [7],
        "score_name": "gain",
        "iteration_name": "round",
        "refit": True,
        "name": "mine",
    }
    display = LossCurveDisplay(**parameters)
    assert vars(display) == parameters
    assert display.plot() is display
    assert points(display.lines_[0]) == [(6, 3.0), (7, 2.0)]
    assert points(display.train_score_lines_[0]) == [(6, 0.6), (7, 0.8)]
    assert points(display.validation_lines_[0]) == [(1, 0.5), (2, 0.7)]
    assert points(display.best_markers_[0]) == [(2, 0.7)]
    assert display.ax_.get_xlabel() == "round"
    assert legend(display.score_ax_) == [
        "mine: training loss (refit on all rows)",
        "mine: training gain",
        "mine: validation gain (before the refit; best round 2)",
    ]


def test_scores_are_minus_the_loss_unless_they_have_a_name():
    curves = {"validation_scores": [[-0.7, -0.5]], "train_scores": [[-0.4, -0.3]]}
    display = LossCurveDisplay([[3.0, 2.0]], **curves).plot()
    assert points(display.validation_lines_[0]) == [(1, 0.7), (2, 0.5)]
    assert points(display.train_score_lines_[0]) == [(1, 0.4), (2, 0.3)]
    assert display.score_ax_ is None
    named = LossCurveDisplay([[3.0, 2.0]], **curves, score_name="neg_log_loss").plot()
    assert points(named.validation_lines_[0]) == [(1, -0.7), (2, -0.5)]
    assert points(named.train_score_lines_[0]) == [(1, -0.4), (2, -0.3)]


def test_losses_that_are_not_finite_leave_a_gap():
    display = LossCurveDisplay(
        [[math.inf, 4.0, math.nan, 3.0]], validation_scores=[[-math.inf, -2.0]]
    ).plot()
    ((_, loss), *more) = points(display.lines_[0])
    assert loss == math.inf
    assert [epoch for epoch, _ in more] == [2, 3, 4]
    # The limits are of what can be drawn.
    low, high = display.ax_.get_ylim()
    assert 1.5 < low < 2
    assert 4 < high < 4.5
    diverged = LossCurveDisplay([[math.nan, math.nan]]).plot()
    diverged.figure_.canvas.draw()
    assert legend(diverged.ax_) == ["training loss"]


def test_the_name_is_kept_for_another_plot(network):
    display = draw(network, name="a")
    first = display.figure_
    assert legend(display.plot().ax_) == ["a: training loss"]
    assert display.figure_ is not first
    assert legend(display.plot(name="b").ax_) == ["b: training loss"]


def test_the_epochs_on_the_axis_are_whole_numbers():
    display = LossCurveDisplay([[3.0, 2.0, 1.0]]).plot()
    ticks = display.ax_.get_xticks()
    np.testing.assert_array_equal(ticks, np.round(ticks))
    # Axes with a scale of their own keep it.
    display.ax_.set_xscale("log")
    display.plot(display.ax_)
    assert display.ax_.get_xscale() == "log"


@pytest.mark.parametrize("score_name", ["loss", "accuracy"])
def test_one_epoch_is_a_tick_and_points_that_can_be_seen(score_name):
    display = LossCurveDisplay(
        [[3.0]], validation_scores=[[-2.0]], score_name=score_name
    ).plot()
    assert shown_ticks(display.ax_.xaxis) == ["1"]
    lines = display.lines_ + display.validation_lines_
    assert [ink(line) for line in lines] == [True, True]


def test_epochs_between_gaps_can_be_seen():
    curve = [1.0, math.nan, 2.0, 3.0, math.inf, 4.0]
    (line,) = LossCurveDisplay([curve]).plot().lines_
    assert line.get_markevery() == [0, 5]
    assert ink(line)
    # Markers of one's own are on each epoch.
    (line,) = LossCurveDisplay([curve]).plot(line_kw={"marker": "x"}).lines_
    assert (line.get_marker(), line.get_markevery()) == ("x", None)
    (line,) = LossCurveDisplay([[3.0, 2.0]]).plot().lines_
    assert line.get_marker() == "None"


def ink(line):
    """Whether the picture shows the line, of which all else is taken away."""
    figure = line.axes.figure
    for ax in figure.axes:
        ax.set_axis_off()
        for artist in [*ax.lines, *filter(None, [ax.get_legend()])]:
            artist.set_visible(artist is line)
    figure.canvas.draw()
    return bool((np.asarray(figure.canvas.buffer_rgba())[..., :3] < 255).any())


def test_style_of_the_curves():
    display = LossCurveDisplay(
        [[3.0, 2.0]], validation_scores=[[-1.0, -2.0]], best_n_iters=[1]
    )
    display.plot(line_kw={"c": "red", "lw": 3}, best_kw={"marker": "x", "ms": 9})
    (line,), (validation,) = display.lines_, display.validation_lines_
    (best,) = display.best_markers_
    assert colours([line, validation, best]) == {to_rgba("red")}
    assert (line.get_linewidth(), validation.get_linewidth()) == (3, 3)
    assert (best.get_marker(), best.get_markersize()) == ("x", 9)
    # from_estimator hands them on.
    model = stopping().fit(X, y)
    display = draw(model, line_kw={"lw": 3}, best_kw={"color": "green"})
    assert display.lines_[0].get_linewidth() == 3
    assert colours(display.best_markers_) == {to_rgba("green")}


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"loss_curves": []}, "loss_curves is empty"),
        ({"loss_curves": [[]]}, "loss_curves is empty"),
        ({"validation_scores": []}, "validation_scores has 0 items: .* 1 loss_curves"),
        ({"train_scores": [[1], [2]]}, "train_scores has 2 items"),
        ({"n_iters": [1, 2]}, "n_iters has 2 items"),
        ({"best_n_iters": [1, 2]}, "best_n_iters has 2 items"),
        ({"best_n_iters": [1]}, r"\[1\]: there is no validation score of epoch 1"),
        (
            {"best_n_iters": [-1], "validation_scores": [[1]]},
            "no validation score of epoch -1",
        ),
        ({"loss_curves": [3.0, 2.0]}, r"loss_curves must have a curve .* shape \(\)"),
        ({"train_scores": [[[1.0]]]}, r"train_scores must .* shape \(1, 1\)"),
    ],
)
def test_curves_that_do_not_fit(parameters, message):
    display = LossCurveDisplay(**{"loss_curves": [[3.0, 2.0]], **parameters})
    with pytest.raises(ValueError, match=message):
        display.plot()
    assert plt.get_fignums() == []


def test_a_network_without_a_loss_curve():
    model = MLPClassifier((5,), solver="lbfgs", max_iter=500, random_state=0).fit(X, y)
    with pytest.raises(TypeError, match="MLPClassifier has no loss_curve_"):
        draw(model)


def test_training_without_an_iteration():
    # The minimum is where it starts.
    model = small(solver="lbfgs", lambd=0).fit(np.zeros((4, 2)), [0, 0, 1, 1])
    with pytest.raises(ValueError, match="empty loss_curve_"):
        draw(model)
