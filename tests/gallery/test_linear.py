"""Cells whose recurrence is linear in its state, beside the sums that it stands for.

h_t = a_t h_{t-1} + b_t is, for all steps at once, h_t = (a_1 ... a_t) h_0 + sum over s of (a_{s+1} ... a_t) b_s.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from ostinato import cells

from .layer import OPEN, SHUT, B, D, H, Layer, T, close, layer, normal, states


def parallel(a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
    """The sums above; a, b (B, T, H) with a > 0, h0 (B, H)."""
    total = a.log().cumsum(1)
    kept = (total.unsqueeze(2) - total.unsqueeze(1)).exp()  # [B, t, s, H]
    earlier = torch.ones(a.shape[1], a.shape[1], dtype=torch.bool).tril()[None, :, :, None]
    return total.exp() * h0.unsqueeze(1) + (torch.where(earlier, kept, 0.0) * b.unsqueeze(1)).sum(2)


def products(made: Layer, x: Tensor) -> dict[str, Tensor]:
    """Every gate's W x + b of all steps at once."""
    bias = {gate: made.block("b", gate) if made.has("b", gate) else 0.0 for gate in made.cell.gates}
    return {gate: x @ made.block("W", gate).T + bias[gate] for gate in made.cell.gates}


def test_min_gru() -> None:
    ours, x = layer(cells.min_gru), normal(B, T, D)
    (h,), at = states(ours), products(ours, x)
    z = at["z"].sigmoid()
    close(ours(x, [h])[0], parallel(1 - z, z * at["n"], h))


def test_min_lstm() -> None:
    ours, x = layer(cells.min_lstm), normal(B, T, D)
    (h,), at = states(ours), products(ours, x)
    f, i = at["f"].sigmoid(), at["i"].sigmoid()
    close(ours(x, [h])[0], parallel(f / (f + i), i / (f + i) * at["n"], h))


@pytest.mark.parametrize("f, i", [(-200.0, -200.0), (-200.0, 200.0), (200.0, -200.0)])
def test_the_gates_of_min_lstm_may_both_be_shut(f: float, i: float) -> None:
    """In float32 both are 0 there; what counts is how they compare."""
    ours = layer(cells.min_lstm, dtype=torch.float32).force("f", f).force("i", i)
    ours.tensors["W"].requires_grad_()
    x, h = normal(B, 1, D, dtype=torch.float32), normal(B, H, dtype=torch.float32)
    y, _ = ours(x, [h])
    n = products(ours, x)["n"][:, 0]
    close(y[:, 0], torch.lerp(n, h, 1.0 / (1.0 + math.exp(max(i - f, -80.0))) if i <= f else 0.0), 1e-6)
    (gradient,) = torch.autograd.grad(y.sum(), ours.tensors["W"])
    assert gradient.isfinite().all()


def test_qrnn() -> None:
    ours, x = layer(cells.qrnn), normal(B, T, D)
    (_, c), at = states(ours), products(ours, x)
    f = at["f"].sigmoid()
    want = parallel(f, (1 - f) * at["z"].tanh(), c)
    y, (_, last) = ours(x, [c, c])
    close([y, last], [at["o"].sigmoid() * want, want[:, -1]])


@pytest.mark.parametrize("width", [2, 3])
def test_a_window_of_qrnn_is_a_causal_convolution(width: int) -> None:
    """The last steps side by side as one input, against torch's convolution with the same weights."""
    x = normal(B, T, D)
    padded = torch.nn.functional.pad(x, (0, 0, width - 1, 0))
    windows = torch.cat([padded[:, k : k + T] for k in range(width)], -1)
    ours = layer(cells.qrnn, D=width * D)
    kernel = ours.tensors["W"].unflatten(1, (width, D)).transpose(1, 2)
    z, f, o = torch.nn.functional.conv1d(padded.transpose(1, 2), kernel, ours.tensors["b"]).transpose(1, 2).chunk(3, -1)
    f = f.sigmoid()
    want = parallel(f, (1 - f) * z.tanh(), torch.zeros(B, H, dtype=x.dtype))
    close(ours(windows)[0], o.sigmoid() * want)


def test_sru_whose_gates_read_no_state() -> None:
    """With v = 0, the first version's gates, all steps can be made at once."""
    ours, x = layer(cells.sru).zero("v_f", "v_r"), normal(B, T, D)
    (_, c), at = states(ours), products(ours, x)
    f, r = at["f"].sigmoid(), at["r"].sigmoid()
    want = parallel(f, (1 - f) * at["u"], c)
    close(ours(x, [c, c])[0], r * want + (1 - r) * at["s"])
    close(ours(x, [c, c], activations={"phi": "tanh"})[0], r * want.tanh() + (1 - r) * at["s"])


def test_both_gates_of_sru_read_the_old_cell() -> None:
    ours, x = layer(cells.sru), normal(B, 1, D)
    (_, c), at = states(ours), {gate: value[:, 0] for gate, value in products(ours, x).items()}
    f = (at["f"] + ours.tensors["v_f"] * c).sigmoid()
    r = (at["r"] + ours.tensors["v_r"] * c).sigmoid()
    new = f * c + (1 - f) * at["u"]
    y, finals = ours(x, [c, c])
    close([y[:, 0], finals[1]], [r * new + (1 - r) * at["s"], new])


def test_alpha_scales_the_highway_of_sru_only() -> None:
    ours, x = layer(cells.identity_sru, D=H), normal(B, 1, H)
    _, c = states(ours)
    plain, (_, new) = ours(x, [c, c])
    ours.tensors["alpha"].fill_(math.sqrt(3.0))
    scaled, (_, same) = ours(x, [c, c])
    r = (products(ours, x)["r"] + (ours.tensors["v_r"] * c).unsqueeze(1)).sigmoid()
    close([same, scaled - plain], [new, (math.sqrt(3.0) - 1.0) * (1 - r) * x])


def decay(ours: Layer, x: Tensor) -> Tensor:
    """a of every step, as the paper writes it: sigmoid(lam) to the power 8 r."""
    return ours.tensors["lam"].sigmoid() ** (8.0 * products(ours, x)["r"].sigmoid())


def test_rg_lru() -> None:
    ours, x = layer(cells.rg_lru, D=H), normal(B, T, H)
    (h,), a = states(ours), decay(ours, x)
    inside = products(ours, x)["i"].sigmoid() * x
    close(ours(x, [h])[0], parallel(a, (1 - a * a).sqrt() * inside, h))


def test_rg_lru_starts_with_the_decays_of_the_paper() -> None:
    low, high = cells.rg_lru.initial["lam"]
    bounds = torch.tensor([low, high], dtype=torch.float64).sigmoid() ** 8
    close(bounds, torch.tensor([0.9, 0.999], dtype=torch.float64))


@pytest.mark.parametrize("bias", [-5.0, -15.0, -30.0])
def test_rg_lru_is_accurate_where_a_is_almost_1(bias: float) -> None:
    """In float32 a is 1 there and 1 - a * a is 0."""
    x = normal(B, 1, H)
    ours, single = layer(cells.rg_lru, D=H).force("r", bias), layer(cells.rg_lru, D=H, dtype=torch.float32)
    single.force("r", bias)
    exponent = -16.0 / (1.0 + math.exp(-bias)) * torch.nn.functional.softplus(-ours.tensors["lam"])
    want = (-torch.expm1(exponent)).sqrt() * products(ours, x)["i"].sigmoid() * x
    for made, tolerance in ((ours, 1e-12), (single, 2e-6)):
        y, _ = made(x.to(made.tensors["W"].dtype))
        close(y.double() / want, torch.ones_like(want), tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bias", [OPEN, SHUT])
def test_the_gradient_of_rg_lru_is_finite_at_the_ends(dtype: torch.dtype, bias: float) -> None:
    ours = layer(cells.rg_lru, D=H, dtype=dtype).force("r", bias)
    ours.tensors["W"].requires_grad_()
    ours.tensors["lam"].requires_grad_()
    y, _ = ours(normal(B, T, H, dtype=dtype), [normal(B, H, dtype=dtype)])
    found = torch.autograd.grad(y.sum(), [ours.tensors["W"], ours.tensors["lam"]])
    assert all(gradient.isfinite().all() for gradient in found)


def test_cornn_without_a_force_is_a_damped_oscillator() -> None:
    """The powers of one 2 x 2 matrix: z moves first, y with the new z."""
    ours, x = layer(cells.cornn).force("a", 0.0).zero("V"), normal(B, T, D)
    y, z = states(ours)
    dt, gamma, epsilon = (ours.tensors[name][0].item() for name in ("dt", "gamma", "epsilon"))
    step = torch.tensor(
        [[1 - dt * dt * gamma, dt * (1 - dt * epsilon)], [-dt * gamma, 1 - dt * epsilon]], dtype=torch.float64
    )
    want = torch.einsum("ij,jbh->ibh", torch.linalg.matrix_power(step, T), torch.stack([y, z]))
    _, finals = ours(x, [y, z])
    close(finals, list(want))


def test_lem_whose_time_steps_are_1_chains_its_two_products() -> None:
    """y then reads z of the same step."""
    ours, x = layer(cells.lem).force("d1", OPEN).force("d2", OPEN), normal(B, T, D)
    y, z = states(ours)
    found, (_, last) = ours(x, [y, z])
    at = products(ours, x)
    for t in range(T):
        z = (at["z"][:, t] + y @ ours.block("U", "z").T).tanh()
        y = (at["y"][:, t] + z @ ours.block("U", "y").T).tanh()
        close(found[:, t], y)
    close(last, z)


@pytest.mark.parametrize("gate, kept", [("d1", "z"), ("d2", "y")])
def test_a_shut_time_step_of_lem_keeps_its_own_state(gate: str, kept: str) -> None:
    ours, x = layer(cells.lem).force(gate, SHUT), normal(B, T, D)
    start = states(ours)
    _, finals = ours(x, start)
    for name, before, after in zip(("y", "z"), start, finals, strict=True):
        assert torch.equal(before, after) == (name == kept)
