"""A Keras layer of every cell: of those of the literature, and of a user's own."""

from __future__ import annotations

from functools import cache
from inspect import Parameter, Signature
from typing import Any, ClassVar

import keras
import numpy as np
import torch
from keras import ops as kops
from torch import Tensor

from ..cells import CELLS, SYMBOLS, Cell
from ..scan import Weights
from .arguments import LAYER, explained, signature
from .cell import EquationsCell
from .recurrent import GRU, LSTM, Recurrent, SimpleRNN, named, tensor_of
from .reservoir import ReservoirCell

#: The cells that a layer of Keras itself has the equations of.
_KERAS = {"lstm": LSTM, "gru": GRU, "elman": SimpleRNN}

#: The cells whose weights are made in a way of their own.
_CELLS = {"echo_state": ReservoirCell}


class EquationsLayer(Recurrent, keras.layers.RNN):  # type: ignore[misc]
    """What the layers of `layer_of` share. Everything that is not said here is as in `keras.layers.LSTM`."""

    cell_class: ClassVar[type[EquationsCell]]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        given = signature(self.arguments()).bind(*args, **kwargs).arguments
        further = given.pop("kwargs", {})
        own = {name: given.pop(name) for name in self.cell_class.arguments() if name in given}
        cell = self.cell_class(
            **own,
            name=f"{self.cell_class.equations.name}_cell",
            dtype=further.get("dtype"),
            trainable=further.get("trainable", True),
        )
        super().__init__(cell, **given, **further)
        self.input_spec = keras.InputSpec(ndim=3)
        self.shown = tuple(cell.shown) if len(cell.shown) > 1 or cell.shown[0] != cell.equations.states[0] else None

    @classmethod
    def arguments(cls) -> dict[str, Any]:
        """The arguments and their defaults."""
        return {**cls.cell_class.arguments(), **LAYER}

    @property
    def equations(self) -> Cell:
        return self.cell_class.equations

    @property
    def unchanged(self) -> bool:
        return type(self) is single_layer_of(self.equations)

    @property
    def units(self) -> int:
        """How many units the layer has."""
        return int(self.cell.units)

    @property
    def layout(self) -> Any:
        """What two layers must have in common for one scan to run both, beside their activations."""
        return self.cell.structure

    def scan_weights(self, dtype: torch.dtype) -> Weights:
        """The weights as a scan takes them; the matrices are views of the variables, or made of them."""
        found = self.cell.stored()
        variables = {name: tensor_of(one, dtype) for name, one in found.items() if not isinstance(one, np.ndarray)}
        device = next(iter(variables.values())).device
        stored = {
            name: _as_stored(variables[name]) if name in variables else torch.as_tensor(one, dtype=dtype, device=device)
            for name, one in found.items()
        }
        weights: Weights = self.cell.structure.weights(stored)
        return weights

    def scan_activations(self) -> dict[str, Any]:
        """The layer's activations by the symbols of the equations: a name where Keras has one, else the function."""
        return named({symbol: self.cell.given(SYMBOLS[symbol]) for symbol in self.equations.activations})

    def scan_inputs(self, sequences: Tensor, training: bool) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The input of a scan, after dropout, and its further sequences."""
        x, further = self.cell.part(sequences)
        masks = self.cell.masks(*kops.shape(sequences)[:2], training)
        return self._dropped(x, training), (*further, *masks)

    def step_inputs(self, sequences: Any, training: bool) -> Any:
        """What the cell takes where it is called step by step: masks and number of the step behind the input."""
        x, further = self.scan_inputs(sequences, training)
        if "t" in self.equations.asks_for:
            batch, steps = kops.shape(sequences)[:2]
            number = kops.cast(kops.arange(steps), x.dtype)
            number = kops.flip(number) if self.go_backwards else number
            further = (*further, kops.broadcast_to(kops.reshape(number, (1, steps, 1)), (batch, steps, 1)))
        return kops.concatenate([x, *further], axis=-1) if further else x

    def _dropped(self, sequences: Any, training: bool) -> Any:
        rate, shape = self.cell.dropout, kops.shape(sequences)
        if not training or not rate:
            return sequences
        ones = kops.ones((shape[0], 1, shape[2]), sequences.dtype)
        return sequences * keras.random.dropout(ones, rate, seed=self.cell.seed_generator)

    def call(self, sequences: Any, initial_state: Any = None, mask: Any = None, training: bool = False) -> Any:
        """As in Keras.

        Raises:
            ValueError: the sequences have no step, or Keras' backend cannot repeat several states at a masked step.
        """
        repeats = mask is not None and self.shown is not None and not self.zero_output_for_mask
        if repeats and keras.backend.backend() == "jax":
            raise ValueError(
                f"{self.name} got a mask and output_states={self.shown!r}; on jax Keras repeats the first state alone "
                "at a masked step: give zero_output_for_mask=True"
            )
        return super().call(sequences, initial_state=initial_state, mask=mask, training=training)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again."""
        config: dict[str, Any] = super().get_config()
        del config["cell"]
        arguments = self.cell.get_config()
        config |= {name: arguments[name] for name in self.cell_class.arguments()}
        return config | {"activity_regularizer": keras.regularizers.serialize(self.activity_regularizer)}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """The layer that these arguments make."""
        return cls(**config)


def _as_stored(tensor: Tensor) -> Tensor:
    return tensor.T if tensor.dim() == 2 else tensor


def layer_of(cell: Cell) -> type:
    """The Keras layer of a cell, as a class: `ostinato.keras.layers` has that of every registered cell by its name.

    For a cell of your own:

        @cell(gates="f n", states="h", phi="tanh", sigma="sigmoid")
        def my_cell(gate, state, phi, sigma):
            ...

        MyCell = layer_of(my_cell)
        model = keras.Sequential([keras.Input((20, 5)), MyCell(32), keras.layers.Dense(1)])

    It is registered for saving under the name `Custom>MyCell`; a program that loads such a file first calls `layer_of`
    on the same cell.

    The cell of a layer, for `keras.layers.RNN` and `StackedRNNCells`, is its attribute `cell_class`. A cell that reads
    the layer below by further sequences makes a whole stack: see `stack.EquationsStack`.
    """
    if CELLS.get(cell.name) is cell and cell.name in _KERAS:
        return _KERAS[cell.name]
    if cell.sequences:
        from .stack import stack_of

        return _registered(stack_of(cell), cell)
    made = single_layer_of(cell)
    _registered(made.cell_class, cell)  # type: ignore[attr-defined]
    return _registered(made, cell)


def _registered(made: type, cell: Cell) -> type:
    register = keras.saving.register_keras_serializable(package=_package(cell))
    return made if keras.saving.get_registered_name(made) != made.__name__ else register(made)


def _package(cell: Cell) -> str:
    return "ostinato" if CELLS.get(cell.name) is cell else "Custom"


@cache
def single_layer_of(cell: Cell) -> type:
    """The class of one layer of a cell. One with further sequences takes them behind its input, (batch, steps, features
    + units) for one of them."""
    name, base = cell.layer, _CELLS.get(cell.name, EquationsCell)
    arguments = type("", (base,), {"equations": cell}).arguments()  # type: ignore[attr-defined]
    told = f"{cell.description}\n\nThe Keras cell of these equations: `{name}` runs it over a sequence.\n\n"
    told += explained(cell, arguments, base.meanings)
    cell_class = class_of(f"{name}Cell", cell, base, arguments, told, equations=cell)
    arguments = {**arguments, **LAYER}
    told = f"{cell.description}\n\n{_SHAPES}{explained(cell, arguments, base.meanings)}"
    return class_of(name, cell, EquationsLayer, arguments, told, cell_class=cell_class)


_SHAPES = """Here as a Keras layer, with the options of `keras.layers.LSTM`.

Shapes: input (batch, steps, features), optional mask (batch, steps); output (batch, output size), or (batch, steps,
output size) with `return_sequences`; with `return_state` also the final states, one tensor (batch, its size) a state in
the order of the equations. The output size is that of the first state.

Weights, as far as the cell has them, transposed in Keras' way: kernel W (features, gates * units), recurrent_kernel U
(units, gates * units), bias and recurrent_bias (gates * units), blocks in the order of the equations; then by their
names per-unit vectors (units) and further matrices. With heads, U is (units / heads, gates * units); with g modules of
k units (k * g * (g + 1) / 2, gates * k), only what a module may read, module behind module.

"""


def class_of(name: str, cell: Cell, base: type, arguments: dict[str, Any], doc: str, **attributes: Any) -> type:
    """A class of this name whose signature tells its arguments."""

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        base.__init__(self, *args, **kwargs)  # type: ignore[misc]

    told = list(signature(arguments).parameters.values())
    __init__.__signature__ = Signature([Parameter("self", Parameter.POSITIONAL_OR_KEYWORD), *told])  # type: ignore[attr-defined]
    module = "ostinato.keras.layers" if CELLS.get(cell.name) is cell else cell.step.__module__
    return type(name, (base,), {**attributes, "__init__": __init__, "__doc__": doc, "__module__": module})
