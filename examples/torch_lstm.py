"""A PyTorch module around `ostinato.nn.LSTM`: the next value of a sine from the thirty before it.

`ostinato.nn.LSTM` is a `torch.nn.LSTM`: same arguments, same parameter names, same state dict. The sines have random
frequency and phase, so the network must find both in the window it is shown.

    python examples/torch_lstm.py --epochs 20
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import torch
from torch import Tensor, nn

import ostinato.nn

WINDOW = 30


class SequenceRegressor(nn.Module):
    """An LSTM over (batch, steps, features), and a linear layer on its output at the last step."""

    def __init__(self, features: int, hidden_size: int, layers: int, outputs: int) -> None:
        super().__init__()
        self.lstm = ostinato.nn.LSTM(features, hidden_size, layers, batch_first=True)
        self.head = nn.Linear(hidden_size, outputs)

    def forward(self, x: Tensor) -> Tensor:
        output, _ = self.lstm(x)
        return self.head(output[:, -1])


def sines(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Windows (count, 30, 1) and the value after each, (count, 1)."""
    frequency = 0.2 + 0.4 * torch.rand(count, 1, generator=generator)
    phase = 6.28 * torch.rand(count, 1, generator=generator)
    wave = torch.sin(frequency * torch.arange(WINDOW + 1) + phase)
    return wave[:, :WINDOW, None], wave[:, WINDOW:]


def main(arguments: Sequence[str] | None = None) -> tuple[float, float]:
    """The root mean squared error of the network, and of repeating the last value."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=20)
    options = parser.parse_args(arguments)
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(4)

    x, y = sines(1024, generator)
    model = SequenceRegressor(features=1, hidden_size=32, layers=2, outputs=1)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for epoch in range(options.epochs):
        total = 0.0
        for rows in torch.randperm(len(x), generator=generator).split(64):
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(x[rows]), y[rows])
            loss.backward()
            optimizer.step()
            total += loss.item() * len(rows)
        print(f"epoch {epoch + 1:3d}  mean squared error {total / len(x):.5f}")

    x_new, y_new = sines(500, generator)
    with torch.no_grad():
        error = (model(x_new) - y_new).square().mean().sqrt().item()
    naive = (x_new[:, -1] - y_new).square().mean().sqrt().item()
    print(f"unseen sines: error {error:.4f}, repeating the last value {naive:.4f}")
    return error, naive


if __name__ == "__main__":
    main()
