"""A cell over time: the request, the choice of a backend, the reference and the kernels."""

from .bounds import SavedDtype
from .cpu import KERNEL_DTYPES
from .dispatch import Backend, Choice, choose, run, scan, watch
from .flow import Flow, record, recording
from .lowest import lowest
from .parameters import Parameter, Structure, Values, projects
from .preservation import check_steps_are_alike, norm_preserving
from .request import Request, Weights, make_request
from .rules import forget_rule, is_number
from .stream import Layers, Stream
from .workspace import release_workspace

__all__ = [
    "KERNEL_DTYPES",
    "Backend",
    "Choice",
    "Flow",
    "Layers",
    "Parameter",
    "Request",
    "SavedDtype",
    "Stream",
    "Structure",
    "Values",
    "Weights",
    "check_steps_are_alike",
    "choose",
    "forget_rule",
    "is_number",
    "lowest",
    "make_request",
    "norm_preserving",
    "projects",
    "record",
    "recording",
    "release_workspace",
    "run",
    "scan",
    "watch",
]
