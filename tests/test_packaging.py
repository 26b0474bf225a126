"""The package's metadata, its README and what importing it costs."""

import ast
import datetime
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import pytest
import yaml
from helpers import ROOT, run_python, using
from packaging.version import Version

import skreg

CORE = {"numpy", "scikit-learn", "scipy", "joblib", "threadpoolctl"}
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
TOP_LEVEL = {
    "CHANGELOG.md",
    "LICENSE",
    "README.md",
    "docs",
    "pyproject.toml",
    "skreg",
    "tests",
}
# What the sdist has, and what Sphinx and Python leave in a checkout.
IN_SDIST = TOP_LEVEL | {".gitignore"}
LEFT_OVER = [
    "docs/_build/html/index.html",
    "docs/gallery/plot_choosing.rst",
    "docs/generated/skreg.show_versions.rst",
    "docs/sg_execution_times.rst",
    "skreg/__pycache__/_loss.cpython-311.pyc",
    "tests/__pycache__/reference.cpython-311.pyc",
    "build/lib/skreg/_old.py",
    "dist/skreg-0.0.1.tar.gz",
]
SECTIONS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
TEST_COMMAND_MARK = "<!-- test command -->"


class Fence(NamedTuple):
    """A fenced block of a Markdown file."""

    before: str  # the last line before the block that is not blank
    language: str
    line: int  # where the block's text begins, from 1
    text: list[str]


def fences_of(page):
    fences = []
    before, fence = "", None
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
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


def test_citation_says_what_the_metadata_say(project):
    citation = yaml.safe_load((ROOT / "docs/CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == skreg.__version__
    assert citation["title"] == project["name"]
    assert citation["authors"] == project["authors"]
    assert citation["license"] == project["license"]
    assert citation["abstract"] == project["description"]
    assert citation["keywords"] == project["keywords"]


def changelog_faults(text, version):
    """What in a changelog is not as https://keepachangelog.com wants it."""
    releases, sections, dates = [], {}, []
    for line in text.splitlines():
        if line.startswith("## "):
            heading = re.fullmatch(
                r"## \[(Unreleased|\d+\.\d+\.\d+)\](?: - (\d{4}-\d\d-\d\d))?", line
            )
            if not heading or (heading[1] == "Unreleased") != (heading[2] is None):
                yield f"a heading that is none: {line}"
                return
            releases.append(heading[1])
            sections[heading[1]] = []
            if heading[2]:
                dates.append(datetime.date.fromisoformat(heading[2]))
        elif line.startswith("### "):
            sections[releases[-1]].append(line.removeprefix("### "))
        elif re.match("#{4}", line):
            yield f"a heading below the sections: {line}"
    if releases[:1] != ["Unreleased"]:
        yield "Unreleased does not come first"
        return
    versions = [Version(release) for release in releases[1:]]
    if versions != sorted(set(versions), reverse=True):
        yield "the newest version does not come first"
    if dates != sorted(dates, reverse=True):
        yield "the newest date does not come first"
    for release, names in sections.items():
        if set(names) - SECTIONS or len(names) != len(set(names)):
            yield f"the sections of {release} are {names}"
    version = Version(version)
    newest = max(versions, default=Version("0"))
    # On the way to a release the version is that of none that is written down.
    if version.is_prerelease != (Version(version.base_version) not in versions):
        yield f"{version} is the version of the package"
    if Version(version.base_version) < newest:
        yield f"{version} is older than {newest}"


def test_changelog():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert text.startswith("# Changelog\n")
    assert "### Added" in text
    assert list(changelog_faults(text, skreg.__version__)) == []


RELEASED = """\
## [Unreleased]
### Added
## [0.2.0] - 2030-02-01
### Fixed
### Added
## [0.1.0] - 2030-01-31
"""


@pytest.mark.parametrize(
    ("old", "new", "version", "fault"),
    [
        ("", "", "0.2.0", None),
        ("", "", "0.3.0.dev0", None),
        ("[0.2.0]", "0.2.0", "0.2.0", "none: ## 0.2.0"),
        (" - 2030-02-01", "", "0.2.0", "none: ## "),
        ("[Unreleased]", "[Unreleased] - 2030-02-02", "0.2.0", "none: ## "),
        ("## [Unreleased]", "## [0.3.0] - 2030-02-02", "0.3.0", "Unreleased"),
        ("0.2.0", "0.0.2", "0.1.0", "newest version"),
        ("0.1.0", "0.2.0", "0.2.0", "newest version"),
        ("02-01", "01-01", "0.2.0", "newest date"),
        ("### Fixed", "### Improved", "0.2.0", "sections of 0.2.0"),
        ("### Fixed", "### Added", "0.2.0", "sections of 0.2.0"),
        ("### Fixed", "#### Fixed", "0.2.0", "below"),
        ("", "", "0.3.0", "version of the package"),
        ("", "", "0.2.0.dev0", "version of the package"),
        ("", "", "0.1.0", "older"),
    ],
)
def test_changelog_faults(old, new, version, fault):
    faults = list(changelog_faults(RELEASED.replace(old, new, 1), version))
    if fault is None:
        assert faults == []
    else:
        assert len(faults) == 1
        assert fault in faults[0]


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


def printed_by(code):
    result = run_python("-c", code)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_import_brings_and_needs_no_optional_library():
    # scikit-learn may import some of them itself: those are not ours to answer for.
    code = f"""
import os, sys, joblib, scipy, sklearn

before = set(sys.modules)
import skreg
# Otherwise show_versions tries whether numba works.
os.environ["SKREG_KERNELS"] = "numpy"
skreg.show_versions()
print("brought:", *({OPTIONAL} & (set(sys.modules) - before)))

# Once more, where there is none of them.
for name in [name for name in sys.modules if name.partition(".")[0] == "skreg"]:
    del sys.modules[name]
sys.modules.update(dict.fromkeys({OPTIONAL}))
import skreg
print("again:", "skreg" in sys.modules)
"""
    assert printed_by(code).endswith("\nbrought:\nagain: True\n")


def test_the_extra_docs_has_what_the_site_imports(project):
    """The modules of the reference, and what the examples import."""
    extra = {requirement_name(r) for r in project["optional-dependencies"]["docs"]}
    reference = (ROOT / "docs/api.rst").read_text(encoding="utf-8")
    modules = re.findall(r"^\.\. (?:auto|current)module:: (\S+)$", reference, re.M)
    assert {"skreg.dask", "skreg.functional", "skreg.io", "skreg.onnx"} <= {*modules}
    for script in (ROOT / "docs/examples").glob("*.py"):
        for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules += [name.name for name in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules.append(node.module)
    code = f"""
import importlib, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name in {OPTIONAL - extra}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
for module in {modules}:
    importlib.import_module(module)
print("imported")
"""
    assert printed_by(code) == "imported\n"


def shown(printed):
    """The versions that ``show_versions`` printed of skreg and what is optional."""
    first, *lines = printed.strip().splitlines()
    assert first == "skreg and its optional libraries:"
    return dict(line.strip().split(": ", 1) for line in lines[: lines.index("")])


def test_show_versions(project, tmp_path, monkeypatch, capsys):
    metadata = tmp_path / "skops-9.8.7.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: skops\nVersion: 9.8.7\n")
    with monkeypatch.context() as patched:
        patched.setattr(sys, "path", [str(tmp_path)])
        # Whether numba works depends on whether it was imported before.
        with using("numpy"):
            skreg.show_versions()
    printed = capsys.readouterr().out
    versions = shown(printed)
    assert versions.pop("skreg") == skreg.__version__
    assert versions.pop("skops") == "9.8.7"
    assert versions.pop("kernels") == "numpy (SKREG_KERNELS)"
    assert set(versions.values()) == {"None"}
    extras = project["optional-dependencies"]
    used = {
        requirement_name(r)
        for name in set(extras) - {"test", "docs", "bench", "dev"}
        for r in extras[name]
    }
    assert used <= {*versions, "skops"}
    for what in ("python", "machine", "sklearn", "numpy", "num_threads"):
        assert re.search(rf"^ *{what}: .", printed, re.MULTILINE)


def test_readme_has_the_two_commands():
    commands = [f for f in fences_of("README.md") if "pip install" in "\n".join(f.text)]
    assert len(commands) == 2
    for command in commands:
        assert len(command.text) == 1, f"line {command.line}: one line, please"
    (main,) = [f for f in commands if "-m skreg" in f.text[0]]
    (test,) = [f for f in commands if "-m pytest" in f.text[0]]
    assert main != test
    marked = [f for f in fences_of("README.md") if f.before == TEST_COMMAND_MARK]
    assert marked == [test]


def test_contributing_has_the_commands_that_build_the_site():
    fences = fences_of("docs/contributing.md")
    (marked,) = [f for f in fences if f.before == "<!-- documentation commands -->"]
    install, build = marked.text
    assert install == 'python -m pip install -e ".[docs]"'
    assert build.startswith("python -m sphinx -W ")


@pytest.mark.slow
def test_readme_examples_without_prompts_run(tmp_path, monkeypatch, capsys):
    # pytest's doctest runs those that have prompts (>>>).
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "readme"}
    for fence in fences_of("README.md"):
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


# What is built ------------------------------------------------------------------------


class Built(NamedTuple):
    """The two files that are published, and the files that they are made of."""

    sources: set[str]
    sdist: Path
    wheel: Path


def run(*command, cwd, **environment):
    """The command's standard output; PYTHONPATH counts only where it is given."""
    # Without their bytecode, the libraries of a fresh environment take long to import.
    ours = {"PYTHONPATH", "PYTHONDONTWRITEBYTECODE"}
    inherited = {name: text for name, text in os.environ.items() if name not in ours}
    result = subprocess.run(
        command, cwd=cwd, env=inherited | environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def copied_sources(target):
    """What the sdist is made of; returns the names of the files."""
    leave = shutil.ignore_patterns(*{Path(name).parts[1] for name in LEFT_OVER})
    for name in IN_SDIST:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target / name, ignore=leave)
        else:
            target.mkdir(exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    files = (path for path in target.rglob("*") if path.is_file())
    return {path.relative_to(target).as_posix() for path in files}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The sdist, and the wheel that is built from it, of a checkout that was used."""
    folder = tmp_path_factory.mktemp("built")
    sources = copied_sources(folder / "skreg")
    for name in LEFT_OVER:
        (folder / "skreg" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "skreg" / name).write_text("left over")
    run(sys.executable, "-m", "build", "--outdir", folder, "skreg", cwd=folder)
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return Built(sources, sdist, wheel)


@pytest.mark.slow
def test_wheel_holds_the_package_and_its_licence(built):
    about = f"skreg-{skreg.__version__}.dist-info"
    package = {name for name in built.sources if name.startswith("skreg/")}
    assert "skreg/py.typed" in package
    with zipfile.ZipFile(built.wheel) as wheel:
        assert set(wheel.namelist()) == package | {
            f"{about}/METADATA",
            f"{about}/RECORD",
            f"{about}/WHEEL",
            f"{about}/entry_points.txt",
            f"{about}/licenses/LICENSE",
        }
        assert wheel.read(f"{about}/licenses/LICENSE") == (
            (ROOT / "LICENSE").read_bytes()
        )


@pytest.mark.slow
def test_sdist_holds_the_sources_and_the_tests_run_there(built, tmp_path):
    root = f"skreg-{skreg.__version__}"
    with tarfile.open(built.sdist) as sdist:
        names = {member.name for member in sdist.getmembers() if member.isfile()}
        sdist.extractall(tmp_path, filter="data")
    assert names == {f"{root}/{name}" for name in {*built.sources, "PKG-INFO"}}
    files = ["skreg/functional.py", "tests/test_functional.py", "tests/test_house.py"]
    place = tmp_path / root
    pytest_ = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    printed = run(*pytest_, *files, cwd=place, PYTHONPATH=str(place))
    assert re.search(r"\n\d+ passed", printed)


@pytest.mark.slow
def test_twine_finds_no_fault(built):
    files = [built.sdist, built.wheel]
    run(sys.executable, "-m", "twine", "check", "--strict", *files, cwd=ROOT)


@pytest.mark.slow
def test_a_second_build_has_the_same_bytes(built, tmp_path):
    # Elsewhere, with other times and leave to read, and the wheel without the sdist.
    for name in copied_sources(tmp_path / "again"):
        os.utime(tmp_path / "again" / name, (10**9, 10**9))
        os.chmod(tmp_path / "again" / name, 0o600)
    formats = ["--sdist", "--wheel", "--outdir", tmp_path]
    run(sys.executable, "-m", "build", *formats, "again", cwd=tmp_path)
    for file in (built.sdist, built.wheel):
        assert (tmp_path / file.name).read_bytes() == file.read_bytes()


@pytest.fixture(scope="module")
def fresh_python(built, tmp_path_factory):
    """Python of a new environment that has the wheel and what it depends on."""
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python]
    run(*pip, "install", "--no-compile", "--quiet", built.wheel, cwd=folder)
    return python


@pytest.mark.slow
def test_the_installed_wheel_runs_the_first_example(fresh_python, tmp_path):
    (example, *_) = (f.text for f in fences_of("README.md") if f.language == "python")
    # As far as the search, which trains 36 networks.
    example = "\n".join(example[: example.index("search = GridSearchCV(")])
    printed = run(fresh_python, "-W", "error", "-c", example, cwd=tmp_path)
    (accuracy,) = re.findall(r"^by default: (.*)$", printed, re.MULTILINE)
    assert 0.9 < float(accuracy) <= 1


@pytest.mark.slow
def test_the_installed_wheel_has_the_command(fresh_python, tmp_path):
    printed = run(fresh_python, "-W", "error", "-m", "skreg", "--help", cwd=tmp_path)
    assert printed.startswith("usage: skreg")
    program = Path(fresh_python).with_name("skreg")
    assert run(program, "--help", cwd=tmp_path) == printed


@pytest.mark.slow
def test_the_installed_wheel_does_without_optional_libraries(fresh_python, tmp_path):
    code = f"""
import importlib.metadata
import importlib.util
import skreg.dask
import skreg.functional

for name in {OPTIONAL}:
    assert importlib.util.find_spec(name) is None, name
assert importlib.metadata.version("skreg") == skreg.__version__
skreg.show_versions()
for call in (
    lambda: skreg.dask.fit(skreg.RegularizedMLPClassifier(), [], []),
    skreg.RegularizationGridDisplay([[1.0]], [1.0], [1.0]).plot,
):
    try:
        call()
    except ImportError as error:
        print(error)
"""
    printed = run(fresh_python, "-W", "error", "-c", code, cwd=tmp_path)
    versions = shown(printed)
    assert versions.pop("skreg") == skreg.__version__
    assert versions.pop("kernels") == "numpy"
    assert set(versions.values()) == {"None"}
    assert 'pip install "skreg[distributed]"' in printed
    assert 'pip install "skreg[plot]"' in printed
