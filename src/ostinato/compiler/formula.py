"""An expression as a person would write it."""

from __future__ import annotations

from collections.abc import Mapping

from .graph import Node, node

#: Infix operations, and how tightly each binds.
INFIX = {"add": ("+", 1), "sub": ("-", 1), "mul": ("*", 2), "div": ("/", 2), "remainder": ("mod", 2)}
SHORT = {"absolute": "abs", "minimum": "min", "maximum": "max"}


def formula(value: Node, names: Mapping[Node, str] | None = None, binds: int = 0) -> str:
    """An elementwise expression as text.

    Args:
        value: the expression; an operation `named` is the function that it names.
        names: what to call the values that it is an expression of; by default the input is `x`.
        binds: how tightly what stands around it binds; looser expressions stand in parentheses.
    """
    names = {node("input"): "x"} if names is None else names
    args = value.args

    def of(arg: Node, tightly: int = 0) -> str:
        return formula(arg, names, tightly)

    if value in names:
        return names[value]
    if value.op == "constant":
        return f"{value.attr:.6g}"
    if value.op in INFIX:
        sign, level = INFIX[value.op]
        text = f"{of(args[0], level)} {sign} {of(args[1], level + (value.op in ('sub', 'div', 'remainder')))}"
        return f"({text})" if level < binds else text
    if value.op == "neg":
        text = f"-{of(args[0], 2)}"
        return f"({text})" if binds else text
    if value.op == "select":
        text = f"{of(args[1], 1)} where {of(args[0], 1)} > 0, else {of(args[2], 1)}"
        return f"({text})" if binds else text
    name = value.attr if value.op == "named" else SHORT.get(value.op, value.op)
    return f"{name}({', '.join(of(arg) for arg in args)})"
