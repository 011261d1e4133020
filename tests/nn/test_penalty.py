"""Penalties beside the loss, each against its formula written out."""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from ostinato import nn, scan
from ostinato.cells import cell

from .zoo import BATCH, STEPS, make, names, sequence

States = tuple[Tensor, ...]


def elman_step(module: Any, x: Tensor, states: States) -> States:
    """One step of torch's RNN in its own words."""
    (h,) = states
    a = x @ module.weight_ih_l0.T + module.bias_ih_l0 + h @ module.weight_hh_l0.T + module.bias_hh_l0
    return (a.tanh() if module.nonlinearity == "tanh" else a.relu(),)


def lstm_step(module: Any, x: Tensor, states: States) -> States:
    """One step of torch's LSTM in its own words."""
    h, c = states
    a = x @ module.weight_ih_l0.T + module.bias_ih_l0 + h @ module.weight_hh_l0.T + module.bias_hh_l0
    i, f, g, o = a.chunk(4, -1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def written_out(
    step: Callable[[States, int], States], states: States, steps: int, loss: Callable[[list[Tensor]], Tensor]
) -> Tensor:
    """Omega of one sequence, a batch of one row, step by step with plain automatic differentiation.

    The states of a step are cut apart from what the next one reads, so that the gradient of each is that by which the
    later steps depend on it.
    """
    reached, outputs = [], []
    for t in range(steps):
        states = tuple(one.clone() for one in step(states, t))
        reached.append(states)
        outputs.append(states[0])
    flat = [one for pair in reached for one in pair]
    found = torch.autograd.grad(loss(outputs), flat, retain_graph=True, materialize_grads=True)
    each = len(states)
    gradients = [torch.cat(found[t * each : (t + 1) * each], -1) for t in range(steps)]
    total = torch.zeros((), dtype=torch.float64)
    for t in range(1, steps):
        before = tuple(one.detach().requires_grad_() for one in reached[t - 1])
        after = step(before, t)
        pulls = [v.detach() for v in gradients[t].split([one.shape[-1] for one in after], -1)]
        handed = torch.autograd.grad(after, before, pulls, create_graph=True, materialize_grads=True)
        if gradients[t].norm() > 0:
            total = total + (torch.cat(handed, -1).norm() / gradients[t].norm() - 1) ** 2
    return total


MODULES = {
    "tanh": (lambda: nn.RNN(3, 4, dtype=torch.float64), elman_step, 1),
    "relu": (lambda: nn.RNN(3, 4, nonlinearity="relu", dtype=torch.float64), elman_step, 1),
    "lstm": (lambda: nn.LSTM(3, 4, dtype=torch.float64), lstm_step, 2),
}
LENGTHS = [7, 4, 1, 5]


@pytest.mark.parametrize("kind", MODULES)
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_the_penalty_is_that_of_plain_automatic_differentiation(kind: str, packed: bool, backend: str) -> None:
    build, step, count = MODULES[kind]
    module = build()
    module.backend = backend
    x = torch.randn(7, 4, 3, dtype=torch.float64)
    lengths = LENGTHS if packed else [7] * 4
    given = pack_padded_sequence(x, torch.tensor(lengths), enforce_sorted=False) if packed else x
    weights = list(module.parameters())

    def loss(outputs: Tensor) -> Tensor:
        return (outputs.sin() * outputs).sum()

    with nn.norm_preserving_penalty(module) as penalty:
        output, _ = module(given)
        loss(output.data if packed else output).backward()
    mine = penalty()
    found = torch.autograd.grad(mine, weights, materialize_grads=True)
    expected = torch.zeros((), dtype=torch.float64)
    for row, length in enumerate(lengths):
        zeros = tuple(torch.zeros(1, 4, dtype=torch.float64) for _ in range(count))
        expected = expected + written_out(
            lambda states, t, row=row: step(module, x[t, row : row + 1], states),  # type: ignore[misc]
            zeros, length, lambda outputs: loss(torch.cat(outputs)),
        )  # fmt: skip
    expected = expected / 4
    assert expected > 0.1
    torch.testing.assert_close(mine, expected, rtol=1e-10, atol=1e-12)
    for one, other in zip(found, torch.autograd.grad(expected, weights, materialize_grads=True), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)


def omega(module: Any, *given: Any, pull: Tensor | None = None, **options: Any) -> Tensor:
    """The penalty of a module whose loss is a fixed linear function of its outputs."""
    with nn.norm_preserving_penalty(module) as penalty:
        output, _ = module(*given, **options)
        data = output.data if isinstance(output, PackedSequence) else output
        ((data * pull).sum() if pull is not None else data.square().sum()).backward()
    return penalty()


@pytest.mark.parametrize("name", [name for name in names() if name != "echo_state"])
def test_the_penalty_of_every_cell_has_a_gradient(name: str) -> None:
    module = make(name, num_layers=1, bidirectional=True).eval()
    x = sequence(module)
    pull = torch.randn(*module(x)[0].shape, dtype=torch.float64)
    first = omega(module, x, pull=pull)
    assert torch.isfinite(first) and first > 0
    weights = [one for one in module.parameters() if one.requires_grad]
    gradients = torch.autograd.grad(first, weights, materialize_grads=True)
    assert all(torch.isfinite(g).all() for g in gradients) and any(g.any() for g in gradients)


@pytest.mark.parametrize("name", [name for name in names() if name != "echo_state"])
def test_a_layer_alone_is_one_step_of_its_cell_for_each_pair(name: str) -> None:
    """Against scans of one step, pair by pair, for stacked and bidirectional modules."""
    module = make(name, num_layers=2, bidirectional=name not in ("rg_lru", "identity_sru")).eval()
    module.dropout = 0.0
    x = sequence(module)
    with scan.record() as flows:
        output, _ = module(x)
    output.square().sum().backward()
    expected = torch.zeros((), dtype=torch.float64)
    for flow in flows:
        request = flow.request
        cell, sizes = request.cell, [request.state_size(k) for k in range(len(request.cell.states))]
        sequences, _ = scan.scan(
            cell, request.x, request.weights, layout="time", activations=request.activations,
            sequences=request.sequences, outputs=cell.states, backend="reference",
        )  # fmt: skip
        for k, weights in enumerate(request.weights):
            order = range(STEPS)[:: -1 if request.reverse[k] else 1]
            for before, now in pairwise(order):
                for row in range(BATCH):
                    start = [
                        y[before, row, k * s : (k + 1) * s].detach()[None, None].requires_grad_()
                        for y, s in zip(sequences, sizes, strict=True)
                    ]
                    v = [
                        flow.gradients[one][now, row, k * s : (k + 1) * s][None, None]
                        for one, s in zip(cell.states, sizes, strict=True)
                    ]
                    _, after = scan.scan(
                        cell, request.x[now, row][None, None], [weights], start, reverse=[False],
                        activations=request.activations, backend="reference",
                        sequences=[[one[now, row][None, None] for one in request.sequences[k]]],
                    )  # fmt: skip
                    live = [(one, pull) for one, pull in zip(after, v, strict=True) if one.requires_grad]
                    handed = torch.autograd.grad(
                        [one for one, _ in live], start, [pull for _, pull in live], materialize_grads=True
                    )
                    norms = torch.cat(handed, -1).norm(), torch.cat(v, -1).norm()
                    expected += (norms[0] / norms[1] - 1) ** 2 / BATCH
    torch.testing.assert_close(omega(module, x).detach(), expected, rtol=1e-9, atol=1e-11)


def test_an_orthogonal_linear_network_costs_nothing() -> None:
    module = nn.layer_of(linear)(2, 5, dtype=torch.float64)
    nn.initialise(module, recurrent="orthogonal")
    x = torch.randn(30, 3, 2, dtype=torch.float64)
    assert omega(module, x, pull=last(30, 3, 5)) < 1e-20
    nn.initialise(module, recurrent=("orthogonal", 0.9))
    torch.testing.assert_close(omega(module, x, pull=last(30, 3, 5)).item(), 29 * 0.1**2)


@cell(gates="n", states="h")
def linear(gate: Any) -> Any:
    """A network without nonlinearity."""
    return gate.n


def last(*shape: int) -> Tensor:
    """A loss that reads the last step alone."""
    pull = torch.zeros(shape, dtype=torch.float64)
    pull[-1] = torch.randn(shape[1:], dtype=torch.float64)
    return pull


@pytest.mark.parametrize("steps", [20, 400])
def test_gradients_that_have_vanished_still_count(steps: int) -> None:
    """In float32 the square of 1e-30 is 0; the ratio of two such norms is not."""
    module = nn.layer_of(linear)(2, 5)
    nn.initialise(module, recurrent=("orthogonal", 0.85))
    x = torch.randn(steps, 3, 2)
    found = omega(module, x, pull=last(steps, 3, 5).float()).item()
    assert found == pytest.approx((steps - 1) * 0.15**2, rel=1e-3)


@pytest.mark.parametrize("kind", ["LSTM", "GRUResetBefore"])
def test_layouts_agree(kind: str) -> None:
    module = getattr(nn, kind)(3, 4, 2, bidirectional=True, dtype=torch.float64)
    x = torch.randn(7, 4, 3, dtype=torch.float64)
    by_time = omega(module, x)
    module.batch_first = True
    torch.testing.assert_close(omega(module, x.transpose(0, 1)), by_time)
    packed = pack_padded_sequence(x, torch.tensor([7] * 4))
    torch.testing.assert_close(omega(module, packed), by_time)
    alone = [omega(module, x[:, row]) for row in range(4)]
    torch.testing.assert_close(sum(alone) / 4, by_time)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_masked_steps_are_as_if_they_were_not_there(bidirectional: bool) -> None:
    module = nn.PeepholeLSTM(3, 4, bidirectional=bidirectional, batch_first=True, dtype=torch.float64)
    x = torch.randn(3, 8, 3, dtype=torch.float64)
    shown = torch.tensor([[c == "x" for c in row] for row in ("x.xx..xx", "..xxx.x.", "xxxxxxxx")])
    rows = [x[row, shown[row]][None] for row in range(3)]
    expected = sum(omega(module, row) for row in rows) / 3
    torch.testing.assert_close(omega(module, x, mask=shown), expected)
    left = torch.arange(8) >= torch.tensor([[5], [0], [3]])
    rows = [x[row, left[row]][None] for row in range(3)]
    torch.testing.assert_close(omega(module, x, mask=left), sum(omega(module, row) for row in rows) / 3)


@pytest.mark.parametrize("direction", [False, True])
def test_pieces_that_no_gradient_leaves_are_sequences_of_their_own(direction: bool) -> None:
    """With the loss at every step, cutting after three steps leaves the pairs inside of the pieces."""
    module = nn.layer_of(linear)(2, 5, bidirectional=direction, dtype=torch.float64)
    nn.initialise(module, recurrent=("orthogonal", 0.9))
    module.truncate_gradient = 3
    x = torch.randn(8, 2, 2, dtype=torch.float64)
    found = omega(module, x, pull=torch.ones(8, 2, 10 if direction else 5, dtype=torch.float64))
    pairs = 2 + 2 + 1
    torch.testing.assert_close(found.item(), pairs * 0.1**2 * (2 if direction else 1))


def test_training_with_it_brings_the_gradients_to_one_norm() -> None:
    """In the loop that the documentation shows."""
    torch.manual_seed(1)
    rnn, head = nn.RNN(2, 16), torch.nn.Linear(16, 1)
    nn.initialise(rnn, recurrent=("spectral_radius", 0.3))
    optimizer = torch.optim.Adam([*rnn.parameters(), *head.parameters()], 0.01)
    x = torch.randn(40, 8, 2)
    found = []
    for _ in range(60):
        optimizer.zero_grad()
        with nn.norm_preserving_penalty(rnn) as penalty:
            output, _ = rnn(x)
            (head(output[-1]) - x[0].sum(-1, keepdim=True)).square().mean().backward()
        (omega := penalty()).backward()
        optimizer.step()
        found.append(omega.item())
    assert found[-1] < found[0] / 5


def test_the_gradients_of_the_loss_and_of_the_penalty_add_up() -> None:
    rnn = nn.GRU(2, 5, dtype=torch.float64)
    x = torch.randn(6, 3, 2, dtype=torch.float64)
    with nn.norm_preserving_penalty(rnn) as penalty:
        rnn(x)[0].sum().backward()
    of_loss = [p.grad.clone() for p in rnn.parameters() if p.grad is not None]
    (0.5 * penalty()).backward()
    of_penalty = torch.autograd.grad(penalty(), list(rnn.parameters()), materialize_grads=True)
    for parameter, first, second in zip(rnn.parameters(), of_loss, of_penalty, strict=True):
        torch.testing.assert_close(parameter.grad, first + 0.5 * second)


@pytest.mark.parametrize("name", ["clockwork", "slstm", "lstm"])
def test_backends_agree(name: str) -> None:
    module = make(name, num_layers=1)
    x = sequence(module)
    found = omega(module, x)
    module.backend = "reference"
    torch.testing.assert_close(omega(module, x), found)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_a_single_step_costs_nothing_and_can_be_differentiated(backend: Any) -> None:
    rnn = nn.LSTM(2, 3, backend=backend)
    found = omega(rnn, torch.randn(1, 2, 2))
    found.backward()
    assert found.item() == 0


def test_the_module_is_left_as_it_was() -> None:
    model = torch.nn.Sequential(nn.LSTM(2, 3))
    before = {name: copy.copy(value) for name, value in vars(model[0]).items()}
    with pytest.raises(KeyError), nn.norm_preserving_penalty(model), nn.norm_preserving_penalty(model):
        raise KeyError
    assert vars(model[0]) == before


class Doubled(nn.GRU):
    """A module with another one inside of it."""

    def __init__(self) -> None:
        super().__init__(2, 2, dtype=torch.float64)
        self.inner = nn.GRU(2, 2, dtype=torch.float64)

    def forward(self, input: Tensor, hx: Any = None) -> Any:
        return super().forward(self.inner(input)[0], hx)


def test_every_scan_of_the_model_counts_once_and_no_other() -> None:
    model, other = Doubled(), nn.GRU(2, 2, dtype=torch.float64)
    x = torch.randn(5, 3, 2, dtype=torch.float64)
    with nn.norm_preserving_penalty(model) as penalty, nn.norm_preserving_penalty(model.inner) as of_inner:
        with pytest.raises(RuntimeError, match="must be equal to input_size"):
            model(x[..., :1])
        (model(x)[0].sum() + other(x)[0].sum()).backward()
    with nn.norm_preserving_penalty(other) as of_outer:
        other.load_state_dict({name: value for name, value in model.state_dict().items() if "inner" not in name})
        other(model.inner(x)[0])[0].sum().backward()
    assert of_inner() > 0 and of_outer() > 0
    torch.testing.assert_close(penalty(), of_inner() + of_outer())


def test_masks_drawn_in_training_are_those_of_the_forward_pass() -> None:
    """Where units are never updated, their gradient passes unchanged, so that what counts is what was drawn."""
    module = nn.ZoneoutLSTM(2, 4, zoneout_h=0.999, zoneout_c=0.999, dtype=torch.float64)
    x = torch.randn(10, 2, 2, dtype=torch.float64)
    assert omega(module, x, pull=torch.ones(10, 2, 4, dtype=torch.float64)) < 1e-20


def test_what_is_missing_is_named() -> None:
    with (
        pytest.raises(ValueError, match="Linear holds no module of ostinato"),
        nn.norm_preserving_penalty(torch.nn.Linear(2, 3)),
    ):
        pass
    with (
        pytest.raises(ValueError, match=r"LSTM holds no module .* `convert`"),
        nn.norm_preserving_penalty(torch.nn.LSTM(2, 3)),
    ):
        pass
    rnn = nn.RNN(2, 3)
    with nn.norm_preserving_penalty(rnn) as penalty:
        with pytest.raises(RuntimeError, match="no recurrent module ran on a scan"):
            penalty()
        loss = rnn(torch.randn(4, 1, 2))[0].sum()
        with pytest.raises(RuntimeError, match=r"call loss.backward\(\) before it"):
            penalty()
        loss.backward()
    assert penalty() > 0


@cell(gates="n", states="h", phi="tanh")
def numbered(gate: Any, phi: Any, t: Any) -> Any:
    """A cell that reads the number of the step."""
    return phi(gate.n) / (t + 1.0)


def test_a_cell_that_counts_steps_is_refused() -> None:
    module = nn.layer_of(numbered)(2, 3)
    with (
        pytest.raises(ValueError, match="cell numbered asks for the number of the step"),
        nn.norm_preserving_penalty(module),
    ):
        pass


@given(T=st.integers(1, 6), B=st.integers(1, 4), data=st.data())
def test_activation_penalties_are_their_sums_written_out(T: int, B: int, data: Any) -> None:
    y = torch.randn(T, B, 3, dtype=torch.float64)
    shown = torch.tensor(data.draw(st.lists(st.lists(st.booleans(), min_size=T, max_size=T), min_size=B, max_size=B)))
    squares, changes = [], []
    for b in range(B):
        for t in range(T):
            if shown[b, t]:
                squares += (y[t, b] ** 2).tolist()
                if t and shown[b, t - 1]:
                    changes += ((y[t, b] - y[t - 1, b]) ** 2).tolist()
    for values, penalty in ((squares, nn.activation_penalty), (changes, nn.temporal_activation_penalty)):
        expected = sum(values) / len(values) if values else 0.0
        assert penalty(y, shown).item() == pytest.approx(expected)
        assert penalty(y.transpose(0, 1), shown, batch_first=True).item() == pytest.approx(expected)
        if B == 1:
            assert penalty(y[:, 0], shown[0]).item() == pytest.approx(expected)


@given(lengths=st.lists(st.integers(1, 6), min_size=1, max_size=4))
def test_packed_outputs_count_as_masked_ones(lengths: list[int]) -> None:
    y = torch.randn(max(lengths), len(lengths), 3, dtype=torch.float64)
    packed = pack_padded_sequence(y, torch.tensor(lengths), enforce_sorted=False)
    shown = torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)
    for penalty in (nn.activation_penalty, nn.temporal_activation_penalty):
        torch.testing.assert_close(penalty(packed), penalty(y, shown))


def test_activation_penalties_train() -> None:
    rnn, x = nn.GRU(2, 6), torch.randn(10, 4, 2)
    optimizer = torch.optim.Adam(rnn.parameters(), 0.02)
    found = []
    for _ in range(30):
        optimizer.zero_grad()
        output, _ = rnn(x)
        loss = 2.0 * nn.activation_penalty(output) + nn.temporal_activation_penalty(output)
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    assert found[-1] < found[0] / 3


def test_shapes_of_activation_penalties_are_checked() -> None:
    y = torch.zeros(5, 2, 3)
    with pytest.raises(ValueError, match=r"mask has the shape \(5, 2\); expected \(batch, steps\) = \(2, 5\)"):
        nn.activation_penalty(y, torch.ones(5, 2, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"output has the shape \(3,\)"):
        nn.temporal_activation_penalty(y[0, 0])
    with pytest.raises(ValueError, match="a mask was given with a packed output"):
        nn.activation_penalty(pack_padded_sequence(y, torch.tensor([5, 2])), torch.ones(2, 5, dtype=torch.bool))


def test_unused_modules_cost_nothing() -> None:
    used, unused = nn.RNN(2, 3), nn.RNN(2, 3)
    model = torch.nn.ModuleList([used, unused])
    x = torch.randn(4, 1, 2)
    with nn.norm_preserving_penalty(model) as penalty:
        unused(x)
        output = used(x)[0]
        output.sum().backward()
    gradients = torch.autograd.grad(penalty(), list(unused.parameters()), allow_unused=True)
    assert all(one is None for one in gradients)
