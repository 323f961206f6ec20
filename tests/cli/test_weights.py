"""The command's --weights and --backbone: which counts, and what is told before the first stage."""

from pathlib import Path

import pytest
import torch

from maskdistill import cli
from maskdistill.features import weights
from maskdistill.workflows import demo_pictures
from tests.cli.test_commands import BY_HAND, config, refused, scanned


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "250")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("drawn")
    demo_pictures.write(
        root / "pictures", root / "truth.json", n_pictures=3, seed=5, size=(64, 80), prefix="p"
    )
    return root / "pictures"


def test_weights_may_be_repeated_and_the_last_of_a_stage_counts(pictures, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "b=c.pth").touch()
    flags = [
        "--weights",
        "propose=handcrafted",
        "--weights=segment=none",
        "--weights",
        "detect=a.pth",
    ]
    made = scanned(pictures, tmp_path / "out", *flags, "--weights", "detect=b=c.pth")
    assert made["weights"] == [
        "segment=none",
        f"detect={tmp_path / 'b=c.pth'}",
        "propose=handcrafted",
    ]
    assert made["propose"]["backbone"] == "handcrafted"


def test_a_backbone_takes_the_place_of_the_name_that_the_run_has_in_its_weights(
    pictures, tmp_path, capsys
):
    made = scanned(pictures, tmp_path / "out", "--weights", "propose=handcrafted")
    assert "propose=handcrafted" in made["weights"]
    assert (
        cli.main(
            [
                "run",
                "--out",
                str(tmp_path / "out"),
                "--until",
                "scan",
                "--propose.backbone=dino_vitb8",
            ]
        )
        == 0
    )
    made = config(tmp_path / "out")
    assert (made["propose"]["backbone"], made["weights"]) == (
        "dino_vitb8",
        ["segment=detect", "detect=none"],
    )
    capsys.readouterr()
    for verb in (
        ["run", str(pictures), "--propose.backbone"],
        ["masks", str(pictures), "--backbone"],
    ):
        told = refused(
            capsys,
            *verb,
            "dino_vitb8",
            "--weights",
            "propose=handcrafted",
            "--out",
            str(tmp_path / "new"),
        )
        assert (
            "propose.backbone is dino_vitb8, but weights propose=handcrafted name another" in told
        )


def test_weights_of_a_late_stage_are_looked_for_before_the_first(capsys, pictures, tmp_path):
    out = tmp_path / "out"
    said = refused(
        capsys, "run", str(pictures), "--out", str(out), "--weights", "segment=nosuch.pth"
    )
    assert "nosuch.pth: neither a file nor a name of weights (wanted for segment)" in said
    assert not out.exists()
    said = refused(
        capsys, "run", str(pictures), "--out", str(out), "--weights", "propose=handcraftd"
    )
    assert "Perhaps you meant handcrafted" in said
    said = refused(
        capsys, "run", str(pictures), "--out", str(out), "--weights", "detect=dino_resnet50"
    )
    assert "Give --detect.size resnet50, or --weights detect=none" in said
    said = refused(capsys, "run", str(pictures), "--out", str(out), "--weights", "detect=detect")
    assert "the detector cannot start from itself" in said
    assert not out.exists()


@pytest.mark.parametrize(
    "flags",
    [
        [
            "--propose.backbone",
            "handcrafted",
            "--detect.size",
            "resnet50",
            "--weights",
            "detect=dino_resnet50",
        ],
        [
            "--weights",
            "propose=handcrafted",
            "--weights",
            "cluster=dino_vits8",
            "--cluster.embedding",
            "class_token",
        ],
        ["--propose.backbone", "dino_vits8"],
    ],
    ids=["detect", "cluster", "propose"],
)
def test_named_weights_of_a_late_stage_are_fetched_before_the_first(
    capsys, pictures, tmp_path, monkeypatch, flags
):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setenv("no_proxy", "*")
    for name in ("dino_resnet50", "dino_vits8"):
        monkeypatch.setitem(
            weights.URLS, name, f"http://127.0.0.1:9/{name}.pth"
        )  # nobody answers there
    words = ["run", str(pictures), "--out", str(tmp_path / "out"), "--quiet", *flags]
    said = refused(capsys, *words)
    assert "its weights are not on this machine" in said
    assert f"put it at {tmp_path}/hub/checkpoints/dino_" in said
    assert not (tmp_path / "out" / "images.jsonl").exists()
    assert cli.main([*words, "--until", "scan"]) == 0


def test_a_backbone_that_timm_does_not_have_is_answered_with_the_nearest(
    capsys, pictures, tmp_path
):
    words = ["run", str(pictures), "--out", str(tmp_path / "out"), "--until", "propose", "--quiet"]
    said = refused(capsys, *words, "--propose.backbone", "timm/vit_smal_patch16_224")
    assert "timm/vit_small_patch16_224" in said
    said = refused(capsys, *words, "--propose.backbone", "timm/resnet18")
    assert "not of timm's VisionTransformer or Eva family" in said


def test_wrong_weights_leave_nothing_that_the_right_command_is_refused_for(
    capsys, pictures, tmp_path
):
    torch.save({"some.weight": torch.zeros(3)}, tmp_path / "other.pth")
    words = ["run", str(pictures), "--out", str(tmp_path / "out"), "--until", "propose", "--quiet"]
    said = refused(capsys, *words, "--weights", f"propose={tmp_path / 'other.pth'}")
    assert "not the weights of dino_vits16" in said
    assert cli.main([*words, *BY_HAND]) == 0
