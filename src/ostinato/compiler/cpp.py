"""Print cells and activations as C++; `kernels/contract.h` is the other side of what is printed here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import groupby

from ..cells import ACTIVATIONS, SYMBOLS, Activation, Cell
from .graph import Node, node
from .levels import Level, cut
from .reverse import gradient, slope_of
from .storage import store
from .trace import MATRICES, Program, trace

_INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/"}
_METHODS = {"activate": "value", "keep": "keep", "reload": "reload", "slope": "slope"}


class _Body:
    """Straight-line code for the nodes below some roots; each node becomes one variable."""

    def __init__(self, found: Callable[[Node], str | None]) -> None:
        self.lines: list[str] = []
        self._found = found
        self._names: dict[Node, str] = {}

    def __call__(self, value: Node) -> str:
        if value not in self._names:
            text = self._found(value) or self._expression(value)
            if value.op == "constant" or text.isidentifier():
                return self._names.setdefault(value, text)
            name = self._names[value] = f"v{len(self._names)}"
            self.lines.append(f"const V {name} = {text};")
        return self._names[value]

    def _expression(self, value: Node) -> str:
        if value.op == "constant":
            return f"splat<V>({value.attr!r})"
        args = [self(arg) for arg in value.args]
        if value.op in _INFIX:
            return f"{args[0]} {_INFIX[value.op]} {args[1]}"
        if value.op == "neg":
            return f"-{args[0]}"
        if value.op in _METHODS:
            return f"{value.attr}.{_METHODS[value.op]}({', '.join(args)})"
        return f"{value.op}({', '.join(args)})"


def _function(signature: str, formula: Node, x: Node) -> str:
    body = _Body(lambda value: "x" if value is x else None)
    result = body(formula)
    lines = "".join(f"    {line}\n" for line in body.lines)
    return f"  template <class V> static V {signature} {{\n{lines}    return {result};\n  }}\n"


def print_activation(activation: Activation, number: int) -> str:
    """One activation as a struct: its value, what to keep of it, and value and slope from what was kept."""
    x = node("input")
    from_output = activation.slope is not None
    slope = activation.slope(x) if activation.slope else slope_of(activation.value, x)
    reload = "  template <class V> static V reload(V kept) { return kept; }\n"
    if not from_output:
        reload = "  template <class V> static V reload(V kept) { return value(kept); }\n"
    return (
        f"struct {activation.name}_activation {{\n"
        f"  static constexpr int number = {number};\n"
        + _function("value(V x)", activation.value(x), x)
        + f"  template <class V> static V keep(V x, V y) {{ return {'y' if from_output else 'x'}; }}\n"
        + reload
        + _function("slope(V x)", slope, x)
        + "};\n"
    )


def print_activations() -> str:
    """Every activation, and `any_activation`, which chooses one by its number at run time."""
    parts = [print_activation(activation, k) for k, activation in enumerate(ACTIVATIONS.values())]
    methods = {"value": "V x", "keep": "V x, V y", "reload": "V x", "slope": "V x"}
    choices = ""
    for method, arguments in methods.items():
        names = ", ".join(argument.split()[1] for argument in arguments.split(", "))
        cases = "".join(f"      case {k}: return {n}_activation::{method}({names});\n" for k, n in enumerate(ACTIVATIONS))
        choices += (
            f"  template <class V> V {method}({arguments}) const {{\n    switch (number) {{\n{cases}"
            "      default: __builtin_unreachable();\n    }\n  }\n"
        )
    parts.append(f"struct any_activation {{\n  int number;\n{choices}}};\n")
    return "\n".join(parts)


class _Printer:
    """One cell as a struct: its levels as functions, and the table that tells the engine about its products."""

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.program: Program = trace(cell)
        self.storage = store(self.program, gradient(self.program))
        kept = list(self.storage.kept.values())
        self.forward = cut(kept, self.program.new_states, self.program.vectors)
        self.inference = cut([], self.program.new_states, self.program.vectors)
        found = self.storage.gradient
        self.backward = cut([*found.columns, *found.parameters], found.states)

    def print(self) -> str:
        functions = [
            *(self._forward_level(k, part, True) for k, part in enumerate(self.forward)),
            *(self._forward_level(k, part, False) for k, part in enumerate(self.inference)),
            *(self._backward_level(k, part) for k, part in enumerate(self.backward)),
        ]
        return (
            "".join(f"// {line}".rstrip() + "\n" for line in self.cell.description.splitlines())
            + f"struct {self.cell.name} {{\n"
            + self._table()
            + "".join(functions)
            + self._entry("forward", "forward", len(self.forward))
            + self._entry("infer", "infer", len(self.inference))
            + self._entry("backward", "backward", len(self.backward))
            + "};\n"
        )

    # Levels

    def _carries(self, parts: list[Level]) -> dict[Node, int]:
        returned = [v for part in parts for v in self._used(part) if v.op == "returned"]
        exported = [value for part in parts for value in part.exports]
        return {value: k for k, value in enumerate(dict.fromkeys([*returned, *exported]))}

    @staticmethod
    def _used(part: Level) -> Iterable[Node]:
        stack, seen = list(part.roots()), set()
        while stack:
            current = stack.pop()
            if current not in seen:
                seen.add(current)
                yield current
                if current.op not in ("returned", "gate", "row_mean"):
                    stack.extend(current.args)

    @staticmethod
    def _means(parts: list[Level]) -> dict[Node, int]:
        return {mean: k for k, mean in enumerate(dict.fromkeys(mean for part in parts for mean in part.means))}

    def _level(
        self, name: str, part: Level, parts: list[Level], columns: dict[Node, int], stores: list[tuple[Node, str]],
        first: list[str],
    ) -> str:  # fmt: skip
        carries, means = self._carries(parts), self._means(parts)

        def found(value: Node) -> str | None:
            if value in columns:
                return f"load<V>(at.products + row * at.products_row + {columns[value]} * at.width + u)"
            if value in means:
                return f"splat<V>(at.means[row * at.means_row + {means[value]}])"
            if value.op == "returned" or value in part.imports:
                return f"load<V>(at.carry + row * at.carry_row + {carries[value]} * at.width + u)"
            places = {"state": "state", "gradient": "gradient", "saved": "slots"}
            if value.op in places:
                place = places[value.op]
                return f"load<V>(at.{place} + row * at.{place}_row + {value.attr} * at.width + u)"
            if value.op == "parameter":
                return f"load<V>(at.parameters + {value.attr} * at.width + u)"
            return "splat<V>(at.step)" if value.op == "step" else None

        body = _Body(found)
        results = [(place.format(body(value)), value) for value, place in stores]
        exported = [
            f"store(at.carry + row * at.carry_row + {carries[value]} * at.width + u, {body(value)});"
            for value in part.exports
        ]
        sums = [f"sum{means[mean]} += within({body(mean.args[0])}, at.units - u);" for mean in part.means]
        before = [f"V sum{means[mean]} = splat<V>(0.0);" for mean in part.means]
        after = [
            f"at.means[row * at.means_row + {means[mean]}] = total(sum{means[mean]}) / at.units;" for mean in part.means
        ]
        inner = "".join(f"        {line}\n" for line in [*first, *body.lines, *(text for text, _ in results), *exported, *sums])
        return (
            f"  template <class V, class Phi, class Sigma>\n"
            f"  static void {name}(const Rows<scalar<V>>& at, Phi phi, Sigma sigma) {{\n"
            f"    for (long row = 0; row < at.rows; ++row) {{\n"
            + "".join(f"      {line}\n" for line in before)
            + f"      for (long u = 0; u < at.width; u += lanes<V>) {{\n{inner}      }}\n"
            + "".join(f"      {line}\n" for line in after)
            + "    }\n  }\n"
        )

    def _forward_level(self, number: int, part: Level, keep: bool) -> str:
        stores = []
        slot_of: dict[Node, list[int]] = {}
        for slot, value in self.storage.kept.items():
            slot_of.setdefault(value, []).append(slot)
        parts = self.forward if keep else self.inference
        written: set[Node] = set()
        for value in part.results:
            if keep and value in slot_of and value not in written and value in self._early(part, number):
                written.add(value)
                stores += [
                    (value, f"store(at.slots + row * at.slots_row + {slot} * at.width + u, {{}});")
                    for slot in slot_of[value]
                ]
        if part is parts[-1]:
            for index, value in enumerate(self.program.new_states):
                if value is not node("state", attr=index):
                    stores.append((value, f"store(at.state + row * at.state_row + {index} * at.width + u, {{}});"))
        columns = {column: k for k, column in enumerate(self.program.columns)}
        return self._level(f"{'forward' if keep else 'infer'}_{number}", part, parts, columns, stores, [])

    def _early(self, part: Level, number: int) -> list[Node]:
        count = len(self.program.new_states) if number == len(self.forward) - 1 else 0
        return part.results[: len(part.results) - count]

    def _backward_level(self, number: int, part: Level) -> str:
        found = self.storage.gradient
        stores = []
        last = number == len(self.backward) - 1
        early = set(part.results[: len(part.results) - (len(found.states) if last else 0)])
        for index, value in enumerate(found.columns):
            if value in early:
                stores.append((value, f"store(at.slots + row * at.slots_row + {index} * at.width + u, {{}});"))
        for index, value in enumerate(found.parameters):
            if value in early:
                place = f"at.parameter_gradients + row * at.parameter_gradients_row + {index} * at.width + u"
                stores.append((value, f"store({place}, load<V>({place}) + {{}});"))
        if last:
            for index, value in enumerate(found.states):
                if value is not node("gradient", attr=index):
                    stores.append((value, f"store(at.gradient + row * at.gradient_row + {index} * at.width + u, {{}});"))
        # the slots of the step that comes next are on their way while this one is computed
        coming = [f"prefetch(at.following + row * at.slots_row + {k} * at.width + u);" for k in range(self.storage.slots)]
        return self._level(f"backward_{number}", part, self.backward, {}, stores, coming if number == 0 else [])

    def _entry(self, name: str, function: str, count: int) -> str:
        defaults = dict(self.cell.activations)
        test = " && ".join(f"at.{symbol} == {default}_activation::number" for symbol, default in defaults.items())
        chosen = {s: f"{defaults[s]}_activation{{}}" if s in defaults else "0" for s in SYMBOLS}
        anything = {s: f"any_activation{{at.{s}}}" if s in defaults else "0" for s in SYMBOLS}

        def call(k: int, given: dict[str, str]) -> str:
            return f"{function}_{k}<V>(at, {', '.join(given.values())})"

        cases = "".join(
            f"      case {k}: return {f'{test} ? {call(k, chosen)} : ' if test else ''}{call(k, anything)};\n"
            for k in range(count)
        )
        return (
            f"  template <class V> static void {name}(int level, const Rows<scalar<V>>& at) {{\n"
            f"    switch (level) {{\n{cases}      default: __builtin_unreachable();\n    }}\n  }}\n"
        )

    # The table

    def _vector(self, vector: Node) -> int:
        if vector.op == "input":
            return 0
        if vector.op == "state":
            return 1 + int(vector.attr)
        return 1 + len(self.cell.states) + self.program.vectors.index(vector)

    def _products(self) -> list[str]:
        program = self.program
        carries = self._carries(self.forward)
        assert {v: carries[v] for v in program.vectors} == {
            v: self._carries(self.inference)[v] for v in program.vectors
        }, "a vector must stand in the same carry slot with and without kept values"
        levels = {column: 0 for column in program.columns}
        for column in program.columns:
            exported = [k for k, part in enumerate(self.forward) for v in column.args if v in part.exports]
            levels[column] = 1 + max(exported) if exported else 0
        texts = []
        numbered = list(enumerate(program.columns))
        for _, group in groupby(numbered, key=lambda item: (levels[item[1]], item[1].args)):
            members = list(group)
            first, column = members[0]
            terms = []
            for k, vector in enumerate(column.args):
                blocks = [program.terms(member)[k][2] for _, member in members]
                matrix = MATRICES.index(program.terms(column)[k][1])
                terms.append(f"{{{self._vector(vector)}, {matrix}, {_list(blocks)}}}")
            texts.append(f"{{{levels[column]}, {first}, {len(members)}, {len(terms)}, {_list(terms)}}}")
        return texts

    def _returns(self) -> list[str]:
        texts = []
        for vector, entered in self.storage.gradient.returns.items():
            level = len(self.backward)
            if vector in self.program.vectors:
                k = self.program.vectors.index(vector)
                using = [n for n, part in enumerate(self.backward) for v in self._used(part) if _is_returned(v, k)]
                level = min(using, default=level)
            columns, matrices, blocks = zip(*entered, strict=True)
            numbers = [MATRICES.index(matrix) for matrix in matrices]
            texts.append(
                f"{{{level}, {self._vector(vector)}, {len(columns)}, {_list(columns)}, {_list(numbers)}, {_list(blocks)}}}"
            )
        return texts

    def _table(self) -> str:
        program, storage = self.program, self.storage
        bias = []
        for matrix in MATRICES:
            held = []
            for column in program.columns:
                found = [block for _, name, block in program.terms(column) if name == matrix]
                held.append(found[0] if found else -1)
            bias.append(_list(held))
        roots = [*storage.gradient.columns, *storage.gradient.states, *storage.gradient.parameters]
        needed = {v.attr for part in self.backward for v in self._used(part) if v.op == "state"} if roots else set()
        returned = {v.attr: k for v, k in self._carries(self.backward).items() if v.op == "returned"}
        forward_carries = self._carries(self.forward)
        products, returns = self._products(), self._returns()
        fields = {
            "name": f'"{self.cell.name}"',
            "columns": len(program.columns),
            "blocks": _list([len(program.blocks[matrix]) for matrix in MATRICES]),
            "states": len(self.cell.states),
            "parameters": len(self.cell.parameters),
            "slots": storage.slots,
            "forward_levels": len(self.forward),
            "infer_levels": len(self.inference),
            "backward_levels": len(self.backward),
            "carries": max(len(self._carries(p)) for p in (self.forward, self.inference, self.backward)),
            "means": max(len(self._means(p)) for p in (self.forward, self.inference, self.backward)),
            "history": _list([-1 if slot is None else slot for slot in storage.history]),
            "needed_states": _list([int(k in needed) for k in range(len(self.cell.states))]),
            "vectors": len(program.vectors),
            "vector_carry": _list([forward_carries[v] for v in program.vectors]),
            "vector_slot": _list(storage.vectors),
            "vector_return": _list([returned.get(k, -1) for k in range(len(program.vectors))]),
            "bias": _list(bias),
            "products": len(products),
            "product": _list(products),
            "returns": len(returns),
            "returned": _list(returns),
        }
        body = "".join(f"      /* {key} */ {value},\n" for key, value in fields.items())
        return f"  static constexpr Program program = {{\n{body}  }};\n"


def _is_returned(value: Node, k: int) -> bool:
    return value.op == "returned" and value.attr == k


def _list(values: Iterable[object]) -> str:
    return "{" + ", ".join(str(value) for value in values) + "}"


def print_cell(cell: Cell) -> str:
    """A cell as C++."""
    return _Printer(cell).print()


def print_all(cells: Iterable[Cell]) -> str:
    """The header that the engine is compiled with: activations, cells, and the list of the cells."""
    cells = list(cells)
    names = "".join(f"  F({cell.name})" for cell in cells)
    return "\n".join(
        [
            "// Printed from the equations in src/ostinato/cells; change those.",
            print_activations(),
            *(print_cell(cell) for cell in cells),
            f"#define OSTINATO_CELLS(F) {names}\n",
        ]
    )
