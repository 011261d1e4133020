"""torch.nn modules: the arguments, parameters and state dicts of torch, run by `ostinato.scan`.

LSTM, GRU and RNN are subclasses of torch's; every other registered cell has its module here under its name
(`PeepholeLSTM`), and `layer_of` makes that of a cell of one's own. An EchoState is frozen; EchoStateNetwork fits a
readout of it.
"""

from typing import TYPE_CHECKING

from .convert import convert, revert
from .faults import watch_faults
from .gallery import LAYERS, layer_of
from .initialise import initialise
from .layer import Layer
from .penalty import activation_penalty, norm_preserving_penalty, temporal_activation_penalty
from .pretrained import load_weights_from
from .readout import EchoStateNetwork
from .recurrent import GRU, LSTM, RNN
from .reservoir import EchoState
from .series import SeriesBatches

__all__ = ["GRU", "LSTM", "RNN", "EchoState", "EchoStateNetwork", "Layer", "SeriesBatches"]
__all__ += ["convert", "layer_of", "revert"]
__all__ += ["activation_penalty", "norm_preserving_penalty", "temporal_activation_penalty"]
__all__ += ["initialise", "load_weights_from"]
__all__ += ["watch_faults"]

for _name, _layer in LAYERS.items():
    if _name not in globals():
        _layer.__module__ = __name__
        globals()[_name] = _layer
        __all__ += [_name]  # noqa: PLE0604

if TYPE_CHECKING:

    def __getattr__(name: str) -> type[Layer]: ...
