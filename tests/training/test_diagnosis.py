"""The one warning, of columns that are not scaled and of training that has no end."""

from functools import partial

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_wine
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import StandardScaler

from skreg import RegularizedMLPClassifier, RegularizedMLPClassifierCV

classifier = partial(
    RegularizedMLPClassifier,
    hidden_layer_sizes=(4,),
    learning_rate="cosine",
    max_iter=3,
    random_state=0,
)


def table(n_rows=60, n_columns=5):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, n_columns))
    return X, (X[:, 0] > 0).astype(int)


@pytest.mark.parametrize("factor", [30.0, 1e5, 1e8])
@pytest.mark.parametrize("make", [np.asarray, sparse.csr_matrix, np.float32])
def test_a_column_far_from_1_is_named(factor, make):
    X, y = table()
    X[:, 3] *= factor
    largest = f"{np.abs(X[:, 3]).max():.3g}"
    with pytest.warns(UserWarning, match="StandardScaler") as caught:
        classifier().fit(make(X), y)
    (warning,) = caught
    text = str(warning.message)
    assert text.startswith("1 of the 5 columns of X ")
    assert f"in column 3 is {largest}. " in text
    assert warning.filename == __file__
    assert warning.category is UserWarning


def test_the_name_of_the_column_is_told():
    X, y = load_wine(return_X_y=True, as_frame=True)
    with pytest.warns(UserWarning, match=r"column 12 \('proline'\) is 1\.68e\+03"):
        classifier().fit(X, y)


def test_a_warm_start_does_not_warn_again():
    X, y = table()
    X[:, 2] *= 1000
    model = classifier(warm_start=True)
    with pytest.warns(UserWarning, match="column 2 is"):
        model.fit(X, y)
    model.fit(X, y)


def test_one_warning_tells_all():
    X, y = table()
    X[:, 1] *= 100
    with pytest.warns(ConvergenceWarning) as caught:
        classifier(learning_rate="constant").fit(X, y)
    (warning,) = caught
    assert "before it had converged" in str(warning.message)
    assert "StandardScaler" in str(warning.message)


@pytest.mark.parametrize("factor", [1e-6, 0.004, 0.02])
def test_all_columns_may_be_too_small(factor):
    X, y = table()
    X = np.clip(X, -2, 2) * factor
    with pytest.warns(UserWarning, match="^5 of the 5 columns of X"):
        classifier().fit(X, y)


@pytest.mark.parametrize("offset", [5.0, 19.0])
def test_columns_far_from_zero_for_their_spread(offset):
    X, y = table()
    X[:, 2] = 0.1 * X[:, 2] + offset
    with pytest.warns(UserWarning, match="^1 of the 5 columns .* in column 2 is"):
        classifier().fit(X, y)


@pytest.mark.parametrize(
    ("root", "mean", "warns"),
    [(19.9, 0, False), (20.1, 0, True), (4, 0.97, False), (4, 0.999, True)],
)
def test_the_limits_of_a_column(root, mean, warns):
    """Its root mean square, and the part of it that the mean is."""
    X, y = table()
    column = X[:, 1] - X[:, 1].mean()
    column *= root * np.sqrt(1 - mean**2) / column.std()
    X[:, 1] = column + root * mean
    model = classifier()
    if not warns:
        model.fit(X, y)
        return
    with pytest.warns(UserWarning, match="in column 1 is"):
        model.fit(X, y)


def test_the_worst_of_the_wrong_columns_is_named():
    X, y = table()
    X[:, 0] *= 1e-5
    X[:, 1] *= 100
    X[:, 4] *= 50
    with pytest.warns(UserWarning, match="^2 of the 5 columns .* in column 1 is"):
        classifier().fit(X, y)


def test_rows_of_weight_zero_are_not_looked_at():
    X, y = table()
    weight = np.ones(60)
    weight[::7] = 0
    good = X.copy()
    X[::7] *= 1e6
    classifier().fit(X, y, weight)
    good[1] *= 1e6
    with pytest.warns(UserWarning, match="^5 of the 5 columns"):
        classifier().fit(good, y, weight)


def test_what_learns_well_is_not_warned_of():
    X, y = table()
    X[:, 0] = np.where(np.arange(60) < 59, 0, 60**0.5)  # the most that a z-score is
    X[:, 1] = 0
    X[:, 2] = 1
    classifier().fit(X, y)
    # What is left of constant columns is numerical dust.
    X[:, 1], X[:, 2] = 0.1, 0.7
    classifier().fit(StandardScaler().fit_transform(X * 1e6), y)
    classifier().fit(PCA().fit_transform(np.c_[X, X[:, 3] + X[:, 4]]), y)
    words = np.random.default_rng(0).zipf(1.5, size=(60, 200)).clip(max=3000)
    texts = [" ".join(f"word{word}" for word in row) for row in words]
    classifier().fit(TfidfVectorizer().fit_transform(texts), y)
    rare = sparse.csr_matrix((np.ones(60), (np.arange(60), np.arange(60))))
    classifier().fit(rare, y)
    images = np.random.default_rng(0).integers(0, 256, size=(60, 20)) / 255
    images[:, 0] = 0
    images[7, 0] = 1 / 255
    classifier().fit(images, y)
    often = (np.random.default_rng(0).random((60, 4)) < 0.995).astype(float)
    classifier().fit(np.c_[X, often], y)


def test_partial_fit_warns_in_the_first_call():
    X, y = table()
    X[:, 2] *= 1000
    model = classifier()
    with pytest.warns(UserWarning, match="column 2 is") as caught:
        model.partial_fit(X, y, classes=[0, 1])
    (warning,) = caught
    assert warning.filename == __file__
    model.partial_fit(X, y)


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("refit", [True, False])
@pytest.mark.parametrize("lambds", [(0.1, 1.0), (1.0,)])
def test_a_search_warns_once(make, refit, lambds):
    X, y = table()
    X[:, 2] *= 1000
    search = RegularizedMLPClassifierCV(
        lambds, (1.0,), hidden_layer_sizes=(4,), max_iter=3, refit=refit, n_refits=2
    )
    with pytest.warns(UserWarning, match="column 2 is") as caught:
        search.fit(make(X), y)
    (warning,) = caught
    assert warning.filename == __file__


def test_a_column_of_zeros_among_small_ones_in_float32():
    X = np.zeros((60, 2), dtype=np.float32)
    X[0, 0] = 0.05
    with pytest.warns(UserWarning, match="^1 of the 2 columns .* in column 0 is 0.05"):
        classifier().fit(X, np.arange(60) % 2)
