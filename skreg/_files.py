"""Files that are written whole or not at all, and text that is safe to print."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO


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
