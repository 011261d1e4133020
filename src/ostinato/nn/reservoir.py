"""The reservoir of an echo state network: a layer that is drawn once and never trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .. import cells, scan
from ..scan.request import ActivationLike
from ..scan.reservoir import reservoir
from .layer import Layer


class EchoState(Layer):
    """Leaky reservoir of an echo state network (Jaeger 2001, GMD report 148; in the form of Lukosevicius 2012,
    Neural Networks: Tricks of the Trade, 659-686).

    h_t = (1 - leak) * h_{t-1} + leak * phi(W x_t + U h_{t-1} + b)

    Its weights are drawn once and frozen: buffers, in the state dict and not among the parameters, so that no optimizer
    sees them and a gradient flows through to the input only. W is uniform in -input_scaling..input_scaling, b in
    -bias_scaling..bias_scaling; U holds each weight with probability `density`, uniform in -1..1, and is scaled
    afterwards to the spectral radius. Input, output and states (h) are described at `ostinato.nn.Layer`.

    Args:
        input_size: D, the number of features of the input.
        hidden_size: H, the number of units.
        num_layers: how many reservoirs stand above each other.
        batch_first: whether the batch comes first in input and output; never in the states.
        bidirectional: whether a second reservoir runs from the last step to the first.
        spectral_radius: the modulus of the largest eigenvalue of U, above 0.
        density: the share of the recurrent weights that are there, above 0 and at most 1.
        leak: above 0 and at most 1, one number or one a unit.
        input_scaling: of the input weights, at least 0.
        bias_scaling: of the biases, at least 0.
        activation: phi of the equations: a name of `cells.ACTIVATIONS`, or a function.
        seed: equal seeds draw equal reservoirs; None draws with torch's generator.
        truncate_gradient: after how many steps gradients are cut; None is never.
        clip_recurrent_gradient: the bound of each state's gradient as a step hands it back; None is none.
        recompute: True, or how many steps the backward pass runs again at a time, for less memory; None keeps all.
        saved_dtype: "float16" or "bfloat16": what the backward pass needs is kept in so many bits; None keeps all.
        backend: None lets the library choose; see `Layer`.
        device: of the weights.
        dtype: of the weights.

    Raises:
        ValueError: a number is outside its range, or U came out without a cycle, so that no scale gives it a spectral
            radius.
    """

    cell = cells.echo_state

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        batch_first: bool = False,
        bidirectional: bool = False,
        *,
        spectral_radius: float = 0.9,
        density: float = 1.0,
        leak: scan.Values = 1.0,
        input_scaling: float = 1.0,
        bias_scaling: float = 0.0,
        activation: ActivationLike = "tanh",
        seed: int | None = None,
        truncate_gradient: int | None = None,
        clip_recurrent_gradient: float | None = None,
        recompute: bool | int | None = None,
        saved_dtype: scan.SavedDtype | None = None,
        backend: scan.Backend | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        leaks: Any = leak.tolist() if hasattr(leak, "tolist") else leak
        for one in leaks if isinstance(leaks, Sequence) else [leaks]:
            if not 0 < one <= 1:
                raise ValueError(f"leak is {one}; expected above 0 and at most 1")
        for name, scaling in (("input_scaling", input_scaling), ("bias_scaling", bias_scaling)):
            if not 0 <= scaling < float("inf"):
                raise ValueError(f"{name} is {scaling}; expected a number of at least 0")
        self.spectral_radius = spectral_radius
        self.density = density
        self.input_scaling = input_scaling
        self.bias_scaling = bias_scaling
        self.seed = seed
        super().__init__(
            input_size, hidden_size, num_layers, batch_first=batch_first, bidirectional=bidirectional,
            constants={"leak": leaks}, activations={"phi": activation}, truncate_gradient=truncate_gradient,
            clip_recurrent_gradient=clip_recurrent_gradient, recompute=recompute, saved_dtype=saved_dtype,
            backend=backend, device=device, dtype=dtype,
        )  # fmt: skip

    @property
    def effective_radius(self) -> float:
        """The spectral radius of (1 - leak) I + leak U, the largest of all layers and directions.

        With a leak it is this one, not that of U, which Jaeger's conditions are about (sec. 5): around a state of 0,
        echoes fade where it is below 1.
        """
        found = []
        for tensors in self._reservoirs():
            leak, U = tensors["leak"].double(), tensors["U"].double()
            effective = torch.diag(1 - leak) + leak.unsqueeze(1) * U
            found.append(torch.linalg.eigvals(effective).abs().max().item())
        return float(max(found))

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw the reservoirs anew; with a seed, the same ones."""
        for number, tensors in enumerate(self._reservoirs()):
            H, D = tensors["W"].shape
            seed = None if self.seed is None else self.seed + number
            # the bias is the weight of one input more, that is always 1
            W, U = reservoir(H, D + 1, self.spectral_radius, self.density, 1.0, seed)
            tensors["W"].copy_(self.input_scaling * W[:, :D])
            tensors["U"].copy_(U)
            tensors["b"].copy_(self.bias_scaling * W[:, D])
            tensors["leak"].copy_(torch.tensor(self._constants["leak"], dtype=tensors["leak"].dtype, device="cpu"))

    def extra_repr(self) -> str:
        defaults = {"spectral_radius": 0.9, "density": 1.0, "input_scaling": 1.0, "bias_scaling": 0.0, "seed": None}
        shown = [f"{name}={value}" for name, default in defaults.items() if (value := getattr(self, name)) != default]
        return ", ".join([super().extra_repr(), *shown])

    def _trains(self, parameter: scan.Parameter) -> bool:
        return False

    def _reservoirs(self) -> list[dict[str, Tensor]]:
        return [self._tensors(number, k) for number in range(self.num_layers) for k in range(self._directions)]
