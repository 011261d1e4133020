"""The estimators: what they learn, what they refuse, and scikit-learn's manners."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score

from ostinato.errors import InputError
from ostinato.sequences import (
    SequenceClassifier,
    SequenceRegressor,
    SequenceTagger,
    SequenceTranscriber,
)
from ostinato.sequences.inputs import make_sequences
from ostinato.sequences.network import Network

from .conftest import Sequences

QUICK: dict[str, Any] = {
    "units": 8,
    "epochs": 8,
    "batch_size": 8,
    "learning_rate": 0.02,
    "dropout": 0.0,
    "pooling": "mean",
}
STEPWISE = {name: value for name, value in QUICK.items() if name != "pooling"}
TINY = {**QUICK, "epochs": 1, "units": 2}


@pytest.fixture(scope="module")
def classifier(waves: Sequences) -> SequenceClassifier:
    X, y = waves
    return SequenceClassifier(**QUICK).fit(X[:40], y[:40])


def test_a_classifier_learns_classes(waves: Sequences, classifier: SequenceClassifier) -> None:
    X, y = waves
    assert classifier.classes_.tolist() == ["fast", "slow"]
    assert classifier.score(X[40:], y[40:]) >= 0.9
    probabilities = classifier.predict_proba(X[40:])
    assert probabilities.shape == (20, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert (classifier.predict(X[40:]) == classifier.classes_[probabilities.argmax(axis=1)]).all()


def test_predictions_do_not_depend_on_what_is_predicted_beside(
    waves: Sequences, classifier: SequenceClassifier
) -> None:
    X, _ = waves
    alone = np.concatenate([classifier.predict_proba([one]) for one in X[40:45]])
    np.testing.assert_allclose(classifier.predict_proba(X[40:])[:5], alone, rtol=1e-5)


def test_the_scale_of_a_feature_does_not_matter(waves: Sequences, classifier: SequenceClassifier) -> None:
    X, y = waves
    moved = [one * [1e3, 0.25] + [1.7e9, 8] for one in X]
    other = SequenceClassifier(**QUICK).fit(moved[:40], y[:40])
    np.testing.assert_allclose(other.predict_proba(moved[40:]), classifier.predict_proba(X[40:]), atol=1e-3)


def test_a_seed_gives_the_same_network(waves: Sequences) -> None:
    X, y = waves
    few = {**QUICK, "epochs": 2, "dropout": 0.2}
    first, again, other = (
        SequenceClassifier(**few, seed=seed).fit(X[:40], y[:40]).predict_proba(X) for seed in (0, 0, 1)
    )
    assert (again == first).all()
    assert (other != first).any()


def test_arrays_and_lists_are_the_same() -> None:
    X = np.random.default_rng(0).normal(size=(12, 6))
    y = [0, 1] * 6
    fits = [SequenceClassifier(**TINY).fit(given, y) for given in (X, X[:, :, None], list(X), X.tolist())]
    assert len({one.predict_proba(X).tobytes() for one in fits}) == 1


def test_sequences_of_a_series_may_have_any_index() -> None:
    sequences = pd.Series([np.ones((3, 2)), np.zeros((4, 2))], index=[5, 7])
    assert [one.shape for one in make_sequences(sequences)] == [(3, 2), (4, 2)]


def test_labels_of_whole_numbers_and_of_truth_values() -> None:
    X = np.random.default_rng(0).normal(size=(12, 6, 1))
    assert SequenceClassifier(**TINY).fit(X, [7, 3] * 6).classes_.tolist() == [3, 7]
    assert SequenceClassifier(**TINY).fit(X, [True, False] * 6).predict(X).dtype == bool


def test_several_labels_a_sequence() -> None:
    rng = np.random.default_rng(0)
    Y = rng.integers(0, 2, (80, 3))
    X = [rng.normal(size=(rng.integers(3, 9), 3)) * 0.3 + row for row in Y]
    model = SequenceClassifier(**{**QUICK, "epochs": 6}).fit(X[:60], Y[:60])
    assert model.multilabel_
    assert model.predict_proba(X).shape == (80, 3)
    assert model.score(X[60:], Y[60:]) > 0.9


def test_a_regressor_learns_numbers_of_any_scale() -> None:
    rng = np.random.default_rng(0)
    X = [rng.normal(size=(rng.integers(3, 9), 2)) + rng.normal(size=2) for _ in range(90)]
    Y = np.stack([[1e5 + 1e3 * one[:, 0].mean(), 1e-3 * one[:, 1].mean()] for one in X])
    model = SequenceRegressor(**{**QUICK, "epochs": 6}).fit(X[:70], Y[:70])
    assert model.predict(X).shape == (90, 2)
    assert model.score(X[70:], Y[70:]) > 0.8
    single = SequenceRegressor(**TINY).fit(X, Y[:, 0])
    assert single.predict(X).shape == (90,)


def test_a_tagger_labels_every_step(waves: Sequences) -> None:
    X = [one[:, 1:] for one in waves[0]]
    # the label needs the step before: a tagger that sees one step alone cannot know it
    y = [np.where(np.concatenate([[0], one[:-1, 0]]) > 0, "up", "down") for one in X]
    model = SequenceTagger(**{**STEPWISE, "epochs": 12}).fit(X[:45], y[:45])
    assert [len(one) for one in model.predict(X)] == [len(one) for one in X]
    assert model.predict_proba(X)[3].shape == (len(X[3]), 2)
    assert model.score(X[45:], y[45:]) > 0.85


def spoken(words: list[str], seed: int) -> list[np.ndarray]:
    """Each letter a vector that stands for two to four steps, silence of a step or two between them, and noise."""
    rng = np.random.default_rng(seed)
    letters = 2 * np.eye(4)[:, :3] - 1
    said = []
    for word in words:
        steps = [np.zeros((1, 3))]
        for letter in word:
            steps += [np.repeat(letters["abcd".index(letter)][None], rng.integers(2, 5), axis=0)]
            steps += [np.zeros((rng.integers(1, 3), 3))]
        silent = np.concatenate(steps)
        said.append(silent + rng.normal(size=silent.shape) * 0.2)
    return said


def test_a_transcriber_learns_words_without_their_times() -> None:
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcd"), rng.integers(1, 4))) for _ in range(100)]
    X = spoken(words, 1)
    model = SequenceTranscriber(**{**STEPWISE, "units": 12, "epochs": 12}).fit(X[:80], words[:80])
    assert model.score(X[80:], words[80:]) > 0.9
    read = model.predict(X[80:])
    assert all(isinstance(word, str) for word in read)
    assert model.set_params(beam=5).score(X[80:], words[80:]) > 0.9


def test_texts_may_be_of_any_symbols_and_empty() -> None:
    X = np.random.default_rng(0).normal(size=(10, 6, 1))
    model = SequenceTranscriber(**{**STEPWISE, "epochs": 1}).fit(X, [[10, 20], [], [20]] * 3 + [[10]])
    assert model.classes_.tolist() == [10, 20]
    assert all(set(one.tolist()) <= {10, 20} for one in model.predict(X))


@pytest.mark.parametrize(
    ("made", "y", "other"),
    [
        (SequenceClassifier, ["a", "b"] * 6, np.eye(12, 3)),
        (SequenceRegressor, np.arange(12.0), 1e6 + np.ones((12, 2))),
        (SequenceTagger, [["a", "b", "a"]] * 12, [[1, 2, 3]] * 12),
        (SequenceTranscriber, ["ab"] * 12, [[1, 2]] * 12),
    ],
)
def test_a_fit_that_fails_leaves_what_was_fitted(made: Any, y: Any, other: Any) -> None:
    X = np.random.default_rng(0).normal(size=(12, 3, 1))
    model = made(units=2, epochs=1).fit(X, y)
    before, fitted = model.predict(X), model.fitted()

    def stop(epoch: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.fit(X, other, on_epoch=stop)
    np.testing.assert_equal(model.fitted(), fitted)
    np.testing.assert_equal(model.predict(X), before)


@pytest.mark.parametrize("made", [SequenceClassifier, SequenceRegressor, SequenceTagger, SequenceTranscriber])
def test_estimators_are_cloned_and_set(made: Any) -> None:
    model = made(units=7, options={"bias": False})
    copy = clone(model)
    assert copy is not model
    assert copy.get_params() == model.get_params()
    assert model.set_params(units=9).units == 9
    with pytest.raises(ValueError, match="there is no parameter unit; expected cell, units"):
        model.set_params(unit=9)
    with pytest.raises(NotFittedError, match=f"this {made.__name__} is not fitted yet"):
        model.predict([[1.0]])


def test_scikit_learn_knows_what_they_are(waves: Sequences) -> None:
    assert is_classifier(SequenceClassifier())
    assert is_regressor(SequenceRegressor())
    assert not is_classifier(SequenceTagger())
    assert len(cross_val_score(SequenceClassifier(**TINY), *waves, cv=2)) == 2


def test_further_sequences_may_be_given_to_stop_on(waves: Sequences) -> None:
    X, y = waves
    told: list[Any] = []
    model = SequenceClassifier(**{**TINY, "epochs": 2})
    model.fit(X[:40], y[:40], validation=(X[40:], y[40:]), on_epoch=told.append)
    assert tuple(told) == model.training_.history
    assert None not in [epoch.val_loss for epoch in told]
    assert SequenceClassifier(**{**TINY, "validation_size": 0}).fit(X, y).training_.history[0].val_loss is None


ONES = np.ones((10, 4, 2))
CLASSES = [0, 1] * 5
HOLE = [ONES[0], np.array([[1.0, 2.0], [np.nan, 3.0]])]


@pytest.mark.parametrize(
    ("X", "y", "sentence"),
    [
        (
            HOLE,
            [0, 1],
            r"sequence 1 has nan at step 1, feature 0; expected finite numbers up to 3.4e\+38; fill missing",
        ),
        ([ONES[0], np.ones((3, 5))], [0, 1], r"sequence 1 has 5 features; expected 2, as sequence 0 has"),
        ([ONES[0], np.ones((0, 2))], [0, 1], r"sequence 1 has no steps; expected at least 1; leave it out"),
        ([ONES[0], np.ones((1, 2, 3))], [0, 1], r"sequence 1 has the shape \(1, 2, 3\); expected \(steps, features\)"),
        ([ONES[0], ["a", "b"]], [0, 1], r"sequence 1 is not of numbers alone"),
        (np.ones((2, 2, 2, 2)), [0, 1], r"an array of the shape \(2, 2, 2, 2\); expected"),
        (
            [ONES[0], [[1, 1], [1e39, 1]]],
            [0, 1],
            r"sequence 1 has 1e\+39 at step 1, feature 0; expected finite numbers",
        ),
        ([], [], r"there are no sequences; expected at least one"),
        ("text", [0], r"the sequences are of the type str; expected an array or a list of arrays"),
        (ONES, CLASSES[:9], r"there are 9 labels for 10 sequences; expected one a sequence"),
        (ONES, [3] * 10, r"all labels are 3; expected at least two classes"),
        (ONES, [0.0, np.nan] * 5, r"the labels have nan at 1; expected none to be missing"),
        (ONES, ["a", None] * 5, r"the labels are of the types NoneType, str; expected one kind, none missing"),
        (ONES, ["a", np.nan] * 5, r"the labels are of the types float, str; expected one kind, none missing"),
        (ONES, [[1], [1, 0]] * 5, r"the labels are of the type list; expected text, numbers or truth values"),
        (ONES, np.full((10, 2), 2), r"the labels have the shape \(10, 2\) and other values than 0 and 1"),
        (ONES[:2], CLASSES[:2], r"validation_size=0.15 of 2 sequences holds none out to stop on; give more sequences"),
    ],
)
def test_malformed_sequences_and_labels_are_refused(X: Any, y: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        SequenceClassifier(**TINY).fit(X, y)


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"cell": "lsmt"}, "there is no cell 'lsmt'; did you mean lstm"),
        ({"pooling": "sum"}, "the pooling is 'sum'"),
        ({"dropout": 1.0}, "dropout is 1.0; expected at least 0 and less than 1"),
        ({"batch_size": 0}, "batch_size is 0; expected a whole number of at least 1"),
        ({"validation_size": 1.0}, "validation_size is 1; expected a share"),
        ({"epochs": 0}, "epochs is 0"),
        ({"seed": 1.5}, "seed is 1.5; expected 0 to"),
        ({"batch_size": 2.5}, "batch_size is 2.5; expected a whole number of at least 1"),
        ({"batch_steps": 0}, "batch_steps is 0; expected a whole number of at least 1"),
    ],
)
def test_parameters_out_of_range_are_refused(parameters: dict[str, Any], sentence: str, waves: Sequences) -> None:
    with pytest.raises(InputError, match=sentence):
        SequenceClassifier(**{**TINY, **parameters}).fit(*waves)


def test_numbers_may_be_those_of_numpy(waves: Sequences, tmp_path: Path) -> None:
    whole = {name: np.int64(2) for name in ("units", "layers", "epochs", "patience", "batch_size", "seed")}
    X, y = waves[0][:10], waves[1][:10]
    model = SequenceClassifier(**{**TINY, **whole, "learning_rate": np.float32(0.01)}).fit(X, y)
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(SequenceClassifier.load(tmp_path / "model").predict_proba(X), model.predict_proba(X))


def test_validation_batches_hold_no_more_steps_than_training(waves: Sequences, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    forward = Network.forward

    def watched(network: Network, packed: Any) -> Any:
        seen.append(len(packed.batch_sizes) * int(packed.batch_sizes[0]))
        return forward(network, packed)

    monkeypatch.setattr(Network, "forward", watched)
    SequenceClassifier(**{**TINY, "batch_steps": 50}).fit(waves[0], waves[1])
    assert max(seen) <= 50


def test_a_training_that_diverges_names_the_learning_rate(waves: Sequences) -> None:
    with pytest.raises(InputError, match=r"training diverged: .* is not finite .* a lower learning_rate than 1e\+30"):
        SequenceRegressor(**{**TINY, "learning_rate": 1e30, "clip": None}).fit(waves[0], np.arange(60))


def test_other_features_than_those_trained_on_are_refused(classifier: SequenceClassifier) -> None:
    with pytest.raises(InputError, match="sequence 0 has 3 features; expected 2, as the network was trained with"):
        classifier.predict(np.ones((1, 4, 3)))


def test_other_validation_than_training_is_refused(waves: Sequences) -> None:
    X, y = waves
    with pytest.raises(InputError, match="the validation labels have medium, which training did not see"):
        SequenceClassifier(**TINY).fit(X, y, validation=(X[:1], ["medium"]))
    with pytest.raises(InputError, match="there are 2 validation targets; expected 1"):
        SequenceRegressor(**TINY).fit(X, np.arange(60), validation=(X[:1], [[1, 2]]))


@pytest.mark.parametrize(
    ("targets", "sentence"),
    [
        ([1.0, np.inf] * 5, r"the targets of sequence 1 are \[?inf"),
        ([1.0, -1e200] * 5, r"the targets of sequence 1 are -1e\+200; expected finite numbers up to"),
        (["a"] * 10, "the targets do not consist of numbers"),
        (np.ones((10, 1, 1)), r"the targets have the shape \(10, 1, 1\)"),
    ],
)
def test_malformed_targets_are_refused(targets: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        SequenceRegressor(**TINY).fit(ONES, targets)


def test_malformed_labels_of_steps_are_refused() -> None:
    tagger = SequenceTagger(**{**STEPWISE, "epochs": 1})
    with pytest.raises(InputError, match="sequence 1 has 4 steps and 3 labels; expected one a step"):
        tagger.fit(ONES, [[0, 1, 0, 1], [0, 1, 0]] * 5)
    with pytest.raises(InputError, match="the labels are text in some sequences and numbers in others"):
        tagger.fit(ONES, [[0, 1, 0, 1], ["a", "b", "c", "d"]] * 5)


@pytest.mark.parametrize(
    ("texts", "sentence"),
    [
        (["ab", ["a"]] * 5, "texts are strings in one place and sequences of symbols in another; expected one kind"),
        ([["a"], [1]] * 5, "the symbols of the texts are of the types int, str; expected one kind"),
        ([["a"], [np.nan]] * 5, "the symbols of the texts are of the types float, str"),
        ([["a"], 1] * 5, "text 1 is of the type int; expected a string or a sequence of symbols"),
    ],
)
def test_texts_of_several_kinds_are_refused(texts: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        SequenceTranscriber(**{**STEPWISE, "epochs": 1}).fit(ONES, texts)


@pytest.mark.parametrize(
    ("texts", "others", "sentence"),
    [
        ([["ab"], ["cd"]], [["abZZZ"]], "the validation texts have abZZZ, which training did not see"),
        ([[1], [2]], [[1.7]], r"the validation texts have 1.7, which training did not see"),
        ([[1], [2]], [["1"]], "the validation texts are text, and were numbers in training"),
        ([["a"], ["b"]], ["a"], "texts are strings in one place and sequences of symbols in another"),
    ],
)
def test_validation_texts_of_other_symbols_are_refused(texts: Any, others: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        SequenceTranscriber(**{**STEPWISE, "epochs": 1}).fit(ONES, texts * 5, validation=(ONES[:1], others))


def test_texts_too_long_for_their_sequences_are_refused() -> None:
    transcriber = SequenceTranscriber(**{**STEPWISE, "epochs": 1})
    with pytest.raises(InputError, match="sequence 1 has 4 steps and a text of 3 symbols, which needs 5"):
        transcriber.fit(ONES, ["abc", "aaa"] * 5)
    with pytest.raises(InputError, match="all texts are empty"):
        transcriber.fit(ONES, [""] * 10)


def test_labels_in_one_column_are_classes() -> None:
    x = np.random.default_rng(0).normal(size=(24, 5, 1))
    y = np.arange(24) % 2
    model = SequenceClassifier(units=3, epochs=1).fit(x, y[:, None])
    assert not model.multilabel_ and model.predict(x).shape == (24,)
    assert model.score(x, y[:, None]) == model.score(x, y)


def test_a_score_before_a_fit() -> None:
    with pytest.raises(NotFittedError):
        SequenceClassifier().score(np.zeros((2, 3, 1)), [0, 1])
