"""What the modules share with torch's besides their numbers: state dicts, pickling, errors, weights that change."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
import torch._dynamo
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.utils.rnn import pack_padded_sequence

from ostinato import nn, scan
from ostinato.scan import _engine, watch

from .pairs import BATCH, HIDDEN, INPUT, KINDS, STEPS, bundle, packed, pair, sequence, states

WHOLE: dict[str, Any] = {"num_layers": 2, "bidirectional": True}


def _outputs(module: Any, x: Tensor) -> Tensor:
    y: Tensor = module(x)[0]
    return y.detach()


@pytest.mark.parametrize("kind", KINDS)
def test_state_dict_goes_both_ways(kind: str) -> None:
    ours, oracle = pair(kind, **WHOLE)
    other, _ = pair(kind, **WHOLE)
    assert ours.state_dict().keys() == oracle.state_dict().keys()
    other.load_state_dict(oracle.state_dict())
    x = sequence(ours)
    torch.testing.assert_close(_outputs(other, x), _outputs(oracle, x))
    assert torch.equal(_outputs(other, x), _outputs(ours, x))


@pytest.mark.parametrize("kind", KINDS)
def test_saved_weights_load(kind: str) -> None:
    ours, oracle = pair(kind, **WHOLE)
    x = sequence(ours)
    expected = _outputs(ours, x)
    file = io.BytesIO()
    torch.save(ours.state_dict(), file)
    with torch.no_grad():
        for parameter in oracle.parameters():
            parameter.zero_()
    file.seek(0)
    oracle.load_state_dict(torch.load(file, weights_only=True))
    torch.testing.assert_close(_outputs(oracle, x), expected)


@pytest.mark.parametrize("copied", [lambda m: pickle.loads(pickle.dumps(m)), copy.deepcopy], ids=["pickle", "deepcopy"])
@pytest.mark.parametrize("kind", KINDS)
def test_copies(kind: str, copied: Callable[[Any], Any]) -> None:
    ours = KINDS[kind][0](INPUT, HIDDEN, backend="reference", **WHOLE, **KINDS[kind][2])
    x = sequence(ours)
    before = _outputs(ours, x)
    made = copied(ours)
    assert type(made) is type(ours)
    assert made.backend == "reference"
    with torch.no_grad():
        ours.weight_hh_l0.zero_()
    assert torch.equal(_outputs(made, x), before)
    assert not torch.equal(_outputs(ours, x), before)


def test_is_a_torch_module() -> None:
    for ours, torchs, more in KINDS.values():
        assert issubclass(ours, torchs)
        layer = ours(INPUT, HIDDEN, **more)
        assert repr(layer) == repr(torchs(INPUT, HIDDEN, **more))
        bound = HIDDEN**-0.5
        assert all(parameter.abs().max() <= bound for parameter in layer.parameters())
    assert "backend='reference'" in repr(nn.LSTM(INPUT, HIDDEN, backend="reference"))


def test_same_seed_same_initial_weights() -> None:
    torch.manual_seed(3)
    ours = nn.GRU(INPUT, HIDDEN, 2)
    torch.manual_seed(3)
    oracle = torch.nn.GRU(INPUT, HIDDEN, 2)
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), oracle.parameters(), strict=True))


def test_positional_arguments_are_those_of_torch() -> None:
    rnn = nn.RNN(INPUT, HIDDEN, 2, "relu", False, True)
    assert (rnn.mode, rnn.bias, rnn.batch_first) == ("RNN_RELU", False, True)
    lstm = nn.LSTM(INPUT, HIDDEN, 2, False, True, 0.5, True)
    assert (lstm.bias, lstm.batch_first, lstm.dropout, lstm.bidirectional) == (False, True, 0.5, True)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_that_are_replaced_or_moved(kind: str) -> None:
    ours, oracle = pair(kind, num_layers=2)
    x = sequence(ours)
    for module in (ours, oracle):
        weight = module.weight_hh_l1
        del module.weight_hh_l1
        module.weight_hh_l1 = torch.nn.Parameter(2 * weight.detach())
        module.flatten_parameters()
    torch.testing.assert_close(_outputs(ours, x), _outputs(oracle, x))
    ours.double()
    oracle.double()
    torch.testing.assert_close(_outputs(ours, x.double()), _outputs(oracle, x.double()), atol=1e-10, rtol=1e-10)


def test_weight_normalization() -> None:
    ours, oracle = pair("LSTM")
    x = sequence(ours)
    for module in (ours, oracle):
        torch.nn.utils.parametrizations.weight_norm(module, "weight_hh_l0")
        with torch.no_grad():
            module.parametrizations.weight_hh_l0.original0.mul_(3)
    torch.testing.assert_close(_outputs(ours, x), _outputs(oracle, x))


def _error(call: Callable[[], Any]) -> tuple[type[BaseException], str]:
    with pytest.raises((RuntimeError, ValueError, TypeError, IndexError, AttributeError)) as caught:
        call()
    return caught.type, str(caught.value)


INPUTS: dict[str, Callable[[], Any]] = {
    "wrong input size": lambda: torch.zeros(STEPS, BATCH, INPUT + 1),
    "wrong input size unbatched": lambda: torch.zeros(STEPS, INPUT + 1),
    "one dimension": lambda: torch.zeros(INPUT),
    "four dimensions": lambda: torch.zeros(1, STEPS, BATCH, INPUT),
    "float64 for float32 weights": lambda: torch.zeros(STEPS, BATCH, INPUT, dtype=torch.float64),
    "integers": lambda: torch.zeros(STEPS, BATCH, INPUT, dtype=torch.int64),
    "no steps": lambda: torch.zeros(0, BATCH, INPUT),
    "no steps unbatched": lambda: torch.zeros(0, INPUT),
}


@pytest.mark.parametrize("case", INPUTS)
@pytest.mark.parametrize("kind", KINDS)
def test_wrong_input_raises_torchs_error(kind: str, case: str) -> None:
    ours, oracle = pair(kind, num_layers=2)
    x = INPUTS[case]()
    assert _error(lambda: ours(x)) == _error(lambda: oracle(x))


STATES: dict[str, Callable[[Tensor], Tensor]] = {
    "a layer too few": lambda state: state[:1],
    "a row too few": lambda state: state[:, :-1],
    "a row too many": lambda state: torch.cat([state, state], 1),
    "a unit too few": lambda state: state[..., :-1],
    "two dimensions": lambda state: state[0],
    "four dimensions": lambda state: state.unsqueeze(0),
}


@pytest.mark.parametrize("form", ["padded", "sorted", "unbatched"])
@pytest.mark.parametrize("case", STATES)
@pytest.mark.parametrize("kind", KINDS)
def test_wrong_state_raises_torchs_error(kind: str, case: str, form: str) -> None:
    ours, oracle = pair(kind, num_layers=2)
    x = packed(sequence(ours, form), form, batch_first=False)
    for position in range(len(states(ours))):
        given = states(ours, form)
        given[position] = STATES[case](given[position])
        hx = bundle(ours, given)
        if form == "sorted" and kind == "LSTM":  # torch checks no state here, and fails in its kernels
            with pytest.raises(RuntimeError, match=rf"Expected hidden\[{position}\] size \(2, 6, 4\), got"):
                ours(x, hx)
        else:
            assert _error(lambda hx=hx: ours(x, hx)) == _error(lambda hx=hx: oracle(x, hx))


@pytest.mark.parametrize("kind", KINDS)
def test_state_of_another_dtype_raises_torchs_error(kind: str) -> None:
    ours, oracle = pair(kind)
    x, hx = sequence(ours), bundle(ours, [state.double() for state in states(ours)])
    assert _error(lambda: ours(x, hx)) == _error(lambda: oracle(x, hx))


@pytest.mark.parametrize(
    ("make", "arguments"),
    [
        (lambda n: n.LSTM, {"hidden_size": 0}),
        (lambda n: n.GRU, {"num_layers": 0}),
        (lambda n: n.GRU, {"proj_size": 2}),
        (lambda n: n.LSTM, {"proj_size": 9}),
        (lambda n: n.RNN, {"nonlinearity": "sigmoid"}),
        (lambda n: n.RNN, {"dropout": 1.5}),
        (lambda n: n.RNN, {"bias": 1}),
    ],
)
def test_wrong_arguments_raise_torchs_error(make: Callable[[Any], Any], arguments: dict[str, Any]) -> None:
    given = {"input_size": INPUT, "hidden_size": HIDDEN} | arguments
    assert _error(lambda: make(nn)(**given)) == _error(lambda: make(torch.nn)(**given))


def test_useless_dropout_warns_as_torch_does() -> None:
    with pytest.warns(UserWarning, match="num_layers greater than 1"):
        nn.LSTM(INPUT, HIDDEN, dropout=0.5)


@pytest.mark.filterwarnings("ignore:Dynamo detected a call to a `functools.lru_cache`", "ignore:The .grad attribute")
@pytest.mark.parametrize("kind", KINDS)
def test_compiled_by_torch(kind: str) -> None:
    ours, _ = pair(kind, num_layers=2, bidirectional=True)
    x = sequence(ours).requires_grad_()
    with scan.record() as flows:
        found, _ = torch.compile(ours, backend="aot_eager")(x)
    expected, _ = ours(x)
    assert torch.equal(found, expected)
    wanted = [x, *ours.parameters()]
    for one, other in zip(*(torch.autograd.grad(y.square().sum(), wanted) for y in (found, expected)), strict=True):
        assert torch.equal(one, other)
    assert len(flows) == 2
    assert all(flow.gradients for flow in flows)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore:.*torch.jit.trace.*is deprecated")
@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_traced_by_torch(kind: str, frozen: bool) -> None:
    ours, _ = pair(kind, num_layers=2)
    ours.requires_grad_(not frozen)
    x = sequence(ours)
    traced = torch.jit.trace(ours, (torch.zeros_like(x),))
    torch.testing.assert_close(traced(x)[0], ours(x)[0])
    longer = torch.cat([x, x, x])
    torch.testing.assert_close(traced(longer)[0], ours(longer)[0])


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore:.*torch.jit.trace.*is deprecated")
@pytest.mark.parametrize("kind", KINDS)
def test_truncated_gradients_are_traced(kind: str) -> None:
    ours, _ = pair(kind)
    ours.truncate_gradient = 2
    x = sequence(ours)
    traced = torch.jit.trace(ours, (torch.zeros_like(x),))
    (expected,) = torch.autograd.grad(ours(x.requires_grad_())[0][-1].sum(), x)
    (found,) = torch.autograd.grad(traced(x)[0][-1].sum(), x)
    torch.testing.assert_close(found, expected)
    assert not found[0].any()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("truncated", [None, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_exported_to_onnx(kind: str, truncated: int | None, tmp_path: Path) -> None:
    ours, _ = pair(kind, num_layers=2, bidirectional=True)
    ours.truncate_gradient = truncated
    x = sequence(ours)
    ours(x)  # whatever is remembered of a call
    names = {"input_names": ["x"], "output_names": ["y"], "dynamic_axes": {"x": {0: "steps"}, "y": {0: "steps"}}}
    torch.onnx.export(ours, (x,), tmp_path / "model.onnx", dynamo=False, **names)
    longer = torch.cat([x, x, x])
    with torch.no_grad():
        expected = ours(longer)[0].numpy()
    found = onnxruntime.InferenceSession(tmp_path / "model.onnx").run(["y"], {"x": longer.numpy()})[0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.filterwarnings("ignore:The tensor attributes self._flat_weights")  # as of torch's own modules
@pytest.mark.parametrize("kind", KINDS)
def test_exported_by_torch(kind: str) -> None:
    ours, _ = pair(kind)
    x = sequence(ours)
    exported = torch.export.export(ours, (x,), strict=False)
    assert any(kind.lower() in str(node.target) for node in exported.graph.nodes)
    torch.testing.assert_close(exported.module()(x)[0], ours(x)[0])


@pytest.mark.parametrize("backend", [None, "cpu", "reference"])
@pytest.mark.parametrize("kind", KINDS)
def test_autocast_keeps_the_dtype_of_the_weights(kind: str, backend: Any) -> None:
    ours, _ = pair(kind, num_layers=2)
    ours.backend = backend
    x, given = sequence(ours).bfloat16(), [state.bfloat16() for state in states(ours)]
    expected, _ = ours(x.float(), bundle(ours, [state.float() for state in given]))
    x.requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, hidden = ours(x, bundle(ours, given))
        rounded = ours.explain(x).endswith(", products of bfloat16")
    torch.testing.assert_close(found, expected, atol=0.02 * rounded, rtol=0.0)
    assert (hidden[0] if kind == "LSTM" else hidden).dtype == torch.float32
    (gradient,) = torch.autograd.grad(found.sum(), x)
    assert gradient.dtype == torch.bfloat16
    assert gradient.isfinite().all()


@pytest.mark.skipif(not _engine.multipliers(), reason="this machine multiplies no bfloat16 (AMX, AVX512-BF16)")
@pytest.mark.parametrize("name", ["LSTM", "PeepholeLSTM"])
def test_under_autocast_products_are_those_of_bfloat16(name: str) -> None:
    if _engine.instruction_set() != "avx512":
        pytest.skip(f"{_engine.instruction_set()} was chosen instead")
    module = getattr(nn, name)(INPUT, HIDDEN)
    x = torch.randn(STEPS, 16, INPUT)
    exact, _ = module(x)
    with torch.autocast("cpu", torch.bfloat16), watch() as ran:
        y, _ = module(x)
        assert module.explain(x).endswith(", products of bfloat16")
    y.sum().backward()
    assert [choice.reason.rsplit(", ", 1)[-1] for choice in ran] == ["products of bfloat16"]
    assert y.dtype == torch.float32 and not torch.equal(y, exact)
    torch.testing.assert_close(y, exact, atol=0.02, rtol=0.0)
    with torch.autocast("cpu", torch.float16):
        assert torch.equal(module(x)[0], exact)


@pytest.mark.parametrize("kind", ["LSTM", "PeepholeLSTM", "Clockwork", "SLSTM", "DepthGatedLSTM"])
@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_another_default_device(kind: str, backend: str) -> None:
    """It is for new tensors of the user, and not for those that a module needs in between."""
    module = getattr(nn, kind)(4, 4, 2, bidirectional=True, backend=backend)
    x = torch.randn(6, 3, 4)
    rows = pack_padded_sequence(x, torch.tensor([3, 6, 1]), enforce_sorted=False)

    def results() -> list[Tensor]:
        given = x.clone().requires_grad_()
        y = module(given)[0]
        return [y.detach(), module(rows)[0].data.detach(), *torch.autograd.grad(y.sum(), given)]

    expected = results()
    scan.release_workspace()
    with torch.device("meta"):
        found = results()
        if backend == "cpu":
            getattr(nn, kind)(4, 4, device="cpu").stream()
    assert all(map(torch.equal, found, expected))


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "PeepholeLSTM"])
def test_what_writes_operations_down_sees_operations(kind: str) -> None:
    module, x = getattr(nn, kind)(4, 4), torch.randn(3, 2, 4)
    graph = make_fx(lambda given: module(given)[0])(x)
    other = torch.randn(3, 2, 4)
    torch.testing.assert_close(graph(other), module(other)[0])
    with FakeTensorMode(allow_non_fake_inputs=True):
        assert isinstance(module(x)[0], FakeTensor)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "PeepholeLSTM"])
def test_zeros_without_memory(kind: str) -> None:
    module = getattr(nn, kind)(4, 4)
    assert torch.equal(module(torch._efficientzerotensor((3, 2, 4)))[0], module(torch.zeros(3, 2, 4))[0])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["LSTM", "PeepholeLSTM"])
def test_a_backward_pass_that_is_compiled(kind: str) -> None:
    module, x = getattr(nn, kind)(4, 4), torch.randn(3, 2, 4)
    module(x)[0].sum().backward()
    expected = [one.grad for one in module.parameters()]
    module.zero_grad(set_to_none=True)

    @torch.compile(backend="eager")
    def step(x: Tensor) -> None:
        module(x)[0].sum().backward()

    with torch._dynamo.config.patch(compiled_autograd=True):
        step(x)
    torch.testing.assert_close([one.grad for one in module.parameters()], expected)
