"""Evaluation: every stage against ground truth, as pure functions. The last room.

Each metric has its file. Of masks: corloc, mean_best_iou, boundary, false_mask_rate, instances
(COCO's AP and AR of one set), curves (the same with intervals). Of clusters: clusters (accuracy,
NMI, ARI). Of label maps: semantic (one picture), label_map_counts (mIoU, pixel accuracy, IoU of
classes), boundary. Without truth: agreement; the entropy of clusters, the foreground of maps.

Contract: agreement.of_masks, of_label_maps, found_again, equal; baselines.whole, centre,
          background, records; bootstrap.draws, value, spread, paired, ratio, mean_of_ratios;
          boundary.iou, counts, of_best_masks, of_label_maps; clusters.table, accuracy, nmi, ari,
          entropy, Samples, class_of_best, class_inside; corloc.corloc, hits, share, statistic;
          curves.Curves, match, Curve; false_mask_rate.counted, statistic;
          instances.average_precision, most_confident, votes, named; label_map_counts.LabelMaps,
          whole, by_class; matching.hungarian, majority, match_label_maps, rename, rename_map;
          mean_best_iou.statistic; records.solid, best, boxes, ious; rows.built, compared,
          over_seeds, row, rounded; semantic.confusion, iou, mean_iou, foreground, pixel_accuracy;
          tables.table, by_class, compared, as_csv.
"""

from maskdistill.evaluation import (
    agreement,
    baselines,
    bootstrap,
    boundary,
    clusters,
    corloc,
    curves,
    false_mask_rate,
    instances,
    label_map_counts,
    matching,
    mean_best_iou,
    records,
    rows,
    semantic,
    tables,
)

__all__ = [
    "agreement",
    "baselines",
    "bootstrap",
    "boundary",
    "clusters",
    "corloc",
    "curves",
    "false_mask_rate",
    "instances",
    "label_map_counts",
    "matching",
    "mean_best_iou",
    "records",
    "rows",
    "semantic",
    "tables",
]
