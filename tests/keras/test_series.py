"""Long series through `fit`, `evaluate` and `predict` of stateful models."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import torch

import ostinato.nn
from ostinato.keras import SeriesDataset, layers
from ostinato.series import Streams


def network(name: str = "LSTM", batch: int = 3, features: int = 2, stateful: bool = True) -> Any:
    recurrent = getattr(layers, name)
    return ostinato.keras.Sequential(
        [
            layers.Input((None, features), batch_size=batch if stateful else None),
            recurrent(5, return_sequences=True, stateful=stateful),
            recurrent(4, return_sequences=True, stateful=stateful),
            layers.Dense(1),
        ]
    )


def series(*lengths: int, features: int = 2) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(size=(n, features)).astype("float32") for n in lengths]


@pytest.mark.parametrize("name", ["LSTM", "GRU", "SimpleRNN", "PeepholeLSTM", "DepthGatedLSTM"])
def test_predictions_equal_those_over_each_whole_series(name: str) -> None:
    many, stateful, whole = series(31, 8, 20, 1, 17), network(name), network(name, stateful=False)
    whole.set_weights([v.numpy() for layer in stateful.layers for v in layer.weights if "rnn_state" not in v.path])
    dataset = SeriesDataset(stateful, many, [one[:, 0] for one in many], batch=3, steps=6, whole=True)
    for _ in range(2):  # the second pass starts with the states of the first
        found = dataset.streams.restore(stateful.predict(dataset, verbose=0))
        for one, other in zip(many, found, strict=True):
            np.testing.assert_allclose(other, whole.predict(one[None], verbose=0)[0], rtol=0, atol=1e-6)


def test_losses_are_those_of_each_whole_series() -> None:
    many, stateful, whole = series(31, 8, 20), network(), network(stateful=False)
    whole.set_weights([v.numpy() for layer in stateful.layers for v in layer.weights if "rnn_state" not in v.path])
    loss = keras.losses.MeanSquaredError(reduction="sum")
    stateful.compile("sgd", loss)
    dataset = SeriesDataset(stateful, many, horizon=1, columns=[0], batch=3, steps=6, whole=True)
    x, y = zip(*((one[:-1], one[1:, :1]) for one in many), strict=True)
    errors = sum(float(np.sum((whole.predict(a[None], verbose=0)[0] - b) ** 2)) for a, b in zip(x, y, strict=True))
    mean_of_batches = float(stateful.evaluate(dataset, verbose=0))
    assert mean_of_batches * len(dataset) == pytest.approx(errors, rel=1e-5)


def test_fit_trains_as_a_loop_over_the_same_batches_does() -> None:
    """The states go from batch to batch without a gradient, and start anew in every epoch."""
    many = series(31, 8, 20)
    model = ostinato.keras.Sequential(
        [
            layers.Input((None, 2), batch_size=3),
            layers.LSTM(5, return_sequences=True, stateful=True),
            layers.Dense(1),
        ]
    )
    streams = Streams(many, horizon=1, columns=[1], batch=3, steps=6)
    ours, head = ostinato.nn.LSTM(2, 5, batch_first=True), torch.nn.Linear(5, 1)
    with torch.no_grad():
        kernel, recurrent, bias = (torch.from_numpy(v.numpy()) for v in model.layers[0].weights[:3])
        ours.weight_ih_l0.copy_(kernel.T)
        ours.weight_hh_l0.copy_(recurrent.T)
        ours.bias_ih_l0.copy_(bias)
        ours.bias_hh_l0.zero_()
        head.weight.copy_(torch.from_numpy(model.layers[1].kernel.numpy()).T)
        head.bias.zero_()
    ours.bias_hh_l0.requires_grad_(False)
    optimizer = torch.optim.SGD([*ours.parameters(), *head.parameters()], lr=0.1)
    for _ in range(2):
        h = c = torch.zeros(1, 3, 5)
        for x, y, mask, carry in ostinato.nn.SeriesBatches(streams):
            h, c = h.detach() * carry[:, None], c.detach() * carry[:, None]
            output, (h, c) = ours(x, (h, c))
            loss = ((head(output) - y).square().mean(-1) * mask).sum() / mask.numel()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit(SeriesDataset(model, streams), epochs=2, shuffle=False, verbose=0)
    np.testing.assert_allclose(model.layers[0].cell.recurrent_kernel.numpy().T, ours.weight_hh_l0.detach(), atol=1e-6)
    np.testing.assert_allclose(model.layers[1].kernel.numpy().T, head.weight.detach(), atol=1e-6)


def test_keras_and_torch_get_the_same_batches() -> None:
    model, many = network(), series(31, 8, 20)
    dataset = SeriesDataset(model, many, horizon=1, batch=3, steps=6)
    batches = ostinato.nn.SeriesBatches(many, horizon=1, batch=3, steps=6)
    assert len(dataset) == len(batches) > 3
    for number, (x, y, mask, _) in enumerate(batches):
        ours = dataset[number]
        for one, other in zip(ours, (x, y, mask), strict=True):
            np.testing.assert_array_equal(one, other)


def test_validation_does_not_see_the_states_of_training() -> None:
    """A validation set in `fit` gives the loss that `evaluate` gives from zero states."""
    model, many = network(), series(31, 8, 20)
    model.compile("adam", "mse")
    train = SeriesDataset(model, many, horizon=1, columns=[0], batch=3, steps=6)
    test = SeriesDataset(model, series(25), horizon=1, columns=[0], batch=3, steps=6)
    told = model.fit(train, validation_data=test, epochs=2, shuffle=False, verbose=0).history["val_loss"][-1]
    assert told == pytest.approx(float(model.evaluate(test, verbose=0)), rel=1e-6)


@pytest.mark.parametrize("validation_steps", [None, 2])
def test_training_goes_on_with_its_own_states_after_a_validation(validation_steps: int | None) -> None:
    """Epochs of a part of the batches, as `steps_per_epoch` makes them, go on in the middle of a series."""
    many, found = series(70), []
    for validates in (False, True):
        keras.utils.set_random_seed(0)
        model = network()
        model.compile("sgd", "mse")
        train = SeriesDataset(model, many, horizon=1, columns=[0], batch=3, steps=4)
        assert len(train) == 6 and train.streams[2].carry.any() and train.streams[4].carry.any()
        test = SeriesDataset(model, series(40), horizon=1, columns=[0], batch=3, steps=4)
        further = {"validation_data": test, "validation_steps": validation_steps} if validates else {}
        told = model.fit(train, epochs=3, steps_per_epoch=2, shuffle=False, verbose=0, **further)
        found.append([told.history["loss"], *(weight.numpy() for weight in model.trainable_variables)])
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_data_sets_taken_in_turns_keep_their_states_apart() -> None:
    """Also where one runs through another model with the same layers."""
    model = network()
    head = keras.Model(model.inputs[0], model.layers[0].output)
    sets = [SeriesDataset(one, series(n), horizon=1, batch=3, steps=4) for one, n in ((model, 50), (head, 60))]
    alone = [
        [one.predict_on_batch(part[k][0]) for k in range(3)] for one, part in zip((model, head), sets, strict=True)
    ]
    for k in range(3):
        for one, part, expected in zip((model, head), sets, alone, strict=True):
            np.testing.assert_array_equal(one.predict_on_batch(part[k][0]), expected[k])


def test_a_row_with_a_broken_state_starts_anew_from_zero() -> None:
    model = network(batch=2)
    dataset = SeriesDataset(model, series(12, 6, 6), horizon=1, batch=2, steps=6, whole=True)
    dataset[0]
    for layer in model.layers[:2]:
        for state in layer.states:
            state.assign(np.full(state.shape, np.nan, "float32"))
    assert dataset.streams[1].carry.tolist() == [1, 0]
    dataset[1]
    for layer in model.layers[:2]:
        assert all(torch.isnan(s.value[0]).all() and not s.value[1].any() for s in layer.states)


def test_what_would_lose_the_states_is_refused() -> None:
    many = series(100)
    model = network()
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="pass shuffle=False to fit"):
        model.fit(SeriesDataset(model, many, horizon=1, columns=[0], batch=3, steps=2), epochs=3, verbose=0)
    with pytest.raises(ValueError, match="has no stateful layer"):
        SeriesDataset(network(stateful=False), many, horizon=1)
    backwards = ostinato.keras.Sequential(
        [layers.Input((None, 2), batch_size=3), layers.GRU(2, stateful=True, go_backwards=True, return_sequences=True)]
    )
    with pytest.raises(ValueError, match="runs backwards"):
        SeriesDataset(backwards, many, horizon=1)
    with pytest.raises(ValueError, match="carries 3 rows and the batches have 4; build the model with batch_size=4"):
        SeriesDataset(model, many, horizon=1, batch=4, steps=2)[0]


def test_early_stopping_restores_the_best_weights_of_a_stateful_model() -> None:
    """The best weights come back, and what the model predicts is what it predicted then."""
    model, many = network(), series(60)
    model.compile(keras.optimizers.Adam(0.5), "mse")  # so fast that it gets worse
    train = SeriesDataset(model, many, horizon=1, columns=[0], batch=3, steps=6)
    test = SeriesDataset(model, series(25), horizon=1, columns=[0], batch=3, steps=6)
    kept: list[list[np.ndarray]] = []
    keep = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda *_: kept.append([v.numpy() for v in model.trainable_variables])
    )
    stop = keras.callbacks.EarlyStopping(patience=2, restore_best_weights=True)
    told = model.fit(train, validation_data=test, epochs=30, shuffle=False, verbose=0, callbacks=[keep, stop])
    losses = told.history["val_loss"]
    best = int(np.argmin(losses))
    assert best < len(losses) - 1
    for weight, expected in zip(model.trainable_variables, kept[best], strict=True):
        np.testing.assert_array_equal(weight.numpy(), expected)
    assert float(model.evaluate(test, verbose=0)) == pytest.approx(losses[best], rel=1e-6)


PEAK = """
import re, sys
import numpy as np
import ostinato.keras as ok
from ostinato.keras import layers
model = ok.Sequential([
    layers.Input((None, 8), batch_size=32), layers.LSTM(16, return_sequences=True, stateful=True), layers.Dense(1),
])
model.compile("adam", "mse")
train = ok.SeriesDataset(model, sys.argv[1], horizon=1, columns=[0], batch=32, steps=100)
model.fit(train, epochs=1, shuffle=False, verbose=0)
# not ru_maxrss, which begins with that of the process that started this one
print(len(train), int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) / 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_a_million_steps_train_in_the_memory_of_a_hundred_thousand(tmp_path: Path) -> None:
    """The longer file has 32 MB: the bound lies far below what it would take to hold it."""
    peaks = []
    for steps in (100_000, 1_000_000):
        path = tmp_path / f"{steps}.npy"
        np.save(path, np.random.default_rng(0).normal(size=(steps, 8)).astype("float32"))
        run = subprocess.run([sys.executable, "-c", PEAK, str(path)], capture_output=True, text=True, check=True)
        batches, peak = run.stdout.split()
        assert int(batches) == math.ceil(math.ceil((steps - 1) / 100) / 32)
        peaks.append(float(peak))
    print(f"peak {peaks[0]:.1f} MB at 1e5 steps, {peaks[1]:.1f} MB at 1e6")
    assert peaks[1] - peaks[0] < 10
