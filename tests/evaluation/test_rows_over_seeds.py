"""Mean and deviation over seeds."""

import statistics

import pytest

from maskdistill.evaluation import tables
from maskdistill.evaluation.rows import over_seeds


def row(stage: str, name: str, value: float | None, split: str = "validation") -> dict:
    return {
        "stage": stage,
        "name": name,
        "split": split,
        "value": value,
        "pictures": 4,
        "protocol": "in words",
    }


ROWS = {
    seed: [
        row("baseline:whole", "mIoU", 0.1),
        row("propose", "CorLoc", 0.5),
        row("cluster", "NMI", nmi),
        row("segment", "mIoU", miou),
        row("segment", "IoU/cat", cat),
    ]
    for seed, nmi, miou, cat in ((3, 0.4, 0.61, None), (4, 0.5, 0.58, 0.2), (5, 0.45, 0.66, None))
}


def found(of) -> dict:
    return {(row["stage"], row["name"]): row for row in over_seeds(ROWS, of=of)}


def test_the_mean_and_the_deviation_of_a_sample_stand_beside_the_values_of_each_seed():
    one = found("chain")["segment", "mIoU"]
    assert one["value"] == pytest.approx(statistics.mean([0.61, 0.58, 0.66]), abs=1e-6)
    assert one["spread"] == pytest.approx(statistics.stdev([0.61, 0.58, 0.66]), abs=1e-6)
    assert (one["seeds"], one["by_seed"], one["interval"]) == (
        3,
        {"3": 0.61, "4": 0.58, "5": 0.66},
        None,
    )
    assert "everything after the proposals" in one["protocol"]


def test_what_has_one_value_for_all_seeds_is_not_repeated():
    assert set(found("chain")) == {("cluster", "NMI"), ("segment", "mIoU"), ("segment", "IoU/cat")}


def test_of_clusters_alone_only_clusters_have_a_spread_and_the_row_says_that_it_understates():
    rows = found("clusters")
    assert set(rows) == {("cluster", "NMI")}
    assert "understates" in rows["cluster", "NMI"]["protocol"]


def test_a_seed_without_a_value_does_not_count_and_one_value_has_no_deviation():
    one = found("chain")["segment", "IoU/cat"]
    assert (one["value"], one["seeds"], one["spread"]) == (0.2, 1, None)
    assert over_seeds({}, of="chain") == []


def test_a_table_has_the_seeds_in_a_column_of_their_own_that_says_what_was_repeated():
    text = tables.table([*ROWS[3], *over_seeds(ROWS, of="clusters"), *over_seeds(ROWS, of="chain")])
    head, _, *lines = text.splitlines()
    assert "validation over seeds (k-means alone)" in head
    assert "validation over seeds (chain)" in head
    assert "understates" in tables.on_seeds(over_seeds(ROWS, of="clusters"))
    assert "everything after the proposals" in tables.on_seeds(over_seeds(ROWS, of="chain"))
    assert tables.on_seeds(ROWS[3]) == ""
    (line,) = [line for line in lines if line.split()[1:4:2] == ["segment", "mIoU"]]
    assert "61.0" in line
    assert "61.7 ± 4.0 (3 seeds)" in line
