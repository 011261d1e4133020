"""torch's own recurrent modules, each layer of the stack run by one scan.

Whatever these classes do not define is torch's: constructor, parameters, initialization, checks, state dict, pickling.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from operator import attrgetter
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from .. import cells, scan
from ..scan.bounds import check_bounds
from .again import Repeating
from .form import Ask, Form, States, autocasts, by_layer, in_dtype, rounded_by_autocast
from .stream import stream

Backend = scan.Backend | Literal["torch"]

#: The cell behind each `mode` of torch's modules, and its activations.
_CELLS: dict[str, tuple[cells.Cell, dict[str, str]]] = {
    "RNN_TANH": (cells.elman, {"phi": "tanh"}),
    "RNN_RELU": (cells.elman, {"phi": "relu"}),
    "LSTM": (cells.lstm, {}),
    "GRU": (cells.gru, {}),
}

#: Whether `torch.export` records; before 2.7 PyTorch does not say.
_exporting = getattr(torch.compiler, "is_exporting", lambda: False)

_BOUNDS = ("truncate_gradient", "clip_recurrent_gradient")


class Recurrent(Repeating, torch.nn.RNNBase):
    """What LSTM, GRU and RNN share; make one of those.

    Attributes:
        backend: None lets the library choose; "cpu" and "reference" insist on one of the backends of `scan`; "torch"
            runs torch's own implementation.
        truncate_gradient: None, or the number of steps after which gradients are cut; `scan.scan` says how.
        clip_recurrent_gradient: None, or the bound of every state's gradient as a step hands it back; likewise.
        recompute: None, or True or the number of steps that the backward pass runs again at a time; likewise.
        saved_dtype: None, or "float16" or "bfloat16", in which what the backward pass needs is kept; likewise.
    """

    backend: Backend | None = None
    truncate_gradient: int | None = None
    clip_recurrent_gradient: float | None = None
    recompute: bool | int | None = None
    saved_dtype: scan.SavedDtype | None = None
    _settings = attrgetter(
        "mode", "input_size", "batch_first", "proj_size", "_all_weights", "backend",
        "truncate_gradient", "clip_recurrent_gradient", "recompute", "saved_dtype",
    )  # fmt: skip

    def __init__(
        self,
        *args: Any,
        backend: Backend | None = None,
        truncate_gradient: int | None = None,
        clip_recurrent_gradient: float | None = None,
        recompute: bool | int | None = None,
        saved_dtype: scan.SavedDtype | None = None,
        **kwargs: Any,
    ) -> None:
        known = (*get_args(scan.Backend), "torch")
        if backend is not None and backend not in known:
            raise ValueError(f"backend is {backend!r}; expected None or one of {', '.join(map(repr, known))}")
        check_bounds(truncate_gradient, clip_recurrent_gradient, recompute, saved_dtype)
        super().__init__(*args, **kwargs)
        self.backend = backend
        self.truncate_gradient = truncate_gradient
        self.clip_recurrent_gradient = clip_recurrent_gradient
        self.recompute = recompute
        self.saved_dtype = saved_dtype

    def forward(self, input: Tensor | PackedSequence, hx: Tensor | States | None = None) -> Any:
        """The whole stack over a whole sequence, as torch's module of the same name describes it.

        Under autocast the scan keeps the dtype of the weights, because a recurrence adds up what each step rounds off:
        input and states are converted to that dtype, and the output has it. What products multiply is rounded to
        bfloat16, where that is the dtype of autocast and faster.

        Args:
            input: (steps, batch, input_size), with `batch_first` (batch, steps, input_size), unbatched
                (steps, input_size), or a `PackedSequence`.
            hx: the initial state (num_layers * directions, batch, hidden_size), without `batch` if unbatched; for LSTM
                a pair of them, h and c; None is zeros.

        Returns:
            The output of the last layer, shaped or packed as the input with directions * hidden_size features, and the
            final states, shaped as `hx`.

        Raises:
            RuntimeError: torch's own, where a shape or dtype does not fit; or `backend` cannot serve these tensors; or
                torch's own implementation would run them, which cannot truncate or clip gradients, nor round what it
                keeps.
            ValueError: likewise torch's own; or `truncate_gradient` or `clip_recurrent_gradient` is out of its range;
                or `saved_dtype` is given and the module is not float32.
        """
        if hx is None and (found := self._again(input)) is not None:
            y, finals = found
            return y, self._hidden(finals)
        if self._left_to_torch(input, hx) or self.backend == "torch":
            return super().forward(input, hx)
        form, x, states = self._arrange(input, hx)
        run = self._first if hx is None and x is input else self._run
        y, finals = run(x, self._asks(form, states))
        return form.output(y), self._hidden(form.finals(finals))

    def explain(self, input: Tensor | PackedSequence, hx: Tensor | States | None = None) -> str:
        """What `forward` would run for these arguments, and why, in one sentence; runs nothing.

        Raises:
            RuntimeError, ValueError: as `forward`.
        """
        if (reason := self._left_to_torch(input, hx)) or self.backend == "torch":
            return f"torch: {reason}"
        form, x, states = self._arrange(input, hx)
        # the scans of the other layers differ in the input size only
        request = self._asks(form, states)[0](x, ()).rounding(rounded_by_autocast(x))
        choice = scan.choose(request, self.backend)
        return f"{choice.backend}: {choice.reason}"

    def stream(self, batch: int = 1) -> scan.Stream:
        """What runs this module one step at a time, on arrays of NumPy: see `scan.Stream`.

        Args:
            batch: how many sequences are carried side by side.

        Raises:
            ValueError: the module is bidirectional, or `batch` is no whole number of at least 1.
            RuntimeError: the compiled kernels cannot serve the module.
        """
        return stream(self, batch, partial(self._asks, states=()))

    def extra_repr(self) -> str:
        shown = [super().extra_repr(), f"backend={self.backend!r}" if self.backend else "", self._bounds("=")]
        kept = {"recompute": self.recompute, "saved_dtype": self.saved_dtype}
        shown += [f"{name}={value!r}" for name, value in kept.items() if value is not None]
        return ", ".join(filter(None, shown))

    def _bounds(self, sign: str = " is ") -> str:
        """What is truncated and clipped, in words; empty if nothing is."""
        return self._told(_BOUNDS, sign)

    def _told(self, names: Sequence[str], sign: str = " is ") -> str:
        given = {name: getattr(self, name) for name in names}
        return ", ".join(f"{name}{sign}{value!r}" for name, value in given.items() if value is not None)

    def _left_to_torch(self, input: Tensor | PackedSequence, hx: Tensor | States | None) -> str | None:
        """Why torch's own forward must run, or None.

        Raises:
            RuntimeError: gradients would come back through it that are to be truncated or clipped, or what it keeps for
                them is to be rounded.
        """
        x = input.data if isinstance(input, PackedSequence) else input
        if self.backend == "torch":
            reason = "backend='torch' asks for it"
        elif not self._fits(input, hx):
            return "the arguments do not fit together, and its error says why"
        elif self.backend is None and self._recorded():
            return "what is recorded for use elsewhere holds its operation, for sequences of any length"
        elif self.backend is None and not (x.device.type == "cpu" and (x.dtype in scan.KERNEL_DTYPES or autocasts(x))):
            reason = f"our kernels serve the CPU, torch's serve {x.dtype} on {x.device.type}"
        else:
            return None
        if torch.is_grad_enabled() and (asked := self._told((*_BOUNDS, "saved_dtype"))):
            do = "set saved_dtype to None" if self.saved_dtype is not None else "give backend='reference'"
            raise RuntimeError(f"{asked}, which torch's own implementation cannot do, and it would run: {reason}; {do}")
        return reason

    def _recorded(self) -> bool:
        """Whether operations are recorded for another place, which knows torch's own and no gradients but its own."""
        if torch.onnx.is_in_onnx_export() or _exporting():
            return True
        tracing = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
        return bool(tracing) and not self._told((*_BOUNDS, "saved_dtype"))

    def _fits(self, input: Tensor | PackedSequence, hx: Tensor | States | None) -> bool:
        """Whether what torch's own checks leave to its kernels to refuse is in order."""
        x = input.data if isinstance(input, PackedSequence) else input
        states, dims = self._states(hx), x.dim()
        if x is input:
            if dims not in (2, 3) or any(state.dim() != dims for state in states):
                return False
            if x.shape[1 if self.batch_first and dims == 3 else 0] == 0:
                return False
        return all(state.dtype == x.dtype and state.device == x.device for state in states) or autocasts(x)

    def _arrange(self, input: Tensor | PackedSequence, hx: Tensor | States | None) -> tuple[Form, Tensor, States]:
        """Form of the input; input and states checked by torch, batched and sorted."""
        form = Form(input, self.batch_first)
        states, weight = form.batched(self._states(hx)), self._tensor(self._flat_weights_names[0])
        plain = form.batch_sizes is None and form.x.dim() == 3  # torch's checks of the input, where it passes them
        if states or not (plain and form.x.shape[-1] == self.input_size and form.x.dtype == weight.dtype):
            self._update_flat_weights()
            if states:
                self.check_forward_args(form.x, self._hidden(states), form.batch_sizes)
            else:
                self.check_input(form.x, form.batch_sizes)
        return form, *in_dtype(form.x, form.sorted(states), weight.dtype)

    def _tensor(self, name: str) -> Tensor:
        """The weight of this name; where it is a parameter, without the way through `Module.__getattr__`."""
        found = self._parameters.get(name)
        return getattr(self, name) if found is None else found

    def _stored(self) -> list[Tensor | None]:
        return list(map(self._parameters.get, self._flat_weights_names))

    def _asks(self, form: Form, states: States) -> list[Ask]:
        """The scan of every layer, from the first."""
        directions = 2 if self.bidirectional else 1
        tensors = [[self._tensor(name) for name in names] for names in self._all_weights]
        weights = [self._weights(tensors[first : first + directions]) for first in range(0, len(tensors), directions)]
        initials = by_layer(states, len(weights))
        return [partial(self._ask, form, *one) for one in zip(weights, initials, strict=True)]

    def _weights(self, tensors: Sequence[Sequence[Tensor]]) -> list[scan.Weights]:
        """The weights of a layer, of tensors in torch's order: W, U, both biases if any, the projection if any."""
        cut = -1 if self.proj_size else None
        found = []
        for one in tensors:
            W, U, b, b_u = (*one[:cut], None, None)[:4]
            found.append(scan.Weights(W, U, b, b_u, matrices=tuple(one[cut:]) if self.proj_size else ()))
        return found

    def _ask(
        self, form: Form, weights: list[scan.Weights], initial: States | None, x: Tensor, below: tuple[Tensor, ...]
    ) -> scan.Request:
        cell, activations = (cells.projected_lstm, {}) if self.proj_size else _CELLS[self.mode]
        return scan.make_request(
            cell, x, weights, initial, layout=form.layout, batch_sizes=form.batch_sizes, activations=activations,
            truncate=self.truncate_gradient, clip=self.clip_recurrent_gradient, recompute=self.recompute,
            saved_dtype=self.saved_dtype,
        )  # fmt: skip

    def _states(self, hx: Any) -> States:
        return () if hx is None else tuple(hx) if self.mode == "LSTM" else (hx,)

    def _hidden(self, states: States) -> Any:
        return states if self.mode == "LSTM" else states[0]


class LSTM(Recurrent, torch.nn.LSTM):
    """`torch.nn.LSTM`, run by `ostinato.scan` (Hochreiter & Schmidhuber 1997, Neural Computation 9(8)).

    Arguments, shapes, parameters and state dict are torch's; see `cells.lstm` for the equations, and
    `cells.projected_lstm` for those of `proj_size` > 0.

    Args:
        backend, truncate_gradient, clip_recurrent_gradient, recompute, saved_dtype: keyword only; see `Recurrent`.
    """


class GRU(Recurrent, torch.nn.GRU):
    """`torch.nn.GRU`, run by `ostinato.scan` (Cho et al. 2014, 1406.1078).

    Arguments, shapes, parameters and state dict are torch's; see `cells.gru` for the equations.

    Args:
        backend, truncate_gradient, clip_recurrent_gradient, recompute, saved_dtype: keyword only; see `Recurrent`.
    """


class RNN(Recurrent, torch.nn.RNN):
    """`torch.nn.RNN`, run by `ostinato.scan` (Elman 1990, Cognitive Science 14, 179-211).

    Arguments, shapes, parameters and state dict are torch's; see `cells.elman` for the equations.

    Args:
        backend, truncate_gradient, clip_recurrent_gradient, recompute, saved_dtype: keyword only; see `Recurrent`.
    """
