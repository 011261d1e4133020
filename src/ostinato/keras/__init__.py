"""Keras, with recurrent layers on this library's kernels.

Everything that `keras` has is here under the same name (`ostinato.keras.models.Sequential` is
`keras.models.Sequential`), so that a program written for `tensorflow.keras` or `keras` runs after its imports are
changed. `layers.LSTM`, `GRU`, `SimpleRNN` and `Bidirectional` are this library's.

Importing this module has Keras run on torch if nobody has chosen a backend; see `selection.chosen_backend`.
"""

import sys
from types import ModuleType
from typing import Any

from .selection import select_backend

select_backend()

import keras as _keras  # noqa: E402

from . import callbacks as callbacks  # noqa: E402
from . import initializers as initializers  # noqa: E402
from . import layers as layers  # noqa: E402
from . import models as models  # noqa: E402
from . import regularizers as regularizers  # noqa: E402
from .conversion import from_keras as from_keras  # noqa: E402
from .conversion import to_keras as to_keras  # noqa: E402
from .explanation import explain as explain  # noqa: E402
from .gallery import layer_of as layer_of  # noqa: E402
from .initialise import initialise as initialise  # noqa: E402
from .models import Sequential as Sequential  # noqa: E402
from .pretrained import load_weights_from as load_weights_from  # noqa: E402
from .series import SeriesDataset as SeriesDataset  # noqa: E402
from .stream import stream as stream  # noqa: E402


def _modules() -> dict[str, ModuleType]:
    """Keras' public modules by their names below `keras`, which its import has loaded.

    Of `preprocessing` it is the form that `tensorflow.keras` shows: it still has Tokenizer and TimeseriesGenerator.
    """
    loaded = {name: module for name, module in sys.modules.items() if name.startswith("keras.")}
    public = {name[6:]: m for name, m in loaded.items() if not name.startswith(("keras.src", "keras._"))}
    legacy = "keras._tf_keras.keras."
    return public | {name[len(legacy) :]: m for name, m in loaded.items() if name.startswith(f"{legacy}preprocessing")}


# `import ostinato.keras.optimizers.schedules` finds these; with files of our own there would be two of each module.
for _name, _module in _modules().items():
    sys.modules.setdefault(f"{__name__}.{_name}", _module)

_OURS = {"SeriesDataset", "callbacks", "explain", "from_keras", "layer_of", "layers", "models", "to_keras"}
_OURS |= {"initialise", "initializers", "load_weights_from", "regularizers", "stream"}

__all__ = sorted({name for name in dir(_keras) if not name.startswith("_")} | _OURS)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name.startswith("_") and name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = sys.modules.get(f"{__name__}.{name}")
    return found if found is not None else getattr(_keras, name)


def __dir__() -> list[str]:
    return __all__
