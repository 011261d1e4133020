"""The norm-preserving penalty in `fit`: the gradients of the loss and of the penalty, by themselves, add up."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import torch

import ostinato.keras
from ostinato import cells, nn, scan
from ostinato.inspect.callback import Record
from ostinato.keras import layers
from ostinato.keras.callbacks import Faults, NormPreservingPenalty

from .gallery import SPECIAL, features, single_layer_of

RNG = np.random.default_rng(3)
X = RNG.normal(size=(6, 9, 3)).astype("float32")
Y = RNG.normal(size=(6, 1)).astype("float32")


def model(*inner: Any, kind: Any = ostinato.keras.Sequential, optimizer: Any = None, **compiling: Any) -> Any:
    made = kind([layers.Input((9, 3)), *inner, layers.Dense(1)])
    made.compile(optimizer or keras.optimizers.SGD(1.0), "mse", **compiling)
    return made


def weights(made: Any) -> list[np.ndarray]:
    return [variable.numpy() for variable in made.trainable_variables]


def written_out(made: Any, factor: float, x: np.ndarray = X, y: np.ndarray = Y) -> tuple[list[Any], float]:
    """The gradient of the loss plus `factor` times that of the penalty, and the penalty, by two backward passes."""
    values = [variable.value for variable in made.trainable_variables]
    with scan.record() as flows:
        loss = (made(torch.tensor(x), training=True) - torch.tensor(y)).square().mean()
        of_loss = torch.autograd.grad(loss, values, allow_unused=True)
    omega = scan.norm_preserving(flows)
    of_penalty = torch.autograd.grad(omega, values, allow_unused=True)
    total = [
        sum((one for one in (a, None if b is None else factor * b) if one is not None), torch.zeros(()))
        for a, b in zip(of_loss, of_penalty, strict=True)
    ]
    return [one.detach().numpy() for one in total], omega.item()


def one_step(made: Any, factor: float, x: np.ndarray = X, y: np.ndarray = Y) -> tuple[list[np.ndarray], Any]:
    """The change of every weight by one step of gradient descent with the rate 1, negated, and the history."""
    before = weights(made)
    history = made.fit(x, y, batch_size=len(x), verbose=0, callbacks=[NormPreservingPenalty(factor)])
    return [a - b for a, b in zip(before, weights(made), strict=True)], history.history


NETWORKS = {
    "rnn": lambda: [layers.SimpleRNN(5)],
    "lstm": lambda: [layers.LSTM(4)],
    "stack": lambda: [layers.GRU(4, return_sequences=True), layers.LSTM(3)],
    "bidirectional": lambda: [layers.Bidirectional(layers.LSTM(3))],
    "masked": lambda: [layers.Masking(0.0), layers.GRU(4)],
    "truncated": lambda: [layers.LSTM(4, truncate_gradient=3)],
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("kind", [ostinato.keras.Sequential, keras.Sequential])
def test_a_step_is_that_of_the_loss_and_of_the_penalty(name: str, kind: Any) -> None:
    made, x = model(*NETWORKS[name](), kind=kind), X.copy()
    x[2, 5:] = 0
    expected, omega = written_out(made, 0.3, x)
    found, history = one_step(made, 0.3, x)
    assert omega > 0.01
    assert history["norm_preserving_penalty"] == pytest.approx([omega], rel=1e-4)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [name for name, one in cells.CELLS.items() if name != "echo_state" and not one.masks])
def test_every_cell(name: str) -> None:
    layer = single_layer_of(cells.CELLS[name])(4, return_sequences=True, **SPECIAL.get(name, {}))
    made = ostinato.keras.Sequential(
        [layers.Input((9, features(name))), layer, layers.GlobalAveragePooling1D(), layers.Dense(1)]
    )
    made.compile(keras.optimizers.SGD(1.0), "mse")
    x = RNG.normal(size=(6, 9, features(name))).astype("float32")
    expected, omega = written_out(made, 0.1, x)
    found, history = one_step(made, 0.1, x)
    assert omega > 0
    assert history["norm_preserving_penalty"] == pytest.approx([omega], rel=1e-4)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-5)


def test_it_is_the_penalty_of_the_torch_module() -> None:
    made = model(layers.SimpleRNN(5, return_sequences=True), layers.GlobalAveragePooling1D())
    rnn = nn.RNN(3, 5, batch_first=True)
    kernel, recurrent, bias, head, shift = (torch.tensor(one) for one in weights(made))
    with torch.no_grad():
        for tensor, value in zip(rnn.parameters(), (kernel.T, recurrent.T, bias, torch.zeros(5)), strict=True):
            tensor.copy_(value)
    with nn.norm_preserving_penalty(rnn) as penalty:
        output, _ = rnn(torch.tensor(X))
        (output.mean(1) @ head + shift - torch.tensor(Y)).square().mean().backward()
    _, history = one_step(made, 0.1)
    assert history["norm_preserving_penalty"] == pytest.approx([penalty().item()], rel=1e-4)


def test_a_training_step_of_ones_own_and_an_optimizer_that_scales_the_loss() -> None:
    class Own(keras.Sequential):  # type: ignore[misc]
        def train_step(self, data: Any) -> Any:
            return super().train_step(data)

    plain, scaled = (model(layers.SimpleRNN(5), kind=Own, optimizer=one) for one in (
        keras.optimizers.SGD(1.0), keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(1.0), 64.0)
    ))  # fmt: skip
    scaled.set_weights(plain.get_weights())
    expected, _ = written_out(plain, 0.3)
    for made in (plain, scaled):
        for one, other in zip(one_step(made, 0.3)[0], expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("order", [1, -1])
def test_it_stands_beside_faults_and_leaves_the_model_as_it_was(order: int) -> None:
    made = model(layers.LSTM(4, name="lstm"), optimizer="adam")
    penalty, faults = NormPreservingPenalty(0.1), Faults()
    history = made.fit(X, Y, epochs=3, verbose=0, callbacks=[penalty, faults][::order])
    assert len(history.history["norm_preserving_penalty"]) == 3
    assert not {"train_step", "compute_loss"} & set(vars(made)) and "call" not in vars(made.layers[0])
    broken = X.copy()
    broken[1, 2, 0] = np.nan
    for _ in range(2):  # what an interrupted training leaves behind does no harm to the next
        with pytest.raises(ostinato.keras.callbacks.TrainingFault, match="the input is not finite"):
            made.fit(broken, Y, verbose=0, callbacks=[penalty, faults][::order])
    before = weights(made)
    made.optimizer.learning_rate = 0.0
    again = made.fit(X, Y, verbose=0, callbacks=[penalty])
    assert len(again.history["norm_preserving_penalty"]) == 1
    assert "train_step" not in vars(made)
    for one, other in zip(before, weights(made), strict=True):
        np.testing.assert_array_equal(one, other)


class Stop(keras.callbacks.Callback):  # type: ignore[misc]
    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        raise KeyboardInterrupt


@pytest.mark.parametrize("listed", [True, False])
def test_a_training_that_is_interrupted_leaves_the_next_one_alone(listed: bool) -> None:
    made = model(layers.LSTM(4), optimizer="adam")
    callbacks = [NormPreservingPenalty(10.0), Stop()]
    with pytest.raises(KeyboardInterrupt):
        made.fit(
            X, Y, verbose=0, callbacks=callbacks if listed else keras.callbacks.CallbackList(callbacks, model=made)
        )
    assert not {"train_step", "compute_loss"} & set(vars(made))


def test_a_model_without_recurrent_layers_is_as_before_when_it_is_refused() -> None:
    made = model(layers.EchoState(4), optimizer="adam")
    with pytest.raises(RuntimeError, match="found no recurrent layer with weights to train"):
        made.fit(X, Y, verbose=0, callbacks=[NormPreservingPenalty(0.1)])
    stock = keras.Model(made.inputs, made.outputs)
    stock.compile("adam", "mse")
    for one in (made, stock):
        one.fit(X, Y, verbose=0)
        with pytest.raises(RuntimeError, match="found no recurrent layer with weights to train"):
            one.fit(X, Y, verbose=0, callbacks=[NormPreservingPenalty(0.1)])
        one.fit(X, Y, verbose=0)


@pytest.mark.parametrize("order", [1, -1])
def test_it_counts_the_same_beside_a_record(order: int) -> None:
    found = []
    for beside in ([], [Record(every=2)]):
        keras.utils.set_random_seed(0)
        made = model(layers.GRU(4, return_sequences=True), layers.GRU(3), optimizer="adam")
        callbacks = [NormPreservingPenalty(0.1), *beside][::order]
        found.append(made.fit(X, Y, batch_size=2, epochs=2, verbose=0, shuffle=False, callbacks=callbacks).history)
        assert all(len(one.snapshots) == -(-2 * -(-len(X) // 2) // 2) for one in beside)
    assert found[0] == found[1]


def test_gradients_come_to_keep_their_norm() -> None:
    keras.utils.set_random_seed(0)
    orthogonal = keras.initializers.Orthogonal(0.3)
    made = model(layers.SimpleRNN(16, recurrent_initializer=orthogonal), optimizer=keras.optimizers.Adam(0.01))
    x = RNG.normal(size=(32, 9, 3)).astype("float32")
    found = made.fit(x, x[:, 0].sum(-1), epochs=40, batch_size=16, verbose=0, callbacks=[NormPreservingPenalty(1.0)])
    omega = found.history["norm_preserving_penalty"]
    assert omega[-1] < omega[0] / 5


def test_what_cannot_be_is_refused() -> None:
    for factor in (0, -1.0, float("nan"), float("inf"), "1", True):
        with pytest.raises(ValueError, match=r"factor is .*; expected a number above 0"):
            NormPreservingPenalty(factor)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="no recurrent layer with weights to train"):
        one_step(model(layers.Flatten()), 0.1)
    with pytest.raises(RuntimeError, match="no recurrent layer with weights to train"):
        one_step(model(layers.EchoState(4)), 0.1)
    penalty = NormPreservingPenalty(0.1)
    penalty.set_model(model(layers.LSTM(3), jit_compile=True))
    with pytest.raises(ValueError, match=r"NormPreservingPenalty looks into every step.*jit_compile=True"):
        penalty.on_train_begin()
