import numpy as np
import pytest

from maskdistill.runs import arrays


def test_rows_that_are_added_are_the_bytes_that_numpy_saves(rng, tmp_path):
    rows = rng.standard_normal((7, 5)).astype(np.float32)
    rows[[0, 1, 4, 6]] = 0
    with arrays.writing(tmp_path / "rows.npy", 7) as writer:
        for place, row in enumerate(rows):
            if row.any():
                writer.add(row[None])
            else:
                writer.add_zeros()
            assert writer.written == place + 1
    np.save(tmp_path / "whole.npy", rows)
    assert (tmp_path / "rows.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()
    found = arrays.mapped(tmp_path / "rows.npy")
    np.testing.assert_array_equal(found, rows)
    assert isinstance(found, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        found[0, 0] = 1
    arrays.write(tmp_path / "again.npy", rows)
    assert (tmp_path / "again.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()


def test_zeros_alone_are_rows_of_one(tmp_path):
    with arrays.writing(tmp_path / "rows.npy", 2) as writer:
        writer.add_zeros()
        writer.add_zeros()
    np.testing.assert_array_equal(np.load(tmp_path / "rows.npy"), np.zeros((2, 1)))


def test_too_few_rows_leave_the_old_file(tmp_path):
    (tmp_path / "rows.npy").write_bytes(b"old")
    with (
        pytest.raises(ValueError, match="wanted 3 rows, found 1"),
        arrays.writing(tmp_path / "rows.npy", 3) as writer,
    ):
        writer.add(np.ones((1, 4), np.float32))
    assert (tmp_path / "rows.npy").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["rows.npy"]
