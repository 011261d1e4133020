"""The classifier: it learns what only order tells, keeps scikit-learn's manners, and comes back from disk as it was."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone, is_classifier

from ostinato.errors import InputError
from ostinato.sequences.network import CELLS
from ostinato.text import Subwords, TextClassifier, TutorialClassifier, load
from ostinato.text.made import made_reviews
from ostinato.text.table import Table


def test_the_made_up_reviews_give_no_hint_to_a_bag() -> None:
    """Both labels have the same words and the same pairs of words as often, up to the draw."""
    table = made_reviews(4000, seed=3)
    counts: dict[str, list[int]] = {}
    for text, label in zip(table.texts, table.labels or [], strict=True):
        words = text.split()
        for gram in {*words, *itertools.pairwise(words)}:
            counts.setdefault(str(gram), [0, 0])[label == "good"] += 1
    sizes = [(table.labels or []).count(name) for name in ("bad", "good")]
    for gram, (bad, good) in counts.items():
        share = (bad + good) / 4000
        deviation = np.sqrt(share * (1 - share) * sum(1 / size for size in sizes))
        assert abs(bad / sizes[0] - good / sizes[1]) < 5 * deviation + 1e-9, gram
    assert made_reviews(20).texts == made_reviews(20).texts != made_reviews(20, seed=1).texts


def test_order_is_learned() -> None:
    table = made_reviews(1500)
    labels = table.labels or []
    model = TextClassifier(vocabulary=400, embedding=16, units=16, epochs=10, learning_rate=0.01, input_dropout=0.1)
    model.fit(table.texts[:1200], labels[:1200])
    assert model.score(table.texts[1200:], labels[1200:]) > 0.95
    lowest = min(model.training_.history, key=lambda epoch: epoch.val_loss or 0.0)
    assert model.training_.best == lowest.number


@pytest.fixture(scope="module")
def fitted() -> TextClassifier:
    table = made_reviews(200)
    made = TextClassifier(vocabulary=400, embedding=8, units=8, epochs=2, longest=30)
    return made.fit(table.texts, table.labels or [])


def test_manners_of_scikit_learn(fitted: TextClassifier) -> None:
    assert is_classifier(fitted)
    other = clone(fitted)
    assert other.get_params() == fitted.get_params() and not hasattr(other, "network_")
    assert other.set_params(units=5).settings.units == 5 and fitted.settings.units == 8
    assert "units=5" in repr(other)
    with pytest.raises(InputError, match="there is no setting 'unit'"):
        TextClassifier(unit=3)


def test_batch_and_order_of_texts_do_not_matter(fitted: TextClassifier, reviews: Table) -> None:
    texts = reviews.texts[:40]
    together = fitted.predict_proba(texts)
    order = np.random.default_rng(0).permutation(40)
    np.testing.assert_allclose(fitted.predict_proba([texts[k] for k in order]), together[order], rtol=1e-5)
    np.testing.assert_allclose(np.concatenate([fitted.predict_proba([one]) for one in texts]), together, rtol=1e-5)
    np.testing.assert_allclose(together.sum(1), 1)


def test_what_is_cut_away_is_not_read(fitted: TextClassifier) -> None:
    ends = "the plot was dull . " * 8, "the cast was funny . " * 8
    one, other = (ends[0] + middle + ends[1] for middle in ("the set was noisy . " * 5, "i saw it on a sunday . " * 5))
    np.testing.assert_array_equal(fitted.predict_proba([one]), fitted.predict_proba([other]))
    huge = ends[0] + "word " * 200_000 + ends[1]
    assert len(huge) > 1_000_000
    np.testing.assert_allclose(fitted.predict_proba([huge]), fitted.predict_proba([one]), rtol=1e-5)


def test_same_seed_same_network(reviews: Table, small: dict[str, Any]) -> None:
    labels = reviews.labels or []
    first, second, other = (
        TextClassifier(**small, seed=seed).fit(reviews.texts, labels).predict_proba(reviews.texts) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, second)
    assert (first != other).any()


def test_saved_and_read(fitted: TextClassifier, reviews: Table, tmp_path: Path) -> None:
    fitted.save(tmp_path / "run")
    read = load(tmp_path / "run")
    assert type(read) is TextClassifier and read.classes_.tolist() == ["bad", "good"]
    np.testing.assert_array_equal(read.predict_proba(reviews.texts), fitted.predict_proba(reviews.texts))
    with pytest.raises(InputError, match="exists already"):
        fitted.save(tmp_path / "run")
    for name, content in (("model.safetensors", b"x"), ("tokenizer.json", b"{}"), ("config.json", b"{")):
        fitted.save(tmp_path / "run", overwrite=True)
        (tmp_path / "run" / name).write_bytes(content)
        with pytest.raises(InputError, match=f"{name} is damaged"):
            load(tmp_path / "run")


def test_several_labels(reviews: Table, small: dict[str, Any], tmp_path: Path) -> None:
    labels = [{word for word in ("plot", "music") if word in text.split()} for text in reviews.texts]
    made = TextClassifier(**{**small, "epochs": 30, "learning_rate": 0.02, "dropout": 0.0, "input_dropout": 0.0})
    made.fit(reviews.texts, labels)
    assert made.several_ and made.classes_.tolist() == ["music", "plot"]
    assert made.score(reviews.texts, labels) > 0.9
    made.save(tmp_path / "run")
    assert load(tmp_path / "run").predict(reviews.texts) == made.predict(reviews.texts)


def test_labels_keep_their_kind(reviews: Table, small: dict[str, Any]) -> None:
    numbers = [3 if one == "good" else 20 for one in reviews.labels or []]
    made = TextClassifier(**small).fit(reviews.texts, numbers)
    assert made.classes_.tolist() == [3, 20] and set(made.predict(reviews.texts).tolist()) <= {3, 20}


@pytest.mark.parametrize("cell", ["gru", "min_gru", "LayerNormLSTM"])
def test_other_cells(cell: str, reviews: Table, small: dict[str, Any]) -> None:
    assert {"gru"} <= set(CELLS)
    made = TextClassifier(**small, cell=cell, layers=2, pooling="last").fit(reviews.texts, reviews.labels or [])
    assert np.isfinite(made.predict_proba(reviews.texts[:5])).all()


def test_the_vocabulary_knows_training_texts_only(reviews: Table, small: dict[str, Any]) -> None:
    labels = reviews.labels or []
    words = ["the plot was zzyzxian ."] * 40
    with_others = TextClassifier(**small).fit(reviews.texts, labels, (words, labels[:40]))
    without = TextClassifier(**small).fit(reviews.texts, labels, (reviews.texts[:40], labels[:40]))
    assert with_others.subwords_.to_json() == without.subwords_.to_json()


def test_weights_to_begin_with(reviews: Table, small: dict[str, Any]) -> None:
    """`prepare` sees the untrained network and the training texts, and what it sets is trained on."""
    seen: list[int] = []

    def prepare(network: Any, sequences: Any) -> None:
        seen.append(len(sequences))
        network.embedding.weight.data.zero_()

    labels = reviews.labels or []
    subwords = Subwords.train(reviews.texts, 350)
    made = TextClassifier(**small, input_dropout=0.0).fit(
        reviews.texts, labels, (reviews.texts[:9], labels[:9]), subwords=subwords, prepare=prepare
    )
    assert seen == [240] and made.subwords_ is subwords
    unseen = made.network_.embedding.weight[0]
    assert (unseen == 0).all()  # no text has the entry that fills up


@pytest.mark.parametrize(
    ("texts", "labels", "sentence"),
    [
        (["a", "b"], ["x", "x"], "all texts have the label 'x'; expected at least two classes"),
        (["a", " "], ["x", "y"], "text 1 is empty"),
        (["a", 5], ["x", "y"], "text 1 is 5"),
        (["a"], ["x", "y"], "there are 2 labels for 1 texts"),
        ([], [], "there are no texts"),
        ("a text", ["x"], "texts is one text; expected a list of them"),
        (["a", "b"], [(), ()], "none of the texts has a label"),
    ],
)
def test_bad_texts(texts: Any, labels: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        TextClassifier(vocabulary=300).fit(texts, labels, (["a"], labels[:1] or ["x"]))


def test_labels_of_validation_that_training_has_not(reviews: Table, small: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"the label 'new' is none of those trained on \(bad, good\)"):
        TextClassifier(**small).fit(reviews.texts, reviews.labels or [], (["x"], ["new"]))


def test_the_tutorial_has_its_parameters(reviews: Table, tmp_path: Path) -> None:
    made = TutorialClassifier(epochs=1).fit(reviews.texts, reviews.labels or [])
    assert [layer.count_params() for layer in made.network_.layers] == [523_840, 66_048, 8_256, 65]
    assert made.parameters() == 598_209
    probabilities = made.predict_proba(reviews.texts[:30])
    # padding is masked: a text by itself, where none is filled up, has the same probability
    alone = np.concatenate([made.predict_proba([one]) for one in reviews.texts[:30]])
    np.testing.assert_allclose(probabilities, alone, rtol=1e-4)
    epoch = made.training_.history[0]
    assert epoch.val_metric is not None and 0.3 < epoch.val_metric < 1 and epoch.loss == pytest.approx(0.69, abs=0.02)
    made.save(tmp_path / "run")
    read = load(tmp_path / "run")
    assert type(read) is TutorialClassifier
    np.testing.assert_array_equal(read.predict_proba(reviews.texts[:30]), probabilities)


def test_the_tutorial_says_yes_or_no(reviews: Table) -> None:
    with pytest.raises(InputError, match="answers yes or no, and there are 3 classes; use --preset default"):
        TutorialClassifier().fit(reviews.texts[:60], ["a", "b", "c"] * 20)
    with pytest.raises(InputError, match="--pooling is no choice of --preset tutorial"):
        TutorialClassifier(pooling="mean")


def test_series_of_pandas_are_taken_by_position(reviews: Table, small: dict[str, Any]) -> None:
    frame = pd.DataFrame({"text": reviews.texts, "label": reviews.labels}).sample(frac=1, random_state=0)
    one = TextClassifier(**small).fit(frame["text"], frame["label"])
    other = TextClassifier(**small).fit(frame["text"].tolist(), frame["label"].tolist())
    np.testing.assert_array_equal(one.predict_proba(frame["text"]), other.predict_proba(frame["text"].tolist()))
    assert one.score(frame["text"][9:], frame["label"][9:]) == other.score(
        *(frame[name].tolist()[9:] for name in frame)
    )
