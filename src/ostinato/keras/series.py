"""The batches of `Streams` as a Keras data set that carries the states of a stateful model."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import torch

from ..series import Streams
from .loop import ON_TORCH


class SeriesDataset(keras.utils.PyDataset):  # type: ignore[misc]
    """Long series for `fit`, `evaluate` and `predict` of a model whose recurrent layers are `stateful`.

    A batch is x (B, k, F), y (B, k, G) and the sample weights (B, k), which are 0 behind the end of a series. When
    Keras asks for a batch, the states of the rows that do not continue the batch before are set to zero: of all rows
    in the first batch of an epoch, of an evaluation and of a prediction, of one row where another series begins in it.

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
        stateful = [one for one in model._flatten_layers() if getattr(one, "stateful", False)]
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
        self._carry(carry)
        self._last = number
        return x, y, mask.astype("float32")

    @torch.no_grad()
    def _carry(self, carry: np.ndarray) -> None:
        """Set the states of the rows that do not go on to zero."""
        if carry.all():
            return
        done = set()
        for layer in self._model._flatten_layers():
            for state in (getattr(layer, "stateful", False) and keras.tree.flatten(layer.states)) or ():
                # None before the layer is built
                if state is not None and id(state) not in done:
                    done.add(id(state))
                    goes_on = torch.from_numpy(carry).to(state.value.device)[:, None] != 0
                    if state.shape[0] != len(carry):
                        raise ValueError(
                            f"layer {layer.name!r} carries {state.shape[0]} rows and the batches have {len(carry)}; "
                            f"build the model with batch_size={len(carry)}"
                        )
                    # a product would keep a state that is not finite
                    state.assign(torch.where(goes_on, state.value, 0))
