"""
============================
Choosing lambd and keep_prob
============================

``lambd`` sets the strength of L2 weight decay, ``keep_prob`` the part of the hidden
units that dropout keeps in training. The pictures show what each does to the loss on
the training rows and on others, what both do together, and what becomes of the border
between two classes.
"""

# %%
# The search
# ----------
# One search trains all networks of the first three pictures: 100 rows of the digits
# (64 columns, 10 classes) for training, 400 others for the test, five times with
# other rows. Every setting that matters stands here.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits, make_moons
from sklearn.inspection import DecisionBoundaryDisplay
from sklearn.model_selection import StratifiedShuffleSplit, train_test_split
from sklearn.preprocessing import StandardScaler

from skreg import (
    RegularizationGridDisplay,
    RegularizedMLPClassifier,
    RegularizedMLPClassifierCV,
)

SETTINGS = {
    "hidden_layer_sizes": (100, 50),
    "activation": "relu",
    "solver": "adam",
    "batch_size": 25,
    "learning_rate": "cosine",
    "learning_rate_init": 0.01,
    "early_stopping": False,
    "averaging": 0.0,
    "random_state": 0,
}
LAMBDS = (0, 0.03, 0.1, 0.3, 1, 3, 10)
KEEP_PROBS = (0.2, 0.3, 0.4, 0.6, 0.8, 1.0)
SPLITS = StratifiedShuffleSplit(
    n_splits=5, train_size=100, test_size=400, random_state=0
)

X, y = load_digits(return_X_y=True)
X = StandardScaler().fit_transform(X).astype(np.float32)
search = RegularizedMLPClassifierCV(
    LAMBDS,
    KEEP_PROBS,
    cv=SPLITS,
    scoring="neg_log_loss",
    refit=False,
    return_train_score=True,
    max_iter=50,
    **SETTINGS,
).fit(X, y)


def losses(part, name, value):
    """The log-loss of the settings with this value: a row for each split."""
    found = search.cv_results_
    chosen = [k for k, params in enumerate(found["params"]) if params[name] == value]
    return np.array([-found[f"split{i}_{part}_score"][chosen] for i in range(5)])


def curves(title, name, values, train, test, off):
    """A panel for the test rows, and one for the training rows, on another scale.

    The line is the mean over the splits, the band goes from the least to the greatest.
    """
    _, axes = plt.subplots(
        2,
        1,
        num=f"choosing_{name}",
        figsize=(5.5, 5),
        sharex=True,
        layout="constrained",
    )
    axes[0].set_title(title)
    for ax, part, loss, at_off, colour in (
        (axes[0], "test rows", test, off[1], "#d55e00"),
        (axes[1], "training rows", train, off[0], "#0072b2"),
    ):
        ax.fill_between(values, loss.min(0), loss.max(0), color=colour, alpha=0.2, lw=0)
        ax.plot(values, loss.mean(0), color=colour, marker="o")
        ax.axhline(at_off.mean(), color="0.3", linestyle=":", label="neither")
        ax.set_ylabel(f"log-loss, {part}")
        ax.grid(alpha=0.3)
    axes[0].legend(loc="upper center")
    axes[1].set(yscale="log", xlabel=name)
    return axes


# %%
# By lambd
# --------
# Without dropout. The dotted lines are the losses with neither, at ``lambd=0``, for
# which a logarithmic axis has no place.

train, test = (losses(part, "keep_prob", 1.0) for part in ("train", "test"))
neither = train[:, 0], test[:, 0]
axes = curves(
    "L2 alone (keep_prob=1)", "lambd", LAMBDS[1:], train[:, 1:], test[:, 1:], neither
)
axes[1].set_xscale("log")
axes[1].set_xticks(LAMBDS[1:], map("{:g}".format, LAMBDS[1:]))
axes[1].minorticks_off()
plt.show()

# %%
# By keep_prob
# ------------
# Without L2. Where the loss is measured, dropout is off, on the training rows too.

train, test = (losses(part, "lambd", 0) for part in ("train", "test"))
axes = curves("Dropout alone (lambd=0)", "keep_prob", KEEP_PROBS, train, test, neither)
axes[1].set_xticks(KEEP_PROBS)
plt.show()

# %%
# Both
# ----
# ``RegularizationGridDisplay`` draws a search. The score is minus the log-loss, so that
# greater is better. The colours end at -1: a few bad cells would take up most of them.

_, ax = plt.subplots(num="choosing_both", figsize=(5.8, 4.6), layout="constrained")
RegularizationGridDisplay.from_estimator(
    search,
    ax=ax,
    cmap="cividis",
    im_kw={"vmin": -1, "origin": "lower"},
    text_kw={"fontsize": 9},
)
ax.set_title("Both: mean score on the test rows")
plt.show()

# %%
# The border between two classes
# ------------------------------
# Two half moons that overlap: 150 rows for training, 2000 for the test. The shades are
# the probability of a class, the line is where it is one half.

FOUR = {
    "No regularisation": {"lambd": 0, "keep_prob": 1.0},
    "L2 (lambd=1)": {"lambd": 1, "keep_prob": 1.0},
    "Dropout (keep_prob=0.5)": {"lambd": 0, "keep_prob": 0.5},
    "Both (1, 0.5)": {"lambd": 1, "keep_prob": 0.5},
}
X, y = make_moons(2150, noise=0.35, random_state=2)
X_train, X_test, y_train, y_test = train_test_split(
    X, y, train_size=150, stratify=y, random_state=0
)
_, axes = plt.subplots(
    2,
    2,
    num="choosing_boundaries",
    figsize=(6, 6),
    sharex=True,
    sharey=True,
    layout="constrained",
)
for ax, (name, regularisation) in zip(axes.flat, FOUR.items(), strict=True):
    model = RegularizedMLPClassifier(max_iter=200, **regularisation, **SETTINGS)
    model.fit(X_train, y_train)
    border = {
        "estimator": model,
        "X": X_train,
        "response_method": "predict_proba",
        "grid_resolution": 150,
        "eps": 0.3,
        "ax": ax,
    }
    DecisionBoundaryDisplay.from_estimator(
        **border, levels=np.linspace(0, 1, 11), cmap="PuOr", alpha=0.6
    )
    DecisionBoundaryDisplay.from_estimator(
        **border, plot_method="contour", levels=[0.5], colors="black"
    )
    for label, colour, marker in ((0, "#b35806", "o"), (1, "#542788", "^")):
        rows = X_train[y_train == label]
        ax.scatter(*rows.T, s=22, c=colour, marker=marker, edgecolor="white", lw=0.5)
    train_score, test_score = (
        model.score(X_train, y_train),
        model.score(X_test, y_test),
    )
    ax.set_title(f"{name}\ntrain {train_score:.3f}, test {test_score:.3f}", fontsize=11)
    ax.set(xticks=(), yticks=(), xlabel="", ylabel="")
plt.show()

# %%
# In the right measure either lowers the loss on the test rows, and too much raises it
# far. In the grid, the more there is of the one, the less is needed of the other, and
# the most of both is the worst. The border of the half moons is smoother with either.
