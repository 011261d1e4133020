"""Everything that is to be seen of a model, in one report: numbers, sentences, pictures and a page."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..errors import InputError
from ..report.folder import Kind, plain, staged
from ..report.page import page, png
from .attribution import attribution
from .gates import activations_of, gates_of
from .gradients import gradient_flow
from .jacobian import norms_of
from .memory import disturbance
from .probe import Loss, Probe
from .spectrum import spectra_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DATA, PAGE = "report.json", "report.html"
REPORT = Kind("report", DATA, "ostinato.look", 1, "ostinato look")

#: How many sequences are looked at for what takes long: Jacobians; states, gates, and disturbances.
FEW, SOME = 4, 16

#: What each measure is called in a report.
TITLES = {
    "gradient_flow": "Gradient flow",
    "jacobian": "Memory of the state",
    "disturbance": "Memory of the input",
    "saturation": "Saturated gates",
    "activations": "States over one sequence",
    "attribution": "What moved the output",
    "spectra": "Eigenvalues of the recurrent matrices",
}

_CAPTIONS = {
    "gradient_flow": "The norm of the gradient of {loss} with respect to the states of every layer, step by step.",
    "jacobian": "How much the last output of a layer still depends on its state k steps before, by exact Jacobians.",
    "disturbance": "What disturbing the input of one step, by noise of its own size, does to the final output.",
    "saturation": "A point for every unit: how often its gate is above 0.9, and how often below 0.1.",
    "activations": "The values of the states over the first sequence.",
    "attribution": "The gradient of the final output with respect to the input, and gradient times input.",
    "spectra": "The eigenvalues of every block of U. Outside of the unit circle a linear recurrence would grow.",
}


@dataclass(frozen=True)
class Report:
    """What was seen of a model.

    Attributes:
        name: of the model.
        data: by the name of a measure what it found; see `TITLES`.
        sentences: what it comes to.
        settings: what was looked at, and how.
    """

    name: str
    data: Mapping[str, Any]
    sentences: tuple[str, ...]
    settings: Mapping[str, Any]

    @cached_property
    def figures(self) -> dict[str, Figure]:
        """The picture of each measure, on a light ground."""
        return {name: self.draw(name) for name in self.data}

    def draw(self, name: str, *, dark: bool = False, size: tuple[int, int] | None = None) -> Figure:
        """The picture of one measure, of so many pixels.

        Raises:
            InputError: the report has no such measure.
        """
        if name not in self.data:
            raise InputError(f"the report has no {name!r}; it has {', '.join(self.data)}")
        from . import figures

        drawn: dict[str, Callable[..., Figure]] = {
            "gradient_flow": figures.draw_gradient_flow,
            "jacobian": figures.draw_jacobian_norms,
            "disturbance": figures.draw_disturbance,
            "saturation": figures.draw_saturation,
            "activations": figures.draw_activations,
            "attribution": figures.draw_attribution,
            "spectra": figures.draw_spectra,
        }
        options: dict[str, Any] = {} if size is None else {"size": size}
        if name in ("jacobian", "disturbance"):
            options["threshold"] = self.settings["threshold"]
        if name == "attribution":
            options["names"] = self.settings["features"]
        return drawn[name](self.data[name], dark=dark, **options)

    def save(self, folder: str | Path, overwrite: bool = False) -> Path:
        """Write a folder: the pictures as PNG, light and dark; all numbers as `report.json`; and `report.html`, one
        page with the pictures in it, which needs nothing else and follows the reader's choice of light or dark.

        The folder appears whole or not at all.

        Args:
            overwrite: whether an older report there is replaced.

        Returns:
            The path of the page.

        Raises:
            InputError: the folder exists, and is no report or may not be overwritten; or cannot be written.
        """
        folder = Path(folder)
        with staged(folder, REPORT, overwrite) as whole:
            pictures: dict[str, tuple[bytes, bytes]] = {}
            for name in self.data:
                pictures[name] = png(self.draw(name)), png(self.draw(name, dark=True))
                (whole / f"{name}.png").write_bytes(pictures[name][0])
                (whole / f"{name}-dark.png").write_bytes(pictures[name][1])
            content = {
                "format": REPORT.format, "version": REPORT.version, "model": self.name, "settings": self.settings,
                "sentences": self.sentences, "data": self.data,
            }  # fmt: skip
            (whole / DATA).write_text(json.dumps(plain(content), allow_nan=False) + "\n", encoding="utf-8")
            loss = "the loss" if self.settings["targets"] else "the sum of the final outputs"
            parts = [(TITLES[name], _CAPTIONS[name].format(loss=loss), *pictures[name]) for name in self.data]
            (whole / PAGE).write_text(page(f"{self.name}: what it remembers", self.sentences, parts), encoding="utf-8")
        return folder / PAGE


def look(
    model: torch.nn.Module,
    x: Any,
    y: Any = None,
    *,
    loss: Loss | None = None,
    output: int | None = None,
    threshold: float = 0.01,
    features: Sequence[str] | None = None,
    name: str | None = None,
    batch_first: bool | None = None,
    seeds: Sequence[int] = (0, 1, 2),
) -> Report:
    """See what a network remembers: every measure of this package on one model.

    Args:
        model, x, batch_first: see `Probe`.
        y, loss: targets, and what is lost by missing them; see `Probe.pull`.
        output: number of the output that the input's attribution is about; None is the sum of all.
        threshold: the share of all that still counts as remembered.
        features: names of the features of x.
        name: of the model in the report.
        seeds: of the disturbances.

    Returns:
        The report. Measures that a model has no use for are left out: gates of a network without any, eigenvalues of
        one without recurrent matrices.

    Raises:
        InputError: something does not fit; the sentence says what.
    """
    probe = Probe(model, x, batch_first=batch_first)
    width = probe.x.shape[2] if probe.x.is_floating_point() else None
    if features is not None and len(features) != width:
        raise InputError(f"features names {len(features)} features; x has {width or 'tokens'}")
    if not 0 < threshold < 1:
        raise InputError(f"threshold is {threshold}; expected above 0 and below 1")
    layers = probe.recurrences(SOME)
    found: dict[str, Any] = {
        "gradient_flow": gradient_flow(probe, y, loss),
        "jacobian": norms_of(probe.recurrences(FEW)),
        "disturbance": disturbance(probe, rows=SOME, seeds=seeds),
        "saturation": tuple(gate.saturation for gate in gates_of(layers)),
        "activations": activations_of(layers),
        "attribution": attribution(probe, output),
        "spectra": spectra_of(layers),
    }
    settings = {
        "sequences": len(probe.x), "steps": probe.steps, "threshold": threshold, "output": output,
        "targets": y is not None, "seeds": list(seeds), "features": None if features is None else list(features),
    }  # fmt: skip
    data = {measure: value for measure, value in found.items() if not isinstance(value, tuple) or value}
    called = name or str(getattr(model, "name", "")) or type(model).__name__
    return Report(called, data, _sentences(data, threshold), settings)


def _sentences(data: Mapping[str, Any], threshold: float) -> tuple[str, ...]:
    disturbed = data["disturbance"]
    if not np.nanmax(disturbed.changes) > 0:
        told = ["The final output of this network does not depend on its input."]
    else:
        told = [f"This network remembers {disturbed.memory(threshold)} of its input."]
    for one in data["jacobian"]:
        back = " (backwards)" if one.direction else ""
        told.append(f"Layer {one.layer}{back} remembers {one.memory(threshold)} of its state.")
        most = float(np.nanmax(one.relative))
        if most > 1 / threshold:
            told.append(f"Its gradients explode: up to {most:.3g} times as large as at the last step.")
    for one in data.get("saturation", ()):
        for kind, share in (("shut", one.shut), ("wide open", one.open)):
            stuck = int((share > 0.95).sum())
            if stuck:
                back = " (backwards)" if one.direction else ""
                told.append(
                    f"Gate {one.gate} of layer {one.layer}{back} is {kind} more than 95% of the time in {stuck} of "
                    f"{len(share)} units."
                )
    return tuple(told)
