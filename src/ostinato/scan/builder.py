"""Cells of a user's own: compiled when first used, kept by content, loaded into the engine.

The system's C++ compiler (CXX, else c++, g++ or clang++) makes a shared library of what `compiler` prints for the cell
and the engine's headers. It is kept in OSTINATO_CACHE, by default `ostinato` in the user's cache folder, under a name
that says all it was made of, and is put there whole or not at all: processes that build one cell at once do no harm. A
folder that cannot be written to only means that the next process builds again.
"""

from __future__ import annotations

import atexit
import ctypes
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import warnings
from functools import cache
from pathlib import Path
from typing import Any

from ..cells import Cell
from ..compiler.cpp import print_library
from ..compiler.table import RoomError
from . import _engine

#: What a cell's library is compiled with; installed beside the engine.
HEADERS = Path(str(_engine.__file__)).parent / "kernels"

#: Seconds after which a compiler is given up.
_PATIENCE = 600

_lock = threading.Lock()
_found: dict[tuple[Cell, str], dict[str, Any] | str] = {}


def find(cell: Cell) -> dict[str, Any] | str:
    """The engine's description of a cell, with its `number`, built and loaded if need be; or why there is none.

    Warns (RuntimeWarning), once a cell, where there is no compiler or where it fails, with its message.
    """
    key = (cell, str(_engine.instruction_set()))
    with _lock:
        if key not in _found:
            try:
                _found[key] = _made(cell)
            except _ObstacleError as obstacle:
                _found[key] = str(obstacle)
                warnings.warn(f"cell {cell.name} runs on the slow reference: {obstacle}", RuntimeWarning, stacklevel=2)
    return _found[key]


class _ObstacleError(Exception):
    """Why a cell cannot be built here, in one sentence."""


class _DamageError(_ObstacleError):
    """A library cannot be loaded."""


def _made(cell: Cell) -> dict[str, Any]:
    try:
        return _load(_library(cell))
    except _DamageError:  # what was kept may have been cut short, by a crash or a full disk
        return _load(_library(cell, anew=True))


def _compiler() -> list[str]:
    chosen = os.environ.get("CXX")
    if chosen:
        try:
            command = shlex.split(chosen)
        except ValueError as error:
            raise _ObstacleError(f"CXX is {chosen!r}, which is no command: {error}") from error
        if not command or shutil.which(command[0]) is None:
            raise _ObstacleError(f"CXX names the compiler {chosen!r}, which is not there")
        return command
    for name in ("c++", "g++", "clang++"):
        if shutil.which(name):
            return [name]
    raise _ObstacleError("there is no C++ compiler (c++, g++ or clang++); install one, or name it in CXX")


@cache
def _version(command: tuple[str, ...]) -> str:
    return _run([*command, "--version"])


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _ObstacleError(f"the C++ compiler {command[0]} cannot be run: {error}") from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise _ObstacleError(f"the C++ compiler {command[0]} failed with exit code {done.returncode}:\n{said}")
    return done.stdout


def _library(cell: Cell, anew: bool = False) -> Path:
    """The shared library of a cell, made if it is not kept already, or `anew`."""
    try:
        source = print_library(cell)
    except RoomError as error:
        raise _ObstacleError(str(error)) from error
    except RecursionError as error:
        raise _ObstacleError("its equations are chained too deep to be compiled; write fewer in a row") from error
    command = _compiler()
    flags = [*shlex.split(str(_engine.compile_flags())), "-shared", "-fPIC"]
    headers = [header.read_text() for header in sorted(HEADERS.glob("*.h"))]
    made_of = "\0".join([source, *headers, *command, *flags, _version(tuple(command)), sys.platform])
    name = f"{cell.name}-{hashlib.sha256(made_of.encode()).hexdigest()[:32]}.so"
    kept = _cache() / name
    if os.path.isfile(kept) and not anew:  # Path.is_file raises where the folder may not be looked into
        return kept
    with tempfile.TemporaryDirectory(prefix="ostinato-") as folder:
        (Path(folder) / "cell.cpp").write_text(source)
        _run([*command, *flags, f"-I{HEADERS}", f"{folder}/cell.cpp", "-o", f"{folder}/{name}"])
        if not (Path(folder) / name).is_file():
            raise _ObstacleError(f"the C++ compiler {command[0]} made no library, and no complaint")
        return _keep(Path(folder) / name, kept)


def _cache() -> Path:
    """The folder where libraries are kept."""
    named = os.environ.get("OSTINATO_CACHE")
    if named:
        return Path(named)
    users = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    if users.startswith("~"):
        warnings.warn(
            "there is no home folder to keep the compiled cell in, so the next process compiles it again; "
            "name a folder in OSTINATO_CACHE",
            RuntimeWarning,
            stacklevel=2,
        )
        return _folder_of_this_process()
    return Path(users) / "ostinato"


def _keep(made: Path, kept: Path) -> Path:
    """Put a library where it is kept, in one step; where that cannot be, into a folder of this process."""
    try:
        kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, beside = tempfile.mkstemp(dir=kept.parent, prefix=".building-")
        os.close(handle)
        try:
            shutil.copy(made, beside)
            with open(beside, "rb") as whole:
                os.fsync(whole.fileno())  # a crash may cut it short otherwise, and what is cut short kills who loads it
            os.replace(beside, kept)
        except BaseException:
            os.unlink(beside)
            raise
        return kept
    except OSError as error:
        warnings.warn(
            f"the compiled cell cannot be kept in {kept.parent} ({error.strerror}), so the next process compiles it "
            "again; name another folder in OSTINATO_CACHE",
            RuntimeWarning,
            stacklevel=2,
        )
    return Path(shutil.copy(made, _folder_of_this_process() / made.name))


@cache
def _folder_of_this_process() -> Path:
    folder = tempfile.mkdtemp(prefix="ostinato-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def _load(library: Path) -> dict[str, Any]:
    """A library's cell, added to the engine; what is loaded stays loaded."""
    try:
        entry = ctypes.CDLL(str(library)).ostinato_cell
    except (OSError, AttributeError) as error:
        raise _DamageError(f"the compiled cell {library} cannot be loaded: {error}") from error
    entry.restype = ctypes.c_void_p
    return dict(_engine.add_cell(entry()))
