"""Labelled sequences of any kind and of any length: networks over them, and their training.

Padding is never computed: sequences are sorted into batches of like length and packed.
"""

from ..errors import InputError

__all__ = ["InputError"]
