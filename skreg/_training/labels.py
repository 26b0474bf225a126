"""y → what it means, and the codes of its classes."""

import reprlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.preprocessing import LabelEncoder
from sklearn.utils import check_array, column_or_1d
from sklearn.utils.multiclass import type_of_target

from skreg._network import Array

# Labels are encoded so many at a time, since scikit-learn's encoder makes copies.
_ROWS_AT_A_TIME = 2**16

_NUMBERS = (int, float, np.bool_, np.integer, np.floating)


@dataclass
class Target:
    """What y means: ``kind`` is 'binary', 'multiclass' or 'multilabel'.

    One class only is 'multiclass' with one output, whose softmax is one everywhere.
    """

    kind: str
    classes: Array

    def __post_init__(self) -> None:
        self.n_outputs = 1 if self.kind == "binary" else len(self.classes)

    def encode(self, y: Array, name: str = "y") -> Array:
        """Class codes (n_samples,), or label indicators (n_samples, n_labels)."""
        if self.kind == "multilabel":
            if y.ndim != 2 or y.shape[1] != len(self.classes):
                raise ValueError(
                    f"{name} has the shape {y.shape}, but the model has "
                    f"{len(self.classes)} labels: give the shape "
                    f"(n_samples, {len(self.classes)})."
                )
            return y.astype(np.uint8, order="C")
        if y.ndim != 1:
            raise ValueError(
                f"{name} has the shape {y.shape}, but the model has the classes "
                f"{self.classes}: give the shape (n_samples,)."
            )
        # LabelEncoder would cast y to the dtype of the classes, "yesterday" to "yes".
        known, unseen = set(self.classes.tolist()), set()
        encoder = LabelEncoder()
        encoder.classes_ = self.classes
        codes: Array = np.empty(len(y), np.min_scalar_type(len(self.classes)))
        for start in range(0, len(y), _ROWS_AT_A_TIME):
            rows = slice(start, start + _ROWS_AT_A_TIME)
            unseen |= set(y[rows].tolist()) - known
            if not unseen:
                codes[rows] = encoder.transform(y[rows])
        if unseen:
            raise ValueError(
                f"{name} has the classes {sorted(unseen, key=str)[:10]}, which are not "
                f"among the classes {self.classes} that the model knows. Leave those "
                "rows out, or fit anew to rows of all classes (for partial_fit, name "
                "them in its first call)."
            )
        return codes

    def decode(self, decisions: Array) -> Array:
        """Class codes (n_samples,) → classes; indicators stay what they are."""
        if self.kind == "multilabel":
            return decisions.astype(np.int64)
        return self.classes[decisions.astype(np.intp)]


def target_of_classes(classes: Array) -> Target:
    """The target for y of one column with these classes."""
    return Target("binary" if len(classes) == 2 else "multiclass", classes)


def check_y(y: Any, name: str = "y") -> Array:
    """y as a dense array of one column, or of label indicators."""
    if y is None:
        raise ValueError(f"fit requires y to be passed, but the target {name} is None.")
    labels: Array = check_array(plain_labels(y, name), dtype=None, ensure_2d=False)
    kind = type_of_target(labels)
    if kind.startswith("continuous"):
        index = int(np.argmax(labels % 1 != 0))
        raise ValueError(
            f"Unknown label type: {kind}. {name} has {labels.flat[index]} in row "
            f"{_row(labels, index)}, but classes that are floats are whole numbers. "
            "Make strings of them; to predict quantities, take a regressor."
        )
    if kind == "multiclass-multioutput":
        raise ValueError(
            f"{name} has the shape {labels.shape} and more than two values in a "
            "column: several outputs of several classes are not supported. Fit one "
            "classifier for each column, for example with "
            "sklearn.multioutput.MultiOutputClassifier."
        )
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = column_or_1d(labels, warn=True)
    if labels.ndim == 2 and not ((labels == 0) | (labels == 1)).all():
        raise ValueError(
            f"{name} has two values in its columns other than 0 and 1. In a multilabel "
            "problem, give 1 where a row has a label and 0 where it has not."
        )
    return labels


def plain_labels(y: Any, name: str = "y") -> Any:
    """y as an array of numbers, bools, strings or dates; objects are all strings.

    Of an object array of numbers or bools it makes what numpy makes of a list of them.
    What has no rows is left to scikit-learn to refuse.
    """
    try:
        labels = np.asarray(y.toarray() if issparse(y) else y)
    except ValueError:
        # Rows of different lengths, which numpy takes as objects alone.
        labels = np.asarray(y, dtype=object)
    if labels.ndim == 0 or isinstance(y, np.matrix):
        return y
    # In a list with strings numpy makes strings of all the rest.
    is_made = labels.dtype.kind == "U" and not hasattr(y, "dtype")
    if labels.dtype.kind not in "biufmMU" or is_made:
        objects = np.asarray(y, dtype=object)
        types = set(map(type, objects.ravel().tolist()))
        if all(issubclass(each, str) for each in types):
            # Strings of an own class are more than numpy makes of them.
            return labels if is_made and types <= {str, np.str_} else objects
        if not all(issubclass(each, _NUMBERS) for each in types):
            raise _refusal(objects, name)
        labels = _numbers(objects, name)
    if labels.dtype.kind in "fmM":
        fits = np.isfinite(labels)
        if labels.dtype.kind == "f":
            # Larger ones have no integer, as classes that are floats must have.
            fits &= abs(labels.astype(float)) < 2**63
        if not fits.all():
            raise _refusal(labels, name, int(np.argmin(fits)))
    return labels


def _numbers(objects: Array, name: str) -> Array:
    """An array of the numbers or bools, if each stays what it is."""
    numbers: Array = np.array(objects.tolist())
    if numbers.dtype.kind in "Of":
        # Integers may be too large for 64 bits, or for the floats beside them.
        changed = (numbers != objects) & (objects == objects)
        if numbers.dtype == object:
            changed = abs(objects) >= 2**63
        if changed.any():
            raise _refusal(objects, name, int(np.argmax(changed)))
    return numbers


def _refusal(labels: Array, name: str, index: int | None = None) -> ValueError:
    """What is wrong with the label of that index, or the first that does not fit.

    Strings fit or numbers do, whichever there are more of.
    """
    usual = "numbers"
    if index is None:
        kinds = [_kind_of(label) for label in labels.flat]
        usual = max("strings", "numbers", key=kinds.count)
        index = next(i for i, kind in enumerate(kinds) if kind != usual)
    label, row = labels.flat[index], _row(labels, index)
    kind = _kind_of(label)
    shown = reprlib.repr(label.item() if isinstance(label, np.generic) else label)
    if kind == "missing":
        # str(pd.NA) and the like name them.
        text = (
            f"{name} contains {str(label).replace('nan', 'NaN')} in row {row}: a label "
            "is missing. Leave it out, with its row of X, or give it a class of its "
            "own."
        )
    elif kind == "bytes":
        text = (
            f"{name} has the bytes {shown} in row {row}, and scikit-learn takes no "
            "bytes as labels. Decode them to strings."
        )
    elif kind not in ("strings", "numbers"):
        text = (
            f"{name} has {shown} of the type {kind} in row {row}, but labels are "
            "strings, integers or bools. Make strings of them, or of several labels a "
            "row 0 and 1 with sklearn.preprocessing.MultiLabelBinarizer."
        )
    elif kind != usual:
        text = (
            f"{name} has {shown} in row {row}, among {usual}: strings and numbers have "
            "no order among them. Make all labels strings, or all of them numbers."
        )
    else:
        text = (
            f"{name} contains infinity or a value too large for 64 bits in row {row}: "
            f"{shown}. Give finite numbers, or strings."
        )
    return ValueError(text)


def _row(labels: Array, index: int) -> str:
    """Where the label with this index is."""
    if labels.ndim == 1:
        return str(index)
    return "{}, column {}".format(*divmod(index, labels.shape[1]))


def _kind_of(label: Any) -> str:
    """'strings', 'numbers', 'missing', or the name of another type."""
    kind = type(label).__name__
    is_time = isinstance(label, np.datetime64 | np.timedelta64)
    if isinstance(label, str):
        return "strings"
    if kind in ("NoneType", "NAType", "NaTType") or (is_time and np.isnat(label)):
        return "missing"
    if isinstance(label, _NUMBERS):
        return "numbers" if label == label else "missing"
    return "bytes" if isinstance(label, bytes) else kind


def infer_target(y: Array) -> Target:
    """What a checked y means, where nothing is known before."""
    if y.ndim == 2:
        return Target("multilabel", np.arange(y.shape[1]))
    return target_of_classes(LabelEncoder().fit(y).classes_)
