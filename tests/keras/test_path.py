"""Which way a layer takes, and what it says about it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from ostinato.keras import Sequential, explain, layers
from ostinato.scan import Choice, watch

from .pairs import KINDS, MASKS, initial_state, pair, sequences, states_of


def backends(taken: list[Choice]) -> list[str]:
    return [choice.backend for choice in taken]


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", KINDS)
def test_plain_layers_run_on_the_kernels(kind: str, dtype: str, mask: str) -> None:
    options: list[dict[str, Any]] = [
        {},
        {"return_sequences": True, "go_backwards": True},
        {"unroll": True, "zero_output_for_mask": True, "return_sequences": True},
        {"dropout": 0.5, "return_state": True, "use_bias": False},
    ]
    for given in options:
        ours, _ = pair(kind, dtype, **given)
        x = torch.tensor(sequences(dtype), requires_grad=True)
        with watch() as taken:
            returned = ours(x, mask=MASKS[mask], initial_state=initial_state(states_of(kind), dtype), training=True)
            (returned[0] if given.get("return_state") else returned).sum().backward()
        assert backends(taken) == ["cpu"], given


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_fit_runs_on_the_kernels(kind: str) -> None:
    ours, _, fixed = KINDS[kind]
    model = Sequential(
        [
            layers.Input((None,)),
            layers.Embedding(20, 5, mask_zero=True),
            ours(4, return_sequences=True, dropout=0.1, **fixed),
            layers.Bidirectional(ours(3, **fixed)),
            layers.Dense(1),
        ]
    )
    model.compile("adam", "mse")
    words = np.random.randint(0, 20, (8, 6))
    with watch() as taken:
        model.fit(words, np.random.rand(8), batch_size=4, epochs=2, verbose=0)
        model.predict(words, verbose=0)
    assert backends(taken) == ["cpu"] * len(taken)
    assert len(taken) == (2 * 2 + 1) * 2  # batches, and layers that run one scan each


def test_a_mask_of_one_side_becomes_lengths_and_others_stay_masks() -> None:
    from ostinato.keras import loop

    ours, _ = pair("lstm")
    x, initial = torch.tensor(sequences()), [[torch.zeros(5, 4, dtype=torch.float64)] * 2]
    for name, mask in MASKS.items():
        asked = loop.request([ours], x, initial, loop.boolean_mask(mask, x))
        assert (asked.lengths is not None) == (name in ("full", "right", "left", "nothing")), name
        assert (asked.mask is not None) == (name == "holes"), name


def test_weights_are_views() -> None:
    ours, _ = pair("gru")
    weights = ours.scan_weights(torch.float64)
    for tensor, variable in ((weights.W, ours.cell.kernel), (weights.U, ours.cell.recurrent_kernel)):
        assert tensor.data_ptr() == variable.value.data_ptr()


def test_recurrent_dropout_goes_step_by_step_in_training_only() -> None:
    ours, _ = pair("lstm", recurrent_dropout=0.2)
    with watch() as taken:
        ours(sequences(), training=True)
    assert taken == []
    with watch() as taken:
        ours(sequences(), training=False)
    assert backends(taken) == ["cpu"]


def test_a_meta_tensor_makes_shapes_only() -> None:
    ours, stock = pair("lstm", return_sequences=True, return_state=True)
    x = torch.empty(5, 6, 3, device="meta", dtype=torch.float64)
    with watch() as taken, keras_on_meta():
        shapes = [[(part.shape, part.dtype, part.is_meta) for part in one(x)] for one in (ours, stock)]
    assert taken == []
    assert shapes[0] == shapes[1]


def keras_on_meta() -> Any:
    import keras

    return keras.device("meta")


class OfTorch(torch.nn.Module):
    """A layer as torch's tools for graphs take it."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_an_exported_graph_holds_torch_operations_only(bidirectional: bool) -> None:
    layer = layers.LSTM(4, return_sequences=True)
    layer = layers.Bidirectional(layer) if bidirectional else layer
    x = torch.randn(2, 3, 5)
    expected = layer(x)
    with watch() as taken:
        exported = torch.export.export(OfTorch(layer), (x,)).module()
        np.testing.assert_allclose(exported(x).detach(), expected.detach(), atol=1e-6)
    assert taken == []


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "bfloat16"])
def test_low_precision_runs_on_the_kernels(policy: str) -> None:
    layer = layers.GRU(4, dtype=policy, recurrent_initializer="glorot_uniform")
    with watch() as taken:
        output = layer(np.zeros((2, 3, 5), "float32"))
    assert backends(taken) == ["cpu"]
    assert str(output.dtype) == f"torch.{policy.removeprefix('mixed_')}"
    assert f"{policy.removeprefix('mixed_')} as float32" in explain(layer, np.zeros((2, 3, 5), "float32"))


def test_explain_names_layer_way_and_reason() -> None:
    x = np.zeros((2, 6, 3), "float32")
    plain = explain(layers.LSTM(4, name="memory"), x, mask=np.ones((2, 6), bool))
    assert plain.startswith("memory runs on the backend 'cpu': ")
    assert "lstm" in plain

    function = explain(layers.GRU(4, activation=lambda x: x.sin()), x)
    assert "runs on the backend 'reference': " in function

    dropped = layers.SimpleRNN(4, recurrent_dropout=0.2, name="dropped")
    assert explain(dropped, x, training=True).startswith("dropped calls its cell step by step: recurrent dropout")
    assert "'cpu'" in explain(dropped, x)
    assert "implementation=1" in explain(layers.LSTM(4, dropout=0.2, implementation=1), x, training=True)

    assert explain(layers.Bidirectional(layers.LSTM(4), name="both"), x).startswith("both runs on the backend 'cpu'")
    apart = explain(layers.Bidirectional(layers.LSTM(4, dropout=0.1, name="memory")), x)
    assert apart.startswith("forward_memory runs on the backend 'cpu'")
    assert "backward_memory runs on the backend 'cpu'" in apart


def test_explain_computes_nothing_and_agrees_with_what_runs() -> None:
    ours, _ = pair("gru_reset_before", "float32")
    with watch() as taken:
        said = explain(ours, sequences("float32"), mask=MASKS["holes"])
    assert taken == []
    with watch() as taken:
        ours(sequences("float32"), mask=MASKS["holes"])
    assert f"'{taken[0].backend}'" in said
    assert taken[0].reason in said


def test_explain_refuses_other_layers() -> None:
    with pytest.raises(TypeError, match=r"got keras.*\.Dense; convert a model"):
        explain(layers.Dense(3), np.zeros((2, 3)))
