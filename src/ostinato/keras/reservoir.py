"""The echo state network's reservoir as a Keras cell: drawn once, never trained."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import torch
from keras import ops as kops

from ..scan.parameters import Parameter
from ..scan.reservoir import reservoir
from .arguments import REQUIRED
from .cell import EquationsCell


class ReservoirCell(EquationsCell):
    """A cell whose weights are those of a reservoir; see `scan.reservoir.reservoir`."""

    meanings = {
        "spectral_radius": "the modulus of the largest eigenvalue of U, above 0.",
        "density": "the share of the recurrent weights that are there, above 0 and at most 1.",
        "leak": "above 0 and at most 1, one number or one a unit.",
        "input_scaling": "the bound of the input weights, at least 0.",
        "bias_scaling": "the bound of the biases, at least 0.",
        "seed": "equal seeds draw equal reservoirs.",
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # told here, where they are given, and not first where the weights are drawn
        if not 0 < self.given("spectral_radius") < float("inf"):
            raise ValueError(f"spectral_radius is {self.given('spectral_radius')}; expected a number above 0")
        for name in ("input_scaling", "bias_scaling"):
            if not 0 <= self.given(name) < float("inf"):
                raise ValueError(f"{name} is {self.given(name)}; expected a number of at least 0")
        for name in ("density", "leak"):
            value = self.given(name)
            for one in value if isinstance(value, tuple) else (value,):
                if not 0 < one <= 1:
                    raise ValueError(f"{name} is {one}; expected above 0 and at most 1")

    @classmethod
    def arguments(cls) -> dict[str, Any]:
        """The arguments and their defaults."""
        return {
            "units": REQUIRED,
            "activation": "tanh",
            "spectral_radius": 0.9,
            "density": 1.0,
            "leak": 1.0,
            "input_scaling": 1.0,
            "bias_scaling": 0.0,
            "dropout": 0.0,
            "seed": None,
        }

    @property
    def effective_radius(self) -> float:
        """The spectral radius of (1 - leak) I + leak U, once the weights are drawn.

        With a leak it is this one, not that of U, which Jaeger's conditions are about (sec. 5): around a state of 0,
        echoes fade where it is below 1.
        """
        U = torch.as_tensor(kops.convert_to_numpy(self.recurrent_kernel)).double().T
        leak = torch.as_tensor(self.stored()["leak"])
        return float(torch.linalg.eigvals(torch.diag(1 - leak) + leak.unsqueeze(1) * U).abs().max())

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Draw the weights for inputs of this shape (batch, features).

        Raises:
            ValueError: a number is outside its range, or the reservoir has no cycle.
        """
        self._drawn: dict[str, torch.Tensor] = {}
        super().build(input_shape)
        del self._drawn

    def _weight(self, parameter: Parameter, name: str) -> Any:
        if not self._drawn:
            self._drawn.update(self._draw())
        tensor = self._drawn[parameter.name]
        drawn = (tensor.T if tensor.dim() == 2 else tensor).numpy()
        return self.add_weight(
            shape=drawn.shape,
            name=name,
            initializer=lambda shape, dtype=None: kops.convert_to_tensor(drawn, dtype=dtype),
            trainable=False,
        )

    def _draw(self) -> dict[str, torch.Tensor]:
        # Python's generator is what `keras.utils.set_random_seed` seeds under every backend
        seed = random.randint(1, 10**9) if self.seed is None else self.seed
        D = self.structure.input_size
        # the bias is the weight of one input more, that is always 1
        W, U = reservoir(self.units, D + 1, self.given("spectral_radius"), self.given("density"), 1.0, seed)
        return {"W": self.given("input_scaling") * W[:, :D], "U": U, "b": self.given("bias_scaling") * W[:, D]}
