"""Tokens kept by the pass that proposes: one look a view and picture, and what bad input gets."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from maskdistill import api
from maskdistill.artifacts import keep_tokens, kept_tokens, token_files
from maskdistill.artifacts.kept_tokens import KeptTokens
from maskdistill.engine.opening import opened, settings_of
from maskdistill.engine.stage import parts_of
from maskdistill.errors import PictureError, RunError, SettingsError, StaleError
from maskdistill.features.network import Network
from maskdistill.features.tokens import Tokens
from maskdistill.runs import record
from maskdistill.runs.layout import RunFolder
from maskdistill.stages import features
from tests.made import events, lines_of, states

N, SIZES = 5, ((40, 56), (56, 40), (40, 56), (33, 47), (40, 56))
NETWORK: dict[str, Any] = {
    "threads": 1,
    "weights": ["propose=none"],
    "propose": {
        "backbone": "timm/test_vit",
        "pixels": "nearest",
        "method": "maskdistill",
        "maskdistill": {"short_side": 0},
    },
    "features": {"keep": "all", "blocks": [-3, -1], "short_side": 0},
}
NOT_COMPARED: dict[str, Any] = {"evaluate": {"agreement_pictures": 0}}  # with the mirrored ones
FULL = Path("/dev/full")


def settings(propose: dict[str, Any] | None = None, **features: Any) -> dict[str, Any]:
    """NETWORK with some settings of two of its sections changed."""
    return {
        **NETWORK,
        "propose": {**NETWORK["propose"], **(propose or {})},
        "features": {**NETWORK["features"], **features},
    }


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("drawn") / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(3)
    for number, size in enumerate(SIZES):
        # Smooth, so that a backbone of drawn weights finds masks in some.
        coarse = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
        Pillow.fromarray(coarse).resize(size[::-1]).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def kept(pictures, tmp_path_factory) -> Path:
    """A run whose tokens are all kept."""
    out = tmp_path_factory.mktemp("run") / "kept"
    return proposed(pictures, out)


@pytest.fixture
def run(kept, tmp_path) -> Path:
    """A copy of it, to be changed."""
    return Path(shutil.copytree(kept, tmp_path / "run"))


def proposed(pictures: Path, out: Path, given: dict[str, Any] | None = None, **more: Any) -> Path:
    api.run(
        pictures=pictures, out=out, settings=given or NETWORK, until="propose", quiet=True, **more
    )
    return out


def job_of(out: Path, **changed: Any):
    """The opened run, with settings changed that no config.yaml is to say."""
    return opened(
        out, settings_of(RunFolder(out), **changed), pictures=None, quiet=True, keep_config=True
    )


def every_view(out: Path, **asked: Any) -> list[Tokens]:
    with job_of(out) as job:
        reader = KeptTokens(job, **asked)
        return [
            reader.tokens(image.id, mirrored=mirrored)
            for image in job.images
            for mirrored in (False, True)
        ]


def assert_same(some: list[Tokens], others: list[Tokens]) -> None:
    for one, other in zip(some, others, strict=True):
        assert torch.equal(one.patches, other.patches)
        assert torch.equal(one.class_token, other.class_token)
        assert (one.size, one.scaled) == (other.size, other.scaled)


def files_of(out: Path) -> dict[str, bytes]:
    folder = out / "propose"
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def looks(monkeypatch) -> list[int]:
    """Pictures of each pass of a backbone from here on."""
    counted: list[int] = []
    own = Network.embedded

    def embedded(network, batch, grid):
        counted.append(len(batch))
        return own(network, batch, grid)

    monkeypatch.setattr(Network, "embedded", embedded)
    return counted


def test_a_view_of_a_picture_is_looked_at_once_and_read_afterwards(pictures, tmp_path, looks):
    out = proposed(pictures, tmp_path / "run")
    assert looks == [1] * (2 * N)
    proposed(pictures, out)
    found = every_view(out)
    assert looks == [1] * (2 * N)
    assert [each.patches.shape for each in found[::2]] == [
        (2, -(-height // 16), -(-width // 16), 64) for height, width in SIZES
    ]


def test_proposals_are_the_same_whether_tokens_are_kept_or_not(pictures, kept, tmp_path):
    out = proposed(pictures, tmp_path / "run", settings(keep="none"))
    assert not (out / "propose" / "features").exists()
    assert "propose/features" not in states(out)
    alone, beside = files_of(out), files_of(kept)
    for name in ("proposals.jsonl", "stage.json"):
        assert alone[name] == beside[name]
    assert any(row["masks"] for row in lines_of(out / "propose" / "proposals.jsonl"))


def test_what_is_computed_again_is_what_was_kept_bit_by_bit(kept, run, looks):
    read = every_view(kept)
    assert not looks
    shutil.rmtree(run / "propose" / "features")
    computed = every_view(run)
    assert len(looks) == 2 * N
    assert_same(read, computed)
    assert len(events(run, "note")) == 1  # nothing was kept, so that there is nothing to tell


def test_blocks_come_in_the_order_that_is_asked_for(kept, looks):
    both, one, turned = (every_view(kept, blocks=blocks) for blocks in (None, (-1,), (-1, -3)))
    assert not looks
    for three in zip(both, one, turned, strict=True):
        assert torch.equal(three[0].patches[1:], three[1].patches)
        assert torch.equal(three[0].patches.flip(0), three[2].patches)
    every_view(kept, blocks=(-2,))
    assert len(looks) == 2 * N


def test_a_backbone_without_class_token_gives_the_mean_of_its_patches(pictures, tmp_path):
    out = proposed(pictures, tmp_path / "run", settings({"backbone": "timm/test_vit3"}))
    for each in every_view(out):
        mean = each.patches[-1].float().mean(dim=(0, 1))
        torch.testing.assert_close(each.class_token.float(), mean, atol=2e-3, rtol=1e-3)


def test_without_mirrored_pictures_there_is_one_look_and_half_the_bytes(
    pictures, kept, tmp_path, looks
):
    out = proposed(pictures, tmp_path / "run", {**settings(mirrored=False), **NOT_COMPARED})
    assert len(looks) == N
    half, whole = ((each / "propose/features/tokens.bin").stat().st_size for each in (out, kept))
    assert 2 * half == whole
    assert_same(every_view(out), every_view(kept))
    assert len(looks) == 2 * N  # the mirrored ones were computed
    looks.clear()
    some = {**settings(mirrored=False), "evaluate": {"agreement_pictures": 2}}
    compared = proposed(pictures, tmp_path / "compared", some)
    assert len(looks) == N + 2
    theirs = {**files_of(out), "stage.json": files_of(compared)["stage.json"]}
    assert files_of(compared) == theirs


def test_tokens_that_are_asked_for_later_are_the_same_files(pictures, kept, tmp_path, looks):
    out = proposed(pictures, tmp_path / "run", settings(keep="none"))
    looks.clear()
    proposed(pictures, out)
    assert len(looks) == 2 * N
    assert files_of(out) == files_of(kept)
    assert [row["stage"] for row in events(out, "start")] == ["scan", "propose", "propose/features"]


def test_the_size_is_told_before_anything_is_written(pictures, tmp_path):
    out = proposed(pictures, tmp_path / "run")
    (told,) = events(out, "note")
    taken = (out / "propose" / "features" / "tokens.bin").stat().st_size
    assert told["what"] == f"tokens of 5 of 5 pictures are kept, {taken / 1e6:.1f} MB"
    happened = lines_of(out / "ledger.jsonl")
    assert happened.index(told) < happened.index(events(out, "end")[-1])
    assert events(out, "end")[-1]["counts"] == {"pictures": 5, "kept": 5, "bytes": taken}


def test_a_small_share_of_the_disk_keeps_the_pictures_that_are_learnt_from(
    pictures, kept, tmp_path, monkeypatch, looks
):
    held_out = tmp_path / "validation.txt"
    held_out.write_text("0.png\n1.png\n")
    own = {**settings(keep="auto", disk_share=0.5), "validation": str(held_out)}
    n = 2 * token_files.n_bytes((3, 4), n_blocks=2, width=64)  # of pictures 2 and 4, 3 of 40 x 56
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: type("Free", (), {"free": 4 * n + 8}))
        out = proposed(pictures, tmp_path / "run", own)
    index = token_files.read_index(out / "propose" / "features" / "index.json")
    with job_of(out) as job:
        trained = [image.id for image in job.images if image.split == "train"]
        assert sorted(index.rows) == trained[:2]
        reader = KeptTokens(job)
        assert [reader.is_kept(image.id, mirrored=True) for image in job.images] == [
            image.id in trained[:2] for image in job.images
        ]
    looks.clear()
    found = every_view(out)
    assert len(looks) == 2 * 3
    assert_same(found, every_view(kept))


def test_all_without_the_space_is_refused_before_anything_is_written(
    pictures, tmp_path, monkeypatch
):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type("Free", (), {"free": 1000}))
    with pytest.raises(
        RunError, match=r"features.keep all takes 0\.\d MB for 5 pictures, and 0\.0 MB are free"
    ):
        proposed(pictures, tmp_path / "run")
    assert not (tmp_path / "run" / "propose" / "features" / "so-far").exists()
    proposed(pictures, tmp_path / "run", settings(keep="auto"))
    assert events(tmp_path / "run", "end")[-1]["counts"]["kept"] == 0
    assert states(tmp_path / "run")["propose/features"] == "done"


def test_the_fingerprint_is_that_of_the_stage(kept):
    with job_of(kept) as job:
        assert kept_tokens.made_with(job) == parts_of(features.STAGE, job)


OTHERS = {
    "blocks": (settings(blocks=[-2]), "settings.blocks"),
    "backbone": (settings({"backbone": "timm/test_vit2"}), "settings.backbone"),
    "scale": (
        settings({"method": "maskdistill", "maskdistill": {"short_side": 24}}),
        "short_side: None -> 24",
    ),
}


@pytest.mark.parametrize("what", OTHERS)
def test_tokens_of_another_backbone_or_scale_are_not_read_and_stay(run, looks, what):
    changed, told = OTHERS[what]
    before = files_of(run)
    with job_of(run, **changed) as job:
        found = KeptTokens(job).tokens(1)
    assert looks == [1]
    assert found.size == SIZES[0]
    (note,) = events(run, "note")[1:]
    assert "kept tokens are not used, but computed again" in note["what"]
    assert told in note["what"]
    assert files_of(run) == before


def test_other_blocks_are_refused_until_they_are_asked_for_again(pictures, run, looks):
    before = files_of(run)
    other = settings(blocks=[-2])
    with pytest.raises(StaleError, match=r"settings\.blocks: \[-3, -1\] -> \[-2\](.|\n)*--redo"):
        proposed(pictures, run, other)
    assert files_of(run) == before
    looks.clear()
    proposed(pictures, run, other, start="propose")
    assert len(looks) == 2 * N
    after = files_of(run)
    assert after["proposals.jsonl"] == before["proposals.jsonl"]
    assert token_files.read_index(run / "propose/features/index.json").blocks == (-2,)
    assert not (run / "old").exists()


def test_another_backbone_with_redo_looks_once_and_replaces_both(pictures, run, looks):
    other = settings({"backbone": "timm/test_vit2"})
    proposed(pictures, run, other, start="propose")
    assert len(looks) == 2 * N
    assert states(run)["propose"] == states(run)["propose/features"] == "done"
    assert {path.name for path in (run / "propose" / "features").iterdir()} == {
        "tokens.bin",
        "index.json",
        "stage.json",
    }


def damage_cut(tokens: Path) -> None:
    with tokens.open("r+b") as file:
        file.truncate(tokens.stat().st_size - 100)


def damage_change(tokens: Path) -> None:
    with tokens.open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x55")


def damage_index(tokens: Path) -> None:
    tokens.with_name("index.json").write_text("{")


DAMAGE = {
    "cut short": (damage_cut, "was cut short", 1),
    "changed": (damage_change, "was changed", 1),
    "gone": (Path.unlink, "cannot be read: No such file", 2 * N),
    "its index": (damage_index, "index.json: cannot be read", 2 * N),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_tokens_that_are_damaged_are_computed_again_and_told_once(kept, run, looks, what):
    damage, told, n_looks = DAMAGE[what]
    damage(run / "propose" / "features" / "tokens.bin")
    before = files_of(run)
    assert_same(every_view(run), every_view(kept))
    assert len(looks) == n_looks
    (note,) = events(run, "note")[1:]
    assert told in note["what"]
    assert files_of(run) == before


def test_damaged_tokens_are_named_and_made_again_when_asked(pictures, kept, run):
    damage_cut(run / "propose" / "features" / "tokens.bin")
    with pytest.raises(StaleError, match=r"tokens\.bin: missing or changed(.|\n)*--from propose"):
        proposed(pictures, run)
    proposed(pictures, run, start="propose")
    assert files_of(run) == files_of(kept)


def test_a_file_that_goes_while_it_is_read_is_done_without(run, kept, looks):
    with job_of(run) as job:
        reader = KeptTokens(job)
        first = [reader.tokens(1), reader.tokens(1, mirrored=True)]
        (run / "propose" / "features" / "tokens.bin").unlink()
        found = [
            reader.tokens(number, mirrored=mirrored)
            for number in range(2, N + 1)
            for mirrored in (False, True)
        ]
    assert_same([*first, *found], every_view(kept))
    assert len(looks) == 2 * (N - 1)
    assert len(events(run, "note")) == 2


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_a_full_disk_is_told_and_the_same_command_goes_on(pictures, kept, tmp_path, monkeypatch):
    own = keep_tokens.Keeper.__init__

    def init(keeper, folder, **more) -> None:
        own(keeper, folder, **more)
        keeper._file.close()
        keeper._file = FULL.open("r+b", buffering=0)

    with monkeypatch.context() as patch:
        patch.setattr(keep_tokens.Keeper, "__init__", init)
        with pytest.raises(
            RunError,
            match=r"so-far/tokens\.bin: cannot be written: No space left(.|\n)*"
            r"Free some space(.|\n)*`features.keep: none`",
        ):
            proposed(pictures, tmp_path / "run")
    proposed(pictures, tmp_path / "run")
    assert files_of(tmp_path / "run") == files_of(kept)


def test_tokens_that_go_while_they_are_written_are_told_and_made_anew(
    pictures, kept, tmp_path, monkeypatch
):
    own = keep_tokens.Keeper.add

    def add(keeper, image, views, **more) -> None:
        own(keeper, image, views, **more)
        if image.id == 3:
            keeper.folder.begun.tokens.unlink()

    with monkeypatch.context() as patch:
        patch.setattr(keep_tokens.Keeper, "add", add)
        with pytest.raises(RunError, match=r"so-far/tokens\.bin: cannot be written: No such file"):
            proposed(pictures, tmp_path / "run")
    proposed(pictures, tmp_path / "run")
    assert files_of(tmp_path / "run") == files_of(kept)


@pytest.mark.parametrize("step", ["write_index", "replace", "rmtree"])
def test_a_stop_in_any_step_of_the_end_ends_with_the_same_files(
    pictures, kept, tmp_path, monkeypatch, looks, step
):
    holder = {"write_index": token_files, "replace": Path, "rmtree": shutil}[step]
    own = getattr(holder, step)

    def stop(path, *more, **named):
        made = own(path, *more, **named)
        if "features" in Path(path).parts and RunFolder(out).propose.record.exists():
            raise KeyboardInterrupt
        return made

    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(holder, step, stop)
        with pytest.raises(KeyboardInterrupt):
            proposed(pictures, out)
    assert record.read(out / "propose" / "stage.json") is not None
    assert record.read(out / "propose" / "features" / "stage.json") is None
    looks.clear()
    proposed(pictures, out)
    assert not looks
    assert files_of(out) == files_of(kept)


def test_handcrafted_features_are_not_kept_and_it_is_said(pictures, tmp_path):
    own = {"threads": 1, "propose": {"backbone": "handcrafted"}, "features": {"keep": "all"}}
    out = proposed(pictures, tmp_path / "run", own)
    assert "propose/features" not in states(out)
    assert not (out / "propose" / "features").exists()
    (note,) = events(out, "note")
    assert note["what"].startswith("no tokens are kept: handcrafted features are none")
    with job_of(out) as job, pytest.raises(SettingsError, match="handcrafted has no tokens"):
        KeptTokens(job)


def test_a_picture_that_cannot_be_decoded_is_not_kept_and_not_looked_at_twice(pictures, tmp_path):
    folder = Path(shutil.copytree(pictures, tmp_path / "pictures"))
    whole = (folder / "2.png").read_bytes()
    out = tmp_path / "run"
    api.run(pictures=folder, out=out, settings=NETWORK, until="scan", quiet=True)
    (folder / "2.png").write_bytes(whole[: len(whole) // 2])
    api.propose(out=out, quiet=True)
    assert len(events(out, "refused")) == 1
    index = token_files.read_index(out / "propose" / "features" / "index.json")
    assert sorted(index.rows) == [1, 2, 4, 5]
    with job_of(out) as job, pytest.raises(PictureError, match=r"2\.png"):
        KeptTokens(job).tokens(3)


def test_a_picture_that_changed_since_the_scan_is_kept_as_it_was_seen(pictures, tmp_path, looks):
    folder = Path(shutil.copytree(pictures, tmp_path / "pictures"))
    out = tmp_path / "run"
    api.run(pictures=folder, out=out, settings=NETWORK, until="scan", quiet=True)
    Pillow.new("RGB", SIZES[1][::-1], "teal").save(folder / "1.png")
    api.propose(out=out, quiet=True)
    index = token_files.read_index(out / "propose" / "features" / "index.json")
    assert [number for number, row in index.rows.items() if row.content] == [2]
    looks.clear()
    read = every_view(out)
    assert not looks
    shutil.rmtree(out / "propose" / "features")
    assert_same(read, every_view(out))


def test_tokens_of_another_picture_than_the_proposals_are_of_are_not_read(kept, run, looks):
    path = run / "propose" / "features" / "index.json"
    index = token_files.read_index(path)
    index.rows[2] = replace(index.rows[2], content="f" * 64)
    token_files.write_index(path, index)
    assert_same(every_view(run), every_view(kept))
    assert looks == [1, 1]
    assert "1.png: was another picture when it was kept" in events(run, "note")[-1]["what"]


def test_tokens_come_with_the_proposals_of_another_run_where_it_has_some(
    pictures, kept, tmp_path, looks
):
    out = proposed(pictures, tmp_path / "run", reuse={"propose": kept})
    assert not looks
    assert files_of(out) == files_of(kept)
    name = "propose/features/tokens.bin"
    assert (out / name).samefile(kept / name)
    alone = proposed(pictures, tmp_path / "alone", reuse={"propose/features": kept})
    assert looks == [1] * (2 * N)  # for the proposals, compared with those of mirrored pictures
    assert files_of(alone) == files_of(kept)
    without = proposed(pictures, tmp_path / "without", settings(keep="none"))
    looks.clear()
    again = proposed(pictures, tmp_path / "again", reuse={"propose": without})
    assert len(looks) == 2 * N
    assert files_of(again) == files_of(kept)


def test_a_picture_that_does_not_fit_into_memory_is_shown_smaller_and_not_kept(
    pictures, tmp_path, monkeypatch
):
    folder = tmp_path / "pictures"
    folder.mkdir()
    large = np.random.default_rng(1).integers(0, 256, (200, 240, 3), dtype=np.uint8)
    Pillow.fromarray(large).save(folder / "large.png")
    shutil.copy(pictures / "0.png", folder)
    own = Network.embedded

    def embedded(network, batch, grid):
        if grid[0] * grid[1] > 100:
            raise MemoryError
        return own(network, batch, grid)

    monkeypatch.setattr(Network, "embedded", embedded)
    out = proposed(folder, tmp_path / "run")
    assert events(out, "end")[-1]["counts"]["kept"] == 1
    found = every_view(out)[2]
    assert found.size == (200, 240)
    assert found.scaled < (200, 240)
    assert found.patches[0, ..., 0].numel() <= 100
