"""What all displays do: whom they take, what they hand on, how they fail."""

import sys
from doctest import DocTestFinder
from inspect import signature

import matplotlib.pyplot as plt
import numpy as np
import pytest
from pictures import X, small, y
from sklearn.ensemble import VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skreg
from skreg import (
    LossCurveDisplay,
    RegularizationGridDisplay,
    RegularizedMLPClassifierCV,
    RegularizedMLPEnsemble,
    WeightDistributionDisplay,
)

OF_NETWORKS = [LossCurveDisplay, WeightDistributionDisplay]
DISPLAYS = [*OF_NETWORKS, RegularizationGridDisplay]

every_display = pytest.mark.parametrize("display", DISPLAYS)
of_networks = pytest.mark.parametrize("display", OF_NETWORKS)


@pytest.fixture(scope="module")
def search():
    """A search that each display can draw."""
    return GridSearchCV(small(max_iter=2), {"lambd": [1]}, cv=2).fit(X, y)


@every_display
def test_a_display_is_of_the_package_itself(display, search):
    assert getattr(skreg, display.__name__) is display
    drawn = display.from_estimator(search)
    assert repr(drawn).startswith(f"<skreg.{display.__name__} object at ")
    # Each is a thing of its own.
    assert drawn != display.from_estimator(search)
    assert len({drawn, drawn}) == 1


@every_display
def test_doctest_finds_the_examples(display):
    file = sys.modules[display.plot.__module__]
    found = {test.name.split(".__test__.")[-1] for test in DocTestFinder().find(file)}
    of_methods = [f"{display.__name__}.{name}" for name in ("plot", "from_estimator")]
    assert {display.__name__, *of_methods} <= found


@every_display
def test_from_estimator_hands_each_keyword_of_plot_on(display, search, monkeypatch):
    given = {}
    parameters = signature(display.plot).parameters
    of_plot = {name: object() for name in parameters if name not in ("self", "name")}

    def plot(self, ax=None, **plot_kw):
        given.update(plot_kw, ax=ax)
        return self

    monkeypatch.setattr(display, "plot", plot)
    assert type(display.from_estimator(search, **of_plot)) is display
    assert given == of_plot
    display.from_estimator(search)
    assert given["ax"] is None


@every_display
def test_a_keyword_that_plot_does_not_know(display, search):
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        display.from_estimator(search, colour="red")
    assert plt.get_fignums() == []


@every_display
def test_without_matplotlib(display, search, monkeypatch):
    drawn = display.from_estimator(search)
    for name in [name for name in sys.modules if name.startswith("matplotlib")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for call in drawn.plot, lambda: display.from_estimator(search):
        with pytest.raises(ImportError, match=r'pip install "skreg\[plot\]"'):
            call()


@of_networks
def test_what_is_not_fitted(display):
    for estimator in (
        small(),
        make_pipeline(StandardScaler(), small()),
        GridSearchCV(small(), {"lambd": [1]}),
        RegularizedMLPEnsemble(),
        RegularizedMLPClassifierCV(),
    ):
        with pytest.raises(NotFittedError):
            display.from_estimator(estimator)
    assert plt.get_fignums() == []


@of_networks
def test_what_is_no_network(display):
    with pytest.raises(
        TypeError, match=r"Display is for fitted networks.* LogisticRegression has no"
    ):
        display.from_estimator(make_pipeline(LogisticRegression().fit(X, y)))
    with pytest.raises(TypeError, match="LogisticRegression has no"):
        display.from_estimator(
            VotingClassifier([("one", LogisticRegression())]).fit(X, y)
        )
    with pytest.raises(TypeError):
        display.from_estimator("a string")


@of_networks
def test_a_search_without_refit(display):
    search = GridSearchCV(small(max_iter=2), {"lambd": [1]}, cv=2, refit=False)
    with pytest.raises(ValueError, match="refit=True"):
        display.from_estimator(search.fit(X, y))


@of_networks
def test_a_constant_model(display):
    constant = small().fit(X, np.zeros(len(X)))
    with pytest.raises(ValueError, match="constant, since y had one class"):
        display.from_estimator(constant)
    with pytest.raises(ValueError, match="constant"):
        display.from_estimator(
            RegularizedMLPEnsemble(small(), 2).fit(X, np.zeros(len(X)))
        )


def test_axes_that_do_not_fit(network):
    draw, draw_weights = (display.from_estimator for display in OF_NETWORKS)
    figure, axes = plt.subplots(2, 2)
    with pytest.raises(ValueError, match="ax has 4 Axes: give 1, since all lines"):
        draw(network, ax=axes)
    with pytest.raises(ValueError, match="ax has 4 Axes: give 3, one for each layer"):
        draw_weights(network, ax=axes)
    with pytest.raises(ValueError, match="ax has 1 Axes: give 3"):
        draw_weights(network, ax=axes[0, 0])
    for draw_one in draw, draw_weights:
        with pytest.raises(TypeError, match="ax has a Figure in it: give Axes"):
            draw_one(network, ax=figure)
    # Any arrangement of the right number will do.
    three = np.array([axes[0, 0], axes[1, 0], axes[0, 1]]).reshape(3, 1)
    draw_weights(network, ax=three)
    assert [ax.has_data() for ax in axes.ravel()] == [True, True, True, False]
