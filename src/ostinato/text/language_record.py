"""A run of a language model on disk: the model, and what it was worth.

config.json, model.safetensors, vocabulary.json or tokenizer.json: see `language_folder`
metrics.json    perplexity and bits per character, beside those of n-grams; the training's history
learning.png    the same as a picture
sample.txt      what it writes
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from ..report.folder import write
from . import language_folder
from .language_plot import draw
from .language_run import TEMPERATURE, TOP_P, Written

METRICS, PLOT, SAMPLE = "metrics.json", "learning.png", "sample.txt"


def save(written: Written, folder: Path) -> None:
    """Write a run into an existing folder."""
    model = written.model
    assert model.vocabulary is not None and model.network is not None and model.training is not None
    about = {"source": written.corpus.source, "sample": {"temperature": TEMPERATURE, "top_p": TOP_P}}
    language_folder.save(folder, model.settings, model.vocabulary, model.network, about)
    write(
        folder / METRICS,
        {
            "verdict": written.verdict,
            "test": asdict(written.surprise),
            "baselines": {one.name: asdict(one.surprise) for one in written.rivals},
            "split": {"characters": written.characters, "units": written.units},
            "training": asdict(model.training),
            "parameters": sum(weight.numel() for weight in model.network.parameters()),
        },
    )
    (folder / SAMPLE).write_text(written.sample + "\n", encoding="utf-8")
    draw(written, folder / PLOT)
