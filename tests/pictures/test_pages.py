"""pictures/pages.py: pages that are left out are counted, what shows the first one again is none."""

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from maskdistill.pictures import probe, read


def frames(n: int, *, mode: str = "RGB") -> list[Image.Image]:
    """Return n pictures of 12 x 8 px, each of another grey."""
    return [Image.new("L", (12, 8), 20 + 25 * number).convert(mode) for number in range(n)]


@pytest.mark.parametrize(
    "name, how",
    [
        ("a.tif", {}),
        ("a.tiff", {"compression": "tiff_lzw"}),
        ("a.gif", {}),
        ("a.webp", {"lossless": True}),
        ("a.png", {}),
        ("a.mpo", {"format": "MPO"}),
        ("a.jpg", {"format": "MPO"}),
    ],
)
def test_the_probe_counts_the_pages_and_the_first_one_is_read(tmp_path, name, how):
    first, *others = frames(7)
    first.save(tmp_path / name, save_all=True, append_images=others, **how)
    with Image.open(tmp_path / name) as picture:
        assert picture.n_frames == 7
    seen = probe(tmp_path / name)
    assert (seen.pages, seen.width, seen.height) == (7, 12, 8)
    assert np.abs(read(tmp_path / name).astype(int) - 20).max() <= 1


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.gif", "a.tif", "a.webp", "a.bmp", "a.ppm"])
def test_a_picture_alone_is_one_page(tmp_path, name):
    frames(1)[0].save(tmp_path / name)
    assert probe(tmp_path / name).pages == 1


def test_thumbnails_pyramids_and_masks_of_a_tiff_are_no_pages(tmp_path):
    kinds = [0, 1, 0, 4, 5, 2]  # the page, reduced, another page, a mask, both, a page of many
    with TiffImagePlugin.AppendingTiffWriter(str(tmp_path / "a.tif")) as writer:
        for kind, picture in zip(kinds, frames(len(kinds)), strict=True):
            tags = TiffImagePlugin.ImageFileDirectory_v2()
            tags[254] = kind
            picture.save(writer, format="TIFF", tiffinfo=tags)
            writer.newFrame()
    with Image.open(tmp_path / "a.tif") as picture:
        assert picture.n_frames == 6
    assert probe(tmp_path / "a.tif").pages == 3


def test_the_preview_that_a_camera_puts_behind_a_photograph_is_no_page(tmp_path):
    first, *others = frames(3)
    first.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=others)
    content = bytearray((tmp_path / "a.jpg").read_bytes())
    # The second of three entries of 16 bytes: its type, undefined as Pillow writes it, becomes a
    # large thumbnail (0x010002).
    with Image.open(tmp_path / "a.jpg") as picture:
        entry = bytes(picture.mpinfo[0xB002][1]["Size"].to_bytes(4, "little"))
    place = content.index(entry) - 4
    content[place : place + 4] = (0x010002).to_bytes(4, "little")
    (tmp_path / "b.jpg").write_bytes(content)
    assert (probe(tmp_path / "a.jpg").pages, probe(tmp_path / "b.jpg").pages) == (3, 2)


def test_a_stack_that_is_cut_short_counts_what_is_there_and_stays_a_picture(tmp_path):
    first, *others = frames(9)
    first.save(tmp_path / "a.tif", save_all=True, append_images=others)
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "b.tif").write_bytes(content[: len(content) // 2])
    seen = probe(tmp_path / "b.tif")
    assert 1 <= seen.pages < 9
    assert (read(tmp_path / "b.tif") == 20).all()
