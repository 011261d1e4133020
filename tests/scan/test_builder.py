"""Cells of a user's own: built, kept, loaded, and what is said where that cannot be."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from ostinato.cells import cell
from ostinato.compiler.cpp import print_library
from ostinato.scan import _engine, builder, watch

from .problems import Problem, assert_close, evaluate, oracle, tensors

PROGRAM = """
import sys, warnings
import torch
from ostinato.cells import cell
from ostinato.scan import Weights, scan, watch

@cell(gates="f c", states="h", phi="tanh", sigma="sigmoid")
def additive(gate, state, phi, sigma):
    f = sigma(gate.f)
    return f * state.h + (1 - f) * phi(gate.c)

x = torch.ones(2, 3, 4)
weights = [Weights(torch.full((10, 4), 0.1), torch.full((10, 5), 0.1))]
with warnings.catch_warnings(record=True) as told, watch() as choices:
    warnings.simplefilter("always")
    for _ in range(2):
        y, _ = scan(additive, x, weights)
    if "--insist" in sys.argv:
        scan(additive, x, weights, backend="cpu")
print(choices[0].backend, len(told), round(float(y.sum()), 4))
for one in told:
    print(one.category.__name__, one.message)
"""


def _process(cache: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    surroundings = {**os.environ, "OSTINATO_CACHE": str(cache), "OMP_NUM_THREADS": "1", **environment}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        env=surroundings, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def _said(cache: Path, **environment: str) -> str:
    out, err = _process(cache, **environment).communicate(timeout=120)
    assert not err, err
    return out


def _script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o700)
    return str(path)


@cell(gates="a b", states="h c", parameters="u", constants={"dt": 0.5}, matrices="R:HH", sequences="d", phi="tanh")
def everything(gate: Any, state: Any, p: Any, constant: Any, matrix: Any, sequence: Any, phi: Any) -> Any:
    """All that a cell may be made of; a line that ends in \\"""
    c = state.c + constant.dt * phi(gate.a + p.u * state.c)
    return phi(gate.b + matrix.R @ (c * sequence.d)), c


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float", "double"])
def test_a_cell_of_ones_own_agrees_with_the_reference(dtype: torch.dtype) -> None:
    problem = Problem(everything, H=19, B=5, T=7, D=3, K=2)
    with watch() as choices:
        got = evaluate(problem, tensors(problem, dtype), None)
    assert {choice.backend for choice in choices} == {"cpu"}
    assert_close(got, oracle(problem), dtype, problem.T)


def test_every_instruction_set_has_a_library_of_its_own() -> None:
    used, problem = _engine.instruction_set(), Problem(everything, H=19, B=5, T=7, D=3)
    want = oracle(problem)
    try:
        for name in _engine.instruction_sets():
            _engine.use_instruction_set(name)
            shared = {"amx": "avx512"}.get(name, name)  # the elementwise part is the same
            assert f"-DOSTINATO_SET={shared}" in _engine.compile_flags()
            assert_close(evaluate(problem, tensors(problem), "cpu"), want, torch.float64, problem.T)
    finally:
        _engine.use_instruction_set(used)


def test_processes_that_build_at_once_leave_one_library(tmp_path: Path) -> None:
    running = [_process(tmp_path / "cache") for _ in range(3)]
    said = {process.communicate(timeout=120) for process in running}
    assert len(said) == 1 and next(iter(said))[0].startswith("cpu 0 ")
    assert [path.name.split("-")[0] for path in (tmp_path / "cache").iterdir()] == ["additive"]


def test_what_is_kept_is_not_built_again(tmp_path: Path) -> None:
    log = tmp_path / "log"
    compiler = _script(tmp_path / "counting", f'echo "$@" >> {log}; exec c++ "$@"')
    first = _said(tmp_path / "cache", CXX=compiler)
    assert _said(tmp_path / "cache", CXX=compiler) == first
    builds = [line for line in log.read_text().splitlines() if "-shared" in line]
    assert len(builds) == 1
    assert first.startswith("cpu 0 ")


def test_a_cache_that_cannot_be_written_to_is_said_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    said = _said(tmp_path / "file" / "cache")
    assert said.startswith("cpu 1 ")
    assert "RuntimeWarning the compiled cell cannot be kept in" in said and "OSTINATO_CACHE" in said


def test_a_broken_compiler_is_reported_with_its_message_once(tmp_path: Path) -> None:
    broken = _script(tmp_path / "broken", '[ "$1" = --version ] || { echo "cc1plus: out of luck" >&2; exit 3; }')
    said = _said(tmp_path / "cache", CXX=broken)
    assert said.startswith("reference 1 ")
    assert "failed with exit code 3" in said and "cc1plus: out of luck" in said
    _, err = _process(tmp_path / "cache", "--insist", CXX=broken).communicate(timeout=120)
    assert "RuntimeError: backend='cpu' cannot serve this scan" in err and "out of luck" in err


@pytest.mark.parametrize(
    "environment, words",
    [({"PATH": "/nowhere", "CXX": ""}, "there is no C++ compiler"), ({"CXX": "no-such-c++"}, "'no-such-c++'")],
    ids=["none", "a wrong name"],
)
def test_without_a_compiler_the_reference_runs_and_says_so_once(
    environment: dict[str, str], words: str, tmp_path: Path
) -> None:
    said = _said(tmp_path / "cache", **environment)
    assert said.startswith("reference 1 ") and words in said
    assert said.split()[2] == _said(tmp_path / "cache").split()[2], "the same numbers either way"


@pytest.mark.parametrize("contents", [b"", b"no library"])
def test_a_damaged_library_is_made_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, contents: bytes) -> None:
    monkeypatch.setenv("OSTINATO_CACHE", str(tmp_path))

    @cell(gates="a", states="h")
    def damaged(gate: Any) -> Any:
        return gate.a

    library = builder._library(damaged)
    library.write_bytes(contents)
    found = builder.find(damaged)
    assert isinstance(found, dict), found
    assert found["name"] == "damaged"
    assert library.stat().st_size > 1000


def test_a_library_that_cannot_be_loaded_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "broken.so"
    broken.write_bytes(b"no library")
    monkeypatch.setattr(builder, "_library", lambda cell, anew=False: broken)

    @cell(gates="a", states="h")
    def unloadable(gate: Any) -> Any:
        return gate.a

    with pytest.warns(RuntimeWarning, match=r"cannot be loaded"):
        assert "cannot be loaded" in str(builder.find(unloadable))


@pytest.mark.parametrize(
    "compiler, words",
    [
        (" ", "names the compiler ' ', which is not there"),
        ('g++ "', "which is no command"),
        ("/bin/true", "made no library, and no complaint"),
    ],
)
def test_a_compiler_that_is_none_is_reported(tmp_path: Path, compiler: str, words: str) -> None:
    said = _said(tmp_path, CXX=compiler)
    assert said.startswith("reference 1 "), said
    assert words in said


def test_without_a_home_folder_the_library_serves_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OSTINATO_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # which is what it does where there is none
    with pytest.warns(RuntimeWarning, match="no home folder"):
        folder = builder._cache()
    assert folder == builder._folder_of_this_process()


def test_equations_too_deep_for_the_compiler_run_on_the_reference() -> None:
    @cell(gates="a", states="h")
    def deep(gate: Any, state: Any) -> Any:
        a = gate.a
        for _ in range(500):
            a = 0.5 * a + 0.1 * state.h
        return a

    with pytest.warns(RuntimeWarning, match="chained too deep"):
        assert "chained too deep" in str(builder.find(deep))


def test_the_source_says_what_it_is_made_of() -> None:
    source = print_library(everything)
    assert "struct own {" in source and "ostinato_cell" in source
    assert "// All that a cell may be made of; a line that ends in\n" in source
