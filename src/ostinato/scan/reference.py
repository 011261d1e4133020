"""The readable scan: a cell's own equations on torch tensors, one step after the other.

This is the oracle of the tests (in float64), and the path for whatever the kernels do not serve.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from ..cells import activation, ops
from .request import Request


def _select(condition: Tensor, positive: Any, otherwise: Any) -> Tensor:
    if not isinstance(positive, Tensor):
        positive = condition.new_tensor(positive)
    return torch.where(condition > 0, positive, otherwise)


def _like(x: Any, y: Any) -> Tensor:
    """x as a tensor, which y is where x is a number."""
    return x if isinstance(x, Tensor) else torch.full_like(y, x)


def _minimum(x: Any, y: Any) -> Tensor:
    x = _like(x, y)
    return torch.where((x < y) | x.isnan(), x, y)


def _maximum(x: Any, y: Any) -> Tensor:
    x = _like(x, y)
    return torch.where((x > y) | x.isnan(), x, y)


def _remainder(x: Any, y: Any) -> Tensor:
    return torch.remainder(_like(x, y), y.detach() if isinstance(y, Tensor) else y)


_functions = SimpleNamespace(
    exp=torch.exp,
    log1p=torch.log1p,
    erf=torch.erf,
    sqrt=torch.sqrt,
    tanh=torch.tanh,
    sigmoid=torch.sigmoid,
    absolute=torch.abs,
    minimum=_minimum,
    maximum=_maximum,
    remainder=_remainder,
    select=_select,
    row_mean=lambda x: x.mean(-1, keepdim=True),
)


@ops.namespace.register
def _(value: Tensor) -> Any:
    return _functions


class _Gates:
    """`gate` of one step: the products of x_t and h with every block, made when first asked for."""

    def __init__(self, weights: _Direction, x: Tensor, h: Tensor, sides: str = "WU") -> None:
        self._weights = weights
        self._vectors = {"W": x, "U": h}
        self._sides = sides

    @property
    def x(self) -> _Gates:
        return _Gates(self._weights, self._vectors["W"], self._vectors["U"], "W")

    @property
    def h(self) -> _Gates:
        return _Gates(self._weights, self._vectors["W"], self._vectors["U"], "U")

    def using(self, *, x: Tensor | None = None, h: Tensor | None = None) -> _Gates:
        old = self._vectors
        return _Gates(self._weights, old["W"] if x is None else x, old["U"] if h is None else h, self._sides)

    def __getattr__(self, name: str) -> Tensor:
        parts = []
        for side in self._sides:
            matrix, bias = self._weights.blocks[side][name]
            parts.append(torch.nn.functional.linear(_whole(self._vectors[side], matrix), matrix, bias))
        return sum(parts[1:], parts[0])


class _Matrix:
    """`matrix.name` of a step."""

    def __init__(self, tensor: Tensor) -> None:
        self._tensor = tensor

    def __matmul__(self, vector: Tensor) -> Tensor:
        return _whole(vector, self._tensor) @ self._tensor.T


def _whole(vector: Tensor, matrix: Tensor) -> Tensor:
    """A vector with an entry for every column of a matrix, where all units share one."""
    return vector.expand(*vector.shape[:-1], matrix.shape[1])


class _Direction:
    """One direction's weights, cut into gates."""

    def __init__(self, request: Request, direction: int) -> None:
        w = request.weights[direction]
        blocks = request.program.blocks
        orders = {m: [g for g in request.order(direction) if g in blocks[m]] for m in ("W", "U")}

        def cut(tensor: Tensor | None, matrix: str) -> list[Any]:
            return [None] * len(orders[matrix]) if tensor is None else list(tensor.split(request.units))

        U = w.U if w.U is None or w.reach is None else w.U * _reached(w.reach.to(w.U.device), w.U)
        self.blocks = {
            side: dict(zip(orders[side], zip(cut(matrix, side), cut(bias, side), strict=True), strict=True))
            for side, matrix, bias in (("W", w.W, w.b), ("U", U, w.b_u))
        }
        self.vectors = SimpleNamespace(**dict(zip(request.cell.vectors, w.parameters, strict=True)))
        further = zip(request.cell.matrices, map(_Matrix, w.matrices), strict=True)
        self.matrices = SimpleNamespace(**dict(further))


def _reached(reach: Tensor, U: Tensor) -> Tensor:
    """1 where a row of U may look, else 0."""
    entry = torch.arange(U.shape[1], device=U.device)
    inside = (entry >= reach[:, :1]) & (entry < reach[:, 1:])
    return inside.to(U.dtype).repeat(U.shape[0] // len(reach), 1)


def _as_state(value: Any, like: Tensor) -> Tensor:
    """A value of the equations, perhaps one number for all units, as a state."""
    return torch.as_tensor(value, dtype=like.dtype, device=like.device).expand_as(like)


def _function(chosen: str | Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return activation(chosen).value if isinstance(chosen, str) else chosen


def _one_direction(
    request: Request, direction: int, x: Tensor, sequences: tuple[Tensor, ...], mask: Tensor | None
) -> tuple[list[Tensor], tuple[Tensor, ...]]:
    cell = request.cell
    weights = _Direction(request, direction)
    functions = {symbol: _function(chosen) for symbol, chosen in request.activations.items()}
    if request.initial_state is None:
        states = tuple(x.new_zeros(request.batch, request.state_size(k)) for k in range(len(cell.states)))
    else:
        states = tuple(state[direction] for state in request.initial_state)
    outputs: list[list[Tensor]] = [[states[k]] * request.steps for k in request.outputs]
    order = range(request.steps)
    for number, t in enumerate(reversed(order) if request.reverse[direction] else order):
        states = _bounded(request, states, t, t + 1 if request.reverse[direction] else t, mask)
        new = cell(
            x=x[t],
            gate=_Gates(weights, x[t], states[0]),
            state=SimpleNamespace(**dict(zip(cell.states, states, strict=True))),
            p=weights.vectors,
            constant=weights.vectors,
            matrix=weights.matrices,
            sequence=SimpleNamespace(**{name: s[t] for name, s in zip(cell.inputs, sequences, strict=True)}),
            t=torch.tensor(float(number), dtype=x.dtype, device=x.device),
            **functions,
        )
        new = tuple(_as_state(after, before) for after, before in zip(new, states, strict=True))
        if mask is not None:
            runs = mask[t].unsqueeze(-1)
            new = tuple(torch.where(runs, after, before) for after, before in zip(new, states, strict=True))
        states = new if request.flow is None else _told(request, direction, t, new, mask)
        for sequence, k in zip(outputs, request.outputs, strict=True):
            sequence[t] = states[k]
    return [torch.stack(sequence) for sequence in outputs], states


def _bounded(
    request: Request, states: tuple[Tensor, ...], t: int, border: int, mask: Tensor | None
) -> tuple[Tensor, ...]:
    """The states that come into step t, over the border between the steps border - 1 and border: their gradients are
    clipped where the step runs, and cut in rows that have steps on both sides of a border of pieces."""
    everywhere = torch.ones(request.batch, 1, dtype=torch.bool, device=states[0].device)
    if request.clip:
        running = everywhere if mask is None else mask[t].unsqueeze(-1)
        states = tuple(state.clone() for state in states)
        for state in states:
            if state.requires_grad:
                state.register_hook(partial(_clipped, running, request.clip))
    if request.truncate and border % request.truncate == 0 and 0 < border < request.steps:
        both = everywhere if mask is None else (mask[:border].any(0) & mask[border:].any(0)).unsqueeze(-1)
        states = tuple(torch.where(both, state.detach(), state) for state in states)
    return states


def _clipped(running: Tensor, most: float, gradient: Tensor) -> Tensor:
    if torch.is_grad_enabled():
        raise RuntimeError(
            "a gradient clipped at every step has no derivative of its own; "
            "leave clip_recurrent_gradient out where gradients are differentiated (create_graph=True)"
        )
    return torch.where(running, gradient.clamp(-most, most), gradient)


def _told(
    request: Request, direction: int, t: int, states: tuple[Tensor, ...], mask: Tensor | None
) -> tuple[Tensor, ...]:
    """The states after step t, whose gradients will be told to the request's flow."""
    assert request.flow is not None
    states = tuple(state.clone() for state in states)
    for name, state in zip(request.cell.states, states, strict=True):
        if state.requires_grad:
            state.register_hook(partial(_tell, request, direction, t, name, mask))
    return states


def _tell(request: Request, direction: int, t: int, name: str, mask: Tensor | None, gradient: Tensor) -> None:
    assert request.flow is not None
    size, gradients = gradient.shape[-1], request.flow.gradients
    if name not in gradients:
        gradients[name] = gradient.new_zeros(*request.x.shape[:-1], len(request.weights) * size)
    here = gradients[name][..., direction * size : (direction + 1) * size]
    if request.batch_sizes is not None:
        first, rows = int(request.batch_sizes[:t].sum()), int(request.batch_sizes[t])
        here[first : first + rows] = gradient[:rows].detach()
        return
    steps = here.transpose(0, 1) if request.layout == "batch" else here
    steps[t] = gradient.detach()
    if request.lengths is not None and mask is not None:
        steps[t] *= mask[t].unsqueeze(-1)


def _pack(padded: Tensor, batch_sizes: Tensor) -> Tensor:
    return torch.cat([padded[t, :size] for t, size in enumerate(batch_sizes.tolist())])


def _unpack(packed: Tensor, batch_sizes: Tensor, batch: int) -> Tensor:
    steps = packed.split(batch_sizes.tolist())
    return torch.stack([torch.nn.functional.pad(step, (0, 0, 0, batch - len(step))) for step in steps])


def _by_time(request: Request, x: Tensor) -> Tensor:
    """A sequence as (T, B, ...)."""
    if request.batch_sizes is not None:
        return _unpack(x, request.batch_sizes, request.batch)
    return x.transpose(0, 1) if request.layout == "batch" else x


def _as_asked(request: Request, y: Tensor) -> Tensor:
    """A sequence (T, B, ...) laid out as the request's input."""
    if request.batch_sizes is not None:
        return _pack(y, request.batch_sizes)
    return y.transpose(0, 1) if request.layout == "batch" else y


def run(request: Request) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Output sequences and final states, as `dispatch.run` describes them, by plain differentiable torch operations."""
    x = _by_time(request, request.x)
    sequences = [[_by_time(request, one) for one in given] for given in request.sequences]
    mask = request.mask.T if request.mask is not None else None
    if request.lengths is not None:
        steps = torch.arange(request.steps, device="cpu").unsqueeze(1)
        mask = (steps if request.padded == "right" else steps.flip(0)) < request.lengths
    if mask is not None:
        mask = mask.to(x.device)
        runs = mask.unsqueeze(-1)
        x = torch.where(runs, x, 0)
        sequences = [[torch.where(runs, one, 0) for one in given] for given in sequences]

    by_direction = [_one_direction(request, k, x, tuple(sequences[k]), mask) for k in range(len(request.weights))]
    found = [torch.cat(both, -1) for both in zip(*(outputs for outputs, _ in by_direction), strict=True)]
    if mask is not None and request.padding == "zero":
        found = [torch.where(runs, y, 0) for y in found]
    finals = zip(*(states for _, states in by_direction), strict=True)
    return tuple(_as_asked(request, y) for y in found), tuple(torch.stack(state) for state in finals)
