"""Sequence generation with a clockwork network: a waveform from nothing but the passing of time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from ostinato import nn
from ostinato.cells import cell, ops

from .experiment import Case, Experiment, Run
from .picture import DASHES, colour, marker, tidy
from .table import Table, short, spread

PERIODS = (8, 32, 80, 160)
MODULES = 8
#: NMSE on 320 samples of music, Koutnik et al. 2014, sec. 4.1.
PUBLISHED = {"clockwork": "0.007 ± 0.004", "tanh RNN": "0.46 ± 0.08", "LSTM": "0.04 ± 0.01"}


@cell(gates="a", states="h t", constants={"period": 1.0}, clock="t period", phi="tanh", layer="FullClockwork")
def full_clockwork(gate: Any, state: Any, constant: Any, phi: Any) -> Any:
    """The clock of a clockwork network without its structure: every unit reads every other."""
    waiting = ops.remainder(state.t, constant.period)
    return ops.select(waiting, state.h, phi(gate.a)), state.t + 1.0


def waveform(samples: int, generator: torch.Generator) -> Tensor:
    """Half the sum of four sines with periods of 8, 32, 80 and 160 samples and random phases (samples); over whole
    periods its variance is 1/2."""
    phases = 2 * math.pi * torch.rand(len(PERIODS), 1, generator=generator)
    t = torch.arange(samples)
    return torch.sin(2 * math.pi * t / torch.tensor(PERIODS).unsqueeze(1) + phases).sum(0) / 2


class Generator(torch.nn.Module):
    """A recurrent layer that reads a constant 1, and a linear readout; weights as in the paper, from N(0, 0.1^2)."""

    def __init__(self, model: str, units: int) -> None:
        super().__init__()
        clock = [2**module for module in range(MODULES)]
        each = [float(clock[unit * MODULES // units]) for unit in range(units)]
        layers: dict[str, tuple[Callable[..., torch.nn.Module], dict[str, Any]]] = {
            "clockwork": (nn.Clockwork, {"periods": clock}),
            "clock without modules": (nn.layer_of(full_clockwork), {"period": each}),
            "tanh RNN": (nn.RNN, {}),
            "LSTM": (nn.LSTM, {}),
        }
        layer, options = layers[model]
        self.layer = layer(1, units, batch_first=True, **options)
        self.readout = torch.nn.Linear(units, 1)
        for tensor in self.parameters():
            torch.nn.init.normal_(tensor, 0, 0.1)
        if model == "LSTM":
            with torch.no_grad():
                self.layer.get_parameter("bias_ih_l0")[units : 2 * units] += 5

    def forward(self, samples: int) -> Tensor:
        """The first samples that the network generates, (samples)."""
        y, _ = self.layer(torch.ones(1, samples, 1))
        found: Tensor = self.readout(y)[0, :, 0]
        return found


def cases(quick: bool) -> list[Case]:
    sizes = {"clockwork": 64, "clock without modules": 48, "tanh RNN": 48, "LSTM": 24}
    shared = {"samples": 320, "epochs": 60 if quick else 1000}
    return [
        {"model": model, "rate": rate, "units": units, **shared}
        for model, units in sizes.items()
        for rate in ((0.01,) if quick else (0.0003, 0.001, 0.003, 0.01))
        if not quick or model in ("clockwork", "tanh RNN")
    ]


def measure(case: Case, seed: int) -> dict[str, Any]:
    """The squared error of the generated waveform over the variance of the target, along training and at its end."""
    torch.manual_seed(seed)
    target = waveform(case["samples"], torch.Generator().manual_seed(seed))
    network, epochs = Generator(case["model"], case["units"]), case["epochs"]
    optimizer = torch.optim.Adam(network.parameters(), case["rate"])
    falling = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 1 - epoch / epochs)
    variance, curve = target.var(correction=0), []
    for epoch in range(1, epochs + 1):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(network(len(target)), target)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        falling.step()
        if epoch % (epochs // 30) == 0:
            curve.append([epoch, float(f"{loss.item() / variance.item():.4g}")])
    with torch.no_grad():
        made = network(len(target))
    nmse = (torch.nn.functional.mse_loss(made, target) / variance).item()
    found: dict[str, Any] = {"nmse": nmse, "numbers": sum(p.numel() for p in network.parameters()), "curve": curve}
    if seed == 0:
        found |= {"target": [round(v, 3) for v in target.tolist()], "made": [round(v, 3) for v in made.tolist()]}
    return found


def _groups(runs: Sequence[Run]) -> dict[str, dict[float, list[Run]]]:
    grouped: dict[str, dict[float, list[Run]]] = {}
    for run in runs:
        grouped.setdefault(run.case["model"], {}).setdefault(run.case["rate"], []).append(run)
    return grouped


def _errors(group: Sequence[Run]) -> list[float]:
    return [run.found["nmse"] for run in group]


def _best(rates: dict[float, list[Run]]) -> float:
    return min(rates, key=lambda rate: float(np.mean(_errors(rates[rate]))))


def tables(runs: Sequence[Run]) -> list[Table]:
    grouped = _groups(runs)
    rates = sorted({run.case["rate"] for run in runs})
    rows = []
    for model, by_rate in grouped.items():
        some, best = by_rate[rates[0]][0], _best(by_rate)
        each = [
            f"**{spread(_errors(by_rate[rate]))}**" if rate == best else spread(_errors(by_rate[rate]))
            for rate in rates
            if rate in by_rate
        ]
        known = f"{PUBLISHED[model]}, Koutnik et al. 2014 (not re-checked)" if model in PUBLISHED else "-"
        rows.append([model, str(some.case["units"]), str(some.found["numbers"]), *each, known])
    header = [
        "model",
        "units",
        "stored numbers",
        *(f"NMSE, rate {short(rate)}" for rate in rates),
        "published NMSE, music",
    ]
    seeds = len({run.seed for run in runs})
    title = f"320 samples, {runs[0].case['epochs']} epochs, {seeds} seeds; the best rate of each model in bold"
    return [Table(title, header, rows)]


def draw(runs: Sequence[Run], figure: Figure) -> None:
    left, right = figure.subplots(1, 2, width_ratios=[2, 3])
    grouped = _groups(runs)
    shown = {model: rates[_best(rates)] for model, rates in grouped.items()}
    for number, (model, group) in enumerate(shown.items()):
        epochs = [epoch for epoch, _ in group[0].found["curve"]]
        errors = np.array([[error for _, error in run.found["curve"]] for run in group])
        label = f"{model}, {group[0].found['numbers']} numbers"
        left.plot(epochs, errors.mean(0), color=colour(number), marker=marker(number), markevery=6, markersize=4,
                  linestyle=DASHES[number], linewidth=1.3, label=label)  # fmt: skip
        left.fill_between(epochs, errors.min(0), errors.max(0), color=colour(number), alpha=0.12, linewidth=0)
    left.set_yscale("log")
    left.minorticks_off()
    tidy(left, "Training: mean and range of the seeds", "epochs", "NMSE")
    left.legend(frameon=False, fontsize=8)
    firsts = {model: next(run for run in group if run.seed == 0) for model, group in shown.items()}
    height = 4.2
    for number, (model, run) in enumerate(firsts.items()):
        level = -height * number
        right.plot(np.array(run.found["target"]) + level, color="#22272e", linewidth=2.2, alpha=0.25)
        right.plot(np.array(run.found["made"]) + level, color=colour(number), linewidth=1.1)
        right.annotate(
            f"{model}, NMSE {short(run.found['nmse'])}",
            (319, level + 1.3),
            ha="right",
            fontsize=8,
            color=colour(number),
        )
    tidy(right, "Seed 0: generated, over the target in grey", "sample", "")
    right.set_yticks([])
    right.grid(visible=False)


CLOCKWORK = Experiment("Sequence generation, clockwork network", 3, cases, measure, tables, draw)
