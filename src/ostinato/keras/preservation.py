"""The norm-preserving penalty in the training steps of a Keras model."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from .. import scan
from . import seen


class NormPreservingPenalty(seen.Guest):
    """Adds to the loss a penalty under which gradients keep their norm from step to step (Pascanu, Mikolov & Bengio
    2013, 1211.5063, eq. 9), in every recurrent layer of the model that has weights to train.

        Omega = sum_t (|dL/ds_{t+1} ds_{t+1}/ds_t| / |dL/ds_{t+1}| - 1)^2

    What is summed, and what counts as constant, is that of `ostinato.nn.norm_preserving_penalty`; Omega is divided by
    the rows of the batch. Its gradient joins that of the loss while the backward pass runs, before the optimizer clips
    and takes its step, whatever the model's `train_step`. The loss that `fit` reports is without it; the mean of Omega
    over an epoch is in the logs as `norm_preserving_penalty`.
    """

    def __init__(self, factor: float) -> None:
        """What the penalty counts beside the loss.

        Args:
            factor: of Omega, above 0.

        Raises:
            ValueError: it is no such number.
        """
        super().__init__()
        if isinstance(factor, bool) or not isinstance(factor, Real) or not 0 < factor < math.inf:
            raise ValueError(f"factor is {factor!r}; expected a number above 0")
        self.factor: float = float(factor)
        self._found: list[Tensor] = []

    def on_train_begin(self, logs: Any = None) -> None:
        """Take the place of the model's training step.

        Raises:
            ValueError: Keras does not run on torch step by step.
        """
        seen.check_eager(self.model, "NormPreservingPenalty")
        seen.release(self.model, type(self))  # what a training that was interrupted has left
        step = self.model.train_step

        def penalised(data: Any) -> Any:
            with scan.record() as flows, self._joining(flows):
                return step(data)

        seen.replace(self.model, "train_step", penalised, type(self))

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._found.clear()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if logs is not None and self._found:
            logs["norm_preserving_penalty"] = torch.stack(self._found).mean().item()

    def leave(self) -> None:
        if self.model is not None:
            seen.release(self.model, type(self))

    @contextmanager
    def _joining(self, flows: list[scan.Flow]) -> Iterator[None]:
        """Within the block, the backward pass of the loss brings the gradient of the penalty with it."""
        compute_loss = self.model.compute_loss

        def joined(*args: Any, **kwargs: Any) -> Any:
            loss = compute_loss(*args, **kwargs)
            trained = [
                flow for flow in flows if any(one.requires_grad for w in flow.request.weights for one in w.tensors())
            ]
            if not trained:
                self.leave()
                raise RuntimeError(
                    "NormPreservingPenalty found no recurrent layer with weights to train that runs as a scan; "
                    "ostinato.keras.explain says what runs a layer, and why"
                )
            for flow in trained:
                scan.check_steps_are_alike(flow.request.cell)
            self._join(loss, trained)
            return loss

        seen.replace(self.model, "compute_loss", joined, self._joining)
        try:
            yield
        finally:
            seen.release(self.model, self._joining)

    def _join(self, loss: Tensor, flows: list[scan.Flow]) -> None:
        """Have the backward pass from a loss add to the gradients of the weights."""
        weights = [one.value for one in self.model.trainable_variables]
        scale: list[Tensor] = []  # an optimizer may scale the loss to keep gradients from vanishing in half precision

        def add(_: Any) -> None:
            hook.remove()  # or the next line would come here again
            with torch.enable_grad():
                omega = scan.norm_preserving(flows)
                gradients = torch.autograd.grad(self.factor * scale[0] * omega, weights, allow_unused=True)
            for weight, gradient in zip(weights, gradients, strict=True):
                if gradient is not None:
                    if weight.grad is None:
                        weight.grad = torch.zeros_like(weight)
                    weight.grad += gradient
            self._found.append(omega.detach())

        loss.register_hook(scale.append)
        hook = torch.autograd.graph.register_multi_grad_hook(weights, add)
