"""The few functions a cell's equations are written in.

Each works on whatever kind of value it is given: a node of the compiler's graph, a torch tensor, a number.
The kind's `namespace` supplies the functions; whoever brings a new kind of value registers one.
Arithmetic (`+ - * /`) is the value's own.
"""

from __future__ import annotations

import math
from functools import singledispatch
from numbers import Real
from types import SimpleNamespace
from typing import Any

#: A tensor, a node of the compiler's graph, or a number.
Value = Any

#: Every function a namespace must have.
FUNCTIONS = (
    "exp", "log1p", "erf", "sqrt", "tanh", "sigmoid", "absolute", "minimum", "maximum", "remainder", "select",
    "row_mean",
)  # fmt: skip


@singledispatch
def namespace(value: Any) -> Any:
    """The functions that work on `value`'s type.

    Raises:
        TypeError: no namespace is registered for this type.
    """
    raise TypeError(f"a cell's equations work on tensors and graph nodes; got {type(value).__name__}")


def exp(x: Value) -> Value:
    return namespace(x).exp(x)


def log1p(x: Value) -> Value:
    """log(1 + x), accurate near 0; x >= 0."""
    return namespace(x).log1p(x)


def erf(x: Value) -> Value:
    return namespace(x).erf(x)


def sqrt(x: Value) -> Value:
    return namespace(x).sqrt(x)


def tanh(x: Value) -> Value:
    return namespace(x).tanh(x)


def sigmoid(x: Value) -> Value:
    """The logistic function 1 / (1 + exp(-x))."""
    return namespace(x).sigmoid(x)


def absolute(x: Value) -> Value:
    return namespace(x).absolute(x)


def _of_both(x: Value, y: Value) -> Any:
    """The namespace of two values, either of which may be a number."""
    return namespace(y if isinstance(x, Real) else x)


def minimum(x: Value, y: Value) -> Value:
    return _of_both(x, y).minimum(x, y)


def maximum(x: Value, y: Value) -> Value:
    return _of_both(x, y).maximum(x, y)


def remainder(x: Value, y: Value) -> Value:
    """x - y * floor(x / y), in 0..y for y > 0; its gradient is that of x alone."""
    return _of_both(x, y).remainder(x, y)


def select(condition: Value, positive: Any, otherwise: Any) -> Value:
    """`positive` where condition > 0, else `otherwise`; no gradient flows into the condition."""
    return namespace(condition).select(condition, positive, otherwise)


def row_mean(x: Value) -> Value:
    """The mean over the units of each batch row, as a value that broadcasts over the units."""
    return namespace(x).row_mean(x)


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def _no_rows(x: float) -> float:
    raise TypeError("row_mean needs a tensor with units; got a number")


_numbers = SimpleNamespace(
    exp=math.exp,
    log1p=math.log1p,
    erf=math.erf,
    sqrt=math.sqrt,
    tanh=math.tanh,
    sigmoid=_sigmoid,
    absolute=abs,
    minimum=min,
    maximum=max,
    remainder=lambda x, y: x % y,
    select=lambda condition, positive, otherwise: positive if condition > 0 else otherwise,
    row_mean=_no_rows,
)


@namespace.register(int)
@namespace.register(float)
def _(value: float) -> Any:
    return _numbers
