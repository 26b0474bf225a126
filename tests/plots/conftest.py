"""Settings for the tests of the displays: each starts and ends without a figure."""

import matplotlib.pyplot as plt
import pytest
from pictures import X, small, y


@pytest.fixture(autouse=True)
def _no_figure_stays_open():
    plt.close("all")
    yield
    plt.close("all")


@pytest.fixture(scope="session")
def network():
    """A fitted network that no test changes."""
    return small().fit(X, y)
