"""A training step of a Keras model on torch with less work around it."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from functools import wraps
from typing import Any

import keras
import torch

from . import adam, chain, loss
from .loop import ON_TORCH
from .seen import Guest
from .variables import tensor_in

#: Where `fit` takes its callbacks, among the arguments behind the model.
_CALLBACKS = list(inspect.signature(keras.Model.fit).parameters).index("callbacks") - 1


class _InStep(keras.callbacks.Callback):  # type: ignore[misc]
    """Does nothing at the end of a batch, but overrides what is called there: else Keras leaves all callbacks to a
    thread, which takes a processor from those of the kernels at every step."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        pass

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        pass


class Training:
    """Training of a Keras model: `train_step` as Keras has it, with less work around the kernels.

    Chains of recurrent layers are one operation, and Adam's update is torch's fused kernel. Where the optimizer asks
    for more, its update is Keras' own. A subclass may have a `train_step` or a `compute_loss` of its own.
    """

    @wraps(keras.Model.fit)
    def fit(self: Any, *args: Any, **kwargs: Any) -> Any:
        given = args[_CALLBACKS] if len(args) > _CALLBACKS else kwargs.get("callbacks")
        if ON_TORCH and not isinstance(given, keras.callbacks.CallbackList):
            callbacks = [*keras.tree.flatten(given or []), _InStep()]
            if len(args) > _CALLBACKS:
                args = (*args[:_CALLBACKS], callbacks, *args[_CALLBACKS + 1 :])
            else:
                kwargs["callbacks"] = callbacks
        try:
            return super().fit(*args, **kwargs)  # type: ignore[misc]
        finally:
            chain.release(self)
            for one in keras.tree.flatten(getattr(given, "callbacks", given) or []):
                if isinstance(one, Guest):
                    one.leave()

    @wraps(keras.Model.compute_loss)
    def compute_loss(
        self: Any, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        if loss.serves(self, y, y_pred, sample_weight):
            return loss.value(self, y, y_pred)
        return super().compute_loss(x, y, y_pred, sample_weight, training)  # type: ignore[misc]

    def get_metrics_result(self: Any) -> Any:
        """As in Keras: the value of each metric, by name."""
        metrics = self.metrics
        if (
            ON_TORCH
            and len(metrics) == 1
            and type(metrics[0]) is keras.metrics.Mean
            and not torch.compiler.is_compiling()
        ):
            (mean,) = metrics
            total, count = tensor_in(mean.total), tensor_in(mean.count)
            if count.device.type == "cpu" and total.dtype == count.dtype and count:  # else Keras' own: no 0 / 0
                return {mean.name: total / count}
        return super().get_metrics_result()  # type: ignore[misc]

    def train_step(self: Any, *args: Any, **kwargs: Any) -> Any:
        """One step on a batch; the values of the metrics."""
        if not ON_TORCH or torch.compiler.is_compiling():
            return super().train_step(*args, **kwargs)  # type: ignore[misc]
        with chain.training_step():
            variables = self.trainable_weights
            if variables and adam.serves(self.optimizer, variables):
                return self._step_with_adam(*args, **kwargs, variables=variables)
            return super().train_step(*args, **kwargs)  # type: ignore[misc]

    def _step_with_adam(self: Any, data: Any, variables: Sequence[Any]) -> Any:
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        y_pred = self(x, training=True) if self._call_has_training_arg else self(x)
        weights = [tensor_in(variable) for variable in variables]
        for weight in weights:
            weight.grad = None
        total = self._compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=True)
        rows = next(part for part in keras.tree.flatten(x) if part is not None).shape[0]
        _track(self._loss_tracker, total, rows)
        total.backward()
        if adam.fits(weights):
            adam.apply(self.optimizer, weights)
        else:
            with torch.no_grad():
                self.optimizer.apply([weight.grad for weight in weights], variables)
        return self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)


def _track(tracker: Any, number: torch.Tensor, rows: int) -> None:
    """`tracker.update_state(number, sample_weight=rows)`, which for one number comes to two sums."""
    if type(tracker) is not keras.metrics.Mean or number.dim() or number.dtype != tensor_in(tracker.total).dtype:
        tracker.update_state(number, sample_weight=rows)
        return
    with torch.no_grad():
        tensor_in(tracker.total).add_(number * rows)
        tensor_in(tracker.count).add_(rows)
