"""``RegularizedMLPEnsemble``: the mean of networks that began with other weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import field
from inspect import signature
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logsumexp
from sklearn.base import BaseEstimator, clone
from sklearn.utils import Tags, get_tags
from sklearn.utils.validation import check_is_fitted

from skreg._models.classifier import RegularizedMLPClassifier
from skreg._models.guards import fitted_anew
from skreg._models.predictor import Predictor, Quantity
from skreg._models.versions import Persistent, public
from skreg._network import Array
from skreg._network.loss import OUTPUTS
from skreg._training.advice import warn_of_fit
from skreg._training.callbacks import CallbackSupport, Task, given_only
from skreg._training.constraints import HasMethods, fit_context
from skreg._training.descent import Result
from skreg._training.diagnosis import warn_of_result
from skreg._training.fit import train
from skreg._training.hints import Hints
from skreg._training.labels import Target
from skreg._training.problem import stack_size
from skreg._training.rows import Given, Sparse, given_rows
from skreg._training.settings import Count, RandomState, declared, with_parameters

OneNetwork = Annotated[RegularizedMLPClassifier, HasMethods(["fit", "predict_proba"])]


@declared
class EnsembleSettings(Hints):
    """The parameters of an ensemble."""

    estimator: OneNetwork | None = field(default=None, kw_only=False)
    n_estimators: Count = field(default=5, kw_only=False)
    random_state: RandomState = None

    _elsewhere = Hints._elsewhere | {
        name: f"estimator=RegularizedMLPClassifier({name}=...)"
        for name in signature(RegularizedMLPClassifier).parameters
    }


@public
@with_parameters
class RegularizedMLPEnsemble(
    Predictor, Persistent, CallbackSupport, EnsembleSettings, BaseEstimator
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
        FitAdviceWarning, RegularizationWarning
            As :meth:`RegularizedMLPClassifier.fit`, once for all networks.

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
        first = networks[0]
        with fitted_anew(self):
            validation = X_val, y_val, sample_weight_val
            given = given_rows(first, X, y, sample_weight, *validation)
            metadata = given_only(sample_weight=sample_weight) or None
            task = Task(self, {"X": X, "y": y, "metadata": metadata}).begin_fit()
            results = _fit_in_stacks(networks, given)
            self.estimators_ = networks
            for name in ("classes_", "n_features_in_", "feature_names_in_"):
                if name in vars(first):
                    setattr(self, name, getattr(first, name))
            self.n_iter_ = max(network.n_iter_ for network in networks)
        task.end(reconstruction_attributes={})
        # One warning for all: of a network that went badly, if there is one.
        worst = max(results, key=lambda each: (not each.converged, each.outweighed))
        warn_of_result(first, worst, given.training)
        warn_of_fit(first, given.training, given.validation)
        return self

    @property
    def _estimator(self) -> Any:
        return RegularizedMLPClassifier() if self.estimator is None else self.estimator

    @property
    def _target(self) -> Target:
        check_is_fitted(self)
        target: Target = self.estimators_[0]._target
        return target

    def _predicted(self, X: ArrayLike | Sparse, what: Quantity) -> Array:
        check_is_fitted(self)
        kind, networks = self._target.kind, self.estimators_
        if what == "decisions":
            logits = self._predicted(X, "logits")
            return OUTPUTS[kind].decisions(logits.T).T
        if what == "probabilities":
            total: Array = networks[0].predict_proba(X)
            for network in networks[1:]:
                total += network.predict_proba(X)
            return total / len(networks)
        if what == "log_probabilities" or kind == "multiclass":
            return _log_mean([network.predict_log_proba(X) for network in networks])
        logits_of_each = [network._predicted(X, "logits") for network in networks]
        with np.errstate(under="ignore"):
            log_proba = _log_mean([-np.logaddexp(0, -Z) for Z in logits_of_each])
            log_rest = _log_mean([-np.logaddexp(0, Z) for Z in logits_of_each])
        return log_proba - log_rest

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        of_network = get_tags(self._estimator)
        tags.classifier_tags.multi_label = of_network.classifier_tags.multi_label
        tags.input_tags.sparse = of_network.input_tags.sparse
        return tags


def _fit_in_stacks(
    networks: Sequence[RegularizedMLPClassifier], given: Given
) -> list[Result]:
    """Fit networks that differ in their initial weights, as stacks where that pays.

    The first has the weights that ``fit`` of it draws, the next those that are drawn
    then, and so on. With the same ``random_state`` all share the rest.
    """
    first, data = networks[0], given.training
    features = {k: v for k, v in vars(first).items() if k.endswith("_in_")}
    n_stacks = math.ceil(len(networks) / stack_size(first, data))
    results = []
    for stack in np.array_split(np.arange(len(networks)), n_stacks):
        starts = stack.tolist()
        members = [networks[start] for start in starts]
        results += train(members, data, given.validation, starts=starts)
        if results[-1].interrupt is not None:
            raise results[-1].interrupt from None
    for network, result in zip(networks, results, strict=True):
        if result.failure is not None:
            raise result.failure
        network.__dict__.update(features)
        network._keep_fit(result, data.target)
    return results


def _log_mean(logarithms: Sequence[Array]) -> Array:
    """The logarithm of the mean of numbers whose logarithms these are."""
    n = len(logarithms)
    with np.errstate(under="ignore"):
        mean: Array = logsumexp(logarithms, axis=0)
    mean -= np.log(n)
    return mean
