"""Every error of a request: raised before anything runs, and naming the value that does not fit."""

from __future__ import annotations

import gc
import re
import weakref
from dataclasses import fields
from typing import Any

import pytest
import torch

from ostinato.cells import CELLS, cell
from ostinato.scan import Weights, make_request, scan


def valid(**changes: Any) -> dict[str, Any]:
    """An LSTM of 5 units on x (3, 4, 2), with `changes`; those whose name is a weight's change that weight."""
    weights = {"W": torch.zeros(20, 2), "U": torch.zeros(20, 5), "b": torch.zeros(20), "b_u": torch.zeros(20)}
    weights.update({name: changes.pop(name) for name in (*weights, "order", "parameters") if name in changes})
    made = {"cell": CELLS["lstm"], "x": torch.zeros(3, 4, 2), "weights": [Weights(**weights)]}
    return {**made, **changes}


def packed(**changes: Any) -> dict[str, Any]:
    return valid(**{"x": torch.zeros(6, 2), "layout": "packed", "batch_sizes": torch.tensor([3, 2, 1]), **changes})


@cell(gates="a", states="h", parameters="scale shift", phi="tanh")
def scaled(gate: Any, p: Any, phi: Any) -> Any:
    """An Elman cell with two per-unit vectors."""
    return phi(p.scale * gate.a + p.shift)


def _scaled(*parameters: torch.Tensor) -> dict[str, Any]:
    weights = Weights(torch.zeros(5, 2), torch.zeros(5, 5), parameters=parameters)
    return {"cell": scaled, "x": torch.zeros(3, 4, 2), "weights": [weights]}


STATE = torch.zeros(1, 3, 5)
ZERO = torch.zeros(5)
WRONG = {
    "layout": (valid(layout="rows"), ["'rows'", "'time', 'batch' or 'packed'"]),
    "padding": (valid(padding="edge"), ["'edge'", "'zero' or 'repeat'"]),
    "integer input": (valid(x=torch.zeros(3, 4, 2, dtype=torch.int64)), ["torch.int64", "floating-point"]),
    "no direction": (valid(weights=[]), ["0 directions", "1 or 2"]),
    "three directions": (valid(weights=valid()["weights"] * 3), ["3 directions", "1 or 2"]),
    "reverse": (valid(reverse=(True, False)), ["2 directions", "weights 1"]),
    "two dimensions": (valid(x=torch.zeros(4, 2)), ["(4, 2)", "(batch, steps, input size)"]),
    "four dimensions": (valid(x=torch.zeros(1, 3, 4, 2), layout="time"), ["(1, 3, 4, 2)", "(steps, batch, "]),
    "no step": (valid(x=torch.zeros(3, 0, 2)), ["0 steps", "at least 1"]),
    "too short a lengths": (valid(lengths=[1, 2]), ["(2,)", "(3,)"]),
    "a length too long": (valid(lengths=[1, 5, 2]), ["0..T=4", "row 1 has 5"]),
    "a negative length": (valid(lengths=[1, 2, -1]), ["0..T=4", "row 2 has -1"]),
    "lengths and mask": (valid(lengths=[1, 2, 3], mask=torch.ones(3, 4, dtype=torch.bool)), ["lengths or mask"]),
    "mask": (valid(mask=torch.ones(4, 3, dtype=torch.bool)), ["(4, 3)", "(3, 4)"]),
    "batch_sizes alone": (valid(batch_sizes=torch.tensor([3])), ["batch_sizes", "'packed'"]),
    "packed without sizes": (packed(batch_sizes=None), ["batch_sizes"]),
    "packed sizes that rise": (packed(batch_sizes=torch.tensor([1, 3, 2])), ["never rise", "step 1 has 3"]),
    "packed sizes of zero": (packed(batch_sizes=torch.tensor([3, 3, 0])), ["at least 1", "step 2 has 0"]),
    "packed sizes that are no integers": (packed(batch_sizes=torch.tensor([3.0, 2, 1])), ["float32", "integers"]),
    "lengths that are no integers": (valid(lengths=[1.0, 2.5, 3.0]), ["float32", "integers"]),
    "W of the second direction missing": (valid(weights=[*valid()["weights"], Weights(None, ZERO)]), ["W"]),
    "packed with lengths": (packed(lengths=[3, 2, 1]), ["lengths"]),
    "packed with a mask": (packed(mask=torch.ones(3, 3, dtype=torch.bool)), ["mask"]),
    "packed of three dimensions": (packed(x=torch.zeros(3, 4, 2)), ["(3, 4, 2)", "(6, input size)"]),
    "packed of another count": (packed(x=torch.zeros(7, 2)), ["(7, 2)", "(6, input size)"]),
    "W missing": (valid(W=None), ["W"]),
    "U missing": (valid(U=None), ["U"]),
    "U a vector": (valid(U=torch.zeros(20)), ["U"]),
    "rows of U": (valid(U=torch.zeros(21, 5)), ["21 rows", "4 gate blocks"]),
    "columns of U": (valid(U=torch.zeros(20, 4)), ["U", "(20, 4)", "(20, 5)"]),
    "rows of W": (valid(W=torch.zeros(16, 2)), ["W", "(16, 2)", "(20, 2)"]),
    "columns of W": (valid(W=torch.zeros(20, 3)), ["W", "(20, 3)", "(20, 2)"]),
    "b": (valid(b=torch.zeros(5)), ["b has", "(5,)", "(20,)"]),
    "b_u": (valid(b_u=torch.zeros(2, 20)), ["b_u", "(2, 20)", "(20,)"]),
    "dtype of a weight": (valid(W=torch.zeros(20, 2).double()), ["W", "torch.float64", "torch.float32"]),
    "dtype of a state": (valid(initial_state=[STATE, STATE.half()]), ["initial state c", "torch.float16"]),
    "device of a weight": (valid(b=torch.zeros(20, device="meta")), ["b is on meta", "cpu"]),
    "number of states": (valid(initial_state=[STATE]), ["h, c", "1 initial state"]),
    "shape of a state": (valid(initial_state=[STATE, STATE[0]]), ["initial state c", "(3, 5)", "(1, 3, 5)"]),
    "order": (valid(order=("i", "f", "g", "z")), ["'z'", "'o'"]),
    "order too short": (valid(order=("i", "f", "g")), ["('i', 'f', 'g')", "'o'"]),
    "an unknown activation": (valid(activations={"phi": "tangent"}), ["'tangent'", "tanh"]),
    "an unknown symbol": (valid(activations={"psi": "tanh"}), ["'psi'", "phi (activation)"]),
    "a symbol of another cell": (_scaled(ZERO, ZERO) | {"activations": {"sigma": "tanh"}}, ["'sigma'", "phi"]),
    "no parameters": (_scaled(), ["scale, shift", "0 of them"]),
    "one parameter": (_scaled(ZERO), ["scale, shift", "1 of them"]),
    "shape of a parameter": (_scaled(ZERO, torch.zeros(1, 5)), ["shift", "(1, 5)", "(5,)"]),
    "parameters of a cell without": (valid(parameters=(torch.zeros(5),)), ["lstm", "1 of them"]),
}  # fmt: skip


@pytest.mark.parametrize("given, words", WRONG.values(), ids=WRONG)
def test_what_does_not_fit_is_named(given: dict[str, Any], words: list[str]) -> None:
    for fitting in (valid(), packed(), _scaled(ZERO, ZERO)):
        make_request(**fitting)  # which is remembered
    for function in (make_request, scan):
        with pytest.raises(ValueError) as caught:
            function(**given)
        message = str(caught.value)
        assert all(word in message for word in words), message
        assert "\n" not in message


@pytest.mark.parametrize("given", [valid(), packed(), _scaled(ZERO, ZERO)], ids=["batch", "packed", "own"])
def test_what_fits_is_accepted(given: dict[str, Any]) -> None:
    request = make_request(**given)
    assert (request.units, request.batch) == (5, 3)
    assert request.steps == (3 if request.layout == "packed" else 4)


def test_lengths_may_be_any_sequence_of_integers() -> None:
    for lengths in ([4, 0, 2], (4, 0, 2), torch.tensor([4, 0, 2]), torch.tensor([4, 0, 2], dtype=torch.int32)):
        request = make_request(**valid(lengths=lengths))
        assert request.lengths.tolist() == [4, 0, 2]
        assert request.lengths.dtype == torch.int64


@pytest.mark.parametrize("kind", ["lengths", "batch_sizes", "mask"])
def test_a_request_keeps_its_own_copy_of_what_runs(kind: str) -> None:
    holes = torch.tensor([[True, False, True, True]] * 3)
    given = {"lengths": torch.tensor([3, 1, 2]), "batch_sizes": torch.tensor([3, 2, 1]), "mask": holes}[kind]
    request = make_request(**(packed if kind == "batch_sizes" else valid)(**{kind: given}))
    before = getattr(request, kind).clone()
    given.zero_()
    assert torch.equal(getattr(request, kind), before)


def test_lengths_of_a_packed_batch_come_from_its_sizes() -> None:
    assert make_request(**packed()).lengths.tolist() == [3, 2, 1]


def test_a_mask_of_numbers_is_a_mask() -> None:
    request = make_request(**valid(mask=torch.tensor([[1.0, 0, 1, 1]] * 3)))
    assert request.mask.dtype == torch.bool
    assert request.mask[0].tolist() == [True, False, True, True]


def test_every_tensor_that_may_want_a_gradient_is_listed() -> None:
    given = _scaled(torch.zeros(5), torch.ones(5)) | {"initial_state": [STATE]}
    listed = make_request(**given).tensors()
    wanted = [given["x"], STATE, given["weights"][0].W, given["weights"][0].U, *given["weights"][0].parameters]
    assert {id(t) for t in listed} == {id(t) for t in wanted}


@cell(gates="i f g o", states="h c", phi="tanh", sigma="sigmoid")
def another(gate: Any, state: Any, phi: Any, sigma: Any) -> Any:
    """An LSTM whose output gate acts before the activation."""
    c = sigma(gate.f) * state.c + sigma(gate.i) * phi(gate.g)
    return phi(sigma(gate.o) * c), c


#: For each argument two values that are told apart; what equals in Python need not be the same.
PAIRS: dict[str, tuple[Any, Any]] = {
    "x": (torch.zeros(3, 4, 2), torch.zeros(2, 4, 2)),
    "layout": ("batch", "time"),
    "reverse": ((False,), (True,)),
    "padding": ("zero", "repeat"),
    "activations": ({"phi": "tanh"}, {"phi": "relu"}),
    "functions": ({"phi": torch.tanh}, {"phi": torch.relu}),
    "outputs": (["h"], ["h", "c"]),
    "truncate": (None, 2),
    "clip": (1, 0.5),
    "recompute": (True, 1),
    "saved_dtype": ("bfloat16", "float16"),
    "initial_state": (None, [STATE, STATE]),
    "lengths": ([1, 2, 3], [3, 2, 1]),
    "mask": (torch.tensor([[True, False, True, True]] * 3), torch.tensor([[True, True, False, True]] * 3)),
    "b": (None, torch.zeros(20)),
    "order": (("i", "f", "g", "o"), ("o", "f", "g", "i")),
    "cell": (CELLS["lstm"], another),
}


@pytest.mark.parametrize("turned", [False, True], ids=["", "turned"])
@pytest.mark.parametrize("name", PAIRS)
def test_a_request_like_one_before_is_what_its_checks_would_make(name: str, turned: bool) -> None:
    for value in PAIRS[name][:: -1 if turned else 1] * 2:
        given = valid(**{name.replace("functions", "activations"): value})
        made, checked = make_request(**given), make_request.__wrapped__(**given)
        for field in fields(made):
            one, other = getattr(made, field.name), getattr(checked, field.name)
            if field.name in ("lengths", "mask") and one is not None:
                assert torch.equal(one, other)
            elif field.name in ("x", "weights"):
                assert one is given["x"] if field.name == "x" else one == tuple(given["weights"])
            elif field.name == "initial_state" and one is not None:
                assert all(a is b for a, b in zip(one, given["initial_state"], strict=True))
            elif field.name != "shared":
                assert one == other, field.name


def test_checks_are_remembered_without_their_tensors() -> None:
    given = valid(x=torch.zeros(3, 11, 2))
    first, second = make_request(**given), make_request(**valid(x=torch.ones(3, 11, 2)))
    assert first.shared is second.shared
    assert make_request(**valid(x=torch.ones(3, 12, 2))).shared is not first.shared
    held = [weakref.ref(tensor) for tensor in (given["x"], given["weights"][0].W)]
    del given, first
    gc.collect()
    assert [one() for one in held] == [None, None]


@pytest.mark.parametrize(
    "name, fits, wrong",
    [("truncate", 1, True), ("clip", 1, True), ("truncate", 2, [2]), ("layout", "batch", ("batch",))],
)
def test_what_looks_like_something_remembered_is_checked(name: str, fits: Any, wrong: Any) -> None:
    make_request(**valid(**{name: fits}))
    with pytest.raises(ValueError, match=re.escape(repr(wrong))):
        make_request(**valid(**{name: wrong}))


def test_a_constant_that_wants_a_gradient_is_refused_although_the_request_was_seen() -> None:
    @cell(gates="a", states="h", constants={"leak": 0.5}, phi="tanh")
    def leaky(gate: Any, state: Any, constant: Any, phi: Any) -> Any:
        """An Elman cell that leaks."""
        return constant.leak * state.h + phi(gate.a)

    def ask(wants: bool) -> None:
        leak = torch.ones(5, requires_grad=wants)
        make_request(leaky, torch.zeros(3, 4, 2), [Weights(torch.zeros(5, 2), torch.zeros(5, 5), parameters=(leak,))])

    ask(False)
    with pytest.raises(ValueError, match="constants are not trained"):
        ask(True)
