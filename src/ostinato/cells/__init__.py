"""The science: every cell as a few lines of equations."""

from . import elman as _elman
from . import gru as _gru
from . import lstm as _lstm
from .activations import ACTIVATIONS, Activation, activation
from .cell import CELLS, SYMBOLS, Cell, cell, register

elman = _elman.elman
gru = _gru.gru
gru_reset_before = _gru.gru_reset_before
lstm = _lstm.lstm

__all__ = [
    "ACTIVATIONS",
    "CELLS",
    "SYMBOLS",
    "Activation",
    "Cell",
    "activation",
    "cell",
    "elman",
    "gru",
    "gru_reset_before",
    "lstm",
    "register",
]
