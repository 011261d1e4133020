"""Training steps of examples/sequence_to_sequence.py on additions: as it is, and with PyTorch's GRUs in two ways."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from . import text_networks as networks
from .problems import Array
from .process import ROOT
from .serving import watched
from .text_torch import Steps, Turned, there

EXAMPLE = ROOT / "examples" / "sequence_to_sequence.py"

#: Those of the example: hidden units, pairs a batch, its highest learning rate, and the norm its gradient is cut to.
HIDDEN, SIZE, RATE, CLIP = 128, 128, 5e-3, 1.0


@cache
def example() -> Any:
    """The example's module."""
    spec = importlib.util.spec_from_file_location(EXAMPLE.stem, EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@cache
def pairs() -> tuple[str, list[tuple[str, str]]]:
    """The characters, and the questions and answers of an epoch."""
    rng = np.random.default_rng(0)
    task = example().addition(rng)
    return task.characters, [task.write(item, rng) for item in task.training]


def steps_of(some: Sequence[tuple[str, str]]) -> int:
    """Characters of questions and answers, an end of each answer among them."""
    return sum(len(question) + len(answer) + 1 for question, answer in some)


def _turned(characters: str) -> nn.Module:
    """The example's network over padded questions, which no layer has to pack."""

    class Padded(example().Translator):  # type: ignore[misc]
        def encode(self, questions: Sequence[str]) -> tuple[Tensor, Tensor, Tensor]:
            tokens = self.tokens(questions)
            lengths = torch.tensor([len(one) for one in tokens])
            padded = nn.utils.rnn.pad_sequence(tokens, batch_first=True)
            memory, last = self.encoder(self.embedding(padded), lengths)
            return memory, there(lengths, memory.shape[1]), last[None]

    network = Padded(characters, "gru", HIDDEN)
    network.encoder = Turned("GRU", 32, HIDDEN // 2)
    return network


class Translator:
    """Training of the example's network, a batch after the other.

    Args:
        way: "ostinato", the example as it is; "packed", with PyTorch's GRUs; "turned", these over padded questions.
        batches: how many are timed.
        size: pairs of each.
    """

    def __init__(self, way: str, batches: int, size: int = SIZE, dtype: str = "float32") -> None:
        if way not in ("ostinato", "packed", "turned"):
            raise ValueError(f"way is {way!r}; expected 'ostinato', 'packed' or 'turned'")
        self.way, self.dtype = way, getattr(torch, dtype)
        written = pairs()[1]
        # each batch in turn is one of the epoch's, so that the first few are as good as all
        self.batches = [written[first : first + size] for first in range(0, batches * size, size)]
        self.sample = sorted(written[-500:], key=lambda pair: len(pair[0]))[:: 500 // 16]
        self.module, named = self._made()
        self.steps = Steps(list(named.values()), RATE, CLIP)

    def _made(self) -> tuple[Any, dict[str, nn.Parameter]]:
        characters = pairs()[0]
        if self.way == "turned":
            module = _turned(characters)
            turned: Any = module.encoder
            encoder = turned.named()
        else:
            module = example().Translator(characters, "gru", HIDDEN)
            if self.way == "packed":
                module.encoder = nn.GRU(32, HIDDEN // 2, batch_first=True, bidirectional=True)
            encoder = dict(module.encoder.named_parameters())
        if self.way != "ostinato":
            module.decoder = nn.GRU(32, HIDDEN, batch_first=True)
        named = {f"encoder.{name}": weight for name, weight in encoder.items()}
        named |= {name: weight for name, weight in module.named_parameters() if not name.startswith("encoder.")}
        module.to(self.dtype)
        generator = np.random.default_rng(7)
        with torch.no_grad():
            for name in sorted(named):
                drawn = generator.uniform(-1, 1, named[name].shape) * HIDDEN**-0.5
                named[name].copy_(torch.from_numpy(drawn))
        return module, named

    def measure(self) -> dict[str, Any]:
        """One pass over the batches."""

        def take(batch: Sequence[tuple[str, str]]) -> float:
            questions, answers = zip(*batch, strict=True)
            return self.steps.take(lambda: self.module(questions, answers))

        return networks.timed(take, self.batches)

    def check(self) -> dict[str, Array]:
        """Gradients and losses on a batch of questions of unlike lengths."""
        module, named = self._made()
        questions, answers = zip(*self.sample, strict=True)
        with watched(self) if self.way == "ostinato" else nullcontext():
            return Steps(list(named.values()), RATE).checked(lambda: module(questions, answers), named)
