"""Cut a step into levels: the elementwise parts between its products and reductions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from .graph import LEAVES, Node, in_order, level_of

#: What a level finds in memory instead of computing it.
FOUND = LEAVES | {"gate", "returned", "row_mean"}


@dataclass
class Level:
    """One elementwise part.

    Attributes:
        results: values stored where the engine or the backward step looks for them.
        exports: values that a later level or product reads, put into a carry slot.
        imports: values of earlier levels, read from their carry slots.
        means: reductions that this level feeds.
    """

    results: list[Node] = field(default_factory=list)
    exports: list[Node] = field(default_factory=list)
    imports: list[Node] = field(default_factory=list)
    means: list[Node] = field(default_factory=list)

    def roots(self) -> list[Node]:
        return [*self.results, *self.exports, *(mean.args[0] for mean in self.means)]


def _below(roots: Iterable[Node], level: int, levels: dict[Node, int]) -> list[Node]:
    """The values of earlier levels that computing `roots` at `level` meets."""
    met: dict[Node, None] = {}
    stack, seen = list(roots), set()
    while stack:
        current = stack.pop()
        if current in seen or current.op in FOUND:
            continue
        seen.add(current)
        if levels[current] < level:
            met[current] = None
        else:
            stack.extend(current.args)
    return list(met)


def cut(results: Iterable[Node], last: Iterable[Node], exports: Iterable[Node] = ()) -> list[Level]:
    """The levels that compute `results`, each as early as it can be, and `last` at the very end.

    Args:
        results: values stored as soon as they are known.
        last: values stored by the last level, because they overwrite what earlier levels read.
        exports: values that products read.
    """
    results, last, exports = list(results), list(last), list(exports)
    everything = [*results, *last, *exports]
    levels = level_of(everything)
    parts = [Level() for _ in range(max((levels[value] for value in everything), default=0) + 1)]
    for value in results:
        parts[levels[value]].results.append(value)
    for value in exports:
        parts[levels[value]].exports.append(value)
    parts[-1].results.extend(last)
    for value in in_order(everything):
        if value.op == "row_mean":
            parts[levels[value] - 1].means.append(value)
    for number in reversed(range(len(parts))):
        part = parts[number]
        part.imports = _below(part.roots(), number, levels)
        for value in part.imports:
            if value not in parts[levels[value]].exports:
                parts[levels[value]].exports.append(value)
    return parts
