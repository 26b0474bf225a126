"""The pages say what is there: every public name, no broken link, no lost file."""

import importlib
import re
from pathlib import Path

import pytest
from sklearn.datasets import load_iris
from sklearn.utils._param_validation import StrOptions

import skreg
from skreg import RegularizedMLPClassifier, RegularizedMLPClassifierCV
from skreg._activations import ACTIVATIONS
from skreg._optimizers import OPTIMIZERS, SGD

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.glob("*.md"), *DOCS.glob("*.rst")])
TEXTS = [*PAGES, ROOT / "README.md", ROOT / "CHANGELOG.md"]
# Sphinx makes it of docs/examples.
GALLERY = "gallery/index"

every_text = pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.name)


def without_code(text):
    """Markdown without its fenced blocks and code spans."""
    text = re.sub(r"^( *)(`{3,}).*?^\1\2 *$", "", text, flags=re.M | re.S)
    return re.sub(r"`[^`\n]*`", "", text)


# The reference -----------------------------------------------------------------------


def public_names():
    """Each public name of the package and of its public modules."""
    names = {("skreg", name) for name in skreg.__all__}
    for file in (ROOT / "skreg").glob("[!_]*.py"):
        module = importlib.import_module(f"skreg.{file.stem}")
        own = getattr(module, "__all__", None) or [
            name
            for name, value in vars(module).items()
            if not name.startswith("_")
            and getattr(value, "__module__", None) == module.__name__
        ]
        names |= {(module.__name__, name) for name in own}
    return names


def names_in_reference():
    """What docs/api.rst lists, each with its module."""
    found, module, in_table = [], None, False
    for line in (DOCS / "api.rst").read_text("utf-8").splitlines():
        if match := re.match(r"\.\. currentmodule:: (\S+)", line):
            module = match[1]
        if match := re.match(r"\.\. data:: (\S+)", line):
            found.append((module, match[1]))
        if line.startswith(".. "):
            in_table = line.startswith(".. autosummary::")
        elif in_table and (match := re.fullmatch(r"   (\w+)", line)):
            found.append((module, match[1]))
    return found


def test_the_reference_has_every_public_name_once():
    listed = names_in_reference()
    assert len(listed) == len(set(listed))
    assert set(listed) == public_names()


def test_the_page_on_the_architecture_has_every_file():
    page = (DOCS / "architecture.md").read_text("utf-8")
    files = {f"`skreg/{path.name}`" for path in (ROOT / "skreg").glob("*.py")}
    assert {name for name in files if name not in page} == set()


# Pages and links ---------------------------------------------------------------------


def pages_in_toctrees(page):
    """The pages that a page lists."""
    text = page.read_text("utf-8")
    blocks = re.findall(r"^```\{toctree\}\n(.*?)^```", text, flags=re.M | re.S)
    entries = [line.strip() for block in blocks for line in block.splitlines()]
    return {entry for entry in entries if entry and not entry.startswith(":")}


def test_every_page_is_in_a_toctree_that_begins_at_the_home_page():
    files = {path.stem: path for path in PAGES}
    found, to_read = {"index"}, ["index"]
    while to_read:
        for entry in pages_in_toctrees(files[to_read.pop()]) - found - {GALLERY}:
            found.add(entry)
            to_read.append(entry)
    assert found == set(files)


def links_of(text):
    return re.findall(r"\]\(([^)\s]+)\)", without_code(text.read_text("utf-8")))


def anchors_of(text):
    """The anchors of a page's headings, as repository hosts and MyST make them."""
    headings = re.findall(r"^#+ (.*)$", text.read_text("utf-8"), flags=re.M)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in headings
    }


def broken_links(text):
    broken = []
    for link in links_of(text):
        if re.match(r"https?:", link) or link == f"{GALLERY}.rst":
            continue
        path, _, anchor = link.partition("#")
        target = (text.parent / path).resolve() if path else text
        if not target.exists() or (anchor and anchor not in anchors_of(target)):
            broken.append(link)
    return broken


def missing_files(text):
    """The files that the text names by their path, and that are not there."""
    names = re.findall(
        r"\b(?:tests|docs|skreg|benchmarks)/[\w./-]+\.(?:py|md|rst|csv|json|png|cff)\b",
        text.read_text("utf-8"),
    )
    roots = ROOT, text.parent
    return [n for n in names if not any((root / n).exists() for root in roots)]


def missing_tests(text):
    """The tests named as `test_file.py::test_name` that are not there.

    After a file, `::test_name` alone is one of the same file.
    """
    missing, file = [], None
    for span in re.findall(r"`([^`\n]+)`", text.read_text("utf-8")):
        match = re.fullmatch(r"(?:tests/)?(test_\w+\.py)?(?:::(\w+))?", span)
        if match is None or not (match[1] or match[2]):
            continue
        if match[1]:
            file = ROOT / "tests" / match[1]
        code = file.read_text("utf-8") if file and file.exists() else ""
        if f"def {match[2]}(" not in code if match[2] else not code:
            missing.append(span)
    return missing


@every_text
def test_every_link_leads_somewhere(text):
    assert broken_links(text) == []


@every_text
def test_every_file_that_is_named_exists(text):
    assert missing_files(text) == []


@every_text
def test_every_test_that_is_named_exists(text):
    assert missing_tests(text) == []


def test_what_is_broken_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# One `two`, three\n\n```\n[no](x.md)\n```\n"
        "[a](b.md#c) `[no](link.md)` [d](#one-two-three) [e](page.md#four)\n"
        "`tests/none.py`, `tests/test_docs.py::test_nothing`, `::test_neither`\n"
        "`tests/reference.py` `test_docs.py` `::test_what_is_broken_is_found`\n"
    )
    assert broken_links(page) == ["b.md#c", "page.md#four"]
    assert missing_files(page) == ["tests/none.py"]
    assert missing_tests(page) == [
        "tests/test_docs.py::test_nothing",
        "::test_neither",
    ]


# What docs/contributing.md says of activations and optimisers ------------------------


def documented_choices(estimator, parameter):
    """The names that the type of a parameter lists in the docstring."""
    (kind,) = re.findall(rf"^    {parameter} : (.*)$", estimator.__doc__, flags=re.M)
    return set(re.findall(r"'(\w+)'", kind.partition(", default")[0]))


@pytest.mark.parametrize("parameter", ["activation", "solver", "learning_rate"])
def test_the_docstring_names_every_choice(parameter):
    (choices,) = RegularizedMLPClassifier._parameter_constraints[parameter]
    documented = documented_choices(RegularizedMLPClassifier, parameter)
    assert documented == choices.options


def test_choices_come_from_the_tables():
    constraints = RegularizedMLPClassifier._parameter_constraints
    (activation,), (solver,) = constraints["activation"], constraints["solver"]
    assert activation.options == set(ACTIVATIONS)
    assert solver.options == {"lbfgs", *OPTIMIZERS}


def test_a_line_in_a_table_is_all_that_a_new_one_needs(monkeypatch):
    """A second tanh and a plain descent, in fits, stacks and parts of a training."""
    same = {
        "hidden_layer_sizes": (4,),
        "max_iter": 3,
        "early_stopping": False,
        "batch_size": 50,
        "random_state": 0,
    }
    known = {"activation": "tanh", "solver": "sgd", "momentum": 0.0}
    new = {"activation": "another", "solver": "plain"}

    def plain(settings, theta, gradient):
        return SGD(theta, gradient, momentum=0.0, nesterov=False)

    monkeypatch.setitem(ACTIVATIONS, "another", ACTIVATIONS["tanh"])
    monkeypatch.setitem(OPTIMIZERS, "plain", plain)
    for kind in (RegularizedMLPClassifier, RegularizedMLPClassifierCV):
        for parameter, table in (("activation", ACTIVATIONS), ("solver", OPTIMIZERS)):
            monkeypatch.setitem(
                kind._parameter_constraints, parameter, [StrOptions(set(table))]
            )
    X, y = load_iris(return_X_y=True)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    networks = []
    for settings in (known, new):
        model = RegularizedMLPClassifier(**same, **settings, warm_start=True)
        search = RegularizedMLPClassifierCV((1, 10), (0.5, 1), **same, **settings)
        parts = RegularizedMLPClassifier(**same, **settings)
        parts.partial_fit(X, y, classes=[0, 1, 2]).partial_fit(X, y)
        networks.append([model.fit(X, y).fit(X, y), search.fit(X, y), parts])
    for ours, theirs in zip(*networks, strict=True):
        assert (ours.predict_proba(X) == theirs.predict_proba(X)).all()
