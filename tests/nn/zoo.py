"""A module of every registered cell, and its forward pass by hand: scans of single directions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ostinato import nn, scan
from ostinato.cells import CELLS, Cell
from ostinato.compiler import trace

INPUT, HIDDEN, BATCH, STEPS = 3, 6, 4, 7

#: Sizes that some kinds of cell need, or that make a difference to them.
_SIZES: dict[str, dict[str, Any]] = {"heads": {"heads": 2}, "clockwork": {"modules": 3, "periods": (1, 2, 3)}}


def names() -> list[str]:
    return list(CELLS)


def input_size(cell: Cell) -> int:
    return HIDDEN if trace(cell).sizes.same else INPUT


def make(cell: Cell | str, **options: Any) -> Any:
    """A module in float64 whose vectors and biases are random too, so that none of them is without effect."""
    cell = CELLS[cell] if isinstance(cell, str) else cell
    sizes = dict(_SIZES.get(cell.blocks, {}))
    if scan.projects(cell):
        sizes["proj_size"] = 4
    if trace(cell).sizes.same and options.get("bidirectional"):
        options["num_layers"] = 1
    made = nn.layer_of(cell)(input_size(cell), HIDDEN, **{"dtype": torch.float64, **sizes, **options})
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.rand_like(parameter) * 0.3)
    return made


def sequence(module: Any, *leading: int) -> Tensor:
    shape = leading or ((BATCH, STEPS) if module.batch_first else (STEPS, BATCH))
    return torch.randn(*shape, module.input_size, dtype=torch.float64)


def states(module: Any, *batch: int) -> Any:
    """Random initial states that fit the module, as `hx`; what counts steps counts whole ones."""
    rows = module.num_layers * (2 if module.bidirectional else 1)
    made = []
    for name in module.cell.states:
        size = module.structures[0].state_size(name)
        one = torch.randn(rows, *(batch or (BATCH,)), size, dtype=torch.float64) * 0.5
        if module.cell.clock and name == module.cell.clock[0]:
            one = torch.full_like(one, 3.0)
        made.append(one)
    return tuple(made) if len(made) > 1 else made[0]


def listed(hidden: Any) -> tuple[Tensor, ...]:
    return hidden if isinstance(hidden, tuple) else (hidden,)


def _dense(cell: Cell, stored: Tensor, blocks: int) -> Tensor:
    """U of a gate block by block, written out entry by entry."""
    dense = torch.zeros(blocks * HIDDEN, HIDDEN, dtype=stored.dtype)
    if cell.blocks == "heads":
        width = stored.shape[1]
        for row in range(blocks * HIDDEN):
            first = row % HIDDEN // width * width
            dense[row, first : first + width] = stored[row]
        return dense
    k = stored.shape[0]
    start = 0
    for first in range(0, HIDDEN, k):
        dense[first : first + k, first:] = stored[:, start : start + HIDDEN - first]
        start += HIDDEN - first
    return dense


def weights(module: Any, cell: Cell, number: int, direction: int) -> scan.Weights:
    """The weights of one direction of one layer, made of the state dict."""
    blocks = trace(cell).blocks
    suffix = f"_l{number}" + ("_reverse" if direction else "")
    stored = module.state_dict()

    def bias(name: str, matrix: str, biased: tuple[str, ...]) -> Tensor | None:
        if name + suffix not in stored:
            return None
        parts = iter(stored[name + suffix].split(HIDDEN))
        zeros = torch.zeros(HIDDEN, dtype=torch.float64)
        return torch.cat([next(parts) if gate in biased else zeros for gate in blocks[matrix]])

    U = stored.get("weight_hh" + suffix)
    return scan.Weights(
        W=stored.get("weight_ih" + suffix),
        U=U if U is None or cell.blocks == "full" else _dense(cell, U, len(blocks["U"])),
        b=bias("bias_ih", "W", cell.bias),
        b_u=bias("bias_hh", "U", cell.recurrent_bias),
        parameters=tuple(stored[name + suffix] for name in cell.vectors),
        matrices=tuple(stored[f"weight_{name}{suffix}"] for name in cell.matrices),
    )


def by_hand(module: Any, x: Tensor, hx: Any) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Output and final states of a module outside training, x (steps, batch, features): every direction of every layer
    is a scan of its own, on the reference."""
    directions = 2 if module.bidirectional else 1
    initial, finals = iter(zip(*listed(hx), strict=True)), []
    below: list[list[Tensor]] = []
    for number in range(module.num_layers):
        cell = CELLS["peephole_lstm"] if module.cell.sequences and number == 0 else module.cell
        found, kept = [], []
        for direction in range(directions):
            masks = [
                x.new_full((STEPS, BATCH, HIDDEN), mask.default if mask.kind == "zoneout" else 1.0)
                for mask in cell.masks.values()
            ]
            outputs, final = scan.scan(
                cell, x, [weights(module, cell, number, direction)], [one.unsqueeze(0) for one in next(initial)],
                layout="time", reverse=[direction == 1], backend="reference", outputs=cell.states,
                sequences=[[*(below[direction] if cell.sequences else []), *masks]],
            )  # fmt: skip
            found.append(outputs[0])
            kept.append(list(outputs[1 : 1 + len(module.cell.sequences)]))
            finals.append(final)
        x, below = torch.cat(found, -1), kept
    return x, tuple(torch.cat(one) for one in zip(*finals, strict=True))
