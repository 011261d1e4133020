"""The bag of n-grams and what it says together with a network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import normalize

from ostinato.errors import InputError
from ostinato.text import TextClassifier, load
from ostinato.text.mixture import Mixture
from ostinato.text.ngrams import NGrams, ngrams

WORDS = np.array(["one", "two", "three", "four", "five", "six"])


def texts_of(classes: np.ndarray, seed: int) -> list[str]:
    """Texts in which the word that belongs to a class is likelier than others."""
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, 7, p=np.where(np.arange(6) == one, 0.4, 0.12))) for one in classes]


def test_two_classes_are_scikit_learns_regression_on_log_count_ratios() -> None:
    wanted = np.arange(60) % 2
    x = ngrams(texts_of(wanted, 0))
    model = NGrams.fit(x, wanted, 2, False, 10.0)
    dense = x[:, model.known].toarray()
    first, second = (dense[wanted == one].sum(0) + 1 for one in (0, 1))
    ratios = np.log(second / second.sum() / (first / first.sum()))
    features = normalize(dense * ratios)
    other = LogisticRegression(C=10.0, solver="liblinear").fit(features, wanted)
    np.testing.assert_allclose(model.probabilities(x), other.predict_proba(features), atol=1e-5)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_order_of_the_classes_is_nothing_to_a_bag(classes: int) -> None:
    wanted = np.arange(90) % classes
    texts = texts_of(wanted, 1)
    x = ngrams(texts)
    forward = NGrams.fit(x, wanted, classes, False, 3.0).probabilities(x)
    backward = NGrams.fit(x, classes - 1 - wanted, classes, False, 3.0).probabilities(x)
    np.testing.assert_allclose(forward, backward[:, ::-1], atol=0.01)  # liblinear stops near, not at, the minimum
    assert (forward.argmax(1) == wanted).mean() > 0.8


def test_labels_that_all_or_no_texts_have_keep_their_share() -> None:
    wanted = np.stack([np.ones(40), np.arange(40) % 2, np.zeros(40)], 1)
    x = ngrams(texts_of(wanted[:, 1].astype(int), 2))
    found = NGrams.fit(x, wanted, 3, True, 3.0).probabilities(x)
    np.testing.assert_allclose(found[:, [0, 2]], [[40.5 / 41, 0.5 / 41]] * 40, rtol=1e-5)
    assert ((found[:, 1] > 0.5) == wanted[:, 1]).mean() > 0.8
    unknown = NGrams.fit(x, wanted, 3, True, 3.0).probabilities(ngrams(["nothing of that"]))
    assert np.isfinite(unknown).all()


def noisy(wanted: np.ndarray, strength: float, seed: int) -> np.ndarray:
    """Probabilities of two classes that lean to the right one."""
    scores = strength * (2 * wanted - 1) + np.random.default_rng(seed).normal(size=len(wanted))
    second = 1 / (1 + np.exp(-2 * strength * scores))  # the true chance, given such a score
    return np.stack([1 - second, second], 1)


@pytest.mark.parametrize("several", [False, True])
def test_two_that_know_different_things_are_better_together(several: bool) -> None:
    wanted = np.arange(4000) % 2
    first, second = noisy(wanted, 1.0, 0), noisy(wanted, 1.0, 1)
    marks = np.stack([1 - wanted, wanted], 1) if several else wanted
    mixture = Mixture.fit(first, second, marks, several)
    # independent evidence of classes that are equally frequent multiplies
    assert mixture.first == pytest.approx(1, abs=0.15) and mixture.second == pytest.approx(1, abs=0.15)
    fresh = noisy(wanted, 1.0, 2), noisy(wanted, 1.0, 3)
    together = (mixture(*fresh).argmax(1) == wanted).mean()
    assert together > max((one.argmax(1) == wanted).mean() for one in fresh) + 0.03
    if not several:
        np.testing.assert_allclose(mixture(*fresh).sum(1), 1)


def test_one_that_knows_nothing_has_no_say() -> None:
    wanted = np.arange(4000) % 2
    guess = np.random.default_rng(5).uniform(0.01, 0.99, 4000)
    mixture = Mixture.fit(noisy(wanted, 1.0, 0), np.stack([1 - guess, guess], 1), wanted, False)
    assert mixture.second < 0.1 and mixture.first == pytest.approx(1, abs=0.15)


def test_certainty_and_few_texts_break_nothing() -> None:
    sure = np.array([[1.0, 0.0], [0.0, 1.0]])
    mixture = Mixture.fit(sure, sure, np.array([0, 0]), False)
    assert np.isfinite([mixture.first, mixture.second]).all() and np.isfinite(mixture(sure, sure)).all()


def test_without_ngrams_there_are_none_and_with_them_they_are_saved(tmp_path: Path) -> None:
    wanted = np.arange(80) % 2
    texts, labels = texts_of(wanted, 7), np.array(["no", "yes"])[wanted].tolist()
    small = {"vocabulary": 280, "units": 2, "embedding": 2, "epochs": 1}
    alone = TextClassifier(**small, ngrams=False).fit(texts, labels)
    both = TextClassifier(**small).fit(texts, labels)
    sequences = both.subwords_.encode(texts, both.settings.longest)
    assert (alone.predict_proba(texts) == both.probabilities(sequences)).all()
    assert both.score(texts, labels) > alone.score(texts, labels)  # one epoch teaches the network nothing
    for name, classifier in (("alone", alone), ("both", both)):
        classifier.save(tmp_path / name)
        assert (load(tmp_path / name).predict_proba(texts) == classifier.predict_proba(texts)).all()
    assert not (tmp_path / "alone" / "ngrams.safetensors").exists()
    (tmp_path / "both" / "ngrams.safetensors").write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"ngrams\.safetensors"):
        load(tmp_path / "both")
