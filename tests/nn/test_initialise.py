"""Recurrent matrices and forget biases for a whole model in one call."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ostinato import nn, scan
from ostinato.cells import CELLS

from .zoo import BATCH, HIDDEN, INPUT, input_size, listed, make, names, sequence

FORGETTING = [name for name, one in CELLS.items() if one.forget]


def has_recurrent_matrix(name: str) -> bool:
    return any(p.name == "U" for p in make(name).structures[0].parameters())


WITH_U = [name for name in names() if name != "echo_state" and has_recurrent_matrix(name)]
SQUARE = [name for name in WITH_U if not CELLS[name].projected]


def gates(module: Any, name: str = "weight_hh_l0") -> list[Tensor]:
    """The recurrent matrix of each gate, dense (H, O)."""
    number, direction = int(name.split("_l")[1][0]), int(name.endswith("_reverse"))
    weights = module.structures[number].weights(module._tensors(number, direction))
    assert weights.U is not None
    return list(weights.U.detach().split(HIDDEN))


@pytest.mark.parametrize("name", WITH_U)
def test_blocks_are_orthogonal(name: str) -> None:
    module = nn.initialise(make(name, bidirectional=True), recurrent=("orthogonal", 2.0))
    for block in stored_blocks(module):
        gram = block @ block.T if block.shape[0] <= block.shape[1] else block.T @ block
        torch.testing.assert_close(gram, 4 * torch.eye(len(gram), dtype=gram.dtype))


def stored_blocks(module: Any) -> list[Tensor]:
    """The parts of both directions' U as stored."""
    tensors = [module._tensors(0, direction) for direction in (0, 1)]
    return [block for one in tensors for block in module.structures[0].recurrent_blocks(one["U"].detach())]


@pytest.mark.parametrize("name", SQUARE)
def test_identity_is_a_scaled_identity_of_every_gate(name: str) -> None:
    module = nn.initialise(make(name, bidirectional=True), recurrent=("identity", 0.5))
    for side in ("", "_reverse"):
        for gate in gates(module, f"weight_hh_l0{side}"):
            torch.testing.assert_close(gate, 0.5 * torch.eye(HIDDEN, dtype=gate.dtype))


@pytest.mark.parametrize("name", SQUARE)
@pytest.mark.parametrize("radius", [0.3, 1.2])
def test_every_gate_has_the_spectral_radius(name: str, radius: float) -> None:
    module = nn.initialise(make(name), recurrent=("spectral_radius", radius))
    for gate in gates(module):
        found = torch.linalg.eigvals(gate).abs().max().item()
        assert found == pytest.approx(radius, rel=1e-6)
        assert (gate != 0).sum() > HIDDEN  # drawn, and not a multiple of the identity


@settings(max_examples=20)
@given(radius=st.floats(1e-3, 50), units=st.integers(1, 12), seed=st.integers(0, 2**31))
def test_a_linear_network_grows_by_its_spectral_radius(radius: float, units: int, seed: int) -> None:
    """The law that the radius stands for: |U^k|^(1/k) tends to it."""
    rnn = nn.RNN(2, units, dtype=torch.float64)
    nn.initialise(rnn, recurrent=("spectral_radius", radius), generator=torch.Generator().manual_seed(seed))
    U = rnn.weight_hh_l0.detach() / radius
    power, scale = U, 0.0
    for _ in range(14):  # 2^14 steps
        power = power @ power
        norm = power.norm().item()
        scale, power = 2 * scale + math.log(norm), power / norm
    assert math.exp(scale / 2**14) == pytest.approx(1.0, rel=2e-2)


@pytest.mark.parametrize("name", FORGETTING)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_forget_bias_is_set_and_nothing_else(name: str, bidirectional: bool) -> None:
    module = make(name, bidirectional=bidirectional)
    state = {n: t.clone() for n, t in module.state_dict().items()}
    nn.initialise(module, forget_bias=1.5)
    for number, structure in enumerate(module.structures):
        for direction in range(2 if bidirectional else 1):
            tensors = module._tensors(number, direction)
            biases = structure.forget_biases(tensors)
            sign = -1 if CELLS[name].forget.startswith("-") else 1  # type: ignore[union-attr]
            torch.testing.assert_close(sum(biases), torch.full((HIDDEN,), sign * 1.5, dtype=torch.float64))
    changed = [n for n, t in module.state_dict().items() if not torch.equal(t, state[n])]
    assert changed and all("bias" in n or n.startswith("b_") for n in changed)
    assert len(changed) <= 2 * len(module.structures) * (2 if bidirectional else 1)


@pytest.mark.parametrize("name", FORGETTING)
def test_chrono_draws_memories_of_up_to_so_many_steps(name: str) -> None:
    """|b_f| = log(u), u in 1..T - 1 over the whole range, and the input gate's is the opposite."""
    cell, T, units = CELLS[name], 400, 300
    sizes = {"proj_size": 4} if scan.projects(cell) else {}
    width = units if input_size(cell) == HIDDEN else INPUT
    module = nn.initialise(nn.layer_of(cell)(width, units, dtype=torch.float64, **sizes), forget_bias=("chrono", T))
    structure, tensors = module.structures[0], module._tensors(0, 0)
    forget = sum(structure.forget_biases(tensors)).detach()
    sign = -1 if cell.forget.startswith("-") else 1  # type: ignore[union-attr]
    steps = torch.exp(sign * forget)
    assert steps.min() >= 1 and steps.max() <= T - 1
    assert steps.max() > 0.95 * T and steps.min() < 0.05 * T
    assert abs(steps.mean().item() - T / 2) < 0.1 * T  # uniform: 6 standard errors
    if cell.forget == "f" and "i" in cell.gates:
        bias = next((p for p in structure.parameters() if "i" in p.gates and p.name == "b"), None)
        of_input = tensors["b_i"] if bias is None else tensors["b"].split(units)[bias.gates.index("i")]
        torch.testing.assert_close(of_input.detach(), -forget)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
@pytest.mark.parametrize("ours", [False, True])
def test_torchs_modules_have_both_biases_set(kind: str, ours: bool) -> None:
    made = getattr(nn if ours else torch.nn, kind)(3, 5, 2, bidirectional=True)
    before = {n: t.clone() for n, t in made.state_dict().items()}
    nn.initialise(made, forget_bias=("chrono", 30))
    for side in ("l0", "l0_reverse", "l1", "l1_reverse"):
        first, second = (getattr(made, f"bias_{m}_{side}").detach().split(5) for m in ("ih", "hh"))
        kept = 1  # f of i f g o, z of r z n
        assert first[kept].min() >= 0 and first[kept].max() <= math.log(29) and first[kept].unique().numel() == 5
        assert not second[kept].any()
        if kind == "LSTM":
            torch.testing.assert_close(first[0], -first[1])
            assert not second[0].any()
        last = f"bias_ih_{side}"
        assert torch.equal(getattr(made, last).split(5)[-1], before[last].split(5)[-1])
    assert all(torch.equal(t, before[n]) for n, t in made.state_dict().items() if "weight" in n)


def test_one_call_reaches_a_whole_model() -> None:
    model = torch.nn.ModuleDict(
        {
            "ours": nn.PeepholeLSTM(3, 6, 2, bidirectional=True),
            "torchs": torch.nn.Sequential(torch.nn.LSTM(3, 6, proj_size=2), torch.nn.GRU(3, 6)),
            "cell": torch.nn.LSTMCell(3, 6),
            "reservoir": nn.EchoState(3, 6),
            "head": torch.nn.Linear(6, 1),
        }
    )
    before = {n: t.clone() for n, t in model.state_dict().items()}
    assert nn.initialise(model, recurrent="orthogonal", forget_bias=1.0) is model
    changed = {n for n, t in model.state_dict().items() if not torch.equal(t, before[n])}
    assert {n for n in changed if n.startswith(("reservoir", "head"))} == set()
    recurrent = {n for n in before if "weight_hh" in n and not n.startswith("reservoir")}
    biases = {n for n in before if "bias" in n and not n.startswith(("reservoir", "head"))}
    assert changed == recurrent | biases
    assert all(parameter.requires_grad and parameter.is_leaf for parameter in model.parameters())
    cell = model["cell"]
    for block in cell.weight_hh.detach().split(6):
        torch.testing.assert_close(block @ block.T, torch.eye(6))
    assert cell.bias_ih.detach()[6:12].tolist() == [1.0] * 6 and not cell.bias_hh.detach()[6:12].any()


def test_equal_seeds_draw_equal_weights() -> None:
    def drawn(seed: int | None, generator: torch.Generator | None = None) -> Tensor:
        if seed is not None:
            torch.manual_seed(seed)
        lstm = nn.LSTM(3, 5)
        nn.initialise(lstm, recurrent=("spectral_radius", 0.9), forget_bias=("chrono", 9), generator=generator)
        return torch.cat([lstm.weight_hh_l0.detach().flatten(), lstm.bias_ih_l0.detach()[5:10]])

    assert torch.equal(drawn(3), drawn(3)) and not torch.equal(drawn(3), drawn(4))
    one, other = (drawn(None, torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(one, other)
    state = torch.get_rng_state()
    lstm = nn.LSTM(3, 5)
    torch.set_rng_state(state)
    nn.initialise(lstm, recurrent="orthogonal", generator=torch.Generator().manual_seed(7))
    assert torch.equal(torch.get_rng_state(), state)


def test_half_precision_is_drawn_too() -> None:
    lstm = nn.initialise(torch.nn.LSTM(3, 5, dtype=torch.bfloat16), recurrent="orthogonal", forget_bias=("chrono", 9))
    block = lstm.weight_hh_l0.detach()[:5].float()
    torch.testing.assert_close(block @ block.T, torch.eye(5), atol=0.02, rtol=0)


def test_the_constructor_takes_chrono_as_well() -> None:
    lstm = nn.PeepholeLSTM(3, 50, forget_bias=("chrono", 100))  # type: ignore[arg-type]
    i, f, *_ = lstm.bias_ih_l0.detach().split(50)
    torch.testing.assert_close(i, -f)
    assert f.min() >= 0 and f.max() <= math.log(99) and f.std() > 0.3


def test_an_irnn_remembers_its_input() -> None:
    """Le, Jaitly & Hinton: rectified units with U = I and b = 0 carry a positive state through any number of steps."""
    rnn = nn.initialise(nn.RNN(1, 4, nonlinearity="relu", bias=False), recurrent="identity")
    x = torch.zeros(200, 1, 1)
    x[0] = 1.0
    output, _ = rnn(x)
    torch.testing.assert_close(output[-1], output[0])


WRONG = {
    "no module": (lambda: nn.initialise(torch.nn.Linear(2, 3), forget_bias=1.0), "Linear holds no recurrent module"),
    "a reservoir alone": (lambda: nn.initialise(nn.EchoState(2, 3), recurrent="identity"), "holds no recurrent module"),
    "kind": (lambda: nn.initialise(nn.GRU(2, 3), recurrent="unitary"), "recurrent is 'unitary'; expected 'orthogonal'"),
    "factor": (lambda: nn.initialise(nn.GRU(2, 3), recurrent=("identity", "x")), r"recurrent is \('identity', 'x'\)"),  # type: ignore[arg-type]
    "no radius": (lambda: nn.initialise(nn.GRU(2, 3), recurrent="spectral_radius"), "with a number r above 0"),
    "radius": (lambda: nn.initialise(nn.GRU(2, 3), recurrent=("spectral_radius", -1.0)), "with a number r above 0"),
    "no matrix": (
        lambda: nn.initialise(nn.MinGRU(2, 3), recurrent="identity"),
        "recurrent is 'identity', but cell min_gru has no recurrent matrix",
    ),
    "not square": (
        lambda: nn.initialise(nn.ProjectedLSTM(2, 3, proj_size=2), recurrent=("spectral_radius", 0.9)),
        "the recurrent matrix of cell projected_lstm is 3 x 2 for each gate, and only a square one has eigenvalues",
    ),
    "no gate": (lambda: nn.initialise(nn.RNN(2, 3), forget_bias=1.0), "cell elman has no gate whose bias"),
    "no gate of ours": (lambda: nn.initialise(nn.LEM(2, 3), forget_bias=1.0), "cell lem has no gate whose bias"),
    "no bias": (
        lambda: nn.initialise(torch.nn.LSTM(2, 3, bias=False), forget_bias=1.0),
        "gate f of cell lstm, which makes it remember, has no bias here",
    ),
    "bias": (lambda: nn.initialise(nn.LSTM(2, 3), forget_bias="one"), "forget_bias is 'one'; expected a number"),  # type: ignore[arg-type]
    "nan": (lambda: nn.initialise(nn.LSTM(2, 3), forget_bias=float("nan")), "forget_bias is nan"),
    "steps": (
        lambda: nn.initialise(nn.LSTM(2, 3), forget_bias=("chrono", 2)),
        r"forget_bias is \('chrono', 2\); expected .* T_max above 2",
    ),
    "constructor": (lambda: nn.PeepholeLSTM(2, 3, forget_bias=("chrono", "x")), "forget_bias is"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit_is_named(case: str) -> None:
    call, sentence = WRONG[case]
    with pytest.raises(ValueError, match=sentence):
        call()


def test_where_something_does_not_fit_nothing_is_changed() -> None:
    model = torch.nn.ModuleList([nn.LSTM(2, 3), nn.RNN(2, 3)])
    before = {n: t.clone() for n, t in model.state_dict().items()}
    with pytest.raises(ValueError, match="cell elman"):
        nn.initialise(model, recurrent="orthogonal", forget_bias=1.0)
    assert all(torch.equal(t, before[n]) for n, t in model.state_dict().items())


@pytest.mark.parametrize("made", [torch.nn.LSTM, nn.PeepholeLSTM])
def test_a_parametrized_module_is_refused(made: Any) -> None:
    module = torch.nn.utils.parametrizations.weight_norm(made(2, 3), "weight_hh_l0")
    with pytest.raises(ValueError, match=r"a tensor of Parametrized\w+ is computed from others"):
        nn.initialise(module, recurrent="identity")


@pytest.mark.parametrize("name", names())
def test_weights_of_a_trained_module(name: str) -> None:
    trained, fresh = make(name), make(name)
    x = sequence(trained)
    trained.eval(), fresh.eval()
    if name != "echo_state":
        assert not torch.equal(trained(x)[0], fresh(x)[0])
    assert nn.load_weights_from(fresh, trained) is fresh
    assert torch.equal(trained(x)[0], fresh(x)[0])
    assert all(a is not b for a, b in zip(trained.parameters(), fresh.parameters(), strict=True))


def test_weights_of_torchs_module_and_of_a_state_dict() -> None:
    theirs = torch.nn.LSTM(3, 4, 2, dtype=torch.float64)
    ours = nn.load_weights_from(nn.LSTM(3, 4, 2), theirs)
    assert ours.weight_hh_l1.dtype == torch.float32
    torch.testing.assert_close(ours.weight_hh_l1.detach(), theirs.weight_hh_l1.detach().float())
    again = nn.load_weights_from(torch.nn.LSTM(3, 4, 2), ours.state_dict())
    torch.testing.assert_close(again(torch.ones(2, 1, 3))[0], ours(torch.ones(2, 1, 3))[0])


@pytest.mark.parametrize(
    "source, sentence",
    [
        (lambda: nn.LSTM(3, 5), r"weight_ih_l0 has the shape \(20, 3\) in the source; expected \(16, 3\)"),
        (lambda: nn.LSTM(3, 4, bias=False), r"the source has no bias_ih_l0; expected one of the shape \(16,\)"),
        (lambda: nn.LSTM(3, 4, 2), "the source has weight_ih_l1, which LSTM has not"),
    ],
)
def test_weights_that_do_not_fit_are_named(source: Any, sentence: str) -> None:
    lstm = nn.LSTM(3, 4)
    before = lstm.weight_ih_l0.detach().clone()
    with pytest.raises(ValueError, match=sentence):
        nn.load_weights_from(lstm, source())
    assert torch.equal(lstm.weight_ih_l0, before)


@pytest.mark.parametrize("name", names())
def test_a_frozen_layer_keeps_its_weights_and_hands_gradients_on(name: str) -> None:
    frozen = make(name).requires_grad_(False)
    before = torch.nn.Linear(2, frozen.input_size, dtype=torch.float64)
    optimizer = torch.optim.SGD([*before.parameters(), *frozen.parameters()], 0.1)
    kept = {n: t.clone() for n, t in frozen.state_dict().items()}
    first = before.weight.detach().clone()
    output, _ = frozen(before(torch.randn(5, BATCH, 2, dtype=torch.float64)))
    listed(output)[0].square().sum().backward()
    optimizer.step()
    assert all(torch.equal(t, kept[n]) for n, t in frozen.state_dict().items())
    assert not torch.equal(before.weight, first)
