"""`fit` of our models beside Keras' own: losses, metrics, weights and the optimizer's state are the same."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import torch

import ostinato.keras
from ostinato.keras import adam, chain, direct, layers

ROWS, STEPS, FEATURES = 22, 5, 3
X = np.random.default_rng(1).standard_normal((ROWS, STEPS, FEATURES)).astype("float32")
Y = np.random.default_rng(2).standard_normal((ROWS, 1)).astype("float32")
CLASSES = np.random.default_rng(3).integers(0, 2, (ROWS, 1))


class Penalty(keras.layers.Layer):
    """Adds the mean square of what goes through it to the loss."""

    def call(self, inputs: Any) -> Any:
        self.add_loss(keras.ops.mean(inputs**2))
        return inputs


class Penalized(layers.Dense):
    """A plain layer's subclass, which may do anything in `call`."""

    def call(self, inputs: Any, training: Any = None) -> Any:
        self.add_loss(keras.ops.mean(inputs**2))
        return super().call(inputs)


class TwiceAsMuch(layers.PeepholeLSTM):  # type: ignore[misc]
    """A subclass of a layer of the gallery, with an inner loop of its own."""

    def inner_loop(self, *given: Any, **options: Any) -> Any:
        last, outputs, states = super().inner_loop(*given, **options)
        return 2 * last, 2 * outputs, states


def stack(*inner: Any, **options: Any) -> Callable[[type], Any]:
    """A model of a class: an input, the layers that the functions make, a dense layer."""

    def build(model: type) -> Any:
        given = {"shape": X.shape[1:], **options}
        return model([keras.Input(**given), *(make() for make in inner), layers.Dense(1)])

    return build


def lstm(**options: Any) -> Callable[[], Any]:
    return lambda: layers.LSTM(4, **options)


SEQUENCES = lstm(return_sequences=True)

#: Networks by name, and how many of their layers are called directly.
NETWORKS: dict[str, tuple[Callable[[type], Any], int]] = {
    "stack": (stack(SEQUENCES, lambda: layers.Dropout(0), lstm()), 4),
    "both directions": (stack(lambda: layers.Bidirectional(SEQUENCES()), lstm(go_backwards=True)), 3),
    "mixed": (stack(lambda: keras.layers.GRU(4, return_sequences=True), layers.Flatten), 1),
    "penalties": (stack(lstm(kernel_regularizer="l2", activity_regularizer="l1"), lambda: Penalized(3), Penalty), 1),
    "masked": (stack(layers.Masking, SEQUENCES, lstm()), 1),
    "stateful": (stack(lstm(stateful=True), shape=None, batch_shape=(11, STEPS, FEATURES)), 2),
    "states of half precision": (stack(lstm(dtype="mixed_bfloat16")), 0),
    "nested": (stack(lambda: keras.Sequential([SEQUENCES(), layers.Dense(3)]), lstm()), 2),
    "gallery": (
        stack(
            lambda: layers.ZoneoutLSTM(4, seed=3, return_sequences=True),
            lambda: layers.VariationalLSTM(4, seed=3, dropout=0.2, return_sequences=True, go_backwards=True),
            lambda: layers.SLSTM(4, heads=2, output_states=("h", "c"), return_sequences=True),
            lambda: layers.Dropout(0),
            lambda: layers.ProjectedLSTM(4, projection=3),
        ),
        6,
    ),
    "gallery's others": (
        stack(
            lambda: layers.DepthGatedLSTM(4, return_sequences=True),
            lambda: TwiceAsMuch(4, return_sequences=True),
            lambda: layers.Bidirectional(layers.MinGRU(4)),
        ),
        2,
    ),
    "frozen": (stack(lstm(trainable=False)), 2),
}


def fitted(model: Any, optimizer: Any = "adam", loss: Any = "mse", **fit: Any) -> dict[str, Any]:
    """Train; the history and every variable."""
    model.set_weights(
        [np.random.default_rng(k).uniform(-0.5, 0.5, w.shape).astype(w.dtype) for k, w in enumerate(model.weights)]
    )
    options = fit.pop("compile", {})
    model.compile(optimizer, loss, **options)
    keras.utils.set_random_seed(7)
    data = {"x": X, "y": Y, "batch_size": 11, "epochs": 3, "verbose": 0, **fit}
    history = model.fit(**data).history
    return {
        **history,
        "gradients": [w.value.grad for w in model.trainable_weights],
        "weights": model.get_weights(),
        "optimizer": [np.asarray(v) for v in model.optimizer.variables],
    }


def same(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert ours.keys() == theirs.keys()
    for name, expected in theirs.items():
        for one, other in zip(ours[name], expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-6, err_msg=name)


@pytest.fixture
def paths(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How often the fused update was made, and how many layers ran without Keras' own call, in a chain or alone."""
    count = {"updates": 0, "calls": 0}

    def counted(module: Any, name: str, key: str, number: Callable[[Any, Any], int]) -> None:
        function = getattr(module, name)

        def spy(*given: Any) -> Any:
            result = function(*given)
            count[key] += number(given[0], result)
            return result

        monkeypatch.setattr(module, name, spy)

    counted(adam, "apply", "updates", lambda *_: 1)
    counted(direct, "call", "calls", lambda called, _: not isinstance(called, keras.Model))
    counted(chain, "run", "calls", lambda _, result: 0 if result is None else result[1])
    return count


@pytest.mark.parametrize("name", NETWORKS)
def test_networks(name: str, paths: dict[str, int]) -> None:
    build, called = NETWORKS[name]
    options = {"shuffle": name != "stateful"}
    theirs = fitted(build(keras.Sequential), **options)
    assert paths == {"updates": 0, "calls": 0}
    ours = fitted(build(ostinato.keras.Sequential), **options)
    assert paths == {"updates": 6, "calls": 6 * called}
    same(ours, theirs)


class Recorder(keras.callbacks.Callback):
    """Keeps the logs of every batch."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[dict[str, Any]] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        assert all(isinstance(value, float) for value in logs.values())
        self.seen.append(dict(logs))


@pytest.mark.parametrize(
    "options",
    [
        {
            "compile": {"metrics": ["mae", "mape"], "weighted_metrics": ["mse"]},
            "sample_weight": np.linspace(0, 1, ROWS),
        },
        {"y": CLASSES, "class_weight": {0: 1.0, 1: 3.0}, "loss": "binary_crossentropy"},
        {"y": CLASSES, "loss": keras.losses.BinaryCrossentropy(from_logits=True), "compile": {"metrics": ["accuracy"]}},
        {"validation_split": 0.3, "compile": {"metrics": ["mae"]}},
        {"validation_data": (X[:4], Y[:4]), "epochs": 30, "callbacks": "stopping"},
        {"callbacks": "schedule"},
        {"compile": {"loss_weights": 2.0}},
        {"batch_size": 6},
        {"x": X[..., None]},
        {"initial_epoch": 1, "steps_per_epoch": 1},
    ],
    ids=lambda options: " ".join(map(str, options)),
)
def test_options_of_fit(options: dict[str, Any], paths: dict[str, int]) -> None:
    def callbacks() -> list[Any]:
        if options.get("callbacks") == "stopping":
            return [keras.callbacks.EarlyStopping(patience=0, min_delta=10, restore_best_weights=True), Recorder()]
        if options.get("callbacks") == "schedule":
            return [keras.callbacks.LearningRateScheduler(lambda epoch: 0.01 / (epoch + 1)), Recorder()]
        return [Recorder()]

    build, _ = NETWORKS["stack"]
    (theirs, ours) = (callbacks(), callbacks())
    expected = fitted(build(keras.Sequential), **{**options, "callbacks": theirs})
    same(fitted(build(ostinato.keras.Sequential), **{**options, "callbacks": ours}), expected)
    assert paths["updates"] == len(ours[-1].seen) == len(theirs[-1].seen) > 0
    for one, other in zip(ours[-1].seen, theirs[-1].seen, strict=True):
        same({name: [value] for name, value in one.items()}, {name: [value] for name, value in other.items()})


OPTIMIZERS: dict[str, tuple[Callable[[], Any], bool]] = {
    "adam": (lambda: keras.optimizers.Adam(0.02, beta_1=0.8, beta_2=0.95, epsilon=1e-3), True),
    "schedule": (lambda: keras.optimizers.Adam(keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)), True),
    "callable": (lambda: keras.optimizers.Adam(lambda: 0.03), True),
    "amsgrad": (lambda: keras.optimizers.Adam(amsgrad=True), False),
    "clipnorm": (lambda: keras.optimizers.Adam(clipnorm=0.01), False),
    "clipvalue": (lambda: keras.optimizers.Adam(clipvalue=0.01), False),
    "global_clipnorm": (lambda: keras.optimizers.Adam(global_clipnorm=0.01), False),
    "weight_decay": (lambda: keras.optimizers.Adam(weight_decay=0.1), False),
    "use_ema": (lambda: keras.optimizers.Adam(use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=2), False),
    "accumulation": (lambda: keras.optimizers.Adam(gradient_accumulation_steps=2), False),
    "loss_scale_factor": (lambda: keras.optimizers.Adam(loss_scale_factor=8.0), False),
    "LossScaleOptimizer": (lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam()), False),
    "AdamW": (keras.optimizers.AdamW, False),
    "SGD": (lambda: keras.optimizers.SGD(0.1, momentum=0.9), False),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers(name: str, paths: dict[str, int]) -> None:
    make, fused = OPTIMIZERS[name]
    build, _ = NETWORKS["stack"]
    same(fitted(build(ostinato.keras.Sequential), make()), fitted(build(keras.Sequential), make()))
    assert paths["updates"] == 6 * fused


def test_constraints_and_weights_without_gradient_are_left_to_keras(paths: dict[str, int]) -> None:
    constrained = stack(lstm(kernel_constraint="max_norm"))
    same(fitted(constrained(ostinato.keras.Sequential)), fitted(constrained(keras.Sequential)))

    class Idle(keras.layers.Layer):
        def build(self, shape: Any) -> None:
            self.idle = self.add_weight(shape=(2,))

        def call(self, inputs: Any) -> Any:
            return inputs

    build = stack(Idle, lstm())
    model = build(ostinato.keras.Sequential)
    model.compile("adam", "mse")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model.fit(X, Y, verbose=0)
    assert any("Gradients do not exist" in str(warning.message) for warning in said)
    assert paths["updates"] == 0


def test_a_train_step_of_the_users_own(paths: dict[str, int]) -> None:
    steps = []

    class Own(ostinato.keras.Sequential):
        def train_step(self, data: Any) -> Any:
            steps.append(len(data[0]))
            found = super().train_step(data=data) if len(steps) % 2 else super().train_step(data)
            return {**found, "own": 1.0}

    build, _ = NETWORKS["stack"]
    ours = fitted(build(Own))
    assert steps == [11] * 6
    assert ours.pop("own") == [1.0] * 3
    same(ours, fitted(build(keras.Sequential)))
    assert paths["updates"] == 6


@pytest.mark.parametrize("adding", ["model", "layer"])
def test_losses_added_in_a_step_are_gone_in_the_next(adding: str) -> None:
    found = []
    for base in (ostinato.keras.Sequential, keras.Sequential):

        class Adding(base):  # type: ignore[misc, valid-type]
            def compute_loss(self, x: Any = None, y: Any = None, y_pred: Any = None, *rest: Any, **more: Any) -> Any:
                adds = self if adding == "model" else self.layers[-1]
                adds.add_loss(0.1 * keras.ops.mean(y_pred**2))
                return super().compute_loss(x, y, y_pred, *rest, **more)

        found.append(fitted(NETWORKS["stack"][0](Adding)))
    same(*found)


def test_layers_that_are_activations_know_that_they_train() -> None:
    found = []
    for base in (ostinato.keras.Sequential, keras.Sequential):
        noise = keras.layers.GaussianNoise(1.0, seed=3)
        keras.utils.set_random_seed(0)
        behind = [keras.layers.Activation(noise), keras.layers.Dense(1, activation=keras.layers.Dropout(0.5, seed=4))]
        found.append(fitted(base([keras.Input((STEPS, FEATURES)), layers.LSTM(4), *behind])))
    same(*found)


def test_train_on_batch_and_predict() -> None:
    build, _ = NETWORKS["stack"]
    found = []
    for model in (build(ostinato.keras.Sequential), build(keras.Sequential)):
        fitted(model, compile={"metrics": ["mae"]})
        losses = [model.train_on_batch(X[:7], Y[:7]) for _ in range(3)]
        found.append(
            {"losses": losses, "predicted": model.predict(X, verbose=0), "test": model.evaluate(X, Y, verbose=0)}
        )
    same(*found)


def test_functional_models_after_from_keras(paths: dict[str, int]) -> None:
    def build() -> Any:
        one, other = keras.Input((STEPS, FEATURES)), keras.Input((STEPS, FEATURES))
        joined = keras.layers.Concatenate()([keras.layers.LSTM(4)(one), keras.layers.GRU(4)(other)])
        return keras.Model([one, other], [keras.layers.Dense(1, name=name)(joined) for name in "ab"])

    data = {"x": [X, X[::-1]], "y": [Y, -Y]}
    theirs = fitted(build(), **data)
    assert paths["updates"] == 0
    same(fitted(ostinato.keras.from_keras(build()), **data), theirs)
    assert paths["updates"] == 6


@pytest.mark.parametrize("bad", [X[:, :, :2], X[:, 0]], ids=["features", "rank"])
def test_inputs_that_do_not_fit_are_refused_as_by_keras(bad: Any) -> None:
    build, _ = NETWORKS["stack"]
    said = []
    for model in (build(ostinato.keras.Sequential), build(keras.Sequential)):
        model.compile("adam", "mse")
        with pytest.raises(ValueError) as refused:
            model.fit(bad, Y, verbose=0)
        said.append(re.sub(r"\d+", "", str(refused.value)))
    assert said[0] == said[1]


def test_hooks_of_torch_run() -> None:
    model = NETWORKS["stack"][0](ostinato.keras.Sequential)
    seen: list[Any] = []
    model.layers[0].register_forward_hook(lambda module, given, output: seen.append(output.shape))
    model.layers[2].register_full_backward_hook(lambda module, given, output: seen.append(output[0].shape))
    model(torch.from_numpy(X)).sum().backward()
    assert seen == [(ROWS, STEPS, 4), (ROWS, 4)]
