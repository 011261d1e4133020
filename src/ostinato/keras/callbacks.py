"""Every name of `keras.callbacks`, `Faults` and `NormPreservingPenalty`."""

from __future__ import annotations

import inspect
import math
from typing import Any, Literal

import keras
import torch

from ..faults import Hints, Seen, TrainingFault, Watch
from ..faults.hints import first_tensor
from . import seen
from .preservation import NormPreservingPenalty


class Faults(seen.Guest):
    """Stops a training whose loss or gradient is not finite, in one sentence that says where it began.

    The sentence names the epoch and batch, the first layer whose output is not finite, or the parameter whose gradient
    is the first on the way back, and the largest gradient (before clipping) of the step before. A loss is looked at
    before its backward pass, so that the weights, the optimizer, moving averages and kept states stay as they were
    before that batch. A gradient is looked at after the update; weights saved by other callbacks stay.

    At the end of an epoch it prints a hint, once for each layer, where units are dead (a ReLU that puts out 0 for all
    of the last batch), constant or saturated, where gates are, and where the loss has not moved since the first epoch.

    In every step it keeps a reference to each layer's input and output until the next, looks whether the loss is
    finite, and takes the norms of all gradients in one call. At the end of an epoch it runs up to 8 rows and 100 steps
    of the last batch through each recurrent layer once more, on the reference, to see its gates.

    Attributes:
        fault: what stopped the last training; None if nothing did.
    """

    def __init__(
        self,
        action: Literal["raise", "stop"] = "raise",
        *,
        hints: bool = True,
        share: float = 0.5,
        patience: int = 5,
        flat: float = 1e-3,
    ) -> None:
        """What to do about a fault, and what is worth a hint.

        Args:
            action: "raise" a `TrainingFault` out of `fit`, or "stop" the training and print the sentence.
            hints: whether to give any.
            share: of a layer's units, or of its gates' values, from which on they are worth a hint.
            patience: after so many epochs the loss should have moved from where it began.
            flat: by which share of itself.

        Raises:
            ValueError: an argument is out of range.
        """
        super().__init__()
        if action not in ("raise", "stop"):
            raise ValueError(f"action is {action!r}; expected 'raise' or 'stop'")
        self.action = action
        self.fault: TrainingFault | None = None
        self._with_hints = hints
        self._hint_options = (share, patience, flat)
        self._hints = Hints(*self._hint_options)
        self._recorder: Any = None

    def on_train_begin(self, logs: Any = None) -> None:
        """Begin to watch.

        Raises:
            ValueError: Keras does not run on torch step by step.
        """
        seen.check_eager(self.model, "Faults")
        seen.release(self.model, Faults)  # what a training that was interrupted has left
        self.fault = None
        self._watch, self._hints = Watch(), Hints(*self._hint_options)
        self._recorder = seen.Recorder(self.model, Faults)
        self._watch.outputs = self._recorder.outputs
        self._before: list[tuple[Any, Any]] = []
        self._saved: list[tuple[Any, Any]] = []
        self._loss = math.nan
        self._looks = not isinstance(self.model.optimizer, keras.optimizers.LossScaleOptimizer)
        compute_loss = self.model.compute_loss
        signature = inspect.signature(compute_loss)

        def watched(*args: Any, **kwargs: Any) -> Any:
            loss = compute_loss(*args, **kwargs)
            if self._recorder.on:
                self._loss = float(loss.detach())
                if not math.isfinite(self._loss):
                    self._explain(loss.detach(), signature.bind(*args, **kwargs).arguments)
            return loss

        seen.replace(self.model, "compute_loss", watched, Faults)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._watch.epoch = epoch + 1

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._watch.batch = batch + 1
        # what a forward pass changes: moving averages, the states of stateful layers
        stateful = [one for one in self.model._flatten_layers() if getattr(one, "stateful", False)]
        states = [state for one in stateful for state in keras.tree.flatten(getattr(one, "states", None) or [])]
        changed = [*self.model.non_trainable_variables, *states]
        self._before = [(one, one.value.detach().clone()) for one in changed if one is not None]
        self._recorder.clear()
        self._recorder.on = True

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._recorder.on = False
        if self.fault is not None:
            with torch.no_grad():
                for variable, value in self._saved:
                    variable.assign(value)
            return
        weights = {variable.path: variable.value for variable in self.model.trainable_variables}
        gradients = {name: weight.grad for name, weight in weights.items() if weight.grad is not None}
        if self._looks:
            self._stop(self._watch.gradients(gradients, self._loss, updated=True))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self._with_hints and self.fault is None:
            for text in self._found((logs or {}).get("loss")):
                print(text)

    def _explain(self, loss: Any, given: dict[str, Any]) -> None:
        """Say what is wrong with a step, before its backward pass; `given` is what its loss was computed of."""
        weights = {variable.path: variable.value for variable in self.model.trainable_variables}
        targets = {"targets": given.get("y"), "sample weights": given.get("sample_weight")}
        fault = self._watch.loss(loss, {"input": given.get("x")}, weights, targets)
        if fault is not None and self.action == "raise":
            for variable, value in self._before:
                variable.assign(value)
        elif fault is not None:
            variables = [*self.model.trainable_variables, *self.model.optimizer.variables]
            self._saved = [(variable, variable.value.detach().clone()) for variable in variables] + self._before
        self._stop(fault)

    def _stop(self, fault: TrainingFault | None) -> None:
        if fault is None:
            return
        self.fault = fault
        if self.action == "raise":
            self.leave()
            raise fault
        print(fault)
        self.model.stop_training = True

    def _found(self, loss: float | None) -> list[str]:
        found = [] if loss is None else self._hints.loss(float(loss))
        for name, output in self._recorder.outputs.items():
            layer = self._recorder.layers[name]
            kind = seen.kind(layer)
            for tensor in first_tensor(output):
                found += [] if kind is None else self._hints.units(Seen(name, kind, tensor))
            for inner in seen.recurrent(layer):
                share = seen.gates(inner, self._recorder.inputs[name])
                if share is not None:
                    found += self._hints.gates(inner.name, share)
        return found

    def leave(self) -> None:
        if self._recorder is not None:
            seen.release(self.model, Faults)
            self._recorder.clear()


_OURS = {"Faults": Faults, "NormPreservingPenalty": NormPreservingPenalty, "TrainingFault": TrainingFault}

__all__ = sorted({name for name in dir(keras.callbacks) if not name.startswith("_")} | set(_OURS))  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(keras.callbacks, name)


def __dir__() -> list[str]:
    return __all__
