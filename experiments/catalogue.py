"""Every experiment, by the name it has on the command line."""

from __future__ import annotations

from .adding import ADDING
from .clockwork import CLOCKWORK
from .copy_memory import COPY_MEMORY
from .cures import CURES_OF_CELLS
from .experiment import Experiment
from .mackey_glass import MACKEY_GLASS
from .narma import NARMA

EXPERIMENTS: dict[str, Experiment] = {
    "narma": NARMA,
    "mackey_glass": MACKEY_GLASS,
    "adding": ADDING,
    "clockwork": CLOCKWORK,
    "copy_memory": COPY_MEMORY,
    "cures": CURES_OF_CELLS,
}
