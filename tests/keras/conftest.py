"""Keras as an oracle in double precision."""

import pytest

import ostinato.keras  # noqa: F401  selects the backend, so it comes before keras


@pytest.fixture
def exact_keras(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keras multiplies float64 matrices in float32, as JAX does by default; an oracle must not."""
    from keras.src.backend.common import dtypes

    monkeypatch.setattr(dtypes, "BIT64_TO_BIT32_DTYPE", {})
