"""Print cells and activations as C++; `kernels/rows.h` and `kernels/call.h` are the other side of what is printed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from ..cells import ACTIVATIONS, SYMBOLS, Activation, Cell
from .graph import Node, constant, is_row_constant, node
from .levels import Level, Step
from .plan import Plan
from .reverse import slope_of
from .table import print_table

_INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/"}
#: Long chains of operations.
_FUNCTIONS = {"activate", "exp", "log1p", "erf", "tanh", "sigmoid"}
_METHODS = {"activate": "value", "keep": "keep", "reload": "reload", "slope": "slope"}


class _Body:
    """Straight-line code for the nodes below some roots; each node becomes one variable.

    Attributes:
        row: lines of what all units of a row share.
        made: the line of every other node that has one, each behind those of its arguments.
        read: for each of these what it is computed of; nothing where it stands in memory.
    """

    def __init__(self, found: Callable[[Node], str | None]) -> None:
        self.row: list[str] = []
        self.made: dict[Node, str] = {}
        self.read: dict[Node, list[Node]] = {}
        self._found = found
        self._names: dict[Node, str] = {}

    @property
    def lines(self) -> list[str]:
        """Those of `made`."""
        return list(self.made.values())

    def __call__(self, value: Node) -> str:
        if value not in self._names:
            there = self._found(value)
            text = there or self._expression(value)
            if value.op == "constant" or text.isidentifier():
                return self._names.setdefault(value, text)
            name = self._names[value] = f"v{len(self._names)}"
            line = f"const V {name} = {text};"
            if is_row_constant(value):
                self.row.append(line)
            else:
                self.made[value] = line
                self.read[value] = [] if there else [arg for arg in value.args if arg in self.made]
        return self._names[value]

    def _expression(self, value: Node) -> str:
        if value.op == "constant":
            return f"splat<V>({_number(value.attr)})"
        args = [self(arg) for arg in value.args]
        if value.op in _INFIX:
            return f"{args[0]} {_INFIX[value.op]} {args[1]}"
        if value.op == "neg":
            return f"-{args[0]}"
        if value.op in _METHODS:
            return f"{value.attr}.{_METHODS[value.op]}({', '.join(args)})"
        return f"{value.op}({', '.join(args)})"


def _number(value: float) -> str:
    if math.isnan(value):
        return "NAN"
    return repr(value) if math.isfinite(value) else "INFINITY" if value > 0 else "-INFINITY"


def _method(signature: str, formula: Node, x: Node) -> str:
    body = _Body(lambda value: "x" if value is x else None)
    result = body(formula)
    lines = "".join(f"    {line}\n" for line in body.lines)
    return f"  template <class V> static V {signature} {{\n{lines}    return {result};\n  }}\n"


def print_activation(activation: Activation, number: int) -> str:
    """One activation as a struct: its value, what to keep of it, and value and slope from what was kept."""
    x = node("input")
    from_output = activation.slope is not None
    slope = activation.slope(x) if activation.slope else slope_of(activation.value, x)
    return (
        f"struct {activation.name}_activation {{\n"
        f"  static constexpr int number = {number};\n"
        + _method("value(V x)", activation.value(x), x)
        + f"  template <class V> static V keep(V x, V y) {{ return {'y' if from_output else 'x'}; }}\n"
        + f"  template <class V> static V reload(V kept) {{ return {'kept' if from_output else 'value(kept)'}; }}\n"
        + _method("slope(V x)", slope, x)
        + "};\n"
    )


def print_activations() -> str:
    """Every activation, and `any_activation`, which chooses one by its number at run time."""
    parts = [print_activation(activation, k) for k, activation in enumerate(ACTIVATIONS.values())]
    choices = ""
    for method, names in {"value": "x", "keep": "x, y", "reload": "x", "slope": "x"}.items():
        arguments = ", ".join(f"V {name}" for name in names.split(", "))
        cases = "".join(
            f"      case {k}: return {name}_activation::{method}({names});\n" for k, name in enumerate(ACTIVATIONS)
        )
        choices += (
            f"  template <class V> OSTINATO_APART V {method}({arguments}) const {{\n    switch (number) {{\n{cases}"
            "      default: __builtin_unreachable();\n    }\n  }\n"
        )
    parts.append(f"struct any_activation {{\n  int number;\n{choices}}};\n")
    return "\n".join(parts)


def _place(array: str, number: int | str) -> str:
    return f"at.{array} + row * at.{array}_row + {number} * at.width + u"


def _derive(plan: Plan) -> str:
    """What makes the derived vectors, which stand behind the parameters."""

    def load(value: Node) -> str | None:
        return f"load<V>(parameters + {value.attr} * width + u)" if value.op == "parameter" else None

    body, first = _Body(load), len(plan.cell.vectors)
    stored = [f"store(parameters + {first + k} * width + u, {body(value)});" for k, value in enumerate(plan.derived)]
    inner = "".join(f"      {line}\n" for line in [*body.lines, *stored])
    return (
        "  template <class V>\n"
        "  static void derive(scalar<V>* parameters, long width, long first, long last) {\n"
        f"    for (long u = first; u < last; u += lanes<V>) {{\n{inner}    }}\n  }}\n"
    )


def _level(
    plan: Plan,
    name: str,
    level: Level,
    step: Step,
    columns: dict[Node, int],
    stores: list[tuple[str, Node]],
    row_stores: list[tuple[str, Node]],
    first: list[str],
) -> str:
    """One level as a function over a block of rows.

    Args:
        plan: of the cell.
        name: of the function.
        level: what it computes.
        step: the step that it is part of.
        columns: where each gate node stands among the products.
        stores: places to fill, with the value for each.
        row_stores: likewise, of one number a row.
        first: lines that come before everything else.
    """

    derived = {value: k for k, value in enumerate(plan.derived)}

    def found(value: Node) -> str | None:
        places = {"state": "state", "gradient": "gradient", "saved": "slots"}
        if value in derived:
            return f"load<V>(at.parameters + {len(plan.cell.vectors) + derived[value]} * at.width + u)"
        if value in columns:
            return f"load<V>({_place('products', columns[value])})"
        if value in step.means:
            return f"splat<V>(at.means[row * at.means_row + {step.means[value]}])"
        if value.op == "saved_row":
            return f"splat<V>(at.slots[row * at.slots_row + {value.attr} * at.width])"
        if value.op == "returned" or value in level.imports:
            return f"load<V>({_place('carry', step.carries[value])})"
        if value.op in places:
            return f"load<V>({_place(places[value.op], value.attr)})"
        if value.op == "parameter":
            return f"load<V>(at.parameters + {value.attr} * at.width + u)"
        if value.op == "input":
            return "load<V>(at.input + row * at.input_row + u)"
        if value.op == "sequence":
            return f"load<V>({_place('sequences', value.attr)})"
        return "splat<V>(at.step)" if value.op == "step" else None

    body = _Body(found)
    # every load stands before every store: a slot may be read and overwritten by the same level
    filled = [(value, place.format(body(value))) for place, value in stores]
    filled += [(v, f"store({_place('carry', step.carries[v])}, {body(v)});") for v in level.exports]
    sums = [(step.means[mean], mean.args[0]) for mean in level.means]
    filled += [(value, f"sum{k} += within({body(value)}, at.units - u);") for k, value in sums]
    shared = [place.format(body(value)) for place, value in row_stores]
    row_lines = [*body.row, *shared, *(f"V sum{k} = splat<V>(0.0);" for k, _ in sums)]
    before = "".join(f"      {line}\n" for line in row_lines)
    after = "".join(f"      at.means[row * at.means_row + {k}] = total(sum{k}) / at.units;\n" for k, _ in sums)
    return (
        f"  template <class V, class Phi, class Sigma>\n"
        f"  static void {name}(const Rows<scalar<V>>& at, Phi phi, Sigma sigma) {{\n"
        f"    for (long row = 0; row < at.rows; ++row) {{\n{before}{_over_units(body, first, filled)}{after}"
        "    }\n  }\n"
    )


def _over_units(body: _Body, first: list[str], filled: list[tuple[Node, str]]) -> str:
    """The loop over the units of a row; where functions are made of functions, one for each part of a stretch of units.

    A processor looks some dozens of operations ahead. Those that wait for the value of a function would keep it from
    seeing the functions of the next units, which wait for nothing.

    Args:
        body: what is computed.
        first: lines that come before everything else.
        filled: lines that store what is computed, with the value of each.
    """
    part = _parts(body, [line for _, line in filled])
    count = max(part.values(), default=0) + 1
    if count == 1:
        inner = "".join(f"        {line}\n" for line in [*first, *body.lines, *(line for _, line in filled)])
        return f"      for (long u = 0; u < at.width; u += lanes<V>) {{\n{inner}      }}\n"
    handed = dict.fromkeys(arg for value in body.made for arg in body.read[value] if part[arg] < part[value])
    loops = ""
    for k in range(count):
        mine = [value for value in body.made if part[value] == k]
        reads = {arg for value in mine for arg in body.read[value] if part[arg] < k}
        lines = [
            *(first if k == 0 else []),
            *(f"const V {body(value)} = {body(value)}_[n];" for value in handed if value in reads),
            *(body.made[value] for value in mine),
            *(line for value, line in filled if part.get(value, 0) == k),
            *(f"{body(value)}_[n] = {body(value)};" for value in handed if part[value] == k),
        ]
        inner = "".join(f"          {line}\n" for line in lines)
        loops += f"        for (long u = from, n = 0; u < to; u += lanes<V>, ++n) {{\n{inner}        }}\n"
    arrays = ", ".join(f"{body(value)}_[kStretch]" for value in handed)
    return (
        "      for (long from = 0; from < at.width; from += kStretch * lanes<V>) {\n"
        "        const long to = at.width - from < kStretch * lanes<V> ? at.width : from + kStretch * lanes<V>;\n"
        f"        V {arrays};\n{loops}      }}\n"
    )


def _parts(body: _Body, stores: list[str]) -> dict[Node, int]:
    """The part that computes each value: behind as many others as functions stand one inside of the other below it.

    What needs no function belongs to the part that reads it first, or to the first of all where it is overwritten.
    """
    functions: dict[Node, int] = {}
    for value in body.made:
        below = max((functions[arg] for arg in body.read[value]), default=0)
        functions[value] = below + (value.op in _FUNCTIONS and bool(body.read[value]))
    part = {value: max(0, number - 1) for value, number in functions.items()}
    first: dict[Node, int] = {}
    for value in reversed(body.made):
        if functions[value] == 0:
            place = body.made[value].partition("load<V>(")[2].removesuffix(");")
            lost = place and any(line.startswith(f"store({place},") for line in stores)
            part[value] = 0 if lost else first.get(value, 0)
        for arg in body.read[value]:
            first[arg] = min(first.get(arg, part[value]), part[value])
    return part


def _forward_level(plan: Plan, number: int, keep: bool) -> str:
    step = plan.forward if keep else plan.inference
    level = step.levels[number]
    stores = [
        (f"store({_place('slots', slot)}, {{}});", value)
        for slot, value in plan.storage.kept.items()
        if keep and value in level.results and slot not in plan.storage.rows
    ]
    row_stores = [
        (f"at.slots[row * at.slots_row + {slot} * at.width] = {{}}[0];", plan.storage.kept[slot])
        for slot in sorted(plan.storage.rows)
        if keep and plan.storage.kept[slot] in level.results
    ]
    stores += [
        (f"store({_place('state', index)}, {{}});", value)
        for index, value in enumerate(level.last)
        if value is not node("state", attr=index)
    ]
    columns = {column: k for k, column in enumerate(plan.program.columns)}
    return _level(plan, f"{'forward' if keep else 'infer'}_{number}", level, step, columns, stores, row_stores, [])


def _backward_level(plan: Plan, number: int) -> str:
    found, level = plan.storage.gradient, plan.backward.levels[number]
    stores = [
        (f"store({_place('slots', index)}, {{}});", value)
        for index, value in enumerate(found.columns)
        if value in level.results
    ]
    for index, value in enumerate(plan.sums):
        place = f"at.sums_of(row) + {index} * at.width + u"
        if value in level.results:
            stores.append((f"store({place}, load<V>({place}) + {{}});", value))
    if found.inputs in level.results and found.inputs is not constant(0.0):
        stores.append(("store(at.input_gradient + row * at.input_row + u, {});", found.inputs))
    stores += [
        (f"store(at.sequence_gradients + row * at.sequences_row + {index} * at.width + u, {{}});", value)
        for index, value in enumerate(found.sequences)
        if value in level.results and value is not constant(0.0)
    ]
    stores += [
        (f"store({_place('gradient', index)}, {{}});", value)
        for index, value in enumerate(level.last)
        if value is not node("gradient", attr=index)
    ]
    # the slots of the step that comes next are on their way while this one is computed
    whole = [slot for slot in range(plan.storage.slots) if slot not in plan.storage.rows]
    coming = [f"prefetch(at.following + row * at.slots_row + {slot} * at.width + u);" for slot in whole]
    return _level(plan, f"backward_{number}", level, plan.backward, {}, stores, [], coming if number == 0 else [])


def _entry(plan: Plan, name: str, count: int) -> str:
    """The function that the engine calls: it picks the level, and the code made for the cell's usual activations."""
    defaults = plan.cell.activations
    usual = " && ".join(f"at.{symbol} == {default}_activation::number" for symbol, default in defaults.items())
    fixed = ", ".join(f"{defaults[s]}_activation{{}}" if s in defaults else "0" for s in SYMBOLS)
    free = ", ".join(f"any_activation{{at.{s}}}" if s in defaults else "0" for s in SYMBOLS)
    cases = ""
    for k in range(count):
        cases += f"      case {k}:\n"
        if usual:
            cases += f"        if ({usual}) return {name}_{k}<V>(at, {fixed});\n"
        cases += f"        return {name}_{k}<V>(at, {free});\n"
    return (
        f"  template <class V> static void {name}(int level, const Rows<scalar<V>>& at) {{\n"
        f"    switch (level) {{\n{cases}      default: __builtin_unreachable();\n    }}\n  }}\n"
    )


def print_cell(cell: Cell, name: str = "") -> str:
    """A cell as C++: a struct, called `name` or as the cell, with a table, and its levels as functions."""
    plan = Plan(cell)
    forward, inference, backward = (len(s.levels) for s in (plan.forward, plan.inference, plan.backward))
    return "".join(
        [
            *(f"// {line}".rstrip("\\ ") + "\n" for line in cell.description.splitlines()),
            f"struct {name or cell.name} {{\n",
            print_table(plan),
            _derive(plan),
            *(_forward_level(plan, number, keep=True) for number in range(forward)),
            *(_forward_level(plan, number, keep=False) for number in range(inference)),
            *(_backward_level(plan, number) for number in range(backward)),
            _entry(plan, "forward", forward),
            _entry(plan, "infer", inference),
            _entry(plan, "backward", backward),
            "};\n",
        ]
    )


def print_all(cells: Iterable[Cell]) -> str:
    """The header that the engine is compiled with: activations, cells, and the list of the cells."""
    cells = list(cells)
    names = " ".join(f"F({cell.name})" for cell in cells)
    return "\n".join(
        [
            "// Printed from the equations in src/ostinato/cells; change those.",
            print_activations(),
            *(print_cell(cell) for cell in cells),
            f"#define OSTINATO_CELLS(F) {names}\n",
        ]
    )


def print_library(cell: Cell) -> str:
    """The source of a shared library that holds one cell, for the engine to load."""
    return "\n".join(
        [
            '#include "cell.h"\n',
            "namespace ostinato {\nnamespace OSTINATO_SET {\n",
            print_activations(),
            print_cell(cell, "own"),
            "}\n}\n",
            'extern "C" __attribute__((visibility("default"))) const ostinato::Cell* ostinato_cell() {',
            "  static const ostinato::Cell cell = ostinato::OSTINATO_SET::cell_of<ostinato::OSTINATO_SET::own>();",
            "  return &cell;\n}\n",
        ]
    )
