"""pictures/read.py: every format, mode and orientation to RGB as it should be seen; every bad file to PictureError."""

import contextlib
import hashlib
import io
import os
import struct
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskdistill.errors import PictureError
from maskdistill.pictures import prefetched, probe, read
from tests.reference import orientation as reference

HEIC_HEAD = struct.pack(">I", 24) + b"ftypheic" + bytes(12)


@pytest.fixture
def rgb() -> np.ndarray:
    """(13, 21, 3): four corners that differ, on a slope."""
    picture = np.zeros((13, 21, 3), np.uint8)
    picture[..., 0] = np.linspace(0, 255, 21).astype(np.uint8)
    picture[..., 1] = np.linspace(0, 255, 13).astype(np.uint8)[:, None]
    picture[:4, :4] = 255, 255, 255
    picture[-4:, :4] = 0, 0, 255
    return picture


def saved(path: Path, picture: Image.Image, **how: object) -> Path:
    picture.save(path, **how)
    return path


def noise(rng: np.random.Generator, suffix: str, folder: Path) -> Path:
    return saved(
        folder / f"noise{suffix}",
        Image.fromarray(rng.integers(0, 256, (64, 96, 3)).astype(np.uint8)),
    )


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "deflated.tiff", "a b.webp"])
def test_lossless_formats_come_back_exactly(tmp_path, rgb, name):
    how = {
        "a b.webp": {"lossless": True},
        "deflated.tiff": {"compression": "tiff_adobe_deflate"},
    }.get(name, {})
    seen = read(saved(tmp_path / name, Image.fromarray(rgb), **how))
    assert seen.dtype == np.uint8
    assert seen.flags.c_contiguous
    assert seen.flags.writeable
    np.testing.assert_array_equal(seen, rgb)


@pytest.mark.parametrize("how", [{}, {"progressive": True}, {"subsampling": 2}])
def test_a_jpeg_comes_back_nearly(tmp_path, how):
    grey = np.tile(np.linspace(40, 200, 48).astype(np.uint8)[None, :, None], (32, 1, 3))
    seen = read(saved(tmp_path / "Ü 1.jpg", Image.fromarray(grey), quality=95, **how))
    assert np.abs(seen.astype(int) - grey).max() <= 3


def test_the_probe_tells_sides_bytes_and_hash(tmp_path, rgb):
    path = saved(tmp_path / "a.png", Image.fromarray(rgb))
    seen = probe(path)
    assert (seen.height, seen.width, seen.orientation) == (13, 21, 1)
    assert seen.bytes == path.stat().st_size
    assert seen.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_content_decides_and_not_the_suffix(tmp_path, rgb):
    path = saved(tmp_path / "a.png", Image.fromarray(rgb)).rename(tmp_path / "a.jpg")
    np.testing.assert_array_equal(read(path), rgb)


def test_a_picture_of_one_pixel_is_a_picture(tmp_path):
    path = saved(tmp_path / "a.png", Image.new("RGB", (1, 1), (1, 2, 3)))
    np.testing.assert_array_equal(read(path), [[[1, 2, 3]]])


def test_a_picture_of_40_megapixels_is_read(tmp_path):
    path = saved(tmp_path / "a.png", Image.new("L", (8000, 5000), 7), compress_level=1)
    assert (probe(path).height, probe(path).width) == (5000, 8000)
    seen = read(path)
    assert seen.shape == (5000, 8000, 3)
    assert (seen[::999, ::999] == 7).all()


# --- modes


def test_grey_and_black_and_white_have_three_equal_channels(tmp_path, rgb):
    np.testing.assert_array_equal(
        read(saved(tmp_path / "grey.png", Image.fromarray(rgb[..., 0]))),
        np.repeat(rgb[..., :1], 3, axis=2),
    )
    bits = rgb[..., 0] > 100
    seen = read(saved(tmp_path / "bits.png", Image.fromarray(bits)))
    np.testing.assert_array_equal(seen, np.repeat(bits[..., None], 3, axis=2) * np.uint8(255))


def test_a_palette_is_looked_up(tmp_path, rgb):
    palette = Image.fromarray(rgb).quantize(16)
    path = saved(tmp_path / "a.png", palette)
    np.testing.assert_array_equal(read(path), np.array(palette.convert("RGB")))


@pytest.mark.parametrize("transparency", [1, bytes([255, 0])])
def test_transparent_entries_of_a_palette_are_white(tmp_path, transparency):
    picture = Image.new("P", (2, 1))
    picture.putpalette([10, 20, 30, 200, 0, 0])
    picture.putpixel((1, 0), 1)
    path = saved(tmp_path / "a.png", picture, transparency=transparency)
    np.testing.assert_array_equal(read(path), [[[10, 20, 30], [255, 255, 255]]])


@pytest.mark.parametrize("mode, colour", [("RGB", (9, 8, 7)), ("L", 9)])
def test_the_transparent_colour_of_a_png_without_alpha_is_white(tmp_path, mode, colour):
    picture = Image.new(mode, (2, 1), colour)
    picture.putpixel((1, 0), 0 if mode == "L" else (0, 0, 0))
    path = saved(tmp_path / "a.png", picture, transparency=colour)
    np.testing.assert_array_equal(read(path), [[[255, 255, 255], [0, 0, 0]]])


@pytest.mark.parametrize("mode, colour", [("RGBA", (200, 200, 200)), ("LA", (200,))])
@pytest.mark.parametrize(
    "alpha, wanted", [(255, 200), (0, 255), (51, 244)]
)  # 244 = 0.2 * 200 + 0.8 * 255
def test_transparent_pixels_are_laid_on_white(tmp_path, mode, colour, alpha, wanted):
    path = saved(tmp_path / "a.png", Image.new(mode, (3, 2), (*colour, alpha)))
    np.testing.assert_array_equal(read(path), np.full((2, 3, 3), wanted))


def test_printers_colours_become_rgb(tmp_path):
    inks = Image.new("CMYK", (16, 16), (0, 255, 255, 0))  # no cyan, all magenta and yellow: red
    for path in (saved(tmp_path / "a.tif", inks), saved(tmp_path / "a.jpg", inks, quality=100)):
        assert np.abs(read(path).astype(int) - [255, 0, 0]).max() <= 3, path.name


def test_a_ycck_jpeg_becomes_rgb(tmp_path):
    # Adobe stores inks inverted (255 - ink), and libjpeg takes R = 255 - stored, G, B of them for YCbCr: so the inks
    # themselves are what is transformed. Transform 2 states it. No cyan, all magenta and yellow: red once more.
    red, green, blue = 0.0, 255.0, 255.0
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    ycc = luma, 128 + 0.564 * (blue - luma), max(128 + 0.713 * (red - luma), 0)
    content = io.BytesIO()
    # Pillow writes the inverse of what it is given, with transform 0.
    Image.new("CMYK", (16, 16), tuple(round(255 - part) for part in (*ycc, 255))).save(
        content, "JPEG", quality=100
    )
    marker = content.getvalue().index(b"Adobe")
    bytes_ = bytearray(content.getvalue())
    bytes_[marker + 11] = 2
    (tmp_path / "a.jpg").write_bytes(bytes_)
    assert np.abs(read(tmp_path / "a.jpg").astype(int) - [255, 0, 0]).max() <= 4


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bit_greys_are_scaled_not_cut_off(tmp_path, name):
    values = np.array([[0, 128, 129, 257], [32768, 65535, 65406, 65407]], np.uint16)
    path = saved(tmp_path / name, Image.fromarray(values))
    np.testing.assert_array_equal(read(path)[..., 0], np.rint(values / 257).astype(np.uint8))
    np.testing.assert_array_equal(read(path)[..., 0], read(path)[..., 2])


def test_big_endian_sixteen_bit_greys_are_the_same(tmp_path):
    values = np.array([[0, 255, 256, 65535]], np.uint16)
    fields = [
        (256, 4),
        (257, 1),
        (258, 16),
        (259, 1),
        (262, 1),
        (273, 8),
        (277, 1),
        (278, 1),
        (279, 8),
    ]
    entries = b"".join(struct.pack(">HHIHH", tag, 3, 1, value, 0) for tag, value in fields)
    content = b"MM\0*" + struct.pack(">I", 16) + values.astype(">u2").tobytes()
    (tmp_path / "a.tif").write_bytes(content + struct.pack(">H", len(fields)) + entries + bytes(4))
    np.testing.assert_array_equal(read(tmp_path / "a.tif")[0, :, 0], [0, 1, 1, 255])


def test_twelve_bit_greys_have_their_own_white(tmp_path):
    values = [0, 4095, 2048, 16]
    packed = bytes([0, 0x0F, 0xFF, 0x80, 0x00, 0x10])
    fields = [
        (256, 4),
        (257, 1),
        (258, 12),
        (259, 1),
        (262, 1),
        (273, 8),
        (277, 1),
        (278, 1),
        (279, 6),
    ]
    entries = b"".join(struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in fields)
    content = b"II*\0" + struct.pack("<I", 14) + packed
    (tmp_path / "a.tif").write_bytes(content + struct.pack("<H", len(fields)) + entries + bytes(4))
    np.testing.assert_array_equal(
        read(tmp_path / "a.tif")[0, :, 0], [round(value / 4095 * 255) for value in values]
    )


@pytest.mark.parametrize(
    "values, wanted",
    [
        (np.array([[0, 0.5, 1]], np.float32), [0, 128, 255]),
        (np.array([[0, 100, 255]], np.float32), [0, 100, 255]),
        (np.array([[0, 50, 200]], np.int32), [0, 50, 200]),
        (np.array([[0, 257, 65535]], np.int32), [0, 1, 255]),
        (np.array([[-5, 0, 1_000_000, 2_000_000]], np.int32), [0, 0, 128, 255]),
        (np.array([[np.nan, np.inf, -np.inf, 1, 0.2]], np.float32), [0, 255, 0, 255, 51]),
        (np.array([[np.inf, np.nan]], np.float32), [255, 0]),
        (np.array([[0, 0]], np.float32), [0, 0]),
        (np.array([[-3, -1]], np.float32), [0, 0]),
    ],
)
def test_values_without_an_agreed_white_take_the_least_one_that_fits(tmp_path, values, wanted):
    np.testing.assert_array_equal(
        read(saved(tmp_path / "a.tif", Image.fromarray(values)))[0, :, 0], wanted
    )


def test_sixteen_bit_colours_become_eight(tmp_path):
    # Pillow cannot write these: a PNG by hand, one row of two pixels.
    import zlib

    def chunk(name: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content))
            + name
            + content
            + struct.pack(">I", zlib.crc32(name + content))
        )

    row = b"\0" + struct.pack(">6H", 65535, 0, 32896, 257, 514, 771)
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(row)),
        (b"IEND", b""),
    )
    (tmp_path / "a.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)
    )
    np.testing.assert_array_equal(read(tmp_path / "a.png"), [[[255, 0, 128], [1, 2, 3]]])


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.tif", "a.png"])
def test_of_an_animation_the_first_frame_is_read(tmp_path, name):
    frames = [
        Image.new("RGB", (20, 10), colour) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))
    ]
    how = {"lossless": True} if name == "a.webp" else {}
    path = saved(tmp_path / name, frames[0], save_all=True, append_images=frames[1:], **how)
    np.testing.assert_array_equal(read(path), np.full((10, 20, 3), (255, 0, 0)))
    assert (probe(path).height, probe(path).width) == (10, 20)


# --- orientation


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


# --- bad files


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


# --- warnings and threads


def warned_of(folder: Path) -> Path:
    """A picture in order of which Pillow warns while it opens it: its metadata claims more than it holds."""
    exif = (
        b"Exif\0\0II*\0\x08\0\0\0"
        + struct.pack("<H", 1)
        + struct.pack("<HHII", 0x010E, 2, 5000, 26)
        + bytes(4)
    )
    return saved(folder / "warned.jpg", Image.new("RGB", (40, 30), "grey"), exif=exif)


def test_what_pillow_warns_of_is_no_error_though_warnings_are(tmp_path):
    path = warned_of(tmp_path)
    with warnings.catch_warnings(record=True) as heard:  # the file does provoke one
        warnings.simplefilter("always")
        Image.open(path).getexif().get(0x0112)
    assert heard
    assert read(path).shape == (30, 40, 3)
    assert probe(path).orientation == 1


def test_other_warnings_are_still_errors_after_threads_have_read(tmp_path, rng):
    path = warned_of(tmp_path)
    before = list(warnings.filters)
    for _ in range(5):
        assert len(list(prefetched([path] * 40, read, workers=4))) == 40
    added = [entry for entry in warnings.filters if entry not in before]
    assert len(added) <= 1
    with pytest.raises(UserWarning, match="ours"):
        warnings.warn("ours", UserWarning, stacklevel=1)


def test_pictures_read_side_by_side_are_the_same(tmp_path, rng):
    paths = [
        noise(rng, suffix, tmp_path) for suffix in (".jpg", ".png", ".bmp", ".tif", ".gif", ".webp")
    ] * 8
    with ThreadPoolExecutor(8) as pool:
        seen = list(pool.map(read, paths))
    for path, picture in zip(paths, seen, strict=True):
        np.testing.assert_array_equal(picture, read(path))
