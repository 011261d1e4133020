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
from ostinato.compiler.plan import Plan
from ostinato.compiler.reverse import RULES, gradient, slope_of
from ostinato.compiler.storage import store
from ostinato.scan import Weights, scan

from .cells import EVERY
from .interpreter import Back, Machine, Step, backward, compute, forward

CELLS_UNDER_TEST = pytest.mark.parametrize("cell", EVERY, ids=lambda cell: cell.name)
B, T = 3, 4
Results = dict[str, Tensor]


@dataclass
class Case:
    """A cell with random inputs and weights; `named` overrides its activations."""

    cell: Cell
    named: dict[str, str]
    seed: int = 0

    def __post_init__(self) -> None:
        generator = torch.Generator().manual_seed(self.seed)
        cell, program = self.cell, trace(self.cell)
        self.sizes = {"D": 5 if program.sizes.same else 2, "H": 5, "P": 3}
        D, H = self.sizes["D"], self.sizes["H"]
        by_state = [self.sizes[cell.size_of(state)] for state in cell.states]

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64)

        self.x = normal(B, T, D)
        self.sequences = tuple(normal(B, T, H) for _ in cell.inputs)
        self.states = tuple(normal(B, size) for size in by_state)
        self.y_gradient = normal(B, T, by_state[0])
        self.final_gradients = tuple(normal(B, size) for size in by_state)
        rows = {matrix: len(program.blocks[matrix]) * H for matrix in ("W", "U")}
        self.weights = Weights(
            W=0.5 * normal(rows["W"], D) if rows["W"] else None,
            U=0.3 * normal(rows["U"], by_state[0]) if rows["U"] else None,
            b=normal(rows["W"]) if rows["W"] else None,
            b_u=normal(rows["U"]) if rows["U"] else None,
            parameters=(*(normal(H) for _ in cell.parameters), *(normal(H).abs() + 0.5 for _ in cell.constants)),
            matrices=tuple(0.5 * normal(*(self.sizes[side] for side in shape)) for shape in cell.matrices.values()),
        )

    def trained(self) -> Results:
        """Whatever a gradient may flow to, by name."""
        found = {"x": self.x, **{f"{n}0": s for n, s in zip(self.cell.states, self.states, strict=True)}}
        found.update(zip(self.cell.inputs, self.sequences, strict=True))
        held = {name: getattr(self.weights, name) for name in ("W", "U", "b", "b_u")}
        found.update({name: tensor for name, tensor in held.items() if tensor is not None})
        found.update(zip(self.cell.parameters, self.weights.parameters, strict=False))
        found.update(zip(self.cell.matrices, self.weights.matrices, strict=True))
        return found

    def step(self, number: int, states: tuple[Tensor, ...]) -> Step:
        return Step(
            program=trace(self.cell),
            weights=self.weights,
            sizes=self.sizes,
            x=self.x[:, number],
            sequences=tuple(sequence[:, number] for sequence in self.sequences),
            states=states,
            number=number,
            activations={**self.cell.activations, **self.named},
        )

    def wanted(self) -> Results:
        """Every result by automatic differentiation of the reference."""
        cell = self.cell
        leaves = {name: t.clone().requires_grad_() for name, t in self.trained().items()}
        constants = self.weights.parameters[len(cell.parameters) :]
        weights = Weights(
            *(leaves.get(name) for name in ("W", "U", "b", "b_u")),
            parameters=(*(leaves[name] for name in cell.parameters), *constants),
            matrices=tuple(leaves[name] for name in cell.matrices),
        )
        state = [leaves[f"{name}0"].unsqueeze(0) for name in cell.states]
        y, finals = scan(
            cell, leaves["x"], [weights], state, sequences=[[leaves[name] for name in cell.inputs]],
            activations=self.named, backend="reference",
        )  # fmt: skip
        loss = (y * self.y_gradient).sum() + sum(
            (f[0] * g).sum() for f, g in zip(finals, self.final_gradients, strict=True)
        )
        gradients = torch.autograd.grad(loss, list(leaves.values()), materialize_grads=True)
        results = {"outputs": y, **{n: f[0] for n, f in zip(cell.states, finals, strict=True)}}
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
        found = {name: torch.zeros_like(t) for name, t in self.trained().items()}
        for number in reversed(range(T)):
            incoming[0] = incoming[0] + self.y_gradient[:, number]
            step = back(memory[number], tuple(incoming))
            incoming = step.states
            found["x"][:, number] = step.x
            for name, amount in zip(self.cell.inputs, step.sequences, strict=True):
                found[name][:, number] = amount
            for name, amount in step.weights.items():
                found[name] += amount
        found.update({f"{name}0": g for name, g in zip(self.cell.states, incoming, strict=True)})
        return {**results, **{f"d{name}": g for name, g in found.items()}}


def assert_equal(got: Results, want: Results) -> None:
    assert set(got) == set(want)
    for name, value in want.items():
        assert (got[name] - value).abs().max() <= 1e-11 * max(1.0, value.abs().max()), name


def as_mathematics(case: Case) -> Results:
    found = gradient(trace(case.cell))
    return case.interpreted(lambda step: (forward(step), step), lambda step, incoming: backward(step, found, incoming))


def as_machine(case: Case) -> Results:
    plan = Plan(case.cell)

    def run(step: Step) -> tuple:
        machine = Machine(step, plan)
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
@pytest.mark.parametrize("phi, sigma", [("gelu", "softplus"), ("softsign", "silu"), ("silu", "hard_sigmoid")])
def test_whatever_the_activation_keeps(cell: Cell, phi: str, sigma: str) -> None:
    """Some activations keep their output, some their input; the slots must serve both, and one beside the other."""
    named = {"phi": phi, "sigma": sigma}
    case = Case(cell, {symbol: named[symbol] for symbol in cell.activations}, seed=2)
    assert_equal(as_machine(case), case.wanted())


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_by_name(name: str) -> None:
    """In a cell with a product behind one activation and before the other."""
    case = Case(CELLS["gru_reset_before"], {"phi": name, "sigma": name}, seed=3)
    for tensor in case.weights.tensors():  # an exponential of an exponential
        tensor.mul_(0.1)
    assert_equal(as_machine(case), case.wanted())


@CELLS_UNDER_TEST
def test_inference_gives_what_training_gives(cell: Cell) -> None:
    case = Case(cell, {})
    machine = Machine(case.step(2, case.states), Plan(cell))
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


@pytest.mark.parametrize("spoilt", sorted(set(RULES) - {"erf"}))
def test_a_wrong_rule_would_be_seen(spoilt: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every rule matters to some cell here: with 1% more of its first gradients, that cell's test fails."""
    right = RULES[spoilt]
    monkeypatch.setitem(RULES, spoilt, lambda a, y, d: [1.01 * g if k < 2 else g for k, g in enumerate(right(a, y, d))])
    having = (cell for cell in EVERY if any(n.op == spoilt for n in in_order(trace(cell).new_states)))
    cases = (Case(cell, {}) for cell in having)
    with pytest.raises(AssertionError):
        for case in cases:
            assert_equal(as_mathematics(case), case.wanted())
