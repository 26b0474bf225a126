"""The command ``python -m skreg``."""

import csv
import errno
import io
import lzma
import math
import os
import pickle
import re
import sys
import threading
import tracemalloc
from collections import namedtuple
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from unittest import mock

import joblib
import numpy as np
import pytest
import sklearn
from helpers import run_python
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

import skreg.__main__ as command
from skreg import RegularizedMLPClassifier
from skreg.io import write_whole

Printed = namedtuple("Printed", ["stdout", "stderr"])
SMALL = command._Plan(
    lambds=(0.3, 1.0), keep_probs=(1.0, 0.9), hidden_layer_sizes=(12,), max_iter=500
)
MISSING = ["", "NA", "NaN", "nan", "null", "?", "None"]
SPECIES = ["setosa", "versicolor", "virginica"]


def write_csv(path, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return path


def iris_rows():
    """Iris with text, an identifier, an empty column and missing cells of all kinds."""
    rng = np.random.default_rng(0)
    iris = load_iris()
    rows = []
    for i, (x, k) in enumerate(zip(iris.data, iris.target, strict=True)):
        colour = "red" if k == 0 else "blue"
        row = [f"id-{i:03}", x[0], x[1], colour, "", x[2], SPECIES[k], x[3]]
        for j in (1, 2, 3, 5, 7):
            if rng.random() < 0.05:
                row[j] = MISSING[rng.integers(len(MISSING))]
        rows.append(row)
    return rows


IRIS_HEAD = ["id", "s length", "s width", "colour", "empty", "p length", "species", "w"]
AT = IRIS_HEAD.index("species")


def iris_features(rows):
    """Give the rows as a user would: an object array with None for what is missing."""
    cells = [[None if c in MISSING else c for c in row] for row in rows]
    return np.array([row[:AT] + row[AT + 1 :] for row in cells], dtype=object)


def table_of(text):
    """Read back a printed table: the row's name and its numbers."""
    found = re.findall(r"^(\S.*?)((?:\s+\d+\.\d{3})+)$", text, re.MULTILINE)
    return {
        name: [float(number) for number in numbers.split()] for name, numbers in found
    }


@pytest.fixture(scope="module")
def iris_run(tmp_path_factory):
    """Run the table command once: the table, the model's path and what was printed."""
    folder = tmp_path_factory.mktemp("iris")
    rows = iris_rows()
    unlabelled = [[*row[:AT], "NA", *row[AT + 1 :]] for row in rows[:3]]
    table = write_csv(folder / "iris.csv", [IRIS_HEAD, *rows, *unlabelled])
    out = folder / "model.joblib"
    args = [str(table), "--target", "species", "--out", str(out), "--jobs", "1"]
    stdout, stderr = io.StringIO(), io.StringIO()
    with redirect_stdout(stdout), redirect_stderr(stderr):
        assert command._run(args, SMALL) == 0, stderr.getvalue()
    return rows, out, Printed(stdout.getvalue(), stderr.getvalue())


@pytest.fixture(scope="module")
def iris_run_by_two(iris_run, tmp_path_factory):
    """The same run with two workers, as a program."""
    folder = tmp_path_factory.mktemp("two")
    code = (
        "import sys; from skreg.__main__ import _Plan, _run; "
        f"sys.exit(_run(sys.argv[1:], _Plan{tuple(SMALL)}))"
    )
    table, out = iris_run[1].parent / "iris.csv", folder / "model.joblib"
    args = [str(table), "--target", "species", "--out", str(out), "--jobs", "2"]
    done = run_python("-c", code, *args, folder=folder)
    assert done.returncode == 0, done.stderr
    return out, done


# Errors


ABC = "x,y\n" + "1,a\n2,b\n" * 10
FLOATS = "x,y\n" + "".join(f"{i},{i / 7}\n" for i in range(40))
PRICES = "x,y\n" + "".join(f"1,{i * 10}\n" for i in range(40))
WIDE = ",".join(f"c{i}" for i in range(12)) + "\n" + ",".join("1" * 12) + "\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", ["empty table"]),
        (b"x,y\n\xed\xa0\x80,a\n", ["not UTF-8"]),
        (ABC.encode("utf-16-le"), ["NUL"]),
        (ABC + '"' + "q" * 200_000 + '",a\n', ["line 22", "field larger than"]),
        ('x,y\n1,"a"b"\n', ["line 2", "expected after"]),
        ("x,y\n" + "1,a\n-2e200,b\n" * 9, ["column 'x'", "'-2e200'", "too large"]),
        ("\x1b[31mx,\x1b]0;y\x07\n1,2\n", [r"'\x1b[31mx', '\x1b]0;y\x07'"]),
        ("x\x9b,x\x9b,y\n1,2,3\n", [r"duplicate column names: 'x\x9b'"]),
        ("\n\n", ["empty table"]),
        ("x,y\n", ["empty table", "rows"]),
        (b"x,y\nna\xefve,a\n", ["not UTF-8"]),
        ("x,y\n1,a\n2\0,b\n", ["NUL"]),
        (ABC.encode("utf-16"), ["not UTF-8"]),
        ("x,x,z,y,z\n1,2,3,a,4\n", ["duplicate column names: 'x', 'z'"]),
        (WIDE, ["no column 'y'", "'c0'", "'c9' and 2 more"]),
        ("x,z\n1,2\n", ["no column 'y'; there are 'x', 'z'"]),
        ("x,y\n1,a\n2,b,c\n", ["line 3", "3 cells", "2"]),
        ('x,y\n"1\n2",a\n\n2\n', ["line 5", "1 cells", "2"]),
        ('x,y\n1,"a\n', ["line 2"]),
        ("x,y\n1,a\n2,a\n3,a\n", ["'y'", "less than two classes: 'a'"]),
        ("x,y\n1,a\n2,\n3,a\n", ["'y'", "less than two classes: 'a'"]),
        ("x,y\n1,NA\n2,\n", ["'y'", "less than two classes"]),
        (FLOATS, ["'y'", "continuous", "40 different numbers", "classification"]),
        ("x,y\n" + "1,0.5\n2,2.25\n" * 2, ["'y'", "continuous", "2 different"]),
        (PRICES, ["'y'", "continuous", "classification"]),
        ("y\n" + "a\nb\n" * 10, ["no feature columns"]),
        ("x,y\n" + "NA,a\n,b\n" * 10, ["no feature columns"]),
        (ABC + "3,rare\n" * 7, ["'rare'", "too few rows: 7", "8"]),
        ("x,y\n" + "1,0\n2,1\n" * 5 + "1,0.0\n", ["'0.0'", "too few rows: 1"]),
    ],
)
def test_a_bad_table_gives_one_line_and_status_2(
    tmp_path, monkeypatch, capsys, content, words
):
    monkeypatch.chdir(tmp_path)
    data = content if isinstance(content, bytes) else content.encode()
    Path("table.csv").write_bytes(data)
    assert command.main(["table.csv", "--target", "y"]) == 2
    assert_one_error(capsys, *words)
    assert os.listdir() == ["table.csv"]


def assert_one_error(capsys, *words):
    """Assert one line of error after the notes, if any, and no progress or result."""
    out, err = capsys.readouterr()
    lines = [line for line in err.splitlines() if not line.startswith("note: ")]
    assert len(lines) == 1
    assert lines[0].startswith("skreg: error: ")
    for word in words:
        assert word in lines[0]
    assert out == ""
    assert all(line.isprintable() for line in err.splitlines())


def test_a_missing_table_and_a_folder(tmp_path, capsys):
    assert command.main([str(tmp_path / "none.csv"), "--target", "y"]) == 2
    assert_one_error(capsys, "No such file", "none.csv")
    assert command.main([str(tmp_path), "--target", "y"]) == 2
    assert_one_error(capsys, tmp_path.name)


def test_a_table_is_no_device(capsys):
    """It never ends."""
    assert command.main(["/dev/zero", "--target", "y"]) == 2
    assert_one_error(capsys, "/dev/zero is neither a file nor a pipe")


def test_a_table_may_come_by_a_pipe(tmp_path, capsys):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writes = threading.Thread(target=pipe.write_text, args=("x,y\n1,a\n",))
    writes.start()
    assert command.main([str(pipe), "--target", "z"]) == 2
    writes.join()
    assert_one_error(capsys, "no column 'z'; there are 'x', 'y'")


def test_a_table_of_a_million_columns(tmp_path, capsys):
    table = tmp_path / "t.csv"
    table.write_text("x," * 10**6 + "y\n" + "1," * 10**6 + "a\n")
    tracemalloc.start()
    assert command.main([str(table), "--target", "y"]) == 2
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert_one_error(capsys, "1000000 columns", "takes 100000", "sparse")
    assert peak < 150e6


def test_text_columns_count_by_their_values(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(command, "MAX_FEATURES", 34)
    rows = [[i, f"v{i // 2}", "abc"[i % 3], i % 2] for i in range(80)]
    table = write_csv(tmp_path / "t.csv", [["n", "many", "few", "y"], *rows])
    # 1 + 30 + 3
    assert command._read_table(table, "y")[0].shape == (80, 3)
    monkeypatch.setattr(command, "MAX_FEATURES", 33)
    capsys.readouterr()
    assert command.main([str(table), "--target", "y"]) == 2
    assert_one_error(capsys, "34 features, with those of the text columns")


def test_formulas_and_markup_are_text(tmp_path):
    cells = ["=cmd|' /C calc'!A0", "@SUM(1+1)", "+1+cmd", "${jndi:x}", "__class__"]
    rows = [[cells[i % 5], "-rf", i % 2] for i in range(50)]
    table = write_csv(tmp_path / "t.csv", [["__class__", "-rf", "y"], *rows])
    X, y, numbers, texts = command._read_table(table, "y")
    assert X.tolist() == [row[:2] for row in rows]
    assert (numbers, texts) == ([], [0, 1])
    assert y.tolist() == [0, 1] * 25


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_a_table_or_one_error(data, tmp_path_factory):
    """Up to the search, which would take long."""
    cells = [
        "1",
        "-2.5",
        "a",
        "",
        "NA",
        '"',
        '""',
        ",",
        "\r",
        "\n",
        "\0",
        "\ufeff",
        "'",
    ]
    cells += ["=1+1", "inf", "1_0", "1e308", "\x1b[2J", "\u202e", "\udcff", "\x85", "é"]
    cell = st.sampled_from(cells)
    row = st.lists(cell, min_size=1, max_size=4).map(",".join)
    lines = st.lists(row, max_size=4).map(lambda rows: "\n".join(rows * 8))
    text = lines.map(lambda text: f"x,y\n{text}".encode("utf-8", "surrogatepass"))
    content = data.draw(st.one_of(text, st.binary(max_size=60)))
    target = data.draw(st.sampled_from(["y", "x", "\x1b[2J", "-rf"]))
    table = tmp_path_factory.getbasetemp() / "drawn.csv"
    table.write_bytes(content)
    begins = ValueError("the search begins")
    err, out = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(command, "_search", side_effect=begins),
        redirect_stderr(err),
        redirect_stdout(out),
    ):
        assert command.main([str(table), f"--target={target}"]) == 2
    *notes, last = err.getvalue().removesuffix("\n").split("\n")
    assert last.startswith("skreg: error: ")
    assert out.getvalue() == ""
    assert all(line.isprintable() for line in [*notes, last])
    assert all(re.match(r"note: |\d+ rows, columns: ", line) for line in notes)


def test_an_unreadable_table(tmp_path, monkeypatch, capsys):
    def refuse(self):
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    # The tests may run as root, who may read every file.
    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert command.main([str(tmp_path / "table.csv"), "--target", "y"]) == 2
    assert_one_error(capsys, "Permission denied", "table.csv")


@pytest.mark.parametrize(
    "out", ["missing/m.joblib", "folder", "table.csv/m.joblib", "table.csv", "pipe"]
)
def test_an_unwritable_out_is_found_before_the_search(
    tmp_path, monkeypatch, capsys, out
):
    monkeypatch.chdir(tmp_path)
    Path("table.csv").write_text(ABC)
    Path("folder").mkdir()
    if hasattr(os, "mkfifo"):
        os.mkfifo("pipe")
    else:
        Path("pipe").mkdir()
    assert command.main(["table.csv", "--target", "y", "--out", out]) == 2
    assert_one_error(capsys, "cannot write", out)
    assert Path("table.csv").read_text() == ABC
    assert sorted(os.listdir()) == ["folder", "pipe", "table.csv"]


def test_a_folder_without_permission_is_found_before_the_search(
    tmp_path, monkeypatch, capsys
):
    (tmp_path / "table.csv").write_text(ABC)
    args = [str(tmp_path / "table.csv"), "--target", "y", "--out"]
    # The tests may run as root, who may write everywhere.
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert command.main([*args, str(tmp_path / "m.joblib")]) == 2
    assert_one_error(capsys, "m.joblib", "folder is not writable")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--target", "y"], ["TABLE"]),
        (["--out", "m.joblib"], ["TABLE"]),
        (["table.csv"], ["--target"]),
        (["table.csv", "--out", "m.joblib"], ["--target"]),
        (["table.csv", "--target", "y", "--no-picture"], ["--no-picture"]),
        (["table.csv", "--target", "y", "--picture", "a.png"], ["--picture"]),
        (["--picture", "a.jpg"], [".png"]),
        (["--seed", "-1"], ["--seed"]),
        (["--seed", "one"], ["--seed", "'one'"]),
        (["--jobs", "0"], ["--jobs"]),
        (["--unknown"], ["--unknown"]),
        (["a.csv", "b.csv", "--target", "y"], ["b.csv"]),
    ],
)
def test_wrong_usage(capsys, args, words):
    assert command.main(args) == 2
    assert_one_error(capsys, *words, "--help")


def test_an_unwritable_picture_is_found_before_the_training(tmp_path, capsys):
    assert command.main(["--picture", str(tmp_path / "missing" / "a.png")]) == 2
    assert_one_error(capsys, "cannot write", "a.png")


def test_ctrl_c_is_one_line_and_status_130(tmp_path, monkeypatch, capsys):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(RegularizedMLPClassifier, "fit", interrupt)
    assert command._run(["--no-picture"], SMALL) == 130
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[-1] == "skreg: interrupted"
    assert "Traceback" not in err


# The user's own table


def test_results_go_to_stdout_and_progress_to_stderr(iris_run):
    _, out, done = iris_run
    assert set(table_of(done.stdout)) == {
        "cross-validated",
        "held out",
        "held out, majority class",
    }
    assert "112 rows to train, 38 held out" in done.stdout
    assert re.search(r"lambd=(0\.3|1), keep_prob=(0\.9|1)$", done.stdout, re.MULTILINE)
    assert done.stdout.splitlines()[-1].endswith(str(out))
    assert "searching 4 settings in 5 folds" in done.stderr
    assert "2 of 2" in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(
    tuple(map(int, sklearn.__version__.split(".")[:2])) < (1, 7),
    reason="only the program itself can silence the workers of older scikit-learn",
)
def test_the_workers_do_not_flood_the_terminal(iris_run_by_two):
    assert "Warning" not in iris_run_by_two[1].stderr


@pytest.mark.slow
def test_two_workers_find_the_same(iris_run, iris_run_by_two):
    _, out, alone = iris_run
    out_by_two, by_two = iris_run_by_two
    assert by_two.stdout == alone.stdout.replace(str(out), str(out_by_two))
    assert out_by_two.read_bytes() == out.read_bytes()


def test_notes_on_what_was_dropped_or_pooled(iris_run):
    notes = [line for line in iris_run[2].stderr.splitlines() if "note: " in line]
    assert notes[:3] == [
        "note: 3 rows without a target are dropped",
        "note: text column 'id' has 150 values; rare ones pooled",
        "note: column 'empty' has no values and is dropped",
    ]


def test_the_scores_are_those_of_a_good_model_and_of_no_model(iris_run):
    scores = table_of(iris_run[2].stdout)
    accuracy, loss = scores["cross-validated"]
    assert accuracy > 0.85
    assert loss < 0.4
    assert scores["held out"][0] > 0.85
    assert scores["held out"][1] < 0.4
    # Three equal classes.
    assert scores["held out, majority class"][0] == pytest.approx(1 / 3, abs=0.03)
    assert scores["held out, majority class"][1] == pytest.approx(math.log(3), abs=0.01)


def test_the_saved_pipeline_predicts_the_tables_strings(iris_run):
    rows, out, _ = iris_run
    model = joblib.load(out)
    predicted = model.predict(iris_features(rows))
    assert set(predicted) == set(SPECIES)
    assert np.mean(predicted == [row[AT] for row in rows]) > 0.92


def test_the_printed_scores_are_those_of_the_saved_pipeline(iris_run):
    rows, out, done = iris_run
    model = joblib.load(out)
    labels = np.array([row[AT] for row in rows])
    X, y = train_test_split(
        *(iris_features(rows), labels), stratify=labels, random_state=0
    )[1::2]
    loss = log_loss(y, model.predict_proba(X))
    expected = [accuracy_score(y, model.predict(X)), loss]
    assert table_of(done.stdout)["held out"] == pytest.approx(expected, abs=6e-4)


def test_nothing_of_the_held_out_rows_was_learnt(iris_run):
    rows, out, _ = iris_run
    columns = joblib.load(out)["columns"]
    train = train_test_split(
        iris_features(rows), stratify=[row[AT] for row in rows], random_state=0
    )[0]
    lengths = [float(length) for length in train[:, 1] if length is not None]
    median = columns.named_transformers_["numbers"][0].statistics_[0]
    assert median == pytest.approx(np.median(lengths))
    whole = [float(row[1]) for row in rows if row[1] not in MISSING]
    assert columns.named_transformers_["numbers"][1].mean_[0] != pytest.approx(
        np.mean(whole), rel=1e-6
    )


def test_missing_and_unknown_values_in_new_rows(iris_run):
    rows, out, _ = iris_run
    model = joblib.load(out)
    X = iris_features(rows)
    probabilities = model.predict_proba(X)
    # An identifier tells nothing: each of them was seen once, so they are all alike.
    X[:, 0] = "id-never-seen"
    np.testing.assert_array_equal(model.predict_proba(X), probabilities)
    unknown = X.copy()
    unknown[:, 3] = "a colour never seen"
    assert np.isfinite(model.predict_proba(unknown)).all()
    X[X == None] = math.nan  # noqa: E711 - elementwise
    np.testing.assert_array_equal(model.predict_proba(X), probabilities)
    nothing = np.full((1, X.shape[1]), None, dtype=object)
    assert model.predict(nothing)[0] in SPECIES


def test_rows_from_a_data_frame(iris_run):
    pandas = pytest.importorskip("pandas")
    rows, out, _ = iris_run
    frame = pandas.DataFrame(rows, columns=IRIS_HEAD).drop(columns="species")
    frame = frame.replace(MISSING, None)
    model = joblib.load(out)
    predicted = model.predict(frame.to_numpy(dtype=object))
    np.testing.assert_array_equal(predicted, model.predict(iris_features(rows)))


def test_the_file_holds_only_importable_objects(iris_run):
    content = lzma.decompress(iris_run[1].read_bytes())
    assert b"__main__" not in content
    assert b"skreg" in content
    assert b"skreg." not in content


@pytest.mark.parametrize(
    ("labels", "kind"),
    [(["0", "1"], "i"), (["-1", "12"], "i"), (["01", "1"], "U"), (["0.0", "1.0"], "U")],
)
def test_labels_are_integers_only_where_nothing_is_lost(
    tmp_path, monkeypatch, capsys, labels, kind
):
    monkeypatch.chdir(tmp_path)
    rows = [[i % 2 + i / 100, labels[i % 2]] for i in range(40)]
    write_csv("my.table.csv", [["x", "y"], *rows])
    args = ["my.table.csv", "--target", "y", "--jobs", "1"]
    plan = SMALL._replace(lambds=(1.0,), keep_probs=(1.0,), max_iter=100)
    assert command._run(args, plan) == 0
    assert "my.table.joblib" in capsys.readouterr().out
    assert os.stat("my.table.joblib").st_mode & 0o777 == 0o666 & ~current_umask()
    predicted = joblib.load("my.table.joblib").predict([[0.1], [1.1]])
    assert predicted.dtype.kind == kind
    assert [str(label) for label in predicted] == labels


def current_umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_byte_order_mark_quotes_and_spaces(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = ['\ufeff"x, y", label ,"z"'] + ['" 1", yes,"a\nb"', "2,no,?"] * 20
    Path("t.csv").write_bytes("\r\n".join(lines).encode())
    X, y, numbers, texts = command._read_table(Path("t.csv"), "label")
    assert set(y) == {" yes", "no"}
    assert (numbers, texts) == ([0], [1])
    assert X[0].tolist() == [1.0, "a\nb"]
    assert X[1, 0] == 2.0
    assert math.isnan(X[1, 1])


@pytest.mark.parametrize("cell", ["inf", "-Infinity", "1_000", "1,5", "0x10", "1e999"])
def test_what_is_no_finite_number_makes_a_text_column(tmp_path, cell):
    rows = [["1", cell, "a"], ["2", "3.5", "b"]] * 10
    table = write_csv(tmp_path / "t.csv", [["n", "t", "y"], *rows])
    X, _, numbers, texts = command._read_table(table, "y")
    assert (numbers, texts) == ([0], [1])
    assert X[:2].tolist() == [[1.0, cell], [2.0, "3.5"]]


def test_a_text_column_of_many_values_stays_small(tmp_path, capsys):
    rng = np.random.default_rng(0)
    rows = [[f"v{rng.integers(100)}", f"u{i}", "ab"[i % 2]] for i in range(400)]
    table = write_csv(tmp_path / "t.csv", [["many", "each", "y"], *rows])
    X, y, numbers, texts = command._read_table(table, "y")
    assert capsys.readouterr().err.count("rare ones pooled") == 2
    encoded = command._transformer(numbers, texts).fit_transform(X, y)
    assert encoded.shape == (400, 30 + 1)
    np.testing.assert_array_equal(encoded.sum(axis=1), 2)


def test_an_existing_model_survives_a_failing_dump(tmp_path, monkeypatch, capsys):
    def fail(model, file, compress):
        file.write(b"half a model")
        raise OSError(errno.ENOSPC, "No space left on device")

    table, out = tmp_path / "t.csv", tmp_path / "m.joblib"
    table.write_text(ABC)
    out.write_bytes(b"the old model")
    monkeypatch.setattr(joblib, "dump", fail)
    args = [str(table), "--target", "y", "--out", str(out), "--jobs", "1"]
    assert command._run(args, SMALL._replace(max_iter=5)) == 2
    captured = capsys.readouterr()
    assert captured.err.endswith("skreg: error: No space left on device\n")
    assert captured.out == ""
    assert out.read_bytes() == b"the old model"
    assert sorted(os.listdir(tmp_path)) == ["m.joblib", "t.csv"]


def test_a_damaged_model_does_not_load(tmp_path, iris_run):
    """The sums of xz are read; joblib.load gives an error, or the same model."""
    rows, out, _ = iris_run
    expected = joblib.load(out).predict_proba(iris_features(rows))
    data = out.read_bytes()
    assert data.startswith(b"\xfd7zXZ\0")
    path = tmp_path / "m.joblib"
    rng = np.random.default_rng(0)
    for size in [*range(0, 32), *rng.integers(32, len(data), 40), len(data) - 1]:
        path.write_bytes(data[:size])
        with pytest.raises(
            (EOFError, lzma.LZMAError, pickle.UnpicklingError, KeyError)
        ):
            joblib.load(path)
    for _ in range(100):
        damaged = bytearray(data)
        damaged[rng.integers(6, len(data))] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        with pytest.raises((EOFError, lzma.LZMAError)):
            joblib.load(path)
    path.write_bytes(data + data)
    again = joblib.load(path).predict_proba(iris_features(rows))
    np.testing.assert_array_equal(again, expected)


def test_python_without_lzma_writes_zlib(monkeypatch):
    assert command._compression() == ("xz", 1)
    monkeypatch.setitem(sys.modules, "lzma", None)
    assert command._compression() == ("zlib", 3)


def test_names_are_printed_without_control_characters(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    name = os.fsdecode(b"a\x1b[31m\xff.csv")
    write_csv(name, [["x", "y"], *[[i, i % 2] for i in range(40)]])
    plan = command._Plan((1.0,), (1.0,), (4,), 2)
    assert command._run([name, "--target", "y", "--jobs", "1"], plan) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[-1].endswith(r"the 30 rows: a\x1b[31m\udcff.joblib")
    assert all(line.isprintable() for line in (out + err).splitlines())
    for args in (["--\x1b[31m"], [name, "\x1b[31m", "--target", "y"]):
        assert command.main(args) == 2
        assert_one_error(capsys, r"\x1b[31m")


def test_an_interrupted_write_leaves_nothing(tmp_path):
    def interrupt(file):
        file.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "m.joblib", interrupt)
    assert os.listdir(tmp_path) == []


def test_a_failing_replacement_leaves_the_old_model(tmp_path, monkeypatch):
    def fail(source, target):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    path = tmp_path / "m.joblib"
    path.write_bytes(b"the old model")
    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="cross-device"):
        write_whole(path, lambda file: file.write(b"the new model"))
    assert path.read_bytes() == b"the old model"
    assert os.listdir(tmp_path) == ["m.joblib"]


def test_an_existing_model_is_replaced(tmp_path):
    path, link = tmp_path / "m.joblib", tmp_path / "link.joblib"
    path.write_bytes(b"the old model")
    link.symlink_to(path)
    write_whole(link, lambda file: file.write(b"the new model"))
    assert path.read_bytes() == b"the new model"
    assert link.is_symlink()


def test_unconverged_networks_are_said_once(tmp_path, capfd):
    table = write_csv(
        tmp_path / "t.csv", [["x", "y"], *[[i, i % 2] for i in range(40)]]
    )
    args = [str(table), "--target", "y", "--out", str(tmp_path / "m"), "--jobs", "1"]
    assert command._run(args, SMALL._replace(max_iter=2)) == 0
    err = capfd.readouterr().err
    assert err.count("2 epochs") == 1
    assert "Warning" not in err


def test_the_search_is_repeatable_and_follows_the_seed(tmp_path, capsys):
    rows = iris_rows()
    table = write_csv(tmp_path / "t.csv", [IRIS_HEAD, *rows])

    def run(seed):
        out = tmp_path / "m.joblib"
        args = [str(table), "--target", "species", "--jobs", "1", "--seed", seed]
        plan = SMALL._replace(lambds=(1.0,), keep_probs=(0.8,), max_iter=60)
        assert command._run([*args, "--out", str(out)], plan) == 0
        scaler = joblib.load(out)["columns"].named_transformers_["numbers"][1]
        return capsys.readouterr().out, scaler.mean_.tolist()

    first, again, other = run("3"), run("3"), run("4")
    assert first == again
    assert first[0] != other[0]
    # The split follows the seed as well.
    assert first[1] != other[1]


def test_the_search_uses_the_jobs_that_were_asked_for(tmp_path, monkeypatch, capsys):
    asked = []

    def fit(self, X, y):
        asked.append(self.n_jobs)
        raise ValueError("enough")

    (tmp_path / "t.csv").write_text(ABC)
    monkeypatch.setattr(command._Search, "fit", fit)
    args = [str(tmp_path / "t.csv"), "--target", "y", "--out", str(tmp_path / "m")]
    assert command.main([*args, "--jobs", "3"]) == 2
    assert command.main(args) == 2
    assert asked == [3, min(2, joblib.cpu_count())]
    assert capsys.readouterr().err.endswith("skreg: error: enough\n")


# The bundled data


@pytest.fixture(scope="module")
def demo_run(tmp_path_factory):
    """Run the command without a table once, smaller: the picture and the output."""
    picture = tmp_path_factory.mktemp("demo") / "loss.png"
    code = (
        "import sys; from skreg.__main__ import _Plan, _run; "
        f"status = _run(sys.argv[1:], _Plan{tuple(SMALL)}); "
        "assert 'matplotlib.pyplot' not in sys.modules; sys.exit(status)"
    )
    args = ["--picture", str(picture), "--jobs", "1"]
    done = run_python("-c", code, *args, folder=picture.parent)
    assert done.returncode == 0, done.stderr
    return picture, done


@pytest.mark.slow
def test_the_four_networks(demo_run):
    stdout = demo_run[1].stdout
    rows = table_of(stdout)
    assert list(rows)[:4] == list(command.NETWORKS)
    for train, test, train_loss, test_loss in list(rows.values())[:4]:
        assert 0.95 < train <= 1
        assert 0.92 < test <= 1
        assert 0 < train_loss < 0.15
        assert 0 < test_loss < 0.3
    # Regularisation costs training loss, and here it pays on the test rows.
    assert rows["unregularised"][2] < rows["L2 (lambd=4)"][2]
    assert rows["unregularised"][2] < rows["dropout (keep_prob=0.5)"][2]
    assert rows["cross-validated"][0] > 0.95
    assert rows["test"][0] > 0.92
    assert re.search(r"lambd=(0\.3|1), keep_prob=(0\.9|1)$", stdout, re.MULTILINE)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "lambd", "keep_prob"),
    [("unregularised", 0, 1), ("L2 and dropout", 4, 0.5)],
)
def test_the_rows_are_those_of_their_networks(demo_run, name, lambd, keep_prob):
    X, y = load_breast_cancer(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, stratify=y, random_state=0)
    scaler = StandardScaler().fit(X)
    network = RegularizedMLPClassifier(
        (12,),
        lambd=lambd,
        keep_prob=keep_prob,
        learning_rate="constant",
        learning_rate_init=0.001,
        max_iter=500,
        early_stopping=False,
        averaging=0.0,
        random_state=0,
    ).fit(scaler.transform(X), y)
    expected = [
        network.score(scaler.transform(X), y),
        network.score(scaler.transform(X_test), y_test),
        log_loss(y, network.predict_proba(scaler.transform(X))),
        log_loss(y_test, network.predict_proba(scaler.transform(X_test))),
    ]
    assert table_of(demo_run[1].stdout)[name] == pytest.approx(expected, abs=6e-4)


@pytest.mark.slow
def test_progress_of_the_bundled_run(demo_run):
    err = demo_run[1].stderr
    for name in command.NETWORKS:
        assert f"training: {name}\n" in err
    assert "searching 4 settings in 5 folds" in err
    assert "2 of 2" in err
    assert "Warning" not in err


@pytest.mark.slow
def test_the_picture(demo_run):
    image = pytest.importorskip("matplotlib.image")
    picture, done = demo_run
    assert done.stdout.splitlines()[-1].endswith(str(picture))
    assert os.listdir(picture.parent) == [picture.name]
    assert picture.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    pixels = image.imread(picture)
    assert min(pixels.shape[:2]) >= 400
    assert len(np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0)) > 10


def test_without_matplotlib(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert command._draw({"a": (1.0, 1.0, 0.1, 0.2)}, Path("a.png")) == (
        'No picture without matplotlib: pip install "skreg[plot]"'
    )
    plan = SMALL._replace(lambds=(1.0,), keep_probs=(1.0,), max_iter=5)
    assert command._run(["--jobs", "1"], plan) == 0
    hints = [line for line in capsys.readouterr().out.splitlines() if "pip" in line]
    assert hints == ['No picture without matplotlib: pip install "skreg[plot]"']
    assert os.listdir() == []


def test_a_note_where_the_best_network_was_still_improving(
    tmp_path, monkeypatch, capsys
):
    rows = [[i % 2, i % 2] for i in range(20)]
    table = write_csv(tmp_path / "t.csv", [["x", "y"], *rows])
    args = [str(table), "--target", "y", "--out", str(tmp_path / "m"), "--jobs", "1"]
    # No epoch gains as much, so that the training ends after ten without a gain.
    network = partial(RegularizedMLPClassifier, tol=10.0)
    monkeypatch.setattr(command, "RegularizedMLPClassifier", network)

    def notes(max_iter):
        plan = command._Plan((1.0,), (1.0,), (2,), max_iter)
        assert command._run(args, plan) == 0
        return [x for x in capsys.readouterr().err.splitlines() if "training" in x]

    assert notes(5) == ["note: training stopped after 5 epochs, still improving"]
    assert notes(50) == []


def test_no_picture(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    plan = SMALL._replace(lambds=(1.0,), keep_probs=(1.0,), max_iter=5)
    assert command._run(["--no-picture", "--jobs", "1"], plan) == 0
    assert "icture" not in capsys.readouterr().out
    assert os.listdir() == []


# As a program


def test_help(capsys):
    with pytest.raises(SystemExit) as stopped:
        command.main(["--help"])
    assert stopped.value.code == 0
    out, err = capsys.readouterr()
    assert out.startswith("usage: python -m skreg ")
    for word in ("TABLE", "--target", "--out", "--picture", "--seed", "--jobs"):
        assert word in out
    assert err == ""


@pytest.mark.slow
def test_the_program_on_a_table_and_its_model_elsewhere(tmp_path):
    rows = [[i % 2 + i / 100, "ab"[i % 2]] for i in range(40)]
    write_csv(tmp_path / "t.csv", [["x", "y"], *rows])
    done = run_python(
        "-m", "skreg", "t.csv", "--target", "y", "--jobs", "1", folder=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert table_of(done.stdout)["held out"][0] == 1.0
    assert "Warning" not in done.stderr
    model = joblib.load(tmp_path / "t.joblib")
    assert model.predict([[0.2], [1.2]]).tolist() == ["a", "b"]


@pytest.mark.slow
def test_the_programs_status(tmp_path):
    done = run_python("-m", "skreg", "none.csv", "--target", "y", folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "skreg: error: No such file or directory: 'none.csv'\n"
    assert done.stdout == ""
