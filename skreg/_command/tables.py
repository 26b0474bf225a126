"""Tables from files: their columns, which of them say something, and the classes.

pandas reads them, and ``tabular_pipeline`` finds the numbers in text.
"""

from __future__ import annotations

import csv
import io
import re
import warnings
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Any

from skreg._tabular import cells

ENCODINGS, SEPARATORS = ("utf-8-sig", "utf-16", "cp1252"), ",;\t|"
# skrub takes minutes for more columns. Of a class one row is held out, and the others
# are for two folds at least.
MOST_COLUMNS, MOST_CLASSES, LEAST_ROWS = 5_000, 100, 4
IDENTIFIER = r"(^|[\W_])(?i:id|uuid|key|index|idx|nr|no|number|serial)$|[a-z]I[dD]$"


def read(path: Path, names: Collection[Any], sep: str | None, encoding: Any) -> Any:
    """The data frame: text as text, and the columns of a Parquet file as typed.

    The separator is found by the ``names`` of columns that it may have. In the first,
    the target, a word for missing values is a class if it occurs as often as one.
    """
    import pandas as pd

    if path.exists() and not (path.is_file() or path.is_fifo()):
        raise ValueError("neither a file nor a pipe")
    if path.suffix.lower() in {".parquet", ".pq"}:
        frame = pd.read_parquet(path).reset_index(drop=True)
        return frame.set_axis([str(name) for name in frame], axis="columns")
    # A pipe can be read only once.
    data = path.read_bytes() if path.is_fifo() else None

    def parse(**how: Any) -> Any:
        source = path if data is None else io.BytesIO(data)
        return pd.read_csv(source, dtype=str, skipinitialspace=True, **how)

    for each in [encoding] if encoding else ENCODINGS:
        if each == "cp1252":
            warnings.warn("the table is no UTF-8, and is read as cp1252", stacklevel=1)
        try:
            return _parsed(partial(parse, encoding=each), names, sep)
        except UnicodeError as error:
            reason = error
    raise ValueError(f"{reason}; give another --encoding")


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


def is_identifier(name: str, column: Any, decimal: str) -> bool:
    """Whether the column only tells the rows apart: single words, or integers.

    Integers that are measured may all differ as well. But they are spread out, in no
    order, and have other names.
    """
    _, skrub = cells.libraries()

    text = column.dropna().astype(str)
    if text.nunique() < max(2, 0.95 * len(text)):
        return False
    numbers, odd = cells.read_numbers(text, decimal)
    if not cells.are_numbers(numbers, odd):
        words = text.str.contains(r"\s").mean() < 0.5
        return bool(words and cells.is_text(skrub.to_datetime(text)))
    numbers = numbers.dropna()
    counted = numbers.max() - numbers.min() < 10 * len(numbers)
    ordered = numbers.is_monotonic_increasing or numbers.is_monotonic_decreasing
    telling = counted or ordered or re.search(IDENTIFIER, name)
    return bool(telling and (numbers % 1 == 0).all())


def classes(column: Any, decimal: str) -> Any:
    """The classes of the rows that have one: bools, numbers or words."""
    words = column.dropna().astype(str).str.strip().replace("", None).dropna()
    numbers, _ = cells.read_numbers(words, decimal)
    if words.str.lower().isin(["true", "false"]).all():
        return numbers == 1
    if numbers.isna().any():
        return words
    return numbers.astype("int64") if (numbers % 1 == 0).all() else numbers


def check_classes(labels: Any, target: str) -> None:
    """Refuse a target that is continuous, or whose classes have too few rows."""
    counts = labels.value_counts()
    if not 2 <= len(counts) <= MOST_CLASSES or counts.iloc[-1] < LEAST_ROWS:
        rarest = "".join(f", {k!r} in {n} rows" for k, n in counts[-1:].items())
        raise ValueError(
            f"the target {target!r} has {len(counts)} different values{rarest}; "
            f"classes are few, 2 to {MOST_CLASSES}, and have {LEAST_ROWS} rows or more"
        )
