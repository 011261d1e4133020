"""A step at a time is the scan over all steps, bit for bit; and what a stream holds, takes and refuses."""

from __future__ import annotations

import io
import threading
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ostinato.cells import ACTIVATIONS, CELLS, Cell, cell, dense
from ostinato.scan import Layers, Stream, make_request, scan

from .problems import Problem, arguments, every_cell, tensors

SETS = ("baseline", "avx2", "avx512")


@cell(gates="n", states="h count", masks={}, phi="tanh", layer="Numbered")
def numbered(gate: Any, state: Any, t: Any, phi: Any) -> Any:
    """A cell that asks for the number of the step."""
    return phi(gate.n) / (t + 1.0), state.count + t


@pytest.fixture(params=SETS)
def instruction_set(request: pytest.FixtureRequest) -> Iterator[None]:
    from ostinato.scan import _engine

    if request.param not in _engine.instruction_sets():
        pytest.skip(f"this machine has no {request.param}")
    before = _engine.instruction_set()
    _engine.use_instruction_set(request.param)
    yield
    _engine.use_instruction_set(before)


def given(problem: Problem, dtype: torch.dtype = torch.float32) -> dict[str, Any]:
    """The arguments of the problem's scan; further sequences hold the same at every step."""
    found = tensors(problem, dtype)
    for name in problem.entering[1:]:
        found[name] = found[name][:, :1].expand(found[name].shape)
    return arguments(problem, found)


def opened(problem: Problem, asked: dict[str, Any]) -> Stream:
    """A stream of the one layer of a problem, from the problem's initial state."""
    asked = dict(asked)
    initial, x = asked.pop("initial_state"), asked.pop("x")
    asked["sequences"] = [[one[:, :1] for one in found] for found in asked["sequences"]]

    def put(layers: Layers) -> None:
        layers.scan(make_request(x=layers.below, **asked), "{}")

    stream = Stream(put, x.shape[-1], problem.B, x.dtype)
    if initial is not None:
        counted = {"step": 0} if "t" in problem.cell.asks_for else {}
        stream.state = {
            name: one[0].numpy() for name, one in zip(problem.cell.states, initial, strict=True)
        } | counted  # fmt: skip
    return stream


def outputs(stream: Stream, x: torch.Tensor) -> np.ndarray:
    """(batch, steps, outputs)."""
    return np.stack([stream(x[:, t].numpy()).copy() for t in range(x.shape[1])], 1)


def lstm(batch: int = 1, dtype: torch.dtype = torch.float32, **options: Any) -> Stream:
    problem = Problem(CELLS["lstm"], B=batch, H=4, D=3, state=False, **options)
    return opened(problem, given(problem, dtype))


def assert_the_scan(problem: Problem, dtype: torch.dtype) -> None:
    asked = given(problem, dtype)
    expected, finals = scan(**asked, backend="cpu")
    stream = opened(problem, asked)
    np.testing.assert_array_equal(outputs(stream, asked["x"]), torch.cat(expected, -1) if problem.every else expected)
    for name, final in zip(problem.cell.states, finals, strict=True):
        np.testing.assert_array_equal(stream.state[name], final[0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float", "double"])
@pytest.mark.parametrize("cell", [*every_cell(), numbered, dense], ids=lambda cell: cell.name)
def test_the_outputs_are_the_scans_bit_for_bit(cell: Cell, dtype: torch.dtype) -> None:
    for H, B, D in ((1, 1, 1), (5, 1, 3), (17, 3, 2), (45, 2, 8)):
        assert_the_scan(Problem(cell, H=H, B=B, T=6, D=D), dtype)
    assert_the_scan(Problem(cell, H=7, B=2, T=5, every=True, bias=False, state=False), dtype)


@pytest.mark.parametrize("name", ["lstm", "gru_reset_before", "clockwork", "layer_norm_lstm"])
def test_on_every_instruction_set(name: str, instruction_set: None) -> None:
    assert_the_scan(Problem(CELLS[name], H=33, B=1, T=5, D=4), torch.float32)


def test_a_batch_larger_than_a_block_of_the_scan() -> None:
    assert_the_scan(Problem(CELLS["lstm"], H=40, B=130, T=3, D=4), torch.float32)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_chosen_at_run_time(name: str) -> None:
    assert_the_scan(Problem(CELLS["lstm"], B=1, T=4, named=(("phi", name), ("sigma", "sigmoid"))), torch.float32)


def test_layers_behind_each_other() -> None:
    lower = Problem(CELLS["gru"], H=6, B=2, T=7, D=3, state=False)
    upper, head = replace(lower, cell=CELLS["peephole_lstm"], D=6, H=4, seed=1), replace(lower, cell=dense, D=4, seed=2)
    asked = [given(problem) for problem in (lower, upper, head)]
    x = y = asked[0]["x"]
    for one in asked:
        y, _ = scan(**{**one, "x": y}, backend="cpu")

    def put(layers: Layers) -> None:
        for number, one in enumerate(asked):
            layers.scan(make_request(**{**one, "x": layers.below}), None if number == 2 else f"{{}}_{number}")

    stream = Stream(put, 3, 2, torch.float32)
    np.testing.assert_array_equal(outputs(stream, x), y)
    assert list(stream.state) == ["h_0", "h_1", "c_1"]
    assert stream.output_size == 6


def test_shares() -> None:
    problem = Problem(dense, H=9, B=3, T=1, D=4, state=False, scale=30.0)
    asked = given(problem)

    def put(layers: Layers) -> None:
        layers.scan(make_request(**{**asked, "x": layers.below}))
        layers.softmax()

    expected = torch.softmax(scan(**asked)[0], -1)
    np.testing.assert_allclose(outputs(Stream(put, 4, 3, torch.float32), asked["x"]), expected, rtol=1e-5, atol=1e-7)


def test_input_and_output_with_and_without_a_batch() -> None:
    stream, x = lstm(), np.ones(3, "float32")
    first = stream(x)
    assert first.shape == (4,)
    kept = first.copy()
    second = stream(x[None])
    assert second.shape == (1, 4) and np.shares_memory(first, second)
    np.testing.assert_array_equal(first, second[0])
    assert not np.array_equal(first, kept)


@pytest.mark.parametrize(
    "x", [[1.0, -2.0, 0.5], np.array([1.0, -2.0, 0.5]), torch.tensor([1.0, -2.0, 0.5]),
          np.array([1.0, 0, -2.0, 0, 0.5], "float32")[::2], np.array([1.0, -2.0, 0.5], ">f4"),
          np.frombuffer(b"?" + np.array([1.0, -2.0, 0.5], "float32").tobytes(), "float32", offset=1)],
    ids=["list", "float64", "tensor", "strided", "other byte order", "unaligned"],
)  # fmt: skip
def test_what_is_no_fitting_array_is_converted(x: Any) -> None:
    np.testing.assert_array_equal(lstm()(x), lstm()(np.array([1.0, -2.0, 0.5], "float32")))


def test_the_output_goes_where_it_is_wanted() -> None:
    x, out = np.ones((2, 3)), np.full((2, 4), np.nan)
    stream, other = lstm(2, torch.float64), lstm(2, torch.float64)
    assert stream(x, out) is out and stream(x, out=out) is out
    other(x)
    np.testing.assert_array_equal(out, other(x))


def test_what_does_not_fit_is_refused_and_changes_nothing() -> None:
    stream, x = lstm(), np.ones(3, "float32")
    stream(x)
    before = stream.state
    for wrong, told in (
        (np.ones(4, "float32"), r"the input is float32 of the shape \(4,\); expected numbers \(1, 3\) or \(3,\)"),
        (np.ones((2, 3), "float32"), r"the shape \(2, 3\)"),
        (["a", "b", "c"], "<U1"),
        (None, r"the input is object of the shape \(\); expected numbers \(1, 3\) or \(3,\)"),
    ):
        with pytest.raises(ValueError, match=told):
            stream(wrong)
    readonly = np.ones(4, "float32")
    readonly.flags.writeable = False
    for out in (np.ones(3, "float32"), np.ones(4), np.ones(8, "float32")[::2], readonly, [0.0] * 4):
        with pytest.raises(
            ValueError, match=r"writable array, contiguous, of float32 with the shape \(1, 4\) or \(4,\)"
        ):
            stream(x, out)
    for name, one in stream.state.items():
        np.testing.assert_array_equal(one, before[name])
    with pytest.raises(ValueError, match=r"expected numbers \(2, 3\)$"):
        lstm(2)(x)


def test_the_state_is_read_set_saved_and_reset() -> None:
    stream, x = lstm(2), torch.randn(2, 8, 3)
    first = outputs(stream, x[:, :4])
    state = stream.state
    assert {name: (one.shape, one.dtype) for name, one in state.items()} == {
        "h": ((2, 4), np.float32), "c": ((2, 4), np.float32)
    }  # fmt: skip
    file = io.BytesIO()
    np.savez(file, **state)
    second = outputs(stream, x[:, 4:])
    assert not np.array_equal(stream.state["c"], state["c"])  # what was read is a copy
    stream.state = {name: one.tolist() for name, one in state.items()}
    np.testing.assert_array_equal(outputs(stream, x[:, 4:]), second)
    file.seek(0)
    another = lstm(2)
    another.state = np.load(file)
    np.testing.assert_array_equal(outputs(another, x[:, 4:]), second)
    stream.reset()
    np.testing.assert_array_equal(outputs(stream, x[:, :4]), first)


def test_the_number_of_the_step_belongs_to_the_state() -> None:
    problem = Problem(numbered, B=1, T=6, D=3, state=False)
    asked = given(problem)
    stream, x = opened(problem, asked), asked["x"]
    outputs(stream, x[:, :3])
    state, rest = stream.state, outputs(stream, x[:, 3:])
    assert state["step"] == 3
    other = opened(problem, asked)
    other.state = state
    np.testing.assert_array_equal(outputs(other, x[:, 3:]), rest)
    other.reset()
    assert other.state["step"] == 0


@pytest.mark.parametrize(
    ("wrong", "told"),
    [({"h": np.zeros((1, 4))}, "c is missing"), ({"h": 0, "c": 0, "d": 0}, "d is unknown"),
     ({"h": np.zeros((1, 5)), "c": np.zeros((1, 4))}, r"state h is given as float64 of the shape \(1, 5\)"),
     ({"h": np.zeros((1, 4)), "c": np.full((1, 4), "x")}, "state c is given as <U1")],
    ids=["missing", "unknown", "shape", "dtype"],
)  # fmt: skip
def test_a_wrong_state_is_refused_and_changes_nothing(wrong: dict[str, Any], told: str) -> None:
    stream = lstm()
    stream(np.ones(3, "float32"))
    before = stream.state
    with pytest.raises(ValueError, match=told):
        stream.state = wrong
    assert all(np.array_equal(one, before[name]) for name, one in stream.state.items())


def test_weights_are_read_at_the_beginning_and_when_told() -> None:
    problem = Problem(CELLS["lstm"], B=1, T=2, D=3, state=False)
    asked = given(problem)
    stream, x = opened(problem, asked), asked["x"]
    untouched = opened(problem, asked)
    first = outputs(stream, x)
    asked["weights"][0].W.mul_(2.0)
    stream.reset()
    np.testing.assert_array_equal(outputs(stream, x), first)
    state = stream.state
    stream.refresh()
    untouched.state, expected = state, opened(problem, asked)
    expected.state = state
    now = outputs(stream, x)
    np.testing.assert_array_equal(now, outputs(expected, x))
    assert not np.array_equal(now, outputs(untouched, x))


class _Count(TorchDispatchMode):
    calls = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls += 1
        return func(*args, **(kwargs or {}))


def test_a_step_calls_no_operation_of_torch_and_allocates_nothing() -> None:
    stream, x = lstm(), np.ones(3, "float32")
    stream(x)
    with _Count() as count:
        torch.zeros(1)
        assert count.calls == 1
        tracemalloc.start()
        try:
            stream(x)
            before = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            for _ in range(1000):
                stream(x)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert count.calls == 1
    assert peak - before < 1024  # the loop's own objects


def test_steps_of_several_threads_come_one_after_the_other() -> None:
    problem = Problem(CELLS["clockwork"], B=1, T=1, D=3, state=False)
    stream, x = opened(problem, given(problem)), np.ones(3, "float32")
    threads = [threading.Thread(target=lambda: [stream(x) for _ in range(500)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(stream.state["t"], np.full((1, problem.H), 2000.0))


def test_denormals_are_flushed_as_in_a_scan_and_the_mode_is_restored() -> None:
    tiny = np.full(3, 1e-42, "float32")
    lstm()(tiny)
    assert (tiny * np.float32(0.5)).any()


def test_what_no_stream_can_run_is_refused() -> None:
    problem = Problem(CELLS["lstm"], state=False)
    asked = given(problem)
    with pytest.raises(RuntimeError, match="compiled kernels alone: the activation phi is a Python function"):
        opened(problem, {**asked, "activations": {"phi": torch.tanh}})
    for batch in (0, 1.5, True):
        with pytest.raises(ValueError, match="expected a whole number of at least 1"):
            Stream(lambda layers: None, 3, batch, torch.float32)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match=r"float32 or float64, and the weights are torch\.float16"):
        Stream(lambda layers: None, 3, 1, torch.float16)

    def elsewhere(layers: Layers) -> None:
        layers.scan(make_request(**{**asked, "x": layers.below.clone()}))

    with pytest.raises(ValueError, match="a copy"):
        Stream(elsewhere, 2, problem.B, torch.float32)
