"""``RegularizedMLPClassifierCV``: a grid of ``lambd`` and ``keep_prob``, as stacks."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from numbers import Integral
from typing import Any, Self

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, ParameterGrid
from sklearn.model_selection._validation import (
    _insert_error_scores,
    _warn_or_raise_about_fit_failures,
)
from sklearn.utils import indexable
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    _routing_enabled,
    process_routing,
)
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import _check_method_params, check_is_fitted

from skreg._advice import unscaled_text, without_advice
from skreg._classifier import RegularizedMLPClassifier
from skreg._data import Sparse, held_out_rows
from skreg._ensemble import RegularizedMLPEnsemble
from skreg._guards import fit_context, unchanged_on_error
from skreg._observers import SearchTask
from skreg._persistence import Persistent
from skreg._problem import HERE, stack_size
from skreg._selection import (
    automatic_scorers,
    forget_losses_of_failures,
    most_accurate_of_the_likely,
    scorer_or_scorers,
    splits_of,
)
from skreg._settings import (
    hidden_layers,
    keep_prob_by_layer,
    lambd_by_layer,
)
from skreg._stacks import fit_and_score_stack, validated

Array = NDArray[Any]


class RegularizedMLPClassifierCV(Persistent, GridSearchCV):
    """The best of a grid of ``lambd`` × ``keep_prob`` by cross-validation.

    score(lambd, keep_prob) = 1/n_splits Σ score of the split, of the networks

        J = 1/m Σ CE(A, Y) + lambd/(2m) Σ W², D = (uniform < keep_prob),

    one for each setting and split. It finds what ``GridSearchCV`` finds over
    :class:`RegularizedMLPClassifier` with the same ``random_state``, several times as
    fast: small networks of a split are trained together, as one network with a leading
    axis. They share the initial weights, the order of the rows and the random numbers
    that masks are made of, as separate fits with the same seed do. Where that does not
    pay, with large networks, sparse X or 'lbfgs', they are trained one by one.

    Parameters
    ----------
    lambds : sequence of float or of array-like, default=(0.2, 1.0, 5.0, 20.0)
        The values of ``lambd`` to try, each one number or one for each weight matrix.
        The default goes from little to strong in steps of about five.

    keep_probs : sequence of float or of array-like, default=(0.5, 0.9)
        The values of ``keep_prob`` to try, each one number or one for each hidden
        layer. 1.0 is for no dropout.

    cv : int, cross-validation generator, iterable or None, default=None
        The splits: None for five stratified folds of rows that are shuffled by
        ``random_state``, since many tables are sorted; an int for as many folds that
        are not shuffled, as in ``GridSearchCV``; a splitter, or an iterable of
        (train, test) indices.

    scoring : str, callable, list, tuple, dict or None, default='auto'
        What measures a setting on the rows left out. 'auto' measures the accuracy and
        the loss: best is the most accurate of the settings whose loss is at most 1.05
        times the least, and :meth:`score` is the accuracy. Else as in
        ``GridSearchCV``: one scorer or several; None for the accuracy.

    refit : bool, str or callable, default=True
        Whether to fit the best setting to all rows; with several scorers the name of
        that which says what is best; or a function of ``cv_results_`` that returns the
        best index. With ``scoring='auto'`` no name.

    n_refits : int, default=5
        How many networks of the best setting are fitted to all rows. More than one,
        with different initial weights, are a :class:`RegularizedMLPEnsemble`, the mean
        of their probabilities.

    n_jobs : int or None, default=None
        The number of processes among which the splits are shared out; None is 1 unless
        in a :func:`joblib.parallel_config` context, -1 all processors.

    return_train_score : bool, default=False
        Whether ``cv_results_`` has the scores on the training rows too.

    error_score : 'raise' or float, default=np.nan
        The score of a network whose training fails, with a warning; 'raise' raises the
        error. Errors in the refit are always raised. With ``scoring='auto'`` its loss
        is NaN.

    verbose : int, default=0
        1 prints the number of fits, 2 the time of each, 3 the scores too. For those of
        a stack it is the time of the scores alone.

    hidden_layer_sizes, activation, input_keep_prob, max_norm, class_weight, solver, \
batch_size, learning_rate, learning_rate_init, power_t, max_iter, shuffle, \
random_state, tol, momentum, nesterovs_momentum, early_stopping, \
early_stopping_refit, n_validation_splits, train_scores, validation_fraction, beta_1, \
beta_2, epsilon, n_iter_no_change, averaging, max_fun
        Those of :class:`RegularizedMLPClassifier`, the same for all networks. The
        defaults are its own but for ``early_stopping=False``, since the grid says how
        much to regularise, and a shorter course: ``batch_size=128`` and
        ``max_iter=60``. With ``random_state=None`` each stack takes fresh entropy.

    early_stopping_scoring : str, callable or None, default='loss'
        Its ``scoring``: what early stopping watches.

    Attributes
    ----------
    cv_results_ : dict of str to ndarray
        The scores and times, with the keys of ``GridSearchCV``; the table of a
        ``pandas.DataFrame``. With ``scoring='auto'`` ``mean_test_score`` is the
        accuracy, and ``mean_test_loss`` is minus the loss, so that greater is better.
        The fit time of a stack is shared out evenly.

    best_index_ : int
        The row of ``cv_results_`` with the best setting.

    best_params_ : dict
        ``lambd`` and ``keep_prob`` of the best setting.

    lambd_, keep_prob_ : float or array-like
        The same, by themselves.

    best_score_ : float
        Its mean score over the splits; not there with a callable ``refit``.

    best_estimator_ : RegularizedMLPClassifier or RegularizedMLPEnsemble
        The network of the best setting, or the ensemble of ``n_refits`` of them, fitted
        to all rows; not with ``refit=False``.

    refit_time_ : float
        The seconds that this took.

    n_iter_ : int
        The number of epochs that it took; of several networks the largest.

    n_splits_ : int
        The number of splits.

    scorer_ : callable or dict of str to callable
        The scorer or scorers that :meth:`score` may use.

    multimetric_ : bool
        Whether these are several.

    classes_ : ndarray of shape (n_classes,)
        The classes, as ``best_estimator_`` has them.

    n_features_in_ : int
        The number of columns of X.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        The names of the columns of X, where all are strings.

    See Also
    --------
    RegularizedMLPClassifier : One network.
    RegularizationGridDisplay : A picture of the search.
    sklearn.model_selection.GridSearchCV : A search of any parameters of any estimator.

    Notes
    -----
    What a step of a stack writes stays below 2.5 MB, or is one network's; so many
    networks are in a stack. On validation rows it is 16 MB.

    In a pipeline the splits are made of rows that the steps before have transformed,
    and those steps have seen all of them. For scaling, which learns little of a row,
    that is fine. Where a step learns from y or a lot from each row, as the selection
    of columns and target encoding do, the scores come out too good: put
    ``GridSearchCV`` around the whole pipeline.

    With callbacks (scikit-learn 1.9) each setting and split is a task, as in
    ``GridSearchCV``; within a stack they have no tasks of their own for epochs.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skreg import RegularizedMLPClassifierCV
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = make_pipeline(
    ...     StandardScaler(),
    ...     RegularizedMLPClassifierCV(hidden_layer_sizes=(20,), random_state=0),
    ... ).fit(X, y)
    >>> search = model[-1]
    >>> search.lambd_
    5.0
    >>> round(float(search.best_score_), 2)
    0.98
    >>> len(search.best_estimator_.estimators_)
    5
    """

    _parameter_constraints: dict[str, list[Any]] = {  # noqa: RUF012 - scikit-learn's
        **{
            name: constraints
            for name, constraints in (
                RegularizedMLPClassifier._parameter_constraints.items()
            )
            if name not in ("lambd", "keep_prob", "warm_start")
        },
        **{
            name: GridSearchCV._parameter_constraints[name]
            for name in (
                "cv",
                "refit",
                "n_jobs",
                "return_train_score",
                "error_score",
                "verbose",
            )
        },
        "n_refits": [Interval(Integral, 1, None, closed="left")],
        "scoring": [
            StrOptions({"auto"}),
            *GridSearchCV._parameter_constraints["scoring"],
        ],
        "lambds": ["array-like"],
        "keep_probs": ["array-like"],
        "early_stopping_scoring": RegularizedMLPClassifier._parameter_constraints[
            "scoring"
        ],
    }

    def __init__(
        self,
        lambds: Sequence[float | Sequence[float]] | Array = (0.2, 1.0, 5.0, 20.0),
        keep_probs: Sequence[float | Sequence[float]] | Array = (0.5, 0.9),
        *,
        cv: Any = None,
        scoring: Any = "auto",
        refit: bool | str | Callable[..., int] = True,
        n_refits: int = 5,
        n_jobs: int | None = None,
        return_train_score: bool = False,
        error_score: float | str = np.nan,
        verbose: int = 0,
        hidden_layer_sizes: int | Sequence[int] | Array = (100, 50),
        activation: str = "relu",
        input_keep_prob: float = 1.0,
        max_norm: float | None = None,
        class_weight: str | dict[Any, float] | list[dict[Any, float]] | None = None,
        solver: str = "adam",
        batch_size: int | str = 128,
        learning_rate: str = "cosine",
        learning_rate_init: float = 0.01,
        power_t: float = 0.5,
        max_iter: int = 60,
        shuffle: bool = True,
        random_state: int | np.random.RandomState | None = None,
        tol: float = 1e-4,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool | str = False,
        early_stopping_refit: bool | str = "auto",
        n_validation_splits: int | str = "auto",
        early_stopping_scoring: str | Callable[..., float] | None = "loss",
        train_scores: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        averaging: float = 0.9,
        max_fun: int = 15000,
    ) -> None:
        self.lambds = lambds
        self.keep_probs = keep_probs
        self.cv = cv
        self.scoring = scoring
        self.refit = refit
        self.n_refits = n_refits
        self.n_jobs = n_jobs
        self.return_train_score = return_train_score
        self.error_score = error_score
        self.verbose = verbose
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.input_keep_prob = input_keep_prob
        self.max_norm = max_norm
        self.class_weight = class_weight
        self.solver = solver
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.early_stopping_refit = early_stopping_refit
        self.n_validation_splits = n_validation_splits
        self.early_stopping_scoring = early_stopping_scoring
        self.train_scores = train_scores
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.averaging = averaging
        self.max_fun = max_fun

    @property
    def estimator(self) -> RegularizedMLPClassifier:
        """The classifier that is searched: each candidate but for its parameters."""
        own = self.get_params(deep=False)
        names = RegularizedMLPClassifier().get_params()
        settings = {name: own[name] for name in names if name in own}
        settings |= {"scoring": self.early_stopping_scoring, "verbose": False}
        classifier = RegularizedMLPClassifier(**settings)
        if _routing_enabled():
            # Nobody can ask it of an estimator that is made here: its own score takes
            # the weights, as it does without routing.
            classifier.set_score_request(sample_weight=True)
        return classifier

    @property
    def param_grid(self) -> dict[str, list[Any]]:
        """The grid, as ``GridSearchCV`` takes it."""
        return {"lambd": list(self.lambds), "keep_prob": list(self.keep_probs)}

    @fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: ArrayLike | Sparse,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        X_val: ArrayLike | Sparse | None = None,
        y_val: ArrayLike | None = None,
        sample_weight_val: ArrayLike | None = None,
        **params: Any,
    ) -> Self:
        """Score each setting on each split, and fit the best to all rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            The classes; or 0 and 1 for each label of a multilabel problem.
        sample_weight : array-like of shape (n_samples,), default=None
            The weight of each row, at least 0. The scorers get them if those of
            ``GridSearchCV`` do, which depends on scikit-learn's version.
        X_val, y_val, sample_weight_val : array-like, default=None
            Rows for ``early_stopping``, the same for all networks, as in
            :meth:`RegularizedMLPClassifier.fit`.
        **params : dict
            ``groups`` for the splitter; with metadata routing, all that the splitter
            and the scorer request.

        Returns
        -------
        self : RegularizedMLPClassifierCV
            The fitted search.

        Raises
        ------
        ValueError
            If a parameter, X, y or a weight is out of range, or if all trainings fail.
        TypeError
            If an argument is unknown.
        KeyboardInterrupt
            When it is interrupted. As after any other exception, the search keeps what
            it had.

        Warns
        -----
        ConvergenceWarning
            If ``max_iter`` ends the training of a network.
        UserWarning
            If columns of X are not scaled.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skreg import RegularizedMLPClassifierCV
        >>> X, y = load_iris(return_X_y=True)
        >>> search = RegularizedMLPClassifierCV(
        ...     (0.1, 1.0), (1.0,), hidden_layer_sizes=(10,), random_state=0
        ... ).fit(X, y)
        >>> search.cv_results_["mean_test_score"].shape
        (2,)
        """
        scorers, refit_metric = self._get_scorers()
        candidates = self._candidates()
        X, y = indexable(X, y)
        fit_params = _check_method_params(X, _given(sample_weight=sample_weight))
        validation = _given(
            X_val=X_val, y_val=y_val, sample_weight_val=sample_weight_val
        )
        routed = self._routed(fit_params, params)
        estimator = clone(self.estimator)
        at_once, unscaled = _known(clone(estimator), X, y, fit_params, validation)
        splits = splits_of(self.cv, X, y, self.random_state, routed.splitter.split)
        numbers = range(len(candidates))
        if self.verbose > 0:
            print(
                f"Fitting {len(splits)} folds for each of {len(candidates)} "
                f"candidates, totalling {len(candidates) * len(splits)} fits"
            )
        task = SearchTask(
            self,
            len(candidates) * len(splits),
            {"X": X, "y": y, "metadata": fit_params or None},
        )
        told = {
            (candidate, split): {
                "parameters": candidates[candidate],
                "candidate_progress": (candidate, len(candidates)),
                "split_progress": (split, len(splits)),
                **task.evaluation(candidate * len(splits) + split),
            }
            for candidate in numbers
            for split in range(len(splits))
        }
        jobs = [
            (split, stack)
            for stack in self._stacks(len(candidates), at_once, len(splits))
            for split in range(len(splits))
        ]
        found = Parallel(n_jobs=self.n_jobs)(
            delayed(fit_and_score_stack)(
                [clone(estimator) for _ in stack],
                X,
                y,
                splits[split],
                [told[candidate, split] for candidate in stack],
                validation,
                fit_params=fit_params,
                scorer=scorers,
                score_params=routed.scorer.score,
                return_train_score=self.return_train_score,
                error_score=self.error_score,
                verbose=self.verbose,
            )
            for split, stack in jobs
        )
        task.evaluated()
        of_fit = {
            (candidate, split): result
            for (split, stack), results in zip(jobs, found, strict=True)
            for candidate, result in zip(stack, results, strict=True)
        }
        out = [of_fit[fit] for fit in told]
        _warn_or_raise_about_fit_failures(out, self.error_score)
        if callable(self.scoring):
            _insert_error_scores(out, self.error_score)
        if self._is_automatic:
            forget_losses_of_failures(out)
        with unchanged_on_error(self):
            for name in [name for name in vars(self) if name.endswith("_")]:
                # What this fit does not write would be that of the fit before.
                delattr(self, name)
            self.n_splits_ = len(splits)
            self._scored_by = self.scoring
            with np.errstate(over="ignore", invalid="ignore"):
                # The standard deviation of huge losses.
                results = self._format_results(candidates, len(splits), out)
            self.cv_results_ = results
            self._choose_best(out[0]["test_scores"], refit_metric)
            if self.refit:
                best: Any = clone(estimator).set_params(**self.best_params_)
                if self.n_refits > 1:
                    best = RegularizedMLPEnsemble(best, self.n_refits)
                start = time.time()
                with task.refit(best), without_advice():
                    best.fit(X, y, **fit_params, **validation)
                self.refit_time_ = time.time() - start
                self.best_estimator_, self.n_iter_ = best, best.n_iter_
                if hasattr(best, "feature_names_in_"):
                    self.feature_names_in_ = best.feature_names_in_
        task.close()
        if unscaled is not None:
            warnings.warn(unscaled, stacklevel=3)
        return self

    @property
    def scorer_(self) -> Any:
        """The scorer or scorers, made anew: a saved search has only their names."""
        check_is_fitted(self, "_scored_by")
        return scorer_or_scorers(self._scored_by, self.estimator)

    @property
    def _is_automatic(self) -> bool:
        return isinstance(self.scoring, str) and self.scoring == "auto"

    def _get_scorers(self) -> tuple[Any, str]:
        if self._is_automatic:
            if isinstance(self.refit, str):
                raise ValueError(
                    f"refit={self.refit!r} names a scorer, but scoring='auto' has a "
                    "rule of its own. Set refit=True, or scoring='accuracy' or "
                    "'neg_log_loss' to choose by one of them alone."
                )
            raises = self.error_score == "raise"
            return automatic_scorers(self.estimator, raises=raises), "score"
        scorers, refit_metric = super()._get_scorers()
        return scorers, refit_metric

    def _candidates(self) -> list[dict[str, Any]]:
        """The settings of the grid, in the order of ``GridSearchCV``, checked."""
        hidden_units = hidden_layers(self.hidden_layer_sizes)
        for name in ("lambds", "keep_probs"):
            values = getattr(self, name)
            # np.ndim refuses numbers beside values by layer.
            if getattr(values, "ndim", 1) == 0 or len(values) == 0:
                raise ValueError(
                    f"{name}={values!r}: give a sequence of at least one value to try."
                )
        with _error_names("lambds"):
            for lambd in self.lambds:
                lambd_by_layer(lambd, len(hidden_units) + 1)
        with _error_names("keep_probs"):
            by_layers = [keep_prob_by_layer(p, hidden_units) for p in self.keep_probs]
        for by_layer in by_layers:
            if self.solver == "lbfgs" and min(by_layer) < 1:
                raise ValueError(
                    f"keep_probs={self.keep_probs!r}: dropout does not go with "
                    "solver='lbfgs', which needs an objective that is the same at each "
                    "evaluation. Set keep_probs=(1.0,), or solver='adam' or 'sgd'."
                )
        return list(ParameterGrid(self.param_grid))

    def _routed(self, fit_params: dict[str, Any], params: dict[str, Any]) -> Any:
        """What goes to the splitter and to the scorer."""
        if _routing_enabled():
            return process_routing(self, "fit", **fit_params, **params)
        unknown = params.keys() - {"groups"}
        if unknown:
            raise TypeError(
                f"fit() got unexpected arguments {sorted(unknown)}. Besides its own it "
                "takes groups; others need "
                "sklearn.set_config(enable_metadata_routing=True)."
            )
        return self._get_routed_params_for_fit({**fit_params, **params})

    def get_metadata_routing(self) -> MetadataRouter:
        """Which metadata go to the splitter and to the scorer.

        Returns
        -------
        routing : MetadataRouter
            ``sample_weight`` and the rows for validation are the search's own.
        """
        in_fit = MethodMapping().add(caller="fit", callee="split")
        in_score = MethodMapping().add(caller="score", callee="score")
        scorer, _ = self._get_scorers()
        return (
            MetadataRouter(owner=self)
            .add_self_request(self)
            .add(splitter=self.cv, method_mapping=in_fit)
            .add(
                scorer=scorer,
                method_mapping=in_score.add(caller="fit", callee="score"),
            )
        )

    def _stacks(self, n_candidates: int, at_once: int, n_splits: int) -> list[Array]:
        """The numbers of the candidates, stack by stack, all of like size.

        There are so many that the processes have work for at least 9/10 of the time.
        """
        n_jobs = effective_n_jobs(self.n_jobs)
        n_stacks = -(-n_candidates // at_once)
        while n_stacks < n_jobs:
            rounds = -(-n_stacks * n_splits // n_jobs)
            if n_stacks * n_splits >= 0.9 * rounds * n_jobs:
                break
            n_stacks += 1
        return np.array_split(np.arange(n_candidates), min(n_stacks, n_candidates))

    def _choose_best(self, scores: Any, refit_metric: Any) -> None:
        """Write ``best_index_`` and what goes with it, as ``GridSearchCV`` does."""
        self.multimetric_ = isinstance(scores, dict) and not self._is_automatic
        if callable(self.scoring) and self.multimetric_:
            # What a function returns is known only now.
            self._check_refit_for_multimetric(scores)
            refit_metric = self.refit
        if not self.refit and self.multimetric_:
            return
        results = self.cv_results_
        if self._is_automatic and not callable(self.refit):
            self.best_index_ = most_accurate_of_the_likely(results)
        else:
            self.best_index_ = self._select_best_index(
                self.refit, refit_metric, results
            )
        if not callable(self.refit):
            self.best_score_ = results[f"mean_test_{refit_metric}"][self.best_index_]
        self.best_params_ = results["params"][self.best_index_]
        self.lambd_ = self.best_params_["lambd"]
        self.keep_prob_ = self.best_params_["keep_prob"]


@contextmanager
def _error_names(parameter: str) -> Iterator[None]:
    """An error names the parameter that has the value in it."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"In {parameter}: {error}") from None


def _known(
    model: RegularizedMLPClassifier,
    X: Any,
    y: Any,
    fit_params: dict[str, Any],
    validation: dict[str, Any],
) -> tuple[int, str | None]:
    """How many networks a stack has, and what to say of columns that are not scaled.

    An error tells what is wrong with all rows.
    """
    data = validated(model, X, y, **fit_params)
    held_out_rows(model, data, **validation)
    return stack_size(model, data), unscaled_text(model, data, HERE)


def _given(**arguments: Any) -> dict[str, Any]:
    """The arguments that are not None."""
    return {name: value for name, value in arguments.items() if value is not None}
