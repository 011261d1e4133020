"""One layer by how exactly its products are made, beside PyTorch in float32 and in bfloat16."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from .cases import OURS, PEER, TORCH_LAYER, layer_flops
from .contest import Comparison, Contender, Result
from .report import Table, error, ms, notes, times

#: By what `torch.backends.mkldnn.rnn.fp32_precision` says, the largest error that is no mistake; None is float32's.
OUR_ERRORS = {"bf16": 0.1, "tf32": 1e-3, "ieee": None}

AUTOCAST = f"{PEER}, autocast"


def precision(quick: bool) -> list[Comparison]:
    """Forward and every gradient of single layers, input size = H."""
    shapes = [("LSTM", 100, 64, 64), ("GRU", 100, 64, 128)]
    if not quick:
        shapes = [
            ("LSTM", 40, 32, 45),
            *(("LSTM", 100, 64, units) for units in (64, 128, 256, 512)),
            *(("GRU", 100, 64, units) for units in (64, 128, 256, 512)),
        ]
    comparisons = []
    for kind, steps, batch, units in shapes:
        options: dict[str, Any] = {"kind": kind, "input_size": units, "hidden_size": units}
        options |= {"batch": batch, "steps": steps}
        theirs = Contender(PEER, TORCH_LAYER, {**options, "library": "torch.nn"})
        contenders = [
            *(
                Contender(
                    f"{OURS}, {name}",
                    TORCH_LAYER,
                    {**options, "library": "ostinato.nn", "precision": name},
                    ours=True,
                    tolerance=most,
                )
                for name, most in OUR_ERRORS.items()
            ),
            replace(theirs, name=AUTOCAST, options={**theirs.options, "autocast": True}, tolerance=0.3),
            theirs,
        ]
        oracle = replace(theirs, name="oracle", options={**theirs.options, "dtype": "float64"})
        title = f"{kind} T={steps} B={batch} H={units}"
        comparisons.append(Comparison(title, contenders, {"oracle": oracle}, steps, layer_flops(options)))
    return comparisons


def tables(results: Sequence[Result]) -> list[Table]:
    """The times, with what they are times as fast as, and the errors."""
    names = [outcome.contender.name for outcome in results[0].outcomes]
    best, exact = names[0], f"{OURS}, ieee"
    compared = [(exact, best), (AUTOCAST, best), (PEER, best), (PEER, exact)]
    header = ["", *(f"{name} ms" for name in names), *(f"{other} / {ours}" for other, ours in compared), "note"]
    fast = [
        [
            result.comparison.title,
            *(ms(outcome.median) for outcome in result.outcomes),
            *(times(result.ratio(other, ours)) for other, ours in compared),
            notes(result),
        ]
        for result in results
    ]
    exact_rows = [[result.comparison.title, *map(error, result.outcomes)] for result in results]
    return [
        Table("Training step of one layer, by the precision of its products (input size H)", header, fast),
        Table("The largest error of any output or gradient, relative to its largest entry", ["", *names], exact_rows),
    ]
