"""The recorder as a Keras callback."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from ..keras.seen import Guest
from .curves import LearningCurves, learning_curves
from .recording import Recorder, Snapshot

#: Where a model keeps what its trainings have opened, each with what Keras tells all callbacks of that training.
_OPENED = "_opened_by_record"


class Record(Guest):
    """Records gradient flow, gates and learning curves during `fit` of a Keras model on torch.

    record = Record(every=100)
    model.fit(x, y, callbacks=[record])
    record.snapshots, record.curves

    What a recorded batch costs is said at `Recorder`; the others cost two empty hooks a layer.

    Args:
        every: batches from one that is recorded to the next; the first is.
        rows: of the batch whose gates are looked at; 0 is none.

    Attributes:
        snapshots: one for each recorded batch.
    """

    def __init__(self, every: int = 100, rows: int = 8) -> None:
        super().__init__()
        self.snapshots: list[Snapshot] = []
        self._every, self._rows = every, rows
        self._recorder: Recorder | None = None
        self._training = ExitStack()
        self._history: dict[str, list[float]] = {}

    @property
    def curves(self) -> LearningCurves:
        """What the epochs so far came to.

        Raises:
            InputError: there were none.
        """
        return learning_curves({self.model.name: self._history})

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self._training.close()
        model: Any = self.model
        opened = vars(model).setdefault(_OPENED, [])
        for training, told in list(opened):
            if told is not self.params:  # another training, which was interrupted
                training.close()
        self._recorder = self._training.enter_context(Recorder(model, self._every, self._rows))
        self.snapshots = self._recorder.snapshots
        self._history = {}
        opened.append((self._training, self.params))
        self._training.callback(opened.remove, opened[-1])

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        assert self._recorder is not None
        self._recorder.collect()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        for name, value in (logs or {}).items():
            self._history.setdefault(name, []).append(float(value))

    def leave(self) -> None:
        self._training.close()
