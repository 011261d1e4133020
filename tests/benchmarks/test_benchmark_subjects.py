"""What the benchmark computes: the same in every framework, and right."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from benchmarks import contest, problems, with_torch
from benchmarks.cases import KERAS_BIDIRECTIONAL, KERAS_STOCK, cells, inference, layers, ragged, stock
from benchmarks.contest import PEER_TOLERANCE, Comparison, difference, our_tolerance
from benchmarks.growth import growth
from benchmarks.memory import PLAIN_ALLOCATOR
from benchmarks.precision import precision
from benchmarks.process import Process
from benchmarks.serving import watched
from benchmarks.shapes import shapes
from benchmarks.with_keras import BidirectionalLayer, StockNetwork

import ostinato.nn
from ostinato.cells import elman
from ostinato.scan import Weights, scan

LENGTHS = [5, 9, 1, 7]
SHAPE: dict[str, Any] = {"input_size": 3, "hidden_size": 5, "batch": 4, "steps": 9}
BIDIRECTIONAL: dict[str, Any] = {**SHAPE, "kind": "LSTM", "bidirectional": True, "lengths": LENGTHS, "packed": True}
STOCK: dict[str, Any] = {"units": 6, "layers": 2, "dropout": 0.2, "batch": 8, "steps": 10}


def oracle(options: dict[str, Any], subject: Any = with_torch.Layer) -> dict[str, Any]:
    result: dict[str, Any] = subject(library="torch.nn", dtype="float64", **options).check()
    return result


@pytest.mark.parametrize("kind", problems.GATES)
def test_parameters_have_the_names_and_shapes_of_torch(kind: str) -> None:
    module = getattr(torch.nn, kind)(3, 5, num_layers=2, bidirectional=True)
    drawn = problems.parameters(kind, 3, 5, layers=2, bidirectional=True)
    shapes = {name: tuple(parameter.shape) for name, parameter in module.named_parameters()}
    assert {name: value.shape for name, value in drawn.items()} == shapes
    assert list(drawn) == list(shapes)


def test_from_keras_undoes_to_keras() -> None:
    named = problems.parameters("LSTM", 3, 5, bidirectional=True) | problems.dense(10)
    for name in [name for name in named if "bias_hh" in name]:
        named[name] = np.zeros(20)
    back = problems.from_keras(named, problems.to_keras(named))
    assert list(back) == list(named)
    for name in named:
        expected = named[name.replace("bias_hh", "bias_ih")]
        np.testing.assert_array_equal(back[name], expected)


@pytest.mark.parametrize("source", [problems.IMDB, Path("absent")])
def test_reviews_fill_three_fifths_of_a_batch(source: Path) -> None:
    if source == problems.IMDB and not source.is_file():
        pytest.skip("the shared data are not beside the project (../shared/data)")
    lengths, origin = problems.review_lengths(64, 400, source)
    assert len(lengths) == 64
    assert min(lengths) >= 1
    assert max(lengths) == 400
    assert sum(lengths) / 64 / 400 == pytest.approx(0.61, abs=0.02)
    assert lengths != sorted(lengths)
    assert ("stand-in" in origin) == (source != problems.IMDB)


def test_price_windows_precede_their_targets() -> None:
    windows, following = problems.price_windows(rows=60, lookback=40)
    assert windows.shape == (20, 40, 1)
    np.testing.assert_array_equal(windows[1:, -1], following[:-1])


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("library", ["ostinato.nn", "torch.nn"])
@pytest.mark.parametrize("kind", problems.GATES)
def test_layer_agrees_with_the_oracle(kind: str, library: str, training: bool) -> None:
    options = {**SHAPE, "kind": kind, "layers": 2, "training": training}
    result = with_torch.Layer(library=library, **options).check()
    assert len(result) == (10 if training else 1)
    assert difference(result, oracle(options))[0] < our_tolerance(9)


def test_packed_layer_agrees_with_the_oracle() -> None:
    result = with_torch.Layer(library="ostinato.nn", **BIDIRECTIONAL).check()
    assert difference(result, oracle(BIDIRECTIONAL))[0] < our_tolerance(9)
    assert (result["output"][LENGTHS[0] :, 0] == 0).all()


def test_a_padded_backward_direction_computes_something_else() -> None:
    padded = {**BIDIRECTIONAL, "packed": False}
    assert difference(oracle(padded), oracle(BIDIRECTIONAL))[0] > PEER_TOLERANCE


@pytest.mark.parametrize("library", ["ostinato.nn", "torch.nn"])
def test_stock_network_agrees_with_the_oracle_and_learns(library: str) -> None:
    network = with_torch.StockNetwork(library=library, **STOCK)
    assert difference(network.check(), oracle(STOCK, with_torch.StockNetwork))[0] < PEER_TOLERANCE
    assert network.run(30) < network.run(1)


@pytest.mark.parametrize("library", ["ostinato.keras.layers", "keras.layers"])
def test_keras_bidirectional_agrees_with_the_oracle(library: str) -> None:
    layer = BidirectionalLayer(library, **SHAPE, lengths=LENGTHS)
    assert difference(layer.check(), oracle(BIDIRECTIONAL))[0] < our_tolerance(9)
    assert np.isfinite(layer.run(1))


@pytest.mark.parametrize("by", ["fit", "train_on_batch"])
@pytest.mark.parametrize("library", ["ostinato.keras.layers", "keras.layers"])
def test_keras_stock_network_agrees_with_the_oracle(library: str, by: str) -> None:
    network = StockNetwork(library, by, **STOCK)
    assert difference(network.check(), oracle(STOCK, with_torch.StockNetwork))[0] < PEER_TOLERANCE
    assert network.steps_per_run == (156 if by == "fit" else 1)


def test_keras_stock_network_refuses_an_unknown_way() -> None:
    with pytest.raises(ValueError, match="by is 'hand'; expected 'fit' or 'train_on_batch'"):
        StockNetwork("keras.layers", "hand", **STOCK)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "tensorflow"])
def test_keras_on_other_backends_agrees_with_the_oracle(backend: str, tmp_path: Path) -> None:
    python = contest.INTERPRETERS["peers"]
    if not python.exists():
        pytest.skip("the peers' environment is not installed (make bench installs it)")
    process = Process(python, 1, {"KERAS_BACKEND": backend})
    works = [
        (KERAS_BIDIRECTIONAL, {**SHAPE, "lengths": LENGTHS}, oracle(BIDIRECTIONAL)),
        (KERAS_STOCK, {**STOCK, "by": "train_on_batch"}, oracle(STOCK, with_torch.StockNetwork)),
    ]
    try:
        for subject, options, right in works:
            versions = process.ask(build=subject, options={**options, "library": "keras.layers"})["versions"]
            assert backend in versions
            process.ask(check=str(tmp_path / "arrays.npz"))
            assert process.ask(time=1)["seconds"] > 0
            with np.load(tmp_path / "arrays.npz") as arrays:
                assert difference(dict(arrays), right)[0] < PEER_TOLERANCE
    finally:
        process.close()


class Served:
    served = "unset"


def test_what_the_kernels_served_needs_no_word() -> None:
    subject = Served()
    with watched(subject):
        ostinato.nn.LSTM(2, 3)(torch.zeros(4, 1, 2))
    assert subject.served == ""


def test_what_the_reference_served_is_said() -> None:
    subject = Served()
    with watched(subject):
        scan(elman, torch.zeros(1, 4, 2), [Weights(torch.zeros(3, 2), torch.zeros(3, 3))], backend="reference")
    assert subject.served.startswith("reference: ")


def test_another_frameworks_path_is_refused() -> None:
    with pytest.raises(RuntimeError, match="another framework's path"), watched(Served()):
        torch.nn.LSTM(2, 3)(torch.zeros(4, 1, 2))


def test_training_holds_at_least_its_own_arrays() -> None:
    shape = {"kind": "LSTM", "input_size": 32, "hidden_size": 32, "batch": 32, "steps": 100}
    process = Process(Path(sys.executable), 1, PLAIN_ALLOCATOR)  # this one may have free memory at hand
    try:
        process.ask(build="benchmarks.memory:Layer", options={"library": "torch.nn", **shape})
        measured = process.ask(measure=True)
    finally:
        process.close()
    assert measured["peak"] >= measured["held"] > 4e-6 * 3200 * (32 + 32)


def test_in_bfloat16_a_layer_is_near_the_oracle() -> None:
    options = {**SHAPE, "kind": "LSTM"}
    error, _ = difference(with_torch.Layer(library="torch.nn", autocast=True, **options).check(), oracle(options))
    assert 1e-4 < error < 0.1


@pytest.mark.skipif(not hasattr(torch.backends.mkldnn, "rnn"), reason="this PyTorch has no torch.backends.mkldnn.rnn")
def test_a_layer_is_as_exact_as_it_is_told_to_be() -> None:
    switch = torch.backends.mkldnn.rnn  # type: ignore[attr-defined]
    before = switch.fp32_precision
    try:
        with_torch.Layer(library="ostinato.nn", precision="tf32", **SHAPE, kind="LSTM")
        assert switch.fp32_precision == "tf32"
    finally:
        switch.fp32_precision = before


@pytest.mark.parametrize("quick", [True, False])
@pytest.mark.parametrize("case", [stock, ragged, layers, cells, inference, shapes, growth, precision])
def test_every_comparison_names_its_contenders_once(case: Any, quick: bool) -> None:
    comparisons: list[Comparison] = case(quick)
    assert len({comparison.title for comparison in comparisons}) == len(comparisons)
    for comparison in comparisons:
        names = [contender.name for contender in comparison.contenders]
        assert len(set(names)) == len(names)
        assert comparison.contenders[0].ours
        assert set(comparison.targets) | set(comparison.efforts) <= set(names)
        assert {contender.oracle for contender in comparison.contenders} <= set(comparison.oracles)
