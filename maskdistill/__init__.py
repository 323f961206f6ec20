"""MaskDistill: unsupervised semantic segmentation of any folder of pictures (unofficial implementation)."""

__version__ = "0.1.0"
