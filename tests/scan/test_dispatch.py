"""The choice of a backend: what the kernels serve runs on them, and whatever they do not says why."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import pytest
import torch

from ostinato.cells import ACTIVATIONS, CELLS, Cell, cell
from ostinato.scan import Choice, Weights, choose, make_request, record, run, scan, watch

from .problems import FLOOR, Problem, arguments, assert_identical, error, evaluate, every_cell, tensors
from .test_precision import using

CELLS_UNDER_TEST = pytest.mark.parametrize("one", every_cell(), ids=lambda one: one.name)


@cell(gates="a", states="h", phi="tanh")
def leaky(gate: object, state: object, phi: Callable) -> object:
    """A cell that no build registers: h_t = h_{t-1} / 2 + phi(W x_t + U h_{t-1} + b) / 2."""
    return 0.5 * state.h + 0.5 * phi(gate.a)


@cell(gates="a", states="h", phi="tanh")
def elman(gate: object, state: object, phi: Callable) -> object:
    """Not the registered cell of this name: h_t = phi(W x_t + U h_{t-1} + b) - h_{t-1}."""
    return phi(gate.a) - state.h


def _request(one: Cell, dtype: torch.dtype = torch.float32, device: str = "cpu", **changes: object) -> object:
    given = {name: t.to(device, dtype) for name, t in tensors(Problem(one)).items()}
    return make_request(**{**arguments(Problem(one), given), **changes})


#: What the kernels do not serve, with a word that the reason must hold.
UNSERVED = {
    "a Python activation": (lambda: _request(CELLS["lstm"], activations={"phi": torch.tanh}), "phi"),
    "the meta device": (lambda: _request(CELLS["elman"], device="meta"), "meta"),
    "an empty batch": (lambda: _request(CELLS["gru"], x=torch.zeros(0, 4, 2), initial_state=None), "batch"),
}


@CELLS_UNDER_TEST
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float", "double"])
def test_every_registered_cell_runs_on_the_kernels(one: Cell, dtype: torch.dtype, engine: str) -> None:
    choice = choose(_request(one, dtype))
    assert choice.backend == "cpu"
    assert choice.reason
    assert choose(_request(one, dtype), "cpu").backend == "cpu"


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_by_name_runs_on_the_kernels(name: str, engine: str) -> None:
    request = _request(CELLS["lstm"], activations=dict.fromkeys(("phi", "sigma"), name))
    assert choose(request).backend == "cpu"


@pytest.mark.parametrize("one", [leaky, elman], ids=["a new name", "a known name"])
def test_a_cell_of_ones_own_runs_on_kernels_of_its_own(one: Cell, engine: str) -> None:
    assert choose(_request(one)).backend == "cpu"


def test_a_cell_that_the_engine_has_no_room_for_runs_on_the_reference(engine: str) -> None:
    @cell(gates="a", states=" ".join(f"s{k}" for k in range(9)))
    def crowded(gate: object, state: object) -> object:
        return (gate.a, *(getattr(state, f"s{k}") for k in range(8)))

    with pytest.warns(RuntimeWarning, match="cell crowded runs on the slow reference: .* at most 8"):
        choice = choose(_request(crowded))
    assert choice.backend == "reference" and "9 states" in choice.reason
    with pytest.raises(RuntimeError, match="9 states"):
        choose(_request(crowded), "cpu")


def test_every_ragged_form_runs_on_the_kernels(engine: str) -> None:
    mask = ((True, False, True, True),) * 3
    for changes in (
        {"lengths": (4, 0, 2)},
        {"mask": mask},
        {"lengths": (4, 3, 1), "layout": "packed"},
        {"layout": "time"},
    ):
        problem = Problem(CELLS["lstm"], K=2, **changes)
        assert choose(make_request(**arguments(problem, tensors(problem)))).backend == "cpu"


@pytest.mark.parametrize("made, word", UNSERVED.values(), ids=UNSERVED)
def test_the_reference_serves_the_rest_and_says_why(made: Callable, word: str, engine: str) -> None:
    choice = choose(made())
    assert choice.backend == "reference"
    assert word in choice.reason


@pytest.mark.parametrize("made, word", UNSERVED.values(), ids=UNSERVED)
def test_kernels_asked_for_by_name_raise_where_they_cannot_serve(made: Callable, word: str, engine: str) -> None:
    request = made()
    with pytest.raises(RuntimeError, match=word):
        choose(request, "cpu")
    with pytest.raises(RuntimeError, match=word):
        run(request, "cpu")


@CELLS_UNDER_TEST
def test_the_reference_can_be_asked_for(one: Cell) -> None:
    assert choose(_request(one), "reference").backend == "reference"
    with watch() as taken:
        run(_request(one), "reference")
    assert [choice.backend for choice in taken] == ["reference"]


def test_an_unknown_backend_is_refused(engine: str) -> None:
    with pytest.raises((RuntimeError, ValueError), match="fpga"):
        choose(_request(CELLS["lstm"]), "fpga")


def test_watch_records_every_scan_inside_it_and_none_outside(engine: str) -> None:
    problem = Problem(CELLS["lstm"])
    given = arguments(problem, tensors(problem))
    scan(**given)
    with watch() as outer:
        scan(**given)
        with watch() as inner:
            scan(**given, backend="reference")
        scan(**{**given, "activations": {"phi": torch.tanh}})
    scan(**given)
    assert [choice.backend for choice in outer] == ["cpu", "reference", "reference"]
    assert [choice.backend for choice in inner] == ["reference"]
    assert all(isinstance(choice, Choice) and choice.reason for choice in outer)


@pytest.mark.parametrize("listen", [watch, record])
def test_blocks_within_each_other_end_one_by_one(listen: Callable) -> None:
    """Also where the lists are equal, and where the outer block ends first."""
    with listen() as outer:
        with listen() as inner:
            run(_request(CELLS["lstm"]))
        run(_request(CELLS["lstm"]))
    assert len(outer) == 2 and len(inner) == 1
    first, second = listen(), listen()
    early, late = first.__enter__(), second.__enter__()
    first.__exit__(None, None, None)
    run(_request(CELLS["lstm"]))
    second.__exit__(None, None, None)
    assert early == [] and len(late) == 1


@pytest.mark.parametrize("listen", [watch, record])
def test_a_block_hears_of_its_own_thread_alone(listen: Callable) -> None:
    with ThreadPoolExecutor(1) as other, listen() as mine:
        other.submit(lambda: run(_request(CELLS["lstm"]))).result()
        theirs = other.submit(listen).result()
        heard = other.submit(theirs.__enter__).result()
        run(_request(CELLS["lstm"]))
        theirs.__exit__(None, None, None)  # in a thread that did not begin it
        other.submit(lambda: run(_request(CELLS["lstm"]))).result()
    assert len(mine) == 1 and heard == []


def test_watch_ends_with_an_error_too() -> None:
    with pytest.raises(KeyError), watch() as taken:
        raise KeyError
    run(_request(CELLS["lstm"]))
    assert taken == []


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@CELLS_UNDER_TEST
def test_half_precision_is_float32_rounded_at_the_end(one: Cell, dtype: torch.dtype, engine: str) -> None:
    problem = Problem(one, H=8, B=4, T=5)
    given = {name: tensor.to(dtype) for name, tensor in tensors(problem).items()}
    choice = choose(make_request(**arguments(problem, given)))
    assert choice.backend == "cpu" and f", {str(dtype)[6:]} as float32" in choice.reason
    got = evaluate(problem, given, engine)
    # a processor may multiply few rows of bfloat16 as what they are
    with using("bf16") if choice.reason.endswith(", products of bfloat16") else nullcontext():
        want = evaluate(problem, {name: tensor.float() for name, tensor in given.items()}, engine)
    assert {tensor.dtype for tensor in got.values()} == {dtype}
    assert_identical({name: want[name].to(dtype) for name in ("outputs", *one.states)}, got)
    largest = max(float(tensor.abs().max()) for tensor in want.values())
    # what comes back into the scan has been rounded as well
    assert max(error(got[name], want[name], FLOOR * largest) for name in want) < 4 * torch.finfo(dtype).eps


@pytest.mark.parametrize("lengths", [None, (4, 0, 2)])
def test_the_meta_device_gives_shapes(lengths: tuple[int, ...] | None) -> None:
    request = _request(CELLS["lstm"], device="meta", lengths=lengths)
    (y,), (h, c) = run(request)
    assert y.is_meta and h.is_meta and c.is_meta
    assert (y.shape, h.shape, c.shape) == ((3, 4, 5), (1, 3, 5), (1, 3, 5))


def test_a_python_activation_gives_what_its_name_gives() -> None:
    problem = Problem(CELLS["lstm"])
    given = arguments(problem, tensors(problem))
    by_name, _ = scan(**{**given, "activations": {"phi": "softsign"}}, backend="reference")
    by_function, _ = scan(**{**given, "activations": {"phi": torch.nn.functional.softsign}})
    assert torch.equal(by_name, by_function)


def test_a_cell_is_known_by_its_equations_not_by_its_name() -> None:
    problem = Problem(elman, H=3, B=2, T=4)
    got, _ = scan(**arguments(problem, tensors(problem)))
    want, _ = scan(**arguments(problem, tensors(problem)), backend="reference")
    assert torch.allclose(got, want, rtol=1e-12, atol=1e-14)
    registered, _ = scan(**{**arguments(problem, tensors(problem)), "cell": CELLS["elman"]})
    assert not torch.allclose(got, registered)


def test_a_cell_of_ones_own_runs() -> None:
    x, W, U = torch.randn(2, 3, 4), torch.randn(5, 4), torch.randn(5, 5)
    y, (h,) = scan(leaky, x, [Weights(W, U)])
    want = torch.zeros(2, 5)
    for t in range(3):
        want = 0.5 * want + 0.5 * torch.tanh(x[:, t] @ W.T + want @ U.T)
        assert torch.allclose(y[:, t], want, rtol=1e-5, atol=1e-6)
    assert torch.equal(h[0], y[:, -1])


def test_torch_func_transforms_run() -> None:
    problem = Problem(CELLS["lstm"], B=4)
    given = tensors(problem)

    def last(x: torch.Tensor) -> torch.Tensor:
        rows = {name: t[:, :1] if name in ("h0", "c0") else t for name, t in given.items()}
        return scan(**arguments(problem, {**rows, "x": x.unsqueeze(0)}))[0][0, -1]

    mapped = torch.func.vmap(torch.func.jacrev(last))(given["x"])
    one_by_one = torch.stack([torch.autograd.functional.jacobian(last, x) for x in given["x"]])
    assert torch.allclose(mapped, one_by_one, rtol=1e-10, atol=1e-12)
