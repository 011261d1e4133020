"""`python -m experiments NAME`: run an experiment, print its tables, write its JSON and its picture."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from . import document, picture
from .catalogue import EXPERIMENTS
from .experiment import Run
from .record import Record


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m experiments", description="Experiments of the literature.")
    parser.add_argument("name", choices=[*EXPERIMENTS, "all", "document"], metavar="NAME",
                        help=f"{', '.join(EXPERIMENTS)}; all; or document, to write the tables of --output into "
                             "docs/experiments.md")  # fmt: skip
    parser.add_argument("--seeds", type=int, metavar="N", help="how many; default: the experiment's own number")
    parser.add_argument("--quick", action="store_true", help="a few small cases, to see that it works")
    parser.add_argument("--fresh", action="store_true", help="repeat the runs that the output folder already holds")
    parser.add_argument("--output", type=Path, default=Path("build/experiments"), metavar="DIR",
                        help="of the JSON and PNG; default: %(default)s")  # fmt: skip
    arguments = parser.parse_args(given)
    if arguments.seeds is not None and arguments.seeds < 1:
        parser.error(f"--seeds is {arguments.seeds}; expected at least 1")
    return arguments


def conduct(name: str, seeds: int | None, quick: bool, fresh: bool, output: Path) -> None:
    """Run what the output folder does not hold yet of an experiment, and show all of it."""
    experiment = EXPERIMENTS[name]
    output.mkdir(parents=True, exist_ok=True)
    record = Record(output / f"{name}{'-quick' if quick else ''}.json")
    cases, numbers = experiment.cases(quick), range(seeds or (1 if quick else experiment.seeds))
    record.keep([] if fresh else cases)
    for case in cases:
        for seed in numbers:
            if not record.has(case, seed):
                start = time.perf_counter()
                found = experiment.measure(case, seed)
                record.add(Run(case, seed, round(time.perf_counter() - start, 2), found))
                told = ", ".join(str(value) for value in list(case.values())[:3])
                print(f"... {told}, seed {seed}: {record.runs[-1].seconds:.1f} s", file=sys.stderr, flush=True)
    print(experiment.title)
    for table in experiment.tables(record.runs):
        print(f"\n{table.markdown()}")
    print(f"\n{len(record.runs)} runs, {sum(run.seconds for run in record.runs):.0f} s")
    picture.save(experiment.draw, record.runs, record.path.with_suffix(".png"))
    print(f"wrote {record.path} and {record.path.with_suffix('.png')}")


def main(given: Sequence[str] | None = None) -> None:
    arguments = _arguments(given)
    if arguments.name == "document":
        document.write(arguments.output)
        return
    for name in EXPERIMENTS if arguments.name == "all" else [arguments.name]:
        conduct(name, arguments.seeds, arguments.quick, arguments.fresh, arguments.output)


if __name__ == "__main__":
    main()
