"""Every layer of `keras.layers`, the recurrent ones of this library among them."""

from typing import Any

import keras

from ..cells import CELLS
from .bidirectional import Bidirectional
from .dropout import Dropout
from .gallery import layer_of
from .recurrent import GRU, LSTM, SimpleRNN

__all__ = ["GRU", "LSTM", "Bidirectional", "Dropout", "SimpleRNN"]

_CELLS: dict[str, Any] = {}
for _layer in map(layer_of, CELLS.values()):
    _CELLS[_layer.__name__] = _layer
    if hasattr(_layer, "cell_class"):
        _CELLS[_layer.cell_class.__name__] = _layer.cell_class
globals().update(_CELLS)

_KERAS = {name for name in dir(keras.layers) if not name.startswith("_")}
__all__ += sorted((_KERAS | set(_CELLS)) - set(__all__))  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(keras.layers, name)


def __dir__() -> list[str]:
    return sorted(__all__)
