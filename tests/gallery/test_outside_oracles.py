"""The cells beside the same cells in other people's programs: ONNX Runtime, torchrecurrent, torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from ostinato import cells
from ostinato.cells import Cell

from .layer import B, D, H, Layer, P, T, close, layer, normal, states

NEEDED = "the extra `test` installs it"


def onnx_operator(operator: str, inputs: Mapping[str, Tensor], outputs: int, **attributes: Any) -> list[Tensor]:
    """One operator of ONNX, run by ONNX Runtime in float32.

    Args:
        inputs: by the operator's names, in its order; those left out are named "".
    """
    onnx = pytest.importorskip("onnx", reason=NEEDED)
    runtime = pytest.importorskip("onnxruntime", reason=NEEDED)
    given = {name: tensor for name, tensor in inputs.items() if tensor is not None}
    element = onnx.TensorProto.FLOAT
    results = [f"result{k}" for k in range(outputs)]
    node = onnx.helper.make_node(
        operator, [name if name in given else "" for name in inputs], results, hidden_size=H, **attributes
    )
    graph = onnx.helper.make_graph(
        [node],
        operator,
        [onnx.helper.make_tensor_value_info(name, element, tuple(tensor.shape)) for name, tensor in given.items()],
        [onnx.helper.make_tensor_value_info(name, element, None) for name in results],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 14)], ir_version=8)
    session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found = session.run(results, {name: tensor.detach().numpy() for name, tensor in given.items()})
    return [torch.from_numpy(array) for array in found]


def blocks(made: Layer, name: str, gates: str) -> Tensor:
    """The gates' rows of W, U, b or b_u in another order, zeros where this layer has none."""
    like = made.block({"b_u": "b"}.get(name, name), made.cell.gates[0])
    rows = [made.block(name, gate) if made.has(name, gate) else torch.zeros_like(like) for gate in gates]
    return torch.cat(rows).unsqueeze(0)


def onnx_layer(operator: str, made: Layer, gates: str, x: Tensor, start: list[Tensor], **attributes: Any) -> Any:
    """Outputs (B, T, H) and final states of ONNX' LSTM, GRU or RNN with a layer's weights."""
    vectors = made.tensors
    peepholes = None
    if "p_o" in vectors:
        peepholes = torch.cat([vectors.get(f"p_{gate}", torch.zeros(H)) for gate in "iof"]).unsqueeze(0)
    given = {
        "X": x.transpose(0, 1).contiguous(),
        "W": blocks(made, "W", gates),
        "R": blocks(made, "U", gates),
        "B": torch.cat([blocks(made, "b", gates), blocks(made, "b_u", gates)], -1),
        "lengths": None,
        "initial_h": start[0].unsqueeze(0),
        "initial_c": start[1].unsqueeze(0) if len(start) > 1 else None,
        "P": peepholes,
    }
    if operator != "LSTM":
        del given["initial_c"], given["P"]
    y, *finals = onnx_operator(operator, given, 1 + len(start), **attributes)
    return y[:, 0].transpose(0, 1), [state[0] for state in finals]


@pytest.mark.parametrize(
    "cell, attributes",
    [
        (cells.lstm, {}),
        (cells.peephole_lstm, {}),
        (cells.coupled_lstm, {"input_forget": 1}),
        (cells.cifg, {"input_forget": 1}),
    ],
    ids=lambda value: value.name if isinstance(value, Cell) else None,
)
def test_the_lstm_of_onnx(cell: Cell, attributes: dict[str, int]) -> None:
    """Its gates stand in the order i, o, f, c, its peepholes in the order i, o, f; coupled, it is f that is dropped."""
    ours, x = layer(cell, dtype=torch.float32), normal(B, T, D, dtype=torch.float32)
    start = [state.float() for state in states(ours)]
    want, last = onnx_layer("LSTM", ours, "iofg", x, start, **attributes)
    y, finals = ours(x, start)
    close([y, *finals], [want, *last], 1e-5)


@pytest.mark.parametrize("cell, after", [(cells.gru, 1), (cells.gru_reset_before, 0)], ids=["after", "before"])
def test_the_gru_of_onnx(cell: Cell, after: int) -> None:
    ours, x = layer(cell, dtype=torch.float32), normal(B, T, D, dtype=torch.float32)
    start = [state.float() for state in states(ours)]
    want, last = onnx_layer("GRU", ours, "zrn", x, start, linear_before_reset=after)
    y, finals = ours(x, start)
    close([y, *finals], [want, *last], 1e-5)


@pytest.mark.parametrize("phi, name", [("tanh", "Tanh"), ("relu", "Relu"), ("softsign", "Softsign")])
def test_the_rnn_of_onnx(phi: str, name: str) -> None:
    ours, x = layer(cells.elman, dtype=torch.float32), normal(B, T, D, dtype=torch.float32)
    start = [state.float() for state in states(ours)]
    want, last = onnx_layer("RNN", ours, "a", x, start, activations=[name])
    y, finals = ours(x, start, activations={"phi": phi})
    close([y, *finals], [want, *last], 1e-5)


def test_the_projection_of_torch() -> None:
    """Outputs, states and every gradient."""
    theirs = torch.nn.LSTM(D, H, proj_size=P, batch_first=True, dtype=torch.float64)
    ours, x = layer(cells.projected_lstm), normal(B, T, D).requires_grad_()
    held = dict(theirs.named_parameters())
    ours.tensors = {
        "W": held["weight_ih_l0"],
        "U": held["weight_hh_l0"],
        "b": held["bias_ih_l0"] + held["bias_hh_l0"],
        "R": held["weight_hr_l0"],
    }
    start = [state.requires_grad_() for state in states(ours)]
    assert [state.shape[1] for state in start] == [P, H]
    want, last = theirs(x, tuple(state.unsqueeze(0) for state in start))
    y, finals = ours(x, start)
    close([y, *finals], [want, *(state[0] for state in last)])
    leaves = [x, *start, *held.values()]
    found = [
        torch.autograd.grad(sum(one.sin().sum() for one in results), leaves)
        for results in ((y, *finals), (want, *last))
    ]
    close(*found)


def torchrecurrent_cell(name: str, **options: Any) -> torch.nn.Module:
    """A cell of torchrecurrent with every parameter normally distributed."""
    package = pytest.importorskip("torchrecurrent", reason=NEEDED)
    made = getattr(package, name)(D, H, dtype=torch.float64, **options)
    for k, parameter in enumerate(made.parameters()):
        if parameter.dim():
            parameter.data.copy_(0.5 * normal(*parameter.shape, seed=20 + k))
    return made


def biases(theirs: torch.nn.Module) -> Tensor:
    """All of its biases in one."""
    return sum(parameter for name, parameter in theirs.named_parameters() if name.startswith("bias"))


def stepwise(theirs: torch.nn.Module, x: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """Outputs (B, T, H) and final states of one of torchrecurrent's cells."""
    found = []
    for t in range(x.shape[1]):
        new = theirs(x[:, t], tuple(state) if len(state) > 1 else state[0])
        state = list(new) if isinstance(new, tuple) else [new]
        found.append(state[0])
    return torch.stack(found, 1), state


def assert_same(ours: Layer, theirs: torch.nn.Module, start: list[Tensor], twice: bool = False, **how: Any) -> None:
    """`twice`: theirs carries our one state as two."""
    x = normal(B, T, D)
    want, last = stepwise(theirs, x, start * 2 if twice else start)
    y, finals = ours(x, start, **how)
    close([y, *finals], [want, *(last[:1] if twice else last)])


@pytest.mark.parametrize(
    "cell, name",
    [
        (cells.peephole_lstm, "PeepholeLSTMCell"),
        (cells.forgetless_lstm, "OriginalLSTMCell"),
        (cells.mgu, "MGUCell"),
        (cells.light_gru, "LiGRUCell"),
        (cells.indrnn, "IndRNNCell"),
        (cells.janet, "JANETCell"),
        (cells.cornn, "coRNNCell"),
    ],
    ids=lambda value: value.name if isinstance(value, Cell) else None,
)
def test_torchrecurrent(cell: Cell, name: str) -> None:
    """Its blocks stand in the order of ours. Its IndRNN has tanh by default, the paper relu; its JANET trains beta, a
    number of the paper, and carries h twice; its constants of coRNN are given to both."""
    theirs, ours = torchrecurrent_cell(name), layer(cell)
    held = {key: tensor.detach() for key, tensor in theirs.named_parameters()}
    ours.tensors.update({"W": held["weight_ih"], "b": biases(theirs).detach()})
    if "weight_hh" in held:
        ours.tensors["U"] = held["weight_hh"]
    if cell is cells.peephole_lstm:
        ours.tensors.update(zip(("p_i", "p_f", "p_o"), held["weight_ph"].chunk(3), strict=True))
    if cell is cells.indrnn:
        ours.tensors["u"] = held["vector_u"]
    if cell is cells.cornn:
        ours.tensors["V"] = held["weight_ch"]
        for constant in cell.constants:
            ours.tensors[constant].fill_(getattr(theirs, constant))
    phi = {"activations": {"phi": "tanh"}} if cell is cells.indrnn else {}
    assert_same(ours, theirs, states(ours), twice=cell is cells.janet, **phi)


def lem_like(theirs: torch.nn.Module) -> Layer:
    """Our LEM with torchrecurrent's weights; its first block is the time step of y, our d2."""
    ours = layer(cells.lem)
    held = {key: tensor.detach() for key, tensor in theirs.named_parameters()}
    for k, gate in enumerate(("d2", "d1", "z", "y")):
        ours.block("W", gate).copy_(held["weight_ih"].chunk(4)[k])
        ours.block("U", gate).copy_(held["weight_hh"].chunk(3)[k] if gate != "y" else held["weight_ch"])
        second = held["bias_hh"].chunk(3)[k] if gate != "y" else held["bias_ch"]
        ours.block("b", gate).copy_(held["bias_ih"].chunk(4)[k] + second)
    return ours


def test_the_lem_of_torchrecurrent() -> None:
    """In the paper, and in its authors' program, U_y reads the new z; there it reads the old one, which is wrong. So
    the two agree where U_y is 0, and as far as z, which reads the old y alone, goes in a single step."""
    theirs = torchrecurrent_cell("LEMCell", dt=0.5)
    ours = lem_like(theirs)
    ours.tensors["dt"].fill_(0.5)
    start, x = states(ours), normal(B, 1, D)
    want, last = stepwise(theirs, x, start)
    y, finals = ours(x, start)
    close(finals[1], last[1])
    assert (y - want).abs().max() > 1e-2

    theirs.weight_ch.data.zero_()
    ours = lem_like(theirs)
    ours.tensors["dt"].fill_(0.5)
    assert_same(ours, theirs, start)
