"""One layer at many shapes beside PyTorch's: how many times as fast, and how near the machine's peak."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan
from typing import Any

import numpy as np

from . import report
from .cases import PEER, layer, layer_flops
from .contest import Comparison, Result, Turns
from .report import Table

STEPS = (1, 40, 400)
BATCHES = (1, 8, 32, 64, 256)
UNITS = (16, 45, 64, 128, 256, 512, 1024)

#: A training step of more operations takes a second, and so do the oracle's and each round's: such a shape is left out,
#: and said to be.
MOST = 1e11
#: Above these operations a step is long enough for fewer rounds.
LONG = 1e10
TURNS = Turns(rounds=5, seconds=0.04, warm_up=0.05)
LONG_TURNS = Turns(rounds=3, seconds=0.04, warm_up=0.05)

#: What else a layer may be, at T=40 B=32.
VARIATIONS: dict[str, dict[str, Any]] = {
    "input size 1": {"input_size": 1},
    "input size 16": {"input_size": 16},
    "2 layers": {"layers": 2},
    "4 layers": {"layers": 4},
    "bidirectional": {"bidirectional": True},
    "2 layers, bidirectional": {"layers": 2, "bidirectional": True},
    "GRU": {"kind": "GRU"},
    "RNN, tanh": {"kind": "RNN"},
    "LSTM in float64": {"dtype": "float64"},
}
VARIED_UNITS = (16, 45, 128, 256, 512)

PASSES = ("training step", "forward")


@dataclass(frozen=True)
class Block:
    """A table of comparisons, by row and column; None where a training step has too many operations."""

    title: str
    comparisons: Mapping[str, Mapping[str, Comparison | None]]


def _comparison(title: str, options: Mapping[str, Any]) -> Comparison | None:
    flops = layer_flops({**options, "training": True})
    return None if flops > MOST else layer(title, options, turns=LONG_TURNS if flops > LONG else TURNS)


def _options(which: str, steps: int, batch: int, units: int) -> dict[str, Any]:
    options: dict[str, Any] = {"kind": "LSTM", "input_size": units, "hidden_size": units, "batch": batch}
    return {**options, "steps": steps, "training": which == "training step"}


def _grid(which: str, steps: int, batches: Sequence[int], sizes: Sequence[int]) -> Block:
    def one(batch: int, units: int) -> Comparison | None:
        return _comparison(f"LSTM, {which}, T={steps} B={batch} H={units}", _options(which, steps, batch, units))

    found = {f"B={batch}": {f"H={units}": one(batch, units) for units in sizes} for batch in batches}
    return Block(f"LSTM, {which}, T={steps}", found)


def _varied(which: str, sizes: Sequence[int]) -> Block:
    found = {
        name: {
            f"H={units}": _comparison(
                f"{name}, {which}, T=40 B=32 H={units}", _options(which, 40, 32, units) | variation
            )
            for units in sizes
        }
        for name, variation in VARIATIONS.items()
    }
    return Block(f"other layers, {which}, T=40 B=32", found)


def blocks(quick: bool) -> list[Block]:
    """Every table that is measured: training steps, then the forward alone."""
    steps, batches, sizes = (STEPS, BATCHES, UNITS) if not quick else ((1, 40), (1, 32), (16, 64))
    varied = VARIED_UNITS if not quick else (16, 64)
    return [
        block
        for which in PASSES
        for block in (*(_grid(which, one, batches, sizes) for one in steps), _varied(which, varied))
    ]


def shapes(quick: bool) -> list[Comparison]:
    """Forward and every gradient, and the forward alone, of layers from one step of one row to what takes a second."""
    entries = (one for block in blocks(quick) for row in block.comparisons.values() for one in row.values())
    return [one for one in entries if one]


def entry(result: Result | None) -> str:
    """How many times as fast as PyTorch, and the part of the peak; why not, where there is no such number."""
    if result is None:
        return "too long"
    ratio, part = result.ratio(PEER), result.of_peak(result.outcomes[0].contender.name)
    if ratio is None:
        return next(outcome.status for outcome in result.outcomes if outcome.status not in ("timed", "withheld"))
    return f"{ratio:.2f}" if part is None else f"{ratio:.2f} {report.of_peak(part):>3}"


def tables(results: Sequence[Result], quick: bool) -> list[Table]:
    """A table a block; then what they do not say: the largest error, and everything that needs a note."""
    by_title = {result.comparison.title: result for result in results}
    made = []
    for block in blocks(quick):
        columns = list(next(iter(block.comparisons.values())))
        rows = [
            [name, *(entry(by_title[one.title] if one else None) for one in row.values())]
            for name, row in block.comparisons.items()
        ]
        made.append(Table(f"{block.title}: times as fast as {PEER}, part of the peak", ["", *columns], rows))
    return [*made, _summary(results)]


def _summary(results: Sequence[Result]) -> Table:
    ratios = sorted(ratio for result in results if (ratio := result.ratio(PEER)) is not None)
    errors = [outcome.error for result in results for outcome in result.outcomes[:1] if outcome.error is not None]
    rows = [
        ["shapes measured", str(len(ratios))],
        ["of these, ours is the faster at", str(sum(ratio >= 1 for ratio in ratios))],
        ["least, median and greatest ratio", ", ".join(f"{r:.2f}" for r in np.quantile(ratios or [nan], (0, 0.5, 1)))],
        ["largest relative error of ours", f"{max(errors):.0e}" if errors else "-"],
        ['"too long", not measured', f"more than {MOST:.0e} operations a training step"],
        ["rounds", f"{TURNS.rounds}; {LONG_TURNS.rounds} above {LONG:.0e} operations a training step"],
        *([result.comparison.title, said] for result in results if (said := report.notes(result))),
    ]
    return Table("All shapes", ["", "note"], rows)
