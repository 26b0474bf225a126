"""skreg.tabular_pipeline: any data frame in, by name, and a model out."""

import contextlib
import importlib
import os
import pickle
import subprocess
import sys
import warnings
from datetime import timedelta
from decimal import Decimal
from functools import partial

import helpers
import numpy as np
import pandas as pd
import polars as pl
import pytest
import skops.io
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    TunedThresholdClassifierCV,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PowerTransformer, SplineTransformer, TargetEncoder

import skreg
import skreg.io
from skreg import (
    RegularizedMLPClassifier,
    RegularizedMLPClassifierCV,
    RegularizedMLPEnsemble,
    tabular_pipeline,
)

N = 120
VECTORIZER = "namedcolumns__vectorizer__"
small = helpers.small


def columns(n=N, seed=0):
    """A table with all kinds of columns, as lists."""
    rng = np.random.default_rng(seed)
    return {
        "number": rng.normal(5, 2, size=n).round(3).tolist(),
        "few": rng.integers(0, 3, size=n).tolist(),
        "gap": [None if i % 9 == 4 else float(i * i % 101) for i in range(n)],
        "number_as_text": ["N/A" if i % 7 == 3 else f"{i}.5" for i in range(n)],
        "boolean": (rng.random(n) > 0.5).tolist(),
        "word": rng.choice(["red", "green", "blue"], size=n).tolist(),
        "word_gap": [None if i % 8 == 1 else "yn"[i % 2] for i in range(n)],
        "text": [f"flat {i} in street {i % 13}" for i in range(n)],
        "day": [f"20{10 + i % 9}-0{1 + i % 9}-1{i % 10}" for i in range(n)],
        "constant": [1] * n,
        "empty": [None] * n,
    }


def pandas_frame(**more):
    X = pd.DataFrame(columns() | more)
    return X.assign(
        date=pd.to_datetime(X["day"]).where(np.arange(N) % 10 != 5),
        category=X["word"].astype("category"),
    )


def polars_frame(**more):
    return pl.DataFrame(columns() | more).with_columns(
        pl.when(pl.int_range(N) % 10 != 5)
        .then(pl.col("day").str.to_date())
        .alias("date"),
        pl.col("word").cast(pl.Categorical).alias("category"),
    )


FRAMES = {"pandas": pandas_frame, "polars": polars_frame}
every_library = pytest.mark.parametrize("library", FRAMES)
y = (np.array(columns()["number"]) > 5).astype(int)


def with_column(X, name, values, dtype=None):
    """The frame with a column of other values, or one more."""
    if isinstance(X, pd.DataFrame):
        return X.assign(**{name: pd.Series(values, dtype=dtype or object).to_numpy()})
    return X.with_columns(pl.Series(name, values, dtype=dtype))


def in_library(X, library):
    return X if library == "pandas" else pl.from_pandas(X)


@pytest.fixture(scope="module")
def fitted():
    return {
        name: tabular_pipeline(small()).fit(frame(), y)
        for name, frame in FRAMES.items()
    }


class Recorder(ClassifierMixin, BaseEstimator):
    """Keeps what the pipeline gives to the model."""

    def fit(self, X, y, sample_weight=None):
        self.X_, self.sample_weight_ = X, sample_weight
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0])


# What comes out ----------------------------------------------------------------------


def scaled(values):
    return (values - values.mean()) / values.std()


def splines(values):
    # The basis of degree 3 over six quantiles, the last function left out.
    knots = np.percentile(values, [0, 20, 40, 60, 80, 100])
    basis = SplineTransformer(degree=3, knots=knots[:, None], include_bias=False)
    return basis.fit_transform(values[:, None])


@every_library
def test_the_columns_are_those_made_by_hand(library, fitted):
    encoded = pd.DataFrame(
        np.asarray(fitted[library][:-1].transform(FRAMES[library]())),
        columns=fitted[library][:-1].get_feature_names_out(),
    )
    table = pd.DataFrame(columns())
    close = partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5)

    for name in "number", "gap", "number_as_text":
        values = pd.to_numeric(table[name], errors="coerce").to_numpy(float)
        gaps = np.isnan(values)
        filled = np.where(gaps, np.nanmean(values), values)
        close(encoded[name], scaled(filled))
        close(encoded[[f"{name}_sp_{i}" for i in range(7)]], splines(filled))
        assert f"{name}_sp_7" not in encoded
        if gaps.any():
            close(encoded[f"missingindicator_{name}"], scaled(gaps.astype(float)))
        else:
            assert f"missingindicator_{name}" not in encoded
    for name in "few", "boolean":
        close(encoded[name], scaled(table[name].to_numpy(float)))
        assert f"{name}_sp_0" not in encoded
    assert (encoded["constant"] == 0).all()
    for value in "red", "green", "blue":
        for name in "word", "category":
            assert (encoded[f"{name}_{value}"] == (table["word"] == value)).all()
    assert (encoded["word_gap_y"] == (table["word_gap"] == "y")).all()
    dates = pd.to_datetime(table["day"])
    close(encoded["day_month"], scaled(dates.dt.month.to_numpy(float)))
    there = np.arange(N) % 10 != 5
    close(
        encoded["date_day"],
        scaled(np.where(there, dates.dt.day, dates.dt.day[there].mean())),
    )
    assert sum(name.startswith("text_") for name in encoded) == 30
    assert not any(name.startswith("empty") for name in encoded)
    assert np.isfinite(encoded.to_numpy()).all()


def test_pandas_and_polars_give_the_same_model(fitted):
    probabilities = [
        fitted[name].predict_proba(frame()) for name, frame in FRAMES.items()
    ]
    np.testing.assert_allclose(*probabilities, atol=1e-4)
    assert fitted["pandas"].score(pandas_frame(), y) > 0.8


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.arange(N), True),
        (np.arange(N) % 2, False),
        (np.arange(N) % 12, True),
        (np.maximum(np.arange(N) - 60, 0), False),  # half of them 0
        (np.full(N, 3.0), False),
    ],
)
def test_splines_are_only_where_the_knots_differ(values, expected):
    names = (
        tabular_pipeline(small())
        .fit(pd.DataFrame({"a": values}), y)[:-1]
        .get_feature_names_out()
    )
    assert names.tolist() == ["a", *(f"a_sp_{i}" for i in range(7 * expected))]


def test_a_fit_is_the_same_each_time(fitted):
    again = tabular_pipeline(small()).fit(pandas_frame(), y)
    expected = fitted["pandas"].predict_proba(pandas_frame())
    assert (again.predict_proba(pandas_frame()) == expected).all()


@every_library
def test_ten_rows(library):
    X = FRAMES[library]()[:10]
    model = tabular_pipeline(small()).fit(X, np.arange(10) % 2)
    assert np.isfinite(model.predict_proba(X)).all()


def test_the_default_model_is_the_search():
    model = tabular_pipeline()
    assert isinstance(model[-1], RegularizedMLPClassifierCV)
    expected = RegularizedMLPClassifierCV(standardize=False)
    assert model[-1].get_params() == expected.get_params()
    assert list(model.named_steps) == ["namedcolumns", "regularizedmlpclassifiercv"]


def test_parameters_reach_skrub():
    low, high = TargetEncoder(), TargetEncoder()
    params = tabular_pipeline(
        cardinality_threshold=7,
        low_cardinality=low,
        high_cardinality=high,
        numeric="passthrough",
        datetime="drop",
        n_jobs=2,
    ).get_params()
    names = "cardinality_threshold", "datetime", "n_jobs"
    assert [params[VECTORIZER + name] for name in names] == [7, "drop", 2]
    assert params["namedcolumns__numeric"] == "passthrough"
    assert params[VECTORIZER + "low_cardinality"] is low
    assert params[VECTORIZER + "high_cardinality"] is high


@pytest.mark.parametrize(
    "column",
    [
        pd.array([1, None, 3, 4] * 5, dtype="Int64"),
        pd.array([True, None, False, True] * 5, dtype="boolean"),
        pd.array(["x", None, "y", "x"] * 5, dtype="string"),
        pd.array(["x", None, "y", "x"] * 5, dtype="string[pyarrow]"),
        pd.array([1, None, 3, 4] * 5, dtype="int64[pyarrow]"),
        pd.array([0.5, None, 3, 4] * 5, dtype="Float64"),
        [Decimal(i) / 3 for i in range(20)],
        ["😀", "👍🏽", None, "x" * 10_000] * 5,
        pd.period_range("2020", periods=20, freq="M"),
        pd.Categorical([1, 2, None, 1] * 5),
        [True, None, False, "yes"] * 5,
        [1, "x", 2.5, None] * 5,
        pd.date_range("2020", periods=20, tz="Europe/Madrid"),
        pd.to_timedelta(np.arange(20), unit="h"),
        [b"bytes", b"more"] * 10,
    ],
    ids=lambda column: str(getattr(column, "dtype", "object")),
)
def test_types_of_columns(column):
    X, labels = pd.DataFrame({"a": column}), np.arange(20) % 2
    probabilities = tabular_pipeline(small()).fit(X, labels).predict_proba(X)
    assert np.isfinite(probabilities).all()


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (pd.date_range("2020", periods=N), "timestamp[us][pyarrow]"),
        (pd.date_range("2020", periods=N, tz="UTC"), "timestamp[us, UTC][pyarrow]"),
        (pd.date_range("2020", periods=N), "date32[day][pyarrow]"),
        (pd.to_timedelta(np.arange(N), unit="h"), "duration[s][pyarrow]"),
    ],
)
def test_dates_and_durations_of_pyarrow(values, dtype):
    values = values.where(np.arange(N) % 7 > 0)
    X = pd.DataFrame({"a": values}, index=np.arange(N)[::-1])
    arrow = X.astype(dtype.replace("date32", "timestamp[s][pyarrow]").split("[day")[0])
    if "date32" in dtype:
        arrow = arrow.astype(dtype)
    steps = tabular_pipeline(small())[:-1].fit(X, y)
    of_arrow = clone(steps).fit(arrow, y)
    pd.testing.assert_frame_equal(of_arrow.transform(arrow), steps.transform(X))
    pd.testing.assert_frame_equal(steps.transform(arrow), steps.transform(X))


def test_all_of_a_column_missing_may_be_kept():
    model = tabular_pipeline(small())
    model.set_params(**{VECTORIZER + "drop_null_fraction": None})
    X = pandas_frame(empty=np.full(N, np.nan))
    names = model.fit(X, y)[:-1].get_feature_names_out()
    assert {"empty", "missingindicator_empty"} <= set(names)


# scikit-learn's ways -----------------------------------------------------------------


@every_library
def test_set_output(library):
    model = tabular_pipeline(small()).fit(FRAMES[library](), y)
    names = model[:-1].get_feature_names_out()
    kinds = {"pandas": pd.DataFrame, "polars": pl.DataFrame}
    expected = np.asarray(model[:-1].transform(FRAMES[library]()))
    for output in "default", "pandas", "polars":
        model.set_output(transform=output)
        encoded = model[:-1].transform(FRAMES[library]())
        assert type(encoded) is kinds[library if output == "default" else output]
        assert list(encoded.columns) == list(names)
        assert (np.asarray(encoded) == expected).all()
        assert type(clone(model[:-1]).fit_transform(FRAMES[library]())) is type(encoded)


def test_the_index_stays():
    # A model may use it, as one of groups in time does.
    X = pandas_frame()
    X.index = pd.MultiIndex.from_arrays([np.arange(N) % 5, np.arange(N) % 3])
    steps = tabular_pipeline(small())[:-1]
    assert steps.fit_transform(X, y).index.equals(X.index)
    assert steps.transform(X[::-1]).index.equals(X.index[::-1])


@every_library
def test_names_that_clash(library):
    # Each of these has the name of what another becomes.
    taken = columns()
    X = pd.DataFrame(
        {
            "age": taken["gap"],
            "missingindicator_age": taken["number"],
            "age_sp_0": taken["number"],
            "age_sp": ["1", "one"] * (N // 2),
            "c": ["a_b", "x"] * (N // 2),
            "c_a": ["b", "y"] * (N // 2),
            "born": pd.date_range("2020", periods=N, freq="9D"),
            "born_year": taken["number"],
        }
    )
    X = in_library(X, library)
    model = tabular_pipeline(small()).fit(X, y)
    encoded = model[:-1].transform(X)
    names = list(encoded.columns)
    assert names == list(model[:-1].get_feature_names_out())
    assert len(names) == len(set(names))
    again = clone(model[:-1]).fit(X, y)
    assert list(again.get_feature_names_out()) == names
    assert not any("skrub" in name for name in names)
    second = {"missingindicator_age", "age_sp_0", "age_sp_1", "c_a_b", "born_year"}
    assert {f"{name}_2" for name in second} <= set(names)
    np.testing.assert_allclose(
        encoded["age_sp_0"], scaled(np.array(taken["number"])), atol=1e-5
    )


def test_one_transformer_takes_all_columns_of_numbers():
    X = pandas_frame()[["number", "few", "word", "boolean"]]
    steps = tabular_pipeline(small(), numeric=PCA(n_components=2))[:-1].fit(X, y)
    numbers = X[["number", "few", "boolean"]].astype(np.float32)
    expected = PCA(n_components=2).fit_transform(numbers)
    encoded = steps.transform(X)
    assert list(encoded.columns)[:2] == ["pca0", "pca1"]
    np.testing.assert_allclose(encoded[["pca0", "pca1"]], expected, atol=1e-5)


@every_library
@pytest.mark.parametrize("name", ["number", "word", "date"])
def test_columns_of_one_kind(name, library):
    X = FRAMES[library]()[[name]]
    for numeric in None, "passthrough":
        model = tabular_pipeline(small(), numeric=numeric).fit(X, y)
        encoded = model[:-1].transform(X)
        assert list(encoded.columns) == list(model[:-1].get_feature_names_out())
        assert encoded.shape[0] == N


def test_clone_is_unfitted_and_fits_the_same(fitted):
    model = clone(fitted["pandas"])
    with pytest.raises(NotFittedError):
        model.predict(pandas_frame())
    expected = fitted["pandas"].predict_proba(pandas_frame())
    assert (
        model.fit(pandas_frame(), y).predict_proba(pandas_frame()) == expected
    ).all()


@pytest.mark.slow
@every_library
def test_searches_over_nested_parameters(library):
    grid = {
        "regularizedmlpclassifier__lambd": [0.1, 1.0],
        VECTORIZER + "cardinality_threshold": [10, 40],
    }
    search = GridSearchCV(tabular_pipeline(small()), grid, cv=2)
    search.fit(FRAMES[library](), y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.predict(FRAMES[library]()).shape == (N,)


def test_cross_validation_and_the_search_inside():
    search = RegularizedMLPClassifierCV(
        hidden_layer_sizes=(4, 3), max_iter=3, random_state=0
    )
    model = tabular_pipeline(search)
    model.set_params(
        regularizedmlpclassifiercv__lambds=[0.1, 1.0],
        regularizedmlpclassifiercv__keep_probs=[1.0],
    )
    with helpers.no_convergence_warning():
        scores = cross_val_score(model, pandas_frame(), y, cv=2, error_score="raise")
    assert scores.shape == (2,)


def test_thresholds_are_tuned_on_frames():
    tuned = TunedThresholdClassifierCV(tabular_pipeline(small()), cv=2)
    assert tuned.fit(pandas_frame(), y).predict(pandas_frame()).shape == (N,)


@every_library
def test_pickle(library, fitted):
    X = FRAMES[library]()
    loaded = pickle.loads(pickle.dumps(fitted[library]))
    expected = fitted[library].predict_proba(X)
    assert (loaded.predict_proba(X) == expected).all()


@every_library
def test_files(library, fitted, tmp_path):
    X = FRAMES[library]()
    path = tmp_path / "model.skops"
    skreg.io.dump(fitted[library], path)
    loaded = skreg.io.load(path)
    expected = fitted[library].predict_proba(X)
    assert (loaded.predict_proba(X) == expected).all()
    wrong = with_column(X, "number", ["much"] * N)
    with pytest.raises(ValueError, match="'number' held numbers"):
        loaded.predict(wrong)
    # 2 MB; several times that if skreg.io writes what skrub repeats.
    assert path.stat().st_size < 3e6


def test_what_a_file_trusts_is_there(fitted):
    asked = set(skops.io.get_untrusted_types(data=skops.io.dumps(fitted["polars"])))
    assert asked <= skreg.io._TABULAR | {"skreg.RegularizedMLPClassifier"}


def test_a_file_of_columns_that_are_dropped_or_left_as_they_are(tmp_path):
    X = pandas_frame()[["number", "word", "day"]]
    model = tabular_pipeline(
        small(), numeric="passthrough", low_cardinality="drop", datetime="drop"
    ).fit(X, y)
    skreg.io.dump(model, tmp_path / "m.skops")
    loaded = skreg.io.load(tmp_path / "m.skops")
    assert (loaded.predict_proba(X) == model.predict_proba(X)).all()


def test_no_class_that_a_file_trusts_runs_code_of_skrub_when_it_is_loaded():
    seen = 0
    for name in skreg.io._TABULAR:
        module, _, attribute = name.rpartition(".")
        # Some are of other versions.
        with contextlib.suppress(ImportError):
            found = getattr(importlib.import_module(module), attribute)
            for base in getattr(found, "__mro__", ()):
                if base.__module__.startswith("skrub"):
                    hooks = {"__setstate__", "__reduce__", "__reduce_ex__", "__new__"}
                    assert not hooks & set(vars(base))
                    seen += 1
    assert seen > 10


def test_weights_go_to_the_model():
    weights = np.linspace(0.5, 1.5, N)
    model = tabular_pipeline(Recorder())
    model.fit(pandas_frame(), y, recorder__sample_weight=weights)
    assert model[-1].sample_weight_ is weights


def test_an_encoder_of_the_target_does_not_see_the_rows_own_labels():
    # Each row has a word of its own, so a fit without splits would give y away.
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"name": [f"row {i}" for i in range(N)]})
    labels = rng.integers(0, 2, size=N)
    encoder = TargetEncoder(smooth=1e-3)
    model = tabular_pipeline(Recorder(), high_cardinality=encoder).fit(X, labels)
    encoded = np.asarray(model[-1].X_)[:, 0]
    # Each of its five splits knows no word of the others, and has its own mean.
    assert np.unique(encoded).size <= 5
    # Later the whole of the fit counts.
    assert set(np.asarray(model[:-1].transform(X))[:, 0].round(2)) == {0, 1}
    other = tabular_pipeline(LogisticRegression(), high_cardinality=encoder)
    assert abs(cross_val_score(other, X, labels, cv=4).mean() - 0.5) < 0.15


@every_library
@pytest.mark.parametrize("zone", ["UTC", "Europe/Madrid", "+05:30"])
def test_files_of_dates_with_time_zones(library, zone, tmp_path):
    times = pd.date_range("2020", periods=N, freq="7h")
    if library == "pandas":
        X = pd.DataFrame({"at": times.tz_localize("UTC").tz_convert(zone)})
    elif zone == "+05:30":
        pytest.skip("Polars has zones with names alone")
    else:
        X = pl.DataFrame({"at": times.to_list()})
        X = X.with_columns(
            pl.col("at").dt.replace_time_zone(zone, ambiguous="earliest")
        )
    model = tabular_pipeline(small()).fit(X, y)
    skreg.io.dump(model, tmp_path / "m.skops")
    loaded = skreg.io.load(tmp_path / "m.skops")
    assert (loaded.predict_proba(X) == model.predict_proba(X)).all()


# Frames that differ from that of the fit ---------------------------------------------


@every_library
def test_columns_are_taken_by_name(library, fitted):
    X = FRAMES[library]()
    expected = fitted[library].predict_proba(X)
    turned = X[list(X.columns)[::-1]]
    assert (fitted[library].predict_proba(turned) == expected).all()


@every_library
def test_further_columns_are_ignored_with_one_warning(library, fitted):
    X = FRAMES[library]()
    more = with_column(with_column(X, "target", [1] * N), "row", list(range(N)))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        predicted = fitted[library].predict(more)
    (message,) = (str(each.message) for each in said)
    assert "'target', 'row'" in message
    assert (predicted == fitted[library].predict(X)).all()


@every_library
def test_a_missing_column_is_refused(library, fitted):
    X = FRAMES[library]()
    names = [name for name in X.columns if name not in {"gap", "text"}]
    with pytest.raises(ValueError, match=r"lacks columns .* with: 'gap', 'text'"):
        fitted[library].predict(X[names])


@every_library
@pytest.mark.parametrize(
    ("name", "held", "value"),
    [
        ("number", "numbers", "much"),
        ("few", "numbers", "1,5"),
        ("number", "numbers", "2020-01-05"),
        ("gap", "numbers", "none at all"),
        ("number_as_text", "numbers", "1o"),
        ("boolean", "numbers", "perhaps"),
        ("day", "dates", "yesterday"),
        ("date", "dates", "some day"),
    ],
)
def test_text_in_place_of_numbers_or_dates_is_refused(
    library, name, held, value, fitted
):
    X = FRAMES[library]()
    old = [str(each) for each in list(X[name])]
    first = next(i for i, each in enumerate(old) if each not in {"None", "nan", "NaT"})
    values = [None] * N
    values[first + 2] = value
    values[first + 7] = value
    with pytest.raises(ValueError, match=f"Column '{name}' held {held}") as error:
        fitted[library].predict(with_column(X, name, values))
    assert f"{value!r} in row {first + 2} (counted from 0; 2 such" in str(error.value)


@every_library
def test_dates_in_place_of_numbers_and_numbers_in_place_of_dates(library, fitted):
    X = FRAMES[library]()
    dates, numbers = X["date"], X["number"]
    put = (
        (lambda name, column: X.assign(**{name: column}))
        if library == "pandas"
        else (lambda name, column: X.with_columns(column.alias(name)))
    )
    with pytest.raises(ValueError, match="Column 'number' held numbers"):
        fitted[library].predict(put("number", dates))
    for name in "date", "day":
        with pytest.raises(ValueError, match=f"Column '{name}' held dates"):
            fitted[library].predict(put(name, numbers))


@every_library
def test_durations_are_numbers_of_which_some_are_missing(library):
    hours = [None if i % 7 == 3 else timedelta(hours=i) for i in range(N)]
    X = in_library(pd.DataFrame({"a": pd.Series(hours)}), library)
    encoded = tabular_pipeline(small())[:-1].fit_transform(X, y)
    numbers = np.arange(N)
    gaps = numbers % 7 == 3
    filled = np.where(gaps, numbers[~gaps].mean(), numbers)
    np.testing.assert_allclose(encoded["a"], scaled(filled), atol=1e-5)
    assert "missingindicator_a" in encoded.columns


def test_text_in_place_of_durations():
    hours = pd.DataFrame({"a": pd.to_timedelta(np.arange(N), unit="h")})
    model = tabular_pipeline(small()).fit(hours, y)
    with pytest.raises(ValueError, match=r"Column 'a' held .* now has 'long' in row 0"):
        model.predict(pd.DataFrame({"a": ["long"]}))


@every_library
def test_numbers_as_text_and_their_words_for_missing_are_taken(library, fitted):
    X = FRAMES[library]()
    text = with_column(X, "number", [str(each) for each in X["number"]])
    np.testing.assert_allclose(
        fitted[library].predict_proba(text),
        fitted[library].predict_proba(X),
        atol=1e-5,
    )
    gaps = with_column(X, "number_as_text", ["N/A"] * N)
    assert np.isfinite(fitted[library].predict_proba(gaps)).all()


NOTHING = {
    "pandas": ["object", "float64", "string"],
    "polars": [pl.Null, pl.String, pl.Float64],
}


@pytest.mark.parametrize(
    ("library", "dtype"),
    [
        pytest.param(library, dtype, marks=pytest.mark.slow if i else ())
        for library, dtypes in NOTHING.items()
        for i, dtype in enumerate(dtypes)
    ],
)
def test_any_column_may_be_missing_altogether(library, dtype, fitted):
    X = FRAMES[library]()[:2]
    for name in X.columns:
        if library == "pandas":
            gone = X.assign(**{name: pd.Series([None] * 2, dtype=dtype)})
        else:
            gone = with_column(X, name, [None] * 2, dtype)
        assert np.isfinite(fitted[library].predict_proba(gone)).all()
    row = dict.fromkeys(X.columns)
    whole = pd.DataFrame([row]) if library == "pandas" else pl.DataFrame([row])
    assert np.isfinite(fitted[library].predict_proba(whole)).all()


@every_library
def test_new_words(library, fitted):
    X = with_column(FRAMES[library](), "word", ["violet"] * N)
    X = with_column(X, "text", ["a villa"] * N)
    names = list(fitted[library][:-1].get_feature_names_out())
    encoded = np.asarray(fitted[library][:-1].transform(X))
    assert (encoded[:, [names.index(f"word_{v}") for v in ("red", "blue")]] == 0).all()


def test_another_library_is_refused(fitted):
    with pytest.raises(TypeError, match=r"of pandas, .* fitted with one of polars"):
        fitted["polars"].predict(pandas_frame())
    with pytest.raises(TypeError, match=r"of polars, .* fitted with one of pandas"):
        fitted["pandas"].predict(polars_frame())


# What is no such frame ---------------------------------------------------------------


@pytest.mark.parametrize(
    "X",
    [
        np.zeros((N, 2)),
        [[0.0, 1.0]] * N,
        sparse.eye_array(N).tocsr(),
        pd.Series(np.zeros(N)),
        pl.Series(np.zeros(N)),
        pl.DataFrame({"a": np.zeros(N)}).lazy(),
        pl.DataFrame({"a": np.zeros(N)}).to_arrow(),
    ],
    ids=lambda X: type(X).__name__,
)
def test_other_tables_are_refused(X):
    with pytest.raises(TypeError, match=r"X is a .* must be a data frame of pandas or"):
        tabular_pipeline(small()).fit(X, y)


def test_sparse_columns_are_refused_by_name():
    X = pd.DataFrame({"a": pd.arrays.SparseArray(np.arange(N))})
    with pytest.raises(TypeError, match=r"'a'.*sparse"):
        tabular_pipeline(small()).fit(X, y)


@pytest.mark.parametrize("names", [["a", "b", "a"], [1, "b", "1"]])
def test_a_name_that_comes_twice_is_refused(names, fitted):
    X = pd.DataFrame(np.zeros((N, 3)), columns=names)
    with pytest.raises(ValueError, match=f"same name: '{names[0]}'. Rename"):
        tabular_pipeline(small()).fit(X, y)
    twice = pd.concat([pandas_frame(), pandas_frame()[["gap"]]], axis="columns")
    with pytest.raises(ValueError, match=r"same name: 'gap'. Rename"):
        fitted["pandas"].predict(twice)


@pytest.mark.parametrize(
    "names",
    [[3, 1, 2], [1.5, "x", 2], pd.MultiIndex.from_product([["a"], [1, 2, 3]])],
)
def test_names_that_are_no_text(names):
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(N, 3)), columns=names)
    model = tabular_pipeline(small()).fit(X, y)
    expected = model.predict_proba(X)
    assert (model.predict_proba(X[X.columns[::-1]]) == expected).all()
    # As a file has them.
    text = X.set_axis([str(name) for name in X.columns], axis="columns")
    assert (model.predict_proba(text) == expected).all()
    assert list(model.feature_names_in_) == list(text.columns)


@pytest.mark.parametrize(
    "X", [pd.DataFrame({"a": [None] * N}), pd.DataFrame(index=range(N))]
)
def test_a_frame_without_values_is_refused(X):
    with pytest.raises(ValueError, match="X has no column with values"):
        tabular_pipeline(small()).fit(X, y)


def test_a_frame_of_which_nothing_is_left_is_refused():
    dropped = tabular_pipeline(small(), numeric="drop")
    with pytest.raises(ValueError, match=r"all of them are dropped; .* 'number'"):
        dropped.fit(pandas_frame()[["number"]], y)


def test_a_failed_fit_leaves_the_model():
    model = tabular_pipeline(small())
    X = pandas_frame()
    model.fit(X, y)
    expected = model[:-1].transform(X)
    with pytest.raises(ValueError, match="no column"):
        model.fit(X[["empty"]], y)
    pd.testing.assert_frame_equal(model[:-1].transform(X), expected)


@every_library
@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e300])
def test_infinite_numbers_are_refused(library, value, fitted):
    X = FRAMES[library]()
    gaps = X["gap"].to_list()
    gaps[3] = gaps[8] = value
    infinite = with_column(X, "gap", gaps, "float64" if library == "pandas" else None)
    for call in fitted[library].predict, partial(tabular_pipeline(small()).fit, y=y):
        with pytest.raises(ValueError, match=r"Column 'gap' has .* infinite or") as got:
            call(infinite)
        assert f"{value!r} in row 3 (counted from 0; 2 such" in str(got.value)


@every_library
@pytest.mark.parametrize(
    "cell", [[1, 2], (1, 2), {"a": 1}, {1, 2}, np.zeros(2), 1 + 2j], ids=repr
)
def test_cells_with_parts_are_refused(library, cell, fitted):
    X = FRAMES[library]()
    cells = [None] * 5 + [cell] + [None] * (N - 6)
    objects = library == "polars" and not isinstance(cell, list | tuple | dict)
    dtype = pl.Object if objects else None
    for name in "number", "word":
        parts = with_column(X, name, cells, dtype)
        for call in (
            fitted[library].predict,
            partial(tabular_pipeline(small()).fit, y=y),
        ):
            with pytest.raises(TypeError, match=f"Column '{name}' has .* in row 5"):
                call(parts)


def test_complex_numbers_are_refused(fitted):
    X = pandas_frame().assign(number=np.arange(N) * 1j)
    with pytest.raises(TypeError, match="Column 'number' has 0j in row 0"):
        fitted["pandas"].predict(X)


@every_library
def test_a_frame_without_rows_is_refused(library, fitted):
    X = FRAMES[library]()[:0]
    with pytest.raises(ValueError, match="X has no rows"):
        fitted[library].predict(X)
    with pytest.raises(ValueError, match="X has no rows"):
        tabular_pipeline(small()).fit(X, y[:0])


# Without the extra -------------------------------------------------------------------


@pytest.mark.parametrize(
    "model",
    [
        RegularizedMLPClassifier(),
        RegularizedMLPClassifierCV(),
        RegularizedMLPEnsemble(),
        RegularizedMLPEnsemble(RegularizedMLPClassifier()),
        RegularizedMLPEnsemble([RegularizedMLPClassifier(lambd=x) for x in (1, 2)]),
        GridSearchCV(RegularizedMLPClassifier(), {}),
        make_pipeline(PowerTransformer(), RegularizedMLPClassifier()),
    ],
)
def test_no_network_standardises_once_more(model):
    """And nobody else's parameter of that name changes."""
    before = repr(model)
    found = tabular_pipeline(model)[-1]
    assert repr(model) == before
    parts = [found, *found.get_params().values()]
    parts += [each for part in parts if isinstance(part, list) for each in part]
    ours = RegularizedMLPClassifier, RegularizedMLPClassifierCV
    networks = [part for part in parts if isinstance(part, ours)]
    assert networks
    assert not any(network.standardize for network in networks)
    others = [part for part in parts if isinstance(part, PowerTransformer)]
    assert all(other.standardize for other in others)
    own = tabular_pipeline(model, numeric="passthrough")[-1]
    assert own is model


def test_without_skrub(monkeypatch):
    monkeypatch.setitem(sys.modules, "skrub", None)
    with pytest.raises(ImportError, match=r'pip install "skreg\[table\]"'):
        tabular_pipeline()


def test_the_core_needs_no_library_of_frames():
    # scikit-learn imports pandas where it is.
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['skrub', 'pandas', 'polars']));"
        "import skreg"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_where_the_home_directory_cannot_be_written(tmp_path):
    # skrub makes a folder there when it is imported.
    (tmp_path / "file").touch()
    code = (
        "import skreg, pandas;"
        "skreg.tabular_pipeline()[:-1].fit_transform(pandas.DataFrame({'a': [1, 2]}))"
    )
    environment = os.environ | {"HOME": str(tmp_path / "file" / "home")}
    environment |= {"TMPDIR": str(tmp_path), "PYTHONPATH": str(helpers.ROOT)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
