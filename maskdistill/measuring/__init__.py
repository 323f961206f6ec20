"""Measuring: reads a run, or anybody's files, hands arrays to evaluation, writes the tables.

A number's arithmetic is in evaluation/, in the file that bears its name. Here: run_measures (what
is read of a run), mask_measures (names and protocols of the numbers of masks), run_rows (rows of a
run and over seeds), compare_runs (--against), tables (files and texts), published (figures of
others), score_files with score_instances and score_semantic (without a run), match_names
(--name-with), sweep with sweep_trials (what is tried) and sweep_views (what each finds).
"""
