"""`skreg.dask.fit` beside the local `fit` on the same rows."""

import contextlib
import gc
import logging
import os
import re
import signal
import sys
import time
import warnings
import weakref
from itertools import product

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from dask import delayed
from dask.sizeof import sizeof
from distributed import Client, LocalCluster
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tables import split

import skreg.dask
from skreg import RegularizedMLPClassifier
from skreg._network.theta import Layout
from skreg._training.rows import training_set
from skreg._training.settings import random_streams
from skreg.dask import _steps as remote
from skreg.dask._partitions import Held, collections, rows_on_workers

KINDS = ["binary", "multiclass", "multilabel"]
SOLVERS = ["lbfgs", "sgd", "adam"]
SLOW = pytest.mark.slow
N = 60

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def cluster():
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0"
    ) as cluster:
        yield cluster


@pytest.fixture(autouse=True)
def client(cluster):
    """The default client, of which nothing is left after a test."""
    client = Client(cluster)
    yield client
    client.close()


def make_data(kind="multiclass", n=N, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4)).astype(dtype)
    scores = X @ rng.normal(size=(4, 3)) + rng.normal(size=(n, 3))
    if kind == "binary":
        return X, np.array(["no", "yes"])[(scores[:, 0] > 0).astype(int)]
    if kind == "multiclass":
        return X, scores.argmax(axis=1)
    return X, (scores > 0).astype(int)


def make_weights(n=N, seed=1):
    """With rows of weight 0."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 3, size=n) * rng.uniform(0.5, 2, size=n)


def make_model(**settings):
    defaults = {
        "hidden_layer_sizes": (5, 3),
        "batch_size": "full",
        "learning_rate": "constant",
        "learning_rate_init": 0.001,
        "max_iter": 4,
        "early_stopping": False,
        "early_stopping_refit": False,
        "averaging": 0.0,
        "random_state": 3,
    }
    return RegularizedMLPClassifier(**{**defaults, **settings})


def in_chunks(array, rows):
    """A Dask array with chunks of so many rows."""
    return da.from_array(array, chunks=(rows, *array.shape[1:]))


def of_unknown_lengths(array):
    """The same, where Dask has lost count of the rows."""
    blocks = array.to_delayed().reshape(array.numblocks[0])
    shape = (np.nan, *array.shape[1:])
    return da.concatenate(
        [da.from_delayed(b, shape=shape, dtype=array.dtype) for b in blocks],
        allow_unknown_chunksizes=True,
    )


def fit(model, X, y, rows=25, sample_weight=None):
    if sample_weight is not None:
        sample_weight = in_chunks(sample_weight, rows)
    return skreg.dask.fit(
        model, in_chunks(X, rows), in_chunks(y, rows), sample_weight=sample_weight
    )


def assert_same_model(found, expected, tolerance=1e-8):
    assert_array_equal(found.classes_, expected.classes_)
    for name in ("coefs_", "intercepts_"):
        pairs = zip(getattr(found, name), getattr(expected, name), strict=True)
        for one, other in pairs:
            assert one.dtype == other.dtype
            assert_allclose(one, other, rtol=tolerance, atol=tolerance)
    for name in ("loss_", "best_loss_"):
        one, other = getattr(found, name), getattr(expected, name)
        assert (one is None) == (other is None)
        if one is not None:
            assert_allclose(one, other, rtol=tolerance, atol=tolerance)
    assert_allclose(
        found.loss_curve_, expected.loss_curve_, rtol=tolerance, atol=tolerance
    )
    # All that a local fit leaves, too.
    assert set(vars(found)) == set(vars(expected))
    for name in ("n_iter_", "t_", "converged_", "best_n_iter_", "n_outputs_"):
        assert getattr(found, name) == getattr(expected, name)
    assert found.out_activation_ == expected.out_activation_
    assert found.n_features_in_ == expected.n_features_in_


# The same result as that of a local fit ----------------------------------------------


# Each kind of classes and each solver.
ONCE = [("binary", "lbfgs"), ("multiclass", "sgd"), ("multilabel", "adam")]


@pytest.mark.parametrize(
    ("kind", "solver"),
    [
        pytest.param(*case, marks=[] if case in ONCE else SLOW)
        for case in product(KINDS, SOLVERS)
    ],
)
def test_the_result_is_that_of_a_local_fit(kind, solver):
    X, y = make_data(kind)
    weight = make_weights()
    class_weight = {
        "binary": {"yes": 3.0, "no": 0.5},
        "multiclass": "balanced",
        "multilabel": [{0: 1, 1: 2}, {0: 3, 1: 1}, {0: 1, 1: 1}],
    }[kind]
    model = make_model(solver=solver, lambd=[0.5, 0, 2], class_weight=class_weight)
    expected = clone(model).fit(X, y, weight)
    assert_same_model(fit(clone(model), X, y, sample_weight=weight), expected)


def cuts(n):
    """The lengths of partitions of n rows; some may be 0."""
    return st.lists(st.integers(0, n), max_size=5).map(
        lambda edges: tuple(np.diff([0, *sorted(edges), n]).tolist())
    )


@pytest.mark.slow
@settings(max_examples=12)
@given(
    X_rows=cuts(N),
    y_rows=cuts(N),
    kind=st.sampled_from(KINDS),
    solver=st.sampled_from(SOLVERS),
    weighted=st.booleans(),
    class_weight=st.sampled_from([None, "balanced"]),
)
def test_the_partitions_do_not_matter(
    X_rows, y_rows, kind, solver, weighted, class_weight
):
    X, y = make_data(kind)
    weight = make_weights() if weighted else None
    model = make_model(solver=solver, max_iter=3, class_weight=class_weight)
    expected = clone(model).fit(X, y, weight)
    found = skreg.dask.fit(
        clone(model),
        in_chunks(X, X_rows),
        in_chunks(y, y_rows),
        sample_weight=None if weight is None else in_chunks(weight, 11),
    )
    assert_same_model(found, expected)


def test_unknown_lengths_and_blocks_of_columns():
    X, y = make_data()
    model = make_model()
    expected = clone(model).fit(X, y)
    rows = (25, 0, 35)
    unknown = (
        of_unknown_lengths(in_chunks(X, rows)),
        of_unknown_lengths(in_chunks(y, rows)),
    )
    assert np.isnan(unknown[0].shape[0])
    assert_same_model(skreg.dask.fit(clone(model), *unknown), expected)
    # One of them unknown.
    assert_same_model(
        skreg.dask.fit(clone(model), unknown[0], in_chunks(y, rows)), expected
    )
    in_columns = da.from_array(X, chunks=(25, 2))
    assert_same_model(
        skreg.dask.fit(clone(model), in_columns, in_chunks(y, 13)), expected
    )


def test_float32_is_computed_in_float32():
    X, y = make_data(dtype=np.float32)
    model = make_model()
    expected = clone(model).fit(X, y)
    found = fit(clone(model), X, y)
    assert found.coefs_[0].dtype == np.float32
    assert_same_model(found, expected, tolerance=1e-4)


def test_integers_are_computed_in_float64():
    X, y = make_data()
    X = (10 * X).astype(int)
    model = make_model()
    assert_same_model(fit(clone(model), X, y), clone(model).fit(X, y))


def test_a_dataframe_names_the_features():
    X, y = make_data("binary")
    frame = pd.DataFrame(X, columns=list("abcd"))
    frame["y"], frame["weight"] = y, make_weights()
    table = dd.from_pandas(frame, npartitions=3)
    model = make_model(solver="lbfgs")
    expected = clone(model).fit(frame[list("abcd")], frame["y"], frame["weight"])
    found = skreg.dask.fit(
        clone(model), table[list("abcd")], table["y"], sample_weight=table["weight"]
    )
    assert found.feature_names_in_.tolist() == list("abcd")
    assert_same_model(found, expected)
    with pytest.raises(ValueError, match="feature names should match"):
        skreg.dask.fit(
            found.set_params(warm_start=True), table[list("bacd")], table["y"]
        )


@pytest.mark.parametrize("make", ["from_delayed", "from_map"])
def test_what_x_and_y_share_is_computed_once(make, tmp_path):
    X, y = make_data("binary")
    table = pd.DataFrame(X, columns=list("abcd")).assign(y=y)

    def part(first):
        # The tasks have copies of all that is here: only a file tells of them.
        with open(tmp_path / "parts", "a") as file:
            file.write(f"{first}\n")
        return table.iloc[first : first + 20]

    firsts = [0, 20, 40]
    if make == "from_delayed":
        parts = [delayed(part)(first) for first in firsts]
        frame = dd.from_delayed(parts, meta=table.iloc[:0])
    else:
        frame = dd.from_map(part, firsts, meta=table.iloc[:0])
    model = make_model(max_iter=2)
    found = skreg.dask.fit(clone(model), frame[list("abcd")], frame["y"])
    assert_same_model(found, clone(model).fit(table[list("abcd")], table["y"]))
    assert sorted(map(int, (tmp_path / "parts").read_text().split())) == firsts


def test_sparse_blocks():
    X, y = make_data()
    X[np.abs(X) < 0.5] = 0
    model = make_model()
    blocks = [
        da.from_delayed(
            delayed(scipy.sparse.csr_matrix)(X[rows]), shape=(20, 4), dtype=X.dtype
        )
        for rows in (slice(0, 20), slice(20, 40), slice(40, 60))
    ]
    blocks = da.concatenate(blocks)
    found = skreg.dask.fit(clone(model), blocks, in_chunks(y, 20))
    assert_same_model(found, clone(model).fit(scipy.sparse.csr_matrix(X), y))
    # Mini-batches and masks of the stored values.
    masked = make_model(batch_size=20, max_iter=1, input_keep_prob=0.8)
    found, again = (
        skreg.dask.fit(clone(masked), blocks, in_chunks(y, 20)) for _ in range(2)
    )
    assert_same_model(found, again, tolerance=0)


@pytest.mark.parametrize("form", ["dense", "sparse"])
@pytest.mark.parametrize("weighted", [False, True])
def test_columns_are_standardised_as_in_a_local_fit(weighted, form):
    """By the moments of all partitions; a column of 0 and 1 stays as it is."""
    X, y = make_data()
    X[np.abs(X) < 0.5] = 0
    X = X * [1e-3, 1e4, 1, 1] + [0, 3e5 * (form == "dense"), 0, 0]
    X[:, 3] = X[:, 3] > 0
    weight = make_weights() if weighted else None
    blocks, local = in_chunks(X, 20), X
    if form == "sparse":
        blocks = blocks.map_blocks(scipy.sparse.csr_matrix)
        local = scipy.sparse.csr_matrix(X)
    given = None if weight is None else in_chunks(weight, 20)
    model = make_model(max_iter=20, learning_rate="cosine")
    found = skreg.dask.fit(clone(model), blocks, in_chunks(y, 20), sample_weight=given)
    expected = clone(model).fit(local, y, weight)
    assert_same_model(found, expected)
    assert_allclose(found.mean_, expected.mean_, rtol=1e-12)
    assert_allclose(found.scale_, expected.scale_, rtol=1e-12)
    assert (found.mean_[1] > 1e5) == (form == "dense")
    assert found.scale_[3] == 1


@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
def test_a_partition_may_lack_classes(solver):
    X, y = make_data(n=90)
    order = np.argsort(y, kind="stable")
    X, y = X[order], y[order]
    model = make_model(solver=solver)
    assert_same_model(fit(clone(model), X, y, rows=15), clone(model).fit(X, y))


def test_one_class_is_a_constant_model():
    X, _ = make_data()
    y = np.full(N, "only")
    model = make_model()
    found = fit(clone(model), X, y)
    assert_same_model(found, clone(model).fit(X, y))
    assert found.predict_proba(X[:3]).tolist() == [[1], [1], [1]]


def test_a_class_of_weight_zero_is_no_class():
    X, y = make_data()
    weight = np.where(y == 1, 0.0, 1.0)
    model = make_model()
    found = fit(clone(model), X, y, sample_weight=weight)
    assert found.classes_.tolist() == [0, 2]
    assert_same_model(found, clone(model).fit(X, y, weight))


def test_one_column_of_y_is_taken_with_a_warning():
    X, y = make_data()
    model = make_model()
    column = in_chunks(y[:, np.newaxis], 25)
    with pytest.warns(DataConversionWarning, match="column-vector") as caught:
        found = skreg.dask.fit(clone(model), in_chunks(X, 25), column)
    assert caught[0].filename == __file__
    assert_same_model(found, clone(model).fit(X, y))


def test_max_norm_and_schedules_are_those_of_a_local_fit():
    X, y = make_data()
    model = make_model(
        solver="sgd", max_norm=0.8, learning_rate="cosine", learning_rate_init=0.1
    )
    assert_same_model(fit(clone(model), X, y), clone(model).fit(X, y))


@pytest.mark.slow
@pytest.mark.parametrize("solver", SOLVERS)
def test_warm_start_goes_on_as_a_local_fit_does(solver):
    X, y = make_data()
    model = make_model(solver=solver, warm_start=True, max_iter=4)
    expected = clone(model).fit(X, y).fit(X, y)
    found = fit(fit(clone(model), X, y), X, y, rows=30)
    assert_same_model(found, expected)
    # From one place to the other.
    assert_same_model(fit(clone(model).fit(X, y), X, y), expected)
    assert_same_model(fit(clone(model), X, y).fit(X, y), expected)


# Dropout ----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("mask_rows", [1024, 7])
def test_masks_do_not_depend_on_the_partitions(mask_rows, monkeypatch):
    monkeypatch.setattr(remote, "MASK_ROWS", mask_rows)
    X, y = make_data()
    model = make_model(keep_prob=[0.7, 0.9], input_keep_prob=0.8)
    found = fit(clone(model), X, y, rows=(17, 20, 0, 23))
    assert_same_model(fit(clone(model), X, y, rows=(1, 40, 19)), found)
    without = fit(clone(model).set_params(keep_prob=1), X, y)
    assert np.abs(without.coefs_[0] - found.coefs_[0]).max() > 1e-4
    without = fit(clone(model).set_params(input_keep_prob=1), X, y)
    assert np.abs(without.coefs_[0] - found.coefs_[0]).max() > 1e-4


def test_masks_are_new_in_each_step():
    # At a tiny rate θ stays, so that the losses of steps differ by their masks alone.
    X, y = make_data()
    model = make_model(keep_prob=0.5, solver="sgd", learning_rate_init=1e-12)
    losses = fit(model, X, y).loss_curve_
    assert len(set(np.round(losses, 6))) == len(losses)


def test_dropped_values_are_made_up_for():
    # Masks have the mean 1: the loss of many rows is near that without dropout.
    X, y = make_data("binary", n=2000)
    settings = {"solver": "sgd", "learning_rate_init": 1e-12, "max_iter": 1}
    plain = fit(make_model(**settings), X, y, rows=700)
    for drop in ({"keep_prob": 0.95}, {"input_keep_prob": 0.95}):
        dropped = fit(make_model(**drop, **settings), X, y, rows=700)
        assert dropped.loss_ != plain.loss_
        assert dropped.loss_ == pytest.approx(plain.loss_, rel=0.02)


# Mini-batches -----------------------------------------------------------------------


@settings(max_examples=100)
@given(
    rows=st.lists(st.integers(0, 30), min_size=1, max_size=6).filter(sum),
    data=st.data(),
)
def test_edges_deal_every_row_once_and_evenly(rows, data):
    n = sum(rows)
    n_batches = data.draw(st.integers(1, n))
    first = data.draw(st.integers(0, n_batches - 1))
    edges = np.array(
        [
            remote._edges(np.array(rows), n_batches, first, batch)
            for batch in range(n_batches + 1)
        ]
    )
    assert_array_equal(edges[0], 0)
    assert_array_equal(edges[-1], rows)
    sizes = np.diff(edges, axis=0)
    assert (sizes >= 0).all()
    # Near-equal for each partition, and for each batch over all partitions.
    assert (np.ptp(sizes, axis=0) <= 1).all()
    assert np.ptp(sizes.sum(axis=1)) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("weighted", [False, True])
def test_a_batch_takes_a_slice_of_each_partition(weighted):
    X, y = make_data()
    weight = 1 + make_weights() if weighted else None
    model = make_model(batch_size=12, shuffle=False)
    found = fit(clone(model), X, y, rows=(30, 20, 10), sample_weight=weight)
    # The same batches one after the other, for a local fit without shuffling.
    batches = np.arange(N).reshape(6, 10)
    parts = batches[:3].reshape(5, 6), batches[3:5].reshape(5, 4), batches[5:].T
    order = np.concatenate([*parts[:2], parts[2].reshape(5, 2)], axis=1).ravel()
    expected = clone(model).fit(
        X[order], y[order], None if weight is None else weight[order]
    )
    assert_same_model(found, expected)


@pytest.mark.slow
def test_an_epoch_takes_each_row_once():
    # At a tiny rate θ stays, and the mean of the batches' losses is that of all rows.
    X, y = make_data()
    settings = {"solver": "sgd", "learning_rate_init": 1e-12, "max_iter": 2}
    weight = make_weights()
    full = fit(make_model(**settings), X, y, sample_weight=weight)
    for batch_size in (1, 7, 59):
        model = make_model(batch_size=batch_size, **settings | {"max_iter": 1})
        found = fit(model, X, y, sample_weight=weight)
        assert found.loss_curve_[0] == pytest.approx(full.loss_curve_[0], rel=1e-6)
        assert found.t_ == (weight > 0).sum()


def test_rows_are_shuffled_anew_in_each_epoch(client):
    X, y = make_data()
    settings = {"solver": "sgd", "learning_rate_init": 1e-12, "batch_size": 20}
    model = make_model(**settings)
    rows = rows_on_workers(
        client, model, collections(in_chunks(X, 30), in_chunks(y, 30), None), False
    )
    steps = remote._GlobalBatches(rows, 20, np.random.default_rng(0))
    epochs = []
    for _ in range(2):
        (_, (batch,)), *_ = steps.epoch()
        epochs.append(client.gather(batch.orders))
    for orders in epochs:
        assert [sorted(order.tolist()) for order in orders] == [list(range(30))] * 2
        assert orders[0].tolist() != orders[1].tolist()
    assert epochs[0][0].tolist() != epochs[1][0].tolist()


@pytest.mark.slow
def test_mini_batches_learn():
    X, y = make_data("binary", n=300)
    model = make_model(
        batch_size=100,
        max_iter=10,
        keep_prob=0.9,
        learning_rate_init=0.03,
        lambd=0.1,
    )
    found = fit(clone(model), X, y, rows=120)
    assert found.loss_curve_[-1] < 0.8 * found.loss_curve_[0]
    assert found.score(X, y) == pytest.approx(
        clone(model).fit(X, y).score(X, y), abs=0.05
    )


@pytest.mark.slow
def test_it_does_not_matter_which_worker_does_what():
    X, y = make_data()
    model = make_model(batch_size=20, keep_prob=0.8, input_keep_prob=0.9, max_iter=2)
    found = fit(clone(model), X, y, rows=25)
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=3, processes=False, dashboard_address=":0"
        ) as other,
        Client(other, set_as_default=False) as client,
    ):
        again = skreg.dask.fit(
            clone(model), in_chunks(X, 25), in_chunks(y, 25), client=client
        )
    assert_same_model(again, found, tolerance=0)


# Early stopping and scores ----------------------------------------------------------


def validation_rows(client, model, X, y, rows):
    """The rows that the fit holds out, fetched from the workers."""
    given = collections(in_chunks(X, rows), in_chunks(y, rows), None)
    on_workers = rows_on_workers(client, clone(model), given, False)
    seed = random_streams(model.random_state).split_seed
    _, held_out = split(on_workers, model.validation_fraction, seed)
    sets = [part.sets for part in client.gather(held_out.parts)]
    for training, validation in sets:
        together = np.concatenate([training.rows, validation.rows])
        assert sorted(together) == list(range(len(training.X)))
    gathered = [validation.gathered()[:2] for _, validation in sets]
    return tuple(map(np.concatenate, zip(*gathered, strict=True)))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_early_stopping_watches_rows_of_each_class(kind, client):
    X, y = make_data(kind)
    model = make_model(
        early_stopping=True,
        validation_fraction=0.25,
        learning_rate_init=0.05,
        max_iter=12,
        n_iter_no_change=3,
        train_scores=True,
    )
    found = fit(clone(model), X, y, rows=(3, 30, 27))
    X_val, y_val = validation_rows(client, model, X, y, (3, 30, 27))
    if kind == "multilabel":
        assert len(y_val) == 15
    else:
        of_class = dict(zip(*np.unique(y, return_counts=True), strict=True))
        expected = {c: max(1, round(0.25 * n)) for c, n in of_class.items()}
        assert dict(zip(*np.unique(y_val, return_counts=True), strict=True)) == expected
    assert len(found.validation_scores_) == found.n_iter_ == len(found.train_scores_)
    assert found.best_validation_score_ == max(found.validation_scores_)
    assert found.best_loss_ is None
    # The model is the best epoch's, and its score minus the loss on those rows.
    proba = found.predict_proba(X_val)
    if kind == "multilabel":
        chosen = np.where(y_val == 1, proba, 1 - proba)
        loss = -np.log(chosen).sum(axis=1).mean()
    else:
        loss = log_loss(y_val, proba, labels=found.classes_)
    assert found.best_validation_score_ == pytest.approx(-loss, abs=1e-12)


def splits_of(client, model, X, y, rows, n_splits):
    """For each split the rows for training and those held out, as X and y."""
    given = collections(in_chunks(X, rows), in_chunks(y, rows), None)
    on_workers = rows_on_workers(client, clone(model), given, False)
    seed = random_streams(model.random_state).split_seed
    found = []
    for number in range(n_splits):
        parts = split(on_workers, model.validation_fraction, seed, number, n_splits)
        sets = [part.sets for part in client.gather(parts[0].parts)]
        found.append(
            [
                tuple(
                    np.concatenate([of_part[which].gathered()[i] for of_part in sets])
                    for i in (0, 1)
                )
                for which in (0, 1)
            ]
        )
    return found


DEFAULTS = {
    name: RegularizedMLPClassifier().get_params()[name]
    for name in (
        "learning_rate",
        "learning_rate_init",
        "early_stopping",
        "early_stopping_refit",
        "n_validation_splits",
        "averaging",
    )
}


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_defaults_below_40_rows_are_those_of_a_local_fit(solver):
    X, y = make_data(n=39)
    model = make_model(solver=solver, **DEFAULTS)
    found = fit(clone(model), X, y)
    assert found.validation_scores_ is None
    assert_same_model(found, clone(model).fit(X, y))


@pytest.mark.slow
def test_early_stopping_is_on_from_40_rows_that_have_a_weight():
    X, y = make_data(n=120)
    model = make_model(**DEFAULTS)
    weight = np.ones(120)
    weight[:81] = 0
    found = fit(clone(model), X, y, sample_weight=weight)
    assert found.validation_scores_ is None
    weight[0] = 1
    found = fit(clone(model), X, y, sample_weight=weight)
    assert found.validation_scores_ is not None
    lbfgs = make_model(solver="lbfgs", **DEFAULTS)
    assert fit(lbfgs, X, y).validation_scores_ is None


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_splits_that_train_in_turns_and_a_refit_on_all_rows(kind, client):
    """In full batch, each training is that of a local fit on the same rows."""
    X, y = make_data(kind, n=120)
    model = make_model(
        **DEFAULTS
        | {
            "learning_rate": "constant",
            "learning_rate_init": 0.1,
            "n_validation_splits": 3,
        },
        max_iter=30,
        n_iter_no_change=3,
        tol=0.02,
        lambd=0.1,
        train_scores=True,
        # A split has the scale of all rows, given rows their own.
        standardize=False,
    )
    found = fit(clone(model), X, y, rows=(50, 0, 40, 30))
    splits = splits_of(client, model, X, y, (50, 0, 40, 30), 3)
    held_out = np.concatenate([X_val for _, (X_val, _) in splits])
    # 12 rows or so in each, and none of them twice.
    assert 3 * 10 < len(held_out) < 3 * 15
    assert len(np.unique(held_out, axis=0)) == len(held_out)

    curves = []
    # Of a training whose rows are given, or are all.
    plain = {"n_validation_splits": "auto", "early_stopping_refit": "auto"}
    local = clone(model).set_params(n_iter_no_change=np.inf, **plain)
    for (X_train, y_train), (X_val, y_val) in splits:
        assert len(X_train) + len(X_val) == 120
        local.fit(X_train, y_train, X_val=X_val, y_val=y_val)
        curves.append(local.validation_scores_)
    means = np.mean(curves, axis=0)
    n_epochs = len(found.validation_scores_)
    assert_allclose(found.validation_scores_, means[:n_epochs], rtol=1e-8)
    # Three epochs in a row have not improved enough, for the first time.
    improves = [
        mean >= best + model.tol
        for mean, best in zip(means[1:], np.maximum.accumulate(means), strict=False)
    ]
    ends = [e + 1 for e in range(3, 30) if not any(improves[e - 3 : e])]
    assert n_epochs == ends[0] < 30
    assert found.best_n_iter_ == means[:n_epochs].argmax() + 1
    assert found.best_validation_score_ == max(found.validation_scores_)

    # The model has seen all rows, for half as many epochs again, but of up to 6 these.
    best = found.best_n_iter_
    assert found.n_iter_ == (best if best <= 6 else min(round(1.5 * best), 30))
    expected = clone(model).set_params(
        early_stopping=False, max_iter=found.n_iter_, n_iter_no_change=np.inf, **plain
    )
    expected.fit(X, y)
    for name in ("coefs_", "intercepts_"):
        for one, other in zip(
            getattr(found, name), getattr(expected, name), strict=True
        ):
            assert_allclose(one, other, rtol=1e-8, atol=1e-8)
    assert_allclose(found.loss_curve_, expected.loss_curve_, rtol=1e-8)
    assert_allclose(found.train_scores_, expected.train_scores_, rtol=1e-8)
    assert found.t_ == found.n_iter_ * 120


@pytest.mark.slow
def test_noisy_rows_have_more_penalty_as_in_a_local_fit():
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(200, 30)), rng.integers(2, size=200)
    settings = DEFAULTS | {"learning_rate": "constant", "learning_rate_init": 0.1}
    model = make_model(**settings, n_iter_no_change=5, max_iter=30, lambd="auto")
    found = fit(clone(model), X, y, rows=70)
    assert found.lambd_ == 10.0
    model.set_params(early_stopping=False, max_iter=found.n_iter_, lambd=10.0)
    expected = model.set_params(n_iter_no_change=np.inf).fit(X, y)
    for one, other in zip(found.coefs_, expected.coefs_, strict=True):
        assert_allclose(one, other, rtol=1e-8, atol=1e-8)


@pytest.mark.slow
def test_without_a_refit_there_is_one_split_and_its_best_epoch(client):
    X, y = make_data(n=120)
    model = make_model(
        **DEFAULTS | {"early_stopping_refit": False, "learning_rate_init": 0.1},
        max_iter=30,
        lambd=0.0,
        standardize=False,
    )
    found = fit(clone(model), X, y, rows=50)
    (((X_train, y_train), (X_val, y_val)),) = splits_of(client, model, X, y, 50, 1)
    expected = clone(model).fit(X_train, y_train, X_val=X_val, y_val=y_val)
    assert_same_model(found, expected)
    assert_allclose(found.validation_scores_, expected.validation_scores_, rtol=1e-8)
    model.set_params(n_validation_splits=2)
    with pytest.raises(ValueError, match=r"n_validation_splits=2 .*120 rows"):
        fit(model, X, y, rows=50)


@pytest.mark.slow
def test_on_the_workers_auto_is_one_split(capsys):
    """Each epoch of each would be round trips to them."""
    X, y = make_data(n=120)
    model = make_model(**DEFAULTS, max_iter=2, verbose=True)
    fit(clone(model), X, y)
    assert "Validation split 1 of 1\n" in capsys.readouterr().out
    clone(model).fit(X, y)
    assert "Validation split 1 of 10\n" in capsys.readouterr().out


@pytest.mark.slow
def test_verbose_tells_the_splits_and_the_refit(capsys):
    X, y = make_data(n=120)
    model = make_model(**DEFAULTS | {"n_validation_splits": 4}, lambd=1.0, verbose=True)
    found = fit(model, X, y)
    lines = capsys.readouterr().out.splitlines()
    headings = [line for line in lines if not line.startswith("Iteration")]
    n_epochs, best = len(found.validation_scores_), found.best_n_iter_
    assert headings == [
        "Validation split 1 of 4",
        f"Training stopped after epoch {n_epochs}, best epoch {best}",
        f"All rows, up to epoch {found.n_iter_}: the best",
        f"Training stopped after epoch {found.n_iter_}",
    ]


@pytest.mark.slow
def test_the_phases_of_early_stopping_are_tasks():
    pytest.importorskip("sklearn.callback")
    X, y = make_data(n=120)
    tasks = []

    class Recorder:
        def setup(self, estimator, context):
            """Nothing to set up."""

        def teardown(self, estimator, context):
            """Nor to tear down."""

        def on_fit_task_begin(self, estimator, context):
            tasks.append((context.task_name, context.max_subtasks))

        def on_fit_task_end(self, estimator, context):
            return False

    model = make_model(**DEFAULTS).set_callbacks(Recorder())
    found = fit(model, X, y)
    n_epochs = len(found.validation_scores_)
    assert tasks == [
        ("fit", 2),
        # No plateau comes within max_iter.
        ("validation splits", n_epochs),
        *[("epoch", 0)] * n_epochs,
        ("all rows", found.n_iter_),
        *[("epoch", 0)] * found.n_iter_,
    ]


def test_a_class_of_one_row_stays_in_training(client):
    X, y = make_data(n=40)
    y[7] = 9
    model = make_model(early_stopping=True, validation_fraction=0.3, max_iter=1)
    found = fit(clone(model), X, y, rows=9)
    assert 9 in found.classes_
    assert 9 not in validation_rows(client, model, X, y, 9)[1]


def test_train_scores_are_minus_the_loss_without_penalty():
    X, y = make_data()
    model = make_model(train_scores=True, keep_prob=0.8, max_iter=2)
    found = fit(model, X, y)
    expected = -log_loss(y, found.predict_proba(X))
    assert found.train_scores_[-1] == pytest.approx(expected, abs=1e-12)


# A worker that dies -----------------------------------------------------------------


class Killer:
    """Standard output that kills a worker at the end of the second epoch."""

    def __init__(self, client):
        self.client = client
        self.killed = []

    def write(self, text):
        if text.startswith("Iteration 2,"):
            # All that it holds is lost, and it holds partitions.
            held = self.client.has_what()
            address = max(held, key=lambda worker: len(held[worker]))
            assert any("_encoded" in str(key) for key in held[address])
            os.kill(self.client.run(os.getpid)[address], signal.SIGKILL)
            self.killed.append(address)
        return len(text)

    def flush(self):
        """Nothing is kept back."""


@pytest.mark.slow
def test_a_worker_that_dies_does_not_lose_the_fit():
    X, y = make_data(n=120)
    model = make_model(batch_size=60, keep_prob=0.9, max_iter=4, verbose=True)
    expected = fit(clone(model), X, y, rows=40)
    with (
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            dashboard_address=":0",
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        killer = Killer(client)
        with contextlib.redirect_stdout(killer):
            found = skreg.dask.fit(
                clone(model), in_chunks(X, 40), in_chunks(y, 40), client=client
            )
    assert len(killer.killed) == 1
    assert_same_model(found, expected)


# What is wrong is said ---------------------------------------------------------------


def with_label(row, label):
    """Good labels but for one."""
    y = Y_GOOD.astype(object)
    y[row] = label
    return y


def bad_partition(array, at, value):
    array = array.copy()
    array[at] = value
    return array


X_GOOD, Y_GOOD = make_data()


@pytest.mark.parametrize(
    ("X", "y", "sample_weight", "match"),
    [
        (bad_partition(X_GOOD, 31, np.nan), Y_GOOD, None, "In partition 1: .*NaN"),
        (bad_partition(X_GOOD, 59, np.inf), Y_GOOD, None, "In partition 2: .*infinity"),
        (np.full((N, 4), "word"), Y_GOOD, None, "In partition 0: could not convert"),
        (X_GOOD, Y_GOOD + 0.5 * (np.arange(N) == 25), None, "In partition 1: .*label"),
        (
            X_GOOD,
            with_label(25, np.nan),
            None,
            r"In partition 1: y contains NaN .* 5:",
        ),
        (X_GOOD, with_label(45, None), None, r"In partition 2: y contains None .* 5:"),
        (X_GOOD, with_label(25, "a"), None, "In partition 1: y has 'a' in row 5, amon"),
        (X_GOOD, Y_GOOD, -1.0 * (np.arange(N) == 45), "In partition 2: Negative"),
        (X_GOOD, Y_GOOD, np.where(np.arange(N) == 5, np.nan, 1), "In partition 0: "),
        (X_GOOD, Y_GOOD, np.zeros(N), "sample_weight add up to 0"),
        (X_GOOD, Y_GOOD, np.full(N, 1e308), "sample_weight add up to inf"),
        (X_GOOD, np.stack([Y_GOOD] * 2, axis=1), None, "several outputs"),
        (X_GOOD[:0], Y_GOOD[:0], None, "Found no rows in the 1 partitions"),
        (X_GOOD, Y_GOOD[:50], None, "X has 60 rows, but y has 50"),
        (X_GOOD, Y_GOOD, np.ones(50), "X has 60 rows, but sample_weight has 50"),
        (X_GOOD[:, 0], Y_GOOD, None, "X has 1 dimensions; expected 2"),
        (X_GOOD, Y_GOOD[:, None, None], None, "y has 3 dimensions; expected 1 or 2"),
        (
            X_GOOD,
            Y_GOOD,
            np.ones((N, 1)),
            r"sample_weight has 2 dimensions.*sample_weight\[:, 0\]",
        ),
    ],
)
def test_bad_rows_raise_and_name_the_partition(X, y, sample_weight, match):
    with pytest.raises(ValueError, match=match):
        fit(make_model(), X, y, rows=20 if len(X) else 1, sample_weight=sample_weight)


def test_labels_without_an_order_raise():
    parts = [in_chunks(Y_GOOD[:30], 30), in_chunks(Y_GOOD[30:].astype(str), 30)]
    blocks = [
        da.from_delayed(part.to_delayed()[0], shape=(30,), dtype=object)
        for part in parts
    ]
    with pytest.raises(ValueError, match=r"Partition 1 of y has .* partition 0 suc"):
        skreg.dask.fit(make_model(), in_chunks(X_GOOD, 30), da.concatenate(blocks))


def test_partitions_of_other_lengths_or_columns_raise():
    X, y = in_chunks(X_GOOD, 20), in_chunks(Y_GOOD, 20)
    unknown = of_unknown_lengths(in_chunks(Y_GOOD, (20, 30, 10)))
    with pytest.raises(ValueError, match="In partition 1: X has 20 rows, but y has 30"):
        skreg.dask.fit(make_model(), X, unknown)
    unknown = of_unknown_lengths(in_chunks(Y_GOOD, 30))
    with pytest.raises(ValueError, match=r"3 partitions and y has 2.*compute_chunk"):
        skreg.dask.fit(make_model(), X, unknown)
    one_less = da.from_delayed(delayed(X_GOOD[:20, :3]), shape=(20, 4), dtype=float)
    with pytest.raises(
        ValueError, match=r"Partition 1 of X has 3 col.*partition 0 has"
    ):
        skreg.dask.fit(make_model(), da.concatenate([X[:20], one_less, X[20:40]]), y)


def test_partitions_of_other_names_raise():
    frame = pd.DataFrame(X_GOOD, columns=list("abcd"))

    def part(names):
        return frame.iloc[:30].set_axis(list(names), axis=1)

    X = dd.from_map(part, ["abcd", "badc"], meta=frame.iloc[:0])
    y = dd.from_map(lambda _: pd.Series(Y_GOOD[:30]), [0, 1], meta=pd.Series([0]))
    match = r"Partition 1 of X has the columns \['b', 'a', .*partition 0 .* order them"
    with pytest.raises(ValueError, match=match):
        skreg.dask.fit(make_model(), X, y)


def test_partitions_of_other_labels_raise():
    labels = np.eye(3, dtype=int)[Y_GOOD]
    one_less = da.from_delayed(delayed(labels[30:, :2]), shape=(30, 3), dtype=int)
    y = da.concatenate([in_chunks(labels[:30], 30), one_less])
    with pytest.raises(ValueError, match=r"of y have different numbers of labels"):
        skreg.dask.fit(make_model(), in_chunks(X_GOOD, 30), y)


def test_dataframes_of_other_divisions_raise():
    frame = pd.DataFrame(X_GOOD, columns=list("abcd"))
    X = dd.from_pandas(frame, npartitions=2)
    y = dd.from_pandas(pd.Series(Y_GOOD), npartitions=3)
    with pytest.raises(ValueError, match="2 partitions and y has 3, with other div"):
        skreg.dask.fit(make_model(), X, y)


def test_data_in_memory_raises():
    X, y = in_chunks(X_GOOD, 20), in_chunks(Y_GOOD, 20)
    for arguments, weight in (((X_GOOD, y), None), ((X, Y_GOOD), None), ((X, y), [1])):
        with pytest.raises(TypeError, match=r"estimator\.fit.*from_array"):
            skreg.dask.fit(make_model(), *arguments, sample_weight=weight)


def test_other_estimators_and_settings_raise():
    X, y = in_chunks(X_GOOD, 20), in_chunks(Y_GOOD, 20)
    with pytest.raises(TypeError, match="type Pipeline"):
        skreg.dask.fit(make_pipeline(StandardScaler(), make_model()), X, y)
    # Whether 'auto' will stop early is not known before the rows have been counted.
    for watch in (
        {"early_stopping": True},
        {"early_stopping": "auto"},
        {"train_scores": True},
    ):
        why = r"scoring='accuracy'.*Set scoring='loss', or early_stopping=False"
        with pytest.raises(ValueError, match=why):
            skreg.dask.fit(make_model(scoring="accuracy", **watch), X, y)
    with pytest.warns(UserWarning, match="^scoring='accuracy' does nothing"):
        skreg.dask.fit(make_model(scoring="accuracy"), X, y)
    with pytest.raises(ValueError, match="'max_iter' parameter"):
        skreg.dask.fit(make_model(max_iter=0), X, y)
    with pytest.raises(ValueError, match=r"keep_prob=0\.5 does not go with solver"):
        skreg.dask.fit(make_model(solver="lbfgs", keep_prob=0.5), X, y)
    with pytest.raises(ValueError, match=r"class_weight=.*\[7\] are not among the c"):
        skreg.dask.fit(make_model(class_weight={7: 1.0, 0: 2.0}), X, y)
    with pytest.raises(ValueError, match=r"class_weight=\[1\.0, 3\.0\]: .*=\{0: 1\.0"):
        skreg.dask.fit(make_model(class_weight=[1.0, 3.0]), X, y)


def test_classes_unknown_to_a_warm_start_raise():
    model = fit(make_model(warm_start=True), X_GOOD, Y_GOOD)
    before = vars(model).copy()
    y = np.where(np.arange(N) == 45, 5, Y_GOOD)
    with pytest.raises(ValueError, match=r"In partition 2: y has the classes \[5\]"):
        fit(model, X_GOOD, y, rows=20)
    assert vars(model) == before


def test_divergence_names_the_largest_column_and_changes_nothing():
    X = X_GOOD.copy()
    X[33, 2] = 1e9
    model = fit(make_model(), X_GOOD, Y_GOOD)
    before = vars(model).copy()
    model.set_params(solver="sgd", learning_rate_init=1e6)
    before.update(model.get_params())
    with pytest.raises(ValueError, match=r"diverged.* is 1e\+09, in column 2"):
        fit(model, X, Y_GOOD, rows=20)
    assert vars(model) == before


def test_no_client_raises(client):
    client.close()
    X, y = in_chunks(X_GOOD, 20), in_chunks(Y_GOOD, 20)
    with pytest.raises(ValueError, match=r"no Dask client\..*client = Client\(\)"):
        skreg.dask.fit(make_model(), X, y)


def test_what_is_no_client_raises(cluster):
    X, y = in_chunks(X_GOOD, 20), in_chunks(Y_GOOD, 20)
    for wrong in (cluster, "tcp://127.0.0.1:8786"):
        with pytest.raises(TypeError, match=r"give a distributed\.Client"):
            skreg.dask.fit(make_model(), X, y, client=wrong)


@pytest.mark.parametrize("library", ["dask", "distributed"])
def test_without_the_libraries_the_error_says_what_to_install(library, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ImportError, match=r'pip install "skreg\[distributed\]"'):
        skreg.dask.fit(make_model(), X_GOOD, Y_GOOD)


# As in a local fit ------------------------------------------------------------------


def test_no_convergence_is_warned_of_at_the_call():
    X, y = in_chunks(X_GOOD, 30), in_chunks(Y_GOOD, 30)
    with pytest.warns(ConvergenceWarning, match="stopped after 2 iter") as caught:
        model = skreg.dask.fit(make_model(max_iter=2), X, y)
    assert caught[0].filename == __file__
    assert not model.converged_


def messages_of(call, *arguments):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = call(*arguments)
    assert {warning.filename for warning in caught} <= {__file__}
    return model, [(warning.category, str(warning.message)) for warning in caught]


@pytest.mark.parametrize(
    ("how", "schedule"),
    [
        ("dense", "constant"),
        ("dense", "cosine"),
        ("float32", "constant"),
        ("sparse", "constant"),
        ("names", "cosine"),
    ],
)
def test_unscaled_columns_are_warned_of_as_in_a_local_fit(how, schedule):
    X = X_GOOD * [1.0, 300.0, 0.1, 1.0]
    X[:, 2] += 15
    # Too large in one partition alone, in the mean of squares over all of them.
    X[45:, 3] = 60.0
    X[:, 3] *= 1 if how == "dense" else 0.01
    model = make_model(
        learning_rate=schedule, learning_rate_init=1e-5, standardize=False
    )
    rows = (20, 0, 25, 15)
    local, on_cluster = X, in_chunks(X, rows)
    if how == "float32":
        local, on_cluster = X.astype(np.float32), on_cluster.astype(np.float32)
    elif how == "sparse":
        local = scipy.sparse.csr_matrix(X)
        on_cluster = on_cluster.map_blocks(scipy.sparse.csr_matrix)
    elif how == "names":
        local = pd.DataFrame(X, columns=list("abcd"))
        on_cluster = dd.from_pandas(local, npartitions=3)
    y = in_chunks(Y_GOOD, rows)
    if how == "names":
        y = dd.from_pandas(pd.Series(Y_GOOD), npartitions=3)
    _, expected = messages_of(clone(model).fit, local, Y_GOOD)
    found_model, found = messages_of(skreg.dask.fit, clone(model), on_cluster, y)
    assert found == expected
    *of_training, (_, text) = found
    n_wrong = 3 if how == "dense" else 2
    assert f"{n_wrong} of the 4 columns of X have magnitudes far from 1" in text
    assert ("in column 1 ('b') is" if how == "names" else "in column 1 is") in text
    assert found_model.converged_ == (schedule == "cosine")
    kinds = [ConvergenceWarning] if schedule == "constant" else []
    assert [category for category, _ in of_training] == kinds


def test_scaled_columns_are_not_warned_of():
    model = make_model(learning_rate="cosine")
    assert messages_of(fit, model, X_GOOD, Y_GOOD)[1] == []


def test_verbose_prints_each_epoch(capsys):
    def printed():
        out, n_seconds = re.subn(
            r", \d+\.\d\d s$", "", capsys.readouterr().out, flags=re.M
        )
        assert n_seconds == out.count("Iteration") == 3
        return out

    fit(make_model(verbose=True, max_iter=3), X_GOOD, Y_GOOD)
    found = printed()
    make_model(verbose=True, max_iter=3).fit(X_GOOD, Y_GOOD)
    assert found == printed()


def test_ctrl_c_keeps_the_weights_and_is_raised_again(monkeypatch):
    model = make_model(verbose=True)

    def interrupt(text, *args, **kwargs):
        if text.startswith("Iteration 2,"):
            raise KeyboardInterrupt

    monkeypatch.setattr("builtins.print", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fit(model, X_GOOD, Y_GOOD)
    assert model.n_iter_ == 2
    expected = make_model(max_iter=2).fit(X_GOOD, Y_GOOD)
    assert_same_model(model, expected)


@pytest.mark.parametrize("units", [(120, 100), (1300, 1000)])
def test_large_parameters_are_sent_anew_and_without_a_warning(units):
    # Dask hoists arguments of 100 kB, and warns of graphs of 10 MB.
    model = make_model(hidden_layer_sizes=units, max_iter=2)
    found = fit(clone(model), X_GOOD, Y_GOOD)
    assert_same_model(found, clone(model).fit(X_GOOD, Y_GOOD))
    assert sum(coef.nbytes for coef in found.coefs_) > (1e5 if units[0] < 1e3 else 1e7)


def test_large_settings_are_sent_anew():
    # 20,000 units with a keep_prob of their own: 200 kB of masks' constants.
    model = make_model(hidden_layer_sizes=(1, 20_000), keep_prob=[0.9, 0.8], max_iter=1)
    first = fit(clone(model), X_GOOD, Y_GOOD)
    fit(clone(model).set_params(keep_prob=[0.5, 0.1]), X_GOOD, Y_GOOD)
    assert_same_model(fit(clone(model), X_GOOD, Y_GOOD), first, tolerance=0)


def assert_nothing_is_left(client):
    gc.collect()
    # It is told to the workers, who may be busy with other work.
    deadline = time.monotonic() + 60
    while any(client.has_what().values()) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(client.has_what().values())
    assert not client.futures


def test_nothing_is_left_on_the_workers(client):
    fit(make_model(max_iter=2), X_GOOD, Y_GOOD)
    assert_nothing_is_left(client)
    # The workers of this cluster are threads of this process.
    assert remote._kept == {}


@pytest.mark.slow
@pytest.mark.parametrize("failure", ["a bad row", "an unknown class", "divergence"])
def test_nothing_is_left_of_a_fit_that_fails(failure, client):
    model = make_model(max_iter=3, warm_start=True)
    X, y = X_GOOD.copy(), Y_GOOD.copy()
    if failure == "a bad row":
        X[3, 0] = np.nan
    elif failure == "an unknown class":
        model.fit(X, np.minimum(y, 1))
    else:
        X *= 1e8
        model.set_params(solver="sgd", learning_rate_init=1e3)
    for _ in range(2):
        with pytest.raises(ValueError, match=r"NaN|among the classes|diverged"):
            fit(model, X, y)
        assert_nothing_is_left(client)
    assert remote._kept == {}


def in_a_task(X, y):
    """A fit from within a task, whose thread is the only one."""
    model = fit(make_model(max_iter=2), X, y)
    return model.predict_proba(X)


def test_a_fit_within_a_task_finds_a_thread(client):
    expected = fit(make_model(max_iter=2), X_GOOD, Y_GOOD).predict_proba(X_GOOD)
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0"
        ) as small,
        Client(small) as one_thread,
    ):
        future = one_thread.submit(in_a_task, X_GOOD, Y_GOOD)
        assert_allclose(future.result(timeout=30), expected, rtol=0, atol=1e-8)


def test_a_client_that_closes_during_the_fit_hides_no_error(client, monkeypatch):
    def closing(client, *_):
        client.close()
        raise RuntimeError("the rows are lost")

    monkeypatch.setattr("skreg.dask.rows_on_workers", closing)
    with pytest.raises(RuntimeError, match="the rows are lost"):
        fit(make_model(), X_GOOD, Y_GOOD)


def test_a_closed_client_raises(cluster):
    closed = Client(cluster, set_as_default=False)
    closed.close()
    X, y = in_chunks(X_GOOD, 20), in_chunks(Y_GOOD, 20)
    with pytest.raises(ValueError, match="is closed: make a new one"):
        skreg.dask.fit(make_model(), X, y, client=closed)


def test_a_worker_keeps_no_rows_of_the_last_task():
    rows = training_set(X_GOOD.copy(), Y_GOOD, None, None)
    layout = Layout((4, 5, 3))
    theta = np.zeros(layout.n_parameters)
    remote._part_sum(
        Held(0, (rows,)),
        theta,
        None,
        0,
        N,
        0,
        which=0,
        formula=remote._Formula(layout, "relu", "multiclass", None, None, None),
        scale=1 / N,
        seeds=[None, None],
        mask_rows=10,
    )
    X = weakref.ref(rows.X)
    del rows
    gc.collect()
    assert X() is None


def test_the_size_that_dask_sees_is_that_of_the_rows(client):
    X, y = make_data(n=1000)
    given = collections(in_chunks(X, 1000), in_chunks(y, 1000), None)
    rows = rows_on_workers(client, make_model(), given, False)
    (part,) = client.gather(rows.parts)
    assert X.nbytes <= sizeof(part) <= 1.5 * X.nbytes
