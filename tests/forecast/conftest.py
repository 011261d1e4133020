"""Small series to forecast."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ostinato.forecast import Settings


@pytest.fixture
def wave() -> pd.DataFrame:
    """160 days of a sine of 16 days with little noise, as `value`; `other` is it squared."""
    noise = np.random.default_rng(1).normal(size=160)
    value = 10 + np.sin(2 * np.pi * np.arange(160) / 16) + 0.02 * noise
    return pd.DataFrame({"date": pd.date_range("2020-01-01", periods=160), "value": value, "other": value**2})


@pytest.fixture
def small() -> Settings:
    """A network that trains in a moment."""
    return Settings(window=8, units=4, epochs=2)
