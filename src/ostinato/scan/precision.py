"""How exactly the kernels multiply numbers of float32.

PyTorch's switch for recurrent layers on the CPU says it, `torch.backends.mkldnn.rnn.fp32_precision` (PyTorch 2.9 and
newer), or the wider ones that it follows, such as `torch.backends.fp32_precision`: "ieee" as float32; "tf32" each
number as the sum of two bfloat16, 16 bits; "bf16" as one, 8 bits. Sums, states, elementwise functions and all that is
stored stay float32. What is less than float32 needs a processor with a matrix unit for bfloat16 (AMX), or, for "bf16",
one that multiplies vectors of them (AVX512-BF16), and makes no difference without.
"""

from __future__ import annotations

import torch

from . import _engine
from .request import Request

#: Into how many bfloat16 a number is split, by what multiplies them; 0, as for what is not known here, is not at all.
#: Three products of vectors of bfloat16 take longer than one of float32.
_PARTS = {"amx": {"tf32": 2, "bf16": 1}, "avx512_bf16": {"bf16": 1}, "": {}}

#: With fewer rows products of bfloat16 are slower than multiply-adds.
FEWEST_ROWS = {"amx": 16, "avx512_bf16": 1, "": 0}

#: `torch.backends.mkldnn.rnn.fp32_precision`, without the tenfold time that a property of a module takes.
_said = getattr(torch._C, "_get_fp32_precision_getter", lambda backend, operation: "ieee")

#: What is said of the products of a scan.
NAMES = {0: "", 1: ", products of bfloat16", 2: ", products of two bfloat16 a number", 3: ""}


def _possible() -> dict[str, int]:
    """The parts of a number that the engine in use can multiply, by what they are called."""
    return _PARTS[_engine.multiplier()] if _engine.instruction_set() in ("amx", "avx512") else {}


def chosen() -> int:
    """Into how many bfloat16 the numbers of products are split by the settings of this moment; 0 is not at all.

    The instruction set "amx", asked for by name, splits what is to be exact into three, which are its 24 bits.
    """
    return _possible().get(_said("mkldnn", "rnn"), 0) or 3 * (_engine.instruction_set() == "amx")


def parts(request: Request) -> int:
    """Likewise in the scan of a request: products that leave out parts of U are those of multiply-adds."""
    dtype = request.x.dtype
    if dtype == torch.float64 or request.cell.clock or request.weights[0].reach is not None:
        return 0
    found = _possible().get("bf16", 0) if torch.bfloat16 in (dtype, request.narrow) else chosen()
    return found if found == 3 or request.batch >= FEWEST_ROWS[_engine.multiplier()] else 0
