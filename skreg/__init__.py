"""A scikit-learn classifier: a neural network with L2 weight decay and dropout.

To read the code, follow the data: ``_search`` (a grid of estimators; with
``_selection``, which is best) and ``_ensemble`` (several of one; both with ``_stacks``,
those trained together) → ``_classifier`` (the estimator; with ``_exchange``, to
scikit-learn's network and back, ``_persistence``, the format of saved models,
``_guards``, and ``_advice`` on what went badly) →
``_training`` (a run of a solver, or a stack of runs) → ``_problem`` (what a solver
takes; with ``_settings``, the checked parameters and the random streams, and
``_threads``) → ``_data`` (validated rows) and ``_batches`` →
``_solvers`` (epochs, L-BFGS; with ``_observers``, ``_stopping`` and ``_optimizers``) →
``_objective`` (J and its gradient) → ``_network`` (forward and backward; with
``_loss``, ``_activations`` and ``_dropout``) → ``_parameters`` (the flat vector θ) and
``_calls`` (formulas that are run at once, or planned and run again). ``functional`` has
the documents' functions, on the same engine; ``_displays`` draws what a search
found, and ``_curves`` how a network was trained and its weights (both with
``_drawing``). ``onnx`` writes a fitted model as an ONNX graph, and ``io`` a file with a
checksum (by ``_files``, whole or not at all). ``dask`` trains on a cluster: its rows
(``_partitions``) and its objective (``_remote``) go to the same solvers.
``_show_versions`` prints what a report of a bug needs. A file imports only files
further down the table in ``tests/test_house.py``.
"""

from skreg._classifier import RegularizedMLPClassifier
from skreg._curves import LossCurveDisplay, WeightDistributionDisplay
from skreg._displays import RegularizationGridDisplay
from skreg._ensemble import RegularizedMLPEnsemble
from skreg._search import RegularizedMLPClassifierCV
from skreg._show_versions import show_versions
from skreg._version import __version__

__all__ = [
    "LossCurveDisplay",
    "RegularizationGridDisplay",
    "RegularizedMLPClassifier",
    "RegularizedMLPClassifierCV",
    "RegularizedMLPEnsemble",
    "WeightDistributionDisplay",
    "__version__",
    "show_versions",
]
