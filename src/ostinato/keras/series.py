"""The batches of `Streams` as a Keras data set that carries the states of a stateful model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from weakref import WeakKeyDictionary, ref

import keras
import numpy as np
import torch

from ..series import Streams
from .loop import ON_TORCH

#: Whose states each stateful layer holds.
_holders: WeakKeyDictionary[Any, ref[SeriesDataset]] = WeakKeyDictionary()


class SeriesDataset(keras.utils.PyDataset):  # type: ignore[misc]
    """Long series for `fit`, `evaluate` and `predict` of a model whose recurrent layers are `stateful`.

    A batch is x (B, k, F), y (B, k, G) and the sample weights (B, k), which are 0 behind the end of a series. When
    Keras asks for a batch, the states of the rows that do not continue the batch before are set to zero: of all rows
    in the first batch of an epoch, of an evaluation and of a prediction, of one row where another series begins in it.

    Each data set has states of its own: training goes on with those that it left, whatever a validation has run since.

    Batches must be taken in order: pass `shuffle=False` to `fit`.

    Attributes:
        streams: the plan; `streams.restore` puts what `predict` returns into the order of the series.
    """

    def __init__(self, model: Any, *args: Any, **kwargs: Any) -> None:
        """The batches for a model of the batch size `batch`.

        Args:
            model: a Keras model; its stateful layers may be built later.
            args, kwargs: one `Streams`, or the arguments of one.

        Raises:
            ValueError: Keras does not run on torch, the model has no stateful layer, or one that runs backwards; and
                as `Streams`.
        """
        super().__init__()
        if not ON_TORCH:
            raise ValueError(
                f"SeriesDataset needs Keras on torch, which asks for a batch when the one before is done; "
                f"Keras runs on {keras.backend.backend()}"
            )
        given = len(args) == 1 and not kwargs and isinstance(args[0], Streams)
        self.streams: Streams = args[0] if given else Streams(*args, **kwargs)
        self._model = model
        self._last = -1
        self._kept: dict[Any, list[tuple[Any, torch.Tensor]]] = {}
        stateful = list(self._stateful())
        if not stateful:
            raise ValueError(
                f"model {model.name!r} has no stateful layer; make its recurrent layers with stateful=True"
            )
        backwards = [one.name for one in stateful if getattr(one, "go_backwards", False)]
        if backwards:
            raise ValueError(
                f"layer {backwards[0]!r} runs backwards; its state comes from later steps and cannot be carried"
            )

    def __len__(self) -> int:
        """The number of batches."""
        return len(self.streams)

    def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Batch `number`, the next one or the first; `streams[number]` is any, without an effect on the model.

        Raises:
            ValueError: it is another one.
        """
        if number not in (0, self._last + 1):
            raise ValueError(
                f"batch {number} was asked for after batch {self._last}, and its states are not there; "
                "pass shuffle=False to fit"
            )
        x, y, mask, carry = self.streams[number]
        self._take_over()
        self._carry(carry)
        self._last = number
        return x, y, mask.astype("float32")

    def _stateful(self) -> Iterator[Any]:
        """The stateful layers; one may hold others, and share its states with them."""
        return (layer for layer in self._model._flatten_layers() if getattr(layer, "stateful", False))

    @torch.no_grad()
    def _take_over(self) -> None:
        """Put this data set's states where another one has run since, and have the other keep its own."""
        for layer in self._stateful():
            holder = _holders.get(layer, ref(self))()
            if holder is not self:
                if holder is not None:
                    holder._kept[layer] = [(state, state.value.clone()) for state in _states(layer)]
                for state, value in self._kept.pop(layer, ()):
                    state.assign(value)
            _holders[layer] = ref(self)

    @torch.no_grad()
    def _carry(self, carry: np.ndarray) -> None:
        """Set the states of the rows that do not go on to zero."""
        if carry.all():
            return
        done = set()
        for layer in self._stateful():
            for state in _states(layer):
                if id(state) not in done:
                    done.add(id(state))
                    goes_on = torch.from_numpy(carry).to(state.value.device)[:, None] != 0
                    if state.shape[0] != len(carry):
                        raise ValueError(
                            f"layer {layer.name!r} carries {state.shape[0]} rows and the batches have {len(carry)}; "
                            f"build the model with batch_size={len(carry)}"
                        )
                    # a product would keep a state that is not finite
                    state.assign(torch.where(goes_on, state.value, 0))


def _states(layer: Any) -> list[Any]:
    """The variables of a layer's states; none before it is built."""
    return [state for state in keras.tree.flatten(layer.states) if state is not None]
