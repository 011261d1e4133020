"""The arguments of a layer made of a cell: their names, defaults and meaning, in Keras' words and order."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import Parameter, Signature
from typing import Any

import numpy as np

from ..cells import SYMBOLS, Cell

#: The default of an argument that has none.
REQUIRED = Parameter.empty

#: Arguments of the layer that its cell has not.
LAYER = {
    "activity_regularizer": None,
    "return_sequences": False,
    "return_state": False,
    "go_backwards": False,
    "stateful": False,
    "unroll": False,
    "truncate_gradient": None,
    "clip_recurrent_gradient": None,
    "recompute": None,
    "saved_dtype": None,
}


def whole(units: Any) -> int:
    """
    Raises:
        ValueError: it is no number of units.
    """
    if isinstance(units, bool) or not isinstance(units, (int, np.integer)) or units < 1:
        raise ValueError(f"units is {units!r}; expected an integer of at least 1")
    return int(units)


_MEANING = {
    "units": "how many units the layer has.",
    "activation": "phi in the equations: a name, or a function of a tensor.",
    "recurrent_activation": "sigma in the equations, likewise.",
    "use_bias": "whether the gates have their biases.",
    "kernel_initializer": "of W, and of further matrices that are not square.",
    "recurrent_initializer": "of U, and of further matrices (units, units); `identity` makes each block of U one.",
    "bias_initializer": "of the biases; None is what the cell itself names, else zeros.",
    "unit_forget_bias": "whether the bias that makes the cell remember starts at {forget}.",
    "kernel_regularizer": "of what `kernel_initializer` starts.",
    "recurrent_regularizer": "of what `recurrent_initializer` starts.",
    "bias_regularizer": "of the biases.",
    "parameter_regularizer": "of each per-unit vector that is trained.",
    "activity_regularizer": "of the output.",
    "kernel_constraint": "of what `kernel_initializer` starts.",
    "recurrent_constraint": "of what `recurrent_initializer` starts.",
    "bias_constraint": "of the biases.",
    "parameter_constraint": "of each per-unit vector that is trained.",
    "dropout": "rate of the inputs that are dropped in training, the same ones at every step; 0 <= rate < 1.",
    "recurrent_dropout": "not offered by this cell: 0.",
    "seed": "of what is drawn in training.",
    "per_step": "whether masks are drawn at every step, or once for a whole sequence; None is as the paper has it.",
    "projection": "size of the output, 1..units; None is `units`.",
    "heads": "how many heads the units stand in; a divisor of `units`.",
    "modules": "how many modules the units stand in, a divisor of `units`; None is one a period.",
    "periods": "of each module, rising integers from 1; None is 1, 2, 4, ...",
    "fixed": "vectors that are not trained: the value of each, one number or one a unit, by name.",
    "depth": "how many layers the stack has.",
    "output_states": "names of the states that the output holds side by side; None is the first one.",
    "return_sequences": "whether the outputs of all steps are returned, or that of the last one.",
    "return_state": "whether the final states are returned behind the output.",
    "go_backwards": "whether the steps are taken from the last to the first; outputs stand in the order of running.",
    "stateful": "whether a call starts from the final states of the one before.",
    "unroll": "as in Keras; decides nothing where a scan runs.",
    "truncate_gradient": "after how many steps gradients are cut; None is never.",
    "clip_recurrent_gradient": "the bound of each state's gradient as a step hands it back; None is none.",
    "recompute": "True, or how many steps the backward pass runs again at a time, for less memory; None keeps all.",
    "saved_dtype": '"float16" or "bfloat16": what the backward pass needs is kept in so many bits; None keeps all.',
}


def has_bias(cell: Cell) -> bool:
    """Whether the layer stores biases."""
    return bool(cell.bias or cell.recurrent_bias)


def projects(cell: Cell) -> bool:
    """Whether the layer has a projection size."""
    return bool(cell.projected) or any("P" in shape for shape in cell.matrices.values())


def forget_bias(cell: Cell) -> tuple[str, float] | None:
    """The gate whose bias makes the cell remember, and the value that `unit_forget_bias` gives it; None without one."""
    if cell.forget is None:
        return None
    gate = cell.forget.lstrip("-")
    stored = gate in (*cell.bias, *cell.recurrent_bias) or f"b_{gate}" in cell.parameters
    return (gate, -1.0 if cell.forget.startswith("-") else 1.0) if stored else None


def _remembers(cell: Cell) -> bool:
    """The default of `unit_forget_bias`: as in Keras on for a forget gate, off for an update gate."""
    return cell.forget in ("f", "-i") and not any(name in cell.initial for name in ("b_f", "b_i"))


def cell_arguments(cell: Cell) -> dict[str, Any]:
    """The arguments of a Keras cell and their defaults.

    Raises:
        ValueError: the equations give a constant or a rate the name of another argument.
    """
    bias, vectors = has_bias(cell), bool(cell.parameters)
    named = any(f"b_{gate}" in cell.initial for gate in (*cell.bias, *cell.recurrent_bias))
    found: dict[str, Any] = {
        "units": REQUIRED,
        **{SYMBOLS[symbol]: cell.activations[symbol] for symbol in SYMBOLS if symbol in cell.activations},
        **({"use_bias": True} if bias else {}),
        "kernel_initializer": "glorot_uniform",
        "recurrent_initializer": "orthogonal",
        **({"bias_initializer": None if named else "zeros"} if bias else {}),
        **({"unit_forget_bias": _remembers(cell)} if forget_bias(cell) else {}),
    }
    for kind in ("regularizer", "constraint"):
        found |= {f"kernel_{kind}": None, f"recurrent_{kind}": None}
        found |= {f"bias_{kind}": None} if bias else {}
        found |= {f"parameter_{kind}": None} if vectors else {}
    found |= {"dropout": 0.0, "recurrent_dropout": 0.0, "seed": None}
    taken = ({*found, *_MEANING, "name", "dtype", "trainable"} - {"recurrent_dropout"}) & _own(cell).keys()
    if taken:
        raise cell.error(f"{min(taken)!r} is the name of another argument of its layer; rename the constant or rate")
    return found | own_arguments(cell)


def _own(cell: Cell) -> dict[str, Any]:
    """The arguments that have names of the cell's own."""
    period = cell.clock[1] if cell.blocks == "clockwork" and cell.clock else None
    found = {name: value for name, value in cell.constants.items() if name != period}
    return found | {mask.rate: mask.default for mask in cell.masks.values()}


def own_arguments(cell: Cell) -> dict[str, Any]:
    """Those arguments that come from the cell's own declarations."""
    found = _own(cell)
    for there, name, default in (
        (bool(cell.masks), "per_step", None),
        (projects(cell), "projection", None),
        (cell.blocks == "heads", "heads", 1),
        (cell.blocks == "clockwork", "modules", None),
        (cell.blocks == "clockwork", "periods", None),
        (bool(cell.parameters), "fixed", None),
        (len(cell.states) > 1, "output_states", None),
    ):
        found |= {name: default} if there else {}
    return found


def signature(arguments: Mapping[str, Any]) -> Signature:
    """Those arguments, units and activations also by position, and whatever else Keras takes."""
    places = ("units", "activation", "recurrent_activation")
    parameters = [
        Parameter(name, Parameter.POSITIONAL_OR_KEYWORD if name in places else Parameter.KEYWORD_ONLY, default=default)
        for name, default in arguments.items()
    ]
    return Signature([*parameters, Parameter("kwargs", Parameter.VAR_KEYWORD)])


def explained(cell: Cell, arguments: Mapping[str, Any], meanings: Mapping[str, str]) -> str:
    """The arguments as a section of a docstring; `meanings` come before what is said of every cell."""
    rates = {mask.rate: f"the rate of the {mask.kind} {name}, 0 <= rate < 1." for name, mask in cell.masks.items()}
    constants = dict.fromkeys(cell.constants, "a constant of the equations: one number, or one a unit.")
    forget = forget_bias(cell)
    meaning = {**_MEANING, **rates, **constants, **meanings}
    lines = [f"    {name}: {meaning.get(name, 'as in Keras.')}" for name in arguments]
    text = "\n".join(
        ["Args:", *lines, "    **kwargs: `name`, `dtype`, `trainable`, `zero_output_for_mask`, as in Keras."]
    )
    return text.replace("{forget}", f"{forget[1]:g}" if forget else "1")
