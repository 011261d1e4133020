"""Files in both directions between our layers and Keras' own, and conversion in place."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from ostinato.keras import from_keras, layers, models, to_keras
from ostinato.keras.layers import GRU, LSTM, Bidirectional, Dropout, SimpleRNN

SHAPE = (6, 3)


def network(module: Any) -> Any:
    """A model with every recurrent layer, wrapped and nested, of `keras.layers` or of ours."""
    inner = keras.Sequential([keras.Input((6, 4)), module.GRU(5, return_sequences=True)], name="inner")
    inputs = keras.Input(SHAPE)
    x = module.LSTM(4, return_sequences=True, dropout=0.1)(inputs)
    x = module.Dropout(0.1)(inner(x))
    x = module.Bidirectional(module.SimpleRNN(3, return_sequences=True))(x)
    x = module.Bidirectional(module.LSTM(3), backward_layer=module.LSTM(3, go_backwards=True), merge_mode="sum")(x)
    return keras.Model(inputs, keras.layers.Dense(1)(x))


@pytest.fixture
def x() -> np.ndarray:
    return np.random.randn(4, *SHAPE).astype("float32")


def predicted(model: Any, x: np.ndarray) -> np.ndarray:
    return np.asarray(model.predict(x, verbose=0))


def test_a_keras_file_of_ours_loads_as_ours(tmp_path: Path, x: np.ndarray) -> None:
    model = network(layers)
    model.save(tmp_path / "model.keras")
    loaded = models.load_model(tmp_path / "model.keras")
    assert type(loaded.layers[1]) is LSTM
    assert type(loaded.get_layer("inner").layers[0]) is GRU
    assert type(loaded.layers[3]) is Dropout
    assert type(loaded.layers[4]) is Bidirectional
    assert type(loaded.layers[4].forward_layer) is SimpleRNN
    np.testing.assert_allclose(predicted(loaded, x), predicted(model, x), atol=1e-6)


PLAIN_KERAS = """
import sys, keras, numpy as np
x = np.load("x.npy")
names = ("LSTM", "GRU", "SimpleRNN", "Bidirectional", "Dropout")
stock = {f"ostinato>{name}": getattr(keras.layers, name) for name in names}
np.save("ours.npy", keras.models.load_model("ours.keras", custom_objects=stock).predict(x, verbose=0))
np.save("converted.npy", keras.models.load_model("converted.keras").predict(x, verbose=0))
assert "ostinato" not in sys.modules
"""


def test_files_load_without_this_library(tmp_path: Path, x: np.ndarray) -> None:
    model = network(layers)
    expected = predicted(model, x)
    np.save(tmp_path / "x.npy", x)
    model.save(tmp_path / "ours.keras")
    to_keras(model).save(tmp_path / "converted.keras")
    environment = {**os.environ, "KERAS_BACKEND": "torch"}
    subprocess.run([sys.executable, "-c", PLAIN_KERAS], check=True, env=environment, cwd=tmp_path, timeout=120)
    for name in ("ours", "converted"):
        np.testing.assert_allclose(np.load(tmp_path / f"{name}.npy"), expected, atol=1e-6)


def test_a_plain_keras_file_converts(tmp_path: Path, x: np.ndarray) -> None:
    stock = network(keras.layers)
    stock.save(tmp_path / "model.keras")
    model = from_keras(models.load_model(tmp_path / "model.keras"))
    assert [type(layer) for layer in recurrent(model)] == [LSTM, GRU, Bidirectional, Bidirectional]
    np.testing.assert_allclose(predicted(model, x), predicted(stock, x), atol=1e-6)


@pytest.mark.parametrize("to_ours", [True, False])
def test_weight_files_are_interchangeable(tmp_path: Path, x: np.ndarray, to_ours: bool) -> None:
    source, target = (keras.layers, layers) if to_ours else (layers, keras.layers)
    saved, loaded = network(source), network(target)
    saved.save_weights(tmp_path / "model.weights.h5")
    loaded.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_allclose(predicted(loaded, x), predicted(saved, x), atol=1e-6)


def recurrent(model: Any) -> list[Any]:
    return [model.layers[1], model.get_layer("inner").layers[0], *model.layers[4:6]]


def test_conversion_there_and_back_keeps_the_model(x: np.ndarray) -> None:
    model = network(keras.layers)
    model.compile("adam", "mse")
    model.fit(x, np.ones((4, 1)), verbose=0)
    expected, steps = predicted(model, x), int(model.optimizer.iterations)
    kinds = [type(part) for part in model._flatten_layers()]
    assert from_keras(model) is model
    assert (type(model), type(model.layers[3])) == (models.Functional, Dropout)
    assert type(model.get_layer("inner")) is models.Sequential
    assert all(isinstance(layer, (LSTM, GRU, Bidirectional)) for layer in recurrent(model))
    assert type(model.layers[5].backward_layer) is LSTM
    np.testing.assert_allclose(predicted(model, x), expected, atol=1e-6)
    model.fit(x, np.ones((4, 1)), verbose=0)
    assert int(model.optimizer.iterations) == steps + 1
    to_keras(model)
    assert [type(part) for part in model._flatten_layers()] == kinds
    assert all(type(layer).__module__.startswith("keras.") for layer in recurrent(model))
    assert type(model.layers[4].forward_layer) is keras.layers.SimpleRNN


def test_conversion_leaves_subclasses_alone() -> None:
    class Mine(keras.layers.LSTM):
        pass

    layer = Mine(3)
    assert type(from_keras(layer)) is Mine


def test_conversion_refuses_what_is_no_layer() -> None:
    with pytest.raises(TypeError, match="only a Keras model or layer can be converted; got dict"):
        from_keras({})


def test_a_clone_is_of_our_layers(x: np.ndarray) -> None:
    model = network(layers)
    clone = models.clone_model(model)
    assert [type(layer) for layer in recurrent(clone)] == [LSTM, GRU, Bidirectional, Bidirectional]
    clone.set_weights(model.get_weights())
    np.testing.assert_allclose(predicted(clone, x), predicted(model, x), atol=1e-6)
    assert type(models.clone_model(to_keras(clone)).layers[1]) is keras.layers.LSTM


@pytest.mark.parametrize("ours", [LSTM, GRU, SimpleRNN])
def test_configurations_are_those_of_keras(ours: Any) -> None:
    options = {
        "activation": "relu",
        "recurrent_regularizer": "l2",
        "activity_regularizer": "l1",
        "kernel_constraint": "max_norm",
        "bias_initializer": "ones",
        "dropout": 0.1,
        "recurrent_dropout": 0.2,
        "seed": 5,
        "return_sequences": True,
        "return_state": True,
        "go_backwards": True,
        "stateful": True,
        "unroll": True,
        "zero_output_for_mask": True,
        "dtype": "mixed_bfloat16",
        "name": "recurrent",
    }
    stock = getattr(keras.layers, ours.__name__)
    mine, theirs = ours(4, **options).get_config(), stock(4, **options).get_config()
    if ours is SimpleRNN:
        theirs |= {"seed": 5, "activity_regularizer": mine["activity_regularizer"]}
        assert mine["activity_regularizer"]["config"]["l1"] == pytest.approx(0.01)
    assert mine == theirs
    again = ours.from_config(mine).get_config()
    assert again == mine


def test_a_sequential_model_of_ours_is_saved_as_ours(tmp_path: Path, x: np.ndarray) -> None:
    model = models.Sequential([keras.Input(SHAPE), layers.LSTM(4), layers.Dense(1)])
    model.compile("adam", "mse")
    model.fit(x, np.ones((4, 1)), verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = models.load_model(tmp_path / "model.keras")
    assert type(loaded) is models.Sequential
    np.testing.assert_allclose(predicted(loaded, x), predicted(model, x), atol=1e-6)
    assert int(loaded.optimizer.iterations) == 1
    assert type(to_keras(loaded)) is keras.Sequential


def test_cells_that_keras_has_not_cannot_become_its_layers() -> None:
    first, both = layers.LSTM(3, return_sequences=True), layers.Bidirectional(layers.MinGRU(3, return_sequences=True))
    for other in (layers.PeepholeLSTM(3, name="other"), layers.DepthGatedLSTM(3, name="other")):
        model = models.Sequential([layers.Input((5, 2)), first, other])
        with pytest.raises(ValueError, match=f"other is a {type(other).__name__}, which Keras has not"):
            to_keras(model)
    with pytest.raises(ValueError, match="is a MinGRU, which Keras has not"):
        to_keras(both)
    assert type(first) is LSTM and type(both) is Bidirectional
