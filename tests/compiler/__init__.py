"""Tests of the compiler: graph, tracer, reverse mode, printer."""
