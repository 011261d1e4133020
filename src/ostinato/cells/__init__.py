"""The science: every cell as a few lines of equations.

Importing a file registers its cells. A cell has its name here in one place, the import below.
"""

# mypy: implicit-reexport
# ruff: noqa: F401

from .activations import ACTIVATIONS, Activation, activation
from .cell import CELLS, SPACES, SYMBOLS, Cell, Initial, Mask, cell, register
from .clockwork import clockwork
from .dense import dense
from .depth_gated import depth_gated_lstm
from .dropout import recurrent_dropout_lstm, rnn_drop_lstm, variational_lstm, zoneout_lstm
from .echo_state import echo_state
from .elman import elman
from .gru import gru, gru_reset_before, light_gru, mgu
from .independent import indrnn
from .lem import lem
from .lstm import coupled_lstm, forgetless_lstm, janet, lstm, peephole_lstm
from .minimal import min_gru, min_lstm
from .mogrifier import mogrifier, mogrifier_lstm
from .normalised import layer_norm_gru, layer_norm_lstm
from .odyssey import cifg, fgr, nfg, niaf, nig, noaf, nog
from .oscillator import cornn
from .projection import projected_lstm
from .qrnn import qrnn
from .rg_lru import rg_lru
from .slstm import slstm
from .sru import identity_sru, sru
