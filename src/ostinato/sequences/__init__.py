"""Labelled sequences of any kind and of any length: classes, numbers, labels of every step, texts.

from ostinato.sequences import SequenceClassifier, read_pair

train, test = read_pair("JapaneseVowels")
model = SequenceClassifier().fit(train.sequences, train.labels)
print(model.score(test.sequences, test.labels))

Padding is never computed: sequences are sorted into batches of like length and packed.
"""

from ..errors import InputError
from .archive import read_pair, read_ts
from .arrays import read_arrays
from .batches import Batches
from .classifier import SequenceClassifier
from .dataset import Labelled
from .folder import load
from .frames import read_frame
from .network import Encoder, Network, StepNetwork
from .ragged import Ragged
from .regressor import SequenceRegressor
from .tagger import SequenceTagger
from .training import Epoch, Settings, Training, train
from .transcriber import SequenceTranscriber

__all__ = [
    "Batches",
    "Encoder",
    "Epoch",
    "InputError",
    "Labelled",
    "Network",
    "Ragged",
    "SequenceClassifier",
    "SequenceRegressor",
    "SequenceTagger",
    "SequenceTranscriber",
    "Settings",
    "StepNetwork",
    "Training",
    "load",
    "read_arrays",
    "read_frame",
    "read_pair",
    "read_ts",
    "train",
]
