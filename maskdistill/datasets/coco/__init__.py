"""COCO: JSON of ground truth and of results, as people write it, read in one way by all.

Contract: instances_file.read(source) -> Instances; results_file.read(source, truth) -> Results, to
          score; masks_file.images -> Images, masks_file.masks -> Found, ..., Tally: to go on with
"""
