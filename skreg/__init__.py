"""A scikit-learn classifier: a neural network with L2 weight decay and dropout.

To read the code, begin with ``docs/architecture.md``. From the top floor down:
``_plots``, ``_tabular``, ``dask``, ``io`` and ``onnx`` use the estimators in
``_models``, whose training is in ``_training``, whose mathematics is in ``_network``;
``functional`` has the documents' formulas on the same engine.
"""

from skreg._models.classifier import RegularizedMLPClassifier
from skreg._models.ensemble import RegularizedMLPEnsemble
from skreg._models.search import RegularizedMLPClassifierCV
from skreg._models.versions import __version__, show_versions
from skreg._plots.curves import LossCurveDisplay
from skreg._plots.grid import RegularizationGridDisplay
from skreg._plots.weights import WeightDistributionDisplay
from skreg._tabular.pipeline import tabular_pipeline
from skreg._training.advice import FitAdviceWarning, RegularizationWarning
from skreg._training.compiling import compile_kernels

__all__ = [
    "FitAdviceWarning",
    "LossCurveDisplay",
    "RegularizationGridDisplay",
    "RegularizationWarning",
    "RegularizedMLPClassifier",
    "RegularizedMLPClassifierCV",
    "RegularizedMLPEnsemble",
    "WeightDistributionDisplay",
    "__version__",
    "compile_kernels",
    "show_versions",
    "tabular_pipeline",
]
