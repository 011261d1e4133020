"""The one place that chooses how a scan is run, and can say why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

import torch
from torch import Tensor

from ..cells import Cell
from . import cpu, precision, reference
from .bounds import SavedDtype
from .flow import recorded
from .listeners import Listeners
from .request import ActivationLike, Layout, Padding, Request, Weights, make_request

Backend = Literal["cpu", "reference"]

#: Output sequences and final states.
Results = tuple[tuple[Tensor, ...], tuple[Tensor, ...]]


@dataclass(frozen=True)
class Choice:
    """How a scan is run, and why.

    Attributes:
        backend: "cpu" (the compiled kernels) or "reference" (the equations on torch tensors).
        reason: one sentence.
    """

    backend: Backend
    reason: str


def scan(
    cell: Cell,
    x: Tensor,
    weights: Sequence[Weights],
    initial_state: Sequence[Tensor] | None = None,
    *,
    layout: Layout = "batch",
    reverse: Sequence[bool] | None = None,
    lengths: Sequence[int] | Tensor | None = None,
    batch_sizes: Tensor | None = None,
    mask: Tensor | None = None,
    padding: Padding = "zero",
    activations: Mapping[str, ActivationLike] | None = None,
    sequences: Sequence[Sequence[Tensor]] | None = None,
    outputs: Sequence[str] | None = None,
    truncate: int | None = None,
    clip: float | None = None,
    recompute: bool | int | None = None,
    saved_dtype: SavedDtype | None = None,
    backend: Backend | None = None,
) -> tuple[Any, tuple[Tensor, ...]]:
    """A cell over a whole sequence, in one or two directions.

    Args:
        cell: the equations of one step.
        x: (batch, steps, input size), (steps, batch, input size) or packed (tokens, input size), as `layout` says.
        weights: the weights of each direction; two make the outputs of both stand side by side.
        initial_state: one tensor (directions, batch, size of the state) a state, in the cell's order; None is zeros.
        layout: "batch", "time" or "packed".
        reverse: for each direction whether it runs from the last step to the first; by default the second does.
            Outputs stand at their own step either way.
        lengths: (batch) number of steps of each row, 0..steps; later steps do not run.
        batch_sizes: with "packed", how many rows are alive at each step (`PackedSequence.batch_sizes`).
        mask: (batch, steps) bool; a step that is False does not run and carries the states.
        padding: the output at steps that did not run: "zero", or "repeat" the state carried so far.
        activations: other run-time activations than the cell's: {"phi": name or function, "sigma": ...}.
        sequences: for each direction the cell's further input sequences and masks, laid out as x with `units` features.
        outputs: names of the states whose whole sequences are wanted; None is the first state's.
        truncate: cut the gradient into pieces of so many steps, from step 0 on (truncated backpropagation through time,
            Williams & Peng 1990): none passes from a piece to the one before. A row's initial state is reached from the
            piece where the row's first step is. None: no cut.
        clip: bring each entry of the gradient of a state, as a step hands it to the one before, to within +-clip. None:
            leave it.
        recompute: keep the states at every so many steps alone, and let the backward pass run the steps between again
            (Chen et al. 2016, 1604.06174): less memory for more time. True is the square root of the steps. Outputs are
            the same bit for bit, gradients up to rounding. The compiled kernels do this; the reference keeps all.
        saved_dtype: "float16" or "bfloat16": what the backward pass needs is rounded to that while it is kept, for half
            to three fifths of the memory; states and all that is computed stay float32. Outputs are the same bit for
            bit. Gradients differ by about 1 in 2500, with "bfloat16" 1 in 350, and by more where gates near 1 carry a
            state through many steps (docs/performance.md). Beyond 65504 a float16 is infinite. None: no rounding.
        backend: "cpu" or "reference" to insist on one; None lets the library choose.

    Returns:
        The outputs, laid out as x with directions * (size of the state) features, a tuple of them if `outputs` is
        given; and the final states, one tensor (directions, batch, size of the state) a state.

    Raises:
        ValueError: an argument does not fit; the sentence names it.
        RuntimeError: the backend asked for cannot serve this request; or gradients are wanted, `saved_dtype` is given,
            and the compiled kernels cannot serve it; or, from the backward pass, a gradient with
            `clip` is to be differentiated again.
    """
    request = make_request(
        cell, x, weights, initial_state, layout=layout, reverse=reverse, lengths=lengths, batch_sizes=batch_sizes,
        mask=mask, padding=padding, activations=activations, sequences=sequences, outputs=outputs,
        truncate=truncate, clip=clip, recompute=recompute, saved_dtype=saved_dtype,
    )  # fmt: skip
    found, finals = run(request, backend)
    return (found[0] if outputs is None else found), finals


def choose(request: Request, backend: Backend | None = None) -> Choice:
    """The backend that serves this request, and why.

    Raises:
        RuntimeError: `backend` names one that cannot serve it, or it asks for `saved_dtype` of the reference.
        ValueError: there is no such backend.
    """
    if backend not in (None, "cpu", "reference"):
        raise ValueError(f"backend is {backend!r}; expected 'cpu', 'reference' or None")
    obstacle = "the reference was asked for" if backend == "reference" else cpu.why_not(request)
    if obstacle is None:
        return _compiled(request.cell.name, cpu.instruction_set(), precision.parts(request), request.x.dtype)
    if backend == "cpu":
        raise RuntimeError(f"backend='cpu' cannot serve this scan: {obstacle}")
    if request.saved_dtype is not None and request.wants_gradients:
        raise RuntimeError(
            f"saved_dtype is {str(request.saved_dtype).removeprefix('torch.')!r}, which the compiled kernels alone can "
            f"do, and they do not run: {obstacle}; set it to None"
        )
    return Choice("reference", obstacle)


@lru_cache(maxsize=256)
def _compiled(cell: str, instruction_set: str, parts: int, dtype: torch.dtype) -> Choice:
    widened = f", {str(dtype).removeprefix('torch.')} as float32" if dtype in cpu.WIDENED else ""
    return Choice("cpu", f"compiled kernel of {cell}, {instruction_set}{widened}{precision.NAMES[parts]}")


_watchers: Listeners[Choice] = Listeners()


def watch() -> AbstractContextManager[list[Choice]]:
    """Collect the `Choice` of every scan that this thread runs inside the `with` block."""
    return _watchers.listen()


def tell(choice: Choice) -> None:
    """Have everybody who watches this thread know of a scan that runs."""
    _watchers.tell(choice)


def run(request: Request, backend: Backend | None = None) -> Results:
    """The sequences of `request.outputs`, and the final states; see `scan`."""
    # the wrapper that keeps the compiler out of a function costs as much as a small layer's input product
    return _outside(request, backend) if torch.compiler.is_compiling() else _run(request, backend)


def _run(request: Request, backend: Backend | None) -> Results:
    choice = choose(request, backend)
    tell(choice)
    if choice.backend == "reference":
        return reference.run(request)
    if request.mask is None or request.padding == "repeat":
        return cpu.run(request)
    # behind a masked step the kernels need the state carried so far, so zeros are put in afterwards
    found, states = cpu.run(replace(request, padding="repeat"))
    mask = request.mask if request.layout == "batch" else request.mask.T
    return tuple(torch.where(mask.unsqueeze(-1), y, 0) for y in found), states


_outside: Callable[[Request, Backend | None], Results] = torch.compiler.disable(
    lambda request, backend: _run(recorded(request), backend)
)
