"""Saved models that are data and no program."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from ..errors import InputError

#: Endings of what `torch.save` and `pickle` write.
_PICKLES = {".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".bin"}


def load_model(path: Path) -> Any:
    """A Keras model out of a `.keras` file, its recurrent layers those of this library.

    Keras' safe mode stays on: a file with a function of its own in it is refused.

    Raises:
        InputError: there is no such file, it is of another kind, or it is damaged.
    """
    if path.suffix.lower() in _PICKLES:
        raise InputError(
            f"{path} is a pickle, and loading one runs whatever program is in it; load it yourself where you trust it, "
            "and give the model to ostinato.inspect.look"
        )
    if path.suffix.lower() != ".keras":
        raise InputError(f"{path} ends in {path.suffix or 'nothing'}; expected a .keras file")
    if not path.is_file():
        raise InputError(f"{path} is {'a folder' if path.exists() else 'not there'}; expected a .keras file")
    from ..keras import from_keras, models

    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Skipping variable loading for optimizer")  # which trains nothing here
            model = models.load_model(path)
    except Exception as error:  # whatever zip, HDF5, JSON and Keras raise on a broken file
        lines = str(error).strip().splitlines() or [""]
        raise InputError(f"{path} cannot be loaded ({type(error).__name__}: {lines[0].rstrip('.')})") from error
    return from_keras(model)
