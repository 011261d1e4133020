"""`python -m benchmarks`: run the cases, print the tables, write benchmarks/results/."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from . import cases, growth, machine, memory, plot, precision, report, shapes
from .contest import Arena, Contender, Environment, Result, Settings, Step, Turns
from .process import WorkerError
from .report import Table

RESULTS = Path(__file__).with_name("results")

#: Cases by name, in the order of the report; "memory" is measured, not timed.
TIMED = {
    "stock": cases.stock, "ragged": cases.ragged, "layers": cases.layers, "cells": cases.cells,
    "inference": cases.inference, "shapes": shapes.shapes, "growth": growth.growth,
    "precision": precision.precision,
}  # fmt: skip
NAMES = ("stock", "ragged", "layers", "cells", "memory", "inference", "shapes", "growth", "precision")

#: Run only where they are named: they take minutes, and have tables of their own.
BY_NAME = ("shapes", "growth", "precision")

FLOOR = (
    "products at that peak, and the elementwise part as fast as by itself in the nearest cache, in turns with everyone"
)


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Ostinato beside other frameworks.")
    parser.add_argument("--quick", action="store_true", help="fewer shapes and rounds, PyTorch and Keras on torch only")
    parser.add_argument("--only", action="append", choices=NAMES, metavar="NAME",
                        help=f"one of {', '.join(NAMES)}; default: all but {' and '.join(BY_NAME)}")  # fmt: skip
    return machine.arguments(parser, given)


def _tell(line: str) -> None:
    print(f"... {line}", file=sys.stderr, flush=True)


def _tables(case: str, results: Sequence[Result], quick: bool) -> list[Table]:
    if case == "shapes":
        return shapes.tables(results, quick)
    if case == "growth":
        return growth.tables(results)
    if case == "precision":
        return precision.tables(results)
    if case in ("stock", "ragged"):
        return [report.tall(result) for result in results]
    if case == "cells":
        title = f"Training step of single cells (input size H, medians of {cases.CELL_TURNS.rounds} rounds)"
        return [report.cells(title, results)]
    title = {"layers": "Training step of one layer (input size H)", "inference": "Forward alone"}[case]
    more = [result for result in results if len(result.outcomes) > 2]
    return [report.wide(title, results), *map(report.tall, more)]


def _multiply_adds(library: Path | None, threads: int) -> Contender | None:
    """Who measures the peak, by the library of `machine.build_peak`."""
    if library is None:
        return None
    return Contender("multiply-adds", "benchmarks.machine:MultiplyAdds", {"library": str(library), "threads": threads})


def _elementwise(library: Path | None, threads: int) -> Callable[[Step], Contender] | None:
    """Who measures the elementwise part of steps, by the library of `machine.build_steps`."""
    if library is None:
        return None

    def contender(step: Step) -> Contender:
        options = {"cell": step.cell, "units": step.units, "training": step.training}
        given = {"library": str(library), "threads": threads, **options}
        return Contender("elementwise part", "benchmarks.machine:Steps", given)

    return contender


def _peak(results: Sequence[Result], measurer: Contender | None, how: str) -> str:
    """The peak in all rounds of everything, and how it was measured; or why it was not."""
    peaks = [peak / 1e9 for result in results for peak in result.peaks]
    if peaks:
        spread = f"{min(peaks):.0f} to {max(peaks):.0f}"
        return f"{statistics.median(peaks):.0f} GFLOP/s in the median, {spread} ({how})"
    if not any(result.comparison.flops for result in results):
        return "not measured: nothing here counts operations"
    return "not measured: it failed, or there was nobody to time beside it" if measurer else how


def _place(arena: Arena, start: dict[str, str], how: str, results: Sequence[Result]) -> dict[str, str]:
    """The machine, the versions of everything, the peak and the rounds, as a reader needs them beside the tables."""
    versions: dict[str, set[str]] = {}
    for of_one in arena.versions.values():
        for package, version in of_one.items():
            versions.setdefault(package, set()).add(version)
    told = ", ".join(f"{package} {'/'.join(sorted(found))}" for package, found in sorted(versions.items()))
    turns = sorted({one.comparison.turns or arena.settings.turns for one in results}, key=lambda turn: -turn.rounds)
    rounds = "; ".join(f"median of {turn.rounds}, each about {turn.seconds:g} s a contender" for turn in turns)
    return {
        **start,
        "multiply-add peak": _peak(results, arena.peak, how),
        **({"floor": FLOOR} if any(result.alone for result in results) else {}),
        "versions": told,
        **({"rounds": f"{rounds}, taking turns"} if turns else {}),
    }


def _markdown(command: str, place: dict[str, str], tables: Sequence[Table]) -> str:
    facts = [f"- {key}: {value}" for key, value in place.items()]
    parts = ["# Benchmarks", f"Measured by `{command}`:", "\n".join(facts), *(table.markdown() for table in tables)]
    return "\n\n".join(parts) + "\n"


def main(given: Sequence[str] | None = None) -> int:
    """Run; returns 1 if anybody's result was wrong or anybody broke, else 0."""
    arguments = _arguments(given)
    wanted = [name for name in NAMES if name in (arguments.only or set(NAMES) - set(BY_NAME))]
    left_out: dict[Environment, str] = {"peers": "not in --quick"} if arguments.quick else {}
    settings = Settings(Turns(3, 0.1, warm_up=0.5) if arguments.quick else Turns(9, 0.4), arguments.threads, left_out)
    start = machine.describe(arguments.threads)
    results: dict[str, list[Result]] = {}
    tables: list[Table] = []
    footprints: list[memory.Footprint] = []
    with tempfile.TemporaryDirectory() as folder:
        library, how = machine.build_peak(Path(folder))
        held = {case: TIMED[case](arguments.quick) for case in wanted if case in TIMED}
        stepping = {one.step.cell: None for case in held.values() for one in case if one.step}
        steps = machine.build_steps(Path(folder), stepping) if stepping and not arguments.quick else None
        peak, alone = _multiply_adds(library, arguments.threads), _elementwise(steps, arguments.threads)
        with Arena(settings, _tell, peak=peak, alone=alone) as arena:
            for case in wanted:
                if case == "memory":
                    footprints = memory.footprints(arena, arguments.quick)
                    tables.append(report.memory("Memory of training one layer (input size H)", footprints))
                else:
                    results[case] = [arena.hold(comparison) for comparison in held[case]]
                    tables += _tables(case, results[case], arguments.quick)
                    arena.clear()
            everything = [result for case in results.values() for result in case]
            place = _place(arena, start, how, everything)
    if any(result.comparison.targets for result in everything):
        tables.insert(0, report.headline(everything))
    print("\n".join(f"{key}: {value}" for key, value in place.items()), end="\n\n")
    print("\n\n".join(table.text() for table in tables))
    _write(arguments, wanted, place, results, footprints, tables)
    _draw(arguments, results)
    red = any(result.red for result in everything) or any(footprint.red for footprint in footprints)
    return int(red)


def _write(
    arguments: argparse.Namespace,
    wanted: Sequence[str],
    place: dict[str, str],
    results: dict[str, list[Result]],
    footprints: Sequence[memory.Footprint],
    tables: Sequence[Table],
) -> None:
    """Leave JSON, a picture of bars and, where asked, Markdown."""
    RESULTS.mkdir(exist_ok=True)
    name = "-".join(wanted if arguments.only else ["all"]) + "-quick" * arguments.quick
    content: dict[str, Any] = {"machine": place, "cases": report.as_json(results)}
    content["memory"] = [vars(footprint) for footprint in footprints]
    (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=1))
    bars = [result for case in results if case not in BY_NAME for result in results[case]]
    if any(outcome.seconds for result in bars for outcome in result.outcomes):
        plot.save(bars, RESULTS / f"{name}.png")
    if arguments.markdown:
        command = " ".join(["python -m benchmarks", *(f"--only {case}" for case in arguments.only or ())])
        arguments.markdown.write_text(_markdown(command + " --quick" * arguments.quick, place, tables))


def _draw(arguments: argparse.Namespace, results: dict[str, list[Result]]) -> None:
    """The pictures of the cases that are run by name."""
    quick = "-quick" * arguments.quick
    if "shapes" in results:
        plot.maps(results["shapes"], RESULTS / f"shapes{quick}.png", arguments.quick)
    if "growth" in results:
        plot.curves(results["growth"], RESULTS / f"growth{quick}.png")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except WorkerError as error:
        sys.exit(f"the oracle failed, so nothing can be checked: {error}")
