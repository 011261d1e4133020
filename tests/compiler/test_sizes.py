"""Sizes of the values of a step: what is inferred, and what is said where they do not fit together."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from ostinato.cells import CELLS, cell, ops
from ostinato.compiler import trace

from .cells import EVERY, two_projections

#: The registered cells whose step combines x with the units entry by entry.
AS_WIDE_AS_THEIR_INPUT = {"identity_sru", "rg_lru"}


def computed_too_wide(gate: Any, state: Any, matrix: Any) -> Any:
    return gate.using(h=matrix.R @ state.c).a, gate.b


def computed_too_narrow(gate: Any, state: Any, matrix: Any) -> Any:
    return state.h, matrix.R @ (gate.a + gate.b)


def added_to_units(gate: Any, state: Any, matrix: Any) -> Any:
    return matrix.R @ gate.a, gate.b + state.h


def added_to_x(gate: Any, state: Any, x: Any, matrix: Any) -> Any:
    return matrix.R @ gate.a + x, gate.b


def selected(gate: Any, state: Any, matrix: Any) -> Any:
    return matrix.R @ gate.a, ops.select(state.h, gate.b, 0.0)


def gate_of_units(gate: Any, state: Any, matrix: Any) -> Any:
    return matrix.R @ gate.using(h=state.c).a, gate.b


def matrix_of_projected(gate: Any, state: Any, matrix: Any) -> Any:
    return matrix.R @ state.h, gate.a + gate.b


def mean_of_projected(gate: Any, state: Any, matrix: Any) -> Any:
    return matrix.R @ gate.a, gate.b - ops.row_mean(state.h)


WRONG: dict[str, tuple[Callable, str]] = {
    "units declared as projected": (computed_too_wide, "its state h is declared with the size P, but its value has H"),
    "projected declared as units": (
        computed_too_narrow,
        "its state c is declared with the size H, but its value has P",
    ),
    "projected plus units": (added_to_units, "combines values of the sizes H and P entry by entry"),
    "projected plus input": (added_to_x, "combines values of the sizes D and P entry by entry"),
    "units selected by projected": (selected, "combines values of the sizes H and P entry by entry"),
    "U on units": (gate_of_units, "U has the shape (H, P) but multiplies a vector of size H"),
    "a matrix on projected": (matrix_of_projected, "R has the shape (P, H) but multiplies a vector of size P"),
    "the mean of projected": (mean_of_projected, "takes the mean of a value of the size P"),
}


@pytest.mark.parametrize("step, words", WRONG.values(), ids=WRONG)
def test_sizes_that_do_not_fit_are_named_with_their_place(step: Callable, words: str) -> None:
    made = cell(gates="a b", states="h:P c", matrices="R:PH")(step)
    with pytest.raises(ValueError, match=re.escape(f"cell {step.__name__}: ")) as caught:
        trace(made)
    assert words in str(caught.value)
    assert f"{__file__}, line {step.__code__.co_firstlineno}" in str(caught.value)


def test_input_and_units_that_meet_are_of_one_size() -> None:
    for made in EVERY:
        expected = made.name in AS_WIDE_AS_THEIR_INPUT or made.name == "everything_beside_x"
        assert trace(made).sizes.same == expected, made.name


MEETING: dict[str, Callable] = {
    "a sum": lambda gate, x: gate.a + x,
    "a choice": lambda gate, x: ops.select(x, gate.a, 0.0),
    "a product with U": lambda gate, x: gate.using(h=x).a,
    "a product with W": lambda gate, x: gate.using(x=gate.b).x.a,
    "a state": lambda gate, x: ops.tanh(x),
}


@pytest.mark.parametrize("step", MEETING.values(), ids=MEETING)
def test_input_and_units_meet_in(step: Callable) -> None:
    names = "a b" if "a" in step.__code__.co_names else "b"
    made = cell(gates=names, states="h c")(lambda gate, x: (gate.b, step(gate, x)))
    assert trace(made).sizes.same


def test_a_number_fits_every_size() -> None:
    @cell(gates="a", states="h:P c", matrices="R:PH")
    def constant_state(gate: Any, matrix: Any) -> Any:
        return 2.0 * (matrix.R @ gate.a), 1.0

    sizes = trace(constant_state).sizes
    assert not sizes.same and not sizes.of_input
    assert [sizes[new] for new in trace(constant_state).new_states] == ["P", None]


def test_every_product_has_the_rows_of_its_matrix() -> None:
    for made in EVERY:
        program = trace(made)
        for column in program.columns:
            for vector, matrix, _ in program.terms(column):
                rows, columns = program.shape(matrix)
                assert program.sizes[column] == rows
                found = program.sizes[vector]
                assert found in (columns, None) or (program.sizes.same and {found, columns} == {"D", "H"})


def test_sizes_of_known_cells() -> None:
    projected, mogrifier = trace(CELLS["projected_lstm"]), trace(CELLS["mogrifier_lstm"])
    assert [projected.sizes[new] for new in projected.new_states] == ["P", "H"]
    assert projected.shape("U") == ("H", "P")
    assert mogrifier.sizes.of_input and not mogrifier.sizes.same
    assert sorted(mogrifier.sizes[v] for v in mogrifier.vectors) == ["D", "D", "D", "H", "H"]
    both = trace(two_projections)
    assert [both.shape(name) for name in two_projections.matrices] == [
        ("P", "H"), ("P", "P"), ("H", "P"), ("H", "D"), ("D", "D"),
    ]  # fmt: skip
