"""A cell's equations on the tensors of whatever backend Keras runs on, one step at a time.

This is the way of the backends other than torch, and on torch of a cell that is called by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

from keras import ops as kops

from ..cells import ops
from ..scan.parameters import Structure


def _select(condition: Any, positive: Any, otherwise: Any) -> Any:
    # two numbers alone would take Keras' default dtype, not the condition's
    return kops.where(condition > 0, kops.convert_to_tensor(positive, dtype=condition.dtype), otherwise)


_functions = SimpleNamespace(
    exp=kops.exp,
    log1p=kops.log1p,
    erf=kops.erf,
    sqrt=kops.sqrt,
    tanh=kops.tanh,
    sigmoid=kops.sigmoid,
    absolute=kops.absolute,
    minimum=kops.minimum,
    maximum=kops.maximum,
    remainder=lambda x, y: kops.mod(x, kops.stop_gradient(y) if hasattr(y, "shape") else y),
    select=_select,
    row_mean=lambda x: kops.mean(x, axis=-1, keepdims=True),
)


def adopt(tensor: Any) -> None:
    """Let equations work on tensors of this type: a backend has several, which it names to nobody."""
    kind = type(tensor)
    if ops.namespace.dispatch(kind) is ops.namespace.dispatch(object):
        register: Any = ops.namespace.register(kind)
        register(lambda _: _functions)


class Gates:
    """`gate` of one step: the products of x and h with every block, made when first asked for.

    Args:
        structure: the layer's sizes.
        tensors: the stored weights as Keras holds them, transposed, by the names of `Structure.parameters`.
        x: (batch, input size).
        h: (batch, output size).
    """

    def __init__(
        self, structure: Structure, tensors: Mapping[str, Any], x: Any, h: Any, sides: tuple[str, ...] = ("W", "U")
    ) -> None:
        self._structure, self._tensors = structure, tensors
        self._vectors = {"W": x, "U": h}
        self._sides = sides

    @property
    def x(self) -> Gates:
        return self._with(self._vectors, ("W",))

    @property
    def h(self) -> Gates:
        return self._with(self._vectors, ("U",))

    def using(self, *, x: Any = None, h: Any = None) -> Gates:
        given = {"W": x, "U": h}
        return self._with({m: old if given[m] is None else given[m] for m, old in self._vectors.items()}, self._sides)

    def _with(self, vectors: Mapping[str, Any], sides: tuple[str, ...]) -> Gates:
        return Gates(self._structure, self._tensors, vectors["W"], vectors["U"], sides)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        found = self._product(name, self._sides[0])
        for side in self._sides[1:]:
            found = found + self._product(name, side)
        return found

    def _product(self, gate: str, side: str) -> Any:
        structure, vector = self._structure, _whole(self._vectors[side], self._size(side))
        k = structure.program.blocks[side].index(gate)
        if side == "W" or structure.cell.blocks == "full":
            found = kops.matmul(vector, _columns(self._tensors[side], k, structure.units))
        elif structure.cell.blocks == "heads":
            found = self._heads(vector, k)
        else:
            found = self._modules(vector, k)
        bias = "b" if side == "W" else "b_u"
        biased = next((one.gates for one in structure.parameters() if one.name == bias), ())
        if gate in biased:
            found = found + _columns(self._tensors[bias], biased.index(gate), structure.units)
        return found

    def _size(self, side: str) -> int:
        """How many entries the vectors have that a matrix reads."""
        cell, structure = self._structure.cell, self._structure
        return structure.input_size if side == "W" else structure.state_size(cell.states[0])

    def _heads(self, h: Any, k: int) -> Any:
        units, heads = self._structure.units, self._structure.heads
        size = units // heads
        U = kops.reshape(_columns(self._tensors["U"], k, units), (size, heads, size))
        return kops.reshape(kops.einsum("bji,ijo->bjo", kops.reshape(h, (-1, heads, size)), U), (-1, units))

    def _modules(self, h: Any, k: int) -> Any:
        units, modules = self._structure.units, self._structure.modules
        size = units // modules
        U, found, first = _columns(self._tensors["U"], k, size), [], 0
        for m in range(modules):
            rows = units - m * size
            found.append(kops.matmul(h[:, m * size :], U[first : first + rows]))
            first += rows
        return kops.concatenate(found, axis=-1)


def _columns(tensor: Any, k: int, size: int) -> Any:
    return tensor[..., k * size : (k + 1) * size]


def _whole(vector: Any, size: int) -> Any:
    """A vector of this size, where all its entries may be one number."""
    return kops.repeat(vector, size, axis=-1) if vector.shape[-1] != size else vector


class _Matrix:
    """`matrix.name` of a step."""

    def __init__(self, transposed: Any) -> None:
        self._transposed = transposed

    def __matmul__(self, vector: Any) -> Any:
        return kops.matmul(_whole(vector, self._transposed.shape[0]), self._transposed)


def step(
    structure: Structure,
    tensors: Mapping[str, Any],
    x: Any,
    states: tuple[Any, ...],
    sequences: Mapping[str, Any],
    t: Any,
    functions: Mapping[str, Callable[[Any], Any]],
) -> tuple[Any, ...]:
    """The states after one step.

    Args:
        structure: the layer's sizes.
        tensors: the weights as Keras holds them, matrices transposed, by the names of `Structure.parameters`.
        x: (batch, input size).
        states: one tensor a state.
        sequences: what each further input sequence and mask holds at this step (batch, units).
        t: the number of the step, (batch, 1); None if the cell does not ask for it.
        functions: the activation of each symbol.
    """
    cell = structure.cell
    adopt(x)
    vectors = SimpleNamespace(**{name: tensors[name] for name in cell.vectors})
    new = cell(
        x=x,
        gate=Gates(structure, tensors, x, states[0]),
        state=SimpleNamespace(**dict(zip(cell.states, states, strict=True))),
        p=vectors,
        constant=vectors,
        matrix=SimpleNamespace(**{name: _Matrix(tensors[name]) for name in cell.matrices}),
        sequence=SimpleNamespace(**sequences),
        t=t,
        **functions,
    )
    return tuple(_as_state(after, before) for after, before in zip(new, states, strict=True))


def _as_state(value: Any, like: Any) -> Any:
    """A value of the equations, perhaps one number for all units, as a state."""
    if getattr(value, "shape", None) == like.shape:
        return value
    return kops.convert_to_tensor(value, dtype=like.dtype) + kops.zeros_like(like)
