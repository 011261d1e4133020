"""What a person gets to read of a classification: numbers, pictures and one page."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..report.folder import write
from ..report.page import Grid, Part, page, png
from ..sequences.training import Training
from .account import NETWORK, Account, Score, explained, percent
from .regression import Fit, Regression

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METRICS, PREDICTIONS, PAGE = "metrics.json", "predictions.csv", "report.html"
#: Characters of a text that a table has room for.
SHOWN = 400


@dataclass(frozen=True)
class Story:
    """An account and what it is of.

    Attributes:
        title: of the page.
        sentences: what was done, in the order of reading.
        account: of the network beside what needs none.
        training: of the network.
        shown: for each test row what stands for it in a table.
        what: the rows are: "texts", "sequences".
    """

    title: str
    sentences: Sequence[str]
    account: Account
    training: Training
    shown: Callable[[int], str]
    what: str


def write_story(story: Story, folder: Path) -> None:
    """Write `metrics.json`, the pictures as PNG, light and dark, and `report.html` into a folder that exists."""
    found = story.account
    write(
        folder / METRICS,
        {
            "verdict": found.verdict,
            "classes": found.classes,
            "test": found.count,
            "scores": found.scores,
            "against": found.against,
            "confusion": found.confusion,
            "calibration": found.calibration,
            "mistakes": found.mistakes,
            "training": story.training,
        },
    )
    pictures = _pictures(story, folder)
    parts: list[Part | Grid] = [_scores(found), pictures["confusion"], _classes(found), pictures["reliability"]]
    if found.mistakes:
        parts.append(_mistakes(story))
    parts.append(pictures["training"])
    judged = found.scores[-1].name
    against = [f"{explained(one, judged, name, story.what)}." for name, one in found.against.items()]
    sentences = [found.verdict, *against, *story.sentences]
    (folder / PAGE).write_text(page(story.title, sentences, parts), encoding="utf-8")


def _pictures(story: Story, folder: Path) -> dict[str, Part]:
    """The sections with a picture, by name; also written as files."""
    from . import figures  # matplotlib takes a while to import

    found = story.account
    kind = "labels" if found.several else "classes"
    drawn: dict[str, tuple[str, str, Callable[..., Figure]]] = {
        "confusion": (
            f"What is taken for what: the {kind}",
            "Numbers are test rows; the colour is their share of the true class."
            if not found.several
            else "Of each label: test rows that have it and got it, that have it and did not, and that got it wrongly.",
            lambda **given: figures.draw_confusion(found, **given),
        ),
        "reliability": (
            "Whether probabilities hold",
            "Of predictions made with a confidence of 80%, 80% should be right: then the bars end on the dashed line.",
            lambda **given: figures.draw_reliability(found.calibration, **given),
        ),
        "training": (
            "Training",
            "Where the loss of the validation part rises again, the network begins to learn its texts by heart."
            if story.what == "texts"
            else "Where the loss of the validation part rises again, the network begins to learn by heart.",
            lambda **given: figures.draw_training(story.training, **given),
        ),
    }
    return _drawn(drawn, folder)


def _drawn(drawn: Mapping[str, tuple[str, str, Callable[..., Figure]]], folder: Path) -> dict[str, Part]:
    parts: dict[str, Part] = {}
    for name, (title, caption, draw) in drawn.items():
        light, dark = png(draw()), png(draw(dark=True))
        (folder / f"{name}.png").write_bytes(light)
        (folder / f"{name}-dark.png").write_bytes(dark)
        parts[name] = (title, caption, light, dark)
    return parts


def score_cells(score: Score) -> list[str]:
    """accuracy, its interval, macro F1, calibration error: for people."""
    return [
        percent(score.accuracy),
        f"{100 * score.low:.1f} to {percent(score.high)}",
        f"{score.macro_f1:.3f}",
        f"{100 * score.calibration_error:.1f}",
    ]


SCORE_COLUMNS = ("accuracy", "95% CI", "macro F1", "calibration error")


@dataclass(frozen=True)
class RegressionStory:
    """An account of numbers and what it is of; see `Story`."""

    title: str
    sentences: Sequence[str]
    account: Regression
    training: Training


FIT_COLUMNS = ("RMSE", "MAE", "R2", "the network against it", "95% CI")


def fit_cells(fit: Fit) -> list[str]:
    """Those of `FIT_COLUMNS`, for people."""
    against = ["", ""]
    if fit.name != NETWORK:
        interval = f"{100 * fit.low:+.1f} to {100 * fit.high:+.1f}%"
        against = [f"{100 * fit.skill:+.1f}%", interval if math.isfinite(fit.low) else "–"]
    return [f"{fit.rmse:.4g}", f"{fit.mae:.4g}", f"{fit.r2:.3f}", *against]


def write_regression(story: RegressionStory, folder: Path) -> None:
    """As `write_story`, of numbers."""
    from . import figures

    found = story.account
    write(folder / METRICS, {"verdict": found.verdict, "scores": found.scores, "training": story.training})
    rows = [[fit.name, *fit_cells(fit)] for fit in found.scores]
    caption = f"On {len(found.true):,} test rows. The last columns: how much less RMSE the network has."
    parts: list[Part | Grid] = [Grid("Scores", caption, ("", *FIT_COLUMNS), rows, (1, 2, 3, 4, 5), len(rows) - 1)]
    drawn: dict[str, tuple[str, str, Callable[..., Figure]]] = {
        "predictions": (
            "Predictions",
            "A point for each test row; on the line they would be right.",
            lambda **given: figures.draw_predictions(found, **given),
        ),
        "training": (
            "Training",
            "Where the loss of the validation part rises again, the network begins to learn by heart.",
            lambda **given: figures.draw_training(story.training, "mean squared error, standardised", **given),
        ),
    }
    parts += _drawn(drawn, folder).values()
    (folder / PAGE).write_text(page(story.title, [found.verdict, *story.sentences], parts), encoding="utf-8")


def _scores(found: Account) -> Grid:
    rows = [[score.name, *score_cells(score)] for score in found.scores]
    caption = (
        f"On {found.count:,} test rows, none of which took part in training or in any choice. Calibration error: how "
        "far confidence and accuracy lie apart, in points."
    )
    if found.several:
        caption += " A row counts as right where all its labels are."
    columns = ("", *SCORE_COLUMNS)
    return Grid("Scores", caption, columns, rows, (1, 2, 3, 4), len(found.scores) - 1)


def _classes(found: Account) -> Grid:
    """Precision and recall of each class."""
    rows = []
    for number, name in enumerate(found.classes):
        if found.several:
            _, wrongly, missed, right = (int(count) for count in found.confusion[number])
        else:
            right = int(found.confusion[number, number])
            missed = int(found.confusion[number].sum()) - right
            wrongly = int(found.confusion[:, number].sum()) - right
        precision, recall = (percent(right / all_) if all_ else "–" for all_ in (right + wrongly, right + missed))
        rows.append([name, f"{right + missed:,}", precision, recall])
    caption = (
        "Precision: of the rows that got it, those that have it. Recall: of the rows that have it, those that got it."
    )
    return Grid("Class by class", caption, ("class", "test rows", "precision", "recall"), rows, (1, 2, 3))


def _mistakes(story: Story) -> Grid:
    rows = [[one.true, one.predicted, percent(one.probability), story.shown(one.row)] for one in story.account.mistakes]
    caption = f"The test {story.what} that the network is surest of, and wrong about."
    return Grid("Most wrong", caption, ("true", "predicted", "confidence", story.what[:-1]), rows, (2,))


def shown(text: str) -> str:
    """A text as a table has room for: its beginning and its end."""
    flat = " ".join(text.split())
    return flat if len(flat) <= SHOWN else f"{flat[: SHOWN // 2]} … {flat[-SHOWN // 2 :]}"
