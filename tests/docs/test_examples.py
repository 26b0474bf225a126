"""The examples of docs/examples stand alone, and the pages have their pictures.

The build of the documentation runs the examples, with warnings as errors.
"""

import ast
import re
import sys

import pytest
from helpers import ROOT

DOCS = ROOT / "docs"
EXAMPLES = sorted((DOCS / "examples").glob("plot_*.py"))
# The pictures that the pages show, by the name of the page.
PICTURES = {
    page.stem: re.findall(r"!\[[^]]*\]\(images/([^)]+)\)", page.read_text("utf-8"))
    for page in sorted(DOCS.glob("*.md"))
}
# What the extra `docs` brings; the pictures need matplotlib.
LIBRARIES = {
    *("matplotlib", "numpy", "pandas", "skreg", "sklearn"),
    *sys.stdlib_module_names,
}


def test_there_are_examples_and_pictures():
    assert len(EXAMPLES) >= 10
    assert len(PICTURES["choosing"]) == 4


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_stands_alone(example):
    text = example.read_text("utf-8")
    tree = ast.parse(text)
    imported = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [node.module]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names]
        )
    }
    assert "skreg" in imported
    assert imported <= LIBRARIES
    # Neither is there in a notebook, nor where the gallery runs it.
    assert not re.search(r"\b(__file__|sys\.argv)\b", text)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_shows_pictures_and_says_what_they_show(example):
    text = example.read_text("utf-8")
    title = ast.get_docstring(ast.parse(text)).splitlines()[:3]
    assert title[0] == title[2] == "=" * len(title[1])
    *cells, last = text.split("# %%\n")[1:]
    assert any("plt.show()" in cell for cell in cells)
    assert all(line.startswith("# ") for line in last.splitlines())


def test_the_pictures_are_there_and_small():
    sizes = {
        name: (DOCS / "images" / name).stat().st_size
        for names in PICTURES.values()
        for name in names
    }
    assert all(size < 60_000 for size in sizes.values()), sizes


def test_every_picture_is_on_a_page():
    shown = {name for names in PICTURES.values() for name in names}
    assert {path.name for path in (DOCS / "images").iterdir()} == shown
