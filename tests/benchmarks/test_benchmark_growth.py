"""How time grows: fitted powers are those of the law that the times follow."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from benchmarks import growth, plot
from benchmarks.contest import Comparison, Outcome, Result
from benchmarks.growth import AXES, Axis, along, power

STEPS, BATCH, UNITS, LAYERS = AXES


def measured(comparison: Comparison, peer: float | None = 2.0) -> Result:
    """Ours makes 1e12 operations a second, half the peak; PyTorch takes `peer` times as long, one thread 1.5 times."""
    outcomes = []
    for one in comparison.contenders:
        factor = (1.0 if one.ours else peer or 0) * (1.5 if one.threads else 1.0)
        seconds = factor * (comparison.flops or 0) * 1e-12
        outcomes.append(Outcome(one, "timed" if seconds else "failed", [seconds] if seconds else [], error=1e-7))
    return Result(comparison, outcomes, peaks=[2e12])


RESULTS = [measured(comparison) for comparison in growth.growth(quick=False)]


def test_a_power_is_found() -> None:
    assert power([2, 4, 16], [3 * value**1.7 for value in (2, 4, 16)]) == pytest.approx(1.7)
    assert power([2], [1.0]) is None
    assert power([], []) is None


@pytest.mark.parametrize("axis", AXES, ids=lambda axis: axis.name)
def test_one_size_changes_and_the_operations_as_its_power(axis: Axis) -> None:
    found = along(axis, RESULTS)
    assert list(found) == list(axis.values)
    for value, result in found.items():
        options = result.comparison.contenders[0].options
        assert options[axis.option] == value
        assert {**options, axis.option: growth.BASE[axis.option]}.items() >= growth.BASE.items()
        assert options["input_size"] == options["hidden_size"]
    operations = [result.comparison.flops or math.nan for result in found.values()]
    assert power(axis.values, operations) == pytest.approx(axis.power)


def test_powers_are_those_of_every_contender() -> None:
    table = growth.tables(RESULTS)[0]
    assert [row[1:] for row in table.rows] == [[f"{axis.power}", *[f"{axis.power}.00"] * 6] for axis in AXES]
    assert table.rows[0][0] == "time steps 1 to 1024"


def test_an_axis_has_a_row_a_value() -> None:
    table = growth.tables(RESULTS)[2 + AXES.index(UNITS)]
    assert [row[0] for row in table.rows] == [str(value) for value in UNITS.values]
    last = dict(zip(table.header, table.rows[-1], strict=True))
    assert last["ms"] == "103"
    assert last["1 thread, ms"] == "155"
    assert (last["speed-up"], last["PyTorch's speed-up"], last["ratio"]) == ("1.50", "1.50", "2.00")
    assert last["of peak"] == "50%"
    assert [row[2] for row in table.rows] == ["", *["2.00"] * (len(UNITS.values) - 1)]


def test_cores_are_counted_apart_for_few_rows() -> None:
    results = [measured(one.comparison) for one in RESULTS]
    for value, result in along(BATCH, results).items():
        if value < growth.MANY:
            result["ostinato.nn, 1 thread"].seconds = result["ostinato.nn"].seconds
    table = growth.tables(results)[1]
    assert table.rows[0] == ["ostinato.nn", "1.00, 1.00, 1.00", "1.50, 1.50, 1.50"]
    assert table.rows[1][1:] == ["1.50, 1.50, 1.50"] * 2


def test_who_broke_has_no_power(tmp_path: Path) -> None:
    results = [measured(one.comparison, peer=None) for one in RESULTS]
    powers, cores, first, *_ = growth.tables(results)
    assert powers.rows[0][-2:] == ["-", "-"]
    assert cores.rows[1][1:] == ["-", "-"]
    assert dict(zip(first.header, first.rows[0], strict=True))["ratio"] == "-"
    plot.curves(results, tmp_path / "growth.png")
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")


def test_the_guide_ends_where_ours_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    drawn: dict[str, list[float]] = {}
    dress = plot._dress

    def spy(axis: object, of: Axis, values: list[int], label: str) -> None:
        if label.startswith("ms"):
            for line in axis.lines:  # type: ignore[attr-defined]
                drawn[f"{of.name} {line.get_label()}"] = list(line.get_ydata())
        dress(axis, of, values, label)

    monkeypatch.setattr(plot, "_dress", spy)
    plot.curves(RESULTS, tmp_path / "growth.png")
    for axis in AXES:
        assert drawn[f"{axis.name} as the operations"] == pytest.approx(drawn[f"{axis.name} ostinato.nn"])
        assert drawn[f"{axis.name} PyTorch"] == pytest.approx([2 * one for one in drawn[f"{axis.name} ostinato.nn"]])
