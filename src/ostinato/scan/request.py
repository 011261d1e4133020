"""What a scan is asked to do: its tensors, their meaning, and the checks that they fit together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor

from ..cells import SYMBOLS, Cell, activation
from ..compiler import Program, trace
from .bounds import SavedDtype, check_clip, check_truncate, piece_length, rounded_to
from .flow import Flow
from .remembered import remembered

Layout = Literal["time", "batch", "packed"]
Padding = Literal["zero", "repeat"]
Side = Literal["right", "left"]
ActivationLike = str | Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Weights:
    """The weights of one direction of a cell with H units, input size D and output size O: H, or P in a projection.

    Attributes:
        W: (gates * H, D), one block of H rows a gate; None for a cell that multiplies no input.
        U: (gates * H, O), likewise; None for a cell without recurrent product.
        b: (gates * H), the bias beside W, or None.
        b_u: (gates * H), the bias beside U, or None.
        parameters: the per-unit vectors (H), in the cell's order: its parameters, then its constants.
        matrices: the cell's further matrices, in its order, of the shapes that it declares.
        order: names of the gates in the order of the blocks; None is the cell's own order.
        reach: (H, 2) int64 on the CPU: unit u of every gate reads entries reach[u, 0] to reach[u, 1] - 1 through U, and
            neither kernels nor reference look at the others. None: every unit reads every entry.
    """

    W: Tensor | None
    U: Tensor | None
    b: Tensor | None = None
    b_u: Tensor | None = None
    parameters: tuple[Tensor, ...] = ()
    matrices: tuple[Tensor, ...] = ()
    order: tuple[str, ...] | None = None
    reach: Tensor | None = None

    def tensors(self) -> list[Tensor]:
        """Those of W, U, b, b_u that are there, the parameters, and the further matrices."""
        return [t for t in (self.W, self.U, self.b, self.b_u, *self.parameters, *self.matrices) if t is not None]

    def bind(self, tensors: Iterator[Tensor]) -> Weights:
        """The same weights with other tensors, taken in the order of `tensors()`."""
        W, U, b, b_u = (None if t is None else next(tensors) for t in (self.W, self.U, self.b, self.b_u))
        parameters = tuple(next(tensors) for _ in self.parameters)
        return Weights(W, U, b, b_u, parameters, tuple(next(tensors) for _ in self.matrices), self.order, self.reach)


@dataclass(frozen=True)
class Request:
    """One checked scan. Shapes: B batch, T steps, D input size, H units, P projection size, K directions, N tokens of a
    packed batch; S is a state's size, H or P.

    Attributes:
        x: (T, B, D), (B, T, D) or packed (N, D), as `layout` says.
        weights: one `Weights` a direction.
        sequences: for each direction the cell's further input sequences, laid out as x with H features.
        initial_state: one tensor (K, B, S) a state, or None for zeros.
        outputs: numbers of the states whose sequences are wanted.
        reverse: for each direction whether it runs from the last step to the first.
        lengths: (B) int64 on the CPU, or None. With `packed`, derived from `batch_sizes`; a mask that hides one side of
            every row is turned into lengths as well.
        padded: the side on which the steps beyond `lengths` stand.
        mask: (B, T) bool, or None: a step that is False carries the states.
        padding: what the output holds at steps that did not run: zeros, or the state carried so far.
        activations: the run-time activation of each symbol: a name, or a function of a tensor.
        truncate: no gradient passes from one piece of so many steps to another; 0 is from all to all.
        clip: the gradient of a state is brought to within +-clip at every step; 0 leaves it as it is.
        recompute: how many steps the backward pass runs again at a time; 0 is none, all that it needs is kept.
        saved_dtype: what is kept between the passes is rounded to; None is not at all.
        flow: where the backward pass tells the gradients of the states; None is nowhere.
        narrow: the numbers of products may be rounded to this; None is not at all.
        shared: what has been made for a request serves all those that differ from it in their tensors alone.
    """

    cell: Cell
    x: Tensor
    weights: tuple[Weights, ...]
    sequences: tuple[tuple[Tensor, ...], ...]
    initial_state: tuple[Tensor, ...] | None
    layout: Layout
    reverse: tuple[bool, ...]
    lengths: Tensor | None
    padded: Side
    batch_sizes: Tensor | None
    mask: Tensor | None
    padding: Padding
    activations: Mapping[str, ActivationLike]
    outputs: tuple[int, ...]
    truncate: int
    clip: float
    recompute: int
    saved_dtype: torch.dtype | None
    flow: Flow | None
    units: int
    projection: int
    steps: int
    batch: int
    narrow: torch.dtype | None = None
    shared: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def in_pieces(self) -> bool:
        """Whether the passes go through the steps in pieces, so that less is kept."""
        return bool(self.recompute) or self.saved_dtype is not None

    @property
    def wants_gradients(self) -> bool:
        """Whether anything is kept for a backward pass."""
        return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in self.tensors())

    @property
    def program(self) -> Program:
        return trace(self.cell)

    def order(self, direction: int) -> tuple[str, ...]:
        """Names of the gates in the order of the blocks of this direction's weights."""
        return self.weights[direction].order or self.cell.gates

    def size(self, letter: str) -> int:
        """The number that a letter of `cells.SPACES` stands for."""
        return {"D": self.x.shape[-1], "H": self.units, "P": self.projection}[letter]

    def state_size(self, state: int) -> int:
        """How many entries a state has."""
        return self.size(self.cell.size_of(self.cell.states[state]))

    def tensors(self) -> tuple[Tensor, ...]:
        """Every tensor that a gradient may flow to: x, the initial states, then each direction's weights, then each
        direction's sequences."""
        return self._tensors

    @cached_property
    def _tensors(self) -> tuple[Tensor, ...]:
        found = [self.x, *(self.initial_state or ())]
        for w in self.weights:
            found += w.tensors()
        return (*found, *(sequence for given in self.sequences for sequence in given))

    def rounding(self, dtype: torch.dtype | None) -> Request:
        """This request, its products' numbers rounded to `dtype` where that makes them faster; None rounds nothing."""
        if dtype == self.narrow:
            return self
        rounded = self.on(self.x, self.initial_state, self.weights, self.sequences)
        rounded.__dict__["narrow"] = dtype
        return rounded

    def bind(self, tensors: Sequence[Tensor]) -> Request:
        """This request on other tensors, given in the order of `tensors()`."""
        rest, states = iter(tensors), self.initial_state
        bound = self.on(
            x=next(rest),
            initial_state=None if states is None else tuple(next(rest) for _ in states),
            weights=tuple(w.bind(rest) for w in self.weights),
            sequences=tuple(tuple(next(rest) for _ in given) for given in self.sequences),
        )
        bound.__dict__["_tensors"] = tuple(tensors)
        return bound

    def on(
        self, x: Tensor, initial_state: tuple[Tensor, ...] | None, weights: tuple[Weights, ...],
        sequences: tuple[tuple[Tensor, ...], ...],
    ) -> Request:  # fmt: skip
        """This request on other tensors of the same shapes."""
        bound = object.__new__(Request)  # as dataclasses.replace, at a fifth of its time, and with what is shared
        bound.__dict__.update(self.__dict__)
        bound.__dict__.update(x=x, initial_state=initial_state, weights=weights, sequences=sequences)
        bound.__dict__.pop("_tensors", None)
        return bound


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


def _projection(program: Program, weights: Weights) -> int:
    """The projection size P, as the further matrices have it; 0 for a cell without one."""
    for (name, shape), matrix in zip(program.cell.matrices.items(), weights.matrices, strict=False):
        if "P" in shape:
            if matrix.dim() != 2:
                raise ValueError(f"{name} has the shape {tuple(matrix.shape)}; expected a matrix ({', '.join(shape)})")
            return int(matrix.shape[shape.index("P")])
    return 0


def _check_weights(program: Program, weights: Weights, x: Tensor, sizes: Mapping[str, int]) -> None:
    cell, units = program.cell, sizes["H"]
    if program.sizes.same and sizes["D"] != units:
        raise ValueError(f"cell {cell.name} needs an input as wide as its units: got {sizes['D']} for {units} units")
    if cell.projected and not 0 < sizes["P"] <= units:
        raise ValueError(f"cell {cell.name} projects {units} units to {sizes['P']}; expected 1..{units}")
    rows = {matrix: len(program.blocks[matrix]) * units for matrix in ("W", "U")}
    _expect(weights.W, "W", (rows["W"], x.shape[-1]), x)
    _expect(weights.U, "U", (rows["U"], sizes[program.shape("U")[1]]), x)
    _expect(weights.b, "b", (rows["W"],), x)
    _expect(weights.b_u, "b_u", (rows["U"],), x)
    for kind, names, given in (
        ("per-unit vectors", cell.vectors, weights.parameters),
        ("further matrices", tuple(cell.matrices), weights.matrices),
    ):
        if len(given) != len(names):
            raise ValueError(f"cell {cell.name} has the {kind} ({', '.join(names)}); got {len(given)} of them")
    for name, parameter in zip(cell.vectors, weights.parameters, strict=True):
        _expect(parameter, name, (units,), x)
        if name in cell.constants and parameter.requires_grad:
            raise ValueError(
                f"{name} is a constant of cell {cell.name} but requires a gradient; constants are not trained"
            )
    for (name, shape), matrix in zip(cell.matrices.items(), weights.matrices, strict=True):
        _expect(matrix, name, (sizes[shape[0]], sizes[shape[1]]), x)
    _check_reach(weights.reach, (units, sizes[program.shape("U")[1]]))
    if weights.order is not None and sorted(weights.order) != sorted(program.cell.gates):
        raise ValueError(f"order is {weights.order}; expected an order of the gates {program.cell.gates}")


def _check_reach(reach: Tensor | None, shape: tuple[int, int]) -> None:
    if reach is None:
        return
    units, entries = shape
    if tuple(reach.shape) != (units, 2) or reach.dtype != torch.int64 or reach.device.type != "cpu":
        raise ValueError(
            f"reach is {reach.dtype} of the shape {tuple(reach.shape)} on {reach.device}; "
            f"expected int64 ({units}, 2) on the CPU"
        )
    first, last = reach.unbind(1)
    if bool((first < 0).any() or (first > last).any() or (last > entries).any()):
        raise ValueError(f"reach holds ranges outside 0..{entries}, the entries that U reads")


def _with_own_reach(weights: Weights) -> Weights:
    """The weights with a reach of their own, row after row as the kernels read it."""
    if weights.reach is None:
        return weights
    return replace(weights, reach=weights.reach.clone(memory_format=torch.contiguous_format))


def _check_sequences(
    cell: Cell, sequences: Sequence[Sequence[Tensor]] | None, directions: int, x: Tensor, units: int
) -> tuple[tuple[Tensor, ...], ...]:
    given = tuple(tuple(one) for one in sequences) if sequences is not None else ((),) * directions
    names = cell.inputs
    if len(given) != directions or any(len(one) != len(names) for one in given):
        found = ", ".join(str(len(one)) for one in given)
        raise ValueError(
            f"cell {cell.name} has the further input sequences ({', '.join(names)}), "
            f"for each of {directions} directions; got {found} of them"
        )
    for one in given:
        for name, sequence in zip(names, one, strict=True):
            _expect(sequence, f"sequence {name}", (*x.shape[:-1], units), x)
    return given


def _check_lengths(lengths: Sequence[int] | Tensor, steps: int, batch: int) -> Tensor:
    given = lengths if isinstance(lengths, Tensor) else torch.as_tensor(lengths, device="cpu")
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
        return (batch_sizes.unsqueeze(1) > torch.arange(batch, device="cpu")).sum(0), "right", None
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


def _check_states(
    cell: Cell, states: Sequence[Tensor], leading: tuple[int, ...], sizes: Mapping[str, int], x: Tensor
) -> tuple[Tensor, ...]:
    if len(states) != len(cell.states):
        names = ", ".join(cell.states)
        raise ValueError(f"cell {cell.name} has the states {names}; got {len(states)} initial states")
    for name, state in zip(cell.states, states, strict=True):
        _expect(state, f"initial state {name}", (*leading, sizes[cell.size_of(name)]), x)
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


@remembered
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
    sequences: Sequence[Sequence[Tensor]] | None = None,
    outputs: Sequence[str] | None = None,
    truncate: int | None = None,
    clip: float | None = None,
    recompute: bool | int | None = None,
    saved_dtype: SavedDtype | None = None,
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
    units, projection = _units(program, weights[0]), _projection(program, weights[0])
    sizes = {"D": x.shape[-1], "H": units, "P": projection}
    for one in weights:
        _units(program, one)
        _check_weights(program, one, x, sizes)
    # copies, as lengths and masks are: whoever changes theirs must not change what the backward pass sees
    weights = tuple(_with_own_reach(one) for one in weights)
    wanted = cell.states[:1] if outputs is None else tuple(outputs)
    if not wanted or not set(wanted) <= set(cell.states):
        raise ValueError(f"outputs is {wanted!r}; expected names among the states of {cell.name}, {cell.states}")
    lengths, padded, mask = _check_running(lengths, batch_sizes, mask, steps, batch)
    mask = None if mask is None else mask.to(x.device, copy=True)
    if initial_state is not None:
        initial_state = _check_states(cell, initial_state, (len(weights), batch), sizes, x)
    return Request(
        cell=cell,
        x=x,
        weights=weights,
        sequences=_check_sequences(cell, sequences, len(weights), x, units),
        initial_state=initial_state,
        layout=layout,
        reverse=directions,
        lengths=lengths,
        padded=padded,
        batch_sizes=batch_sizes,
        mask=mask,
        padding=padding,
        activations=_chosen(cell, activations or {}),
        outputs=tuple(cell.states.index(name) for name in wanted),
        truncate=0 if truncate is None else check_truncate(truncate),
        clip=0.0 if clip is None else check_clip(clip),
        recompute=piece_length(recompute, steps),
        saved_dtype=rounded_to(saved_dtype, recompute, x),
        flow=None,
        units=units,
        projection=projection,
        steps=steps,
        batch=batch,
    )
