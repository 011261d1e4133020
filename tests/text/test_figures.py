"""The pictures of an account, where they are easily poor."""

from __future__ import annotations

import numpy as np
import pytest

from ostinato.sequences.metrics import Calibration, calibration
from ostinato.text import figures
from ostinato.text.account import MAJORITY, NETWORK, account


def perfect(classes: int, count: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Classes, and probabilities that are sure of them."""
    true = np.arange(count) % classes
    found = np.full((count, classes), 1e-6)
    found[np.arange(count), true] = 1 - 1e-6 * (classes - 1)
    return true, found


@pytest.mark.parametrize("classes", [2, 5])
def test_the_scale_of_a_perfect_classifier_shows_what_confidence_could_have_been(classes: int) -> None:
    true, found = perfect(classes)
    upper, lower = figures.draw_reliability(_calibration(true, found)).axes
    for panel in (upper, lower):
        low, high = panel.get_xlim()
        assert low <= 0.5
        assert high == 1
    assert all(not line.get_clip_on() for line in upper.lines[1:])


def test_the_scale_goes_down_to_the_least_confidence() -> None:
    rng = np.random.default_rng(0)
    found = rng.dirichlet(np.full(8, 5.0), 200)
    upper, _ = figures.draw_reliability(_calibration(rng.integers(0, 8, 200), found)).axes
    assert upper.get_xlim()[0] <= found.max(1).min()


def _calibration(true: np.ndarray, found: np.ndarray) -> Calibration:
    return calibration(true, found, np.arange(found.shape[1]))


def test_dollars_in_a_class_are_no_mathematics() -> None:
    true, found = perfect(2)
    made = account(true, {MAJORITY: found, NETWORK: found}, ["$10-$20", r"$\frac$"], False)
    figures.draw_confusion(made).canvas.draw()


@pytest.mark.parametrize("size", [(1200, 700), (700, 450)])
@pytest.mark.parametrize("classes", [2, 9])
def test_the_confusion_and_its_scale_stand_beside_each_other_in_the_middle(classes: int, size: tuple[int, int]) -> None:
    true, found = perfect(classes)
    made = account(true, {MAJORITY: found, NETWORK: found}, [f"class {k}" for k in range(classes)], False)
    picture = figures.draw_confusion(made, size=size)
    picture.canvas.draw()
    square, scale = (panel.get_position() for panel in picture.axes)
    assert 0 < scale.x0 - square.x1 < 0.05
    boxes = [panel.get_tightbbox() for panel in picture.axes]
    left, right = min(box.x0 for box in boxes if box), size[0] - max(box.x1 for box in boxes if box)
    assert left > 0
    assert right > 0
    assert abs(left - right) < 0.1 * size[0]
