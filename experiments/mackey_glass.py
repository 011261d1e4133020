"""Mackey-Glass-17 with an echo state network that runs freely: the error after 84 steps."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ostinato import nn

from .experiment import Case, Experiment, Run
from .picture import colour, marker, tidy
from .table import Table, short, spread

HORIZON = 84
#: NRMSE84 by units and training steps, and its source.
PUBLISHED = {
    (400, 3000): (0.00028, "Jaeger 2001, GMD report 148, sec. 6"),
    (400, 21000): (0.00012, "Jaeger 2001, several readouts averaged"),
    (1000, 3000): (10**-4.2, "Jaeger & Haas 2004, quoted at second hand"),
}


def mackey_glass(
    samples: int, start: float, tau: float = 17.0, step: float = 0.1, every: int = 10, skip: int = 1000
) -> NDArray[np.float64]:
    """The series of Mackey & Glass 1977 (Science 197), by the classical Runge-Kutta method of order four.

    dx/dt = 0.2 x(t - tau) / (1 + x(t - tau)^10) - 0.1 x(t)

    Args:
        samples: how many to return.
        start: x(t) for every t <= 0.
        tau: a multiple of `step`.
        step: of the integration.
        every: steps between samples.
        skip: samples to leave out at the beginning.

    Returns:
        (samples): x(skip), x(skip + 1), ... in units of `every * step`. Halfway through a step the delayed value is
        the cubic through the ends of that step and their slopes, which keeps the method's order.
    """
    delay = round(tau / step)
    if abs(delay * step - tau) > 1e-9 * tau:
        raise ValueError(f"tau is {tau}; expected a multiple of the step of {step}")

    def slope(x: float, delayed: float) -> float:
        return 0.2 * delayed / (1 + delayed**10) - 0.1 * x

    xs, slopes = [start] * (delay + 1), [0.0] * delay
    for n in range(delay, delay + (skip + samples - 1) * every):
        x, old, new = xs[n], xs[n - delay], xs[n - delay + 1]
        first = slope(x, old)
        slopes.append(first)
        # the past is constant up to its last moment, where the series sets out with another slope
        ahead = 0.0 if n == 2 * delay - 1 else slopes[n - delay + 1]
        half = (old + new) / 2 + step * (slopes[n - delay] - ahead) / 8
        second = slope(x + step / 2 * first, half)
        third = slope(x + step / 2 * second, half)
        fourth = slope(x + step * third, new)
        xs.append(x + step * (first + 2 * second + 2 * third + fourth) / 6)
    return np.array(xs[delay + skip * every :: every])


def cases(quick: bool) -> list[Case]:
    # Jaeger's sec. 6 with C = 0.44, a = 0.9 and |W| = 0.79: a leak of C a, and the states in other units
    network = {
        "leak": 0.44 * 0.9, "spectral_radius": 0.79 / 0.9, "density": 0.0125, "input_scaling": 0.56,
        "bias_scaling": 0.2, "ridge": 0.0,
    }  # fmt: skip
    shared = {"washout": 1000, "trials": 50, **network}
    if quick:
        return [{"units": 100, "train": 2000, **shared, "density": 0.1}]
    sizes = ((100, 3000, 0.05), (200, 3000, 0.025), (400, 3000, 0.0125), (1000, 3000, 0.01), (400, 21000, 0.0125))
    return [{"units": units, "train": train, **shared, "density": density} for units, train, density in sizes]


def measure(case: Case, seed: int) -> dict[str, Any]:
    """NRMSE84: the network hears the series, runs freely for 84 steps, and the last one is compared; the error over all
    trials, in units of the series and over its standard deviation."""
    washout, trials = case["washout"], case["trials"]
    generator = np.random.default_rng(seed)
    series = mackey_glass(case["train"] + 1, generator.uniform(0.9, 1.3))
    heard = np.tanh(series - 1)
    names = ("leak", "spectral_radius", "density", "input_scaling", "bias_scaling", "ridge")
    network = nn.EchoStateNetwork(case["units"], washout=washout, seed=seed, **{name: case[name] for name in names})
    network.fit(heard[:-1, None], heard[1:, None])

    fresh = mackey_glass(washout + (trials + 1) * HORIZON, generator.uniform(0.9, 1.3))
    starts = washout + HORIZON * np.arange(trials)
    inputs = torch.tensor(np.tanh(fresh - 1)).view(1, -1, 1)
    layer, readout = network.reservoir_, network.readout_.T
    with torch.no_grad():
        states, _ = layer(inputs)
        u, x = inputs[0, starts], states[0, starts]
        errors = []
        for step in range(1, HORIZON + 1):
            u = torch.cat([torch.ones_like(u), u, x], 1) @ readout
            errors.append(_original(u[:, 0].numpy()) - fresh[starts + step])
            x = layer(u.unsqueeze(1), x.unsqueeze(0))[0][:, 0]
    nrmse = np.sqrt(np.mean(np.square(errors), 1) / fresh.var())
    return {"nrmse84": float(nrmse[-1]), "by_step": [float(f"{error:.3g}") for error in nrmse]}


def _original(y: NDArray[np.float64]) -> NDArray[np.float64]:
    """The series behind tanh(x - 1); a network that has run away is held at the edge of what tanh can say."""
    return np.asarray(np.arctanh(np.clip(y, -1 + 1e-12, 1 - 1e-12)) + 1)


def _settings(runs: Sequence[Run]) -> dict[tuple[int, int], list[Run]]:
    grouped: dict[tuple[int, int], list[Run]] = {}
    for run in runs:
        grouped.setdefault((run.case["units"], run.case["train"]), []).append(run)
    return grouped


def tables(runs: Sequence[Run]) -> list[Table]:
    rows = []
    for (units, train), group in _settings(runs).items():
        found = [run.found["nrmse84"] for run in group]
        known = PUBLISHED.get((units, train))
        published = f"{short(known[0])}, {known[1]}" if known else "-"
        rows.append([str(units), str(train), str(len(found)), spread(found, statistics.median), published])
    header = ("units", "training steps", "seeds", "NRMSE84: median, spread", "published NRMSE84")
    return [Table("Mackey-Glass-17, error after 84 free steps", header, rows)]


def draw(runs: Sequence[Run], figure: Figure) -> None:
    left, right = figure.subplots(1, 2)
    grouped = _settings(runs)
    names = [f"{units}\n{train} steps" for units, train in grouped]
    for number, (setting, group) in enumerate(grouped.items()):
        found = [run.found["nrmse84"] for run in group]
        left.plot([number] * len(found), found, "o", color=colour(number), alpha=0.5, markersize=5)
        left.plot([number - 0.25, number + 0.25], [statistics.median(found)] * 2, color=colour(number), linewidth=2)
        if setting in PUBLISHED:
            left.plot(number, PUBLISHED[setting][0], "X", color=colour(6), markersize=8,
                      label=None if left.get_legend_handles_labels()[0] else "published")  # fmt: skip
        middle = np.median([run.found["by_step"] for run in group], 0)
        right.plot(range(1, HORIZON + 1), middle, color=colour(number), marker=marker(number), markevery=12,
                   markersize=4, linewidth=1.3, label=f"{setting[0]} units, {setting[1]} steps")  # fmt: skip
    left.set_xticks(range(len(names)), names)
    left.set_xlim(-0.6, len(names) - 0.4)
    for panel in (left, right):
        panel.set_yscale("log")
    tidy(left, "After 84 steps: each seed, and the median", "units, training steps", "NRMSE84")
    tidy(right, "Median of the seeds", "free steps", "NRMSE")
    if left.get_legend_handles_labels()[0]:
        left.legend(frameon=False, fontsize=8)
    right.legend(frameon=False, fontsize=8)


MACKEY_GLASS = Experiment("Mackey-Glass-17, echo state network running freely", 10, cases, measure, tables, draw)
