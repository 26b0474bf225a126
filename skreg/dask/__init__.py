"""Training on a Dask cluster: the rows stay on the workers, θ goes to them."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from skreg._models.classifier import RegularizedMLPClassifier
from skreg._models.guards import unchanged_on_error
from skreg._training.advice import warn_of_fit
from skreg._training.callbacks import Task, given_only
from skreg._training.constraints import fit_context
from skreg._training.fit import train
from skreg.dask._partitions import collections, rows_on_workers
from skreg.dask._steps import RemoteProblem, forget

_Classifier = TypeVar("_Classifier", bound=RegularizedMLPClassifier)


def fit(
    estimator: _Classifier,
    X: Any,
    y: Any,
    *,
    sample_weight: Any = None,
    client: Any = None,
) -> _Classifier:
    """Minimise J over all partitions; they stay on the workers.

        J = 1/m Σ_p Σ_{i in p} w_i CE(A_i, Y_i) + lambd/(2m) Σ W²

    is a sum over the partitions p, and so is its gradient; m = Σ w_i is the total
    weight. Each step sends θ to the workers, which compute the sum of each partition
    where it lies, and one vector of the size of θ comes back. For 'lbfgs', and for
    'sgd' and 'adam' with ``batch_size="full"``, the result is that of
    ``estimator.fit`` on the same rows but for rounding, whatever the partitions are.
    With mini-batches each batch has rows of all partitions, and with dropout the masks
    are others than those of a local fit.

    Parameters
    ----------
    estimator : RegularizedMLPClassifier
        It is fitted in place. ``scoring`` must be 'loss' where it is used.
    X : dask.array.Array or dask DataFrame of shape (n_samples, n_features)
        The rows, of float32 or float64 or what becomes float64; blocks may be
        scipy.sparse. The lengths of partitions need not be known, and partitions may be
        empty.
    y : dask Array, Series or DataFrame of shape (n_samples,) or (n_samples, n_labels)
        The classes; or 0 and 1 for each label of a multilabel problem. A partition may
        lack classes. It has the partitions of X, or lengths that are known for both.
    sample_weight : dask Array or Series of shape (n_samples,), default=None
        The weight of each row, at least 0; None for equal weights.
    client : distributed.Client, default=None
        The cluster; None for the client of the context, which is the one made last.

    Returns
    -------
    estimator : RegularizedMLPClassifier
        The fitted estimator, with the fitted attributes of a local ``fit``.

    Raises
    ------
    ImportError
        If dask or distributed is not installed.
    TypeError
        If X, y or ``sample_weight`` is no Dask collection, ``estimator`` no
        RegularizedMLPClassifier, or ``client`` no synchronous client.
    ValueError
        If there is no client, if partitions do not match, or as in ``fit``; what is
        wrong in a partition names it, counted from 0. The estimator keeps what it had.
    KeyboardInterrupt
        When it is interrupted; the estimator is that of the last complete epoch, as in
        ``fit``.

    Warns
    -----
    ConvergenceWarning
        If ``max_iter`` ends the training; ``converged_`` is then False.
    FitAdviceWarning, RegularizationWarning
        As :meth:`RegularizedMLPClassifier.fit`.

    See Also
    --------
    RegularizedMLPClassifier.fit : The same for rows in memory.
    RegularizedMLPClassifier.partial_fit : For rows that come one part at a time.

    Notes
    -----
    A step is a round trip to the cluster, and the default ``batch_size`` makes one for
    every 200 rows or fewer: set ``batch_size="full"``, or 10⁵ rows and more.

    Rows of partitions are kept in the memory of the workers while it runs. If a worker
    dies, its partitions are computed again from the collection, and the fit goes on to
    the same result. Callbacks get the collections as they were given.

    Examples
    --------
    >>> import dask.array as da
    >>> from distributed import Client
    >>> from sklearn.datasets import load_iris
    >>> from skreg import RegularizedMLPClassifier
    >>> from skreg.dask import fit
    >>> X, y = load_iris(return_X_y=True)
    >>> client = Client(processes=False, n_workers=2, dashboard_address=":0")
    >>> model = fit(
    ...     RegularizedMLPClassifier(solver="lbfgs", tol=0.01, random_state=0),
    ...     da.from_array(X, chunks=(50, 4)),
    ...     da.from_array(y, chunks=50),
    ... )
    >>> client.close()
    >>> model.predict(X[[0, 60, 149]])
    array([0, 1, 2])
    """
    _check_libraries()
    if not isinstance(estimator, RegularizedMLPClassifier):
        raise TypeError(
            f"estimator is of the type {type(estimator).__name__}, but skreg.dask.fit "
            "trains a RegularizedMLPClassifier. Do the steps before it, such as "
            "scaling, on the collections (dask.array, or dask-ml)."
        )
    try:
        with _room_for_tasks():
            _fit(estimator, X, y, sample_weight, client)
    except BaseException as error:
        # The client keeps the errors of tasks; their frames would keep the partitions.
        traceback.clear_frames(error.__traceback__)
        raise
    return estimator


@fit_context(prefer_skip_nested_validation=True)
def _fit(
    estimator: RegularizedMLPClassifier, X: Any, y: Any, sample_weight: Any, client: Any
) -> None:
    """``fit``; the decorator checks the parameters and ends the callbacks."""
    _check_scoring(estimator)
    client = _client(client)
    try:
        with unchanged_on_error(estimator):
            goes_on = estimator.warm_start and hasattr(estimator, "coefs_")
            given = collections(X, y, sample_weight)
            data = rows_on_workers(client, estimator, given, goes_on)
            metadata = given_only(sample_weight=sample_weight) or None
            task = Task(estimator, {"X": X, "y": y, "metadata": metadata})
            before = estimator._before if goes_on else None
            (result,) = train(
                [estimator], data, before=before, task=task, problem_type=RemoteProblem
            )
            estimator._keep_fit(result)
        estimator._end_fit(result, task, data)
        warn_of_fit(estimator, data, None, is_new=not goes_on)
    finally:
        # Nothing is left in the memory of the workers.
        if client.status == "running":
            client.run(forget, on_error="ignore")


def _check_scoring(estimator: RegularizedMLPClassifier) -> None:
    watches = estimator.early_stopping or estimator.train_scores
    if watches and estimator.scoring != "loss":
        raise ValueError(
            f"scoring={estimator.scoring!r}: a scorer of scikit-learn needs all rows "
            "in one place, and skreg.dask.fit leaves them on the workers. Set "
            "scoring='loss', or early_stopping=False and train_scores=False."
        )


@contextmanager
def _room_for_tasks() -> Iterator[None]:
    """In a task of a worker, give its thread to the tasks that are waited for."""
    from distributed import rejoin, secede
    from distributed.worker import thread_state  # type: ignore[attr-defined]

    if not hasattr(thread_state, "execution_state"):
        yield
        return
    secede()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        rejoin()  # type: ignore[no-untyped-call]


def _client(client: Any) -> Any:
    """The client, or that of the context."""
    from distributed import Client, get_client

    if client is None:
        try:
            client = get_client()
        except ValueError:
            raise ValueError(
                "There is no Dask client. Make one first, which the fit then uses: "
                "`from distributed import Client; client = Client()` for workers on "
                "this machine, or Client('tcp://address-of-the-scheduler:8786'); or "
                "give it as client=..."
            ) from None
    if not isinstance(client, Client) or client.asynchronous:
        raise TypeError(
            f"client={client!r}: give a distributed.Client that is not asynchronous."
        )
    if client.status != "running":
        raise ValueError(
            f"client={client!r} is {client.status}: make a new one, which the fit then "
            "uses, or give one that is running."
        )
    return client


def _check_libraries() -> None:
    try:
        import dask.array  # noqa: F401
        import distributed  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "skreg.dask needs the libraries dask and distributed: "
            'pip install "skreg[distributed]"'
        ) from error
