"""Forward, reverse and stored programs of every cell, interpreted, against automatic differentiation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from ostinato.cells import ACTIVATIONS, CELLS, Cell
from ostinato.compiler import trace
from ostinato.compiler.graph import in_order, node
from ostinato.compiler.reverse import RULES, gradient, slope_of
from ostinato.compiler.storage import store
from ostinato.scan import Weights, scan

from .cells import EVERY, OWN
from .interpreter import Back, Machine, Step, backward, compute, forward

CELLS_UNDER_TEST = pytest.mark.parametrize("cell", EVERY, ids=lambda cell: cell.name)
H, B, T, D = 5, 3, 4, 2
Results = dict[str, Tensor]


@dataclass
class Case:
    """A cell with random inputs and weights; `named` overrides its activations."""

    cell: Cell
    named: dict[str, str]
    seed: int = 0

    def __post_init__(self) -> None:
        generator = torch.Generator().manual_seed(self.seed)
        program = trace(self.cell)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64)

        self.x = normal(B, T, D)
        self.states = tuple(normal(B, H) for _ in self.cell.states)
        self.y_gradient = normal(B, T, H)
        self.final_gradients = tuple(normal(B, H) for _ in self.cell.states)
        rows = {matrix: len(blocks) * H for matrix, blocks in program.blocks.items()}
        self.weights = Weights(
            W=0.5 * normal(rows["W"], D) if rows["W"] else None,
            U=0.3 * normal(rows["U"], H) if rows["U"] else None,
            b=normal(rows["W"]) if rows["W"] else None,
            b_u=normal(rows["U"]) if rows["U"] else None,
            parameters=tuple(normal(H) for _ in self.cell.parameters),
        )

    def named_weights(self) -> Results:
        held = {name: getattr(self.weights, name) for name in ("W", "U", "b", "b_u")}
        held.update(zip(self.cell.parameters, self.weights.parameters, strict=True))
        return {name: tensor for name, tensor in held.items() if tensor is not None}

    def step(self, number: int, states: tuple[Tensor, ...]) -> Step:
        activations = {**self.cell.activations, **self.named}
        return Step(trace(self.cell), self.weights, self.x[:, number], states, number, activations)

    def wanted(self) -> Results:
        """Every result by automatic differentiation of the reference."""
        leaves = {"x": self.x, **{f"{n}0": s for n, s in zip(self.cell.states, self.states, strict=True)}}
        leaves = {name: t.clone().requires_grad_() for name, t in {**leaves, **self.named_weights()}.items()}
        weights = Weights(
            *(leaves.get(name) for name in ("W", "U", "b", "b_u")), tuple(leaves[n] for n in self.cell.parameters)
        )
        state = [leaves[f"{name}0"].unsqueeze(0) for name in self.cell.states]
        y, finals = scan(self.cell, leaves["x"], [weights], state, activations=self.named, backend="reference")
        loss = (y * self.y_gradient).sum() + sum(
            (f[0] * g).sum() for f, g in zip(finals, self.final_gradients, strict=True)
        )
        gradients = torch.autograd.grad(loss, list(leaves.values()), materialize_grads=True)
        results = {"outputs": y, **{n: f[0] for n, f in zip(self.cell.states, finals, strict=True)}}
        return {**results, **{f"d{name}": g for name, g in zip(leaves, gradients, strict=True)}}

    def interpreted(self, run: Callable[[Step], tuple], back: Callable[[object, tuple[Tensor, ...]], Back]) -> Results:
        """Every result by a loop over time: `run` gives (states after, what `back` needs) for one step."""
        states, outputs, memory = self.states, [], []
        for number in range(T):
            states, kept = run(self.step(number, states))
            outputs.append(states[0])
            memory.append(kept)
        results = {"outputs": torch.stack(outputs, 1), **dict(zip(self.cell.states, states, strict=True))}
        incoming = list(self.final_gradients)
        dx, weights = torch.zeros_like(self.x), {name: torch.zeros_like(t) for name, t in self.named_weights().items()}
        for number in reversed(range(T)):
            incoming[0] = incoming[0] + self.y_gradient[:, number]
            found = back(memory[number], tuple(incoming))
            incoming = found.states
            dx[:, number] = found.x
            for name, amount in found.weights.items():
                weights[name] += amount
        results["dx"] = dx
        results.update({f"d{name}0": g for name, g in zip(self.cell.states, incoming, strict=True)})
        results.update({f"d{name}": g for name, g in weights.items()})
        return results


def assert_equal(got: Results, want: Results) -> None:
    assert set(got) == set(want)
    for name, value in want.items():
        assert (got[name] - value).abs().max() <= 1e-11 * max(1.0, value.abs().max()), name


def as_mathematics(case: Case) -> Results:
    found = gradient(trace(case.cell))
    return case.interpreted(lambda step: (forward(step), step), lambda step, incoming: backward(step, found, incoming))


def as_machine(case: Case) -> Results:
    program = trace(case.cell)
    storage = store(program, gradient(program))

    def run(step: Step) -> tuple:
        machine = Machine(step, storage)
        return machine.forward(), machine

    return case.interpreted(run, lambda machine, incoming: machine.backward(incoming))


@CELLS_UNDER_TEST
def test_the_reverse_program_is_the_gradient(cell: Cell) -> None:
    case = Case(cell, {})
    assert_equal(as_mathematics(case), case.wanted())


@CELLS_UNDER_TEST
def test_the_stored_program_is_the_gradient(cell: Cell) -> None:
    """With nothing but slots, carries and means between the levels."""
    case = Case(cell, {}, seed=1)
    assert_equal(as_machine(case), case.wanted())


@CELLS_UNDER_TEST
@pytest.mark.parametrize("name", ["gelu", "silu", "softplus", "hard_sigmoid", "squareplus", "tanh_shrink", "linear"])
def test_whatever_the_activation_keeps(cell: Cell, name: str) -> None:
    """Some activations keep their output, some their input; the slots must serve both."""
    case = Case(cell, dict.fromkeys(cell.activations, name), seed=2)
    assert_equal(as_machine(case), case.wanted())


@CELLS_UNDER_TEST
def test_inference_gives_what_training_gives(cell: Cell) -> None:
    case = Case(cell, {})
    program = trace(cell)
    machine = Machine(case.step(2, case.states), store(program, gradient(program)))
    for kept, plain in zip(machine.forward(), machine.infer(), strict=True):
        assert torch.equal(kept, plain)


@CELLS_UNDER_TEST
def test_slots_are_no_more_than_what_is_needed(cell: Cell) -> None:
    """A slot a column, which its gradient needs anyway; beyond those only kept values, histories and vectors."""
    program = trace(cell)
    storage = store(program, gradient(program))
    extra = storage.slots - len(program.columns)
    needed = len(program.new_states) - 1 + len(program.vectors)
    kept = len(set(storage.kept.values()))
    assert extra <= max(needed, kept)
    assert set(storage.kept) <= set(range(storage.slots))
    assert {n.attr for n in in_order(storage.gradient.columns) if n.op == "saved"} <= set(storage.kept)


def test_an_lstm_keeps_its_four_gates_and_its_cell_state_and_nothing_else() -> None:
    program = trace(CELLS["lstm"])
    assert store(program, gradient(program)).slots == 5


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_derived_slope_is_the_derivative(name: str) -> None:
    case = Case(CELLS["elman"], {})
    x = node("input")
    points = torch.linspace(-3.03, 3.01, 60, dtype=torch.float64).requires_grad_()
    (want,) = torch.autograd.grad(ACTIVATIONS[name].value(points).sum(), points)
    step = case.step(0, case.states)
    (got,) = compute([slope_of(ACTIVATIONS[name].value, x)], {x: points.detach()}, step)
    assert torch.allclose(got.expand_as(want), want, rtol=1e-12, atol=1e-13)


def test_there_is_a_rule_for_every_operation() -> None:
    used = {n.op for cell in EVERY for n in in_order(trace(cell).new_states) if n.args}
    for one in ACTIVATIONS.values():
        used |= {n.op for n in in_order([one.value(node("input"))]) if n.args}
    assert used - {"gate", "activate"} <= set(RULES)


@pytest.mark.parametrize("spoilt", ["add", "sub", "mul", "div", "select", "row_mean", "maximum", "exp", "sqrt"])
def test_a_wrong_rule_would_be_seen(spoilt: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every rule matters to some cell here: with 1% more of its first gradient, that cell's test fails."""
    right = RULES[spoilt]
    monkeypatch.setitem(RULES, spoilt, lambda a, y, d: [1.01 * g if k < 2 else g for k, g in enumerate(right(a, y, d))])
    wrong = []
    for cell in OWN:
        case = Case(cell, {})
        got, want = as_mathematics(case), case.wanted()
        wrong += [cell.name for name in want if not torch.allclose(got[name], want[name], rtol=1e-10, atol=1e-11)]
    assert wrong
