"""`fit` with our layers: as Keras' where Keras' works, and where it does not."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import torch

from ostinato.keras import Input, Model, Sequential, layers
from ostinato.keras.ops import convert_to_numpy

from .pairs import BATCH, FEATURES, KINDS, STEPS, UNITS, pair, sequences

TUTORIAL = pytest.mark.filterwarnings("ignore:Do not pass an `input_shape`:UserWarning")


@pytest.mark.parametrize("kind", KINDS)
def test_fit_learns_the_weights_that_keras_learns(kind: str) -> None:
    def network(module: Any, layer: Any) -> Any:
        options = {"kernel_regularizer": "l2", "recurrent_regularizer": "l1", "bias_regularizer": "l2"}
        constraints = {"kernel_constraint": "max_norm", "recurrent_constraint": "unit_norm"}
        fixed = KINDS[kind][2]
        model = keras.Sequential(
            [
                keras.Input((STEPS, FEATURES)),
                keras.layers.Masking(),
                layer(6, return_sequences=True, dropout=0.2, seed=3, **options, **fixed),
                module.Bidirectional(layer(5, **constraints, **fixed)),
                keras.layers.Dense(1),
            ]
        )
        model.compile(keras.optimizers.Adam(0.01), "mse")
        return model

    ours, stock = network(layers, KINDS[kind][0]), network(keras.layers, KINDS[kind][1])
    ours.set_weights(stock.get_weights())
    x, y = np.random.randn(12, STEPS, FEATURES).astype("float32"), np.random.randn(12, 1).astype("float32")
    x[::3, 4:] = 0
    losses = [m.fit(x, y, batch_size=4, epochs=3, shuffle=False, verbose=0).history["loss"] for m in (ours, stock)]
    np.testing.assert_allclose(*losses, rtol=1e-4)
    for mine, theirs in zip(ours.get_weights(), stock.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=2e-3)  # Adam divides by the root of tiny squares


@pytest.mark.parametrize("kind", KINDS)
def test_every_regularizer_adds_its_loss(kind: str) -> None:
    names = ("kernel", "recurrent", "bias", "activity")
    for name in names:
        ours, stock = pair(kind, "float32", **{f"{name}_regularizer": keras.regularizers.L1L2(0.1, 0.2)})
        returned = ours(sequences("float32"))
        stock(sequences("float32"))
        (loss,) = (one.item() for one in ours.losses)
        if name == "activity":  # Keras' SimpleRNN forgets this one, so the oracle is its definition
            expected = (0.1 * returned.abs().sum() + 0.2 * (returned**2).sum()).item() / BATCH
        else:
            (expected,) = (one.item() for one in stock.losses)
        assert loss == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("verbose", [0, 2])
@pytest.mark.parametrize("given", ["nothing", "one", "a list", "the sixth argument"])
def test_no_thread_calls_the_callbacks(monkeypatch: pytest.MonkeyPatch, given: str, verbose: int) -> None:
    def submit(*args: Any) -> None:
        raise AssertionError("callbacks were left to a thread")

    monkeypatch.setattr("concurrent.futures.ThreadPoolExecutor.submit", submit)
    model = Sequential([Input((STEPS, FEATURES)), layers.LSTM(UNITS)])
    model.compile("sgd", "mse")
    epochs: list[int] = []
    one = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: epochs.append(epoch))
    x, y = sequences("float32"), np.ones((BATCH, UNITS))
    if given == "the sixth argument":
        history = model.fit(x, y, None, 2, verbose, [one], validation_data=(x, y))
    else:
        callbacks = {"nothing": None, "one": one, "a list": [one]}[given]
        history = model.fit(x, y, epochs=2, verbose=verbose, callbacks=callbacks, validation_data=(x, y))
    assert epochs == ([] if given == "nothing" else [0, 1])
    assert len(history.history["loss"]) == len(history.history["val_loss"]) == 2


def test_a_callback_list_is_left_as_it_is() -> None:
    model = Sequential([Input((STEPS, FEATURES)), layers.LSTM(UNITS)])
    model.compile("sgd", "mse")
    callbacks = keras.callbacks.CallbackList(add_history=True, model=model, epochs=1, verbose=0, steps=1)
    model.fit(sequences("float32"), np.ones((BATCH, UNITS)), verbose=0, callbacks=callbacks)
    assert [type(one) for one in callbacks.callbacks] == [keras.callbacks.History]


def test_constraints_hold_after_fit() -> None:
    model = Sequential(
        [Input((STEPS, FEATURES)), layers.LSTM(UNITS, kernel_constraint="non_neg", recurrent_constraint="unit_norm")]
    )
    model.compile("sgd", "mse")
    model.fit(sequences("float32"), np.ones((BATCH, UNITS)), epochs=1, verbose=0)
    kernel, recurrent, _ = model.get_weights()
    assert kernel.min() >= 0
    np.testing.assert_allclose(np.linalg.norm(recurrent, axis=0), 1, rtol=1e-5)


@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_stateful_fit(kind: str, unroll: bool) -> None:
    """Keras' own LSTM and GRU fail here: they overwrite a state that the backward pass needs."""
    ours, _, fixed = KINDS[kind]
    model = Sequential(
        [
            Input(batch_shape=(2, 4, 3)),
            ours(5, stateful=True, return_sequences=True, unroll=unroll, **fixed),
            ours(4, stateful=True, unroll=unroll, **fixed),
            layers.Dense(1),
        ]
    )
    model.compile(keras.optimizers.Adam(0.05), "mse")
    x, y = np.random.randn(8, 4, 3), np.random.randn(8, 1)
    history = model.fit(x, y, batch_size=2, epochs=12, shuffle=False, verbose=0).history["loss"]
    assert history[-1] < 0.8 * history[0]
    states = [convert_to_numpy(state) for layer in model.layers[:2] for state in layer.states]
    assert all(np.abs(state).max() > 0 for state in states)
    for layer in model.layers[:2]:
        layer.reset_state()
    assert all(np.abs(convert_to_numpy(state)).max() == 0 for layer in model.layers[:2] for state in layer.states)


@pytest.mark.parametrize("kind", KINDS)
def test_stateful_batches_go_on_where_the_last_one_ended(kind: str) -> None:
    ours, _ = pair(kind, return_sequences=True)
    whole = ours(np.concatenate([sequences(), 2 * sequences()], 1)).detach()
    stateful, _ = pair(kind, return_sequences=True, stateful=True)
    stateful.set_weights(ours.get_weights())
    halves = [stateful(sequences()).detach(), stateful(2 * sequences()).detach()]
    np.testing.assert_allclose(np.concatenate(halves, 1), whole, atol=1e-12)
    stateful.reset_state()
    np.testing.assert_allclose(stateful(sequences()).detach(), halves[0], atol=1e-12)


def test_stateful_backward_after_the_states_were_replaced() -> None:
    ours, _ = pair("lstm", stateful=True)
    ours(sequences())
    x = torch.tensor(sequences(), requires_grad=True)
    before = [state.value.detach().clone() for state in ours.states]
    loss = ours(x).sum()
    ours(sequences())
    ours.reset_state()
    loss.backward()
    plain, _ = pair("lstm")
    plain.set_weights(ours.get_weights())
    again = torch.tensor(sequences(), requires_grad=True)
    plain(again, initial_state=before).sum().backward()
    np.testing.assert_allclose(x.grad, again.grad, atol=1e-12)


def test_a_seed_survives_cloning() -> None:
    layer = layers.SimpleRNN(4, dropout=0.5, seed=11, activity_regularizer="l2")
    clone = layers.SimpleRNN.from_config(layer.get_config())
    assert clone.cell.seed == 11
    assert isinstance(clone.activity_regularizer, keras.regularizers.L2)


def test_states_of_an_encoder_start_a_decoder() -> None:
    inputs, targets = Input((STEPS, FEATURES)), Input((None, FEATURES))
    _, *states = layers.LSTM(UNITS, return_state=True)(inputs)
    decoded = layers.LSTM(UNITS, return_sequences=True)(targets, initial_state=states)
    model = Model([inputs, targets], layers.Dense(1)(decoded))
    model.compile("adam", "mse")
    x = sequences("float32")
    before = model.layers[2].get_weights()
    model.fit([x, x[:, :3]], np.ones((BATCH, 3, 1)), epochs=1, verbose=0)
    assert any(np.abs(b - a).max() > 0 for b, a in zip(before, model.layers[2].get_weights(), strict=True))


@TUTORIAL
def test_classifier_of_the_tutorials() -> None:
    model = Sequential([layers.LSTM(16, input_shape=(20, 5)), layers.Dense(1, activation="sigmoid")])
    model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
    x, y = np.random.random((50, 20, 5)), np.random.randint(0, 2, (50, 1))
    history = model.fit(x, y, epochs=2, batch_size=16, validation_split=0.2, verbose=0).history
    assert set(history) == {"accuracy", "loss", "val_accuracy", "val_loss"}
    assert model.predict(x, verbose=0).shape == (50, 1)


@TUTORIAL
def test_three_stacked_layers_of_the_tutorials() -> None:
    model = Sequential()
    model.add(layers.LSTM(32, return_sequences=True, input_shape=(8, 16)))
    model.add(layers.LSTM(32, return_sequences=True))
    model.add(layers.LSTM(32))
    model.add(layers.Dense(10, activation="softmax"))
    model.compile(loss="categorical_crossentropy", optimizer="rmsprop", metrics=["accuracy"])
    labels = keras.utils.to_categorical(np.random.randint(0, 10, 64), 10)
    x = np.random.random((64, 8, 16))
    history = model.fit(x, labels, batch_size=32, epochs=3, verbose=0).history["loss"]
    assert history[-1] < history[0]
    np.testing.assert_allclose(model.predict(x, verbose=0).sum(1), 1, rtol=1e-5)
