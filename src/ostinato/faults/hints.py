"""Plain words on units that have stopped to learn, and on a loss that does not move; each once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

#: A tanh beyond this, and a sigmoid as far from its ends (tanh(x) = 2 sigmoid(2x) - 1), has next to no slope.
SATURATED = 0.99

#: Fewer outputs of a unit say nothing.
_ENOUGH = 8

Kind = Literal["relu", "tanh", "linear"]


@dataclass(frozen=True)
class Seen:
    """What a layer put out for the last batch of an epoch.

    Attributes:
        kind: "tanh" for layers whose output lies within -1..1 because of one, "relu", or "linear".
        output: (..., units).
    """

    name: str
    kind: Kind
    output: Tensor


@dataclass
class Share:
    """Counts how many values of an activation are saturated; stands in the activation's place."""

    function: Callable[[Any], Any]
    lowest: float
    saturated: int = 0
    values: int = 0

    def __call__(self, x: Any) -> Any:
        """The activation of x."""
        y = self.function(x)
        middle, half = (1 + self.lowest) / 2, (1 - self.lowest) / 2
        self.saturated += int((((y - middle) / half).abs() > SATURATED).sum())
        self.values += y.numel()
        return y

    @property
    def share(self) -> float:
        return self.saturated / max(self.values, 1)


@dataclass
class Hints:
    """What has been said, and what may have to be.

    Attributes:
        share: the share of a layer's units, or of a gate's values, from which on it is worth a word.
        patience: after so many epochs a loss should have moved.
        flat: by which share of itself.
    """

    share: float = 0.5
    patience: int = 5
    flat: float = 1e-3
    _losses: list[float] = field(default_factory=list)
    _said: set[tuple[str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError(f"share is {self.share!r}; expected a number within 0..1, and not 0")
        if isinstance(self.patience, bool) or not isinstance(self.patience, int) or self.patience < 2:
            raise ValueError(f"patience is {self.patience!r}; expected an integer of at least 2 epochs")

    def loss(self, loss: float) -> list[str]:
        """What there is to say of the losses of all epochs so far, with this one."""
        self._losses.append(loss)
        first = self._losses[0]
        still = max(self._losses) - min(self._losses) <= self.flat * abs(first)
        if len(self._losses) < self.patience or not still or first == 0:
            return []
        return self._once(
            "loss",
            "flat",
            f"the loss has stayed at {loss:.4g} since the first epoch: nothing is learned; try a larger learning "
            "rate, look whether inputs and targets are scaled, and whether the gradients reach the first layer",
        )

    @torch.no_grad()
    def units(self, seen: Seen) -> list[str]:
        """What there is to say of a layer's units."""
        output = seen.output.detach()
        if output.dim() < 2 or not output.is_floating_point():
            return []
        flat = output.reshape(-1, output.shape[-1])
        if len(flat) < _ENOUGH:
            return []
        lowest, highest = flat.amin(0), flat.amax(0)
        still = lowest == highest
        units = f"of {flat.shape[1]} units of layer {seen.name!r}"
        found = []
        dead = int((still & (lowest == 0)).sum()) if seen.kind == "relu" else 0
        if dead >= self.share * flat.shape[1]:
            found += self._once(
                seen.name,
                "dead",
                f"{dead} {units} put out 0 for all of the last batch, and a ReLU that does gets no gradient; try a "
                "smaller learning rate, or leaky_relu",
            )
        constant = int(still.sum()) - dead
        if constant and constant >= self.share * flat.shape[1]:
            found += self._once(
                seen.name,
                "constant",
                f"{constant} {units} put out the same number for all of the last batch; look at the layer's input, "
                "which may be constant or out of scale",
            )
        if seen.kind == "tanh" and not bool((flat.abs() > 1).any()):
            saturated = int(((flat.abs() > SATURATED).float().mean(0) > 0.5).sum())
            if saturated >= self.share * flat.shape[1]:
                found += self._once(
                    seen.name,
                    "saturated",
                    f"{saturated} {units} are beyond {SATURATED} of their range in most steps, where a tanh has no "
                    "slope; scale the input down, or start from smaller weights",
                )
        return found

    def gates(self, name: str, share: Share) -> list[str]:
        """What there is to say of the gates of a recurrent layer."""
        if share.share <= self.share:
            return []
        return self._once(
            name,
            "gates",
            f"the gates of layer {name!r} are fully open or closed in {share.share:.0%} of the steps, where a sigmoid "
            "has no slope; scale the input down, or start from smaller weights",
        )

    def _once(self, place: str, kind: str, text: str) -> list[str]:
        if (place, kind) in self._said:
            return []
        self._said.add((place, kind))
        return [f"hint: {text}"]


def first_tensor(output: Any) -> Iterator[Tensor]:
    """The output of a layer that may return states behind it."""
    while isinstance(output, (list, tuple)) and output:
        output = output[0]
    if isinstance(output, Tensor):
        yield output
