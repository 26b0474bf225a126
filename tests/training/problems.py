"""What the tests of the solvers train: small networks, and stand-ins with a script."""

from dataclasses import dataclass

import numpy as np
import reference

from skreg._network.activations import ACTIVATIONS
from skreg._network.loss import OUTPUTS
from skreg._network.objective import Objective
from skreg._network.theta import Layout, initial_theta
from skreg._training.batches import Batches
from skreg._training.early_stopping import descend
from skreg._training.labels import check_y, infer_target
from skreg._training.rows import training_set

KINDS = ["binary", "multiclass", "multilabel"]
KEEP_PROBS = (0.75, 0.6)

# A network, its rows, and what the oracle needs of both ------------------------------


@dataclass
class Problem:
    """A training set, an objective with weights to start from, and the oracle's view.

    ``X`` is (n_x, n), ``Y`` (n_y, n). ``settings`` are the arguments that the
    functions of `reference` share.
    """

    X: np.ndarray
    Y: np.ndarray
    data: object
    objective: Objective
    start: dict
    lambd: float
    weight: np.ndarray | None
    settings: dict

    @property
    def n_rows(self):
        return self.X.shape[1]

    def parameters(self):
        """W1, b1, W2, … as they are now, copied."""
        return parameters_of(self.objective, self.objective.theta)

    def vector(self, theta=None):
        """θ in the oracle's order."""
        theta = self.objective.theta if theta is None else theta
        return reference.flatten(parameters_of(self.objective, theta))

    def batches(self, batch_size=None, *, seed=None, chunk_rows=10**6):
        generator = None if seed is None else np.random.default_rng(seed)
        return Batches(
            self.data,
            self.n_rows if batch_size is None else batch_size,
            chunk_rows=chunk_rows,
            generator=generator,
        )

    def cost(self, parameters, masks=None):
        """J over all rows."""
        return reference.objective(
            self.X,
            self.Y,
            parameters,
            self.lambd,
            masks=masks,
            sample_weight=self.weight,
            **self.settings,
        )


def parameters_of(objective, theta):
    parameters = {}
    for number, (W, b) in enumerate(objective.layout.layers(theta), start=1):
        parameters[f"W{number}"] = np.array(W, dtype=float)
        parameters[f"b{number}"] = np.array(b, dtype=float)
    return parameters


def make_problem(
    kind="binary",
    *,
    n=23,
    lambd=0.7,
    weighted=False,
    masks=None,
    activation="relu",
    hidden=(6, 5),
    dtype=np.float64,
    seed=0,
):
    """``masks`` holds a list of D1, D2, … for each call, handed out in this order.

    They may have more columns than the batch.
    """
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, 4))
    if kind == "multilabel":
        y = np.vstack([np.eye(3), rng.integers(0, 2, size=(n - 3, 3))]).astype(int)
        Y = y.T
    else:
        n_classes = 2 if kind == "binary" else 3
        y = np.arange(n) % n_classes
        Y = np.eye(n_classes)[y].T
        if kind == "binary":
            Y = Y[1:]
        rows[:, 0] += y
    weight = rng.uniform(0.5, 3, size=n) if weighted else None

    y = check_y(y)
    data = training_set(rows.astype(dtype), y, weight, infer_target(y))
    layout = Layout((4, *hidden, data.target.n_outputs))
    theta = initial_theta(layout, activation, rng, dtype)
    theta += rng.normal(scale=0.1, size=theta.shape)
    fill_masks = None
    if masks is not None:
        handed_out = iter(masks)

        def fill_masks(D):
            scaled = [m / p for m, p in zip(next(handed_out), KEEP_PROBS, strict=True)]
            D[...] = np.concatenate(scaled)[:, : D.shape[1]]

    objective = Objective(
        layout,
        ACTIVATIONS[activation],
        OUTPUTS[data.target.kind],
        theta,
        decay=lambd / data.total_weight,
        fill_masks=fill_masks,
    )
    return Problem(
        X=rows.astype(dtype).T.astype(float),
        Y=Y.astype(float),
        data=data,
        objective=objective,
        start=parameters_of(objective, theta),
        lambd=lambd,
        weight=weight,
        settings={
            "activation": activation,
            "output": "softmax" if kind == "multiclass" else "logistic",
            "keep_prob": KEEP_PROBS,
        },
    )


class RecordedBatches:
    """Notes which rows each batch had, known by their features."""

    def __init__(self, batches, problem):
        self._batches = batches
        self._row = {x.tobytes(): i for i, x in enumerate(problem.data.X)}
        self.n_rows = batches.n_rows
        self.epochs = []

    def epoch(self):
        self.epochs.append([])
        for n_rows, chunks in self._batches.epoch():
            rows = []
            self.epochs[-1].append(rows)
            yield n_rows, self._noted(chunks, rows)

    def _noted(self, chunks, rows):
        for chunk in chunks:
            rows.extend(self._row[x.tobytes()] for x in chunk.X.T)
            yield chunk


# Stand-ins that follow a script -------------------------------------------------------


class ScriptedBatches:
    """Batches of these sizes; a chunk is the size."""

    def __init__(self, *sizes):
        self.sizes = sizes or (10,)
        self.n_rows = sum(self.sizes)

    def epoch(self):
        return [(size, [size]) for size in self.sizes]


class ScriptedObjective:
    """Returns these losses, then the last one for ever; each may be an exception.

    The gradient is ``gradient(theta)``, by default -1 everywhere: with a learning rate
    of 1 the weights count the steps.
    """

    def __init__(self, losses, theta=(0.0, 0.0), gradient=lambda theta: -1.0):
        self.theta = np.array(theta)
        self.gradient = np.zeros_like(self.theta)
        self.losses = list(losses)
        self.n_calls = 0
        self._gradient = gradient

    def release(self):
        """There is nothing to give back."""

    def __call__(self, chunks):
        assert len(list(chunks)) == 1
        loss = self.losses[min(self.n_calls, len(self.losses) - 1)]
        self.n_calls += 1
        if isinstance(loss, BaseException):
            raise loss
        self.gradient[...] = self._gradient(self.theta)
        return np.float64(loss)


def scripted(values):
    """A function that returns these values, one a call, or raises them."""
    values = iter(values)

    def following():
        value = next(values)
        if isinstance(value, BaseException):
            raise value
        return value

    return following


def scored(score):
    """The score of one network, as a solver asks for it."""
    return None if score is None else lambda places: np.asarray(score())


class Told:
    """The progress of a run: writes down what it is told, and stops after an epoch.

    ``report(epoch)`` is called with each.
    """

    def __init__(self, report=None, *, stop_after=None):
        self.events, self.reports = [], []
        self._report = report
        self._stop_after = stop_after

    def begins(self):
        self.events.append("begins")

    def ends(self, epoch, loss, score):
        self.events.append(epoch)
        self.reports.append((epoch, loss, score))
        if self._report is not None:
            self._report(epoch)
        return epoch == self._stop_after

    def finished(self):
        self.events.append("finished")


# To the end --------------------------------------------------------------------------


def results_of(descent, plateaus):
    """All epochs of a descent, or those until an interrupt."""
    try:
        descend([descent], plateaus)
        return descent.finish()
    except KeyboardInterrupt as interrupt:
        return descent.interrupted(interrupt)


def unless_diverged(result):
    if result.diverged is not None:
        raise result.diverged
    return result
