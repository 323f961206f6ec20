"""Files of any bytes in a folder of label maps: read as class numbers, or refused in our words."""

import io

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as stnp
from PIL import Image

from maskdistill.datasets import truth
from maskdistill.datasets.label_maps.map_files import Reading
from maskdistill.errors import GroundTruthError

MODES = ["1", "L", "L", "P", "P", "RGB", "RGBA", "LA", "I;16"]


@st.composite
def pictures(draw: st.DrawFn) -> bytes:
    """Draw the bytes of a small PNG of any mode, some of them with bytes changed or cut off."""
    size = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    values = draw(
        stnp.arrays(np.uint8, size, elements=st.sampled_from([0, 1, 2, 15, 128, 254, 255]))
    )
    mode = draw(st.sampled_from(MODES))
    if mode == "I;16":
        picture = Image.fromarray(values.astype(np.uint16))
    elif mode == "P":
        picture = Image.fromarray(values)
        n = draw(st.integers(1, 256))
        bits = draw(st.sampled_from([st.sampled_from([0, 64, 128, 255]), st.integers(0, 255)]))
        picture.putpalette(draw(st.lists(bits, min_size=3 * n, max_size=3 * n)))
    else:
        picture = Image.fromarray(values).convert(mode)
    buffer = io.BytesIO()
    lossless = ["PNG"] * 9 + (["BMP", "GIF", "TIFF"] if mode in ("L", "P", "RGB") else [])
    forms = [*lossless, *(["JPEG"] if mode in ("L", "RGB") else [])]
    picture.save(buffer, format=draw(st.sampled_from(forms)))
    content = bytearray(buffer.getvalue())
    damage = draw(st.sampled_from(["none"] * 6 + ["changed", "cut"]))
    if damage == "changed":
        for place in draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=3)):
            content[place] = draw(st.integers(0, 255))
    return bytes(content[: len(content) // 2] if damage == "cut" else content)


READINGS = [
    Reading(values=values, void=void, own_palettes=own)
    for values in ("indices", "two_valued", "voc_colours")
    for void in (0, 1, 254, 255)
    for own in (False, True)
]


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(contents=st.lists(pictures(), min_size=1, max_size=3), reading=st.sampled_from(READINGS))
def test_any_files_are_read_or_refused_in_our_words(tmp_path, contents, reading) -> None:
    for old in tmp_path.glob("*.png"):
        old.unlink()
    for number, content in enumerate(contents):
        (tmp_path / f"{number}.png").write_bytes(content)
    try:
        found = truth.read(tmp_path, reading)
    except GroundTruthError:
        return
    total = 0
    for key in found.keys:
        label_map = found.label_map(key)
        assert label_map.dtype == np.uint8
        assert label_map.shape == found.size(key)
        assert label_map[label_map != 255].max(initial=0) <= len(found.names)
        total += int((label_map != 255).sum())
    assert total > 0
    assert "of the truth's pixels are not counted" in found.notes[0]
