"""The report of everything, its pictures and its page."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

from ostinato import nn
from ostinato.inspect import (
    Disturbance,
    InputError,
    Probe,
    Recorder,
    Report,
    Saturation,
    attribution,
    figures,
    gradient_flow,
    learning_curves,
    look,
)  # fmt: skip
from ostinato.keras import layers, models

from .networks import DTYPE, Network, delay_line, of_cell

SIZES = pytest.mark.parametrize("size", [(640, 400), (1200, 700)], ids=lambda size: f"{size[0]}x{size[1]}")
MEASURES = [
    "gradient_flow", "jacobian", "disturbance", "saturation", "activations", "attribution", "spectra",
]  # fmt: skip


@pytest.fixture(scope="module")
def report() -> Report:
    torch.manual_seed(0)
    network = Network(nn.LSTM(3, 8, batch_first=True, bidirectional=True, dtype=DTYPE))
    x = torch.randn(5, 20, 3, dtype=DTYPE)
    return look(network, x, torch.randn(5, 20, 2, dtype=DTYPE), name="a <network>")


def texts(figure: Figure) -> Iterator[Text]:
    """Every text that is drawn."""
    yield from figure.texts
    for legend in figure.legends:
        yield from legend.get_texts()
    for panel in figure.axes:
        if panel.get_visible():
            yield from panel.texts
            yield from (child for child in panel.get_children() if isinstance(child, Text))
            yield from (panel.get_legend().get_texts() if panel.get_legend() else ())
            for axis in (panel.xaxis, panel.yaxis):
                yield axis.label
                # of all ticks that an axis keeps, those that it draws
                yield from (tick.label1 for tick in axis._update_ticks() if tick.label1.get_visible())


def overlapping(figure: Figure) -> list[tuple[str, str]]:
    """Pairs of texts of a figure that lie on each other, and texts that reach out of it."""
    figure.canvas.draw()
    shown = {id(text): text for text in texts(figure) if text.get_visible() and text.get_text().strip()}
    boxes = [(text.get_text(), text.get_window_extent()) for text in shown.values()]
    width, height = figure.canvas.get_width_height()
    found = [(a, b) for (a, one), (b, other) in combinations(boxes, 2) if one.padded(-1).overlaps(other.padded(-1))]
    return found + [
        (text, "the border")
        for text, box in boxes
        if box.x0 < -1 or box.y0 < -1 or box.x1 > width + 1 or box.y1 > height + 1
    ]


def test_texts_on_each_other_are_seen() -> None:
    figure = Figure()
    figure.text(0.5, 0.5, "one")
    figure.text(0.51, 0.5, "other")
    figure.text(0.95, 0.1, "reaches out of it")
    assert overlapping(figure) == [("one", "other"), ("reaches out of it", "the border")]


@SIZES
@pytest.mark.parametrize("measure", MEASURES)
def test_no_text_lies_on_another(report: Report, measure: str, size: tuple[int, int]) -> None:
    figure = report.draw(measure, size=size)
    assert figure.canvas.get_width_height() == size
    assert overlapping(figure) == []


def curves() -> Any:
    told = {"loss": [3.0, 2.0, 1.0], "val_loss": [3.0, 2.5, 2.0], "accuracy": [0.1, 0.4, 0.5]}
    return partial(figures.draw_learning_curves, learning_curves({f"run {number}": told for number in range(5)}))


def recording() -> Any:
    network = of_cell("lstm")
    with Recorder(network, every=1) as recorder:
        for _ in range(3):
            network(torch.randn(3, 6, 3, dtype=DTYPE)).sum().backward()
    return partial(figures.draw_recording, recorder.snapshots)


def one_step() -> Any:
    return partial(figures.draw_gradient_flow, gradient_flow(Probe(of_cell("gru"), torch.randn(1, 1, 3))))


def no_memory() -> Any:
    return partial(figures.draw_disturbance, Disturbance(np.arange(3), np.zeros((2, 3))))


def long_names() -> Any:
    found = attribution(Probe(of_cell("rg_lru"), torch.randn(2, 5, 6)))
    return partial(figures.draw_attribution, found, names=[f"a rather long name {number}" for number in range(6)])


def many_features() -> Any:
    made = of_cell("gru").layer
    found = attribution(Probe(type(made)(30, 4, batch_first=True), torch.randn(2, 5, 30)))
    return partial(figures.draw_attribution, found)


def many_layers() -> Any:
    shares = np.linspace(0, 1, 4)
    found = [Saturation(f"layer {k} of a long name", 0, "i", shares, 1 - shares) for k in range(12)]
    return partial(figures.draw_saturation, found)


OTHERS = (curves, recording, one_step, no_memory, long_names, many_features, many_layers)


@SIZES
@pytest.mark.parametrize("drawing", OTHERS, ids=lambda drawing: drawing.__name__)
def test_other_pictures(drawing: Callable[[], Any], size: tuple[int, int]) -> None:
    assert overlapping(drawing()(size=size)) == []


def brightness(colour: Any) -> float:
    return float(np.mean(to_rgb(colour)))


@pytest.mark.parametrize("measure", MEASURES)
def test_both_grounds(report: Report, measure: str) -> None:
    for dark in (False, True):
        figure = report.draw(measure, dark=dark, size=(640, 400))
        ground = brightness(figure.get_facecolor())
        assert ground < 0.2 if dark else ground > 0.9
        # every word and every line stands out from the ground
        words = [text.get_color() for text in texts(figure) if text.get_text().strip()]
        lines = [line.get_color() for panel in figure.axes for line in panel.lines if line.get_label()[0] != "_"]
        assert min(abs(brightness(colour) - ground) for colour in (*words, *lines)) > 0.25


def test_lines_hold_the_data(report: Report) -> None:
    panel = report.draw("gradient_flow").axes[0]
    for line, flow in zip(panel.lines, report.data["gradient_flow"], strict=True):
        shown = np.asarray(line.get_ydata(), dtype=float)
        assert (shown == np.where(flow.norms > 0, flow.norms, np.nan))[np.isfinite(shown)].all()
        assert line.get_label() == f"{flow.layer}{' ←' if flow.direction else ''}, {flow.state}"
    curve = report.draw("jacobian").axes[0].lines[0]
    np.testing.assert_array_equal(curve.get_ydata(), report.data["jacobian"][0].relative)
    image = report.draw("activations", size=(1200, 700)).axes[0].images[0]
    np.testing.assert_array_equal(image.get_array(), report.data["activations"][0].values[0].T)


class Outside(HTMLParser):
    """Every address that a page asks for, and the tags that are not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "poster")]
        if tag not in ("meta", "img", "source", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_a_saved_report(report: Report, tmp_path: Path) -> None:
    page = report.save(tmp_path / "report")
    written = sorted(path.name for path in page.parent.iterdir())
    assert written == sorted(
        ["report.html", "report.json", *(f"{name}{ground}.png" for name in MEASURES for ground in ("", "-dark"))]
    )
    text = page.read_text(encoding="utf-8")
    outside = Outside()
    outside.feed(text)
    assert outside.open == [] and len(outside.addresses) == 14
    assert all(address.startswith("data:image/png;base64,") for address in outside.addresses)
    assert re.findall(r"https?://|url\(|@import|<script", text) == []
    assert "a &lt;network&gt;" in text and "prefers-color-scheme: dark" in text
    content = json.loads((page.parent / "report.json").read_text(encoding="utf-8"))
    assert content["sentences"] == list(report.sentences) and set(content["data"]) == set(MEASURES)
    first = content["data"]["gradient_flow"][0]
    np.testing.assert_array_equal(first["norms"], report.data["gradient_flow"][0].norms)
    assert len(content["data"]["spectra"][0]["eigenvalues"][0]) == 2


@pytest.fixture
def small(report: Report) -> Report:
    """A report of one measure, which is drawn in a moment."""
    return replace(report, data={"gradient_flow": report.data["gradient_flow"]})


def test_nothing_is_replaced_unasked(small: Report, tmp_path: Path) -> None:
    folder = tmp_path / "report"
    small.save(folder)
    before = (folder / "report.json").stat().st_mtime_ns
    with pytest.raises(InputError, match="exists already"):
        small.save(folder)
    assert (folder / "report.json").stat().st_mtime_ns == before
    small.save(folder, overwrite=True)
    assert (folder / "report.json").stat().st_mtime_ns != before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "precious.txt").write_text("mine")
    with pytest.raises(InputError, match="is not a report of this command, so it stays"):
        small.save(tmp_path / "mine", overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "report"]


def test_a_report_that_fails_leaves_nothing(small: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*given: Any) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ostinato.inspect.report.page", full)
    with pytest.raises(InputError, match="report cannot be written: No space left on device"):
        small.save(tmp_path / "report")
    assert list(tmp_path.iterdir()) == []


def test_what_it_comes_to() -> None:
    found = look(delay_line(7), torch.randn(6, 12, 1))
    assert found.sentences[0] == "This network remembers about 7 steps of its input."
    assert found.sentences[1].endswith("remembers about 7 steps of its state.")
    assert "saturation" not in found.data and list(found.figures) == [one for one in MEASURES if one != "saturation"]


def test_exploding_gradients_and_stuck_gates_are_told() -> None:
    network = of_cell("lstm")
    with torch.no_grad():
        for name, one in network.layer.named_parameters():
            one.mul_(3)
            if name.startswith("bias_ih"):
                one[6:12] = 50.0
    found = look(network, torch.randn(3, 30, 3, dtype=DTYPE))
    assert "Gate f of layer layer is wide open more than 95% of the time in 6 of 6 units." in found.sentences
    growing = models.Sequential([layers.Input((12, 1)), layers.SimpleRNN(1, activation="linear", name="rnn")])
    growing.set_weights([np.ones((1, 1)), np.full((1, 1), 2.0), np.zeros(1)])
    told = look(growing, torch.randn(3, 12, 1)).sentences
    assert "Its gradients explode: up to 2.05e+03 times as large as at the last step." in told


def test_keras_with_tokens_masks_and_dropout() -> None:
    model = models.Sequential(
        [layers.Input((8,), dtype="int32"), layers.Embedding(20, 5, mask_zero=True), layers.Dropout(0.4),
         layers.Bidirectional(layers.GRU(4, return_sequences=True)), layers.PeepholeLSTM(3), layers.Dense(2)]
    )  # fmt: skip
    x = np.random.default_rng(0).integers(1, 20, (6, 8))
    x[2, 5:] = 0
    one, other = look(model, x), look(model, x)
    for name in ("gradient_flow", "jacobian", "disturbance", "saturation", "attribution", "spectra"):
        a, b = one.data[name], other.data[name]
        for p, q in zip(a if isinstance(a, tuple) else (a,), b if isinstance(b, tuple) else (b,), strict=True):
            for key, value in vars(p).items():
                if isinstance(value, np.ndarray):
                    np.testing.assert_array_equal(value, vars(q)[key])
    assert one.draw("attribution").axes


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"threshold": 0}, "threshold is 0; expected above 0 and below 1"),
        ({"features": ["a"]}, "features names 1 features; x has 3"),
        ({"output": 5}, "output is 5"),
        ({"output": 1.0}, r"output is 1.0; expected 0\.\.1"),
        ({"output": "h"}, r"output is 'h'; expected 0\.\.1"),
    ],
)
def test_bad_arguments(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        look(of_cell("lstm"), torch.randn(2, 4, 3), **given)
    with pytest.raises(InputError, match="the report has no 'spectrum'; it has gradient_flow"):
        Report("r", {"gradient_flow": ()}, (), {}).draw("spectrum")
