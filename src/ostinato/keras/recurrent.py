"""LSTM, GRU and SimpleRNN: Keras' layers of these names, whose inner loop is a scan.

Arguments, weights, gate order, masking, stateful behaviour and saving are Keras'; the class names are, too, because
`.weights.h5` files name weights by them. Where Keras runs on another backend than torch, so does the inner loop.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import torch
from torch import Tensor

from .. import cells
from ..cells import ACTIVATIONS, Cell
from ..scan import Weights
from ..scan.bounds import SavedDtype, check_bounds
from . import loop, steps
from .arguments import whole

#: The name of each of Keras' own activations, by the identity of its function: a function of the user's may be called
#: `tanh` and compute something else.
_NAMES = {id(getattr(keras.activations, name)): name for name in ACTIVATIONS if hasattr(keras.activations, name)}

#: The arguments that the layers here add to those of Keras; the first two govern gradients, the others memory.
BOUNDS = ("truncate_gradient", "clip_recurrent_gradient")
ADDED = (*BOUNDS, "recompute", "saved_dtype")

_register = keras.saving.register_keras_serializable(package="ostinato")


class Recurrent:
    """What the layers here add to those of Keras.

    Attributes:
        gate_order: names of the gates in the order of Keras' weights; None is the cell's own order.
        shown: names of the states that the output holds; None is the first one.
        truncate_gradient: None, or the number of steps after which gradients are cut; `scan.scan` says how.
        clip_recurrent_gradient: None, or the bound of every state's gradient as a step hands it back; likewise.
        recompute: None, or True or the number of steps that the backward pass runs again at a time, for less memory;
            likewise. Where a layer does not run as a scan, all is kept.
        saved_dtype: None, or "float16" or "bfloat16", in which what the backward pass needs is kept, for less memory;
            likewise. Where a layer does not run as a scan, training raises.
    """

    gate_order: tuple[str, ...] | None = None
    shown: tuple[str, ...] | None = None
    truncate_gradient: int | None = None
    clip_recurrent_gradient: float | None = None
    recompute: bool | int | None = None
    saved_dtype: SavedDtype | None = None

    cell: Any
    compute_dtype: str
    name: str
    stateful: bool

    def __init__(
        self,
        *args: Any,
        truncate_gradient: int | None = None,
        clip_recurrent_gradient: float | None = None,
        recompute: bool | int | None = None,
        saved_dtype: SavedDtype | None = None,
        **kwargs: Any,
    ) -> None:
        check_bounds(truncate_gradient, clip_recurrent_gradient, recompute, saved_dtype)
        super().__init__(*args, **kwargs)
        self.truncate_gradient = truncate_gradient
        self.clip_recurrent_gradient = clip_recurrent_gradient
        self.recompute = recompute
        self.saved_dtype = saved_dtype

    @property
    def bounds(self) -> dict[str, Any]:
        """Those of `truncate_gradient` and `clip_recurrent_gradient` that are given."""
        return {name: value for name in BOUNDS if (value := getattr(self, name)) is not None}

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again; what Keras' layers have not stands there only where it is given."""
        return {**super().get_config(), **self.added}  # type: ignore[misc]

    @property
    def added(self) -> dict[str, Any]:
        """Those of the arguments here that Keras' layers have not, and that are given."""
        return {name: value for name in ADDED if (value := getattr(self, name)) is not None}

    @property
    def equations(self) -> Cell:
        """The cell that the layer runs."""
        raise NotImplementedError

    def build(self, sequences_shape: Any, initial_state_shape: Any = None) -> None:
        """Make the weights for sequences of this shape."""
        super().build(sequences_shape, initial_state_shape)  # type: ignore[misc]
        self.input_spec = keras.InputSpec(ndim=3, axes={-1: sequences_shape[-1]})

    def scan_weights(self, dtype: torch.dtype) -> Weights:
        """The weights as a scan takes them; the matrices are views of Keras' own (features, gates * units)."""
        return self.as_weights([tensor_of(variable, dtype) for variable in self.scan_variables()])

    def scan_variables(self) -> list[Any]:
        """The variables that `scan_weights` are made of."""
        cell = self.cell
        return [one for one in (cell.kernel, cell.recurrent_kernel, cell.bias) if one is not None]

    def as_weights(self, tensors: Sequence[Tensor]) -> Weights:
        """Views of tensors of the shapes of `scan_variables`, as a scan takes them."""
        kernel, recurrent, *rest = tensors
        bias = rest[0] if rest else None
        # A GRU that resets after the product keeps both biases in one variable (2, gates * units).
        beside_kernel, beside_recurrent = bias.unbind(0) if bias is not None and bias.dim() == 2 else (bias, None)
        return Weights(kernel.T, recurrent.T, beside_kernel, beside_recurrent, order=self.gate_order)

    @property
    def unchanged(self) -> bool:
        """Whether this is no subclass, which may have an inner loop or an initial state of its own."""
        return type(self) in (LSTM, GRU, SimpleRNN)

    @property
    def layout(self) -> Any:
        """What two layers must have in common for one scan to run both, beside their activations."""
        return self.equations, self.cell.units

    def scan_inputs(self, sequences: Tensor, training: bool) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The input of a scan, after dropout, and its further sequences."""
        return self._dropped(sequences, training), ()

    def step_inputs(self, sequences: Any, training: bool) -> Any:
        """What the cell takes where it is called step by step."""
        return sequences

    def scan_activations(self) -> dict[str, Any]:
        """The layer's activations by the symbols of the equations: a name where Keras has one, else the function."""
        cell = self.cell
        chosen = {"phi": cell.activation}
        if "sigma" in self.equations.activations:
            chosen["sigma"] = cell.recurrent_activation
        return named(chosen)

    def call(self, sequences: Any, initial_state: Any = None, mask: Any = None, training: bool = False) -> Any:
        """As in Keras.

        Raises:
            ValueError: the sequences have no step.
        """
        if sequences.shape[1] == 0:
            raise ValueError(
                f"{self.name} got sequences of the shape {tuple(sequences.shape)} (batch, steps, features), "
                "with 0 steps; a recurrent layer needs at least 1"
            )
        if initial_state is None and mask is None and self.only_scans(sequences, training):
            return loop.run_plain(self, sequences, training)
        return super().call(sequences, initial_state=initial_state, mask=mask, training=training)  # type: ignore[misc]

    def only_scans(self, sequences: Any, training: bool) -> bool:
        """Whether a call is a scan and nothing else: no states kept, no dropout masks drawn, nothing cast."""
        cell: Any = self.cell
        return (
            self.unchanged
            and self.shown is None
            and not (self.stateful or cell.dropout or cell.recurrent_dropout)
            and cell.compute_dtype == self.compute_dtype
            and loop.path(self, sequences, training).way == "scan"
        )

    def inner_loop(self, sequences: Any, initial_state: Any, mask: Any, training: bool = False) -> Any:
        """The last output, the outputs and the final states; the method in which Keras runs its cell over time.

        Raises:
            ValueError: what training keeps is to be rounded, and the layer does not run as a scan.
        """
        path = loop.path(self, sequences, training)
        way = path.way
        if training and self.saved_dtype is not None and way not in ("scan", "shapes"):
            raise ValueError(
                f"{self.name}: saved_dtype is {self.saved_dtype!r}, which a scan alone can do, and none runs: "
                f"{path.reason}; set it to None"
            )
        states = list(initial_state) if isinstance(initial_state, (list, tuple)) else [initial_state]
        if isinstance(self, (LSTM, GRU)):
            del states[len(keras.tree.flatten(self.cell.state_size)) :]  # what Keras' own do not look at
        if self.stateful and loop.ON_TORCH:
            # Keras writes the final states into the variables that hold these, which the backward pass still needs.
            states = [state.clone() for state in states]
        if way == "keras":
            sequences = self.step_inputs(sequences, training)
            return super().inner_loop(sequences, states, mask, training=training)  # type: ignore[misc]
        if loop.ON_TORCH:
            states = loop.for_every_row(states, sequences)
        if way == "shapes":
            return loop.shapes(self, sequences, states)
        if way == "bounded":
            return loop.run_bounded(self, self.step_inputs(sequences, training), states, mask, training)
        mask = loop.boolean_mask(mask, sequences)
        if way == "steps":
            return steps.run(self, self.step_inputs(sequences, training), states, mask, training)
        return loop.run_scan(self, sequences, states, mask, training)

    def _dropped(self, sequences: Tensor, training: bool) -> Tensor:
        """The sequences after input dropout, whose mask is the same at every step."""
        if not training or not self.cell.dropout:
            return sequences
        mask: Tensor = self.cell.get_dropout_mask(sequences[:, 0])
        return sequences * mask.unsqueeze(1)


def _as_keras(stock: type) -> inspect.Signature:
    """The arguments of a layer of Keras, and those that all layers here have."""
    told = inspect.signature(stock.__init__)  # type: ignore[misc]
    *own, further = told.parameters.values()
    added = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None) for name in ADDED]
    return told.replace(parameters=[*own, *added, further])


def named(activations: Mapping[str, Any]) -> dict[str, Any]:
    """Activations as a scan takes them: those of Keras by name."""
    return {symbol: _NAMES.get(id(function), function) for symbol, function in activations.items()}


def tensor_of(variable: Any, dtype: torch.dtype) -> Tensor:
    value: Tensor = variable.value
    return value if value.dtype == dtype else value.to(dtype)


@_register
class LSTM(Recurrent, keras.layers.LSTM):  # type: ignore[misc]
    """Long short-term memory (Hochreiter & Schmidhuber 1997): `keras.layers.LSTM` on this library's kernels.

    Every argument is that of `keras.layers.LSTM`, beside `truncate_gradient`, `clip_recurrent_gradient`, `recompute`
    and `saved_dtype` (see `Recurrent`); `use_cudnn` decides nothing on the CPU.

    Shapes: input (batch, steps, features), optional mask (batch, steps); output (batch, units), or (batch, steps,
    units) with `return_sequences`; with `return_state` also h and c, each (batch, units). Weights: kernel (features,
    4 units), recurrent kernel (units, 4 units), bias (4 units), gates in the order i, f, c, o.
    """

    def __init__(self, units: int, *args: Any, **kwargs: Any) -> None:
        super().__init__(whole(units), *args, **kwargs)

    __init__.__signature__ = _as_keras(keras.layers.LSTM)  # type: ignore[attr-defined]

    @property
    def equations(self) -> Cell:
        return cells.lstm


@_register
class GRU(Recurrent, keras.layers.GRU):  # type: ignore[misc]
    """Gated recurrent unit (Cho et al. 2014): `keras.layers.GRU` on this library's kernels.

    Every argument is that of `keras.layers.GRU`, beside `truncate_gradient`, `clip_recurrent_gradient`, `recompute`
    and `saved_dtype` (see `Recurrent`); `reset_after` chooses between the two forms, and `use_cudnn` decides nothing on
    the CPU.

    Shapes: those of `LSTM`, with one state h. Weights: kernel (features, 3 units), recurrent kernel (units, 3 units),
    bias (2, 3 units), or (3 units) with `reset_after=False`; gates in the order z, r, h.
    """

    gate_order = ("z", "r", "n")

    def __init__(self, units: int, *args: Any, **kwargs: Any) -> None:
        super().__init__(whole(units), *args, **kwargs)

    __init__.__signature__ = _as_keras(keras.layers.GRU)  # type: ignore[attr-defined]

    @property
    def equations(self) -> Cell:
        return cells.gru if self.cell.reset_after else cells.gru_reset_before


@_register
class SimpleRNN(Recurrent, keras.layers.SimpleRNN):  # type: ignore[misc]
    """Simple recurrent network (Elman 1990): `keras.layers.SimpleRNN` on this library's kernels.

    Every argument is that of `keras.layers.SimpleRNN`, beside `truncate_gradient`, `clip_recurrent_gradient`,
    `recompute` and `saved_dtype` (see `Recurrent`). Unlike there, `activity_regularizer` acts, and `seed` is kept when
    the layer is saved or cloned.

    Shapes: those of `LSTM`, with one state h. Weights: kernel (features, units), recurrent kernel (units, units),
    bias (units).
    """

    @property
    def equations(self) -> Cell:
        return cells.elman

    def __init__(self, units: int, *args: Any, **kwargs: Any) -> None:
        super().__init__(whole(units), *args, **kwargs)
        given = inspect.signature(keras.layers.SimpleRNN.__init__).bind(self, units, *args, **kwargs).arguments
        self.activity_regularizer = keras.regularizers.get(given.get("activity_regularizer"))

    __init__.__signature__ = _as_keras(keras.layers.SimpleRNN)  # type: ignore[attr-defined]

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again."""
        return {**super().get_config(), "seed": self.cell.seed}


def same_kind(layers: Sequence[Any]) -> bool:
    """Whether one scan can run these layers side by side: their cells differ in nothing but their weights."""
    first = layers[0]
    return all(
        isinstance(layer, Recurrent)
        and type(layer).inner_loop is Recurrent.inner_loop
        and layer.layout == first.layout
        and layer.shown is None
        and layer.added == first.added
        and layer.scan_activations() == first.scan_activations()
        for layer in layers
    )
