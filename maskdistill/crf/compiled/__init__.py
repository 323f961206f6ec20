"""Loops of the dense CRF for CPUs, compiled by numba: below `crf/mean_field.py`, which calls them.

In the order of use: lattice (the lattice points that pixels touch), sorted_points (their order and
neighbours), ring (points beside them), filters (all kernels of a picture, built and normalised),
kernels (splat, blur, slice) on lanes (vectors), separable (the kernel of place, exactly), team
(threads in step), inference (mean field over all).
Twin: tests/reference/crf.py, all pairs of pixels.
"""
