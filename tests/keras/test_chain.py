"""Layers of a chain give, in training steps, the numbers that they give one by one, bit for bit."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import pytest
import torch

from ostinato import scan
from ostinato.keras import Sequential, chain, from_keras, layers, models

STEPS, FEATURES = 10, 3

Build = Callable[[], list[Any]]


def _kind(layer: Any, **options: Any) -> Build:
    def build() -> list[Any]:
        return [
            layer(7, return_sequences=True, **options),
            layers.Dropout(0.2),
            layer(9, return_sequences=True, **options),
            layer(6, **options),
            layers.Dropout(0.3),
            layers.Dense(2),
        ]

    return build


NETWORKS: dict[str, Build] = {
    "lstm": _kind(layers.LSTM),
    "gru": _kind(layers.GRU),
    "gru, reset before": _kind(layers.GRU, reset_after=False),
    "rnn": _kind(layers.SimpleRNN),
    "without biases": _kind(layers.GRU, use_bias=False),
    "activations": _kind(layers.LSTM, activation="relu", recurrent_activation="hard_sigmoid"),
    "bounded gradients": _kind(layers.LSTM, truncate_gradient=4, clip_recurrent_gradient=1e-3),
    "regularizers and constraints": _kind(layers.LSTM, kernel_regularizer="l2", recurrent_constraint="unit_norm"),
    "one layer": lambda: [layers.LSTM(5), layers.Dense(1)],
    "nothing behind it": lambda: [layers.LSTM(5, return_sequences=True), layers.LSTM(4, return_sequences=True)],
    "dropout behind the last": lambda: [layers.LSTM(5, return_sequences=True), layers.Dropout(0.5), layers.Dense(1)],
    "last backwards": lambda: [layers.GRU(5, return_sequences=True), layers.GRU(4, go_backwards=True)],
    "seeds and shapes of noise": lambda: [
        layers.LSTM(5, return_sequences=True),
        layers.Dropout(0.4, noise_shape=(None, 1, None), seed=3),
        layers.LSTM(4),
        layers.Dropout(0.4, seed=4),
        layers.Dense(1),
    ],
    "behind others": lambda: [
        layers.Dense(4, activation="tanh"),
        layers.LSTM(5, return_sequences=True),
        layers.Dropout(0.5),
        layers.LSTM(6, return_sequences=True),
        layers.Bidirectional(layers.GRU(3, return_sequences=True)),
        layers.LSTM(5),
        layers.Dense(1),
    ],
    "two dropouts": lambda: [
        layers.LSTM(5, return_sequences=True), layers.Dropout(0.2), layers.Dropout(0.2), layers.LSTM(4), layers.Dense(1)
    ],
    "a frozen layer": lambda: [layers.LSTM(5, return_sequences=True, trainable=False), layers.LSTM(4), layers.Dense(1)],
}  # fmt: skip


def data(rows: int = 44, dtype: str = "float32") -> np.ndarray:
    return np.random.default_rng(0).normal(size=(rows, STEPS, FEATURES)).astype(dtype)


def model_of(build: Build, optimizer: Any = "adam", seed: int = 5) -> Any:
    keras.utils.set_random_seed(seed)
    model = Sequential([layers.Input((STEPS, FEATURES)), *build()])
    model.compile(optimizer, "mse")
    return model


def targets(model: Any, rows: int = 44) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(rows, *model.output_shape[1:])).astype("float32")


def fitted(build: Build, optimizer: str = "adam", dtype: str = "float32") -> tuple[list[float], list[np.ndarray]]:
    """Losses and weights after 3 epochs of 3 batches, of which the last is smaller."""
    model = model_of(build, optimizer)
    losses = model.fit(data(dtype=dtype), targets(model), batch_size=16, epochs=3, verbose=0).history["loss"]
    return losses, model.get_weights()


@contextmanager
def one_by_one() -> Iterator[None]:
    """No chains inside of the `with` block."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chain, "run", lambda *_: None)
        yield


@pytest.fixture
def lengths(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many layers each chain had that ran."""
    found: list[int] = []
    run = chain.run

    def spy(*arguments: Any) -> Any:
        result = run(*arguments)
        if result is not None:
            found.append(result[1])
        return result

    monkeypatch.setattr(chain, "run", spy)
    return found


def assert_same(ours: tuple[list[float], list[np.ndarray]], theirs: tuple[list[float], list[np.ndarray]]) -> None:
    assert ours[0] == theirs[0]
    for one, other in zip(ours[1], theirs[1], strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_chain_trains_bit_for_bit_as_its_layers(name: str, lengths: list[int]) -> None:
    ours = fitted(NETWORKS[name])
    assert len(lengths) >= 9
    with one_by_one():
        theirs = fitted(NETWORKS[name])
    assert_same(ours, theirs)


@pytest.mark.parametrize("optimizer", ["rmsprop", "sgd"])
def test_it_runs_whatever_the_optimizer(optimizer: str, lengths: list[int]) -> None:
    ours = fitted(NETWORKS["lstm"], optimizer)
    assert lengths == [5] * 9
    with one_by_one():
        assert_same(ours, fitted(NETWORKS["lstm"], optimizer))


def test_it_runs_in_double_precision(lengths: list[int]) -> None:
    keras.config.set_dtype_policy("float64")
    keras.config.set_floatx("float64")
    try:
        ours = fitted(NETWORKS["lstm"], dtype="float64")
        assert lengths == [5] * 9
        with one_by_one():
            theirs = fitted(NETWORKS["lstm"], dtype="float64")
    finally:
        keras.config.set_dtype_policy("float32")
        keras.config.set_floatx("float32")
    assert ours[1][0].dtype == np.float64
    assert_same(ours, theirs)


def test_a_chain_ends_where_a_layer_is_no_plain_scan(lengths: list[int]) -> None:
    def custom(x: Any) -> Any:
        return keras.ops.tanh(x)

    others = [
        layers.LSTM(4, return_sequences=True, recurrent_dropout=0.1),
        layers.LSTM(4, return_sequences=True, dropout=0.1),
        layers.LSTM(4, return_sequences=True, activation=custom),
        layers.LSTM(4, return_sequences=True, recompute=True),
        layers.LSTM(4, return_sequences=True, saved_dtype="float16"),
        layers.LSTM(4, return_sequences=True, go_backwards=True),
        layers.LSTM(4, return_sequences=True, activity_regularizer="l2"),
        layers.PeepholeLSTM(4, return_sequences=True),
        keras.layers.LSTM(4, return_sequences=True),
        layers.Dropout(0.0),
    ]
    for number, other in enumerate(others):
        lengths.clear()
        model = model_of(lambda other=other: [layers.LSTM(5, return_sequences=True), other, layers.LSTM(4)])
        model.train_on_batch(data(8), targets(model, 8))
        assert lengths == [1, 1], f"{number}: {other}"


def test_outside_of_a_training_step_there_is_no_chain(lengths: list[int]) -> None:
    model = model_of(NETWORKS["lstm"])
    x = torch.tensor(data(8))
    first, second = model(x, training=True), model(2 * x, training=True)
    (first.sum() + second.sum()).backward()
    model.predict(data(8), verbose=0)
    model.evaluate(data(8), targets(model, 8), verbose=0)
    assert not lengths


def _with_shortcut(x: Any) -> Any:
    y = layers.Dropout(0.2)(layers.LSTM(5, return_sequences=True)(x))
    y = layers.Dropout(0.2)(layers.GRU(4)(y))
    return layers.Add()([layers.Dense(1)(y), layers.Dense(1)(layers.Flatten()(x))])


def _two_branches(x: Any) -> Any:
    left = layers.LSTM(4)(layers.LSTM(5, return_sequences=True)(x))
    return layers.Concatenate()([left, layers.GRU(4)(layers.GRU(5, return_sequences=True)(x))])


def _used_twice(x: Any) -> Any:
    below, above = layers.LSTM(5, return_sequences=True), layers.LSTM(4)
    return layers.Add()([above(below(x)), above(below(layers.Lambda(lambda one: -one)(x)))])


def _seen_between(x: Any) -> Any:
    y = layers.LSTM(5, return_sequences=True)(x)
    return [y, layers.LSTM(4)(y)]


def _read_between(x: Any) -> Any:
    y = layers.LSTM(5, return_sequences=True)(x)
    return layers.Concatenate()([layers.LSTM(4)(y), layers.Flatten()(y)])


def _masked(x: Any) -> Any:
    return layers.LSTM(4)(layers.LSTM(5, return_sequences=True)(layers.Masking()(x)))


def _with_states(x: Any) -> Any:
    y, *states = layers.LSTM(5, return_sequences=True, return_state=True)(x)
    return layers.LSTM(5)(y, initial_state=states)


#: Graphs, and the lengths of the chains in one step through them.
GRAPHS: list[tuple[Callable[[Any], Any], list[int]]] = [
    (_with_shortcut, [4]),
    (_two_branches, [2, 2]),
    (_used_twice, []),
    (_seen_between, [1, 1]),
    (_read_between, [1, 1]),
    (_masked, []),
    (_with_states, []),
]


@pytest.mark.parametrize(("graph", "chains"), GRAPHS, ids=[graph.__name__ for graph, _ in GRAPHS])
def test_chains_in_a_graph(graph: Callable[[Any], Any], chains: list[int], lengths: list[int]) -> None:
    def run() -> tuple[list[float], list[np.ndarray]]:
        keras.utils.set_random_seed(5)
        inputs = layers.Input((STEPS, FEATURES))
        model = models.Functional(inputs, graph(inputs))
        model.compile(keras.optimizers.Adam(0.01, clipnorm=1.0), "mse")
        shapes = model.output_shape if isinstance(model.output_shape, list) else [model.output_shape]
        expected = [np.random.default_rng(1).normal(size=(8, *shape[1:])) for shape in shapes]
        y = expected if len(shapes) > 1 else expected[0]
        losses = [np.atleast_1d(model.train_on_batch(data(8), y))[0] for _ in range(3)]
        return losses, model.get_weights()

    ours = run()
    assert sorted(lengths) == sorted(chains * 3)
    with one_by_one():
        assert_same(ours, run())


def _changes() -> dict[str, Callable[[Any], Any]]:
    def threads(model: Any) -> None:
        torch.set_num_threads(1)

    def rate(model: Any) -> None:
        model.layers[1].rate = 0.6

    def none(model: Any) -> None:
        model.layers[1].rate = 0.0

    def weights(model: Any) -> None:
        model.set_weights([0.5 * one for one in model.get_weights()])

    def bound(model: Any) -> None:
        model.layers[2].clip_recurrent_gradient = 1e-4

    def activation(model: Any) -> None:
        model.layers[2].cell.activation = keras.activations.relu

    def frozen(model: Any) -> None:
        model.layers[0].trainable = False
        model.compile("adam", "mse")

    def replaced(model: Any) -> None:
        model.pop()
        model.pop()
        model.pop()
        model.add(layers.GRU(6, kernel_initializer="ones"))
        model.add(layers.Dense(2, kernel_initializer="ones"))
        model.compile("adam", "mse")

    def shorter(model: Any) -> None:
        model.pop()
        model.pop()
        model.add(layers.Dense(2, kernel_initializer="ones"))
        model.compile("adam", "mse")

    def hooked(model: Any) -> None:
        model.layers[2].register_forward_hook(lambda _, __, output: 2 * output)

    def called(model: Any) -> None:
        call = model.layers[3].call
        vars(model.layers[3])["call"] = lambda x, **given: 2 * call(x, **given)

    return {made.__name__: made for made in (
        threads, rate, none, weights, bound, activation, frozen, replaced, shorter, hooked, called
    )}  # fmt: skip


@pytest.mark.parametrize("name", _changes())
def test_a_change_between_two_steps_is_seen(name: str, lengths: list[int]) -> None:
    threads = torch.get_num_threads()

    def run(change: Callable[[Any], Any] | None) -> tuple[list[float], list[np.ndarray]]:
        model = model_of(NETWORKS["lstm"])
        losses = []
        for step in range(4):
            if step == 2 and change is not None:
                change(model)
            losses.append(float(model.train_on_batch(data(16), targets(model, 16))))
        torch.set_num_threads(threads)
        return losses, model.get_weights()

    change = _changes()[name]
    ours = run(change)
    assert lengths
    with one_by_one():
        theirs, unchanged = run(change), run(None)
    assert_same(ours, theirs)
    assert ours[0][:2] == unchanged[0][:2]
    if name != "threads":
        assert ours[0] != unchanged[0]


def test_a_network_that_runs_twice_in_a_step(lengths: list[int]) -> None:
    class Siamese(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.inner = Sequential([layers.LSTM(5, return_sequences=True), layers.Dropout(0.2), layers.LSTM(4)])

        def call(self, x: Any, training: bool = False) -> Any:
            return self.inner(x, training=training) - self.inner(x[:, ::2] * 2, training=training)

        def train_step(self, data: Any) -> Any:
            with chain.training_step():
                return super().train_step(data)

    def run() -> tuple[list[float], list[np.ndarray]]:
        keras.utils.set_random_seed(5)
        model = Siamese()
        model.compile("adam", "mse")
        losses = [float(model.train_on_batch(data(8), np.ones((8, 4)))) for _ in range(3)]
        return losses, model.get_weights()

    ours = run()
    assert lengths == [3, 1] * 3  # the second time but for the last layer, which another chain begins with
    with one_by_one():
        assert_same(ours, run())


@pytest.mark.parametrize("way", ["again", "differentiable"])
def test_gradients_that_a_loss_takes_itself(way: str, lengths: list[int]) -> None:
    class Penalised(Sequential):
        def compute_loss(self, x: Any, y: Any, y_pred: Any, *rest: Any, **given: Any) -> Any:
            loss = super().compute_loss(x, y, y_pred, *rest, **given)
            if y_pred.is_meta or not y_pred.requires_grad:  # Keras looks at shapes first
                return loss
            kernel = self.layers[0].cell.kernel.value
            create = way == "differentiable"
            (gradient,) = torch.autograd.grad(loss, kernel, retain_graph=True, create_graph=create)
            return loss + gradient.square().sum() * 10

    def run() -> tuple[list[float], list[np.ndarray]]:
        keras.utils.set_random_seed(5)
        model = Penalised([layers.Input((STEPS, FEATURES)), *NETWORKS["lstm"]()])
        model.compile("adam", "mse")
        losses = [float(model.train_on_batch(data(8), targets(model, 8))) for _ in range(3)]
        return losses, model.get_weights()

    ours = run()
    assert len(lengths) == 3
    with one_by_one():
        theirs = run()
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-5)
    for one, other in zip(ours[1], theirs[1], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_graph_ends_with_its_step() -> None:
    class Keeping(Sequential):
        kept: Any = None

        def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
            self.__dict__["kept"] = y_pred
            return super().compute_metrics(x, y, y_pred, sample_weight)

        def compute_loss(self, *args: Any, **given: Any) -> Any:
            loss = super().compute_loss(*args, **given)
            if loss.requires_grad:  # Keras looks at shapes first
                torch.autograd.grad(loss, self.layers[-1].kernel.value, retain_graph=True)
            return loss

    model = Keeping([layers.Input((STEPS, FEATURES)), layers.LSTM(4), layers.Dense(1)])
    model.compile("adam", "mse")
    model.train_on_batch(data(8), np.ones((8, 1)))
    with pytest.raises(RuntimeError):
        model.kept.sum().backward()


def test_weights_that_change_before_the_backward_pass_are_an_error() -> None:
    class Changing(Sequential):
        def compute_loss(self, *args: Any, **given: Any) -> Any:
            with torch.no_grad():
                self.layers[0].cell.kernel.value.mul_(2)
            return super().compute_loss(*args, **given)

    model = Changing([layers.Input((STEPS, FEATURES)), layers.LSTM(4), layers.Dense(1)])
    model.compile("adam", "mse")
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        model.train_on_batch(data(8), np.ones((8, 1)))


def test_gradients_and_predictions_stay_when_the_next_step_runs() -> None:
    kept: list[torch.Tensor] = []

    class Keeping(Sequential):
        def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
            kept.extend([y_pred.detach(), *(variable.value.grad for variable in self.trainable_variables)])
            return super().compute_metrics(x, y, y_pred, sample_weight)

    model = Keeping([layers.Input((STEPS, FEATURES)), *NETWORKS["nothing behind it"]()])
    model.compile("adam", "mse")
    model.train_on_batch(data(8), targets(model, 8))
    held, before = list(kept), [one.clone() for one in kept]
    model.train_on_batch(-data(8), targets(model, 8))
    assert len(kept) == 2 * len(held)
    for one, other in zip(held, before, strict=True):
        assert torch.equal(one, other)


def test_every_scan_of_a_chain_says_who_ran_it() -> None:
    model = model_of(NETWORKS["lstm"])
    model.train_on_batch(data(8), targets(model, 8))
    with scan.watch() as choices:
        model.train_on_batch(data(8), targets(model, 8))
    assert [choice.backend for choice in choices] == ["cpu"] * 3


def test_who_records_gradients_of_states_gets_them() -> None:
    model = model_of(NETWORKS["lstm"])
    model.train_on_batch(data(8), targets(model, 8))
    with scan.record() as flows:
        model.train_on_batch(data(8), targets(model, 8))
    assert [sorted(flow.gradients) for flow in flows] == [["c", "h"]] * 3


def test_inputs_that_do_not_fit_are_refused_as_by_keras() -> None:
    model = model_of(NETWORKS["one layer"])
    model.train_on_batch(data(8), np.ones((8, 1)))
    with pytest.raises(ValueError, match="expected axis -1 of input shape to have value 3"):
        model.train_on_batch(data(8)[..., :2], np.ones((8, 1)))


def test_nothing_is_held_after_fit() -> None:
    model = model_of(NETWORKS["lstm"])
    model.train_on_batch(data(8), targets(model, 8))
    assert vars(model)[chain._PLANS]
    model.fit(data(), targets(model), verbose=0)
    assert chain._PLANS not in vars(model)


def test_a_model_that_nobody_holds_goes() -> None:
    model = model_of(NETWORKS["lstm"])
    # a graph of another model leads from the input's layer to this one
    outer = keras.Model(model.inputs, layers.Dense(2)(model(model.inputs[0])))
    model.train_on_batch(data(8), targets(model, 8))
    plan = weakref.ref(next(iter(vars(model)[chain._PLANS].values())))
    there = weakref.ref(model)
    del model, outer
    gc.collect()
    assert there() is None
    assert plan() is None


def test_gradients_that_somebody_keeps_stay() -> None:
    kept: list[tuple[torch.Tensor, torch.Tensor]] = []

    class Keeping(Sequential):  # type: ignore[misc]
        def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
            loss = super().compute_loss(*args, **kwargs)
            if loss.requires_grad and not loss.is_meta:
                weights = [variable.value for variable in self.trainable_weights]
                found = torch.autograd.grad(loss, weights, retain_graph=True)
                kept.extend((one, one.clone()) for one in found)
            return loss

    model = Keeping([keras.Input((STEPS, FEATURES)), *NETWORKS["lstm"]()])
    model.compile("adam", "mse")
    for _ in range(3):
        model.train_on_batch(data(8), targets(model, 8))
    assert kept
    assert all(torch.equal(one, copy) for one, copy in kept)


@pytest.mark.parametrize("argument", ["mask", "initial_state"])
def test_what_a_graph_gives_a_layer_is_not_lost(argument: str) -> None:
    rows = 8
    given = {
        "mask": torch.arange(STEPS).expand(rows, -1) % 3 > 0,
        "initial_state": [torch.ones(rows, 4), torch.ones(rows, 4)],
    }
    inputs = keras.Input((STEPS, FEATURES))
    x = keras.layers.LSTM(5, return_sequences=True)(inputs)
    x = keras.layers.LSTM(4)(x, **{argument: given[argument]})
    model = from_keras(keras.Model(inputs, layers.Dense(1)(x)))
    model.compile("sgd", "mse")
    y = np.ones((rows, 1), "float32")
    before = model.test_on_batch(data(rows), y)
    assert model.train_on_batch(data(rows), y) == pytest.approx(before, rel=1e-6)
