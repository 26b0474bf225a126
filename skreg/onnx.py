"""Export to ONNX: ``import skreg.onnx``, and ``skl2onnx`` knows the classifiers.

The import registers a converter for :class:`skreg.RegularizedMLPClassifier`,
:class:`skreg.RegularizedMLPClassifierCV` and :class:`skreg.RegularizedMLPEnsemble`.
``skl2onnx.to_onnx`` then takes them, by themselves and in pipelines. It needs the extra
``onnx``: ``pip install "skreg[onnx]"``.

Examples
--------
>>> import numpy as np
>>> import onnxruntime
>>> import skl2onnx
>>> from sklearn.datasets import load_iris
>>> from sklearn.pipeline import make_pipeline
>>> from sklearn.preprocessing import StandardScaler
>>> import skreg.onnx
>>> X, y = load_iris(return_X_y=True)
>>> X = X.astype(np.float32)
>>> classifier = skreg.RegularizedMLPClassifier(
...     learning_rate="cosine", max_iter=50, random_state=0
... )
>>> model = make_pipeline(StandardScaler(), classifier).fit(X, y)
>>> exported = skl2onnx.to_onnx(model, X[:1], options={"zipmap": False})
>>> session = onnxruntime.InferenceSession(
...     exported.SerializeToString(), providers=["CPUExecutionProvider"]
... )
>>> labels, probabilities = session.run(None, {"X": X})
>>> float(np.abs(probabilities - model.predict_proba(X)).max()) < 1e-5
True
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skreg._models.classifier import RegularizedMLPClassifier
from skreg._models.ensemble import RegularizedMLPEnsemble
from skreg._models.search import RegularizedMLPClassifierCV
from skreg._network import Array
from skreg._network.activations import ACTIVATIONS

# Those of scikit-learn's classifiers in skl2onnx.
_OPTIONS = {
    "zipmap": [True, False, "columns"],
    "nocl": [True, False],
    "output_class_labels": [False, True],
    "raw_scores": [True, False],
}


def _register() -> None:
    try:
        import onnx  # noqa: F401
        from skl2onnx import update_registered_converter
    except ImportError as error:
        raise ImportError(
            "skreg.onnx needs the libraries onnx and skl2onnx: "
            'pip install "skreg[onnx]"'
        ) from error
    for model in (
        RegularizedMLPClassifier,
        RegularizedMLPClassifierCV,
        RegularizedMLPEnsemble,
    ):
        update_registered_converter(
            model,
            f"Skreg{model.__name__}",
            _set_types,
            _convert,
            parser=_parse,
            options=_OPTIONS,
        )


def _networks(model: Any) -> list[RegularizedMLPClassifier]:
    """The fitted networks whose weighted mean the model predicts."""
    check_is_fitted(model)
    if isinstance(model, RegularizedMLPClassifierCV):
        if not hasattr(model, "best_estimator_"):
            raise ValueError(
                f"refit={model.refit!r}: the search has no model to export. Set "
                "refit=True, or export a RegularizedMLPClassifier that is fitted with "
                "its best_params_."
            )
        return _networks(model.best_estimator_)
    if isinstance(model, RegularizedMLPEnsemble):
        return [network for each in model.estimators_ for network in _networks(each)]
    _operator(model)
    return [model]


def _weights(model: Any) -> Array:
    """The weight of each of several networks."""
    weights: Array = getattr(model, "best_estimator_", model).weights_
    return weights


def _operator(network: RegularizedMLPClassifier) -> str:
    """The ONNX operator of the hidden layers."""
    operator = ACTIVATIONS[network.activation].onnx_operator
    if operator is None:
        known = [name for name, each in ACTIVATIONS.items() if each.onnx_operator]
        raise NotImplementedError(
            f"activation={network.activation!r} is no ONNX operator. Fit with one of "
            f"{', '.join(known)} to export the model."
        )
    return operator


def _classes(scope: Any, model: Any) -> Array:
    """What the labels are: int64, or strings."""
    from skl2onnx.common.utils_classifier import get_label_classes

    classes: Array = get_label_classes(scope, model)
    if classes.dtype.kind not in "biuf":
        return classes.astype(str)
    integers = classes.astype(np.int64)
    if (integers != classes).any():
        raise ValueError(
            f"The classes {classes} do not fit into 64-bit integers, as ONNX has them. "
            "Fit to other numbers, or to strings."
        )
    return integers


# What skl2onnx calls: the parser for a model that is not inside another; then, for
# every model, what sets the types of its outputs, and the converter.


def _parse(
    scope: Any, model: Any, inputs: Any, custom_parsers: dict[type, Any] | None = None
) -> Any:
    """The outputs of the model, or of the ZipMap that makes dictionaries of them."""
    from skl2onnx._parse import _parse_sklearn_classifier

    _networks(model)
    # skl2onnx does not keep a default, and the converter has to know of a ZipMap.
    options = scope.get_options(model, {"zipmap": True})
    scope.add_options(id(model), {"zipmap": options["zipmap"]})
    return _parse_sklearn_classifier(
        scope, model, inputs, custom_parsers=custom_parsers
    )


def _dtypes(operator: Any) -> tuple[Any, Any]:
    """Of the computation, as in prediction, and of the probabilities.

    In skl2onnx these are float64 for inputs of float64 alone; a ZipMap takes float32.
    """
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

    options = operator.scope_inst.get_options(operator.raw_operator, {"zipmap": False})
    of_inputs = operator.inputs[0].type
    if isinstance(of_inputs, FloatTensorType):
        return np.float32, np.float32
    if isinstance(of_inputs, DoubleTensorType) and options["zipmap"] is not True:
        return np.float64, np.float64
    return np.float64, np.float32


def _set_types(operator: Any) -> None:
    """The types and shapes of the labels and of the probabilities."""
    from skl2onnx.common import data_types as types
    from skl2onnx.common.utils import check_input_and_output_numbers as check_numbers
    from skl2onnx.common.utils import check_input_and_output_types as check_types

    check_numbers(operator, input_count_range=1, output_count_range=2)
    check_types(
        operator,
        good_input_types=[
            types.BooleanTensorType,
            types.DoubleTensorType,
            types.FloatTensorType,
            types.Int32TensorType,
            types.Int64TensorType,
        ],
    )
    model, (inputs,) = operator.raw_operator, operator.inputs
    networks, classes = _networks(model), _classes(operator.scope_inst, model)
    width, n_features = inputs.get_second_dimension(), model.n_features_in_
    # What other steps say of their outputs is not always so.
    if inputs.is_root and isinstance(width, int) and width != n_features:
        raise ValueError(
            f"The rows given to skl2onnx have {width} columns, but "
            f"{type(model).__name__} is fitted to {n_features}. Give rows as those of "
            "fit, for example X[:1]."
        )
    rows, columns = inputs.get_first_dimension(), len(classes)
    multilabel = networks[0]._target.kind == "multilabel"
    is_text, is_double = classes.dtype.kind == "U", _dtypes(operator)[1] == np.float64
    Labels = types.StringTensorType if is_text else types.Int64TensorType
    Numbers = types.DoubleTensorType if is_double else types.FloatTensorType
    operator.outputs[0].set_type(Labels([rows, columns] if multilabel else [rows]))
    operator.outputs[1].set_type(Numbers([rows, columns]))


@dataclass(frozen=True)
class _Graph:
    """The nodes of an ONNX graph, each known by the name of what it puts out."""

    scope: Any
    container: Any
    dtype: Any

    def add(self, operator: str, *inputs: str, output: str = "", **options: Any) -> str:
        name: str = output or self.scope.get_unique_variable_name(operator.lower())
        self.container.add_node(
            operator,
            list(inputs),
            [name],
            name=self.scope.get_unique_operator_name(operator),
            **options,
        )
        return name

    def cast(self, name: str, dtype: Any, output: str = "") -> str:
        from onnx.helper import np_dtype_to_tensor_dtype

        to = np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self.add("Cast", name, output=output, to=to)

    def constant(self, values: Array) -> str:
        from onnx import TensorProto
        from onnx.numpy_helper import from_array

        name: str = self.scope.get_unique_variable_name("constant")
        if values.dtype.kind == "U":
            content = [text.encode() for text in values.tolist()]
        else:
            content = from_array(values)
        self.container.add_initializer(name, TensorProto.STRING, values.shape, content)
        return name

    def number(self, values: Any) -> str:
        return self.constant(np.asarray(values, self.dtype))

    def over_networks(self, operator: str, name: str) -> str:
        """A reduction of the first axis."""
        if self.container.target_opset < 18:
            return self.add(operator, name, axes=[0], keepdims=0)
        return self.add(operator, name, self.constant(np.array([0])), keepdims=0)

    def log_sigmoid(self, Z: str) -> str:
        """min(z, 0) - log(1 + exp(-|z|)): onnxruntime has Softplus in float32 alone."""
        small = self.add("Exp", self.add("Neg", self.add("Abs", Z)))
        log = self.add("Log", self.add("Add", small, self.number(1)))
        return self.add("Sub", self.add("Min", Z, self.number(0)), log)

    def log_mean(self, logarithms: str, weights: Array) -> str:
        weighted = self.add("Add", logarithms, self.number(np.log(weights)))
        return self.over_networks("ReduceLogSumExp", weighted)


def _convert(scope: Any, operator: Any, container: Any) -> None:
    """The forward pass, and what follows the logits, as in prediction.

    An ensemble is one network whose arrays have a leading axis.
    """
    model, networks = operator.raw_operator, _networks(operator.raw_operator)
    kind = networks[0]._target.kind
    dtype, dtype_of_scores = _dtypes(operator)
    graph = _Graph(scope, container, dtype)

    A = Z = graph.cast(operator.inputs[0].full_name, dtype)
    for layer in range(networks[0].n_layers_ - 1):
        if layer > 0:
            A = graph.add(_operator(networks[0]), Z)
        W = np.stack([network.coefs_[layer] for network in networks])
        b = np.stack([network.intercepts_[layer][np.newaxis] for network in networks])
        if len(networks) == 1:
            W, b = W[0], b[0]
        Z = graph.add("Add", graph.add("MatMul", A, graph.number(W)), graph.number(b))
    last = 1 if len(networks) == 1 else 2
    if kind == "binary":
        Z = graph.add("Concat", graph.add("Neg", Z), Z, axis=last)
    if kind == "multiclass":
        probabilities = graph.add("Softmax", Z, axis=last)
    else:
        probabilities = graph.add("Sigmoid", Z)
    scores = Z
    if len(networks) > 1:
        weights = _weights(model)[:, np.newaxis, np.newaxis]
        weighted = graph.add("Mul", probabilities, graph.number(weights * len(weights)))
        probabilities = graph.over_networks("ReduceMean", weighted)
        scores = _log_odds(graph, Z, kind, weights)

    labels, outputs = (output.full_name for output in operator.outputs)
    if kind == "multilabel":
        positive = graph.add("Greater", scores, graph.number(0))
        graph.cast(positive, np.int64, output=labels)
    else:
        code = graph.add("ArgMax", scores, axis=1, keepdims=0)
        classes = graph.constant(_classes(scope, model))
        graph.add("Gather", classes, code, axis=0, output=labels)
    if _wants_raw_scores(scope, container, model):
        probabilities = scores
    graph.cast(probabilities, dtype_of_scores, output=outputs)


def _wants_raw_scores(scope: Any, container: Any, model: Any) -> bool:
    # CalibratedClassifierCV asks a pipeline for them, and skl2onnx up to 1.20 does not
    # tell its last step (https://github.com/onnx/sklearn-onnx/issues/1246).
    asked = [each.raw_operator for each in scope.operators.values()]
    return any(
        container.get_options(each, {"raw_scores": False})["raw_scores"]
        for each in asked
        if _last_step(each) is model
    )


def _last_step(model: Any) -> Any:
    return _last_step(model.steps[-1][1]) if isinstance(model, Pipeline) else model


def _log_odds(graph: _Graph, Z: str, kind: str, weights: Array) -> str:
    """The decision function of an ensemble."""
    if kind == "multiclass":
        log_proba = graph.add("LogSoftmax", Z, axis=2)
        return graph.log_mean(log_proba, weights)
    log_proba, log_rest = (
        graph.log_mean(graph.log_sigmoid(logits), weights)
        for logits in (Z, graph.add("Neg", Z))
    )
    return graph.add("Sub", log_proba, log_rest)


_register()
