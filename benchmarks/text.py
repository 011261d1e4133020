"""`python -m benchmarks.text`: training steps on texts and sequences, beside plain PyTorch and Keras in one run.

Every contender trains the same network from the same weights, on the same batches, in a process of its own. Its losses
and gradients are compared with those of plain PyTorch in float64 before it is timed. Then all take turns, a pass over
the batches each. The memory is the most that a contender's process has held, all of it: interpreter, framework,
weights, batches (VmHWM).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import machine
from .contest import Arena, Environment, Settings, Turns
from .process import WorkerError
from .report import Table
from .text_contest import Trained, Work, hold, rate, ratio
from .text_works import WORKS

RESULTS = Path(__file__).with_name("results") / "text.json"

NOTES = """\
- **PyTorch packed** hands rows of unlike length to its layer as a `PackedSequence`, as its documentation tells.
  **PyTorch turned** is the fast way round it, by hand: two layers over padded rows, of which one reads each row turned
  by an index. Both give the same result as ours.
- **Keras** on torch, JAX and TensorFlow: the same layers, masked, and `train_on_batch`.
- Ours by the way that the application itself takes stands first: `ostinato.keras` for the tutorial's network,
  `ostinato.nn` for the others.
- A **step** is one subword, character or vector that is no padding. **ms a batch** and **s an epoch** are those of all
  batches of an epoch, in proportion to their steps. A **ratio** is of the batches that both have trained on; times are
  medians of the rounds. The slow train on fewer batches, in fewer rounds, and not on the longest, so that they would
  hold more memory than is told.
- The **first pass** has all compiling in it: Keras on JAX compiles anew for every length that a batch has, and an epoch
  has many.
- **error** is the largest of the losses of three updates and of every gradient, relative to the largest entry, against
  plain PyTorch in float64, on a small batch without dropout.
- **peak MB** is the most that the contender's process has held, all of it (VmHWM): interpreter, framework, weights and
  batches."""


def table(work: Work, found: Sequence[Trained]) -> Table:
    """A row for each contender, a column of ratios for each of ours."""
    ours = [one for one in found if one.contender.ours]
    batches, steps = work.epoch
    header = ["", "ms a batch", "steps/s", *(f"/ {one.contender.name}" for one in ours), "peak MB", "s an epoch"]
    header += ["first pass, s", "batches x rounds", "error", "note"]
    rows = []
    for one in found:
        fast = rate(one, work.steps)
        rows.append(
            [
                one.contender.name,
                _number(steps / batches / fast * 1e3 if fast else None),
                f"{fast:,.0f}" if fast else "-",
                *(_number(ratio(one, mine), 2) for mine in ours),
                _number(one.peak, 0),
                _number(steps / fast if fast else None),
                _number(one.first),
                f"{len(one.medians)} x {len(one.seconds)}",
                "-" if one.error is None else f"{one.error:.0e}",
                one.note,
            ]
        )
    return Table(work.title, header, rows)


def _number(value: float | None, digits: int | None = None) -> str:
    if value is None:
        return "-"
    if digits is not None:
        return f"{value:.{digits}f}"
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.text", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small networks, without the peers of .venv-bench")
    parser.add_argument("--only", action="append", choices=list(WORKS), metavar="NAME", help=", ".join(WORKS))
    return machine.arguments(parser, given)


def as_json(work: Work, found: Sequence[Trained]) -> dict[str, Any]:
    """Everything that was measured."""
    contenders = [
        {
            "name": one.contender.name,
            "ours": one.contender.ours,
            "error": one.error,
            "first": one.first,
            "seconds": one.seconds,
            "steps_per_second": rate(one, work.steps),
            "ratios": {mine.contender.name: ratio(one, mine) for mine in found if mine.contender.ours},
            "peak": one.peak,
            "note": one.note,
        }
        for one in found
    ]
    return {"title": work.title, "facts": work.facts, "steps": list(work.steps), "contenders": contenders}


def _place(start: dict[str, str], versions: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    gathered: dict[str, set[str]] = {}
    for of_one in versions.values():
        for package, version in of_one.items():
            gathered.setdefault(package, set()).add(version)
    told = ", ".join(f"{package} {'/'.join(sorted(found))}" for package, found in sorted(gathered.items()))
    return {**start, "versions": told}


def markdown(command: str, place: Mapping[str, str], shown: Sequence[tuple[Work, Table]]) -> str:
    """The page."""
    facts = "\n".join(f"- {key}: {value}" for key, value in place.items())
    parts = ["# Benchmarks of texts and sequences", f"Measured by `{command}`:", facts, NOTES]
    for work, one in shown:
        parts += [one.markdown(), work.facts[0].upper() + work.facts[1:] + "."]
    return "\n\n".join(parts) + "\n"


def main(given: Sequence[str] | None = None) -> int:
    """Check, measure and print; 1 if a result is wrong or a contender broke."""
    asked = _arguments(given)
    left_out: dict[Environment, str] = {"peers": "not in --quick"} if asked.quick else {}
    start = machine.describe(asked.threads)
    measured: dict[str, tuple[Work, list[Trained]]] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        Arena(Settings(Turns(1, 0), asked.threads, left_out), lambda line: print(line, file=sys.stderr)) as arena,
    ):
        for name, prepare in WORKS.items():
            if not asked.only or name in asked.only:
                work = prepare(Path(folder), asked.quick)
                found = hold(arena, work)
                measured[name] = work, found
                print(f"{table(work, found).text()}\n{work.facts}\n", flush=True)
                place = _place(start, arena.versions)
                _leave(asked, place, measured)  # what is known, should a later one break
    print("\n".join(f"{key}: {value}" for key, value in place.items()))
    return int(any(one.red for _, found in measured.values() for one in found))


def _leave(
    asked: argparse.Namespace, place: dict[str, str], measured: Mapping[str, tuple[Work, list[Trained]]]
) -> None:
    """Leave JSON and, where asked, Markdown."""
    content = {"machine": place, "works": {name: as_json(*both) for name, both in measured.items()}}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.with_stem(RESULTS.stem + "-quick" * asked.quick).write_text(json.dumps(content, indent=1))
    if asked.markdown:
        words = ["python -m benchmarks.text", *(f"--only {name}" for name in asked.only or ())]
        shown = [(work, table(work, found)) for work, found in measured.values()]
        asked.markdown.write_text(markdown(" ".join([*words, *["--quick"] * asked.quick]), place, shown))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except WorkerError as error:
        sys.exit(f"the oracle failed, so nothing can be checked: {error}")
