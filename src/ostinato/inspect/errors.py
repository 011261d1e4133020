"""The one error of this package."""

from __future__ import annotations


class InspectError(ValueError):
    """What was given does not do; the message is one sentence: what was given, what was expected, what to do."""
