"""Tables from files: their columns, which of them say something, and the classes.

pandas reads them, and ``tabular_pipeline`` finds the numbers in text.
"""

from __future__ import annotations

import csv
import io
import re
import warnings
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from skreg._tabular import cells

ENCODINGS, SEPARATORS = ("utf-8-sig", "utf-16", "cp1252"), ",;\t|"
# skrub takes minutes for more columns. Of a class one row is held out, and the others
# are for two folds at least.
MOST_COLUMNS, MOST_CLASSES, LEAST_ROWS = 5_000, 100, 4
IDENTIFIER = r"^Unnamed: 0$|[a-z]I[dD]$|(^|[\W_])(?i:id|key|index|idx|nr|no|number)$"
# Neither codes such as 007 nor what float64 rounds.
NUMBER = r"(?i)true|false|[+-]?(0|[1-9]\d{0,14})([.,]\d+)?"


def read(path: Path, names: Collection[Any], sep: str | None, encoding: Any) -> Any:
    """The data frame: text as text, and the columns of a Parquet file as typed.

    The separator is found by the ``names`` of columns that it may have. In the first,
    the target, a word for missing values is a class if it occurs as often as one.
    """
    import pandas as pd

    # A pipe can be read only once.
    data = path.read_bytes() if path.is_fifo() else None

    def parse(**how: Any) -> Any:
        source = path if data is None else io.BytesIO(data)
        return pd.read_csv(source, dtype=str, skipinitialspace=True, **how)

    if path.exists() and not (path.is_file() or path.is_fifo()):
        raise ValueError("neither a file nor a pipe")
    if path.suffix.lower() in {".parquet", ".pq"}:
        frame = pd.read_parquet(path)
        frame = frame.reset_index(drop=frame.index.names == [None])
        return frame.set_axis([str(name) for name in frame], axis="columns")
    for each in [encoding] if encoding else ENCODINGS:
        if each == "cp1252" and not encoding:
            warnings.warn("it is no UTF-8, and is read as cp1252", stacklevel=1)
        with suppress(UnicodeError):
            return _parsed(partial(parse, encoding=each), names, sep)
    raise ValueError("it is text in another encoding; give --encoding")


def _parsed(parse: Callable[..., Any], names: Collection[Any], sep: str | None) -> Any:
    # No such character is in it.
    line = parse(sep="\x1f", quoting=csv.QUOTE_NONE, header=None, nrows=1).iloc[0, 0]
    if max(map(str(line).count, SEPARATORS)) >= MOST_COLUMNS:
        raise ValueError(f"more columns than the {MOST_COLUMNS} that it may have")
    headers = {
        each: parse(sep=each, header=None, nrows=1).iloc[0]
        for each in ([sep] if sep else [*SEPARATORS, r"\s+"])
    }
    # Blanks may be in names, and separate them only where nothing else does.
    found = {s: (own.isin(names).sum(), s in SEPARATORS) for s, own in headers.items()}
    sep = max(headers, key=lambda s: (*found[s], len(headers[s])))
    own = headers[sep]
    if (twice := own[own.duplicated() & own.notna()]).size:
        raise ValueError(f"duplicate column names: {cells.listed(twice)}; rename them")
    parse = partial(parse, sep=sep)
    head = parse(nrows=100)
    # Lines are longer than the header: they begin with a name, or end with a separator.
    if head.index.dtype != "int64" and head.iloc[:, -1].isna().all():
        parse = partial(parse, index_col=False)
    frame = parse().reset_index(drop=True)
    for target in [name for name in [*names][:1] if name in frame]:
        raw = parse(keep_default_na=False)[target].str.strip().reset_index(drop=True)
        words = raw[frame[target].isna() & (raw != "")].value_counts()
        often = words.index[words >= max(8, 0.05 * len(raw))]
        frame[target] = raw.where(frame[target].notna() | raw.isin(often))
    return frame


def is_identifier(name: str, column: Any) -> bool:
    """Whether the column only tells the rows apart: single words, or integers.

    Integers that are measured may all differ as well. But they are spread out, and have
    other names.
    """
    text = column.dropna().astype(str)
    if text.nunique() < max(2, 0.95 * len(text)):
        return False
    for decimal in ".,":
        numbers, odd = cells.read_numbers(text, decimal)
        if cells.are_numbers(numbers, odd):
            spread = (numbers.max() - numbers.min()) / len(numbers)
            counted = spread < 2 or (spread < 10 and numbers.is_monotonic_increasing)
            whole = (numbers.dropna() % 1 == 0).all()
            return bool(whole and (counted or re.search(IDENTIFIER, name)))
    # Dates and times differ as well.
    words = ~(text.str.contains(r"\s") | text.str.match(r"\d+[-./:]\d"))
    return bool(words.mean() > 0.5 and text.str.len().median() < 40)


def classes(column: Any, known: Any = None) -> Any:
    """The classes of the rows that have one: words, integers or bools.

    What they are is as in ``known``, the classes of a model, or as all of them look.
    """
    words = column.dropna().astype(str).str.strip().replace("", None).dropna()
    if (
        not words.str.fullmatch(NUMBER).all()
        if known is None
        else known.dtype.kind == "U"
    ):
        return words
    numbers = cells.read_numbers(words, ".")[0].dropna()
    if known is None and words.str.fullmatch("(?i:true|false)").all():
        return numbers == 1
    return numbers.astype("int64") if (numbers % 1 == 0).all() else words


def check_classes(labels: Any, target: str) -> None:
    """Refuse a target that is continuous, or whose classes have too few rows."""
    counts = labels.value_counts()
    if not 2 <= len(counts) <= MOST_CLASSES or counts.iloc[-1] < LEAST_ROWS:
        rarest = "".join(f", {k!r} in {n} rows" for k, n in counts.iloc[-1:].items())
        raise ValueError(
            f"the target {target!r} has {len(counts)} different values{rarest}; "
            f"classes are few, 2 to {MOST_CLASSES}, and have {LEAST_ROWS} rows or more"
        )
