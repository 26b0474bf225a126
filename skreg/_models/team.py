"""Which candidates make a team, and how often each counts: greedy forward selection.

Caruana, Niculescu-Mizil, Crew and Ksikes (2004). Ensemble selection from libraries of
models. ICML.
"""

from collections.abc import Callable, Sequence

import numpy as np

from skreg._network import Array

# How often a candidate is picked, and how often the best has been picked before.
ROUNDS, OF_BEST = 20, 5

# The least likelihood that counts, as in MinusLoss and scikit-learn's log_loss.
_LEAST = np.finfo(float).eps


def log_loss(likelihoods: Array, weights: Array | None = None) -> float:
    """-Σ w log p: of the likelihood p of what occurred in each row.

    Those of several labels, (n_rows, n_labels), are taken together.
    """
    losses = -np.log(np.maximum(likelihoods, _LEAST))
    if losses.ndim > 1:
        losses = losses.sum(axis=1)
    return float(losses.sum() if weights is None else weights @ losses)


def picked(
    candidates: Sequence[Array],
    loss: Callable[[Array], float],
    at_most: int,
    n_rounds: int = ROUNDS,
    best: int | None = None,
) -> Array:
    """How often each candidate is picked, the ``best`` five times to begin with.

    A candidate is what it says of the rows: the likelihood of what occurred, or whole
    probabilities. Each round adds that with which the mean of all that were picked so
    far has the least ``loss``, again or for the first time, of equal ones the earlier.
    When ``at_most`` different ones are in, no other comes. NaN is no loss; where there
    is nothing else, nothing is picked.
    """
    counts = np.zeros(len(candidates), dtype=int)
    # In float64, so that equal teams have equal losses, whatever candidates are in.
    total = np.zeros(np.shape(candidates[0]) if len(candidates) else 0)
    if best is not None:
        counts[best] = OF_BEST
        total += OF_BEST * np.asarray(candidates[best], dtype=float)
    for n_picked in range(counts.sum() + 1, counts.sum() + n_rounds + 1):
        losses = np.full(len(candidates), np.nan)
        is_full = np.count_nonzero(counts) >= at_most
        for number, candidate in enumerate(candidates):
            if counts[number] or not is_full:
                losses[number] = loss((total + candidate) / n_picked)
        if np.isnan(losses).all():
            break
        pick = int(np.nanargmin(losses))
        counts[pick] += 1
        total = total + candidates[pick]
    return counts
