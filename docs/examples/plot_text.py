"""
=====================
Text, as sparse input
=====================

A pipeline of ``TfidfVectorizer`` and ``RegularizedMLPClassifier``, beside
``LogisticRegression``. The texts are the docstrings of functions of SciPy and
scikit-learn as they are installed here; the class is the module that a function is in.
Each release of the two has other docstrings, so your numbers will differ a little from
those on this page.
"""

# %%
# The texts
# ---------
# Of each docstring only the part before "Notes", "Examples" and the like, since these
# often name the module. A text that stands for several functions counts once.

import importlib
import inspect
import re
from importlib.metadata import version

import matplotlib.pyplot as plt
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, recall_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from skreg import RegularizedMLPClassifier

MODULES = (
    "scipy.linalg",
    "scipy.ndimage",
    "scipy.optimize",
    "scipy.signal",
    "scipy.special",
    "scipy.stats",
    "sklearn.datasets",
    "sklearn.metrics",
)
END = re.compile(r"\n(See Also|Notes|References|Examples)\n")

module_of = {}
for module in MODULES:
    namespace = importlib.import_module(module)
    for name in namespace.__all__:
        function = getattr(namespace, name)
        if hasattr(function, "__name__") and not inspect.isclass(function):
            text = END.split(inspect.getdoc(function) or "")[0]
            module_of[text] = module
texts, y = np.array(list(module_of)), np.array(list(module_of.values()))

train_texts, test_texts, y_train, y_test = train_test_split(
    texts, y, train_size=0.3, stratify=y, random_state=0
)
print("scipy", version("scipy"), "and scikit-learn", version("scikit-learn"))
print(len(train_texts), "texts for training,", len(test_texts), "for the test")

# %%
# Two pipelines
# -------------
# The matrix of words is sparse, and both classifiers take it as it is: nothing here
# makes it dense. Dropout goes well with so many columns and so few rows. Early
# stopping is off because ``max_iter`` is small. ``lambd``, ``keep_prob`` and ``C``
# are values that suit such short texts, not the result of a search.

models = {
    "RegularizedMLPClassifier": RegularizedMLPClassifier(
        100,
        lambd=0.1,
        keep_prob=0.5,
        max_iter=30,
        early_stopping=False,
        random_state=0,
    ),
    "LogisticRegression": LogisticRegression(C=100, max_iter=1000),
}
for name, classifier in models.items():
    models[name] = make_pipeline(
        TfidfVectorizer(sublinear_tf=True, min_df=2), classifier
    ).fit(train_texts, y_train)

X_train = models["LogisticRegression"][0].transform(train_texts)
share = X_train.nnz / (X_train.shape[0] * X_train.shape[1])
print(f"{X_train.shape[1]} words; {share:.1%} of the matrix is not zero")
for name, model in models.items():
    print(
        f"{name}: accuracy {model.score(test_texts, y_test):.3f}, "
        f"log-loss {log_loss(y_test, model.predict_proba(test_texts)):.3f}"
    )

# %%
# By module
# ---------
# The recall: how many of a module's functions are found.

figure, ax = plt.subplots(figsize=(7.5, 4.6), layout="constrained")
places = np.arange(len(MODULES))
for (name, model), colour, marker, shift in zip(
    models.items(), ("#0072b2", "#d55e00"), "os", (0.12, -0.12), strict=True
):
    recalls = recall_score(
        y_test, model.predict(test_texts), labels=MODULES, average=None
    )
    ax.plot(recalls, places + shift, marker, color=colour, markersize=8, label=name)
counts = [np.sum(y_train == module) for module in MODULES]
ax.set_yticks(
    places,
    [f"{module} ({n})" for module, n in zip(MODULES, counts, strict=True)],
)
ax.set(xlabel="recall on the test texts", ylabel="module (texts for training)")
ax.invert_yaxis()
ax.grid(alpha=0.3)
ax.legend()
plt.show()

# %%
# The two find about as many, and which is ahead in a module changes with the versions.
# On so few texts a linear model is hard to beat, so try one first. The network takes
# the same sparse matrix, and can be put in its place.
