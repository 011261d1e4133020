"""A stack of layers that read the states of the layer below, as one Keras layer."""

from __future__ import annotations

from functools import cache
from typing import Any, ClassVar

import keras
from keras import ops as kops

from ..cells import Cell
from ..scan import lowest
from .arguments import LAYER, cell_arguments, explained, signature
from .cell import Untracked, draws, listed
from .gallery import class_of, single_layer_of

_TOLD = """Here as a Keras layer that holds a stack of `depth` of them, because what passes between two is more than an
output, which is all that a model hands from layer to layer. The first has no layer below it: its equations are those of
the others with zeros in the place of the further sequences ({first}). With `return_state`, the states of every layer
follow, from the first. `dropout` drops the input of every layer; `activity_regularizer` is that of the last.

Shapes: input (batch, steps, features), optional mask (batch, steps); output (batch, units), or (batch, steps, units)
with `return_sequences`. Weights: those of each layer in turn, see `PeepholeLSTM`.

"""


def _of_every_layer(name: str) -> Any:
    """An attribute that all layers of a stack have alike."""

    def get(self: Any) -> Any:
        return getattr(self.layers[-1], name)

    def put(self: Any, value: Any) -> None:
        for layer in self.layers:
            setattr(layer, name, value)

    return property(get, put, doc=f"`{name}` of every layer.")


class EquationsStack(keras.layers.Layer):  # type: ignore[misc]
    """Layers of a cell with further input sequences: the n-th of them is the (n + 1)-th state of the layer below.

    Attributes:
        layers: the layers, from the first.
    """

    equations: ClassVar[Cell]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        bound = signature(self.arguments()).bind(*args, **kwargs)
        bound.apply_defaults()
        given = dict(bound.arguments)
        further, depth = given.pop("kwargs"), given.pop("depth")
        # of the layer around the last one, whose states are not its output
        further["activity_regularizer"] = given.pop("activity_regularizer")
        zero_output_for_mask = further.pop("zero_output_for_mask", False)
        super().__init__(**further)
        if isinstance(depth, bool) or not isinstance(depth, int) or depth < 1:
            raise ValueError(f"depth is {depth!r}; expected an integer of at least 1")
        self.depth = depth
        self._given = Untracked(given)
        policy = {name: further[name] for name in ("dtype", "trainable") if name in further}
        self.layers = [self._layer(number, given, policy) for number in range(depth)]
        self.layers[-1].zero_output_for_mask = zero_output_for_mask
        self.return_sequences, self.return_state = given["return_sequences"], given["return_state"]
        self.go_backwards, self.stateful = given["go_backwards"], given["stateful"]
        self.supports_masking = True
        self.input_spec = keras.InputSpec(ndim=3)

    @classmethod
    def arguments(cls) -> dict[str, Any]:
        """The arguments and their defaults."""
        cell = cell_arguments(cls.equations)
        cell.pop("output_states", None)
        return {**cell, "depth": 2, **LAYER}

    def _layer(self, number: int, given: dict[str, Any], policy: dict[str, Any]) -> Any:
        top, cell = number == self.depth - 1, self.equations if number else lowest(self.equations)
        made = single_layer_of(cell)
        own = {name: value for name, value in given.items() if name in made.arguments()}  # type: ignore[attr-defined]
        if own.get("fixed"):
            # a vector that only the layers above have may be named
            known = {name for name in own["fixed"] if name in cell.parameters or name not in self.equations.parameters}
            own["fixed"] = {name: own["fixed"][name] for name in known}
        for name, value in own.items():
            if draws(value):
                # one called in every layer would draw the same numbers there
                own[name] = keras.initializers.serialize(value)
        if own.get("seed") is not None:
            own["seed"] += number
        own |= {"return_state": True, "go_backwards": given["go_backwards"] and not number}
        if not top:
            shown = self.equations.states[: 1 + len(self.equations.sequences)]
            own |= {"return_sequences": True, "output_states": shown}
        # what a layer shows at a masked step is read by none above it, and zeros are what every backend can show
        return made(**own, name=f"layer_{number}", zero_output_for_mask=not top, **policy)

    @property
    def units(self) -> int:
        """How many units every layer has."""
        return int(self.layers[-1].units)

    @property
    def state_size(self) -> list[int]:
        """The sizes of the states, layer by layer."""
        return [size for layer in self.layers for size in layer.state_size]

    @property
    def states(self) -> Any:
        """The carried states of a stateful stack, layer by layer; None before it is built."""
        carried = [layer.states for layer in self.layers]
        return None if any(states is None for states in carried) else [one for states in carried for one in states]

    truncate_gradient = _of_every_layer("truncate_gradient")
    clip_recurrent_gradient = _of_every_layer("clip_recurrent_gradient")
    recompute = _of_every_layer("recompute")
    saved_dtype = _of_every_layer("saved_dtype")

    @property
    def zero_output_for_mask(self) -> bool:
        """Whether the output of a masked step is zero instead of that of the step before."""
        return bool(self.layers[-1].zero_output_for_mask)

    @zero_output_for_mask.setter
    def zero_output_for_mask(self, value: bool) -> None:
        self.layers[-1].zero_output_for_mask = value

    def build(self, sequences_shape: Any, initial_state_shape: Any = None) -> None:
        """Make the weights of every layer for sequences of this shape."""
        *leading, features = sequences_shape
        shape = (*leading, features + self._reads)
        for layer in self.layers:
            if not layer.built:
                layer.build(shape)
            shape = (*shape[:-1], layer.cell.output_size)
        self.input_spec = keras.InputSpec(ndim=3, axes={-1: features})
        self.built = True

    def call(self, sequences: Any, initial_state: Any = None, mask: Any = None, training: bool = False) -> Any:
        """As in Keras; `initial_state` holds the states of every layer, from the first.

        Raises:
            ValueError: it holds another number of states.
        """
        each = len(self.equations.states)
        if initial_state is not None and len(initial_state) != each * self.depth:
            raise ValueError(
                f"got {len(initial_state)} initial states; expected {each} for each of {self.depth} layers"
            )
        mask = mask[0] if isinstance(mask, (list, tuple)) else mask
        found: list[Any] = []
        below = self._first_input(sequences)
        for number, layer in enumerate(self.layers):
            initial = None if initial_state is None else list(initial_state[number * each : (number + 1) * each])
            below, *states = layer(below, initial_state=initial, mask=mask, training=training)
            found += states
            if mask is not None and number == 0 and self.go_backwards:
                mask = kops.flip(mask, axis=1)
        return (below, *found) if self.return_state else below

    @property
    def _reads(self) -> int:
        return len(self.layers[0].equations.sequences) * self.units

    def _first_input(self, sequences: Any) -> Any:
        """The input of the first layer: with zeros behind it, if there is no cell that reads no sequences."""
        if not self._reads:
            return sequences
        zeros = kops.zeros((*kops.shape(sequences)[:2], self._reads), sequences.dtype)
        return kops.concatenate([sequences, zeros], axis=-1)

    def fed(self, sequences: Any) -> list[tuple[Any, Any]]:
        """Each layer with an input of the shape that it would have for these sequences: nothing is computed."""
        found, below = [], self._first_input(sequences)
        for layer in self.layers:
            found.append((layer, below))
            below = kops.zeros((*kops.shape(sequences)[:2], layer.cell.output_size), sequences.dtype)
        return found

    def get_initial_state(self, batch_size: Any = None) -> list[Any]:
        """Zeros, one tensor (batch, size) a state, layer by layer."""
        return [state for layer in self.layers for state in layer.get_initial_state(batch_size)]

    def reset_state(self) -> None:
        """Set the carried states to zero."""
        for layer in self.layers:
            layer.reset_state()

    reset_states = reset_state

    def compute_output_shape(self, sequences_shape: Any, initial_state_shape: Any = None) -> Any:
        """The shape of what `call` returns."""
        batch, steps = sequences_shape[:2]
        size = self.layers[-1].cell.output_size
        output = (batch, steps, size) if self.return_sequences else (batch, size)
        return (output, *((batch, one) for one in self.state_size)) if self.return_state else output

    def compute_mask(self, _: Any, mask: Any) -> Any:
        """The mask of the output; states have none."""
        mask = mask[0] if isinstance(mask, (list, tuple)) else mask
        shown = mask if self.return_sequences else None
        return [shown, *(None for _ in self.state_size)] if self.return_state else shown

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this stack again."""
        config: dict[str, Any] = super().get_config()
        top, given = self.layers[-1].get_config(), self._given.value
        config |= {name: top[name] for name in self.arguments() if name in top}
        config |= {"fixed": listed(given["fixed"])} if "fixed" in given else {}
        return config | {
            "depth": self.depth,
            "activity_regularizer": keras.regularizers.serialize(self.activity_regularizer),
            "seed": given["seed"],
            "return_state": self.return_state,
            "go_backwards": self.go_backwards,
            "zero_output_for_mask": self.zero_output_for_mask,
        }


@cache
def stack_of(cell: Cell) -> type:
    """The class of a stack of this cell.

    Raises:
        ValueError: it reads more sequences than the layer below has states of the units' size behind its output.
    """
    supplied = cell.states[1 : 1 + len(cell.sequences)]
    if len(supplied) < len(cell.sequences) or any(cell.size_of(state) != "H" for state in supplied):
        raise cell.error(
            f"it reads the sequences {', '.join(cell.sequences)}, and a layer below does not have as many states with "
            f"one entry a unit behind its output {cell.states[0]}; `scan` takes any sequences"
        )
    made = type("", (EquationsStack,), {"equations": cell})
    first = lowest(cell)
    told = "those of the same cell" if first is cell else f"`{first.layer}`"
    arguments = made.arguments()  # type: ignore[attr-defined]
    doc = f"{cell.description}\n\n{_TOLD.format(first=told)}{explained(cell, arguments, {})}"
    return class_of(cell.layer, cell, EquationsStack, arguments, doc, equations=cell)
