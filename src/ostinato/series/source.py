"""Where the numbers of a series come from: an array in memory, or a file of which parts are read."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Source:
    """An array of which slices along the first axis are read.

    Attributes:
        array: the array; None for a file, which is mapped anew for every slice, so that what has been read does not
            stay resident.
        path: the `.npy` file; None for an array.
        shape: (steps,) or (steps, features).
        dtype: of the numbers as they are stored.
    """

    array: np.ndarray | None
    path: str | None
    shape: tuple[int, ...]
    dtype: np.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def read(self, first: int, last: int) -> np.ndarray:
        """The steps `first` to `last`, without `last`; as stored."""
        array = self.array if self.path is None else np.load(self.path, mmap_mode="r", allow_pickle=False)
        assert array is not None
        return np.array(array[first:last])


def open_source(given: Any, name: str) -> Source:
    """The source behind an array of one or two dimensions, or behind the path of a `.npy` file.

    Args:
        name: what messages call it.

    Raises:
        ValueError: the file is none of NumPy's, or the array has another number of dimensions, no step or no number.
        FileNotFoundError: there is no such file.
    """
    path = None
    if isinstance(given, (str, os.PathLike)):
        path = os.fspath(given)
        if not os.path.exists(path):
            raise FileNotFoundError(f"{name} is {path!r}, and there is no such file")
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError):
            array = None
        if not isinstance(array, np.ndarray):
            raise ValueError(f"{name} is {path!r}, which is not a .npy file of numbers; write one with numpy.save")
    else:
        array = given if isinstance(given, np.ndarray) else np.asarray(given)
    if array.ndim not in (1, 2) or 0 in array.shape:
        raise ValueError(f"{name} has the shape {array.shape}; expected (steps,) or (steps, features), none of them 0")
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{name} is of the dtype {array.dtype}; expected real numbers")
    return Source(None if path else array, path, array.shape, array.dtype)
