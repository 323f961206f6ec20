"""Label maps: folders of PNG by class numbers, two values or VOC's colours, read in one way by all.

Contract: map_folder.whole(folder, reading) -> LabelMaps: every map looked at once, what is odd
          told; map_files.Reading: how values become class numbers
"""
