"""The compiled kernels: requests as calls into the engine, and their gradients."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from . import _engine, pieces, reference
from .call import Caller, kernel, readable
from .request import Request

#: What the kernels take and give as float32, which they compute in.
WIDENED = (torch.bfloat16, torch.float16)

#: What the kernels serve.
KERNEL_DTYPES = (torch.float32, torch.float64, *WIDENED)

#: The types of tensors whose memory the kernels may read.
_SEEN_INTO = {Tensor, torch.nn.Parameter}

#: Modes of operations that do not compute, but write down what would be computed.
_TRACING_MODES = torch._C._TorchDispatchModeKey.PROXY, torch._C._TorchDispatchModeKey.FAKE

_RELEASED = torch.empty(0, device="cpu")

#: What packs and unpacks the tensors that are saved now; None where nothing does, or PyTorch (before 2.8) cannot say.
_hooks = getattr(torch._C._autograd, "_top_saved_tensors_default_hooks", lambda ignore_tracing: None)

if os.environ.get("OSTINATO_ISA"):
    _engine.use_instruction_set(os.environ["OSTINATO_ISA"])


def instruction_set() -> str:
    """The instruction set whose kernels run; OSTINATO_ISA chooses another: "avx512", "amx" (the same, with products on
    the matrix unit), "avx2" or "baseline"."""
    return str(_engine.instruction_set())


def why_not(request: Request) -> str | None:
    """Why the kernels cannot serve a request, or None if they can."""
    if "obstacle" not in request.shared:
        request.shared["obstacle"] = _unserved(request)
    if request.shared["obstacle"] is not None:
        return str(request.shared["obstacle"])
    if not _SEEN_INTO.issuperset(map(type, request.tensors())):
        return "a tensor is of a subclass that the kernels cannot see into"
    if torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
        return "a traced graph holds torch operations alone"
    if torch._C._are_functorch_transforms_active():
        return "torch.func transforms need differentiable torch operations"
    if torch._C._len_torch_dispatch_stack() and any(map(torch._C._get_dispatch_mode, _TRACING_MODES)):
        return "what is traced holds torch operations alone"
    if torch.autograd.forward_ad._current_level >= 0:
        return "forward-mode derivatives need differentiable torch operations"
    found = kernel(request.cell)
    return found if isinstance(found, str) else None


def _unserved(request: Request) -> str | None:
    """Why the kernels cannot serve a request, whatever its tensors hold; None if nothing is known yet."""
    x = request.x
    if x.device.type != "cpu":
        return f"the kernels run on the CPU, and the input is on {x.device}"
    if x.dtype not in KERNEL_DTYPES:
        return f"the kernels serve float32, float64, bfloat16 and float16, and the input is {x.dtype}"
    if request.batch == 0:
        return "the batch is empty"
    for symbol, function in request.activations.items():
        if not isinstance(function, str):
            return f"the activation {symbol} is a Python function, and the kernels know activations by name"
    return None


class _Scan(torch.autograd.Function):
    """The engine under autograd. The backward pass turns what the forward pass kept into gradients where it stands, so
    a second one over the same graph first runs the forward pass again; as does one whose outputs were changed in place.
    """

    @staticmethod
    def forward(ctx: Any, request: Request, *tensors: Tensor) -> tuple[Tensor, ...]:
        caller = Caller(request)
        found, finals = caller.outputs()
        ctx.leases = ctx.kept = None
        slots: list[Tensor] = []
        if request.in_pieces:
            ctx.kept = pieces.forward(caller, found, finals)
        else:
            leases = [caller.lease() for _ in request.weights]
            caller.forward(found, finals, leases)
            if _hooks(False) is None:
                ctx.leases = leases
            else:  # what packs all that is saved, or does without it until then, as a checkpoint does, sees this too
                slots = [lease.lent() for lease in leases]
        ctx.fresh, ctx.counts = True, (len(tensors), len(found))
        ctx.save_for_backward(*tensors, *found, *slots)
        ctx.form = _released(request)
        ctx.set_materialize_grads(False)
        return (*caller.asked(found), *finals)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        return _outside(ctx, *gradients) if torch.compiler.is_compiling() else _backward(ctx, *gradients)


def _backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
    tensors, outputs, slots = _saved(ctx)
    request = ctx.form.bind(tensors)
    wanted = ctx.needs_input_grad[1:]
    again = torch.is_grad_enabled()
    if again or not all(map(_stands, gradients)):  # to be differentiated again, or several at once, as `vmap` has them
        with torch.enable_grad():
            return (None, *_by_reference(request, gradients, wanted, again))
    y_gradients, final_gradients = gradients[: len(request.outputs)], gradients[len(request.outputs) :]
    caller = Caller(request)
    found = [one for one in readable(outputs) if one is not None]
    if request.in_pieces:
        kept = ctx.kept
        if kept is None or not found:
            found, finals = caller.outputs()
            kept = pieces.forward(caller, found, finals)
        ctx.kept = kept if request.recompute else None  # so that what was saved goes back
        return (None, *pieces.backward(caller, found, kept, y_gradients, final_gradients, wanted))
    leases, ctx.leases = ctx.leases, None
    fresh, ctx.fresh = ctx.fresh, False
    if not (fresh and found):
        leases = [caller.lease() for _ in request.weights]
        found, finals = caller.outputs()
        caller.forward(found, finals, leases)
    collected = caller.backward(found, leases or slots, y_gradients, final_gradients, wanted)
    for lease in leases or ():
        lease.release()
    return (None, *collected)


_outside = torch.compiler.disable(_backward)


def _saved(ctx: Any) -> tuple[Sequence[Tensor], Sequence[Tensor], Sequence[Tensor]]:
    """The tensors of the forward pass; its outputs, none if one was changed in place since; and its slots, if saved."""
    given, found = ctx.counts
    try:
        saved = ctx.saved_tensors  # once: hooks may unpack them, in another layout than they were packed
    except RuntimeError:
        raw = ctx._raw_saved_tensors
        if not all(hasattr(one, "unpack") for one in raw):  # this PyTorch cannot take them one by one
            raise
        return [one.unpack() for one in raw[:given]], (), ()
    outputs = saved[given : given + found]
    # of what hooks unpacked autograd does not see that it was changed
    return saved[:given], () if any(one._version for one in outputs) else outputs, saved[given + found :]


def _stands(gradient: Tensor | None) -> bool:
    """Whether a gradient has memory of its own."""
    if gradient is None:
        return True
    try:
        gradient.data_ptr()
    except RuntimeError:
        return False
    return True


def _released(request: Request) -> Request:
    """The request without its tensors; what it is made of is made once for all that differ in these alone."""
    if "released" not in request.shared:
        empty = request.bind([_RELEASED] * len(request.tensors()))
        # not the request itself, which holds what is shared
        request.shared["released"] = empty.x, empty.initial_state, empty.weights, empty.sequences
    return request.on(*request.shared["released"])


def _by_reference(
    request: Request, gradients: Sequence[Tensor | None], wanted: Sequence[bool], again: bool
) -> list[Tensor | None]:
    """The gradients that the reference finds, which can be differentiated again where that is asked for."""
    # one tensor may stand in several places (tied weights), and each place has a gradient of its own
    tensors = [tensor.view_as(tensor) for tensor in request.tensors()]
    found, finals = reference.run(request.bind(tensors))
    # a state that counts steps depends on nothing that has a gradient
    pairs = [(o, g) for o, g in zip((*found, *finals), gradients, strict=True) if g is not None and o.requires_grad]
    inputs = [tensor for tensor, want in zip(tensors, wanted, strict=True) if want]
    results = iter(
        torch.autograd.grad([o for o, _ in pairs], inputs, [g for _, g in pairs], create_graph=again, allow_unused=True)
    )
    return [next(results) if want else None for want in wanted]


def run(request: Request) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Output sequences and final states of a request that `why_not` has nothing against."""
    if (dtype := request.x.dtype) in WIDENED:
        wide = request.bind([tensor.float() for tensor in request.tensors()])
        outputs, finals = run(wide.rounding(dtype) if dtype == torch.bfloat16 else wide)
        return tuple(y.to(dtype) for y in outputs), tuple(state.to(dtype) for state in finals)
    if request.wants_gradients:
        results = _Scan.apply(request, *request.tensors())  # type: ignore[no-untyped-call]
        count = len(request.outputs)
        return tuple(results[:count]), tuple(results[count:])
    caller = Caller(request)
    found, states = caller.outputs()
    caller.forward(found, states, [None] * len(request.weights))
    return caller.asked(found), tuple(states)
