"""J(θ) and its gradient, from one forward pass."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from skreg._network import Array
from skreg._network.activations import Activation
from skreg._network.calls import (
    Calls,
    Plan,
    blocks_with_scratch,
    either,
    plan,
    run,
)
from skreg._network.dropout import by_units
from skreg._network.kernels import penalise
from skreg._network.loss import Output
from skreg._network.propagation import (
    Workspace,
    add_bias,
    backward,
    bias_gradient,
    forward,
    forward_to_logits,
    training_workspace,
)
from skreg._network.theta import Layer, Layout


class Batch(NamedTuple):
    """Some rows of the training set; columns are samples.

    X is (..., n_x, m) and Y (..., n_y, m). ``share`` (..., m) is the part of each
    sample in the mean of its batch: its weight (mean 1) over the rows of the batch.
    ``steady`` says that this same object comes again, perhaps with other rows in its
    arrays.
    """

    X: Array
    Y: Array
    share: Array
    steady: bool = False


class _Buffers(NamedTuple):
    """What is written for batches of one size; ``masks`` only with dropout."""

    workspace: Workspace
    masks: Array | None
    scratch: Array
    losses: Array
    loss: Array


class Objective:
    """J = Σ share · CE(A3, Y) + 1/2 Σ decay · W², and its gradient.

    With ``share`` = 1/m and ``decay`` = lambd/m this is the documents' cost. A call
    takes one batch, cut into chunks, draws new masks, writes the gradient at θ into
    ``gradient`` and returns J.

    Parameters
    ----------
    theta : ndarray of shape (..., n_parameters)
        The parameters, read at each call: a solver changes them in place.
    decay : float or ndarray of shape (..., n_layers)
        ``lambd`` over the total training weight, of all layers or of each.
    fill_masks : callable or None
        ``fill_masks(D)`` draws D1, D2, … into D of shape (..., n_hidden_units, m);
        None for no dropout. If it has a ``which``, D has as many masks as that has
        numbers, which say whose is which.
    drop_inputs : callable or None
        ``drop_inputs(X)`` gives X with a part of its values dropped; None for none.
    """

    def __init__(
        self,
        layout: Layout,
        activation: Activation,
        output: Output,
        theta: Array,
        *,
        decay: float | Array,
        fill_masks: Callable[[Array], None] | None = None,
        drop_inputs: Callable[[Any], Any] | None = None,
    ) -> None:
        self.layout = layout
        self.activation = activation
        self.output = output
        self.theta = theta
        self.gradient = np.empty_like(theta)
        self.fill_masks = fill_masks
        self.drop_inputs = drop_inputs
        self.layers = layout.layers(theta)
        self._gradients = layout.layers(self.gradient)
        decay = np.asarray(decay, dtype=theta.dtype)
        of_weights, n_weights = layout.for_each_weight(decay), layout.n_weights
        penalised = theta[..., :n_weights], self.gradient[..., :n_weights], of_weights
        if theta.ndim > 1:
            # The biases of a network lie between its weights and the next one's. They
            # take part with a decay of zero: without gaps it is faster.
            of_all = np.zeros_like(theta)
            of_all[..., :n_weights] = of_weights
            penalised = theta, self.gradient, of_all
        decayed = blocks_with_scratch(*penalised) if decay.any() else []
        # W · decay · W of each block, or of all in the first.
        self._penalties = [np.zeros(theta.shape[:-1], theta.dtype) for _ in decayed]
        lines: Calls = (
            call
            for block, penalty in zip(decayed, self._penalties, strict=True)
            for call in _penalty(block, penalty)
        )
        if decayed:
            by_layer = np.zeros((*theta.shape[:-1], len(layout.sizes)), theta.dtype)
            by_layer += decay
            ends, out = np.cumsum(layout.sizes), self._penalties[0]
            lines = either(penalise, lines, theta, self.gradient, by_layer, ends, out)
        self._penalty_plan = plan(lines)
        if len(self._penalty_plan) == 1:
            del self._penalties[1:]
        # The gradient of a chunk after the first, where a batch has several.
        self._part: Array | None = None
        self._buffers: dict[tuple[int, bool], _Buffers] = {}
        # By id, with the batch itself, so that it is no other's.
        self._plans: dict[int, tuple[Batch, Plan, Array]] = {}

    def __call__(self, chunks: Iterable[Batch]) -> Any:
        """J of shape (...,) at θ; its gradient is in ``gradient``."""
        chunks = iter(chunks)
        cost = self._data_term(next(chunks))
        for chunk in chunks:
            if self._part is None:
                self._part = np.empty_like(self.gradient)
                self._part_layers = self.layout.layers(self._part)
            cost = cost + self._loss_and_gradients(chunk, self._part_layers)
            self.gradient += self._part
        for call in self._penalty_plan:
            call()
        for penalty in self._penalties:
            cost = cost + 0.5 * _value(penalty)
        return cost

    def data_loss(self, chunks: Iterable[Batch]) -> Any:
        """Σ share · CE(A3, Y) without dropout and penalty, as for validation rows."""
        loss: Any = 0.0
        for batch in chunks:
            buffers = self._buffers_for(batch.X.shape[-1], dropout=False)
            run(forward(batch.X, self.layers, self.activation, buffers.workspace))
            run(self._losses(batch, buffers))
            loss = loss + _value(buffers.loss)
        return loss

    def release(self) -> None:
        """Give back the workspaces, which the next call makes anew."""
        self._buffers.clear()
        self._plans.clear()

    def _data_term(self, batch: Batch) -> Any:
        """Σ share · CE(A3, Y), planned for a batch that comes again."""
        if id(batch) not in self._plans:
            if not batch.steady or self.drop_inputs is not None:
                return self._loss_and_gradients(batch, self._gradients)
            buffers = self._buffers_for(batch.X.shape[-1], dropout=True)
            planned = plan(self._pass(batch, self._gradients, buffers))
            self._plans[id(batch)] = batch, planned, buffers.loss
        _, planned, loss = self._plans[id(batch)]
        for call in planned:
            call()
        return _value(loss)

    def _loss_and_gradients(self, batch: Batch, gradients: tuple[Layer, ...]) -> Any:
        if self.drop_inputs is not None:
            batch = batch._replace(X=self.drop_inputs(batch.X))
        buffers = self._buffers_for(batch.X.shape[-1], dropout=True)
        run(self._pass(batch, gradients, buffers))
        return _value(buffers.loss)

    def _pass(
        self, batch: Batch, gradients: tuple[Layer, ...], buffers: _Buffers
    ) -> Calls:
        """Forward with new masks, and back."""
        X, Y, share, _ = batch
        workspace, masks, _, _, loss = buffers
        Z, dZ, b, db = workspace.Z, workspace.dZ, self.layers[-1].b, gradients[-1].b
        if self.fill_masks is not None and masks is not None:
            yield self.fill_masks, masks
        yield from forward_to_logits(X, self.layers, self.activation, workspace)
        lines = self._loss_and_errors(batch, buffers, db)
        yield from either(self.output.kernel, lines, Z, b, Y, share, dZ, db, loss)
        yield from backward(X, self.layers, gradients, self.activation, workspace)

    def _loss_and_errors(self, batch: Batch, buffers: _Buffers, db: Array) -> Calls:
        """Σ share · CE, dZ = share (A - Y) and db of the last layer."""
        Z, dZ = buffers.workspace.Z, buffers.workspace.dZ
        yield from add_bias(Z, self.layers[-1].b)
        yield from self._losses(batch, buffers)
        yield np.multiply, dZ, batch.share[..., np.newaxis, :], dZ
        yield from bias_gradient(dZ, db, buffers.workspace)

    def _losses(self, batch: Batch, buffers: _Buffers) -> Calls:
        """Σ share · CE and A - Y, from the logits."""
        workspace, _, scratch, losses, loss = buffers
        Z, dZ = workspace.Z, workspace.dZ
        yield from self.output.losses(Z, batch.Y, dZ, scratch, losses)
        yield _vecdot(losses), losses, batch.share, loss

    def _buffers_for(self, n_samples: int, *, dropout: bool) -> _Buffers:
        """One workspace for each batch size."""
        dropout = dropout and self.fill_masks is not None
        buffers = self._buffers.get((n_samples, dropout))
        if buffers is None:
            layout, dtype = self.layout, self.theta.dtype
            axes = self.theta.shape[:-1]
            masks, which = None, getattr(self.fill_masks, "which", None)
            if dropout:
                made = axes if which is None else (max(which) + 1,)
                shape = *made, sum(layout.hidden_units), n_samples
                masks = by_units(shape, dtype)
            workspace = training_workspace(
                layout,
                self.activation,
                n_samples,
                dtype,
                axes=axes,
                masks=masks,
                which=which,
            )
            buffers = _Buffers(
                workspace,
                masks,
                scratch=np.empty_like(workspace.Z),
                losses=np.empty((*axes, n_samples), dtype=dtype),
                loss=np.empty(axes, dtype=dtype),
            )
            self._buffers[n_samples, dropout] = buffers
        return buffers


def _value(of_networks: Array) -> Any:
    """A number, or a new array of one for each network: the next call writes over it.

    numpy's functions of one number take as long as a product of small matrices.
    """
    return of_networks.astype(float) if of_networks.ndim else of_networks.item()


def _penalty(block: tuple[Array, ...], out: Array) -> Calls:
    """dW += decay W; W · decay W goes to ``out``."""
    W, dW, decay, decayed = block
    yield np.multiply, W, decay, decayed
    yield np.add, dW, decayed, dW
    yield _vecdot(W), W, decayed, out


def _vecdot(vectors: Array) -> Callable[..., Any]:
    """For one vector np.dot, which takes less time to call."""
    return np.dot if vectors.ndim == 1 else np.vecdot
