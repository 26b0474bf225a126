r"""The tests on one combination of versions: this Python, newest or oldest libraries.

    python3.13 docs/reliability/compatibility.py [newest|oldest|nightly]

makes a virtual environment of the Python that runs this, in a temporary folder,
installs skreg with the extra ``test``, prints the versions and runs the tests, in which
every warning is an error but for those that pyproject.toml lists. It ends with the exit
code of pytest. What follows ``--`` goes to pytest.

- newest: what pip takes by itself.
- oldest: the lower bounds of pyproject.toml. Where a library has no ready package of
  that version for this Python, ``--at-least NAME==VERSION ...`` takes a later one.
- nightly: the development versions of numpy, scipy and scikit-learn over the newest of
  the rest. ``--index URL`` says where they are: the index of nightly wheels that the
  scientific Python projects document. Without it the pre-releases of the index that pip
  uses are taken.

    python3.12 docs/reliability/compatibility.py oldest
    python3.13 docs/reliability/compatibility.py oldest --at-least numpy==2.1.0 \
        scipy==1.14.1 pandas==2.2.3 pyarrow==18.0.0 matplotlib==3.9.2 \
        onnx==1.18.0 skl2onnx==1.19.1 shap==0.48.0 pyyaml==6.0.2
    python3.13 docs/reliability/compatibility.py nightly --index URL -- -x tests
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def lower_bounds(pyproject: Path, at_least: list[str]) -> list[str]:
    """The lower bounds as ``name==version``, but for those of ``at_least``."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    requirements = project["dependencies"] + project["optional-dependencies"]["test"]
    bounds = dict(requirement.split(">=") for requirement in requirements)
    for later in at_least:
        name, _, version = later.partition("==")
        if name not in bounds or not version:
            raise SystemExit(
                f"--at-least {later}: want NAME==VERSION with a NAME of {list(bounds)}."
            )
        bounds[name] = version
    lines = [f"{name}=={version}" for name, version in bounds.items()]
    # Later ones warn about names that the oldest matplotlib uses.
    return [*lines, "pyparsing<3.3"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "which", nargs="?", choices=("newest", "oldest", "nightly"), default="newest"
    )
    parser.add_argument("--at-least", nargs="+", default=[], metavar="NAME==VERSION")
    parser.add_argument("--index", help="where nightly packages are")
    own, for_pytest = sys.argv[1:], ["tests", "skreg"]
    if "--" in own:
        at = own.index("--")
        own, for_pytest = own[:at], own[at + 1 :]
    options = parser.parse_args(own)
    with tempfile.TemporaryDirectory() as folder:
        venv.create(Path(folder) / "venv", with_pip=True)
        programs = "Scripts" if os.name == "nt" else "bin"
        python = str(Path(folder) / "venv" / programs / "python")
        # Most files of the libraries are never imported: no compiling beforehand.
        environment = {**os.environ, "PIP_NO_COMPILE": "1", "OPENBLAS_NUM_THREADS": "1"}

        def run(*command: str, check: bool = True) -> int:
            return subprocess.run(
                [python, "-m", *command], cwd=ROOT, env=environment, check=check
            ).returncode

        constraints = Path(folder) / "constraints.txt"
        lines = []
        if options.which == "oldest":
            lines = lower_bounds(ROOT / "pyproject.toml", options.at_least)
        constraints.write_text("\n".join(lines), encoding="utf-8")
        run("pip", "install", "-q", "-c", str(constraints), ".[test]")
        if options.which == "nightly":
            index = ["--extra-index-url", options.index] if options.index else []
            run(
                *("pip", "install", "-q", "--pre", "--upgrade", "--only-binary=:all:"),
                *(*index, "numpy", "scipy", "scikit-learn"),
            )
        print(f"Python {platform.python_version()}, {options.which}:", flush=True)
        run("pip", "list", "--format=freeze")
        return run("pytest", "-p", "no:cacheprovider", *for_pytest, check=False)


if __name__ == "__main__":
    sys.exit(main())
