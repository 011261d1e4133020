"""Copy memory: repeat ten symbols after a silence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from .experiment import Case, Experiment, Run, by_length_and_cell
from .network import Network
from .picture import DASHES, colour, marker, tidy
from .table import Table, spread

SYMBOLS, WORD = 8, 10
BLANK, CUE = 8, 9
ALPHABET = 10
CELLS = ("tanh RNN", "LSTM, forget bias 1", "LSTM, chrono", "GRU")
BAI = "Bai et al. 2018"
#: Cross-entropy at T=1000, where the memoryless baseline is 0.0204.
PUBLISHED = {"tanh RNN": f"0.0202, {BAI}", "LSTM, forget bias 1": f"0.0204, {BAI}", "GRU": f"0.0197, {BAI}"}
#: Training ends where this share of the symbols is recalled.
SOLVED = 0.99


def copy_memory(count: int, silence: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Sequences of copy memory (Hochreiter & Schmidhuber 1997; so in Arjovsky, Shah & Bengio 2016, 1511.06464).

    Args:
        count: of sequences.
        silence: T: how long the ten symbols are to be held.
        generator: draws the symbols.

    Returns:
        Input and target (count, T + 20), integers: the input is ten symbols of 0..7, T - 1 blanks (8), a cue (9) and
        ten blanks; the target is T + 10 blanks and the ten symbols.
    """
    words = torch.randint(SYMBOLS, (count, WORD), generator=generator)
    x = torch.full((count, silence + 2 * WORD), BLANK)
    target = x.clone()
    x[:, :WORD] = words
    x[:, WORD + silence - 1] = CUE
    target[:, -WORD:] = words
    return x, target


def memoryless(silence: int) -> float:
    """The least cross-entropy without memory of the symbols: ten times ln 8 over all T + 20 steps."""
    return WORD * math.log(SYMBOLS) / (silence + 2 * WORD)


def cases(quick: bool) -> list[Case]:
    shared = {"units": 64, "batch": 32, "rate": 5e-3, "clip": 1.0, "every": 100, "test": 500}
    steps = 100 if quick else 10_000
    if quick:
        return [{"cell": cell, "T": 1, "steps": steps, **shared} for cell in ("tanh RNN", "GRU")]
    return [{"cell": cell, "T": T, "steps": steps, **shared} for T in (5, 20) for cell in CELLS]


def measure(case: Case, seed: int) -> dict[str, Any]:
    """Cross-entropy over all steps and share of recalled symbols along training, on test sequences."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    network = Network(case["cell"], ALPHABET, case["units"], BLANK + 1, case["T"] + WORD)
    one_hot = torch.eye(ALPHABET)
    x_test, y_test = copy_memory(case["test"], case["T"], generator)
    optimizer = torch.optim.Adam(network.parameters(), case["rate"])
    curve: list[list[float]] = []
    for step in range(1, case["steps"] + 1):
        x, y = copy_memory(case["batch"], case["T"], generator)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(one_hot[x]).flatten(0, 1), y.flatten()).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), case["clip"])
        optimizer.step()
        if step % case["every"] == 0:
            with torch.no_grad():
                scores = network(one_hot[x_test])
                entropy = torch.nn.functional.cross_entropy(scores.flatten(0, 1), y_test.flatten()).item()
                recalled = (scores[:, -WORD:].argmax(-1) == y_test[:, -WORD:]).double().mean().item()
            curve.append([step, float(f"{entropy:.4g}"), round(recalled, 4)])
            if recalled >= SOLVED:
                break
    return {"memoryless": memoryless(case["T"]), "numbers": network.trained_numbers(), "curve": curve}


def tables(runs: Sequence[Run]) -> list[Table]:
    found = []
    for T, rows_of in by_length_and_cell(runs).items():
        rows = []
        for cell, group in rows_of.items():
            lowest = [min(entropy for _, entropy, _ in run.found["curve"]) for run in group]
            recalled = [run.found["curve"][-1][2] for run in group]
            steps = [run.found["curve"][-1][0] for run in group if run.found["curve"][-1][2] >= SOLVED]
            rows.append([cell, str(group[0].found["numbers"]), spread(recalled), f"{len(steps)} of {len(group)}",
                         spread(steps), spread(lowest), PUBLISHED.get(cell, "-")])  # fmt: skip
        level = f"{memoryless(T):.4f}"
        title = (
            f"T={T}, at most {next(iter(rows_of.values()))[0].case['steps']} steps; memoryless cross-entropy {level}"
        )
        header = (
            "cell", "trained numbers", "recalled at the end (chance 0.125)", f"recall {SOLVED:g} reached",
            "after steps", "lowest cross-entropy", "published at T=1000",
        )  # fmt: skip
        found.append(Table(title, header, rows))
    return found


def draw(runs: Sequence[Run], figure: Figure) -> None:
    grouped = by_length_and_cell(runs)
    names = list(dict.fromkeys(run.case["cell"] for run in runs))
    panels = figure.subplots(1, len(grouped), sharey=True, squeeze=False)[0]
    for panel, (T, rows_of) in zip(panels, grouped.items(), strict=True):
        for cell, group in rows_of.items():
            number = names.index(cell)
            middle = sorted(group, key=lambda run: (run.found["curve"][-1][0], -run.found["curve"][-1][2]))
            curve = middle[len(middle) // 2].found["curve"]
            panel.plot([step for step, _, _ in curve], [recalled for _, _, recalled in curve], color=colour(number),
                       linestyle=DASHES[number % len(DASHES)], marker=marker(number), markevery=max(len(curve) // 5, 1),
                       markersize=4, linewidth=1.3, label=cell)  # fmt: skip
        panel.axhline(1 / SYMBOLS, color="#7a8793", linewidth=1, linestyle=":")
        panel.set_ylim(0, 1.02)
        tidy(panel, f"T={T}", "training steps, 32 sequences each", "symbols recalled" if panel is panels[0] else "")
    panels[0].annotate("chance", (1, 1 / SYMBOLS), xycoords=("axes fraction", "data"), xytext=(0, -10), fontsize=8,
                       textcoords="offset points", ha="right", color="#7a8793")  # fmt: skip
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", frameon=False, fontsize=8)


COPY_MEMORY = Experiment("Copy memory", 3, cases, measure, tables, draw)
