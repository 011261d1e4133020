"""A pytest plugin that has Keras' own tests meet this library's layers (`-p`, with this folder on the path).

OSTINATO_SUBSTITUTE says which: `ours`, or `stock` (Keras' own, to count what passes without any change). The last line
but one of the report says how many scans ran.
"""

import os
from collections.abc import Iterator

import pytest

NAMES = ("LSTM", "GRU", "SimpleRNN", "Bidirectional")

scans = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "requires_trainable_backend: needs a backend that trains")
    config.stash[scans] = 0
    import ostinato.keras  # noqa: I001  selects the backend, so it comes before keras
    import keras.src.layers

    if os.environ["OSTINATO_SUBSTITUTE"] == "ours":
        for name in NAMES:
            setattr(keras.src.layers, name, getattr(ostinato.keras.layers, name))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    from ostinato.scan import watch

    with watch() as taken:
        yield
    item.config.stash[scans] += len(taken)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    terminalreporter.line(f"{config.stash[scans]} scans")
