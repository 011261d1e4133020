"""Recurrent weights against gradients that vanish or explode, for a whole Keras model in one call."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import keras
import numpy as np
import torch
from keras import ops as kops

from .. import cells
from ..cells import Cell
from ..scan import Structure, forget_rule, is_number
from .cell import EquationsCell, draws
from .initializers import SpectralRadius, seeded
from .reservoir import ReservoirCell

Model = TypeVar("Model")

#: Keras' own cells: whose equations they have, and the gates in the order of their weights.
_KERAS = {
    keras.layers.LSTMCell: (cells.lstm, ("i", "f", "g", "o")),
    keras.layers.GRUCell: (cells.gru, ("z", "r", "n")),
    keras.layers.SimpleRNNCell: (cells.elman, ("n",)),
}


@dataclass(frozen=True)
class _Recurrence:
    """What a Keras cell stores, as far as it decides how long the cell remembers.

    Attributes:
        cell: the equations.
        structure: the sizes.
        blocks: the parts of the recurrent matrix as Keras holds them, transposed: gate by gate, and in a gate head by
            head or module by module. None without such a matrix.
        biases: by gate the biases that are added up there.
        written: the variables, and the arrays that blocks and biases are views of.
    """

    cell: Cell
    structure: Structure
    blocks: list[np.ndarray] | None
    biases: dict[str, list[np.ndarray]]
    written: list[tuple[Any, np.ndarray]] = field(default_factory=list)

    def remembering(self) -> list[np.ndarray]:
        """The biases that add up to that of the gate that makes the cell remember.

        Raises:
            ValueError: the cell has no such gate, or no bias of it.
        """
        gate = (self.cell.forget or "").lstrip("-")
        if not gate:
            raise ValueError(f"cell {self.cell.name} has no gate whose bias makes it remember")
        if gate not in self.biases:
            raise ValueError(f"gate {gate} of cell {self.cell.name}, which makes it remember, has no bias here")
        return self.biases[gate]

    def writing(self) -> list[np.ndarray]:
        """The biases of the input gate i that stands beside a forget gate f; none in all other cells."""
        return self.biases.get("i", []) if self.cell.forget == "f" else []

    def write(self) -> None:
        """Put the arrays into the variables."""
        for variable, array in self.written:
            variable.assign(array)


def initialise(model: Model, *, recurrent: Any = None, forget_bias: Any = None, seed: int | None = None) -> Model:
    """Draw the recurrent matrices of a built model anew, or set the biases that make its cells remember, or both.

    It reaches every recurrent cell, Keras' own among them, at any depth of the model. All other weights stay as they
    are; an `EchoState` keeps its reservoir. Either everything is changed or, where something does not fit, nothing.

    Args:
        model: a built Keras model or layer, changed in place.
        recurrent: what becomes of each gate's block of the recurrent matrix, and in it of each head's or module's:
            "orthogonal" (Saxe, McClelland & Ganguli 2014, 1312.6120); "identity", for a network of rectified units the
            IRNN (Le, Jaitly & Hinton 2015, 1504.00941); both also with a factor, as ("identity", 0.1);
            ("spectral_radius", r), normal and scaled so that its largest eigenvalue has the modulus r; or an
            initializer of Keras. The square of a clockwork module is that of the units which read themselves.
        forget_bias: what becomes of the bias of the gate that makes a cell remember, its sign turned where a negative
            bias remembers: a number (1: Jozefowicz, Zaremba & Sutskever 2015, ICML), or ("chrono", T_max) for memories
            of up to T_max steps (Tallec & Ollivier 2018, 1804.11188): each unit's bias is log(u), u uniform in
            1..T_max - 1, and an input gate i beside a forget gate f starts at minus that. Of a gate with two biases the
            second is 0.
        seed: equal seeds draw equal weights; None draws as `keras.utils.set_random_seed` says.

    Returns:
        The same model.

    Raises:
        TypeError: it is no Keras model or layer.
        ValueError: the model is not built or holds no recurrent cell; an argument is no such rule; or a cell, which
            the sentence names, has no recurrent matrix, or no bias that makes it remember.
    """
    if not isinstance(model, keras.layers.Layer):
        raise TypeError(f"only a Keras model or layer can be initialised; got {type(model).__name__}")
    found = [_recurrence(cell) for cell in _cells(model)]
    if not found:
        raise ValueError(f"{model.name} holds no recurrent cell whose weights could be drawn")
    generator = keras.random.SeedGenerator(seed)
    if recurrent is not None:
        chosen = _initializer(recurrent)
        if draws(chosen):
            own = chosen.get_config()["seed"] if seed is None else None
            chosen = seeded(chosen, generator if own is None else keras.random.SeedGenerator(own))
        for one in found:
            _fill_blocks(one, recurrent, chosen)
    if forget_bias is not None:
        kind, number = forget_rule(forget_bias)
        for one in found:
            _fill_biases(one, kind, number, generator)
    for one in found:
        one.write()
    return model


def _cells(model: Any) -> Iterator[Any]:
    """Every recurrent cell in a model with weights of its own to train."""
    kinds = (EquationsCell, *_KERAS)
    seen: set[int] = set()
    for layer in model._flatten_layers():
        if isinstance(layer, kinds) and not isinstance(layer, ReservoirCell) and id(layer) not in seen:
            seen.add(id(layer))
            if not layer.built:
                raise ValueError(
                    f"{layer.name} has no weights yet; build the model first, with an Input or by calling it"
                )
            yield layer


def _recurrence(layer: Any) -> _Recurrence:
    return _of_equations(layer) if isinstance(layer, EquationsCell) else _of_keras(layer)


def _of_equations(layer: EquationsCell) -> _Recurrence:
    structure, stored = layer.structure, layer.stored()
    written: list[tuple[Any, np.ndarray]] = []
    biases: dict[str, list[np.ndarray]] = {}
    blocks = None
    if "U" in stored:
        array = _array(stored["U"])
        # views of views: what is written into a block is written into the array
        blocks = [block.T.numpy() for block in structure.recurrent_blocks(torch.from_numpy(array).T)]
        written.append((stored["U"], array))
    for parameter in structure.parameters():
        gates = parameter.gates if parameter.name in ("b", "b_u") else ()
        own = (
            parameter.name[2:]
            if parameter.name.startswith("b_") and parameter.name[2:] in layer.equations.gates
            else ""
        )
        if not parameter.trained or not (gates or own):
            continue
        array = _array(stored[parameter.name])
        written.append((stored[parameter.name], array))
        for gate, part in zip(gates or (own,), np.split(array, len(gates or (own,))), strict=True):
            biases.setdefault(gate, []).append(part)
    return _Recurrence(layer.equations, structure, blocks, biases, written)


def _of_keras(layer: Any) -> _Recurrence:
    cell, order = next(of for kind, of in _KERAS.items() if isinstance(layer, kind))
    array = _array(layer.recurrent_kernel)
    written = [(layer.recurrent_kernel, array)]
    biases: dict[str, list[np.ndarray]] = {}
    if layer.use_bias:
        bias = _array(layer.bias)
        written.append((layer.bias, bias))
        # a GRU that resets after the product keeps two biases in one variable (2, gates * units)
        for row in bias.reshape(-1, bias.shape[-1]):
            for gate, part in zip(order, np.split(row, len(order)), strict=True):
                biases.setdefault(gate, []).append(part)
    return _Recurrence(cell, Structure(cell, 1, layer.units), np.split(array, len(order), axis=1), biases, written)


def _array(variable: Any) -> np.ndarray:
    """A copy of a variable's values, in a dtype that NumPy computes in."""
    array = np.array(kops.convert_to_numpy(variable))
    return array if array.dtype in (np.float32, np.float64) else array.astype("float32")


def _initializer(given: Any) -> Any:
    """The initializer of one block.

    Raises:
        ValueError: there is no such rule.
    """
    if isinstance(given, keras.initializers.Initializer):
        return given
    kind, number = given if isinstance(given, (tuple, list)) and len(given) == 2 else (given, None)
    if kind == "spectral_radius":
        if not is_number(number) or number <= 0:
            raise ValueError(f"recurrent is {given!r}; expected ('spectral_radius', r) with a number r above 0")
        return SpectralRadius(number)
    if kind not in ("orthogonal", "identity") or not (number is None or is_number(number)):
        raise ValueError(
            f"recurrent is {given!r}; expected 'orthogonal' or 'identity', alone or with a factor as in "
            "('identity', 0.5), ('spectral_radius', r), or an initializer of Keras"
        )
    made = keras.initializers.Orthogonal if kind == "orthogonal" else keras.initializers.Identity
    return made(gain=1.0 if number is None else float(number))


def _fill_blocks(one: _Recurrence, given: Any, chosen: Any) -> None:
    name = one.cell.name
    if one.blocks is None:
        raise ValueError(f"recurrent is {given!r}, but cell {name} has no recurrent matrix")
    radius = isinstance(chosen, SpectralRadius)
    if radius and one.structure.output_size != one.structure.units:
        raise ValueError(
            f"recurrent is {given!r}, but the recurrent matrix of cell {name} is {one.structure.units} x "
            f"{one.structure.output_size} for each gate, and only a square one has eigenvalues"
        )
    for block in one.blocks:
        # what a module reads of those behind it stands below its own square
        value = chosen.scaled(chosen.drawn(block.shape)) if radius else chosen(block.shape, dtype="float32")
        block[...] = kops.convert_to_numpy(value)


def _fill_biases(one: _Recurrence, kind: str, number: float, generator: Any) -> None:
    first, *others = one.remembering()
    sign = -1.0 if (one.cell.forget or "").startswith("-") else 1.0
    if kind == "constant":
        first[...] = sign * number
    else:
        steps = keras.random.uniform(first.shape, 1.0, number - 1.0, dtype="float32", seed=generator)
        drawn = np.log(kops.convert_to_numpy(steps))
        first[...] = sign * drawn
        for place, bias in enumerate(one.writing()):
            bias[...] = 0.0 if place else -drawn
    for other in others:
        other[...] = 0.0
