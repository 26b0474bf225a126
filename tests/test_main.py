"""The command ``skreg``, from its arguments to its exit status."""

import errno
import io
import os
import re
import sys
import threading
import tracemalloc
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from unittest import mock

import joblib
import numpy as np
import pandas as pd
import pytest
from helpers import run_python
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from sklearn import ensemble
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    log_loss,
    roc_auc_score,
)
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skreg
import skreg.__main__ as command
import skreg.io

SPECIES = np.array(["setosa", "versicolor", "virginica"])


def make_quick(monkeypatch):
    """A small search, little boosting and short trainings."""
    search = partial(
        skreg.RegularizedMLPClassifierCV,
        (0.3, 1.0),
        (0.9,),
        cv=2,
        n_refits=1,
        hidden_layer_sizes=(12,),
        max_iter=30,
    )
    monkeypatch.setattr(skreg, "RegularizedMLPClassifierCV", search)
    boosting = partial(ensemble.HistGradientBoostingClassifier, max_iter=5)
    monkeypatch.setattr(ensemble, "HistGradientBoostingClassifier", boosting)
    monkeypatch.setitem(command.TRAINING, "max_iter", 30)


@pytest.fixture
def quick(monkeypatch):
    make_quick(monkeypatch)


def iris_table():
    """Iris with text, an identifier, an empty column and gaps."""
    rng = np.random.default_rng(0)
    iris = load_iris()
    table = pd.DataFrame(iris.data, columns=["s length", "s width", "p length", "w"])
    table = table.mask(rng.random(table.shape) < 0.05)
    table.insert(0, "id", [f"id-{i:03}" for i in range(150)])
    table["colour"] = np.where(iris.target == 0, "red", "blue")
    table["empty"] = None
    table["species"] = SPECIES[iris.target]
    return table


def scores_of(text):
    """The printed table of scores: for each model the numbers under their heads."""
    (head,) = re.findall(r"^ {23}( .*\S)$", text, re.MULTILINE)
    names = re.split(r" {3,}", head.strip())
    rows = re.findall(r"^(.{23})((?: +\d+\.\d{3})+)$", text, re.MULTILINE)
    return {
        name.strip(): dict(zip(names, map(float, numbers.split()), strict=True))
        for name, numbers in rows
    }


@pytest.fixture
def iris(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = iris_table()
    table.to_csv("iris.csv", index=False)
    return table


TRAIN_IRIS = ["train", "iris.csv", "--target", "species", "--jobs", "1"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The bytes of a model of iris, trained once."""
    folder = tmp_path_factory.mktemp("trained")
    iris_table().to_csv(folder / "iris.csv", index=False)
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        make_quick(patched)
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            assert command.main(TRAIN_IRIS) == 0
    return (folder / "iris.skops").read_bytes()


@pytest.fixture
def model_file(iris, trained):
    """The model beside its table."""
    Path("iris.skops").write_bytes(trained)


# Training and predicting -------------------------------------------------------------


def test_what_is_printed_of_a_training(iris, quick, capsys):
    assert command.main([*TRAIN_IRIS, "--out", "m.skops"]) == 0
    out, err = capsys.readouterr()
    for name, kind in {
        "id": "identifier",
        "s length": "numeric",
        "colour": "low_cardinality",
        "empty": "no values",
        "species": "target",
    }.items():
        missing = iris[name].isna().sum()
        assert re.search(rf"^{name} +{missing} +{kind}$", out, re.MULTILINE)
    assert "112 rows to train, 38 held out" in out
    scores = scores_of(out)
    assert list(scores) == ["network", "gradient boosting", "majority class"]
    for species in SPECIES:
        assert re.search(rf"^ +{species}( +\d\.\d{{3}}){{3}} +1[23]$", out, re.M)
    assert re.search(r"^The search chose lambd=(0\.3|1), keep_prob=0\.9, ", out, re.M)
    assert out.endswith("Saved the model fitted to all 150 rows: m.skops\n")
    assert "note: 'id' is left out: identifier (--keep 'id' keeps it)\n" in err
    assert "note: 'empty' is left out: no values\n" in err
    assert re.search(r"^Done \d+ of 4 fits, about \d+ s left$", err, re.M)
    assert "Warning" not in err


def test_the_scores_are_those_of_the_held_out_rows(iris, quick, capsys):
    iris = iris[iris["species"] != "setosa"]
    iris.to_csv("iris.csv", index=False)
    assert command.main(TRAIN_IRIS) == 0
    network = scores_of(capsys.readouterr().out)["network"]
    X, y = iris.drop(columns=["id", "empty", "species"]), iris["species"].to_numpy()
    X, X_test, y, y_test = train_test_split(X, y, stratify=y, random_state=0)
    search = skreg.RegularizedMLPClassifierCV(standardize=False, random_state=0)
    model = skreg.tabular_pipeline(search).fit(X, y)
    P, predicted = model.predict_proba(X_test), model.predict(X_test)
    expected = {
        "AUC": roc_auc_score(y_test == "virginica", P[:, 1]),
        "log-loss": log_loss(y_test, P),
        "accuracy": accuracy_score(y_test, predicted),
        "balanced accuracy": balanced_accuracy_score(y_test, predicted),
        "train log-loss": log_loss(y, model.predict_proba(X)),
    }
    assert network == pytest.approx(expected, abs=6e-4)


def test_the_saved_model_is_a_pipeline_fitted_to_all_rows(iris, model_file):
    model = skreg.io.load("iris.skops")
    scaler = (
        model[0].numeric_.transformers_[0][1][-1].named_transformers_["standardscaler"]
    )
    values = iris["s length"].fillna(iris["s length"].mean())
    assert scaler.mean_[0] == pytest.approx(values.mean(), rel=1e-6)
    # As pandas reads it, in another order and with what was left out.
    read = pd.read_csv("iris.csv")
    with pytest.warns(UserWarning, match=r"which are ignored: .*'id'"):
        predicted = model.predict(read[read.columns[::-1]])
    assert accuracy_score(iris["species"], predicted) > 0.9
    assert command.main(["predict", "iris.skops", "iris.csv", "--out", "o.csv"]) == 0
    np.testing.assert_array_equal(pd.read_csv("o.csv")["prediction"], predicted)


@pytest.mark.parametrize("out", [None, "o.csv", "o.parquet"])
@pytest.mark.parametrize("probabilities", [[], ["--probabilities"]])
def test_predictions(iris, model_file, out, probabilities, capsys):
    rows = iris.sample(frac=1, random_state=1).drop(columns=["species", "empty"])
    rows[rows.columns[::-1]].to_csv("rows.csv", index=False, sep=";")
    capsys.readouterr()
    args = ["predict", "iris.skops", "rows.csv", *probabilities]
    assert command.main([*args, *(["--out", out] if out else [])]) == 0
    printed, err = capsys.readouterr()
    assert err == ""
    if out is None:
        found = pd.read_csv(io.StringIO(printed))
    else:
        found = pd.read_parquet(out) if "parquet" in out else pd.read_csv(out)
        assert printed == ""
    model = skreg.io.load("iris.skops")
    X = iris.loc[rows.index, model.feature_names_in_]
    np.testing.assert_array_equal(found["prediction"], model.predict(X))
    names = [f"probability_{name}" for name in SPECIES] if probabilities else []
    assert list(found.columns) == ["prediction", *names]
    if probabilities:
        np.testing.assert_allclose(found[names], model.predict_proba(X), rtol=1e-5)


@pytest.mark.parametrize("out", [[], ["--out", "o.csv"]])
def test_predictions_are_judged_where_the_classes_are_known(
    iris, model_file, out, capsys
):
    iris.loc[:9, "species"] = ["", "NA", "rose", "lily", "tulip"] * 2
    iris.to_csv("rows.csv", index=False)
    capsys.readouterr()
    assert command.main(["predict", "iris.skops", "rows.csv", *out]) == 0
    printed = capsys.readouterr()
    assert "140 of 150 rows are of a class that the model knows" in printed.err
    (scores,) = scores_of(printed.out if out else printed.err).values()
    model = skreg.io.load("iris.skops")
    X, y = iris.loc[10:, model.feature_names_in_], iris.loc[10:, "species"]
    assert scores["accuracy"] == pytest.approx(model.score(X, y), abs=6e-4)
    assert scores["log-loss"] == pytest.approx(
        log_loss(y, model.predict_proba(X)), abs=6e-4
    )


def test_a_class_of_another_type_is_judged_too(tmp_path, monkeypatch, quick, capsys):
    monkeypatch.chdir(tmp_path)
    rows = pd.DataFrame({"x": np.arange(80) % 7 / 3, "y": np.arange(80) % 7 > 3})
    rows.astype({"y": int}).to_csv("t.csv", index=False)
    assert command.main(["train", "t.csv", "--target", "y", "--jobs", "1"]) == 0
    for written in rows, rows.astype({"y": float}):
        written.to_csv("p.csv", index=False)
        capsys.readouterr()
        assert command.main(["predict", "t.skops", "p.csv"]) == 0
        assert "80 of 80 rows are of a class" in capsys.readouterr().err


def test_the_decimal_point_of_new_rows_may_be_given(iris, model_file, capsys):
    args = ["predict", "iris.skops", "rows.csv"]
    iris.to_csv("rows.csv", index=False)
    capsys.readouterr()
    assert command.main(args) == 0
    expected = capsys.readouterr().out
    # Three decimals with a comma could be thousands as well.
    names = ["s length", "s width", "p length", "w"]
    written = iris.copy()
    for name in names:
        written[name] = [f"{x:.3f}".replace(".", ",") for x in iris[name]]
    written = written.replace("nan", None)
    written.to_csv("rows.csv", index=False, sep=";")
    assert command.main([*args, "--decimal", ","]) == 0
    assert capsys.readouterr().out == expected


def test_the_model_has_the_name_of_its_table(iris, quick):
    iris.to_csv("sales.2024.csv.gz", index=False)
    args = ["train", "sales.2024.csv.gz", "--target", "species", "--jobs", "1"]
    assert command.main(args) == 0
    assert sorted(os.listdir()) == ["iris.csv", "sales.2024.csv.gz", "sales.2024.skops"]


def test_columns_are_dropped_and_kept(iris, quick, capsys):
    options = ["--drop", "colour", "w", "--drop", "empty", "--keep", "id"]
    assert command.main([*TRAIN_IRIS, *options]) == 0
    names = ["id", "s length", "s width", "p length"]
    assert list(skreg.io.load("iris.skops").feature_names_in_) == names
    assert "note: 'id'" not in capsys.readouterr().err


def test_the_options_reach_the_search(iris, monkeypatch, capsys):
    asked = []

    def fit(self, X, y):
        asked.append((self.n_jobs, self.scoring, self.random_state))
        raise ValueError("enough")

    monkeypatch.setattr(skreg.RegularizedMLPClassifierCV, "fit", fit)
    args = ["train", "iris.csv", "--target", "species"]
    options = ["--jobs", "3", "--scoring", "neg_log_loss", "--seed", "7"]
    assert command.main([*args, *options]) == 2
    assert command.main(args) == 2
    assert asked == [(3, "neg_log_loss", 7), (min(5, joblib.cpu_count()), "auto", 0)]
    assert capsys.readouterr().err.endswith("skreg: error: iris.csv: enough\n")


@pytest.mark.slow
def test_the_seed_is_that_of_splits_and_networks(iris, quick, capsys):
    def run(seed):
        assert command.main([*TRAIN_IRIS, "--seed", seed]) == 0
        predict = ["predict", "iris.skops", "iris.csv", "--probabilities"]
        assert command.main(predict) == 0
        return capsys.readouterr().out

    first, again, other = run("3"), run("3"), run("4")
    assert first == again
    assert first.splitlines()[-151:] != other.splitlines()[-151:]


@pytest.mark.parametrize("way", ["cut", "bit", "csv", "pickle", "network", "newer"])
def test_files_that_are_no_whole_models_are_refused(iris, model_file, way, capsys):
    data, words = Path("iris.skops").read_bytes(), "damaged"
    if way == "cut":
        data = data[:-100]
    elif way == "bit":
        data = data[:1000] + bytes([data[1000] ^ 1]) + data[1001:]
    elif way == "csv":
        data = Path("iris.csv").read_bytes()
    elif way == "pickle":
        joblib.dump(skreg.io.load("iris.skops"), "iris.skops")
        data = Path("iris.skops").read_bytes()
    else:
        network = skreg.RegularizedMLPClassifier(max_iter=2, early_stopping=False)
        network.fit([[0.0], [1.0]] * 4, [0, 1] * 4)
        words = "holds no model of skreg train"
        if way == "newer":
            state = network.__getstate__() | {
                "_skreg_format": 99,
                "_skreg_version": "99.0",
            }
            later = mock.Mock(return_value=state)
            with mock.patch.object(type(network), "__getstate__", later):
                skreg.io.dump(network, "iris.skops")
            words = "99.0"
        else:
            skreg.io.dump(network, "iris.skops")
        data = Path("iris.skops").read_bytes()
    Path("iris.skops").write_bytes(data)
    capsys.readouterr()
    assert command.main(["predict", "iris.skops", "iris.csv"]) == 2
    assert_one_error(capsys, "iris.skops", words)


def test_an_interrupted_write_leaves_the_old_model(iris, quick, monkeypatch, capsys):
    Path("iris.skops").write_bytes(b"the old model")

    def fail(source, target):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "replace", fail)
    assert command.main(TRAIN_IRIS) == 2
    assert capsys.readouterr().err.endswith(": Invalid cross-device link\n")
    assert Path("iris.skops").read_bytes() == b"the old model"
    assert sorted(os.listdir()) == ["iris.csv", "iris.skops"]


def test_odd_cells_in_new_rows_are_refused_by_name(iris, model_file, capsys):
    capsys.readouterr()
    iris.astype({"w": object}).assign(w="wide").to_csv("rows.csv", index=False)
    assert command.main(["predict", "iris.skops", "rows.csv"]) == 2
    assert_one_error(capsys, "Column 'w' held numbers", "'wide' in row 0")
    iris.drop(columns=["w", "colour"]).to_csv("rows.csv", index=False)
    assert command.main(["predict", "iris.skops", "rows.csv"]) == 2
    assert_one_error(capsys, "lacks columns", "'w'", "'colour'")


@pytest.mark.parametrize(
    "row", [0, 4, *(pytest.param(row, marks=pytest.mark.slow) for row in (1, 2, 3))]
)
def test_an_odd_cell_may_be_in_any_row(iris, quick, row, capsys):
    # Among those held out as well, which a model of the others has not seen.
    table = iris.astype({"w": object})
    table.loc[row::20, "w"] = [f"ca. {i}" for i in range(len(table.loc[row::20]))]
    table.loc[:1, "species"] = None
    table.to_csv("iris.csv", index=False)
    assert command.main(TRAIN_IRIS) == 0
    first = f"'ca. 0' in row {row}" if row > 1 else f"'ca. 1' in row {row + 20}"
    odd = f"'w' holds numbers, but for {first} (counted from 0"
    assert odd in capsys.readouterr().err


def test_a_table_that_is_no_utf8_is_a_note(iris, quick, capsys):
    iris["colour"] = iris["colour"].replace("red", "rosé")
    iris.to_csv("iris.csv", index=False, encoding="cp1252")
    note = "note: it is no UTF-8, and is read as cp1252\n"
    assert command.main(TRAIN_IRIS) == 0
    assert note in capsys.readouterr().err
    assert command.main([*TRAIN_IRIS, "--encoding", "cp1252"]) == 0
    assert note not in capsys.readouterr().err
    names = skreg.io.load("iris.skops")[:-1].get_feature_names_out()
    assert "colour_rosé" in names


# The report --------------------------------------------------------------------------


def test_the_report_judges_by_rows_that_the_network_has_not_seen(
    iris, quick, monkeypatch, capsys
):
    reported = []
    monkeypatch.setattr(command.report, "write", lambda *args: reported.append(args))
    assert command.main([*TRAIN_IRIS, "--report", "r.html"]) == 0
    ((path, text, model, X, y),) = reported
    assert path == Path("r.html")
    out = capsys.readouterr().out
    assert text.rstrip("\n") in out
    loss = log_loss(y, model.predict_proba(X))
    assert scores_of(out)["network"]["log-loss"] == pytest.approx(loss, abs=6e-4)


def test_a_report_that_fails_leaves_the_model(iris, quick, monkeypatch, capsys):
    failure = mock.Mock(side_effect=RuntimeError("no picture"))
    monkeypatch.setattr(command.report, "write", failure)
    assert command.main([*TRAIN_IRIS, "--report", "r.html"]) == 2
    assert capsys.readouterr().err.endswith("skreg: error: iris.csv: no picture\n")
    assert skreg.io.load("iris.skops").target_ == "species"


@pytest.mark.slow
def test_the_report(iris, quick, monkeypatch, capsys):
    drawn = []
    save = Figure.savefig

    def keep(figure, *args, **kwargs):
        drawn.extend(figure.axes)
        return save(figure, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", keep)
    iris = iris.rename(columns={"w": "<script>w</script>", "p length": "$}$ $^_"})
    iris["species"] = iris["species"].replace("setosa", "$}$ <b>")
    iris.to_csv("iris.csv", index=False)
    assert command.main([*TRAIN_IRIS, "--report", "r.html"]) == 0
    search, loss, calibration, confusion, importance, *bars = drawn
    assert search.get_ylabel() == "lambd"
    assert loss.get_xlabel() == "epoch"
    names = [text.get_text() for text in calibration.get_legend().get_texts()]
    assert set(names) > {"$}$ <b>", "versicolor", "virginica"}
    counts = np.array([int(text.get_text()) for text in confusion.texts]).reshape(3, 3)
    assert counts.sum() == 38
    labels = {text.get_text() for text in importance.get_yticklabels()}
    assert labels == {"s length", "s width", "$}$ $^_", "<script>w</script>", "colour"}
    assert len(bars) == 2
    out = capsys.readouterr().out
    page = Path("r.html").read_text(encoding="utf-8")
    # It asks nobody for anything, and names of columns are no markup.
    assert not re.search(r"https?:|<script|<link|url\(|src=\"(?!data:)", page)
    assert "&lt;script&gt;w" in page
    assert 'name="viewport"' in page
    assert str(scores_of(out)["network"]["log-loss"]) in page
    (picture,) = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    assert len(picture) > 10_000


# The bundled data --------------------------------------------------------------------


def test_the_four_networks_and_the_search(tmp_path, monkeypatch, quick, capsys):
    monkeypatch.chdir(tmp_path)
    assert command.main(["--jobs", "1"]) == 0
    out, err = capsys.readouterr()
    assert os.listdir() == []
    scores = scores_of(out)
    assert list(scores) == [
        "search",
        "lambd=0, keep_prob=1",
        "lambd=0, keep_prob=0.5",
        "lambd=4, keep_prob=1",
        "lambd=4, keep_prob=0.5",
    ]
    for name in scores:
        assert f"fitting to 426 rows: {name}\n" in err
    assert "Warning" not in err
    X, y = load_breast_cancer(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, stratify=y, random_state=0)
    network = skreg.RegularizedMLPClassifier(
        lambd=4, keep_prob=0.5, max_iter=30, early_stopping=False, averaging=0.0
    )
    model = make_pipeline(StandardScaler(), network.set_params(random_state=0))
    model.fit(X, y)
    row = scores["lambd=4, keep_prob=0.5"]
    assert row["accuracy"] == pytest.approx(model.score(X_test, y_test), abs=6e-4)
    of_test = log_loss(y_test, model.predict_proba(X_test))
    assert row["log-loss"] == pytest.approx(of_test, abs=6e-4)
    of_train = log_loss(y, model.predict_proba(X))
    assert row["train log-loss"] == pytest.approx(of_train, abs=6e-4)


@pytest.mark.slow
def test_the_report_of_the_bundled_data(tmp_path, quick):
    assert command.main(["--jobs", "1", "--report", str(tmp_path / "r.html")]) == 0
    assert "base64" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_ctrl_c_is_one_line_and_status_130(monkeypatch, capsys):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(skreg.RegularizedMLPClassifier, "fit", interrupt)
    monkeypatch.setattr(skreg.RegularizedMLPClassifierCV, "fit", interrupt)
    assert command.main([]) == 130
    out, err = capsys.readouterr()
    assert out == "Breast cancer\n\n"
    assert err.splitlines()[-1] == "skreg: interrupted"
    assert "Traceback" not in err


# Errors ------------------------------------------------------------------------------

ABC = "x,y\n" + "1.5,a\n2.25,b\n" * 10
FLOATS = "x,y\n" + "".join(f"{i / 3},{i / 7}\n" for i in range(40))
PRICES = "x,y\n" + "".join(f"1,{i * 10}\n" for i in range(40))
WIDE = ",".join(f"c{i}" for i in range(12)) + "\n" + ",".join("1" * 12) + "\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", ["table.csv", "No columns"]),
        ("\n\n", ["table.csv", "No columns"]),
        ("x,y\n", ["'y' has 0 different values"]),
        (ABC + '"' + "q" * 200_000 + ",a\n", ["table.csv", "EOF inside string"]),
        ("x,y\n" + "1,a\n-2e200,b\n" * 9, ["'x'", "-2e+200", "row 1"]),
        ("\x1b[31mx,\x1b]0;y\x07\n1,2\n", [r"'\x1b[31mx', '\x1b]0;y\x07'"]),
        ("x\x9b,x\x9b,y\n1,2,3\n", ["duplicate column names", r"'x\x9b'"]),
        ("x,x,z,y,z\n1,2,3,a,4\n", ["duplicate column names: 'x', 'z'"]),
        (WIDE, ["no column 'y'", "'c0'", "'c9', ..."]),
        ("x,z\n1,2\n", ["no column 'y'; there are 'x', 'z'"]),
        ("x,y\n1,a\n2,b,c\n", ["table.csv", "Expected 2 fields in line 3, saw 3"]),
        ("x,y\n1,a\n2,a\n3,a\n", ["'y' has 1 different values", "'a' in 3 rows"]),
        ("x,y\n1,a\n2,\n3,a\n", ["'y' has 1 different values", "'a' in 2 rows"]),
        ("x,y\n1,NA\n2,\n", ["'y' has 0 different values"]),
        (FLOATS, ["'y' has 40 different values", "in 1 rows", "classes are few"]),
        ("x,y\n" + "1,0.5\n2,2.25\n", ["'y' has 2 different values", "in 1 rows"]),
        (PRICES, ["'y' has 40 different values", "classes are few"]),
        ("y\n" + "a\nb\n" * 10, ["table.csv: no column beside 'y' says anything"]),
        (
            "x,y\n" + "NA,a\n,b\n" * 10,
            ["table.csv: no column beside 'y' says anything"],
        ),
        (ABC + "3,rare\n" * 3, ["'rare' in 3 rows"]),
        (b"x,y\n\x81\x8d,a\n", ["table.csv", "--encoding"]),
        (ABC.encode("utf-16-le"), ["table.csv: no column 'y'"]),
    ],
)
def test_a_bad_table_gives_one_line_and_status_2(
    tmp_path, monkeypatch, capsys, content, words
):
    monkeypatch.chdir(tmp_path)
    data = content if isinstance(content, bytes) else content.encode()
    Path("table.csv").write_bytes(data)
    assert command.main(["train", "table.csv", "--target", "y"]) == 2
    assert_one_error(capsys, *words)
    assert os.listdir() == ["table.csv"]


def assert_one_error(capsys, *words):
    """Assert one line of error after the notes, if any, and no progress or result."""
    out, err = capsys.readouterr()
    lines = [line for line in err.splitlines() if not line.startswith("note: ")]
    assert len(lines) == 1, err
    assert lines[0].startswith("skreg: error: ")
    for word in words:
        assert word in lines[0]
    assert out == ""
    assert all(line.isprintable() for line in err.splitlines())


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("t.csv.gz", b"no gzip"),
        ("t.csv.gz", b"\x1f\x8b\x08\0\0\0\0\0\0\x03"),
        ("t.csv.bz2", b"no bzip2"),
        ("t.csv.xz", b"no xz"),
        ("t.csv.zip", b"no zip"),
        ("t.parquet", b"no Parquet"),
        ("t.parquet", b""),
        # No text in any of the encodings.
        ("t.csv", bytes(range(1, 256)) * 20),
    ],
)
def test_files_that_are_not_what_their_names_say(tmp_path, capsys, name, data):
    (tmp_path / name).write_bytes(data)
    assert command.main(["train", str(tmp_path / name), "--target", "y"]) == 2
    assert_one_error(capsys, name)


def test_a_missing_table_a_folder_and_a_device(tmp_path, capsys):
    for path in str(tmp_path / "none.csv"), str(tmp_path / "none.parquet"):
        assert command.main(["train", path, "--target", "y"]) == 2
        assert_one_error(capsys, f"error: {path}: ")
    # The second never ends.
    for path in str(tmp_path), "/dev/zero":
        assert command.main(["train", path, "--target", "y"]) == 2
        assert_one_error(capsys, f"{path}", "neither a file nor a pipe")
    assert command.main(["predict", str(tmp_path / "m"), str(tmp_path / "t")]) == 2
    assert_one_error(capsys, "No such file")


def test_a_table_may_come_by_a_pipe(tmp_path, capsys):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writes = threading.Thread(target=pipe.write_text, args=("x,y\n1,a\n",))
    writes.start()
    assert command.main(["train", str(pipe), "--target", "z"]) == 2
    writes.join()
    assert_one_error(capsys, "no column 'z'; there are 'x', 'y'")


def test_a_table_of_a_million_columns(tmp_path, capsys):
    table = tmp_path / "t.csv"
    table.write_text("x," * 10**6 + "y\n" + "1," * 10**6 + "a\n")
    tracemalloc.start()
    assert command.main(["train", str(table), "--target", "y"]) == 2
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert_one_error(capsys, "t.csv", "more columns than the 5000")
    assert peak < 50e6


def test_formulas_and_markup_are_text(tmp_path, monkeypatch, quick):
    monkeypatch.chdir(tmp_path)
    cells = ["=cmd|' /C calc'!A0", "@SUM(1+1)", "+1+cmd", "${jndi:x}", "__class__"]
    rows = {"__class__": cells * 10, "-rf": ["{0.__class__}"] * 50, "y": [0, 1] * 25}
    pd.DataFrame(rows).to_csv("t.csv", index=False)
    assert command.main(["train", "t.csv", "--target", "y", "--jobs", "1"]) == 0
    names = skreg.io.load("t.skops")[:-1].get_feature_names_out()
    assert {f"__class___{cell}" for cell in cells} <= set(names)


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_a_table_or_one_error(data, tmp_path_factory):
    """Up to the encoding, which would take long."""
    cells = ["1", "-2.5", "a", "", "NA", '"', '""', ",", "\r", "\n", "\0", "\ufeff"]
    cells += ["'", "=1+1", "inf", "1_0", "1e308", "\x1b[2J", "\u202e", "\udcff", "é"]
    cells += ["\x85", "1,5", "1.234,5", ";", "\t", "True", "2020-01-01", "None"]
    cell = st.sampled_from(cells)
    row = st.lists(cell, min_size=1, max_size=4).map(",".join)
    lines = st.lists(row, max_size=4).map(lambda rows: "\n".join(rows * 8))
    text = lines.map(lambda text: f"x,y\n{text}".encode("utf-8", "surrogatepass"))
    content = data.draw(st.one_of(text, st.binary(max_size=60)))
    target = data.draw(st.sampled_from(["y", "x", "\x1b[2J", "-rf"]))
    table = tmp_path_factory.getbasetemp() / "drawn.csv"
    table.write_bytes(content)
    begins = ValueError("the training begins")
    err, out = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(skreg, "tabular_pipeline", side_effect=begins),
        redirect_stderr(err),
        redirect_stdout(out),
    ):
        assert command.main(["train", str(table), f"--target={target}"]) == 2
    *notes, last = err.getvalue().removesuffix("\n").split("\n")
    assert last.startswith("skreg: error: ")
    assert out.getvalue() == ""
    assert all(line.isprintable() for line in [*notes, last])
    assert all(line.startswith("note: ") for line in notes)


def test_an_unreadable_table(tmp_path, monkeypatch, capsys):
    (tmp_path / "table.csv").write_text(ABC)

    def refuse(*args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied", args[0])

    # The tests may run as root, who may read every file.
    monkeypatch.setattr(pd, "read_csv", refuse)
    args = ["train", str(tmp_path / "table.csv"), "--target", "y"]
    assert command.main(args) == 2
    assert_one_error(capsys, "Permission denied", "table.csv")


@pytest.mark.parametrize("option", ["--out", "--report"])
@pytest.mark.parametrize(
    "out", ["missing/m", "folder", "table.csv/m", "table.csv", "pipe"]
)
def test_an_unwritable_file_is_found_before_the_search(
    tmp_path, monkeypatch, capsys, out, option
):
    monkeypatch.chdir(tmp_path)
    Path("table.csv").write_text(ABC)
    Path("folder").mkdir()
    if hasattr(os, "mkfifo"):
        os.mkfifo("pipe")
    else:
        Path("pipe").mkdir()
    assert command.main(["train", "table.csv", "--target", "y", option, out]) == 2
    assert_one_error(capsys, "cannot write", out)
    assert Path("table.csv").read_text() == ABC
    assert sorted(os.listdir()) == ["folder", "pipe", "table.csv"]


@pytest.mark.parametrize("out", ["iris.skops", "iris.csv"])
def test_predictions_replace_neither_model_nor_table(iris, model_file, out, capsys):
    before = Path(out).read_bytes()
    capsys.readouterr()
    assert command.main(["predict", "iris.skops", "iris.csv", "--out", out]) == 2
    assert_one_error(capsys, f"cannot write {out}")
    assert Path(out).read_bytes() == before


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["table.csv"], ["table.csv"]),
        (["train"], ["TABLE"]),
        (["train", "table.csv"], ["--target"]),
        (["train", "--target", "y"], ["TABLE"]),
        (["predict", "m.skops"], ["TABLE"]),
        (["train", "t.csv", "--target", "y", "--decimal", ";"], ["--decimal", "';'"]),
        (["--seed", "one"], ["--seed", "'one'"]),
        (["--jobs", "few"], ["--jobs"]),
        (["--unknown"], ["--unknown"]),
        (["train", "t.csv", "--target", "y", "--scoring", "luck"], ["'luck'"]),
        (["train", "a.csv", "b.csv", "--target", "y"], ["b.csv"]),
    ],
)
def test_wrong_usage(capsys, args, words):
    assert command.main(args) == 2
    assert_one_error(capsys, *words, "--help")


@pytest.mark.parametrize(
    ("option", "value", "word"),
    [
        ("--seed", "-1", "random_state"),
        ("--jobs", "0", "n_jobs"),
    ],
)
def test_values_that_cannot_be(iris, quick, option, value, word, capsys):
    assert command.main([*TRAIN_IRIS, option, value]) == 2
    *_, last = capsys.readouterr().err.splitlines()
    assert last.startswith("skreg: error: ")
    assert word in last
    assert os.listdir() == ["iris.csv"]


@pytest.mark.parametrize("missing", ["pandas", "skrub", "skops", "matplotlib"])
def test_without_an_extra(iris, monkeypatch, capsys, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    extra = {"matplotlib": "plot", "skops": "persistence"}.get(missing, "table")
    assert command.main([*TRAIN_IRIS, "--report", "r.html"]) == 2
    assert_one_error(capsys, missing, f'pip install "skreg[{extra}]"')
    if missing != "matplotlib":
        assert command.main(["predict", "m.skops", "iris.csv"]) == 2
        assert_one_error(capsys, missing, f'pip install "skreg[{extra}]"')


def test_names_are_printed_without_control_characters(
    tmp_path, monkeypatch, quick, capsys
):
    monkeypatch.chdir(tmp_path)
    name = os.fsdecode(b"a\x1b[31m\xff.csv")
    table = pd.DataFrame({"\x1b[2Jx": np.arange(40) % 7 / 3, "y": ["\x07a", "b"] * 20})
    table.to_csv(name, index=False)
    assert command.main(["train", name, "--target", "y", "--jobs", "1"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[-1].endswith(r"all 40 rows: a\x1b[31m\udcff.skops")
    assert all(line.isprintable() for line in (out + err).splitlines())
    for args in (["--\x1b[31m"], ["train", name, "\x1b[31m", "--target", "y"]):
        assert command.main(args) == 2
        assert_one_error(capsys, r"\x1b[31m")


# As a program ------------------------------------------------------------------------


@pytest.mark.parametrize("name", [None, "train", "predict"])
def test_help(name, capsys):
    with pytest.raises(SystemExit) as stopped:
        command.main([*filter(None, [name]), "--help"])
    assert stopped.value.code == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"usage: skreg {name or ''}".strip())
    words = {
        None: ["train", "predict", "--report", "--seed", "--jobs", "Exit status"],
        "train": ["TABLE", "--target", "--out", "--drop", "--scoring", "--decimal"],
        "predict": ["MODEL", "TABLE", "--out", "--probabilities", "--separator"],
    }
    assert all(word in out for word in words[name])
    assert err == ""


@pytest.mark.slow
def test_the_program_with_two_processes(tmp_path):
    iris_table().to_csv(tmp_path / "iris.csv", index=False)
    args = ["-m", "skreg", "train", "iris.csv", "--target", "species"]
    by = {}
    for jobs in "1", "2":
        done = run_python(*args, "--jobs", jobs, folder=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "Warning" not in done.stderr
        by[jobs] = done.stdout
    assert by["1"] == by["2"]
    assert scores_of(by["1"])["network"]["accuracy"] > 0.9
    done = run_python(
        "-m", "skreg", "predict", "iris.skops", "iris.csv", folder=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 151


@pytest.mark.slow
def test_the_programs_status(tmp_path):
    args = ["-m", "skreg", "train", "none.csv", "--target", "y"]
    done = run_python(*args, folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr == (
        "skreg: error: none.csv: No such file or directory: 'none.csv'\n"
    )
    assert done.stdout == ""
