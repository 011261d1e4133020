"""What may be declared as a cell, and what is said about the rest."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from ostinato.cells import ACTIVATIONS, CELLS, SYMBOLS, Cell, cell, register


def one(gate: Any) -> Any:
    return gate.a


def with_phi(gate: Any, phi: Any) -> Any:
    return phi(gate.a)


def asks_for_more(gate: Any, weather: Any, mood: Any) -> Any:
    return gate.a + weather + mood


WRONG: dict[str, tuple[Callable, dict[str, str], str]] = {
    "a gate named twice": (one, {"gates": "a b a", "states": "h"}, "'a' is named twice among its gates"),
    "a state named twice": (one, {"gates": "a", "states": "h h"}, "'h' is named twice among its states"),
    "a parameter named twice": (
        one, {"gates": "a", "states": "h", "parameters": "w w"}, "'w' is named twice among its parameters"
    ),
    "a gate called x": (one, {"gates": "a x", "states": "h"}, "'x' cannot name one of its gates"),
    "a gate called h": (one, {"gates": "h", "states": "h"}, "'h' cannot name one of its gates"),
    "a gate called using": (one, {"gates": "using", "states": "h"}, "'using' cannot name one of its gates"),
    "a gate that is no name": (one, {"gates": "a-b", "states": "h"}, "'a-b' cannot name one of its gates"),
    "a state that is no name": (one, {"gates": "a", "states": "h 2"}, "'2' cannot name one of its states"),
    "no state": (one, {"gates": "a", "states": ""}, "names no state"),
    "unknown arguments": (asks_for_more, {"gates": "a", "states": "h"}, "asks for mood, weather"),
    "an activation without a default": (with_phi, {"gates": "a", "states": "h"}, "['phi']"),
    "a default without an activation": (one, {"gates": "a", "states": "h", "phi": "tanh"}, "['phi']"),
    "an activation of no known symbol": (one, {"gates": "a", "states": "h", "psi": "tanh"}, "['psi']"),
}  # fmt: skip


@pytest.mark.parametrize("step, names, words", WRONG.values(), ids=WRONG)
def test_a_wrong_declaration_says_what_is_wrong(step: Callable, names: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        cell(**names)(step)
    assert step.__name__ in str(caught.value)


@pytest.mark.parametrize("returned, count", [((1.0,), "1 value;"), ((1.0, 2.0, 3.0), "3 values;"), (1.0, "1 value;")])
def test_another_number_of_states_is_refused(returned: Any, count: str) -> None:
    def two_states(gate: Any) -> Any:
        return returned

    made = cell(gates="a", states="h c")(two_states)
    with pytest.raises(ValueError, match=count) as caught:
        made(gate=None)
    assert "two_states has the states h, c" in str(caught.value)


def test_a_cell_is_given_what_it_asks_for_and_nothing_else() -> None:
    @cell(gates="a", states="h", parameters="w", sigma="sigmoid")
    def asking(p: Any, t: Any, sigma: Any) -> Any:
        return (p, t, sigma)[1]

    assert asking.asks_for == ("p", "t", "sigma")
    assert asking(p=1, t=2, sigma=3, gate=4, state=5, phi=6) == (2,)


def test_a_cell_holds_what_it_was_declared_with() -> None:
    @cell(gates="i f", states="h c", parameters="u v", phi="relu")
    def holding(gate: Any, phi: Any) -> Any:
        """A title.

        With an equation.
        """
        return phi(gate.i), gate.f

    assert (holding.name, holding.gates, holding.states) == ("holding", ("i", "f"), ("h", "c"))
    assert (holding.parameters, dict(holding.activations)) == (("u", "v"), {"phi": "relu"})
    assert holding.description == "A title.\n\nWith an equation."
    with pytest.raises(FrozenInstanceError):
        holding.name = "other"


def test_declaring_is_not_registering() -> None:
    before = dict(CELLS)
    cell(gates="a", states="h")(one)
    assert before == CELLS


def test_a_registered_name_is_taken() -> None:
    with pytest.raises(ValueError, match="lstm is registered already"):
        register(Cell(name="lstm", step=one, gates=("a",), states=("h",)))
    assert CELLS["lstm"].step is not one


@pytest.mark.parametrize("made", CELLS.values(), ids=CELLS)
def test_every_registered_cell_is_described(made: Cell) -> None:
    title, _, rest = made.description.partition("\n")
    assert title
    assert "Shapes:" in rest, "the docstring gives the shapes"
    assert re.search(r"(19|20)\d\d", made.description), "the docstring names the paper and its year"
    for symbol, default in made.activations.items():
        assert symbol in SYMBOLS
        assert default in ACTIVATIONS
