"""A training that breaks says where; one that does not learn gets a hint; a healthy one gets neither."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import ostinato.keras
from ostinato.keras import layers
from ostinato.keras.callbacks import Faults, TrainingFault


def exploding(rate: float = 0.2, model: Any = ostinato.keras.Sequential) -> tuple[Any, np.ndarray, np.ndarray]:
    """A recurrent network without squashing, and a learning rate with which it explodes after some steps."""
    made = model(
        [
            layers.Input((20, 3)),
            layers.SimpleRNN(8, activation="linear", name="recurrent"),
            layers.Dense(1, name="head"),
        ]
    )
    made.compile(keras.optimizers.SGD(rate), "mse")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(96, 20, 3)).astype("float32")
    return made, x, x[:, -1, :1].copy()


def healthy() -> tuple[Any, np.ndarray, np.ndarray]:
    made = ostinato.keras.Sequential(
        [layers.Input((12, 2)), layers.LSTM(8, name="lstm"), layers.Dense(8, "relu", name="hidden"), layers.Dense(1)]
    )
    made.compile("adam", "mse")
    x = np.random.default_rng(0).normal(size=(128, 12, 2)).astype("float32")
    return made, x, x.mean((1, 2))[:, None]


def weights(model: Any) -> list[np.ndarray]:
    return [variable.numpy() for variable in model.trainable_variables]


@pytest.mark.parametrize("model", [ostinato.keras.Sequential, keras.Sequential])
def test_an_exploding_network_names_the_step_the_layer_and_the_largest_gradient(model: Any) -> None:
    made, x, y = exploding(model=model)
    with pytest.raises(TrainingFault) as caught:
        made.fit(x, y, epochs=20, batch_size=8, verbose=0, callbacks=[Faults()])
    fault = caught.value
    found = re.fullmatch(
        r"training stopped in epoch (\d+), batch (\d+): .*; the largest gradient of the step before was that of "
        r"(\S+), with the norm (\S+)",
        str(fault),
    )
    assert found, str(fault)
    assert (int(found[1]), int(found[2])) == (fault.epoch, fault.batch) and fault.batch > 1
    assert fault.largest is not None and fault.largest[1] > 100 and found[3] == fault.largest[0]
    assert fault.place in {"loss", "recurrent", "head", *(v.path for v in made.trainable_variables)}
    assert "call" not in vars(made.layers[0]) and "compute_loss" not in vars(made)


def test_the_first_layer_that_is_not_finite_is_named_and_the_weights_stay() -> None:
    """The second layer overflows float32: 1e30 times weights of 1e10."""
    made, x, y = exploding(1e-3)
    made.get_layer("head").kernel.assign(np.full((8, 1), 1e38, "float32"))
    before = weights(made)
    with pytest.raises(TrainingFault, match=r"epoch 1, batch 1: .*of layer 'head'.*; it was the first step") as caught:
        made.fit(x * 100, y, verbose=0, callbacks=[Faults()])
    assert caught.value.place == "head"
    for one, other in zip(weights(made), before, strict=True):
        np.testing.assert_array_equal(one, other)


def test_nan_in_one_row_names_the_input() -> None:
    made, x, y = exploding(1e-3)
    x[70, 4, 2] = np.nan
    with pytest.raises(
        TrainingFault, match=r"epoch 1, batch 3: .*the input is not finite \(nan at row 6, step 4, feature 2"
    ):
        made.fit(x, y, batch_size=32, shuffle=False, verbose=0, callbacks=[Faults()])
    x[70, 4, 2], y[1] = 0, np.inf
    with pytest.raises(
        TrainingFault, match=r"batch 1: .*the targets are not finite \(inf at row 1, feature 0; 1 of 32"
    ):
        made.fit(x, y, batch_size=32, shuffle=False, verbose=0, callbacks=[Faults()])


def test_a_gradient_that_is_not_finite_is_named_at_its_step() -> None:
    """The root of 0 is 0, and its slope is infinite: a loss of 0 with a gradient of nan."""
    made, x, _ = exploding(1e-3)
    made.compile(keras.optimizers.SGD(1e-3), lambda y, p: keras.ops.sqrt(keras.ops.square(p - y)))
    made.get_layer("head").kernel.assign(np.zeros((8, 1), "float32"))
    with pytest.raises(
        TrainingFault, match=r"the loss is 0 and the gradient of .* the first on the way back"
    ) as caught:
        made.fit(x, np.zeros((96, 1), "float32"), verbose=0, callbacks=[Faults()])
    assert "head" in caught.value.place


def test_stop_prints_keeps_the_weights_and_what_was_saved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made, x, y = exploding()
    made.compile(keras.optimizers.SGD(1e-3, momentum=0.9), "mse")
    saved, faults = tmp_path / "model.keras", Faults("stop")
    first = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: kept.append(weights(made)))
    kept: list[list[np.ndarray]] = []
    made.fit(x[:64], y[:64], verbose=0, callbacks=[keras.callbacks.ModelCheckpoint(saved), faults])
    assert faults.fault is None and capsys.readouterr().out == ""
    good = weights(ostinato.keras.models.load_model(saved))
    x[90] = np.nan
    told = made.fit(x, y, epochs=5, batch_size=32, shuffle=False, verbose=0, callbacks=[faults, first])
    assert len(told.history["loss"]) == 1
    assert re.fullmatch(r"training stopped in epoch 1, batch 3: .*the input is not finite.*\n", capsys.readouterr().out)
    assert faults.fault is not None and faults.fault.batch == 3
    for one, other in zip(weights(made), kept[1], strict=True):
        np.testing.assert_array_equal(one, other)
    assert all(np.isfinite(v.numpy()).all() for v in made.optimizer.variables)
    assert all(np.isfinite(weight).all() for weight in good)


def test_a_healthy_training_gives_no_hint_and_trains_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    ours, x, y = healthy()
    theirs, _, _ = healthy()
    theirs.set_weights(ours.get_weights())
    ours.fit(x, y, epochs=8, verbose=0, shuffle=False, callbacks=[Faults()])
    theirs.fit(x, y, epochs=8, verbose=0, shuffle=False)
    assert capsys.readouterr().out == ""
    for one, other in zip(weights(ours), weights(theirs), strict=True):
        np.testing.assert_array_equal(one, other)


def test_dead_units_are_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    made, x, y = healthy()
    made.get_layer("hidden").bias.assign(np.full(8, -1e3, "float32"))
    made.fit(x, y, epochs=3, verbose=0, callbacks=[Faults()])
    told = capsys.readouterr().out.splitlines()
    assert sum("8 of 8 units of layer 'hidden' put out 0" in line for line in told) == 1
    assert sum("'hidden'" in line for line in told) == 1


@pytest.mark.parametrize("name", ["LSTM", "GRU", "PeepholeLSTM"])
def test_saturated_gates_are_told_once(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    x = np.random.default_rng(0).normal(size=(64, 12, 2)).astype("float32")
    made = ostinato.keras.Sequential([layers.Input((12, 2)), getattr(layers, name)(8, name="rnn"), layers.Dense(1)])
    made.compile("adam", "mse")
    made.fit(x * 1e3, x[:, -1, :1], epochs=2, verbose=0, callbacks=[Faults()])
    told = capsys.readouterr().out.splitlines()
    assert sum("the gates of layer 'rnn' are fully open or closed" in line for line in told) == 1
    made.layers[0](x[:2])  # and its activation is back
    assert "reference" not in ostinato.keras.explain(made.layers[0], x)


def test_saturated_units_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    made, x, y = exploding()
    made = ostinato.keras.Sequential([layers.Input((20, 3)), layers.SimpleRNN(8, name="rnn"), layers.Dense(1)])
    made.compile("adam", "mse")
    made.fit(x * 1e3, y, verbose=0, callbacks=[Faults()])
    assert re.search(r"hint: \d of 8 units of layer 'rnn' are beyond 0.99", capsys.readouterr().out)


def test_a_loss_that_does_not_move_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    made, x, y = healthy()
    made.compile(keras.optimizers.SGD(1e-12), "mse")
    made.fit(x, y, epochs=7, verbose=0, callbacks=[Faults(patience=4)])
    told = capsys.readouterr().out.splitlines()
    assert len(told) == 1 and told[0].startswith("hint: the loss has stayed at ")


def test_stateful_and_wrapped_layers_are_seen(capsys: pytest.CaptureFixture[str]) -> None:
    x = np.random.default_rng(0).normal(size=(4, 12, 2)).astype("float32")
    made = ostinato.keras.Sequential(
        [
            layers.Input((12, 2), batch_size=4),
            layers.Bidirectional(layers.GRU(3, return_sequences=True), name="both"),
            layers.LSTM(5, stateful=True, name="carried"),
            layers.Dense(1),
        ]
    )
    made.compile("adam", "mse")
    made.fit(x, x[:, -1, :1], batch_size=4, epochs=2, verbose=0, callbacks=[Faults()])
    states = [state.numpy() for state in made.get_layer("carried").states]
    assert any(state.any() for state in states) and capsys.readouterr().out == ""
    made.get_layer("carried").states[0].assign(np.full((4, 5), np.nan, "float32"))
    with pytest.raises(TrainingFault, match="the first output that is not finite is that of layer 'carried'"):
        made.fit(x, x[:, -1, :1], batch_size=4, verbose=0, callbacks=[Faults()])


def test_an_interrupted_training_leaves_nothing_behind_that_matters() -> None:
    """Keras' `fit` tells no callback of an exception; ours has this one leave."""
    made, x, y = healthy()

    def interrupt(batch: int, logs: Any) -> None:
        raise KeyboardInterrupt

    faults = Faults()
    with pytest.raises(KeyboardInterrupt):
        made.fit(x, y, verbose=0, callbacks=[faults, keras.callbacks.LambdaCallback(on_train_batch_end=interrupt)])
    assert "compute_loss" not in vars(made) and not any("call" in vars(layer) for layer in made.layers)
    made.predict(x, verbose=0)
    x[0], weights = np.nan, made.get_weights()
    made.fit(x, y, verbose=0)
    made.set_weights(weights)
    with pytest.raises(TrainingFault, match="the input is not finite"):
        made.fit(x, y, verbose=0, callbacks=[Faults()])
    assert "compute_loss" not in vars(made) and not any("call" in vars(layer) for layer in made.layers)


def test_an_update_that_overflows_is_named_in_the_next_step() -> None:
    made, x, y = exploding(1e38)
    with pytest.raises(
        TrainingFault, match=r"batch 2: .*the weight \S+ is not finite since the update of the step before"
    ):
        made.fit(100 * x, y, verbose=0, callbacks=[Faults()])


def test_a_functional_model_with_a_model_inside_is_seen() -> None:
    inner = keras.Sequential([layers.Input((12, 2)), layers.GRU(4, name="inside")])
    first, second = layers.Input((12, 2)), layers.Input((3,))
    made = keras.Model([first, second], layers.Dense(1)(layers.Concatenate()([inner(first), second])))
    made.compile("adam", "mse")
    rng = np.random.default_rng(0)
    x = [rng.normal(size=(32, 12, 2)).astype("float32"), rng.normal(size=(32, 3)).astype("float32")]
    made.fit(x, x[1][:, :1], verbose=0, callbacks=[Faults()])
    x[1][5, 1] = np.inf
    with pytest.raises(TrainingFault, match=r"the input 1 is not finite \(inf at row 5, feature 1"):
        made.fit(x, x[1][:, :1], verbose=0, shuffle=False, callbacks=[Faults()])
    x[1][5, 1] = 0
    inner.get_layer("inside").cell.recurrent_kernel.assign(np.full((4, 12), np.nan, "float32"))
    with pytest.raises(TrainingFault, match=r"the weight .*recurrent_kernel is not finite \(48 of 48") as caught:
        made.fit(x, x[1][:, :1], verbose=0, callbacks=[Faults()])
    assert "inside" in caught.value.place


def test_the_callbacks_of_keras_are_there() -> None:
    assert ostinato.keras.callbacks.EarlyStopping is keras.callbacks.EarlyStopping
    with pytest.raises(ValueError, match="action is 'ignore'; expected 'raise' or 'stop'"):
        Faults("ignore")
    with pytest.raises(ValueError, match="share is 0; expected"):
        Faults(share=0)
    with pytest.raises(ValueError, match="patience is 1; expected"):
        Faults(patience=1)


@pytest.mark.parametrize("action", ["raise", "stop"])
def test_what_a_forward_pass_changes_is_as_it_was(action: str) -> None:
    x = np.random.default_rng(0).normal(size=(32, 6, 3)).astype("float32")
    x[20, 2, 1] = np.nan
    model = ostinato.keras.Sequential(
        [layers.Input((6, 3), batch_size=8), layers.BatchNormalization(), layers.LSTM(4, stateful=True)]
    )
    model.compile("adam", "mse")
    with contextlib.suppress(TrainingFault):
        model.fit(x, np.zeros((32, 4)), batch_size=8, shuffle=False, verbose=0, callbacks=[Faults(action)])  # type: ignore[arg-type]
    assert np.isfinite(model.predict(x[:8], verbose=0)).all()
    assert all(np.isfinite(one).all() for one in model.get_weights())
