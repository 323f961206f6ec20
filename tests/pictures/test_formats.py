"""pictures/formats.py: formats that Pillow may have are read, and named where it has them not."""

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from maskdistill.errors import PictureError
from maskdistill.pictures import formats, probe, read, search, told
from tests.pictures.drawn_files import corners, saved

needs_avif = pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
needs_jp2 = pytest.mark.skipif(not features.check("jpg_2000"), reason="nor JPEG 2000")


@pytest.fixture
def an_older_pillow(monkeypatch):
    """Without AVIF and JPEG 2000."""
    check = features.check
    left = ("avif", "jpg_2000")
    monkeypatch.setattr(features, "check", lambda name: name not in left and check(name))
    formats.decoded.cache_clear()
    formats.suffixes.cache_clear()
    yield
    formats.decoded.cache_clear()
    formats.suffixes.cache_clear()


@needs_jp2
@pytest.mark.parametrize("suffix", [".jp2", ".j2k", ".JPX"])
def test_a_jpeg_2000_picture_without_loss_comes_back_exactly(tmp_path, suffix):
    rgb = corners()
    path = saved(tmp_path / "a.jp2", Image.fromarray(rgb), irreversible=False)
    path = path.rename(tmp_path / f"b{suffix}")
    np.testing.assert_array_equal(read(path), rgb)
    assert (probe(path).height, probe(path).width) == rgb.shape[:2]
    assert search(tmp_path).paths == [f"b{suffix}"]


@needs_jp2
def test_sixteen_bits_of_a_jpeg_2000_picture_are_scaled_not_cut_off(tmp_path):
    values = np.repeat(np.array([[0, 257, 32896, 65535]], np.uint16), 4, axis=0)
    path = saved(tmp_path / "a.jp2", Image.fromarray(values), irreversible=False)
    np.testing.assert_array_equal(read(path)[0, :, 0], [0, 1, 128, 255])


@needs_avif
def test_an_avif_picture_comes_back_nearly_and_turned_as_its_tag_says(tmp_path):
    grey = np.tile(np.linspace(40, 200, 48).astype(np.uint8)[None, :, None], (32, 1, 3))
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(tmp_path / "a.avif", Image.fromarray(grey), quality=95, exif=exif)
    assert search(tmp_path).paths == ["a.avif"]
    assert (probe(path).height, probe(path).width, probe(path).orientation) == (48, 32, 6)
    assert np.abs(read(path).astype(int) - np.rot90(grey, -1)).max() <= 3
    assert np.abs(read(path, orientation="stored").astype(int) - grey).max() <= 3


@needs_avif
def test_an_avif_picture_whose_first_brand_is_the_common_one_is_no_heic(tmp_path):
    grey = np.full((8, 12, 3), 90, np.uint8)
    content = saved(tmp_path / "a.avif", Image.fromarray(grey), quality=95).read_bytes()
    assert content[8:12] == b"avif"
    assert b"avif" in content[16:32]
    (tmp_path / "b.avif").write_bytes(content[:8] + b"mif1" + content[12:])
    assert np.abs(read(tmp_path / "b.avif").astype(int) - 90).max() <= 3


@pytest.mark.parametrize(
    "name, content",
    [
        ("a.pgm", b"P5\n4 1\n255\n" + bytes([0, 1, 128, 255])),
        ("a.PGM", b"P5\n4 1\n65535\n" + struct.pack(">4H", 0, 257, 32896, 65535)),
        ("a.pnm", b"P2\n# by hand\n4 1\n255\n0 1 128 255\n"),
    ],
)
def test_netpbm_greys_of_8_and_16_bits_are_read(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    np.testing.assert_array_equal(read(tmp_path / name)[0, :, 0], [0, 1, 128, 255])
    assert search(tmp_path).paths == [name]


def test_dark_netpbm_greys_of_16_bits_stay_dark(tmp_path):
    (tmp_path / "a.pgm").write_bytes(b"P5\n2 1\n65535\n" + struct.pack(">2H", 0, 200))
    np.testing.assert_array_equal(read(tmp_path / "a.pgm")[0, :, 0], [0, 1])


def test_what_an_older_pillow_cannot_decode_is_passed_over_with_what_would_read_it(
    tmp_path: Path, an_older_pillow: None
):
    for name in ("a.jpg", "b.avif", "c.avif", "d.jp2", "e.hif"):
        (tmp_path / name).write_bytes(b"x")
    found = search(tmp_path)
    assert found.paths == ["a.jpg", "e.hif"]
    assert told(found.passed_over) == (
        "3 files passed over: 2 .avif (read by Pillow 11.3 and later: pip install -U pillow), "
        "1 .jp2 (read by a Pillow with OpenJPEG: pip install -U pillow)"
    )


def test_an_avif_file_under_another_suffix_names_what_reads_it(
    tmp_path: Path, an_older_pillow: None
):
    (tmp_path / "a.jpg").write_bytes(struct.pack(">I", 24) + b"ftypavif" + bytes(12))
    with pytest.raises(PictureError, match=r"a\.jpg: AVIF, read by Pillow 11\.3 and later"):
        read(tmp_path / "a.jpg")
