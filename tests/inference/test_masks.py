"""masks: a folder of pictures to PNG and JSON; no run."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskdistill import api, cli
from maskdistill.errors import MaskDistillError, RunError, SettingsError
from maskdistill.inference import masks as stage
from maskdistill.masks import rle
from maskdistill.masks.boxes import boxes_from_masks
from maskdistill.settings import RunSettings
from maskdistill.types import Note
from maskdistill.workflows import demo_pictures

BY_HAND = ["--backbone", "handcrafted", "--threads", "1"]
ONE_THREAD = {"threads": 1}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("drawn")
    (root / "pictures" / "ä b").mkdir(parents=True)
    # Drawn ones in which more than one object is found.
    for name, number in (("p0001", 23), ("ä b/p0002", 24), ("p0003", 29)):
        Image.fromarray(demo_pictures.draw(3, number, size=(64, 80)).rgb).save(
            root / "pictures" / f"{name}.png"
        )
    return root / "pictures"


@pytest.fixture(scope="module")
def made(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made") / "masks"
    counts = api.masks(
        pictures=drawn,
        out=out,
        backbone="handcrafted",
        separate=True,
        settings={"threads": 1},
        quiet=True,
    )
    assert (counts["pictures"], counts["done before"], counts["refused"]) == (3, 0, 0)
    assert counts["masks"] > 3
    return out


def contents(folder: Path) -> dict[str, bytes]:
    """Bytes of every file but the lock, which says who held it."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "lock"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def png(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture).copy()


@pytest.mark.parametrize("name", ["p0001", "ä b/p0002", "p0003"])
def test_the_masks_of_a_picture_are_those_that_discover_finds(drawn, made, name):
    records = api.discover(drawn / f"{name}.png", backbone="handcrafted")
    about = json.loads((made / f"{name}.json").read_text(encoding="utf-8"))
    assert about["picture"] == f"{name}.png"
    assert about["size"] == [64, 80]
    assert [each["label"] for each in about["masks"]] == list(range(1, len(records) + 1))
    assert len(records) >= 2
    for each, record in zip(about["masks"], records, strict=True):
        (mask,) = rle.decode([each["mask"]])
        np.testing.assert_array_equal(mask, record["segmentation"])
        assert each["score"] == pytest.approx(record["score"], abs=1e-6)
        assert each["area"] == record["area"]
        assert each["box_xyxy"] == boxes_from_masks(mask[None])[0].tolist()
        one = png(made / f"{name}.masks" / f"{each['label']}.png")
        np.testing.assert_array_equal(one, np.where(mask, 255, 0))


def test_the_label_png_has_a_palette_and_the_better_mask_on_top(tmp_path):
    masks = np.zeros((3, 5, 7), bool)
    masks[0, :3, :4], masks[1, 1:, 2:], masks[2, 1:3, 3:5] = (
        True,
        True,
        True,
    )  # the third lies under the others
    encoded = rle.encode(masks)
    rows = [{"rle": each, "box": [0.0] * 4, "area": 1, "score": 0.5} for each in encoded]
    stage.write(
        tmp_path / "a.b",
        "a.b.jpg",
        rows,
        size=(5, 7),
        notes=[(Note.STOPPED, "no more cuts")],
        separate=False,
    )
    wanted = np.zeros((5, 7), np.uint8)
    wanted[1:, 2:] = 2
    wanted[:3, :4] = 1
    np.testing.assert_array_equal(png(tmp_path / "a.b.png"), wanted)
    with Image.open(tmp_path / "a.b.png") as picture:
        assert picture.mode == "P"
        assert picture.getpalette()[:3] == [0, 0, 0]
    about = json.loads((tmp_path / "a.b.json").read_text())
    np.testing.assert_array_equal(
        rle.decode([each["mask"] for each in about["masks"]]), masks
    )  # whole, what is hidden too
    assert about["notes"] == [["stopped", "no more cuts"]]
    assert {path.name for path in tmp_path.iterdir()} == {"a.b.png", "a.b.json"}


def test_a_picture_without_masks_has_an_empty_png_and_no_masks_in_its_json(tmp_path):
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (80, 64), (90, 90, 90)).save(tmp_path / "pictures" / "flat.png")
    counts = api.masks(
        pictures=tmp_path / "pictures", out=tmp_path / "out", backbone="handcrafted", quiet=True
    )
    assert counts == {"pictures": 1, "masks": 0, "without masks": 1, "done before": 0, "refused": 0}
    assert png(tmp_path / "out" / "flat.png").shape == (64, 80)
    assert not png(tmp_path / "out" / "flat.png").any()
    about = json.loads((tmp_path / "out" / "flat.json").read_text())
    assert about["masks"] == []
    assert "stopped" in [word for word, _ in about["notes"]]  # why


def test_the_command_does_what_the_function_does_and_the_same_command_again_nothing(
    drawn, made, tmp_path, capsys
):
    out = tmp_path / "out"
    words = ["masks", *BY_HAND, str(drawn), "--out", str(out), "--separate", "--quiet"]
    assert cli.main(words) == 0
    said = capsys.readouterr()
    assert said.out.splitlines()[0].startswith("pictures 3, masks ")
    assert said.out.splitlines()[1] == str(out)
    assert said.err == ""
    assert contents(out) == contents(made)
    assert cli.main(words) == 0
    assert capsys.readouterr().out.startswith(
        "pictures 0, masks 0, without masks 0, done before 3, refused 0\n"
    )
    assert contents(out) == contents(made)


def test_the_settings_of_propose_are_flags_without_prefix_and_weights_need_no_stage(
    drawn, tmp_path, capsys
):
    flags = [
        "--method",
        "lost",
        "--max-masks",
        "2",
        "--pixels",
        "bilinear",
        "--lost.n-candidates",
        "50",
        "--limit",
        "1",
    ]
    words = [
        "masks",
        str(drawn),
        "--out",
        str(tmp_path / "out"),
        "--threads",
        "1",
        *flags,
        "--weights",
        "handcrafted",
    ]
    assert cli.main(words) == 0
    assert "device: cpu, backbone: handcrafted, method: lost" in capsys.readouterr().err
    stamp = json.loads((tmp_path / "out" / ".maskdistill" / "made-with.json").read_text())
    assert stamp["weights"] == stamp["settings"]["backbone"] == "handcrafted"
    assert stamp["settings"]["lost"]["n_candidates"] == 50
    assert (stamp["settings"]["pixels"], stamp["settings"]["max_masks"]) == ("bilinear", 2)
    assert "maskcut" not in stamp["settings"]
    assert cli.main([*words[:-1], "propose=handcrafted"]) == 0
    assert len(list((tmp_path / "out").glob("*.json"))) == 1


def test_other_settings_are_not_mixed_in_one_folder(drawn, tmp_path):
    given = {"pictures": drawn, "out": tmp_path / "out", "backbone": "handcrafted", "quiet": True}
    api.masks(**given, limit=1)
    for other, words in (
        ({"max_masks": 2}, "settings.max_masks: 6 -> 2"),
        ({"separate": True}, "separate: False -> True"),
        ({"settings": {"orientation": "stored"}}, "orientation: exif -> stored"),
        ({"method": "lost"}, "settings.method: tokencut -> lost"),
    ):
        with pytest.raises(RunError, match=words):
            api.masks(**{**given, **other})
    # What does not change the masks may change.
    assert (
        api.masks(**given, settings={"workers": 0, "threads": 1, "max_megapixels": 1.0})[
            "done before"
        ]
        == 1
    )


def test_other_weights_are_told_by_their_content(drawn, tmp_path):
    import torch
    from safetensors.torch import save_file

    from maskdistill.features import vit

    name = "timm/vit_tiny_patch16_224"
    state = vit.load(name, weights="none").model.state_dict()
    save_file(state, tmp_path / "one.safetensors")
    shutil.copy(tmp_path / "one.safetensors", tmp_path / "copy.safetensors")
    save_file(
        {key: value + torch.ones_like(value) for key, value in state.items()},
        tmp_path / "two.safetensors",
    )

    def made_of(file: str) -> dict[str, int]:
        return api.masks(
            pictures=drawn,
            out=tmp_path / "out",
            backbone=name,
            weights=tmp_path / file,
            limit=1,
            quiet=True,
            settings={"maskdistill": {"short_side": 64}},
        )

    assert made_of("one.safetensors")["pictures"] == 1
    assert made_of("copy.safetensors")["done before"] == 1
    with pytest.raises(RunError, match=r"weights: \w{12}\.\.\. -> \w{12}\.\.\."):
        made_of("two.safetensors")


def test_a_replaced_picture_leaves_no_mask_of_the_old_one(drawn, tmp_path):
    pictures, out = tmp_path / "pictures", tmp_path / "out"
    pictures.mkdir()
    shutil.copy(drawn / "p0001.png", pictures / "a.png")
    given = {
        "pictures": pictures,
        "out": out,
        "backbone": "handcrafted",
        "separate": True,
        "quiet": True,
    }
    assert api.masks(**given)["masks"] == len(list((out / "a.masks").iterdir())) > 0
    Image.new("RGB", (80, 64), (90, 90, 90)).save(pictures / "a.png")
    assert api.masks(**given)["without masks"] == 1
    assert list((out / "a.masks").iterdir()) == []


def test_a_folder_of_masks_that_would_take_another_pictures_results_is_refused(drawn, tmp_path):
    pictures = tmp_path / "pictures"
    (pictures / "a.masks").mkdir(parents=True)
    for name in ("a.png", "a.masks/1.png"):
        shutil.copy(drawn / "p0001.png", pictures / name)
    given = {
        "pictures": pictures,
        "out": tmp_path / "out",
        "backbone": "handcrafted",
        "quiet": True,
    }
    with pytest.raises(
        SettingsError, match=r"the masks of a\.png would meet what is made of a\.masks/1\.png"
    ):
        api.masks(**given, separate=True)
    assert not (tmp_path / "out").exists()
    assert api.masks(**given)["pictures"] == 2


def test_twins_of_one_stem_do_not_overwrite_each_other(drawn, tmp_path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    shutil.copy(drawn / "p0001.png", pictures / "a.png")
    with Image.open(drawn / "p0003.png") as picture:
        picture.save(pictures / "a.jpg", quality=95)
    api.masks(pictures=pictures, out=tmp_path / "out", backbone="handcrafted", quiet=True)
    abouts = {
        name: json.loads((tmp_path / "out" / f"{name}.json").read_text())
        for name in ("a.png", "a.jpg")
    }
    assert {name: about["picture"] for name, about in abouts.items()} == {
        "a.png": "a.png",
        "a.jpg": "a.jpg",
    }
    assert abouts["a.png"]["masks"] != abouts["a.jpg"]["masks"]


def test_a_network_without_a_class_token_is_said(drawn, tmp_path, capsys):
    api.masks(
        pictures=drawn, out=tmp_path / "out", backbone="handcrafted", method="maskdistill", limit=1
    )
    assert "handcrafted has no class token" in capsys.readouterr().err


@pytest.mark.parametrize(
    "given, words",
    [
        ({"max_masks": 255}, "max_masks: a PNG holds 254 masks, got 255"),
        ({"limit": -1}, "limit must be at least 0, got -1"),
        ({"settings": {"limit": 3}}, "limit is an argument of its own"),
        ({"method": "lst"}, "propose.method: "),
        ({"settings": {"threads": -1}}, "threads must be at least 0"),
        ({"settings": {"max_mask": 1}}, "Perhaps you meant max_masks"),
        ({"backbone": "dino_vits12"}, "Perhaps you meant dino_vits16|dino_vits16"),
        ({"weights": "/nowhere.pth", "backbone": "dino_vits16"}, "/nowhere.pth: neither a file"),
        ({"settings": RunSettings()}, "backbone: stands in RunSettings already"),
        ({"pictures": "/nowhere"}, "/nowhere: not a folder"),
        (
            {"device": "gpu", "backbone": "timm/vit_tiny_patch16_224", "weights": "none"},
            "there is no 'gpu'",
        ),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_is_made(drawn, tmp_path, given, words):
    with pytest.raises(MaskDistillError, match=words):
        api.masks(
            **{
                "pictures": drawn,
                "out": tmp_path / "out",
                "backbone": "handcrafted",
                "quiet": True,
                **given,
            }
        )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--max-masks=-1"], "propose.max_masks must be at least 1, got -1"),
        (["--threads=-1"], "threads must be at least 0, got -1"),
        (["--methd", "lost"], "--method"),
        (["--propose.method", "lost"], "Unrecognized"),
    ],
)
def test_the_command_refuses_in_one_message(drawn, tmp_path, capsys, flags, words):
    try:
        status = cli.main(["masks", str(drawn), "--out", str(tmp_path / "out"), *BY_HAND, *flags])
    except SystemExit as stopped:
        status = stopped.code
    assert status == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "given",
    [
        ["p0001.png", "ä b/p0002.png", "p0003.png"],
        ["p000?.png", "ä b"],
        ["**/*.png"],
    ],
    ids=["files", "pattern and folder", "pattern of all"],
)
def test_files_folders_and_patterns_have_the_masks_of_the_whole_folder(
    drawn, made, tmp_path, capsys, given
):
    words = [str(drawn / each) for each in given]
    out = tmp_path / "masks"
    assert cli.main(["masks", *words, "--out", str(out), "--separate", "--quiet", *BY_HAND]) == 0
    assert capsys.readouterr().out.startswith("pictures 3, ")
    results = [
        {name: content for name, content in contents(each).items() if not name.startswith(".")}
        for each in (made, out)
    ]
    assert results[0] == results[1]


def test_one_file_alone_has_its_masks_at_its_own_name(drawn, made, tmp_path):
    settings = {"threads": 1}
    counts = api.masks(
        pictures=drawn / "ä b" / "p0002.png",
        out=tmp_path / "masks",
        backbone="handcrafted",
        settings=settings,
        quiet=True,
    )
    assert counts["pictures"] == 1
    wanted = (made / "ä b" / "p0002.png").read_bytes()
    assert (tmp_path / "masks" / "p0002.png").read_bytes() == wanted


def test_without_pictures_both_commands_say_what_is_wanted(tmp_path, capsys):
    for words in (["masks"], ["predict", str(tmp_path)]):
        assert cli.main([*words, "--out", str(tmp_path / "out")]) == 2
        assert (
            "no pictures are given. Give a folder, files, or a pattern" in capsys.readouterr().err
        )
