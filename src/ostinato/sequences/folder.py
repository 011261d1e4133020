"""A fitted estimator on disk. All of it is data; none is code to run.

sequences.json       the estimator, its parameters, classes and scaling, the training history
weights.safetensors  the network's weights
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ..errors import InputError
from ..report.folder import Kind, damaged, read, staged, write
from .classifier import SequenceClassifier
from .estimator import Estimator
from .regressor import SequenceRegressor
from .scaling import Scaling
from .tagger import SequenceTagger
from .training import Epoch, Training
from .transcriber import SequenceTranscriber

WEIGHTS = "weights.safetensors"
MODEL = Kind("fitted estimator", "sequences.json", "ostinato.sequences", 1, "fit, and save")
ESTIMATORS: dict[str, type[Estimator]] = {
    made.__name__: made for made in (SequenceClassifier, SequenceRegressor, SequenceTagger, SequenceTranscriber)
}


def save(estimator: Estimator, folder: Path, overwrite: bool = False) -> None:
    """Write a fitted estimator.

    Raises:
        InputError: the folder exists, or cannot be written.
    """
    from safetensors.torch import save_file

    estimator.check_fitted()
    if folder.exists() and not overwrite:
        raise InputError(f"{folder} exists already; choose another folder, or give overwrite=True")
    with staged(folder, MODEL, overwrite) as staging:
        content = {
            "format": MODEL.format,
            "version": MODEL.version,
            "estimator": type(estimator).__name__,
            "parameters": estimator.fitted_params(),
            "fitted": estimator.fitted(),
            "scaling": estimator.scaling_,
            "training": estimator.training_,
        }
        write(staging / MODEL.file, content)
        weights = {name: weight.contiguous() for name, weight in estimator.network_.state_dict().items()}
        save_file(weights, staging / WEIGHTS)


def load(folder: str | Path) -> Estimator:
    """Read a fitted estimator of any class.

    Raises:
        InputError: the folder is none of an estimator, is damaged, or of another version.
    """
    folder = Path(folder)
    content = read(folder, MODEL)
    try:
        estimator = ESTIMATORS[content["estimator"]](**content["parameters"])
        scaling = Scaling.from_json(content["scaling"])
        training = _training(content["training"])
        outputs = estimator.restore(content["fitted"])
        network = estimator.build(len(scaling.mean), outputs)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise damaged(folder / MODEL.file, error, MODEL) from None
    _load_weights(network, folder)
    estimator.take(network, scaling, training)
    return estimator


def _training(content: dict[str, Any]) -> Training:
    return Training(tuple(Epoch(**one) for one in content["history"]), int(content["best"]), float(content["seconds"]))


def _load_weights(network: torch.nn.Module, folder: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder / WEIGHTS
    if not path.is_file():
        raise InputError(f"{folder} is damaged: {WEIGHTS} is missing; fit again, and save")
    try:
        network.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError, OSError) as error:
        raise damaged(path, error, MODEL) from None
    network.eval()
