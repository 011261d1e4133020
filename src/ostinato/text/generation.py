"""Text from a language model, a unit at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ..errors import InputError
from .language_network import LanguageNetwork


def units_from(
    network: LanguageNetwork,
    prompt: Sequence[int],
    length: int,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    silent: Sequence[int] = (),
    seed: int | None = None,
) -> Iterator[int]:
    """The numbers of units that go on from a prompt, each as soon as it is drawn.

    The prompt is read once; after that a unit is one step from the state carried, and costs the same however long the
    text has become.

    Args:
        network: in evaluation mode from here on.
        prompt: at least one number.
        length: how many units follow.
        temperature, top_k, top_p: see `distribution`.
        silent: numbers that are never drawn.
        seed: same seed, same text; None draws one.

    Raises:
        InputError: a choice is out of range.
    """
    check(length, temperature, top_k, top_p)
    network.eval()
    generator = torch.Generator()
    generator.seed() if seed is None else generator.manual_seed(seed)
    return _drawn(network, prompt, length, temperature, top_k, top_p, silent, generator)


def _drawn(
    network: LanguageNetwork,
    prompt: Sequence[int],
    length: int,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    silent: Sequence[int],
    generator: torch.Generator,
) -> Iterator[int]:
    read, states = torch.tensor([list(prompt)]), None
    for _ in range(length):
        with torch.no_grad():
            reading = network(read, states)
            states = reading.states
            scores = network.scores(reading.output[0, -1])
            scores[list(silent)] = -math.inf
            chances = distribution(scores, temperature, top_k, top_p)
            number = int(torch.multinomial(chances, 1, generator=generator))
        yield number
        read = torch.tensor([[number]])


def distribution(
    scores: Tensor, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
) -> Tensor:
    """What the next unit is drawn from: (vocabulary) probabilities.

    Args:
        scores: (vocabulary) of each unit.
        temperature: scores are divided by it: below 1 what is likely becomes likelier; 0 takes the likeliest.
        top_k: keep the k likeliest; None keeps all.
        top_p: keep the fewest that have so much of the probability together (nucleus sampling: Holtzman et al. 2020,
            1904.09751), of those that `top_k` leaves; None keeps all.
    """
    if not temperature:
        return torch.nn.functional.one_hot(scores.argmax(), len(scores)).to(scores.dtype)
    chances = torch.softmax((scores - scores.max()) / temperature, 0)
    ordered, order = chances.sort(descending=True, stable=True)
    if top_k is not None:
        ordered[top_k:] = 0
    if top_p is not None:
        # what stands before a unit decides whether it is needed; the likeliest always is
        before = (ordered / ordered.sum()).cumsum(0) - ordered / ordered.sum()
        ordered[1:][before[1:] >= top_p] = 0
    kept = torch.zeros_like(chances).scatter(0, order, ordered)
    return kept / kept.sum()


def check(length: int, temperature: float, top_k: int | None, top_p: float | None) -> None:
    """See that text can be drawn like that; see `units_from`.

    Raises:
        InputError: naming the choice that is out of range.
    """
    if length < 0:
        raise InputError(f"--length is {length}; expected 0 or more")
    if not 0 <= temperature < math.inf:
        raise InputError(f"--temperature is {temperature:g}; expected 0 or more")
    if top_k is not None and top_k < 1:
        raise InputError(f"--top-k is {top_k}; expected at least 1")
    if top_p is not None and not 0 < top_p <= 1:
        raise InputError(f"--top-p is {top_p:g}; expected above 0 and at most 1")
