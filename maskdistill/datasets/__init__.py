"""Datasets: ground truth and masks of others, read as people have them.

After:    downloads, which fetches what is read here; before the verbs that measure and import
Contract: truth.read(source, reading) -> Truth, names.join(keys, paths): to evaluate a run
          coco/: instances, results and masks of COCO's JSON; label_maps/: folders of label maps
          voc.find(folder) -> Voc, voc.trainaug, voc.boxes, voc.dataset, voc.CLASSES
          streamed.records, streamed.opened: JSON of any size; findings: what is odd, by kind
"""
