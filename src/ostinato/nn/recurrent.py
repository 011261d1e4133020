"""torch's own recurrent modules, each layer of the stack run by one scan.

Whatever these classes do not define is torch's: constructor, parameters, initialization, checks, state dict, pickling.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn.functional import dropout
from torch.nn.utils.rnn import PackedSequence

from .. import cells, scan

Backend = scan.Backend | Literal["torch"]
States = tuple[Tensor, ...]

#: The cell behind each `mode` of torch's modules, and its activations.
_CELLS: dict[str, tuple[cells.Cell, dict[str, str]]] = {
    "RNN_TANH": (cells.elman, {"phi": "tanh"}),
    "RNN_RELU": (cells.elman, {"phi": "relu"}),
    "LSTM": (cells.lstm, {}),
    "GRU": (cells.gru, {}),
}


class Recurrent(torch.nn.RNNBase):
    """What LSTM, GRU and RNN share; make one of those.

    Attributes:
        backend: None lets the library choose; "cpu" and "reference" insist on one of the backends of `scan`; "torch"
            runs torch's own implementation.
    """

    backend: Backend | None = None

    def __init__(self, *args: Any, backend: Backend | None = None, **kwargs: Any) -> None:
        known = (*get_args(scan.Backend), "torch")
        if backend is not None and backend not in known:
            raise ValueError(f"backend is {backend!r}; expected None or one of {', '.join(map(repr, known))}")
        super().__init__(*args, **kwargs)
        self.backend = backend

    def forward(self, input: Tensor | PackedSequence, hx: Tensor | States | None = None) -> Any:
        """The whole stack over a whole sequence, as torch's module of the same name describes it.

        Under autocast the scan keeps the dtype of the weights, because a recurrence adds up what each step rounds off:
        input and states are converted to that dtype, and the output has it.

        Args:
            input: (steps, batch, input_size), with `batch_first` (batch, steps, input_size), unbatched
                (steps, input_size), or a `PackedSequence`.
            hx: the initial state (num_layers * directions, batch, hidden_size), without `batch` if unbatched; for LSTM
                a pair of them, h and c; None is zeros.

        Returns:
            The output of the last layer, shaped or packed as the input with directions * hidden_size features, and the
            final states, shaped as `hx`.

        Raises:
            RuntimeError: torch's own, where a shape or dtype does not fit; or `backend` cannot serve these tensors.
            ValueError: likewise torch's own.
        """
        if self.backend == "torch" or self._left_to_torch(input, hx):
            return super().forward(input, hx)
        x, states, batch_sizes = self._arrange(input, hx)
        finals = []
        with torch.autocast(x.device.type, enabled=False) if _autocasts(x) else nullcontext():
            for number, (weights, initial) in enumerate(self._layers(states)):
                if number and self.dropout:
                    x = dropout(x, self.dropout, self.training)
                x, final = scan.run(self._request(x, weights, initial, batch_sizes), self.backend)
                finals.append(final)
        return self._rearrange(input, x, tuple(torch.cat(state) for state in zip(*finals, strict=True)))

    def explain(self, input: Tensor | PackedSequence, hx: Tensor | States | None = None) -> str:
        """What `forward` would run for these arguments, and why, in one sentence; runs nothing.

        Raises:
            RuntimeError, ValueError: as `forward`.
        """
        if self.backend == "torch":
            return "torch: backend='torch' asks for it"
        if reason := self._left_to_torch(input, hx):
            return f"torch: {reason}"
        x, states, batch_sizes = self._arrange(input, hx)
        choice = scan.choose(self._request(x, *self._layers(states)[0], batch_sizes), self.backend)
        return f"{choice.backend}: {choice.reason}"

    def extra_repr(self) -> str:
        return super().extra_repr() + (f", backend={self.backend!r}" if self.backend else "")

    def _left_to_torch(self, input: Tensor | PackedSequence, hx: Tensor | States | None) -> str | None:
        """Why torch's own forward must run, or None."""
        if self.proj_size:
            if self.backend:
                raise RuntimeError(
                    f"backend={self.backend!r} cannot serve proj_size={self.proj_size}; leave backend=None or 'torch'"
                )
            return f"a projection (proj_size={self.proj_size}) runs on torch's own path only"
        if not self._fits(input, hx):
            return "the arguments do not fit together, and its error says why"
        x = input.data if isinstance(input, PackedSequence) else input
        if self.backend is None and not (x.device.type == "cpu" and x.dtype in scan.KERNEL_DTYPES):
            return f"our kernels serve float32 and float64 on the CPU, torch's serve {x.dtype} on {x.device.type}"
        return None

    def _fits(self, input: Tensor | PackedSequence, hx: Tensor | States | None) -> bool:
        """Whether what torch's own checks leave to its kernels to refuse is in order."""
        x = input.data if isinstance(input, PackedSequence) else input
        tensors = (x, *self._states(hx))
        if x is input:
            if {tensor.dim() for tensor in tensors} not in ({2}, {3}):
                return False
            if x.shape[1 if self.batch_first and x.dim() == 3 else 0] == 0:
                return False
        return _autocasts(x) or len({(tensor.dtype, tensor.device) for tensor in tensors}) == 1

    def _arrange(
        self, input: Tensor | PackedSequence, hx: Tensor | States | None
    ) -> tuple[Tensor, States, Tensor | None]:
        """Input and states checked by torch, batched and sorted, with the batch sizes of a packed input."""
        self._update_flat_weights()
        if isinstance(input, PackedSequence):
            x, batch_sizes, order = input.data, input.batch_sizes, input.sorted_indices
        else:
            x, batch_sizes, order = input, None, None
        states = self._states(hx)
        if batch_sizes is None and x.dim() == 2:
            x = x.unsqueeze(self._batch_dim)
            states = tuple(state.unsqueeze(1) for state in states)
        if states:
            self.check_forward_args(x, self._hidden(states), batch_sizes)
            states = self._states(self.permute_hidden(self._hidden(states), order))
        else:
            self.check_input(x, batch_sizes)
        if _autocasts(x):
            dtype = self.all_weights[0][0].dtype
            x, states = x.to(dtype), tuple(state.to(dtype) for state in states)
        return x, states, batch_sizes

    def _rearrange(self, input: Tensor | PackedSequence, y: Tensor, states: States) -> Any:
        """Output and final states in the form of the input."""
        if isinstance(input, PackedSequence):
            hidden = self.permute_hidden(self._hidden(states), input.unsorted_indices)
            return PackedSequence(y, *input[1:]), hidden
        if input.dim() == 2:
            y = y.squeeze(self._batch_dim)
            states = tuple(state.squeeze(1) for state in states)
        return y, self._hidden(states)

    def _layers(self, states: States) -> list[tuple[list[scan.Weights], States | None]]:
        """Weights of every direction and initial states of every layer, from the first."""
        directions = 2 if self.bidirectional else 1
        four = [(*tensors, None, None)[:4] for tensors in self.all_weights]
        weights = [scan.Weights(W, U, b, b_u) for W, U, b, b_u in four]
        by_layer = [weights[first : first + directions] for first in range(0, len(weights), directions)]
        if not states:
            return [(one, None) for one in by_layer]
        return list(zip(by_layer, zip(*(state.chunk(len(by_layer)) for state in states), strict=True), strict=True))

    def _request(
        self, x: Tensor, weights: list[scan.Weights], initial: States | None, batch_sizes: Tensor | None
    ) -> scan.Request:
        cell, activations = _CELLS[self.mode]
        return scan.make_request(
            cell,
            x,
            weights,
            initial,
            layout="packed" if batch_sizes is not None else "batch" if self.batch_first else "time",
            batch_sizes=batch_sizes,
            activations=activations,
        )

    @property
    def _batch_dim(self) -> int:
        return 0 if self.batch_first else 1

    def _states(self, hx: Any) -> States:
        return () if hx is None else tuple(hx) if self.mode == "LSTM" else (hx,)

    def _hidden(self, states: States) -> Any:
        return states if self.mode == "LSTM" else states[0]


def _autocasts(x: Tensor) -> bool:
    return x.is_floating_point() and torch.is_autocast_enabled(x.device.type)


class LSTM(Recurrent, torch.nn.LSTM):
    """`torch.nn.LSTM`, run by `ostinato.scan` (Hochreiter & Schmidhuber 1997, Neural Computation 9(8)).

    Arguments, shapes, parameters and state dict are torch's; see `cells.lstm` for the equations. `proj_size` > 0 runs
    on torch's own path (`explain` says so).

    Args:
        backend: keyword only; see `Recurrent`.
    """


class GRU(Recurrent, torch.nn.GRU):
    """`torch.nn.GRU`, run by `ostinato.scan` (Cho et al. 2014, 1406.1078).

    Arguments, shapes, parameters and state dict are torch's; see `cells.gru` for the equations.

    Args:
        backend: keyword only; see `Recurrent`.
    """


class RNN(Recurrent, torch.nn.RNN):
    """`torch.nn.RNN`, run by `ostinato.scan` (Elman 1990, Cognitive Science 14, 179-211).

    Arguments, shapes, parameters and state dict are torch's; see `cells.elman` for the equations.

    Args:
        backend: keyword only; see `Recurrent`.
    """
