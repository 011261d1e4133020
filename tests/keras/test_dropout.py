"""Dropout: shares, seeds and shapes; and where it is Keras' own."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import torch

from ostinato.keras import layers


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rate", [0.1, 0.2, 0.5, 0.9])
def test_share_and_scale(rate: float, dtype: str) -> None:
    x = torch.ones(400, 1001, dtype=getattr(torch, dtype), requires_grad=True)
    torch.manual_seed(1)
    y = layers.Dropout(rate, dtype=dtype)(x, training=True)
    kept = 1 - round(rate * 2**16) / 2**16
    values = y.unique()
    assert y.dtype == x.dtype
    assert len(values) == 2
    torch.testing.assert_close(values, torch.tensor([0, 1 / kept], dtype=x.dtype))
    # five standard deviations of a share, over everything and over the rows and columns
    share = (y != 0).double()
    spread = (kept * (1 - kept)) ** 0.5
    assert abs(share.mean() - kept) < 5 * spread / share.numel() ** 0.5
    for dim, count in ((0, 400), (1, 1001)):
        assert (share.mean(dim) - kept).abs().max() < 5.5 * spread / count**0.5
    y.sum().backward()
    assert torch.equal(x.grad, y)


@pytest.mark.parametrize("distance", [1, 2, 3, 4, 5, 8])
def test_neighbours_are_independent(distance: int) -> None:
    torch.manual_seed(2)
    kept = (layers.Dropout(0.5)(torch.ones(1_000_001), training=True) != 0).double() - 0.5
    assert abs((kept[distance:] * kept[:-distance]).mean()) < 5 * 0.25 / 1000


def test_without_a_seed_the_default_generator_draws() -> None:
    layer, x = layers.Dropout(0.4), torch.ones(7, 33)
    torch.manual_seed(3)
    first, second = layer(x, training=True), layer(x, training=True)
    torch.manual_seed(3)
    assert torch.equal(layer(x, training=True), first)
    assert not torch.equal(first, second)


def test_with_a_seed_the_layer_draws() -> None:
    x = torch.ones(7, 33)
    one, other = layers.Dropout(0.4, seed=5), layers.Dropout(0.4, seed=5)
    before = torch.get_rng_state()
    first, second = one(x, training=True), one(x, training=True)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(other(x, training=True), first)
    assert torch.equal(other(x, training=True), second)
    assert not torch.equal(first, second)
    assert np.array_equal(one.seed_generator.state, [5, 2])


@pytest.mark.parametrize("shape", [(None, 1, None), (5, 1, 8), (1, 8), (1, 1, 1)])
def test_noise_shape_is_repeated(shape: tuple[int | None, ...]) -> None:
    x = torch.ones(5, 6, 8)
    y = layers.Dropout(0.5, noise_shape=shape, seed=1)(x, training=True)
    assert y.shape == x.shape
    wide = (None,) * (3 - len(shape)) + shape
    for dim, size in enumerate(wide):
        if size == 1:
            assert torch.equal(y, y.narrow(dim, 0, 1).expand_as(y))


def test_noise_of_another_shape_is_refused() -> None:
    layer = layers.Dropout(0.5, noise_shape=(5, 6))
    with pytest.raises(RuntimeError):
        layer(torch.ones(1, 6), training=True)


def test_nothing_is_dropped_outside_training_or_at_rate_0() -> None:
    x = torch.randn(3, 4)
    assert torch.equal(layers.Dropout(0.5)(x), x)
    assert torch.equal(layers.Dropout(0)(x, training=True), x)
    assert torch.equal(layers.Dropout(1)(x, training=True), torch.zeros_like(x))
    assert layers.Dropout(0.5)(torch.ones(0, 4), training=True).shape == (0, 4)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_other_dtypes_are_keras_own(dtype: str) -> None:
    x = torch.ones(50, 50, dtype=getattr(torch, dtype))
    both = []
    for one in (layers, keras.layers):
        torch.manual_seed(4)
        both.append(one.Dropout(0.5, dtype=dtype)(x, training=True))
    assert torch.equal(*both)


def test_a_mask_goes_through() -> None:
    words = np.array([[1, 2, 0], [3, 0, 0]])
    y = layers.Dropout(0.5)(layers.Embedding(5, 4, mask_zero=True)(words), training=True)
    assert np.array_equal(y._keras_mask, words != 0)
