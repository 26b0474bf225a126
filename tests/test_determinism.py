"""One seed, one result, bit for bit; and no call changes the process."""

import contextlib
import hashlib
import importlib
import inspect
import io
import json
import os
import pickle
import pkgutil
import random
import subprocess
import sys
import warnings
from functools import partial

import numpy as np
import pytest
from helpers import ROOT
from joblib import parallel_config
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV, cross_val_score
from threadpoolctl import threadpool_limits
from untouched import untouched

import skreg
import skreg.io
from skreg import (
    RegularizedMLPClassifier,
    RegularizedMLPClassifierCV,
    RegularizedMLPEnsemble,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
    "ignore:.*of the .* columns of X have magnitudes far from 1",
)

X, Y = load_iris(return_X_y=True)
X = ((X - X.mean(axis=0)) / X.std(axis=0))[::3]
Y = Y[::3]

network = partial(
    RegularizedMLPClassifier,
    hidden_layer_sizes=(4,),
    keep_prob=0.8,
    max_iter=4,
    batch_size=16,
    random_state=0,
)


def search(**parameters):
    defaults = {"cv": 2, "n_refits": 2, "keep_probs": (0.8,), "lambds": (0.1, 1.0)}
    return RegularizedMLPClassifierCV(
        **{**defaults, **parameters},
        hidden_layer_sizes=(4,),
        max_iter=4,
        random_state=0,
    )


MODELS = {
    "adam": network(),
    "sgd": network(solver="sgd", averaging=0.0, max_norm=0.5),
    "lbfgs": network(solver="lbfgs", keep_prob=1.0),
    "early stopping": network(early_stopping=True, n_validation_splits=2),
    "ensemble": RegularizedMLPEnsemble(network(), 2),
    "search": search(),
}


def numbers(model):
    """All that a model has learnt, as bytes."""
    networks = [getattr(model, "best_estimator_", model)]
    networks = getattr(networks[0], "estimators_", networks)
    arrays = [array for of in networks for array in of.coefs_ + of.intercepts_]
    arrays += [np.array(of.loss_curve_) for of in networks]
    if hasattr(model, "cv_results_"):
        arrays += [
            np.asarray(values, dtype=float)
            for name, values in model.cv_results_.items()
            if "time" not in name and name != "params"
        ]
    return b"".join(array.tobytes() for array in [*arrays, model.predict_proba(X)])


def seed_all(seed):
    """The generators that all of the process share."""
    np.random.seed(seed)  # noqa: NPY002 - that is what we look at
    random.seed(seed)


# One seed, one result ----------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_a_seed_gives_one_result_whatever_the_global_state(name):
    """Nor does a random_state of None look at it, or move it."""
    found = set()
    for seed in (0, 1):
        seed_all(seed)
        found.add(numbers(clone(MODELS[name]).fit(X, Y)))
    assert len(found) == 1
    entropies = set()
    for _ in range(2):
        seed_all(0)
        model = clone(MODELS[name])
        of = "estimator__random_state" if name == "ensemble" else "random_state"
        with untouched():
            entropies.add(numbers(model.set_params(**{of: None}).fit(X, Y)))
    assert len(entropies) == 2


PARTS = {
    "adam": {},
    "adam of other betas": {"beta_1": 0.5, "beta_2": 0.9, "input_keep_prob": 0.7},
    "sgd": {"solver": "sgd"},
    "sgd with plain momentum": {"solver": "sgd", "nesterovs_momentum": False},
    "invscaling": {"solver": "sgd", "learning_rate": "invscaling"},
    "adaptive": {
        "learning_rate": "adaptive", "n_iter_no_change": 1, "tol": 1.0, "max_norm": 0.4,
    },
}  # fmt: skip


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("name", PARTS)
def test_a_pickle_half_way_makes_no_difference(name, warm):
    """In each gap between calls of partial_fit, or of fit with warm_start."""
    model = network(early_stopping=False, warm_start=warm, **PARTS[name])

    def go_on(model, part):
        if warm:
            return model.fit(X[part::3], Y[part::3])
        return model.partial_fit(X[part::3], Y[part::3], classes=[0, 1, 2])

    alone, pickled, found = clone(model), clone(model), []
    for part in (0, 1, 2, 0):
        go_on(alone, part)
        pickled = pickle.loads(pickle.dumps(go_on(pickled, part)))
        assert numbers(pickled) == numbers(alone)
        found.append(numbers(alone))
    assert len(set(found)) == 4
    assert alone.t_ == pickled.t_


SCRIPT = """
import json, sys
sys.path.insert(0, {tests!r})
import test_determinism as here
print(json.dumps(here.of_this_process()))
"""


def digest(data):
    return hashlib.sha256(data).hexdigest()


def of_this_process():
    """Digests of all models, and of one whose products are shared out to threads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = {k: digest(numbers(clone(m).fit(X, Y))) for k, m in MODELS.items()}
        words = np.array(["one", "two", "three"])[Y]
        found["words"] = digest(numbers(network().fit(X, words)))
        large = network(hidden_layer_sizes=(900,), batch_size="full", max_iter=3)
        rows = np.random.default_rng(0).normal(size=(200, 40))
        large.fit(rows, (rows[:, 0] > 0).astype(int))
    found["large"] = [float(coef.sum()) for coef in large.coefs_]
    return found


@pytest.mark.slow
def test_other_processes_hash_seeds_and_threads_give_the_same():
    """Threads change the rounding of large networks, and nothing of small ones."""
    mine = of_this_process()
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PYTHONHASHSEED": "1234",
        "OPENBLAS_NUM_THREADS": "2",
    }
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(tests=str(ROOT / "tests"))],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    found = json.loads(run.stdout)
    np.testing.assert_allclose(found.pop("large"), mine.pop("large"), rtol=1e-9)
    assert found == mine


def test_threads_of_blas_change_no_small_network():
    """In the main thread it has one of them, whatever the process has."""
    found = set()
    for threads in (1, 2, 3):
        with threadpool_limits(threads, user_api="blas"):
            found.add(numbers(clone(MODELS["early stopping"]).fit(X, Y)))
    assert len(found) == 1


@pytest.mark.slow
def test_the_number_of_jobs_makes_no_difference():
    """Processes and threads, for our search and for scikit-learn's over our models."""
    alone = clone(MODELS["search"]).fit(X, Y)
    grid = GridSearchCV(
        RegularizedMLPEnsemble(network(), 2), {"estimator__lambd": [0.1, 1.0]}, cv=2
    ).fit(X, Y)
    scores = cross_val_score(network(), X, Y, cv=3)
    for backend in ("loky", "threading"):
        with parallel_config(backend, n_jobs=2), threadpool_limits(1, "blas"):
            assert numbers(clone(alone).fit(X, Y)) == numbers(alone)
            assert numbers(clone(grid).fit(X, Y)) == numbers(grid)
            np.testing.assert_array_equal(
                cross_val_score(network(), X, Y, cv=3), scores
            )


# Nothing of the process is changed ---------------------------------------------------

PARAMETERS = {
    **{f"W{i}": np.ones((n, m)) for i, n, m in ((1, 3, 2), (2, 2, 3), (3, 1, 2))},
    **{f"b{i}": np.zeros((n, 1)) for i, n in ((1, 3), (2, 2), (3, 1))},
}
COLUMNS, LABELS = np.random.default_rng(0).normal(size=(2, 5)), np.ones((1, 5))


def cache_of(**dropout):
    forward = skreg.functional.forward_propagation
    if dropout:
        forward = skreg.functional.forward_propagation_with_dropout
    return forward(COLUMNS, PARAMETERS, **dropout)[1]


OF_FUNCTIONAL = {
    "forward_propagation": lambda: (COLUMNS, PARAMETERS),
    "forward_propagation_with_dropout": lambda: (COLUMNS, PARAMETERS, 0.5, 0),
    "compute_cost": lambda: (np.full((1, 5), 0.5), LABELS),
    "compute_cost_with_regularization": lambda: (
        np.full((1, 5), 0.5), LABELS, PARAMETERS, 0.1,
    ),
    "backward_propagation_with_regularization": lambda: (
        COLUMNS, LABELS, cache_of(), 0.1,
    ),
    "backward_propagation_with_dropout": lambda: (
        COLUMNS, LABELS, cache_of(keep_prob=0.5, random_state=0), 0.5,
    ),
}  # fmt: skip

# Positional arguments of a method, by its name.
OF_METHODS = {
    **dict.fromkeys(("fit", "score"), (X, Y)),
    "partial_fit": (X, Y, None, [0, 1, 2]),
    **dict.fromkeys(
        (
            "predict",
            "predict_proba",
            "predict_log_proba",
            "decision_function",
            "input_gradients",
        ),
        (X,),
    ),
    "sample_proba": (X, 3),
    **dict.fromkeys(
        (
            "get_params",
            "set_params",
            "get_metadata_routing",
            "set_fit_request",
            "set_partial_fit_request",
            "set_score_request",
            "set_callbacks",
            "to_sklearn",
            "near_zero_shares",
            "root_mean_squares",
            "plot",
        ),
        (),
    ),
    # Those of GridSearchCV that a network has not got: the call fails.
    **dict.fromkeys(("transform", "inverse_transform", "score_samples"), (X,)),
}

# Those that need more than a call here: tests of their own see to it.
ELSEWHERE = {
    "skreg.FitAdviceWarning",
    "skreg.RegularizationWarning",
    # It changes what later fits do, on purpose.
    "skreg.compile_kernels",
    "skreg.dask.fit",
    "skreg.io.dump",
    "skreg.io.load",
    "skreg.show_versions",
    "skreg.tabular_pipeline",
}


def public_functions():
    """Names → functions and classes of all modules of the package without a _."""
    modules = [skreg]
    for found in pkgutil.iter_modules(skreg.__path__):
        if not found.name.startswith("_"):
            modules.append(importlib.import_module(f"skreg.{found.name}"))
    found = {}
    for module in modules:
        for name, value in vars(module).items():
            is_own = getattr(value, "__module__", "").startswith("skreg")
            listed = getattr(module, "__all__", None)
            is_public = name in listed if listed else not name.startswith("_")
            here = listed is not None or value.__class__ is type(lambda: 0)
            if callable(value) and is_own and is_public and here:
                if listed is None and value.__module__ != module.__name__:
                    continue
                found[f"{module.__name__}.{name}"] = value
    return found


def methods_of(cls):
    for name in dir(cls):
        # Neither a property nor the default of a parameter is a call.
        if not name.startswith("_") and callable(getattr(cls, name)):
            yield name, isinstance(inspect.getattr_static(cls, name), classmethod)


@pytest.fixture(scope="module")
def fitted():
    pytest.importorskip("matplotlib")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = network(early_stopping=False).fit(X, Y)
        ensemble = clone(MODELS["ensemble"]).fit(X, Y)
        best = clone(MODELS["search"]).fit(X, Y)
    of = {type(model).__name__: model for model in (net, ensemble, best)}
    for name in ("LossCurveDisplay", "WeightDistributionDisplay"):
        of[name] = getattr(skreg, name).from_estimator(net)
    of["RegularizationGridDisplay"] = skreg.RegularizationGridDisplay.from_estimator(
        best
    )
    yield of
    from matplotlib import pyplot

    pyplot.close("all")


def calls(fitted):
    """All public calls by name, each as a function of nothing."""
    for name, value in public_functions().items():
        if name in ELSEWHERE:
            continue
        if not inspect.isclass(value):
            yield name, lambda f=value, n=name: f(*OF_FUNCTIONAL[n.split(".")[-1]]())
            continue
        model = fitted[value.__name__]
        for method, is_of_class in methods_of(value):
            if is_of_class:
                on = fitted["RegularizedMLPClassifier"]
                if method == "from_sklearn":
                    on = on.to_sklearn()
                elif "Grid" in name:
                    on = fitted["RegularizedMLPClassifierCV"]
                arguments = (on,)
            else:
                arguments = OF_METHODS[method]
            yield (
                f"{name}.{method}",
                lambda m=model, n=method, a=arguments: getattr(copied(m), n)(*a),
            )


def copied(model):
    return pickle.loads(pickle.dumps(model)) if hasattr(model, "fit") else model


def outcome_of(call):
    """``None``, or the type of the error; what it prints and warns is left out."""
    with contextlib.redirect_stdout(io.StringIO()), untouched():
        try:
            call()
        except Exception as error:
            return type(error)
    return None


REFUSED = {
    f"skreg.RegularizedMLPClassifierCV.{name}"
    for name in ("transform", "inverse_transform", "score_samples")
}
NEED_ROUTING = {"set_fit_request", "set_partial_fit_request", "set_score_request"}


def test_every_public_call_leaves_the_process_as_it_was(fitted):
    """The list is made of what is public, so that none can be forgotten."""
    names = set()
    for name, call in calls(fitted):
        names.add(name)
        refused = name in REFUSED or name.split(".")[-1] in NEED_ROUTING
        found = outcome_of(call)
        expected = {AttributeError, RuntimeError} if refused else {None}
        assert found in expected, name
    assert {name.split(".")[1] for name in names} >= set(skreg.__all__) - {
        "FitAdviceWarning",
        "RegularizationWarning",
        "__version__",
        "compile_kernels",
        "show_versions",
        "tabular_pipeline",
    }
    assert len(names) > 50


BAD = [
    (np.full_like(X, np.nan), Y),
    (X[:, :1], Y),
    ("no rows", Y),
    (X, np.linspace(0, 1, len(X))),
]


def test_every_public_call_that_fails_leaves_the_process_as_it_was(fitted):
    n_failed = 0
    for name in ("RegularizedMLPClassifier", *sorted(fitted)):
        model = fitted[name]
        for method in OF_METHODS:
            if not hasattr(type(model), method) or not OF_METHODS[method]:
                continue
            for bad in BAD:
                arguments = bad[: min(2, len(OF_METHODS[method]))]
                n_failed += (
                    outcome_of(
                        lambda m=model, n=method, a=arguments: getattr(copied(m), n)(*a)
                    )
                    is not None
                )
        if hasattr(model, "fit"):
            for wrong in ({"solver": "none"}, {"max_iter": 0}, {"n_estimators": 0}):
                (parameter,) = wrong
                if parameter in model.get_params():
                    bad = clone(model).set_params(**wrong)
                    assert outcome_of(lambda m=bad: m.fit(X, Y)) is not None
    for arguments in OF_FUNCTIONAL.values():
        assert arguments()
    for name, function in public_functions().items():
        if name.startswith("skreg.functional"):
            arguments = (COLUMNS[:1, :2], *OF_FUNCTIONAL[function.__name__]()[1:])
            assert outcome_of(lambda f=function, a=arguments: f(*a)) is not None
    assert n_failed > 40


def test_files_leave_the_process_as_it_was(fitted, tmp_path):
    pytest.importorskip("skops")
    path, model = tmp_path / "model.skops", fitted["RegularizedMLPEnsemble"]
    assert outcome_of(lambda: skreg.io.dump(model, path)) is None
    assert outcome_of(lambda: skreg.io.load(path)) is None
    assert (
        outcome_of(lambda: skreg.io.dump(model, tmp_path / "no" / "folder")) is not None
    )
    path.write_bytes(path.read_bytes()[:-1])
    assert outcome_of(lambda: skreg.io.load(path)) is ValueError


def test_show_versions_leaves_the_process_as_it_was():
    assert outcome_of(skreg.show_versions) is None


def test_a_pipeline_of_a_frame_leaves_the_process_as_it_was():
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("skrub")
    frame = pandas.DataFrame(X).assign(
        word=["a", "b"] * 25,
        text=[f"row {i}" for i in range(50)],
        day=pandas.date_range("2020", periods=50),
    )

    def call():
        model = skreg.tabular_pipeline(network(early_stopping=False))
        model.fit(frame, Y).predict(frame)

    assert outcome_of(call) is None
