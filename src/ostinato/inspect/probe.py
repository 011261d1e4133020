"""A model and the sequences that it is asked about."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from .. import scan
from ..errors import InputError
from .calls import Call, Watch, is_keras, layers, watched
from .rows import as_rows, by_row, check_count, running, states

#: A scalar loss of the outputs and the targets.
Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Recurrence:
    """One recurrent layer, as it ran on the sequences of a probe.

    Attributes:
        name: of the layer.
        request: its scan, by rows; see `rows.as_rows`.
        states: by state its values after every step, (directions, rows, steps, size).
    """

    name: str
    request: scan.Request
    states: Mapping[str, Tensor]


class Probe:
    """A model outside training, and sequences to run through it.

    Args:
        model: a Keras model on torch, or a torch module, with recurrent layers of this library. It takes the sequences
            as its one argument and returns its outputs, or a tuple that begins with them.
        x: the sequences as the model takes them: (N, T, F) floats, (N, T) integers, both time first where not
            `batch_first`, or packed. Floats get the dtype of the model's weights.
        batch_first: whether the batch comes first in input and output; None is what a recurrent module says of itself,
            and true of any other model.

    Attributes:
        x: (N, T, F) or (N, T), zeros behind the ends of rows of unlike length.
        lengths: (N) of packed rows, else None.

    Raises:
        InputError: the model has no recurrent layer of this library, or carries states from call to call, or x is of
            another shape or kind, or empty, or holds numbers that are not finite.
    """

    def __init__(self, model: torch.nn.Module, x: Any, *, batch_first: bool | None = None) -> None:
        self.model = _checked(model)
        self.batch_first = bool(getattr(model, "batch_first", True)) if batch_first is None else batch_first
        self.lengths: Tensor | None = None
        if isinstance(x, PackedSequence):
            x, self.lengths = pad_packed_sequence(x, batch_first=True)
        else:
            x = _tensor(x)
            x = x if self.batch_first or x.dim() < 2 else x.transpose(0, 1)
        like = next((one for one in model.parameters() if one.is_floating_point()), torch.zeros(()))
        self.x: Tensor = _sequences(x).to(like.device)
        if self.x.is_floating_point():
            self.x = self.x.to(like.dtype)
        if is_keras(model):
            _check_input_shape(model, self.x)

    @property
    def steps(self) -> int:
        """T."""
        return int(self.x.shape[1])

    def _fed(self, x: Tensor, lengths: Tensor | None) -> Any:
        """Sequences (N, T, ...) in the form in which the model takes them."""
        if lengths is not None:
            return pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        return x if self.batch_first else x.transpose(0, 1)

    def outputs(self, x: Tensor) -> Any:
        """What the model returns for sequences as `x`, or its first part: a tensor or a packed sequence.

        Raises:
            InputError: it is neither.
        """
        return self._returned(x, self.lengths)

    def finals(self, x: Tensor, rows: Sequence[int]) -> Tensor:
        """(M, O): the outputs at the last steps of sequences x (M, T, ...), each as long as that row of the probe."""
        lengths = None if self.lengths is None else self.lengths[list(rows)]
        return self.final(self._returned(x, lengths), self.last[list(rows)])

    def _returned(self, x: Tensor, lengths: Tensor | None) -> Any:
        with _outside_training(self.model):
            found = self.model(self._fed(x, lengths), **({"training": False} if is_keras(self.model) else {}))
        if isinstance(found, (tuple, list)) and not isinstance(found, PackedSequence):
            found = found[0]
        if not isinstance(found, (Tensor, PackedSequence)):
            raise InputError(f"the model returns a {type(found).__name__}; expected a tensor")
        return found

    def final(self, returned: Any, last: Tensor) -> Tensor:
        """(N, O): the outputs at the last step of each row; last (N) are the numbers of these steps."""
        packed = isinstance(returned, PackedSequence)
        outputs: Tensor = pad_packed_sequence(returned, batch_first=True)[0] if packed else returned
        if outputs.dim() == 3 and not (packed or self.batch_first):
            outputs = outputs.transpose(0, 1)
        if outputs.dim() == 1:
            outputs = outputs.unsqueeze(1)
        if outputs.dim() not in (2, 3):
            raise InputError(f"the model returns the shape {tuple(outputs.shape)}; expected (N, O) or (N, T, O)")
        if outputs.dim() == 2:
            return outputs
        rows = torch.arange(len(outputs), device=outputs.device)
        # a model may shorten the sequence; its last step is then the last there is
        return outputs[rows, last.to(outputs.device).clamp(max=outputs.shape[1] - 1)]

    @cached_property
    def runs(self) -> Tensor:
        """(N, T) bool: the steps that run, as the first recurrent layer has it; all, where it sees another number of
        them than there are in x."""
        with torch.no_grad(), watched(self.model) as watch:
            self.outputs(self.x)
        call = _calls(watch)[0]
        found = _unsorted(call, running(call.flows[0].request))
        return found if found.shape == self.x.shape[:2] else torch.ones(self.x.shape[:2], dtype=torch.bool)

    @cached_property
    def last(self) -> Tensor:
        """(N): the number of the last step of each row that runs."""
        steps = torch.arange(self.steps)
        return torch.where(self.runs, steps, 0).amax(1)

    def recurrences(self, rows: int | None = None) -> list[Recurrence]:
        """Every recurrent layer on the first rows of x; None is all.

        Raises:
            InputError: rows is no whole number of at least 1.
        """
        if rows is not None:
            check_count("rows", rows)
        with torch.no_grad(), watched(self.model) as watch:
            self.outputs(self.x)
        return [one for call in _calls(watch) for one in recurrences(call, rows)]

    def pull(
        self, y: Any = None, loss: Loss | None = None, output: int | None = None, exact: bool = False
    ) -> tuple[list[Call], Tensor]:
        """One backward pass through the model.

        Args:
            y: targets, in the form of the outputs. None: what is differentiated is the mean over the rows of the sum of
                the outputs, at the last step of a row where they are a sequence.
            loss: of outputs and targets; None is the one that a Keras model was compiled with, or else the mean of
                squared errors.
            output: number of the one output that is meant, without y; None is all.
            exact: whether layers are to leave out `truncate_gradient`, `clip_recurrent_gradient` and `saved_dtype`,
                with which gradients are no derivatives.

        Returns:
            The calls of the recurrent layers, whose flows are filled; and the gradient with respect to x, or for
            integers that with respect to the input of the first recurrent layer, by rows (N, T, features).

        Raises:
            InputError: y does not fit the outputs, or nothing depends on the recurrent layers.
        """
        last = self.last
        x = self.x.detach().clone()
        with torch.enable_grad(), watched(self.model, from_first=True, exact=exact) as watch:
            if x.is_floating_point():
                x.requires_grad_(True)
            outputs = self.outputs(x)
            calls = _calls(watch)
            total = self._total(outputs, last, output) if y is None else self._loss(x, outputs, y, loss)
            leaf = x if x.is_floating_point() else watch.first
            assert leaf is not None
            weights = [one for one in self.model.parameters() if one.requires_grad]
            if not total.requires_grad:
                raise InputError("the outputs do not depend on the recurrent layers, so that no gradient reaches them")
            gradient = torch.autograd.grad(total, [leaf, *weights], allow_unused=True)[0]
        gradient = torch.zeros_like(leaf) if gradient is None else gradient
        if leaf is x:
            return calls, gradient
        return calls, _unsorted(calls[0], by_row(calls[0].flows[0].request, gradient))

    def first_input(self) -> Tensor:
        """(N, T, features): the input of the first recurrent layer."""
        with torch.no_grad(), watched(self.model) as watch:
            self.outputs(self.x)
        call = _calls(watch)[0]
        request = call.flows[0].request
        return _unsorted(call, by_row(request, request.x))

    def _total(self, outputs: Any, last: Tensor, output: int | None) -> Tensor:
        found = self.final(outputs, last)
        if output is not None and not (isinstance(output, Integral) and 0 <= output < found.shape[1]):
            raise InputError(f"output is {output!r}; expected 0..{found.shape[1] - 1}, a number of one of the outputs")
        return (found if output is None else found[:, output : output + 1]).sum() / len(found)

    def _loss(self, x: Tensor, outputs: Any, y: Any, loss: Loss | None) -> Tensor:
        outputs = outputs.data if isinstance(outputs, PackedSequence) else outputs
        targets = (y.data if isinstance(y, PackedSequence) else _tensor(y)).to(outputs.device)
        if targets.is_floating_point():
            if not bool(targets.isfinite().all()):
                raise InputError(f"y holds {int((~targets.isfinite()).sum())} numbers that are not finite")
            targets = targets.to(outputs.dtype)
        model: Any = self.model
        if loss is None and is_keras(model) and getattr(model, "compiled", False):
            found: Tensor = model.compute_loss(x=x, y=targets, y_pred=outputs, training=False)
            return found
        if loss is None:
            if not targets.is_floating_point():
                raise InputError("y holds integers; give the loss that they belong to, such as loss=cross_entropy")
            given = tuple(targets.shape)
            targets = targets.unsqueeze(-1) if targets.dim() == outputs.dim() - 1 else targets
            if targets.shape != outputs.shape:
                raise InputError(f"y has the shape {given}; expected {tuple(outputs.shape)}, that of the outputs")
            loss = torch.nn.functional.mse_loss
        return loss(outputs, targets)


def recurrences(call: Call, rows: int | None = None) -> Iterator[Recurrence]:
    """The layers of one call on the first rows of x, in the order of x."""
    for name, flow in zip(call.names(), call.flows, strict=True):
        request = flow.request
        order = range(request.batch) if call.order is None else call.order.tolist()
        chosen = as_rows(request, order[:rows])
        yield Recurrence(name, chosen, states(chosen))


@contextmanager
def _outside_training(model: torch.nn.Module) -> Iterator[None]:
    """Every module of a model in evaluation mode; a Keras model is told so where it is called."""
    if is_keras(model):
        yield
        return
    before = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in before:
            module.training = training


def _checked(model: torch.nn.Module) -> torch.nn.Module:
    if not isinstance(model, torch.nn.Module):
        what = "a Keras model that does not run on torch" if is_keras(model) else f"a {type(model).__name__}"
        raise InputError(f"the model is {what}; expected a torch module, or a Keras model on torch")
    for name, layer in layers(model):
        if getattr(layer, "stateful", False):
            raise InputError(
                f"layer {name} is stateful, so that no run is like another; look at it with stateful=False"
            )
    return model


def _check_input_shape(model: Any, x: Tensor) -> None:
    """Whether a Keras model takes sequences of this shape, as far as it says what it takes."""
    expected = getattr(model, "input_shape", None) if model.built else None
    if expected is None:
        return
    if not isinstance(expected, tuple) or any(isinstance(one, tuple) for one in expected):
        raise InputError(f"{model.name} takes several inputs; expected a model of one")
    fits = len(expected) == x.dim() and all(size in (None, has) for size, has in zip(expected, x.shape, strict=True))
    if not fits:
        told = ", ".join("any" if size is None else str(size) for size in expected)
        raise InputError(f"x has the shape {tuple(x.shape)}; expected ({told}), what {model.name} takes")


def _tensor(x: Any) -> Tensor:
    try:
        return x.detach() if isinstance(x, Tensor) else torch.as_tensor(np.asarray(x))
    except (TypeError, ValueError):
        raise InputError(f"the data are a {type(x).__name__}; expected an array of numbers") from None


def _sequences(x: Tensor) -> Tensor:
    if x.dtype == torch.bool or x.is_complex():
        raise InputError(f"x is {str(x.dtype).removeprefix('torch.')}; expected floats, or integers for tokens")
    floats = x.is_floating_point()
    if x.dim() != (3 if floats else 2):
        expected = "(N, T, F): sequences, steps, features" if floats else "(N, T): sequences of tokens, or floats"
        raise InputError(f"x has the shape {tuple(x.shape)}; expected {expected}")
    if 0 in x.shape:
        raise InputError(f"x has the shape {tuple(x.shape)}, and holds nothing; expected at least one sequence")
    if floats and not bool(x.isfinite().all()):
        raise InputError(f"x holds {int((~x.isfinite()).sum())} numbers that are not finite")
    return x if floats else x.to(torch.int64)


def _calls(watch: Watch) -> list[Call]:
    if not watch.calls:
        raise InputError("no recurrent layer of the model ran a scan; `explain` says what runs them, and why")
    return watch.calls


def _unsorted(call: Call, rows: Tensor) -> Tensor:
    """What has one entry a row of a call's scan, in the order of the rows of x."""
    return rows if call.order is None else rows[call.order.to(rows.device)]
