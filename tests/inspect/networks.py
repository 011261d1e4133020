"""Networks to look at: one of every cell, and some whose memory is known because it was built by hand."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ostinato import nn, scan
from ostinato.cells import CELLS
from ostinato.compiler import trace
from ostinato.keras import layers, models

DTYPE = torch.float64
INPUT, HIDDEN, BATCH, STEPS = 3, 6, 4, 7

_SIZES: dict[str, dict[str, Any]] = {"heads": {"heads": 2}, "clockwork": {"modules": 3, "periods": (1, 2, 3)}}


class Network(torch.nn.Module):
    """A recurrent module and a linear readout of its outputs: (N, T, F) to (N, T, O)."""

    batch_first = True

    def __init__(self, layer: Any, outputs: int = 2) -> None:
        super().__init__()
        self.layer = layer
        with torch.no_grad():
            x = torch.zeros(1, 1, layer.input_size, dtype=DTYPE)
            width = layer(x)[0].shape[-1]
        self.out = torch.nn.Linear(width, outputs, dtype=DTYPE)

    def forward(self, x: Any) -> Any:
        y = self.layer(x)[0]
        if isinstance(x, Tensor):
            return self.out(y)
        return torch.nn.utils.rnn.PackedSequence(self.out(y.data), *y[1:])


def of_cell(name: str, **options: Any) -> Network:
    """A network of a cell of the registry, every parameter of its layer drawn at random."""
    cell = CELLS[name]
    sizes = dict(_SIZES.get(cell.blocks, {}))
    if scan.projects(cell):
        sizes["proj_size"] = 4
    same = trace(cell).sizes.same
    features = HIDDEN if same else INPUT
    if same and options.get("bidirectional"):
        options["num_layers"] = 1
    layer = nn.layer_of(cell)(features, HIDDEN, batch_first=True, dtype=DTYPE, **sizes, **options)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(torch.rand_like(parameter) * 0.3)
    return Network(layer)


def sequences(network: Network, *, rows: int = BATCH, steps: int = STEPS) -> Tensor:
    return torch.randn(rows, steps, network.layer.input_size, dtype=DTYPE)


def delay_line(delay: int) -> Any:
    """A Keras model whose output is its input of so many steps ago: a shift register of linear units."""
    model = models.Sequential(
        [layers.Input((None, 1)), layers.SimpleRNN(delay + 1, activation="linear"), layers.Dense(1)]
    )
    rnn, dense = model.layers
    kernel, recurrent = torch.zeros(1, delay + 1), torch.zeros(delay + 1, delay + 1)
    kernel[0, 0] = 1.0
    for unit in range(delay):
        recurrent[unit, unit + 1] = 1.0
    rnn.set_weights([kernel.numpy(), recurrent.numpy(), torch.zeros(delay + 1).numpy()])
    read = torch.zeros(delay + 1, 1)
    read[delay] = 1.0
    dense.set_weights([read.numpy(), torch.zeros(1).numpy()])
    return model
