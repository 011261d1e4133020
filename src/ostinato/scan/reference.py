"""The readable scan: a cell's own equations on torch tensors, one step after the other.

This is the oracle of the tests (in float64), and the path for whatever the kernels do not serve.
"""

from __future__ import annotations

from collections.abc import Callable
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


def _minimum(x: Tensor, y: Any) -> Tensor:
    return torch.where((x < y) | x.isnan(), x, y)


def _maximum(x: Tensor, y: Any) -> Tensor:
    return torch.where((x > y) | x.isnan(), x, y)


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
    select=_select,
    row_mean=lambda x: x.mean(-1, keepdim=True),
)


@ops.namespace.register
def _(value: Tensor) -> Any:
    return _functions


class _Gates:
    """`gate` of one step: the products of x_t and h with every block, made when first asked for."""

    def __init__(self, scan: _Direction, t: int, h: Tensor, sides: str = "WU") -> None:
        self._scan = scan
        self._t = t
        self._h = h
        self._sides = sides

    @property
    def x(self) -> _Gates:
        return _Gates(self._scan, self._t, self._h, "W")

    @property
    def h(self) -> _Gates:
        return _Gates(self._scan, self._t, self._h, "U")

    def using(self, h: Tensor) -> _Gates:
        return _Gates(self._scan, self._t, h, self._sides)

    def __getattr__(self, name: str) -> Tensor:
        parts = []
        if "W" in self._sides:
            parts.append(self._scan.from_input[name][self._t])
        if "U" in self._sides:
            matrix, bias = self._scan.recurrent[name]
            product = self._h @ matrix.T
            parts.append(product if bias is None else product + bias)
        return sum(parts[1:], parts[0])


class _Direction:
    """One direction's weights, cut into gates, and its input products over all steps."""

    def __init__(self, request: Request, direction: int, x: Tensor) -> None:
        w = request.weights[direction]
        blocks = request.program.blocks
        orders = {m: [g for g in request.order(direction) if g in blocks[m]] for m in ("W", "U")}

        def cut(tensor: Tensor | None, matrix: str) -> list[Any]:
            return [None] * len(orders[matrix]) if tensor is None else list(tensor.split(request.units))

        self.from_input = {
            gate: torch.nn.functional.linear(x, block, bias)
            for gate, block, bias in zip(orders["W"], cut(w.W, "W"), cut(w.b, "W"), strict=True)
        }
        self.recurrent = dict(zip(orders["U"], zip(cut(w.U, "U"), cut(w.b_u, "U"), strict=True), strict=True))
        self.parameters = SimpleNamespace(**dict(zip(request.cell.parameters, w.parameters, strict=True)))


def _function(chosen: str | Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return activation(chosen).value if isinstance(chosen, str) else chosen


def _one_direction(
    request: Request, direction: int, x: Tensor, mask: Tensor | None
) -> tuple[Tensor, tuple[Tensor, ...]]:
    cell = request.cell
    weights = _Direction(request, direction, x)
    functions = {symbol: _function(chosen) for symbol, chosen in request.activations.items()}
    if request.initial_state is None:
        states = tuple(x.new_zeros(request.batch, request.units) for _ in cell.states)
    else:
        states = tuple(state[direction] for state in request.initial_state)
    outputs: list[Tensor] = [states[0]] * request.steps
    order = range(request.steps)
    for number, t in enumerate(reversed(order) if request.reverse[direction] else order):
        new = cell(
            gate=_Gates(weights, t, states[0]),
            state=SimpleNamespace(**dict(zip(cell.states, states, strict=True))),
            p=weights.parameters,
            t=number,
            **functions,
        )
        if mask is not None:
            runs = mask[t].unsqueeze(-1)
            new = tuple(torch.where(runs, after, before) for after, before in zip(new, states, strict=True))
        states = new
        outputs[t] = states[0]
    return torch.stack(outputs), states


def _pack(padded: Tensor, batch_sizes: Tensor) -> Tensor:
    return torch.cat([padded[t, :size] for t, size in enumerate(batch_sizes.tolist())])


def _unpack(packed: Tensor, batch_sizes: Tensor, batch: int) -> Tensor:
    steps = packed.split(batch_sizes.tolist())
    return torch.stack([torch.nn.functional.pad(step, (0, 0, 0, batch - len(step))) for step in steps])


def run(request: Request) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Outputs and final states, as `scan.scan` describes them, by plain differentiable torch operations."""
    x = request.x
    if request.layout == "packed":
        assert request.batch_sizes is not None
        x = _unpack(x, request.batch_sizes, request.batch)
    elif request.layout == "batch":
        x = x.transpose(0, 1)
    mask = request.mask.T if request.mask is not None else None
    if request.lengths is not None:
        steps = torch.arange(request.steps).unsqueeze(1)
        mask = (steps if request.padded == "right" else steps.flip(0)) < request.lengths
    if mask is not None:
        mask = mask.to(x.device)
        x = torch.where(mask.unsqueeze(-1), x, 0)

    outputs, finals = zip(*(_one_direction(request, k, x, mask) for k in range(len(request.weights))), strict=True)
    y = torch.cat(outputs, -1)
    if mask is not None and request.padding == "zero":
        y = torch.where(mask.unsqueeze(-1), y, 0)
    if request.layout == "packed":
        assert request.batch_sizes is not None
        y = _pack(y, request.batch_sizes)
    elif request.layout == "batch":
        y = y.transpose(0, 1)
    return y, tuple(torch.stack(state) for state in zip(*finals, strict=True))
