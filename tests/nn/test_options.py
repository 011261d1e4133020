"""The arguments of the modules: initial values, constants, masks, a cell of one's own, and what is refused."""

from __future__ import annotations

import inspect
import pickle
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence

from ostinato import nn, scan
from ostinato.cells import CELLS, Mask, cell

from .zoo import BATCH, HIDDEN, INPUT, STEPS, input_size, listed, make, names, sequence

MASKED = [name for name, one in CELLS.items() if one.masks]


def fresh(name: str, **options: Any) -> Any:
    """A module as its constructor leaves it."""
    sizes = {"proj_size": 4} if scan.projects(CELLS[name]) else {}
    return nn.layer_of(CELLS[name])(input_size(CELLS[name]), HIDDEN, **sizes, **options)


@pytest.mark.parametrize("name", names())
def test_matrices_and_unnamed_biases_are_as_torch_draws_them(name: str) -> None:
    torch.manual_seed(0)
    module = nn.layer_of(CELLS[name])(100, 100, **({"proj_size": 50} if scan.projects(CELLS[name]) else {}))
    for one, parameter in module.named_parameters():
        if parameter.dim() == 2:
            assert parameter.abs().max() <= 0.1 and parameter.abs().max() > 0.09, one
            assert parameter.mean().abs() < 0.005
    for parameter in module.structures[0].parameters():
        stored = getattr(
            module, {"b": "bias_ih_l0", "b_u": "bias_hh_l0"}.get(parameter.name, f"{parameter.name}_l0"), None
        )
        if stored is None or stored.dim() == 2:
            continue
        for part, initial in zip(stored.chunk(len(parameter.parts)), parameter.parts, strict=True):
            low, high = (
                (-0.1, 0.1) if initial is None else initial if isinstance(initial, tuple) else (initial, initial)
            )
            spread = (high - low) * 0.9
            assert part.min() >= torch.tensor(low) and part.max() <= torch.tensor(high), parameter.name
            assert part.max() - part.min() >= spread


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("name", [name for name, one in CELLS.items() if one.forget])
def test_the_forget_bias_makes_the_cell_remember(name: str, bidirectional: bool) -> None:
    """One step from a state, the more of which is kept the larger the bias."""
    changes = []
    for bias in (-40.0, 40.0):
        module = fresh(name, forget_bias=bias, dtype=torch.float64, bidirectional=bidirectional).eval()
        initial = tuple(
            torch.rand(2 if bidirectional else 1, BATCH, module.structures[0].state_size(state), dtype=torch.float64)
            for state in module.cell.states
        )
        _, hidden = module(sequence(module, 1, BATCH), initial if len(initial) > 1 else initial[0])
        cell_state = module.cell.states.index("c") if "c" in module.cell.states else 0
        changes.append((listed(hidden)[cell_state] - initial[cell_state]).abs().mean().item())
    forgets, remembers = changes
    assert remembers < forgets


@pytest.mark.parametrize("name", [name for name, one in CELLS.items() if one.forget])
def test_the_forget_bias_is_stored_where_the_gate_has_its_bias(name: str) -> None:
    plain, module = fresh(name), fresh(name, forget_bias=1.5)
    gate, sign = CELLS[name].forget.lstrip("-"), -1 if CELLS[name].forget.startswith("-") else 1
    total = 0.0
    for parameter in module.structures[0].parameters():
        stored = {"b": "bias_ih_l0", "b_u": "bias_hh_l0"}.get(parameter.name, f"{parameter.name}_l0")
        if gate in parameter.gates and parameter.name in ("b", "b_u"):
            total = total + getattr(module, stored).split(HIDDEN)[parameter.gates.index(gate)]
        elif parameter.name == f"b_{gate}":
            total = total + getattr(module, stored)
    assert torch.equal(total, torch.full((HIDDEN,), sign * 1.5))
    assert plain.forget_bias is None


def recurrent(name: str) -> bool:
    return "weight_hh_l0" in dict(fresh(name).named_parameters())


WITH_U = [name for name in names() if recurrent(name)]


@pytest.mark.parametrize("name", WITH_U)
def test_orthogonal_and_identity_recurrent_weights(name: str) -> None:
    sizes: dict[str, Any] = {"heads": {"heads": 2}, "clockwork": {"modules": 3}}.get(CELLS[name].blocks, {})
    for kind in ("orthogonal", "identity"):
        module = fresh(name, recurrent_init=kind, bidirectional=True, **sizes)
        structure = module.structures[0]
        for suffix in ("_l0", "_l0_reverse"):
            stored = getattr(module, f"weight_hh{suffix}").detach()
            blocks = structure.recurrent_blocks(stored)
            assert sum(block.numel() for block in blocks) == stored.numel()
            for block in blocks:
                if kind == "identity":
                    assert torch.equal(block, torch.eye(*block.shape))
                else:
                    short = block if block.shape[0] <= block.shape[1] else block.T
                    torch.testing.assert_close(short @ short.T, torch.eye(len(short)), atol=1e-5, rtol=1e-5)
            if kind == "identity":
                U = structure.weights(module._tensors(0, int("reverse" in suffix))).U
                assert all(torch.equal(gate, torch.eye(*gate.shape)) for gate in U.split(HIDDEN))


@pytest.mark.parametrize(
    "rule", ["orthogonal", ("orthogonal", 2.0), "identity", ("identity", 0.5), ("spectral_radius", 0.9)], ids=str
)
@pytest.mark.parametrize("name", names())
def test_a_constructor_takes_the_rules_of_initialise(name: str, rule: Any) -> None:
    given: dict[str, Any] = {"forget_bias": ("chrono", 100)} if CELLS[name].forget else {}
    rules = dict(given)
    if name in WITH_U and not (scan.projects(CELLS[name]) and rule[0] == "spectral_radius"):
        given["recurrent_init"] = rules["recurrent"] = rule
    torch.manual_seed(0)
    made = fresh(name, **given)
    torch.manual_seed(0)
    plain = fresh(name)
    for one, tensor in (nn.initialise(plain, **rules) if rules else plain).state_dict().items():
        assert torch.equal(getattr(made, one), tensor), one
    assert all(f"{option}={value!r}" in repr(made) for option, value in given.items())


def test_drawing_anew_keeps_the_settings() -> None:
    module = nn.PeepholeLSTM(
        INPUT, HIDDEN, forget_bias=2.0, recurrent_init="identity", fixed={"p_o": [1.0] * 5 + [0.5]}
    )
    before = module.weight_ih_l0.clone()
    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            tensor.zero_()
    module.reset_parameters()
    assert not torch.equal(module.weight_ih_l0, before) and module.weight_ih_l0.count_nonzero()
    assert torch.equal(module.bias_ih_l0[HIDDEN : 2 * HIDDEN], torch.full((HIDDEN,), 2.0))
    assert torch.equal(module.weight_hh_l0, torch.eye(HIDDEN).repeat(4, 1))
    assert module.p_o_l0.tolist() == [1.0] * 5 + [0.5]


def test_a_fixed_vector_is_not_trained_and_acts() -> None:
    module = nn.PeepholeLSTM(INPUT, HIDDEN, dtype=torch.float64, fixed={"p_i": 0.0, "p_f": 0.0, "p_o": 0.0})
    plain = nn.layer_of(CELLS["lstm"])(INPUT, HIDDEN, dtype=torch.float64)
    plain.load_state_dict({one: tensor for one, tensor in module.state_dict().items() if not one.startswith("p_")})
    x = sequence(module)
    torch.testing.assert_close(module(x), plain(x))
    assert {one for one, _ in module.named_parameters()} == {"weight_ih_l0", "weight_hh_l0", "bias_ih_l0"}


def test_constants_one_for_all_units_or_one_a_unit() -> None:
    each = torch.linspace(0.1, 0.6, HIDDEN)
    module = nn.LEM(INPUT, HIDDEN, dt=each, dtype=torch.float64)
    assert module.dt_l0.tolist() == each.tolist()
    one = nn.LEM(INPUT, HIDDEN, dt=0.3, dtype=torch.float64)
    assert one.dt_l0.tolist() == [0.3] * HIDDEN
    x = sequence(module)
    assert not torch.equal(module(x)[0], one(x)[0])


def test_periods_of_the_clockwork() -> None:
    module = nn.Clockwork(INPUT, HIDDEN, periods=(1, 3), dtype=torch.float64)
    assert module.period_l0.tolist() == [1.0] * 3 + [3.0] * 3
    y, _ = module(sequence(module))
    slow = y[:, :, 3:]
    assert torch.equal(slow[1], slow[0]) and torch.equal(slow[2], slow[0]) and not torch.equal(slow[3], slow[0])
    assert nn.Clockwork(INPUT, HIDDEN, modules=3).period_l0.tolist() == [1.0, 1.0, 2.0, 2.0, 4.0, 4.0]


@pytest.mark.parametrize("name", ["lstm", "gru", "peephole_lstm", "indrnn"])
def test_activations_by_name_and_as_functions(name: str) -> None:
    plain, named, written = (make(name, activation=one) for one in ("tanh", "softsign", lambda v: v / (1 + v.abs())))
    for other in (named, written):
        other.load_state_dict(plain.state_dict())
    x = sequence(plain)
    torch.testing.assert_close(named(x), written(x))
    assert not torch.allclose(named(x)[0], plain(x)[0])


@pytest.mark.parametrize("per_step", [True, False], ids=["step", "row"])
@pytest.mark.parametrize("name", MASKED)
def test_masks_are_drawn_in_training_with_torchs_generator(name: str, per_step: bool) -> None:
    module = make(name, per_step=per_step, bidirectional=True, num_layers=2, **dict.fromkeys(rates(name), 0.5))
    x = sequence(module)
    torch.manual_seed(3)
    first = module(x)[0]
    assert not torch.equal(module(x)[0], first)
    torch.manual_seed(3)
    assert torch.equal(module(x)[0], first)
    assert torch.equal(module.eval()(x)[0], module(x)[0])


@pytest.mark.parametrize("name", MASKED)
def test_without_rates_masks_have_no_effect(name: str) -> None:
    module = make(name, **dict.fromkeys(rates(name), 0.0))
    plain = make("lstm")
    plain.load_state_dict(module.state_dict())
    x = sequence(module)
    state = torch.get_rng_state()
    torch.testing.assert_close(module(x), plain(x))
    assert torch.equal(torch.get_rng_state(), state)


def rates(name: str) -> list[str]:
    return [mask.rate for mask in CELLS[name].masks.values()]


@cell(gates="a", states="h d", masks={"m": Mask("dropout", "rate", 0.25)})
def shows_dropout(gate: Any, sequence: Any) -> Any:
    """The mask itself as the output."""
    return sequence.m, gate.a


@cell(gates="a", states="h d", masks={"m": Mask("zoneout", "rate", 0.25)})
def shows_zoneout(gate: Any, sequence: Any) -> Any:
    """The mask itself as the output."""
    return sequence.m, gate.a


def test_masks_are_drawn_as_the_cell_says_unless_told_otherwise() -> None:
    @cell(gates="a", states="h d", masks={"m": Mask("dropout", "rate", 0.5), "n": Mask("zoneout", "rate", 0.5, False)})
    def shows_both(gate: Any, sequence: Any) -> Any:
        return sequence.m + 10 * sequence.n, gate.a

    for per_step, expected in ((None, [True, False]), (True, [True, True]), (False, [False, False])):
        y, _ = nn.layer_of(shows_both)(1, 20, per_step=per_step)(torch.ones(9, 1, 1))
        masks = [y % 10, y // 10]
        assert [not torch.equal(one, one[:1].expand_as(one)) for one in masks] == expected


@pytest.mark.parametrize("form", ["time", "batch", "packed", "unbatched"])
@pytest.mark.parametrize("per_step", [True, False], ids=["step", "row"])
@pytest.mark.parametrize("shown, on", [(shows_dropout, 1 / 0.75), (shows_zoneout, 1.0)])
def test_values_and_shares_of_masks(shown: Any, on: float, per_step: bool, form: str) -> None:
    units, rows = 50, 1 if form == "unbatched" else 40
    module = nn.layer_of(shown)(1, units, per_step=per_step, batch_first=form != "time", bidirectional=True)
    torch.manual_seed(0)
    lengths = [11] * 20 + [6] * 20
    shape = {"time": (11, rows, 1), "unbatched": (11, 1)}.get(form, (rows, 11, 1))
    x: Any = torch.ones(shape)
    if form == "packed":
        x = pack_padded_sequence(x, lengths, batch_first=True)
    y, _ = module(x)
    if form == "packed":
        found = list(torch.nn.utils.rnn.unpack_sequence(y))
    elif form == "unbatched":
        found = [y]
    else:
        found = list(y.unbind(1 if form == "time" else 0))
    for direction in (0, 1):
        masks = [one[:, direction * units : (direction + 1) * units] for one in found]
        assert {*torch.cat(masks).unique().tolist()} == {0.0, torch.tensor(on).item()}
        share = torch.cat(masks).bool().float().mean().item()
        expected = 0.75 if shown is shows_dropout else 0.25
        assert share == pytest.approx(expected, abs=0.2 if rows == 1 and not per_step else 0.03)
        assert all(bool((one == one[0]).all()) != per_step for one in masks)
        if rows > 1:
            assert not torch.equal(masks[0][0], masks[1][0])
    assert not torch.equal(found[0][:, :units], found[0][:, units:]), "each direction draws its own"
    resting, _ = module.eval()(torch.ones(2, 3, 1))
    assert torch.equal(resting, torch.full_like(resting, 1.0 if shown is shows_dropout else 0.25))


@cell(gates="a b", states="h c", parameters="w", constants={"rate_of_change": 0.5}, phi="tanh", forget="b",
      initial={"w": 0.25, "b_b": 3.0}, layer="MineOwn", recurrent_bias="b")  # fmt: skip
def own(gate: Any, state: Any, p: Any, constant: Any, phi: Any) -> Any:
    """A cell of one's own.

    c_t = c_{t-1} + rate * phi(a)
    """
    c = state.c + constant.rate_of_change * phi(gate.a)
    return c * p.w + gate.b, c


MineOwn = nn.layer_of(own)


def test_a_cell_of_ones_own_has_its_module() -> None:
    module = MineOwn(INPUT, HIDDEN, num_layers=2, bidirectional=True, rate_of_change=0.2, dtype=torch.float64)
    assert MineOwn.__name__ == MineOwn.__qualname__ == "MineOwn" and MineOwn.__module__ == __name__
    x = sequence(module)
    y, (h, c) = module(x)
    assert y.shape == (STEPS, BATCH, 2 * HIDDEN) and h.shape == c.shape == (4, BATCH, HIDDEN)
    again = pickle.loads(pickle.dumps(module))
    assert torch.equal(again(x)[0], y)
    assert module.w_l0.tolist() == [0.25] * HIDDEN
    b, b_u = module.bias_ih_l0[HIDDEN:], module.bias_hh_l0
    assert (b + b_u).tolist() == [3.0] * HIDDEN, "both biases of a gate add up to the value named"
    assert "A cell of one's own." in str(MineOwn.__doc__)


class Mine(nn.PeepholeLSTM):  # type: ignore[misc]
    """A subclass with a constructor of its own."""

    def __init__(self) -> None:
        super().__init__(INPUT, HIDDEN, forget_bias=1.0)


def test_a_class_of_ones_own_may_inherit() -> None:
    module = Mine()
    x = torch.randn(STEPS, BATCH, INPUT)
    assert list(inspect.signature(Mine).parameters) == []
    assert torch.equal(pickle.loads(pickle.dumps(module))(x)[0], module(x)[0])


def test_signatures_hold_what_a_cell_has_a_use_for() -> None:
    def options(made: type) -> set[str]:
        return {one.name for one in inspect.signature(made).parameters.values() if one.kind is one.KEYWORD_ONLY}

    general = {"recurrent_init", "backend", "device", "dtype", "truncate_gradient", "clip_recurrent_gradient"}
    general |= {"recompute", "saved_dtype"}
    assert options(nn.MinGRU) == general | {"activation", "recurrent_activation", "forget_bias"}
    assert options(nn.Clockwork) == general | {"activation", "modules", "periods"}
    assert options(nn.SLSTM) == general | {"activation", "recurrent_activation", "heads", "forget_bias"}
    assert options(nn.PeepholeLSTM) >= {"fixed"}
    assert options(nn.ProjectedLSTM) >= {"proj_size"}
    assert options(nn.ZoneoutLSTM) >= {"zoneout_h", "zoneout_c", "per_step"}
    assert options(nn.LEM) >= {"dt"}
    for name in nn.__all__:
        made = getattr(nn, name)
        if isinstance(made, type) and issubclass(made, nn.Layer) and made is not nn.Layer:
            for argument in inspect.signature(made).parameters:
                assert f"    {argument}: " in str(made.__doc__), (name, argument)


def test_what_differs_from_the_defaults_is_shown() -> None:
    module = nn.PeepholeLSTM(
        INPUT, HIDDEN, 2, batch_first=True, fixed={"p_o": 0.0}, activation="swish", forget_bias=1.0
    )
    assert repr(module) == (
        "PeepholeLSTM(3, 6, num_layers=2, batch_first=True, fixed={'p_o': 0.0}, forget_bias=1.0, activation='silu')"
    )
    assert repr(nn.Clockwork(2, 6, periods=[1, 4])) == "Clockwork(2, 6, modules=2, periods=(1, 4))"


WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "no input": (lambda: nn.PeepholeLSTM(0, 4), "input_size is 0; expected an integer of at least 1"),
    "no units": (lambda: nn.PeepholeLSTM(3, 0), "hidden_size is 0; expected an integer of at least 1"),
    "half a unit": (lambda: nn.PeepholeLSTM(3, 4.5), "hidden_size is 4.5; expected an integer of at least 1"),
    "no layer": (lambda: nn.PeepholeLSTM(3, 4, 0), "num_layers is 0; expected an integer of at least 1"),
    "dropout": (lambda: nn.PeepholeLSTM(3, 4, 2, dropout=1.5), "dropout is 1.5; expected a probability within 0..1"),
    "backend": (
        lambda: nn.PeepholeLSTM(3, 4, backend="gpu"), "backend is 'gpu'; expected None or one of 'cpu', 'reference'"
    ),
    "heads": (lambda: nn.SLSTM(3, 6, heads=4), "heads is 4; expected a divisor of the 6 units of cell slstm"),
    "modules": (lambda: nn.Clockwork(3, 6, modules=4), "modules is 4; expected a divisor of the 6 units"),
    "periods that fall": (lambda: nn.Clockwork(3, 6, periods=(4, 2)), "periods is (4, 2); expected integers from 1"),
    "periods that are equal": (lambda: nn.Clockwork(3, 6, periods=(2, 2)), "periods is (2, 2); expected integers"),
    "periods that are none": (lambda: nn.Clockwork(3, 6, periods=(1, 2.5)), "periods is (1, 2.5); expected integers"),
    "one period": (lambda: nn.Clockwork(3, 6, periods=2), "periods is 2; expected a sequence of rising integers"),
    "too few periods": (
        lambda: nn.Clockwork(3, 6, modules=3, periods=(1, 2)), "periods is (1, 2); expected one for each of 3 modules"
    ),
    "projection": (
        lambda: nn.ProjectedLSTM(3, 6, proj_size=7), "the projection size of cell projected_lstm is 7; expected 1..6"
    ),
    "no projection": (lambda: nn.ProjectedLSTM(3, 6), "the projection size of cell projected_lstm is 0; expected 1..6"),
    "a width of its own": (lambda: nn.RGLRU(3, 6), "cell rg_lru needs an input as wide as its units; got input size 3"),
    "rate": (lambda: nn.ZoneoutLSTM(3, 6, zoneout_c=1.0), "zoneout_c is 1.0; expected a rate of at least 0 and below"),
    "negative rate": (lambda: nn.ZoneoutLSTM(3, 6, zoneout_c=-0.1), "zoneout_c is -0.1; expected a rate of at least 0"),
    "fixed": (
        lambda: nn.PeepholeLSTM(3, 6, fixed={"p_x": 0.0}), "cell peephole_lstm has no parameter 'p_x'; it has p_i, p_f"
    ),
    "a constant of another size": (
        lambda: nn.LEM(3, 6, dt=[1.0, 2.0]), "dt has 2 values; expected one number, or one for each of 6 units"
    ),
    "an infinite constant": (lambda: nn.LEM(3, 6, dt=float("inf")), "dt holds inf; expected finite numbers"),
    "activation": (lambda: nn.PeepholeLSTM(3, 6, activation="tan"), "no activation is called 'tan'"),
    "recurrent_init": (
        lambda: nn.PeepholeLSTM(3, 6, recurrent_init="zero"),
        "recurrent_init is 'zero'; expected 'uniform', 'orthogonal' or 'identity', alone or with a factor as in",
    ),
    "no recurrent matrix": (
        lambda: nn.MinGRU(3, 6, recurrent_init="identity"),
        "recurrent_init is 'identity', but cell min_gru has no recurrent matrix",
    ),
    "recurrent_init without radius": (
        lambda: nn.PeepholeLSTM(3, 6, recurrent_init="spectral_radius"),
        "recurrent_init is 'spectral_radius'; expected ('spectral_radius', r) with a number r above 0",
    ),
    "recurrent_init of a projection": (
        lambda: nn.ProjectedLSTM(3, 6, proj_size=4, recurrent_init=("spectral_radius", 1.0)),
        "recurrent_init is ('spectral_radius', 1.0), but the recurrent matrix of cell projected_lstm is 6 x 4",
    ),
    "forget_bias": (
        lambda: nn.PeepholeLSTM(3, 6, forget_bias="chrono"),
        "forget_bias is 'chrono'; expected a number, or ('chrono', T_max)",
    ),
    "no bias to remember": (
        lambda: nn.PeepholeLSTM(3, 6, bias=False, forget_bias=1.0),
        "gate f of cell peephole_lstm, which makes it remember, has no bias here",
    ),
    "features": (lambda: nn.PeepholeLSTM(3, 6)(torch.zeros(2, 2, 4)), "the input has 4 features; expected input_size"),
    "dimensions": (lambda: nn.PeepholeLSTM(3, 6)(torch.zeros(3)), "the input has the shape (3,); expected 3 dim"),
    "no steps": (lambda: nn.PeepholeLSTM(3, 6)(torch.zeros(0, 2, 3)), "the input has 0 steps"),
    "states": (
        lambda: nn.PeepholeLSTM(3, 6)(torch.zeros(2, 2, 3), torch.zeros(1, 2, 6)),
        "hx holds 1 states; expected one tensor for each of h, c",
    ),
    "shape of a state": (
        lambda: nn.ProjectedLSTM(3, 6, proj_size=2)(torch.zeros(2, 2, 3), (torch.zeros(1, 2, 2), torch.zeros(1, 2, 2))),
        "state c in hx has the shape (1, 2, 2); expected (1, 2, 6)",
    ),
    "shape of an unbatched state": (
        lambda: nn.MGU(3, 6)(torch.zeros(2, 3), torch.zeros(1, 1, 6)),
        "state h in hx has the shape (1, 1, 6); expected (1, 6)",
    ),
    "dtype": (
        lambda: nn.PeepholeLSTM(3, 6)(torch.zeros(2, 2, 3).double()),
        "W is torch.float32 but the input is torch.float64; convert one of them",
    ),
}  # fmt: skip


@pytest.mark.parametrize("call, words", WRONG.values(), ids=WRONG)
def test_what_does_not_fit_is_named_with_the_rule(call: Callable[[], Any], words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        call()


def test_arguments_that_a_cell_does_not_have() -> None:
    with pytest.raises(TypeError, match="MinGRU: got an unexpected keyword argument 'heads'"):
        nn.MinGRU(3, 6, heads=2)
    with pytest.raises(TypeError, match="the input is of the type list; expected a tensor or a PackedSequence"):
        nn.MinGRU(3, 6)([[1.0, 2.0, 3.0]])
    with pytest.raises(TypeError, match="MinGRU: missing a required argument: 'hidden_size'"):
        nn.MinGRU(3)


def test_dropout_without_layers_to_drop_between_is_told() -> None:
    with pytest.warns(UserWarning, match=r"dropout=0\.5 acts between layers"):
        nn.MGU(3, 6, dropout=0.5)


def test_cells_that_cannot_have_layers() -> None:
    @cell(gates="a", states="h", constants={"dropout": 1.0})
    def named_as_an_argument(gate: Any, constant: Any) -> Any:
        return gate.a * constant.dropout

    with pytest.raises(ValueError, match="'dropout' is an argument of every layer"):
        nn.layer_of(named_as_an_argument)

    @cell(gates="a", states="h", sequences="below")
    def reads_too_much(gate: Any, sequence: Any) -> Any:
        return gate.a + sequence.below

    with pytest.raises(ValueError, match=r"its layers have the sequences \(below\) from the layer below"):
        nn.layer_of(reads_too_much)
