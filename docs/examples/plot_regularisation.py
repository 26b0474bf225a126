"""
=============================
Regularisation on two columns
=============================

L2 weight decay, dropout and both, on data of which every row can be seen: two columns
of the breast cancer data. The table has 569 tumours; the columns are the mean texture
and the mean smoothness of the cell nuclei, which alone do not tell the classes apart.
"""

# %%
# Four networks
# -------------
# They differ in ``lambd`` and ``keep_prob`` only. Early stopping is off, so that
# nothing else holds the networks back. They train on 150 rows; the others are the
# test.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.inspection import DecisionBoundaryDisplay
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from skreg import RegularizedMLPClassifier

data = load_breast_cancer()
names = ["mean texture", "mean smoothness"]
columns = [list(data.feature_names).index(name) for name in names]
X_train, X_test, y_train, y_test = train_test_split(
    data.data[:, columns],
    data.target,
    train_size=150,
    stratify=data.target,
    random_state=0,
)

scaler = StandardScaler().fit(X_train)
X_train, X_test = scaler.transform(X_train), scaler.transform(X_test)

settings = {
    "No regularisation": {"lambd": 0, "keep_prob": 1},
    "L2: lambd=2": {"lambd": 2, "keep_prob": 1},
    "Dropout: keep_prob=0.5": {"lambd": 0, "keep_prob": 0.5},
    "Both: lambd=2, keep_prob=0.5": {"lambd": 2, "keep_prob": 0.5},
}
models = {
    name: RegularizedMLPClassifier(early_stopping=False, random_state=0, **setting).fit(
        X_train, y_train
    )
    for name, setting in settings.items()
}

# %%
# How well they do
# ----------------
# The log-loss asks how sure a network is, and makes it pay for being sure and wrong.

print(f"{'':30}{'accuracy':>16}{'log-loss':>18}")
print(f"{'':30}{'train':>8}{'test':>8}{'train':>10}{'test':>8}")
for name, model in models.items():
    accuracies = model.score(X_train, y_train), model.score(X_test, y_test)
    losses = (
        log_loss(y_train, model.predict_proba(X_train)),
        log_loss(y_test, model.predict_proba(X_test)),
    )
    print(
        f"{name:30}{accuracies[0]:8.3f}{accuracies[1]:8.3f}"
        f"{losses[0]:10.3f}{losses[1]:8.3f}"
    )

# %%
# What they draw
# --------------
# The shades are the probability that a tumour is benign, and the line is where it is
# one half. The points are the training rows.

figure, axes = plt.subplots(
    2, 2, figsize=(8, 7.5), sharex=True, sharey=True, layout="constrained"
)
for ax, (name, model) in zip(axes.flat, models.items(), strict=True):
    border = {"X": X_train, "response_method": "predict_proba", "eps": 0.3, "ax": ax}
    shades = DecisionBoundaryDisplay.from_estimator(
        model, levels=np.linspace(0, 1, 11), cmap="PuOr", alpha=0.6, **border
    )
    DecisionBoundaryDisplay.from_estimator(
        model, plot_method="contour", levels=[0.5], colors="black", **border
    )
    for label, colour, marker in ((0, "#b35806", "^"), (1, "#542788", "o")):
        ax.scatter(
            *X_train[y_train == label].T,
            s=28,
            c=colour,
            marker=marker,
            edgecolor="white",
            linewidth=0.5,
            label=data.target_names[label],
        )
    ax.set(title=name, xlabel="", ylabel="")
axes[0, 0].legend(loc="upper right")
figure.supxlabel(f"{names[0]}, in standard deviations")
figure.supylabel(f"{names[1]}, in standard deviations")
figure.colorbar(
    shades.surface_, ax=axes, shrink=0.6, label="probability that it is benign"
)
plt.show()

# %%
# Without regularisation the border winds around single tumours, and next to most of
# it the network is sure at once. It fits its training rows best and has the greatest
# log-loss on the others. L2 leaves a smooth border and pale colours where the classes
# mix, and so does L2 with dropout. Dropout alone lies between.
