"""Inference: a trained run, or none, on new pictures; and masks of a run as a dataset of others' form."""
