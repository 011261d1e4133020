"""Recording while a network is trained."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ostinato import nn
from ostinato.inspect import InputError, Probe, Recorder, figures, gates, gradient_flow
from ostinato.inspect.callback import Record
from ostinato.keras import callbacks, layers, models

from .networks import DTYPE, Network, of_cell, sequences


def test_every_so_many_steps_what_the_measures_find() -> None:
    network = Network(nn.LSTM(3, 5, 2, batch_first=True, bidirectional=True, dtype=DTYPE))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    batches = [(torch.randn(4, 6, 3, dtype=DTYPE), torch.randn(4, 6, 2, dtype=DTYPE)) for _ in range(5)]
    want = []
    with Recorder(network, every=2, rows=3) as recorder:
        for number, (x, y) in enumerate(batches):
            if number % 2 == 0:
                probe = Probe(network, x)
                with torch.no_grad():
                    seen = gradient_flow_of(network, x, y), [one.saturation for one in gates(probe, 3)]
                want.append(seen)
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(network(x), y).backward()
            optimizer.step()
            with torch.no_grad():
                network(x)  # no step: nothing is trained
    assert [one.step for one in recorder.snapshots] == [1, 3, 5]
    for one, (flows, saturation) in zip(recorder.snapshots, want, strict=True):
        assert len(one.flows) == len(flows) == 8
        for own, other in zip(one.flows, flows, strict=True):
            assert (own.layer, own.direction, own.state) == (other.layer, other.direction, other.state)
            np.testing.assert_allclose(own.norms, other.norms, rtol=1e-10)
        for own, other in zip(one.saturation, saturation, strict=True):
            assert own.gate == other.gate and (own.open == other.open).all() and (own.shut == other.shut).all()
    assert recorder.norms("layer.1", "c", 1).shape == (3, 6)
    with pytest.raises(InputError, match="nothing is recorded of"):
        recorder.norms("layer", "c")
    assert not network.layer._forward_hooks and not network._forward_hooks and not network._forward_pre_hooks


def gradient_flow_of(network: Network, x: torch.Tensor, y: torch.Tensor) -> object:
    return gradient_flow(Probe(twin(network), x), y)


def twin(network: Network) -> Network:
    """The same network without the recorder's hooks."""
    made = Network(nn.LSTM(3, 5, 2, batch_first=True, bidirectional=True, dtype=DTYPE))
    made.load_state_dict(network.state_dict())
    return made


@pytest.mark.parametrize(("every", "steps"), [(1, [2, 4, 6]), (2, [1, 3, 5]), (3, [1, 4]), (4, [1, 5])])
def test_a_backward_pass_may_come_after_another_forward_pass(every: int, steps: list[int]) -> None:
    """As of a loss that compares two outputs. A step without a backward pass is given up for the next recorded one."""
    gru, x = nn.GRU(3, 4), torch.randn(5, 2, 3)
    with Recorder(gru, every=every) as recorder:
        for _ in range(3):
            first, second = gru(x)[0], gru(2 * x)[0]
            (first - second).square().sum().backward()
        gru(x)
    assert [one.step for one in recorder.snapshots] == steps
    assert all(flow.norms.all() for one in recorder.snapshots for flow in one.flows)


def test_training_goes_as_it_would_without() -> None:
    results = []
    for every in (None, 1):
        torch.manual_seed(3)
        network = of_cell("zoneout_lstm")
        x = sequences(network)
        optimizer = torch.optim.Adam(network.parameters())
        recorder = Recorder(network, every or 1)
        if every:
            recorder.__enter__()
        for _ in range(4):
            optimizer.zero_grad()
            network(x).square().sum().backward()
            optimizer.step()
        if every:
            recorder.__exit__()
            assert len(recorder.snapshots) == 4
        results.append(torch.cat([one.detach().ravel() for one in network.parameters()]))
    assert torch.equal(*results)


def test_a_step_is_shown_with_the_dropout_that_it_drew() -> None:
    layer = nn.LSTM(3, 5, 2, batch_first=True, dropout=1.0, dtype=DTYPE)  # nothing of the first layer comes through
    with torch.no_grad():
        layer.weight_ih_l1 *= 100.0
    x = torch.randn(4, 6, 3, dtype=DTYPE)
    with Recorder(layer, rows=3) as recorder:
        layer(x)[0].sum().backward()
    upper = nn.LSTM(5, 5, batch_first=True, dtype=DTYPE)
    upper.load_state_dict({f"{name[:-1]}0": one for name, one in layer.state_dict().items() if name.endswith("1")})
    want = {one.gate: one.saturation for one in gates(Probe(upper, torch.zeros(3, 6, 5, dtype=DTYPE)))}
    rested = {one.gate: one.saturation for one in gates(Probe(layer, x[:3])) if one.layer == "LSTM.1"}
    shown = {one.gate: one for one in recorder.snapshots[0].saturation if one.layer == "LSTM.1"}
    assert set(shown) == set("ifo")
    for name, one in shown.items():
        assert (one.open == want[name].open).all() and (one.shut == want[name].shut).all()
    assert not all((one.open == rested[name].open).all() for name, one in shown.items())


def test_the_model_may_be_the_layer() -> None:
    layer = nn.GRU(3, 4, batch_first=True)
    with Recorder(layer, every=3, rows=0) as recorder:
        for _ in range(4):
            layer(torch.randn(2, 5, 3))[0].sum().backward()
    assert [one.step for one in recorder.snapshots] == [1, 4]
    assert recorder.snapshots[0].saturation == () and recorder.norms("GRU", "h").shape == (2, 5)


def test_a_forward_pass_that_fails_leaves_nothing_behind() -> None:
    layer = nn.GRU(3, 4, batch_first=True)
    with Recorder(layer, every=1) as recorder:
        with pytest.raises(RuntimeError):
            layer(torch.randn(2, 5, 7))
        layer(torch.randn(2, 5, 3))[0].sum().backward()
    assert [one.step for one in recorder.snapshots] == [2]


@pytest.mark.parametrize("lengths", [(6, 4), (4, 6)])
def test_batches_of_unlike_length(lengths: tuple[int, int]) -> None:
    layer = nn.GRU(3, 4, batch_first=True)
    with Recorder(layer, every=1) as recorder:
        for length in lengths:
            layer(torch.randn(2, length, 3))[0].sum().backward()
    norms = recorder.norms("GRU", "h")
    assert norms.shape == (2, 6) and np.isfinite(norms).sum() == 10


@pytest.mark.parametrize("given", [{"every": 0}, {"every": 1.5}, {"rows": -1}, {"rows": "a"}])
def test_bad_arguments(given: dict[str, int]) -> None:
    with pytest.raises(InputError, match=f"{next(iter(given))} is"):
        Recorder(of_cell("lstm"), **given)


def test_a_callback_of_keras() -> None:
    def model() -> object:
        made = models.Sequential(
            [layers.Input((6, 2)), layers.Bidirectional(layers.LSTM(3, return_sequences=True), name="both"),
             layers.Dropout(0.2, seed=1), layers.GRU(4, name="top"), layers.Dense(1)]
        )  # fmt: skip
        random = np.random.default_rng(0)
        made.set_weights([random.normal(size=one.shape) * 0.4 for one in made.get_weights()])
        made.compile("adam", "mse")
        return made

    random = np.random.default_rng(1)
    x, y = random.normal(size=(24, 6, 2)).astype("float32"), random.normal(size=(24, 1)).astype("float32")
    record, results = Record(every=2, rows=2), []
    for given in ([], [record]):
        one = model()
        history = one.fit(  # type: ignore[attr-defined]
            x, y, epochs=2, batch_size=8, shuffle=False, verbose=0, callbacks=given, validation_split=0.25
        )
        results.append(history.history["loss"])
    assert results[0] == results[1]
    assert [one.step for one in record.snapshots] == [1, 3, 5]
    told = [(one.layer, one.direction, one.state) for one in record.snapshots[0].flows]
    assert told == [("both", 0, "h"), ("both", 0, "c"), ("both", 1, "h"), ("both", 1, "c"), ("top", 0, "h")]
    assert all((one.norms > 0).any() for snapshot in record.snapshots for one in snapshot.flows)
    assert {one.gate for one in record.snapshots[0].saturation if one.layer == "top"} == {"r", "z"}
    (run,) = record.curves.runs.values()
    assert list(run) == ["loss", "val_loss"] and run["loss"].tolist() == results[1]


@pytest.mark.parametrize("again", [True, False])
def test_what_an_interrupted_training_has_left_is_taken_off(again: bool) -> None:
    made = models.Sequential([layers.Input((6, 2)), layers.GRU(3), layers.Dense(1)])
    made.compile("adam", "mse")
    x, y = np.ones((12, 6, 2), "float32"), np.ones((12, 1), "float32")
    plain = hooks_of(made)

    class Stop(callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: object = None) -> None:
            raise KeyboardInterrupt

    record = Record(every=1)
    with pytest.raises(KeyboardInterrupt):
        made.fit(x, y, batch_size=4, verbose=0, callbacks=[record, Stop()])
    assert hooks_of(made) == plain
    first, later = record.snapshots, [record if again else Record(every=1), Record(every=2)]
    made.fit(x, y, batch_size=4, verbose=0, callbacks=later)
    assert [one.step for one in first] == [1]
    assert [[one.step for one in each.snapshots] for each in later] == [[1, 2, 3], [1, 3]]
    assert hooks_of(made) == plain


def hooks_of(model: object) -> int:
    return sum(len(one._forward_hooks) + len(one._forward_pre_hooks) for one in model.modules())


@pytest.mark.parametrize("scale", [1e-3, 30.0])
def test_the_scale_of_saturated_gates_makes_nothing_of_next_to_none(scale: float) -> None:
    from ostinato.inspect.figures import draw_recording

    network = Network(nn.LSTM(3, 5, batch_first=True, dtype=DTYPE))
    with torch.no_grad():
        for weight in network.layer.parameters():
            weight.mul_(scale)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-9)
    with Recorder(network, every=1, rows=3) as recorder:
        for _ in range(3):
            optimizer.zero_grad()
            network(torch.randn(4, 6, 3, dtype=DTYPE)).mean().backward()
            optimizer.step()
    bottom, top = draw_recording(recorder.snapshots).axes[1].get_ylim()
    assert bottom == 0
    assert top == 0.1 if scale < 1 else top > 0.5


def test_names_that_are_alike_up_to_their_ends() -> None:
    class Encoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.sentence_encoder_recurrent = nn.LSTM(3, 4, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.sentence_encoder_recurrent(x)[0]
            return found

    model = Encoder()
    with Recorder(model, every=1) as recorder:
        for _ in range(3):
            model(torch.randn(4, 6, 3)).sum().backward()
    figure = figures.draw_recording(recorder.snapshots)
    labels = [text.get_text() for panel in figure.axes for text in panel.get_legend().get_texts()]
    assert len(labels) == len(set(labels)) == 5
