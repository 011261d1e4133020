"""Sequences that are quick to learn."""

from __future__ import annotations

import numpy as np
import pytest

Sequences = tuple[list[np.ndarray], np.ndarray]


@pytest.fixture(scope="session")
def waves() -> Sequences:
    """Slow and fast waves of 8 to 20 steps, with a feature of noise; labels "slow" and "fast"."""
    rng = np.random.default_rng(0)
    labels = np.array(["slow", "fast"])[rng.integers(0, 2, 60)]
    made = []
    for label in labels:
        steps = np.arange(rng.integers(8, 21))
        wave = np.sin(steps * (0.3 if label == "slow" else 1.2) + rng.uniform(0, 6))
        made.append(np.stack([5 + 3 * wave, rng.normal(size=len(steps))], axis=1))
    return made, labels
