"""A pytest plugin that has Keras' own tests meet this library's layers (`-p`, with this folder on the path).

OSTINATO_SUBSTITUTE says which: `ours`, `stock` (Keras' own, to count what passes without any change), or `broken`
(layers that raise, to show that the tests do run what is put there).
"""

import os
from typing import Any

import pytest

NAMES = ("LSTM", "GRU", "SimpleRNN", "Bidirectional")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "requires_trainable_backend: needs a backend that trains")
    import ostinato.keras  # noqa: I001  selects the backend, so it comes before keras
    import keras.src.layers

    wanted = os.environ["OSTINATO_SUBSTITUTE"]
    if wanted == "stock":
        return
    for name in NAMES:
        substitute = getattr(ostinato.keras.layers, name)
        setattr(keras.src.layers, name, substitute if wanted == "ours" else _broken(substitute))


def _broken(layer: Any) -> Any:
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("a layer that raises stands where this library's should")

    return type(layer.__name__, (layer,), {"call": call})
