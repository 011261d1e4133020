"""The layers of all cells, each against a scan of its own weights, and as good citizens of Keras."""

from __future__ import annotations

import inspect
import itertools
import pickle
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import torch

import ostinato.keras
from ostinato.cells import CELLS, cell, ops
from ostinato.keras import layer_of, layers, steps
from ostinato.keras.arguments import forget_bias
from ostinato.keras.gallery import single_layer_of
from ostinato.scan import watch

from .gallery import (
    BATCH,
    NAMED,
    SAME,
    SPECIAL,
    STEPS,
    UNITS,
    by_scan,
    features,
    initial_state,
    layer,
    outputs,
    own_cell,
    randomize,
    sequences,
    trained,
)
from .pairs import MASKS

pytestmark = pytest.mark.usefixtures("exact_keras")

EVERY = pytest.mark.parametrize("name", NAMED)
layer_of(own_cell)  # registers it for saving
SINGLE = [name for name, one in NAMED.items() if not one.sequences]


@EVERY
def test_shapes_of_everything_returned(name: str) -> None:
    x = sequences(name)
    for in_full, state in itertools.product((False, True), (False, True)):
        made = layer(name, return_sequences=in_full, return_state=state)
        found = [tuple(one.shape) for one in outputs(made(x))]
        size = made.cell.structure.output_size
        states = [(BATCH, one) for one in made.state_size] if state else []
        assert found == [(BATCH, STEPS, size) if in_full else (BATCH, size), *states]
        told = made.compute_output_shape(x.shape)
        assert list(told if state else [told]) == found


@EVERY
@pytest.mark.parametrize("backwards", [False, True])
def test_a_layer_is_a_scan_of_its_weights(name: str, backwards: bool) -> None:
    made = layer(name, return_sequences=True, return_state=True, go_backwards=backwards)
    x, initial = sequences(name), initial_state(made)
    for start in (None, initial):
        y, finals = by_scan(made, x, start, reverse=[backwards])
        expected = [y.flip(1) if backwards else y, *finals]
        for mine, theirs in zip(outputs(made(x, initial_state=start)), expected, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=1e-12)


@EVERY
def test_a_layer_stores_what_the_structure_says(name: str) -> None:
    made = layer(name)
    structure = made.cell.structure
    count = sum(int(np.prod(weight.shape)) for weight in made.weights)
    assert count == structure.count() == made.count_params()
    assert {tuple(w.shape) for w in made.weights} == {p.shape[::-1] for p in structure.parameters() if p.trained}


#: Cells that ask for the number of the step: it counts masked steps as well, and anew in every call.
NUMBERED = ("own_cell",)
WITHOUT_NUMBER = pytest.mark.parametrize("name", [name for name in NAMED if name not in NUMBERED])


@WITHOUT_NUMBER
@pytest.mark.parametrize("mask", ["right", "holes"])
def test_masked_steps_carry_the_states(name: str, mask: str) -> None:
    """Keras' rule, step by step on a scan's steps: a masked step repeats the output, zeros before the first."""
    for backwards, zero in ((False, False), (True, mask == "holes")):
        options = {"go_backwards": backwards, "zero_output_for_mask": zero}
        made = layer(name, return_sequences=True, return_state=True, **options)
        x, initial = sequences(name), initial_state(made)
        shown = MASKS[mask]
        y, *finals = outputs(made(x, initial_state=initial, mask=shown))
        for row in range(BATCH):
            steps_of_row = np.flatnonzero(shown[row])
            alone = [state[row : row + 1] for state in initial]
            expected = np.zeros((STEPS, made.cell.output_size))
            if len(steps_of_row):
                part, alone = by_scan(made, x[row : row + 1, steps_of_row], alone, reverse=[backwards])
                expected[steps_of_row] = part[0]
            for mine, theirs in zip(finals, alone, strict=True):
                np.testing.assert_allclose(mine[row], np.asarray(theirs)[0], rtol=1e-11, atol=1e-11)
            order = range(STEPS)[:: -1 if backwards else 1]
            before = np.zeros(made.cell.output_size)
            for place, step in enumerate(order):
                if shown[row, step]:
                    before = expected[step]
                told = before if shown[row, step] or not zero else 0 * before
                np.testing.assert_allclose(y[row, place], told, rtol=1e-11, atol=1e-11)


@WITHOUT_NUMBER
def test_stateful_calls_are_one_long_sequence(name: str) -> None:
    made = layer(name, return_sequences=True, stateful=True)
    x = sequences(name)
    whole, _ = by_scan(made, x)
    parts = [outputs(made(x[:, at]))[0] for at in (slice(0, 2), slice(2, 3), slice(3, STEPS))]
    np.testing.assert_allclose(np.concatenate(parts, 1), whole, rtol=1e-12, atol=1e-12)
    made.reset_state()
    np.testing.assert_allclose(outputs(made(x))[0], whole, rtol=1e-12, atol=1e-12)


@EVERY
def test_bidirectional_is_two_layers(name: str) -> None:
    x = sequences(name)
    for mask, in_full in (("none", True), ("right", False), ("holes", True)):
        both = layers.Bidirectional(registered(name, return_sequences=in_full, return_state=True), dtype="float64")
        both.build(x.shape)
        randomize(both)
        expected = [
            outputs(one(x, mask=MASKS[mask], initial_state=initial_state(one, k)))
            for k, one in enumerate((both.forward_layer, both.backward_layer))
        ]
        initial = [s for k, one in enumerate((both.forward_layer, both.backward_layer)) for s in initial_state(one, k)]
        found, *states = outputs(both(x, mask=MASKS[mask], initial_state=initial))
        forward, backward = expected[0][0], expected[1][0]
        backward = backward[:, ::-1] if in_full else backward
        np.testing.assert_allclose(found, np.concatenate([forward, backward], -1), rtol=1e-12, atol=1e-12)
        for mine, theirs in zip(states, [*expected[0][1:], *expected[1][1:]], strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=1e-12)
        assert both.runs_together(torch.tensor(x), MASKS[mask])


def registered(name: str, **options: Any) -> Any:
    """A layer of a cell that Keras can clone; of a cell with further sequences a single one."""
    made = layer(name, **options)
    if keras.saving.get_registered_name(type(made)) == type(made).__name__:
        keras.saving.register_keras_serializable(package="tests")(type(made))
    return made


@EVERY
def test_cell_by_cell_equals_the_scan(name: str) -> None:
    """The equations on Keras' tensors, one call of the cell a step, with the number of the step and masks."""
    made = layer(name, return_sequences=True, return_state=True, go_backwards=name == "own_cell")
    x, initial = sequences(name), initial_state(made)
    expected = outputs(made(x, initial_state=initial))
    states = [torch.tensor(state) for state in initial]
    fed = made.step_inputs(torch.tensor(x), training=False)
    _, y, finals = steps.run(made, fed, states, torch.tensor(MASKS["full"]), training=False)
    for mine, theirs in zip(outputs([y, *finals]), expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", [name for name in SINGLE if name not in NUMBERED])
def test_the_cell_of_a_layer_in_kerass_own_rnn(name: str) -> None:
    made = layer(name, return_sequences=True, return_state=True)
    x = sequences(name)
    plain = keras.layers.RNN(made.cell, return_sequences=True, return_state=True, dtype="float64")
    for mine, theirs in zip(outputs(plain(x)), outputs(made(x)), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=1e-12)


def test_cells_stack_in_keras() -> None:
    stacked = keras.layers.RNN([layers.PeepholeLSTMCell(4), layers.SLSTMCell(6, heads=2), layers.JANETCell(3)])
    x = sequences("lstm", dtype="float32")
    assert tuple(stacked(x).shape) == (BATCH, 3)
    again = keras.layers.RNN.from_config(stacked.get_config())
    again.build(x.shape)
    again.set_weights(stacked.get_weights())
    np.testing.assert_array_equal(outputs(again(x))[0], outputs(stacked(x))[0])


def model_of(name: str, **options: Any) -> Any:
    """A model around the public layer of a cell, with every option of a cell in use."""
    made = layer_of(NAMED[name])
    width = UNITS if name in SAME else 3
    return keras.Sequential(
        [keras.Input((STEPS, width)), made(UNITS, **SPECIAL.get(name, {}), **options), keras.layers.Dense(1)]
    )


@EVERY
def test_training_moves_every_weight_and_lowers_the_loss(name: str) -> None:
    keras.utils.set_random_seed(5)
    model = model_of(name)
    random = np.random.default_rng(0)
    x = random.standard_normal((16, STEPS, model.input_shape[-1])).astype("float32")
    y = x[:, -3:, :1].sum(1)
    model.compile(keras.optimizers.Adam(0.02), "mse")
    before = [np.array(weight) for weight in model.layers[0].get_weights()]
    history = model.fit(x, y, epochs=4, batch_size=16, verbose=0, shuffle=False)
    after = model.layers[0].get_weights()
    moved = [not np.array_equal(old, new) for old, new in zip(before, after, strict=True)]
    assert all(moved) if trained(name) else not any(moved)
    assert all(np.isfinite(new).all() for new in after)
    assert history.history["loss"][-1] < history.history["loss"][0]


@EVERY
def test_a_saved_model_is_the_same_model(name: str, tmp_path: Path) -> None:
    model = model_of(name)
    randomize(model, 7)
    x = np.random.default_rng(1).standard_normal((3, STEPS, model.input_shape[-1])).astype("float32")
    expected = model.predict(x, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.layers[0]) is type(model.layers[0])
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), expected)
    model.save_weights(tmp_path / "model.weights.h5")
    again = model_of(name)
    again.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(again.predict(x, verbose=0), expected)


def changed(arguments: dict[str, Any]) -> dict[str, Any]:
    """A value other than the default for every argument of a layer but `saved_dtype`, which forbids `recompute`."""
    found: dict[str, Any] = {}
    for name, default in arguments.items():
        if (name == "recurrent_dropout" and default == 0.0) or name == "saved_dtype":
            continue
        if name.endswith("initializer"):
            found[name] = keras.initializers.RandomNormal(stddev=0.3, seed=4)
        elif name.endswith("regularizer"):
            found[name] = "l2"
        elif name.endswith("constraint"):
            found[name] = "max_norm"
        elif name.endswith("activation"):
            found[name] = "softsign"
        elif isinstance(default, bool) or name == "per_step":
            found[name] = not default
        elif isinstance(default, float):
            found[name] = default + (0.125 if default < 1 else -0.125)
        elif name not in ("units", "periods", "modules", "heads", "fixed", "output_states", "projection"):
            found[name] = 3
    return found


@pytest.mark.parametrize("name", [n for n in NAMED if n not in ("lstm", "gru", "elman")])
def test_a_configuration_makes_the_layer_again(name: str) -> None:
    made = layer_of(NAMED[name])
    options = {**changed(made.arguments()), **SPECIAL.get(name, {}), "dtype": "float64", "name": "memory"}
    first = made(UNITS, **options)
    config = first.get_config()
    again = made.from_config(config)
    assert again.get_config() == config
    shown = {key: value for key, value in options.items() if isinstance(value, (int, float))}
    assert {key: config[key] for key in shown} == shown
    assert config["name"] == "memory" and config["units"] == UNITS
    for key in options:
        if key.endswith("initializer"):
            assert config[key]["config"]["stddev"] == 0.3


@pytest.mark.parametrize("name", [n for n in CELLS if n not in ("lstm", "gru", "elman")])
def test_a_layer_is_a_real_class(name: str) -> None:
    made = layer_of(CELLS[name])
    assert made is getattr(layers, CELLS[name].layer) and made is layer_of(CELLS[name])
    assert made.__module__ == "ostinato.keras.layers" and made.__qualname__ == made.__name__ == CELLS[name].layer
    assert pickle.loads(pickle.dumps(made)) is made
    assert made.__doc__.startswith(CELLS[name].description)
    told = inspect.signature(made).parameters
    assert list(made.arguments()) == [one for one in told if one != "kwargs"]
    for argument in told:
        assert f"\n    {argument}: " in made.__doc__ or argument == "kwargs"
    assert keras.saving.get_registered_name(made) == f"ostinato>{made.__name__}"


def test_the_layers_that_keras_has_are_those_of_keras() -> None:
    assert layer_of(CELLS["lstm"]) is layers.LSTM
    assert layer_of(CELLS["gru"]) is layers.GRU
    assert layer_of(CELLS["elman"]) is layers.SimpleRNN
    assert layers.RNN is keras.layers.RNN


@pytest.mark.parametrize(("name", "stock"), [("lstm", "LSTM"), ("elman", "SimpleRNN"), ("gru_reset_before", "GRU")])
def test_a_layer_made_of_keras_own_equations_equals_keras(name: str, stock: str) -> None:
    options: dict[str, Any] = {"reset_after": False} if stock == "GRU" else {}
    theirs = getattr(keras.layers, stock)(UNITS, return_sequences=True, dtype="float64", **options)
    mine = layer(name, return_sequences=True)
    x = sequences(name)
    theirs.build(x.shape)
    kept = mine.get_weights()
    if stock == "GRU":  # Keras' blocks stand in the order z, r, n
        kept = [np.concatenate([np.split(w, 3, -1)[k] for k in (1, 0, 2)], -1) for w in kept]
    theirs.set_weights(kept)
    np.testing.assert_allclose(outputs(mine(x))[0], outputs(theirs(x))[0], rtol=1e-6, atol=1e-6)


@EVERY
def test_regularizers_count(name: str) -> None:
    if not trained(name):
        return
    made = layer(name)
    arguments = [one for one in made.arguments() if one.endswith("_regularizer")]
    regular = layer(name, **dict.fromkeys(arguments, keras.regularizers.L2(0.5)))
    (y,) = outputs(regular(sequences(name)))
    mean = 0.5 * (y**2).sum() / BATCH
    expected = 0.5 * sum(float((np.asarray(weight) ** 2).sum()) for weight in regular.get_weights()) + mean
    assert sum(regular.losses).item() == pytest.approx(expected, rel=1e-6)


@EVERY
def test_constraints_hold(name: str) -> None:
    if not trained(name):
        return
    made = layer(name)
    arguments = [one for one in made.arguments() if one.endswith("_constraint")]
    bound = layer(name, **dict.fromkeys(arguments, keras.constraints.MaxNorm(0.1)))
    assert all(weight.constraint is not None for weight in bound.trainable_weights)


@pytest.mark.parametrize("name", [name for name, one in CELLS.items() if forget_bias(one)])
def test_unit_forget_bias_makes_the_cell_remember(name: str) -> None:
    equations = CELLS[name]
    for remembers in (False, True):
        made = single_layer_of(equations)(UNITS, unit_forget_bias=remembers)
        made.build((BATCH, STEPS, features(name)))
        structure = made.cell.structure
        tensors = {
            p.name: torch.tensor(np.asarray(made.cell.stored()[p.name])) for p in structure.parameters() if p.trained
        }
        found = sum(structure.forget_biases(tensors))
        assert (found == (-1.0 if equations.forget[0] == "-" else 1.0) * remembers).all()
        others = [v for k, v in tensors.items() if k == "b" and len(v) > UNITS]
        assert all((bias != 0).sum() == (UNITS if remembers else 0) for bias in others)


def test_identity_is_one_block_by_block() -> None:
    made = layers.PeepholeLSTM(3, recurrent_initializer="identity")
    made.build((1, 2, 2))
    np.testing.assert_array_equal(made.cell.recurrent_kernel, np.tile(np.eye(3), 4))
    heads = layers.SLSTM(4, heads=2, recurrent_initializer=keras.initializers.Identity(0.5))
    heads.build((1, 2, 2))
    np.testing.assert_array_equal(heads.cell.recurrent_kernel, np.tile(0.5 * np.eye(2), 8))
    clock = layers.Clockwork(4, modules=2, recurrent_initializer="identity")
    clock.build((1, 2, 2))
    np.testing.assert_array_equal(clock.cell.recurrent_kernel, np.concatenate([np.eye(4, 2), np.eye(2)]))


def test_no_two_matrices_start_equal() -> None:
    for made in (layers.FGR(4), layers.MogrifierLSTM(4, kernel_initializer=keras.initializers.HeNormal(seed=3))):
        made.build((1, 2, 4))
        values = [np.asarray(weight) for weight in made.weights if len(weight.shape) == 2]
        pairs = [pair for pair in itertools.combinations(values, 2) if pair[0].shape == pair[1].shape]
        assert pairs and not any(np.allclose(*pair) for pair in pairs)


def test_initial_values_are_the_cells() -> None:
    made = layers.IndRNN(200)
    made.build((1, 2, 2))
    u = np.asarray(made.cell.u)
    assert 0 <= u.min() < 0.1 and 0.9 < u.max() <= 1 and made.cell.recurrent_kernel is None
    norm = layers.LayerNormLSTM(3)
    norm.build((1, 2, 2))
    assert (np.asarray(norm.cell.g_x_i) == 1).all() and (np.asarray(norm.cell.s_x_i) == 0).all()
    mine = layer_of(own_cell)(UNITS)
    mine.build((1, 2, 3))
    assert (np.asarray(mine.cell.u) == 2).all()
    bias, second = np.asarray(mine.cell.bias), np.asarray(mine.cell.recurrent_bias)
    assert (bias[:UNITS] == 0).all() and (bias[UNITS:] >= 0.5).all() and len(set(bias[UNITS:])) == UNITS
    assert (second == 0).all()
    ones = layer_of(own_cell)(UNITS, bias_initializer="ones")
    ones.build((1, 2, 3))
    assert (np.asarray(ones.cell.bias) == 1).all()


def test_a_cell_of_ones_own() -> None:
    made = layer_of(own_cell)
    assert made.__name__ == "OwnCell" and made.__module__ == own_cell.step.__module__
    assert made.__doc__.startswith("A cell of a user's own")
    assert layer_of(own_cell) is made
    assert keras.saving.get_registered_name(made) == "Custom>OwnCell"
    assert "rate" in inspect.signature(made).parameters


def test_output_states_stand_side_by_side() -> None:
    made = layer("peephole_lstm", return_sequences=True, return_state=True, output_states=("c", "h"))
    x, initial = sequences("peephole_lstm"), initial_state(made)
    for mask in ("none", "right", "holes"):
        y, h, c = outputs(made(x, initial_state=initial, mask=MASKS[mask]))
        assert y.shape == (BATCH, STEPS, 2 * UNITS) and made.compute_output_shape(x.shape)[0] == y.shape
        if mask == "none":
            np.testing.assert_array_equal(y[:, -1], np.concatenate([c, h], -1))
        plain = layer("peephole_lstm", return_sequences=True)
        plain.set_weights(made.get_weights())
        np.testing.assert_allclose(y[..., UNITS:], outputs(plain(x, initial_state=initial, mask=MASKS[mask]))[0])
        last = layer("peephole_lstm", output_states=("c", "h"))
        last.set_weights(made.get_weights())
        np.testing.assert_array_equal(outputs(last(x, initial_state=initial, mask=MASKS[mask]))[0], y[:, -1])


def test_mixed_precision() -> None:
    made = layers.PeepholeLSTM(4, dtype="mixed_bfloat16", return_sequences=True)
    y = made(sequences("lstm", dtype="float32"))
    assert y.dtype == torch.bfloat16
    assert {weight.dtype for weight in made.weights} == {"float32"}


def test_explain_knows_the_layers() -> None:
    x = sequences("lstm")
    said = ostinato.keras.explain(layers.JANET(3, name="memory"), x)
    assert said.startswith("memory runs on the backend ")
    stack = ostinato.keras.explain(layers.DepthGatedLSTM(3), x)
    assert stack.count(" runs on the backend ") == 2


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: layers.PeepholeLSTM(0), "units is 0; expected an integer of at least 1"),
        (lambda: layers.PeepholeLSTM(2.5), r"units is 2\.5; expected an integer of at least 1"),
        (lambda: layers.SLSTM(4, heads=3), "heads is 3; expected a divisor of the 4 units"),
        (lambda: layers.SLSTM(4, heads=0), "heads is 0; expected a divisor of the 4 units"),
        (lambda: layers.Clockwork(4, modules=3), "modules is 3; expected a divisor of the 4 units"),
        (lambda: layers.Clockwork(4, periods=(1, 2.5)), r"periods is \(1, 2\.5\); expected integers from 1 that rise"),
        (lambda: layers.Clockwork(4, periods=2), "periods is 2; expected a sequence of rising integers"),
        (lambda: layers.Clockwork(4, modules=4, periods=(1, 2)), "expected one for each of 4 modules"),
        (
            lambda: layers.ProjectedLSTM(4, projection=5),
            r"projection size of cell projected_lstm is 5; expected 1\.\.4",
        ),
        (lambda: layers.PeepholeLSTM(4, fixed={"p_g": 0}), "no parameter 'p_g'; it has p_i, p_f, p_o"),
        (lambda: layers.LEM(4, dt=[1.0, 2.0]), "dt has 2 values; expected one number, or one for each of 4 units"),
        (lambda: layers.ZoneoutLSTM(4, zoneout_h=1.0), r"zoneout_h is 1\.0; expected a rate of at least 0 and below 1"),
        (lambda: layers.JANET(4, dropout=-0.1), r"dropout is -0\.1; expected a rate"),
        (lambda: layers.JANET(4, recurrent_dropout=0.2), r"recurrent_dropout is 0\.2, but JANET offers none"),
        (lambda: layers.PeepholeLSTM(4, output_states=("h", "x")), "expected names among the states h, c"),
        (lambda: layers.JANET(4, heads=2), "Unrecognized keyword arguments passed to JANET: {'heads': 2}"),
        (lambda: layers.JANET(4, activation="tnah"), "tnah"),
        (lambda: layers.RGLRU(4)(np.zeros((1, 2, 3))), "rg_lru needs an input as wide as its units"),
        (lambda: layers.PeepholeLSTM(4)(np.zeros((1, 0, 3))), "with 0 steps; a recurrent layer needs at least 1"),
        (lambda: layers.DepthGatedLSTM(4, depth=0), "depth is 0; expected an integer of at least 1"),
    ],
)
def test_what_does_not_fit_is_told(make: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        make()


@pytest.mark.parametrize("made", [layers.PeepholeLSTM, layers.DepthGatedLSTM])
def test_another_number_of_features_is_told(made: Any) -> None:
    layer = made(4)
    layer(np.zeros((1, 2, 3), "float32"))
    with pytest.raises(ValueError, match=r"expected axis -1 of input shape to have value 3.* shape \(1, 2, 5\)"):
        layer(np.zeros((1, 2, 5), "float32"))


def test_an_argument_named_like_another_is_refused() -> None:
    @cell(gates="a", states="h", constants={"units": 1.0})
    def clashing(gate: Any, constant: Any) -> Any:
        return gate.a * constant.units

    with pytest.raises(ValueError, match="'units' is the name of another argument of its layer"):
        layer_of(clashing)

    @cell(gates="a", states="h", parameters="name")
    def hidden(gate: Any, p: Any) -> Any:
        return gate.a * p.name

    with pytest.raises(ValueError, match="'name' is an attribute of every Keras layer"):
        layer_of(hidden)(3)(np.zeros((1, 2, 3)))


def test_states_that_units_share_are_the_same_step_by_step() -> None:
    @cell(gates="a b", states="h m s", phi="tanh")
    def shared(gate: Any, state: Any, phi: Any) -> Any:
        seen = gate.using(h=ops.row_mean(state.h)).h.b
        return phi(gate.x.b + seen + state.s) + 0.1 * state.m, ops.row_mean(phi(gate.a)), 0.5

    made = layer_of(shared)(5, return_sequences=True, return_state=True)
    x = torch.randn(3, 4, 2)
    with watch() as choices:
        whole, *finals = made(x)
    assert [choice.backend for choice in choices] == ["cpu"]
    states = made.get_initial_state(3)
    outputs = []
    for t in range(4):
        y, states = made.cell(x[:, t], states)
        outputs.append(y)
    torch.testing.assert_close(torch.stack(outputs, 1), whole)
    for one, other in zip(states, finals, strict=False):
        torch.testing.assert_close(one, other)
