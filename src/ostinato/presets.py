"""Settings by name, with some of them changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from .errors import InputError

S = TypeVar("S")


def changed(presets: Mapping[str, S], name: str, changes: Mapping[str, Any]) -> S:
    """A preset with some settings changed; None leaves one as it is.

    Raises:
        InputError: there is no such preset or setting, or a value is out of range.
    """
    if name not in presets:
        raise InputError(f"--preset is {name!r}; expected {' or '.join(presets)}")
    settings = presets[name]
    unknown = set(changes) - set(vars(settings))
    if unknown:
        raise InputError(f"there is no setting {', '.join(sorted(unknown))}")
    chosen = {key: value for key, value in changes.items() if value is not None}
    return type(settings)(**{**vars(settings), **chosen})
