"""An exception at any line of the package that a call runs, as Ctrl-C may come."""

import ast
import sys
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import skreg

PACKAGE = str(Path(skreg.__file__).parent)


@cache
def heads_of_with(file):
    """The lines of ``with`` itself: Python comes there again to leave the block.

    An exception of the tracer would then keep it from doing so, which that of a signal
    cannot.
    """
    tree = ast.parse(Path(file).read_text(encoding="utf-8"))
    return {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.With)
        for line in range(node.lineno, node.body[0].lineno)
    } | unguarded_in_with(tree)


def unguarded_in_with(tree):
    """The lines of comprehensions and of ``try`` in a block, from Python 3.12 on.

    They are in the block's frame, but an exception of the tracer there does not leave
    the block either; that of a signal does.
    """
    if sys.version_info < (3, 12):
        return set()
    inside = [
        node
        for block in ast.walk(tree)
        if isinstance(block, ast.With)
        for node in ast.walk(block)
    ]
    lines = {node.lineno for node in inside if isinstance(node, ast.Try)}
    for node in inside:
        if isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp):
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
        if event == "line" and frame.f_lineno not in heads_of_with(file):
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
