"""The scripts of docs/reliability, for the tests that hold their figures to bounds."""

import importlib.util
from pathlib import Path


def load(name):
    """The script as a module."""
    path = Path(__file__).resolve().parents[1] / "docs" / "reliability" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"reliability_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
