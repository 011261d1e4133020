"""What every test stands on: one seed, Keras on torch, and the data that lie beside the project."""

from __future__ import annotations

import os
import random
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings

os.environ.setdefault("KERAS_BACKEND", "torch")
os.environ.setdefault("MPLBACKEND", "Agg")

# Nothing is asserted about time; fewer examples than usual, for each run draws others.
settings.register_profile("untimed", max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

PROJECT = Path(__file__).resolve().parents[1]


def pytest_configure(config: pytest.Config) -> None:
    """Cells of the tests' own are compiled into a folder of pytest's, not into the user's."""
    cache = getattr(config, "cache", None)  # `-p no:cacheprovider` takes it away
    os.environ["OSTINATO_CACHE"] = str(cache.mkdir("ostinato")) if cache else tempfile.mkdtemp(prefix="ostinato-")


@pytest.fixture(autouse=True)
def seed() -> None:
    """Every test starts from the same random state."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def project() -> Path:
    """The root of the checkout."""
    return PROJECT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The data sets that the project uses but does not ship."""
    folder = PROJECT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the shared data are not beside the project (../shared/data)")
    return folder
