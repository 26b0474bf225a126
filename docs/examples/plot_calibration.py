"""
===========
Calibration
===========

Of the cases that a classifier gives a probability of 0.8, are 80 % of that class? Three
networks are asked: ``RegularizedMLPClassifier`` as it is, scikit-learn's
``MLPClassifier``, and the latter with ``CalibratedClassifierCV``. The data are 442
diabetes patients, and the class is whether the disease went on faster within a year
than for half of them. Ten measurements leave much of that open.
"""

# %%
# Probabilities of rows not seen
# ------------------------------
# Three folds, so that each patient is predicted by a network that was not trained on
# them. ``MLPClassifier`` gets the learning rate that ours has, so that it converges.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.calibration import CalibratedClassifierCV, CalibrationDisplay
from sklearn.datasets import load_diabetes
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skreg import RegularizedMLPClassifier

X, progression = load_diabetes(return_X_y=True, scaled=False)
y = (progression > np.median(progression)).astype(int)

mlp = MLPClassifier(learning_rate_init=0.01, max_iter=1000, random_state=0)
models = {
    "RegularizedMLPClassifier": RegularizedMLPClassifier(random_state=0),
    "MLPClassifier": mlp,
    "MLPClassifier, calibrated": CalibratedClassifierCV(mlp, cv=3),
}
folds = StratifiedKFold(3, shuffle=True, random_state=0)
probabilities = {
    name: cross_val_predict(
        make_pipeline(StandardScaler(), model), X, y, cv=folds, method="predict_proba"
    )[:, 1]
    for name, model in models.items()
}
for name, probability in probabilities.items():
    print(
        f"{name}: accuracy {accuracy_score(y, probability > 0.5):.3f}, "
        f"log-loss {log_loss(y, probability):.3f}"
    )

# %%
# The picture
# -----------
# Above, the patients are in ten bins of as many each; on the diagonal the predicted
# probability is what happens. Below is how often each probability is given.

figure, axes = plt.subplots(
    2,
    3,
    figsize=(9, 5),
    sharex=True,
    sharey="row",
    height_ratios=(2, 1),
    layout="constrained",
)
for (above, below), (name, probability), colour in zip(
    axes.T, probabilities.items(), ("#0072b2", "#d55e00", "#009e73"), strict=True
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
# ``MLPClassifier`` without calibration says nearly 0 or nearly 1 to most patients,
# and the part of the class is far from that. Calibration takes its probabilities back
# to the middle. The default network of this package, with early stopping, some L2 and
# averaged weights, keeps near the diagonal by itself and uses the whole range.
