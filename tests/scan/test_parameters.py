"""What a layer of a cell stores, and the weights of a scan made of it; `gallery/test_structure.py` counts them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.cells import CELLS, Cell, cell
from ostinato.compiler import trace
from ostinato.scan import Structure, lowest, projects, scan


def structure(made: Cell | str, units: int = 8, input_size: int = 5, **options: Any) -> Structure:
    made = CELLS[made] if isinstance(made, str) else made
    if projects(made):
        options.setdefault("projection", 3)
    return Structure(made, units if trace(made).sizes.same else input_size, units, **options)


def stored(of: Structure, dtype: torch.dtype = torch.float64) -> dict[str, torch.Tensor]:
    return {one.name: torch.randn(one.shape, dtype=dtype) for one in of.parameters()}


@pytest.mark.parametrize("name", list(CELLS))
def test_without_biases_and_with_fixed_vectors_less_is_trained(name: str) -> None:
    whole, plain = structure(name), structure(name, bias=False)
    biases = sum(one.shape[0] for one in whole.parameters() if one.name in ("b", "b_u"))
    assert whole.count() - plain.count() == biases
    vectors = CELLS[name].parameters
    fixed = structure(name, fixed=dict.fromkeys(vectors, 0.5))
    assert whole.count() - fixed.count() == 8 * len(vectors)
    assert [one.name for one in fixed.parameters()] == [one.name for one in whole.parameters()]
    assert all(one.initial == 0.5 and not one.trained for one in fixed.parameters() if one.name in vectors)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", list(CELLS))
def test_the_weights_fit_a_scan(name: str, bias: bool) -> None:
    """A gradient reaches what is trained: more than half of the entries, for a relu may rest."""
    blocks = {"heads": {"heads": 2}, "clockwork": {"modules": 4}}.get(CELLS[name].blocks, {})
    one = structure(name, bias=bias, **blocks)
    tensors = {n: t * 0.3 for n, t in stored(one).items()}
    for parameter in one.parameters():
        if parameter.trained:
            tensors[parameter.name].requires_grad_()
        elif isinstance(parameter.initial, tuple):
            tensors[parameter.name].copy_(torch.tensor(parameter.initial, dtype=torch.float64))
    x = torch.randn(3, 9, one.input_size, dtype=torch.float64)
    inputs = [torch.rand(3, 9, 8, dtype=torch.float64) for _ in one.cell.inputs]
    states = [torch.rand(1, 3, one.state_size(n), dtype=torch.float64) * 0.3 for n in one.cell.states]
    if one.cell.clock:
        states = [torch.zeros_like(state) for state in states]
    y, finals = scan(one.cell, x, [one.weights(tensors)], states, sequences=[inputs])
    weight = torch.randn_like(y)
    ((y * weight).sum() + sum(final.sum() for final in finals)).backward()
    for parameter in one.parameters():
        if parameter.trained:
            gradient = tensors[parameter.name].grad
            assert gradient is not None and gradient.count_nonzero() > 0.5 * gradient.numel(), parameter.name


@settings(max_examples=25, deadline=None)
@given(st.sampled_from([1, 2, 3, 4, 6]), st.integers(1, 3), st.integers(0, 99))
def test_dense_recurrent_weights_of_heads(heads: int, width: int, seed: int) -> None:
    torch.manual_seed(seed)
    H = heads * width
    one = Structure(CELLS["slstm"], 2, H, heads=heads)
    tensors = stored(one)
    weights = one.weights(tensors)
    assert weights.U is not None and weights.U.shape == (4 * H, H)
    for row in range(4 * H):
        for column in range(H):
            same = row % H // width == column // width
            assert weights.U[row, column] == (tensors["U"][row, column % width] if same else 0.0)
    if heads == 1:
        assert weights.reach is None
    else:
        assert weights.reach is not None
        assert weights.reach.tolist() == [[u // width * width, u // width * width + width] for u in range(H)]


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 5), st.integers(1, 3), st.integers(0, 99))
def test_dense_recurrent_weights_of_a_clockwork(modules: int, k: int, seed: int) -> None:
    torch.manual_seed(seed)
    H = modules * k
    one = Structure(CELLS["clockwork"], 2, H, modules=modules)
    tensors = stored(one)
    assert tensors["U"].shape == (k, k * modules * (modules + 1) // 2)
    weights = one.weights(tensors)
    assert weights.U is not None
    expected, start = torch.zeros(H, H, dtype=torch.float64), 0
    for first in range(0, H, k):
        expected[first : first + k, first:] = tensors["U"][:, start : start + H - first]
        start += H - first
    assert torch.equal(weights.U, expected)
    if modules > 1:
        assert weights.reach is not None
        assert weights.reach.tolist() == [[u // k * k, H] for u in range(H)]
    assert [one.initial for one in one.parameters() if one.name == "period"] == [
        tuple(2.0**m for m in range(modules) for _ in range(k))
    ]


@cell(gates="a b c", states="h", bias="c a", recurrent_bias="b", parameters="v", constants={"k": 2.0},
      initial={"b_a": (0.0, 1.0), "v": (2.0, 3.0), "b_b": 4.0})  # fmt: skip
def partly_biased(gate: Any, p: Any, constant: Any) -> Any:
    """Three gates, of which two have a bias beside W and one beside U."""
    return gate.a + gate.b * p.v + gate.c * constant.k


def test_biases_of_some_gates_only() -> None:
    one = Structure(partly_biased, 2, 3)
    tensors = stored(one)
    weights = one.weights(tensors)
    zeros = torch.zeros(3, dtype=torch.float64)
    first, last = tensors["b"].split(3)
    assert weights.b is not None and torch.equal(weights.b, torch.cat([first, zeros, last]))
    assert weights.b_u is not None and torch.equal(weights.b_u, torch.cat([zeros, tensors["b_u"], zeros]))
    assert torch.equal(weights.parameters[0], tensors["v"]) and torch.equal(weights.parameters[1], tensors["k"])


def test_initial_values_part_by_part() -> None:
    found = {one.name: one for one in Structure(partly_biased, 2, 2, constants={"k": [5.0, 6.0]}).parameters()}
    assert found["b"].gates == ("a", "c") and found["b_u"].gates == ("b",)
    assert found["b"].parts == ((0.0, 1.0), None)
    assert found["b_u"].parts == (4.0,)
    assert found["v"].parts == ((2.0, 3.0),), "bounds of all units"
    assert found["k"].parts == (5.0, 6.0), "a number each of two units"
    assert found["W"].parts == (None,)


@cell(gates="a", states="h", recurrent_bias="a", initial={"b_a": 1.0}, forget="a")
def twice_biased(gate: Any) -> Any:
    """One gate with two biases."""
    return gate.a


def test_two_biases_of_a_gate_add_up_to_the_value_named() -> None:
    one = Structure(twice_biased, 2, 2)
    assert [parameter.parts for parameter in one.parameters() if parameter.gates and parameter.name[0] == "b"] == [
        (1.0,), (0.0,)
    ]  # fmt: skip
    tensors = stored(one)
    found = one.forget_biases(tensors)
    assert [part.data_ptr() for part in found] == [tensors["b"].data_ptr(), tensors["b_u"].data_ptr()]


def test_the_forget_bias_of_a_cell_that_adds_it_itself() -> None:
    one = Structure(CELLS["layer_norm_lstm"], 2, 3)
    tensors = stored(one)
    assert [part.data_ptr() for part in one.forget_biases(tensors)] == [tensors["b_f"].data_ptr()]


def test_the_lowest_layer_of_a_stack() -> None:
    assert lowest(CELLS["depth_gated_lstm"]) is CELLS["peephole_lstm"]
    assert all(lowest(made) is made for made in CELLS.values() if not made.sequences)

    @cell(gates="a", states="h c", sequences="below", phi="tanh")
    def nothing_simpler(gate: Any, state: Any, sequence: Any, phi: Any) -> Any:
        c = 0.25 * state.c + phi(gate.a) + sequence.below
        return phi(c), c

    assert lowest(nothing_simpler) is nothing_simpler

    @cell(gates="i f g o", states="h c", sequences="below", phi="tanh", sigma="sigmoid", forget="f")
    def joined_lstm(gate: Any, state: Any, sequence: Any, phi: Any, sigma: Any) -> Any:
        i = sigma(gate.i)
        f = sigma(gate.f)
        c = f * state.c + i * phi(gate.g) + sequence.below
        return sigma(gate.o) * phi(c), c

    assert lowest(joined_lstm) is CELLS["lstm"]


WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "projection too large": (lambda: structure("projected_lstm", projection=9), "is 9; expected 1..8, the units"),
    "projection of another": (lambda: structure("lstm", projection=2), "the projection size is 2, but cell lstm has"),
    "heads of another": (lambda: structure("lstm", heads=2), "heads is 2, but cell lstm has no heads"),
    "no heads": (lambda: structure("slstm", heads=0), "heads is 0; expected a divisor of the 8 units of cell slstm"),
    "periods of another": (lambda: structure("lstm", periods=(1,)), "periods is (1,), but cell lstm has no modules"),
    "a period below 1": (
        lambda: structure("clockwork", modules=2, periods=(0, 1)), "periods is (0, 1); expected integers from 1"
    ),
    "a period twice over": (
        lambda: structure("clockwork", constants={"period": 2.0}), "the period of cell clockwork follows from periods"
    ),
    "an unknown constant": (lambda: structure("lem", constants={"step": 1.0}), "no constant 'step'; it has dt"),
    "an unknown vector": (lambda: structure("lstm", fixed={"p_i": 1.0}), "no parameter 'p_i'; it has none"),
    "a vector that is not a number": (
        lambda: structure("peephole_lstm", fixed={"p_i": float("nan")}), "p_i holds nan; expected finite numbers"
    ),
    "another width": (lambda: Structure(CELLS["rg_lru"], 3, 4), "needs an input as wide as its units; got input size"),
    "no forget gate": (
        lambda: structure("elman").forget_biases({}), "cell elman has no gate whose bias makes it remember"
    ),
}  # fmt: skip


@pytest.mark.parametrize("call, words", WRONG.values(), ids=WRONG)
def test_what_does_not_fit_is_named_with_the_rule(call: Callable[[], Any], words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        call()


def test_two_tensors_of_one_name() -> None:
    @cell(gates="a", states="h", parameters="R", matrices="R:HH")
    def ambiguous(gate: Any, state: Any, p: Any, matrix: Any) -> Any:
        return gate.a * p.R + matrix.R @ state.h

    with pytest.raises(ValueError, match="'R' names two of its tensors"):
        Structure(ambiguous, 2, 3).parameters()
