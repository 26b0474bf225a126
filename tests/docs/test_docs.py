"""The pages say what is there: every public name, no broken link, no lost file."""

import ast
import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import numpy as np
import pytest
from gradcheck import directional_derivative
from sklearn.utils._param_validation import StrOptions

import skreg
from skreg import (
    RegularizedMLPClassifier,
    RegularizedMLPClassifierCV,
)
from skreg._network import activations as _activations
from skreg._network import optimizers as _optimizers
from skreg._network.activations import ACTIVATIONS
from skreg._network.calls import run
from skreg._network.optimizers import OPTIMIZERS, SGD

ROOT = Path(__file__).resolve().parents[2]
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
    for found in pkgutil.iter_modules(skreg.__path__):
        if found.name.startswith("_"):
            continue
        module = importlib.import_module(f"skreg.{found.name}")
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


def paths_in_tree(lines):
    """The paths that a tree names: a line for each, two spaces deeper in a folder."""
    folders, paths = [], []
    for line in lines:
        indent, name = re.match(r"( *)(\S+)", line).groups()
        folders[len(indent) // 2 :] = [name]
        paths.append("".join(folders))
    return paths


def test_the_tree_of_the_architecture_is_that_of_the_package():
    page = (DOCS / "architecture.md").read_text("utf-8")
    (tree,) = re.findall(r"^```\n(skreg/\n.*?)^```$", page, flags=re.M | re.S)
    named = paths_in_tree(tree.splitlines())
    package = ROOT / "skreg"
    files = {path.relative_to(ROOT).as_posix() for path in package.rglob("*.py")}
    # A folder stands for its `__init__`, the package for itself and the public names.
    folders = {name.removesuffix("__init__.py") for name in files if "__init__" in name}
    files -= {f"{folder}__init__.py" for folder in folders - {"skreg/"}}
    assert sorted(named) == sorted(files | folders)


def test_paths_in_tree():
    lines = ["a/  about", "  b/", "    one.py  more  words", "  c/", "  two.py"]
    assert paths_in_tree(lines) == ["a/", "a/b/", "a/b/one.py", "a/c/", "a/two.py"]


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

    The folder may be left out, as each name is that of one file. After a file,
    `::test_name` alone is one of the same file.
    """
    missing, file = [], None
    for span in re.findall(r"`([^`\n]+)`", text.read_text("utf-8")):
        match = re.fullmatch(r"(?:tests/|\w+/)*(test_\w+\.py)?(?:::(\w+))?", span)
        if match is None or not (match[1] or match[2]):
            continue
        if match[1]:
            file = next((ROOT / "tests").rglob(match[1]), None)
        code = file.read_text("utf-8") if file else ""
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
        "`tests/none.py`, `tests/test_none.py`, `::test_neither`\n"
        "`tests/docs/test_docs.py::test_no`, `::test_neither`\n"
        "`tests/reference.py` `test_docs.py` `::test_what_is_broken_is_found`\n"
    )
    assert broken_links(page) == ["b.md#c", "page.md#four"]
    assert missing_files(page) == ["tests/none.py", "tests/test_none.py"]
    assert missing_tests(page) == [
        "tests/test_none.py",
        "::test_neither",
        "tests/docs/test_docs.py::test_no",
        "::test_neither",
    ]


# What docs/contributing.md says of scikit-learn, activations and optimisers -----------


def private_imports():
    """(name, path) of all that the package imports from private parts of sklearn."""
    for path in sorted((ROOT / "skreg").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("sklearn."):
                for name in (alias.name for alias in node.names):
                    if "._" in node.module or name.startswith("_"):
                        yield name, path.relative_to(ROOT).as_posix()


def test_the_private_parts_of_scikit_learn_are_on_the_page():
    rows = [
        set(re.findall(r"`([^`]+)`", line))
        for line in section_below("Private parts of scikit-learn").splitlines()
    ]
    imported = list(private_imports())
    assert ("_fit_context", "skreg/_training/constraints.py") in imported
    assert [
        each for each in imported if not any(set(each) <= row for row in rows)
    ] == []


def documented_choices(estimator, parameter):
    """The names that the type of a parameter lists in the docstring."""
    # Python 3.13 takes the indentation away, which getdoc does everywhere.
    text = inspect.getdoc(estimator)
    (kind,) = re.findall(rf"^{parameter} : (.*)$", text, flags=re.M)
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


def section_below(heading):
    """The text below a heading of docs/contributing.md."""
    page = (DOCS / "contributing.md").read_text("utf-8")
    return page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def code_below(heading):
    """The Python block in it."""
    section = section_below(heading)
    (code,) = re.findall(r"^```python\n(.*?)^```$", section, flags=re.M | re.S)
    return code


def ran_in(module, heading):
    """The names that a block of the page leaves, run as the end of a file of skreg."""
    code = code_below(heading)
    # The dots are the entries that are there.
    assert len(re.findall(r"\.\.\.", code)) == 1
    (table,) = re.findall(r"^(\w+) = \{\s*\.\.\.,", code, flags=re.M)
    names = dict(vars(module))
    exec(code.replace("...", f"**{table}"), names)
    return names


@pytest.fixture
def enter(monkeypatch):
    """A function that puts new entries into the tables, as if they had been there."""

    def put(table, name, entry):
        assert name not in table
        monkeypatch.setitem(table, name, entry)
        parameter = "activation" if table is ACTIVATIONS else "solver"
        for kind in (RegularizedMLPClassifier, RegularizedMLPClassifierCV):
            monkeypatch.setitem(
                kind._parameter_constraints, parameter, [StrOptions(set(table))]
            )

    return put


SMALL = {
    "hidden_layer_sizes": (4,),
    "max_iter": 3,
    "early_stopping": False,
    "batch_size": 50,
    "random_state": 0,
}


def test_a_line_in_a_table_is_all_that_a_new_one_needs(enter, iris):
    """A second tanh and a plain descent, in fits, stacks and parts of a training."""
    known = {"activation": "tanh", "solver": "sgd", "momentum": 0.0}
    new = {"activation": "another", "solver": "plain"}

    def plain(constants, theta, gradient):
        return SGD(constants._replace(momentum=0.0), theta, gradient)

    enter(ACTIVATIONS, "another", ACTIVATIONS["tanh"])
    enter(OPTIMIZERS, "plain", plain)
    X, y = iris
    networks = []
    for settings in (known, new):
        model = RegularizedMLPClassifier(**SMALL, **settings, warm_start=True)
        search = RegularizedMLPClassifierCV((1, 10), (0.5, 1), **SMALL, **settings)
        parts = RegularizedMLPClassifier(**SMALL, **settings)
        parts.partial_fit(X, y, classes=[0, 1, 2]).partial_fit(X, y)
        networks.append([model.fit(X, y).fit(X, y), search.fit(X, y), parts])
    for ours, theirs in zip(*networks, strict=True):
        assert (ours.predict_proba(X) == theirs.predict_proba(X)).all()


def test_the_activation_of_the_page(enter, iris):
    softplus = ran_in(_activations, "Add an activation")["ACTIVATIONS"]["softplus"]

    def g(Z):
        G = np.empty_like(Z)
        run(softplus.apply(Z, G, np.zeros((1, 1))))
        return G

    Z = np.linspace(-20, 20, 81)[:, np.newaxis]
    G = g(Z)
    np.testing.assert_allclose(G, np.logaddexp(0, Z), rtol=1e-14)
    differences = directional_derivative(g, Z, np.ones_like(Z))
    # The output may be the input.
    run(softplus.derivative(G, G, np.zeros((1, 1))))
    np.testing.assert_allclose(G, differences, atol=1e-10)

    enter(ACTIVATIONS, "softplus", softplus)
    X, y = iris
    settings = {**SMALL, "activation": "softplus", "max_iter": 10}
    model = RegularizedMLPClassifier(**settings).fit(X, y)
    assert model.loss_curve_[-1] < 0.9 * model.loss_curve_[0]
    (W1, W2), (b1, b2) = model.coefs_, model.intercepts_
    logits = np.logaddexp(0, X @ W1 + b1) @ W2 + b2
    np.testing.assert_allclose(model.decision_function(X), logits, atol=1e-12)
    with pytest.raises(ValueError, match="activation='softplus'"):
        model.to_sklearn()


def test_the_optimiser_of_the_page(enter, iris):
    """v = β2 v + (1 - β2) g², θ -= η g / (√v + ε); then fits, whole and in parts."""
    names = ran_in(_optimizers, "Add an optimiser")
    constants = {"beta_2": 0.9, "epsilon": 0.1}
    theta, g = np.array([1.0, -2.0, 0.5]), np.array([0.3, -4.0, 0.0])
    optimizer = names["OPTIMIZERS"]["rmsprop"](
        RegularizedMLPClassifier(**constants), theta, g
    )
    optimizer.step(0.01)
    v = 0.1 * np.array([0.09, 16.0, 0.0])
    first = np.array([1.0, -2.0, 0.5]) - 0.01 * g / (np.sqrt(v) + 0.1)
    np.testing.assert_allclose(theta, first, rtol=1e-14)
    # Another gradient in the same vector, and another rate.
    g[...] = -1.0, 0.0, 2.0
    optimizer.step(0.02)
    v = 0.9 * v + 0.1 * np.array([1.0, 0.0, 4.0])
    second = first - 0.02 * g / (np.sqrt(v) + 0.1)
    np.testing.assert_allclose(theta, second, rtol=1e-14)

    enter(OPTIMIZERS, "rmsprop", names["OPTIMIZERS"]["rmsprop"])
    X, y = iris
    settings = {**SMALL, "solver": "rmsprop", "learning_rate_init": 0.05}
    whole = RegularizedMLPClassifier(**settings).fit(X, y)
    assert whole.loss_curve_[-1] < 0.9 * whole.loss_curve_[0]
    parts = RegularizedMLPClassifier(**settings, warm_start=True)
    parts.set_params(max_iter=2).fit(X, y).set_params(max_iter=1).fit(X, y)
    # Without a state, and with that of a training that goes on.
    for model in (whole, parts):
        with pytest.raises(ValueError, match="solver='rmsprop'"):
            model.to_sklearn()
