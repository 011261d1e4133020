"""Peak memory of training one layer, beside what it cannot do without."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .contest import PEER_TOLERANCE, Arena, Contender, difference, our_tolerance
from .process import WorkerError

#: Vectors of H that the backward pass needs of each step, other than the outputs: gates, and further states.
SAVED = {"LSTM": 5, "GRU": 4}

#: What each of them trains.
CONTENDERS: dict[str, dict[str, Any]] = {
    "ostinato.nn": {"library": "ostinato.nn"},
    "ostinato.nn, recompute=True": {"library": "ostinato.nn", "recompute": True},
    'ostinato.nn, saved_dtype="float16"': {"library": "ostinato.nn", "saved_dtype": "float16"},
    "PyTorch": {"library": "torch.nn"},
}

#: Arrays leave the process when they are freed, whatever the allocator has learnt before.
PLAIN_ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}


def _status(entry: str) -> float:
    """An entry of /proc/self/status that is in kB, in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{entry}:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError(f"/proc/self/status has no entry {entry}")


def _forget_peak() -> None:
    """Make VmHWM start again from what is resident now."""
    Path("/proc/self/clear_refs").write_text("5")


class Layer:
    """Trains one layer, time-major, and watches what becomes resident (Linux)."""

    steps_per_run = 1

    def __init__(self, **options: Any) -> None:
        self.options = options

    def measure(self) -> dict[str, float]:
        """Growth in MB from before the input exists: held after the forward, and the peak of the whole step.

        Three steps, so that buffers kept for the next step count.
        """
        import torch

        from .with_torch import Layer as Timed

        shape = self.options
        small = Timed(**{**shape, "batch": 2, "steps": 2})
        small.run(2)  # loads code and starts threads, which are not the layer's
        module, wanted = small.module, list(small.module.parameters())
        gc.collect()
        _forget_peak()
        before = _status("VmRSS")
        x = torch.ones(shape["steps"], shape["batch"], shape["input_size"]).requires_grad_()
        held = 0.0
        for _ in range(3):
            y, _ = module(x)
            held = max(held, _status("VmRSS") - before)
            gradients = torch.autograd.grad(y, [x, *wanted], torch.ones_like(y))
            del y, gradients
        return {"held": held, "peak": _status("VmHWM") - before}

    def check(self) -> dict[str, Any]:
        from .with_torch import Layer as Timed

        timed = Timed(**self.options)
        result = timed.check()
        self.served = getattr(timed, "served", "")
        return result


@dataclass(frozen=True)
class Footprint:
    """Megabytes of one contender on one layer; `note` says why there are none."""

    title: str
    name: str
    held: float | None = None
    peak: float | None = None
    note: str = ""
    red: bool = False


def needed(kind: str, input_size: int, hidden_size: int, batch: int, steps: int) -> tuple[float, float]:
    """The arithmetic, in MB: input, output and saved gates; and these with the gradients of all but the gates."""
    tokens = batch * steps
    held = tokens * (input_size + hidden_size + SAVED[kind] * hidden_size)
    weights = {"LSTM": 4, "GRU": 3}[kind] * hidden_size * (input_size + hidden_size + 2)
    return 4e-6 * held, 4e-6 * (held + tokens * (input_size + hidden_size) + weights)


def footprints(arena: Arena, quick: bool) -> list[Footprint]:
    """Ours in its three ways and PyTorch's, each in a fresh process, with the arithmetic after them."""
    rows = []
    for kind in ("LSTM", "GRU"):
        for units in (64,) if quick else (64, 256):
            shape = {"input_size": units, "hidden_size": units, "batch": 64, "steps": 400}
            title = f"{kind} T=400 B=64 H={units}"
            arena.tell(f"memory: {title}")
            for name, options in CONTENDERS.items():
                rows.append(_footprint(arena, title, name, {**options, "kind": kind, **shape}))
            held, peak = needed(kind, **shape)
            rows.append(Footprint(title, "arithmetic", held, peak))
    return rows


def _footprint(arena: Arena, title: str, name: str, options: Mapping[str, Any]) -> Footprint:
    ours = name != "PyTorch"
    one = Contender(name, "benchmarks.memory:Layer", options, ours, variables=PLAIN_ALLOCATOR)
    exact = {**options, "library": "torch.nn", "recompute": False, "saved_dtype": None, "dtype": "float64"}
    oracle = Contender("oracle", "benchmarks.with_torch:Layer", exact)
    arena.clear()
    try:
        measured = arena.build(one).ask(measure=True)
        arrays, served = arena.arrays(one)
        error, where = difference(arrays, arena.arrays(oracle)[0])
    except WorkerError as broken:
        return Footprint(title, name, note=f"failed: {broken}", red=True)
    finally:
        arena.clear()
    exactly = ours and "saved_dtype" not in options
    if error > (our_tolerance(options["steps"]) if exactly else PEER_TOLERANCE):
        return Footprint(title, name, note=f"WRONG RESULT, not measured: error {error:.1e} of {where}", red=True)
    return Footprint(title, name, measured["held"], measured["peak"], f"ran on the {served}" if served else "")
