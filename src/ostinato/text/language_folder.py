"""A language model on disk. All of it data; none is code to run.

config.json          settings, and what the model was trained on
model.safetensors    the network's weights
vocabulary.json      words or characters; tokenizer.json: subwords, as the library tokenizers writes them
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ..errors import InputError
from ..report import folder as folders
from ..report.folder import Kind, damaged, read, write
from .language_network import LanguageNetwork
from .language_settings import LanguageSettings
from .units import Pieces, Units, Vocabulary

MODEL, CONFIG = "model.safetensors", "config.json"
RUN = Kind("language model", CONFIG, "ostinato.language", 1, "ostinato write")


def staged(folder: Path, overwrite: bool = False) -> AbstractContextManager[Path]:
    """See `report.folder.staged`."""
    return folders.staged(folder, RUN, overwrite)


def save(
    folder: Path,
    settings: LanguageSettings,
    vocabulary: Units,
    network: LanguageNetwork,
    about: Mapping[str, Any] | None = None,
) -> None:
    """Write a model into an existing folder.

    Args:
        about: further entries of config.json.
    """
    config = {"format": RUN.format, "version": RUN.version, "settings": asdict(settings), **(about or {})}
    write(folder / CONFIG, config)
    vocabulary.save(folder)
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, folder / MODEL)


def load(folder: Path) -> tuple[LanguageSettings, Units, LanguageNetwork]:
    """Read a model.

    Raises:
        InputError: the folder is none of a language model, is damaged, or of another version.
    """
    config = read(folder, RUN)
    try:
        settings = LanguageSettings(**config["settings"])
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(folder / CONFIG, error, RUN) from None
    kind: type[Pieces] | type[Vocabulary] = Pieces if settings.unit == "subword" else Vocabulary
    for name in (kind.file, MODEL):
        if not (folder / name).is_file():
            raise InputError(f"{folder} is damaged: {name} is missing; train again with {RUN.command}")
    try:
        vocabulary = kind.load(folder)
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise damaged(folder / kind.file, error, RUN) from None
    network = LanguageNetwork(len(vocabulary), settings)
    try:
        network.load_state_dict(load_file(folder / MODEL))
    except (OSError, RuntimeError, SafetensorError) as error:
        raise damaged(folder / MODEL, error, RUN) from None
    network.eval()
    return settings, vocabulary, network
