"""The table that tells the engine about a cell's products and places: `Program` in kernels/call.h."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from ..cells import SPACES
from .graph import Node, constant
from .plan import Plan
from .trace import MATRICES, Program

#: The most of each that the engine has room for: the constants of kernels/call.h.
LIMITS = {"kStates": 8, "kColumns": 16, "kParameters": 32, "kTerms": 2, "kMatrices": 11, "kSequences": 4}


class RoomError(ValueError):
    """The engine has no room for a cell."""


def check_limits(plan: Plan) -> None:
    """Whether the engine has room for a cell.

    Raises:
        RoomError: naming what there is too much of, and what the engine takes.
    """
    program = plan.program
    found = (
        ("states", len(plan.cell.states), "kStates"),
        ("vectors computed and then multiplied", len(program.vectors), "kStates"),
        ("columns of products", len(program.columns), "kColumns"),
        ("vectors in products", len(plan.storage.gradient.returns), "kColumns"),
        ("products of one vector", max(map(len, plan.storage.gradient.returns.values()), default=0), "kColumns"),
        ("per-unit vectors", len(plan.cell.vectors), "kParameters"),
        ("matrices, W and U among them", len(program.matrices), "kMatrices"),
        ("further input sequences", len(plan.cell.inputs), "kSequences"),
        ("terms in one product", max((len(column.args) for column in program.columns), default=0), "kTerms"),
    )
    for kind, count, limit in found:
        if count > LIMITS[limit]:
            raise RoomError(
                f"cell {plan.cell.name} has {count} {kind}; the engine takes at most {LIMITS[limit]}: "
                f"use fewer, or raise {limit} in kernels/call.h and in LIMITS of compiler/table.py"
            )


def listed(values: Iterable[object]) -> str:
    """A C++ initializer."""
    return "{" + ", ".join(str(value) for value in values) + "}"


def _vector(plan: Plan, vector: Node) -> int:
    """The engine's number of a vector that enters a product."""
    if vector.op == "input":
        return 0
    if vector.op == "state":
        return 1 + int(vector.attr)
    return 1 + len(plan.cell.states) + plan.program.vectors.index(vector)


def _products(plan: Plan) -> list[str]:
    """Columns that read the same vectors through the same matrices make one product."""
    program = plan.program

    def level(column: Node) -> int:
        made = [k for k, part in enumerate(plan.forward.levels) for v in column.args if v in part.exports]
        return 1 + max(made) if made else 0

    texts = []
    numbered = enumerate(program.columns)

    def read(column: Node) -> tuple[int, tuple[Node, ...], list[str]]:
        return level(column), column.args, [matrix for _, matrix, _ in program.terms(column)]

    for (at_level, vectors, _), group in groupby(numbered, key=lambda item: read(item[1])):
        members = list(group)
        first, column = members[0]
        terms = []
        for k, vector in enumerate(vectors):
            blocks = [program.terms(member)[k][2] for _, member in members]
            matrix = program.matrices.index(program.terms(column)[k][1])
            terms.append(listed([_vector(plan, vector), matrix, listed(blocks)]))
        texts.append(listed([at_level, first, len(members), len(terms), listed(terms)]))
    return texts


def _returns(plan: Plan) -> list[str]:
    """For each vector that entered products, the columns from which its gradient returns."""
    texts = []
    for vector, entered in plan.storage.gradient.returns.items():
        level = len(plan.backward.levels)
        if vector in plan.program.vectors:
            number = plan.program.vectors.index(vector)
            reading = [
                k
                for k, part in enumerate(plan.backward.levels)
                for value in part.used()
                if value.op == "returned" and value.attr == number
            ]
            if not reading:  # nothing that has a gradient entered it
                continue
            level = min(reading)
        columns, matrices, blocks = zip(*entered, strict=True)
        matrix_numbers = [plan.program.matrices.index(matrix) for matrix in matrices]
        texts.append(
            listed([level, _vector(plan, vector), len(columns), *map(listed, (columns, matrix_numbers, blocks))])
        )
    return texts


def _bias(plan: Plan, matrix: str) -> list[int]:
    """For each column its block in the bias beside a matrix, or -1."""
    held = []
    for column in plan.program.columns:
        found = [block for _, name, block in plan.program.terms(column) if name == matrix]
        held.append(found[0] if found else -1)
    return held


def _sizes(program: Program) -> dict[str, object]:
    """What has which size: numbers of the letters in `cells.SPACES`; the engine's own order of them is `Size`."""
    cell = program.cell
    vectors = [program.sizes[vector] or "H" for vector in program.vectors]
    return {
        "state_size": listed(SPACES.index(cell.size_of(state)) for state in cell.states),
        "vector_size": listed(SPACES.index(size) for size in vectors),
        "matrix_rows": listed(SPACES.index(program.shape(matrix)[0]) for matrix in program.matrices),
        "input_wide": int(program.sizes.of_input),
    }


def _clock(plan: Plan) -> tuple[int, int]:
    """The state and the per-unit vector that say which units sleep, or -1 where none may.

    What a sleeping unit computes may be left out only where no other unit reads it within the step: through a product
    of something computed, or a mean.
    """
    cell = plan.cell
    if cell.clock is None or plan.program.vectors or plan.inference.means:
        return -1, -1
    return cell.states.index(cell.clock[0]), cell.vectors.index(cell.clock[1])


def print_table(plan: Plan) -> str:
    """The cell's `Program`."""
    check_limits(plan)
    program, storage = plan.program, plan.storage
    steps = (plan.forward, plan.inference, plan.backward)
    leaves = [value for step in steps for part in step.levels for value in part.used()]
    needed = {value.attr for part in plan.backward.levels for value in part.used() if value.op == "state"}
    cell, zero = plan.cell, constant(0.0)
    clock_state, clock_parameter = _clock(plan)
    if clock_state >= 0:
        needed.add(clock_state)
    returned = {value.attr: k for value, k in plan.backward.carries.items() if value.op == "returned"}
    products, returns = _products(plan), _returns(plan)
    fields = {
        "name": f'"{plan.cell.name}"',
        "columns": len(program.columns),
        "blocks": listed(len(program.blocks[matrix]) for matrix in MATRICES),
        "states": len(plan.cell.states),
        "parameters": len(cell.vectors),
        "derived": len(plan.derived),
        "trained": len(cell.parameters),
        "sums": len(plan.sums),
        "matrices": len(program.matrices),
        "sequences": len(cell.inputs),
        "slots": storage.slots,
        "forward_levels": len(plan.forward.levels),
        "infer_levels": len(plan.inference.levels),
        "backward_levels": len(plan.backward.levels),
        "carries": max(step.size for step in steps),
        "means": max(len(step.means) for step in steps),
        "sum_of": listed(plan.sum_of(k) for k in range(len(cell.parameters))),
        "history": listed(-1 if slot is None else slot for slot in storage.history),
        "needed_states": listed(int(k in needed) for k in range(len(plan.cell.states))),
        "reads_input": int(any(value.op == "input" for value in leaves)),
        "input_gradient": int(storage.gradient.inputs is not zero),
        "sequence_gradient": listed(int(value is not zero) for value in storage.gradient.sequences),
        "clock_state": clock_state,
        "clock_parameter": clock_parameter,
        **_sizes(program),
        "vectors": len(program.vectors),
        "vector_carry": listed(plan.forward.carries[vector] for vector in program.vectors),
        "vector_slot": listed(storage.vectors),
        "vector_return": listed(returned.get(k, 0) for k in range(len(program.vectors))),
        "bias": listed(listed(_bias(plan, matrix)) for matrix in MATRICES),
        "products": len(products),
        "product": listed(products),
        "returns": len(returns),
        "returned": listed(returns),
    }
    body = "".join(f"      /* {key} */ {value},\n" for key, value in fields.items())
    return f"  static constexpr Program program = {{\n{body}  }};\n"
