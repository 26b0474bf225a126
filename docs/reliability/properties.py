"""Any parameters on any data: what becomes of a fit, here and with MLPClassifier.

Cases are drawn as in tests/test_properties.py: parameters from the declared
constraints, as far as both classifiers have them and admit the value, and data of all
dtypes, layouts, sparse formats, frames, labels and magnitudes. Each case goes to both
classifiers, through the same checks; it counts under the first promise that is broken:

- wrong error: another error than a ValueError or TypeError that skreg or scikit-learn
  raises on purpose, or that its validation of inputs raises;
- numpy warning: a RuntimeWarning;
- NaN: a weight, a loss, a probability or its logarithm is not finite;
- wrong model: attributes or predictions do not fit together, as probabilities that do
  not sum to one;
- changed input: other bytes in X, y or sample_weight than before;
- hang: no answer in a minute.

    python docs/reliability/properties.py

prints the counts and writes results/properties.csv.

    python docs/reliability/properties.py --deep

runs the property tests and the state machine with the hypothesis profile "deep" instead
(``--tests`` names some of them), and prints how many examples they drew.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import re
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from sklearn.neural_network import MLPClassifier
from sklearn.utils._param_validation import make_constraint
from sklearn.utils.validation import has_fit_parameter

from skreg import RegularizedMLPClassifier

ROOT = Path(__file__).resolve().parents[2]
RESULTS = Path(__file__).with_name("results")
TESTS = ["tests/test_properties.py", "tests/test_state_machine.py"]
OUTCOMES = [
    "valid model",
    "clear error",
    "wrong error",
    "numpy warning",
    "NaN",
    "wrong model",
    "changed input",
    "hang",
]
CLASSIFIERS = {
    "skreg": RegularizedMLPClassifier,
    "MLPClassifier": MLPClassifier,
}


def run_tests(tests: list[str]) -> int:
    """The deep profile; the exit code of pytest."""
    command = [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider"]
    options = ["--hypothesis-profile=deep", "--hypothesis-show-statistics"]
    print("$ python", *command[1:], *tests, *options, flush=True)
    start, cpu = time.perf_counter(), _cpu_of_children()
    found = subprocess.run(
        [*command, *tests, *options], cwd=ROOT, capture_output=True, text=True
    )
    print(found.stdout, found.stderr, sep="\n")
    numbers = re.findall(r"(\d+) passing(?: examples)?, (\d+) failing", found.stdout)
    drawn = sum(int(number) for pair in numbers for number in pair)
    print(
        f"{drawn} examples (those of all phases) in {time.perf_counter() - start:.0f} "
        f"s, {_cpu_of_children() - cpu:.0f} s of CPU"
    )
    return found.returncode


def _cpu_of_children() -> float:
    import resource

    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def parameters_of(case) -> dict[str, dict]:
    """The parameters of the case that both classifiers have and admit.

    A number for ``lambd`` is ``alpha`` there.
    """
    theirs = MLPClassifier._parameter_constraints
    ours = RegularizedMLPClassifier._parameter_constraints
    found: dict[str, dict] = {name: {} for name in CLASSIFIERS}
    for name, value in case.parameters.items():
        other = "alpha" if name == "lambd" else name
        if other not in theirs:
            continue
        constraints = [*map(make_constraint, theirs[other])]
        admitted = any(each.is_satisfied_by(value) for each in constraints)
        assert any(make_constraint(c).is_satisfied_by(value) for c in ours[name])
        if admitted:
            found["skreg"][name] = value
            found["MLPClassifier"][other] = value
    return found


def outcome(model, case, inputs) -> tuple[str, str, str]:
    """What became of the case: the outcome, in which call, and a text."""
    X, y, extra = case.arguments()
    try:
        with inputs.promises("fit", X=X, y=y, **extra):
            model.fit(X, y, **extra)
        inputs.check_attributes(model, case)
        for rows in (case.X, case.X_new):
            if rows is not None:
                inputs.check_predictions(model, case, rows, rows.build())
        with inputs.promises("score", X=X, y=y, **extra):
            score = model.score(X, y, **extra)
            inputs.must(0 <= score <= 1 + 1e-9, "score", f"it is {score}")
    except inputs.Documented as error:
        return "clear error", "", str(error)
    except inputs.Broken as error:
        one_class = len(np.unique(case.y.array().astype(str), axis=0)) == 1
        where = f"{error.where}, 1 class" if one_class else error.where
        return error.promise, where, str(error)
    return "valid model", "", ""


def compare(n_cases: int, number: int, verbose: bool) -> dict[str, Counter]:
    """Draw the cases, and count what became of each."""
    sys.path.insert(0, str(ROOT / "tests"))
    import inputs

    # Each classifier may give advice of its own: only numpy's warnings count.
    inputs.MAY_WARN.append((UserWarning, ""))
    weighted = has_fit_parameter(MLPClassifier(), "sample_weight")
    counts: dict[str, Counter] = {name: Counter() for name in CLASSIFIERS}
    shown: set[tuple[str, ...]] = set()

    @seed(number)
    @settings(
        max_examples=n_cases,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=inputs.cases(validation=False))
    def draw(case) -> None:
        parameters = parameters_of(case)
        shared = replace(case, sample_weight=case.sample_weight if weighted else None)
        for name, classifier in CLASSIFIERS.items():
            # Another of the same state for each, since a fit draws from it.
            drawn = {
                key: np.random.RandomState(0)
                if isinstance(value, np.random.RandomState)
                else value
                for key, value in parameters[name].items()
            }
            case_of = replace(shared, parameters=drawn)
            with contextlib.redirect_stdout(io.StringIO()):
                what, where, text = outcome(classifier(**drawn), case_of, inputs)
            counts[name][what, where] += 1
            if (
                verbose
                and what not in OUTCOMES[:2]
                and (name, what, where) not in shown
            ):
                shown.add((name, what, where))
                print(f"{name}: {text}\n    {case_of}", flush=True)

    draw()
    return counts


def report(counts: dict[str, Counter]) -> None:
    """Print the table and write it."""
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / "properties.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["outcome", "call", *CLASSIFIERS])
        print(f"{'outcome':16}{'call':28}" + "".join(f"{n:>16}" for n in CLASSIFIERS))
        for what in OUTCOMES:
            calls = {
                where for found in counts.values() for w, where in found if w == what
            }
            for where in sorted(calls) or [""]:
                row = [counts[name][what, where] for name in CLASSIFIERS]
                writer.writerow([what, where, *row])
                print(f"{what:16}{where:28}" + "".join(f"{n:16}" for n in row))
    for name, found in counts.items():
        kept = sum(n for (what, _), n in found.items() if what in OUTCOMES[:2])
        print(f"{name}: {kept} of {found.total()} cases as promised")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=2000, help="default: 2000")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--verbose", action="store_true", help="show broken promises")
    parser.add_argument("--deep", action="store_true", help="run the deep profile")
    parser.add_argument("--tests", nargs="+", default=TESTS)
    arguments = parser.parse_args()
    if arguments.deep:
        return run_tests(arguments.tests)
    start = time.process_time()
    counts = compare(arguments.cases, arguments.seed, arguments.verbose)
    report(counts)
    print(f"{arguments.cases} cases, {time.process_time() - start:.0f} s of CPU")
    return 0


if __name__ == "__main__":
    sys.exit(main())
