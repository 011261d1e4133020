"""The stabiliser of the sLSTM is not noticed, and its heads read nothing but themselves."""

from __future__ import annotations

import pytest
import torch

from ostinato import cells

from .layer import B, D, H, Layer, T, close, layer, normal

HEADS = pytest.mark.parametrize("heads", [1, 2, 4, 8])


def unstabilised(made: Layer, x: torch.Tensor, h: torch.Tensor, c: torch.Tensor, n: torch.Tensor) -> torch.Tensor:
    """The paper's recurrence with plain exponentials, head by head."""
    heads, found = made.structure.heads, []
    for t in range(x.shape[1]):
        gates = []
        for gate in "ifzo":
            recurrent = [
                part @ block.T
                for part, block in zip(h.chunk(heads, -1), made.block("U", gate).chunk(heads), strict=True)
            ]
            gates.append(x[:, t] @ made.block("W", gate).T + torch.cat(recurrent, -1) + made.block("b", gate))
        i, f, z, o = gates[0].exp(), gates[1].sigmoid(), gates[2].tanh(), gates[3].sigmoid()
        c, n = f * c + i * z, f * n + i
        h = o * c / n
        found.append(h)
    return torch.stack(found, 1)


@HEADS
@pytest.mark.parametrize("state", [False, True])
def test_it_is_the_recurrence_without_stabiliser(heads: int, state: bool) -> None:
    """From nothing, where m starts at the first input gate, and from c and n that stand for c exp(m) and n exp(m)."""
    ours, x = layer(cells.slstm, heads=heads), normal(B, T, D).requires_grad_()
    h, c, n, m = (normal(B, H, seed=seed) * state for seed in (2, 3, 4, 5))
    n = n.abs()
    y, _ = ours(x, [h, c, n, m])
    want = unstabilised(ours, x, h, c * m.exp(), n * m.exp())
    close(y, want)
    weight = normal(B, T, H, seed=8)
    close(torch.autograd.grad((y * weight).sum(), x), torch.autograd.grad((want * weight).sum(), x))


def test_the_first_step_is_found_in_each_unit_by_itself() -> None:
    """Units whose n is 0 begin, beside others that go on."""
    ours, x = layer(cells.slstm), normal(B, T, D)
    h, c, n, m = (normal(B, H, seed=seed) for seed in (2, 3, 4, 5))
    fresh = torch.arange(H) % 2 == 0
    n, c = n.abs() * ~fresh, c * ~fresh
    close(ours(x, [h, c, n, m])[0], unstabilised(ours, x, h, c * m.exp(), n * m.exp()))


def test_only_products_with_the_exponential_of_m_count() -> None:
    ours, x = layer(cells.slstm), normal(B, T, D)
    h, c, n, m = (normal(B, H, seed=seed) for seed in (2, 3, 4, 5))
    moved = [h, c * 2.0**0.5, n.abs() * 2.0**0.5, m - 0.5 * torch.tensor(2.0, dtype=m.dtype).log()]
    close(ours(x, moved)[0], ours(x, [h, c, n.abs(), m])[0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("gate", ["i", "f"])
@pytest.mark.parametrize("size", [-1e4, 1e4])
def test_extreme_gates_neither_overflow_nor_lose_the_gradient(dtype: torch.dtype, gate: str, size: float) -> None:
    ours, x = layer(cells.slstm, dtype=dtype), normal(B, T, D, dtype=dtype)
    ours.tensors["W"].requires_grad_()
    ours.block("b", gate).fill_(size)
    y, finals = ours(x)
    assert y.isfinite().all()
    assert all(state.isfinite().all() for state in finals)
    (gradient,) = torch.autograd.grad(y.sum(), ours.tensors["W"])
    assert gradient.isfinite().all()
    assert gradient.any()


@HEADS
def test_a_head_reads_itself_only(heads: int) -> None:
    ours, x, h = layer(cells.slstm, heads=heads), normal(B, T, D), normal(B, H)
    zero, units = torch.zeros_like(h), H // heads
    before, _ = ours(x, [h, zero, zero, zero])
    for head in range(heads):
        moved = h.clone()
        moved[:, head * units] += 1.0
        after, _ = ours(x, [moved, zero, zero, zero])
        heard = (after != before).any(0).any(0)
        assert heard.nonzero().flatten().tolist() == list(range(head * units, (head + 1) * units))
