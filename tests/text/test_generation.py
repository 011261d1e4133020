"""Generation: what is drawn comes from the distribution it is said to, one step a unit."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch

from ostinato.errors import InputError
from ostinato.text.generation import distribution, units_from
from ostinato.text.language_network import LanguageNetwork
from ostinato.text.language_settings import for_unit

SCORES = torch.tensor([0.1, 2.0, -1.0, 1.5, 0.0])


def network(cell: str = "lstm") -> LanguageNetwork:
    torch.manual_seed(0)
    made = LanguageNetwork(30, for_unit("character", embedding=8, units=8, cell=cell))
    torch.nn.init.normal_(made.embedding.weight)
    return made


def drawn(model: LanguageNetwork, prompt: list[int], length: int, **how: Any) -> list[int]:
    return list(units_from(model, prompt, length, **how))


def test_nothing_chosen_is_the_softmax() -> None:
    assert torch.allclose(distribution(SCORES), torch.softmax(SCORES, 0))


def test_temperature_sharpens_and_flattens() -> None:
    assert torch.allclose(distribution(SCORES, 0.5), torch.softmax(2 * SCORES, 0))
    assert distribution(SCORES, 0).tolist() == [0, 1, 0, 0, 0]
    assert distribution(SCORES, 1e-40).argmax() == 1  # no overflow on the way to 0


def test_top_k_keeps_the_likeliest_in_proportion() -> None:
    kept = distribution(SCORES, top_k=2)
    assert (kept > 0).tolist() == [False, True, False, True, False]
    assert float(kept[1] / kept[3]) == pytest.approx(float((SCORES[1] - SCORES[3]).exp()))
    assert torch.allclose(distribution(SCORES, top_k=9), torch.softmax(SCORES, 0))


@pytest.mark.parametrize("share", [0.01, 0.3, 0.5, 0.85, 0.99, 1.0])
def test_top_p_keeps_the_fewest_that_have_the_share(share: float) -> None:
    chances = torch.softmax(SCORES, 0)
    kept = distribution(SCORES, top_p=share) > 0
    assert float(chances[kept].sum()) >= share - 1e-6
    least = chances[kept].min()
    assert float(chances[kept].sum() - least) < share
    assert chances[~kept].max() < least if not kept.all() else True


def test_units_are_drawn_as_often_as_they_are_likely() -> None:
    """The first unit after a prompt, over many seeds."""
    model = network().eval()
    with torch.no_grad():
        chances = torch.softmax(model.scores(model(torch.tensor([[3, 7]])).output[0, -1]), 0)
    counts = Counter(drawn(model, [3, 7], 1, seed=seed)[0] for seed in range(600))
    for unit in range(30):
        expected = 600 * float(chances[unit])
        assert abs(counts[unit] - expected) < 5 * (expected + 1) ** 0.5


@pytest.mark.parametrize("cell", ["lstm", "gru", "slstm"])
def test_the_state_carried_is_as_good_as_reading_all_again(cell: str) -> None:
    model = network(cell)
    text = [3, 7, 1]
    for unit in drawn(model, text, 12, temperature=0):
        with torch.no_grad():
            assert unit == int(model.scores(model(torch.tensor([text])).output[0, -1]).argmax())
        text = [*text, unit]


def test_every_unit_is_one_step(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths: list[int] = []
    forward = LanguageNetwork.forward

    def watched(self: LanguageNetwork, tokens: torch.Tensor, states: Any = None) -> Any:
        lengths.append(tokens.shape[1])
        return forward(self, tokens, states)

    monkeypatch.setattr(LanguageNetwork, "forward", watched)
    drawn(network(), [1, 2, 3, 4], 5, seed=0)
    assert lengths == [4, 1, 1, 1, 1]


def test_units_come_as_they_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    endless = units_from(network(), [1], 10**9, seed=0)
    assert len([next(endless) for _ in range(3)]) == 3


def test_the_seed_decides_and_disturbs_no_other() -> None:
    model = network()
    torch.manual_seed(5)
    first = drawn(model, [1], 30, seed=1)
    state = torch.get_rng_state()
    assert drawn(model, [1], 30, seed=1) == first != drawn(model, [1], 30, seed=2)
    assert torch.equal(torch.get_rng_state(), state)


def test_silent_units_are_never_drawn() -> None:
    silent = tuple(range(25))
    assert min(drawn(network(), [1], 60, silent=silent, temperature=5.0, seed=0)) >= 25


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"temperature": -1.0}, "--temperature is -1"), ({"temperature": float("nan")}, "--temperature"),
        ({"top_k": 0}, "--top-k is 0"), ({"top_p": 0.0}, "--top-p is 0"), ({"top_p": 1.5}, "--top-p is 1.5"),
        ({"length": -1}, "--length is -1"),
    ],
)  # fmt: skip
def test_choices_out_of_range_are_refused_before_anything_is_drawn(how: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        units_from(network(), [1], **{"length": 3, **how})
