"""`python -m benchmarks.latency`: how long one step of an LSTM takes that is fed one step at a time.

Every contender carries its state from step to step, starts from the same weights, and takes the same inputs: arrays of
NumPy, or tensors for those of PyTorch. Each is checked against PyTorch in float64 before its time is printed. Turns are
taken in rounds, so that what else the machine does falls on all; a clock is read around each step, which is part of the
time told (its own cost stands in the last row).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch

from ostinato import nn

from . import machine, with_onnx
from .report import Table

#: A step: input (batch, features) to output (batch, units).
Step = Callable[[np.ndarray], np.ndarray]

#: The largest error of an output against float64 after 200 steps.
TOLERANCE = 1e-5

#: How many times as fast as each peer a step of ours is to be, for one row of 64 units.
WANTED = {"torch.nn.LSTMCell": 8, "torch.nn.LSTM, one step": 25, "ONNX Runtime": 3}

OURS = "ostinato stream"


def _stream(reference: torch.nn.LSTM, batch: int) -> Step:
    ours = nn.LSTM(reference.input_size, reference.hidden_size)
    ours.load_state_dict(reference.state_dict())
    return ours.stream(batch)


def _module(kind: type[torch.nn.LSTM]) -> Callable[[torch.nn.LSTM, int], Step]:
    def make(reference: torch.nn.LSTM, batch: int) -> Step:
        module = kind(reference.input_size, reference.hidden_size)
        module.load_state_dict(reference.state_dict())
        state = module(torch.zeros(1, batch, module.input_size))[1]
        state = tuple(torch.zeros_like(one) for one in state)

        def step(x: np.ndarray) -> np.ndarray:
            nonlocal state
            y, state = module(torch.from_numpy(x)[None], state)
            found: np.ndarray = y[0].numpy()
            return found

        return step

    return make


def _cell(reference: torch.nn.LSTM, batch: int) -> Step:
    cell = torch.nn.LSTMCell(reference.input_size, reference.hidden_size)
    cell.load_state_dict({name.removesuffix("_l0"): one for name, one in reference.state_dict().items()})
    state = (torch.zeros(batch, cell.hidden_size),) * 2

    def step(x: np.ndarray) -> np.ndarray:
        nonlocal state
        state = cell(torch.from_numpy(x), state)
        found: np.ndarray = state[0].numpy()
        return found

    return step


def _onnx(reference: torch.nn.LSTM, batch: int) -> Step:
    weights = {name: one.detach().numpy() for name, one in reference.state_dict().items()}
    session = with_onnx.session(weights, 1, batch, threads=1, carries=True)
    h = c = np.zeros((1, batch, reference.hidden_size), "float32")

    def step(x: np.ndarray) -> np.ndarray:
        nonlocal h, c
        h, c = session.run(None, {"X": x[None], "h": h, "c": c})
        found: np.ndarray = h[0]
        return found

    return step


CONTENDERS: dict[str, Callable[[torch.nn.LSTM, int], Step]] = {
    OURS: _stream,
    "ostinato.nn.LSTM, one step": _module(nn.LSTM),
    "torch.nn.LSTMCell": _cell,
    "torch.nn.LSTM, one step": _module(torch.nn.LSTM),
    "ONNX Runtime": _onnx,
}


def error(step: Step, reference: torch.nn.LSTM, inputs: np.ndarray) -> float:
    """The largest difference from the reference in float64 over all the inputs (steps, batch, features)."""
    exact = torch.nn.LSTM(reference.input_size, reference.hidden_size, dtype=torch.float64)
    exact.load_state_dict(reference.state_dict())
    wanted = exact(torch.from_numpy(inputs).double())[0].numpy()
    return float(max(np.abs(step(x) - y).max() for x, y in zip(inputs, wanted, strict=True)))


def timed(step: Callable[[np.ndarray], object], x: np.ndarray, into: np.ndarray) -> None:
    """Fill `into` with the nanoseconds of as many steps."""
    clock = time.perf_counter_ns
    for k in range(len(into)):
        begin = clock()
        step(x)
        into[k] = clock() - begin


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=1_000_000, help="of ours; the others take a tenth")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--units", type=int, default=64)
    parser.add_argument("--features", type=int, default=16)
    parser.add_argument("--batch", type=int, default=1)
    arguments = parser.parse_args(given)
    if min(vars(arguments).values()) < 1 or arguments.steps < 10 * arguments.rounds:
        parser.error("every number must be at least 1, and --steps at least ten times --rounds")
    return arguments


def main(given: Sequence[str] | None = None) -> int:
    """Check, measure and print; 1 if a result is wrong."""
    asked = _arguments(given)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    reference = torch.nn.LSTM(asked.features, asked.units)
    inputs = torch.randn(200, asked.batch, asked.features).numpy()
    steps, wrong = {}, False
    with torch.inference_mode():
        for name, make in CONTENDERS.items():
            try:
                steps[name] = make(reference, asked.batch)
            except ImportError as missing:
                print(f"{name}: not measured, {missing}", file=sys.stderr)
                continue
            if (off := error(steps[name], reference, inputs)) > TOLERANCE:
                print(f"{name}: WRONG RESULT, not measured: error {off:.1e}", file=sys.stderr)
                wrong = True
                del steps[name]
        runs = {**steps, "reading the clock": lambda x: x}
        found = {name: np.empty(_count(name, asked), "int64") for name in runs}
        for round_ in range(asked.rounds):
            for name, step in runs.items():
                count = len(found[name])
                timed(
                    step, inputs[0], found[name][round_ * count // asked.rounds : (round_ + 1) * count // asked.rounds]
                )
    print(_table(found, asked).text())
    print(", ".join(f"{key}: {value}" for key, value in machine.describe(1).items()))
    return int(wrong)


def _count(name: str, asked: argparse.Namespace) -> int:
    return int(asked.steps if name == OURS else asked.steps // 10)


def _table(found: dict[str, np.ndarray], asked: argparse.Namespace) -> Table:
    title = f"One step of LSTM({asked.units}), {asked.features} features, batch {asked.batch}, one thread: microseconds"
    ours = float(np.median(found[OURS])) if OURS in found else None
    of_one_row = (asked.units, asked.batch) == (64, 1)
    rows = []
    for name, times in found.items():
        middle, late = np.percentile(times, [50, 99])
        peer = ours is not None and name not in (OURS, "reading the clock")
        ratio = f"{middle / ours:.1f}" if peer and ours else ""
        wanted = str(WANTED.get(name, "")) if of_one_row else ""
        rows.append([name, f"{middle / 1e3:.2f}", f"{late / 1e3:.2f}", str(len(times)), ratio, wanted])
    return Table(title, ["", "p50", "p99", "steps", "times ours", "wanted"], rows)


if __name__ == "__main__":
    sys.exit(main())
