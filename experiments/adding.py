"""The adding problem: remember two numbers of a long sequence, and add them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from .experiment import Case, Experiment, Run, by_length_and_cell
from .network import Network
from .picture import DASHES, colour, marker, tidy
from .table import Table, short, spread

CELLS = (
    "tanh RNN", "LSTM without forget gate", "LSTM, forget bias 0", "LSTM, forget bias 1", "LSTM, chrono",
    "peephole LSTM, forget bias 1", "coupled LSTM, forget bias 1", "JANET, chrono", "GRU", "MGU",
)  # fmt: skip
#: The slower ones are left out at the greatest length, so that the whole takes minutes.
LONGEST = ("LSTM, forget bias 1", "LSTM, chrono", "GRU")
#: Training ends below this test error, 1/167 of that of a constant prediction.
SOLVED = 0.001
CLOSE = 0.01
BAI = "T=600, Bai et al. 2018"
PUBLISHED = {
    "tanh RNN": f"0.177 at {BAI}",
    "LSTM, forget bias 1": f"0.164 at {BAI}",
    "GRU": f"5.3e-5 at {BAI}",
    "LSTM without forget gate": "74,000 sequences at T=100, Hochreiter & Schmidhuber 1997 (not re-checked)",
}


def adding(count: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Sequences of the adding problem (Hochreiter & Schmidhuber 1997, experiment 4, with numbers in 0..1).

    Args:
        count: of sequences.
        length: of each, T.
        generator: draws them.

    Returns:
        x (count, T, 2): a number uniform in 0..1, and a marker that is 1 at one step of each half and 0 elsewhere; and
        the sum of the two marked numbers (count, 1). A constant prediction errs by 1/6 on average of squares.
    """
    numbers = torch.rand(count, length, generator=generator)
    rows, half = torch.arange(count), length // 2
    markers = torch.zeros(count, length)
    markers[rows, torch.randint(half, (count,), generator=generator)] = 1
    markers[rows, torch.randint(half, length, (count,), generator=generator)] = 1
    return torch.stack([numbers, markers], -1), (numbers * markers).sum(1, keepdim=True)


def cases(quick: bool) -> list[Case]:
    shared = {"units": 32, "batch": 50, "rate": 5e-3, "clip": 1.0, "every": 100}
    if quick:
        return [{"cell": cell, "T": 10, "steps": 200, "test": 500, **shared} for cell in ("tanh RNN", "GRU")]
    budgets = {50: (1000, CELLS), 100: (2000, CELLS), 200: (3000, LONGEST)}
    return [
        {"cell": cell, "T": T, "steps": steps, "test": 2000, **shared}
        for T, (steps, some) in budgets.items()
        for cell in some
    ]


def measure(case: Case, seed: int) -> dict[str, Any]:
    """The test error along training, which ends early where the task is solved."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    network = Network(case["cell"], 2, case["units"], 1, case["T"])
    x_test, y_test = adding(case["test"], case["T"], generator)
    optimizer = torch.optim.Adam(network.parameters(), case["rate"])
    curve: list[list[float]] = []
    for step in range(1, case["steps"] + 1):
        x, y = adding(case["batch"], case["T"], generator)
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(network(x, last=True), y).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), case["clip"])
        optimizer.step()
        if step % case["every"] == 0:
            with torch.no_grad():
                error = torch.nn.functional.mse_loss(network(x_test, last=True), y_test).item()
            curve.append([step, float(f"{error:.4g}")])
            if error < SOLVED:
                break
    constant = y_test.var(correction=0).item()
    return {"constant": constant, "numbers": network.trained_numbers(), "curve": curve}


def _steps(run: Run, goal: float) -> float | None:
    """The step at which the test error was first below the goal."""
    return next((step for step, error in run.found["curve"] if error < goal), None)


def tables(runs: Sequence[Run]) -> list[Table]:
    found = []
    for T, rows_of in by_length_and_cell(runs).items():
        rows = []
        for cell, group in rows_of.items():
            steps = [step for run in group if (step := _steps(run, CLOSE))]
            lowest = [min(error for _, error in run.found["curve"]) for run in group]
            solved = sum(error < SOLVED for error in lowest)
            published = PUBLISHED.get(cell, "-")
            rows.append([cell, str(group[0].found["numbers"]), f"{solved} of {len(group)}",
                         spread(steps) + (f", {len(group) - len(steps)} never" if len(steps) < len(group) else ""),
                         spread(lowest), published])  # fmt: skip
        some = next(iter(rows_of.values()))
        levels = spread([run.found["constant"] for run in some])
        title = f"T={T}, at most {some[0].case['steps']} steps; a constant prediction errs by {levels}"
        header = ("cell", "trained numbers", f"test error under {short(SOLVED)}", f"steps to {short(CLOSE)}",
                  "lowest test error", "published")  # fmt: skip
        found.append(Table(title, header, rows))
    return found


def draw(runs: Sequence[Run], figure: Figure) -> None:
    grouped = by_length_and_cell(runs)
    names = list(dict.fromkeys(run.case["cell"] for run in runs))
    panels = figure.subplots(1, len(grouped), sharey=True, squeeze=False)[0]
    for panel, (T, rows_of) in zip(panels, grouped.items(), strict=True):
        for cell, group in rows_of.items():
            number = names.index(cell)
            # the seed in the middle: curves of unlike length have no mean
            reached = sorted(group, key=lambda run: (_steps(run, CLOSE) or float("inf"), run.found["curve"][-1][1]))
            curve = reached[len(reached) // 2].found["curve"]
            panel.plot(*zip(*curve, strict=True), color=colour(number), linestyle=DASHES[number % len(DASHES)],
                       marker=marker(number), markevery=max(len(curve) // 5, 1), markersize=4, linewidth=1.3,
                       label=cell)  # fmt: skip
        panel.axhline(1 / 6, color="#7a8793", linewidth=1, linestyle=":")
        panel.set_yscale("log")
        panel.set_ylim(top=0.4)
        tidy(panel, f"T={T}", "training steps, 50 sequences each", "test error (MSE)" if panel is panels[0] else "")
    panels[0].annotate("constant prediction", (1, 1 / 6), xycoords=("axes fraction", "data"), xytext=(0, 5), fontsize=8,
                       textcoords="offset points", ha="right", color="#7a8793")  # fmt: skip
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", frameon=False, fontsize=8)


ADDING = Experiment("The adding problem", 3, cases, measure, tables, draw)
