"""The layout of the package, read from its tree: who imports whom, and how long it is.

A room is a file or a folder directly in ``skreg``.
"""

import ast
import io
import re
import runpy
import tokenize
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from helpers import using

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "skreg"
REFERENCE = Path(__file__).with_name("reference.py")

OPTIONAL = {
    "dask",
    "distributed",
    "imblearn",
    "matplotlib",
    "numba",
    "onnx",
    "onnxruntime",
    "optuna",
    "pandas",
    "polars",
    "pyarrow",
    "shap",
    "skl2onnx",
    "skops",
    "skrub",
    "torch",
}
MOST_LINES_OF_A_FILE = 400
MOST_LINES_OF_A_FUNCTION = 50
MOST_METHODS = 20
MOST_ROOMS, MOST_FLOORS, MOST_ARROWS = 14, 6, 25
MOST_CHANGES_OF_FILE, MOST_FRAMES = 30, 8

FILES = sorted(PACKAGE.rglob("*.py"))


def module_of(file):
    """`skreg._network.loss`; a folder for its `__init__`."""
    *folders, name = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(folders if name == "__init__" else [*folders, name])


MODULES = {module_of(file): file for file in FILES}
every_file = pytest.mark.parametrize("file", FILES, ids=module_of)


def parse(file):
    return ast.parse(file.read_text(encoding="utf-8"))


def imports_of(tree):
    """(module, name) of each import anywhere in a file; the name may be None."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, None
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield "." * node.level + (node.module or ""), alias.name


def modules_imported(tree, known=MODULES):
    """The modules of skreg that a file imports, as they are in the tree."""
    found = set()
    for module, name in imports_of(tree):
        whole = f"{module}.{name}"
        if whole in known:
            found.add(whole)
        elif module == "skreg" or module.startswith("skreg."):
            found.add(module)
    return found


def room_of(module):
    """The room that a module is in, `__init__` for the package itself."""
    return module.partition(".")[2].partition(".")[0] or "__init__"


def arrows_of(imports, part=lambda module: module):
    """The parts of the tree → those that they import from, themselves left out."""
    arrows = {part(module): set() for module in imports}
    for module, others in imports.items():
        arrows[part(module)] |= {part(other) for other in others} - {part(module)}
    return arrows


def floors_of(arrows):
    """How high each room lies: above all that it imports from. Raises for a circle."""
    floors = {}
    for room in TopologicalSorter(arrows).static_order():
        floors[room] = 1 + max((floors[other] for other in arrows[room]), default=0)
    return floors


def order_on_the_page():
    """The floors as docs/architecture.md names them, from the lowest up."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^`.*` ← .*$", page, flags=re.M)
    return [set(re.findall(r"`(\w+)`", floor)) for floor in line.split("←")]


def lines_of_code(source):
    """The numbers of the lines that hold more than a docstring or a comment."""
    docstrings = set()
    for node in ast.walk(ast.parse(source)):
        if not isinstance(
            node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        ):
            continue
        if ast.get_docstring(node, clean=False) is not None:
            text = node.body[0]
            docstrings |= set(range(text.lineno, text.end_lineno + 1))
    nothing = {
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENDMARKER,
    }
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in nothing:
            lines |= set(range(token.start[0], token.end[0] + 1))
    return lines - docstrings


def long_functions(source, most):
    """The functions with more lines of code than that, and how many they have."""
    lines = lines_of_code(source)
    found = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            count = sum(node.lineno <= line <= node.end_lineno for line in lines)
            if count > most:
                found[node.name] = count
    return found


def large_classes(source, most):
    """The classes that define more methods than that, and how many they do."""
    functions = ast.FunctionDef | ast.AsyncFunctionDef
    counts = {
        node.name: sum(isinstance(each, functions) for each in node.body)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ClassDef)
    }
    return {name: count for name, count in counts.items() if count > most}


def imported_at_once(node):
    """The libraries whose import runs when the file is imported."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        return set()
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        return set().union(*map(imported_at_once, node.orelse))
    if isinstance(node, ast.Import):
        return {alias.name.split(".")[0] for alias in node.names}
    if isinstance(node, ast.ImportFrom):
        return set() if node.level else {node.module.split(".")[0]}
    return set().union(*map(imported_at_once, ast.iter_child_nodes(node)))


# The package -------------------------------------------------------------------------

IMPORTS = {module: modules_imported(parse(file)) for module, file in MODULES.items()}
ROOMS = arrows_of(IMPORTS, room_of)


def test_there_are_files():
    assert {"skreg", "skreg._models.classifier", "skreg._network.loss"} <= set(MODULES)
    assert "_network" in ROOMS["_training"]


@every_file
def test_imports_are_absolute_and_of_modules_that_there_are(file):
    assert not [name for name, _ in imports_of(parse(file)) if name.startswith(".")]
    assert IMPORTS[module_of(file)] <= set(MODULES)


def test_no_file_is_in_a_circle():
    # A public name that a file takes from a folder is the folder's, and its `__init__`
    # needs what it exports; so the folder counts as a file above them.
    assert len(floors_of(arrows_of(IMPORTS))) == len(FILES)


def test_the_rooms_are_few_and_stand_on_few_floors():
    assert len(ROOMS) <= MOST_ROOMS
    assert max(floors_of(ROOMS).values()) <= MOST_FLOORS
    assert sum(map(len, ROOMS.values())) <= MOST_ARROWS


def test_a_room_imports_only_rooms_on_floors_below_it():
    order = order_on_the_page()
    height = {room: floor for floor, rooms in enumerate(order) for room in rooms}
    assert sorted(height) == sorted(ROOMS)
    assert sum(map(len, order)) == len(height)
    upwards = {
        (room, other)
        for room, others in ROOMS.items()
        for other in others
        if height[other] >= height[room]
    }
    assert upwards == set()


@using("numpy")
def test_the_way_from_fit_to_the_product_is_short():
    path = ROOT / "docs" / "benchmarks" / "ladder.py"
    changes_of_file, frames = runpy.run_path(str(path))["ladder"]()
    assert changes_of_file <= MOST_CHANGES_OF_FILE
    assert frames <= MOST_FRAMES


@every_file
def test_nothing_is_long(file):
    source = file.read_text(encoding="utf-8")
    assert len(lines_of_code(source)) <= MOST_LINES_OF_A_FILE
    assert long_functions(source, MOST_LINES_OF_A_FUNCTION) == {}
    assert large_classes(source, MOST_METHODS) == {}


@every_file
def test_optional_libraries_are_imported_late(file):
    assert not imported_at_once(parse(file)) & OPTIONAL


def test_the_oracle_imports_nothing_of_the_package():
    assert {module.split(".")[0] for module, _ in imports_of(parse(REFERENCE))} == {
        "math",
        "numpy",
    }


# What these tests stand on -----------------------------------------------------------

KNOWN = {"skreg", "skreg._network", "skreg._network.loss", "skreg._network.theta"}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import numpy", set()),
        ("import skreg", {"skreg"}),
        ("import skreg._network.loss", {"skreg._network.loss"}),
        ("from skreg import RegularizedMLPClassifier", {"skreg"}),
        ("from skreg import _network", {"skreg._network"}),
        ("from skreg._network import Array", {"skreg._network"}),
        (
            "from skreg._network import loss, theta as t",
            {"skreg._network.loss", "skreg._network.theta"},
        ),
        ("from skreg._network.loss import OUTPUTS", {"skreg._network.loss"}),
        ("def f():\n    from skreg._network import loss", {"skreg._network.loss"}),
        ("if TYPE_CHECKING:\n    import skreg._no", {"skreg._no"}),
        ("import skregular", set()),
    ],
)
def test_modules_imported(source, expected):
    assert modules_imported(ast.parse(source), KNOWN) == expected


def test_rooms_and_floors():
    imports = {
        "skreg": {"skreg._b.one"},
        "skreg._a": set(),
        "skreg._b": set(),
        "skreg._b.one": {"skreg._b.two"},
        "skreg._b.two": {"skreg._a", "skreg._b"},
    }
    rooms = arrows_of(imports, room_of)
    assert rooms == {"__init__": {"_b"}, "_a": set(), "_b": {"_a"}}
    assert floors_of(rooms) == {"_a": 1, "_b": 2, "__init__": 3}
    assert floors_of(arrows_of(imports))["skreg._b.one"] == 3


@pytest.mark.parametrize("back", ["one", "two"])
def test_a_circle_is_found(back):
    with pytest.raises(CycleError):
        floors_of({"one": {"two"}, "two": {"three"}, "three": {back}})


SOURCE = '''\
"""A docstring
of two lines."""

# A comment.
import math  # counted

TEXT = """two
lines"""


class A:
    """One line."""

    def f(self):
        """Several

        lines.
        """
        return math.pi
'''


def test_lines_of_code():
    assert lines_of_code(SOURCE) == {5, 7, 8, 11, 14, 19}


def test_what_is_long_is_found():
    assert long_functions(SOURCE, 2) == {}
    assert long_functions(SOURCE, 1) == {"f": 2}
    assert large_classes(SOURCE, 1) == {}
    assert large_classes(SOURCE, 0) == {"A": 1}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import pandas as pd", {"pandas"}),
        ("import matplotlib.pyplot", {"matplotlib"}),
        ("from dask.array import Array", {"dask"}),
        ("try:\n    import torch\nexcept ImportError:\n    pass", {"torch"}),
        ("class A:\n    import onnx", {"onnx"}),
        ("def f():\n    import onnx", set()),
        ("class A:\n    def f(self):\n        import onnx", set()),
        ("if TYPE_CHECKING:\n    import pandas\nelse:\n    import torch", {"torch"}),
        ("from . import onnx", set()),
    ],
)
def test_imported_at_once(source, expected):
    assert imported_at_once(ast.parse(source)) == expected
