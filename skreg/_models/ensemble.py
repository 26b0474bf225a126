"""``RegularizedMLPEnsemble``: the weighted mean of several networks."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import field
from inspect import signature
from typing import Annotated, Any, Self

import joblib
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
from skreg._training.settings import (
    Count,
    Numbers,
    RandomState,
    declared,
    with_parameters,
)

OneNetwork = Annotated[RegularizedMLPClassifier, HasMethods(["fit", "predict_proba"])]
Networks = Annotated[list[RegularizedMLPClassifier], list]

# What the networks of a team may differ in.
_OF_A_MEMBER = {"lambd", "keep_prob"}


@declared
class EnsembleSettings(Hints):
    """The parameters of an ensemble."""

    estimator: OneNetwork | Networks | None = field(default=None, kw_only=False)
    n_estimators: Count = field(default=5, kw_only=False)
    weights: Numbers | None = None
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
    """P = Σ w_i P_i, Σ w_i = 1: the mean of the probabilities of n networks.

    The networks differ in their initial weights, and so in the minimum that they find.
    On ten tables the mean of five had a log-loss of 0.288 where one network had 0.296
    (``docs/benchmarks.md``). They may differ in ``lambd`` and ``keep_prob`` too, as a
    team of weighted members. Small networks are trained together, as one network with a
    leading axis.

    Parameters
    ----------
    estimator : RegularizedMLPClassifier, list of them or None, default=None
        The network; None for one with the defaults. A list is a team, whose members
        differ in ``lambd`` and ``keep_prob`` alone. They are cloned. ``set_params``
        does not reach the members of a list: ``estimator__lambd`` is only for one
        network.

    n_estimators : int, default=5
        How many networks there are. The time of training and prediction grows with it;
        most of the gain is in the first few. They are shared out among the members of a
        team in proportion to ``weights``, by the largest remainders, and at least one
        for each whose weight is not 0.

    weights : array-like of shape (n_members,) or None, default=None
        How much the probabilities of each member of a team count, at least 0; None for
        equal weights. They need not add up to 1. A member of weight 0 has no network.

    random_state : int, RandomState instance or None, default=None
        Takes the place of that of ``estimator``, if not None. It is copied, as
        ``estimator`` is.

    Attributes
    ----------
    estimators_ : list of RegularizedMLPClassifier
        The fitted networks, member by member. The first is what ``fit`` of the first
        member gives.

    weights_ : ndarray of shape (n_estimators,)
        The weight w_i of each network: that of its member over the number of its
        networks. Their sum is 1.

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
    RegularizedMLPClassifierCV : Finds the members of a team and their weights.
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

    A team of two settings, with four networks:

    >>> from skreg import RegularizedMLPClassifier
    >>> members = [RegularizedMLPClassifier(lambd=lambd) for lambd in (1.0, 10.0)]
    >>> team = RegularizedMLPEnsemble(members, 4, weights=[3, 1], random_state=0)
    >>> team = team.fit(StandardScaler().fit_transform(X), y)
    >>> [network.lambd for network in team.estimators_]
    [1.0, 1.0, 1.0, 10.0]
    >>> team.weights_
    array([0.25, 0.25, 0.25, 0.25])
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
            If the estimator, or a member of the team, is not a
            RegularizedMLPClassifier.
        ValueError
            If a parameter, X, y or a weight is out of range, if members of a team
            differ in other parameters than ``lambd`` and ``keep_prob``, if there are
            more members than ``n_estimators``, or if a training diverges.
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
        members, weights = self._team()
        counts = _shared_out(weights, self.n_estimators)
        numbers = np.repeat(np.arange(len(members)), counts)
        networks = [clone(members[number]) for number in numbers]
        random_state = self.random_state
        if random_state is None:
            random_state = networks[0].random_state
        for network in networks:
            # A copy, or the networks would draw from it in turn.
            network.set_params(random_state=copy.deepcopy(random_state))
        first = networks[0]
        with fitted_anew(self):
            validation = X_val, y_val, sample_weight_val
            given = given_rows(first, X, y, sample_weight, *validation)
            metadata = given_only(sample_weight=sample_weight) or None
            task = Task(self, {"X": X, "y": y, "metadata": metadata}).begin_fit()
            results = _fit_in_stacks(networks, given)
            self.estimators_ = networks
            self.weights_ = weights[numbers] / counts[numbers]
            for name in ("classes_", "n_features_in_", "feature_names_in_"):
                if name in vars(first):
                    setattr(self, name, getattr(first, name))
            self.n_iter_ = max(network.n_iter_ for network in networks)
        task.end(reconstruction_attributes={})
        # One warning for all: of a network that went badly, if there is one.
        network, worst = max(
            zip(networks, results, strict=True),
            key=lambda each: (not each[1].converged, each[1].outweighed),
        )
        warn_of_result(network, worst, given.training)
        warn_of_fit(first, given.training, given.validation)
        return self

    @property
    def _members(self) -> list[Any]:
        if isinstance(self.estimator, list):
            return self.estimator
        return [
            RegularizedMLPClassifier() if self.estimator is None else self.estimator
        ]

    def _team(self) -> tuple[list[RegularizedMLPClassifier], Array]:
        """The members, and their weights, whose sum is 1, checked."""
        members = self._members
        if not members:
            raise ValueError("estimator=[]: a team needs at least one network.")
        for member in members:
            if not isinstance(member, RegularizedMLPClassifier):
                raise TypeError(
                    f"estimator={self.estimator!r} is or has a "
                    f"{type(member).__name__}, but RegularizedMLPEnsemble averages "
                    "networks: give a RegularizedMLPClassifier, a list of them, or "
                    "None."
                )
        for number, member in enumerate(members):
            for name, value in member.get_params(deep=False).items():
                of_first = getattr(members[0], name)
                if name not in _OF_A_MEMBER and not _is_alike(value, of_first):
                    raise ValueError(
                        f"estimator: the networks of a team differ in lambd and "
                        f"keep_prob alone, but {name}={value!r} in network {number}, "
                        f"and {of_first!r} in network 0. Give all the same {name}; "
                        "networks that differ in more can be averaged by "
                        "sklearn.ensemble.VotingClassifier."
                    )
        if self.weights is None:
            return members, np.full(len(members), 1 / len(members))
        if not isinstance(self.estimator, list):
            raise ValueError(
                f"weights={self.weights!r} are those of the members of a team, but "
                "estimator is one network, all of whose copies count the same. Give a "
                "list of networks, or weights=None."
            )
        return members, _checked_weights(self.weights, len(members))

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
            # Whole numbers where all weigh the same, so that nothing is rounded.
            shares = (self.weights_ / self.weights_.max()).tolist()
            total: Array = networks[0].predict_proba(X) * shares[0]
            for network, share in zip(networks[1:], shares[1:], strict=True):
                total += network.predict_proba(X) * share
            total /= sum(shares)
            return total
        if what == "log_probabilities" or kind == "multiclass":
            return self._log_mean([each.predict_log_proba(X) for each in networks])
        logits_of_each = [network._predicted(X, "logits") for network in networks]
        with np.errstate(under="ignore"):
            log_proba = self._log_mean([-np.logaddexp(0, -Z) for Z in logits_of_each])
            log_rest = self._log_mean([-np.logaddexp(0, Z) for Z in logits_of_each])
        return log_proba - log_rest

    def _log_mean(self, logarithms: Sequence[Array]) -> Array:
        """The logarithm of the weighted mean of numbers, one for each network."""
        shares = self.weights_ / self.weights_.max()
        weighted = [
            each + math.log(share)
            for each, share in zip(logarithms, shares.tolist(), strict=True)
        ]
        with np.errstate(under="ignore"):
            mean: Array = logsumexp(weighted, axis=0)
        mean -= math.log(shares.sum())
        return mean

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        of_network = get_tags(next(iter(self._members), RegularizedMLPClassifier()))
        tags.classifier_tags.multi_label = of_network.classifier_tags.multi_label
        tags.input_tags.sparse = of_network.input_tags.sparse
        return tags


def _is_alike(value: Any, other: Any) -> bool:
    """Whether two values of a parameter mean the same.

    Clones have copies of scorers and random states, which have no equality of their
    own: they are alike if what they are made of is.
    """
    if np.array_equal(value, other):
        return True
    try:
        return bool(joblib.hash(value) == joblib.hash(other))
    except Exception:
        # What is made of a lambda cannot be hashed.
        return type(value) is type(other)


def _checked_weights(weights: Any, n_members: int) -> Array:
    """Weights of so many members, divided by their sum."""
    advice = f"Give {n_members} numbers, one for each network of estimator."
    try:
        values: Array = np.array(weights, dtype=float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"weights={weights!r} are no numbers. {advice}") from error
    if values.shape != (n_members,):
        raise ValueError(
            f"weights={weights!r} has the shape {values.shape}, but there are "
            f"{n_members} networks in estimator. {advice}"
        )
    if not (np.isfinite(values).all() and (values >= 0).all() and values.any()):
        raise ValueError(
            f"weights={weights!r}: each must be finite and at least 0, and one above "
            f"0. {advice}"
        )
    # The sum of large ones would overflow.
    values /= values.max()
    values /= values.sum()
    return values


def _shared_out(weights: Array, n_networks: int) -> Array:
    """How many of the networks each member of a team has, by the largest remainders.

    A member whose weight is not 0 has one at least.
    """
    counts = (weights > 0).astype(int)
    if counts.sum() > n_networks:
        raise ValueError(
            f"n_estimators={n_networks} are too few networks for the {counts.sum()} "
            f"members of the team. Set n_estimators to {counts.sum()} or more, or "
            "weights of 0 for members to leave out."
        )
    while counts.sum() < n_networks:
        lacking = np.where(weights > 0, n_networks * weights - counts, -np.inf)
        counts[np.argmax(lacking)] += 1
    return counts


def _fit_in_stacks(
    networks: Sequence[RegularizedMLPClassifier], given: Given
) -> list[Result]:
    """Fit networks that differ in initial weights, ``lambd`` and ``keep_prob``.

    They are stacks where that pays. The first has the weights that ``fit`` of it draws,
    the next those that are drawn then, and so on. With the same ``random_state`` all
    share the rest.
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
        network._keep_fit(result)
    return results
