"""What a cell is: a function of one step, and the names it uses."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from numbers import Real
from typing import Any, Literal, get_args

from .activations import activation

#: The run-time activations by the symbol that equations use for them, with the argument that chooses each.
SYMBOLS = {"phi": "activation", "sigma": "recurrent_activation"}

#: Everything a cell's function may ask for, by the name of its argument.
ARGUMENTS = {"x", "gate", "state", "p", "constant", "matrix", "sequence", "t", *SYMBOLS}

RESERVED_GATES = {"x", "h", "using"}

#: The sizes that vectors have: input size, units, projection size.
SPACES = ("D", "H", "P")

_Kind = Literal["dropout", "zoneout"]
_Blocks = Literal["full", "heads", "clockwork"]

#: An initial value: a number, or the bounds of a uniform distribution.
Initial = float | tuple[float, float]


def _error(step: Callable[..., Any], sentence: str) -> ValueError:
    """A complaint about a cell, with the place where its function stands."""
    code = step.__code__
    return ValueError(f"cell {step.__name__}: {sentence} ({code.co_filename}, line {code.co_firstlineno})")


def _named(step: Callable[..., Any], name: str) -> str:
    """An activation's own name."""
    try:
        return activation(name).name
    except ValueError as error:
        raise _error(step, str(error)) from error


@dataclass(frozen=True)
class Mask:
    """A random sequence that a layer draws in training; not trained.

    Attributes:
        kind: "dropout" is 1 / (1 - rate) with probability 1 - rate, else 0, and 1 outside training; "zoneout" is 1 with
            probability rate, else 0, and the rate outside training: its expectation, both times.
        rate: the layer's argument that holds the rate, 0 <= rate < 1.
        default: the rate where none is given.
        per_step: whether every step has a mask of its own; otherwise one, drawn anew for each row, serves a whole
            sequence. The layer's argument `per_step` overrules it.
    """

    kind: _Kind
    rate: str
    default: float
    per_step: bool = True

    def __post_init__(self) -> None:
        if self.kind not in get_args(_Kind):
            raise ValueError(f"a mask is of the kind {self.kind!r}; expected 'dropout' or 'zoneout'")


@dataclass(frozen=True)
class Cell:
    """One recurrent cell: its equations and the names in them. Made by `cell`.

    Attributes:
        name: the cell's name, that of its function.
        step: the equations of one time step.
        gates: names of the gate blocks, in the order in which the weights hold them.
        states: names of the states, the output first.
        parameters: names of the vectors with one trained entry a unit (peepholes).
        constants: names of the vectors with one entry a unit that is not trained, with the default of each.
        matrices: further weight matrices: the sizes (rows, columns) of each by its name, in letters of `SPACES`.
        sequences: names of further input sequences, (H) a step: the cell state of the layer below.
        masks: names of the sequences that a layer draws itself, behind `sequences`.
        activations: the default activation of each run-time activation, by its symbol.
        projected: names of the states of size P; the others have size H.
        blocks: how U is made of blocks: "full"; "heads", block-diagonal; "clockwork", where a module of units reads
            itself and the modules behind it.
        bias: the gates that have a bias beside W.
        recurrent_bias: the gates that have a second bias, beside U.
        layer: the name of its layers, in torch's and Keras' style.
        clock: (state, constant): a unit whose entry of the constant does not divide the state keeps its other states.
        forget: the gate whose bias makes the cell remember, with a minus sign in front if a negative bias does.
        initial: initial values of parameters and, as "b_f", of a gate's bias; those not named start at 0.
    """

    name: str
    step: Callable[..., Any]
    gates: tuple[str, ...]
    states: tuple[str, ...]
    parameters: tuple[str, ...] = ()
    constants: Mapping[str, float] = field(default_factory=dict)
    matrices: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    sequences: tuple[str, ...] = ()
    masks: Mapping[str, Mask] = field(default_factory=dict)
    activations: Mapping[str, str] = field(default_factory=dict)
    projected: tuple[str, ...] = ()
    blocks: _Blocks = "full"
    bias: tuple[str, ...] = ()
    recurrent_bias: tuple[str, ...] = ()
    layer: str = ""
    clock: tuple[str, str] | None = None
    forget: str | None = None
    initial: Mapping[str, Initial] = field(default_factory=dict)

    def __post_init__(self) -> None:
        vectors = (*self.parameters, *self.constants)
        sequences = (*self.sequences, *self.masks)
        for kind, names in (
            ("gates", self.gates), ("states", self.states), ("parameters", vectors), ("sequences", sequences),
            ("matrices", tuple(self.matrices)),
        ):  # fmt: skip
            for name in names:
                if not name.isidentifier() or (kind == "gates" and name in RESERVED_GATES):
                    raise self.error(f"{name!r} cannot name one of its {kind}; choose another name")
                if names.count(name) > 1:
                    raise self.error(f"{name!r} is named twice among its {kind}")
        for kind, names in (("state", self.states), ("gate", self.gates)):
            if not names:
                raise self.error(f"it names no {kind}; a recurrent cell needs at least one")
        unknown = set(self.asks_for) - ARGUMENTS
        if unknown:
            raise self.error(
                f"it asks for {', '.join(sorted(unknown))}; "
                f"a cell's function may ask for {', '.join(sorted(ARGUMENTS))}"
            )
        self._check_references()

    def _check_references(self) -> None:
        """Whether what refers to gates, states and so on refers to declared ones."""
        for name, shape in self.matrices.items():
            if name in ("W", "U", "b") or len(shape) != 2 or not set(shape) <= set(SPACES):
                raise self.error(
                    f"matrix {name!r} has the shape {''.join(shape)!r}; expected a name other than W, U and b, and two "
                    "letters for rows and columns: D (input size), H (units) or P (projection size)"
                )
        if self.forget and self.forget.removeprefix("-") not in self.gates:
            raise self.error(f"forget names {self.forget!r}; expected one of its gates ({', '.join(self.gates)})")
        for name in (*self.bias, *self.recurrent_bias):
            if name not in self.gates:
                raise self.error(f"a bias is named for {name!r}; expected one of its gates ({', '.join(self.gates)})")
        known = {*self.parameters, *(f"b_{gate}" for gate in self.gates)}
        for name in self.initial:
            if name not in known:
                raise self.error(f"initial names {name!r}; expected one of {', '.join(sorted(known))}")
        if self.clock and (self.clock[0] not in self.states or self.clock[1] not in self.constants):
            raise self.error(f"clock names {self.clock}; expected one of its states and one of its constants")

    def __hash__(self) -> int:
        return hash((self.name, self.step))

    def error(self, sentence: str) -> ValueError:
        """A complaint about this cell, with the place where its function stands."""
        return _error(self.step, sentence)

    @cached_property
    def asks_for(self) -> tuple[str, ...]:
        """The arguments of the cell's function."""
        return tuple(inspect.signature(self.step).parameters)

    @property
    def description(self) -> str:
        """The cell's docstring: its title, equations and paper."""
        return inspect.getdoc(self.step) or ""

    @property
    def vectors(self) -> tuple[str, ...]:
        """Names of everything with one entry a unit: the parameters, then the constants."""
        return (*self.parameters, *self.constants)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of everything that comes in beside x at each step: the sequences, then the masks."""
        return (*self.sequences, *self.masks)

    def size_of(self, state: str) -> str:
        """The size of a state, a letter of `SPACES`."""
        return "P" if state in self.projected else "H"

    def __call__(self, **available: Any) -> tuple[Any, ...]:
        """The new states after one step.

        Args:
            **available: a value for at least each name in `asks_for`.

        Returns:
            One value a state, in the order of `states`.

        Raises:
            ValueError: the equations returned another number of states.
        """
        new = self.step(**{name: available[name] for name in self.asks_for})
        new = new if isinstance(new, tuple) else (new,)
        if len(new) != len(self.states):
            raise self.error(
                f"its states are {', '.join(self.states)}, but its function returned {len(new)} "
                f"value{'s' if len(new) != 1 else ''}; return one a state"
            )
        return new


#: Every cell that `register` has put here, by name.
CELLS: dict[str, Cell] = {}


def cell(
    *,
    gates: str,
    states: str,
    parameters: str = "",
    constants: Mapping[str, float] | None = None,
    matrices: str = "",
    sequences: str = "",
    masks: Mapping[str, Mask] | None = None,
    blocks: _Blocks = "full",
    bias: str | None = None,
    recurrent_bias: str = "",
    layer: str = "",
    clock: str = "",
    forget: str | None = None,
    initial: Mapping[str, Initial] | None = None,
    **activations: str,
) -> Callable[[Callable[..., Any]], Cell]:
    """Make a `Cell` of a function that holds the equations of one step.

    The function asks by name for what it needs:

    - `gate`: `gate.i` is `x W_i + h U_i + b_i`; `gate.x.i` and `gate.h.i` are its two products, each with its own
      bias; `gate.using(h=v).i` reads `v` in the place of `h`, `gate.using(x=v).i` in the place of `x`.
    - `state`: `state.h` is the state before the step.
    - `phi`, `sigma`: the activation and the recurrent activation, chosen at run time.
    - `p`: `p.name` is a trained vector with one entry a unit; `constant`: likewise, not trained.
    - `matrix`: `matrix.R @ v` is the product of a further matrix with a vector of the step.
    - `sequence`: `sequence.d` is what a further input sequence, or a mask, holds at this step.
    - `x`: the input of the step, to be used entry by entry.
    - `t`: the number of the step, from 0.

    It returns the new states in the order of `states`; the first is the output.

    Args:
        gates: names separated by spaces, in the order in which the weights hold their blocks.
        states: names separated by spaces, the output first; `h:P` has the projection size instead of one entry a unit.
        parameters: names of the per-unit vectors, separated by spaces.
        constants: the default of each per-unit value that is not trained, by its name.
        matrices: names with their shapes, rows then columns, separated by spaces: `R:PH`; D is the input size, H the
            units, P the projection size.
        sequences: names of the further input sequences, separated by spaces.
        masks: the random sequences that a layer draws in training, by name.
        blocks: how U is made of blocks: "full", "heads" or "clockwork"; see `Cell`.
        bias: the gates that have a bias beside W, separated by spaces; None is all of them.
        recurrent_bias: the gates that have a second bias, beside U.
        layer: the name of the cell's layers; by default the function's in capitals: `my_cell` gives MyCell.
        clock: a state and a constant: `"t period"`; a unit whose period does not divide t keeps its other
            states.
        forget: the gate whose bias makes the cell remember; `-i` if a negative bias does.
        initial: initial values of parameters and, as "b_f", of gates' biases: a number, or bounds (low, high).
        **activations: the default of each run-time activation the function asks for (`phi="tanh"`).
    """

    def make(step: Callable[..., Any]) -> Cell:
        if not (inspect.isfunction(step) or inspect.ismethod(step)):
            raise TypeError(f"@cell is given {step!r}; expected a function that holds the equations of one step")
        for what, value, fits, kind in _kinds(texts, tables, activations):
            if not fits:
                raise _error(step, f"{what} is {value!r}; expected {kind}")
        shaped = [name.partition(":") for name in states.split()]
        sized = [name.partition(":") for name in matrices.split()]
        made = Cell(
            name=step.__name__,
            step=step,
            gates=tuple(gates.split()),
            states=tuple(name for name, _, _ in shaped),
            parameters=tuple(parameters.split()),
            constants=dict(tables["constants"]),
            matrices={name: tuple(shape) for name, _, shape in sized},  # type: ignore[misc]
            sequences=tuple(sequences.split()),
            masks=dict(tables["masks"]),
            activations={symbol: _named(step, name) for symbol, name in activations.items()},
            projected=tuple(name for name, _, size in shaped if size == "P"),
            blocks=blocks,
            bias=tuple((gates if bias is None else bias).split()),
            recurrent_bias=tuple(recurrent_bias.split()),
            layer=layer or "".join(part[:1].upper() + part[1:] for part in step.__name__.split("_")),
            clock=tuple(clock.split()) if clock else None,  # type: ignore[arg-type]
            forget=forget,
            initial=dict(tables["initial"]),
        )
        if len(made.matrices) < len(sized):
            names = [name for name, _, _ in sized]
            raise made.error(
                f"{next(name for name in names if names.count(name) > 1)!r} is named twice among its matrices"
            )
        if made.projected and not any("P" in shape for shape in made.matrices.values()):
            raise made.error(
                f"its state {made.projected[0]} is of the size P, which none of its matrices has; give it one that "
                'projects, as in matrices="R:PH"'
            )
        if blocks not in get_args(_Blocks):
            known = ", ".join(map(repr, get_args(_Blocks)))
            raise made.error(f"its blocks are {blocks!r}; expected one of {known}")
        wrong = [size for _, _, size in shaped if size not in ("", "H", "P")]
        if wrong:
            raise made.error(f"a state has the size {wrong[0]!r}; expected H (units) or P (projection size)")
        asked = {name for name in made.asks_for if name in SYMBOLS}
        if asked != set(activations):
            raise made.error(
                f"it asks for {sorted(asked)} but names defaults for {sorted(activations)}; "
                "each run-time activation needs one default"
            )
        return made

    texts = {
        "gates": gates, "states": states, "parameters": parameters, "matrices": matrices, "sequences": sequences,
        "bias": bias or "", "recurrent_bias": recurrent_bias, "layer": layer, "clock": clock, "forget": forget or "",
    }  # fmt: skip
    tables: dict[str, Mapping[str, Any]] = {
        "constants": constants or {},
        "masks": masks or {},
        "initial": initial or {},
    }
    return make


def _kinds(
    texts: Mapping[str, Any], tables: Mapping[str, Any], activations: Mapping[str, Any]
) -> Iterator[tuple[str, object, bool, str]]:
    """For each argument of `cell`, and what is in it: its name, its value, whether it is of its kind, and that kind."""
    for name, text in texts.items():
        yield name, text, isinstance(text, str), "one text, names in it separated by spaces"
    for name, table in tables.items():
        yield name, table, isinstance(table, Mapping), "a dictionary"
    for name, value in tables["constants"].items():
        yield f"the constant {name}", value, isinstance(value, Real), "a number"
    for name, value in tables["masks"].items():
        yield f"the mask {name}", value, isinstance(value, Mask), "a Mask"
    for name, value in tables["initial"].items():
        low, high = value if isinstance(value, tuple) and len(value) == 2 else (value, value)
        numbers = all(isinstance(one, Real) and math.isfinite(one) for one in (low, high))
        yield f"the initial value of {name}", value, numbers and low <= high, "a number, or bounds (low, high)"
    for symbol, name in activations.items():
        yield symbol, name, isinstance(name, str), "the name of an activation"


def register(made: Cell) -> Cell:
    """Add a cell to `CELLS`: kernels, layers, tests, documentation and benchmarks are made for every cell there."""
    if made.name in CELLS:
        raise ValueError(f"a cell called {made.name} is registered already")
    CELLS[made.name] = made
    return made
