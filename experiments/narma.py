"""NARMA-10 with an echo state network: a nonlinear system of order ten, from its input alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ostinato import nn

from .experiment import Case, Experiment, Run
from .picture import colour, tidy
from .table import Table, spread

ORDER = 10
#: Rodan & Tino 2011 (IEEE TNN 22(1)): NMSE of their echo state networks, by the number of units.
PUBLISHED = {50: 0.166, 100: 0.0956, 150: 0.0514, 200: 0.0425}


def response(u: NDArray[np.float64]) -> NDArray[np.float64]:
    """The output of the system NARMA-10 (Atiya & Parlos 2000, IEEE TNN 11(3)) at rest before its input.

    y(t+1) = 0.3 y(t) + 0.05 y(t) (y(t) + ... + y(t-9)) + 1.5 u(t-9) u(t) + 0.1

    Args:
        u: the input (steps); the system expects numbers within 0..0.5.

    Returns:
        (steps): at t stands y(t+1), the first output that knows u(t). Not finite where the system ran away, as it does
        for a constant input of 0.5 and, rarely, for a random one.
    """
    y = np.zeros(len(u) + ORDER)
    before = np.concatenate([np.zeros(ORDER), u])
    with np.errstate(over="ignore", invalid="ignore"):
        for t in range(ORDER - 1, len(y) - 1):
            now = before[t + 1]
            y[t + 1] = (
                0.3 * y[t] + 0.05 * y[t] * y[t - ORDER + 1 : t + 1].sum() + 1.5 * before[t - ORDER + 2] * now + 0.1
            )
    return y[ORDER:]


def narma(steps: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """An input, uniform in 0..0.5, and the system's response. Inputs under which it exceeds 1 are drawn again, for that
    is how it begins to run away."""
    generator = np.random.default_rng(seed)
    while True:
        u = generator.uniform(0, 0.5, steps)
        y = response(u)
        if np.isfinite(y).all() and y.max() < 1:
            return u, y


def cases(quick: bool) -> list[Case]:
    steps = {"train": 1000, "test": 500} if quick else {"train": 3000, "test": 2000}
    shared = {**steps, "washout": 200}
    network = {"spectral_radius": 0.95, "input_scaling": 0.2, "bias_scaling": 0.2, "ridge": 1e-8}
    lines = [{"model": "delay line", "units": taps, **shared} for taps in (10, 50)]
    sizes = (50, 100) if quick else (50, 100, 150, 200, 400, 800)
    return lines + [{"model": "echo state network", "units": units, **shared, **network} for units in sizes]


def measure(case: Case, seed: int) -> dict[str, Any]:
    """NMSE on the test part: squared error over the variance of the target."""
    washout, train = case["washout"], case["train"]
    start = washout + train
    u, y = narma(start + case["test"], seed)
    if case["model"] == "delay line":
        taps = case["units"]
        rows = np.stack([np.concatenate([np.zeros(k), u[: len(u) - k]]) for k in range(taps)] + [np.ones(len(u))], 1)
        readout = np.linalg.lstsq(rows[washout:start], y[washout:start], rcond=None)[0]
        predicted = rows @ readout
    else:
        settings = {name: case[name] for name in ("spectral_radius", "input_scaling", "bias_scaling", "ridge")}
        network = nn.EchoStateNetwork(case["units"], washout=washout, seed=seed, **settings)
        network.fit(u[:start, None], y[:start])
        predicted = network.predict(u[:, None])
    nmse = float(np.mean((predicted[start:] - y[start:]) ** 2) / y[start:].var())
    return {"nmse": nmse, "nrmse": nmse**0.5}


def _found(runs: Sequence[Run], model: str, units: int, name: str) -> list[float]:
    return [run.found[name] for run in runs if run.case["model"] == model and run.case["units"] == units]


def _settings(runs: Sequence[Run]) -> list[tuple[str, int]]:
    return list(dict.fromkeys((run.case["model"], run.case["units"]) for run in runs))


def tables(runs: Sequence[Run]) -> list[Table]:
    rows = []
    for model, units in _settings(runs):
        nmse, nrmse = (_found(runs, model, units, name) for name in ("nmse", "nrmse"))
        known = PUBLISHED.get(units) if model == "echo state network" else None
        published = f"{known:g}, Rodan & Tino 2011 (not re-checked)" if known else "-"
        name = f"linear, {units} delayed inputs" if model == "delay line" else f"echo state network, {units} units"
        rows.append([name, str(len(nmse)), spread(nmse), spread(nrmse), published])
    return [Table("NARMA-10, test error", ("model", "seeds", "NMSE", "NRMSE", "published NMSE"), rows)]


def draw(runs: Sequence[Run], figure: Figure) -> None:
    panel = figure.subplots()
    models = {"echo state network": 0, "delay line": 1}
    sizes = [units for model, units in _settings(runs) if model == "echo state network"]
    means = [np.mean(_found(runs, "echo state network", units, "nmse")) for units in sizes]
    panel.plot(sizes, means, color=colour(0), linewidth=1.4, label="echo state network: mean, and each seed")
    for units in sizes:
        found = _found(runs, "echo state network", units, "nmse")
        panel.plot([units] * len(found), found, "o", color=colour(0), alpha=0.35, markersize=4)
    for number, taps in enumerate(units for model, units in _settings(runs) if model == "delay line"):
        level = float(np.mean(_found(runs, "delay line", taps, "nmse")))
        panel.axhline(level, color=colour(6), linewidth=1, linestyle=("--", ":")[number % 2])
        panel.annotate(f"linear, {taps} delayed inputs", (sizes[-1], level), xytext=(0, 4), fontsize=8, ha="right",
                       textcoords="offset points")  # fmt: skip
    known = [units for units in PUBLISHED if min(sizes) <= units <= max(sizes)]
    panel.plot(known, [PUBLISHED[units] for units in known], "X", color=colour(models["delay line"]), markersize=7,
               label="Rodan & Tino 2011")  # fmt: skip
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.set_xticks(sizes, [str(units) for units in sizes])
    panel.minorticks_off()
    tidy(panel, "NARMA-10: error of an echo state network by its size", "units", "NMSE on the test part")
    panel.legend(frameon=False, fontsize=8, loc="lower left")


NARMA = Experiment("NARMA-10, echo state network", 10, cases, measure, tables, draw)
