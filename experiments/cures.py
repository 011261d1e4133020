"""Cures for vanishing and exploding gradients, cell by cell, on two tasks that need a long memory."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn.functional import cross_entropy, mse_loss

from ostinato import nn

from .adding import adding
from .copy_memory import ALPHABET, BLANK, SYMBOLS, WORD, copy_memory
from .experiment import Case, Experiment, Run
from .picture import colour, tidy
from .table import Table, spread


@dataclass(frozen=True)
class Cure:
    """What is done for a network's memory, beside what is always the same.

    Attributes:
        recurrent, forget_bias: of `nn.initialise`.
        chrono: biases for memories as long as the sequences, in the place of a number.
        relu: in the place of tanh, for an RNN.
        clip: the greatest norm of the gradient of all weights; None is no clipping.
        truncate: `truncate_gradient`.
        penalty: the factor of the norm-preserving penalty.
    """

    recurrent: str | None = None
    forget_bias: float | None = None
    chrono: bool = False
    relu: bool = False
    clip: float | None = 1.0
    truncate: int | None = None
    penalty: float = 0.0


CURES: dict[str, Cure] = {
    "none": Cure(clip=None),
    "clipping": Cure(),
    "clipping, truncation at 100": Cure(truncate=100),
    "clipping, penalty": Cure(penalty=0.01),
    "clipping, orthogonal": Cure(recurrent="orthogonal"),
    "clipping, identity and relu": Cure(recurrent="identity", relu=True),
    "clipping, forget bias 1": Cure(forget_bias=1.0),
    "clipping, chrono": Cure(chrono=True),
}
CELLS: dict[str, type[torch.nn.Module]] = {"tanh RNN": nn.RNN, "LSTM": nn.LSTM, "GRU": nn.GRU}
#: What makes no sense for a cell, is another row's, or was made for networks without gates.
LEFT_OUT = {
    "tanh RNN": {"clipping, forget bias 1", "clipping, chrono"},
    "LSTM": {"clipping, identity and relu", "clipping, penalty"},
    "GRU": {"clipping, identity and relu", "clipping, penalty", "clipping, forget bias 1"},
}
#: A run has succeeded below this error, against 1/6 of a constant prediction; above this share of recalled symbols,
#: against 1/8 of a guess.
SUCCESS = {"adding": 0.01, "copy": 0.25}


class _Network(torch.nn.Module):
    """A cell with its cure, and a linear readout."""

    def __init__(self, cell: str, cure: Cure, inputs: int, units: int, outputs: int, length: int) -> None:
        super().__init__()
        kind: dict[str, Any] = {"nonlinearity": "relu"} if cure.relu else {}
        self.layer = CELLS[cell](inputs, units, batch_first=True, truncate_gradient=cure.truncate, **kind)
        self.readout = torch.nn.Linear(units, outputs)
        if cure.relu:
            with torch.no_grad():
                for name, tensor in self.layer.named_parameters():
                    if name.startswith("bias"):
                        tensor.zero_()
        bias = ("chrono", length) if cure.chrono else cure.forget_bias
        if cure.recurrent is not None or bias is not None:
            nn.initialise(self.layer, recurrent=cure.recurrent, forget_bias=bias)

    def forward(self, x: Tensor, last: bool) -> Tensor:
        y, _ = self.layer(x)
        found: Tensor = self.readout(y[:, -1] if last else y)
        return found


def cases(quick: bool) -> list[Case]:
    lengths = {"adding": (10, 20) if quick else (400, 2000), "copy": (2, 20) if quick else (200, 2000)}
    cells = {"GRU": CELLS["GRU"]} if quick else CELLS
    return [
        {"task": task, "cell": cell, "cure": cure, "T": T, "steps": steps, "batch": 50 if task == "adding" else 32,
         "units": 32 if task == "adding" else 64, "rate": 5e-3, "every": 100 if not quick else 10, "test": 500}
        for task, (T, steps) in lengths.items()
        for cell in cells
        for cure in CURES
        if cure not in LEFT_OUT[cell]
    ]  # fmt: skip


def _sequences(case: Case, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    if case["task"] == "adding":
        return adding(count, case["T"], generator)
    x, y = copy_memory(count, case["T"], generator)
    return torch.eye(ALPHABET)[x], y


def _loss(task: str, found: Tensor, y: Tensor) -> Tensor:
    return mse_loss(found, y) if task == "adding" else cross_entropy(found.flatten(0, 1), y.flatten())


def _score(task: str, found: Tensor, y: Tensor) -> float:
    """The test error, or the share of recalled symbols."""
    if task == "adding":
        return mse_loss(found, y).item()
    return (found[:, -WORD:].argmax(-1) == y[:, -WORD:]).double().mean().item()


def _succeeds(task: str, score: float) -> bool:
    return score < SUCCESS[task] if task == "adding" else score > SUCCESS[task]


def measure(case: Case, seed: int) -> dict[str, Any]:
    """The score along training, which ends where the run has succeeded, or the loss is no number."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    task, cure = case["task"], CURES[case["cure"]]
    sizes = (2, 1, case["T"]) if task == "adding" else (ALPHABET, BLANK + 1, case["T"] + WORD)
    network = _Network(case["cell"], cure, sizes[0], case["units"], sizes[1], sizes[2])
    x_test, y_test = _sequences(case, case["test"], generator)
    optimizer = torch.optim.Adam(network.parameters(), case["rate"])
    curve: list[list[float]] = []
    for step in range(1, case["steps"] + 1):
        x, y = _sequences(case, case["batch"], generator)
        optimizer.zero_grad()
        with nn.norm_preserving_penalty(network) if cure.penalty else nullcontext() as penalty:
            loss = _loss(task, network(x, task == "adding"), y)
            loss.backward()
        if penalty is not None:
            (cure.penalty * penalty()).backward()
        if cure.clip is not None:
            torch.nn.utils.clip_grad_norm_(network.parameters(), cure.clip)
        optimizer.step()
        if not loss.isfinite():
            return {"curve": curve, "broke": step}
        if step % case["every"] == 0:
            with torch.no_grad():
                score = _score(task, network(x_test, task == "adding"), y_test)
            curve.append([step, float(f"{score:.4g}")])
            if _succeeds(task, score):
                break
    return {"curve": curve}


def _best(run: Run) -> float:
    scores: list[float] = [score for _, score in run.found["curve"]]
    return min(scores) if run.case["task"] == "adding" else max(scores)


def _groups(runs: Sequence[Run], task: str) -> dict[tuple[str, str], list[Run]]:
    found: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        if run.case["task"] == task:
            found.setdefault((run.case["cure"], run.case["cell"]), []).append(run)
    return found


def _cell(group: Sequence[Run] | None) -> str:
    """How many runs succeeded, after how many steps, or how far they came."""
    if not group:
        return ""
    task = group[0].case["task"]
    reached = [run.found["curve"][-1][0] for run in group if run.found["curve"] and _succeeds(task, _best(run))]
    told = f"{len(reached)} of {len(group)}"
    if reached:
        return f"{told}, {spread(reached)} steps"
    measured = [_best(run) for run in group if run.found["curve"]]
    return f"{told}, best {spread(measured)}"


def tables(runs: Sequence[Run]) -> list[Table]:
    titles = {
        "adding": "Adding problem, T={T}: runs with a test error under 0.01 within {steps} steps",
        "copy": "Copy memory, T={T}: runs that recall a quarter of the symbols within {steps} steps",
    }
    found = []
    for task, title in titles.items():
        groups = _groups(runs, task)
        cells = list(dict.fromkeys(cell for _, cell in groups))
        rows = [
            [cure, *(_cell(groups.get((cure, cell))) for cell in cells)] for cure in dict.fromkeys(c for c, _ in groups)
        ]
        case = next(iter(groups.values()))[0].case
        found.append(Table(title.format(**case), ("cure", *cells), rows))
    return found


def draw(runs: Sequence[Run], figure: Figure) -> None:
    cells = list(dict.fromkeys(run.case["cell"] for run in runs))
    panels = figure.subplots(2, len(cells), squeeze=False)
    names = list(CURES)
    for line, task in enumerate(("adding", "copy")):
        for panel, cell in zip(panels[line], cells, strict=True):
            for (cure, of), group in _groups(runs, task).items():
                curves = [run.found["curve"] for run in group if run.found["curve"]]
                if of == cell and curves:
                    middle = sorted(curves, key=lambda curve: (curve[-1][0], curve[-1][1]))[len(curves) // 2]
                    panel.plot(*zip(*middle, strict=True), color=colour(names.index(cure)), linewidth=1.3, label=cure)
            if task == "adding":
                panel.set_yscale("log")
                panel.set_ylim(5e-3, 0.5)
                panel.axhline(1 / 6, color="#7a8793", linewidth=1, linestyle=":")
            else:
                panel.set_ylim(0, 0.4)
                panel.axhline(1 / SYMBOLS, color="#7a8793", linewidth=1, linestyle=":")
            left = "" if panel is not panels[line][0] else "test error (MSE)" if task == "adding" else "recalled"
            tidy(panel, cell if line == 0 else "", "training steps" if line else "", left)
    seen = {
        label: handle for panel in panels.flat for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    figure.legend(list(seen.values()), list(seen), loc="outside right center", frameon=False, fontsize=8)


CURES_OF_CELLS = Experiment("Cures, cell by cell", 3, cases, measure, tables, draw)
