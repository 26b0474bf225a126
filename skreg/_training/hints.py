"""What parameters and values are called elsewhere, for the errors of unknown ones."""

import re
from collections.abc import Callable, Collection, Iterator, Set
from difflib import get_close_matches
from functools import wraps
from inspect import signature
from numbers import Real
from typing import Any, Self

from skreg._training.constraints import StrOptions

# Names here, of which an estimator has one or none; names of the same thing in
# scikit-learn, Keras, PyTorch, skorch, fastai, XGBoost and LightGBM; and how one
# becomes the other. {} is the name that was given.
_TABLE = [
    (
        "hidden_layer_sizes",
        "hidden hidden_dim hidden_dims hidden_layer_size hidden_layers hidden_size "
        "hidden_sizes hidden_units layer_sizes layers n_hidden n_neurons n_units "
        "neurons num_hidden num_units units",
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
        "kernel_regularizer l2 l2_reg l2_regularization lambda lambda_l2 penalty "
        "reg_lambda regularization",
        "the cost has lambd / (2 m) * the sum of the squared weights, of m rows",
    ),
    (
        "keep_prob keep_probs",
        "drop_prob drop_rate dropout dropout_p dropout_prob dropout_rate dropouts "
        "hidden_dropout p p_dropout ps",
        "keep_prob is 1 - {}",
    ),
    (
        "input_keep_prob",
        "input_dropout input_dropout_rate visible_dropout",
        "input_keep_prob is 1 - {}",
    ),
    (
        "max_norm",
        "clipnorm clipvalue grad_clip gradient_clip_val kernel_constraint "
        "max_grad_norm",
        "it bounds the weights of a unit; gradients are not clipped",
    ),
    (
        "class_weight",
        "class_weights is_unbalance pos_weight scale_pos_weight",
        "'balanced', or a dict with the weight of each class",
    ),
    ("solver", "algorithm opt opt_func optim optimiser optimizer", ""),
    ("adam", "adadelta adagrad adamax nadam rmsprop", "the nearest that there is"),
    ("adam", "adamw", "lambd is in the gradient, unlike the decay of AdamW"),
    ("sgd", "asgd gd gradient_descent momentum nesterov", ""),
    ("lbfgs", "bfgs l-bfgs-b newton newton-cg", ""),
    (
        "activation",
        "act act_cls act_fn activation_fn activation_function hidden_activation "
        "nonlinearity",
        "",
    ),
    ("logistic", "sigmoid", ""),
    ("identity", "linear none", ""),
    ("relu", "elu gelu leaky_relu selu silu swish", "the nearest that there is"),
    ("batch_size", "bs minibatch_size train_batch_size", ""),
    (
        "learning_rate",
        "learning_rate_schedule lr_policy lr_schedule lr_scheduler schedule scheduler",
        "'constant', 'invscaling', 'adaptive' or 'cosine'",
    ),
    ("cosine", "cosine_annealing cosine_annealing_lr cosine_decay one_cycle", ""),
    ("adaptive", "plateau reduce_lr_on_plateau reduce_on_plateau", ""),
    (
        "learning_rate_init",
        "base_lr eta eta0 initial_lr lr lr_init lr_max step_size",
        "",
    ),
    (
        "max_iter",
        "epoch epochs iterations max_epochs n_epoch n_epochs n_iter n_iterations "
        "nb_epoch nb_epochs num_boost_round num_epochs num_iterations n_rounds",
        "the largest number of epochs",
    ),
    (
        "n_iter_no_change",
        "early_stopping_patience early_stopping_rounds patience stopping_rounds",
        "with early_stopping=True, the epochs without an improvement",
    ),
    ("tol", "min_delta min_improvement tolerance", ""),
    ("averaging", "ema ema_decay ema_momentum swa use_ema", ""),
    ("beta_1", "betas", "beta_1 and beta_2 are the two {}"),
    ("epsilon", "adam_epsilon eps", ""),
    ("nesterovs_momentum", "nesterov use_nesterov", ""),
    ("random_state", "manual_seed random_seed rng seed", ""),
    ("verbose", "quiet silent verbosity", ""),
    (
        "validation_fraction",
        "test_size train_split val_size val_split valid_pct validation_size "
        "validation_split",
        "with early_stopping=True",
    ),
    (
        "early_stopping_scoring scoring",
        "eval_metric metric metrics monitor",
        "with early_stopping=True, what it watches",
    ),
    (
        "X_val",
        "eval_data eval_set valid_data valid_set validation_data validation_set "
        "X_valid X_validation",
        "X_val, y_val and sample_weight_val are rows for early stopping",
    ),
    ("y_val", "y_valid y_validation", ""),
    (
        "sample_weight_val",
        "eval_sample_weight sample_weight_eval_set sample_weight_valid",
        "",
    ),
    ("sample_weight", "sample_weights weight weights", ""),
    ("n_refits n_estimators", "ensemble_size n_members n_models n_networks", ""),
    ("estimator", "base_estimator base_model", ""),
    (
        "lambds",
        "estimator grid param_distributions param_grid",
        "lambds and keep_probs are tried, of networks with the other parameters",
    ),
    ("cv", "folds kfold n_folds n_splits nfold", ""),
    ("n_jobs", "n_threads n_workers nthread num_threads num_workers thread_count", ""),
    ("", "callback callbacks", "set_callbacks takes those of scikit-learn, from 1.9"),
    ("", "loss criterion loss_fn loss_func objective", "The loss is the cross-entropy"),
    ("", "accelerator cuda device gpu gpus use_gpu", "It runs on processors alone"),
    ("", "l1 l1_ratio lambda_l1 reg_alpha", "There is an L2 penalty, lambd, and no L1"),
    (
        "",
        "batch_norm batch_normalization use_bn",
        "There is no batch normalisation",
    ),
    (
        "",
        "init init_method initializer kernel_initializer weight_init",
        "The initial weights are those of Glorot and Bengio",
    ),
    (
        "",
        "input_dim input_shape input_size n_classes n_features n_inputs n_outputs "
        "num_class num_classes output_dim",
        "X and y say how many inputs, classes and outputs there are",
    ),
    (
        "",
        "final_activation last_activation output_activation",
        "y says whether the output is a sigmoid or a softmax",
    ),
    (
        "",
        "load_best restore_best_weights",
        "Early stopping always goes back to the best epoch",
    ),
]

# What to say of a number that a parameter does not take.
_NUMBERS = {
    "early_stopping": " The epochs without an improvement are n_iter_no_change.",
    "keep_prob": " It is 1 - dropout: 1 drops nothing, 0.8 one unit in five.",
    "learning_rate": " The number is learning_rate_init, this its schedule.",
}

# How alike names must be to be taken for each other.
_ALIKE = 0.75

# The parameters of the public estimators, the network's first.
PUBLIC: dict[str, Collection[str]] = {}


def _plain(name: str) -> str:
    """Without what styles differ in, and without skorch's ``optimizer__``."""
    return re.sub("[^a-z0-9]", "", name.rpartition("__")[2].lower())


def _rows() -> Iterator[tuple[str, list[str], str]]:
    """A plain name, what it may be here, and the note."""
    for ours, theirs, note in _TABLE:
        for name in ours.split():
            yield _plain(name), ours.split(), ""
        for name in theirs.split():
            yield _plain(name), ours.split(), note


Homes = list[tuple[Set[str], str]]


def hint(name: str, homes: Homes) -> str:
    """What to say after the error of an unknown name: nothing if none is like it.

    ``homes`` are names and how to show one of them, the likeliest first.
    """
    rows = [(_plain(own), [own], "") for names, _ in homes for own in names]
    rows += _rows()
    known = {plain for plain, _, _ in rows}
    plain = _plain(name)
    alike = [plain] if plain in known else get_close_matches(plain, known, 1, _ALIKE)
    meant = [(ours, note) for each, ours, note in rows if each in alike]
    for names, place in homes:
        for ours, note in meant:
            own = next((own for own in ours if own in names), None)
            if own is not None and plain not in known:
                return f" Did you mean {place.format(own)}?"
            if own is not None:
                note = note and ": " + note.replace("{}", name)
                return f" Use {place.format(own)}{note}."
    return next((f" {note}." for ours, note in meant if not ours), "")


def hint_of_parameter(name: str, estimator: Any, taken: Collection[str]) -> str:
    """The :func:`hint` of a name that is not among those ``taken`` by a call."""
    arguments = list(signature(type(estimator).fit).parameters.values())[3:]
    in_fit = {each.name for each in arguments if each.kind != each.VAR_KEYWORD}
    homes: Homes = [(set(taken), "{}"), (in_fit, "fit(X, y, {}=...)")]
    own = estimator._parameter_constraints
    homes.append((set(own), f"{type(estimator).__name__}({{}}=...)"))
    whose = "estimator=" if "estimator" in own else ""
    for public, names in PUBLIC.items():
        homes.append((set(names), f"{whose}{public}({{}}=...)"))
        whose = ""
    return hint(name, homes)


def _hint_of_value(name: str, estimator: Any) -> str:
    """The :func:`hint` of the value of a parameter that is not allowed."""
    constraints = estimator._parameter_constraints
    value = getattr(estimator, name)
    if isinstance(value, Real) and name in _NUMBERS:
        return _NUMBERS[name]
    word = getattr(value, "__name__", value)
    if not isinstance(word, str):
        return ""
    options = [each for each in constraints[name] if isinstance(each, StrOptions)]
    return hint(word, [(each.options, "{!r}") for each in options])


def with_hints(init: Callable[..., None]) -> Callable[..., None]:
    """An ``__init__`` whose error of an unknown parameter says what is meant."""
    taken = list(signature(init).parameters)[1:]

    @wraps(init)
    def checked(self: Any, *args: Any, **kwargs: Any) -> None:
        for name in kwargs:
            if name not in taken:
                raise TypeError(
                    f"{init.__qualname__}() got an unexpected keyword argument "
                    f"{name!r}.{hint_of_parameter(name, self, taken)}"
                )
        init(self, *args, **kwargs)

    return checked


class Hints:
    """scikit-learn's errors of a parameter or its value say what is meant."""

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
            If there is no such parameter. Nothing is set then.

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
                    f"parameters are: {sorted(own)!r}."
                    f"{hint_of_parameter(name, self, own)}"
                )
        super().set_params(**params)  # type: ignore[misc]
        return self

    def _validate_params(self) -> None:
        try:
            super()._validate_params()  # type: ignore[misc]
        except ValueError as error:
            # scikit-learn stops at the first one: "The 'solver' parameter of ...".
            name = str(error).split("'")[1]
            raise type(error)(f"{error}{_hint_of_value(name, self)}") from None
