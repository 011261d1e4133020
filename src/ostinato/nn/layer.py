"""The module of any cell, in the style of torch's recurrent modules."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from numbers import Integral
from operator import attrgetter
from typing import Any, ClassVar, get_args

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from .. import cells, scan
from ..scan.bounds import check_bounds
from ..scan.request import ActivationLike
from .again import Repeating
from .form import Form, States, by_layer, in_dtype, rounded_by_autocast
from .initial import ForgetBias, RecurrentInit, initialize
from .masks import check_rate, draw
from .stream import stream

#: How the stored tensors are called, as torch calls them; further matrices are `weight_<name>`, vectors `<name>`.
_NAMES = {"W": "weight_ih", "U": "weight_hh", "b": "bias_ih", "b_u": "bias_hh"}


class Layer(Repeating):
    """A stack of layers of one cell over a whole sequence; `layer_of` makes the class of a cell.

    Parameters are named as in torch's modules, with the number of the layer and `_reverse` for the second direction:
    `weight_ih_l0` (gates * H, D) and `weight_hh_l0` (gates * H, H) with one block of H rows a gate, `bias_ih_l0` and,
    in cells with a second bias, `bias_hh_l0`; further matrices `weight_<name>_l0`; per-unit vectors `<name>_l0` (H).
    What is not trained is a buffer of such a name. D is the input size of the layer; `scan.Parameter` gives the shapes
    of what heads, modules and projections change.

    Attributes:
        cell: the equations.
        backend: None lets the library choose; "cpu" and "reference" insist on one of the backends of `scan`.
        truncate_gradient: None, or the number of steps after which gradients are cut; `scan.scan` says how.
        clip_recurrent_gradient: None, or the bound of every state's gradient as a step hands it back; likewise.
        recompute: None, or True or the number of steps that the backward pass runs again at a time; likewise.
        saved_dtype: None, or "float16" or "bfloat16", in which what the backward pass needs is kept; likewise.
        training: whether masks and dropout are drawn, or stand at their expectation.
    """

    cell: ClassVar[cells.Cell]
    truncate_gradient: int | None = None
    clip_recurrent_gradient: float | None = None
    recompute: bool | int | None = None
    saved_dtype: scan.SavedDtype | None = None
    _settings = attrgetter(
        "input_size", "hidden_size", "num_layers", "batch_first", "bidirectional", "structures", "_activations",
        "backend", "truncate_gradient", "clip_recurrent_gradient", "recompute", "saved_dtype",
    )  # fmt: skip

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        proj_size: int = 0,
        heads: int = 1,
        modules: int | None = None,
        periods: Sequence[int] = (),
        constants: Mapping[str, scan.Values] | None = None,
        fixed: Mapping[str, scan.Values] | None = None,
        activations: Mapping[str, ActivationLike] | None = None,
        rates: Mapping[str, float] | None = None,
        per_step: bool | None = None,
        recurrent_init: RecurrentInit = "uniform",
        forget_bias: ForgetBias | None = None,
        truncate_gradient: int | None = None,
        clip_recurrent_gradient: float | None = None,
        recompute: bool | int | None = None,
        saved_dtype: scan.SavedDtype | None = None,
        backend: scan.Backend | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if backend is not None and backend not in get_args(scan.Backend):
            known = ", ".join(map(repr, get_args(scan.Backend)))
            raise ValueError(f"backend is {backend!r}; expected None or one of {known}")
        for name, count in (("input_size", input_size), ("hidden_size", hidden_size), ("num_layers", num_layers)):
            if not isinstance(count, Integral) or count < 1:
                raise ValueError(f"{name} is {count!r}; expected an integer of at least 1")
        if isinstance(periods, (int, float)):
            raise ValueError(f"periods is {periods!r}; expected a sequence of rising integers")
        if not 0 <= dropout <= 1:
            raise ValueError(f"dropout is {dropout}; expected a probability within 0..1")
        if dropout and num_layers == 1:
            warnings.warn(f"dropout={dropout} acts between layers, and num_layers=1 has nothing between", stacklevel=3)
        check_bounds(truncate_gradient, clip_recurrent_gradient, recompute, saved_dtype)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        self.per_step = per_step
        self.recurrent_init = recurrent_init
        self.forget_bias = forget_bias
        self.truncate_gradient = truncate_gradient
        self.clip_recurrent_gradient = clip_recurrent_gradient
        self.recompute = recompute
        self.saved_dtype = saved_dtype
        self.backend = backend
        self._sizes: dict[str, Any] = {
            "projection": proj_size,
            "heads": heads,
            "modules": max(len(periods), 1) if modules is None else modules,
            "periods": tuple(periods),
        }
        self._constants, self._fixed = _listed(constants), _listed(fixed)
        self._activations = {**self.cell.activations, **(activations or {})}
        for symbol, function in self._activations.items():
            if isinstance(function, str):
                self._activations[symbol] = cells.activation(function).name
        defaults = {mask.rate: mask.default for mask in self.cell.masks.values()}
        self._rates = {name: check_rate(name, rate) for name, rate in {**defaults, **(rates or {})}.items()}
        self._allocate(device, dtype)
        self.reset_parameters()

    @cached_property
    def structures(self) -> tuple[scan.Structure, ...]:
        """What each layer stores, from the first; both directions store the same."""
        found: list[scan.Structure] = []
        for number in range(self.num_layers):
            cell = self.cell if number else scan.lowest(self.cell)
            found.append(
                scan.Structure(
                    cell,
                    self._directions * found[-1].output_size if found else self.input_size,
                    self.hidden_size,
                    bias=self.bias,
                    constants=self._constants,
                    # a vector that only the layers above have may be named when there are none
                    fixed={
                        name: value
                        for name, value in self._fixed.items()
                        if name in cell.parameters or name not in self.cell.parameters
                    },
                    **self._sizes,
                )
            )
        return tuple(found)

    def _allocate(self, device: torch.device | str | None, dtype: torch.dtype | None) -> None:
        for number, structure in enumerate(self.structures):
            for direction in range(self._directions):
                for parameter in structure.parameters():
                    empty = torch.empty(parameter.shape, device=device, dtype=dtype)
                    name = _name(parameter.name, structure.cell, number, direction)
                    if name in self._parameters or name in self._buffers:
                        raise structure.cell.error(
                            f"a layer holds its {parameter.name!r} as {name}, as it does another of its tensors; "
                            "choose another name"
                        )
                    if self._trains(parameter):
                        self.register_parameter(name, torch.nn.Parameter(empty))
                    else:
                        self.register_buffer(name, empty)

    def _trains(self, parameter: scan.Parameter) -> bool:
        """Whether a stored tensor is a parameter of the module; otherwise it is a buffer."""
        return parameter.trained

    def reset_parameters(self) -> None:
        """Draw all parameters anew, with torch's generator, and set the rest to the values given.

        Raises:
            ValueError: `recurrent_init` or `forget_bias` is no rule of `initialise`, or the cell has nothing for it.
        """
        for number, structure in enumerate(self.structures):
            for direction in range(self._directions):
                initialize(structure, self._tensors(number, direction), self.recurrent_init, self.forget_bias)

    def forward(
        self, input: Tensor | PackedSequence, hx: Tensor | States | None = None, *, mask: Tensor | None = None
    ) -> Any:
        """The whole stack over a whole sequence.

        Args:
            input: (steps, batch, input_size), with `batch_first` (batch, steps, input_size), unbatched
                (steps, input_size), or a `PackedSequence`.
            hx: the initial states, one tensor (num_layers * directions, batch, size of the state) a state, in the
                cell's order, without `batch` if unbatched; a tensor for cells with one state, else a tuple; None is
                zeros.
            mask: (batch, steps) bool; a step that is False carries the states, and its output is zero; unbatched
                (steps). A packed input has none.

        Returns:
            The output of the last layer, shaped or packed as the input with directions * (size of the output) features,
            and the final states, shaped as `hx`.

        Raises:
            ValueError: a shape or dtype does not fit; the sentence names it.
            TypeError: the input is neither a tensor nor packed.
            RuntimeError: `backend` cannot serve these tensors.
        """
        found = self._again(input) if hx is None and mask is None else None
        if found is None:
            form, x, states = self._arrange(input, hx)
            run = self._first if hx is None and mask is None and x is input else self._run
            y, finals = run(x, self._asks(form, states, mask))
            found = form.output(y), form.finals(finals)
        y, hidden = found
        return y, hidden if len(self.cell.states) > 1 else hidden[0]

    def explain(
        self, input: Tensor | PackedSequence, hx: Tensor | States | None = None, *, mask: Tensor | None = None
    ) -> str:
        """What `forward` would run for these arguments, and why, in one sentence, or one a layer where they differ.

        Raises:
            ValueError, TypeError, RuntimeError: as `forward`.
        """
        form, x, states = self._arrange(input, hx)
        told: list[str] = []
        for structure, ask in zip(self.structures, self._asks(form, states, mask, training=False), strict=True):
            below = x.new_zeros(1).expand(*x.shape[:-1], structure.input_size)
            lower = x.new_zeros(1).expand(*x.shape[:-1], self._directions * self.hidden_size)
            read = len(structure.cell.sequences) if told else 0
            request = ask(below if told else x, (lower,) * read).rounding(rounded_by_autocast(x))
            choice = scan.choose(request, self.backend)
            told.append(f"{choice.backend}: {choice.reason}")
        return told[0] if len({*told}) == 1 else "; ".join(f"layer {k}: {one}" for k, one in enumerate(told))

    def stream(self, batch: int = 1) -> scan.Stream:
        """What runs this module one step at a time, on arrays of NumPy: see `scan.Stream`.

        Args:
            batch: how many sequences are carried side by side.

        Raises:
            ValueError: the module is bidirectional, or `batch` is no whole number of at least 1.
            RuntimeError: the compiled kernels cannot serve the module.
        """
        return stream(self, batch, partial(self._asks, states=(), mask=None, training=False))

    def extra_repr(self) -> str:
        shown = [str(self.input_size), str(self.hidden_size)]
        options = {
            "num_layers": (self.num_layers, 1), "bias": (self.bias, True), "batch_first": (self.batch_first, False),
            "dropout": (self.dropout, 0.0), "bidirectional": (self.bidirectional, False),
            "proj_size": (self.proj_size, 0), "heads": (self._sizes["heads"], 1),
            "modules": (self._sizes["modules"], 1), "periods": (self._sizes["periods"], ()),
            "fixed": (self._fixed, {}), "recurrent_init": (self.recurrent_init, "uniform"),
            "forget_bias": (self.forget_bias, None), "per_step": (self.per_step, None),
            "truncate_gradient": (self.truncate_gradient, None),
            "clip_recurrent_gradient": (self.clip_recurrent_gradient, None), "recompute": (self.recompute, None),
            "saved_dtype": (self.saved_dtype, None), "backend": (self.backend, None),
        }  # fmt: skip
        options |= {name: (value, None) for name, value in (*self._constants.items(), *self._rates.items())}
        options |= {
            cells.SYMBOLS[symbol]: (chosen, self.cell.activations[symbol])
            for symbol, chosen in self._activations.items()
        }
        shown += [f"{name}={value!r}" for name, (value, default) in options.items() if value != default]
        return ", ".join(shown)

    def __getstate__(self) -> dict[str, Any]:
        # cells are made by a decorator, so that pickle does not find them by name
        return {name: value for name, value in super().__getstate__().items() if name != "structures"}

    @property
    def _directions(self) -> int:
        return 2 if self.bidirectional else 1

    def _stored(self) -> list[Tensor | None]:
        return [*self._parameters.values(), *self._buffers.values()]

    def _tensors(self, number: int, direction: int) -> dict[str, Tensor]:
        structure = self.structures[number]
        return {
            one.name: getattr(self, _name(one.name, structure.cell, number, direction))
            for one in structure.parameters()
        }

    def _arrange(self, input: Tensor | PackedSequence, hx: Tensor | States | None) -> tuple[Form, Tensor, States]:
        """Form of the input; input and states batched, sorted and checked."""
        if not isinstance(input, (Tensor, PackedSequence)):
            raise TypeError(f"the input is of the type {type(input).__name__}; expected a tensor or a PackedSequence")
        x = input.data if isinstance(input, PackedSequence) else input
        if x.dim() not in (2, 3):
            raise ValueError(f"the input has the shape {tuple(x.shape)}; expected 3 dimensions, or 2 without a batch")
        if x.shape[-1] != self.input_size:
            raise ValueError(f"the input has {x.shape[-1]} features; expected input_size={self.input_size}")
        form = Form(input, self.batch_first)
        weight = next(iter(self._tensors(0, 0).values()))
        states = () if hx is None else (hx,) if isinstance(hx, Tensor) else tuple(hx)
        if states:
            self._check_states(states, form)
            states = form.sorted(form.batched(states))
        return form, *in_dtype(form.x, states, weight.dtype)

    def _check_states(self, states: States, form: Form) -> None:
        names = self.cell.states
        if len(states) != len(names):
            raise ValueError(f"hx holds {len(states)} states; expected one tensor for each of {', '.join(names)}")
        for name, state in zip(names, states, strict=True):
            batch = () if form.unbatched else (form.batch,)
            expected = (self.num_layers * self._directions, *batch, self.structures[0].state_size(name))
            if tuple(state.shape) != expected:
                raise ValueError(f"state {name} in hx has the shape {tuple(state.shape)}; expected {expected}")

    def _asks(
        self, form: Form, states: States, mask: Tensor | None, training: bool | None = None
    ) -> list[partial[scan.Request]]:
        training = self.training if training is None else training
        return [
            partial(self._ask, number, form, initial, mask, training)
            for number, initial in enumerate(by_layer(states, self.num_layers))
        ]

    def _ask(
        self,
        number: int,
        form: Form,
        initial: States | None,
        mask: Tensor | None,
        training: bool,
        x: Tensor,
        below: tuple[Tensor, ...],
    ) -> scan.Request:
        """The scan of one layer, given the output of the layer below and those of its states that this one reads."""
        structure, directions = self.structures[number], range(self._directions)
        cell = structure.cell
        if cell.sequences and not below:
            below = (x.new_zeros(1).expand(*x.shape[:-1], len(directions) * self.hidden_size),) * len(cell.sequences)
        halves = [one.chunk(len(directions), -1) for one in below]
        masks = [
            [
                draw(mask, self._rates[mask.rate], form, x, self.hidden_size, training, self.per_step)
                for mask in cell.masks.values()
            ]
            for _ in directions
        ]
        read_above = len(self.structures[number + 1].cell.sequences) if number + 1 < self.num_layers else 0
        return scan.make_request(
            cell,
            x,
            [structure.weights(self._tensors(number, k)) for k in directions],
            initial,
            layout=form.layout,
            batch_sizes=form.batch_sizes,
            mask=mask.unsqueeze(0) if mask is not None and form.unbatched else mask,
            activations={symbol: self._activations[symbol] for symbol in cell.activations},
            sequences=[[*(half[k] for half in halves), *masks[k]] for k in directions],
            outputs=cell.states[: 1 + read_above],
            truncate=self.truncate_gradient,
            clip=self.clip_recurrent_gradient,
            recompute=self.recompute,
            saved_dtype=self.saved_dtype,
        )


def _name(stored: str, cell: cells.Cell, number: int, direction: int) -> str:
    """The name under which a module holds a stored tensor."""
    torchs = _NAMES.get(stored, f"weight_{stored}" if stored in cell.matrices else stored)
    return f"{torchs}_l{number}{'_reverse' if direction else ''}"


def _listed(values: Mapping[str, Any] | None) -> dict[str, scan.Values]:
    """Tensors and arrays as numbers."""
    return {name: one.tolist() if hasattr(one, "tolist") else one for name, one in (values or {}).items()}
