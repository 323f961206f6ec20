"""Datasets: the demo's drawn pictures, ground truth as people have it, where it is fetched, masks that others found.

Contract: synthetic.draw, write; truth.read(source) -> Truth, truth.join(keys, paths); coco.read -> Instances,
          coco.read_results -> Results, coco.only, coco.read_list; voc.find -> Voc, voc.boxes, dataset, trainaug,
          CLASSES; sources.DATASETS, download.download, unpack.unpack: data sets from mirrors; streamed.records,
          walk.instances, part.pieces: instances files of any size; imported.images -> Images, imported.masks -> Found.
"""
