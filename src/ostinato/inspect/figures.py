"""Pictures of what the measures find. Each is made of the data of one measure, on a light or a dark ground, for any
size in pixels; `Figure.savefig` writes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from matplotlib.ticker import MaxNLocator, PercentFormatter

from ..report.style import (
    SIZE,
    Size,
    bar,
    colour,
    dash,
    legend,
    literal,
    new,
    outer,
    panels,
    shortened,
    style,
    tidy,
    where,
)
from .attribution import Attribution
from .curves import LearningCurves
from .gates import Activations, Saturation
from .gradients import GradientFlow
from .jacobian import JacobianNorms
from .memory import Disturbance
from .recording import Snapshot, vanishing
from .spectrum import Spectrum

#: What stands for a norm of 0 where norms are drawn on a logarithmic scale: less than that is no number of float32.
TINY = 1e-38


def draw_gradient_flow(found: Sequence[GradientFlow], *, dark: bool = False, size: Size = SIZE) -> Figure:
    """The norms of the gradients along the sequence, on a logarithmic scale: a colour a layer, a dash a state."""
    figure = new(dark, size)
    panel = figure.subplots()
    layers = list(dict.fromkeys((one.layer, one.direction) for one in found))
    states = list(dict.fromkeys(one.state for one in found))
    names = shortened([where(one.layer, one.direction, one.state) for one in found])
    for one, name in zip(found, names, strict=True):
        panel.plot(
            np.arange(1, len(one.norms) + 1), _positive(one.norms), label=name, linewidth=1.5,
            color=colour(layers.index((one.layer, one.direction)), dark), linestyle=dash(states.index(one.state)),
            marker="o" if (one.norms > TINY).sum() < 3 else None, markersize=4,
        )  # fmt: skip
    _logarithmic(panel, [one.norms for one in found])
    tidy(
        panel,
        dark,
        "Gradient of the loss with respect to the states",
        "step t",
        r"$\|\partial L / \partial s_t\|$, mean over rows",
    )
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.margins(x=0.01)
    legend(figure, panel, dark)
    return figure


def draw_jacobian_norms(
    found: Sequence[JacobianNorms], *, threshold: float = 0.01, dark: bool = False, size: Size = SIZE
) -> Figure:
    """The Jacobians' norms over the lag, relative to lag 0, and where they fall below the threshold."""
    figure = new(dark, size)
    panel, look = figure.subplots(), style(dark)
    for number, one in enumerate(found):
        memory = one.memory(threshold)
        name = where(one.layer, one.direction, f"{memory.steps} steps" + ("+" if memory.open else ""))
        panel.plot(
            _positive(one.relative), color=colour(number, dark), linestyle=dash(number // 6), label=name, linewidth=1.6
        )
        panel.plot(memory.steps, one.relative[memory.steps], "o", color=colour(number, dark), markersize=5)
    panel.axhline(threshold, color=look.text, linewidth=1, linestyle=(0, (2, 3)), label=f"threshold {threshold:g}")
    _logarithmic(panel, [*(one.relative for one in found), np.array([threshold])])
    of, by = ("h" if part == "output" else "s" for part in (found[0].of, found[0].by))
    symbol = {"frobenius": "F", "spectral": "2"}[found[0].norm]
    tidy(
        panel, dark, "How much of the state of k steps before is left", "lag k, steps",
        rf"$\|\partial {of}_T / \partial {by}_{{T-k}}\|_{symbol}$, relative to $k = 0$",
    )  # fmt: skip
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.margins(x=0.01)
    legend(figure, panel, dark)
    return figure


def draw_saturation(found: Sequence[Saturation], *, dark: bool = False, size: Size = SIZE) -> Figure:
    """For every unit the share of steps at which its gate is wide open, and at which it is shut: a point a unit, near
    the diagonal where the gate is hardly ever between."""
    figure, look = new(dark, size), style(dark)
    layers = list(dict.fromkeys((one.layer, one.direction) for one in found))
    grid = panels(figure, len(layers), dark, (200, 160), sharex=True, sharey=True)
    gates = list(dict.fromkeys(one.gate for one in found))
    for panel, (layer, direction) in zip(grid, layers, strict=False):
        panel.plot([0, 1], [1, 0], color=look.faint, linewidth=1)
        for one in found:
            if (one.layer, one.direction) == (layer, direction):
                number = gates.index(one.gate)
                panel.plot(
                    one.open, one.shut, "osD^vP"[number % 6], color=colour(number, dark), markersize=5, alpha=0.7,
                    markeredgewidth=0, label=f"gate {one.gate}", clip_on=False,
                )  # fmt: skip
        title = shortened([where(layer, direction)])[0]
        tidy(panel, dark, title, "share above 0.9", "share below 0.1")
        panel.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
        for axis in (panel.xaxis, panel.yaxis):
            axis.set_major_formatter(PercentFormatter(1.0, decimals=0))
            axis.set_ticks([0, 0.25, 0.5, 0.75, 1])
    outer(grid, ticks=True)
    legend(figure, grid[0], dark)
    return figure


def draw_activations(found: Sequence[Activations], *, row: int = 0, dark: bool = False, size: Size = SIZE) -> Figure:
    """The states of one sequence: a column a step, a row a unit."""
    figure, look = new(dark, size), style(dark)
    grid = panels(figure, len(found), dark, (280, 160), aspect=2.0)
    for panel, one in zip(grid, found, strict=False):
        values = one.values[row].T
        most = float(np.nanmax(np.abs(values))) or 1.0
        image = panel.imshow(
            values, aspect="auto", cmap=look.diverging, vmin=-most, vmax=most, interpolation="nearest",
            extent=(0.5, values.shape[1] + 0.5, values.shape[0] + 0.5, 0.5),
        )  # fmt: skip
        title = shortened([where(one.layer, one.direction, f"state {one.state}")])[0]
        tidy(panel, dark, title, "step t", "unit", grid=False)
        for axis in (panel.xaxis, panel.yaxis):
            axis.set_major_locator(MaxNLocator(nbins=5, integer=True, min_n_ticks=1))
        bar(figure, image, panel, dark, "")
    outer(grid)
    return figure


def draw_attribution(
    found: Attribution, *, names: Sequence[str] | None = None, dark: bool = False, size: Size = SIZE
) -> Figure:
    """Sensitivity and contribution of every step and feature: as lines of up to six features, else as an image."""
    figure, look = new(dark, size), style(dark)
    features = found.sensitivity.shape[2]
    names = list(names or ([] if found.tokens else [f"x{number + 1}" for number in range(features)]))
    upper, lower = figure.subplots(2, 1, sharex=True)
    y = "y" if found.output is None else f"y_{{{found.output + 1}}}"
    parts = (
        (
            found.sensitivity,
            rf"$|\partial {y} / \partial x|$",
            "Sensitivity of the final output, mean over rows",
            look.rising,
        ),
        (
            found.contribution,
            rf"$x \, \partial {y} / \partial x$",
            "Contribution to it (gradient × input), mean over rows",
            look.diverging,
        ),
    )
    for panel, (values, symbol, title, colours) in zip((upper, lower), parts, strict=True):
        mean = _mean(values)
        if features <= 6:
            for number, line in enumerate(mean.T):
                name = literal(names[number]) if names else "token"
                panel.plot(np.arange(1, len(line) + 1), line, color=colour(number, dark), linewidth=1.5, label=name)
            tidy(panel, dark, title, "step t", symbol)
            panel.margins(x=0.01)
        else:
            most = float(np.nanmax(np.abs(mean))) or 1.0
            image = panel.imshow(
                mean.T, aspect="auto", cmap=colours, vmin=0 if colours == look.rising else -most, vmax=most,
                interpolation="nearest", extent=(0.5, len(mean) + 0.5, features + 0.5, 0.5),
            )  # fmt: skip
            tidy(panel, dark, title, "step t", "feature", grid=False)
            panel.yaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
            bar(figure, image, panel, dark, symbol)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    upper.label_outer()
    if 1 < features <= 6:
        legend(figure, upper, dark)
    return figure


def draw_spectra(found: Sequence[Spectrum], *, dark: bool = False, size: Size = SIZE) -> Figure:
    """The eigenvalues of every recurrent matrix in the complex plane, with the unit circle."""
    figure, look = new(dark, size), style(dark)
    grid = panels(figure, len(found), dark, (150, 175), aspect=0.9, sharex=True, sharey=True)
    shown = found[: len(grid)]
    reach = 1.1 * max(1.0, *(one.radius for one in shown))
    for panel, one in zip(grid, shown, strict=True):
        panel.add_patch(Circle((0, 0), 1, fill=False, edgecolor=look.text, linewidth=1))
        inside = np.abs(one.eigenvalues) <= 1
        for part, marker in ((inside, "o"), (~inside, "D")):
            values = one.eigenvalues[part]
            panel.plot(
                values.real, values.imag, marker, color=colour(0 if marker == "o" else 1, dark), markersize=4, alpha=0.8
            )
        title = shortened([where(one.layer, one.direction, f"U of {one.gate}")], 20)[0]
        tidy(panel, dark, f"{title}\nradius {one.radius:.3g}", "real", "imaginary")
        panel.title.set_fontsize(8.5)
        panel.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
        panel.grid(axis="x", color=look.faint, linewidth=0.6)
        for axis in (panel.xaxis, panel.yaxis):
            axis.set_major_locator(MaxNLocator(nbins=4, symmetric=True))
    outer(grid, ticks=True)
    return figure


def draw_disturbance(found: Disturbance, *, threshold: float = 0.01, dark: bool = False, size: Size = SIZE) -> Figure:
    """The change of the output over the lag of the disturbed step, each seed and their mean."""
    figure, look = new(dark, size), style(dark)
    panel, mean = figure.subplots(), found.relative.mean(0)
    memory = found.memory(threshold)
    marked = "o" if len(found.lags) <= 60 else None
    if len(found.relative) > 1:
        low, high = found.relative.min(0), found.relative.max(0)
        panel.fill_between(
            found.lags, _floored(low), _floored(high), color=colour(0, dark), alpha=0.2, linewidth=0,
            label=f"lowest to highest of {len(found.relative)} seeds",
        )  # fmt: skip
    panel.plot(
        found.lags, _positive(mean), color=colour(0, dark), linewidth=1.7, marker=marked, markersize=3, label="mean"
    )
    panel.axhline(threshold, color=look.text, linewidth=1, linestyle=(0, (2, 3)), label=f"threshold {threshold:g}")
    panel.axvline(memory.steps, color=colour(1, dark), linewidth=1.2, label=f"memory: {memory}")
    _logarithmic(panel, [mean, np.array([threshold])])
    tidy(
        panel, dark, "Final output after the input of k steps before is disturbed", "lag k, steps",
        "change, relative to the largest",
    )  # fmt: skip
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.margins(x=0.01)
    legend(figure, panel, dark)
    return figure


def draw_learning_curves(found: LearningCurves, *, dark: bool = False, size: Size = SIZE) -> Figure:
    """A panel a metric and a colour a run; what was measured on validation rows is dashed."""
    figure = new(dark, size)
    grid = panels(figure, len(found.metrics), dark, (260, 180))
    for panel, metric in zip(grid, found.metrics, strict=False):
        for number, (run, curves) in enumerate(found.runs.items()):
            for name, line, suffix in ((metric, "-", ""), (f"val_{metric}", "--", " (validation)")):
                if name in curves:
                    values = curves[name]
                    panel.plot(
                        np.arange(1, len(values) + 1), values, line, color=colour(number, dark), linewidth=1.5,
                        label=literal(shortened([run])[0]) + suffix, marker="o" if len(values) < 3 else None,
                    )  # fmt: skip
        tidy(panel, dark, metric, "epoch", metric)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    outer(grid)
    legend(figure, grid[0], dark)
    return figure


def draw_recording(found: Sequence[Snapshot], *, dark: bool = False, size: Size = SIZE) -> Figure:
    """Over training: how much of the gradient reaches the first step, and how many gates are saturated."""
    figure = new(dark, size)
    ratios = vanishing(list(found))
    steps = [one.step for one in found]
    first, *second = figure.subplots(1, 2 if any(one.saturation for one in found) else 1, squeeze=False)[0]
    for number, ((layer, direction, state), values) in enumerate(ratios.items()):
        name = shortened([where(layer, direction, state)])[0]
        first.plot(steps, _positive(values), color=colour(number, dark), linestyle=dash(number // 6), label=name)
    _logarithmic(first, list(ratios.values()))
    tidy(
        first,
        dark,
        "Gradient at the first step",
        "training step",
        r"$\|\partial L / \partial s_1\|$, relative to the largest",
    )
    first.xaxis.set_major_locator(MaxNLocator(integer=True))
    first.legend(loc="best", frameon=False, fontsize=7, labelcolor=style(dark).text)
    for panel in second:
        shares: dict[tuple[str, int, str], list[float]] = {}
        for one in found:
            for gate in one.saturation:
                one_gate = gate.layer, gate.direction, gate.gate
                shares.setdefault(one_gate, []).append(float((gate.shut + gate.open).mean()))
        names = shortened([where(*one_gate) for one_gate in shares])
        for number, (name, share) in enumerate(zip(names, shares.values(), strict=True)):
            panel.plot(steps, share, color=colour(number, dark), linestyle=dash(number // 6), label=name)
        tidy(panel, dark, "Saturated gates", "training step", "share of units and steps")
        panel.yaxis.set_major_formatter(PercentFormatter(1.0))
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        # a scale that ends at some hundredths of a percent would make much of nothing
        panel.set_ylim(0, max(panel.get_ylim()[1], 0.1))
        panel.legend(loc="best", frameon=False, fontsize=7, labelcolor=style(dark).text)
    return figure


def _mean(values: np.ndarray) -> np.ndarray:
    """(T, F): over the rows that have the step; NaN where none has."""
    known = np.isfinite(values)
    count = known.sum(0)
    total: np.ndarray = np.where(known, values, 0.0).sum(0)
    mean: np.ndarray = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return mean


def _positive(values: np.ndarray) -> np.ndarray:
    """What a logarithmic scale can show; gaps elsewhere."""
    shown: np.ndarray = np.where(values > TINY, values, np.nan)
    return shown


def _floored(values: np.ndarray) -> np.ndarray:
    floored: np.ndarray = np.maximum(values, TINY)
    return floored


def _logarithmic(panel: Any, curves: Sequence[np.ndarray]) -> None:
    """A logarithmic scale over what the curves hold, if anything is above 0."""
    known = np.concatenate([np.ravel(one) for one in curves]) if curves else np.zeros(0)
    known = known[np.isfinite(known) & (known > TINY)]
    if len(known):
        panel.set_yscale("log")
        panel.set_ylim(known.min() / 2, known.max() * 2)
