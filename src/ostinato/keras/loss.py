"""The loss of a model with one output, without what Keras does around it for many."""

from __future__ import annotations

from typing import Any

import keras
import torch
from keras.src.losses.loss import reduce_weighted_values
from keras.src.losses.losses import LossFunctionWrapper
from keras.src.trainers.compile_utils import CompileLoss
from torch import Tensor

from .loop import ON_TORCH

#: Reductions that are the mean of all values where nothing is weighted.
_MEANS = ("sum_over_batch_size", "mean")


def serves(model: Any, y: Any, y_pred: Any, sample_weight: Any) -> bool:
    """Whether `value` is what Keras' `compute_loss` returns.

    That is so for one tensor of truth and one of predictions without a mask, of the loss's own type, where nothing is
    weighted and no layer adds a loss.
    """
    compiled = model._compile_loss
    if not (
        ON_TORCH
        and sample_weight is None
        and type(y) is type(y_pred) is Tensor
        and type(compiled) is CompileLoss
        and compiled.built
        and len(compiled._flat_losses) == 1
        and not torch.compiler.is_compiling()
    ):
        return False
    path, loss, weight, _ = compiled._flat_losses[0]
    return (
        not path
        and weight is None
        and type(loss).__call__ is keras.losses.Loss.__call__
        and loss.reduction in _MEANS
        and loss.dtype == compiled.dtype
        and y.dtype == y_pred.dtype == getattr(torch, loss.dtype)
        and y.device == y_pred.device
        and not hasattr(y_pred, "_keras_mask")
        and not model.losses
    )


def _is_mean_squared_error(loss: Any) -> bool:
    return (
        type(loss).call is LossFunctionWrapper.call
        and loss.fn is keras.losses.mean_squared_error
        and not loss._fn_kwargs
    )


def value(model: Any, y: Tensor, y_pred: Tensor) -> Any:
    """The loss that `serves`."""
    loss = model._compile_loss._flat_losses[0].loss
    if _is_mean_squared_error(loss) and y.shape == y_pred.shape and y.numel():
        return torch.nn.functional.mse_loss(y_pred, y)
    values = loss.call(y, y_pred)
    mask = getattr(values, "_keras_mask", None)
    if mask is None and type(values) is Tensor and values.dim() and values.numel() and values.dtype == y.dtype:
        return values.sum() / values.numel()
    return reduce_weighted_values(values, mask=mask, reduction=loss.reduction, dtype=loss.dtype)
