"""What the classifiers reach on 25,000 film reviews; the figures are in docs/text.md."""

from __future__ import annotations

from pathlib import Path

import pytest

from ostinato.text import Classification, execute, make_plan, preset
from ostinato.text.account import BAG, BOTH, NETWORK

pytestmark = pytest.mark.slow


def classified(folder: Path, **changes: object) -> Classification:
    train, test = (folder / "imdb" / f"imdb_{part}.jsonl.gz" for part in ("train", "test"))
    return execute(make_plan(train, test=test, settings=preset("default", **changes)))


def test_the_default_is_as_good_as_a_bag_of_ngrams(shared_data: Path) -> None:
    account = classified(shared_data).account
    scores = {score.name: score.accuracy for score in account.scores}
    assert scores[NETWORK] >= 0.87 and scores[BAG] >= 0.906 and scores[BOTH] >= 0.906
    assert not account.against[BAG].worse


def test_pretraining_helps(shared_data: Path) -> None:
    account = classified(
        shared_data, pretrain=4, embedding=128, units=128, batch_size=32, learning_rate=0.001, epochs=3
    ).account
    scores = {score.name: score.accuracy for score in account.scores}
    assert scores[NETWORK] >= 0.9 and scores[BOTH] >= 0.915
    assert account.against[BAG].better


def test_the_tutorials_network_learns(shared_data: Path) -> None:
    train = shared_data / "imdb" / "imdb_train.jsonl.gz"
    plan = make_plan(train, settings=preset("tutorial", epochs=2, test_size=100))
    history = execute(plan).classifier.training_.history
    assert max(epoch.val_metric or 0 for epoch in history) >= 0.84
