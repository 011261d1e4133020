"""A classifier's embedding and encoder, trained as a language model on the texts before they see a label.

Dai & Le 2015 (1511.01432) start a classifier from a language model, Howard & Ruder 2018 (1801.06146) show how much it
is worth. Here one pass over a text trains both directions of the classifier's own encoder: in a layer that runs both
ways, the forward half at t has seen the tokens up to t and is asked for token t + 1, the backward half has seen those
from t on and is asked for token t - 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, dropout, embedding
from torch.nn.utils.rnn import PackedSequence

from ..errors import InputError
from ..sequences.batches import Batches
from ..sequences.network import Encoder, Network, with_data
from ..sequences.ragged import Ragged
from ..sequences.training import Epoch, Settings, Training, seed_all, train

#: Rows whose scores of the whole vocabulary are held at once where no gradient is asked for.
_AT_ONCE = 2048


@dataclass(frozen=True)
class Pretraining:
    """How the language model is trained.

    Attributes:
        epochs: passes over all texts.
        batch_size: texts, or pieces of texts, in a batch.
        longest: a longer text is read in pieces of at most so many tokens, each from a state of zero.
        learning_rate: of Adam, at its highest: it rises over the first twentieth and falls to zero in a straight line.
        candidates: tokens drawn at random that a batch's right ones are told from (sampled softmax: Jean et al. 2015,
            1412.2007); 0 is the whole vocabulary, and slower.
        dropout: share of the embedding's numbers, and of the encoder's, that training drops.
        held_out: share of the texts that is not trained on but tells the perplexity.
        seed: of which texts these are, the order, the candidates, the dropout and the weights of the output.
    """

    epochs: int = 3
    batch_size: int = 32
    longest: int = 256
    learning_rate: float = 0.004
    candidates: int = 1024
    dropout: float = 0.1
    held_out: float = 0.02
    seed: int = 0

    def __post_init__(self) -> None:
        """
        Raises:
            InputError: naming the setting that is out of range.
        """
        for name, least in (("epochs", 1), ("batch_size", 1), ("longest", 2), ("candidates", 0)):
            if getattr(self, name) < least:
                raise InputError(f"{name} of the pretraining is {getattr(self, name)}; expected at least {least}")
        for name in ("dropout", "held_out"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name} of the pretraining is {getattr(self, name):g}; expected 0 or more, below 1")
        if not 0 < self.learning_rate < math.inf:
            raise InputError(f"learning_rate of the pretraining is {self.learning_rate:g}; expected a number above 0")


def pretrain(
    network: Network,
    sequences: Ragged | Sequence[Any],
    settings: Pretraining | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> Training:
    """Train the embedding and the encoder of a classifier, in place, to tell each token's neighbours; no label is seen.

    The embedding begins anew, and the head of the classifier stays as it is. What tells the neighbours from the
    encoder's outputs is thrown away.

    Args:
        network: its embedding is a `torch.nn.Embedding` of the tokens, and its encoder has one layer where it runs both
            ways.
        sequences: the tokens of every text, tensors or arrays (steps) of integers.
        settings: None is the default.
        on_epoch: called after each epoch; `exp(epoch.val_loss)` is the perplexity of the texts held out, over the whole
            vocabulary and both directions, and `epoch.loss`, in nats too, is among candidates only.

    Returns:
        Its history. The network has the weights of the epoch with the lowest perplexity, and is in evaluation mode.

    Raises:
        InputError: an upper layer would see the tokens that it is asked for; no text has two tokens; training diverged,
            or there is not enough memory.
        TypeError: the embedding is another module.
    """
    settings = settings or Pretraining()
    seed_all(settings.seed)
    texts = Ragged.of(sequences)
    drawn = torch.randperm(len(texts), generator=torch.Generator().manual_seed(settings.seed))
    held = int(settings.held_out * len(texts))
    tried, learnt = (pieces(texts.select(some), settings.longest) for some in (drawn[:held], drawn[held:]))
    if not learnt:
        raise InputError("no text has two tokens, so there is nothing to learn a language from")
    counts = torch.bincount(texts.values, minlength=_tokens_of(network).num_embeddings)
    neighbours = Neighbours(network, counts, settings)
    generator = torch.Generator().manual_seed(settings.seed)
    batches = Batches(learnt, size=settings.batch_size, shuffle=True, generator=generator)
    validation = Batches(tried, size=settings.batch_size) if tried else None
    how = Settings(
        epochs=settings.epochs, patience=settings.epochs, learning_rate=settings.learning_rate,
        schedule="linear", warmup=0.05, seed=settings.seed,
    )  # fmt: skip
    training = train(neighbours, batches, validation, lambda nats, _: nats.mean(), how, on_epoch)
    network.eval()
    return training


def pieces(texts: Ragged, longest: int) -> list[Tensor]:
    """The texts, those that are longer cut into parts of like length; what has one token has no neighbour."""
    parts = [part for text in texts for part in text.tensor_split(-(-len(text) // longest))]
    return [part for part in parts if len(part) > 1]


class Neighbours(torch.nn.Module):
    """What a token's neighbours cost, told by the encoder of a classifier.

    The scores of tokens are products with their embeddings, which are those that the encoder reads (Press & Wolf 2017,
    1608.05859), behind a linear map for each direction.

    Attributes:
        embedding, encoder: the classifier's.
        maps: one a direction, from the encoder's outputs to vectors of the embedding's size E.
        bias: of every token's score.
    """

    def __init__(self, network: Network, counts: Tensor, settings: Pretraining) -> None:
        """
        Args:
            counts: (vocabulary): how often each token stands in the texts.
        """
        super().__init__()
        self.embedding, self.encoder = _tokens_of(network), _told_apart(network.encoder)
        torch.nn.init.uniform_(self.embedding.weight, -0.1, 0.1)  # so that first scores are near the frequencies
        self.candidates = settings.candidates if settings.candidates < len(counts) else 0
        self.dropout = settings.dropout
        size, directions = self.embedding.embedding_dim, self.encoder.directions
        width = self.encoder.output_size // directions
        self.maps = torch.nn.ModuleList(torch.nn.Linear(width, size) for _ in range(directions))
        # begins at the frequencies, so that contexts are all there is to learn
        self.bias = torch.nn.Parameter((counts + 1).log() - (counts + 1).sum().log())
        self.register_buffer("chances", (counts + 1).sqrt() / (counts + 1).sqrt().sum(), persistent=False)

    def forward(self, packed: PackedSequence) -> Tensor:
        """(neighbours told): nats of each, among candidates in training and over the whole vocabulary else."""
        vectors = dropout(self.embedding(packed.data), self.dropout, self.training)
        outputs = self.encoder(with_data(packed, vectors)).data
        earlier, later = following(packed.batch_sizes)
        told = [(earlier, later), (later, earlier)]
        costs = []
        for (here, there), half, map_ in zip(told, outputs.chunk(len(self.maps), -1), self.maps, strict=False):
            guess = map_(dropout(half[here], self.dropout, self.training))
            cost = self._among_candidates if self.training and self.candidates else self._among_all
            costs.append(cost(guess, packed.data[there]))
        return torch.cat(costs)

    def _among_all(self, guess: Tensor, wanted: Tensor) -> Tensor:
        """(n, E), (n) -> (n)."""
        rows = len(guess) if torch.is_grad_enabled() else _AT_ONCE
        weight = self.embedding.weight.T
        parts = zip(guess.split(rows), wanted.split(rows), strict=True)
        costs = [cross_entropy(torch.addmm(self.bias, one, weight), right, reduction="none") for one, right in parts]
        return torch.cat(costs)

    def _among_candidates(self, guess: Tensor, wanted: Tensor) -> Tensor:
        """(n, E), (n) -> (n).

        A candidate's share of the softmax's sum is divided by how often it is expected to be drawn, so that the sum
        over candidates is, on average, that over the vocabulary (Jean et al. 2015, eq. 8). Candidates come from the
        square roots of the frequencies: frequent tokens make up most of the sum, and rare ones want to be seen too.
        """
        chances, weight = self.get_buffer("chances"), self.embedding.weight
        drawn, times = torch.multinomial(chances, self.candidates, replacement=True).unique(return_counts=True)
        share = (times / (self.candidates * chances[drawn])).log()
        place = torch.searchsorted(drawn, wanted).clamp(max=len(drawn) - 1)
        twice = (drawn[place] == wanted).nonzero().squeeze(1)  # the right one is among them anyway
        right = (guess * embedding(wanted, weight)).sum(-1) + self.bias[wanted]
        others = guess, embedding(drawn, weight), self.bias[drawn] + share
        found: Tensor = Surprise.apply(right, *others, (twice, place[twice]))  # type: ignore[no-untyped-call]
        return found


class Surprise(torch.autograd.Function):
    """What the right one of n scores costs beside those of k candidates: log(exp(right) + sum exp(others)) - right.

    As `cross_entropy` of them all side by side, whose table it makes once instead of several times.
    """

    @staticmethod
    def forward(
        ctx: Any, right: Tensor, guess: Tensor, weight: Tensor, bias: Tensor, left_out: tuple[Tensor, Tensor]
    ) -> Tensor:
        """(n), (n, E), (k, E), (k), and places (row, candidate) that do not count -> (n)."""
        table = torch.addmm(bias, guess, weight.T)
        table[left_out] = -math.inf
        highest = torch.maximum(table.amax(1), right)
        table.sub_(highest.unsqueeze(1)).exp_()
        own = (right - highest).exp()
        total = table.sum(1) + own
        table.div_(total.unsqueeze(1))
        ctx.save_for_backward(guess, weight, table, own / total)
        return total.log() + highest - right

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        guess, weight, table, own = ctx.saved_tensors
        rows = gradient.unsqueeze(1)
        return gradient * (own - 1), (table @ weight).mul_(rows), table.T @ (guess * rows), table.T @ gradient, None


def following(batch_sizes: Tensor) -> tuple[Tensor, Tensor]:
    """Of a packed batch, the places of all steps that another follows, and the places of those others."""
    first = batch_sizes.cumsum(0) - batch_sizes
    rows = torch.arange(int(batch_sizes[0]))
    both = rows < batch_sizes[1:].unsqueeze(1)
    earlier, later = ((one.unsqueeze(1) + rows)[both] for one in (first[:-1], first[1:]))
    return earlier, later


def _tokens_of(network: Network) -> torch.nn.Embedding:
    if not isinstance(network.embedding, torch.nn.Embedding):
        raise TypeError(f"the embedding is a {type(network.embedding).__name__}; expected torch.nn.Embedding of tokens")
    return network.embedding


def _told_apart(encoder: Encoder) -> Encoder:
    """An encoder none of whose outputs has seen what it is asked for.

    Raises:
        InputError: it has.
    """
    layers = sum(layer.num_layers for layer in encoder.stack)  # type: ignore[misc]
    if encoder.directions == 2 and layers > 1:
        raise InputError(
            f"the encoder has {layers} layers that run both ways, so that the upper ones have seen the tokens they are "
            "asked for in pretraining; use one layer"
        )
    return encoder
