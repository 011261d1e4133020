"""Nodes: one object an expression, simplified as it is built, ordered, levelled, rewritten."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.cells import ops
from ostinato.compiler.graph import Node, constant, in_order, is_constant, level_of, lift, node

x, y, h = node("input"), node("state", attr=1), node("state", attr=0)
exp_p = ops.exp(node("parameter", attr=0))

SIMPLER: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "x + 0": (lambda: x + 0, lambda: x),
    "0 + x": (lambda: 0.0 + x, lambda: x),
    "x - 0": (lambda: x - 0.0, lambda: x),
    "0 - x": (lambda: 0 - x, lambda: -x),
    "x - x": (lambda: x - x, lambda: constant(0)),
    "x * 1": (lambda: x * 1, lambda: x),
    "1 * x": (lambda: 1.0 * x, lambda: x),
    "x * -1": (lambda: x * -1, lambda: -x),
    "-1 * x": (lambda: -1 * x, lambda: -x),
    "x * 0": (lambda: x * 0.0, lambda: constant(0)),
    "0 * x": (lambda: 0 * x, lambda: constant(0)),
    "x / 2": (lambda: x / 2, lambda: x * 0.5),
    "0 / x": (lambda: 0 / x, lambda: constant(0)),
    "-(-x)": ((-x).__neg__, lambda: x),
    "x + -y": (lambda: x + (-y), lambda: x - y),
    "x - -y": (lambda: x - (-y), lambda: x + y),
    "2 + 3": (lambda: constant(2) + 3, lambda: constant(5)),
    "2 - 3": (lambda: 2 - constant(3), lambda: constant(-1)),
    "2 * 3": (lambda: 2 * constant(3), lambda: constant(6)),
    "(2 x) 3": (lambda: (2 * x) * 3, lambda: 6 * x),
    "3 (x 2)": (lambda: 3 * (x * 2), lambda: 6 * x),
    "x / 3": (lambda: x / 3, lambda: node("div", x, constant(3.0))),
    "6 / 3": (lambda: 6 / constant(4), lambda: constant(1.5)),
    "-2": (lambda: -constant(2), lambda: constant(-2)),
    "exp of a constant": (lambda: ops.exp(constant(0.5)), lambda: constant(math.exp(0.5))),
    "maximum of constants": (lambda: ops.maximum(constant(0.5), 2.0), lambda: constant(2)),
    "select of equals": (lambda: ops.select(x, y, y), lambda: y),
    "select by a positive constant": (lambda: ops.select(constant(2), x, y), lambda: x),
    "select by zero": (lambda: ops.select(constant(0), x, y), lambda: y),
}


@pytest.mark.parametrize("built, simple", SIMPLER.values(), ids=SIMPLER)
def test_simplification(built: Callable[[], Any], simple: Callable[[], Any]) -> None:
    assert built() is simple()


def test_equal_expressions_are_one_object() -> None:
    assert x * y + 1 is x * y + 1
    assert ops.tanh(x) is ops.tanh(x)
    assert node("state", attr=0) is h
    assert constant(1) is constant(1.0)


def test_different_expressions_are_not() -> None:
    different = [x, y, h, x + y, x - y, x * y, x / y, y - x, y / x, ops.exp(x), ops.tanh(x), ops.select(x, y, h)]
    different += [ops.minimum(x, y), ops.maximum(x, y), ops.row_mean(x), constant(1), constant(-1), -x]
    assert len(set(different)) == len(different)
    assert not any(is_constant(one) for one in different[:-3])


def test_signed_zeros_are_not_confused_where_it_matters() -> None:
    assert is_constant(constant(0.0), 0.0)
    assert is_constant(constant(-0.0), 0.0)


@pytest.mark.parametrize("value", ["x", None, [1.0], 1j])
def test_a_foreign_value_is_named(value: Any) -> None:
    with pytest.raises(TypeError, match=type(value).__name__):
        lift(value)
    with pytest.raises(TypeError, match=type(value).__name__):
        x + value


def test_there_is_no_truth_in_a_node() -> None:
    with pytest.raises(TypeError, match="cannot branch on data; write select"):
        bool(x)
    with pytest.raises(TypeError, match="cannot branch"):
        max(ops.tanh(x), ops.exp(x), key=lambda one: one or 0)
    with pytest.raises(TypeError):
        x > 0  # noqa: B015


def _number(value: Node, leaves: dict[Node, float]) -> float:
    args = [_number(arg, leaves) for arg in value.args]
    arithmetic = {"add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b, "neg": lambda a: -a}
    if value in leaves:
        return leaves[value]
    if value.op == "constant":
        return float(value.attr)
    if value.op in arithmetic:
        return arithmetic[value.op](*args)
    return float(getattr(ops, value.op)(*args))


leaf = st.sampled_from([0, 1, 2, -1, 0.0, 1.0, -1.0, 0.5, "x", "y"])
expressions = st.recursive(
    leaf,
    lambda inner: st.one_of(
        st.tuples(st.sampled_from("+-*"), inner, inner),
        st.tuples(st.just("neg"), inner),
        st.tuples(st.sampled_from(["minimum", "maximum"]), inner, inner),
        st.tuples(st.just("select"), inner, inner, inner),
    ),
    max_leaves=12,
)


def _build(tree: Any, leaves: dict[str, Any]) -> Any:
    if not isinstance(tree, tuple):
        return leaves.get(tree, tree) if isinstance(tree, str) else tree
    name, *args = tree
    args = [_build(arg, leaves) for arg in args]
    if name == "neg":
        return -args[0]
    if name in "+-*":
        return {"+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b}[name](*args)
    if any(isinstance(arg, Node) for arg in args):
        args = [lift(arg) for arg in args]
    return getattr(ops, name)(*args)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(tree=expressions)
def test_simplifying_never_changes_a_value(tree: Any) -> None:
    numbers = {"x": 0.75, "y": -1.25}
    want = _build(tree, numbers)
    got = _number(lift(_build(tree, {"x": x, "y": y})), {x: 0.75, y: -1.25})
    assert got == pytest.approx(want, rel=1e-12, abs=1e-12)


def test_every_node_comes_after_its_arguments_and_once() -> None:
    a = ops.tanh(x * y)
    b = a * a + ops.exp(a - x)
    order = in_order([b, a, x])
    assert len(order) == len(set(order))
    assert {x, y, a, b} <= set(order)
    for current in order:
        assert all(order.index(arg) < order.index(current) for arg in current.args)


def test_a_deep_expression_needs_no_deep_stack() -> None:
    deep = x
    for k in range(20_000):
        deep = deep * y + float(k + 2)
    assert len(in_order([deep])) > 40_000


def test_levels_count_products_and_reductions() -> None:
    def gate(*vectors: Node, name: str) -> Node:
        return node("gate", *vectors, attr=(name, (("U", name),) * len(vectors)))

    first = gate(x, h, name="a")
    gated = ops.sigmoid(first) * h
    second = gate(gated, name="b")
    centred = ops.tanh(second) - ops.row_mean(ops.tanh(second))
    levels = level_of([centred])
    assert [levels[v] for v in (x, first, gated, second, ops.tanh(second), centred)] == [0, 0, 0, 1, 1, 2]
