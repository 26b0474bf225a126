"""
====================================
Learning curves, and what decay does
====================================

``LossCurveDisplay`` draws the loss of each epoch, on the training rows and on others;
``WeightDistributionDisplay`` draws the weights that the training ends with. Both are
shown for a network without regularisation and for one with L2 weight decay, on 400 of
scikit-learn's handwritten digits.
"""

# %%
# Two networks
# ------------
# ``X_val`` and ``y_val`` are the rows on which the loss is followed; the network does
# not train on them. ``n_iter_no_change=np.inf`` turns off that training stops early,
# so that the picture shows what would have come. ``train_scores=True`` measures the
# loss on the training rows in the same way, without the penalty.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skreg import (
    LossCurveDisplay,
    RegularizedMLPClassifier,
    WeightDistributionDisplay,
)

X, y = load_digits(return_X_y=True)
X_train, X_val, y_train, y_val = train_test_split(
    X / 16, y, train_size=400, stratify=y, random_state=0
)
models = {
    f"lambd={lambd}": RegularizedMLPClassifier(
        lambd=lambd,
        max_iter=100,
        n_iter_no_change=np.inf,
        train_scores=True,
        early_stopping=True,
        random_state=0,
    ).fit(X_train, y_train, X_val=X_val, y_val=y_val)
    for lambd in (0, 1)
}

# %%
# The losses
# ----------
# The solid line is J, which has the penalty in it. The dotted line is the loss on the
# training rows without the penalty, the dashed line that on the other rows. A point
# marks the best epoch, whose weights the network keeps.

figure, axes = plt.subplots(1, 2, figsize=(9, 4), sharey=True, layout="constrained")
for ax, (name, model) in zip(axes, models.items(), strict=True):
    LossCurveDisplay.from_estimator(model, ax=ax)
    ax.legend(fontsize="small")
    ax.set(title=name, yscale="log")
    ax.grid(alpha=0.3)
plt.show()

for name, model in models.items():
    scores = -np.array(model.validation_scores_)
    print(
        f"{name}: loss on the other rows {scores.min():.3f} in epoch "
        f"{model.best_n_iter_}, {scores[-1]:.3f} in the last; "
        f"on the training rows {-model.train_scores_[-1]:.4f} in the last"
    )

# %%
# The weights
# -----------
# One histogram for each layer, with the density on a logarithmic axis.

figure, axes = plt.subplots(1, 3, figsize=(9, 3.4), layout="constrained")
for (name, model), colour in zip(models.items(), ("#0072b2", "#d55e00"), strict=True):
    display = WeightDistributionDisplay.from_estimator(
        model, ax=axes, name=name, stairs_kw={"color": colour, "linewidth": 1.5}
    )
    shares = ", ".join(f"{share:.0%}" for share in display.near_zero_shares)
    print(f"{name}: share of W1, W2, W3 within {display.near_zero} of zero: {shares}")
for ax in axes:
    # Room for the legend.
    ax.set_ylim(top=15 * ax.get_ylim()[1])
    ax.legend(loc="upper center", fontsize="small")
plt.show()

# %%
# Without the penalty the loss on the training rows falls on and on, while that on the
# other rows is least in an early epoch and then rises a little. With ``lambd=1`` both
# level off, and the other rows end with less. The weights show how: a large share of
# those in W1 and W2 is nearly zero, and the rest is smaller. W3 changes less.
