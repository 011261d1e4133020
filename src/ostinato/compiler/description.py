"""What a cell has, for those who read about it: its title and paper, and what a layer of it stores, in letters.

`scan.parameters` says the same in numbers, for those who make a layer.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from ..cells import SYMBOLS, Cell
from ..cells.cell import Initial
from .trace import trace

#: How many blocks U is made of, by the kind of its blocks; the layers' argument of that name.
BLOCKS = {"heads": "heads", "clockwork": "modules"}

#: What Keras calls a layer that it has under another name.
KERAS = {"RNN": "SimpleRNN"}


@dataclass(frozen=True)
class Size:
    """One size of a stored tensor: a multiple of D, H or P, and what of the blocks of U enters it."""

    factor: int
    letter: str
    blocks: str = ""

    def __str__(self) -> str:
        return f"{self.factor if self.factor > 1 else ''}{self.letter}{self.blocks}"

    def number(self, sizes: Mapping[str, int]) -> int:
        """This size where D, H, P, heads and modules are these."""
        whole = self.factor * sizes[self.letter]
        if self.blocks == "/heads":
            return whole // sizes["heads"]
        if self.blocks == "/modules":
            return whole // sizes["modules"]
        if self.blocks == "(modules+1)/2":
            return whole * (sizes["modules"] + 1) // 2
        return whole


@dataclass(frozen=True)
class Stored:
    """One tensor that a layer stores.

    Attributes:
        name: as the scan calls it: W, U, b, b_u, or the name of a vector or of a further matrix.
        shape: its sizes.
        initial: its initial value in words; "" leaves it to the initializer of the front-end.
        trained: whether a gradient flows to it.
    """

    name: str
    shape: tuple[Size, ...]
    initial: str
    trained: bool

    @property
    def letters(self) -> str:
        return f"({', '.join(map(str, self.shape))})"

    @property
    def product(self) -> str:
        """How many numbers it holds, in letters."""
        return _sum([self.shape])

    def number(self, sizes: Mapping[str, int]) -> int:
        """How many numbers it holds where D, H, P, heads and modules are these."""
        found = 1
        for size in self.shape:
            found *= size.number(sizes)
        return found


def title_and_paper(cell: Cell) -> tuple[str, str]:
    """The first sentence of a cell's docstring, cut before its parenthesis, and what stands in the parenthesis.

    Raises:
        ValueError: the docstring opens with something else.
    """
    sentence = " ".join(cell.description.partition("\n\n")[0].split())
    found = re.fullmatch(r"(.*?) \((.*)\)\.", sentence)
    if found is None:
        raise ValueError(
            f"the docstring of cell {cell.name} must open with 'Title (paper).'; it opens with {sentence!r}"
        )
    return found[1], found[2]


def equations(cell: Cell) -> str:
    """A cell's docstring behind its title."""
    return cell.description.partition("\n\n")[2]


def stored(cell: Cell) -> tuple[Stored, ...]:
    """Everything that one layer and direction of a cell stores, in the order of `scan.parameters`."""
    blocks = trace(cell).blocks
    found = []
    for matrix in ("W", "U"):
        if blocks[matrix]:
            found.append(Stored(matrix, _shape(cell, matrix, len(blocks[matrix])), "", True))
    named = dict(cell.initial)
    for name, matrix, biased in (("b", "W", cell.bias), ("b_u", "U", cell.recurrent_bias)):
        gates = [gate for gate in blocks[matrix] if gate in biased]
        if gates:
            initial = [f"{gate}: {_words(named[f'b_{gate}'])}" for gate in gates if f"b_{gate}" in named]
            named.update({f"b_{gate}": 0.0 for gate in gates if f"b_{gate}" in named})
            found.append(Stored(name, (Size(len(gates), "H"),), ", ".join(initial), True))
    found += [Stored(name, (Size(1, "H"),), _words(cell.initial.get(name, 0.0)), True) for name in cell.parameters]
    for name, value in cell.constants.items():
        periods = cell.blocks == "clockwork" and cell.clock is not None and cell.clock[1] == name
        found.append(Stored(name, (Size(1, "H"),), "`periods`" if periods else _words(value), False))
    for name, shape in cell.matrices.items():
        found.append(Stored(name, tuple(Size(1, letter) for letter in shape), "", True))
    return tuple(found)


def _shape(cell: Cell, matrix: str, gates: int) -> tuple[Size, ...]:
    if matrix == "W":
        return Size(gates, "H"), Size(1, "D")
    if cell.blocks == "clockwork":
        return Size(gates, "H", "/modules"), Size(1, "H", "(modules+1)/2")
    return Size(gates, "H"), Size(1, cell.size_of(cell.states[0]), "/heads" if cell.blocks == "heads" else "")


def _words(initial: Initial) -> str:
    if isinstance(initial, tuple):
        return f"uniform in {initial[0]:.6g} .. {initial[1]:.6g}"
    return f"{initial:.6g}"


def count(cell: Cell) -> str:
    """How many numbers a layer trains, in letters: 4DH + 4H² + 4H."""
    return _sum([one.shape for one in stored(cell) if one.trained])


def numbers(cell: Cell, sizes: Mapping[str, int]) -> int:
    """How many numbers a layer trains where D, H, P, heads and modules are these."""
    return sum(one.number(sizes) for one in stored(cell) if one.trained)


def _sum(shapes: list[tuple[Size, ...]]) -> str:
    """The sum of the products of sizes, like terms put together, those of the highest degree first."""
    terms: Counter[tuple[str, str]] = Counter()
    for shape in shapes:
        factor = 1
        for size in shape:
            factor *= size.factor
        blocks = "".join(size.blocks for size in shape).replace("/modules(modules+1)/2", "(modules+1)/(2 modules)")
        terms["".join(sorted(size.letter for size in shape)), blocks] += factor
    ordered = sorted(terms.items(), key=lambda term: (-len(term[0][0]), term[0]))
    return " + ".join(
        f"{factor if factor > 1 else ''}{letters.replace('HH', 'H²')}{blocks}" for (letters, blocks), factor in ordered
    )


@dataclass(frozen=True)
class Argument:
    """An argument that a cell's layers have beside those of every layer.

    Attributes:
        torch: its name in `ostinato.nn`.
        keras: its name in `ostinato.keras.layers`.
        default: its default in both.
        meaning: what it sets.
    """

    torch: str
    keras: str
    default: object
    meaning: str


def arguments(cell: Cell) -> tuple[Argument, ...]:
    """What a cell's constants, masks, activations, blocks and projections let a layer choose."""
    period = cell.clock[1] if cell.blocks == "clockwork" and cell.clock else None
    found = [
        Argument(SYMBOLS[symbol], SYMBOLS[symbol], default, f"{symbol} in the equations")
        for symbol, default in cell.activations.items()
    ]
    found += [
        Argument(name, name, value, "a constant of the equations: one number, or one a unit")
        for name, value in cell.constants.items()
        if name != period
    ]
    for rate, default in {mask.rate: mask.default for mask in cell.masks.values()}.items():
        drawn = [f"{mask.kind} {name}" for name, mask in cell.masks.items() if mask.rate == rate]
        found.append(Argument(rate, rate, default, f"rate of {', '.join(drawn)}; 0 <= rate < 1"))
    if cell.masks:
        usual = sorted({f"{mask.per_step} for {name}" for name, mask in cell.masks.items()})
        told = f"whether masks are drawn at every step, or once a sequence; None is {', '.join(usual)}"
        found.append(Argument("per_step", "per_step", None, told))
    if cell.blocks == "heads":
        found.append(Argument("heads", "heads", 1, "how many heads the units stand in; divides H"))
    if cell.blocks == "clockwork":
        found.append(Argument("modules", "modules", None, "how many groups of units have a period each; divides H"))
    if cell.parameters:
        found.append(Argument("fixed", "fixed", None, 'values of vectors that are not trained, as {"name": 0.0}'))
    return tuple(found)


def layers(cell: Cell) -> tuple[str, str]:
    """The torch module and the Keras layer of a registered cell."""
    return f"ostinato.nn.{cell.layer}", f"ostinato.keras.layers.{KERAS.get(cell.layer, cell.layer)}"


def states(cell: Cell) -> str:
    """The states and their sizes: h (H), c (H)."""
    return ", ".join(f"{name} ({cell.size_of(name)})" for name in cell.states)
