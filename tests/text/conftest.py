"""Small texts to classify."""

from __future__ import annotations

import pytest

from ostinato.text.made import made_reviews
from ostinato.text.table import Table


@pytest.fixture(scope="session")
def reviews() -> Table:
    """Few of the made-up reviews."""
    return made_reviews(240)


@pytest.fixture
def small() -> dict[str, object]:
    """Settings of a network that trains in a moment."""
    return {"vocabulary": 400, "embedding": 8, "units": 8, "epochs": 2, "batch_size": 32}
