"""Recurrent weights against gradients that vanish or explode, for a whole model in one call."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import torch

from .. import cells, scan
from .initial import ForgetBias, Recurrence, RecurrentInit, fill_biases, fill_block, recurrent_rule
from .layer import Layer
from .reservoir import EchoState

Model = TypeVar("Model", bound=torch.nn.Module)

#: The cell of each of torch's recurrent modules and cells; theirs all have two biases, beside W and beside U.
_TORCHS: dict[type[torch.nn.Module], cells.Cell] = {
    torch.nn.LSTM: cells.lstm,
    torch.nn.GRU: cells.gru,
    torch.nn.RNN: cells.elman,
    torch.nn.LSTMCell: cells.lstm,
    torch.nn.GRUCell: cells.gru,
    torch.nn.RNNCell: cells.elman,
}


@torch.no_grad()
def initialise(
    model: Model,
    *,
    recurrent: RecurrentInit | None = None,
    forget_bias: ForgetBias | None = None,
    generator: torch.Generator | None = None,
) -> Model:
    """Draw the recurrent matrices of a model anew, or set the biases that make its cells remember, or both.

    It reaches every layer and direction of this library's modules and of torch's LSTM, GRU, RNN and their cells, at any
    depth of the model. All other tensors stay as they are; an `EchoState` keeps its reservoir. Either everything is
    changed or, where something does not fit, nothing.

    Args:
        model: a module, changed in place.
        recurrent: what becomes of each gate's block of the recurrent matrix, and in it of each head's or module's:
            "orthogonal" (Saxe, McClelland & Ganguli 2014, 1312.6120), with orthonormal rows; "identity", for a network
            of rectified units the IRNN (Le, Jaitly & Hinton 2015, 1504.00941); both also with a factor, as
            ("identity", 0.1); ("spectral_radius", r), normal and scaled so that its largest eigenvalue has the modulus
            r. The square of a clockwork module is that of the units which read themselves.
        forget_bias: what becomes of the bias of the gate that makes a cell remember, `cell.forget`, its sign turned
            where a negative bias remembers: a number (1: Jozefowicz, Zaremba & Sutskever 2015, ICML), or
            ("chrono", T_max) for memories of up to T_max steps (Tallec & Ollivier 2018, 1804.11188): each unit's bias
            is log(u), u uniform in 1..T_max - 1, and an input gate i beside a forget gate f starts at minus that. Of a
            gate with two biases the second is 0.
        generator: what to draw with; None is torch's own, which `torch.manual_seed` seeds.

    Returns:
        The same model.

    Raises:
        ValueError: the model holds no recurrent module, or a parametrized one; an argument is no such rule;
            or a cell, which the sentence names, has no recurrent matrix, or no bias that makes it remember.
    """
    found: list[Recurrence] = []
    for module in model.modules():
        for one in _recurrences(module):
            stored = [one.tensors.get(name) for name in ("U", "b", "b_u")]
            if any(tensor is not None and not isinstance(tensor, torch.nn.Parameter) for tensor in stored):
                raise ValueError(
                    f"a tensor of {type(module).__name__} is computed from others, so that it cannot be drawn; "
                    "initialise the module before it is parametrized"
                )
            found.append(one)
    if not found:
        raise ValueError(f"{type(model).__name__} holds no recurrent module whose weights could be drawn")
    blocks: list[torch.Tensor] = []
    if recurrent is not None:
        kind, number = recurrent_rule(recurrent)
        blocks = [b for one in found for b in one.blocks("recurrent", recurrent, kind == "spectral_radius")]
    if forget_bias is not None:
        rule = scan.forget_rule(forget_bias)
        for one in found:
            one.remembering()  # complains before anything is changed
    for block in blocks:
        fill_block(block, kind, number, generator)
    if forget_bias is not None:
        for one in found:
            fill_biases(one, *rule, generator)
    return model


def _recurrences(module: torch.nn.Module) -> Iterator[Recurrence]:
    """Those of a module itself, from the first layer, forward before backward."""
    if isinstance(module, Layer):
        if not isinstance(module, EchoState):
            for number, structure in enumerate(module.structures):
                for direction in range(2 if module.bidirectional else 1):
                    yield Recurrence(structure, module._tensors(number, direction))
        return
    cell = next((cell for kind, cell in _TORCHS.items() if isinstance(module, kind)), None)
    if cell is None:
        return
    if isinstance(module, torch.nn.RNNBase):
        sides = ("", "_reverse") if module.bidirectional else ("",)
        suffixes = [f"_l{number}{side}" for number in range(module.num_layers) for side in sides]
    else:
        suffixes = [""]
    for suffix in suffixes:
        yield _torchs(module, cell, suffix)


def _torchs(module: torch.nn.Module, cell: cells.Cell, suffix: str) -> Recurrence:
    """What one of torch's modules or cells stores for one layer and direction."""
    projection = int(getattr(module, "proj_size", 0))
    cell = cells.projected_lstm if projection else cell
    structure = scan.Structure(cell, 1, int(module.hidden_size), projection=projection, bias=bool(module.bias))  # type: ignore[arg-type]
    tensors = {"U": getattr(module, f"weight_hh{suffix}")}
    if not module.bias:
        return Recurrence(structure, tensors)
    tensors["b"], second = getattr(module, f"bias_ih{suffix}"), getattr(module, f"bias_hh{suffix}")
    if cell.recurrent_bias:
        return Recurrence(structure, {**tensors, "b_u": second})
    return Recurrence(structure, tensors, second)
