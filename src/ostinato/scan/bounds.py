"""What a scan is asked about its gradients and its memory, checked."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Literal, get_args

import torch
from torch import Tensor

SavedDtype = Literal["bfloat16", "float16"]


def check_bounds(
    truncate_gradient: int | None,
    clip_recurrent_gradient: float | None,
    recompute: bool | int | None,
    saved_dtype: SavedDtype | None,
) -> None:
    """Refuse what `scan` would refuse, where it is given.

    Raises:
        ValueError: one of them is neither None nor within its range, or the last two are given together.
    """
    if truncate_gradient is not None:
        check_truncate(truncate_gradient)
    if clip_recurrent_gradient is not None:
        check_clip(clip_recurrent_gradient)
    if recompute is not None:
        check_recompute(recompute)
    if saved_dtype is not None:
        check_saved_dtype(saved_dtype, recompute)


def check_truncate(steps: int) -> int:
    """The number of steps after which gradients are cut, checked.

    Raises:
        ValueError: it is no whole number of at least 1.
    """
    if isinstance(steps, bool) or not isinstance(steps, Integral) or steps < 1:
        raise ValueError(f"truncate_gradient is {steps!r}; expected a whole number of steps of at least 1, or None")
    return int(steps)


def check_clip(most: float) -> float:
    """The bound of the states' gradients, checked; infinity clips nothing.

    Raises:
        ValueError: it is no number above 0.
    """
    if isinstance(most, bool) or not isinstance(most, Real) or not most > 0:
        raise ValueError(f"clip_recurrent_gradient is {most!r}; expected a number above 0, or None")
    return 0.0 if math.isinf(most) else float(most)


def check_recompute(steps: bool | int) -> bool | int:
    """How many steps the backward pass is to run again at a time, checked.

    Raises:
        ValueError: it is neither a truth value nor a whole number of at least 1.
    """
    if isinstance(steps, bool):
        return steps
    if not isinstance(steps, Integral) or steps < 1:
        raise ValueError(f"recompute is {steps!r}; expected True or False, or a whole number of steps of at least 1")
    return int(steps)


def check_saved_dtype(name: str, recompute: bool | int | None = None) -> torch.dtype:
    """What is kept between the passes is rounded to, checked.

    Raises:
        ValueError: it is no name of `SavedDtype`, or nothing is kept that could be rounded.
    """
    if name not in get_args(SavedDtype):
        known = ", ".join(map(repr, get_args(SavedDtype)))
        raise ValueError(f"saved_dtype is {name!r}; expected {known} or None")
    if recompute:
        raise ValueError(
            f"saved_dtype={name!r} rounds what recompute={recompute!r} does not keep; leave one of them out"
        )
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def rounded_to(name: str | None, recompute: bool | int | None, x: Tensor) -> torch.dtype | None:
    """What a scan of `x` rounds to; None is not at all.

    Raises:
        ValueError: as `check_saved_dtype`, or the scan is no float32 one.
    """
    if name is None:
        return None
    dtype = check_saved_dtype(name, recompute)
    if x.dtype != torch.float32:
        raise ValueError(f"saved_dtype={name!r} rounds what float32 scans keep; the input is {x.dtype}")
    return dtype


def piece_length(recompute: bool | int | None, steps: int) -> int:
    """The steps of a piece; 0 if there would be one piece only."""
    chosen = False if recompute is None else check_recompute(recompute)
    length = math.isqrt(steps - 1) + 1 if chosen is True else int(chosen)
    return length if length < steps else 0
