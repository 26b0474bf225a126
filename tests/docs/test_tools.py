"""What docs/explaining.md, docs/searching_tools.md and docs/tools.md promise."""

import ast
import functools
import importlib.metadata
import itertools
import platform
import re
import tomllib
from functools import partial

import helpers
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from helpers import ROOT
from imblearn.over_sampling import RandomOverSampler
from imblearn.pipeline import make_pipeline as make_sampling_pipeline
from packaging.version import Version
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.inspection import (
    DecisionBoundaryDisplay,
    partial_dependence,
    permutation_importance,
)
from sklearn.metrics import log_loss
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    StratifiedKFold,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skreg import RegularizedMLPClassifier

small = partial(helpers.small, hidden_layer_sizes=(8,), max_iter=15)


@pytest.fixture(scope="module")
def two_classes():
    """The two flowers that are hard to tell apart, in their own units."""
    X, y = load_iris(return_X_y=True)
    return X[y > 0], y[y > 0] - 1


@pytest.fixture(scope="module")
def shap():
    # It takes seconds to import.
    import shap

    return shap


# Explaining --------------------------------------------------------------------------


def integrated_gradients(network, X, baseline, target=None):
    """By Gauss and Legendre's rule, exact to rounding where the network is smooth."""
    points, weights = np.polynomial.legendre.leggauss(64)
    return (X - baseline) * sum(
        w / 2 * network.input_gradients(baseline + (a + 1) / 2 * (X - baseline), target)
        for a, w in zip(points, weights, strict=True)
    )


@pytest.mark.parametrize("activation", ["tanh", "logistic", "identity"])
def test_integrated_gradients_add_up(activation, iris):
    """Σ_j (x_j - b_j) ∫ dz/dx_j = z(x) - z(b), for each class."""
    X, y = iris
    network = small(hidden_layer_sizes=(6, 4), activation=activation, max_iter=40)
    moved = network.fit(X, y).decision_function(X) - network.decision_function(X[7:8])
    assert np.ptp(moved, axis=0).min() > 0.5
    for k in range(3):
        values = integrated_gradients(network, X, baseline=X[7], target=k)
        np.testing.assert_allclose(values.sum(axis=1), moved[:, k], atol=1e-9)


def test_integrated_gradients_of_relu_add_up_from_kink_to_kink(iris):
    """Between the points where a unit begins or ends, the slope is constant."""
    X, y = iris
    network = small().fit(X, y > 1)
    W1, b1 = network.coefs_[0], network.intercepts_[0]
    b, n_kinks = X[0], 0
    for x in X[3::10]:
        Z_b, Z_x = b @ W1 + b1, x @ W1 + b1
        kinks = Z_b / (Z_b - Z_x)
        kinks = np.sort(kinks[(kinks > 0) & (kinks < 1)])
        ends = np.concatenate([[0], kinks, [1]])
        middles = (ends[1:] + ends[:-1]) / 2
        slopes = network.input_gradients(b + middles[:, None] * (x - b))
        total = np.diff(ends) @ slopes @ (x - b)
        z_b, z_x = network.decision_function(np.stack([b, x]))
        assert total == pytest.approx(z_x - z_b, abs=1e-12)
        n_kinks += len(kinks)
    assert n_kinks > 10


def shapley_values(function, x, background):
    """The mean gain of each column over all orders in which columns can come."""

    @functools.cache
    def value(known):
        rows = background.copy()
        rows[:, list(known)] = x[list(known)]
        return function(rows).mean(axis=0)

    orders = list(itertools.permutations(range(len(x))))
    values = np.zeros((len(x), *value(frozenset()).shape))
    for order in orders:
        known = frozenset()
        for column in order:
            values[column] += value(known | {column}) - value(known)
            known |= {column}
    return values / len(orders)


@pytest.mark.parametrize("method", ["decision_function", "predict_proba"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_kernel_explainer_finds_the_shapley_values(method, n_classes, iris, shap):
    X, y = iris
    model = make_pipeline(StandardScaler(), small()).fit(X, y % n_classes)
    function, background, rows = getattr(model, method), X[::30], X[[5, 60, 148]]
    explainer = shap.KernelExplainer(function, background)
    found = explainer.shap_values(rows, l1_reg=False, silent=True)
    for x, values in zip(rows, found, strict=True):
        np.testing.assert_allclose(
            values, shapley_values(function, x, background), atol=1e-9
        )
    np.testing.assert_allclose(
        found.sum(axis=1), function(rows) - function(background).mean(axis=0), atol=1e-9
    )
    assert np.abs(found).max() > 0.1


def test_kernel_explainer_sees_the_columns_that_come_in(shap):
    """A column of words is one column, though the network has one for each word."""
    X, y = load_iris(return_X_y=True, as_frame=True)
    width = X.pop("petal width (cm)")
    X["size"] = np.where(width > 1.7, "wide", np.where(width > 0.8, "middling", "thin"))
    words = make_column_transformer(
        (OneHotEncoder(), ["size"]), remainder=StandardScaler()
    )
    model = make_pipeline(words, small()).fit(X, y)
    assert model[-1].n_features_in_ == 6

    def function(rows):
        return model.decision_function(pd.DataFrame(rows, columns=X.columns))

    background, x = X[::30].to_numpy(), X.iloc[60].to_numpy()
    explainer = shap.KernelExplainer(function, background)
    found = explainer.shap_values(x, l1_reg=False, silent=True)
    np.testing.assert_allclose(
        found, shapley_values(function, x, background), atol=1e-9
    )
    assert np.abs(found[3]).max() > 0.1


def test_a_linear_network_has_one_attribution(iris, shap):
    """w (x - mean), by SHAP, by expected gradients and by the weights."""
    X, y = iris
    network = small(activation="identity").fit(X, y > 1)
    background, rows = X[::30], X[::40]
    w = network.coefs_[0] @ network.coefs_[1][:, 0]
    by_hand = (rows - background.mean(axis=0)) * w
    assert np.abs(by_hand).max() > 0.5
    explainer = shap.KernelExplainer(network.decision_function, background)
    by_shap = explainer.shap_values(rows, l1_reg=False, silent=True)
    np.testing.assert_allclose(by_shap, by_hand, atol=1e-9)
    expected = np.mean([integrated_gradients(network, rows, b) for b in background], 0)
    np.testing.assert_allclose(expected, by_hand, atol=1e-9)


def test_expected_gradients_are_near_shapley_values(iris, shap):
    """They share the same sum out by different rules."""
    X, y = iris
    network = small(max_iter=40).fit(X, y > 1)
    background, rows = X[::30], X[::15]
    explainer = shap.KernelExplainer(network.decision_function, background)
    by_shap = explainer.shap_values(rows, l1_reg=False, silent=True)
    expected = np.mean([integrated_gradients(network, rows, b) for b in background], 0)
    assert not np.allclose(by_shap, expected, atol=1e-3)
    assert np.corrcoef(by_shap.ravel(), expected.ravel())[0, 1] > 0.99


def test_permutation_importance_is_the_score_lost(two_classes):
    X, y = two_classes
    model = make_pipeline(StandardScaler(), small()).fit(X, y)
    seen = []

    def minus_loss(rows):
        proba = model.predict_proba(rows)
        return np.log(proba[np.arange(len(y)), y]).mean()

    def scorer(estimator, rows, labels):
        assert estimator is model
        seen.append(np.array(rows))
        return minus_loss(rows)

    found = permutation_importance(
        model, X, y, scoring=scorer, n_repeats=2, random_state=0
    )
    assert len(seen) == 1 + 4 * 2
    np.testing.assert_array_equal(seen[0], X)
    for i, rows in enumerate(seen[1:]):
        column, repeat = divmod(i, 2)
        others = np.arange(4) != column
        np.testing.assert_array_equal(rows[:, others], X[:, others])
        np.testing.assert_array_equal(np.sort(rows[:, column]), np.sort(X[:, column]))
        assert found.importances[column, repeat] == minus_loss(X) - minus_loss(rows)
    # The petals tell these flowers apart, not the sepals.
    sepals, petals = np.split(found.importances_mean, 2)
    assert petals.min() > sepals.max()


@pytest.mark.parametrize("method", ["predict_proba", "decision_function"])
def test_partial_dependence_is_the_mean_with_a_column_set(method, two_classes):
    X, y = two_classes
    model = make_pipeline(StandardScaler(), small()).fit(X, y)
    found = partial_dependence(
        model, X, [2], response_method=method, grid_resolution=4, kind="both"
    )
    (grid,) = found["grid_values"]
    assert len(grid) == 4
    for i, value in enumerate(grid):
        rows = X.copy()
        rows[:, 2] = value
        output = getattr(model, method)(rows)
        output = output[:, 1] if method == "predict_proba" else output
        np.testing.assert_allclose(found["individual"][0, :, i], output, rtol=1e-12)
        np.testing.assert_allclose(found["average"][0, i], output.mean(), rtol=1e-12)
    assert (np.diff(found["average"][0]) > 0).all()


@pytest.mark.parametrize(
    ("method", "n_classes"),
    [("predict", 3), ("predict_proba", 2), ("decision_function", 2)],
)
def test_decision_boundary_display_draws_what_is_predicted(method, n_classes, iris):
    X, y = iris
    X, y = X[y < n_classes, 2:], y[y < n_classes]
    model = small(hidden_layer_sizes=(10,), max_iter=40).fit(X, y)
    display = DecisionBoundaryDisplay.from_estimator(
        model, X, response_method=method, grid_resolution=9
    )
    points = np.column_stack([display.xx0.ravel(), display.xx1.ravel()])
    output = getattr(model, method)(points)
    output = output[:, 1] if method == "predict_proba" else output
    np.testing.assert_allclose(display.response.ravel(), output, rtol=1e-12)
    assert display.surface_.axes is display.ax_
    if method == "predict":
        assert set(output) == {0, 1, 2}
    plt.close(display.figure_)


# Searching ---------------------------------------------------------------------------


@pytest.fixture
def optuna():
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield optuna
    optuna.logging.set_verbosity(before)


def test_a_study_scores_what_its_parameters_do(optuna, iris):
    X, y = iris
    folds = StratifiedKFold(2, shuffle=True, random_state=0)

    def score(units, **parameters):
        model = make_pipeline(
            StandardScaler(), small(hidden_layer_sizes=(units,), **parameters)
        )
        return cross_val_score(model, X, y, cv=folds, scoring="neg_log_loss").mean()

    def objective(trial):
        return score(
            units=trial.suggest_int("units", 4, 16, log=True),
            lambd=trial.suggest_float("lambd", 0.1, 100, log=True),
            keep_prob=trial.suggest_float("keep_prob", 0.5, 1),
        )

    study = optuna.create_study(
        direction="maximize", sampler=optuna.samplers.TPESampler(seed=0)
    )
    study.optimize(objective, n_trials=3)
    values = [trial.value for trial in study.trials]
    assert len(set(values)) == 3
    assert values == [score(**trial.params) for trial in study.trials]
    assert study.best_value == max(values) == score(**study.best_params)


def test_a_trial_is_pruned_between_calls_of_partial_fit(optuna, iris):
    X, y = iris
    train, test = next(StratifiedKFold(3).split(X, y))
    networks = []

    def after_an_epoch(network):
        network.partial_fit(X[train], y[train], classes=[0, 1, 2])
        return log_loss(y[test], network.predict_proba(X[test]))

    def objective(trial):
        network = small(lambd=trial.suggest_float("lambd", 0.01, 1000, log=True))
        networks.append(network)
        for epoch in range(8):
            loss = after_an_epoch(network)
            trial.report(loss, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned
        return loss

    pruner = optuna.pruners.MedianPruner(n_startup_trials=2, n_warmup_steps=3)
    study = optuna.create_study(pruner=pruner)
    for lambd in (0.1, 1.0, 1000.0):
        study.enqueue_trial({"lambd": lambd})
    study.optimize(objective, n_trials=3)
    states = [trial.state.name for trial in study.trials]
    assert states == ["COMPLETE", "COMPLETE", "PRUNED"]
    assert [network.n_iter_ for network in networks] == [8, 8, 4]
    # The epochs of a trial are those of a network that is trained alone.
    alone = small(lambd=study.best_params["lambd"])
    for loss in study.best_trial.intermediate_values.values():
        assert after_an_epoch(alone) == loss


class Recorded(RegularizedMLPClassifier):
    """It tells how many rows, and of which classes, each fit gets."""

    fits = []  # noqa: RUF012

    def fit(self, X, y):
        self.fits.append((len(y), np.bincount(y).tolist(), self.max_iter))
        result = super().fit(X, y)
        assert self.n_iter_ == self.max_iter
        return result


@pytest.fixture
def recorded():
    Recorded.fits.clear()
    return Recorded(**small().get_params())


def test_halving_trains_for_as_many_epochs_as_a_rung_has(recorded, iris):
    X, y = iris
    search = HalvingGridSearchCV(
        recorded,
        {"lambd": [0.1, 1.0, 100.0], "keep_prob": [0.8, 1.0]},
        resource="max_iter",
        min_resources=4,
        max_resources=12,
        factor=3,
        cv=2,
        scoring="neg_log_loss",
        random_state=0,
    ).fit(X, y)
    # Six candidates, a third of them, and the best on all rows; nothing warns.
    epochs = [max_iter for _, _, max_iter in recorded.fits]
    assert epochs == [4] * 6 * 2 + [12] * 2 * 2 + [12]
    assert search.best_estimator_.n_iter_ == search.best_params_["max_iter"] == 12
    # Those that go on are the best two of the first rung.
    results = search.cv_results_
    first, last = (results["iter"] == i for i in (0, 1))
    settings = [(p["lambd"], p["keep_prob"]) for p in results["params"]]
    order = np.argsort(-results["mean_test_score"][first])
    assert {settings[i] for i in np.flatnonzero(last)} == {
        settings[i] for i in order[:2]
    }


def test_with_early_stopping_max_iter_is_a_bound_alone():
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)[:200]
    network = small(early_stopping=True, n_validation_splits=1, lambd=0, max_iter=100)
    assert network.fit(X, y[:200]).n_iter_ < 60


# Sampling ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rare(iris):
    """60 rows of a class, and 20 of a rare one."""
    X, _ = iris
    rows = np.r_[50:110, 130:150]
    return X[rows], (np.arange(80) >= 60).astype(int)


def test_sampled_rows_count_as_weights(rare):
    """A row that is drawn k times is a row of weight k."""
    X, y = rare
    network = small(batch_size="full")
    sampler = RandomOverSampler(random_state=0)
    pipeline = make_sampling_pipeline(sampler, network).fit(X, y)
    drawn = np.bincount(pipeline[0].sample_indices_, minlength=len(y))
    assert drawn.sum() == 120
    assert drawn.max() > 2
    weighted = small(**network.get_params()).fit(X, y, sample_weight=drawn)
    np.testing.assert_allclose(
        pipeline.predict_proba(X), weighted.predict_proba(X), atol=1e-9
    )
    plain = small(**network.get_params()).fit(X, y)
    assert np.abs(pipeline.predict_proba(X) - plain.predict_proba(X)).max() > 0.1


def test_a_search_samples_the_training_rows_alone(recorded, rare):
    X, y = rare
    folds = list(StratifiedKFold(2).split(X, y))
    pipeline = make_sampling_pipeline(
        StandardScaler(), RandomOverSampler(random_state=0), recorded
    )
    search = GridSearchCV(
        pipeline, {"recorded__lambd": [0.1, 10.0]}, scoring="neg_log_loss", cv=folds
    ).fit(X, y)
    in_folds = (60, [30, 30], 15)
    assert recorded.fits == [in_folds] * 2 * 2 + [(120, [60, 60], 15)]
    assert search.predict(X).shape == y.shape
    for i, lambd in enumerate([0.1, 10.0]):
        for j, (train, test) in enumerate(folds):
            scaler = StandardScaler().fit(X[train])
            rows, labels = RandomOverSampler(random_state=0).fit_resample(
                scaler.transform(X[train]), y[train]
            )
            proba = small(lambd=lambd).fit(rows, labels).predict_proba(
                scaler.transform(X[test])
            )  # fmt: skip
            np.testing.assert_allclose(
                search.cv_results_[f"split{j}_test_score"][i],
                np.log(proba[np.arange(len(test)), y[test]]).mean(),
                rtol=1e-9,
            )


# The table of docs/tools.md ----------------------------------------------------------

COLUMNS = ["Tool", "Package", "Oldest", "Newest", "What works", "Test"]
# They run the tests, or draw their cases and figures: nobody uses skreg with them.
OF_THE_TESTS = {"hypothesis", "mpmath", "pytest", "pytest-xdist", "pyyaml", "rich"}
OF_THE_SITE = {
    "myst-parser",
    "numpydoc",
    "pydata-sphinx-theme",
    "sphinx",
    "sphinx-gallery",
}
# What the site and the lint are made with, and what is in the standard library or in
# scikit-learn.
NAMED = OF_THE_SITE | {"build", "mypy", "twine"}
PARTS = {
    "`DecisionBoundaryDisplay`",
    "`HalvingGridSearchCV`",
    "`MLPClassifier`",
    "partial dependence",
    "permutation importance",
    "pickle",
}


@pytest.fixture(scope="module")
def table():
    text = (ROOT / "docs" / "tools.md").read_text(encoding="utf-8")
    lines = [line.strip("|").split("|") for line in text.splitlines() if "|" in line]
    rows = [[cell.strip() for cell in cells] for cells in lines]
    assert all(len(row) == len(COLUMNS) for row in rows)
    rows = [
        dict(zip(COLUMNS, row, strict=True))
        for row in rows
        if row != COLUMNS and set(row[0]) != {"-"}
    ]
    assert len(rows) > 30
    return [{**row, "Package": row["Package"].strip("`")} for row in rows]


@pytest.fixture(scope="module")
def lower_bounds():
    """Package → the lower bound in pyproject.toml, None where it has none."""
    with open(ROOT / "pyproject.toml", "rb") as file:
        project = tomllib.load(file)["project"]
    bounds = {"python": project["requires-python"].removeprefix(">=")}
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    for requirement in itertools.chain.from_iterable(groups):
        name, _, bound = requirement.partition(">=")
        if bound or name not in bounds:
            assert bounds.get(name) in (None, bound), f"{name} has two lower bounds"
            bounds[name] = bound or None
    return bounds


def test_the_table_has_every_tool(table):
    with open(ROOT / "pyproject.toml", "rb") as file:
        project = tomllib.load(file)["project"]
    extras = project["optional-dependencies"]
    wanted = {
        requirement.split(">=")[0]
        for requirement in project["dependencies"] + extras["test"]
    }
    assert wanted - OF_THE_TESTS | NAMED <= {row["Package"] for row in table}
    assert {row["Tool"] for row in table} >= PARTS


def test_the_oldest_versions_are_the_lower_bounds(table, lower_bounds):
    for row in table:
        bound = lower_bounds[row["Package"]]
        assert row["Oldest"] == (bound or "–"), row["Tool"]


def test_the_newest_versions_are_not_older(table):
    newest = {}
    for row in table:
        assert re.fullmatch(r"\d+(\.\d+)+", row["Newest"]), row["Tool"]
        if row["Oldest"] != "–":
            assert Version(row["Newest"]) >= Version(row["Oldest"]), row["Tool"]
        assert newest.setdefault(row["Package"], row["Newest"]) == row["Newest"]


def test_no_installed_version_is_older(table):
    seen = 0
    for row in table:
        name = row["Package"]
        if name in OF_THE_SITE:
            continue
        version = (
            platform.python_version()
            if name == "python"
            else importlib.metadata.version(name)
        )
        assert Version(version) >= Version(row["Oldest"]), row["Tool"]
        seen += 1
    assert seen > 20


def functions_of(file):
    """The functions of a test file or of `.ci/run`, None if there is no such file."""
    if file == ".ci/run":
        text = (ROOT / file).read_text(encoding="utf-8")
        return set(re.findall(r"^(\w+)\(\) \{$", text, flags=re.M))
    # The folder may be left out.
    path = next((ROOT / "tests").rglob(file), None) if file else None
    if path is None:
        return None
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return {node.name for node in body if isinstance(node, ast.FunctionDef)}


def test_the_tests_of_the_table_are_there(table):
    functions_in = functools.cache(functions_of)
    missing = []
    for row in table:
        if row["Test"] == "all":
            continue
        names = re.findall(r"`([^`]+)`", row["Test"])
        assert ", ".join(f"`{name}`" for name in names) == row["Test"] != ""
        file = ""
        for name in names:
            if name.startswith("docs/"):
                found = (ROOT / name).is_file()
            else:
                # `::test_name` alone is in the file named before.
                in_file, _, function = name.partition("::")
                file = in_file or file
                if file == ".ci/run" and not (ROOT / ".ci").is_dir():
                    continue  # An sdist is without it.
                functions = functions_in(file)
                found = functions is not None and (
                    not function or function in functions
                )
            if not found:
                missing.append(f"{row['Tool']}: {name}")
    assert missing == []
