"""Calls of a module that differ from one before in what their tensors hold alone, as the steps of a training do.

What leads to their scans is done once. Behind the kernels, whose data then fill the caches, a line of Python takes two
to four times as long as in a loop of nothing else, and a step of a small layer is short.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter, is_
from typing import Any, ClassVar

import torch
from torch import Tensor

from .. import scan
from .form import Ask, States, run_stack

#: What the checks of a scan look at, of each tensor.
_FACTS = attrgetter("shape", "dtype", "device")

#: Of one module, calls on inputs of so many shapes are known.
_MOST_KNOWN = 64

_NOTHING = torch.empty(0, device="cpu")


class _Asked:
    """The scan of a layer: asked for once, then the same one on another input."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self.request: scan.Request | None = None

    def __call__(self, x: Tensor, below: tuple[Tensor, ...]) -> scan.Request:
        if (known := self.request) is not None:
            return known.on(x, None, known.weights, known.sequences)
        request = self._ask(x, below)
        self.request = request.on(_NOTHING, None, request.weights, request.sequences)
        del self._ask  # it holds the input
        return request


class _Known:
    """What is known of a module's calls: settings, weights and their facts, and by the input's facts the scans."""

    def __init__(self, settings: Sequence[Any] = (), weights: Sequence[Tensor | None] = ()) -> None:
        self.settings, self.weights, self.facts = settings, weights, list(map(_FACTS, weights))
        self.scans: dict[Any, list[_Asked]] = {}

    def holds(self, settings: Sequence[Any], weights: Sequence[Tensor | None]) -> bool:
        """Whether it is of these settings and weights, each the same object, with facts as they were."""
        return (
            len(weights) == len(self.weights)
            and all(map(is_, settings, self.settings))
            and all(map(is_, weights, self.weights))
            and list(map(_FACTS, self.weights)) == self.facts
        )


class Repeating(torch.nn.Module):
    """A module whose scans of a call without initial states depend on settings and on facts of its tensors alone."""

    #: Everything else that they depend on, beside dropout and `training`.
    _settings: ClassVar[attrgetter[tuple[Any, ...]]]
    _known: _Known | None = None
    dropout: float
    backend: Any

    def __getstate__(self) -> dict[str, Any]:
        inherited = getattr(super(), "__getstate__", None)  # that of all objects is there from Python 3.11 on
        state = inherited() if inherited else vars(self)
        return {name: value for name, value in state.items() if name != "_known"}  # a copy has other weights

    def _stored(self) -> list[Tensor | None]:
        """The tensors that the module holds, in one order; None stands for one that is no tensor of its own now."""
        raise NotImplementedError

    def _again(self, input: Any) -> tuple[Tensor, States] | None:
        """The last layer's output and all final states, if the scans of such a call are known."""
        known = self._known  # once, since another thread may run the module, too
        if known is None or not _plain(input) or not known.holds(self._settings(self), self._stored()):
            return None
        asked = known.scans.get(_FACTS(input))
        return None if asked is None else self._run(input, asked)

    def _run(self, x: Tensor, asks: Sequence[Ask]) -> tuple[Tensor, States]:
        """Likewise, by these scans."""
        return run_stack(x, asks, self.dropout, self.training, self.backend)

    def _first(self, x: Tensor, asks: Sequence[Ask]) -> tuple[Tensor, States]:
        """Likewise; the scans are known from then on, if they may be."""
        if not _plain(x):
            return self._run(x, asks)
        asked = [_Asked(ask) for ask in asks]
        results = self._run(x, asked)
        settings, weights = self._settings(self), self._stored()
        if self._holds(weights) and _read(asked, weights):
            known = self._known
            if known is None or not known.holds(settings, weights) or len(known.scans) >= _MOST_KNOWN:
                known = self._known = _Known(settings, weights)
            known.scans[_FACTS(x)] = asked
        return results

    def _holds(self, weights: Sequence[Tensor | None]) -> bool:
        """Whether weights are the module's own, and not those that somebody lends it for a call."""
        return (
            type(None) not in map(type, weights)
            and {torch.nn.Parameter}.issuperset(map(type, self._parameters.values()))
            and not torch._C._are_functorch_transforms_active()
        )


def _plain(input: Any) -> bool:
    """Whether nothing beside settings and facts decides what runs, up to the choice of a backend."""
    return (
        not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
        and type(input) is Tensor
        and input.is_cpu
        and not scan.recording()
    )


def _read(asked: Sequence[_Asked], weights: Sequence[Tensor | None]) -> bool:
    """Whether scans read these weights, and beside the input nothing else."""
    known = set(map(id, weights))
    read = [tensor for one in asked if one.request is not None for tensor in one.request.tensors()[1:]]
    return all(id(tensor) in known for tensor in read)
