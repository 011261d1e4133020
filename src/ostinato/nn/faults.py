"""Faults in a training loop of PyTorch, named."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import torch
from torch import Tensor

from ..faults import Hints, Seen, Watch
from ..faults.hints import Kind, first_tensor
from .layer import Layer

_RECURRENT = (Layer, torch.nn.RNNBase)
_RELU = (torch.nn.ReLU, torch.nn.ReLU6)
_LEARNING = (torch.nn.Linear, torch.nn.modules.conv._ConvNd)


class watch_faults:  # noqa: N801  it is used like a function
    """A context in which a loss or gradient that is not finite stops the loop, in one sentence that says where.

    Between `loss.backward()` and `optimizer.step()` comes `check(loss)`, at the end of an epoch `epoch_end()`:

        with ostinato.nn.watch_faults(model) as watch:
            for epoch in range(epochs):
                for x, y in batches:
                    loss = loss_of(model(x), y)
                    optimizer.zero_grad()
                    loss.backward()
                    watch.check(loss)
                    optimizer.step()
                watch.epoch_end()

    In every step it keeps a reference to the output of each module without children until the next forward pass, looks
    whether the loss is finite, and takes the norms of all gradients in one call.
    """

    def __init__(
        self, model: torch.nn.Module, *, hints: bool = True, share: float = 0.5, patience: int = 5, flat: float = 1e-3
    ) -> None:
        """Watch a model; hooks are there while the context is.

        Args:
            hints: whether `epoch_end` gives any.
            share: of a layer's units that are dead, constant or saturated, from which on it is worth a word.
            patience: after so many epochs the loss should have moved from where it began.
            flat: by which share of itself.

        Raises:
            ValueError: share or patience is out of range.
        """
        self._model = model
        self._hints = Hints(share, patience, flat) if hints else None
        self._watch = Watch()
        self._inputs: Any = ()
        self._handles: list[Any] = []
        self._losses: list[float] = []

    def __enter__(self) -> watch_faults:
        if self._handles:
            raise RuntimeError("this watch_faults is open already; make another one for a loop within its block")
        self._handles = [self._model.register_forward_pre_hook(self._begin, with_kwargs=True)]
        for name, module in self._model.named_modules():
            if isinstance(module, _RECURRENT) or not list(module.children()):
                self._handles.append(module.register_forward_hook(self._recorder(name or type(module).__name__)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []
        self._watch.outputs.clear()
        self._inputs = ()

    def check(self, loss: Tensor) -> None:
        """Look at a step after its backward pass and before the update, so that the weights stay as they were.

        Raises:
            TrainingFault: the loss or a gradient is not finite.
        """
        weights = dict(self._model.named_parameters())
        value = loss.detach()
        fault = self._watch.loss(value, {"input": self._inputs}, weights, {})
        if fault is None:
            gradients = {name: _entries(weight.grad) for name, weight in weights.items() if weight.grad is not None}
            fault = self._watch.gradients(gradients, float(value), updated=False)
        if fault is not None:
            raise fault
        self._losses.append(float(value))
        self._watch.batch += 1

    def epoch_end(self) -> list[str]:
        """Begin another epoch; print the hints that this one gives for the first time, and return them."""
        found: list[str] = []
        if self._hints is not None and self._losses:
            found += self._hints.loss(sum(self._losses) / len(self._losses))
            modules = dict(self._model.named_modules())
            for name, output in self._watch.outputs.items():
                kind = _kind(modules.get(name, self._model))
                for tensor in first_tensor(output):
                    found += [] if kind is None else self._hints.units(Seen(name, kind, tensor))
        for text in found:
            print(text)
        self._losses = []
        self._watch.epoch, self._watch.batch = self._watch.epoch + 1, 1
        return found

    def _begin(self, module: torch.nn.Module, arguments: Any, further: Any) -> None:
        if module.training:
            self._watch.outputs.clear()
            self._inputs = [*arguments, *further.values()]

    def _recorder(self, name: str) -> Any:
        def record(module: torch.nn.Module, arguments: Any, output: Any) -> None:
            if module.training:
                self._watch.outputs[name] = output

        return record


def _entries(gradient: Tensor) -> Tensor:
    """All entries of a gradient, of a sparse one those that are not zero."""
    return gradient.coalesce().values() if gradient.is_sparse else gradient


def _kind(module: torch.nn.Module) -> Kind | None:
    """What a module's output may be told by; None for those that learn nothing."""
    if isinstance(module, _RECURRENT):
        return "tanh"
    if isinstance(module, _RELU):
        return "relu"
    if isinstance(module, torch.nn.Tanh):
        return "tanh"
    return "linear" if isinstance(module, _LEARNING) else None
