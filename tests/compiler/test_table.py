"""What the engine has no room for is refused before it is compiled, and the table knows the engine's own limits."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from ostinato.cells import CELLS, Cell, cell, ops
from ostinato.compiler.cpp import print_cell
from ostinato.compiler.table import LIMITS

from .cells import clocked_gru

ROOT = Path(__file__).parents[2]


def _names(count: int, letter: str) -> str:
    return " ".join(f"{letter}{k}" for k in range(count))


def _states(count: int) -> Cell:
    @cell(gates="a", states=_names(count, "s"))
    def crowded(gate: Any, state: Any) -> Any:
        return (gate.a, *(getattr(state, f"s{k}") for k in range(count - 1)))

    return crowded


def _gates(count: int) -> Cell:
    @cell(gates=_names(count, "g"), states="h")
    def crowded(gate: Any) -> Any:
        return sum((getattr(gate, f"g{k}") for k in range(1, count)), gate.g0)

    return crowded


def _parameters(count: int) -> Cell:
    @cell(gates="a", states="h", parameters=_names(count, "p"))
    def crowded(gate: Any, p: Any) -> Any:
        return sum((getattr(p, f"p{k}") for k in range(1, count)), p.p0) * gate.a

    return crowded


def _chain(count: int) -> Cell:
    @cell(gates=_names(count + 1, "g"), states="h", phi="tanh")
    def crowded(gate: Any, state: Any, phi: Any) -> Any:
        h = gate.g0
        for k in range(1, count + 1):
            h = getattr(gate.using(h=phi(h)), f"g{k}")
        return h

    return crowded


CROWDED = {"states": (_states, 8), "columns": (_gates, 16), "parameters": (_parameters, 32), "vectors": (_chain, 8)}


@pytest.mark.parametrize("make, most", CROWDED.values(), ids=CROWDED)
def test_a_cell_beyond_the_engines_room_is_refused(make: Any, most: int) -> None:
    print_cell(make(most))
    with pytest.raises(ValueError, match=rf"has {most + 1} .*at most {most}"):
        print_cell(make(most + 1))


def test_the_limits_are_the_engines() -> None:
    text = (ROOT / "kernels" / "call.h").read_text()
    assert {name: int(value) for name, value in re.findall(r"constexpr int (k\w+) = (\d+);", text)} == LIMITS


def test_no_unit_sleeps_where_others_read_what_it_computes() -> None:
    def clock(made: Cell) -> list[str]:
        return re.findall(r"/\* clock_(?:state|parameter) \*/ (-?\d+)", print_cell(made))

    @cell(gates="a", states="h t", parameters="u", constants={"period": 2.0}, clock="t period")
    def by_mean(gate: Any, state: Any, p: Any, constant: Any) -> Any:
        new = p.u * gate.a - ops.row_mean(gate.a)
        return ops.select(ops.remainder(state.t, constant.period), state.h, new), state.t + 1.0

    @cell(gates="a", states="h t", parameters="u", constants={"period": 2.0}, clock="t period")
    def by_itself(gate: Any, state: Any, p: Any, constant: Any) -> Any:
        return ops.select(ops.remainder(state.t, constant.period), state.h, p.u * gate.a), state.t + 1.0

    assert clock(CELLS["lstm"]) == clock(clocked_gru) == clock(by_mean) == ["-1", "-1"]
    assert clock(CELLS["clockwork"]) == ["1", "0"]
    assert clock(by_itself) == ["1", "1"]


def test_a_cell_needs_a_gate() -> None:
    with pytest.raises(ValueError, match="names no gate"):
        cell(gates="", states="h")(lambda state: state.h)
