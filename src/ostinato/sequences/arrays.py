"""Sequences in NumPy's files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import InputError
from .dataset import Labelled


def read_arrays(path: str | Path, labels: str | Path | None = None) -> Labelled:
    """Sequences of a `.npz` or a `.npy` file.

    Args:
        path: `.npz` with x, an array (sequences, steps, features) or (sequences, steps), and, where they are, y
            (sequences, ...) and lengths (sequences): steps behind a sequence's length are padding and left out.
            `.npy` with the array x alone.
        labels: `.npy` with y, in place of that in `path`.

    Raises:
        InputError: a file is missing, is none of NumPy's, holds objects (which would be code to run), or what is in it
            does not fit together.
    """
    path = Path(path)
    content = _load(path)
    arrays = content if isinstance(content, dict) else {"x": content}
    if "x" not in arrays:
        raise InputError(f"{path} holds {', '.join(arrays) or 'nothing'}; expected x, and perhaps y and lengths")
    x = arrays["x"]
    if x.ndim not in (2, 3) or x.dtype.kind not in "fiub" or not x.size:
        raise InputError(
            f"{path}: x has the shape {x.shape} and the type {x.dtype}; expected numbers (sequences, steps, features) "
            "or (sequences, steps)"
        )
    x = x.astype(float).reshape(*x.shape[:2], -1)
    lengths = _lengths(arrays.get("lengths"), x, path)
    sequences = tuple(one[:length] for one, length in zip(x, lengths, strict=True))
    for number, one in enumerate(sequences):
        if not np.isfinite(one).all():
            step, feature = np.argwhere(~np.isfinite(one))[0]
            raise InputError(
                f"{path}: sequence {number} has {one[step, feature]} at step {step}, feature {feature}; fill missing "
                "values in, or give lengths where they are padding"
            )
    y = arrays.get("y") if labels is None else _load(Path(labels))
    if isinstance(y, dict):
        raise InputError(f"{labels} is a .npz file; expected a .npy file of labels")
    if y is not None and (y.ndim < 1 or len(y) != len(sequences)):
        where = path if labels is None else labels
        raise InputError(f"{where}: y has the shape {y.shape}; expected a label for each of {len(sequences)} sequences")
    return Labelled(str(path), sequences, y, tuple(f"feature {k}" for k in range(x.shape[2])))


def _load(path: Path) -> np.ndarray | dict[str, np.ndarray]:
    if not path.is_file():
        raise InputError(f"{path} {'is no file' if path.exists() else 'does not exist'}; expected a .npz or .npy file")
    try:
        with path.open("rb") as file:
            if not file.read(6).startswith((b"\x93NUMPY", b"PK\x03\x04")):
                raise ValueError("no array")
            file.seek(0)
            content = np.load(file, allow_pickle=False)
            return content if isinstance(content, np.ndarray) else {name: content[name] for name in content.files}
    except Exception as error:  # whatever zip and NumPy raise on a broken file
        said = "it holds objects, not numbers" if "allow_pickle" in str(error) else "it is none of NumPy's files"
        raise InputError(f"{path} cannot be read: {said}; expected arrays in a .npz or .npy file") from None


def _lengths(lengths: np.ndarray | None, x: np.ndarray, path: Path) -> np.ndarray:
    count, steps = x.shape[:2]
    if lengths is None:
        return np.full(count, steps)
    if lengths.shape != (count,) or lengths.dtype.kind not in "iu":
        raise InputError(
            f"{path}: lengths have the shape {lengths.shape} and the type {lengths.dtype}; expected a whole number for "
            f"each of {count} sequences"
        )
    wrong = (lengths < 1) | (lengths > steps)
    if wrong.any():
        row = int(wrong.argmax())
        raise InputError(f"{path}: lengths must be within 1..{steps}; sequence {row} has {lengths[row]}")
    return lengths
