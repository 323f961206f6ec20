"""Which weights a stage loads, and what it says of those that do not fit."""

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from maskdistill import api
from maskdistill.engine import networks
from maskdistill.engine.job import Job
from maskdistill.errors import SettingsError, WeightsError
from maskdistill.features import weights as weight_files
from maskdistill.runs.layout import RunFolder
from maskdistill.runs.ledger import Ledger
from maskdistill.runs.progress import Progress
from maskdistill.settings import RunSettings, known_weights, resolve
from maskdistill.settings.propose import ProposeSettings
from maskdistill.stage_parts import train_network
from maskdistill.workflows import demo_pictures
from tests.made import events
from tests.stages.test_cluster import NETWORK, clustered


def test_weights_of_another_network_are_refused_by_the_stage_that_they_were_given_to(
    drawn, tmp_path: Path
) -> None:
    save_file(
        timm.create_model("test_vit", pretrained=False).state_dict(), tmp_path / "other.safetensors"
    )
    weights = ["propose=handcrafted", f"cluster={tmp_path / 'other.safetensors'}"]
    with pytest.raises(
        WeightsError, match=r"^cluster\.backbone: .*not the weights of timm/vit_tiny"
    ) as refusal:
        clustered(drawn[1], tmp_path / "run", weights=weights, limit=2, **NETWORK)
    assert "propose.backbone" not in str(refusal.value)


@pytest.mark.parametrize(
    "n_gpus, wanted, found",
    [(0, "auto", "cpu"), (1, "auto", "cuda"), (2, "cpu", "cpu"), (2, "cuda:1", "cuda:1")],
)
def test_auto_is_the_first_gpu_where_there_is_one(monkeypatch, n_gpus, wanted, found) -> None:
    monkeypatch.setattr(networks, "n_gpus", lambda: n_gpus)
    assert str(networks.chosen(wanted)) == found


@pytest.mark.parametrize(
    "n_gpus, wanted, words",
    [
        (0, "cuda", "this machine has no usable GPU. Use auto or cpu"),
        (2, "cuda:2", "this machine has only cuda:0, cuda:1. Use auto or cuda:0, cuda:1"),
    ],
)
def test_a_gpu_that_is_not_there_is_refused_before_the_run_begins(
    monkeypatch, n_gpus, wanted, words
) -> None:
    monkeypatch.setattr(networks, "n_gpus", lambda: n_gpus)
    with pytest.raises(SettingsError, match=f"^device: {wanted} was asked for, but {words}$"):
        networks.chosen(wanted)


def test_what_was_chosen_in_a_file_of_several_networks_stands_in_the_ledger_of_the_run(
    drawn, tmp_path: Path
) -> None:
    model = timm.create_model("vit_tiny_patch16_224", pretrained=False, num_classes=0).state_dict()
    torch.save({"state_dict": model, "state_dict_ema": model}, tmp_path / "ema.pth")
    torch.save(model, tmp_path / "plain.pth")
    found = {}
    for name in ("plain", "ema"):
        weights = ["propose=handcrafted", f"cluster={tmp_path / name}.pth"]
        _, _, events = clustered(drawn[0], tmp_path / name, weights=weights, limit=2, **NETWORK)
        found[name] = [
            event for event in events if event["event"] == "note" and "networks" in event["what"]
        ]
    assert found["plain"] == []
    (note,) = found["ema"]
    assert note["stage"] == "cluster"
    assert note["what"].startswith(
        f"{tmp_path / 'ema.pth'} holds 2 networks: state_dict is taken, state_dict_ema is not. "
    )
    embeddings = [
        (tmp_path / name / "cluster" / "embeddings.npy").read_bytes() for name in ("plain", "ema")
    ]
    assert embeddings[0] == embeddings[1]


def test_a_job_of_no_run_leaves_the_note_with_the_backbone(tmp_path: Path) -> None:
    model = timm.create_model("test_vit", pretrained=False, num_classes=0).state_dict()
    content = {"student": model, "teacher": {f"backbone.{key}": model[key] for key in model}}
    torch.save(content, tmp_path / "dino.pth")
    settings = RunSettings(weights=(f"propose={tmp_path / 'dino.pth'}",), device="cpu")
    network = networks.backbone(Job.alone(settings), "propose", "timm/test_vit")
    assert "teacher.backbone is taken, student is not" in network.note


def test_what_was_chosen_is_said_once_for_backbones_and_for_bodies(tmp_path: Path, capsys) -> None:
    vit = timm.create_model("test_vit", pretrained=False, num_classes=0).state_dict()
    torch.save({"model": vit, "model_ema": vit}, tmp_path / "vit.pth")
    resnet = {"layer1.0.conv1.weight": torch.ones(1)}
    torch.save({"model": resnet, "model_ema": resnet}, tmp_path / "resnet.pth")
    settings = RunSettings(
        weights=(f"propose={tmp_path / 'vit.pth'}", f"detect={tmp_path / 'resnet.pth'}"),
        device="cpu",
    )
    ledger = Ledger(tmp_path / "ledger.jsonl")
    job = Job(settings, RunFolder(tmp_path), ledger, progress=Progress(), roots={})
    networks.digest(job, "propose", "timm/test_vit")
    train_network.digest(job, "detect")
    assert "networks" not in capsys.readouterr().err
    networks.backbone(job, "propose", "timm/test_vit")
    train_network.start_weights(job, "detect", tell=True)
    said = capsys.readouterr().err
    assert [event["stage"] for event in ledger.read()] == ["propose", "detect"]
    for event in ledger.read():
        assert "holds 2 networks: model is taken, model_ema is not" in event["what"]
        assert said.count(f"{event['stage']}: {event['what']}") == 1


def known(tmp_path: Path, monkeypatch, model: str) -> Path:
    """Write weights of one of timm's models, and put them into the table of known ones."""
    state = timm.create_model(model, pretrained=False, num_classes=0).state_dict()
    save_file(state, tmp_path / "mine.safetensors")
    digest = weight_files.fingerprint(weight_files.read(tmp_path / "mine.safetensors"))
    line = known_weights.Known(
        names=(f"timm/{model}",),
        method="lost",
        facet="keys",
        block=-1,
        centre="yes",
        source="this test",
        measured=True,
        digests=(digest,),
    )
    monkeypatch.setattr(known_weights, "TABLE", (line,))
    return tmp_path / "mine.safetensors"


@pytest.mark.parametrize("other", [False, True])
def test_weights_that_are_known_by_content_are_told_of_in_the_ledger_of_propose(
    tmp_path: Path, monkeypatch, capsys, other
) -> None:
    file = known(tmp_path, monkeypatch, "deit_tiny_patch16_224")
    backbone = f"timm/{'vit' if other else 'deit'}_tiny_patch16_224"
    settings = resolve(
        RunSettings(weights=(f"propose={file}",), propose=ProposeSettings(backbone=backbone))
    )
    ledger = Ledger(tmp_path / "ledger.jsonl")
    job = Job(settings, RunFolder(tmp_path), ledger, progress=Progress(), roots={})
    networks.tell_line(job, networks.backbone(job, "propose", backbone))
    (note,) = ledger.read()
    assert note["what"].startswith(
        "weights known as timm/deit_tiny_patch16_224: lost on keys of block -1, centred (this test)"
        "; this run has tokencut on tokens of block -2, not centred"
    )
    assert (f"propose.backbone is {backbone}" in note["what"]) == other
    assert ("weights known as" in capsys.readouterr().err) == other


def test_weights_that_nobody_knows_leave_no_note(tmp_path: Path, monkeypatch) -> None:
    file = known(tmp_path, monkeypatch, "test_vit")
    monkeypatch.setattr(known_weights, "TABLE", ())
    settings = resolve(
        RunSettings(weights=(f"propose={file}",), propose=ProposeSettings(backbone="timm/test_vit"))
    )
    ledger = Ledger(tmp_path / "ledger.jsonl")
    job = Job(settings, RunFolder(tmp_path), ledger, progress=Progress(quiet=True), roots={})
    networks.tell_line(job, networks.backbone(job, "propose", "timm/test_vit"))
    networks.tell_line(job, networks.backbone(job, "propose", "handcrafted"))
    assert list(ledger.read()) == []


def test_known_weights_that_do_not_fit_the_backbone_are_named_in_the_refusal(
    tmp_path: Path, monkeypatch
) -> None:
    file = known(tmp_path, monkeypatch, "test_vit")
    settings = RunSettings(weights=(f"propose={file}",), device="cpu")
    with pytest.raises(WeightsError, match=r"These are the weights of timm/test_vit$"):
        networks.backbone(Job.alone(settings), "propose", "timm/vit_tiny_patch16_224")


def test_the_stage_that_proposes_tells_of_the_line_of_its_weights(
    tmp_path: Path, monkeypatch
) -> None:
    file = known(tmp_path, monkeypatch, "test_vit")
    demo_pictures.write(
        tmp_path / "pictures", tmp_path / "truth.json", n_pictures=1, seed=5, size=(64, 80)
    )
    api.run(
        pictures=tmp_path / "pictures",
        out=tmp_path / "run",
        settings={
            "weights": [f"propose={file}"],
            "propose": {"backbone": "timm/test_vit", "pixels": "nearest"},
            "threads": 1,
        },
        until="propose",
        quiet=True,
    )
    told = [event["what"] for event in events(tmp_path / "run", "note")]
    assert len([what for what in told if what.startswith("weights known as timm/test_vit: ")]) == 1
