"""Requests whose checks were made before, by all that these looked at."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
from torch import Tensor

from ..cells import Cell
from .flow import recorded

if TYPE_CHECKING:
    from .request import Request, Weights

#: Requests without their tensors, by all that their checks looked at.
_CHECKED: dict[Hashable, Request] = {}
_MOST_CHECKED = 512

_PLAIN = {type(None), bool, int, float, str}
_NOTHING = torch.empty(0, device="cpu")
_Check = TypeVar("_Check", bound="Callable[..., Request]")


def _facts(
    cell: Cell, x: Tensor, states: tuple[Tensor, ...] | None, weights: tuple[Weights, ...],
    sequences: tuple[tuple[Tensor, ...], ...], options: Mapping[str, Any],
) -> Hashable:  # fmt: skip
    """All that the checks of a request look at; None where it is more than shapes, dtypes, devices and words."""
    facts: list[Any] = [cell, None if states is None else len(states), *map(len, sequences)]
    tensors: list[Any] = [x, *(states or ()), *(one for given in sequences for one in given)]
    for w in weights:
        if w.reach is not None:
            return None
        tensors += (w.W, w.U, w.b, w.b_u, *w.parameters, *w.matrices)
        facts += (len(w.parameters), len(w.matrices), w.order and tuple(w.order))
        if cell.constants:
            facts += [one.requires_grad for one in w.parameters]
    for one in tensors:
        if one is None:
            facts.append(None)
        elif isinstance(one, Tensor):
            facts += (one.shape, one.dtype, one.device)
        else:
            return None
    for name, value in options.items():
        facts.append(name)
        kind = type(value)
        if kind in _PLAIN:
            facts += (kind, value)  # 1 equals True, and not every option takes both
        else:
            words = _words(value)
            kinds = tuple(map(type, words))
            if not _PLAIN.issuperset(kinds):
                return None
            facts += (kind, words, kinds)
    return tuple(facts)


def _words(value: Any) -> tuple[Any, ...]:
    if isinstance(value, Mapping):
        return (*value, *value.values())
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def remembered(check: _Check) -> _Check:
    """Check once what differs in its tensors alone, as the steps of a training do; short scans take less time."""

    @wraps(check)
    def make(cell: Cell, x: Tensor, weights: Any, initial_state: Any = None, **options: Any) -> Request:
        if torch.compiler.is_compiling():  # sizes may be symbols; who records is told outside of the graph, in `run`
            return check(cell, x, weights, initial_state, **options)
        weights = tuple(weights)
        states = None if initial_state is None else tuple(initial_state)
        given = options.pop("sequences", None)
        sequences = ((),) * len(weights) if given is None else tuple(map(tuple, given))
        facts = _facts(cell, x, states, weights, sequences, options)
        request = None if facts is None else _CHECKED.get(facts)
        if request is not None:
            return recorded(request.on(x, states, weights, sequences))
        request = check(cell, x, weights, states, sequences=sequences, **options)
        if facts is not None:
            if len(_CHECKED) >= _MOST_CHECKED:
                _CHECKED.clear()
            _CHECKED[facts] = request.on(_NOTHING, None, (), ())
        return recorded(request)

    return cast(_Check, make)
