"""`python -m ostinato.compiler lstm` prints a cell's C++; with --output it writes the header of every cell."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from ..cells import CELLS, dense
from .cpp import print_all, print_cell


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m ostinato.compiler", description=__doc__)
    parser.add_argument("cell", nargs="*", metavar="CELL", help=f"one or more of: {', '.join(CELLS)}")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="write FOLDER/cells.h with every cell")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.cell if name not in CELLS]
    if unknown:
        parser.error(f"no cell is called {unknown[0]!r}; the cells are {', '.join(CELLS)}")
    if arguments.output:
        arguments.output.mkdir(parents=True, exist_ok=True)
        (arguments.output / "cells.h").write_text(print_all([*CELLS.values(), dense]))
        return 0
    if not arguments.cell:
        parser.error("name a cell to print, or a folder with --output")
    for name in arguments.cell:
        print(print_cell(CELLS[name]))
    sys.stdout.flush()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that Python does not flush into it again
        sys.exit(1)
