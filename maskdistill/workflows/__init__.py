"""Workflows: whole runs. run (verbs over one run), seeds (several), status, estimate, demo and its pictures."""
