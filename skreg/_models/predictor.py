"""The prediction methods of a network and of an ensemble."""

from __future__ import annotations

from abc import abstractmethod
from typing import Literal

from numpy.typing import ArrayLike
from sklearn.base import ClassifierMixin

from skreg._network import Array
from skreg._training.labels import Target, plain_labels
from skreg._training.rows import Sparse

Quantity = Literal["logits", "decisions", "probabilities", "log_probabilities"]


class Predictor(ClassifierMixin):
    """Classes, probabilities and logits, always without dropout."""

    @property
    @abstractmethod
    def _target(self) -> Target:
        """What the y of the fitted model means."""

    @abstractmethod
    def _predicted(self, X: ArrayLike | Sparse, what: Quantity) -> Array:
        """The logits, or what an ``Output`` makes of them: a row for each of X."""

    def predict(self, X: ArrayLike | Sparse) -> Array:
        """Predict the class of each row: the one with the largest logit.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_labels)
            The classes; in multilabel problems 1 for each label whose probability is
            above 0.5, otherwise 0.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted yet.
        ValueError
            If X is not as it was in ``fit``, or so large that the logits overflow.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skreg import RegularizedMLPClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> model = RegularizedMLPClassifier(
        ...     learning_rate="cosine", max_iter=50, random_state=0
        ... ).fit(X, y)
        >>> model.predict(X[[0, 149]])
        array([0, 2])
        """
        decisions = self._predicted(X, "decisions")
        return self._target.decode(decisions)

    def predict_proba(self, X: ArrayLike | Sparse) -> Array:
        """A3 = sigmoid(Z3), or softmax(Z3) for three classes and more.

        Dropout is off, as always in prediction.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows.

        Returns
        -------
        proba : ndarray of shape (n_samples, n_classes)
            The probability of each class, in the order of ``classes_``; in multilabel
            problems that of each label, and the rows do not add up to one. The dtype
            is that of X, float32 or float64.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted yet.
        ValueError
            If X is not as it was in ``fit``, or so large that the logits overflow.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skreg import RegularizedMLPClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> model = RegularizedMLPClassifier(
        ...     learning_rate="cosine", max_iter=50, random_state=0
        ... ).fit(X, y)
        >>> model.predict_proba(X[:5]).shape
        (5, 3)
        """
        return self._predicted(X, "probabilities")

    def predict_log_proba(self, X: ArrayLike | Sparse) -> Array:
        """Logarithm of the probabilities, from the logits.

        It is finite where ``predict_proba`` underflows to zero.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows.

        Returns
        -------
        log_proba : ndarray of shape (n_samples, n_classes)
            In the order of ``classes_``.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted yet.
        ValueError
            If X is not as it was in ``fit``, or so large that the logits overflow.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skreg import RegularizedMLPClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> model = RegularizedMLPClassifier(
        ...     learning_rate="cosine", max_iter=50, random_state=0
        ... ).fit(X, y)
        >>> f"{model.predict_log_proba(X[:5] * 1e4).min():.0e}"
        '-2e+04'
        """
        return self._predicted(X, "log_probabilities")

    def decision_function(self, X: ArrayLike | Sparse) -> Array:
        """The logits Z3 = W3 A2 + b3.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows.

        Returns
        -------
        logits : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            For two classes (n_samples,), the logit of ``classes_[1]``; for one class
            (n_samples,) too, zeros; otherwise one column for each class or label.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted yet.
        ValueError
            If X is not as it was in ``fit``, or so large that the logits overflow.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skreg import RegularizedMLPClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> model = RegularizedMLPClassifier(
        ...     learning_rate="cosine", max_iter=50, random_state=0
        ... ).fit(X, y)
        >>> model.decision_function(X[:5]).argmax(axis=1)
        array([0, 0, 0, 0, 0])
        """
        logits = self._predicted(X, "logits")
        return logits.ravel() if logits.shape[1] == 1 else logits

    def score(
        self,
        X: ArrayLike | Sparse,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
    ) -> float:
        """The accuracy: the share of the rows whose class is predicted.

        In multilabel problems a row counts where all of its labels are right.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Their classes or labels.
        sample_weight : array-like of shape (n_samples,), default=None
            The weight of each row; None for equal weights.

        Returns
        -------
        score : float
            From 0 to 1.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted yet.
        ValueError
            If X is not as it was in ``fit``, or y has values that are no labels.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skreg import RegularizedMLPClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> model = RegularizedMLPClassifier(
        ...     learning_rate="cosine", max_iter=50, random_state=0
        ... ).fit(X, y)
        >>> model.score(X, y) > 0.95
        True
        """
        return float(super().score(X, plain_labels(y), sample_weight))
