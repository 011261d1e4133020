"""The picture of a language model's training: what a unit costs, epoch by epoch, beside what it costs n-grams."""

from __future__ import annotations

import math
from pathlib import Path

from matplotlib.ticker import MaxNLocator

from ..report.style import SIZE, colour, legend, new, style, tidy
from .language_run import Written


def draw(written: Written, path: Path) -> None:
    """Write the learning curve as PNG."""
    training = written.model.training
    assert training is not None
    unit = written.model.settings.unit
    figure = new(False, SIZE)
    panel = figure.subplots()
    numbers = [epoch.number for epoch in training.history]
    bits = [epoch.loss / math.log(2) for epoch in training.history]
    panel.plot(numbers, bits, color=colour(0, False), marker="o", markersize=3, label="training text, with dropout")
    later = [(e.number, e.val_loss / math.log(2)) for e in training.history if e.val_loss is not None]
    panel.plot(*zip(*later, strict=True), color=colour(1, False), marker="o", markersize=3, label="validation text")
    panel.axvline(training.best, color=style(False).faint, linewidth=1, zorder=0)
    for number, rival in enumerate(written.rivals):
        panel.axhline(
            math.log2(rival.surprise.perplexity), color=colour(number + 2, False), linewidth=1, linestyle="--",
            label=f"{rival.name}, test text",
        )  # fmt: skip
    panel.axhline(
        math.log2(written.surprise.perplexity), color=style(False).strong, linewidth=1, label="the model, test text"
    )
    title = f"{written.corpus.source}: {written.surprise.bits_per_character:.3f} bits per character on the test text"
    tidy(panel, False, title, "epoch", f"bits per {unit}")
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend(figure, panel, False)
    figure.savefig(path)
