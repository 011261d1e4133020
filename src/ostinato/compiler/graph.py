"""The expression graph of one step.

Nodes are interned: two equal expressions are one object, so common subexpressions are found by identity. The
constructors simplify as they build (`x * 1`, `x + 0`, constants), so nothing else has to.

Leaves
    input                  the step's input vector x_t
    sequence s             what further input sequence s holds at this step
    state s                state s before the step
    parameter p            one value a unit, trained or constant
    step                   the number of the step
    constant v
    and, in the backward step: gradient s (of state s after the step), saved k (what slot k of the forward step kept),
    saved_row k (likewise, one value a row)
Products
    gate                   a column block of the step's products: sum over its terms of (vector, matrix, gate name)
    returned k             the gradient of computed vector k, come back from the columns it entered
Elementwise
    add sub mul div neg, the functions of `cells.ops`, and
    activate f x           a run-time activation; keep f x y, reload f k, slope f k are its parts (cpp.print_activation)
Reductions
    row_mean x             one value a row, broadcast over the units
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from numbers import Real
from typing import Any

from ..cells import ops

ELEMENTWISE = {
    "add", "sub", "mul", "div", "neg", "exp", "log1p", "erf", "sqrt", "tanh", "sigmoid", "absolute", "minimum",
    "maximum", "remainder", "select", "activate", "keep", "reload", "slope",
}  # fmt: skip
LEAVES = {"input", "sequence", "state", "parameter", "step", "constant", "gradient", "saved", "saved_row"}


class Node:
    """One value of the graph; made by `node`, compared by identity."""

    __slots__ = ("args", "attr", "op")

    def __init__(self, op: str, args: tuple[Node, ...], attr: Any) -> None:
        self.op = op
        self.args = args
        self.attr = attr

    def __repr__(self) -> str:
        inside = [repr(arg) for arg in self.args] + ([repr(self.attr)] if self.attr is not None else [])
        return f"{self.op}({', '.join(inside)})"

    def __bool__(self) -> bool:
        raise TypeError(
            "a cell's equations cannot branch on data; write select(condition, positive, otherwise) instead of if"
        )

    def _compared(self, other: object) -> bool:
        return bool(self)

    __lt__ = __le__ = __gt__ = __ge__ = _compared

    def __eq__(self, other: object) -> bool:
        return self is other if isinstance(other, Node) else bool(self)

    __hash__ = object.__hash__

    def _changed(self, other: object) -> Node:
        raise TypeError(
            "a cell's equations change no value in place, which would change the tensors that the cell is given; "
            "write h = h + ... instead of h += ..."
        )

    __iadd__ = __isub__ = __imul__ = __itruediv__ = __ifloordiv__ = __imod__ = __ipow__ = __imatmul__ = _changed

    def __add__(self, other: Operand) -> Node:
        return add(self, lift(other))

    def __radd__(self, other: Operand) -> Node:
        return add(lift(other), self)

    def __sub__(self, other: Operand) -> Node:
        return sub(self, lift(other))

    def __rsub__(self, other: Operand) -> Node:
        return sub(lift(other), self)

    def __mul__(self, other: Operand) -> Node:
        return mul(self, lift(other))

    def __rmul__(self, other: Operand) -> Node:
        return mul(lift(other), self)

    def __truediv__(self, other: Operand) -> Node:
        return div(self, lift(other))

    def __rtruediv__(self, other: Operand) -> Node:
        return div(lift(other), self)

    def __neg__(self) -> Node:
        return neg(self)


Operand = Node | float

_interned: dict[tuple[Any, ...], Node] = {}


def node(op: str, *args: Node, attr: Any = None) -> Node:
    """The one node of this operation on these arguments."""
    key = (op, tuple(id(arg) for arg in args), attr)
    # one operation, so that two threads that trace at once find one node
    found = _interned.get(key)
    return _interned.setdefault(key, Node(op, args, attr)) if found is None else found


def constant(value: float) -> Node:
    return node("constant", attr=float(value))


def lift(value: Operand) -> Node:
    if isinstance(value, Node):
        return value
    if isinstance(value, Real):
        return constant(float(value))
    raise TypeError(f"a cell's equations combine gates, states, parameters and numbers; got {type(value).__name__}")


def is_constant(x: Node, value: float | None = None) -> bool:
    return x.op == "constant" and (value is None or x.attr == value)


def _fold(op: str, function: Callable[..., float], *args: Node) -> Node:
    if all(is_constant(arg) for arg in args):
        return constant(function(*(arg.attr for arg in args)))
    return node(op, *args)


def add(x: Node, y: Node) -> Node:
    if is_constant(x, 0.0):
        return y
    if is_constant(y, 0.0):
        return x
    if y.op == "neg":
        return sub(x, y.args[0])
    return _fold("add", lambda a, b: a + b, x, y)


def sub(x: Node, y: Node) -> Node:
    if is_constant(y, 0.0):
        return x
    if is_constant(x, 0.0):
        return neg(y)
    if x is y:
        return constant(0.0)
    if y.op == "neg":
        return add(x, y.args[0])
    return _fold("sub", lambda a, b: a - b, x, y)


def mul(x: Node, y: Node) -> Node:
    if is_constant(x, 0.0) or is_constant(y, 0.0):
        return constant(0.0)
    if is_constant(x, 1.0):
        return y
    if is_constant(y, 1.0):
        return x
    if is_constant(x, -1.0):
        return neg(y)
    if is_constant(y, -1.0):
        return neg(x)
    for number, product in ((x, y), (y, x)):
        if is_constant(number) and product.op == "mul":
            for other, rest in (product.args, product.args[::-1]):
                if is_constant(other):
                    return mul(constant(number.attr * other.attr), rest)
    return _fold("mul", lambda a, b: a * b, x, y)


def div(x: Node, y: Node) -> Node:
    if is_constant(y):
        reciprocal = 1.0 / y.attr  # which raises where y is zero
        if is_constant(x):
            return constant(x.attr / y.attr)
        if abs(math.frexp(y.attr)[0]) == 0.5:  # a power of two: the reciprocal is exact
            return mul(x, constant(reciprocal))
    return x if is_constant(x, 0.0) else node("div", x, y)


def neg(x: Node) -> Node:
    if x.op == "neg":
        return x.args[0]
    return _fold("neg", lambda a: -a, x)


def select(condition: Node, positive: Node, otherwise: Node) -> Node:
    if positive is otherwise:
        return positive
    if is_constant(condition):
        return positive if condition.attr > 0 else otherwise
    return node("select", condition, positive, otherwise)


def row_mean(x: Node) -> Node:
    """The mean over the units, with factors that all units share in front of it: they are then computed once a row."""
    if is_row_constant(x):
        return x
    if x.op == "neg":
        return neg(row_mean(x.args[0]))
    if x.op == "mul":
        left, right = x.args
        if is_row_constant(left):
            return mul(left, row_mean(right))
        if is_row_constant(right):
            return mul(row_mean(left), right)
    if x.op == "div" and is_row_constant(x.args[1]):
        return div(row_mean(x.args[0]), x.args[1])
    return node("row_mean", x)


def is_derived(x: Node) -> bool:
    """Whether a value is made of the per-unit vectors and numbers alone, so that one call computes it once."""
    if x not in _of_parameters:
        for current in in_order([x]):
            made = current.op in ELEMENTWISE and current.op not in _CHOSEN
            alone = made and all(_of_parameters[arg] or arg.op in ("parameter", "constant") for arg in current.args)
            _of_parameters[current] = alone
    return _of_parameters[x]


_of_parameters: dict[Node, bool] = {}
#: Operations of activations that are chosen at run time.
_CHOSEN = {"activate", "keep", "reload", "slope"}
_in_rows: dict[Node, bool] = {}


def is_row_constant(x: Node) -> bool:
    """Whether a value is the same for all units of a row: one made of reductions, numbers and the step alone."""
    if x not in _in_rows:
        for current in in_order([x]):
            leaf = current.op in ("constant", "step", "row_mean", "saved_row")
            made = current.op in ELEMENTWISE and all(_in_rows[arg] for arg in current.args)
            _in_rows[current] = leaf or made
    return _in_rows[x]


#: Operations that take about as long as reading a number does, by how often they do; others are dear.
_LIGHT = {
    "add": 1, "sub": 1, "mul": 1, "neg": 1, "absolute": 1, "minimum": 1, "maximum": 1, "reload": 1, "select": 2,
    "slope": 2,
}  # fmt: skip
_efforts: dict[Node, float] = {}


def effort(x: Node) -> float:
    """How many reads and light operations give a value out of what a step finds in memory; infinite for dear ones.

    What all units of a row share counts nothing.
    """
    if x not in _efforts:
        for current in in_order([x]):
            if is_row_constant(current):
                _efforts[current] = 0
            elif is_derived(current) or current.op in LEAVES or current.op in ("gate", "returned"):
                _efforts[current] = 1
            else:
                _efforts[current] = _LIGHT.get(current.op, math.inf) + sum(_efforts[arg] for arg in current.args)
    return _efforts[x]


class _GraphFunctions:
    """The functions of `cells.ops`, on nodes."""

    @staticmethod
    def _function(name: str) -> Callable[..., Node]:
        number = getattr(ops.namespace(0.0), name)

        def function(*args: Operand) -> Node:
            return _fold(name, number, *(lift(arg) for arg in args))

        return function

    def __init__(self) -> None:
        for name in ops.FUNCTIONS:
            setattr(self, name, self._function(name))
        self.select = lambda condition, positive, otherwise: select(condition, lift(positive), lift(otherwise))
        self.row_mean = lambda x: row_mean(lift(x))


_functions = _GraphFunctions()


@ops.namespace.register
def _(value: Node) -> Any:
    return _functions


def in_order(roots: Iterable[Node]) -> list[Node]:
    """Every node below `roots`, each after its arguments."""
    seen: dict[Node, None] = {}
    stack: list[tuple[Node, Iterator[Node]]] = []
    for root in roots:
        if root in seen:
            continue
        stack.append((root, iter(root.args)))
        while stack:
            current, rest = stack[-1]
            following = next((arg for arg in rest if arg not in seen), None)
            if following is not None:
                stack.append((following, iter(following.args)))
            else:
                stack.pop()
                seen[current] = None
    return list(seen)


_CONSTRUCTORS: dict[str, Callable[..., Node]] = {
    "add": add, "sub": sub, "mul": mul, "div": div, "neg": neg, "select": select, "row_mean": row_mean,
}  # fmt: skip


def rebuild(original: Node, args: list[Node]) -> Node:
    """`original` with other arguments."""
    if original.op in _CONSTRUCTORS:
        return _CONSTRUCTORS[original.op](*args)
    return node(original.op, *args, attr=original.attr)


def level_of(roots: Iterable[Node]) -> dict[Node, int]:
    """How many products and reductions must have ended before each node below `roots` can be computed.

    The step's program runs level by level: the products of level 0, the elementwise part of level 0, the products of
    level 1, and so on. A product of leaves belongs to level 0, any other to the level after its vectors'.
    """
    levels: dict[Node, int] = {}
    for current in in_order(roots):
        below = max((levels[arg] for arg in current.args), default=0)
        waits = current.op in ("row_mean", "returned") or (
            current.op == "gate" and any(arg.op not in LEAVES for arg in current.args)
        )
        levels[current] = below + 1 if waits else below
    return levels
