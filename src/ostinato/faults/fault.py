"""The error that stops a training."""

from __future__ import annotations


class TrainingFault(RuntimeError):  # noqa: N818  what it is, as the word is used for machines
    """A loss or a gradient is not finite; the sentence says where it began.

    Attributes:
        epoch: counted from 1.
        batch: counted from 1 in its epoch.
        place: the input, layer or parameter that is the first one not to be finite; "loss" where all of them are.
        largest: the name and norm of the largest gradient of the step before; None in the first step.
    """

    def __init__(self, sentence: str, epoch: int, batch: int, place: str, largest: tuple[str, float] | None) -> None:
        super().__init__(sentence)
        self.epoch = epoch
        self.batch = batch
        self.place = place
        self.largest = largest

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return type(self), (str(self), self.epoch, self.batch, self.place, self.largest)
