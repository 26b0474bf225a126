"""A pipeline for data frames: text, dates, gaps and numbers in, a model out.

:func:`skreg.tabular_pipeline` makes it. It needs the extra ``table``:
``pip install "skreg[table]"``.
"""

from __future__ import annotations

import contextlib
import re
import warnings
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, SplineTransformer, StandardScaler
from sklearn.utils.validation import check_is_fitted

from skreg._models.classifier import RegularizedMLPClassifier
from skreg._models.ensemble import RegularizedMLPEnsemble
from skreg._models.search import RegularizedMLPClassifierCV
from skreg._tabular.cells import TextNumbers, checked, libraries, listed, shown
from skreg._training.advice import FitAdviceWarning, advise

__all__ = ["tabular_pipeline"]

_N_KNOTS = 6
# The steps of skrub that convert a column: what it held, and how the names of the types
# begin that they would misread without an error.
_DATES = "date", "timestamp"
_NUMBERS = "int", "uint", "float", "double", "decimal", "bool"
_HELD = {
    "ToFloat": ("numbers", _DATES),
    "ToFloat32": ("numbers", _DATES),  # its name in older versions
    "ToDatetime": ("dates", _NUMBERS),
    "DurationToFloat": ("durations", _NUMBERS),
}


def tabular_pipeline(
    model: Any = None,
    *,
    cardinality_threshold: int = 40,
    low_cardinality: Any = None,
    high_cardinality: Any = None,
    numeric: Any = None,
    datetime: Any = None,
    decimal: str | None = None,
    n_jobs: int | None = None,
) -> Pipeline:
    """Make a pipeline that takes a data frame of pandas or Polars as it comes.

    The columns may hold numbers, words, free text, dates, bools and gaps. skrub's
    ``TableVectorizer`` finds out what each one is and encodes it. The pipeline
    remembers the columns by name.

    Parameters
    ----------
    model : estimator, default=None
        The last step. None is ``RegularizedMLPClassifierCV()``. Without ``numeric`` a
        ``standardize`` that it has is set to False, in a clone: the columns are
        standardised already, and more would make rare splines large.
    cardinality_threshold : int, default=40
        A column of text with fewer different values than this is one of categories
        (``low_cardinality``), the others are free text (``high_cardinality``).
    low_cardinality : transformer, 'passthrough' or 'drop', default=None
        For columns of categories. None is one column of 0 and 1 for each category; a
        category that comes up later has 0 in all of them.
    high_cardinality : transformer, 'passthrough' or 'drop', default=None
        For columns of free text. None is skrub's ``StringEncoder`` with 30 components.
    numeric : transformer, 'passthrough' or 'drop', default=None
        For the columns of numbers, all at once. None fills gaps with the mean, with
        another column that says where they were, and standardises. Beside the
        standardised values come their cubic splines with 6 knots at quantiles, where
        these differ; a column of few values, or most of whose values are the same, has
        none.
    datetime : transformer, 'passthrough' or 'drop', default=None
        For columns of dates. None makes the year, the month and so on of them, and the
        seconds since 1970; these are treated as numbers are by default.
    decimal : {'.', ','}, default=None
        The decimal point of numbers that are text, as in ``"1.234,5"``. None is the one
        under which more cells are numbers.
    n_jobs : int, default=None
        How many columns to encode at the same time, as joblib counts.

    Returns
    -------
    pipeline : sklearn.pipeline.Pipeline
        Of two steps, ``namedcolumns`` and the model. It can be cloned, searched,
        cross-validated and pickled.

    Raises
    ------
    ImportError
        If skrub is missing.

    See Also
    --------
    RegularizedMLPClassifierCV : The search that is the last step by default.

    Notes
    -----
    In ``predict`` the columns are taken by name, in whatever order they come. It raises
    ValueError for a frame that lacks a column, and for text where there were numbers or
    dates; the error names the column. Further columns are ignored, with a warning.

    ``fit`` and ``predict`` raise ValueError for numbers that are infinite in float32,
    and TypeError for cells that hold a list, a dict or a complex number.

    The search in the last step sees the columns after they were encoded. If an encoder
    looks at y, as ``TargetEncoder`` does, search with ``GridSearchCV`` over the whole
    pipeline, so that it is fitted on each split.

    Examples
    --------
    >>> import pandas as pd
    >>> import skreg
    >>> X = pd.DataFrame(
    ...     {
    ...         "weight": [3.1, 4.0, None, 31.0, 24.5, 28.0] * 5,
    ...         "says": ["meow", "meow", "purr", "woof", "woof", None] * 5,
    ...         "born": ["2021-03-01", "2019-07-14", "2020-01-30"] * 10,
    ...     }
    ... )
    >>> y = ["cat", "cat", "cat", "dog", "dog", "dog"] * 5
    >>> model = skreg.tabular_pipeline(
    ...     skreg.RegularizedMLPClassifier(max_iter=50, random_state=0)
    ... )
    >>> model.fit(X, y).predict(X[["born", "says", "weight"]][2:5])
    array(['cat', 'dog', 'dog'], dtype='<U3')
    """
    _, skrub = libraries()

    given = {
        "low_cardinality": low_cardinality,
        "high_cardinality": high_cardinality,
        "datetime": datetime,
    }
    defaults = {
        # skrub drops a column of two, so that each new category would warn.
        "low_cardinality": OneHotEncoder(
            handle_unknown="ignore", sparse_output=False, dtype=np.float32
        ),
        # So that each fit is the same.
        "high_cardinality": skrub.StringEncoder(n_components=30, random_state=0),
        "datetime": make_pipeline(
            skrub.ApplyToCols(skrub.DatetimeEncoder()), _numbers()
        ),
    }
    chosen = {name: value for name, value in given.items() if value is not None}
    vectorizer = skrub.TableVectorizer(
        cardinality_threshold=cardinality_threshold,
        n_jobs=n_jobs,
        **(defaults | chosen),
    )
    model = RegularizedMLPClassifierCV() if model is None else model
    if numeric is None:
        numeric, model = _numbers(), _of_scaled_columns(model)
    return make_pipeline(NamedColumns(vectorizer, numeric, decimal), model)


def _of_scaled_columns(model: Any) -> Any:
    """The model, in which no network of ours standardises its columns once more."""
    ours = RegularizedMLPClassifier, RegularizedMLPClassifierCV, RegularizedMLPEnsemble
    if not any(isinstance(each, ours) for each in _with_parts(model)):
        return model
    model = clone(model)
    for each in _with_parts(model):
        if isinstance(each, RegularizedMLPEnsemble) and each.estimator is None:
            each.set_params(estimator=RegularizedMLPClassifier(standardize=False))
        elif isinstance(each, RegularizedMLPEnsemble):
            members: Any = each.estimator
            for network in members if isinstance(members, list) else [members]:
                network.set_params(standardize=False)
        elif isinstance(each, ours):
            each.set_params(standardize=False)
    return model


def _with_parts(model: Any) -> list[Any]:
    return [model, *model.get_params().values()]


def _numbers() -> Pipeline:
    """Gaps filled and marked; standardised values, and splines beside them."""
    splines = SplineTransformer(
        n_knots=_N_KNOTS, degree=3, knots="quantile", include_bias=False
    )
    columns = make_column_transformer(
        (StandardScaler(), slice(0, None)),
        (splines, _with_knots),
        verbose_feature_names_out="{feature_name}",
    )
    return make_pipeline(
        SimpleImputer(add_indicator=True, keep_empty_features=True), columns
    )


def _with_knots(X: Any) -> list[int]:
    """The columns whose quantiles differ: equal knots would make empty splines."""
    knots = np.percentile(np.asarray(X), np.linspace(0, 100, _N_KNOTS), axis=0)
    return [int(i) for i in np.flatnonzero((np.diff(knots, axis=0) > 0).all(axis=0))]


class NamedColumns(TransformerMixin, BaseEstimator):
    """Hands the columns of a data frame to a vectorizer, by name.

    Parameters
    ----------
    vectorizer : skrub.TableVectorizer
        Encodes the columns.
    numeric : transformer, 'passthrough' or 'drop'
        For the columns that the vectorizer found to be numbers. It takes them all at
        once, which is several times as fast as each on its own.
    decimal : {'.', ','}, default=None
        The decimal point in text; None finds it.

    Attributes
    ----------
    vectorizer_ : skrub.TableVectorizer
        The fitted one.
    cells_ : TextNumbers
        What makes numbers of text.
    numeric_ : sklearn.compose.ColumnTransformer
        The fitted transformer, and which columns it takes.
    feature_names_in_ : ndarray of str
        The names of the columns.
    n_features_in_ : int
        How many there are.
    library_ : {'pandas', 'polars'}
        Whose data frame it was fitted with.
    """

    def __init__(
        self, vectorizer: Any, numeric: Any, decimal: str | None = None
    ) -> None:
        self.vectorizer = vectorizer
        self.numeric = numeric
        self.decimal = decimal

    def fit(self, X: Any, y: Any = None) -> NamedColumns:
        """Fit the vectorizer.

        Parameters
        ----------
        X : data frame of pandas or Polars
            The columns.
        y : array-like, default=None
            The target, for encoders that look at it.

        Returns
        -------
        self : NamedColumns
            Itself.
        """
        self.fit_transform(X, y)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> Any:
        """Fit the vectorizer and encode its columns.

        Parameters
        ----------
        X : data frame of pandas or Polars
            The columns.
        y : array-like, default=None
            The target, for encoders that look at it.

        Returns
        -------
        encoded : data frame
            The encoded columns.
        """
        _, skrub = libraries()

        if self.decimal not in (None, ".", ","):
            raise ValueError(f"decimal={self.decimal!r} must be '.', ',' or None.")
        cells = TextNumbers(self.decimal)
        X, odd_cells = cells.fit_transform(checked(X))
        if odd_cells:
            advise(" ".join(odd_cells), FitAdviceWarning)
        vectorizer = clone(self.vectorizer)
        with np.errstate(over="ignore"):
            encoded = vectorizer.fit_transform(X, y)
        # The selectors hold functions of skrub and the steps before them, which a file
        # should neither name nor carry. There is no public way to them.
        for _, step in vectorizer._pipeline.steps:
            if hasattr(step, "cols"):
                step.cols = skrub.selectors.cols(*step.used_inputs_)
        kinds, sources = vectorizer.column_to_kind_, vectorizer.output_to_input_
        numbers, others, positions = [], [], []
        for i, name in enumerate(encoded.columns):
            if kinds[sources[name]] == "numeric":
                numbers.append(name)
                positions.append(i)
            else:
                others.append(name)
        # With names or none, scikit-learn 1.6 puts a private type into files.
        numeric = make_column_transformer(
            (self.numeric, positions) if positions else ("drop", slice(0, 0)),
            sparse_threshold=0,
            verbose_feature_names_out="{feature_name}",
        )
        _check_finite(X, vectorizer, encoded, numbers)
        values = numeric.fit_transform(encoded, y)
        names = _different([*numeric.get_feature_names_out(), *others])
        if not names:
            raise ValueError(
                "X has no column with values, or all of them are dropped; its columns: "
                f"{listed(X.columns)}."
            )
        self._numbers, self._others = numbers, others
        self._names_out = np.array(names, dtype=object)
        self.cells_ = cells
        self.vectorizer_ = vectorizer
        self.numeric_ = numeric
        self.feature_names_in_ = np.array(X.columns, dtype=object)
        self.n_features_in_ = len(self.feature_names_in_)
        self.library_ = _library(X)
        return self._joined(values, encoded)

    def transform(self, X: Any) -> Any:
        """Encode the columns, which may come in another order.

        Parameters
        ----------
        X : data frame of pandas or Polars
            The columns.

        Returns
        -------
        encoded : data frame
            The encoded columns.
        """
        check_is_fitted(self)
        X = checked(X)
        if _library(X) != self.library_:
            raise TypeError(
                f"X is a data frame of {_library(X)}, and the model was fitted with "
                f"one of {self.library_}. Use the same for both."
            )
        names = list(self.feature_names_in_)
        there = set(X.columns)
        if absent := [name for name in names if name not in there]:
            raise ValueError(
                f"X lacks columns that the model was fitted with: {listed(absent)}. "
                "Add them; what is not known may be missing (None)."
            )
        known = set(names)
        if further := [name for name in X.columns if name not in known]:
            warnings.warn(
                "X has columns that the model was not fitted with, which are "
                f"ignored: {listed(further)}. Leave them out.",
                stacklevel=2,
            )
        X, odd_cells = self.cells_.transform(X[names])
        if odd_cells:
            advise(" ".join(odd_cells), FitAdviceWarning)
        if self.library_ == "polars":
            # A column without values has any type, and skrub wants text or dates.
            X = X.cast(
                {
                    name: step.output_dtype_
                    for name in names
                    if X[name].is_null().all()
                    for step in self.vectorizer_.all_processing_steps_[name]
                    if type(step).__name__ == "ToDatetime"
                }
            )
        with np.errstate(over="ignore"):
            for name in names:
                self._check_values(name, X[name])
            encoded = self.vectorizer_.transform(X)
        _check_finite(X, self.vectorizer_, encoded, self._numbers)
        return self._joined(self.numeric_.transform(encoded), encoded)

    def _joined(self, numbers: Any, encoded: Any) -> Any:
        """One data frame of the encoded numbers and the other columns."""
        values = np.asarray(numbers)
        names, rest = np.split(self._names_out, [values.shape[1]])
        renamed = dict(zip(self._others, rest, strict=True))
        if self.library_ == "polars":
            made = type(encoded)(values, list(names), orient="row")
            return made.hstack(encoded.select(self._others).rename(renamed))
        import pandas as pd

        made = pd.DataFrame(values, encoded.index, names)
        others = encoded[self._others].rename(columns=renamed)
        return pd.concat([made, others], axis="columns")

    def _check_values(self, name: str, column: Any) -> None:
        """Refuse values that skrub would silently take for missing, or misread."""
        steps = self.vectorizer_.all_processing_steps_[name]
        kinds = [type(step).__name__ for step in steps]
        conversion = next((i for i, kind in enumerate(kinds) if kind in _HELD), None)
        if conversion is None:
            return
        held, strange = _HELD[kinds[conversion]]
        odd = ~_missing(column)
        if odd.any() and not str(column.dtype).lower().startswith(strange):
            cleaned = column
            for step in steps[:conversion]:
                cleaned = step.transform(cleaned)
            # An error is for all values, which are of a type that skrub cannot convert.
            with contextlib.suppress(Exception):
                converted = steps[conversion].transform(cleaned)
                odd = _missing(converted) & ~_missing(cleaned)
        if odd.any():
            raise ValueError(
                f"Column {name!r} held {held} when the model was fitted, and now has "
                f"{shown(column, odd)}. Correct it, or make it missing (None)."
            )

    def get_feature_names_out(self, input_features: Any = None) -> Any:
        """Names of the encoded columns.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Ignored: the names are those of the frame in ``fit``.

        Returns
        -------
        names : ndarray of str
            The names.
        """
        check_is_fitted(self)
        return self._names_out.copy()


def _check_finite(X: Any, vectorizer: Any, encoded: Any, numbers: list[str]) -> None:
    """Refuse numbers that are infinite in float32, in which skrub has them."""
    for made in numbers:
        odd = np.isinf(np.asarray(encoded[made]))
        if odd.any():
            name = vectorizer.output_to_input_[made]
            raise ValueError(
                f"Column {name!r} has {shown(X[name], odd)}, which is infinite or too "
                "large for float32. Make it missing (None), or scale the column."
            )


def _library(X: Any) -> str:
    return "pandas" if hasattr(X, "select_dtypes") else "polars"


def _missing(column: Any) -> Any:
    return np.asarray(
        column.is_null() if hasattr(column, "is_null") else column.isna(), dtype=bool
    )


def _different(names: list[str]) -> list[str]:
    """The names, with a number behind each that came before."""
    different: dict[str, None] = {}
    # skrub marks a name that it had before with random letters.
    for name in (re.sub(r"__skrub_\w+?__", "", name) for name in names):
        new, number = name, 2
        while new in different:
            new, number = f"{name}_{number}", number + 1
        different[new] = None
    return list(different)
