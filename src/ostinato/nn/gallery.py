"""The module class of every registered cell, and of a user's own."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from functools import cache
from inspect import Parameter, Signature
from typing import Any

from .. import cells, scan
from .layer import Layer

#: What the arguments of every class mean, beside those that a cell's constants, masks and activations add.
_MEANINGS = {
    "input_size": "D, the number of features of the input.",
    "hidden_size": "H, the number of units.",
    "num_layers": "how many layers stand above each other.",
    "bias": "whether the gates have their biases.",
    "batch_first": "whether the batch comes first in input and output; never in the states.",
    "dropout": "the probability of dropping each output of every layer but the last, in training.",
    "bidirectional": "whether a second direction runs from the last step to the first.",
    "proj_size": "P, the size of the projection, 1..hidden_size.",
    "heads": "how many blocks of units read only themselves; divides hidden_size.",
    "modules": "how many groups of units have a period each; divides hidden_size; None is one for each of `periods`.",
    "periods": "the period of each module, rising integers; () is 1, 2, 4, ...",
    "fixed": 'values of per-unit vectors that are not to be trained, by name: {"p_o": 0.0}.',
    "per_step": "whether masks are drawn at every step, or once for a whole sequence; None is as the paper has it.",
    "recurrent_init": '"uniform", or what each block of `weight_hh` is, as `initialise` takes it: "orthogonal", '
    '"identity", these with a factor as in ("identity", 0.1), or ("spectral_radius", r).',
    "forget_bias": "the initial bias that makes the cell remember, negative where 1 forgets: a number, or, as "
    '`initialise` takes it, ("chrono", T_max).',
    "truncate_gradient": "after how many steps gradients are cut; None is never.",
    "clip_recurrent_gradient": "the bound of each state's gradient as a step hands it back; None is none.",
    "recompute": "True, or how many steps the backward pass runs again at a time, for less memory; None keeps all.",
    "saved_dtype": '"float16" or "bfloat16": what the backward pass needs is kept in so many bits; None keeps all.',
    "backend": "None lets the library choose; see `Layer`.",
    "device": "of the parameters.",
    "dtype": "of the parameters.",
}


def _arguments(cell: cells.Cell) -> Iterator[Parameter]:
    """The arguments of the class of a cell: those of `Layer` that it has a use for, and its own."""

    def keyword(name: str, default: Any, annotation: str) -> Parameter:
        return Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)

    general = dict(inspect.signature(Layer.__init__).parameters)
    unused = {"self", "constants", "activations", "rates"}
    if not scan.projects(cell):
        unused |= {"proj_size"}
    if cell.blocks != "heads":
        unused |= {"heads"}
    if cell.blocks != "clockwork":
        unused |= {"modules", "periods"}
    if not cell.parameters:
        unused |= {"fixed"}
    if not cell.masks:
        unused |= {"per_step"}
    if not cell.forget:
        unused |= {"forget_bias"}
    for name, argument in general.items():
        if name == "recurrent_init":
            yield from _own(cell, keyword)
        if name not in unused:
            yield argument


def _own(cell: cells.Cell, keyword: Any) -> Iterator[Parameter]:
    for name, default in cell.constants.items():
        if not (cell.blocks == "clockwork" and cell.clock and name == cell.clock[1]):
            yield keyword(name, default, "float | Sequence[float]")
    for rate, value in {mask.rate: mask.default for mask in cell.masks.values()}.items():
        yield keyword(rate, value, "float")
    for symbol, activation in cell.activations.items():
        yield keyword(cells.SYMBOLS[symbol], activation, "str | Callable[[Tensor], Tensor]")


def _meaning(cell: cells.Cell, name: str) -> str:
    if name in cell.constants:
        return "a constant of the equations, one number or one a unit."
    if name in {mask.rate for mask in cell.masks.values()}:
        masks = ", ".join(mask for mask, kind in cell.masks.items() if kind.rate == name)
        return f"the rate of {masks}, at least 0 and below 1."
    for symbol, argument in cells.SYMBOLS.items():
        if name == argument:
            return f"{symbol} of the equations: a name of `cells.ACTIVATIONS`, or a function."
    return _MEANINGS[name]


def _docstring(cell: cells.Cell, signature: Signature) -> str:
    told = [f"    {name}: {_meaning(cell, name)}" for name in signature.parameters if name != "self"]
    states = ", ".join(cell.states)
    return "\n".join(
        [
            cell.description,
            "",
            f"Input, output, states ({states}) and names of parameters are described at `ostinato.nn.Layer`.",
            "",
            "Args:",
            *told,
        ]
    )


@cache
def layer_of(cell: cells.Cell) -> type[Layer]:
    """The module class of a cell, in the style of `torch.nn.LSTM`: `layer_of(my_cell)(input_size, hidden_size)`.

    The class is named as the cell's `layer` says and counts as defined beside the cell's function. Pickling a module
    needs the class to be found there: `MyCell = layer_of(my_cell)`.

    Raises:
        ValueError: an argument that the cell asks for is one of every layer's, or it reads more of the layer below than
            the states behind the output.
    """
    taken = [name for name in inspect.signature(Layer.__init__).parameters if name in {*cell.constants, *_rates(cell)}]
    if taken:
        raise cell.error(f"{taken[0]!r} is an argument of every layer; call its constant or rate something else")
    supplied = cell.states[1 : 1 + len(cell.sequences)]
    if len(supplied) < len(cell.sequences) or any(cell.size_of(state) != "H" for state in supplied):
        raise cell.error(
            f"its layers have the sequences ({', '.join(cell.sequences)}) from the layer below: the states behind its "
            f"output, each of one entry a unit; those are ({', '.join(supplied)})"
        )
    own = Parameter("self", Parameter.POSITIONAL_OR_KEYWORD)
    signature = Signature([own, *_arguments(cell)])
    symbols = {argument: symbol for symbol, argument in cells.SYMBOLS.items() if symbol in cell.activations}

    def __init__(*args: Any, **kwargs: Any) -> None:  # noqa: N807
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            raise TypeError(f"{cell.layer}: {error}") from None
        activations = {symbol: given.pop(name) for name, symbol in symbols.items() if name in given}
        constants = {name: given.pop(name) for name in cell.constants if name in given}
        rates = {name: given.pop(name) for name in _rates(cell) if name in given}
        Layer.__init__(given.pop("self"), **given, activations=activations, constants=constants, rates=rates)

    __init__.__signature__ = signature  # type: ignore[attr-defined]
    __init__.__qualname__ = f"{cell.layer}.__init__"
    described = {"cell": cell, "__init__": __init__, "__doc__": _docstring(cell, signature)}
    return type(cell.layer, (Layer,), {**described, "__module__": cell.step.__module__})


def _rates(cell: cells.Cell) -> set[str]:
    return {mask.rate for mask in cell.masks.values()}


#: The class of every registered cell, by its name; this module holds them all, also those whose names are torch's.
LAYERS: dict[str, type[Layer]] = {}

for _cell in cells.CELLS.values():
    LAYERS[_cell.layer] = layer_of(_cell)
    LAYERS[_cell.layer].__module__ = __name__
globals().update(LAYERS)
