"""What guards the estimator's methods: where they exist, and what an error undoes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import MethodType
from typing import Any, TypeVar, cast

from sklearn.base import BaseEstimator

from skreg._training.early_stopping import stops_early_for_sure
from skreg._training.settings import Settings

Method = TypeVar("Method", bound=Callable[..., Any])


class _UnavailableError(AttributeError, ValueError):
    """A method that the parameters rule out: hasattr() is false, the text says why."""


def available_if_incremental(method: Method) -> Method:
    """``partial_fit`` exists where the parameters allow it.

    As ``sklearn.utils.metaestimators.available_if``, but the error is a ValueError as
    well, with the reason in its own text.
    """
    return cast("Method", _Incremental(method))


class _Incremental:
    """The descriptor behind :func:`available_if_incremental`."""

    def __init__(self, method: Callable[..., Any]) -> None:
        self._method = method
        self.__doc__, self.__name__ = method.__doc__, method.__name__

    def __get__(self, estimator: Settings | None, owner: type | None = None) -> Any:
        if estimator is None:
            return self._method
        if estimator.solver == "lbfgs":
            raise _UnavailableError(
                "partial_fit is only available for the solvers 'sgd' and 'adam', but "
                "solver='lbfgs': each L-BFGS run needs all of the data. Set "
                "solver='adam', or use fit with warm_start=True."
            )
        if stops_early_for_sure(estimator):
            raise _UnavailableError(
                "partial_fit does not support early_stopping=True: one call sees a "
                "part of the data once, so there is nothing to stop. Set "
                "early_stopping=False, and score rows held out between the calls."
            )
        return MethodType(self._method, estimator)


@contextmanager
def unchanged_on_error(estimator: BaseEstimator) -> Iterator[None]:
    """A call that fails leaves the estimator with what it had."""
    before = vars(estimator).copy()
    try:
        yield
    except BaseException:
        # scikit-learn needs these to tear down the callbacks of the failed fit. If it
        # has other names for them, give those here.
        names = ("_callback_fit_ctx", "_skl_callbacks_to_teardown")
        callbacks = {k: v for k, v in vars(estimator).items() if k in names}
        estimator.__dict__ = before | callbacks
        raise


@contextmanager
def fitted_anew(estimator: BaseEstimator) -> Iterator[None]:
    """A ``fit`` without what the fit before left; a failure brings that back."""
    with unchanged_on_error(estimator):
        for name in [name for name in vars(estimator) if name.endswith("_")]:
            delattr(estimator, name)
        yield
