"""Which backends the tests of this folder judge."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(params=["cpu", "reference"])
def backend(request: pytest.FixtureRequest) -> str:
    """Each backend in turn: for what both must obey."""
    return str(request.param)


@pytest.fixture
def engine() -> str:
    """The compiled backend: for what only it promises. Asked for by name it raises where it cannot serve."""
    return "cpu"


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """One thread, unless a test asks for more: many small products on several are slow wherever cores are shared."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def poisoned() -> Iterator[None]:
    """Fresh memory holds NaN, so that a result read before it was written shows."""
    torch.use_deterministic_algorithms(True)
    assert torch.utils.deterministic.fill_uninitialized_memory
    assert torch.empty(3).isnan().all()
    yield
    torch.use_deterministic_algorithms(False)
