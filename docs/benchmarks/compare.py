"""The time of two versions of the package, case by case, and whether they do the same.

The other version is a checkout in a folder of its own:

    git worktree add ../before v0.1.0
    python docs/benchmarks/compare.py ../before [--repeats 7]

Two processes, one for each checkout, make the runs of ``compare_cases.py`` in turns
(ours, other, other, ours, …), a first turn left out; what counts is the median of the
ratio ours / other within each turn, with its quartiles: of the time of the clock, and
of the time of the processor, which other programs on the machine disturb less.
"differs" names what is not the same bit by bit, of the fitted attributes and what the
methods give, and the largest difference of the scores of ``cv_results_`` or of the
probabilities.

Then the same comparison without times, for some hundreds of settings; ``--equal`` makes
that alone, and the exit status is 1 if anything differs.

It prints the tables and writes results/compare.csv.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from common import command_line, report, table

HERE = Path(__file__).resolve()
CLOCKS = "wall", "CPU"


class Worker:
    """The process that has imported the package of one checkout."""

    def __init__(self, checkout: Path) -> None:
        self.checkout = checkout.resolve()
        path = [str(self.checkout), os.environ.get("PYTHONPATH", "")]
        self._process = subprocess.Popen(
            [sys.executable, HERE.with_name("compare_cases.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(filter(None, path)),
                # The order of sets, as in messages, is the same in both.
                "PYTHONHASHSEED": "0",
                # Nothing is written to the checkouts.
                "PYTHONDONTWRITEBYTECODE": "1",
                "PYTHONUTF8": "1",
            },
        )
        self.names = self.ask(names=True)
        package = Path(self.names["package"])
        assert package == self.checkout / "skreg", f"{package} was imported"

    def tell(self, **request: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"The process of {self.checkout} has ended.")
        return json.loads(line)

    def ask(self, **request: object) -> dict[str, Any]:
        self.tell(**request)
        return self.answer()

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def what_differs(ours: dict[str, Any], other: dict[str, Any]) -> str:
    """The names of the traits that differ, and by how much numbers do."""
    mine, theirs = ours["traits"], other["traits"]
    names = [n for n in dict.fromkeys([*mine, *theirs]) if mine.get(n) != theirs.get(n)]
    if not names:
        return ""
    difference = largest_difference(ours["numbers"], other["numbers"])
    return f"{', '.join(names)} (largest difference {difference:.2g})"


def largest_difference(ours: Sequence[float], other: Sequence[float]) -> float:
    """Infinite where one has a number and the other has none."""
    differences = (
        0.0 if a == b or (math.isnan(a) and math.isnan(b)) else abs(a - b)
        for a, b in zip_longest(ours, other, fillvalue=math.inf)
    )
    return max((math.inf if math.isnan(d) else d for d in differences), default=0.0)


def timed(name: str, ours: Worker, other: Worker, repeats: int) -> dict[str, object]:
    """A line of the table of times."""
    pair = [ours, other]
    first = [worker.ask(case=name, traits=True) for worker in pair]
    seconds: dict[Worker, list[dict[str, float]]] = {ours: [], other: []}
    for _ in range(repeats):
        for worker in pair:
            seconds[worker].append(worker.ask(case=name, traits=False))
        pair.reverse()
    line: dict[str, object] = {"case": name}
    for clock in CLOCKS:
        mine, theirs = (
            np.array([each[clock] for each in seconds[worker]])
            for worker in (ours, other)
        )
        if clock == "wall":
            line |= {"ours ms": 1e3 * float(np.median(mine))}
            line |= {"other ms": 1e3 * float(np.median(theirs))}
        low, middle, high = np.quantile(mine / theirs, (0.25, 0.5, 0.75))
        line[f"{clock}, ours / other"] = f"{middle:.3f}"
        line[f"{clock}, quartiles"] = f"{low:.3f} to {high:.3f}"
    line["differs"] = what_differs(*first)
    print(f"{name}: {line['wall, ours / other']}", file=sys.stderr)
    return line


def compared(names: Sequence[str], ours: Worker, other: Worker) -> list[dict[str, str]]:
    """A line for each case that is not the same in both, which run at once."""
    lines, failed = [], []
    for name in names:
        for worker in (ours, other):
            worker.tell(case=name, traits=True)
        answers = [worker.answer() for worker in (ours, other)]
        difference = what_differs(*answers)
        if difference:
            lines.append({"settings": name, "differs": difference})
        if all(answer["raised"] for answer in answers):
            failed.append(name)
    print(f"\n{len(names) - len(lines)} of {len(names)} settings do the same in both.")
    print(f"An error in both, of {len(failed)}: {'; '.join(failed)}.\n")
    if lines:
        print(table(lines))
    return lines


def main() -> None:
    parser = command_line(__doc__.splitlines()[0], repeats=7)
    parser.add_argument("other", type=Path, help="the folder of the other version")
    parser.add_argument(
        "--ours", type=Path, default=HERE.parents[2], help="by default this checkout"
    )
    parser.add_argument(
        "--equal", action="store_true", help="no times; which settings differ"
    )
    parser.add_argument(
        "--case", help="of the timed ones those with this in their name"
    )
    options = parser.parse_args()
    ours, other = Worker(options.ours), Worker(options.other)
    differ: list[object] = []
    if not options.equal:
        names = [n for n in ours.names["timed"] if (options.case or "") in n]
        lines = [timed(name, ours, other, options.repeats) for name in names]
        report("compare", lines, options.results)
        differ += [line for line in lines if line["differs"]]
    if not options.case:
        differ += compared(ours.names["settings"], ours, other)
    for worker in (ours, other):
        worker.end()
    sys.exit(1 if differ else 0)


if __name__ == "__main__":
    main()
