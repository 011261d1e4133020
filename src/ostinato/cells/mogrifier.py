"""Long short-term memory whose input and state modulate each other before the gates see them."""

from functools import cache
from typing import Any

from . import ops
from .cell import Cell, cell, register

#: The rounds of the registered cell.
ROUNDS = 5


@cache
def mogrifier(rounds: int) -> Cell:
    """A Mogrifier LSTM with another number of rounds than `mogrifier_lstm`; with 0 it is the LSTM.

    Raises:
        ValueError: `rounds` is negative.
    """
    if rounds < 0:
        raise ValueError(f"a Mogrifier LSTM has {rounds} rounds; expected 0 or more")
    names = [f"Q_{k}:DH" if k % 2 else f"R_{k}:HD" for k in range(1, rounds + 1)]

    def mogrifier_lstm(gate: Any, state: Any, x: Any, matrix: Any, phi: Any, sigma: Any) -> Any:
        """Mogrifier LSTM (Melis, Kocisky & Blunsom 2020, 1909.01792).

        x <- 2 sigmoid(Q_k h) * x       in the rounds k = 1, 3, 5
        h <- 2 sigmoid(R_k x) * h       in the rounds k = 2, 4, between them
        i, f, o = sigma(W x + U h + b)          input, forget and output gate, of the modulated x and h
        g       = phi(W_g x + U_g h + b_g)      candidate
        c_t     = f * c_{t-1} + i * g
        h_t     = o * phi(c_t)

        It starts with x = x_t and h = h_{t-1}; only the gates see what the rounds make of them. The modulation has no
        bias. Another number of rounds: `mogrifier(rounds)`.

        Shapes: x (D), h and c (H), Q (D, H), R (H, D), W (4H, D), U (4H, H), b (4H); blocks in the order i, f, g, o.
        """
        h = state.h
        for k in range(1, rounds + 1):
            if k % 2:
                x = 2.0 * ops.sigmoid(getattr(matrix, f"Q_{k}") @ h) * x
            else:
                h = 2.0 * ops.sigmoid(getattr(matrix, f"R_{k}") @ x) * h
        modulated = gate.using(x=x, h=h)
        c = sigma(modulated.f) * state.c + sigma(modulated.i) * phi(modulated.g)
        return sigma(modulated.o) * phi(c), c

    if rounds != ROUNDS:
        mogrifier_lstm.__name__ = f"mogrifier_lstm_{rounds}"
    return cell(
        gates="i f g o", states="h c", matrices=" ".join(names), phi="tanh", sigma="sigmoid", forget="f",
        layer="MogrifierLSTM",
    )(mogrifier_lstm)  # fmt: skip


mogrifier_lstm = register(mogrifier(ROUNDS))
