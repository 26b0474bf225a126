"""``RegularizedMLPEnsemble``: the mean of networks that began with other weights."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from numbers import Integral
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils import Tags, get_tags
from sklearn.utils._param_validation import HasMethods, Interval
from sklearn.utils.validation import check_is_fitted

from skreg._classifier import RegularizedMLPClassifier
from skreg._data import Sparse, Target
from skreg._guards import fit_context, unchanged_on_error
from skreg._observers import CallbackSupport
from skreg._persistence import Persistent
from skreg._stacks import fit_networks

Array = NDArray[Any]


class RegularizedMLPEnsemble(
    Persistent, CallbackSupport, ClassifierMixin, BaseEstimator
):
    """P = 1/n Σ P_i: the mean of the probabilities of n networks.

    The networks differ in their initial weights alone, and so in the minimum that they
    find. On ten tables the mean of five had a log-loss of 0.291 where one network had
    0.299 (``docs/benchmarks.md``). Small networks are trained together, as one network
    with a leading axis.

    Parameters
    ----------
    estimator : RegularizedMLPClassifier or None, default=None
        The network; None for one with the defaults. It is cloned.

    n_estimators : int, default=5
        How many there are. The time of training and prediction grows with it; most of
        the gain is in the first few.

    random_state : int, RandomState instance or None, default=None
        Takes the place of that of ``estimator``, if not None. It is copied, as
        ``estimator`` is.

    Attributes
    ----------
    estimators_ : list of RegularizedMLPClassifier
        The fitted networks. The first is what ``fit`` of the estimator gives.

    classes_ : ndarray of shape (n_classes,)
        The classes; in multilabel problems, the numbers of the labels.

    n_iter_ : int
        The largest number of epochs of a network.

    n_features_in_ : int
        The number of columns of X.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        The names of the columns of X, where all are strings.

    See Also
    --------
    RegularizedMLPClassifierCV : Averages networks of the best setting that it finds.
    sklearn.ensemble.BaggingClassifier : Averages any estimators, fitted to parts of
        the rows.

    Notes
    -----
    The networks share the order of the rows and the random numbers that masks are made
    of. Whether they are trained together or, with large networks, sparse X or 'lbfgs',
    one by one, makes no difference but for rounding.

    References
    ----------
    Lakshminarayanan, Pritzel and Blundell (2017). Simple and scalable predictive
    uncertainty estimation using deep ensembles. NeurIPS.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skreg import RegularizedMLPEnsemble
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = make_pipeline(
    ...     StandardScaler(), RegularizedMLPEnsemble(n_estimators=3, random_state=0)
    ... ).fit(X[:400], y[:400])
    >>> model.score(X[400:], y[400:]) > 0.95
    True
    """

    _parameter_constraints: dict[str, list[Any]] = {  # noqa: RUF012 - scikit-learn's
        "estimator": [HasMethods(["fit", "predict_proba"]), None],
        "n_estimators": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator: RegularizedMLPClassifier | None = None,
        n_estimators: int = 5,
        *,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.estimator = estimator
        self.n_estimators = n_estimators
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=False)
    def fit(
        self,
        X: ArrayLike | Sparse,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        X_val: ArrayLike | Sparse | None = None,
        y_val: ArrayLike | None = None,
        sample_weight_val: ArrayLike | None = None,
    ) -> Self:
        """Fit the networks.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            The classes; or 0 and 1 for each label of a multilabel problem.
        sample_weight : array-like of shape (n_samples,), default=None
            The weight of each row, at least 0.
        X_val, y_val, sample_weight_val : array-like, default=None
            Rows for early stopping, as in :meth:`RegularizedMLPClassifier.fit`.

        Returns
        -------
        self : RegularizedMLPEnsemble
            The fitted ensemble.

        Raises
        ------
        TypeError
            If the estimator is not a RegularizedMLPClassifier.
        ValueError
            If a parameter, X, y or a weight is out of range, or if a training diverges.
        KeyboardInterrupt
            When it is interrupted. As after any other exception, the ensemble keeps
            what it had.

        Warns
        -----
        ConvergenceWarning
            If ``max_iter`` ends the training of a network.
        UserWarning
            If columns of X are not scaled.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skreg import RegularizedMLPClassifier, RegularizedMLPEnsemble
        >>> X, y = load_iris(return_X_y=True)
        >>> network = RegularizedMLPClassifier(max_iter=50)
        >>> model = RegularizedMLPEnsemble(network, n_estimators=2).fit(X, y)
        >>> len(model.estimators_)
        2
        """
        estimator = self._estimator
        if not isinstance(estimator, RegularizedMLPClassifier):
            raise TypeError(
                f"estimator={estimator!r} is of the type {type(estimator).__name__}, "
                "but RegularizedMLPEnsemble averages networks: give a "
                "RegularizedMLPClassifier, or None."
            )
        networks = [clone(estimator) for _ in range(self.n_estimators)]
        if self.random_state is not None:
            for network in networks:
                # A copy, or the networks would draw from it in turn.
                network.set_params(random_state=copy.deepcopy(self.random_state))
        validation = {
            "X_val": X_val,
            "y_val": y_val,
            "sample_weight_val": sample_weight_val,
        }
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        task = _Task(self, {"X": X, "y": y, "metadata": metadata})
        with unchanged_on_error(self):
            for name in [name for name in vars(self) if name.endswith("_")]:
                delattr(self, name)
            fit_networks(networks, X, y, sample_weight, begins=task.begin, **validation)
            self.estimators_ = networks
            first = vars(networks[0])
            for name in ("classes_", "n_features_in_", "feature_names_in_"):
                if name in first:
                    setattr(self, name, first[name])
            self.n_iter_ = max(network.n_iter_ for network in networks)
        task.end()
        return self

    @property
    def _estimator(self) -> Any:
        return RegularizedMLPClassifier() if self.estimator is None else self.estimator

    def predict(self, X: ArrayLike | Sparse) -> Array:
        """Predict the class of each row: the one with the largest mean probability.

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
        >>> from skreg import RegularizedMLPClassifier, RegularizedMLPEnsemble
        >>> X, y = load_iris(return_X_y=True)
        >>> network = RegularizedMLPClassifier(max_iter=50, random_state=0)
        >>> model = RegularizedMLPEnsemble(network, n_estimators=2).fit(X, y)
        >>> model.predict(X[[0, 149]])
        array([0, 2])
        """
        decisions = self.decision_function(X)
        target: Target = self.estimators_[0]._target
        if target.kind == "multiclass":
            return target.decode(decisions.argmax(axis=1))
        return target.decode((decisions > 0).astype(int))

    def predict_proba(self, X: ArrayLike | Sparse) -> Array:
        """P = 1/n Σ P_i.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows.

        Returns
        -------
        proba : ndarray of shape (n_samples, n_classes)
            The probability of each class, in the order of ``classes_``; in multilabel
            problems that of each label.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted yet.
        ValueError
            If X is not as it was in ``fit``, or so large that the logits overflow.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skreg import RegularizedMLPClassifier, RegularizedMLPEnsemble
        >>> X, y = load_iris(return_X_y=True)
        >>> network = RegularizedMLPClassifier(max_iter=50, random_state=0)
        >>> model = RegularizedMLPEnsemble(network, n_estimators=2).fit(X, y)
        >>> model.predict_proba(X[:5]).shape
        (5, 3)
        """
        check_is_fitted(self)
        total: Array = self.estimators_[0].predict_proba(X)
        for network in self.estimators_[1:]:
            total += network.predict_proba(X)
        return total / len(self.estimators_)

    def predict_log_proba(self, X: ArrayLike | Sparse) -> Array:
        """Logarithm of the mean probabilities, from the logits of the networks.

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
        >>> from skreg import RegularizedMLPClassifier, RegularizedMLPEnsemble
        >>> X, y = load_iris(return_X_y=True)
        >>> network = RegularizedMLPClassifier(max_iter=50, random_state=0)
        >>> model = RegularizedMLPEnsemble(network, n_estimators=2).fit(X, y)
        >>> model.predict_log_proba(X[:5]).shape
        (5, 3)
        """
        check_is_fitted(self)
        return _log_mean([n.predict_log_proba(X) for n in self.estimators_])

    def decision_function(self, X: ArrayLike | Sparse) -> Array:
        """The logits of the mean probabilities.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows.

        Returns
        -------
        logits : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            For two classes (n_samples,), log P - log(1 - P) for ``classes_[1]``; for
            labels the same of each; otherwise log P of each class.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted yet.
        ValueError
            If X is not as it was in ``fit``, or so large that the logits overflow.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skreg import RegularizedMLPClassifier, RegularizedMLPEnsemble
        >>> X, y = load_iris(return_X_y=True)
        >>> network = RegularizedMLPClassifier(max_iter=50, random_state=0)
        >>> model = RegularizedMLPEnsemble(network, n_estimators=2).fit(X, y)
        >>> model.decision_function(X[:5]).argmax(axis=1)
        array([0, 0, 0, 0, 0])
        """
        check_is_fitted(self)
        if self.estimators_[0]._target.kind == "multiclass":
            return self.predict_log_proba(X)
        logits = [network.decision_function(X) for network in self.estimators_]
        with np.errstate(under="ignore"):
            log_proba = _log_mean([-np.logaddexp(0, -Z) for Z in logits])
            log_rest = _log_mean([-np.logaddexp(0, Z) for Z in logits])
        return log_proba - log_rest

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        of_network = get_tags(self._estimator)
        tags.classifier_tags.multi_label = of_network.classifier_tags.multi_label
        tags.input_tags.sparse = of_network.input_tags.sparse
        return tags


class _Task:
    """The fit as one task for callbacks, if there are any (scikit-learn 1.9)."""

    def __init__(self, ensemble: RegularizedMLPEnsemble, data: dict[str, Any]) -> None:
        self._ensemble = ensemble
        self._data = data
        self._context: Any = None

    def begin(self) -> None:
        if hasattr(self._ensemble, "_init_callback_context"):
            self._context = self._ensemble._init_callback_context()
            self._context.call_on_fit_task_begin(estimator=self._ensemble, **self._data)

    def end(self) -> None:
        if self._context is not None:
            self._context.call_on_fit_task_end(
                estimator=self._ensemble, reconstruction_attributes={}, **self._data
            )


def _log_mean(logarithms: Sequence[Array]) -> Array:
    """The logarithm of the mean of numbers whose logarithms these are."""
    n = len(logarithms)
    with np.errstate(under="ignore"):
        mean: Array = logsumexp(logarithms, axis=0)
    mean -= np.log(n)
    return mean
