"""Agreement of clusters with classes by scikit-learn, mask by mask."""

from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score


def nmi(clusters, classes):
    return float(normalized_mutual_info_score(classes, clusters)) if len(classes) else float("nan")


def ari(clusters, classes):
    return float(adjusted_rand_score(classes, clusters)) if len(classes) else float("nan")
