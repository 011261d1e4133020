"""Reverse mode over the graph: from the program of a step to the program of its gradient."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from .graph import Node, constant, div, in_order, is_derived, mul, neg, node, row_mean, select
from .trace import Program


@dataclass(frozen=True)
class Gradient:
    """The backward step of a program, still in terms of the forward step's values.

    Attributes:
        columns: the gradient of each column of the forward products.
        states: for each state, the elementwise part of the gradient of the state before the step; the engine adds
            the products of `returns` to it.
        parameters: what one step and row add to the gradient of each per-unit vector, constants included.
        inputs: the elementwise part of the gradient of the input; the engine adds the products of `returns` to it.
        sequences: the gradient of each further input sequence.
        returns: for each vector that entered products the columns it entered: [(column, matrix, block)].
    """

    columns: tuple[Node, ...]
    states: tuple[Node, ...]
    parameters: tuple[Node, ...]
    inputs: Node
    sequences: tuple[Node, ...]
    returns: dict[Node, list[tuple[int, str, int]]]


def _slope_of_select(args: tuple[Node, ...], d: Node) -> list[Node]:
    condition, _, _ = args
    zero = constant(0.0)
    return [zero, select(condition, d, zero), select(condition, zero, d)]


#: For each operation the gradients of its arguments: (arguments, value, gradient of the value) -> gradients.
RULES: dict[str, Callable[[tuple[Node, ...], Node, Node], list[Node]]] = {
    "add": lambda a, y, d: [d, d],
    "sub": lambda a, y, d: [d, neg(d)],
    "mul": lambda a, y, d: [mul(d, a[1]), mul(d, a[0])],
    "div": lambda a, y, d: [div(d, a[1]), neg(mul(div(d, a[1]), y))],
    "neg": lambda a, y, d: [neg(d)],
    "exp": lambda a, y, d: [mul(d, y)],
    "log1p": lambda a, y, d: [div(d, a[0] + 1.0)],
    "erf": lambda a, y, d: [mul(d, 2 / math.sqrt(math.pi) * node("exp", neg(mul(a[0], a[0]))))],
    "sqrt": lambda a, y, d: [div(mul(d, constant(0.5)), y)],
    "tanh": lambda a, y, d: [mul(d, 1.0 - mul(y, y))],
    "sigmoid": lambda a, y, d: [mul(d, mul(y, 1.0 - y))],
    "absolute": lambda a, y, d: [select(a[0], d, select(neg(a[0]), neg(d), constant(0.0)))],
    "minimum": lambda a, y, d: [select(a[1] - a[0], d, constant(0.0)), select(a[1] - a[0], constant(0.0), d)],
    "maximum": lambda a, y, d: [select(a[0] - a[1], d, constant(0.0)), select(a[0] - a[1], constant(0.0), d)],
    "remainder": lambda a, y, d: [d, constant(0.0)],
    "select": lambda a, y, d: _slope_of_select(a, d),
    "row_mean": lambda a, y, d: [row_mean(d)],
}


def _accumulate(adjoints: dict[Node, Node], target: Node, amount: Node) -> None:
    adjoints[target] = adjoints[target] + amount if target in adjoints else amount


def gradient(program: Program) -> Gradient:
    """The backward step of a program.

    The gradient of the states after the step is `gradient s`; what products bring back to a vector computed in the
    step is `returned k`.
    """
    adjoints: dict[Node, Node] = {}
    for index, new in enumerate(program.new_states):
        _accumulate(adjoints, new, node("gradient", attr=index))
    zero = constant(0.0)
    returns: dict[Node, list[tuple[int, str, int]]] = {}
    for index, column in enumerate(program.columns):
        for vector, matrix, block in program.terms(column):
            returns.setdefault(vector, []).append((index, matrix, block))

    for current in reversed(in_order(program.new_states)):
        if current in program.vectors:
            columns = [adjoints.get(program.columns[index], zero) for index, _, _ in returns[current]]
            _accumulate(adjoints, current, node("returned", *columns, attr=program.vectors.index(current)))
        if current.op == "gate" or current not in adjoints or not current.args:
            continue
        d = adjoints[current]
        if is_derived(current):
            # a slope that is made of the per-unit vectors alone is computed once a call, not once a row and step
            for leaf, slope in _slopes(current).items():
                if leaf.op == "parameter":
                    _accumulate(adjoints, leaf, mul(d, slope))
            continue
        if current.op == "activate":
            kept = node("keep", current.args[0], current, attr=current.attr)
            amounts = [mul(d, node("slope", kept, attr=current.attr))]
        else:
            amounts = RULES[current.op](current.args, current, d)
        for arg, amount in zip(current.args, amounts, strict=True):
            _accumulate(adjoints, arg, amount)

    def of(leaf: str, count: int) -> tuple[Node, ...]:
        return tuple(adjoints.get(node(leaf, attr=k), zero) for k in range(count))

    cell = program.cell
    return Gradient(
        columns=tuple(adjoints.get(column, zero) for column in program.columns),
        states=of("state", len(cell.states)),
        parameters=of("parameter", len(cell.parameters)),
        inputs=adjoints.get(node("input"), zero),
        sequences=of("sequence", len(cell.inputs)),
        returns=returns,
    )


def _slopes(y: Node) -> dict[Node, Node]:
    """The derivatives of an elementwise value by itself and by everything that it is made of."""
    adjoints: dict[Node, Node] = {y: constant(1.0)}
    for current in reversed(in_order([y])):
        if current in adjoints and current.args:
            amounts = RULES[current.op](current.args, current, adjoints[current])
            for arg, amount in zip(current.args, amounts, strict=True):
                _accumulate(adjoints, arg, amount)
    return adjoints


def slope_of(formula: Callable[[Node], Node], x: Node) -> Node:
    """The derivative of an elementwise formula at `x`."""
    return _slopes(formula(x)).get(x, constant(0.0))
