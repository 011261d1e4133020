"""What is compared: the cases, their contenders, and what we aim at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ostinato.cells import CELLS

from .contest import Comparison, Contender, Step, Target, Turns
from .problems import GATES, review_lengths

#: Whose layers are compared, and with whose.
OURS, PEER = "ostinato.nn", "PyTorch"

TORCH_LAYER = "benchmarks.with_torch:Layer"
ONNX_LAYER = "benchmarks.with_onnx:Layer"
TORCH_STOCK = "benchmarks.with_torch:StockNetwork"
KERAS_BIDIRECTIONAL = "benchmarks.with_keras:BidirectionalLayer"
KERAS_STOCK = "benchmarks.with_keras:StockNetwork"

CELL_SCAN = "benchmarks.with_cells:Scan"
CELL_LOOP = "benchmarks.with_cells:Loop"
CELL_TORCHRECURRENT = "benchmarks.with_cells:TorchRecurrent"

#: Every cell once, and peers that take a second a step: fewer turns than elsewhere, and shorter ones.
CELL_TURNS = Turns(rounds=5, seconds=0.15, warm_up=0.15)

#: Of different kinds: peepholes, two products one after the other, reductions over the units, heads, no U.
SOME_CELLS = ("peephole_lstm", "gru_reset_before", "layer_norm_lstm", "slstm", "min_gru")

KERAS_BACKENDS = {"torch": "Keras on torch", "jax": "Keras on JAX", "tensorflow": "Keras on TensorFlow"}


def _torch(subject: str, options: Mapping[str, Any], name: str = PEER, oracle: str = "oracle") -> Contender:
    return Contender(name, subject, {**options, "library": "torch.nn"}, oracle=oracle)


def _ours(subject: str, options: Mapping[str, Any], name: str = OURS) -> Contender:
    return Contender(name, subject, {**options, "library": "ostinato.nn"}, ours=True)


def _oracle(subject: str, options: Mapping[str, Any]) -> Contender:
    return Contender("oracle", subject, {**options, "library": "torch.nn", "dtype": "float64"})


def _keras(subject: str, options: Mapping[str, Any]) -> list[Contender]:
    """Our Keras layers, then Keras' own on each backend."""
    backends = [
        Contender(
            name,
            subject,
            {**options, "library": "keras.layers"},
            environment="project" if backend == "torch" else "peers",
            variables={"KERAS_BACKEND": backend},
        )
        for backend, name in KERAS_BACKENDS.items()
    ]
    torch = {"KERAS_BACKEND": "torch"}
    ours = Contender(
        "ostinato.keras", subject, {**options, "library": "ostinato.keras.layers"}, ours=True, variables=torch
    )
    return [ours, *backends]


def stock(quick: bool) -> list[Comparison]:
    """Training step of the stock price tutorial's network: 4 x (LSTM(45), dropout 0.2), Dense(1), MSE, Adam."""
    network = {"units": 45, "layers": 4, "dropout": 0.2, "batch": 32, "steps": 40}
    oracles = {"oracle": _oracle(TORCH_STOCK, network)}
    ways = {"fit": "Keras fit, epochs of 39 batches", "train_on_batch": "Keras train_on_batch"}
    wanted = {"fit": {"JAX": 3, "torch": 8, "TensorFlow": 5}, "train_on_batch": {"JAX": 2, "torch": 5}}
    comparisons = [
        Comparison(
            f"4 x LSTM(45), T=40 B=32: {title}",
            _keras(KERAS_STOCK, {**network, "by": by}),
            oracles,
            steps=40,
            targets={
                f"Keras on {backend}": Target(
                    ratio, f"Stock price network through Keras ({by}), against Keras on {backend}"
                )
                for backend, ratio in wanted[by].items()
            },
        )
        for by, title in ways.items()
        if by == "fit" or not quick
    ]
    contenders = [_ours(TORCH_STOCK, network), _torch(TORCH_STOCK, network)]
    return [*comparisons, Comparison("4 x LSTM(45), T=40 B=32: PyTorch loop", contenders, oracles, steps=40)]


def ragged(quick: bool) -> list[Comparison]:
    """Forward and backward of a bidirectional LSTM(64) over reviews of unlike length, padding never wanted.

    Beside it runs an unpadded batch of as many steps and rows, all of one length, for the time of an operation.
    """
    lengths, origin = review_lengths(batch=64, longest=400)
    shape = {"input_size": 64, "hidden_size": 64, "batch": 64, "steps": 400, "lengths": lengths}
    layer = {**shape, "kind": "LSTM", "bidirectional": True}
    packed = {**layer, "packed": True}
    ours, *backends = _keras(KERAS_BIDIRECTIONAL, shape)
    even = {**layer, "steps": round(sum(lengths) / 64), "lengths": None}
    padded, unpadded = "PyTorch padded", "ostinato.nn, all of one length"
    claim = "Ragged bidirectional LSTM(64), against the best peer"
    return [
        Comparison(
            f"BiLSTM(64), T=400 B=64, lengths of {origin}, {sum(lengths) / 64 / 400:.0%} filled",
            [
                _ours(TORCH_LAYER, packed, "ostinato.nn packed"),
                ours,
                _torch(TORCH_LAYER, layer, padded, oracle="padded"),
                _torch(TORCH_LAYER, packed, "PyTorch packed"),
                *backends,
                replace(_ours(TORCH_LAYER, even, unpadded), ours=False, oracle=unpadded, flops=layer_flops(even)),
            ],
            # The padded backward direction starts in the padding: another result, with an oracle of its own.
            {
                "oracle": _oracle(TORCH_LAYER, packed),
                "padded": _oracle(TORCH_LAYER, layer),
                unpadded: _oracle(TORCH_LAYER, even),
            },
            steps=400,
            flops=layer_flops(packed),
            step=elementwise(packed),
            targets={
                **dict.fromkeys([padded, *KERAS_BACKENDS.values()], Target(6, claim)),
                "PyTorch packed": Target(20, "Ragged bidirectional LSTM(64), against packed PyTorch"),
            },
            efforts={unpadded: Target(1.1, "Time of an operation of the ragged batch, against one of one length")},
        )
    ]


def layer_flops(options: Mapping[str, Any]) -> float:
    """The products of a module of `torch.nn`, two operations for each multiply-add.

    Args:
        options: those of `with_torch.Layer`. A training step has, for each product of the forward, two of the backward.
    """
    units, ways = options["hidden_size"], 1 + options.get("bidirectional", False)
    tokens = sum(options.get("lengths") or [options["steps"] * options["batch"]])
    inputs = [options["input_size"], *[ways * units] * (options.get("layers", 1) - 1)]
    forward = 2.0 * tokens * ways * GATES[options["kind"]] * units * sum(width + units for width in inputs)
    return float(forward * (3 if options.get("training", True) else 1))


#: The cell that a module of `torch.nn` is a layer of.
CELL_OF = {"LSTM": "lstm", "GRU": "gru", "RNN": "elman"}


def elementwise(options: Mapping[str, Any]) -> Step:
    """The elementwise part of one layer's training step; `options` are those of `with_torch.Layer`."""
    tokens = sum(options.get("lengths") or [options["steps"] * options["batch"]])
    ways = 1 + options.get("bidirectional", False)
    return Step(CELL_OF[options["kind"]], options["hidden_size"], tokens * ways)


def on_one_thread(name: str) -> str:
    """What a contender that uses one thread only is called."""
    return f"{name}, 1 thread"


def layer(
    title: str,
    options: Mapping[str, Any],
    targets: Mapping[str, Target] | None = None,
    turns: Turns | None = None,
    singly: bool = False,
) -> Comparison:
    """One module of ours beside PyTorch's; `options` are those of `with_torch.Layer`. `singly`: on one thread, too."""
    contenders = [_ours(TORCH_LAYER, options), _torch(TORCH_LAYER, options)]
    if singly:
        contenders += [replace(one, name=on_one_thread(one.name), threads=1) for one in contenders]
    return Comparison(
        title,
        contenders,
        {"oracle": _oracle(TORCH_LAYER, options)},
        options["steps"],
        layer_flops(options),
        targets or {},
        turns=turns,
    )


#: Up to so many units a layer is to be so many times as fast as PyTorch's, and to reach this part of the peak.
LSTM_WANTED = {64: (2.5, 0.5), 256: (1.6, 0.65), 512: (1.1, 0.65)}


def layer_target(kind: str, hidden_size: int) -> tuple[dict[str, Target], Target | None]:
    """How many times as fast as PyTorch's own module we mean to train one layer, and at what part of the peak."""
    if kind == "GRU":
        return {PEER: Target(5, "GRU layer, against PyTorch")}, None
    if kind != "LSTM":
        return {}, None
    most = min(size for size in LSTM_WANTED if hidden_size <= size)
    ratio, part = LSTM_WANTED[most]
    return (
        {PEER: Target(ratio, f"LSTM layer, up to {most} units, against PyTorch (oneDNN)")},
        Target(part, f"LSTM layer, up to {most} units, part of the multiply-add peak"),
    )


def layers(quick: bool) -> list[Comparison]:
    """Forward and every gradient of single layers, input size = H."""
    shapes = [(40, 32, 45), (100, 64, 64), (100, 64, 128)]
    if not quick:
        shapes = [(40, 32, 45), *((100, 64, units) for units in (32, 64, 128, 256, 512))]
    comparisons = []
    for kind, packed in (("LSTM", False), ("GRU", False), ("RNN", False), ("LSTM", True)):
        for steps, batch, units in shapes:
            options: dict[str, Any] = {"kind": kind, "input_size": units, "hidden_size": units, "batch": batch}
            options["steps"] = steps
            if packed:
                lengths = [max(1, round(n * steps / 400)) for n in review_lengths(batch, longest=400)[0]]
                options |= {"lengths": lengths, "packed": True}
            title = f"{kind}{' packed' * packed} T={steps} B={batch} H={units}"
            targets, part = ({}, None) if packed else layer_target(kind, units)
            comparisons.append(replace(layer(title, options, targets), part=part, step=elementwise(options)))
    return comparisons


def inference(quick: bool) -> list[Comparison]:
    """The forward alone, under `torch.no_grad`."""
    shapes = [
        # kind, layers, T, B, D, H
        ("LSTM", 2, 3, 1, 5, 10),
        ("LSTM", 1, 1, 1, 64, 64),
        ("LSTM", 1, 1000, 1, 64, 64),
        ("LSTM", 1, 100, 1, 128, 128),
        ("GRU", 1, 100, 1, 128, 128),
        ("LSTM", 4, 40, 32, 1, 45),
        ("LSTM", 1, 400, 64, 64, 64),
        ("GRU", 1, 400, 64, 64, 64),
    ]
    if not quick:
        shapes.append(("LSTM", 2, 2000, 8, 256, 256))
    comparisons = []
    for kind, depth, steps, batch, inputs, units in shapes:
        options = {"kind": kind, "input_size": inputs, "hidden_size": units, "batch": batch, "steps": steps}
        options |= {"layers": depth, "training": False}
        comparison = layer(f"{depth} x {kind} T={steps} B={batch} D={inputs} H={units}", options)
        if steps == 1000:
            theirs = {name: options[name] for name in ("input_size", "hidden_size", "batch", "steps")}
            claim = "One row of 1000 steps, LSTM(64), forward, against"
            comparison = replace(
                comparison,
                contenders=[*comparison.contenders, Contender("ONNX Runtime", ONNX_LAYER, theirs)],
                targets={PEER: Target(3, f"{claim} PyTorch"), "ONNX Runtime": Target(2, f"{claim} ONNX Runtime")},
            )
        comparisons.append(comparison)
    return comparisons


def cells(quick: bool) -> list[Comparison]:
    """Forward and every gradient of one layer of every registered cell, the input as wide as the units.

    An operation is one of the products'. Beside each cell runs the plain LSTM, so that both meet the same machine. The
    oracle is the loop in float64.
    """
    from .with_cells import TORCHRECURRENT, forward_flops, structure

    steps, batch, units = (50, 64, 128) if quick else (200, 64, 128)
    loop, theirs, plain = "PyTorch loop", "torchrecurrent", "plain LSTM"

    def flops(name: str) -> float:
        return 3 * forward_flops(structure(name, units), batch * steps)

    def options(name: str, **more: Any) -> dict[str, Any]:
        return {"cell": name, "units": units, "batch": batch, "steps": steps, **more}

    def oracle(name: str) -> Contender:
        return Contender("oracle", CELL_LOOP, options(name, dtype="float64"))

    comparisons = []
    for name in SOME_CELLS if quick else CELLS:
        contenders = [
            Contender("ostinato", CELL_SCAN, options(name), ours=True),
            Contender(plain, CELL_SCAN, options("lstm"), oracle=plain, flops=flops("lstm")),
            Contender(loop, CELL_LOOP, options(name)),
        ]
        targets = {loop: Target(8, "Any cell, against its equations as a loop in PyTorch")}
        if name in TORCHRECURRENT:
            contenders.append(Contender(theirs, CELL_TORCHRECURRENT, options(name)))
            targets[theirs] = Target(8, "Any cell that torchrecurrent has, against torchrecurrent")
        comparisons.append(
            Comparison(
                f"{name} T={steps} B={batch} H={units}",
                contenders,
                {"oracle": oracle(name), plain: oracle("lstm")},
                steps,
                flops(name),
                targets,
                {plain: Target(1.3, "Time of an operation of any cell, against plain LSTM (the most)")},
                CELL_TURNS,
                step=Step(name, units, batch * steps),
            )
        )
    return comparisons
