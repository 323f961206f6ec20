"""Datasets: the demo's drawn pictures, ground truth in the forms that people have it, and where it is fetched.

Contract: synthetic.draw, write; truth.read(source) -> Truth, truth.join(keys, paths); coco.read -> Instances,
          coco.read_results -> Results, coco.only, coco.read_list; voc.find -> Voc, voc.boxes, dataset, trainaug,
          CLASSES; sources.DATASETS, download.download, unpack.unpack: data sets from mirrors; streamed.records,
          walk.instances, part.pieces: instances files of any size.
"""
