"""Layers taken one step at a time: from arrays of NumPy to arrays of NumPy, with no call of torch in a step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Integral
from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import _engine, cpu
from .call import Caller, matrix
from .request import Request

_DTYPES: dict[torch.dtype, np.dtype[Any]] = {torch.float32: np.dtype("float32"), torch.float64: np.dtype("float64")}

#: The number of the step, where a cell's equations ask for it.
_STEP = "step"


class Layers:
    """What a front-end puts the layers of a stream into, from the first to the last.

    Attributes:
        below: (batch, 1, features): the output of the last layer, before the first one the stream's input; always the
            same memory.
        states: every state by its name, (batch, its size).
        counts: whether a cell asks for the number of the step.
    """

    def __init__(self, batch: int, input_size: int, dtype: torch.dtype) -> None:
        self.below = self.input = torch.zeros(batch, 1, input_size, dtype=dtype, device="cpu")
        self.states: dict[str, Tensor] = {}
        self.counts = False
        self._stages: list[Callable[[Any], None]] = []
        self._pointed_into: list[Any] = []

    def scan(self, request: Request, name: str | None = None) -> tuple[Tensor, ...]:
        """Put a layer behind the others.

        Args:
            request: a scan over one step, whose input is `below`, with its weights and further sequences; the sequences
                may be what this method returned.
            name: of its states, with the place of each one's own name: "{}_l0"; None for a layer without memory.

        Returns:
            The states that `request.outputs` asks for, each (batch, 1, its size).

        Raises:
            RuntimeError: the compiled kernels cannot serve this layer; the sentence says why.
            ValueError: the input of the scan is not in the memory of `below`, or a state's name is taken.
        """
        if request.x.data_ptr() != self.below.data_ptr():
            raise ValueError("the input of the scan is a copy of `below`; expected a view")
        obstacle = cpu.why_not(request)
        if obstacle:
            raise RuntimeError(f"a stream runs on the compiled kernels alone: {obstacle}")
        caller = Caller(request)
        sizes = [request.state_size(state) for state in request.outputs]
        self.below = request.x.new_zeros(request.batch, 1, sum(sizes))
        asked = dict(zip(request.outputs, self.below.split(sizes, -1), strict=True))
        first = asked.get(0, request.x.new_zeros(request.batch, 1, request.state_size(0)))
        call = caller.call(0, [first if state == 0 else asked[state] for state in caller.form.outputs_of], None)
        for number, state in enumerate(request.cell.states):
            held = request.x.new_zeros(request.batch, request.state_size(number))
            call.set_initial(number, *matrix(held))
            call.set_final(number, *matrix(held))
            self._pointed_into.append(held)
            if name is None:
                continue
            if name.format(state) in self.states:
                raise ValueError(f"two states of the stream are called {name.format(state)}; rename one of the layers")
            self.states[name.format(state)] = held
        self.counts |= "t" in request.cell.asks_for
        self._pointed_into += [caller, first]
        self._stages.append(lambda line: line.add_layer(call))
        return tuple(asked[state] for state in request.outputs)

    def softmax(self) -> None:
        """Turn the output of the last layer into shares of 1."""
        data, size = self.below.data_ptr(), self.below.shape[-1]
        self._stages.append(lambda line: line.add_softmax(data, size))

    def line(self) -> Any:
        """The engine's side of it, which keeps this object, whose memory it points into."""
        batch, _, size = self.input.shape
        dtype, rows = _DTYPES[self.input.dtype], self.below.numpy()[:, 0]
        made = _engine.Line(
            self.input.dtype == torch.float64, size, self.input.data_ptr(), rows, rows[0] if batch == 1 else None,
            _converter(batch, size, dtype, self),
        )  # fmt: skip
        for stage in self._stages:
            stage(made)
        return made


class Stream:
    """A network that is fed one step at a time and remembers: the state of each layer is carried from call to call.

    Outputs are, bit for bit, those of a scan over the same steps. What is random in training stands at its expectation,
    as outside training. A step calls nothing of torch, allocates nothing, and runs on the thread that calls it, with
    Python's lock held: several threads may call one stream, and their steps come one after the other.

    The weights are read when the stream is made; `refresh` reads them again.

    Attributes:
        batch: B, how many sequences are carried side by side.
        input_size: D.
        output_size: O.
        dtype: of inputs, outputs and states.
    """

    batch: int
    input_size: int
    output_size: int
    dtype: np.dtype[Any]
    _put: Callable[[Layers], object]
    _dtype: torch.dtype
    _layers: Layers
    _line: Any

    def __init__(self, put: Callable[[Layers], object], input_size: int, batch: int, dtype: torch.dtype) -> None:
        """
        Args:
            put: puts the layers, from the first, into the `Layers` that it is given; called again by `refresh`.
            input_size: D.
            batch: B.
            dtype: float32 or float64.

        Raises:
            ValueError: `batch` is no whole number of at least 1, or the layers do not fit together.
            RuntimeError: the compiled kernels cannot serve one of the layers.
        """
        if isinstance(batch, bool) or not isinstance(batch, Integral) or batch < 1:
            raise ValueError(f"batch is {batch!r}; expected a whole number of at least 1")
        if dtype not in _DTYPES:
            raise RuntimeError(f"a stream computes in float32 or float64, and the weights are {dtype}")
        self.batch, self.input_size, self.dtype = int(batch), input_size, _DTYPES[dtype]
        self._put, self._dtype = put, dtype
        self._layers, self._line = self._made()
        self.output_size = int(self._layers.below.shape[-1])

    def __call__(self, x: Any, out: np.ndarray | None = None) -> np.ndarray:
        """One step.

        Args:
            x: (batch, input_size), or (input_size) if the batch is 1. A contiguous array of the stream's dtype is
                copied and nothing else; anything that NumPy makes an array of is converted first.
            out: a contiguous array of the stream's dtype to write the output to, shaped as what is returned.

        Returns:
            (batch, output_size), or (output_size) for an input without a batch: `out`, or else the stream's own array,
            which the next step overwrites. Copy what is to stay: `stream(x).copy()`.

        Raises:
            ValueError: x or `out` does not fit; the state is as before.
        """
        # the engine takes None for an argument that is missing; of this it says what was expected
        found: np.ndarray = self._line.step(np.asarray(None) if x is None else x, out)
        return found

    @property
    def state(self) -> dict[str, np.ndarray]:
        """A copy of every state by its name, (batch, its size); with cells that ask for the number of the step, also
        `step`, how many there were. A file of it: `numpy.savez(path, **stream.state)`.

        To be assigned as well, a file's contents too: `stream.state = numpy.load(path)`. An assignment with a missing
        or unknown name, or a wrong shape, raises ValueError and changes nothing.
        """
        found = {name: held.numpy().copy() for name, held in self._layers.states.items()}
        return found | ({_STEP: np.array(self._line.number)} if self._layers.counts else {})

    @state.setter
    def state(self, given: Mapping[str, Any]) -> None:
        known = self.state
        if set(given) != set(known):
            missing, unknown = sorted(set(known) - set(given)), sorted(set(given) - set(known))
            raise ValueError(
                "the state of this stream has the names " + ", ".join(known)
                + (f"; {', '.join(missing)} is missing" if missing else "")
                + (f"; {', '.join(unknown)} is unknown" if unknown else "")
            )  # fmt: skip
        checked = {name: _checked(name, given[name], one) for name, one in known.items()}
        for name, held in self._layers.states.items():
            held.numpy()[...] = checked[name]
        self._line.number = int(checked.get(_STEP, 0))

    def reset(self) -> None:
        """Set all states to zero, as before the first step."""
        for held in self._layers.states.values():
            held.numpy()[...] = 0
        self._line.number = 0

    def refresh(self) -> None:
        """Read the weights again, as they are now; the states stay, and arrays returned before are left behind.

        Other threads may step meanwhile; a step that one takes at the very moment of the change may be lost.
        """
        layers, line = self._made()
        for name, held in self._layers.states.items():
            layers.states[name].copy_(held)
        line.number = self._line.number
        self._layers, self._line = layers, line

    def _made(self) -> tuple[Layers, Any]:
        layers = Layers(self.batch, self.input_size, self._dtype)
        with torch.no_grad():
            self._put(layers)
        return layers, layers.line()

    def __repr__(self) -> str:
        return f"Stream(batch={self.batch}, input_size={self.input_size}, output_size={self.output_size})"


def _checked(name: str, given: Any, like: np.ndarray) -> np.ndarray:
    array = np.asarray(given)
    if array.shape != like.shape or array.dtype.kind not in "fiu":
        raise ValueError(
            f"state {name} is given as {array.dtype} of the shape {array.shape}; expected {like.dtype} {like.shape}"
        )
    return array.astype(like.dtype)


def _converter(batch: int, size: int, dtype: np.dtype, kept: Layers) -> Callable[[Any], np.ndarray]:
    """What makes a fitting array of an input that is none, and keeps what its owner points into."""
    fitting = [(batch, size)] + [(size,)] * (batch == 1)

    def convert(x: Any, kept: Layers = kept) -> np.ndarray:
        array = np.asarray(x)
        if array.shape not in fitting or array.dtype.kind not in "fiub":
            expected = " or ".join(map(str, fitting))
            raise ValueError(f"the input is {array.dtype} of the shape {array.shape}; expected numbers {expected}")
        return np.require(array, dtype, ["C", "A"])

    return convert
