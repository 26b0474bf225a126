"""The parameters: name, type, what is allowed and default, each in one line.

What is allowed follows from the type, ``bool`` or ``Literal``, or stands beside it in
``Annotated``, as scikit-learn's ``_parameter_constraints`` have it. If those change,
:func:`declared` is the one that makes them.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields
from inspect import get_annotations
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NamedTuple,
    Self,
    TypeVar,
    Union,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)

import numpy as np
from numpy.random import SFC64, BitGenerator, Generator, SeedSequence
from numpy.typing import ArrayLike
from sklearn.metrics import get_scorer_names

from skreg._network import Array
from skreg._network.activations import ActivationName
from skreg._network.optimizers import OptimizerName
from skreg._training.constraints import Interval, Options, StrOptions
from skreg._training.hints import Hints, with_hints

T = TypeVar("T")

# The batches that batch_size='auto' wants in an epoch, and their smallest and largest
# number of rows.
_AUTO_BATCHES = 50
_AUTO_BATCH_SIZES = 64, 200

# lambd='auto', unless early stopping tries others.
_LAMBD = 1.0

# Kinds of numbers, each with its range.
Count = Annotated[int, Interval(Integral, 1, None, closed="left")]
Positive = Annotated[float, Interval(Real, 0, np.inf, closed="neither")]
NotNegative = Annotated[float, Interval(Real, 0, np.inf, closed="left")]
KeepProb = Annotated[float, Interval(Real, 0, 1, closed="right")]
Fraction = Annotated[float, Interval(Real, 0, 1, closed="both")]
Decay = Annotated[float, Interval(Real, 0, 1, closed="left")]
Never = Annotated[float, Options(Real, {np.inf})]

Auto = Literal["auto"]
Numbers = Annotated[Sequence[float] | Array, "array-like"]
Sizes = Annotated[Sequence[int] | Array, "array-like"] | Count
BatchSize = Literal["auto", "full"] | Count
# The list is "array-like", so that arrays of numbers, too, learn how the dict looks.
DictOfEach = Annotated[list[dict[Any, float]], "array-like"]
ClassWeight = Literal["balanced"] | dict[Any, float] | DictOfEach | None
RandomState = Annotated[int | np.random.RandomState | None, "random_state"]
ScorerName = Annotated[str, StrOptions({"loss", *get_scorer_names()})]
Scoring = ScorerName | Callable[..., float] | None
Verbose = Annotated[bool | int, "verbose"]


def _allowed(kind: Any) -> list[Any]:
    """What scikit-learn checks a value of this type for."""
    origin = get_origin(kind)
    if origin is Annotated:
        return list(kind.__metadata__)
    if origin in (Union, UnionType):
        return [each for part in get_args(kind) for each in _allowed(part)]
    if origin is Literal:
        return [StrOptions(set(get_args(kind)))]
    known = {bool: "boolean", NoneType: None, Callable: callable}
    return [known.get(origin or kind, origin or kind)]


@dataclass_transform(eq_default=False, kw_only_default=True, field_specifiers=(field,))
def declared(cls: type[T]) -> type[T]:
    """Make the annotated lines of a class the parameters of its estimators."""
    made: Any = dataclass(eq=False, repr=False, kw_only=True)(cls)
    types = get_type_hints(made, include_extras=True)
    plain = get_type_hints(made)
    names = [parameter.name for parameter in fields(made)]
    # An estimator without a parameter lacks it, as scikit-learn's do.
    for name in vars(made).keys() & set(names):
        delattr(made, name)
    made.__init__.__annotations__ = {name: plain[name] for name in names}
    # Not strings: they would be looked up in the package, once the class is public.
    made.__annotations__ = {name: types[name] for name in get_annotations(made)}
    made._parameter_constraints = {name: _allowed(types[name]) for name in names}
    return cls


def with_parameters(cls: type[T]) -> type[T]:
    """Give an estimator an ``__init__`` of its own, with the parameters of its bases.

    It has none of its own to declare: type checkers let a class beside scikit-learn's,
    which have no types, take any argument.
    """
    made: Any = declared(cls)
    made.__init__ = with_hints(made.__init__)
    return cls


@declared
class Regularization(Hints):
    """What a search varies."""

    lambd: NotNegative | Numbers | Auto = "auto"
    keep_prob: KeepProb | Numbers = 1.0


@declared
class Shared(Hints):
    """What a network and a search of networks have in common."""

    hidden_layer_sizes: Sizes = field(default=(100, 50), kw_only=False)
    activation: ActivationName = field(default="relu", kw_only=False)
    standardize: bool = True
    input_keep_prob: KeepProb = 1.0
    max_norm: Positive | None = None
    class_weight: ClassWeight = None
    solver: Literal["lbfgs", OptimizerName] = "adam"
    learning_rate: Literal["constant", "invscaling", "adaptive", "cosine"] = "cosine"
    learning_rate_init: Positive = 0.01
    power_t: NotNegative = 0.5
    shuffle: bool = True
    random_state: RandomState = None
    tol: NotNegative = 1e-4
    momentum: Fraction = 0.9
    nesterovs_momentum: bool = True
    early_stopping: bool | Auto = "auto"
    early_stopping_refit: bool | Auto = "auto"
    n_validation_splits: Auto | Count = "auto"
    train_scores: bool = False
    validation_fraction: Decay = 0.1
    beta_1: Decay = 0.9
    beta_2: Decay = 0.999
    epsilon: Positive = 1e-8
    n_iter_no_change: Count | Never | Auto = "auto"
    averaging: Decay = 0.9
    max_fun: Count = 15000

    def _validate_params(self) -> None:
        # Elsewhere it is the number.
        rate: object = self.learning_rate
        if isinstance(rate, Real):
            raise ValueError(
                f"learning_rate={rate!r}: it is the schedule, such as 'cosine'. The "
                "number is learning_rate_init."
            )
        super()._validate_params()  # type: ignore[misc]


@declared
class Settings(Shared, Regularization):
    """The parameters of a network, which the training reads and does not write."""

    batch_size: BatchSize = "auto"
    max_iter: Count = 200
    scoring: Scoring = "loss"
    verbose: Verbose = False
    warm_start: bool = False


def rows_of_batch(settings: Settings, n_rows: int) -> int:
    """``batch_size`` as a number of rows."""
    if settings.batch_size == "full" or settings.solver == "lbfgs":
        return n_rows
    if settings.batch_size == "auto":
        smallest, largest = _AUTO_BATCH_SIZES
        return min(max(smallest, min(n_rows // _AUTO_BATCHES, largest)), n_rows)
    return min(int(settings.batch_size), n_rows)


def checked_by_layer(settings: Settings) -> tuple[tuple[int, ...], Array, Array]:
    """The hidden units, and ``lambd`` and ``keep_prob`` of each layer."""
    hidden_units = hidden_layers(settings.hidden_layer_sizes)
    lambds = lambd_by_layer(lambd_of(settings), len(hidden_units) + 1)
    keep_probs = keep_prob_by_layer(settings.keep_prob, hidden_units)
    _check_solver(settings, keep_probs)
    return hidden_units, np.array(lambds), np.array(keep_probs)


def hidden_layers(sizes: int | ArrayLike) -> tuple[int, ...]:
    """``hidden_layer_sizes`` as a tuple of at least one positive int."""
    layers = _values(sizes)
    if not layers or not all(isinstance(n, Integral) and int(n) > 0 for n in layers):
        raise ValueError(
            f"hidden_layer_sizes={sizes!r}: give one positive integer for each hidden "
            "layer, and at least one, as in (100, 50)."
        )
    return tuple(int(n) for n in layers)


def keep_prob_by_layer(
    keep_prob: float | ArrayLike, hidden_units: tuple[int, ...]
) -> tuple[float, ...]:
    """``keep_prob`` of each hidden layer, in (0, 1]."""
    by_layer = _one_or_each(keep_prob, len(hidden_units), "keep_prob", "hidden layers")
    if not all(isinstance(p, Real) and 0 < float(p) <= 1 for p in by_layer):
        raise ValueError(
            f"keep_prob={keep_prob!r}: each value is the probability of keeping a "
            "unit, a float above 0 and at most 1."
        )
    return tuple(float(p) for p in by_layer)


def lambd_of(settings: Regularization) -> Any:
    """``lambd`` as one number, or one for each weight matrix."""
    return _LAMBD if isinstance(settings.lambd, str) else settings.lambd


def lambd_by_layer(lambd: float | ArrayLike, n_layers: int) -> tuple[float, ...]:
    """``lambd`` of each weight matrix, finite and at least 0."""
    lambds = _one_or_each(lambd, n_layers, "lambd", "weight matrices")
    if not all(isinstance(x, Real) and 0 <= float(x) < math.inf for x in lambds):
        raise ValueError(
            f"lambd={lambd!r}: each value is the strength of an L2 penalty, a finite "
            "float of at least 0."
        )
    return tuple(float(x) for x in lambds)


def _one_or_each(value: Any, n: int, name: str, of_what: str) -> list[Any]:
    """The value n times, or the n values that it has."""
    if isinstance(value, Real | str):
        return [value] * n
    values = _values(value)
    if len(values) != n:
        raise ValueError(
            f"{name}={value!r} has {len(values)} values, but there are {n} {of_what}: "
            "give one float, or one for each."
        )
    return values


def _values(value: Any) -> list[Any]:
    """The values of a sequence or array; what is nested stays nested."""
    if isinstance(value, np.ndarray):
        return list(np.atleast_1d(value))
    return list(value) if isinstance(value, Iterable) else [value]


def _check_solver(settings: Shared, keep_probs: Sequence[float]) -> None:
    if settings.solver != "lbfgs":
        return
    for name, value, off in (
        ("keep_prob", min(keep_probs), 1.0),
        ("input_keep_prob", settings.input_keep_prob, 1.0),
        ("max_norm", settings.max_norm, None),
    ):
        if value != off:
            raise ValueError(
                f"{name}={getattr(settings, name)!r} does not go with solver='lbfgs', "
                "which needs an objective that is smooth and the same at each "
                f"evaluation. Set {name}={off}, or solver='adam' or 'sgd'."
            )


class Streams(NamedTuple):
    """Independent random streams, and a seed for the validation split.

    ``keep_prob`` changes neither the initial weights nor the order of the rows.
    """

    weights: Generator
    order: Generator
    masks: BitGenerator
    input_masks: BitGenerator
    split_seed: int

    def state(self) -> dict[str, Any]:
        """What :meth:`restored` needs to go on from here."""
        return {
            "order": self.order.bit_generator.state,
            "masks": self.masks.state,
            "input_masks": self.input_masks.state,
            "split_seed": self.split_seed,
        }

    def restored(self, state: dict[str, Any]) -> Self:
        """The streams as they were when :meth:`state` was taken."""
        self.order.bit_generator.state = state["order"]
        self.masks.state = state["masks"]
        self.input_masks.state = state["input_masks"]
        return self._replace(split_seed=state["split_seed"])


def random_streams(
    random_state: int | np.random.RandomState | None, samples_seen: int = 0
) -> Streams:
    """Streams from ``random_state``, others for a model that has seen samples.

    None takes fresh entropy and leaves numpy's global stream alone.
    """
    entropy: Any = random_state
    if isinstance(random_state, np.random.RandomState):
        entropy = random_state.randint(0, 2**32, size=4, dtype=np.uint32)
    elif random_state is not None and not (
        isinstance(random_state, Integral) and random_state >= 0
    ):
        raise ValueError(
            f"random_state={random_state!r}: give an int of at least 0, a "
            "numpy.random.RandomState, or None."
        )
    root = SeedSequence(entropy)
    split_seed = int(root.generate_state(1)[0])
    if samples_seen:
        root = SeedSequence(root.entropy, spawn_key=(samples_seen,))
    weights, order, masks, inputs = map(SFC64, root.spawn(4))
    return Streams(Generator(weights), Generator(order), masks, inputs, split_seed)
