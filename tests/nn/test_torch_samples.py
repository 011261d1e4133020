"""The samples by which torch tests its own recurrent modules, on ours."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten

from ostinato import nn

pytest.importorskip("expecttest", reason="torch's own samples need expecttest")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch.testing._internal import common_modules as torch_samples

OURS: dict[type, Any] = {torch.nn.LSTM: nn.LSTM, torch.nn.GRU: nn.GRU, torch.nn.RNN: nn.RNN}
INFOS = [info for info in torch_samples.module_db if info.module_cls in OURS]


@pytest.fixture(params=INFOS, ids=lambda info: info.name)
def info(request: pytest.FixtureRequest) -> Any:
    return request.param


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_flatten(tree)[0] if isinstance(leaf, Tensor)]


def _samples(info: Any, training: bool) -> list[Any]:
    arguments = {"device": "cpu", "dtype": torch.float64, "requires_grad": True, "training": training}
    if info.module_cls is not torch.nn.LSTM:
        arguments["with_packed_sequence"] = True
    return list(info.module_inputs_func(info, **arguments))


@pytest.mark.parametrize("training", [True, False])
def test_samples(info: Any, training: bool) -> None:
    samples = _samples(info, training)
    assert len(samples) >= 16
    for sample in samples:
        made = {}
        for name, of in (("ours", OURS[info.module_cls]), ("torch", info.module_cls)):
            torch.manual_seed(0)
            module = of(*sample.constructor_input.args, **sample.constructor_input.kwargs, dtype=torch.float64)
            module.train(training)
            outputs = _tensors(module(*sample.forward_input.args, **sample.forward_input.kwargs))
            leaves = [t for t in _tensors([sample.forward_input.args, list(module.parameters())]) if t.requires_grad]
            loss = sum((y * y).sum() for y in outputs if y.requires_grad)
            made[name] = [*outputs, *torch.autograd.grad(loss, leaves)]
        torch.testing.assert_close(made["ours"], made["torch"], atol=1e-10, rtol=1e-10)


def test_unbatched_samples_agree_with_batches_of_one(info: Any) -> None:
    judged = 0
    for sample in _samples(info, training=True):
        if not isinstance(sample.forward_input.args[0], Tensor) or sample.forward_input.args[0].dim() != 2:
            continue
        module = OURS[info.module_cls](*sample.constructor_input.args, **sample.constructor_input.kwargs).double()
        found = module(*sample.forward_input.args)
        expected = sample.reference_fn(module, *sample.forward_input.args)
        torch.testing.assert_close(_tensors(found), _tensors(expected), atol=1e-10, rtol=1e-10)
        judged += 1
    assert judged >= 16


def test_errors(info: Any) -> None:
    errors = info.module_error_inputs_func(info, device="cpu", dtype=torch.float32, requires_grad=False, training=True)
    judged = 0
    for error in errors:
        made = error.module_error_input
        with pytest.raises(error.error_type, match=error.error_regex):
            module = OURS[info.module_cls](*made.constructor_input.args, **made.constructor_input.kwargs)
            if error.error_on == torch_samples.ModuleErrorEnum.FORWARD_ERROR:
                module(*made.forward_input.args, **made.forward_input.kwargs)
        judged += 1
    assert judged >= 10
