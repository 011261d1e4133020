"""Every name of `keras.regularizers`, and one for the outputs of recurrent layers: `ActivationRegularizer`."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import keras
from keras import ops as kops


@keras.saving.register_keras_serializable(package="ostinato")
class ActivationRegularizer(keras.regularizers.Regularizer):  # type: ignore[misc]
    """Activation regularisation (AR) and temporal activation regularisation (TAR) of a recurrent layer's outputs
    (Merity, McCann & Socher 2017, 1708.01009), for `activity_regularizer`.

        alpha * mean(h_t^2) + beta * mean((h_t - h_{t-1})^2)

    The means go over all rows, steps and units; Keras divides what a regularizer of outputs returns by the number of
    rows, so that what is returned is that many times the sum above. Of a tensor that carries Keras' mask, masked steps
    are left out. The outputs of a recurrent layer carry none yet when its regularizer is called: there a masked step
    counts as what the layer shows at it, the output before once more, or zeros with `zero_output_for_mask`. A layer
    behind it, `Activation("linear", activity_regularizer=...)`, gets the mask.

    Args:
        alpha: the factor of AR, at least 0; 2 in the paper.
        beta: the factor of TAR, at least 0; 1 in the paper.

    Raises:
        ValueError: a factor is no such number; or, when called, the outputs are not sequences.
    """

    def __init__(self, alpha: float = 0.0, beta: float = 0.0) -> None:
        for name, factor in (("alpha", alpha), ("beta", beta)):
            if isinstance(factor, bool) or not isinstance(factor, Real) or not 0 <= factor < math.inf:
                raise ValueError(f"{name} is {factor!r}; expected a number of at least 0")
        self.alpha, self.beta = float(alpha), float(beta)

    def __call__(self, x: Any) -> Any:
        """The penalty of outputs (batch, steps, features), times the batch."""
        if len(x.shape) != 3:
            raise ValueError(
                f"ActivationRegularizer got outputs of the shape {tuple(x.shape)}; expected (batch, steps, features): "
                "give the layer return_sequences=True"
            )
        mask = getattr(x, "_keras_mask", None)
        shown = kops.ones_like(x[..., 0]) if mask is None else kops.cast(kops.reshape(mask, kops.shape(x)[:2]), x.dtype)
        sizes = _mean(kops.square(x), shown)
        changes = _mean(kops.square(x[:, 1:] - x[:, :-1]), shown[:, 1:] * shown[:, :-1])
        return kops.cast(kops.shape(x)[0], x.dtype) * (self.alpha * sizes + self.beta * changes)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this regularizer again."""
        return {"alpha": self.alpha, "beta": self.beta}


def _mean(values: Any, shown: Any) -> Any:
    """The mean over the steps that count; 0 where none does."""
    count = kops.sum(shown) * values.shape[-1]
    return kops.sum(kops.where(shown[..., None] > 0, values, 0.0)) / kops.maximum(count, 1.0)


_OURS = {"ActivationRegularizer"}

__all__ = sorted({name for name in dir(keras.regularizers) if not name.startswith("_")} | _OURS)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(keras.regularizers, name)


def __dir__() -> list[str]:
    return __all__
