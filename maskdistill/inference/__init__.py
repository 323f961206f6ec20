"""Inference: a trained run, or none, on new pictures; a run's masks as a dataset for others."""
