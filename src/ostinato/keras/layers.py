"""Every layer of `keras.layers`, the recurrent ones of this library among them."""

from typing import Any

import keras

from .bidirectional import Bidirectional
from .recurrent import GRU, LSTM, SimpleRNN

_OURS = {"Bidirectional": Bidirectional, "GRU": GRU, "LSTM": LSTM, "SimpleRNN": SimpleRNN}

__all__ = sorted({name for name in dir(keras.layers) if not name.startswith("_")} | set(_OURS))  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(keras.layers, name)


def __dir__() -> list[str]:
    return __all__
