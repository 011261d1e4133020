"""`truncate_gradient` and `clip_recurrent_gradient` of the modules: which gradients come back, and what is refused."""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from ostinato import nn, scan

from .pairs import KINDS
from .zoo import BATCH, HIDDEN, INPUT, STEPS, listed, make, names, sequence, states

BOUNDS = pytest.mark.parametrize(
    "bounds",
    [
        {"truncate_gradient": 3},
        {"clip_recurrent_gradient": 0.02},
        {"truncate_gradient": 2, "clip_recurrent_gradient": 0.05},
    ],
    ids=["cut", "clipped", "both"],
)
SEVERAL = ("peephole_lstm", "gru_reset_before", "slstm", "layer_norm_lstm", "clockwork", "min_gru")


def assert_same(found: Any, expected: Any) -> None:
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-10)


def _direction(x: Tensor, weights: list[Tensor], h: Tensor, c: Tensor, every: int, reverse: bool) -> Any:
    """One direction of an LSTM over x (steps, features) in plain torch, its states detached every few steps."""
    W, U, b, b_u = weights
    outputs, order = {}, range(len(x))
    for number, t in enumerate(reversed(order) if reverse else order):
        if number and (t + reverse) % every == 0:
            h, c = h.detach(), c.detach()
        i, f, g, o = (W @ x[t] + b + U @ h + b_u).chunk(4)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        outputs[t] = h
    return torch.stack([outputs[t] for t in order]), h, c


def _row(module: Any, x: Tensor, h: Tensor, c: Tensor, every: int) -> tuple[Tensor, Tensor, Tensor]:
    """A bidirectional stack over one row, x (steps, features), h and c (layers * 2, units)."""
    finals = []
    for layer in range(module.num_layers):
        both = [
            _direction(x, module.all_weights[2 * layer + k], h[2 * layer + k], c[2 * layer + k], every, k == 1)
            for k in range(2)
        ]
        x = torch.cat([y for y, _, _ in both], -1)
        finals += [final for _, *final in both]
    return x, torch.stack([h for h, _ in finals]), torch.stack([c for _, c in finals])


def _gradients(results: list[Tensor], given: list[Tensor]) -> tuple[Tensor, ...]:
    """The gradients of a seeded sum of the results."""
    generator = torch.Generator().manual_seed(5)
    pull = [torch.randn(one.shape, generator=generator, dtype=one.dtype) for one in results]
    pairs = [(one, weight) for one, weight in zip(results, pull, strict=True) if one.requires_grad]
    return torch.autograd.grad(
        [one for one, _ in pairs], given, [weight for _, weight in pairs], materialize_grads=True
    )


@pytest.mark.parametrize("lengths", [None, [7, 5, 5, 1], [2, 7, 1, 6]], ids=["full", "sorted", "unsorted"])
@pytest.mark.parametrize("every", [1, 2, 3, 6, 7])
def test_a_stacked_bidirectional_lstm_is_torch_code_that_detaches(every: int, lengths: list[int] | None) -> None:
    module = nn.LSTM(
        INPUT, HIDDEN, 2, bidirectional=True, batch_first=True, dtype=torch.float64, truncate_gradient=every
    )
    x = torch.randn(BATCH, STEPS, INPUT, dtype=torch.float64, requires_grad=True)
    h, c = (torch.randn(4, BATCH, HIDDEN, dtype=torch.float64, requires_grad=True) for _ in range(2))
    given = [x, h, c, *module.parameters()]
    rows = [
        _row(module, x[row, :length], h[:, row], c[:, row], every)
        for row, length in enumerate(lengths or [STEPS] * BATCH)
    ]
    wanted = [
        torch.nn.utils.rnn.pad_sequence([y for y, _, _ in rows], batch_first=True),
        *(torch.stack([row[k] for row in rows], 1) for k in (1, 2)),
    ]
    with scan.watch() as taken:
        if lengths is None:
            y, (last_h, last_c) = module(x, (h, c))
        else:
            packed, (last_h, last_c) = module(pack_padded_sequence(x, lengths, True, enforce_sorted=False), (h, c))
            y, _ = torch.nn.utils.rnn.pad_packed_sequence(packed, batch_first=True)
    assert [choice.backend for choice in taken] == ["cpu", "cpu"]
    found = [y, last_h, last_c]
    for one, other in zip(found, wanted, strict=True):
        assert_same(one, other)
    gradients = _gradients(found, given)
    for one, other in zip(gradients, _gradients(wanted, given), strict=True):
        assert_same(one, other)
    module.truncate_gradient = None
    free, (h_free, c_free) = module(x, (h, c))
    whole = _gradients([free, h_free, c_free], given)
    if lengths is None:
        assert all(torch.allclose(*pair, rtol=1e-9) == (every >= STEPS) for pair in zip(gradients, whole, strict=True))


def by_scan(module: Any, x: Tensor, hx: Any, **bounds: Any) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Output and final states of a module outside training, x (steps, batch, features): scans on the reference."""
    K, finals = 2 if module.bidirectional else 1, []
    outputs: tuple[Tensor, ...] = ()
    for number, structure in enumerate(module.structures):
        cell = structure.cell
        halves = [one.chunk(K, -1) for one in outputs[1 : 1 + len(cell.sequences)]]
        masks = [
            x.new_full((*x.shape[:2], HIDDEN), mask.default if mask.kind == "zoneout" else 1.0)
            for mask in cell.masks.values()
        ]
        outputs, final = scan.scan(
            cell, x, [structure.weights(module._tensors(number, k)) for k in range(K)],
            [one[number * K : (number + 1) * K] for one in listed(hx)], layout="time", outputs=cell.states,
            sequences=[[*(half[k] for half in halves), *masks] for k in range(K)], backend="reference", **bounds,
        )  # fmt: skip
        x = outputs[0]
        finals.append(final)
    return x, tuple(torch.cat(one) for one in zip(*finals, strict=True))


@BOUNDS
@pytest.mark.parametrize("name", names())
def test_every_cell_is_the_scans_of_its_layers(name: str, bounds: dict[str, Any]) -> None:
    module = make(name, num_layers=2, bidirectional=True, **bounds).eval()
    x = sequence(module).requires_grad_()
    hx = states(module)
    initial = [one.requires_grad_() for one in listed(hx)]
    given = [x, *initial, *module.parameters()]
    with scan.watch() as taken:
        y, hidden = module(x, hx)
    assert {choice.backend for choice in taken} == {"cpu"}
    found = _gradients([y, *listed(hidden)], given)
    y, hidden = by_scan(
        module, x, hx, truncate=bounds.get("truncate_gradient"), clip=bounds.get("clip_recurrent_gradient")
    )
    wanted = _gradients([y, *hidden], given)
    free, hidden = by_scan(module, x, hx)
    whole = _gradients([free, *hidden], given)
    assert any((one - other).abs().max() > 1e-6 for one, other in zip(wanted, whole, strict=True))
    for one, other in zip(found, wanted, strict=True):
        assert_same(one, other)


@BOUNDS
@pytest.mark.parametrize("form", ["packed", "masked"])
@pytest.mark.parametrize("name", SEVERAL)
def test_ragged_rows_are_rows_alone(name: str, form: str, bounds: dict[str, Any]) -> None:
    module = make(name, num_layers=2, bidirectional=True, batch_first=True, **bounds).eval()
    x, lengths = sequence(module), [7, 5, 5, 1]
    pull = torch.randn_like(module(x)[0])
    parameters = list(module.parameters())
    if form == "packed":
        packed: PackedSequence = module(pack_padded_sequence(x, lengths, batch_first=True))[0]
        y, _ = torch.nn.utils.rnn.pad_packed_sequence(packed, batch_first=True)
    else:
        y, _ = module(x, mask=torch.arange(STEPS) < torch.tensor(lengths).unsqueeze(1))
    found = torch.autograd.grad(y, parameters, pull, materialize_grads=True)
    total = [torch.zeros_like(one) for one in parameters]
    for row, length in enumerate(lengths):
        alone = module(x[row : row + 1, :length])[0]
        gradients = torch.autograd.grad(alone, parameters, pull[row : row + 1, :length], materialize_grads=True)
        total = [one + other for one, other in zip(total, gradients, strict=True)]
    for one, other in zip(found, total, strict=True):
        assert_same(one, other)


def test_a_clip_holds_an_exploding_gradient_and_a_cut_ends_it() -> None:
    steps = 60
    found: dict[str, Tensor] = {}
    x = torch.randn(steps, 2, INPUT, dtype=torch.float64)
    module: Any = nn.RNN(INPUT, HIDDEN, nonlinearity="relu", dtype=torch.float64)
    with torch.no_grad():
        module.weight_hh_l0.copy_(1.5 * torch.eye(HIDDEN))
        module.bias_hh_l0.fill_(10.0)  # every unit runs
    for name, value in (("none", None), ("clip_recurrent_gradient", 0.5), ("truncate_gradient", 20)):
        one = copy.deepcopy(module)
        setattr(one, name, value)
        with scan.record() as flows:
            y, _ = one(x)
        y[-1].sum().backward()
        found[name] = flows[0].gradients["h"][:, 0, 0]
    torch.testing.assert_close(found["none"], 1.5 ** torch.arange(steps - 1, -1, -1, dtype=torch.float64))
    assert found["clip_recurrent_gradient"].tolist() == [0.5] * (steps - 1) + [1.0]
    assert not found["truncate_gradient"][:40].any()
    torch.testing.assert_close(found["truncate_gradient"][40:], found["none"][40:])


def _made(kind: str, **given: Any) -> Any:
    ours: Any = KINDS[kind][0]
    return ours(INPUT, HIDDEN, **KINDS[kind][2], **given)


ALL: dict[str, Callable[..., Any]] = {
    **{kind: lambda kind=kind, **given: _made(kind, **given) for kind in KINDS},
    "projected LSTM": lambda **given: nn.LSTM(INPUT, HIDDEN, proj_size=2, **given),
    "PeepholeLSTM": lambda **given: nn.PeepholeLSTM(INPUT, HIDDEN, **given),
    "DepthGatedLSTM": lambda **given: nn.DepthGatedLSTM(INPUT, HIDDEN, num_layers=3, **given),
    "MinGRU": lambda **given: nn.MinGRU(INPUT, HIDDEN, **given),
}  # fmt: skip
EACH = pytest.mark.parametrize("make_one", ALL.values(), ids=ALL)
GIVEN: dict[str, Any] = {"truncate_gradient": 2, "clip_recurrent_gradient": 0.1}


@EACH
def test_the_forward_pass_is_untouched_bit_for_bit(make_one: Any) -> None:
    free = make_one()
    bounded = make_one(**GIVEN)
    bounded.load_state_dict(free.state_dict())
    x = torch.randn(STEPS, BATCH, INPUT, requires_grad=True)
    for one, other in zip((free(x)[0], *listed(free(x)[1])), (bounded(x)[0], *listed(bounded(x)[1])), strict=True):
        assert torch.equal(one, other)
    assert bounded.explain(x) == free.explain(x)
    assert "cpu: compiled kernel" in free.explain(x)


@EACH
@pytest.mark.parametrize("copied", [lambda m: pickle.loads(pickle.dumps(m)), copy.deepcopy], ids=["pickle", "deepcopy"])
def test_copies_keep_both(make_one: Any, copied: Callable[[Any], Any]) -> None:
    made = copied(make_one(**GIVEN))
    assert {name: getattr(made, name) for name in GIVEN} == GIVEN
    assert "truncate_gradient=2, clip_recurrent_gradient=0.1" in repr(made)
    assert "gradient" not in repr(make_one())


@EACH
@pytest.mark.parametrize(
    "given, sentence",
    [
        ({"truncate_gradient": 0}, "truncate_gradient is 0; expected a whole number of steps of at least 1, or None"),
        ({"truncate_gradient": 2.5}, "truncate_gradient is 2.5; expected a whole number"),
        ({"truncate_gradient": True}, "truncate_gradient is True; expected a whole number"),
        ({"clip_recurrent_gradient": -1.0}, "clip_recurrent_gradient is -1.0; expected a number above 0, or None"),
        ({"clip_recurrent_gradient": float("nan")}, "clip_recurrent_gradient is nan; expected a number above 0"),
    ],
)
def test_bad_values_are_named_when_given_and_when_set(make_one: Any, given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        make_one(**given)
    made = make_one()
    for name, value in given.items():
        setattr(made, name, value)
    with pytest.raises(ValueError, match=re.escape(sentence)):
        made(torch.zeros(STEPS, BATCH, INPUT))


def test_a_converted_module_may_be_truncated_and_does_not_go_back_with_it() -> None:
    model = torch.nn.Sequential(torch.nn.GRU(INPUT, HIDDEN))
    nn.convert(model)
    layer: Any = model[0]
    x = torch.randn(STEPS, BATCH, INPUT, requires_grad=True)
    assert torch.autograd.grad(layer(x)[1].sum(), x)[0][:4].any()
    layer.truncate_gradient = 4
    assert not torch.autograd.grad(layer(x)[1].sum(), x)[0][:4].any()
    with pytest.raises(ValueError, match=r"truncate_gradient is 4, which torch\.nn\.modules\.rnn\.GRU cannot do; set"):
        nn.revert(model)
    assert type(layer) is nn.GRU
    layer.truncate_gradient = None
    assert type(nn.revert(model)[0]) is torch.nn.GRU
    assert not {"backend", *GIVEN} & set(vars(layer))


def test_a_refusal_to_go_back_changes_nothing() -> None:
    model = torch.nn.Sequential(nn.LSTM(INPUT, HIDDEN, backend="cpu"), nn.RNN(HIDDEN, HIDDEN, **GIVEN))
    sentence = "truncate_gradient is 2, clip_recurrent_gradient is 0.1, which torch.nn.modules.rnn.RNN cannot do"
    with pytest.raises(ValueError, match=re.escape(sentence)):
        nn.revert(model)
    assert [type(one) for one in model] == [nn.LSTM, nn.RNN]
    assert model[0].backend == "cpu" and {name: getattr(model[1], name) for name in GIVEN} == GIVEN


@pytest.mark.parametrize("kind", KINDS)
def test_torchs_own_implementation_is_refused(kind: str) -> None:
    module = _made(kind, truncate_gradient=3, backend="torch")
    x = torch.randn(STEPS, BATCH, INPUT)
    sentence = "truncate_gradient is 3, which torch's own implementation cannot do, and it would run: "
    for call in (module, module.explain):
        with pytest.raises(RuntimeError, match=sentence + "backend='torch' asks for it; give backend='reference'"):
            call(x)
    with torch.no_grad():  # no gradient comes back, so none is lost
        expected, _ = module(x)
        module.backend = None
        torch.testing.assert_close(module(x)[0], expected)
    with pytest.raises(RuntimeError, match=sentence + "our kernels serve the CPU"):
        copy.deepcopy(module).to("meta")(x.to("meta"))
    module.bfloat16()
    module.backend = "reference"
    leaf = x.bfloat16().requires_grad_()
    gradient = torch.autograd.grad(module(leaf)[0][-1].float().sum(), leaf)[0]
    assert not gradient[:6].any() and gradient[6:].any()


def test_gradients_through_a_reservoir_are_cut() -> None:
    reservoir = nn.EchoState(INPUT, 20, seed=0)
    x = torch.randn(STEPS, BATCH, INPUT, requires_grad=True)
    assert torch.autograd.grad(reservoir(x)[1].sum(), x)[0][:4].any()
    reservoir.truncate_gradient = 4
    gradient = torch.autograd.grad(reservoir(x)[1].sum(), x)[0]
    assert not gradient[:4].any() and gradient[4:].any()


def test_a_clipped_gradient_is_not_differentiated() -> None:
    module = nn.PeepholeLSTM(INPUT, HIDDEN, clip_recurrent_gradient=0.1)
    x = torch.randn(STEPS, BATCH, INPUT, requires_grad=True)
    (gradient,) = torch.autograd.grad(module(x)[0].sum(), x)
    assert gradient.isfinite().all()
    with pytest.raises(RuntimeError, match="leave clip_recurrent_gradient out where gradients are differentiated"):
        torch.autograd.grad(module(x)[0].sum(), x, create_graph=True)[0].sum().backward()
