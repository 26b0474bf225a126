"""Files of models that are whole, and that are checked before anything is loaded.

:func:`dump` writes the format of `skops <https://skops.readthedocs.io>`_ with a
checksum, and :func:`load` reads what :func:`dump` wrote. Both need the extra
``persistence``: ``pip install "skreg[persistence]"``.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import secrets
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO

from skreg._models.classifier import RegularizedMLPClassifier
from skreg._models.ensemble import RegularizedMLPEnsemble
from skreg._models.search import RegularizedMLPClassifierCV

__all__ = ["dump", "load"]

# The comment of the archive, which is the end of the file: this, and the digest of all
# bytes before the digest.
_MARK = b"skreg sha256 "
_DIGITS = 64
_OURS = RegularizedMLPClassifier, RegularizedMLPEnsemble, RegularizedMLPClassifierCV
# What a fitted pipeline of tabular_pipeline() is made of, in all versions of skrub. To
# load them runs no code of theirs.
_TABULAR = frozenset(
    {
        "skreg._tabular.cells.TextNumbers",
        "skreg._tabular.pipeline.NamedColumns",
        "skreg._tabular.pipeline._with_knots",
        "skrub._apply_to_cols.ApplyToCols",
        "skrub._apply_to_each_col.ApplyToEachCol",
        "skrub._check_input.CheckInputDataFrame",
        "skrub._clean_categories.CleanCategories",
        "skrub._clean_null_strings.CleanNullStrings",
        "skrub._datetime_encoder.DatetimeEncoder",
        "skrub._drop_uninformative.DropUninformative",
        "skrub._duration_to_float.DurationToFloat",
        "skrub._select_cols.Drop",
        "skrub._string_encoder.StringEncoder",
        "skrub._table_vectorizer.PassThrough",
        "skrub._table_vectorizer.ShortReprDict",
        "skrub._table_vectorizer.TableVectorizer",
        "skrub._to_datetime.ToDatetime",
        "skrub._to_float.ToFloat",
        "skrub._to_float32.ToFloat32",
        "skrub._to_str.ToStr",
        "skrub.selectors._base.All",
        "skrub.selectors._base.Cols",
        "datetime.timedelta",
        "datetime.timezone",
        "zoneinfo.ZoneInfo",
        "numpy.dtype",
        "pandas.DatetimeTZDtype",
        "pandas.core.dtypes.dtypes.DatetimeTZDtype",
        "polars.datatypes.classes.Date",
        "polars.datatypes.classes.Datetime",
        "scipy._lib.array_api_compat.numpy._aliases.asarray",
        "scipy.interpolate._bsplines.BSpline",
    }
)
# In older ones a file can reach more than the types that are trusted in it, and 0.15
# does not read the time zones that it writes.
_OLDEST_SKOPS = (0, 16)


def dump(estimator: Any, path: str | os.PathLike[str]) -> None:
    """Save a model in the format of skops, whole or not at all.

    The file is written beside ``path`` under another name, flushed to the disk and then
    renamed. Until then a file that was there stays as it was: if the disk is full, if
    the process is killed or if the power fails. A file that is replaced hands its
    permissions on, not its owner; other hard links to it keep the old one.

    Parameters
    ----------
    estimator : estimator
        A classifier of skreg, or a pipeline or another estimator with or without one
        inside. skops has to know how to save what it is made of.
    path : str or path-like
        The file. By custom its name ends in ``.skops``.

    Raises
    ------
    TypeError
        If skops cannot save the estimator, or something in it.
    ValueError
        If ``path`` is not a file that can be written, or its folder is none; or if
        there is a dict in the estimator whose keys would not come back from the file,
        as bools would not.
    OSError
        If it cannot be written, as on a full disk. A file that was there stays.
    ImportError
        If skops is missing, or is older than 0.16.

    See Also
    --------
    load : Read the file.

    Notes
    -----
    ``skops.io.load`` reads the file as well. It is a zip archive without compression,
    with ``skreg sha256`` and the SHA-256 digest of all bytes before the digest as its
    comment. The digest finds damage, not malice: whoever changes the file on purpose
    can write the digest anew.

    skops writes some things that it does not read again, such as a lambda. If there is
    more in the pipeline than scikit-learn and skreg, load the file once.

    Examples
    --------
    >>> import os
    >>> import tempfile
    >>> import skreg.io
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> X, y = load_iris(return_X_y=True)
    >>> model = make_pipeline(
    ...     StandardScaler(), skreg.RegularizedMLPClassifier(random_state=0)
    ... ).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "iris.skops")
    ...     skreg.io.dump(model, path)
    ...     loaded = skreg.io.load(path)
    >>> (loaded.predict_proba(X) == model.predict_proba(X)).all()
    np.True_
    """
    skops_io = import_skops()
    path = Path(path)
    check_writable(path)
    try:
        saved = io.BytesIO(skops_io.dumps(estimator))
    except MemoryError:
        raise
    except Exception as error:
        raise TypeError(
            f"skops cannot save this {type(estimator).__name__}: {_reason(error)}. "
            "Leave out what is neither a parameter nor an array (metadata requests, "
            "generators, open files), or save it with joblib."
        ) from error
    archive = io.BytesIO()
    with zipfile.ZipFile(saved) as old, zipfile.ZipFile(archive, "w") as file:
        for entry in old.infolist():
            content = old.read(entry)
            if entry.filename == "schema.json":
                content = _shortened(content)
            file.writestr(entry, content)
        file.comment = _MARK + b"0" * _DIGITS
    data = archive.getvalue()[:-_DIGITS]
    digest = hashlib.sha256(data).hexdigest().encode()
    write_whole(path, lambda file: file.writelines([data, digest]))


def load(path: str | os.PathLike[str], *, trusted: Iterable[str | type] = ()) -> Any:
    """Load a model that :func:`dump` saved, after its checksum and its types.

    Nothing of a file is loaded that is damaged, or that names a type which is not
    trusted. Those of skreg, and those that skops trusts itself (scikit-learn's
    estimators among them), are trusted; and so are those of skrub, scipy, pandas,
    Polars and the standard library of which :func:`skreg.tabular_pipeline` makes a
    pipeline by default.

    Parameters
    ----------
    path : str or path-like
        The file.
    trusted : iterable of str or type, default=()
        Further types to trust, by name or as they are. To trust a type is to let the
        file make objects of it, and call their ``__setstate__`` or constructor, with
        what it likes: look at the names first.

    Returns
    -------
    estimator : estimator
        The model.

    Raises
    ------
    ValueError
        If the file is damaged (cut off, empty or changed in a single bit), if
        :func:`dump` did not write it, or if skops or an estimator in it cannot read
        what is there.
    TypeError
        If there are types in the file that are not trusted. The message names them. Or
        if ``trusted`` is not as above; a function is trusted by its name.
    OSError
        If there is no such file, or it may not be read.
    ImportError
        If skops is missing, or is older than 0.16.

    See Also
    --------
    dump : Save a model.
    skops.io.get_untrusted_types : The types that skops does not trust itself.

    Examples
    --------
    A function of your own is not trusted, until you say so:

    >>> import os
    >>> import tempfile
    >>> import numpy as np
    >>> import skreg.io
    >>> from sklearn.preprocessing import FunctionTransformer
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = os.path.join(folder.name, "mean.skops")
    >>> skreg.io.dump(FunctionTransformer(np.linalg.norm), path)
    >>> skreg.io.load(path)
    Traceback (most recent call last):
        ...
    TypeError: ... names types that are not trusted: 'numpy.linalg.norm'. ...
    >>> skreg.io.load(path, trusted=["numpy.linalg.norm"])
    FunctionTransformer(func=<function norm at ...>)
    >>> folder.cleanup()
    """
    skops_io = import_skops()
    names = _names(_OURS) | _TABULAR | _names(trusted)
    data = _read(Path(path))
    try:
        _check_archive(data)
        strangers = sorted(set(skops_io.get_untrusted_types(data=data)) - names)
    except Exception as error:
        raise _unreadable(path, error) from error
    if strangers:
        raise TypeError(
            f"{_shown(path)} names types that are not trusted: {_list(strangers)}. "
            "Nothing was loaded. If you know what they do, and trust whoever wrote the "
            f"file, pass trusted=[{_list(strangers)}]."
        )
    try:
        return skops_io.loads(data, trusted=sorted(names))
    except Exception as error:
        raise _unreadable(path, error) from error


def import_skops() -> Any:
    """``skops.io``, or ImportError where it is missing or too old."""
    try:
        import skops
        import skops.io
    except ImportError as error:
        raise ImportError(
            'skreg.io needs the library skops: pip install "skreg[persistence]"'
        ) from error
    version = tuple(map(int, re.findall(r"\d+", skops.__version__)[:2]))
    if version < _OLDEST_SKOPS:
        raise ImportError(
            f"skreg.io needs skops 0.16 or newer, and {skops.__version__} is here: "
            "older versions load more than they were told to trust, or not all that "
            "they wrote. "
            'pip install -U "skreg[persistence]"'
        )
    return skops.io


def _names(trusted: Iterable[str | type]) -> frozenset[str]:
    """The full names of types that are given as they are or by name."""
    if isinstance(trusted, Iterable) and not isinstance(trusted, str | type):
        types = list(trusted)
        if all(isinstance(of, str | type) for of in types):
            return frozenset(map(_name, types))
    raise TypeError(
        f"trusted={trusted!r} must be a list of types or their names, such as "
        "['numpy.linalg.norm']."
    )


def _name(of: str | type) -> str:
    return of if isinstance(of, str) else f"{of.__module__}.{of.__qualname__}"


def _shortened(schema: bytes) -> bytes:
    """The schema without indentation and repetition, which are most of it.

    skops writes an object wherever it is referred to, and reads it once.
    """
    seen = set()

    def once(node: dict[str, Any]) -> dict[str, Any]:
        _check_keys(node)
        if node.get("__loader__") == "ObjectNode":
            if node["__id__"] in seen:
                node.pop("content", None)
                return node | {"__loader__": "CachedNode"}
            seen.add(node["__id__"])
        return node

    nodes = json.loads(schema, object_hook=once)
    return json.dumps(nodes, separators=(",", ":")).encode()


def _check_keys(node: dict[str, Any]) -> dict[str, Any]:
    """Refuse keys that skops, which writes them as text, does not read as they were.

    Of bool("False") it makes True, and of 1 and "1" one key.
    """
    if node.get("__loader__") == "DictNode":
        types = [each["__class__"] for each in node["key_types"]["content"]]
        if "bool" in types or len(types) != len(node["content"]):
            raise ValueError(
                "skops cannot save a dict with the keys "
                f"{_list(list(node['content']))} of the types {_list(types)}: other "
                "keys would be loaded. Use numbers or strings, not both and no bools; "
                "for class_weight the labels 0 and 1."
            )
    return node


def _read(path: Path) -> bytes:
    """The bytes of a file whose digest is right."""
    # To open a pipe would wait for a writer.
    if path.exists() and not path.is_file():
        raise ValueError(f"{_shown(path)} is not a file")
    advice = "Copy the file anew, or save the model again with skreg.io.dump."
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        if size == 0:
            raise ValueError(f"{_shown(path)} is empty. {advice}")
        # What is not ours, however large, is not read.
        file.seek(max(0, size - len(_MARK) - _DIGITS))
        end = file.read()
        file.seek(0)
        if not end.startswith(_MARK):
            if zipfile.is_zipfile(file):
                raise ValueError(
                    f"{_shown(path)} has no checksum of skreg at its end: it is "
                    "damaged, or skreg.io.dump did not write it. A file of "
                    "skops.io.dump is for skops.io.load."
                )
            raise ValueError(
                f"{_shown(path)} is no whole file of skreg.io.dump: it is cut off or "
                f"damaged, or of another kind. {advice}"
            )
        data = file.read()
    digest = hashlib.sha256(memoryview(data)[:-_DIGITS]).hexdigest()
    if data[-_DIGITS:] != digest.encode():
        raise ValueError(
            f"{_shown(path)} is damaged: its bytes do not agree with its checksum. "
            f"{advice}"
        )
    return data


def _check_archive(data: bytes) -> None:
    """Refuse what would be larger than the file itself, as ``dump`` writes nothing."""
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        entries = file.infolist()
        packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
        if packed or sum(entry.file_size for entry in entries) > len(data):
            raise ValueError("it says that it holds more than its own size")
        json.loads(file.read("schema.json"), object_hook=_check_sparse)


def _check_sparse(node: dict[str, Any]) -> dict[str, Any]:
    """Refuse a sparse matrix, which is packed, where its type is said to be another.

    skops looks at the type that it is said to be, and no further.
    """
    loader, module = node.get("__loader__"), node.get("__module__")
    if loader == "SparseMatrixNode" and not f"{module}.".startswith("scipy.sparse."):
        raise ValueError(f"it has a {loader} of the module {module!r}")
    return node


def _unreadable(path: str | os.PathLike[str], error: Exception) -> ValueError:
    return ValueError(
        f"{_shown(path)} cannot be loaded, though its checksum is right: "
        f"{_reason(error)}. It may need more memory, or other versions of skreg, skops "
        "or scikit-learn, or be made to harm."
    )


def _reason(error: Exception) -> str:
    # The text may quote the file.
    return printable(f"{type(error).__name__}: {error}"[:1000])


def _shown(path: str | os.PathLike[str]) -> str:
    return repr(os.fspath(path))


def _list(names: list[str]) -> str:
    """Names as Python writes them, ten at most."""
    more = ", ..." if len(names) > 10 else ""
    return ", ".join(ascii(name[:200]) for name in names[:10]) + more


# Any file, whole or not at all, and text that is safe to print -----------------------


def check_writable(path: Path) -> None:
    """Raise ValueError where :func:`write_whole` could not or should not write."""
    shown, path = path, Path(os.path.realpath(path))
    # Replacing a folder or a device by a file would do harm.
    if path.exists() and not (path.is_file() and os.access(path, os.W_OK)):
        raise ValueError(f"cannot write {shown}: it is not a writable file")
    if not path.parent.is_dir():
        raise ValueError(f"cannot write {shown}: there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise ValueError(f"cannot write {shown}: its folder is not writable")


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file whole or not at all.

    ``write`` gets a temporary file in the same folder, which takes the name of the
    other when all of it is on the disk. Until then, whatever happens, the old file
    stays. A link stays too, and what it points to is replaced. The new file has the
    permissions of the old one, or else those of any new file. Only a process that is
    killed leaves its temporary file, ``.<16 digits>.tmp``, behind.
    """
    # Path.resolve raises RuntimeError for links in a circle.
    path = Path(os.path.realpath(path))
    old_mode = path.stat().st_mode & 0o777 if path.exists() else None
    # From the first byte on nobody may read it who may not read the old one.
    mode = 0o666 if old_mode is None else old_mode
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        with open(
            temporary, "xb", opener=lambda name, flags: os.open(name, flags, mode)
        ) as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        if old_mode is not None:
            os.chmod(temporary, old_mode)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    # After a loss of power the folder should have the new name. Not every system can
    # be asked for that, and the file is whole in either case.
    with contextlib.suppress(OSError):
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def printable(text: str) -> str:
    """The text with escapes for what a terminal would act on, or cannot show."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
