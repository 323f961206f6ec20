"""A disk that fills up in the midst of a stage: one message, and the same command goes on when there is space again."""

import shutil
import tempfile
from pathlib import Path

import pytest

from maskdistill import api
from maskdistill.errors import RunError
from maskdistill.runs import atomic
from maskdistill.stage_parts import train_network
from tests.stages.theirs import saved

FULL = Path("/dev/full")
pytestmark = pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")


def test_a_training_on_a_full_disk_says_so_and_goes_on_with_the_same_bytes(
    tiny, tmp_path, monkeypatch
) -> None:
    out = Path(shutil.copytree(tiny.out, tmp_path / "run"))
    shutil.rmtree(out / "detect" / "train")
    own = train_network.lines.write

    def write(path: Path, rows) -> None:
        own(path, rows)
        path.unlink()
        path.symlink_to(FULL)

    with monkeypatch.context() as patch:
        patch.setattr(train_network.lines, "write", write)
        with pytest.raises(
            RunError, match=r"losses\.jsonl: cannot be written: No space left(.|\n)*Free some space"
        ):
            api.detect(out=out)
    api.detect(out=out)
    made = "detect/train/model.safetensors"
    assert (out / made).read_bytes() == (tiny.out / made).read_bytes()


def test_an_import_on_a_full_disk_says_so(small, scanned, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda mode, dir: FULL.open(mode))
    with pytest.raises(RunError, match="parts: cannot be written: No space left"):
        api.propose(
            out=scanned,
            settings={"propose": {"import_file": str(saved(tmp_path / "a.json", small[1]))}},
        )


def test_a_folder_that_cannot_be_made_is_named(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="file/x: cannot be written: Not a directory"):
        atomic.make_folder(tmp_path / "file" / "x")
