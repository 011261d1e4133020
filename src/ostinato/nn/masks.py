"""The random sequences that a layer draws in training."""

from __future__ import annotations

import torch
from torch import Tensor

from ..cells import Mask
from .form import Form


def check_rate(name: str, rate: float) -> float:
    """The rate, if it is one.

    Raises:
        ValueError: it is outside 0 <= rate < 1.
    """
    if not 0 <= rate < 1:
        raise ValueError(f"{name} is {rate}; expected a rate of at least 0 and below 1")
    return float(rate)


def draw(mask: Mask, rate: float, form: Form, x: Tensor, units: int, training: bool, per_step: bool | None) -> Tensor:
    """A mask laid out as x with `units` features: drawn with torch's generator in training, else its expectation.

    Args:
        per_step: whether every step has its own mask, or all steps of a row share one; None is what the mask says.
    """
    zoneout = mask.kind == "zoneout"
    shape = (*x.shape[:-1], units)
    if not training or not rate:
        return x.new_tensor(rate if zoneout else 1.0).expand(shape)
    if mask.per_step if per_step is None else per_step:
        return _of(torch.rand(shape, device=x.device, dtype=x.dtype), rate, zoneout)
    row = _of(torch.rand(form.batch, units, device=x.device, dtype=x.dtype), rate, zoneout)
    if form.batch_sizes is not None:
        return torch.cat([row[:alive] for alive in form.batch_sizes.tolist()])
    return row.unsqueeze(1 - form.batch_dim).expand(shape)


def _of(uniform: Tensor, rate: float, zoneout: bool) -> Tensor:
    return (uniform < rate).to(uniform.dtype) if zoneout else (uniform >= rate).to(uniform.dtype) / (1 - rate)
