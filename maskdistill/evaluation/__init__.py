"""Evaluation: every stage against ground truth, as pure functions. The last room; ground truth comes in here alone.

Contract: semantic.confusion, iou, mean_iou; matching.hungarian, majority, match_label_maps, rename; curves.Curves;
          instances.average_precision, most_confident, votes; corloc.corloc, mean_best_iou; clusters.accuracy, nmi, ari;
          boundary.iou, counts; agreement.pixels, masks; matched.match, average_precision, area_under_curve;
          baselines.whole, centre; bootstrap.draws, value, spread, paired, interval; over_seeds.over_seeds;
          summed.LabelMaps, ratio, mean_of_ratios; tables.table, by_class, compared, as_csv, markdown.
"""

from maskdistill.evaluation import (
    agreement,
    baselines,
    bootstrap,
    boundary,
    clusters,
    corloc,
    curves,
    instances,
    label_map_counts,
    mask_matches,
    matching,
    over_seeds,
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
    "instances",
    "label_map_counts",
    "mask_matches",
    "matching",
    "over_seeds",
    "rows",
    "semantic",
    "tables",
]
