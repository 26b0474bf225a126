"""Mutation testing: how many small faults put into the code do the tests find?

    pip install -e ".[test,dev]"
    python docs/reliability/mutants.py [module ...] [--jobs 2] [--sample 1.0]

A mutant is a module with one small change. The changes are cosmic-ray's operators, and
three more from below: a statement removed, a keyword argument removed, a numpy function
exchanged for its opposite. A mutant is killed by the first test that fails, or that
takes many times the time it should. What survives is listed; ``survivors.csv`` beside
this file holds the reason why no test should find it.

A run of all mutants writes results/mutants.csv, a row for each module, and
results/mutants_survivors.csv. Fails if a survivor has no reason, if of a module less
than 90 % are killed or of all less than 92 %, or if the runner itself goes wrong.

It runs in a temporary copy of the checkout. The tests are collected once; each mutant
is a fork whose functions get the changed code. A change outside functions needs a fresh
import. A mutant meets the tests that call the changed function: first the quickest of
the modules' ``OWN`` files, and then, if it survives, more, and those of ``OTHERS``. A
test that takes more than ``SLOWEST`` seconds is left out, so that the figures are lower
bounds.
"""

from __future__ import annotations

import argparse
import ast
import csv
import gc
import multiprocessing
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, NamedTuple

import numpy as np

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
# The folder of each module, and the files of its own tests.
MODULES = {
    "propagation": ("network", ["propagation"]),
    "objective": ("network", ["objective"]),
    "loss": ("network", ["loss"]),
    "optimizers": ("network", ["optimizers"]),
    "dropout": ("network", ["dropout"]),
    "early_stopping": ("training", ["plateau", "early_stopping"]),
    "rows": ("training", ["rows"]),
    "labels": ("training", ["labels"]),
    "class_weights": ("training", ["rows"]),
}
OWN = {
    module: tuple(f"tests/{folder}/test_{name}.py" for name in names)
    for module, (folder, names) in MODULES.items()
}
OWN_FILES = list(dict.fromkeys(name for names in OWN.values() for name in names))
OTHERS = [
    "tests/test_additions.py",
    "tests/test_bad_input.py",
    "tests/test_reference.py",
    "tests/test_tensors.py",
    "tests/models/test_candidates.py",
    "tests/training/test_batches.py",
    "tests/training/test_fit.py",
]
SLOWEST = 1.0
# The files of each pass, and the seconds that all tests of a mutant may take in it.
PASSES = [(OWN_FILES, 1.5), (OWN_FILES + OTHERS, 5.0)]
GOAL, GOAL_OF_ALL = 0.9, 0.92
OUTSIDE = "an error outside the tests"
TEXT = "{:14} {:4} mutants, {:4} killed, {:3} timed out, {:3} survived: {} %"
PYTEST = ["-q", "-p", "no:cacheprovider", "-o", "addopts=", "-m", "not slow"]


# The mutants --------------------------------------------------------------------------


def file_of(module: str) -> Path:
    """The file of a module, from the root of the checkout."""
    folder, _ = MODULES[module]
    return Path("skreg", f"_{folder}", f"{module}.py")


class Mutant(NamedTuple):
    module: str
    line: int
    function: str
    operator: str
    before: str
    after: str
    source: str


def own_operators() -> dict[str, Any]:
    """The changes that cosmic-ray does not have, as its kind of operators."""
    from cosmic_ray.operators.operator import Operator
    from parso.python.tree import Name

    class RemoveStatement(Operator):
        """A call, a yield, a raise, an addition in place, or one to an attribute."""

        def mutation_positions(self, node: Any) -> Iterator[tuple[Any, Any]]:
            if node.parent is None or node.parent.type != "simple_stmt":
                return
            target = node.children[0] if hasattr(node, "children") else node
            stored = node.type == "expr_stmt" and (
                target.type in ("atom_expr", "power")
                or (
                    node.children[1].type == "operator"
                    and node.children[1].value not in ("=", ":")
                )
            )
            if stored or node.type in ("yield_expr", "raise_stmt", "atom_expr"):
                yield node.start_pos, node.end_pos

        def mutate(self, node: Any, index: int) -> Any:
            first = node.get_first_leaf()
            return Name("pass", node.start_pos, prefix=first.prefix)

        @classmethod
        def examples(cls) -> tuple[Any, ...]:
            return ()

    class RemoveKeyword(Operator):
        """f(x, a=1) becomes f(x); not for classes."""

        def mutation_positions(self, node: Any) -> Iterator[tuple[Any, Any]]:
            if (
                node.type == "argument"
                and node.children[1] == "="
                and node.parent.type in ("arglist", "trailer")
                and not self.constructs(node)
            ):
                yield node.start_pos, node.end_pos

        @staticmethod
        def constructs(node: Any) -> bool:
            """A class asks for its keywords: to leave one out is no test of tests."""
            trailer = (
                node.parent if node.parent.type == "trailer" else node.parent.parent
            )
            name = trailer.get_previous_leaf().value
            return name[0].isupper() or name == "cls"

        def mutate(self, node: Any, index: int) -> Any:
            following, before = node.get_next_sibling(), node.get_previous_sibling()
            if following is not None and following == ",":
                following.value = ""
            elif before is not None and before == ",":
                before.value = ""
            # An empty name takes the argument's place, and keeps its line breaks.
            prefix = node.get_first_leaf().prefix
            return Name("", node.start_pos, prefix=prefix)

        @classmethod
        def examples(cls) -> tuple[Any, ...]:
            return ()

    class SwapFunction(Operator):
        """np.add becomes np.subtract, and so on."""

        pairs = (
            ("add", "subtract"),
            ("multiply", "divide"),
            ("maximum", "minimum"),
            ("max", "min"),
            ("any", "all"),
            ("zeros", "ones"),
            ("zeros_like", "ones_like"),
            ("exp", "log"),
            ("sqrt", "square"),
            ("less_equal", "less"),
        )
        others = dict(pairs) | {new: old for old, new in pairs}

        def mutation_positions(self, node: Any) -> Iterator[tuple[Any, Any]]:
            names = node.type == "name" and node.parent.type != "funcdef"
            if names and node.value in self.others:
                call = node.get_next_leaf()
                if node.parent.type == "trailer" or call == "(":
                    yield node.start_pos, node.end_pos

        def mutate(self, node: Any, index: int) -> Any:
            node.value = self.others[node.value]
            return node

        @classmethod
        def examples(cls) -> tuple[Any, ...]:
            return ()

    return {
        operator.__name__: operator
        for operator in (RemoveStatement, RemoveKeyword, SwapFunction)
    }


def operators() -> dict[str, Any]:
    """Those of cosmic-ray but for near-copies, and our own, by name.

    Of the eleven replacements of each binary operator its opposite is made, since most
    of the others die of a TypeError and would flatter the figure. ``==`` for ``is`` is
    the same for small numbers and names.
    """
    from cosmic_ray import plugins

    opposites = {
        "Add_Sub",
        "Sub_Add",
        "Mul_Div",
        "Div_Mul",
        "FloorDiv_Div",
        "Mod_FloorDiv",
        "Pow_Mul",
        "BitOr_BitAnd",
        "BitAnd_BitOr",
    }
    found = {}
    for full in plugins.operator_names():
        name = full.partition("/")[2]
        kind, _, change = name.partition("_")
        if kind == "ReplaceBinaryOperator" and change not in opposites:
            continue
        if kind == "ReplaceUnaryOperator" and not change.startswith("Delete"):
            continue
        if kind == "ReplaceComparisonOperator":
            old, new = change.split("_")
            if new in ("Is", "IsNot") and old not in ("Is", "IsNot"):
                continue
        operator = plugins.get_operator(full)
        if not operator.arguments():
            found[name] = operator
    return found | own_operators()


def unread(tree: ast.Module) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Where the annotations and the protocols are, which are for type checkers."""
    found = []
    for node in ast.walk(tree):
        for name in ("annotation", "returns"):
            part = getattr(node, name, None)
            if part is not None:
                start = part.lineno, part.col_offset
                found.append((start, (part.end_lineno, part.end_col_offset)))
        if isinstance(node, ast.ClassDef) and any(
            isinstance(base, ast.Name) and base.id == "Protocol" for base in node.bases
        ):
            found.append(((node.lineno, 0), (node.end_lineno, 999)))
        aliases = ast.Assign, ast.AnnAssign
        if isinstance(node, aliases) and ast.unparse(node).startswith("Array ="):
            found.append(((node.lineno, 0), (node.end_lineno, 999)))
    return found


def functions(tree: ast.Module) -> list[tuple[int, int, str]]:
    """The first and last line of each function or class, and its full name."""
    found = []

    def visit(node: ast.AST, name: str) -> None:
        for child in ast.iter_child_nodes(node):
            inner = name
            if isinstance(child, ast.FunctionDef | ast.ClassDef):
                inner = f"{name}.{child.name}".lstrip(".")
                found.append((child.lineno, child.end_lineno, inner))
            visit(child, inner)

    visit(tree, "")
    return found


def pieces(source: str, tree: ast.Module) -> list[tuple[int, str]]:
    """(line before it, text) of each statement of a module: quicker to change."""
    starts = [0]
    for node in tree.body[1:]:
        decorators = getattr(node, "decorator_list", [])
        starts.append(min(part.lineno for part in (node, *decorators)) - 1)
    lines = source.splitlines(keepends=True)
    ends = [*starts[1:], len(lines)]
    return [
        (start, "".join(lines[start:end]))
        for start, end in zip(starts, ends, strict=True)
    ]


def mutants_of(module: str) -> list[Mutant]:
    """Every mutant of a module, in the order of its lines."""
    from cosmic_ray.ast import Visitor, get_ast
    from cosmic_ray.mutating import mutate_code

    source = (ROOT / file_of(module)).read_text(encoding="utf-8")
    tree = ast.parse(source)
    skipped, named = unread(tree), functions(tree)
    lines = source.split("\n")
    candidates = {name: operator() for name, operator in operators().items()}

    class Positions(Visitor):
        """The places that each operator changes."""

        def __init__(self) -> None:
            self.found: dict[str, list[tuple[int, int]]] = {n: [] for n in candidates}

        def visit(self, node: Any) -> Any:
            # The lone star of a signature is no product.
            signature = node.parent is not None and node.parent.type == "parameters"
            for name, operator in candidates.items():
                if signature and node.type == "operator":
                    # cosmic-ray counts it, and so must we.
                    self.found[name] += [
                        (0, 0) for _ in operator.mutation_positions(node)
                    ]
                    continue
                self.found[name] += [p for p, _ in operator.mutation_positions(node)]
            return node

    def in_piece(offset: int, text: str) -> Iterator[Mutant]:
        positions = Positions()
        positions.walk(get_ast(text))
        for name, found in positions.found.items():
            for occurrence, (line, column) in enumerate(found):
                place = line + offset, column
                if not line or any(start <= place < end for start, end in skipped):
                    continue
                changed = mutate_code(text, candidates[name], occurrence)
                mutated = source.replace(text, changed, 1)
                if mutated == source:
                    continue
                around = [n for first, last, n in named if first <= place[0] <= last]
                pairs = zip(lines, mutated.split("\n"), strict=False)
                before, after = next(pair for pair in pairs if pair[0] != pair[1])
                yield Mutant(
                    module,
                    place[0],
                    around[-1] if around else "",
                    name,
                    before.strip(),
                    after.strip(),
                    mutated,
                )

    made = {m.source: m for piece in pieces(source, tree) for m in in_piece(*piece)}
    return sorted(made.values(), key=lambda mutant: mutant.line)


# Code for code ------------------------------------------------------------------------


def codes_in(code: CodeType, above: tuple[int, ...] = ()) -> list[Any]:
    """(code, indices of those around it) of a module and all in it, in order."""
    found: list[Any] = [(code, above)]

    def visit(outer: CodeType, above: tuple[int, ...]) -> None:
        for constant in outer.co_consts:
            if isinstance(constant, CodeType):
                found.append((constant, above))
                visit(constant, (*above, len(found) - 1))

    visit(code, (0,))
    return found


def key_of(code: CodeType) -> str:
    return f"{Path(code.co_filename).stem}:{code.co_qualname}:{code.co_firstlineno}"


def own_part(code: CodeType) -> tuple[Any, ...]:
    constants = [c for c in code.co_consts if not isinstance(c, CodeType)]
    kinds = [(type(c), repr(c)) for c in constants]
    return code.co_code, code.co_names, code.co_varnames, kinds, code.co_exceptiontable


def swaps(mutant: Mutant) -> list[tuple[str, CodeType]] | None:
    """(key, new code) of each function to change; None where that is not enough.

    No change at all is an empty list.
    """
    path = str(file_of(mutant.module).resolve())
    if path not in _codes:
        _codes[path] = codes_in(compile(Path(path).read_text("utf-8"), path, "exec"))
    old = _codes[path]
    new = codes_in(compile(mutant.source, path, "exec"))
    if len(old) != len(new):
        return None
    live = live_functions()
    found = {}
    for (before, above), (after, _) in zip(old, new, strict=True):
        if own_part(before) == own_part(after):
            continue
        index = next(i for i, (code, _) in enumerate(old) if code is before)
        inside = [i for i in (*above, index) if key_of(old[i][0]) in live]
        if not inside:
            return None
        outermost = old[inside[0]][0], new[inside[0]][0]
        if outermost[0].co_freevars != outermost[1].co_freevars:
            return None
        found[key_of(outermost[0])] = outermost[1]
    return list(found.items())


_codes: dict[str, list[Any]] = {}
_live: dict[str, list[FunctionType]] = {}


def live_functions() -> dict[str, list[FunctionType]]:
    """The functions of the mutated modules, by the place of their code."""
    if not _live:
        files = {str(file_of(name).resolve()) for name in MODULES}
        # What is frozen is not among the objects of gc, and the tests freeze it too.
        gc.unfreeze()
        for thing in gc.get_objects():
            if isinstance(thing, FunctionType) and thing.__code__.co_filename in files:
                _live.setdefault(key_of(thing.__code__), []).append(thing)
    return _live


# The runs -----------------------------------------------------------------------------


def name_of(test: str) -> str:
    """The name of a test without addresses, which differ from process to process."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", test)


class Quick:
    """Hypothesis does not look for the smallest case: one that fails is enough."""

    def pytest_configure(self, config: Any) -> None:
        from hypothesis import Phase, settings

        settings.register_profile(
            "mutants",
            settings.get_profile("ci"),
            phases=[Phase.explicit, Phase.generate],
        )
        settings.load_profile("mutants")

    failed = ""

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.failed = name_of(report.nodeid)


class Baseline(Quick):
    """Runs every test once: its time, and the functions it calls."""

    def __init__(self, sender: Any) -> None:
        self.sender = sender

    def pytest_runtestloop(self, session: Any) -> bool:
        calls: dict[str, Any] = {}
        if session.testsfailed:
            self.failed = "the collection of the tests"
        files = {str(file_of(name).resolve()) for name in MODULES}
        keys: dict[CodeType, str] = {}
        called: set[CodeType] = set()

        def note(frame: Any, event: str, argument: Any) -> None:
            if event == "call" and frame.f_code.co_filename in files:
                called.add(frame.f_code)

        items = session.items
        for item, following in zip(items, [*items[1:], None], strict=True):
            called.clear()
            start = time.process_time()
            sys.setprofile(note)
            threading.setprofile(note)
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            sys.setprofile(None)
            threading.setprofile(None)
            for code in called:
                keys.setdefault(code, key_of(code))
            names = sorted(keys[code] for code in called)
            calls[name_of(item.nodeid)] = time.process_time() - start, names
        self.sender.send((calls, self.failed))
        return True


class Forks(Quick):
    """Runs the mutants whose functions can be exchanged, each in a fork."""

    def __init__(self, mutants: Any, tests: Tests, tell: Any) -> None:
        self.mutants, self.tests, self.tell = mutants, tests, tell
        self.killers: Counter[str] = Counter()

    def pytest_runtestloop(self, session: Any) -> bool:
        items = {name_of(item.nodeid): item for item in session.items}
        live_functions()
        gc.freeze()
        for number, mutant in self.mutants:
            found = swaps(mutant)
            if found is None:
                self.tell((number, "fresh", ""))
                continue
            if not found:
                self.tell((number, "same", ""))
                continue
            keys = {key for key, _ in found}
            names = self.tests.of(mutant.module, keys, self.killers)
            if not names:
                self.tell((number, "survived", ""))
                continue
            outcome, by = in_fork(
                lambda found=found, names=names: self.run(
                    found, [items[name] for name in names]
                ),
                self.tests.budget(names),
            )
            if outcome == "killed":
                self.killers[by] += 1
            self.tell((number, outcome, by))
        return True

    def run(self, found: list[tuple[str, CodeType]], items: list[Any]) -> str:
        for key, code in found:
            for function in live_functions()[key]:
                function.__code__ = code
        for item, following in zip(items, [*items[1:], None], strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if self.failed:
                break
        return self.failed


class Tests(NamedTuple):
    """The tests of a pass: their files, their most time, and what each is known for."""

    files: list[str]
    longest: float
    baseline: dict[str, tuple[float, list[str]]]

    def of(self, module: str, keys: set[str], killers: Counter[str]) -> list[str]:
        """Those that killed most first, then the module's own, then the quickest."""
        names = sorted(
            (
                name
                for name, (seconds, called) in self.baseline.items()
                if seconds <= SLOWEST and keys & set(called)
            ),
            key=lambda name: (
                -killers[name],
                not name.startswith(OWN[module]),
                self.baseline[name][0],
            ),
        )
        spent = np.cumsum([self.baseline[name][0] for name in names])
        return names[: int(np.searchsorted(spent, self.longest)) + 1]

    def budget(self, names: list[str]) -> int:
        """The seconds of processor time that a mutant may take with them."""
        return int(4 + 2 * sum(self.baseline[name][0] for name in names))


class Ordered(Quick):
    """Leaves those tests that a mutant is to meet, in their order."""

    def __init__(self, tests: list[str]) -> None:
        self.rank = {name: index for index, name in enumerate(tests)}

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        items[:] = [item for item in items if name_of(item.nodeid) in self.rank]
        items.sort(key=lambda item: self.rank[name_of(item.nodeid)])


def in_fork(run: Any, seconds: int) -> tuple[str, str]:
    """Whether ``run`` came to an end in a fork, and the test that failed there."""
    receiver, sender = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(receiver)
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 2))
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        room = pages * resource.getpagesize() + 2**32
        resource.setrlimit(resource.RLIMIT_AS, (room, room))
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(10 * seconds)
        failed = OUTSIDE
        try:
            failed = run()
        finally:
            os.write(sender, failed.encode())
            os._exit(bool(failed))
    os.close(sender)
    with os.fdopen(receiver, "rb") as pipe:
        failed = pipe.read().decode()
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    if status in (-signal.SIGXCPU, -signal.SIGALRM, -signal.SIGKILL):
        return "timed out", ""
    if failed == OUTSIDE:
        return "error", failed
    return ("killed" if status else "survived"), failed


def copy_of_checkout(folder: Path) -> None:
    ignore = shutil.ignore_patterns("__pycache__")
    for name in ("skreg", "tests", "docs/reliability"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, folder / name)


def enter(folder: str) -> None:
    os.chdir(folder)
    sys.path[:0] = [folder, f"{folder}/tests"]
    os.environ["PYTHONPATH"] = folder


def fresh(names: list[str]) -> str:
    """A run of the tests with the changed file imported; the test that failed."""
    import pytest

    sys.dont_write_bytecode = True
    ordered = Ordered(names)
    files = list(dict.fromkeys(name.partition("::")[0] for name in names))
    try:
        status = pytest.main([*PYTEST, "-x", *files], plugins=[ordered])
    except BaseException:
        return "the import"
    return ordered.failed or ("the import" if status else "")


def worker(folder: str, share: Any, tests: Tests, queue: Any) -> None:
    """The mutants of a share: first those by exchange, then those by fresh import."""
    import pytest

    enter(folder)
    killers: dict[str, Counter[str]] = defaultdict(Counter)
    left: dict[int, Mutant] = dict(share)
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)

    def by_exchange() -> None:
        receiver.close()
        quiet()
        forks = Forks(share, tests, sender.send)
        pytest.main([*PYTEST, *tests.files], plugins=[forks])
        os._exit(0)

    process = context.Process(target=by_exchange)
    process.start()
    sender.close()
    while True:
        try:
            number, outcome, by = receiver.recv()
        except EOFError:
            break
        if outcome != "fresh":
            queue.put((number, outcome, by))
            del left[number]
    process.join()
    for number, mutant in left.items():
        path = file_of(mutant.module)
        original = path.read_text(encoding="utf-8")
        for cached in path.parent.glob(f"__pycache__/{mutant.module}.*.pyc"):
            cached.unlink()
        path.write_text(mutant.source, encoding="utf-8")
        called = {key for _, keys in tests.baseline.values() for key in keys}
        keys = {key for key in called if key.startswith(f"{mutant.module}:")}
        names = tests.of(mutant.module, keys, killers[mutant.module])
        outcome, by = in_fork(
            lambda names=names: fresh(names),
            tests.budget(names) + 10,
        )
        if outcome == "killed":
            killers[mutant.module][by] += 1
        path.write_text(original, encoding="utf-8")
        queue.put((number, outcome, by))


def quiet() -> None:
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)


def baseline_of(folder: str, files: list[str]) -> Any:
    """The time of each test and the functions that it calls; all must pass."""
    import pytest

    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)

    def run() -> None:
        enter(folder)
        quiet()
        pytest.main([*PYTEST, *files], plugins=[Baseline(sender)])

    process = context.Process(target=run)
    process.start()
    sender.close()
    calls, failed = receiver.recv()
    process.join()
    if failed:
        raise SystemExit(f"{failed} fails without any mutant: mend it first.")
    return calls


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", metavar="module", default=list(MODULES))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--sample", type=float, default=1.0, help="a part of them")
    parser.add_argument("--functions", default="", help="only what has this name")
    settings = parser.parse_args()
    modules = settings.modules
    os.environ |= {"CI": "true", "OPENBLAS_NUM_THREADS": "1"}
    # No other plugins, so that all tests run in this process and its forks.
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    os.environ.pop("PYTEST_ADDOPTS", None)
    sys.dont_write_bytecode = False
    # What takes long to import, once for all forks. Not skreg: its code changes.
    import pandas  # noqa: F401
    import scipy.stats  # noqa: F401
    import sklearn.model_selection
    import sklearn.utils.estimator_checks  # noqa: F401

    start = time.perf_counter()
    mutants = [m for name in modules for m in mutants_of(name)]
    mutants = [m for m in mutants if settings.functions in m.function]
    n_all = len(mutants)
    taken = random.Random(0).sample(range(n_all), round(settings.sample * n_all))
    mutants = [mutants[index] for index in sorted(taken)]
    print(f"{len(mutants)} mutants, {time.perf_counter() - start:.0f} s", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        folders = [Path(temporary, str(job)) for job in range(settings.jobs)]
        for folder in folders:
            copy_of_checkout(folder)
        outcomes: dict[int, Any] = {}
        for files, longest in PASSES:
            left = [
                (number, mutant)
                for number, mutant in enumerate(mutants)
                if outcomes.get(number, ("survived", ""))[0] == "survived"
            ]
            outcomes |= run_all(left, files, longest, folders)
    whole = len(mutants) == n_all and not settings.functions
    whole &= set(modules) == set(MODULES)
    report(modules, mutants, outcomes, time.perf_counter() - start, keep=whole)


def run_all(
    mutants: list[tuple[int, Mutant]],
    files: list[str],
    longest: float,
    folders: list[Path],
) -> dict[int, tuple[str, str]]:
    """The outcome of each mutant with these files of tests."""
    baseline = baseline_of(str(folders[0]), files)
    tests = Tests(files, longest, baseline)
    total = sum(seconds for seconds, _ in baseline.values())
    print(f"{len(mutants)} mutants, {len(baseline)} tests of {total:.0f} s", flush=True)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    processes = [
        context.Process(
            target=worker,
            args=(str(folder), mutants[job :: len(folders)], tests, queue),
        )
        for job, folder in enumerate(folders)
    ]
    for process in processes:
        process.start()
    named, outcomes = dict(mutants), {}
    for _ in mutants:
        number, outcome, by = queue.get()
        outcomes[number] = outcome, by
        if outcome in ("survived", "timed out"):
            mutant = named[number]
            print(
                f"{len(outcomes)}/{len(mutants)} {outcome} {mutant.module}.py:"
                f"{mutant.line} {mutant.operator}\n"
                f"    - {mutant.before}\n    + {mutant.after}",
                flush=True,
            )
    for process in processes:
        process.join()
    return outcomes


def report(
    modules: list[str],
    mutants: list[Mutant],
    outcomes: Any,
    seconds: float,
    *,
    keep: bool,
) -> None:
    """The tables, and an error where the goal is missed; in files to keep if whole."""
    reasons, path = {}, HERE / "survivors.csv"
    if path.exists():
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                place = row["module"], row["function"], row["before"], row["after"]
                reasons[place] = row["reason"]
    counts: dict[str, Counter[str]] = {name: Counter() for name in modules}
    survivors, used = [], set()
    for number, mutant in enumerate(mutants):
        outcome, _ = outcomes[number]
        counts[mutant.module][outcome] += 1
        if outcome == "survived":
            place = mutant.module, mutant.function, mutant.before, mutant.after
            survivors.append((mutant, reasons.get(place, "")))
            used.add(place)
    missed = [f"{mutant.module}:{mutant.line}" for mutant, why in survivors if not why]
    missed += [
        f"{mutant.module}:{mutant.line} ({OUTSIDE})"
        for number, mutant in enumerate(mutants)
        if outcomes[number][0] == "error"
    ]
    table = [["module", "mutants", "killed", "timed_out", "survived", "percent"]]
    n_all = dead_of_all = 0
    for name in modules:
        of_module = counts[name]
        # One whose compiled code is the same is no mutant.
        n = sum(of_module.values()) - of_module["same"]
        dead = of_module["killed"] + of_module["timed out"]
        n_all, dead_of_all = n_all + n, dead_of_all + dead
        percent = f"{100 * dead / max(n, 1):.1f}"
        row = [name, n, of_module["killed"], of_module["timed out"]]
        table.append([*row, of_module["survived"], percent])
        print(TEXT.format(*table[-1]))
        if dead < GOAL * n:
            missed.append(name)
    print(f"{n_all} mutants, {100 * dead_of_all / max(n_all, 1):.1f} % found")
    if keep and dead_of_all < GOAL_OF_ALL * n_all:
        missed.append("all together")
    lived = [["module", "line", "function", "operator", "before", "after", "reason"]]
    lived += [[*mutant[:6], why] for mutant, why in survivors]
    if keep:
        results = HERE / "results"
        results.mkdir(exist_ok=True)
        for rows, of in ((table, "mutants"), (lived, "mutants_survivors")):
            path = results / f"{of}.csv"
            with path.open("w", encoding="utf-8", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows(rows)
        for place in reasons.keys() - used:
            print("a reason for what does not survive:", *place)
    print(f"{seconds:.0f} s")
    if missed:
        raise SystemExit(f"Not explained, or too few found: {', '.join(missed)}")


if __name__ == "__main__":
    main()
