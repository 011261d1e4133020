"""The module of every registered cell: its values, forms of input, states, gradients, and what it stores."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from ostinato import nn, scan
from ostinato.cells import CELLS, cell

from .zoo import BATCH, HIDDEN, INPUT, STEPS, by_hand, listed, make, names, sequence, states, weights


def assert_same(found: Any, expected: Any) -> None:
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=1e-10)


every_cell = pytest.mark.parametrize("name", names())
both_directions = pytest.mark.parametrize("bidirectional", [False, True], ids=["one", "both"])


@both_directions
@every_cell
def test_a_stack_is_the_scans_of_its_layers(name: str, bidirectional: bool) -> None:
    module = make(name, num_layers=3, bidirectional=bidirectional).eval()
    x, hx = sequence(module), states(module)
    y, hidden = module(x, hx)
    expected, finals = by_hand(module, x, hx)
    assert_same(y, expected)
    assert_same(listed(hidden), finals)


@every_cell
def test_without_initial_states_they_are_zeros(name: str) -> None:
    module = make(name, num_layers=2).eval()
    x, hx = sequence(module), states(module)
    zeros = tuple(torch.zeros_like(one) for one in listed(hx))
    assert_same(module(x), module(x, zeros if len(zeros) > 1 else zeros[0]))


@every_cell
def test_batch_first_turns_the_input_only(name: str) -> None:
    module = make(name, num_layers=2, bidirectional=True).eval()
    x, hx = sequence(module), states(module)
    y, hidden = module(x, hx)
    module.batch_first = True
    turned, same = module(x.transpose(0, 1), hx)
    assert_same(turned.transpose(0, 1), y)
    assert_same(same, hidden)


@every_cell
def test_unbatched_input_is_a_batch_of_one(name: str) -> None:
    module = make(name, num_layers=2, bidirectional=True).eval()
    x, hx = sequence(module, STEPS, 1), states(module, 1)
    y, hidden = module(x, hx)
    alone = tuple(one.squeeze(1) for one in listed(hx))
    found, final = module(x.squeeze(1), alone if len(alone) > 1 else alone[0])
    assert_same(found, y.squeeze(1))
    assert_same(listed(final), tuple(one.squeeze(1) for one in listed(hidden)))


@pytest.mark.parametrize("lengths", [[7, 5, 5, 1], [2, 7, 1, 5]], ids=["sorted", "unsorted"])
@every_cell
def test_a_packed_sequence_is_its_rows_one_by_one(name: str, lengths: list[int]) -> None:
    module = make(name, num_layers=2, bidirectional=True, batch_first=True).eval()
    x, hx = sequence(module), states(module)
    packed = pack_padded_sequence(x, torch.tensor(lengths), batch_first=True, enforce_sorted=False)
    output, hidden = module(packed, hx)
    y, found = pad_packed_sequence(output, batch_first=True)
    assert found.tolist() == lengths
    for row, length in enumerate(lengths):
        initial = tuple(one[:, row : row + 1] for one in listed(hx))
        alone, final = module(x[row : row + 1, :length], initial if len(initial) > 1 else initial[0])
        assert_same(y[row, :length], alone[0])
        assert_same(tuple(one[:, row : row + 1] for one in listed(hidden)), listed(final))


@every_cell
def test_a_mask_at_the_end_is_a_packed_sequence(name: str) -> None:
    module = make(name, num_layers=2, bidirectional=True, batch_first=True).eval()
    x, lengths = sequence(module), torch.tensor([7, 5, 5, 1])
    mask = torch.arange(STEPS) < lengths.unsqueeze(1)
    masked, hidden = module(x, mask=mask)
    output, same = module(pack_padded_sequence(x, lengths, batch_first=True))
    assert_same(masked, pad_packed_sequence(output, batch_first=True)[0])
    assert_same(hidden, same)


@every_cell
def test_masked_steps_are_as_if_they_were_not_there(name: str) -> None:
    module = make(name, num_layers=2).eval()
    x, runs = sequence(module, STEPS), torch.tensor([1, 0, 1, 1, 0, 0, 1]).bool()
    y, hidden = module(x, mask=runs)
    expected, same = module(x[runs])
    assert_same(y[runs], expected)
    assert not y[~runs].any()
    assert_same(hidden, same)


@every_cell
def test_a_state_carried_over_a_cut_goes_on(name: str) -> None:
    module = make(name, num_layers=2).eval()
    x, hx = sequence(module), states(module)
    whole, end = module(x, hx)
    first, carried = module(x[:3], hx)
    second, last = module(x[3:], carried)
    assert_same(torch.cat([first, second]), whole)
    assert_same(last, end)


@every_cell
def test_rows_do_not_touch_each_other(name: str) -> None:
    module = make(name, num_layers=2, bidirectional=True).eval()
    x, hx, order = sequence(module), states(module), torch.tensor([2, 0, 3, 1])
    y, hidden = module(x, hx)
    turned = tuple(one[:, order] for one in listed(hx))
    found, finals = module(x[:, order], turned if len(turned) > 1 else turned[0])
    assert_same(found, y[:, order])
    assert_same(listed(finals), tuple(one[:, order] for one in listed(hidden)))


@every_cell
def test_a_gradient_reaches_all_that_is_trained_and_nothing_else(name: str) -> None:
    module = make(name, num_layers=2, bidirectional=True)
    x = sequence(module).requires_grad_()
    y, hidden = module(x, states(module))
    (y.sum() + sum(one.sum() for one in listed(hidden)[1:])).backward()
    assert x.grad is not None and x.grad.count_nonzero()
    lost = [one for one, parameter in module.named_parameters() if not parameter.grad.count_nonzero()]
    assert lost == []
    assert all(parameter.grad.isfinite().all() for parameter in module.parameters())
    assert {one.rpartition("_l")[0] for one, _ in module.named_buffers()} == {*module.cell.constants}
    assert not any(buffer.requires_grad for _, buffer in module.named_buffers())


@every_cell
def test_every_layer_runs_as_explained(name: str) -> None:
    module = make(name, num_layers=2, bidirectional=True).eval()
    x, hx = sequence(module), states(module)
    with scan.watch() as taken:
        told = module.explain(x, hx)
        assert taken == [], "explaining must not run anything"
        module(x, hx)
    ran = [f"{choice.backend}: {choice.reason}" for choice in taken]
    assert len(ran) == module.num_layers
    assert told == (ran[0] if len({*ran}) == 1 else "; ".join(f"layer {k}: {one}" for k, one in enumerate(ran)))


@every_cell
def test_the_state_dict_holds_everything(name: str) -> None:
    module = make(name, num_layers=2, bidirectional=True).eval()
    other = make(name, num_layers=2, bidirectional=True).eval()
    x = sequence(module)
    assert not torch.equal(module(x)[0], other(x)[0])
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(module(x)[0], other(x)[0])


@every_cell
def test_a_copy_and_a_pickle_are_modules_of_their_own(name: str) -> None:
    module = make(name, num_layers=2, dropout=0.1).eval()
    x = sequence(module)
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert type(other) is type(module)
        assert repr(other) == repr(module)
        assert torch.equal(other(x)[0], module(x)[0])
        with torch.no_grad():
            for parameter in other.parameters():
                parameter.zero_()
        assert all(parameter.count_nonzero() for parameter in module.parameters())


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_torchs_own_three_agree_with_the_general_module(kind: str) -> None:
    cell = {"LSTM": "lstm", "GRU": "gru", "RNN": "elman"}[kind]
    general = make(cell, num_layers=2, bidirectional=True)
    oracle = getattr(torch.nn, kind)(INPUT, HIDDEN, 2, bidirectional=True, dtype=torch.float64)
    missing, unexpected = oracle.load_state_dict(general.state_dict(), strict=False)
    assert unexpected == []
    assert all(one.startswith("bias_hh") for one in missing)
    with torch.no_grad():
        for one in missing:
            getattr(oracle, one).zero_()
    x = sequence(general)
    assert_same(general(x), oracle(x))


@every_cell
def test_float32_follows_float64(name: str) -> None:
    module = make(name, num_layers=2).eval()
    x, hx = sequence(module), states(module)
    y, _ = module(x, hx)
    single = tuple(one.float() for one in listed(hx))
    found, _ = copy.deepcopy(module).float()(x.float(), single if len(single) > 1 else single[0])
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), y, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", [name for name, cell in CELLS.items() if not (cell.masks or cell.sequences)])
def test_dropout_acts_between_layers_and_in_training(name: str) -> None:
    module = make(name, num_layers=2, dropout=1.0)
    x = sequence(module)
    zeros = x.new_zeros(STEPS, BATCH, module.structures[1].input_size)
    second, _ = scan.scan(module.cell, zeros, [weights(module, module.cell, 1, 0)], layout="time")
    assert_same(module(x)[0], second)
    plain = copy.deepcopy(module)
    plain.dropout = 0.0
    assert_same(module.eval()(x), plain(x))


def test_autocast_keeps_the_dtype_of_the_weights() -> None:
    module = nn.PeepholeLSTM(INPUT, HIDDEN)
    x = torch.randn(STEPS, BATCH, INPUT)
    with torch.autocast("cpu", torch.bfloat16):
        y, _ = module(x.bfloat16())
        rounded = module.explain(x.bfloat16()).endswith(", products of bfloat16")
    assert y.dtype == torch.float32
    torch.testing.assert_close(y, module(x.bfloat16().float())[0], atol=0.02 if rounded else 1e-5, rtol=0.0)


def test_the_first_layer_below_a_depth_gate_is_a_peephole_lstm() -> None:
    module = nn.DepthGatedLSTM(INPUT, HIDDEN, num_layers=2, fixed={"p_below": 0.0, "p_o": 0.0})
    first = {one for one in module.state_dict() if one.endswith("_l0")}
    assert first == {f"{one}_l0" for one in ("weight_ih", "weight_hh", "bias_ih", "p_i", "p_f", "p_o")}
    assert {one for one, _ in module.named_buffers()} == {"p_o_l0", "p_below_l1", "p_o_l1"}
    alone = nn.DepthGatedLSTM(INPUT, HIDDEN, dtype=torch.float64)
    plain = nn.PeepholeLSTM(INPUT, HIDDEN, dtype=torch.float64)
    plain.load_state_dict(alone.state_dict())
    x = torch.randn(STEPS, BATCH, INPUT, dtype=torch.float64)
    assert_same(alone(x), plain(x))


@pytest.mark.parametrize(
    "changed", [{"bias": "f"}, {"initial": {"b_f": 3.0}}, {"forget": None}, {"gates": "o g f i"}], ids=str
)
def test_a_first_layer_that_is_held_in_another_way_is_the_cell_itself(changed: dict[str, Any]) -> None:
    def below(gate: Any, state: Any, sequence: Any, phi: Any, sigma: Any) -> Any:
        c = sigma(gate.f) * state.c + sigma(gate.i) * phi(gate.g) + sequence.d
        return sigma(gate.o) * phi(c), c

    lstm = CELLS["lstm"]
    same = {
        "gates": "i f g o", "states": "h c", "sequences": "d", "phi": "tanh", "sigma": "sigmoid",
        "forget": lstm.forget, "recurrent_bias": " ".join(lstm.recurrent_bias),
    }  # fmt: skip
    assert scan.lowest(cell(**same)(below)) is lstm
    own = cell(**{**same, **changed})(below)
    assert scan.lowest(own) is own


def test_an_own_cell_is_refused_with_its_sentence() -> None:
    @cell(gates="f c", states="h")
    def misspelled(gate: Any, state: Any) -> Any:
        return gate.f * state.h + gate.candidate

    with pytest.raises(ValueError, match=r"has no gate 'candidate'; its gates are f, c\n.*line \d+: return gate.f"):
        nn.layer_of(misspelled)(INPUT, HIDDEN)


@pytest.mark.parametrize("kind, name", [("matrices", "hh:HH"), ("matrices", "ih:HD"), ("parameters", "bias_ih")])
def test_two_tensors_of_one_name_are_refused(kind: str, name: str) -> None:
    def two(gate: Any, state: Any, x: Any, matrix: Any, p: Any) -> Any:
        if kind == "parameters":
            return gate.a * p.bias_ih
        return gate.a + (matrix.hh @ state.h if name == "hh:HH" else matrix.ih @ x)

    own = cell(gates="a", states="h", **{kind: name})(two)
    with pytest.raises(ValueError, match="as it does another of its tensors; choose another name"):
        nn.layer_of(own)(INPUT, HIDDEN)


@pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN", "PeepholeLSTM", "MGU"])
def test_shapes_are_found_without_memory(name: str) -> None:
    module = getattr(nn, name)(INPUT, HIDDEN, device="meta")
    y, _ = module(torch.empty(STEPS, BATCH, INPUT, device="meta"))
    assert (y.shape, y.device.type) == ((STEPS, BATCH, HIDDEN), "meta")


@every_cell
def test_names_of_classes_are_found_where_they_say(name: str) -> None:
    made = nn.layer_of(CELLS[name])
    assert made is nn.layer_of(CELLS[name])
    home = __import__(made.__module__, fromlist=[made.__name__])
    assert getattr(home, made.__name__) is made
    named = getattr(nn, CELLS[name].layer)
    assert named.__name__ in nn.__all__
    assert named.__name__ in dir(nn)


def test_every_cell_has_a_name_of_its_own() -> None:
    assert len({cell.layer for cell in CELLS.values()}) == len(CELLS)
    assert len({*nn.__all__}) == len(nn.__all__)
