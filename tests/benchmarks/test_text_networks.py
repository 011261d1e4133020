"""The training steps of benchmarks.text: everyone's losses and gradients are those of PyTorch in float64, or told."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from benchmarks import text_addition, text_batches, text_networks, text_torch
from benchmarks.contest import PEER_TOLERANCE, difference, our_tolerance
from benchmarks.text_networks import Network

TUTORIAL = Network(5, 1, 40, 6, hidden=16, learning_rate=0.02)
DEFAULT = Network(5, 3, 40, 6, "max+mean", input_dropout=0.1, dropout=0.1, learning_rate=0.02, clip=1.0)
NUMBERS = Network(4, 3, 0, 6, "mean", dropout=0.1, learning_rate=0.02, clip=1.0)
ALL = {"tutorial": TUTORIAL, "default": DEFAULT, "numbers": NUMBERS}


@pytest.fixture(params=ALL)
def made(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Network]:
    """A file of a few small batches, and a network to train on them."""
    network = ALL[request.param]
    if network.vocabulary:
        epoch = text_batches.made_up(network.vocabulary, 12, 8, 3, rows=40)
    else:
        epoch = text_batches.vowels(network.inputs, network.outputs, 16, 3)
    text_networks.save(tmp_path / "batches.npz", epoch.chosen, epoch.check)
    return str(tmp_path / "batches.npz"), network


def right(file: str, network: Network, like_keras: bool = False) -> dict[str, Any]:
    exact = text_torch.Classifier(file, asdict(network), "packed", dtype="float64", like_keras=like_keras)
    return exact.check()


WAYS = {
    "ostinato": {"way": "ostinato"},
    "ostinato.nn packed": {"way": "packed", "library": "ostinato.nn"},
    "PyTorch packed": {"way": "packed"},
    "PyTorch turned": {"way": "turned"},
}


@pytest.mark.parametrize("name", WAYS)
def test_every_way_on_torch_is_right_and_trains(made: tuple[str, Network], name: str) -> None:
    file, network = made
    if network.hidden and name == "ostinato":
        pytest.skip("the application trains the tutorial's network by Keras")
    subject = text_torch.Classifier(file, asdict(network), batches=2, **WAYS[name])
    assert difference(subject.check(), right(file, network))[0] < our_tolerance(text_batches.SHORT)
    assert getattr(subject, "served", "") == ""
    passed = [subject.measure() for _ in range(8)]
    assert len(passed[0]["seconds"]) == 2
    assert passed[-1]["losses"][0] < passed[0]["losses"][0]


@pytest.mark.parametrize("library", ["keras.layers", "ostinato.keras.layers"])
def test_keras_is_right_with_its_own_form_of_adam(made: tuple[str, Network], library: str) -> None:
    keras = pytest.importorskip("keras")
    if keras.backend.backend() != "torch":
        pytest.skip(f"Keras runs on {keras.backend.backend()}, chosen by {os.environ.get('KERAS_BACKEND')}")
    from benchmarks.text_keras import Classifier

    file, network = made
    subject = Classifier(file, asdict(network), library, batches=1)
    assert difference(subject.check(), right(file, network, like_keras=True))[0] < our_tolerance(text_batches.SHORT)
    losses = [subject.measure()["losses"][0] for _ in range(5)]
    assert losses[-1] < losses[0]


def _unmasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The backward direction begins in the padding."""
    forward = text_torch.Turned.forward
    monkeypatch.setattr(
        text_torch.Turned, "forward", lambda self, x, lengths: forward(self, x, lengths * 0 + x.shape[1])
    )


def _swapped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each direction has the weights of the other."""
    named = text_torch.Turned.named

    def swapped(self: text_torch.Turned) -> dict[str, torch.nn.Parameter]:
        found = named(self)
        return {name: found[name[:-8] if name.endswith("_reverse") else f"{name}_reverse"] for name in found}

    monkeypatch.setattr(text_torch.Turned, "named", swapped)


def _other_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """The updates are too small."""
    take = text_torch.Steps.take

    def slower(self: text_torch.Steps, loss: Callable[[], torch.Tensor]) -> float:
        self.optimizer.param_groups[0]["lr"] /= 2
        return take(self, loss)

    monkeypatch.setattr(text_torch.Steps, "take", slower)


@pytest.mark.parametrize("spoil", [_unmasked, _swapped, _other_rate], ids=["unmasked", "swapped", "rate"])
def test_a_wrong_network_is_found(
    made: tuple[str, Network], spoil: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    file, network = made
    wanted = right(file, network)
    spoil(monkeypatch)
    found = text_torch.Classifier(file, asdict(network), "turned").check()
    assert difference(found, wanted)[0] > PEER_TOLERANCE


def test_the_network_of_ours_is_the_one_that_the_applications_build() -> None:
    from ostinato.sequences import SequenceClassifier
    from ostinato.text import TextClassifier

    classifier: Any = TextClassifier()
    classifier.subwords_, classifier.classes_, classifier.several_ = range(40), np.arange(3), False
    chosen = classifier.settings
    wide = Network(
        chosen.embedding, 3, 40, chosen.units, chosen.pooling, 0, chosen.input_dropout, chosen.dropout
    )  # fmt: skip
    pairs = [
        (wide, classifier.build()),
        (Network(12, 3, 0, 64, "mean", dropout=0.2), SequenceClassifier().build(12, 3)),
    ]
    for network, built in pairs:
        ours, named = text_torch._classifier(network)
        assert str(ours) == str(built)
        assert (ours.pooling, ours.dropout, ours.input_dropout) == (built.pooling, built.dropout, built.input_dropout)
        assert {name: weight.shape for name, weight in named.items()} == {
            name: value.shape for name, value in text_networks.weights(network).items()
        }


def test_the_tutorials_network_is_keras_own() -> None:
    pytest.importorskip("keras")
    from benchmarks.text_keras import build

    from ostinato.text import TextClassifier
    from ostinato.text.settings import TutorialSettings
    from ostinato.text.tutorial import TutorialClassifier

    classifier: TextClassifier = TutorialClassifier(vocabulary=300)
    classifier.classes_, classifier.several_ = np.arange(2), False
    chosen = TutorialSettings()
    network = Network(chosen.embedding, 1, 300, chosen.units, hidden=64)
    kinds, shapes = zip(
        *[
            ([type(layer).__name__ for layer in model.layers], [weight.shape for weight in model.weights])
            for model in (build(network, "ostinato.keras.layers"), classifier.build())
        ],
        strict=True,
    )
    assert kinds[0] == kinds[1]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("way", ["ostinato", "packed", "turned"])
def test_every_way_of_the_translation_is_right_and_trains(way: str) -> None:
    wanted = text_addition.Translator("packed", 0, dtype="float64").check()
    subject = text_addition.Translator(way, 2, size=16)
    assert difference(subject.check(), wanted)[0] < our_tolerance(12)
    passed = [subject.measure() for _ in range(8)]
    assert passed[-1]["losses"][0] < passed[0]["losses"][0]


@pytest.mark.parametrize("count", [0, 1, 2, 7, 12])
def test_middles_come_first(count: int) -> None:
    order = text_batches.middles(count)
    assert sorted(order) == list(range(count))
    if count == 7:
        assert order == [3, 1, 5, 0, 2, 4, 6]


def test_an_epoch_counts_all_steps_and_chooses_spread_batches() -> None:
    epoch = text_batches.made_up(40, 500, 8, 3, rows=83)
    assert (epoch.rows, epoch.batches) == (83, 11)
    longest = [batch.x.shape[1] for batch in epoch.chosen]
    assert longest[1] < longest[0] < longest[2]
    everything = text_batches.made_up(40, 500, 8, 99, rows=83)
    assert sum(int(batch.lengths.sum()) for batch in everything.chosen) == everything.steps == epoch.steps
    assert everything.steps / sum(batch.x.size for batch in everything.chosen) == pytest.approx(everything.filled)
    for batch in [*everything.chosen, epoch.check]:
        assert (np.diff(batch.lengths) <= 0).all()
        assert ((batch.x != 0) == (np.arange(batch.x.shape[1]) < batch.lengths[:, None])).all()
    assert len(set(epoch.check.lengths)) > 8


def test_reviews_without_their_file_are_said_to_be_made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_batches, "made_up", lambda *given: given)
    assert text_batches.reviews(40, 50, 8, 3, tmp_path / "absent") == (40, 50, 8, 3)
    monkeypatch.undo()
    assert "made-up" in text_batches.made_up(40, 50, 8, 3, rows=40).origin


def test_a_loss_that_is_not_finite_is_not_timed(made: tuple[str, Network]) -> None:
    file, network = made
    subject = text_torch.Classifier(file, asdict(replace(network, learning_rate=float("inf"))), "packed")
    with pytest.raises(FloatingPointError, match="not finite"):
        subject.measure()
