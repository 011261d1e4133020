"""Tests of the cells' vocabulary: activations, functions, declarations."""
