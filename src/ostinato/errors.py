"""The error that people at a terminal get to see."""

from __future__ import annotations


class InputError(ValueError):
    """What was given does not do; the message is one sentence: what was given, what was expected, what to do."""
