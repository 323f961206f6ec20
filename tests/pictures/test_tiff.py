"""pictures/tiff.py, tiff_samples.py: samples of any type are read as they are, bands as asked."""

import sys

import numpy as np
import pytest
from PIL import Image

from maskdistill.errors import PictureError
from maskdistill.pictures import probe, read, tiff, tiff_samples
from tests.pictures import tiffs

KINDS = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"]


def drawn(rng: np.random.Generator, kind: str, shape: tuple[int, ...]) -> np.ndarray:
    """Values over the whole range of a type; of floats also nan and infinities."""
    if kind[0] == "f":
        values = rng.normal(0, 300, shape).astype(kind)
        values[0, :3].flat[:3] = [np.nan, np.inf, -np.inf]
        return values
    about = np.iinfo(kind)
    return rng.integers(about.min, about.max, shape, dtype=kind, endpoint=True)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("is_planar", [False, True])
@pytest.mark.parametrize("deflate, predictor", [(False, 1), (True, 1), (True, 2), (True, 3)])
def test_samples_of_any_type_come_back_as_they_were_written(
    tmp_path, rng, kind, order, is_planar, deflate, predictor
):
    if predictor == 3 and kind[0] != "f":
        pytest.skip("predictor 3 is of floats")
    values = drawn(rng, kind, (7, 5, 6))
    how = {"deflate": deflate, "predictor": predictor, "is_planar": is_planar}
    path = tiffs.write(tmp_path / "a.tif", values, order=order, photometric=1, **how)
    with path.open("rb") as file:
        (page,) = tiff.pages(file)
        np.testing.assert_array_equal(
            tiff_samples.samples(path, file, page, [4, 0, 5]), values[..., [4, 0, 5]]
        )


@pytest.mark.parametrize("packing", ["tiff_lzw", "packbits", "tiff_deflate"])
@pytest.mark.parametrize("kind", ["u2", "i4", "f4"])
def test_packed_strips_are_unpacked_by_libtiff(tmp_path, rng, packing, kind):
    values = drawn(rng, kind, (300, 200))  # several strips, the last one shorter
    Image.fromarray(values).save(tmp_path / "a.tif", compression=packing)
    with (tmp_path / "a.tif").open("rb") as file:
        (page,) = tiff.pages(file)
        assert len(page.tags[273]) > 1
        found = tiff_samples.samples(tmp_path / "a.tif", file, page, [0])
    np.testing.assert_array_equal(found[..., 0], values)


def test_white_is_zero_is_turned_whatever_the_type(tmp_path):
    for values, wanted in [
        (np.array([[0, 100, 255]], np.uint8), [255, 155, 0]),
        (np.array([[0, 257, 65535]], np.uint16), [255, 254, 0]),
        (np.array([[0, 0.2, 1, np.nan]], np.float32), [255, 204, 0, 0]),
        (np.array([[0, 65535, 257]], np.uint32), [255, 0, 254]),
    ]:
        path = tiffs.write(tmp_path / "a.tif", values, photometric=0)
        assert read(path)[0, :, 0].tolist() == wanted, values.dtype


def test_a_sign_is_no_brightness(tmp_path):
    for values, wanted in [
        (np.array([[-128, -1, 0, 100, 127]], np.int8), [0, 0, 0, 100, 127]),
        (np.array([[-32768, -1, 0, 257, 32767]], np.int16), [0, 0, 0, 1, 127]),
        (np.array([[-5, 0, 65535]], np.int32), [0, 0, 255]),
    ]:
        for order in "<>":
            path = tiffs.write(tmp_path / "a.tif", values, order=order)
            assert read(path)[0, :, 0].tolist() == wanted, (values.dtype, order)


def test_signed_values_stretched_keep_their_order(tmp_path):
    values = np.array([[-1000, -500, 0, 1000]], np.int16)
    path = tiffs.write(tmp_path / "a.tif", values)
    assert read(path, levels="stretch")[0, :, 0].tolist() == [0, 63, 127, 255]
    inverted = tiffs.write(tmp_path / "b.tif", values, photometric=0)
    assert read(inverted, levels="stretch")[0, :, 0].tolist() == [255, 192, 128, 0]


def test_unsigned_32_bits_above_half_their_range_are_not_negative(tmp_path):
    values = np.array([[0, 2_000_000_000, 4_000_000_000]], np.uint32)
    for order in "<>":
        path = tiffs.write(tmp_path / "a.tif", values, order=order)
        assert read(path)[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize("kind, white", [("u1", 255), ("u2", 65535)])
@pytest.mark.parametrize("is_planar", [False, True])
@pytest.mark.parametrize("photometric, extra", [(2, None), (2, (0,)), (1, (0, 0, 0)), (1, None)])
def test_a_fourth_band_that_is_not_said_to_be_alpha_hides_nothing(
    tmp_path, kind, white, is_planar, photometric, extra
):
    values = np.zeros((3, 5, 4), kind)
    values[..., 0], values[..., 1] = white, white // 5
    path = tiffs.write(
        tmp_path / "a.tif", values, photometric=photometric, extra=extra, is_planar=is_planar
    )
    np.testing.assert_array_equal(read(path), np.full((3, 5, 3), [255, 51, 0]))


def test_a_fourth_band_that_is_alpha_is_laid_on_white_unless_it_is_empty(tmp_path):
    for kind, white in (("u1", 255), ("u2", 65535)):
        values = np.zeros((1, 3, 4), kind)
        values[0, :, 3] = [0, white, 0]
        path = tiffs.write(tmp_path / "a.tif", values, extra=(2,))
        for levels in ("full", "stretch"):
            assert read(path, levels=levels)[0, :, 0].tolist() == [255, 0, 255]
        values[..., 3] = 0
        path = tiffs.write(tmp_path / "a.tif", values, extra=(2,))
        assert read(path)[0, :, 0].tolist() == [0, 0, 0]


@pytest.mark.parametrize("n_bands", [4, 5, 8])
@pytest.mark.parametrize("is_planar", [False, True])
def test_chosen_bands_are_red_green_and_blue_counted_from_one(tmp_path, rng, n_bands, is_planar):
    values = rng.integers(0, 256, (6, 5, n_bands), dtype=np.uint8)
    how = {"photometric": 1, "is_planar": is_planar}
    path = tiffs.write(tmp_path / "a.tif", values, **how)
    np.testing.assert_array_equal(read(path, bands=(4, 1, 3)), values[..., [3, 0, 2]])
    np.testing.assert_array_equal(read(path, bands=(4,)), values[..., [3, 3, 3]])
    deep = tiffs.write(tmp_path / "b.tif", values.astype(np.uint16) * 257, **how)
    np.testing.assert_array_equal(read(deep, bands=(4, 1, 3)), values[..., [3, 0, 2]])


def test_each_chosen_band_is_stretched_by_itself(tmp_path):
    values = np.stack([np.arange(5) * 10 + 7, np.arange(5) * 1000, np.full(5, 9)], -1)[None]
    path = tiffs.write(tmp_path / "a.tif", values.astype(np.uint16), photometric=1)
    found = read(path, bands=(1, 2, 3), levels="stretch")
    ramp = [0, 63, 127, 191, 255]
    assert found[0].T.tolist() == [ramp, ramp, [0] * 5]


def test_more_bands_than_four_are_refused_with_the_setting_and_missing_ones_too(tmp_path):
    path = tiffs.write(tmp_path / "a.tif", np.zeros((3, 4, 6), np.uint16), photometric=1)
    for do in (probe, read):
        with pytest.raises(PictureError, match=r"a\.tif: has 6 bands\. .*--bands 3,2,1"):
            do(path)
        with pytest.raises(PictureError, match=r"a\.tif: has 6 bands, and bands asks for number 7"):
            do(path, bands=(1, 2, 7))
    assert probe(path, bands=(1, 2, 6)).width == 4


def test_bands_leave_pictures_of_one_band_and_of_other_formats_alone(tmp_path):
    Image.new("RGB", (3, 2), (1, 2, 3)).save(tmp_path / "a.png")
    assert read(tmp_path / "a.png", bands=(3, 2, 9))[0, 0].tolist() == [1, 2, 3]
    Image.new("CMYK", (3, 2), (0, 255, 255, 0)).save(tmp_path / "b.tif")
    assert read(tmp_path / "b.tif", bands=(3, 2, 1))[0, 0].tolist() == [255, 0, 0]
    path = tiffs.write(tmp_path / "a.tif", np.full((2, 3), 7, np.uint8))
    assert read(path, bands=(3, 2, 9))[0, 0].tolist() == [7, 7, 7]


def test_sixteen_bit_colours_are_stretched_from_all_their_bits(tmp_path):
    values = np.array([[[1000, 1010, 1020], [1030, 1040, 1050]]], np.uint16)
    for is_planar in (False, True):
        path = tiffs.write(tmp_path / "a.tif", values, is_planar=is_planar)
        assert read(path, levels="stretch")[0].tolist() == [[0, 51, 102], [153, 204, 255]]
        assert read(path)[0, 0].tolist() in ([3, 3, 3], [4, 4, 4])


@pytest.mark.parametrize("turn", range(1, 9))
def test_orientation_is_that_of_the_tag(tmp_path, turn):
    deep = np.arange(6, dtype=np.uint16).reshape(2, 3) * 257
    plain = (deep // 257).astype(np.uint8)
    for orientation in ("exif", "stored"):
        found = [
            read(tiffs.write(tmp_path / "a.tif", page, tags={274: turn}), orientation=orientation)
            for page in (deep, plain)
        ]
        np.testing.assert_array_equal(*found)
        seen = probe(tmp_path / "a.tif", orientation=orientation)
        assert found[0].shape[:2] == (seen.height, seen.width)


def test_a_file_cut_short_is_refused_and_not_black(tmp_path):
    path = tiffs.write(tmp_path / "a.tif", np.ones((8, 8), np.float64))
    content = bytearray(path.read_bytes())
    # The strips are said to lie behind the end of the file.
    with path.open("rb") as file:
        (page,) = tiff.pages(file)
    first = page.tags[273][0].to_bytes(4, "little") + page.tags[273][1].to_bytes(4, "little")
    at = content.index(first)
    content[at : at + 4] = len(content).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(PictureError, match=r"cannot be decoded.*cut short"):
        read(path)


def test_what_needs_the_extra_says_so_and_is_read_with_it(tmp_path, rng, monkeypatch):
    # Two bands of 12 bits: neither Pillow nor we know them.
    path = tiffs.write(tmp_path / "a.tif", np.zeros((2, 4, 2), np.uint16), photometric=1)
    content = path.read_bytes()
    path.write_bytes(
        content.replace(
            b"\x02\x01\x03\x00\x02\x00\x00\x00\x10\x00\x10\x00",
            b"\x02\x01\x03\x00\x02\x00\x00\x00\x0c\x00\x0c\x00",
        )
    )
    monkeypatch.setitem(sys.modules, "tifffile", None)
    for do in (probe, read):
        with pytest.raises(PictureError, match=r"pip install 'maskdistill\[tiff\]'"):
            do(path)


@pytest.mark.parametrize("packing", ["zstd", "lerc", "jpegxl", "jpeg2000"])
def test_scientific_packings_are_read_by_the_extra(tmp_path, rng, packing):
    tifffile = pytest.importorskip("tifffile")
    pytest.importorskip("imagecodecs")
    values = rng.integers(0, 60000, (64, 48), dtype=np.uint16)
    path = tmp_path / "a.tif"
    how = {"compressionargs": {"level": 0}} if packing in ("jpegxl", "jpeg2000") else {}
    if packing == "jpegxl":
        how = {"compressionargs": {"lossless": True}}
    tifffile.imwrite(path, values, compression=packing, photometric="minisblack", **how)
    wanted = np.rint(values / 257).astype(np.uint8)
    np.testing.assert_array_equal(read(path)[..., 0], wanted)
