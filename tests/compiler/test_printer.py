"""The printed C++: by command, from the standard library alone, the same every time, and it compiles."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ostinato.cells import ACTIVATIONS, CELLS, Cell, dense
from ostinato.compiler.cpp import print_all, print_cell
from ostinato.compiler.plan import Plan

from .cells import EVERY, OWN

ROOT = Path(__file__).parents[2]
BARE = "import sys, runpy; sys.path.insert(0, {source!r}); runpy.run_module('ostinato.compiler', run_name='__main__')"


def command(*arguments: str, seed: str = "0", check: bool = True) -> subprocess.CompletedProcess[str]:
    """`python -m ostinato.compiler` with no site packages, no user settings, and this seed for the order of sets."""
    code = BARE.format(source=str(ROOT / "src"))
    return subprocess.run(
        [sys.executable, "-S", "-c", code, *arguments],
        env={"PATH": os.environ.get("PATH", ""), "PYTHONHASHSEED": seed, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=check,
    )


def test_the_command_prints_a_cell() -> None:
    text = command("lstm").stdout
    assert text.strip() == print_cell(CELLS["lstm"]).strip()
    assert re.search(r"^struct lstm \{$", text, re.MULTILINE)
    assert "// c_t     = f * c_{t-1} + i * g" in text, "the equations stand above the code"


def test_the_command_prints_several_cells() -> None:
    text = command("gru", "elman").stdout
    assert [text.count(f"struct {name} {{") for name in ("gru", "elman", "lstm")] == [1, 1, 0]


@pytest.mark.parametrize("arguments, words", [(("lstmm",), "'lstmm'"), ((), "name a cell")])
def test_the_command_says_what_it_does_not_know(arguments: tuple[str, ...], words: str) -> None:
    ran = command(*arguments, check=False)
    assert ran.returncode == 2
    assert words in ran.stderr
    assert "Traceback" not in ran.stderr


def test_the_header_holds_every_cell_and_activation(tmp_path: Path) -> None:
    command("--output", str(tmp_path / "new" / "folder"))
    (header,) = (tmp_path / "new" / "folder").iterdir()
    text = header.read_text()
    for name in CELLS:
        assert f"struct {name} {{" in text
        assert f"F({name})" in text
    for number, name in enumerate(ACTIVATIONS):
        assert f"struct {name}_activation {{\n  static constexpr int number = {number};" in text


def test_the_text_is_the_same_every_time(tmp_path: Path) -> None:
    texts = set()
    for seed in ("1", "2", "3"):
        command("--output", str(tmp_path), seed=seed)
        texts.add((tmp_path / "cells.h").read_text())
    assert texts == {print_all([*CELLS.values(), dense])}


@pytest.mark.parametrize("made", EVERY, ids=lambda made: made.name)
def test_the_text_of_every_cell(made: Cell) -> None:
    text = print_cell(made)
    assert text == print_cell(made)
    assert text.count("{") == text.count("}")
    assert "None" not in text
    assert not re.search(r"\b(inf|nan)\b", text), "no constant folded into infinity"
    for entry in ("forward", "infer", "backward"):
        assert f"static void {entry}(int level" in text


def test_printing_does_not_depend_on_what_was_printed_before() -> None:
    code = (
        f"import sys; sys.path[:0] = [{str(ROOT / 'src')!r}]\n"
        "from ostinato.cells import CELLS\nfrom ostinato.compiler.cpp import print_cell\n"
        "print_cell(CELLS['lstm']); print_cell(CELLS['gru_reset_before']); print(print_cell(CELLS['gru']))"
    )
    ran = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == print_cell(CELLS["gru"]).strip()


@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no g++ here")
def test_the_engine_compiles_with_every_cell_that_fits_the_contract(tmp_path: Path) -> None:
    (tmp_path / "cells.h").write_text(print_all([*CELLS.values(), *OWN]))
    arguments = ["-std=c++17", "-fsyntax-only", "-fopenmp", "-DOSTINATO_SET=baseline", '-DOSTINATO_FLAGS=""']
    arguments += ["-Werror=uninitialized"]
    ran = subprocess.run(
        ["g++", *arguments, f"-I{ROOT / 'kernels'}", f"-I{tmp_path}", str(ROOT / "kernels" / "engine.cpp")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]


def _functions(cell: Cell) -> dict[str, tuple[str, str]]:
    """Of each level what is done once a row, and what for every unit."""
    parts = re.findall(r"static void (\w+_\d)\(.*?\) \{(.*?)\n  \}\n", print_cell(cell), re.DOTALL)
    halves = {name: re.split(r"for \(long (?:u|from) = 0;", text, maxsplit=1) for name, text in parts}
    return {name: (row, units) for name, (row, units) in halves.items()}


@pytest.mark.parametrize("name", ["layer_norm_lstm", "layer_norm_gru"])
def test_what_the_units_of_a_row_share_is_computed_once_a_row(name: str) -> None:
    functions = _functions(CELLS[name])
    assert any("sqrt(" in row for row, _ in functions.values())
    assert not any(re.search(r"sqrt\(| / v\d", units) for _, units in functions.values())
    written = [row for name, (row, _) in functions.items() if name.startswith("forward")]
    assert any(re.search(r"at\.slots\[.*\] = \w+\[0\];", row) for row in written), "kept as one number a row"


def test_what_is_made_of_vectors_alone_is_computed_once_a_call() -> None:
    text = print_cell(CELLS["rg_lru"])
    derive, steps = text.split("static void derive")[1].split("static void forward_0")
    assert "log1p(" in derive and "exp(" in derive
    assert "log1p(" not in steps and "= exp(" not in steps


def test_functions_of_functions_are_computed_behind_the_others() -> None:
    _, units = _functions(CELLS["lstm"])["forward_0"]
    gates, state = re.split(r"for \(long u = from, n = 0;", units)[1:]
    assert (gates.count(".value("), state.count(".value(")) == (4, 1)
    handed = re.findall(r"(\w+)_\[n\] = \1;", gates)
    assert len(handed) == 2 and all(f"const V {name} = {name}_[n];" in state for name in handed)
    assert "load<V>(" not in state


def test_a_slope_made_of_vectors_alone_is_computed_once_a_call() -> None:
    _, units = _functions(CELLS["rg_lru"])["backward_0"]
    (added,) = re.findall(r"store\(at\.sums_of.* \+ (\w+)\);", units)
    (factors,) = re.findall(rf"const V {added} = (\w+ \* \w+);", units)
    assert any(f"const V {factor} = load<V>(at.parameters" in units for factor in factors.split(" * "))


def test_values_that_are_carried_follow_each_other_in_a_slot() -> None:
    step = Plan(CELLS["layer_norm_lstm"]).backward
    last = {value: k for k, level in enumerate(step.levels) for value in level.imports}
    first = {value: k for k, level in enumerate(step.levels) for value in level.exports}
    assert len(set(step.carries.values())) == step.size < len(step.carries) / 2
    for one, other in itertools.combinations(step.carries, 2):
        together = first[one] < last[other] and first[other] < last[one]
        assert not together or step.carries[one] != step.carries[other]


def test_vectors_that_add_to_one_value_share_the_sum_of_their_gradients() -> None:
    plan = Plan(CELLS["layer_norm_lstm"])
    names = CELLS["layer_norm_lstm"].parameters
    sums = {name: plan.sum_of(k) for k, name in enumerate(names)}
    assert sums["s_x_i"] == sums["s_h_i"] == sums["b_i"] != sums["b_f"]
    assert sorted(set(sums.values())) == list(range(len(plan.sums)))
