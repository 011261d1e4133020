"""Training: the learning rate, stopping, and what is said when it fails."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from ostinato.errors import InputError
from ostinato.sequences.batches import Batches
from ostinato.sequences.network import Encoder, Network
from ostinato.sequences.training import Epoch, Settings, clip, evaluate, train


def network() -> Network:
    torch.manual_seed(0)
    return Network(torch.nn.Identity(), Encoder(1, "gru", 8), "mean", torch.nn.Linear(16, 2))


def batches(count: int = 64, seed: int = 0, shuffle: bool = True) -> Batches:
    """Rows of one sign; the sign is the class."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 2, (count,), generator=generator)
    sequences = [
        (torch.randn(int(torch.randint(1, 9, (1,), generator=generator)), 1, generator=generator) + 2) * (2 * label - 1)
        for label in labels
    ]
    return Batches(sequences, labels, 16, shuffle)


def right(answer: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return (answer.argmax(1) == target).float().mean()


def test_a_network_learns_and_ends_with_its_best_weights() -> None:
    model, held = network(), batches(32, seed=1, shuffle=False)
    told: list[Epoch] = []
    training = train(model, batches(), held, cross_entropy, Settings(epochs=15, learning_rate=0.02), told.append)
    assert tuple(told) == training.history
    best = min(training.history, key=lambda epoch: epoch.val_loss or 0)
    assert training.best == best.number
    loss, accuracy = evaluate(model, held, cross_entropy, right)
    assert loss == best.val_loss
    assert accuracy is not None
    assert accuracy > 0.9


def test_the_best_epoch_goes_by_the_metric_where_there_is_one() -> None:
    values = iter([0.1, 0.9, 0.3, 0.9, 0.5, 0.5])  # of equals, the lower loss is better
    model, held = network(), batches(16, 1, shuffle=False)
    training = train(
        model, batches(), held, cross_entropy, Settings(epochs=9, patience=2, learning_rate=0.02),
        metric=lambda answer, target: torch.tensor(next(values)),
    )  # fmt: skip
    assert training.best == 4
    assert len(training.history) == 6
    assert evaluate(model, held, cross_entropy)[0] == training.history[3].val_loss


def test_without_validation_all_epochs_are_run() -> None:
    training = train(network(), batches(), None, cross_entropy, Settings(epochs=3, patience=1))
    assert [epoch.val_loss for epoch in training.history] == [None] * 3
    assert training.best == 3


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_names_the_learning_rate(broken: float) -> None:
    with pytest.raises(InputError, match=r"the loss is not finite in epoch 1; use a lower learning_rate than 0.5"):
        train(network(), batches(), None, lambda a, t: cross_entropy(a, t) * broken, Settings(learning_rate=0.5))


def test_a_gradient_that_is_not_finite_names_the_learning_rate() -> None:
    # the square root of 0 is finite, its slope is not
    with pytest.raises(InputError, match=r"a gradient is not finite in epoch 1; use a lower learning_rate than 0.001"):
        train(network(), batches(), None, lambda a, t: (a * 0).sum().sqrt(), Settings())


def test_a_validation_loss_that_is_not_finite_is_said() -> None:
    broken = Batches([torch.full((2, 1), float("nan"))], torch.tensor([0]))
    with pytest.raises(InputError, match="the validation loss is not finite in epoch 1"):
        train(network(), batches(), broken, cross_entropy, Settings())


@pytest.mark.parametrize("at_first", [False, True])
@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
@pytest.mark.parametrize("what", ["loss", "metric"])
def test_a_validation_that_is_not_finite_is_said_and_the_best_weights_stay(
    what: str, broken: float, at_first: bool
) -> None:
    model, held, done = network(), batches(16, 1, shuffle=False), 0
    weights: list[dict[str, torch.Tensor]] = []

    def on_epoch(epoch: Epoch) -> None:
        nonlocal done
        done = epoch.number
        weights.append(copy.deepcopy(model.state_dict()))

    def measured(answer: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        value = cross_entropy(answer, target)
        return value if model.training or (done == 0 and not at_first) else value * broken

    loss, metric = (measured, right) if what == "loss" else (cross_entropy, measured)
    with pytest.raises(InputError, match=f"the validation {what} is not finite in epoch {1 if at_first else 2}"):
        train(model, batches(), held, loss, Settings(epochs=5, patience=1), on_epoch, metric=metric)
    assert not model.training
    if not at_first:
        assert any(not torch.equal(*pair) for pair in zip(weights[0].values(), weights[1].values(), strict=True))
        assert all(map(torch.equal, model.state_dict().values(), weights[0].values()))


def test_training_that_diverges_leaves_the_best_weights() -> None:
    model, best, after = network(), {}, 0

    def on_epoch(epoch: Epoch) -> None:
        best.update(copy.deepcopy(model.state_dict()))

    def diverging(answer: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        nonlocal after
        after += bool(best) and model.training
        return cross_entropy(answer, target) * (float("nan") if after == 3 else 1)

    with pytest.raises(InputError, match="the loss is not finite in epoch 2"):
        train(model, batches(), batches(16, 1), diverging, Settings(), on_epoch)
    assert all(torch.equal(weight, best[name]) for name, weight in model.state_dict().items())


def test_gradients_are_cut_to_a_norm() -> None:
    weights = [torch.nn.Parameter(torch.zeros(shape)) for shape in ((3, 4), (5,), ())]
    matrix, vector, _ = weights
    matrix.grad, vector.grad = torch.full((3, 4), 2.0), torch.full((5,), 2.0)
    assert clip(weights, 1.0) == pytest.approx(2 * 17**0.5)
    assert float(matrix.grad.square().sum() + vector.grad.square().sum()) == pytest.approx(1)
    kept = matrix.grad.clone()
    assert clip(weights, 5.0) == pytest.approx(1)
    assert torch.equal(matrix.grad, kept)


def test_the_learning_rate_follows_its_schedule() -> None:
    assert Settings(learning_rate=2.0).rate(0.9) == 2.0
    linear = Settings(learning_rate=2.0, schedule="linear", warmup=0.2)
    assert [round(linear.rate(share), 9) for share in (0.1, 0.2, 0.6, 1.0)] == [1.0, 2.0, 1.0, 0.0]
    cosine = Settings(learning_rate=2.0, schedule="cosine")
    assert [round(cosine.rate(share), 9) for share in (0.0, 0.5, 1.0)] == [2.0, 1.0, 0.0]


def test_training_uses_the_schedule() -> None:
    training = train(network(), batches(), None, cross_entropy, Settings(epochs=4, schedule="linear"))
    rates = [epoch.learning_rate for epoch in training.history]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == pytest.approx(1e-3 * 0.5 / 16)  # the middle of the last of 16 updates


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("epochs", 0), ("patience", 1.5), ("learning_rate", 0.0), ("learning_rate", float("inf")), ("clip", 0.0),
        ("weight_decay", -1.0), ("schedule", "step"), ("warmup", 1.0), ("seed", -1),
        ("seed", 1.5), ("epochs", np.float64(2)),
    ],
)  # fmt: skip
def test_a_setting_out_of_range_is_named(setting: str, value: object) -> None:
    with pytest.raises(InputError, match=f"{setting} is"):
        Settings(**{setting: value})  # type: ignore[arg-type]


def test_whole_numbers_may_be_those_of_numpy() -> None:
    settings = Settings(epochs=np.int64(1), patience=np.int32(3), seed=np.int64(5))  # type: ignore[arg-type]
    assert len(train(network(), batches(), None, cross_entropy, settings).history) == 1


def test_weight_decay_pulls_weights_to_zero() -> None:
    def norm(decay: float) -> float:
        model = network()
        train(model, batches(), None, cross_entropy, Settings(epochs=3, learning_rate=0.01, weight_decay=decay))
        return sum(float(weight.detach().square().sum()) for weight in model.parameters())

    assert norm(5.0) < 0.8 * norm(0.0)


def test_too_large_a_batch_is_said() -> None:
    def lacking(answer: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes")

    with pytest.raises(InputError, match=r"a batch of 16 sequences with .* steps does not fit in memory"):
        train(network(), batches(), None, lacking, Settings())
    with pytest.raises(InputError, match=r"a batch of 16 sequences with .* steps does not fit in memory"):
        evaluate(network(), batches(), lacking)


@pytest.mark.parametrize("rate", [1e38, 1e300])
def test_a_learning_rate_that_overflows_is_said(rate: float) -> None:
    with pytest.raises(InputError, match=r"an update is not finite in epoch 1; use a lower learning_rate than 1e\+"):
        train(network(), batches(), None, cross_entropy, Settings(learning_rate=rate))


def test_other_errors_of_torch_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        train(network(), batches(), None, lambda a, t: a @ torch.zeros(7, 3), Settings())


@pytest.mark.slow
def test_a_seed_gives_the_same_weights_whatever_the_number_of_threads() -> None:
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(1, 60, (48,), generator=generator).tolist()
    tokens = [torch.randint(0, 2000, (length,), generator=generator) for length in lengths]
    labels = torch.randint(0, 2, (48,), generator=generator)

    def weights(threads: int) -> list[torch.Tensor]:
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        embedding, encoder = torch.nn.Embedding(2000, 48), Encoder(48, "lstm", 32)
        model = Network(embedding, encoder, "max+mean", torch.nn.Linear(128, 2), dropout=0.5)
        train(model, Batches(tokens, labels, 24, True), None, cross_entropy, Settings(epochs=1, clip=0.1))
        return list(model.state_dict().values())

    before = torch.get_num_threads()
    try:
        one, two = weights(1), weights(2)
    finally:
        torch.set_num_threads(before)
    assert all(map(torch.equal, one, two))
