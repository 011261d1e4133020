"""A classifier of texts that learns their language first."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ostinato.errors import InputError
from ostinato.text import TextClassifier

TEXTS = ["a fine film", "a dull film", "such a fine and moving film", "so very dull and long"] * 10
LABELS = ["good", "bad"] * 20
SMALL: dict[str, Any] = {"vocabulary": 300, "embedding": 6, "units": 5, "epochs": 1, "batch_size": 8}


def test_the_language_is_learnt_before_the_labels() -> None:
    seen: list[int] = []
    classifier = TextClassifier(**SMALL, pretrain=2)
    classifier.fit(TEXTS, LABELS, on_epoch=lambda epoch: seen.append(epoch.number))
    assert seen == [1, 2, 1]
    assert classifier.pretraining_ is not None and len(classifier.pretraining_.history) == 2
    assert len(classifier.training_.history) == 1
    assert "2 epochs of language before" in classifier.described()


def test_training_starts_from_what_was_pretrained() -> None:
    started: dict[bool, torch.Tensor] = {}

    def keep(network: Any, _: Any) -> None:
        started[len(started) == 0] = network.encoder.state_dict()["stack.0.weight_hh_l0"].clone()

    plain = TextClassifier(**SMALL).fit(TEXTS, LABELS, prepare=keep)
    TextClassifier(**SMALL, pretrain=1).fit(TEXTS, LABELS, prepare=keep)
    assert plain.pretraining_ is None
    assert not torch.equal(started[True], started[False])


@pytest.mark.parametrize(
    ("changes", "said"), [({"pretrain": -1}, "--pretrain is -1"), ({"pretrain": 1, "layers": 2}, "both ways")]
)
def test_what_cannot_be_pretrained_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        TextClassifier(**changes)
