"""Work as calls: a function and its arguments, the array that it writes last.

The formulas yield their calls, so that each stands in one place: it is run at once, or
made a plan that a training step runs again and again on the same arrays. For small
networks Python's own work would otherwise take longer than numpy's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

Call = tuple[Any, ...]
Calls = Iterable[Call]
Plan = list[Callable[[], Any]]


def run(calls: Calls) -> None:
    """Make each call once, as it comes."""
    for function, *arguments in calls:
        function(*arguments)


def plan(calls: Calls) -> Plan:
    """The calls, to be made later and as often as wanted."""
    return [partial(function, *arguments) for function, *arguments in calls]


def run_plan(planned: Plan) -> None:
    """Make each call of a plan."""
    for call in planned:
        call()
