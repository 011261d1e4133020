"""The training of a network over batches of sequences."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from ..errors import InputError
from .batches import Batches

Schedule = Literal["constant", "linear", "cosine"]
SCHEDULES = ("constant", "linear", "cosine")

#: What a network answers for a batch: (batch, outputs), or packed (all steps, outputs).
Answer = Tensor | PackedSequence
#: From answers and targets to the mean over rows, or over steps where answers are packed.
Measure = Callable[[Any, Any], Tensor]


@dataclass(frozen=True)
class Settings:
    """How a network is trained.

    Attributes:
        epochs: most passes over the sequences.
        patience: epochs without a better validation before training stops; needs validation sequences.
        learning_rate: of Adam (Kingma & Ba 2015, 1412.6980), the highest of the schedule.
        weight_decay: of Adam, apart from the gradient (Loshchilov & Hutter 2019, 1711.05101); 0 is none.
        clip: norm that the gradient is cut to, or None.
        schedule: of the learning rate after the warm-up: "constant"; "linear" and "cosine" fall to 0 at the last of
            `epochs`.
        warmup: share of all updates in which the learning rate rises from 0.
        seed: of dropout and shuffling; and of initial weights, where the caller draws them after `seed_all`.
    """

    epochs: int = 50
    patience: int = 10
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    clip: float | None = 1.0
    schedule: Schedule = "constant"
    warmup: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        """
        Raises:
            InputError: naming the setting that is out of range.
        """
        for name in ("epochs", "patience"):
            check_whole(name, getattr(self, name))
        if not 0 < self.learning_rate < float("inf"):
            raise InputError(f"learning_rate is {self.learning_rate:g}; expected a number above 0")
        if not 0 <= self.weight_decay < float("inf"):
            raise InputError(f"weight_decay is {self.weight_decay:g}; expected a number of at least 0")
        if self.clip is not None and not self.clip > 0:
            raise InputError(f"clip is {self.clip:g}; expected a number above 0, or None")
        if self.schedule not in SCHEDULES:
            raise InputError(f"schedule is {self.schedule!r}; expected {' or '.join(SCHEDULES)}")
        if not 0 <= self.warmup < 1:
            raise InputError(f"warmup is {self.warmup:g}; expected a share of at least 0 and less than 1")
        if not (isinstance(self.seed, Integral) and 0 <= self.seed < 2**32):
            raise InputError(f"seed is {self.seed}; expected 0 to {2**32 - 1}, a whole number")

    def rate(self, progress: float) -> float:
        """The learning rate when a share `progress` of all updates is done."""
        if progress < self.warmup:
            return self.learning_rate * progress / self.warmup
        left = (1 - progress) / (1 - self.warmup)
        factor = {"constant": 1.0, "linear": left, "cosine": (1 - math.cos(math.pi * left)) / 2}[self.schedule]
        return self.learning_rate * factor


@dataclass(frozen=True)
class Epoch:
    """How training stands after an epoch.

    Attributes:
        number: of the epoch, from 1.
        epochs: most there can be.
        loss: mean over the training sequences, as the weights changed.
        val_loss: mean over the validation sequences, or None where there are none.
        val_metric: likewise of the metric, or None where there is none.
        learning_rate: of its last update.
        seconds: wall time of the epoch with its validation.
    """

    number: int
    epochs: int
    loss: float
    val_loss: float | None
    val_metric: float | None
    learning_rate: float
    seconds: float


@dataclass(frozen=True)
class Training:
    """What came of training.

    Attributes:
        history: every epoch.
        best: number of the epoch whose weights the network has.
        seconds: wall time.
    """

    history: tuple[Epoch, ...]
    best: int
    seconds: float


def check_whole(name: str, value: Any) -> None:
    """See that a setting is a whole number of at least 1, Python's or NumPy's.

    Raises:
        InputError: it is not.
    """
    if not isinstance(value, Integral) or value < 1:
        raise InputError(f"{name} is {value}; expected a whole number of at least 1")


def seed_all(seed: int) -> None:
    """Set torch's random state, from which initial weights, dropout and shuffling are drawn."""
    torch.manual_seed(int(seed))


def train(
    network: torch.nn.Module,
    batches: Batches,
    validation: Batches | None,
    loss: Measure,
    settings: Settings,
    on_epoch: Callable[[Epoch], None] | None = None,
    *,
    metric: Measure | None = None,
) -> Training:
    """Train a network in place; it ends with the weights of its best epoch, in evaluation mode, also when it fails.

    The best epoch has the highest validation metric, or the lowest validation loss where there is no metric; of equals,
    that with the lower loss. Without validation all epochs are run, and the last is the best. The result is the same
    for any number of threads.

    Every batch makes one update by the mean of its losses, however few its rows: where batches differ in size (the last
    of a pool, or those that `Batches.steps` bounds), rows of small ones count for more.

    Args:
        network: from packed sequences to answers.
        batches: to train on.
        validation: to stop on, or None.
        loss: from answers and targets to the mean over rows, or over steps where answers are packed.
        settings: see there.
        on_epoch: called after each epoch.
        metric: likewise, to choose the epoch by; higher is better.

    Raises:
        InputError: the loss, a gradient, the validation's loss or its metric is not finite, or there is not enough
            memory.
    """
    seed_all(settings.seed)
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    history: list[Epoch] = []
    best, best_rank, best_weights = 0, (-math.inf, -math.inf), None
    begin = time.perf_counter()
    try:
        for number in range(1, settings.epochs + 1):
            began = time.perf_counter()
            mean = _pass(network, batches, loss, settings, optimizer, number)
            val_loss, val_metric = (None, None) if validation is None else evaluate(network, validation, loss, metric)
            rate, seconds = float(optimizer.param_groups[0]["lr"]), time.perf_counter() - began
            history.append(Epoch(number, int(settings.epochs), mean, val_loss, val_metric, rate, seconds))
            if on_epoch is not None:
                on_epoch(history[-1])
            if val_loss is None:
                best = number
                continue
            for what, value in (("loss", val_loss), ("metric", val_metric)):
                if value is not None and not math.isfinite(value):
                    raise _diverged(f"the validation {what}", number, settings)
            rank = (-val_loss if val_metric is None else val_metric, -val_loss)
            if rank > best_rank:
                best, best_rank, best_weights = number, rank, copy.deepcopy(network.state_dict())
            elif number - best >= settings.patience:
                break
    finally:
        if best_weights is not None:
            network.load_state_dict(best_weights)
        network.eval()
    return Training(tuple(history), best, time.perf_counter() - begin)


def evaluate(
    network: torch.nn.Module, batches: Batches, loss: Measure, metric: Measure | None = None
) -> tuple[float, float | None]:
    """Mean loss and metric of a network, in evaluation mode, over all rows, or all steps where answers are packed.

    Raises:
        InputError: there is not enough memory.
    """
    network.eval()
    losses, metrics, counts = [], [], []
    with torch.no_grad():
        for packed, targets, _ in batches:
            with _in_memory(packed):
                answers = network(packed)
                losses.append(float(loss(answers, targets)))
                metrics += [] if metric is None else [float(metric(answers, targets))]
            counts.append(_count(answers))
    return float(np.average(losses, weights=counts)), float(np.average(metrics, weights=counts)) if metrics else None


def answers(network: torch.nn.Module, batches: Batches) -> Iterator[tuple[Answer, Tensor]]:
    """What a network, in evaluation mode, answers for each batch, and the numbers of its sequences."""
    network.eval()
    with torch.no_grad():
        for packed, _, numbers in batches:
            with _in_memory(packed):
                answer = network(packed)
            yield answer, numbers


def _pass(
    network: torch.nn.Module,
    batches: Batches,
    loss: Measure,
    settings: Settings,
    optimizer: torch.optim.Optimizer,
    number: int,
) -> float:
    """The mean loss of one epoch of updates."""
    network.train()
    weights = optimizer.param_groups[0]["params"]
    total, count, seen = 0.0, 0, 0
    for packed, targets, numbers in batches:
        # the rate in the middle of the update, so that none is 0
        progress = (number - 1 + (seen + len(numbers) / 2) / len(batches.sequences)) / settings.epochs
        optimizer.param_groups[0]["lr"] = settings.rate(progress)
        seen += len(numbers)
        optimizer.zero_grad()
        with _in_memory(packed):
            found = network(packed)
            value = loss(found, targets)
            value.backward()
        if not math.isfinite(float(value.detach())):
            raise _diverged("the loss", number, settings)
        if settings.clip is not None and not math.isfinite(clip(weights, settings.clip)):
            raise _diverged("a gradient", number, settings)
        try:
            optimizer.step()
        except RuntimeError as error:
            if "without overflow" not in str(error):  # torch has no class for it
                raise
            raise _diverged("an update", number, settings) from None
        rows = _count(found)
        total, count = total + float(value.detach()) * rows, count + rows
    return total / count


def clip(weights: list[Tensor], largest: float) -> float:
    """Scale the gradients of `weights` so that their common norm is at most `largest`; return what it was.

    Unlike torch's, the sum does not depend on the number of threads.
    """
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    # a row's sum is one thread's, and so is NumPy's
    squares = [np.sum(one.square().flatten(max(one.dim() - 1, 0)).sum(-1).numpy(), dtype=float) for one in gradients]
    norm = math.sqrt(math.fsum(squares)) if np.isfinite(squares).all() else math.nan
    if norm > largest:
        torch._foreach_mul_(gradients, largest / norm)
    return norm


@contextmanager
def _in_memory(packed: PackedSequence) -> Iterator[None]:
    """Say so where a batch does not fit."""
    try:
        yield
    except RuntimeError as error:
        if "allocate memory" not in str(error):  # torch has no class for it
            raise
        raise InputError(
            f"a batch of {int(packed.batch_sizes[0])} sequences with {len(packed.data)} steps does not fit in memory; "
            "use smaller batches, shorter sequences, or fewer units"
        ) from None


def _count(answer: Answer) -> int:
    return len(answer.data if isinstance(answer, PackedSequence) else answer)


def _diverged(what: str, number: int, settings: Settings) -> InputError:
    return InputError(
        f"training diverged: {what} is not finite in epoch {number}; "
        f"use a lower learning_rate than {settings.learning_rate:g}"
    )
