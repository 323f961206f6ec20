"""Spectral: a graph of patches, and the vector that cuts it in two.

Before:   keys of the patches, as tokencut and maskcut take them from Features
After:    proposals/tokencut.py and maskcut.py (a cut to masks), scores.py (a graph to scores)
Contract: affinity.cosines(features, *, threshold, floor) -> TwoValued;
          affinity.gaussian(keys, grid, *, bandwidth, floor) -> Dense;
          normalized_cut.second_eigenvector(graph) -> Cut;
          below them graphs (weights), bits (two-valued ones, packed), products (sums in float64)
"""
