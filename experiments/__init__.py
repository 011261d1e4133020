"""Experiments of the literature that a reader can repeat: `python -m experiments adding`.

Each file is one experiment: its data, what it measures, its tables and its picture. The numbers in
docs/experiments.md come from docs/experiments/*.json, which these commands write.
"""
