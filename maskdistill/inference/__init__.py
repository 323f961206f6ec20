"""Inference: a trained run, or none, on new pictures; masks of a run as a dataset for other tools."""
