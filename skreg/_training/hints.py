"""What parameters are called elsewhere, for the errors of unknown ones."""

import re
from collections.abc import Callable
from difflib import get_close_matches
from functools import wraps
from inspect import signature
from typing import Any, ClassVar, Self

# Names here, of which an estimator has one or none; names of the same thing in
# scikit-learn, Keras, PyTorch, skorch and XGBoost; and how one becomes the other, where
# {} is the name that was given.
_TABLE = [
    (
        "hidden_layer_sizes",
        "hidden_dim hidden_dims hidden_layers hidden_size hidden_sizes hidden_units "
        "layer_sizes layers n_hidden n_units neurons num_hidden units",
        "(100, 50) is two hidden layers, of 100 and of 50 units",
    ),
    (
        "lambd lambds",
        "alpha alphas",
        "lambd is {} * the number of batches in an epoch, {} itself in full batch",
    ),
    ("lambd lambds", "weight_decay wd", "lambd is {} * the number of training rows"),
    ("lambd lambds", "C Cs", "lambd is 1 / {}"),
    (
        "lambd lambds",
        "kernel_regularizer l2 l2_reg l2_regularization lambda lambda_l2 lamda penalty "
        "reg_lambda regularisation regularization",
        "the cost has lambd / (2 m) * the sum of the squared weights, of m rows",
    ),
    (
        "keep_prob keep_probs",
        "drop_prob drop_rate dropout dropout_p dropout_prob dropout_rate dropouts "
        "p p_dropout",
        "keep_prob is 1 - {}",
    ),
    ("input_keep_prob", "input_dropout", "input_keep_prob is 1 - {}"),
    ("max_norm", "kernel_constraint", ""),
    ("class_weight", "scale_pos_weight", "a dict with the weight of each class"),
    ("solver", "opt optim optimiser optimizer", ""),
    ("activation", "act activation_fn activation_function nonlinearity", ""),
    ("batch_size", "bs minibatch_size train_batch_size", ""),
    (
        "learning_rate",
        "learning_rate_schedule lr_schedule lr_scheduler scheduler",
        "'constant', 'invscaling', 'adaptive' or 'cosine'",
    ),
    ("learning_rate_init", "base_lr eta eta0 initial_lr lr lr_init", ""),
    (
        "max_iter",
        "epoch epochs max_epochs n_epoch n_epochs n_iter nb_epoch num_epochs",
        "the largest number of epochs",
    ),
    (
        "n_iter_no_change",
        "early_stopping_patience early_stopping_rounds patience",
        "the epochs without an improvement that end early stopping",
    ),
    ("tol", "min_delta tolerance", ""),
    ("beta_1", "betas", "beta_1 and beta_2 are the two {}"),
    ("epsilon", "adam_epsilon eps", ""),
    ("nesterovs_momentum", "nesterov", ""),
    ("random_state", "manual_seed random_seed rng seed", ""),
    ("verbose", "verbosity", ""),
    ("validation_fraction", "val_size val_split validation_split", ""),
    (
        "early_stopping_scoring scoring",
        "eval_metric metric metrics monitor",
        "what early stopping watches",
    ),
    (
        "X_val",
        "eval_set valid_data valid_set validation_data validation_set X_valid",
        "X_val, y_val and sample_weight_val are rows for early stopping",
    ),
    ("n_refits n_estimators", "ensemble_size n_estimators n_members n_models", ""),
    ("estimator", "base_estimator base_model", ""),
    ("lambds", "param_grid", "lambds and keep_probs are the grid"),
    ("cv", "folds n_folds n_splits", ""),
    ("n_jobs", "n_threads n_workers nthread num_threads num_workers", ""),
    ("", "callback callbacks", "set_callbacks takes those of scikit-learn, from 1.9"),
    ("", "criterion loss loss_fn", "The loss is the cross-entropy"),
    ("", "cuda device gpu use_gpu", "It runs on processors alone"),
]


def _plain(name: str) -> str:
    """Without what styles differ in, and without skorch's ``optimizer__``."""
    return re.sub("[^a-z0-9]", "", name.rpartition("__")[2].lower())


_MEANT = {
    _plain(name): (ours.split(), note)
    for ours, theirs, note in _TABLE
    for name in theirs.split()
}

# How alike a name must be to one that there is: loss_weights is not class_weight.
_ALIKE = 0.85


def hint(name: str, estimator: "Hints", own: str = "{}") -> str:
    """What to say after the error of an unknown name: nothing if none is like it.

    ``own`` is how to show a parameter of the estimator.
    """
    places = {each: own.format(each) for each in signature(type(estimator)).parameters}
    places = estimator._elsewhere | places
    ours, note = _MEANT.get(_plain(name), ([], ""))
    note = note.replace("{}", name)
    if note and not ours:
        return f" {note}."
    for each in ours:
        if each in places:
            return f" Use {places[each]}{note and ': '}{note}."
    plain = {_plain(each): place for each, place in places.items()}
    close = get_close_matches(_plain(name), plain, 1, _ALIKE)
    return f" Did you mean {plain[close[0]]}?" if close else ""


def with_hints(init: Callable[..., None]) -> Callable[..., None]:
    """An ``__init__`` whose error of an unknown parameter says what is meant."""
    taken = signature(init).parameters

    @wraps(init)
    def checked(self: Any, *args: Any, **kwargs: Any) -> None:
        for name in kwargs:
            if name not in taken:
                raise TypeError(
                    f"{init.__qualname__}() got an unexpected keyword argument "
                    f"{name!r}.{hint(name, self)}"
                )
        init(self, *args, **kwargs)

    return checked


class Hints:
    """scikit-learn's error of an unknown parameter says what is meant."""

    # What goes elsewhere than into ``__init__``, and how.
    _elsewhere: ClassVar[dict[str, str]] = {
        name: f"fit(X, y, {name}=...)"
        for name in ("sample_weight", "X_val", "y_val", "sample_weight_val")
    }

    def set_params(self, **params: Any) -> Self:
        """Set parameters of this estimator, and of estimators in it.

        Parameters
        ----------
        **params : dict
            The parameters by name; ``<component>__<parameter>`` for those of an
            estimator that is a parameter.

        Returns
        -------
        self : estimator instance
            This estimator.

        Raises
        ------
        ValueError
            If this estimator has no such parameter. Nothing is set then.

        Examples
        --------
        >>> from skreg import RegularizedMLPClassifier
        >>> RegularizedMLPClassifier().set_params(lambd=0.5).lambd
        0.5
        """
        own: dict[str, Any] = super().get_params(deep=False)  # type: ignore[misc]
        for name in params:
            outer, _, inner = name.partition("__")
            holder = {**own, **params}.get(outer)
            if outer not in own or (inner and not hasattr(holder, "set_params")):
                raise ValueError(
                    f"Invalid parameter {name!r} for estimator {self}. Valid "
                    f"parameters are: {sorted(own)!r}.{hint(name, self)}"
                )
        super().set_params(**params)  # type: ignore[misc]
        return self
