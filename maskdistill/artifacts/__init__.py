"""Artifacts: what finished stages left, and the ground truth of a run, read back for other stages.

A stage never imports another one: what it needs of its results it reads here. Label maps and kept
tokens are written here too, beside what reads their bytes.
"""
