"""Every name of `keras.initializers`, and two for recurrent matrices: `PerGate` and `SpectralRadius`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops as kops

from ..scan import is_number
from .cell import draws

_register = keras.saving.register_keras_serializable(package="ostinato")


@_register
class SpectralRadius(keras.initializers.Initializer):  # type: ignore[misc]
    """Square blocks side by side, normal and scaled so that the largest eigenvalue of each has one modulus.

    It is meant for `recurrent_initializer`: the recurrent matrix (units, gates * units) has such a block for each gate,
    and for each of its heads. Around a state of 0 a linear network whose radius is below 1 forgets, above 1 it explodes
    (Pascanu, Mikolov & Bengio 2013, 1211.5063).

    Args:
        radius: the modulus, above 0.
        seed: an integer, or a `keras.random.SeedGenerator`; as of every initializer of Keras.

    Raises:
        ValueError: the radius is not such a number; or, when called, the shape is not one of square blocks.
    """

    def __init__(self, radius: float = 1.0, seed: Any = None) -> None:
        if not is_number(radius) or radius <= 0:
            raise ValueError(f"radius is {radius!r}; expected a number above 0")
        self.radius = float(radius)
        self._normal = keras.initializers.RandomNormal(stddev=1.0, seed=seed)

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Any:
        """The blocks, (n, any multiple of n)."""
        count = _square_blocks(shape, "SpectralRadius")
        return kops.convert_to_tensor(
            np.concatenate([self.scaled(one) for one in np.split(self.drawn(shape), count, axis=1)], axis=1),
            dtype=dtype,
        )

    def drawn(self, shape: Sequence[int]) -> np.ndarray:
        """Normal numbers, in double precision."""
        return np.asarray(kops.convert_to_numpy(self._normal(tuple(shape), "float32")), "float64")

    def scaled(self, matrix: np.ndarray) -> np.ndarray:
        """A matrix times the number that gives the square of its first rows the radius."""
        square = matrix[: matrix.shape[1]]
        return np.asarray(matrix * (self.radius / np.abs(np.linalg.eigvals(square)).max()))

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this initializer again."""
        return {"radius": self.radius, "seed": self._normal.get_config()["seed"]}


@_register
class PerGate(keras.initializers.Initializer):  # type: ignore[misc]
    """Another initializer for each square block of a matrix: `PerGate("orthogonal")`, `PerGate(Identity(0.5))`.

    Keras' own `recurrent_initializer` makes one matrix (units, gates * units) of all gates: "orthogonal" makes its rows
    orthonormal, not the block of a gate, and "identity" fills the first gate's block only. With this one every gate's
    block is such a matrix, and so is that of each head.

    Args:
        initializer: of one block; a name, or an initializer.
        seed: an integer, or a `keras.random.SeedGenerator`; of an initializer that draws. None is that of the
            initializer.

    Raises:
        ValueError: when called, the shape is not one of square blocks.
    """

    def __init__(self, initializer: Any = "orthogonal", seed: Any = None) -> None:
        self.initializer = keras.initializers.get(initializer)
        self._seed = seed
        config = self.initializer.get_config() if draws(self.initializer) else {}
        given = config.get("seed") if seed is None else seed
        #: an integer or a generator, whatever was given
        self._first = keras.initializers.RandomNormal(seed=given).seed

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Any:
        """The blocks, (n, any multiple of n)."""
        rows = shape[0]
        blocks = range(_square_blocks(shape, "PerGate"))
        return kops.concatenate([self._of_block(number)((rows, rows), dtype=dtype) for number in blocks], axis=1)

    def _of_block(self, number: int) -> Any:
        """An initializer of its own for each block: one called twice draws the same numbers twice."""
        if not draws(self.initializer):
            return self.initializer
        return seeded(self.initializer, self._first + number if isinstance(self._first, int) else self._first)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this initializer again."""
        seed = keras.saving.serialize_keras_object(self._seed)
        return {"initializer": keras.initializers.serialize(self.initializer), "seed": seed}


def seeded(initializer: Any, seed: Any) -> Any:
    """The same initializer with another seed."""
    return type(initializer).from_config({**initializer.get_config(), "seed": seed})


def _square_blocks(shape: Sequence[int], name: str) -> int:
    if len(shape) != 2 or not shape[0] or shape[1] % shape[0]:
        raise ValueError(
            f"{name} got the shape {tuple(shape)}; expected (n, a multiple of n), square blocks side by side; for the "
            "modules of a clockwork call ostinato.keras.initialise on the built layer"
        )
    return int(shape[1] // shape[0])


_OURS = {"PerGate", "SpectralRadius"}

__all__ = sorted({name for name in dir(keras.initializers) if not name.startswith("_")} | _OURS)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(keras.initializers, name)


def __dir__() -> list[str]:
    return __all__
