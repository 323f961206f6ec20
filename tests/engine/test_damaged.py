"""Files of a run that another program changed: the stage that reads them says so before anything is replaced."""

import json
import shutil
from pathlib import Path

import pytest

from maskdistill import api, cli
from maskdistill.engine import stage
from maskdistill.engine.job import Job
from maskdistill.engine.opening import configured
from maskdistill.errors import RunError
from maskdistill.runs import record
from maskdistill.runs.layout import RunFolder
from maskdistill.settings import validate


def without_masks(path: Path) -> None:
    first, *others = path.read_text().splitlines(keepends=True)
    path.write_text("".join([json.dumps({**json.loads(first), "masks": []}) + "\n", *others]))


def cut(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def cut_between_lines(path: Path) -> None:
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:5]))


DAMAGES = (without_masks, cut, cut_between_lines)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_stages_own_verb_refuses_inputs_that_were_changed_and_keeps_what_it_made(
    copied, damage
) -> None:
    before = record.read(copied / "cluster" / "stage.json")
    damage(copied / "propose" / "proposals.jsonl")
    with pytest.raises(
        RunError, match=r"propose: proposals\.jsonl missing or changed(.|\n)*--from propose"
    ):
        api.cluster(out=copied, settings={"cluster": {"k": 3}}, redo=True)
    assert record.read(copied / "cluster" / "stage.json") == before
    assert record.verify(copied / "cluster", before) == []


@pytest.mark.parametrize("damage", DAMAGES[1:])
def test_a_report_over_a_file_that_was_cut_short_names_it_without_a_traceback(
    copied, capsys, damage
) -> None:
    damage(copied / "propose" / "proposals.jsonl")
    assert cli.main(["report", str(copied)]) == 2
    said = capsys.readouterr().err
    assert str(copied / "propose" / "proposals.jsonl") in said
    assert "cut short" in said


def test_what_a_second_clustering_needs_is_told_with_a_command_that_there_is(copied) -> None:
    shutil.rmtree(copied / "recluster")
    with pytest.raises(RunError, match=f"Do it first: maskdistill label {copied}"):
        stage.upstream(_job(copied), "recluster")


def test_outputs_are_looked_at_once_a_command(copied, monkeypatch) -> None:
    seen: list[str] = []
    own = record.verify

    def verify(folder, entry):
        seen.append(entry.stage)
        return own(folder, entry)

    monkeypatch.setattr(stage.record, "verify", verify)
    api.run(out=copied, until="segment", quiet=True)
    assert len(seen) == len(set(seen))


def _job(run: Path) -> Job:
    settings = validate(configured(run), source=str(run))
    job = Job.alone(settings)
    job.folder = RunFolder(run)
    return job
