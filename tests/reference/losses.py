"""Cross-entropy of the hardest pixels, pixel by pixel in a sorted list; float64."""

import math


def hardest_cross_entropy(logits, labels, share, ignore=255):
    """Of logits (B, classes, H, W) and labels (B, H, W); None where no pixel counts."""
    pictures, n_classes, height, width = logits.shape
    each = []
    for picture in range(pictures):
        for row in range(height):
            for col in range(width):
                label = int(labels[picture, row, col])
                if label != ignore:
                    values = [
                        float(logits[picture, number, row, col]) for number in range(n_classes)
                    ]
                    top = max(values)
                    total = sum(math.exp(value - top) for value in values)
                    each.append(math.log(total) + top - values[label])
    each.sort(reverse=True)
    hardest = each[: int(share * pictures * height * width)]
    return sum(hardest) / len(hardest) if hardest else None
