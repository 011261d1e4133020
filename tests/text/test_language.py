"""Language models: states are carried, dropout is where it belongs, and what is said is what the network says."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ostinato.cells import CELLS
from ostinato.errors import InputError
from ostinato.text import language_training
from ostinato.text.corpus import make_corpus
from ostinato.text.language import LanguageModel
from ostinato.text.language_network import LanguageNetwork, carried
from ostinato.text.language_record import save
from ostinato.text.language_run import learn
from ostinato.text.language_settings import LanguageSettings, for_unit
from ostinato.text.language_training import costs, rise_and_fall, train

SMALL: dict[str, Any] = {"embedding": 8, "units": 8, "steps": 8, "batch_size": 4, "epochs": 1}
NO_DROPOUT = {
    "embedding_dropout": 0.0, "input_dropout": 0.0, "hidden_dropout": 0.0, "dropout": 0.0, "weight_dropout": 0.0,
    "activation_penalty": 0.0, "temporal_activation_penalty": 0.0,
}  # fmt: skip
RHYME = "one for sorrow, two for joy, three for a girl, four for a boy; five for silver.\n"


def network(tokens: int = 20, **changes: Any) -> LanguageNetwork:
    torch.manual_seed(0)
    return LanguageNetwork(tokens, for_unit("character", **{**SMALL, **changes}))


def stream(count: int, tokens: int = 20) -> np.ndarray:
    return np.random.default_rng(3).integers(0, tokens, count)


def refused(cell: str) -> bool:
    return len(CELLS[cell].sequences) > 0


@pytest.fixture(scope="module")
def fitted() -> LanguageModel:
    return LanguageModel(unit="character", **SMALL).fit(RHYME * 20)


@pytest.mark.parametrize("cell", sorted(CELLS))
def test_two_stretches_with_the_state_carried_are_one(cell: str) -> None:
    model = network(cell=cell).eval()
    text = torch.from_numpy(stream(24)).view(2, 12)
    whole = model(text)
    first = model(text[:, :5])
    second = model(text[:, 5:], carried(first.states, torch.ones(2)))
    both = torch.cat([first.output, second.output], 1)
    assert torch.allclose(both, whole.output, atol=1e-5)


def test_rows_that_begin_anew_forget() -> None:
    model = network().eval()
    text = torch.from_numpy(stream(12)).view(2, 6)
    states = carried(model(text).states, torch.tensor([1.0, 0.0]))
    again = model(text, states).output
    fresh = model(text).output
    assert torch.allclose(again[1], fresh[1]) and not torch.allclose(again[0], fresh[0])


def test_costs_are_those_of_one_long_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language_training, "STEPS", 7)
    model, text = network(layers=2), stream(100)
    found = costs(model.train(), text, places=1)
    with torch.no_grad():
        scores = model.eval().scores(model(torch.from_numpy(text[None, :-1])).output)[0]
        expected = torch.nn.functional.cross_entropy(scores, torch.from_numpy(text[1:]), reduction="none")
    assert found == pytest.approx(expected.numpy(), rel=1e-4)


def test_several_places_cost_a_little_more_where_they_begin() -> None:
    model, text = network(), stream(1200)
    one, four = costs(model, text, places=1), costs(model, text, places=4)
    assert len(one) == len(four) == 1199
    assert one[:200] == pytest.approx(four[:200], rel=1e-4)
    assert np.isclose(one, four, rtol=1e-4).mean() > 0.8


def test_output_weights_are_the_embedding() -> None:
    model = network(embedding=8, units=8)
    assert not any(weight.shape == (20, 8) for name, weight in model.named_parameters() if name != "embedding.weight")
    output = torch.randn(3, 8)
    assert torch.allclose(model.scores(output), output @ model.embedding.weight.T + model.bias)


def test_locked_dropout_is_the_same_at_every_step_of_a_row() -> None:
    model = network().train()
    found = model._locked(torch.ones(4, 9, 50), 0.5)
    assert torch.equal(found, found[:, :1].expand_as(found))
    assert not torch.equal(found[0], found[1])
    assert set(found.unique().tolist()) == {0.0, 2.0}


def test_embedding_dropout_takes_whole_units() -> None:
    model = network(tokens=200, embedding_dropout=0.5).train()
    text = torch.arange(200).repeat(2, 1)
    found = model._embedded(text)
    gone = (found == 0).all(-1)
    assert torch.equal(gone[0], gone[1]) and 50 < int(gone[0].sum()) < 150
    assert torch.allclose(found[~gone], 2 * model.embedding.weight[text][~gone])


@pytest.mark.parametrize("cell", ["lstm", "gru", "slstm"])
def test_weight_dropout_hides_entries_of_recurrent_matrices(cell: str) -> None:
    model = network(cell=cell, **{**NO_DROPOUT, "weight_dropout": 0.5}).train()
    model(torch.from_numpy(stream(40)).view(2, 20)).output.square().sum().backward()
    gradients = {name: weight.grad for name, weight in model.named_parameters() if "weight" in name}
    shares = {name: float((g == 0).float().mean()) for name, g in gradients.items() if g is not None}
    hidden = [share for name, share in shares.items() if "weight_hh" in name]
    others = [share for name, share in shares.items() if "weight_ih" in name]
    assert min(hidden) > 0.3 and max(hidden) < 0.7 and max(others) < 0.05


def test_dropout_is_for_training_only() -> None:
    model, text = network(layers=2), torch.from_numpy(stream(12)).view(1, 12)
    dropping = [model.train()(text).output for _ in range(2)]
    still = [model.eval()(text).output for _ in range(2)]
    assert not torch.allclose(*dropping) and torch.equal(*still)


def test_it_learns_a_rhyme_by_heart() -> None:
    flags: dict[str, Any] = {**SMALL, **NO_DROPOUT, "units": 32, "embedding": 16, "steps": 32, "epochs": 12}
    model = LanguageModel(unit="character", **flags, learning_rate=0.03).fit(RHYME * 60)
    surprise = model.surprise(RHYME * 3, RHYME)
    assert surprise.perplexity < 1.5
    assert surprise.bits_per_character == pytest.approx(math.log2(surprise.perplexity))
    said = "".join(model.generate("one for sorrow, two for joy, three for a ", 10, temperature=0))
    assert said == "girl, four"


def test_the_weights_of_the_best_epoch_are_kept() -> None:
    model, text = network(), stream(300)
    settings = for_unit("character", **{**SMALL, "epochs": 4, "patience": 4, "learning_rate": 0.1})
    training = train(model, text[:200], text[199:], settings)
    losses = [epoch.val_loss for epoch in training.history]
    assert training.best == 1 + int(np.argmin(losses))  # type: ignore[arg-type]
    assert costs(model, text[199:]).mean() == pytest.approx(min(losses), rel=1e-6)  # type: ignore[type-var]


def test_training_stops_when_patience_ends() -> None:
    settings = for_unit("character", **{**SMALL, "epochs": 30, "patience": 2, "learning_rate": 0.2})
    training = train(network(), stream(300), stream(60), settings)
    assert len(training.history) == training.best + 2 < 30


def test_the_seed_decides() -> None:
    def weights(seed: int) -> torch.Tensor:
        fitted = LanguageModel(unit="character", **SMALL, seed=seed).fit(RHYME * 10).network
        assert fitted is not None
        return fitted.embedding.weight

    assert torch.equal(weights(1), weights(1)) and not torch.equal(weights(1), weights(2))


def test_the_rate_rises_and_falls() -> None:
    rates = [rise_and_fall(k / 1000) for k in range(1001)]
    assert max(rates) == pytest.approx(1) and rates[0] == 0 and rates[-1] == pytest.approx(0)
    assert int(np.argmax(rates)) == 50 and all(a > b for a, b in itertools.pairwise(rates[50:]))


def test_what_stands_before_a_text_is_read_and_not_charged(fitted: LanguageModel) -> None:
    first, second = RHYME[:40], RHYME[40:]
    both, alone, after = fitted.surprise(RHYME), fitted.surprise(first), fitted.surprise(second, "\n" + first)
    bits = [one.bits_per_character * one.characters for one in (both, alone, after)]
    assert bits[0] == pytest.approx(bits[1] + bits[2], rel=1e-5)
    assert after.units == len(second)


def test_a_saved_model_is_the_same(fitted: LanguageModel, tmp_path: Path) -> None:
    fitted.save(tmp_path / "model")
    again = LanguageModel.load(tmp_path / "model")
    assert again.settings == fitted.settings
    assert again.perplexity(RHYME) == fitted.perplexity(RHYME)
    assert [*again.generate("two", 20, seed=1)] == [*fitted.generate("two", 20, seed=1)]
    with pytest.raises(InputError, match="exists already"):
        fitted.save(tmp_path / "model")
    fitted.save(tmp_path / "model", overwrite=True)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "vocabulary.json"])
@pytest.mark.parametrize("content", [None, b"", b"{}", b"[1, 2]"])
def test_damage_is_told(fitted: LanguageModel, tmp_path: Path, name: str, content: bytes | None) -> None:
    fitted.save(tmp_path / "model")
    path = tmp_path / "model" / name
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    with pytest.raises(InputError, match=name):
        LanguageModel.load(tmp_path / "model")


def test_a_run_says_what_it_is_worth(tmp_path: Path) -> None:
    words = np.random.default_rng(0).choice(["red", "green", "blue", "sky", "sea"], 2000)
    written = learn(make_corpus(" ".join(words), "colours.txt"), for_unit("word", **SMALL))
    assert written.rivals[0].name == "unigram" and "Kneser-Ney" in written.rivals[1].name
    # words drawn at random: 5 of them are all there is to know, and nothing does better
    for surprise in (written.surprise, *(one.surprise for one in written.rivals)):
        assert 4.8 < surprise.perplexity < 7
        assert surprise.units == written.units[2] and surprise.characters == written.characters[2]
    save(written, tmp_path)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["test"]["bits_per_character"] == pytest.approx(written.surprise.bits_per_character)
    assert sum(metrics["split"]["characters"]) == len(written.corpus.text)
    assert (tmp_path / "learning.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "sample.txt").read_text() == written.sample + "\n"
    assert LanguageModel.load(tmp_path).perplexity("red sky") == written.model.perplexity("red sky")


def test_cells_that_need_the_layer_below_are_refused() -> None:
    with pytest.raises(InputError, match="--layers 1"):
        network(cell="depth_gated_lstm", layers=2)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"unit": "letter"}, "--unit is 'letter'"), ({"vocabulary": 100}, "--vocabulary is 100"),
        ({"epochs": 0}, "--epochs"), ({"dropout": 1.0}, "--dropout"), ({"weight_dropout": -0.1}, "--weight-dropout"),
        ({"learning_rate": 0.0}, "--learning-rate"), ({"activation_penalty": -1.0}, "--activation-penalty"),
        ({"test_size": 0.0}, "--test-size"), ({"test_size": 0.6, "validation_size": 0.5}, "nothing to train on"),
        ({"seed": -1}, "--seed"), ({"cell": "lstn"}, "did you mean"),
    ],
)  # fmt: skip
def test_settings_out_of_range_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        LanguageSettings(**changes)


def test_models_that_are_not_fitted_and_texts_too_short_are_refused() -> None:
    model = LanguageModel(unit="character", batch_size=32)
    with pytest.raises(RuntimeError, match="not fitted"):
        model.perplexity("text")
    with pytest.raises(InputError, match="needs at least 33"):
        model.fit("short", "er")
    with pytest.raises(TypeError, match="either settings or units"):
        LanguageModel(LanguageSettings(), units=3)


def test_training_that_diverges_says_so() -> None:
    model = network()
    torch.nn.init.constant_(model.bias, float("nan"))
    with pytest.raises(InputError, match="the loss is not finite in epoch 1; use a lower --learning-rate"):
        train(model, stream(300), stream(60), for_unit("character", **SMALL))
