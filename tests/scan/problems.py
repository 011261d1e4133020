"""Random scans for the tests: their tensors, every result of one, and how far two may differ.

A result is a dictionary: "outputs", the sequence of the first state, and "outputs_c" ... those of the others where they
are wanted; "h", "c" ... the final states; "dx", "dW_0", "dh0" ... the gradients of a random weighted sum of those, by
the tensor's name, which ends in the direction's number where each direction has its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from ostinato.cells import CELLS, Cell
from ostinato.compiler import trace
from ostinato.scan import Weights, scan

#: The largest error of any result, relative to the largest entry of the tensor; T steps may add eps * T to it.
TOLERANCES = {torch.float32: 1e-5, torch.float64: 1e-13}

#: No result is held to more than this part of the accuracy of the largest one.
FLOOR = 0.05

Results = dict[str, Tensor]


@dataclass(frozen=True)
class Problem:
    """One scan: sizes as in `scan`, K directions; `named` are activations by symbol.

    A cell that needs an input as wide as its units gets D = H. The projection has half the units, unless P says else.
    With `every`, the sequences of all states are wanted.
    """

    cell: Cell
    H: int = 5
    B: int = 3
    T: int = 4
    D: int = 2
    K: int = 1
    P: int = 0
    every: bool = False
    bias: bool = True
    state: bool = True
    reverse: tuple[bool, ...] | None = None
    layout: str = "batch"
    lengths: tuple[int, ...] | None = None
    mask: tuple[tuple[bool, ...], ...] | None = None
    padding: str = "zero"
    named: tuple[tuple[str, str], ...] = ()
    truncate: int | None = None
    clip: float | None = None
    recompute: bool | int | None = None
    saved_dtype: str | None = None
    scale: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if trace(self.cell).sizes.same:
            object.__setattr__(self, "D", self.H)

    def size(self, letter: str) -> int:
        """The number that a letter of `cells.SPACES` stands for."""
        return {"D": self.D, "H": self.H, "P": self.P or (self.H + 1) // 2}[letter]

    def state_size(self, state: str) -> int:
        return self.size(self.cell.size_of(state))

    @property
    def groups(self) -> Tensor:
        """(H) the head or module of each unit: three, the last one the smallest."""
        return torch.arange(self.H) // ((self.H + 2) // 3)

    @property
    def reach(self) -> Tensor | None:
        """`Weights.reach` of a cell whose U is made of blocks."""
        if self.cell.blocks == "full":
            return None
        groups = self.groups
        first = torch.stack([(groups == group).nonzero()[0, 0] for group in groups])
        last = torch.stack([(groups == group).nonzero()[-1, 0] + 1 for group in groups])
        return torch.stack([first, last if self.cell.blocks == "heads" else torch.full_like(last, self.H)], 1)

    def __str__(self) -> str:
        flags = [
            f"K{self.K}",
            f"P{self.P}" if self.P else "",
            "every" if self.every else "",
            "bias" if self.bias else "",
            "state" if self.state else "",
            *(n for _, n in self.named),
        ]
        return "-".join([self.cell.name, f"H{self.H}", f"B{self.B}", f"T{self.T}", f"D{self.D}", *filter(None, flags)])

    @property
    def runs(self) -> Tensor:
        """(B, T) bool: the steps that run."""
        if self.mask is not None:
            return torch.tensor(self.mask)
        lengths = torch.tensor(self.lengths if self.lengths is not None else [self.T] * self.B)
        return torch.arange(self.T) < lengths.unsqueeze(1)

    @property
    def constants(self) -> set[str]:
        """Names of the tensors that no gradient may flow to."""
        return {f"{name}_{k}" for name in self.cell.constants for k in range(self.K)}

    @property
    def entering(self) -> list[str]:
        """Names of the tensors that come in step by step, (B, T, features): x and the further sequences."""
        return ["x", *(f"{name}_{k}" for k in range(self.K) for name in self.cell.inputs)]

    @property
    def smooth(self) -> set[str]:
        """Names of the trained tensors and of those that come in, less those whose values a cell only compares."""
        rough = {f"{name}_{k}" for name in self.cell.masks for k in range(self.K)}
        rough |= {f"{self.cell.clock[0]}0"} if self.cell.clock else set()
        return set(tensors(self)) - self.constants - rough

    @property
    def sequences(self) -> dict[str, str]:
        """The state behind each output sequence, by the name of the result."""
        first, *others = self.cell.states
        return {"outputs": first, **({f"outputs_{name}": name for name in others} if self.every else {})}


def tensors(problem: Problem, dtype: torch.dtype = torch.float64) -> Results:
    """The inputs of a problem by name, x as (B, T, D); for both dtypes the same numbers, which float32 can hold."""
    generator = torch.Generator().manual_seed(problem.seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    def weight(*shape: int) -> Tensor:
        unit = torch.rand(*shape, generator=generator, dtype=torch.float64) * 2 - 1
        return unit * problem.scale / problem.H**0.5

    cell, H, blocks = problem.cell, problem.H, trace(problem.cell).blocks
    made = {"x": normal(problem.B, problem.T, problem.D)}
    for name in cell.states if problem.state else ():
        made[f"{name}0"] = normal(problem.K, problem.B, problem.state_size(name)) * 0.5
        if cell.clock and name == cell.clock[0]:  # each row's clock stands elsewhere
            made[f"{name}0"] = torch.arange(problem.B).view(1, -1, 1).expand(problem.K, -1, H)
        elif name == "n":  # a sum of positive numbers, which is divided by
            made[f"{name}0"] = made[f"{name}0"].abs() + 0.5
    for k in range(problem.K):
        for matrix, bias, columns in (("W", "b", problem.D), ("U", "b_u", problem.state_size(cell.states[0]))):
            rows = len(blocks[matrix]) * H
            made |= {f"{matrix}_{k}": weight(rows, columns)} if rows else {}
            made |= {f"{bias}_{k}": weight(rows)} if rows and problem.bias else {}
        made |= {f"{name}_{k}": weight(H) for name in cell.parameters}
        made |= {f"{name}_{k}": default + weight(H).abs() / 8 for name, default in cell.constants.items()}
        if cell.clock:
            made[f"{cell.clock[1]}_{k}"] = 2**problem.groups
        for name, (rows, columns) in cell.matrices.items():
            made[f"{name}_{k}"] = weight(problem.size(rows), problem.size(columns))
        made |= {f"{name}_{k}": normal(problem.B, problem.T, H) for name in cell.sequences}
        made |= {f"{name}_{k}": normal(problem.B, problem.T, H) > 0 for name in cell.masks}
    return {name: t.float().to(dtype) for name, t in made.items()}


def leaves(problem: Problem, dtype: torch.dtype = torch.float64) -> Results:
    """The inputs of a problem; those that a gradient may flow to require one."""
    return {name: t.requires_grad_(name not in problem.constants) for name, t in tensors(problem, dtype).items()}


def wanting(given: Results) -> Results:
    """Those of the tensors that require a gradient."""
    return {name: t for name, t in given.items() if t.requires_grad}


def at_steps(problem: Problem, given: Results, function: Callable[[Tensor], Tensor]) -> Results:
    """The inputs with `function` applied to whatever comes in step by step, (B, T, features)."""
    return {**given, **{name: function(given[name]) for name in problem.entering}}


def of_rows(problem: Problem, given: Results, rows: Tensor | slice) -> Results:
    """The inputs of some rows of the batch."""
    states = {f"{name}0": given[f"{name}0"][:, rows] for name in problem.cell.states if problem.state}
    return at_steps(problem, {**given, **states}, lambda t: t[rows])


def cotangents(problem: Problem, dtype: torch.dtype = torch.float64) -> Results:
    """Random weights of the outputs (B, T, K * size) and of the final states (K, B, size): what the loss sums."""
    generator = torch.Generator().manual_seed(problem.seed + 1000)
    sizes = {name: problem.state_size(name) for name in problem.cell.states}
    shapes = {result: (problem.B, problem.T, problem.K * sizes[name]) for result, name in problem.sequences.items()}
    shapes.update({name: (problem.K, problem.B, size) for name, size in sizes.items()})
    return {
        name: torch.randn(*shape, generator=generator, dtype=torch.float64).float().to(dtype)
        for name, shape in shapes.items()
    }


def packing(problem: Problem) -> tuple[Tensor, Tensor, Tensor]:
    """batch_sizes, and the (row, step) of every token of the packed batch; rows must stand in falling length."""
    runs = problem.runs
    batch_sizes = runs.sum(0)
    batch_sizes = batch_sizes[batch_sizes > 0]
    steps, rows = runs.T.nonzero(as_tuple=True)
    return batch_sizes, rows, steps


def laid_out(problem: Problem, x: Tensor) -> Tensor:
    """A sequence (B, T, features) in the problem's layout."""
    if problem.layout == "time":
        return x.transpose(0, 1)
    if problem.layout == "packed":
        _, rows, steps = packing(problem)
        return x[rows, steps]
    return x


def arguments(problem: Problem, given: Results) -> dict[str, Any]:
    """The keyword arguments of `scan` for a problem whose tensors are `given`."""
    weights = tuple(
        Weights(
            W=given.get(f"W_{k}"),
            U=given.get(f"U_{k}"),
            b=given.get(f"b_{k}"),
            b_u=given.get(f"b_u_{k}"),
            parameters=tuple(given[f"{name}_{k}"] for name in problem.cell.vectors),
            matrices=tuple(given[f"{name}_{k}"] for name in problem.cell.matrices),
            reach=problem.reach,
        )
        for k in range(problem.K)
    )
    ragged: dict[str, Any] = {"lengths": problem.lengths}
    if problem.layout == "packed":
        ragged = {"batch_sizes": packing(problem)[0]}
    return {
        "cell": problem.cell,
        "x": laid_out(problem, given["x"]),
        "sequences": [
            [laid_out(problem, given[f"{name}_{k}"]) for name in problem.cell.inputs] for k in range(problem.K)
        ],
        "weights": weights,
        "initial_state": [given[f"{name}0"] for name in problem.cell.states] if problem.state else None,
        "layout": problem.layout,
        "reverse": problem.reverse,
        "mask": None if problem.mask is None else torch.tensor(problem.mask),
        "padding": problem.padding,
        "activations": dict(problem.named),
        "outputs": problem.cell.states if problem.every else None,
        "truncate": problem.truncate,
        "clip": problem.clip,
        "recompute": problem.recompute,
        "saved_dtype": problem.saved_dtype,
        **ragged,
    }


def as_batch(problem: Problem, y: Tensor) -> Tensor:
    """The outputs as (B, T, K * H), whatever the layout they came in."""
    if problem.layout == "time":
        return y.transpose(0, 1)
    if problem.layout == "packed":
        _, rows, steps = packing(problem)
        return y.new_zeros(problem.B, problem.T, y.shape[-1]).index_put((rows, steps), y)
    return y


def forward(problem: Problem, given: Results, backend: str) -> Results:
    """Outputs and final states."""
    found, finals = scan(**arguments(problem, given), backend=backend)
    found = found if problem.every else (found,)
    outputs = {name: as_batch(problem, y) for name, y in zip(problem.sequences, found, strict=True)}
    return {**outputs, **dict(zip(problem.cell.states, finals, strict=True))}


def evaluate(
    problem: Problem,
    given: Results,
    backend: str,
    wrt: Iterable[str] | None = None,
    loss: Iterable[str] | None = None,
) -> Results:
    """Outputs, final states and the gradients with respect to `wrt` (default all) of `loss` (default everything)."""
    wrt = [name for name in (given if wrt is None else wrt) if name not in problem.constants]
    leaves = {name: t.detach().requires_grad_(name in wrt) for name, t in given.items()}
    out = forward(problem, leaves, backend)
    weights = cotangents(problem, given["x"].dtype)
    # a count of steps depends on nothing that has a gradient
    loss = [name for name in (out if loss is None else loss) if out[name].requires_grad]
    grads = torch.autograd.grad(
        [out[name] for name in loss],
        [leaves[name] for name in wrt],
        [weights[name] for name in loss],
        materialize_grads=True,
    )
    return {**{n: t.detach() for n, t in out.items()}, **{f"d{n}": g for n, g in zip(wrt, grads, strict=True)}}


@lru_cache(maxsize=64)
def _oracle(problem: Problem) -> Results:
    return evaluate(problem, tensors(problem), "reference")


def oracle(problem: Problem) -> Results:
    """Every result by the reference in float64; always of the batch layout."""
    return _oracle(replace(problem, layout="batch", saved_dtype=None))


def error(got: Tensor, want: Tensor, floor: float = 0.0) -> float:
    """The largest difference relative to the largest entry of `want`, or to `floor` if that is more; infinite where one
    of them is not finite."""
    if got.shape != want.shape:
        raise AssertionError(f"shapes {tuple(got.shape)} and {tuple(want.shape)}")
    if not (got.isfinite().all() and want.isfinite().all()):
        return float("inf")
    difference = (got.double() - want.double()).abs().max().item() if got.numel() else 0.0
    largest = max(want.abs().max().item() if want.numel() else 0.0, floor)
    return difference / largest if largest else (float("inf") if difference else 0.0)


def assert_close(got: Results, want: Results, dtype: torch.dtype, steps: int) -> None:
    """Every tensor of `got` within the tolerance of `dtype` after `steps` steps.

    A gradient much smaller than the others is a difference of numbers as large as those, and is held to their accuracy.
    """
    got, want = ({name: t.detach() for name, t in results.items()} for results in (got, want))
    bound = TOLERANCES[dtype] + torch.finfo(dtype).eps * steps
    assert set(got) <= set(want), f"nothing to compare {set(got) - set(want)} with"
    largest = max(float(want[name].abs().max()) for name in got if want[name].numel())
    errors = {name: error(got[name], want[name], FLOOR * largest) for name in got}
    wrong = {name: e for name, e in errors.items() if not e <= bound}
    assert not wrong, f"relative errors above {bound:.1e}: {wrong}"


def assert_identical(got: Results, want: Results) -> None:
    """Every tensor of `got` equal to its namesake, bit for bit."""
    different = [name for name in got if not torch.equal(got[name], want[name])]
    assert not different, f"not identical: { {n: error(got[n], want[n]) for n in different} }"


def every_cell() -> list[Cell]:
    return list(CELLS.values())


#: One cell for each shape that a program can have: what the engine does depends on that shape, and not on which
#: functions stand between the products.
REPRESENTATIVES = {
    "lstm": "one product, two states",
    "gru": "the two products of a gate kept apart",
    "gru_reset_before": "a product of something just computed",
    "rg_lru": "no product of a state, and x entry by entry",
    "projected_lstm": "a further matrix, and states of two sizes",
    "mogrifier_lstm": "products in a long chain, and computed values as wide as the input",
    "cornn": "a further matrix that reads an old state, and constants",
    "layer_norm_lstm": "means of a row, and many vectors",
    "depth_gated_lstm": "a further sequence, and a gate without a recurrent product",
    "slstm": "heads, four states",
    "clockwork": "modules, and units that sleep",
}


def representatives() -> list[Cell]:
    """A cell of each shape; enough wherever a test looks at how the engine is used and not at what a cell computes."""
    return [CELLS[name] for name in REPRESENTATIVES]


def judged() -> list[tuple[Cell, str]]:
    """The representatives on the kernels, and on the reference a few, since it knows of no shapes: (cell, backend)."""
    few = ("lstm", "projected_lstm", "depth_gated_lstm", "clockwork")
    return [(cell, "cpu") for cell in representatives()] + [(CELLS[name], "reference") for name in few]
