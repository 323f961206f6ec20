"""Our ViT against the outputs of DINO's, weights and pictures made by the rule of the reference data's README."""

import math
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from maskdistill.features import vit

CASES = {
    "s16_224x224": "dino_vits16",
    "s16_160x208": "dino_vits16",
    "b16_224x224": "dino_vitb16",
    "s16_336x496": "dino_vits16",
    "s8_160x208": "dino_vits8",
    "s16_480x480": "dino_vits16",
    "s16_640x848": "dino_vits16",
}


def drawn_weight(name: str, shape: tuple[int, ...]) -> np.ndarray:
    drawn = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
    if name in ("pos_embed", "cls_token"):
        return (0.5 * drawn).astype(np.float32)
    if "norm" in name and name.endswith("weight"):
        return (1.0 + 0.1 * drawn).astype(np.float32)
    if name.endswith("bias"):
        return (0.1 * drawn).astype(np.float32)
    return (drawn / math.sqrt(int(np.prod(shape[1:])))).astype(np.float32)


def drawn_picture(seed: int, content: tuple[int, int], whole: tuple[int, int]) -> np.ndarray:
    (h, w), r = content, np.random.RandomState(seed)
    coarse = r.standard_normal((3, -(-h // 16), -(-w // 16)))
    image = np.repeat(np.repeat(coarse, 16, axis=1), 16, axis=2)[:, :h, :w]
    image = image + 0.5 * r.standard_normal((3, h, w))
    out = np.zeros((3, *whole), np.float32)
    out[:, :h, :w] = image
    return out


@pytest.mark.parametrize("case", CASES)
def test_queries_keys_values_and_class_token_equal_dinos(reference: Path, case: str) -> None:
    expected = np.load(reference / "golden" / "vit" / f"{case}.npz")
    name = CASES[case]
    shapes = {key: tuple(value.shape) for key, value in vit._built(name).state_dict().items()}
    weights = {key: torch.from_numpy(drawn_weight(key, shape)) for key, shape in shapes.items()}
    backbone = vit.load(name, weights=weights)
    picture = drawn_picture(
        int(expected["seed"]), tuple(expected["content_hw"]), tuple(expected["input_hw"])
    )
    batch = torch.from_numpy(picture)[None]
    found = backbone.features(batch, want=("queries", "keys", "values"))[0]
    chosen = expected["tokens"]
    for letter, values in (("q", found.queries), ("k", found.keys), ("v", found.values)):
        assert values is not None
        np.testing.assert_allclose(values[:, chosen].numpy(), expected[letter], rtol=0, atol=5e-5)
        np.testing.assert_allclose(
            values.double().sum(dim=(1, 2)).numpy(), expected[f"{letter}_sum"], rtol=0, atol=2e-2
        )
        np.testing.assert_allclose(
            values.norm(dim=2).numpy(), expected[f"{letter}_norm"], rtol=0, atol=5e-5
        )
    position = backbone.position_embedding(found.grid)[0]
    np.testing.assert_allclose(position[chosen].numpy(), expected["pos"], rtol=0, atol=2e-5)
    np.testing.assert_allclose(
        backbone.tokens_of(list(batch))[0][0].numpy(), expected["cls_norm"], rtol=0, atol=3e-5
    )
    assert found.grid == tuple(expected["grid"])
