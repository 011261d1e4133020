"""What is remembered of a training step, and what is said when one breaks.

A step costs a reference to each layer's output, one look whether the loss is finite, and the norms of the gradients in
one call, which are looked at once. Everything else happens when something is not finite.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from .fault import TrainingFault

#: How the axes of an array of so many dimensions are called.
_AXES = {1: ("row",), 2: ("row", "feature"), 3: ("row", "step", "feature")}


class Watch:
    """The steps of one training.

    Attributes:
        epoch, batch: of the step that runs, counted from 1.
        outputs: the layers' outputs in the order in which they were made, by the layers' names.
    """

    def __init__(self) -> None:
        self.epoch = self.batch = 1
        self.outputs: dict[str, Any] = {}
        self._norms: tuple[tuple[str, ...], Tensor] | None = None

    def loss(
        self, loss: Any, given: Mapping[str, Any], weights: Mapping[str, Tensor], targets: Mapping[str, Any]
    ) -> TrainingFault | None:
        """What is wrong with this loss; None if it is finite.

        Args:
            given: inputs by what the sentence calls them.
            weights: the parameters by name, in the order of the layers.
            targets: what enters the loss beside the output.
        """
        value = float(loss)
        if math.isfinite(value):
            return None
        place, found = self._first(given, weights, targets)
        return self._fault(f"the loss is {value}: {found}", place)

    def gradients(self, gradients: Mapping[str, Tensor], loss: float, updated: bool) -> TrainingFault | None:
        """What is wrong with the gradients of a step; None if they are finite.

        Args:
            gradients: by the name of the parameter, in the order of the layers.
            loss: the step's.
            updated: whether the weights have taken the step already.
        """
        if not gradients:
            return None
        names, tensors = tuple(gradients), list(gradients.values())
        norms = torch.stack([norm.float() for norm in torch._foreach_norm(tensors)])
        if not bool(torch.isfinite(norms).all()):
            # the way back begins at the last layer; a norm may overflow where no entry does
            broken = [name for name in reversed(names) if not _finite(gradients[name])]
            if broken:
                name, tail = broken[0], "; the weights have taken that step" if updated else ""
                return self._fault(
                    f"the loss is {loss:.4g} and the gradient of {name} is not finite, the first on the way back "
                    f"({_count(gradients[name])}){tail}",
                    name,
                )
            norms = torch.stack([tensor.double().norm() for tensor in tensors])
        self._norms = names, norms
        return None

    def largest(self) -> tuple[str, float] | None:
        """The parameter with the largest gradient in the last step that was finite, and its norm."""
        if self._norms is None:
            return None
        names, norms = self._norms
        at = int(norms.argmax())
        return names[at], float(norms[at])

    def _fault(self, found: str, place: str) -> TrainingFault:
        largest = self.largest()
        before = (
            "it was the first step"
            if largest is None
            else f"the largest gradient of the step before was that of {largest[0]}, with the norm {largest[1]:.3g}"
        )
        sentence = f"training stopped in epoch {self.epoch}, batch {self.batch}: {found}; {before}"
        return TrainingFault(sentence, self.epoch, self.batch, place, largest)

    def _first(
        self, given: Mapping[str, Any], weights: Mapping[str, Tensor], targets: Mapping[str, Any]
    ) -> tuple[str, str]:
        """The first place that is not finite, and a clause that says so."""
        for name, one in _named(given):
            if not _finite(one):
                return name, f"the {name} is not finite ({_where(one)}; {_count(one)})"
        for name, weight in weights.items():
            if not _finite(weight):
                since = "" if self._norms is None else " since the update of the step before"
                return name, f"the weight {name} is not finite{since} ({_count(weight)})"
        outputs = [(name, one) for name, output in self.outputs.items() for _, one in _named({name: output})]
        for name, one in outputs:
            if not _finite(one):
                return name, f"the first output that is not finite is that of layer {name!r} ({_count(one)})"
        for name, one in _named(targets):
            if not _finite(one):
                return name, f"the {name} are not finite ({_where(one)}; {_count(one)})"
        sizes = {name: float(one.detach().abs().max()) for name, one in outputs if one.numel()}
        if not sizes:
            return "loss", "nothing that was seen before it is not finite"
        name = max(sizes, key=lambda one: sizes[one])
        return "loss", f"all outputs are finite, the largest is {sizes[name]:.3g} in layer {name!r}"


def _named(given: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """The tensors of real numbers among what may be nested lists of them."""
    for name, one in given.items():
        if isinstance(one, Tensor):
            if one.is_floating_point():
                yield name, one
        elif isinstance(one, Mapping):
            yield from _named({f"{name} {key}": part for key, part in one.items()})
        elif isinstance(one, (list, tuple)):
            yield from _named({name if len(one) == 1 else f"{name} {k}": part for k, part in enumerate(one)})


def _finite(tensor: Tensor) -> bool:
    return bool(torch.isfinite(tensor.detach()).all())


def _count(tensor: Tensor) -> str:
    return f"{int((~torch.isfinite(tensor.detach())).sum())} of {tensor.numel()} entries"


def _where(tensor: Tensor) -> str:
    """The first entry that is not finite, and where it stands."""
    at = torch.nonzero(~torch.isfinite(tensor.detach()))[0].tolist()
    axes = _AXES.get(len(at), tuple(f"axis {k}" for k in range(len(at))))
    place = ", ".join(f"{axis} {k}" for axis, k in zip(axes, at, strict=True))
    return f"{float(tensor.detach()[tuple(at)])} at {place or 'its only entry'}"
