"""What may be declared as a cell, and what is said about the rest."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from functools import partial
from typing import Any

import pytest

from ostinato.cells import ACTIVATIONS, CELLS, SYMBOLS, Cell, Mask, cell, register

MASK = Mask("dropout", "rate", 0.5)


def one(gate: Any) -> Any:
    return gate.a


def with_phi(gate: Any, phi: Any) -> Any:
    return phi(gate.a)


def asks_for_more(gate: Any, weather: Any, mood: Any) -> Any:
    return gate.a + weather + mood


ONE = {"gates": "a", "states": "h"}

WRONG: dict[str, tuple[Callable, dict[str, Any], str]] = {
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
    "a constant that is a parameter too": (
        one, {**ONE, "parameters": "w", "constants": {"w": 1.0}}, "'w' is named twice among its parameters"
    ),
    "a constant that is no name": (one, {**ONE, "constants": {"2d": 1.0}}, "'2d' cannot name one of its parameters"),
    "a sequence named twice": (one, {**ONE, "sequences": "s s"}, "'s' is named twice among its sequences"),
    "a mask that is a sequence too": (
        one, {**ONE, "sequences": "s", "masks": {"s": MASK}}, "'s' is named twice among its sequences"
    ),
    "a mask that is no name": (one, {**ONE, "masks": {"d-h": MASK}}, "'d-h' cannot name one of its sequences"),
    "a matrix named twice": (one, {**ONE, "matrices": "V:HD V:HH"}, "'V' is named twice among its matrices"),
    "a state of a size that nothing has": (one, {"gates": "a", "states": "h:P"}, "size P, which none of its matrices"),
    "a forget gate with two signs": (one, {**ONE, "forget": "--a"}, "forget names '--a'"),
    "a matrix without shape": (one, {**ONE, "matrices": "R"}, "matrix 'R' has the shape ''; expected"),
    "a matrix of one size": (one, {**ONE, "matrices": "R:H"}, "matrix 'R' has the shape 'H'; expected"),
    "a matrix of three sizes": (one, {**ONE, "matrices": "R:HHH"}, "matrix 'R' has the shape 'HHH'; expected"),
    "a matrix of an unknown size": (one, {**ONE, "matrices": "R:HK"}, "D (input size), H (units) or P"),
    "a matrix called U": (one, {**ONE, "matrices": "U:HH"}, "a name other than W, U and b"),
    "a matrix that is no name": (one, {**ONE, "matrices": "R-1:HH"}, "'R-1' cannot name one of its matrices"),
    "a state of an unknown size": (one, {"gates": "a", "states": "h:Q"}, "a state has the size 'Q'; expected H"),
    "a state as wide as the input": (one, {"gates": "a", "states": "h:D"}, "a state has the size 'D'; expected H"),
    "a bias of no gate": (one, {**ONE, "bias": "a z"}, "a bias is named for 'z'; expected one of its gates (a)"),
    "a recurrent bias of no gate": (one, {**ONE, "recurrent_bias": "z"}, "a bias is named for 'z'"),
    "a forget gate of no gate": (one, {**ONE, "forget": "f"}, "forget names 'f'; expected one of its gates (a)"),
    "a negative forget gate of no gate": (one, {**ONE, "forget": "-f"}, "forget names '-f'"),
    "an initial value of nothing": (
        one, {**ONE, "parameters": "w", "initial": {"v": 1.0}}, "initial names 'v'; expected one of b_a, w"
    ),
    "an initial value of a constant": (one, {**ONE, "constants": {"k": 1.0}, "initial": {"k": 1.0}}, "names 'k'"),
    "a clock of no state": (
        one, {**ONE, "constants": {"period": 1.0}, "clock": "t period"}, "clock names ('t', 'period'); expected"
    ),
    "a clock of a parameter": (one, {"gates": "a", "states": "h t", "parameters": "w", "clock": "t w"}, "clock names"),
    "unknown arguments": (asks_for_more, {"gates": "a", "states": "h"}, "asks for mood, weather"),
    "an activation without a default": (with_phi, {"gates": "a", "states": "h"}, "['phi']"),
    "a default without an activation": (one, {"gates": "a", "states": "h", "phi": "tanh"}, "['phi']"),
    "gates in a list": (one, {**ONE, "gates": ["a"]}, "gates is ['a']; expected one text"),
    "a forget gate in a list": (one, {**ONE, "forget": ["a"]}, "forget is ['a']; expected one text"),
    "constants in a list": (one, {**ONE, "constants": ["k"]}, "constants is ['k']; expected a dictionary"),
    "a constant that is text": (one, {**ONE, "constants": {"k": "."}}, "the constant k is '.'; expected a number"),
    "a mask that is a number": (one, {**ONE, "masks": {"d": 0.5}}, "the mask d is 0.5; expected a Mask"),
    "an initial value that is text": (one, {**ONE, "initial": {"b_a": "ones"}}, "b_a is 'ones'; expected a number"),
    "bounds the wrong way round": (one, {**ONE, "initial": {"b_a": (1, -1)}}, "b_a is (1, -1); expected a number, or"),
    "unknown blocks": (one, {**ONE, "blocks": "diagonal"}, "'diagonal'; expected one of 'full', 'heads', 'clockwork'"),
    "an unknown activation": (with_phi, {**ONE, "phi": "tannh"}, "no activation is called 'tannh'"),
    "a function as an activation": (with_phi, {**ONE, "phi": abs}, "expected the name of an activation"),
    "an activation of no known symbol": (one, {"gates": "a", "states": "h", "psi": "tanh"}, "['psi']"),
}  # fmt: skip


@pytest.mark.parametrize("step, names, words", WRONG.values(), ids=WRONG)
def test_a_wrong_declaration_says_what_is_wrong(step: Callable, names: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        cell(**names)(step)
    assert str(caught.value).startswith(f"cell {step.__name__}: ")
    assert f"{__file__}, line {step.__code__.co_firstlineno}" in str(caught.value)


@pytest.mark.parametrize("returned, count", [((1.0,), "1 value;"), ((1.0, 2.0, 3.0), "3 values;"), (1.0, "1 value;")])
def test_another_number_of_states_is_refused(returned: Any, count: str) -> None:
    def two_states(gate: Any) -> Any:
        return returned

    made = cell(gates="a", states="h c")(two_states)
    with pytest.raises(ValueError, match=count) as caught:
        made(gate=None)
    assert "two_states: its states are h, c" in str(caught.value)


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


def test_a_declaration_in_words_is_one_in_tuples() -> None:
    @cell(
        gates="i f", states="h:P c:H t", parameters="u", constants={"period": 2.0}, matrices="R:PH S:DD",
        sequences="below", masks={"drop": MASK}, blocks="heads", bias="f", recurrent_bias="i", clock="t period",
        forget="-f", initial={"u": (0.0, 1.0), "b_f": 1.0}, sigma="sigmoid",
    )  # fmt: skip
    def my_own_cell(sigma: Any) -> Any:
        return sigma(1.0), 2.0, 3.0

    made = my_own_cell
    assert made.matrices == {"R": ("P", "H"), "S": ("D", "D")}
    assert [made.size_of(state) for state in made.states] == ["P", "H", "H"]
    assert (made.projected, made.vectors, made.inputs) == (("h",), ("u", "period"), ("below", "drop"))
    assert (made.bias, made.recurrent_bias, made.clock, made.forget) == (("f",), ("i",), ("t", "period"), "-f")
    assert (made.blocks, made.layer) == ("heads", "MyOwnCell")


def test_every_gate_has_one_bias_unless_said() -> None:
    made = cell(gates="i f", states="h")(one)
    assert (made.bias, made.recurrent_bias) == (("i", "f"), ())
    assert cell(gates="i f", states="h", bias="")(one).bias == ()


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
    assert re.fullmatch(r"[A-Za-z]+", made.layer)
    assert [other.name for other in CELLS.values() if other.layer == made.layer] == [made.name]
    for symbol, default in made.activations.items():
        assert symbol in SYMBOLS
        assert default in ACTIVATIONS


def test_what_is_no_function_is_no_cell() -> None:
    for step in (partial(one), max, "one"):
        with pytest.raises(TypeError, match="expected a function that holds the equations"):
            cell(**ONE)(step)


def test_a_mask_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="of the kind 'drop'; expected 'dropout' or 'zoneout'"):
        Mask("drop", "rate", 0.5)


def test_an_activation_goes_by_its_own_name() -> None:
    assert cell(**ONE, phi="swish")(with_phi).activations == {"phi": "silu"}
