"""Which backend Keras runs on, where nobody has chosen one."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

#: What Keras writes into its configuration file by itself, on its first import: no sign that anybody chose it.
KERAS_DEFAULT = "tensorflow"


def chosen_backend() -> str | None:
    """The backend that somebody chose for Keras before this import, or None.

    It is chosen by importing keras, by the environment variable KERAS_BACKEND, or by `keras.json` in `~/.keras` (or
    in KERAS_HOME) naming another backend than tensorflow. Keras itself writes "tensorflow" there when the file is
    missing, so that this name says nothing; whoever wants it sets KERAS_BACKEND=tensorflow.
    """
    if "keras" in sys.modules:
        return str(sys.modules["keras"].backend.backend())
    if named := os.environ.get("KERAS_BACKEND"):
        return named
    home = os.environ.get("KERAS_HOME") or Path.home() / ".keras"
    try:
        configured = json.loads((Path(home) / "keras.json").read_text()).get("backend")
    except (OSError, ValueError):  # Keras, too, goes on without a file that is missing or broken
        return None
    return None if configured in (None, KERAS_DEFAULT) else str(configured)


def select_backend() -> None:
    """Have Keras run on torch if nobody has chosen another backend; to be called before keras is imported."""
    if chosen_backend() is None:
        os.environ["KERAS_BACKEND"] = "torch"
