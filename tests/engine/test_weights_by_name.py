"""Weights named whole, timm/<model>.<tag>: which they are, their licence before they are fetched."""

import re
from pathlib import Path

import pytest
import timm
import torch
import yaml
from safetensors.torch import save_file

from maskdistill import api
from maskdistill.artifacts import weights_used
from maskdistill.engine import networks
from maskdistill.engine.job import Job
from maskdistill.errors import WeightsError
from maskdistill.features import licences, vit, weights
from maskdistill.runs.layout import RunFolder
from maskdistill.runs.ledger import Ledger
from maskdistill.runs.progress import Progress
from maskdistill.settings import load, resolve
from maskdistill.workflows import demo_pictures

WHOLE = "timm/test_vit.r160_in1k"
DINOV3 = "timm/vit_small_patch16_dinov3.lvd1689m"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of huggingface_hub, and no network behind it."""
    constants = pytest.importorskip("huggingface_hub").constants
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def put(hub: Path, name: str, state: dict[str, torch.Tensor]) -> None:
    """Write weights where huggingface_hub has those of one of timm's repositories."""
    repository = hub / f"models--timm--{name.removeprefix('timm/')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0123abc")
    (repository / "snapshots" / "0123abc").mkdir(parents=True)
    save_file(state, repository / "snapshots" / "0123abc" / "model.safetensors")


def state_of(model: str) -> dict[str, torch.Tensor]:
    torch.manual_seed(5)
    made = timm.create_model(model, pretrained=False)
    return {key: value.clone() for key, value in made.state_dict().items()}


def job(tmp_path: Path, what: str, *, quiet: bool = False) -> Job:
    settings = resolve(load({"weights": [f"propose={what}"]}))
    ledger = Ledger(tmp_path / "ledger.jsonl")
    return Job(settings, RunFolder(tmp_path), ledger, progress=Progress(quiet=quiet), roots={})


def test_a_name_with_its_tag_is_the_backbone_and_its_weights(hub, tmp_path):
    state = state_of("test_vit")
    put(hub, WHOLE, state)
    made = job(tmp_path, WHOLE)
    assert made.settings.propose.backbone == WHOLE
    network = networks.backbone(made, "propose", made.settings.propose.backbone)
    assert network.name == WHOLE
    for key, value in network.model.state_dict().items():
        torch.testing.assert_close(value, state[key], rtol=0, atol=0)
    assert network.mean == timm.get_pretrained_cfg("test_vit.r160_in1k").mean


def test_a_run_with_weights_named_whole_says_which_and_names_their_licence(hub, tmp_path):
    put(hub, WHOLE, state_of("test_vit"))
    demo_pictures.write(
        tmp_path / "pictures", tmp_path / "truth.json", n_pictures=1, seed=5, size=(64, 80)
    )
    api.run(
        pictures=tmp_path / "pictures",
        out=tmp_path / "run",
        settings={
            "weights": [f"propose={WHOLE}"],
            "propose": {"pixels": "nearest"},
            "threads": 1,
        },
        until="propose",
        quiet=True,
    )
    made = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert made["propose"]["backbone"] == WHOLE
    assert f"propose={WHOLE}" in made["weights"]
    (row,) = weights_used.used(resolve(load(weights_only(made))), ["propose"])
    assert row == {
        "stage": "propose",
        "weights": WHOLE,
        "licence": "Apache-2.0",
        "source": f"timm's registry, https://huggingface.co/{WHOLE}",
    }


def weights_only(config: dict[str, object]) -> dict[str, object]:
    return {"weights": config["weights"]}


def test_what_is_in_the_cache_is_here_and_what_is_not_is_not(hub, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "torch"))
    assert not weights.is_here(WHOLE)
    put(hub, WHOLE, state_of("test_vit"))
    assert weights.is_here(WHOLE)
    assert weights.is_here("timm/test_vit")  # the same repository
    assert not weights.is_here(DINOV3)
    assert not weights.is_here("timm/nothing.tag")
    assert not weights.is_here("dino_vits16")
    file = tmp_path / "torch" / "checkpoints" / weights.URLS["dino_vits16"].rpartition("/")[2]
    file.parent.mkdir(parents=True)
    file.touch()
    assert weights.is_here("dino_vits16")
    assert all(weights.is_here(what) for what in ("none", "handcrafted", "detect", "mine.pth"))


@pytest.mark.parametrize("quiet", [False, True])
@pytest.mark.usefixtures("hub")
def test_the_licence_is_said_and_written_down_before_the_first_download(tmp_path, capsys, quiet):
    made = job(tmp_path, DINOV3, quiet=quiet)
    with pytest.raises(WeightsError, match="could not be fetched"):  # there is no network
        networks.fetch(made, "propose")
    (note,) = made.ledger.read()
    assert note["what"] == (
        f"{DINOV3} is fetched now. Licence: DINOv3 License "
        f"(timm's registry, https://huggingface.co/{DINOV3}). That is neither of Apache-2.0 and "
        "MIT: read it before you use the weights or pass on what was made with them"
    )
    assert f"propose: {note['what']}\n" in capsys.readouterr().err


def test_the_licence_of_what_is_here_is_not_said_again(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    torch.save(state_of("vit_small_patch16_224"), tmp_path / "there.pth")
    monkeypatch.setitem(weights.URLS, "dino_vits16", (tmp_path / "there.pth").as_uri())
    made = job(tmp_path, "dino_vits16")
    networks.fetch(made, "propose")
    networks.digest(made, "propose", "dino_vits16")
    networks.fetch(made, "propose")
    told = f"dino_vits16 is fetched now. {licences.told('dino_vits16')}"
    assert [note["what"] for note in made.ledger.read()] == [told]
    assert capsys.readouterr().err.count("Licence: Apache-2.0") == 1


def test_a_licence_that_anybody_may_use_is_not_warned_of():
    assert "read it before" not in licences.told("timm/vit_small_patch14_dinov2.lvd142m")
    for what in (DINOV3, "timm/vit_base_patch16_224.mae", "mine.pth"):
        assert "read it before" in licences.told(what)


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("timm/vit_small_patch14_dinov2.imagenet", r"timm/vit_small_patch14_dinov2\.lvd142m"),
        ("timm/vit_smal_patch14_dinov2", r"timm/vit_small_patch14_dinov2"),
    ],
)
@pytest.mark.usefixtures("hub")
def test_a_model_or_tag_that_timm_does_not_have_is_answered_with_what_is_near(
    tmp_path, what, words
):
    with pytest.raises(WeightsError, match=f"is not known.*nearest: .*{words}"):
        networks.fetch(job(tmp_path, what), "propose")
    with pytest.raises(WeightsError, match=rf"has no such weights\. Perhaps you meant .*{words}"):
        weights.read(what)
    assert list(Ledger(tmp_path / "ledger.jsonl").read()) == []  # nothing was about to be fetched


@pytest.mark.usefixtures("hub")
def test_a_network_without_published_weights_is_refused_for_that():
    name = "timm/vit_giant_patch14_224"
    vit.check(name)
    with pytest.raises(WeightsError, match=re.escape("has the network, but no weights of it")):
        weights.read(name)
