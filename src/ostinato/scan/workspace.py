"""Large buffers, kept between calls: touching fresh memory costs more than the arithmetic done in it.

A buffer that a tensor stands in comes back when the tensor and all its views are gone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import itemgetter
from typing import Any

import numpy as np
import torch
from torch import Tensor

#: Smaller tensors are left to torch: the system's allocator keeps such memory anyway.
_SMALLEST = 1 << 18

#: Of the unused buffers, at most so many bytes are kept; the oldest go first.
_MOST_FREE = 1 << 30

_TYPES = {torch.float32: "<f4", torch.float64: "<f8"}

#: Unused buffers and their sizes by identity, the oldest first. No lock guards them: a lease that the garbage collector
#: finds comes back in the middle of whatever runs, and would wait for a lock that its own thread holds. Every change of
#: the dictionary is one operation, and whoever pops a buffer owns it.
_free: dict[int, tuple[int, Tensor]] = {}


class Lease:
    """A buffer of `count` numbers; goes back to the workspace when released, or when nobody holds the lease."""

    def __init__(self, count: int, dtype: torch.dtype) -> None:
        self.buffer: Tensor | None = None
        self._count, self._dtype = count, dtype
        self.buffer = _take(count * dtype.itemsize)

    def data_ptr(self) -> int:
        return self._held().data_ptr()

    def tensor(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """The first numbers of the buffer, which the tensor does not keep from going back."""
        return self._held()[: math.prod(shape) * dtype.itemsize].view(dtype).view(*shape)

    def lent(self, shape: Sequence[int] | None = None) -> Tensor:
        """An uninitialized tensor, of all the numbers unless a shape is given, that holds on to the lease."""
        array: Any = _Array(self, (self._count,) if shape is None else shape, self._dtype)
        return torch.from_numpy(np.asarray(array))

    def _held(self) -> Tensor:
        if self.buffer is None:
            raise RuntimeError("this workspace has been released")
        return self.buffer

    def release(self) -> None:
        """Give the buffer back; harmless if done before."""
        buffer, self.buffer = self.buffer, None
        if buffer is not None:
            _give(buffer)

    def __del__(self) -> None:
        self.release()


class _Array:
    """Lends a lease's buffer to NumPy, which holds on to it for as long as it is looked at."""

    def __init__(self, lease: Lease, shape: Sequence[int], dtype: torch.dtype) -> None:
        self.lease = lease
        self.__array_interface__ = {
            "data": (lease.data_ptr(), False), "shape": tuple(shape), "typestr": _TYPES[dtype], "version": 3,
        }  # fmt: skip


def empty(shape: Sequence[int], like: Tensor) -> Tensor:
    """An uninitialized tensor of this shape, and the dtype of `like`, in a buffer of the workspace if it is large."""
    count = math.prod(shape)
    if count * like.element_size() < _SMALLEST:
        return like.new_empty(shape)
    return Lease(count, like.dtype).lent(shape)


def _take(size: int) -> Tensor:
    fitting = [free for free in list(_free.values()) if size <= free[0] <= 2 * size + 4096]
    for _, buffer in sorted(fitting, key=itemgetter(0)):
        if _free.pop(id(buffer), None) is not None:
            return buffer
    return torch.empty(size, dtype=torch.uint8, device="cpu")


def _give(buffer: Tensor) -> None:
    _free[id(buffer)] = len(buffer), buffer
    kept = list(_free.values())
    excess = sum(length for length, _ in kept) - _MOST_FREE
    for length, oldest in kept:
        if excess <= 0:
            break
        _free.pop(id(oldest), None)
        excess -= length


def release_workspace() -> None:
    """Give the memory of all unused buffers back to the system."""
    _free.clear()
