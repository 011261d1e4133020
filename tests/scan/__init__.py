"""Tests of the scan: the kernels against the float64 reference, and the laws that both obey."""
