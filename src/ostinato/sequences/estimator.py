"""What the estimators share: parameters in scikit-learn's manner, fitting, and their folder.

They do not inherit from scikit-learn's classes, whose import takes longer than torch's; they answer the same calls, so
that `sklearn.base.clone`, cross-validation and searches over parameters take them.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from ..errors import InputError
from .batches import Batches
from .holdout import hold_out
from .inputs import make_sequences
from .network import Encoder, Network, StepNetwork, pooled_size
from .ragged import Ragged, unpack
from .scaling import Scaling
from .training import Epoch, Measure, Schedule, Settings, Training, answers, check_whole, seed_all, train

if TYPE_CHECKING:
    from typing import Self

#: Sequences that are predicted at once, and their longest times their number; neither changes the result.
PREDICTED_AT_ONCE, STEPS_AT_ONCE = 256, 2**17


@dataclass(kw_only=True, eq=False)
class Estimator(ABC):
    """The parameters that all estimators have.

    Attributes:
        cell: the recurrent cell, by its name in `ostinato.cells.CELLS` or in `ostinato.nn`.
        units: of each direction of each layer.
        layers: one upon the other.
        bidirectional: whether a second direction reads each sequence from its end.
        options: further arguments of the cell's module in `ostinato.nn`, or None.
        input_dropout: share of the inputs' numbers that training drops.
        dropout: share of the encoder's numbers that training drops, between layers and before the head.
        epochs: most passes over the sequences.
        patience: epochs without a better validation loss before training stops; the best weights are restored.
        validation_size: share of the sequences that is held out to stop on; 0 trains all epochs.
        batch_size: sequences a training step.
        batch_steps: most steps in a batch, its longest sequence times its sequences; None is no limit.
        learning_rate, weight_decay, clip, schedule, warmup: see `training.Settings`.
        seed: of the initial weights, the held-out part, the order and the dropout.
    """

    cell: str = "lstm"
    units: int = 64
    layers: int = 1
    bidirectional: bool = True
    options: dict[str, Any] | None = None
    input_dropout: float = 0.0
    dropout: float = 0.2
    epochs: int = 100
    patience: int = 20
    validation_size: float = 0.15
    batch_size: int = 32
    batch_steps: int | None = None
    learning_rate: float = 5e-3
    weight_decay: float = 0.0
    clip: float | None = 1.0
    schedule: Schedule = "constant"
    warmup: float = 0.0
    seed: int = 0

    #: What scikit-learn takes it for: "classifier", "regressor" or None.
    _estimator_type: ClassVar[str | None] = None
    #: The parameters that predicting reads anew, so that they may be changed after fitting.
    _of_predicting: ClassVar[tuple[str, ...]] = ()

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def set_params(self, **parameters: Any) -> Self:
        """Change some parameters. What was fitted stays as it is until the next fit, and is saved as it is.

        Raises:
            ValueError: there is no such parameter.
        """
        unknown = set(parameters) - set(self.get_params())
        if unknown:
            known = ", ".join(self.get_params())
            raise ValueError(f"there is no parameter {', '.join(sorted(unknown))}; expected {known}")
        for name, value in parameters.items():
            setattr(self, name, value)
        return self

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import ClassifierTags, InputTags, RegressorTags, Tags, TargetTags

        return Tags(
            estimator_type=self._estimator_type,
            target_tags=TargetTags(required=True),
            classifier_tags=ClassifierTags() if self._estimator_type == "classifier" else None,
            regressor_tags=RegressorTags() if self._estimator_type == "regressor" else None,
            input_tags=InputTags(two_d_array=True, three_d_array=True),
        )

    def save(self, folder: str | Path, overwrite: bool = False) -> None:
        """Write the fitted estimator to a folder of data: JSON and safetensors, no code.

        Args:
            folder: that does not exist yet, or an older one with `overwrite`.

        Raises:
            InputError: it exists, or cannot be written.
        """
        from .folder import save

        save(self, Path(folder), overwrite)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """A fitted estimator as it was saved.

        Raises:
            InputError: the folder is none of an estimator of this class, is damaged, or of another version.
        """
        from .folder import load

        found = load(folder)
        if not isinstance(found, cls):
            raise InputError(f"{folder} holds a {type(found).__name__}; expected a {cls.__name__}")
        return found

    @abstractmethod
    def score(self, X: Any, y: Any) -> float:
        """How good the predictions for X are, given the truth; higher is better."""

    @abstractmethod
    def fitted(self) -> dict[str, Any]:
        """What fitting found besides weights and scaling, for JSON."""

    @abstractmethod
    def restore(self, content: dict[str, Any]) -> int:
        """Take what `fitted` gave, and return how many outputs the network has.

        Raises:
            KeyError, TypeError, ValueError: it is none.
        """

    @abstractmethod
    def build(self, features: int, outputs: int) -> torch.nn.Module:
        """The untrained network."""

    def _encoder(self, features: int) -> Encoder:
        for name in ("dropout", "input_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; expected at least 0 and less than 1")
        return Encoder(
            features, self.cell, self.units, self.layers, self.bidirectional, self.dropout, **(self.options or {})
        )

    def _fit(
        self,
        sequences: Ragged,
        targets: Tensor | Ragged,
        outputs: int,
        loss: Measure,
        *,
        strata: np.ndarray | None = None,
        validation: tuple[Ragged, Tensor | Ragged] | None = None,
        on_epoch: Callable[[Epoch], None] | None = None,
    ) -> None:
        """Train a new network, and keep it.

        Args:
            sequences, targets: to train on, and where there is no `validation`, to hold some out of.
            outputs: of the network.
            loss: see `training.train`.
            strata: (sequences) classes of which like shares are held out, or None.
        """
        settings = Settings(
            self.epochs, self.patience, self.learning_rate, self.weight_decay, self.clip, self.schedule, self.warmup,
            self.seed,
        )  # fmt: skip
        check_whole("batch_size", self.batch_size)
        if self.batch_steps is not None:
            check_whole("batch_steps", self.batch_steps)
        if validation is None and self.validation_size:
            kept, held = hold_out(len(sequences), self.validation_size, self.seed, strata)
            validation = sequences.select(held), _choose(targets, held)
            sequences, targets = sequences.select(kept), _choose(targets, kept)
        scaling = Scaling.of(sequences.values)
        seed_all(self.seed)
        network = self.build(sequences.values.shape[1], outputs)
        size, steps = int(self.batch_size), self.batch_steps
        batches = Batches(_scaled(sequences, scaling), targets, size, True, steps=steps)
        checked = validation and Batches(_scaled(validation[0], scaling), validation[1], size, steps=steps)
        training = train(network, batches, checked, loss, settings, on_epoch)
        self.take(network, scaling, training)

    def take(self, network: torch.nn.Module, scaling: Scaling, training: Training) -> None:
        """Count as fitted with a trained network."""
        self.network_, self.scaling_, self.training_ = network, scaling, training
        self.parameters_ = {name: _plain(value) for name, value in self.get_params().items()}
        self.n_features_in_ = len(scaling.mean)

    def fitted_params(self) -> dict[str, Any]:
        """The parameters of the fitted network, whatever has been set since."""
        return {**self.parameters_, **{name: _plain(getattr(self, name)) for name in self._of_predicting}}

    def check_fitted(self) -> None:
        """
        Raises:
            NotFittedError: scikit-learn's; it is not fitted yet.
        """
        if not hasattr(self, "network_"):
            from sklearn.exceptions import NotFittedError

            raise NotFittedError(f"this {type(self).__name__} is not fitted yet; call fit, or load one")

    def _answer(self, X: Any) -> list[Tensor]:
        """What the network answers for each sequence: (outputs), or (steps, outputs)."""
        self.check_fitted()
        sequences = _scaled(make_sequences(X, self.n_features_in_), self.scaling_)
        found: list[Tensor] = [torch.empty(0)] * len(sequences)
        batches = Batches(sequences, None, PREDICTED_AT_ONCE, steps=STEPS_AT_ONCE)
        for answer, numbers in answers(self.network_, batches):
            rows = unpack(answer) if isinstance(answer, PackedSequence) else answer
            for number, one in zip(numbers.tolist(), rows, strict=True):
                found[number] = one
        return found


@dataclass(kw_only=True, eq=False)
class Whole(Estimator):
    """An estimator with one answer a sequence.

    Attributes:
        pooling: what the head sees of a sequence: "last", "mean", "max", or several joined by "+".
    """

    pooling: str = "mean"

    def build(self, features: int, outputs: int) -> torch.nn.Module:
        encoder = self._encoder(features)
        head = torch.nn.Linear(pooled_size(encoder, self.pooling), outputs)
        return Network(
            torch.nn.Identity(), encoder, self.pooling, head, input_dropout=self.input_dropout, dropout=self.dropout
        )


@dataclass(kw_only=True, eq=False)
class Stepwise(Estimator):
    """An estimator with one answer a step."""

    def build(self, features: int, outputs: int) -> torch.nn.Module:
        encoder = self._encoder(features)
        head = torch.nn.Linear(encoder.output_size, outputs)
        return StepNetwork(torch.nn.Identity(), encoder, head, input_dropout=self.input_dropout, dropout=self.dropout)


def _plain(value: Any) -> Any:
    """A copy of a parameter; NumPy's numbers, as searches give them, as Python's."""
    return value.item() if isinstance(value, np.generic) else copy.deepcopy(value)


def _choose(targets: Tensor | Ragged, numbers: np.ndarray) -> Tensor | Ragged:
    return targets.select(numbers) if isinstance(targets, Ragged) else targets[torch.from_numpy(numbers)]


def _scaled(sequences: Ragged, scaling: Scaling) -> Ragged:
    return Ragged(scaling.apply(sequences.values), sequences.lengths)
