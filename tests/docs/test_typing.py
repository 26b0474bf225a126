"""What a type checker says of a user's code: `tests/typed/` holds right and wrong."""

import ast
import importlib
import inspect
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import using
from sklearn.base import BaseEstimator

import skreg

TYPED = Path(__file__).parents[1] / "typed"
PACKAGE = Path(skreg.__file__).parent


def parse(file):
    return ast.parse(file.read_text(encoding="utf-8"))


def public_names():
    """`skreg.show_versions`, `skreg.dask.fit` and the like."""
    for found in pkgutil.iter_modules(skreg.__path__):
        if found.name.startswith("_"):
            continue
        module = importlib.import_module(f"skreg.{found.name}")
        for node in ast.parse(inspect.getsource(module)).body:
            is_made_here = isinstance(node, ast.FunctionDef | ast.ClassDef)
            listed = getattr(module, "__all__", None)
            if is_made_here and (
                node.name in listed if listed else node.name[0] != "_"
            ):
                yield f"skreg.{found.name}.{node.name}"
    for name in skreg.__all__:
        yield f"skreg.{name}"


def public_methods():
    """Those of the public classes, less fitted attributes and scikit-learn's own."""
    for value in vars(skreg).values():
        if isinstance(value, type):
            for name in vars(value):
                of_sklearn = name in dir(BaseEstimator) or "_request" in name
                if not (name[0] == "_" or name[-1] == "_" or of_sklearn):
                    yield name


def used_in(tree):
    """The full names that a program uses, and the attributes that it asks for."""
    origins, names, attributes = {}, set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                origins[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Name | ast.Attribute):
            names.add(ast.unparse(node))
            if isinstance(node, ast.Attribute):
                attributes.add(node.attr)
    for name in list(names):
        first, *rest = name.split(".")
        names.add(".".join([origins.get(first, first), *rest]))
    return names, attributes


def test_the_typed_program_uses_every_public_name():
    names, attributes = used_in(parse(TYPED / "user_code.py"))
    assert set(public_names()) - names == set()
    assert set(public_methods()) - attributes == set()


def test_a_name_counts_as_used_where_it_is_more_than_imported():
    names, attributes = used_in(
        ast.parse(
            "import skreg.dask\n"
            "from skreg import functional, show_versions\n"
            "from skreg import RegularizedMLPClassifier as Model\n"
            "Model().fit(X)\n"
            "functional.compute_cost(A, Y)\n"
            "skreg.dask.fit(m)\n"
        )
    )
    assert {name for name in names if name.startswith("skreg.")} == {
        "skreg.RegularizedMLPClassifier",
        "skreg.dask",
        "skreg.dask.fit",
        "skreg.functional",
        "skreg.functional.compute_cost",
    }
    assert "fit" in attributes
    assert "show_versions" not in attributes


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    """(file, line, text) of each error that mypy reports, in both files."""
    pytest.importorskip("mypy", reason="mypy is not installed")
    # Elsewhere than in the checkout, so that skreg is a library and not the user's own.
    options = ["--config-file", TYPED / "mypy.ini", "--cache-dir", os.devnull]
    files = [TYPED / "user_code.py", TYPED / "wrong_code.py"]
    result = subprocess.run(
        [sys.executable, "-m", "mypy", *options, "--no-error-summary", *files],
        cwd=tmp_path_factory.mktemp("mypy"),
        capture_output=True,
        text=True,
    )
    assert result.stderr == ""
    found = []
    for line in result.stdout.splitlines():
        said = re.fullmatch(r"(.*\.py):(\d+): (error|note): (.*)", line)
        assert said, f"mypy says: {line}"
        file, number, severity, text = said.groups()
        if severity == "error":
            found.append((Path(file).name, int(number), text))
    return found


@pytest.mark.slow
def test_a_users_typed_code_checks(reported):
    assert [error for error in reported if error[0] != "wrong_code.py"] == []


@pytest.mark.slow
def test_wrong_calls_are_reported(reported):
    lines = (TYPED / "wrong_code.py").read_text(encoding="utf-8").splitlines()
    expected = {
        number: line.split("  # E: ")[1]
        for number, line in enumerate(lines, start=1)
        if "  # E: " in line
    }
    found = {number: text for file, number, text in reported if file == "wrong_code.py"}
    assert set(found) == set(expected)
    for number, text in found.items():
        assert expected[number] in text, f"line {number}: {text}"


@pytest.mark.slow
def test_the_typed_program_runs(monkeypatch, capsys):
    # So that what mypy says of the results is what they are.
    monkeypatch.syspath_prepend(TYPED)
    import user_code

    # compile_kernels would turn them on for all tests that follow.
    with using("numpy"):
        user_code.main()
    assert f"skreg {skreg.__version__}\n" in capsys.readouterr().out
