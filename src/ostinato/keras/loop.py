"""The inner loop of a Keras recurrent layer as one scan.

Keras' rule for a masked step: the states are carried, and the output of the step before is repeated, zeros before the
first step that runs. A scan repeats the state instead, which is another thing only before the first step that runs,
and only if the initial state is not zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import keras
import torch
from keras import ops as kops
from keras.src import backend
from torch import Tensor

from ..scan import Request, make_request, run
from ..scan.bounds import check_clip, check_truncate

Way = Literal["scan", "steps", "bounded", "shapes", "keras"]

ON_TORCH = keras.backend.backend() == "torch"

#: Whether Keras' backend makes gradients at all.
_GRADIENTS = keras.backend.backend() in ("torch", "jax", "tensorflow")


@dataclass(frozen=True)
class Path:
    """How a layer goes through its steps, and why.

    Attributes:
        way: "scan", "steps" (one call of the cell a step), "bounded" (likewise, with gradients truncated and clipped on
            the way), "shapes" (empty outputs, for tensors without data) or "keras" (Keras' own inner loop).
        reason: one sentence, without its full stop.
    """

    way: Way
    reason: str


_SCAN = Path("scan", "")
_SHAPES = Path("shapes", "a meta tensor has a shape and no data")
_TRACED = Path("steps", "a traced graph holds torch operations only")
_RECURRENT_DROPOUT = Path("steps", "recurrent dropout in training has a mask a gate, which no scan takes yet")
_GATE_DROPOUT = Path("steps", "dropout with implementation=1 has a mask a gate, which no scan takes; 2 is fast")
_OTHER_BACKEND = Path("keras", f"Keras runs on {keras.backend.backend()}; set KERAS_BACKEND=torch for the kernels")


def path(layer: Any, sequences: Any, training: bool) -> Path:
    """The way this layer takes through these sequences (batch, steps, features)."""
    found = _path(layer, sequences, training)
    bounded = _GRADIENTS and layer.bounds and found.way in ("steps", "keras")
    return Path("bounded", found.reason) if bounded else found


def _path(layer: Any, sequences: Any, training: bool) -> Path:
    if not ON_TORCH:
        return _OTHER_BACKEND
    if sequences.is_meta:
        return _SHAPES
    if training and (dropout := _gate_dropout(layer.cell)):
        return dropout
    if torch.compiler.is_compiling() or torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
        return _TRACED
    device = sequences.device.type
    if device == "cpu":
        return _SCAN
    # Keras' unrolled loop fails on a mask with go_backwards, so unrolled layers keep away from it.
    return Path("steps" if layer.unroll else "keras", f"there are no kernels yet for the device {device}")


def _gate_dropout(cell: Any) -> Path | None:
    if cell.recurrent_dropout:
        return _RECURRENT_DROPOUT
    return _GATE_DROPOUT if cell.dropout and getattr(cell, "implementation", 2) == 1 else None


def boolean_mask(mask: Any, sequences: Tensor) -> Tensor | None:
    """The mask of sequences (batch, steps, features) as (batch, steps) bool.

    Args:
        mask: None, or (batch, steps) or (batch, steps, 1) of any dtype, or a list of one tensor; one row serves all.

    Raises:
        ValueError: the mask has another shape.
    """
    if isinstance(mask, (list, tuple)) and not isinstance(mask[0], (list, tuple)):
        mask = mask[0]
    if mask is None:
        return None
    tensor: Tensor = keras.ops.convert_to_tensor(mask)
    expected = tuple(sequences.shape[:2])
    if tensor.dim() in (2, 3) and tensor.shape[0] == 1:
        tensor = tensor.expand(expected[0], *tensor.shape[1:])
    if tuple(tensor.shape) not in (expected, (*expected, 1)):
        raise ValueError(f"mask has the shape {tuple(tensor.shape)}; expected (batch, steps) = {expected}")
    return tensor.reshape(expected).to(torch.bool)


def for_every_row(states: Sequence[Tensor], sequences: Tensor) -> list[Tensor]:
    """States (batch, units) for sequences (batch, steps, features); one row serves all, as in Keras."""
    batch = sequences.shape[0]
    return [state.expand(batch, -1) if state.dim() == 2 and state.shape[0] == 1 else state for state in states]


def request(
    layers: Sequence[Any],
    sequences: Tensor,
    initial_states: Sequence[Sequence[Tensor]] | None,
    mask: Tensor | None,
    training: bool = False,
) -> Request:
    """What one layer, or the two of a bidirectional one, ask of a scan.

    Args:
        layers: one `Recurrent` layer a direction, of one kind of cell; two of them drop no inputs.
        sequences: (batch, steps, features).
        initial_states: for each layer, one tensor (batch, units) a state; None is zeros.
        mask: (batch, steps) bool, or None.
        training: whether dropout and random masks are drawn.
    """
    layer = layers[0]
    dtype = getattr(torch, layer.cell.compute_dtype)
    inputs = [one.scan_inputs(sequences, training) for one in layers]
    x = inputs[0][0]
    return make_request(
        layer.equations,
        x if x.dtype == dtype else x.to(dtype),
        [one.scan_weights(dtype) for one in layers],
        None if initial_states is None else [torch.stack(one_kind) for one_kind in zip(*initial_states, strict=True)],
        reverse=[one.go_backwards for one in layers],
        mask=mask,
        padding="zero" if layer.zero_output_for_mask else "repeat",
        activations=layer.scan_activations(),
        sequences=[[one.to(dtype) for one in further] for _, further in inputs],
        outputs=layer.shown,
        truncate=layer.truncate_gradient,
        clip=layer.clip_recurrent_gradient,
        recompute=layer.recompute,
        saved_dtype=layer.saved_dtype,
    )


def run_plain(layer: Any, sequences: Tensor, training: bool) -> Any:
    """What the layer returns for sequences without mask, from states of zero."""
    (outputs,), finals = run(request([layer], sequences, None, None, training))
    shown = outputs.flip(1) if layer.go_backwards else outputs
    output = shown if layer.return_sequences else finals[0][0]
    return (output, *(final[0] for final in finals)) if layer.return_state else output


def run_scan(
    layer: Any, sequences: Tensor, initial_state: Sequence[Tensor], mask: Tensor | None, training: bool
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """The inner loop of one layer; arguments and results are those of `steps.run`."""
    asked = request([layer], sequences, [initial_state], mask, training)
    found, finals = run(asked)
    states = [final[0] for final in finals]
    outputs, final, initial = (
        of_shown[0] if len(of_shown) == 1 else torch.cat(of_shown, -1)
        for of_shown in (found, [states[k] for k in asked.outputs], [initial_state[k] for k in asked.outputs])
    )
    last = last_output(layer, final, initial, mask)
    if not layer.return_sequences:
        return last, last.unsqueeze(1), states
    if mask is not None and not layer.zero_output_for_mask and _waits(mask, initial, layer.go_backwards):
        outputs = torch.where(_begun(mask, layer.go_backwards).unsqueeze(-1), outputs, 0)
    return last, outputs.flip(1) if layer.go_backwards else outputs, states


def run_bounded(layer: Any, sequences: Any, initial_state: Sequence[Any], mask: Any, training: bool) -> Any:
    """The inner loop of one layer, one call of its cell a step, with gradients as `scan.scan` truncates and clips them.

    It runs on every backend of Keras that makes gradients; arguments and results are those of `steps.run`.
    """
    mask = mask[0] if isinstance(mask, (list, tuple)) else mask
    batch, steps = kops.shape(sequences)[:2]
    runs = (
        kops.ones((batch, steps, 1), "bool") if mask is None else kops.reshape(kops.cast(mask, "bool"), (-1, steps, 1))
    )
    bound = layer.clip_recurrent_gradient
    most = 0.0 if bound is None else check_clip(bound)
    clipped = _clipped(most) if most else None

    def step(inputs: Any, before: Any) -> Any:
        x, cut, on = inputs
        *states, shown = (kops.where(cut, kops.stop_gradient(one), one) for one in before)
        entering = states if clipped is None else [clipped(state) for state in states]
        output, new = layer.cell(x, entering, training=training)
        new = [kops.where(on, after, state) for after, state in zip(new, states, strict=True)]
        output = kops.where(on, output, kops.zeros_like(output) if layer.zero_output_for_mask else shown)
        return output, [*new, output]

    # a masked step repeats the output before it, which the backends' own loops do in ways of their own
    nothing = kops.zeros((batch, layer.cell.output_size), initial_state[0].dtype)
    last, outputs, (*states, _) = backend.rnn(
        step,
        (sequences, _borders(layer, runs), runs),
        [*initial_state, nothing],
        go_backwards=layer.go_backwards,
        unroll=layer.unroll,
        input_length=sequences.shape[1],
        return_all_outputs=layer.return_sequences,
    )
    return last, outputs, states


def _borders(layer: Any, runs: Any) -> Any:
    """(batch, steps, 1): whether gradients are cut on their way back from a step, given which steps run.

    A border of pieces cuts in rows that have steps on both of its sides.
    """
    if layer.truncate_gradient is None:
        return kops.zeros_like(runs)
    running = kops.cast(runs, "int32")
    until = kops.cumsum(running, axis=1)
    first, before = (1, until) if layer.go_backwards else (0, until - running)
    border = kops.reshape(kops.arange(kops.shape(runs)[1], dtype="int32") + first, (1, -1, 1))
    inside = kops.logical_and(before > 0, until[:, -1:] > before)
    return kops.logical_and(border % check_truncate(layer.truncate_gradient) == 0, inside)


def _clipped(most: float) -> Any:
    """A function that returns its argument and clips the gradient to within +-most."""

    @kops.custom_gradient  # type: ignore[untyped-decorator]
    def identity(state: Any) -> Any:
        def grad(*upstream: Any, **named: Any) -> Any:
            # torch's backend gives the saved argument first and names the gradient
            (gradient,) = named.values() if named else upstream
            # kops.clip rounds the bounds to float32
            return kops.maximum(kops.minimum(gradient, most), -most)

        return kops.copy(state), grad

    return identity


def last_output(layer: Any, state: Tensor, initial: Tensor, mask: Tensor | None) -> Tensor:
    """The output (batch, units) of the last step, from the final state and the initial one."""
    if mask is None:
        return state
    if layer.zero_output_for_mask:
        shown = mask[:, 0 if layer.go_backwards else -1]
    elif _waits(mask, initial, layer.go_backwards):
        shown = mask.any(1)
    else:
        return state
    return torch.where(shown.unsqueeze(-1), state, 0)


def shapes(layer: Any, sequences: Tensor, initial_state: Sequence[Tensor]) -> tuple[Tensor, Tensor, list[Tensor]]:
    """What `steps.run` returns, without data."""
    batch, steps = sequences.shape[:2]
    size = layer.cell.output_size
    last = initial_state[0].new_empty(batch, size)
    outputs = last.new_empty(batch, steps if layer.return_sequences else 1, size)
    return last, outputs, [torch.empty_like(state) for state in initial_state]


def _waits(mask: Tensor, initial: Tensor, backwards: bool) -> bool:
    """Whether a row with an initial state other than zero may begin with a step that does not run."""
    return not bool(mask[:, -1 if backwards else 0].all()) and bool(initial.any())


def _begun(mask: Tensor, backwards: bool) -> Tensor:
    """(batch, steps): whether a step of this row has run, this one or one before it in the order of running."""
    if backwards:
        return mask.flip(1).cumsum(1).flip(1) > 0
    return mask.cumsum(1) > 0
