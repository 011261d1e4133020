"""Activations by name, each one formula.

The names, and the constants behind them, are those of `keras.activations`. The slope of an activation is derived by
the compiler from its formula, unless it is simpler in terms of the output (tanh' = 1 - y^2): then `slope` says so, and
the kernels need to keep nothing but the output.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import ops

SELU_ALPHA = 1.6732632423543772848170429916717  # Klambauer et al. 2017, 1706.02515
SELU_SCALE = 1.0507009873554804934193349852946


@dataclass(frozen=True)
class Activation:
    """An elementwise function of the cell's units.

    Attributes:
        name: as `keras.activations` spells it.
        value: the formula, y = value(x).
        slope: dy/dx written in terms of y, or None where it needs x.
    """

    name: str
    value: Callable[[Any], Any]
    slope: Callable[[Any], Any] | None = None


def _step(y: Any) -> Any:
    return ops.select(y, 1.0, 0.0)


def _inside(y: Any, low: float, high: float, inside: float = 1.0) -> Any:
    return ops.select(y - low, ops.select(high - y, inside, 0.0), 0.0)


def _clip(x: Any, low: float, high: float) -> Any:
    return ops.minimum(ops.maximum(x, low), high)


def _exponential_below(x: Any, alpha: float) -> Any:
    # select, not minimum: the slope at 0 is that from below
    return alpha * (ops.exp(ops.select(x, 0.0, x)) - 1.0)


def _softplus(x: Any) -> Any:
    return ops.maximum(x, 0.0) + ops.log1p(ops.exp(-ops.absolute(x)))


_SOURCE = (
    Activation("sigmoid", ops.sigmoid, lambda y: y * (1.0 - y)),
    Activation("tanh", ops.tanh, lambda y: 1.0 - y * y),
    Activation("relu", lambda x: ops.maximum(x, 0.0), _step),
    Activation("linear", lambda x: x, lambda y: 1.0 + 0.0 * y),
    Activation("hard_sigmoid", lambda x: _clip(x / 6.0 + 0.5, 0.0, 1.0), lambda y: _inside(y, 0.0, 1.0, 1.0 / 6.0)),
    Activation("hard_tanh", lambda x: _clip(x, -1.0, 1.0), lambda y: _inside(y, -1.0, 1.0)),
    Activation("relu6", lambda x: _clip(x, 0.0, 6.0), lambda y: _inside(y, 0.0, 6.0)),
    Activation("leaky_relu", lambda x: ops.maximum(x, 0.2 * x), lambda y: ops.select(y, 1.0, 0.2)),
    Activation(
        "softsign", lambda x: x / (1.0 + ops.absolute(x)), lambda y: (1.0 - ops.absolute(y)) * (1.0 - ops.absolute(y))
    ),
    Activation("softplus", _softplus, lambda y: 1.0 - ops.exp(-y)),
    Activation("log_sigmoid", lambda x: -_softplus(-x), lambda y: 1.0 - ops.exp(y)),
    Activation("exponential", ops.exp, lambda y: y),
    Activation("elu", lambda x: ops.select(x, x, _exponential_below(x, 1.0)), lambda y: ops.select(y, 1.0, y + 1.0)),
    Activation("celu", lambda x: ops.select(x, x, _exponential_below(x, 1.0)), lambda y: ops.select(y, 1.0, y + 1.0)),
    Activation(
        "selu",
        lambda x: ops.select(x, SELU_SCALE * x, _exponential_below(x, SELU_SCALE * SELU_ALPHA)),
        lambda y: ops.select(y, SELU_SCALE, y + SELU_SCALE * SELU_ALPHA),
    ),
    Activation("squareplus", lambda x: 0.5 * (x + ops.sqrt(x * x + 4.0))),
    Activation("gelu", lambda x: 0.5 * x * (1.0 + ops.erf(x * math.sqrt(0.5)))),
    Activation("silu", lambda x: x * ops.sigmoid(x)),
    Activation("hard_silu", lambda x: x * _clip(x / 6.0 + 0.5, 0.0, 1.0)),
    Activation("mish", lambda x: x * ops.tanh(_softplus(x))),
    Activation("tanh_shrink", lambda x: x - ops.tanh(x)),
    Activation("hard_shrink", lambda x: ops.select(ops.absolute(x) - 0.5, x, 0.0 * x)),
    Activation("soft_shrink", lambda x: ops.select(x - 0.5, x - 0.5, ops.select(-0.5 - x, x + 0.5, 0.0 * x))),
    Activation(
        "sparse_plus",
        lambda x: ops.select(x + 1.0, ops.select(1.0 - x, 0.25 * (x + 1.0) * (x + 1.0), x), 0.0 * x),
    ),
    Activation("sparse_sigmoid", lambda x: _clip(0.5 * (x + 1.0), 0.0, 1.0), lambda y: _inside(y, 0.0, 1.0, 0.5)),
)

#: Every activation by its name, in the order that numbers them in the kernels.
ACTIVATIONS: dict[str, Activation] = {activation.name: activation for activation in _SOURCE}

_OTHER_NAMES = {"swish": "silu", "hard_swish": "hard_silu", "identity": "linear", "hardtanh": "hard_tanh"}


def activation(name: str) -> Activation:
    """The activation of this name.

    Raises:
        ValueError: no activation has this name.
    """
    found = ACTIVATIONS.get(_OTHER_NAMES.get(name, name))
    if found is None:
        raise ValueError(f"no activation is called {name!r}; the names are {', '.join(sorted(ACTIVATIONS))}")
    return found
