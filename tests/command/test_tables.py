"""Which columns say something, and what is a class."""

import numpy as np
import pandas as pd
import pytest

from skreg._command import tables

RNG = np.random.default_rng(0)
N = 200


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("x", range(N)),
        ("x", range(N, 0, -1)),
        ("x", RNG.permutation(N) + 5000),
        ("x", [str(i) for i in range(N)]),
        ("x", [None if i % 3 == 0 else i for i in range(N)]),
        ("x", np.sort(RNG.choice(6 * N, N, replace=False))),
        ("customer_id", RNG.integers(0, 10**9, N)),
        ("customerID", RNG.integers(0, 10**9, N)),
        ("x", [f"A-{i:05}" for i in RNG.permutation(N)]),
        ("x", [f"user{i}@example.org" for i in range(N)]),
        ("x", [*"ab" * 4, *(f"k{i}" for i in range(N - 8))]),
        ("Unnamed: 0", RNG.integers(0, 10**9, N)),
    ],
)
def test_identifiers(name, column):
    assert tables.is_identifier(name, pd.Series(column))


@pytest.mark.parametrize(
    ("name", "column"),
    [
        # As in a table of salaries, or of what colleges spend.
        ("salary", RNG.integers(20_000, 200_000, N)),
        ("salary", np.sort(RNG.integers(20_000, 200_000, N))),
        ("x", RNG.choice(400, 40, replace=False)),
        ("x", ["unknown", *pd.date_range("2020", periods=N).astype(str)]),
        ("x", [f"{8 + i % 12}:{i % 60:02}:{i % 7}" for i in range(N)]),
        ("x", ["(1,234.50)", *(f"-${i * 1.37:.2f}" for i in range(N))]),
        ("x", [f"{i * 1.37:.2f}".replace(".", ",") for i in range(N)]),
        ("id", RNG.integers(0, N, N)),
        ("id", RNG.normal(size=N)),
        ("x", np.sort(RNG.normal(size=N))),
        ("x", RNG.choice(list("abc"), N)),
        ("x", [f"call {i} about the bill" for i in range(N)]),
        ("x", pd.date_range("2020", periods=N).astype(str)),
        ("x", pd.date_range("2020", periods=N)),
        ("x", pd.date_range("2020", periods=N).strftime("%d.%m.%Y")),
        ("x", [f"{i}.{i % 7}" for i in range(N)]),
        ("x", [True, False] * (N // 2)),
        ("x", [f"{'很好' * 30}{i}" for i in range(N)]),
        ("x", [None] * N),
        ("x", [7, *[None] * (N - 1)]),
        ("x", [1] * N),
    ],
)
def test_no_identifiers(name, column):
    assert not tables.is_identifier(name, pd.Series(column))


@pytest.mark.parametrize(
    ("cells", "labels"),
    [
        ([" a", "a ", "b", None, ""], ["a", "a", "b"]),
        (["1", "1.0", "True", "0", "false", " 1"], [1, 1, 1, 0, 0, 1]),
        (["True", "false", "TRUE "], [True, False, True]),
        ([True, None, False], [True, False]),
        ([1.0, 2.0, np.nan], [1, 2]),
        (["1.5", "2"], ["1.5", "2"]),
        ([1.5, 2.5, 1.0], ["1.5", "2.5", "1.0"]),
        (["1", "x"], ["1", "x"]),
        (["007", "008"], ["007", "008"]),
        (["10%", "20%"], ["10%", "20%"]),
        (["1" + "0" * 19, "2" + "0" * 19], ["1" + "0" * 19, "2" + "0" * 19]),
        (["None", "NA"], ["None", "NA"]),
        (pd.Categorical([3, 1, None, 3]), [3, 1, 3]),
        (pd.array([1, None, 0], dtype="Int64"), [1, 0]),
        (pd.array([True, None], dtype="boolean"), [True]),
    ],
)
def test_classes(cells, labels):
    found = tables.classes(pd.Series(cells)).tolist()
    assert found == labels
    assert list(map(type, found)) == list(map(type, labels))


@pytest.mark.parametrize(
    ("cells", "known", "labels"),
    [
        (["1", "2", ""], ["1", "2", "x"], ["1", "2"]),
        (["0", "1.0", "?"], [0, 1], [0, 1]),
        ([True, False], [0, 1], [1, 0]),
        ([1.0, 0.0, None], [False, True], [1, 0]),
    ],
)
def test_classes_as_a_model_knows_them(cells, known, labels):
    found = tables.classes(pd.Series(cells), np.array(known)).tolist()
    assert found == labels


@pytest.mark.parametrize(
    "labels",
    [
        [],
        ["a"] * 50,
        ["a"] * 50 + ["b"] * 3,
        RNG.normal(size=N),
        np.arange(N),
        np.repeat(np.arange(101), 4),
        [f"v{i}" for i in range(N)],
    ],
)
def test_what_cannot_be_classes_is_refused(labels):
    with pytest.raises(ValueError, match=r"the target 't' has \d+ different values"):
        tables.check_classes(pd.Series(labels), "t")


@pytest.mark.parametrize(
    "labels", [["a"] * 50 + ["b"] * 4, [0, 1] * 4, np.repeat(np.arange(100), 4)]
)
def test_what_can_be_classes(labels):
    tables.check_classes(pd.Series(labels), "t")


# Files -------------------------------------------------------------------------------


def test_blanks_in_names_are_no_separators(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("the home town of birth,body mass\nOslo,1\nBergen,2\n")
    frame = tables.read(path, ["unknown"], None, None)
    assert list(frame.columns) == ["the home town of birth", "body mass"]


def test_the_names_that_are_known_tell_the_separator(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("price, net, in euros;class\n1,5;a\n2,5;b\n")
    assert list(tables.read(path, ["class"], None, None)["class"]) == ["a", "b"]


def test_an_index_with_a_name_is_a_column(tmp_path):
    path = tmp_path / "t.parquet"
    frame = pd.DataFrame({"x": [1, 2]}, index=pd.Index(["a", "b"], name="class"))
    frame.to_parquet(path)
    assert list(tables.read(path, ["class"], None, None)["class"]) == ["a", "b"]
    frame.rename_axis(None).to_parquet(path)
    assert list(tables.read(path, ["class"], None, None).columns) == ["x"]


def test_words_for_missing_are_classes_where_they_occur_as_often(tmp_path):
    path = tmp_path / "t.csv"
    words = ["a"] * 150 + ["None"] * 30 + ["NA"] * 7 + [""] * 13
    pd.DataFrame({"x": range(200), "class": words}).to_csv(path, index=False)
    found = tables.read(path, ["class"], None, None)["class"]
    assert found.value_counts().to_dict() == {"a": 150, "None": 30}


# The command shows no warning of pandas.
@pytest.mark.filterwarnings("ignore::pandas.errors.ParserWarning")
def test_lines_that_end_with_a_separator(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("x,class\n1,a,\n2,b,\n")
    frame = tables.read(path, ["class"], None, None)
    assert frame.to_dict("list") == {"x": ["1", "2"], "class": ["a", "b"]}
