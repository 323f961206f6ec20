from maskdistill.evaluation import tables


def row(**changes):
    return {
        "stage": "segment",
        "name": "mIoU",
        "split": "train",
        "value": 0.4567,
        "interval": None,
    } | changes


def test_a_table_has_a_column_a_split_in_percent():
    text = tables.table([row(split="validation", value=0.4), row(interval=[0.41, 0.5])])
    assert text.splitlines() == [
        "| stage   | metric | train               | validation |",
        "| ------- | ------ | ------------------- | ---------- |",
        "| segment | mIoU   | 45.7 (41.0 to 50.0) | 40.0       |",
    ]


def test_a_value_that_is_missing_is_a_dash():
    text = tables.table([row(value=None), row(stage="propose", split="validation")])
    assert text.splitlines()[2].split("|")[3:5] == [" -     ", " -          "]
    assert text.splitlines()[3].split("|")[3].strip() == "-"


def test_all_lines_have_one_length():
    lines = tables.table(
        [row(), row(name="IoU/a very long class"), row(name="AP", split="validation")]
    ).splitlines()
    assert len({len(line) for line in lines}) == 1


def test_stages_stay_in_the_order_in_which_they_came():
    text = tables.table(
        [row(stage="propose"), row(stage="cluster"), row(stage="propose", name="AP")]
    )
    assert [line.split("|")[1].strip() for line in text.splitlines()[2:]] == [
        "propose",
        "cluster",
        "propose",
    ]


def test_no_rows_give_the_head_alone():
    assert len(tables.table([]).splitlines()) == 2


def test_two_results_stand_beside_their_difference_and_its_interval():
    both = row(other=0.4, difference=0.0567, interval=[0.01, 0.1], p=0.0199)
    alone = row(
        name="agreement", other=None, difference=None, interval=[0.8, 0.9], p=None, value=0.85
    )
    assert tables.compared([both, alone]).splitlines()[2:] == [
        "| segment | mIoU      | train | 45.7                | 40.0  | 5.7 (1.0 to 10.0) | 0.020 |",
        "| segment | agreement | train | 85.0 (80.0 to 90.0) | -     | -                 | -     |",
    ]


def test_by_class_stages_stand_side_by_side_and_others_behind_them():
    rows = [
        row(name="mIoU"),
        row(name="IoU/cat", value=0.5, interval=[0.4, 0.6]),
        row(name="IoU/cat", stage="label", value=0.4),
        row(name="IoU/cat", value=0.52, seeds=3, spread=0.012, of="clusters"),
        row(name="IoU/dog", value=None),
    ]
    others = [
        {"name": "IoU/cat", "value": 0.3, "source": "a paper"},
        {"name": "mIoU", "value": 0.2, "source": "b"},
    ]
    assert tables.by_class(rows, others) == [
        ["class", "segment", "label", "segment, over seeds (k-means alone)", "published: a paper"],
        ["cat", "50.0 (40.0 to 60.0)", "40.0", "52.0 ± 1.2 (3 seeds)", "30.0"],
        ["dog", "-", "-", "-", "-"],
    ]
    assert tables.by_class([]) == [["class"]]


def test_csv_has_low_and_high_of_the_interval_and_nothing_where_a_row_has_nothing():
    text = tables.as_csv(
        [row(interval=[0.1, 0.5], name='IoU/"a", b'), row(value=None)],
        ("name", "value", "low", "x"),
    )
    assert text.splitlines() == ["name,value,low,x", '"IoU/""a"", b",0.4567,0.1,', "mIoU,,,"]


def test_what_the_columns_over_seeds_are_is_said_once_for_each_kind():
    rows = [
        {"seeds": 3, "of": "chain"},
        {"seeds": 3, "of": "clusters"},
        {"seeds": 3, "of": "chain"},
        {},
    ]
    chain, clusters = (tables.on_seeds(rows[place : place + 1]) for place in (0, 1))
    assert chain.startswith("Over seeds: mean")
    assert tables.on_seeds(rows) == f"{chain} {clusters}"
    assert tables.on_seeds(rows[3:]) == ""
