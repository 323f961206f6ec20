"""Stages: one file a verb, thin. Open the inputs, loop with a journal, call a room, write the outputs.

Contract: each file holds `work(job, folder) -> Done` and a Stage record, or a function that makes one of the
          settings; it reads what other stages left through artifacts/, and never imports another stage.
"""
