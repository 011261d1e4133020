"""Faults in training, named: a loss or gradient that is not finite, and units that have stopped to learn.

What `ostinato.keras.callbacks.Faults` and `ostinato.nn.watch_faults` share. It works on torch tensors.
"""

from .fault import TrainingFault
from .hints import Hints, Seen, Share
from .watch import Watch

__all__ = ["Hints", "Seen", "Share", "TrainingFault", "Watch"]
