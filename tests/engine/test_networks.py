"""Which weights a stage loads, and what it says of those that do not fit."""

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from maskdistill.engine import networks
from maskdistill.engine.job import Job
from maskdistill.errors import SettingsError, WeightsError
from maskdistill.runs.layout import RunFolder
from maskdistill.runs.ledger import Ledger
from maskdistill.runs.progress import Progress
from maskdistill.settings import RunSettings
from maskdistill.stage_parts import train_network
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
