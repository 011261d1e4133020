"""A model's stream is the model, one step at a time."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

import ostinato.keras
from ostinato.keras import layers, models
from ostinato.keras.loop import ON_TORCH

from .gallery import NAMED, SPECIAL, own_cell, randomize

pytestmark = pytest.mark.skipif(not ON_TORCH, reason="a stream needs Keras on torch")

STEPS = 5


def sequences(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).standard_normal(shape).astype("float32")


def outputs(stream: Any, x: np.ndarray) -> np.ndarray:
    """(batch, steps, outputs) of x (batch, steps, features)."""
    return np.stack([stream(x[:, t]).copy() for t in range(x.shape[1])], 1)


def every_step(model: Any, x: np.ndarray) -> np.ndarray:
    """What a model says after each step of x: its last output for the steps so far."""
    found = [model.predict(x[:, : t + 1], verbose=0) for t in range(x.shape[1])]
    return np.stack([one[:, -1] if one.ndim == 3 else one for one in found], 1)


def chain(*parts: Any, shape: tuple[Any, ...] = (None, 3)) -> Any:
    made = keras.Sequential([keras.Input(shape), *parts])
    randomize(made)
    return made


def assert_streams(model: Any, x: np.ndarray) -> None:
    np.testing.assert_allclose(
        outputs(ostinato.keras.stream(model, batch=len(x)), x), every_step(model, x), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("name", NAMED)
def test_the_layer_of_every_cell(name: str) -> None:
    cell = NAMED[name]
    made = ostinato.keras.layer_of(cell)
    further = (
        {"depth": 2} if cell.sequences else {"output_states": cell.states[::-1]} if name == "peephole_lstm" else {}
    )
    same = name in ("rg_lru", "identity_sru")
    model = chain(
        made(4, return_sequences=True, **SPECIAL.get(name, {}), **further),
        layers.Dense(2),
        shape=(None, 4 if same else 3),
    )
    x = sequences(2, STEPS, 4 if same else 3)
    stream = ostinato.keras.stream(model, batch=2)
    np.testing.assert_allclose(outputs(stream, x), model.predict(x, verbose=0), rtol=1e-5, atol=1e-6)


def test_a_cell_with_the_number_of_the_step_keeps_it() -> None:
    model = chain(ostinato.keras.layer_of(own_cell)(4, name="own"))
    stream = ostinato.keras.stream(model)
    stream(np.ones(3, "float32"))
    assert {"own.h", "own.c", "step"} == set(stream.state) and stream.state["step"] == 1


def test_layers_behind_each_other() -> None:
    model = chain(
        layers.LSTM(6, return_sequences=True, recurrent_activation="hard_sigmoid"), layers.Dropout(0.5),
        keras.Sequential([layers.GRU(5, return_sequences=True, reset_after=False), layers.GaussianNoise(0.1)]),
        layers.TimeDistributed(layers.Dense(4, activation="gelu", use_bias=False)), layers.SimpleRNN(3, dropout=0.3),
        layers.Dense(5), layers.Activation("relu"), layers.Dense(4, activation="softmax"),
    )  # fmt: skip
    assert_streams(model, sequences(3, STEPS, 3))
    states = [name.rpartition(".")[2] for name in ostinato.keras.stream(model).state]
    assert states == ["h", "c", "h", "h"]


def test_a_functional_model_and_one_layer() -> None:
    inputs = keras.Input((STEPS, 3))
    hidden = layers.GRU(4)(inputs)
    model = keras.Model(inputs, layers.Dense(2, activation="tanh")(layers.Dropout(0.2)(hidden)))
    randomize(model)
    x = sequences(1, STEPS, 3)
    stream = ostinato.keras.stream(model)
    np.testing.assert_allclose(outputs(stream, x)[:, -1], model.predict(x, verbose=0), atol=1e-6)
    alone = layers.LSTM(4, return_sequences=True)
    np.testing.assert_allclose(alone(x).detach(), outputs(ostinato.keras.stream(alone), x), atol=1e-6)


def test_tokens_in_front() -> None:
    model = chain(layers.Embedding(7, 3), layers.LSTM(4), layers.Dense(7, activation="softmax"), shape=(None,))
    x = np.random.default_rng(0).integers(0, 7, (2, STEPS))
    assert_streams(model, x)
    stream = ostinato.keras.stream(model)
    first = stream(3).copy()
    stream.reset()
    np.testing.assert_array_equal(stream(np.array([3])), first[None])
    for wrong, told in ((7, r"7\.\.7; expected 0\.\.6"), (-1, "-1"), (1.5, "float64"), ([1, 2], r"\(2,\)")):
        with pytest.raises(ValueError, match=told):
            stream(wrong)
    model.layers[0].embeddings.assign(np.zeros((7, 3)))
    stream.refresh()
    stream.reset()
    assert not np.array_equal(stream(3), first)


def test_double_precision() -> None:
    model = chain(layers.LSTM(4, dtype="float64", name="a"))
    stream = ostinato.keras.stream(model)
    assert stream.dtype == np.float64
    x = sequences(1, STEPS, 3).astype("float64")
    np.testing.assert_allclose(outputs(stream, x)[:, -1], model.predict(x, verbose=0), atol=1e-12)


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        (lambda: [layers.Bidirectional(layers.LSTM(2), name="both")], "both is a Bidirectional; its second direction"),
        (lambda: [layers.Conv1D(2, 1, name="conv"), layers.LSTM(2)], "conv is a Conv1D; a stream runs"),
        (lambda: [layers.LSTM(2, go_backwards=True, name="back")], "back has go_backwards"),
        (lambda: [keras.layers.GRU(2, name="stock")], "stock is a GRU; ostinato.keras.from_keras"),
        (lambda: [layers.LSTM(2), layers.Dense(2, activation=keras.ops.sin, name="sine")], "sine has an activation"),
        (lambda: [layers.Activation("relu", name="first")], "first is a Activation"),
        (lambda: [layers.Dropout(0.5)], "no layer to run"),
        (
            lambda: [layers.LSTM(2, dtype="float64"), layers.Dense(1, name="dense")],
            "dense.* computes in float32, and the layers before it in float64",
        ),
    ],
)
def test_what_is_no_such_chain_is_named(parts: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        ostinato.keras.stream(keras.Sequential([keras.Input((STEPS, 3)), *parts()], name="model"))


def test_models_that_branch_are_refused() -> None:
    inputs = keras.Input((STEPS, 3))
    first, second = layers.LSTM(2, name="one")(inputs), layers.GRU(2, name="other")(inputs)
    with pytest.raises(ValueError, match="does not follow on"):
        ostinato.keras.stream(keras.Model(inputs, keras.layers.Add()([first, second])))
    with pytest.raises(ValueError, match="2 outputs"):
        ostinato.keras.stream(keras.Model(inputs, [first, second]))
    twice = layers.LSTM(3, return_sequences=True, name="twice")
    with pytest.raises(ValueError, match="twice is called more than once"):
        ostinato.keras.stream(keras.Model(inputs, twice(twice(inputs))))


def test_states_that_go_further_are_refused() -> None:
    """A stream hands on what a layer puts out; `return_state` changes nothing where nobody reads a state."""
    inputs = keras.Input((STEPS, 3))
    y, h, c = layers.LSTM(2, return_state=True, name="lstm")(inputs)
    with pytest.raises(ValueError, match="told returns a state of lstm"):
        ostinato.keras.stream(keras.Model(inputs, c, name="told"))
    with pytest.raises(ValueError, match="head reads a state of lstm"):
        ostinato.keras.stream(keras.Model(inputs, layers.Dense(2, name="head")(h)))
    within = keras.Model(inputs, c, name="within")
    with pytest.raises(ValueError, match="within returns a state of lstm"):
        ostinato.keras.stream(keras.Sequential([keras.Input((STEPS, 3)), within]))
    model = keras.Model(inputs, layers.Dense(2)(y))
    x = sequences(1, STEPS, 3)
    found = outputs(ostinato.keras.stream(model), x)
    np.testing.assert_allclose(found[:, -1], model.predict(x, verbose=0), atol=1e-6)


@pytest.mark.parametrize("kind", [keras.Sequential, ostinato.keras.Sequential, keras.Model, models.Functional])
def test_a_model_with_a_call_of_its_own_is_refused(kind: Any) -> None:
    class Same(kind):
        pass

    class Twice(kind):
        def call(self, x: Any, training: Any = None, mask: Any = None) -> Any:
            return 2 * super().call(x, training=training, mask=mask)

    inputs = keras.Input((STEPS, 3))
    lstm = layers.LSTM(2)
    given = ([inputs, lstm],) if issubclass(kind, keras.Sequential) else (inputs, lstm(inputs))
    x = sequences(1, STEPS, 3)
    found = outputs(ostinato.keras.stream(Same(*given)), x)
    np.testing.assert_allclose(found[:, -1], Same(*given).predict(x, verbose=0), atol=1e-6)
    with pytest.raises(ValueError, match="twice is a Twice, whose call is its own"):
        ostinato.keras.stream(Twice(*given, name="twice"))


def test_embeddings_that_mask_and_quantized_layers_are_refused() -> None:
    masking = chain(layers.Embedding(7, 3, mask_zero=True, name="tokens"), layers.LSTM(4), shape=(None,))
    with pytest.raises(ValueError, match="tokens has mask_zero=True"):
        ostinato.keras.stream(masking)
    for number, told in ((0, "tokens is an Embedding; its weights are quantized to int8"), (2, "head is a Dense; its")):
        parts = layers.Embedding(7, 3, name="tokens"), layers.LSTM(4), layers.Dense(2, name="head")
        model = chain(*parts, shape=(None,))
        parts[number].quantize("int8")
        with pytest.raises(ValueError, match=told):
            ostinato.keras.stream(model)


def test_a_dense_layer_with_a_low_rank_part() -> None:
    model = chain(layers.LSTM(4), layers.Dense(2), shape=(None, 3))
    model.layers[-1].enable_lora(1)
    for weight in model.layers[-1].trainable_weights:
        weight.assign(np.random.default_rng(0).normal(size=weight.shape))
    x = sequences(1, STEPS, 3)
    found = outputs(ostinato.keras.stream(model), x)
    np.testing.assert_allclose(found[:, -1], model.predict(x, verbose=0), atol=1e-6)


def test_subclasses_functions_and_unbuilt_layers_are_refused() -> None:
    class Own(layers.LSTM):
        pass

    with pytest.raises(ValueError, match="own_way is a Own, a subclass"):
        ostinato.keras.stream(keras.Sequential([keras.Input((STEPS, 3)), Own(2, name="own_way")]))
    with pytest.raises(RuntimeError, match=r"^sine: a stream runs on the compiled kernels alone"):
        ostinato.keras.stream(
            keras.Sequential([keras.Input((None, 3)), layers.LSTM(2, activation=keras.ops.sin, name="sine")])
        )
    with pytest.raises(ValueError, match="new is not built"):
        ostinato.keras.stream(layers.LSTM(2, name="new"))


def test_what_a_layer_is_given_beside_its_input_is_refused() -> None:
    x = keras.Input((None, 3))
    for given in ({"initial_state": keras.ops.ones((1, 4))}, {"mask": keras.ops.ones((1, 5))}):
        with pytest.raises(ValueError, match=f"memory is called with {next(iter(given))}; a stream runs a chain"):
            ostinato.keras.stream(keras.Model(x, layers.GRU(4, name="memory")(x, **given)))


def test_a_dropout_of_ones_own_is_not_taken_for_nothing() -> None:
    class Doubled(keras.layers.Dropout):  # type: ignore[misc]
        def call(self, inputs: Any, training: bool = False) -> Any:
            return 2 * inputs

    with pytest.raises(ValueError, match="doubled is a Doubled; a stream runs"):
        ostinato.keras.stream(chain(layers.GRU(4), Doubled(0.1, name="doubled")))
