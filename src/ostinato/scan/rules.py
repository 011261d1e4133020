"""What the arguments of an initialisation say, for every front-end."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any, TypeGuard


def forget_rule(given: Any) -> tuple[str, float]:
    """("constant", the bias) or ("chrono", T_max).

    Raises:
        ValueError: it is neither a number nor ("chrono", T_max) with T_max above 2.
    """
    if is_number(given):
        return "constant", float(given)
    if not (isinstance(given, (tuple, list)) and len(given) == 2 and given[0] == "chrono"):
        raise ValueError(f"forget_bias is {given!r}; expected a number, or ('chrono', T_max)")
    if not is_number(given[1]) or given[1] <= 2:
        raise ValueError(f"forget_bias is {given!r}; expected ('chrono', T_max) with a number of steps T_max above 2")
    return "chrono", float(given[1])


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a value is a finite number; True and False are none."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
