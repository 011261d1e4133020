"""The expressions of a step as papers print them.

Cells are written so that they compute fast and stay accurate. Here a mixture gets its two weights back, and the
formulas of known functions (softplus, layer normalization) their names.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from ..cells import ACTIVATIONS
from .graph import Node, add, constant, in_order, is_constant, mul, node, rebuild, sub

#: Activations whose formula is a single operation, and keeps its own name.
PLAIN = {"linear", "sigmoid", "tanh", "exponential", "relu"}


def _complement(u: Node) -> Node:
    """1 - u."""
    return u.args[1] if u.op == "sub" and is_constant(u.args[0], 1.0) else sub(constant(1.0), u)


def _factors(value: Node) -> Iterator[tuple[Node, Node]]:
    """Both ways to read a product as (u, v)."""
    if value.op == "mul":
        yield value.args[0], value.args[1]
        yield value.args[1], value.args[0]


def _mixed(value: Node) -> Node:
    """n + u * (h - n), which computes faster, as u * h + (1 - u) * n, which the papers print."""
    if value.op == "add":
        for n, product in (value.args, value.args[::-1]):
            for u, difference in _factors(product):
                if difference.op == "sub" and difference.args[1] is n and not fixed(u) and not is_constant(n):
                    return add(mul(u, difference.args[0]), mul(_complement(u), n))
    if value.op == "sub":
        h = value.args[0]
        for u, difference in _factors(value.args[1]):
            if difference.op == "sub" and difference.args[0] is h and not fixed(u) and not is_constant(h):
                return add(mul(_complement(u), h), mul(u, difference.args[1]))
    return value


def _unscaled(value: Node) -> Node:
    """A value without the numbers that multiply it and are added to it."""
    while value.op in ("add", "mul") and any(map(is_constant, value.args)):
        value = next(arg for arg in value.args if not is_constant(arg))
    return value


def _summands(value: Node) -> Iterator[Node]:
    if value.op == "add":
        for term in value.args:
            yield from _summands(term)
    else:
        yield value


def _normalized(value: Node) -> Node:
    """(a - mean) / sqrt(variance + eps) as one function of a, also where mean and variance are over several blocks."""
    if value.op == "div":
        ways = [
            (constant(1.0), value.args[0], value.args[1]),
            *((*way, value.args[1]) for way in _factors(value.args[0])),
        ]
    else:
        ways = [
            (constant(1.0), a, b.args[1]) for a, b in _factors(value) if b.op == "div" and is_constant(b.args[0], 1.0)
        ]
    for factor, numerator, root in ways:
        mean = _unscaled(root.args[0]) if root.op == "sqrt" else root
        if mean.op != "row_mean":
            continue
        squares = list(_summands(mean.args[0]))
        if any(square.op != "mul" or square.args[0] is not square.args[1] for square in squares):
            continue
        members = [square.args[0] for square in squares]
        if numerator in members:
            centred = numerator.op == "sub" and _unscaled(numerator.args[1]).op == "row_mean"
            block = numerator.args[0] if centred else numerator
            together = tuple(
                name for one in members for part in one.args if part.op == "gate" for _, name in part.attr[1]
            )
            found = node("normalize" if centred else "rms_normalize", block, attr=together if len(members) > 1 else ())
            return mul(factor, found)
    return value


def _activated(value: Node) -> tuple[str, Node] | None:
    """The name of the known activation whose formula this is, and what it is applied to."""
    for name, activation in ACTIVATIONS.items():
        if name not in PLAIN and activation.value(node("input")).op == value.op:
            for candidate in in_order([value])[:-1]:
                if fixed(candidate) == fixed(value) and activation.value(candidate) is value:
                    return name, candidate
    return None


@cache
def fixed(value: Node) -> bool:
    """Whether a value is made of numbers, per-unit vectors and the step's number alone."""
    if not value.args:
        return value.op in ("constant", "parameter", "step")
    return value.op != "gate" and all(map(fixed, value.args))


def as_printed(values: tuple[Node, ...]) -> list[Node]:
    """Expressions as a person writes them."""
    new: dict[Node, Node] = {}

    def printed(value: Node) -> Node:
        if value not in new:
            found = _activated(value)
            if found:
                new[value] = node("named", printed(found[1]), attr=found[0])
            else:
                new[value] = _mixed(_normalized(rebuild(value, [printed(arg) for arg in value.args])))
        return new[value]

    return [printed(value) for value in values]
