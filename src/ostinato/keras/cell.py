"""The equations of a cell as a Keras cell: its weights, and one step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import keras
import numpy as np
import torch
from keras import ops as kops

from ..cells import CELLS, SYMBOLS, Cell, Mask
from ..scan.parameters import Parameter, Structure
from . import products
from .arguments import cell_arguments, forget_bias, projects, signature, whole

#: What Keras calls the stored tensors; all others have the names of the equations.
NAMES = {"W": "kernel", "U": "recurrent_kernel", "b": "bias", "b_u": "recurrent_bias"}

_GETTERS = {
    "activation": keras.activations,
    "initializer": keras.initializers,
    "regularizer": keras.regularizers,
    "constraint": keras.constraints,
}


class EquationsCell(keras.layers.Layer):  # type: ignore[misc]
    """A Keras cell that computes the equations of `equations`, for `keras.layers.RNN` and `StackedRNNCells`.

    Inputs are (batch, features), behind them one (batch, units) for each further input sequence of the cell, side by
    side. A layer of this library puts more behind them: the random masks of the step, and its number.
    """

    equations: ClassVar[Cell]

    #: What arguments mean that no other cell has.
    meanings: ClassVar[Mapping[str, str]] = {}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        bound = signature(self.arguments()).bind(*args, **kwargs)
        bound.apply_defaults()
        super().__init__(**bound.arguments.pop("kwargs"))
        cell, given = self.equations, dict(bound.arguments)
        for name, value in given.items():
            kind = name.rpartition("_")[2]
            if kind in _GETTERS:
                given[name] = None if value is None and kind != "activation" else _GETTERS[kind].get(value)
            else:
                given[name] = _plain(value)
        for name in ("dropout", "recurrent_dropout", *(mask.rate for mask in cell.masks.values())):
            rate = given.get(name, 0.0)
            if not 0 <= rate < 1:
                raise ValueError(f"{name} is {rate}; expected a rate of at least 0 and below 1")
        if given.get("recurrent_dropout") and "recurrent_dropout" not in {mask.rate for mask in cell.masks.values()}:
            others = (c.layer for c in CELLS.values() if "recurrent_dropout" in {m.rate for m in c.masks.values()})
            raise ValueError(
                f"recurrent_dropout is {given['recurrent_dropout']}, but {cell.layer} offers none; these do: "
                + ", ".join(("LSTM", "GRU", "SimpleRNN", *others))
            )
        self._given = Untracked(given)
        self.units = given["units"] = whole(given["units"])
        shown = given.get("output_states")
        self.shown = cell.states[:1] if shown is None else (shown,) if isinstance(shown, str) else shown
        if not self.shown or not set(self.shown) <= set(cell.states):
            raise ValueError(f"output_states is {shown!r}; expected names among the states {', '.join(cell.states)}")
        # before the input is known, so that a wrong argument is told where it is given
        self.structure = self._structure(self.units)
        self.state_size = [self.structure.state_size(state) for state in cell.states]
        self.output_size = sum(self.structure.state_size(state) for state in self.shown)
        self.dropout = given.get("dropout", 0.0)
        # `loop.path` asks for Keras' own recurrent dropout, which takes a mask a gate
        self.recurrent_dropout = 0.0
        self.seed = given.get("seed")
        self.seed_generator = keras.random.SeedGenerator(self.seed)

    @classmethod
    def arguments(cls) -> dict[str, Any]:
        """The arguments and their defaults."""
        return cell_arguments(cls.equations)

    def given(self, name: str) -> Any:
        """The value of an argument: its default unless another was given."""
        return self._given.value[name]

    def _structure(self, input_size: int) -> Structure:
        cell, given = self.equations, self._given.value
        if isinstance(given.get("periods"), (int, float)):
            raise ValueError(f"periods is {given['periods']!r}; expected a sequence of rising integers")
        projection, modules, periods = given.get("projection"), given.get("modules"), given.get("periods") or ()
        return Structure(
            cell,
            input_size,
            self.units,
            projection=(self.units if projection is None else projection) if projects(cell) else 0,
            bias=given.get("use_bias", True),
            heads=given.get("heads", 1),
            modules=max(len(periods), 1) if modules is None else modules,
            periods=periods,
            fixed=given.get("fixed") or {},
            constants={name: given[name] for name in cell.constants if name in given},
        )

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Make the weights for inputs of this shape (batch, features).

        Raises:
            ValueError: the cell cannot read so many features.
        """
        features, below = input_shape[-1], len(self.equations.sequences) * self.units
        if features is None or features <= below:
            raise ValueError(
                f"{self.name} got inputs of the shape {tuple(input_shape)}; expected a number of features"
                + (f" above {below}, the further sequences {', '.join(self.equations.sequences)}" if below else "")
            )
        self.structure = self._structure(features - below)
        stored = {}
        for parameter in self.structure.parameters():
            if parameter.trained:
                name = NAMES.get(parameter.name, parameter.name)
                if hasattr(self, name):
                    raise self.equations.error(f"{name!r} is an attribute of every Keras layer; rename that vector")
                stored[parameter.name] = self._weight(parameter, name)
                setattr(self, name, stored[parameter.name])
            else:
                value = np.broadcast_to(np.asarray(parameter.initial, "float64"), parameter.shape)
                stored[parameter.name] = np.array(value)
        for name in NAMES.values():
            if not hasattr(self, name):
                setattr(self, name, None)
        self._stored = Untracked(stored)
        self.built = True

    def _weight(self, parameter: Parameter, name: str) -> Any:
        """One trained tensor; a matrix stands transposed, as Keras multiplies from the right."""
        role = self._role(parameter)
        return self.add_weight(
            shape=parameter.shape[::-1],
            name=name,
            initializer=self._initializer(parameter, role),
            regularizer=self._of(role, "regularizer"),
            constraint=self._of(role, "constraint"),
        )

    def _role(self, parameter: Parameter) -> str:
        """Whose initializer, regularizer and constraint a tensor has."""
        if parameter.name in ("b", "b_u"):
            return "bias"
        if parameter.name in self.equations.parameters:
            return "parameter"
        square = self.equations.matrices.get(parameter.name) == ("H", "H")
        return "recurrent" if parameter.name == "U" or square else "kernel"

    def _of(self, role: str, kind: str) -> Any:
        return self._given.value.get(f"{role}_{kind}")

    def _initializer(self, parameter: Parameter, role: str) -> Callable[..., Any]:
        further = ("b_u", *self.equations.matrices)
        number = further.index(parameter.name) + 1 if parameter.name in further else 0
        chosen = _another(self._of(role, "initializer"), number)
        if parameter.name == "U" and isinstance(chosen, keras.initializers.Identity):
            U = torch.zeros(parameter.shape)
            for block in self.structure.recurrent_blocks(U):
                torch.nn.init.eye_(block)
            return lambda shape, dtype=None: kops.convert_to_tensor(chosen.gain * U.T.numpy(), dtype=dtype)
        return chosen if role in ("kernel", "recurrent") else partial(self._by_parts, parameter, chosen)

    def _by_parts(self, parameter: Parameter, chosen: Any, shape: Any, dtype: Any = None) -> Any:
        """A bias or vector, some of whose equal parts have values of their own."""
        parts = kops.split(kops.zeros(shape, dtype) if chosen is None else chosen(shape, dtype), len(parameter.parts))
        forget = forget_bias(self.equations) if self._given.value.get("unit_forget_bias") else None
        for number, initial in enumerate(parameter.parts):
            name = f"b_{parameter.gates[number]}" if parameter.gates else parameter.name
            if forget and name == f"b_{forget[0]}":
                # of a gate with two biases the second leaves the sum at 1
                parts[number] = kops.full((self.units,), 0.0 if parameter.name == "b_u" else forget[1], dtype)
            elif chosen is None and isinstance(initial, tuple):
                parts[number] = keras.initializers.RandomUniform(*initial)((self.units,), dtype)
            elif chosen is None and initial is not None:
                parts[number] = kops.full((self.units,), initial, dtype)
        return kops.concatenate(parts)

    def stored(self) -> Mapping[str, Any]:
        """Every tensor of the structure by its name: a variable, transposed if a matrix, or an array not trained."""
        found: Mapping[str, Any] = self._stored.value
        return found

    def call(self, inputs: Any, states: Any, training: bool = False) -> Any:
        """The output of one step (batch, output size), and the list of new states."""
        cell = self.equations
        x, rest = self.part(inputs)
        names = cell.inputs
        if len(rest) == len(cell.sequences):
            rest += self._step_masks(x, training)
        if "t" in cell.asks_for and len(rest) == len(names):
            raise ValueError(f"cell {cell.name} asks for the number of the step; {cell.layer} gives it, a cell cannot")
        tensors = {name: kops.convert_to_tensor(one, dtype=x.dtype) for name, one in self.stored().items()}
        functions = {symbol: self.given(SYMBOLS[symbol]) for symbol in cell.activations}
        number = rest[len(names)] if len(rest) > len(names) else None
        sequences = dict(zip(names, rest, strict=False))
        new = products.step(self.structure, tensors, x, tuple(states), sequences, number, functions)
        shown = [new[cell.states.index(name)] for name in self.shown]
        return shown[0] if len(shown) == 1 else kops.concatenate(shown, axis=-1), list(new)

    def part(self, inputs: Any) -> tuple[Any, list[Any]]:
        """Inputs (..., features), and what stands behind them, in pieces of `units` (the number of the step: of 1)."""
        D, H, width = self.structure.input_size, self.units, inputs.shape[-1]
        edges = range(D, width, H)
        return inputs[..., :D], [inputs[..., edge : min(edge + H, width)] for edge in edges]

    def masks(self, batch: Any, steps: Any, training: bool) -> list[Any]:
        """The masks of the cell's equations, each (batch, steps, units): random in training, else their expectation."""
        found, shape = [], (batch, steps, self.units)
        for mask in self.equations.masks.values():
            rate, zoneout = self.given(mask.rate), mask.kind == "zoneout"
            if not training or not rate:
                value = kops.full((1, 1, self.units), rate if zoneout else 1.0, dtype=self.compute_dtype)
            else:
                drawn = keras.random.uniform(
                    (batch, steps if self._per_step(mask) else 1, self.units), seed=self.seed_generator
                )
                value = kops.cast(drawn < rate if zoneout else drawn >= rate, self.compute_dtype)
                value = value if zoneout else value / (1 - rate)
            found.append(kops.broadcast_to(value, shape))
        return found

    def _per_step(self, mask: Mask) -> bool:
        chosen: bool | None = self.given("per_step")
        return mask.per_step if chosen is None else chosen

    def _step_masks(self, x: Any, training: bool) -> list[Any]:
        kept = [mask for mask in self.equations.masks.values() if self.given(mask.rate) and not self._per_step(mask)]
        if training and kept:
            layer = self.equations.layer
            raise ValueError(
                f"{layer}Cell draws one mask for a whole sequence, and a cell sees one step at a time: use the layer "
                f"{layer}, or give per_step=True"
            )
        return [mask[:, 0] for mask in self.masks(kops.shape(x)[0], 1, training)]

    def get_initial_state(self, batch_size: Any = None) -> list[Any]:
        """Zeros, one tensor (batch, size) a state."""
        return [kops.zeros((batch_size, size), dtype=self.compute_dtype) for size in self.state_size]

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this cell again."""
        config: dict[str, Any] = super().get_config()
        for name, value in self._given.value.items():
            kind = name.rpartition("_")[2]
            made = kind in _GETTERS and value is not None
            config[name] = _GETTERS[kind].serialize(value) if made else listed(value)
        return config


def _plain(value: Any) -> Any:
    """Arrays as numbers, lists as tuples."""
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    value = value.tolist() if hasattr(value, "tolist") else value
    return tuple(value) if isinstance(value, list) else value


def listed(value: Any) -> Any:
    """Tuples as lists, as a configuration holds them."""
    if isinstance(value, Mapping):
        return {name: listed(one) for name, one in value.items()}
    return list(value) if isinstance(value, tuple) else value


def draws(initializer: Any) -> bool:
    """Whether an initializer is one of Keras' that draw at random."""
    return isinstance(initializer, keras.initializers.Initializer) and "seed" in initializer.get_config()


def _another(initializer: Any, number: int) -> Any:
    """An initializer of its own for each tensor: one called twice draws the same numbers twice."""
    if not number or not draws(initializer):
        return initializer
    config = initializer.get_config()
    if isinstance(config["seed"], int):
        config["seed"] += number
    return type(initializer).from_config(config)


class Untracked:
    """A value that Keras does not look into."""

    def __init__(self, value: Any) -> None:
        self.value = value
