"""Endless series, cut for truncated backpropagation through time with carried state.

`Streams` plans the batches and makes them of NumPy arrays; `ostinato.keras.SeriesDataset` hands them to `fit`,
`ostinato.nn.SeriesBatches` to a loop in PyTorch.
"""

from .source import Source, open_source
from .streams import Batch, Streams

__all__ = ["Batch", "Source", "Streams", "open_source"]
