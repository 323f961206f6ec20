"""Stages: one file a verb, thin: open the inputs, loop with a journal, call a room, write.

Contract: each file holds `work(job, folder) -> Done` and a Stage record, or a function that makes
          one of the settings; it reads results of other stages through artifacts/, and never
          imports another stage.
"""
