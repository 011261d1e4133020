"""A torch module as a stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .. import scan
from .form import Ask, Form


def stream(module: Any, batch: int, asks: Callable[[Form], Sequence[Ask]]) -> scan.Stream:
    """A stream through a module's layers, whose states are called after their layer: h_l0, c_l0, h_l1 ...

    Args:
        module: a `Layer`, or one of torch's modules here.
        batch: how many sequences are carried side by side.
        asks: for an input of one step, the scan of each layer as outside training.

    Raises:
        ValueError: the module has two directions, or `batch` is no whole number of at least 1.
        RuntimeError: the compiled kernels cannot serve the module, or its `backend` is another.
    """
    if module.bidirectional:
        raise ValueError("a bidirectional layer has no stream: its second direction begins at the end of a sequence")
    if module.backend not in (None, "cpu"):
        raise RuntimeError(f"a stream runs on the compiled kernels alone, and backend={module.backend!r}")

    def put(layers: scan.Layers) -> None:
        found: Sequence[Any] = (layers.below,)
        for number, ask in enumerate(asks(Form(layers.below, batch_first=True))):
            found = layers.scan(ask(found[0], tuple(found[1:])), f"{{}}_l{number}")

    weight = next(iter(module.state_dict().values()))
    return scan.Stream(put, module.input_size, batch, weight.dtype)
