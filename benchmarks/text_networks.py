"""What the contenders of `benchmarks.text` train: networks, their initial weights, and the batches of a file.

NumPy alone, for every contender's process reads it, whatever its framework. Weights go by PyTorch's names and shapes:
`embedding.weight`, `rnn.` and a name of `torch.nn.LSTM`, `hidden.weight`, `head.weight` and the like.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from . import problems
from .problems import Array

#: Of Adam in every framework: their defaults differ.
EPSILON = 1e-8

#: Updates by Adam that a check makes after it has looked at the gradients.
UPDATES = 3


@dataclass(frozen=True)
class Network:
    """[Embedding] -> bidirectional LSTM -> one vector a row -> [Dense, relu] -> Dense.

    Attributes:
        inputs: numbers that the LSTM reads at a step.
        outputs: classes; 1 is a probability, by the sigmoid.
        vocabulary: entries of the embedding; 0 where the steps are vectors already.
        units: of each direction.
        pooling: "last", "mean" or "max+mean": how the steps become one vector.
        hidden: units of the dense layer before the last; 0 is none.
        input_dropout, dropout: shares of the inputs and of the pooled numbers that training drops.
        learning_rate: of Adam.
        clip: norm that the whole gradient is cut to; None does not.
    """

    inputs: int
    outputs: int
    vocabulary: int = 0
    units: int = 64
    pooling: str = "last"
    hidden: int = 0
    input_dropout: float = 0.0
    dropout: float = 0.0
    learning_rate: float = 1e-3
    clip: float | None = None

    @property
    def pooled(self) -> int:
        """Numbers of the pooled vector."""
        return 2 * self.units * len(self.pooling.split("+"))


class Batch(NamedTuple):
    """Rows filled up to the longest, longest first.

    Attributes:
        x: (rows, steps) numbers of subwords, or (rows, steps, inputs); 0 behind a row's end.
        lengths: (rows) steps of each that are not padding.
        y: (rows) classes.
    """

    x: Array
    lengths: Array
    y: Array


def weights(network: Network) -> dict[str, Array]:
    """The weights that every contender starts from, by name, in the order of Keras' layers."""
    generator = np.random.default_rng(7)
    drawn = {}
    if network.vocabulary:
        drawn["embedding.weight"] = 0.1 * generator.standard_normal((network.vocabulary, network.inputs))
    recurrent = problems.parameters("LSTM", network.inputs, network.units, bidirectional=True)
    drawn |= {f"rnn.{name}": value for name, value in recurrent.items()}
    widths = [network.pooled, *([network.hidden] if network.hidden else []), network.outputs]
    names = ["hidden", "head"] if network.hidden else ["head"]
    for name, before, after in zip(names, widths[:-1], widths[1:], strict=True):
        bound = before**-0.5
        drawn[f"{name}.weight"] = generator.uniform(-bound, bound, (after, before))
        drawn[f"{name}.bias"] = generator.uniform(-bound, bound, after)
    return drawn


def save(file: Path, batches: Sequence[Batch], check: Batch) -> None:
    """Write batches to time, and one to check results on."""
    numbered = {**{str(number): batch for number, batch in enumerate(batches)}, "check": check}
    arrays = {f"{name}.{part}": value for name, one in numbered.items() for part, value in one._asdict().items()}
    np.savez(file, **arrays)


def load(file: str | Path) -> tuple[list[Batch], Batch]:
    """See `save`."""
    with np.load(file) as arrays:
        names = dict.fromkeys(key.split(".")[0] for key in arrays)
        found = {name: Batch(*(arrays[f"{name}.{part}"] for part in Batch._fields)) for name in names}
    check = found.pop("check")
    return list(found.values()), check


def timed(step: Callable[[Any], float], batches: Sequence[Any]) -> dict[str, Any]:
    """One training step on each batch: seconds and losses, and the process' `peak`.

    Raises:
        FloatingPointError: a loss is not finite.
    """
    seconds, losses = [], []
    for batch in batches:
        begin = time.perf_counter()
        losses.append(step(batch))
        seconds.append(time.perf_counter() - begin)
    if not np.isfinite(losses).all():
        raise FloatingPointError(f"the losses are {losses}; a pass that is not finite is not timed")
    return {"seconds": seconds, "losses": losses, "peak": peak()}


def peak() -> float:
    """The most megabytes that this process has held (Linux).

    VmHWM, and not the `ru_maxrss` of getrusage, in which Linux leaves that of the process that started this one.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError("/proc/self/status has no entry VmHWM")
