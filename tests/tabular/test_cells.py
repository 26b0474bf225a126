"""Numbers that are written as text, in frames of pandas and Polars."""

import math
import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skreg import FitAdviceWarning
from skreg._tabular.cells import TextNumbers, decimal_of, read_numbers
from skreg._tabular.pipeline import tabular_pipeline

LIBRARIES = {"pandas": pd.DataFrame, "polars": pl.DataFrame}
every_library = pytest.mark.parametrize("library", LIBRARIES)


def read(cell, decimal="."):
    """The number that a cell is, NaN for none; and whether it is odd."""
    numbers, odd = read_numbers(pd.Series([cell], dtype=object), decimal)
    return float(numbers[0]), bool(odd[0])


@pytest.mark.parametrize(
    ("cell", "decimal", "number"),
    [
        ("12", ".", 12),
        ("-1.5e3", ".", -1500),
        ("+.5", ".", 0.5),
        ("1,234.5", ".", 1234.5),
        ("1,234,567", ".", 1234567),
        ("1'234.50", ".", 1234.5),
        ("1\u2019234", ".", 1234),
        ("1 234", ".", 1234),
        ("1\u202f234", ".", 1234),
        ("$1,234.50", ".", 1234.5),
        ("12.5%", ".", 12.5),
        ("12,5\u00a0€", ",", 12.5),
        ("12\u202f%", ".", 12),
        ("\u22123.5", ".", -3.5),
        ("-£3", ".", -3),
        ("$-3", ".", -3),
        ("(1,234.50)", ".", -1234.5),
        ("($5.20)", ".", -5.2),
        ("¥ 500", ".", 500),
        ("1.234,5", ",", 1234.5),
        ("1.234", ",", 1234),
        ("0,125", ",", 0.125),
        ("-12,5 €", ",", -12.5),
        ("true", ".", 1),
        ("FALSE", ".", 0),
    ],
)
def test_what_is_a_number(cell, decimal, number):
    found, odd = read(cell, decimal)
    assert found == number
    assert not odd


@pytest.mark.parametrize(
    ("cell", "decimal"),
    [
        ("0,125", "."),  # no group of thousands begins with 0
        ("1234,567", "."),
        ("1,23", "."),
        ("1,2345", "."),
        ("1.5", ","),
        ("31.12.2020", ","),
        ("31.12.2020", "."),
        ("2020-01-05", "."),
        ("1_000", "."),
        ("0x10", "."),
        ("inf", "."),
        ("1e999", "."),
        ("12 or 13", "."),
        ("yes", "."),
    ],
)
def test_what_is_none(cell, decimal):
    found, odd = read(cell, decimal)
    assert math.isnan(found)
    assert odd


@pytest.mark.parametrize(
    "cell",
    ["", "?", "-", "--", ".", "NA", "n/a", "NaN", "None", "null", "<NA>", "#N/A"],
)
def test_words_for_missing_are_not_odd(cell):
    found, odd = read(cell)
    assert math.isnan(found)
    assert not odd


@given(st.floats(-1e12, 1e12), st.integers(0, 6), st.sampled_from(".,"))
def test_numbers_come_back_however_they_are_grouped(number, digits, decimal):
    text = f"{number:,.{digits}f}"
    other = "," if decimal == "." else "."
    text = text.translate({ord(","): other, ord("."): decimal})
    found, odd = read(text, decimal)
    assert found == pytest.approx(float(f"{number:.{digits}f}"), rel=1e-15)
    assert not odd


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_what_python_writes_is_read(number):
    # pandas 2 rounds the last digit otherwise.
    found, odd = read(repr(number))
    assert found == pytest.approx(number, rel=5e-16)
    assert not odd


@every_library
def test_each_column_may_have_its_own_decimal_point(library):
    X = LIBRARIES[library]({"a": ["1,5"] * 20, "b": ["1.5"] * 20, "c": ["2.5"] * 20})
    cells = TextNumbers(None)
    made, _ = cells.fit_transform(X)
    assert cells.decimals_ == {"a": ",", "b": ".", "c": "."}
    assert [made[name][0] for name in "abc"] == [1.5, 1.5, 2.5]
    made, _ = TextNumbers(".").fit_transform(X)
    assert made["a"][0] == "1,5"


@every_library
def test_blanks_around_words_say_nothing(library):
    X = LIBRARIES[library]({"a": [" up", "down ", None, "up"]})
    cells = TextNumbers(None)
    for made, _ in cells.fit_transform(X), cells.transform(X):
        assert made["a"].to_list()[:2] == ["up", "down"]
    assert X["a"].to_list()[0] == " up"


@pytest.mark.parametrize(
    ("cells", "decimal"),
    [
        (["1,5", "2,25", "x"], ","),
        (["1.5", "2.25", "1,234.5"], "."),
        (["1.234,5", "12,75"], ","),
        (["31.12.2020", "1.5"], "."),
        (["0,125"], ","),
        (["1,234"], "."),
        ([], "."),
    ],
)
def test_the_decimal_point_is_found(cells, decimal):
    assert decimal_of({"a": pd.Series(cells, dtype=object)}) == decimal


# In frames ---------------------------------------------------------------------------


def columns(n=40):
    return {
        "price": [f"1.{i:03},5" for i in range(n)],
        "odd": ["none yet" if i == 7 else f"{i},25" for i in range(n)],
        "mostly": ["x" if i % 5 == 0 else str(i) for i in range(n)],
        "gaps": ["?" if i % 2 else str(i) for i in range(n)],
        "word": ["a", "b"] * (n // 2),
        "number": [float(i) for i in range(n)],
        "flag": [True, False] * (n // 2),
    }


@every_library
def test_columns_of_numbers_become_numbers(library):
    X = LIBRARIES[library](columns())
    cells = TextNumbers(None)
    made, said = cells.fit_transform(X)
    assert type(made) is type(X)
    assert list(made.columns) == list(X.columns)
    assert cells.decimals_ == {
        "price": ",",
        "odd": ",",
        "gaps": ",",
        "number": ",",
        "flag": ",",
    }
    expected = [1000.5 + i for i in range(40)]
    np.testing.assert_array_equal(np.asarray(made["price"], dtype=float), expected)
    odd = np.asarray(made["odd"], dtype=float)
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(odd)), [7])
    assert np.isnan(np.asarray(made["gaps"], dtype=float)).sum() == 20
    # In Polars NaN is a number, and not missing.
    assert library == "pandas" or made["odd"].null_count() == 1
    for name in "mostly", "word", "number", "flag":
        assert list(made[name]) == list(X[name])
    (text,) = said
    assert "'odd'" in text
    assert "'none yet' in row 7 (counted from 0; 1 such in all)" in text


@every_library
def test_later_frames_are_read_in_the_same_way(library):
    X = LIBRARIES[library](columns())
    cells = TextNumbers(None)
    cells.fit_transform(X)
    later = {name: values[:3] for name, values in columns().items()}
    # What was odd before is missing; what was a number or a bool may be text.
    later |= {"odd": ["1,5", "none yet", "2"], "number": ["1,5", "2", None]}
    later["flag"] = ["True", "False", None]
    made, said = pickle.loads(pickle.dumps(cells)).transform(LIBRARIES[library](later))
    assert said == []
    np.testing.assert_array_equal(np.asarray(made["odd"], float), [1.5, np.nan, 2])
    np.testing.assert_array_equal(np.asarray(made["number"], float), [1.5, 2, np.nan])
    np.testing.assert_array_equal(np.asarray(made["flag"], float), [1, 0, np.nan])
    for name in "price", "number", "flag":
        wrong = LIBRARIES[library](later | {name: ["1", "1.5", "two"]})
        with pytest.raises(
            ValueError, match=f"'{name}' held numbers .* has '1.5' in row 1"
        ):
            cells.transform(wrong)


@every_library
def test_a_few_odd_cells_later_are_missing(library):
    X = LIBRARIES[library](columns())
    cells = TextNumbers(None)
    cells.fit_transform(X)
    later = columns() | {"price": ["1,5"] * 39 + ["sold out"]}
    made, (text,) = cells.transform(LIBRARIES[library](later))
    assert np.isnan(np.asarray(made["price"], float)).sum() == 1
    assert "'price' holds numbers, but for 'sold out' in row 39" in text


def test_numbers_among_text_as_from_a_spreadsheet():
    X = pd.DataFrame(
        {"a": [1.5, 2, "oops", None, "3,5", *range(20)], "self": ["1"] * 25}
    )
    cells = TextNumbers(",")
    made, (text,) = cells.fit_transform(X)
    assert made["a"].tolist()[:2] == [1.5, 2]
    assert made["a"][4] == 3.5
    assert made["a"].isna().tolist() == [False, False, True, True, *[False] * 21]
    assert "'oops' in row 2" in text
    assert made["self"].dtype == float
    assert X["self"].tolist() == ["1"] * 25
    again, _ = cells.transform(X)
    pd.testing.assert_frame_equal(again, made)


@every_library
def test_words_that_are_whole_numbers(library):
    words = {"code": ["1", "2", "x", "y", "z"] * 10}
    cells = TextNumbers(None)
    cells.fit_transform(LIBRARIES[library](words))
    made, _ = cells.transform(LIBRARIES[library]({"code": [1.0, None, 2.0]}))
    assert [str(each) for each in made["code"].to_list()] in (
        ["1", "<NA>", "2"],
        ["1", "None", "2"],
    )
    made, _ = cells.transform(LIBRARIES[library]({"code": [1.5, None]}))
    assert made["code"].to_list()[0] == 1.5


def test_the_row_is_that_of_the_index():
    X = pd.DataFrame({"a": ["x", *map(str, range(40))]})
    _, (text,) = TextNumbers(None).fit_transform(X.set_index(pd.Index(range(5, 46))))
    assert "in row 5 (counted from 0" in text
    _, (text,) = TextNumbers(None).fit_transform(
        X.set_index(pd.Index([*"abcd"] * 10 + ["e"]))
    )
    assert "in row a (of the index" in text


@every_library
def test_the_pipeline_takes_numbers_as_text(library):
    X = LIBRARIES[library](columns())
    X = X[["price", "odd", "number"]]
    with pytest.warns(
        FitAdviceWarning, match=r"'odd' holds numbers, but for 'none yet'"
    ):
        encoder = tabular_pipeline()[:-1].fit(X)
    names = list(encoder.get_feature_names_out())
    assert {"price", "odd", "missingindicator_odd", "number"} <= set(names)
    plain = LIBRARIES[library](
        {
            "price": [1000.5 + i for i in range(40)],
            "odd": [None if i == 7 else i + 0.25 for i in range(40)],
            "number": [float(i) for i in range(40)],
        }
    )
    expected = tabular_pipeline()[:-1].fit(plain).transform(plain)
    np.testing.assert_allclose(np.asarray(encoder.transform(X)), np.asarray(expected))


@every_library
def test_the_decimal_point_may_be_given(library):
    X = LIBRARIES[library]({"a": ["1,234", "2,345", "3,456"] * 5})
    for decimal, first in (".", 1234), (",", 1.234):
        made, _ = TextNumbers(decimal).fit_transform(X)
        assert made["a"][0] == first
    with pytest.raises(ValueError, match=r"decimal=';' must be '\.', ',' or None"):
        tabular_pipeline(decimal=";").fit(X, [0, 1, 0] * 5)
