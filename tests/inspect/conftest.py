"""One thread: these tests run many small products, which are slow on several threads wherever cores are shared."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

import ostinato.keras  # noqa: F401  selects the backend, so it comes before keras


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
