"""The guide's programs run, make the pictures and print the lines that it shows, and find what its text says."""

from __future__ import annotations

import inspect
import math
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import ostinato.inspect
import ostinato.keras
import ostinato.nn
import ostinato.series

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = DOCS / "guide.md"
notebook: dict[str, Any] = runpy.run_path(str(DOCS / "notebook.py"))


class Outcome:
    """What the programs leave behind by name, what each printed, and the pictures."""

    def __init__(self, folder: Path) -> None:
        (folder / "guide").mkdir()
        self.names, self.printed = notebook["run"](PAGE)
        self.pictures = {path.name for path in (folder / "guide").iterdir()}

    def __getitem__(self, name: str) -> Any:
        return self.names[name]


@pytest.fixture(scope="module")
def guide(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    folder = tmp_path_factory.mktemp("docs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield Outcome(folder)


def test_pictures_are_those_of_the_programs(guide: Outcome) -> None:
    shown = set(re.findall(r"\]\(guide/(\S+)\)", PAGE.read_text(encoding="utf-8")))
    assert shown == guide.pictures == {path.name for path in (DOCS / "guide").iterdir()}


def test_the_page_shows_what_is_printed(guide: Outcome) -> None:
    """In the same words; numbers may differ with the machine."""

    def words(texts: list[str]) -> list[list[str]]:
        return [re.sub(r"[-+]?\d[\d.]*(e[-+]?\d+)?", "#", text).split() for text in texts]

    assert words(guide.printed) == words(notebook["printed"](PAGE))


def test_order_of_memories(guide: Outcome) -> None:
    memories = {name: found.memory() for name, found in guide["norms"].items()}
    steps = {name: memory.steps for name, memory in memories.items()}
    assert abs(steps["GRU"] - steps["tanh RNN"]) <= 2
    assert max(steps["GRU"], steps["LSTM, forget bias 0"]) < 0.5 * steps["LSTM, forget bias 1"]
    assert steps["LSTM, forget bias 1"] < steps["tanh RNN, orthogonal"] < steps["LSTM, no forget gate"]
    assert [name for name, memory in memories.items() if memory.open] == ["LSTM, no forget gate"]
    assert guide["norms"]["LSTM, no forget gate"].relative[-1] > guide["norms"]["LSTM, no forget gate"].relative[50]


def test_memories_are_foreseen(guide: Outcome) -> None:
    measured = {name: guide["norms"][name].memory().steps for name in guide["expected"]}
    assert measured["tanh RNN"] < guide["expected"]["tanh RNN"] < 2 * measured["tanh RNN"]
    for name in ("LSTM, forget bias 0", "LSTM, forget bias 1"):
        assert guide["expected"][name] == pytest.approx(measured[name], rel=0.3)


def test_gradient_explodes_unless_it_is_clipped(guide: Outcome) -> None:
    free, clipped = (found.norms for found in guide["back"].values())
    assert free[0] > 1000 * free[-1]
    assert clipped[-1] == free[-1]
    assert clipped[:-1].max() <= guide["BOUND"] * math.sqrt(32) * (1 + 1e-6)


def test_what_clipping_does_to_training(guide: Outcome) -> None:
    free, norm, step = guide["clipping"].values()
    assert free["norm"].max() > 1000 and norm["norm"].max() > 1000
    assert torch.equal(free["taken"], free["norm"]) or free["taken"].allclose(free["norm"], rtol=1e-4)
    assert norm["taken"].max() <= 1 + 1e-5
    assert step["norm"].max() < 0.01 * free["norm"].max()
    ends = [told["loss"][-40:].mean() for told in (free, norm, step)]
    assert ends[0] > 0.28 and max(ends[1:]) < 0.15
    saturated = list(guide["saturated"].values())
    assert saturated[0] > 0.8 and saturated[0] > max(saturated[1:])


def test_adam_needs_clipping_too(guide: Outcome) -> None:
    told = guide["train"](guide["wild"](), guide["adam"], delay=3, updates=400)
    assert told["norm"].max() > 1000
    assert told["loss"][-40:].mean() > 0.25


def test_an_orthogonal_start_needs_no_clipping(guide: Outcome) -> None:
    layer = ostinato.nn.initialise(ostinato.nn.RNN(2, 32, batch_first=True), recurrent="orthogonal")
    told = guide["train"](layer, guide["descent"], delay=3, updates=200)
    assert told["norm"].max() < 10 and told["loss"][-40:].mean() < 0.1


def pulled(guide: Outcome, k: int) -> torch.Tensor:
    """The gradient of the loss at one marked value of each target that has one."""
    delay = guide["DELAY"]
    x, y, asked = guide["recall"](16, delay, 120, torch.Generator().manual_seed(5))
    output = guide["truncated"](k)(x.requires_grad_())[0][..., 0]
    (output - y)[asked].square().sum().backward()
    marked = torch.nn.functional.pad(asked, (-delay, delay))
    assert bool((x[..., 1][marked] == 1).all()) and int(marked.sum()) == int(asked.sum())
    # of every target alone: gaps are longer than the delay, so that the next mark is asked for later
    assert x.grad is not None
    last = marked & (marked.flip(1).cumsum(1).flip(1) == 1)
    return x.grad[..., 0][last]


def test_pieces_no_longer_than_the_delay_teach_nothing(guide: Outcome) -> None:
    assert not pulled(guide, 10).any()
    assert not pulled(guide, guide["DELAY"]).any()
    assert pulled(guide, 40).any() and not pulled(guide, 40).all()
    assert pulled(guide, 120).all()


def test_what_truncation_loses(guide: Outcome) -> None:
    short, longer, whole = guide["LENGTHS"]
    assert guide["shares"][short] == 0 and guide["shares"][whole] == 1
    assert guide["shares"][longer] == pytest.approx(2 / 3, abs=0.05)
    ends = [losses[-40:].mean() for losses in guide["lengths"].values()]
    assert ends[0] > 0.3 and max(ends[1:]) < 0.03
    reached = {k: int((norms > 0).sum()) for k, norms in guide["reach"].items()}
    assert reached[short] < reached[longer] < reached[whole]
    assert reached[short] <= short and reached[longer] <= longer


def test_what_reservoirs_remember(guide: Outcome) -> None:
    small, large = (dict(zip(guide["DELAYS"], errors, strict=True)) for errors in guide["echoes"].values())
    assert all(large[delay] < small[delay] for delay in (5, 10, 20, 40))
    assert large[20] < 0.01 and small[10] < 0.01
    assert large[80] > 0.25 and small[40] > 0.25


def test_the_table_names_what_exists() -> None:
    table = PAGE.read_text(encoding="utf-8").split("## Symptoms and cures")[1]
    named = set(re.findall(r"(\w+)(?=[(=])", " ".join(re.findall(r"`([^`]+)`", table))))
    named |= set(re.findall(r"`(\w+)`", table))
    functions = (
        ostinato.nn.LSTM, ostinato.nn.initialise, ostinato.nn.EchoStateNetwork, ostinato.series.Streams,
        ostinato.keras.optimizers.Adam,
    )  # fmt: skip
    arguments = {name for one in functions for name in inspect.signature(one).parameters}
    places = (ostinato.nn, ostinato.inspect, ostinato.series, ostinato.keras, ostinato.keras.callbacks, torch.nn.utils)
    assert {one for one in named if one not in arguments and not any(hasattr(place, one) for place in places)} == set()
