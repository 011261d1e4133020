"""Requests as calls into the engine."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import torch
from torch import Tensor

from ..cells import ACTIVATIONS, CELLS, Cell, dense
from . import _engine, builder, precision
from .request import Request, Weights
from .saved import Saved
from .workspace import Lease, empty

#: Below this many multiply-adds a second thread costs more than it brings.
_WORTH_A_THREAD = 1 << 18

_NUMBER_OF = {name: number for number, name in enumerate(ACTIVATIONS)}

#: The cells that the engine was built with.
_BUILT = {**CELLS, dense.name: dense}
_DESCRIPTIONS = {one["name"]: {**one, "number": number} for number, one in enumerate(_engine.cells())}

#: A process forked from this one has none of its threads, and GNU's OpenMP would wait for them for ever.
_PROCESS = os.getpid()


def kernel(cell: Cell) -> dict[str, Any] | str:
    """The engine's description of a cell, with its number; or why it has none."""
    if _BUILT.get(cell.name) is cell and cell.name in _DESCRIPTIONS:
        return _DESCRIPTIONS[cell.name]
    return builder.find(cell)


@dataclass(frozen=True)
class _Ragged:
    """How a ragged batch is laid out: see `Call` in kernels/call.h. The tensors are int64."""

    order: Tensor | None
    alive: Tensor
    tokens: Tensor


def _ragged(request: Request) -> _Ragged | None:
    if request.lengths is None:
        return None
    if request.batch_sizes is not None:
        order, alive = None, request.batch_sizes.to(torch.int64).contiguous()
    else:
        if bool((request.lengths == request.steps).all()):
            return None
        order = torch.argsort(request.lengths, descending=True, stable=True)
        ending = torch.bincount(request.lengths, minlength=request.steps + 1)
        alive = request.batch - ending.cumsum(0)[: request.steps]
        if request.padded == "left":
            alive = alive.flip(0)
    tokens = torch.zeros(request.steps + 1, dtype=torch.int64, device="cpu")
    torch.cumsum(alive, 0, out=tokens[1:])
    return _Ragged(order, alive, tokens)


@lru_cache(maxsize=256)
def _blocks(cell: Cell, blocks: tuple[tuple[str, ...], ...], order: tuple[str, ...]) -> list[list[int]]:
    """For each matrix where each of the cell's blocks stands in weights of this order, as the engine's arrays."""
    found = []
    for names in blocks:
        stored = [gate for gate in order if gate in names]
        positions = [stored.index(gate) for gate in names]
        found.append(positions + [0] * (16 - len(positions)))
    return found


def _resolved(tensor: Tensor) -> Tensor:
    """The tensor, with its numbers in memory as they are."""
    return tensor.clone() if tensor._is_zerotensor() else tensor.resolve_neg()


def _features_contiguous(tensor: Tensor) -> Tensor:
    tensor = _resolved(tensor)
    return tensor if tensor.stride(-1) == 1 or tensor.shape[-1] == 1 else tensor.contiguous()


def readable(sequences: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Sequences and states as the engine reads them: copies of those whose features do not stand side by side.

    A call holds addresses, so whoever makes it holds these until it has run.
    """
    return [None if one is None else _features_contiguous(one) for one in sequences]


def sequence(tensor: Tensor, layout: str, offset: int = 0) -> tuple[int, int, int, bool]:
    """Where the engine finds a sequence: address, strides of a step and of a row, whether it is packed."""
    address, strides = tensor.data_ptr(), tensor.stride()
    if offset:
        address += offset * tensor.element_size()
    if layout == "packed":
        return address, 0, strides[0], True
    return (address, strides[0], strides[1], False) if layout == "time" else (address, strides[1], strides[0], False)


def matrix(tensor: Tensor, direction: int = 0) -> tuple[int, int, int]:
    """Where the engine finds a matrix, or that of a direction among several: address, strides of rows and columns."""
    address, strides = tensor.data_ptr(), tensor.stride()
    if direction:
        address += direction * strides[0] * tensor.element_size()
    return address, strides[-2], strides[-1]


def _address(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()


def _padded(addresses: list[int], count: int = 16) -> list[int]:
    return addresses + [0] * (count - len(addresses))


#: What one direction keeps for its backward pass.
Slots = Lease | Tensor


@dataclass(frozen=True)
class Gradients:
    """Room for the gradients of a request's tensors, None where one is not wanted.

    Attributes:
        tensors: in the order of `request.tensors()`; the others are the same ones by what they belong to.
        x: of the input.
        states: of the initial states.
        weights: for each direction those of `Weights.tensors()`.
        sequences: for each direction those of the further sequences.
    """

    tensors: list[Tensor | None]
    x: Tensor | None
    states: list[Tensor | None]
    weights: list[list[Tensor | None]]
    sequences: list[list[Tensor | None]]


def _addressable(request: Request) -> Request:
    """The request, with copies of those tensors that the engine cannot read where they are."""
    given = request.tensors()
    if (
        all(map(Tensor.is_contiguous, given))
        and not any(map(Tensor.is_neg, given))
        and all(map(Tensor.data_ptr, given))
    ):
        return request
    last = len(given) - sum(map(len, request.sequences))
    found = [_features_contiguous(request.x)]
    found += [_resolved(t) if t.dim() == 2 else _resolved(t).contiguous() for t in given[1:last]]
    found += [_features_contiguous(one) for one in given[last:]]
    return request if all(one is other for one, other in zip(given, found, strict=True)) else request.bind(found)


class _Form:
    """What the calls of all requests have in common that differ in their tensors alone.

    Attributes:
        outputs_of: the states whose sequences the engine writes: the first always, since it is where the steps look
            back to.
        sizes: of the states.
        calls: for each direction a call without addresses of tensors.
    """

    def __init__(self, request: Request) -> None:
        self.parts = precision.parts(request)
        self.ragged = _ragged(request)
        self.description = cast("dict[str, Any]", kernel(request.cell))
        lanes = _engine.lanes(request.x.dtype == torch.float64)
        widest = max(request.units, request.x.shape[-1]) if self.description["wide"] else request.units
        self.width = -(-widest // lanes) * lanes
        self.outputs_of = (0, *(state for state in request.outputs if state))
        self.sizes = [request.state_size(state) for state in range(len(request.cell.states))]
        self.tokens = request.batch * request.steps if self.ragged is None else int(self.ragged.tokens[-1])
        self.large = self.tokens * request.units * (request.units + request.x.shape[-1]) > _WORTH_A_THREAD
        self.calls = [self._call(request, direction) for direction in range(len(request.weights))]
        given = request.tensors()
        self._weights = slice(1 + len(request.initial_state or ()), len(given) - sum(map(len, request.sequences)))
        self._on: tuple[list[Any], list[Any]] = [], []

    def on(self, request: Request) -> list[Any]:
        """For each direction a call with the addresses of the weights; the last ones are kept, for they rarely move."""
        weights = request.tensors()[self._weights]
        places = [*map(Tensor.data_ptr, weights), *map(Tensor.stride, weights)]
        before, calls = self._on  # together, since another thread may have other weights
        if places != before:
            calls = [_on(call.copy(), w) for call, w in zip(self.calls, request.weights, strict=True)]
            self._on = places, calls
        return calls

    @classmethod
    def of(cls, request: Request) -> _Form:
        """That of a request, made once for every instruction set and exactness of products."""
        found: dict[tuple[str, int], _Form] = request.shared.setdefault("calls", {})
        settings = _engine.instruction_set(), precision.parts(request)
        if settings not in found:
            found[settings] = cls(request)
        return found[settings]

    def _call(self, request: Request, direction: int) -> Any:
        call = _engine.Call()
        call.cell, call.units = self.description["number"], request.units
        call.parts = self.parts
        call.steps, call.batch = request.steps, request.batch
        call.input_size, call.projection = request.x.shape[-1], request.projection
        call.phi = _NUMBER_OF[str(request.activations.get("phi", "linear"))]
        call.sigma = _NUMBER_OF[str(request.activations.get("sigma", "linear"))]
        call.is_double = request.x.dtype == torch.float64
        call.reverse = request.reverse[direction]
        call.repeat = request.padding == "repeat" and request.layout != "packed"
        call.truncate, call.clip = request.truncate, request.clip
        if self.ragged is not None:
            call.order = _address(self.ragged.order)
            call.alive, call.tokens = self.ragged.alive.data_ptr(), self.ragged.tokens.data_ptr()
        if request.mask is not None:
            call.mask, (call.mask_row, call.mask_step) = request.mask.data_ptr(), request.mask.stride()
        call.reach = _address(request.weights[direction].reach)
        blocks = request.program.blocks
        call.blocks = _blocks(request.cell, (blocks["W"], blocks["U"]), request.order(direction))
        return call


def _on(call: Any, w: Weights) -> Any:
    """A call, given the addresses of these weights."""
    for k, weight in enumerate((w.W, w.U, *w.matrices)):
        if weight is not None:
            call.set_weights(k, *matrix(weight))
    call.bias = [_address(w.b), _address(w.b_u)]
    if w.parameters:
        call.parameters = _padded([p.data_ptr() for p in w.parameters], 32)
    return call


class Caller:
    """Makes the calls of one request; holds every tensor that a call points into."""

    def __init__(self, request: Request) -> None:
        self.request = _addressable(request)
        self.form = _Form.of(request)
        self._calls = self.form.on(self.request)

    def lease(self, pieces: Sequence[tuple[int, int]] = ()) -> Lease:
        """Room for what one direction keeps for its backward pass: of all steps, or of any of these (first, count)."""
        tokens = max((self.tokens_of(*piece) for piece in pieces), default=self.form.tokens)
        return Lease(tokens * self.form.description["slots"] * self.form.width, self.request.x.dtype)

    def saved(self) -> Saved | None:
        """Likewise, in fewer bits, where the request asks for it."""
        if self.request.saved_dtype is None:
            return None
        form = self.form
        shape = form.tokens, form.description["slots"], form.width
        return Saved(shape, form.description["history"], self.request.saved_dtype)

    def tokens_of(self, first: int, count: int) -> int:
        """How many rows and steps run among the steps first..first + count - 1."""
        if self.form.ragged is None:
            return self.request.batch * count
        return int(self.form.ragged.tokens[first + count] - self.form.ragged.tokens[first])

    def call(self, direction: int, found: Sequence[Tensor], slots: Slots | None) -> Any:
        request, form, call = self.request, self.form, self._calls[direction].copy()
        call.threads = torch.get_num_threads() if form.large and os.getpid() == _PROCESS else 1
        call.set_x(*sequence(request.x, request.layout))
        for state, y in zip(form.outputs_of, found, strict=True):
            call.set_y(state, *sequence(y, request.layout, direction * form.sizes[state]))
        for k, further in enumerate(request.sequences[direction]):
            call.set_sequence(k, *sequence(further, request.layout))
        for s, initial in enumerate(request.initial_state or ()):
            call.set_initial(s, *matrix(initial, direction))
        if slots is not None:
            call.keep, call.slots = True, slots.data_ptr()
        return call

    def outputs(self) -> tuple[list[Tensor], list[Tensor]]:
        """Room for the output sequences, in the order of `outputs_of`, and for the final states."""
        request, sizes, directions = self.request, self.form.sizes, len(self.request.weights)
        leading = request.x.shape[:-1]
        found = [empty((*leading, directions * sizes[state]), request.x) for state in self.form.outputs_of]
        return found, [request.x.new_empty(directions, request.batch, size) for size in sizes]

    def asked(self, found: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Of the output sequences those that the request asks for, in its order."""
        return tuple(found[self.form.outputs_of.index(state)] for state in self.request.outputs)

    def forward_calls(
        self, found: Sequence[Tensor], finals: Sequence[Tensor], slots: Sequence[Slots | None]
    ) -> Iterator[Any]:
        """For each direction the call of the forward pass."""
        for direction, room in enumerate(slots):
            call = self.call(direction, found, room)
            for s, final in enumerate(finals):
                call.set_final(s, *matrix(final, direction))
            yield call

    def forward(self, found: Sequence[Tensor], finals: Sequence[Tensor], slots: Sequence[Slots | None]) -> None:
        for call in self.forward_calls(found, finals, slots):
            _engine.forward(call)

    def backward(
        self, outputs: Sequence[Tensor], slots: Sequence[Slots], y_gradients: Sequence[Tensor | None],
        final_gradients: Sequence[Tensor | None], wanted: Sequence[bool],
    ) -> list[Tensor | None]:  # fmt: skip
        """The gradients of `request.tensors()`, None where not wanted."""
        found = self.gradients(wanted)
        y_gradients, final_gradients = readable(y_gradients), readable(final_gradients)
        for call in self.whole_backward_calls(outputs, slots, y_gradients, final_gradients, found):
            _engine.backward(call)
        return found.tensors

    def whole_backward_calls(
        self, outputs: Sequence[Tensor], slots: Sequence[Slots], y_gradients: Sequence[Tensor | None],
        final_gradients: Sequence[Tensor | None], into: Gradients,
    ) -> Iterator[Any]:  # fmt: skip
        """For each direction the call of the backward pass, from `readable` gradients."""
        for direction, call in enumerate(self.backward_calls(outputs, slots, y_gradients, into)):
            for s, gradient in enumerate(final_gradients):
                if gradient is not None:
                    call.set_final_gradient(s, *matrix(gradient, direction))
            for s, gradient in enumerate(into.states):
                if gradient is not None:
                    call.set_initial_gradient(s, *matrix(gradient, direction))
            ask_for_weights(call, self.request.weights[direction], into.weights[direction])
            yield call

    def gradients(self, wanted: Sequence[bool]) -> Gradients:
        """Room for the gradients of `request.tensors()`."""
        request = self.request
        given, sequences = request.tensors(), sum(map(len, request.sequences))
        found: list[Tensor | None] = [empty(request.x.shape, request.x) if wanted[0] else None]
        for k in range(1, len(given)):
            # of a sequence features stand side by side, which they might not where it overlaps itself
            strides = torch.contiguous_format if k >= len(given) - sequences else torch.preserve_format
            found.append(torch.empty_like(given[k], memory_format=strides) if wanted[k] else None)
        rest = iter(found)
        return Gradients(
            tensors=found,
            x=next(rest),
            states=[next(rest) for _ in request.initial_state or ()],
            weights=[[next(rest) for _ in w.tensors()] for w in request.weights],
            sequences=[[next(rest) for _ in given] for given in request.sequences],
        )

    def backward_calls(
        self,
        outputs: Sequence[Tensor],
        slots: Sequence[Slots],
        y_gradients: Sequence[Tensor | None],
        into: Gradients,
    ) -> Iterator[Any]:
        """For each direction the call of the backward pass, from `readable` gradients of the outputs, without the
        gradients of states and weights."""
        request, sizes, flows = self.request, self.form.sizes, self._flows()
        for direction, room in enumerate(slots):
            call = self.call(direction, outputs, room)
            for state, flow in enumerate(flows):
                call.set_flow(state, *sequence(flow, request.layout, direction * sizes[state]))
            for state, gradient in zip(request.outputs, y_gradients, strict=True):
                if gradient is not None:
                    call.set_y_gradient(state, *sequence(gradient, request.layout, direction * sizes[state]))
            if into.x is not None:
                call.set_x_gradient(*sequence(into.x, request.layout))
                call.add_to_x_gradient = direction > 0
            for k, gradient in enumerate(into.sequences[direction]):
                if gradient is not None:
                    call.set_sequence_gradient(k, *sequence(gradient, request.layout))
            yield call

    def _flows(self) -> list[Tensor]:
        """Room for the gradients of the states along the sequence, where somebody records them."""
        request = self.request
        if request.flow is None:
            return []
        leading, directions = request.x.shape[:-1], len(request.weights)
        sizes = {name: request.state_size(k) for k, name in enumerate(request.cell.states)}
        request.flow.gradients = {name: request.x.new_zeros(*leading, directions * sizes[name]) for name in sizes}
        return list(request.flow.gradients.values())


def ask_for_weights(call: Any, weights: Weights, gradients: Sequence[Tensor | None]) -> None:
    """Have a call write the gradients of `weights.tensors()`, those that are not None."""
    rest = iter(gradients)
    into = [None if t is None else next(rest) for t in (weights.W, weights.U, weights.b, weights.b_u)]
    call.bias_gradient = [_address(gradient) for gradient in into[2:]]
    if weights.parameters:
        call.parameters_gradient = _padded([_address(next(rest)) for _ in weights.parameters], 32)
    for k, gradient in enumerate((*into[:2], *rest)):
        if gradient is not None:
            call.set_weights_gradient(k, *matrix(gradient))
