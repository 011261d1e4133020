"""How long a network remembers: what a disturbance of its input some steps ago does to its output now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from .probe import Probe
from .rows import check_count

#: Up to so many lags all are measured, beyond it so many, evenly spaced in their logarithms.
LAGS = 96
#: Rows that are run at once.
ROWS = 512


@dataclass(frozen=True)
class Memory:
    """The length of a memory.

    Attributes:
        steps: the longest lag at which something is left.
        threshold: what counts as something, relative to all of it.
        open: whether that is the longest lag there was: the memory may be longer.
    """

    steps: int
    threshold: float
    open: bool

    def __str__(self) -> str:
        return f"{'at least' if self.open else 'about'} {self.steps} step{'s' * (self.steps != 1)}"


def memory_of(lags: np.ndarray, left: np.ndarray, threshold: float) -> Memory:
    """The memory of a curve.

    Args:
        lags: (L) rising.
        left: (L) what is left at each lag, relative to all of it; NaN where unknown.
        threshold: above 0.

    Raises:
        InputError: the threshold is not above 0.
    """
    if not threshold > 0:
        raise InputError(f"threshold is {threshold}; expected a number above 0")
    known = np.flatnonzero(np.isfinite(left))
    above = known[left[known] >= threshold]
    if not len(above):
        return Memory(0, threshold, False)
    return Memory(int(lags[above[-1]]), threshold, bool(above[-1] == known[-1]))


@dataclass(frozen=True)
class Disturbance:
    """What disturbing the input k steps before the end does to the final output.

    Attributes:
        lags: (L) k, rising.
        changes: (seeds, L) root mean square of the change of the final output, over the rows that have the step and all
            outputs; NaN where no row has it.
    """

    lags: np.ndarray
    changes: np.ndarray

    @property
    def relative(self) -> np.ndarray:
        """(seeds, L): relative to the largest change of each seed; 0 where nothing changes."""
        largest = np.nanmax(self.changes, axis=1, keepdims=True)
        found: np.ndarray = np.divide(self.changes, largest, out=self.changes * 0.0, where=largest > 0)
        return found

    def memory(self, threshold: float = 0.01) -> Memory:
        """The longest lag at which the change, mean over the seeds, is at least that share of the largest one."""
        return memory_of(self.lags, self.relative.mean(0), threshold)


def disturbance(
    probe: Probe,
    *,
    lags: Sequence[int] | None = None,
    rows: int = 16,
    seeds: Sequence[int] = (0, 1, 2),
    scale: float = 1.0,
) -> Disturbance:
    """Disturb the input of one step and see what becomes of the final output.

    Every feature of the step gets normal noise with the standard deviation that it has over all sequences and steps of
    the probe; a token is replaced by one drawn from all of theirs.

    Args:
        lags: steps before the last one of a row; None is all of them, or 96 where there are more.
        rows: how many of the first sequences are disturbed.
        seeds: of the noise, one run each.
        scale: of the noise.

    Raises:
        InputError: a number is outside its range.
    """
    chosen = _lags(probe.steps) if lags is None else np.asarray(lags)
    if (
        chosen.ndim != 1
        or chosen.dtype.kind not in "iu"
        or not len(chosen)
        or not (chosen[0] >= 0 and chosen[-1] < probe.steps and (chosen[1:] > chosen[:-1]).all())
    ):
        raise InputError(f"lags are {chosen.tolist()!r}; expected rising whole numbers within 0..{probe.steps - 1}")
    check_count("rows", rows)
    if not len(seeds) or not scale > 0:
        raise InputError(f"scale is {scale}, with {len(seeds)} seeds; expected both to be above 0")
    chosen = chosen.astype(np.int64)
    changes = np.stack([_changes(probe, chosen, min(rows, len(probe.x)), seed, scale) for seed in seeds])
    return Disturbance(chosen, changes)


def _lags(steps: int) -> np.ndarray:
    if steps <= LAGS:
        return np.arange(steps)
    spaced: np.ndarray = np.unique(np.r_[0, np.geomspace(1, steps - 1, LAGS - 1).round().astype(np.int64)])
    return spaced


def _changes(probe: Probe, lags: np.ndarray, rows: int, seed: int, scale: float) -> np.ndarray:
    """(L): the changes of one seed."""
    generator = torch.Generator().manual_seed(int(seed))
    x, last = probe.x[:rows], probe.last[:rows]
    noise = _noise(probe, rows, generator, scale)
    with torch.no_grad():
        each = max(1, ROWS // rows)
        found: list[Tensor] = []
        before = torch.empty(0)
        for first in range(0, len(lags), each):
            some = torch.as_tensor(lags[first : first + each])
            steps = last - some[:, None]  # (lags, rows)
            there = (steps >= 0) & probe.runs[:rows].gather(1, steps.clamp(min=0).T).T
            everyone = list(range(rows)) * len(some)
            disturbed = x.expand(len(some), *x.shape).clone()
            # a row of a batch of another size may be rounded otherwise
            if len(before) != len(everyone):
                before = probe.finals(disturbed.flatten(0, 1), everyone)
            lag, row = there.nonzero().unbind(1)
            step = steps[lag, row]
            disturbed[lag, row, step] = noise[row] if not x.is_floating_point() else x[row, step] + noise[row]
            after = probe.finals(disturbed.flatten(0, 1), everyone)
            squares = (after - before).view(len(some), rows, -1).double().square().mean(-1).cpu()
            count = there.sum(1)
            mean = torch.where(there, squares, 0.0).sum(1) / count
            found.append(mean.sqrt())
    values: np.ndarray = torch.cat(found).numpy()
    return values


def _noise(probe: Probe, rows: int, generator: torch.Generator, scale: float) -> Tensor:
    """(rows, F), or (rows) tokens."""
    x, runs = probe.x, probe.runs.to(probe.x.device)
    there = x[runs]
    if not len(there):
        raise InputError("no step of the sequences runs, since all are masked; give some that have steps")
    if not x.is_floating_point():
        return there[torch.randint(len(there), (rows,), generator=generator)]
    spread = there.double().std(0, correction=0)
    if not bool(spread.any()):
        raise InputError("x holds the same numbers at every step, so that there is no telling what a disturbance is")
    drawn = torch.randn(rows, x.shape[-1], generator=generator, dtype=torch.float64)
    return (scale * drawn.to(x.device) * spread).to(x.dtype)
