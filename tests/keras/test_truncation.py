"""`truncate_gradient` and `clip_recurrent_gradient` of the layers: which gradients come back, and what keeps them."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import torch
from torch import Tensor

from ostinato.keras import Sequential, explain, from_keras, layer_of, layers, loop, models, to_keras
from ostinato.scan import record, scan, watch

from .gallery import BATCH, NAMED, STEPS, UNITS, initial_state, layer, randomize, sequences, trained
from .pairs import KINDS, MASKS
from .test_other_backends import run

BOUNDS: dict[str, dict[str, Any]] = {
    "cut": {"truncate_gradient": 2},
    "clipped": {"clip_recurrent_gradient": 0.02},
    "both": {"truncate_gradient": 3, "clip_recurrent_gradient": 0.05},
}
EACH_BOUND = pytest.mark.parametrize("bounds", BOUNDS.values(), ids=BOUNDS)
OWN = [name for name in NAMED if name not in ("lstm", "gru", "elman")]
SEVERAL = ("peephole_lstm", "gru_reset_before", "slstm", "layer_norm_lstm", "clockwork", "own_cell")


def assert_same(found: Any, expected: Any) -> None:
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-10)


def variables(made: Any) -> list[Tensor]:
    return [weight.value for weight in made.trainable_weights]


def gradients(results: Any, given: list[Tensor]) -> list[Tensor]:
    """The gradients of a seeded sum of the results."""
    generator = torch.Generator().manual_seed(5)
    pairs = [(one, torch.randn(one.shape, generator=generator, dtype=one.dtype)) for one in results]
    pairs = [(one, weight) for one, weight in pairs if one.requires_grad]
    return list(
        torch.autograd.grad(
            [one for one, _ in pairs], given, [weight for _, weight in pairs], materialize_grads=True, retain_graph=True
        )
    )


def detached(made: Any, x: Tensor, every: int, states: list[Tensor] | None = None) -> tuple[Tensor, list[Tensor]]:
    """Outputs in the order of the steps and final states of a layer, whose cell is called step by step in plain torch,
    its states detached every few steps."""
    states = made.get_initial_state(len(x)) if states is None else states
    outputs, order = {}, range(x.shape[1])
    for number, t in enumerate(reversed(order) if made.go_backwards else order):
        if number and (t + made.go_backwards) % every == 0:
            states = [state.detach() for state in states]
        outputs[t], states = made.cell(x[:, t], states)
    return torch.stack([outputs[t] for t in order], 1), states


@pytest.fixture
def in_float64(exact_keras: None) -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_dtype_policy(before)


@pytest.mark.usefixtures("in_float64")
@pytest.mark.parametrize("every", [1, 2, 4, 6])
@pytest.mark.parametrize("kind", KINDS)
def test_a_model_is_torch_code_that_detaches(kind: str, every: int) -> None:
    ours, _, fixed = KINDS[kind]
    options = {"return_sequences": True, "truncate_gradient": every, **fixed}
    model = Sequential(
        [
            layers.Input((STEPS, 3), dtype="float64"),
            layers.Bidirectional(ours(UNITS, **options)),
            ours(UNITS, go_backwards=True, **options),
        ]
    )
    randomize(model)
    x = torch.randn(BATCH, STEPS, 3, dtype=torch.float64, requires_grad=True)
    with watch() as taken:
        y = model(x)
    assert [choice.backend for choice in taken] == ["cpu", "cpu"]
    both, last = model.layers
    below = torch.cat([detached(one, x, every)[0] for one in (both.forward_layer, both.backward_layer)], -1)
    wanted = detached(last, below, every)[0].flip(1)
    assert_same(y, wanted)
    given = [x, *variables(model)]
    found = gradients([y], given)
    for one, other in zip(found, gradients([wanted], given), strict=True):
        assert_same(one, other)
    for one in (both.forward_layer, both.backward_layer, last):
        one.truncate_gradient = None
    whole = gradients([model(x)], given)
    assert all(torch.allclose(*pair, rtol=1e-9) == (every >= STEPS) for pair in zip(found, whole, strict=True))


def by_scan(made: Any, x: Tensor, initial: list[Tensor], mask: np.ndarray | None, **bounds: Any) -> list[Tensor]:
    """Outputs and final states of a layer with `zero_output_for_mask`, by the reference."""
    dtype = x.dtype
    features, further = made.scan_inputs(x, False)
    y, finals = scan(
        made.equations, features, [made.scan_weights(dtype)], [one[None] for one in initial],
        reverse=[made.go_backwards], mask=None if mask is None else torch.tensor(mask), sequences=[further],
        activations=made.scan_activations(), truncate=bounds.get("truncate_gradient"),
        clip=bounds.get("clip_recurrent_gradient"), backend="reference",
    )  # fmt: skip
    return [y.flip(1) if made.go_backwards else y, *(final[0] for final in finals)]


def prepared(name: str, mask: str, backwards: bool, **options: Any) -> tuple[Any, Tensor, list[Tensor]]:
    """A layer that returns everything, an input and initial states."""
    made = layer(
        name, return_sequences=True, return_state=True, go_backwards=backwards, zero_output_for_mask=True, **options
    )
    x = torch.tensor(sequences(name), requires_grad=True)
    return made, x, [torch.tensor(one, requires_grad=True) for one in initial_state(made)]


@EACH_BOUND
@pytest.mark.parametrize("name", OWN)
def test_every_cell_is_its_scan(name: str, bounds: dict[str, Any]) -> None:
    backwards = len(name) % 2 == 0
    made, x, initial = prepared(name, "holes", backwards, **bounds)
    given = [x, *initial, *variables(made)]
    with watch() as taken:
        returned = made(x, initial_state=initial, mask=MASKS["holes"])
    assert [choice.backend for choice in taken] == ["cpu"]
    found = gradients(returned, given)
    wanted = gradients(by_scan(made, x, initial, MASKS["holes"], **bounds), given)
    free = gradients(by_scan(made, x, initial, MASKS["holes"]), given)
    assert any((one - other).abs().max() > 1e-7 for one, other in zip(wanted, free, strict=True))
    for one, other in zip(found, wanted, strict=True):
        assert_same(one, other)


@pytest.mark.usefixtures("exact_keras")
@EACH_BOUND
@pytest.mark.parametrize("backwards", [False, True], ids=["forwards", "backwards"])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("name", SEVERAL)
def test_calling_the_cell_step_by_step_comes_to_the_same(
    name: str, mask: str, backwards: bool, bounds: dict[str, Any]
) -> None:
    """The loop of the other backends, here on torch."""
    made, x, initial = prepared(name, mask, backwards, unroll=backwards, **bounds)
    given = [x, *initial, *variables(made)]
    for zeros in (True, False):
        made.zero_output_for_mask = zeros
        returned = made(x, initial_state=initial, mask=MASKS[mask])
        last, outputs, states = loop.run_bounded(made, made.step_inputs(x, False), initial, MASKS[mask], False)
        assert_same([outputs, *states], list(returned))
        assert_same(last, outputs[:, -1])
        for one, other in zip(gradients([outputs, *states], given), gradients(returned, given), strict=True):
            assert_same(one, other)


@pytest.mark.parametrize("kind", KINDS)
def test_recurrent_dropout_goes_step_by_step_and_is_cut_too(kind: str) -> None:
    ours, _, fixed = KINDS[kind]
    free, bounded = (
        ours(UNITS, recurrent_dropout=0.4, dropout=0.3, seed=7, **fixed, **given)
        for given in ({}, {"truncate_gradient": 4})
    )
    for one in (free, bounded):
        one.build((BATCH, STEPS, 3))
        randomize(one)
    x = torch.randn(BATCH, STEPS, 3, requires_grad=True)
    with watch() as taken:
        y, expected = bounded(x, training=True), free(x, training=True)
    assert not taken
    torch.testing.assert_close(y, expected)
    assert gradients([expected], [x])[0][:, :4].any()
    (gradient,) = gradients([y], [x])
    assert not gradient[:, :4].any() and gradient[:, 4:].any()
    told = explain(bounded, x.detach(), training=True)
    assert "calls its cell step by step, with gradients truncated or clipped in between: recurrent dropout" in told


@pytest.mark.usefixtures("exact_keras")
def test_directions_of_unlike_bounds_run_one_after_the_other() -> None:
    def made(**backward: Any) -> Any:
        options = {"return_sequences": True, "dtype": "float64"}
        both = layers.Bidirectional(
            layers.GRU(UNITS, truncate_gradient=2, **options),
            backward_layer=layers.GRU(UNITS, go_backwards=True, **backward, **options),
            dtype="float64",
        )
        both.build((BATCH, STEPS, 3))
        randomize(both)
        return both

    x = torch.randn(BATCH, STEPS, 3, dtype=torch.float64, requires_grad=True)
    for backward, scans in (({"truncate_gradient": 2}, 1), ({"truncate_gradient": 4}, 2), ({}, 2)):
        both = made(**backward)
        with watch() as taken:
            y = both(x)
        assert len(taken) == scans
        every = backward.get("truncate_gradient", STEPS)
        wanted = torch.cat([detached(both.forward_layer, x, 2)[0], detached(both.backward_layer, x, every)[0]], -1)
        given = [x, *variables(both)]
        for one, other in zip(gradients([y], given), gradients([wanted], given), strict=True):
            assert_same(one, other)


ALL: dict[str, Any] = {
    "LSTM": layers.LSTM, "GRU": layers.GRU, "SimpleRNN": layers.SimpleRNN, "PeepholeLSTM": layers.PeepholeLSTM,
    "MinGRU": layers.MinGRU, "DepthGatedLSTM": layers.DepthGatedLSTM, "EchoState": layers.EchoState,
}  # fmt: skip
EACH = pytest.mark.parametrize("kind", ALL.values(), ids=ALL)
GIVEN: dict[str, Any] = {"truncate_gradient": 4, "clip_recurrent_gradient": 0.5}


@EACH
def test_the_forward_pass_is_untouched_bit_for_bit(kind: Any) -> None:
    free, bounded = (kind(UNITS, return_sequences=True, return_state=True, seed=1, **given) for given in ({}, GIVEN))
    x = torch.randn(BATCH, STEPS, 3, requires_grad=True)
    for one in (free, bounded):
        one.build(x.shape)
    bounded.set_weights(free.get_weights())
    for mask in (None, MASKS["holes"]):
        with watch() as taken:
            for one, other in zip(free(x, mask=mask), bounded(x, mask=mask), strict=True):
                assert torch.equal(one, other)
        assert {choice.backend for choice in taken} == {"cpu"}


@EACH
def test_a_configuration_keeps_both_where_they_are_given(kind: Any, tmp_path: Path) -> None:
    assert not any(name.endswith("_gradient") and value for name, value in kind(UNITS).get_config().items())
    model = Sequential(
        [
            layers.Input((STEPS, 3)),
            layers.Bidirectional(kind(UNITS, return_sequences=True, **GIVEN)),
            kind(UNITS, name="above", **GIVEN),
        ]
    )
    model.save(tmp_path / "model.keras")
    loaded = models.load_model(tmp_path / "model.keras")
    for one in (loaded, models.clone_model(model), Sequential.from_config(json.loads(json.dumps(model.get_config())))):
        both, above = one.layers
        for part in (both.forward_layer, both.backward_layer, above):
            assert {name: getattr(part, name) for name in GIVEN} == GIVEN
            assert {name: part.get_config()[name] for name in GIVEN} == GIVEN
    x = torch.randn(BATCH, STEPS, 3, requires_grad=True)
    assert torch.equal(gradients([loaded(x)], [x])[0], gradients([model(x)], [x])[0])


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "SimpleRNN"])
def test_a_configuration_without_them_is_one_of_keras(kind: str) -> None:
    config = getattr(layers, kind)(UNITS, clip_recurrent_gradient=1.0).get_config()
    stock = getattr(keras.layers, kind)
    with pytest.raises((TypeError, ValueError), match="clip_recurrent_gradient"):
        stock.from_config(config)
    del config["clip_recurrent_gradient"]
    assert config == getattr(layers, kind).from_config(config).get_config()
    assert stock.from_config(config).units == UNITS


def test_a_model_does_not_become_one_of_keras_with_them() -> None:
    model = from_keras(keras.Sequential([keras.Input((STEPS, 3)), keras.layers.GRU(UNITS, name="memory")]))
    x = torch.randn(BATCH, STEPS, 3, requires_grad=True)
    memory = model.layers[0]
    assert gradients([model(x)], [x])[0][:, :4].any()
    memory.truncate_gradient = 4
    assert not gradients([model(x)], [x])[0][:, :4].any()
    with pytest.raises(
        ValueError, match="memory: truncate_gradient is 4, which GRU of Keras cannot do; set it to None"
    ):
        to_keras(model)
    memory.truncate_gradient = None
    assert type(to_keras(model).layers[0]) is keras.layers.GRU


def test_a_refusal_to_become_one_of_keras_changes_nothing() -> None:
    both = layers.Bidirectional(layers.LSTM(UNITS, return_sequences=True))
    last = layers.Bidirectional(layers.GRU(UNITS, clip_recurrent_gradient=0.5))
    inner = Sequential([layers.Input((STEPS, 3)), both, layers.Dropout(0.1)])
    model = Sequential([layers.Input((STEPS, 3)), inner, last])
    every = list(model._flatten_layers())
    before = [type(one) for one in every]
    with pytest.raises(ValueError, match=r"clip_recurrent_gradient is 0\.5, which GRU of Keras cannot do"):
        to_keras(model)
    assert [type(one) for one in every] == before
    for one in (last.forward_layer, last.backward_layer):
        one.clip_recurrent_gradient = None
    to_keras(model)
    assert not any(type(one).__module__.startswith("ostinato") for one in every)


@EACH
@pytest.mark.parametrize(
    "given, sentence",
    [
        ({"truncate_gradient": 0}, "truncate_gradient is 0; expected a whole number of steps of at least 1, or None"),
        ({"truncate_gradient": "2"}, "truncate_gradient is '2'; expected a whole number"),
        ({"clip_recurrent_gradient": 0.0}, "clip_recurrent_gradient is 0.0; expected a number above 0, or None"),
        ({"clip_recurrent_gradient": float("nan")}, "clip_recurrent_gradient is nan; expected a number above 0"),
    ],
)
def test_bad_values_are_named_when_given_and_when_set(kind: Any, given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        kind(UNITS, **given)
    made = kind(UNITS)
    for name, value in given.items():
        setattr(made, name, value)
    with pytest.raises(ValueError, match=re.escape(sentence)):
        made(torch.zeros(BATCH, STEPS, 3))


def test_a_stack_cuts_every_layer() -> None:
    x = torch.randn(BATCH, STEPS, 3, requires_grad=True)
    stack = layers.DepthGatedLSTM(UNITS, depth=3)
    assert gradients([stack(x)], [x])[0][:, :4].any()
    stack.truncate_gradient = 4
    assert not gradients([stack(x)], [x])[0][:, :4].any()
    assert [one.truncate_gradient for one in stack.layers] == [4, 4, 4]
    with record() as flows:
        y = stack(x)
    y.sum().backward()
    for flow in flows:
        assert set(flow.gradients) == {"h", "c"}
        assert all(not one[:, :4].any() and one[:, 4:].any() for one in flow.gradients.values())


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "PeepholeLSTM"])
def test_a_stateful_layer_is_its_pieces_one_after_the_other(kind: str) -> None:
    options = {"stateful": True, "return_sequences": True, "dtype": "float64"}
    whole = getattr(layers, kind)(UNITS, truncate_gradient=2, **options)
    pieces = getattr(layers, kind)(UNITS, **options)
    long = torch.randn(BATCH, 2 * STEPS, 3, dtype=torch.float64)
    for one in (whole, pieces):
        one.build((BATCH, STEPS, 3))
        randomize(one)
    for first in (0, STEPS):  # from zeros, then from the states carried
        x = long[:, first : first + STEPS]
        pull = torch.randn(BATCH, STEPS, UNITS, dtype=torch.float64)
        found = torch.autograd.grad(whole(x), variables(whole), pull)
        total = [torch.zeros_like(one) for one in found]
        for start in range(0, STEPS, 2):
            part = slice(start, start + 2)
            part_of = torch.autograd.grad(pieces(x[:, part]), variables(pieces), pull[:, part])
            total = [one + other for one, other in zip(total, part_of, strict=True)]
        for one, other in zip(found, total, strict=True):
            assert_same(one, other)
        for one, other in zip(whole.states, pieces.states, strict=True):
            assert_same(one.value, other.value)


def test_a_stateful_model_trains_with_both() -> None:
    keras.utils.set_random_seed(0)
    model = Sequential(
        [
            layers.Input((STEPS, 1), batch_size=BATCH),
            layers.GRU(8, stateful=True, return_sequences=True, **GIVEN),
            layers.Bidirectional(layers.PeepholeLSTM(4, **GIVEN)),
            layers.Dense(1),
        ]
    )
    model.compile(keras.optimizers.Adam(0.02), "mse")
    x = np.random.randn(4 * BATCH, STEPS, 1).astype("float32")
    with watch() as taken:
        loss = model.fit(x, x[:, -2, 0], batch_size=BATCH, epochs=15, shuffle=False, verbose=0).history["loss"]
    assert loss[-1] < loss[0] / 2
    assert [choice.backend for choice in taken] == ["cpu"] * len(taken) and len(taken) == 2 * 4 * 15


@pytest.mark.parametrize("kind", [n for n in SEVERAL if trained(n)])
def test_cells_of_ones_own_and_others_train_with_both(kind: str) -> None:
    made = layer_of(NAMED[kind])(UNITS, **GIVEN)
    model = Sequential([layers.Input((STEPS, 3)), made, layers.Dense(1)])
    model.compile("adam", "mse")
    before = [np.array(weight) for weight in made.get_weights()]
    model.fit(np.random.randn(8, STEPS, 3), np.random.randn(8), verbose=0)
    assert any(not np.array_equal(*one) for one in zip(before, made.get_weights(), strict=True))


#: What runs under another backend: the gradients of a layer of each configuration, by its input and weights.
PROGRAM = """
import json, keras, numpy as np
import ostinato.keras
from ostinato.keras import layers
backend = keras.backend.backend()
given, found = np.load("given.npz"), {}

def gradients(layer, x, mask, pull):
    weights = [one.value for one in layer.trainable_variables]
    if backend == "jax":
        import jax
        fixed = [one.value for one in layer.non_trainable_variables]
        loss = lambda x, weights: (layer.stateless_call(weights, fixed, x, mask=mask)[0] * pull).sum()
        of_x, of_weights = jax.jit(jax.grad(loss, argnums=(0, 1)))(x, weights)
        return [of_x, *of_weights]
    import tensorflow
    @tensorflow.function
    def run(x):
        with tensorflow.GradientTape() as tape:
            tape.watch(x)
            loss = tensorflow.reduce_sum(layer(x, mask=mask) * pull)
        return tape.gradient(loss, [x, *weights])
    return run(tensorflow.constant(x))

for name, config in json.load(open("layers.json")).items():
    layer = keras.saving.deserialize_keras_object(config)
    layer.build(given["x"].shape)
    layer.set_weights([given[f"{name} {k}"] for k in range(len(layer.weights))])
    if backend == "numpy":
        found[name] = layer(given["x"], mask=given["mask"])
        continue
    for k, one in enumerate(gradients(layer, given["x"], given["mask"], given["pull"])):
        found[f"{name} {k}"] = np.asarray(one)
np.savez("found.npz", **found)
if backend != "numpy":
    free, bounded = layers.Bidirectional(layers.LSTM(2)), layers.Bidirectional(layers.LSTM(2, truncate_gradient=2))
    for layer in (free, bounded):
        layer.build((1, 3, 1))
    assert free._can_attempt_fused_lstm(None) and not bounded._can_attempt_fused_lstm(None)
"""


@pytest.mark.parametrize("backend", ["numpy", "jax", "tensorflow"])
def test_other_backends_make_the_same_gradients(backend: str, tmp_path: Path) -> None:
    configs, expected, random = {}, {}, np.random.default_rng(0)
    given = {
        "x": random.standard_normal((BATCH, STEPS, 3)).astype("float32"),
        "pull": random.standard_normal((BATCH, STEPS, UNITS)).astype("float32"),
        "mask": MASKS["holes"],
    }
    bounded = itertools.cycle(BOUNDS.values())
    for kind in (layers.LSTM, layers.GRU, layers.SimpleRNN, layers.PeepholeLSTM, layers.Clockwork):
        for backwards in (False, True):
            key, bounds = f"{kind.__name__} {backwards}", next(bounded)
            made = kind(UNITS, return_sequences=True, go_backwards=backwards, **bounds)
            made.build(given["x"].shape)
            randomize(made)
            configs[key] = keras.saving.serialize_keras_object(made)
            given |= {f"{key} {k}": np.asarray(one) for k, one in enumerate(made.get_weights())}
            x = torch.tensor(given["x"], requires_grad=True)
            y = made(x, mask=given["mask"])
            if backend == "numpy":
                expected[key] = y.detach().numpy()
                continue
            found = torch.autograd.grad(y, [x, *variables(made)], torch.tensor(given["pull"]))
            expected |= {f"{key} {k}": one.numpy() for k, one in enumerate(found)}
    np.savez(tmp_path / "given.npz", **given)
    (tmp_path / "layers.json").write_text(json.dumps(configs))
    run(PROGRAM, backend, tmp_path)
    results = np.load(tmp_path / "found.npz")
    assert set(results) == set(expected)
    for key, one in expected.items():
        np.testing.assert_allclose(results[key], one, rtol=2e-5, atol=2e-5, err_msg=key)
