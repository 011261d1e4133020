"""A training step of a Keras model on torch with less work around it."""

from __future__ import annotations

from typing import Any

import keras
import torch

from . import adam


class Training:
    """Training of a Keras model: `train_step` as Keras has it, with Adam's update by torch's fused kernel.

    Where the optimizer asks for more, or the loop runs elsewhere, the step is Keras' own; so is that of a subclass with
    a `train_step` of its own.
    """

    def train_step(self: Any, data: Any) -> dict[str, Any]:
        """One step on a batch; the values of the metrics."""
        variables = self.trainable_weights
        if not variables or not adam.serves(self.optimizer, variables) or torch.compiler.is_compiling():
            return dict(super().train_step(data))  # type: ignore[misc]
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        y_pred = self(x, training=True) if self._call_has_training_arg else self(x)
        weights = [variable.value for variable in variables]
        for weight in weights:
            weight.grad = None
        loss = self._compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=True)
        rows = next(part for part in keras.tree.flatten(x) if part is not None).shape[0]
        self._loss_tracker.update_state(loss, sample_weight=rows)
        loss.backward()
        if adam.fits(weights):
            adam.apply(self.optimizer, weights)
        else:
            with torch.no_grad():
                self.optimizer.apply([weight.grad for weight in weights], variables)
        return dict(self.compute_metrics(x, y, y_pred, sample_weight=sample_weight))
