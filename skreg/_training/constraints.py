"""scikit-learn's check of parameters, which has no public form.

If ``sklearn.utils._param_validation`` changes: ``Interval``, ``Options`` and
``StrOptions`` say what a value may be, ``HasMethods`` what an object must have. If
``sklearn.base._fit_context`` does: it calls ``estimator._validate_params()`` before
``fit``, where it is not nested in one that did, and tears down callbacks after it.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from sklearn.base import _fit_context
from sklearn.utils._param_validation import HasMethods, Interval, Options, StrOptions

__all__ = ["HasMethods", "Interval", "Options", "StrOptions", "fit_context"]

Method = TypeVar("Method", bound=Callable[..., Any])


def fit_context(*, prefer_skip_nested_validation: bool) -> Callable[[Method], Method]:
    """``_fit_context``, which has no type hints: those of the method."""
    return cast(
        "Callable[[Method], Method]",
        _fit_context(prefer_skip_nested_validation=prefer_skip_nested_validation),
    )
