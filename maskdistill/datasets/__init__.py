"""Datasets: the demo's drawn pictures, ground truth in the forms that people have it, masks that others found.

Contract: synthetic.draw, write; truth.read(source) -> Truth, truth.join(keys, paths); coco.read -> Instances,
          coco.read_results -> Results, coco.only, coco.read_list; voc.find -> Voc, voc.boxes, dataset, trainaug,
          CLASSES; imported.images -> Images, imported.masks -> Found, ...; streamed.records of files too large to be held.
"""
