"""What came out, as tables of plain text, as Markdown and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from .contest import Outcome, Result, Target
from .memory import Footprint


@dataclass(frozen=True)
class Table:
    """A title, a header and rows of as many cells; the first column holds names, and so does one called "note"."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def _left(self, column: int) -> bool:
        return column == 0 or self.header[column] == "note"

    def text(self) -> str:
        """The table with aligned columns."""
        lines = [self.header, *self.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.header))]
        aligned = [
            "  ".join(
                cell.ljust(width) if self._left(column) else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        ]
        rule = "-" * max(len(line) for line in aligned)
        return "\n".join([self.title, aligned[0], rule, *aligned[1:]])

    def markdown(self) -> str:
        """The table as Markdown, its title in bold above."""
        marks = ["---" if self._left(column) else "--:" for column in range(len(self.header))]
        lines = ["| " + " | ".join(cells) + " |" for cells in (self.header, marks, *self.rows)]
        return "\n".join([f"**{self.title}**", "", *lines])


def ms(seconds: float | None) -> str:
    """Seconds as milliseconds."""
    if seconds is None:
        return "-"
    return f"{1e3 * seconds:.3g}" if seconds < 0.1 else f"{1e3 * seconds:.0f}"


def _range(outcome: Outcome) -> str:
    return f"{ms(min(outcome.seconds))} - {ms(max(outcome.seconds))}" if outcome.seconds else "-"


def times(ratio: float | None) -> str:
    """How many times."""
    if ratio is None:
        return "-"
    return f"{ratio:.2f}" if ratio < 100 else f"{ratio:.0f}"


def _target(result: Result, name: str) -> str:
    target = result.comparison.targets.get(name)
    return f">= {target.ratio:g}" if target else ""


def _gflops(rate: float | None) -> str:
    return "-" if rate is None else f"{rate / 1e9:.3g}"


def of_peak(part: float | None) -> str:
    """A part of the peak."""
    return "-" if part is None else f"{part:.0%}"


def notes(result: Result) -> str:
    """What a reader must know of a comparison."""
    return "; ".join(f"{o.contender.name}: {o.note}" for o in result.outcomes if o.note)


def error(outcome: Outcome) -> str:
    """The largest relative error of a result."""
    return "-" if outcome.error is None else f"{outcome.error:.0e}"


def tall(result: Result) -> Table:
    """One comparison, a row for each contender, a column of ratios for each of ours."""
    ours = [outcome.contender.name for outcome in result.outcomes if outcome.contender.ours]
    header = ["", "ms a step", "lowest - highest", *(f"/ {name}" for name in ours), "target", "error", "note"]
    rows = [
        [
            outcome.contender.name,
            ms(outcome.median),
            _range(outcome),
            *(times(result.ratio(outcome.contender.name, mine)) for mine in ours),
            _target(result, outcome.contender.name),
            error(outcome),
            outcome.note,
        ]
        for outcome in result.outcomes
    ]
    return Table(result.comparison.title, header, rows)


def wide(title: str, results: Sequence[Result]) -> Table:
    """Many comparisons of the same two contenders, a row for each; the ratio beside what it would be at the peak, and
    at the floor where that was measured."""
    ours, peer = names = [outcome.contender.name for outcome in results[0].outcomes][:2]
    floor = ["at the floor"] if any(result.alone for result in results) else []
    header = [""] + [f"{name} ms" for name in names] + ["ratio", "target", "at the peak", *floor]
    header += [f"{name} GFLOP/s" for name in names] + ["of peak", "error", "note"]
    rows = []
    for result in results:
        rows.append(
            [
                result.comparison.title,
                *(ms(result[name].median) for name in names),
                times(result.ratio(peer)),
                _target(result, peer),
                times(result.at_peak(peer)),
                *(times(result.at_floor(peer)) for _ in floor),
                *(_gflops(result.rate(name)) for name in names),
                of_peak(result.of_peak(ours)),
                error(result[ours]),
                notes(result),
            ]
        )
    return Table(title, header, rows)


def cells(title: str, results: Sequence[Result]) -> Table:
    """Many comparisons, a row for each: our time an operation beside a yardstick's, and the times of all peers that
    take part in any, with what these would be at the floor."""
    yardsticks = list(dict.fromkeys(name for result in results for name in result.comparison.efforts))
    peers = list(dict.fromkeys(name for result in results for name in result.comparison.targets))
    header = ["", "ms", "GFLOP/s", "of peak"]
    for name in yardsticks:
        header += [f"an operation / {name}", "target", "at the floor"]
    for name in peers:
        header += [f"{name} ms", "ratio", "target", "at the peak", "at the floor"]
    rows = []
    for result in results:
        ours, comparison = result.outcomes[0], result.comparison
        mine = ours.contender.name
        row = [comparison.title, ms(ours.median), _gflops(result.rate(mine)), of_peak(result.of_peak(mine))]
        for name in yardsticks:
            aim = comparison.efforts.get(name)
            found = (
                [times(result.effort(name)), f"<= {aim.ratio:g}", times(result.effort_at_floor(name))] if aim else []
            )
            row += found or [""] * 3
        for name in peers:
            if name not in comparison.targets:
                row += [""] * 5
                continue
            row += [ms(result[name].median), times(result.ratio(name)), _target(result, name)]
            row += [times(result.at_peak(name)), times(result.at_floor(name))]
        rows.append([*row, error(ours), notes(result)])
    return Table(title, [*header, "error", "note"], rows)


def memory(title: str, footprints: Sequence[Footprint]) -> Table:
    """Megabytes of each layer and contender."""

    def mb(value: float | None) -> str:
        return "-" if value is None else f"{value:.0f}"

    header = ["", "contender", "held after forward, MB", "peak of a step, MB", "note"]
    return Table(title, header, [[f.title, f.name, mb(f.held), mb(f.peak), f.note] for f in footprints])


def headline(results: Sequence[Result]) -> Table:
    """Each aim and the ratio that is farthest from it, of all comparisons and contenders that it speaks of, beside what
    that ratio would be at the peak and at the floor."""
    found: dict[tuple[str, Target], list[tuple[float | None, float | None, float | None]]] = {}
    for result in results:
        comparison = result.comparison
        ours = [outcome.contender.name for outcome in result.outcomes if outcome.contender.ours]
        for name, target in comparison.targets.items():
            measured = [(result.ratio(name, mine), result.at_peak(name), result.at_floor(name)) for mine in ours]
            found.setdefault((">=", target), []).extend(measured)
        for name, target in comparison.efforts.items():
            found.setdefault(("<=", target), []).append((result.effort(name), None, result.effort_at_floor(name)))
        if comparison.part:
            found.setdefault((">=", comparison.part), []).append((result.of_peak(ours[0]), 1.0, None))
    rows = []
    for (sign, target), ratios in found.items():
        known = [one for one in ratios if one[0] is not None]
        nothing = None, None, None
        farthest, peak, floor = (min if sign == ">=" else max)(known, key=itemgetter(0), default=nothing)
        absent = f"{len(ratios) - len(known)} of {len(ratios)} not measured" if len(known) < len(ratios) else ""
        rows.append([target.claim, times(farthest), f"{sign} {target.ratio:g}", times(peak), times(floor), absent])
    header = ["", "measured", "target", "at the peak", "at the floor", "note"]
    return Table("Times as fast, the least of all measured", header, rows)


def as_json(results: Mapping[str, Sequence[Result]]) -> dict[str, Any]:
    """Everything that was measured, by case."""
    return {
        case: [
            {
                "title": result.comparison.title,
                "flops": result.comparison.flops,
                "peaks": result.peaks,
                "alone": result.alone,
                "contenders": [
                    {
                        "name": outcome.contender.name,
                        "ours": outcome.contender.ours,
                        "options": dict(outcome.contender.options),
                        "status": outcome.status,
                        "seconds": outcome.seconds,
                        "median": outcome.median,
                        "ratio": result.ratio(outcome.contender.name),
                        "flops": outcome.contender.flops or result.comparison.flops,
                        "error": outcome.error,
                        "note": outcome.note,
                    }
                    for outcome in result.outcomes
                ],
            }
            for result in of_case
        ]
        for case, of_case in results.items()
    }
