"""The values of gates: how often each of them is shut, and how often wide open."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import scan
from .probe import Probe, Recurrence
from .rows import array, running

#: Below and above these a gate is saturated.
SHUT, OPEN = 0.1, 0.9

#: The run-time activations with values between 0 and 1 that are something else than the logistic function.
_CLIPPED: dict[str, Any] = {
    "hard_sigmoid": torch.nn.functional.hardsigmoid,
    "sparse_sigmoid": lambda x: (0.5 * (x + 1)).clamp(0, 1),
}


@dataclass(frozen=True)
class Gate:
    """The values of one gate of one direction of a layer.

    Attributes:
        layer: name of the layer.
        direction: 0 from the first step to the last, 1 from the last to the first.
        gate: its name: the gate blocks, or matrices, whose products went into it.
        values: (N, T, H) between 0 and 1; NaN at steps that do not run.
    """

    layer: str
    direction: int
    gate: str
    values: np.ndarray

    @property
    def saturation(self) -> Saturation:
        """How often the gate of each unit is saturated."""
        count = np.isfinite(self.values).sum((0, 1))
        shares = [where.sum((0, 1)) / count for where in (self.values < SHUT, self.values > OPEN)]
        return Saturation(self.layer, self.direction, self.gate, *shares)


@dataclass(frozen=True)
class Saturation:
    """How often one gate of one direction of a layer is saturated (Karpathy, Johnson & Fei-Fei 2015, 1506.02078).

    Attributes:
        layer, direction, gate: see `Gate`.
        shut: (H) the share of steps at which each unit's gate is below 0.1.
        open: (H) the share of steps at which it is above 0.9.
    """

    layer: str
    direction: int
    gate: str
    shut: np.ndarray
    open: np.ndarray


@dataclass(frozen=True)
class Activations:
    """The values of one state of one direction of a layer.

    Attributes:
        layer: name of the layer.
        direction: 0 from the first step to the last, 1 from the last to the first.
        state: name of the state.
        values: (N, T, S); NaN at steps that do not run.
    """

    layer: str
    direction: int
    state: str
    values: np.ndarray


def gates(probe: Probe, rows: int | None = None) -> tuple[Gate, ...]:
    """Every gate of every recurrent layer: whatever the equations put through the logistic function, or through
    `recurrent_activation` where that is one of its clipped relatives. A cell without gates has none.

    The values are those of the equations: one step of the reference on all rows and steps at once, each with the state
    before it.

    Args:
        rows: how many of the first sequences; None is all.

    Raises:
        InputError: rows is no whole number of at least 1.
    """
    return gates_of(probe.recurrences(rows))


def activations(probe: Probe, rows: int | None = None) -> tuple[Activations, ...]:
    """The states of every recurrent layer; one that counts steps is left out.

    Args:
        rows: how many of the first sequences; None is all.

    Raises:
        InputError: rows is no whole number of at least 1.
    """
    return activations_of(probe.recurrences(rows))


def activations_of(found: Iterable[Recurrence]) -> tuple[Activations, ...]:
    """The states of layers as they ran."""
    made = []
    for one in found:
        idle = ~running(one.request).numpy()
        counter = one.request.cell.clock[0] if one.request.cell.clock else None
        for direction, backwards in enumerate(one.request.reverse):
            for name, states in one.states.items():
                if name != counter:
                    values = array(states[direction])
                    values[idle] = np.nan
                    made.append(Activations(one.name, int(backwards), name, values))
    return tuple(made)


def gates_of(found: Iterable[Recurrence]) -> tuple[Gate, ...]:
    """The gates of layers as they ran."""
    return tuple(
        gate for one in found for direction in range(len(one.request.weights)) for gate in _gates(one, direction)
    )


def _gates(one: Recurrence, direction: int) -> Iterator[Gate]:
    request, runs = one.request, running(one.request)
    names: list[str] = []
    for gates, values in _heard_of(one, direction, runs):
        found = np.full((request.batch, request.steps, values.shape[-1]), np.nan)
        found[runs.numpy()] = array(values)
        name = "+".join(gate for gate in (*request.cell.gates, *request.cell.matrices) if gate in gates) or "gate"
        names.append(name)
        told = name if names.count(name) == 1 else f"{name} ({names.count(name)})"
        yield Gate(one.name, int(request.reverse[direction]), told, found)


def _heard_of(one: Recurrence, direction: int, runs: Tensor) -> list[tuple[frozenset[str], Tensor]]:
    """Of each gate the names, and the values (steps that run, H)."""
    request = one.request
    heard: list[tuple[frozenset[str], Tensor]] = []
    with torch.no_grad():
        if "t" not in request.cell.asks_for:
            scan.run(_single_step(one, direction, runs, heard), "reference")
            return heard
        # equations that read the number of the step are run step by step
        scan.run(_every_step(request, direction, heard), "reference")
    each = len(heard) // request.steps
    found = []
    for number in range(each):
        values = torch.stack([value for _, value in heard[number::each]], 1)
        values = values.flip(1) if request.reverse[direction] else values
        found.append((heard[number][0], values[runs.to(values.device)]))
    return found


def _every_step(request: scan.Request, direction: int, heard: list[tuple[frozenset[str], Tensor]]) -> scan.Request:
    """One direction, which tells the values of its gates at every step."""
    weights, initial = request.weights[direction], request.initial_state
    return replace(
        request,
        x=_named(request.x, heard),
        weights=(weights.bind(_labelled(request, weights, direction, heard)),),
        sequences=(request.sequences[direction],),
        initial_state=None if initial is None else tuple(state[direction : direction + 1] for state in initial),
        reverse=(request.reverse[direction],),
        activations={symbol: _heard(function, heard) for symbol, function in request.activations.items()},
    )


def _single_step(
    one: Recurrence, direction: int, runs: Tensor, heard: list[tuple[frozenset[str], Tensor]]
) -> scan.Request:
    """One step of every row and step that runs, as a batch, which tells the values of its gates."""
    request, here = one.request, runs.to(one.request.x.device)
    before = [_before(one, name, number, direction)[here] for number, name in enumerate(request.cell.states)]
    weights = request.weights[direction]
    chosen = {symbol: _heard(function, heard) for symbol, function in request.activations.items()}
    return replace(
        request,
        x=_named(request.x[here].unsqueeze(1), heard),
        weights=(weights.bind(_labelled(request, weights, direction, heard)),),
        sequences=(tuple(sequence[here].unsqueeze(1) for sequence in request.sequences[direction]),),
        initial_state=tuple(state.unsqueeze(0) for state in before),
        reverse=(False,),
        lengths=None,
        mask=None,
        activations=chosen,
        outputs=(0,),
        steps=1,
        batch=int(runs.sum()),
    )


def _before(one: Recurrence, name: str, number: int, direction: int) -> Tensor:
    """(N, T, S): a state before every step."""
    request, after = one.request, one.states[name][direction]
    initial = request.initial_state
    first = after.new_zeros(len(after), after.shape[-1]) if initial is None else initial[number][direction]
    first = first.unsqueeze(1)
    return torch.cat([after[:, 1:], first] if request.reverse[direction] else [first, after[:, :-1]], 1)


_PRODUCTS = (torch.Tensor.mul, torch.Tensor.__mul__, torch.Tensor.__rmul__)


class _Named(torch.Tensor):
    """A tensor that knows which gates went into it, and tells of every logistic function of such a tensor.

    Attributes:
        gates: names of gate blocks and matrices.
        gating: whether these are the values of a gate.
        blocks: of a whole weight matrix the names of its blocks, which it is cut into.
        heard: where values of the logistic function are told.
    """

    gates: frozenset[str]
    gating: bool
    blocks: tuple[str, ...]
    heard: list[tuple[frozenset[str], Tensor]]

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        with torch._C.DisableTorchFunctionSubclass():
            found = func(*args, **(kwargs or {}))
        known = [one for one in _flat((*args, *(kwargs or {}).values())) if isinstance(one, _Named)]
        gates, heard = frozenset().union(*(one.gates for one in known)), known[0].heard
        blocks = next((one.blocks for one in known if one.blocks), ())
        if func is torch.sigmoid:
            heard.append((gates, found.as_subclass(torch.Tensor)))
        # behind these it has become something else
        gated = func in _PRODUCTS and any(one.gating for one in known)
        if gated or func in (torch.sigmoid, torch.tanh, torch.Tensor.mean):
            gates = frozenset()
        if isinstance(found, (tuple, list)) and all(isinstance(part, Tensor) for part in found):
            cut = [frozenset({name}) for name in blocks] if len(blocks) == len(found) else [gates] * len(found)
            return type(found)(_named(part, heard, of) for part, of in zip(found, cut, strict=True))
        if not isinstance(found, Tensor):
            return found
        return _named(found, heard, gates, blocks, func is torch.sigmoid)


def _flat(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, (tuple, list)):
            yield from _flat(value)
        else:
            yield value


def _named(
    tensor: Tensor,
    heard: list[tuple[frozenset[str], Tensor]],
    gates: frozenset[str] = frozenset(),
    blocks: tuple[str, ...] = (),
    gating: bool = False,
) -> Tensor:
    found = tensor.as_subclass(_Named)
    found.gates, found.gating, found.blocks, found.heard = gates, gating, blocks, heard
    return found


def _labelled(
    request: scan.Request, weights: scan.Weights, direction: int, heard: list[tuple[frozenset[str], Tensor]]
) -> Iterator[Tensor]:
    """The tensors of weights in their order, W, U and further matrices with the names of what they make."""
    order, blocks = request.order(direction), request.program.blocks
    for matrix, tensor in (("W", weights.W), ("U", weights.U)):
        if tensor is not None:
            yield _named(tensor, heard, blocks=tuple(gate for gate in order if gate in blocks[matrix]))
    yield from (tensor for tensor in (weights.b, weights.b_u, *weights.parameters) if tensor is not None)
    for name, tensor in zip(request.cell.matrices, weights.matrices, strict=True):
        yield _named(tensor, heard, frozenset({name}))


def _heard(function: Any, heard: list[tuple[frozenset[str], Tensor]]) -> Any:
    """A run-time activation; a clipped relative of the logistic function tells its values."""
    if function == "silu":  # which has a logistic function in it, and no gate
        return torch.nn.functional.silu
    return partial(_clipped, _CLIPPED[function], heard) if function in _CLIPPED else function


def _clipped(function: Any, heard: list[tuple[frozenset[str], Tensor]], value: Tensor) -> Tensor:
    found: Tensor = function(value.as_subclass(torch.Tensor))
    heard.append((getattr(value, "gates", frozenset()), found))
    return _named(found, heard, gating=True)
