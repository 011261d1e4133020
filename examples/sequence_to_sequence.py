"""Sequence to sequence with attention: one network reads a text, another writes the answer, character by character.

An encoder reads the question in both directions; a decoder goes on from its last state (Sutskever et al. 2014,
1409.3215), and for each character looks back at all of the question (Luong et al. 2015, 1508.04025: global attention,
score `general`, no input feeding). docs/seq2seq.md says more.

Two tasks: `dates` has "Tuesday, March 3rd, 1998" in and 1998-03-03 out, from many ways of writing a date; `addition`
has 535+61 in and 596 out. Unseen questions are of days that training did not have, in whatever way, and of two numbers
that it did not add, in whatever order.

    python examples/sequence_to_sequence.py --task addition
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence, pad_packed_sequence, pad_sequence

import ostinato.nn

END = "\n"  # of every answer, and what the decoder reads first; its number is 0
NONE = -100  # the target behind the end of an answer
LIMIT = 12  # characters of an answer, its end included
CELLS = {"lstm": ostinato.nn.LSTM, "gru": ostinato.nn.GRU}
WAYS = [
    "{day:%Y-%m-%d}",
    "{day:%d.%m.%Y}",
    "{day:%m/%d/%y}",
    "{day.day} {day:%B} {day.year}",
    "{day:%b} {day.day} '{day:%y}",
    "{day:%A}, {day:%B} {nth}, {day.year}",
    "the {nth} of {day:%B}, {day.year}",
    "{day.year}, {day:%A} {day.day} {day:%b}",
]

Pair = tuple[str, str]
Found = tuple[str, float]
State = Tensor | tuple[Tensor, Tensor]


class Task(NamedTuple):
    """What to train on, what is asked afterwards, and how either is written: a question and its answer."""

    characters: str
    training: list[Any]
    unseen: list[Any]
    write: Callable[[Any, np.random.Generator], Pair]


def addition(rng: np.random.Generator) -> Task:
    """Pairs of numbers up to 999, each pair once whatever its order, which is drawn when it is written."""

    def write(pair: tuple[int, int], rng: np.random.Generator) -> Pair:
        a, b = pair if rng.random() < 0.5 else pair[::-1]
        return f"{a}+{b}", str(a + b)

    pairs = np.stack(np.tril_indices(1000), axis=1)
    drawn = [(int(a), int(b)) for a, b in pairs[rng.permutation(len(pairs))[:50_000]]]
    return Task("0123456789+", drawn[5000:], drawn[:5000], write)


def dates(rng: np.random.Generator) -> Task:
    """Days of 1950 to 2049, so that a year of two digits can mean one only; the way is drawn when one is written."""

    def write(day: date, rng: np.random.Generator) -> Pair:
        suffix = {1: "st", 2: "nd", 3: "rd"}.get(day.day % 10 if day.day not in (11, 12, 13) else 0, "th")
        return WAYS[rng.integers(len(WAYS))].format(day=day, nth=f"{day.day}{suffix}"), day.isoformat()

    first = date(1950, 1, 1)
    days = [first + timedelta(int(n)) for n in rng.permutation((date(2050, 1, 1) - first).days)]
    unseen, training = days[:2000], days[2000:7000]
    return Task("".join(sorted({*"".join(write(day, rng)[0] for day in training)})), training, unseen, write)


TASKS = {"addition": addition, "dates": dates}


def each(change: Callable[[Tensor], Tensor], state: State) -> State:
    """The same change of a GRU's state, or of both states of an LSTM."""
    return (change(state[0]), change(state[1])) if isinstance(state, tuple) else change(state)


class Translator(nn.Module):
    """Encoder, decoder and attention; `attention=False` leaves the decoder with the encoder's last state alone."""

    def __init__(self, characters: str, cell: str = "gru", hidden: int = 128, attention: bool = True) -> None:
        super().__init__()
        self.characters = END + characters
        self.numbers = {character: number for number, character in enumerate(self.characters)}
        self.embedding = nn.Embedding(len(self.characters), 32)
        self.encoder = CELLS[cell](32, hidden // 2, batch_first=True, bidirectional=True)
        self.decoder = CELLS[cell](32, hidden, batch_first=True)
        self.score = nn.Linear(hidden, hidden, bias=False) if attention else None
        self.combine = nn.Linear(2 * hidden if attention else hidden, hidden)
        self.output = nn.Linear(hidden, len(self.characters))

    def tokens(self, texts: Sequence[str]) -> list[Tensor]:
        numbers = torch.tensor([self.numbers[character] for character in "".join(texts)])
        return list(numbers.split([len(text) for text in texts]))

    def texts(self, tokens: Tensor) -> list[str]:
        """Of each row the characters before its first end."""
        return ["".join(self.characters[token] for token in row).split(END)[0] for row in tokens.tolist()]

    def encode(self, questions: Sequence[str]) -> tuple[Tensor, Tensor, State]:
        """What the decoder looks at, (batch, steps, hidden); which of it is there, (batch, steps); where it starts."""
        packed = pack_sequence(self.tokens(questions), enforce_sorted=False)
        output, last = self.encoder(PackedSequence(self.embedding(packed.data), *packed[1:]))
        memory, lengths = pad_packed_sequence(output, batch_first=True)
        there = torch.arange(memory.shape[1]) < lengths[:, None]
        return memory, there, each(lambda state: state.transpose(0, 1).flatten(1)[None], last)

    def decode(self, tokens: Tensor, memory: Tensor, there: Tensor, state: State) -> tuple[Tensor, State, Tensor]:
        """What follows after each of `tokens` (batch, steps), as logits; the state then; where attention was,
        (batch, steps, steps of the question)."""
        output, state = self.decoder(self.embedding(tokens), state)
        weights = torch.zeros(*tokens.shape, 0)
        if self.score is not None:
            scores = self.score(output) @ memory.mT
            weights = scores.masked_fill(~there[:, None], -torch.inf).softmax(-1)
            output = torch.cat([weights @ memory, output], -1)
        return self.output(torch.tanh(self.combine(output))), state, weights

    def forward(self, questions: Sequence[str], answers: Sequence[str]) -> Tensor:
        """The mean loss of a character when the decoder reads the right answers; their end counts as one."""
        read = pad_sequence(self.tokens([END + answer for answer in answers]), True)
        target = pad_sequence(self.tokens([answer + END for answer in answers]), True, NONE)
        logits, _, _ = self.decode(read, *self.encode(questions))
        return nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=NONE)


@torch.no_grad()
def greedy(model: Translator, questions: Sequence[str], limit: int = LIMIT) -> list[str]:
    """The answers made of the likeliest character at every step, of at most so many characters."""
    memory, there, state = model.encode(questions)
    answer = torch.zeros(len(questions), 1, dtype=torch.long)
    over = torch.zeros(len(questions), 1, dtype=torch.bool)
    while answer.shape[1] <= limit and not over.all():
        logits, state, _ = model.decode(answer[:, -1:], memory, there, state)
        best = logits.argmax(-1)
        answer, over = torch.cat([answer, best], 1), over | (best == 0)
    return model.texts(answer[:, 1:])


@torch.no_grad()
def beam_search(model: Translator, questions: Sequence[str], width: int, limit: int = LIMIT) -> list[list[Found]]:
    """For each question up to `width` answers with their log probabilities, best first; at every length the likeliest
    `width` beginnings are kept. What has not ended at the limit is left as it is."""
    memory, there, state = model.encode(questions)
    batch, total = len(questions), torch.zeros(len(questions), 1)
    answer = torch.zeros(batch, 1, 1, dtype=torch.long)
    over = torch.zeros(batch, 1, dtype=torch.bool)
    while answer.shape[2] <= limit and not over.all():
        logits, state, _ = model.decode(answer[:, :, -1:].flatten(0, 1), memory, there, state)
        gain = logits.log_softmax(-1).view(batch, over.shape[1], -1)
        gain[over] = -torch.inf
        gain[..., 0][over] = 0.0  # what is over goes on in one way, for nothing
        every = (total[..., None] + gain).flatten(1)
        total, chosen = every.topk(min(width, every.shape[1]))
        parent, token = chosen // gain.shape[2], chosen % gain.shape[2]
        rows = (parent + torch.arange(batch)[:, None] * over.shape[1]).flatten()
        memory, there, state = memory[rows], there[rows], each(lambda one, rows=rows: one[:, rows], state)
        answer = torch.cat([answer.flatten(0, 1)[rows].view(batch, len(rows) // batch, -1), token[..., None]], 2)
        over = over.gather(1, parent) | (token == 0)
    answers = [model.texts(kept[:, 1:]) for kept in answer]
    found = [zip(*both, strict=True) for both in zip(answers, total.tolist(), strict=True)]
    return [[(text, score) for text, score in one if score > -torch.inf] for one in found]


def backwards(task: Task) -> Task:
    """The same task with every question read from its end."""

    def write(item: Any, rng: np.random.Generator) -> Pair:
        question, answer = task.write(item, rng)
        return question[::-1], answer

    return task._replace(write=write)


def train(model: Translator, task: Task, epochs: int, batch: int, rate: float, rng: np.random.Generator) -> None:
    """Adam, with one cycle of the learning rate (Smith & Topin 2017, 1708.07120)."""
    steps = epochs * -(-len(task.training) // batch)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps + 1, pct_start=0.1)
    for epoch in range(epochs):
        started, total = time.perf_counter(), 0.0
        pairs = [task.write(task.training[n], rng) for n in rng.permutation(len(task.training))]
        for first in range(0, len(pairs), batch):
            questions, answers = zip(*pairs[first : first + batch], strict=True)
            optimizer.zero_grad()
            loss = model(questions, answers)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            total += loss.item() * len(questions)
        seconds = time.perf_counter() - started
        print(f"epoch {epoch + 1:3d}  loss of a character {total / len(pairs):.4f}  {seconds:.1f} s", flush=True)


@torch.no_grad()
def draw(model: Translator, questions: Sequence[str], path: Path) -> None:
    """What the decoder looked at: the question from left to right, the answer and its end downwards."""
    figure = plt.figure(figsize=(9, 2.9 * len(questions)), layout="constrained")
    for panel, question in zip(figure.subplots(len(questions)), questions, strict=True):
        (answer,) = greedy(model, [question])
        _, _, weights = model.decode(model.tokens([END + answer])[0][None], *model.encode([question]))
        panel.imshow(weights[0].numpy(), cmap="Blues", vmin=0, vmax=1)
        panel.set_xticks(range(len(question)), question.replace(" ", "␣"), family="monospace")
        panel.set_yticks(range(len(answer) + 1), answer + "⏎", family="monospace")
    figure.savefig(path)
    plt.close(figure)


def main(arguments: Sequence[str] | None = None) -> tuple[float, float]:
    """The share of unseen questions answered without a mistake, greedily and by beam search."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=list(TASKS), default="dates")
    parser.add_argument("--cell", choices=list(CELLS), default="gru")
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=5e-3, help="the highest learning rate")
    parser.add_argument("--beam", type=int, default=4, help="how many beginnings of answers the beam search keeps")
    parser.add_argument("--rows", type=int, default=45_000, help="train on so many questions at most")
    parser.add_argument("--reverse", action="store_true", help="read the questions from their end")
    parser.add_argument("--no-attention", dest="attention", action="store_false")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plot", type=Path, default=Path("attention.png"))
    options = parser.parse_args(arguments)
    if min(options.epochs, options.batch, options.rows, options.beam) < 1 or options.hidden % 2 or options.hidden < 2:
        parser.error("--epochs, --batch, --rows and --beam are at least 1, and --hidden is even and at least 2")
    torch.manual_seed(options.seed)
    rng = np.random.default_rng(options.seed)

    task = TASKS[options.task](rng)
    if options.reverse:
        task = backwards(task)
    model = Translator(task.characters, options.cell, options.hidden, options.attention)
    task = task._replace(training=task.training[: options.rows])
    train(model, task, options.epochs, options.batch, options.rate, rng)

    questions, right = zip(*[task.write(item, rng) for item in task.unseen], strict=True)
    step_by_step, searched = [], []
    for first in range(0, len(questions), 500):
        step_by_step += greedy(model, questions[first : first + 500])
        searched += [best[0][0] for best in beam_search(model, questions[first : first + 500], options.beam)]
    shares = float(np.mean(np.equal(step_by_step, right))), float(np.mean(np.equal(searched, right)))
    print(f"exact on {len(right)} unseen questions: greedy {shares[0]:.4f}, beam of {options.beam} {shares[1]:.4f}")
    if options.attention:
        draw(model, questions[:4], options.plot)
        print(f"plot: {options.plot}")
    return shares


if __name__ == "__main__":
    main()
