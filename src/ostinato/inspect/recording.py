"""Gradient flow and gates during training, every so many steps."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..errors import InputError
from .calls import Call, Watch
from .gates import Saturation, gates_of
from .gradients import GradientFlow, flows
from .probe import recurrences
from .rows import check_count


@dataclass(frozen=True)
class Snapshot:
    """One step of training.

    Attributes:
        step: number of the step, from 1.
        flows: the gradients of the states that its backward pass brought; see `gradient_flow`.
        saturation: of every gate, on the first rows of the batch; see `gates`.
    """

    step: int
    flows: tuple[GradientFlow, ...]
    saturation: tuple[Saturation, ...]


class Recorder:
    """Records a model while it is trained, in a `with` block around the training, or as `callback.Record` for Keras.

    with Recorder(model, every=100) as recorder:
        for x, y in batches:
            loss(model(x), y).backward()
            ...
    recorder.snapshots

    A forward pass with gradients enabled counts as a step, and is shown as it was: with the dropout and the random
    masks that it drew. Between those that are recorded nothing runs but two empty hooks a layer. A recorded one writes
    the gradients of all states down as its backward pass comes by, T * B * S numbers a layer, and takes their norms;
    for the gates it runs the layers once more over the first rows, forward and without gradients, and one step of the
    equations on all their steps at once.

    Args:
        model: see `Probe`.
        every: steps from one recorded step to the next; the first is recorded.
        rows: of the batch whose gates are looked at; 0 is none.

    Attributes:
        snapshots: one for each recorded step whose backward pass has come before the next recorded step. The model may
            run again between, as where a loss compares two outputs.

    Raises:
        InputError: the model has no recurrent layer of this library, or a number is outside its range.
    """

    def __init__(self, model: torch.nn.Module, every: int = 100, rows: int = 8) -> None:
        check_count("every", every)
        check_count("rows", rows, least=0)
        self.snapshots: list[Snapshot] = []
        self._model, self._every, self._rows = model, every, rows
        self._watch = Watch(model)
        self._steps = 0
        self._due: tuple[int, list[Call], tuple[Saturation, ...]] | None = None
        self._hooks = ExitStack()

    def __enter__(self) -> Recorder:
        # the model may itself be a recurrent layer: what is done around it stands around the hooks on layers
        self._hooks.enter_context(self._watch)
        begin = self._model.register_forward_pre_hook(self._begin, prepend=True)
        self._hooks.callback(begin.remove)
        self._hooks.callback(self._model.register_forward_hook(self._end, always_call=True).remove)
        return self

    def __exit__(self, *error: object) -> None:
        self.collect()
        self._due = None
        self._hooks.close()

    def collect(self) -> None:
        """Take down the last recorded step, if its backward pass has come; the next step does so, too."""
        if self._due is None:
            return
        step, calls, saturation = self._due
        if any(flow.gradients for call in calls for flow in call.flows):
            self.snapshots.append(Snapshot(step, flows(calls), saturation))
            self._due = None

    def norms(self, layer: str, state: str, direction: int = 0) -> np.ndarray:
        """(snapshots, T): the gradient norms of one state over training; NaN behind the last step of shorter batches.

        Raises:
            InputError: nothing was recorded under these names.
        """
        wanted = (layer, direction, state)
        found = [
            flow.norms
            for one in self.snapshots
            for flow in one.flows
            if (flow.layer, flow.direction, flow.state) == wanted
        ]
        if not found:
            known = {(f.layer, f.state, f.direction) for one in self.snapshots for f in one.flows}
            raise InputError(f"nothing is recorded of {(layer, state, direction)}; there is {sorted(known)}")
        longest = max(map(len, found))
        return np.stack([np.pad(one, (0, longest - len(one)), constant_values=np.nan) for one in found])

    def _begin(self, module: Any, args: Any) -> None:
        if not torch.is_grad_enabled():
            return
        self.collect()
        self._steps += 1
        if (self._steps - 1) % self._every == 0:
            self._due = None
            self._watch.listen()

    def _end(self, module: Any, args: Any, output: Any) -> None:
        if not self._watch.listening:
            return
        self._watch.rest()
        calls = self._watch.calls
        seen = [one for call in calls for one in recurrences(call, self._rows)] if self._rows else []
        # here, since the step is about to change the weights
        self._due = self._steps, calls, tuple(gate.saturation for gate in gates_of(seen))


def vanishing(snapshots: list[Snapshot]) -> Mapping[tuple[str, int, str], np.ndarray]:
    """By layer, direction and state, (snapshots): see `GradientFlow.vanishing`."""
    found: dict[tuple[str, int, str], list[float]] = {}
    for one in snapshots:
        for flow in one.flows:
            found.setdefault((flow.layer, flow.direction, flow.state), []).append(flow.vanishing)
    return {name: np.array(values) for name, values in found.items()}
