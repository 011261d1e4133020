"""What a layer stores, in letters: the same as in numbers."""

from __future__ import annotations

import pytest

from ostinato.cells import CELLS, Cell, cell
from ostinato.compiler import trace
from ostinato.compiler.description import count, equations, numbers, stored, title_and_paper
from ostinato.scan.parameters import Structure


def sizes_of(own: Cell) -> dict[str, int]:
    projects = own.projected or any("P" in shape for shape in own.matrices.values())
    return {
        "D": 12 if trace(own).sizes.same else 5, "H": 12, "P": 7 if projects else 0,
        "heads": 3 if own.blocks == "heads" else 1, "modules": 4 if own.blocks == "clockwork" else 1,
    }  # fmt: skip


@pytest.mark.parametrize("own", CELLS.values(), ids=lambda c: c.name)
def test_letters_say_what_a_layer_stores(own: Cell) -> None:
    sizes = sizes_of(own)
    layer = Structure(
        own, sizes["D"], sizes["H"], projection=sizes["P"], heads=sizes["heads"], modules=sizes["modules"]
    )
    described = [(one.name, tuple(size.number(sizes) for size in one.shape), one.trained) for one in stored(own)]
    assert described == [(one.name, one.shape, one.trained) for one in layer.parameters()]
    assert numbers(own, sizes) == layer.count()
    # the letters as Python: 4DH + 4H²/heads is 4*D*H*1 + 4*H*H/heads
    letters = count(own).replace("H²", "HH").replace("(2 modules)", "2/modules").replace("(mod", "*(mod")
    for letter in "DHP":
        letters = letters.replace(letter, f"*{letter}")
    terms = (term.removeprefix("*") for term in letters.split(" + "))
    assert eval(" + ".join(terms), {}, sizes) == layer.count()


def test_initial_values_are_told() -> None:
    @cell(gates="f n", states="h", parameters="p q", initial={"p": (0.0, 0.5), "b_f": 1.0}, recurrent_bias="f")
    def own(gate, state, p):  # type: ignore[no-untyped-def]
        return gate.f * state.h + p.p * gate.n + p.q

    told = {one.name: one.initial for one in stored(own)}
    assert told == {"W": "", "U": "", "b": "f: 1", "b_u": "f: 0", "p": "uniform in 0 .. 0.5", "q": "0"}


@pytest.mark.parametrize("own", CELLS.values(), ids=lambda c: c.name)
def test_every_cell_has_a_title_a_paper_and_equations(own: Cell) -> None:
    title, paper = title_and_paper(own)
    assert title and paper and "_t" in equations(own)


def test_a_docstring_without_title_is_refused() -> None:
    @cell(gates="a", states="h")
    def own(gate):  # type: ignore[no-untyped-def]
        """Just a cell."""
        return gate.a

    with pytest.raises(ValueError, match=r"docstring of cell own must open with 'Title \(paper\).'"):
        title_and_paper(own)
