"""To scikit-learn's ``MLPClassifier`` and back: parameters, weights and optimiser.

The optimiser, the label binariser and the counts of ``MLPClassifier`` have no public
form. If they change, ``_blank`` and what is below it in this file have all their names.
"""

from __future__ import annotations

import copy
import math
from typing import Any, Self, TypeVar

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.neural_network import MLPClassifier
from sklearn.utils.validation import check_is_fitted

from skreg._network import Array
from skreg._network.theta import Layout
from skreg._training.early_stopping import epochs_without_change, stops_early_for_sure
from skreg._training.settings import (
    Settings,
    hidden_layers,
    keep_prob_by_layer,
    lambd_by_layer,
    lambd_of,
    random_streams,
    rows_of_batch,
)

Model = TypeVar("Model")

# What MLPClassifier has, for the hidden layers and for training.
_THEIR_ACTIVATIONS = {"identity", "logistic", "tanh", "relu"}
_THEIR_SOLVERS = {"lbfgs", "sgd", "adam"}

# The values of ``scoring`` that watch what theirs does.
_ACCURACY = ("accuracy", None)

# Their batch_size='auto' is so many rows, or all if there are fewer.
_THEIR_AUTO = 200

# Both have these fitted attributes, with the same meaning.
_IN_COMMON = ("loss_", "n_iter_", "t_")


class Exchange:
    """To ``MLPClassifier`` and back."""

    def to_sklearn(self) -> MLPClassifier:
        """Make a fitted ``MLPClassifier`` that predicts the same.

        For tools that know only that. It has the same weights, the fitted attributes
        that both have, and the optimiser's state if there is one (after
        ``partial_fit``, and with ``warm_start``), so that its ``partial_fit`` goes on.
        ``alpha`` is the one whose penalty is the same,

            alpha = ``lambd_`` / k, k = ⌈n / batch_size⌉ batches of an epoch of n rows,

        since ``MLPClassifier`` divides by the rows of the batch; of ``lambd`` by layer
        it is the one that costs the same with these weights. What it has not is left
        out: dropout, ``max_norm``, ``class_weight``, ``averaging``, 'cosine' (which
        becomes 'constant'), ``early_stopping='auto'`` (which becomes False) and
        ``n_iter_no_change='auto'`` (which becomes 10). Its
        weights are for X in its own units, where those of a model with ``scale_`` were
        penalised for standardised columns: no ``alpha`` has that meaning, and the
        optimiser's state, which is of that network, is left out too.

        Returns
        -------
        mlp : sklearn.neural_network.MLPClassifier
            Its probabilities agree to rounding, that of float32 if X is: this model
            computes in the dtype of X, ``mlp`` in float64 where X or the weights are.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted yet.
        ValueError
            If ``MLPClassifier`` lacks the activation or the solver, or if there is one
            class only, for which it has two columns of probabilities.

        See Also
        --------
        from_sklearn : The way back.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skreg import RegularizedMLPClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> model = RegularizedMLPClassifier(max_iter=20, random_state=0).fit(X, y)
        >>> mlp = model.to_sklearn()
        >>> mlp
        MLPClassifier(...)
        >>> bool(abs(mlp.predict_proba(X) - model.predict_proba(X)).max() < 1e-12)
        True
        """
        return _to_sklearn(self)

    @classmethod
    def from_sklearn(cls, mlp: MLPClassifier, **parameters: Any) -> Self:
        """Make a fitted model of a fitted ``MLPClassifier``, to go on training.

        It predicts the same. ``partial_fit``, and ``fit`` with ``warm_start=True``, go
        on from its weights and the state of its optimiser; ``fit`` without begins anew.
        Parameters have their meaning of there:

        - ``lambd = alpha k``, where k = ⌈n / batch_size⌉ is the number of batches of an
          epoch of the n rows that ``mlp`` was trained on (1 for 'lbfgs').
          ``MLPClassifier`` divides the penalty by the rows of the batch, and so this is
          the mean over an epoch. In full batch ``lambd`` is ``alpha``;
        - ``batch_size='auto'`` is 200;
        - ``learning_rate`` is 'constant' unless the solver is 'sgd';
        - ``early_stopping`` watches the accuracy, and there is no training on all rows
          after it; ``averaging`` is 0, and ``standardize`` False.

        Parameters
        ----------
        mlp : sklearn.neural_network.MLPClassifier
            The fitted network, with one hidden layer or more. It is not changed.
        **parameters : dict
            Parameters of this class that take the place of those, as in
            ``keep_prob=0.8, warm_start=True``.

        Returns
        -------
        model : RegularizedMLPClassifier
            The fitted model. What ``MLPClassifier`` does not note stays empty, as the
            ``loss_curve_`` of 'lbfgs'.

        Raises
        ------
        TypeError
            If ``mlp`` is not an ``MLPClassifier``.
        NotFittedError
            If it is not fitted.
        ValueError
            If it has no hidden layer or one class only, or if a parameter is unknown,
            out of range, or that of another network: the activation and the layers
            are those of ``mlp``.

        See Also
        --------
        to_sklearn : The way back.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from sklearn.neural_network import MLPClassifier
        >>> from skreg import RegularizedMLPClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> mlp = MLPClassifier(max_iter=1000, random_state=0).fit(X, y)
        >>> model = RegularizedMLPClassifier.from_sklearn(
        ...     mlp, keep_prob=0.8, warm_start=True, max_iter=20, learning_rate="cosine"
        ... )
        >>> (model.predict(X) == mlp.predict(X)).all()
        np.True_
        >>> model.fit(X, y).t_ - mlp.t_ == 20 * len(X)
        True
        """
        return _from_sklearn(cls, mlp, parameters)


def _to_sklearn(model: Any) -> MLPClassifier:
    """A fitted ``MLPClassifier`` with the weights of the model."""
    parameters: Settings = model
    check_is_fitted(model)
    if parameters.activation not in _THEIR_ACTIVATIONS:
        raise ValueError(
            f"activation={parameters.activation!r}: MLPClassifier has only "
            f"{sorted(_THEIR_ACTIVATIONS)}. skreg.onnx exports the others, if they are "
            "ONNX operators."
        )
    if parameters.solver not in _THEIR_SOLVERS:
        raise ValueError(
            f"solver={parameters.solver!r}: MLPClassifier has only "
            f"{sorted(_THEIR_SOLVERS)}. If it is to predict, and not to train on, set "
            "one of them before: model.set_params(solver='adam')."
        )
    _check_classes(model.classes_, type(model).__name__)
    settings = _their_settings(model)
    theirs = _blank(model, settings)
    theirs.coefs_, theirs.intercepts_ = _copied(model)
    theirs._best_coefs, theirs._best_intercepts = _copied(model)
    # Theirs would be sorted anew, with a dtype of its own.
    theirs.classes_ = theirs._label_binarizer.classes_ = model.classes_.copy()
    for name in _IN_COMMON:
        setattr(theirs, name, getattr(model, name))
    theirs.loss_curve_ = list(model.loss_curve_)
    # For the way back: our t_ has the rows of more epochs than the curve has losses of.
    # A plain tuple, so that who loads theirs needs nothing of ours.
    n_losses, n_rows = len(theirs.loss_curve_), _rows_of_epoch(model)
    theirs._rows_of_ours = theirs.loss_curve_, n_losses, model.t_, n_rows
    if hasattr(model, "feature_names_in_"):
        theirs.feature_names_in_ = model.feature_names_in_.copy()
    if settings["early_stopping"]:
        theirs.best_loss_ = None
        theirs.validation_scores_, theirs.best_validation_score_ = [], -math.inf
        # Theirs are accuracies; other scores would be compared with them.
        if parameters.scoring in _ACCURACY and model.validation_scores_ is not None:
            theirs.validation_scores_ = list(model.validation_scores_)
            theirs.best_validation_score_ = model.best_validation_score_
    else:
        theirs.best_loss_ = min(model.loss_curve_, default=model.loss_)
    _give_optimizer(theirs, model)
    return theirs


def _from_sklearn(cls: type[Model], mlp: Any, parameters: dict[str, Any]) -> Model:
    """A fitted model of the class with the weights of a fitted ``MLPClassifier``."""
    if not isinstance(mlp, MLPClassifier):
        raise TypeError(
            f"mlp={mlp!r} is of the type {type(mlp).__name__}: give a fitted "
            "sklearn.neural_network.MLPClassifier. Of a pipeline or a search take the "
            "classifier that is in it."
        )
    # Interrupted in its first epoch, it has weights, but no loss.
    if not hasattr(mlp, "loss_"):
        raise NotFittedError(
            f"mlp={mlp!r} has no weights to take over. Fit it first, or make a "
            "RegularizedMLPClassifier with the parameters that you want."
        )
    if len(mlp.coefs_) == 1:
        raise ValueError(
            f"hidden_layer_sizes={mlp.hidden_layer_sizes!r}: mlp has no hidden layer, "
            "but RegularizedMLPClassifier needs at least one. Without one it is a "
            "logistic regression: use sklearn.linear_model.LogisticRegression."
        )
    _check_classes(mlp.classes_, "MLPClassifier")
    ours = set(cls._get_param_names())  # type: ignore[attr-defined]
    settings = _our_settings(mlp, parameters.get("solver", mlp.solver))
    model: Any = cls(**{name: settings[name] for name in settings.keys() & ours})
    model.set_params(**parameters)._validate_params()
    _check_same_network(model, settings, parameters)
    for name in (*_IN_COMMON, "n_features_in_", "n_layers_", "n_outputs_"):
        setattr(model, name, getattr(mlp, name))
    model.coefs_, model.intercepts_ = _copied(mlp)
    model.lambd_ = lambd_of(model)
    model.classes_ = np.array(mlp.classes_)
    model.out_activation_ = mlp.out_activation_
    model.mean_ = model.scale_ = None
    if hasattr(mlp, "feature_names_in_"):
        model.feature_names_in_ = mlp.feature_names_in_.copy()
    _take_history(model, mlp)
    if hasattr(mlp, "_optimizer"):
        model._training_state = _state_of_optimizer(mlp, model)
    fitted: Model = model
    return fitted


def _take_history(model: Any, mlp: MLPClassifier) -> None:
    """How the training went, as far as theirs notes it."""
    model.loss_ = float(mlp.loss_)
    model.loss_curve_ = [float(loss) for loss in getattr(mlp, "loss_curve_", [])]
    if not mlp.warm_start:
        # Theirs stays 1 however often partial_fit is called.
        model.n_iter_ = max(mlp.n_iter_, len(model.loss_curve_))
    model.train_scores_, model.refit_ = None, False
    scores = getattr(mlp, "validation_scores_", None)
    if scores and model.scoring in _ACCURACY:
        model.best_loss_ = None
        model.validation_scores_ = [float(score) for score in scores]
        model.best_validation_score_ = float(mlp.best_validation_score_)
        model.best_n_iter_ = int(np.argmax(scores)) + 1
    else:
        model.best_loss_ = min(model.loss_curve_, default=model.loss_)
        model.validation_scores_ = model.best_validation_score_ = None
        model.best_n_iter_ = model.n_iter_
    if mlp.solver == "lbfgs":
        model.converged_ = bool(mlp.n_iter_ < mlp.max_iter)
    else:
        # A count that is not begun anew has ended the training.
        model.converged_ = _no_improvement_count(mlp) > mlp.n_iter_no_change


def _check_same_network(
    model: Settings, settings: dict[str, Any], parameters: dict[str, Any]
) -> None:
    """The parameters must be those of the network that the weights are of."""
    found = {
        "activation": model.activation,
        "hidden_layer_sizes": hidden_layers(model.hidden_layer_sizes),
    }
    for name in found.keys() & parameters.keys():
        if found[name] != settings[name]:
            raise ValueError(
                f"{name}={parameters[name]!r}: the weights of mlp are those of a "
                f"network with {name}={settings[name]!r}. Leave {name} out."
            )
    lambd_by_layer(lambd_of(model), len(settings["hidden_layer_sizes"]) + 1)
    keep_prob_by_layer(model.keep_prob, settings["hidden_layer_sizes"])


def _check_classes(classes: Array, owner: str) -> None:
    if len(classes) == 1:
        raise ValueError(
            f"The {owner} was fitted to one class, {classes.item()!r}. MLPClassifier "
            "has two columns of probabilities then, RegularizedMLPClassifier one: fit "
            "to rows of two classes or more, or use sklearn.dummy.DummyClassifier."
        )


def _copied(network: Any) -> tuple[list[Array], list[Array]]:
    return [W.copy() for W in network.coefs_], [b.copy() for b in network.intercepts_]


# Parameters. The penalty is lambd/(2m) Σ W² here. There it is alpha/(2 n_b) Σ W² in a
# batch of n_b rows: its mean over the rows of an epoch of k batches, which is in their
# loss_, is alpha k/(2m) Σ W².


def _n_batches(n_rows: float, batch_size: float) -> int:
    return max(1, math.ceil(n_rows / batch_size))


def _our_settings(mlp: Any, solver: str) -> dict[str, Any]:
    """Parameters for ours that mean what those of the ``MLPClassifier`` do."""
    batch_size = _THEIR_AUTO if mlp.batch_size == "auto" else mlp.batch_size
    n_batches = _n_batches(_rows_of_their_epoch(mlp), batch_size)
    stops_early = bool(mlp.early_stopping) and solver != "lbfgs"
    return {
        **clone(mlp).get_params(),
        "hidden_layer_sizes": tuple(len(b) for b in mlp.intercepts_[:-1]),
        "lambd": mlp.alpha * n_batches,
        "batch_size": batch_size,
        # Schedules are for 'sgd' alone there, and early stopping not for 'lbfgs'. It
        # watches the accuracy, and the rows set aside stay so.
        "learning_rate": mlp.learning_rate if solver == "sgd" else "constant",
        "early_stopping": stops_early,
        "early_stopping_refit": False,
        "n_validation_splits": 1,
        "scoring": "accuracy" if stops_early else "loss",
        "averaging": 0.0,
        "standardize": False,
    }


def _their_settings(model: Any) -> dict[str, Any]:
    """Parameters for theirs that mean what the model's do, as far as there are any."""
    parameters: Settings = model
    ours = clone(model).get_params(deep=False)
    settings = {k: ours[k] for k in MLPClassifier._get_param_names() if k in ours}
    lambds = lambd_by_layer(model.lambd_, len(model.coefs_))
    lambd = lambds[0]
    if len(set(lambds)) > 1:
        # The one that costs the same with these weights.
        largest = max(np.abs(W).max() for W in model.coefs_) or 1.0
        squares = [float(np.square(W / largest).sum()) for W in model.coefs_]
        lambd = float(np.average(lambds, weights=squares if any(squares) else None))
    n_rows = _rows_of_epoch(model)
    n_batches, batch_size = 1, parameters.batch_size
    if n_rows:
        batch_size = rows_of_batch(model, n_rows)
        n_batches = _n_batches(n_rows, batch_size)
    elif isinstance(batch_size, str):
        batch_size = "auto"
    schedule = parameters.learning_rate
    return {
        **settings,
        "hidden_layer_sizes": tuple(len(b) for b in model.intercepts_[:-1]),
        "alpha": lambd / n_batches,
        "batch_size": batch_size,
        "learning_rate": "constant" if schedule == "cosine" else schedule,
        "n_iter_no_change": epochs_without_change(parameters),
        "early_stopping": stops_early_for_sure(model),
    }


def _rows_of_epoch(model: Any) -> int:
    """The rows that the model was trained on; 0 if it has not seen an epoch of them.

    L-BFGS has no batches, and sees the rows with each evaluation of the loss: 0 too.
    """
    parameters: Settings = model
    if parameters.solver == "lbfgs":
        return 0
    state = getattr(model, "_training_state", None)
    if state is not None:
        return int(state["n_rows"])
    return int(model.t_ // model.n_iter_) if model.n_iter_ else 0


def _rows_of_their_epoch(mlp: Any) -> float:
    """The rows that theirs was trained on; 0 where it does not tell, as with L-BFGS."""
    loss_curve = getattr(mlp, "loss_curve_", [])
    known, n_losses, t, n_rows = getattr(mlp, "_rows_of_ours", (None, 0, 0, 0))
    # A fit anew makes another list; what goes on appends to it.
    if known is not loss_curve:
        n_losses = t = n_rows = 0
    n_new = len(loss_curve) - n_losses
    return (mlp.t_ - t) / n_new if n_new else n_rows


# What goes on where training stopped.


def _blank(model: Any, settings: dict[str, Any]) -> MLPClassifier:
    """Theirs, fitted to a row of zeros: with all that its version has in private."""
    quiet = {
        "solver": "adam" if settings["solver"] == "adam" else "sgd",
        "batch_size": 1,
        "early_stopping": False,
        "random_state": 0,
        "verbose": False,
        "warm_start": False,
        # With extreme ones even a step from a row of zeros overflows.
        "learning_rate_init": 0.001,
        "epsilon": 1e-8,
        "power_t": 0.5,
    }
    theirs = MLPClassifier(**{**settings, **quiet})
    X = np.zeros((1, model.n_features_in_), model.coefs_[0].dtype)
    y, classes = model.classes_[:1], model.classes_
    if model.out_activation_ == "logistic" and model.n_outputs_ > 1:
        y = np.zeros((1, len(classes)), dtype=int)
    theirs.partial_fit(X, y, classes=classes)
    theirs.set_params(**settings)
    return theirs


def _give_optimizer(theirs: Any, model: Any) -> None:
    """The moments of the model's optimiser, or none: partial_fit makes a new one."""
    parameters: Settings = model
    state = getattr(model, "_training_state", None)
    if model.mean_ is not None or not state or state["solver"] != parameters.solver:
        del theirs._optimizer
        return
    optimizer = theirs._optimizer
    optimizer.learning_rate = optimizer.learning_rate_init = theirs.learning_rate_init
    moments = [_parts(moment, theirs) for moment in state["moments"]]
    if parameters.solver == "sgd":
        (optimizer.velocities,) = moments
        optimizer.power_t = theirs.power_t
        optimizer.learning_rate *= state["rate_fraction"]
        with np.errstate(over="ignore"):
            # The power of a number of Python's would raise if it overflows.
            optimizer.iteration_ends(np.float64(model.t_))
        optimizer.learning_rate = float(optimizer.learning_rate)
    else:
        # Ours are without their factors 1 - β.
        optimizer.ms, optimizer.vs = (
            [(1 - beta) * part for part in parts]
            for beta, parts in zip(state["betas"], moments, strict=True)
        )
        optimizer.t, optimizer.epsilon = state["n_steps"], theirs.epsilon


def _state_of_optimizer(mlp: Any, model: Any) -> dict[str, Any]:
    """The ``_training_state`` with which ours goes on where theirs stopped."""
    optimizer, rate_fraction, n_steps = mlp._optimizer, 1.0, 0
    if hasattr(optimizer, "velocities"):
        solver, betas = "sgd", (mlp.beta_1, mlp.beta_2)
        moments = [np.concatenate(optimizer.velocities, axis=None)]
        if optimizer.lr_schedule == "adaptive":
            rate_fraction = optimizer.learning_rate / optimizer.learning_rate_init
    else:
        solver, n_steps = "adam", optimizer.t
        betas = (optimizer.beta_1, optimizer.beta_2)
        moments = [
            np.concatenate(parts, axis=None) / (1 - beta)
            for beta, parts in zip(betas, (optimizer.ms, optimizer.vs), strict=True)
        ]
    streams = random_streams(copy.deepcopy(model.random_state), model.t_)
    return {
        "solver": solver,
        "n_steps": n_steps,
        "moments": moments,
        "betas": betas,
        "rate_fraction": rate_fraction,
        "plateau": (-min(model.loss_curve_), _no_improvement_count(mlp)),
        "streams": streams.state(),
        "n_rows": round(_rows_of_their_epoch(mlp)),
    }


def _no_improvement_count(mlp: Any) -> int:
    return int(getattr(mlp, "_no_improvement_count", 0))


def _parts(theta: Array, network: Any) -> list[Array]:
    """A vector like θ as theirs keeps it: an array for each weight matrix and bias."""
    units = (network.n_features_in_, *(len(b) for b in network.intercepts_))
    layers = Layout(units).layers(theta)
    return [W.T.copy() for W, _ in layers] + [b[:, 0].copy() for _, b in layers]
