"""What goes in: weights, inputs, gradients and lengths, the same numbers in every framework.

Weights go by PyTorch's names and shapes; `to_keras` and `from_keras` carry them to Keras' and back.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}

IMDB = Path(__file__).resolve().parents[2] / "shared" / "data" / "imdb" / "imdb_train.jsonl.gz"


def parameters(
    kind: str, input_size: int, hidden_size: int, layers: int = 1, bidirectional: bool = False
) -> dict[str, Array]:
    """The weights of a recurrent module by the names of `torch.nn`, drawn as PyTorch draws them: U(+-1/sqrt(H))."""
    generator = np.random.default_rng(1)
    rows = GATES[kind] * hidden_size
    bound = hidden_size**-0.5
    drawn = {}
    for layer in range(layers):
        columns = input_size if layer == 0 else hidden_size * (1 + bidirectional)
        for suffix in ("", "_reverse")[: 1 + bidirectional]:
            shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, columns), "weight_hh": (rows, hidden_size)}
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
            for name, shape in shapes.items():
                drawn[f"{name}_l{layer}{suffix}"] = generator.uniform(-bound, bound, shape)
    return drawn


def dense(input_size: int) -> dict[str, Array]:
    """The weights of a dense layer of one unit."""
    bound = input_size**-0.5
    drawn = np.random.default_rng(2).uniform(-bound, bound, input_size + 1)
    return {"dense.weight": drawn[None, :-1], "dense.bias": drawn[-1:]}


def normal(shape: Iterable[int], seed: int) -> Array:
    """Standard normal numbers, float64."""
    return np.random.default_rng(seed).standard_normal(tuple(shape))


def valid(lengths: Iterable[int], steps: int) -> Array:
    """(batch, steps) bool: which steps of each row are not padding."""
    return np.arange(steps) < np.asarray(list(lengths))[:, None]


def price_windows(rows: int = 1258, lookback: int = 40) -> tuple[Array, Array]:
    """Windows (rows - lookback, lookback, 1) of a random walk scaled to 0..1, and the value after each, (..., 1)."""
    walk = np.cumsum(np.random.default_rng(3).standard_normal(rows))
    scaled = ((walk - walk.min()) / (walk.max() - walk.min())).astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(scaled, lookback)[:-1]
    return np.ascontiguousarray(windows)[..., None], scaled[lookback:, None]


@cache
def _counted(source: Path) -> list[int]:
    """Words and punctuation marks of each review in a file."""
    with gzip.open(source, "rt", encoding="utf-8") as lines:
        return [len(re.findall(r"\w+|[^\w\s]", json.loads(line)["text"])) for line in lines]


def review_lengths(batch: int, longest: int, source: Path = IMDB) -> tuple[list[int], str]:
    """Lengths of a batch of film reviews, and where they come from.

    They are the quantiles of the lengths (words and punctuation marks, cut at `longest`) of the reviews in `source`;
    where that file is absent, of a log-normal distribution with the same median and mean.
    """
    at = (np.arange(batch) + 0.5) / batch
    if source.is_file():
        lengths, origin = np.quantile(_counted(source), at), "IMDB reviews"
    else:
        lengths = 220 * np.exp(0.7 * np.array([NormalDist().inv_cdf(point) for point in at]))
        origin = "a log-normal stand-in for IMDB reviews"
    cut = np.clip(lengths.round().astype(int), 1, longest)
    return np.random.default_rng(4).permutation(cut).tolist(), origin


def to_keras(named: Mapping[str, Array]) -> list[Array]:
    """Weights by PyTorch's names as the list that Keras' `set_weights` takes (RNN and LSTM: one bias, their sum)."""
    converted = []
    for name, value in named.items():
        if "bias_hh" in name:
            continue
        both = value + named[name.replace("bias_ih", "bias_hh")] if "bias_ih" in name else value
        converted.append(both.T)
    return converted


def from_keras(names: Iterable[str], arrays: Iterable[Array]) -> dict[str, Array]:
    """Gradients in Keras' order by PyTorch's names; both biases have the gradient of the one."""
    source = iter(arrays)
    named: dict[str, Array] = {}
    for name in names:
        named[name] = named[name.replace("bias_hh", "bias_ih")] if "bias_hh" in name else next(source).T
    return named
