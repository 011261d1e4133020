"""How the time of a training step grows with the work and shrinks with the cores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import report
from .cases import OURS, PEER, layer, on_one_thread
from .contest import Comparison, Result, Turns
from .report import Table

TURNS = Turns(rounds=5, seconds=0.06, warm_up=0.1)

#: One LSTM, the input as wide as the units.
BASE: dict[str, Any] = {"kind": "LSTM", "steps": 64, "batch": 32, "hidden_size": 128, "layers": 1}


@dataclass(frozen=True)
class Axis:
    """One of the sizes of `BASE` takes these values; the operations grow as its power."""

    name: str
    option: str
    values: Sequence[int]
    power: int = 1

    def options(self, value: int) -> dict[str, Any]:
        """What the layer is where this size has a value."""
        sized = {**BASE, self.option: value}
        return {**sized, "input_size": sized["hidden_size"]}

    def title(self, value: int) -> str:
        """The comparison's name, unlike that of every other."""
        of = self.options(value)
        return f"{self.name} {value}: {of['layers']} x LSTM T={of['steps']} B={of['batch']} H={of['hidden_size']}"


AXES = (
    Axis("time steps", "steps", (1, 4, 16, 64, 256, 1024)),
    Axis("batch", "batch", (1, 2, 4, 8, 16, 32, 64, 128, 256)),
    Axis("units", "hidden_size", (8, 16, 32, 64, 128, 256, 512, 1024), power=2),
    Axis("layers", "layers", (1, 2, 4, 8)),
)

#: From this batch on there are rows enough for every core.
MANY = 16


def growth(quick: bool) -> list[Comparison]:
    """Training steps of one LSTM of which one size changes, on all cores and on one."""
    return [
        layer(axis.title(value), axis.options(value), turns=TURNS, singly=True)
        for axis in AXES
        for value in (axis.values[:2] if quick else axis.values)
    ]


def along(axis: Axis, results: Iterable[Result]) -> dict[int, Result]:
    """By value, the results on this axis."""
    titles = {axis.title(value): value for value in axis.values}
    return {titles[one.comparison.title]: one for one in results if one.comparison.title in titles}


def times(found: Mapping[int, Result], name: str) -> tuple[list[int], list[float]]:
    """The values at which a contender was timed, and its seconds there."""
    timed = {value: median for value, result in found.items() if (median := result[name].median) is not None}
    return list(timed), list(timed.values())


def power(values: Sequence[int], seconds: Sequence[float]) -> float | None:
    """The exponent p of seconds ~ values ** p, by least squares of the logarithms; None of fewer than two points."""
    return float(np.polyfit(np.log(values), np.log(seconds), 1)[0]) if len(values) > 1 else None


def _power(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def tables(results: Sequence[Result]) -> list[Table]:
    """What grows how fast, then a table of each axis."""
    found = {axis: along(axis, results) for axis in AXES}
    return [_powers(found), _cores(results), *(_axis(axis, of_axis) for axis, of_axis in found.items())]


def _powers(found: Mapping[Axis, Mapping[int, Result]]) -> Table:
    """The fitted exponents, over all values and over the upper half of them, where the work is more than its cost."""
    rows = []
    for axis, of_axis in found.items():
        row = [f"{axis.name} {min(of_axis)} to {max(of_axis)}", str(axis.power)]
        for name in (OURS, on_one_thread(OURS), PEER):
            values, seconds = times(of_axis, name)
            half = len(values) // 2
            row += [_power(power(values, seconds)), _power(power(values[half:], seconds[half:]))]
        rows.append(row)
    header = ["", "of the operations"]
    for name in (OURS, on_one_thread(OURS), PEER):
        header += [name, "upper half"]
    return Table("Time of a training step grows as this power of", header, rows)


def _cores(results: Sequence[Result]) -> Table:
    """How many times as fast all threads are as one: the least, the median and the most of all that was measured."""

    def spread(name: str, many: bool) -> str:
        of = [one for one in results if (one.outcomes[0].contender.options["batch"] >= MANY) == many]
        known = [ratio for one in of if (ratio := speed_up(one, name)) is not None]
        return ", ".join(f"{ratio:.2f}" for ratio in np.quantile(known, (0, 0.5, 1))) if known else "-"

    rows = [[name, spread(name, many=False), spread(name, many=True)] for name in (OURS, PEER)]
    header = ["least, median, most", f"fewer than {MANY} rows", f"{MANY} rows and more"]
    return Table("Times as fast as on one thread", header, rows)


def _axis(axis: Axis, found: Mapping[int, Result]) -> Table:
    header = [axis.name, "ms", "since the last", "of peak", "1 thread, ms", "speed-up", f"{PEER} ms", "since the last"]
    header += [f"{PEER}'s speed-up", "ratio", "error", "note"]
    rows = []
    for value, result in found.items():
        ours, peer = result[OURS], result[PEER]
        row = [str(value), report.ms(ours.median), _since(found, value, OURS)]
        row += [report.of_peak(result.of_peak(OURS)), report.ms(result[on_one_thread(OURS)].median)]
        row += [report.times(speed_up(result, OURS)), report.ms(peer.median), _since(found, value, PEER)]
        row += [report.times(speed_up(result, PEER)), report.times(result.ratio(PEER))]
        rows.append([*row, report.error(ours), report.notes(result)])
    still = {name: size for name, size in BASE.items() if name not in ("kind", axis.option)}
    return Table(f"LSTM, {', '.join(f'{name} {size}' for name, size in still.items())}", header, rows)


def speed_up(result: Result, name: str) -> float | None:
    """How many times as long a contender takes on one thread as on all."""
    return result.ratio(on_one_thread(name), name)


def _since(found: Mapping[int, Result], value: int, name: str) -> str:
    """The exponent between a value and the one before it."""
    values, seconds = times(found, name)
    at = values.index(value) if value in values else 0
    return _power(power(values[at - 1 : at + 1], seconds[at - 1 : at + 1])) if at else ""
