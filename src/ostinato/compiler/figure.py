"""A cell's step as the boxes of a diagram: what `diagram` draws.

The graph of the equations is finer than a person draws it. Here an activation joins the product it is applied to, a
sum of sums is one sum, a per-unit vector or a number stands in the label of the operation that uses it, and the
formulas of known functions (softplus, layer normalization) get their names back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ..cells import Cell
from .formula import formula
from .graph import Node, in_order, is_constant
from .notation import as_printed, fixed
from .trace import trace

Kind = Literal["input", "state", "sequence", "vector", "product", "function", "operation", "new"]

#: How the names of functions are written.
SIGNS = {
    "sigmoid": "σ", "hard_sigmoid": "hard σ", "log_sigmoid": "ln σ", "exponential": "exp", "sqrt": "√a",
    "absolute": "|a|", "row_mean": "mean", "normalize": "norm", "rms_normalize": "RMS norm", "log1p": "ln(1 + a)",
    "leaky_relu": "leaky relu",
}  # fmt: skip
AFFINE = {"add", "sub", "mul", "neg"}
GREEK = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "eps": "ε", "theta": "θ", "lambda": "λ",
    "lam": "λ", "Lambda": "Λ", "mu": "μ", "nu": "ν", "rho": "ρ", "tau": "τ", "omega": "ω",
}  # fmt: skip


@dataclass(eq=False)
class Box:
    """One box of a diagram.

    Attributes:
        kind: what it is.
        label: its text; `_{...}` is a subscript.
        inputs: the boxes whose values enter it.
        marks: a sign or a letter beside each input; empty where there is none.
        title: the gate that a product belongs to.
        function: what is applied to a product at once.
        state: which state it holds, before or after the step; None if it holds none.
    """

    kind: Kind
    label: str
    inputs: tuple[Box, ...] = ()
    marks: tuple[str, ...] = ()
    title: str = ""
    function: str = ""
    state: int | None = None


def written(name: str) -> str:
    """A name of the equations with its subscript: `p_i` as p_{i}, `beta1` as β_{1}."""
    base, _, index = name.partition("_")
    digits = base[len(base.rstrip("0123456789")) :]
    base = base.removesuffix(digits)
    index = ",".join(part for part in (digits, index.replace("_", ",")) if part)
    return GREEK.get(base, base) + (f"_{{{index}}}" if index else "")


class _Builder:
    """Boxes for the values of a step."""

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.new_states = as_printed(trace(cell).new_states)
        values = in_order(self.new_states)
        self.uses = Counter([*self.new_states, *(arg for value in values for arg in value.args)])
        self.names = {value: self._name(value) for value in values if not value.args}
        self.boxes: dict[Node, Box] = {}

    def _name(self, leaf: Node) -> str:
        cell = self.cell
        if leaf.op == "parameter":
            return written(cell.vectors[leaf.attr])
        if leaf.op == "constant":
            return f"{leaf.attr:.6g}"
        if leaf.op == "state":
            return self.state(leaf.attr, "t−1")
        if leaf.op == "sequence":
            return written(cell.inputs[leaf.attr])
        return {"input": "x_{t}", "step": "t"}[leaf.op]

    def state(self, k: int, when: str) -> str:
        """The name of a state before or after the step; a clock counts the steps itself."""
        name = self.cell.states[k]
        if self.cell.clock and name == self.cell.clock[0]:
            return name if when == "t−1" else f"{name} + 1"
        return f"{written(name)}_{{{when}}}"

    def box(self, value: Node) -> Box:
        """The box that holds this value."""
        if value not in self.boxes:
            self.boxes[value] = self._made(value)
        return self.boxes[value]

    def _made(self, value: Node) -> Box:
        if value.op == "state":
            return Box("state", self.names[value], state=value.attr)
        if value.op in ("input", "sequence"):
            return Box("input" if value.op == "input" else "sequence", self.names[value])
        if fixed(value):
            return Box("vector", self._text(value, {}))
        if value.op == "gate":
            return self._product(value)
        if value.op == "activate":
            return self._function(self.cell.activations[value.attr], value)
        if value.op == "named":
            return self._function(value.attr, value)
        if value.op in ("normalize", "rms_normalize"):
            together = f"_{{{' '.join(value.attr)}}}" if value.attr else ""
            return self._function(SIGNS[value.op] + together, value)
        if len(value.args) == 1 and value.op != "neg":
            return self._function(value.op, value)
        entering = tuple(arg for arg in value.args if not fixed(arg))
        if len(entering) == len(value.args) and value.op in ("add", "sub"):
            terms = list(self._terms(value))
            return self._operation("+", [term for _, term in terms], [sign for sign, _ in terms])
        if len(entering) == 2 and value.op == "mul" and entering[0] is not entering[1]:
            return self._operation("×", list(self._product_of(value)), [])
        return self._pill(value, tuple(dict.fromkeys(entering)))

    def _terms(self, value: Node, sign: str = "") -> Iterator[tuple[str, Node]]:
        """What a sum adds, with the sign of each; a sum that only enters this one is part of it."""
        for k, term in enumerate(value.args):
            its_own = {"": "−", "−": ""}[sign] if value.op == "sub" and k else sign
            if term.op in ("add", "sub") and self.uses[term] == 1 and not any(map(fixed, term.args)):
                yield from self._terms(term, its_own)
            else:
                yield its_own, term

    def _product_of(self, value: Node) -> Iterator[Node]:
        for factor in value.args:
            if factor.op == "mul" and self.uses[factor] == 1 and not any(map(fixed, factor.args)):
                yield from self._product_of(factor)
            else:
                yield factor

    def _operation(self, label: str, entering: list[Node], marks: list[str]) -> Box:
        return Box("operation", label, tuple(map(self.box, entering)), tuple(marks or [""] * len(entering)))

    def _pill(self, value: Node, entering: tuple[Node, ...]) -> Box:
        """An operation on values that its label calls a, b and c; a single one goes without saying where it can."""
        if len(entering) == 1 and value.op in AFFINE and len(set(value.args)) == len(value.args):
            return self._affine(value, entering[0])
        if value.op == "mul":
            return self._pill_of(value, entering, "a²")
        return self._pill_of(value, entering, self._text(value, dict(zip(entering, "abc", strict=False))))

    def _pill_of(self, value: Node, entering: tuple[Node, ...], label: str) -> Box:
        parts = in_order([value])
        above = set(in_order(entering))
        trained = any(
            part.op == "parameter" and part.attr < len(self.cell.parameters) for part in parts if part not in above
        )
        marks = tuple("abc"[: len(entering)]) if len(entering) > 1 else ("",)
        return Box("vector" if trained else "function", label, tuple(map(self.box, entering)), marks)

    def _affine(self, value: Node, entering: Node) -> Box:
        """Sums and products with numbers and per-unit vectors, as many as follow each other."""
        base = entering
        while base.op in AFFINE and self.uses[base] == 1 and sum(not fixed(arg) for arg in base.args) == 1:
            (base,) = (arg for arg in base.args if not fixed(arg))
        if base is not entering:
            return self._pill_of(value, (base,), self._text(value, {base: "a"}))
        if value.op == "neg":
            return self._pill_of(value, (entering,), "−")
        first = fixed(value.args[0])
        other = value.args[0 if first else 1]
        box = self.box(entering)
        if value.op == "mul" and is_constant(other) and box.function and self.uses[entering] == 1:
            box.function = f"{self._text(other, {})} {box.function}"
            return box
        sign, text = {"add": "+", "sub": "−", "mul": "×"}[value.op], self._text(other, {}, 2)
        label = f"{text} {sign}" if first and value.op == "sub" else f"{sign} {text}"
        return self._pill_of(value, (entering,), label)

    def _text(self, value: Node, letters: dict[Node, str], binds: int = 0) -> str:
        text = formula(value, self.names | letters, binds)
        return text.replace(" * ", " ").replace("-", "−")

    def _function(self, name: str, value: Node) -> Box:
        """A function of one value, drawn together with the product it is applied to if nothing else reads that."""
        sign, (arg,) = SIGNS.get(name, name), value.args
        box = self.box(arg)
        if arg.op == "gate" and self.uses[arg] == 1:
            box.function = sign
            return box
        return Box("function", sign, (box,), ("",))

    def _product(self, value: Node) -> Box:
        """A sum of products with weight matrices, and their biases."""
        letters = iter("abc")
        known, products, biases, title = dict(self.names), [], [], ""
        for vector, (matrix, name) in zip(value.args, value.attr[1], strict=True):
            if vector not in known:
                known[vector] = next(letters)
            own = matrix in self.cell.matrices
            index = "" if own or len(self.cell.gates) == 1 else f"_{{{name}}}"
            products.append(f"{written(matrix)}{index} {known[vector]}")
            if not own and name in (self.cell.bias if matrix == "W" else self.cell.recurrent_bias):
                biases.append(f"b{chr(39) * (matrix == 'U')}{index}")
            title = written(name)
        vectors = tuple(dict.fromkeys(value.args))
        several = len(vectors) > 1
        return Box(
            "product",
            " + ".join(products + biases),
            tuple(map(self.box, vectors)),
            tuple(known[vector] if several and vector not in self.names else "" for vector in vectors),
            title=title if several else "",
        )


def figure(cell: Cell) -> list[Box]:
    """The boxes of a cell's step, each after its inputs; the new states last."""
    builder = _Builder(cell)
    new = [
        Box("new", builder.state(k, "t"), (builder.box(value),), ("",), state=k)
        for k, value in enumerate(builder.new_states)
    ]
    found: dict[Box, None] = {}

    def visit(box: Box) -> None:
        for entering in box.inputs:
            visit(entering)
        found.setdefault(box)

    for box in new:
        visit(box)
    return list(found)
