"""What examples/sequence_to_sequence.py rests on: its searches, its masks, and questions that are unseen indeed."""

from __future__ import annotations

import itertools
import math
import runpy
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

QUESTIONS = ["a", "babbaab", "ba", "bbbbbbbbbbbbbbbb", "abab"]
SHORT = 3


@pytest.fixture(scope="module")
def example(project: Path) -> SimpleNamespace:
    return SimpleNamespace(**runpy.run_path(str(project / "examples" / "sequence_to_sequence.py")))


@pytest.fixture(scope="module")
def dates(example: SimpleNamespace) -> Any:
    return example.dates(np.random.default_rng(0))


@pytest.fixture(params=[("lstm", True), ("gru", True), ("lstm", False)], ids=["lstm", "gru", "no attention"])
def model(example: SimpleNamespace, request: pytest.FixtureRequest) -> Any:
    """An untrained network of two characters in float64, whose answers differ from question to question."""
    cell, attention = request.param
    torch.manual_seed(2)
    made = example.Translator("ab", cell, hidden=12, attention=attention).double()
    with torch.no_grad():
        for weights in made.parameters():
            weights.normal_()
    return made


def log_probability(example: SimpleNamespace, model: Any, question: str, tokens: str) -> float:
    """Of these characters, by one pass over all of them."""
    with torch.no_grad():
        read = model.tokens([(example.END + tokens)[:-1]])[0][None]
        logits, _, _ = model.decode(read, *model.encode([question]))
    return float(logits[0].log_softmax(-1).gather(1, model.tokens([tokens])[0][:, None]).sum())


def test_a_beam_of_one_is_greedy(example: SimpleNamespace, model: Any) -> None:
    greedy = example.greedy(model, QUESTIONS)
    assert [best for ((best, _),) in example.beam_search(model, QUESTIONS, 1)] == greedy
    assert len(set(greedy)) > 1


def test_a_beam_of_all_answers_is_exhaustive(example: SimpleNamespace, model: Any) -> None:
    ended = ["".join(word) + example.END for n in range(SHORT) for word in itertools.product("ab", repeat=n)]
    every = ended + ["".join(word) for word in itertools.product("ab", repeat=SHORT)]
    found = example.beam_search(model, QUESTIONS, 100, SHORT)
    for question, answers in zip(QUESTIONS, found, strict=True):
        truth = {word.strip(): log_probability(example, model, question, word) for word in every}
        assert [text for text, _ in answers] == sorted(truth, key=lambda text: -truth[text])
        assert [score for _, score in answers] == pytest.approx(sorted(truth.values(), reverse=True), abs=1e-12)
        assert math.fsum(math.exp(score) for _, score in answers) == pytest.approx(1, abs=1e-12)


def test_a_beam_keeps_the_best_beginnings(example: SimpleNamespace, model: Any) -> None:
    """Against the same search written over texts."""
    found = example.beam_search(model, QUESTIONS, 2, 4)
    for question, answers in zip(QUESTIONS, found, strict=True):
        kept = [("", 0.0)]
        for _ in range(4):
            over = [one for one in kept if one[0].endswith(example.END)]
            longer = ["".join(two) for two in itertools.product([text for text, _ in kept], model.characters)]
            open_ = [text for text in longer if example.END not in text[:-1]]
            tried = over + [(text, log_probability(example, model, question, text)) for text in open_]
            kept = sorted(tried, key=lambda one: -one[1])[:2]
        assert [text for text, _ in answers] == [text.strip() for text, _ in kept]
        assert [score for _, score in answers] == pytest.approx([score for _, score in kept], abs=1e-12)


def test_longer_questions_beside_it_change_no_answer(example: SimpleNamespace, model: Any) -> None:
    read = model.tokens(["\nabba"])[0][None]
    together, _, looked = model.decode(read.expand(len(QUESTIONS), -1), *model.encode(QUESTIONS))
    for row, question in enumerate(QUESTIONS):
        alone, _, weights = model.decode(read, *model.encode([question]))
        torch.testing.assert_close(together[row : row + 1], alone, rtol=1e-12, atol=1e-12)
        if model.score is not None:
            torch.testing.assert_close(looked[row, :, : len(question)], weights[0], rtol=1e-12, atol=1e-12)
            assert not looked[row, :, len(question) :].any()
    memory, there, state = model.encode(QUESTIONS)
    torch.testing.assert_close(
        model.decode(read.expand(len(QUESTIONS), -1), memory.masked_fill(~there[..., None], 1e3), there, state)[0],
        together, rtol=0, atol=0,
    )  # fmt: skip


def test_steps_that_carry_the_state_are_the_whole_sequence(model: Any) -> None:
    memory, there, state = model.encode(QUESTIONS)
    read = torch.randint(3, (len(QUESTIONS), 7), generator=torch.Generator().manual_seed(1))
    whole, last, _ = model.decode(read, memory, there, state)
    for step in range(7):
        logits, state, _ = model.decode(read[:, step : step + 1], memory, there, state)
        torch.testing.assert_close(logits[:, 0], whole[:, step], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(state, last, rtol=1e-12, atol=1e-12)


def test_the_loss_is_the_mean_over_characters(example: SimpleNamespace, model: Any) -> None:
    answers = ["ab", "", "bbbbbbb", "a", "aba"]
    pairs = zip(QUESTIONS, answers, strict=True)
    sums = [-log_probability(example, model, question, answer + example.END) for question, answer in pairs]
    with torch.no_grad():
        loss = model(QUESTIONS, answers).item()
    assert loss == pytest.approx(sum(sums) / sum(len(answer) + 1 for answer in answers), abs=1e-12)


def test_additions_are_right_and_unseen(example: SimpleNamespace) -> None:
    rng = np.random.default_rng(0)
    task = example.addition(rng)
    written = [[task.write(item, rng) for item in items] for items in (task.training, task.unseen)]
    asked = [{frozenset(question.split("+")) for question, _ in pairs} for pairs in written]
    assert len(asked[0]) == len(task.training) and len(asked[1]) == len(task.unseen) == 5000
    assert not asked[0] & asked[1]
    terms = [(*map(int, question.split("+")), int(answer)) for pairs in written for question, answer in pairs]
    assert all(a + b == total for a, b, total in terms)
    assert 0.4 < np.mean([a < b for a, b, _ in terms]) < 0.6
    assert {*"".join(question + answer for question, answer in written[0])} == {*task.characters}


def test_dates_are_unseen_and_mean_one_day(example: SimpleNamespace, dates: Any) -> None:
    assert not {*dates.training} & {*dates.unseen}
    assert len({*dates.training}) == 5000 and len({*dates.unseen}) == 2000
    meant: dict[str, str] = {}
    for number in range(len(example.WAYS)):
        way: Any = SimpleNamespace(integers=lambda _, number=number: number)
        for day in [*dates.training, *dates.unseen]:
            question, answer = dates.write(day, way)
            assert {*question} <= {*dates.characters}
            assert meant.setdefault(question, answer) == answer and date.fromisoformat(answer) == day
    assert len(meant) == len(example.WAYS) * 7000


@pytest.mark.parametrize(
    ("number", "day", "written"),
    [
        (5, date(1998, 3, 3), "Tuesday, March 3rd, 1998"),
        (6, date(2011, 11, 11), "the 11th of November, 2011"),
        (6, date(1962, 5, 22), "the 22nd of May, 1962"),
        (2, date(2005, 12, 31), "12/31/05"),
        (4, date(1950, 1, 1), "Jan 1 '50"),
    ],
)
def test_dates_are_written_as_people_do(dates: Any, number: int, day: date, written: str) -> None:
    way: Any = SimpleNamespace(integers=lambda _: number)
    assert dates.write(day, way) == (written, day.isoformat())


def test_backwards_turns_the_question_alone(example: SimpleNamespace) -> None:
    task = example.backwards(example.addition(np.random.default_rng(0)))
    question, answer = task.write((535, 61), np.random.default_rng(0))
    assert (question[::-1], answer) in [("535+61", "596"), ("61+535", "596")]
