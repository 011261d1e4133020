"""The machine a benchmark ran on, and the most it can compute."""

from __future__ import annotations

import argparse
import ctypes
import os
import platform
import shlex
import shutil
import subprocess
from collections.abc import Collection, Sequence
from pathlib import Path

from .process import ROOT

#: Instruction sets that matter to a matrix product, the widest first: the flag of /proc/cpuinfo and its name.
INSTRUCTION_SETS = {
    "amx_bf16": "AVX-512 and AMX", "avx512f": "AVX-512", "avx2": "AVX2", "avx": "AVX", "asimd": "NEON", "sse2": "SSE2"
}  # fmt: skip

SOURCE = Path(__file__).with_name("peak.cpp")
STEPS = Path(__file__).with_name("steps.cpp")


def _cpuinfo() -> dict[str, str]:
    """The first processor's entries in /proc/cpuinfo; empty where there is no such file."""
    file = Path("/proc/cpuinfo")
    if not file.is_file():
        return {}
    lines = (line.partition(":") for line in file.read_text().split("\n\n")[0].splitlines())
    return {key.strip(): value.strip() for key, _, value in lines}


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def arguments(parser: argparse.ArgumentParser, given: Sequence[str] | None) -> argparse.Namespace:
    """What a command was given: its own flags, the threads and the file of tables."""
    parser.add_argument("--threads", type=int, default=processors(), help="default: every core")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables as Markdown, too")
    found = parser.parse_args(given)
    if not 1 <= found.threads <= processors():
        parser.error(f"--threads is {found.threads}; this machine has 1 to {processors()}")
    return found


def describe(threads: int) -> dict[str, str]:
    """Processor, cores, widest instruction set, system and the load before the benchmark starts."""
    info = _cpuinfo()
    flags = set((info.get("flags") or info.get("Features") or "").split())
    widest = next((name for flag, name in INSTRUCTION_SETS.items() if flag in flags), "instruction set unknown")
    return {
        "processor": info.get("model name") or platform.processor() or platform.machine(),
        "cores": f"{processors()}, {threads} thread{'s' if threads > 1 else ''} used",
        "instruction set": widest,
        "system": f"{platform.system()} {platform.machine()}",
        "load before": _load(),
    }


def _load() -> str:
    if not hasattr(os, "getloadavg"):
        return "unknown"
    load = os.getloadavg()[0]
    return f"{load:.1f}" + " (other programs are running: the times are too long)" * (load > 0.5)


def _compiler() -> str | None:
    return os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")


def _build(source: Path, library: Path, flags: Sequence[str]) -> str | None:
    """Make a shared library; why there is none, or None."""
    if (compiler := _compiler()) is None:
        return "not measured: there is no C++ compiler here"
    command = [compiler, *flags, "-pthread", "-shared", "-fPIC", str(source), "-o", str(library)]
    if subprocess.run(command, capture_output=True, text=True, check=False).returncode:
        return f"not measured: {compiler} could not compile {source.name}"
    return None


def build_peak(folder: Path) -> tuple[Path | None, str]:
    """The library of `MultiplyAdds`, made in `folder`, and how that measures.

    Without a C++ compiler there is no library, and the sentence says so.
    """
    flags = ["-O3", "-march=native", "-ffp-contract=fast", "-std=c++17"]
    if failed := _build(SOURCE, folder / "peak.so", flags):
        return None, failed
    return folder / "peak.so", "independent multiply-adds in registers, in turns with everyone"


def build_steps(folder: Path, cells: Collection[str]) -> Path | None:
    """The library of `Steps` for these cells, made in `folder` for the engine's instruction set; None if it cannot."""
    from ostinato.cells import CELLS
    from ostinato.compiler.cpp import print_all
    from ostinato.scan import _engine

    (folder / "cells.h").write_text(print_all([CELLS[name] for name in cells]))
    flags = [*shlex.split(_engine.compile_flags()), f"-I{ROOT / 'kernels'}", f"-I{folder}"]
    return None if _build(STEPS, folder / "steps.so", flags) else folder / "steps.so"


class MultiplyAdds:
    """The most multiply-adds in float that processors reach: a subject whose step is one operation.

    Args:
        library: what `build_peak` made.
        threads: that compute.
    """

    #: Of every chain in one run: about 2 ms.
    STEPS = 750_000

    def __init__(self, library: str, threads: int) -> None:
        loaded = ctypes.CDLL(library)
        for function in (loaded.multiply_adds, loaded.operations):
            function.argtypes, function.restype = [ctypes.c_longlong, ctypes.c_int], ctypes.c_double
        self._multiply_adds = loaded.multiply_adds
        self.threads = threads
        self.steps_per_run = int(loaded.operations(self.STEPS, threads))

    def run(self, runs: int) -> float:
        """All runs in one go, so that the threads start once."""
        return float(self._multiply_adds(runs * self.STEPS, self.threads))


class Steps:
    """The elementwise part of a cell's steps by itself, in the nearest memory: a subject whose step is that of one row.

    Args:
        library: what `build_steps` made.
        cell: whose steps.
        units: H.
        training: forward and backward; False is the forward alone, keeping nothing.
        threads: that compute.
    """

    #: Of every row in one run, so that starting the threads takes no time beside it.
    REPEATS = 2000

    def __init__(self, library: str, cell: str, units: int, training: bool, threads: int) -> None:
        from ostinato.cells import ACTIVATIONS, CELLS

        loaded = ctypes.CDLL(library)
        loaded.rows_of.argtypes, loaded.rows_of.restype = [ctypes.c_char_p, ctypes.c_long], ctypes.c_long
        numbers = [ctypes.c_int] * 3
        loaded.steps.argtypes = [ctypes.c_char_p, ctypes.c_long, *numbers, ctypes.c_long, ctypes.c_int]
        loaded.steps.restype = ctypes.c_double
        order, chosen = list(ACTIVATIONS), CELLS[cell].activations
        phi, sigma = (order.index(chosen.get(symbol, "linear")) for symbol in ("phi", "sigma"))
        self._steps, self._given = loaded.steps, (cell.encode(), units, phi, sigma, int(training))
        self.threads = threads
        self.steps_per_run = self.REPEATS * threads * int(loaded.rows_of(cell.encode(), units))

    def run(self, runs: int) -> float:
        """All runs in one go."""
        return float(self._steps(*self._given, runs * self.REPEATS, self.threads))
