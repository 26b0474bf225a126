"""The parameters of skorch and torch beside ours: the same weights after training.

Each line trains a skorch ``NeuralNetClassifier`` and a ``RegularizedMLPClassifier``
from the same weights, with settings that docs/migrating.md calls the same. It prints
the largest difference of a weight, a bias or a probability afterwards, and how far the
weights moved. Nothing is timed. The script fails where a difference is above 1e-6, and
where AdamW, whose decay is another, makes no difference. It needs the extra ``bench``.
"""

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetClassifier
from skorch.callbacks import LRScheduler

from skreg import RegularizedMLPClassifier

HIDDEN = (20, 10)
LAMBD = 15.0
SAME = 1e-6

X, y = load_iris(return_X_y=True)
X = StandardScaler().fit_transform(X)
m = len(X)


def start() -> RegularizedMLPClassifier:
    """A fitted network, whose weights both begin with."""
    first = RegularizedMLPClassifier(HIDDEN, max_iter=1, random_state=0).fit(X, y)
    return first.set_params(warm_start=True)


def network(first: RegularizedMLPClassifier) -> torch.nn.Sequential:
    """The same weights in torch, in float64."""
    layers: list[torch.nn.Module] = []
    for coef, intercept in zip(first.coefs_, first.intercepts_, strict=True):
        linear = torch.nn.Linear(*coef.shape, dtype=torch.float64)
        linear.weight.data = torch.tensor(coef.T.copy())
        linear.bias.data = torch.tensor(intercept.copy())
        layers += [linear, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def weights(model: RegularizedMLPClassifier) -> np.ndarray:
    """All weights and biases in one vector."""
    return np.concatenate([*map(np.ravel, model.coefs_), *model.intercepts_])


def weights_of_skorch(net: NeuralNetClassifier) -> np.ndarray:
    """The same of a skorch network."""
    linear = [layer for layer in net.module_ if isinstance(layer, torch.nn.Linear)]
    parts = [layer.weight.detach().numpy().T.ravel() for layer in linear]
    return np.concatenate([*parts, *(layer.bias.detach().numpy() for layer in linear)])


def compared(
    optimizer: type[torch.optim.Optimizer],
    theirs: dict[str, object],
    ours: dict[str, object],
    *,
    epochs: int,
    batch_size: int = -1,
    lr: float = 0.05,
    total_weight: float = m,
) -> tuple[float, float]:
    """The largest difference after training, and how far the weights moved."""
    first = start()
    before = weights(first)
    net = NeuralNetClassifier(
        network(first),
        criterion=torch.nn.CrossEntropyLoss,
        optimizer=optimizer,
        # Biases are not penalised.
        optimizer__param_groups=[("*.bias", {"weight_decay": 0.0})],
        optimizer__weight_decay=LAMBD / total_weight,
        lr=lr,
        max_epochs=epochs,
        batch_size=batch_size,
        iterator_train__shuffle=False,
        train_split=None,
        verbose=0,
        **{"callbacks": "disable", **theirs},
    ).initialize()
    net.partial_fit(X, y)
    first.set_params(
        lambd=LAMBD,
        learning_rate_init=lr,
        max_iter=epochs,
        batch_size="full" if batch_size == -1 else batch_size,
        shuffle=False,
        early_stopping=False,
        averaging=0.0,
        n_iter_no_change=np.inf,
        **{"learning_rate": "constant", **ours},
    ).fit(X, y)
    after = weights(first)
    difference = float(abs(weights_of_skorch(net) - after).max())
    # The probabilities as well: skorch applies the softmax that its loss holds.
    probabilities = net.predict_proba(X) - first.predict_proba(X)
    difference = max(difference, float(abs(probabilities).max()))
    return difference, float(abs(after - before).max())


def line(name: str, found: Sequence[float]) -> None:
    """Print a line of the table."""
    print(f"| {name} | {found[0]:.1e} | {found[1]:.2f} |")


def main() -> None:
    """Compare, print, and fail where something is not as the page says."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    SGD, Adam, AdamW = torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW
    plain = {"solver": "sgd", "momentum": 0.0}
    with_momentum = {"solver": "sgd", "momentum": 0.9, "nesterovs_momentum": False}
    nesterov = {"solver": "sgd", "momentum": 0.9, "nesterovs_momentum": True}
    momentum = {"optimizer__momentum": 0.9}
    # torch adds epsilon to the corrected root, we before the correction.
    adam, eps = {"solver": "adam", "epsilon": 1e-12}, {"optimizer__eps": 1e-12}
    cosine = {"callbacks": [("rate", LRScheduler("CosineAnnealingLR", T_max=50))]}
    weighted = {"criterion__weight": torch.tensor([1.0, 2.0, 3.0]).double()}
    class_weight = {"class_weight": {0: 1, 1: 2, 2: 3}}
    print("| training | largest difference | largest change of a weight |")
    print("| --- | --- | --- |")
    same = {
        "SGD, one step": compared(SGD, {}, plain, epochs=1),
        "SGD, 50 steps": compared(SGD, {}, plain, epochs=50),
        "SGD, 20 epochs of 3 batches": compared(
            SGD, {}, plain, epochs=20, batch_size=50
        ),
        "SGD with momentum, 50 steps": compared(
            SGD, momentum, with_momentum, epochs=50
        ),
        "SGD with Nesterov's momentum, 50 steps": compared(
            SGD, {**momentum, "optimizer__nesterov": True}, nesterov, epochs=50
        ),
        "SGD, 50 steps of a cosine": compared(
            SGD, cosine, {**plain, "learning_rate": "cosine"}, epochs=50
        ),
        "SGD with weights of classes, 50 steps": compared(
            SGD, weighted, {**plain, **class_weight}, epochs=50, total_weight=300
        ),
        "Adam, 50 steps": compared(Adam, eps, adam, epochs=50, lr=1e-3),
    }
    for name, found in same.items():
        line(name, found)
    decoupled = compared(AdamW, eps, adam, epochs=50, lr=1e-3)
    line("AdamW, 50 steps (another decay)", decoupled)
    wrong = {name: found for name, found in same.items() if found[0] > SAME}
    if wrong or decoupled[0] <= SAME:
        raise SystemExit(f"Not as the page says: {wrong}, AdamW: {decoupled}")


if __name__ == "__main__":
    main()
