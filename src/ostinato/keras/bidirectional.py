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

    def call(self, sequences: Any, initial_state: Any = None, mask: Any = None, training: Any = None) -> Any:
        """As in Keras."""
        if not self.runs_together(sequences, mask):
            return super().call(sequences, initial_state=initial_state, mask=mask, training=training)
        layers, mask = (self.forward_layer, self.backward_layer), loop.boolean_mask(mask)
        initial = self.initial_states(sequences, initial_state)
        outputs, finals = run(self.request(sequences, initial, mask))
        if self.return_sequences:
            merged = self._merge(outputs)
        else:
            last = [loop.last_output(layer, finals[0][k], initial[k][0], mask) for k, layer in enumerate(layers)]
            merged = self._merge(torch.cat(last, -1))
        if not self.return_state:
            return merged
        states = tuple(final[k] for k in range(2) for final in finals)
        return (*merged, *states) if self.merge_mode is None else (merged, *states)

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
        given = [keras.ops.convert_to_tensor(state, dtype=self.compute_dtype) for state in initial_state]
        half = len(given) // 2
        return [given[:half], given[half:]]

    def request(self, sequences: Tensor, initial: Sequence[Sequence[Tensor]], mask: Tensor | None) -> Request:
        """What both directions ask of one scan; see `loop.request`."""
        return loop.request((self.forward_layer, self.backward_layer), sequences, initial, mask)

    def _merge(self, side_by_side: Tensor) -> Any:
        """Both directions' outputs (..., 2 units), merged as `merge_mode` says."""
        if self.merge_mode == "concat":
            return side_by_side
        forward, backward = side_by_side.chunk(2, -1)
        if self.merge_mode is None:
            return forward, backward
        if self.merge_mode == "mul":
            return forward * backward
        return (forward + backward) / (2 if self.merge_mode == "ave" else 1)

    def compute_mask(self, _: Any, mask: Any) -> Any:
        """The mask of each output; states have none."""
        if isinstance(mask, (list, tuple)):
            mask = mask[0]
        output = mask if self.return_sequences else None
        outputs = (output, output) if self.merge_mode is None else (output,)
        states = 2 * len(self.forward_layer.state_size) if self.return_state else 0
        return outputs + (None,) * states if len(outputs) + states > 1 else output

    # Keras runs LSTM and GRU layers around their inner loop on CUDA, where these two say that it may.
    def _can_attempt_fused_lstm(self, mask: Any, initial_state: Any = None) -> bool:
        return False

    def _can_attempt_fused_gru(self, mask: Any, initial_state: Any = None) -> bool:
        return False
