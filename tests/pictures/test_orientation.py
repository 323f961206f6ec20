"""pictures/orientation.py: files of every orientation as they should be seen, or as they lie."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskdistill.errors import PictureError
from maskdistill.pictures import probe, read
from tests.pictures.drawn_files import corners, saved
from tests.reference import orientation as reference


@pytest.fixture
def rgb() -> np.ndarray:
    return corners()


def oriented(path: Path, picture: np.ndarray, orientation: int) -> Path:
    exif = Image.Exif()
    exif[0x0112] = orientation
    how = {".jpg": {"quality": 100, "subsampling": 0}, ".webp": {"lossless": True}}.get(
        path.suffix, {}
    )
    return saved(path, Image.fromarray(picture), exif=exif, **how)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_seen_as_the_camera_was_held(tmp_path, rgb, suffix, orientation):
    path = oriented(tmp_path / f"a{suffix}", rgb, orientation)
    wanted = np.stack(
        [reference.turned(rgb[..., channel], orientation) for channel in range(3)], axis=2
    )
    seen = read(path)
    assert (probe(path).height, probe(path).width) == seen.shape[:2] == wanted.shape[:2]
    assert probe(path).orientation == orientation
    assert np.abs(seen.astype(int) - wanted).mean() < (5 if suffix == ".jpg" else 1e-9)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_stored_leaves_a_picture_as_it_lies_in_the_file(tmp_path, rgb, suffix, orientation):
    path = oriented(tmp_path / f"a{suffix}", rgb, orientation)
    seen, told = read(path, orientation="stored"), probe(path, orientation="stored")
    assert (told.height, told.width, told.orientation) == (*seen.shape[:2], 1) == (13, 21, 1)
    assert np.abs(seen.astype(int) - rgb).mean() < (5 if suffix == ".jpg" else 1e-9)


def test_the_orientation_of_a_png_is_found_behind_its_pixels_without_decoding_them(tmp_path, rgb):
    content = oriented(tmp_path / "a.png", rgb, 6).read_bytes()
    start = content.index(b"eXIf") - 4
    end = start + 12 + int.from_bytes(content[start : start + 4], "big")
    late = content[:start] + content[end:-12] + content[start:end] + content[-12:]
    assert late.index(b"eXIf") > late.index(b"IDAT")
    (tmp_path / "late.png").write_bytes(late)
    assert (probe(tmp_path / "late.png").height, probe(tmp_path / "late.png").orientation) == (
        21,
        6,
    )
    np.testing.assert_array_equal(read(tmp_path / "late.png"), np.rot90(rgb, -1))
    pixels = late.index(b"IDAT")
    (tmp_path / "broken.png").write_bytes(late[: pixels + 8] + bytes(8) + late[pixels + 16 :])
    assert probe(tmp_path / "broken.png").orientation == 6
    with pytest.raises(PictureError):
        read(tmp_path / "broken.png")


@pytest.mark.parametrize("orientation", [0, 9, 77])
def test_an_orientation_that_does_not_exist_is_none(tmp_path, rgb, orientation):
    path = oriented(tmp_path / "a.png", rgb, orientation)
    np.testing.assert_array_equal(read(path), rgb)
    assert probe(path).orientation == 1


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0" + bytes(40)]
)
def test_broken_metadata_does_not_cost_the_picture(tmp_path, rgb, exif):
    path = saved(tmp_path / "a.jpg", Image.fromarray(rgb), exif=exif)
    assert read(path).shape == (13, 21, 3)
    assert probe(path).orientation == 1


def test_another_word_for_the_orientation_is_refused(tmp_path, rgb):
    path = saved(tmp_path / "a.png", Image.fromarray(rgb))
    for function in (probe, read):
        with pytest.raises(ValueError, match="exif or stored"):
            function(path, orientation="upright")
