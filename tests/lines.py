"""An exception at any line of the package that a call runs, as Ctrl-C may come."""

import ast
import sys
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import skreg

PACKAGE = str(Path(skreg.__file__).parent)


@cache
def unguarded_lines(file):
    """Lines of a ``with`` block where an exception of the tracer does not end it.

    That of a signal does. They are those of ``with`` itself, to which Python comes
    again to leave the block, of ``try`` in it, and, where it has them in the block's
    frame (3.12 and newer), of comprehensions.
    """
    tree = ast.parse(Path(file).read_text(encoding="utf-8"))
    inlined = (ast.ListComp, ast.SetComp, ast.DictComp)
    lines = set()
    for block in ast.walk(tree):
        if not isinstance(block, ast.With):
            continue
        lines |= set(range(block.lineno, block.body[0].lineno))
        for node in ast.walk(block):
            if isinstance(node, ast.Try):
                lines.add(node.lineno)
            elif isinstance(node, inlined) and sys.version_info >= (3, 12):
                lines |= set(range(node.lineno, node.end_lineno + 1))
    return lines


class AtLine:
    """Raise ``error`` at the line with this number that is run, counted from 1.

    ``n_lines`` are those that were run; ``place`` is where it was raised, or None.
    """

    def __init__(self, number, error=KeyboardInterrupt, package=PACKAGE):
        self.number = number
        self.error = error
        self.package = package
        self.n_lines = 0
        self.place = None

    def __call__(self, frame, event, arg):
        """The trace function: of the frames of the package alone."""
        file = frame.f_code.co_filename
        if not file.startswith(self.package):
            return None
        if event == "line" and frame.f_lineno not in unguarded_lines(file):
            self.n_lines += 1
            if self.n_lines == self.number:
                self.place = f"{Path(file).name}:{frame.f_lineno}"
                raise self.error
        return self


@contextmanager
def raised_at_line(number, error=KeyboardInterrupt, package=PACKAGE):
    """Within it the exception is raised and caught; 0 is for no line.

    Lines count that are in the folder ``package``.
    """
    before, tracer = sys.gettrace(), AtLine(number, error, package)
    sys.settrace(tracer)
    try:
        yield tracer
    except error:
        if tracer.place is None:
            raise
    finally:
        sys.settrace(before)
