"""Echo state networks: the frozen layer, the readout against closed forms, and free running."""

from __future__ import annotations

import copy
import math
import pickle
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from ostinato import nn, scan
from ostinato.cells import CELLS
from ostinato.scan.reservoir import reservoir

STEPS, UNITS = 300, 40


def test_the_layer_is_a_scan_with_the_weights_drawn() -> None:
    layer = nn.EchoState(
        3, UNITS, spectral_radius=0.7, density=0.5, leak=0.4, input_scaling=0.3, bias_scaling=0.2, seed=5,
        dtype=torch.float64,
    )  # fmt: skip
    W, U = reservoir(UNITS, 4, 0.7, 0.5, seed=5)
    assert torch.equal(layer.weight_ih_l0, 0.3 * W[:, :3]) and torch.equal(layer.bias_ih_l0, 0.2 * W[:, 3])
    assert torch.equal(layer.weight_hh_l0, U)
    x = torch.randn(20, 2, 3, dtype=torch.float64)
    leak = torch.full((UNITS,), 0.4, dtype=torch.float64)
    weights = scan.Weights(0.3 * W[:, :3], U, 0.2 * W[:, 3], parameters=(leak,))
    expected, finals = scan.scan(CELLS["echo_state"], x, [weights], layout="time")
    y, h = layer(x)
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(h, finals[0])


def test_without_a_leak_it_is_the_simple_network() -> None:
    layer = nn.EchoState(2, UNITS, bias_scaling=1.0, dtype=torch.float64, num_layers=2, bidirectional=True)
    plain = torch.nn.RNN(2, UNITS, 2, bidirectional=True, dtype=torch.float64)
    stored = layer.state_dict()
    with torch.no_grad():
        for name, parameter in plain.named_parameters():
            parameter.copy_(stored.get(name, torch.zeros(1)))
    x = torch.randn(20, 3, 2, dtype=torch.float64)
    torch.testing.assert_close(layer(x), plain(x))


def test_the_weights_are_frozen_and_a_gradient_goes_through() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), nn.EchoState(3, UNITS))
    assert list(model[1].parameters()) == []
    assert set(model[1].state_dict()) == {"weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "leak_l0"}
    y, _ = model(torch.randn(6, 4, 2))
    y.sum().backward()
    assert model[0].weight.grad.count_nonzero()
    assert not any(tensor.requires_grad for tensor in model[1].buffers())
    before = {name: tensor.clone() for name, tensor in model[1].state_dict().items()}
    torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.5).step()
    assert all(torch.equal(before[name], tensor) for name, tensor in model[1].state_dict().items())


def test_seeds_copies_and_state_dicts() -> None:
    first, again, other = (nn.EchoState(2, UNITS, num_layers=2, seed=seed) for seed in (1, 1, 7))
    x = torch.randn(5, 2, 2)
    assert torch.equal(first(x)[0], again(x)[0]) and not torch.equal(first(x)[0], other(x)[0])
    both = nn.EchoState(2, UNITS, num_layers=3, bidirectional=True, seed=1).state_dict()
    drawn = [tensor for name, tensor in both.items() if name.startswith("weight_hh")]
    assert len(torch.stack(drawn).flatten(1).unique(dim=0)) == 6, "each layer and direction draws its own"
    for one in (copy.deepcopy(first), pickle.loads(pickle.dumps(first))):
        assert torch.equal(one(x)[0], first(x)[0]) and repr(one) == repr(first)
    other.load_state_dict(first.state_dict())
    assert torch.equal(other(x)[0], first(x)[0])
    other.reset_parameters()
    assert torch.equal(other.weight_hh_l0, nn.EchoState(2, UNITS, num_layers=2, seed=7).weight_hh_l0)


@pytest.mark.parametrize("leak", [1.0, 0.3])
def test_the_effective_radius_is_the_rate_at_which_echoes_fade(leak: float) -> None:
    layer = nn.EchoState(1, UNITS, leak=leak, spectral_radius=0.8, activation="linear", seed=2, dtype=torch.float64)
    start = torch.randn(1, 1, UNITS, dtype=torch.float64)
    y, _ = layer(torch.zeros(400, 1, 1, dtype=torch.float64), start)
    rate = (y[-1].norm() / y[-101].norm()).item() ** (1 / 100)
    assert layer.effective_radius == pytest.approx(rate, abs=0.01)
    if leak == 1.0:
        assert layer.effective_radius == pytest.approx(0.8)
    else:
        assert layer.effective_radius > 0.8


def problem(outputs: int = 2, features: int = 1) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    return generator.standard_normal((STEPS, features)), generator.standard_normal((STEPS, outputs))


def features(network: nn.EchoStateNetwork, X: np.ndarray) -> np.ndarray:
    x, _ = network.reservoir_(torch.as_tensor(X)[None])
    return np.concatenate([np.ones((len(X), 1)), X, x[0].numpy()], 1)


@pytest.mark.parametrize("ridge", [0.1, 10.0])
def test_the_readout_is_ridge_regression(ridge: float) -> None:
    X, y = problem()
    network = nn.EchoStateNetwork(UNITS, ridge=ridge, washout=50, seed=0).fit(X, y)
    A, b = features(network, X)[50:], y[50:]
    expected = np.linalg.solve(A.T @ A + ridge * np.eye(A.shape[1]), A.T @ b)
    np.testing.assert_allclose(network.readout_.numpy().T, expected, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(network.predict(X), features(network, X) @ expected, rtol=1e-8, atol=1e-10)
    residual = ((b - A @ expected) ** 2).sum(0) / ((b - b.mean(0)) ** 2).sum(0)
    assert network.score(X, y) == pytest.approx((1 - residual).mean())


def test_targets_within_reach_are_hit() -> None:
    X, _ = problem(features=2)
    drawn = nn.EchoStateNetwork(UNITS, seed=1, washout=20).fit(X, X)
    y = features(drawn, X) @ np.random.default_rng(1).standard_normal((3 + UNITS, 3))
    network = nn.EchoStateNetwork(UNITS, seed=1, washout=20, ridge=0.0).fit(X, y)
    np.testing.assert_allclose(network.predict(X), y, atol=1e-6)
    assert network.score(X, y) == pytest.approx(1.0)


def test_the_washout_counts_for_nothing() -> None:
    X, y = problem()
    spoilt = y.copy()
    spoilt[:50] = 1e6
    first, second = (nn.EchoStateNetwork(UNITS, washout=50, seed=0).fit(X, target) for target in (y, spoilt))
    assert torch.equal(first.readout_, second.readout_)
    assert first.score(X, y) == first.score(X, spoilt)


def test_a_reservoir_recalls_its_input() -> None:
    """Short term memory (Jaeger 2001, GMD report 152): delays well below the units are recalled, far longer not."""
    X = np.random.default_rng(2).uniform(-0.5, 0.5, (2000, 1))
    y = np.concatenate([np.roll(X, delay, 0) for delay in (1, 5, 200)], 1)
    network = nn.EchoStateNetwork(60, washout=250, input_scaling=0.1, seed=0).fit(X[:1500], y[:1500])
    errors = ((network.predict(X)[1500:] - y[1500:]) ** 2).mean(0) / y.var(0)
    assert errors[0] < 1e-4 and errors[1] < 1e-2 and errors[2] > 0.9


def test_several_sequences_and_one_output() -> None:
    X, y = problem(1)
    parts = X.reshape(3, 100, 1), y.reshape(3, 100)
    network = nn.EchoStateNetwork(UNITS, washout=10, seed=0, ridge=0.1).fit(*parts)
    assert network.predict(parts[0]).shape == (3, 100)
    A = np.concatenate([features(network, one)[10:] for one in parts[0]])
    b = np.concatenate([one[10:] for one in parts[1]])
    expected = np.linalg.solve(A.T @ A + 0.1 * np.eye(A.shape[1]), A.T @ b)
    np.testing.assert_allclose(network.readout_[0].numpy(), expected, rtol=1e-8, atol=1e-10)
    alone = network.predict(parts[0][1])
    assert alone.shape == (100,)
    np.testing.assert_allclose(alone, network.predict(parts[0])[1])


def test_the_kind_of_the_data_comes_back() -> None:
    X, y = problem()
    network = nn.EchoStateNetwork(UNITS, seed=0).fit(X, y[:, :1])
    assert isinstance(network.predict(X), np.ndarray) and isinstance(network.generate(2), np.ndarray)
    tensors = torch.as_tensor(X), torch.as_tensor(y[:, :1])
    found = nn.EchoStateNetwork(UNITS, seed=0).fit(*tensors)
    assert isinstance(found.predict(tensors[0]), torch.Tensor) and isinstance(found.generate(2), torch.Tensor)
    np.testing.assert_array_equal(found.predict(tensors[0]).numpy(), network.predict(X))
    single = found.predict(tensors[0].float())
    assert single.dtype == torch.float64


def test_a_linear_reservoir_runs_on_along_two_sines() -> None:
    """Sums of sines are recurrences that a linear reservoir can hold exactly."""
    t = np.arange(1500)
    u = np.stack([np.sin(0.2 * t), np.cos(0.311 * t)], 1)
    network = nn.EchoStateNetwork(100, activation="linear", seed=0, bias_scaling=0.2).fit(u[:1000], u[1:1001])
    np.testing.assert_allclose(network.generate(300), u[1000:1300], atol=1e-4)
    np.testing.assert_allclose(network.generate(200, start=u[:1201]), u[1201:1401], atol=1e-4)
    first = network.predict(u[:1201])[-1]
    np.testing.assert_allclose(network.generate(1, start=u[:1201])[0], first)


def mackey_glass(steps: int, tau: int = 17, fine: int = 10) -> np.ndarray:
    """dx/dt = 0.2 x(t - tau) / (1 + x(t - tau)^10) - 0.1 x (Mackey & Glass 1977, Science 197), a value a time unit."""
    x = [1.2] * (tau * fine + 1)
    for _ in range((steps + 100) * fine):
        late = x[-tau * fine - 1]
        x.append(x[-1] + (0.2 * late / (1 + late**10) - 0.1 * x[-1]) / fine)
    return np.array(x[::fine][-steps:])


def test_mackey_glass_84_steps_ahead() -> None:
    """The task of Jaeger & Haas 2004, Science 304: free runs, the error at their end normalised so that the mean of the
    series has 1."""
    series = np.tanh(mackey_glass(2500) - 1)[:, None]
    network = nn.EchoStateNetwork(
        200, spectral_radius=0.8, density=0.1, bias_scaling=0.2, ridge=1e-10, washout=200, seed=0
    ).fit(series[:1800], series[1:1801])
    ends = range(2000, 2400, 80)
    errors = [network.generate(84, start=series[end - 300 : end])[-1, 0] - series[end + 83, 0] for end in ends]
    assert math.sqrt(np.mean(np.square(errors)) / series.var()) < 0.05


def test_arguments_as_in_scikit_learn() -> None:
    network = nn.EchoStateNetwork(50, leak=0.3)
    params = network.get_params()
    assert params["units"] == 50 and params["leak"] == 0.3
    assert nn.EchoStateNetwork(**params).get_params() == params
    assert network.set_params(ridge=0.5) is network and network.ridge == 0.5
    with pytest.raises(ValueError, match="no parameter 'alpha'"):
        network.set_params(alpha=1)


X, Y = problem()
FITTED = nn.EchoStateNetwork(UNITS, seed=0).fit(X, Y)

WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "radius": (lambda: nn.EchoState(1, 5, spectral_radius=0.0), "spectral_radius is 0.0; expected a number above 0"),
    "no cycle": (lambda: nn.EchoState(1, 5, density=0.01, seed=0), "came out without a cycle"),
    "density": (lambda: nn.EchoState(1, 5, density=1.5), "density is 1.5; expected above 0 and at most 1"),
    "leak": (lambda: nn.EchoState(1, 5, leak=0.0), "leak is 0.0; expected above 0 and at most 1"),
    "leak of a unit": (lambda: nn.EchoState(1, 2, leak=[0.5, 1.5]), "leak is 1.5; expected above 0 and at most 1"),
    "leaks": (lambda: nn.EchoState(1, 5, leak=[0.5, 0.5]), "leak has 2 values; expected one number, or one for each"),
    "input_scaling": (lambda: nn.EchoState(1, 5, input_scaling=-1.0), "input_scaling is -1.0; expected a number of at"),
    "bias_scaling": (lambda: nn.EchoState(1, 5, bias_scaling=-1.0), "bias_scaling is -1.0; expected a number of at"),
    "washout": (lambda: nn.EchoStateNetwork(5, washout=300).fit(X, Y), "washout is 300; expected 0..299"),
    "ridge": (lambda: nn.EchoStateNetwork(5, ridge=-1.0).fit(X, Y), "ridge is -1.0; expected a number of at least 0"),
    "not fitted": (lambda: nn.EchoStateNetwork(5).predict(X), "this network has no readout yet; call fit first"),
    "not fitted to run": (lambda: nn.EchoStateNetwork(5).generate(3), "this network has no readout yet; call fit"),
    "shape of X": (lambda: FITTED.predict(X[:, 0]), "X has the shape (300,); expected (steps, features) or"),
    "no steps": (lambda: FITTED.predict(X[:0]), "X has the shape (0, 1); expected (steps, features) or"),
    "features": (lambda: FITTED.predict(Y), "X has 2 features; expected 1, as in fit"),
    "shape of y": (lambda: FITTED.score(X, Y[:-1]), "y has the shape (299, 2); expected (300,), as X"),
    "not a number": (lambda: FITTED.predict(X * np.nan), "the data hold values that are not finite"),
    "constant": (lambda: FITTED.score(X, 0 * Y), "an output in y is constant behind the washout"),
    "too short to score": (lambda: FITTED.score(X[:100], Y[:100]), "X has 100 steps; expected more than the washout"),
    "outputs": (lambda: FITTED.generate(3), "the network has 2 outputs for 1 inputs"),
    "several starts": (lambda: FITTED.generate(3, X[None]), "start has 3 dimensions; expected one sequence"),
    "steps": (lambda: FITTED.generate(0), "steps is 0; expected at least 1"),
}  # fmt: skip


@pytest.mark.parametrize("call, words", WRONG.values(), ids=WRONG)
def test_what_does_not_fit_is_named_with_the_rule(call: Callable[[], Any], words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        call()


def test_a_leak_of_double_precision() -> None:
    layer = nn.EchoState(2, 3, leak=0.3, dtype=torch.float64)
    assert (layer.leak_l0 == 0.3).all()
