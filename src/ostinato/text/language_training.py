"""The training of a language model: one stream of text, read at several places at once, with states carried along."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from .. import nn
from ..errors import InputError
from ..sequences.training import clip, seed_all
from .language_network import LanguageNetwork, Reading, States, carried
from .language_settings import LanguageSettings

#: Units that are read in one go where no gradient is asked for, and places in a text that are read at once there,
#: unless one place would have fewer units than that: each begins without knowing what stands before it.
STEPS, PLACES, LEAST = 256, 8, 2000


@dataclass(frozen=True)
class LanguageEpoch:
    """How training stands after an epoch.

    Attributes:
        number: from 1.
        epochs: most there can be.
        loss: mean over the training text with dropout, in nats a unit.
        val_loss: mean over the validation text without, likewise; None where there is none.
        learning_rate: of its last update.
        seconds: wall time of the epoch with its validation.
        units: read in training.
    """

    number: int
    epochs: int
    loss: float
    val_loss: float | None
    learning_rate: float
    seconds: float
    units: int


@dataclass(frozen=True)
class LanguageTraining:
    """What came of training.

    Attributes:
        history: every epoch.
        best: number of the epoch whose weights the network has.
        seconds: wall time.
    """

    history: tuple[LanguageEpoch, ...]
    best: int
    seconds: float


def train(
    network: LanguageNetwork,
    stream: np.ndarray,
    validation: np.ndarray | None,
    settings: LanguageSettings,
    on_epoch: Callable[[LanguageEpoch], None] | None = None,
) -> LanguageTraining:
    """Train a network in place; it ends with the weights of its best epoch, in evaluation mode.

    Gradients flow back over `steps` units, states through the whole text (truncated backpropagation: Williams & Peng
    1990). Every epoch cuts the text at other places.

    Args:
        network: to train.
        stream: (n) numbers of the units to train on.
        validation: (m) of those to stop on, which begin with the last of `stream`; None runs all epochs.
        settings: see there.
        on_epoch: called after each epoch.

    Raises:
        InputError: training diverged, the text is too short, or there is not enough memory.
    """
    seed_all(settings.seed)
    rows, steps = settings.batch_size, settings.steps
    if len(stream) < rows + 1:
        raise InputError(f"the text to train on has {len(stream)} units; --batch-size {rows} needs at least {rows + 1}")
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(
        weights, lr=settings.learning_rate, betas=(0.9, 0.99), weight_decay=settings.weight_decay
    )
    history: list[LanguageEpoch] = []
    best, lowest, best_weights = 0, math.inf, None
    begin = time.perf_counter()
    for number in range(1, settings.epochs + 1):
        began = time.perf_counter()
        shift = int(torch.randint(min(steps, len(stream) - rows), ()))
        batches = nn.SeriesBatches(stream[shift:], horizon=1, batch=rows, steps=steps, dtype="int64")
        loss = _pass(network, batches, settings, optimizer, number)
        val_loss = None if validation is None else float(costs(network, validation).mean())
        seconds, rate = time.perf_counter() - began, float(optimizer.param_groups[0]["lr"])
        epoch = LanguageEpoch(number, settings.epochs, loss, val_loss, rate, seconds, len(stream) - shift)
        history.append(epoch)
        if on_epoch is not None:
            on_epoch(epoch)
        if val_loss is None:
            best = number
        elif not math.isfinite(val_loss):
            raise _diverged("the validation loss", number, settings)
        elif val_loss < lowest:
            best, lowest, best_weights = number, val_loss, copy.deepcopy(network.state_dict())
        elif number - best >= settings.patience:
            break
    if best_weights is not None:
        network.load_state_dict(best_weights)
    network.eval()
    return LanguageTraining(tuple(history), best, time.perf_counter() - begin)


@torch.no_grad()
def costs(network: LanguageNetwork, stream: np.ndarray, places: int | None = None) -> np.ndarray:
    """What a text costs a network in evaluation mode: (n - 1) nats of each unit but the first, in order.

    Args:
        stream: (n) numbers of units.
        places: of the stream that are read at once, each with a state that begins there; None is some where the stream
            is long.
    """
    network.eval()
    places = places or max(1, min(PLACES, (len(stream) - 1) // LEAST))
    batches = nn.SeriesBatches(stream, horizon=1, batch=places, steps=STEPS, dtype="int64")
    states: States | None = None
    found = []
    for x, y, _, carry in batches:
        reading = network(x, None if states is None else carried(states, carry))
        states = reading.states
        found.append(_nats(network, reading, y).numpy())
    restored: np.ndarray = batches.streams.restore(np.stack(found))[0]
    return restored.astype(np.float64)


def _pass(
    network: LanguageNetwork,
    batches: nn.SeriesBatches,
    settings: LanguageSettings,
    optimizer: torch.optim.Optimizer,
    number: int,
) -> float:
    """The mean loss of one epoch of updates, without the penalties."""
    network.train()
    weights = optimizer.param_groups[0]["params"]
    states: States | None = None
    total, count = 0.0, 0
    for done, (x, y, mask, carry) in enumerate(batches):
        # the rate in the middle of the update, so that none is 0
        progress = (number - 1 + (done + 0.5) / len(batches)) / settings.epochs
        optimizer.param_groups[0]["lr"] = settings.learning_rate * rise_and_fall(progress)
        optimizer.zero_grad()
        try:
            reading = network(x, None if states is None else carried(states, carry))
            states = reading.states
            loss = (_nats(network, reading, y) * mask).sum() / mask.sum()
            (loss + _penalties(reading, mask, settings)).backward()
        except RuntimeError as error:
            if "allocate memory" not in str(error):  # torch has no class for it
                raise
            raise InputError(
                f"a batch of {settings.batch_size} x {settings.steps} units does not fit in memory; use a smaller "
                "--batch-size, --units or --vocabulary"
            ) from None
        if not math.isfinite(float(loss.detach())):
            raise _diverged("the loss", number, settings)
        if not math.isfinite(clip(weights, settings.clip)):
            raise _diverged("a gradient", number, settings)
        optimizer.step()
        units = int(mask.sum())
        total, count = total + float(loss.detach()) * units, count + units
    return total / count


def rise_and_fall(progress: float, rise: float = 0.05) -> float:
    """The share of the highest learning rate when a share of all updates is done: up in a line, down in a cosine."""
    if progress < rise:
        return progress / rise
    return (1 + math.cos(math.pi * (progress - rise) / (1 - rise))) / 2


def _nats(network: LanguageNetwork, reading: Reading, wanted: Tensor) -> Tensor:
    """(batch, steps): what each unit costs."""
    scores = network.scores(reading.output)
    return cross_entropy(scores.flatten(0, 1), wanted.flatten(), reduction="none").view_as(wanted)


def _penalties(reading: Reading, mask: Tensor, settings: LanguageSettings) -> Tensor:
    """On what is large behind dropout, and on what jumps before it (Merity, McCann & Socher 2017, 1708.01009)."""
    alpha, beta = settings.activation_penalty, settings.temporal_activation_penalty
    total = reading.last.new_zeros(())
    if alpha:
        total = total + alpha * nn.activation_penalty(reading.dropped, mask, batch_first=True)
    if beta and mask[:, 1:].any():
        total = total + beta * nn.temporal_activation_penalty(reading.last, mask, batch_first=True)
    return total


def _diverged(what: str, number: int, settings: LanguageSettings) -> InputError:
    return InputError(
        f"training diverged: {what} is not finite in epoch {number}; "
        f"use a lower --learning-rate than {settings.learning_rate:g}"
    )
