"""The contenders of the long-memory tasks: a layer and a linear readout, each initialised as its row says."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ostinato import cells, nn


@dataclass(frozen=True)
class Contender:
    """A cell and how its biases begin.

    Attributes:
        cell: its name in `cells.CELLS`.
        forget_bias: of the gate that remembers; None leaves it at 0, as all other biases.
        chrono: draw the biases of forget and input gate by the length of the task (Tallec & Ollivier 2018, 1804.11188).
    """

    cell: str
    forget_bias: float | None = None
    chrono: bool = False


CONTENDERS: dict[str, Contender] = {
    "tanh RNN": Contender("elman"),
    "LSTM without forget gate": Contender("forgetless_lstm"),
    "LSTM, forget bias 0": Contender("lstm"),
    "LSTM, forget bias 1": Contender("lstm", forget_bias=1.0),
    "LSTM, chrono": Contender("lstm", chrono=True),
    "peephole LSTM, forget bias 1": Contender("peephole_lstm", forget_bias=1.0),
    "coupled LSTM, forget bias 1": Contender("coupled_lstm", forget_bias=1.0),
    "JANET, chrono": Contender("janet", chrono=True),
    "GRU": Contender("gru"),
    "MGU": Contender("mgu"),
}


class Network(torch.nn.Module):
    """A contender with a linear readout.

    Args:
        name: of `CONTENDERS`.
        inputs: features.
        units: of the layer.
        outputs: of the readout.
        length: the longest dependency that chrono biases are drawn for.
    """

    def __init__(self, name: str, inputs: int, units: int, outputs: int, length: int) -> None:
        super().__init__()
        contender = CONTENDERS[name]
        cell = cells.CELLS[contender.cell]
        self.layer = nn.layer_of(cell)(inputs, units, batch_first=True)
        self.readout = torch.nn.Linear(units, outputs)
        tensors = dict(self.layer.named_parameters())
        biases = dict(zip(cell.gates, tensors["bias_ih_l0"].chunk(len(cell.gates)), strict=True))
        with torch.no_grad():
            for key, tensor in tensors.items():
                if key.startswith("bias"):
                    tensor.zero_()
            if contender.forget_bias is not None and cell.forget is not None:
                sign = -1 if cell.forget.startswith("-") else 1
                biases[cell.forget.lstrip("-")].fill_(sign * contender.forget_bias)
            if contender.chrono:
                biases["f"].uniform_(1, length - 1).log_()
                if "i" in biases:
                    biases["i"].copy_(-biases["f"])

    def forward(self, x: Tensor, last: bool = False) -> Tensor:
        """(batch, steps, inputs) to (batch, steps, outputs), or to (batch, outputs) of the last step."""
        y, _ = self.layer(x)
        found: Tensor = self.readout(y[:, -1] if last else y)
        return found

    def trained_numbers(self) -> int:
        return sum(tensor.numel() for tensor in self.parameters())
