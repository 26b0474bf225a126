"""
=============================
A grid of lambd and keep_prob
=============================

``RegularizedMLPClassifierCV`` searches both, and ``RegularizationGridDisplay`` draws
what it found. The data are 442 diabetes patients: ten measurements, and whether the
disease went on faster within a year than for half of them. Much of it is noise, so that
regularisation matters.
"""

# %%
# The search
# ----------
# 24 settings, each in three folds. The score is minus the log-loss, so that greater
# is better. A quarter of the patients is kept for a test at the end.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skreg import RegularizationGridDisplay, RegularizedMLPClassifierCV

X, progression = load_diabetes(return_X_y=True, scaled=False)
y = progression > np.median(progression)
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)

search = make_pipeline(
    StandardScaler(),
    RegularizedMLPClassifierCV(
        lambds=(0.1, 0.3, 1, 3, 10, 30),
        keep_probs=(0.2, 0.4, 0.7, 1),
        scoring="neg_log_loss",
        return_train_score=True,
        max_iter=40,
        cv=StratifiedKFold(3, shuffle=True, random_state=0),
        n_refits=1,
        random_state=0,
    ),
).fit(X_train, y_train)

print("best setting: ", search[-1].best_params_)
print(f"its log-loss in the folds: {-search[-1].best_score_:.3f}")
print(
    f"on the test rows:          {log_loss(y_test, search.predict_proba(X_test)):.3f}"
)

# %%
# The picture
# -----------
# On the left are the rows that the networks were trained on, on the right those left
# out. The frame is around the setting that was chosen.

figure, axes = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
titles = {"train": "Training rows", "test": "Rows left out"}
for ax, (score_type, title) in zip(axes, titles.items(), strict=True):
    RegularizationGridDisplay.from_estimator(
        search,
        score_type=score_type,
        ax=ax,
        cmap="cividis",
        im_kw={"origin": "lower"},
        text_kw={"fontsize": 9},
    )
    ax.set_title(title)
plt.show()

# %%
# On the training rows the best corner is the one with the least of both, at the lower
# right. On the rows left out that corner is the worst. There the good settings form a
# band from strong dropout with little L2, at the lower left, to strong L2 with no
# dropout, at the upper right: little of the one asks for much of the other. A lot of
# both, at the upper left, is too much on all rows. Along the band the scores hardly
# differ, so a coarse grid will do.
