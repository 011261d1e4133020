"""A cell over time: the request, the choice of a backend, the reference and the kernels."""

from .dispatch import Backend, Choice, choose, run, scan, watch
from .request import Request, Weights, make_request
from .workspace import release_workspace

__all__ = [
    "Backend",
    "Choice",
    "Request",
    "Weights",
    "choose",
    "make_request",
    "release_workspace",
    "run",
    "scan",
    "watch",
]
