"""pictures/read.py: every bad file becomes PictureError with its name and the reason."""

import contextlib
import os
import struct
import sys

import numpy as np
import pytest
from PIL import Image

from maskdistill.errors import PictureError
from maskdistill.pictures import probe, read
from tests.pictures.drawn_files import noise, saved

HEIC_HEAD = struct.pack(">I", 24) + b"ftypheic" + bytes(12)


@pytest.mark.parametrize("function", [probe, read])
@pytest.mark.parametrize(
    "content, reason",
    [
        (b"", "empty"),
        (b"a text that calls itself a picture\n" * 9, "not a picture"),
        (b"\xff\xd8\xff", "not a picture"),
        (b"\x89PNG\r\n\x1a\n", "not a picture|cannot be decoded"),
        (b"GIF89a", "not a picture|cannot be decoded"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
        (HEIC_HEAD, "pip install pillow-heif|cannot be decoded|not a picture"),
        (bytes(1000), "not a picture"),
    ],
    ids=["empty", "text", "jpeg head", "png head", "gif head", "postscript", "heic", "zeros"],
)
def test_what_is_no_picture_is_refused_with_its_name_and_the_reason(
    tmp_path, function, content, reason
):
    path = tmp_path / "ein Bild ä.jpg"
    path.write_bytes(content)
    with pytest.raises(PictureError, match=f"ein Bild ä.jpg: .*({reason})"):
        function(path)


@pytest.mark.parametrize("function", [probe, read])
def test_a_missing_file_and_a_folder_are_refused(tmp_path, function):
    with pytest.raises(PictureError, match=r"a\.jpg: cannot be read: No such file"):
        function(tmp_path / "a.jpg")
    with pytest.raises(PictureError, match="not a regular file"):
        function(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes by name here")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.jpg")
    with pytest.raises(PictureError, match="not a regular file"):
        read(tmp_path / "a.jpg")


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_link_to_nothing_is_refused(tmp_path):
    (tmp_path / "a.jpg").symlink_to("gone.jpg")
    with pytest.raises(PictureError, match="cannot be read"):
        probe(tmp_path / "a.jpg")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".tif", ".gif", ".webp"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_truncated_picture_is_refused(tmp_path, rng, suffix, share):
    path = noise(rng, suffix, tmp_path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(PictureError, match="noise"):
        read(path)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".gif", ".webp", ".bmp"])
def test_bytes_changed_anywhere_give_a_picture_or_a_picture_error_and_nothing_else(
    tmp_path, rng, suffix
):
    whole = noise(rng, suffix, tmp_path).read_bytes()
    path = tmp_path / f"changed{suffix}"
    for _ in range(60):
        content = bytearray(whole)
        for place in rng.integers(0, min(len(whole), 600), 8):
            content[place] = rng.integers(256)
        path.write_bytes(content)
        with contextlib.suppress(PictureError):
            seen, told = read(path, max_megapixels=1), probe(path, max_megapixels=1)
            assert seen.shape == (told.height, told.width, 3)


@pytest.mark.parametrize("function", [probe, read])
def test_too_many_megapixels_are_refused_with_their_number(tmp_path, function):
    path = saved(tmp_path / "a.png", Image.new("L", (2000, 1000)))
    with pytest.raises(PictureError, match=r"a\.png: 2\.0 megapixels, above max_megapixels 1\.5"):
        function(path, max_megapixels=1.5)
    function(path, max_megapixels=2)


@pytest.mark.parametrize(
    "side, reason", [(12_000, "144.0 megapixels"), (30_000, "Pillow's own limit")]
)
def test_a_small_file_that_claims_to_be_huge_is_refused_before_it_is_decoded(
    tmp_path, side, reason
):
    content = bytearray(saved(tmp_path / "a.bmp", Image.new("L", (4, 4))).read_bytes())
    content[18:26] = struct.pack("<ii", side, side)
    (tmp_path / "a.bmp").write_bytes(content)
    with pytest.raises(PictureError, match=reason):
        read(tmp_path / "a.bmp")


def test_pillows_own_limit_holds_even_where_the_setting_is_higher(tmp_path, monkeypatch):
    path = saved(tmp_path / "a.png", Image.new("L", (100, 100)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4000)  # an error from twice as many on
    with pytest.raises(PictureError, match="Pillow's own limit"):
        read(path, max_megapixels=1000)


def test_a_heic_file_without_the_extra_names_it_also_under_another_suffix(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    for name in ("a.heic", "a.jpg"):
        (tmp_path / name).write_bytes(HEIC_HEAD)
        with pytest.raises(
            PictureError, match="pip install pillow-heif, then give the same command again"
        ):
            read(tmp_path / name)


def test_a_heic_file_is_read_with_the_extra(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    grey = np.tile(np.linspace(40, 200, 96).astype(np.uint8)[None, :, None], (64, 1, 3))
    pillow_heif.from_pillow(Image.fromarray(grey)).save(tmp_path / "a.heic", quality=90)
    assert np.abs(read(tmp_path / "a.heic").astype(int) - grey).max() <= 6
    assert (probe(tmp_path / "a.heic").height, probe(tmp_path / "a.heic").width) == (64, 96)
