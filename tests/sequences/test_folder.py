"""Estimators on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import save_file

from ostinato.errors import InputError
from ostinato.sequences import (
    SequenceClassifier,
    SequenceRegressor,
    SequenceTagger,
    SequenceTranscriber,
    load,
)

TINY: dict[str, Any] = {"units": 2, "epochs": 1, "validation_size": 0, "options": {"bias": False}, "clip": None}
X = np.random.default_rng(0).normal(size=(6, 5, 2)) * 3 + 1
TARGETS: dict[type[Any], Any] = {
    SequenceClassifier: ["é", "b"] * 3,
    SequenceRegressor: np.arange(12).reshape(6, 2) * 1e3,
    SequenceTagger: [[True, False, True, True, False]] * 6,
    SequenceTranscriber: ["ab", "b", "", "a", "ab", "b"],
}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    SequenceClassifier(**TINY).fit(X, TARGETS[SequenceClassifier]).save(folder)
    return folder


@pytest.mark.parametrize("made", list(TARGETS))
def test_a_saved_estimator_predicts_as_before(made: Any, tmp_path: Path) -> None:
    model = made(**TINY).fit(X, TARGETS[made])
    model.save(tmp_path / "model")
    for again in (made.load(tmp_path / "model"), load(tmp_path / "model")):
        assert type(again) is made
        assert again.get_params() == model.get_params()
        assert again.training_ == model.training_
        for one, other in zip(again.predict(X), model.predict(X), strict=True):
            np.testing.assert_array_equal(one, other)
            assert np.asarray(one).dtype == np.asarray(other).dtype


@pytest.mark.parametrize("changed", [{"units": 3}, {"pooling": "max"}, {"options": {"bias": True}}])
def test_parameters_set_after_fitting_do_not_touch_what_was_fitted(changed: dict[str, Any], tmp_path: Path) -> None:
    model = SequenceClassifier(**TINY).fit(X, TARGETS[SequenceClassifier])
    before = model.predict_proba(X)
    model.set_params(**changed).save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert again.get_params() == SequenceClassifier(**TINY).get_params()
    np.testing.assert_array_equal(again.predict_proba(X), before)
    np.testing.assert_array_equal(model.predict_proba(X), before)


def test_options_changed_in_place_after_fitting_do_not_either(tmp_path: Path) -> None:
    model = SequenceClassifier(**{**TINY, "options": {"bias": False}}).fit(X, TARGETS[SequenceClassifier])
    model.options["bias"] = True  # type: ignore[index]
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(load(tmp_path / "model").predict_proba(X), model.predict_proba(X))


def test_a_beam_set_after_fitting_is_kept(tmp_path: Path) -> None:
    model = SequenceTranscriber(**TINY).fit(X, TARGETS[SequenceTranscriber]).set_params(beam=3, units=9)
    model.save(tmp_path / "model")
    again = SequenceTranscriber.load(tmp_path / "model")
    assert (again.beam, again.units) == (3, 2)


def test_a_matrix_of_labels_stays_one(tmp_path: Path) -> None:
    model = SequenceClassifier(**TINY).fit(X, np.eye(6, 3, dtype=int))
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(load(tmp_path / "model").predict_proba(X), model.predict_proba(X))


def test_a_folder_is_data_alone(saved: Path) -> None:
    assert sorted(path.name for path in saved.iterdir()) == ["sequences.json", "weights.safetensors"]


def test_what_is_there_stays_unless_it_may_be_overwritten(saved: Path, tmp_path: Path) -> None:
    model = SequenceClassifier(**TINY).fit(X, [1, 2] * 3)
    with pytest.raises(InputError, match=r"exists already; choose another folder, or give overwrite=True"):
        model.save(saved)
    model.save(saved, overwrite=True)
    assert SequenceClassifier.load(saved).classes_.tolist() == [1, 2]
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="is not a fitted estimator"):
        model.save(other, overwrite=True)
    assert (other / "thesis.txt").read_text() == "mine"


def test_an_estimator_of_another_class_is_refused(saved: Path) -> None:
    with pytest.raises(InputError, match="holds a SequenceClassifier; expected a SequenceTagger"):
        SequenceTagger.load(saved)


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("estimator", "Popen"),
        ("parameters", {"sells": "lstm"}),
        ("parameters", {"cell": "no such cell"}),
        ("parameters", None),
        ("scaling", {"mean": [0], "scale": [1, 2]}),
        ("scaling", {"mean": [0, None], "scale": [1, 1]}),
        ("fitted", {"classes": {"kind": "O", "values": [1]}, "multilabel": False}),
        ("fitted", {}),
        ("training", {"history": [{"x": 1}]}),
    ],
)
def test_a_damaged_description_is_told(saved: Path, entry: str, value: object) -> None:
    path = saved / "sequences.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), entry: value}))
    with pytest.raises(InputError, match=r"sequences.json is damaged .*; train again"):
        load(saved)


@pytest.mark.parametrize("damage", ["missing", "text", "cut", "other"])
def test_damaged_weights_are_told(saved: Path, damage: str) -> None:
    path = saved / "weights.safetensors"
    if damage == "missing":
        path.unlink()
    elif damage == "text":
        path.write_text("no tensors")
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-3])
    else:
        save_file({}, path)
    with pytest.raises(InputError, match="damaged"):
        load(saved)


def test_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not there; expected a folder of a fitted estimator"):
        load(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"has no sequences.json"):
        load(tmp_path)
