"""Cut a step into levels: the elementwise parts between its products and reductions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from .graph import LEAVES, Node, effort, in_order, is_derived, is_row_constant, level_of

#: What a level finds in memory instead of computing it.
FOUND = LEAVES | {"gate", "returned", "row_mean"}

#: The most effort of a value that is computed again rather than carried: what is carried is stored, read, and takes the
#: place of something else in the first-level cache.
AGAIN = 4


@dataclass
class Level:
    """One elementwise part.

    Attributes:
        results: values stored where the engine or the backward step looks for them.
        last: likewise, of the last level: they overwrite what earlier levels read.
        exports: values that a later level or product reads, put into a carry slot.
        imports: values of earlier levels, read from their carry slots.
        means: reductions that this level feeds.
    """

    results: list[Node] = field(default_factory=list)
    last: list[Node] = field(default_factory=list)
    exports: list[Node] = field(default_factory=list)
    imports: list[Node] = field(default_factory=list)
    means: list[Node] = field(default_factory=list)

    def roots(self) -> list[Node]:
        return [*self.results, *self.last, *self.exports, *(mean.args[0] for mean in self.means)]

    def used(self) -> Iterator[Node]:
        """Every value that this level computes or finds."""
        stack, seen = self.roots(), set(self.imports)
        while stack:
            current = stack.pop()
            if current in seen:
                continue
            seen.add(current)
            yield current
            if current.op not in FOUND and not is_derived(current):
                stack.extend(current.args)


class Step:
    """A forward or backward step in levels.

    Attributes:
        levels: in the order in which they run.
        carries: the carry slot of each value that goes from one level, or through a product, to a later level. Values
            that no product reads or makes may follow each other in one slot.
        size: how many carry slots there are.
        means: the number of each reduction.
    """

    def __init__(
        self,
        results: Iterable[Node],
        last: Iterable[Node],
        exports: Iterable[Node] = (),
        overwriting: Sequence[Node] = (),
    ) -> None:
        """Cut the step that computes some values, each as early as it can be.

        Args:
            results: values stored as soon as they are known.
            last: values stored by the last level.
            exports: values that products read.
            overwriting: the results that are stored in the slots 0, 1, ...: what was kept there is lost.
        """
        results, last, exports = list(results), list(last), list(exports)
        everything = [*results, *last, *exports]
        number = level_of(everything)
        self.levels = [Level() for _ in range(max((number[value] for value in everything), default=0) + 1)]
        for value in dict.fromkeys(results):
            self.levels[number[value]].results.append(value)
        for value in exports:
            self.levels[number[value]].exports.append(value)
        self.levels[-1].last.extend(last)
        for value in in_order(everything):
            if value.op == "row_mean":
                self.levels[number[value] - 1].means.append(value)
        lost = {slot: number[value] for slot, value in enumerate(overwriting)}
        for k in reversed(range(len(self.levels))):
            level = self.levels[k]
            level.imports = _below(level.roots(), k, number, lost)
            for value in level.imports:
                if value not in self.levels[number[value]].exports:
                    self.levels[number[value]].exports.append(value)

        returned = [value for level in self.levels for value in level.used() if value.op == "returned"]
        self.carries = {value: k for k, value in enumerate(dict.fromkeys([*exports, *returned]))}
        self._carry()
        self.means = {mean: k for k, mean in enumerate(mean for level in self.levels for mean in level.means)}

    def _carry(self) -> None:
        """Give every other value that is carried a slot, be it that of one that the level is the last to read: a level
        reads before it writes."""
        last = {value: k for k, level in enumerate(self.levels) for value in level.imports}
        free: list[int] = []
        taken = set(self.carries)
        self.size = len(taken)
        for k, level in enumerate(self.levels):
            free += [self.carries[value] for value in level.imports if last[value] == k and value not in taken]
            for value in level.exports:
                if value not in self.carries:
                    self.size += not free
                    self.carries[value] = free.pop() if free else self.size - 1


def _below(roots: Iterable[Node], level: int, number: dict[Node, int], lost: Mapping[int, int]) -> list[Node]:
    """The values of earlier levels that computing `roots` at `level` meets, where slots are lost behind some levels."""

    def again(value: Node) -> bool:
        if is_row_constant(value):  # storage keeps what it reads for as long as it is used
            return True
        kept = (leaf.attr for leaf in in_order([value]) if leaf.op in ("saved", "saved_row"))
        return effort(value) <= AGAIN and all(lost.get(slot, level) >= level for slot in kept)

    met: dict[Node, None] = {}
    stack, seen = list(roots), set()
    while stack:
        current = stack.pop()
        if current in seen or current.op in FOUND or is_derived(current):
            continue
        seen.add(current)
        if number[current] < level and not again(current):
            met[current] = None
        else:
            stack.extend(current.args)
    return list(met)
