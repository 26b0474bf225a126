"""The estimator: fit and predict, and its fitted attributes."""

from __future__ import annotations

import math
from numbers import Integral
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.utils import Tags, check_scalar
from sklearn.utils.multiclass import unique_labels
from sklearn.utils.validation import check_is_fitted

from skreg._models.exchange import Exchange
from skreg._models.guards import available_if_incremental, unchanged_on_error
from skreg._models.predictor import Predictor, Quantity
from skreg._models.versions import Persistent, public
from skreg._network import Array
from skreg._network.activations import ACTIVATIONS
from skreg._network.dropout import drops_nothing
from skreg._network.loss import OUTPUTS, Output
from skreg._network.propagation import (
    Workspace,
    by_chunks,
    input_gradients,
    of_all_rows,
)
from skreg._network.theta import Layer, layers_of
from skreg._training.advice import (
    columns_text,
    network_weights_text,
    warn_of_fit,
    warn_of_rows,
)
from skreg._training.callbacks import CallbackSupport, Task
from skreg._training.constraints import fit_context
from skreg._training.descent import Result
from skreg._training.diagnosis import warn_of_result
from skreg._training.fit import train
from skreg._training.labels import (
    Target,
    infer_target,
    plain_labels,
    target_of_classes,
)
from skreg._training.problem import Before, dropout
from skreg._training.rows import (
    Rows,
    Scaling,
    Sparse,
    checked_rows,
    given_rows,
    training_set,
    validated_as_floats,
)
from skreg._training.settings import (
    Settings,
    keep_prob_by_layer,
    random_streams,
    with_parameters,
)


@public
@with_parameters
class RegularizedMLPClassifier(
    Exchange, Predictor, Persistent, CallbackSupport, Settings, BaseEstimator
):
    """J = 1/m Σ CE(A, Y) + lambd/(2m) Σ W², with inverted dropout.

    A neural network whose hidden layers are

        Z1 = W1 X + b1,  A1 = g(Z1) * D1 / keep_prob,  D1 = (uniform < keep_prob),

    with RELU for g, and whose output is a sigmoid (two classes, or one for each label)
    or a softmax (three classes and more). It is regularised by L2 weight decay
    (``lambd``) and by inverted dropout (``keep_prob``), which combine. m is the total
    weight of the training rows. There is no dropout in prediction.

    Parameters
    ----------
    hidden_layer_sizes : int or array-like of int, default=(100, 50)
        The number of units of each hidden layer, one layer or more.

    activation : {'relu', 'tanh', 'logistic', 'identity'}, default='relu'
        The activation g of the hidden layers.

        - 'relu': max(0, z);
        - 'tanh': the hyperbolic tangent;
        - 'logistic': the sigmoid 1 / (1 + exp(-z));
        - 'identity': z, for a linear bottleneck.

    lambd : float, array-like of shape (n_hidden_layers + 1,) or 'auto', default='auto'
        The strength of the L2 penalty on the weights, at least 0; one for all layers,
        or one for each weight matrix (W1, W2, …). Biases are not penalised. It has
        the scale of ``MLPClassifier``'s ``alpha`` in full batch: it is divided by the
        total training weight m whatever the batch size is. 0 turns it off.

        'auto' is 1.0 unless early stopping sets rows aside and a training on all rows
        follows (``early_stopping_refit``). Then the validation scores choose. Fewer
        than 150 rows: 0.3 or 3.0, since curved classes need little and noisy ones much.
        Both are trained as a stack on the same splits, if the rows are dense and in
        memory, the solver is not 'lbfgs', and the layers are small enough. Otherwise,
        if the best epoch with 1.0 is one of the first 6, and not the last, the rows are
        noisy, and the splits train again for as many epochs with 10.0, or a twentieth
        of fewer than 200 rows: 1.2 to 2 times the time. The larger value is taken
        unless its loss is worse by more than 2 %, with another ``scoring`` if that is
        better. ``lambd_`` has the value. Callbacks and ``verbose`` follow the smaller
        one in the splits, and then the one that is taken.

    keep_prob : float or array-like of shape (n_hidden_layers,), default=1.0
        The probability of keeping a hidden unit in training, above 0 and at most 1;
        one for all hidden layers, or one for each. 1 turns dropout off. It is rounded
        to a multiple of 1/65536, and the kept units are divided by the rounded value.

    standardize : bool, default=True
        Whether ``fit`` trains on standardised columns, (x - mean) / deviation, by the
        weights of its rows, those set aside for validation included. The scale is then
        folded into W1 and b1: ``coefs_`` and all methods are for X in its own units.
        It is the default since columns of other magnitudes are the commonest way for a
        network to fail (LeCun et al. 1998, section 4.3). ``lambd``, ``max_norm`` and
        ``loss_`` are those of standardised columns. Columns of 0 and 1 stay as they
        are; one that is mostly 0 is divided by the root mean square of its other
        values, since by its deviation rare values would become huge. A sparse X keeps
        its means, and columns whose values have a root mean square from 0.01 to 1, such
        as TF-IDF. What goes on from a ``fit``, by
        ``warm_start`` or ``partial_fit``, keeps its scale, whatever this is by then;
        ``partial_fit`` of a new model takes columns as they are.

    input_keep_prob : float, default=1.0
        The probability of keeping an input value in training, above 0 and at most 1.
        A value that is dropped becomes the mean of its column where that was taken off
        (``mean_``), otherwise 0.
        Srivastava et al. (2014) advise 0.8 where ``keep_prob`` is 0.5. Of a sparse X
        the stored values are dropped, with other masks than those of the same X dense.

    max_norm : float or None, default=None
        The largest Euclidean norm of the weights that come into a hidden unit; after
        each step they are scaled back to it (Srivastava et al. 2014, section 5.1).
        None is for no limit. It does not go with 'lbfgs'.

    class_weight : dict, 'balanced', list of dict or None, default=None
        The weight of each class, which multiplies the sample weights. 'balanced' is
        total weight / (number of classes * weight of the class), where
        ``sample_weight`` counts. The loss on validation rows has them too; a scorer
        has not. In multilabel problems 'balanced' or a dict for each
        label; the weights of a row's labels are multiplied. ``partial_fit`` does not
        take 'balanced'.

    solver : {'adam', 'sgd', 'lbfgs'}, default='adam'
        - 'adam': stochastic gradient descent with adaptive moments (Kingma and Ba
          2015);
        - 'sgd': stochastic gradient descent, with momentum;
        - 'lbfgs': a quasi-Newton method on all rows at once, fast and exact on small
          data. It does not go with dropout.

    batch_size : int, 'auto' or 'full', default='auto'
        The rows of a mini-batch, for 'sgd' and 'adam'. 'auto' is n_samples / 50, but
        from 64 to 200; 'full' is all rows. The rows are shared out over
        ⌈n / batch_size⌉ batches whose sizes differ by one at most.

    learning_rate : {'constant', 'invscaling', 'adaptive', 'cosine'}, default='cosine'
        The schedule of the learning rate, for 'sgd' and 'adam'.

        - 'constant': ``learning_rate_init``;
        - 'invscaling': ``learning_rate_init / (t + 1) ** power_t``, where t is the
          number of rows seen before the epoch;
        - 'adaptive': ``learning_rate_init``, divided by 5 each time that training
          would otherwise stop, down to 1e-6;
        - 'cosine': ``learning_rate_init * (1 + cos(pi * epoch / max_iter)) / 2``. It
          runs for all ``max_iter`` epochs unless ``early_stopping`` ends it;
          ``partial_fit``, which knows no last epoch, keeps ``learning_rate_init``.

    learning_rate_init : float, default=0.01
        The learning rate at the start, for 'sgd' and 'adam'.

    power_t : float, default=0.5
        The exponent of 'invscaling'.

    max_iter : int, default=200
        The largest number of epochs of one call of ``fit``; for 'lbfgs', of
        iterations.

    shuffle : bool, default=True
        Whether to shuffle the rows in each epoch, for 'sgd' and 'adam'.

    random_state : int, RandomState instance or None, default=None
        Independent streams spring from it: for the initial weights, the order of the
        rows, the masks of units and those of inputs. Hence ``keep_prob`` changes
        neither the initial weights nor the order of the rows. An int makes each ``fit``
        give the same model, with the same number of BLAS threads and the same kernels;
        others change only the rounding. (By default the length that a fit would have
        with all epochs decides about kernels, see :func:`skreg.compile_kernels`. In the
        main thread ``fit`` gives BLAS one thread for a small network.) None takes fresh
        entropy; numpy's global stream is never touched.

    tol : float, default=1e-4
        An epoch improves if it lowers the loss (with ``early_stopping``, if it raises
        the score on the validation rows) by at least ``tol``. For 'lbfgs', the
        largest component of the gradient at which it has converged.

    verbose : bool or int, default=False
        Whether to print the loss of each epoch, with the loss or the score on
        validation rows and the seconds since the fit began, and the last and the best.

    warm_start : bool, default=False
        Whether ``fit`` goes on from the weights and the optimiser of the call before.
        ``max_iter`` counts for each call.

    momentum : float, default=0.9
        The momentum of 'sgd', from 0 to 1.

    nesterovs_momentum : bool, default=True
        Whether the momentum of 'sgd' is Nesterov's.

    early_stopping : bool or 'auto', default='auto'
        Whether to set rows aside, stop when the score on them has not improved by
        ``tol`` in ``n_iter_no_change`` epochs in a row, and go back to the best epoch.
        The rows are stratified by class, except in multilabel problems; a class with a
        single row stays in training. ``X_val`` and ``y_val`` of ``fit`` replace them.
        'auto' does so for 'sgd' and 'adam' from 40 rows, if a class has two and
        ``validation_fraction`` is above 0; a tenth of fewer rows tells little, and is
        missed in training. With ``X_val`` it always does.

    early_stopping_refit : bool or 'auto', default='auto'
        Whether the network is then trained anew on all rows, those set aside included:
        from the same initial weights, at the same course of the learning rate, for
        half as many epochs again as were best. (The loss on rows set aside rises from
        overconfidence while errors still become fewer.) Up to 6 are not made more: the
        rows are noisy then, and the noise would be learnt. If not, the best epoch's
        weights are restored. 'auto' does so up to 10,000 rows, since of more those set
        aside add little, and after more than one split. It is not done with ``X_val``;
        nor with 'adaptive', whose rate follows the score; nor with ``warm_start``,
        whose next call would judge by rows that it has trained on.

    n_validation_splits : int or 'auto', default='auto'
        How many times early stopping sets other rows aside and trains on the rest. The
        best epoch is that of the mean score; more than one split needs the refit.
        'auto' is the number that gives 300 rows for validation in all, from 1 to 10:
        with fewer rows the best epoch is mostly chance. All splits train at the same
        time; 'auto' takes no more than have 2**18 weights in all, since each costs as
        much as the first, and more gain little where there are many columns.

    scoring : str, callable or None, default='loss'
        The score that early stopping watches: 'loss' is minus the loss on the
        validation rows, without the penalty; otherwise the name of a scorer, a
        callable ``scorer(estimator, X, y)``, or None for :meth:`score`. Where ``fit``
        got weights, the scorer gets those of the validation rows as ``sample_weight``.

    train_scores : bool, default=False
        Whether to compute the same score on the training rows after each epoch, for
        ``train_scores_``. It takes a pass over them.

    validation_fraction : float, default=0.1
        The part of the rows of each class that early stopping sets aside, at least
        one of each class that has two.

    beta_1 : float, default=0.9
        The decay of Adam's first moment, in [0, 1).

    beta_2 : float, default=0.999
        The decay of Adam's second moment, in [0, 1).

    epsilon : float, default=1e-8
        Adam's guard against a division by zero.

    n_iter_no_change : int or 'auto', default='auto'
        After how many epochs in a row without an improvement by ``tol`` training
        stops, or 'adaptive' lowers the learning rate; ``np.inf`` for never. 'auto' is
        10; with rows for validation as many epochs as 50 steps take, of fewer than 150
        rows for training 100 steps, if that is more: ten epochs of few rows are few
        steps.

    averaging : float, default=0.9
        The a of Σ a^age θ / Σ a^age over the weights θ after each epoch, of which the
        newest has age 0 (Polyak and Juditsky 1992; Izmailov et al. 2018). With 'sgd'
        and 'adam' that mean is the network that ``fit`` leaves, and that it scores on
        the way. It evens out the noise of the steps at no cost. 0 takes the last
        epoch's weights alone. ``partial_fit`` does not average.

    max_fun : int, default=15000
        The largest number of evaluations of the loss, for 'lbfgs'.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes; in multilabel problems, the numbers of the labels.

    coefs_ : list of ndarray of shape (n_in, n_out)
        The weights of each layer: W1ᵀ, W2ᵀ, …

    intercepts_ : list of ndarray of shape (n_out,)
        The biases of each layer.

    mean_ : ndarray of shape (`n_features_in_`,) or None
        What was taken off each column in training: its mean, or 0. None if no column
        was scaled.

    scale_ : ndarray of shape (`n_features_in_`,) or None
        What each column was divided by: its standard deviation; the root mean square
        of its values that are not 0, where X is sparse or the column is mostly 0; the
        magnitude of a constant column; or 1. None if no column was scaled. Hence
        ``coefs_[0] * scale_[:, None]`` are the weights of standardised columns.

    loss_ : float
        The loss J of the last epoch, penalty included: the mean over its batches, each
        before its step.

    lambd_ : float or array-like of shape (n_layers - 1,)
        The ``lambd`` that the network was trained with: a number for 'auto'.

    best_loss_ : float or None
        The smallest loss of all epochs; None with early stopping.

    loss_curve_ : list of float
        The loss of each epoch; after ``partial_fit``, of the last ``max_iter`` calls.
        After a refit, of the epochs on all rows.

    validation_scores_ : list of float or None
        With early stopping, the score of the validation rows after each epoch, the
        mean over splits as far as all of them went; for ``scoring='loss'`` minus their
        loss, without the penalty and dropout. Greater is better.

    best_validation_score_ : float or None
        The best of them.

    train_scores_ : list of float or None
        The score of the training rows after each epoch, with ``train_scores=True``;
        after a refit, of the epochs on all rows.

    best_n_iter_ : int
        The best epoch by validation, counted from 1, whose weights the model has if
        there was no refit. Without early stopping the last.

    refit_ : bool
        Whether the network was trained anew on all rows after early stopping
        (``early_stopping_refit``).

    n_iter_ : int
        The number of epochs of the last ``fit``, or of all calls of ``partial_fit``;
        for 'lbfgs', of iterations. After a refit, of that on all rows.

    converged_ : bool
        Whether training ended before ``max_iter`` stopped it, or at the end of
        'cosine'; after a refit, whether that of all splits did.

    t_ : int
        The number of training rows that the solver went through for this model, summed
        over epochs; for 'lbfgs', over evaluations.

    n_layers_ : int
        The number of layers, inputs and outputs included.

    n_outputs_ : int
        The number of output units.

    out_activation_ : {'logistic', 'softmax'}
        The activation of the output layer.

    n_features_in_ : int
        The number of columns of X.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        The names of the columns of X, where all are strings.

    See Also
    --------
    sklearn.neural_network.MLPClassifier : The network that shares these names.
    skreg.functional : The same mathematics, function by function.

    Notes
    -----
    W starts as in ``MLPClassifier``, uniform in ±sqrt(6 / (n_in + n_out)) (2 in place
    of 6 for 'logistic'; Glorot and Bengio 2010, equation 16). Biases start at zero but
    for those of the output layer: ``fit`` starts them at the log-odds of the classes'
    frequencies, so that rare classes need not be learnt step by step.

    Sample weights are divided by their mean. A weight of k is the same as the row k
    times over (exactly in full batch), and a row of weight 0 the same as no row. Since
    their sum is the m that divides ``lambd``, weights that add up to one call for a
    ``lambd`` as much smaller. With one class only in y the model is constant.

    Where early stopping makes several splits and a refit, ``verbose`` prints the epochs
    of the first split and of the refit. For callbacks these are two tasks of the fit.

    References
    ----------
    Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov (2014). Dropout: a
    simple way to prevent neural networks from overfitting. JMLR 15.

    Kingma and Ba (2015). Adam: a method for stochastic optimization. ICLR.

    Gal and Ghahramani (2016). Dropout as a Bayesian approximation. ICML.

    LeCun, Bottou, Orr and Müller (1998). Efficient backprop. Neural Networks: Tricks of
    the Trade.

    Glorot and Bengio (2010). Understanding the difficulty of training deep feedforward
    neural networks. AISTATS.

    Izmailov, Podoprikhin, Garipov, Vetrov and Wilson (2018). Averaging weights leads
    to wider optima and better generalization. UAI.

    Polyak and Juditsky (1992). Acceleration of stochastic approximation by averaging.
    SIAM Journal on Control and Optimization 30.

    Loshchilov and Hutter (2017). SGDR: stochastic gradient descent with warm restarts.
    ICLR.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.model_selection import train_test_split
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skreg import RegularizedMLPClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> X_train, X_test, y_train, y_test = train_test_split(
    ...     X, y, stratify=y, random_state=0
    ... )
    >>> model = make_pipeline(
    ...     StandardScaler(),
    ...     RegularizedMLPClassifier(
    ...         lambd=1.0, keep_prob=0.8, learning_rate="cosine", random_state=0
    ...     ),
    ... )
    >>> round(float(model.fit(X_train, y_train).score(X_test, y_test)), 2)
    0.96
    """

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
    ) -> Self:
        """Minimise J on the rows of X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows. float32 and float64 are computed in their own precision, also in
            tensors and tables, other types in float64. Columns may have any units
            (``standardize``).
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            The classes; or 0 and 1 for each label of a multilabel problem. Classes are
            strings or numbers that are whole. Integers and bools in an object column
            are taken as such; missing labels are an error that names the row.
        sample_weight : array-like of shape (n_samples,), default=None
            The weight of each row, at least 0; None for equal weights.
        X_val : array-like of shape (n_val, n_features), default=None
            Rows for ``early_stopping``, in place of some of those of X. In a pipeline
            they go through the same steps with ``Pipeline(...,
            transform_input=["X_val"])`` and metadata routing.
        y_val : array-like of shape (n_val,) or (n_val, n_labels), default=None
            The classes of these rows.
        sample_weight_val : array-like of shape (n_val,), default=None
            The weights of these rows.

        Returns
        -------
        self : RegularizedMLPClassifier
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter, X, y or a weight is out of range, or if training diverges.
            A model that had been fitted before keeps what it had.
        KeyboardInterrupt
            When it is interrupted. The estimator is then the model of the last complete
            epoch, as if the training had ended there; of several splits for validation
            and the training on all rows, that of the first split. With ``warm_start``
            the next call goes on from its weights, with the optimiser and the random
            streams as they were at the interrupt. If no epoch was complete, or if
            two ``lambd`` train at a time for few rows, the estimator keeps what it had,
            as after any other exception.

        Warns
        -----
        ConvergenceWarning
            If ``max_iter`` ends the training; ``converged_`` is then False.
        FitAdviceWarning
            If columns of X are not scaled, with ``standardize=False``; if weights have
            a mean far from 1, so that ``lambd`` is much stronger or weaker; or if
            parameters of early stopping were set and do nothing. It is a UserWarning.
        RegularizationWarning
            If ``lambd`` is so large for the total weight that nothing is left of the
            network. It is a UserWarning.

        Examples
        --------
        Early stopping on rows of one's own choice:

        >>> from sklearn.datasets import load_iris
        >>> from sklearn.model_selection import train_test_split
        >>> from skreg import RegularizedMLPClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> X_train, X_val, y_train, y_val = train_test_split(X, y, random_state=0)
        >>> model = RegularizedMLPClassifier(
        ...     early_stopping=True, max_iter=1000, random_state=0
        ... ).fit(X_train, y_train, X_val=X_val, y_val=y_val)
        >>> len(model.validation_scores_) == model.n_iter_
        True
        """
        with unchanged_on_error(self):
            before = self._before if self.warm_start else None
            target = None if before is None else self._target
            validation = X_val, y_val, sample_weight_val
            given = given_rows(self, X, y, sample_weight, *validation, target=target)
            rows = given.training
            # A table keeps the names of its columns.
            named = hasattr(self, "feature_names_in_")
            extra = None if sample_weight is None else {"sample_weight": sample_weight}
            data = {"X": X if named else given.X, "y": given.y, "metadata": extra}
            task = Task(self, data)
            (result,) = train([self], rows, given.validation, before, task=task)
            self._keep_fit(result)
        self._end_fit(result, task, rows)
        warn_of_fit(self, rows, given.validation, is_new=before is None)
        return self

    def _keep_fit(self, result: Result) -> None:
        """Write the fitted attributes of a fit."""
        self._keep(result, state=self.warm_start)
        self.n_iter_ = result.n_epochs
        self.loss_curve_ = result.loss_curve
        self.converged_ = result.converged
        self.best_n_iter_, self.best_loss_ = result.best_epoch, None
        if not result.watched:
            self.best_n_iter_ = result.n_epochs
            self.best_loss_ = min(result.loss_curve, default=result.loss)

    def _end_fit(self, result: Result, task: Task, rows: Rows) -> None:
        """Raise an interrupt again; close the task; warn of what went badly."""
        if result.interrupt is not None:
            raise result.interrupt from None
        task.end(reconstruction_attributes={})
        warn_of_result(self, result, rows)

    @available_if_incremental
    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self,
        X: ArrayLike | Sparse,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        classes: ArrayLike | None = None,
    ) -> Self:
        """Make one pass over the rows of X: an epoch of mini-batches.

        The optimiser, the random streams and the counters go on from call to call.
        The m that divides ``lambd`` is the total weight of the call's rows. It is
        available for the solvers 'sgd' and 'adam', without ``early_stopping``.
        Callbacks are not called.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            The classes; or 0 and 1 for each label of a multilabel problem.
        sample_weight : array-like of shape (n_samples,), default=None
            The weight of each row, at least 0; None for equal weights.
        classes : array-like of shape (n_classes,), default=None
            All classes that will ever come; required in the first call.

        Returns
        -------
        self : RegularizedMLPClassifier
            The estimator.

        Raises
        ------
        ValueError
            If a parameter, X, y, a weight or ``classes`` is wrong, or if training
            diverges. The estimator keeps what it had.
        KeyboardInterrupt
            When it is interrupted. The estimator keeps what it had, and the call can be
            made again, unless the pass was complete (``n_iter_`` counts it then).

        Warns
        -----
        FitAdviceWarning
            If weights have a mean far from 1; in the first call, if columns of X are
            not scaled.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skreg import RegularizedMLPClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> model = RegularizedMLPClassifier(random_state=0)
        >>> for rows in (slice(0, 75), slice(75, 150)):
        ...     model = model.partial_fit(X[rows], y[rows], classes=[0, 1, 2])
        >>> model.n_iter_, model.t_
        (2, 150)
        """
        # fit_context leaves out the check once the estimator is fitted.
        self._validate_params()
        if isinstance(self.class_weight, str):
            raise ValueError(
                f"class_weight={self.class_weight!r} is not for partial_fit, where a "
                "call sees a part of the rows. Give a dict of weights, or "
                "sample_weight."
            )
        with unchanged_on_error(self):
            goes_on = hasattr(self, "coefs_")
            n_iter, loss_curve, best_loss = 0, [], math.inf
            if goes_on:
                n_iter, loss_curve = self.n_iter_, self.loss_curve_
                best_loss = math.inf if self.best_loss_ is None else self.best_loss_
            rows, labels = checked_rows(self, X, y, reset=not goes_on)
            target = self._target_of_partial_fit(labels, classes)
            data = training_set(rows, labels, sample_weight, target, self.class_weight)
            (result,) = train([self], data, before=self._before, incremental=True)
            self._keep(result, state=True)
            self.n_iter_ = self.best_n_iter_ = n_iter + result.n_epochs
            # No longer than that of a fit, however many calls there are.
            self.loss_curve_ = [*loss_curve, *result.loss_curve][-self.max_iter :]
            self.best_loss_ = min(best_loss, result.loss)
            self.converged_ = False
        if result.interrupt is not None:
            raise result.interrupt from None
        columns = None if goes_on else columns_text(self, data)
        warn_of_rows(columns, network_weights_text(self, data))
        return self

    @property
    def _target(self) -> Target:
        """What the y of the fitted model means."""
        if self.out_activation_ == "logistic" and self.n_outputs_ > 1:
            return Target("multilabel", self.classes_)
        return target_of_classes(self.classes_)

    def _target_of_partial_fit(self, y: Array, classes: ArrayLike | None) -> Target:
        if hasattr(self, "coefs_") and self._target.kind == "multilabel":
            return self._target
        if not hasattr(self, "coefs_") and y.ndim == 2:
            # The columns of y say how many labels there are.
            return infer_target(y)
        known = getattr(self, "classes_", None)
        if classes is not None:
            classes = plain_labels(classes, "classes")
        if classes is None and known is None:
            raise ValueError(
                "classes must be passed on the first call to partial_fit, and name all "
                "classes that will ever come."
            )
        if known is None:
            # It checks their shape, and may change their dtype.
            unique_labels(classes)
            return infer_target(np.asarray(classes))
        if classes is not None and not np.array_equal(known, unique_labels(classes)):
            raise ValueError(
                f"classes={classes!r} is not the same as on last call to partial_fit, "
                f"was: {known!r}"
            )
        return target_of_classes(known)

    @property
    def _before(self) -> Before | None:
        """The model as it is, for a training that goes on from it, if there is one."""
        if not hasattr(self, "coefs_"):
            return None
        state = getattr(self, "_training_state", None)
        weights = self.coefs_, self.intercepts_
        return Before(*weights, self.t_, state, self._scaling, self.lambd_)

    @property
    def _scaling(self) -> Scaling | None:
        """How the columns were scaled in training, if they were."""
        return None if self.mean_ is None else Scaling(self.mean_, self.scale_)

    def _keep(self, result: Result, *, state: bool) -> None:
        """Write the fitted attributes that fit and partial_fit have in common."""
        self.__dict__.update(result.attributes)
        self.loss_, self.lambd_ = result.loss, result.lambd
        self.t_ = result.samples_seen
        self.validation_scores_ = None
        self.best_validation_score_ = None
        if result.watched:
            self.validation_scores_ = result.validation_scores
            self.best_validation_score_ = result.best_score
        self.train_scores_ = result.train_scores if self.train_scores else None
        self.refit_ = result.refit
        if state:
            self._training_state = result.state
        else:
            self.__dict__.pop("_training_state", None)

    @property
    def _output(self) -> Output:
        return OUTPUTS[self._target.kind]

    def _predicted(self, X: ArrayLike | Sparse, what: Quantity) -> Array:
        rows, layers = self._ready(X)
        activation = ACTIVATIONS[self.activation]
        finish = np.array if what == "logits" else getattr(self._output, what)
        return of_all_rows(rows, layers, activation, lambda work: finish(work.Z).T)

    def _ready(self, X: ArrayLike | Sparse) -> tuple[Any, list[Layer]]:
        """Validated rows, and the layers in their dtype."""
        if not hasattr(self, "coefs_"):
            check_is_fitted(self)
        rows = validated_as_floats(self, X, reset=False)
        return rows, layers_of(self.coefs_, self.intercepts_, rows.dtype)

    # Beyond prediction: uncertainty and explanation.

    def sample_proba(
        self,
        X: ArrayLike | Sparse,
        n_samples: int = 100,
        random_state: int | np.random.RandomState | None = None,
    ) -> Array:
        """Probabilities with dropout on, drawn again and again.

        Monte-Carlo dropout (Gal and Ghahramani 2016): the spread of the samples is a
        measure of the model's uncertainty. The masks follow ``keep_prob`` and
        ``input_keep_prob``, of which one must be below 1.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_rows, n_features)
            The rows.
        n_samples : int, default=100
            The number of draws.
        random_state : int, RandomState instance or None, default=None
            For the masks. An int gives the same samples in each call.

        Returns
        -------
        proba : ndarray of shape (n_samples, n_rows, n_classes)
            The probabilities of each draw, as :meth:`predict_proba` gives them without
            dropout.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted yet.
        TypeError
            If ``n_samples`` is not an integer.
        ValueError
            If ``n_samples`` is below 1, ``random_state`` is not one, or ``keep_prob``,
            which is read at this call, does not fit the layers or, with
            ``input_keep_prob``, drops nothing.

        References
        ----------
        Gal and Ghahramani (2016). Dropout as a Bayesian approximation. ICML.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skreg import RegularizedMLPClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> model = RegularizedMLPClassifier(
        ...     keep_prob=0.8, learning_rate="cosine", max_iter=20, random_state=0
        ... ).fit(X, y)
        >>> samples = model.sample_proba(X[70:72], n_samples=50, random_state=0)
        >>> samples.shape
        (50, 2, 3)
        >>> round(float(samples.std(axis=0).max()), 1)
        0.1
        """
        self._validate_params()
        rows, layers = self._ready(X)
        n_samples = check_scalar(n_samples, "n_samples", Integral, min_val=1)
        hidden_units = tuple(len(layer.b) for layer in layers[:-1])
        keep_probs = keep_prob_by_layer(self.keep_prob, hidden_units)
        if drops_nothing([*keep_probs, self.input_keep_prob]):
            raise ValueError(
                f"keep_prob={self.keep_prob!r} and input_keep_prob="
                f"{self.input_keep_prob!r} drop nothing, so that all samples would be "
                "alike. Fit with a keep_prob such as 0.8, or use predict_proba."
            )
        if self.input_keep_prob < 1 and self.mean_ is not None and self.mean_.any():
            # What is dropped becomes the mean of its column, as in training.
            mean, (W, b) = self.mean_.astype(rows.dtype), layers[0]
            rows = (rows.toarray() if issparse(rows) else rows) - mean
            layers[0] = Layer(W, b + W @ mean[:, np.newaxis])
        streams = random_streams(random_state)
        drop = dropout(self, keep_probs, hidden_units, streams, rows.dtype)
        activation = ACTIVATIONS[self.activation]
        finish = self._output.probabilities
        shape = (n_samples, rows.shape[0], len(self.classes_))
        samples: Array = np.empty(shape, dtype=rows.dtype)
        with np.errstate(all="ignore"):
            for sample in samples:
                for chunk, work in by_chunks(rows, layers, activation, **drop):
                    sample[chunk] = finish(work.Z).T
        return samples

    def input_gradients(self, X: ArrayLike | Sparse, target: Any = None) -> Array:
        """dZ3/dX: the derivative of the logits by the inputs, row by row.

        For explaining a prediction: how each column moves the logits of
        :meth:`decision_function`. At a kink of RELU its derivative is taken as zero.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows.
        target : class or label, default=None
            A member of ``classes_``: only its logit. None is for all of them.

        Returns
        -------
        gradients : ndarray
            Of shape (n_samples, n_features) if there are two classes or a ``target``
            is given, otherwise (n_samples, n_outputs, n_features). With two classes
            the logit is that of ``classes_[1]``, and that of ``classes_[0]`` is its
            negative.

        Raises
        ------
        ValueError
            If ``target`` is not one of ``classes_``, or weights are so large that the
            derivatives overflow.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skreg import RegularizedMLPClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> model = RegularizedMLPClassifier(
        ...     learning_rate="cosine", max_iter=20, random_state=0
        ... ).fit(X, y)
        >>> model.input_gradients(X[:5]).shape
        (5, 3, 4)
        >>> model.input_gradients(X[:5], target=2).shape
        (5, 4)
        """
        rows, layers = self._ready(X)
        sign, outputs = 1, list(range(self.n_outputs_))
        if target is not None:
            codes = [i for i, c in enumerate(self.classes_.tolist()) if c == target]
            if len(codes) != 1:
                raise ValueError(
                    f"target={target!r} is not one of the classes {self.classes_}: "
                    "give one of them, or None for all."
                )
            outputs = codes
            if self._target.kind == "binary":
                sign, outputs = 2 * codes[0] - 1, [0]
        activation = ACTIVATIONS[self.activation]

        def finish(workspace: Workspace) -> Array:
            return input_gradients(layers, activation, workspace, outputs).T

        gradients = of_all_rows(rows, layers, activation, finish).swapaxes(1, 2)
        if not np.isfinite(gradients).all():
            largest = max(np.abs(W).max() for W in self.coefs_)
            raise ValueError(
                f"The input gradients overflow {gradients.dtype}: the largest weight "
                f"is {largest:.3g}. Fit again with X scaled so that its columns have a "
                "spread of about one."
            )
        return sign * gradients[:, 0] if len(outputs) == 1 else gradients

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.input_tags.sparse = True
        return tags
