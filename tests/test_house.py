"""The layout of the package: who may import whom, and how long a file may be."""

import ast
import io
import tokenize
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "skreg"
REFERENCE = Path(__file__).with_name("reference.py")

# From the top down: a file imports only files of the rows below its own. Not all of
# them need be there.
TABLE = [
    ["__init__"],
    ["__main__"],
    ["onnx", "dask", "io"],
    ["_show_versions"],
    ["_remote"],
    ["_partitions"],
    ["_displays", "_curves"],
    ["_drawing"],
    ["_search"],
    ["_selection"],
    ["_ensemble"],
    ["_stacks"],
    ["_classifier"],
    ["_exchange"],
    ["_persistence"],
    ["_guards"],
    ["_training"],
    ["_runs"],
    ["_advice"],
    ["_problem"],
    ["_settings"],
    ["_batches"],
    ["_data"],
    ["_observers"],
    ["_solvers"],
    ["_stopping"],
    ["_optimizers"],
    ["_objective"],
    ["functional"],
    ["_network"],
    ["_loss"],
    ["_activations"],
    ["_dropout"],
    ["_threads"],
    ["_parameters"],
    ["_calls", "_files", "_version"],
]
ROW = {name: row for row, names in enumerate(TABLE) for name in names}
# The command is a user of the package: it imports the public names, which stand above.
USERS_OF_THE_PACKAGE = {"__main__"}

OPTIONAL = {
    "dask",
    "distributed",
    "imblearn",
    "matplotlib",
    "onnx",
    "onnxruntime",
    "optuna",
    "pandas",
    "pyarrow",
    "shap",
    "skl2onnx",
    "skops",
    "torch",
}
MOST_LINES = 400

FILES = sorted(PACKAGE.rglob("*.py"))
every_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


def parse(file):
    return ast.parse(file.read_text(encoding="utf-8"))


def imports_of(tree):
    """(module, name) of each import anywhere in a file; the name may be None."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, None
        elif isinstance(node, ast.ImportFrom):
            # The package has no folders, so that any level of dots is skreg.
            module = node.module or ""
            if node.level:
                module = f"skreg.{module}".rstrip(".")
            for alias in node.names:
                yield module, alias.name


def files_imported(tree):
    """The files of skreg that a file imports, `__init__` for the package itself."""
    found = set()
    for module, name in imports_of(tree):
        top, *rest = module.split(".")
        if top != "skreg":
            continue
        if rest:
            found.add(rest[0])
        else:
            found.add(name if name in ROW else "__init__")
    return found


def out_of_order(name, imported):
    """The files among those imported that do not stand below."""
    allowed = {"__init__"} if name in USERS_OF_THE_PACKAGE else set()
    return {
        other
        for other in imported - allowed
        if other not in ROW or ROW[other] <= ROW[name]
    }


def lines_of_code(source):
    """The lines that hold more than a docstring, a comment or white space."""
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
    return len(lines - docstrings)


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


def test_there_are_files():
    assert {"__init__", "_classifier", "_network"} <= {file.stem for file in FILES}


@every_file
def test_every_file_is_in_the_table(file):
    assert file.parent == PACKAGE
    assert file.stem in ROW


@every_file
def test_a_file_imports_only_files_below_it(file):
    assert out_of_order(file.stem, files_imported(parse(file))) == set()


@every_file
def test_no_file_is_long(file):
    assert lines_of_code(file.read_text(encoding="utf-8")) <= MOST_LINES


@every_file
def test_optional_libraries_are_imported_late(file):
    assert not imported_at_once(parse(file)) & OPTIONAL


def test_the_oracle_imports_nothing_of_the_package():
    assert {module.split(".")[0] for module, _ in imports_of(parse(REFERENCE))} == {
        "math",
        "numpy",
    }


# What these tests stand on -----------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import numpy", set()),
        ("import skreg", {"__init__"}),
        ("import skreg._loss", {"_loss"}),
        ("from skreg import RegularizedMLPClassifier", {"__init__"}),
        ("from skreg import _loss, _network as n", {"_loss", "_network"}),
        ("from skreg._loss import OUTPUTS", {"_loss"}),
        ("from ._loss import OUTPUTS", {"_loss"}),
        ("from . import _loss", {"_loss"}),
        ("def f():\n    from skreg._data import Batches", {"_data"}),
        ("if TYPE_CHECKING:\n    from skreg._data import Batches", {"_data"}),
        ("import skregular", set()),
    ],
)
def test_files_imported(source, expected):
    assert files_imported(ast.parse(source)) == expected


@pytest.mark.parametrize(
    ("name", "imported", "expected"),
    [
        ("_network", {"_activations", "_parameters"}, set()),
        ("_network", {"_network"}, {"_network"}),
        ("_network", {"_objective", "_loss"}, {"_objective"}),
        ("_network", {"__init__"}, {"__init__"}),
        ("onnx", {"dask"}, {"dask"}),
        ("__init__", {"_classifier"}, set()),
        ("__main__", {"__init__", "_data"}, set()),
        ("_data", {"_unknown"}, {"_unknown"}),
    ],
)
def test_out_of_order(name, imported, expected):
    assert out_of_order(name, imported) == expected


def test_lines_of_code():
    source = '''\
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
    assert lines_of_code(source) == 6


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
