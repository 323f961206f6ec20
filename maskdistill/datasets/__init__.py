"""Datasets: the demo's drawn pictures, and ground truth in the forms that people have it.

Contract: synthetic.draw, write; truth.read(source) -> Truth, truth.join(keys, paths).
"""
