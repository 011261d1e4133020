"""A contest of training: losses and gradients checked, then passes over the same batches in turns, and memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .contest import INTERPRETERS, MISSING, PEER_TOLERANCE, Arena, Contender, difference, our_tolerance
from .process import WorkerError


@dataclass(frozen=True)
class Pace:
    """How many batches a contender trains on in a pass, and how many passes are timed, after some that are not."""

    batches: int
    rounds: int
    warm_up: int = 2


@dataclass(frozen=True)
class Work:
    """The same training by several contenders.

    Attributes:
        title: the network and its batches.
        contenders: ours first, each with its pace.
        oracles: who computes the right result in float64, by name.
        checked: most steps of a row that results are checked on, for the tolerance.
        steps: of each batch, without padding.
        epoch: (batches, steps without padding) of a pass over everything.
        facts: sentences for the reader.
    """

    title: str
    contenders: Sequence[tuple[Contender, Pace]]
    oracles: Mapping[str, Contender]
    checked: int
    steps: Sequence[int]
    epoch: tuple[int, int]
    facts: str


@dataclass
class Trained:
    """What came of one contender.

    Attributes:
        error: the largest error of its losses and gradients; see `contest.difference`.
        first: seconds of its first pass, compiling included.
        seconds: of each batch, in each round.
        peak: megabytes.
        red: whether its result was wrong or it broke.
    """

    contender: Contender
    error: float | None = None
    first: float | None = None
    seconds: list[list[float]] = field(default_factory=list)
    peak: float | None = None
    note: str = ""
    red: bool = False

    @property
    def medians(self) -> list[float]:
        """Seconds of each batch."""
        return [float(one) for one in np.median(self.seconds, axis=0)] if self.seconds else []


def rate(trained: Trained, steps: Sequence[int]) -> float | None:
    """Steps a second, without padding."""
    medians = trained.medians
    return sum(steps[: len(medians)]) / sum(medians) if medians else None


def ratio(trained: Trained, ours: Trained) -> float | None:
    """How many times as long as ours it takes, for the batches that both have trained on."""
    both = min(len(trained.medians), len(ours.medians))
    return sum(trained.medians[:both]) / sum(ours.medians[:both]) if both else None


def hold(arena: Arena, work: Work) -> list[Trained]:
    """Check everyone, then let those whose result is right take turns; the slow leave after their last round."""
    arena.clear()
    arena.tell(work.title)
    right = {name: arena.arrays(oracle, "oracle ")[0] for name, oracle in work.oracles.items()}
    found = [_admitted(arena, one, right[one.oracle], work.checked) for one, _ in work.contenders]
    paces = {one.name: pace for one, pace in work.contenders}
    racing = [one for one in found if not one.note]
    for one in racing:
        arena.tell(f"  warming up: {one.contender.name}")
        for number in range(paces[one.contender.name].warm_up):
            seconds = _pass(arena, one)
            if number == 0 and seconds:
                one.first = sum(seconds)
    for number in range(max((pace.rounds for pace in paces.values()), default=0)):
        arena.tell(f"  round {number + 1}")
        for one in racing:
            if number < paces[one.contender.name].rounds and (seconds := _pass(arena, one)):
                one.seconds.append(seconds)
    arena.clear()
    return found


def _admitted(arena: Arena, contender: Contender, right: Mapping[str, Any], steps: int) -> Trained:
    if contender.environment in arena.settings.left_out:
        return Trained(contender, note=arena.settings.left_out[contender.environment])
    if not INTERPRETERS[contender.environment].exists():
        return Trained(contender, note=MISSING)
    try:
        arrays, served = arena.arrays(contender)
    except WorkerError as broken:
        return Trained(contender, note=f"failed: {broken}", red=True)
    error, where = difference(arrays, right)
    allowed = our_tolerance(steps) if contender.ours else PEER_TOLERANCE
    if error > allowed:
        note = f"WRONG RESULT, not timed: error {error:.1e} of {where}, allowed {allowed:.1e}"
        return Trained(contender, error, note=note, red=True)
    if served:
        return Trained(contender, error, note=f"not timed: ran on the {served}", red=True)
    return Trained(contender, error)


def _pass(arena: Arena, one: Trained) -> list[float]:
    """The seconds of each batch in one pass; none once the contender has broken."""
    if one.note:
        return []
    try:
        measured = arena.worker(one.contender).ask(measure=True)
    except WorkerError as broken:
        one.note, one.red, one.seconds = f"failed: {broken}", True, []
        return []
    one.peak = measured["peak"]
    return list(measured["seconds"])
