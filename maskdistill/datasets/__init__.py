"""Datasets: ground truth and masks of others, read as people have them.

After:    downloads, which fetches what is read here; before the verbs that measure and import
Contract: truth.read(source, reading) -> Truth, names.join(keys, paths): to evaluate a run
          label_maps.LabelMaps, read_map; map_files.Reading: label maps of others
          coco.read(source) -> Instances, coco.only, coco.read_list; coco_results.read -> Results
          result_files.images -> Images, result_files.masks -> Found, ..., Tally: to go on with
          voc.find(folder) -> Voc, voc.trainaug, voc.boxes, voc.dataset, voc.CLASSES
          streamed.records, streamed.opened, walk.instances, part.pieces: JSON of any size
"""
