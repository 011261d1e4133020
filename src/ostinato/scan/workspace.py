"""Large buffers, kept between calls: touching fresh memory costs more than the arithmetic done in it."""

from __future__ import annotations

import threading

import torch
from torch import Tensor

_free: list[Tensor] = []
_lock = threading.Lock()
_MOST_FREE = 16


class Lease:
    """A buffer of `count` numbers; goes back to the workspace when released, or when nobody holds the lease."""

    def __init__(self, count: int, dtype: torch.dtype) -> None:
        self.buffer: Tensor | None = _take(count * dtype.itemsize)

    @property
    def address(self) -> int:
        if self.buffer is None:
            raise RuntimeError("this workspace has been released")
        return self.buffer.data_ptr()

    def release(self) -> None:
        """Give the buffer back; harmless if done before."""
        buffer, self.buffer = self.buffer, None
        if buffer is not None:
            with _lock:
                _free.append(buffer)
                if len(_free) > _MOST_FREE:
                    _discard(min(_free, key=len))

    def __del__(self) -> None:
        self.release()


def _discard(buffer: Tensor) -> None:
    # by identity: == on tensors compares their elements
    del _free[next(k for k, one in enumerate(_free) if one is buffer)]


def _take(size: int) -> Tensor:
    with _lock:
        fitting = [buffer for buffer in _free if size <= len(buffer) <= 2 * size + 4096]
        if fitting:
            best = min(fitting, key=len)
            _discard(best)
            return best
    return torch.empty(size, dtype=torch.uint8)


def release_workspace() -> None:
    """Give the memory of all unused buffers back to the system."""
    with _lock:
        _free.clear()
