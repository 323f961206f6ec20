"""Downloads: data sets from mirrors into one folder, resumed, checked, whole or not there.

Before:   datasets, which reads what lies there then
Contract: fetch.work(dataset, Fetch) and coco20k.work(Fetch, ...), for the table sources.DATASETS;
          download.download(urls, target) -> Received; unpack.unpack(archive, folder, wanted=...);
          run_command.make -> the lists, the ground truth and the command of a run;
          voc_instances.instances -> a split of VOC as COCO instances
"""
