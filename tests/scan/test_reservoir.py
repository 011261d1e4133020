"""Reservoirs: their spectral radius, density, scale and seed, and what cannot be one."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.scan.reservoir import reservoir


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 40), st.floats(0.01, 3), st.floats(0.3, 1), st.floats(0, 5), st.integers(0, 1000))
def test_the_recurrent_weights_have_the_radius_asked_for(
    units: int, radius: float, density: float, scaling: float, seed: int
) -> None:
    try:
        W, U = reservoir(units, 3, radius, density, scaling, seed)
    except ValueError as error:
        assert units < 8 and "without a cycle" in str(error)
        return
    assert W.shape == (units, 3) and U.shape == (units, units) and W.dtype == U.dtype == torch.float64
    # near a Jordan block the eigenvalues of U * s are only as near to s times those of U as eps^(1/size)
    largest = torch.linalg.eigvals(U).abs().max().item()
    assert math.isclose(largest, radius, rel_tol=1e-5)
    assert W.abs().max() <= scaling


def test_density_is_the_share_of_recurrent_weights_that_are_there() -> None:
    _, U = reservoir(300, 1, density=0.1, seed=0)
    assert (U != 0).double().mean().item() == pytest.approx(0.1, abs=0.01)
    assert (reservoir(30, 1, seed=0)[1] != 0).all()


def test_input_weights_fill_their_range_evenly() -> None:
    W, _ = reservoir(300, 50, input_scaling=2.0, seed=0)
    assert W.abs().max() > 1.99
    assert W.mean().item() == pytest.approx(0, abs=0.05)
    assert W.std().item() == pytest.approx(2 / math.sqrt(3), rel=0.02)


def test_equal_seeds_draw_equal_weights_and_leave_torchs_generator_alone() -> None:
    state = torch.get_rng_state()
    first, again, other = (reservoir(8, 2, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_without_a_seed_torchs_generator_draws() -> None:
    torch.manual_seed(3)
    first, following = reservoir(8, 2), reservoir(8, 2)
    torch.manual_seed(3)
    assert torch.equal(reservoir(8, 2)[1], first[1])
    assert not torch.equal(first[1], following[1])


@pytest.mark.parametrize(
    ("argument", "told"),
    [
        ({"units": 0}, "units is 0; expected at least 1"),
        ({"spectral_radius": 0.0}, "spectral_radius is 0.0; expected a number above 0"),
        ({"spectral_radius": -0.5}, "spectral_radius is -0.5; expected a number above 0"),
        ({"spectral_radius": float("nan")}, "spectral_radius is nan; expected a number above 0"),
        ({"density": 0.0}, "density is 0.0; expected above 0 and at most 1"),
        ({"density": 1.5}, "density is 1.5; expected above 0 and at most 1"),
        ({"input_scaling": -1.0}, "input_scaling is -1.0; expected a number of at least 0"),
    ],
)
def test_a_number_outside_its_range(argument: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        reservoir(**{"units": 5, "input_size": 2, **argument})


@pytest.mark.parametrize("seed", range(5))
def test_a_matrix_without_cycle_is_refused(seed: int) -> None:
    with pytest.raises(ValueError, match=r"4 units with density 0\.001 came out without a cycle"):
        reservoir(4, 1, density=0.001, seed=seed)


def test_a_chain_is_no_cycle_though_its_eigenvalues_are_computed_as_large() -> None:
    from ostinato.scan.reservoir import _has_cycle

    order = torch.randperm(60, generator=torch.Generator().manual_seed(0))
    chain = torch.triu(torch.ones(60, 60), 1)[order][:, order]
    assert not _has_cycle(chain != 0)
    chain[order.argsort()[-1], order.argsort()[0]] = 1
    assert _has_cycle(chain != 0)
