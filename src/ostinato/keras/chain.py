"""Recurrent layers that follow each other, with dropout behind each, as one operation of a training step.

`train_step` calls a model, takes the gradients of its loss, and is done: nothing of its graph is left. So the buffers
and the calls of the kernels that the layers need are made in the first step and serve in all others, and autograd sees
one operation. Every number is the one that the layers give one by one.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor

from .. import scan
from ..scan import precision
from ..scan.call import Gradients
from ..scan.prepared import Prepared
from ..scan.workspace import empty
from . import direct, loop
from .dropout import Dropout, words_for
from .recurrent import ADDED, GRU, LSTM, Recurrent, SimpleRNN
from .variables import tensor_in

#: What decides how a layer runs, beside its weights, its input and random numbers; a user may change it at any time.
_OPTIONS = {
    Dropout: attrgetter("rate", "noise_shape", "dtype_policy", "activity_regularizer"),
    Recurrent: attrgetter(
        "return_sequences", "return_state", "go_backwards", "stateful", "dtype_policy", "activity_regularizer",
        "cell.activation", "cell.dropout", "cell.recurrent_dropout", "cell.dtype_policy", *ADDED,
    ),
}  # fmt: skip

#: Where a model holds its plans, by the name of the chain's first layer: what it alone holds goes with it, where a plan
#: in a table beside the models would hold layers that lead back to one of them.
_PLANS = "_plans_of_chains"
_local = threading.local()


@contextmanager
def training_step() -> Iterator[None]:
    """Inside of the `with` block chains may run, since every graph made there has gone when it ends."""
    outer, _local.used = getattr(_local, "used", None), []
    try:
        yield
    finally:
        for plan in _local.used:
            plan.turn += 1
        _local.used = outer


def is_open() -> bool:
    """Whether a training step runs."""
    return getattr(_local, "used", None) is not None


def run(model: Any, layers: Sequence[Any], inputs: Tensor) -> tuple[Tensor, int] | None:
    """Run the chain that layers of a model begin with, in training.

    Returns:
        Its output and how many layers it has; None where there is no chain, or where it must not run as one.
    """
    used = getattr(_local, "used", None)
    if used is None or not _is_recurrent(layers[0]) or scan.recording():
        return None
    plans: dict[str, _Plan] = vars(model).setdefault(_PLANS, {})
    name = layers[0].name
    plan = plans.get(name)
    if plan in used:  # its buffers hold what this step still needs
        return None
    if plan is None or not plan.fits(layers, inputs):
        plan = None
        plans.pop(name, None)  # before the next is made, so that its buffers may serve again
        chain = _chain(layers, inputs, model.compute_dtype)
        if not chain:
            return None
        plan = plans[name] = _Plan(chain, inputs)
    used.append(plan)
    return _Run.apply(plan, inputs, *plan.variables()), len(plan.layers)  # type: ignore[no-untyped-call]


def release(model: Any) -> None:
    """Give back what the chains of a model, and of those in it, hold."""
    for layer in model._flatten_layers():
        vars(layer).pop(_PLANS, None)


def _is_recurrent(layer: Any) -> bool:
    return type(layer) in (LSTM, GRU, SimpleRNN)


def _chain(layers: Sequence[Any], inputs: Tensor, dtype: str) -> list[Any]:
    """The chain that layers begin with; none where the inputs do not fit, which the first layer has a sentence for."""
    found: list[Any] = []
    shape = inputs.shape
    for layer in layers:
        if not direct.serves(layer, inputs, dtype) or direct.watched(layer):
            break
        if _is_recurrent(layer):
            if len(shape) != 3 or not _runs_prepared(layer, inputs, shape):
                break
            shape = torch.Size([*shape[: 2 if layer.return_sequences else 1], layer.cell.units])
        elif not (type(layer) is Dropout and layer.draws and found and _is_recurrent(found[-1])):
            break
        found.append(layer)
    return found


def _runs_prepared(layer: Any, inputs: Tensor, shape: Sequence[int]) -> bool:
    """Whether a layer is one scan of the kernels for inputs like these, of this shape, and gives one tensor."""
    backwards = layer.go_backwards and layer.return_sequences
    fitting = inputs.stride(-1) == 1 and shape[1] > 0 and shape[2] == layer.cell.kernel.shape[0]
    if not fitting or backwards or layer.return_state or not layer.only_scans(inputs, True):
        return False
    asked = loop.request([layer], inputs.detach().new_empty(1).expand(shape), None, None, True)
    readable = all(one.dim() == 2 or one.is_contiguous() for one in layer.as_weights(_variables(layer)).tensors())
    return readable and not asked.in_pieces and scan.choose(asked).backend == "cpu"


def _variables(layer: Any) -> list[Tensor]:
    return [tensor_in(variable) for variable in layer.scan_variables()]


def _facts(layer: Any) -> tuple[Any, ...] | None:
    """What a plan was made for; None where it must not run."""
    if direct.watched(layer):
        return None
    if type(layer) is Dropout:
        return _OPTIONS[Dropout](layer)
    places = [(tensor.data_ptr(), tensor.requires_grad) for tensor in _variables(layer)]
    return (*_OPTIONS[Recurrent](layer), getattr(layer.cell, "recurrent_activation", None), *places)


def _about(inputs: Tensor) -> tuple[Any, ...]:
    return (
        inputs.shape, inputs.stride(), inputs.dtype, inputs.device, inputs.requires_grad, torch.get_num_threads(),
        os.getpid(), torch.is_grad_enabled(), type(inputs), getattr(inputs, "_keras_mask", None) is None,
        precision.chosen(),
    )  # fmt: skip


@dataclass
class _Link:
    """A recurrent layer, and the dropout behind it.

    Attributes:
        output: what the recurrent layer returns.
        incoming: where the gradient of that stands.
        gradients: of the layer's `scan_variables`.
        noise: drawn in every step; `factor` is the noise as wide as the output, `dropped` the product of both, None
            behind the last layer.
    """

    layer: Any
    prepared: Prepared
    output: Tensor
    incoming: Tensor
    gradients: list[Tensor]
    dropout: Dropout | None
    noise: Tensor | None = None
    factor: Tensor | None = None
    words: Tensor | None = None
    dropped: Tensor | None = None


class _Plan:
    """The calls and buffers of one chain, for inputs of one shape.

    Attributes:
        turn: how many training steps it has served; a graph belongs to one.
    """

    def __init__(self, layers: Sequence[Any], inputs: Tensor) -> None:
        self.turn, self.layers = 0, layers
        self._facts, self._inputs = [_facts(layer) for layer in layers], _about(inputs)
        self._x_gradient = empty(inputs.shape, inputs) if inputs.requires_grad else None
        recurrent = [(n, layer) for n, layer in enumerate(layers) if _is_recurrent(layer)]
        shapes = [(*inputs.shape[: 2 if one.return_sequences else 1], one.cell.units) for _, one in recurrent]
        # a layer reads the one and writes the other
        buffers = [empty((max(map(math.prod, shapes[parity::2]), default=0),), inputs) for parity in (0, 1)]
        self._links: list[_Link] = []
        x, x_gradient = inputs.detach(), self._x_gradient
        for (n, layer), shape in zip(recurrent, shapes, strict=True):
            incoming = buffers[len(self._links) % 2][: math.prod(shape)].view(shape)
            behind = layers[n + 1] if n + 1 < len(layers) and type(layers[n + 1]) is Dropout else None
            link = _link(layer, x, x_gradient, incoming, behind, last=layer is recurrent[-1][1])
            self._links.append(link)
            x, x_gradient = link.output if link.dropped is None else link.dropped, incoming

    def fits(self, layers: Sequence[Any], inputs: Any) -> bool:
        """Whether nothing has changed of what the plan was made for."""
        return (
            _about(inputs) == self._inputs
            and len(layers) >= len(self.layers)
            and all(one is other for one, other in zip(layers, self.layers, strict=False))
            and [_facts(layer) for layer in self.layers] == self._facts
        )

    def variables(self) -> list[Tensor]:
        """The weights of all layers."""
        return [tensor for link in self._links for tensor in _variables(link.layer)]

    def forward(self, inputs: Tensor) -> Tensor:
        """The output of the chain."""
        self._links[0].prepared.place(inputs)
        for link in self._links:
            link.prepared.forward()
            if link.dropout is not None and link.noise is not None and link.words is not None:
                link.dropout.draw(link.noise, link.words)
            if link.dropped is not None and link.factor is not None:
                torch.mul(link.output, link.factor, out=link.dropped)
        return link.output.clone() if link.factor is None else link.output * link.factor

    def backward(self, gradient: Tensor) -> list[Tensor | None]:
        """The gradients of the inputs, if they want one, and of `variables()`, from that of the output.

        They stand in the plan's buffers.
        """
        self._links[-1].incoming.copy_(gradient)
        for link in reversed(self._links):
            if link.factor is not None:
                link.incoming.mul_(link.factor)
            link.prepared.backward()
        return [self._x_gradient, *(one for link in self._links for one in link.gradients)]

    def again(self, inputs: Tensor) -> Tensor:
        """The output of the last forward pass, by the layers one by one."""
        for link in self._links:
            inputs = loop.run_plain(link.layer, inputs, True)
            if link.factor is not None:
                inputs = inputs * link.factor.clone()
        return inputs


def _link(
    layer: Any, x: Tensor, x_gradient: Tensor | None, incoming: Tensor, dropout: Dropout | None, last: bool
) -> _Link:
    asked = loop.request([layer], x, None, None, True)
    variables = _variables(layer)
    gradients = [torch.empty_like(variable) for variable in variables]
    weights = zip(layer.as_weights(variables).tensors(), layer.as_weights(gradients).tensors(), strict=True)
    into = Gradients([], x_gradient, [], [[to if of.requires_grad else None for of, to in weights]], [[]])
    rest = [None] * (len(asked.cell.states) - 1)
    if layer.return_sequences:
        prepared = Prepared(asked, [incoming], [None, *rest], into)
        (output,) = prepared.outputs
    else:
        prepared = Prepared(asked, [None], [incoming.unsqueeze(0), *rest], into)
        output = prepared.finals[0][0]
    link = _Link(layer, prepared, output, incoming, gradients, dropout)
    if dropout is not None:
        link.noise = output.new_empty(dropout.shape_for(output))
        link.factor, link.words = link.noise.expand(output.shape), words_for(link.noise)
        link.dropped = None if last else empty(output.shape, output)
    return link


class _Run(torch.autograd.Function):
    """A chain under autograd."""

    @staticmethod
    def forward(ctx: Any, plan: _Plan, inputs: Tensor, *variables: Tensor) -> Tensor:
        ctx.plan, ctx.turn, ctx.spent = plan, plan.turn, False
        ctx.save_for_backward(inputs, *variables)
        return plan.forward(inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        plan, (inputs, *variables) = ctx.plan, ctx.saved_tensors
        if plan.turn != ctx.turn:
            raise RuntimeError(
                "the training step that made this graph is over, and its buffers have served another; take gradients "
                "inside of train_step, or call the model outside of it"
            )
        wanted = ctx.needs_input_grad[1:]
        if not ctx.spent and not torch.is_grad_enabled():
            ctx.spent = True
            found = plan.backward(gradient)
            # copies, since whoever gets them may keep them
            return (
                None,
                *(one.clone() if want and one is not None else None for one, want in zip(found, wanted, strict=True)),
            )
        with torch.enable_grad():
            x = inputs.view_as(inputs)
            output = plan.again(x)
        asked = [one for one, want in zip((x, *variables), wanted, strict=True) if want]
        given = torch.autograd.grad(output, asked, gradient, create_graph=torch.is_grad_enabled())
        results = iter(given)
        return (None, *(next(results) if want else None for want in wanted))
