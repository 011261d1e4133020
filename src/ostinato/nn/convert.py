"""torch's recurrent modules into ours inside any model, and back."""

from __future__ import annotations

from typing import Any, TypeVar

import torch

from .recurrent import GRU, LSTM, RNN

Model = TypeVar("Model", bound=torch.nn.Module)

_OURS: dict[type, type] = {torch.nn.LSTM: LSTM, torch.nn.GRU: GRU, torch.nn.RNN: RNN}
_TORCHS: dict[type, type] = {ours: torchs for torchs, ours in _OURS.items()}


def convert(module: Model) -> Model:
    """Make every `torch.nn.LSTM`, `GRU` and `RNN` in a model, or the model itself, one of ours.

    Each keeps its identity, and with it its parameters, hooks, and place in optimizers and parent modules; only its
    class changes. Subclasses (a user's own, or what `torch.nn.utils.parametrize` makes) are left as they are.

    Returns:
        The same module.
    """
    for one in module.modules():
        if type(one) in _OURS:
            one.__class__ = _OURS[type(one)]
    return module


def revert(module: Model) -> Model:
    """Undo `convert`: make every recurrent module of ours in a model one of torch's, in the same way.

    Returns:
        The same module.

    Raises:
        ValueError: a module truncates or clips gradients, which torch's cannot; none has been changed.
    """
    ours: list[Any] = [one for one in module.modules() if type(one) in _TORCHS]
    for one in ours:
        if bounds := one._bounds():
            torchs = _TORCHS[type(one)]
            raise ValueError(f"{bounds}, which {torchs.__module__}.{torchs.__name__} cannot do; set it to None first")
    for one in ours:
        one.__class__ = _TORCHS[type(one)]
        for name in ("backend", "truncate_gradient", "clip_recurrent_gradient", "recompute", "saved_dtype", "_known"):
            vars(one).pop(name, None)
    return module
