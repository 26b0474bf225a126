"""scikit-learn's callbacks, where they are there (1.9 and newer)."""

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV

from skreg import RegularizedMLPClassifier

callback = pytest.importorskip("sklearn.callback")


@pytest.fixture
def iris():
    return load_iris(return_X_y=True)


def classifier(**parameters):
    defaults = {
        "hidden_layer_sizes": (5,),
        "learning_rate": "cosine",
        "max_iter": 4,
        "random_state": 0,
    }
    return RegularizedMLPClassifier(**{**defaults, **parameters})


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
    model = classifier(solver=solver, max_iter=4 if solver != "lbfgs" else 999)
    model.set_callbacks(recorder).fit(*iris)
    assert recorder.events[:2] == ["setup", ("begin", "fit")]
    assert recorder.events[-2:] == [("end", "fit"), "teardown"]
    assert len(recorder.scores) == model.n_iter_
    assert recorder.events.count(("end", "epoch")) == recorder.begun()
    assert recorder.scores[-1] == model.score(*iris)


def test_callbacks_do_not_change_the_model(iris):
    plain = classifier().fit(*iris)
    watched = classifier().set_callbacks(Recorder()).fit(*iris)
    for a, b in zip(plain.coefs_, watched.coefs_, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_callback_may_stop_the_training(iris, solver):
    recorder = Recorder(stop_at=2)
    model = classifier(solver=solver, max_iter=50).set_callbacks(recorder).fit(*iris)
    assert model.n_iter_ == 2
    assert model.converged_


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
    model = classifier(solver=solver, max_iter=4 if solver != "lbfgs" else 999)
    model.set_callbacks(monitor).fit(*iris)
    scores = [
        row["accuracy"]
        for row in monitor.get_logs().data
        if row["task_name"] == "epoch" and "accuracy" in row
    ]
    assert len(scores) == model.n_iter_
    assert scores[-1] == model.score(*iris)


@pytest.mark.parametrize("n_jobs", [1, 2])
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
