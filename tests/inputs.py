"""Inputs of every kind, drawn by hypothesis, and what must come of a call with them.

A `Table`, `Labels` or `Weights` is a recipe of plain values, so that a failing case
reads like the `@example` that it is to become; `build()` makes the array, sparse matrix
or frame. Parameters are drawn from the constraints that the class declares, so that a
new one is drawn from the day it is declared.
"""

import linecache
import math
import pickle
import re
import signal
import tempfile
import threading
import warnings
from collections.abc import Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from numbers import Integral, Real
from pathlib import Path

import numpy as np
import pandas as pd
import polars
import sklearn
from hypothesis import settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.exceptions import (
    ConvergenceWarning,
    DataConversionWarning,
    FitFailedWarning,
    UndefinedMetricWarning,
)
from sklearn.model_selection import KFold
from sklearn.utils import _param_validation as declared

import skreg
from skreg import RegularizedMLPClassifier

# Numbers ------------------------------------------------------------------------------

ORDINARY = [0.0, 1.0, -1.0, 0.5, 2.0, -3.0, 0.25]
EXTREME = [
    -0.0,
    5e-324,
    -5e-324,
    2.3e-308,
    1e-300,
    -1e-300,
    1e-160,
    1e-40,
    1e-5,
    100.0,
    -65504.0,
    1e10,
    1e38,
    -3e38,
    1e155,
    -1e160,
    1e300,
    -1e300,
    1.7e308,
]
BAD = [math.nan, math.inf, -math.inf]

ordinary = st.one_of(st.sampled_from(ORDINARY), st.floats(-3, 3, width=16))
extreme = st.one_of(st.sampled_from(EXTREME), st.floats(-1e300, 1e300))


def as_dtype(values, dtype):
    """The values in a dtype, the nearest that it has."""
    dtype = np.dtype(dtype)
    if dtype.kind in "iu" and np.isfinite(values).all():
        info = np.iinfo(dtype)
        flat = [min(max(int(v), info.min), info.max) for v in np.ravel(values)]
        return np.array(flat, dtype).reshape(np.shape(values))
    with np.errstate(all="ignore"):
        if dtype.kind == "f":
            info = np.finfo(dtype)
            values = np.where(
                np.isfinite(values), np.clip(values, info.min, info.max), values
            )
        return np.asarray(values, dtype=float).astype(dtype)


# Tables -------------------------------------------------------------------------------

DTYPES = ["float64", "float32", "float16", "longdouble", "bool", "object"]
DTYPES += [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
ODD_DTYPES = ["complex128", "U8"]
FORMATS = ["csr", "csc", "coo", "lil", "dok", "bsr", "dia"]


def _strided(A):
    wide = np.full([2 * n + 1 for n in A.shape], 7, dtype=A.dtype)
    view = wide[tuple(slice(1, None, 2) for _ in A.shape)]
    view[...] = A
    return view


def _reversed(A):
    every = (slice(None, None, -1),) * A.ndim
    return np.array(A[every])[every]


def _read_only(A):
    A = A.copy()
    A.flags.writeable = False
    return A


def _memory_mapped(A):
    if A.dtype == object:
        return A
    with tempfile.TemporaryFile() as file:
        file.write(A.tobytes())
        file.flush()
        return np.memmap(file, A.dtype, mode="r", shape=A.shape)


def _byte_swapped(A):
    return A.astype(A.dtype.newbyteorder())


ARRAYS = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "strided": _strided,
    "reversed": _reversed,
    "read-only": _read_only,
    "memory-mapped": _memory_mapped,
    "byte-swapped": _byte_swapped,
    "list": lambda A: A.tolist(),
}


def _for_scipy(A):
    """In a dtype that a sparse matrix may have."""
    if A.dtype == np.float16:
        return A.astype(np.float32)
    if A.dtype.kind in "OU":
        return A.astype(float)
    return A


def _sparse(kind, form):
    make = getattr(sparse, f"{form}_{kind}")
    return lambda A: make(_for_scipy(A))


def _wide_indices(A):
    """Indices of 64 bits."""
    S = sparse.csr_array(_for_scipy(A))
    S.indices, S.indptr = S.indices.astype(np.int64), S.indptr.astype(np.int64)
    return S


def _every_value(A):
    """Each value of A is stored, zeros too."""
    A = _for_scipy(A)
    n, width = A.shape
    columns = np.tile(np.arange(width), n)
    return sparse.csr_matrix(
        (A.ravel(), columns, np.arange(0, n * width + 1, width)), A.shape
    )


def _unsorted(A):
    S = _every_value(A)
    backwards = S.indices.reshape(A.shape)[:, ::-1].ravel()
    data = S.data.reshape(A.shape)[:, ::-1].ravel()
    return sparse.csr_matrix((data, backwards, S.indptr), S.shape)


def _duplicates(A):
    """Each value of A beside a zero of the same place."""
    S = _every_value(A)
    pairs = np.column_stack([S.data, np.zeros_like(S.data)]).ravel()
    return sparse.csr_array((pairs, np.repeat(S.indices, 2), 2 * S.indptr), S.shape)


SPARSE = {
    f"{form}_{kind}": (kind, form) for kind in ("array", "matrix") for form in FORMATS
}
SPARSE = {name: _sparse(*which) for name, which in SPARSE.items()} | {
    "64-bit indices": _wide_indices,
    "explicit zeros": _every_value,
    "unsorted": _unsorted,
    "duplicates": _duplicates,
}


def _frame(A):
    return pd.DataFrame(A, columns=[f"c{i}" for i in range(A.shape[1])])


def _mixed_frame(A):
    frame = _frame(A)
    kinds = ["float64", "int64", "float32", "bool", "Float64"]
    for name, dtype in zip(frame, kinds, strict=False):
        if A.dtype.kind in "fiub":
            frame[name] = as_dtype(A[:, int(name[1:])].astype(float), dtype.lower())
            frame[name] = frame[name].astype(dtype)
    return frame


def _nullable_frame(A):
    kinds = {"b": "boolean", "i": "Int64", "u": "UInt64", "f": "Float64"}
    frame = _frame(A.astype(float) if A.dtype.itemsize in (2, 16) else A)
    return frame.astype(kinds.get(A.dtype.kind, object))


def _arrow_frame(A):
    if A.dtype.kind not in "fiub" or A.dtype.itemsize in (2, 16):
        return _frame(A)
    return _frame(A).convert_dtypes(dtype_backend="pyarrow")


def _category_frame(A):
    # pandas has no categories of float16 and longdouble.
    return _frame(A.astype(float) if A.dtype.itemsize in (2, 16) else A).astype(
        "category"
    )


def _numbered_frame(A):
    return pd.DataFrame(A)


def _sparse_frame(A):
    A = _for_scipy(A)
    frame = _frame(A)
    return frame.astype(pd.SparseDtype(A.dtype, A.dtype.type(0)))


def _polars_frame(A):
    A = _for_scipy(A)
    A = A.astype(float) if A.dtype.kind == "c" or A.dtype.itemsize == 16 else A
    return polars.DataFrame({f"c{i}": A[:, i].tolist() for i in range(A.shape[1])})


FRAMES = {
    "frame": _frame,
    "mixed frame": _mixed_frame,
    "nullable frame": _nullable_frame,
    "Arrow frame": _arrow_frame,
    "category frame": _category_frame,
    "numbered frame": _numbered_frame,
    "sparse frame": _sparse_frame,
    "polars frame": _polars_frame,
}
CONTAINERS = ARRAYS | SPARSE | FRAMES


def built(make, array):
    """Made of the array, whatever pandas and scipy say to numbers like these."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make(array)


@dataclass(frozen=True)
class Table:
    """X: the values of each column are repeated down the rows."""

    columns: tuple
    n_rows: int
    dtype: str = "float64"
    container: str = "C"

    def array(self):
        columns = [np.resize(values, self.n_rows) for values in self.columns]
        return as_dtype(np.transpose(np.array(columns, dtype=float)), self.dtype)

    def build(self):
        return built(CONTAINERS[self.container], self.array())

    @property
    def names(self):
        """The names of the columns that an estimator is to note, or None."""
        framed = self.container in FRAMES and self.container != "numbered frame"
        return [f"c{i}" for i in range(len(self.columns))] if framed else None


def a_part_of_the_examples(of):
    """So many times fewer examples than the profile has, for a slow test."""
    return settings(max_examples=max(1, settings.default.max_examples // of))


def rarely(usual, other, one_in=20):
    """The other once in so many times."""
    return st.integers(1, one_in).flatmap(lambda i: other if i == one_in else usual)


@st.composite
def tables(draw, n_rows, n_columns=None, bad=True):
    if n_columns is None:
        n_columns = draw(st.integers(1, 4))
    values = draw(st.sampled_from([ordinary, ordinary, st.one_of(ordinary, extreme)]))
    if bad:
        values = draw(
            rarely(st.just(values), st.just(values | st.sampled_from(BAD)), 40)
        )
    column = st.lists(values, min_size=1, max_size=min(5, n_rows)).map(tuple)
    dtype = st.sampled_from(DTYPES)
    return Table(
        tuple(draw(st.lists(column, min_size=n_columns, max_size=n_columns))),
        n_rows,
        draw(st.sampled_from(["float64", "float32"]) | dtype)
        if not bad
        else draw(
            st.sampled_from(["float64", "float32"])
            | rarely(dtype, st.sampled_from(ODD_DTYPES), 12)
        ),
        draw(st.just("C") | st.sampled_from(sorted(CONTAINERS))),
    )


# Labels -------------------------------------------------------------------------------

CLASSES = {
    "ints": np.arange(12),
    "negative": np.array([-7, -1, 0, 5]),
    "huge": np.array([-(2**62), 3, 2**62]),
    "bytes of ints": np.arange(4, dtype=np.uint8),
    "bools": np.array([False, True]),
    "strings": np.array(["no", "yes", "yesterday", ""]),
    "objects": np.array(["no", "yes", "yesterday", ""], dtype=object),
    "floats": np.array([0.0, 1.0, 2.0]),
    "halves of floats": np.array([1.0, 2.0, -1.0], dtype=np.float16),
}
BAD_CLASSES = {
    "fractions": np.array([0.5, 1.5, 2.25]),
    "mixed": np.array(["a", 1, 2.5], dtype=object),
    "missing": np.array(["a", None, "b"], dtype=object),
    "NaN": np.array([0.0, 1.0, math.nan]),
}
COLUMN_CONTAINERS = {
    **{name: ARRAYS[name] for name in ARRAYS if name not in ("F", "byte-swapped")},
    "column": lambda y: y[:, np.newaxis],
    "Series": pd.Series,
    "category": lambda y: pd.Series(
        _for_scipy(y) if y.dtype == np.float16 else y
    ).astype("category"),
    "nullable": lambda y: pd.Series(y).convert_dtypes(),
    "Arrow": lambda y: pd.Series(y).convert_dtypes(dtype_backend="pyarrow"),
    "polars": lambda y: polars.Series(y.tolist(), strict=False),
}
INDICATORS = ["int64", "bool", "float64", "uint8"]


@dataclass(frozen=True)
class Labels:
    """y: classes by their codes, which are repeated down the rows.

    ``classes`` names some of CLASSES, or is the dtype of label indicators; then each
    code is a tuple of 0 and 1.
    """

    classes: str
    codes: tuple
    n_rows: int
    container: str = "C"

    @property
    def kind(self):
        if self.classes in INDICATORS:
            return "multilabel"
        return "classes"

    def array(self):
        if self.kind == "multilabel":
            rows = np.array(self.codes, dtype=self.classes)
            return rows[np.arange(self.n_rows) % len(rows)]
        classes = (CLASSES | BAD_CLASSES)[self.classes]
        return classes[np.resize(self.codes, self.n_rows) % len(classes)]

    def build(self):
        y = self.array()
        containers = COLUMN_CONTAINERS if y.ndim == 1 else CONTAINERS
        return built(containers[self.container], y)


@st.composite
def labels(draw, n_rows, like=None):
    if like is None:
        names = st.sampled_from(["ints", "ints", *sorted(CLASSES)])
        name = draw(rarely(names, st.sampled_from(sorted(BAD_CLASSES)), 30))
        multilabel = draw(st.integers(0, 4)) == 4
        name = draw(st.sampled_from(INDICATORS)) if multilabel else name
        width = draw(st.integers(2, 3))
    else:
        name, width = like.classes, np.size(like.codes[0])
    if name in INDICATORS:
        code = st.tuples(*[st.integers(0, 1)] * width)
        container = st.sampled_from(
            ["C", "F", "list", "strided", *sorted(SPARSE), "frame"]
        )
    else:
        n_classes = len((CLASSES | BAD_CLASSES)[name])
        most = draw(st.integers(1, n_classes - 1))
        code = st.integers(0, most)
        container = st.just("C") | st.sampled_from(sorted(COLUMN_CONTAINERS))
    codes = draw(st.lists(code, min_size=1, max_size=min(12, n_rows)))
    if name not in INDICATORS and n_rows > 1 and draw(st.integers(0, 5)):
        # Few of the cases have one class only.
        codes = [0, most, *codes]
    return Labels(name, tuple(codes), n_rows, draw(container))


# Weights ------------------------------------------------------------------------------

WEIGHT_CONTAINERS = {
    "C": np.asarray,
    "ints": lambda w: (
        np.where(abs(w) < 9, w, 9).astype(int) if np.isfinite(w).all() else w
    ),
    "float32": lambda w: as_dtype(w, np.float32),
    "list": lambda w: w.tolist(),
    "strided": _strided,
    "read-only": _read_only,
    "memory-mapped": _memory_mapped,
    "Series": pd.Series,
}


@dataclass(frozen=True)
class Weights:
    """sample_weight: values that are repeated down the rows."""

    values: tuple
    n_rows: int
    container: str = "C"

    def build(self):
        values = np.resize(self.values, self.n_rows)
        return built(WEIGHT_CONTAINERS[self.container], values)


@st.composite
def weights(draw, n_rows):
    usual = st.one_of(
        st.sampled_from([0.0, 1.0, 2.0, 3.0]),
        st.sampled_from([0.1, 1e-300, 5e-324, 1e-310, 1e10, 1e300, 1.7e308]),
        st.floats(0, 10, width=32),
    )
    value = draw(rarely(st.just(usual), st.just(usual | st.sampled_from([-1.0, *BAD]))))
    values = draw(st.lists(value, min_size=1, max_size=4))
    n_rows = draw(rarely(st.just(n_rows), st.just(n_rows + 1), 40))
    return Weights(
        tuple(values), n_rows, draw(st.sampled_from(sorted(WEIGHT_CONTAINERS)))
    )


# Parameters ---------------------------------------------------------------------------

# A fit that takes longer than some milliseconds tells no more: where an interval has no
# end, integers go so far.
MOST = 4
# These cost nothing when they are large.
MAY_BE_LARGE = {"batch_size", "n_iter_no_change", "max_fun", "verbose"}


def first_class(estimator, X, y):
    """A scorer that is a function: how often the first class is predicted."""
    return float(np.mean(estimator.predict(X) == estimator.classes_[0]))


def first_setting(results):
    """A refit that is a function: the first of the settings."""
    return 0


CALLABLES = {"refit": first_setting}
ARRAY_LIKES = {
    "hidden_layer_sizes": st.lists(st.integers(1, MOST), min_size=1, max_size=3),
    "lambds": st.lists(st.sampled_from([0.0, 0.1, 1, 30.0]), min_size=1, max_size=2),
    "keep_probs": st.lists(st.sampled_from([0.5, 0.9, 1.0, 1]), min_size=1, max_size=2),
}
SOME_NUMBERS = st.lists(st.sampled_from([0.5, 1.0, 1, 0.0, 3]), min_size=1, max_size=3)
SCORERS = ["accuracy", "neg_log_loss", "f1_macro"]


def _integers(name, interval):
    low = 0 if interval.left is None else math.ceil(interval.left)
    if interval.left is not None and not interval.closed.startswith(("left", "both")):
        low = math.floor(interval.left) + 1
    most = math.inf if interval.right is None else interval.right
    values = st.integers(low, int(min(low + MOST - 1, most)))
    if most == math.inf and name in MAY_BE_LARGE:
        values |= st.sampled_from([100, 2**31, 2**70])
    elif most < math.inf:
        values |= st.just(int(most))
    return values | values.filter(lambda n: n < 2**62).map(np.int64)


def _reals(interval):
    low = -math.inf if interval.left is None else interval.left
    high = math.inf if interval.right is None else interval.right
    common = [0, 0.0, 0.1, 0.5, 0.9, 0.999, 1, 1.0, 2.0, 1e-8, 30.0]
    rare = [5e-324, 1e-300, 1e-20, 1 - 2**-53, 1e3, 1e12, 1e100, 1e300]
    rare += [np.float32(0.25), np.float16(0.5), np.longdouble(0.75)]
    rare += [True, np.finfo(float).max]
    values = st.sampled_from(common) | st.sampled_from(rare)
    if math.isfinite(low) and math.isfinite(high):
        values |= st.floats(low, high)
    return values.filter(interval.is_satisfied_by)


def of_constraint(name, constraint):
    """Values that the constraint of a parameter admits."""
    if not isinstance(constraint, declared._Constraint):
        constraint = declared.make_constraint(constraint)
    if isinstance(constraint, declared.Interval):
        if constraint.type is Integral:
            return _integers(name, constraint)
        return _reals(constraint)
    if isinstance(constraint, declared.Options):
        return st.sampled_from(sorted(constraint.options, key=repr))
    if hasattr(constraint, "_constraints"):
        return st.one_of(
            *(of_constraint(name, each) for each in constraint._constraints)
        )
    if isinstance(constraint, declared._NoneConstraint):
        return st.none()
    if isinstance(constraint, declared._ArrayLikes):
        values = ARRAY_LIKES.get(name, SOME_NUMBERS)
        return st.one_of(values, values.map(tuple), values.map(np.array))
    if isinstance(constraint, declared._Callables):
        return st.just(CALLABLES.get(name, first_class))
    if isinstance(constraint, declared.HasMethods):
        if constraint.is_satisfied_by(KFold):
            return st.just(KFold(2))
        return st.just(RegularizedMLPClassifier(hidden_layer_sizes=2, max_iter=2))
    if isinstance(constraint, declared._IterablesNotString):
        return st.just([([0, 1], [0, 1])])
    return _of_type(name, constraint.type)


def _of_type(name, kind):
    if kind in (bool, np.bool_):
        return st.booleans().map(kind)
    if kind is np.random.RandomState:
        return st.integers(0, 9).map(np.random.RandomState)
    if kind is dict:
        # `weights_of_classes` replaces it by one for the classes at hand.
        return st.just({})
    if kind is list:
        return st.just([])
    if kind is str:
        return st.sampled_from(SCORERS)
    if kind is Integral:
        return st.integers(1, MOST)
    if kind is Real:
        return st.sampled_from([0.0, math.nan, -1.0])
    if issubclass(Iterable, kind) or kind in (tuple, set):
        return st.lists(st.sampled_from(SCORERS), min_size=1, max_size=2, unique=True)
    raise NotImplementedError(f"{name}: say what is drawn for {kind}")


@cache
def parameter(cls, name):
    """Values of a parameter, of each of its constraints as often as of the others."""
    constraints = cls._parameter_constraints[name]
    return st.one_of(*(of_constraint(name, each) for each in constraints))


# The cost of a fit, and of a process for each of the jobs.
BASE = {"hidden_layer_sizes": (3,), "max_iter": 2}
BASE_OF_SEARCH = {
    **BASE,
    "lambds": (0.1, 2.0),
    "keep_probs": (0.5,),
    "cv": 2,
    "n_refits": 2,
}
NEVER = {"n_jobs"}


@st.composite
def parameters(draw, cls=RegularizedMLPClassifier, base=BASE, most=6):
    """The parameters of the class, a few of which are drawn."""
    names = st.sampled_from(sorted(cls._parameter_constraints.keys() - NEVER))
    chosen = draw(st.lists(names, max_size=most, unique=True))
    drawn = {name: draw(parameter(cls, name)) for name in chosen}
    found = base | drawn
    found.setdefault("random_state", draw(st.integers(0, 3)))
    return found


def weights_of_classes(value, y):
    """A class weight for the y at hand, where a dict or a list was drawn."""
    weight = st.sampled_from([1.0, 0.5, 2, 10.0, 1e-300, 1e300])
    if not isinstance(value, dict | list):
        return st.just(value)
    if y.kind == "multilabel":
        width = len(y.codes[0])
        of_label = st.fixed_dictionaries({0: weight, 1: weight})
        return st.lists(of_label, min_size=width, max_size=width)
    classes = {**CLASSES, **BAD_CLASSES}[y.classes].tolist()
    return st.dictionaries(st.sampled_from(classes), weight, min_size=1)


# Cases --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """Parameters and data of a fit, and rows to predict."""

    X: Table
    y: Labels
    parameters: Mapping = field(default_factory=lambda: dict(BASE))
    sample_weight: Weights | None = None
    X_new: Table | None = None
    validation: tuple | None = None

    def arguments(self):
        """X, y and the keyword arguments of ``fit``."""
        extra = {}
        if self.sample_weight is not None:
            extra["sample_weight"] = self.sample_weight.build()
        if self.validation is not None:
            names = ("X_val", "y_val", "sample_weight_val")
            for name, recipe in zip(names, self.validation, strict=True):
                if recipe is not None:
                    extra[name] = recipe.build()
        return self.X.build(), self.y.build(), extra


@st.composite
def cases(draw, parameters=None, validation=True, most_rows=12):
    n_rows = draw(rarely(st.integers(1, most_rows), st.integers(100, 110), 12))
    X, y = draw(tables(n_rows)), draw(labels(n_rows))
    chosen = draw(parameters_of_estimator if parameters is None else parameters)
    if "class_weight" in chosen:
        chosen["class_weight"] = draw(weights_of_classes(chosen["class_weight"], y))
    held_out = None
    if validation and draw(st.integers(0, 4)) == 4:
        n_val = draw(st.integers(1, 4))
        held_out = (
            draw(tables(n_val, len(X.columns))),
            draw(labels(n_val, like=y)),
            draw(st.none() | weights(n_val)),
        )
        chosen.setdefault("early_stopping", True)
    n_new = draw(st.integers(1, 3))
    return Case(
        X,
        y,
        chosen,
        draw(st.none() | weights(n_rows)),
        draw(st.none() | tables(n_new, len(X.columns), bad=False)),
        held_out,
    )


parameters_of_estimator = parameters()

# What must come of a call -------------------------------------------------------------


class Broken(AssertionError):
    """A promise that was not kept: which, in which call."""

    def __init__(self, promise, where, text):
        super().__init__(f"{promise} in {where}: {text}")
        self.promise, self.where = promise, where


class Documented(Exception):
    """A call ended in a clear error, as documented."""


class Hang(BaseException):
    """A call took longer than the limit."""


SECONDS = 60.0


@contextmanager
def time_limit(seconds):
    """Raise Hang in the main thread after so many seconds, where the system can."""
    can = hasattr(signal, "setitimer")
    if not can or threading.current_thread() is not threading.main_thread():
        yield
        return

    def raise_hang(*_):
        raise Hang

    before = signal.signal(signal.SIGALRM, raise_hang)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# skreg's own, and scikit-learn's on data that its scorers, splitters and checks meet.
MAY_WARN = [
    (ConvergenceWarning, ""),
    (UserWarning, "columns of X have magnitudes far from 1"),
    (UserWarning, "The regularisation outweighs so few rows"),
    (UserWarning, "The weights of the rows have a mean of"),
    (UserWarning, "nothing, since"),
    (DataConversionWarning, ""),
    (UndefinedMetricWarning, ""),
    (FitFailedWarning, ""),
    (UserWarning, "The least populated class in y has only"),
    (UserWarning, "The number of unique classes is greater than 50%"),
    (UserWarning, "One or more of the test scores are non-finite"),
    (UserWarning, "One or more of the train scores are non-finite"),
    (UserWarning, "Scoring failed"),
    (UserWarning, "does not support sample_weight"),
    (UserWarning, "y_pred contains classes not in y_true"),
    (UserWarning, "No positive class found in y_true"),
    (UserWarning, "A single label was found in"),
    (UserWarning, "X has feature names, but"),
    (UserWarning, "X does not have valid feature names"),
    (UserWarning, "pandas.DataFrame with sparse columns found"),
]


def is_allowed(warning):
    return any(
        issubclass(warning.category, kind) and text in str(warning.message)
        for kind, text in MAY_WARN
    )


def fingerprint(value):
    """The bytes of an input, by which a change of it shows."""
    if isinstance(value, np.ndarray):
        base = value
        while isinstance(base.base, np.ndarray):
            base = base.base
        if base.dtype == object:
            return repr(base.tolist())
        return base.tobytes(), base.shape, base.dtype.str
    if sparse.issparse(value):
        if value.format in ("dok", "lil"):
            return repr(value.toarray().tolist()), value.nnz, value.dtype.str
        names = ("data", "indices", "indptr", "row", "col", "offsets")
        return [
            fingerprint(np.array(getattr(value, name)))
            for name in names
            if hasattr(value, name)
        ]
    if isinstance(value, pd.DataFrame | pd.Series):
        frame = value.to_frame() if isinstance(value, pd.Series) else value
        columns = [
            pickle.dumps(frame.iloc[:, i].tolist()) for i in range(frame.shape[1])
        ]
        return columns, list(frame.columns), list(frame.dtypes), list(frame.index)
    if isinstance(value, polars.DataFrame | polars.Series):
        return repr(value.to_arrow().to_pylist()), repr(value.to_numpy().dtype)
    return repr(value)


SKREG, SKLEARN = (Path(package.__file__).parent for package in (skreg, sklearn))


def is_clear(error):
    """Whether an error is one that was raised on purpose, and says of what.

    It is a ValueError or a TypeError; the last line of skreg or of scikit-learn that
    ran is a ``raise``, or in scikit-learn's utilities, which validate inputs.
    """
    if not isinstance(error, ValueError | TypeError) or len(str(error)) < 10:
        return False
    if isinstance(error, np.linalg.LinAlgError | np._core._exceptions.UFuncTypeError):
        return False
    clear = False
    traceback = error.__traceback__
    while traceback is not None:
        file = Path(traceback.tb_frame.f_code.co_filename)
        if file.is_relative_to(SKREG) or file.is_relative_to(SKLEARN):
            line = linecache.getline(str(file), traceback.tb_lineno).strip()
            clear = line.startswith("raise") or file.is_relative_to(SKLEARN / "utils")
        traceback = traceback.tb_next
    return clear


def hides_a_fault(text):
    """Whether it quotes the traceback of a fit that failed otherwise than clearly.

    A search goes on after such a fit, or raises ValueError if there is no other.
    """
    errors = re.findall(r"^(?:\w+\.)*(\w+(?:Error|Exception|Warning)):", text, re.M)
    return not set(errors) <= {"ValueError", "TypeError", "InvalidParameterError"}


@contextmanager
def promises(where, **inputs):
    """A call within keeps its promises: Documented for a clear error, else Broken."""
    before = {name: fingerprint(value) for name, value in inputs.items()}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        failure = None
        try:
            with time_limit(SECONDS):
                yield
        except Hang as error:
            raise Broken("hang", where, f"no answer in {SECONDS} s") from error
        except (Broken, Documented):
            raise
        except Exception as error:
            if not is_clear(error) or hides_a_fault(str(error)):
                text = f"{type(error).__name__}: {error}"
                raise Broken("wrong error", where, text) from error
            failure = error
        for warning in caught:
            if hides_a_fault(str(warning.message)):
                raise Broken("wrong error", where, str(warning.message))
            if not is_allowed(warning):
                text = f"{warning.category.__name__}: {warning.message}"
                promise = "warning"
                if issubclass(warning.category, RuntimeWarning):
                    promise = "numpy warning"
                place = f"{warning.filename}:{warning.lineno}"
                raise Broken(promise, where, f"{text} ({place})")
    for name, value in inputs.items():
        if fingerprint(value) != before[name]:
            raise Broken("changed input", where, name)
    if failure is not None:
        raise Documented(f"{where}: {failure}") from failure


@contextmanager
def refuses(where):
    """A call within ends in a clear error."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except ValueError as error:
        if not is_clear(error):
            raise Broken("wrong error", where, str(error)) from error
    else:
        raise Broken("wrong model", where, "no error")


def must(truth, where, text):
    if not truth:
        raise Broken("wrong model", where, text)


def must_be_finite(values, where, text):
    if not all(np.isfinite(each).all() for each in values):
        raise Broken("NaN", where, f"{text} is not finite: {values}")


def expected_classes(case):
    """`classes_` of a fit, told from the labels of the rows that count."""
    y = case.y.array()
    if case.y.kind == "multilabel":
        return np.arange(y.shape[1])
    weight = case.sample_weight
    if weight is not None and case.parameters.get("class_weight") is None:
        y = y[np.asarray(weight.build(), dtype=float) > 0]
    if case.y.container in ("list", "polars"):
        # numpy and Polars read a list of numbers and strings as strings.
        y = np.asarray(y.tolist())
    return np.unique(y)


def check_attributes(model, case):
    """The fitted attributes that MLPClassifier has too fit together."""
    where = "attributes"
    must_be_finite(model.coefs_ + model.intercepts_, where, "a weight")
    units = [len(case.X.columns), *(len(b) for b in model.intercepts_)]
    must(
        model.n_features_in_ == units[0],
        where,
        f"n_features_in_ {model.n_features_in_}",
    )
    must(model.n_layers_ == len(units), where, f"n_layers_ {model.n_layers_}")
    must(model.n_outputs_ == units[-1], where, f"n_outputs_ {model.n_outputs_}")
    shapes = [coef.shape for coef in model.coefs_]
    must(shapes == list(pairwise(units)), where, f"shapes {shapes}")
    names = getattr(model, "feature_names_in_", None)
    names = None if names is None else names.tolist()
    must(names == case.X.names, where, f"feature_names_in_ {names}")
    max_iter = model.get_params()["max_iter"]
    must(0 <= model.n_iter_ <= max_iter, where, f"n_iter_ {model.n_iter_}")
    must(model.t_ >= 0, where, f"t_ {model.t_}")
    curve = getattr(model, "loss_curve_", [])
    must_be_finite([np.array(curve), model.loss_], where, "the loss")


def check_own_attributes(model, case):
    """The attributes that the class documents, and their types."""
    where, classes = "attributes", expected_classes(case)
    found = model.classes_
    must(np.array_equal(found, classes), where, f"classes_ {found}, not {classes}")
    n_outputs = 1 if len(classes) == 2 and case.y.kind != "multilabel" else len(classes)
    must(model.n_outputs_ == n_outputs, where, f"n_outputs_ {model.n_outputs_}")
    is_softmax = case.y.kind != "multilabel" and len(classes) != 2
    activation = "softmax" if is_softmax else "logistic"
    must(model.out_activation_ == activation, where, model.out_activation_)
    dtypes = {value.dtype for value in model.coefs_ + model.intercepts_}
    must(dtypes <= {np.dtype("f4"), np.dtype("f8")}, where, f"dtypes {dtypes}")
    must(len(dtypes) == 1, where, f"dtypes {dtypes}")
    must(len(model.loss_curve_) == model.n_iter_, where, "the length of loss_curve_")
    must(isinstance(model.converged_, bool), where, f"converged_ {model.converged_}")
    must(isinstance(model.refit_, bool), where, f"refit_ {model.refit_}")
    scores = model.validation_scores_
    must((scores is None) != (model.best_loss_ is None), where, "best_loss_, scores")
    if scores is None:
        must_be_finite([model.best_loss_], where, "best_loss_")
        least = min(model.loss_curve_, default=model.loss_)
        must(model.best_loss_ == least, where, "best_loss_ is not the least")
        must(model.best_n_iter_ == model.n_iter_, where, "best_n_iter_")
    elif scores:
        must(1 <= model.best_n_iter_ <= len(scores), where, "best_n_iter_")
        best = np.nanmax(scores)
        must(model.best_validation_score_ == best, where, "best_validation_score_")
    if model.train_scores:
        n_scores = len(model.train_scores_)
        must(n_scores == model.n_iter_, where, "the length of train_scores_")
    else:
        must(model.train_scores_ is None, where, "train_scores_")


def check_probabilities(P, model, X, multilabel, where="predict_proba"):
    """Finite, from 0 to 1, and a row sums to one unless multilabel."""
    must_be_finite([P], where, "a probability")
    shape = (X.n_rows, len(model.classes_))
    must(P.shape == shape, where, f"the shape {P.shape}, not {shape}")
    must(P.dtype in (np.float32, np.float64), where, f"the dtype {P.dtype}")
    must(P.min() >= 0, where, f"{P.min()} is below 0")
    slack = 4 * len(model.classes_) * np.finfo(P.dtype).eps
    must(P.max() <= 1 + (0 if multilabel else slack), where, f"{P.max()} is above 1")
    if not multilabel:
        error = abs(P.sum(axis=1, dtype=float) - 1).max()
        must(error <= slack, where, f"the sum is off by {error}")


def check_predictions(model, case, X, rows):
    """What the methods that MLPClassifier has too say of rows X fits together."""
    multilabel = case.y.kind == "multilabel"
    with promises("predict_proba", X=rows):
        P = model.predict_proba(rows)
        check_probabilities(P, model, X, multilabel)
    with promises("predict", X=rows):
        y = model.predict(rows)
    # MLPClassifier gives sparse labels where it was fitted to such.
    y = y.toarray() if sparse.issparse(y) else y
    if multilabel:
        must(y.shape == P.shape, "predict", f"the shape {y.shape}")
        must(np.isin(y, [0, 1]).all(), "predict", "other values than 0 and 1")
        sure = abs(P - 0.5) > 1e-6
        must((y == (P > 0.5))[sure].all(), "predict", "not the likelier")
    else:
        must(y.shape == (X.n_rows,), "predict", f"the shape {y.shape}")
        must(y.dtype == model.classes_.dtype, "predict", f"the dtype {y.dtype}")
        must(np.isin(y, model.classes_).all(), "predict", "a class of its own")
        codes = np.searchsorted(model.classes_, y)
        chosen = np.take_along_axis(P, codes[:, np.newaxis], axis=1)[:, 0]
        must((chosen >= P.max(axis=1) - 1e-6).all(), "predict", "not the likeliest")
    with promises("predict_log_proba", X=rows):
        log_P = model.predict_log_proba(rows)
        must_be_finite([log_P], "predict_log_proba", "a logarithm")
    slack = 64 * np.finfo(P.dtype).eps
    with np.errstate(under="ignore"):
        error = abs(np.exp(log_P) - P).max()
    must(error <= slack, "predict_log_proba", f"its exp is off by {error}")
    return P, y


def check_more_predictions(model, case, X, rows):
    """The methods of our own."""
    multilabel = case.y.kind == "multilabel"
    n_outputs = model.n_outputs_
    with promises("decision_function", X=rows):
        logits = model.decision_function(rows)
        must_be_finite([logits], "decision_function", "a logit")
    shape = (X.n_rows,) if n_outputs == 1 else (X.n_rows, n_outputs)
    must(logits.shape == shape, "decision_function", f"the shape {logits.shape}")
    kept = np.append(model.keep_prob, model.input_keep_prob)
    drops = (np.rint(65536 * kept) < 65536).any()
    with promises("sample_proba", X=rows) if drops else refuses("sample_proba"):
        draws = model.sample_proba(rows, n_samples=2, random_state=0)
        must(len(draws) == 2, "sample_proba", f"{len(draws)} draws")
        for draw in draws:
            check_probabilities(draw, model, X, multilabel, "sample_proba")
    with promises("input_gradients", X=rows):
        gradients = model.input_gradients(rows)
        must_be_finite([gradients], "input_gradients", "a gradient")
    shape = (*logits.shape, len(case.X.columns))
    must(gradients.shape == shape, "input_gradients", f"the shape {gradients.shape}")
    target = model.classes_.tolist()[-1]
    with promises("input_gradients", X=rows):
        of_target = model.input_gradients(rows, target=target)
    wanted = gradients if gradients.ndim == 2 else gradients[:, -1]
    must(np.array_equal(of_target, wanted), "input_gradients", "of the last class")
