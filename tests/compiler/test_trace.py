"""From a cell's function to its program, and what is said about a function that is none."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from ostinato.cells import CELLS, cell, ops
from ostinato.compiler import trace
from ostinato.compiler.graph import node

from .cells import EVERY, OWN, square_projection

H_AND_X = node("state", attr=0), node("input")


def branching(gate: Any, state: Any) -> Any:
    return gate.a if gate.a else state.h


def comparing(gate: Any, state: Any) -> Any:
    return max(gate.a, state.h)


def adding_text(gate: Any) -> Any:
    return gate.a + "1"


def returning_nothing(gate: Any) -> Any:
    gate.a  # noqa: B018


def returning_two(gate: Any, state: Any) -> Any:
    return gate.a, state.h


def with_an_unknown_gate(gate: Any) -> Any:
    return gate.a + gate.candidate


def with_an_unknown_state(gate: Any, state: Any) -> Any:
    return gate.a * state.memory


def with_an_unknown_parameter(gate: Any, p: Any) -> Any:
    return gate.a * p.peephole


def using_a_product_twice(gate: Any) -> Any:
    return gate.a + gate.x.a


def using_a_product_of_two_vectors(gate: Any, state: Any) -> Any:
    return gate.a + gate.using(h=2.0 * state.h).a


def without_gates(state: Any) -> Any:
    return 0.5 * state.h


def multiplying_a_parameter(gate: Any, p: Any) -> Any:
    return gate.using(h=p.u).a


def multiplying_a_number(gate: Any) -> Any:
    return gate.using(h=0.5).a


def multiplying_a_sequence(gate: Any, sequence: Any) -> Any:
    return gate.using(x=sequence.s).a


def multiplying_a_constant(gate: Any, matrix: Any, constant: Any) -> Any:
    return gate.a + matrix.R @ constant.k


def multiplying_entry_by_entry(gate: Any, state: Any, matrix: Any) -> Any:
    return gate.a + matrix.R * state.h


def multiplying_from_the_left(gate: Any, state: Any, matrix: Any) -> Any:
    return gate.a + state.h @ matrix.R


def using_a_matrix_twice(gate: Any, state: Any, x: Any, matrix: Any) -> Any:
    return gate.a + (matrix.R @ state.h) * (matrix.R @ x)


def without_its_matrix(gate: Any) -> Any:
    return gate.a


def with_an_unknown_constant(gate: Any, constant: Any) -> Any:
    return gate.a * constant.period


def with_an_unknown_matrix(gate: Any, state: Any, matrix: Any) -> Any:
    return gate.a + matrix.Q @ state.h


def with_an_unknown_sequence(gate: Any, sequence: Any) -> Any:
    return gate.a * sequence.below


def with_a_parameter_for_a_constant(gate: Any, constant: Any) -> Any:
    return gate.a * constant.u


def equal(gate: Any, state: Any) -> Any:
    return ops.select(state.h == 0, gate.a, state.h)


def different(gate: Any, state: Any, t: Any) -> Any:
    return ops.select(t != 0, gate.a, state.h)


def member(gate: Any, state: Any) -> Any:
    return gate.a if state.h in (0.0, 1.0) else state.h


def dividing_by_zero(gate: Any) -> Any:
    return gate.a / 0.0


def too_large(gate: Any) -> Any:
    return gate.a * ops.exp(1000.0)


def misnaming(gate: Any) -> Any:
    return gate.a * half  # noqa: F821


class TwoPartError(ValueError):
    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} and {second}")


def raising_its_own(gate: Any) -> Any:
    raise TwoPartError("this", "that")


def at_least(gate: Any, state: Any) -> Any:
    return gate.a if state.h >= 0.5 else state.h


def calling_torch(gate: Any) -> Any:
    import torch

    return torch.tanh(gate.a)


def adding_in_place(gate: Any, x: Any) -> Any:
    x += 1.0
    return gate.using(x=x).a


def scaling_in_place(gate: Any, x: Any) -> Any:
    x *= 0.5
    return gate.using(x=x).a


WRONG: dict[str, tuple[Callable, type[Exception], str]] = {
    "a sum in place": (adding_in_place, TypeError, "change no value in place"),
    "a product in place": (scaling_in_place, TypeError, "change no value in place"),
    "an if on data": (branching, TypeError, "cannot branch on data; write select"),
    "a comparison": (comparing, TypeError, "cannot branch on data; write select"),
    "an equality": (equal, TypeError, "cannot branch on data; write select"),
    "an inequality": (different, TypeError, "cannot branch on data; write select"),
    "one of several": (member, TypeError, "cannot branch on data; write select"),
    "a division by zero": (dividing_by_zero, ValueError, "ZeroDivisionError"),
    "a number too large": (too_large, ValueError, "OverflowError"),
    "a name that is not there": (misnaming, ValueError, "'half' is not defined"),
    "an error of its own": (raising_its_own, ValueError, "this and that"),
    "text": (adding_text, TypeError, "got str"),
    "no result": (returning_nothing, TypeError, "NoneType"),
    "too many results": (returning_two, ValueError, "returned 2 values"),
    "an unknown gate": (with_an_unknown_gate, ValueError, "no gate 'candidate'; its gates are a"),
    "a bound": (at_least, TypeError, "cannot branch on data; write select"),
    "an unknown state": (with_an_unknown_state, ValueError, "no state 'memory'; it has h"),
    "an unknown parameter": (with_an_unknown_parameter, ValueError, "no parameter 'peephole'; it has u"),
    "an unknown constant": (with_an_unknown_constant, ValueError, "no constant 'period'; it has k"),
    "an unknown matrix": (with_an_unknown_matrix, ValueError, "no matrix 'Q'; it has R"),
    "an unknown sequence": (with_an_unknown_sequence, ValueError, "no sequence 'below'; it has s"),
    "a parameter is no constant": (with_a_parameter_for_a_constant, ValueError, "no constant 'u'"),
    "a product in two sums": (using_a_product_twice, ValueError, "in two sums"),
    "a gate of two vectors": (using_a_product_of_two_vectors, ValueError, "in two sums"),
    "an unused gate": (without_gates, ValueError, "never uses its gate a"),
    "a product of a parameter": (multiplying_a_parameter, ValueError, "multiplies a parameter"),
    "a product of a number": (multiplying_a_number, ValueError, "multiplies a constant"),
    "a product of a sequence": (multiplying_a_sequence, ValueError, "multiplies a sequence"),
    "a further product of a constant": (multiplying_a_constant, ValueError, "multiplies a parameter"),
    "a matrix entry by entry": (multiplying_entry_by_entry, TypeError, "Matrix"),
    "a matrix on the right": (multiplying_from_the_left, TypeError, "Matrix"),
    "a matrix in two sums": (using_a_matrix_twice, ValueError, "product of gate R in two sums"),
    "an unused matrix": (without_its_matrix, ValueError, "never uses its matrix R"),
    "a function of torch": (calling_torch, TypeError, "Node"),
}


@pytest.mark.parametrize("step, kind, words", WRONG.values(), ids=WRONG)
def test_a_wrong_function_says_what_is_wrong(step: Callable, kind: type[Exception], words: str) -> None:
    made = cell(gates="a", states="h", parameters="u", constants={"k": 1.0}, matrices="R:HH", sequences="s")(step)
    with pytest.raises(kind, match=words) as caught:
        trace(made)
    first = step.__code__.co_firstlineno
    assert re.search(rf"{re.escape(__file__)}, line ({first}|{first + 1}|{first + 3})\b", str(caught.value))


def _keeping_nothing(state: Any, waiting: Any, new: Any) -> Any:
    return new, state.t + 1.0


def _keeping_another(state: Any, waiting: Any, new: Any) -> Any:
    return ops.select(waiting, state.t, new), state.t + 1.0


def _asleep_the_wrong_way_round(state: Any, waiting: Any, new: Any) -> Any:
    return ops.select(waiting, new, state.h), state.t + 1.0


def _another_clock(state: Any, waiting: Any, new: Any) -> Any:
    return ops.select(waiting - 0.5, state.h, new), state.t + 1.0


def _clock_that_reads(state: Any, waiting: Any, new: Any) -> Any:
    return ops.select(waiting, state.h, new), state.t + new


@pytest.mark.parametrize(
    "rule, words",
    [
        (_keeping_nothing, "its state h does not wait for its clock; expected select(remainder(state.t, constant.k)"),
        (_keeping_another, "its state h does not wait for its clock"),
        (_asleep_the_wrong_way_round, "its state h does not wait for its clock"),
        (_another_clock, "its state h does not wait for its clock"),
        (_clock_that_reads, "its clock t depends on a product or a mean"),
    ],
)
def test_states_that_do_not_wait_for_the_clock_are_named(rule: Callable, words: str) -> None:
    @cell(gates="a", states="h t", constants={"k": 2.0}, clock="t k")
    def clocked(gate: Any, state: Any, constant: Any) -> Any:
        return rule(state, ops.remainder(state.t, constant.k), gate.a)

    with pytest.raises(ValueError, match=re.escape(f"cell clocked: {words}")):
        trace(clocked)


def test_both_products_of_a_gate_may_be_used_once_each() -> None:
    @cell(gates="a b", states="h")
    def apart(gate: Any) -> Any:
        return gate.x.a * gate.h.a + gate.b

    program = trace(apart)
    assert program.blocks == {"W": ("a", "b"), "U": ("a", "b")}
    assert sorted(len(program.terms(column)) for column in program.columns) == [1, 1, 2]


def test_one_value_may_be_used_as_often_as_one_likes() -> None:
    @cell(gates="a", states="h", phi="tanh")
    def often(gate: Any, phi: Any) -> Any:
        a = gate.a
        return a * a + phi(a) + gate.a

    assert len(trace(often).columns) == 1


@pytest.mark.parametrize("made", EVERY, ids=lambda made: made.name)
def test_a_program_is_whole(made: Any) -> None:
    program = trace(made)
    assert len(program.new_states) == len(made.states)
    entered = [(matrix, block) for column in program.columns for _, matrix, block in program.terms(column)]
    assert len(entered) == len(set(entered)), "no block is in two columns"
    assert sorted(entered) == sorted((m, k) for m, names in program.blocks.items() for k in range(len(names)))
    for matrix in ("W", "U"):
        names = program.blocks[matrix]
        assert names == tuple(gate for gate in made.gates if gate in names), "blocks stand in the cell's order"
    assert all(program.blocks[matrix] == (matrix,) for matrix in made.matrices)
    assert trace(made) is program


def test_the_programs_of_known_cells() -> None:
    lstm, gru, before = (trace(CELLS[name]) for name in ("lstm", "gru", "gru_reset_before"))
    assert [column.attr[0] for column in lstm.columns] == ["i", "f", "g", "o"]
    assert all(set(column.args) == set(H_AND_X) for column in lstm.columns)
    assert lstm.vectors == ()
    assert sorted(column.attr[0] for column in gru.columns) == ["h.n", "r", "x.n", "z"]
    assert len(before.vectors) == 1
    assert before.blocks == {"W": ("r", "z", "n"), "U": ("r", "z", "n")}


def test_the_room_in_the_contract() -> None:
    assert trace(CELLS["min_gru"]).blocks == {"W": ("z", "n"), "U": ()}
    assert trace(square_projection).blocks == {"W": ("i", "f", "g", "o"), "U": ("i", "f", "g", "o", "r")}
    lem = trace(CELLS["lem"])
    (z,) = lem.vectors
    assert z is lem.new_states[1], "the second product reads the new state"


def test_tracing_leaves_no_cell_out() -> None:
    assert {made.name for made in OWN}.isdisjoint(CELLS)
    for made in OWN:
        assert trace(made).cell is made


def test_a_cell_of_the_same_name_is_traced_for_itself() -> None:
    @cell(gates="a", states="h", phi="tanh")
    def elman(gate: Any, state: Any, phi: Any) -> Any:
        return phi(gate.a) - state.h

    assert trace(elman).new_states != trace(CELLS["elman"]).new_states


def test_functions_of_numbers_are_folded() -> None:
    @cell(gates="a", states="h")
    def folded(gate: Any) -> Any:
        return gate.a * ops.exp(0.0) + ops.tanh(0.0)

    (new,) = trace(folded).new_states
    assert new.op == "gate"
