"""Who hears of the scans that run."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")


class Listeners(threading.local, Generic[T]):
    """Lists that collect what happens in the thread that opened them, and in no other."""

    def __init__(self) -> None:
        self._open: list[list[T]] = []

    @contextmanager
    def listen(self) -> Iterator[list[T]]:
        """A list that hears all inside the `with` block, whatever others are open."""
        taken: list[T] = []
        mine = self._open  # a block may end in another thread
        mine.append(taken)
        try:
            yield taken
        finally:
            # not `remove`, for which lists that heard the same are one
            del mine[next(number for number, one in enumerate(mine) if one is taken)]

    def __bool__(self) -> bool:
        return bool(self._open)

    def tell(self, news: T) -> None:
        """Have all who listen know."""
        for taken in self._open:
            taken.append(news)
