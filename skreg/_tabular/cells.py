"""The cells of a data frame: those that a table can hold, and numbers as text."""

from __future__ import annotations

import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from numbers import Integral, Number
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

# A cell that has parts is none that a table can hold, and these types may have some.
_PARTS = complex, list, tuple, dict, set, frozenset, np.ndarray
_MAY_HAVE_PARTS = "object", "complex", "list", "array", "fixed_size", "struct", "map"
# Types of pyarrow in pandas that skrub does not know.
_ARROW_TIMES = "timestamp[", "date32[", "date64[", "duration["
# A column of numbers may have so large a part of other cells.
_FEW = 0.1
# What may stand around a number, with blanks of all kinds and before it a sign or a
# parenthesis, which means minus; and the minus of typesetters.
_UNITS, _MINUS = r"^([+-]?\(?)[\s$€£¥]+|[\s$€£¥%]+(?=\)?$)", 0x2212
# What stands where a number is missing.
_NOTHING = r"|\W+|n[/.]?a\.?|#n/a|<na>|nan|null|none|missing|unknown"


def checked(X: Any) -> Any:
    """The data frame, with different strings as names and a value in each cell."""
    # Frames of other libraries, and lazy ones, have neither.
    if not (hasattr(X, "select_dtypes") or hasattr(X, "get_columns")):
        raise TypeError(
            f"X is a {type(X).__module__}.{type(X).__name__}, and must be a data frame "
            "of pandas or Polars: pandas.DataFrame(X) makes one of an array."
        )
    names = [str(name) for name in X.columns]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise ValueError(
            f"X has several columns with the same name: {listed(twice)}. Rename them."
        )
    if names and X.shape[0] == 0:
        raise ValueError("X has no rows, and needs one at least.")
    if names != list(X.columns):
        X = X.set_axis(names, axis="columns")
    times = {}
    for name in names:
        column = X[name]
        dtype = str(column.dtype).lower()
        if dtype.startswith(_MAY_HAVE_PARTS):
            odd = np.array([isinstance(cell, _PARTS) for cell in column.to_list()])
            if odd.any():
                raise TypeError(
                    f"Column {name!r} has {shown(column, odd)}. A cell must be a "
                    "number, a text, a date or a bool: make columns of its parts, or "
                    "leave the column out."
                )
        elif dtype.startswith(_ARROW_TIMES):
            import pyarrow as pa

            plain = pa.array(column).to_pandas(date_as_object=False)
            times[name] = column = plain.set_axis(column.index)
        if str(column.dtype).startswith("timedelta64"):
            # skrub 0.6 takes a gap for a number.
            times[name] = column.dt.total_seconds()
        zone = getattr(column.dtype, "tz", None)
        if type(zone).__module__.startswith("pytz"):
            # pandas 2 has zones that no file of skops can hold.
            times[name] = column.dt.tz_convert(ZoneInfo(str(zone)))
    return _with_numbers(X, times) if times else X


def shown(column: Any, odd: Any) -> str:
    """The first of the odd cells, where it is, and how many there are."""
    row = int(odd.argmax())
    cell = repr(column.to_list()[row])
    label = column.index[row] if hasattr(column, "index") else row
    counted = "counted from 0" if isinstance(label, Integral) else "of the index"
    return (
        f"{cell if len(cell) < 100 else cell[:100] + '...'} in row {label} ({counted}; "
        f"{int(odd.sum())} such in all)"
    )


class TextNumbers:
    """Makes numbers of the columns of text that hold them, by their names.

    Thousands may be grouped by spaces, apostrophes and whichever of comma and point is
    not the decimal point; a sign of a currency or % may stand beside a number; True and
    False are 1 and 0.

    Parameters
    ----------
    decimal : {'.', ','} or None
        The decimal point; None is the one under which more cells are numbers.

    Attributes
    ----------
    decimals_ : dict of str to {'.', ','}
        The columns of numbers, as text or not, and the decimal point of each: that of
        the frame, or the other where it is the only one that fits.
    odd_cells_ : dict of str to list of str
        What cells of these columns were no numbers.
    """

    def __init__(self, decimal: str | None) -> None:
        self.decimal = decimal

    def fit_transform(self, X: Any) -> tuple[Any, list[str]]:
        """The frame with numbers, and what to say of columns with odd cells."""
        columns, said, made = texts(X, X.columns), [], {}
        first = self.decimal or decimal_of(columns)
        numeric = [name for name in X.columns if _holds_numbers(X[name])]
        self.decimals_, self.odd_cells_ = dict.fromkeys(numeric, first), {}
        for name, text in columns.items():
            for decimal in dict.fromkeys(self.decimal or first + ".,"):
                numbers, odd = read_numbers(text, decimal)
                if are_numbers(numbers, odd):
                    made[name], self.decimals_[name] = numbers, decimal
                    self.odd_cells_[name] = sorted(set(map(str, text[odd])))
                    said += _odd_text(name, text, odd)
                    break
        return self._with(X, made), said

    def transform(self, X: Any) -> tuple[Any, list[str]]:
        """The frame as :meth:`fit_transform` would make it, and what to say of it."""
        said, made = [], {}
        for name, text in texts(X, self.decimals_).items():
            made[name], odd = read_numbers(text, self.decimals_[name])
            odd = odd & ~text.isin(self.odd_cells_.get(name, [])).to_numpy()
            if odd.any() and not are_numbers(made[name], odd):
                raise ValueError(
                    f"Column {name!r} held numbers when the model was fitted, and now "
                    f"has {shown(text, odd)}. Correct it, or make it missing (None)."
                )
            said += _odd_text(name, text, odd)
        return self._with(X, made), said

    def _with(self, X: Any, made: dict[str, Any]) -> Any:
        words = [name for name in X.columns if name not in self.decimals_]
        return _with_words(_with_numbers(X, made), words)


def _odd_text(name: str, text: Any, odd: Any) -> list[str]:
    """What to say of the odd cells of a column, if there are any."""
    if not odd.any():
        return []
    return [
        f"Column {name!r} holds numbers, but for {shown(text, odd)}, which counts as "
        "missing."
    ]


def is_text(column: Any) -> bool:
    """Whether the cells of the column, a pandas Series, are text or missing."""
    import pandas as pd

    return bool(pd.api.types.infer_dtype(column, skipna=True) == "string")


def texts(X: Any, names: Iterable[str]) -> dict[str, Any]:
    """Those of the columns with text, as Series without blanks around the cells.

    Among the text may be numbers, as in what comes from a spreadsheet.
    """
    import pandas as pd

    found = {}
    for name in names:
        column = X[name]
        if hasattr(X, "get_columns"):
            text = str(column.dtype) == "String"
            column = pd.Series(column.to_list() if text else [], dtype=object)
        if is_text(column):
            found[name] = column.astype(object).str.strip()
        elif pd.api.types.infer_dtype(column, skipna=True).startswith("mixed"):
            cells = column.map(lambda x: x.strip() if isinstance(x, str) else x)
            if all(isinstance(cell, str | Number) for cell in cells.dropna()):
                found[name] = cells
    return found


def read_numbers(text: Any, decimal: str) -> tuple[Any, Any]:
    """The numbers that cells are, NaN for none; and a mask of those that are odd."""
    import pandas as pd

    other = "." if decimal == "," else ","
    # Between digits, before three of them, and after neither a leading 0 nor four.
    group = rf"(?<=\d)(?<!^0)(?<!^[+-]0)(?<!\d{{4}})[\s'\u2019{other}](?=\d{{3}}(?!\d))"
    plain = text.str.lower().str.translate({_MINUS: "-"})
    plain = plain.str.replace(_UNITS, r"\1", regex=True)
    plain = plain.str.replace(r"^\((.*)\)$", r"-\1", regex=True)
    plain = plain.str.replace(group, "", regex=True)
    plain = plain.str.translate({ord("."): "_", ord(decimal): "."})
    plain = plain.replace({"true": "1", "false": "0"})
    # A cell that is no text has no .str.
    plain = plain.where(plain.notna(), text)
    numbers = pd.to_numeric(plain, errors="coerce").astype(float)
    numbers = numbers.where(numbers.abs() < np.inf)
    nothing = text.str.fullmatch(_NOTHING, flags=re.IGNORECASE).eq(True)
    return numbers, (text.notna() & numbers.isna() & ~nothing).to_numpy(bool)


def decimal_of(columns: Mapping[str, Any]) -> str:
    """The decimal point under which the most cells are numbers."""
    heads = [text.dropna().head(1000) for text in columns.values()]

    def count(decimal: str) -> int:
        return sum(read_numbers(text, decimal)[0].count() for text in heads)

    return max(".,", key=count)


def are_numbers(numbers: Any, odd: Any) -> bool:
    """Whether a column holds numbers, but for a few odd cells."""
    return bool(
        numbers.count() > 0 and odd.sum() <= _FEW * (numbers.count() + odd.sum())
    )


def _holds_numbers(column: Any) -> bool:
    import pandas as pd

    if hasattr(column, "is_null"):
        return bool(column.dtype.is_numeric() or str(column.dtype) == "Boolean")
    kind = pd.api.types.infer_dtype(column, skipna=True)
    return kind in {"integer", "floating", "mixed-integer-float", "decimal", "boolean"}


def _with_numbers(X: Any, made: dict[str, Any]) -> Any:
    if hasattr(X, "get_columns"):
        # Polars tells NaN and missing apart.
        return X.with_columns(
            type(X[name])(name, numbers.to_numpy(), nan_to_null=True)
            for name, numbers in made.items()
        )
    X = X.copy(deep=False)
    for name, numbers in made.items():
        X[name] = numbers
    return X


def _with_words(X: Any, names: list[str]) -> Any:
    """The same words in these columns, however they came.

    Blanks around them go, and so do the decimal points of whole numbers: where a cell
    is missing, pandas reads these as floats.
    """
    if hasattr(X, "get_columns"):
        columns = [X[name] for name in names]
        text = [each for each in columns if str(each.dtype) == "String"]
        floats = [each for each in columns if each.dtype.is_float()]
        whole = [each for each in floats if (each.drop_nulls() % 1 == 0).all()]
        stripped = [each.str.strip_chars() for each in text]
        return X.with_columns(stripped + [each.cast(int) for each in whole])
    for name in names:
        column = X[name]
        if column.dtype.kind == "f" and (column.dropna() % 1 == 0).all():
            X[name] = column.astype("Int64")
        elif column.dtype.name != "category" and is_text(column):
            X[name] = column.str.strip()
    return X


def listed(names: Any) -> str:
    """Names as Python writes them, ten at most."""
    names = list(names)
    return ", ".join(map(repr, names[:10])) + (", ..." if len(names) > 10 else "")


def libraries() -> tuple[Any, Any]:
    """pandas and skrub, of the extra ``table``."""
    try:
        import pandas
        import skrub
    except ImportError as error:
        raise ImportError(
            f'data frames need pandas and skrub ({error}): pip install "skreg[table]"'
        ) from error
    except OSError:
        # It makes a folder in the home directory, which may be read-only. Processes
        # that joblib starts look for one as well.
        folder = Path(tempfile.gettempdir(), "skrub_data")
        os.environ["SKB_DATA_DIRECTORY"] = str(folder)
        import skrub
    return pandas, skrub
