"""Calls that repeat one before, and what must not be taken for such a call."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from ostinato import nn, scan
from ostinato.scan import watch

MODULES: dict[str, Callable[..., Any]] = {
    "LSTM": nn.LSTM, "GRU": nn.GRU, "RNN": nn.RNN, "peephole": nn.PeepholeLSTM, "normalised": nn.LayerNormLSTM,
    "zoneout": nn.ZoneoutLSTM, "depth_gated": nn.DepthGatedLSTM, "clockwork": nn.Clockwork,
}  # fmt: skip
STEPS, BATCH, SIZE = 5, 3, 4


def _made(kind: str, **options: Any) -> Any:
    torch.manual_seed(1)
    return MODULES[kind](SIZE, SIZE, 2, bidirectional=True, **options)


def _input(seed: int = 2, steps: int = STEPS, **options: Any) -> Tensor:
    return torch.randn(steps, BATCH, SIZE, generator=torch.Generator().manual_seed(seed), **options)


def _results(module: Any, x: Tensor) -> list[Tensor]:
    """Output, final states and all gradients."""
    torch.manual_seed(3)
    x = x.clone().requires_grad_()
    y, hidden = module(x)
    finals = hidden if isinstance(hidden, tuple) else (hidden,)
    loss = y.square().sum() + sum(final.sum() for final in finals)
    wanted = [x, *(one for one in module.parameters() if one.requires_grad)]
    return [y.detach(), *(final.detach() for final in finals), *torch.autograd.grad(loss, wanted)]


def _assert_same(found: list[Tensor], expected: list[Tensor]) -> None:
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def _first_call(module: Any, x: Tensor) -> list[Tensor]:
    """What a module that has never been called finds."""
    return _results(copy.deepcopy(module), x)


@pytest.mark.parametrize("kind", MODULES)
def test_later_calls_are_as_the_first(kind: str) -> None:
    module = _made(kind)
    for seed, steps in ((2, STEPS), (4, STEPS), (5, STEPS + 2), (6, STEPS)):
        x = _input(seed, steps)
        _assert_same(_results(module, x), _first_call(module, x))


def test_known_calls_ask_for_nothing_again(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("LSTM", "peephole"):
        module = _made(kind)
        module(_input())
        with monkeypatch.context() as patch:
            patch.setattr(scan, "make_request", lambda *args, **options: pytest.fail("the scans were asked for again"))
            module(_input(7))


@pytest.mark.parametrize("kind", ["LSTM", "peephole"])
@pytest.mark.parametrize(
    "setting",
    [
        ("truncate_gradient", 2), ("clip_recurrent_gradient", 1e-3), ("recompute", 2), ("saved_dtype", "float16"),
        ("batch_first", True), ("backend", "reference"),
    ],
    ids=lambda setting: setting[0],
)  # fmt: skip
def test_settings_may_change(kind: str, setting: tuple[str, Any]) -> None:
    module, x = _made(kind), _input()
    before = _results(module, x)
    setattr(module, *setting)
    with watch() as choices:
        changed = _results(module, x)
    _assert_same(changed, _first_call(module, x))
    assert {choice.backend for choice in choices} == {"reference" if setting[0] == "backend" else "cpu"}
    if setting[0] not in ("recompute", "backend"):
        assert not all(torch.equal(a, b) for a, b in zip(changed, before, strict=True))
    setattr(module, setting[0], False if setting[0] == "batch_first" else None)
    _assert_same(_results(module, x), before)


@pytest.mark.parametrize("kind", ["LSTM", "peephole"])
def test_weights_may_be_others(kind: str) -> None:
    module, x = _made(kind), _input()
    _results(module, x)
    with torch.no_grad():
        module.weight_hh_l0.mul_(0.5)
    _assert_same(_results(module, x), _first_call(module, x))
    module.weight_ih_l0 = torch.nn.Parameter(torch.full_like(module.weight_ih_l0, 0.1))
    _assert_same(_results(module, x), _first_call(module, x))
    module.weight_ih_l0.data = torch.full_like(module.weight_ih_l0, 0.2).T.contiguous().T
    _assert_same(_results(module, x), _first_call(module, x))
    module.double()
    _assert_same(_results(module, x.double()), _first_call(module, x.double()))
    with pytest.raises((ValueError, RuntimeError)):
        module(x)
    torch.nn.utils.parametrize.register_parametrization(module, "bias_ih_l1_reverse", torch.nn.Tanh())
    module.float()
    found = _results(module, x)
    vars(module).pop("_known")  # such a module cannot be copied
    _assert_same(found, _results(module, x))


@pytest.mark.parametrize("kind", ["LSTM", "peephole"])
def test_weights_of_one_call(kind: str) -> None:
    module, x = _made(kind), _input()
    expected = _results(module, x)
    others = {name: (0.5 * one).detach() for name, one in module.named_parameters()}
    halved = copy.deepcopy(module)
    halved.load_state_dict(others, strict=False)
    y = torch.func.functional_call(module, others, x)[0]
    assert torch.equal(y, halved(x)[0])
    _assert_same(_results(module, x), expected)


@pytest.mark.parametrize("copied", [lambda m: pickle.loads(pickle.dumps(m)), copy.deepcopy], ids=["pickle", "deepcopy"])
@pytest.mark.parametrize("kind", ["LSTM", "peephole"])
def test_copies_have_weights_of_their_own(kind: str, copied: Callable[[Any], Any]) -> None:
    module, x = _made(kind), _input()
    expected = _results(module, x)
    other = copied(module)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    _assert_same(_results(other, x), expected)


@pytest.mark.parametrize("kind", ["LSTM", "peephole"])
def test_what_is_pickled_does_not_tell_whether_a_module_has_run(kind: str) -> None:
    module = _made(kind)
    before = pickle.dumps(module)
    module(_input())
    assert pickle.dumps(module) == before


@pytest.mark.parametrize("kind", ["LSTM", "peephole"])
def test_what_is_said_outside_of_the_module(kind: str) -> None:
    module, x = _made(kind), _input()
    module(x)
    with torch.autocast("cpu", torch.bfloat16):
        narrow = module(x)[0]
        assert torch.equal(narrow, copy.deepcopy(module)(x)[0])
    with scan.record() as flows:
        _results(module, x)
    assert len(flows) == 2 and all(flow.gradients for flow in flows)


@pytest.mark.parametrize("kind", ["LSTM", "peephole"])
def test_nothing_of_a_call_is_held(kind: str) -> None:
    module = _made(kind)
    x = _input().requires_grad_()
    held = [weakref.ref(x)]
    y = module(x)[0]
    held.append(weakref.ref(y))
    others = {name: one.detach().clone().requires_grad_() for name, one in module.named_parameters()}
    torch.func.functional_call(module, others, x)
    held += map(weakref.ref, others.values())
    with torch.no_grad():
        fixed = {name: one.detach().clone() for name, one in module.named_parameters()}
        torch.func.functional_call(module, fixed, x)
    held += map(weakref.ref, fixed.values())
    del x, y, others, fixed
    gc.collect()
    assert not any(ref() is not None for ref in held)


def test_converted_modules_and_back() -> None:
    torch.manual_seed(1)
    module = torch.nn.LSTM(SIZE, SIZE)
    x = _input()
    expected = module(x)[0]
    nn.convert(module)
    for _ in range(2):
        torch.testing.assert_close(module(x)[0], expected)
    nn.revert(module)
    assert torch.equal(module(x)[0], expected)
    assert not any(name.startswith("_known") for name in vars(module))
