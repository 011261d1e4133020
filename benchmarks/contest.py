"""A contest: the same work by several contenders, whose results are checked and who then take turns at the clock."""

from __future__ import annotations

import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np

from .process import ROOT, Process, WorkerError

Environment = Literal["project", "peers"]

INTERPRETERS: dict[Environment, Path] = {
    "project": Path(sys.executable),
    "peers": ROOT / ".venv-bench" / "bin" / "python",
}
MISSING = "not installed: make bench installs it"

#: Largest error of a peer in float32 against the oracle in float64, relative to the largest entry of each array.
PEER_TOLERANCE = 1e-3


def our_tolerance(steps: int, dtype: str = "float32") -> float:
    """The same for us: 1e-5, and one rounding a step; in float64 as many roundings of its own."""
    eps = np.finfo(np.float32).eps
    return (1e-5 + steps * float(eps)) * float(np.finfo(dtype).eps / eps)


@dataclass(frozen=True)
class Contender:
    """Someone who can do the work.

    Attributes:
        name: as the tables say it.
        subject: what the worker builds, "module:name".
        options: the arguments of that.
        ours: whether it is Ostinato.
        environment: whose interpreter it runs on.
        variables: environment variables of its process.
        oracle: the name of the oracle it answers to: not everybody computes the same (see `Comparison`).
        flops: of its own work, where that is not the comparison's.
        threads: that it may use, where not as many as everybody.
        tolerance: the largest error of its result, where it is not to be as exact as float32 is.
    """

    name: str
    subject: str
    options: Mapping[str, Any]
    ours: bool = False
    environment: Environment = "project"
    variables: Mapping[str, str] = field(default_factory=dict)
    oracle: str = "oracle"
    flops: float | None = None
    threads: int | None = None
    tolerance: float | None = None


@dataclass(frozen=True)
class Turns:
    """How long everyone is timed: `rounds` turns of about `seconds` each, after `warm_up` seconds that do not count."""

    rounds: int
    seconds: float
    warm_up: float = 2.0


@dataclass(frozen=True)
class Target:
    """What a ratio to a contender shall be, and the sentence that says so."""

    ratio: float
    claim: str


@dataclass(frozen=True)
class Step:
    """The elementwise part of steps, all but their products.

    Attributes:
        cell: whose steps.
        units: H.
        count: how many steps of single rows one run has.
        training: forward and backward; False is the forward alone, keeping nothing.
    """

    cell: str
    units: int
    count: int
    training: bool = True


@dataclass(frozen=True)
class Comparison:
    """The same work by several contenders.

    Attributes:
        title: the work.
        contenders: ours first.
        oracles: who computes the right result in float64, by name.
        steps: time steps, for the tolerance.
        flops: multiply-adds times two in one run; None where the work is more than a layer.
        targets: what we aim at, by the contender's name.
        efforts: how many times as long as a contender's an operation of ours may take, by the contender's name.
        turns: None is those of the settings.
        part: of the multiply-add peak that ours shall reach.
        step: the elementwise part of ours, which is then measured by itself.
    """

    title: str
    contenders: Sequence[Contender]
    oracles: Mapping[str, Contender]
    steps: int
    flops: float | None = None
    targets: Mapping[str, Target] = field(default_factory=dict)
    efforts: Mapping[str, Target] = field(default_factory=dict)
    turns: Turns | None = None
    part: Target | None = None
    step: Step | None = None


Status = Literal["timed", "missing", "withheld", "wrong", "failed"]


@dataclass
class Outcome:
    """What came of one contender.

    Attributes:
        seconds: of one step, one entry a round; empty unless it was timed.
        error: the largest relative error of its result; None if there is no result.
        note: what a reader must know; empty if all is as it should be.
    """

    contender: Contender
    status: Status = "timed"
    seconds: list[float] = field(default_factory=list)
    error: float | None = None
    note: str = ""

    @property
    def median(self) -> float | None:
        return statistics.median(self.seconds) if self.seconds else None


@dataclass
class Result:
    """A comparison and its outcomes, in the order of its contenders.

    Attributes:
        peaks: operations a second that all processors reach in float, one entry a round; empty if not measured.
        alone: seconds of the elementwise part of a step by itself, likewise.
    """

    comparison: Comparison
    outcomes: list[Outcome]
    peaks: list[float] = field(default_factory=list)
    alone: list[float] = field(default_factory=list)

    def __getitem__(self, name: str) -> Outcome:
        return next(outcome for outcome in self.outcomes if outcome.contender.name == name)

    def ratio(self, name: str, ours: str | None = None) -> float | None:
        """How many times as long `name` takes as `ours` (the first contender if None); None unless both were timed."""
        mine, other = (self[ours] if ours else self.outcomes[0]).median, self[name].median
        return other / mine if mine and other else None

    def rate(self, name: str) -> float | None:
        """Operations a second of `name`; None if they were not counted or it was not timed."""
        flops, median = self._flops(self[name].contender), self[name].median
        return flops / median if flops and median else None

    def effort(self, name: str) -> float | None:
        """How many times as long as one of `name` an operation of ours takes; None where a rate is."""
        ours, other = self.rate(self.outcomes[0].contender.name), self.rate(name)
        return other / ours if ours and other else None

    def of_peak(self, name: str) -> float | None:
        """What part of the peak `name` reaches, in the median of the rounds; None where either was not measured."""
        found = self._at_peak(self[name].contender, name)
        return statistics.median(1 / one for one in found) if found else None

    def at_peak(self, name: str) -> float | None:
        """How many times as fast as `name` ours would be at the peak, in the median of the rounds; None where either
        was not measured."""
        found = self._at_peak(self.outcomes[0].contender, name)
        return statistics.median(found) if found else None

    def at_floor(self, name: str) -> float | None:
        """How many times as fast as `name` ours would be with its products at the peak and its elementwise part as fast
        as by itself, in the median of the rounds; None where one of them was not measured."""
        found = zip(self._floors(), self[name].seconds, strict=False)
        ratios = [other / floor for floor, other in found]
        return statistics.median(ratios) if ratios else None

    def effort_at_floor(self, name: str) -> float | None:
        """How many times as long as one of `name` an operation of ours would take so; None likewise."""
        mine, theirs, ratio = (
            self._flops(self.outcomes[0].contender),
            self._flops(self[name].contender),
            self.at_floor(name),
        )
        return theirs / (mine * ratio) if mine and theirs and ratio else None

    def _floors(self) -> list[float]:
        """The seconds of our products at the peak and of our elementwise part by itself, one entry a round."""
        flops = self._flops(self.outcomes[0].contender)
        return [flops / peak + alone for peak, alone in zip(self.peaks, self.alone, strict=False)] if flops else []

    def _flops(self, contender: Contender) -> float | None:
        return contender.flops or self.comparison.flops

    def _at_peak(self, work: Contender, name: str) -> list[float]:
        """How many times as fast as `name` the operations of `work` would be at the peak, one entry a round.

        In float64 the peak is half: a vector holds half as many.
        """
        flops, seconds = self._flops(work), self[name].seconds
        if not (flops and seconds and self.peaks):
            return []
        part = 0.5 if work.options.get("dtype") == "float64" else 1.0
        return [one * part * peak / flops for one, peak in zip(seconds, self.peaks, strict=True)]

    @property
    def red(self) -> bool:
        """Whether someone computed something wrong, or broke."""
        return any(outcome.status in ("wrong", "failed") for outcome in self.outcomes)


@dataclass(frozen=True)
class Settings:
    """How long everyone is timed, and on how many processors.

    `left_out` gives, for an environment whose contenders shall not take part, the reason.
    """

    turns: Turns
    threads: int
    left_out: Mapping[Environment, str] = field(default_factory=dict)


def difference(result: Mapping[str, Any], oracle: Mapping[str, Any]) -> tuple[float, str]:
    """The largest error among the arrays, each relative to the oracle's largest entry, and the array that has it.

    Infinite where names or shapes differ or a number is not finite.
    """
    if set(result) != set(oracle):
        return math.inf, f"arrays {sorted(set(result) ^ set(oracle))}, which one side lacks"
    worst = (0.0, "")
    for name, right in oracle.items():
        given = result[name]
        if given.shape != right.shape:
            return math.inf, f"{name}: shape {given.shape} for {right.shape}"
        if not np.isfinite(given).all():
            return math.inf, f"{name}: not finite"
        scale = float(np.abs(right).max()) or 1.0
        worst = max(worst, (float(np.abs(given - right).max()) / scale, name))
    return worst


def take_turns(clocks: Mapping[str, Callable[[int], float]], turns: Turns) -> dict[str, list[float]]:
    """Time everyone once a round, in order, so that whatever slows the machine for a while slows all.

    Args:
        clocks: by name, a function that does a number of runs and returns the seconds of one step.
        turns: how often everyone is timed, and for how long: never less than one run, after never less than two that
            do not count (frameworks compile in the first).

    Returns:
        By name, the seconds of one step in each round.
    """
    runs = {name: _runs(clock, turns.seconds, turns.warm_up) for name, clock in clocks.items()}
    timed: dict[str, list[float]] = {name: [] for name in clocks}
    for _ in range(turns.rounds):
        for name, clock in clocks.items():
            timed[name].append(clock(runs[name]))
    return timed


def _runs(clock: Callable[[int], float], seconds: float, warm_up: float) -> int:
    """Warm up, and say how many runs fill a turn."""
    start = time.perf_counter()
    clock(1)
    while True:
        before = time.perf_counter()
        clock(1)
        now = time.perf_counter()
        if now - start > warm_up or now - before < warm_up / 100:
            return max(1, round(seconds / max(now - before, 1e-6)))


class Arena:
    """Where contests are held: keeps one worker for each kind of contender, and ends them all when left.

    Args:
        settings: how long a contest lasts.
        tell: called with a line about what is under way.
        start: makes a worker (`Process`).
        peak: whose step is one operation at the machine's peak. It takes turns with everyone where operations are
            counted, as the peak itself changes with what else the machine does.
        alone: who measures the elementwise part of steps; takes turns likewise.
    """

    def __init__(
        self,
        settings: Settings,
        tell: Callable[[str], None] = lambda line: None,
        start: Callable[..., Any] = Process,
        peak: Contender | None = None,
        alone: Callable[[Step], Contender] | None = None,
    ) -> None:
        self.settings = settings
        self.tell = tell
        self.peak = peak
        self.alone = alone
        self.versions: dict[str, dict[str, str]] = {}
        self._start = start
        self._workers: dict[str, Any] = {}
        self._last: dict[str, tuple[Contender, dict[str, Any]]] = {}
        self._scratch = tempfile.TemporaryDirectory()

    def __enter__(self) -> Arena:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()
        self._scratch.cleanup()

    def clear(self) -> None:
        """End all workers."""
        for worker in self._workers.values():
            worker.close()
        self._workers.clear()

    def hold(self, comparison: Comparison) -> Result:
        """Check everyone against the oracle, then time those whose result is right, in turns."""
        self.tell(comparison.title)
        right = {name: self._right(name, oracle) for name, oracle in comparison.oracles.items()}
        outcomes = [self._admit(one, right[one.oracle], comparison.steps) for one in comparison.contenders]
        result = Result(comparison, outcomes)
        if any(outcome.contender.ours and outcome.status != "timed" for outcome in outcomes):
            return _untimed(result)
        admitted = {o.contender.name: o for o in outcomes if o.status == "timed"}
        beside = self._beside(comparison) if comparison.flops and admitted else {}
        while admitted:
            clocks = {**beside, **{name: self._clock(outcome.contender) for name, outcome in admitted.items()}}
            try:
                timed = take_turns(clocks, comparison.turns or self.settings.turns)
            except _BrokenError as broken:
                if beside.pop(broken.name, None):
                    self._without(broken.name, broken)
                    continue
                outcome = admitted.pop(broken.name)
                outcome.status, outcome.note = "failed", f"failed: {broken}"
                continue
            measured = {name: timed.pop(name) for name in beside}
            if self.peak:
                result.peaks = [1 / seconds for seconds in measured.pop(self.peak.name, [])]
            for seconds in measured.values():
                result.alone = [comparison.step.count * one for one in seconds] if comparison.step else []
            for name, seconds in timed.items():
                admitted[name].seconds = seconds
            break
        return result

    def worker(self, contender: Contender, role: str = "") -> Any:
        """The process that this contender computes in."""
        key = f"{role}{contender.name}"
        if key not in self._workers:
            python = INTERPRETERS[contender.environment]
            threads = contender.threads or self.settings.threads
            self._workers[key] = self._start(python, threads, contender.variables)
        return self._workers[key]

    def build(self, contender: Contender, role: str = "") -> Any:
        worker = self.worker(contender, role)
        reply = worker.ask(build=contender.subject, options=dict(contender.options))
        self.versions[contender.name] = reply["versions"]
        return worker

    def arrays(self, contender: Contender, role: str = "") -> tuple[dict[str, Any], str]:
        path = Path(self._scratch.name) / "arrays.npz"
        served = self.build(contender, role).ask(check=str(path))["served"]
        with np.load(path) as arrays:
            return dict(arrays), served

    def _right(self, name: str, oracle: Contender) -> dict[str, Any]:
        """What an oracle says; each name's last oracle need not be asked twice."""
        if name not in self._last or self._last[name][0] != oracle:
            self._last[name] = oracle, self.arrays(oracle, "oracle ")[0]
        return self._last[name][1]

    def _admit(self, contender: Contender, right: Mapping[str, Any], steps: int) -> Outcome:
        if contender.environment in self.settings.left_out:
            return Outcome(contender, "missing", note=self.settings.left_out[contender.environment])
        if not INTERPRETERS[contender.environment].exists():
            return Outcome(contender, "missing", note=MISSING)
        try:
            arrays, served = self.arrays(contender)
        except WorkerError as broken:
            return Outcome(contender, "failed", note=f"failed: {broken}")
        error, where = difference(arrays, right)
        dtype = str(contender.options.get("dtype", "float32"))
        tolerance = contender.tolerance or (our_tolerance(steps, dtype) if contender.ours else PEER_TOLERANCE)
        if error > tolerance:
            note = f"WRONG RESULT, not timed: error {error:.1e} of {where}, allowed {tolerance:.1e}"
            return Outcome(contender, "wrong", error=error, note=note)
        return Outcome(contender, error=error, note=f"ran on the {served}" if served else "")

    def _beside(self, comparison: Comparison) -> dict[str, Callable[[int], float]]:
        """By name the clocks of the peak and of the elementwise part, for which a quarter of a turn is long enough."""
        asked = [self.peak, self.alone(comparison.step) if self.alone and comparison.step else None]
        return {one.name: clock for one in asked if one and (clock := self._measurer(one))}

    def _measurer(self, contender: Contender) -> Callable[[int], float] | None:
        try:
            self.build(contender)
        except WorkerError as broken:
            self._without(contender.name, broken)
            return None
        clock = self._clock(contender)
        return lambda runs: clock(max(1, runs // 4))

    def _without(self, name: str, broken: Exception) -> None:
        """Tell that the peak, or the elementwise part, goes unmeasured."""
        self.tell(f"not measured: {name}, it failed: {broken}")

    def _clock(self, contender: Contender) -> Callable[[int], float]:
        def clock(runs: int) -> float:
            try:
                return float(self.worker(contender).ask(time=runs)["seconds"])
            except WorkerError as error:
                raise _BrokenError(contender.name, str(error)) from error

        return clock


def _untimed(result: Result) -> Result:
    """Say at everyone who might have been timed why they were not."""
    for outcome in result.outcomes:
        if outcome.status == "timed":
            outcome.status, outcome.note = "withheld", "not timed: there is no result of ours to compare with"
    return result


class _BrokenError(RuntimeError):
    """A contender broke while it was timed."""

    def __init__(self, name: str, said: str) -> None:
        super().__init__(said)
        self.name = name
