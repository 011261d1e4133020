"""What a cell is: a function of one step, and the names it uses."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

#: The run-time activations by the symbol that equations use for them, with the argument that chooses each.
SYMBOLS = {"phi": "activation", "sigma": "recurrent_activation"}

#: Everything a cell's function may ask for, by the name of its argument.
ARGUMENTS = {"gate", "state", "p", "t", *SYMBOLS}

RESERVED_GATES = {"x", "h", "using"}


@dataclass(frozen=True)
class Cell:
    """One recurrent cell: its equations and the names in them. Made by `cell`.

    Attributes:
        name: the cell's name, that of its function.
        step: the equations of one time step.
        gates: names of the gate blocks, in the order in which the weights hold them.
        states: names of the states, the output first.
        parameters: names of the vectors with one entry a unit (peepholes).
        activations: the default activation of each run-time activation, by its symbol.
    """

    name: str
    step: Callable[..., Any]
    gates: tuple[str, ...]
    states: tuple[str, ...]
    parameters: tuple[str, ...] = ()
    activations: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for kind in ("gates", "states", "parameters"):
            names = getattr(self, kind)
            for name in names:
                if not name.isidentifier() or (kind == "gates" and name in RESERVED_GATES):
                    raise ValueError(f"cell {self.name}: {name!r} cannot name one of its {kind}; choose another name")
                if names.count(name) > 1:
                    raise ValueError(f"cell {self.name}: {name!r} is named twice among its {kind}")
        if not self.states:
            raise ValueError(f"cell {self.name} names no state; a recurrent cell needs at least one")
        if not self.gates:
            raise ValueError(f"cell {self.name} names no gate; a recurrent cell needs at least one")
        unknown = set(self.asks_for) - ARGUMENTS
        if unknown:
            raise ValueError(
                f"cell {self.name} asks for {', '.join(sorted(unknown))}; "
                f"a cell's function may ask for {', '.join(sorted(ARGUMENTS))}"
            )

    def __hash__(self) -> int:
        return hash((self.name, self.step))

    @property
    def asks_for(self) -> tuple[str, ...]:
        """The arguments of the cell's function."""
        return tuple(inspect.signature(self.step).parameters)

    @property
    def description(self) -> str:
        """The cell's docstring: its title, equations and paper."""
        return inspect.getdoc(self.step) or ""

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
            raise ValueError(
                f"cell {self.name} has the states {', '.join(self.states)}, but its function returned {len(new)} "
                f"value{'s' if len(new) != 1 else ''}; return one a state"
            )
        return new


#: Every cell that `cell` has made here, by name.
CELLS: dict[str, Cell] = {}


def cell(*, gates: str, states: str, parameters: str = "", **activations: str) -> Callable[[Callable[..., Any]], Cell]:
    """Make a `Cell` of a function that holds the equations of one step.

    The function asks by name for what it needs:

    - `gate`: `gate.i` is `x W_i + h U_i + b_i`; `gate.x.i` and `gate.h.i` are its two products, each with its own
      bias; `gate.using(h=v).i` reads `v` in the place of `h`.
    - `state`: `state.h` is the state before the step.
    - `phi`, `sigma`: the activation and the recurrent activation, chosen at run time.
    - `p`: `p.name` is a vector with one entry a unit.
    - `t`: the number of the step, from 0.

    It returns the new states in the order of `states`; the first is the output.

    Args:
        gates: names separated by spaces, in the order in which the weights hold their blocks.
        states: names separated by spaces, the output first.
        parameters: names of the per-unit vectors, separated by spaces.
        **activations: the default of each run-time activation the function asks for (`phi="tanh"`).
    """

    def make(step: Callable[..., Any]) -> Cell:
        made = Cell(
            name=step.__name__,
            step=step,
            gates=tuple(gates.split()),
            states=tuple(states.split()),
            parameters=tuple(parameters.split()),
            activations=dict(activations),
        )
        asked = {name for name in made.asks_for if name in SYMBOLS}
        if asked != set(activations):
            raise ValueError(
                f"cell {made.name} asks for {sorted(asked)} but names defaults for {sorted(activations)}; "
                "each run-time activation needs one default"
            )
        return made

    return make


def register(made: Cell) -> Cell:
    """Add a cell to `CELLS`: kernels, tests, documentation and benchmarks are made for every cell there."""
    if made.name in CELLS:
        raise ValueError(f"a cell called {made.name} is registered already")
    CELLS[made.name] = made
    return made
