"""Features: a picture to tokens on a patch grid. Before it `pictures`, after it `proposals`.

Contract: vit.load(name, weights=...) or handcrafted.load() -> backbone with name, patch, mean, std,
          heads, width and features(batch (B, 3, H, W), block=-1, want=("queries", "keys")) ->
          list[Features], a ViT also tokens_of(pictures, pack=, class_alone=) -> list of tokens;
          prepare(rgb, patch=, mean=, std=, short_side=, square=, max_patches=) -> Prepared;
          weights.read(name or file) -> state dict, .read_told -> it and a note on what was chosen
          in the file, .fingerprint, .fetch; licences.of(name).
"""

from maskdistill.features.prepare import Prepared, normalised, padded, prepare, wanted_size

__all__ = ["Prepared", "normalised", "padded", "prepare", "wanted_size"]
