"""Ostinato: recurrent neural networks that are fast whatever the cell."""

__version__ = "0.1.0"
