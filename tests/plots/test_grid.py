"""The picture of a search: each cell is at its values, and says what was found."""

import copy
from itertools import pairwise, product

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb, to_rgba
from matplotlib.text import Text
from pictures import X, small, y
from sklearn.ensemble import VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.metrics import accuracy_score, make_scorer
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    RandomizedSearchCV,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from skreg import RegularizationGridDisplay, RegularizedMLPClassifierCV

LAMBDS = [30.0, 0.0, 3.0]
KEEP_PROBS = [1.0, 0.4, 0.5, 0.8]
BOTH = ["accuracy", "neg_log_loss"]


def grid_search(grid, estimator=None, **parameters):
    estimator = small(max_iter=4) if estimator is None else estimator
    return GridSearchCV(estimator, grid, **{"cv": 2, **parameters}).fit(X, y)


@pytest.fixture(scope="module")
def fitted_search():
    return grid_search(
        {"keep_prob": KEEP_PROBS, "lambd": LAMBDS},
        scoring="neg_log_loss",
        return_train_score=True,
    )


@pytest.fixture(scope="module")
def fitted_search_of_both():
    return grid_search(
        {"keep_prob": KEEP_PROBS, "lambd": LAMBDS},
        scoring=BOTH,
        refit="neg_log_loss",
        return_train_score=True,
    )


@pytest.fixture
def search(fitted_search):
    """A search whose results a test may change."""
    return copy.deepcopy(fitted_search)


@pytest.fixture
def search_of_both(fitted_search_of_both):
    return copy.deepcopy(fitted_search_of_both)


def draw(search, **parameters):
    # A colour bar takes most of the time of a picture.
    options = {"colorbar": False, **parameters}
    return RegularizationGridDisplay.from_estimator(search, **options)


def scores_by_values(search, key="mean_test_score", prefix=""):
    """{(lambd, keep_prob): score}, for a search that tried each pair once."""
    results = search.cv_results_
    pairs = zip(
        results[f"param_{prefix}lambd"],
        results[f"param_{prefix}keep_prob"],
        strict=True,
    )
    return dict(zip(pairs, results[key], strict=True))


def cells(display):
    """{(lambd, keep_prob): score}, as the display has them."""
    shape = len(display.lambds), len(display.keep_probs)
    assert np.shape(display.mean_scores) == shape
    return {
        (lambd, keep_prob): display.mean_scores[i][j]
        for (i, lambd), (j, keep_prob) in product(
            enumerate(display.lambds), enumerate(display.keep_probs)
        )
    }


def framed(display):
    """(lambd, keep_prob) of the cell in the frame."""
    middle = np.array(display.best_marker_.get_bbox().get_points()).mean(axis=0)
    j, i = middle.astype(int)
    assert (i, j) == tuple(display.best)
    assert (display.best_marker_.get_bbox().size == 1).all()
    return display.lambds[i], display.keep_probs[j]


def tick_labels(display):
    def of(axis):
        return [tick.get_text() for tick in axis.get_ticklabels()]

    return of(display.ax_.yaxis), of(display.ax_.xaxis)


def strings(display):
    return [[text.get_text() for text in row] for row in display.text_]


def luminance(colour):
    """The relative luminance of a colour, as WCAG 2 has it."""
    total = 0.0
    for value, weight in zip(to_rgb(colour), (0.2126, 0.7152, 0.0722), strict=True):
        linear = value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        total += weight * linear
    return total


def contrast(one, other):
    dark, light = sorted([luminance(one), luminance(other)])
    return (light + 0.05) / (dark + 0.05)


def pixels(display):
    """Draw, and return the function that looks at the picture.

    It takes a place in the axes' data to the colour there, as RGB in 0..1.
    """
    display.figure_.canvas.draw()
    picture = np.asarray(display.figure_.canvas.buffer_rgba())

    def pixel(x, y):
        column, row = display.ax_.transData.transform((x, y))
        return picture[picture.shape[0] - 1 - int(row), int(column), :3] / 255

    return pixel


# The grid ----------------------------------------------------------------------------


def test_every_cell_has_the_score_of_its_values(search):
    display = draw(search)
    assert display.lambds == [0.0, 3.0, 30.0]
    assert display.keep_probs == [0.4, 0.5, 0.8, 1.0]
    expected = scores_by_values(search)
    assert len(set(expected.values())) == 12
    assert cells(display) == expected
    assert tick_labels(display) == (["0", "3", "30"], ["0.4", "0.5", "0.8", "1"])
    np.testing.assert_array_equal(display.ax_.get_yticks(), range(3))
    np.testing.assert_array_equal(display.ax_.get_xticks(), range(4))


@pytest.mark.parametrize("origin", ["upper", "lower"])
def test_the_picture_has_each_score_at_its_ticks(search, origin):
    display = draw(
        search, include_values=False, im_kw={"origin": origin}, colorbar=True
    )
    assert display.ax_.get_xlabel() == "keep_prob"
    assert display.ax_.get_ylabel() == "lambd"
    scores = scores_by_values(search)
    pixel = pixels(display)
    low, high = min(scores.values()), max(scores.values())
    rows = dict(zip(sorted(LAMBDS), display.ax_.get_yticks(), strict=True))
    columns = dict(zip(sorted(KEEP_PROBS), display.ax_.get_xticks(), strict=True))
    for (lambd, keep_prob), score in scores.items():
        colour = plt.get_cmap("viridis")((score - low) / (high - low))[:3]
        seen = pixel(columns[keep_prob], rows[lambd])
        np.testing.assert_allclose(seen, colour, atol=0.01)
    _, top = display.ax_.transAxes.inverted().transform(
        display.ax_.transData.transform((0, 0))
    )
    assert (top > 0.5) == (origin == "upper")


def test_the_numbers_are_in_the_middle_of_their_cells(search):
    display = draw(search)
    for (i, lambd), (j, keep_prob) in product(
        enumerate(display.lambds), enumerate(display.keep_probs)
    ):
        text = display.text_[i, j]
        assert text.get_position() == (j, i)
        assert text.get_horizontalalignment() == "center"
        assert text.get_verticalalignment() == "center"
        score = scores_by_values(search)[lambd, keep_prob]
        assert float(text.get_text()) == pytest.approx(score, rel=5e-3)
        assert len(text.get_text().strip("-0.").replace(".", "")) <= 3


def test_a_negative_score_stays_negative(search):
    display = draw(search)
    assert (display.mean_scores < 0).all()
    assert framed(display) == (
        search.best_params_["lambd"],
        search.best_params_["keep_prob"],
    )
    best = display.mean_scores[display.best]
    assert best == display.mean_scores.max() == search.best_score_


def test_the_colour_bar_names_the_score(search):
    display = RegularizationGridDisplay.from_estimator(search)
    assert display.im_.colorbar.ax.get_ylabel() == "mean test neg_log_loss"


def mean_gain(estimator, X, y):
    return 0.0


@pytest.mark.parametrize(
    ("scoring", "name"),
    [
        (None, "accuracy"),
        ("f1_macro", "f1_macro"),
        (mean_gain, "mean_gain"),
        # It has no public name.
        (make_scorer(accuracy_score), "score"),
    ],
)
def test_names_of_scores(search, scoring, name):
    search.scoring = scoring
    assert draw(search).score_name == f"mean test {name}"
    assert draw(search, score_type="train").score_name == f"mean train {name}"


def test_training_scores(search):
    display = draw(search, score_type="train")
    assert cells(display) == scores_by_values(search, "mean_train_score")
    assert cells(display) != scores_by_values(search)
    assert display.score_name == "mean train neg_log_loss"
    assert framed(display) == framed(draw(search))


def test_training_scores_that_are_not_there(search):
    for key in [key for key in search.cv_results_ if "train" in key]:
        del search.cv_results_[key]
    with pytest.raises(ValueError, match="return_train_score=True"):
        draw(search, score_type="train")


def test_unknown_score_type(search):
    with pytest.raises(ValueError, match="score_type='both': it is 'test' or 'train'"):
        draw(search, score_type="both")


# Several metrics ---------------------------------------------------------------------


def test_the_metric_is_that_of_refit(search_of_both):
    display = draw(search_of_both)
    assert cells(display) == scores_by_values(search_of_both, "mean_test_neg_log_loss")
    assert display.score_name == "mean test neg_log_loss"


@pytest.mark.parametrize("score_type", ["test", "train"])
def test_another_metric_shows_the_same_choice(search_of_both, score_type):
    display = draw(search_of_both, metric="accuracy", score_type=score_type)
    key = f"mean_{score_type}_accuracy"
    assert cells(display) == scores_by_values(search_of_both, key)
    assert display.score_name == f"mean {score_type} accuracy"
    assert framed(display) == framed(draw(search_of_both))


@pytest.mark.parametrize("refit", [False, lambda results: 3])
def test_a_metric_is_asked_for(search_of_both, refit):
    search_of_both.refit = refit
    with pytest.raises(ValueError, match=r"None: .*\['accuracy', 'neg_log_loss'\]"):
        draw(search_of_both)


def test_an_unknown_metric(search, search_of_both):
    with pytest.raises(ValueError, match=r"'f1': .*\['accuracy', 'neg_log_loss'\]"):
        draw(search_of_both, metric="f1")
    with pytest.raises(ValueError, match=r"'accuracy': choose .*\['neg_log_loss'\]"):
        draw(search, metric="accuracy")


def test_the_only_metric_may_be_named(search):
    assert cells(draw(search, metric="neg_log_loss")) == cells(draw(search))
    search.scoring = None
    assert cells(draw(search, metric="score")) == cells(draw(search))


@pytest.fixture(scope="module")
def search_without_a_choice():
    return grid_search(
        {"keep_prob": KEEP_PROBS, "lambd": LAMBDS},
        scoring=BOTH,
        refit=False,
        return_train_score=True,
    )


@pytest.mark.parametrize("score_type", ["test", "train"])
@pytest.mark.parametrize("metric", BOTH)
def test_without_a_choice_the_highest_test_score_is_framed(
    metric, score_type, search_without_a_choice
):
    search = search_without_a_choice
    assert not hasattr(search, "best_index_")
    # Of two cells that are equally good the search would take the first.
    scores = scores_by_values(search, f"mean_test_{metric}")
    assert framed(draw(search, metric=metric, score_type=score_type)) == max(
        scores, key=scores.get
    )


def test_refit_false_with_one_metric_has_a_choice():
    search = grid_search({"lambd": LAMBDS, "keep_prob": [0.5, 1.0]}, refit=False)
    best = search.cv_results_["params"][search.best_index_]
    assert framed(draw(search)) == (best["lambd"], best["keep_prob"])


def test_the_frame_is_the_choice_of_a_callable_refit():
    search = grid_search(
        {"lambd": LAMBDS, "keep_prob": [0.5, 1.0]},
        refit=lambda results: int(np.argmin(results["mean_test_score"])),
    )
    display = draw(search)
    assert display.mean_scores[display.best] == np.min(display.mean_scores)
    assert framed(display) == (
        search.best_params_["lambd"],
        search.best_params_["keep_prob"],
    )


# Which searches ----------------------------------------------------------------------


def test_search_of_a_pipeline():
    prefix = "regularizedmlpclassifier__"
    search = grid_search(
        {prefix + "lambd": LAMBDS, prefix + "keep_prob": [1.0, 0.5]},
        make_pipeline(StandardScaler(), small()),
    )
    assert cells(draw(search)) == scores_by_values(search, prefix=prefix)


def test_pipeline_that_ends_with_a_search(search):
    inner = Pipeline([("scale", StandardScaler()), ("search", search)])
    assert cells(draw(inner)) == cells(draw(search))
    assert cells(draw(Pipeline([("inner", inner)]))) == cells(draw(search))


def test_randomised_search():
    search = RandomizedSearchCV(
        small(),
        {"lambd": LAMBDS, "keep_prob": KEEP_PROBS},
        n_iter=7,
        cv=2,
        random_state=0,
    ).fit(X, y)
    display = draw(search)
    seen = {k: v for k, v in cells(display).items() if not np.isnan(v)}
    assert seen == scores_by_values(search)
    assert len(seen) == 7
    assert np.size(display.mean_scores) > 7


def test_a_search_of_stacks():
    mine = RegularizedMLPClassifierCV(
        LAMBDS,
        KEEP_PROBS,
        cv=2,
        scoring="neg_log_loss",
        hidden_layer_sizes=(8, 4),
        learning_rate="cosine",
        learning_rate_init=0.03,
        max_iter=8,
        random_state=0,
        n_refits=1,
    ).fit(X, y)
    display = draw(mine)
    assert cells(display) == scores_by_values(mine)
    assert framed(display) == (mine.lambd_, mine.keep_prob_)
    assert display.lambds == sorted(LAMBDS)


@pytest.fixture(scope="module")
def by_default():
    """A search that is as by default, but for a small network and a few epochs."""
    return RegularizedMLPClassifierCV(
        hidden_layer_sizes=(8, 4),
        max_iter=8,
        return_train_score=True,
        n_refits=2,
        random_state=0,
    ).fit(X, y)


@pytest.mark.parametrize("score_type", ["test", "train"])
def test_a_search_by_accuracy_and_loss_shows_the_accuracy(by_default, score_type):
    display = draw(by_default, score_type=score_type, colorbar=True)
    key = f"mean_{score_type}_score"
    assert cells(display) == scores_by_values(by_default, key)
    assert display.lambds == [0.2, 1.0, 5.0, 20.0]
    assert display.keep_probs == [0.5, 0.9]
    assert framed(display) == (by_default.lambd_, by_default.keep_prob_)
    assert display.im_.colorbar.ax.get_ylabel() == f"mean {score_type} accuracy"
    named = draw(by_default, metric="score", score_type=score_type)
    assert cells(named) == cells(display)


def test_a_search_by_accuracy_and_loss_may_show_the_loss(by_default):
    display = draw(by_default, metric="loss")
    assert cells(display) == scores_by_values(by_default, "mean_test_loss")
    assert framed(display) == (by_default.lambd_, by_default.keep_prob_)
    assert display.score_name == "minus mean test log-loss"
    with pytest.raises(ValueError, match=r"'f1': choose one of \['loss', 'score'\]"):
        draw(by_default, metric="f1")


LIKELY = (
    "Frame: the best test accuracy of the cells whose test\n"
    "log-loss is up to 0.210, 1.05 times the least"
)


@pytest.mark.parametrize(
    ("metric", "chosen", "note"),
    [
        # Of losses up to 1.05 * 0.2 the accuracies are 0.8 and 0.7.
        ("score", 0, LIKELY),
        ("loss", 0, LIKELY),
        # The greatest of the picture needs no reason.
        ("loss", 1, None),
        ("score", 2, None),
    ],
)
def test_a_cell_that_was_passed_over_has_a_reason(by_default, metric, chosen, note):
    search = copy.deepcopy(by_default)
    results = search.cv_results_
    results["mean_test_score"][:] = [0.8, 0.7, 0.9, 0.6, 0.6, np.nan, 0.6, 0.6]
    losses = [0.209, 0.2, 0.3, 0.5, 0.5, np.nan, 1.0, 1.0]
    results["mean_test_loss"][:] = np.negative(losses)
    search.best_index_ = chosen
    display = draw(search, metric=metric)
    assert display.note == note
    assert (display.note_ and display.note_.get_text()) == note
    # A rule of one's own is not known.
    search.refit = lambda results: chosen
    assert draw(search, metric=metric).note is None


def test_a_search_all_of_whose_losses_failed_has_no_reason(by_default):
    search = copy.deepcopy(by_default)
    search.cv_results_["mean_test_loss"][:] = np.nan
    search.best_index_ = int(np.argmax(search.cv_results_["mean_test_score"]))
    assert draw(search).note is None
    assert draw(search, metric="loss").note is None


def test_a_search_by_accuracy_and_loss_may_have_chosen_otherwise():
    search = RegularizedMLPClassifierCV(
        LAMBDS,
        KEEP_PROBS,
        cv=2,
        refit=lambda results: int(np.argmin(results["mean_test_score"])),
        hidden_layer_sizes=(8, 4),
        max_iter=4,
        n_refits=1,
        random_state=0,
    ).fit(X, y)
    display = draw(search)
    assert cells(display) == scores_by_values(search)
    assert framed(display) == (search.lambd_, search.keep_prob_)
    assert display.note is None
    assert framed(draw(search.set_params(refit=False))) == framed(display)


def test_halving_search_takes_the_last_round_of_a_cell():
    search = HalvingGridSearchCV(
        small(),
        {"lambd": LAMBDS, "keep_prob": [0.5, 1.0], "activation": ["relu", "tanh"]},
        cv=2,
        min_resources=30,
        random_state=0,
    ).fit(X, y)
    expected, last = {}, {}
    for k, params in enumerate(search.cv_results_["params"]):
        place = params["lambd"], params["keep_prob"]
        score = search.cv_results_["mean_test_score"][k]
        step = search.cv_results_["iter"][k]
        if step > last.get(place, -1):
            last[place], expected[place] = step, score
        elif step == last[place]:
            expected[place] = max(expected[place], score)
    assert len(set(last.values())) > 1
    display = draw(search)
    assert cells(display) == expected
    assert display.mean_scores[display.best] == search.best_score_


def test_one_network_of_an_ensemble():
    vote = VotingClassifier([("a", small()), ("b", small(keep_prob=0.7))])
    display = draw(grid_search({"b__lambd": [2.0, 1.0]}, vote))
    assert (display.lambds, display.keep_probs) == ([1.0, 2.0], [0.7])
    search = grid_search({"a__lambd": [1.0, 2.0], "b__keep_prob": [0.5, 1.0]}, vote)
    with pytest.raises(ValueError, match=r"several .*\['a__lambd', 'b__keep_prob'\]"):
        draw(search)


def test_search_over_neither():
    search = grid_search({"input_keep_prob": [0.5, 1.0], "momentum": [0.5]})
    with pytest.raises(ValueError, match=r"neither: \['input_keep_prob', 'momentum'\]"):
        draw(search)


@pytest.mark.parametrize(
    "search",
    [
        GridSearchCV(small(), {"lambd": LAMBDS}),
        RandomizedSearchCV(small(), {"lambd": LAMBDS}),
        HalvingGridSearchCV(small(), {"lambd": LAMBDS}),
        RegularizedMLPClassifierCV(LAMBDS),
    ],
    ids=lambda search: type(search).__name__,
)
def test_search_that_is_not_fitted(search):
    message = f"{type(search).__name__} instance is not fitted"
    with pytest.raises(NotFittedError, match=message):
        draw(search)
    with pytest.raises(NotFittedError, match=message):
        draw(make_pipeline(StandardScaler(), search))


@pytest.mark.parametrize(
    "other", [small(), small().fit(X, y), LogisticRegressionCV(), "search"]
)
def test_what_is_no_search(other):
    with pytest.raises(TypeError, match=f"GridSearchCV, not {type(other).__name__}"):
        draw(other)


# Cells that stand for none, or for several, of the search's settings -----------------


@pytest.mark.parametrize(
    ("grid", "lambds", "keep_probs"),
    [
        ({"lambd": [3.0, 0.0]}, [0.0, 3.0], [0.9]),
        ({"keep_prob": [1.0, 0.5]}, [0.5], [0.5, 1.0]),
    ],
)
def test_what_was_not_searched_is_the_estimators_own(grid, lambds, keep_probs):
    search = grid_search(grid, small(keep_prob=0.9))
    display = draw(search)
    assert (display.lambds, display.keep_probs) == (lambds, keep_probs)
    expected = np.sort(search.cv_results_["mean_test_score"])
    np.testing.assert_array_equal(np.sort(np.ravel(display.mean_scores)), expected)
    assert framed(display) == (
        search.best_params_.get("lambd", 0.5),
        search.best_params_.get("keep_prob", 0.9),
    )


@pytest.mark.parametrize(
    ("grid", "lambds", "labels"),
    [
        ({"keep_prob": [1.0, 0.5]}, ["auto"], ["auto"]),
        (
            {"lambd": [10.0, "auto", 0.1], "keep_prob": [1.0, 0.5]},
            ["auto", 0.1, 10.0],
            ["auto", "0.1", "10"],
        ),
    ],
)
def test_auto_is_a_row_before_the_numbers(grid, lambds, labels):
    search = grid_search(grid, small(max_iter=4, lambd="auto"))
    display = draw(search)
    assert display.lambds == lambds
    assert tick_labels(display) == (labels, ["0.5", "1"])
    search.cv_results_.setdefault("param_lambd", ["auto"] * 2)
    assert cells(display) == scores_by_values(search)
    best = search.best_params_
    assert framed(display) == (best.get("lambd", "auto"), best["keep_prob"])


def test_list_of_grids():
    search = grid_search(
        [{"lambd": [2.0, 1.0]}, {"keep_prob": [0.5]}, {"lambd": [3], "keep_prob": [1]}]
    )
    scores = search.cv_results_["mean_test_score"]
    display = draw(search)
    assert (display.lambds, display.keep_probs) == ([0.5, 1.0, 2.0, 3.0], [0.5, 1.0])
    np.testing.assert_array_equal(
        display.mean_scores,
        [
            [scores[2], np.nan],
            [np.nan, scores[1]],
            [np.nan, scores[0]],
            [np.nan, scores[3]],
        ],
    )
    empty = [text == "" for row in strings(display) for text in row]
    assert empty == np.isnan(display.mean_scores).ravel().tolist()


def test_a_cell_without_a_score_is_blank():
    display = RegularizationGridDisplay(
        [[0.5, np.nan, 0.7], [np.nan, 0.1, np.inf]], [0, 1], [0.5, 0.7, 1]
    ).plot(cmap="Reds")
    assert strings(display) == [["0.500", "", "0.700"], ["", "0.100", "inf"]]
    pixel = pixels(display)
    for i, j in (0, 1), (1, 0), (1, 2):
        np.testing.assert_array_equal(pixel(j, i - 0.3), 1)
        assert display.text_[i, j].get_color() == "black"
    assert (pixel(0, -0.3) < 1).any()
    assert (display.im_.norm.vmin, display.im_.norm.vmax) == (0.1, 0.7)


def test_a_score_that_is_nan(search):
    search.cv_results_["mean_test_score"][4] = np.nan
    params = search.cv_results_["params"][4]
    missing = [pair for pair, score in cells(draw(search)).items() if np.isnan(score)]
    assert missing == [(params["lambd"], params["keep_prob"])]


@pytest.mark.parametrize("kind", ["all", "one"])
def test_scores_that_are_nan_are_never_the_best(search_of_both, kind):
    search_of_both.refit = False
    del search_of_both.best_index_
    scores = search_of_both.cv_results_["mean_test_accuracy"]
    scores[slice(None) if kind == "all" else [0]] = np.nan
    display = draw(search_of_both, metric="accuracy")
    if kind == "all":
        assert display.best is None
        assert display.best_marker_ is None
        assert np.isnan(display.mean_scores).all()
    else:
        assert display.mean_scores[display.best] == np.nanmax(scores)


@pytest.fixture(scope="module")
def search_of_activations():
    search = grid_search(
        {
            "lambd": LAMBDS,
            "keep_prob": [0.5, 1.0],
            "activation": ["relu", "tanh", "identity"],
        },
        scoring="neg_log_loss",
        return_train_score=True,
    )
    # The cell's first setting has no score, which is worse than any.
    search.cv_results_["mean_test_score"][0] = np.nan
    return search


@pytest.mark.parametrize("score_type", ["test", "train"])
def test_other_parameters_give_a_cell_their_best(score_type, search_of_activations):
    search = search_of_activations
    results = search.cv_results_
    expected = {}
    for lambd, keep_prob in product(LAMBDS, [0.5, 1.0]):
        rows = [
            k
            for k, params in enumerate(results["params"])
            if (params["lambd"], params["keep_prob"]) == (lambd, keep_prob)
            and not np.isnan(results["mean_test_score"][k])
        ]
        best = max(rows, key=lambda k: results["mean_test_score"][k])
        expected[lambd, keep_prob] = results[f"mean_{score_type}_score"][best]
    display = draw(search, score_type=score_type)
    assert cells(display) == expected
    assert framed(display) == (
        search.best_params_["lambd"],
        search.best_params_["keep_prob"],
    )


def test_of_equally_good_settings_a_cell_has_the_first(search):
    results = search.cv_results_
    results["params"] = [{"lambd": k % 2, "keep_prob": 1.0} for k in range(12)]
    results["mean_test_score"][:] = 0.5
    display = draw(search, score_type="train")
    train = results["mean_train_score"]
    np.testing.assert_array_equal(display.mean_scores, [[train[0]], [train[1]]])


def test_a_step_that_is_searched_itself():
    search = grid_search(
        [
            {"net": [LogisticRegression()], "net__C": [1.0, 10.0]},
            {"net": [small(keep_prob=0.6)], "net__lambd": [2.0]},
            {"net__lambd": [1.0]},
        ],
        Pipeline([("net", small())]),
        refit=False,
    )
    scores = search.cv_results_["mean_test_score"]
    search.best_index_ = 0
    display = draw(search)
    assert (display.lambds, display.keep_probs) == ([1.0, 2.0], [0.6, 1.0])
    np.testing.assert_array_equal(
        display.mean_scores, [[np.nan, scores[3]], [scores[2], np.nan]]
    )
    # The search's own networks are left as they are.
    assert search.cv_results_["params"][2]["net"].lambd == 0.5
    # A model without lambd has no cell.
    assert display.best_marker_ is None
    search.best_index_ = 2
    assert framed(draw(search)) == (2.0, 0.6)


# Values by layer ---------------------------------------------------------------------


def test_values_by_layer_keep_their_order():
    search = grid_search(
        {
            "lambd": [[3, 2, 1], 0.25, np.array([0.0, 1.0, 1.0]), "auto"],
            "keep_prob": [1.0, (0.5, 1), 0.5],
        }
    )
    display = draw(search)
    assert display.lambds == ["auto", (3.0, 2.0, 1.0), 0.25, (0.0, 1.0, 1.0)]
    assert display.keep_probs == [1.0, (0.5, 1.0), 0.5]
    assert tick_labels(display) == (
        ["auto", "(3, 2, 1)", "0.25", "(0, 1, 1)"],
        ["1", "(0.5, 1)", "0.5"],
    )
    # ParameterGrid goes through keep_prob first, then lambd, the last one fastest.
    expected = search.cv_results_["mean_test_score"].reshape(3, 4).T
    np.testing.assert_array_equal(display.mean_scores, expected[[3, 0, 1, 2]])


def test_equal_values_share_a_cell():
    search = grid_search(
        [{"lambd": [1, 1.0, np.int64(1)]}, {"lambd": [[1, 2, 3], (1.0, 2.0, 3.0)]}]
    )
    assert draw(search).lambds == [1.0, (1.0, 2.0, 3.0)]


# The constructor and plot ------------------------------------------------------------

SCORES = np.array([[0.12345, 0.5, 0.25], [1.0, 0.75, 0.6]])


def display_of_scores(**parameters):
    return RegularizationGridDisplay(SCORES, [0.1, 1], [0.5, 0.8, 1], **parameters)


def test_the_constructor_keeps_its_parameters():
    lambds, keep_probs = (0.1, 1), np.array([0.5, 0.8, 1])
    display = RegularizationGridDisplay(
        SCORES, lambds, keep_probs, best=(1, 2), score_name="gain"
    )
    assert display.mean_scores is SCORES
    assert display.lambds is lambds
    assert display.keep_probs is keep_probs
    assert (display.best, display.score_name) == ((1, 2), "gain")
    assert display.plot() is display
    assert tick_labels(display) == (["0.1", "1"], ["0.5", "0.8", "1"])
    assert display.im_.colorbar.ax.get_ylabel() == "gain"


def test_defaults_of_plot():
    display = display_of_scores().plot()
    assert strings(display) == [["0.123", "0.500", "0.250"], ["1.00", "0.750", "0.600"]]
    assert display.best_marker_ is None
    assert display.im_.get_cmap().name == "viridis"
    assert display.ax_.get_aspect() == "auto"
    assert display.im_.colorbar.ax.get_ylabel() == "mean score"
    np.testing.assert_array_equal(display.im_.get_array(), SCORES)


@pytest.mark.parametrize("best", [(0, 2), (1, 0)])
def test_the_frame_is_around_the_best_cell(best):
    display = display_of_scores(best=best).plot()
    i, j = best
    np.testing.assert_array_equal(
        display.best_marker_.get_bbox().get_points(),
        [[j - 0.5, i - 0.5], [j + 0.5, i + 0.5]],
    )
    assert display.best_marker_ in display.ax_.patches
    pixel = pixels(display)
    np.testing.assert_allclose(pixel(j + 0.495, i), to_rgb("red"), atol=0.01)
    # Half of the line is outside of the axes, where the cell is at their border.
    outside = pixel(j + 0.503, i) if j else pixel(j - 0.503, i)
    np.testing.assert_allclose(outside, to_rgb("red"), atol=0.01)
    # The cell itself can be seen.
    assert (pixel(j + 0.3, i) != to_rgb("red")).any()


@pytest.mark.parametrize("positional", [True, False])
def test_plot_on_given_axes(positional):
    figure, (left, right) = plt.subplots(1, 2)
    display = display_of_scores(best=(0, 0))
    if positional:
        display.plot(right)
    else:
        display.plot(ax=right)
    assert display.ax_ is right
    assert display.figure_ is figure
    assert plt.get_fignums() == [figure.number]
    assert not left.has_data()


def test_from_estimator_hands_the_options_on(search):
    figure, ax = plt.subplots()
    display = draw(
        search,
        ax=ax,
        include_values=True,
        values_format=".1e",
        cmap="Blues",
        xticks_rotation=30,
        colorbar=False,
        im_kw={"vmin": -5},
        text_kw={"fontsize": 7},
        best_kw={"edgecolor": "blue"},
    )
    assert (display.figure_, display.ax_) == (figure, ax)
    first = format(scores_by_values(search)[0.0, 0.4], ".1e")
    assert display.text_[0, 0].get_text() == first
    assert display.text_[0, 0].get_fontsize() == 7
    assert display.im_.get_cmap().name == "Blues"
    assert display.im_.norm.vmin == -5
    assert {tick.get_rotation() for tick in ax.get_xticklabels()} == {30}
    assert display.im_.colorbar is None
    assert display.best_marker_.get_edgecolor() == to_rgba("blue")
    assert draw(search, include_values=False).text_ is None


def test_options_override_the_defaults():
    display = display_of_scores(best=(0, 0)).plot(
        im_kw={"cmap": "magma", "aspect": "equal"},
        # Short names of matplotlib as well.
        text_kw={"ha": "left", "c": "green", "va": "top"},
        best_kw={"ec": "blue", "lw": 1, "zorder": 7},
    )
    assert display.im_.get_cmap().name == "magma"
    assert display.ax_.get_aspect() == 1
    text = display.text_[1, 1]
    assert text.get_horizontalalignment() == "left"
    assert text.get_verticalalignment() == "top"
    assert text.get_color() == "green"
    assert display.best_marker_.get_edgecolor() == to_rgba("blue")
    assert display.best_marker_.get_linewidth() == 1
    assert display.best_marker_.get_zorder() == 7


def test_without_colour_bar_and_numbers():
    display = display_of_scores().plot(colorbar=False, include_values=False)
    assert display.text_ is None
    assert display.im_.colorbar is None
    assert display.figure_.axes == [display.ax_]
    assert len(display.ax_.texts) == 0


@pytest.mark.parametrize(
    "keep_probs",
    [
        [0.5, 1],
        [round(0.1 * k, 1) for k in range(1, 11)],
        [0.123456 + 0.01 * k for k in range(10)],
        [(0.5, 0.25, 0.125 * k) for k in range(1, 6)],
    ],
)
def test_labels_have_room(keep_probs):
    """Long ones stand upright; whoever wants them otherwise says so."""
    lambds = [(1e-05, 0.0001, 0.001), 1]
    scores = np.ones((2, len(keep_probs)))
    display = RegularizationGridDisplay(scores, lambds, keep_probs).plot()
    display.figure_.canvas.draw()
    labels = display.ax_.get_xticklabels()
    boxes = [label.get_window_extent() for label in labels]
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))
    is_short = max(len(str(value)) for value in keep_probs) <= 3
    assert {label.get_rotation() for label in labels} == {0 if is_short else 90}
    display.plot(xticks_rotation="horizontal")
    assert {label.get_rotation() for label in display.ax_.get_xticklabels()} == {0}


def test_whole_numbers_have_no_point():
    display = RegularizationGridDisplay([[-700.0, -12.5]], [1], [0.5, 1]).plot()
    assert strings(display) == [["-700", "-12.5"]]


def test_labels_that_are_turned_stay_in_the_picture():
    display = RegularizationGridDisplay(
        [[0.5, 0.6]], [1], [(0.5, 0.25, 0.125), (0.5, 0.25, 1)]
    ).plot(xticks_rotation="vertical")
    display.figure_.canvas.draw()
    box = display.ax_.xaxis.get_tightbbox()
    assert box.y0 >= 0
    assert display.ax_.xaxis.label.get_window_extent().y0 >= 0


def name_all(ax):
    ax.set_title("left", loc="left")
    ax.set(title="one title\nand more of it", xlabel="one\nlabel")


def move_x_to_the_top(ax):
    ax.xaxis.tick_top()
    ax.xaxis.set_label_position("top")


@pytest.mark.parametrize("colorbar", [True, False])
@pytest.mark.parametrize("keep_probs", [[0.5, 1], [(0.5, 0.25, 0.125), (0.5, 0.25, 1)]])
@pytest.mark.parametrize("width", [6.4, 2.8])
@pytest.mark.parametrize("change", [lambda ax: None, name_all, move_x_to_the_top])
def test_a_note_is_whole_and_above_all_else(change, width, keep_probs, colorbar):
    """Whatever is set or moved in the picture later."""
    ax = plt.figure(figsize=(width, 4.8), layout="tight").subplots()
    display = RegularizationGridDisplay([[0.5, 0.6]], [1], keep_probs, note=LIKELY)
    display.plot(ax, colorbar=colorbar)
    change(ax)
    # The layout comes to rest with the second drawing.
    for _ in range(2):
        display.figure_.canvas.draw()
    box = display.note_.get_window_extent()
    figure = display.figure_.bbox
    assert 0 <= box.x0 < box.x1 <= figure.x1
    assert box.y1 <= figure.y1
    texts = [text for text in ax.findobj(Text) if text.get_text()]
    others = [text for text in texts if text is not display.note_]
    assert len(others) >= 6
    assert all(text.get_window_extent().y1 < box.y0 for text in others)
    assert ax.bbox.y1 < box.y0


def test_a_note_is_seen_in_a_figure_without_a_layout():
    _, ax = plt.subplots()
    display = RegularizationGridDisplay([[0.5, 0.6]], [1], [0.5, 1], note=LIKELY)
    display.plot(ax)
    ax.set_title("a title")
    display.figure_.canvas.draw()
    assert display.note_.get_window_extent().y1 <= display.figure_.bbox.y1


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [None, 0.3])
@pytest.mark.parametrize("cmap", ["viridis", "gray", "Blues", "jet", "coolwarm"])
def test_the_numbers_can_be_read(cmap, alpha):
    scores = np.linspace(-1, 1, 60).reshape(6, 10)
    display = RegularizationGridDisplay(scores, range(6), range(10)).plot(
        cmap=cmap, im_kw={"alpha": alpha}
    )
    pixel = pixels(display)
    for i, j in np.ndindex(6, 10):
        cell = pixel(j - 0.45, i - 0.4)
        text = display.text_[i, j].get_color()
        assert contrast(cell, text) > 4.5


def test_the_numbers_can_be_read_on_dark_axes():
    with plt.style.context("dark_background"):
        display = RegularizationGridDisplay([[0.1, 0.2, np.inf]], [1], [0.1, 0.2, 1])
        display.plot(im_kw={"alpha": 0.1})
        assert {text.get_color() for text in display.text_[0]} == {"white"}


@pytest.mark.parametrize("value", [0.5, np.nan])
def test_scores_that_are_all_the_same(value):
    display = RegularizationGridDisplay([[value, value]], [1], [0.5, 1]).plot()
    display.figure_.canvas.draw()
    expected = "" if np.isnan(value) else "0.500"
    assert strings(display) == [[expected, expected]]


def test_plot_again_after_a_change():
    display = display_of_scores(best=(0, 1)).plot()
    first = display.figure_
    display.best = None
    display.plot(include_values=False)
    assert display.figure_ is not first
    assert display.best_marker_ is None
    assert display.text_ is None


def test_scores_of_another_shape():
    display = RegularizationGridDisplay(SCORES.T, [0.1, 1], [0.5, 0.8, 1])
    with pytest.raises(
        ValueError, match=r"shape \(3, 2\); 2 values of lambd and 3 of .* \(2, 3\)"
    ):
        display.plot()
    assert plt.get_fignums() == []
