"""The weights of a trained module as another one's first values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import Tensor

Module = TypeVar("Module", bound=torch.nn.Module)


@torch.no_grad()
def load_weights_from(module: Module, source: torch.nn.Module | Mapping[str, Tensor]) -> Module:
    """Copy the weights of a trained module, or a state dict, into a module of the same tensors.

    Names and shapes are compared before anything is copied; values are converted to the module's dtype and device.
    The two share no memory afterwards. `module.requires_grad_(False)` then keeps the module as it is: gradients flow
    through it, and none to its weights.

    Args:
        module: what is changed.
        source: a module, such as torch's LSTM for this library's, or the state dict of one.

    Returns:
        The same module.

    Raises:
        ValueError: a tensor is missing, left over, or of another shape; the sentence names the first one.
    """
    own = module.state_dict()
    given = source.state_dict() if isinstance(source, torch.nn.Module) else source
    for name, tensor in own.items():
        if name not in given:
            raise ValueError(f"the source has no {name}; expected one of the shape {tuple(tensor.shape)}")
        if given[name].shape != tensor.shape:
            raise ValueError(
                f"{name} has the shape {tuple(given[name].shape)} in the source; expected {tuple(tensor.shape)}"
            )
    for name in given:
        if name not in own:
            raise ValueError(f"the source has {name}, which {type(module).__name__} has not")
    for name, tensor in own.items():
        tensor.copy_(given[name])
    return module
