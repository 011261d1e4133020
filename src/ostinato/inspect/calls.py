"""The calls of a model's recurrent layers: which scans each of them ran, and on what."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from .. import nn, scan
from ..errors import InputError
from ..nn.recurrent import Recurrent as TorchRecurrent


@dataclass(eq=False)
class Call:
    """One call of a recurrent layer.

    Attributes:
        name: of the layer in its model; of a layer that is called again, with the number of the call behind it.
        order: of packed rows the places in the scans at which they stand, else None.
        flows: of each scan that it ran, from the lowest layer of a stack.
    """

    name: str
    order: Tensor | None
    flows: list[scan.Flow]

    def names(self) -> list[str]:
        """Of each scan: the name, and in a stack the number of the layer behind it."""
        return [self.name] if len(self.flows) == 1 else [f"{self.name}.{k}" for k in range(len(self.flows))]


class Watch:
    """The calls of a model's recurrent layers, in the order in which they ended, while it listens.

    Hooks stand on the layers inside the `with` block; what they see counts between `listen` and `rest`.

    Args:
        model: see `layers`.
        from_first: whether gradients are to reach the input of the first layer, also where nothing below it is trained.
        exact: whether the scans run without what changes their gradients alone; see `scan.record`.

    Attributes:
        calls: those that ran scans.
        first: the sequence that went into the first of them, laid out as its scan's input.
    """

    def __init__(self, model: torch.nn.Module, from_first: bool = False, exact: bool = False) -> None:
        self.calls: list[Call] = []
        self.first: Tensor | None = None
        self._layers, self._from_first, self._exact = layers(model), from_first, exact
        self._counts: dict[str, int] = {}
        self._hooks, self._recording = ExitStack(), ExitStack()
        self._flows: list[scan.Flow] | None = None
        self._claimed = 0

    def __enter__(self) -> Watch:
        for name, layer in self._layers:
            leave = partial(self._after, name)
            self._hooks.callback(layer.register_forward_pre_hook(self._before, with_kwargs=True).remove)
            self._hooks.callback(layer.register_forward_hook(leave, with_kwargs=True).remove)
        return self

    def __exit__(self, *error: object) -> None:
        self.rest()
        self._hooks.close()

    @property
    def listening(self) -> bool:
        """Whether calls count."""
        return self._flows is not None

    def listen(self) -> None:
        """Forget the calls so far, and take the next ones."""
        self.rest()
        self.calls, self.first, self._claimed = [], None, 0
        self._counts.clear()
        self._flows = self._recording.enter_context(scan.record(self._exact))

    def rest(self) -> None:
        """Take no more calls; the backward passes of those taken may come later."""
        self._recording.close()
        self._flows = None

    def _before(self, module: Any, args: Any, kwargs: Any) -> None:
        if self._flows is None or self.first is not None:
            return
        entering = _entering(args, kwargs)
        self.first = entering.data if isinstance(entering, PackedSequence) else entering
        if self._from_first and not self.first.requires_grad:
            self.first.requires_grad_(True)

    def _after(self, name: str, module: Any, args: Any, kwargs: Any, output: Any) -> None:
        if self._flows is None:
            return
        new, self._claimed = self._flows[self._claimed :], len(self._flows)
        if new:
            self._counts[name] = self._counts.get(name, 0) + 1
            told = name if self._counts[name] == 1 else f"{name} ({self._counts[name]})"
            self.calls.append(Call(told, getattr(_entering(args, kwargs), "unsorted_indices", None), new))


def _entering(args: Any, kwargs: Any) -> Any:
    """The sequences that a layer is called with, as torch or Keras names them."""
    return args[0] if args else kwargs["input" if "input" in kwargs else "sequences"]


@contextmanager
def watched(model: torch.nn.Module, from_first: bool = False, exact: bool = False) -> Iterator[Watch]:
    """Watch all calls in the block; see `Watch`."""
    with Watch(model, from_first, exact) as watch:
        watch.listen()
        yield watch


def layers(model: torch.nn.Module) -> list[tuple[str, Any]]:
    """The recurrent layers of this library in a model, each with its name.

    Raises:
        InputError: there are none.
    """
    found: list[tuple[str, Any]] = []
    kinds: tuple[Any, ...] = (TorchRecurrent, nn.Layer, *_keras_kinds())
    for name, module in _modules(model):
        if isinstance(module, kinds) and all(module is not one for _, one in found):
            taken = [known for known, _ in found]
            number = next(k for k in range(1, len(taken) + 2) if (name if k == 1 else f"{name} [{k}]") not in taken)
            found.append((name if number == 1 else f"{name} [{number}]", module))
    if not found:
        raise InputError(
            f"{type(model).__name__} has no recurrent layer of this library; ostinato.nn.convert(model), or "
            "ostinato.keras.from_keras(model), makes those of torch, or of Keras, such layers"
        )
    return found


def _modules(model: torch.nn.Module) -> Iterator[tuple[str, Any]]:
    """Every module by the name of its attribute, or of its Keras layer: lists of these are nothing that torch sees."""
    for name, module in model.named_modules():
        if hasattr(module, "_flatten_layers"):
            yield from ((layer.name, layer) for layer in module._flatten_layers())
        yield name or type(module).__name__, module


def is_keras(model: Any) -> bool:
    """Whether a model is one of Keras'; does not load Keras."""
    keras = sys.modules.get("keras")
    return keras is not None and isinstance(model, keras.layers.Layer)


def _keras_kinds() -> tuple[Any, ...]:
    if "ostinato.keras" not in sys.modules:
        return ()
    from ..keras.bidirectional import Bidirectional
    from ..keras.recurrent import Recurrent

    return Recurrent, Bidirectional
