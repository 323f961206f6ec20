"""pictures/read.py: every format and mode to RGB, side by side too; Pillow's own warnings."""

import hashlib
import io
import struct
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskdistill.pictures import prefetched, probe, read
from tests.pictures.drawn_files import corners, noise, saved


@pytest.fixture
def rgb() -> np.ndarray:
    return corners()


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
# 244 = 0.2 * 200 + 0.8 * 255
@pytest.mark.parametrize("alpha, wanted", [(255, 200), (0, 255), (51, 244)])
def test_transparent_pixels_are_laid_on_white(tmp_path, mode, colour, alpha, wanted):
    path = saved(tmp_path / "a.png", Image.new(mode, (3, 2), (*colour, alpha)))
    np.testing.assert_array_equal(read(path), np.full((2, 3, 3), wanted))


def test_printers_colours_become_rgb(tmp_path):
    inks = Image.new("CMYK", (16, 16), (0, 255, 255, 0))  # no cyan, all magenta and yellow: red
    for path in (saved(tmp_path / "a.tif", inks), saved(tmp_path / "a.jpg", inks, quality=100)):
        assert np.abs(read(path).astype(int) - [255, 0, 0]).max() <= 3, path.name


def test_a_ycck_jpeg_becomes_rgb(tmp_path):
    # Adobe stores inks inverted (255 - ink), and libjpeg takes R = 255 - stored, G, B of them for
    # YCbCr: so the inks themselves are what is transformed. Transform 2 states it. No cyan, all
    # magenta and yellow: red once more.
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


def tiff(order: str, pixels: bytes, *, width: int, bits: int) -> bytes:
    """A grey TIFF of one row by hand, `>` or `<`: Pillow writes neither big-endian nor 12 bits."""
    fields = {256: width, 257: 1, 258: bits, 259: 1, 262: 1, 273: 8, 277: 1, 278: 1}
    fields[279] = len(pixels)
    head = (b"MM" if order == ">" else b"II") + struct.pack(f"{order}HI", 42, 8 + len(pixels))
    content = head + pixels + struct.pack(f"{order}H", len(fields))
    for tag, value in fields.items():
        number = struct.pack(f"{order}H", value) + bytes(2)  # two bytes, in the first of four
        content += struct.pack(f"{order}HHI", tag, 3, 1) + number
    return content + bytes(4)


def test_big_endian_sixteen_bit_greys_are_the_same(tmp_path):
    values = np.array([0, 255, 256, 65535], ">u2")
    (tmp_path / "a.tif").write_bytes(tiff(">", values.tobytes(), width=4, bits=16))
    np.testing.assert_array_equal(read(tmp_path / "a.tif")[0, :, 0], [0, 1, 1, 255])


def test_twelve_bit_greys_have_their_own_white(tmp_path):
    values = [0, 4095, 2048, 16]
    packed = bytes([0, 0x0F, 0xFF, 0x80, 0x00, 0x10])
    (tmp_path / "a.tif").write_bytes(tiff("<", packed, width=4, bits=12))
    wanted = [round(value / 4095 * 255) for value in values]
    np.testing.assert_array_equal(read(tmp_path / "a.tif")[0, :, 0], wanted)


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


def warned_of(folder: Path) -> Path:
    """Save a picture in order that Pillow warns of: its metadata claims more than it holds."""
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
