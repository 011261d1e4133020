"""Bidirectional: Keras' wrapper, which runs both directions in one scan where they are alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import torch
from torch import Tensor

from ..scan import Request, run
from . import loop
from .recurrent import same_kind


@keras.saving.register_keras_serializable(package="ostinato")
class Bidirectional(keras.layers.Bidirectional):  # type: ignore[misc]
    """A recurrent layer and its mirror image in time (Schuster & Paliwal 1997): `keras.layers.Bidirectional`.

    Every argument is that of `keras.layers.Bidirectional`. Two layers that differ in nothing but their weights run as
    one scan of two directions; any others, and those with dropout or stateful ones, run one after the other.

    Shapes: input (batch, steps, features), optional mask (batch, steps); output (batch, 2 units), or (batch, steps,
    2 units) with `return_sequences`, for `merge_mode="concat"`; units instead of 2 units for "sum", "mul" and "ave";
    both outputs apart for None. With `return_state` also the states of the forward layer, then of the backward one.
    """

    def build(self, sequences_shape: Any, initial_state_shape: Any = None) -> None:
        """Make the weights of both layers for sequences of this shape."""
        super().build(sequences_shape, initial_state_shape)
        self.input_spec = self.forward_layer.input_spec

    def call(self, sequences: Any, initial_state: Any = None, mask: Any = None, training: Any = None) -> Any:
        """As in Keras."""
        if not loop.ON_TORCH:
            return super().call(sequences, initial_state=initial_state, mask=mask, training=training)
        if self.runs_together(sequences, mask):
            mask = loop.boolean_mask(mask, sequences)
            merged, states = self._together(sequences, initial_state, mask, bool(training))
        else:
            merged, states = self._in_turn(sequences, initial_state, mask, training)
        if not self.return_state:
            return merged
        return (*merged, *states) if self.merge_mode is None else (merged, *states)

    # Where a backend fuses both directions (cuDNN), gradients cannot be truncated or clipped on their way, nor what is
    # kept for them rounded, which the layers' inner loop says.
    def _can_attempt_fused_lstm(self, *args: Any, **kwargs: Any) -> bool:
        return not self._bounded and super()._can_attempt_fused_lstm(*args, **kwargs)

    def _can_attempt_fused_gru(self, *args: Any, **kwargs: Any) -> bool:
        return not self._bounded and super()._can_attempt_fused_gru(*args, **kwargs)

    @property
    def _bounded(self) -> bool:
        layers = (self.forward_layer, self.backward_layer)
        return any(getattr(layer, "bounds", None) or getattr(layer, "saved_dtype", None) for layer in layers)

    def _together(
        self, sequences: Tensor, initial_state: Any, mask: Tensor | None, training: bool
    ) -> tuple[Any, tuple[Tensor, ...]]:
        initial = self.initial_states(sequences, initial_state)
        (outputs,), finals = run(self.request(sequences, initial, mask, training))
        if not self.return_sequences:
            layers = (self.forward_layer, self.backward_layer)
            last = [loop.last_output(layer, finals[0][k], initial[k][0], mask) for k, layer in enumerate(layers)]
            merged = self._merge(*last)
        else:
            merged = outputs if self.merge_mode == "concat" else self._merge(*outputs.chunk(2, -1))
        return merged, tuple(final[k] for k in range(2) for final in finals)

    def _in_turn(
        self, sequences: Tensor, initial_state: Any, mask: Any, training: Any
    ) -> tuple[Any, tuple[Tensor, ...]]:
        # On CUDA Keras' own `call` goes around the inner loop of LSTM and GRU, and so around a subclass' own.
        given = (None, None) if initial_state is None else _halves(initial_state)
        outputs: list[Tensor] = []
        states: list[Tensor] = []
        for layer, initial in zip((self.forward_layer, self.backward_layer), given, strict=True):
            options = {"training": training} if layer._call_has_training_arg else {}
            options |= {"mask": mask} if layer._call_has_mask_arg else {}
            returned = layer(sequences, initial_state=initial, **options)
            output, *final = returned if self.return_state else (returned,)
            outputs.append(keras.ops.cast(output, self.compute_dtype))
            states += final
        forward, backward = outputs
        return self._merge(forward, backward.flip(1) if self.return_sequences else backward), tuple(states)

    def runs_together(self, sequences: Any, mask: Any = None) -> bool:
        """Whether one scan serves both directions of these sequences (batch, steps, features)."""
        layers = (self.forward_layer, self.backward_layer)
        return same_kind(layers) and all(
            loop.path(layer, sequences, training=True).way == "scan"
            and layer.compute_dtype == self.compute_dtype
            and not layer.stateful
            and not layer.cell.dropout
            and layer.activity_regularizer is None
            and (mask is None or layer.zero_output_for_mask == self.return_sequences)
            for layer in layers
        )

    def initial_states(self, sequences: Tensor, initial_state: Any = None) -> list[list[Tensor]]:
        """The initial states of each direction, one tensor (batch, units) a state."""
        layers = (self.forward_layer, self.backward_layer)
        if initial_state is None:
            return [layer.get_initial_state(sequences.shape[0]) for layer in layers]
        expected = sum(len(layer.state_size) for layer in layers)
        if len(initial_state) != expected:
            raise ValueError(
                f"{self.name} got {len(initial_state)} initial states; expected {expected}, those of the forward layer "
                "and then those of the backward one"
            )
        given = [keras.ops.convert_to_tensor(state, dtype=self.compute_dtype) for state in initial_state]
        return list(_halves(loop.for_every_row(given, sequences)))

    def request(
        self, sequences: Tensor, initial: Sequence[Sequence[Tensor]], mask: Tensor | None, training: bool = False
    ) -> Request:
        """What both directions ask of one scan; see `loop.request`."""
        return loop.request((self.forward_layer, self.backward_layer), sequences, initial, mask, training)

    def _merge(self, forward: Tensor, backward: Tensor) -> Any:
        """Both directions' outputs, merged as `merge_mode` says."""
        if self.merge_mode is None:
            return forward, backward
        if self.merge_mode == "concat":
            return torch.cat((forward, backward), -1)
        if self.merge_mode == "mul":
            return forward * backward
        return (forward + backward) / 2 if self.merge_mode == "ave" else forward + backward

    def compute_mask(self, _: Any, mask: Any) -> Any:
        """The mask of each output; states have none."""
        if isinstance(mask, (list, tuple)):
            mask = mask[0]
        output = mask if self.return_sequences else None
        outputs = (output, output) if self.merge_mode is None else (output,)
        states = 2 * len(self.forward_layer.state_size) if self.return_state else 0
        return outputs + (None,) * states if len(outputs) + states > 1 else output


def _halves(states: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    half = len(states) // 2
    return list(states[:half]), list(states[half:])
