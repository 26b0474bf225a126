"""The examples of docs/examples run, and make the pictures of the pages."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"
EXAMPLES = sorted((DOCS / "examples").glob("plot_*.py"))
# The pictures that the pages show, by the name of the page.
PICTURES = {
    page.stem: re.findall(r"!\[[^]]*\]\(images/([^)]+)\)", page.read_text("utf-8"))
    for page in sorted(DOCS.glob("*.md"))
}


def test_there_are_examples_and_pictures():
    assert DOCS / "examples" / "plot_choosing.py" in EXAMPLES
    assert len(PICTURES["choosing"]) == 4


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


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_and_makes_the_pictures_of_its_page(
    example, tmp_path, monkeypatch
):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    result = subprocess.run(
        [sys.executable, "-W", "error", str(example), str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    page = example.stem.removeprefix("plot_")
    made = {path.name for path in tmp_path.iterdir()}
    assert made == set(PICTURES[page])
    for name in made:
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
