"""Who is told of each epoch: the printer, and scikit-learn's callbacks (1.9, newer)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from skreg._solvers import EpochReport

try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:  # scikit-learn before 1.9

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Nothing to support."""


CallbackSupport = CallbackSupportMixin


class PrintedEpochs:
    """Prints the loss of each epoch, as ``verbose`` asks."""

    def begins(self) -> None:
        """Nothing to print yet."""

    def ends(self, report: EpochReport) -> bool:
        """Print the loss and the score."""
        score = ""
        if report.validation_score is not None:
            score = f", validation score = {report.validation_score:.6f}"
        print(f"Iteration {report.epoch}, loss = {report.loss:.8f}{score}")
        return False

    def finished(self) -> None:
        """Nothing to print any more."""


class EndAfter:
    """Ends the training after so many epochs, wherever its course has come to."""

    def __init__(self, n_epochs: int) -> None:
        self._n_epochs = n_epochs

    def begins(self) -> None:
        """Nothing to count yet."""

    def ends(self, report: EpochReport) -> bool:
        """Whether these were the epochs."""
        return report.epoch >= self._n_epochs

    def finished(self) -> None:
        """Nothing to count any more."""


class FitTask:
    """The fit of an estimator, as a task for its callbacks; does nothing without them.

    ``data`` is what the hooks get: X, y and metadata.
    """

    def __init__(self, estimator: Any, data: dict[str, Any]) -> None:
        self.estimator = estimator
        self.data = data
        self.context: Any = None
        if hasattr(estimator, "_init_callback_context"):
            self.context = estimator._init_callback_context(
                max_subtasks=estimator.max_iter
            )
            self.context.call_on_fit_task_begin(estimator=estimator, **data)

    def observers(self, attributes: Callable[[], dict[str, Any]]) -> list[EpochTasks]:
        """An observer that makes a task of each epoch, if there are callbacks."""
        if not hasattr(self.estimator, "_skl_callbacks"):
            return []
        return [EpochTasks(self, attributes)]

    def close(self) -> None:
        """End the task of the fit."""
        if self.context is not None:
            self.context.call_on_fit_task_end(
                estimator=self.estimator, reconstruction_attributes={}, **self.data
            )


class EpochTasks:
    """Each epoch as a task within that of the fit.

    ``attributes()`` gives the fitted attributes of the model as it is.
    """

    def __init__(self, fit: FitTask, attributes: Callable[[], dict[str, Any]]) -> None:
        self._fit = fit
        self._epoch: Any = None
        self._arguments = {
            "estimator": fit.estimator,
            "reconstruction_attributes": attributes,
            **fit.data,
        }

    def begins(self) -> None:
        """Begin the task of an epoch."""
        self._epoch = self._fit.context.subcontext(task_name="epoch")
        self._epoch.call_on_fit_task_begin(**self._arguments)

    def ends(self, report: EpochReport) -> bool:
        """End it; a callback may ask for the end of training."""
        epoch, self._epoch = self._epoch, None
        return bool(epoch.call_on_fit_task_end(**self._arguments))

    def finished(self) -> None:
        """End an iteration of L-BFGS that was begun and led nowhere."""
        if self._epoch is not None:
            self._epoch.call_on_fit_task_end(estimator=self._fit.estimator)


class SearchTask:
    """A search, as a task for its callbacks; does nothing without them.

    Its subtasks are those of ``GridSearchCV``: the search, with one for each candidate
    and split, and the fit of the best candidate to all rows.
    """

    def __init__(self, search: Any, n_evaluations: int, data: dict[str, Any]) -> None:
        self._search = search
        self._data = data
        self._root: Any = None
        self._evaluations: Any = None
        if hasattr(search, "_init_callback_context"):
            self._root = search._init_callback_context(
                max_subtasks=1 + (search.refit is not False)
            ).call_on_fit_task_begin(estimator=search, **data)
            self._evaluations = self._root.subcontext(
                task_name="search",
                max_subtasks=n_evaluations,
                sequential_subtasks=False,
            ).call_on_fit_task_begin(estimator=search)

    def evaluation(self, number: int) -> dict[str, Any]:
        """What scikit-learn's function that fits and scores a candidate is told."""
        if self._evaluations is None:
            return {}
        context = self._evaluations.subcontext(
            task_name="candidate-split-evaluation", task_id=number
        )
        return {"caller": self._search, "callback_ctx": context}

    def evaluated(self) -> None:
        """All candidates have their scores."""
        if self._evaluations is not None:
            self._evaluations.call_on_fit_task_end(estimator=self._search)

    @contextmanager
    def refit(self, estimator: Any) -> Iterator[None]:
        """The fit of the best candidate, whose callbacks are those of the search."""
        if self._root is None:
            yield
            return
        context = self._root.subcontext(task_name="refit-with-best-params")
        with context.propagate_callback_context(estimator):
            context.call_on_fit_task_begin(estimator=self._search, **self._data)
            yield
        context.call_on_fit_task_end(estimator=self._search, **self._data)

    def close(self) -> None:
        """End the task of the search."""
        if self._root is not None:
            self._root.call_on_fit_task_end(estimator=self._search, **self._data)
