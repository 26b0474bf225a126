"""scikit-learn's callbacks, where they are there (1.9 and newer)."""

import pickle
import re
from functools import partial

import numpy as np
import pytest
from helpers import ROOT, assert_same_weights, no_convergence_warning, small
from sklearn.datasets import load_iris, make_classification
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV

from skreg import (
    RegularizedMLPClassifier,
    RegularizedMLPClassifierCV,
    RegularizedMLPEnsemble,
)
from skreg._training.callbacks import given_only

callback = pytest.importorskip("sklearn.callback")


def test_what_is_not_given_is_left_out():
    assert given_only(a=None, b=0, c=[], d=None) == {"b": 0, "c": []}


classifier = partial(
    small, hidden_layer_sizes=(5,), learning_rate_init=0.01, max_iter=4, lambd=1.0
)


@pytest.fixture
def iris():
    return load_iris(return_X_y=True)


class Recorder:
    """Writes down which hooks were called, and may stop or fail at an epoch."""

    def __init__(self, stop_at=None, fail_at=None):
        self.events = []
        self.scores = []
        self.stop_at = stop_at
        self.fail_at = fail_at

    def setup(self, estimator, context):
        self.events.append("setup")

    def teardown(self, estimator, context):
        self.events.append("teardown")

    def on_fit_task_begin(self, estimator, context, *, X=None):
        self.events.append(("begin", context.task_name))

    def on_fit_task_end(
        self, estimator, context, *, X=None, y=None, fitted_estimator=None
    ):
        self.events.append(("end", context.task_name))
        if context.task_name != "epoch":
            return False
        if fitted_estimator is not None:
            self.scores.append(accuracy_score(y, fitted_estimator.predict(X)))
        if len(self.scores) == self.fail_at:
            raise RuntimeError("the callback failed")
        return len(self.scores) == self.stop_at

    def begun(self):
        return self.events.count(("begin", "epoch"))


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_every_epoch_begins_and_ends(iris, solver):
    recorder = Recorder()
    model = classifier(
        solver=solver, max_iter=4 if solver != "lbfgs" else 999, tol=0.01
    )
    model.set_callbacks(recorder).fit(*iris)
    assert recorder.events[:2] == ["setup", ("begin", "fit")]
    assert recorder.events[-2:] == [("end", "fit"), "teardown"]
    assert len(recorder.scores) == model.n_iter_
    assert recorder.events.count(("end", "epoch")) == recorder.begun()
    assert recorder.scores[-1] == model.score(*iris)


EARLY_STOPPING = {
    "early_stopping": True,
    "early_stopping_refit": True,
    "n_validation_splits": 2,
    "max_iter": 20,
    "n_iter_no_change": 10,
    "averaging": 0.9,
}


def parts(recorder):
    """(the task, how many parts it was to have, those it had) of all but the epochs."""
    tasks = [event[1:] for event in recorder.events if event[0] == "begin"]
    return [
        (
            name,
            max_subtasks,
            [other for other, *_, parent, _, _ in tasks if parent == name],
        )
        for name, _, max_subtasks, *_ in tasks
        if name != "epoch"
    ]


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_the_phases_of_early_stopping_are_tasks(iris, solver):
    """Each with its epochs, those of the first split and those of all rows."""
    recorder = SearchRecorder()
    model = classifier(**EARLY_STOPPING, solver=solver).set_callbacks(recorder)
    with no_convergence_warning():
        model.fit(*iris)
    fit, splits, all_rows = parts(recorder)
    assert fit == ("fit", 2, ["validation splits", "all rows"])
    # The splits end when they have learnt enough.
    assert splits[:2] == ("validation splits", None)
    n_epochs = len(model.validation_scores_)
    assert splits[2][:n_epochs] == ["epoch"] * n_epochs
    # Each split of L-BFGS ends by itself; the scores are of what all have made.
    assert len(splits[2]) == n_epochs or solver == "lbfgs"
    assert all_rows == ("all rows", model.n_iter_, ["epoch"] * model.n_iter_)
    ended = [event[1] for event in recorder.events if event[0] == "end"]
    assert [name for name in ended if name != "epoch"] == [
        "validation splits",
        "all rows",
        "fit",
    ]
    assert {event[-2:] for event in recorder.events[1:-1]} == {((150, 4), 150)}


@pytest.mark.parametrize(
    ("parameters", "n_epochs"),
    [
        # Cosine has no plateau without early stopping, nor has infinite patience.
        ({"learning_rate": "cosine"}, 20),
        ({"learning_rate": "constant", "n_iter_no_change": np.inf}, 20),
        ({"learning_rate": "constant", "n_iter_no_change": 20}, 20),
        ({"early_stopping": True, "n_iter_no_change": np.inf}, 20),
        ({"learning_rate": "constant", "n_iter_no_change": 19}, None),
        # 15 epochs of 7 steps, 25 of 4.
        ({"early_stopping": True, "batch_size": 20}, None),
        ({"early_stopping": True, "batch_size": 40}, 20),
        ({"solver": "lbfgs"}, None),
        ({"solver": "lbfgs", "n_iter_no_change": np.inf}, None),
    ],
)
def test_the_number_of_epochs_is_told_where_it_is_known(iris, parameters, n_epochs):
    """``max_iter`` would promise many more, and a time left that is far too long."""
    recorder = SearchRecorder()
    model = classifier(max_iter=20, early_stopping_refit=False, tol=0.01)
    with no_convergence_warning():
        model.set_params(**parameters).set_callbacks(recorder).fit(*iris)
    ((name, told, epochs),) = parts(recorder)
    assert (name, told) == ("fit", n_epochs)
    assert epochs == ["epoch"] * model.n_iter_


def test_a_constant_model_has_no_epochs(iris):
    recorder = SearchRecorder()
    classifier(**EARLY_STOPPING).set_callbacks(recorder).fit(iris[0], iris[1] * 0)
    assert parts(recorder) == [("fit", 0, [])]


def test_a_callback_may_stop_the_training_on_all_rows(iris):
    """The model is what it was then."""
    plain = classifier(**EARLY_STOPPING).fit(*iris)
    n_epochs = len(plain.validation_scores_)
    recorder = Recorder(stop_at=n_epochs + 2)
    model = classifier(**EARLY_STOPPING).set_callbacks(recorder).fit(*iris)
    assert model.refit_
    assert model.n_iter_ == 2 < plain.n_iter_
    assert model.loss_curve_ == plain.loss_curve_[:2]
    assert recorder.scores[-1] == model.score(*iris)
    assert recorder.events[-4:] == [
        ("end", "epoch"),
        ("end", "all rows"),
        ("end", "fit"),
        "teardown",
    ]


def test_a_callback_may_stop_between_the_phases(iris):
    """Then the network of the first split is the model, with its best weights."""

    class Between(Recorder):
        def on_fit_task_end(self, estimator, context):
            return context.task_name == "validation splits"

    model = classifier(**EARLY_STOPPING).set_callbacks(Between()).fit(*iris)
    expected = classifier(
        **EARLY_STOPPING | {"early_stopping_refit": False, "n_validation_splits": 1}
    )
    assert not model.refit_
    assert model.n_iter_ == len(model.validation_scores_)
    assert vars(expected.fit(*iris)).keys() == vars(model).keys() - {"_skl_callbacks"}


@pytest.mark.parametrize("name", ["validation splits", "all rows"])
def test_an_interrupt_where_a_phase_begins(iris, name):
    class Interrupts(Recorder):
        def on_fit_task_begin(self, estimator, context, *, X=None):
            super().on_fit_task_begin(estimator, context, X=X)
            if context.task_name == name:
                raise KeyboardInterrupt

    recorder = Interrupts()
    model = classifier(**EARLY_STOPPING).set_callbacks(recorder)
    with pytest.raises(KeyboardInterrupt):
        model.fit(*iris)
    assert recorder.events[-1] == "teardown"
    # That of the first split is there, once it has been trained.
    assert hasattr(model, "coefs_") == (name == "all rows")


def test_progress_bar_shows_the_phases(iris, capsys):
    pytest.importorskip("rich")
    model = classifier(**EARLY_STOPPING).set_callbacks(callback.ProgressBar())
    model.fit(*iris)
    shown = capsys.readouterr().out
    for task in ("fit", "validation splits #0", "all rows #1"):
        assert re.search(rf"RegularizedMLPClassifier - {task} .*100%", shown)


def test_a_callback_may_stop_early_stopping(iris):
    """Then the network of the first split is the model."""
    recorder = Recorder(stop_at=2)
    model = classifier(**EARLY_STOPPING).set_callbacks(recorder).fit(*iris)
    assert model.n_iter_ == recorder.begun() == 2
    assert model.converged_


@pytest.mark.parametrize("parameters", [{}, {"averaging": 0.9}, EARLY_STOPPING])
def test_callbacks_do_not_change_the_model(iris, parameters):
    plain = classifier(**parameters).fit(*iris)
    watched = classifier(**parameters).set_callbacks(Recorder()).fit(*iris)
    assert_same_weights(plain, watched)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_callback_may_stop_the_training(iris, solver):
    recorder = Recorder(stop_at=2)
    model = classifier(solver=solver, max_iter=50).set_callbacks(recorder).fit(*iris)
    assert model.n_iter_ == 2
    assert model.converged_


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("n_epochs", [0, 2])
def test_an_epoch_that_a_callback_does_not_let_begin_is_ended_for_all(
    iris, solver, n_epochs
):
    class Interrupts(Recorder):
        def on_fit_task_begin(self, estimator, context, *, X=None):
            if context.task_name == "epoch" and self.begun() == n_epochs:
                raise KeyboardInterrupt
            super().on_fit_task_begin(estimator, context, X=X)

    recorder = Recorder()
    model = classifier(solver=solver, max_iter=50)
    with pytest.raises(KeyboardInterrupt):
        model.set_callbacks(recorder, Interrupts()).fit(*iris)
    assert recorder.begun() == n_epochs + 1
    assert recorder.events.count(("end", "epoch")) == recorder.begun()
    assert recorder.events[-1] == "teardown"


def test_an_iteration_that_leads_nowhere_is_ended_too(iris):
    """L-BFGS that begins where the gradient is small enough evaluates it once."""
    recorder = Recorder()
    model = classifier(solver="lbfgs", tol=1e3).set_callbacks(recorder).fit(*iris)
    assert model.n_iter_ == 0
    assert recorder.events == [
        "setup",
        ("begin", "fit"),
        ("begin", "epoch"),
        ("end", "epoch"),
        ("end", "fit"),
        "teardown",
    ]


def test_a_callback_that_fails_leaves_the_estimator_as_it_was(iris):
    model = classifier().fit(*iris)
    before = model.coefs_[0].copy()
    recorder = Recorder(fail_at=2)
    model.set_callbacks(recorder)
    with pytest.raises(RuntimeError, match="the callback failed"):
        model.set_params(lambd=9.0).fit(*iris)
    np.testing.assert_array_equal(model.coefs_[0], before)
    assert recorder.events[-1] == "teardown"


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_scoring_monitor_records_each_epoch(iris, solver):
    monitor = callback.ScoringMonitor(scoring="accuracy")
    model = classifier(
        solver=solver, max_iter=4 if solver != "lbfgs" else 999, tol=0.01
    )
    model.set_callbacks(monitor).fit(*iris)
    scores = [
        row["accuracy"]
        for row in monitor.get_logs().data
        if row["task_name"] == "epoch" and "accuracy" in row
    ]
    assert len(scores) == model.n_iter_
    assert scores[-1] == model.score(*iris)


@pytest.mark.parametrize("n_jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_scoring_monitor_in_a_search(iris, n_jobs):
    monitor = callback.ScoringMonitor(scoring="accuracy")
    model = classifier().set_callbacks(monitor)
    GridSearchCV(model, {"lambd": [0.1, 1.0]}, cv=2, n_jobs=n_jobs).fit(*iris)
    logs = monitor.get_logs(select="all")
    epochs = sum(
        row["task_name"] == "epoch" and "accuracy" in row
        for log in logs
        for row in log.data
    )
    # Two candidates on two folds and the refit, four epochs each.
    assert epochs == 5 * 4


def test_progress_bar_shows_epochs_in_a_search(iris, capsys):
    pytest.importorskip("rich")
    search = GridSearchCV(classifier(), {"lambd": [0.1, 1.0]}, cv=2)
    search.set_callbacks(callback.ProgressBar(max_propagation_depth=None))
    search.fit(*iris)
    assert "RegularizedMLPClassifier" in capsys.readouterr().out


def test_hooks_come_after_validation(iris):
    recorder = Recorder()
    model = classifier().set_callbacks(recorder)
    with pytest.raises(ValueError, match="NaN"):
        model.fit(iris[0] * np.nan, iris[1])
    assert recorder.events == []


def test_a_plain_scoring_function_needs_no_sample_weight(iris):
    monitor = callback.ScoringMonitor(scoring=lambda model, X, y: {"a": 1.0})
    classifier().set_callbacks(monitor).fit(*iris)
    assert monitor.get_logs().data[0]["a"] == 1.0


def test_a_model_is_there_when_an_epoch_begins(iris):
    found = []

    class Beginnings(Recorder):
        def on_fit_task_begin(self, estimator, context, *, X, fitted_estimator=None):
            if context.task_name == "epoch":
                found.append(fitted_estimator.predict(X).shape)

    classifier().set_callbacks(Beginnings()).fit(*iris)
    assert found == [(150,)] * 4


# A search of stacks ------------------------------------------------------------------


class SearchRecorder:
    """Writes down the tasks of a search: which, of what, with how many rows."""

    def __init__(self, fail_at=None):
        self.events = []
        self.fail_at = fail_at

    def setup(self, estimator, context):
        self.events.append(("setup", type(estimator).__name__))

    def teardown(self, estimator, context):
        self.events.append(("teardown", type(estimator).__name__))

    def on_fit_task_begin(self, estimator, context, *, X=None, y=None):
        self._note("begin", estimator, context, X, y)

    def on_fit_task_end(self, estimator, context, *, X=None, y=None):
        self._note("end", estimator, context, X, y)
        return False

    def _note(self, what, estimator, context, X, y):
        task = (
            context.task_name,
            context.task_id,
            context.max_subtasks,
            getattr(context.parent, "task_name", None),
            None if X is None else X.shape,
            None if y is None else len(y),
        )
        self.events.append((what, *task))
        if len(self.events) == self.fail_at:
            raise RuntimeError("the callback failed")


def searches(lambds=(0.1, 1.0), keep_probs=(0.5, 1.0), **parameters):
    """The search and the GridSearchCV that is to show the same tasks."""
    defaults = {
        "cv": 2,
        "hidden_layer_sizes": (5,),
        "learning_rate": "cosine",
        "max_iter": 4,
        "random_state": 0,
        "scoring": None,
        "n_refits": 1,
        "averaging": 0.0,
    }
    mine = RegularizedMLPClassifierCV(lambds, keep_probs, **defaults | parameters)
    return mine, GridSearchCV(mine.estimator, mine.param_grid, cv=2, refit=mine.refit)


SEARCHES = {
    "sgd": {"solver": "sgd"},
    "lbfgs": {
        "solver": "lbfgs",
        "keep_probs": (1.0, 1.0),
        "max_iter": 2000,
        "tol": 0.01,
    },
    "some diverge": {"solver": "sgd", "lambds": (0.1, 1e9)},
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.FitFailedWarning")
@pytest.mark.filterwarnings("ignore:One or more of the test scores:UserWarning")
@pytest.mark.parametrize("kind", SEARCHES)
@pytest.mark.parametrize("refit", [True, False])
def test_the_tasks_of_a_search_are_those_of_grid_search(iris, kind, refit):
    """Split by split instead of setting by setting; also where some of them fail."""
    events = []
    for search in searches(refit=refit, **SEARCHES[kind]):
        recorder = SearchRecorder()
        search.set_callbacks(recorder).fit(*iris)
        # Both are a search.
        names = {type(search).__name__: "search"}
        events.append([tuple(names.get(p, p) for p in e) for e in recorder.events])
    mine, theirs = events
    assert sorted(mine, key=str) == sorted(theirs, key=str)
    assert [mine[0][0], mine[-1][0]] == ["setup", "teardown"]
    kinds = [event[:2] for event in mine]
    begun = kinds.index(("begin", "search")), kinds.index(("end", "search"))
    within = set(kinds[begun[0] + 1 : begun[1]])
    assert within == {
        ("begin", "candidate-split-evaluation"),
        ("end", "candidate-split-evaluation"),
    }
    assert kinds.count(("begin", "candidate-split-evaluation")) == 8
    assert (("end", "refit-with-best-params") in kinds) == refit


def test_a_search_does_not_change_with_callbacks(iris):
    plain, _ = searches()
    watched, _ = searches()
    plain.fit(*iris)
    watched.set_callbacks(SearchRecorder()).fit(*iris)
    np.testing.assert_array_equal(
        plain.cv_results_["mean_test_score"], watched.cv_results_["mean_test_score"]
    )
    np.testing.assert_array_equal(
        plain.predict_proba(iris[0]), watched.predict_proba(iris[0])
    )


@pytest.mark.parametrize("n_refits", [1, 2])
def test_the_tasks_of_a_search_by_default(iris, n_refits):
    """However many networks it fits to all rows, and whatever measures them."""
    plain, _ = searches()
    search, _ = searches(scoring="auto", n_refits=n_refits)
    events = []
    for one in (search, plain):
        recorder = SearchRecorder()
        one.set_callbacks(recorder).fit(*iris)
        events.append(recorder.events)
    assert events[0] == events[1]


@pytest.mark.parametrize("fail_at", [2, 3, 6, 20, 22])
def test_a_callback_that_fails_ends_a_search(iris, fail_at):
    search, _ = searches()
    recorder = SearchRecorder(fail_at=fail_at)
    search.set_callbacks(recorder)
    with pytest.raises((RuntimeError, ValueError), match="the callback failed"):
        search.set_params(error_score="raise").fit(*iris)
    assert recorder.events[-1][0] == "teardown"
    assert not hasattr(search, "cv_results_")


@pytest.mark.parametrize("parameters", [{}, {"n_refits": 2, "scoring": "auto"}])
def test_a_search_with_progress_bar(iris, capsys, parameters):
    pytest.importorskip("rich")
    search, _ = searches(**parameters)
    search.set_callbacks(callback.ProgressBar(max_propagation_depth=None)).fit(*iris)
    shown = capsys.readouterr().out
    assert "RegularizedMLPClassifierCV" in shown
    assert "refit-with-best-params" in shown
    # Nothing is left of them in what the search found.
    assert not hasattr(search.best_estimator_, "_skl_callbacks")
    assert not hasattr(search.best_estimator_, "_parent_callback_ctx")
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(search.best_estimator_)).predict(iris[0]),
        search.predict(iris[0]),
    )


def test_bad_rows_of_a_search_come_before_the_hooks(iris):
    recorder = SearchRecorder()
    search, _ = searches()
    with pytest.raises(ValueError, match="NaN"):
        search.set_callbacks(recorder).fit(iris[0] * np.nan, iris[1])
    assert recorder.events == []


# An ensemble -------------------------------------------------------------------------


def test_the_fit_of_an_ensemble_is_one_task(iris):
    recorder = SearchRecorder()
    model = RegularizedMLPEnsemble(classifier(), 3)
    expected = RegularizedMLPEnsemble(classifier(), 3).fit(*iris)
    model.set_callbacks(recorder).fit(*iris)
    assert [event[:2] for event in recorder.events] == [
        ("setup", "RegularizedMLPEnsemble"),
        ("begin", "fit"),
        ("end", "fit"),
        ("teardown", "RegularizedMLPEnsemble"),
    ]
    assert recorder.events[1][-2:] == ((150, 4), 150)
    np.testing.assert_array_equal(
        model.predict_proba(iris[0]), expected.predict_proba(iris[0])
    )


def test_the_fitted_ensemble_is_there_when_its_task_ends(iris):
    monitor = callback.ScoringMonitor(scoring="accuracy")
    model = RegularizedMLPEnsemble(classifier(), 2).set_callbacks(monitor).fit(*iris)
    (row,) = (row for row in monitor.get_logs().data if "accuracy" in row)
    assert row["accuracy"] == model.score(*iris)


def test_progress_bar_shows_ensembles_in_a_search(iris, capsys):
    pytest.importorskip("rich")
    model = RegularizedMLPEnsemble(classifier(), 2)
    search = GridSearchCV(model, {"estimator__lambd": [0.1, 1.0]}, cv=2)
    search.set_callbacks(callback.ProgressBar(max_propagation_depth=None)).fit(*iris)
    assert "RegularizedMLPEnsemble" in capsys.readouterr().out


def test_bad_rows_of_an_ensemble_come_before_the_hooks(iris):
    recorder = SearchRecorder()
    model = RegularizedMLPEnsemble(classifier(), 2).set_callbacks(recorder)
    with pytest.raises(ValueError, match="NaN"):
        model.fit(iris[0] * np.nan, iris[1])
    assert recorder.events == []


def test_a_callback_that_fails_leaves_the_ensemble_as_it_was(iris):
    model = RegularizedMLPEnsemble(classifier(), 2).fit(*iris)
    before = model.predict_proba(iris[0])
    recorder = SearchRecorder(fail_at=2)
    model.set_callbacks(recorder).set_params(estimator__lambd=9.0)
    with pytest.raises(RuntimeError, match="the callback failed"):
        model.fit(*iris)
    np.testing.assert_array_equal(model.predict_proba(iris[0]), before)
    assert recorder.events[-1][0] == "teardown"


def test_the_example_of_the_page(capsys):
    page = ROOT / "docs" / "early_stopping.md"
    (example,) = re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    assert "ScoringMonitor" in example
    X, y = make_classification(150, 4, random_state=0)
    example = example.replace(
        "early_stopping=False", "early_stopping=False, max_iter=3"
    )
    names = {
        "RegularizedMLPClassifier": RegularizedMLPClassifier,
        "X_scaled": X,
        "y_train": y,
    }
    exec(example, names)
    logged = names["log"]
    assert (logged["task_name"] == "epoch").sum() == 3
