"""Which path runs, how to see it, and how to insist."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ostinato import nn, scan

from .pairs import FORMS, HIDDEN, INPUT, KINDS, assert_agree, bundle, everything, packed, pair, sequence, states


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_layer_is_one_scan_as_explained(kind: str, form: str, dtype: torch.dtype) -> None:
    ours, _ = pair(kind, num_layers=3, bidirectional=True, dtype=dtype)
    x = packed(sequence(ours, form), form, batch_first=False)
    hx = bundle(ours, states(ours, form))
    with scan.watch() as taken:
        told = ours.explain(x, hx)
        assert taken == [], "explaining must not run anything"
        ours(x, hx)
    assert [f"{choice.backend}: {choice.reason}" for choice in taken] == [told] * 3
    assert {choice.backend for choice in taken} == {"cpu"}


@pytest.mark.parametrize("kind", KINDS)
def test_training_runs_on_the_kernels(kind: str) -> None:
    ours, _ = pair(kind, num_layers=2, dropout=0.5)
    ours.backend = "cpu"  # raises wherever the kernels cannot serve
    x = sequence(ours).transpose(0, 1).requires_grad_()
    ours(x)[0].square().sum().backward()
    assert x.grad is not None
    assert all(parameter.grad.count_nonzero() for parameter in ours.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_kernels_do_not_serve(kind: str) -> None:
    ours, oracle = (module.to("meta") for module in pair(kind, num_layers=2, bidirectional=True))
    x = torch.empty(sequence(ours).shape, device="meta")
    assert ours.explain(x) == "torch: our kernels serve the CPU, torch's serve torch.float32 on meta"
    assert ours(x)[0].shape == oracle(x)[0].shape
    ours.backend = "cpu"
    for call in (ours, ours.explain):
        with pytest.raises(RuntimeError, match=r"backend='cpu' cannot serve this scan: .*meta"):
            call(x)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_runs_on_the_kernels(kind: str, dtype: torch.dtype) -> None:
    ours, oracle = (module.to(dtype) for module in pair(kind, num_layers=2, bidirectional=True))
    x = sequence(ours).to(dtype)
    assert ours.explain(x).startswith("cpu: ") and f"{str(dtype)[6:]} as float32" in ours.explain(x)
    gradients = []
    for module in (ours, oracle.float()):
        leaf = x.to(next(module.parameters()).dtype).requires_grad_()
        y, _ = module(leaf)
        gradients.append(torch.autograd.grad(y.float().square().sum(), [leaf, *module.parameters()]))
        assert y.dtype == leaf.dtype
    for mine, exact in zip(*gradients, strict=True):
        assert mine.dtype == dtype
        torch.testing.assert_close(mine.float(), exact, atol=0.02 * float(exact.abs().max()), rtol=0.0)


@pytest.mark.parametrize("kind", KINDS)
def test_backend_reaches_the_scan(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, _ = pair(kind, num_layers=2)
    asked: list[Any] = []
    run = scan.run
    monkeypatch.setattr(scan, "run", lambda request, backend: asked.append(backend) or run(request, backend))
    ours(sequence(ours))
    ours.backend = "reference"
    with scan.watch() as taken:
        ours(sequence(ours))
    assert asked == [None, None, "reference", "reference"]
    assert [choice.backend for choice in taken] == ["reference", "reference"]


@pytest.mark.parametrize("kind", KINDS)
def test_torch_by_name(kind: str) -> None:
    ours, oracle = pair(kind, num_layers=2)
    ours.backend = "torch"
    x = sequence(ours)
    with scan.watch() as taken:
        assert torch.equal(ours(x)[0], oracle(x)[0])
    assert taken == []
    assert ours.explain(x) == "torch: backend='torch' asks for it"


def test_unknown_backend() -> None:
    with pytest.raises(ValueError, match="backend is 'gpu'; expected None or one of 'cpu', 'reference', 'torch'"):
        nn.GRU(INPUT, HIDDEN, backend="gpu")  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")  # said by torch's path itself
@pytest.mark.parametrize("backend", [None, "reference"])
@pytest.mark.parametrize("form", FORMS)
def test_projection_agrees_with_torch(form: str, backend: Any) -> None:
    ours, oracle = pair("LSTM", num_layers=2, proj_size=2, bidirectional=True, dtype=torch.float64)
    ours.backend = backend
    x = sequence(ours, form)
    assert_agree(everything(ours, x, [], form), everything(oracle, x, [], form))


def test_projection_runs_as_explained() -> None:
    ours = nn.LSTM(INPUT, HIDDEN, 2, proj_size=2)
    x = sequence(ours)
    told = ours.explain(x)
    with scan.watch() as taken:
        ours(x)
    assert [f"{choice.backend}: {choice.reason}" for choice in taken] == [told] * 2
    assert {choice.backend for choice in taken} == {"cpu"}


def test_explaining_arguments_that_do_not_fit() -> None:
    ours = nn.GRU(INPUT, HIDDEN)
    assert ours.explain(torch.zeros(0, 1, INPUT)).startswith("torch: the arguments do not fit together")
    with pytest.raises(RuntimeError, match="Expected 3, got 4"):
        ours.explain(torch.zeros(2, 1, INPUT + 1))
