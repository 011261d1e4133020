"""From a table to an account: the split, the baselines, the remarks, and the folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ostinato.errors import InputError
from ostinato.text import execute, load, make_plan, preset, save
from ostinato.text.account import BAG, BOTH, MAJORITY, NETWORK
from ostinato.text.baselines import bag_of_ngrams, majority
from ostinato.text.made import made_reviews
from ostinato.text.ngrams import ngrams
from ostinato.text.settings import Settings
from ostinato.text.table import Table, make_table


def test_a_split_has_every_class_in_like_shares() -> None:
    labels = ["a"] * 500 + ["b"] * 100 + ["c"] * 20
    frame = pd.DataFrame({"text": [f"text {k}" for k in range(620)], "label": labels})
    plan = make_plan(frame, settings=Settings(test_size=0.2, validation_size=0.1))
    parts = [plan.train, plan.validation, plan.test]
    assert sorted(text for part in parts for text in part.texts) == sorted(frame["text"])
    for part, share in zip(parts, (0.72, 0.08, 0.2), strict=True):
        for name, count in (("a", 500), ("b", 100), ("c", 20)):
            assert (part.labels or []).count(name) == pytest.approx(count * share, abs=1.5)
    again = make_plan(frame, settings=Settings(test_size=0.2, validation_size=0.1))
    assert again.test.texts == plan.test.texts
    other = make_plan(frame, settings=Settings(seed=1))
    assert other.test.texts != plan.test.texts


def test_sizes_may_be_numbers_of_texts() -> None:
    plan = make_plan(made_reviews(100), settings=Settings(test_size=30, validation_size=7))
    assert [len(part) for part in (plan.train, plan.validation, plan.test)] == [63, 7, 30]


def test_a_bag_knows_words_and_pairs_and_no_more() -> None:
    """Of texts that differ in their words, or in a pair of neighbours, it is right; of no others."""
    rng = np.random.default_rng(0)
    words = np.array(["one", "two", "three", "four", "five"])

    def texts(kind: str) -> tuple[list[str], list[str]]:
        made, labels = [], []
        for _ in range(200):
            filler = list(rng.choice(words, 8))
            good = bool(rng.integers(2))
            first, second = ("not", "bad") if good else ("bad", "not")
            if kind == "word":
                filler.insert(3, "good" if good else "bad")
            elif kind == "pair":
                filler[3:3] = [first, second]
            else:
                filler.insert(1, first)
                filler.insert(7, second)
            made.append(" ".join(filler))
            labels.append("good" if good else "bad")
        return made, labels

    classes = np.array(["bad", "good"])
    for kind, low, high in (("word", 0.99, 1), ("pair", 0.99, 1), ("order", 0.3, 0.7)):
        test, true = texts(kind)
        found = bag_of_ngrams(texts(kind), texts(kind), classes, False)[0].probabilities(ngrams(test))
        assert low <= (classes[found.argmax(1)] == true).mean() <= high, kind
        np.testing.assert_allclose(found.sum(1), 1)


def test_majority() -> None:
    assert majority(["a", "b", "b", "b"], np.array(["a", "b"]), False, 2).tolist() == [[0.25, 0.75]] * 2
    assert majority([("a",), ("a", "c"), ("a",)], np.array(["a", "c"]), True, 2).tolist() == [[1, 0]] * 2


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    table = made_reviews(150)
    long = Table("reviews.csv", [*table.texts, "film " * 600], [*(table.labels or []), "good"], "text", "label",
                 np.arange(151) + 1)  # fmt: skip
    tested = Table("later.csv", [*table.texts[:5], "film " * 600], [*(table.labels or [])[:5], "bad"], "text", "label",
                   np.arange(6) + 1)  # fmt: skip
    plan = make_plan(
        long, test=tested, settings=preset("default", longest=400, vocabulary=300, units=4, embedding=4, epochs=1)
    )
    result = execute(plan)
    folder = tmp_path_factory.mktemp("run")
    save(result, folder)
    return result, folder


def test_what_is_written(reported: tuple[Any, Path]) -> None:
    _, folder = reported
    assert {path.name for path in folder.iterdir()} == {
        "config.json", "metrics.json", "model.safetensors", "ngrams.safetensors", "predictions.csv", "report.html",
        "tokenizer.json",
        *(f"{name}{dark}.png" for name in ("confusion", "reliability", "training") for dark in ("", "-dark")),
    }  # fmt: skip
    metrics = json.loads((folder / "metrics.json").read_text())
    assert [score["name"] for score in metrics["scores"]] == [MAJORITY, NETWORK, BAG, BOTH]
    rows = pd.read_csv(folder / "predictions.csv", keep_default_na=False)
    assert (rows["label"] == rows["predicted"]).mean() == pytest.approx(metrics["scores"][-1]["accuracy"])
    np.testing.assert_allclose(rows["p(bad)"] + rows["p(good)"], 1, atol=1e-5)
    np.testing.assert_allclose(
        load(folder).predict_proba(rows["text"].tolist()), rows[["p(bad)", "p(good)"]].to_numpy(), rtol=1e-4
    )


def test_the_page_needs_nothing_else_and_says_what_to_be_wary_of(reported: tuple[Any, Path]) -> None:
    result, folder = reported
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "http" not in page and "<script" not in page and page.count("data:image/png;base64,") == 6
    assert result.account.verdict in page
    # of the test texts 5 were trained on, and one, of 600 words, is there with another label
    assert "6 of 6 test texts stand among the training texts as well" in page
    assert "2 of " in page and "are longer than 400 subwords: their first and last 200 were read" in page


def test_no_test_text_has_a_say(small: dict[str, Any]) -> None:
    """Other test texts change no weight, no word of the vocabulary and nothing of the bag."""
    table = made_reviews(120)
    settings = preset("default", **small)
    made = []
    for texts in (table.texts[:20], ["another word entirely"] * 20):
        tested = Table("t", texts, (table.labels or [])[:20], "text", "label", np.arange(20))
        made.append(execute(make_plan(table, test=tested, settings=settings)))
    first, second = made
    assert first.classifier.subwords_.to_json() == second.classifier.subwords_.to_json()
    assert first.bag.strength == second.bag.strength
    assert (first.bag.weights == second.bag.weights).all()
    for one, other in zip(
        first.classifier.network_.state_dict().values(), second.classifier.network_.state_dict().values(), strict=True
    ):
        assert (one == other).all()


@pytest.mark.parametrize(
    ("frame", "arguments", "sentence"),
    [
        ({"text": ["x", "y"] * 9, "label": ["a"] * 18}, {}, "all texts have the label 'a'"),
        ({"text": list("abcdefghijklmnopqrstuvwx"), "label": range(24)}, {}, "24 different labels in 24 rows"),
        ({"text": ["x", "y"], "label": ["a", "b"]}, {"settings": Settings(test_size=5)}, "--test-size of 5"),
        ({"text": ["x", "y"] * 9, "label": ["a", "b"] * 9},
         {"test": pd.DataFrame({"text": ["z"], "label": ["new"]})}, "the label 'new' is none of those trained on"),
        ({"text": ["x", "y"] * 9, "label": ["a", "b"] * 9},
         {"test": pd.DataFrame({"words": ["z"], "label": ["a"]})}, "has no column 'text'"),
        ({"text": ["x", "y"] * 9, "label": ["a", "b"] * 9},
         {"test": pd.DataFrame({"text": ["z"], "label": [["a"]]})}, "one of them has several labels"),
    ],
)  # fmt: skip
def test_bad_plans(frame: dict[str, Any], arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError) as raised:
        make_plan(pd.DataFrame(frame), **{"settings": Settings(test_size=0.3), **arguments})
    assert sentence in str(raised.value)


def test_settings() -> None:
    with pytest.raises(InputError, match="--units is 0"):
        Settings(units=0)
    with pytest.raises(InputError, match="there is no cell 'lstn'; did you mean"):
        Settings(cell="lstn")
    with pytest.raises(InputError, match="--preset is 'best'; expected default or tutorial"):
        preset("best")
    assert Settings().passes(10**6) == (3, 2)
    few, patience = Settings().passes(640)
    assert few * 10 == 800 and patience * 10 == 300


def test_mistakes_of_many_classes_are_drawn() -> None:
    """Pictures of every kind at two sizes have the pixels asked for."""
    from ostinato.text import figures
    from ostinato.text.account import account

    rng = np.random.default_rng(0)
    for classes in (2, 12, 60):
        found = rng.random((80, classes))
        found /= found.sum(1, keepdims=True)
        true = rng.integers(0, classes, 80)
        made = account(true, {MAJORITY: found, NETWORK: found}, [f"class {k}" for k in range(classes)], False)
        for size in ((1200, 700), (700, 450)):
            picture = figures.draw_confusion(made, dark=classes == 2, size=size)
            assert tuple(picture.get_size_inches() * picture.dpi) == size
            ticks = picture.axes[0].get_yticklabels()
            boxes = [tick.get_window_extent(picture.canvas.get_renderer()) for tick in ticks]  # type: ignore[attr-defined]
            heights = sorted(box.y0 for box in boxes)
            assert min(np.diff(heights)) >= 0.8 * boxes[0].height, (classes, size)


def test_make_table_is_what_a_plan_takes() -> None:
    table = make_table(pd.DataFrame({"text": ["x", "y"] * 9, "label": ["a", "b"] * 9}))
    assert len(make_plan(table).train) == 13
