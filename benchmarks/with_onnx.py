"""ONNX Runtime's LSTM operator, with the weights of PyTorch's module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from . import problems
from .problems import Array


def session(weights: Mapping[str, Array], steps: int, batch: int, threads: int, carries: bool) -> Any:
    """One layer, time-major, all of whose steps are one run: X (T, B, D) to the output Y (T, 1, B, H).

    Args:
        weights: of one layer of `torch.nn.LSTM`, by their names there.
        steps, batch: T and B.
        threads: that one operator may use; 0 is every core.
        carries: take the states before the first step, h and c, and give those after the last, h1 and c1, instead of Y.
    """
    D, H = weights["weight_ih_l0"].shape[1], weights["weight_hh_l0"].shape[1]

    def reordered(name: str) -> Array:
        i, f, g, o = np.split(np.asarray(weights[name], "float32"), 4)  # torch's order; ONNX has i, o, f, c
        return np.concatenate([i, o, f, g])

    both = np.concatenate([reordered("bias_ih_l0"), reordered("bias_hh_l0")])
    constants = {"W": reordered("weight_ih_l0"), "R": reordered("weight_hh_l0"), "B": both}
    state = (1, batch, H)
    inputs = {"X": (steps, batch, D)} | ({"h": state, "c": state} if carries else {})
    outputs = {"h1": state, "c1": state} if carries else {"Y": (steps, 1, batch, H)}
    taken = ["X", "W", "R", "B", "", *(("h", "c") if carries else ())]
    node = helper.make_node("LSTM", taken, ["", "h1", "c1"] if carries else ["Y"], hidden_size=H)

    def described(shapes: Mapping[str, tuple[int, ...]]) -> list[Any]:
        return [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name, shape in shapes.items()]

    graph = helper.make_graph(
        [node],
        "layer",
        described(inputs),
        described(outputs),
        [numpy_helper.from_array(np.ascontiguousarray(one[None]), name) for name, one in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    # its threads would go on spinning in the turns of others
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


class Layer:
    """The forward pass of one LSTM layer from zero states, time-major; arguments as of `with_torch.Layer`."""

    steps_per_run = 1

    def __init__(self, input_size: int, hidden_size: int, batch: int, steps: int) -> None:
        weights = problems.parameters("LSTM", input_size, hidden_size, 1, False)
        self.session = session(weights, steps, batch, threads=0, carries=False)
        self.x = problems.normal((steps, batch, input_size), 5).astype("float32")

    def _step(self) -> Array:
        y: Array = self.session.run(None, {"X": self.x})[0]
        return y[:, 0]

    def run(self, runs: int) -> float:
        y = self.x
        for _ in range(runs):
            y = self._step()
        return float(y.sum())

    def check(self) -> dict[str, Array]:
        return {"output": self._step()}
