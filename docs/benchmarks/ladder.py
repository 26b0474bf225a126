"""How long the way from ``fit`` to the matrix product is, for who reads it.

A fit without early stopping is followed through the package. Two numbers come of it:

- changes of file before the first step. In the order in which the package's functions
  begin, each called by another of them, it counts those that lie in another file than
  the one before: from ``fit`` to the last call into the file of the epoch loop, which
  then calls the objective for the first time. Returns, comprehensions, generators that
  go on, and what other packages call (scikit-learn asks for tags, contextlib enters a
  context) do not count.
- frames of ours at the product: how many functions of the package are on the stack at
  the first product of matrices (``np.dot`` or ``np.matmul``) under
  ``Objective.__call__``, from ``fit`` to the one that makes the call, both included.

    python docs/benchmarks/ladder.py [--checkout ../before] [--verbose]

prints both, the files in the order in which they come up, and the frames at the
product; with ``--verbose`` each call. It has the first number up to the objective as
well, with the batches that the loop asks for on the way.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np

OBJECTIVE = "Objective.__call__"
COMPREHENSIONS = ("<genexpr>", "<listcomp>", "<setcomp>", "<dictcomp>")


class Place(NamedTuple):
    """A function of the package: its file there, and its name."""

    file: str
    name: str


class Way(NamedTuple):
    """The functions called up to the objective, and those on the stack at a product.

    ``loop`` is the file of the function that calls the objective.
    """

    calls: list[Place]
    loop: str
    frames: list[Place]


class Follower:
    """Notes the calls within a package, and the stack at the first product.

    ``loop`` is the file of the function that called the objective, once it has.
    """

    def __init__(self, package: Path) -> None:
        self._package = str(package)
        # The frames themselves: one that comes again is a generator that goes on.
        self._seen: set[FrameType] = set()
        self.calls: list[Place] = []
        self.loop: str | None = None
        self.frames: list[Place] = []

    def place_of(self, frame: FrameType) -> Place | None:
        """None for what is not of the package."""
        file = Path(frame.f_code.co_filename)
        if not file.is_relative_to(self._package):
            return None
        relative = file.relative_to(self._package).as_posix()
        return Place(relative, frame.f_code.co_qualname)

    def stack(self, frame: FrameType | None) -> list[Place]:
        """The functions of the package on the stack, from the outermost in."""
        found = []
        while frame is not None:
            place = self.place_of(frame)
            if place is not None:
                found.append(place)
            frame = frame.f_back
        return found[::-1]

    def profile(self, frame: FrameType, event: str, _: Any) -> None:
        """What ``sys.setprofile`` calls."""
        if event != "call" or self.loop is not None or frame in self._seen:
            return
        self._seen.add(frame)
        place = self.place_of(frame)
        if place is None or place.name.endswith(COMPREHENSIONS):
            return
        caller = frame.f_back
        by_us = caller is not None and self.place_of(caller) is not None
        # What scikit-learn calls before ``fit``, and beside it, does not count.
        if not (by_us if self.calls else place.name.endswith(".fit")):
            return
        self.calls.append(place)
        if place.name == OBJECTIVE:
            self.loop = self.stack(frame)[-2].file

    def product(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, which notes the stack of its first call in training."""

        def call(*arguments: Any, **more: Any) -> Any:
            if not self.frames:
                found = self.stack(sys._getframe(1))
                if any(place.name == OBJECTIVE for place in found):
                    self.frames = found
            return function(*arguments, **more)

        return call


def follow() -> Way:
    """Follow a fit of the package that is imported here, its second."""
    import skreg

    X = np.random.default_rng(0).standard_normal((60, 4))
    y = (X[:, 0] > 0).astype(int)
    model = skreg.RegularizedMLPClassifier(
        early_stopping=False, max_iter=2, random_state=0
    )
    follower = Follower(Path(skreg.__file__).parent)
    before = sys.getprofile()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, y)
        with (
            patch.object(np, "dot", follower.product(np.dot)),
            patch.object(np, "matmul", follower.product(np.matmul)),
        ):
            sys.setprofile(follower.profile)
            try:
                model.fit(X, y)
            finally:
                sys.setprofile(before)
    if follower.loop is None or not follower.frames:
        raise RuntimeError(f"The fit made no product under {OBJECTIVE}.")
    return Way(follower.calls, follower.loop, follower.frames)


def changes(calls: Sequence[Place]) -> int:
    return sum(a.file != b.file for a, b in pairwise(calls))


def to_the_loop(way: Way) -> list[Place]:
    """The calls up to the last one into the file of the epoch loop."""
    last = max(i for i, place in enumerate(way.calls) if place.file == way.loop)
    return way.calls[: last + 1]


def ladder() -> tuple[int, int]:
    """Changes of file before the first step, and frames of ours at the product."""
    way = follow()
    return changes(to_the_loop(way)), len(way.frames)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--checkout",
        type=Path,
        default=Path(__file__).resolve().parents[2],
        help="the folder of the version to follow; by default this checkout",
    )
    parser.add_argument("--verbose", action="store_true", help="print each call")
    options = parser.parse_args()
    checkout = options.checkout.resolve()
    sys.path.insert(0, str(checkout))
    sys.dont_write_bytecode = True
    import skreg

    package = Path(skreg.__file__).resolve().parent
    assert package == checkout / "skreg", f"{package} was imported"

    way = follow()
    calls = to_the_loop(way)
    print(f"changes of file before the first step: {changes(calls)}")
    print(f"the same up to the objective: {changes(way.calls)}")
    print(f"frames of ours at the product: {len(way.frames)}")
    files = dict.fromkeys(place.file for place in calls)
    print(f"\n{len(files)} files, in the order in which they come up:")
    for file in files:
        print(f"  {file}")
    print("\nFrames at the product:")
    for place in way.frames:
        print(f"  {place.file}: {place.name}")
    if options.verbose:
        print("\nCalls up to the objective, * in another file than the one before:")
        for before, place in pairwise([way.calls[0], *way.calls]):
            star = "*" if before.file != place.file else " "
            print(f"{star} {place.file}: {place.name}")


if __name__ == "__main__":
    main()
