"""Who follows fits, epochs and searches: the printer, scikit-learn's callbacks.

Callbacks came with scikit-learn 1.9; before it there is nobody. Its tasks have
no public form outside of its own classes. If ``_init_callback_context``, the contexts
it returns or ``_skl_callbacks`` change, :class:`Task` has all that is called on them.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Self

from skreg._training.settings import Settings

try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:  # scikit-learn before 1.9

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Nothing to support."""


CallbackSupport = CallbackSupportMixin


def given_only(**arguments: Any) -> dict[str, Any]:
    """The arguments that are not None."""
    return {name: value for name, value in arguments.items() if value is not None}


@dataclass(eq=False)
class Task:
    """A piece of an estimator's work, for its callbacks.

    ``hook_data`` is what the hooks get: X, y and metadata, and
    ``reconstruction_attributes``, the fitted attributes of the model as it is. Without
    a ``context`` there is nobody to tell; :meth:`begin_fit` makes that of the whole.
    """

    estimator: Any = None
    hook_data: dict[str, Any] = field(default_factory=dict)
    context: Any = None

    @property
    def is_followed(self) -> bool:
        """Without a callback epochs need not be tasks."""
        return hasattr(self.estimator, "_skl_callbacks")

    def part(
        self, name: str, hook_data: dict[str, Any] | None = None, **about: Any
    ) -> Self:
        """A task within this one."""
        context = self.context
        if context is not None:
            context = context.subcontext(task_name=name, **about)
        return type(self)(self.estimator, hook_data or {}, context)

    def parts(self, name: str, number: int) -> Self:
        """A task within this one, of so many in any order."""
        return self.part(name, max_subtasks=number, sequential_subtasks=False)

    def of_candidate(self, number: int) -> dict[str, Any]:
        """What scikit-learn's function that fits and scores a candidate gets."""
        if self.context is None:
            return {}
        part = self.part("candidate-split-evaluation", task_id=number)
        return {"caller": self.estimator, "callback_ctx": part.context}

    @contextmanager
    def of_refit(self, estimator: Any) -> Iterator[None]:
        """The fit of the best candidate, whose callbacks are those of the search."""
        part = self.part("refit-with-best-params", self.hook_data)
        if part.context is None:
            yield
            return
        with part.context.propagate_callback_context(estimator):
            part.begin()
            yield
        part.end()

    def begin_fit(self, n_parts: int | None = 0) -> Self:
        """Begin the whole of a ``fit``; None parts are a number that is not known."""
        if hasattr(self.estimator, "_init_callback_context"):
            self.context = self.estimator._init_callback_context(max_subtasks=n_parts)
        return self.begin()

    def begin(self) -> Self:
        if self.context is not None:
            self.context.call_on_fit_task_begin(
                estimator=self.estimator, **self.hook_data
            )
        return self

    def end(self, **more: Any) -> bool:
        """End it; a callback may ask for the end of the training."""
        if self.context is None:
            return False
        hook_data = {**self.hook_data, **more}
        return bool(
            self.context.call_on_fit_task_end(estimator=self.estimator, **hook_data)
        )


@dataclass
class Progress:
    """Prints how a training goes, as ``verbose`` asks, and tells callbacks of it.

    ``task`` is that of the fit, or of a phase of it, and its parts are the epochs. In
    an ``ensemble`` each line has the number of the network.
    """

    settings: Settings
    task: Task
    ensemble: bool
    start: float = field(default_factory=time.monotonic)

    @property
    def is_followed(self) -> bool:
        """Whether anybody is to hear of the epochs."""
        return bool(self.settings.verbose) or self.task.is_followed

    def on_splits(self, n_splits: int, n_epochs: int | None) -> Self:
        """Begin the phase that a training on all rows is to follow."""
        self.print(f"Validation split 1 of {n_splits}")
        return self.phase("validation splits", n_epochs)

    def phase(self, name: str, n_epochs: int | None) -> Self:
        """Begin a phase of the fit, of so many epochs if that is known."""
        part = self.task.part(name, self.task.hook_data, max_subtasks=n_epochs)
        return replace(self, task=part.begin())

    def print(self, line: str) -> None:
        if self.settings.verbose:
            print(line)

    def print_epoch(
        self, epoch: int, loss: float, score: float | None, network: int
    ) -> None:
        if not self.settings.verbose:
            return
        of_score = ""
        if score is not None and self.settings.scoring == "loss":
            of_score = f", validation loss = {-score:.6f}"
        elif score is not None:
            of_score = f", validation score = {score:.6f}"
        seconds = time.monotonic() - self.start
        line = f"Iteration {epoch}, loss = {loss:.8f}{of_score}, {seconds:.2f} s"
        self._print(line, network)

    def print_end(self, last: int, best: int, network: int) -> None:
        """Print which epoch was the last, and which the best, 0 if none is."""
        of_best = f", best {self._unit} {best}" if best else ""
        self._print(f"Training stopped after {self._unit} {last}{of_best}", network)

    def print_choice(self, lambd: Any, network: int) -> None:
        self._print(f"Taken: lambd={lambd!r}", network)

    def print_refit(self, n_epochs: int, reason: str, network: int) -> None:
        self._print(f"All rows, up to {self._unit} {n_epochs}: {reason}", network)

    @property
    def _unit(self) -> str:
        return "iteration" if self.settings.solver == "lbfgs" else "epoch"

    def _print(self, line: str, network: int) -> None:
        if self.ensemble:
            line = f"Network {network + 1}: {line[0].lower()}{line[1:]}"
        self.print(line)


class Epochs:
    """The epochs of a network: prints each, and makes it a task of the fit or phase.

    ``attributes()`` gives the fitted attributes of the model as it is, ``network`` is
    its number in an ensemble.
    """

    def __init__(
        self,
        progress: Progress,
        attributes: Callable[[], dict[str, Any]],
        network: int,
    ) -> None:
        self._progress = progress
        self._attributes = attributes
        self._network = network
        self._epoch: Task | None = None

    def begins(self) -> None:
        """Begin the task of an epoch."""
        whole = self._progress.task
        about = whole.hook_data | {"reconstruction_attributes": self._attributes}
        # Known before it begins: if one callback raises, the others still end it.
        self._epoch = whole.part("epoch", about)
        self._epoch.begin()

    def ends(self, epoch: int, loss: float, score: float | None) -> bool:
        """Print the loss and the score; whether a callback ends the training."""
        self._progress.print_epoch(epoch, loss, score, self._network)
        task, self._epoch = self._epoch, None
        return task is not None and task.end()

    def finished(self) -> None:
        """End an iteration of L-BFGS that was begun and led nowhere."""
        if self._epoch is not None:
            self._epoch.end(reconstruction_attributes=None)
