"""The clockwork's clock, and the direction in which its modules read one another."""

from __future__ import annotations

import pytest
import torch

from ostinato import cells
from ostinato.scan import Weights, scan

from .layer import B, D, H, Layer, T, close, layer, normal

MODULES, PERIODS = 4, (1, 2, 3, 6)
K = H // MODULES


def clockwork(**changes: object) -> Layer:
    return layer(cells.clockwork, **{"modules": MODULES, "periods": PERIODS, **changes})


def test_without_a_clock_it_is_elman_on_its_upper_blocks() -> None:
    ours = clockwork()
    weights = ours.structure.weights(ours.tensors)
    ours.tensors["period"].fill_(1.0)
    h, x = normal(B, H), normal(B, T, D)
    upper = torch.tensor([[row // K <= column // K for column in range(H)] for row in range(H)])
    assert weights.U is not None
    assert torch.equal(weights.U != 0, upper)
    theirs = layer(cells.elman)
    theirs.tensors = {"W": ours.tensors["W"], "U": weights.U * upper, "b": ours.tensors["b"]}
    want, (last,) = theirs(x, [h])
    y, (h_last, _) = ours(x, [h, torch.zeros_like(h)])
    close([y, h_last], [want, last])


def test_one_module_is_elman() -> None:
    ours = clockwork(modules=1, periods=())
    theirs = layer(cells.elman, seed=9)
    theirs.tensors.update({name: ours.tensors[name] for name in ("W", "U", "b")})
    x = normal(B, T, D)
    close(ours(x)[0], theirs(x)[0])


def test_a_module_changes_at_its_period_only_and_all_change_at_the_first_step() -> None:
    ours, x = clockwork(), normal(B, 13, D)
    y, (_, t) = ours(x)
    y = torch.cat([torch.zeros(B, 1, H, dtype=y.dtype), y], 1)
    changed = (y[:, 1:] != y[:, :-1]).unflatten(-1, (MODULES, K))
    for module, period in enumerate(PERIODS):
        for step in range(13):
            assert changed[:, step, module].all() == changed[:, step, module].any() == (step % period == 0)
    assert (t == 13).all()


@pytest.mark.parametrize("start", [0, 1, 5, 6])
def test_the_clock_goes_on_from_the_state(start: int) -> None:
    ours, x, h = clockwork(), normal(B, 1, D), normal(B, H)
    y, (_, t) = ours(x, [h, torch.full_like(h, start)])
    kept = (y[:, 0] == h).unflatten(-1, (MODULES, K)).all(-1)
    assert kept.all(0).tolist() == [start % period != 0 for period in PERIODS]
    assert (t == start + 1).all()


def test_a_masked_step_stops_the_clock() -> None:
    ours, x = clockwork(), normal(B, T, D)
    mask = torch.ones(B, T, dtype=torch.bool)
    mask[0, 2] = mask[0, 4] = False
    mask[1, :3] = False
    y, (h, t) = ours(x, mask=mask)
    for row in range(B):
        want, (last, steps) = ours(x[row : row + 1, mask[row]])
        close([y[row : row + 1, mask[row]], h[row : row + 1], t[row : row + 1]], [want, last, steps])


def test_a_slow_module_never_hears_of_a_fast_one() -> None:
    ours, x, h = clockwork(), normal(B, T, D), normal(B, H)
    zero = torch.zeros_like(h)
    before, _ = ours(x, [h, zero])
    for module in range(MODULES):
        moved = h.clone()
        moved[:, module * K : (module + 1) * K] += 1.0
        after, _ = ours(x, [moved, zero])
        difference = (after - before).abs().amax((0, 1)).unflatten(0, (MODULES, K)).amax(-1)
        assert (difference[: module + 1] > 1e-6).all(), "itself and the faster ones"
        assert (difference[module + 1 :] == 0).all(), "the slower ones"


def test_what_a_module_does_not_read_has_no_gradient() -> None:
    """Even with other numbers there: neither the value nor the gradient of a lower block counts."""
    ours, x = clockwork(), normal(B, 2 * PERIODS[-1], D)
    made = ours.structure.weights(ours.tensors)
    assert made.U is not None
    assert made.reach is not None
    lower = torch.tensor([[row // K > column // K for column in range(H)] for row in range(H)])
    U = torch.where(lower, 7.0, made.U).requires_grad_()
    weights = Weights(made.W, U, made.b, parameters=made.parameters, reach=made.reach)
    y, _ = scan(cells.clockwork, x, [weights])
    close(y, ours(x)[0])
    (gradient,) = torch.autograd.grad(y.square().sum(), U)
    assert (gradient[lower] == 0).all()
    assert (gradient[~lower] != 0).all()
