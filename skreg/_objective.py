"""J(θ) and its gradient, from one forward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skreg._activations import Activation
from skreg._loss import Output
from skreg._network import Workspace, backward, forward, training_workspace
from skreg._parameters import BLOCK, Layer, Layout, blocks

Array = NDArray[Any]


class Batch(NamedTuple):
    """Some rows of the training set; columns are samples.

    X is (..., n_x, m) and Y (..., n_y, m). ``share`` (..., m) is the part of each
    sample in the mean of its batch: its weight (mean 1) over the rows of the batch.
    """

    X: Array
    Y: Array
    share: Array


class _Buffers(NamedTuple):
    """What is written for batches of one size; ``masks`` only with dropout."""

    workspace: Workspace
    masks: Array | None
    scratch: Array
    losses: Array


class Objective:
    """J = Σ share · CE(A3, Y) + 1/2 Σ decay · W², and its gradient.

    With ``share`` = 1/m and ``decay`` = lambd/m this is the documents' cost. A call
    takes one batch, cut into chunks, draws new masks, writes the gradient at θ into
    ``gradient`` and returns J.

    Parameters
    ----------
    theta : ndarray of shape (..., n_parameters)
        The parameters, read at each call: a solver changes them in place.
    decay : float or ndarray that broadcasts to (..., n_weights)
        ``lambd`` over the total training weight.
    fill_masks : callable or None
        ``fill_masks(D)`` draws D1, D2, … into D of shape (..., n_hidden_units, m);
        None for no dropout.
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
        W, dW = (vector[..., : layout.n_weights] for vector in (theta, self.gradient))
        decay = np.asarray(decay, dtype=theta.dtype)
        self._decayed = list(blocks(W, dW, decay)) if decay.any() else []
        self._scratch = np.empty_like(W[..., :BLOCK])
        # The gradient of a chunk after the first, where a batch has several.
        self._part: Array | None = None
        self._buffers: dict[tuple[int, bool], _Buffers] = {}

    def __call__(self, chunks: Iterable[Batch]) -> Any:
        """J of shape (...,) at θ; its gradient is in ``gradient``."""
        chunks = iter(chunks)
        cost = self._data_term(next(chunks), self._gradients)
        for chunk in chunks:
            if self._part is None:
                self._part = np.empty_like(self.gradient)
                self._part_layers = self.layout.layers(self._part)
            cost = cost + self._data_term(chunk, self._part_layers)
            self.gradient += self._part
        for W, dW, decay in self._decayed:
            decayed = self._scratch[..., : W.shape[-1]]
            np.multiply(W, decay, out=decayed)
            np.add(dW, decayed, out=dW)
            cost = cost + 0.5 * np.float64(np.vecdot(W, decayed))
        return cost

    def data_loss(self, chunks: Iterable[Batch]) -> Any:
        """Σ share · CE(A3, Y) without dropout and penalty, as for validation rows."""
        loss: Any = 0.0
        for batch in chunks:
            buffers = self._buffers_for(batch.X.shape[-1], dropout=False)
            loss = loss + self._losses(batch, buffers)
        return loss

    def _data_term(self, batch: Batch, gradients: tuple[Layer, ...]) -> Any:
        if self.drop_inputs is not None:
            batch = batch._replace(X=self.drop_inputs(batch.X))
        dropout = self.fill_masks is not None
        buffers = self._buffers_for(batch.X.shape[-1], dropout=dropout)
        if self.fill_masks is not None and buffers.masks is not None:
            self.fill_masks(buffers.masks)
        loss = self._losses(batch, buffers)
        workspace = buffers.workspace
        dZ = workspace.dZ
        np.multiply(dZ, batch.share[..., np.newaxis, :], out=dZ)
        backward(batch.X, self.layers, gradients, self.activation, workspace)
        return loss

    def _losses(self, batch: Batch, buffers: _Buffers) -> Any:
        workspace, _, scratch, losses = buffers
        Z = forward(batch.X, self.layers, self.activation, workspace)
        self.output.losses(Z, batch.Y, workspace.dZ, scratch, losses)
        return np.float64(np.vecdot(losses, batch.share))

    def _buffers_for(self, n_samples: int, *, dropout: bool) -> _Buffers:
        """One workspace for each batch size."""
        buffers = self._buffers.get((n_samples, dropout))
        if buffers is None:
            layout, dtype = self.layout, self.theta.dtype
            lead = self.theta.shape[:-1]
            masks = None
            if dropout:
                n_units = sum(layout.hidden_units)
                masks = np.empty((*lead, n_units, n_samples), dtype=dtype)
            workspace = training_workspace(
                layout, n_samples, dtype, lead=lead, masks=masks
            )
            buffers = _Buffers(
                workspace,
                masks,
                scratch=np.empty_like(workspace.Z),
                losses=np.empty((*lead, n_samples), dtype=dtype),
            )
            self._buffers[n_samples, dropout] = buffers
        return buffers
