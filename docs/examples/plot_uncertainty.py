"""
===============================
Monte-Carlo dropout uncertainty
===============================

``predict_proba`` never uses dropout. ``sample_proba`` does: each of its samples leaves
out other hidden units, and the spread of the samples tells how much an answer hangs on
single units (Gal and Ghahramani 2016). The data are scikit-learn's handwritten digits.
"""

# %%
# A hundred samples for each digit
# --------------------------------
# The network learns from 200 digits only, so that it has something to be unsure of.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skreg import RegularizedMLPClassifier

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X / 16, y, train_size=200, stratify=y, random_state=0
)
model = RegularizedMLPClassifier(keep_prob=0.5, random_state=0).fit(X_train, y_train)

predicted = model.predict(X_test)
samples = model.sample_proba(X_test, n_samples=100, random_state=0)
print("samples, rows, classes:", samples.shape)

# The standard deviation, over the samples, of the probability of the predicted class.
spread = samples.std(axis=0)[np.arange(len(predicted)), predicted]
wrong = predicted != y_test
print(f"accuracy: {1 - wrong.mean():.3f}")
print(f"mean spread where it is right: {spread[~wrong].mean():.3f}")
print(f"mean spread where it is wrong: {spread[wrong].mean():.3f}")

# %%
# Digits with little and with much spread
# ---------------------------------------
# Below each digit are its samples: a dot is the probability of a class in one sample,
# the black line is ``predict_proba``. On the left are the digits with the least
# spread, on the right those with the most.

order = np.argsort(spread)
chosen = [*order[:2], *order[-3:]]
noise = np.random.default_rng(0).uniform(-0.3, 0.3, samples[:, 0].shape)
figure, axes = plt.subplots(
    2, len(chosen), figsize=(9, 4.2), height_ratios=(1, 1.5), layout="constrained"
)
for (above, below), row in zip(axes.T, chosen, strict=True):
    above.imshow(X_test[row].reshape(8, 8), cmap="gray_r")
    above.set_axis_off()
    above.set_title(f"digit {y_test[row]}\nspread {spread[row]:.3f}", fontsize=11)
    below.scatter(
        np.arange(10) + noise, samples[:, row], s=5, color="#0072b2", alpha=0.4
    )
    below.hlines(
        model.predict_proba(X_test[[row]])[0],
        np.arange(10) - 0.4,
        np.arange(10) + 0.4,
        color="black",
        linewidth=2,
    )
    below.set(xticks=range(10), xlabel="class", ylim=(-0.03, 1.03))
    below.label_outer()
axes[1, 0].set_ylabel("probability")
plt.show()

# %%
# Setting the doubtful ones aside
# -------------------------------
# Suppose that a person looks at the digits of which the network is least sure. How
# many of the others are right? That depends on the measure of doubt: the spread, or
# simply the probability of the predicted class.

doubts = {
    "largest spread of the samples": spread,
    "smallest probability": -model.predict_proba(X_test).max(axis=1),
}
set_aside = np.linspace(0, 0.3, 31)
figure, ax = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
for (name, doubt), colour, style in zip(
    doubts.items(), ("#0072b2", "#d55e00"), ("-", "--"), strict=True
):
    right = ~wrong[np.argsort(doubt)]
    kept = [right[: round(len(right) * (1 - part))].mean() for part in set_aside]
    ax.plot(100 * set_aside, kept, style, color=colour, label=name)
    print(f"{name}: accuracy {kept[10]:.3f} when 10 % are set aside")
ax.set(xlabel="digits set aside, in per cent", ylabel="accuracy on the others")
ax.legend(title="set aside first")
ax.grid(alpha=0.3)
plt.show()

# %%
# The spread is larger where the network errs, and the accuracy rises as the digits
# with a large spread are set aside. To choose those, the plain probability does
# better here. What the samples add is in the first picture: how far the probability
# itself moves, and to which other classes.
