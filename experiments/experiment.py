"""What an experiment consists of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from matplotlib.figure import Figure

from .table import Table

#: One condition with its whole protocol: names to numbers and words, as they stand in the JSON.
Case = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """One case with one seed.

    Attributes:
        case: the condition.
        seed: draws data, weights and batches.
        seconds: what it took, on a clock on the wall.
        found: what was measured.
    """

    case: Case
    seed: int
    seconds: float
    found: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Experiment:
    """An experiment: its conditions, one run, and how runs are shown.

    Attributes:
        title: one line.
        seeds: how many, unless asked otherwise.
        cases: the conditions, in the order in which they run; fewer and smaller ones where `quick` is true.
        measure: one run of a condition: case and seed to what was measured, which JSON can hold.
        tables: of all runs there are.
        draw: the picture of all runs there are.
    """

    title: str
    seeds: int
    cases: Callable[[bool], list[Case]]
    measure: Callable[[Case, int], dict[str, Any]]
    tables: Callable[[Sequence[Run]], list[Table]]
    draw: Callable[[Sequence[Run], Figure], None]


def by_length_and_cell(runs: Sequence[Run]) -> dict[int, dict[str, list[Run]]]:
    """The runs of every length T and, in it, of every cell, in the order in which they stand."""
    grouped: dict[int, dict[str, list[Run]]] = {}
    for run in runs:
        grouped.setdefault(run.case["T"], {}).setdefault(run.case["cell"], []).append(run)
    return grouped
