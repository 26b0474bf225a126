"""y → what it means, and the codes of its classes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.preprocessing import LabelEncoder
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from skreg._network import Array

# Labels are encoded so many at a time, since scikit-learn's encoder makes copies.
_ROWS_AT_A_TIME = 2**16


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


def check_y(y: Any) -> Array:
    """y as a dense array of one column, or of label indicators."""
    if issparse(y):
        y = y.toarray()
    try:
        check_classification_targets(y)
    except TypeError as error:
        raise mixed_labels(y) from error
    if type_of_target(y) == "multiclass-multioutput":
        raise ValueError(
            f"y has the shape {y.shape} and more than two values in a column: several "
            "outputs of several classes are not supported. Fit one classifier for "
            "each column, for example with sklearn.multioutput.MultiOutputClassifier."
        )
    if y.ndim == 2 and y.shape[1] == 1:
        y = column_or_1d(y, warn=True)
    if y.ndim == 2 and not ((y == 0) | (y == 1)).all():
        raise ValueError(
            "y has two values in its columns other than 0 and 1. In a multilabel "
            "problem, give 1 where a row has a label and 0 where it has not."
        )
    checked: Array = y
    return checked


def mixed_labels(y: Any) -> ValueError:
    """What to say of labels that cannot be put in order."""
    kinds = sorted({type(label).__name__ for label in np.ravel(y).tolist()})
    return ValueError(
        f"y has labels of the types {', '.join(kinds)}, which have no order among "
        "them: give all strings, or all numbers."
    )


def infer_target(y: Array) -> Target:
    """What a checked y means, where nothing is known before."""
    if y.ndim == 2:
        return Target("multilabel", np.arange(y.shape[1]))
    return target_of_classes(LabelEncoder().fit(y).classes_)
