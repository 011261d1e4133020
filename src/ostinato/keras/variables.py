"""What stands in Keras' variables on torch."""

from __future__ import annotations

from typing import Any

from torch import Tensor


def tensor_in(variable: Any) -> Tensor:
    """`variable.value` outside of stateless and autocast scopes, for which that looks each time."""
    tensor: Tensor = variable._value
    return tensor
