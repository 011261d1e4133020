"""Keras' Adam, updated by torch's fused kernel.

Keras subtracts `lr * sqrt(1 - b2^t) / (1 - b1^t) * m / (sqrt(v) + eps)`; torch
`lr / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + eps)`. They are the same if torch's eps is Keras' divided by
`sqrt(1 - b2^t)`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import torch
from torch import Tensor

from .loop import ON_TORCH
from .variables import tensor_in

_ADAM = type(keras.optimizers.Adam())

#: Options that ask for work beside Adam's own; each is None, False or 0 where it is not used.
_OPTIONS = (
    "amsgrad", "clipnorm", "clipvalue", "global_clipnorm", "gradient_accumulation_steps", "loss_scale_factor",
    "use_ema", "weight_decay",
)  # fmt: skip


def serves(optimizer: Any, variables: Sequence[Any]) -> bool:
    """Whether `apply` does to these variables what `optimizer.apply` does.

    That is so for Keras' Adam itself, built for these very variables, without any of `_OPTIONS`, for weights on the
    CPU without constraints.
    """
    return (
        ON_TORCH
        and type(optimizer) is _ADAM
        and optimizer.built
        and not any(getattr(optimizer, option) for option in _OPTIONS)
        and len(variables) == len(optimizer._trainable_variables)
        and all(ours is theirs for ours, theirs in zip(variables, optimizer._trainable_variables, strict=True))
        and all(v.constraint is None and not v.overwrite_with_gradient for v in variables)
    )


def fits(weights: Sequence[Tensor]) -> bool:
    """Whether torch's fused kernel takes these weights and their gradients."""
    return all(
        weight.device.type == "cpu"
        and weight.dtype in (torch.float32, torch.float64)
        and weight.is_contiguous()
        and (gradient := weight.grad) is not None
        and gradient.layout == torch.strided
        and gradient.is_contiguous()
        for weight in weights
    )


@torch.no_grad()
def apply(optimizer: Any, weights: Sequence[Tensor]) -> None:
    """One step of an optimizer that `serves` these weights, from their gradients."""
    iterations = tensor_in(optimizer.iterations)
    number = int(iterations) + 1
    # what torch.optim.Adam(fused=True) comes down to, behind checks that take as long as the update
    torch._fused_adam_(
        list(weights),
        [weight.grad for weight in weights if weight.grad is not None],
        [tensor_in(momentum) for momentum in optimizer._momentums],
        [tensor_in(velocity) for velocity in optimizer._velocities],
        [],
        [torch.tensor(float(number))] * len(weights),
        lr=float(optimizer.learning_rate),
        beta1=optimizer.beta_1,
        beta2=optimizer.beta_2,
        weight_decay=0.0,
        eps=optimizer.epsilon / math.sqrt(1 - optimizer.beta_2**number),
        amsgrad=False,
        maximize=False,
    )
    iterations.add_(1)
