"""Lloyd's iteration row by row, in float64, from its definition."""

import numpy as np


def lloyd(rows, start, *, spherical=False, rounds=300, tolerance=1e-4):
    """Centroids, ids, rounds. An empty cluster takes the row farthest from its own centroid, that is not alone."""
    rows, centroids = np.asarray(rows, np.float64), np.asarray(start, np.float64).copy()
    spread = (
        sum(np.var([row[column] for row in rows]) for column in range(rows.shape[1]))
        / rows.shape[1]
    )
    ids = [-1] * len(rows)
    taken = 0
    while taken < rounds:
        taken += 1
        before = ids
        ids = [nearest(row, centroids) for row in rows]
        members = [
            [place for place, own in enumerate(ids) if own == cluster]
            for cluster in range(len(centroids))
        ]
        away = sorted(
            range(len(rows)), key=lambda place: -squared(rows[place], centroids[ids[place]])
        )
        given = []
        for cluster, own in enumerate(members):
            if own:
                continue
            for place in away:
                is_new = not any((rows[place] == row).all() for row in given)
                old = next(each for each in members if place in each)
                if len(old) > 1 and is_new:
                    old.remove(place)
                    members[cluster] = [place]
                    given.append(rows[place])
                    break
        after = centroids.copy()
        for cluster, own in enumerate(members):
            if not own:
                continue
            mean = sum(rows[place] for place in own) / len(own)
            if not spherical:
                after[cluster] = mean
            elif np.sqrt((mean**2).sum()) > 0:
                after[cluster] = mean / np.sqrt((mean**2).sum())
        moved = sum(squared(one, other) for one, other in zip(after, centroids, strict=True))
        centroids = after
        if ids == before or (not spherical and moved <= tolerance * spread):
            break
    return centroids, np.array([nearest(row, centroids) for row in rows]), taken


def nearest(row, centroids):
    distances = [squared(row, centroid) for centroid in centroids]
    return distances.index(min(distances))


def squared(one, other):
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))
