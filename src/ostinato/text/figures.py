"""The pictures of an account: which classes are confused, whether probabilities hold, and how training went."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from ..report.style import SIZE, Size, colour, legend, literal, new, shortened, style, tidy
from ..sequences.metrics import Calibration
from ..sequences.training import Training
from .account import Account
from .regression import Regression

#: Most classes of which a confusion matrix has room for the numbers, and pixels of the picture for each name.
WRITTEN, NAMED = 12, 22


def draw_confusion(found: Account, *, dark: bool = False, size: Size = SIZE) -> Figure:
    """A square for each pair of classes: of those that are truly the one, the share that was taken for the other."""
    figure = new(dark, size)
    panel = figure.subplots()
    if found.several:
        _bars(panel, found, dark)
        legend(figure, panel, dark)
        return figure
    figure.set_layout_engine("compressed", w_pad=0.08, h_pad=0.08)  # no gap between the square and its scale
    counts = found.confusion
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    image = panel.imshow(shares, cmap=style(dark).rising, vmin=0, vmax=1)
    names = [literal(name) for name in shortened(found.classes, 18)]
    count = len(names)
    places = np.arange(0, count, -(-count * NAMED // min(size)))
    tidy(panel, dark, "Of each true class, what it was taken for", "predicted", "true", grid=False)
    panel.set_xticks(places, [names[k] for k in places], rotation=0 if max(map(len, names)) * count < 60 else 90)
    panel.set_yticks(places, [names[k] for k in places])
    panel.spines[["left", "bottom"]].set_visible(False)
    if count <= WRITTEN:
        for row, column in np.ndindex(count, count):
            red, green, blue, _ = image.cmap(image.norm(shares[row, column]))
            bright = 0.299 * red + 0.587 * green + 0.114 * blue > 0.55
            panel.text(
                column, row, f"{counts[row, column]:,}", ha="center", va="center",
                color="#16191d" if bright else "#ffffff", fontsize=11 if count <= 6 else 8,
            )  # fmt: skip
    bar = figure.colorbar(image, ax=panel, pad=0.02, aspect=30, format=PercentFormatter(1, decimals=0))
    bar.ax.tick_params(colors=style(dark).text, labelsize=8)
    bar.outline.set_visible(False)
    return figure


def _bars(panel: Axes, found: Account, dark: bool) -> None:
    """Of each label, how often it was given rightly, missed, and given wrongly."""
    names = [literal(name) for name in shortened(found.classes, 18)]
    _, wrongly, missed, rightly = found.confusion.T
    left = np.zeros(len(names))
    for number, (name, count) in enumerate((("right", rightly), ("missed", missed), ("wrongly given", wrongly))):
        panel.barh(np.arange(len(names)), count, left=left, color=colour((0, 3, 1)[number], dark), label=name)
        left = left + count
    tidy(panel, dark, "Of each label, how often it was found", "texts", "", grid=False)
    panel.set_yticks(np.arange(len(names)), names)
    panel.invert_yaxis()


def draw_reliability(calibration: Calibration, *, dark: bool = False, size: Size = SIZE) -> Figure:
    """How often predictions of a confidence are right; the diagonal is what they claim."""
    figure = new(dark, size)
    upper, lower = figure.subplots(2, 1, height_ratios=[3, 1], sharex=True)
    bins = [one for one in calibration.bins if one.count]
    middles = [(one.lowest + one.highest) / 2 for one in bins]
    width = 0.94 * (calibration.bins[0].highest - calibration.bins[0].lowest)
    upper.bar(middles, [one.accuracy for one in bins], width, color=colour(0, dark), label="right")
    upper.plot([0, 1], [0, 1], color=style(dark).strong, linewidth=1.2, linestyle="--", label="as often as they say")
    upper.plot(
        [one.confidence for one in bins], [one.accuracy for one in bins], color=colour(1, dark), marker="o",
        linewidth=1.2, markersize=4, clip_on=False, zorder=3, label="mean confidence of the bin",
    )  # fmt: skip
    tidy(upper, dark, f"Expected calibration error {100 * calibration.error:.1f} points", "", "share that is right")
    lower.bar(middles, [one.count for one in bins], width, color=colour(0, dark))
    tidy(lower, dark, "", "confidence of the prediction", "predictions")
    upper.set_ylim(0, 1.02)
    for axis in (upper.xaxis, upper.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
    # of two classes none is predicted with less than one half
    lowest = min((one.lowest for one in bins), default=0.0)
    upper.set_xlim(max(min(lowest, 0.5) - 0.02, 0), 1)
    lower.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    legend(figure, upper, dark)
    return figure


def draw_training(
    training: Training, unit: str = "cross-entropy, nats", *, dark: bool = False, size: Size = SIZE
) -> Figure:
    """The loss of every epoch, and the epoch whose weights were kept."""
    figure = new(dark, size)
    panel = figure.subplots()
    epochs = [one.number for one in training.history]
    lines: Sequence[tuple[str, list[float | None]]] = (
        ("training", [one.loss for one in training.history]),
        ("validation", [one.val_loss for one in training.history]),
    )
    for number, (name, values) in enumerate(lines):
        if all(value is not None for value in values):
            panel.plot(epochs, np.array(values, dtype=float), color=colour(number, dark), marker="o", label=name)
    panel.axvline(training.best, color=style(dark).strong, linewidth=1, linestyle=":", label="weights kept")
    tidy(panel, dark, "Loss", "epoch", unit)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.set_ylim(bottom=0)
    legend(figure, panel, dark)
    return figure


def draw_predictions(found: Regression, *, dark: bool = False, size: Size = SIZE) -> Figure:
    """The predicted against the true numbers of the test rows."""
    figure = new(dark, size)
    panel = figure.subplots()
    true, predicted = (one.reshape(len(one), -1) for one in (found.true, found.predicted))
    for column in range(true.shape[1]):
        name = "test rows" if true.shape[1] == 1 else f"target {column}"
        panel.plot(
            true[:, column], predicted[:, column], "o", color=colour(column, dark), markersize=4, alpha=0.6, label=name
        )
    ends = [min(true.min(), predicted.min()), max(true.max(), predicted.max())]
    panel.plot(ends, ends, color=style(dark).strong, linewidth=1.2, linestyle="--", label="right")
    tidy(panel, dark, "Predicted against true", "true", "predicted")
    legend(figure, panel, dark)
    return figure
