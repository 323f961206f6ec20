"""Runs: a run's folder, written so that a kill at any moment loses nothing. Used by `stages` alone."""
