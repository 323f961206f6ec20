"""pictures/levels.py: full range and stretch; a hot pixel is no blackout; levels of a whole set."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from maskdistill.errors import PictureError
from maskdistill.pictures import grey_levels, limits_of_set, probe, read
from maskdistill.pictures.levels import eight_bits, limits_of, stretched
from tests.pictures import tiffs


def saved(path: Path, values: np.ndarray) -> Path:
    Image.fromarray(values).save(path)
    return path


def plain_stretch(values: np.ndarray) -> np.ndarray:
    """The definition, by sorting: a thousandth at each end is left out, one value at least."""
    order = sorted(float(value) for value in values.ravel() if np.isfinite(value))
    n_cut = -(-len(order) // 1000) if len(order) >= 100 else 0
    black, white = order[n_cut], order[-1 - n_cut]
    if black == white:
        black, white = order[0], order[-1]
    made = np.zeros(values.shape, np.uint8)
    for place, value in np.ndenumerate(values):
        if white > black and not np.isnan(value):
            share = (float(value) - black) / (white - black)
            made[place] = int(min(max(share, 0), 1) * 255)
    return made


@pytest.mark.parametrize("kind", ["u2", "i2", "i4", "f4", "f8"])
@pytest.mark.parametrize("shape", [(3, 5), (9, 11), (40, 61), (260, 270)])
def test_a_stretch_is_its_definition(rng, kind, shape):
    values = (rng.normal(1000, 200, shape)).astype(kind)
    if kind[0] == "f":
        values[0, :3] = [np.nan, np.inf, -np.inf]
    found = stretched(values[..., None], limits_of(values[..., None]))[..., 0]
    np.testing.assert_array_equal(found, plain_stretch(values))


@pytest.mark.parametrize("kind", ["u2", "i2", "i4", "f4"])
def test_a_stretch_shows_what_few_values_hold_and_a_hot_pixel_changes_nothing(tmp_path, kind):
    values = np.tile(np.arange(7000, 7256, dtype=kind), (10, 1))
    hot = values.copy()
    hot[3, 4], hot[5, 6] = 32767, 0
    name = "a.tif" if kind[0] != "u" else "a.png"
    clean = read(saved(tmp_path / name, values), levels="stretch")
    assert clean[0, ::51, 0].tolist() == [0, 51, 102, 153, 204, 255]
    with_hot = read(saved(tmp_path / f"hot-{name}", hot), levels="stretch")
    differs = np.abs(with_hot.astype(int) - clean).max(axis=2) > 2
    assert {tuple(at) for at in np.argwhere(differs)} == {(3, 4), (5, 6)}


@pytest.mark.parametrize("hot", [2.0, 300.0, 1e9])
def test_a_hot_pixel_of_a_float_picture_is_white_and_the_others_stay(tmp_path, hot):
    values = np.tile(np.linspace(0, 1, 20, dtype=np.float32), (20, 1))
    clean = read(saved(tmp_path / "a.tif", values))
    values[7, 7] = hot
    found = read(saved(tmp_path / "b.tif", values))
    assert (found[7, 7] == 255).all()
    found[7, 7] = clean[7, 7]
    np.testing.assert_array_equal(found, clean)


def test_a_hot_pixel_above_sixteen_bits_is_no_blackout(tmp_path):
    values = np.tile(np.linspace(0, 1_000_000, 20).astype(np.int32), (20, 1))
    clean = read(saved(tmp_path / "a.tif", values))
    values[7, 7] = 2_000_000_000
    found = read(saved(tmp_path / "b.tif", values))
    found[7, 7] = clean[7, 7]
    np.testing.assert_array_equal(found, clean)


def test_a_picture_of_eight_bits_is_not_stretched(tmp_path):
    values = np.array([[[10, 20, 30], [40, 50, 60]]], np.uint8)
    for name in ("a.png", "a.tif", "a.bmp"):
        path = saved(tmp_path / name, values)
        np.testing.assert_array_equal(read(path, levels="stretch"), values)
        np.testing.assert_array_equal(read(path, levels=((0.0, 1.0),)), values)


def png16(path: Path, values: np.ndarray, colour: int) -> Path:
    """A PNG of 16 bits a colour by hand: Pillow cannot write these. colour: 2 RGB, 6 RGBA."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content))
            + name
            + content
            + struct.pack(">I", zlib.crc32(name + content))
        )

    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts))
    return path


def test_sixteen_bit_colours_of_a_png_are_stretched_from_all_their_bits(tmp_path):
    values = np.array([[[1000, 1010, 1020], [1030, 1040, 1050]]], np.uint16)
    wanted = [[0, 51, 102], [153, 204, 255]]
    path = png16(tmp_path / "a.png", values, 2)
    assert probe(path).is_deep
    assert read(path, levels="stretch")[0].tolist() == wanted
    see_through = np.concatenate([values, np.full((1, 2, 1), 65535, np.uint16)], axis=2)
    see_through[0, 1, 3] = 0
    path = png16(tmp_path / "b.png", see_through, 6)
    assert read(path, levels="stretch")[0].tolist() == [wanted[0], [255, 255, 255]]


def test_how_many_grey_levels_a_picture_uses(tmp_path):
    few = np.tile(np.arange(7000, 7256, dtype=np.uint16), (10, 1))
    assert grey_levels(saved(tmp_path / "a.png", few)) == (2, 256)
    two = np.tile(np.array([0, 65535], np.uint16), (10, 5))
    assert grey_levels(saved(tmp_path / "b.png", two)) == (2, 2)
    assert grey_levels(saved(tmp_path / "c.png", two.astype(np.uint8))) == (256, 256)
    assert [probe(tmp_path / name).is_deep for name in ("a.png", "b.png", "c.png")] == [
        True,
        True,
        False,
    ]


def test_levels_of_a_set_are_those_of_all_its_pictures(tmp_path, rng):
    pictures = [rng.integers(low, low + 500, (20, 30)).astype(np.uint16) for low in (100, 3000)]
    files = [(saved(tmp_path / f"{at}.png", values), 1) for at, values in enumerate(pictures)]
    files.append((saved(tmp_path / "eight.png", np.zeros((4, 4), np.uint8)), 1))
    (tmp_path / "damaged.png").write_bytes(files[0][0].read_bytes()[:100])
    files.append((tmp_path / "damaged.png", 1))
    order = np.sort(np.concatenate([values.ravel() for values in pictures]))
    wanted = ((float(order[2]), float(order[-3])),)  # a thousandth of 1200, rounded up
    for workers in (0, 2):
        assert limits_of_set(files, workers=workers) == wanted
    assert limits_of_set(files[2:3], workers=0) == ()
    found = [read(path, levels=wanted) for path, _ in files[:2]]
    assert found[0].max() < 60 < found[1].min()


def test_levels_of_a_set_are_of_each_chosen_band(tmp_path):
    values = np.stack([np.arange(60) * factor for factor in (1, 10, 100, 1000)], -1)
    path = tiffs.write(tmp_path / "a.tif", values[None].astype(np.uint16), photometric=1)
    limits = limits_of_set([(path, 1)], workers=0, bands=(4, 1, 2))
    assert limits == ((0, 59000), (0, 59), (0, 590))
    assert (read(path, bands=(4, 1, 2), levels=limits)[0, -1] == 255).all()
    with pytest.raises(PictureError, match=r"shows 1 bands.*of 3.*--levels stretch"):
        read(saved(tmp_path / "b.png", np.zeros((3, 3), np.uint16)), levels=limits)


def test_other_levels_are_an_error(tmp_path):
    path = saved(tmp_path / "a.png", np.zeros((3, 3), np.uint16))
    with pytest.raises(ValueError, match="levels must be full, stretch or limits, got 'best'"):
        read(path, levels="best")


numbers = st.sampled_from(["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"])


@given(
    kind=numbers,
    seed=st.integers(0, 2**32 - 1),
    low=st.floats(-1e6, 1e6),
    high=st.floats(-1e6, 1e6),
    n_bands=st.integers(1, 6),
    photometric=st.sampled_from([0, 1, 2]),
    is_planar=st.booleans(),
    extra=st.sampled_from([None, (0,), (1,), (2,), (999,)]),
    levels=st.sampled_from(["full", "stretch"]),
    bands=st.sampled_from([None, (1,), (2, 1, 1), (6, 5, 4)]),
    cut=st.sampled_from([0, 0, 1, 7, 40]),
    broken=st.one_of(st.none(), st.tuples(st.integers(0, 400), st.integers(0, 255))),
)
@settings(max_examples=400, deadline=None)
def test_of_any_tiff_a_picture_comes_out_or_a_picture_error(
    tmp_path_factory, kind, seed, low, high, n_bands, photometric, is_planar, extra, levels, bands,
    cut, broken,
):  # fmt: skip
    rng = np.random.default_rng(seed)
    with np.errstate(all="ignore"):
        values = rng.uniform(min(low, high), max(low, high), (9, 7, n_bands)).astype(kind)
    if kind[0] == "f":
        values.flat[:4] = [np.nan, np.inf, -np.inf, -0.0]
    path = tmp_path_factory.getbasetemp() / "fuzzed.tif"
    tiffs.write(path, values, photometric=photometric, is_planar=is_planar, extra=extra)
    content = bytearray(path.read_bytes())
    content = content[: len(content) - cut]
    if broken is not None:
        content[-1 - broken[0] % len(content)] = broken[1]
    path.write_bytes(content)
    try:
        seen = probe(path, bands=bands, max_megapixels=0.1)
        found = read(path, levels=levels, bands=bands, max_megapixels=0.1)
        grey_levels(path, bands=bands, max_megapixels=0.1)
    except PictureError:
        assert (
            cut
            or broken
            or n_bands > 4
            or (bands and max(bands) > n_bands)
            or (photometric == 2 and n_bands < 3)
        )
        return
    assert found.dtype == np.uint8
    assert found.shape == (seen.height, seen.width, 3)


@given(
    values=st.lists(
        st.floats(width=32, allow_nan=True, allow_infinity=True), min_size=1, max_size=200
    ),
    bits=st.none(),
)
@settings(max_examples=200, deadline=None)
def test_full_range_keeps_the_order_of_values(values, bits):
    found = eight_bits(np.array(values, np.float32), bits=bits)
    order = np.argsort(np.nan_to_num(values, nan=-np.inf, posinf=np.inf, neginf=-np.inf))
    assert (np.diff(found[order].astype(int)) >= 0).all()
