"""Recurrent matrices and forget biases of Keras models, by initializer and by one call; weights of trained layers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import torch

import ostinato.keras
from ostinato.cells import CELLS
from ostinato.keras import initialise, initializers, layers, load_weights_from
from ostinato.keras.initializers import PerGate, SpectralRadius

from .gallery import NAMED, UNITS, layer, outputs, sequences

TRAINED = [name for name in NAMED if name != "echo_state"]


def values(variable: Any) -> np.ndarray:
    """A copy of a variable's values."""
    return np.array(keras.ops.convert_to_numpy(variable))


def stored(made: Any) -> dict[str, torch.Tensor]:
    """The tensors of a layer as its structure names them."""
    found = {}
    for parameter in made.cell.structure.parameters():
        value = made.cell.stored()[parameter.name]
        array = value if isinstance(value, np.ndarray) else values(value)
        found[parameter.name] = torch.tensor(array.T if array.ndim == 2 else array, dtype=torch.float64)
    return found


def gates(made: Any) -> list[torch.Tensor]:
    """The recurrent matrix of each gate, dense."""
    U = made.cell.structure.weights(stored(made)).U
    return [] if U is None else list(U.split(UNITS))


WITH_U = [name for name in TRAINED if gates(layer(name))]
SQUARE = [name for name in WITH_U if NAMED[name].projected == ()]
FORGETTING = [name for name in TRAINED if NAMED[name].forget]


@pytest.mark.parametrize("name", WITH_U)
def test_blocks_are_orthogonal(name: str) -> None:
    made = initialise(layer(name), recurrent=("orthogonal", 2.0))
    blocks = made.cell.structure.recurrent_blocks(stored(made)["U"])
    for block in blocks:
        gram = block @ block.T if block.shape[0] <= block.shape[1] else block.T @ block
        torch.testing.assert_close(gram, 4 * torch.eye(len(gram), dtype=gram.dtype), rtol=1e-5, atol=1e-5)
    shapes = [tuple(block.shape) for block in blocks]
    for at, one in enumerate(blocks):
        others = [b for other, b in enumerate(blocks) if other != at and shapes[other] == shapes[at]]
        assert not any(torch.equal(one, other) for other in others)


@pytest.mark.parametrize("name", SQUARE)
def test_identity_is_a_scaled_identity_of_every_gate(name: str) -> None:
    for gate in gates(initialise(layer(name), recurrent=("identity", 0.5))):
        torch.testing.assert_close(gate, 0.5 * torch.eye(UNITS, dtype=gate.dtype))


@pytest.mark.parametrize("name", SQUARE)
@pytest.mark.parametrize("radius", [0.3, 1.2])
def test_every_gate_has_the_spectral_radius(name: str, radius: float) -> None:
    made = initialise(layer(name), recurrent=("spectral_radius", radius), seed=1)
    found = gates(made)
    for gate in found:
        assert torch.linalg.eigvals(gate).abs().max().item() == pytest.approx(radius, rel=1e-5)
        assert (gate != 0).sum() > UNITS
    assert not any(torch.equal(found[0], other) for other in found[1:])


def biases(made: Any) -> torch.Tensor:
    """What the biases of the gate that makes the cell remember add up to."""
    return torch.stack(made.cell.structure.forget_biases(stored(made))).sum(0)


@pytest.mark.parametrize("name", FORGETTING)
def test_a_forget_bias_is_set_and_nothing_else(name: str) -> None:
    made = layer(name)
    before = {variable.path: values(variable) for variable in made.weights}
    initialise(made, forget_bias=1.5)
    sign = -1 if (NAMED[name].forget or "").startswith("-") else 1
    torch.testing.assert_close(biases(made), torch.full((UNITS,), sign * 1.5, dtype=torch.float64))
    changed = {v.path.rpartition("/")[2] for v in made.weights if not np.array_equal(values(v), before[v.path])}
    gate = (NAMED[name].forget or "").lstrip("-")
    assert changed and changed <= {"bias", "recurrent_bias", f"b_{gate}"}
    entries = sum((values(v) != before[v.path]).sum() for v in made.weights)
    assert UNITS <= entries <= 2 * UNITS


@pytest.mark.parametrize("name", FORGETTING)
def test_chrono_draws_memories_of_up_to_so_many_steps(name: str) -> None:
    made = layer(name)
    steps = []
    for seed in range(60):
        initialise(made, forget_bias=("chrono", 400), seed=seed)
        sign = -1 if (NAMED[name].forget or "").startswith("-") else 1
        steps.append(torch.exp(sign * biases(made)))
        if NAMED[name].forget == "f" and "i" in NAMED[name].gates:
            found, structure = stored(made), made.cell.structure
            bias = next((p for p in structure.parameters() if p.name == "b" and "i" in p.gates), None)
            of_input = found["b_i"] if bias is None else found["b"].split(UNITS)[bias.gates.index("i")]
            torch.testing.assert_close(of_input, -biases(made))
    found = torch.cat(steps)
    assert found.min() >= 1 - 1e-6 and found.max() <= 399 + 1e-3
    assert found.max() > 380 and found.min() < 20 and abs(found.mean() - 200) < 40  # uniform: 5 standard errors


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
@pytest.mark.parametrize("ours", [False, True])
def test_the_gates_of_keras_layers(kind: str, ours: bool) -> None:
    """Keras keeps the gates of a GRU in the order z, r, h, and both its biases in one variable."""
    made = getattr(layers if ours else keras.layers, kind)(5)
    made.build((None, 7, 3))
    kernel = values(made.cell.kernel)
    initialise(made, recurrent="orthogonal", forget_bias=("chrono", 30))
    np.testing.assert_array_equal(values(made.cell.kernel), kernel)
    bias = values(made.cell.bias)
    if kind == "LSTM":
        i, f, rest = np.split(bias, [5, 10])
        np.testing.assert_array_equal(i, -f)
        assert not rest.any()
    else:
        f = bias[0, :5]
        assert not bias[0, 5:].any() and not bias[1].any()
    assert f.min() >= 0 and f.max() <= math.log(29) and len(set(f)) == 5
    for block in np.split(values(made.cell.recurrent_kernel), 4 if kind == "LSTM" else 3, axis=1):
        np.testing.assert_allclose(block @ block.T, np.eye(5), atol=1e-5)


def test_one_call_reaches_a_whole_model() -> None:
    model = keras.Sequential(
        [
            keras.Input((7, 3)),
            layers.Bidirectional(layers.LSTM(4, return_sequences=True)),
            layers.DepthGatedLSTM(4, depth=3, return_sequences=True),
            layers.EchoState(4, return_sequences=True),
            keras.Sequential([keras.Input((7, 4)), keras.layers.GRU(4, return_sequences=True)]),
            keras.layers.RNN([layers.PeepholeLSTMCell(4), keras.layers.LSTMCell(4)]),
            layers.Dense(1),
        ]
    )
    before = {variable.path: values(variable) for variable in model.weights}
    assert initialise(model, recurrent=("spectral_radius", 0.7), forget_bias=2.0) is model
    changed = {v.path for v in model.weights if not np.array_equal(values(v), before[v.path])}
    expected = {p for p in before if p.endswith(("recurrent_kernel", "/bias")) and "echo_state" not in p}
    assert changed == expected - {p for p in expected if "dense" in p}
    assert len(changed) == 2 * (2 + 3 + 1 + 2)


def test_equal_seeds_draw_equal_weights() -> None:
    def drawn(seed: int | None) -> np.ndarray:
        made = layers.LSTM(4)
        made.build((None, 5, 3))
        initialise(made, recurrent="orthogonal", forget_bias=("chrono", 50), seed=seed)
        return np.concatenate([w.ravel() for w in made.get_weights()[1:]])

    assert np.array_equal(drawn(3), drawn(3)) and not np.array_equal(drawn(3), drawn(4))
    found = []
    for _ in range(2):
        keras.utils.set_random_seed(5)
        found.append(drawn(None))
    assert np.array_equal(*found) and not np.array_equal(found[0], drawn(None))


def test_an_initializer_of_keras_and_its_seed() -> None:
    def drawn(**options: Any) -> np.ndarray:
        made = layers.GRU(4)
        made.build((None, 5, 3))
        kernel: np.ndarray = initialise(made, **options).get_weights()[1]
        return kernel

    own = keras.initializers.RandomUniform(-0.01, 0.01, seed=9)
    assert np.abs(drawn(recurrent=own)).max() <= 0.01
    assert np.array_equal(drawn(recurrent=own), drawn(recurrent=own))
    assert not np.array_equal(drawn(recurrent=own), drawn(recurrent=own, seed=10))
    first, second, _ = np.split(drawn(recurrent=own), 3, axis=1)
    assert not np.array_equal(first, second)


def build(kind: str, /, *arguments: Any, **options: Any) -> Any:
    made = getattr(layers, kind)(*arguments, **options)
    made.build((None, 7, 3))
    return made


WRONG: dict[str, Any] = {
    "no model": (lambda: initialise([1], forget_bias=1.0), TypeError, "only a Keras model or layer .* got list"),
    "no cell": (lambda: initialise(build("Dense", 3, name="head"), forget_bias=1.0), ValueError, "head holds no recur"),
    "reservoir": (
        lambda: initialise(build("EchoState", 3), recurrent="identity"),
        ValueError,
        "holds no recurrent cell",
    ),
    "not built": (
        lambda: initialise(layers.LSTM(3), forget_bias=1.0),
        ValueError,
        "has no weights yet; build the model",
    ),
    "kind": (lambda: initialise(build("GRU", 3), recurrent="unitary"), ValueError, "recurrent is 'unitary'; expected"),
    "radius": (
        lambda: initialise(build("GRU", 3), recurrent=("spectral_radius", 0)),
        ValueError,
        r"recurrent is \('spectral_radius', 0\); expected .* above 0",
    ),
    "no matrix": (
        lambda: initialise(build("MinGRU", 3), recurrent="identity"),
        ValueError,
        "recurrent is 'identity', but cell min_gru has no recurrent matrix",
    ),
    "not square": (
        lambda: initialise(build("ProjectedLSTM", 3, projection=2), recurrent=("spectral_radius", 0.9)),
        ValueError,
        "the recurrent matrix of cell projected_lstm is 3 x 2 for each gate",
    ),
    "no gate": (lambda: initialise(build("SimpleRNN", 3), forget_bias=1.0), ValueError, "cell elman has no gate whose"),
    "no gate of ours": (lambda: initialise(build("LEM", 3), forget_bias=1.0), ValueError, "cell lem has no gate whose"),
    "no bias": (
        lambda: initialise(build("LSTM", 3, use_bias=False), forget_bias=1.0),
        ValueError,
        "gate f of cell lstm, which makes it remember, has no bias here",
    ),
    "bias": (lambda: initialise(build("LSTM", 3), forget_bias="one"), ValueError, "forget_bias is 'one'; expected"),
    "steps": (
        lambda: initialise(build("LSTM", 3), forget_bias=("chrono", 1.5)),
        ValueError,
        r"forget_bias is \('chrono', 1.5\); expected .* T_max above 2",
    ),
    "initializer": (lambda: SpectralRadius(-1.0), ValueError, "radius is -1.0; expected a number above 0"),
    "clockwork": (
        lambda: build("Clockwork", 4, modules=2, recurrent_initializer=PerGate()),
        ValueError,
        r"PerGate got the shape \(6, 2\); expected \(n, a multiple of n\)",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit_is_named(case: str) -> None:
    call, kind, sentence = WRONG[case]
    with pytest.raises(kind, match=sentence):
        call()


def test_where_something_does_not_fit_nothing_is_changed() -> None:
    model = keras.Sequential(
        [keras.Input((5, 3)), layers.LSTM(4, return_sequences=True), layers.SimpleRNN(4), layers.Dense(1)]
    )
    before = model.get_weights()
    with pytest.raises(ValueError, match="cell elman"):
        initialise(model, recurrent="orthogonal", forget_bias=3.0)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


@pytest.mark.parametrize(
    "made",
    [
        SpectralRadius(0.8),
        PerGate("orthogonal"),
        PerGate(keras.initializers.Identity(0.5)),
        PerGate(SpectralRadius(0.8)),
    ],
    ids=["radius", "orthogonal", "identity", "radius of blocks"],
)
@pytest.mark.parametrize("kind", ["LSTM", "PeepholeLSTM", "SLSTM"])
def test_an_initializer_makes_a_block_of_every_gate(made: Any, kind: str) -> None:
    heads = {"heads": 2} if kind == "SLSTM" else {}
    kernel = values(build(kind, 4, recurrent_initializer=made, **heads).cell.recurrent_kernel).astype("float64")
    size = len(kernel)
    assert size == (2 if heads else 4)
    blocks = np.split(kernel, kernel.shape[1] // size, axis=1)
    assert len(blocks) == (8 if heads else 4)
    inner = made.initializer if isinstance(made, PerGate) else made
    for block in blocks:
        if isinstance(inner, keras.initializers.Orthogonal):
            np.testing.assert_allclose(block @ block.T, np.eye(size), atol=1e-6)
        elif isinstance(inner, keras.initializers.Identity):
            np.testing.assert_array_equal(block, 0.5 * np.eye(size))
        else:
            assert np.abs(np.linalg.eigvals(block)).max() == pytest.approx(0.8, rel=2e-3)  # float32
    if not isinstance(inner, keras.initializers.Identity):
        assert not any(np.array_equal(blocks[0], other) for other in blocks[1:])


@pytest.mark.parametrize("made", [SpectralRadius(0.8, seed=3), PerGate("orthogonal", seed=3)], ids=["radius", "gate"])
def test_an_initializer_is_saved_and_seeded(made: Any, tmp_path: Path) -> None:
    again = keras.initializers.deserialize(keras.initializers.serialize(made))
    assert type(again) is type(made) and again.get_config() == made.get_config()
    first, second = (keras.ops.convert_to_numpy(one((3, 12))) for one in (made, again))
    np.testing.assert_array_equal(first, second)
    other = type(made).from_config({**made.get_config(), "seed": 4})
    assert not np.array_equal(first, keras.ops.convert_to_numpy(other((3, 12))))
    unseeded = type(made).from_config({**made.get_config(), "seed": None})
    assert not np.array_equal(first, keras.ops.convert_to_numpy(unseeded((3, 12))))
    model = keras.Sequential([keras.Input((5, 2)), layers.GRU(3, recurrent_initializer=made)])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    found = loaded.layers[0].cell.recurrent_initializer
    assert type(found) is type(made) and found.get_config() == made.get_config()


def test_layers_of_a_stack_draw_different_numbers() -> None:
    made = build("DepthGatedLSTM", 3, depth=2, recurrent_initializer=PerGate("orthogonal"))
    first, second = (values(one.cell.recurrent_kernel)[:, :3] for one in made.layers)
    assert not np.array_equal(first, second)


def test_every_name_of_keras_initializers_is_there() -> None:
    for name in dir(keras.initializers):
        if not name.startswith("_"):
            assert getattr(ostinato.keras.initializers, name) is getattr(keras.initializers, name)
    assert {"PerGate", "SpectralRadius", "Orthogonal"} <= set(dir(initializers))
    with pytest.raises(AttributeError, match="Unitary"):
        _ = initializers.Unitary


@pytest.mark.parametrize("name", NAMED)
def test_weights_of_a_trained_layer(name: str) -> None:
    trained, fresh = layer(name), layer(name)
    fresh.set_weights([-0.5 * one for one in fresh.get_weights()])
    x = sequences(name)
    if name != "echo_state":
        assert not np.array_equal(outputs(trained(x))[0], outputs(fresh(x))[0])
    assert load_weights_from(fresh, trained) is fresh
    np.testing.assert_array_equal(outputs(trained(x))[0], outputs(fresh(x))[0])
    load_weights_from(fresh, trained.get_weights())


def test_weights_of_keras_own_layer() -> None:
    theirs = keras.layers.Bidirectional(keras.layers.LSTM(4))
    theirs.build((None, 5, 3))
    ours = layers.Bidirectional(layers.LSTM(4))
    ours.build((None, 5, 3))
    x = np.random.default_rng(0).standard_normal((2, 5, 3)).astype("float32")
    np.testing.assert_allclose(outputs(load_weights_from(ours, theirs)(x))[0], outputs(theirs(x))[0], atol=1e-6)


@pytest.mark.parametrize(
    "call, kind, sentence",
    [
        (
            lambda to: load_weights_from(to, build("LSTM", 5)),
            ValueError,
            r"kernel has the shape \(3, 20\) in the source",
        ),
        (lambda to: load_weights_from(to, [np.zeros(3)]), ValueError, "the source has 1 weights; expected 3, those of"),
        (lambda to: load_weights_from(to, layers.LSTM(4)), ValueError, "has no weights yet; build it first"),
        (lambda to: load_weights_from(to, "weights.h5"), TypeError, "the source is of the type str; expected a Keras"),
        (lambda to: load_weights_from([], to), TypeError, "into a Keras model or layer; got list"),
    ],
)
def test_weights_that_do_not_fit_are_named(call: Any, kind: type[Exception], sentence: str) -> None:
    made = build("LSTM", 4)
    before = made.get_weights()
    with pytest.raises(kind, match=sentence):
        call(made)
    assert all(np.array_equal(a, b) for a, b in zip(before, made.get_weights(), strict=True))


@pytest.mark.parametrize("name", [name for name in CELLS if name != "depth_gated_lstm"])
def test_a_frozen_layer_keeps_its_weights_and_hands_gradients_on(name: str) -> None:
    frozen = layer(name, "float32")
    width = frozen.cell.structure.input_size
    frozen.trainable = False
    model = keras.Sequential([keras.Input((6, 2)), keras.layers.Dense(width), frozen, keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    kept, first = frozen.get_weights(), model.layers[0].get_weights()[0]
    random = np.random.default_rng(0)
    model.fit(random.standard_normal((8, 6, 2)), random.standard_normal((8, 1)), epochs=1, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(kept, frozen.get_weights(), strict=True))
    assert not np.array_equal(first, model.layers[0].get_weights()[0])
