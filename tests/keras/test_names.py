"""`ostinato.keras` under the names that programs use, and the backend that importing it selects."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import keras
import pytest

import ostinato.keras
from ostinato.keras.selection import chosen_backend

OURS = ("Bidirectional", "Dropout", "GRU", "LSTM", "SimpleRNN")

IMPORTS = """
from ostinato import keras as package
from ostinato.keras import Input, Model, Sequential, backend, layers, ops, random
from ostinato.keras.callbacks import EarlyStopping, ModelCheckpoint
from ostinato.keras.constraints import MaxNorm
from ostinato.keras.datasets import imdb, mnist
from ostinato.keras.initializers import GlorotUniform
from ostinato.keras.layers import GRU, LSTM, Bidirectional, Dense, Dropout, Embedding, SimpleRNN, TimeDistributed
from ostinato.keras.losses import MeanSquaredError
from ostinato.keras.metrics import RootMeanSquaredError
from ostinato.keras.models import Sequential as AlsoSequential, load_model
from ostinato.keras.optimizers import Adam
from ostinato.keras.optimizers.schedules import ExponentialDecay
from ostinato.keras.preprocessing import sequence
from ostinato.keras.preprocessing.sequence import TimeseriesGenerator, pad_sequences
from ostinato.keras.preprocessing.text import Tokenizer
from ostinato.keras.regularizers import l2
from ostinato.keras.saving import register_keras_serializable
from ostinato.keras.utils import plot_model, to_categorical
import ostinato.keras.models as models
import ostinato.keras.backend as K
"""


def run(program: str, home: Path, **environment: str) -> str:
    """What a fresh interpreter prints, in which nobody has chosen a backend but `environment` and `home`/keras.json."""
    clean = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True, text=True, timeout=120, check=False,
        env={**clean, "KERAS_HOME": str(home), **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_names_of_tutorials_where_nobody_has_chosen_a_backend(tmp_path: Path) -> None:
    check = """
import keras
assert AlsoSequential is Sequential is models.Sequential and issubclass(Sequential, keras.Sequential)
assert models.clone_model is keras.models.clone_model
assert issubclass(LSTM, keras.layers.LSTM) and LSTM is not keras.layers.LSTM
print(K.backend())
"""
    assert run(IMPORTS + check, tmp_path) == "torch"
    # On its first import Keras has written its configuration file, which names tensorflow though nobody chose it.
    assert '"backend": "tensorflow"' in (tmp_path / "keras.json").read_text()


def hands_on(ours: object, theirs: object) -> bool:
    """Whether a module of this library has every name of Keras' module, and the same behind each."""
    public = [name for name in dir(theirs) if not name.startswith("_")]
    return isinstance(ours, ModuleType) and all(getattr(ours, name) is getattr(theirs, name) for name in public)


def test_every_name_of_keras_is_there() -> None:
    for name in dir(keras):
        if not name.startswith("_") and name not in ("layers", "models", "preprocessing", "Sequential"):
            ours, theirs = getattr(ostinato.keras, name), getattr(keras, name)
            assert ours is theirs or hands_on(ours, theirs), name
    for name in dir(keras.models):
        if not name.startswith("_") and name != "Sequential":
            assert getattr(ostinato.keras.models, name) is getattr(keras.models, name)
    for name in dir(keras.layers):
        if not name.startswith("_"):
            same = getattr(ostinato.keras.layers, name) is getattr(keras.layers, name)
            assert same == (name not in OURS), name
    assert set(dir(keras.layers)) - set(dir(ostinato.keras.layers)) <= {n for n in dir(keras.layers) if n[0] == "_"}


def test_a_star_import_hands_on_our_layers() -> None:
    found: dict[str, object] = {}
    exec("from ostinato.keras.layers import *", found)
    assert found["LSTM"] is ostinato.keras.layers.LSTM
    assert found["Dense"] is keras.layers.Dense


def test_our_layers_are_layers_of_keras() -> None:
    for name in OURS:
        ours = getattr(ostinato.keras.layers, name)
        assert ours.__name__ == name
        assert issubclass(ours, getattr(keras.layers, name))


@pytest.mark.parametrize("where", [ostinato.keras, ostinato.keras.layers, ostinato.keras.models])
def test_a_name_that_nobody_has(where: object) -> None:
    with pytest.raises(AttributeError, match="ElmanNetwork"):
        _ = where.ElmanNetwork


#: The module alone, without its package's import of Keras.
SELECTION = f"""
import runpy
found = runpy.run_path({str(Path(ostinato.keras.__file__).with_name("selection.py"))!r})
found["select_backend"]()
print(found["chosen_backend"]())
"""


def test_a_chosen_backend_is_kept(tmp_path: Path) -> None:
    assert run(SELECTION, tmp_path, KERAS_BACKEND="jax") == "jax"
    (tmp_path / "keras.json").write_text('{"backend": "jax"}')
    assert run(SELECTION, tmp_path) == "jax"
    assert run(SELECTION, tmp_path, KERAS_BACKEND="torch") == "torch"


@pytest.mark.parametrize("silent", ['{"backend": "tensorflow"}', "{}", "not JSON", None])
def test_torch_where_the_configuration_says_nothing(tmp_path: Path, silent: str | None) -> None:
    if silent is not None:
        (tmp_path / "keras.json").write_text(silent)
    assert run(SELECTION, tmp_path) == "torch"


def test_keras_imported_first_has_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert chosen_backend() == keras.backend.backend() == "torch"


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="Keras' backend for jax needs jax")
def test_another_backend_runs_keras_own_loop(tmp_path: Path) -> None:
    program = """
import numpy as np
import ostinato.keras as k
x = np.random.randn(4, 6, 3).astype("float32")
model = k.Sequential([
    k.Input((6, 3)), k.layers.Masking(),
    k.layers.Bidirectional(k.layers.LSTM(4, return_sequences=True)),
    k.layers.GRU(4, return_sequences=True), k.layers.SimpleRNN(3), k.layers.Dense(1),
])
model.compile("adam", "mse")
model.fit(x, np.ones((4, 1)), verbose=0)
print(k.explain(k.layers.GRU(3, name="memory"), x))
"""
    said = run(program, tmp_path, KERAS_BACKEND="jax")
    assert said == "memory runs Keras' own loop: Keras runs on jax; set KERAS_BACKEND=torch for the kernels."
