"""A layer of each cell for the tests: small sizes, random weights, and a scan of the same weights beside it."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import torch
from torch import Tensor

from ostinato.cells import CELLS, Cell, cell
from ostinato.keras.cell import NAMES
from ostinato.keras.gallery import single_layer_of
from ostinato.scan import scan

BATCH, STEPS, UNITS = 5, 6, 4

#: Arguments that make the layer of a cell use what the cell has, by the name of the cell.
SPECIAL: dict[str, dict[str, Any]] = {
    "clockwork": {"modules": 2, "periods": (1, 3)},
    "slstm": {"heads": 2},
    "projected_lstm": {"projection": 3},
    "zoneout_lstm": {"zoneout_h": 0.2, "zoneout_c": 0.3},
    "peephole_lstm": {"fixed": {"p_f": 0.25}},
    "cornn": {"gamma": [1.0, 2.0, 0.5, 1.5]},
    "echo_state": {"leak": 0.3},
}


@cell(
    gates="r n", states="h:P c", parameters="u", constants={"rate": 0.5}, matrices="R:PH", phi="tanh",
    recurrent_bias="n", forget="r", initial={"b_n": (0.5, 1.0), "u": 2.0},
)  # fmt: skip
def own_cell(gate: Any, state: Any, p: Any, constant: Any, matrix: Any, x: Any, phi: Any, t: Any) -> Any:
    """A cell of a user's own (nobody 2020).

    It has a bit of everything, the number of the step among it.
    """
    c = constant.rate * state.c + phi(gate.r) * (gate.x.n + p.u * gate.h.n) / (t + 1.0)
    return matrix.R @ c, c


#: Every cell whose layer is made here, and one that nobody has registered.
NAMED: dict[str, Cell] = {**CELLS, "own_cell": own_cell}

#: Those whose input must be as wide as their units.
SAME = ("rg_lru", "identity_sru")


def features(name: str) -> int:
    """The width of the input of a single layer of a cell, its further sequences included."""
    return 4 if name in SAME else 3 + UNITS * len(NAMED[name].sequences)


def layer(name: str, dtype: str = "float64", **options: Any) -> Any:
    """A single layer of a cell, built, with every weight drawn at random."""
    made = single_layer_of(NAMED[name])(UNITS, dtype=dtype, **SPECIAL.get(name, {}), **options)
    made.build((BATCH, STEPS, features(name)))
    randomize(made)
    return made


def randomize(made: Any, seed: int = 4) -> None:
    """Draw every weight of a layer in -1/2..1/2."""
    random = np.random.default_rng(seed)
    for weight in made.weights:
        weight.assign(random.uniform(-0.5, 0.5, weight.shape))


def sequences(name: str, steps: int = STEPS, dtype: str = "float64") -> np.ndarray:
    """Input (batch, steps, features)."""
    return np.random.default_rng(1).standard_normal((BATCH, steps, features(name))).astype(dtype)


def initial_state(made: Any, seed: int = 2) -> list[np.ndarray]:
    """States (batch, size) other than zero, all positive: a clock and a normaliser have to be."""
    random = np.random.default_rng(seed)
    clock = made.equations.clock
    drawn = [random.uniform(0.1, 1, (BATCH, size)).astype(made.compute_dtype) for size in made.state_size]
    return [
        np.full_like(state, 2) if clock and name == clock[0] else state
        for name, state in zip(made.equations.states, drawn, strict=True)
    ]


def by_scan(made: Any, x: np.ndarray, initial: list[np.ndarray] | None = None, **options: Any) -> tuple[Tensor, Any]:
    """What `scan` says to the variables of a layer, taken one by one: outputs and final states."""
    equations, structure = made.equations, made.cell.structure
    tensors = {}
    for parameter in structure.parameters():
        variable = getattr(made.cell, NAMES.get(parameter.name, parameter.name), None)
        if variable is None:
            tensors[parameter.name] = torch.tensor(np.broadcast_to(parameter.initial, parameter.shape).astype(x.dtype))
        else:
            value = keras.ops.convert_to_numpy(variable.value)
            tensors[parameter.name] = torch.tensor(value.T.copy())
    D, H = structure.input_size, structure.units
    pieces = [torch.tensor(x[..., D + k * H : D + (k + 1) * H]) for k in range(len(equations.sequences))]
    for mask in equations.masks.values():
        rate = made.cell.given(mask.rate)
        pieces.append(torch.full((*x.shape[:2], H), rate if mask.kind == "zoneout" else 1.0, dtype=pieces_dtype(x)))
    y, finals = scan(
        equations,
        torch.tensor(x[..., :D]),
        [structure.weights(tensors)],
        None if initial is None else [torch.tensor(state)[None] for state in initial],
        sequences=[pieces],
        backend="reference",
        **options,
    )
    return y, [final[0] for final in finals]


def pieces_dtype(x: np.ndarray) -> torch.dtype:
    """torch's name of an array's dtype."""
    return torch.tensor(x[:0]).dtype


def outputs(returned: Any) -> list[np.ndarray]:
    """Everything that a layer returned, as arrays."""
    returned = returned if isinstance(returned, (list, tuple)) else [returned]
    return [one.detach().cpu().numpy() for one in returned]


def trained(name: str) -> bool:
    """Whether the layer of a cell has anything to train."""
    return name != "echo_state"
