"""The inner loop of a Keras recurrent layer on torch, one call of its cell a step: slow, and able to do everything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def run(
    layer: Any, sequences: Tensor, initial_state: Sequence[Tensor], mask: Tensor | None, training: bool
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Run `layer.cell` over the steps.

    Args:
        layer: a Keras recurrent layer.
        sequences: (batch, steps, features).
        initial_state: one tensor (batch, units) a state.
        mask: (batch, steps) bool, or None.
        training: whether the cell applies its dropout masks.

    Returns:
        The last output (batch, units), the outputs in the order in which they were made (batch, steps, units; only
        the last one unless the layer returns sequences), and the final states.
    """
    states = list(initial_state)
    outputs: list[Tensor] = []
    steps = range(sequences.shape[1])
    for t in reversed(steps) if layer.go_backwards else steps:
        output, new = layer.cell(sequences[:, t], states, training=training)
        if mask is not None:
            runs = mask[:, t].unsqueeze(-1)
            repeats = outputs and not layer.zero_output_for_mask
            output = torch.where(runs, output, outputs[-1] if repeats else 0)
            new = [torch.where(runs, after, before) for after, before in zip(new, states, strict=True)]
        states = list(new)
        outputs.append(output)
    kept = outputs if layer.return_sequences else outputs[-1:]
    return outputs[-1], torch.stack(kept, 1), states
