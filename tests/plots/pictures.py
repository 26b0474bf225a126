"""What the tests of the displays share: rows, small networks, what a picture has."""

from matplotlib.colors import to_rgba
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import StandardScaler

from skreg import RegularizedMLPClassifier

X, y = load_breast_cancer(return_X_y=True)
X = StandardScaler().fit_transform(X)[:150, :6]
X, y, X_val, y_val = X[:120], y[:120], X[120:], y[120:150]


def small(**parameters):
    """A network that is trained in some milliseconds and warns of nothing."""
    defaults = {
        "hidden_layer_sizes": (8, 4),
        "learning_rate_init": 0.03,
        "max_iter": 12,
        "lambd": 0.5,
        "random_state": 0,
        "early_stopping": False,
    }
    return RegularizedMLPClassifier(**{**defaults, **parameters})


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def shown_ticks(axis):
    """The labels on an axis, within its limits."""
    axis.figure.canvas.draw()
    low, high = sorted(axis.get_view_interval())
    ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
    labels = [tick.label1.get_text() for tick in ticks if low <= tick.get_loc() <= high]
    return [label for label in labels if label]


def colours(lines):
    return {to_rgba(line.get_color()) for line in lines}
