"""The echo state network's reservoir as a layer: drawn once, never trained."""

from __future__ import annotations

from functools import partial
from typing import Any

import keras
import numpy as np
import pytest
import torch

from ostinato.keras import layers
from ostinato.scan.reservoir import reservoir

X = np.random.default_rng(1).standard_normal((4, 6, 3)).astype("float32")


def built(**options: Any) -> Any:
    """A reservoir of 20 units."""
    made = layers.EchoState(20, **{"seed": 1, **options})
    made.build(X.shape)
    return made


def test_the_weights_are_those_of_the_reservoir() -> None:
    made = built(spectral_radius=0.7, density=0.5, input_scaling=2.0, bias_scaling=0.25)
    W, U = reservoir(20, 4, 0.7, 0.5, 1.0, 1)
    np.testing.assert_allclose(made.cell.recurrent_kernel, U.T, rtol=1e-6)
    np.testing.assert_allclose(made.cell.kernel, 2 * W[:, :3].T, rtol=1e-6)
    np.testing.assert_allclose(made.cell.bias, 0.25 * W[:, 3], rtol=1e-6)
    radius = np.abs(np.linalg.eigvals(np.asarray(made.cell.recurrent_kernel, "float64"))).max()
    assert radius == pytest.approx(0.7, rel=1e-5) == made.cell.effective_radius


def test_the_effective_radius_of_a_leaky_reservoir() -> None:
    made = built(leak=0.25)
    U = np.asarray(made.cell.recurrent_kernel, "float64").T
    assert made.cell.effective_radius == pytest.approx(np.abs(np.linalg.eigvals(0.75 * np.eye(20) + 0.25 * U)).max())


def test_nothing_is_trained_and_gradients_pass_through() -> None:
    inputs = keras.Input((6, 3))
    below = keras.layers.Dense(3)
    made = layers.EchoState(20, leak=0.5, seed=1)
    model = keras.Model(inputs, keras.layers.Dense(1)(made(below(inputs))))
    model.compile(keras.optimizers.Adam(0.01), "mse")
    before = [np.array(weight) for weight in (*made.get_weights(), *below.get_weights())]
    model.fit(X, X[:, -1, :1], epochs=2, verbose=0)
    after = [*made.get_weights(), *below.get_weights()]
    same = [np.array_equal(*pair) for pair in zip(before, after, strict=True)]
    assert same == [True, True, True, False, False]
    assert made.trainable_weights == [] and len(made.non_trainable_weights) == 3


def test_seeds() -> None:
    one, same, other = built(), built(), built(seed=2)
    np.testing.assert_array_equal(one.cell.kernel, same.cell.kernel)
    assert not np.array_equal(one.cell.kernel, other.cell.kernel)
    drawn = []
    for seed in (3, 3, 4):
        keras.utils.set_random_seed(seed)
        drawn.append(np.asarray(built(seed=None).cell.kernel))
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])


def test_a_leak_of_one_is_a_simple_recurrent_network() -> None:
    made = built(return_sequences=True, bias_scaling=0.5)
    plain = layers.SimpleRNN(20, return_sequences=True)
    plain.build(X.shape)
    plain.set_weights(made.get_weights())
    np.testing.assert_allclose(made(X).detach(), plain(X).detach(), atol=1e-6)


def test_the_echo_of_the_initial_state_fades() -> None:
    made = built(spectral_radius=0.5)
    x = np.random.default_rng(0).standard_normal((1, 100, 3)).astype("float32")
    starts = [torch.full((1, 20), value) for value in (-0.9, 0.9)]
    one, other = (made(x, initial_state=[start]) for start in starts)
    assert torch.allclose(one, other, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"spectral_radius": 0.0}, r"spectral_radius is 0\.0; expected a number above 0"),
        ({"density": 1.5}, r"density is 1\.5; expected above 0 and at most 1"),
        ({"density": 1e-9}, "came out without a cycle"),
        ({"leak": 0.0}, r"leak is 0\.0; expected above 0 and at most 1"),
        ({"leak": [0.5] * 19 + [2.0]}, r"leak is 2\.0; expected above 0 and at most 1"),
        ({"bias_scaling": -1.0}, r"bias_scaling is -1\.0; expected a number of at least 0"),
        ({"kernel_initializer": "ones"}, "Unrecognized keyword arguments"),
    ],
)
def test_what_does_not_fit_is_told(options: dict[str, Any], told: str) -> None:
    make = built if "cycle" in told else partial(layers.EchoState, 20)
    with pytest.raises(ValueError, match=told):
        make(**options)
