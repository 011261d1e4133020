"""Keras layers multiply as exactly as PyTorch's switch for recurrent layers says, at every step of a training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from ostinato.keras import Sequential, layers
from ostinato.scan import _engine, watch


@pytest.fixture
def switch() -> Iterator[Any]:
    """PyTorch's, as it was before when the test ends."""
    if "amx" not in _engine.instruction_sets() or _engine.instruction_set() != "avx512":
        pytest.skip("this machine has no matrix unit (AMX), or another instruction set was chosen")
    if not hasattr(torch.backends.mkldnn, "rnn"):
        pytest.skip("this PyTorch has no torch.backends.mkldnn.rnn")
    found = torch.backends.mkldnn.rnn
    before = found.fp32_precision
    yield found
    found.fp32_precision = before


def test_a_chain_of_layers_follows_every_change(switch: Any) -> None:
    model = Sequential(
        [
            layers.Input((6, 3)),
            layers.LSTM(8, return_sequences=True),
            layers.Dropout(0.1),
            layers.LSTM(8),
            layers.Dense(1),
        ]
    )
    model.compile("adam", "mse")
    generator = np.random.default_rng(0)
    x, y = generator.standard_normal((20, 6, 3)).astype("float32"), np.zeros((20, 8), "float32")
    reasons = []
    for kind in ("ieee", "bf16", "bf16", "tf32", "ieee"):
        switch.fp32_precision = kind
        with watch() as ran:
            model.train_on_batch(x, y)
        assert len(ran) == 2
        reasons.append({choice.reason.removeprefix("compiled kernel of lstm, avx512") for choice in ran})
    assert reasons == [{""}, *2 * [{", products of bfloat16"}], {", products of two bfloat16 a number"}, {""}]
