"""Numbers of whole sequences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch.nn.functional import mse_loss

from ..errors import InputError
from .estimator import Whole
from .inputs import check_count, make_sequences
from .scaling import LARGEST, Scaling
from .training import Epoch

if TYPE_CHECKING:
    from typing import Self


@dataclass(kw_only=True, eq=False)
class SequenceRegressor(Whole):
    """A number, or several, a sequence; in scikit-learn's manner. Targets are standardised inside.

    After fitting:
        target_scaling_: the targets' mean and deviation.
        one_target_: whether y was (sequences), not (sequences, targets).
        network_, parameters_, training_: the network, the parameters it was made and trained with, its history.
        scaling_, n_features_in_: the inputs' mean and deviation, their number.
    """

    _estimator_type: ClassVar[str | None] = "regressor"

    def fit(
        self,
        X: Any,
        y: Any,
        validation: tuple[Any, Any] | None = None,
        on_epoch: Callable[[Epoch], None] | None = None,
    ) -> Self:
        """Train on sequences with targets.

        Args:
            X: an array (sequences, steps, features) or (sequences, steps), or a list of arrays (steps, features).
            y: (sequences) or (sequences, targets), finite.
            validation: further X and y to stop on; None holds out `validation_size` of those given.
            on_epoch: called after each epoch.

        Raises:
            InputError: sequences or targets are malformed, a parameter is out of range, or training diverged.
        """
        sequences = make_sequences(X)
        check_count(sequences, y, "targets")
        targets = _numbers(y, "the targets")
        scaling = Scaling.of(targets)
        checked = None
        if validation is not None:
            others = make_sequences(validation[0], sequences.values.shape[1])
            check_count(others, validation[1], "validation targets")
            numbers = _numbers(validation[1], "the validation targets")
            if numbers.shape[1] != targets.shape[1]:
                raise InputError(f"there are {numbers.shape[1]} validation targets; expected {targets.shape[1]}")
            checked = others, scaling.apply(numbers)
        scaled = scaling.apply(targets)
        self._fit(sequences, scaled, targets.shape[1], mse_loss, validation=checked, on_epoch=on_epoch)
        self.target_scaling_, self.one_target_ = scaling, np.ndim(y) == 1
        return self

    def predict(self, X: Any) -> np.ndarray:
        """(sequences), or (sequences, targets), as y was.

        Raises:
            InputError: X is malformed, or has other features than those trained on.
        """
        answer = torch.stack(self._answer(X))
        predicted = self.target_scaling_.invert(answer)
        return predicted[:, 0] if self.one_target_ else predicted

    def score(self, X: Any, y: Any) -> float:
        """The coefficient of determination R^2, mean over the targets: 1 is perfect, 0 what their mean would get."""
        from sklearn.metrics import r2_score

        return float(r2_score(np.asarray(y), self.predict(X)))

    def fitted(self) -> dict[str, Any]:
        return {"targets": self.target_scaling_, "one_target": self.one_target_}

    def restore(self, content: dict[str, Any]) -> int:
        self.target_scaling_, self.one_target_ = Scaling.from_json(content["targets"]), bool(content["one_target"])
        return len(self.target_scaling_.mean)


def _numbers(targets: Any, what: str) -> torch.Tensor:
    """(sequences, targets) float64."""
    try:
        numbers = np.asarray(targets, dtype=float)
    except (TypeError, ValueError):
        raise InputError(f"{what} do not consist of numbers; expected a number, or several, a sequence") from None
    if numbers.ndim not in (1, 2):
        raise InputError(f"{what} have the shape {numbers.shape}; expected (sequences) or (sequences, targets)")
    wrong = ~(np.abs(numbers) <= LARGEST)
    if wrong.any():
        row = np.argwhere(wrong)[0][0]
        raise InputError(f"{what} of sequence {row} are {numbers[row]}; expected finite numbers up to {LARGEST:.1e}")
    return torch.from_numpy(numbers.reshape(len(numbers), -1))
