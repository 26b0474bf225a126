"""``RegularizedMLPClassifierCV``: a grid of ``lambd`` and ``keep_prob``, as stacks.

``fit`` does what scikit-learn's ``BaseSearchCV.fit`` does, by the private methods of
``GridSearchCV``. If they change, take over how it calls them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import field
from functools import partial
from itertools import product
from typing import Annotated, Any, Literal, Self

import numpy as np
from joblib import effective_n_jobs
from joblib.parallel import get_active_backend
from numpy.typing import ArrayLike
from sklearn import get_config
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, ParameterGrid
from sklearn.utils import indexable
from sklearn.utils.metadata_routing import (
    UNUSED,
    MetadataRouter,
    MethodMapping,
    process_routing,
)
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted

from skreg._models import candidates, scoring
from skreg._models.classifier import RegularizedMLPClassifier
from skreg._models.ensemble import RegularizedMLPEnsemble
from skreg._models.guards import fitted_anew
from skreg._models.held_out import HeldOut
from skreg._models.versions import Persistent, public
from skreg._network import Array
from skreg._network.activations import ActivationName
from skreg._training import settings
from skreg._training.advice import (
    FitAdviceWarning,
    columns_text,
    idle_text,
    silent,
    warn_of_rows,
    weights_text,
)
from skreg._training.callbacks import Task, given_only
from skreg._training.constraints import StrOptions, fit_context
from skreg._training.hints import hint
from skreg._training.problem import stack_size
from skreg._training.rows import Given, Rows, Sparse, TrainingSet, given_rows
from skreg._training.settings import (
    Scoring,
    Settings,
    Shared,
    declared,
    with_parameters,
)

Grid = Annotated[Sequence[float | Sequence[float]] | Array, "array-like"]
_OF_SEARCH = GridSearchCV._parameter_constraints


@declared
class SearchSettings(Shared):
    """The parameters of a search."""

    lambds: Grid = field(default=(0.2, 1.0, 5.0, 20.0), kw_only=False)
    keep_probs: Grid = field(default=(0.5, 0.9), kw_only=False)
    cv: Annotated[Any, *_OF_SEARCH["cv"]] = None
    scoring: Annotated[Any, StrOptions({"auto"}), *_OF_SEARCH["scoring"]] = "auto"
    refit: Annotated[bool | str | Callable[..., int], *_OF_SEARCH["refit"]] = True
    final_model: Literal["team", "best"] = "team"
    n_refits: settings.Count = 5
    n_jobs: Annotated[int | None, *_OF_SEARCH["n_jobs"]] = None
    return_train_score: bool = False
    oof_proba: bool = False
    error_score: Annotated[float | str, *_OF_SEARCH["error_score"]] = np.nan
    verbose: Annotated[int, "verbose"] = 0
    # Other defaults than those of one network, and no positions.
    hidden_layer_sizes: settings.Sizes = (100, 50)
    activation: ActivationName = "relu"
    batch_size: settings.BatchSize | None = None
    max_iter: settings.Count | None = None
    early_stopping: bool | settings.Auto = False
    early_stopping_scoring: Scoring = "loss"


@public
@with_parameters
class RegularizedMLPClassifierCV(Persistent, SearchSettings, GridSearchCV):
    """A grid of ``lambd`` × ``keep_prob`` by cross-validation, and a team of its best.

    score(lambd, keep_prob) = 1/n_splits Σ score of the split, of the networks

        J = 1/m Σ CE(A, Y) + lambd/(2m) Σ W², D = (uniform < keep_prob),

    one for each setting and split. It finds what ``GridSearchCV`` finds over
    :class:`RegularizedMLPClassifier` with the same ``random_state`` and batches,
    several times as fast: small networks of a split are trained together, as one
    network with a leading axis. They share the initial weights, the order of the rows
    and the random numbers that masks are made of, as separate fits with the same seed
    do. Where that does not pay, with large networks, sparse X or 'lbfgs', they are
    trained one by one.

    The final model is by default a team: the settings whose weighted mean predicts the
    rows left out best, fitted to all rows.

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
        ``random_state``, since many tables are sorted, or for as many, at least two, as
        the largest class has rows; an int for as many folds that are not shuffled, as
        in ``GridSearchCV``; a splitter, or an iterable of (train, test) indices.

    scoring : str, callable, list, tuple, dict or None, default='auto'
        What measures a setting on the rows left out. 'auto' measures the accuracy and
        the loss: best is the most accurate of the settings whose loss is at most 1.05
        times the least, and :meth:`score` is the accuracy. Else as in
        ``GridSearchCV``: one scorer or several; None for the accuracy.

    refit : bool, str or callable, default=True
        Whether to fit the final model to all rows; with several scorers the name of
        that which says what is best; or a function of ``cv_results_`` that returns the
        best index, whose setting is the final model. With ``scoring='auto'`` no name.

    final_model : {'team', 'best'}, default='team'
        What is fitted to all rows. 'best' is the best setting. 'team' is chosen by
        greedy forward selection [1]_: the best setting has five picks; then 20 times
        that is picked, again or for the first time, with which the mean of the
        probabilities of all picked so far is the best on the rows left out. How often
        a setting is picked is its weight. What is
        best says ``scoring`` if it needs nothing but probabilities, such as
        'neg_log_loss' and 'roc_auc', by its mean over the splits; else, as with 'auto',
        the log-loss of all rows left out, by their ``sample_weight``. A setting of
        which a training failed is not in the team. The best setting alone is the final
        model if ``n_refits=1``, and if ``refit`` is a function.

    n_refits : int, default=5
        How many networks are fitted to all rows, with different initial weights. More
        than one are a :class:`RegularizedMLPEnsemble`, the mean of their probabilities.
        A team has at most so many settings, among which they are shared out by weight.

    n_jobs : int or None, default=None
        The number of processes among which the splits are shared out; None is 1 unless
        in a :func:`joblib.parallel_config` context, -1 all processors. None is the
        default because processes take a second or two to start.

    return_train_score : bool, default=False
        Whether ``cv_results_`` has the scores on the training rows too.

    oof_proba : bool, default=False
        Whether the search keeps ``oof_proba_``. While it fits it then holds the
        probabilities of all settings, classes and rows left out, where the choice of a
        team by the log-loss needs one float32 of each setting and row.

    error_score : 'raise' or float, default=np.nan
        The score of a network whose training fails, with a warning; 'raise' raises the
        error. Errors in the refit are always raised. With ``scoring='auto'`` its loss
        is NaN.

    verbose : int, default=0
        1 prints the number of fits, how many are done, about how long the others take,
        and the team; 2 the time of each fit, 3 the scores too. For those of a stack it
        is the time of the scores alone.

    batch_size : int, 'auto', 'full' or None, default=None
        The number of rows in a batch: None for 32 up to 400 rows and 128 for more. Else
        as in :class:`RegularizedMLPClassifier`.

    max_iter : int or None, default=None
        The number of epochs: None for 60, or more, up to 240, for as many rows as 640
        full batches of the default size have up to 400 rows, and 480 for more.

    hidden_layer_sizes, activation, standardize, input_keep_prob, max_norm, \
class_weight, solver, learning_rate, learning_rate_init, power_t, shuffle, \
random_state, tol, momentum, nesterovs_momentum, early_stopping, \
early_stopping_refit, n_validation_splits, train_scores, validation_fraction, beta_1, \
beta_2, epsilon, n_iter_no_change, averaging, max_fun
        Those of :class:`RegularizedMLPClassifier`, the same for all networks. The
        defaults are its own but for ``early_stopping=False``, since the grid says how
        much to regularise. With
        ``random_state=None`` each stack takes fresh entropy.

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

    best_estimator_ : RegularizedMLPEnsemble or RegularizedMLPClassifier
        The final model, fitted to all rows: the ensemble of ``n_refits`` networks of
        the team or of the best setting, or one network; not with ``refit=False``.

    team_weights_ : ndarray of shape (n_settings,)
        How much each row of ``cv_results_`` counts in the final model; the sum is 1.
        Not with ``refit=False``.

    oof_proba_ : ndarray of shape (n_samples, n_classes) or (n_samples, n_labels)
        With ``oof_proba=True``, what the networks that were not trained on a row say of
        it, for calibration and stacking: the weighted mean of the settings of the final
        model, or with ``refit=False`` the best setting, and the mean over the splits.
        NaN where no split leaves the row out, or a training failed. The columns are the
        sorted classes. It is not there where no setting is best, with ``refit=False``
        and several scorers.

    refit_time_ : float
        The seconds that its fit took.

    n_iter_ : int
        The number of epochs that its fit took; of several networks the largest.

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

    Settings are compared in float32, in about two thirds of the time, where that loses
    nothing: if the search is long (fits times epochs times rows are a million or more),
    the solver is not 'lbfgs', ``scoring`` has a name, no number is near those that
    overflow, and rounding takes less than a ten-thousandth of the deviation of each
    column. Scores then differ from those of ``GridSearchCV`` by rounding, unless X is
    float32 as well. The final model is fitted to X as it is.

    In a pipeline the splits are made of rows that the steps before have transformed,
    and those steps have seen all of them. For scaling, which learns little of a row,
    that is fine. Where a step learns from y or a lot from each row, as the selection
    of columns and target encoding do, the scores come out too good: put
    ``GridSearchCV`` around the whole pipeline.

    With callbacks (scikit-learn 1.9) each setting and split is a task, as in
    ``GridSearchCV``; within a stack they have no tasks of their own for epochs.

    References
    ----------
    .. [1] Caruana, Niculescu-Mizil, Crew and Ksikes (2004). Ensemble selection from
       libraries of models. ICML.

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

    # Weights go to the scorer, by its own request.
    __metadata_request__score = {"sample_weight": UNUSED}  # noqa: RUF012

    @property
    def estimator(self) -> RegularizedMLPClassifier:
        """The classifier that is searched: each candidate but for its parameters.

        Few rows have smaller batches and more epochs, which only ``fit`` knows.
        """
        own = self.get_params(deep=False)
        names = RegularizedMLPClassifier().get_params()
        parameters = {name: own[name] for name in names if name in own}
        parameters |= {"scoring": self.early_stopping_scoring, "verbose": False}
        parameters |= self._course()
        classifier = RegularizedMLPClassifier(**parameters)
        if get_config()["enable_metadata_routing"]:
            # Nobody can ask it of an estimator that is made here: its own score takes
            # the weights, as it does without routing.
            classifier.set_score_request(sample_weight=True)
        return classifier

    def _course(self, n_rows: float = np.inf) -> dict[str, Any]:
        """What of the course is by the number of rows."""
        course = candidates.course_for(n_rows)
        return {name: n for name, n in course.items() if getattr(self, name) is None}

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
        """Score each setting on each split, and fit the final model to all rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            The classes; or 0 and 1 for each label of a multilabel problem.
        sample_weight : array-like of shape (n_samples,) or float, default=None
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
            If a parameter, X, y or a weight is out of range, if ``cv=None`` and no
            class has two rows, if all trainings fail, or if no setting has a mean score
            that is a number.
        TypeError
            If an argument is unknown.
        KeyboardInterrupt
            When it is interrupted. As after any other exception, the search keeps what
            it had.

        Warns
        -----
        ConvergenceWarning
            If ``max_iter`` ends the training of a network.
        FitAdviceWarning, RegularizationWarning
            As :meth:`RegularizedMLPClassifier.fit`, once for all networks; the second
            only for those fitted to all rows.
        UserWarning
            If with ``cv=None`` a class has fewer rows than there are folds.

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
        grid = self._candidates()
        X, y = indexable(X, y)
        validation = given_only(
            X_val=X_val, y_val=y_val, sample_weight_val=sample_weight_val
        )
        known, given = self._known(X, y, sample_weight, **validation)
        estimator, rows = clone(known), given.training
        y = scoring.scorable(y)
        fit_params = given_only(sample_weight=rows.sample_weight)
        routed = self._routed(fit_params, params)
        splits = scoring.splits_of(
            self.cv, X, y, rows, self.random_state, routed.splitter.split
        )
        held_out = self._held_out(len(grid), X, y, rows, splits, routed.scorer.score)
        data = {"X": X, "y": y, "metadata": fit_params or None}
        task = Task(self, data).begin_fit(1 + (self.refit is not False))
        out = self._evaluated(
            task,
            grid,
            splits,
            stack_size(known, rows),
            estimator=estimator,
            X=candidates.compared(X, rows, known, self, len(grid) * len(splits)),
            y=y,
            validation=validation,
            fit_params=fit_params,
            scorer=scorers,
            score_params=routed.scorer.score,
            keep=held_out.keep,
        )
        with fitted_anew(self):
            self._choose_best(grid, out, refit_metric, held_out)
            if self.refit:
                self._refit(clone(estimator), task, X, y, **fit_params, **validation)
        task.end()
        self._warn(known, rows, given.validation)
        return self

    def _known(
        self, X: Any, y: Any, sample_weight: Any, **validation: Any
    ) -> tuple[RegularizedMLPClassifier, Given]:
        """The classifier, which knows the columns, and all rows as it takes them."""
        known = clone(self.estimator)
        # An error tells what is wrong with all rows.
        given = given_rows(known, X, y, sample_weight, **validation)
        return known.set_params(**self._course(given.training.n_rows)), given

    def _warn(self, network: Settings, training: Rows, validation: Rows | None) -> None:
        """Say once what each of the fits would say of the rows."""
        warn_of_rows(
            columns_text(network, training, network.standardize),
            weights_text(training, "lambds", self.lambds, self.lambds),
            idle_text(network, training, validation, "early_stopping_scoring"),
        )

    def score(
        self,
        X: ArrayLike | Sparse,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        **params: Any,
    ) -> float:
        """The score of the final model on these rows, by ``scoring``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Their classes, or 0 and 1 for each label.
        sample_weight : array-like of shape (n_samples,), default=None
            The weight of each row.
        **params : dict
            With metadata routing, all that the scorer requests; it gets the weights
            too only if it requests them.

        Returns
        -------
        score : float
            The accuracy with ``scoring='auto'`` or None. Of several scorers, that of
            the one that ``refit`` names.

        Raises
        ------
        NotFittedError
            If the search is not fitted yet.
        TypeError
            If there are weights, and the scorer takes none.
        ValueError
            If X is not as it was in ``fit``, or y has values that are no labels.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skreg import RegularizedMLPClassifierCV
        >>> X, y = load_iris(return_X_y=True)
        >>> search = RegularizedMLPClassifierCV(
        ...     (0.1, 1.0), (1.0,), hidden_layer_sizes=(10,), random_state=0
        ... ).fit(X, y)
        >>> search.score(X, y, sample_weight=(y == 0) + 1.0) > 0.9
        True
        """
        y = scoring.scorable(y)
        by_request = params or get_config()["enable_metadata_routing"]
        if by_request or sample_weight is None or not hasattr(self, "best_estimator_"):
            # Or its error.
            params |= given_only(sample_weight=sample_weight)
            return float(super().score(X, y, **params))
        scorer = self.scorer_
        if isinstance(scorer, dict):
            scorer = scorer[self.refit]
        with scoring.error_without_weights(self._scored_by):
            found = scorer(self.best_estimator_, X, y, sample_weight=sample_weight)
        return float(found[self.refit] if isinstance(found, dict) else found)

    def _evaluated(
        self,
        task: Task,
        grid: list[dict[str, Any]],
        splits: list[tuple[Array, Array]],
        at_once: int,
        **how: Any,
    ) -> list[dict[str, Any]]:
        """What scikit-learn's function gives for each candidate and split, in order."""
        evaluations = task.parts("search", len(grid) * len(splits)).begin()
        arguments = {
            (candidate, split): {
                "parameters": grid[candidate],
                "candidate_progress": (candidate, len(grid)),
                "split_progress": (split, len(splits)),
                **evaluations.of_candidate(candidate * len(splits) + split),
            }
            for candidate, split in np.ndindex(len(grid), len(splits))
        }
        stacks = self._stacks(len(grid), at_once, len(splits))
        jobs = list(product(stacks, range(len(splits))))
        as_they_come = get_active_backend()[0].supports_return_generator
        return_as = "generator" if as_they_come else "list"
        found = Parallel(n_jobs=self.n_jobs, return_as=return_as)(
            delayed(candidates.fit_and_score)(
                split=splits[split],
                arguments=[arguments[candidate, split] for candidate in stack],
                return_train_score=self.return_train_score,
                error_score=self.error_score,
                verbose=self.verbose,
                **how,
            )
            for stack, split in jobs
        )
        found = list(self._with_progress(found, len(grid), len(splits)))
        evaluations.end()
        of_fit = {
            (candidate, split): result
            for (stack, split), results in zip(jobs, found, strict=True)
            for candidate, result in zip(stack, results, strict=True)
        }
        out = [of_fit[fit] for fit in arguments]
        candidates.warn_or_raise_about_fit_failures(out, self.error_score)
        if callable(self.scoring):
            candidates.insert_error_scores(out, self.error_score)
        if self._is_automatic:
            scoring.forget_losses_of_failures(out)
        return out

    def _with_progress(
        self, found: Iterator[list[dict[str, Any]]], n_candidates: int, n_splits: int
    ) -> Iterator[list[dict[str, Any]]]:
        """The results of each stack as they come; print how far the search is."""
        n_done, n_fits, start = 0, n_candidates * n_splits, time.monotonic()
        if self.verbose > 0:
            print(
                f"Fitting {n_splits} folds for each of {n_candidates} candidates, "
                f"totalling {n_fits} fits"
            )
        for results in found:
            n_done += len(results)
            if self.verbose > 0:
                seconds = time.monotonic() - start
                left = seconds * (n_fits - n_done) / n_done
                print(f"Done {n_done} of {n_fits} fits, about {left:.0f} s left")
            yield results

    def _held_out(
        self,
        n_settings: int,
        X: Any,
        y: Any,
        rows: TrainingSet,
        splits: list[tuple[Array, Array]],
        score_params: dict[str, Any],
    ) -> HeldOut:
        """What becomes of the probabilities on the rows left out."""
        chooses = self.refit is not False and not callable(self.refit)
        is_team = self.final_model == "team" and min(self.n_refits, n_settings) > 1
        scorer = None
        if is_team and chooses and not self._is_automatic:
            scorer = scoring.scorer_that_chooses(
                self.scoring, self.refit, self.estimator
            )
        return HeldOut(
            rows,
            [candidates.row_numbers(test, len(rows.y)) for _, test in splits],
            partial(candidates.of_rows, X, y, score_params),
            scorer,
            self.error_score,
            at_most=self.n_refits if is_team and chooses else 1,
            oof_proba=self.oof_proba,
        )

    def _refit(self, network: Any, task: Task, X: Any, y: Any, **given: Any) -> None:
        """Fit the team to all rows, as one network or as several."""
        numbers = np.flatnonzero(self.team_weights_)
        weights = self.team_weights_[numbers].tolist()
        params = [self.cv_results_["params"][number] for number in numbers]
        team = [clone(network).set_params(**of_member) for of_member in params]
        best = team[0]
        if self.verbose > 0 and self.final_model == "team":
            shares = zip(weights, params, strict=True)
            print("Team: " + ", ".join(f"{w:.2f} of {p}" for w, p in shares))
        if len(team) > 1:
            best = RegularizedMLPEnsemble(team, self.n_refits, weights=weights)
        elif self.n_refits > 1:
            best = RegularizedMLPEnsemble(best, self.n_refits)
        start = time.time()
        with task.of_refit(best), silent(FitAdviceWarning):
            best.fit(X, y, **given)
        self.refit_time_ = time.time() - start
        self.best_estimator_, self.n_iter_ = best, best.n_iter_
        if hasattr(best, "feature_names_in_"):
            self.feature_names_in_ = best.feature_names_in_

    @property
    def scorer_(self) -> Any:
        """The scorer or scorers, made anew: a saved search has only their names."""
        check_is_fitted(self, "_scored_by")
        return scoring.scorer_or_scorers(self._scored_by, self.estimator)

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
            return scoring.automatic_scorers(self.estimator, raises=raises), "score"
        scorers, refit_metric = super()._get_scorers()
        return scorers, refit_metric

    def _candidates(self) -> list[dict[str, Any]]:
        """The settings of the grid, in the order of ``GridSearchCV``, checked."""
        hidden_units = settings.hidden_layers(self.hidden_layer_sizes)
        for name in ("lambds", "keep_probs"):
            values = getattr(self, name)
            # np.ndim refuses numbers beside values by layer.
            if getattr(values, "ndim", 1) == 0 or len(values) == 0:
                raise ValueError(
                    f"{name}={values!r}: give a sequence of at least one value to try."
                )
        with _error_names("lambds"):
            for lambd in self.lambds:
                settings.lambd_by_layer(lambd, len(hidden_units) + 1)
        with _error_names("keep_probs"):
            by_layers = [
                settings.keep_prob_by_layer(p, hidden_units) for p in self.keep_probs
            ]
        if self.solver == "lbfgs" and min(map(min, by_layers)) < 1:
            raise ValueError(
                f"keep_probs={self.keep_probs!r}: dropout does not go with "
                "solver='lbfgs', which needs an objective that is the same at each "
                "evaluation. Set keep_probs=(1.0,), or solver='adam' or 'sgd'."
            )
        return list(ParameterGrid(self.param_grid))

    def _routed(self, fit_params: dict[str, Any], params: dict[str, Any]) -> Any:
        """What goes to the splitter and to the scorer."""
        if get_config()["enable_metadata_routing"]:
            return process_routing(self, "fit", **fit_params, **params)
        unknown = sorted(params.keys() - {"groups"})
        if unknown:
            own = f"{type(self).__name__}({{}}=...)"
            raise TypeError(
                f"fit() got unexpected arguments {unknown}."
                f"{hint(unknown[0], self, own)} Besides its own it takes groups; "
                "others need sklearn.set_config(enable_metadata_routing=True)."
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
        in_score.add(caller="fit", callee="score")
        scorer, _ = self._get_scorers()
        return (
            MetadataRouter(owner=self)
            .add_self_request(self)
            .add(splitter=self.cv, method_mapping=in_fit)
            .add(scorer=scorer, method_mapping=in_score)
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

    def _choose_best(
        self,
        grid: list[dict[str, Any]],
        out: list[dict[str, Any]],
        refit_metric: Any,
        held_out: HeldOut,
    ) -> None:
        """Write the results, which is best, as ``GridSearchCV`` does, and the team."""
        self.n_splits_ = len(out) // len(grid)
        self._scored_by, scores = self.scoring, out[0]["test_scores"]
        with np.errstate(over="ignore", invalid="ignore"):
            # The standard deviation of huge losses.
            self.cv_results_ = self._format_results(grid, self.n_splits_, out)
        self.multimetric_ = isinstance(scores, dict) and not self._is_automatic
        if callable(self.scoring) and self.multimetric_:
            # What a function returns is known only now.
            self._check_refit_for_multimetric(scores)
            refit_metric = self.refit
        if not self.refit and self.multimetric_:
            return
        found = self.cv_results_
        if not callable(self.refit):
            scoring.check_any_score(found, refit_metric, self.n_splits_)
        if self._is_automatic and not callable(self.refit):
            self.best_index_ = scoring.most_accurate_of_the_likely(found)
        else:
            self.best_index_ = self._select_best_index(self.refit, refit_metric, found)
        if not callable(self.refit):
            self.best_score_ = found[f"mean_test_{refit_metric}"][self.best_index_]
        self.best_params_ = found["params"][self.best_index_]
        self.lambd_ = self.best_params_["lambd"]
        self.keep_prob_ = self.best_params_["keep_prob"]
        weights = held_out.weights(out, self.best_index_)
        if self.oof_proba:
            self.oof_proba_ = held_out.mean_proba(out, weights)
        if self.refit:
            self.team_weights_ = weights


@contextmanager
def _error_names(parameter: str) -> Iterator[None]:
    """An error names the parameter that has the value in it."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"In {parameter}: {error}") from None
