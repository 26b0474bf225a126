"""
======================
Learning from a stream
======================

``partial_fit`` learns from one chunk of rows after the other. Here each chunk is first
predicted, then learnt from, so that every row is a test before it is training data. The
data are scikit-learn's handwritten digits, once in the
order of the file and once mixed.
"""

# %%
# Predict, then learn
# -------------------
# A chunk has 50 rows. Each call of ``partial_fit`` makes one pass over it; five calls
# take more from a chunk. The m that divides ``lambd`` is the rows of the call, so
# ``lambd`` is small here. The pixels go from 0 to 16, hence no scaler has to be
# learnt from the stream.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier

from skreg import RegularizedMLPClassifier

CHUNK, PASSES = 50, 5


def accuracies(model, X, y):
    """The accuracy on each chunk but the first, before the model learns from it."""
    found = []
    for start in range(0, len(X), CHUNK):
        rows = slice(start, start + CHUNK)
        if start:
            found.append(model.score(X[rows], y[rows]))
        for _ in range(PASSES):
            model.partial_fit(X[rows], y[rows], classes=range(10))
    return np.array(found)


X, y = load_digits(return_X_y=True)
X = X / 16
mixed = np.random.default_rng(0).permutation(len(X))
orders = {"In the order of the file": slice(None), "Mixed": mixed}
found = {}
for order, rows in orders.items():
    models = {
        "RegularizedMLPClassifier": RegularizedMLPClassifier(
            100,
            lambd=0.03,
            keep_prob=0.5,
            solver="sgd",
            learning_rate_init=0.1,
            momentum=0.5,
            batch_size=10,
            random_state=0,
        ),
        "SGDClassifier": SGDClassifier(
            loss="log_loss", learning_rate="constant", eta0=0.1, random_state=0
        ),
    }
    found[order] = {
        name: accuracies(model, X[rows], y[rows]) for name, model in models.items()
    }
    for name, scores in found[order].items():
        print(f"{order}, {name}: mean accuracy {scores.mean():.3f}")

# %%
# The accuracy on the next chunk
# ------------------------------
# Fifty rows say little, so the thick line is the mean of the last five chunks.

figure, axes = plt.subplots(1, 2, figsize=(9, 4), sharey=True, layout="constrained")
for ax, (order, by_model) in zip(axes, found.items(), strict=True):
    for (name, scores), colour, style in zip(
        by_model.items(), ("#0072b2", "#d55e00"), ("-", "--"), strict=True
    ):
        learnt = CHUNK * np.arange(1, len(scores) + 1)
        means = np.convolve(scores, np.full(5, 0.2), mode="valid")
        ax.plot(learnt, scores, ".", color=colour, alpha=0.5)
        ax.plot(learnt[4:], means, style, color=colour, linewidth=2, label=name)
    ax.set(title=order, xlabel="rows learnt from")
    ax.grid(alpha=0.3)
axes[0].set_ylabel("accuracy on the next chunk")
axes[1].legend(loc="lower right")
plt.show()

# %%
# Both learn from the stream. On these digits the linear model does as well in the
# order of the file, and better when they are mixed, in less time: try one first, on a
# stream too. Mixed, the accuracy climbs as rows come in. In the order of the file it
# falls again in some stretches, for both at once, and most near the end: rows that
# stand together are alike there, and the next ones are not like those before. Shuffled
# folds do not show that.
