"""Training steps on torch: what `ostinato classify` trains, plain PyTorch in two ways, and PyTorch in float64."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from . import text_networks as networks
from .problems import Array
from .serving import watched
from .text_networks import Batch, Network


def there(lengths: Tensor, steps: int) -> Tensor:
    """(rows, steps): what is not padding."""
    return torch.arange(steps) < lengths[:, None]


class Packed(nn.Module):
    """A bidirectional layer over padded rows by way of `PackedSequence`, as PyTorch's documentation tells it."""

    def __init__(self, library: str, kind: str, inputs: int, units: int) -> None:
        super().__init__()
        layer = getattr(importlib.import_module(library), kind)
        self.layer = layer(inputs, units, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """(rows, steps, inputs) -> all outputs (rows, steps, 2 * units), and the last of both directions."""
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        output, state = self.layer(packed)
        last = state[0] if isinstance(state, tuple) else state
        return pad_packed_sequence(output, batch_first=True)[0], torch.cat([last[0], last[1]], 1)

    def named(self) -> dict[str, nn.Parameter]:
        """Weights by PyTorch's names for a layer that runs both ways."""
        return dict(self.layer.named_parameters())


class Turned(nn.Module):
    """The same without packing: two layers over padded rows, of which one reads each row from its own end.

    Padding is computed, yet never before a step that counts.
    """

    def __init__(self, kind: str, inputs: int, units: int) -> None:
        super().__init__()
        layer = getattr(nn, kind)
        self.there, self.back = (layer(inputs, units, batch_first=True) for _ in range(2))

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """See `Packed`."""
        step = torch.arange(x.shape[1]).expand(len(x), -1)
        turn = torch.where(step < lengths[:, None], lengths[:, None] - 1 - step, step)[:, :, None]
        there = self.there(x)[0]
        back = self.back(x.gather(1, turn.expand_as(x)))[0]
        final = torch.arange(len(x)), lengths - 1
        last = torch.cat([there[final], back[final]], 1)
        return torch.cat([there, back.gather(1, turn.expand_as(back))], 2), last

    def named(self) -> dict[str, nn.Parameter]:
        """See `Packed`."""
        back = {f"{name}_reverse": weight for name, weight in self.back.named_parameters()}
        return {**dict(self.there.named_parameters()), **back}


class Plain(nn.Module):
    """A network over padded rows, from plain modules and one bidirectional layer (`Packed` or `Turned`)."""

    def __init__(self, network: Network, rnn: Packed | Turned) -> None:
        super().__init__()
        self.network = network
        self.embedding = nn.Embedding(network.vocabulary, network.inputs) if network.vocabulary else nn.Identity()
        self.rnn = rnn
        self.hidden = nn.Linear(network.pooled, network.hidden) if network.hidden else None
        self.head = nn.Linear(network.hidden or network.pooled, network.outputs)

    def forward(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        x, lengths = batch
        vectors = nn.functional.dropout(self.embedding(x), self.network.input_dropout, self.training)
        output, last = self.rnn(vectors, lengths)
        real = there(lengths, output.shape[1])[:, :, None]
        pools: dict[str, Callable[[], Tensor]] = {
            "last": lambda: last,
            "max": lambda: output.masked_fill(~real, -torch.inf).amax(1),
            "mean": lambda: (output * real).sum(1) / lengths[:, None],
        }
        pooled = torch.cat([pools[piece]() for piece in self.network.pooling.split("+")], 1)
        pooled = nn.functional.dropout(pooled, self.network.dropout, self.training)
        if self.hidden is not None:
            pooled = torch.relu(self.hidden(pooled))
        answer: Tensor = self.head(pooled)
        return answer

    def named(self) -> dict[str, nn.Parameter]:
        """Weights by the names of `text_networks`."""
        own = {name: weight for name, weight in self.named_parameters() if not name.startswith("rnn.")}
        return own | {f"rnn.{name}": weight for name, weight in self.rnn.named().items()}


def _classifier(network: Network) -> tuple[nn.Module, dict[str, nn.Parameter]]:
    """The network that `ostinato classify` and `SequenceClassifier` build, and its weights by name."""
    from ostinato.sequences.network import Encoder, Network, pooled_size

    embedding = nn.Embedding(network.vocabulary, network.inputs) if network.vocabulary else nn.Identity()
    encoder = Encoder(network.inputs, "lstm", network.units)
    head = nn.Linear(pooled_size(encoder, network.pooling), network.outputs)
    made = Network(
        embedding, encoder, network.pooling, head, input_dropout=network.input_dropout, dropout=network.dropout
    )
    return made, {name.replace("encoder.stack.0.", "rnn."): weight for name, weight in made.named_parameters()}


def _array(gradient: Tensor | None) -> Array:
    """A copy, since the next step writes over it."""
    assert gradient is not None
    return gradient.numpy().copy()


class Steps:
    """Training steps of some weights by Adam.

    Args:
        weights: to train.
        rate: of learning.
        clip: norm that the gradient is cut to, or None.
        like_keras: add Adam's epsilon where Keras does, to the root that is not yet corrected for its beginning at 0.
    """

    def __init__(
        self, weights: Sequence[nn.Parameter], rate: float, clip: float | None = None, like_keras: bool = False
    ) -> None:
        self.weights, self.clip, self.like_keras, self.taken = weights, clip, like_keras, 0
        self.optimizer = torch.optim.Adam(weights, lr=rate, eps=networks.EPSILON)

    def take(self, loss: Callable[[], Tensor]) -> float:
        """One training step; its loss."""
        self.taken += 1
        if self.like_keras:
            group = self.optimizer.param_groups[0]
            group["eps"] = networks.EPSILON / (1 - group["betas"][1] ** self.taken) ** 0.5
        self.optimizer.zero_grad()
        value = loss()
        value.backward()
        if self.clip is not None:
            nn.utils.clip_grad_norm_(self.weights, self.clip)
        self.optimizer.step()
        return float(value.detach())

    def checked(self, loss: Callable[[], Tensor], named: Mapping[str, nn.Parameter]) -> dict[str, Array]:
        """The losses of `text_networks.UPDATES` steps, and the gradients of the first, by name."""
        losses = [self.take(loss)]
        gradients = {name: _array(weight.grad) for name, weight in named.items()}
        losses += [self.take(loss) for _ in range(networks.UPDATES - 1)]
        return {"losses": np.array(losses), **gradients}


class Classifier:
    """Training of a classifier, a batch after the other.

    Args:
        file: of batches; see `text_networks.save`.
        network: the entries of a `Network`.
        way: "ostinato", the application's own network and packing; "packed" or "turned", a plain program's.
        library: of the recurrent layer: "torch.nn" or "ostinato.nn".
        batches: how many of the file's are timed.
        like_keras: train one of the two biases of torch's layers only, as Keras' have one (the other stays as it is),
            and with Keras' form of Adam.
    """

    def __init__(
        self,
        file: str,
        network: Mapping[str, Any],
        way: str,
        library: str = "torch.nn",
        batches: int | None = None,
        like_keras: bool = False,
        dtype: str = "float32",
    ) -> None:
        if way not in ("ostinato", "packed", "turned"):
            raise ValueError(f"way is {way!r}; expected 'ostinato', 'packed' or 'turned'")
        self.network, self.way, self.library = Network(**network), way, library
        self.like_keras, self.dtype = like_keras, getattr(torch, dtype)
        read, self.sample = networks.load(file)
        self.batches = [self._taken(batch) for batch in read[:batches]]
        self.module, named = self._made(self.network)
        self.steps = self._steps(named, self.network.clip)

    def _taken(self, batch: Batch) -> tuple[Any, Tensor]:
        """A batch as this way has it in hand before a step."""
        x, lengths, y = map(torch.from_numpy, batch)
        x = x.to(self.dtype) if x.is_floating_point() else x
        target = y.to(self.dtype)[:, None] if self.network.outputs == 1 else y
        if self.way != "ostinato":
            return (x, lengths), target
        from ostinato.sequences.ragged import Ragged

        return Ragged(x[there(lengths, x.shape[1])], lengths), target

    def _steps(self, named: Mapping[str, nn.Parameter], clip: float | None) -> Steps:
        return Steps(list(named.values()), self.network.learning_rate, clip, self.like_keras)

    def _made(self, network: Network) -> tuple[nn.Module, dict[str, nn.Parameter]]:
        """A module that starts from the weights that all have, and those that it trains, by name."""
        if self.way == "ostinato":
            module, named = _classifier(network)
        else:
            size = "LSTM", network.inputs, network.units
            plain = Plain(network, Packed(self.library, *size) if self.way == "packed" else Turned(*size))
            module, named = plain, plain.named()
        module.to(self.dtype)
        with torch.no_grad():
            for name, value in networks.weights(network).items():
                named[name].copy_(torch.from_numpy(value))
        if self.like_keras:
            for name in [name for name in named if "bias_hh" in name]:
                named.pop(name).requires_grad_(False)
        return module, named

    def _loss(self, module: nn.Module, batch: tuple[Any, Tensor]) -> Tensor:
        rows, target = batch
        packed = rows.pack(torch.arange(len(rows))) if self.way == "ostinato" else rows
        answer = module(packed)
        if self.network.outputs == 1:
            return nn.functional.binary_cross_entropy_with_logits(answer, target)
        return nn.functional.cross_entropy(answer, target)

    def measure(self) -> dict[str, Any]:
        """One pass over the batches."""
        return networks.timed(lambda batch: self.steps.take(lambda: self._loss(self.module, batch)), self.batches)

    def check(self) -> dict[str, Array]:
        """Gradients and losses of a network without dropout, on a batch of rows of very unlike lengths."""
        module, named = self._made(replace(self.network, dropout=0.0, input_dropout=0.0))
        batch = self._taken(self.sample)
        with watched(self) if self.way == "ostinato" or self.library == "ostinato.nn" else nullcontext():
            return self._steps(named, None).checked(lambda: self._loss(module, batch), named)
