"""Settings out of range, each named; presets."""

from __future__ import annotations

from typing import Any

import pytest

from ostinato.forecast import InputError, Settings, preset


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("window", 0), ("window", -3), ("horizon", 0), ("units", -1), ("layers", 0), ("epochs", -5), ("patience", 0),
        ("batch_size", 0), ("season", 0), ("dropout", 1.0), ("dropout", -0.1), ("dropout", float("nan")),
        ("learning_rate", 0.0), ("learning_rate", float("nan")), ("learning_rate", float("inf")), ("seed", -1),
        ("test_size", 0), ("test_size", -0.5), ("test_size", 2.5), ("test_size", float("nan")), ("validation_size", -1),
        ("cell", "lstmm"), ("scaling", "log"), ("units", 2.5),
    ],
)  # fmt: skip
def test_out_of_range(setting: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"--{setting.replace('_', '-')} is "):
        preset("default", **{setting: value})


def test_the_tutorial_is_the_tutorial() -> None:
    tutorial = preset("tutorial")
    assert (tutorial.window, tutorial.layers, tutorial.units, tutorial.dropout) == (40, 4, 45, 0.2)
    assert (tutorial.scaling, tutorial.epochs, tutorial.batch_size, tutorial.validation_size) == ("minmax", 100, 32, 0)


def test_logarithms_of_levels_are_refused() -> None:
    with pytest.raises(InputError, match="--log is for --scaling steps"):
        preset("tutorial", log=True)
    assert preset("tutorial", log=False).log is False


def test_flags_change_a_preset() -> None:
    assert preset("tutorial", epochs=3, window=None).epochs == 3
    assert preset("tutorial", window=None).window == 40
    assert preset("default") == Settings()


def test_unknown_preset_and_setting() -> None:
    with pytest.raises(InputError, match="--preset is 'best'; expected default or tutorial"):
        preset("best")
    with pytest.raises(InputError, match="no setting widow"):
        preset("default", widow=3)
