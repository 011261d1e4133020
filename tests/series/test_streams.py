"""Streams of windows: every target once, rows that go on, and a carried pass that equals a whole one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import ostinato.nn
from ostinato.series import Streams

lengths = st.lists(st.integers(1, 40), min_size=1, max_size=6)


def numbered(sizes: list[int], features: int = 2) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Series of random numbers, and targets that are numbered through."""
    rng = np.random.default_rng(sum(sizes))
    ends = np.cumsum(sizes)
    series = [rng.normal(size=(n, features)) for n in sizes]
    return series, [np.arange(end - n, end) for n, end in zip(sizes, ends, strict=True)]


@given(lengths, st.integers(1, 5), st.integers(1, 9), st.booleans())
def test_every_target_is_used_exactly_once(sizes: list[int], batch: int, steps: int, whole: bool) -> None:
    series, targets = numbered(sizes)
    streams = Streams(series, targets, batch=batch, steps=steps, whole=whole)
    used = np.concatenate([one.y[one.mask] for one in streams])
    assert sorted(used) == list(range(sum(sizes)))
    inputs = np.concatenate([one.x[one.mask] for one in streams])
    np.testing.assert_array_equal(inputs, np.concatenate(series)[used].astype("float32"))
    assert all(not one.x[~one.mask].any() and not one.y[~one.mask].any() for one in streams)
    assert streams.dropped == 0


@given(lengths, st.integers(1, 5), st.integers(1, 9))
def test_what_is_dropped_is_counted(sizes: list[int], batch: int, steps: int) -> None:
    series, targets = numbered(sizes)
    windows = sum(n // steps for n in sizes)
    if windows < batch:
        with pytest.raises(ValueError, match="fill no batch"):
            Streams(series, targets, batch=batch, steps=steps, ragged="drop")
        return
    streams = Streams(series, targets, batch=batch, steps=steps, ragged="drop")
    used = [target for one in streams for target in one.y.ravel()]
    assert all(one.mask.all() for one in streams)
    assert len(set(used)) == len(used) == sum(sizes) - streams.dropped == windows // batch * batch * steps


@given(lengths, st.integers(1, 4), st.integers(1, 9), st.booleans())
def test_a_row_that_carries_goes_on_where_it_was(sizes: list[int], batch: int, steps: int, whole: bool) -> None:
    series, targets = numbered(sizes)
    starts = {int(one[0]) for one in targets}
    streams = Streams(series, targets, batch=batch, steps=steps, whole=whole)
    before: Any = None
    for one in streams:
        assert set(one.carry) <= {0, 1} and not (one.carry.any() and before is None)
        for row in range(batch):
            if one.carry[row]:
                assert one.y[row, 0] == before.y[row, -1] + 1 and before.mask[row].all()
            elif one.mask[row, 0] and whole:
                assert int(one.y[row, 0]) in starts
        before = one


@given(lengths, st.integers(1, 4), st.integers(1, 9), st.sampled_from(["LSTM", "GRU", "PeepholeLSTM"]), st.booleans())
def test_a_carried_pass_equals_one_over_each_whole_series(
    sizes: list[int], batch: int, steps: int, name: str, whole: bool
) -> None:
    """Or over each part of it, where rows take equal shares."""
    series, targets = numbered(sizes)
    layer = getattr(ostinato.nn, name)(2, 5, batch_first=True, dtype=torch.float64)
    batches = ostinato.nn.SeriesBatches(series, targets, batch=batch, steps=steps, whole=whole, dtype="float64")
    states, outputs = None, []
    with torch.no_grad():
        for x, _, _, carry in batches:
            if states is not None:
                states = [state * carry[:, None] for state in states]
                states = states[0] if len(states) == 1 else tuple(states)
            output, states = layer(x, states)
            states = [states] if isinstance(states, torch.Tensor) else states
            outputs.append(output)
        found = batches.streams.restore(torch.stack(outputs))
        pieces = [piece for row in batches.streams.rows for piece in row]
        assert len(pieces) == len(series) or not whole
        for piece in pieces:
            part = slice(piece.window * steps, (piece.window + piece.windows) * steps)
            expected, _ = layer(torch.from_numpy(series[piece.series][part])[None])
            np.testing.assert_allclose(found[piece.series][part], expected[0], rtol=0, atol=1e-12)


def test_one_long_series_is_cut_into_equal_rows_each_of_which_starts_anew_once() -> None:
    streams = Streams(np.arange(1000.0), np.arange(1000), batch=4, steps=25)
    assert len(streams) == 10
    np.testing.assert_array_equal(streams[0].y[:, 0], [0, 250, 500, 750])
    assert [one.carry.tolist() for one in streams] == [[0] * 4] + [[1] * 4] * 9


def test_a_horizon_shifts_the_series() -> None:
    series = np.random.default_rng(0).normal(size=(103, 3))
    streams = Streams(series, horizon=4, columns=[2, 0], batch=3, steps=7)
    found = streams.restore(np.stack([one.y for one in streams]))[0]
    np.testing.assert_array_equal(found, series[4:, [2, 0]].astype("float32"))
    assert streams.lengths == [99]


def test_tokens_stay_integers() -> None:
    text = np.arange(50, dtype="int64") % 7
    streams = Streams(text, horizon=1, batch=2, steps=8, dtype="int64")
    x, y, mask, carry = streams[0]
    assert x.shape == y.shape == mask.shape == (2, 8) and x.dtype == y.dtype == np.int64
    np.testing.assert_array_equal(x[:, 1:], y[:, :-1])
    assert carry.shape == (2,)


@pytest.mark.parametrize("kind", ["list", "mapped", "path"])
def test_a_file_gives_the_batches_of_its_array(kind: str, tmp_path: Path) -> None:
    array = np.random.default_rng(0).normal(size=(97, 3)).astype("float32")
    np.save(tmp_path / "series.npy", array)
    given: Any = tmp_path / "series.npy"
    given = {"list": array.tolist()[:0] or [array], "mapped": np.load(given, mmap_mode="r"), "path": given}[kind]
    expected = Streams(array, horizon=1, batch=4, steps=5)
    for ours, theirs in zip(Streams(given, horizon=1, batch=4, steps=5), expected, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(one, other)
            assert one.dtype == other.dtype


def test_numbers_of_a_row_that_starts_anew_with_padding_between() -> None:
    streams = Streams([np.ones(3), np.ones(4), np.ones(2)], horizon=1, batch=1, steps=2)
    assert [one.mask[0].tolist() for one in streams] == [[True, True], [True, True], [True, False], [True, False]]
    assert [float(one.carry[0]) for one in streams] == [0, 0, 1, 0]
    assert repr(streams) == "Streams(3 series, 6 steps: 4 batches of 1 rows x 2 steps)"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"batch": 0}, "batch is 0; expected an integer of at least 1"),
        ({"steps": 2.5}, "steps is 2.5; expected an integer of at least 1"),
        ({"horizon": None}, "give either targets or a horizon"),
        ({"horizon": -1}, "horizon is -1; expected an integer of at least 1"),
        ({"horizon": 10}, "series 0 has 10 steps; horizon=10 needs more"),
        ({"targets": np.ones(10)}, "give either targets or a horizon"),
        ({"targets": np.ones(9), "horizon": None}, "series 0 has 10 steps and 9 targets"),
        ({"targets": [np.ones(10)] * 2, "horizon": None}, "got targets for 2 series; expected them for 1"),
        ({"columns": [2]}, r"columns is \[2\]; expected features of a series, within 0..1"),
        ({"ragged": "cut"}, "ragged is 'cut'; expected 'pad' or 'drop'"),
        ({"ragged": "drop", "whole": True}, "ragged='drop' needs whole=False"),
        ({"ragged": "drop"}, "9 steps fill no batch of 32 rows x 100 steps"),
        ({"dtype": "float16"}, "dtype is 'float16'"),
        ({"dtype": "int64"}, r"series 0 has the shape \(10, 2\) and the dtype float64; tokens"),
        ({"series": np.ones((2, 3, 4))}, r"series has the shape \(2, 3, 4\)"),
        ({"series": np.array(["a"])}, "series is of the dtype <U1; expected real numbers"),
        ({"series": [np.ones((5, 1)), np.ones((5, 2))]}, "series 1 has 2 features and series 0 has 1"),
        ({"series": []}, "series is an empty list"),
        ({"series": __file__}, "is not a .npy file of numbers"),
    ],
)
def test_bad_input_gets_a_sentence(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Streams(**{"series": np.ones((10, 2)), "horizon": 1, **arguments})


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"series is '.*none.npy', and there is no such file"):
        Streams(tmp_path / "none.npy", horizon=1)
    streams = Streams(np.ones(10), horizon=1, batch=1, steps=5)
    with pytest.raises(IndexError, match="batch 2 of 2"):
        streams[2]
    with pytest.raises(ValueError, match=r"outputs have the shape \(3, 5\); expected \(2, 5, ...\)"):
        streams.restore(np.ones((3, 5)))


@pytest.mark.parametrize("made", [np.array, torch.tensor, pd.Series])
def test_several_series_are_arrays_of_any_library(made: Any) -> None:
    series = [made([float(step) for step in range(50)]) for _ in range(2)]
    assert "2 series" in str(Streams(series, horizon=1, batch=2, steps=10))
    assert "2 series" in str(Streams(series, series, batch=2, steps=10))
