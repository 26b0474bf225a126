"""
==================
Imbalanced classes
==================

Weights for a class that is rare: ``class_weight="balanced"``, or any others through
``sample_weight``. The data are scikit-learn's handwritten digits, and the question is
whether a digit is an eight: one in ten is.
"""

# %%
# Three networks
# --------------
# They are trained on 300 digits, and tested on the others. "balanced" gives both
# classes the same total weight, so an eight counts about nine times. The third
# network is told that a missed eight costs 30 times as much as a false alarm.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import (
    PrecisionRecallDisplay,
    average_precision_score,
    precision_score,
    recall_score,
)
from sklearn.model_selection import train_test_split

from skreg import RegularizedMLPClassifier

X, digit = load_digits(return_X_y=True)
y = (digit == 8).astype(int)
X_train, X_test, y_train, y_test = train_test_split(
    X / 16, y, train_size=300, stratify=y, random_state=0
)
print(f"{y_train.sum()} of {len(y_train)} training rows are eights")

plain = RegularizedMLPClassifier(random_state=0)
balanced = RegularizedMLPClassifier(class_weight="balanced", random_state=0)
costly = RegularizedMLPClassifier(random_state=0)
models = {
    "no weights": plain.fit(X_train, y_train),
    'class_weight="balanced"': balanced.fit(X_train, y_train),
    "sample_weight of 30": costly.fit(
        X_train, y_train, sample_weight=np.where(y_train == 1, 30, 1)
    ),
}

# %%
# Precision and recall
# --------------------
# The recall is the part of the eights that is found; the precision is the part of the
# found ones that are eights. The large marks are what ``predict`` does, with its
# threshold of one half; the lines are all other thresholds.

figure, ax = plt.subplots(figsize=(7, 5), layout="constrained")
ax.set_prop_cycle(color=["black", "#0072b2", "#d55e00"])
for (name, model), marker in zip(models.items(), "os^", strict=True):
    probability = model.predict_proba(X_test)[:, 1]
    predicted = model.predict(X_test)
    precision = precision_score(y_test, predicted)
    recall = recall_score(y_test, predicted)
    area = average_precision_score(y_test, probability)
    print(
        f"{name}: precision {precision:.3f}, recall {recall:.3f}, "
        f"average precision {area:.3f}"
    )
    curve = PrecisionRecallDisplay.from_predictions(
        y_test, probability, ax=ax, name=name
    )
    ax.plot(
        recall,
        precision,
        marker,
        color=curve.line_.get_color(),
        markersize=10,
        zorder=3,
    )
ax.set(xlabel="recall", ylabel="precision", xlim=(0, 1.02), ylim=(0, 1.02))
ax.grid(alpha=0.3)
ax.legend(loc="lower left")
plt.show()

# %%
# The marks move: with weights more of the eights are found, and fewer of those found
# are eights. The curves sink, and with them the average precision: the weighted
# networks rank the digits worse. So the weights say which errors are worse, and buy
# recall with precision; they do not make the network know the rare class better.
#
# A lower threshold instead
# -------------------------
# A weight of w on the eights asks for the same as a threshold of 1 / (1 + w) on the
# probabilities of the network without weights.

probability = plain.predict_proba(X_test)[:, 1]
balance = np.sum(y_train == 0) / np.sum(y_train == 1)
for weight in balance, 30:
    threshold = 1 / (1 + weight)
    predicted = probability > threshold
    print(
        f"no weights, threshold {threshold:.3f}: "
        f"precision {precision_score(y_test, predicted):.3f}, "
        f"recall {recall_score(y_test, predicted):.3f}"
    )

# %%
# Here the lower threshold finds more of the eights than the weights do, with a higher
# precision, and the probabilities stay what they are. ``TunedThresholdClassifierCV``
# chooses a threshold by cross-validation, for the score that you name.
