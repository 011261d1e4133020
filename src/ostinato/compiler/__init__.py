"""From a cell's equations to the C++ of its kernels. Needs nothing but the standard library."""

from .trace import Program, trace

__all__ = ["Program", "trace"]
