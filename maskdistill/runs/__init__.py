"""Runs: a run's folder, written so that a kill at any moment loses nothing. Used by `stages` alone.

Contract: a file is whole or not there (atomic, lines); what is done so far survives a kill
          (journal); what happened is told (ledger); one process a run (lock); stage.json is
          completion (record, fingerprints).
"""
