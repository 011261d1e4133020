"""The layers of all cells where Keras runs on another backend: there the equations themselves run, on its tensors."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from ostinato.cells import CELLS

from .gallery import BATCH, SAME, SPECIAL, STEPS, UNITS, outputs
from .pairs import MASKS

#: The packages that Keras needs for a backend; that of NumPy takes its Fourier transforms from JAX.
NEEDS = {"numpy": ("scipy", "jax"), "jax": ("jax",), "tensorflow": ("tensorflow",)}

#: What runs under the other backend: every layer of a file of configurations, on the weights and inputs beside it.
PROGRAM = """
import json, keras, numpy as np
import ostinato.keras
assert keras.backend.backend() != "torch"
given = np.load("given.npz")
found = {}
for name, config in json.load(open("layers.json")).items():
    layer = keras.saving.deserialize_keras_object(config)
    x = given[f"{name} x"]
    layer.build(x.shape)
    layer.set_weights([given[f"{name} {k}"] for k in range(len(layer.weights))])
    for k, one in enumerate(layer(x, mask=given["mask"])):
        found[f"{name} {k}"] = keras.ops.convert_to_numpy(one)
np.savez("found.npz", **found)
"""

TRAINING = """
import keras, numpy as np
from ostinato.cells import CELLS
from ostinato.keras import Sequential, layers
keras.utils.set_random_seed(1)
x = np.random.randn(16, 6, 4).astype("float32")
for layer in (
    layers.ZoneoutLSTM(4, return_sequences=True), layers.VariationalLSTM(4, per_step=False, dropout=0.2),
    layers.Clockwork(4, modules=2), layers.SLSTM(4, heads=2, stateful=False), layers.ProjectedLSTM(4, projection=2),
    layers.Bidirectional(layers.PeepholeLSTM(4)), layers.DepthGatedLSTM(4), layers.RGLRU(4),
):
    model = Sequential([keras.Input((6, 4)), keras.layers.Masking(), layer, keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.02), "mse")
    y = x[:, :, :1] if getattr(layer, "return_sequences", False) else x[:, -1, :1]
    if not isinstance(layer, layers.Bidirectional):
        assert type(layer).from_config(layer.get_config()).get_config() == layer.get_config()
    before = [np.array(weight) for weight in layer.get_weights()]
    loss = model.fit(x, y, epochs=4, verbose=0).history["loss"]
    assert loss[-1] < loss[0], (layer.name, loss)
    assert not any(np.array_equal(*pair) for pair in zip(before, layer.get_weights(), strict=True)), layer.name
    assert np.array_equal(model.predict(x, verbose=0), model.predict(x, verbose=0))

if keras.backend.backend() == "jax":
    try:
        layers.PeepholeLSTM(4, output_states=("h", "c"), name="both")(x, mask=x[:, :, 0] > 0)
    except ValueError as error:
        assert "both got a mask and output_states=('h', 'c')" in str(error)
    else:
        raise AssertionError("nothing was told")
"""


def run(program: str, backend: str, where: Path) -> None:
    """Run a program in a fresh interpreter under another backend."""
    for package in NEEDS[backend]:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"Keras' backend {backend} needs {package}")
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True, text=True, timeout=300, check=False, env=environment, cwd=where,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("backend", NEEDS)
def test_every_layer_computes_the_same(backend: str, tmp_path: Path) -> None:
    import json

    from ostinato.keras import layer_of

    random, configs, expected = np.random.default_rng(0), {}, {}
    given: dict[str, np.ndarray] = {"mask": MASKS["holes"]}
    for number, name in enumerate(CELLS):
        made = layer_of(CELLS[name])(
            UNITS, return_sequences=True, return_state=True, go_backwards=number % 2 == 0, **SPECIAL.get(name, {})
        )
        x = random.standard_normal((BATCH, STEPS, UNITS if name in SAME else 3)).astype("float32")
        made.build(x.shape)
        made.set_weights([random.uniform(-0.5, 0.5, weight.shape) for weight in made.weights])
        configs[name] = keras.saving.serialize_keras_object(made)
        given[f"{name} x"] = x
        given |= {f"{name} {k}": np.asarray(weight) for k, weight in enumerate(made.get_weights())}
        expected |= {f"{name} {k}": one for k, one in enumerate(outputs(made(x, mask=MASKS["holes"])))}
    np.savez(tmp_path / "given.npz", **given)
    (tmp_path / "layers.json").write_text(json.dumps(configs))
    run(PROGRAM, backend, tmp_path)
    found = np.load(tmp_path / "found.npz")
    assert set(found) == set(expected)
    for name, one in expected.items():
        np.testing.assert_allclose(found[name], one, rtol=2e-5, atol=2e-5, err_msg=name)


@pytest.mark.parametrize("backend", [one for one in NEEDS if one != "numpy"])
def test_layers_train(backend: str, tmp_path: Path) -> None:
    run(TRAINING, backend, tmp_path)
