"""The package's metadata, its README and what importing it costs."""

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import pytest

import skreg

ROOT = Path(__file__).resolve().parents[1]
CORE = {"numpy", "scikit-learn", "scipy", "joblib", "threadpoolctl"}
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
TOP_LEVEL = {
    "CHANGELOG.md",
    "LICENSE",
    "README.md",
    "docs",
    "pyproject.toml",
    "skreg",
    "tests",
}
TEST_COMMAND_MARK = "<!-- test command -->"


class Fence(NamedTuple):
    """A fenced block of a Markdown file."""

    before: str  # the last line before the block that is not blank
    language: str
    line: int  # where the block's text begins, from 1
    text: list[str]


def readme_fences():
    fences = []
    before, fence = "", None
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, start=1):
        if fence is not None:
            if line.startswith("```"):
                fences.append(fence)
                before, fence = line, None
            else:
                fence.text.append(line)
        elif line.startswith("```"):
            fence = Fence(before, line.strip("` "), number + 1, [])
        elif line.strip():
            before = line.strip()
    assert fence is None, f"the fence before line {fence.line} is never closed"
    return fences


@pytest.fixture(scope="module")
def project():
    with open(ROOT / "pyproject.toml", "rb") as file:
        return tomllib.load(file)["project"]


@pytest.fixture(scope="module")
def distribution():
    try:
        return importlib.metadata.distribution("skreg")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("skreg is not installed")


def requirement_name(requirement):
    return re.match(r"[\w.-]+", requirement).group()


def test_version_is_the_same_in_the_metadata(distribution):
    assert distribution.version == skreg.__version__


def test_version_has_one_source(project):
    assert "version" not in project
    assert project["dynamic"] == ["version"]


def test_core_dependencies(project):
    assert {requirement_name(r) for r in project["dependencies"]} == CORE


def test_oldest_versions_can_be_read(project):
    # `.ci/run` makes `name==version` of them.
    tools = project["optional-dependencies"]["test"]
    for requirement in project["dependencies"] + tools:
        assert re.fullmatch(r"[\w-]+>=[\d.]+", requirement)


def test_core_dependencies_of_the_installed_package(distribution):
    core = [r for r in distribution.requires if "extra ==" not in r]
    assert {requirement_name(r) for r in core} == CORE


def test_extras(project):
    assert {"plot", "distributed", "onnx", "test", "docs", "bench", "dev"} <= set(
        project["optional-dependencies"]
    )


def test_package_is_marked_as_typed():
    assert (Path(skreg.__file__).parent / "py.typed").is_file()


def run_python(code):
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_import_brings_no_optional_library():
    # scikit-learn may import some of them itself: those are not ours to answer for.
    code = (
        "import sys, joblib, scipy, sklearn\n"
        "before = set(sys.modules)\n"
        "import skreg\n"
        f"print(*({OPTIONAL} & (set(sys.modules) - before)))"
    )
    assert run_python(code).split() == []


def test_import_needs_no_optional_library():
    run_python(f"""
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name in {OPTIONAL}:
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Absent())
import skreg
""")


def test_readme_has_the_two_commands():
    commands = [f for f in readme_fences() if "pip install" in "\n".join(f.text)]
    assert len(commands) == 2
    for command in commands:
        assert len(command.text) == 1, f"line {command.line}: one line, please"
    (main,) = [f for f in commands if "-m skreg" in f.text[0]]
    (test,) = [f for f in commands if "-m pytest" in f.text[0]]
    assert main != test
    marked = [f for f in readme_fences() if f.before == TEST_COMMAND_MARK]
    assert marked == [test]


@pytest.mark.slow
def test_readme_examples_without_prompts_run(tmp_path, monkeypatch, capsys):
    # pytest's doctest runs those that have prompts (>>>).
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "readme"}
    for fence in readme_fences():
        code = "\n".join(fence.text)
        if fence.language == "python" and ">>>" not in code:
            # Blank lines first, so that a traceback shows the README's own lines.
            padded = "\n" * (fence.line - 1) + code
            exec(compile(padded, str(ROOT / "README.md"), "exec"), namespace)
    plt.close("all")
    printed = re.findall(r"accuracy.*: (.*)", capsys.readouterr().out)
    assert len(printed) == 3
    assert all(0.9 < float(accuracy) <= 1 for accuracy in printed)


def test_top_level_holds_only_what_belongs_there():
    def git(*arguments):
        return subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout

    try:
        checkout = git("rev-parse", "--show-toplevel").strip()
        files = git("ls-files", "-z").split("\0")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    if Path(checkout).resolve() != ROOT:
        pytest.skip("not a git checkout of its own")
    entries = {name.split("/")[0] for name in files if name}
    assert {name for name in entries if not name.startswith(".")} <= TOP_LEVEL
