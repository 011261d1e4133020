"""torch.nn modules: the arguments, parameters and state dicts of torch, run by `ostinato.scan`."""

from .convert import convert, revert
from .recurrent import GRU, LSTM, RNN

__all__ = ["GRU", "LSTM", "RNN", "convert", "revert"]
