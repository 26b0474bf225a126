"""Who follows fits, epochs and searches: the printer, scikit-learn's callbacks.

Callbacks came with scikit-learn 1.9; before it there is nobody. Its tasks have
no public form outside of its own classes. If ``_init_callback_context``, the contexts
it returns or ``_skl_callbacks`` change, :class:`Task` has all that is called on them.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:  # scikit-learn before 1.9

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Nothing to support."""


CallbackSupport = CallbackSupportMixin


def given_only(**arguments: Any) -> dict[str, Any]:
    """The arguments that are not None."""
    return {name: value for name, value in arguments.items() if value is not None}


class Task:
    """A piece of an estimator's work, for its callbacks; does nothing without them.

    ``hook_data`` is what the hooks get: X, y and metadata, and
    ``reconstruction_attributes``, the fitted attributes of the model as it is.
    """

    def __init__(self, estimator: Any, context: Any, **hook_data: Any) -> None:
        self.estimator = estimator
        self.context = context
        self.hook_data = hook_data
        # Without a callback epochs need not be tasks.
        self.is_followed = hasattr(estimator, "_skl_callbacks")

    @classmethod
    def of(cls, estimator: Any, max_subtasks: int = 0, **hook_data: Any) -> Self:
        """The whole work of a ``fit``."""
        context = None
        if hasattr(estimator, "_init_callback_context"):
            context = estimator._init_callback_context(max_subtasks=max_subtasks)
        return cls(estimator, context, **hook_data)

    def part(
        self, name: str, hook_data: dict[str, Any] | None = None, **about: Any
    ) -> Self:
        """A task within this one."""
        context = self.context
        if context is not None:
            context = context.subcontext(task_name=name, **about)
        return type(self)(self.estimator, context, **(hook_data or {}))

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


class Epochs:
    """Prints each epoch, as ``verbose`` asks, and makes it a task of the fit.

    ``attributes()`` gives the fitted attributes of the model as it is.
    """

    def __init__(
        self, verbose: bool, task: Task | None, attributes: Callable[[], dict[str, Any]]
    ) -> None:
        self._verbose = verbose
        self._fit = task
        self._attributes = attributes
        self._epoch: Task | None = None

    def begins(self) -> None:
        """Begin the task of an epoch."""
        if self._fit is not None:
            about = self._fit.hook_data | {
                "reconstruction_attributes": self._attributes
            }
            # Known before it begins: if one callback raises, the others still end it.
            self._epoch = self._fit.part("epoch", about)
            self._epoch.begin()

    def ends(self, epoch: int, loss: float, score: float | None) -> bool:
        """Print the loss and the score; whether a callback ends the training."""
        if self._verbose:
            of_score = "" if score is None else f", validation score = {score:.6f}"
            print(f"Iteration {epoch}, loss = {loss:.8f}{of_score}")
        task, self._epoch = self._epoch, None
        return task is not None and task.end()

    def finished(self) -> None:
        """End an iteration of L-BFGS that was begun and led nowhere."""
        if self._epoch is not None:
            self._epoch.end(reconstruction_attributes=None)
