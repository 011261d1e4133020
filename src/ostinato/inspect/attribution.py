"""Which inputs moved the output: gradients with respect to every step and feature."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .probe import Probe
from .rows import array


@dataclass(frozen=True)
class Attribution:
    """How the final output depends on the input, to first order.

    Attributes:
        gradient: (N, T, F) dy/dx_{t,f}; NaN at steps that do not run.
        input: (N, T, F) x; for tokens the input of the first recurrent layer, as the gradient is.
        output: number of the output y; None is the sum of all.
        tokens: whether x are tokens.
    """

    gradient: np.ndarray
    input: np.ndarray
    output: int | None
    tokens: bool

    @property
    def sensitivity(self) -> np.ndarray:
        """(N, T, F): |dy/dx| (Simonyan, Vedaldi & Zisserman 2013, 1312.6034); for tokens (N, T, 1), the Euclidean norm
        over the features."""
        if self.tokens:
            norm: np.ndarray = np.sqrt((self.gradient**2).sum(2, keepdims=True))
            return norm
        size: np.ndarray = np.abs(self.gradient)
        return size

    @property
    def contribution(self) -> np.ndarray:
        """(N, T, F): gradient times input (Shrikumar et al. 2016, 1605.01713); for tokens (N, T, 1), summed over the
        features."""
        product: np.ndarray = self.gradient * self.input
        return product.sum(2, keepdims=True) if self.tokens else product


def attribution(probe: Probe, output: int | None = None) -> Attribution:
    """How much each input step and feature moves the final output, by one backward pass, in which no layer cuts, clips
    or rounds gradients.

    Args:
        output: number of the output y; None is the sum of all.

    Raises:
        InputError: there is no such output.
    """
    _, gradient = probe.pull(output=output, exact=True)
    tokens = not probe.x.is_floating_point()
    # the mean over the rows was differentiated
    found = array(gradient) * len(probe.x)
    idle = ~probe.runs.numpy()
    if found.shape[:2] == idle.shape:
        found[idle] = np.nan
    return Attribution(found, array(probe.first_input() if tokens else probe.x), output, tokens)
