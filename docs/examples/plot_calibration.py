"""
===========
Calibration
===========

Of the cases that a classifier gives a probability of 0.8, are 80 % of that class? Four
networks are asked: ``RegularizedMLPClassifier`` as it is, scikit-learn's
``MLPClassifier`` as it is, the latter with a stronger L2, and the latter with
``CalibratedClassifierCV``. The data are 442 diabetes patients, and the class is whether
the disease went on faster within a year than for half of them. Ten measurements leave
much of that open.
"""

# %%
# Probabilities of rows not seen
# ------------------------------
# Three folds, so that each patient is predicted by a network that was not trained on
# them. All parameters are the defaults, but for one ``alpha``, the L2 of
# ``MLPClassifier``. After its 200 epochs ``MLPClassifier`` warns that it has not
# converged. The warning is silenced here, since more epochs do it no good: with
# ``max_iter=1000`` its log-loss on these folds is 0.73.
#
# The confidence is the mean probability of the class that is predicted. For calibrated
# probabilities it is the accuracy, but for chance: the accuracy on 442 patients has a
# standard error of two points of a hundred.

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.calibration import CalibratedClassifierCV, CalibrationDisplay
from sklearn.datasets import load_diabetes
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skreg import RegularizedMLPClassifier

X, progression = load_diabetes(return_X_y=True, scaled=False)
y = (progression > np.median(progression)).astype(int)

mlp = MLPClassifier(random_state=0)
models = {
    "RegularizedMLPClassifier": RegularizedMLPClassifier(random_state=0),
    "MLPClassifier": mlp,
    "MLPClassifier, alpha=1": MLPClassifier(alpha=1, random_state=0),
    "MLPClassifier, calibrated": CalibratedClassifierCV(mlp, cv=3),
}
folds = StratifiedKFold(3, shuffle=True, random_state=0)
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ConvergenceWarning)
    probabilities = {
        name: cross_val_predict(
            make_pipeline(StandardScaler(), model),
            X,
            y,
            cv=folds,
            method="predict_proba",
        )[:, 1]
        for name, model in models.items()
    }
for name, probability in probabilities.items():
    print(
        f"{name}: accuracy {accuracy_score(y, probability > 0.5):.3f}, "
        f"confidence {np.maximum(probability, 1 - probability).mean():.3f}, "
        f"log-loss {log_loss(y, probability):.3f}"
    )

# %%
# The picture
# -----------
# Above, the patients are in ten bins of as many each; on the diagonal the predicted
# probability is what happens. Below is how often each probability is given.

figure, axes = plt.subplots(
    2,
    4,
    figsize=(11, 5),
    sharex=True,
    sharey="row",
    height_ratios=(2, 1),
    layout="constrained",
)
for (above, below), (name, probability), colour in zip(
    axes.T,
    probabilities.items(),
    ("#0072b2", "#d55e00", "#cc79a7", "#009e73"),
    strict=True,
):
    CalibrationDisplay.from_predictions(
        y, probability, n_bins=10, strategy="quantile", ax=above, color=colour
    )
    above.get_legend().remove()
    above.set(title=name, xlabel="", ylabel="")
    above.grid(alpha=0.3)
    below.hist(probability, bins=np.linspace(0, 1, 21), color=colour)
    below.set_xlabel("predicted probability")
axes[0, 0].set_ylabel("observed part of the class")
axes[1, 0].set_ylabel("patients")
plt.show()

# %%
# The accuracies differ by less than chance can make of them, and no network is far from
# the diagonal. ``MLPClassifier`` by its defaults is surer than it is right: its
# confidence is the furthest above its accuracy, and it gives the most probabilities
# near 0 and 1.
# With ``alpha=1`` it is as good as ``RegularizedMLPClassifier``, whose defaults have
# some L2, early stopping and averaged weights: either way, the network is regularised.
# ``CalibratedClassifierCV`` needs no such choice, but goes too far here: the confidence
# is below the accuracy, hardly a probability is outside 0.1 to 0.9, and the line is
# steeper than the diagonal. The log-loss is no better than without it.
