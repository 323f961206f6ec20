"""Workflows: whole runs, above the stages and below the doors (`api`, `cli`).

Contract: run.py does the verbs of one run in order; seeds.py several that differ by their seed;
          status.py says what is done, stale or missing; estimate.py how long a run will take;
          demo.draw -> DrawnFolders, demo_pictures.draw -> Drawn: pictures with exact ground truth
"""
