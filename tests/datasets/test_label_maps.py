"""Label maps of others: the right numbers, or a sentence that says why not; each file decoded once."""

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as stnp
from PIL import Image

from maskdistill.datasets import truth
from maskdistill.datasets.label_maps import map_folder, voc_colours
from maskdistill.datasets.label_maps.map_files import NUMBERS, FileError, Reading, decoded
from maskdistill.datasets.label_maps.map_folder import LabelMaps
from maskdistill.datasets.label_maps.map_palettes import Palettes
from maskdistill.datasets.label_maps.pixel_counts import pixels_of_each
from maskdistill.errors import GroundTruthError, PredictionError

TWO_VALUED = Reading(values="two_valued")
BY_COLOUR = Reading(values="voc_colours")
OBJECT = np.array([[0, 0, 1, 1, 0], [0, 1, 1, 1, 0], [0, 0, 0, 1, 0]], np.uint8)
CLASSES = np.array([[0, 0, 15, 15, 255], [0, 7, 7, 15, 255], [0, 0, 0, 20, 255]], np.uint8)


def save(path: Path, values: np.ndarray, mode: str = "L", palette: object = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(np.asarray(values, np.uint8))
    if mode == "1":
        picture = picture.point(lambda value: 255 * (value > 0)).convert("1")
    elif mode != "L" and mode != "P":
        picture = picture.convert(mode)
    if palette is not None:
        picture.putpalette(np.asarray(palette, np.uint8).ravel().tolist())
    picture.save(path)
    return path


def one(path: Path, reading: Reading = NUMBERS) -> np.ndarray:
    return decoded(path, reading).label_map


def notes(folder: Path, reading: Reading = NUMBERS, **options: object) -> str:
    maps = LabelMaps(folder, reading, **options)  # type: ignore[arg-type]
    for key in maps.files:
        maps.read(key)
    return "\n".join(maps.check())


def grey_of_bits(path: Path, rows: list[list[int]], bits: int) -> Path:
    """Write a grey PNG of 1, 2 or 4 bits a pixel, as no call of Pillow does."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checked = kind + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    packed = b""
    for row in rows:
        text = "".join(f"{value:0{bits}b}" for value in row)
        text += "0" * (-len(text) % 8)
        packed += b"\0" + int(text, 2).to_bytes(len(text) // 8, "big")
    head = struct.pack(">IIBBBBB", len(rows[0]), len(rows), bits, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(packed))
        + chunk(b"IEND", b"")
    )
    return path


@pytest.mark.parametrize("mode", ["L", "P"])
def test_a_folder_of_0_and_255_alone_is_refused_with_the_flag_that_reads_it(tmp_path, mode) -> None:
    grey = np.arange(256).repeat(3)
    save(tmp_path / "a.png", OBJECT * 255, palette=grey if mode == "P" else None)
    save(tmp_path / "b" / "c.png", OBJECT * 0)
    said = r"2 label maps hold 0 and 255 alone.*`evaluate.label_values: two_valued`"
    with pytest.raises(GroundTruthError, match=said):
        truth.read(tmp_path)
    np.testing.assert_array_equal(truth.read(tmp_path, TWO_VALUED).label_map("a.png"), OBJECT)


def test_void_and_background_in_files_of_their_own_are_no_two_valued_masks(tmp_path) -> None:
    save(tmp_path / "a.png", OBJECT * 0)
    save(tmp_path / "b.png", OBJECT * 0 + 255)
    found = truth.read(tmp_path)
    assert found.names == []
    assert found.notes[0] == "void (255): 50.0 % of the truth's pixels are not counted"
    assert found.notes[1].startswith("1 of 2 label maps have no pixel that counts")


@pytest.mark.parametrize("mode", ["L", "1", "RGB", "RGBA", "LA"])
def test_masks_of_two_values_are_read_as_background_and_class_1(tmp_path, mode) -> None:
    path = save(tmp_path / "x.png", OBJECT * 255, mode)
    with Image.open(path) as picture:
        assert picture.mode == mode
    np.testing.assert_array_equal(one(path, TWO_VALUED), OBJECT)
    found = truth.read(tmp_path, TWO_VALUED)
    assert found.names == ["class 1"]
    assert found.notes == ["void (nothing): 0.0 % of the truth's pixels are not counted"]


def test_maps_of_one_bit_are_0_and_1_without_a_flag(tmp_path) -> None:
    save(tmp_path / "x.png", OBJECT, "1")
    found = truth.read(tmp_path)
    np.testing.assert_array_equal(found.label_map("x.png"), OBJECT)
    assert found.names == ["class 1"]


def test_masks_of_0_and_1_stay_what_they_are(tmp_path) -> None:
    np.testing.assert_array_equal(one(save(tmp_path / "x.png", OBJECT), TWO_VALUED), OBJECT)


@pytest.mark.parametrize(
    "numbers, colours, told",
    [((0, 1), (0, 255), False), ((0, 1), (255, 0), True), ((3, 5), (0, 255), True)],
)
def test_two_valued_palette_masks_are_read_by_black_and_white(
    tmp_path, numbers, colours, told
) -> None:
    palette = np.full((256, 3), 9)
    palette[list(numbers)] = np.array(colours)[:, None]
    shown = OBJECT if colours[0] < colours[1] else 1 - OBJECT
    save(tmp_path / "x.png", np.array(numbers)[OBJECT], palette=palette)
    found = truth.read(tmp_path, TWO_VALUED)
    np.testing.assert_array_equal(found.label_map("x.png"), shown)
    assert ("against the black and white" in "".join(found.notes)) == told


@pytest.mark.parametrize("third", [1, 128, 254])
def test_a_third_value_is_refused_with_its_pixels_or_is_void(tmp_path, third) -> None:
    values = OBJECT * 255
    values[0, :2] = third
    save(tmp_path / "x.png", values)
    with pytest.raises(
        FileError, match=rf"x\.png: is not of the two values.* 2 pixels are {third}"
    ):
        one(tmp_path / "x.png", TWO_VALUED)
    wanted = OBJECT.copy()
    wanted[0, :2] = 255
    found = truth.read(tmp_path, Reading(values="two_valued", void=third))
    np.testing.assert_array_equal(found.label_map("x.png"), wanted)
    assert found.notes[0].startswith(f"void ({third}): 13.3 % of")


def test_transparent_masks_of_two_values_are_refused(tmp_path) -> None:
    values = np.zeros((3, 5, 4), np.uint8)
    values[..., 3] = OBJECT * 255
    Image.fromarray(values).save(tmp_path / "x.png")
    with pytest.raises(FileError, match=r"x\.png: is transparent in places"):
        one(tmp_path / "x.png", TWO_VALUED)


@pytest.mark.parametrize("void", [0, 254, 3])
def test_another_value_is_void_beside_255(tmp_path, void) -> None:
    values = np.array([[0, 1, 2, 3, 254, 255]], np.uint8)
    save(tmp_path / "x.png", values)
    found = truth.read(tmp_path, Reading(void=void))
    wanted = np.where(values == void, 255, values)
    np.testing.assert_array_equal(found.label_map("x.png"), wanted)
    assert found.notes[0] == f"void ({void} and 255): 33.3 % of the truth's pixels are not counted"
    assert len(found.names) == (3 if void == 254 else 254)


def test_a_truth_that_is_void_throughout_is_refused(tmp_path) -> None:
    save(tmp_path / "x.png", OBJECT * 0)
    with pytest.raises(GroundTruthError, match=r"void \(0 and 255\), so that nothing is left"):
        truth.read(tmp_path, Reading(void=0))
    assert "nothing" not in notes(tmp_path, error=PredictionError)


def test_maps_without_a_class_beside_void_are_counted_and_named(tmp_path) -> None:
    save(tmp_path / "a.png", OBJECT)
    save(tmp_path / "b.png", OBJECT * 255)
    save(tmp_path / "c.png", OBJECT * 0 + 255)
    assert truth.read(tmp_path).notes == [
        "void (255): 46.7 % of the truth's pixels are not counted",
        "1 of 3 label maps hold background and void (255) alone, no class: b.png",
        "1 of 3 label maps have no pixel that counts, all of them are void (255): c.png",
    ]


def test_a_share_below_what_is_shown_is_not_called_nothing(tmp_path) -> None:
    values = np.zeros((50, 50), np.uint8)
    values[0, 0] = 255
    values[1, 1] = 1
    save(tmp_path / "x.png", values)
    assert truth.read(tmp_path).notes == [
        "void (255): below 0.1 % of the truth's pixels are not counted"
    ]


def test_a_lone_class_of_a_high_number_is_told(tmp_path) -> None:
    save(tmp_path / "x.png", OBJECT * 200)
    said = "the only class that occurs is 200; 1 to 199 have no pixel"
    assert said in truth.read(tmp_path).notes
    save(tmp_path / "y.png", OBJECT)
    assert len(truth.read(tmp_path).notes) == 1


def test_masks_with_soft_edges_are_told_and_sparse_labels_are_not(tmp_path) -> None:
    values = np.zeros((40, 100), np.uint8)
    values[:, 60:] = 255
    values[0, 50:90] = np.arange(10, 250, 6)
    save(tmp_path / "x.png", values)
    said = "0 and 255 fill all but 1.0 % of the pixels, and the rest has 40 numbers, each a class"
    assert said in "".join(truth.read(tmp_path).notes)
    values[0, 50:90] = np.arange(40) % 21  # scribbles
    save(tmp_path / "x.png", values)
    assert len(truth.read(tmp_path).notes) == 1


@given(
    st.lists(st.tuples(st.integers(0, 255), st.integers(1, 40)), min_size=1, max_size=9),
    st.booleans(),
)
def test_pixels_of_each_number_are_those_of_numpys_count(runs, is_column) -> None:
    flat = np.repeat([value for value, _ in runs], [times for _, times in runs]).astype(np.uint8)
    numbers = flat.reshape(-1, 1) if is_column else np.stack([flat, flat])[:, ::-1]
    counts = pixels_of_each(numbers)
    np.testing.assert_array_equal(counts, np.bincount(numbers.ravel(), minlength=256))


def test_colours_of_voc_are_the_devkits() -> None:
    known = {0: (0, 0, 0), 1: (128, 0, 0), 8: (64, 0, 0), 15: (192, 128, 128), 20: (0, 64, 128)}
    assert {number: tuple(voc_colours.PALETTE[number].tolist()) for number in known} == known
    assert voc_colours.PALETTE[255].tolist() == [224, 224, 192]
    found, strange = voc_colours.numbers(voc_colours.PALETTE)
    np.testing.assert_array_equal(found, np.arange(256))
    assert not strange.any()


@given(
    stnp.arrays(np.uint8, (7, 3), elements=st.sampled_from([0, 1, 31, 32, 64, 96, 128, 224, 255]))
)
def test_a_colour_has_a_number_where_a_search_of_the_palette_finds_it(colours) -> None:
    number_of = {
        tuple(colour): number for number, colour in enumerate(voc_colours.PALETTE.tolist())
    }
    found, strange = voc_colours.numbers(colours)
    for colour, number, is_strange in zip(colours.tolist(), found, strange, strict=True):
        assert is_strange == (tuple(colour) not in number_of)
        if not is_strange:
            assert number == number_of[tuple(colour)]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_colours_of_voc_are_read_on_request(tmp_path, mode) -> None:
    picture = Image.fromarray(voc_colours.PALETTE[CLASSES])
    if mode == "P":  # as an editor saves it: the colours that occur, in its own order
        picture = picture.quantize(colors=5)
    picture.convert(mode).save(tmp_path / "x.png")
    found = truth.read(tmp_path, BY_COLOUR)
    np.testing.assert_array_equal(found.label_map("x.png"), CLASSES)
    assert len(found.names) == 20
    if mode != "P":
        by = r"x\.png: its mode is RGBA?, colours.*`evaluate.label_values: voc_colours`.*panoptic"
        with pytest.raises(GroundTruthError, match=by):
            truth.read(tmp_path)


def test_grey_maps_are_numbers_beside_colours(tmp_path) -> None:
    np.testing.assert_array_equal(one(save(tmp_path / "x.png", CLASSES), BY_COLOUR), CLASSES)


@pytest.mark.parametrize("mode", ["RGB", "P"])
def test_colours_that_are_none_of_vocs_are_refused_with_file_colour_and_pixels(
    tmp_path, mode
) -> None:
    rgb = voc_colours.PALETTE[CLASSES]
    rgb[0, :2] = 64, 1, 0
    rgb[1, 0] = 5, 5, 5
    picture = Image.fromarray(rgb)
    (picture.quantize(colors=8) if mode == "P" else picture).save(tmp_path / "x.png")
    said = r"x\.png: 3 pixels have 2 colours that are none of VOC's, 2 of them \(64, 1, 0\)"
    with pytest.raises(GroundTruthError, match=said):
        truth.read(tmp_path, BY_COLOUR)


def test_colours_below_transparency_are_read_and_told(tmp_path) -> None:
    rgba = np.dstack([voc_colours.PALETTE[CLASSES], np.full(CLASSES.shape, 255, np.uint8)])
    rgba[0, 0, 3] = 0
    Image.fromarray(rgba).save(tmp_path / "x.png")
    np.testing.assert_array_equal(one(tmp_path / "x.png", BY_COLOUR), CLASSES)
    assert "1 of 1 label maps are transparent in places" in notes(tmp_path, BY_COLOUR)


def test_predictions_with_colours_of_their_own_are_read_by_number(tmp_path) -> None:
    save(tmp_path / "x.png", OBJECT, palette=np.arange(768) % 251)
    reading = Reading(values="voc_colours", own_palettes=True)
    np.testing.assert_array_equal(one(tmp_path / "x.png", reading), OBJECT)
    assert "other colours than VOC's: they are read by number: x.png" in notes(tmp_path, reading)


@pytest.mark.parametrize(
    "mode, reading",
    [("RGB", NUMBERS), ("LA", NUMBERS), ("LA", BY_COLOUR), ("I;16", NUMBERS), ("I;16", TWO_VALUED)],
)
def test_other_modes_are_refused_by_name(tmp_path, mode, reading) -> None:
    Image.new(mode, (3, 2)).save(tmp_path / "x.png")
    with pytest.raises(
        GroundTruthError, match=rf"x\.png: its mode is {mode}.* palette or grey PNG"
    ):
        truth.read(tmp_path, reading)


def test_grey_in_three_bands_is_told_apart_from_colours(tmp_path) -> None:
    save(tmp_path / "x.png", OBJECT * 255, "RGB")
    with pytest.raises(GroundTruthError, match=r"bands are equal.*`evaluate.label_values: two_val"):
        truth.read(tmp_path)


@pytest.mark.parametrize("bits", [2, 4])
def test_grey_of_few_bits_is_the_numbers_in_the_file(tmp_path, bits) -> None:
    rows = [[0, 1, 2, 3, 1], [3, 3, 0, 0, 2]]
    grey_of_bits(tmp_path / "x.png", rows, bits)
    found = truth.read(tmp_path)
    np.testing.assert_array_equal(found.label_map("x.png"), rows)
    assert len(found.names) == 3
    assert "1 of 1 label maps are grey of 2 or 4 bits a pixel" in found.notes[1]


def test_palettes_that_an_editor_numbered_anew_are_told(tmp_path) -> None:
    save(tmp_path / "a.png", CLASSES, palette=voc_colours.PALETTE)
    anew = np.zeros((256, 3), np.uint8)
    anew[:4] = voc_colours.PALETTE[[0, 15, 7, 255]]
    save(tmp_path / "b.png", [[0, 1, 2, 3]], palette=anew)
    said = (
        "1 of 2 label maps give VOC's colours other numbers than {}, as an editor leaves them that "
        "numbers a palette anew; they are read by number. By colour: "
        "`evaluate.label_values: voc_colours`: b.png (1 is (192, 128, 128), there (128, 0, 0))"
    )
    assert said.format("VOC") in notes(tmp_path, palettes=Palettes(voc=True))
    assert "give VOC's" not in notes(tmp_path, palettes=Palettes())  # 1 has a colour in one map
    save(tmp_path / "0.png", [[0, 1, 2, 15]], palette=voc_colours.PALETTE)
    assert said.format("an earlier map").replace("of 2", "of 3") in truth.read(tmp_path).notes
    by_colour = truth.read(tmp_path, BY_COLOUR)
    np.testing.assert_array_equal(by_colour.label_map("b.png"), [[0, 15, 7, 255]])
    assert len(by_colour.notes) == 1


def test_maps_whose_palettes_contradict_each_other_are_told(tmp_path) -> None:
    save(tmp_path / "a.png", [[0, 1, 2]], palette=voc_colours.PALETTE)
    save(tmp_path / "b.png", [[0, 1, 2]], palette=voc_colours.PALETTE)
    assert len(truth.read(tmp_path).notes) == 1
    save(tmp_path / "c.png", [[0, 1, 2]], palette=voc_colours.PALETTE[[0, 2, 1]])
    assert "1 of 3 label maps give VOC's colours other numbers" in truth.read(tmp_path).notes[1]


def test_palettes_of_other_colours_are_told_of_truths_and_grey_ones_are_not(tmp_path) -> None:
    own = np.tile([[10, 20, 30]], (256, 1))
    save(tmp_path / "a.png", OBJECT, palette=own)
    save(tmp_path / "b.png", CLASSES, palette=np.arange(256).repeat(3))
    said = "1 of 2 label maps give a number another colour than VOC"
    assert said in notes(tmp_path, palettes=Palettes(voc=True))
    assert "colour" not in notes(tmp_path, palettes=Palettes(voc=True, renumbered_alone=True))


@pytest.mark.parametrize("as_name", ["x.png", "x.jpg", "x.JPEG"])
def test_jpeg_masks_are_refused_with_the_reason(tmp_path, as_name) -> None:
    Image.fromarray(OBJECT).save(tmp_path / as_name, format="JPEG")
    with pytest.raises(GroundTruthError, match=r"JPEG.* blurs.*numbers into their neighbours"):
        truth.read(tmp_path)


def test_a_grey_jpeg_among_maps_is_refused_and_pictures_are_passed_over_and_told(tmp_path) -> None:
    save(tmp_path / "maps" / "a.png", OBJECT)
    save(tmp_path / "maps" / "a.jpg", OBJECT)  # the picture of the map beside it
    save(tmp_path / "pictures" / "b.jpg", OBJECT)
    save(tmp_path / "maps" / "c.jpg", OBJECT, "RGB")
    (tmp_path / "maps" / "README").write_text("")
    found = truth.read(tmp_path)
    assert found.keys == ["maps/a.png"]
    assert found.notes[1].endswith(
        "4 files of " + f"{tmp_path} are passed over: 3 .jpg, 1 no suffix"
    )
    save(tmp_path / "maps" / "d.jpg", OBJECT)
    with pytest.raises(GroundTruthError, match=r"1 label maps are JPEG.*: maps/d\.jpg"):
        truth.read(tmp_path)


def test_names_in_capitals_are_read_and_hidden_files_are_not(tmp_path) -> None:
    save(tmp_path / "A.PNG", OBJECT) if os.name != "nt" else None
    (tmp_path / "._A.png").write_bytes(b"of a Mac")
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "__MACOSX" / "A.png").write_bytes(b"of a Mac")
    (tmp_path / "Thumbs.db").write_bytes(b"")
    found = truth.read(tmp_path)
    assert found.keys == ["A.PNG"]
    assert len(found.notes) == 1


def test_a_folder_of_other_suffixes_is_refused_with_what_is_there(tmp_path) -> None:
    for name in ("a.tif", "b.TIF", "c.npy"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(GroundTruthError, match=r"holds no \.png \(2 \.tif, 1 \.npy\)"):
        truth.read(tmp_path)


def test_a_link_to_nowhere_is_named(tmp_path) -> None:
    (tmp_path / "x.png").symlink_to(tmp_path / "gone")
    with pytest.raises(GroundTruthError, match=r"x\.png: cannot be read as a label map"):
        truth.read(tmp_path)


def test_a_map_larger_than_pillow_opens_is_named(tmp_path, monkeypatch) -> None:
    save(tmp_path / "x.png", OBJECT)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5)
    with pytest.raises(GroundTruthError, match=r"x\.png: cannot be read as a label map.*exceeds"):
        truth.read(tmp_path)


@pytest.fixture
def n_decoded(monkeypatch) -> list[Path]:
    """Return a list to which each file is added that is decoded."""
    seen: list[Path] = []

    def counted(path: Path, reading: Reading) -> object:
        seen.append(path)
        return decoded(path, reading)

    monkeypatch.setattr(map_folder, "decoded", counted)
    return seen


def test_each_map_is_decoded_once_however_often_it_is_looked_at(tmp_path, n_decoded) -> None:
    for name in "abc":
        save(tmp_path / f"{name}.png", OBJECT)
    for _ in range(2):
        found = truth.read(tmp_path)
        for key in found.keys:
            assert found.size(key) == OBJECT.shape
            looked_at = found.label_map(key)
            np.testing.assert_array_equal(looked_at, OBJECT)
            looked_at[:] = 9  # ours to change
    assert len(n_decoded) == 3
    save(tmp_path / "b.png", OBJECT * 2)
    np.testing.assert_array_equal(truth.read(tmp_path).label_map("b.png"), OBJECT * 2)


def test_what_does_not_fit_into_memory_is_decoded_again(tmp_path, n_decoded, monkeypatch) -> None:
    monkeypatch.setattr(map_folder, "KEPT_BYTES", OBJECT.size)
    for name in "abc":
        save(tmp_path / f"{name}.png", OBJECT)
    found = truth.read(tmp_path)
    for key in found.keys:
        np.testing.assert_array_equal(found.label_map(key), OBJECT)
        assert found.size(key) == OBJECT.shape
    assert [path.name for path in n_decoded] == ["a.png", "b.png", "c.png", "b.png", "c.png"]
    assert len(found.notes) == 1
