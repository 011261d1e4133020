"""What a scan is asked to do: its tensors, their meaning, and the checks that they fit together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from ..cells import SYMBOLS, Cell, activation
from ..compiler import Program, trace

Layout = Literal["time", "batch", "packed"]
Padding = Literal["zero", "repeat"]
Side = Literal["right", "left"]
ActivationLike = str | Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Weights:
    """The weights of one direction of a cell with H units and input size D.

    Attributes:
        W: (gates * H, D), one block of H rows a gate; None for a cell that multiplies no input.
        U: (gates * H, H), likewise; None for a cell without recurrent product.
        b: (gates * H), the bias beside W, or None.
        b_u: (gates * H), the bias beside U, or None.
        parameters: the per-unit vectors (H), in the cell's order.
        order: names of the gates in the order of the blocks; None is the cell's own order.
    """

    W: Tensor | None
    U: Tensor | None
    b: Tensor | None = None
    b_u: Tensor | None = None
    parameters: tuple[Tensor, ...] = ()
    order: tuple[str, ...] | None = None

    def tensors(self) -> list[Tensor]:
        """Those of W, U, b, b_u that are there, and the parameters."""
        return [t for t in (self.W, self.U, self.b, self.b_u, *self.parameters) if t is not None]

    def bind(self, tensors: Iterator[Tensor]) -> Weights:
        """The same weights with other tensors, taken in the order of `tensors()`."""
        W, U, b, b_u = (None if t is None else next(tensors) for t in (self.W, self.U, self.b, self.b_u))
        return Weights(W, U, b, b_u, tuple(next(tensors) for _ in self.parameters), self.order)


@dataclass(frozen=True)
class Request:
    """One checked scan. Shapes: B batch, T steps, D input size, H units, K directions, N tokens of a packed batch.

    Attributes:
        x: (T, B, D), (B, T, D) or packed (N, D), as `layout` says.
        weights: one `Weights` a direction.
        initial_state: one tensor (K, B, H) a state, or None for zeros.
        reverse: for each direction whether it runs from the last step to the first.
        lengths: (B) int64 on the CPU, or None. With `packed`, derived from `batch_sizes`; a mask that hides one side of
            every row is turned into lengths as well.
        padded: the side on which the steps beyond `lengths` stand.
        mask: (B, T) bool, or None: a step that is False carries the states.
        padding: what the output holds at steps that did not run: zeros, or the state carried so far.
        activations: the run-time activation of each symbol: a name, or a function of a tensor.
    """

    cell: Cell
    x: Tensor
    weights: tuple[Weights, ...]
    initial_state: tuple[Tensor, ...] | None
    layout: Layout
    reverse: tuple[bool, ...]
    lengths: Tensor | None
    padded: Side
    batch_sizes: Tensor | None
    mask: Tensor | None
    padding: Padding
    activations: Mapping[str, ActivationLike]
    units: int
    steps: int
    batch: int

    @property
    def program(self) -> Program:
        return trace(self.cell)

    def order(self, direction: int) -> tuple[str, ...]:
        """Names of the gates in the order of the blocks of this direction's weights."""
        return self.weights[direction].order or self.cell.gates

    def tensors(self) -> list[Tensor]:
        """Every tensor that a gradient may flow to: x, the initial states, then each direction's weights."""
        found = [self.x, *(self.initial_state or ())]
        for w in self.weights:
            found += w.tensors()
        return found

    def bind(self, tensors: Sequence[Tensor]) -> Request:
        """This request on other tensors, given in the order of `tensors()`."""
        rest = iter(tensors)
        x = next(rest)
        states = self.initial_state
        return replace(
            self,
            x=x,
            initial_state=None if states is None else tuple(next(rest) for _ in states),
            weights=tuple(w.bind(rest) for w in self.weights),
        )


def _expect(tensor: Tensor | None, name: str, shape: tuple[int, ...], like: Tensor) -> None:
    if tensor is None:
        return
    if tuple(tensor.shape) != shape:
        raise ValueError(f"{name} has the shape {tuple(tensor.shape)}; expected {shape}")
    if tensor.dtype != like.dtype:
        raise ValueError(f"{name} is {tensor.dtype} but the input is {like.dtype}; convert one of them")
    if tensor.device != like.device:
        raise ValueError(f"{name} is on {tensor.device} but the input is on {like.device}; move one of them")


def _units(program: Program, weights: Weights) -> int:
    units = 0
    for matrix, tensor in (("W", weights.W), ("U", weights.U)):
        blocks = len(program.blocks[matrix])
        if not blocks:
            continue
        if tensor is None or tensor.dim() != 2:
            raise ValueError(f"cell {program.cell.name} needs its {matrix} as a matrix (gates * units, ...)")
        if tensor.shape[0] % blocks or not tensor.shape[0]:
            raise ValueError(f"{matrix} has {tensor.shape[0]} rows; expected a multiple of {blocks} gate blocks")
        units = tensor.shape[0] // blocks
    return units


def _check_weights(program: Program, weights: Weights, x: Tensor, units: int) -> None:
    rows = {matrix: len(names) * units for matrix, names in program.blocks.items()}
    _expect(weights.W, "W", (rows["W"], x.shape[-1]), x)
    _expect(weights.U, "U", (rows["U"], units), x)
    _expect(weights.b, "b", (rows["W"],), x)
    _expect(weights.b_u, "b_u", (rows["U"],), x)
    names = program.cell.parameters
    if len(weights.parameters) != len(names):
        raise ValueError(
            f"cell {program.cell.name} has the per-unit parameters ({', '.join(names)}); "
            f"got {len(weights.parameters)} of them"
        )
    for name, parameter in zip(names, weights.parameters, strict=True):
        _expect(parameter, name, (units,), x)
    if weights.order is not None and sorted(weights.order) != sorted(program.cell.gates):
        raise ValueError(f"order is {weights.order}; expected an order of the gates {program.cell.gates}")


def _check_lengths(lengths: Sequence[int] | Tensor, steps: int, batch: int) -> Tensor:
    given = torch.as_tensor(lengths)
    if given.shape != (batch,):
        raise ValueError(f"lengths has the shape {tuple(given.shape)}; expected one a row, ({batch},)")
    if given.dtype.is_floating_point and batch:
        raise ValueError(f"lengths is {given.dtype}; expected integers")
    checked = given.to("cpu", torch.int64, copy=True)
    wrong = ((checked < 0) | (checked > steps)).nonzero()
    if len(wrong):
        row = int(wrong[0])
        raise ValueError(f"lengths must be within 0..T={steps}; row {row} has {int(checked[row])}")
    return checked


def _check_batch_sizes(batch_sizes: Tensor) -> Tensor:
    if batch_sizes.dim() != 1 or batch_sizes.dtype.is_floating_point:
        raise ValueError(
            f"batch_sizes is {batch_sizes.dtype} of the shape {tuple(batch_sizes.shape)}; expected integers, one a step"
        )
    checked = batch_sizes.to("cpu", torch.int64, copy=True)
    wrong = (checked < 1).logical_or_(torch.cat([checked[:1] < 1, checked[1:] > checked[:-1]])).nonzero()
    if len(wrong):
        step = int(wrong[0])
        raise ValueError(f"batch_sizes must be at least 1 and never rise; step {step} has {int(checked[step])}")
    return checked


def _size(x: Tensor, layout: Layout, batch_sizes: Tensor | None) -> tuple[int, int]:
    """Steps and batch of the input."""
    if layout not in ("time", "batch", "packed"):
        raise ValueError(f"layout is {layout!r}; expected 'time', 'batch' or 'packed'")
    if (batch_sizes is not None) != (layout == "packed"):
        raise ValueError(f"layout is {layout!r}; batch_sizes goes with layout='packed', and only with it")
    if batch_sizes is not None:
        if x.dim() != 2 or int(batch_sizes.sum()) != x.shape[0]:
            tokens = int(batch_sizes.sum())
            raise ValueError(f"packed input has the shape {tuple(x.shape)}; expected ({tokens}, input size)")
        steps, batch = len(batch_sizes), int(batch_sizes[0]) if len(batch_sizes) else 0
    else:
        if x.dim() != 3:
            expected = "(steps, batch, input size)" if layout == "time" else "(batch, steps, input size)"
            raise ValueError(f"the input has the shape {tuple(x.shape)}; expected {expected}")
        steps, batch = (x.shape[0], x.shape[1]) if layout == "time" else (x.shape[1], x.shape[0])
    if steps == 0:
        raise ValueError("the input has 0 steps; a recurrent layer needs at least 1")
    return steps, batch


def _check_running(
    lengths: Sequence[int] | Tensor | None, batch_sizes: Tensor | None, mask: Tensor | None, steps: int, batch: int
) -> tuple[Tensor | None, Side, Tensor | None]:
    """Lengths, the side where the other steps stand, and the mask, if it is more than that; all checked."""
    if sum(given is not None for given in (lengths, batch_sizes, mask)) > 1:
        raise ValueError("got several of lengths, mask and batch_sizes; give lengths or mask, not both")
    if batch_sizes is not None:
        return (batch_sizes.unsqueeze(1) > torch.arange(batch)).sum(0), "right", None
    if mask is not None:
        if tuple(mask.shape) != (batch, steps):
            raise ValueError(f"mask has the shape {tuple(mask.shape)}; expected (batch, steps) = ({batch}, {steps})")
        return _lengths_of(mask.to(torch.bool))
    return None if lengths is None else _check_lengths(lengths, steps, batch), "right", None


def _lengths_of(mask: Tensor) -> tuple[Tensor | None, Side, Tensor | None]:
    """A mask as lengths, if the steps it hides stand on one side of every row."""
    if mask.device.type == "cpu":
        before, after = mask[:, :-1], mask[:, 1:]
        if not bool((after > before).any()):
            return mask.sum(1), "right", None
        if not bool((before > after).any()):
            return mask.sum(1), "left", None
    return None, "right", mask


def _check_states(cell: Cell, states: Sequence[Tensor], shape: tuple[int, ...], x: Tensor) -> tuple[Tensor, ...]:
    if len(states) != len(cell.states):
        names = ", ".join(cell.states)
        raise ValueError(f"cell {cell.name} has the states {names}; got {len(states)} initial states")
    for name, state in zip(cell.states, states, strict=True):
        _expect(state, f"initial state {name}", shape, x)
    return tuple(states)


def _chosen(cell: Cell, activations: Mapping[str, ActivationLike]) -> Mapping[str, ActivationLike]:
    """The activation of each of the cell's symbols."""
    chosen: dict[str, ActivationLike] = dict(cell.activations)
    for symbol, function in activations.items():
        if symbol not in chosen:
            known = ", ".join(f"{s} ({SYMBOLS[s]})" for s in chosen) or "none"
            raise ValueError(f"cell {cell.name} has no activation {symbol!r}; its activations are: {known}")
        chosen[symbol] = activation(function).name if isinstance(function, str) else function
    return chosen


def make_request(
    cell: Cell,
    x: Tensor,
    weights: Sequence[Weights],
    initial_state: Sequence[Tensor] | None = None,
    *,
    layout: Layout = "batch",
    reverse: Sequence[bool] | None = None,
    lengths: Sequence[int] | Tensor | None = None,
    batch_sizes: Tensor | None = None,
    mask: Tensor | None = None,
    padding: Padding = "zero",
    activations: Mapping[str, ActivationLike] | None = None,
) -> Request:
    """Check the arguments of a scan; they are those of `scan.scan`.

    Raises:
        ValueError: naming the value that does not fit, and what was expected.
    """
    program = trace(cell)
    weights = tuple(weights)
    if len(weights) not in (1, 2):
        raise ValueError(f"got weights for {len(weights)} directions; expected 1 or 2")
    directions = tuple(reverse) if reverse is not None else (False, True)[: len(weights)]
    if len(directions) != len(weights):
        raise ValueError(f"reverse names {len(directions)} directions, weights {len(weights)}; give one each")
    if padding not in ("zero", "repeat"):
        raise ValueError(f"padding is {padding!r}; expected 'zero' or 'repeat'")
    if not x.dtype.is_floating_point:
        raise ValueError(f"the input is {x.dtype}; expected a floating-point dtype")
    batch_sizes = None if batch_sizes is None else _check_batch_sizes(batch_sizes)
    steps, batch = _size(x, layout, batch_sizes)
    units = _units(program, weights[0])
    for one in weights:
        _units(program, one)
        _check_weights(program, one, x, units)
    lengths, padded, mask = _check_running(lengths, batch_sizes, mask, steps, batch)
    # copies, as lengths and batch sizes are: whoever changes theirs must not change what the backward pass sees
    mask = None if mask is None else mask.to(x.device, copy=True)
    if initial_state is not None:
        initial_state = _check_states(cell, initial_state, (len(weights), batch, units), x)
    return Request(
        cell=cell,
        x=x,
        weights=weights,
        initial_state=initial_state,
        layout=layout,
        reverse=directions,
        lengths=lengths,
        padded=padded,
        batch_sizes=batch_sizes,
        mask=mask,
        padding=padding,
        activations=_chosen(cell, activations or {}),
        units=units,
        steps=steps,
        batch=batch,
    )
